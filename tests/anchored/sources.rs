//! From where a party may send: learning, locking, and what others put in or draw off.

use crate::media::rtp::{self, PCMA, SAMPLES, assert_hears, assert_talk};
use crate::media::{Call, Dialog, Line, Scene, host, sdp};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// Longer than ports are learned for.
const LEARNED: Duration = Duration::from_millis(700);
/// What may pass of a wrong source at most, as long as nobody is known yet.
const WRONG_MAX: usize = 5;

/// A stranger's packets, from a socket of its own.
struct Stranger(UdpSocket);

impl Stranger {
    fn at(host: std::net::IpAddr) -> Stranger {
        Stranger(UdpSocket::bind((host, 0)).expect("a socket"))
    }

    /// Sends so many packets of a stream of its own to each of these.
    fn inject(&self, count: u16, to: &[SocketAddr]) {
        for sequence in 0..count {
            for place in to {
                let packet = rtp::packet(PCMA, sequence, 0xBAD, &[0xEE; SAMPLES]);
                self.0.send_to(&packet, place).expect("sent");
            }
        }
    }

    /// Nothing is drawn off.
    #[track_caller]
    fn gets_nothing(&self) {
        assert_eq!(rtp::receive(&self.0, Duration::from_millis(50)), None);
    }
}

#[test]
fn another_host_puts_nothing_in_and_draws_nothing_off_at_any_time() {
    let scene = Scene::new(&[]);
    let call = Call::new(&scene);
    let stranger = Stranger::at(host());
    let both = [call.a_told, call.c_told];
    // Before anybody has sent, while they talk, and long after.
    stranger.inject(50, &both);
    call.a_line.is_quiet();
    call.c_line.is_quiet();
    call.assert_talk();
    stranger.inject(50, &both);
    call.assert_talk();
    std::thread::sleep(LEARNED);
    stranger.inject(50, &both);
    call.assert_talk();
    call.a_line.is_quiet();
    call.c_line.is_quiet();
    stranger.gets_nothing();
    // Each is counted.
    scene.server.counts("media_dropped_source_total", 300);
}

#[test]
fn another_port_of_the_partys_host_gets_five_packets_in_before_the_party_and_none_after() {
    let scene = Scene::new(&[]);
    let call = Call::new(&scene);
    let stranger = Stranger::at(scene.a.host());
    stranger.inject(50, &[call.a_told]);
    let passed = call.c_line.drain().len();
    assert!(passed <= WRONG_MAX, "{passed} packets of a wrong source passed");
    // The right source is taken at once.
    call.assert_talk();
    stranger.inject(50, &[call.a_told]);
    call.c_line.is_quiet();
    std::thread::sleep(LEARNED);
    stranger.inject(50, &[call.a_told]);
    call.c_line.is_quiet();
    call.assert_talk();
    stranger.gets_nothing();
}

#[test]
fn once_a_party_is_known_no_other_port_of_its_host_gets_a_packet_in() {
    for learning in ["off", "once", "window"] {
        let scene = Scene::new(&["--media-learning", learning]);
        let call = Call::new(&scene);
        call.assert_talk();
        let strangers = [scene.a.host(), scene.c.host()].map(Stranger::at);
        strangers[0].inject(50, &[call.a_told]);
        strangers[1].inject(50, &[call.c_told]);
        call.a_line.is_quiet();
        call.c_line.is_quiet();
        call.assert_talk();
    }
}

#[test]
fn without_learning_only_the_place_that_was_described_is_taken() {
    let scene = Scene::new(&["--media-learning", "off"]);
    let call = Call::new(&scene);
    let stranger = Stranger::at(scene.a.host());
    stranger.inject(50, &[call.a_told]);
    call.c_line.is_quiet();
    std::thread::sleep(LEARNED);
    stranger.inject(50, &[call.a_told]);
    call.c_line.is_quiet();
    call.assert_talk();
}

#[test]
fn a_phone_that_sends_from_another_port_than_it_described_is_learned() {
    for learning in ["once", "window"] {
        let scene = Scene::new(&["--media-learning", learning]);
        let call = Call::new(&scene);
        let real = Line::new(scene.a.host());
        // With a window a few of the first second may be lost.
        real.talk(call.a_told, 50);
        call.c_line.drain();
        assert_hears((&call.c_line, call.c_told), (&real, call.a_told));
        assert_hears((&real, call.a_told), (&call.c_line, call.c_told));
        // Then it is known, and its host has no other.
        Stranger::at(scene.a.host()).inject(50, &[call.a_told]);
        call.c_line.is_quiet();
    }
}

