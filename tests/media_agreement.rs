//! Which descriptions count where several exchanges of a call meet: refused offers, phones that answer in
//! turn, what was never sent, the end (RFC 3264 §8, RFC 3261 §13.2.1; SIP_RULES 15, 18).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::callee::Leg;
use lab::caller::{Caller, Invite};
use lab::group::{self, B1, B2};
use lab::media::{at, place, places, version};
use lab::party::Party;
use lab::peer::{A, B, C, Peer, Setup};
use lab::sip::Sip;
use ringway::media::Dropped;
use std::net::SocketAddr;

const RELIABLE: [&str; 2] = ["Supported: 100rel", "Allow: INVITE, ACK, CANCEL, BYE, PRACK, UPDATE"];
const PROGRESS: &str = "183 Session Progress";

fn described(peer: Peer, port: u16, formats: &str) -> String {
    let ip = peer.address.ip();
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP {formats}\r\n"
    )
}

fn anchored() -> Lab {
    Lab::with(Setup::anchor)
}

fn group_of_two() -> Lab {
    group::lab_with(&[1_000, 1_000], Setup::anchor)
}

#[track_caller]
fn dial(lab: &mut Lab, to: Peer, lines: &[&str], body: &str) -> Caller {
    let mut invite = Invite::new(lab, A, to.number).body(body);
    invite.lines = lines.iter().map(|line| line.to_string()).collect();
    let caller = invite.send(lab);
    lab.expect(A, "100 INVITE");
    caller
}

/// A leg's first reliable 183, which A acknowledges.
#[track_caller]
fn first_answer(lab: &mut Lab, caller: &mut Caller, leg: &Leg, body: &str) -> (Party, Sip) {
    leg.reliable(lab, PROGRESS, 1, body);
    let progress = lab.expect(A, "183 INVITE");
    let mut a = Party::caller(caller, &progress);
    let prack = a.prack(lab, &progress, "");
    let relayed = lab.expect(leg.peer, "PRACK");
    leg.answer(lab, &relayed, "200 OK");
    a.expect_response(lab, &prack, 200);
    caller.cseq = a.cseq;
    (a, progress)
}

/// Where a packet that the party sends from there to the server's port goes.
#[track_caller]
fn goes(lab: &mut Lab, (peer, port): (Peer, u16), told: SocketAddr) -> Result<SocketAddr, Dropped> {
    lab.rtp(at(peer, port), told).map(|(_, destination)| destination)
}

/// The codecs, and the version, of a description that the server has told.
#[track_caller]
fn told(body: &str) -> (String, u64) {
    let media = body.lines().find(|line| line.starts_with("m=")).expect("a stream");
    (media.split(' ').skip(3).collect::<Vec<_>>().join(" "), version(body))
}

#[test]
fn an_update_that_is_refused_for_another_phones_answer_leaves_the_callers_place() {
    let mut lab = group_of_two();
    let mut caller = dial(&mut lab, B, &RELIABLE, &described(A, 4_000, "8"));
    let [b1, b2] = group::started(&mut lab, [B1, B2]);
    let (mut a, _) = first_answer(&mut lab, &mut caller, &b1, &described(B1, 5_000, "8"));
    let update = a.update(&mut lab, &described(A, 4_444, "8"));
    lab.expect(B1, "UPDATE");
    b2.respond_with(&mut lab, "200 OK", &[], &described(B2, 6_000, "8"));
    lab.expect(B1, "CANCEL");
    a.expect_response(&mut lab, &update, 500);
    lab.expect(A, "200 INVITE");
    assert_eq!(goes(&mut lab, (B2, 6_000), place(&b2.invite.body)), Ok(at(A, 4_000)));
    lab.abandon();
}

