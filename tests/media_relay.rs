//! What is relayed where, what is counted of it, and which ports are free.

#[expect(dead_code, reason = "each test file uses its part of it")]
mod media_parties;

use media_parties::{
    Block, CALLEE, CALLER, Call, MALFORMED, NOWHERE, SOURCE, address, describe, is_relayed, media, ms, open,
    remote, report, rtp, rtp_at, slot, with_ports,
};
use ringway::clock::Now;
use ringway::media::{Component, Counts, Dropped, Family, Figures, LOW_WATER, Media, Remote, Slot, Verdict};
use ringway::settings::{self, Learning};

const CALLER_RTCP: &str = "192.0.2.10:4001";
const CALLEE_RTCP: &str = "198.51.100.20:5001";

fn now(ms: u64) -> Now {
    Now::from_ms(ms)
}

fn mux(at: &str) -> Remote {
    Remote { has_mux: true, ..remote(at) }
}

#[test]
fn what_one_party_sends_leaves_by_the_port_that_the_other_was_told() {
    let mut call = Call::new(Learning::Window);
    let to_callee = call.hop(call.callee, Component::Rtp, CALLEE);
    let to_caller = call.hop(call.caller, Component::Rtp, CALLER);
    assert_eq!(call.send(0, call.caller, CALLER, &rtp(1, 1)), to_callee);
    assert_eq!(call.send(0, call.callee, CALLEE, &rtp(2, 1)), to_caller);
    assert_eq!(call.media.counts(), Counts { relayed: 2, ..Counts::default() });
}

#[test]
fn a_forwarded_calls_next_leg_is_heard_by_the_callers_port_and_the_old_one_is_not() {
    let mut call = Call::new(Learning::Window);
    let callers_port = call.media.local(call.caller);
    assert!(is_relayed(call.send(0, call.callee, CALLEE, &rtp(2, 1))));
    let next = open(&mut call.media, 10, remote("198.51.100.30:6000"));
    // It is not joined yet.
    assert_eq!(call.send(20, next, "198.51.100.30:6000", &rtp(3, 1)), NOWHERE);
    call.media.join(call.caller, next);
    assert_eq!(call.send(30, call.callee, CALLEE, &rtp(2, 2)), NOWHERE);
    let to_caller = call.hop(call.caller, Component::Rtp, CALLER);
    assert_eq!(call.send(30, next, "198.51.100.30:6000", &rtp(3, 2)), to_caller);
    let to_next = call.hop(next, Component::Rtp, "198.51.100.30:6000");
    assert_eq!(call.send(40, call.caller, CALLER, &rtp(1, 1)), to_next);
    let cut = call.media.close(now(50), call.callee);
    assert_eq!((cut.received.packets, cut.dropped), (2, 1));
    assert!(is_relayed(call.send(60, call.caller, CALLER, &rtp(1, 2))));
    assert_eq!(call.media.local(call.caller), callers_port);
}

#[test]
fn a_leg_that_goes_leaves_the_caller_alone() {
    let mut call = Call::new(Learning::Window);
    call.media.close(now(0), call.callee);
    assert_eq!(call.send(0, call.caller, CALLER, &rtp(1, 1)), NOWHERE);
    assert_eq!(call.media.close(now(0), call.callee), Figures::default(), "it is closed");
    assert_eq!(call.media.len(), 1);
    // Joined to who has gone, or to itself, it stays alone.
    call.media.join(call.caller, call.callee);
    call.media.join(call.caller, call.caller);
    assert_eq!(call.send(0, call.caller, CALLER, &rtp(1, 2)), NOWHERE);
}

#[test]
fn who_is_joined_again_stays_joined_and_who_is_parted_is_alone() {
    let mut call = Call::new(Learning::Window);
    call.media.join(call.callee, call.caller);
    assert!(is_relayed(call.send(0, call.caller, CALLER, &rtp(1, 1))));
    assert!(is_relayed(call.send(0, call.callee, CALLEE, &rtp(2, 1))));
    call.media.part(call.callee);
    assert_eq!(call.send(0, call.caller, CALLER, &rtp(1, 2)), NOWHERE);
    assert_eq!(call.send(0, call.callee, CALLEE, &rtp(2, 2)), NOWHERE);
    call.media.part(call.callee);
}

