//! What crosses a forwarded call: the caller's CANCEL, late answers, other phones, failing targets
//! (SIP_RULES 3–7).

use crate::failing::{
    WAYS, Way, answer_and_finish, call, counted, expect_sent, fail, leg_to, one, only, only_for, prepare,
};
use crate::lab::Lab;
use crate::lab::callee::Leg;
use crate::lab::group::{self, B1, B2};
use crate::lab::peer::{A, B, C, D};
use crate::lab::scene::{refuse_and_finish, ringing};
use ringway::directory::{Condition, Forwarding};

/// What B may still say when its CANCEL meets it.
const CROSSING: [&str; 7] = [
    "486 Busy Here",
    "600 Busy Everywhere",
    "408 Request Timeout",
    "404 Not Found",
    "480 Temporarily Unavailable",
    "503 Service Unavailable",
    "302 Moved Temporarily",
];

#[test]
fn nothing_is_forwarded_behind_the_callers_cancel() {
    for first in ["100 Trying", "180 Ringing", "183 Session Progress"] {
        for status in CROSSING {
            let mut lab = Lab::with(|setup| {
                Condition::ALL.into_iter().skip(1).for_each(|other| setup.forward_on(other, B, C.number));
            });
            let (caller, b) = call(&mut lab, Way::Pending(first));
            let b = b.leg.expect("a leg");
            caller.cancel(&mut lab);
            expect_sent(&mut lab, &["A 200 CANCEL", "A 487 INVITE"], &["B CANCEL"]);
            let (cancel, refusal) = (lab.last_to(B), lab.last_to(A));
            lab.send(A, &caller.ack_refusal_text(&refusal));
            let contact = format!("Contact: <sip:1005@{}>", C.address);
            b.respond_with(&mut lab, status, &[&contact], "");
            expect_sent(&mut lab, &["B ACK"], &[]);
            b.answer(&mut lab, &cancel, "200 OK");
            assert_eq!((counted(&lab), lab.metrics().forwards_refused), ([0; 6], 0));
            lab.finish();
        }
    }
}

#[test]
fn the_callers_cancel_ends_the_forwarded_leg_at_every_stage() {
    for (condition, way, _) in WAYS.into_iter().chain([(Condition::Unconditional, Way::NotCalled, 0)]) {
        for stage in ["", "100 Trying", "180 Ringing", "200 OK"] {
            let mut lab = Lab::with(|setup| {
                only(setup, condition, C.number);
                prepare(setup, way);
            });
            let (caller, b) = call(&mut lab, way);
            expect_sent(&mut lab, b.parting(), &["A 181 INVITE", "C INVITE"]);
            let c = leg_to(&mut lab, C);
            if matches!(stage, "100 Trying" | "180 Ringing") {
                c.respond(&mut lab, stage);
                lab.sent();
            }
            caller.cancel(&mut lab);
            lab.expect(A, "200 CANCEL");
            caller.refused(&mut lab, 487);
            match stage {
                // RFC 3261 §9.1: no CANCEL before a 1xx.
                "" => {
                    lab.expect_nothing();
                    c.respond(&mut lab, "100 Trying");
                    c.cancelled(&mut lab);
                }
                "200 OK" => {
                    c.respond(&mut lab, "200 OK");
                    lab.expect(C, "ACK");
                    c.hung_up(&mut lab);
                }
                _ => c.cancelled(&mut lab),
            }
            b.obey(&mut lab);
            assert_eq!(counted(&lab), one(condition), "{way:?} {stage}");
            lab.finish();
        }
    }
}

#[test]
fn a_callers_cancel_between_our_cancel_and_its_487() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    lab.advance(20_000);
    expect_sent(&mut lab, &["B CANCEL"], &["A 181 INVITE", "C INVITE"]);
    let (cancel, c) = (lab.last_to(B), leg_to(&mut lab, C));
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    caller.cancel(&mut lab);
    expect_sent(&mut lab, &["A 200 CANCEL", "A 487 INVITE"], &["C CANCEL"]);
    let (c_cancel, refusal) = (lab.last_to(C), lab.last_to(A));
    lab.send(A, &caller.ack_refusal_text(&refusal));
    b.answer(&mut lab, &cancel, "200 OK");
    b.respond(&mut lab, "487 Request Terminated");
    expect_sent(&mut lab, &["B ACK"], &[]);
    c.answer(&mut lab, &c_cancel, "200 OK");
    c.respond(&mut lab, "487 Request Terminated");
    expect_sent(&mut lab, &["C ACK"], &[]);
    lab.finish();
}

