//! A leg's INVITE that a proxy forks: several To tags, one of which wins (RFC 3261 §12.1, §13.2.2.4, §19.3;
//! RFC 3262 §4; SIP_RULES 15).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::callee::{ANSWER, Leg};
use lab::caller::Caller;
use lab::party::{Party, bye_and_finish, calling, sdp};
use lab::peer::{A, C};
use lab::scene::{hang_up_and_finish, refuse_and_finish, talk_and_finish};
use lab::sip::Sip;
use lab::{Lab, T1X64_MS};

/// A calls C, whose proxy has found two phones.
#[track_caller]
fn forked(lab: &mut Lab, lines: &[&str]) -> (Caller, Leg, Leg) {
    let (caller, leg) = calling(lab, lines);
    let (one, two) = (leg.fork("one"), leg.fork("two"));
    (caller, one, two)
}

/// The fork's PRACK, answered.
#[track_caller]
fn pracked(lab: &mut Lab, leg: &Leg, rack: &str) {
    let prack = lab.expect(C, "PRACK");
    assert_eq!((prack.to_tag.as_str(), prack.one("RAck")), (leg.tag.as_str(), rack));
    leg.answer(lab, &prack, "200 OK");
}

#[test]
fn the_caller_sees_one_to_tag_whatever_tags_ring() {
    let mut lab = Lab::new();
    let (caller, one, two) = forked(&mut lab, &[]);
    let trying = lab.last_to(A);
    let mut tags = Vec::new();
    for (leg, status) in [(&one, "180 Ringing"), (&two, "180 Ringing"), (&one, "183 Session Progress")] {
        leg.respond(&mut lab, status);
        tags.push(lab.expect(A, &format!("{} INVITE", &status[..3])).to_tag);
    }
    two.respond(&mut lab, "200 OK");
    assert!(tags.iter().all(|tag| *tag == trying.to_tag));
    assert_eq!(lab.last_to(A).to_tag, trying.to_tag);
    talk_and_finish(lab, caller, &two);
}

#[test]
fn the_callers_requests_go_to_the_tag_that_rang_last() {
    let mut lab = Lab::new();
    let (caller, one, two) = forked(&mut lab, &[]);
    one.respond(&mut lab, "180 Ringing");
    let ringing = lab.expect(A, "180 INVITE");
    let mut a = Party::caller(&caller, &ringing);
    two.respond(&mut lab, "180 Ringing");
    lab.expect(A, "180 INVITE");
    let info = a.request(&mut lab, "INFO", &[], "");
    let relayed = lab.expect(C, "INFO");
    assert_eq!(relayed.to_tag, "two");
    two.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &info, 200);
    one.respond(&mut lab, "183 Session Progress");
    lab.expect(A, "183 INVITE");
    let info = a.request(&mut lab, "INFO", &[], "");
    let relayed = lab.expect(C, "INFO");
    assert_eq!((relayed.to_tag.as_str(), relayed.cseq), ("one", 2), "each early dialog counts by itself");
    one.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &info, 200);
    refuse_and_finish(lab, &caller, &one);
}

#[test]
fn a_refers_notify_is_known_though_another_tag_has_rung_in_between() {
    let mut lab = Lab::new();
    let (mut caller, one, two) = forked(&mut lab, &[]);
    one.respond(&mut lab, "180 Ringing");
    let mut a = Party::caller(&caller, &lab.expect(A, "180 INVITE"));
    let refer = a.request(&mut lab, "REFER", &["Refer-To: <sip:1006@127.0.0.60>"], "");
    let relayed = lab.expect(C, "REFER");
    two.respond(&mut lab, "180 Ringing");
    one.answer(&mut lab, &relayed, "202 Accepted");
    one.respond(&mut lab, "200 OK");
    lab.expect(A, "180 INVITE");
    a.expect_response(&mut lab, &refer, 202);
    caller.answered(&mut lab);
    caller.ack(&mut lab, "");
    lab.expect(C, "ACK");
    let mut c = Party::callee(&one);
    let notify = c.request(&mut lab, "NOTIFY", &[&format!("Event: refer;id={}", relayed.cseq)], "");
    let seen = lab.expect(A, "NOTIFY");
    // RFC 3515 §2.4.6: the id is the REFER's CSeq.
    assert_eq!(seen.one("Event"), format!("refer;id={}", refer.cseq));
    a.answer(&mut lab, &seen, "200 OK");
    c.expect_response(&mut lab, &notify, 200);
    bye_and_finish(lab, a, &c);
}