#[test]
fn rtcp_keeps_to_the_odd_ports() {
    let mut call = Call::new(Learning::Window);
    let to_callee = call.hop(call.callee, Component::Rtcp, CALLEE_RTCP);
    let packet = report(201, 1, &[]);
    assert_eq!(call.send_by(0, call.caller, Component::Rtcp, CALLER_RTCP, &packet), to_callee);
    assert_eq!(call.send(0, call.caller, CALLER, &packet), MALFORMED, "it is not shared");
    // The figures are RTP's alone.
    assert_eq!(call.media.figures(call.callee).sent.packets, 0);
}

#[test]
fn rtcp_goes_where_the_party_describes_it() {
    let elsewhere = Remote { rtcp: Some(address("198.51.100.20:9999")), ..remote(CALLEE) };
    let mut call = Call::of(Learning::Window, remote(CALLER), elsewhere);
    let packet = report(201, 1, &[]);
    let to_callee = call.hop(call.callee, Component::Rtcp, "198.51.100.20:9999");
    assert_eq!(call.send_by(0, call.caller, Component::Rtcp, CALLER_RTCP, &packet), to_callee);
    describe(&mut call.media, 0, call.callee, Remote { rtcp: None, ..remote(CALLEE) });
    assert_eq!(call.send_by(0, call.caller, Component::Rtcp, CALLER_RTCP, &packet), NOWHERE);
}

#[test]
fn rtcp_shares_the_rtp_port_where_both_have_described_that() {
    let mut call = Call::of(Learning::Window, mux(CALLER), mux(CALLEE));
    let packet = report(200, 1, &[]);
    let to_callee = call.hop(call.callee, Component::Rtp, CALLEE);
    assert_eq!(call.send(0, call.caller, CALLER, &packet), to_callee);
    // Whoever sends it apart nevertheless is heard.
    assert_eq!(call.send_by(0, call.caller, Component::Rtcp, CALLER_RTCP, &packet), to_callee);
}

#[test]
fn rtcp_keeps_to_the_odd_ports_where_one_party_did_not_agree_to_share() {
    let mut call = Call::of(Learning::Window, mux(CALLER), remote(CALLEE));
    let packet = report(200, 1, &[]);
    let to_caller = call.hop(call.caller, Component::Rtcp, CALLER_RTCP);
    assert_eq!(call.send_by(0, call.callee, Component::Rtcp, CALLEE_RTCP, &packet), to_caller);
    let to_callee = call.hop(call.callee, Component::Rtcp, CALLEE_RTCP);
    assert_eq!(call.send_by(0, call.caller, Component::Rtcp, CALLER_RTCP, &packet), to_callee);
    assert_eq!(call.send(0, call.caller, CALLER, &packet), to_callee, "it has offered to");
    assert_eq!(call.send(0, call.callee, CALLEE, &packet), MALFORMED);
}

#[test]
fn a_party_reports_what_it_gets_of_the_stream_that_is_relayed_to_it() {
    let mut call = Call::new(Learning::Window);
    let tell = |call: &mut Call, packet: &[u8]| {
        let verdict = call.send_by(0, call.callee, Component::Rtcp, CALLEE_RTCP, packet);
        assert!(is_relayed(verdict));
        let sent = call.media.figures(call.callee).sent;
        (sent.lost, sent.jitter_us)
    };
    let block = |ssrc, lost, jitter| Block { ssrc, lost, jitter };
    assert_eq!(tell(&mut call, &report(201, 9, &[block(1, 5, 80)])), (0, 0), "nothing was sent yet");
    assert!(is_relayed(call.send(0, call.caller, CALLER, &rtp(1, 1))));
    assert_eq!(tell(&mut call, &report(201, 9, &[block(1, 5, 80)])), (5, 10_000));
    assert_eq!(tell(&mut call, &report(200, 9, &[block(4, 99, 99), block(1, 7, 8)])), (7, 1_000));
    assert_eq!(tell(&mut call, &report(201, 9, &[block(2, 70, 800)])), (7, 1_000), "another stream");
    // A compound: SDES stands between.
    let mut compound = report(201, 9, &[]);
    compound.extend([0x81, 202, 0, 2, 0, 0, 0, 9, 1, 1, b'a', 0]);
    compound.extend(report(200, 9, &[block(1, 8, 16)]));
    assert_eq!(tell(&mut call, &compound), (8, 2_000));
    assert_eq!(tell(&mut call, &report(201, 9, &[block(1, -3, 16)])), (0, 2_000), "duplicates");
    assert_eq!(tell(&mut call, &report(201, 9, &[block(1, 0x7F_FFFF, 16)])), (0x7F_FFFF, 2_000));
    assert_eq!(tell(&mut call, &report(201, 9, &[block(1, 8, 16)])), (8, 2_000));
    // What is cut off counts for nothing.
    let whole = report(201, 9, &[block(1, 50, 50)]);
    assert_eq!(tell(&mut call, &whole[..whole.len() - 1]), (8, 2_000));
    let mut claims = report(201, 9, &[block(1, 50, 50)]);
    claims[0] = 0x9F;
    assert_eq!(tell(&mut call, &claims), (50, 6_250), "31 blocks are claimed, one is there");
    // The next stream's losses come on top.
    assert!(is_relayed(call.send(0, call.caller, CALLER, &rtp(2, 1))));
    assert_eq!(tell(&mut call, &report(201, 9, &[block(2, 4, 16)])), (54, 2_000));
}

