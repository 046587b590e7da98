//! From where a party's packets are taken: what is learned, what is locked, what is dropped and counted.

mod media_parties;

use media_parties::{
    CALLEE, CALLER, Call, MALFORMED, NOWHERE, SOURCE, address, behind, describe, is_relayed, remote, report,
    rtp, stun,
};
use ringway::media::latch::{TASTED_MAX, WINDOW_MS};
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

#[test]
fn the_place_described_is_taken_at_once_in_every_mode() {
    for learning in MODES {
        for at_ms in [0, WINDOW_MS, 100_000] {
            let mut call = Call::new(learning);
            let relayed = call.hop(call.callee, Component::Rtp, CALLEE);
            assert_eq!(call.send(at_ms, call.caller, CALLER, &rtp(1, 1)), relayed, "{learning:?}");
        }
    }
}

#[test]
fn off_takes_nothing_else() {
    let mut call = Call::new(Learning::Off);
    assert_eq!(call.send(0, call.caller, OTHER_PORT, &rtp(1, 1)), SOURCE);
    let mut call = behind_nat(Learning::Off);
    assert_eq!(call.send(0, call.caller, NATTED, &rtp(1, 1)), SOURCE);
    assert!(is_relayed(call.send(0, call.caller, PRIVATE, &rtp(1, 1))));
}

#[test]
fn once_takes_the_first_plausible_packet_of_the_host_and_stays_there() {
    let mut call = Call::new(Learning::Once);
    assert_eq!(call.send(0, call.caller, OTHER_PORT, &[0x80; 11]), MALFORMED);
    assert!(is_relayed(call.send(9_000, call.caller, OTHER_PORT, &rtp(1, 1))));
    assert_eq!(call.send(9_020, call.caller, "192.0.2.10:4446", &rtp(1, 2)), SOURCE);
    assert!(is_relayed(call.send(9_040, call.caller, OTHER_PORT, &rtp(2, 900))));
    assert_eq!(call.towards_caller(9_050), call.hop(call.caller, Component::Rtp, OTHER_PORT));
    // The place described may always come.
    assert!(is_relayed(call.send(9_060, call.caller, CALLER, &rtp(1, 3))));
    assert_eq!(call.send(9_080, call.caller, OTHER_PORT, &rtp(1, 4)), SOURCE);
}

#[test]
fn behind_a_nat_the_first_packet_of_its_host_locks_and_is_answered_there() {
    for learning in [Learning::Once, Learning::Window] {
        let mut call = behind_nat(learning);
        // Before, it is reached at its NAT's, by the port that it described.
        assert_eq!(call.towards_caller(0), call.hop(call.caller, Component::Rtp, "198.18.0.5:4000"));
        assert!(is_relayed(call.send(3_000, call.caller, NATTED, &rtp(1, 1))), "{learning:?}");
        assert_eq!(call.towards_caller(3_010), call.hop(call.caller, Component::Rtp, NATTED));
        assert_eq!(call.send(3_020, call.caller, "198.18.0.5:61002", &rtp(1, 2)), SOURCE);
        // The private address's host is not the party's: only the very place described is.
        assert_eq!(call.send(3_040, call.caller, "10.0.0.7:4002", &rtp(1, 3)), SOURCE);
    }
}

#[test]
fn a_nat_that_moves_within_the_window_is_followed() {
    let mut call = behind_nat(Learning::Window);
    assert!(is_relayed(call.send(0, call.caller, NATTED, &rtp(1, 65_530))));
    for sequence in 65_531..=65_535 {
        assert!(is_relayed(call.send(20, call.caller, NATTED, &rtp(1, sequence))));
    }
    assert_eq!(call.send(40, call.caller, "198.18.0.5:61002", &rtp(2, 0)), SOURCE, "another SSRC");
    assert_eq!(call.send(40, call.caller, "198.18.0.5:61002", &rtp(1, 16)), SOURCE, "17 ahead");
    assert_eq!(call.send(40, call.caller, "198.18.0.5:61002", &rtp(1, 65_535)), SOURCE, "a repetition");
    assert!(is_relayed(call.send(499, call.caller, "198.18.0.5:61002", &rtp(1, 15))));
    assert_eq!(call.send(499, call.caller, NATTED, &rtp(1, 15)), SOURCE);
    assert_eq!(call.send(500, call.caller, NATTED, &rtp(1, 16)), SOURCE, "the window is closed");
    assert!(is_relayed(call.send(500, call.caller, "198.18.0.5:61002", &rtp(1, 16))));
}

