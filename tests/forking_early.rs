//! Early dialogs with several phones of a group: ringing, early media, reliable provisional responses, and
//! what is said in them (RFC 3261 §12, RFC 3262, RFC 3311; SIP_RULES 15 to 17).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::callee::Leg;
use lab::caller::Caller;
use lab::group::{self, B1, B2, B3};
use lab::party::{Party, bye_and_finish, sdp};
use lab::peer::A;
use lab::scene::{hang_up_and_finish, refuse_and_finish, talk_and_finish};
use lab::{Lab, peer::Setup};

const RELIABLE: [&str; 2] = ["Supported: 100rel", "Allow: INVITE, ACK, CANCEL, BYE, PRACK, UPDATE"];

/// The leg's PRACK from the server, answered.
#[track_caller]
fn pracked(lab: &mut Lab, leg: &Leg, rack: &str, body: &str) {
    let prack = lab.expect(leg.peer, "PRACK");
    assert_eq!(prack.one("RAck"), rack);
    assert_eq!((&prack.to_tag, &prack.call_id), (&leg.tag, &leg.invite.call_id));
    assert_eq!(prack.body, body);
    leg.answer(lab, &prack, "200 OK");
}

#[test]
fn one_180_for_all_phones_of_the_group() {
    let mut lab = group::lab(&[1_000; 3]);
    let (caller, [b1, b2, b3]) = group::call(&mut lab, [B1, B2, B3]);
    let trying = lab.last_to(A);
    b2.ring(&mut lab);
    let ringing = lab.expect(A, "180 INVITE");
    assert_eq!(ringing.to_tag, trying.to_tag);
    assert_eq!(ringing.one("Contact"), "<sip:1004@127.0.0.60:5060>");
    assert!(!ringing.has("Require") && !ringing.has("RSeq"));
    b1.ring(&mut lab);
    b3.ring(&mut lab);
    lab.expect_nothing();
    // One that rings once more is told, as with a single phone.
    b1.respond(&mut lab, "180 Ringing");
    assert_eq!(lab.expect(A, "180 INVITE").to_tag, trying.to_tag);
    b1.reject(&mut lab, "486 Busy Here");
    b2.reject(&mut lab, "486 Busy Here");
    refuse_and_finish(lab, &caller, &b3);
}

#[test]
fn early_media_after_ringing_of_another_phone_is_heard() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (mut caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    b1.ring(&mut lab);
    let ringing = lab.expect(A, "180 INVITE");
    b2.respond_with(&mut lab, "183 Session Progress", &[], &sdp(2));
    let progress = lab.expect(A, "183 INVITE");
    assert_eq!((&progress.body, &progress.to_tag), (&sdp(2), &ringing.to_tag));
    b2.respond_with(&mut lab, "200 OK", &[], &sdp(2));
    b1.cancelled(&mut lab);
    assert_eq!(caller.answered_and_acked(&mut lab).body, sdp(2));
    lab.expect(B2, "ACK");
    hang_up_and_finish(lab, caller, &b2);
}

#[test]
fn while_one_phones_early_media_is_heard_the_others_are_not() {
    let mut lab = group::lab(&[1_000; 3]);
    let (caller, [b1, b2, b3]) = group::call(&mut lab, [B1, B2, B3]);
    b1.respond_with(&mut lab, "183 Session Progress", &[], &sdp(1));
    assert_eq!(lab.expect(A, "183 INVITE").body, sdp(1));
    b2.respond_with(&mut lab, "183 Session Progress", &[], &sdp(2));
    b2.respond(&mut lab, "180 Ringing");
    b3.respond(&mut lab, "182 Queued");
    b3.respond(&mut lab, "181 Call Is Being Forwarded");
    b3.ring(&mut lab);
    lab.expect_nothing();
    // Its own go on.
    b1.respond_with(&mut lab, "183 Session Progress", &[], &sdp(1));
    lab.expect(A, "183 INVITE");
    b1.respond(&mut lab, "180 Ringing");
    lab.expect(A, "180 INVITE");
    b1.reject(&mut lab, "486 Busy Here");
    b3.reject(&mut lab, "486 Busy Here");
    b2.respond_with(&mut lab, "200 OK", &[], &sdp(2));
    talk_and_finish(lab, caller, &b2);
}

