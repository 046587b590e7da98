//! A number whose phones are preferred one to another: level after level by q (RFC 3261 §16.6).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::callee::Leg;
use lab::group::{self, B1, B2, B3, binding, phone};
use lab::peer::{A, C};
use lab::scene::{refuse_and_finish, talk_and_finish};
use lab::{Lab, T1X64_MS, peer};
use ringway::clock::UnixSeconds;

#[test]
fn the_next_level_rings_once_all_of_a_level_have_failed() {
    let mut lab = group::lab(&[500, 1_000, 1_000]);
    let (caller, [b2, b3]) = group::call(&mut lab, [B2, B3]);
    group::all_ring(&mut lab, &[b2.clone(), b3.clone()]);
    lab.advance(1_000);
    b2.reject(&mut lab, "486 Busy Here");
    lab.expect_nothing();
    b3.reject(&mut lab, "480 Temporarily Unavailable");
    let [b1] = group::started(&mut lab, [B1]);
    assert_ne!(b1.invite.call_id, b2.invite.call_id);
    for name in ["Record-ID", "Max-Forwards", "Supported", "Session-Expires"] {
        assert_eq!(b1.invite.one(name), b2.invite.one(name));
    }
    assert!(!b1.invite.has("Diversion"), "it is not forwarded");
    // The caller has ringback already.
    b1.ring(&mut lab);
    lab.expect_nothing();
    b1.respond(&mut lab, "200 OK");
    talk_and_finish(lab, caller, &b1);
}

#[test]
fn levels_are_tried_down_to_a_q_of_nothing() {
    let mut lab = group::lab(&[0, 1, 999, 1_000]);
    let (caller, [mut leg]) = group::call(&mut lab, [phone(4)]);
    for peer in [B3, B2, B1] {
        leg.reject(&mut lab, "486 Busy Here");
        [leg] = group::started(&mut lab, [peer]);
    }
    refuse_and_finish(lab, &caller, &leg);
}

#[test]
fn an_answer_spares_the_levels_below() {
    let mut lab = group::lab(&[1_000, 500]);
    let (caller, [b1]) = group::call(&mut lab, [B1]);
    b1.respond(&mut lab, "200 OK");
    talk_and_finish(lab, caller, &b1);
}

#[test]
fn a_phone_that_says_nothing_holds_its_level_until_timer_b() {
    let mut lab = group::lab(&[1_000, 500]);
    let (caller, [_]) = group::call(&mut lab, [B1]);
    lab.advance(T1X64_MS - 1);
    assert!(lab.sent().iter().all(|sent| sent == "B1 INVITE"));
    lab.advance(1);
    let [b2] = group::started(&mut lab, [B2]);
    refuse_and_finish(lab, &caller, &b2);
}

#[test]
fn a_phone_that_only_tries_holds_its_level_for_the_limit_on_trying() {
    let mut lab = group::lab(&[1_000, 500]);
    let (caller, [b1]) = group::call(&mut lab, [B1]);
    b1.respond(&mut lab, "100 Trying");
    lab.advance(59_992);
    lab.expect_nothing();
    lab.advance(8);
    let cancel = lab.expect(B1, "CANCEL");
    let [b2] = group::started(&mut lab, [B2]);
    b1.answer(&mut lab, &cancel, "200 OK");
    b1.reject(&mut lab, "487 Request Terminated");
    // The cancelled phone's 487 counts for nothing.
    lab.expect_nothing();
    refuse_and_finish(lab, &caller, &b2);
}

#[test]
fn a_binding_that_expires_while_a_better_one_rings_is_not_tried() {
    let mut lab = group::lab_with(&[1_000], |setup| {
        let mut short = binding(B2, 500);
        short.expires_at = UnixSeconds(lab::STARTED.0 + 5);
        setup.bind_as(B2, short);
        setup.bind(B3, 300);
    });
    let (caller, [b1]) = group::call(&mut lab, [B1]);
    lab.advance(5_000);
    lab.sent();
    b1.reject(&mut lab, "486 Busy Here");
    let [b3] = group::started(&mut lab, [B3]);
    refuse_and_finish(lab, &caller, &b3);
}

#[test]
fn a_late_offer_is_late_at_every_level() {
    let mut lab = group::lab(&[1_000, 500]);
    let invite = lab::caller::Invite::new(&mut lab, A, peer::B.number).body("");
    let caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let [b1] = group::started(&mut lab, [B1]);
    b1.reject(&mut lab, "486 Busy Here");
    let [b2] = group::started(&mut lab, [B2]);
    assert!(b1.invite.body.is_empty() && b2.invite.body.is_empty());
    assert!(!b2.invite.has("Content-Type"));
    refuse_and_finish(lab, &caller, &b2);
}

#[test]
fn what_the_caller_asked_for_reaches_every_level() {
    let mut lab = group::lab(&[1_000, 500]);
    let lines = ["Subject: hello", "X-Own: 1", "Supported: 100rel", "Priority: urgent"];
    let (caller, [b1]) = group::call_with(&mut lab, &lines, [B1]);
    b1.reject(&mut lab, "486 Busy Here");
    let [b2] = group::started(&mut lab, [B2]);
    for invite in [&b1.invite, &b2.invite] {
        assert_eq!(invite.one("Subject"), "hello");
        assert_eq!(invite.one("X-Own"), "1");
        assert_eq!(invite.one("Priority"), "urgent");
        assert_eq!(invite.one("Supported"), "timer, 100rel");
    }
    refuse_and_finish(lab, &caller, &b2);
}

#[test]
fn the_levels_of_a_target_are_tried_after_a_forwarding() {
    let mut lab = Lab::with(|setup| {
        setup.only_registers(C);
        setup.bind(group::C1, 300);
        setup.bind(group::C2, 700);
    });
    let (caller, b) = lab::scene::ringing(&mut lab);
    lab.advance(20_000);
    lab.expect(A, "181 INVITE");
    b.cancelled(&mut lab);
    let [c2] = group::started(&mut lab, [group::C2]);
    c2.reject(&mut lab, "486 Busy Here");
    let c1: Leg = group::started(&mut lab, [group::C1])[0].clone();
    for leg in [&c1, &c2] {
        assert!(leg.invite.one("Diversion").starts_with("<sip:1004@"));
    }
    refuse_and_finish(lab, &caller, &c1);
}