#[test]
fn a_phone_behind_a_nat_is_learned_from_where_its_signalling_comes() {
    let scene = Scene::new(&[]);
    let (a_line, c_line) = (Line::new(scene.a.host()), Line::new(scene.c.host()));
    // What A knows of itself is not where its packets come from.
    let offer = sdp::of("10.0.0.1".parse().expect("an address"), 1, &[sdp::audio(4_000)]);
    let answer = sdp::of(scene.c.host(), 1, &[sdp::audio(c_line.port())]);
    let call = Call::with(&scene, (a_line, &offer), (c_line, &answer));
    assert!(!call.invite.body().contains("10.0.0.1"), "{}", call.invite.body());
    let stranger = Stranger::at(host());
    stranger.inject(50, &[call.a_told]);
    call.c_line.is_quiet();
    call.assert_talk();
    stranger.inject(50, &[call.a_told]);
    Stranger::at(scene.a.host()).inject(50, &[call.a_told]);
    call.c_line.is_quiet();
    call.assert_talk();
    stranger.gets_nothing();
}

#[test]
fn a_nat_that_keeps_ports_is_sent_to_before_its_phone_has_sent() {
    let scene = Scene::new(&[]);
    let (a_line, c_line) = (Line::new(scene.a.host()), Line::new(scene.c.host()));
    let offer = sdp::of("10.0.0.1".parse().expect("an address"), 1, &[sdp::audio(a_line.port())]);
    let answer = sdp::of(scene.c.host(), 1, &[sdp::audio(c_line.port())]);
    let call = Call::with(&scene, (a_line, &offer), (c_line, &answer));
    assert_hears((&call.a_line, call.a_told), (&call.c_line, call.c_told));
}

#[test]
fn a_second_description_of_the_same_place_keeps_what_was_learned() {
    let scene = Scene::new(&["--media-learning", "once"]);
    let mut call = Call::new(&scene);
    let real = Line::new(scene.a.host());
    assert_hears((&call.c_line, call.c_told), (&real, call.a_told));
    let offer = sdp::of(scene.a.host(), 2, &[sdp::audio(call.a_line.port())]);
    let answer = sdp::of(scene.c.host(), 1, &[sdp::audio(call.c_line.port())]);
    call.offer_anew(&scene, &offer, &answer);
    Stranger::at(scene.a.host()).inject(20, &[call.a_told]);
    call.c_line.is_quiet();
    assert_talk((&real, call.a_told), (&call.c_line, call.c_told));
}

#[test]
fn a_leg_that_only_rings_puts_nothing_in() {
    let scene = Scene::new(&[]);
    let (a, c) = (&scene.a, &scene.c);
    let [a_line, c_line] = [a, c].map(|phone| Line::new(phone.host()));
    let mut dialog = a.dial("1005", &sdp::of(a.host(), 1, &[sdp::audio(a_line.port())]));
    let invite = c.request("INVITE");
    let c_told = sdp::place(invite.body());
    c.respond(&invite, "180 Ringing", "");
    a.response(&dialog, "INVITE", 180);
    for _ in 0..50 {
        c_line.send(c_told);
    }
    a_line.is_quiet();
    c.respond(&invite, "200 OK", &sdp::of(c.host(), 1, &[sdp::audio(c_line.port())]));
    let response = a.answered(&mut dialog);
    c.request_in(&Dialog::called(&invite), "ACK");
    assert_talk((&a_line, sdp::place(response.body())), (&c_line, c_told));
}

#[test]
fn ports_that_nobody_has_drop_and_count_what_comes() {
    let scene = Scene::new(&["--rtp-ports", "30000-30003"]);
    let stranger = Stranger::at(host());
    let ports: Vec<SocketAddr> =
        (30_000..30_004).map(|port| (scene.server.address.ip(), port).into()).collect();
    stranger.inject(10, &ports);
    stranger.gets_nothing();
    // The server still works.
    Call::new(&scene).assert_talk();
}
