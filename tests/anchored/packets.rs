//! What passes as it is: payloads that nobody here knows, RTCP, and how packets are marked.

use crate::media::rtp::{self, EVENTS, PCMA, assert_talk, sender_report};
use crate::media::{Call, Line, PATIENCE, QUIET, Scene, sdp};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

/// Expedited forwarding (RFC 3246) in the upper six bits of the octet.
const EF: u8 = 46 << 2;

#[test]
fn events_and_payloads_that_nobody_knows_pass_byte_for_byte() {
    let scene = Scene::new(&[]);
    let call = Call::new(&scene);
    let line = &call.a_line;
    let mut packets = vec![
        // An event of DTMF, its end, three times (RFC 4733 §2.5).
        line.packet_of(0x80 | EVENTS, &[5, 0x0A, 0, 160]),
        line.packet_of(EVENTS, &[5, 0x8A, 3, 32]),
        line.packet_of(EVENTS, &[5, 0x8A, 3, 32]),
        line.packet_of(EVENTS, &[5, 0x8A, 3, 32]),
        // Nothing but a header; comfort noise; types that were never described; a large one.
        line.packet_of(PCMA, &[]),
        line.packet_of(13, &[0x40]),
        line.packet_of(127, b"anything at all"),
        line.packet_of(35, &[0xFF; 1]),
        line.packet_of(96, &[0x5A; 1400]),
    ];
    // A contributing source, a header extension and padding.
    let mut rich = line.packet_of(PCMA, &[]);
    rich[0] = 0x80 | 0x20 | 0x10 | 1;
    rich.extend([1, 2, 3, 4, 0xBE, 0xDE, 0, 1, 0x10, 9, 0, 0, 0xD5, 0xD5, 0, 2]);
    packets.push(rich);
    for packet in &packets {
        line.rtp.send_to(packet, call.a_told).expect("sent");
        assert_eq!(call.c_line.receive(), (packet.clone(), call.c_told));
    }
    call.assert_talk();
}

#[test]
fn what_is_no_rtp_is_dropped_and_the_call_goes_on() {
    let scene = Scene::new(&[]);
    let call = Call::new(&scene);
    call.assert_talk();
    let good = call.a_line.packet();
    let mut of_version_1 = good.clone();
    of_version_1[0] = 0x40;
    // An extension beyond the end. Padding is not looked at: SRTP encrypts its length.
    let mut broken = good[..16].to_vec();
    broken[0] = 0x90;
    let bad = [&b""[..], b"x", b"\r\n\r\n", &good[..11], &of_version_1, &broken];
    for packet in bad {
        call.a_line.rtp.send_to(packet, call.a_told).expect("sent");
    }
    call.c_line.is_quiet();
    call.assert_talk();
    scene.server.counts("media_dropped_malformed_total", bad.len() as u64);
}

#[test]
fn stun_is_neither_answered_nor_passed_on() {
    let scene = Scene::new(&[]);
    let call = Call::new(&scene);
    // A binding request (RFC 8489 §5).
    let mut stun = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
    stun.extend([9; 12]);
    for _ in 0..3 {
        call.a_line.rtp.send_to(&stun, call.a_told).expect("sent");
    }
    call.a_line.is_quiet();
    call.c_line.is_quiet();
    scene.server.counts("media_dropped_stun_total", 3);
    call.assert_talk();
}

/// The next port.
fn rtcp(place: SocketAddr) -> SocketAddr {
    SocketAddr::new(place.ip(), place.port() + 1)
}

#[track_caller]
fn assert_report(from: (&UdpSocket, SocketAddr), to: (&UdpSocket, SocketAddr), ssrc: u32) {
    let report = sender_report(ssrc);
    from.0.send_to(&report, from.1).expect("sent");
    assert_eq!(rtp::receive(to.0, PATIENCE), Some((report, to.1)));
}

#[test]
fn rtcp_passes_on_the_next_port_both_ways() {
    let scene = Scene::new(&[]);
    let call = Call::new(&scene);
    call.assert_talk();
    let (a, c) = (&call.a_line, &call.c_line);
    assert_report((&a.rtcp, rtcp(call.a_told)), (&c.rtcp, rtcp(call.c_told)), a.ssrc);
    assert_report((&c.rtcp, rtcp(call.c_told)), (&a.rtcp, rtcp(call.a_told)), c.ssrc);
    a.is_quiet();
    c.is_quiet();
    // Nobody has agreed to RTCP on the port of RTP.
    a.rtp.send_to(&sender_report(a.ssrc), call.a_told).expect("sent");
    c.is_quiet();
    assert_eq!(rtp::receive(&c.rtcp, QUIET), None);
}

