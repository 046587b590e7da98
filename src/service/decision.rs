//! When a call is forwarded, and whether it may be (SIP_RULES 1, 7, 8).

use super::settings::Settings;
use super::target::{Outside, Target, address_of};
use crate::clock::UnixSeconds;
use crate::directory::{Condition, Entry, View};
use crate::limits::NUMBER_BYTES_MAX;
use crate::sip::{Status, Uri};

/// Why a call is diverted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The subscriber has set it so.
    Set(Condition),
    /// The callee said so itself by a 302; `alerting`: while it rang (3GPP TS 24.604 §4.2.1: CD).
    Deflection { alerting: bool },
}

/// How the leg to a subscriber failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Our no-answer timer, or the limit on ringing, ran out.
    RangOut,
    /// It stayed at 100 Trying for too long.
    NeverRang,
    /// No response at all (Timer B).
    Silent,
    /// It has no location to be tried at.
    NotRegistered,
    /// A final response.
    Response {
        status: Status,
        /// An 18x came before it.
        rang: bool,
        /// `Reason: Q.850;cause=19` (no answer from the user, user alerted).
        no_answer_cause: bool,
    },
}

/// What the decision rests on.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The caller's number.
    pub caller: &'a [u8],
    /// Numbers and URIs that this call has tried.
    pub tried: &'a [&'a [u8]],
    /// Diversions so far, those that came with the INVITE included.
    pub diversions: u32,
    pub diversions_max: u32,
    pub now: UnixSeconds,
}

/// Where a call goes on.
#[derive(Clone, Debug)]
pub enum Divert<'a> {
    /// To a number of ours.
    Subscriber(&'a Entry),
    Outside(Outside),
    Refused(Refusal),
}

/// Why a call is not forwarded though somebody has set it so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It has been diverted as often as a call may be (SIP_RULES 8).
    TooOften,
    /// The target is the caller, or the call has been there.
    Loop,
    /// No call is forwarded to an emergency number.
    Emergency,
    /// Nobody has the number and no route leads there, or it is no target at all.
    NoWay,
}

impl Reason {
    /// The Diversion header field's reason (RFC 5806 §4).
    #[must_use]
    pub const fn diversion(self) -> &'static str {
        match self {
            Reason::Set(Condition::Unconditional) => "unconditional",
            Reason::Set(Condition::Busy) => "user-busy",
            Reason::Set(Condition::NoAnswer) => "no-answer",
            Reason::Set(Condition::NotRegistered | Condition::NotReachable) => "unavailable",
            Reason::Deflection { .. } => "deflection",
        }
    }

    /// The `cause` of the URI that the call is diverted to (RFC 4458 §2.1).
    #[must_use]
    pub const fn cause(self) -> u16 {
        match self {
            Reason::Set(Condition::Unconditional) => 302,
            Reason::Set(Condition::Busy) => 486,
            Reason::Set(Condition::NoAnswer) => 408,
            Reason::Set(Condition::NotRegistered) => 404,
            Reason::Set(Condition::NotReachable) => 503,
            Reason::Deflection { alerting: false } => 480,
            Reason::Deflection { alerting: true } => 487,
        }
    }

    /// As CDRs, counters and people name it: `no-answer`, `deflection`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Reason::Set(condition) => condition.name(),
            Reason::Deflection { .. } => "deflection",
        }
    }

    /// What the caller gets when the call is not forwarded though it should be (SIP_RULES 8).
    #[must_use]
    pub const fn refusal(self) -> Status {
        match self {
            Reason::Set(Condition::Busy) => Status::BUSY_HERE,
            _ => Status::TEMPORARILY_UNAVAILABLE,
        }
    }
}

/// The condition that a failure stands for; `None`: a plain rejection, never forwarded.
/// `unreachable_408` makes a 408 before any 18x "not reachable", as 3GPP does.
#[must_use]
pub fn condition_of(failure: Failure, unreachable_408: bool) -> Option<Condition> {
    let (status, rang, no_answer_cause) = match failure {
        Failure::RangOut => return Some(Condition::NoAnswer),
        Failure::NeverRang | Failure::Silent => return Some(Condition::NotReachable),
        Failure::NotRegistered => return Some(Condition::NotRegistered),
        Failure::Response { status, rang, no_answer_cause } => (status.code(), rang, no_answer_cause),
    };
    match status {
        408 if rang || !unreachable_408 => Some(Condition::NoAnswer),
        408 => Some(Condition::NotReachable),
        480 if no_answer_cause => Some(Condition::NoAnswer),
        486 | 600 => Some(Condition::Busy),
        404 => Some(Condition::NotRegistered),
        480 if !rang => Some(Condition::NotRegistered),
        500 | 503 | 504 if !rang => Some(Condition::NotReachable),
        _ => None,
    }
}

