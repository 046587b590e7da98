//! Every timer of the four transaction machines, to the millisecond, and repetitions in both directions
//! (RFC 3261 §17, RFC 6026; SIP_RULES 23). A deadline is rounded up to a multiple of 8 ms.

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::callee::Leg;
use lab::caller::{Caller, response};
use lab::peer::{A, B, C, Setup};
use lab::scene::{answered, diverted, hang_up_and_finish, refuse_and_finish, ringing, talking};
use lab::{Lab, T1X64_MS};
use ringway::settings::Timers;

/// Timer A: T1 doubling without a cap.
const TIMER_A_MS: [u64; 6] = [504, 1_504, 3_504, 7_504, 15_504, 31_504];

/// Timers E and G: T1 doubling to T2.
const TIMER_E_MS: [u64; 10] = [504, 1_504, 3_504, 7_504, 11_504, 15_504, 19_504, 23_504, 27_504, 31_504];

fn lines(start_ms: u64, offsets_ms: &[u64], what: &str) -> Vec<String> {
    offsets_ms.iter().map(|offset_ms| format!("{} {what}", start_ms + offset_ms)).collect()
}

#[test]
fn timer_a_repeats_the_invite_and_timer_b_ends_it() {
    let mut lab = Lab::new();
    let caller = Caller::call(&mut lab, A, "1005");
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(&mut lab, C);
    lab.advance(T1X64_MS - 1);
    assert_eq!(lab.last_to(C), c.invite, "byte for byte");
    assert_eq!(lab.sent_when(), lines(0, &TIMER_A_MS, "C INVITE"));
    assert_eq!(lab.metrics().transactions_timed_out, 0);
    lab.advance(1);
    assert_eq!(lab.metrics().transactions_timed_out, 1);
    caller.refused(&mut lab, 408);
    lab.finish();
}

#[test]
fn timers_a_and_b_end_with_the_first_provisional_response() {
    let mut lab = Lab::new();
    let caller = Caller::call(&mut lab, A, "1005");
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(&mut lab, C);
    lab.advance(2_000);
    assert_eq!(lab.sent_when(), lines(0, &TIMER_A_MS[..2], "C INVITE"));
    c.respond(&mut lab, "100 Trying");
    lab.advance(50_000);
    lab.expect_nothing();
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn timers_follow_the_settings() {
    let timers = Timers { t1_ms: 1_000, t2_ms: 2_000, t4_ms: 3_000 };
    let mut lab = Lab::with(|setup: &mut Setup| setup.settings.timers = timers);
    let caller = Caller::call(&mut lab, A, "1005");
    lab.expect(A, "100 INVITE");
    lab.expect(C, "INVITE");
    lab.advance(63_999);
    assert_eq!(lab.sent_when(), lines(0, &[1_000, 3_000, 7_000, 15_000, 31_000, 63_000], "C INVITE"));
    lab.advance(1);
    assert_eq!(lab.sent_when(), ["64000 A 408 INVITE"]);
    lab.advance(7_000);
    assert_eq!(lab.sent_when(), lines(64_000, &[1_000, 3_000, 5_000, 7_000], "A 408 INVITE"));
    lab.send(A, &caller.ack_refusal_text(&lab.last_to(A)));
    assert_eq!(lab.transactions(), 1);
    lab.advance(2_999);
    assert_eq!(lab.transactions(), 1);
    lab.advance(1);
    assert_eq!(lab.transactions(), 0);
    lab.finish();
}

#[test]
fn timer_d_keeps_the_ack_for_the_callees_repetitions() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    let ack = b.reject(&mut lab, "486 Busy Here");
    caller.refused(&mut lab, 486);
    lab.advance(T1X64_MS - 1);
    assert_eq!(b.reject(&mut lab, "486 Busy Here"), ack, "byte for byte");
    lab.advance(1);
    assert_eq!(lab.transactions(), 0);
    b.respond(&mut lab, "486 Busy Here");
    lab.expect_nothing();
    assert_eq!(lab.metrics().stray_responses, 1);
    assert_eq!(lab.metrics().response_retransmissions, 1);
    lab.finish();
}

#[test]
fn timer_m_keeps_the_ack_for_the_callees_repeated_200() {
    let mut lab = Lab::new();
    let (caller, c) = talking(&mut lab);
    let ack = lab.last_to(C);
    lab.advance(T1X64_MS - 1);
    c.respond(&mut lab, "200 OK");
    assert_eq!(lab.expect(C, "ACK"), ack);
    lab.advance(1);
    assert_eq!(lab.transactions(), 0);
    // Nothing is left of the transaction, but the dialog lives: an ACK does no harm and may be missed.
    c.respond(&mut lab, "200 OK");
    assert_eq!(lab.expect(C, "ACK"), ack);
    hang_up_and_finish(lab, caller, &c);
}

