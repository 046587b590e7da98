//! Media through a forwarded call: early media that is cut, ringback, the ports that A keeps.

use crate::media::rtp::{self, HEADER_LENGTH, PCMA, SAMPLES, assert_hears, assert_talk};
use crate::media::server::NO_ANSWER_S;
use crate::media::{Dialog, Line, PATIENCE, Scene, sdp};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Its period and A-law: G.711's ringback in Europe is 425 Hz (ITU-T E.180).
const TONE_HZ: f64 = 425.0;

#[test]
fn in_the_reference_flow_every_leg_has_a_port_of_the_servers_and_audio_flows() {
    let scene = Scene::new(&[]);
    let (a, b, c) = (&scene.a, &scene.b, &scene.c);
    let [a_line, b_line, c_line] = [a, b, c].map(|phone| Line::new(phone.host()));
    let mut to_b = a.dial("1004", &sdp::of(a.host(), 1, &[sdp::audio(a_line.port())]));
    let b_invite = b.request("INVITE");
    b.respond(&b_invite, "180 Ringing", "");
    assert_eq!(a.response(&to_b, "INVITE", 180).body(), "");
    b.respond(&b_invite, "408 Request Timeout", "");
    let c_invite = c.request("INVITE");
    let c_dialog = Dialog::called(&c_invite);
    c.respond(&c_invite, "180 Ringing", "");
    c.respond(&c_invite, "200 OK", &sdp::of(c.host(), 1, &[sdp::audio(c_line.port())]));
    let response = a.answered(&mut to_b);
    c.request_in(&c_dialog, "ACK");

    let bodies = [b_invite.body(), c_invite.body(), response.body()];
    for body in bodies {
        scene.server.assert_own(body);
        let codecs = format!("RTP/AVP {}", sdp::CODECS);
        assert!(body.contains(&codecs) && sdp::has(body, "a=ptime:20"), "{body}");
        for phone in [a, b, c] {
            assert!(!body.contains(&phone.host().to_string()), "it tells of {}:\n{body}", phone.number);
        }
    }
    let ports: HashSet<SocketAddr> = bodies.into_iter().map(sdp::place).collect();
    assert_eq!(ports.len(), 3, "each leg has a port of its own: {ports:?}");
    let ids: HashSet<u64> = bodies.into_iter().map(|body| sdp::origin(body).0).collect();
    assert_eq!(ids.len(), 3, "each leg has an o= line of its own: {ids:?}");

    let (a_told, c_told) = (sdp::place(response.body()), sdp::place(c_invite.body()));
    assert_talk((&a_line, a_told), (&c_line, c_told));
    // B is out of it.
    b_line.send(sdp::place(b_invite.body()));
    a_line.is_quiet();
    c_line.is_quiet();

    c.send_in(&c_dialog, "BYE", "");
    a.hung_up(&to_b);
    c.response(&c_dialog, "BYE", 200);
    a_line.send(a_told);
    c_line.send(c_told);
    a_line.is_quiet();
    c_line.is_quiet();
}

#[test]
fn early_media_ends_with_its_leg_and_ringback_fills_in_until_the_target_answers() {
    let scene = Scene::new(&[]);
    let (a, b, c) = (&scene.a, &scene.b, &scene.c);
    let [a_line, b_line, c_line] = [a, b, c].map(|phone| Line::new(phone.host()));
    let mut to_b = a.dial("1004", &sdp::of(a.host(), 1, &[sdp::audio(a_line.port())]));
    let b_invite = b.request("INVITE");
    let b_told = sdp::place(b_invite.body());
    b.respond(&b_invite, "183 Session Progress", &sdp::of(b.host(), 1, &[sdp::audio(b_line.port())]));
    let begin = Instant::now();
    let progress = a.response(&to_b, "INVITE", 183);
    let a_told = sdp::place(progress.body());
    assert_talk((&a_line, a_told), (&b_line, b_told));

    let cancel = b.request("CANCEL");
    assert!(begin.elapsed() >= Duration::from_secs(NO_ANSWER_S), "cancelled too early");
    b_line.send(b_told);
    a_line.is_quiet();
    a_line.send(a_told);
    b_line.is_quiet();
    b.respond(&cancel, "200 OK", "");
    b.respond(&b_invite, "487 Request Terminated", "");

    let c_invite = c.request("INVITE");
    let c_dialog = Dialog::called(&c_invite);
    let c_told = sdp::place(c_invite.body());
    assert_ne!(c_told, b_told, "each leg has ports of its own");
    a_line.is_quiet();
    c.respond(&c_invite, "180 Ringing", "");
    a.response(&to_b, "INVITE", 180);
    assert_is_ringback(&a_line, a_told);
    // Whatever B still sends.
    b_line.send(b_told);

    c.respond(&c_invite, "200 OK", &sdp::of(c.host(), 1, &[sdp::audio(c_line.port())]));
    let response = a.answered(&mut to_b);
    c.request_in(&c_dialog, "ACK");
    assert_eq!(sdp::place(response.body()), a_told, "A's port stays for the whole call");
    let late = receive_all(&a_line);
    assert!(late.iter().all(|packet| ssrc(packet) != b_line.ssrc), "B is heard after its CANCEL");
    a_line.is_quiet();
    assert_talk((&a_line, a_told), (&c_line, c_told));
}

