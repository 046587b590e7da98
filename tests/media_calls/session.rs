//! Within the call: hold, moved media, streams that come and go, late offers, refresh.

use crate::lab::media::{at, described, place, places, version};
use crate::lab::party::{Party, talk};
use crate::lab::peer::{A, B, C, MEDIA, Peer};
use crate::{A_PORT, C_PORT, End, Talk, anchored, assert_heard};
use ringway::media::Dropped;

const VIDEO: &str = "m=video 6000 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n";

fn with_video(body: &str, port: u16) -> String {
    body.to_owned() + &VIDEO.replace("6000", &port.to_string())
}

fn directed(body: &str, direction: &str) -> String {
    format!("{body}a={direction}\r\n")
}

#[test]
fn a_hold_is_told_and_taken_back_and_media_passes_then() {
    for (held, answer) in [("sendonly", "recvonly"), ("inactive", "inactive")] {
        let mut talk = Talk::new();
        talk.assert_heard();
        let (offer, back) = (described(A, A_PORT), described(C, C_PORT));
        let (to_c, to_a) = talk.offer(&directed(&offer, held), &directed(&back, answer));
        assert!(to_c.ends_with(&format!("a={held}\r\n")), "{to_c}");
        assert!(to_a.ends_with(&format!("a={answer}\r\n")), "{to_a}");
        let (c_again, a_again) = talk.offer(&offer, &back);
        for (held, again) in [(to_c, c_again), (to_a, a_again)] {
            assert_eq!((place(&held), version(&held) + 1), (place(&again), version(&again)));
        }
        talk.assert_heard();
        talk.finish();
    }
}

#[test]
fn an_old_hold_names_the_zero_address_and_gets_nothing() {
    let mut talk = Talk::new();
    talk.assert_heard();
    let offer = described(A, A_PORT);
    let zero = offer.replace("c=IN IP4 127.0.0.137", "c=IN IP4 0.0.0.0");
    let (to_c, _) = talk.offer(&zero, &described(C, C_PORT));
    assert!(to_c.contains("c=IN IP4 0.0.0.0\r\n"), "{to_c}");
    let (a_end, c_end) = (talk.a_end, talk.c_end);
    assert_eq!(talk.lab.rtp(c_end.own, c_end.told), Err(Dropped::Nowhere));
    let (to_c, _) = talk.offer(&offer, &described(C, C_PORT));
    assert_eq!(place(&to_c), c_end.told);
    assert_heard(&mut talk.lab, a_end, c_end);
    talk.finish();
}

#[test]
fn moved_media_is_learned_anew_and_the_old_source_is_refused() {
    let mut talk = Talk::new();
    talk.assert_heard();
    let (to_c, to_a) = talk.offer(&described(A, 4_400), &described(C, C_PORT));
    assert_eq!((place(&to_c), place(&to_a)), (talk.c_end.told, talk.a_end.told));
    let moved = End { own: at(A, 4_400), ..talk.a_end };
    // Nobody has sent from there: what C says goes where A wants it.
    assert_eq!(talk.lab.rtp(talk.c_end.own, talk.c_end.told), Ok((moved.told, moved.own)));
    assert_heard(&mut talk.lab, moved, talk.c_end);
    assert_eq!(talk.lab.rtp(talk.a_end.own, moved.told), Err(Dropped::Source));
    let (_, to_c) = talk.offer_back(&described(C, 5_500), &described(A, 4_400));
    assert_eq!(place(&to_c), talk.c_end.told);
    assert_heard(&mut talk.lab, moved, End { own: at(C, 5_500), ..talk.c_end });
    talk.finish();
}

#[test]
fn a_party_that_asks_from_another_host_is_heard_from_there() {
    let mut talk = Talk::new();
    talk.assert_heard();
    // Behind a NAT of its own: what it describes is not where it sends from.
    let roaming = crate::lab::peer::D;
    talk.a.move_to(roaming);
    let described = described(A, 4_400).replace("127.0.0.137", "10.1.1.1");
    talk.offer(&described, &crate::lab::media::described(C, C_PORT));
    let moved = End { own: at(roaming, 9_999), ..talk.a_end };
    // Behind a NAT three packets in a row show who it is.
    for _ in 0..3 {
        talk.lab.rtp(moved.own, moved.told).expect("relayed");
    }
    assert_heard(&mut talk.lab, moved, talk.c_end);
    assert_eq!(talk.lab.rtp(at(A, 4_400), moved.told), Err(Dropped::Source));
    talk.finish();
}

