//! Faults that other servers shipped, each as one test (SIP_RULES 29).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::callee::{ANSWER, Leg};
use lab::caller::{Caller, Invite};
use lab::peer::{A, B, C, D, Setup};
use lab::scene::{diverted, hang_up_and_finish, refuse_and_finish, ringing, talk_and_finish, talking};
use lab::{Lab, T1X64_MS};
use ringway::outbox::ListenerId;
use ringway::settings::Listener;

/// OpenSIPS 4257: the 200 was dropped, never acknowledged, and the caller got a 408.
#[test]
fn a_200_that_comes_30_ms_after_the_timers_cancel_is_acked_and_byed_and_the_call_goes_on() {
    let mut lab = Lab::new();
    let (caller, b, c) = diverted(&mut lab);
    let cancel = lab.expect(B, "CANCEL");
    lab.advance(30);
    let answer = b.respond(&mut lab, "200 OK");
    lab.expect(B, "ACK");
    b.hung_up(&mut lab);
    b.answer(&mut lab, &cancel, "200 OK");
    lab.send(B, &answer);
    lab.expect(B, "ACK");
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    c.respond(&mut lab, "200 OK");
    talk_and_finish(lab, caller, &c);
}

/// OpenSIPS 342.
#[test]
fn a_repeated_18x_does_not_restart_the_no_answer_timer() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    for _ in 0..19 {
        lab.advance(1_000);
        b.respond(&mut lab, "180 Ringing");
        b.respond(&mut lab, "183 Session Progress");
    }
    let heard = lab.sent();
    assert!(heard.iter().all(|sent| sent == "A 180 INVITE" || sent == "A 183 INVITE"), "{heard:?}");
    lab.advance(1_000);
    lab.expect(A, "181 INVITE");
    b.cancelled(&mut lab);
    let c = Leg::expect(&mut lab, C);
    refuse_and_finish(lab, &caller, &c);
}

/// Kamailio 1966: it was ignored for calls that came over TCP. Ours come over several sockets.
#[test]
fn a_subscribers_own_time_holds_whatever_socket_its_call_came_by() {
    for listener in [0, 1] {
        let mut lab = Lab::with(|setup: &mut Setup| {
            let second = "127.0.0.61:5070".parse().expect("an address");
            setup.settings.listeners.push(Listener { address: second, sent_by: "127.0.0.61:5070".into() });
            setup.subscriber(B).after_ms = Some(7_000);
        });
        let invite = Invite::new(&mut lab, A, B.number);
        let text = invite.text();
        lab.send_to(ListenerId(listener), A.address, text.as_bytes());
        let caller = Caller { cseq: invite.cseq, text, invite, answer: None };
        lab.expect(A, "100 INVITE");
        let b = Leg::expect(&mut lab, B);
        b.ring(&mut lab);
        lab.expect(A, "180 INVITE");
        lab.advance(6_990);
        lab.expect_nothing();
        lab.advance(16);
        lab.expect(A, "181 INVITE");
        b.cancelled(&mut lab);
        let c = Leg::expect(&mut lab, C);
        refuse_and_finish(lab, &caller, &c);
    }
}

/// resiprocate 209: Timer C cancelled the branch that should have been tried next.
#[test]
fn the_limits_of_the_leg_that_was_given_up_do_not_touch_the_next_one() {
    let mut lab = Lab::with(|setup| setup.settings.ring_limit_ms = 25_000);
    let (caller, b, c) = diverted(&mut lab);
    let cancel = lab.expect(B, "CANCEL");
    b.answer(&mut lab, &cancel, "200 OK");
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    // B's own limit would be up now; it never sends its 487 either.
    lab.advance(20_000);
    lab.expect_nothing();
    assert_eq!(lab.sent_to(C), ["INVITE"]);
    c.respond(&mut lab, "200 OK");
    talk_and_finish(lab, caller, &c);
}

/// OpenSIPS 4251: a deadlock.
#[test]
fn a_cancel_and_a_183_that_meet_end_the_call_whichever_comes_first() {
    for cancel_first in [true, false] {
        let mut lab = Lab::new();
        let (caller, b) = ringing(&mut lab);
        if cancel_first {
            caller.cancel(&mut lab);
            b.respond_with(&mut lab, "183 Session Progress", &[], ANSWER);
        } else {
            b.respond_with(&mut lab, "183 Session Progress", &[], ANSWER);
            lab.expect(A, "183 INVITE");
            caller.cancel(&mut lab);
        }
        lab.expect(A, "200 CANCEL");
        caller.refused(&mut lab, 487);
        b.cancelled(&mut lab);
        assert_eq!(lab.calls(), 0);
        lab.finish();
    }
}

/// The timer's own CANCEL and a 183 may meet as well.
#[test]
fn the_timers_cancel_and_a_183_that_meet_leave_the_target_alone() {
    let mut lab = Lab::new();
    let (caller, b, c) = diverted(&mut lab);
    b.respond_with(&mut lab, "183 Session Progress", &[], ANSWER);
    b.cancelled(&mut lab);
    lab.expect_nothing();
    refuse_and_finish(lab, &caller, &c);
}

