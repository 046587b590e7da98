//! What is counted of the calls' packets: by each thread, then in sum, and what the report says of it.

use crate::report::{Percentiles, grouped};
use crate::tally;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::fmt::Write;

/// One thread's account of its packets.
#[derive(Clone)]
pub struct Account {
    pub sent: u64,
    /// Each packet once, of the right call, from the right place, whole and in time.
    pub received: u64,
    /// Received behind a newer one.
    pub out_of_order: u64,
    pub duplicated: u64,
    /// From the right place and not as they were sent.
    pub corrupted: u64,
    /// Of another call, another stream or another run, or our own that came back.
    pub other_call: u64,
    /// From elsewhere than the place that the server's description names.
    pub wrong_source: u64,
    /// More than 200 ms after the end of the call at the side that got them.
    pub after_call: u64,
    /// Other packets than ours that a caller heard before the answer, such as the server's tones.
    pub before_answer: u64,
    /// Sides of calls that talked and never heard anything.
    pub silent_sides: u64,
    /// Packets that the kernel would not send: they are not `sent`.
    pub refused: u64,
    /// Packets that our own sockets had no room for.
    pub dropped: u64,
    /// Packets sent when the call was over, which nobody should get.
    pub sent_after_call: u64,
    /// Calls that talked at the same time.
    pub calls_at_once_max: u64,
    /// How long after its time a packet was sent, at worst.
    pub lag_max_ns: u64,
    /// Packets that were sent more than 20 ms after their time.
    pub late: u64,
    /// From sending to receiving, in microseconds.
    delays: Histogram<u64>,
}

impl Default for Account {
    fn default() -> Account {
        Account {
            sent: 0,
            received: 0,
            out_of_order: 0,
            duplicated: 0,
            corrupted: 0,
            other_call: 0,
            wrong_source: 0,
            after_call: 0,
            before_answer: 0,
            silent_sides: 0,
            refused: 0,
            dropped: 0,
            sent_after_call: 0,
            calls_at_once_max: 0,
            lag_max_ns: 0,
            late: 0,
            delays: tally::histogram(),
        }
    }
}

impl Account {
    #[inline]
    pub fn record_delay(&mut self, delay_ns: u64) {
        self.delays.saturating_record((delay_ns / 1_000).max(1));
    }

    /// A histogram of microseconds.
    pub fn delays(&self) -> &Histogram<u64> {
        &self.delays
    }

    /// Adds another thread's account. A packet is sent by one thread and may be received by another, so only
    /// the sum says what was lost.
    pub fn add(&mut self, other: &Account) {
        let counts = [
            (&mut self.sent, other.sent),
            (&mut self.received, other.received),
            (&mut self.out_of_order, other.out_of_order),
            (&mut self.duplicated, other.duplicated),
            (&mut self.corrupted, other.corrupted),
            (&mut self.other_call, other.other_call),
            (&mut self.wrong_source, other.wrong_source),
            (&mut self.after_call, other.after_call),
            (&mut self.before_answer, other.before_answer),
            (&mut self.silent_sides, other.silent_sides),
            (&mut self.refused, other.refused),
            (&mut self.dropped, other.dropped),
            (&mut self.sent_after_call, other.sent_after_call),
            (&mut self.calls_at_once_max, other.calls_at_once_max),
            (&mut self.late, other.late),
        ];
        for (mine, theirs) in counts {
            *mine += theirs;
        }
        self.lag_max_ns = self.lag_max_ns.max(other.lag_max_ns);
        // Both have the same bounds, so the sum fits.
        let _ = self.delays.add(&other.delays);
    }
}

/// The report's part about packets.
#[derive(Clone, Debug, Serialize)]
pub struct RtpReport {
    pub codec: &'static str,
    pub sent: u64,
    pub received: u64,
    /// Sent and not received.
    pub lost: u64,
    pub out_of_order: u64,
    pub duplicated: u64,
    pub corrupted: u64,
    pub other_call: u64,
    pub wrong_source: u64,
    pub after_call: u64,
    pub silent_sides: u64,
    pub before_answer: u64,
    pub refused: u64,
    pub dropped: u64,
    pub sent_after_call: u64,
    pub calls_at_once_max: u64,
    pub lag_max_ms: f64,
    pub late: u64,
    /// From one phone to the other, in milliseconds; the time in our own sockets is part of it.
    pub delay: Percentiles,
    /// Whether the run counts as good.
    pub is_good: bool,
}

