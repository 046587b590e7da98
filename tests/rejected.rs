//! The callee refuses: what the caller is told (SIP_RULES 1, 7).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::callee::Leg;
use lab::caller::{Caller, Invite};
use lab::peer::{A, B, C, D};
use lab::scene::{diverted, ringing, talk_and_finish};

/// B refuses with a status that no service of B's is set for; what A is told.
#[track_caller]
fn relayed(rings: bool, status: &str, lines: &[&str]) -> lab::sip::Sip {
    let mut lab = Lab::new();
    let caller = Caller::call(&mut lab, A, "1004");
    let trying = lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    if rings {
        b.ring(&mut lab);
        lab.expect(A, "180 INVITE");
    }
    b.respond_with(&mut lab, status, lines, "");
    lab.expect(B, "ACK");
    let (code, reason) = status.split_once(' ').expect("a code and a reason");
    let refusal = caller.refused(&mut lab, code.parse().expect("a code"));
    assert_eq!(refusal.reason, reason, "the callee's own words");
    assert_eq!(refusal.to_tag, trying.to_tag);
    assert!(!refusal.has("Record-Route"));
    lab.expect_nothing();
    assert_eq!(lab.metrics().calls_failed, 1);
    lab.finish();
    refusal
}

#[test]
fn busy_is_relayed() {
    relayed(true, "486 Busy Here", &[]);
    relayed(false, "486 Besetzt", &[]);
}

#[test]
fn decline_is_relayed() {
    relayed(true, "603 Decline", &[]);
}

#[test]
fn not_found_is_relayed() {
    relayed(false, "404 Not Found", &[]);
}

#[test]
fn a_503_becomes_a_500_without_its_retry_after() {
    // RFC 3261 §16.7 step 6: the caller must not avoid us for another's overload.
    let mut lab = Lab::new();
    let caller = Caller::call(&mut lab, A, "1004");
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    b.respond_with(&mut lab, "503 Service Unavailable", &["Retry-After: 17"], "");
    lab.expect(B, "ACK");
    let refusal = caller.refused(&mut lab, 500);
    assert!(!refusal.has("Retry-After"));
    lab.finish();
}

#[test]
fn a_redirection_is_relayed_with_its_contacts() {
    let contact = "<sip:1005@127.0.0.138>;q=0.7, <sip:1006@127.0.0.139>";
    let refusal = relayed(true, "301 Moved Permanently", &[&format!("Contact: {contact}")]);
    assert_eq!(refusal.one("Contact"), contact);
}

#[test]
fn any_other_refusal_has_no_contact_of_the_callees() {
    let refusal = relayed(true, "488 Not Acceptable Here", &["Warning: 304 b \"no\""]);
    assert!(!refusal.has("Contact"));
    assert_eq!(refusal.one("Warning"), "304 b \"no\"");
}

#[test]
fn a_challenge_is_relayed_and_its_answer_reaches_the_callee() {
    let mut lab = Lab::new();
    let caller = Caller::call(&mut lab, A, "1004");
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    let challenge = "Digest realm=\"b\", nonce=\"84a4\", algorithm=MD5";
    let lines = [&format!("WWW-Authenticate: {challenge}")[..]];
    b.respond_with(&mut lab, "401 Unauthorized", &lines, "");
    lab.expect(B, "ACK");
    let refusal = caller.refused(&mut lab, 401);
    assert_eq!(refusal.one("WWW-Authenticate"), challenge);
    // The same call again: same Call-ID and tag, the next CSeq, a new branch (RFC 3261 §22.2).
    let credentials = "Digest username=\"1003\", realm=\"b\", nonce=\"84a4\", response=\"42\"";
    let mut again = Invite::new(&mut lab, A, "1004").line(format!("Authorization: {credentials}"));
    again.call_id.clone_from(&caller.invite.call_id);
    again.from.clone_from(&caller.invite.from);
    again.cseq = caller.invite.cseq + 1;
    let caller = again.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    assert_eq!(b.invite.one("Authorization"), credentials);
    b.respond(&mut lab, "200 OK");
    talk_and_finish(lab, caller, &b);
}

#[test]
fn the_last_legs_failure_is_what_the_caller_gets() {
    for status in ["404 Not Found", "486 Busy Here", "504 Server Time-out", "603 Decline"] {
        let mut lab = Lab::new();
        let (caller, b, c) = diverted(&mut lab);
        c.ring(&mut lab);
        lab.expect(A, "180 INVITE");
        c.reject(&mut lab, status);
        let code: u16 = status[..3].parse().expect("a code");
        caller.refused(&mut lab, code);
        // The first leg's failure comes late and changes nothing.
        b.cancelled(&mut lab);
        lab.finish();
    }
}

#[test]
fn the_last_legs_failure_counts_when_the_first_leg_failed_by_itself() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    b.reject(&mut lab, "408 Request Timeout");
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    c.reject(&mut lab, "480 Temporarily Unavailable");
    caller.refused(&mut lab, 480);
    lab.finish();
}

#[test]
fn a_6xx_ends_the_search() {
    let mut lab = Lab::with(|setup| setup.forward(C, D));
    let (caller, b, c) = diverted(&mut lab);
    b.cancelled(&mut lab);
    c.reject(&mut lab, "600 Busy Everywhere");
    caller.refused(&mut lab, 600);
    assert_eq!(lab.sent_to(D), Vec::<String>::new());
    lab.finish();
}

#[test]
fn a_target_that_rings_out_without_a_target_of_its_own_makes_a_480() {
    let mut lab = Lab::new();
    let (caller, b, c) = diverted(&mut lab);
    b.cancelled(&mut lab);
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    lab.advance(180_000);
    c.cancelled(&mut lab);
    caller.refused(&mut lab, 480);
    lab.finish();
}

#[test]
fn a_body_in_a_refusal_passes() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    b.respond_with(&mut lab, "488 Not Acceptable Here", &[], lab::callee::ANSWER);
    lab.expect(B, "ACK");
    assert_eq!(caller.refused(&mut lab, 488).body, lab::callee::ANSWER);
    lab.finish();
}

#[test]
fn a_refusal_after_the_refusal_is_only_acknowledged() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    b.reject(&mut lab, "486 Busy Here");
    caller.refused(&mut lab, 486);
    let first = lab.last_to(B);
    assert_eq!(b.reject(&mut lab, "486 Busy Here"), first);
    lab.expect_nothing();
    lab.finish();
}
