//! From where a party's packets are taken: what is learned, what is locked, what is dropped and counted.

mod media_parties;

use media_parties::{
    CALLEE, CALLER, Call, MALFORMED, NOWHERE, SOURCE, address, behind, describe, is_relayed, remote, report,
    rtp, stun,
};
use ringway::media::latch::{LEFT_MS, TASTED_MAX, WINDOW_MS};
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
fn behind_a_nat_once_locks_on_the_first_packet_of_its_host_and_answers_there() {
    let mut call = behind_nat(Learning::Once);
    // Before, it is reached at its NAT's, by the port that it described.
    assert_eq!(call.towards_caller(0), call.hop(call.caller, Component::Rtp, "198.18.0.5:4000"));
    assert!(is_relayed(call.send(3_000, call.caller, NATTED, &rtp(1, 1))));
    assert_eq!(call.towards_caller(3_010), call.hop(call.caller, Component::Rtp, NATTED));
    assert_eq!(call.send(3_020, call.caller, "198.18.0.5:61002", &rtp(1, 2)), SOURCE);
    assert_eq!(call.send(3_040, call.caller, "10.0.0.7:4002", &rtp(1, 3)), SOURCE);
}

#[test]
fn behind_a_nat_the_window_locks_on_three_packets_in_a_row_in_time_or_later() {
    for at_ms in [0, WINDOW_MS, 20_000] {
        let mut call = behind_nat(Learning::Window);
        for sequence in 1..=2 {
            assert!(is_relayed(call.send(at_ms, call.caller, NATTED, &rtp(1, sequence))));
            assert_eq!(call.towards_caller(at_ms), call.hop(call.caller, Component::Rtp, "198.18.0.5:4000"));
        }
        assert!(is_relayed(call.send(at_ms, call.caller, NATTED, &rtp(1, 3))));
        assert_eq!(call.towards_caller(at_ms), call.hop(call.caller, Component::Rtp, NATTED));
        assert_eq!(call.send(at_ms + 1, call.caller, "198.18.0.5:61002", &rtp(2, 4)), SOURCE);
        assert!(is_relayed(call.send(at_ms + 2, call.caller, NATTED, &rtp(3, 900))), "it is locked");
    }
}

#[test]
fn a_spray_from_the_ports_of_a_nat_puts_five_packets_in_and_draws_nothing_off() {
    let mut call = behind_nat(Learning::Window);
    let mut passed = 0;
    for sequence in 0..400_u16 {
        let port = format!("198.18.0.5:{}", 10_000 + sequence);
        let verdict = call.send(u64::from(sequence) * 4, call.caller, &port, &rtp(9, sequence));
        passed += u32::from(is_relayed(verdict));
        let to_the_nat = call.hop(call.caller, Component::Rtp, "198.18.0.5:4000");
        assert_eq!(call.towards_caller(1), to_the_nat);
    }
    // Nor do packets of one port that are none of one stream, by RTP or by RTCP.
    for sequence in [1, 18, 35, 35, 34] {
        let verdict = call.send(2_000, call.caller, NATTED, &rtp(1, sequence));
        passed += u32::from(is_relayed(verdict));
    }
    for ssrc in 0..9 {
        let report = report(201, ssrc, &[]);
        passed += u32::from(is_relayed(call.send_by(2_000, call.caller, Component::Rtcp, NATTED, &report)));
    }
    assert_eq!(passed, u32::from(TASTED_MAX), "RTP and RTCP together");
    // The phone is learned all the same.
    for sequence in 1..=3 {
        let verdict = call.send(3_000, call.caller, NATTED, &rtp(7, sequence));
        assert_eq!(is_relayed(verdict), sequence == 3);
    }
}

#[test]
fn the_port_number_described_wins_over_others_of_the_nat_while_the_window_is_open() {
    for at_ms in [60, 490, WINDOW_MS] {
        let mut call = behind_nat(Learning::Window);
        for sequence in 1..=3 {
            assert!(is_relayed(call.send(0, call.caller, NATTED, &rtp(9, sequence))));
        }
        for sequence in 1..=3 {
            let verdict = call.send(at_ms, call.caller, "198.18.0.5:4000", &rtp(1, sequence));
            assert_eq!(is_relayed(verdict), sequence == 3 && at_ms < WINDOW_MS, "{sequence} at {at_ms}");
            // The other one goes on meanwhile.
            let other = call.send(at_ms, call.caller, NATTED, &rtp(9, 3 + sequence));
            assert_eq!(is_relayed(other), sequence < 3 || at_ms == WINDOW_MS);
        }
    }
}

