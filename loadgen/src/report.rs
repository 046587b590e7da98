//! The final report: as text for people, as JSON for machines.

use crate::plan::{Flow, Plan};
use crate::rtp_account::RtpReport;
use crate::run::Outcome;
use crate::tally::{Latency, Registration, Retransmissions, Tally};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// What a run measured. Rates are calls per second, times are in milliseconds unless named otherwise. Where
/// phones register, a registration is what a call is elsewhere.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub flow: &'static str,
    /// What the figures count.
    pub unit: &'static str,
    pub target: String,
    pub seconds: f64,
    pub rate_asked: f64,
    pub rate_offered: f64,
    pub rate_achieved: f64,
    pub calls_per_hour: f64,
    pub calls_started: u64,
    pub calls_good: u64,
    pub calls_failed: u64,
    pub failures: BTreeMap<String, u64>,
    /// Where phones register: what they met, and what came before the figures above.
    pub registration: Option<Registration>,
    pub first_pass: Option<FirstPass>,
    pub retransmissions_own: Retransmissions,
    pub retransmissions_peer: Retransmissions,
    pub calls_are_being_forwarded: u64,
    pub strays: u64,
    pub bad_messages: u64,
    /// Legs that carried no mark of their call: judged one by one, not with their call.
    pub unmarked_legs: u64,
    pub datagrams_sent: u64,
    pub datagrams_received: u64,
    pub datagrams_refused: u64,
    pub datagrams_dropped: u64,
    pub latencies: BTreeMap<&'static str, Percentiles>,
    /// Where calls have sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtp: Option<RtpReport>,
    pub generator: Generator,
    pub server_cpu_us_per_call: Option<f64>,
}

/// How every phone registered once, as fast as the server let it.
#[derive(Clone, Debug, Serialize)]
pub struct FirstPass {
    pub seconds: f64,
    pub registered: u64,
    pub failed: u64,
    pub failures: BTreeMap<String, u64>,
    pub challenges: u64,
}

/// A latency's distribution in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    pub count: u64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

/// How the generator itself fared.
#[derive(Clone, Debug, Serialize)]
pub struct Generator {
    /// Per thread: share of the time that it ran, while calls were started.
    pub busy: Vec<f64>,
    /// Per thread: share of the time that it had work and no CPU.
    pub starved: Vec<f64>,
    /// The least time between two looks at the sockets: each latency may be so much longer per phone.
    pub poll_us: f64,
    /// CPU time of all threads.
    pub cpu_us_per_call: f64,
    /// The latest that a call left after its time.
    pub lag_max_ms: f64,
    /// Calls that left more than 10 ms after their time.
    pub late_calls: u64,
}

impl Percentiles {
    /// Of a histogram of microseconds.
    pub fn of(histogram: &Histogram<u64>) -> Percentiles {
        let ms = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Percentiles {
            count: histogram.len(),
            p50: ms(0.50),
            p90: ms(0.90),
            p99: ms(0.99),
            p999: ms(0.999),
            max: histogram.max() as f64 / 1e3,
        }
    }
}