#[test]
fn once_follows_no_nat_that_moves() {
    let mut call = behind_nat(Learning::Once);
    assert!(is_relayed(call.send(0, call.caller, NATTED, &rtp(1, 1))));
    assert_eq!(call.send(20, call.caller, "198.18.0.5:61002", &rtp(1, 2)), SOURCE);
}

#[test]
fn rtp_bleed_gets_at_most_five_packets_from_the_host_while_learning_and_none_after() {
    let mut call = Call::new(Learning::Window);
    let mut passed = 0;
    for sequence in 0..200 {
        let port = format!("192.0.2.10:{}", 10_000 + sequence % 7);
        let verdict = call.send(u64::from(sequence) * 2, call.caller, &port, &rtp(9, sequence));
        passed += u32::from(is_relayed(verdict));
        // Nothing of what the callee sends goes to them.
        assert_eq!(call.towards_caller(1), call.hop(call.caller, Component::Rtp, CALLER));
    }
    assert_eq!(passed, u32::from(TASTED_MAX));
    assert!(is_relayed(call.send(450, call.caller, CALLER, &rtp(1, 1))));
    for at_ms in [460, 510, 10_000] {
        assert_eq!(call.send(at_ms, call.caller, "192.0.2.10:10003", &rtp(9, 200)), SOURCE);
    }
}

#[test]
fn rtp_bleed_from_another_host_gets_nothing_in_any_mode() {
    for learning in MODES {
        for mut call in [Call::new(learning), behind_nat(learning)] {
            for at_ms in [0, 100, 499, 500, 5_000] {
                assert_eq!(call.send(at_ms, call.caller, ATTACKER, &rtp(1, 1)), SOURCE, "{learning:?}");
                let report = report(201, 1, &[]);
                let verdict = call.send_by(at_ms, call.caller, Component::Rtcp, ATTACKER, &report);
                assert_eq!(verdict, SOURCE);
            }
            assert!(call.towards_caller(6_000) != call.hop(call.caller, Component::Rtp, ATTACKER));
        }
    }
}

#[test]
fn injection_into_a_locked_stream_is_dropped_though_it_looks_like_the_next_packet() {
    for learning in MODES {
        let mut call = Call::new(learning);
        assert!(is_relayed(call.send(0, call.caller, CALLER, &rtp(1, 1))));
        for at_ms in [1, 499, 500, 60_000] {
            for from in [ATTACKER, OTHER_PORT, CALLEE] {
                assert_eq!(call.send(at_ms, call.caller, from, &rtp(1, 2)), SOURCE, "{from}");
            }
        }
        assert_eq!(call.towards_caller(60_001), call.hop(call.caller, Component::Rtp, CALLER));
        assert_eq!(call.media.counts().source, 12);
        assert_eq!(call.media.figures(call.caller).dropped, 12);
        assert_eq!(call.media.figures(call.caller).received.packets, 1);
    }
}