#[test]
fn when_the_phone_with_early_media_fails_the_other_is_heard() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    b1.respond_with(&mut lab, "183 Session Progress", &[], &sdp(1));
    lab.expect(A, "183 INVITE");
    b2.ring(&mut lab);
    lab.expect_nothing();
    b1.reject(&mut lab, "486 Busy Here");
    // Ringback again: the other rings already.
    lab.expect(A, "180 INVITE");
    b2.respond_with(&mut lab, "183 Session Progress", &[], &sdp(2));
    assert_eq!(lab.expect(A, "183 INVITE").body, sdp(2));
    b2.respond_with(&mut lab, "200 OK", &[], &sdp(2));
    talk_and_finish(lab, caller, &b2);
}

#[test]
fn early_media_of_one_level_does_not_silence_the_next() {
    let mut lab = group::lab(&[1_000, 500, 500]);
    let (caller, [b1]) = group::call(&mut lab, [B1]);
    b1.respond_with(&mut lab, "183 Session Progress", &[], &sdp(1));
    lab.expect(A, "183 INVITE");
    b1.reject(&mut lab, "486 Busy Here");
    let [b2, b3] = group::started(&mut lab, [B2, B3]);
    b3.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    b2.reject(&mut lab, "486 Busy Here");
    refuse_and_finish(lab, &caller, &b3);
}

#[test]
fn the_answer_is_the_winners_though_anothers_early_media_was_heard() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (mut caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    b1.respond_with(&mut lab, "183 Session Progress", &[], &sdp(1));
    lab.expect(A, "183 INVITE");
    b2.respond_with(&mut lab, "200 OK", &[], &sdp(2));
    b1.cancelled(&mut lab);
    assert_eq!(caller.answered_and_acked(&mut lab).body, sdp(2));
    lab.expect(B2, "ACK");
    hang_up_and_finish(lab, caller, &b2);
}

#[test]
fn reliable_ringing_of_each_phone_is_acknowledged_in_its_own_dialog() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (caller, [b1, b2]) = group::call_with(&mut lab, &RELIABLE, [B1, B2]);
    for leg in [&b1, &b2] {
        assert_eq!(leg.invite.one("Supported"), "timer, 100rel");
    }
    b1.reliable(&mut lab, "180 Ringing", 7, "");
    let ringing = lab.expect(A, "180 INVITE");
    assert!(!ringing.has("RSeq") && !ringing.has("Require"), "without a body it goes unreliably");
    pracked(&mut lab, &b1, "7 1 INVITE", "");
    b2.reliable(&mut lab, "180 Ringing", 7, "");
    pracked(&mut lab, &b2, "7 1 INVITE", "");
    lab.expect_nothing();
    // A repetition gets nothing.
    b1.reliable(&mut lab, "180 Ringing", 7, "");
    b2.reliable(&mut lab, "180 Ringing", 7, "");
    lab.expect_nothing();
    b1.reject(&mut lab, "486 Busy Here");
    refuse_and_finish(lab, &caller, &b2);
}