/// drachtio 480.
#[test]
fn a_cancel_whose_via_changed_behind_a_nat_is_matched_by_its_branch() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    let moved = caller.cancel_text().replace("UDP 127.0.0.137:5060", "UDP 203.0.113.9:40123");
    assert_ne!(moved, caller.cancel_text());
    lab.send(A, &moved);
    lab.expect(A, "200 CANCEL");
    caller.refused(&mut lab, 487);
    b.cancelled(&mut lab);
    lab.finish();
}

/// siphon 84.
#[test]
fn the_200_to_the_caller_is_repeated_until_its_ack() {
    let mut lab = Lab::new();
    let (mut caller, c) = lab::scene::answered(&mut lab);
    let first = caller.answered(&mut lab);
    lab.advance(4_000);
    assert_eq!(lab.sent(), ["A 200 INVITE"; 3]);
    assert_eq!(lab.last_to(A), first);
    caller.ack(&mut lab, "");
    lab.expect(C, "ACK");
    lab.advance(30_000);
    lab.expect_nothing();
    hang_up_and_finish(lab, caller, &c);
}

/// siphon 84.
#[test]
fn the_ack_to_a_refusal_is_no_new_request() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    b.reject(&mut lab, "486 Busy Here");
    let refusal = caller.refused(&mut lab, 486);
    let ack = caller.ack_refusal_text(&refusal);
    for _ in 0..3 {
        lab.send(A, &ack);
    }
    lab.advance(T1X64_MS);
    lab.send(A, &ack);
    lab.expect_nothing();
    assert_eq!(lab.metrics().calls_started, 1);
    lab.finish();
}

/// siphon 80.
#[test]
fn compact_header_names_are_read_in_requests_and_responses() {
    let compact = |text: &str| {
        let names = [
            ("Via", "v"),
            ("From", "f"),
            ("To", "t"),
            ("Call-ID", "i"),
            ("Contact", "m"),
            ("Content-Length", "l"),
            ("Content-Type", "c"),
        ];
        let short = |text: String, (long, short): &(&str, &str)| {
            text.replace(&format!("\r\n{long}: "), &format!("\r\n{short}: "))
        };
        names.iter().fold(text.to_string(), short)
    };
    let mut lab = Lab::new();
    let invite = Invite::new(&mut lab, A, B.number).line("k: timer");
    let text = compact(&invite.text());
    lab.send(A, &text);
    let mut caller = Caller { cseq: invite.cseq, text, invite, answer: None };
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    lab.send(B, &compact(&b.text("180 Ringing")));
    lab.expect(A, "180 INVITE");
    lab.send(B, &compact(&b.text("200 OK")));
    let answer = caller.answered(&mut lab);
    assert_eq!(answer.body, ANSWER);
    let ack = caller.dialog().text(&mut lab, "ACK", caller.invite.cseq, &[], "");
    lab.send(A, &compact(&ack));
    lab.expect(B, "ACK");
    caller.cseq += 1;
    let bye = caller.dialog().text(&mut lab, "BYE", caller.cseq, &[], "");
    lab.send(A, &compact(&bye));
    lab.expect(A, "200 BYE");
    b.hung_up(&mut lab);
    lab.finish();
}

/// siphon-rs 103.
#[test]
fn finished_client_transactions_are_reaped() {
    let mut lab = Lab::new();
    let mut most = 0;
    for _ in 0..50 {
        let (mut caller, b, c) = diverted(&mut lab);
        b.cancelled(&mut lab);
        c.respond(&mut lab, "200 OK");
        caller.answered_and_acked(&mut lab);
        lab.expect(C, "ACK");
        caller.bye(&mut lab);
        lab.expect(A, "200 BYE");
        c.hung_up(&mut lab);
        most = most.max(lab.transactions());
        lab.advance(T1X64_MS);
    }
    assert!(most <= 16, "{most} transactions though one call lived at a time");
    lab.advance(T1X64_MS);
    assert_eq!(lab.transactions(), 0);
    lab.finish();
}

/// rsiprtp.
#[test]
fn timer_b_does_not_run_on_in_proceeding() {
    for status in ["100 Trying", "180 Ringing"] {
        let mut lab = Lab::new();
        let caller = Caller::call(&mut lab, A, D.number);
        lab.expect(A, "100 INVITE");
        let d = Leg::expect(&mut lab, D);
        d.respond(&mut lab, status);
        lab.sent();
        lab.advance(T1X64_MS + 10_000);
        lab.expect_nothing();
        d.respond(&mut lab, "200 OK");
        let mut caller = caller;
        caller.answered_and_acked(&mut lab);
        lab.expect(D, "ACK");
        hang_up_and_finish(lab, caller, &d);
    }
}

/// FusionPBX 2746: it crashed the server.
#[test]
fn a_loop_of_forwardings_ends_with_480() {
    let mut lab = Lab::with(|setup| {
        setup.forward(C, D);
        setup.forward(D, B);
    });
    let (caller, b, c) = diverted(&mut lab);
    b.cancelled(&mut lab);
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    lab.advance(20_000);
    lab.expect(A, "181 INVITE");
    c.cancelled(&mut lab);
    let d = Leg::expect(&mut lab, D);
    d.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    lab.advance(20_000);
    d.cancelled(&mut lab);
    caller.refused(&mut lab, 480);
    lab.finish();
}

