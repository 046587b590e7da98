//! From where a party's packets are taken: learned at first, locked then. One latch for RTP, one for RTCP.
//!
//! ```text
//!            a place is described
//!   Closed ────────────────────────▶ Learning ──┬── from the place described ─────────▶ Signalled
//!     ▲                               ▲   │     │                                         ▲
//!     │ one out of reach              │   │     └── allowed, by the rule ──▶ Learned ─────┘
//!     │ (from any state)   another is described                             │     ▲   from the place
//!     │                (from any state, Closed too)                         └─────┘   described
//!     │                                   │                         it goes on elsewhere
//!                                         └── tasted: relayed, not locked
//! ```
//!
//! A party may send from the place that it described, whatever else came before. Besides, ports of *its
//! hosts* are allowed: of the one described, and, where that is not public and another than the one that its
//! signalling comes from (it may be behind a NAT), of that one too. What comes from any other host is never
//! taken. The rule says what the hosts' packets are worth ([`Rule`]).
//!
//! When another place is described the old source is not taken for some time: what is still on its way would
//! be learned else.

use super::reach::{Place, is_same};
use crate::clock::{Moment, Now};
use crate::settings::Learning;
use std::net::{IpAddr, SocketAddr};

/// How long the window mode learns from a description that names a new place.
pub const WINDOW_MS: u64 = 500;

/// How long the source before a new place is not learned again: a re-INVITE's answer is underway for less.
pub const LEFT_MS: u64 = 2_000;

/// Packets of a stream of one party's, RTP and RTCP together, that are relayed though nothing has locked.
pub const TASTED_MAX: u8 = 5;

/// Packets in a row from one port that lock behind a NAT in the window mode.
pub const ROW_MIN: u8 = 3;

/// How far a sequence number may be ahead of the last one to go on from it.
const STEP_MAX: u16 = 16;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// No place was ever described, or the last one is out of reach.
    #[default]
    Closed,
    /// Nothing has locked yet.
    Learning,
    /// Locked on a port of the party's hosts that it has not described.
    Learned,
    /// Locked on the place described.
    Signalled,
}

/// Where a packet comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// From the place described.
    Signalled,
    /// From the source that was learned.
    Source,
    /// From another port of the party's hosts, and it goes on from the packets before as the rule asks: the
    /// same SSRC, each sequence number at most 16 ahead.
    Continued,
    /// From another port of the party's hosts.
    Host,
    /// From any other host, or from the source that the party has just left.
    Elsewhere,
}

/// What packets of the party's hosts are worth that do not come from the place described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// `off`: nothing.
    Off,
    /// `once`, no RTP, or RTCP from the host that RTP has locked on: the first one locks.
    First,
    /// `window`, behind a NAT: three in a row lock. Another port that goes on from them takes over, and so do
    /// three in a row from the port number that was described.
    Moving,
    /// The same after the window: three in a row lock.
    Proving,
    /// `window`, and keys of a stream (DTLS, ZRTP) always: they are tasted, but lock nothing.
    Tasting,
    /// After the window: the one tasted last locks with its next packet.
    Chosen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Take,
    /// Taken, unless five were tasted before.
    Taste,
    Drop,
}

/// What becomes of the latch and of the packet.
#[must_use]
pub const fn step(state: State, rule: Rule, event: Event) -> (State, Verdict) {
    use Event as E;
    use State as S;
    match (state, event, rule) {
        (S::Closed, _, _) | (_, E::Elsewhere, _) => (state, Verdict::Drop),
        (S::Learning | S::Learned | S::Signalled, E::Signalled, _) => (S::Signalled, Verdict::Take),
        // There is no other source than the place described.
        (S::Signalled, E::Source | E::Continued | E::Host, _) => (state, Verdict::Drop),
        (S::Learned, E::Source, _) | (S::Learned, E::Continued, Rule::Moving) => (state, Verdict::Take),
        (S::Learned, E::Continued | E::Host, _) => (state, Verdict::Drop),
        (S::Learning, E::Continued | E::Host, Rule::First)
        | (S::Learning, E::Continued, Rule::Moving | Rule::Proving | Rule::Chosen) => {
            (S::Learned, Verdict::Take)
        }
        (S::Learning, E::Continued | E::Host, Rule::Tasting)
        | (S::Learning, E::Host, Rule::Moving | Rule::Proving) => (state, Verdict::Taste),
        // `Source` cannot come: nothing has been learned.
        (S::Learning, E::Source, _)
        | (S::Learning, E::Continued | E::Host, Rule::Off)
        | (S::Learning, E::Host, Rule::Chosen) => (state, Verdict::Drop),
    }
}