/// What has come already; afterwards it may be quiet.
fn receive_all(line: &Line) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| rtp::receive(&line.rtp, Duration::from_millis(5)))
        .map(|(packet, _)| packet)
        .collect()
}

fn ssrc(packet: &[u8]) -> u32 {
    u32::from_be_bytes(packet[8..HEADER_LENGTH].try_into().expect("four bytes"))
}

/// Half a second of a tone comes: one stream without gaps, 20 ms each, in the codec that A prefers.
#[track_caller]
fn assert_is_ringback(line: &Line, from: SocketAddr) {
    let begin = Instant::now();
    let packets: Vec<Vec<u8>> = (0..25)
        .map(|_| {
            let (packet, source) = line.receive();
            assert_eq!(source, from);
            packet
        })
        .collect();
    let took = begin.elapsed();
    assert!((400..800).contains(&took.as_millis()), "25 packets of 20 ms came in {took:?}");
    assert_eq!(packets[0][1], 0x80 | PCMA, "the first has the marker");
    for pair in packets.windows(2) {
        let number = |packet: &[u8]| u16::from_be_bytes([packet[2], packet[3]]);
        let time = |packet: &[u8]| u32::from_be_bytes(packet[4..8].try_into().expect("four bytes"));
        assert_eq!(number(&pair[1]), number(&pair[0]).wrapping_add(1));
        assert_eq!(time(&pair[1]), time(&pair[0]).wrapping_add(SAMPLES as u32));
        assert_eq!((pair[1][1], ssrc(&pair[1])), (PCMA, ssrc(&pair[0])));
    }
    let samples: Vec<f64> = packets.iter().flat_map(|packet| &packet[HEADER_LENGTH..]).map(linear).collect();
    assert_eq!(samples.len(), 25 * SAMPLES);
    let energy: f64 = samples.iter().map(|sample| sample * sample).sum();
    let (mut sine, mut cosine) = (0.0, 0.0);
    for (at, sample) in samples.iter().enumerate() {
        let angle = std::f64::consts::TAU * TONE_HZ * at as f64 / 8_000.0;
        (sine, cosine) = (sine + sample * angle.sin(), cosine + sample * angle.cos());
    }
    let share = 2.0 * (sine * sine + cosine * cosine) / (samples.len() as f64 * energy);
    assert!(energy > 1e6 && share > 0.9, "{TONE_HZ} Hz has {share} of its energy {energy}");
}

/// A sample of A-law (ITU-T G.711).
fn linear(byte: &u8) -> f64 {
    let byte = byte ^ 0x55;
    let (segment, step) = ((byte >> 4) & 7, i32::from(byte & 15));
    let size = match segment {
        0 => 16 * step + 8,
        _ => (16 * step + 264) << (segment - 1),
    };
    f64::from(if byte & 0x80 == 0 { -size } else { size })
}

#[test]
fn a_caller_without_early_media_makes_its_own_ringback() {
    let scene = Scene::new(&[]);
    let (a, b, c) = (&scene.a, &scene.b, &scene.c);
    let a_line = Line::new(a.host());
    a.dial("1004", &sdp::of(a.host(), 1, &[sdp::audio(a_line.port())]));
    let b_invite = b.request("INVITE");
    b.respond(&b_invite, "180 Ringing", "");
    b.respond(&b_invite, "408 Request Timeout", "");
    let c_invite = c.request("INVITE");
    c.respond(&c_invite, "180 Ringing", "");
    a_line.is_quiet();
}

#[test]
fn the_targets_early_media_follows_the_callees_on_the_same_port() {
    let scene = Scene::new(&[]);
    let (a, b, c) = (&scene.a, &scene.b, &scene.c);
    let [a_line, b_line, c_line] = [a, b, c].map(|phone| Line::new(phone.host()));
    let to_b = a.dial("1004", &sdp::of(a.host(), 1, &[sdp::audio(a_line.port())]));
    let b_invite = b.request("INVITE");
    b.respond(&b_invite, "183 Session Progress", &sdp::of(b.host(), 1, &[sdp::audio(b_line.port())]));
    let a_told = sdp::place(a.response(&to_b, "INVITE", 183).body());
    assert_hears((&a_line, a_told), (&b_line, sdp::place(b_invite.body())));
    b.respond(&b_invite, "408 Request Timeout", "");
    let c_invite = c.request("INVITE");
    c.respond(&c_invite, "183 Session Progress", &sdp::of(c.host(), 1, &[sdp::audio(c_line.port())]));
    let progress = a.find(PATIENCE, |message| message.status() == Some(183)).expect("C's 183");
    assert_eq!(sdp::place(progress.body()), a_told);
    assert_talk((&a_line, a_told), (&c_line, sdp::place(c_invite.body())));
    b_line.send(sdp::place(b_invite.body()));
    a_line.is_quiet();
}
