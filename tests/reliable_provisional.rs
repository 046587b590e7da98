//! Reliable provisional responses on both sides of a call (RFC 3262; SIP_RULES 17).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::callee::{ANSWER, Leg};
use lab::caller::{Caller, OFFER};
use lab::party::{Early, Party, bye_and_finish, calling, calling_to, sdp};
use lab::peer::{A, B, C};
use lab::scene::{refuse_and_finish, talk_and_finish};
use lab::sip::Sip;
use lab::{Lab, T1X64_MS};

const SUPPORTED: [&str; 1] = ["Supported: 100rel"];
const REQUIRED: [&str; 1] = ["Require: 100rel"];

/// RSeq of a response that must be reliable.
#[track_caller]
fn rseq(response: &Sip) -> u32 {
    assert_eq!(response.one("Require"), "100rel");
    let number = response.one("RSeq").parse().expect("a number");
    assert!((1..=0x7fff_ffff).contains(&number), "RSeq {number}");
    number
}

/// Takes a reliable response and confirms it; the PRACK is answered here.
#[track_caller]
fn confirmed(lab: &mut Lab, caller: &mut Caller, summary: &str) -> Sip {
    let response = lab.expect(A, summary);
    rseq(&response);
    let mut a = Party::caller(caller, &response);
    let prack = a.prack(lab, &response, "");
    caller.cseq = a.cseq;
    a.expect_response(lab, &prack, 200);
    response
}

/// Takes our PRACK and answers it.
#[track_caller]
fn pracked(lab: &mut Lab, leg: &Leg, rack: &str) -> Sip {
    let prack = lab.expect(leg.peer, "PRACK");
    assert_eq!(prack.one("RAck"), rack);
    leg.answer(lab, &prack, "200 OK");
    prack
}

#[test]
fn a_leg_supports_100rel_when_its_caller_does_and_requires_nothing() {
    let cases: [(&[&str], &str); 5] = [
        (&[], "timer"),
        (&["Supported: timer, replaces"], "timer"),
        (&["Supported: replaces, 100rel"], "timer, 100rel"),
        (&["k: 100rel"], "timer, 100rel"),
        (&["Require: 100rel"], "timer, 100rel"),
    ];
    for (lines, supported) in cases {
        let mut lab = Lab::new();
        let (caller, leg) = calling(&mut lab, lines);
        assert_eq!(leg.invite.list("Supported").join(", "), supported, "{lines:?}");
        assert!(!leg.invite.has("Require"));
        refuse_and_finish(lab, &caller, &leg);
    }
}

