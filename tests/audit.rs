//! The laboratory's audit itself: a good trace passes, and each planted fault is found.

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::peer::{A, C};
use lab::trace::{Entry, Way};
use lab::{Lab, T1X64_MS, audit, scene};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A forwarded call: B is cancelled and C answers, then A hangs up.
fn good_trace() -> Vec<Entry> {
    let mut lab = Lab::new();
    let (mut caller, b, c) = scene::diverted(&mut lab);
    b.cancelled(&mut lab);
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    c.respond(&mut lab, "200 OK");
    caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    caller.bye(&mut lab);
    lab.expect(A, "200 BYE");
    c.hung_up(&mut lab);
    let trace = lab.trace.clone();
    lab.finish();
    trace
}

fn passes(trace: &[Entry]) -> bool {
    catch_unwind(AssertUnwindSafe(|| audit::trace(trace, T1X64_MS))).is_ok()
}

/// Where the message stands: `S → B CANCEL`.
#[track_caller]
fn place(trace: &[Entry], arrow: &str) -> usize {
    let mut places = (0..trace.len()).filter(|place| trace[*place].arrow() == arrow);
    places.next().expect("such a message")
}

/// The good trace with text replaced in one message is found fault with.
#[track_caller]
fn finds(arrow: &str, from: &str, to: &str) {
    let mut trace = good_trace();
    let place = place(&trace, arrow);
    let text = String::from_utf8_lossy(&trace[place].bytes).into_owned();
    let changed = text.replace(from, to);
    assert_ne!(changed, text, "{from} is not in\n{text}");
    let Entry { at_ms, way, peer, listener, .. } = trace[place];
    trace[place] = Entry::new(at_ms, way, peer, listener, changed.as_bytes());
    assert!(!passes(&trace), "not found: {arrow} with {to:?} for {from:?}");
}

/// The good trace, changed, is found fault with.
#[track_caller]
fn finds_after(what: &str, change: impl FnOnce(&mut Vec<Entry>)) {
    let mut trace = good_trace();
    change(&mut trace);
    assert!(!passes(&trace), "not found: {what}");
}

#[test]
fn a_good_trace_passes() {
    assert!(passes(&good_trace()));
}

#[test]
fn broken_messages_are_found() {
    finds("S → B INVITE", "Max-Forwards: 29\r\n", "");
    finds("S → B INVITE", "Max-Forwards: 29\r\n", "Max-Forwards: 29\r\nMax-Forwards: 28\r\n");
    finds("S → B INVITE", "Contact: ", "X-Contact: ");
    finds("S → B INVITE", "Content-Type: application/sdp\r\n", "");
    finds("S → A 181 INVITE", "Content-Length: 0", "Content-Length: 1");
    finds("S → A 181 INVITE", "Content-Length: 0\r\n", "");
    finds("S → A 200 INVITE", "\r\nCSeq: 39 INVITE\r\n", "\r\nCSeq: 39 INVITE\r\nCSeq: 39 INVITE\r\n");
    finds("S → A 200 INVITE", "Contact: ", "X-Contact: ");
    finds("S → C ACK", "branch=z9hG4bK", "branch=z9hG4b");
}

#[test]
fn responses_that_do_not_copy_their_request_are_found() {
    finds("S → A 180 INVITE", "CSeq: 39", "CSeq: 40");
    finds("S → A 180 INVITE", "branch=z9hG4bK1", "branch=z9hG4bK2");
    finds("S → A 180 INVITE", ";tag=a0", ";tag=a1");
    finds("S → A 180 INVITE", "From: \"1003\"", "From: \"1004\"");
    finds("S → A 200 BYE", "To: <sip:1004", "To: <sip:1005");
    finds_after("a response to an ACK", |trace| {
        let place = place(trace, "A → S ACK");
        let text = String::from_utf8_lossy(&trace[place].bytes).into_owned();
        let response = text.replacen(text.lines().next().unwrap_or_default(), "SIP/2.0 200 OK", 1);
        let response = response.replace("Max-Forwards: 30\r\n", "");
        let Entry { at_ms, peer, listener, .. } = trace[place];
        trace.insert(place + 1, Entry::new(at_ms, Way::Out, peer, listener, response.as_bytes()));
    });
}

