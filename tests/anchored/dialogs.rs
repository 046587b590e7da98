//! Offers and answers wherever they may stand: UPDATE, ACK, PRACK, requests that wait or are given up, and
//! bodies that are no good.

use crate::media::rtp::{assert_hears, assert_talk};
use crate::media::{Call, Dialog, Line, Message, PATIENCE, Phone, Scene, host, sdp};
use std::net::{IpAddr, Ipv6Addr};

fn audio_of(phone: &Phone, version: u32, line: &Line) -> String {
    sdp::of(phone.host(), version, &[sdp::audio(line.port())])
}

#[test]
fn an_update_moves_and_holds_a_call_as_a_re_invite_does() {
    let scene = Scene::new(&[]);
    let mut call = Call::new(&scene);
    let update = |call: &Call, offer: &str, answer: &str| {
        scene.a.send_in(&call.a, "UPDATE", offer);
        let request = scene.c.request_in(&call.c, "UPDATE");
        scene.c.respond(&request, "200 OK", answer);
        let response = scene.a.response(&call.a, "UPDATE", 200);
        assert_eq!(sdp::place(request.body()), call.c_told);
        assert_eq!(sdp::place(response.body()), call.a_told);
        [request.body().to_owned(), response.body().to_owned()]
    };
    let answer = audio_of(&scene.c, 1, &call.c_line);
    let held = audio_of(&scene.a, 2, &call.a_line) + "a=sendonly\r\n";
    let [to_c, to_a] = update(&call, &held, &(audio_of(&scene.c, 2, &call.c_line) + "a=recvonly\r\n"));
    assert!(sdp::has(&to_c, "a=sendonly") && sdp::has(&to_a, "a=recvonly"));
    call.a_line = Line::new(scene.a.host());
    update(&call, &audio_of(&scene.a, 3, &call.a_line), &answer);
    assert_hears((&call.a_line, call.a_told), (&call.c_line, call.c_told));
    call.assert_talk();
}

#[test]
fn a_re_invite_without_an_offer_is_answered_in_its_ack() {
    let scene = Scene::new(&[]);
    let mut call = Call::new(&scene);
    call.assert_talk();
    let moved = [&scene.a, &scene.c].map(|phone| Line::new(phone.host()));
    scene.a.send_in(&call.a, "INVITE", "");
    let invite = scene.c.request_in(&call.c, "INVITE");
    assert_eq!(invite.body(), "");
    scene.c.respond(&invite, "200 OK", &audio_of(&scene.c, 2, &moved[1]));
    let response = scene.a.taken(&mut call.a);
    assert_eq!(sdp::place(response.body()), call.a_told);
    // Until the answer is there nothing has changed.
    call.assert_talk();
    scene.a.acknowledge(&call.a, &audio_of(&scene.a, 2, &moved[0]));
    let ack = scene.c.request_in(&call.c, "ACK");
    assert_eq!(sdp::place(ack.body()), call.c_told);
    [call.a_line, call.c_line] = moved;
    call.assert_talk();
}

#[test]
fn until_an_offer_is_answered_media_goes_where_it_went() {
    let scene = Scene::new(&[]);
    let mut call = Call::new(&scene);
    call.assert_talk();
    let moved = Line::new(scene.a.host());
    scene.a.send_in(&call.a, "INVITE", &audio_of(&scene.a, 2, &moved));
    let invite = scene.c.request_in(&call.c, "INVITE");
    scene.c.respond(&invite, "180 Ringing", "");
    call.assert_talk();
    moved.is_quiet();
    // It is given up.
    scene.a.cancel(&call.a);
    let cancel = scene.c.request_in(&call.c, "CANCEL");
    scene.c.respond(&cancel, "200 OK", "");
    scene.c.respond(&invite, "487 Request Terminated", "");
    scene.a.refused(&call.a, 487);
    call.assert_talk();
    moved.is_quiet();
    // The next one is not.
    let answer = audio_of(&scene.c, 1, &call.c_line);
    call.offer_anew(&scene, &audio_of(&scene.a, 3, &moved), &answer);
    call.a_line = moved;
    call.assert_talk();
}