#[test]
fn an_update_that_crosses_the_answer_counts_when_it_is_answered_and_only_then() {
    for status in [200, 488] {
        let mut lab = anchored();
        let mut caller = dial(&mut lab, C, &RELIABLE, &described(A, 4_000, "8"));
        let leg = Leg::expect(&mut lab, C);
        let (mut a, progress) = first_answer(&mut lab, &mut caller, &leg, &described(C, 5_000, "8"));
        let update = a.update(&mut lab, &described(A, 4_444, "8"));
        let relayed = lab.expect(C, "UPDATE");
        leg.respond_with(&mut lab, "200 OK", &[], "");
        lab.expect(A, "200 INVITE");
        let c_told = place(&leg.invite.body);
        assert_eq!(goes(&mut lab, (C, 5_000), c_told), Ok(at(A, 4_000)), "before the answer");
        let c = Party::callee(&leg);
        let (line, port) = match status {
            200 => ("200 OK", 4_444),
            _ => ("488 Not Acceptable Here", 4_000),
        };
        let body = if status == 200 { described(C, 5_000, "8") } else { String::new() };
        c.respond(&mut lab, &relayed, line, &[], &body);
        a.expect_response(&mut lab, &update, status);
        assert_eq!(goes(&mut lab, (C, 5_000), c_told), Ok(at(A, port)), "{status}");
        assert_eq!(goes(&mut lab, (A, port), place(&progress.body)), Ok(at(C, 5_000)), "{status}");
        lab.abandon();
    }
}

#[test]
fn a_refused_update_closes_nothing_that_a_phone_was_told_before() {
    // By the phone, and by the server, for its interval.
    for (lines, status) in [(&[][..], 488), (&["Supported: timer", "Session-Expires: 60"], 422)] {
        for again in [true, false] {
            let mut lab = group_of_two();
            let mut caller = dial(&mut lab, B, &RELIABLE, &described(A, 4_000, "8"));
            let [b1, b2] = group::started(&mut lab, [B1, B2]);
            let (mut a, progress) = first_answer(&mut lab, &mut caller, &b1, &described(B1, 5_000, "8"));
            b2.reliable(&mut lab, PROGRESS, 1, &described(B2, 6_000, "8"));
            let prack = lab.expect(B2, "PRACK");
            b2.answer(&mut lab, &prack, "200 OK");
            b1.reject(&mut lab, "486 Busy Here");
            lab.expect(A, "180 INVITE");
            let update = a.request(&mut lab, "UPDATE", lines, &described(A, 4_000, "8"));
            if status == 488 {
                let relayed = lab.expect(B2, "UPDATE");
                assert_eq!(place(&relayed.body), place(&b2.invite.body));
                b2.answer(&mut lab, &relayed, "488 Not Acceptable Here");
            }
            a.expect_response(&mut lab, &update, status);
            let body = if again { described(B2, 6_000, "8") } else { String::new() };
            b2.respond_with(&mut lab, "200 OK", &[], &body);
            lab.expect(A, "200 INVITE");
            assert_eq!(goes(&mut lab, (B2, 6_000), place(&b2.invite.body)), Ok(at(A, 4_000)));
            assert_eq!(goes(&mut lab, (A, 4_000), place(&progress.body)), Ok(at(B2, 6_000)));
            lab.abandon();
        }
    }
}

#[test]
fn a_stream_that_an_update_drops_is_silent_and_one_that_is_refused_gives_its_ports_back() {
    let mut lab = anchored();
    let video =
        |peer, audio, video: u16| described(peer, audio, "8") + &format!("m=video {video} RTP/AVP 8\r\n");
    let mut caller = dial(&mut lab, C, &RELIABLE, &video(A, 4_000, 4_002));
    let leg = Leg::expect(&mut lab, C);
    let (mut a, progress) = first_answer(&mut lab, &mut caller, &leg, &video(C, 5_000, 5_002));
    let [a_told, c_told] = [places(&progress.body), places(&leg.invite.body)];
    assert_eq!(goes(&mut lab, (C, 5_002), c_told[1]), Ok(at(A, 4_002)));
    let ports = lab.media_ports_used();
    // One more stream, which C refuses with everything else.
    let more = video(A, 4_000, 4_002) + "m=audio 4004 RTP/AVP 8\r\n";
    let update = a.update(&mut lab, &more);
    let relayed = lab.expect(C, "UPDATE");
    assert_eq!(lab.media_ports_used(), ports + 2);
    leg.answer(&mut lab, &relayed, "488 Not Acceptable Here");
    a.expect_response(&mut lab, &update, 488);
    assert_eq!(lab.media_ports_used(), ports);
    assert_eq!(goes(&mut lab, (C, 5_002), c_told[1]), Ok(at(A, 4_002)));
    // Without video.
    let update = a.update(&mut lab, &video(A, 4_000, 0));
    let relayed = lab.expect(C, "UPDATE");
    Party::callee(&leg).respond(&mut lab, &relayed, "200 OK", &[], &video(C, 5_000, 0));
    a.expect_response(&mut lab, &update, 200);
    assert_eq!(goes(&mut lab, (C, 5_002), c_told[1]), Err(Dropped::Nowhere));
    assert!(goes(&mut lab, (A, 4_002), a_told[1]).is_err());
    assert_eq!(goes(&mut lab, (C, 5_000), c_told[0]), Ok(at(A, 4_000)));
    lab.abandon();
}

