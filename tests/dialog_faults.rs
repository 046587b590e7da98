//! Requests in a dialog at awkward moments: repetitions of what was refused, forks that lost, refreshes
//! without a description (RFC 3261 §8.2.7, §12.2, RFC 3262 §4, RFC 4028 §7.4, RFC 6228).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::callee::{ANSWER, Leg};
use lab::caller::Invite;
use lab::party::{Party, accepted, both_ways, bye_and_finish, calling, calling_to, hold, sdp, talk};
use lab::peer::{A, B, C};
use lab::scene::refuse_and_finish;
use ringway::settings::AckPolicy;

#[test]
fn a_refused_re_invite_that_comes_again_is_refused_again_whatever_has_changed() {
    for talk in both_ways() {
        let (mut lab, mut asker, mut other) = (talk.lab, talk.asker, talk.other);
        let update = other.update(&mut lab, &sdp(2));
        let relayed = asker.expect(&mut lab, "UPDATE");
        let invite = asker.invite(&mut lab, &sdp(1));
        let refusal = asker.expect(&mut lab, "491 INVITE");
        asker.respond(&mut lab, &relayed, "200 OK", &[], &sdp(3));
        other.expect_response(&mut lab, &update, 200);
        // The 491 was on its way, or lost.
        asker.resend(&mut lab, &invite);
        assert_eq!(asker.expect_response(&mut lab, &invite, 491).text(), refusal.text());
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn a_refused_offer_that_comes_again_is_refused_again_whatever_has_changed() {
    for talk in both_ways() {
        let (mut lab, mut asker, mut other) = (talk.lab, talk.asker, talk.other);
        let first = other.update(&mut lab, &sdp(2));
        let relayed = asker.expect(&mut lab, "UPDATE");
        let second = asker.update(&mut lab, &sdp(1));
        asker.expect_response(&mut lab, &second, 491);
        asker.respond(&mut lab, &relayed, "200 OK", &[], &sdp(3));
        other.expect_response(&mut lab, &first, 200);
        asker.resend(&mut lab, &second);
        asker.expect_response(&mut lab, &second, 491);
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn a_500_that_is_asked_for_again_names_the_same_time_to_come_back() {
    let mut lab = Lab::new();
    let (mut a, c) = talk(&mut lab, &[], &[]);
    let first = a.invite(&mut lab, &sdp(1));
    a.expect_response(&mut lab, &first, 100);
    let relayed = c.expect(&mut lab, "INVITE");
    let second = a.update(&mut lab, &sdp(3));
    let refusal = a.expect_response(&mut lab, &second, 500);
    for _ in 0..5 {
        a.resend(&mut lab, &second);
        assert_eq!(a.expect_response(&mut lab, &second, 500).text(), refusal.text());
    }
    accepted(&mut lab, &a, &c, (&first, &relayed));
    bye_and_finish(lab, a, &c);
}

#[test]
fn a_refresh_that_comes_again_behind_a_later_request_gets_its_200_again() {
    for talk in both_ways() {
        let (mut lab, mut asker, other) = (talk.lab, talk.asker, talk.other);
        let update = asker.update(&mut lab, "");
        asker.expect_response(&mut lab, &update, 200);
        let info = asker.request(&mut lab, "INFO", &[], "");
        let relayed = other.expect(&mut lab, "INFO");
        // The 200 was lost.
        asker.resend(&mut lab, &update);
        asker.expect_response(&mut lab, &update, 200);
        other.answer(&mut lab, &relayed, "200 OK");
        asker.expect_response(&mut lab, &info, 200);
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn an_ack_before_a_re_invites_answer_is_dropped() {
    for talk in both_ways() {
        let (mut lab, mut asker, other) = (talk.lab, talk.asker, talk.other);
        let invite = asker.invite(&mut lab, &sdp(1));
        asker.expect_response(&mut lab, &invite, 100);
        let relayed = other.expect(&mut lab, "INVITE");
        asker.ack(&mut lab, &invite, "");
        lab.expect_nothing();
        accepted(&mut lab, &asker, &other, (&invite, &relayed));
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn the_bye_to_a_fork_that_lost_counts_on_from_what_was_said_in_its_early_dialog() {
    let mut lab = Lab::new();
    let (mut caller, leg) = calling(&mut lab, &["Supported: 100rel"]);
    let (one, two) = (leg.fork("one"), leg.fork("two"));
    one.reliable(&mut lab, "180 Ringing", 1, "");
    lab.expect(A, "180 INVITE");
    let prack = lab.expect(C, "PRACK");
    one.answer(&mut lab, &prack, "200 OK");
    two.respond(&mut lab, "200 OK");
    let answer = caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    one.respond(&mut lab, "200 OK");
    lab.expect(C, "ACK");
    let bye = one.hung_up(&mut lab);
    assert!(bye.cseq > prack.cseq, "{} after {}", bye.cseq, prack.cseq);
    bye_and_finish(lab, Party::caller(&caller, &answer), &Party::callee(&two));
}

#[test]
fn a_prack_for_one_fork_does_not_go_to_the_one_that_answered_meanwhile() {
    let mut lab = Lab::new();
    let (caller, leg) = calling(&mut lab, &["Supported: 100rel"]);
    let (one, two) = (leg.fork("one"), leg.fork("two"));
    one.reliable(&mut lab, "183 Session Progress", 5, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    two.respond(&mut lab, "200 OK");
    lab.expect_nothing();
    Party::caller(&caller, &progress).prack(&mut lab, &progress, "");
    if lab.sent_to(C).last().is_some_and(|last| last == "PRACK") {
        assert_eq!(lab.expect(C, "PRACK").to_tag, "one");
    }
    lab.abandon();
}

#[test]
fn a_prack_is_answered_at_once_when_its_callee_was_given_up() {
    let mut lab = Lab::new();
    let (caller, b) = calling_to(&mut lab, B, &["Supported: 100rel"]);
    b.reliable(&mut lab, "183 Session Progress", 1, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    let mut a = Party::caller(&caller, &progress);
    lab.advance(19_990);
    lab.sent();
    lab.advance(18);
    let cancel = lab.expect(B, "CANCEL");
    b.answer(&mut lab, &cancel, "200 OK");
    let c = Leg::expect(&mut lab, C);
    a.prack(&mut lab, &progress, "");
    let sent = lab.sent();
    assert!(sent.contains(&"A 200 PRACK".to_string()), "{sent:?}");
    b.reject(&mut lab, "487 Request Terminated");
    refuse_and_finish(lab, &caller, &c);
}

/// What a caller says that cannot refresh by itself and takes no UPDATE.
const REFRESHED_BY_INVITE: [&str; 3] = [
    "Supported: 100rel, timer",
    "Session-Expires: 90;refresher=uas",
    "Allow: INVITE, ACK, CANCEL, BYE, PRACK",
];

#[test]
fn a_caller_that_got_its_answer_in_a_reliable_response_is_refreshed_with_it() {
    let mut lab = Lab::new();
    let (mut caller, leg) = calling(&mut lab, &REFRESHED_BY_INVITE);
    leg.reliable(&mut lab, "183 Session Progress", 1, ANSWER);
    let progress = lab.expect(A, "183 INVITE");
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(&mut lab, &progress, "");
    let relayed = lab.expect(C, "PRACK");
    leg.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &prack, 200);
    leg.respond_with(&mut lab, "200 OK", &[], "");
    caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    lab.advance(45_008);
    let refresh = a.expect(&mut lab, "INVITE");
    assert_eq!(refresh.body, ANSWER);
    a.respond(&mut lab, &refresh, "200 OK", &[], &sdp(1));
    a.expect(&mut lab, "ACK");
    bye_and_finish(lab, a, &Party::callee(&leg));
}

#[test]
fn what_a_caller_was_told_once_by_re_invite_is_not_told_again_after_a_hold() {
    let mut lab = Lab::new();
    let (mut caller, b) = calling_to(&mut lab, B, &REFRESHED_BY_INVITE);
    b.reliable(&mut lab, "183 Session Progress", 1, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(&mut lab, &progress, "");
    let relayed = lab.expect(B, "PRACK");
    b.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &prack, 200);
    b.reject(&mut lab, "408 Request Timeout");
    lab.expect(A, "181 INVITE");
    let leg = Leg::expect(&mut lab, C);
    leg.respond_with(&mut lab, "200 OK", &[], &sdp(2));
    caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    let offer = a.expect(&mut lab, "INVITE");
    assert_eq!(offer.body, sdp(2));
    let granted = ["Session-Expires: 90;refresher=uac", "Require: timer"];
    a.respond(&mut lab, &offer, "200 OK", &granted, &sdp(3));
    a.expect(&mut lab, "ACK");
    let mut c = Party::callee(&leg);
    let invite = c.invite(&mut lab, &hold(2));
    c.expect_response(&mut lab, &invite, 100);
    let relayed = a.expect(&mut lab, "INVITE");
    a.respond(&mut lab, &relayed, "200 OK", &granted, &sdp(3));
    c.expect_response(&mut lab, &invite, 200);
    c.ack(&mut lab, &invite, "");
    a.expect(&mut lab, "ACK");
    lab.advance(45_008);
    let refresh = a.expect(&mut lab, "INVITE");
    assert_eq!(refresh.body, hold(2), "what C said last");
    a.respond(&mut lab, &refresh, "200 OK", &[], &sdp(3));
    a.expect(&mut lab, "ACK");
    bye_and_finish(lab, a, &c);
}

#[test]
fn a_199_leaves_the_callers_requests_with_the_fork_that_still_rings() {
    let mut lab = Lab::new();
    let (caller, leg) = calling(&mut lab, &[]);
    let (one, two) = (leg.fork("one"), leg.fork("two"));
    one.respond(&mut lab, "180 Ringing");
    let ringing = lab.expect(A, "180 INVITE");
    two.respond(&mut lab, "180 Ringing");
    lab.expect(A, "180 INVITE");
    one.respond(&mut lab, "199 Early Dialog Terminated");
    lab.expect_nothing();
    let mut a = Party::caller(&caller, &ringing);
    let info = a.request(&mut lab, "INFO", &[], "");
    let relayed = lab.expect(C, "INFO");
    assert_eq!(relayed.to_tag, "two");
    two.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &info, 200);
    refuse_and_finish(lab, &caller, &two);
}

/// A asks for an offer and has answered B's, which came reliably; B is over. C's own stands in its 200.
#[track_caller]
fn forwarded_without_an_offer(lab: &mut Lab, allow: &str) -> (Party, Leg) {
    let mut invite = Invite::new(lab, A, B.number).body("");
    invite.lines = vec!["Supported: 100rel".into(), allow.into()];
    let mut caller = invite.send(lab);
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(lab, B);
    b.reliable(lab, "183 Session Progress", 1, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(lab, &progress, &sdp(4));
    let relayed = lab.expect(B, "PRACK");
    b.answer(lab, &relayed, "200 OK");
    a.expect_response(lab, &prack, 200);
    b.reject(lab, "408 Request Timeout");
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(lab, C);
    c.respond_with(lab, "200 OK", &[], &sdp(2));
    caller.answered_and_acked(lab);
    (a, c)
}

#[test]
fn a_targets_late_offer_is_answered_by_a_caller_that_takes_no_update_too() {
    let mut lab = Lab::new();
    let (a, c) = forwarded_without_an_offer(&mut lab, "Allow: INVITE, ACK, CANCEL, BYE, PRACK");
    let offer = a.expect(&mut lab, "INVITE");
    assert_eq!(offer.body, sdp(2));
    a.respond(&mut lab, &offer, "200 OK", &[], &sdp(3));
    a.expect(&mut lab, "ACK");
    assert_eq!(lab.expect(C, "ACK").body, sdp(3));
    bye_and_finish(lab, a, &Party::callee(&c));
}

#[test]
fn an_answer_in_a_prack_gets_200_though_nobody_is_there_to_hear_it() {
    let mut lab = Lab::new();
    let mut invite = Invite::new(&mut lab, A, B.number).body("");
    invite.lines = vec!["Supported: 100rel".into()];
    let caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    b.reliable(&mut lab, "183 Session Progress", 1, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    b.reject(&mut lab, "408 Request Timeout");
    let c = Leg::expect(&mut lab, C);
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(&mut lab, &progress, &sdp(4));
    a.expect_response(&mut lab, &prack, 200);
    lab.expect(A, "181 INVITE");
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn a_redirection_within_the_call_names_the_other_sides_targets() {
    for talk in both_ways() {
        let (mut lab, mut asker, other) = (talk.lab, talk.asker, talk.other);
        let invite = asker.invite(&mut lab, &sdp(1));
        asker.expect_response(&mut lab, &invite, 100);
        let relayed = other.expect(&mut lab, "INVITE");
        other.respond(&mut lab, &relayed, "302 Moved Temporarily", &["Contact: <sip:new@192.0.2.9>"], "");
        other.expect(&mut lab, "ACK");
        let refusal = asker.refused(&mut lab, &invite, 302);
        assert_eq!(refusal.contact(), "sip:new@192.0.2.9");
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn after_a_422_a_tag_that_rang_before_counts_on_from_the_new_invite() {
    let mut lab = Lab::new();
    let (mut caller, leg) = calling(&mut lab, &[]);
    leg.respond(&mut lab, "180 Ringing");
    lab.expect(A, "180 INVITE");
    leg.respond_with(&mut lab, "422 Session Interval Too Small", &["Min-SE: 120"], "");
    lab.expect(C, "ACK");
    let again = Leg::expect(&mut lab, C).fork(&leg.tag);
    assert_eq!(again.invite.cseq, 2);
    again.respond(&mut lab, "200 OK");
    let answer = caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    let mut a = Party::caller(&caller, &answer);
    let bye = a.request(&mut lab, "BYE", &[], "");
    a.expect_response(&mut lab, &bye, 200);
    assert_eq!(again.hung_up(&mut lab).cseq, 3);
    lab.finish();
}

#[test]
fn a_callee_that_hangs_up_before_its_answer_went_out_gets_no_bye() {
    let mut lab = Lab::with(|setup| setup.settings.ack = AckPolicy::Immediate);
    let (caller, mut leg) = calling(&mut lab, &["Require: 100rel"]);
    leg.respond(&mut lab, "180 Ringing");
    lab.expect(A, "180 INVITE");
    leg.respond(&mut lab, "200 OK");
    lab.expect(C, "ACK");
    leg.bye(&mut lab);
    lab.expect(C, "200 BYE");
    caller.refused(&mut lab, 480);
    lab.finish();
}

#[test]
fn a_prack_that_leaves_an_offer_unanswered_keeps_no_later_offer_from_passing() {
    let mut lab = Lab::new();
    let mut invite = Invite::new(&mut lab, A, C.number).body("");
    invite.lines = vec!["Supported: 100rel".into()];
    let mut caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let leg = Leg::expect(&mut lab, C);
    leg.reliable(&mut lab, "183 Session Progress", 1, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(&mut lab, &progress, "");
    let relayed = lab.expect(C, "PRACK");
    leg.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &prack, 200);
    leg.respond_with(&mut lab, "200 OK", &[], "");
    caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    let c = Party::callee(&leg);
    let invite = a.invite(&mut lab, &sdp(3));
    a.expect_response(&mut lab, &invite, 100);
    let relayed = c.expect(&mut lab, "INVITE");
    accepted(&mut lab, &a, &c, (&invite, &relayed));
    bye_and_finish(lab, a, &c);
}

#[test]
fn an_answer_of_the_tag_that_lost_moves_nothing_in_the_dialog_of_the_one_that_won() {
    let mut lab = Lab::new();
    let mut invite = Invite::new(&mut lab, A, C.number).body("");
    invite.lines = vec!["Supported: 100rel".into(), "Allow: INVITE, ACK, CANCEL, BYE, PRACK, UPDATE".into()];
    let mut caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let leg = Leg::expect(&mut lab, C);
    let (one, two) = (leg.fork("one"), leg.fork("two"));
    one.reliable(&mut lab, "183 Session Progress", 1, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(&mut lab, &progress, &sdp(2));
    let relayed = lab.expect(C, "PRACK");
    one.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &prack, 200);
    let update = a.update(&mut lab, &sdp(3));
    let relayed = lab.expect(C, "UPDATE");
    two.respond_with(&mut lab, "200 OK", &[], &sdp(4));
    a.expect_response(&mut lab, &update, 500);
    caller.answered_and_acked(&mut lab);
    let offer = a.expect(&mut lab, "UPDATE");
    assert_eq!(offer.body, sdp(4));
    let moved = ["Contact: <sip:moved@127.0.0.138>"];
    Party::callee(&one).respond(&mut lab, &relayed, "200 OK", &moved, &sdp(5));
    // The winner's own offer is still to be answered: by what the caller says to ours.
    let early = a.update(&mut lab, &sdp(6));
    a.expect_response(&mut lab, &early, 491);
    lab.expect_nothing();
    a.respond(&mut lab, &offer, "200 OK", &[], &sdp(7));
    let ack = lab.expect(C, "ACK");
    assert_eq!((ack.to_tag.as_str(), ack.body.as_str()), ("two", sdp(7).as_str()));
    assert!(!ack.request_uri.contains("moved"), "{}", ack.request_uri);
    bye_and_finish(lab, a, &Party::callee(&two));
}

#[test]
fn an_offer_in_a_prack_while_the_callees_update_is_open_is_not_taken_for_its_answer() {
    // RFC 6337 §4.2, figure 11.
    let mut lab = Lab::new();
    let (mut caller, leg) = calling(&mut lab, &["Require: 100rel"]);
    leg.reliable(&mut lab, "183 Session Progress", 1, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(&mut lab, &progress, "");
    let relayed = lab.expect(C, "PRACK");
    leg.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &prack, 200);
    let mut c = Party::callee(&leg);
    let update = c.update(&mut lab, &sdp(2));
    let relayed = lab.expect(A, "UPDATE");
    leg.reliable(&mut lab, "180 Ringing", 2, "");
    let ringing = lab.expect(A, "180 INVITE");
    let own = lab.expect(C, "PRACK");
    leg.answer(&mut lab, &own, "200 OK");
    let prack = a.prack(&mut lab, &ringing, &sdp(3));
    a.expect_response(&mut lab, &prack, 488);
    // The UPDATE is still open.
    let second = a.update(&mut lab, &sdp(4));
    a.expect_response(&mut lab, &second, 491);
    a.respond(&mut lab, &relayed, "200 OK", &[], &sdp(5));
    assert_eq!(c.expect_response(&mut lab, &update, 200).body, sdp(5));
    caller.cseq = a.cseq;
    refuse_and_finish(lab, &caller, &leg);
}