#[test]
fn packets_of_others_between_do_not_keep_the_port_number_described_from_being_learned() {
    let mut call = behind_nat(Learning::Window);
    for sequence in 1..=3 {
        for other in 0..9 {
            let other = format!("198.18.0.5:{}", 10_000 + 9 * sequence + other);
            call.send(0, call.caller, &other, &rtp(9, sequence));
        }
        call.send(0, call.caller, "198.18.0.5:4000", &rtp(1, sequence));
    }
    assert_eq!(call.towards_caller(1), call.hop(call.caller, Component::Rtp, "198.18.0.5:4000"));
    assert!(is_relayed(call.send(1, call.caller, "198.18.0.5:4000", &rtp(2, 900))));
}

#[test]
fn between_two_private_networks_both_hosts_are_learned() {
    for (own, host, first) in [
        ("192.168.1.5:4000", "10.0.0.9", "10.0.0.9:4000"),
        ("172.17.0.2:4000", "192.168.1.5", "192.168.1.5:4000"),
        // The same network: media is where it was described, unless it comes from elsewhere.
        ("10.0.0.7:4000", "10.0.0.9", "10.0.0.7:4000"),
    ] {
        for learning in [Learning::Once, Learning::Window] {
            for from in [format!("{host}:61000"), own.replace(":4000", ":4444")] {
                let mut call = Call::of(learning, behind(host, own), remote(CALLEE));
                assert_eq!(call.towards_caller(0), call.hop(call.caller, Component::Rtp, first));
                for sequence in 1..=3 {
                    assert!(is_relayed(call.send(9_000, call.caller, &from, &rtp(1, sequence))));
                }
                assert_eq!(call.towards_caller(9_000), call.hop(call.caller, Component::Rtp, &from));
            }
        }
    }
}

#[test]
fn a_public_place_is_the_only_host_though_signalling_comes_from_elsewhere() {
    for host in [NAT, "10.0.0.9"] {
        let mut call = Call::of(Learning::Once, behind(host, CALLER), remote(CALLEE));
        assert_eq!(call.towards_caller(0), call.hop(call.caller, Component::Rtp, CALLER));
        assert_eq!(call.send(0, call.caller, &format!("{host}:4000"), &rtp(1, 1)), SOURCE);
        assert!(is_relayed(call.send(0, call.caller, OTHER_PORT, &rtp(1, 1))));
    }
}