#[test]
fn a_refused_re_invite_leaves_everything_as_it_was() {
    for by_callee in [false, true] {
        let mut talk = Talk::new();
        let used = talk.lab.media_ports_used();
        let Talk { lab, a, c, .. } = &mut talk;
        let (asker, other, peer) = if by_callee { (c, &*a, C) } else { (a, &*c, A) };
        let invite = asker.invite(lab, &with_video(&described(peer, 4_400), 6_000));
        asker.expect_response(lab, &invite, 100);
        let relayed = other.expect(lab, "INVITE");
        assert_eq!(places(&relayed.body).len(), 2);
        assert_eq!(lab.media_ports_used(), used + 2);
        other.refuse(lab, &relayed, "488 Not Acceptable Here");
        asker.refused(lab, &invite, 488);
        assert_eq!(lab.media_ports_used(), used, "ports of the added stream come back");
        talk.assert_heard();
        let end = if by_callee { talk.c_end } else { talk.a_end };
        assert_eq!(talk.lab.rtp(at(peer, 4_400), end.told), Err(Dropped::Source));
        talk.finish();
    }
}

#[test]
fn a_cancelled_re_invite_leaves_everything_as_it_was() {
    for answers in [true, false] {
        let mut talk = Talk::new();
        let Talk { lab, a, c, .. } = &mut talk;
        let invite = a.invite(lab, &with_video(&described(A, 4_400), 6_000));
        a.expect_response(lab, &invite, 100);
        let relayed = c.expect(lab, "INVITE");
        c.answer(lab, &relayed, "180 Ringing");
        a.expect_response(lab, &invite, 180);
        a.cancel(lab, &invite);
        a.expect(lab, "200 CANCEL");
        let cancel = c.expect(lab, "CANCEL");
        c.answer(lab, &cancel, "200 OK");
        match answers {
            true => c.refuse(lab, &relayed, "487 Request Terminated"),
            false => lab.advance(crate::lab::T1X64_MS + 40),
        }
        a.refused(lab, &invite, 487);
        assert_eq!(lab.media_ports_used(), 2);
        talk.assert_heard();
        talk.finish();
    }
}

#[test]
fn streams_are_added_refused_and_taken_back() {
    let mut talk = Talk::new();
    let (offer, answer) = (described(A, A_PORT), described(C, C_PORT));
    // Refused.
    let (to_c, to_a) = talk.offer(&with_video(&offer, 6_000), &with_video(&answer, 0));
    assert_ne!(places(&to_c)[1].port(), 0);
    assert_eq!(places(&to_a)[1].port(), 0);
    assert_eq!(talk.lab.media_ports_used(), 2);
    talk.assert_heard();
    // Taken.
    let (to_c, to_a) = talk.offer(&with_video(&offer, 6_000), &with_video(&answer, 6_600));
    let (to_c, to_a) = (places(&to_c), places(&to_a));
    let video = [End { own: at(A, 6_000), told: to_a[1] }, End { own: at(C, 6_600), told: to_c[1] }];
    assert_heard(&mut talk.lab, video[0], video[1]);
    assert_eq!(talk.lab.media_ports_used(), 4);
    talk.assert_heard();
    // Given up by the one that is asked for nothing.
    let (_, to_c) = talk.offer_back(&with_video(&answer, 0), &with_video(&offer, 0));
    assert_eq!(places(&to_c)[1].port(), 0);
    assert_eq!(talk.lab.media_ports_used(), 2);
    assert_eq!(talk.lab.rtp(video[0].own, video[0].told), Err(Dropped::Stray));
    talk.assert_heard();
    // And taken back.
    let (to_a, to_c) = talk.offer_back(&with_video(&answer, 6_600), &with_video(&offer, 6_000));
    let video = [
        End { own: at(A, 6_000), told: places(&to_a)[1] },
        End { own: at(C, 6_600), told: places(&to_c)[1] },
    ];
    assert_heard(&mut talk.lab, video[0], video[1]);
    talk.assert_heard();
    talk.finish();
}

#[test]
fn a_stream_that_the_first_answer_refuses_has_no_ports() {
    let (offer, answer) = (with_video(&described(A, A_PORT), 6_000), with_video(&described(C, C_PORT), 0));
    let mut talk = Talk::with(anchored(|_| {}), &offer, &answer);
    assert_eq!(talk.lab.media_ports_used(), 2);
    talk.assert_heard();
    talk.finish();
}