#[test]
fn what_was_tasted_last_locks_with_its_next_packet_when_the_window_closes() {
    let mut call = Call::new(Learning::Window);
    for sequence in 1..=24 {
        let verdict = call.send(u64::from(sequence) * 20, call.caller, OTHER_PORT, &rtp(1, sequence));
        assert_eq!(is_relayed(verdict), sequence <= 5, "{sequence}");
    }
    // One packet of somebody else's does not count for more.
    assert_eq!(call.send(490, call.caller, "192.0.2.10:4999", &rtp(7, 1)), SOURCE);
    assert_eq!(call.send(500, call.caller, "192.0.2.10:4999", &rtp(7, 2)), SOURCE);
    assert_eq!(call.send(500, call.caller, OTHER_PORT, &rtp(1, 41)), SOURCE, "too far ahead");
    assert_eq!(call.send(500, call.caller, OTHER_PORT, &rtp(2, 25)), SOURCE, "another SSRC");
    assert!(is_relayed(call.send(500, call.caller, OTHER_PORT, &rtp(1, 25))));
    assert!(is_relayed(call.send(520, call.caller, OTHER_PORT, &rtp(2, 999))));
    assert_eq!(call.towards_caller(530), call.hop(call.caller, Component::Rtp, OTHER_PORT));
}

#[test]
fn nothing_but_the_place_described_is_taken_when_nothing_was_tasted() {
    let mut call = Call::new(Learning::Window);
    for sequence in 1..50 {
        assert_eq!(call.send(600, call.caller, OTHER_PORT, &rtp(1, sequence)), SOURCE);
    }
    assert!(is_relayed(call.send(9_000, call.caller, CALLER, &rtp(1, 60))));
}

#[test]
fn describing_an_unlocked_place_again_opens_the_window_but_tastes_no_more() {
    let mut call = Call::new(Learning::Window);
    for sequence in 1..=3 {
        assert!(is_relayed(call.send(10, call.caller, OTHER_PORT, &rtp(1, sequence))));
    }
    describe(&mut call.media, 2_000, call.caller, remote(CALLER));
    for sequence in 1..=9 {
        let verdict = call.send(2_100, call.caller, OTHER_PORT, &rtp(1, sequence));
        assert_eq!(is_relayed(verdict), sequence <= 2);
    }
    assert!(is_relayed(call.send(2_500, call.caller, OTHER_PORT, &rtp(1, 10))));
}

#[test]
fn another_place_is_learned_anew_and_the_old_source_is_not_taken_any_more() {
    let mut call = behind_nat(Learning::Window);
    assert!(is_relayed(call.send(0, call.caller, NATTED, &rtp(1, 1))));
    call.media.describe(call.caller, remote("192.0.2.99:7000"));
    assert!(is_relayed(call.send(20, call.caller, NATTED, &rtp(1, 2))), "it does not count yet");
    call.media.settle(ringway::clock::Now::from_ms(30), call.caller);
    assert_eq!(call.send(40, call.caller, NATTED, &rtp(1, 3)), SOURCE);
    assert_eq!(call.towards_caller(40), call.hop(call.caller, Component::Rtp, "192.0.2.99:7000"));
    assert!(is_relayed(call.send(50, call.caller, "192.0.2.99:7000", &rtp(1, 4))));
}

#[test]
fn the_same_place_described_again_keeps_the_lock() {
    let mut call = behind_nat(Learning::Window);
    assert!(is_relayed(call.send(0, call.caller, NATTED, &rtp(1, 1))));
    describe(&mut call.media, 700, call.caller, behind(NAT, PRIVATE));
    assert_eq!(call.send(710, call.caller, "198.18.0.5:61002", &rtp(1, 2)), SOURCE);
    assert!(is_relayed(call.send(720, call.caller, NATTED, &rtp(1, 2))));
}

#[test]
fn a_description_that_is_forgotten_never_counts() {
    let mut call = Call::new(Learning::Window);
    call.media.describe(call.caller, remote("192.0.2.99:7000"));
    assert_eq!(call.media.described(call.caller), Some(remote("192.0.2.99:7000")));
    call.media.forget(call.caller);
    call.media.settle(ringway::clock::Now::from_ms(30), call.caller);
    assert_eq!(call.media.described(call.caller), Some(remote(CALLER)));
    assert!(is_relayed(call.send(40, call.caller, CALLER, &rtp(1, 3))));
}