/// B1's reliable 183 has the answer, and A has confirmed it; B2 has said nothing.
#[track_caller]
fn answered_early(lab: &mut Lab) -> (Caller, Party, [Leg; 2]) {
    let (caller, [b1, b2]) = group::call_with(lab, &RELIABLE, [B1, B2]);
    b1.reliable(lab, "183 Session Progress", 5, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    assert_eq!((progress.body.as_str(), progress.one("Require")), (sdp(1).as_str(), "100rel"));
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(lab, &progress, "");
    let relayed = lab.expect(B1, "PRACK");
    assert_eq!((relayed.one("RAck"), relayed.to_tag.as_str()), ("5 1 INVITE", b1.tag.as_str()));
    b1.answer(lab, &relayed, "200 OK");
    a.expect_response(lab, &prack, 200);
    lab.expect_nothing();
    (caller, a, [b1, b2])
}

#[test]
fn the_phone_whose_early_answer_was_confirmed_may_win() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (mut caller, a, [b1, b2]) = answered_early(&mut lab);
    b2.reliable(&mut lab, "183 Session Progress", 3, &sdp(2));
    // Not passed on, and acknowledged by us.
    pracked(&mut lab, &b2, "3 1 INVITE", "");
    lab.expect_nothing();
    b1.respond_with(&mut lab, "200 OK", &[], "");
    b2.cancelled(&mut lab);
    caller.cseq = a.cseq;
    assert_eq!(caller.answered_and_acked(&mut lab).body, "");
    lab.expect(B1, "ACK");
    bye_and_finish(lab, a, &Party::callee(&b1));
}

#[test]
fn when_another_phone_wins_the_caller_gets_its_description_as_an_offer() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (mut caller, mut a, [b1, b2]) = answered_early(&mut lab);
    b2.respond_with(&mut lab, "200 OK", &[], &sdp(2));
    b1.cancelled(&mut lab);
    caller.cseq = a.cseq;
    assert_eq!(caller.answered_and_acked(&mut lab).body, "");
    lab.expect(B2, "ACK");
    let offer = a.expect(&mut lab, "UPDATE");
    assert_eq!(offer.body, sdp(2));
    a.respond(&mut lab, &offer, "200 OK", &[], &sdp(3));
    a.cseq = a.cseq.max(caller.cseq);
    bye_and_finish(lab, a, &Party::callee(&b2));
}

#[test]
fn an_early_answer_that_the_caller_never_saw_stands_in_the_200() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (mut caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    b1.respond_with(&mut lab, "183 Session Progress", &[], &sdp(1));
    lab.expect(A, "183 INVITE");
    b2.reliable(&mut lab, "183 Session Progress", 9, &sdp(2));
    pracked(&mut lab, &b2, "9 1 INVITE", "");
    lab.expect_nothing();
    b2.respond_with(&mut lab, "200 OK", &[], "");
    b1.cancelled(&mut lab);
    assert_eq!(caller.answered_and_acked(&mut lab).body, sdp(2));
    lab.expect(B2, "ACK");
    hang_up_and_finish(lab, caller, &b2);
}

#[test]
fn while_one_answer_waits_for_the_callers_prack_anothers_200_waits_too() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (mut caller, [b1, b2]) = group::call_with(&mut lab, &RELIABLE, [B1, B2]);
    b1.reliable(&mut lab, "183 Session Progress", 5, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    b2.respond_with(&mut lab, "200 OK", &[], &sdp(2));
    // B1 has lost at once; the caller hears of it after its PRACK.
    b1.cancelled(&mut lab);
    lab.expect_nothing();
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(&mut lab, &progress, "");
    a.expect_response(&mut lab, &prack, 200);
    caller.cseq = a.cseq;
    assert_eq!(caller.answered_and_acked(&mut lab).body, "");
    lab.expect(B2, "ACK");
    let offer = a.expect(&mut lab, "UPDATE");
    assert_eq!(offer.body, sdp(2));
    a.respond(&mut lab, &offer, "200 OK", &[], &sdp(3));
    bye_and_finish(lab, a, &Party::callee(&b2));
}

#[test]
fn a_held_response_of_a_phone_that_has_failed_is_not_passed_on() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (caller, [b1, b2]) = group::call_with(&mut lab, &RELIABLE, [B1, B2]);
    b1.reliable(&mut lab, "183 Session Progress", 5, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    b2.ring(&mut lab);
    b2.reject(&mut lab, "486 Busy Here");
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(&mut lab, &progress, "");
    let relayed = lab.expect(B1, "PRACK");
    b1.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &prack, 200);
    lab.expect_nothing();
    refuse_and_finish(lab, &caller, &b1);
}

