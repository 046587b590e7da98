//! Before the answer: early media, forwarding, ringback, and the first answer.

use crate::lab::Lab;
use crate::lab::callee::Leg;
use crate::lab::caller::{Caller, OFFER};
use crate::lab::media::{at, described, place, version};
use crate::lab::party::{Party, bye_and_finish};
use crate::lab::peer::{A, B, C, MEDIA, MEDIA_V6, Peer};
use crate::lab::scene::{refuse_and_finish, talk_and_finish};
use crate::{A_PORT, C_PORT, End, Talk, anchored, assert_heard, calling, calling_with};
use ringway::media::Dropped;
use ringway::settings::{LateAnswer, Listener};
use std::net::SocketAddr;

/// Where B has its media.
const B_PORT: u16 = 7_000;

/// B sends early media and does not answer, C is called: A's and B's ends.
#[track_caller]
fn forwarded(lab: &mut Lab) -> (Caller, Leg, Leg, [End; 2]) {
    let (caller, b) = calling(lab, B, &[]);
    let b_end = End::new(B, B_PORT, &b.invite.body);
    b.respond_with(lab, "183 Session Progress", &[], &described(B, B_PORT));
    let a_end = End::new(A, A_PORT, &lab.expect(A, "183 INVITE").body);
    assert_heard(lab, a_end, b_end);
    b.respond(lab, "180 Ringing");
    lab.expect(A, "180 INVITE");
    lab.advance(20_000);
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(lab, C);
    (caller, b, c, [a_end, b_end])
}

#[test]
fn each_side_is_told_a_port_of_its_own_and_codecs_stay() {
    let mut lab = anchored(|_| {});
    let (mut caller, c) = calling_with(&mut lab, C, &[], OFFER);
    let told = &c.invite.body;
    let id = version(told);
    let port = place(told);
    assert_eq!(port.ip(), MEDIA);
    let expected = OFFER
        .replace("o=ZED3 5525 5525 IN IP4 127.0.0.137", &format!("o=- {id} {id} IN IP4 {MEDIA}"))
        .replace("c=IN IP4 127.0.0.137", &format!("c=IN IP4 {MEDIA}"))
        .replace("m=audio 6510 ", &format!("m=audio {} ", port.port()));
    assert_eq!(*told, expected);
    c.respond(&mut lab, "200 OK");
    let answer = caller.answered_and_acked(&mut lab);
    assert!(answer.body.contains("RTP/AVP 18 101\r\na=rtpmap:18 G729/8000\r\n"), "{}", answer.body);
    assert_eq!(place(&answer.body).ip(), MEDIA);
    assert_ne!(place(&answer.body), port);
    assert_ne!(version(&answer.body), id, "sessions of different sides");
    lab.expect(C, "ACK");
    crate::lab::scene::hang_up_and_finish(lab, caller, &c);
}

#[test]
fn audio_passes_both_ways_after_the_answer_and_ends_with_the_bye() {
    let Talk { mut lab, mut a, c, a_end, c_end } = Talk::new();
    assert_heard(&mut lab, a_end, c_end);
    // RTCP goes by the next ports.
    let report = [0x80, 201, 0, 1, 0, 0, 0, 1];
    let (from, component) = (at(A, A_PORT + 1), ringway::media::Component::Rtcp);
    let next = |mut place: SocketAddr| {
        place.set_port(place.port() + 1);
        place
    };
    let passed = lab.packet(from, (a_end.told, component), &report);
    assert_eq!(passed, Ok((next(c_end.told), next(c_end.own))));
    let bye = a.request(&mut lab, "BYE", &[], "");
    a.expect_response(&mut lab, &bye, 200);
    // C has its BYE and has not answered it yet.
    assert_eq!(lab.rtp(c_end.own, c_end.told), Err(Dropped::Nowhere));
    assert_eq!(lab.rtp(a_end.own, a_end.told), Err(Dropped::Nowhere));
    c.hung_up(&mut lab);
    assert_eq!(lab.rtp(c_end.own, c_end.told), Err(Dropped::Stray));
    lab.finish();
}

#[test]
fn nothing_passes_before_the_callee_is_heard_and_nothing_of_strangers_ever() {
    let mut lab = anchored(|_| {});
    let (mut caller, c) = calling(&mut lab, C, &[]);
    let c_end = End::new(C, C_PORT, &c.invite.body);
    assert!(lab.rtp(c_end.own, c_end.told).is_err());
    c.respond_with(&mut lab, "200 OK", &[], &described(C, C_PORT));
    let a_end = End::new(A, A_PORT, &caller.answered_and_acked(&mut lab).body);
    lab.expect(C, "ACK");
    assert_heard(&mut lab, a_end, c_end);
    let stranger = at(B, A_PORT);
    for to in [a_end.told, c_end.told] {
        assert_eq!(lab.rtp(stranger, to), Err(Dropped::Source));
    }
    assert_heard(&mut lab, a_end, c_end);
    crate::lab::scene::hang_up_and_finish(lab, caller, &c);
}