#[test]
fn losses_are_those_that_the_sequence_numbers_show() {
    let lost_of = |sequences: &[u16]| {
        let mut call = Call::new(Learning::Window);
        for sequence in sequences {
            assert!(is_relayed(call.send(0, call.caller, CALLER, &rtp(1, *sequence))));
        }
        let received = call.media.figures(call.caller).received;
        assert_eq!(received.packets, sequences.len() as u64);
        assert_eq!(received.bytes, sequences.len() as u64 * 172);
        received.lost
    };
    assert_eq!(lost_of(&[1, 2, 3]), 0);
    assert_eq!(lost_of(&[1, 2, 5, 6]), 2);
    assert_eq!(lost_of(&[1, 3, 2, 4]), 0, "late");
    assert_eq!(lost_of(&[1, 2, 2, 3]), 0, "twice");
    assert_eq!(lost_of(&[65_534, 65_535, 1, 2]), 1, "wrapped around");
    assert_eq!(lost_of(&[1, 3, 30_000, 30_001, 30_002]), 1, "the sender has restarted");
    assert_eq!(lost_of(&[1, 2, 30_000, 3, 4]), 0, "one stray packet");
    assert_eq!(lost_of(&[1, 3_000]), 2_998, "the largest dropout");
    assert_eq!(lost_of(&[200, 101]), 0, "the largest misorder");
}

#[test]
fn losses_are_summed_over_the_sources_that_a_party_uses() {
    let mut call = Call::new(Learning::Window);
    for (ssrc, sequence) in [(1, 1), (1, 3), (2, 100), (2, 105), (3, 9)] {
        assert!(is_relayed(call.send(0, call.caller, CALLER, &rtp(ssrc, sequence))));
    }
    assert_eq!(call.media.figures(call.caller).received.lost, 1 + 4);
}

#[test]
fn jitter_is_of_arrival_against_timestamps() {
    let mut call = Call::new(Learning::Window);
    let mut send = |at_ms, sequence, timestamp| {
        let verdict = call.send(at_ms, call.caller, CALLER, &rtp_at(1, sequence, timestamp));
        assert!(is_relayed(verdict));
        call.media.figures(call.caller).received.jitter_us
    };
    assert_eq!(send(1_000, 1, 0xFFFF_FFF0), 0);
    assert_eq!(send(1_020, 2, 0x90), 0, "in time, over the end of the timestamps");
    // 16 ms late: a sixteenth of it counts.
    assert_eq!(send(1_056, 3, 0x130), 1_000);
    // On from there a sixteenth is forgotten with each packet in time.
    assert_eq!(send(1_076, 4, 0x1D0), 937);
    // After a hold its clock has stood still.
    assert_eq!(send(61_076, 5, 0x270), 937);
    assert!(send(61_096, 6, 0x310) < 937);
}

#[test]
fn packets_with_the_timestamp_of_the_one_before_show_no_jitter() {
    let mut call = Call::new(Learning::Window);
    let mut send = |at_ms, sequence, timestamp| {
        let verdict = call.send(at_ms, call.caller, CALLER, &rtp_at(1, sequence, timestamp));
        assert!(is_relayed(verdict));
        call.media.figures(call.caller).received.jitter_us
    };
    // A key that is held down for 60 ms, and what is said after it in time.
    for (at_ms, sequence, timestamp) in
        [(1_000, 1, 0), (1_020, 2, 160), (1_040, 3, 160), (1_060, 4, 160), (1_080, 5, 640), (1_100, 6, 800)]
    {
        assert_eq!(send(at_ms, sequence, timestamp), 0, "{sequence}");
    }
    assert_eq!(send(1_136, 7, 960), 1_000, "late");
}

