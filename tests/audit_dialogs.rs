//! The audit of dialogs itself: good traces of what passes within a dialog are taken, and each planted fault
//! is found (`audit.rs` does the same for the call around it).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::callee::ANSWER;
use lab::party::{Early, Party, Talk, accepted, both_ways, bye_and_finish, calling, sdp};
use lab::peer::{A, C};
use lab::trace::{Entry, Way};
use lab::{Lab, T1X64_MS, audit};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A call with an early answer, an UPDATE in the early dialog, a re-INVITE and an INFO; no BYE yet.
fn good_trace() -> Vec<Entry> {
    let mut early = Early::new();
    let update = early.a.update(&mut early.lab, &sdp(1));
    let relayed = early.c.expect(&mut early.lab, "UPDATE");
    early.c.respond(&mut early.lab, &relayed, "200 OK", &[], &sdp(2));
    early.a.expect_response(&mut early.lab, &update, 200);
    let Early { mut lab, mut caller, leg, mut a, c } = early;
    leg.respond_with(&mut lab, "200 OK", &[], "");
    caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    let invite = a.invite(&mut lab, &sdp(1));
    a.expect_response(&mut lab, &invite, 100);
    let relayed = c.expect(&mut lab, "INVITE");
    accepted(&mut lab, &a, &c, (&invite, &relayed));
    let info = a.request(&mut lab, "INFO", &[], "");
    let relayed = c.expect(&mut lab, "INFO");
    c.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &info, 200);
    let trace = lab.trace.clone();
    bye_and_finish(lab, a, &c);
    trace
}

/// A caller that requires 100rel has two reliable responses.
fn reliable_trace() -> Vec<Entry> {
    let mut lab = Lab::new();
    let (caller, leg) = calling(&mut lab, &["Require: 100rel"]);
    let mut cseq = caller.cseq;
    for status in ["180 Ringing", "183 Session Progress"] {
        leg.respond(&mut lab, status);
        let response = lab.expect(A, &format!("{} INVITE", &status[..3]));
        lab.advance(600);
        lab.sent();
        let mut a = Party::caller(&caller, &response);
        a.cseq = cseq;
        let prack = a.prack(&mut lab, &response, "");
        a.expect_response(&mut lab, &prack, 200);
        cseq = a.cseq;
    }
    let mut caller = caller;
    leg.respond_with(&mut lab, "200 OK", &["Record-Route: <sip:127.0.0.138;lr>, <sip:10.0.0.1;lr>"], ANSWER);
    let answer = caller.answered_and_acked(&mut lab);
    let a = Party { cseq, ..Party::caller(&caller, &answer) };
    let mut a = a;
    a.request(&mut lab, "BYE", &[], "");
    let trace = lab.trace.clone();
    lab.abandon();
    trace
}

/// C rang reliably, which we confirmed, and answered.
fn pracked_trace() -> Vec<Entry> {
    let mut lab = Lab::new();
    let (mut caller, leg) = calling(&mut lab, &["Supported: 100rel"]);
    leg.reliable(&mut lab, "180 Ringing", 1, "");
    lab.expect(A, "180 INVITE");
    let prack = lab.expect(C, "PRACK");
    leg.answer(&mut lab, &prack, "200 OK");
    leg.respond(&mut lab, "200 OK");
    caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    let trace = lab.trace.clone();
    lab::scene::hang_up_and_finish(lab, caller, &leg);
    trace
}

/// What the audit says of a trace; empty: it passes.
fn fault(trace: &[Entry]) -> String {
    let said = catch_unwind(AssertUnwindSafe(|| audit::trace(trace, T1X64_MS)));
    let text = |fault: &(dyn std::any::Any + Send)| fault.downcast_ref::<String>().cloned();
    said.map_or_else(|fault| text(&*fault).unwrap_or_else(|| "?".into()), |()| String::new())
}

fn passes(trace: &[Entry]) -> bool {
    fault(trace).is_empty()
}

/// The audit finds fault with the trace, and for this reason.
#[track_caller]
fn is_found(trace: &[Entry], what: &str, reason: &str) {
    let fault = fault(trace);
    assert!(fault.contains(reason), "{what}: {reason:?} expected, found {fault:?}");
}

/// Where a message stands, the `number`th of its kind.
#[track_caller]
fn place(trace: &[Entry], arrow: &str, number: usize) -> usize {
    let mut places = (0..trace.len()).filter(|place| trace[*place].arrow() == arrow);
    places.nth(number).unwrap_or_else(|| panic!("{number} times {arrow}"))
}

fn text(entry: &Entry) -> String {
    String::from_utf8_lossy(&entry.bytes).into_owned()
}

/// The same message with another text.
fn with_text(entry: &Entry, text: &str) -> Entry {
    Entry::new(entry.at_ms, entry.way, entry.peer, entry.listener, text.as_bytes())
}

/// The trace with text replaced in one message is found fault with.
#[track_caller]
fn finds(good: &[Entry], (arrow, number): (&str, usize), (from, to): (&str, &str), reason: &str) {
    let mut trace = good.to_vec();
    let place = place(&trace, arrow, number);
    let before = text(&trace[place]);
    let after = before.replacen(from, to, 1);
    assert_ne!(after, before, "{from} is not in\n{before}");
    trace[place] = with_text(&trace[place], &after);
    is_found(&trace, &format!("{arrow} with {to:?} for {from:?}"), reason);
}

