//! Media anchored by an engine that is asked by letters: what waits for it, what goes on, what fails.

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;
#[path = "engine_gate/within_a_call.rs"]
mod within_a_call;

use lab::callee::{ANSWER, Leg};
use lab::caller::{Caller, Invite, OFFER};
use lab::engine::{Mood, anchored};
use lab::group::{self, B1, B2};
use lab::party::{Party, sdp};
use lab::peer::{A, B, C, Setup};
use lab::scene::{hang_up_and_finish, talk_and_finish};
use lab::{Lab, T1X64_MS};
use ringway::mail::{EngineFailed, Party as Of};
use ringway::settings::{AckPolicy, LateAnswer, MediaMode};

const WAIT_MS: u64 = 1_000;

fn with_engine(setup: &mut Setup) {
    setup.settings.media.mode = MediaMode::Engine;
}

fn lab() -> Lab {
    Lab::with(with_engine)
}

/// One whose trace the audit cannot judge: an answer counts only once the engine has taken it.
fn unaudited() -> Lab {
    let mut lab = lab();
    lab.audits = false;
    lab
}

/// A laboratory whose engine lays everything aside.
fn slow() -> Lab {
    let mut lab = lab();
    lab.engine.mood = Mood::Holds;
    lab
}

/// What the callee is told of the caller's offer, and the caller of a callee's answer.
fn offered() -> String {
    anchored(Of::Caller, OFFER.as_bytes())
}

fn answered() -> String {
    anchored(Of::Callee, ANSWER.as_bytes())
}

/// A and C talk; the engine answered at once.
fn talking(lab: &mut Lab) -> (Party, Party) {
    let mut caller = Caller::call(lab, A, C.number);
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(lab, C);
    c.respond(lab, "200 OK");
    let answer = caller.answered_and_acked(lab);
    lab.expect(C, "ACK");
    lab.expect_nothing();
    (Party::caller(&caller, &answer), Party::callee(&c))
}

fn bye_and_finish(mut lab: Lab, mut asker: Party, other: &Party) {
    let bye = asker.request(&mut lab, "BYE", &[], "");
    asker.expect_response(&mut lab, &bye, 200);
    other.hung_up(&mut lab);
    lab.finish();
}

#[test]
fn nobody_is_called_before_the_engine_has_the_offer() {
    let mut lab = slow();
    let caller = Caller::call(&mut lab, A, C.number);
    lab.expect(A, "100 INVITE");
    lab.advance(400);
    // A repetition is answered as ever.
    caller.resend(&mut lab);
    lab.expect(A, "100 INVITE");
    lab.expect_nothing();
    assert_eq!(lab.engine.asked, ["offer of caller"]);
    lab.release_engine(1);
    let c = Leg::expect(&mut lab, C);
    assert_eq!(c.invite.body, offered());
    assert_eq!(c.invite.one("Content-Length"), offered().len().to_string());
    lab.engine.mood = Mood::Works;
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    c.respond(&mut lab, "200 OK");
    assert_eq!(lab.next_to(A), "200 INVITE");
    let mut caller = caller;
    let answer = caller.answered_and_acked(&mut lab);
    assert_eq!(answer.body, answered());
    lab.expect(C, "ACK");
    assert_eq!(lab.engine.asked, ["offer of caller", "answer of callee"]);
    caller.bye(&mut lab);
    lab.expect(A, "200 BYE");
    c.hung_up(&mut lab);
    assert_eq!(lab.engine.asked.last().map(String::as_str), Some("over"));
    lab.finish();
}

#[test]
fn an_engine_that_says_nothing_makes_a_503() {
    let mut lab = slow();
    let caller = Caller::call(&mut lab, A, C.number);
    lab.expect(A, "100 INVITE");
    lab.advance(WAIT_MS - 1);
    lab.expect_nothing();
    lab.advance(1);
    let refusal = caller.refused(&mut lab, 503);
    assert!(refusal.has("Retry-After"));
    lab.expect_nothing();
    // What it says later nobody wants to know.
    lab.release_engine(1);
    lab.expect_nothing();
    assert_eq!((lab.metrics().late_mail, lab.metrics().media_engine_failures), (1, 1));
    assert_eq!(lab.engine.asked, ["offer of caller", "over"]);
    lab.finish();
}