#[test]
fn the_phone_that_wins_is_heard_where_it_said_itself() {
    // Both speak unreliably to the caller; the 200 repeats nothing.
    let mut lab = anchored();
    let mut caller = dial(&mut lab, C, &[], &described(A, 4_000, "8"));
    let first = Leg::expect(&mut lab, C);
    let second = first.fork("other");
    first.reliable(&mut lab, PROGRESS, 1, &described(C, 5_000, "8"));
    let progress = lab.expect(A, "183 INVITE");
    let prack = lab.expect(C, "PRACK");
    first.answer(&mut lab, &prack, "200 OK");
    let (a_told, c_told) = (place(&progress.body), place(&first.invite.body));
    second.respond_with(&mut lab, PROGRESS, &[], &described(C, 6_000, "8"));
    assert_eq!(lab.expect(A, "183 INVITE").body, progress.body, "the same, once more");
    assert_eq!(goes(&mut lab, (C, 6_000), c_told), Ok(at(A, 4_000)));
    first.respond_with(&mut lab, "200 OK", &[], "");
    let answer = caller.answered_and_acked(&mut lab);
    assert_eq!(answer.body, progress.body);
    lab.expect(C, "ACK");
    assert_eq!(goes(&mut lab, (A, 4_000), a_told), Ok(at(C, 5_000)));
    assert_eq!(goes(&mut lab, (C, 5_000), c_told), Ok(at(A, 4_000)));
    assert_eq!(goes(&mut lab, (C, 6_000), c_told), Err(Dropped::Source));
    lab.abandon();
}

#[test]
fn a_caller_keeps_the_first_description_and_is_offered_the_winners_after_its_ack() {
    let mut lab = anchored();
    let mut caller = dial(&mut lab, B, &[], &described(A, 4_000, "0 8"));
    let b = Leg::expect(&mut lab, B);
    b.respond_with(&mut lab, PROGRESS, &[], &described(B, 5_000, "0"));
    let progress = lab.expect(A, "183 INVITE");
    lab.advance(20_000);
    lab.expect(A, "181 INVITE");
    b.cancelled(&mut lab);
    let c = Leg::expect(&mut lab, C);
    c.respond_with(&mut lab, PROGRESS, &[], &described(C, 6_000, "8"));
    assert_eq!(lab.expect(A, "183 INVITE").body, "", "another one in the same dialog");
    assert_eq!(goes(&mut lab, (C, 6_000), place(&c.invite.body)), Ok(at(A, 4_000)));
    c.respond_with(&mut lab, "200 OK", &[], &described(C, 6_000, "8"));
    caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    let offer = lab.expect(A, "INVITE");
    let (codecs, number) = told(&progress.body);
    assert_eq!((codecs.as_str(), place(&offer.body)), ("0", place(&progress.body)));
    assert_eq!(told(&offer.body), ("8".to_owned(), number + 1));
    lab.abandon();
}

