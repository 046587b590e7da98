//! The highest rate that a server sustains: climb, bisect, re-test the winner.

use crate::os;
use crate::plan::Plan;
use crate::report::{Report, grouped};
use crate::run::{self, Outcome, Watch};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// A rate is sustained when fewer calls fail than this share …
const FAILED_SHARE: f64 = 1e-4;
/// … and 99 % of the callers hear ringing, or of the phones are registered, within this time.
const P99_MS: f64 = 50.0;
/// A thread that is busier than this is at its limit.
const BUSY: f64 = 0.95;
/// More late calls than this share, and the rate was not the one asked for.
const LATE_SHARE: f64 = 0.01;
const CLIMB: f64 = 1.5;
/// Bisect until the best and the worst are this close.
const CLOSE: f64 = 1.03;
/// How far to step down when the winner fails its re-test, and how often.
const STEP_DOWN: f64 = 0.95;
const RETESTS: u32 = 6;
/// Calls of a step that are not over by then have failed.
const DRAIN_NS: u64 = 5_000_000_000;
/// Between two steps, so that what one left behind does not weigh on the next.
const SETTLE: Duration = Duration::from_secs(2);
/// The same after a step that overloaded the server: retransmissions are then still on their way.
const SETTLE_AFTER_OVERLOAD: Duration = Duration::from_secs(6);

/// What a step showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Sustained,
    /// The server failed calls or was slow, and the generator had time to spare.
    ServerLimit,
    /// The generator had no time to spare: what failed may be its own fault.
    GeneratorLimit,
}

impl Verdict {
    pub fn of(report: &Report) -> Verdict {
        let heard = report.judged();
        let is_slow = heard.count > 0 && heard.p99 >= P99_MS;
        if report.failed_share() < FAILED_SHARE && !is_slow && report.calls_started > 0 {
            return Verdict::Sustained;
        }
        let generator = &report.generator;
        let is_saturated =
            generator.busy.iter().zip(&generator.starved).any(|(busy, starved)| busy + starved > BUSY);
        let late_share = generator.late_calls as f64 / report.calls_started.max(1) as f64;
        let lost_some = report.datagrams_dropped > 0;
        if is_saturated || lost_some || late_share > LATE_SHARE {
            Verdict::GeneratorLimit
        } else {
            Verdict::ServerLimit
        }
    }

    fn text(self) -> &'static str {
        match self {
            Verdict::Sustained => "sustained",
            Verdict::ServerLimit => "too much for the server",
            Verdict::GeneratorLimit => "too much for the generator",
        }
    }
}

/// Where the search stands. Pure: it says which rate to try and is told how that went.
#[derive(Clone, Debug)]
pub struct Search {
    /// The rate to try next.
    rate: f64,
    /// The highest rate sustained and the lowest that was not.
    best: Option<f64>,
    worst: Option<(f64, Verdict)>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Searching,
    Retesting { left: u32 },
    Done,
}

impl Search {
    pub fn new(first_rate: f64) -> Search {
        Search { rate: first_rate, best: None, worst: None, phase: Phase::Searching }
    }

    /// The rate to try, `None` when the search is over.
    pub fn next(&self) -> Option<f64> {
        (self.phase != Phase::Done).then_some(self.rate)
    }

    /// What came of trying [`Search::next`].
    pub fn record(&mut self, verdict: Verdict) {
        let is_sustained = verdict == Verdict::Sustained;
        match self.phase {
            Phase::Searching if is_sustained => self.best = Some(self.rate),
            Phase::Searching => self.worst = Some((self.rate, verdict)),
            Phase::Retesting { .. } if is_sustained => {
                self.best = Some(self.rate);
                self.phase = Phase::Done;
                return;
            }
            Phase::Retesting { left } => {
                self.worst = Some((self.rate, verdict));
                self.best = None;
                self.rate *= STEP_DOWN;
                self.phase = if left > 1 { Phase::Retesting { left: left - 1 } } else { Phase::Done };
                return;
            }
            Phase::Done => return,
        }
        self.rate = match (self.best, self.worst) {
            (Some(best), None) => best * CLIMB,
            (Some(best), Some((worst, _))) if worst / best > CLOSE => (best * worst).sqrt(),
            (Some(best), Some(_)) => {
                self.phase = Phase::Retesting { left: RETESTS };
                best
            }
            (None, Some((worst, _))) if worst > 1.0 => worst / 2.0,
            (None, _) => {
                self.phase = Phase::Done;
                return;
            }
        };
        // Whole calls per second read better, and a hundredth of the rate is below the search's resolution.
        if self.rate > 200.0 {
            self.rate = self.rate.round();
        }
    }

    /// The rate that was sustained twice.
    pub fn found(&self) -> Option<f64> {
        self.best.filter(|_| self.phase == Phase::Done)
    }

    /// Why it is not higher.
    pub fn limit(&self) -> Option<Verdict> {
        self.worst.map(|(_, verdict)| verdict)
    }
}

