//! What ends: ports that run out and come back, silence, and the figures that a call leaves.

use crate::media::rtp;
use crate::media::{Call, Dialog, Line, PATIENCE, Scene, sdp, wait_until};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The least that `--media-timeout` takes, in seconds.
const TIMEOUT_S: u64 = 5;
/// A silent call may live so much longer: what was said last counts, and timers have their own tick.
const LONGER: Duration = Duration::from_secs(3);
/// How long ports rest after a call, in milliseconds.
const QUARANTINE: &str = "1000";
/// When they do no more.
const RESTED: Duration = Duration::from_millis(1_200);

#[test]
fn without_a_free_port_new_calls_get_503_and_new_streams_488_and_nothing_leaks() {
    // Two pairs: one call with one stream.
    let scene = Scene::new(&["--rtp-ports", "30000-30003", "--rtp-quarantine", QUARANTINE]);
    let mut call = Call::new(&scene);
    call.assert_talk();
    let offer = sdp::of(scene.b.host(), 1, &[sdp::audio(40_000)]);
    for _ in 0..3 {
        let refused = scene.b.dial("1005", &offer);
        let response = scene.b.refused(&refused, 503);
        let after = response.header("Retry-After");
        assert!(after.parse::<u32>().is_ok_and(|seconds| seconds > 0), "Retry-After: {after}");
    }
    let with_video = [sdp::audio(call.a_line.port()), sdp::video(50_000)];
    let more = sdp::of(scene.a.host(), 2, &with_video);
    for method in ["INVITE", "UPDATE"] {
        scene.a.send_in(&call.a, method, &more);
        match method {
            "INVITE" => scene.a.refused(&call.a, 488),
            _ => scene.a.response(&call.a, method, 488),
        };
        call.assert_talk();
    }
    scene.server.counts("media_ports_missing_total", 5);
    call.assert_talk();
    // What does not want more is taken.
    let moved = Line::new(scene.a.host());
    let again = sdp::of(scene.a.host(), 3, &[sdp::audio(moved.port())]);
    let answer = sdp::of(scene.c.host(), 1, &[sdp::audio(call.c_line.port())]);
    call.offer_anew(&scene, &again, &answer);
    call.a_line = moved;
    call.assert_talk();
    call.end(&scene);
    // Twice: what a refused call had taken would be missing by now.
    for _ in 0..2 {
        let call = call_when_ports_are_back(&scene);
        call.assert_talk();
        call.end(&scene);
    }
}

/// Calls again and again while the ports rest.
#[track_caller]
fn call_when_ports_are_back(scene: &Scene) -> Call {
    let line = Line::new(scene.a.host());
    let offer = sdp::of(scene.a.host(), 1, &[sdp::audio(line.port())]);
    let mut found = None;
    wait_until("the ports come back", PATIENCE, || {
        let dialog = scene.a.dial("1005", &offer);
        let invite = scene.c.find(Duration::from_millis(200), |message| message.method() == Some("INVITE"));
        found = invite.map(|invite| (dialog, invite));
        found.is_some()
    });
    let (mut a, invite) = found.expect("an INVITE");
    let c = Dialog::called(&invite);
    let c_line = Line::new(scene.c.host());
    scene.c.respond(&invite, "200 OK", &sdp::of(scene.c.host(), 1, &[sdp::audio(c_line.port())]));
    let response = scene.a.answered(&mut a);
    scene.c.request_in(&c, "ACK");
    let (a_told, c_told) = (sdp::place(response.body()), sdp::place(invite.body()));
    Call { a, c, a_line: line, c_line, a_told, c_told, invite, response }
}

#[test]
fn a_silent_call_ends_with_its_reason_and_one_on_hold_goes_on() {
    let scene = Scene::new(&["--media-timeout", &TIMEOUT_S.to_string()]);
    let talking = Call::new(&scene);
    let mut held = Call::new(&scene);
    held.assert_talk();
    let host = scene.a.host();
    let offer = sdp::of(host, 2, &[sdp::audio(held.a_line.port()) + "a=inactive\r\n"]);
    let answer = sdp::of(scene.c.host(), 2, &[sdp::audio(held.c_line.port()) + "a=inactive\r\n"]);
    held.offer_anew(&scene, &offer, &answer);

    // One side alone keeps a call alive.
    talking.a_line.talk(talking.a_told, 50 * (TIMEOUT_S as usize + 1));
    let silent = Instant::now();
    let found = scene.a.find(Duration::ZERO, |message| message.method() == Some("BYE"));
    assert_eq!(found, None, "a call in which one talks has ended");
    for (phone, dialog) in [(&scene.a, &talking.a), (&scene.c, &talking.c)] {
        let bye = phone.hung_up(dialog);
        let took = silent.elapsed();
        assert!(bye.header("Reason").starts_with("Q.850;cause=102;text="), "{bye:?}");
        let least = Duration::from_secs(TIMEOUT_S) - Duration::from_millis(200);
        assert!((least..least + LONGER).contains(&took), "it took {took:?}");
    }
    // By now the other has been silent for twice as long.
    let offer = sdp::of(host, 3, &[sdp::audio(held.a_line.port())]);
    let answer = sdp::of(scene.c.host(), 3, &[sdp::audio(held.c_line.port())]);
    held.offer_anew(&scene, &offer, &answer);
    held.assert_talk();
    scene.a.hung_up(&held.a);
    scene.c.hung_up(&held.c);
    scene.server.counts("calls_silent_total", 2);
    let causes = || scene.server.records().iter().filter(|record| record["cause"] == "media timeout").count();
    wait_until("two records for each call", PATIENCE, || causes() == 4);
}