/// The trace, changed, is found fault with.
#[track_caller]
fn finds_after(good: &[Entry], reason: &str, change: impl FnOnce(&mut Vec<Entry>)) {
    let mut trace = good.to_vec();
    change(&mut trace);
    is_found(&trace, "changed", reason);
}

#[test]
fn good_traces_pass() {
    assert!(passes(&good_trace()));
    assert!(passes(&reliable_trace()));
    assert!(passes(&pracked_trace()));
}

#[test]
fn cseq_numbers_that_repeat_fall_or_leave_one_out_are_found() {
    let good = good_trace();
    // INVITE 1, PRACK 2, UPDATE 3, INVITE 4, INFO 5.
    for number in ["2", "3", "5", "6"] {
        let to = format!("CSeq: {number} INVITE");
        finds(&good, ("S → C INVITE", 1), ("CSeq: 4 INVITE", &to), "CSeq");
    }
    finds(&good, ("S → C PRACK", 0), ("CSeq: 2 PRACK", "CSeq: 1 PRACK"), "CSeq does not rise");
    finds(&good, ("S → C PRACK", 0), ("CSeq: 2 PRACK", "CSeq: 3 PRACK"), "CSeq leaves out");
    finds(&good, ("S → C UPDATE", 0), ("CSeq: 3 UPDATE", "CSeq: 2 UPDATE"), "CSeq does not rise");
    finds(&good, ("S → C INFO", 0), ("CSeq: 5 INFO", "CSeq: 4 INFO"), "CSeq does not rise");
    finds(&good, ("S → C ACK", 1), ("CSeq: 4 ACK", "CSeq: 9 ACK"), "never acknowledged");
}

#[test]
fn a_re_invite_that_gets_no_or_two_final_responses_or_no_ack_is_found() {
    let good = good_trace();
    finds_after(&good, "without a final response", |trace| {
        drop(trace.remove(place(trace, "S → A 200 INVITE", 1)));
    });
    finds_after(&good, "after the final response", |trace| {
        let place = place(trace, "S → A 200 INVITE", 1);
        let second = text(&trace[place]).replace("200 OK", "202 Accepted");
        trace.insert(place + 1, with_text(&trace[place], &second));
    });
    finds_after(&good, "never acknowledged", |trace| drop(trace.remove(place(trace, "S → C ACK", 1))));
    finds_after(&good, "after the final response", |trace| {
        let place = place(trace, "S → A 200 INFO", 0);
        let second = text(&trace[place]).replace("200 OK", "500 Server Internal Error");
        trace.insert(place + 1, with_text(&trace[place], &second));
    });
    finds_after(&good, "a provisional response to no INVITE", |trace| {
        let place = place(trace, "S → A 200 INFO", 0);
        let first = text(&trace[place]).replace("200 OK", "100 Trying");
        trace.insert(place, with_text(&trace[place], &first));
    });
}

#[test]
fn requests_after_the_end_are_found() {
    let bye = |entry: &Entry| {
        let text = text(entry).replace("CSeq: 5 INFO", "CSeq: 6 BYE").replace("INFO sip:", "BYE sip:");
        with_text(entry, &text.replace("branch=z9hG4bK", "branch=z9hG4bKbye"))
    };
    let mut good = good_trace();
    let info = place(&good, "S → C INFO", 0);
    let end = bye(&good[info]);
    good.push(end.clone());
    assert!(passes(&good));
    finds_after(&good, "after the dialog's end", |trace| {
        let update = text(&end).replace("6 BYE", "7 UPDATE").replace("BYE sip:", "UPDATE sip:");
        trace.push(with_text(&end, &update.replace("z9hG4bKbye", "z9hG4bKupdate")));
    });
}

#[test]
fn a_route_that_is_not_the_dialogs_is_found() {
    let good = good_trace();
    let route = "\r\nRoute: <sip:10.0.0.1;lr>\r\n";
    for (arrow, number) in [("S → C PRACK", 0), ("S → C INFO", 0), ("S → C INVITE", 1), ("S → C ACK", 1)]
    {
        finds(&good, (arrow, number), ("\r\n", route), "oute");
    }
    let routed = reliable_trace();
    let [ack, bye] = [("S → 10.0.0.1:5060 ACK", 0), ("S → 10.0.0.1:5060 BYE", 0)];
    finds(&routed, ack, ("Route: <sip:10.0.0.1;lr>\r\n", ""), "oute");
    finds(&routed, bye, ("Route: <sip:10.0.0.1;lr>\r\n", ""), "the route");
    finds(&routed, bye, ("10.0.0.1;lr", "10.0.0.2;lr"), "the route");
}