/// Whether and where a call goes on to a target that is set for it.
///
/// `view` and `settings` say who has the number, or what leads there.
#[must_use]
pub fn divert<'d>(
    (view, settings): (&'d View<'_>, &Settings),
    target: &[u8],
    facts: &Facts<'_>,
) -> Divert<'d> {
    let mut room = [0; NUMBER_BYTES_MAX];
    let Ok(target) = settings.target(target, &mut room) else { return Divert::Refused(Refusal::NoWay) };
    if settings.is_emergency(target) {
        return Divert::Refused(Refusal::Emergency);
    }
    let is_same = |other: &[u8]| {
        let is_outside = || settings.find(view, other).is_none();
        settings.is_same(target, other) || settings.is_route_of(target, other) && is_outside()
    };
    if is_same(facts.caller) || facts.tried.iter().any(|tried| is_same(tried)) {
        return Divert::Refused(Refusal::Loop);
    }
    if facts.diversions >= facts.diversions_max {
        return Divert::Refused(Refusal::TooOften);
    }
    if let Some(entry) = subscriber(view, settings, target, facts.now) {
        // It may have another number than the target says.
        let number = entry.subscriber.number.as_bytes();
        return match facts.caller == number || facts.tried.contains(&number) {
            true => Divert::Refused(Refusal::Loop),
            false => Divert::Subscriber(entry),
        };
    }
    match settings.outside(target) {
        Some(outside) => Divert::Outside(outside),
        None => Divert::Refused(Refusal::NoWay),
    }
}

/// The subscriber whom a target names: by its number, or by where one of its phones is reached.
fn subscriber<'d>(
    view: &'d View<'_>,
    settings: &Settings,
    target: Target<'_>,
    now: UnixSeconds,
) -> Option<&'d Entry> {
    match target {
        Target::Number(number) => settings.find(view, number),
        Target::Uri { uri, .. } => {
            let mut room = [0; NUMBER_BYTES_MAX];
            let entry = settings.find(view, Uri::decoded_user(uri.user, &mut room)?)?;
            let address = address_of(&uri)?;
            entry.locations(now).any(|location| location.destination == address).then_some(entry)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::{Directory, Subscriber};

    fn response(code: u16, rang: bool, no_answer_cause: bool) -> Failure {
        Failure::Response { status: Status::new(code).unwrap(), rang, no_answer_cause }
    }

    #[test]
    fn conditions_follow_the_table_of_rule_1() {
        let cases = [
            (Failure::RangOut, false, Some(Condition::NoAnswer)),
            (Failure::Silent, false, Some(Condition::NotReachable)),
            (Failure::NotRegistered, false, Some(Condition::NotRegistered)),
            (Failure::NeverRang, false, Some(Condition::NotReachable)),
            (response(408, true, false), false, Some(Condition::NoAnswer)),
            (response(408, false, false), false, Some(Condition::NoAnswer)),
            (response(408, false, false), true, Some(Condition::NotReachable)),
            (response(408, true, false), true, Some(Condition::NoAnswer)),
            (response(480, true, true), false, Some(Condition::NoAnswer)),
            (response(480, true, false), false, None),
            (response(480, false, false), false, Some(Condition::NotRegistered)),
            (response(404, false, false), false, Some(Condition::NotRegistered)),
            (response(486, true, false), false, Some(Condition::Busy)),
            (response(600, false, false), false, Some(Condition::Busy)),
            (response(503, false, false), false, Some(Condition::NotReachable)),
            (response(503, true, false), false, None),
            (response(603, true, false), false, None),
        ];
        for (failure, unreachable_408, condition) in cases {
            assert_eq!(condition_of(failure, unreachable_408), condition, "{failure:?} {unreachable_408}");
        }
    }

    #[test]
    fn a_target_in_the_chain_or_beyond_the_cap_is_not_tried() {
        let directory = Directory::of(["1003", "1004", "1005"].map(Subscriber::new));
        let (view, settings) = (directory.read(), Settings::default());
        let facts = Facts {
            caller: b"1003",
            tried: &[b"1004"],
            diversions: 0,
            diversions_max: 5,
            now: UnixSeconds(0),
        };
        let go = |facts: &Facts<'_>, target: &str| divert((&view, &settings), target.as_bytes(), facts);
        let refused = |facts: &Facts<'_>, target: &str| match go(facts, target) {
            Divert::Refused(refusal) => Some(refusal),
            _ => None,
        };
        assert!(matches!(go(&facts, "1005"), Divert::Subscriber(to) if &*to.subscriber.number == "1005"));
        assert_eq!(refused(&Facts { diversions: 5, ..facts }, "1005"), Some(Refusal::TooOften));
        let tried: &[&[u8]] = &[b"1005", b"1004"];
        assert_eq!(refused(&Facts { tried, ..facts }, "1005"), Some(Refusal::Loop));
        assert_eq!(refused(&facts, "1003"), Some(Refusal::Loop));
        assert_eq!(refused(&facts, "1006"), Some(Refusal::NoWay));
        assert_eq!(refused(&facts, "112"), Some(Refusal::Emergency));
    }
}