#[test]
fn the_first_answer_wins_whoever_rang_last() {
    let mut lab = Lab::new();
    let (caller, one, two) = forked(&mut lab, &[]);
    one.respond(&mut lab, "180 Ringing");
    two.respond(&mut lab, "180 Ringing");
    assert_eq!(lab.sent(), ["A 180 INVITE"; 2]);
    one.respond_with(&mut lab, "200 OK", &[], &sdp(1));
    assert_eq!(lab.last_to(A).body, sdp(1));
    talk_and_finish(lab, caller, &one);
}

#[test]
fn a_tag_that_never_rang_may_answer() {
    let mut lab = Lab::new();
    let (caller, one, two) = forked(&mut lab, &[]);
    one.respond(&mut lab, "180 Ringing");
    lab.expect(A, "180 INVITE");
    two.respond(&mut lab, "200 OK");
    talk_and_finish(lab, caller, &two);
}

/// A second fork's 200 gets its ACK and a BYE at the Contact that it names.
#[track_caller]
fn acked_and_byed(lab: &mut Lab, leg: &Leg, target: &str) -> (Sip, Sip) {
    let ack = lab.expect(C, "ACK");
    let bye = lab.expect(C, "BYE");
    assert_eq!((ack.to_tag.as_str(), bye.to_tag.as_str()), (leg.tag.as_str(), leg.tag.as_str()));
    assert_eq!((ack.request_uri.as_str(), bye.request_uri.as_str()), (target, target));
    leg.answer(lab, &bye, "200 OK");
    (ack, bye)
}

#[test]
fn every_further_answer_is_acked_and_byed() {
    let mut lab = Lab::new();
    let (mut caller, one, two) = forked(&mut lab, &[]);
    let three = one.fork("three");
    one.respond(&mut lab, "200 OK");
    caller.answered(&mut lab);
    two.respond_with(&mut lab, "200 OK", &["Contact: <sip:two@127.0.0.138>"], ANSWER);
    acked_and_byed(&mut lab, &two, "sip:two@127.0.0.138");
    three.respond(&mut lab, "200 OK");
    acked_and_byed(&mut lab, &three, "sip:1005@127.0.0.138:5060");
    // The winner is not acknowledged before the caller's ACK.
    lab.expect_nothing();
    caller.ack(&mut lab, "");
    assert_eq!(lab.expect(C, "ACK").to_tag, "one");
    hang_up_and_finish(lab, caller, &one);
}

#[test]
fn a_further_answer_that_comes_late_is_acked_and_byed() {
    for wait_ms in [8, 1_000, T1X64_MS - 1_000] {
        let mut lab = Lab::new();
        let (mut caller, one, two) = forked(&mut lab, &[]);
        one.respond(&mut lab, "200 OK");
        caller.answered_and_acked(&mut lab);
        lab.expect(C, "ACK");
        lab.advance(wait_ms);
        let text = two.respond(&mut lab, "200 OK");
        let (ack, _) = acked_and_byed(&mut lab, &two, "sip:1005@127.0.0.138:5060");
        lab.send(C, &text);
        if wait_ms < 10_000 {
            assert_eq!(lab.expect(C, "ACK"), ack, "it did not hear the ACK");
        } else {
            lab.sent();
        }
        hang_up_and_finish(lab, caller, &one);
    }
}

#[test]
fn a_further_answer_after_the_calls_end_is_acked_and_byed() {
    let mut lab = Lab::new();
    let (mut caller, one, two) = forked(&mut lab, &[]);
    one.respond(&mut lab, "200 OK");
    caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    caller.bye(&mut lab);
    lab.expect(A, "200 BYE");
    one.hung_up(&mut lab);
    two.respond(&mut lab, "200 OK");
    acked_and_byed(&mut lab, &two, "sip:1005@127.0.0.138:5060");
    lab.finish();
}

