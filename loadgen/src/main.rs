//! loadgen plays the call-forwarding flow against a SIP server and measures what the server does.
//!
//! ```text
//!  args ─▶ plan ─▶ run ─▶ lane (a thread) ─▶ caller, callee (no sockets, no clock) ─▶ tally ─▶ report
//!                          │  ▲                       └──▶ media (the calls' sound)
//!                          ▼  │ pacer, outbox, os (batches of datagrams), sound (its sockets)
//! ```

mod args;
mod call;
mod callee;
mod caller;
mod demo;
mod digest;
mod find_max;
mod hgrm;
mod ladder;
mod lane;
mod media;
mod message;
mod numbers;
mod originator;
mod os;
mod outbox;
mod pacer;
mod ping;
mod plan;
mod proc;
mod progress;
mod recent;
mod register;
mod report;
mod rtp;
mod rtp_account;
mod run;
mod sdp;
mod slab;
mod sound;
mod subscribers;
mod tally;
mod template;
#[cfg(test)]
mod tests;
mod trace;
mod trains;
mod wheel;

use args::{Cli, Command, Options};
use clap::Parser;
use ladder::Colours;
use plan::{Flow, Plan};
use report::Report;
use run::{Outcome, Progress, Watch};
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What the exit code says beside success.
const CALLS_FAILED: u8 = 1;
const CANNOT_RUN: u8 = 2;

fn main() -> ExitCode {
    os::end_with_the_pipe();
    let cli = Cli::parse();
    os::catch_interrupt();
    let result = match (cli.command, &cli.options) {
        (Some(Command::Demo), _) => demo::demo(colours()),
        (Some(Command::Subscribers(wanted)), _) => subscribers::print(&wanted),
        (None, options) if options.ladder => draw(options),
        (None, options) if options.find_max => search(options),
        (None, options) => load(options),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(CALLS_FAILED),
        Err(message) => {
            eprintln!("loadgen: {message}");
            ExitCode::from(CANNOT_RUN)
        }
    }
}

/// Whether all went well.
fn load(options: &Options) -> Result<bool, String> {
    let plan = Arc::new(options.plan());
    ping::ping(&plan)?;
    let outcome = run::run(&plan, options.watch())?;
    let report = Report::new(&plan, &outcome);
    print!("{}", report.text());
    write_files(options, &report, &outcome)?;
    let first_failed = report.first_pass.as_ref().map_or(0, |first| first.failed);
    let is_heard = report.rtp.as_ref().is_none_or(|rtp| rtp.is_good);
    Ok((report.calls_failed + first_failed == 0 && is_heard) || options.allow_failures)
}

/// Plays one call and draws it.
fn draw(options: &Options) -> Result<bool, String> {
    let plan = Arc::new(Plan { calls: 1, caller_sockets: 1, rate: 1.0, ..options.plan() });
    if plan.flow == Flow::Register {
        return Err("--ladder draws calls; choose another --flow than register".into());
    }
    ping::ping(&plan)?;
    let outcome = run::run(&plan, Watch { progress: Progress::Silent, ..options.watch() })?;
    demo::show(&plan, &outcome, colours());
    Ok(outcome.tally.good == 1 || options.allow_failures)
}

/// Searches the highest rate that the server sustains.
fn search(options: &Options) -> Result<bool, String> {
    let plan = options.plan();
    ping::ping(&plan)?;
    let step_ns = u64::try_from(options.step.as_nanos()).unwrap_or(u64::MAX);
    let Some((report, outcome)) = find_max::find_max(&plan, step_ns, options.watch())? else {
        return Ok(false);
    };
    print!("{}", report.text());
    write_files(options, &report, &outcome)?;
    Ok(true)
}

/// Colours on a terminal, unless they are unwanted (no-color.org).
fn colours() -> Colours {
    let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if std::io::stdout().is_terminal() && !is_unwanted { Colours::Ansi } else { Colours::Plain }
}

fn write_files(options: &Options, report: &Report, outcome: &Outcome) -> Result<(), String> {
    if let Some(path) = &options.json {
        let json = report.json().map_err(|error| error.to_string())?;
        write_file(path, &(json + "\n"))?;
    }
    if let Some(path) = &options.hgrm {
        for latency in options.flow.latencies().0 {
            let mut name = path.clone().into_os_string();
            name.push(format!(".{}.hgrm", latency.key()));
            write_file(Path::new(&name), &hgrm::text(outcome.tally.latency(*latency)))?;
        }
        if let Some(account) = &outcome.tally.rtp {
            let mut name = path.clone().into_os_string();
            name.push(".rtp.hgrm");
            write_file(Path::new(&name), &hgrm::text(account.delays()))?;
        }
    }
    Ok(())
}

fn write_file(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

impl Options {
    fn watch(&self) -> Watch {
        let progress = match (self.progress, std::io::stderr().is_terminal()) {
            (true, _) => Progress::Lines,
            (false, true) => Progress::Live,
            (false, false) => Progress::Silent,
        };
        Watch { progress, server_pid: self.server_pid, trace: self.ladder }
    }
}
