//! Beyond one call of two phones: forks, many calls on several shards, fax, bodies in parts, feature codes,
//! an address that is advertised, figures of a call that lives.

use crate::media::rtp::{self, HEADER_LENGTH, PCMA, SAMPLES, assert_hears, assert_talk};
use crate::media::{Call, Line, PATIENCE, Phone, Scene, host, sdp, wait_until};
use std::time::{Duration, Instant};

#[test]
fn of_two_phones_that_ring_only_the_one_that_answers_is_heard() {
    let scene = Scene::new(&["--subscriber", "number=1006"]);
    let a = &scene.a;
    let phones = [(); 2].map(|()| Phone::new(host(), "1006", scene.server.address));
    for phone in &phones {
        phone.register();
    }
    let a_line = Line::new(a.host());
    let mut dialog = a.dial("1006", &sdp::of(a.host(), 1, &[sdp::audio(a_line.port())]));
    let invites = phones.each_ref().map(|phone| phone.request("INVITE"));
    let told = invites.each_ref().map(|invite| sdp::place(invite.body()));
    assert_ne!(told[0], told[1], "forks never share ports");
    let lines = phones.each_ref().map(|phone| Line::new(phone.host()));
    let answers = [0, 1].map(|at: usize| {
        let host = phones[at].host();
        sdp::of(host, 1, &[sdp::audio(lines[at].port())])
    });
    for (phone, (invite, answer)) in phones.iter().zip(invites.iter().zip(&answers)) {
        phone.respond(invite, "183 Session Progress", answer);
    }
    // The first is heard as long as it rings, and nobody besides.
    let early = sdp::place(a.response(&dialog, "INVITE", 183).body());
    assert_talk((&a_line, early), (&lines[0], told[0]));
    lines[1].send(told[1]);
    a_line.is_quiet();
    phones[1].respond(&invites[1], "200 OK", &answers[1]);
    let response = a.answered(&mut dialog);
    let cancel = phones[0].request("CANCEL");
    let a_told = sdp::place(response.body());
    assert_eq!(a_told, early, "A's port stays for the whole call");
    lines[0].send(told[0]);
    a_line.is_quiet();
    assert_talk((&a_line, a_told), (&lines[1], told[1]));
    lines[0].is_quiet();
    phones[0].respond(&cancel, "200 OK", "");
    phones[0].respond(&invites[0], "487 Request Terminated", "");
    lines[0].send(told[0]);
    assert_talk((&a_line, a_told), (&lines[1], told[1]));
    lines[0].is_quiet();
}

#[test]
fn many_calls_on_two_shards_do_not_hear_each_other() {
    let scene = Scene::new(&["--shards", "2", "--rtp-ports", "30000-30399"]);
    let calls: Vec<Call> = (0..20).map(|_| Call::new(&scene)).collect();
    let mut ports: Vec<_> = calls.iter().flat_map(|call| [call.a_told, call.c_told]).collect();
    ports.sort();
    ports.dedup();
    assert_eq!(ports.len(), 40, "every side of every call has a port of its own");
    for _ in 0..3 {
        // All at once, and each hears its own.
        let sent: Vec<_> =
            calls.iter().map(|call| (call.a_line.send(call.a_told), call.c_line.send(call.c_told))).collect();
        for (call, (by_a, by_c)) in calls.iter().zip(sent) {
            assert_eq!(call.c_line.receive(), (by_a, call.c_told));
            assert_eq!(call.a_line.receive(), (by_c, call.a_told));
        }
    }
    for call in &calls {
        call.end(&scene);
    }
    let stray = &calls[0];
    stray.a_line.send(stray.a_told);
    stray.c_line.is_quiet();
}

