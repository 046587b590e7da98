//! Max-Forwards across the back-to-back user agent (RFC 7332; SIP_RULES 9).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::callee::Leg;
use lab::caller::{Invite, request};
use lab::peer::{A, B, C};
use lab::scene::{refuse_and_finish, talking};

/// What the INVITEs to B and then to C carry when A's carries `max_forwards`.
#[track_caller]
fn relayed(max_forwards: Option<u32>) -> [String; 2] {
    let mut lab = Lab::new();
    let caller = Invite { max_forwards, ..Invite::new(&mut lab, A, "1004") }.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    let ack = b.reject(&mut lab, "408 Request Timeout");
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    let hops = [&b, &c].map(|leg| leg.invite.one("Max-Forwards").to_string());
    // The ACK is ours, hop by hop (reference flow, step 8).
    assert_eq!(ack.one("Max-Forwards"), "70");
    refuse_and_finish(lab, &caller, &c);
    hops
}

#[test]
fn it_is_decremented_by_one_on_every_leg() {
    assert_eq!(relayed(Some(70)), ["69", "69"]);
    assert_eq!(relayed(Some(30)), ["29", "29"]);
    assert_eq!(relayed(Some(255)), ["254", "254"]);
    assert_eq!(relayed(Some(1)), ["0", "0"]);
}

#[test]
fn without_one_the_count_begins_at_70() {
    assert_eq!(relayed(None), ["69", "69"]);
}

#[test]
fn zero_is_refused_with_483() {
    let mut lab = Lab::new();
    let caller = Invite::new(&mut lab, A, "1004").max_forwards(0).send(&mut lab);
    caller.refused(&mut lab, 483);
    assert_eq!(lab.sent_to(B), Vec::<String>::new());
    assert_eq!(lab.metrics().requests_refused, 1);
    lab.finish();
}

#[test]
fn a_number_beyond_255_is_a_bad_request() {
    let mut lab = Lab::new();
    let caller = Invite::new(&mut lab, A, "1004").max_forwards(256).send(&mut lab);
    let refusal = lab.expect(A, "400 INVITE");
    assert_eq!(refusal.reason, "Malformed Max-Forwards");
    lab.send(A, &caller.ack_refusal_text(&refusal));
    lab.finish();
}

#[test]
fn options_for_us_are_answered_at_zero() {
    let mut lab = Lab::new();
    let options = request(&mut lab, A, "OPTIONS", "1004").max_forwards(0);
    lab.send(A, &options.text());
    lab.expect(A, "200 OPTIONS");
    lab.finish();
}

#[test]
fn requests_that_begin_with_us_start_at_70() {
    let mut lab = Lab::new();
    let (mut caller, c) = talking(&mut lab);
    assert_eq!(lab.last_to(C).one("Max-Forwards"), "70", "the ACK");
    caller.bye(&mut lab);
    lab.expect(A, "200 BYE");
    assert_eq!(c.hung_up(&mut lab).one("Max-Forwards"), "70");
    lab.finish();
}
