//! The no-answer timer runs once over all phones of a group and over all levels (SIP_RULES 2, 3); forwarding
//! from a group and to one.

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::callee::{ANSWER, Leg};
use lab::caller::Caller;
use lab::group::{self, B1, B2, B3, C1, C2};
use lab::peer::{A, B, C, Setup};
use lab::scene::{hang_up_and_finish, refuse_and_finish, ringing, talk_and_finish};
use ringway::directory::Forwarding;

/// C is reached at two phones only.
fn target_is_a_group(setup: &mut Setup) {
    setup.only_registers(C);
    setup.bind(C1, 1_000);
    setup.bind(C2, 1_000);
}

#[test]
fn cancels_181_and_the_targets_invite_leave_together_in_this_order() {
    let mut lab = group::lab(&[1_000; 3]);
    let (caller, [b1, b2, b3]) = group::call(&mut lab, [B1, B2, B3]);
    b1.ring(&mut lab);
    let trying = lab.expect(A, "180 INVITE");
    b2.respond(&mut lab, "100 Trying");
    lab.advance(19_992);
    assert!(lab.sent().iter().all(|sent| sent == "B3 INVITE"));
    lab.advance(8);
    let mut cancels = [lab.trace[lab.trace.len() - 4].summary(), lab.trace[lab.trace.len() - 3].summary()];
    cancels.sort();
    assert_eq!(cancels, ["B1 CANCEL", "B2 CANCEL"]);
    let last: Vec<String> = lab.trace[lab.trace.len() - 2..].iter().map(|entry| entry.summary()).collect();
    assert_eq!(last, ["A 181 INVITE", "C INVITE"]);
    b1.cancelled(&mut lab);
    b2.cancelled(&mut lab);
    let forwarded = lab.expect(A, "181 INVITE");
    assert_eq!((forwarded.reason.as_str(), &forwarded.to_tag), ("Call Is Being Forwarded", &trying.to_tag));
    let c = Leg::expect(&mut lab, C);
    let diversion = "<sip:1004@127.0.0.60>;reason=no-answer;counter=1;privacy=off";
    assert_eq!(c.invite.all("Diversion"), [diversion]);
    assert_eq!(c.invite.one("Record-ID"), b1.invite.one("Record-ID"));
    // B3's CANCEL waits for its first 1xx.
    lab.expect_nothing();
    b3.respond(&mut lab, "100 Trying");
    b3.cancelled(&mut lab);
    assert_eq!((lab.metrics().no_answer_timeouts, lab.metrics().forwarded_no_answer), (1, 1));
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn the_timer_starts_at_the_first_18x_of_any_phone_and_is_never_started_again() {
    for first in ["180 Ringing", "183 Session Progress"] {
        let mut lab = group::lab(&[1_000, 1_000]);
        let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
        b1.respond(&mut lab, "100 Trying");
        b2.respond(&mut lab, "100 Trying");
        lab.advance(5_000);
        b2.respond(&mut lab, first);
        lab.expect(A, &format!("{} INVITE", &first[..3]));
        lab.advance(15_000);
        b1.respond(&mut lab, "180 Ringing");
        b1.respond(&mut lab, "183 Session Progress");
        lab.sent();
        lab.advance(4_992);
        lab.expect_nothing();
        lab.advance(8);
        assert_eq!(lab.next_to(A), "181 INVITE");
        lab.expect(A, "181 INVITE");
        b1.cancelled(&mut lab);
        b2.cancelled(&mut lab);
        let c = Leg::expect(&mut lab, C);
        refuse_and_finish(lab, &caller, &c);
    }
}

#[test]
fn the_timer_runs_on_when_the_phone_that_started_it_fails() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (caller, [b1, b2]) = group::two_ring(&mut lab);
    lab.advance(10_000);
    b1.reject(&mut lab, "486 Busy Here");
    lab.advance(9_992);
    lab.expect_nothing();
    lab.advance(8);
    b2.cancelled(&mut lab);
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn the_timer_is_one_for_all_levels_and_skips_those_that_are_left() {
    let mut lab = group::lab(&[1_000, 500, 300]);
    let (caller, [b1]) = group::call(&mut lab, [B1]);
    group::all_ring(&mut lab, std::slice::from_ref(&b1));
    lab.advance(12_000);
    b1.reject(&mut lab, "486 Busy Here");
    let [b2] = group::started(&mut lab, [B2]);
    b2.ring(&mut lab);
    lab.advance(7_992);
    lab.expect_nothing();
    lab.advance(8);
    b2.cancelled(&mut lab);
    lab.expect(A, "181 INVITE");
    let [c] = group::started(&mut lab, [C]);
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn the_timer_ends_a_level_that_has_not_rung_itself() {
    let mut lab = group::lab(&[1_000, 500]);
    let (caller, [b1]) = group::call(&mut lab, [B1]);
    group::all_ring(&mut lab, std::slice::from_ref(&b1));
    lab.advance(19_000);
    b1.reject(&mut lab, "486 Busy Here");
    let [b2] = group::started(&mut lab, [B2]);
    lab.advance(1_000);
    let invite = lab.expect(B2, "INVITE");
    assert_eq!(invite, b2.invite);
    lab.expect(A, "181 INVITE");
    let [c] = group::started(&mut lab, [C]);
    b2.respond(&mut lab, "180 Ringing");
    b2.cancelled(&mut lab);
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn a_groups_own_time_goes_before_the_servers() {
    let mut lab = group::lab_with(&[1_000, 1_000], |setup| setup.subscriber(B).after_ms = Some(4_000));
    let (caller, [b1, b2]) = group::two_ring(&mut lab);
    lab.advance(4_000);
    assert_eq!(lab.now_ms(), 4_000);
    b1.cancelled(&mut lab);
    b2.cancelled(&mut lab);
    lab.expect(A, "181 INVITE");
    let [c] = group::started(&mut lab, [C]);
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn without_forwarding_the_ring_limit_is_one_for_the_group_and_ends_in_480() {
    let mut lab = group::lab_with(&[1_000, 1_000, 500], |setup| {
        setup.subscriber(B).forwarding = Forwarding::default();
        setup.settings.ring_limit_ms = 60_000;
    });
    let (caller, [b1, b2]) = group::two_ring(&mut lab);
    lab.advance(59_992);
    lab.expect_nothing();
    lab.advance(8);
    b1.cancelled(&mut lab);
    b2.cancelled(&mut lab);
    caller.refused(&mut lab, 480);
    lab.finish();
}

#[test]
fn an_answer_stops_the_timer() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (mut caller, [b1, b2]) = group::two_ring(&mut lab);
    b1.respond(&mut lab, "200 OK");
    b2.cancelled(&mut lab);
    caller.answered_and_acked(&mut lab);
    lab.expect(B1, "ACK");
    lab.advance(25_000);
    lab.expect_nothing();
    assert_eq!(lab.metrics().no_answer_timeouts, 0);
    hang_up_and_finish(lab, caller, &b1);
}

#[test]
fn the_callers_cancel_stops_the_timer() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (caller, [b1, b2]) = group::two_ring(&mut lab);
    lab.advance(19_000);
    caller.cancel(&mut lab);
    lab.expect(A, "200 CANCEL");
    caller.refused(&mut lab, 487);
    lab.advance(2_000);
    lab.sent();
    for leg in [&b1, &b2] {
        leg.respond(&mut lab, "487 Request Terminated");
        lab.expect(leg.peer, "ACK");
        let cancel = cancel_of(&lab, leg);
        leg.answer(&mut lab, &cancel, "200 OK");
    }
    assert_eq!(lab.metrics().no_answer_timeouts, 0);
    lab.finish();
}

/// The CANCEL that a phone was sent.
fn cancel_of(lab: &Lab, leg: &Leg) -> lab::sip::Sip {
    let mut sent = lab.trace.iter().filter(|entry| entry.peer == leg.peer.address);
    let cancel = sent.find_map(|entry| entry.sip.clone().filter(|sip| sip.method == "CANCEL"));
    cancel.expect("a CANCEL")
}

#[test]
fn no_answer_of_one_phone_forwards_when_the_other_says_less() {
    // The no-answer comes last: it is the best.
    for last in ["408 Request Timeout", "480 Temporarily Unavailable"] {
        let mut lab = group::lab(&[1_000, 1_000]);
        let (caller, [b1, b2]) = group::two_ring(&mut lab);
        b1.reject(&mut lab, "500 Server Internal Error");
        b2.respond_with(&mut lab, last, &["Reason: Q.850;cause=19;text=\"no answer\""], "");
        lab.expect(B2, "ACK");
        lab.expect(A, "181 INVITE");
        let [c] = group::started(&mut lab, [C]);
        refuse_and_finish(lab, &caller, &c);
    }
}

#[test]
fn busy_of_one_phone_forbids_the_forwarding_on_no_answer() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (caller, [b1, b2]) = group::two_ring(&mut lab);
    b1.reject(&mut lab, "486 Busy Here");
    b2.reject(&mut lab, "408 Request Timeout");
    caller.refused(&mut lab, 486);
    assert_eq!(lab.metrics().forwarded_no_answer, 0);
    lab.finish();
}

#[test]
fn a_6xx_forbids_the_forwarding_on_no_answer() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (caller, [b1, b2]) = group::two_ring(&mut lab);
    b1.reject(&mut lab, "408 Request Timeout");
    b2.reject(&mut lab, "603 Decline");
    caller.refused(&mut lab, 603);
    lab.finish();
}

