//! What the numbers of a chain have set, and where a call must go by it: the service as the rules state it
//! (SIP_RULES 1, 7, 8), written once more for the audit.

use super::rng::Rng;
use super::setup::SERVER_TEXT;
use ringway::directory::{Condition, Forwarding};

/// Why a call is diverted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Unconditional,
    Busy,
    NoAnswer,
    NotRegistered,
    NotReachable,
    Deflection,
}

/// Where a rule or a 302 sends a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// To the next number of the chain.
    Next,
    /// To one that the call has been at.
    Loop,
    /// To nobody, or to whom no call is forwarded.
    Nowhere,
}

/// What a number has set and activated.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plan([Option<Target>; 5]);

/// The longest way of a call.
const PATH_MAX: usize = 8;

/// The diversions that a call has behind it, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    kinds: [Kind; PATH_MAX],
    length: u8,
}

/// Where a call goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// To the number at this place of the chain.
    Number(u8),
    /// To nobody: the caller's final response.
    Refuse(u16),
}

/// How it gets there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Course {
    pub goal: Goal,
    pub path: Path,
    /// A forwarding that was set was refused, as a loop or otherwise.
    pub is_refused: bool,
    pub is_loop: bool,
}

/// What an INVITE tells of its way: of each diversion the kinds that it may be; `None`: nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    masks: [u8; PATH_MAX],
    length: Option<u8>,
}

/// The numbers of a call's chain.
#[derive(Clone, Debug)]
pub struct Chain {
    pub plans: Vec<Plan>,
    pub max_diversions: u8,
}

/// The diversions of many calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub kinds: [u64; 6],
    pub refused: u64,
    pub loops: u64,
}

impl Kind {
    const ALL: [Kind; 6] = [
        Kind::Unconditional,
        Kind::Busy,
        Kind::NoAnswer,
        Kind::NotRegistered,
        Kind::NotReachable,
        Kind::Deflection,
    ];

    /// RFC 5806 §4.
    const fn reason(self) -> &'static [u8] {
        match self {
            Kind::Unconditional => b"unconditional",
            Kind::Busy => b"user-busy",
            Kind::NoAnswer => b"no-answer",
            Kind::NotRegistered | Kind::NotReachable => b"unavailable",
            Kind::Deflection => b"deflection",
        }
    }

    /// RFC 4458 §2.1; RFC 7544 §7.3 for deflection.
    const fn causes(self) -> &'static [&'static [u8]] {
        match self {
            Kind::Unconditional => &[b"302"],
            Kind::Busy => &[b"486"],
            Kind::NoAnswer => &[b"408"],
            Kind::NotRegistered => &[b"404"],
            Kind::NotReachable => &[b"503"],
            Kind::Deflection => &[b"480", b"487"],
        }
    }

    /// SIP_RULES 8.
    const fn own_response(self) -> u16 {
        if matches!(self, Kind::Busy) { 486 } else { 480 }
    }

    /// The kinds that a Diversion's reason names, as bits.
    pub fn of_reason(reason: &[u8]) -> u8 {
        Kind::mask(|kind| kind.reason() == reason)
    }

    /// The kinds that a URI's cause names, as bits.
    pub fn of_cause(cause: &[u8]) -> u8 {
        Kind::mask(|kind| kind.causes().contains(&cause))
    }

    fn mask(is: impl Fn(Kind) -> bool) -> u8 {
        let bits = Kind::ALL.into_iter().filter(|&kind| is(kind)).map(|kind| 1 << kind as u8);
        bits.fold(0, |mask, bit| mask | bit)
    }
}

impl Path {
    pub const NONE: Path = Path { kinds: [Kind::Unconditional; PATH_MAX], length: 0 };

    fn with(mut self, kind: Kind) -> Path {
        self.kinds[usize::from(self.length)] = kind;
        self.length += 1;
        self
    }

    pub fn kinds(&self) -> &[Kind] {
        &self.kinds[..usize::from(self.length)]
    }
}

impl Told {
    pub const NOTHING: Told = Told { masks: [0; PATH_MAX], length: None };

    /// A header field that tells of all diversions does so, oldest first. `false`: it is not what another one
    /// tells.
    #[must_use]
    pub fn tell(&mut self, masks: &[u8]) -> bool {
        if masks.len() > PATH_MAX || self.length.is_some_and(|length| usize::from(length) != masks.len()) {
            return false;
        }
        for (place, &mask) in masks.iter().enumerate() {
            let known = if self.length.is_some() { self.masks[place] } else { u8::MAX };
            self.masks[place] = known & mask;
        }
        self.length = Some(masks.len() as u8);
        masks.iter().zip(self.masks).all(|(_, mask)| mask != 0)
    }

    /// The same of the newest diversion alone, where so many are known.
    #[must_use]
    pub fn tell_last(&mut self, count: u8, mask: u8) -> bool {
        let Some(last) = count.checked_sub(1) else { return false };
        if self.length.is_none() {
            return mask != 0;
        }
        self.masks[usize::from(last)] &= mask;
        self.length == Some(count) && self.masks[usize::from(last)] != 0
    }

    fn fits(&self, path: &Path) -> bool {
        let fits = |(kind, mask): (&Kind, u8)| mask & 1 << *kind as u8 != 0;
        self.length
            .is_none_or(|length| length == path.length && path.kinds().iter().zip(self.masks).all(fits))
    }