/// The same with one subscriber that forwards to itself.
#[test]
fn a_subscriber_that_forwards_to_itself_is_rung_once() {
    let mut lab = Lab::with(|setup| setup.forward(B, B));
    let (caller, b) = ringing(&mut lab);
    lab.advance(20_000);
    b.cancelled(&mut lab);
    caller.refused(&mut lab, 480);
    lab.finish();
}

/// OpenSIPS 2471: they were set to 70 and loops spun.
#[test]
fn max_forwards_is_never_reset_along_a_chain_of_forwardings() {
    let mut lab = Lab::new();
    let caller = Invite::new(&mut lab, A, B.number).max_forwards(1).send(&mut lab);
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    b.reject(&mut lab, "408 Request Timeout");
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    assert_eq!([&b, &c].map(|leg| leg.invite.one("Max-Forwards").to_string()), ["0", "0"]);
    c.reject(&mut lab, "483 Too Many Hops");
    caller.refused(&mut lab, 483);
    let last = Invite::new(&mut lab, A, B.number).max_forwards(0).send(&mut lab);
    last.refused(&mut lab, 483);
    lab.finish();
}

/// voipmonitor 81.
#[test]
fn several_diversion_header_fields_are_all_read_and_all_passed_on() {
    let lines = [
        "Diversion: <sip:1>;reason=no-answer;counter=1, \"a, b\" <sip:2@x>;counter=1",
        "Diversion: <sip:3@x>;reason=\"user-busy\"",
        "Diversion: <sip:4@x>;counter=1;reason=unconditional",
    ];
    let mut lab = Lab::new();
    let mut invite = Invite::new(&mut lab, A, B.number);
    invite.lines = lines.map(String::from).to_vec();
    let caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    b.reject(&mut lab, "408 Request Timeout");
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    let diversions = c.invite.all("Diversion");
    assert_eq!(diversions.len(), 4, "ours, and theirs as they stood");
    assert!(diversions[0].starts_with("<sip:1004@127.0.0.60"));
    for (line, passed) in lines.iter().zip(&diversions[1..]) {
        assert_eq!(*line, format!("Diversion: {passed}"));
    }
    c.reject(&mut lab, "486 Busy Here");
    caller.refused(&mut lab, 486);
    // One more and the cap of 5 is reached.
    let mut invite = Invite::new(&mut lab, A, B.number);
    invite.lines = lines.map(String::from).to_vec();
    invite.lines.push("Diversion: <sip:5@x>".into());
    let caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    b.respond(&mut lab, "408 Request Timeout");
    lab.expect(B, "ACK");
    lab.expect_any(A);
    let last = lab.last_to(A);
    assert!(last.status.is_some_and(|status| status >= 400), "no further forwarding");
    lab.send(A, &caller.ack_refusal_text(&last));
    lab.finish();
}

/// Kamailio's failure_reply_mode: a first leg's stale failure won.
#[test]
fn the_forwarded_legs_failure_is_the_callers_not_the_first_legs() {
    for (first, last) in [("408 Request Timeout", 404), ("480 Temporarily Unavailable", 486)] {
        let mut lab = Lab::new();
        let (caller, b) = ringing(&mut lab);
        let reason = "Reason: Q.850;cause=19";
        b.respond_with(&mut lab, first, &[reason], "");
        lab.expect(B, "ACK");
        lab.expect(A, "181 INVITE");
        let c = Leg::expect(&mut lab, C);
        c.reject(&mut lab, &format!("{last} No"));
        caller.refused(&mut lab, last);
        lab.finish();
    }
}

/// Kamailio's again: our own timer's leg answers its CANCEL with another failure, late.
#[test]
fn a_cancelled_legs_late_failure_never_reaches_the_caller() {
    let mut lab = Lab::new();
    let (caller, b, c) = diverted(&mut lab);
    let cancel = lab.expect(B, "CANCEL");
    b.answer(&mut lab, &cancel, "200 OK");
    c.reject(&mut lab, "404 Not Found");
    caller.refused(&mut lab, 404);
    b.reject(&mut lab, "486 Busy Here");
    lab.expect_nothing();
    lab.finish();
}

/// A call after all of it: the server is still there.
#[test]
fn after_any_of_it_the_next_call_is_served() {
    let mut lab = Lab::with(|setup| setup.forward(C, B));
    let (caller, b, c) = diverted(&mut lab);
    caller.cancel(&mut lab);
    lab.expect(A, "200 CANCEL");
    caller.refused(&mut lab, 487);
    b.cancelled(&mut lab);
    c.respond(&mut lab, "200 OK");
    lab.expect(C, "ACK");
    c.hung_up(&mut lab);
    let (caller, c) = talking(&mut lab);
    hang_up_and_finish(lab, caller, &c);
}
