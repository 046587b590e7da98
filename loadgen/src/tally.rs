//! What one thread counts; the report adds the threads up.

use crate::call::Failure;
use crate::rtp_account::Account;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;

/// Histograms hold microseconds up to two minutes, with three digits.
const LONGEST_US: u64 = 120_000_000;

/// What is measured, each from its own start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latency {
    /// From the INVITE's intended time to the first 100.
    Trying,
    /// From the INVITE's intended time to the first 180.
    Ringing,
    /// From the INVITE's intended time to the 200, less the time that the phones rang.
    Answer,
    /// From a phone's BYE to its 200.
    Bye,
    /// From the REGISTER's intended time to the 200, the answer to a challenge included.
    Register,
}

impl Latency {
    /// In the order of a call.
    pub const OF_CALLS: [Latency; 4] = [Latency::Trying, Latency::Ringing, Latency::Answer, Latency::Bye];
    const COUNT: usize = Latency::Register as usize + 1;

    /// What stands in the report.
    pub fn title(self) -> &'static str {
        match self {
            Latency::Trying => "INVITE → 100",
            Latency::Ringing => "INVITE → 180",
            Latency::Answer => "INVITE → 200 less ringing",
            Latency::Bye => "BYE → 200",
            Latency::Register => "REGISTER → 200",
        }
    }

    /// What stands where there is little room.
    pub fn short(self) -> &'static str {
        match self {
            Latency::Trying => "→100",
            Latency::Ringing => "→180",
            Latency::Answer | Latency::Bye | Latency::Register => "→200",
        }
    }

    /// What stands in file names and in JSON.
    pub fn key(self) -> &'static str {
        match self {
            Latency::Trying => "invite_100",
            Latency::Ringing => "invite_180",
            Latency::Answer => "invite_200",
            Latency::Bye => "bye_200",
            Latency::Register => "register_200",
        }
    }
}

/// Messages that were sent again because nothing came back, by kind; ours or the peer's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Retransmissions {
    pub invite: u64,
    pub cancel: u64,
    pub bye: u64,
    /// 200 to INVITE.
    pub answer: u64,
    /// Other final responses to INVITE.
    pub rejection: u64,
    pub register: u64,
}

impl Retransmissions {
    pub fn total(&self) -> u64 {
        self.invite + self.cancel + self.bye + self.answer + self.rejection + self.register
    }

    fn add(&mut self, other: &Retransmissions) {
        self.invite += other.invite;
        self.cancel += other.cancel;
        self.bye += other.bye;
        self.answer += other.answer;
        self.rejection += other.rejection;
        self.register += other.register;
    }
}

/// What registrations were like, good ones and others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Registration {
    /// That began with the nonce of an earlier one.
    pub nonce_kept: u64,
    /// 401s that were answered with credentials, and those of them that said `stale=true`.
    pub challenges: u64,
    pub stale: u64,
    /// Responses to a REGISTER whose phone waited for them no more.
    pub late_answers: u64,
}

impl Registration {
    fn add(&mut self, other: &Registration) {
        self.nonce_kept += other.nonce_kept;
        self.challenges += other.challenges;
        self.stale += other.stale;
        self.late_answers += other.late_answers;
    }
}

/// One thread's account.
#[derive(Clone)]
pub struct Tally {
    pub started: u64,
    pub good: u64,
    /// When the last good call ended.
    pub last_good_ns: u64,
    pub failed: u64,
    pub failures: BTreeMap<Failure, u64>,
    /// Legs that carried no mark of their call: they are counted, but not with their call.
    pub unmarked_legs: u64,
    pub unmarked_failures: u64,
    pub own: Retransmissions,
    pub peer: Retransmissions,
    pub registration: Registration,
    /// 181 Call Is Being Forwarded that callers saw.
    pub being_forwarded: u64,
    /// Messages that belong to no call of this run.
    pub strays: u64,
    /// Datagrams that are not acceptable SIP.
    pub bad_messages: u64,
    pub datagrams_received: u64,
    pub datagrams_sent: u64,
    pub datagrams_refused: u64,
    /// Datagrams that found our own sockets full.
    pub datagrams_dropped: u64,
    /// Ringing that the phones added to answered calls.
    pub added_ns: u64,
    pub answered: u64,
    /// The calls' packets, where calls have sound.
    pub rtp: Option<Box<Account>>,
    latencies: [Histogram<u64>; Latency::COUNT],
    /// What a server is judged by, of the present second, for the progress line.
    pub recent: Histogram<u64>,
}