#[test]
fn both_forks_that_answer_after_the_callers_cancel_are_acked_and_byed() {
    let mut lab = Lab::new();
    let (caller, one, two) = forked(&mut lab, &[]);
    one.respond(&mut lab, "180 Ringing");
    lab.expect(A, "180 INVITE");
    caller.cancel(&mut lab);
    lab.expect(A, "200 CANCEL");
    caller.refused(&mut lab, 487);
    let cancel = lab.expect(C, "CANCEL");
    assert!(cancel.to_tag.is_empty());
    for leg in [&one, &two] {
        leg.respond(&mut lab, "200 OK");
        acked_and_byed(&mut lab, leg, "sip:1005@127.0.0.138:5060");
    }
    one.answer(&mut lab, &cancel, "200 OK");
    lab.finish();
}

#[test]
fn each_tag_numbers_its_reliable_responses_by_itself() {
    let mut lab = Lab::new();
    let (caller, one, two) = forked(&mut lab, &["Supported: 100rel"]);
    for (leg, number) in [(&one, 5), (&two, 5), (&one, 6), (&two, 6)] {
        leg.reliable(&mut lab, "180 Ringing", number, "");
        lab.expect(A, "180 INVITE");
        pracked(&mut lab, leg, &format!("{number} 1 INVITE"));
    }
    for (leg, number) in [(&one, 6), (&two, 6), (&one, 8), (&two, 4)] {
        leg.reliable(&mut lab, "180 Ringing", number, "");
        lab.expect_nothing();
    }
    refuse_and_finish(lab, &caller, &two);
}