#[test]
fn timer_e_repeats_a_bye_and_timer_f_ends_it() {
    let mut lab = Lab::new();
    let (mut caller, _) = talking(&mut lab);
    lab.advance(40_000);
    caller.bye(&mut lab);
    lab.expect(A, "200 BYE");
    let bye = lab.expect(C, "BYE");
    lab.advance(T1X64_MS - 1);
    assert_eq!(lab.last_to(C), bye, "byte for byte");
    assert_eq!(lab.sent_when(), lines(40_000, &TIMER_E_MS, "C BYE"));
    assert_eq!(lab.transactions(), 2);
    lab.advance(1);
    assert_eq!((lab.transactions(), lab.calls()), (0, 0));
    assert_eq!(lab.metrics().transactions_timed_out, 1);
    lab.finish();
}

#[test]
fn a_provisional_response_slows_timer_e_to_t2_and_leaves_timer_f() {
    let mut lab = Lab::new();
    let (mut caller, c) = talking(&mut lab);
    caller.bye(&mut lab);
    lab.expect(A, "200 BYE");
    let bye = lab.expect(C, "BYE");
    lab.advance(600);
    c.answer(&mut lab, &bye, "100 Trying");
    lab.advance(T1X64_MS - 601);
    // RFC 3261 §17.1.2.2: the running Timer E fires in Proceeding, and only then is it set to T2.
    let expected = [504, 1_504, 5_504, 9_504, 13_504, 17_504, 21_504, 25_504, 29_504];
    assert_eq!(lab.sent_when(), lines(0, &expected, "C BYE"));
    lab.advance(1);
    assert_eq!(lab.calls(), 0, "Timer F runs from the request on");
    lab.finish();
}

