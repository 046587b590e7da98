//! What the caller is told of a diversion with the 181 (SIP_RULES 14), and a callee with its CANCEL.

use crate::lab::Lab;
use crate::lab::callee::Leg;
use crate::lab::peer::{A, B, C, Setup};
use crate::lab::scene::{refuse_and_finish, ringing};
use crate::{HISTORY_INFO, NONE, called, form};

/// The History-Info of the 181 to A.
#[track_caller]
fn told(change: impl FnOnce(&mut Setup), lines: &[&str]) -> Vec<String> {
    let mut lab = Lab::with(change);
    let (caller, b) = called(&mut lab, lines);
    b.respond(&mut lab, "100 Trying");
    b.reject(&mut lab, "408 Request Timeout");
    let forwarded = lab.expect(A, "181 INVITE");
    assert!(!forwarded.has("Diversion"));
    let c = Leg::expect(&mut lab, C);
    refuse_and_finish(lab, &caller, &c);
    forwarded.list("History-Info")
}

#[test]
fn the_181_has_history_info_for_a_caller_that_supports_it() {
    let entries = [
        "<sip:1004@127.0.0.60?Reason=SIP%3Bcause%3D408>;index=1",
        "<sip:1005@127.0.0.60;cause=408>;index=1.1;mp=1",
    ];
    assert_eq!(told(|_| {}, &["Supported: timer, HistInfo"]), entries);
    assert_eq!(told(|_| {}, &["k: histinfo"]), entries);
    assert_eq!(told(form(HISTORY_INFO), &["Supported: histinfo"]), entries);
    assert_eq!(told(|_| {}, &["Supported: timer"]), Vec::<String>::new());
    assert_eq!(told(|_| {}, &[]), Vec::<String>::new());
    assert_eq!(told(form(NONE), &["Supported: histinfo"]), Vec::<String>::new());
}

#[test]
fn it_is_the_whole_history_and_shows_nobody_who_is_private() {
    let history =
        "History-Info: <sip:1@x?Privacy=history>;index=1, <sip:1004@127.0.0.60;cause=486>;index=1.1;mp=1";
    let private = |setup: &mut Setup| setup.subscriber(B).is_private = true;
    assert_eq!(
        told(private, &["Supported: histinfo", history]),
        [
            "<sip:anonymous@anonymous.invalid>;index=1",
            "<sip:anonymous@anonymous.invalid;cause=486?Reason=SIP%3Bcause%3D408>;index=1.1;mp=1",
            // Nor where somebody private forwards to.
            "<sip:anonymous@anonymous.invalid;cause=408>;index=1.1.1;mp=1.1",
        ]
    );
}

#[test]
fn a_reliable_181_has_it_too() {
    let mut lab = Lab::new();
    let (caller, b) = called(&mut lab, &["Supported: histinfo", "Require: 100rel"]);
    b.respond(&mut lab, "100 Trying");
    b.reject(&mut lab, "486 Busy Here");
    caller.refused(&mut lab, 486);
    lab.finish();
    let mut lab = Lab::new();
    let (caller, b) = called(&mut lab, &["Supported: histinfo", "Require: 100rel"]);
    b.respond(&mut lab, "100 Trying");
    b.reject(&mut lab, "408 Request Timeout");
    let forwarded = lab.expect(A, "181 INVITE");
    assert_eq!(forwarded.one("Require"), "100rel");
    assert_eq!(forwarded.list("History-Info").len(), 2);
    let c = Leg::expect(&mut lab, C);
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn the_cancel_after_our_timer_says_that_nobody_answered() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    lab.advance(20_000);
    let cancel = lab.expect(B, "CANCEL");
    assert_eq!(cancel.all("Reason"), ["SIP;cause=408;text=\"No answer\""]);
    lab.send(B, &crate::lab::caller::response(&cancel, "200 OK", "", &[], ""));
    lab.send(B, &b.text("487 Request Terminated"));
    lab.expect(B, "ACK");
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    // The caller's own CANCEL has its own Reason, or none.
    caller.cancel(&mut lab);
    lab.expect(A, "200 CANCEL");
    let cancel = lab.expect(C, "CANCEL");
    assert!(!cancel.has("Reason"), "{}", cancel.text());
    lab.send(C, &crate::lab::caller::response(&cancel, "200 OK", "", &[], ""));
    lab.send(C, &c.text("487 Request Terminated"));
    lab.expect(C, "ACK");
    caller.refused(&mut lab, 487);
    lab.finish();
}
