//! The audit of several legs of one call: a good trace passes, and each planted fault is found.

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::callee::Leg;
use lab::caller::Invite;
use lab::group::{self, B1, B2, B3};
use lab::peer::{A, B, C, D};
use lab::trace::Entry;
use lab::{Lab, T1X64_MS, audit};
use ringway::directory::Condition;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// B1 rings and answers; B2, which rings too, is cancelled; B3 answers late; A hangs up.
fn good_trace() -> Vec<Entry> {
    let mut lab = group::lab(&[1_000; 3]);
    let (mut caller, [b1, b2, b3]) = group::call(&mut lab, [B1, B2, B3]);
    b1.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    b2.ring(&mut lab);
    b1.respond(&mut lab, "200 OK");
    b2.cancelled(&mut lab);
    caller.answered_and_acked(&mut lab);
    lab.expect(B1, "ACK");
    lab.advance(80);
    b3.respond(&mut lab, "200 OK");
    lab.expect(B3, "ACK");
    b3.hung_up(&mut lab);
    lab.advance(80);
    caller.bye(&mut lab);
    lab.expect(A, "200 BYE");
    b1.hung_up(&mut lab);
    let trace = lab.trace.clone();
    lab.finish();
    trace
}

fn passes(trace: &[Entry]) -> bool {
    catch_unwind(AssertUnwindSafe(|| audit::trace(trace, T1X64_MS))).is_ok()
}

/// Where the messages stand: `S → B2 CANCEL`.
fn places(trace: &[Entry], arrow: &str) -> Vec<usize> {
    let places = (0..trace.len()).filter(|place| trace[*place].arrow() == arrow).collect::<Vec<_>>();
    assert!(!places.is_empty(), "no {arrow}");
    places
}

/// The good trace, changed, is found fault with.
#[track_caller]
fn finds_after(what: &str, change: impl FnOnce(&mut Vec<Entry>)) {
    let mut trace = good_trace();
    change(&mut trace);
    assert!(!passes(&trace), "not found: {what}");
}

/// Takes all messages out that these arrows tell.
fn without(trace: &mut Vec<Entry>, arrows: &[&str]) {
    trace.retain(|entry| !arrows.contains(&entry.arrow().as_str()));
}

#[test]
fn a_good_trace_passes() {
    assert!(passes(&good_trace()));
}

#[test]
fn a_leg_that_rings_on_after_the_answer_is_found() {
    finds_after("no CANCEL", |trace| {
        let of_cancel = ["S → B2 CANCEL", "B2 → S 200 CANCEL"];
        let end = ["B2 → S 487 INVITE", "S → B2 ACK"];
        without(trace, &[of_cancel, end].concat());
    });
}

#[test]
fn a_cancel_that_comes_late_is_found() {
    finds_after("a late CANCEL", |trace| {
        for place in places(trace, "S → B2 CANCEL") {
            trace[place].at_ms += 8;
        }
        for arrow in ["B2 → S 487 INVITE", "B2 → S 200 CANCEL", "S → B2 ACK"] {
            for place in places(trace, arrow) {
                trace[place].at_ms += 8;
            }
        }
    });
}

#[test]
fn two_answers_that_go_on_are_found() {
    finds_after("no BYE to the loser", |trace| without(trace, &["S → B3 BYE", "B3 → S 200 BYE"]));
    finds_after("a late BYE to the loser", |trace| {
        for place in places(trace, "S → B3 BYE") {
            trace[place].at_ms += 40;
        }
    });
}

#[test]
fn a_leg_that_begins_after_the_final_response_is_found() {
    finds_after("an INVITE after the 200", |trace| {
        let place = places(trace, "S → B3 INVITE")[0];
        let invite = trace.remove(place);
        let end = places(trace, "S → A 200 INVITE")[0];
        trace.insert(end + 1, invite);
    });
}

#[test]
fn legs_that_share_a_tag_or_a_call_id_are_found() {
    for share in [|sip: &lab::sip::Sip| sip.from_tag.clone(), |sip: &lab::sip::Sip| sip.call_id.clone()] {
        finds_after("two legs in one dialog", |trace| {
            let of = |arrow: &str| trace[places(trace, arrow)[0]].sip.clone().expect("an INVITE");
            let (from, to) = (share(&of("S → B3 INVITE")), share(&of("S → B2 INVITE")));
            for entry in trace.iter_mut() {
                let text = String::from_utf8_lossy(&entry.bytes).replace(&from, &to);
                let Entry { at_ms, way, peer, listener, .. } = *entry;
                *entry = Entry::new(at_ms, way, peer, listener, text.as_bytes());
            }
        });
    }
}

/// B is busy and C does not answer, D gets the call; somebody diverted it before it came.
fn diverted_trace() -> Vec<Entry> {
    let mut lab = Lab::with(|setup| {
        setup.forward_on(Condition::Busy, B, C.number);
        setup.forward_on(Condition::Busy, C, D.number);
    });
    let invite = Invite::new(&mut lab, A, B.number);
    let caller = invite.line("Diversion: <sip:1001@x>;reason=away").send(&mut lab);
    lab.expect(A, "100 INVITE");
    for peer in [B, C] {
        Leg::expect(&mut lab, peer).reject(&mut lab, "486 Busy Here");
        lab.expect(A, "181 INVITE");
    }
    let d = Leg::expect(&mut lab, D);
    d.reject(&mut lab, "486 Busy Here");
    caller.refused(&mut lab, 486);
    let trace = lab.trace.clone();
    lab.finish();
    trace
}

#[test]
fn diversion_and_history_info_that_do_not_agree_are_found() {
    assert!(passes(&diverted_trace()));
    let faults = [
        ("another reason", "D", "reason=away", "reason=user-busy"),
        ("another cause", "D", "<sip:1006@127.0.0.60;cause=486>", "<sip:1006@127.0.0.60;cause=302>"),
        ("one that only Diversion has", "B", ";cause=404>;index=1.1;mp=1", ">;index=1.1;mp=1"),
        ("another counter", "C", ";reason=user-busy;counter=1", ";reason=user-busy;counter=2"),
        ("another user", "C", "Diversion: <sip:1004@", "Diversion: <sip:1007@"),
        ("another order", "D", ";mp=1.1.1", ";mp=1"),
        ("no index", "D", ";index=1.1;", ";"),
        ("an unclosed URI", "D", "<sip:1001@x>;index=1", "<sip:1001@x;index=1"),
    ];
    for (what, peer, from, to) in faults {
        let mut trace = diverted_trace();
        let place = places(&trace, &format!("S → {peer} INVITE"))[0];
        let Entry { at_ms, way, peer, listener, ref bytes, .. } = trace[place];
        let text = String::from_utf8_lossy(bytes).replacen(from, to, 1);
        assert_ne!(text.as_bytes(), bytes, "{what}: not there:\n{text}");
        trace[place] = Entry::new(at_ms, way, peer, listener, text.as_bytes());
        assert!(!passes(&trace), "not found: {what}");
    }
}

#[test]
fn a_leg_with_another_body_is_found() {
    finds_after("another body", |trace| {
        let place = places(trace, "S → B3 INVITE")[0];
        let text = String::from_utf8_lossy(&trace[place].bytes).replace("s=ZED3", "s=ZED4");
        let Entry { at_ms, way, peer, listener, .. } = trace[place];
        trace[place] = Entry::new(at_ms, way, peer, listener, text.as_bytes());
    });
}