#[test]
fn a_late_offer_in_a_re_invite_counts_with_its_ack() {
    for answered in [true, false] {
        let mut talk = Talk::new();
        let Talk { lab, a, c, a_end, .. } = &mut talk;
        let invite = a.invite(lab, "");
        a.expect_response(lab, &invite, 100);
        let relayed = c.expect(lab, "INVITE");
        c.respond(lab, &relayed, "200 OK", &[], &with_video(&described(C, 5_500), 6_600));
        let offered = a.expect_response(lab, &invite, 200);
        assert_eq!(places(&offered.body)[0], a_end.told);
        assert_eq!(lab.media_ports_used(), 4);
        let answer = with_video(&described(A, 4_400), 0);
        a.ack(lab, &invite, if answered { &answer } else { "" });
        let ack = c.expect(lab, "ACK");
        assert_eq!(ack.body.is_empty(), !answered);
        assert_eq!(lab.media_ports_used(), 2, "the video has come to nothing");
        if answered {
            (talk.a_end.own, talk.c_end.own) = (at(A, 4_400), at(C, 5_500));
        }
        talk.assert_heard();
        talk.finish();
    }
}

#[test]
fn an_update_moves_media_or_leaves_it() {
    let mut talk = Talk::new();
    for (status, moves) in [("488 Not Acceptable Here", false), ("200 OK", true)] {
        let Talk { lab, a, c, c_end, .. } = &mut talk;
        let update = a.update(lab, &described(A, 4_400));
        let relayed = c.expect(lab, "UPDATE");
        assert_eq!(place(&relayed.body), c_end.told);
        c.respond(lab, &relayed, status, &[], if moves { &*BACK } else { "" });
        a.expect_response(lab, &update, status[..3].parse().expect("a status"));
        if moves {
            talk.a_end.own = at(A, 4_400);
        }
        talk.assert_heard();
    }
    talk.finish();
}

static BACK: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| described(C, C_PORT));

#[test]
fn glare_leaves_everything_as_it_was() {
    let mut talk = Talk::new();
    let Talk { lab, a, c, .. } = &mut talk;
    let invite = a.invite(lab, &described(A, 4_400));
    a.expect_response(lab, &invite, 100);
    let relayed = c.expect(lab, "INVITE");
    let crossing = c.invite(lab, &described(C, 5_500));
    c.refused(lab, &crossing, 491);
    c.refuse(lab, &relayed, "491 Request Pending");
    a.refused(lab, &invite, 491);
    talk.assert_heard();
    assert_eq!(talk.lab.rtp(at(C, 5_500), talk.c_end.told), Err(Dropped::Source));
    talk.finish();
}

#[test]
fn a_description_that_cannot_be_read_is_refused_and_other_bodies_pass() {
    let mut talk = Talk::new();
    let Talk { lab, a, c, .. } = &mut talk;
    let invite = a.invite(lab, "v=0\r\nm=audio what\r\n");
    a.refused(lab, &invite, 488);
    let update = a.update(lab, "no description");
    a.expect_response(lab, &update, 488);
    let kind = "Content-Type: application/x-other";
    let invite = a.request(lab, "INVITE", &[kind], "anything");
    a.expect_response(lab, &invite, 100);
    let relayed = c.expect(lab, "INVITE");
    assert_eq!(relayed.body, "anything");
    c.refuse(lab, &relayed, "415 Unsupported Media Type");
    a.refused(lab, &invite, 415);
    talk.assert_heard();
    talk.finish();
}

#[test]
fn of_several_parts_the_description_is_told_anew() {
    let mut talk = Talk::new();
    let sdp = described(A, 4_400);
    let body = |sdp: &str| {
        format!(
            "--x\r\nContent-Type: application/x-other\r\n\r\nc=IN IP4 127.0.0.137\r\n--x\r\n\
             Content-Type: application/sdp\r\n\r\n{sdp}--x--\r\n"
        )
    };
    let Talk { lab, a, c, c_end, .. } = &mut talk;
    let invite = a.request(lab, "INVITE", &["Content-Type: multipart/mixed;boundary=x"], &body(&sdp));
    a.expect_response(lab, &invite, 100);
    let relayed = c.expect(lab, "INVITE");
    let part = relayed.body.split("application/sdp\r\n\r\n").nth(1).expect("a part");
    let part = part.strip_suffix("--x--\r\n").expect("its end");
    assert_eq!(place(part), c_end.told);
    assert_eq!(relayed.body, body(part));
    c.respond(lab, &relayed, "200 OK", &[], &described(C, C_PORT));
    a.expect_response(lab, &invite, 200);
    a.ack(lab, &invite, "");
    c.expect(lab, "ACK");
    talk.a_end.own = at(A, 4_400);
    talk.assert_heard();
    talk.finish();
}