#[test]
fn a_party_that_wants_its_packets_at_the_servers_own_ports_is_nowhere() {
    // The caller's and the callee's: those that were added last are used first.
    for place in ["203.0.113.1:30030", "203.0.113.1:30031", "203.0.113.1:30028", "203.0.113.1:30029"] {
        let mut call = Call::of(Learning::Once, remote(CALLER), remote(place));
        let ports = [call.caller, call.callee].map(|endpoint| slot(&call.media, endpoint).0);
        assert_eq!(ports, [15, 14]);
        assert_eq!(call.send(0, call.caller, CALLER, &rtp(1, 1)), NOWHERE, "{place}");
        let packet = report(201, 1, &[]);
        let rtcp = Remote { rtcp: Some(address(place)), ..remote(CALLEE) };
        describe(&mut call.media, 10, call.callee, rtcp);
        assert!(is_relayed(call.send(10, call.caller, CALLER, &rtp(1, 2))));
        assert_eq!(call.send_by(10, call.caller, Component::Rtcp, CALLER_RTCP, &packet), NOWHERE, "{place}");
    }
    // Another call's may be a call that comes back.
    let mut call = Call::of(Learning::Once, remote(CALLER), remote("203.0.113.1:30004"));
    assert!(is_relayed(call.send(0, call.caller, CALLER, &rtp(1, 1))));
}

#[test]
fn jitter_is_counted_by_the_clock_that_the_party_describes() {
    for (clock_hz, ticks_of_4_ms) in [(8_000, 32), (48_000, 192), (0, 32), (u32::MAX, 400_000)] {
        let caller = Remote { clock_hz, ..remote(CALLER) };
        let mut call = Call::of(Learning::Window, caller, remote(CALLEE));
        assert!(is_relayed(call.send(1_000, call.caller, CALLER, &rtp_at(1, 1, 0))));
        assert!(is_relayed(call.send(1_020, call.caller, CALLER, &rtp_at(1, 2, ticks_of_4_ms))));
        let jitter_us = call.media.figures(call.caller).received.jitter_us;
        // What nobody has as a clock is held to something that can be counted with.
        assert!(jitter_us.abs_diff(1_000) <= 1, "{clock_hz}: {jitter_us}");
    }
}

#[test]
fn silence_counts_from_the_last_packet_or_a_description_that_changed() {
    let mut call = Call::new(Learning::Window);
    let heard = |call: &Call| call.media.heard_at(call.caller);
    assert_eq!(heard(&call), Some(now(0)));
    assert!(is_relayed(call.send(700, call.caller, CALLER, &rtp(1, 1))));
    assert_eq!(heard(&call), Some(now(700)));
    assert_eq!(call.send(800, call.caller, CALLEE, &rtp(1, 1)), SOURCE);
    assert_eq!(heard(&call), Some(now(700)));
    let packet = report(201, 1, &[]);
    assert!(is_relayed(call.send_by(900, call.caller, Component::Rtcp, CALLER_RTCP, &packet)));
    assert_eq!(heard(&call), Some(now(900)));
    describe(&mut call.media, 1_000, call.caller, remote(CALLER));
    assert_eq!(heard(&call), Some(now(900)), "it has said nothing new");
    describe(&mut call.media, 1_100, call.caller, Remote { is_held: true, ..remote(CALLER) });
    assert_eq!(heard(&call), Some(now(1_100)));
    // Alone it is heard too.
    call.media.part(call.caller);
    assert_eq!(call.send(1_200, call.caller, CALLER, &rtp(1, 2)), NOWHERE);
    assert_eq!(heard(&call), Some(now(1_200)));
}

