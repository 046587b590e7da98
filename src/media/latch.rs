//! From where a party's packets are taken: learned at first, locked then. One latch for RTP, one for RTCP.
//!
//! ```text
//!            a place is described
//!   Closed ────────────────────────▶ Learning ──┬── from the place described ─────────▶ Signalled
//!                                     ▲   │     │                                         ▲
//!              another is described   │   │     └── allowed, by the rule ──▶ Learned ─────┘
//!       (from any state, Closed too)  ┘   │                                 │     ▲   from the place
//!                                         └── tasted: relayed, not locked   └─────┘   described
//!                                             (at most 5 packets)           it goes on elsewhere
//! ```
//!
//! A party may send from the place that it described, whatever else came before. Besides, a port of *its
//! host* is allowed: the host that its signalling comes from if the one described is out of reach (it is
//! behind a NAT), else the one described. What comes from any other host is never taken. The rule says what
//! the host's packets are worth ([`Rule`]).

use crate::clock::{Moment, Now};
use crate::settings::Learning;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// How long the window mode learns from a description that names a new place.
pub const WINDOW_MS: u64 = 500;

/// Packets from ports that were not described which are relayed while the window is open.
pub const TASTED_MAX: u8 = 5;

/// How far a sequence number may be ahead of the last one to go on from it.
const STEP_MAX: u16 = 16;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// No place was ever described.
    #[default]
    Closed,
    /// Nothing has locked yet.
    Learning,
    /// Locked on a port of the party's host that it has not described.
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
    /// From another port of the party's host, and it goes on from the packets before: the same SSRC, the
    /// sequence number at most 16 ahead.
    Continued,
    /// From another port of the party's host.
    Host,
    /// From any other host.
    Elsewhere,
}

/// What packets of the party's host are worth that do not come from the place described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// `off`: nothing.
    Off,
    /// `once`, behind a NAT after the window, or no RTP: the first one locks.
    First,
    /// `window`, behind a NAT: the first one locks, and another port that goes on from it takes over.
    Moving,
    /// `window`: they are relayed but lock nothing.
    Tasting,
    /// `window`, after five: they are not even relayed.
    Sated,
    /// After the window: the one tasted last locks with its next packet.
    Chosen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Take,
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
        (S::Learning, E::Continued | E::Host, Rule::First | Rule::Moving)
        | (S::Learning, E::Continued, Rule::Chosen) => (S::Learned, Verdict::Take),
        (S::Learning, E::Continued | E::Host, Rule::Tasting) => (state, Verdict::Take),
        // `Source` cannot come: nothing has been learned.
        (S::Learning, E::Source, _)
        | (S::Learning, E::Continued | E::Host, Rule::Off | Rule::Sated)
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

/// What came last from a port of the party's host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Trace {
    port: u16,
    mark: Mark,
}

/// Who the party is, as its latches need to know.
#[derive(Clone, Copy, Debug)]
pub struct Party {
    pub learning: Learning,
    /// Where its signalling comes from.
    pub host: IpAddr,
    pub is_rtp: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Latch {
    state: State,
    /// The last description names a place; else nothing is to be sent there.
    is_open: bool,
    /// How many packets may still be tasted.
    tastes_left: u8,
    /// What was described last.
    place: Option<SocketAddr>,
    /// On what it is locked.
    source: Option<SocketAddr>,
    window_end: Moment,
    /// The last packet taken, or of the host's while learning.
    newest: Option<Trace>,
    /// The last one that went on from another.
    steady: Option<Trace>,
}

impl Latch {
    /// What the party describes counts from now on. The same place keeps the lock, and no place at all
    /// keeps it for when the place is described again (a party that holds a call says 0.0.0.0). As long as
    /// nothing locks, each description opens the window again, for a party may not have begun to send when
    /// it described the place first; no more packets are tasted for that.
    pub fn describe(&mut self, now: Now, place: Option<SocketAddr>) {
        self.is_open = place.is_some();
        let Some(place) = place else { return };
        let window_end = Moment::from(Now::from_ms(now.as_ms() + WINDOW_MS));
        if self.place.is_none_or(|before| !is_same(before, place)) {
            let (state, tastes_left) = (State::Learning, TASTED_MAX);
            let place = Some(place);
            *self = Latch { state, is_open: true, tastes_left, place, window_end, ..Latch::default() };
        } else if self.state == State::Learning {
            self.window_end = window_end;
        }
    }

    /// Whether a packet is taken. `mark`: that of RTP and RTCP.
    #[inline]
    pub fn take(&mut self, at: Moment, source: SocketAddr, mark: Option<Mark>, party: Party) -> bool {
        if self.is_locked_on(source) {
            if at < self.window_end {
                self.follow(source, mark);
            }
            // From the source that was learned, or from the place described: what `step` says, but cheaper.
            return true;
        }
        self.learn(at, source, mark, party) == Verdict::Take
    }

    #[inline]
    pub fn is_locked_on(&self, source: SocketAddr) -> bool {
        self.source.is_some_and(|locked| is_same(locked, source))
    }