#[test]
fn without_an_engine_new_calls_get_503_and_what_it_does_not_read_488() {
    for (failed, status) in [(EngineFailed::Unavailable, 503), (EngineFailed::Refused, 488)] {
        let mut lab = lab();
        lab.engine.mood = Mood::Fails(failed);
        let caller = Caller::call(&mut lab, A, C.number);
        lab.expect(A, "100 INVITE");
        caller.refused(&mut lab, status);
        assert_eq!(lab.sent_to(C), Vec::<String>::new());
        lab.finish();
    }
}

#[test]
fn a_caller_that_gives_up_while_the_engine_is_asked_gets_487() {
    let mut lab = slow();
    let caller = Caller::call(&mut lab, A, C.number);
    lab.expect(A, "100 INVITE");
    caller.cancel(&mut lab);
    lab.expect(A, "200 CANCEL");
    caller.refused(&mut lab, 487);
    lab.release_engine(1);
    lab.expect_nothing();
    assert_eq!(lab.metrics().late_mail, 1);
    assert_eq!(lab.engine.asked, ["offer of caller", "over"]);
    lab.finish();
}

#[test]
fn an_answer_waits_for_the_engine_and_its_repetitions_are_absorbed() {
    let mut lab = unaudited();
    let mut caller = Caller::call(&mut lab, A, C.number);
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(&mut lab, C);
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    lab.engine.mood = Mood::Holds;
    let answer = c.respond(&mut lab, "200 OK");
    lab.advance(500);
    lab.send(C, &answer);
    lab.expect_nothing();
    assert_eq!(lab.engine.held.len(), 1, "asked once");
    lab.release_engine(1);
    assert_eq!(caller.answered_and_acked(&mut lab).body, answered());
    lab.expect(C, "ACK");
    // From now on as ever: the ACK is sent again.
    lab.send(C, &answer);
    lab.expect(C, "ACK");
    hang_up_and_finish(lab, caller, &c);
}

#[test]
fn an_answer_that_the_engine_does_not_take_ends_the_call() {
    let mut lab = unaudited();
    let caller = Caller::call(&mut lab, A, C.number);
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(&mut lab, C);
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    lab.engine.mood = Mood::Holds;
    c.respond(&mut lab, "200 OK");
    lab.advance(WAIT_MS);
    caller.refused(&mut lab, 503);
    lab.expect(C, "ACK");
    c.hung_up(&mut lab);
    lab.finish();
}

#[test]
fn a_caller_that_gives_up_while_the_answer_waits_gets_487_and_the_callee_ack_and_bye() {
    let mut lab = lab();
    let caller = Caller::call(&mut lab, A, C.number);
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(&mut lab, C);
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    lab.engine.mood = Mood::Holds;
    c.respond(&mut lab, "200 OK");
    caller.cancel(&mut lab);
    lab.expect(A, "200 CANCEL");
    caller.refused(&mut lab, 487);
    lab.expect_nothing();
    lab.release_engine(1);
    lab.expect(C, "ACK");
    c.hung_up(&mut lab);
    lab.finish();
}

#[test]
fn early_media_and_forwarding_use_the_offer_that_the_engine_has() {
    let mut lab = lab();
    let caller = Caller::call(&mut lab, A, B.number);
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    b.respond_with(&mut lab, "183 Session Progress", &[], &sdp(7));
    let early = anchored(Of::Callee, sdp(7).as_bytes());
    assert_eq!(lab.expect(A, "183 INVITE").body, early);
    lab.advance(20_000);
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    assert_eq!(c.invite.body, offered());
    b.cancelled(&mut lab);
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    c.respond(&mut lab, "200 OK");
    assert_eq!(lab.next_to(A), "200 INVITE");
    talk_and_finish(lab, caller, &c);
}