#[test]
fn a_late_200_of_the_first_callee_is_ended_and_the_target_rings_on() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    lab.advance(20_000);
    expect_sent(&mut lab, &["B CANCEL"], &["A 181 INVITE", "C INVITE"]);
    let cancel = lab.last_to(B);
    b.respond(&mut lab, "200 OK");
    expect_sent(&mut lab, &["B ACK"], &["B BYE"]);
    b.answer(&mut lab, &cancel, "481 Call/Transaction Does Not Exist");
    let bye = lab.last_to(B);
    b.answer(&mut lab, &bye, "200 OK");
    answer_and_finish(lab, caller);
}

#[test]
fn the_targets_failure_is_the_callers_and_no_stale_one() {
    for (condition, way, _) in WAYS {
        for (status, told) in [
            ("486 Busy Here", 486),
            ("404 Not Found", 404),
            ("480 Temporarily Unavailable", 480),
            ("408 Request Timeout", 408),
            ("503 Service Unavailable", 500),
            ("603 Decline", 603),
        ] {
            let mut lab = Lab::with(|setup| {
                only(setup, condition, C.number);
                prepare(setup, way);
            });
            let (caller, b) = call(&mut lab, way);
            expect_sent(&mut lab, b.parting(), &["A 181 INVITE", "C INVITE"]);
            b.obey(&mut lab);
            let c = leg_to(&mut lab, C);
            c.reject(&mut lab, status);
            caller.refused(&mut lab, told);
            assert_eq!(counted(&lab), one(condition), "{way:?} {status}");
            lab.finish();
        }
    }
}

#[test]
fn a_target_that_fails_forwards_again_under_its_own_conditions() {
    for (second, way, _) in WAYS.into_iter().filter(|(_, way, _)| *way != Way::NoPhone) {
        let mut lab = Lab::with(|setup| {
            only(setup, Condition::Unconditional, C.number);
            only_for(setup, C, second, D.number);
        });
        let (caller, _) = call(&mut lab, Way::NotCalled);
        expect_sent(&mut lab, &[], &["A 181 INVITE", "C INVITE"]);
        let c = leg_to(&mut lab, C);
        let c = fail(
            &mut lab,
            c,
            match way {
                Way::Silent => Way::SilentAt("C INVITE"),
                way => way,
            },
        );
        let parting: Vec<String> = c.parting().iter().map(|sent| sent.replace('B', "C")).collect();
        let parting: Vec<&str> = parting.iter().map(String::as_str).collect();
        expect_sent(&mut lab, &parting, &["A 181 INVITE", "D INVITE"]);
        c.obey(&mut lab);
        let mut counts = one(Condition::Unconditional);
        counts[second as usize] += 1;
        assert_eq!(counted(&lab), counts);
        let d = leg_to(&mut lab, D);
        refuse_and_finish(lab, &caller, &d);
    }
}

/// Which condition counts when several phones have failed in different ways: RFC 3261 §16.7 step 6, then what
/// says most of the callee.
#[test]
fn a_group_is_forwarded_when_all_its_phones_have_failed_under_the_best_failure() {
    for (first, second, condition) in [
        ("486 Busy Here", "486 Busy Here", Condition::Busy),
        ("486 Busy Here", "404 Not Found", Condition::Busy),
        ("404 Not Found", "486 Busy Here", Condition::Busy),
        ("503 Service Unavailable", "404 Not Found", Condition::NotRegistered),
        ("480 Temporarily Unavailable", "500 Server Internal Error", Condition::NotRegistered),
        ("503 Service Unavailable", "500 Server Internal Error", Condition::NotReachable),
        ("503 Service Unavailable", "486 Busy Here", Condition::Busy),
    ] {
        let mut lab = group::lab_with(&[1_000, 1_000], |setup| {
            for other in Condition::ALL.into_iter().skip(1) {
                setup.forward_on(other, B, D.number);
            }
            setup.forward_on(condition, B, C.number);
        });
        let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
        b1.respond(&mut lab, first);
        expect_sent(&mut lab, &["B1 ACK"], &[]);
        b2.respond(&mut lab, second);
        expect_sent(&mut lab, &["B2 ACK"], &["A 181 INVITE", "C INVITE"]);
        assert_eq!(counted(&lab), one(condition), "{first}, {second}");
        answer_and_finish(lab, caller);
    }
}

