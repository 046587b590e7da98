//! Offers and answers in an anchored call: hold, other ports, late offers, several streams, both families.

use crate::media::call::renew;
use crate::media::rtp::{assert_hears, assert_talk};
use crate::media::{Call, Line, Scene, host, sdp};
use std::net::{IpAddr, Ipv6Addr};

/// The description of a phone with one stream of audio and this line at its end.
fn audio_with(host: IpAddr, version: u32, port: u16, line: &str) -> String {
    sdp::of(host, version, &[sdp::audio(port) + line + "\r\n"])
}

#[test]
fn a_call_is_held_and_resumed_in_every_form_on_the_same_ports() {
    let scene = Scene::new(&[]);
    let mut call = Call::new(&scene);
    call.assert_talk();
    let (a_port, c_port) = (call.a_line.port(), call.c_line.port());
    let (a_host, c_host) = (scene.a.host(), scene.c.host());
    let (id, mut version, _) = sdp::origin(call.invite.body());
    let mut own_version = 1;
    let mut renewed = |call: &mut Call, offer: &str, answer: &str| {
        own_version += 1;
        let offer = audio_with(a_host, own_version, a_port, offer);
        let [to_c, to_a] = call.offer_anew(&scene, &offer, &audio_with(c_host, own_version, c_port, answer));
        let (new_id, new_version, address) = sdp::origin(&to_c);
        assert_eq!((new_id, address), (id, scene.server.address.ip()));
        assert_eq!(new_version, version + 1, "what C is told has changed:\n{to_c}");
        version = new_version;
        assert_eq!((sdp::place(&to_c), sdp::place(&to_a)), (call.c_told, call.a_told));
        [to_c, to_a]
    };
    for (hold, held) in [("a=sendonly", "a=recvonly"), ("a=inactive", "a=inactive")] {
        let [to_c, to_a] = renewed(&mut call, hold, held);
        assert!(sdp::has(&to_c, hold) && sdp::has(&to_a, held), "{to_c}{to_a}");
        if hold == "a=sendonly" {
            // Music on hold.
            assert_hears((&call.c_line, call.c_told), (&call.a_line, call.a_told));
        }
        let [to_c, _] = renewed(&mut call, "a=sendrecv", "a=sendrecv");
        assert!(sdp::has(&to_c, "a=sendrecv"));
        call.assert_talk();
    }
}

#[test]
fn a_call_is_held_the_old_way_by_an_address_of_zeros() {
    let scene = Scene::new(&[]);
    let mut call = Call::new(&scene);
    let (a_port, c_port) = (call.a_line.port(), call.c_line.port());
    let answer = sdp::of(scene.c.host(), 2, &[sdp::audio(c_port)]);
    // RFC 2543 B.5.
    let nowhere: IpAddr = "0.0.0.0".parse().expect("an address");
    let [to_c, _] = call.offer_anew(&scene, &sdp::of(nowhere, 2, &[sdp::audio(a_port)]), &answer);
    assert!(to_c.contains("c=IN IP4 0.0.0.0\r\n"), "C has to see the hold:\n{to_c}");
    assert_eq!(sdp::origin(&to_c).2, scene.server.address.ip());
    call.c_line.send(call.c_told);
    call.a_line.is_quiet();
    let offer = sdp::of(scene.a.host(), 3, &[sdp::audio(a_port)]);
    let [to_c, to_a] = call.offer_anew(&scene, &offer, &answer);
    assert_eq!((sdp::place(&to_c), sdp::place(&to_a)), (call.c_told, call.a_told));
    call.assert_talk();
}

#[test]
fn after_a_re_invite_with_another_port_the_old_one_is_neither_heard_nor_sent_to() {
    let scene = Scene::new(&[]);
    let mut call = Call::new(&scene);
    call.assert_talk();
    let moved = Line::new(scene.a.host());
    let offer = sdp::of(scene.a.host(), 2, &[sdp::audio(moved.port())]);
    let answer = sdp::of(scene.c.host(), 1, &[sdp::audio(call.c_line.port())]);
    let [to_c, to_a] = call.offer_anew(&scene, &offer, &answer);
    assert_eq!(to_c, call.invite.body(), "C is told the same, to the version");
    assert_eq!(sdp::place(&to_a), call.a_told);
    // C's audio goes to the new port before anything came from it.
    assert_hears((&moved, call.a_told), (&call.c_line, call.c_told));
    assert_hears((&call.c_line, call.c_told), (&moved, call.a_told));
    call.a_line.is_quiet();
    call.a_line.send(call.a_told);
    call.c_line.is_quiet();
}

#[test]
fn a_refused_re_invite_leaves_media_as_it_was() {
    let scene = Scene::new(&[]);
    let call = Call::new(&scene);
    call.assert_talk();
    let moved = Line::new(scene.a.host());
    scene.a.send_in(&call.a, "INVITE", &sdp::of(scene.a.host(), 2, &[sdp::audio(moved.port())]));
    let invite = scene.c.request_in(&call.c, "INVITE");
    scene.c.respond(&invite, "488 Not Acceptable Here", "");
    scene.a.refused(&call.a, 488);
    call.assert_talk();
    moved.is_quiet();
}

#[test]
fn the_callee_offers_anew_too() {
    let scene = Scene::new(&[]);
    let mut call = Call::new(&scene);
    let moved = Line::new(scene.c.host());
    let offer = sdp::of(scene.c.host(), 2, &[sdp::audio(moved.port())]);
    let answer = sdp::of(scene.a.host(), 1, &[sdp::audio(call.a_line.port())]);
    let [to_a, to_c] = renew((&scene.c, &mut call.c), (&scene.a, &call.a), &offer, &answer);
    assert_eq!((sdp::place(&to_a), sdp::place(&to_c)), (call.a_told, call.c_told));
    assert_talk((&call.a_line, call.a_told), (&moved, call.c_told));
}