#[test]
fn the_callers_port_stays_from_early_media_to_the_targets_answer() {
    let mut lab = anchored(|_| {});
    let (mut caller, b, c, [a_end, b_end]) = forwarded(&mut lab);
    // B has its CANCEL, and whatever it says now goes nowhere; nor does A reach it.
    assert_eq!(lab.rtp(b_end.own, b_end.told), Err(Dropped::Nowhere));
    assert_eq!(lab.rtp(a_end.own, a_end.told), Err(Dropped::Nowhere));
    b.cancelled(&mut lab);
    assert_eq!(lab.rtp(b_end.own, b_end.told), Err(Dropped::Stray));
    let c_end = End::new(C, C_PORT, &c.invite.body);
    assert_ne!(c_end.told, b_end.told);
    c.respond_with(&mut lab, "200 OK", &[], &described(C, C_PORT));
    let answer = caller.answered_and_acked(&mut lab);
    assert_eq!(place(&answer.body), a_end.told);
    lab.expect(C, "ACK");
    assert_heard(&mut lab, a_end, c_end);
    crate::lab::scene::hang_up_and_finish(lab, caller, &c);
}

#[test]
fn ringback_is_played_to_a_caller_that_had_early_media_until_the_target_is_heard() {
    for status in ["183 Session Progress", "200 OK"] {
        let mut lab = anchored(|_| {});
        let (mut caller, b, c, [a_end, _]) = forwarded(&mut lab);
        b.cancelled(&mut lab);
        assert_eq!(lab.played(200).len(), 0, "C does not ring yet");
        c.ring(&mut lab);
        lab.expect(A, "180 INVITE");
        let played = lab.played(1_000);
        assert!((50..=51).contains(&played.len()), "{}", played.len());
        assert!(played.iter().all(|packet| (packet.by, packet.to) == (a_end.told, a_end.own)));
        assert!(played.iter().all(|packet| packet.packet.len() == 172 && packet.packet[1] & 0x7F == 8));
        c.respond_with(&mut lab, status, &[], &described(C, C_PORT));
        if status.starts_with('1') {
            assert_eq!(place(&lab.expect(A, "183 INVITE").body), a_end.told);
        } else {
            caller.answered(&mut lab);
        }
        assert_eq!(lab.played(1_000).len(), 0, "it is over");
        lab.sent();
        let c_end = End::new(C, C_PORT, &c.invite.body);
        assert_heard(&mut lab, a_end, c_end);
        if status.starts_with('1') {
            c.respond_with(&mut lab, "200 OK", &[], &described(C, C_PORT));
            caller.answered(&mut lab);
        }
        caller.ack(&mut lab, "");
        lab.expect(C, "ACK");
        crate::lab::scene::hang_up_and_finish(lab, caller, &c);
    }
}

