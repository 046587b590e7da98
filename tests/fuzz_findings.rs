//! What arbitrary scripts of peers have brought to light (tests/fuzz), each in its shortest form.

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::callee::{ANSWER, Leg};
use lab::caller::Caller;
use lab::party::{Party, calling};
use lab::peer::{A, C};
use lab::scene::{hang_up_and_finish, refuse_and_finish};

/// The INVITE's response without a tag in To, as no reliable one may be (RFC 3262 §3).
fn without_tag(leg: &Leg, status: &str, lines: &[&str]) -> String {
    leg.text_with(status, lines, "").replace(&format!(";tag={}", leg.tag), "")
}

/// The next message to the caller is its 180, sent unreliably.
#[track_caller]
fn rings_unreliably(lab: &mut Lab) {
    let ringing = lab.expect(A, "180 INVITE");
    assert!(!ringing.has("RSeq") && !ringing.has("Require"));
}

#[test]
fn a_reliable_response_without_a_tag_gets_no_prack_in_another_dialog() {
    let mut lab = Lab::new();
    let (caller, leg) = calling(&mut lab, &[]);
    leg.respond(&mut lab, "180 Ringing");
    rings_unreliably(&mut lab);
    for rseq in ["RSeq: 1", "RSeq: 1", "RSeq: 2"] {
        lab.send(C, &without_tag(&leg, "183 Session Progress", &["Require: 100rel", rseq]));
    }
    assert!(lab.sent().iter().all(|sent| sent == "A 183 INVITE"), "no PRACK");
    refuse_and_finish(lab, &caller, &leg);
}

#[test]
fn ringing_without_a_tag_waits_for_the_callers_prack_too() {
    let mut lab = Lab::new();
    let (mut caller, leg) = calling(&mut lab, &["Require: 100rel"]);
    let ringing = without_tag(&leg, "180 Ringing", &[]);
    lab.send(C, &ringing);
    let first = lab.expect(A, "180 INVITE");
    lab.send(C, &ringing);
    lab.expect_nothing();
    let mut a = Party::caller(&caller, &first);
    let prack = a.prack(&mut lab, &first, "");
    caller.cseq = a.cseq;
    a.expect_response(&mut lab, &prack, 200);
    let second = lab.expect(A, "180 INVITE");
    let next = |number: &str| number.parse::<u32>().expect("a number") + 1;
    assert_eq!(second.one("RSeq"), next(first.one("RSeq")).to_string());
    refuse_and_finish(lab, &caller, &leg);
}

#[test]
fn rseq_0_is_no_reliable_response() {
    let mut lab = Lab::new();
    let (caller, leg) = calling(&mut lab, &["Supported: 100rel"]);
    for _ in 0..2 {
        leg.reliable(&mut lab, "180 Ringing", 0, "");
    }
    assert!(lab.sent().iter().all(|sent| sent == "A 180 INVITE"), "no PRACK");
    refuse_and_finish(lab, &caller, &leg);
}

#[test]
fn a_fork_that_lost_hears_a_bye_with_a_higher_cseq_than_its_prack() {
    let mut lab = Lab::new();
    let (mut caller, leg): (Caller, Leg) = calling(&mut lab, &[]);
    let (one, two) = (leg.fork("one"), leg.fork("two"));
    one.reliable(&mut lab, "180 Ringing", 1, "");
    rings_unreliably(&mut lab);
    let prack = lab.expect(C, "PRACK");
    one.answer(&mut lab, &prack, "200 OK");
    two.respond_with(&mut lab, "200 OK", &[], ANSWER);
    caller.answered_and_acked(&mut lab);
    assert_eq!(lab.expect(C, "ACK").to_tag, "two");
    one.respond_with(&mut lab, "200 OK", &[], ANSWER);
    assert_eq!(lab.expect(C, "ACK").to_tag, "one");
    let bye = lab.expect(C, "BYE");
    assert_eq!(bye.to_tag, "one");
    assert!(bye.cseq > prack.cseq, "PRACK {}, BYE {}", prack.cseq, bye.cseq);
    one.answer(&mut lab, &bye, "200 OK");
    hang_up_and_finish(lab, caller, &two);
}
