//! The caller had early media of one callee and another one answers: what it is told, and when.

use crate::lab::Lab;
use crate::lab::callee::Leg;
use crate::lab::caller::Caller;
use crate::lab::media::{at, described, place, version};
use crate::lab::party::{Party, bye_and_finish};
use crate::lab::peer::{A, B, C};
use crate::lab::sip::Sip;
use crate::{A_PORT, C_PORT, End, anchored, assert_heard, calling, calling_with};

const B_PORT: u16 = 7_000;

/// A description with G.722 alone.
fn other(port: u16) -> String {
    described(C, port).replace("RTP/AVP 8 0", "RTP/AVP 9")
}

/// B's early media is heard, B is busy then, C is called.
#[track_caller]
fn forwarded(lab: &mut Lab, lines: &[&str]) -> (Caller, Leg, Sip) {
    let (mut caller, b) = calling(lab, B, lines);
    let progress = match lines.is_empty() {
        true => {
            b.respond_with(lab, "183 Session Progress", &[], &described(B, B_PORT));
            lab.expect(A, "183 INVITE")
        }
        false => {
            b.reliable(lab, "183 Session Progress", 1, &described(B, B_PORT));
            let progress = lab.expect(A, "183 INVITE");
            let mut a = Party::caller(&caller, &progress);
            let prack = a.prack(lab, &progress, "");
            let relayed = lab.expect(B, "PRACK");
            b.answer(lab, &relayed, "200 OK");
            a.expect_response(lab, &prack, 200);
            caller.cseq = a.cseq;
            progress
        }
    };
    b.reject(lab, "408 Request Timeout");
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(lab, C);
    (caller, c, progress)
}

#[test]
fn the_same_codecs_need_no_offer() {
    for lines in [&[][..], &["Supported: 100rel"]] {
        let mut lab = anchored(|_| {});
        let (mut caller, c, progress) = forwarded(&mut lab, lines);
        let c_end = End::new(C, C_PORT, &c.invite.body);
        c.respond_with(&mut lab, "200 OK", &[], &described(C, C_PORT));
        let answer = caller.answered_and_acked(&mut lab);
        match lines.is_empty() {
            true => assert_eq!(answer.body, progress.body, "the same session in the same version"),
            false => assert!(answer.body.is_empty(), "it has an answer"),
        }
        lab.expect(C, "ACK");
        lab.expect_nothing();
        assert_heard(&mut lab, End::new(A, A_PORT, &progress.body), c_end);
        lab.advance(3_000);
        crate::lab::scene::hang_up_and_finish(lab, caller, &c);
    }
}

#[test]
fn with_other_codecs_the_caller_gets_an_offer_of_its_own_after_the_ack() {
    for lines in [&[][..], &["Supported: 100rel"]] {
        let mut lab = anchored(|_| {});
        let (mut caller, c, progress) = forwarded(&mut lab, lines);
        let c_end = End::new(C, C_PORT, &c.invite.body);
        c.respond_with(&mut lab, "200 OK", &[], &other(C_PORT));
        let answer = caller.answered(&mut lab);
        let first = version(&progress.body);
        match lines.is_empty() {
            true => assert_eq!(version(&answer.body), first + 1),
            false => assert!(answer.body.is_empty(), "it has an answer"),
        }
        lab.expect_nothing();
        caller.ack(&mut lab, "");
        lab.expect(C, "ACK");
        let offer = lab.expect(A, "INVITE");
        assert_eq!((place(&offer.body), version(&offer.body)), (place(&progress.body), first + 1));
        assert!(offer.body.contains("RTP/AVP 9\r\n"), "{}", offer.body);
        let a = Party::caller(&caller, &answer);
        a.respond(&mut lab, &offer, "200 OK", &[], &described(A, 4_400).replace("8 0", "9"));
        lab.expect(A, "ACK");
        lab.expect_nothing();
        // What A answers counts, and is none of C's business: its port is the server's.
        let a_end = End { own: at(A, 4_400), told: place(&progress.body) };
        assert_heard(&mut lab, a_end, c_end);
        bye_and_finish(lab, a, &Party::callee(&c));
    }
}

#[test]
fn an_offer_of_the_targets_is_answered_though_the_caller_has_answered_the_same_one() {
    let mut lab = anchored(|_| {});
    let (mut caller, b) = calling_with(&mut lab, B, &["Supported: 100rel"], "");
    b.reliable(&mut lab, "183 Session Progress", 1, &described(B, B_PORT));
    let progress = lab.expect(A, "183 INVITE");
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(&mut lab, &progress, &described(A, A_PORT));
    let relayed = lab.expect(B, "PRACK");
    let (a_end, b_end) = (End::new(A, A_PORT, &progress.body), End::new(B, B_PORT, &relayed.body));
    b.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &prack, 200);
    assert_heard(&mut lab, a_end, b_end);
    b.reject(&mut lab, "408 Request Timeout");
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    assert!(c.invite.body.is_empty());
    c.respond_with(&mut lab, "200 OK", &[], &described(C, C_PORT));
    caller.cseq = a.cseq;
    assert!(caller.answered_and_acked(&mut lab).body.is_empty());
    let offer = lab.expect(A, "INVITE");
    assert_eq!(offer.body, progress.body, "the same session in the same version");
    a.respond(&mut lab, &offer, "200 OK", &[], &described(A, A_PORT));
    lab.expect(A, "ACK");
    let c_end = End::new(C, C_PORT, &lab.expect(C, "ACK").body);
    assert_heard(&mut lab, a_end, c_end);
    bye_and_finish(lab, a, &Party::callee(&c));
}

#[test]
fn an_offer_of_its_own_that_the_caller_refuses_changes_nothing() {
    let mut lab = anchored(|_| {});
    let (mut caller, c, progress) = forwarded(&mut lab, &[]);
    let (a_end, c_end) = (End::new(A, A_PORT, &progress.body), End::new(C, C_PORT, &c.invite.body));
    c.respond_with(&mut lab, "200 OK", &[], &other(C_PORT));
    let answer = caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    let offer = lab.expect(A, "INVITE");
    let a = Party::caller(&caller, &answer);
    a.refuse(&mut lab, &offer, "488 Not Acceptable Here");
    assert_heard(&mut lab, a_end, c_end);
    bye_and_finish(lab, a, &Party::callee(&c));
}