#[test]
fn the_callers_prack_goes_to_the_tag_whose_answer_it_confirms() {
    let mut lab = Lab::new();
    let (caller, one, two) = forked(&mut lab, &["Supported: 100rel"]);
    one.reliable(&mut lab, "183 Session Progress", 5, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    // Held back: the caller has a reliable response to confirm.
    two.respond(&mut lab, "180 Ringing");
    lab.expect_nothing();
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(&mut lab, &progress, "");
    let relayed = lab.expect(C, "PRACK");
    assert_eq!((relayed.to_tag.as_str(), relayed.one("RAck")), ("one", "5 1 INVITE"));
    one.answer(&mut lab, &relayed, "200 OK");
    let mut to_caller = [lab.expect_any(A), lab.expect_any(A)];
    to_caller.sort();
    assert_eq!(to_caller, ["180 INVITE", "200 PRACK"]);
    assert_eq!(lab.trace.iter().filter(|entry| entry.summary() == "A 200 PRACK").count(), 1);
    assert_eq!(prack.method, "PRACK");
    refuse_and_finish(lab, &caller, &two);
}

#[test]
fn the_early_dialogs_answer_stands_in_the_200_of_the_tag_that_gave_it_only() {
    let mut lab = Lab::new();
    let (mut caller, one, two) = forked(&mut lab, &[]);
    one.reliable(&mut lab, "183 Session Progress", 5, &sdp(1));
    assert_eq!(lab.expect(A, "183 INVITE").body, sdp(1));
    pracked(&mut lab, &one, "5 1 INVITE");
    two.reliable(&mut lab, "183 Session Progress", 5, &sdp(2));
    assert_eq!(lab.expect(A, "183 INVITE").body, sdp(2));
    pracked(&mut lab, &two, "5 1 INVITE");
    two.respond_with(&mut lab, "200 OK", &[], "");
    assert_eq!(caller.answered_and_acked(&mut lab).body, sdp(2));
    lab.expect(C, "ACK");
    hang_up_and_finish(lab, caller, &two);
}

#[test]
fn when_another_tag_than_the_one_that_answered_early_wins_the_caller_gets_its_sdp_as_an_offer() {
    let mut lab = Lab::new();
    let lines = ["Supported: 100rel", "Allow: INVITE, ACK, CANCEL, BYE, PRACK, UPDATE"];
    let (mut caller, one, two) = forked(&mut lab, &lines);
    one.reliable(&mut lab, "183 Session Progress", 5, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(&mut lab, &progress, "");
    let relayed = lab.expect(C, "PRACK");
    one.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &prack, 200);
    two.respond_with(&mut lab, "200 OK", &[], &sdp(2));
    assert_eq!(caller.answered_and_acked(&mut lab).body, "");
    assert_eq!(lab.expect(C, "ACK").to_tag, "two");
    let offer = a.expect(&mut lab, "UPDATE");
    assert_eq!(offer.body, sdp(2));
    a.respond(&mut lab, &offer, "200 OK", &[], &sdp(3));
    bye_and_finish(lab, a, &Party::callee(&two));
}

#[test]
fn a_prack_that_waits_for_the_tag_that_lost_is_answered_when_the_other_wins() {
    let mut lab = Lab::new();
    let lines = ["Supported: 100rel", "Allow: INVITE, ACK, CANCEL, BYE, PRACK, UPDATE"];
    let (mut caller, one, two) = forked(&mut lab, &lines);
    one.reliable(&mut lab, "183 Session Progress", 5, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(&mut lab, &progress, "");
    lab.expect(C, "PRACK");
    two.respond_with(&mut lab, "200 OK", &[], &sdp(2));
    a.expect_response(&mut lab, &prack, 200);
    caller.cseq = a.cseq;
    assert_eq!(caller.answered_and_acked(&mut lab).body, "");
    lab.expect(C, "ACK");
    let offer = a.expect(&mut lab, "UPDATE");
    a.respond(&mut lab, &offer, "200 OK", &[], &sdp(3));
    lab.abandon();
}

#[test]
fn a_prack_that_waits_for_the_tag_that_wins_is_answered_there_though_another_rang_meanwhile() {
    let mut lab = Lab::new();
    let (mut caller, one, two) = forked(&mut lab, &["Supported: 100rel"]);
    one.reliable(&mut lab, "183 Session Progress", 5, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(&mut lab, &progress, &sdp(2));
    let relayed = lab.expect(C, "PRACK");
    two.respond(&mut lab, "180 Ringing");
    lab.expect(A, "180 INVITE");
    one.respond_with(&mut lab, "200 OK", &[], &sdp(1));
    caller.cseq = a.cseq;
    caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    Party::callee(&one).respond(&mut lab, &relayed, "200 OK", &[], &sdp(3));
    assert_eq!(a.expect_response(&mut lab, &prack, 200).body, sdp(3));
    bye_and_finish(lab, a, &Party::callee(&one));
}

#[test]
fn a_request_with_a_tag_that_never_rang_gets_481() {
    let mut lab = Lab::new();
    let (caller, one, two) = forked(&mut lab, &[]);
    one.respond(&mut lab, "180 Ringing");
    lab.expect(A, "180 INVITE");
    for method in ["INFO", "UPDATE", "BYE", "DANCE"] {
        let mut stranger = Party::callee(&two);
        let request = stranger.request(&mut lab, method, &[], "");
        stranger.expect_response(&mut lab, &request, 481);
    }
    lab.expect_nothing();
    refuse_and_finish(lab, &caller, &one);
}

#[test]
fn after_the_answer_the_losers_requests_get_481() {
    let mut lab = Lab::new();
    let (mut caller, one, two) = forked(&mut lab, &[]);
    one.respond(&mut lab, "180 Ringing");
    lab.expect(A, "180 INVITE");
    two.respond(&mut lab, "200 OK");
    caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    let mut loser = Party::callee(&one);
    let info = loser.request(&mut lab, "INFO", &[], "");
    loser.expect_response(&mut lab, &info, 481);
    // The winner's is relayed.
    let mut winner = Party::callee(&two);
    let info = winner.request(&mut lab, "INFO", &[], "");
    let relayed = lab.expect(A, "INFO");
    caller.respond(&mut lab, &relayed, "200 OK");
    winner.expect_response(&mut lab, &info, 200);
    hang_up_and_finish(lab, caller, &two);
}

#[test]
fn the_no_answer_timer_is_one_for_all_tags() {
    let mut lab = Lab::new();
    let (caller, b) = lab::scene::ringing(&mut lab);
    lab.advance(10_000);
    b.fork("another").respond(&mut lab, "180 Ringing");
    lab.expect(A, "180 INVITE");
    lab.advance(9_990);
    lab.expect_nothing();
    lab.advance(16);
    lab.expect(A, "181 INVITE");
    b.cancelled(&mut lab);
    let c = Leg::expect(&mut lab, C);
    refuse_and_finish(lab, &caller, &c);
}