#[test]
fn the_version_steps_only_for_what_was_sent() {
    let mut lab = anchored();
    let mut caller = dial(&mut lab, C, &[], &described(A, 4_000, "8"));
    let leg = Leg::expect(&mut lab, C);
    leg.respond_with(&mut lab, "200 OK", &[], &described(C, 5_000, "8"));
    let answer = caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    let mut a = Party::caller(&caller, &answer);
    let hold = described(A, 4_000, "8") + "a=sendonly\r\n";
    let lines = ["Supported: timer", "Session-Expires: 60"];
    let invite = a.request(&mut lab, "INVITE", &lines, &hold);
    a.refused(&mut lab, &invite, 422);
    let update = a.request(&mut lab, "UPDATE", &lines, &hold);
    a.expect_response(&mut lab, &update, 422);
    a.invite(&mut lab, &described(A, 4_000, "8"));
    lab.expect(A, "100 INVITE");
    assert_eq!(lab.expect(C, "INVITE").body, leg.invite.body, "nothing else was said since");
    lab.abandon();
}

#[test]
fn a_refresh_repeats_what_the_caller_was_owed() {
    for is_anchored in [true, false] {
        let mut lab = group::lab_with(&[1_000, 1_000], |setup| {
            if is_anchored {
                setup.anchor();
            }
        });
        let lines = [
            "Supported: 100rel, timer",
            "Session-Expires: 90;refresher=uas",
            "Allow: INVITE, ACK, CANCEL, BYE, PRACK",
        ];
        let mut caller = dial(&mut lab, B, &lines, &described(A, 4_000, "0 8"));
        let [b1, b2] = group::started(&mut lab, [B1, B2]);
        let (a, _) = first_answer(&mut lab, &mut caller, &b1, &described(B1, 5_000, "0"));
        b2.reliable(&mut lab, PROGRESS, 1, &described(B2, 6_000, "8"));
        let prack = lab.expect(B2, "PRACK");
        b2.answer(&mut lab, &prack, "200 OK");
        b2.respond_with(&mut lab, "200 OK", &[], "");
        b1.cancelled(&mut lab);
        caller.answered_and_acked(&mut lab);
        let owed = lab.expect(A, "INVITE");
        let timer = ["Session-Expires: 90;refresher=uac", "Require: timer"];
        a.respond(&mut lab, &owed, "200 OK", &timer, &described(A, 4_000, "8"));
        lab.expect(B2, "ACK");
        lab.expect(A, "ACK");
        lab.advance(46_000);
        let refresh = lab.expect(A, "INVITE");
        assert_eq!(refresh.body, owed.body, "anchored: {is_anchored}");
        lab.abandon();
    }
}

#[test]
fn after_the_call_nobody_hears_anything() {
    // A hangs up, and C does not answer its BYE.
    let mut lab = anchored();
    let mut caller = dial(&mut lab, C, &[], &described(A, 4_000, "8"));
    let leg = Leg::expect(&mut lab, C);
    leg.respond_with(&mut lab, "200 OK", &[], &described(C, 5_000, "8"));
    let answer = caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    let (a_told, c_told) = (place(&answer.body), place(&leg.invite.body));
    assert_eq!(goes(&mut lab, (C, 5_000), c_told), Ok(at(A, 4_000)));
    caller.bye(&mut lab);
    lab.expect(A, "200 BYE");
    lab.expect(C, "BYE");
    assert_eq!(goes(&mut lab, (C, 5_000), c_told), Err(Dropped::Nowhere));
    assert_eq!(goes(&mut lab, (A, 4_000), a_told), Err(Dropped::Nowhere));
    lab.abandon();
}

#[test]
fn a_tone_ends_with_the_call_though_the_callee_answers_nothing() {
    let mut lab = anchored();
    let caller = dial(&mut lab, B, &[], &described(A, 4_000, "8"));
    let b = Leg::expect(&mut lab, B);
    b.respond_with(&mut lab, PROGRESS, &[], &described(B, 5_000, "8"));
    lab.expect(A, "183 INVITE");
    lab.advance(20_000);
    lab.expect(A, "181 INVITE");
    b.cancelled(&mut lab);
    Leg::expect(&mut lab, C).ring(&mut lab);
    lab.expect(A, "180 INVITE");
    assert!(!lab.played(100).is_empty());
    caller.cancel(&mut lab);
    lab.expect(A, "200 CANCEL");
    lab.expect(A, "487 INVITE");
    lab.expect(C, "CANCEL");
    assert_eq!(lab.played(10_000).len(), 0);
    lab.abandon();
}