#[test]
fn a_refresh_by_re_invite_repeats_the_same_session_in_the_same_version() {
    let mut lab = anchored(|setup| setup.settings.session_expires_s = 90);
    let (a, c) = talk(&mut lab, &[], &["Session-Expires: 90;refresher=uac", "Require: timer"]);
    let first = lab.trace.iter().rev().find_map(|entry| {
        let sip = entry.sip.as_ref()?;
        (entry.peer == C.address && sip.method == "INVITE" && sip.is_request()).then(|| sip.body.clone())
    });
    for _ in 0..2 {
        lab.advance(45_100);
        let refresh = c.expect(&mut lab, "INVITE");
        assert_eq!(Some(&refresh.body), first.as_ref());
        assert_eq!(place(&refresh.body).ip(), MEDIA);
        let lines = ["Session-Expires: 90;refresher=uac", "Require: timer"];
        c.respond(&mut lab, &refresh, "200 OK", &lines, crate::lab::callee::ANSWER);
        c.expect(&mut lab, "ACK");
    }
    crate::lab::party::bye_and_finish(lab, a, &c);
}

#[test]
fn after_a_forwarding_the_target_asks_and_is_asked() {
    let mut lab = anchored(|_| {});
    let (mut caller, b) = crate::calling(&mut lab, B, &[]);
    b.reject(&mut lab, "408 Request Timeout");
    lab.sent();
    let c = crate::lab::callee::Leg { peer: C, invite: lab.last_to(C), tag: "11".into(), cseq: 222 };
    c.respond_with(&mut lab, "200 OK", &[], &described(C, C_PORT));
    let answer = caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    let (a_end, c_end) = (End::new(A, A_PORT, &answer.body), End::new(C, C_PORT, &c.invite.body));
    let (a, c) = (Party::caller(&caller, &answer), Party::callee(&c));
    let mut talk = Talk { lab, a, c, a_end, c_end };
    talk.assert_heard();
    talk.offer_back(&described(C, 5_500), &described(A, 4_400));
    (talk.a_end.own, talk.c_end.own) = (at(A, 4_400), at(C, 5_500));
    talk.assert_heard();
    talk.finish();
}

#[test]
fn a_phone_behind_a_nat_that_moves_is_learned_anew_though_it_describes_the_same_place() {
    let private = described(A, A_PORT).replace("127.0.0.137", "10.0.0.7");
    let mut talk = Talk::with(anchored(|_| {}), &private, &described(C, C_PORT));
    let (a_told, c_end) = (talk.a_end.told, talk.c_end);
    for _ in 0..3 {
        assert_eq!(talk.lab.rtp(at(A, 61_000), a_told), Ok((c_end.told, c_end.own)));
    }
    assert_eq!(talk.lab.rtp(c_end.own, c_end.told), Ok((a_told, at(A, 61_000))));
    let roaming = Peer { address: "127.0.0.77:5060".parse().expect("an address"), ..A };
    talk.a.move_to(roaming);
    talk.offer(&private, &described(C, C_PORT));
    assert_eq!(talk.lab.rtp(at(A, 61_000), a_told), Err(Dropped::Source));
    assert_eq!(talk.lab.rtp(c_end.own, c_end.told), Ok((a_told, at(roaming, A_PORT))));
    talk.finish();
}

#[test]
fn streams_behind_the_eighth_and_what_is_no_media_are_refused() {
    let eight = described(A, A_PORT) + &VIDEO.repeat(7);
    for (more, refused) in
        [(VIDEO, 8), ("m=application 7000 UDP/DTLS/SCTP x\r\n", 1), ("m=x 7000 UDP x\r\n", 1)]
    {
        let offer = match refused {
            8 => eight.clone() + more,
            _ => described(A, A_PORT) + more,
        };
        let mut lab = anchored(|_| {});
        let (caller, c) = crate::calling_with(&mut lab, C, &[], &offer);
        let told = places(&c.invite.body);
        assert_eq!(told[refused].port(), 0, "{}", c.invite.body);
        assert!(told[..refused].iter().all(|place| place.port() > 0));
        assert_eq!(lab.media_ports_used(), 2 * refused);
        crate::lab::scene::refuse_and_finish(lab, &caller, &c);
    }
}
