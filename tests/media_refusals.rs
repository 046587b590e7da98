//! Anchored calls in which something cannot be taken, said or heard as it came: refusals that describe
//! something, too few ports, names for addresses, texts without bounds, codecs that were not agreed on.

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::callee::Leg;
use lab::caller::{Caller, Invite};
use lab::media::{at, described, place, places, version};
use lab::party::{Party, bye_and_finish};
use lab::peer::{A, B, C, MEDIA, Peer, Setup};
use lab::sip::Sip;
use std::net::SocketAddr;

const VIDEO: &str = "m=video 6600 RTP/AVP 96\r\n";

fn anchored(change: impl FnOnce(&mut Setup)) -> Lab {
    Lab::with(|setup| {
        setup.anchor();
        change(setup);
    })
}

/// A calls somebody with this offer.
#[track_caller]
fn calling(lab: &mut Lab, callee: Peer, lines: &[&str], offer: &str) -> (Caller, Leg) {
    let caller = invite(lab, callee, lines, offer);
    let leg = Leg::expect(lab, callee);
    (caller, leg)
}

#[track_caller]
fn invite(lab: &mut Lab, callee: Peer, lines: &[&str], offer: &str) -> Caller {
    let mut invite = Invite::new(lab, A, callee.number).body(offer);
    invite.lines = lines.iter().map(|line| line.to_string()).collect();
    let caller = invite.send(lab);
    lab.expect(A, "100 INVITE");
    caller
}

/// A in a call with C: the parties, and where each was told to send.
#[track_caller]
fn talking(lab: &mut Lab, offer: &str) -> (Party, Party, [SocketAddr; 2]) {
    let (mut caller, leg) = calling(lab, C, &[], offer);
    leg.respond_with(lab, "200 OK", &[], &described(C, 5_000));
    let answer = caller.answered_and_acked(lab);
    lab.expect(C, "ACK");
    let told = [place(&answer.body), place(&leg.invite.body)];
    (Party::caller(&caller, &answer), Party::callee(&leg), told)
}

/// A is played this one tone at its port 4000: payload type and SSRC.
#[track_caller]
fn tone(lab: &mut Lab) -> (u8, [u8; 4]) {
    let played = lab.played(20);
    let first = played.first().expect("a tone");
    assert_eq!(first.to, at(A, 4_000));
    let numbers = |packet: &[u8]| -> (u8, [u8; 4]) {
        (packet[1] & 0x7F, packet[8..12].try_into().expect("four bytes"))
    };
    assert!(played.iter().all(|other| numbers(&other.packet) == numbers(&first.packet)));
    numbers(&first.packet)
}

#[track_caller]
fn assert_without_body(response: &Sip) {
    assert_eq!((&response.body[..], response.has("Content-Type")), ("", false), "{}", response.text());
}

#[test]
fn what_a_refusal_describes_goes_no_further() {
    let mut lab = anchored(|_| {});
    let (caller, c) = calling(&mut lab, C, &[], &described(A, 4_000));
    c.respond_with(&mut lab, "488 Not Acceptable Here", &["Warning: 305 c \"no\""], &described(C, 5_000));
    lab.expect(C, "ACK");
    let refusal = caller.refused(&mut lab, 488);
    assert_without_body(&refusal);
    assert!(refusal.has("Warning"));
    lab.finish();
}

#[test]
fn what_is_no_description_passes_with_a_refusal() {
    let mut lab = anchored(|_| {});
    let (caller, c) = calling(&mut lab, C, &[], &described(A, 4_000));
    c.respond_with(&mut lab, "403 Forbidden", &["Content-Type: text/plain"], "no");
    lab.expect(C, "ACK");
    assert_eq!(caller.refused(&mut lab, 403).body, "no");
    lab.finish();
}

