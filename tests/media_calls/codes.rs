//! What the caller of a feature code hears.

use crate::anchored;
use crate::lab::Lab;
use crate::lab::caller::{Caller, Invite};
use crate::lab::keeper::Mood;
use crate::lab::media::{Played, at, described, place};
use crate::lab::peer::{B, MEDIA};
use crate::lab::sip::Sip;
use std::net::SocketAddr;

const PORT: u16 = 4_000;

fn dialled(lab: &mut Lab, code: &str, body: &str) -> Invite {
    Invite::new(lab, B, &code.replace('#', "%23")).body(body)
}

#[track_caller]
fn dial(lab: &mut Lab, invite: Invite) -> Caller {
    let caller = invite.send(lab);
    lab.expect(B, "100 INVITE");
    caller
}

/// Packets of 20 ms for two seconds, from where the caller was told to where it wants them.
#[track_caller]
fn assert_two_seconds(played: &[Played], told: SocketAddr) {
    assert!((100..=101).contains(&played.len()), "{}", played.len());
    assert!(played.iter().all(|packet| (packet.by, packet.to) == (told, at(B, PORT))));
    let sounds = |packet: &&Played| packet.packet[12..].iter().any(|byte| *byte != packet.packet[12]);
    assert!(played.iter().filter(sounds).count() > 10, "it is silence");
}

#[track_caller]
fn told(response: &Sip) -> SocketAddr {
    let place = place(&response.body);
    assert_eq!(place.ip(), MEDIA);
    assert!(response.body.contains("a=sendonly\r\n"), "{}", response.body);
    place
}

#[track_caller]
fn hung_up(mut lab: Lab, caller: &Caller) {
    let bye = lab.expect(B, "BYE");
    caller.respond(&mut lab, &bye, "200 OK");
    assert_eq!(lab.media_ports_used(), 0);
    lab.finish();
}

#[test]
fn one_that_is_done_is_confirmed_for_two_seconds() {
    let mut lab = anchored(|_| {});
    let invite = dialled(&mut lab, "*67*1005#", &described(B, PORT));
    let mut caller = dial(&mut lab, invite);
    let answer = caller.answered_and_acked(&mut lab);
    let told = told(&answer);
    assert!(answer.body.contains("RTP/AVP 8\r\n"), "{}", answer.body);
    let played = lab.played(1_980);
    lab.expect_nothing();
    assert!((99..=100).contains(&played.len()), "{}", played.len());
    assert!(played.iter().all(|packet| (packet.by, packet.to) == (told, at(B, PORT))));
    lab.advance(40);
    hung_up(lab, &caller);
}

#[test]
fn a_phone_without_g711_hears_nothing_and_is_hung_up_as_ever() {
    let mut lab = anchored(|_| {});
    let invite = dialled(&mut lab, "*67*1005#", &described(B, PORT).replace("8 0", "18"));
    let mut caller = dial(&mut lab, invite);
    let answer = caller.answered_and_acked(&mut lab);
    assert!(answer.body.contains("a=inactive\r\n"), "{}", answer.body);
    assert_eq!(lab.media_ports_used(), 0);
    assert_eq!(lab.played(980).len(), 0);
    lab.advance(40);
    hung_up(lab, &caller);
}

#[test]
fn a_late_offer_is_confirmed_once_it_is_answered() {
    for answered in [true, false] {
        let mut lab = anchored(|_| {});
        let invite = dialled(&mut lab, "*67*1005#", "");
        let mut caller = dial(&mut lab, invite);
        let answer = caller.answered(&mut lab);
        let told = told(&answer);
        assert!(answer.body.contains("RTP/AVP 0 8\r\n"), "{}", answer.body);
        assert_eq!(lab.played(100).len(), 0);
        let body = described(B, PORT);
        caller.ack(&mut lab, if answered { &body } else { "" });
        let played = lab.played(1_980);
        assert_eq!(played.is_empty(), !answered);
        assert!(played.iter().all(|packet| (packet.by, packet.to) == (told, at(B, PORT))));
        lab.advance(40);
        hung_up(lab, &caller);
    }
}

#[test]
fn one_that_is_refused_is_heard_as_early_media_before() {
    // Unknown, and one that the store cannot keep.
    for (code, mood, status) in [("*67*1004#", Mood::Works, 403), ("*67*1005#", Mood::Fails, 503)] {
        let mut lab = anchored(|_| {});
        lab.keeper.mood = mood;
        let invite = dialled(&mut lab, code, &described(B, PORT));
        let caller = dial(&mut lab, invite);
        let told = told(&lab.expect(B, "183 INVITE"));
        let played = lab.played(1_999);
        lab.expect_nothing();
        assert_two_seconds(&played, told);
        lab.advance(16);
        let response = caller.refused(&mut lab, status);
        assert!(response.has("Reason"));
        assert_eq!(lab.media_ports_used(), 0);
        assert_eq!(lab.metrics().feature_codes_refused, 1);
        lab.finish();
    }
}

#[test]
fn who_cannot_hear_it_is_refused_at_once() {
    let plain = described(B, PORT);
    let other = plain.replace("8 0", "18");
    for (line, body) in [("Require: 100rel", &plain), ("Subject: x", &other), ("Subject: x", &String::new())]
    {
        let mut lab = anchored(|_| {});
        let invite = dialled(&mut lab, "*67*1004#", body).line(line);
        let caller = dial(&mut lab, invite);
        caller.refused(&mut lab, 403);
        assert_eq!(lab.media_ports_used(), 0);
        lab.finish();
    }
}

#[test]
fn without_ports_a_code_does_what_it_says_in_silence() {
    let mut lab = anchored(|setup| setup.media_pairs = 0);
    let invite = dialled(&mut lab, "*67*1005#", &described(B, PORT));
    let mut caller = dial(&mut lab, invite);
    let answer = caller.answered_and_acked(&mut lab);
    assert!(answer.body.contains("a=inactive\r\n"), "{}", answer.body);
    lab.advance(1_020);
    hung_up(lab, &caller);
}

#[test]
fn what_the_store_says_while_the_refusal_is_heard_comes_too_late() {
    let mut lab = anchored(|_| {});
    lab.keeper.mood = Mood::Holds;
    let invite = dialled(&mut lab, "*67*1005#", &described(B, PORT));
    let caller = dial(&mut lab, invite);
    let limit_ms = u64::from(ringway::settings::Settings::default().registration.store_timeout_ms);
    lab.advance(limit_ms + 20);
    told(&lab.expect(B, "183 INVITE"));
    lab.advance(500);
    lab.release_letters();
    lab.expect_nothing();
    assert_eq!(lab.metrics().late_mail, 1);
    lab.advance(1_500);
    caller.refused(&mut lab, 503);
    lab.finish();
}

#[test]
fn a_caller_that_gives_up_while_it_hears_its_refusal_is_done() {
    let mut lab = anchored(|_| {});
    let invite = dialled(&mut lab, "*67*1004#", &described(B, PORT));
    let caller = dial(&mut lab, invite);
    lab.expect(B, "183 INVITE");
    lab.advance(500);
    caller.cancel(&mut lab);
    lab.expect(B, "200 CANCEL");
    caller.refused(&mut lab, 487);
    assert_eq!(lab.played(100).len(), 0);
    assert_eq!(lab.media_ports_used(), 0);
    lab.finish();
}
