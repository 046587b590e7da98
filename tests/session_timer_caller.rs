//! Session timers on the caller's side, and in requests that either side sends within the dialog (RFC 4028
//! §7 to §10; SIP_RULES 19).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::callee::ANSWER;
use lab::caller::{Caller, Invite};
use lab::party::{Party, Talk, both_ways, both_ways_in, bye_and_finish, calling, sdp, talk};
use lab::peer::{A, C};
use lab::scene::refuse_and_finish;
use lab::sip::Sip;

const ALLOW: &str = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE";

/// The 200 that a caller with these lines gets.
#[track_caller]
fn answer_to(lines: &[&str]) -> Sip {
    let mut lab = Lab::new();
    let (mut caller, leg) = calling(&mut lab, lines);
    leg.respond(&mut lab, "200 OK");
    let answer = caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    lab::scene::hang_up_and_finish(lab, caller, &leg);
    answer
}

#[test]
fn who_asks_for_an_interval_gets_it_and_refreshes_by_itself() {
    let answer = answer_to(&["Supported: timer", "Session-Expires: 600"]);
    assert_eq!((answer.one("Session-Expires"), answer.one("Require")), ("600;refresher=uac", "timer"));
    let answer = answer_to(&["Require: timer", "x: 90"]);
    assert_eq!((answer.one("Session-Expires"), answer.one("Require")), ("90;refresher=uac", "timer"));
    let answer = answer_to(&["Supported: timer", "Session-Expires: 600;refresher=uac"]);
    assert_eq!((answer.one("Session-Expires"), answer.one("Require")), ("600;refresher=uac", "timer"));
}

#[test]
fn who_wants_us_to_refresh_or_cannot_gets_us_as_the_refresher() {
    let answer = answer_to(&["Supported: timer", "Session-Expires: 600;refresher=uas"]);
    assert_eq!(answer.one("Session-Expires"), "600;refresher=uas");
    let answer = answer_to(&["Session-Expires: 600"]);
    assert_eq!((answer.one("Session-Expires"), answer.has("Require")), ("600;refresher=uas", false));
}

#[test]
fn who_asks_for_no_interval_gets_none() {
    let answer = answer_to(&["Supported: timer"]);
    assert!(!answer.has("Session-Expires") && !answer.has("Require"));
}

#[test]
fn an_interval_below_90_seconds_is_refused_with_the_least_one() {
    for line in ["Supported: timer", "Require: timer", "k: 100rel, timer"] {
        let mut lab = Lab::new();
        let invite = Invite::new(&mut lab, A, C.number).line(line).line("Session-Expires: 89");
        let caller = invite.send(&mut lab);
        if lab.next_to(A) == "100 INVITE" {
            lab.expect(A, "100 INVITE");
        }
        assert_eq!(caller.refused(&mut lab, 422).one("Min-SE"), "90");
        assert!(lab.sent_to(C).is_empty());
        lab.finish();
    }
}

#[test]
fn one_who_does_not_know_session_timers_cannot_be_refused() {
    // RFC 4028 §9: none shorter than 90 s, and it may be none at all.
    let answer = answer_to(&["Session-Expires: 30"]);
    assert!([vec![], vec!["90;refresher=uas"]].contains(&answer.all("Session-Expires")));
}

#[test]
fn the_callees_interval_and_the_callers_are_each_their_own() {
    let mut lab = Lab::new();
    let (caller, leg) = calling(&mut lab, &["Supported: timer", "Session-Expires: 600"]);
    assert_eq!(leg.invite.one("Session-Expires"), "90");
    let mut caller = caller;
    leg.respond_with(&mut lab, "200 OK", &["Session-Expires: 90;refresher=uac", ALLOW], ANSWER);
    assert_eq!(caller.answered_and_acked(&mut lab).one("Session-Expires"), "600;refresher=uac");
    lab.expect(C, "ACK");
    lab.advance(45_008);
    let update = lab.expect(C, "UPDATE");
    leg.answer(&mut lab, &update, "200 OK");
    lab.expect_nothing();
    lab::scene::hang_up_and_finish(lab, caller, &leg);
}

/// Both get BYE for the session has expired.
#[track_caller]
fn expired(mut lab: Lab, a: &Party, c: &Party) {
    for party in [a, c] {
        let bye = party.hung_up(&mut lab);
        assert!(bye.one("Reason").contains("Session Expired"), "{}", bye.text());
    }
    lab.finish();
}

#[test]
fn a_caller_that_does_not_refresh_ends_the_call() {
    let mut lab = Lab::new();
    let (a, c) = talk(&mut lab, &["Supported: timer", "Session-Expires: 600;refresher=uac"], &[]);
    lab.advance(567_500);
    lab.expect_nothing();
    lab.advance(1_000);
    expired(lab, &a, &c);
}