#[test]
fn early_media_without_the_engine_is_ringing() {
    let mut lab = lab();
    let caller = Caller::call(&mut lab, A, C.number);
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(&mut lab, C);
    lab.engine.mood = Mood::Fails(EngineFailed::Unavailable);
    c.respond_with(&mut lab, "183 Session Progress", &[], ANSWER);
    let progress = lab.expect(A, "183 INVITE");
    assert_eq!((progress.body.as_str(), progress.has("Content-Type")), ("", false));
    // A reliable one is not taken: it comes again.
    let again = c.reliable(&mut lab, "183 Session Progress", 1, ANSWER);
    lab.expect_nothing();
    lab.engine.mood = Mood::Works;
    lab.send(C, &again);
    assert_eq!(lab.expect(A, "183 INVITE").body, answered());
    let prack = lab.expect(C, "PRACK");
    c.answer(&mut lab, &prack, "200 OK");
    c.respond(&mut lab, "200 OK");
    talk_and_finish(lab, caller, &c);
}

#[test]
fn the_engine_outlives_a_no_answer_timer_that_runs_out_while_the_answer_waits() {
    for keep in [false, true] {
        let mut lab = Lab::with(|setup| {
            with_engine(setup);
            setup.settings.late_answer = if keep { LateAnswer::Keep } else { LateAnswer::Drop };
        });
        lab.audits = false;
        let caller = Caller::call(&mut lab, A, B.number);
        lab.expect(A, "100 INVITE");
        let b = Leg::expect(&mut lab, B);
        b.ring(&mut lab);
        lab.expect(A, "180 INVITE");
        lab.advance(19_990);
        lab.engine.mood = Mood::Holds;
        b.respond(&mut lab, "200 OK");
        lab.advance(10);
        lab.expect(A, "181 INVITE");
        let c = Leg::expect(&mut lab, C);
        lab.expect_nothing();
        lab.release_engine(1);
        lab.engine.mood = Mood::Works;
        match keep {
            true => {
                c.respond(&mut lab, "100 Trying");
                c.cancelled(&mut lab);
                talk_and_finish(lab, caller, &b);
            }
            false => {
                lab.expect(B, "ACK");
                b.hung_up(&mut lab);
                c.respond(&mut lab, "200 OK");
                talk_and_finish(lab, caller, &c);
            }
        }
    }
}

#[test]
fn a_late_offer_is_the_callee_s_and_its_answer_is_in_the_ack() {
    for ack in [AckPolicy::Relay, AckPolicy::Immediate] {
        let mut lab = Lab::with(|setup| {
            with_engine(setup);
            setup.settings.ack = ack;
        });
        let invite = Invite::new(&mut lab, A, C.number).body("");
        let mut caller = invite.send(&mut lab);
        lab.expect(A, "100 INVITE");
        let c = Leg::expect(&mut lab, C);
        assert_eq!(c.invite.body, "");
        c.respond(&mut lab, "200 OK");
        assert_eq!(caller.answered(&mut lab).body, answered());
        lab.engine.mood = Mood::Holds;
        let again = caller.ack(&mut lab, &sdp(3));
        lab.send(A, &again);
        lab.expect_nothing();
        lab.release_engine(1);
        assert_eq!(lab.expect(C, "ACK").body, anchored(Of::Caller, sdp(3).as_bytes()));
        lab.send(A, &again);
        lab.expect_nothing();
        assert_eq!(lab.engine.asked, ["offer of callee", "answer of caller"]);
        hang_up_and_finish(lab, caller, &c);
    }
}

#[test]
fn a_late_answer_that_the_engine_does_not_take_ends_the_call() {
    let mut lab = lab();
    let mut caller = Invite::new(&mut lab, A, C.number).body("").send(&mut lab);
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(&mut lab, C);
    c.respond(&mut lab, "200 OK");
    let answer = caller.answered(&mut lab);
    lab.engine.mood = Mood::Fails(EngineFailed::Unavailable);
    caller.ack(&mut lab, &sdp(3));
    assert_eq!(lab.expect(C, "ACK").body, "");
    Party::caller(&caller, &answer).hung_up(&mut lab);
    c.hung_up(&mut lab);
    lab.finish();
}

