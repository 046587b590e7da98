//! What crosses on the wire, is lost or never ends in the middle of something else: each side is still
//! answered and nothing stays behind (SIP_RULES 18, 26, 28).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::callee::{ANSWER, Leg};
use lab::caller::Caller;
use lab::party::{
    Early, Party, Talk, accepted, both_byed_and_finish, both_ways, both_ways_in, bye_and_finish, calling,
    calling_to, sdp,
};
use lab::peer::{A, B, C};
use lab::scene::{hang_up_and_finish, refuse_and_finish, talk_and_finish};
use lab::sip::Sip;
use lab::{Lab, T1X64_MS};
use ringway::shard::Shard;

const RELIABLE: [&str; 2] = ["Supported: 100rel", "Allow: INVITE, ACK, CANCEL, BYE, PRACK, UPDATE"];

/// An UPDATE with an offer passes and is answered.
#[track_caller]
fn updated(lab: &mut Lab, asker: &mut Party, other: &Party) {
    let update = asker.update(lab, &sdp(7));
    let relayed = other.expect(lab, "UPDATE");
    other.respond(lab, &relayed, "200 OK", &[], &sdp(8));
    assert_eq!(asker.expect_response(lab, &update, 200).body, sdp(8));
}

#[test]
fn an_update_that_nobody_answers_ends_the_call_and_gets_no_408() {
    // RFC 3261 §12.2.1.2, RFC 4320 §4.2.
    for Talk { mut lab, mut asker, other } in both_ways() {
        asker.update(&mut lab, &sdp(1));
        lab.advance(T1X64_MS - 100);
        assert_eq!(lab.sent(), vec![format!("{} UPDATE", other.peer.name); 11]);
        lab.advance(200);
        both_byed_and_finish(lab, &asker, &other);
    }
}

#[test]
fn an_offer_that_a_leg_took_with_it_does_not_stop_later_ones() {
    let mut lab = Lab::new();
    let (caller, b, mut a) = answered_early(&mut lab);
    let update = a.update(&mut lab, &sdp(2));
    lab.expect(B, "UPDATE");
    // B never answers it and is given up.
    lab.advance(20_000);
    a.expect_response(&mut lab, &update, 500);
    let (mut caller, c) = forwarded(&mut lab, caller, &b);
    c.respond(&mut lab, "100 Trying");
    lab.advance(T1X64_MS);
    let sent = lab.sent();
    assert!(sent.iter().all(|sent| sent.starts_with("B ") || sent.ends_with("A 500 UPDATE")), "{sent:?}");
    c.respond_with(&mut lab, "200 OK", &[], &sdp(1));
    caller.answered(&mut lab);
    caller.ack(&mut lab, "");
    lab.expect(C, "ACK");
    if lab.last_to(A).method == "UPDATE" && lab.last_to(A).is_request() {
        let offer = lab.expect(A, "UPDATE");
        a.respond(&mut lab, &offer, "200 OK", &[], &sdp(9));
    }
    let c = Party::callee(&c);
    updated(&mut lab, &mut a, &c);
    bye_and_finish(lab, a, &c);
}