#[test]
fn a_prack_for_a_phone_that_has_failed_is_answered_and_the_other_is_heard() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (caller, [b1, b2]) = group::call_with(&mut lab, &RELIABLE, [B1, B2]);
    b1.reliable(&mut lab, "183 Session Progress", 5, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    b2.ring(&mut lab);
    b1.reject(&mut lab, "486 Busy Here");
    lab.expect_nothing();
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(&mut lab, &progress, "");
    a.expect_response(&mut lab, &prack, 200);
    lab.expect(A, "180 INVITE");
    refuse_and_finish(lab, &caller, &b2);
}

#[test]
fn without_the_callers_prack_all_phones_are_cancelled() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (caller, [b1, b2]) = group::call_with(&mut lab, &RELIABLE, [B1, B2]);
    b1.reliable(&mut lab, "183 Session Progress", 5, &sdp(1));
    b2.ring(&mut lab);
    // The group's no-answer timer is not what this is about.
    lab.advance(19_000);
    assert!(lab.sent().iter().all(|sent| sent == "A 183 INVITE"));
    caller.cancel(&mut lab);
    lab.expect(A, "200 CANCEL");
    caller.refused(&mut lab, 487);
    b1.cancelled(&mut lab);
    b2.cancelled(&mut lab);
    lab.finish();
}

#[test]
fn a_missing_prack_ends_the_call_with_504_and_cancels_all_phones() {
    let mut lab = group::lab_with(&[1_000, 1_000], |setup| setup.settings.no_answer_ms = 60_000);
    let (caller, [b1, b2]) = group::call_with(&mut lab, &RELIABLE, [B1, B2]);
    b1.reliable(&mut lab, "183 Session Progress", 5, &sdp(1));
    b2.ring(&mut lab);
    lab.advance(31_900);
    assert!(lab.sent().iter().all(|sent| sent == "A 183 INVITE"));
    lab.advance(200);
    b1.cancelled(&mut lab);
    b2.cancelled(&mut lab);
    caller.refused(&mut lab, 504);
    assert_eq!(lab.metrics().pracks_missing, 1);
    lab.finish();
}

#[test]
fn the_callers_requests_go_to_the_phone_that_was_heard_from_last() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    b1.ring(&mut lab);
    let mut a = Party::caller(&caller, &lab.expect(A, "180 INVITE"));
    let info = a.request(&mut lab, "INFO", &[], "");
    let relayed = lab.expect(B1, "INFO");
    b1.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &info, 200);
    b2.ring(&mut lab);
    let info = a.request(&mut lab, "INFO", &["Content-Type: text/plain"], "hello");
    let relayed = lab.expect(B2, "INFO");
    assert_eq!((relayed.to_tag.as_str(), relayed.cseq, relayed.body.as_str()), (b2.tag.as_str(), 2, "hello"));
    assert_eq!(relayed.call_id, b2.invite.call_id);
    b2.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &info, 200);
    // When that one fails they go to the other again.
    b2.reject(&mut lab, "486 Busy Here");
    let info = a.request(&mut lab, "INFO", &[], "");
    let relayed = lab.expect(B1, "INFO");
    assert_eq!(relayed.cseq, 3);
    b1.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &info, 200);
    refuse_and_finish(lab, &caller, &b1);
}