#[test]
fn a_late_offer_and_its_answer_in_the_ack_name_the_servers_ports() {
    let scene = Scene::new(&[]);
    let (a, c) = (&scene.a, &scene.c);
    let [a_line, c_line] = [a, c].map(|phone| Line::new(phone.host()));
    let mut dialog = a.dial("1005", "");
    let invite = c.request("INVITE");
    assert_eq!(invite.body(), "");
    c.respond(&invite, "200 OK", &sdp::of(c.host(), 1, &[sdp::audio(c_line.port())]));
    let response = a.taken(&mut dialog);
    scene.server.assert_own(response.body());
    a.acknowledge(&dialog, &sdp::of(a.host(), 1, &[sdp::audio(a_line.port())]));
    let ack = c.request("ACK");
    scene.server.assert_own(ack.body());
    assert_talk((&a_line, sdp::place(response.body())), (&c_line, sdp::place(ack.body())));
}

#[test]
fn every_stream_has_ports_of_its_own_and_packets_do_not_cross() {
    let scene = Scene::new(&[]);
    let [a_video, c_video] = [&scene.a, &scene.c].map(|phone| Line::new(phone.host()));
    let [a_line, c_line] = [&scene.a, &scene.c].map(|phone| Line::new(phone.host()));
    let offer = sdp::of(scene.a.host(), 1, &[sdp::audio(a_line.port()), sdp::video(a_video.port())]);
    let answer = sdp::of(scene.c.host(), 1, &[sdp::audio(c_line.port()), sdp::video(c_video.port())]);
    let call = Call::with(&scene, (a_line, &offer), (c_line, &answer));
    let (a_told, c_told) = (sdp::places(call.response.body()), sdp::places(call.invite.body()));
    for body in [call.response.body(), call.invite.body()] {
        scene.server.assert_own(body);
        assert!(sdp::has(body, "a=fmtp:96 profile-level-id=42801F"), "{body}");
    }
    let mut ports = [a_told.clone(), c_told.clone()].concat();
    ports.sort();
    ports.dedup();
    assert_eq!(ports.len(), 4, "{ports:?}");
    call.assert_talk();
    assert_talk((&a_video, a_told[1]), (&c_video, c_told[1]));
    call.a_line.is_quiet();
    call.c_line.is_quiet();
}

#[test]
fn a_rejected_stream_stays_rejected_and_the_others_flow() {
    let scene = Scene::new(&[]);
    let [a_line, a_video] = [0; 2].map(|_| Line::new(scene.a.host()));
    let c_line = Line::new(scene.c.host());
    let offer = sdp::of(scene.a.host(), 1, &[sdp::video(a_video.port()), sdp::audio(a_line.port())]);
    let answer = sdp::of(scene.c.host(), 1, &[sdp::video(0), sdp::audio(c_line.port())]);
    let call = Call::with(&scene, (a_line, &offer), (c_line, &answer));
    let (a_told, c_told) = (sdp::places(call.response.body()), sdp::places(call.invite.body()));
    assert_eq!(a_told[0].port(), 0, "{}", call.response.body());
    assert_talk((&call.a_line, a_told[1]), (&call.c_line, c_told[1]));
}

#[test]
fn a_stream_comes_by_re_invite_and_goes_again() {
    let scene = Scene::new(&[]);
    let mut call = Call::new(&scene);
    let [a_video, c_video] = [&scene.a, &scene.c].map(|phone| Line::new(phone.host()));
    let (a_port, c_port) = (call.a_line.port(), call.c_line.port());
    let of =
        |host: IpAddr, version, audio, video| sdp::of(host, version, &[sdp::audio(audio), sdp::video(video)]);
    let (a_host, c_host) = (scene.a.host(), scene.c.host());
    let offer = of(a_host, 2, a_port, a_video.port());
    let [to_c, to_a] = call.offer_anew(&scene, &offer, &of(c_host, 2, c_port, c_video.port()));
    let (a_told, c_told) = (sdp::places(&to_a), sdp::places(&to_c));
    assert_eq!((a_told[0], c_told[0]), (call.a_told, call.c_told), "audio keeps its ports");
    call.assert_talk();
    assert_talk((&a_video, a_told[1]), (&c_video, c_told[1]));

    let [to_c, to_a] = call.offer_anew(&scene, &of(a_host, 3, a_port, 0), &of(c_host, 3, c_port, 0));
    for body in [&to_c, &to_a] {
        assert_eq!(sdp::places(body)[1].port(), 0, "{body}");
    }
    a_video.send(a_told[1]);
    c_video.send(c_told[1]);
    a_video.is_quiet();
    c_video.is_quiet();
    call.assert_talk();
}

#[test]
fn a_caller_on_ipv4_and_a_callee_on_ipv6_hear_each_other() {
    let scene = Scene::with([host(), host(), Ipv6Addr::LOCALHOST.into()], &["--rtp-ports", &v6_ports()]);
    let call = Call::new(&scene);
    assert!(call.c_told.is_ipv6() && sdp::origin(call.invite.body()).2.is_ipv6(), "{}", call.invite.body());
    assert!(call.a_told.is_ipv4() && sdp::origin(call.response.body()).2.is_ipv4());
    assert!(!call.invite.body().contains("IP4"), "{}", call.invite.body());
    assert!(!call.response.body().contains("IP6"), "{}", call.response.body());
    call.assert_talk();
}

/// Ports of ::1, which all processes share: some that nobody is likely to have.
fn v6_ports() -> String {
    let first = 32_000 + std::process::id() % 400 * 64;
    format!("{first}-{}", first + 63)
}