/// An empty histogram of microseconds.
pub fn histogram() -> Histogram<u64> {
    // cannot fail: the bounds are constants that the crate accepts (low ≥ 1, high ≥ 2·low, ≤ 5 digits)
    Histogram::new_with_bounds(1, LONGEST_US, 3).expect("constant bounds")
}

impl Tally {
    pub fn new() -> Tally {
        Tally {
            started: 0,
            good: 0,
            last_good_ns: 0,
            failed: 0,
            failures: BTreeMap::new(),
            unmarked_legs: 0,
            unmarked_failures: 0,
            own: Retransmissions::default(),
            peer: Retransmissions::default(),
            registration: Registration::default(),
            being_forwarded: 0,
            strays: 0,
            bad_messages: 0,
            datagrams_received: 0,
            datagrams_sent: 0,
            datagrams_refused: 0,
            datagrams_dropped: 0,
            added_ns: 0,
            answered: 0,
            rtp: None,
            latencies: std::array::from_fn(|_| histogram()),
            recent: histogram(),
        }
    }

    #[inline]
    pub fn record(&mut self, latency: Latency, ns: u64) {
        let us = (ns / 1_000).max(1);
        self.latencies[latency as usize].saturating_record(us);
        if matches!(latency, Latency::Ringing | Latency::Register) {
            self.recent.saturating_record(us);
        }
    }

    /// A histogram of microseconds.
    pub fn latency(&self, latency: Latency) -> &Histogram<u64> {
        &self.latencies[latency as usize]
    }

    /// A call ended; `failure` is why it is not good.
    pub fn end(&mut self, now_ns: u64, failure: Option<Failure>) {
        match failure {
            None => {
                self.good += 1;
                self.last_good_ns = now_ns;
            }
            Some(failure) => {
                self.failed += 1;
                *self.failures.entry(failure).or_default() += 1;
            }
        }
    }

    /// A leg without a mark ended.
    pub fn end_unmarked(&mut self, failure: Option<Failure>) {
        self.unmarked_legs += 1;
        if let Some(failure) = failure {
            self.unmarked_failures += 1;
            *self.failures.entry(failure).or_default() += 1;
        }
    }

    /// Adds another thread's account.
    pub fn add(&mut self, other: &Tally) {
        self.started += other.started;
        self.good += other.good;
        self.last_good_ns = self.last_good_ns.max(other.last_good_ns);
        self.failed += other.failed;
        for (failure, count) in &other.failures {
            *self.failures.entry(*failure).or_default() += count;
        }
        self.unmarked_legs += other.unmarked_legs;
        self.unmarked_failures += other.unmarked_failures;
        self.own.add(&other.own);
        self.peer.add(&other.peer);
        self.registration.add(&other.registration);
        self.being_forwarded += other.being_forwarded;
        self.strays += other.strays;
        self.bad_messages += other.bad_messages;
        self.datagrams_received += other.datagrams_received;
        self.datagrams_sent += other.datagrams_sent;
        self.datagrams_refused += other.datagrams_refused;
        self.datagrams_dropped += other.datagrams_dropped;
        self.added_ns += other.added_ns;
        self.answered += other.answered;
        match (&mut self.rtp, &other.rtp) {
            (Some(mine), Some(theirs)) => mine.add(theirs),
            (mine @ None, theirs) => mine.clone_from(theirs),
            (Some(_), None) => {}
        }
        for (mine, theirs) in self.latencies.iter_mut().zip(&other.latencies) {
            // Both have the same bounds, so the sum fits.
            let _ = mine.add(theirs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_add_up() {
        let mut first = Tally::new();
        first.end(1, None);
        first.end(2, Some(Failure::Status(503)));
        first.record(Latency::Ringing, 2_000_000);
        let mut second = Tally::new();
        second.end(2, Some(Failure::Status(503)));
        second.end_unmarked(Some(Failure::NoBye));
        second.record(Latency::Ringing, 500_000_000_000);
        first.add(&second);
        assert_eq!((first.good, first.failed, first.unmarked_failures), (1, 2, 1));
        assert_eq!(first.failures.get(&Failure::Status(503)), Some(&2));
        assert_eq!(first.latency(Latency::Ringing).len(), 2);
        assert!(first.latency(Latency::Ringing).max() >= 119_000_000, "too long is kept as the longest");
    }
}