#[test]
fn timer_e_repeats_a_cancel_until_it_is_answered() {
    let mut lab = Lab::new();
    let (caller, b, c) = diverted(&mut lab);
    c.respond(&mut lab, "100 Trying");
    let cancel = lab.expect(B, "CANCEL");
    lab.advance(4_000);
    assert_eq!(lab.last_to(B), cancel);
    assert_eq!(lab.sent_when(), lines(20_000, &TIMER_E_MS[..3], "B CANCEL"));
    b.answer(&mut lab, &cancel, "200 OK");
    lab.advance(20_000);
    lab.expect_nothing();
    b.reject(&mut lab, "487 Request Terminated");
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn the_cancel_goes_on_without_its_200_though_the_487_came() {
    let mut lab = Lab::new();
    let (caller, b, c) = diverted(&mut lab);
    c.respond(&mut lab, "100 Trying");
    lab.expect(B, "CANCEL");
    b.reject(&mut lab, "487 Request Terminated");
    lab.advance(T1X64_MS);
    assert_eq!(lab.sent_when(), lines(20_000, &TIMER_E_MS, "B CANCEL"));
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn timer_k_absorbs_repeated_answers_to_our_bye() {
    let mut lab = Lab::new();
    let (mut caller, c) = talking(&mut lab);
    lab.advance(40_000);
    caller.bye(&mut lab);
    lab.expect(A, "200 BYE");
    let bye = c.hung_up(&mut lab);
    lab.advance(4_999);
    c.answer(&mut lab, &bye, "200 OK");
    assert_eq!(lab.metrics().response_retransmissions, 1);
    lab.advance(1);
    c.answer(&mut lab, &bye, "200 OK");
    assert_eq!(lab.metrics().stray_responses, 1);
    lab.finish();
}

#[test]
fn a_repeated_invite_gets_the_last_provisional_response() {
    let mut lab = Lab::new();
    let caller = Caller::call(&mut lab, A, "1004");
    let trying = lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    lab.advance(400);
    caller.resend(&mut lab);
    assert_eq!(lab.expect(A, "100 INVITE"), trying);
    b.ring(&mut lab);
    let ringing = lab.expect(A, "180 INVITE");
    caller.resend(&mut lab);
    assert_eq!(lab.expect(A, "180 INVITE"), ringing);
    b.reject(&mut lab, "408 Request Timeout");
    let forwarded = lab.expect(A, "181 INVITE");
    caller.resend(&mut lab);
    assert_eq!(lab.expect(A, "181 INVITE"), forwarded);
    assert_eq!(lab.metrics().request_retransmissions, 3);
    assert_eq!(lab.metrics().calls_started, 1);
    let c = Leg::expect(&mut lab, C);
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn timer_g_repeats_a_refusal_and_timer_h_ends_it() {
    let mut lab = Lab::new();
    let (_, b) = ringing(&mut lab);
    lab.advance(1_000);
    b.reject(&mut lab, "486 Busy Here");
    let refusal = lab.expect(A, "486 INVITE");
    lab.advance(T1X64_MS - 1);
    assert_eq!(lab.last_to(A), refusal);
    assert_eq!(lab.sent_when(), lines(1_000, &TIMER_E_MS, "A 486 INVITE"));
    assert_eq!(lab.transactions(), 2);
    lab.advance(1);
    assert_eq!(lab.transactions(), 0);
    lab.finish();
}

#[test]
fn a_repeated_invite_gets_the_refusal_again() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    b.reject(&mut lab, "486 Busy Here");
    let refusal = lab.expect(A, "486 INVITE");
    lab.advance(100);
    caller.resend(&mut lab);
    assert_eq!(lab.expect(A, "486 INVITE"), refusal);
    lab.send(A, &caller.ack_refusal_text(&refusal));
    caller.resend(&mut lab);
    lab.expect_nothing();
    lab.finish();
}

#[test]
fn timer_i_absorbs_acks_for_t4() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    b.reject(&mut lab, "486 Busy Here");
    let refusal = caller.refused(&mut lab, 486);
    lab.advance(4_999);
    lab.send(A, &caller.ack_refusal_text(&refusal));
    assert_eq!((lab.transactions(), lab.metrics().stray_acks), (2, 0));
    lab.advance(1);
    assert_eq!(lab.transactions(), 1, "Timer D of the callee's side is left");
    lab.finish();
}

#[test]
fn timer_l_absorbs_invites_after_the_200_which_the_call_repeats_by_itself() {
    let mut lab = Lab::new();
    let (mut caller, c) = answered(&mut lab);
    caller.resend(&mut lab);
    caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    lab.advance(T1X64_MS - 1);
    caller.resend(&mut lab);
    lab.expect_nothing();
    assert_eq!(lab.metrics().request_retransmissions, 2);
    assert_eq!(lab.transactions(), 2);
    lab.advance(1);
    assert_eq!(lab.transactions(), 0);
    hang_up_and_finish(lab, caller, &c);
}

#[test]
fn timer_j_answers_repeated_byes() {
    let mut lab = Lab::new();
    let (mut caller, c) = talking(&mut lab);
    lab.advance(40_000);
    let bye = caller.bye(&mut lab);
    let ok = lab.expect(A, "200 BYE");
    c.hung_up(&mut lab);
    lab.advance(T1X64_MS - 1);
    lab.send(A, &bye);
    assert_eq!(lab.expect(A, "200 BYE"), ok);
    lab.advance(1);
    assert_eq!(lab.transactions(), 0);
    lab.send(A, &bye);
    lab.expect(A, "481 BYE");
    lab.finish();
}

#[test]
fn a_response_that_no_transaction_waits_for_is_dropped() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    let forged = b.text("200 OK").replace("z9hG4bKt0", "z9hG4bKt1");
    lab.send(B, &forged);
    let other_method = b.text("200 OK").replace("1 INVITE", "1 BYE");
    lab.send(B, &other_method);
    let other_number = b.text("200 OK").replace("CSeq: 1 INVITE", "CSeq: 2 INVITE");
    lab.send(B, &other_number);
    let other_tag = b.text("200 OK").replace(&b.invite.from_tag, "another");
    lab.send(B, &other_tag);
    let foreign = response(&b.invite, "200 OK", "x", &[], "").replace(&b.invite.branch, "z9hG4bK1");
    lab.send(B, &foreign);
    lab.expect_nothing();
    assert_eq!(lab.metrics().stray_responses, 5);
    refuse_and_finish(lab, &caller, &b);
}

#[test]
fn provisional_responses_after_the_final_one_are_absorbed() {
    let mut lab = Lab::new();
    let (caller, c) = talking(&mut lab);
    c.respond(&mut lab, "180 Ringing");
    c.respond(&mut lab, "183 Session Progress");
    c.respond(&mut lab, "486 Busy Here");
    lab.expect_nothing();
    assert_eq!(lab.metrics().response_retransmissions, 3);
    hang_up_and_finish(lab, caller, &c);
}

#[test]
fn a_200_after_a_refusal_is_acked_and_byed() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    b.reject(&mut lab, "486 Busy Here");
    caller.refused(&mut lab, 486);
    b.respond(&mut lab, "200 OK");
    lab.expect(B, "ACK");
    b.hung_up(&mut lab);
    lab.finish();
}

#[test]
fn a_provisional_response_that_is_repeated_reaches_the_caller_again() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    let first = lab.last_to(A);
    // RFC 3261 §13.3.1.1 has the callee repeat it once a minute; proxies on the way wait for it.
    b.respond(&mut lab, "180 Ringing");
    assert_eq!(lab.expect(A, "180 INVITE"), first);
    refuse_and_finish(lab, &caller, &b);
}
