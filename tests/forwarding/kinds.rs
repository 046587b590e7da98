//! Which failure is forwarded under which condition, and what then is sent to whom in which order
//! (SIP_RULES 1, 3, 8, 10, 14).

use crate::failing::{
    REJECTIONS, WAYS, Way, answer_and_finish, call, counted, expect_sent, leg_to, one, only, own_response,
    prepare, reason,
};
use crate::lab::Lab;
use crate::lab::peer::{A, B, C, D, Setup};
use ringway::directory::{Condition, Forwarding};

/// All ways, calls that are forwarded before anybody is called among them.
fn ways() -> impl Iterator<Item = (Condition, Way, u16)> {
    WAYS.into_iter().chain([(Condition::Unconditional, Way::NotCalled, 0)])
}

fn lab(way: Way, change: impl FnOnce(&mut Setup)) -> Lab {
    Lab::with(|setup| {
        setup.subscriber(B).forwarding = Forwarding::default();
        prepare(setup, way);
        change(setup);
    })
}

#[test]
fn each_failure_is_forwarded_under_its_condition_alone() {
    for (condition, way, _) in ways() {
        let mut lab = lab(way, |setup| {
            for other in Condition::ALL.into_iter().filter(|&other| other != Condition::Unconditional) {
                setup.forward_on(other, B, D.number);
            }
            setup.forward_on(condition, B, C.number);
        });
        let (caller, b) = call(&mut lab, way);
        expect_sent(&mut lab, b.parting(), &["A 181 INVITE", "C INVITE"]);
        b.obey(&mut lab);
        let c = leg_to(&mut lab, C);
        let diversion = format!("<sip:1004@127.0.0.60>;reason={};counter=1;privacy=off", reason(condition));
        assert_eq!(c.invite.all("Diversion"), [diversion], "{condition:?} {way:?}");
        assert_eq!(c.invite.request_uri, "sip:1005@127.0.0.138:5060");
        assert_eq!(c.invite.one("To"), "<sip:1005@127.0.0.138:5060>");
        assert_eq!(c.invite.one("Max-Forwards"), "29");
        if let Some(b) = &b.leg {
            assert!(!b.invite.has("Diversion"));
            assert_eq!(b.invite.one("Record-ID"), c.invite.one("Record-ID"));
            assert_ne!(b.invite.call_id, c.invite.call_id);
        }
        assert_eq!(counted(&lab), one(condition), "{way:?}");
        assert_eq!(lab.metrics().forwards_refused, 0);
        answer_and_finish(lab, caller);
    }
}

#[test]
fn under_no_other_condition() {
    for (condition, way, status) in WAYS {
        let mut lab = lab(way, |setup| {
            setup.settings.ring_limit_ms = 20_000;
            let others = Condition::ALL.into_iter().skip(1).filter(|&other| other != condition);
            others.for_each(|other| setup.forward_on(other, B, D.number));
        });
        let (caller, b) = call(&mut lab, way);
        expect_sent(&mut lab, b.parting(), &[&format!("A {status} INVITE")]);
        b.obey(&mut lab);
        let response = lab.last_to(A);
        lab.send(A, &caller.ack_refusal_text(&response));
        assert_eq!(counted(&lab), [0; 6], "{condition:?} {way:?}");
        lab.finish();
    }
}

#[test]
fn a_rejection_reaches_the_caller_whatever_is_set() {
    for (way, status) in REJECTIONS {
        let mut lab = lab(way, |setup| {
            Condition::ALL.into_iter().skip(1).for_each(|other| setup.forward_on(other, B, D.number));
        });
        let (caller, b) = call(&mut lab, way);
        expect_sent(&mut lab, b.parting(), &[&format!("A {status} INVITE")]);
        let response = lab.last_to(A);
        lab.send(A, &caller.ack_refusal_text(&response));
        assert_eq!((counted(&lab), lab.metrics().forwards_refused), ([0; 6], 0), "{way:?}");
        lab.finish();
    }
}

#[test]
fn a_rule_that_is_not_active_never_forwards() {
    for (condition, way, status) in WAYS {
        let mut lab = lab(way, |setup| {
            setup.settings.ring_limit_ms = 20_000;
            for condition in Condition::ALL {
                setup.forward_on(condition, B, C.number);
                setup.subscriber(B).forwarding.activate(condition, false);
            }
        });
        let (caller, b) = call(&mut lab, way);
        expect_sent(&mut lab, b.parting(), &[&format!("A {status} INVITE")]);
        b.obey(&mut lab);
        let response = lab.last_to(A);
        lab.send(A, &caller.ack_refusal_text(&response));
        assert_eq!(counted(&lab), [0; 6], "{condition:?} {way:?}");
        lab.finish();
    }
}