#[test]
fn after_a_reliable_answer_and_a_forwarding_the_caller_talks_to_the_target_on_its_port() {
    let scene = Scene::new(&[]);
    let (a, b, c) = (&scene.a, &scene.b, &scene.c);
    let [a_line, b_line, c_line] = [a, b, c].map(|phone| Line::new(phone.host()));
    let mut dialog = a.dial_with("1004", "Supported: 100rel\r\n", &audio_of(a, 1, &a_line));
    let b_invite = b.request("INVITE");
    let reliably = "Require: 100rel\r\nRSeq: 1\r\n";
    b.respond_with(&b_invite, "183 Session Progress", reliably, &audio_of(b, 1, &b_line));
    let progress = a.response(&dialog, "INVITE", 183);
    let a_told = sdp::place(progress.body());
    a.confirm_early(&mut dialog, &progress);
    let prack = b.request("PRACK");
    b.respond(&prack, "200 OK", "");
    a.response(&dialog, "PRACK", 200);
    assert_talk((&a_line, a_told), (&b_line, sdp::place(b_invite.body())));
    b.respond(&b_invite, "408 Request Timeout", "");
    let c_invite = c.request("INVITE");
    // C takes only one of the codecs.
    let mu_law = format!("m=audio {} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n", c_line.port());
    c.respond(&c_invite, "200 OK", &sdp::of(c.host(), 1, &[mu_law]));
    a.answered_after(&dialog);
    c.request_in(&Dialog::called(&c_invite), "ACK");
    // The caller has had an answer: another needs an offer of the server's.
    let again = |message: &Message| matches!(message.method(), Some("UPDATE" | "INVITE"));
    let offer = a.find(PATIENCE, again).expect("the server's own offer");
    assert_eq!(sdp::place(offer.body()), a_told, "{}", offer.body());
    scene.server.assert_own(offer.body());
    assert!(offer.body().contains(" RTP/AVP 0\r\n"), "{}", offer.body());
    a.respond(&offer, "200 OK", &audio_of(a, 2, &a_line));
    assert_talk((&a_line, a_told), (&c_line, sdp::place(c_invite.body())));
}

#[test]
fn a_phone_that_rings_with_one_port_and_answers_with_another_is_heard_at_both() {
    let scene = Scene::new(&[]);
    let (a, c) = (&scene.a, &scene.c);
    let [a_line, early, late] = [a, c, c].map(|phone| Line::new(phone.host()));
    let mut dialog = a.dial("1005", &audio_of(a, 1, &a_line));
    let invite = c.request("INVITE");
    let c_told = sdp::place(invite.body());
    c.respond(&invite, "183 Session Progress", &audio_of(c, 1, &early));
    let a_told = sdp::place(a.response(&dialog, "INVITE", 183).body());
    assert_talk((&a_line, a_told), (&early, c_told));
    c.respond(&invite, "200 OK", &audio_of(c, 2, &late));
    let response = a.answered(&mut dialog);
    assert_eq!(sdp::place(response.body()), a_told);
    c.request("ACK");
    assert_talk((&a_line, a_told), (&late, c_told));
    early.send(c_told);
    a_line.is_quiet();
}

