//! What a server meets: large packets, phones that are gone, a stop in the midst of calls, an operator.

use crate::media::rtp::{self, HEADER_LENGTH, PCMA, assert_hears};
use crate::media::{Call, Line, PATIENCE, QUIET, Scene, sdp, wait_until};
use std::time::Duration;

#[test]
fn a_packet_passes_whole_or_not_at_all() {
    let scene = Scene::new(&[]);
    let call = Call::new(&scene);
    let mut passed = 0;
    for length in [1, 160, 1_200, 1_460, 1_472, 1_988, 2_036, 2_037, 4_000, 9_000, 65_000] {
        let packet = call.a_line.packet_of(PCMA, &vec![length as u8; length - 1]);
        call.a_line.rtp.send_to(&packet, call.a_told).expect("sent");
        let mut buffer = vec![0; 65_536];
        call.c_line.rtp.set_read_timeout(Some(QUIET)).expect("a timeout");
        if let Ok(got) = call.c_line.rtp.recv(&mut buffer) {
            assert_eq!(buffer[..got], packet, "{length} bytes of payload");
            passed = packet.len();
        }
    }
    // What fits into an Ethernet frame passes.
    assert!(passed >= HEADER_LENGTH + 1_459, "the largest was {passed}");
    call.assert_talk();
}

#[test]
fn a_phone_that_is_gone_harms_nobody_else() {
    let scene = Scene::new(&[]);
    let (gone, call) = (Call::new(&scene), Call::new(&scene));
    gone.assert_talk();
    call.assert_talk();
    // Its host says that the port is unreachable (ICMP).
    let Call { a_line, a_told, c_line, .. } = gone;
    drop(c_line);
    for _ in 0..50 {
        a_line.send(a_told);
        assert_hears((&call.c_line, call.c_told), (&call.a_line, call.a_told));
    }
    call.assert_talk();
}

#[test]
fn a_stopping_server_relays_until_its_last_call_ends() {
    let mut scene = Scene::new(&[]);
    let call = Call::new(&scene);
    call.assert_talk();
    scene.server.terminate();
    // Its shards see it at their next turn; until then C is busy.
    wait_until("new calls are refused with 503", PATIENCE, || {
        let dialog = scene.b.dial("1005", "");
        if let Some(invite) = scene.c.find(QUIET, |message| message.method() == Some("INVITE")) {
            scene.c.respond(&invite, "486 Busy Here", "");
        }
        scene.b.final_response(&dialog).status() == Some(503)
    });
    for _ in 0..10 {
        call.assert_talk();
        std::thread::sleep(Duration::from_millis(20));
    }
    call.end(&scene);
    assert_eq!(scene.server.ended(PATIENCE), Some(0));
}

#[test]
fn a_call_with_media_costs_nothing_while_nobody_speaks() {
    let scene = Scene::new(&[]);
    let call = Call::new(&scene);
    call.assert_talk();
    let before = scene.server.cpu_time();
    std::thread::sleep(Duration::from_secs(2));
    let took = scene.server.cpu_time() - before;
    assert!(took < Duration::from_millis(500), "it was busy for {took:?} of 2 s");
    // And it wakes up at once.
    call.assert_talk();
}

#[test]
fn packets_are_relayed_without_delay_however_rarely_they_come() {
    let scene = Scene::new(&[]);
    let call = Call::new(&scene);
    call.assert_talk();
    let mut delays = Vec::new();
    for pause_ms in [0, 1, 5, 20, 20, 20, 20, 100, 300, 700] {
        std::thread::sleep(Duration::from_millis(pause_ms));
        let begin = std::time::Instant::now();
        call.a_line.send(call.a_told);
        call.c_line.receive();
        delays.push(begin.elapsed());
    }
    delays.sort();
    // The machine may be busy; most of them must be quick all the same.
    assert!(delays[delays.len() / 2] < Duration::from_millis(10), "{delays:?}");
}

#[test]
fn a_call_that_the_operator_ends_is_silent_at_once() {
    let scene = Scene::new(&[]);
    let call = Call::new(&scene);
    call.assert_talk();
    let mut id = None;
    wait_until("the call is listed", PATIENCE, || {
        id = scene.server.calls().first().cloned();
        id.is_some()
    });
    let id = id.expect("a call");
    scene.server.ask("DELETE", &format!("/v1/calls/{id}"));
    scene.a.hung_up(&call.a);
    scene.c.hung_up(&call.c);
    call.a_line.send(call.a_told);
    call.c_line.send(call.c_told);
    call.a_line.is_quiet();
    call.c_line.is_quiet();
}

#[test]
fn many_streams_at_once_lose_nothing_and_keep_their_order() {
    let scene = Scene::new(&["--shards", "2", "--rtp-ports", "30000-30399"]);
    let calls: Vec<Call> = (0..20).map(|_| Call::new(&scene)).collect();
    // One second of G.711 in all of them, both ways.
    const PACKETS: usize = 50;
    for _ in 0..PACKETS {
        for call in &calls {
            call.a_line.send(call.a_told);
            call.c_line.send(call.c_told);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let number = |packet: &[u8]| u16::from_be_bytes([packet[2], packet[3]]);
    for call in &calls {
        for (line, other) in [(&call.a_line, &call.c_line), (&call.c_line, &call.a_line)] {
            let packets: Vec<Vec<u8>> = (0..PACKETS).map(|_| line.receive().0).collect();
            for pair in packets.windows(2) {
                assert_eq!(number(&pair[1]), number(&pair[0]).wrapping_add(1));
            }
            let ssrc = other.ssrc.to_be_bytes();
            assert!(packets.iter().all(|packet| packet[8..HEADER_LENGTH] == ssrc), "a stranger's packet");
            assert_eq!(rtp::receive(&line.rtp, Duration::from_millis(1)), None);
        }
    }
}

#[test]
fn a_phone_that_changes_its_mind_often_is_heard_where_it_is_now() {
    let scene = Scene::new(&[]);
    let mut call = Call::new(&scene);
    let mut old = Vec::new();
    for version in 2..12 {
        let next = Line::new(scene.a.host());
        let offer = sdp::of(scene.a.host(), version, &[sdp::audio(next.port())]);
        let answer = sdp::of(scene.c.host(), 1, &[sdp::audio(call.c_line.port())]);
        call.offer_anew(&scene, &offer, &answer);
        old.push(std::mem::replace(&mut call.a_line, next));
        call.assert_talk();
    }
    for line in &old {
        line.send(call.a_told);
        assert_eq!(rtp::receive(&line.rtp, Duration::from_millis(1)), None);
    }
    call.c_line.is_quiet();
}