#[test]
fn a_forwarded_leg_supports_100rel_as_well() {
    let mut lab = Lab::new();
    let (caller, b) = calling_to(&mut lab, B, &SUPPORTED);
    b.reject(&mut lab, "408 Request Timeout");
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    assert_eq!(c.invite.list("Supported").join(", "), "timer, 100rel");
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn reliable_ringing_of_the_callee_is_pracked_at_once_and_rings_on_unreliably() {
    let mut lab = Lab::new();
    let (caller, leg) = calling(&mut lab, &SUPPORTED);
    leg.reliable(&mut lab, "180 Ringing", 7201, "");
    let ringing = lab.expect(A, "180 INVITE");
    assert!(!ringing.has("RSeq") && !ringing.has("Require"));
    let prack = pracked(&mut lab, &leg, "7201 1 INVITE");
    assert_eq!((prack.to_tag.as_str(), prack.one("CSeq")), (leg.tag.as_str(), "2 PRACK"));
    assert_eq!(prack.request_uri, "sip:1005@127.0.0.138:5060");
    assert!(prack.body.is_empty());
    lab.expect_nothing();
    leg.respond(&mut lab, "200 OK");
    talk_and_finish(lab, caller, &leg);
}

#[test]
fn a_prack_is_repeated_until_it_is_answered() {
    let mut lab = Lab::new();
    let (caller, leg) = calling(&mut lab, &SUPPORTED);
    leg.reliable(&mut lab, "180 Ringing", 1, "");
    lab.expect(A, "180 INVITE");
    let prack = lab.expect(C, "PRACK");
    lab.advance(1_600);
    assert_eq!(lab.sent_when(), ["504 C PRACK", "1504 C PRACK"]);
    leg.answer(&mut lab, &prack, "200 OK");
    lab.advance(10_000);
    lab.expect_nothing();
    refuse_and_finish(lab, &caller, &leg);
}

#[test]
fn a_prack_that_is_refused_or_never_answered_leaves_the_call_alone() {
    for status in ["481 Call/Transaction Does Not Exist", "500 Server Internal Error", ""] {
        let mut lab = Lab::new();
        let (caller, leg) = calling(&mut lab, &SUPPORTED);
        leg.reliable(&mut lab, "180 Ringing", 1, "");
        lab.expect(A, "180 INVITE");
        let prack = lab.expect(C, "PRACK");
        match status {
            "" => lab.advance(T1X64_MS + 8),
            _ => drop(leg.answer(&mut lab, &prack, status)),
        }
        assert!(lab.sent().iter().all(|sent| sent == "C PRACK"));
        leg.respond(&mut lab, "200 OK");
        talk_and_finish(lab, caller, &leg);
    }
}

#[test]
fn a_repeated_reliable_response_is_absorbed() {
    let mut lab = Lab::new();
    let (caller, leg) = calling(&mut lab, &SUPPORTED);
    let text = leg.reliable(&mut lab, "180 Ringing", 1, "");
    lab.expect(A, "180 INVITE");
    pracked(&mut lab, &leg, "1 1 INVITE");
    lab.send(C, &text);
    lab.expect_nothing();
    leg.reliable(&mut lab, "183 Session Progress", 1, "");
    lab.expect_nothing();
    refuse_and_finish(lab, &caller, &leg);
}

#[test]
fn a_reliable_response_behind_a_gap_waits_for_the_one_before_it_to_come() {
    let mut lab = Lab::new();
    let (caller, leg) = calling(&mut lab, &SUPPORTED);
    leg.reliable(&mut lab, "180 Ringing", 10, "");
    lab.expect(A, "180 INVITE");
    pracked(&mut lab, &leg, "10 1 INVITE");
    leg.reliable(&mut lab, "182 Queued", 12, "");
    lab.expect_nothing();
    leg.reliable(&mut lab, "183 Session Progress", 11, "");
    lab.expect(A, "183 INVITE");
    pracked(&mut lab, &leg, "11 1 INVITE");
    leg.reliable(&mut lab, "182 Queued", 12, "");
    lab.expect(A, "182 INVITE");
    pracked(&mut lab, &leg, "12 1 INVITE");
    leg.reliable(&mut lab, "183 Session Progress", 9, "");
    lab.expect_nothing();
    refuse_and_finish(lab, &caller, &leg);
}

#[test]
fn an_answer_in_a_reliable_response_goes_reliably_to_a_caller_who_supports_it() {
    let mut lab = Lab::new();
    let (mut caller, leg) = calling(&mut lab, &SUPPORTED);
    leg.reliable(&mut lab, "183 Session Progress", 4, ANSWER);
    let progress = lab.expect(A, "183 INVITE");
    rseq(&progress);
    assert_eq!(progress.body, ANSWER);
    // The caller's PRACK is what confirms it.
    lab.expect_nothing();
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(&mut lab, &progress, "");
    lab.expect(C, "PRACK");
    let relayed = lab.last_to(C);
    assert_eq!(relayed.one("RAck"), "4 1 INVITE");
    lab.expect_nothing();
    leg.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &prack, 200);
    leg.respond_with(&mut lab, "200 OK", &[], "");
    assert_eq!(caller.answered_and_acked(&mut lab).body, "", "the answer was given");
    lab.expect(C, "ACK");
    bye_and_finish(lab, a, &Party::callee(&leg));
}

