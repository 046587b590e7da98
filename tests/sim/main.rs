//! `sim --calls 1000000 --loss 0.1 --seed 7`: plays worlds until so many calls are played, and says how fast;
//! the first that goes wrong is printed with its seed, and the exit code is 1.

#[path = "mod.rs"]
mod sim;

use sim::{Counts, Failure, Fault, Habits, Options, Report, RichWorld, World};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const USAGE: &str =
    "usage: sim [--calls N | --seeds N | --seconds N] [--world CALLS] [--loss SHARE] [--seed N]
           [--threads N] [--peers KIND] [--only CALL] [--fault TEXT]
  --calls     worlds until so many calls are played (default 100000)
  --seeds     so many worlds, of the seeds from --seed on
  --seconds   worlds until so much time has passed
  --world     calls in a world; without it the seed decides
  --peers     all (default): those of a plain call, and in every second world those that use everything in a
              dialog; in half of either numbers have up to four locations. basic: plain calls to one location
              each; forked: plain calls to several; or the latter only, with some of: reliable,updates,
              reinvites,relayed,forks,routes,strict,timers,ipv6,locations
  --only      this call of the world alone, with every byte of it
  --fault     makes the server faulty: BYE swallows what begins so, BYE|CSeq: 2|CSeq: 1 replaces text in it,
              and with |again behind that only in every second message";

/// Calls in the world of a seed: mostly so few that they stay in the processor's caches, now and then enough
/// to have thousands at once.
fn calls_of_world(seed: u64) -> u32 {
    if seed.is_multiple_of(32) { 3_000 } else { 500 }
}

/// How long to go on.
#[derive(Clone, Copy)]
enum Amount {
    Calls(u64),
    Seeds(u64),
    Seconds(u64),
}

/// What is played.
#[derive(Clone, Copy)]
struct Plan {
    amount: Amount,
    first_seed: u64,
    /// Calls in each world, or as the seed says.
    world: Option<u32>,
    loss: f64,
    threads: usize,
    peers: Peers,
    /// As it was asked for.
    peers_text: &'static str,
    only: Option<u32>,
    fault: Option<Fault>,
}

/// Who takes part.
#[derive(Clone, Copy)]
enum Peers {
    Basic,
    Forked,
    All,
    Rich(Habits),
}

/// Calls in a world of richer peers.
const RICH_CALLS: u32 = 200;

impl Plan {
    fn options(&self, seed: u64) -> Options {
        let usual = || if self.habits(seed).is_some() { RICH_CALLS } else { calls_of_world(seed) };
        Options {
            seed,
            calls: self.world.unwrap_or_else(usual),
            loss: self.loss,
            forked: match self.peers {
                Peers::Basic => false,
                Peers::Forked => true,
                Peers::All => seed % 4 >= 2,
                Peers::Rich(habits) => habits.locations,
            },
            only: self.only,
            fault: self.fault,
        }
    }

    /// What the peers of a seed's world are used to; `None`: to plain calls.
    fn habits(&self, seed: u64) -> Option<Habits> {
        match self.peers {
            Peers::Basic | Peers::Forked => None,
            Peers::All => (seed % 2 == 1).then_some(Habits::ALL),
            Peers::Rich(habits) => Some(habits),
        }
    }

    fn play(&self, seed: u64) -> Result<Report, Failure> {
        match self.habits(seed) {
            None => World::new(self.options(seed)).run(),
            Some(habits) => RichWorld::new(self.options(seed), habits).run(),
        }
    }

    /// Worlds to play; a time says nothing about them.
    fn worlds(&self) -> u64 {
        match self.amount {
            _ if self.only.is_some() => 1,
            Amount::Seeds(seeds) => seeds,
            Amount::Seconds(_) => u64::MAX,
            Amount::Calls(wanted) => {
                let (mut calls, mut worlds) = (0, 0);
                while calls < wanted {
                    calls += u64::from(self.options(self.first_seed + worlds).calls);
                    worlds += 1;
                }
                worlds
            }
        }
    }
}

/// What the threads have done together.
#[derive(Default)]
struct Total {
    report: Report,
    worlds: u64,
    /// Time that the threads were at it.
    busy: Duration,
    /// The world that went wrong, of the smallest seed among those found.
    failure: Option<Wrong>,
}

struct Wrong {
    seed: u64,
    call: Option<u32>,
    text: String,
}

impl Total {
    fn add(&mut self, report: &Report) {
        let all = &mut self.report;
        self.worlds += 1;
        all.calls += report.calls;
        all.datagrams += report.datagrams;
        all.lost += report.lost;
        all.relayed += report.relayed;
        all.calls_at_once = all.calls_at_once.max(report.calls_at_once);
        all.metrics.add(&report.metrics);
        all.counts.add(&report.counts);
    }
}