#[test]
fn a_party_that_wants_nothing_gets_nothing_and_is_known_again_afterwards() {
    let mut call = behind_nat(Learning::Window);
    assert!(is_relayed(call.send(0, call.caller, NATTED, &rtp(1, 1))));
    let held = Remote { rtp: None, rtcp: None, is_held: true, ..behind(NAT, PRIVATE) };
    describe(&mut call.media, 1_000, call.caller, held);
    assert_eq!(call.towards_caller(1_010), NOWHERE);
    // Music on hold may come from there.
    assert!(is_relayed(call.send(1_020, call.caller, NATTED, &rtp(1, 2))));
    describe(&mut call.media, 2_000, call.caller, behind(NAT, PRIVATE));
    assert_eq!(call.towards_caller(2_010), call.hop(call.caller, Component::Rtp, NATTED));
}

#[test]
fn who_has_described_nothing_sends_and_gets_nothing() {
    let mut call = Call::new(Learning::Window);
    let now = ringway::clock::Now::from_ms(0);
    let leg = call.media.open(now, ringway::media::Family::V4).expect("a free pair");
    call.media.join(call.caller, leg);
    assert_eq!(call.send(0, leg, CALLEE, &rtp(1, 1)), SOURCE);
    assert_eq!(call.send(0, call.caller, CALLER, &rtp(1, 1)), NOWHERE);
    call.media.describe(leg, remote(CALLEE));
    assert_eq!(call.send(0, leg, CALLEE, &rtp(1, 1)), SOURCE, "not before it is settled");
    call.media.settle(now, leg);
    assert!(is_relayed(call.send(0, leg, CALLEE, &rtp(1, 1))));
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

#[test]
fn dtls_passes_only_from_a_source_that_is_locked() {
    let mut call = Call::new(Learning::Window);
    let hello = [22, 254, 253, 0, 0, 0, 0];
    assert_eq!(call.send(0, call.caller, CALLER, &hello), SOURCE);
    assert!(is_relayed(call.send(10, call.caller, CALLER, &rtp(1, 1))));
    assert!(is_relayed(call.send(20, call.caller, CALLER, &hello)));
    assert_eq!(call.send(30, call.caller, OTHER_PORT, &hello), SOURCE);
    assert_eq!(call.media.figures(call.caller).received.packets, 1);
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
        // Version 1 and 3, TURN's channels, ZRTP.
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

#[test]
fn rtcp_has_a_latch_of_its_own() {
    let mut call = behind_nat(Learning::Window);
    let report = report(201, 1, &[]);
    assert!(is_relayed(call.send_by(0, call.caller, Component::Rtcp, "198.18.0.5:62000", &report)));
    assert!(is_relayed(call.send(0, call.caller, NATTED, &rtp(1, 1))));
    let report_of_callee = media_parties::report(201, 2, &[]);
    let verdict = call.send_by(0, call.callee, Component::Rtcp, "198.51.100.20:5001", &report_of_callee);
    assert_eq!(verdict, call.hop(call.caller, Component::Rtcp, "198.18.0.5:62000"));
    assert_eq!(call.send_by(600, call.caller, Component::Rtcp, NATTED, &report), SOURCE);
}

#[test]
fn signalling_over_the_other_family_shows_no_nat() {
    let caller = Remote { host: address("[2001:db8::1]:5060").ip(), ..remote(CALLER) };
    let mut call = Call::of(Learning::Once, caller, remote(CALLEE));
    assert_eq!(call.towards_caller(0), call.hop(call.caller, Component::Rtp, CALLER));
    assert!(is_relayed(call.send(0, call.caller, OTHER_PORT, &rtp(1, 1))));
}

#[test]
fn a_place_that_the_sockets_do_not_reach_is_nowhere() {
    let mut call = Call::of(Learning::Once, remote("[2001:db8::1]:4000"), remote(CALLEE));
    assert_eq!(call.towards_caller(0), NOWHERE);
}
