//! Ports run out, rest, and come back.

use crate::lab::Lab;
use crate::lab::callee::Leg;
use crate::lab::caller::Caller;
use crate::lab::media::{described, place, places};
use crate::lab::party::{bye_and_finish, sdp};
use crate::lab::peer::{A, B, C, D};
use crate::{A_PORT, C_PORT, End, Talk, anchored, assert_heard, calling, calling_with};

/// A laboratory with so many pairs of ports of each family.
fn with_pairs(pairs: u16) -> Lab {
    anchored(|setup| setup.media_pairs = pairs)
}

#[track_caller]
fn refused(lab: &mut Lab, offer: &str) {
    let caller = crate::lab::caller::Invite::new(lab, A, C.number).body(offer).send(lab);
    lab.expect(A, "100 INVITE");
    let response = caller.refused(lab, 503);
    assert!(response.has("Retry-After"));
    lab.expect_nothing();
}

#[test]
fn a_call_without_a_port_for_either_side_is_refused() {
    for pairs in [0, 1] {
        let mut lab = with_pairs(pairs);
        refused(&mut lab, &described(A, A_PORT));
        assert_eq!((lab.media_ports_used(), lab.metrics().media_ports_missing), (0, 1));
        lab.finish();
    }
}

#[test]
fn of_two_streams_none_is_opened_when_there_are_ports_for_one() {
    let mut lab = with_pairs(1);
    let video = described(A, A_PORT) + "m=video 6000 RTP/AVP 96\r\n";
    refused(&mut lab, &video);
    assert_eq!(lab.media_ports_used(), 0);
    lab.finish();
}

#[test]
fn ports_rest_before_they_are_used_again() {
    let mut lab = with_pairs(2);
    let (caller, c) = calling(&mut lab, C, &[]);
    let used = place(&c.invite.body);
    refused(&mut lab, &described(A, A_PORT));
    c.reject(&mut lab, "486 Busy Here");
    caller.refused(&mut lab, 486);
    lab.advance(4_900);
    refused(&mut lab, &described(A, A_PORT));
    lab.advance(200);
    let (caller, c) = calling(&mut lab, C, &[]);
    // The caller's, which was given back later, or the same as before.
    assert_eq!(place(&c.invite.body).ip(), used.ip());
    c.reject(&mut lab, "486 Busy Here");
    caller.refused(&mut lab, 486);
    lab.finish();
}

#[test]
fn a_target_that_has_no_port_is_not_called() {
    let mut lab = with_pairs(2);
    let (caller, b) = calling(&mut lab, B, &[]);
    b.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    lab.advance(20_000);
    let cancel = lab.expect(B, "CANCEL");
    lab.expect(A, "181 INVITE");
    assert!(caller.refused(&mut lab, 503).has("Retry-After"));
    b.answer(&mut lab, &cancel, "200 OK");
    b.reject(&mut lab, "487 Request Terminated");
    assert_eq!(lab.media_ports_used(), 0);
    lab.finish();
}

#[test]
fn a_callee_whose_late_offer_finds_no_port_is_acknowledged_and_hung_up() {
    for pairs in [0, 1] {
        let mut lab = with_pairs(pairs);
        let (caller, c) = calling_with(&mut lab, C, &[], "");
        c.respond_with(&mut lab, "200 OK", &[], &described(C, C_PORT));
        assert!(caller.refused(&mut lab, 503).has("Retry-After"));
        lab.expect(C, "ACK");
        c.hung_up(&mut lab);
        assert_eq!(lab.media_ports_used(), 0);
        lab.finish();
    }
}

#[test]
fn a_re_invite_that_finds_no_port_is_refused_and_leaves_everything_as_it_was() {
    for pairs in [2, 3] {
        let mut talk = Talk::in_lab(with_pairs(pairs));
        for by_callee in [false, true] {
            let Talk { lab, a, c, .. } = &mut talk;
            let (asker, peer) = if by_callee { (c, C) } else { (a, A) };
            let video = described(peer, 4_400) + "m=video 6000 RTP/AVP 96\r\n";
            let invite = asker.invite(lab, &video);
            asker.refused(lab, &invite, 488);
            let update = asker.update(lab, &video);
            asker.expect_response(lab, &update, 488);
            lab.expect_nothing();
            assert_eq!(lab.media_ports_used(), 2);
            talk.assert_heard();
            talk.lab.advance(6_000);
        }
        talk.finish();
    }
}