impl Report {
    pub fn new(plan: &Plan, outcome: &Outcome) -> Report {
        let tally = &outcome.tally;
        let calls_good = tally.good.saturating_sub(tally.unmarked_failures);
        // The last call of a slow plan leaves long before its interval is over: the plan's own length counts.
        let planned_s = (tally.started as f64 / plan.rate).min(plan.duration_ns as f64 / 1e9);
        let offering_s = (outcome.offering_ns as f64 / 1e9).max(planned_s);
        // What the phones add by themselves, ringing and holding, is no slowness of the server.
        let ringing_s = tally.added_ns as f64 / 1e9 / tally.answered.max(1) as f64;
        let own_s = ringing_s + if tally.answered > 0 { plan.talk_ns() as f64 / 1e9 } else { 0.0 };
        let achieving_s = (outcome.achieving_ns as f64 / 1e9 - own_s).max(offering_s);
        let rate_achieved = calls_good as f64 / achieving_s.max(1e-9);
        let registers = plan.flow == Flow::Register;
        Report {
            flow: plan.flow.name(),
            unit: plan.flow.unit(),
            target: plan.server.to_string(),
            seconds: offering_s,
            rate_asked: plan.rate,
            rate_offered: tally.started as f64 / offering_s.max(1e-9),
            rate_achieved,
            calls_per_hour: rate_achieved * 3600.0,
            calls_started: tally.started,
            calls_good,
            calls_failed: tally.started - calls_good.min(tally.started),
            failures: failures(tally),
            registration: registers.then_some(tally.registration),
            first_pass: registers.then(|| FirstPass {
                seconds: outcome.preparing_ns as f64 / 1e9,
                registered: outcome.prepared.good,
                failed: outcome.prepared.failed,
                failures: failures(&outcome.prepared),
                challenges: outcome.prepared.registration.challenges,
            }),
            retransmissions_own: tally.own,
            retransmissions_peer: tally.peer,
            calls_are_being_forwarded: tally.being_forwarded,
            strays: tally.strays,
            bad_messages: tally.bad_messages,
            unmarked_legs: tally.unmarked_legs,
            datagrams_sent: tally.datagrams_sent,
            datagrams_received: tally.datagrams_received,
            datagrams_refused: tally.datagrams_refused,
            datagrams_dropped: tally.datagrams_dropped,
            latencies: plan
                .flow
                .latencies()
                .0
                .iter()
                .map(|latency| (latency.key(), Percentiles::of(tally.latency(*latency))))
                .collect(),
            rtp: plan
                .rtp
                .as_ref()
                .zip(tally.rtp.as_ref())
                .map(|(rtp, account)| RtpReport::new(rtp.codec.name(), rtp.loss_max, account)),
            generator: Generator {
                busy: outcome.threads.iter().map(|thread| thread.busy).collect(),
                starved: outcome.threads.iter().map(|thread| thread.starved).collect(),
                poll_us: plan.look_every_ns() as f64 / 1e3,
                cpu_us_per_call: outcome.threads.iter().map(|thread| thread.cpu_ns).sum::<u64>() as f64
                    / 1e3
                    / tally.started.max(1) as f64,
                lag_max_ms: outcome.lag_max_ns as f64 / 1e6,
                late_calls: outcome.late,
            },
            server_cpu_us_per_call: outcome.server_cpu_us.map(|us| us as f64 / tally.started.max(1) as f64),
        }
    }

    /// A latency's distribution; empty when nothing of the kind was measured.
    pub fn latency(&self, latency: Latency) -> Percentiles {
        self.latencies.get(latency.key()).copied().unwrap_or_default()
    }

    /// The latency that a server is judged by.
    pub fn judged(&self) -> Percentiles {
        let of = if self.registration.is_some() { Latency::Register } else { Latency::Ringing };
        self.latency(of)
    }

    /// Failed calls per call started.
    pub fn failed_share(&self) -> f64 {
        self.calls_failed as f64 / self.calls_started.max(1) as f64
    }