/// A and C talk, and C has its session refreshed every 45 s.
#[track_caller]
fn talk(lab: &mut Lab) -> (Party, Party, SocketAddr) {
    let mut caller = dial(lab, C, &[], &described(A, 4_000, "8"));
    let leg = Leg::expect(lab, C);
    leg.respond_with(lab, "200 OK", &REFRESHED, &described(C, 5_000, "8"));
    let answer = caller.answered_and_acked(lab);
    lab.expect(C, "ACK");
    (Party::caller(&caller, &answer), Party::callee(&leg), place(&leg.invite.body))
}

const REFRESHED: [&str; 2] = ["Session-Expires: 90;refresher=uac", "Require: timer"];

/// C's session is refreshed.
#[track_caller]
fn refresh(lab: &mut Lab, c: &Party) {
    lab.advance(45_100);
    let refresh = lab.expect(C, "INVITE");
    c.respond(lab, &refresh, "200 OK", &REFRESHED, &described(C, 5_000, "8"));
    lab.expect(C, "ACK");
}

#[test]
fn a_refresh_brings_no_refused_offer_to_life() {
    // One that there were not enough ports for.
    let mut lab = Lab::with(|setup| {
        setup.anchor();
        setup.media_pairs = 3;
    });
    let (mut a, c, c_told) = talk(&mut lab);
    let ports = lab.media_ports_used();
    let body = described(A, 4_444, "8") + "m=video 7000 RTP/AVP 96\r\n";
    let invite = a.invite(&mut lab, &body);
    a.refused(&mut lab, &invite, 488);
    assert_eq!(lab.media_ports_used(), ports);
    refresh(&mut lab, &c);
    assert_eq!(goes(&mut lab, (C, 5_000), c_told), Ok(at(A, 4_000)));
    lab.abandon();

    // One of C's in a 200 that A's ACK does not answer.
    let mut lab = anchored();
    let (mut a, c, c_told) = talk(&mut lab);
    let invite = a.invite(&mut lab, "");
    lab.expect(A, "100 INVITE");
    let relayed = lab.expect(C, "INVITE");
    let moved = described(C, 5_555, "8") + "m=video 7000 RTP/AVP 96\r\n";
    c.respond(&mut lab, &relayed, "200 OK", &REFRESHED, &moved);
    let answer = lab.expect(A, "200 INVITE");
    assert_eq!(lab.media_ports_used(), 4);
    a.ack(&mut lab, &invite, "");
    assert!(lab.expect(C, "ACK").body.is_empty());
    assert_eq!(lab.media_ports_used(), 2);
    refresh(&mut lab, &c);
    assert_eq!(goes(&mut lab, (A, 4_000), place(&answer.body)), Ok(at(C, 5_000)));
    assert_eq!(goes(&mut lab, (C, 5_000), c_told), Ok(at(A, 4_000)));
    lab.abandon();
}

#[test]
fn a_re_invite_that_was_given_up_counts_for_nothing() {
    let mut lab = anchored();
    let (mut a, c, c_told) = talk(&mut lab);
    let invite = a.invite(&mut lab, &described(A, 4_444, "8"));
    lab.expect(A, "100 INVITE");
    let relayed = lab.expect(C, "INVITE");
    c.respond(&mut lab, &relayed, "180 Ringing", &[], "");
    lab.expect(A, "180 INVITE");
    a.cancel(&mut lab, &invite);
    lab.expect(A, "200 CANCEL");
    lab.expect(C, "CANCEL");
    // C answers nothing any more but the refresh that comes then.
    lab.advance(32_000);
    let sent = lab.last_to(A);
    a.ack_refusal(&mut lab, &invite, &sent);
    lab.advance(13_100);
    let refresh = lab.last_to(C);
    assert_eq!(refresh.summary(), "INVITE");
    c.respond(&mut lab, &refresh, "200 OK", &REFRESHED, &described(C, 5_000, "8"));
    assert_eq!(goes(&mut lab, (C, 5_000), c_told), Ok(at(A, 4_000)));
    lab.abandon();
}