#[test]
fn what_a_relayed_prack_is_refused_with_goes_back_to_the_caller() {
    let mut lab = Lab::new();
    let (caller, leg) = calling(&mut lab, &SUPPORTED);
    leg.reliable(&mut lab, "183 Session Progress", 4, ANSWER);
    let progress = lab.expect(A, "183 INVITE");
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(&mut lab, &progress, &sdp(1));
    let relayed = lab.expect(C, "PRACK");
    leg.answer(&mut lab, &relayed, "488 Not Acceptable Here");
    a.expect_response(&mut lab, &prack, 488);
    refuse_and_finish(lab, &caller, &leg);
}

#[test]
fn a_caller_without_100rel_gets_the_early_answer_unreliably_and_again_in_the_200() {
    let mut lab = Lab::new();
    let (mut caller, leg) = calling(&mut lab, &[]);
    leg.reliable(&mut lab, "183 Session Progress", 4, ANSWER);
    let progress = lab.expect(A, "183 INVITE");
    assert!(!progress.has("RSeq") && !progress.has("Require"));
    assert_eq!(progress.body, ANSWER);
    pracked(&mut lab, &leg, "4 1 INVITE");
    leg.respond_with(&mut lab, "200 OK", &[], "");
    let answer = caller.answered_and_acked(&mut lab);
    assert_eq!((answer.body.as_str(), answer.one("Content-Type")), (ANSWER, "application/sdp"));
    lab.expect(C, "ACK");
    lab::scene::hang_up_and_finish(lab, caller, &leg);
}

#[test]
fn an_unreliable_response_with_sdp_stays_unreliable_for_a_caller_who_only_supports_100rel() {
    let mut lab = Lab::new();
    let (caller, leg) = calling(&mut lab, &SUPPORTED);
    leg.respond_with(&mut lab, "183 Session Progress", &[], ANSWER);
    let progress = lab.expect(A, "183 INVITE");
    assert!(!progress.has("RSeq") && progress.body == ANSWER);
    leg.respond(&mut lab, "200 OK");
    talk_and_finish(lab, caller, &leg);
}

#[test]
fn a_caller_who_requires_100rel_gets_every_response_but_100_reliably_the_181_too() {
    let mut lab = Lab::new();
    let (mut caller, b) = calling_to(&mut lab, B, &REQUIRED);
    assert!(!lab.last_to(A).has("RSeq"), "100 is never reliable");
    b.respond(&mut lab, "180 Ringing");
    let first = rseq(&confirmed(&mut lab, &mut caller, "180 INVITE"));
    b.respond_with(&mut lab, "183 Session Progress", &[], ANSWER);
    assert_eq!(rseq(&confirmed(&mut lab, &mut caller, "183 INVITE")), first + 1);
    lab.expect_nothing();
    b.reject(&mut lab, "408 Request Timeout");
    let c = Leg::expect(&mut lab, C);
    assert_eq!(rseq(&confirmed(&mut lab, &mut caller, "181 INVITE")), first + 2);
    c.reliable(&mut lab, "180 Ringing", 1, "");
    pracked(&mut lab, &c, "1 1 INVITE");
    assert_eq!(rseq(&confirmed(&mut lab, &mut caller, "180 INVITE")), first + 3);
    c.respond(&mut lab, "200 OK");
    talk_and_finish(lab, caller, &c);
}

#[test]
fn the_first_rseq_of_a_call_cannot_be_guessed_from_another_calls() {
    let mut lab = Lab::new();
    let mut first = || {
        let (mut caller, leg) = calling(&mut lab, &REQUIRED);
        leg.respond(&mut lab, "180 Ringing");
        let number = rseq(&confirmed(&mut lab, &mut caller, "180 INVITE"));
        leg.reject(&mut lab, "486 Busy Here");
        caller.refused(&mut lab, 486);
        number
    };
    let numbers = [first(), first(), first()];
    assert!(
        numbers[0].abs_diff(numbers[1]) > 1_000 && numbers[1].abs_diff(numbers[2]) > 1_000,
        "{numbers:?}"
    );
    lab.finish();
}