#[test]
fn the_silence_of_one_party_is_enough_where_the_operator_says_so() {
    let timeout = TIMEOUT_S.to_string();
    let scene = Scene::new(&["--media-timeout", &timeout, "--media-silence", "one"]);
    let call = Call::new(&scene);
    call.assert_talk();
    call.a_line.talk(call.a_told, 50 * (TIMEOUT_S as usize + 1));
    scene.c.hung_up(&call.c);
    scene.a.hung_up(&call.a);
}

#[test]
fn with_no_timeout_a_silent_call_goes_on() {
    let scene = Scene::new(&["--media-timeout", "0"]);
    let call = Call::new(&scene);
    std::thread::sleep(Duration::from_secs(TIMEOUT_S) + LONGER);
    call.assert_talk();
    call.end(&scene);
}

#[test]
fn records_say_what_was_received_sent_and_lost_on_each_side() {
    let scene = Scene::new(&[]);
    let call = Call::new(&scene);
    let (a, c) = (&call.a_line, &call.c_line);
    // 40 packets with a gap of three, and 25.
    a.talk(call.a_told, 20);
    a.lose(3);
    a.talk(call.a_told, 20);
    c.talk(call.c_told, 25);
    assert_eq!((c.drain().len(), a.drain().len()), (40, 25));
    // C reports that it missed five of what it was sent, and a jitter of 80 ticks: 10 ms.
    let report = rtp::receiver_report(c.ssrc, a.ssrc, 5, 80);
    let rtcp = |place: SocketAddr| SocketAddr::new(place.ip(), place.port() + 1);
    c.rtcp.send_to(&report, rtcp(call.c_told)).expect("sent");
    assert_eq!(rtp::receive(&a.rtcp, PATIENCE), Some((report, rtcp(call.a_told))));
    // A stranger's are counted as dropped.
    let stranger = Line::new(scene.c.host());
    for _ in 0..4 {
        stranger.send(call.c_told);
    }
    call.a_line.is_quiet();
    call.end(&scene);
    wait_until("both records", PATIENCE, || scene.server.records().len() == 2);
    for record in scene.server.records() {
        let is_caller = record["leg"] == 0;
        let (received, lost, sent, dropped) = if is_caller { (40, 3, 25, 0) } else { (25, 0, 40, 4) };
        let media = &record["media"];
        // 12 bytes of header and 160 of G.711 each.
        assert_eq!(media["received"]["packets"], received, "{record}");
        assert_eq!(media["received"]["bytes"], received * 172, "{record}");
        assert_eq!(media["received"]["lost"], lost, "{record}");
        assert_eq!(media["sent"]["packets"], sent, "{record}");
        assert_eq!(media["sent"]["bytes"], sent * 172, "{record}");
        assert_eq!(media["dropped"], dropped, "{record}");
        let (missed, jitter_ms) = if is_caller { (0, 0.0) } else { (5, 10.0) };
        assert_eq!(media["sent"]["lost"], missed, "{record}");
        assert_eq!(media["sent"]["jitter_ms"], jitter_ms, "{record}");
        let jitter_ms = media["received"]["jitter_ms"].as_f64().expect("a number");
        // Sent 20 ms apart by a thread that sleeps, on a machine that does other things too.
        assert!((0.0..15.0).contains(&jitter_ms), "{record}");
    }
}

#[test]
fn ports_of_a_leg_that_was_cancelled_come_back() {
    // Three pairs: A's, B's and C's.
    let scene = Scene::new(&["--rtp-ports", "30000-30005", "--rtp-quarantine", QUARANTINE]);
    let (a, b, c) = (&scene.a, &scene.b, &scene.c);
    for round in 0..2 {
        if round > 0 {
            std::thread::sleep(RESTED);
        }
        let line = Line::new(a.host());
        let mut dialog = a.dial("1004", &sdp::of(a.host(), 1, &[sdp::audio(line.port())]));
        let b_invite = b.request("INVITE");
        b.respond(&b_invite, "180 Ringing", "");
        let cancel = b.request("CANCEL");
        b.respond(&cancel, "200 OK", "");
        b.respond(&b_invite, "487 Request Terminated", "");
        let invite = c.request("INVITE");
        c.respond(&invite, "200 OK", &sdp::of(c.host(), 1, &[sdp::audio(Line::new(c.host()).port())]));
        a.answered(&mut dialog);
        let c_dialog = Dialog::called(&invite);
        c.request_in(&c_dialog, "ACK");
        a.send_in(&dialog, "BYE", "");
        c.hung_up(&c_dialog);
        a.response(&dialog, "BYE", 200);
    }
}