/// A's call to B is answered early in a reliable 183 of B's; B does not answer.
#[track_caller]
fn answered_early(lab: &mut Lab) -> (Caller, Leg, Party) {
    let (caller, b) = calling_to(lab, B, &RELIABLE);
    b.reliable(lab, "183 Session Progress", 1, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(lab, &progress, "");
    let relayed = lab.expect(B, "PRACK");
    b.answer(lab, &relayed, "200 OK");
    a.expect_response(lab, &prack, 200);
    (caller, b, a)
}

/// B's CANCEL is answered, C has its INVITE.
#[track_caller]
fn forwarded(lab: &mut Lab, caller: Caller, b: &Leg) -> (Caller, Leg) {
    while lab.next_to(B) != "CANCEL" {
        lab.expect_any(B);
    }
    b.cancelled(lab);
    lab.expect(A, "181 INVITE");
    (caller, Leg::expect(lab, C))
}

#[test]
fn a_prack_for_a_leg_that_was_given_up_is_answered_here() {
    let mut lab = Lab::new();
    let (mut caller, b) = calling_to(&mut lab, B, &RELIABLE);
    b.reliable(&mut lab, "183 Session Progress", 1, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    b.reject(&mut lab, "408 Request Timeout");
    let c = Leg::expect(&mut lab, C);
    let mut a = Party::caller(&caller, &progress);
    // RFC 3262 §3: it matches, so it is a 2xx.
    let prack = a.prack(&mut lab, &progress, "");
    a.expect_response(&mut lab, &prack, 200);
    caller.cseq = a.cseq;
    c.ring(&mut lab);
    let heard = lab.sent();
    assert!(heard.contains(&"A 180 INVITE".to_string()), "{heard:?}");
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn an_offer_in_a_prack_that_nobody_can_be_asked_about_is_not_accepted_unanswered() {
    let mut lab = Lab::new();
    let (mut caller, leg) = calling(&mut lab, &["Require: 100rel"]);
    leg.respond_with(&mut lab, "183 Session Progress", &[], &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    let mut a = Party::caller(&caller, &progress);
    // The callee's 183 was not reliable: there is nothing to PRACK there.
    let prack = a.prack(&mut lab, &progress, &sdp(2));
    if lab.sent_to(C).last().is_some_and(|last| last == "UPDATE") {
        let relayed = lab.expect(C, "UPDATE");
        Party::callee(&leg).respond(&mut lab, &relayed, "200 OK", &[], &sdp(3));
    }
    let answer = lab.expect_any(A);
    let is_answered = !lab.last_to(A).body.is_empty();
    assert!(answer != "200 PRACK" || is_answered, "a 200 without an answer to {}", prack.text());
    caller.cseq = a.cseq;
    caller.cancel(&mut lab);
    lab.expect(A, "200 CANCEL");
    caller.refused(&mut lab, 487);
    leg.cancelled(&mut lab);
    lab.finish();
}

#[test]
fn a_prack_that_the_callee_never_answers_leaves_the_call_to_go_on() {
    let mut lab = Lab::new();
    let (mut caller, leg) = calling(&mut lab, &RELIABLE);
    leg.reliable(&mut lab, "183 Session Progress", 1, ANSWER);
    let progress = lab.expect(A, "183 INVITE");
    let mut a = Party::caller(&caller, &progress);
    a.prack(&mut lab, &progress, "");
    lab.expect(C, "PRACK");
    lab.advance(T1X64_MS + 100);
    assert!(lab.sent().iter().all(|sent| sent == "C PRACK"));
    leg.respond_with(&mut lab, "200 OK", &[], "");
    caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    bye_and_finish(lab, a, &Party::callee(&leg));
}

#[test]
fn a_cancel_while_a_prack_is_under_way_ends_the_call() {
    let mut lab = Lab::new();
    let (caller, leg) = calling(&mut lab, &RELIABLE);
    leg.reliable(&mut lab, "183 Session Progress", 1, ANSWER);
    let progress = lab.expect(A, "183 INVITE");
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(&mut lab, &progress, "");
    let relayed = lab.expect(C, "PRACK");
    caller.cancel(&mut lab);
    lab.expect(A, "200 CANCEL");
    caller.refused(&mut lab, 487);
    let cancel = lab.expect(C, "CANCEL");
    leg.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &prack, 200);
    leg.answer(&mut lab, &cancel, "200 OK");
    leg.reject(&mut lab, "487 Request Terminated");
    lab.finish();
}

#[test]
fn a_bye_before_the_ack_to_a_re_invites_200_ends_the_call_and_the_200_is_acknowledged() {
    for asker_hangs_up in [true, false] {
        for Talk { mut lab, mut asker, mut other } in both_ways() {
            let invite = asker.invite(&mut lab, &sdp(1));
            asker.expect_response(&mut lab, &invite, 100);
            let relayed = other.expect(&mut lab, "INVITE");
            other.respond(&mut lab, &relayed, "200 OK", &[], &sdp(2));
            asker.expect_response(&mut lab, &invite, 200);
            let (ends, ended) = if asker_hangs_up { (&mut asker, &other) } else { (&mut other, &asker) };
            let bye = ends.request(&mut lab, "BYE", &[], "");
            let to_ends = lab.sent_to(ends.peer);
            assert!(to_ends.contains(&"200 BYE".to_string()), "{to_ends:?}");
            drop(bye);
            let bye = lab.last_to(ended.peer);
            if !asker_hangs_up && bye.method != "BYE" {
                // RFC 3261 §15: its BYE may wait for its ACK.
                asker.ack(&mut lab, &invite, "");
            }
            let bye = lab.last_to(if asker_hangs_up { other.peer } else { asker.peer });
            assert_eq!(bye.method, "BYE");
            let ended = if asker_hangs_up { &other } else { &asker };
            ended.answer(&mut lab, &bye, "200 OK");
            assert!(lab.sent_to(other.peer).iter().filter(|sent| *sent == "ACK").count() >= 1);
            lab.sent();
            lab.advance(T1X64_MS + 1_000);
            lab.sent();
            lab.finish();
        }
    }
}

#[test]
fn a_late_offer_that_is_never_answered_ends_the_call() {
    for Talk { mut lab, mut asker, other } in both_ways() {
        let invite = asker.invite(&mut lab, "");
        asker.expect_response(&mut lab, &invite, 100);
        let relayed = other.expect(&mut lab, "INVITE");
        other.respond(&mut lab, &relayed, "200 OK", &[], &sdp(2));
        lab.advance(T1X64_MS - 8);
        lab.sent();
        lab.advance(40);
        other.expect(&mut lab, "ACK");
        both_byed_and_finish(lab, &asker, &other);
    }
}

/// B answered early, C's answer is on its way to A as an offer of ours.
#[track_caller]
fn owed(lab: &mut Lab) -> (Party, Party, Sip) {
    let (caller, b, a) = answered_early(lab);
    lab.advance(20_000);
    let (mut caller, c) = forwarded(lab, caller, &b);
    c.respond_with(lab, "200 OK", &[], &sdp(2));
    assert_eq!(caller.answered_and_acked(lab).body, "");
    lab.expect(C, "ACK");
    let offer = a.expect(lab, "UPDATE");
    assert_eq!(offer.body, sdp(2));
    (a, Party::callee(&c), offer)
}

#[test]
fn our_offer_of_the_targets_sdp_comes_back_after_a_491() {
    let mut lab = Lab::new();
    let (a, c, offer) = owed(&mut lab);
    a.answer(&mut lab, &offer, "491 Request Pending");
    lab.advance(4_100);
    let again = lab.last_to(A);
    assert_eq!((again.method.as_str(), again.body.as_str()), ("UPDATE", sdp(2).as_str()));
    assert_ne!(again.cseq, offer.cseq);
    lab.sent();
    a.respond(&mut lab, &again, "200 OK", &[], &sdp(3));
    bye_and_finish(lab, a, &c);
}

#[test]
fn while_our_offer_is_open_the_callers_own_gets_491_and_the_callees_waits_or_is_refused() {
    let mut lab = Lab::new();
    let (mut a, mut c, offer) = owed(&mut lab);
    let update = a.update(&mut lab, &sdp(5));
    a.expect_response(&mut lab, &update, 491);
    let invite = a.invite(&mut lab, &sdp(5));
    a.refused(&mut lab, &invite, 491);
    let update = c.update(&mut lab, &sdp(6));
    let refused = lab.expect_any(C);
    assert!(["491 UPDATE", "500 UPDATE"].contains(&refused.as_str()), "{refused} to {}", update.text());
    a.respond(&mut lab, &offer, "200 OK", &[], &sdp(3));
    updated(&mut lab, &mut a, &c);
    bye_and_finish(lab, a, &c);
}

#[test]
fn our_offer_that_is_refused_leaves_a_call_that_can_be_hung_up() {
    let mut lab = Lab::new();
    let (a, c, offer) = owed(&mut lab);
    a.answer(&mut lab, &offer, "488 Not Acceptable Here");
    if lab.sent_to(A).last().is_some_and(|last| last == "BYE") {
        return both_byed_and_finish(lab, &a, &c);
    }
    bye_and_finish(lab, a, &c);
}

#[test]
fn an_update_without_a_body_is_answered_here_before_there_is_a_leg_to_ask() {
    let mut lab = Lab::new();
    let (caller, b, c) = lab::scene::diverted(&mut lab);
    let mut a = Party::caller(&caller, &lab.last_to(A));
    let update = a.update(&mut lab, "");
    a.expect_response(&mut lab, &update, 200);
    b.cancelled(&mut lab);
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn a_flood_of_tags_grows_nothing_and_the_answer_still_wins() {
    for reliable in [false, true] {
        let mut lab = Lab::new();
        let (caller, leg) = calling(&mut lab, if reliable { &RELIABLE } else { &[] });
        for number in 0..200 {
            let fork = leg.fork(&format!("tag{number}"));
            match reliable {
                true => drop(fork.reliable(&mut lab, "180 Ringing", 1, "")),
                false => drop(fork.respond(&mut lab, "180 Ringing")),
            }
            if lab.last_to(C).method == "PRACK" {
                let prack = lab.last_to(C);
                fork.answer(&mut lab, &prack, "200 OK");
            }
        }
        lab.sent();
        lab.advance(10_000);
        lab.sent();
        let last = leg.fork("tag199");
        // No more than eight are followed: each new one costs a PRACK, wherever its Contact says.
        let pracks = lab.sent_to(C).iter().filter(|sent| *sent == "PRACK").count();
        assert_eq!(pracks, if reliable { 8 } else { 0 });
        last.respond(&mut lab, "200 OK");
        talk_and_finish(lab, caller, &last);
    }
}

#[test]
fn an_info_that_grows_beyond_a_datagram_is_refused_and_the_call_lives() {
    for Talk { mut lab, mut asker, other } in both_ways() {
        let body = "x".repeat(64_950);
        let info = asker.request(&mut lab, "INFO", &["Content-Type: text/plain"], &body);
        let to_other = lab.sent_to(other.peer);
        if to_other.last().is_some_and(|last| last == "INFO") {
            let relayed = other.expect(&mut lab, "INFO");
            other.answer(&mut lab, &relayed, "200 OK");
            asker.expect_response(&mut lab, &info, 200);
        } else {
            asker.expect_response(&mut lab, &info, 513);
        }
        updated(&mut lab, &mut asker, &other);
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn a_draining_server_still_relays_what_belongs_to_a_call() {
    for Talk { mut lab, mut asker, other } in both_ways() {
        lab.shards.iter_mut().for_each(Shard::drain);
        updated(&mut lab, &mut asker, &other);
        let invite = asker.invite(&mut lab, &sdp(1));
        asker.expect_response(&mut lab, &invite, 100);
        let relayed = other.expect(&mut lab, "INVITE");
        accepted(&mut lab, &asker, &other, (&invite, &relayed));
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn every_shard_serves_its_own_calls_both_ways() {
    let many = || Lab::with(|setup| setup.shards = 4);
    for Talk { mut lab, mut asker, other } in both_ways_in(many, &[], &[]) {
        updated(&mut lab, &mut asker, &other);
        let invite = asker.invite(&mut lab, &sdp(1));
        asker.expect_response(&mut lab, &invite, 100);
        let relayed = other.expect(&mut lab, "INVITE");
        accepted(&mut lab, &asker, &other, (&invite, &relayed));
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn a_session_that_expires_while_a_re_invite_is_pending_ends_both_sides() {
    let theirs = ["Session-Expires: 90;refresher=uas", "Allow: INVITE, ACK, BYE, UPDATE"];
    let [Talk { mut lab, mut asker, other }, back] = both_ways_in(Lab::new, &[], &theirs);
    back.lab.abandon();
    lab.advance(50_000);
    let invite = asker.invite(&mut lab, &sdp(1));
    asker.expect_response(&mut lab, &invite, 100);
    let relayed = other.expect(&mut lab, "INVITE");
    other.answer(&mut lab, &relayed, "180 Ringing");
    asker.expect_response(&mut lab, &invite, 180);
    lab.advance(10_100);
    asker.refused_and_hung_up(&mut lab, &invite);
    while lab.next_to(C) != "BYE" {
        // A CANCEL of what rings may go before.
        let cancel = lab.expect(C, "CANCEL");
        other.answer(&mut lab, &cancel, "200 OK");
    }
    other.hung_up(&mut lab);
    other.refuse(&mut lab, &relayed, "487 Request Terminated");
    lab.finish();
}

#[test]
fn a_call_that_lasts_too_long_ends_in_the_middle_of_a_re_invite() {
    let short = || Lab::with(|setup| setup.settings.call_limit_ms = 60_000);
    for Talk { mut lab, mut asker, other } in both_ways_in(short, &[], &[]) {
        lab.advance(59_000);
        let invite = asker.invite(&mut lab, &sdp(1));
        asker.expect_response(&mut lab, &invite, 100);
        let relayed = other.expect(&mut lab, "INVITE");
        other.answer(&mut lab, &relayed, "100 Trying");
        lab.advance(1_100);
        asker.refused_and_hung_up(&mut lab, &invite);
        if lab.next_to(other.peer) == "CANCEL" {
            let cancel = other.expect(&mut lab, "CANCEL");
            other.answer(&mut lab, &cancel, "200 OK");
        }
        other.hung_up(&mut lab);
        other.refuse(&mut lab, &relayed, "487 Request Terminated");
        lab.finish();
    }
}

#[test]
fn both_byes_in_the_middle_of_a_re_invite_cross() {
    for Talk { mut lab, mut asker, mut other } in both_ways() {
        let invite = asker.invite(&mut lab, &sdp(1));
        asker.expect_response(&mut lab, &invite, 100);
        let relayed = other.expect(&mut lab, "INVITE");
        let bye = asker.request(&mut lab, "BYE", &[], "");
        asker.refused_and_byed(&mut lab, &invite, &bye);
        let ours = other.expect(&mut lab, "BYE");
        let theirs = other.request(&mut lab, "BYE", &[], "");
        other.expect_response(&mut lab, &theirs, 200);
        other.answer(&mut lab, &ours, "481 Call/Transaction Does Not Exist");
        other.refuse(&mut lab, &relayed, "487 Request Terminated");
        lab.finish();
    }
}

#[test]
fn a_cancelled_calls_early_update_gets_its_answer_or_none() {
    let mut early = Early::new();
    let update = early.a.update(&mut early.lab, &sdp(1));
    let relayed = early.c.expect(&mut early.lab, "UPDATE");
    let Early { mut lab, caller, leg, a, c } = early;
    caller.cancel(&mut lab);
    lab.expect(A, "200 CANCEL");
    caller.refused(&mut lab, 487);
    let cancel = lab.expect(C, "CANCEL");
    c.respond(&mut lab, &relayed, "200 OK", &[], &sdp(2));
    a.expect_response(&mut lab, &update, 200);
    leg.answer(&mut lab, &cancel, "200 OK");
    leg.reject(&mut lab, "487 Request Terminated");
    lab.finish();
}

#[test]
fn an_unreliable_answer_stands_again_in_the_200_when_the_200_has_it() {
    let mut lab = Lab::new();
    let (mut caller, leg) = calling(&mut lab, &RELIABLE);
    leg.respond_with(&mut lab, "183 Session Progress", &[], ANSWER);
    lab.expect(A, "183 INVITE");
    leg.respond(&mut lab, "200 OK");
    assert_eq!(caller.answered_and_acked(&mut lab).body, ANSWER);
    lab.expect(C, "ACK");
    hang_up_and_finish(lab, caller, &leg);
}

/// A called C, who takes no UPDATE; our refresh by re-INVITE is due at 45 s.
#[track_caller]
fn refreshed_by_re_invite(lab: &mut Lab) -> (Party, Party) {
    let lines = ["Session-Expires: 90;refresher=uac", "Allow: INVITE, ACK, BYE"];
    lab::party::talk(lab, &[], &lines)
}

const STAYS: [&str; 1] = ["Session-Expires: 90;refresher=uac"];

#[test]
fn while_our_refresh_is_under_way_nothing_else_is_offered_to_that_side() {
    for method in ["INVITE", "UPDATE"] {
        let mut lab = Lab::new();
        let (mut a, c) = refreshed_by_re_invite(&mut lab);
        lab.advance(45_008);
        let refresh = c.expect(&mut lab, "INVITE");
        let request = a.request(&mut lab, method, &[], &sdp(1));
        assert_eq!(lab.last_to(C), refresh, "RFC 3261 §14.1: one INVITE at a time");
        let refused = lab.sent_to(A).iter().any(|sent| *sent == format!("491 {method}"));
        if refused && method == "INVITE" {
            a.refused(&mut lab, &request, 491);
        } else if refused {
            a.expect_response(&mut lab, &request, 491);
        }
        c.respond(&mut lab, &refresh, "200 OK", &STAYS, ANSWER);
        c.expect(&mut lab, "ACK");
        assert!(refused, "{:?}", lab.sent());
        bye_and_finish(lab, a, &c);
    }
}

#[test]
fn our_refresh_waits_while_a_re_invite_is_under_way() {
    for caller_asks in [true, false] {
        let mut lab = Lab::new();
        let (a, c) = refreshed_by_re_invite(&mut lab);
        let (mut asker, other) = if caller_asks { (a, c) } else { (c, a) };
        lab.advance(44_000);
        let invite = asker.invite(&mut lab, &sdp(1));
        asker.expect_response(&mut lab, &invite, 100);
        let relayed = other.expect(&mut lab, "INVITE");
        other.answer(&mut lab, &relayed, "180 Ringing");
        asker.expect_response(&mut lab, &invite, 180);
        lab.advance(6_000);
        lab.expect_nothing();
        other.respond(&mut lab, &relayed, "200 OK", &STAYS, &sdp(2));
        asker.expect_response(&mut lab, &invite, 200);
        lab.advance(200);
        lab.expect_nothing();
        asker.ack(&mut lab, &invite, "");
        other.expect(&mut lab, "ACK");
        // From here on it may come at any time.
        lab.advance(1_000);
        let refresh = lab.last_to(C);
        if refresh.method == "INVITE" && refresh.is_request() && refresh.bytes != relayed.bytes {
            lab.sent();
            let c = if caller_asks { &other } else { &asker };
            c.respond(&mut lab, &refresh, "200 OK", &STAYS, ANSWER);
            c.expect(&mut lab, "ACK");
        }
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn a_re_invite_that_is_challenged_is_asked_again_with_the_answer() {
    for Talk { mut lab, mut asker, other } in both_ways() {
        let invite = asker.invite(&mut lab, &sdp(1));
        asker.expect_response(&mut lab, &invite, 100);
        let relayed = other.expect(&mut lab, "INVITE");
        let challenge = "WWW-Authenticate: Digest realm=\"c\", nonce=\"1\"";
        other.respond(&mut lab, &relayed, "401 Unauthorized", &[challenge], "");
        other.expect(&mut lab, "ACK");
        let refusal = asker.refused(&mut lab, &invite, 401);
        assert_eq!(refusal.one("WWW-Authenticate"), "Digest realm=\"c\", nonce=\"1\"");
        let answer = "Authorization: Digest username=\"1003\", realm=\"c\", nonce=\"1\"";
        let invite = asker.request(&mut lab, "INVITE", &[answer], &sdp(1));
        asker.expect_response(&mut lab, &invite, 100);
        let relayed = other.expect(&mut lab, "INVITE");
        assert!(relayed.has("Authorization"));
        accepted(&mut lab, &asker, &other, (&invite, &relayed));
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn a_cancel_of_another_branch_or_after_the_refusal_touches_nothing() {
    for Talk { mut lab, mut asker, other } in both_ways() {
        let invite = asker.invite(&mut lab, &sdp(1));
        asker.expect_response(&mut lab, &invite, 100);
        let relayed = other.expect(&mut lab, "INVITE");
        other.answer(&mut lab, &relayed, "100 Trying");
        let text = invite.text().replace("branch=z9hG4bK", "branch=z9hG4bKno");
        asker.cancel(&mut lab, &Sip::read(text.as_bytes()).expect("an INVITE"));
        asker.expect(&mut lab, "481 CANCEL");
        lab.expect_nothing();
        other.refuse(&mut lab, &relayed, "488 Not Acceptable Here");
        asker.refused(&mut lab, &invite, 488);
        asker.cancel(&mut lab, &invite);
        assert!(["200 CANCEL", "481 CANCEL"].contains(&lab.expect_any(asker.peer).as_str()));
        lab.expect_nothing();
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn a_second_reliable_answer_with_sdp_passes_reliably_as_well() {
    let mut lab = Lab::new();
    let (mut caller, leg) = calling(&mut lab, &RELIABLE);
    let mut cseq = caller.cseq;
    let mut numbers = Vec::new();
    for rseq in [7, 8, 9] {
        leg.reliable(&mut lab, "183 Session Progress", rseq, ANSWER);
        let progress = lab.expect(A, "183 INVITE");
        numbers.push(progress.one("RSeq").parse::<u32>().expect("a number"));
        let mut a = Party { cseq, ..Party::caller(&caller, &progress) };
        let prack = a.prack(&mut lab, &progress, "");
        cseq = a.cseq;
        let relayed = lab.expect(C, "PRACK");
        assert_eq!(relayed.one("RAck"), format!("{rseq} 1 INVITE"));
        leg.answer(&mut lab, &relayed, "200 OK");
        a.expect_response(&mut lab, &prack, 200);
    }
    assert_eq!([numbers[1] - numbers[0], numbers[2] - numbers[1]], [1, 1]);
    leg.respond_with(&mut lab, "200 OK", &[], "");
    let answer = caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    let a = Party { cseq, ..Party::caller(&caller, &answer) };
    bye_and_finish(lab, a, &Party::callee(&leg));
}