/// A has a reliable 180 that it has not confirmed; C rang unreliably.
#[track_caller]
fn unconfirmed(lab: &mut Lab) -> (Caller, Leg, Sip) {
    let (caller, leg) = calling(lab, &REQUIRED);
    leg.respond(lab, "180 Ringing");
    let ringing = lab.expect(A, "180 INVITE");
    (caller, leg, ringing)
}

#[test]
fn a_reliable_response_is_repeated_at_t1_doubling_without_a_cap() {
    let mut lab = Lab::new();
    let (caller, leg, _) = unconfirmed(&mut lab);
    lab.advance(T1X64_MS - 8);
    let moments = [504, 1504, 3504, 7504, 15504, 31504];
    assert_eq!(lab.sent_when(), moments.map(|moment| format!("{moment} A 180 INVITE")));
    refuse_and_finish(lab, &caller, &leg);
}

#[test]
fn without_its_prack_the_invite_gets_504_after_64_t1_and_the_leg_is_cancelled() {
    let mut lab = Lab::new();
    let (caller, leg, _) = unconfirmed(&mut lab);
    lab.advance(T1X64_MS - 8);
    lab.sent();
    lab.advance(16);
    caller.refused(&mut lab, 504);
    leg.cancelled(&mut lab);
    assert_eq!(lab.calls(), 0);
    lab.finish();
}

#[test]
fn a_confirmed_response_is_not_repeated() {
    let mut lab = Lab::new();
    let (mut caller, leg) = calling(&mut lab, &REQUIRED);
    leg.respond(&mut lab, "180 Ringing");
    confirmed(&mut lab, &mut caller, "180 INVITE");
    lab.advance(T1X64_MS + 1_000);
    lab.expect_nothing();
    refuse_and_finish(lab, &caller, &leg);
}

#[test]
fn while_one_is_unconfirmed_later_ones_are_held_back_and_only_the_newest_is_kept() {
    let mut lab = Lab::new();
    let (mut caller, leg, ringing) = unconfirmed(&mut lab);
    leg.respond(&mut lab, "182 Queued");
    leg.respond(&mut lab, "183 Session Progress");
    lab.expect_nothing();
    let mut a = Party::caller(&caller, &ringing);
    let prack = a.prack(&mut lab, &ringing, "");
    caller.cseq = a.cseq;
    a.expect_response(&mut lab, &prack, 200);
    let held = confirmed(&mut lab, &mut caller, "183 INVITE");
    assert_eq!(rseq(&held), rseq(&ringing) + 1);
    lab.expect_nothing();
    refuse_and_finish(lab, &caller, &leg);
}

