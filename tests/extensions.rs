//! Extensions that are required of us or of those behind us, and the Reason that travels with an end
//! (RFC 3261 §8.2.2.3, §20.29, §20.32; RFC 3326; SIP_RULES 21, 27).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::callee::Leg;
use lab::caller::{Caller, Invite};
use lab::party::{Talk, both_ways, calling};
use lab::peer::{A, B, C};
use lab::scene::{diverted, refuse_and_finish, ringing};

/// In a dialog, and of a server.
const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, MESSAGE, NOTIFY, REFER";
const ALLOW_OUTSIDE: &str =
    "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, MESSAGE, NOTIFY, REFER, REGISTER";

/// What an INVITE with these lines is refused with.
#[track_caller]
fn unsupported(lines: &[&str], expected: &str) {
    let mut lab = Lab::new();
    let mut invite = Invite::new(&mut lab, A, C.number);
    invite.lines = lines.iter().map(|line| line.to_string()).collect();
    let caller = invite.send(&mut lab);
    let refusal = caller.refused(&mut lab, 420);
    assert_eq!(refusal.reason, "Bad Extension");
    assert_eq!(refusal.list("Unsupported").join(", "), expected);
    assert!(lab.sent_to(C).is_empty());
    lab.finish();
}

#[test]
fn what_we_do_not_know_of_require_is_refused_and_named() {
    unsupported(&["Require: foo"], "foo");
    unsupported(&["Require: 100rel, foo, timer"], "foo");
    unsupported(&["Require: 100rel", "Require: foo", "Require: bar"], "foo, bar");
}

#[test]
fn any_proxy_require_is_refused_and_named() {
    unsupported(&["Proxy-Require: foo"], "foo");
    unsupported(&["Proxy-Require: foo, bar"], "foo, bar");
    unsupported(&["Proxy-Require: 100rel"], "100rel");
    unsupported(&["Proxy-Require: sec-agree"], "sec-agree");
}

#[test]
fn what_we_know_of_require_is_taken_in_any_case_and_not_passed_on() {
    for line in ["Require: 100rel", "Require: timer", "Require: TIMER, 100Rel"] {
        let mut lab = Lab::new();
        let (caller, leg) = calling(&mut lab, &[line]);
        assert!(!leg.invite.has("Require"));
        refuse_and_finish(lab, &caller, &leg);
    }
}

#[test]
fn what_we_allow_is_told_in_every_invite_and_every_200() {
    let mut lab = Lab::new();
    let (mut caller, leg) = calling(&mut lab, &[]);
    assert_eq!(leg.invite.one("Allow"), ALLOW);
    leg.respond(&mut lab, "200 OK");
    assert_eq!(caller.answered_and_acked(&mut lab).one("Allow"), ALLOW);
    lab.expect(C, "ACK");
    lab::scene::hang_up_and_finish(lab, caller, &leg);
}

#[test]
fn a_405_outside_a_dialog_names_what_we_allow() {
    let mut lab = Lab::new();
    let request = lab::caller::request(&mut lab, A, "PUBLISH", C.number);
    let text = request.text();
    lab.send(A, &text);
    assert_eq!(lab.expect(A, "405 PUBLISH").one("Allow"), ALLOW_OUTSIDE);
    lab.finish();
}

/// A's CANCEL with these lines.
fn cancel_with(lab: &mut Lab, caller: &Caller, lines: &str) {
    let text = caller.cancel_text().replace("Content-Length", &format!("{lines}Content-Length"));
    lab.send(A, &text);
    lab.expect(A, "200 CANCEL");
    caller.refused(lab, 487);
}

const COMPLETED: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";

#[test]
fn the_reason_of_the_callers_cancel_goes_with_the_callees() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    cancel_with(&mut lab, &caller, &format!("Reason: {COMPLETED}\r\nReason: Q.850;cause=16\r\n"));
    let cancel = lab.expect(B, "CANCEL");
    assert_eq!(cancel.list("Reason"), [COMPLETED, "Q.850;cause=16"]);
    b.answer(&mut lab, &cancel, "200 OK");
    b.reject(&mut lab, "487 Request Terminated");
    lab.finish();
}

#[test]
fn it_goes_with_a_cancel_that_is_held_back_too() {
    let mut lab = Lab::new();
    let (caller, leg): (Caller, Leg) = calling(&mut lab, &[]);
    cancel_with(&mut lab, &caller, &format!("Reason: {COMPLETED}\r\n"));
    lab.expect_nothing();
    leg.respond(&mut lab, "180 Ringing");
    let cancel = lab.expect(C, "CANCEL");
    assert_eq!(cancel.all("Reason"), [COMPLETED]);
    leg.answer(&mut lab, &cancel, "200 OK");
    leg.reject(&mut lab, "487 Request Terminated");
    lab.finish();
}

#[test]
fn after_a_forwarding_it_goes_to_the_target() {
    let mut lab = Lab::new();
    let (caller, b, c) = diverted(&mut lab);
    b.cancelled(&mut lab);
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    cancel_with(&mut lab, &caller, &format!("Reason: {COMPLETED}\r\n"));
    let cancel = lab.expect(C, "CANCEL");
    assert_eq!(cancel.all("Reason"), [COMPLETED]);
    c.answer(&mut lab, &cancel, "200 OK");
    c.reject(&mut lab, "487 Request Terminated");
    lab.finish();
}

#[test]
fn the_reasons_of_a_bye_pass_both_ways() {
    for Talk { mut lab, mut asker, other } in both_ways() {
        let lines = ["Reason: Q.850;cause=16;text=\"Terminated\"", "Reason: SIP;cause=200"];
        let bye = asker.request(&mut lab, "BYE", &lines, "");
        asker.expect_response(&mut lab, &bye, 200);
        let relayed = other.hung_up(&mut lab);
        assert_eq!(relayed.list("Reason"), ["Q.850;cause=16;text=\"Terminated\"", "SIP;cause=200"]);
        lab.finish();
    }
}
