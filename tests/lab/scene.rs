//! How many tests begin and end.

use super::Lab;
use super::callee::Leg;
use super::caller::Caller;
use super::peer::{A, B, C};

/// A calls B, who rings.
#[track_caller]
pub fn ringing(lab: &mut Lab) -> (Caller, Leg) {
    let caller = Caller::call(lab, A, B.number);
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(lab, B);
    b.ring(lab);
    lab.expect(A, "180 INVITE");
    lab.expect_nothing();
    (caller, b)
}

/// B's time has run out: B has a CANCEL that it did not answer yet, C an INVITE. 20 s have gone by.
#[track_caller]
pub fn diverted(lab: &mut Lab) -> (Caller, Leg, Leg) {
    let (caller, b) = ringing(lab);
    lab.advance(20_000);
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(lab, C);
    (caller, b, c)
}

/// A talks to C, whom it called itself.
#[track_caller]
pub fn talking(lab: &mut Lab) -> (Caller, Leg) {
    let (mut caller, c) = answered(lab);
    caller.answered_and_acked(lab);
    lab.expect(C, "ACK");
    lab.expect_nothing();
    (caller, c)
}

/// A called C, who answered; the 200 is on its way to A.
#[track_caller]
pub fn answered(lab: &mut Lab) -> (Caller, Leg) {
    let caller = Caller::call(lab, A, C.number);
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(lab, C);
    c.ring(lab);
    lab.expect(A, "180 INVITE");
    c.respond(lab, "200 OK");
    (caller, c)
}

/// A has the 200 and ACKs it, the callee gets its ACK; then A hangs up, and the test is over.
#[track_caller]
pub fn talk_and_finish(mut lab: Lab, mut caller: Caller, callee: &Leg) {
    caller.answered_and_acked(&mut lab);
    lab.expect(callee.peer, "ACK");
    hang_up_and_finish(lab, caller, callee);
}

/// A hangs up, and the test is over.
#[track_caller]
pub fn hang_up_and_finish(mut lab: Lab, mut caller: Caller, callee: &Leg) {
    caller.bye(&mut lab);
    lab.expect(caller.peer(), "200 BYE");
    callee.hung_up(&mut lab);
    lab.finish();
}

/// The callee refuses, the caller is told so, and the test is over.
#[track_caller]
pub fn refuse_and_finish(mut lab: Lab, caller: &Caller, callee: &Leg) {
    callee.reject(&mut lab, "486 Busy Here");
    caller.refused(&mut lab, 486);
    lab.finish();
}