#[test]
fn a_caller_that_refreshes_keeps_the_call_alive_by_update_and_by_re_invite() {
    let mut lab = Lab::new();
    let (mut a, c) = talk(&mut lab, &["Supported: timer", "Session-Expires: 600;refresher=uac"], &[]);
    let lines = ["Supported: timer", "Session-Expires: 600;refresher=uac"];
    for _ in 0..2 {
        lab.advance(500_000);
        let update = a.request(&mut lab, "UPDATE", &lines, "");
        let answer = a.expect_response(&mut lab, &update, 200);
        assert_eq!((answer.one("Session-Expires"), answer.one("Require")), ("600;refresher=uac", "timer"));
        lab.advance(500_000);
        let invite = a.request(&mut lab, "INVITE", &lines, &sdp(1));
        a.expect_response(&mut lab, &invite, 100);
        let relayed = c.expect(&mut lab, "INVITE");
        assert!(!relayed.has("Require"));
        c.respond(&mut lab, &relayed, "200 OK", &[], &sdp(2));
        let answer = a.expect_response(&mut lab, &invite, 200);
        assert_eq!(answer.one("Session-Expires"), "600;refresher=uac");
        a.ack(&mut lab, &invite, "");
        c.expect(&mut lab, "ACK");
    }
    lab.advance(568_500);
    expired(lab, &a, &c);
}

#[test]
fn we_refresh_towards_the_caller_by_update_at_half_the_interval() {
    let mut lab = Lab::new();
    let (a, c) = talk(&mut lab, &["Supported: timer", "Session-Expires: 600;refresher=uas", ALLOW], &[]);
    for _ in 0..3 {
        lab.advance(299_900);
        lab.expect_nothing();
        lab.advance(108);
        let update = a.expect(&mut lab, "UPDATE");
        // Of our UPDATE we are the UAC.
        assert_eq!(update.one("Session-Expires"), "600;refresher=uac");
        assert!(update.body.is_empty());
        a.respond(&mut lab, &update, "200 OK", &["Session-Expires: 600;refresher=uac"], "");
    }
    bye_and_finish(lab, a, &c);
}

#[test]
fn the_least_interval_that_the_caller_named_stands_in_our_refreshes() {
    // RFC 4028 §7.4: the largest Min-SE that came in the dialog.
    let mut lab = Lab::new();
    let lines = ["Supported: timer", "Session-Expires: 600;refresher=uas", "Min-SE: 300", ALLOW];
    let (a, c) = talk(&mut lab, &lines, &[]);
    lab.advance(300_008);
    let update = a.expect(&mut lab, "UPDATE");
    assert_eq!((update.one("Min-SE"), update.one("Session-Expires")), ("300", "600;refresher=uac"));
    a.respond(&mut lab, &update, "200 OK", &["Session-Expires: 600;refresher=uac"], "");
    bye_and_finish(lab, a, &c);
}

#[test]
fn a_caller_that_takes_no_update_is_refreshed_by_a_re_invite_with_the_last_sdp() {
    let mut lab = Lab::new();
    let lines = ["Supported: timer", "Session-Expires: 600;refresher=uas", "Allow: INVITE, ACK, BYE"];
    let (a, c) = talk(&mut lab, &lines, &[]);
    lab.advance(300_008);
    let invite = a.expect(&mut lab, "INVITE");
    assert_eq!((invite.body.as_str(), invite.one("Session-Expires")), (ANSWER, "600;refresher=uac"));
    a.respond(&mut lab, &invite, "200 OK", &["Session-Expires: 600;refresher=uac"], &sdp(1));
    assert!(a.expect(&mut lab, "ACK").body.is_empty());
    lab.expect_nothing();
    bye_and_finish(lab, a, &c);
}

#[test]
fn an_interval_below_90_seconds_is_refused_within_the_dialog_too() {
    for method in ["UPDATE", "INVITE"] {
        for Talk { mut lab, mut asker, other } in both_ways() {
            let lines = ["Supported: timer", "Session-Expires: 89"];
            let request = asker.request(&mut lab, method, &lines, &sdp(1));
            let refusal = match method {
                "INVITE" => asker.refused(&mut lab, &request, 422),
                _ => asker.expect_response(&mut lab, &request, 422),
            };
            assert_eq!(refusal.one("Min-SE"), "90");
            lab.expect_nothing();
            bye_and_finish(lab, asker, &other);
        }
    }
}