#[test]
fn one_busy_phone_leaves_the_others_ringing() {
    let mut lab = group::lab_with(&[1_000, 1_000], |setup| setup.forward_on(Condition::Busy, B, D.number));
    let (caller, [b1, b2]) = group::two_ring(&mut lab);
    b1.respond(&mut lab, "486 Busy Here");
    expect_sent(&mut lab, &["B1 ACK"], &[]);
    // Nobody answers: the timer's rule, not the busy one's.
    lab.advance(20_000);
    expect_sent(&mut lab, &["B2 CANCEL"], &["A 181 INVITE", "C INVITE"]);
    let cancel = lab.last_to(B2);
    b2.answer(&mut lab, &cancel, "200 OK");
    b2.reject(&mut lab, "487 Request Terminated");
    assert_eq!(counted(&lab), one(Condition::NoAnswer));
    answer_and_finish(lab, caller);
}

#[test]
fn a_600_of_one_phone_ends_the_others_ringing_and_is_busy() {
    let mut lab = group::lab_with(&[1_000, 1_000], |setup| {
        setup.subscriber(B).forwarding = Forwarding::default();
        setup.forward_on(Condition::Busy, B, C.number);
    });
    let (caller, [b1, b2]) = group::two_ring(&mut lab);
    b1.respond(&mut lab, "600 Busy Everywhere");
    expect_sent(&mut lab, &["B1 ACK", "B2 CANCEL"], &["A 181 INVITE", "C INVITE"]);
    let cancel = lab.last_to(B2);
    b2.answer(&mut lab, &cancel, "200 OK");
    b2.reject(&mut lab, "487 Request Terminated");
    answer_and_finish(lab, caller);
}

#[test]
fn unconditional_and_not_registered_are_asked_of_each_target_on_the_way() {
    for condition in [Condition::Unconditional, Condition::NotRegistered] {
        let mut lab = Lab::with(|setup| {
            only(setup, Condition::Busy, C.number);
            only_for(setup, C, condition, D.number);
            setup.subscriber(C).contact = None;
        });
        let (caller, b) = call(&mut lab, Way::Says("180 Ringing", "486 Busy Here", ""));
        // One 181, for the search that starts.
        expect_sent(&mut lab, b.parting(), &["A 181 INVITE", "D INVITE"]);
        let d: Leg = leg_to(&mut lab, D);
        assert_eq!(d.invite.all("Diversion").len(), 2);
        refuse_and_finish(lab, &caller, &d);
    }
}

#[test]
fn no_181_goes_before_a_refusal() {
    for has_phone in [true, false] {
        let mut lab = Lab::with(|setup| {
            only(setup, Condition::Busy, C.number);
            // Either it has no phone and sets nothing, or what it has set may not be.
            match has_phone {
                true => only_for(setup, C, Condition::Unconditional, A.number),
                false => setup.subscriber(C).contact = None,
            }
        });
        let (caller, b) = call(&mut lab, Way::Says("180 Ringing", "486 Busy Here", ""));
        expect_sent(&mut lab, b.parting(), &["A 480 INVITE"]);
        let response = lab.last_to(A);
        lab.send(A, &caller.ack_refusal_text(&response));
        assert_eq!(counted(&lab), one(Condition::Busy));
        lab.finish();
    }
}

/// B's ringing is heard and C's is not repeated without a 181 between (reference flow, step 11); behind a 181
/// the caller hears ringback again.
#[test]
fn the_targets_ringing_is_told_behind_a_181() {
    for send_181 in [true, false] {
        let mut lab = Lab::with(|setup| {
            setup.settings.send_181 = send_181;
            only(setup, Condition::Busy, C.number);
        });
        let (caller, _) = call(&mut lab, Way::Says("180 Ringing", "486 Busy Here", ""));
        lab.sent();
        let c = leg_to(&mut lab, C);
        c.ring(&mut lab);
        let expected: &[&str] = if send_181 { &["A 180 INVITE"] } else { &[] };
        expect_sent(&mut lab, expected, &[]);
        answer_and_finish(lab, caller);
    }
}