    /// The report as text, a line for each thing.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "{} against {}, {:.1} s", self.flow, self.target, self.seconds)?;
        writeln!(
            out,
            "\nrate        asked {}/s   offered {}/s   achieved {}/s = {} {}s per hour",
            grouped(self.rate_asked, 0),
            grouped(self.rate_offered, 1),
            grouped(self.rate_achieved, 1),
            grouped(self.calls_per_hour, 0),
            self.unit
        )?;
        writeln!(
            out,
            "{:<11} {} started   {} good   {} failed",
            if self.registration.is_some() { "registered" } else { "calls" },
            grouped(self.calls_started as f64, 0),
            grouped(self.calls_good as f64, 0),
            grouped(self.calls_failed as f64, 0)
        )?;
        for (failure, count) in &self.failures {
            writeln!(out, "  {:>9} {failure}", grouped(*count as f64, 0))?;
        }
        self.write_registration(out)?;
        writeln!(out, "resent      by us: {}", resent(&self.retransmissions_own))?;
        if self.registration.is_none() {
            writeln!(out, "            by the server: {}", resent(&self.retransmissions_peer))?;
        }
        self.write_datagrams(out)?;
        if let Some(rtp) = &self.rtp {
            rtp.write(out)?;
        }
        self.write_generator(out)?;
        if let Some(us) = self.server_cpu_us_per_call {
            writeln!(out, "server      {us:.1} µs of CPU per {}", self.unit)?;
        }
        writeln!(
            out,
            "\n{:<28}{:>10}{:>10}{:>10}{:>10}{:>10}",
            "latency in ms", "p50", "p90", "p99", "p99.9", "max"
        )?;
        let of_signalling = [Latency::OF_CALLS.as_slice(), &[Latency::Register]].concat();
        let rows = of_signalling.iter().map(|latency| (latency.title(), self.latency(*latency)));
        let rtp = self.rtp.iter().map(|rtp| ("RTP, phone to phone", rtp.delay));
        for (title, Percentiles { count, p50, p90, p99, p999, max }) in rows.chain(rtp) {
            if count > 0 {
                writeln!(out, "{title:<28}{p50:>10.3}{p90:>10.3}{p99:>10.3}{p999:>10.3}{max:>10.3}")?;
            }
        }
        Ok(())
    }

    fn write_registration(&self, out: &mut String) -> std::fmt::Result {
        let (Some(first), Some(own)) = (&self.first_pass, &self.registration) else { return Ok(()) };
        writeln!(
            out,
            "challenges  {} answered   {} of them stale   {} began with the nonce they had",
            grouped(own.challenges as f64, 0),
            grouped(own.stale as f64, 0),
            grouped(own.nonce_kept as f64, 0)
        )?;
        if own.late_answers > 0 {
            writeln!(out, "            {} answers came too late or again", own.late_answers)?;
        }
        writeln!(
            out,
            "first pass  {} registered   {} failed   {} challenges answered   in {:.3} s",
            grouped(first.registered as f64, 0),
            grouped(first.failed as f64, 0),
            grouped(first.challenges as f64, 0),
            first.seconds
        )?;
        for (failure, count) in &first.failures {
            writeln!(out, "  {:>9} {failure}", grouped(*count as f64, 0))?;
        }
        Ok(())
    }

    fn write_datagrams(&self, out: &mut String) -> std::fmt::Result {
        let total = self.datagrams_sent + self.datagrams_received;
        write!(
            out,
            "datagrams   {} sent   {} received   {:.1} per {}",
            grouped(self.datagrams_sent as f64, 0),
            grouped(self.datagrams_received as f64, 0),
            total as f64 / self.calls_started.max(1) as f64,
            self.unit
        )?;
        let rare = [
            (self.datagrams_refused, "refused by the kernel"),
            (self.datagrams_dropped, "dropped because our sockets were full"),
            (self.bad_messages, "not acceptable SIP"),
            (self.strays, "of nothing in this run"),
        ];
        for (count, what) in rare.iter().filter(|(count, _)| *count > 0) {
            write!(out, "   {count} {what}")?;
        }
        writeln!(out)?;
        if self.unmarked_legs > 0 {
            let legs = grouped(self.unmarked_legs as f64, 0);
            writeln!(
                out,
                "            {legs} legs came without their call's mark and were judged by themselves"
            )?;
        }
        Ok(())
    }

    fn write_generator(&self, out: &mut String) -> std::fmt::Result {
        let shares = |shares: &[f64]| {
            shares.iter().map(|share| format!("{:.0} %", share * 100.0)).collect::<Vec<_>>().join(", ")
        };
        let Generator { busy, starved, poll_us, cpu_us_per_call, lag_max_ms, late_calls } = &self.generator;
        writeln!(
            out,
            "generator   {cpu_us_per_call:.1} µs of CPU per {}   busy {}   without a CPU {}",
            self.unit,
            shares(busy),
            shares(starved)
        )?;
        writeln!(
            out,
            "            latest {} {lag_max_ms:.3} ms late   {} over 10 ms late   looks at its sockets {}",
            self.unit,
            grouped(*late_calls as f64, 0),
            if *poll_us > 0.0 { format!("every {poll_us:.0} µs") } else { "at once".into() }
        )
    }

    /// # Errors
    /// None that a report can cause: every key is text and every number finite.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}

