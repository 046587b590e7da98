//! When a call is forwarded, and to whom (SIP_RULES 1, 7, 8).

use crate::directory::{Entry, Subscriber, View};
use crate::sip::Status;

/// Why a call may be diverted (SIP_RULES 1; RFC 5806 §4's reasons).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    NoAnswer,
    Busy,
    NotRegistered,
    NotReachable,
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
    /// The subscriber whose leg failed.
    pub called: &'a [u8],
    /// The caller's number.
    pub caller: &'a [u8],
    /// Numbers that this call has tried.
    pub tried: &'a [&'a [u8]],
    /// Diversions so far, those that came with the INVITE included.
    pub diversions: u32,
    pub diversions_max: u32,
}

/// Whether to forward.
#[derive(Clone, Copy, Debug)]
pub enum Divert<'a> {
    To(&'a Entry),
    /// The subscriber has set no forwarding for this condition.
    NotSet,
    /// The cap is reached, or the target is the caller or already in the chain (SIP_RULES 8).
    Refused,
}

impl Condition {
    /// The Diversion header field's reason (RFC 5806 §4).
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Condition::NoAnswer => "no-answer",
            Condition::Busy => "user-busy",
            Condition::NotRegistered | Condition::NotReachable => "unavailable",
        }
    }

    /// What the caller gets when this condition's forwarding is refused (SIP_RULES 8).
    #[must_use]
    pub const fn refusal(self) -> Status {
        match self {
            Condition::Busy => Status::BUSY_HERE,
            Condition::NoAnswer | Condition::NotRegistered | Condition::NotReachable => {
                Status::TEMPORARILY_UNAVAILABLE
            }
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

/// The number that a subscriber forwards to under a condition; `None`: not set.
#[must_use]
pub fn target(subscriber: &Subscriber, condition: Condition) -> Option<&str> {
    match condition {
        Condition::NoAnswer => subscriber.no_answer.as_deref(),
        Condition::Busy | Condition::NotRegistered | Condition::NotReachable => None,
    }
}

/// Decides whether the call goes on to a target of the subscriber's.
#[must_use]
pub fn divert<'a>(directory: &'a View<'_>, condition: Condition, facts: &Facts<'_>) -> Divert<'a> {
    let entry = directory.get(facts.called);
    let Some(target) = entry.and_then(|entry| target(&entry.subscriber, condition)) else {
        return Divert::NotSet;
    };
    let in_chain = facts.tried.contains(&target.as_bytes()) || facts.caller == target.as_bytes();
    match directory.get(target.as_bytes()) {
        Some(target) if !in_chain && facts.diversions < facts.diversions_max => Divert::To(target),
        _ => Divert::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Directory;

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
        let numbers = [("1004", Some("1005")), ("1005", Some("1003")), ("1003", None)];
        let directory = Directory::of(numbers.map(|(number, target)| Subscriber {
            no_answer: target.map(Box::from),
            ..Subscriber::new(number)
        }));
        let view = directory.read();
        let facts =
            Facts { called: b"1004", caller: b"1003", tried: &[b"1004"], diversions: 0, diversions_max: 5 };
        let go = |facts: &Facts<'_>, condition| divert(&view, condition, facts);
        assert!(
            matches!(go(&facts, Condition::NoAnswer), Divert::To(to) if &*to.subscriber.number == "1005")
        );
        assert!(matches!(go(&facts, Condition::Busy), Divert::NotSet));
        assert!(matches!(go(&Facts { diversions: 5, ..facts }, Condition::NoAnswer), Divert::Refused));
        let tried: &[&[u8]] = &[b"1005", b"1004"];
        assert!(matches!(go(&Facts { tried, ..facts }, Condition::NoAnswer), Divert::Refused));
        assert!(matches!(go(&Facts { called: b"1005", ..facts }, Condition::NoAnswer), Divert::Refused));
        assert!(matches!(go(&Facts { called: b"9", ..facts }, Condition::NoAnswer), Divert::NotSet));
    }
}