#[test]
fn answers_that_come_after_the_timer_are_acked_and_byed() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (caller, [b1, b2]) = group::two_ring(&mut lab);
    lab.advance(20_000);
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    for leg in [&b2, &b1] {
        let cancel = lab.expect(leg.peer, "CANCEL");
        leg.respond(&mut lab, "200 OK");
        lab.expect(leg.peer, "ACK");
        leg.hung_up(&mut lab);
        leg.answer(&mut lab, &cancel, "200 OK");
    }
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    c.respond(&mut lab, "200 OK");
    talk_and_finish(lab, caller, &c);
}

#[test]
fn all_phones_of_the_target_ring() {
    let mut lab = Lab::with(target_is_a_group);
    let (caller, b) = ringing(&mut lab);
    lab.advance(20_000);
    b.cancelled(&mut lab);
    lab.expect(A, "181 INVITE");
    let [c1, c2] = group::started(&mut lab, [C1, C2]);
    for leg in [&c1, &c2] {
        let diversion = "<sip:1004@127.0.0.60>;reason=no-answer;counter=1;privacy=off";
        assert_eq!(leg.invite.all("Diversion"), [diversion]);
        assert_eq!(leg.invite.one("Record-ID"), b.invite.one("Record-ID"));
        assert_eq!(leg.invite.one("Max-Forwards"), "29");
    }
    c2.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    c1.respond_with(&mut lab, "200 OK", &[], ANSWER);
    c2.cancelled(&mut lab);
    talk_and_finish(lab, caller, &c1);
}