/// Searches, printing each step; the re-tested winner's report comes back, or `None` when no rate was
/// sustained.
///
/// # Errors
/// What kept a step from running.
pub fn find_max(plan: &Plan, step_ns: u64, watch: Watch) -> Result<Option<(Report, Outcome)>, String> {
    let judged = plan.flow.latencies().1;
    println!(
        "{} against {}, steps of {} s. Sustained means:\n\
         fewer than 1 in 10,000 {}s fail, and the p99 of {} stays under {} ms.\n",
        plan.flow.name(),
        plan.server,
        step_ns / 1_000_000_000,
        plan.flow.unit(),
        judged.title(),
        P99_MS
    );
    println!(
        "{:>15}{:>12}{:>9}{:>13}{:>10}{:>12}",
        format!("{}s/s", plan.flow.unit()),
        "achieved",
        "failed",
        format!("p99 {} ms", judged.short()),
        "generator",
        "server µs"
    );
    let mut search = Search::new(plan.rate);
    let mut latest = None;
    while let Some(rate) = search.next() {
        let plan = Arc::new(Plan {
            rate,
            calls: u64::MAX,
            duration_ns: step_ns,
            drain_ns: DRAIN_NS + plan.ring_ns + plan.target_ring_ns + plan.talk_ns(),
            ..plan.clone()
        });
        let outcome = run::run(&plan, watch)?;
        if os::interrupted() {
            return Err("interrupted".into());
        }
        let report = Report::new(&plan, &outcome);
        let verdict = Verdict::of(&report);
        println!("{}", row(&report, verdict));
        search.record(verdict);
        latest = Some((report, outcome));
        if search.next().is_some() {
            thread::sleep(if verdict == Verdict::Sustained { SETTLE } else { SETTLE_AFTER_OVERLOAD });
        }
    }
    println!();
    let Some(rate) = search.found() else {
        println!("no rate was sustained");
        return Ok(None);
    };
    let limit = match search.limit() {
        Some(Verdict::GeneratorLimit) => "the generator was the limit: give it more CPUs (--threads, --cpus)",
        _ => "the server was the limit",
    };
    println!(
        "highest sustained rate: {} {unit}s/s, {} {unit}s per hour, tested twice; {limit}\n",
        grouped(rate, 0),
        grouped(rate * 3600.0, 0),
        unit = plan.flow.unit()
    );
    Ok(latest)
}

fn row(report: &Report, verdict: Verdict) -> String {
    let busiest = report.generator.busy.iter().copied().fold(0.0, f64::max);
    let server = report.server_cpu_us_per_call.map_or("–".into(), |us| format!("{us:.1}"));
    format!(
        "{:>15}{:>12}{:>9}{:>13.3}{:>10}{server:>12}   {}",
        grouped(report.rate_asked, 0),
        grouped(report.rate_achieved, 0),
        report.calls_failed,
        report.judged().p99,
        format!("{:.0} %", busiest * 100.0),
        verdict.text()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Cli;
    use crate::report::tests::outcome;
    use crate::tally::Latency;
    use clap::Parser;

    /// Searches a server that sustains every rate up to `capacity`; the rates tried and the one found.
    fn search(first: f64, capacity: f64) -> (Vec<f64>, Option<f64>) {
        let mut search = Search::new(first);
        let mut tried = Vec::new();
        while let Some(rate) = search.next() {
            tried.push(rate);
            assert!(tried.len() < 60, "{tried:?}");
            search.record(if rate <= capacity { Verdict::Sustained } else { Verdict::ServerLimit });
        }
        (tried, search.found())
    }

    #[test]
    fn the_search_comes_close_from_below_and_from_above() {
        for (first, capacity) in [(1_000.0, 17_000.0), (50_000.0, 17_000.0), (17_000.0, 17_000.0)] {
            let (tried, found) = search(first, capacity);
            let found = found.expect("some rate is sustained");
            assert!(found <= capacity && found > capacity / 1.04, "{found} of {capacity}: {tried:?}");
            assert_eq!(tried.last(), Some(&found), "the winner is tested again: {tried:?}");
            assert!(tried.len() < 16, "{tried:?}");
        }
    }

    #[test]
    fn a_dead_server_ends_the_search_without_a_winner() {
        assert_eq!(search(1_000.0, 0.0).1, None);
    }

    #[test]
    fn a_winner_that_fails_its_retest_steps_down() {
        let mut search = Search::new(100.0);
        search.record(Verdict::Sustained);
        assert_eq!(search.next(), Some(150.0));
        search.record(Verdict::ServerLimit);
        while search.phase == Phase::Searching {
            search.record(Verdict::ServerLimit);
        }
        assert_eq!(search.next(), Some(100.0));
        search.record(Verdict::ServerLimit);
        assert_eq!(search.next(), Some(95.0));
        search.record(Verdict::Sustained);
        assert_eq!((search.next(), search.found()), (None, Some(95.0)));
    }

    fn report(failed: u64, change: impl FnOnce(&mut Outcome)) -> Report {
        let mut outcome = outcome(failed);
        change(&mut outcome);
        let cli = Cli::parse_from(["loadgen", "--rate", "1000", "--duration", "1s"]);
        Report::new(&cli.options.plan(), &outcome)
    }

    #[test]
    fn a_failed_call_is_the_servers_fault_only_while_the_generator_has_time() {
        assert_eq!(Verdict::of(&report(0, |_| ())), Verdict::Sustained);
        assert_eq!(Verdict::of(&report(1, |_| ())), Verdict::ServerLimit);
        let busy = report(1, |outcome| outcome.threads[0].busy = 0.97);
        assert_eq!(Verdict::of(&busy), Verdict::GeneratorLimit);
        let late = report(1, |outcome| outcome.late = 100);
        assert_eq!(Verdict::of(&late), Verdict::GeneratorLimit);
    }

    #[test]
    fn slow_ringing_is_not_sustained() {
        let slow = report(0, |outcome| {
            for _ in 0..20 {
                outcome.tally.record(Latency::Ringing, 60_000_000);
            }
        });
        assert_eq!(Verdict::of(&slow), Verdict::ServerLimit);
    }
}
