//! What a packet is decides what becomes of it: RTP, RTCP, keys (DTLS, ZRTP), STUN, anything else (RFC 7983).

#[expect(dead_code, reason = "each test file uses its part of it")]
mod media_parties;

use media_parties::{CALLEE, CALLER, Call, MALFORMED, SOURCE, behind, is_relayed, remote, report, rtp, stun};
use ringway::media::latch::TASTED_MAX;
use ringway::media::{Component, Dropped, Remote, Verdict};
use ringway::settings::Learning;

const MODES: [Learning; 3] = [Learning::Off, Learning::Once, Learning::Window];
const OTHER_PORT: &str = "192.0.2.10:4444";
const NAT: &str = "198.18.0.5";
const NATTED: &str = "198.18.0.5:61000";
const PRIVATE: &str = "10.0.0.7:4000";
const ATTACKER: &str = "203.0.113.66:4000";

/// A caller that describes a private address, and whose signalling comes from its NAT.
fn behind_nat(learning: Learning) -> Call {
    Call::of(learning, behind(NAT, PRIVATE), remote(CALLEE))
}

/// The caller behind a NAT, learned.
fn learned(learning: Learning) -> Call {
    let mut call = behind_nat(learning);
    for sequence in 1..=3 {
        assert!(is_relayed(call.send(0, call.caller, NATTED, &rtp(1, sequence))));
    }
    call
}

#[test]
fn stun_is_counted_and_not_relayed() {
    let mut call = Call::new(Learning::Once);
    for from in [CALLER, OTHER_PORT, ATTACKER] {
        assert_eq!(call.send(0, call.caller, from, &stun()), Verdict::Drop(Dropped::Stun));
    }
    assert_eq!(call.media.counts().stun, 3);
    // It has locked nothing.
    assert!(is_relayed(call.send(10, call.caller, OTHER_PORT, &rtp(1, 1))));
}

/// DTLS's and ZRTP's first.
fn hellos() -> [Vec<u8>; 2] {
    let zrtp = [&[0x10, 0, 0, 1][..], b"ZRTP", &[7; 112]].concat();
    [vec![22, 254, 253, 0, 0, 0, 0], zrtp]
}

#[test]
fn keys_pass_from_the_place_described_and_lock_on_it() {
    for hello in hellos() {
        for learning in MODES {
            let mut call = Call::new(learning);
            let relayed = call.hop(call.callee, Component::Rtp, CALLEE);
            assert_eq!(call.send(9_000, call.caller, CALLER, &hello), relayed);
            assert_eq!(call.send(9_010, call.caller, OTHER_PORT, &hello), SOURCE);
            assert_eq!(call.send(9_020, call.caller, OTHER_PORT, &rtp(1, 1)), SOURCE, "it is locked");
            assert!(is_relayed(call.send(9_030, call.caller, CALLER, &rtp(1, 1))));
            assert_eq!(call.send(9_040, call.caller, ATTACKER, &hello), SOURCE);
            assert_eq!(call.media.figures(call.caller).received.packets, 1);
        }
    }
}

#[test]
fn keys_from_other_ports_of_the_host_are_tasted_and_lock_nothing() {
    for hello in hellos() {
        for learning in MODES {
            for (mut call, from) in [(Call::new(learning), OTHER_PORT), (behind_nat(learning), NATTED)] {
                for count in 0..9 {
                    let verdict = call.send(900, call.caller, from, &hello);
                    let is_tasted = learning != Learning::Off && count < TASTED_MAX;
                    assert_eq!(is_relayed(verdict), is_tasted, "{learning:?} {from}");
                }
                assert!(call.towards_caller(910) != call.hop(call.caller, Component::Rtp, from));
            }
        }
        // Of a source that is locked they pass without end.
        let mut call = learned(Learning::Window);
        for _ in 0..9 {
            assert!(is_relayed(call.send(900, call.caller, NATTED, &hello)));
        }
    }
}

#[test]
fn what_is_no_rtp_is_relayed_from_the_first_source_of_the_host() {
    let udptl = Remote { is_rtp: false, ..remote(CALLER) };
    let mut call = Call::of(Learning::Window, udptl, Remote { is_rtp: false, ..remote(CALLEE) });
    assert_eq!(call.send(0, call.caller, ATTACKER, &[1, 2, 3]), SOURCE);
    assert!(is_relayed(call.send(0, call.caller, OTHER_PORT, &[1, 2, 3])));
    assert!(is_relayed(call.send(0, call.caller, OTHER_PORT, &stun())));
    assert!(is_relayed(call.send(0, call.caller, OTHER_PORT, &[])));
    assert_eq!(call.send(0, call.caller, "192.0.2.10:4446", &[1, 2, 3]), SOURCE);
    assert!(is_relayed(call.send(0, call.caller, CALLER, &[9])));
    assert_eq!(call.send(0, call.caller, OTHER_PORT, &[9]), SOURCE);
    let figures = call.media.figures(call.caller);
    assert_eq!((figures.received.packets, figures.received.bytes, figures.received.lost), (4, 24, 0));
}

#[test]
fn what_is_no_rtp_or_rtcp_is_dropped_from_the_right_source_too() {
    let mut call = Call::new(Learning::Window);
    let with = |first: u8, second: u8, tail: &[u8]| {
        let mut packet = rtp(1, 1)[..12].to_vec();
        (packet[0], packet[1]) = (first, second);
        packet.extend(tail);
        packet
    };
    let malformed = [
        vec![],
        vec![0x80],
        with(0x80, 0, &[])[..11].to_vec(),
        // Version 1 and 3, and nearly ZRTP.
        with(0x40, 0, &[]),
        with(0xC0, 0, &[]),
        with(0x10, 0, &[]),
        // A CSRC, an extension without room.
        with(0x81, 0, &[0; 3]),
        with(0x90, 0, &[0; 3]),
        with(0x90, 0, &[0, 0, 0, 1, 0, 0, 0]),
        // RTCP's types, and RTCP on a port that it does not share.
        with(0x80, 72, &[]),
        with(0x80, 76, &[]),
        report(200, 1, &[]),
        // Neither STUN nor anything else.
        vec![0; 40],
    ];
    for packet in &malformed {
        assert_eq!(call.send(0, call.caller, CALLER, packet), MALFORMED, "{packet:?}");
    }
    assert_eq!(call.media.counts().malformed, malformed.len() as u64);
    let sound = [
        with(0x80, 0, &[]),
        with(0x81, 0, &[0; 4]),
        with(0x90, 0, &[0, 0, 0, 1, 0, 0, 0, 0]),
        with(0xA0, 0, &[0, 2]),
        // telephone-event with the marker, and payload types that nobody has described.
        with(0x80, 0x80 | 101, &[1; 4]),
        with(0x80, 127, &[]),
        with(0x80, 71, &[]),
        with(0x80, 77, &[]),
    ];
    for packet in &sound {
        assert!(is_relayed(call.send(0, call.caller, CALLER, packet)), "{packet:?}");
    }
    let rtcp = |call: &mut Call, packet: &[u8]| {
        call.send_by(0, call.caller, Component::Rtcp, "192.0.2.10:4001", packet)
    };
    assert_eq!(rtcp(&mut call, &rtp(1, 1)), MALFORMED);
    assert_eq!(rtcp(&mut call, &report(201, 1, &[])[..7]), MALFORMED);
    assert!(is_relayed(rtcp(&mut call, &report(201, 1, &[]))));
}