/// What tells one stream from another: RTCP has no sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub ssrc: u32,
    pub sequence: Option<u16>,
}

impl Mark {
    /// Whether it goes on from an earlier one.
    fn follows(self, before: Mark) -> bool {
        let is_next = match (self.sequence, before.sequence) {
            (Some(sequence), Some(before)) => (1..=STEP_MAX).contains(&sequence.wrapping_sub(before)),
            _ => true,
        };
        self.ssrc == before.ssrc && is_next
    }

    /// It, with the sequence number that it does not have itself.
    fn after(self, before: Mark) -> Mark {
        Mark { sequence: self.sequence.or(before.sequence), ..self }
    }
}

/// A port of the party's hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Port {
    number: u16,
    /// Of the host described.
    is_described: bool,
}

/// What came last from a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Trace {
    port: Port,
    mark: Mark,
    /// How many packets came in a row.
    row: u8,
}

impl Trace {
    fn first(port: Port, mark: Mark) -> Trace {
        Trace { port, mark, row: 1 }
    }

    /// With the packet that comes next, if that goes on from it.
    fn and(self, port: Port, mark: Mark) -> Option<Trace> {
        let goes_on = self.port == port && mark.follows(self.mark);
        let row = self.row.saturating_add(1);
        goes_on.then(|| Trace { port, mark: mark.after(self.mark), row })
    }
}

/// Where a description wants a party's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Described {
    At(SocketAddr),
    /// Nowhere for now.
    Hold,
    /// Where the sockets do not reach.
    OutOfReach,
}

/// Who the party is, as its latches need to know.
#[derive(Clone, Copy, Debug)]
pub struct Party {
    pub learning: Learning,
    pub is_rtp: bool,
    /// For RTCP's latch: the host that RTP's has locked on.
    pub known: Option<IpAddr>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Latch {
    state: State,
    /// The last description names a place; else nothing is to be sent there.
    is_open: bool,
    /// What was described last.
    place: Option<Place>,
    /// On what it is locked.
    source: Option<SocketAddr>,
    /// On what it was locked before another place was described, and until when that counts.
    left: Option<(SocketAddr, Moment)>,
    window_end: Moment,
    /// The last packet taken, or of the hosts' while learning.
    newest: Option<Trace>,
    /// The last one that went on from another.
    steady: Option<Trace>,
    /// The last one from the port number described, at the signalling's host.
    named: Option<Trace>,
}

impl Latch {
    /// What the party describes counts from now on; `host`: where its signalling comes from. The same place
    /// keeps the lock, and a hold keeps it for when the place is described again.
    pub fn describe(&mut self, now: Now, described: Described, host: IpAddr) {
        let place = match described {
            Described::At(place) => Some(Place::new(place, host)),
            Described::Hold => return self.is_open = false,
            Described::OutOfReach => None,
        };
        self.is_open = place.is_some();
        if place.is_some() && self.place == place {
            return self.reopen(now);
        }
        let until = Moment::from(Now::from_ms(now.as_ms() + LEFT_MS));
        let left = self.source.map(|source| (source, until)).or(self.left);
        let state = if place.is_some() { State::Learning } else { State::Closed };
        *self = Latch { state, is_open: self.is_open, place, left, ..Latch::default() };
        self.reopen(now);
    }

    /// As long as nothing has locked, each agreement opens the window again: a party may not have begun to
    /// send when it described the place.
    pub fn reopen(&mut self, now: Now) {
        if self.state == State::Learning {
            self.window_end = Moment::from(Now::from_ms(now.as_ms() + WINDOW_MS));
        }
    }

    /// Whether a packet is taken. `mark`: that of RTP and RTCP; keys of a stream that is RTP have none.
    /// `tastes`: how many packets may still be tasted.
    #[inline]
    pub fn take(
        &mut self,
        at: Moment,
        source: SocketAddr,
        mark: Option<Mark>,
        party: Party,
        tastes: &mut u8,
    ) -> bool {
        if self.is_locked_on(source) {
            if at < self.window_end {
                self.follow(source, mark);
            }
            // From the source that was learned, or from the place described: what `step` says, but cheaper.
            return true;
        }
        match self.learn(at, source, mark, party) {
            Verdict::Take => true,
            Verdict::Taste if *tastes > 0 => {
                *tastes -= 1;
                true
            }
            Verdict::Taste | Verdict::Drop => false,
        }
    }

    #[inline]
    fn is_locked_on(&self, source: SocketAddr) -> bool {
        self.source.is_some_and(|locked| is_same(locked, source))
    }