#[test]
fn a_port_rests_before_it_is_used_again_and_what_comes_then_is_a_stray() {
    let settings = settings::Media { quarantine_ms: 5_000, ..settings::Media::default() };
    let mut media = with_ports(Media::new(&settings, 10, 7), 1);
    assert!(!media.is_active());
    let first = open(&mut media, 0, remote(CALLER));
    let port = media.local(first);
    assert!(media.is_active());
    assert_eq!(media.open(now(0), Family::V4), None);
    assert_eq!(media.open(now(0), Family::V6), None);
    media.close(now(1_000), first);
    assert!(!media.is_active() && media.is_empty());
    let stray = media.handle_packet(ms(2_000), (Slot(0), Component::Rtp), address(CALLER), &rtp(1, 1));
    assert_eq!(stray, Verdict::Drop(Dropped::Stray));
    let nobodys = media.handle_packet(ms(2_000), (Slot(9), Component::Rtp), address(CALLER), &rtp(1, 1));
    assert_eq!(nobodys, Verdict::Drop(Dropped::Stray));
    assert_eq!(media.counts().stray, 2);
    assert_eq!(media.open(now(5_999), Family::V4), None);
    let second = media.open(now(6_000), Family::V4).expect("it has rested");
    assert_eq!(media.local(second), port);
    assert_eq!(media.local(first), None, "a handle of the first's finds nothing");
    assert_eq!(media.figures(second), Figures::default());
}

#[test]
fn the_port_that_has_rested_longest_is_used_first() {
    let mut media = media(Learning::Window);
    let all: Vec<_> = (0..16).map(|_| media.open(now(0), Family::V4).expect("a free pair")).collect();
    let closed = [3, 9, 0, 15].map(|index: usize| media.local(all[index]).expect("open"));
    for (at_ms, index) in (1_u64..).zip([3, 9, 0, 15]) {
        media.close(now(at_ms), all[index]);
    }
    let again = closed.map(|_| {
        let handle = media.open(now(9_000), Family::V4).expect("it has rested");
        media.local(handle).expect("open")
    });
    assert_eq!(again, closed);
    assert!(media.open(now(9_000), Family::V4).is_none());
}

#[test]
fn ports_are_wanted_up_to_the_low_water_mark_and_those_that_rest_do_not_count() {
    let settings = settings::Media::default();
    let mut media = with_ports(Media::new(&settings, 1_000, 7), 60);
    assert_eq!(media.wanted(now(0), Family::V4), LOW_WATER - 60);
    assert_eq!(media.wanted(now(0), Family::V6), LOW_WATER);
    let handles: Vec<_> = (0..10).map(|_| open(&mut media, 0, remote(CALLER))).collect();
    assert_eq!(media.wanted(now(0), Family::V4), LOW_WATER - 50);
    for handle in handles {
        media.close(now(100), handle);
    }
    assert_eq!(media.wanted(now(5_099), Family::V4), LOW_WATER - 50);
    assert_eq!(media.wanted(now(5_100), Family::V4), LOW_WATER - 60);
    let mut media = with_ports(media, LOW_WATER as u16);
    assert_eq!(media.wanted(now(0), Family::V4), 0);
    media.add(address("[2001:db8::1]:30000"));
    assert_eq!(media.wanted(now(0), Family::V6), LOW_WATER - 1);
    let six = media.open(now(0), Family::V6).expect("a free pair");
    assert_eq!(media.local(six), Some(address("[2001:db8::1]:30000")));
}

#[test]
fn a_shard_that_anchors_nothing_wants_no_ports() {
    let media = Media::new(&settings::Media::default(), 0, 7);
    assert_eq!((media.wanted(now(0), Family::V4), media.wanted(now(0), Family::V6)), (0, 0));
}

#[test]
fn no_more_endpoints_are_open_than_there_may_be() {
    let mut media = with_ports(Media::new(&settings::Media::default(), 2, 7), 4);
    let first = media.open(now(0), Family::V4).expect("a free pair");
    assert!(media.open(now(0), Family::V4).is_some());
    assert!(media.open(now(0), Family::V4).is_none());
    assert_eq!(media.wanted(now(0), Family::V4), 0, "none of them could be used");
    media.close(now(0), first);
    assert!(media.open(now(0), Family::V4).is_some());
    assert_eq!(media.len(), 2);
}

#[test]
fn the_slots_are_numbered_as_they_were_added() {
    let mut media = media(Learning::Window);
    let handle = open(&mut media, 0, remote(CALLER));
    let added = media.add(address("203.0.113.1:40000"));
    assert_eq!(added, Slot(16));
    assert!(slot(&media, handle).0 < 16);
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