#[test]
fn a_fax_takes_the_place_of_audio_on_the_same_port() {
    let scene = Scene::new(&[]);
    let mut call = Call::new(&scene);
    call.assert_talk();
    let fax = |port: u16| {
        format!("m=image {port} udptl t38\r\na=T38FaxVersion:0\r\na=T38FaxUdpEC:t38UDPRedundancy\r\n")
    };
    let offer = sdp::of(scene.c.host(), 2, &[fax(call.c_line.port())]);
    let answer = sdp::of(scene.a.host(), 2, &[fax(call.a_line.port())]);
    let Call { a, c, .. } = &mut call;
    let [to_a, to_c] = crate::media::call::renew((&scene.c, c), (&scene.a, a), &offer, &answer);
    assert_eq!((sdp::place(&to_a), sdp::place(&to_c)), (call.a_told, call.c_told));
    assert!(sdp::has(&to_a, "a=T38FaxUdpEC:t38UDPRedundancy"), "{to_a}");
    // UDPTL is no RTP (T.38 §9.1): any bytes.
    for packet in [&[0, 0, 1, 6, 0][..], &[0, 1, 0x80, 0, 1, 2, 3], &[0xFF; 40]] {
        call.a_line.rtp.send_to(packet, call.a_told).expect("sent");
        assert_eq!(call.c_line.receive(), (packet.to_vec(), call.c_told));
        call.c_line.rtp.send_to(packet, call.c_told).expect("sent");
        assert_eq!(call.a_line.receive(), (packet.to_vec(), call.a_told));
    }
}

#[test]
fn a_description_among_other_parts_of_a_body_is_rewritten_in_its_place() {
    let scene = Scene::new(&[]);
    let (a_line, c_line) = (Line::new(scene.a.host()), Line::new(scene.c.host()));
    let own = sdp::of(scene.a.host(), 1, &[sdp::audio(a_line.port())]);
    let (first, last) = (
        "--part\r\nContent-Type: application/sdp\r\n\r\n",
        "\r\n--part\r\nContent-Type: \
         application/isup;version=itu\r\nContent-Disposition: signal\r\n\r\n\x01\x02binary\r\n--part--\r\n",
    );
    let answer = sdp::of(scene.c.host(), 1, &[sdp::audio(c_line.port())]);
    let call = Call::with(&scene, (a_line, &format!("{first}{own}{last}")), (c_line, &answer));
    let body = call.invite.body();
    assert!(body.starts_with(first) && body.ends_with(last), "{body}");
    assert_eq!(call.invite.header("Content-Length").parse(), Ok(body.len()));
    assert!(!body.contains(&scene.a.host().to_string()), "{body}");
    call.assert_talk();
}

#[test]
fn a_caller_of_a_feature_code_hears_the_confirmation_tone_and_is_hung_up_on() {
    let scene = Scene::new(&[]);
    let line = Line::new(scene.b.host());
    // Asks what is set on no answer.
    let offer = sdp::of(scene.b.host(), 1, &[sdp::audio(line.port())]);
    let mut dialog = scene.b.dial("*%2361%23", &offer);
    let response = scene.b.answered(&mut dialog);
    scene.server.assert_own(response.body());
    assert!(sdp::has(response.body(), "a=sendonly"), "{}", response.body());
    let (first, source) = line.receive();
    assert_eq!(source, sdp::place(response.body()));
    assert_eq!((first.len(), first[1]), (HEADER_LENGTH + SAMPLES, 0x80 | PCMA));
    let begin = Instant::now();
    scene.b.hung_up(&dialog);
    let took = begin.elapsed();
    let count = 1 + line.drain().len();
    // Two seconds of 20 ms.
    assert!((80..=110).contains(&count), "{count} packets of the tone came; BYE after {took:?}");
}

#[test]
fn a_caller_of_a_feature_code_that_fails_hears_a_tone_before_the_refusal() {
    let scene = Scene::new(&[]);
    let line = Line::new(scene.c.host());
    // Nothing is set.
    let offer = sdp::of(scene.c.host(), 1, &[sdp::audio(line.port())]);
    let dialog = scene.c.dial("*%2361%23", &offer);
    let progress = scene.c.response(&dialog, "INVITE", 183);
    let (first, source) = line.receive();
    assert_eq!(source, sdp::place(progress.body()));
    assert_eq!((first.len(), first[1]), (HEADER_LENGTH + SAMPLES, 0x80 | PCMA));
    scene.c.refused(&dialog, 404);
    line.drain();
    line.is_quiet();
}

#[test]
fn a_server_behind_a_nat_tells_its_outer_address_and_listens_on_its_own() {
    let local = host();
    let own = format!("{local}/203.0.113.10");
    let scene = Scene::new(&["--rtp-address", &own]);
    let mut call = Call::new(&scene);
    for body in [call.invite.body(), call.response.body()] {
        assert_eq!(sdp::place(body).ip().to_string(), "203.0.113.10", "{body}");
        assert_eq!(sdp::origin(body).2.to_string(), "203.0.113.10", "{body}");
    }
    // What the NAT would do.
    call.a_told.set_ip(local);
    call.c_told.set_ip(local);
    call.assert_talk();
}