#[test]
fn what_the_refusal_of_a_re_invite_describes_opens_no_port() {
    let mut lab = anchored(|_| {});
    let (mut a, c, told) = talking(&mut lab, &described(A, 4_000));
    let said = version(&lab.last_to(A).body);
    let offer = a.invite(&mut lab, &described(A, 4_000).replace("8 0", "0"));
    a.expect_response(&mut lab, &offer, 100);
    let relayed = c.expect(&mut lab, "INVITE");
    let capabilities = described(C, 5_000) + VIDEO + VIDEO;
    c.respond(&mut lab, &relayed, "488 Not Acceptable Here", &[], &capabilities);
    c.expect(&mut lab, "ACK");
    assert_without_body(&a.refused(&mut lab, &offer, 488));
    assert_eq!(lab.media_ports_used(), 2);
    // An UPDATE and its refusal are told the same way.
    let offer = a.update(&mut lab, &described(A, 4_000));
    let relayed = c.expect(&mut lab, "UPDATE");
    c.respond(&mut lab, &relayed, "488 Not Acceptable Here", &[], &capabilities);
    assert_without_body(&a.expect_response(&mut lab, &offer, 488));
    assert_eq!(lab.media_ports_used(), 2);
    // What A is told next is the same session as before.
    let offer = a.invite(&mut lab, &described(A, 4_000));
    a.expect_response(&mut lab, &offer, 100);
    let relayed = c.expect(&mut lab, "INVITE");
    c.respond(&mut lab, &relayed, "200 OK", &[], &described(C, 5_000));
    assert_eq!(version(&a.expect_response(&mut lab, &offer, 200).body), said);
    a.ack(&mut lab, &offer, "");
    c.expect(&mut lab, "ACK");
    assert_eq!(lab.rtp(at(A, 4_000), told[0]), Ok((told[1], at(C, 5_000))));
    bye_and_finish(lab, a, &c);
}

#[test]
fn a_late_offer_of_more_than_there_are_ports_for_is_heard_as_far_as_there_are() {
    let mut lab = anchored(|setup| setup.media_pairs = 3);
    let (mut a, c, told) = talking(&mut lab, &described(A, 4_000));
    let asked = a.invite(&mut lab, "");
    a.expect_response(&mut lab, &asked, 100);
    let relayed = c.expect(&mut lab, "INVITE");
    // C moves what works and adds what cannot.
    let body = described(C, 5_500) + VIDEO + VIDEO;
    c.respond(&mut lab, &relayed, "200 OK", &[], &body);
    let offered = a.expect_response(&mut lab, &asked, 200);
    let ports: Vec<u16> = places(&offered.body).iter().map(SocketAddr::port).collect();
    assert_eq!(ports, [told[0].port(), 0, 0]);
    assert!(places(&offered.body).iter().all(|place| place.ip() == MEDIA));
    let refused = "m=video 0 RTP/AVP 96\r\n";
    a.ack(&mut lab, &asked, &(described(A, 4_400) + refused + refused));
    c.expect(&mut lab, "ACK");
    assert_eq!(lab.rtp(at(A, 4_400), told[0]), Ok((told[1], at(C, 5_500))));
    assert_eq!(lab.rtp(at(C, 5_500), told[1]), Ok((told[0], at(A, 4_400))));
    assert_eq!(lab.media_ports_used(), 2);
    bye_and_finish(lab, a, &c);
}

#[test]
fn who_names_a_host_is_where_its_signalling_comes_from() {
    let mut lab = anchored(|_| {});
    let own = format!("c=IN IP4 {}", A.address.ip());
    let named = described(A, 4_000).replace(&own, "c=IN IP4 phone.example.net");
    assert!(named.contains("phone.example.net"));
    let (a, c, told) = talking(&mut lab, &named);
    assert_eq!(lab.rtp(at(C, 5_000), told[1]), Ok((told[0], at(A, 4_000))));
    assert_eq!(lab.rtp(at(A, 4_000), told[0]), Ok((told[1], at(C, 5_000))));
    assert!(lab.rtp(at(B, 4_000), told[0]).is_err());
    bye_and_finish(lab, a, &c);
}

#[test]
fn addresses_without_end_are_told_once() {
    let mut lab = anchored(|_| {});
    let offer = described(A, 4_000) + &"c=\r\na=rtcp\r\n".repeat(4_000);
    let (caller, c) = calling(&mut lab, C, &[], &offer);
    let lines = |start: &str| c.invite.body.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!((lines("c="), lines("a=rtcp")), (2, 1), "{}", c.invite.body);
    c.reject(&mut lab, "486 Busy Here");
    caller.refused(&mut lab, 486);
    lab.finish();
}