#[test]
fn ringback_is_left_to_a_phone_that_had_no_early_media() {
    let mut lab = anchored(|_| {});
    let (caller, b) = calling(&mut lab, B, &[]);
    b.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    lab.advance(20_000);
    lab.expect(A, "181 INVITE");
    b.cancelled(&mut lab);
    let c = Leg::expect(&mut lab, C);
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    assert_eq!(lab.played(3_000).len(), 0);
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn a_phones_own_early_media_goes_on_when_it_rings_as_well() {
    let mut lab = anchored(|_| {});
    let (caller, b) = calling(&mut lab, B, &[]);
    let b_end = End::new(B, B_PORT, &b.invite.body);
    b.respond_with(&mut lab, "183 Session Progress", &[], &described(B, B_PORT));
    let a_end = End::new(A, A_PORT, &lab.expect(A, "183 INVITE").body);
    b.respond(&mut lab, "180 Ringing");
    lab.expect(A, "180 INVITE");
    assert_eq!(lab.played(1_000).len(), 0);
    assert_heard(&mut lab, a_end, b_end);
    refuse_and_finish(lab, &caller, &b);
}

#[test]
fn no_ringback_in_a_codec_that_the_caller_does_not_have() {
    let mut lab = anchored(|_| {});
    let without = |peer: Peer, port: u16| described(peer, port).replace("RTP/AVP 8 0", "RTP/AVP 18");
    let (caller, b) = calling_with(&mut lab, B, &[], &without(A, A_PORT));
    b.respond_with(&mut lab, "183 Session Progress", &[], &without(B, B_PORT));
    lab.expect(A, "183 INVITE");
    b.reject(&mut lab, "408 Request Timeout");
    lab.sent();
    let to_c = lab.last_to(C);
    let c = Leg { peer: C, invite: to_c, tag: "1105".into(), cseq: 222 };
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    assert_eq!(lab.played(1_000).len(), 0);
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn a_late_answer_that_is_kept_is_heard_again() {
    let mut lab = anchored(|setup| setup.settings.late_answer = LateAnswer::Keep);
    let (mut caller, b, c, [a_end, b_end]) = forwarded(&mut lab);
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    assert_ne!(lab.played(100).len(), 0);
    let cancel = lab.expect(B, "CANCEL");
    b.answer(&mut lab, &cancel, "200 OK");
    assert_eq!(lab.rtp(b_end.own, b_end.told), Err(Dropped::Nowhere));
    b.respond_with(&mut lab, "200 OK", &[], &described(B, B_PORT));
    c.cancelled(&mut lab);
    let answer = caller.answered_and_acked(&mut lab);
    assert_eq!(place(&answer.body), a_end.told);
    lab.expect(B, "ACK");
    assert_eq!(lab.played(1_000).len(), 0);
    assert_heard(&mut lab, a_end, b_end);
    crate::lab::scene::hang_up_and_finish(lab, caller, &b);
}

#[test]
fn a_refused_session_interval_keeps_the_ports() {
    let mut lab = anchored(|setup| setup.settings.session_expires_s = 90);
    let (caller, c) = calling(&mut lab, C, &[]);
    c.respond_with(&mut lab, "422 Session Interval Too Small", &["Min-SE: 600"], "");
    lab.expect(C, "ACK");
    let again = Leg::expect(&mut lab, C);
    assert_eq!(again.invite.body, c.invite.body, "the same session in the same version");
    assert_eq!(lab.media_ports_used(), 2);
    refuse_and_finish(lab, &caller, &again);
}

#[test]
fn a_caller_of_one_family_hears_a_callee_of_the_other() {
    let far = "[fd00::138]:5060".parse().expect("an address");
    let six = Peer { address: far, ..C };
    let server: SocketAddr = "[fd00::60]:5060".parse().expect("an address");
    let mut lab = anchored(|setup| {
        setup.settings.listeners.push(Listener { address: server, sent_by: server.to_string() });
        setup.subscribers.retain(|subscriber| *subscriber.number != *C.number);
        setup.subscribers.push(six.subscriber());
    });
    let (mut caller, c) = calling(&mut lab, six, &[]);
    let c_end = End::new(six, C_PORT, &c.invite.body);
    assert_eq!(c_end.told.ip(), MEDIA_V6);
    c.respond_with(&mut lab, "200 OK", &[], &described(six, C_PORT));
    let a_end = End::new(A, A_PORT, &caller.answered_and_acked(&mut lab).body);
    assert_eq!(a_end.told.ip(), MEDIA);
    lab.expect(six, "ACK");
    assert_heard(&mut lab, a_end, c_end);
    crate::lab::scene::hang_up_and_finish(lab, caller, &c);
}

#[test]
fn a_late_offer_is_anchored_and_answered_in_the_ack() {
    let mut lab = anchored(|_| {});
    let (mut caller, c) = calling_with(&mut lab, C, &[], "");
    assert!(c.invite.body.is_empty());
    c.respond_with(&mut lab, "200 OK", &[], &described(C, C_PORT));
    let answer = caller.answered(&mut lab);
    let a_end = End::new(A, A_PORT, &answer.body);
    assert_eq!(lab.media_ports_used(), 2);
    caller.ack(&mut lab, &described(A, A_PORT));
    let c_end = End::new(C, C_PORT, &lab.expect(C, "ACK").body);
    assert_heard(&mut lab, a_end, c_end);
    bye_and_finish(lab, Party::caller(&caller, &answer), &Party::callee(&c));
}

#[test]
fn early_answers_that_are_reliable_are_heard_and_count_on_without_a_body_in_the_200() {
    let mut lab = anchored(|_| {});
    let (mut caller, c) = calling(&mut lab, C, &["Supported: 100rel"]);
    let c_end = End::new(C, C_PORT, &c.invite.body);
    c.reliable(&mut lab, "183 Session Progress", 1, &described(C, C_PORT));
    let progress = lab.expect(A, "183 INVITE");
    let a_end = End::new(A, A_PORT, &progress.body);
    assert_heard(&mut lab, a_end, c_end);
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(&mut lab, &progress, "");
    let relayed = lab.expect(C, "PRACK");
    c.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &prack, 200);
    // The caller moves its media by UPDATE.
    let update = a.update(&mut lab, &described(A, 4_400));
    let relayed = lab.expect(C, "UPDATE");
    assert_eq!(place(&relayed.body), c_end.told);
    assert_heard(&mut lab, a_end, c_end);
    let callee = Party::callee(&c);
    callee.respond(&mut lab, &relayed, "200 OK", &[], &described(C, 5_500));
    assert_eq!(place(&a.expect_response(&mut lab, &update, 200).body), a_end.told);
    let (a_new, c_new) = (End { own: at(A, 4_400), ..a_end }, End { own: at(C, 5_500), ..c_end });
    assert_heard(&mut lab, a_new, c_new);
    c.respond_with(&mut lab, "200 OK", &[], "");
    assert!(caller.answered_and_acked(&mut lab).body.is_empty());
    lab.expect(C, "ACK");
    assert_heard(&mut lab, a_new, c_new);
    bye_and_finish(lab, a, &callee);
}

#[test]
fn a_refused_update_in_the_early_dialog_changes_nothing() {
    let mut lab = anchored(|_| {});
    let (mut caller, c) = calling(&mut lab, C, &["Supported: 100rel"]);
    let c_end = End::new(C, C_PORT, &c.invite.body);
    c.reliable(&mut lab, "183 Session Progress", 1, &described(C, C_PORT));
    let progress = lab.expect(A, "183 INVITE");
    let a_end = End::new(A, A_PORT, &progress.body);
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(&mut lab, &progress, "");
    let relayed = lab.expect(C, "PRACK");
    c.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &prack, 200);
    let update = a.update(&mut lab, &described(A, 4_400));
    let relayed = lab.expect(C, "UPDATE");
    c.answer(&mut lab, &relayed, "488 Not Acceptable Here");
    a.expect_response(&mut lab, &update, 488);
    c.respond_with(&mut lab, "200 OK", &[], "");
    caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    assert_heard(&mut lab, a_end, c_end);
    assert_eq!(lab.rtp(at(A, 4_400), a_end.told), Err(Dropped::Source));
    bye_and_finish(lab, a, &Party::callee(&c));
}

