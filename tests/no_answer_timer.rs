//! Our own no-answer timer, the other limits on a leg, and answers that come too late
//! (SIP_RULES 1 to 5).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::callee::{ANSWER, Leg};
use lab::caller::Caller;
use lab::peer::{A, B, C, D, Setup};
use lab::scene::{diverted, refuse_and_finish, ringing, talk_and_finish};
use lab::{Lab, T1X64_MS};
use ringway::settings::LateAnswer;

fn keep_late_answers(setup: &mut Setup) {
    setup.settings.late_answer = LateAnswer::Keep;
}

#[test]
fn cancel_181_and_the_invite_to_the_target_leave_together() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    lab.advance(19_999);
    lab.expect_nothing();
    lab.advance(1);
    let cancel = lab.expect(B, "CANCEL");
    let forwarded = lab.expect(A, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    lab.expect_nothing();
    let last: Vec<String> = lab.ladder().split_off(5);
    assert_eq!(last, ["S → A 180 INVITE", "S → B CANCEL", "S → A 181 INVITE", "S → C INVITE"]);
    assert_eq!(forwarded.reason, "Call Is Being Forwarded");
    b.answer(&mut lab, &cancel, "200 OK");
    let ack = b.reject(&mut lab, "487 Request Terminated");
    assert_eq!(ack.branch, b.invite.branch);
    assert_eq!(lab.metrics().no_answer_timeouts, 1);
    assert_eq!(lab.metrics().forwarded_no_answer, 1);
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn the_timer_starts_at_the_first_180() {
    let mut lab = Lab::new();
    let caller = Caller::call(&mut lab, A, "1004");
    let b = Leg::expect(&mut lab, B);
    b.respond(&mut lab, "100 Trying");
    lab.advance(15_000);
    b.respond(&mut lab, "180 Ringing");
    assert_eq!(lab.sent(), ["A 100 INVITE", "A 180 INVITE"]);
    lab.advance(20_000);
    assert_eq!(lab.sent_when(), ["35000 B CANCEL", "35000 A 181 INVITE", "35000 C INVITE"]);
    end_by_cancel(lab, &caller, &b);
}

#[test]
fn the_timer_starts_at_a_183_too() {
    let mut lab = Lab::new();
    let caller = Caller::call(&mut lab, A, "1004");
    let b = Leg::expect(&mut lab, B);
    lab.advance(100);
    b.respond_with(&mut lab, "183 Session Progress", &[], ANSWER);
    assert_eq!(lab.sent(), ["A 100 INVITE", "A 183 INVITE"]);
    // A timer fires at the next multiple of 8 ms.
    lab.advance(20_004);
    assert_eq!(lab.sent_when(), ["20104 B CANCEL", "20104 A 181 INVITE", "20104 C INVITE"]);
    end_by_cancel(lab, &caller, &b);
}

#[test]
fn no_other_provisional_response_starts_the_timer() {
    let mut lab = Lab::new();
    let caller = Caller::call(&mut lab, A, "1004");
    let b = Leg::expect(&mut lab, B);
    b.respond(&mut lab, "100 Trying");
    b.respond(&mut lab, "182 Queued");
    b.respond(&mut lab, "181 Call Is Being Forwarded");
    // It speaks of a dialog that the caller does not see (RFC 6228).
    b.respond(&mut lab, "199 Early Dialog Terminated");
    lab.advance(40_000);
    assert_eq!(lab.sent(), ["A 100 INVITE", "A 182 INVITE", "A 181 INVITE"]);
    b.respond(&mut lab, "200 OK");
    talk_and_finish(lab, caller, &b);
}

#[test]
fn later_18x_never_restart_the_timer() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    for _ in 0..3 {
        lab.advance(5_000);
        b.respond(&mut lab, "180 Ringing");
    }
    lab.advance(4_000);
    b.respond_with(&mut lab, "183 Session Progress", &[], ANSWER);
    assert_eq!(lab.sent(), ["A 180 INVITE", "A 180 INVITE", "A 180 INVITE", "A 183 INVITE"]);
    lab.advance(1_000);
    assert_eq!(lab.sent_when(), ["20000 B CANCEL", "20000 A 181 INVITE", "20000 C INVITE"]);
    end_by_cancel(lab, &caller, &b);
}