#[test]
fn a_peer_may_hand_the_refreshing_over_to_us() {
    for Talk { mut lab, mut asker, other } in both_ways() {
        let lines = ["Supported: timer", "Session-Expires: 600;refresher=uas", ALLOW];
        let update = asker.request(&mut lab, "UPDATE", &lines, "");
        let answer = asker.expect_response(&mut lab, &update, 200);
        assert_eq!(answer.one("Session-Expires"), "600;refresher=uas");
        lab.advance(300_008);
        let refresh = if lab.next_to(asker.peer) == "INVITE" { "INVITE" } else { "UPDATE" };
        let refresh = asker.expect(&mut lab, refresh);
        assert_eq!(refresh.one("Session-Expires"), "600;refresher=uac");
        asker.respond(&mut lab, &refresh, "200 OK", &["Session-Expires: 600;refresher=uac"], &refresh.body);
        if refresh.method == "INVITE" {
            asker.expect(&mut lab, "ACK");
        }
        bye_and_finish(lab, asker, &other);
    }
}

/// What Session-Expires a relayed request towards C has, whose 200 had these lines.
#[track_caller]
fn relayed_with(callee: &[&str], expected: &[&str]) {
    for method in ["INVITE", "UPDATE"] {
        let mut lab = Lab::new();
        let (mut a, c) = talk(&mut lab, &[], callee);
        let request = a.request(&mut lab, method, &[], &sdp(1));
        if method == "INVITE" {
            a.expect_response(&mut lab, &request, 100);
        }
        let relayed = c.expect(&mut lab, method);
        assert_eq!(relayed.all("Session-Expires"), expected, "{method}");
        let lines: Vec<String> = expected.iter().map(|value| format!("Session-Expires: {value}")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        c.respond(&mut lab, &relayed, "200 OK", &lines, &sdp(2));
        let answer = a.expect_response(&mut lab, &request, 200);
        assert!(!answer.has("Session-Expires"), "the caller's side has no timer");
        if method == "INVITE" {
            a.ack(&mut lab, &request, "");
            c.expect(&mut lab, "ACK");
        }
        bye_and_finish(lab, a, &c);
    }
}

#[test]
fn what_is_relayed_bears_the_interval_and_the_roles_of_the_leg_that_it_goes_out_on() {
    relayed_with(&["Session-Expires: 90;refresher=uac", ALLOW], &["90;refresher=uac"]);
    relayed_with(&["Session-Expires: 90;refresher=uas", ALLOW], &["90;refresher=uas"]);
    relayed_with(&["Session-Expires: 1800;refresher=uac", ALLOW], &["1800;refresher=uac"]);
    relayed_with(&[], &[]);
}

#[test]
fn a_relayed_re_invites_2xx_restarts_the_timer_of_its_leg() {
    let mut lab = Lab::new();
    let ours = "Session-Expires: 90;refresher=uac";
    let (mut a, c) = talk(&mut lab, &[], &[ours, ALLOW]);
    lab.advance(40_000);
    let invite = a.invite(&mut lab, &sdp(1));
    a.expect_response(&mut lab, &invite, 100);
    let relayed = c.expect(&mut lab, "INVITE");
    c.respond(&mut lab, &relayed, "200 OK", &[ours], &sdp(2));
    a.expect_response(&mut lab, &invite, 200);
    a.ack(&mut lab, &invite, "");
    c.expect(&mut lab, "ACK");
    lab.advance(44_900);
    lab.expect_nothing();
    lab.advance(200);
    let update = c.expect(&mut lab, "UPDATE");
    c.respond(&mut lab, &update, "200 OK", &[ours], "");
    bye_and_finish(lab, a, &c);
}

#[test]
fn a_refused_refresh_of_a_peers_restarts_nothing() {
    let mut lab = Lab::new();
    let (mut a, c) = talk(&mut lab, &["Supported: timer", "Session-Expires: 600;refresher=uac"], &[]);
    lab.advance(500_000);
    let invite = a.request(&mut lab, "INVITE", &["Supported: timer", "Session-Expires: 600"], &sdp(1));
    a.expect_response(&mut lab, &invite, 100);
    let relayed = c.expect(&mut lab, "INVITE");
    c.refuse(&mut lab, &relayed, "488 Not Acceptable Here");
    a.refused(&mut lab, &invite, 488);
    lab.advance(68_500);
    expired(lab, &a, &c);
}

#[test]
fn the_require_of_timer_is_no_reason_to_refuse() {
    let require = ["Require: timer", "Session-Expires: 600"];
    for Talk { mut lab, mut asker, other } in both_ways_in(Lab::new, &require, &["Require: timer"]) {
        let update = asker.request(&mut lab, "UPDATE", &require, "");
        asker.expect_response(&mut lab, &update, 200);
        bye_and_finish(lab, asker, &other);
    }
    let mut lab = Lab::new();
    let caller: Caller = Invite::new(&mut lab, A, C.number).line("Require: timer").send(&mut lab);
    lab.expect(A, "100 INVITE");
    let leg = lab::callee::Leg::expect(&mut lab, C);
    assert!(!leg.invite.has("Require"));
    refuse_and_finish(lab, &caller, &leg);
}