#[test]
fn an_update_whose_asker_was_given_up_joins_nobody() {
    let mut lab = anchored(|_| {});
    let (mut caller, b) = calling(&mut lab, B, &["Supported: 100rel"]);
    let b_end = End::new(B, B_PORT, &b.invite.body);
    b.reliable(&mut lab, "183 Session Progress", 1, &described(B, B_PORT));
    let progress = lab.expect(A, "183 INVITE");
    let a_end = End::new(A, A_PORT, &progress.body);
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(&mut lab, &progress, "");
    let relayed = lab.expect(B, "PRACK");
    b.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &prack, 200);
    lab.advance(19_000);
    let mut early = Party::callee(&b);
    early.update(&mut lab, &described(B, 7_700));
    let relayed = lab.expect(A, "UPDATE");
    lab.advance(1_500);
    lab.expect(A, "UPDATE");
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    lab.expect(B, "CANCEL");
    // A answers what B asked before its CANCEL.
    a.respond(&mut lab, &relayed, "200 OK", &[], &described(A, A_PORT));
    lab.expect(B, "200 UPDATE");
    assert!(lab.rtp(at(B, 7_700), b_end.told).is_err());
    assert_eq!(lab.rtp(b_end.own, b_end.told), Err(Dropped::Nowhere));
    assert_eq!(lab.rtp(a_end.own, a_end.told), Err(Dropped::Nowhere));
    b.reject(&mut lab, "487 Request Terminated");
    // What A is told of C differs in nothing from what it was told of B.
    c.respond_with(&mut lab, "200 OK", &[], &described(C, C_PORT));
    caller.cseq = a.cseq;
    lab.sent();
    caller.answer = Some(lab.last_to(A));
    caller.ack(&mut lab, "");
    lab.expect(C, "ACK");
    let c_end = End::new(C, C_PORT, &c.invite.body);
    assert_heard(&mut lab, a_end, c_end);
    crate::lab::scene::hang_up_and_finish(lab, caller, &c);
}