#[test]
fn a_subscribers_own_time_goes_before_the_servers() {
    let mut lab = Lab::with(|setup| setup.subscriber(B).after_ms = Some(5_000));
    let (caller, b) = ringing(&mut lab);
    lab.advance(20_000);
    let expected = ["5000 B CANCEL", "5000 A 181 INVITE", "5000 C INVITE"];
    assert_eq!(lab.sent_when()[..3], expected);
    end_by_cancel(lab, &caller, &b);
}

#[test]
fn each_subscriber_in_the_chain_rings_for_its_own_time() {
    let mut lab = Lab::with(|setup| {
        setup.forward(C, D);
        setup.subscriber(C).after_ms = Some(7_000);
    });
    let (caller, b, c) = diverted(&mut lab);
    b.cancelled(&mut lab);
    lab.advance(400);
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    lab.advance(7_000);
    assert_eq!(lab.sent_when(), ["27400 C CANCEL", "27400 A 181 INVITE", "27400 D INVITE"]);
    end_by_cancel(lab, &caller, &c);
}

/// A hangs up before anybody answered. `leg` got a CANCEL that the test took; it ends politely.
#[track_caller]
fn end_by_cancel(mut lab: Lab, caller: &Caller, leg: &Leg) {
    leg.respond(&mut lab, "487 Request Terminated");
    lab.sent();
    caller.cancel(&mut lab);
    lab.expect(A, "200 CANCEL");
    caller.refused(&mut lab, 487);
    lab.finish();
}