#[test]
fn a_late_offer_of_more_than_there_are_ports_for_is_told_without() {
    let mut talk = Talk::in_lab(with_pairs(3));
    let Talk { lab, a, c, .. } = &mut talk;
    let invite = a.invite(lab, "");
    a.expect_response(lab, &invite, 100);
    let relayed = c.expect(lab, "INVITE");
    c.respond(lab, &relayed, "200 OK", &[], &(described(C, C_PORT) + "m=video 6600 RTP/AVP 96\r\n"));
    let offered = a.expect_response(lab, &invite, 200);
    assert_eq!(places(&offered.body)[1].port(), 0, "there is no port for it");
    a.ack(lab, &invite, &(described(A, A_PORT) + "m=video 0 RTP/AVP 96\r\n"));
    let ack = c.expect(lab, "ACK");
    assert_eq!(places(&ack.body)[1].port(), 0);
    assert_eq!(lab.media_ports_used(), 2);
    talk.assert_heard();
    talk.finish();
}

#[test]
fn an_offer_that_cannot_be_read_is_refused_and_other_bodies_pass() {
    let mut lab = anchored(|_| {});
    let caller = crate::lab::caller::Invite::new(&mut lab, A, C.number).body("m=audio?\r\n").send(&mut lab);
    lab.expect(A, "100 INVITE");
    caller.refused(&mut lab, 488);
    let kinds = ["Content-Type: application/x-other", "Content-Type: application/sdp"];
    for (kind, encoding) in kinds.into_iter().zip(["identity", "gzip"]) {
        let encoding = format!("Content-Encoding: {encoding}");
        let (caller, c) = calling_with(&mut lab, C, &[kind, &encoding], "bytes");
        assert_eq!(c.invite.body, "bytes");
        c.reject(&mut lab, "415 Unsupported Media Type");
        caller.refused(&mut lab, 415);
    }
    assert_eq!(lab.metrics().media_bodies_passed, 2);
    lab.finish();
}

#[test]
fn an_answer_that_cannot_be_read_passes() {
    let mut lab = anchored(|_| {});
    let (mut caller, c) = calling(&mut lab, C, &[]);
    c.respond_with(&mut lab, "200 OK", &[], "what?\r\n");
    assert_eq!(caller.answered_and_acked(&mut lab).body, "what?\r\n");
    lab.expect(C, "ACK");
    crate::lab::scene::hang_up_and_finish(lab, caller, &c);
}

#[test]
fn two_calls_have_ports_of_their_own() {
    let mut lab = anchored(|_| {});
    let mut ends = Vec::new();
    let mut calls: Vec<(Caller, Leg)> = Vec::new();
    for callee in [C, D] {
        let (mut caller, leg) = calling(&mut lab, callee, &[]);
        leg.respond_with(&mut lab, "200 OK", &[], &described(callee, C_PORT));
        let a_end = End::new(A, A_PORT, &caller.answered_and_acked(&mut lab).body);
        lab.expect(callee, "ACK");
        ends.push((a_end, End::new(callee, C_PORT, &leg.invite.body)));
        calls.push((caller, leg));
    }
    for &(a_end, other) in &ends {
        assert_heard(&mut lab, a_end, other);
    }
    // The same source at the other call's port is nobody there: C is not D.
    assert!(lab.rtp(ends[0].1.own, ends[1].1.told).is_err());
    for (mut caller, leg) in calls {
        caller.bye(&mut lab);
        lab.expect(A, "200 BYE");
        leg.hung_up(&mut lab);
    }
    lab.finish();
}

#[test]
fn several_shards_have_ports_of_their_own() {
    let mut lab = anchored(|setup| setup.shards = 3);
    let mut shards = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let (caller, c) = calling(&mut lab, C, &[]);
        shards.insert(place(&c.invite.body).port() / 2_000);
        c.reject(&mut lab, "486 Busy Here");
        caller.refused(&mut lab, 486);
    }
    assert_eq!(shards.len(), 3);
    lab.finish();
}

#[test]
fn a_call_without_media_needs_no_port() {
    let refused = sdp(1).replace("m=audio 1 ", "m=audio 0 ");
    let mut talk = Talk::with(with_pairs(0), &refused, &refused);
    assert_eq!(talk.lab.media_ports_used(), 0);
    bye_and_finish(talk.lab, talk.a, &talk.c);
}