#[test]
fn other_bodies_pass_and_are_counted() {
    let mut lab = lab();
    let (mut a, c) = talking(&mut lab);
    let lines = ["Content-Type: text/plain"];
    let invite = Invite::new(&mut lab, A, C.number).line(lines[0]).body("hello");
    let caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let leg = Leg::expect(&mut lab, C);
    assert_eq!(leg.invite.body, "hello");
    leg.reject(&mut lab, "488 Not Acceptable Here");
    caller.refused(&mut lab, 488);
    assert_eq!(lab.metrics().media_bodies_passed, 1);
    let info = a.request(&mut lab, "INFO", &["Content-Type: application/sdp"], &sdp(9));
    let relayed = c.expect(&mut lab, "INFO");
    assert_eq!(relayed.body, sdp(9), "no part of the negotiation");
    c.respond(&mut lab, &relayed, "200 OK", &[], "");
    a.expect_response(&mut lab, &info, 200);
    bye_and_finish(lab, a, &c);
}

#[test]
fn what_is_left_when_the_server_stops_is_over_for_the_engine_too() {
    let mut lab = lab();
    let (a, c) = talking(&mut lab);
    drop((a, c));
    lab.close();
    assert_eq!(lab.engine.asked.last().map(String::as_str), Some("over"));
    assert_eq!(lab.engine.sessions, Vec::<String>::new());
    lab.abandon();
}

#[test]
fn a_leg_that_is_gone_before_the_engine_answers_gets_ack_and_bye() {
    let mut lab = Lab::with(|setup| {
        with_engine(setup);
        setup.settings.media.wait_ms = 40_000;
        setup.settings.late_answer = LateAnswer::Keep;
    });
    lab.audits = false;
    let caller = Caller::call(&mut lab, A, B.number);
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    b.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    lab.advance(20_000);
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    let cancel = lab.expect(B, "CANCEL");
    b.answer(&mut lab, &cancel, "200 OK");
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    lab.engine.mood = Mood::Holds;
    b.respond(&mut lab, "200 OK");
    lab.advance(T1X64_MS + 100);
    lab.expect_nothing();
    lab.release_engine(1);
    lab.expect(B, "ACK");
    b.hung_up(&mut lab);
    lab.engine.mood = Mood::Works;
    c.respond(&mut lab, "200 OK");
    talk_and_finish(lab, caller, &c);
}