/// A call that is not to go on though it is set so: B's part and the caller's final response, no more.
#[track_caller]
fn refused(condition: Condition, way: Way, is_loop: bool, change: impl FnOnce(&mut Setup)) {
    let mut lab = lab(way, change);
    let (caller, b) = call(&mut lab, way);
    let status = own_response(condition);
    expect_sent(&mut lab, b.parting(), &[&format!("A {status} INVITE")]);
    b.obey(&mut lab);
    let response = lab.last_to(A);
    lab.send(A, &caller.ack_refusal_text(&response));
    let metrics = lab.metrics();
    let counts = (metrics.forwards_refused, metrics.forwards_in_loop, counted(&lab));
    assert_eq!(counts, (1, is_loop.into(), [0; 6]), "{condition:?} {way:?}");
    lab.finish();
}

#[test]
fn a_forward_that_may_not_be_ends_in_the_conditions_own_response_without_181() {
    for (condition, way, _) in ways() {
        // The caller, the number itself, an emergency number, nobody, no target at all.
        for (target, is_loop) in [
            (A.number, true),
            (B.number, true),
            ("112", false),
            ("1999", false),
            ("sip:x@host.invalid", false),
        ] {
            refused(condition, way, is_loop, |setup| setup.forward_on(condition, B, target));
        }
        refused(condition, way, false, |setup| {
            setup.settings.max_diversions = 0;
            setup.forward_on(condition, B, C.number);
        });
    }
}

#[test]
fn without_181_the_caller_hears_nothing_of_it() {
    for (condition, way, _) in ways() {
        let mut lab = lab(way, |setup| {
            setup.settings.send_181 = false;
            only(setup, condition, C.number);
        });
        let (caller, b) = call(&mut lab, way);
        expect_sent(&mut lab, b.parting(), &["C INVITE"]);
        b.obey(&mut lab);
        answer_and_finish(lab, caller);
    }
}

#[test]
fn a_408_before_ringing_is_not_reachable_where_it_is_set_so() {
    for (first, condition) in [
        ("", Condition::NotReachable),
        ("100 Trying", Condition::NotReachable),
        ("180 Ringing", Condition::NoAnswer),
        ("183 Session Progress", Condition::NoAnswer),
    ] {
        let way = Way::Says(first, "408 Request Timeout", "");
        let mut lab = lab(way, |setup| {
            setup.settings.unreachable_408 = true;
            setup.forward_on(Condition::NoAnswer, B, D.number);
            setup.forward_on(Condition::NotReachable, B, D.number);
            setup.forward_on(condition, B, C.number);
        });
        let (caller, b) = call(&mut lab, way);
        expect_sent(&mut lab, b.parting(), &["A 181 INVITE", "C INVITE"]);
        assert_eq!(counted(&lab), one(condition));
        let diversion = lab.last_to(C).one("Diversion").to_string();
        assert!(diversion.contains(&format!(";reason={};", reason(condition))), "{diversion}");
        answer_and_finish(lab, caller);
    }
}

#[test]
fn only_a_no_answer_rule_that_is_active_shortens_the_ringing() {
    for (after_ms, is_active, rings_ms) in
        [(Some(5_000), true, 5_000), (None, true, 20_000), (Some(5_000), false, 60_000)]
    {
        let mut lab = lab(Way::Tries, |setup| {
            setup.settings.ring_limit_ms = 60_000;
            setup.subscriber(B).after_ms = after_ms;
            setup.forward_on(Condition::Busy, B, D.number);
            setup.forward_on(Condition::NoAnswer, B, C.number);
            setup.subscriber(B).forwarding.activate(Condition::NoAnswer, is_active);
        });
        let (caller, b) = crate::lab::scene::ringing(&mut lab);
        lab.advance(rings_ms - 8);
        lab.expect_nothing();
        lab.advance(8);
        if is_active {
            expect_sent(&mut lab, &["B CANCEL"], &["A 181 INVITE", "C INVITE"]);
        } else {
            expect_sent(&mut lab, &["B CANCEL"], &["A 480 INVITE"]);
            let response = lab.last_to(A);
            lab.send(A, &caller.ack_refusal_text(&response));
        }
        let cancel = lab.last_to(B);
        b.answer(&mut lab, &cancel, "200 OK");
        b.reject(&mut lab, "487 Request Terminated");
        match is_active {
            true => answer_and_finish(lab, caller),
            false => lab.finish(),
        }
    }
}