    /// Where the party gets its packets: where it sends from, else where it wants them; behind a NAT at that
    /// port of the NAT's.
    #[inline]
    pub fn destination(&self, host: IpAddr) -> Option<SocketAddr> {
        let place = self.place.filter(|_| self.is_open)?;
        self.source.or_else(|| Some(SocketAddr::new(allowed_host(place, host), place.port())))
    }

    #[cold]
    fn learn(&mut self, at: Moment, source: SocketAddr, mark: Option<Mark>, party: Party) -> Verdict {
        let Some(place) = self.place else { return Verdict::Drop };
        let host = allowed_host(place, party.host);
        let rule = self.rule(at, host != place.ip(), party);
        let event = if is_same(source, place) {
            Event::Signalled
        } else if source.ip() != host {
            Event::Elsewhere
        } else if mark.is_some_and(|mark| self.goes_on(rule, source.port(), mark)) {
            Event::Continued
        } else {
            Event::Host
        };
        let (state, verdict) = step(self.state, rule, event);
        if rule == Rule::Tasting && verdict == Verdict::Take && state == State::Learning {
            self.tastes_left -= 1;
        }
        self.state = state;
        if matches!(state, State::Learned | State::Signalled) && verdict == Verdict::Take {
            self.source = Some(source);
            self.follow(source, mark);
        } else if matches!(rule, Rule::Tasting | Rule::Sated) && event != Event::Elsewhere {
            self.remember(source, mark);
        }
        verdict
    }

    fn rule(&self, at: Moment, is_behind_nat: bool, party: Party) -> Rule {
        let is_open = at < self.window_end;
        match party.learning {
            Learning::Off => Rule::Off,
            Learning::Window if party.is_rtp => match (is_behind_nat, is_open) {
                (true, true) => Rule::Moving,
                (true, false) => Rule::First,
                (false, true) if self.tastes_left > 0 => Rule::Tasting,
                (false, true) => Rule::Sated,
                (false, false) => Rule::Chosen,
            },
            Learning::Once | Learning::Window => Rule::First,
        }
    }

    /// Whether a packet goes on from those that count.
    fn goes_on(&self, rule: Rule, port: u16, mark: Mark) -> bool {
        let from = |trace: &Trace| trace.port == port && mark.follows(trace.mark);
        match rule {
            Rule::Off | Rule::First => false,
            Rule::Moving => self.newest.is_some_and(|trace| mark.follows(trace.mark)),
            Rule::Tasting | Rule::Sated => self.newest.iter().chain(&self.steady).any(from),
            Rule::Chosen => self.steady.or(self.newest).as_ref().is_some_and(from),
        }
    }

    /// Keeps what a move of the NAT's is compared with.
    fn follow(&mut self, source: SocketAddr, mark: Option<Mark>) {
        let Some(mark) = mark else { return };
        let before = self.newest.filter(|trace| trace.mark.ssrc == mark.ssrc);
        let mark = before.map_or(mark, |trace| mark.after(trace.mark));
        self.newest = Some(Trace { port: source.port(), mark });
    }

    /// Keeps what the host's next packets are compared with.
    fn remember(&mut self, source: SocketAddr, mark: Option<Mark>) {
        let Some(mark) = mark else { return };
        let port = source.port();
        let goes_on = |trace: &&mut Trace| trace.port == port && mark.follows(trace.mark);
        if let Some(steady) = self.steady.as_mut().filter(goes_on) {
            steady.mark = mark.after(steady.mark);
        } else if let Some(newest) = self.newest.as_mut().filter(goes_on) {
            newest.mark = mark.after(newest.mark);
            self.steady = Some(*newest);
        } else {
            self.newest = Some(Trace { port, mark });
        }
    }
}

/// IPv6 flow labels and zones do not matter.
#[inline]
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port() && one.ip() == other.ip()
}

/// The host whose packets are the party's: the one that it has described, unless that is out of reach and its
/// signalling is not, which a NAT explains. Servers often have media on another host than signalling, so two
/// addresses that differ are no NAT yet.
fn allowed_host(place: SocketAddr, host: IpAddr) -> IpAddr {
    let (described, host) = (place.ip(), host.to_canonical());
    let is_same_family = described.is_ipv4() == host.is_ipv4();
    let is_behind_nat = is_same_family && Reach::of(described) != Reach::Public && {
        Reach::of(host) != Reach::of(described)
    };
    if is_behind_nat { host } else { described }
}

/// From where an address can be reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// This machine.
    Machine,
    /// One link (RFC 3927, RFC 4291 §2.5.6).
    Link,
    /// One site (RFC 1918, RFC 6598, RFC 4193).
    Site,
    Public,
}

impl Reach {
    fn of(address: IpAddr) -> Reach {
        match address {
            address if address.is_loopback() => Reach::Machine,
            IpAddr::V4(address) if address.is_link_local() => Reach::Link,
            IpAddr::V6(address) if address.is_unicast_link_local() => Reach::Link,
            IpAddr::V4(address) if address.is_private() || is_shared(address) => Reach::Site,
            IpAddr::V6(address) if address.is_unique_local() => Reach::Site,
            _ => Reach::Public,
        }
    }
}

/// 100.64.0.0/10, behind carriers' own NATs.
fn is_shared(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    first == 100 && second & 0xc0 == 64
}