#[test]
fn a_request_that_a_loser_did_not_answer_gets_500() {
    for wins in [true, false] {
        let mut lab = group::lab(&[1_000, 1_000]);
        let (mut caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
        b1.ring(&mut lab);
        let mut a = Party::caller(&caller, &lab.expect(A, "180 INVITE"));
        let info = a.request(&mut lab, "INFO", &[], "");
        lab.expect(B1, "INFO");
        if wins {
            b2.respond(&mut lab, "200 OK");
            b1.cancelled(&mut lab);
        } else {
            b1.reject(&mut lab, "486 Busy Here");
        }
        a.expect_response(&mut lab, &info, 500);
        caller.cseq = a.cseq;
        match wins {
            true => {
                caller.answered_and_acked(&mut lab);
                lab.expect(B2, "ACK");
            }
            false => {
                b2.reject(&mut lab, "486 Busy Here");
                caller.refused(&mut lab, 486);
            }
        }
        // Timer E repeats the INFO to B1 until it gives up: not this test's matter.
        lab.abandon();
    }
}

#[test]
fn a_phones_request_reaches_the_caller_while_it_is_the_one_that_is_heard() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    b1.ring(&mut lab);
    let a = Party::caller(&caller, &lab.expect(A, "180 INVITE"));
    b2.ring(&mut lab);
    let (mut one, mut two) = (Party::callee(&b1), Party::callee(&b2));
    let info = two.request(&mut lab, "INFO", &[], "");
    let relayed = lab.expect(A, "INFO");
    a.answer(&mut lab, &relayed, "200 OK");
    two.expect_response(&mut lab, &info, 200);
    // The other may ask again later.
    let info = one.request(&mut lab, "INFO", &[], "");
    one.expect_response(&mut lab, &info, 500);
    lab.expect_nothing();
    b2.reject(&mut lab, "486 Busy Here");
    let info = one.request(&mut lab, "INFO", &[], "");
    let relayed = lab.expect(A, "INFO");
    a.answer(&mut lab, &relayed, "200 OK");
    one.expect_response(&mut lab, &info, 200);
    refuse_and_finish(lab, &caller, &b1);
}

#[test]
fn an_update_in_the_confirmed_early_dialog_goes_to_its_phone_though_another_rings() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (mut caller, mut a, [b1, b2]) = answered_early(&mut lab);
    b2.ring(&mut lab);
    lab.expect_nothing();
    let update = a.update(&mut lab, &sdp(11));
    let relayed = lab.expect(B1, "UPDATE");
    assert_eq!((relayed.to_tag.as_str(), relayed.body.as_str()), (b1.tag.as_str(), sdp(11).as_str()));
    Party::callee(&b1).respond(&mut lab, &relayed, "200 OK", &[], &sdp(12));
    assert_eq!(a.expect_response(&mut lab, &update, 200).body, sdp(12));
    b1.respond_with(&mut lab, "200 OK", &[], "");
    b2.cancelled(&mut lab);
    caller.cseq = a.cseq;
    caller.answered_and_acked(&mut lab);
    lab.expect(B1, "ACK");
    bye_and_finish(lab, a, &Party::callee(&b1));
}

#[test]
fn a_phones_bye_before_it_has_answered_gets_481() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (caller, [b1, b2]) = group::two_ring(&mut lab);
    let mut one = Party::callee(&b1);
    let bye = one.request(&mut lab, "BYE", &[], "");
    one.expect_response(&mut lab, &bye, 481);
    b1.reject(&mut lab, "486 Busy Here");
    refuse_and_finish(lab, &caller, &b2);
}

#[test]
fn a_422_is_met_by_the_phone_that_sent_it_alone() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    b2.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    b1.respond_with(&mut lab, "422 Session Interval Too Small", &["Min-SE: 1800"], "");
    lab.expect(B1, "ACK");
    let [again] = group::started(&mut lab, [B1]);
    assert_eq!(again.invite.one("Session-Expires"), "1800");
    assert_eq!(again.invite.one("Min-SE"), "1800");
    assert_eq!(again.invite.one("CSeq"), "2 INVITE");
    assert_eq!(again.invite.request_uri, b1.invite.request_uri);
    assert_eq!(again.invite.one("To"), b1.invite.one("To"));
    assert_eq!((&again.invite.call_id, &again.invite.from_tag), (&b1.invite.call_id, &b1.invite.from_tag));
    assert_ne!(again.invite.branch, b1.invite.branch);
    again.ring(&mut lab);
    lab.expect_nothing();
    again.respond(&mut lab, "200 OK");
    b2.cancelled(&mut lab);
    talk_and_finish(lab, caller, &again);
}