#[test]
fn of_several_phones_the_engine_hears_of_the_one_that_the_caller_hears() {
    let mut lab = group::lab_with(&[1_000; 2], with_engine);
    let (mut caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    assert_eq!((&b1.invite.body, &b2.invite.body), (&offered(), &offered()));
    b1.respond_with(&mut lab, "183 Session Progress", &[], &sdp(1));
    assert_eq!(lab.expect(A, "183 INVITE").body, anchored(Of::Callee, sdp(1).as_bytes()));
    b2.respond_with(&mut lab, "183 Session Progress", &[], &sdp(2));
    lab.expect_nothing();
    assert_eq!(lab.engine.asked, ["offer of caller", "answer of callee"]);
    b2.respond_with(&mut lab, "200 OK", &[], &sdp(2));
    b1.cancelled(&mut lab);
    assert_eq!(caller.answered_and_acked(&mut lab).body, anchored(Of::Callee, sdp(2).as_bytes()));
    lab.expect(B2, "ACK");
    hang_up_and_finish(lab, caller, &b2);
}

#[test]
fn of_two_answers_the_engine_hears_of_the_one_that_wins() {
    let mut lab = group::lab_with(&[1_000; 2], with_engine);
    lab.audits = false;
    let (mut caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    lab.engine.mood = Mood::Holds;
    b1.respond_with(&mut lab, "200 OK", &[], &sdp(1));
    b2.respond_with(&mut lab, "200 OK", &[], &sdp(2));
    lab.expect_nothing();
    assert_eq!(lab.engine.asked, ["offer of caller", "answer of callee"]);
    lab.release_engine(1);
    assert_eq!(caller.answered_and_acked(&mut lab).body, anchored(Of::Callee, sdp(1).as_bytes()));
    lab.expect(B1, "ACK");
    lab.expect(B2, "ACK");
    b2.hung_up(&mut lab);
    assert_eq!(lab.engine.asked.len(), 2);
    hang_up_and_finish(lab, caller, &b1);
}

#[test]
fn of_two_answers_that_wait_none_is_left_when_the_call_fails_or_is_cancelled() {
    for cancels in [false, true] {
        let mut lab = group::lab_with(&[1_000; 2], with_engine);
        lab.audits = false;
        let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
        lab.engine.mood = Mood::Holds;
        b1.respond_with(&mut lab, "200 OK", &[], &sdp(1));
        lab.advance(10);
        b2.respond_with(&mut lab, "200 OK", &[], &sdp(2));
        match cancels {
            true => {
                caller.cancel(&mut lab);
                lab.expect(A, "200 CANCEL");
                caller.refused(&mut lab, 487);
                lab.expect_nothing();
                lab.release_engine(1);
            }
            false => {
                lab.advance(WAIT_MS - 10);
                caller.refused(&mut lab, 503);
            }
        }
        for (phone, leg) in [(B1, &b1), (B2, &b2)] {
            lab.expect(phone, "ACK");
            leg.hung_up(&mut lab);
        }
        assert_eq!(lab.engine.asked, ["offer of caller", "answer of callee", "over"]);
        lab.finish();
    }
}

#[test]
fn of_two_phones_early_media_the_engine_hears_of_the_first_s() {
    let mut lab = group::lab_with(&[1_000; 2], with_engine);
    let (mut caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    lab.engine.mood = Mood::Holds;
    b1.respond_with(&mut lab, "183 Session Progress", &[], &sdp(1));
    b2.respond_with(&mut lab, "183 Session Progress", &[], &sdp(2));
    assert_eq!(lab.expect(A, "183 INVITE").body, "");
    assert_eq!(lab.engine.asked, ["offer of caller", "answer of callee"]);
    lab.release_engine(1);
    assert_eq!(lab.expect(A, "183 INVITE").body, anchored(Of::Callee, sdp(1).as_bytes()));
    lab.engine.mood = Mood::Works;
    b1.respond_with(&mut lab, "200 OK", &[], &sdp(1));
    b2.cancelled(&mut lab);
    assert_eq!(caller.answered_and_acked(&mut lab).body, anchored(Of::Callee, sdp(1).as_bytes()));
    lab.expect(B1, "ACK");
    hang_up_and_finish(lab, caller, &b1);
}

#[test]
fn a_part_of_a_multipart_body_is_the_engine_s_and_the_rest_passes() {
    let mut lab = lab();
    let part = |sdp: &str| {
        format!(
            "--b\r\nContent-Type: application/sdp\r\n\r\n{sdp}\r\n--b\r\n\
             Content-Type: text/plain\r\n\r\nx\r\n--b--\r\n"
        )
    };
    let invite = Invite::new(&mut lab, A, C.number);
    let invite = invite.line("Content-Type: multipart/mixed;boundary=b").body(&part(OFFER.trim_end()));
    let caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(&mut lab, C);
    assert_eq!(c.invite.one("Content-Type"), "multipart/mixed;boundary=b");
    let told = anchored(Of::Caller, OFFER.as_bytes());
    assert!(c.invite.body.contains(&told) && c.invite.body.ends_with("x\r\n--b--\r\n"), "{}", c.invite.body);
    assert_eq!(c.invite.one("Content-Length"), c.invite.body.len().to_string());
    c.reject(&mut lab, "486 Busy Here");
    caller.refused(&mut lab, 486);
    lab.audits = false;
    lab.finish();
}

#[test]
fn a_phone_whose_early_media_the_engine_does_not_take_is_cancelled_in_time() {
    let mut lab = lab();
    let caller = Caller::call(&mut lab, A, C.number);
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(&mut lab, C);
    lab.engine.mood = Mood::Fails(EngineFailed::Unavailable);
    c.reliable(&mut lab, "183 Session Progress", 1, ANSWER);
    lab.expect_nothing();
    lab.advance(59_999);
    lab.expect_nothing();
    lab.advance(1);
    c.cancelled(&mut lab);
    caller.refused(&mut lab, 480);
    lab.finish();
}