#[test]
fn the_487_is_acknowledged_each_time_it_comes() {
    let mut lab = Lab::new();
    let (caller, b, c) = diverted(&mut lab);
    b.cancelled(&mut lab);
    b.reject(&mut lab, "487 Request Terminated");
    b.reject(&mut lab, "487 Request Terminated");
    assert_eq!(lab.metrics().response_retransmissions, 2);
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn a_callee_that_never_sends_487_is_given_up_after_64_t1() {
    let mut lab = Lab::new();
    let (caller, b, c) = diverted(&mut lab);
    let cancel = lab.expect(B, "CANCEL");
    b.answer(&mut lab, &cancel, "200 OK");
    c.reject(&mut lab, "486 Busy Here");
    caller.refused(&mut lab, 486);
    lab.advance(T1X64_MS - 8);
    assert_eq!(lab.calls(), 1, "the leg is waited for");
    lab.advance(8);
    assert_eq!(lab.calls(), 0);
    lab.finish();
}

#[test]
fn a_200_that_comes_after_the_leg_was_given_up_is_acked_and_byed() {
    let mut lab = Lab::new();
    let (caller, b, c) = diverted(&mut lab);
    lab.expect(B, "CANCEL");
    c.respond(&mut lab, "100 Trying");
    lab.advance(T1X64_MS);
    assert!(lab.sent().iter().all(|sent| sent == "B CANCEL"));
    lab.advance(2_000);
    b.respond(&mut lab, "200 OK");
    let ack = lab.expect(B, "ACK");
    assert_eq!(ack.request_uri, "sip:1004@127.0.0.136:5060");
    b.hung_up(&mut lab);
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn late_200_after_cancel_is_acked_and_byed() {
    let mut lab = Lab::new();
    let (caller, b, c) = diverted(&mut lab);
    let cancel = lab.expect(B, "CANCEL");
    lab.advance(30);
    b.respond(&mut lab, "200 OK");
    let ack = lab.expect(B, "ACK");
    let bye = b.hung_up(&mut lab);
    assert_eq!((ack.cseq, bye.cseq), (1, 2));
    assert_eq!(ack.body, "");
    b.answer(&mut lab, &cancel, "200 OK");
    lab.expect_nothing();
    assert_eq!(lab.metrics().late_answers, 1);
    // The target is none the wiser, and answers.
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    c.respond(&mut lab, "200 OK");
    talk_and_finish(lab, caller, &c);
}

#[test]
fn a_late_200_that_is_repeated_is_acked_again_and_byed_once() {
    let mut lab = Lab::new();
    let (caller, b, c) = diverted(&mut lab);
    lab.expect(B, "CANCEL");
    let answer = b.respond(&mut lab, "200 OK");
    let ack = lab.expect(B, "ACK");
    b.hung_up(&mut lab);
    lab.send(B, &answer);
    assert_eq!(lab.expect(B, "ACK"), ack);
    lab.expect_nothing();
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn with_late_answer_keep_the_late_200_wins_while_the_target_rings() {
    let mut lab = Lab::with(keep_late_answers);
    let (mut caller, b, c) = diverted(&mut lab);
    lab.expect(B, "CANCEL");
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    lab.advance(30);
    b.respond(&mut lab, "200 OK");
    c.cancelled(&mut lab);
    caller.answered_and_acked(&mut lab);
    lab.expect(B, "ACK");
    caller.bye(&mut lab);
    lab.expect(A, "200 BYE");
    b.hung_up(&mut lab);
    lab.finish();
}

#[test]
fn with_late_answer_keep_a_target_that_said_nothing_yet_is_cancelled_at_its_first_word() {
    let mut lab = Lab::with(keep_late_answers);
    let (caller, b, c) = diverted(&mut lab);
    lab.expect(B, "CANCEL");
    b.respond(&mut lab, "200 OK");
    assert!(!lab.sent_to(C).contains(&"CANCEL".into()));
    c.respond(&mut lab, "100 Trying");
    c.cancelled(&mut lab);
    talk_and_finish(lab, caller, &b);
}

#[test]
fn with_late_answer_keep_exactly_one_leg_wins() {
    let mut lab = Lab::with(keep_late_answers);
    let (mut caller, b, c) = diverted(&mut lab);
    lab.expect(B, "CANCEL");
    c.respond(&mut lab, "200 OK");
    b.respond(&mut lab, "200 OK");
    lab.expect(B, "ACK");
    b.hung_up(&mut lab);
    caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    caller.bye(&mut lab);
    lab.expect(A, "200 BYE");
    c.hung_up(&mut lab);
    lab.finish();
}

#[test]
fn with_late_answer_keep_the_target_that_answers_too_late_is_acked_and_byed() {
    let mut lab = Lab::with(keep_late_answers);
    let (caller, b, c) = diverted(&mut lab);
    lab.expect(B, "CANCEL");
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    b.respond(&mut lab, "200 OK");
    lab.expect(C, "CANCEL");
    c.respond(&mut lab, "200 OK");
    lab.expect(C, "ACK");
    c.hung_up(&mut lab);
    talk_and_finish(lab, caller, &b);
}

#[test]
fn a_183_that_crosses_the_cancel_changes_nothing() {
    let mut lab = Lab::new();
    let (caller, b, c) = diverted(&mut lab);
    let cancel = lab.expect(B, "CANCEL");
    b.respond_with(&mut lab, "183 Session Progress", &[], ANSWER);
    b.respond(&mut lab, "180 Ringing");
    lab.expect_nothing();
    b.answer(&mut lab, &cancel, "200 OK");
    b.reject(&mut lab, "487 Request Terminated");
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn an_answer_in_time_stops_the_timer() {
    let mut lab = Lab::new();
    let (mut caller, b) = ringing(&mut lab);
    lab.advance(19_999);
    b.respond(&mut lab, "200 OK");
    caller.answered_and_acked(&mut lab);
    lab.expect(B, "ACK");
    lab.advance(60_000);
    lab.expect_nothing();
    caller.bye(&mut lab);
    lab.expect(A, "200 BYE");
    b.hung_up(&mut lab);
    lab.finish();
}

#[test]
fn a_refusal_stops_the_timer() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    b.reject(&mut lab, "603 Decline");
    caller.refused(&mut lab, 603);
    lab.advance(60_000);
    lab.expect_nothing();
    lab.finish();
}

#[test]
fn the_callers_cancel_stops_the_timer() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    lab.advance(19_000);
    caller.cancel(&mut lab);
    lab.expect(A, "200 CANCEL");
    caller.refused(&mut lab, 487);
    lab.advance(2_000);
    assert_eq!(lab.sent()[0], "B CANCEL");
    b.reject(&mut lab, "487 Request Terminated");
    lab.advance(10_000);
    assert!(lab.sent().iter().all(|sent| sent == "B CANCEL"), "no INVITE to C");
    lab.finish();
}

#[test]
fn without_forwarding_a_callee_rings_until_the_limit_and_the_caller_gets_480() {
    let mut lab = Lab::new();
    let caller = Caller::call(&mut lab, A, "1005");
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(&mut lab, C);
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    lab.advance(179_999);
    lab.expect_nothing();
    lab.advance(1);
    c.cancelled(&mut lab);
    caller.refused(&mut lab, 480);
    lab.finish();
}

#[test]
fn a_callee_that_only_tries_is_cancelled_after_60_s_and_the_caller_gets_480() {
    let mut lab = Lab::new();
    let caller = Caller::call(&mut lab, A, "1004");
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    b.respond(&mut lab, "100 Trying");
    lab.advance(59_999);
    lab.expect_nothing();
    lab.advance(1);
    b.cancelled(&mut lab);
    caller.refused(&mut lab, 480);
    lab.finish();
}

#[test]
fn a_callee_that_says_nothing_makes_a_408_after_timer_b() {
    let mut lab = Lab::new();
    let caller = Caller::call(&mut lab, A, "1004");
    lab.expect(A, "100 INVITE");
    lab.expect(B, "INVITE");
    lab.advance(T1X64_MS - 1);
    assert_eq!(lab.sent(), ["B INVITE"; 6]);
    lab.advance(1);
    caller.refused(&mut lab, 408);
    assert_eq!(lab.metrics().transactions_timed_out, 1);
    lab.finish();
}

#[test]
fn a_target_that_says_nothing_makes_a_408_as_well() {
    let mut lab = Lab::new();
    let (caller, b, _) = diverted(&mut lab);
    b.cancelled(&mut lab);
    lab.advance(T1X64_MS);
    assert_eq!(lab.sent_when().last().map(String::as_str), Some("52000 A 408 INVITE"));
    let refusal = lab.last_to(A);
    lab.send(A, &caller.ack_refusal_text(&refusal));
    lab.finish();
}

/// B rings if `rings`, then refuses; says what leaves apart from the ACK.
fn after_refusal(change: impl FnOnce(&mut Setup), rings: bool, status: &str, lines: &[&str]) -> Vec<String> {
    let mut lab = Lab::with(change);
    let caller = Caller::call(&mut lab, A, "1004");
    let b = Leg::expect(&mut lab, B);
    if rings {
        b.ring(&mut lab);
    }
    lab.sent();
    b.respond_with(&mut lab, status, lines, "");
    lab.expect(B, "ACK");
    let sent = lab.sent();
    let last = lab.last_to(A);
    match last.status {
        Some(181) => end_by_cancel(lab, &caller, &b),
        _ => {
            lab.send(A, &caller.ack_refusal_text(&last));
            lab.finish();
        }
    }
    sent
}

#[test]
fn a_408_is_no_answer_whether_it_rang_or_not() {
    let forwarded = ["A 181 INVITE", "C INVITE"];
    assert_eq!(after_refusal(|_| {}, true, "408 Request Timeout", &[]), forwarded);
    assert_eq!(after_refusal(|_| {}, false, "408 Request Timeout", &[]), forwarded);
}

#[test]
fn with_unreachable_408_a_408_before_ringing_is_not_reachable() {
    let set = |setup: &mut Setup| setup.settings.unreachable_408 = true;
    assert_eq!(after_refusal(set, false, "408 Request Timeout", &[]), ["A 408 INVITE"]);
    assert_eq!(after_refusal(set, true, "408 Request Timeout", &[]), ["A 181 INVITE", "C INVITE"]);
}

#[test]
fn a_480_is_no_answer_only_with_cause_19() {
    let forwarded = ["A 181 INVITE", "C INVITE"];
    let status = "480 Temporarily Unavailable";
    assert_eq!(after_refusal(|_| {}, true, status, &["Reason: Q.850;cause=19"]), forwarded);
    let two = ["Reason: SIP;cause=480, q.850 ;text=\"a, b;cause=1\";cause=19"];
    assert_eq!(after_refusal(|_| {}, true, status, &two), forwarded);
    assert_eq!(after_refusal(|_| {}, true, status, &["Reason: Q.850;cause=16"]), ["A 480 INVITE"]);
    assert_eq!(after_refusal(|_| {}, true, status, &["Reason: SIP;cause=19"]), ["A 480 INVITE"]);
    assert_eq!(after_refusal(|_| {}, true, status, &[]), ["A 480 INVITE"]);
}