#[test]
fn a_422_without_a_usable_min_se_is_a_failure_like_any_other() {
    for lines in [&[][..], &["Min-SE: 90"], &["Min-SE: abc"]] {
        let mut lab = group::lab(&[1_000, 1_000]);
        let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
        b1.respond_with(&mut lab, "422 Session Interval Too Small", lines, "");
        lab.expect(B1, "ACK");
        lab.expect_nothing();
        b2.respond(&mut lab, "200 OK");
        talk_and_finish(lab, caller, &b2);
    }
}

#[test]
fn two_phones_may_want_two_intervals() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    let mut again = Vec::new();
    for (leg, seconds) in [(&b1, "600"), (&b2, "1200")] {
        leg.respond_with(&mut lab, "422 Small", &[&format!("Min-SE: {seconds}")], "");
        lab.expect(leg.peer, "ACK");
        let [retried] = group::started(&mut lab, [leg.peer]);
        assert_eq!(retried.invite.one("Session-Expires"), seconds);
        again.push(retried);
    }
    again[0].respond(&mut lab, "100 Trying");
    again[1].respond(&mut lab, "200 OK");
    again[0].cancelled(&mut lab);
    talk_and_finish(lab, caller, &again[1]);
}

#[test]
fn after_a_422_a_cancel_names_the_second_invite() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    b1.respond_with(&mut lab, "422 Small", &["Min-SE: 600"], "");
    lab.expect(B1, "ACK");
    let [again] = group::started(&mut lab, [B1]);
    b2.respond(&mut lab, "200 OK");
    lab.expect(A, "200 INVITE");
    again.respond(&mut lab, "100 Trying");
    let cancel = lab.expect(B1, "CANCEL");
    assert_eq!((cancel.cseq, &cancel.branch), (2, &again.invite.branch));
    again.answer(&mut lab, &cancel, "200 OK");
    again.reject(&mut lab, "487 Request Terminated");
    let mut caller = caller;
    caller.answer = Some(lab.last_to(A));
    caller.ack(&mut lab, "");
    lab.expect(B2, "ACK");
    hang_up_and_finish(lab, caller, &b2);
}

#[test]
fn a_422_of_a_phone_whose_binding_has_expired_is_a_failure() {
    let mut lab = group::lab_with(&[1_000], |setup: &mut Setup| {
        let mut short = group::binding(B2, 1_000);
        short.expires_at = ringway::clock::UnixSeconds(lab::STARTED.0 + 2);
        setup.bind_as(B2, short);
    });
    let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    b1.respond(&mut lab, "100 Trying");
    b2.respond(&mut lab, "100 Trying");
    lab.advance(2_000);
    b2.respond_with(&mut lab, "422 Small", &["Min-SE: 600"], "");
    lab.expect(B2, "ACK");
    lab.expect_nothing();
    b1.respond(&mut lab, "200 OK");
    talk_and_finish(lab, caller, &b1);
}

#[test]
fn two_late_offers_get_the_callers_one_answer() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let mut invite = lab::caller::Invite::new(&mut lab, A, "1004").body("");
    invite.lines = RELIABLE.iter().map(|line| line.to_string()).collect();
    let mut caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let [b1, b2] = group::started(&mut lab, [B1, B2]);
    b1.reliable(&mut lab, "183 Session Progress", 5, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    assert_eq!(progress.body, sdp(1));
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(&mut lab, &progress, &sdp(7));
    let relayed = lab.expect(B1, "PRACK");
    assert_eq!(relayed.body, sdp(7));
    b1.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &prack, 200);
    b2.reliable(&mut lab, "183 Session Progress", 5, &sdp(2));
    pracked(&mut lab, &b2, "5 1 INVITE", &sdp(7));
    lab.expect_nothing();
    b1.respond_with(&mut lab, "200 OK", &[], "");
    b2.cancelled(&mut lab);
    caller.cseq = a.cseq;
    caller.answered_and_acked(&mut lab);
    lab.expect(B1, "ACK");
    bye_and_finish(lab, a, &Party::callee(&b1));
}