    /// The host that it is locked on.
    #[inline]
    pub fn locked_host(&self) -> Option<IpAddr> {
        self.source.map(|source| source.ip())
    }

    /// Where the party gets its packets: where it sends from, else where it wants them.
    #[inline]
    pub fn destination(&self) -> Option<SocketAddr> {
        let place = self.place.as_ref().filter(|_| self.is_open)?;
        self.source.or_else(|| Some(place.first()))
    }

    #[cold]
    fn learn(&mut self, at: Moment, source: SocketAddr, mark: Option<Mark>, party: Party) -> Verdict {
        let Some(place) = self.place else { return Verdict::Drop };
        let rule = self.rule(at, (source, mark), party);
        let is_left = self.left.is_some_and(|(left, until)| at < until && is_same(left, source));
        let is_known = party.known == Some(source.ip());
        let event = if is_same(source, place.described) {
            Event::Signalled
        } else if is_left || !(place.allows(source.ip()) || is_known) {
            Event::Elsewhere
        } else if mark.is_some_and(|mark| self.goes_on(rule, place.port(source), mark)) {
            Event::Continued
        } else {
            Event::Host
        };
        let (state, verdict) = step(self.state, rule, event);
        self.state = state;
        if verdict == Verdict::Take {
            self.source = Some(source);
            self.follow(source, mark);
        }
        verdict
    }

    fn rule(&self, at: Moment, (source, mark): (SocketAddr, Option<Mark>), party: Party) -> Rule {
        let is_open = at < self.window_end;
        let is_behind_nat = self.place.is_some_and(|place| place.beyond.is_some());
        match party.learning {
            Learning::Off => Rule::Off,
            _ if party.is_rtp && mark.is_none() => Rule::Tasting,
            _ if party.known == Some(source.ip()) => Rule::First,
            Learning::Window if party.is_rtp => match (is_behind_nat, is_open) {
                (true, true) => Rule::Moving,
                (true, false) => Rule::Proving,
                (false, true) => Rule::Tasting,
                (false, false) => Rule::Chosen,
            },
            Learning::Once | Learning::Window => Rule::First,
        }
    }

    /// Whether a packet goes on from those that count, as far as the rule asks; it counts for those to come.
    fn goes_on(&mut self, rule: Rule, port: Port, mark: Mark) -> bool {
        match (rule, self.state) {
            (Rule::Moving, State::Learned) => {
                let follows = |trace: Trace| mark.follows(trace.mark);
                self.newest.is_some_and(follows) || self.count_named(port, mark) >= ROW_MIN
            }
            (Rule::Moving | Rule::Proving, State::Learning) => {
                self.count_named(port, mark).max(self.count(port, mark)) >= ROW_MIN
            }
            (Rule::Tasting, State::Learning) => {
                self.count(port, mark);
                false
            }
            (Rule::Chosen, State::Learning) => {
                let chosen = self.steady.or(self.newest);
                chosen.is_some_and(|trace| trace.and(port, mark).is_some())
            }
            _ => false,
        }
    }

    /// Keeps what a move of the NAT's is compared with.
    fn follow(&mut self, source: SocketAddr, mark: Option<Mark>) {
        let (Some(mark), Some(place)) = (mark, self.place) else { return };
        let before = self.newest.filter(|trace| trace.mark.ssrc == mark.ssrc);
        let mark = before.map_or(mark, |trace| mark.after(trace.mark));
        self.newest = Some(Trace::first(place.port(source), mark));
    }

    /// How many came in a row from a port, with this one; keeps what the next ones are compared with.
    fn count(&mut self, port: Port, mark: Mark) -> u8 {
        if let Some(steady) = self.steady.and_then(|steady| steady.and(port, mark)) {
            self.steady = Some(steady);
            return steady.row;
        }
        match self.newest.and_then(|newest| newest.and(port, mark)) {
            Some(trace) => {
                self.newest = Some(trace);
                self.steady = Some(trace);
                trace.row
            }
            None => {
                self.newest = Some(Trace::first(port, mark));
                1
            }
        }
    }

    /// The same for the port number described alone, where nobody else's packets come between.
    fn count_named(&mut self, port: Port, mark: Mark) -> u8 {
        if self.place.is_none_or(|place| place.described.port() != port.number) {
            return 0;
        }
        let trace = self.named.and_then(|named| named.and(port, mark));
        let trace = trace.unwrap_or(Trace::first(port, mark));
        self.named = Some(trace);
        trace.row
    }
}

impl Place {
    fn port(&self, source: SocketAddr) -> Port {
        Port { number: source.port(), is_described: source.ip() == self.described.ip() }
    }
}