#[test]
fn a_nat_that_changes_a_ports_number_early_in_a_call_is_followed() {
    let scene = Scene::new(&[]);
    let (a_line, c_line) = (Line::new(scene.a.host()), Line::new(scene.c.host()));
    let offer = sdp::of("10.0.0.1".parse().expect("an address"), 1, &[sdp::audio(4_000)]);
    let answer = sdp::of(scene.c.host(), 1, &[sdp::audio(c_line.port())]);
    let call = Call::with(&scene, (a_line, &offer), (c_line, &answer));
    assert_hears((&call.c_line, call.c_told), (&call.a_line, call.a_told));
    // The same stream from another port.
    let rebound = Line::new(scene.a.host());
    let mut packets = (0..5).map(|_| call.a_line.packet());
    let first = packets.next().expect("a packet");
    rebound.rtp.send_to(&first, call.a_told).expect("sent");
    assert_eq!(call.c_line.receive(), (first, call.c_told));
    assert_hears((&rebound, call.a_told), (&call.c_line, call.c_told));
    // Another stream is not.
    Line::new(scene.a.host()).send(call.a_told);
    call.c_line.is_quiet();
    // Nor is the same one after the window.
    std::thread::sleep(Duration::from_millis(700));
    let late = Line::new(scene.a.host());
    for packet in packets {
        late.rtp.send_to(&packet, call.a_told).expect("sent");
    }
    call.c_line.is_quiet();
}

#[test]
fn a_party_may_begin_another_stream_from_the_same_place() {
    let scene = Scene::new(&[]);
    let call = Call::new(&scene);
    call.assert_talk();
    // As a phone does that plays music on hold, or that another has been put through by.
    for ssrc in [1, 2] {
        for sequence in [9, 10, 60_000] {
            let packet = rtp::packet(PCMA, sequence, ssrc, &[3; SAMPLES]);
            call.a_line.rtp.send_to(&packet, call.a_told).expect("sent");
            assert_eq!(call.c_line.receive(), (packet, call.c_told));
        }
    }
    call.assert_talk();
}

#[test]
fn a_call_that_the_caller_gives_up_after_early_media_is_silent_and_gives_its_ports_back() {
    let scene = Scene::new(&["--rtp-ports", "30000-30003", "--rtp-quarantine", "500"]);
    let (a, c) = (&scene.a, &scene.c);
    for round in 0..2 {
        if round > 0 {
            std::thread::sleep(Duration::from_millis(700));
        }
        let [a_line, c_line] = [a, c].map(|phone| Line::new(phone.host()));
        let dialog = a.dial("1005", &sdp::of(a.host(), 1, &[sdp::audio(a_line.port())]));
        let invite = c.request("INVITE");
        c.respond(&invite, "183 Session Progress", &sdp::of(c.host(), 1, &[sdp::audio(c_line.port())]));
        let a_told = sdp::place(a.response(&dialog, "INVITE", 183).body());
        let c_told = sdp::place(invite.body());
        assert_talk((&a_line, a_told), (&c_line, c_told));
        a.cancel(&dialog);
        let cancel = c.request("CANCEL");
        a.refused(&dialog, 487);
        c_line.send(c_told);
        a_line.send(a_told);
        a_line.is_quiet();
        c_line.is_quiet();
        c.respond(&cancel, "200 OK", "");
        c.respond(&invite, "487 Request Terminated", "");
    }
}

#[test]
fn the_api_shows_the_figures_of_a_call_that_lives() {
    let scene = Scene::new(&[]);
    let call = Call::new(&scene);
    call.a_line.talk(call.a_told, 7);
    call.c_line.talk(call.c_told, 3);
    assert_eq!((call.c_line.drain().len(), call.a_line.drain().len()), (7, 3));
    let mut seen = String::new();
    wait_until("seven packets of A and three of C", PATIENCE, || {
        let id = scene.server.calls().remove(0);
        seen = scene.server.get(&format!("/v1/calls/{id}"));
        let text: String = seen.split_whitespace().collect();
        text.contains("\"received\":{\"packets\":7,") && text.contains("\"received\":{\"packets\":3,")
    });
    assert!(seen.contains("\"sent\""), "{seen}");
    scene.server.counts("media_packets_relayed_total", 10);
    call.assert_talk();
}