    /// The course that an INVITE to a number has taken by what it tells, and whether there is only one.
    pub fn course(&self, courses: &[Course], hop: u8) -> Option<(Course, bool)> {
        let may = |course: &&Course| course.goal == Goal::Number(hop) && self.fits(&course.path);
        let first = courses.iter().find(may)?;
        Some((*first, courses.iter().filter(may).all(|course| course == first)))
    }
}

impl Course {
    /// The call goes to a number.
    pub fn to(hop: u8) -> Course {
        Course { goal: Goal::Number(hop), path: Path::NONE, is_refused: false, is_loop: false }
    }

    /// The call ends with a callee's failure.
    pub fn fails(status: u16, path: Path) -> Course {
        Course { goal: Goal::Refuse(status), path, is_refused: false, is_loop: false }
    }
}

impl Plan {
    /// One rule alone.
    #[cfg(test)]
    pub fn of(kind: Kind, target: Target) -> Plan {
        let mut plan = Plan::default();
        plan.0[kind as usize] = Some(target);
        plan
    }

    pub fn target(&self, kind: Kind) -> Option<Target> {
        self.0.get(kind as usize).copied().flatten()
    }

    /// What a number of a chain sets.
    pub fn draw(rng: &mut Rng, (hops, hop): (u8, u8), number: impl Fn(u8) -> String) -> (Plan, Forwarding) {
        let (mut plan, mut forwarding) = (Plan::default(), Forwarding::default());
        let is_last = hop + 1 == hops;
        for condition in Condition::ALL {
            let percent = match condition {
                _ if is_last => 15,
                Condition::Unconditional => 10,
                Condition::NoAnswer => 85,
                _ => 60,
            };
            if !rng.percent(if is_last && condition == Condition::Unconditional { 3 } else { percent }) {
                continue;
            }
            let target = match rng.below(100) {
                0..85 if !is_last => Target::Next,
                85..97 | 0..80 => Target::Loop,
                _ => Target::Nowhere,
            };
            forwarding.forward(condition, &text(rng, hop, target, &number));
            if rng.percent(90) {
                plan.0[condition as usize] = Some(target);
            } else {
                forwarding.activate(condition, false);
            }
        }
        (plan, forwarding)
    }
}

/// A target as it may be written.
fn text(rng: &mut Rng, hop: u8, target: Target, number: &impl Fn(u8) -> String) -> String {
    let digits = match target {
        Target::Next => number(hop + 1),
        Target::Loop => number(rng.below(u32::from(hop) + 1) as u8),
        Target::Nowhere => {
            return rng.pick(&["1999", "112", "sip:112@127.0.1.1", "sip:x@host.invalid"]).into();
        }
    };
    match rng.below(4) {
        0 => format!("tel:{digits}"),
        1 => format!("sip:{digits}@{SERVER_TEXT}"),
        _ => digits,
    }
}

impl Chain {
    /// A call comes to a number. `is_there`: whether one has a location now.
    pub fn arrive(&self, hop: u8, path: Path, is_there: &impl Fn(u8) -> bool) -> Course {
        let set = |kind| Some((kind, self.plans[usize::from(hop)].target(kind)?));
        let unregistered = || set(Kind::NotRegistered).filter(|_| !is_there(hop));
        match set(Kind::Unconditional).or_else(unregistered) {
            Some(diversion) => self.divert(hop, diversion, path, is_there),
            None if is_there(hop) => Course { path, ..Course::to(hop) },
            None => Course::fails(480, path),
        }
    }

    /// A number sends a call on.
    pub fn divert(
        &self,
        hop: u8,
        (kind, target): (Kind, Target),
        path: Path,
        is_there: &impl Fn(u8) -> bool,
    ) -> Course {
        let next = hop + 1;
        let is_beyond = usize::from(next) >= self.plans.len() || path.length >= self.max_diversions;
        match target {
            Target::Next if !is_beyond => self.arrive(next, path.with(kind), is_there),
            _ => Course {
                goal: Goal::Refuse(kind.own_response()),
                path,
                is_refused: true,
                is_loop: target == Target::Loop,
            },
        }
    }
}

impl Tally {
    pub fn add(&mut self, path: &Path, is_refused: bool, is_loop: bool) {
        path.kinds().iter().for_each(|&kind| self.kinds[kind as usize] += 1);
        self.refused += u64::from(is_refused);
        self.loops += u64::from(is_loop);
    }

    /// Whether the server has counted this, and at most so much more for calls that cannot be told.
    pub fn agrees(&self, metrics: &ringway::metrics::Metrics, untold: u64) -> bool {
        let counted = [
            metrics.forwarded_unconditional,
            metrics.forwarded_busy,
            metrics.forwarded_no_answer,
            metrics.forwarded_not_registered,
            metrics.forwarded_not_reachable,
            metrics.forwarded_deflection,
        ];
        let fits = |known: u64, counted: u64, each: u64| (known..=known + untold * each).contains(&counted);
        self.kinds.into_iter().zip(counted).all(|(known, counted)| fits(known, counted, PATH_MAX as u64))
            && fits(self.refused, metrics.forwards_refused, 1)
            && fits(self.loops, metrics.forwards_in_loop, 1)
    }
}
