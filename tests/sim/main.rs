//! `sim --calls 1000000 --loss 0.1 --seed 7`: plays worlds until so many calls are played, and says how fast;
//! the first that goes wrong is printed with its seed, and the exit code is 1.

#[path = "mod.rs"]
mod sim;

use sim::{Options, Report, World};
use std::process::ExitCode;
use std::time::Instant;

const USAGE: &str = "usage: sim [--calls N] [--loss SHARE] [--seed N] [--world CALLS] [--only CALL]";

/// Calls in one world: enough to have thousands at once.
const WORLD_CALLS: u32 = 3_000;

fn main() -> ExitCode {
    match arguments() {
        Ok((calls, options)) => run(calls, options),
        Err(wrong) => {
            eprintln!("{wrong}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Calls in all, and what the first world is like.
fn arguments() -> Result<(u64, Options), String> {
    let mut calls = 100_000;
    let mut options = Options { seed: 1, calls: WORLD_CALLS, loss: 0.1, only: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} wants a value"))?;
        let wrong = |error: &dyn std::fmt::Display| format!("{name} {value}: {error}");
        match name.as_str() {
            "--calls" => calls = value.parse().map_err(|error| wrong(&error))?,
            "--seed" => options.seed = value.parse().map_err(|error| wrong(&error))?,
            "--loss" => options.loss = value.parse().map_err(|error| wrong(&error))?,
            "--world" => options.calls = value.parse().map_err(|error| wrong(&error))?,
            "--only" => options.only = Some(value.parse().map_err(|error| wrong(&error))?),
            _ => return Err(format!("{name} is no option")),
        }
    }
    Ok((calls, options))
}

fn run(calls: u64, first: Options) -> ExitCode {
    let mut options = first;
    let mut total = Report::default();
    let started = Instant::now();
    while total.calls < calls {
        match World::new(options).run() {
            Ok(report) => {
                total.calls += report.calls;
                total.datagrams += report.datagrams;
                total.lost += report.lost;
                total.calls_at_once = total.calls_at_once.max(report.calls_at_once);
                total.metrics.add(&report.metrics);
            }
            Err(failure) => {
                let Options { seed, calls, loss, .. } = options;
                println!("{}", failure.text);
                let only = failure.call.map_or(String::new(), |call| format!(" --only {call}"));
                println!("play it again: sim --seed {seed} --loss {loss} --world {calls} --calls 1{only}");
                return ExitCode::FAILURE;
            }
        }
        if options.only.is_some() {
            break;
        }
        options.seed += 1;
    }
    print(&total, options.seed - first.seed, started.elapsed().as_secs_f64());
    ExitCode::SUCCESS
}

fn print(total: &Report, worlds: u64, seconds: f64) {
    let Report { calls, datagrams, lost, calls_at_once, metrics, .. } = total;
    println!("{calls} calls in {worlds} worlds, {seconds:.1} s: {:.0} calls/s", *calls as f64 / seconds);
    println!("{datagrams} datagrams at the server, {lost} lost; at most {calls_at_once} calls at once");
    println!(
        "answered {}, failed {}, cancelled {}, forwarded on no answer {}, late answers {}",
        metrics.calls_answered,
        metrics.calls_failed,
        metrics.calls_cancelled,
        metrics.forwarded_no_answer,
        metrics.late_answers
    );
}
