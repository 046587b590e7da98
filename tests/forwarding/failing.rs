//! How a callee may come to nothing, and what each way is called (SIP_RULES 1).

use crate::lab::Lab;
use crate::lab::callee::Leg;
use crate::lab::caller::Caller;
use crate::lab::peer::{A, B, C, Peer, Setup};
use ringway::directory::{Condition, Forwarding};

/// What becomes of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Nobody is called: the callee sends all its calls elsewhere.
    NotCalled,
    /// It has no phone.
    NoPhone,
    /// It says this first (or nothing), then this finally, with this header line (or none).
    Says(&'static str, &'static str, &'static str),
    /// It says this, and our no-answer timer runs out.
    RingsOut(&'static str),
    /// Timer B runs out.
    Silent,
    /// The same of another peer, whose INVITEs are these.
    SilentAt(&'static str),
    /// 100, and no more.
    Tries,
    /// It has said this, and nothing has become of it yet.
    Pending(&'static str),
}

pub const CAUSE_19: &str = "Reason: Q.850;cause=19;text=\"no answer\"";

/// Every way with its condition, and the status that a caller gets where nothing is set.
pub const WAYS: [(Condition, Way, u16); 30] = {
    use Condition::{Busy, NoAnswer, NotReachable, NotRegistered};
    use Way::{NoPhone, RingsOut, Says, Silent, Tries};
    [
        (Busy, Says("", "486 Busy Here", ""), 486),
        (Busy, Says("100 Trying", "486 Busy Here", ""), 486),
        (Busy, Says("180 Ringing", "486 Busy Here", ""), 486),
        (Busy, Says("183 Session Progress", "486 Busy Here", ""), 486),
        (Busy, Says("", "600 Busy Everywhere", ""), 600),
        (Busy, Says("180 Ringing", "600 Busy Everywhere", ""), 600),
        (NoAnswer, RingsOut("180 Ringing"), 480),
        (NoAnswer, RingsOut("183 Session Progress"), 480),
        (NoAnswer, Says("", "408 Request Timeout", ""), 408),
        (NoAnswer, Says("100 Trying", "408 Request Timeout", ""), 408),
        (NoAnswer, Says("180 Ringing", "408 Request Timeout", ""), 408),
        (NoAnswer, Says("183 Session Progress", "408 Request Timeout", ""), 408),
        (NoAnswer, Says("", "480 Temporarily Unavailable", CAUSE_19), 480),
        (NoAnswer, Says("180 Ringing", "480 Temporarily Unavailable", CAUSE_19), 480),
        (NotRegistered, NoPhone, 480),
        (NotRegistered, Says("", "404 Not Found", ""), 404),
        (NotRegistered, Says("100 Trying", "404 Not Found", ""), 404),
        (NotRegistered, Says("180 Ringing", "404 Not Found", ""), 404),
        (NotRegistered, Says("", "480 Temporarily Unavailable", ""), 480),
        (NotRegistered, Says("100 Trying", "480 Temporarily Unavailable", ""), 480),
        (NotReachable, Says("", "500 Server Internal Error", ""), 500),
        // RFC 3261 §16.7 step 6: a 503 of another's is none of ours.
        (NotReachable, Says("", "503 Service Unavailable", ""), 500),
        (NotReachable, Says("100 Trying", "503 Service Unavailable", ""), 500),
        (NotReachable, Says("", "504 Server Time-out", ""), 504),
        (NotReachable, Says("100 Trying", "500 Server Internal Error", ""), 500),
        (NotReachable, Says("100 Trying", "504 Server Time-out", ""), 504),
        (NotReachable, Silent, 408),
        (NotReachable, Tries, 480),
        // RFC 3261 §21.1: 181 and 182 are neither ringing.
        (NotRegistered, Says("182 Queued", "480 Temporarily Unavailable", ""), 480),
        (NotReachable, Says("182 Queued", "503 Service Unavailable", ""), 500),
    ]
};

/// What is forwarded under no condition.
pub const REJECTIONS: [(Way, u16); 14] = [
    (Way::Says("", "403 Forbidden", ""), 403),
    (Way::Says("", "410 Gone", ""), 410),
    (Way::Says("", "415 Unsupported Media Type", ""), 415),
    (Way::Says("", "484 Address Incomplete", ""), 484),
    (Way::Says("", "487 Request Terminated", ""), 487),
    (Way::Says("", "488 Not Acceptable Here", ""), 488),
    (Way::Says("", "501 Not Implemented", ""), 501),
    (Way::Says("", "603 Decline", ""), 603),
    (Way::Says("180 Ringing", "603 Decline", ""), 603),
    (Way::Says("", "606 Not Acceptable", ""), 606),
    // It was there and rang: somebody took the call and turned it down.
    (Way::Says("180 Ringing", "480 Temporarily Unavailable", ""), 480),
    (Way::Says("180 Ringing", "500 Server Internal Error", ""), 500),
    (Way::Says("183 Session Progress", "503 Service Unavailable", ""), 500),
    (Way::Says("180 Ringing", "504 Server Time-out", ""), 504),
];

/// B has this rule and no other.
pub fn only(setup: &mut Setup, condition: Condition, target: &str) {
    only_for(setup, B, condition, target);
}

pub fn only_for(setup: &mut Setup, peer: Peer, condition: Condition, target: &str) {
    setup.subscriber(peer).forwarding = Forwarding::default();
    setup.forward_on(condition, peer, target);
}

/// B's part in a call.
pub struct Callee {
    pub leg: Option<Leg>,
    /// It was cancelled, and its CANCEL waits for an answer.
    cancelled: bool,
    is_silent: bool,
}

/// A lab in which the callee fails in this way.
pub fn prepare(setup: &mut Setup, way: Way) {
    if way == Way::NoPhone {
        setup.subscriber(B).contact = None;
    }
}

/// A calls B, who comes to nothing: what was sent from B's last word on, in order, is to be read.
#[track_caller]
pub fn call(lab: &mut Lab, way: Way) -> (Caller, Callee) {
    let caller = Caller::call(lab, A, B.number);
    lab.expect(A, "100 INVITE");
    if matches!(way, Way::NotCalled | Way::NoPhone) {
        return (caller, Callee { leg: None, cancelled: false, is_silent: false });
    }
    let leg = Leg::expect(lab, B);
    (caller, fail(lab, leg, way))
}

/// A leg comes to nothing.
#[track_caller]
pub fn fail(lab: &mut Lab, leg: Leg, way: Way) -> Callee {
    let first = match way {
        Way::Says(first, ..) | Way::RingsOut(first) | Way::Pending(first) => first,
        Way::Tries => "100 Trying",
        _ => "",
    };
    if !first.is_empty() {
        leg.respond(lab, first);
        lab.sent();
    }
    let mut cancelled = false;
    match way {
        Way::Says(_, status, "") => drop(leg.respond(lab, status)),
        Way::Says(_, status, line) => drop(leg.respond_with(lab, status, &[line], "")),
        Way::RingsOut(_) => {
            lab.advance(19_992);
            lab.expect_nothing();
            lab.advance(8);
            cancelled = true;
        }
        Way::Tries => {
            lab.advance(59_992);
            lab.expect_nothing();
            lab.advance(8);
            cancelled = true;
        }
        Way::Silent => silent(lab, "B INVITE"),
        Way::SilentAt(invite) => silent(lab, invite),
        Way::NotCalled | Way::NoPhone | Way::Pending(_) => {}
    }
    Callee { leg: Some(leg), cancelled, is_silent: matches!(way, Way::Silent | Way::SilentAt(_)) }
}

/// The INVITE is sent again and again, until Timer B runs out.
#[track_caller]
fn silent(lab: &mut Lab, invite: &str) {
    lab.advance(31_992);
    assert!(lab.sent().iter().all(|sent| sent == invite));
    lab.advance(8);
}

impl Callee {
    /// What the server says to B when it has failed.
    pub fn parting(&self) -> &'static [&'static str] {
        match (&self.leg, self.cancelled) {
            (None, _) => &[],
            (Some(_), false) if self.is_silent => &[],
            (_, true) => &["B CANCEL"],
            (_, false) => &["B ACK"],
        }
    }

    /// It answers its CANCEL, if it got one.
    #[track_caller]
    pub fn obey(&self, lab: &mut Lab) {
        if let Some(leg) = self.leg.as_ref().filter(|_| self.cancelled) {
            let cancel = lab.last_to(leg.peer);
            assert_eq!(cancel.summary(), "CANCEL");
            leg.answer(lab, &cancel, "200 OK");
            leg.reject(lab, "487 Request Terminated");
        }
    }
}

/// Exactly this is sent, in this order.
#[track_caller]
pub fn expect_sent(lab: &mut Lab, parting: &[&str], more: &[&str]) {
    assert_eq!(lab.sent(), [parting, more].concat());
}

/// The leg to a peer whose INVITE has been looked at.
#[track_caller]
pub fn leg_to(lab: &mut Lab, peer: Peer) -> Leg {
    let invite = lab.last_to(peer);
    assert_eq!(invite.summary(), "INVITE");
    let tag = format!("11{}{}", peer.number, lab.serial());
    Leg { peer, invite, tag, cseq: 222 }
}

/// C answers, A and C talk, A hangs up.
#[track_caller]
pub fn answer_and_finish(mut lab: Lab, caller: Caller) {
    let c = leg_to(&mut lab, C);
    c.respond(&mut lab, "200 OK");
    crate::lab::scene::talk_and_finish(lab, caller, &c);
}

/// Diversions by condition, in the conditions' order, then by deflection.
pub fn counted(lab: &Lab) -> [u64; 6] {
    let metrics = lab.metrics();
    [
        metrics.forwarded_unconditional,
        metrics.forwarded_busy,
        metrics.forwarded_no_answer,
        metrics.forwarded_not_registered,
        metrics.forwarded_not_reachable,
        metrics.forwarded_deflection,
    ]
}

/// One diversion under this condition.
pub fn one(condition: Condition) -> [u64; 6] {
    let mut counted = [0; 6];
    counted[condition as usize] = 1;
    counted
}

/// RFC 5806 §4's reason.
pub const fn reason(condition: Condition) -> &'static str {
    match condition {
        Condition::Unconditional => "unconditional",
        Condition::Busy => "user-busy",
        Condition::NoAnswer => "no-answer",
        Condition::NotRegistered | Condition::NotReachable => "unavailable",
    }
}

/// SIP_RULES 8: the condition's own response.
pub const fn own_response(condition: Condition) -> u16 {
    if matches!(condition, Condition::Busy) { 486 } else { 480 }
}