fn main() -> ExitCode {
    match arguments() {
        Ok(plan) => run(&plan),
        Err(wrong) => {
            eprintln!("{wrong}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn arguments() -> Result<Plan, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut plan = Plan {
        amount: Amount::Calls(100_000),
        first_seed: 1,
        world: None,
        loss: 0.1,
        threads,
        peers: Peers::All,
        peers_text: "all",
        only: None,
        fault: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} wants a value"))?;
        let said = format!("{name} {value}");
        let wrong = |error: &dyn std::fmt::Display| format!("{said}: {error}");
        match name.as_str() {
            "--calls" => plan.amount = Amount::Calls(value.parse().map_err(|error| wrong(&error))?),
            "--seeds" => plan.amount = Amount::Seeds(value.parse().map_err(|error| wrong(&error))?),
            "--seconds" => plan.amount = Amount::Seconds(value.parse().map_err(|error| wrong(&error))?),
            "--seed" => plan.first_seed = value.parse().map_err(|error| wrong(&error))?,
            "--loss" => plan.loss = value.parse().map_err(|error| wrong(&error))?,
            "--world" => plan.world = Some(value.parse().map_err(|error| wrong(&error))?),
            "--threads" => plan.threads = value.parse().map_err(|error| wrong(&error))?,
            "--peers" => {
                plan.peers = peers(&value).ok_or_else(|| wrong(&"no such peers"))?;
                // Kept until the end.
                plan.peers_text = value.leak();
            }
            // Kept until the end.
            "--fault" => plan.fault = Some(Fault::read(value.leak()).ok_or("no such fault")?),
            "--only" => plan.only = Some(value.parse().map_err(|error| wrong(&error))?),
            _ => return Err(format!("{name} is no option")),
        }
    }
    Ok(plan)
}

fn peers(text: &str) -> Option<Peers> {
    match text {
        "basic" => Some(Peers::Basic),
        "forked" => Some(Peers::Forked),
        "all" => Some(Peers::All),
        list => Habits::read(list).map(Peers::Rich),
    }
}

fn run(plan: &Plan) -> ExitCode {
    let started = Instant::now();
    let worlds = plan.worlds();
    let next = AtomicU64::new(0);
    let total = Mutex::new(Total::default());
    let threads = plan.threads.clamp(1, 64).min(usize::try_from(worlds).unwrap_or(usize::MAX));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work(plan, worlds, &next, (&total, started)));
        }
    });
    let total = total.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(Wrong { seed, call, text }) = total.failure {
        let Options { calls, loss, .. } = plan.options(seed);
        println!("{text}");
        let only = call.map_or(String::new(), |call| format!(" --only {call}"));
        let peers = plan.peers_text;
        println!(
            "play it again: sim --seed {seed} --loss {loss} --world {calls} --peers {peers} --seeds 1{only}"
        );
        return ExitCode::FAILURE;
    }
    print(plan, &total, (threads, started.elapsed().as_secs_f64()));
    ExitCode::SUCCESS
}

/// One thread: plays one world after the other. A world is one seed's and knows of no thread.
fn work(plan: &Plan, worlds: u64, next: &AtomicU64, (total, started): (&Mutex<Total>, Instant)) {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let late = matches!(plan.amount, Amount::Seconds(seconds) if started.elapsed().as_secs() >= seconds);
        if number >= worlds || late {
            return;
        }
        let seed = plan.first_seed.wrapping_add(number);
        let began = Instant::now();
        let outcome = plan.play(seed);
        let mut total = total.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        total.busy += began.elapsed();
        match outcome {
            Ok(report) => total.add(&report),
            Err(failure) => {
                if total.failure.as_ref().is_none_or(|wrong| seed < wrong.seed) {
                    total.failure = Some(Wrong { seed, call: failure.call, text: failure.text });
                }
                // Nobody begins another world.
                next.store(worlds, Ordering::Relaxed);
                return;
            }
        }
    }
}

fn print(plan: &Plan, total: &Total, (threads, seconds): (usize, f64)) {
    let Report { calls, datagrams, lost, calls_at_once, metrics, .. } = total.report;
    let per_thread = calls as f64 / total.busy.as_secs_f64();
    println!(
        "{calls} calls in {} worlds from seed {} on, {seconds:.1} s: {:.0} calls/s on {threads} threads, \
         {per_thread:.0} calls/s for each",
        total.worlds,
        plan.first_seed,
        calls as f64 / seconds
    );
    println!("{datagrams} datagrams at the server, {lost} lost; at most {calls_at_once} calls at once");
    println!(
        "answered {}, failed {}, cancelled {}, forwarded on no answer {}, late answers {}",
        metrics.calls_answered,
        metrics.calls_failed,
        metrics.calls_cancelled,
        metrics.forwarded_no_answer,
        metrics.late_answers
    );
    if total.report.counts != Counts::default() {
        let counts: Vec<String> =
            total.report.counts.all().iter().map(|(name, count)| format!("{name} {count}")).collect();
        println!("richer peers: {}", counts.join(", "));
    }
}