#[test]
fn rtcp_passes_at_the_port_that_its_attribute_names() {
    let scene = Scene::new(&[]);
    let (a_line, c_line) = (Line::new(scene.a.host()), Line::new(scene.c.host()));
    let other = Line::new(scene.a.host());
    let rtcp_line = format!("a=rtcp:{}\r\n", other.port());
    let offer = sdp::of(scene.a.host(), 1, &[sdp::audio(a_line.port()) + &rtcp_line]);
    let answer = sdp::of(scene.c.host(), 1, &[sdp::audio(c_line.port())]);
    let call = Call::with(&scene, (a_line, &offer), (c_line, &answer));
    // RFC 3605: what C is told is ours.
    let host = call.c_told.ip();
    let own = format!("a=rtcp:{} IN IP4 {host}", call.c_told.port() + 1);
    assert!(sdp::has(call.invite.body(), &own), "{}", call.invite.body());
    call.assert_talk();
    assert_report((&other.rtp, rtcp(call.a_told)), (&call.c_line.rtcp, rtcp(call.c_told)), 1);
    assert_report((&call.c_line.rtcp, rtcp(call.c_told)), (&other.rtp, rtcp(call.a_told)), 2);
}

#[test]
fn rtcp_passes_on_the_port_of_rtp_where_both_have_agreed_to_it() {
    let scene = Scene::new(&[]);
    let (a_line, c_line) = (Line::new(scene.a.host()), Line::new(scene.c.host()));
    let muxed = |port| sdp::audio(port) + "a=rtcp-mux\r\n";
    let offer = sdp::of(scene.a.host(), 1, &[muxed(a_line.port())]);
    let answer = sdp::of(scene.c.host(), 1, &[muxed(c_line.port())]);
    let call = Call::with(&scene, (a_line, &offer), (c_line, &answer));
    for body in [call.invite.body(), call.response.body()] {
        assert!(sdp::has(body, "a=rtcp-mux"), "{body}");
    }
    let (a, c) = (&call.a_line, &call.c_line);
    call.assert_talk();
    assert_report((&a.rtp, call.a_told), (&c.rtp, call.c_told), a.ssrc);
    assert_report((&c.rtp, call.c_told), (&a.rtp, call.a_told), c.ssrc);
    call.assert_talk();
}

#[test]
fn what_is_sent_is_marked_for_expedited_forwarding() {
    for (options, expected) in [(&[][..], EF), (&["--rtp-dscp", "10"][..], 10 << 2)] {
        let scene = Scene::new(options);
        let call = Call::new(&scene);
        call.assert_talk();
        ask_for_tos(&call.c_line.rtp);
        call.a_line.send(call.a_told);
        assert_eq!(receive_tos(&call.c_line.rtp), Some(expected));
    }
}

fn ask_for_tos(socket: &UdpSocket) {
    let on: libc::c_int = 1;
    let length = size_of_val(&on) as libc::socklen_t;
    // SAFETY: the value is an int of this length, and the descriptor is open as long as the socket lives.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_RECVTOS,
            (&raw const on).cast(),
            length,
        )
    };
    assert_eq!(done, 0);
}

/// The octet that the next packet came with.
fn receive_tos(socket: &UdpSocket) -> Option<u8> {
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let (mut data, mut control) = ([0_u8; 2048], [0_u64; 16]);
    let mut part = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
    // SAFETY: zeros are a valid msghdr, with null pointers and no lengths.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    // SAFETY: all that the message points to lives in this function and has the lengths that it says.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0) };
    assert!(length > 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the kernel has filled the message in.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !header.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give headers within the buffer, followed by their data.
        unsafe {
            if (*header).cmsg_level == libc::IPPROTO_IP && (*header).cmsg_type == libc::IP_TOS {
                return Some(*libc::CMSG_DATA(header));
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    None
}

#[test]
fn a_call_through_two_servers_is_heard_from_end_to_end() {
    // The second server's subscriber is A's callee; the first one reaches it by a static contact.
    let far = Scene::new(&[]);
    let near = Scene::new(&["--subscriber", &format!("number=1009,contact=sip:1005@{}", far.server.address)]);
    let (a, c) = (&near.a, &far.c);
    let [a_line, c_line] = [a, c].map(|phone| Line::new(phone.host()));
    let mut dialog = a.dial("1009", &sdp::of(a.host(), 1, &[sdp::audio(a_line.port())]));
    let invite = c.request("INVITE");
    far.server.assert_own(invite.body());
    c.respond(&invite, "200 OK", &sdp::of(c.host(), 1, &[sdp::audio(c_line.port())]));
    let response = a.answered(&mut dialog);
    near.server.assert_own(response.body());
    c.request("ACK");
    assert_talk((&a_line, sdp::place(response.body())), (&c_line, sdp::place(invite.body())));
}