#[test]
fn a_description_that_outgrows_a_datagram_is_refused() {
    let mut lab = anchored(|_| {});
    // Streams that each get an address where they had none.
    let streams = "m=a 9 udptl\n".repeat(8);
    let offer = |fill: usize| format!("v=0\n{streams}a={}\n", "x".repeat(fill));
    let caller = invite(&mut lab, C, &[], &offer(64_600));
    caller.refused(&mut lab, 513);
    assert_eq!(lab.media_ports_used(), 0);
    lab.finish();
}

/// A has heard B's early media in PCMA; nobody answers there, and C rings.
#[track_caller]
fn forwarded(lab: &mut Lab, offer: &str, answer: &str) -> (Caller, Leg) {
    let (caller, b) = calling(lab, B, &[], offer);
    b.respond_with(lab, "183 Session Progress", &[], answer);
    lab.expect(A, "183 INVITE");
    lab.advance(20_000);
    lab.expect(A, "181 INVITE");
    b.cancelled(lab);
    let c = Leg::expect(lab, C);
    c.ring(lab);
    lab.expect(A, "180 INVITE");
    (caller, c)
}

#[track_caller]
fn given_up(mut lab: Lab, caller: Caller, c: &Leg) {
    caller.cancel(&mut lab);
    lab.expect(A, "200 CANCEL");
    caller.refused(&mut lab, 487);
    c.cancelled(&mut lab);
    lab.finish();
}

#[test]
fn ringback_comes_in_the_codec_that_was_agreed_on() {
    let offer = |formats: &str| described(A, 4_000).replace("8 0", formats);
    let answer = |formats: &str| described(B, 6_000).replace("8 0", formats);
    let named = "a=rtpmap:97 PCMA/8000\r\n";
    for (offered, answered, expected) in [
        (offer("0 8"), answer("8"), 8),
        (offer("0 8"), answer("8 0"), 8),
        (offer("8 0"), answer("0"), 0),
        (offer("0 97") + named, answer("97") + named, 97),
        // The payload type is that of whom it is sent to.
        (offer("0 97") + named, answer("8"), 97),
    ] {
        let mut lab = anchored(|_| {});
        let (caller, c) = forwarded(&mut lab, &offered, &answered);
        assert_eq!(tone(&mut lab).0, expected, "{answered}");
        given_up(lab, caller, &c);
    }
}

#[test]
fn without_g711_in_common_there_is_no_ringback() {
    for (offered, answered) in [("0 18", "18"), ("0", "8"), ("18", "18")] {
        let mut lab = anchored(|_| {});
        let offer = described(A, 4_000).replace("8 0", offered);
        let (caller, c) = forwarded(&mut lab, &offer, &described(B, 6_000).replace("8 0", answered));
        assert_eq!(lab.played(100).len(), 0, "{offered} {answered}");
        given_up(lab, caller, &c);
    }
}

#[test]
fn ringing_that_is_repeated_is_one_ringback() {
    let mut lab = anchored(|_| {});
    let (caller, c) = forwarded(&mut lab, &described(A, 4_000), &described(B, 6_000));
    let first = tone(&mut lab);
    lab.played(1_000);
    c.respond(&mut lab, "180 Ringing");
    lab.expect(A, "180 INVITE");
    assert_eq!(tone(&mut lab), first);
    given_up(lab, caller, &c);
}

#[test]
fn a_prack_that_offers_more_than_there_are_ports_for_holds_nothing_up() {
    let mut lab = anchored(|setup| setup.media_pairs = 2);
    let reliably = ["Supported: 100rel", "Allow: INVITE, ACK, CANCEL, BYE, PRACK, UPDATE"];
    let (mut caller, c) = calling(&mut lab, C, &reliably, &described(A, 4_000));
    c.reliable(&mut lab, "183 Session Progress", 1, &described(C, 5_000));
    let progress = lab.expect(A, "183 INVITE");
    let mut a = Party::caller(&caller, &progress);
    c.respond_with(&mut lab, "200 OK", &[], "");
    lab.expect_nothing();
    let prack = a.prack(&mut lab, &progress, &(described(A, 4_400) + VIDEO));
    a.expect_response(&mut lab, &prack, 488);
    let own = lab.expect(C, "PRACK");
    c.answer(&mut lab, &own, "200 OK");
    caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    let told = [place(&progress.body), place(&c.invite.body)];
    assert_eq!(lab.rtp(at(C, 5_000), told[1]), Ok((told[0], at(A, 4_000))));
    bye_and_finish(lab, a, &Party::callee(&c));
}