#[test]
fn from_one_group_to_another() {
    let mut lab = group::lab_with(&[1_000, 1_000], target_is_a_group);
    let (caller, [b1, b2]) = group::two_ring(&mut lab);
    lab.advance(20_000);
    // The first group still owes its 487s while the second one rings.
    let cancels = [lab.expect(B1, "CANCEL"), lab.expect(B2, "CANCEL")];
    lab.expect(A, "181 INVITE");
    let [c1, c2] = group::started(&mut lab, [C1, C2]);
    c1.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    c2.reject(&mut lab, "486 Busy Here");
    lab.expect_nothing();
    for (leg, cancel) in [&b1, &b2].into_iter().zip(&cancels) {
        leg.answer(&mut lab, cancel, "200 OK");
        leg.reject(&mut lab, "487 Request Terminated");
    }
    lab.expect_nothing();
    c1.respond(&mut lab, "200 OK");
    talk_and_finish(lab, caller, &c1);
}

#[test]
fn the_targets_group_that_rings_out_makes_a_480() {
    let mut lab = group::lab_with(&[1_000], |setup| {
        target_is_a_group(setup);
        setup.settings.ring_limit_ms = 30_000;
    });
    let (caller, [b1]) = group::call(&mut lab, [B1]);
    group::all_ring(&mut lab, std::slice::from_ref(&b1));
    lab.advance(20_000);
    b1.cancelled(&mut lab);
    lab.expect(A, "181 INVITE");
    let [c1, c2] = group::started(&mut lab, [C1, C2]);
    group::all_ring(&mut lab, &[c1.clone(), c2.clone()]);
    lab.advance(30_000);
    c1.cancelled(&mut lab);
    c2.cancelled(&mut lab);
    caller.refused(&mut lab, 480);
    lab.finish();
}

#[test]
fn a_target_without_a_location_makes_a_480() {
    let mut lab = group::lab_with(&[1_000], |setup| setup.only_registers(C));
    let (caller, [b1]) = group::call(&mut lab, [B1]);
    group::all_ring(&mut lab, std::slice::from_ref(&b1));
    lab.advance(20_000);
    b1.cancelled(&mut lab);
    // No search starts, so there is nothing to tell A of.
    caller.refused(&mut lab, 480);
    lab.finish();
}

#[test]
fn the_callers_own_number_is_no_target_though_it_has_phones() {
    let mut lab = group::lab_with(&[1_000], |setup| {
        setup.forward(B, A);
        setup.bind(B2, 500);
    });
    let (caller, [b1]) = group::call(&mut lab, [B1]);
    group::all_ring(&mut lab, std::slice::from_ref(&b1));
    lab.advance(20_000);
    b1.cancelled(&mut lab);
    caller.refused(&mut lab, 480);
    assert_eq!(lab.metrics().forwards_refused, 1);
    lab.finish();
}

#[test]
fn a_group_that_only_tries_has_no_no_answer_timer() {
    let mut lab = group::lab_with(&[1_000, 1_000], |setup| setup.settings.trying_limit_ms = 30_000);
    let caller = Caller::call(&mut lab, A, B.number);
    lab.expect(A, "100 INVITE");
    let [b1, b2] = group::started(&mut lab, [B1, B2]);
    b1.respond(&mut lab, "100 Trying");
    b2.respond(&mut lab, "100 Trying");
    lab.advance(29_992);
    lab.expect_nothing();
    lab.advance(8);
    b1.cancelled(&mut lab);
    b2.cancelled(&mut lab);
    // Not reachable is no condition that anybody has set a target for.
    caller.refused(&mut lab, 480);
    assert_eq!(lab.metrics().no_answer_timeouts, 0);
    lab.finish();
}