#[test]
fn the_181_is_held_back_too() {
    let mut lab = Lab::new();
    let (mut caller, b) = calling_to(&mut lab, B, &REQUIRED);
    b.respond(&mut lab, "180 Ringing");
    let ringing = lab.expect(A, "180 INVITE");
    b.reject(&mut lab, "408 Request Timeout");
    let c = Leg::expect(&mut lab, C);
    lab.expect_nothing();
    let mut a = Party::caller(&caller, &ringing);
    let prack = a.prack(&mut lab, &ringing, "");
    caller.cseq = a.cseq;
    a.expect_response(&mut lab, &prack, 200);
    confirmed(&mut lab, &mut caller, "181 INVITE");
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn a_2xx_is_held_back_until_the_prack_and_not_acknowledged_meanwhile() {
    let mut lab = Lab::new();
    let (caller, leg, ringing) = unconfirmed(&mut lab);
    let answer = leg.respond(&mut lab, "200 OK");
    lab.expect_nothing();
    lab.send(C, &answer);
    lab.expect_nothing();
    let mut a = Party::caller(&caller, &ringing);
    let prack = a.prack(&mut lab, &ringing, "");
    a.expect_response(&mut lab, &prack, 200);
    let answer = lab.expect(A, "200 INVITE");
    assert_eq!(answer.body, ANSWER);
    lab.expect_nothing();
    a.ack(&mut lab, &Sip::read(caller.text.as_bytes()).expect("the INVITE"), "");
    lab.expect(C, "ACK");
    bye_and_finish(lab, a, &Party::callee(&leg));
}

#[test]
fn a_2xx_that_is_held_back_when_the_prack_never_comes_is_acked_and_byed() {
    let mut lab = Lab::new();
    let (caller, leg, _) = unconfirmed(&mut lab);
    leg.respond(&mut lab, "200 OK");
    lab.advance(T1X64_MS - 8);
    lab.sent();
    lab.advance(16);
    caller.refused(&mut lab, 504);
    lab.expect(C, "ACK");
    leg.hung_up(&mut lab);
    lab.finish();
}

#[test]
fn a_refusal_goes_out_at_once_though_a_prack_is_missing() {
    let mut lab = Lab::new();
    let (caller, leg, ringing) = unconfirmed(&mut lab);
    leg.reject(&mut lab, "486 Busy Here");
    caller.refused(&mut lab, 486);
    lab.advance(10_000);
    lab.expect_nothing();
    // RFC 3262 §3: a PRACK that was under way is still answered.
    let mut a = Party::caller(&caller, &ringing);
    a.prack(&mut lab, &ringing, "");
    assert!(["200 PRACK", "481 PRACK"].contains(&lab.expect_any(A).as_str()));
    lab.finish();
}

#[test]
fn the_callers_cancel_ends_the_repetitions() {
    let mut lab = Lab::new();
    let (caller, leg, _) = unconfirmed(&mut lab);
    caller.cancel(&mut lab);
    lab.expect(A, "200 CANCEL");
    caller.refused(&mut lab, 487);
    leg.cancelled(&mut lab);
    lab.advance(T1X64_MS);
    lab.expect_nothing();
    lab.finish();
}

/// What a PRACK with this RAck gets while a reliable 180 with RSeq N (`N`) to the INVITE 39 is unconfirmed.
fn prack_with(lines: &[&str], status: u16) {
    let mut lab = Lab::new();
    let (mut caller, leg, ringing) = unconfirmed(&mut lab);
    let mut a = Party::caller(&caller, &ringing);
    let lines: Vec<String> =
        lines.iter().map(|line| line.replace('N', &rseq(&ringing).to_string())).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let prack = a.request(&mut lab, "PRACK", &lines, "");
    a.expect_response(&mut lab, &prack, status);
    lab.expect_nothing();
    // The response still waits for its own.
    let prack = a.prack(&mut lab, &ringing, "");
    a.expect_response(&mut lab, &prack, 200);
    caller.cseq = a.cseq;
    refuse_and_finish(lab, &caller, &leg);
}

#[test]
fn a_prack_that_matches_nothing_gets_481() {
    prack_with(&["RAck: 0 39 INVITE"], 481);
    prack_with(&["RAck: N 38 INVITE"], 481);
    prack_with(&["RAck: N 39 UPDATE"], 481);
    prack_with(&["RAck: N0 39 INVITE"], 481);
}

#[test]
fn a_prack_without_a_rack_that_can_be_read_gets_400() {
    prack_with(&[], 400);
    prack_with(&["RAck: N"], 400);
    prack_with(&["RAck: N 39"], 400);
    prack_with(&["RAck: one 39 INVITE"], 400);
    prack_with(&["RAck: 99999999999 39 INVITE"], 400);
}

#[test]
fn a_second_prack_of_the_same_response_gets_481() {
    let mut lab = Lab::new();
    let (caller, leg, ringing) = unconfirmed(&mut lab);
    let mut a = Party::caller(&caller, &ringing);
    for status in [200, 481] {
        let prack = a.prack(&mut lab, &ringing, "");
        a.expect_response(&mut lab, &prack, status);
    }
    refuse_and_finish(lab, &caller, &leg);
}

#[test]
fn a_prack_where_nothing_is_reliable_gets_481() {
    let mut lab = Lab::new();
    let (caller, leg) = calling(&mut lab, &SUPPORTED);
    leg.respond(&mut lab, "180 Ringing");
    let ringing = lab.expect(A, "180 INVITE");
    let mut a = Party::caller(&caller, &ringing);
    let prack = a.request(&mut lab, "PRACK", &["RAck: 1 39 INVITE"], "");
    a.expect_response(&mut lab, &prack, 481);
    refuse_and_finish(lab, &caller, &leg);
}

#[test]
fn a_repeated_prack_gets_the_same_answer_and_goes_no_further() {
    let mut early = Early::new();
    let lab = &mut early.lab;
    let mut repeated = early.a.clone();
    let sent: Vec<Sip> = lab.trace.iter().filter_map(|entry| entry.sip.clone()).collect();
    let [progress, first] = ["183 INVITE", "PRACK"].map(|what| {
        let is_it = |sip: &&Sip| sip.summary() == what;
        // The caller's PRACK is the first, the 183 to the caller the last of its kind.
        let found = if what == "PRACK" { sent.iter().find(is_it) } else { sent.iter().rfind(is_it) };
        found.expect("such a message")
    });
    repeated.resend(lab, first);
    repeated.expect_response(lab, first, 200);
    lab.expect_nothing();
    // Another one is another transaction: the response that it names is confirmed.
    let again = repeated.prack(lab, progress, "");
    repeated.expect_response(lab, &again, 481);
    early.a = repeated;
    early.finish();
}

/// B gave an answer reliably, then C answered with another: what the caller gets.
#[track_caller]
fn resynchronised(allow: &str, method: &str) {
    let mut lab = Lab::new();
    let (mut caller, b) = calling_to(&mut lab, B, &["Supported: 100rel", allow]);
    b.reliable(&mut lab, "183 Session Progress", 1, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(&mut lab, &progress, "");
    let relayed = lab.expect(B, "PRACK");
    b.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &prack, 200);
    b.reject(&mut lab, "408 Request Timeout");
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    assert_eq!(c.invite.body, OFFER);
    c.respond_with(&mut lab, "200 OK", &[], &sdp(2));
    assert_eq!(caller.answered(&mut lab).body, "", "the answer to the caller's offer was B's");
    caller.ack(&mut lab, "");
    lab.expect(C, "ACK");
    let offer = a.expect(&mut lab, method);
    assert_eq!(offer.body, sdp(2));
    a.respond(&mut lab, &offer, "200 OK", &[], &sdp(3));
    if method == "INVITE" {
        let ack = a.expect(&mut lab, "ACK");
        assert!(ack.body.is_empty());
    }
    lab.expect_nothing();
    bye_and_finish(lab, a, &Party::callee(&c));
}

#[test]
fn after_a_reliable_answer_the_forwarding_targets_sdp_comes_as_an_offer_in_an_update() {
    resynchronised("Allow: INVITE, ACK, BYE, CANCEL, PRACK, UPDATE", "UPDATE");
}

#[test]
fn a_caller_that_takes_no_update_gets_that_offer_in_a_re_invite() {
    resynchronised("Allow: INVITE, ACK, BYE, CANCEL, PRACK", "INVITE");
}

#[test]
fn the_no_answer_timer_starts_at_a_reliable_ringing_as_well() {
    let mut lab = Lab::new();
    let (caller, b) = calling_to(&mut lab, B, &SUPPORTED);
    b.reliable(&mut lab, "180 Ringing", 1, "");
    lab.expect(A, "180 INVITE");
    pracked(&mut lab, &b, "1 1 INVITE");
    lab.advance(20_000);
    lab.expect(A, "181 INVITE");
    b.cancelled(&mut lab);
    let c = Leg::expect(&mut lab, C);
    refuse_and_finish(lab, &caller, &c);
}