#[test]
fn a_nat_that_moves_within_the_window_is_followed() {
    let mut call = behind_nat(Learning::Window);
    for sequence in 65_528..=65_535 {
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

/// The caller behind a NAT, learned.
fn learned(learning: Learning) -> Call {
    let mut call = behind_nat(learning);
    for sequence in 1..=3 {
        assert!(is_relayed(call.send(0, call.caller, NATTED, &rtp(1, sequence))));
    }
    call
}

#[test]
fn another_place_is_learned_anew_and_the_old_source_is_not_taken_any_more() {
    let mut call = learned(Learning::Window);
    call.media.describe(call.caller, remote("192.0.2.99:7000"));
    assert!(is_relayed(call.send(20, call.caller, NATTED, &rtp(1, 4))), "it does not count yet");
    call.media.settle(ringway::clock::Now::from_ms(30), call.caller);
    assert_eq!(call.send(40, call.caller, NATTED, &rtp(1, 5)), SOURCE);
    assert_eq!(call.towards_caller(40), call.hop(call.caller, Component::Rtp, "192.0.2.99:7000"));
    assert!(is_relayed(call.send(50, call.caller, "192.0.2.99:7000", &rtp(1, 6))));
}

#[test]
fn what_is_still_underway_from_the_old_port_of_a_nat_is_not_learned_again() {
    for learning in [Learning::Once, Learning::Window] {
        let mut call = learned(learning);
        describe(&mut call.media, 1_000, call.caller, behind(NAT, "10.0.0.7:4100"));
        for (at_ms, sequence) in [(1_001, 5), (1_400, 6), (1_600, 7), (999 + LEFT_MS, 8)] {
            assert_eq!(call.send(at_ms, call.caller, NATTED, &rtp(1, sequence)), SOURCE, "{learning:?}");
        }
        // The next description does not make it any better.
        describe(&mut call.media, 1_010, call.caller, behind(NAT, "10.0.0.7:4200"));
        assert_eq!(call.send(1_020, call.caller, NATTED, &rtp(1, 9)), SOURCE);
        let mut moved = learned(learning);
        describe(&mut moved.media, 1_000, moved.caller, behind(NAT, "10.0.0.7:4100"));
        for sequence in 1..=5 {
            moved.send(1_000 + u64::from(sequence), moved.caller, "198.18.0.5:61002", &rtp(2, sequence));
        }
        assert_eq!(moved.towards_caller(1_050), moved.hop(moved.caller, Component::Rtp, "198.18.0.5:61002"));
        // Where the phone has not moved at all it is known again after a while.
        for sequence in 10..=12 {
            call.send(1_000 + LEFT_MS, call.caller, NATTED, &rtp(1, sequence));
        }
        assert_eq!(call.towards_caller(4_000), call.hop(call.caller, Component::Rtp, NATTED));
    }
}

#[test]
fn a_new_place_of_a_public_party_is_not_lost_to_the_old_source() {
    for is_rtp in [true, false] {
        let with = |at: &str| Remote { is_rtp, ..remote(at) };
        let mut call = Call::of(Learning::Once, with(CALLER), with(CALLEE));
        assert!(is_relayed(call.send(0, call.caller, CALLER, &rtp(1, 1))));
        describe(&mut call.media, 1_000, call.caller, with("192.0.2.10:4100"));
        assert_eq!(call.send(1_010, call.caller, CALLER, &rtp(1, 2)), SOURCE);
        assert!(is_relayed(call.send(1_020, call.caller, OTHER_PORT, &rtp(2, 1))));
        // The old place may be described again at once.
        describe(&mut call.media, 1_100, call.caller, with(CALLER));
        assert!(is_relayed(call.send(1_110, call.caller, CALLER, &rtp(1, 3))));
    }
}

#[test]
fn the_same_place_described_again_keeps_the_lock() {
    let mut call = learned(Learning::Window);
    describe(&mut call.media, 700, call.caller, behind(NAT, PRIVATE));
    assert_eq!(call.send(710, call.caller, "198.18.0.5:61002", &rtp(1, 4)), SOURCE);
    assert!(is_relayed(call.send(720, call.caller, NATTED, &rtp(1, 4))));
    // A public place is the same wherever signalling comes from.
    let mut call = Call::new(Learning::Once);
    assert!(is_relayed(call.send(0, call.caller, OTHER_PORT, &rtp(1, 1))));
    describe(&mut call.media, 700, call.caller, behind(NAT, CALLER));
    assert!(is_relayed(call.send(720, call.caller, OTHER_PORT, &rtp(1, 2))));
}

#[test]
fn a_phone_that_describes_the_same_place_from_behind_another_nat_is_learned_anew() {
    for learning in [Learning::Once, Learning::Window] {
        let mut call = learned(learning);
        describe(&mut call.media, 5_000, call.caller, behind("198.18.0.77", PRIVATE));
        assert_eq!(call.towards_caller(5_000), call.hop(call.caller, Component::Rtp, "198.18.0.77:4000"));
        assert_eq!(call.send(5_010, call.caller, NATTED, &rtp(1, 4)), SOURCE);
        for sequence in 5..=7 {
            call.send(5_020, call.caller, "198.18.0.77:50000", &rtp(1, sequence));
        }
        assert_eq!(call.towards_caller(5_050), call.hop(call.caller, Component::Rtp, "198.18.0.77:50000"));
    }
}

#[test]
fn a_place_out_of_reach_closes_the_latch_unless_it_is_a_hold() {
    let nowhere = Remote { rtp: None, rtcp: None, ..behind(NAT, PRIVATE) };
    for out_of_reach in [nowhere, remote("[2001:db8::1]:4000")] {
        let mut call = learned(Learning::Window);
        describe(&mut call.media, 1_000, call.caller, out_of_reach);
        assert_eq!(call.towards_caller(1_010), NOWHERE);
        for from in [NATTED, PRIVATE] {
            assert_eq!(call.send(1_020, call.caller, from, &rtp(1, 4)), SOURCE);
        }
        // It is learned anew when it comes back.
        describe(&mut call.media, 1_100, call.caller, behind(NAT, PRIVATE));
        assert_eq!(call.send(1_110, call.caller, NATTED, &rtp(1, 5)), SOURCE);
        assert!(is_relayed(call.send(1_120, call.caller, PRIVATE, &rtp(1, 5))));
    }
    let held = Remote { is_held: true, ..behind(NAT, PRIVATE) };
    let mut call = learned(Learning::Window);
    describe(&mut call.media, 1_000, call.caller, held);
    assert!(is_relayed(call.send(1_010, call.caller, NATTED, &rtp(1, 4))));
    assert_eq!(call.towards_caller(1_020), call.hop(call.caller, Component::Rtp, NATTED));
}

#[test]
fn the_window_opens_again_when_the_streams_are_agreed_on_once_more() {
    let mut call = Call::new(Learning::Window);
    // Early media was agreed on long ago; now the callee answers, and the caller has nothing new to say.
    call.media.reopen(ringway::clock::Now::from_ms(20_000), call.caller);
    for sequence in 1..=30 {
        call.send(20_000 + u64::from(sequence) * 20, call.caller, OTHER_PORT, &rtp(1, sequence));
    }
    assert_eq!(call.towards_caller(21_000), call.hop(call.caller, Component::Rtp, OTHER_PORT));
    // What has locked stays locked.
    call.media.reopen(ringway::clock::Now::from_ms(22_000), call.caller);
    assert_eq!(call.send(22_010, call.caller, "192.0.2.10:4446", &rtp(1, 31)), SOURCE);
    assert!(is_relayed(call.send(22_010, call.caller, OTHER_PORT, &rtp(1, 31))));
}

#[test]
fn rtcp_from_the_host_that_rtp_is_locked_on_locks_with_its_first_packet() {
    let report = report(201, 1, &[]);
    for (learning, is_natted) in MODES.into_iter().flat_map(|learning| [(learning, false), (learning, true)])
    {
        let (mut call, rtp_from, from) = match is_natted {
            true => (behind_nat(learning), NATTED, "198.18.0.5:62000"),
            false => (Call::new(learning), CALLER, "192.0.2.10:4777"),
        };
        for sequence in 1..=3 {
            call.send(0, call.caller, rtp_from, &rtp(1, sequence));
        }
        // Long after the window.
        let verdict = call.send_by(5_000, call.caller, Component::Rtcp, from, &report);
        assert_eq!(is_relayed(verdict), learning != Learning::Off, "{learning:?} {is_natted}");
        if learning != Learning::Off {
            let back = call.send_by(5_010, call.callee, Component::Rtcp, "198.51.100.20:5001", &report);
            assert_eq!(back, call.hop(call.caller, Component::Rtcp, from));
            let other = call.send_by(5_020, call.caller, Component::Rtcp, "192.0.2.10:4778", &report);
            assert_eq!(other, SOURCE);
        }
        assert_eq!(call.send_by(5_030, call.caller, Component::Rtcp, ATTACKER, &report), SOURCE);
    }
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
    let mut call = learned(Learning::Window);
    let held = Remote { rtp: None, rtcp: None, is_held: true, ..behind(NAT, PRIVATE) };
    describe(&mut call.media, 1_000, call.caller, held);
    assert_eq!(call.towards_caller(1_010), NOWHERE);
    // Music on hold may come from there.
    assert!(is_relayed(call.send(1_020, call.caller, NATTED, &rtp(1, 4))));
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
fn rtcp_has_a_latch_of_its_own() {
    let mut call = behind_nat(Learning::Window);
    let report = report(201, 1, &[]);
    for _ in 0..3 {
        assert!(is_relayed(call.send_by(0, call.caller, Component::Rtcp, "198.18.0.5:62000", &report)));
    }
    assert_eq!(call.towards_caller(0), call.hop(call.caller, Component::Rtp, "198.18.0.5:4000"));
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
