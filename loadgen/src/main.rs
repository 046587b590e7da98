//! loadgen plays the call-forwarding flow against a SIP server and measures what the server does.
//!
//! ```text
//!  args ─▶ plan ─▶ run ─▶ lane (a thread) ─▶ caller, callee (the phones; no sockets, no clock) ─▶ tally ─▶ report
//!                          │  ▲
//!                          ▼  │ pacer, os (batches of datagrams), outbox
//! ```

mod args;
mod call;
mod callee;
mod caller;
mod hgrm;
mod lane;
mod message;
mod os;
mod outbox;
mod pacer;
mod ping;
mod plan;
mod proc;
mod progress;
mod recent;
mod report;
mod run;
mod slab;
mod tally;
mod trace;
mod wheel;

use args::{Cli, Options};
use clap::Parser;
use report::Report;
use run::{Outcome, Progress, Watch};
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use tally::Latency;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What the exit code says beside success.
const CALLS_FAILED: u8 = 1;
const CANNOT_RUN: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    os::catch_interrupt();
    let result = match cli.command {
        Some(_) => Err("not yet".into()),
        None => load(&cli.options),
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
    Ok(report.calls_failed == 0 || options.allow_failures)
}

fn write_files(options: &Options, report: &Report, outcome: &Outcome) -> Result<(), String> {
    if let Some(path) = &options.json {
        let json = report.json().map_err(|error| error.to_string())?;
        write_file(path, &(json + "\n"))?;
    }
    if let Some(path) = &options.hgrm {
        for latency in Latency::ALL {
            let mut name = path.clone().into_os_string();
            name.push(format!(".{}.hgrm", latency.key()));
            write_file(Path::new(&name), &hgrm::text(outcome.tally.latency(latency)))?;
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