impl RtpReport {
    /// `loss_max` is the share of lost packets that still counts as good.
    pub fn new(codec: &'static str, loss_max: f64, account: &Account) -> RtpReport {
        let lost = account.sent.saturating_sub(account.received);
        let wrong = account.corrupted + account.other_call + account.wrong_source + account.after_call;
        RtpReport {
            codec,
            sent: account.sent,
            received: account.received,
            lost,
            out_of_order: account.out_of_order,
            duplicated: account.duplicated,
            corrupted: account.corrupted,
            other_call: account.other_call,
            wrong_source: account.wrong_source,
            after_call: account.after_call,
            silent_sides: account.silent_sides,
            before_answer: account.before_answer,
            refused: account.refused,
            dropped: account.dropped,
            sent_after_call: account.sent_after_call,
            calls_at_once_max: account.calls_at_once_max,
            lag_max_ms: account.lag_max_ns as f64 / 1e6,
            late: account.late,
            delay: Percentiles::of(account.delays()),
            is_good: lost as f64 <= loss_max * account.sent as f64 && wrong + account.silent_sides == 0,
        }
    }

    /// A line for each count; those that are seldom anything are left out when they are 0.
    pub fn write(&self, out: &mut String) -> std::fmt::Result {
        let lost_percent = self.lost as f64 * 100.0 / self.sent.max(1) as f64;
        writeln!(
            out,
            "rtp         {}, 20 ms   {} calls at once   latest packet {:.3} ms late",
            self.codec,
            grouped(self.calls_at_once_max as f64, 0),
            self.lag_max_ms
        )?;
        let lost = format!("lost ({lost_percent:.4} %)");
        let always = [
            (self.sent, "sent"),
            (self.received, "received"),
            (self.lost, lost.as_str()),
            (self.out_of_order, "out of order"),
            (self.duplicated, "duplicated"),
            (self.corrupted, "corrupted"),
            (self.other_call, "of another call"),
            (self.wrong_source, "from the wrong source"),
            (self.after_call, "after the call's end"),
        ];
        let seldom = [
            (self.silent_sides, "sides of calls that heard nothing"),
            (self.before_answer, "before the answer, not of phones"),
            (self.refused, "not sent: refused by the kernel"),
            (self.late, "sent over 20 ms late: the generator did not keep up"),
            (self.dropped, "dropped because our sockets were full"),
            (self.sent_after_call, "sent after the call's end, on purpose"),
        ];
        for (count, what) in always.iter().chain(seldom.iter().filter(|(count, _)| *count > 0)) {
            writeln!(out, "{:>14} {what}", grouped(*count as f64, 0))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        let mut account = Account { sent: 10_000, received: 10_000, ..Account::default() };
        account.record_delay(250_000);
        account
    }

    #[test]
    fn what_one_thread_sends_and_another_receives_was_not_lost() {
        let mut sum = Account { received: 0, lag_max_ns: 5, ..account() };
        let mut other = Account { sent: 0, lag_max_ns: 3, out_of_order: 2, ..account() };
        other.record_delay(500_000_000_000);
        sum.add(&other);
        let report = RtpReport::new("PCMA", 0.0, &sum);
        assert_eq!((report.sent, report.received, report.lost, report.out_of_order), (10_000, 10_000, 0, 2));
        assert!(report.is_good, "disorder is no failure");
        assert_eq!((report.delay.count, sum.lag_max_ns), (3, 5));
    }

    #[test]
    fn losses_beyond_the_share_allowed_and_anything_wrong_fail_a_run() {
        let is_good = |account: &Account| RtpReport::new("PCMA", 0.001, account).is_good;
        assert!(is_good(&account()));
        assert!(is_good(&Account { received: 9_990, duplicated: 3, before_answer: 1, ..account() }));
        let bad = [
            Account { received: 9_989, ..account() },
            Account { corrupted: 1, ..account() },
            Account { other_call: 1, ..account() },
            Account { wrong_source: 1, ..account() },
            Account { after_call: 1, ..account() },
            Account { silent_sides: 1, ..account() },
        ];
        assert!(bad.iter().all(|account| !is_good(account)));
    }

    #[test]
    fn each_count_has_a_line_of_its_own() {
        let lossy = Account { received: 9_000, silent_sides: 2, calls_at_once_max: 1_500, ..account() };
        let mut text = String::new();
        RtpReport::new("PCMU", 0.0, &lossy).write(&mut text).expect("writing to a String");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "rtp         PCMU, 20 ms   1,500 calls at once   latest packet 0.000 ms late");
        assert_eq!(
            lines[1..4],
            ["        10,000 sent", "         9,000 received", "         1,000 lost (10.0000 %)"]
        );
        assert_eq!(lines.len(), 11, "{text}");
        assert!(text.contains("2 sides of calls that heard nothing"), "{text}");
    }
}