#[test]
fn the_answer_to_an_update_of_one_who_has_gone_is_not_told_it() {
    let mut lab = anchored(|_| {});
    let (caller, b) = calling(&mut lab, B, &["Supported: 100rel"]);
    b.reliable(&mut lab, "183 Session Progress", 1, &described(B, B_PORT));
    let progress = lab.expect(A, "183 INVITE");
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(&mut lab, &progress, "");
    let relayed = lab.expect(B, "PRACK");
    b.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &prack, 200);
    let mut early = Party::callee(&b);
    let update = early.update(&mut lab, &described(B, 7_700));
    let relayed = lab.expect(A, "UPDATE");
    b.reject(&mut lab, "408 Request Timeout");
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    a.respond(&mut lab, &relayed, "200 OK", &[], &described(A, A_PORT));
    assert!(early.expect_response(&mut lab, &update, 481).body.is_empty());
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn a_prack_whose_answer_cannot_be_read_does_not_hold_the_call_up() {
    let mut lab = anchored(|_| {});
    let (mut caller, c) = calling_with(&mut lab, C, &["Supported: 100rel"], "");
    c.reliable(&mut lab, "183 Session Progress", 1, &described(C, C_PORT));
    let progress = lab.expect(A, "183 INVITE");
    let mut a = Party::caller(&caller, &progress);
    // C answers before the PRACK has come.
    c.respond_with(&mut lab, "200 OK", &[], "");
    lab.expect_nothing();
    let prack = a.prack(&mut lab, &progress, "no description");
    let relayed = lab.expect(C, "PRACK");
    assert_eq!(relayed.body, "no description");
    let answer = caller.answered(&mut lab);
    c.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &prack, 200);
    caller.ack(&mut lab, "");
    lab.expect(C, "ACK");
    drop(answer);
    bye_and_finish(lab, a, &Party::callee(&c));
}

#[test]
fn a_prack_whose_offer_cannot_be_read_is_refused_and_acknowledges_all_the_same() {
    let mut lab = anchored(|_| {});
    let (mut caller, c) = calling(&mut lab, C, &["Supported: 100rel"]);
    let c_end = End::new(C, C_PORT, &c.invite.body);
    c.reliable(&mut lab, "183 Session Progress", 1, &described(C, C_PORT));
    let progress = lab.expect(A, "183 INVITE");
    let a_end = End::new(A, A_PORT, &progress.body);
    let mut a = Party::caller(&caller, &progress);
    c.respond_with(&mut lab, "200 OK", &[], "");
    let prack = a.prack(&mut lab, &progress, "no description");
    a.expect_response(&mut lab, &prack, 488);
    let own = lab.expect(C, "PRACK");
    assert!(own.body.is_empty());
    c.answer(&mut lab, &own, "200 OK");
    caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    assert_heard(&mut lab, a_end, c_end);
    bye_and_finish(lab, a, &Party::callee(&c));
}

#[test]
fn a_caller_that_cancels_leaves_no_port_behind() {
    let mut lab = anchored(|_| {});
    let (caller, b) = calling(&mut lab, B, &[]);
    b.respond_with(&mut lab, "183 Session Progress", &[], &described(B, B_PORT));
    let a_end = End::new(A, A_PORT, &lab.expect(A, "183 INVITE").body);
    caller.cancel(&mut lab);
    lab.expect(A, "200 CANCEL");
    caller.refused(&mut lab, 487);
    assert!(lab.rtp(a_end.own, a_end.told).is_err());
    b.cancelled(&mut lab);
    assert_eq!(lab.media_ports_used(), 0);
    lab.finish();
}

#[test]
fn a_200_without_early_media_talks_at_once() {
    let mut lab = anchored(|_| {});
    let (caller, c) = calling(&mut lab, C, &[]);
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    c.respond_with(&mut lab, "200 OK", &[], &described(C, C_PORT));
    talk_and_finish(lab, caller, &c);
}

#[test]
fn a_caller_that_is_first_heard_after_the_answer_is_learned_though_it_has_said_nothing_new() {
    let mut lab = anchored(|_| {});
    let (mut caller, c) = calling(&mut lab, C, &[]);
    let c_end = End::new(C, C_PORT, &c.invite.body);
    c.respond_with(&mut lab, "183 Session Progress", &[], &described(C, C_PORT));
    let a_told = place(&lab.expect(A, "183 INVITE").body);
    lab.advance(10_000);
    c.respond_with(&mut lab, "200 OK", &[], &described(C, C_PORT));
    caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    // It sends from another port than it has described.
    for _ in 0..30 {
        let _ = lab.rtp(at(A, 4_444), a_told);
        lab.advance(20);
    }
    assert_heard(&mut lab, End { own: at(A, 4_444), told: a_told }, c_end);
    crate::lab::scene::hang_up_and_finish(lab, caller, &c);
}