fn resent(count: &Retransmissions) -> String {
    if count.total() == 0 {
        return "0".into();
    }
    let Retransmissions { invite, cancel, bye, answer, rejection, register } = *count;
    let kinds = [
        ("INVITE", invite),
        ("CANCEL", cancel),
        ("BYE", bye),
        ("200", answer),
        ("other final responses", rejection),
        ("REGISTER", register),
    ];
    let seen = kinds.iter().filter(|(_, count)| *count > 0);
    let kinds: Vec<String> = seen.map(|(kind, count)| format!("{kind} {count}")).collect();
    format!("{} ({})", count.total(), kinds.join(", "))
}

fn failures(tally: &Tally) -> BTreeMap<String, u64> {
    tally.failures.iter().map(|(failure, count)| (failure.to_string(), *count)).collect()
}

/// A number with a comma between thousands.
pub fn grouped(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut grouped = String::from(sign);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if !fraction.is_empty() {
        grouped.push('.');
        grouped.push_str(fraction);
    }
    grouped
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::args::Cli;
    use crate::call::Failure;
    use crate::run::ThreadLoad;
    use crate::tally::Tally;
    use clap::Parser;

    /// What a run of 1,000 calls in one second gives, with `failed` of them failed.
    pub fn outcome(failed: u64) -> Outcome {
        let mut tally = Tally::new();
        tally.started = 1_000;
        for call in 0..1_000 {
            let failure = (call < failed).then_some(Failure::NoFinal);
            tally.end(1_000_000_000, failure);
            tally.record(Latency::Ringing, 250_000);
        }
        Outcome {
            tally,
            prepared: Tally::new(),
            preparing_ns: 0,
            threads: vec![ThreadLoad { busy: 0.25, starved: 0.0, cpu_ns: 250_000_000 }],
            lag_max_ns: 1_500_000,
            late: 0,
            offering_ns: 1_000_000_000,
            achieving_ns: 1_000_000_000,
            server_cpu_us: Some(60_000),
            trace: None,
        }
    }

    fn report(failed: u64) -> Report {
        let cli = Cli::parse_from(["loadgen", "--rate", "1000", "--duration", "1s"]);
        Report::new(&cli.options.plan(), &outcome(failed))
    }

    #[test]
    fn rates_and_failures_are_what_was_counted() {
        let report = report(3);
        assert_eq!((report.calls_good, report.calls_failed), (997, 3));
        assert!((report.rate_offered - 1_000.0).abs() < 1e-6);
        assert!((report.rate_achieved - 997.0).abs() < 1e-6);
        assert_eq!(report.server_cpu_us_per_call, Some(60.0));
        let text = report.text();
        assert!(text.contains("3 timeout: no final response to INVITE"), "{text}");
        assert!(text.contains("= 3,589,200 calls per hour"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
    }

    #[test]
    fn a_failed_leg_without_a_mark_takes_a_good_call_away() {
        let mut outcome = outcome(0);
        outcome.tally.end_unmarked(Some(Failure::NoBye));
        let cli = Cli::parse_from(["loadgen", "--rate", "1000", "--duration", "1s"]);
        let report = Report::new(&cli.options.plan(), &outcome);
        assert_eq!((report.calls_good, report.calls_failed), (999, 1));
    }

    #[test]
    fn json_has_every_figure() {
        let json: serde_json::Value =
            serde_json::from_str(&report(0).json().expect("a report is plain data")).expect("JSON");
        assert_eq!(json["calls_good"], 1_000);
        assert_eq!(json["latencies"]["invite_180"]["p99"], 0.25);
        assert_eq!(json["generator"]["busy"][0], 0.25);
    }

    #[test]
    fn thousands_are_grouped() {
        let texts: Vec<String> =
            [0.0, 999.0, 1_000.0, 1_234_567.0, -1_000.0].iter().map(|n| grouped(*n, 0)).collect();
        assert_eq!(texts, ["0", "999", "1,000", "1,234,567", "-1,000"]);
        assert_eq!(grouped(17_000.25, 1), "17,000.2");
    }
}