#[test]
fn a_caller_on_ipv6_keeps_its_port_while_phones_on_ipv4_come_and_go() {
    let first = 57_600 + std::process::id() % 100 * 64;
    let ports = format!("{first}-{}", first + 63);
    let scene = Scene::with([Ipv6Addr::LOCALHOST.into(), host(), host()], &["--rtp-ports", &ports]);
    let (a, b, c) = (&scene.a, &scene.b, &scene.c);
    let [a_line, b_line, c_line] = [a, b, c].map(|phone| Line::new(phone.host()));
    let mut dialog = a.dial("1004", &audio_of(a, 1, &a_line));
    let b_invite = b.request("INVITE");
    b.respond(&b_invite, "183 Session Progress", &audio_of(b, 1, &b_line));
    let a_told = sdp::place(a.response(&dialog, "INVITE", 183).body());
    assert!(a_told.is_ipv6() && sdp::place(b_invite.body()).is_ipv4());
    assert_talk((&a_line, a_told), (&b_line, sdp::place(b_invite.body())));
    b.respond(&b_invite, "408 Request Timeout", "");
    let c_invite = c.request("INVITE");
    c.respond(&c_invite, "200 OK", &audio_of(c, 1, &c_line));
    let response = a.answered(&mut dialog);
    c.request("ACK");
    assert_eq!(sdp::place(response.body()), a_told);
    assert_talk((&a_line, a_told), (&c_line, sdp::place(c_invite.body())));
}

#[test]
fn an_offer_that_cannot_be_read_is_refused_and_leaves_no_ports_taken() {
    let scene = Scene::new(&["--rtp-ports", "30000-30003"]);
    let nothing = "this is no description\r\n";
    let no_port = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 99999 RTP/AVP 0\r\n";
    let too_many = sdp::of(scene.a.host(), 1, &vec![sdp::video(4_000); 33]);
    for body in [nothing, no_port, &too_many] {
        for _ in 0..3 {
            let refused = scene.a.dial("1005", body);
            scene.a.refused(&refused, 488);
        }
    }
    let call = Call::new(&scene);
    call.assert_talk();
    scene.a.send_in(&call.a, "INVITE", nothing);
    scene.a.refused(&call.a, 488);
    call.assert_talk();
}

#[test]
fn a_stream_over_tcp_is_refused_and_audio_flows() {
    let scene = Scene::new(&[]);
    let (a_line, c_line) = (Line::new(scene.a.host()), Line::new(scene.c.host()));
    let chat = |port: u16| format!("m=message {port} TCP/MSRP *\r\na=accept-types:text/plain\r\n");
    let offer = sdp::of(scene.a.host(), 1, &[sdp::audio(a_line.port()), chat(2_855)]);
    let answer = sdp::of(scene.c.host(), 1, &[sdp::audio(c_line.port()), chat(0)]);
    let call = Call::with(&scene, (a_line, &offer), (c_line, &answer));
    for body in [call.invite.body(), call.response.body()] {
        assert_eq!(sdp::places(body)[1].port(), 0, "{body}");
        assert!(body.contains("m=message 0 TCP/MSRP *\r\n"), "{body}");
    }
    call.assert_talk();
}

#[test]
fn candidates_bundles_and_addresses_of_the_phone_do_not_pass() {
    let scene = Scene::new(&[]);
    let (a_line, c_line) = (Line::new(scene.a.host()), Line::new(scene.c.host()));
    let host: IpAddr = scene.a.host();
    let lines = format!(
        "a=candidate:1 1 UDP 2130706431 {host} {} typ host\r\na=end-of-candidates\r\na=mid:audio\r\n\
         a=rtcp:{} IN IP4 {host}\r\na=x-unknown:kept as it is\r\n",
        a_line.port(),
        a_line.port() + 1
    );
    let session = "a=group:BUNDLE audio\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n";
    let offer = sdp::of(host, 1, &[session.to_owned(), sdp::audio(a_line.port()), lines]);
    let answer = sdp::of(scene.c.host(), 1, &[sdp::audio(c_line.port())]);
    let call = Call::with(&scene, (a_line, &offer), (c_line, &answer));
    let body = call.invite.body();
    for gone in ["candidate", "a=group", "a=ice-", &host.to_string()] {
        assert!(!body.contains(gone), "{gone} in\n{body}");
    }
    assert!(sdp::has(body, "a=x-unknown:kept as it is") && sdp::has(body, "a=mid:audio"), "{body}");
    call.assert_talk();
}