#[test]
fn requests_that_do_not_follow_their_dialog_are_found() {
    finds("S → C BYE", "CSeq: 2 BYE", "CSeq: 1 BYE");
    finds("S → C BYE", ";tag=b0", ";tag=b1");
    finds("S → B CANCEL", "CSeq: 1", "CSeq: 2");
    finds("S → B CANCEL", "CANCEL sip:1004", "CANCEL sip:1005");
    finds("S → B ACK", "branch=z9hG4bKt0", "branch=z9hG4bKt1");
    finds("S → C ACK", "ACK sip:1005@127.0.0.138:5060", "ACK sip:1005@127.0.0.138");
    finds("S → C ACK", "CSeq: 1 ACK", "CSeq: 1 ACK\r\nRoute: <sip:10.0.0.1;lr>");
    finds_after("the ACK to a 2xx has the INVITE's branch", |trace| {
        let invite = trace[place(trace, "S → C INVITE")].sip.clone().expect("an INVITE");
        let place = place(trace, "S → C ACK");
        let ack = trace[place].sip.clone().expect("an ACK");
        let text = ack.text().replace(&ack.branch, &invite.branch);
        let Entry { at_ms, way, peer, listener, .. } = trace[place];
        trace[place] = Entry::new(at_ms, way, peer, listener, text.as_bytes());
    });
}

#[test]
fn missing_doubled_and_misplaced_messages_are_found() {
    finds_after("no ACK to the 487", |trace| drop(trace.remove(place(trace, "S → B ACK"))));
    finds_after("no ACK to the 200", |trace| drop(trace.remove(place(trace, "S → C ACK"))));
    finds_after("no final response", |trace| drop(trace.remove(place(trace, "S → A 200 INVITE"))));
    finds_after("a second final response", |trace| {
        let place = place(trace, "S → A 200 INVITE");
        let text = String::from_utf8_lossy(&trace[place].bytes).replace("200 OK", "202 Accepted");
        let Entry { at_ms, way, peer, listener, .. } = trace[place];
        trace.insert(place + 1, Entry::new(at_ms, way, peer, listener, text.as_bytes()));
    });
    finds_after("a provisional response after the final one", |trace| {
        let ringing = trace[place(trace, "S → A 180 INVITE")].clone();
        trace.insert(place(trace, "S → A 200 INVITE") + 1, ringing);
    });
    finds_after("a CANCEL before any response", |trace| {
        trace.retain(|entry| !["B 100 INVITE", "B 180 INVITE"].contains(&entry.summary().as_str()));
    });
    finds_after("a CANCEL after the final response", |trace| {
        let cancel = trace.remove(place(trace, "S → B CANCEL"));
        trace.insert(place(trace, "S → B ACK") + 1, cancel);
    });
    finds_after("a BYE after the BYE", |trace| {
        let bye = trace[place(trace, "S → C BYE")].clone();
        let sip = bye.sip.clone().expect("a BYE");
        let text = sip.text().replace("CSeq: 2", "CSeq: 3").replace(&sip.branch, "z9hG4bKanother");
        trace.push(Entry::new(bye.at_ms, Way::Out, C.address, bye.listener, text.as_bytes()));
    });
    finds_after("two requests with one branch", |trace| {
        let bye = trace[place(trace, "S → C BYE")].clone();
        let text = String::from_utf8_lossy(&bye.bytes).replace("Max-Forwards: 70", "Max-Forwards: 69");
        trace.push(Entry::new(bye.at_ms, Way::Out, C.address, bye.listener, text.as_bytes()));
    });
}