#[test]
fn reliable_responses_that_break_rfc_3262_are_found() {
    let good = reliable_trace();
    let first = place(&good, "S → A 180 INVITE", 0);
    let rseq: u32 = good[first].sip.as_ref().expect("a 180").one("RSeq").parse().expect("a number");
    let line = |number: u32| format!("RSeq: {number}");
    let (one, two) = (line(rseq), line(rseq + 1));
    finds(&good, ("S → A 183 INVITE", 0), (&two, &one), "RSeq does not rise by one");
    finds(&good, ("S → A 183 INVITE", 0), (&two, &line(rseq + 2)), "RSeq does not rise by one");
    finds(&good, ("S → A 180 INVITE", 0), (&format!("{one}\r\n"), ""), "reliable without RSeq");
    finds(&good, ("S → A 180 INVITE", 0), ("Require: 100rel\r\n", ""), "the caller requires 100rel");
    finds(&good, ("A → S INVITE", 0), ("Require: 100rel\r\n", ""), "did not ask for 100rel");
    finds_after(&good, "a second one before", |trace| {
        trace.retain(|entry| entry.arrow() != "A → S PRACK" && entry.arrow() != "S → A 200 PRACK");
    });
    finds_after(&good, "repeated after its PRACK", |trace| {
        let again = trace[place(trace, "S → A 180 INVITE", 0)].clone();
        trace.insert(place(trace, "A → S PRACK", 0) + 1, again);
    });
    let with_sdp = good_trace();
    finds_after(&with_sdp, "a 2xx before the PRACK", |trace| {
        let prack = trace.remove(place(trace, "A → S PRACK", 0));
        trace.retain(|entry| entry.arrow() != "S → A 200 PRACK");
        trace.push(prack);
    });
}

#[test]
fn pracks_of_ours_that_break_rfc_3262_are_found() {
    let good = good_trace();
    let prack = ("S → C PRACK", 0);
    finds(&good, prack, ("RAck: 1 1 INVITE", "RAck: 2 1 INVITE"), "a PRACK of nothing");
    finds(&good, prack, ("RAck: 1 1 INVITE", "RAck: 1 2 INVITE"), "a PRACK of nothing");
    finds(&good, prack, ("RAck: 1 1 INVITE", "RAck: 1 1 UPDATE"), "RAck in");
    finds(&good, prack, ("RAck: 1 1 INVITE", "RAck: 1 1"), "RAck in");
    finds_after(&good, "a second PRACK", |trace| {
        // It takes the UPDATE's place and number.
        let prack = text(&trace[place(trace, "S → C PRACK", 0)]);
        let second = prack.replace("branch=z9hG4bK", "branch=z9hG4bKx").replace("CSeq: 2", "CSeq: 3");
        let update = place(trace, "S → C UPDATE", 0);
        trace[update] = with_text(&trace[update], &second);
        trace.retain(|entry| !entry.arrow().ends_with("UPDATE"));
    });
    finds_after(&pracked_trace(), "never acknowledged: RSeq", |trace| {
        trace.retain(|entry| !entry.arrow().ends_with("PRACK"));
    });
}

#[test]
fn a_second_offer_while_one_is_open_and_an_offer_without_an_answer_are_found() {
    let good = good_trace();
    finds_after(&good, "a second offer while one is open", |trace| {
        let place = place(trace, "S → C INVITE", 1);
        let offer = text(&trace[place])
            .replace("INVITE sip:", "UPDATE sip:")
            .replace("CSeq: 4 INVITE", "CSeq: 5 UPDATE")
            .replace("branch=z9hG4bK", "branch=z9hG4bKx");
        trace.retain(|entry| !entry.arrow().ends_with("INFO"));
        trace.insert(place + 1, with_text(&trace[place], &offer));
    });
    for (arrow, number) in [("S → A 200 UPDATE", 0), ("S → A 200 INVITE", 1)] {
        finds_after(&good, "an offer without an answer", |trace| {
            let place = place(trace, arrow, number);
            let text = text(&trace[place]);
            let (head, body) = text.split_once("\r\n\r\n").expect("an end of headers");
            let head = head.replace("Content-Type: application/sdp\r\n", "");
            let head = head.replace(&format!("Content-Length: {}", body.len()), "Content-Length: 0");
            trace[place] = with_text(&trace[place], &format!("{head}\r\n\r\n"));
        });
    }
    finds_after(&good, "a second offer while one is open", |trace| {
        // The 200 to the relayed UPDATE comes only after the re-INVITE left.
        let answer = trace.remove(place(trace, "C → S 200 UPDATE", 0));
        trace.push(answer);
        let relayed = trace.remove(place(trace, "S → A 200 UPDATE", 0));
        trace.push(relayed);
    });
}

#[test]
fn the_audit_takes_glare_and_refusals() {
    for Talk { mut lab, mut asker, mut other } in both_ways() {
        let update = asker.update(&mut lab, &sdp(1));
        let relayed = other.expect(&mut lab, "UPDATE");
        let crossing = other.update(&mut lab, &sdp(2));
        other.expect_response(&mut lab, &crossing, 491);
        other.answer(&mut lab, &relayed, "491 Request Pending");
        asker.expect_response(&mut lab, &update, 491);
        assert!(lab.trace.iter().any(|entry| entry.way == Way::Out));
        bye_and_finish(lab, asker, &other);
    }
}
