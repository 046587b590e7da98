//! What holds for any packets from anywhere, and for any order of calls.

#[expect(dead_code, reason = "each test file uses its part of it")]
mod media_parties;

use media_parties::{
    CALLEE, CALLER, Call, SOURCE, address, behind, describe, is_relayed, remote, report, rtp, rtp_at, stun,
    with_ports,
};
use proptest::prelude::*;
use proptest::sample::Index;
use ringway::clock::{Moment, Now};
use ringway::media::latch::WINDOW_MS;
use ringway::media::{Component, Family, Media, Remote, Slot, Tone, Verdict};
use ringway::settings::{self, Learning};
use ringway::slab::Handle;
use std::collections::HashMap;
use std::net::SocketAddr;

const LEARNINGS: [Learning; 3] = [Learning::Off, Learning::Once, Learning::Window];

fn learning() -> impl Strategy<Value = Learning> {
    prop::sample::select(LEARNINGS.to_vec())
}

/// Bytes that often are RTP, RTCP, STUN or DTLS nearly.
fn packet() -> impl Strategy<Value = Vec<u8>> {
    let of = prop_oneof![
        Just(rtp(1, 1)),
        (0_u32..3, any::<u16>()).prop_map(|(ssrc, sequence)| rtp(ssrc, sequence)),
        Just(report(200, 1, &[media_parties::Block { ssrc: 1, lost: -1, jitter: u32::MAX }])),
        Just(report(201, 1, &[media_parties::Block { ssrc: 2, lost: 7, jitter: 1 }])),
        Just(stun()),
        Just(vec![22, 254, 253]),
        prop::collection::vec(any::<u8>(), 0..80),
    ];
    (of, prop::collection::vec((any::<Index>(), any::<u8>()), 0..4), any::<Index>(), any::<bool>()).prop_map(
        |(mut packet, changes, cut, is_cut)| {
            for (at, byte) in changes.iter().filter(|_| !packet.is_empty()).collect::<Vec<_>>() {
                let at = at.index(packet.len());
                packet[at] = *byte;
            }
            if is_cut {
                packet.truncate(cut.index(packet.len() + 1));
            }
            packet
        },
    )
}

fn source() -> impl Strategy<Value = SocketAddr> {
    let hosts =
        prop::sample::select(vec!["192.0.2.10", "198.51.100.20", "198.18.0.5", "[2001:db8::1]", "0.0.0.0"]);
    (hosts, prop_oneof![Just(4_000_u16), Just(4_001), Just(5_000), any::<u16>()])
        .prop_map(|(host, port)| address(&format!("{host}:{port}")))
}

fn component() -> impl Strategy<Value = Component> {
    prop::sample::select(vec![Component::Rtp, Component::Rtcp])
}

fn described() -> impl Strategy<Value = Remote> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<u32>());
    (prop::option::of(source()), prop::option::of(source()), source(), flags).prop_map(
        |(rtp, rtcp, host, (is_rtp, has_mux, is_held, clock_hz))| {
            let host = host.ip();
            Remote { rtp, rtcp, host, is_rtp, has_mux, is_held, clock_hz, ..remote(CALLER) }
        },
    )
}

#[derive(Clone, Debug)]
enum Act {
    Open,
    Close(Index),
    Describe(Index, Remote),
    Settle(Index),
    Forget(Index),
    Join(Index, Index),
    Part(Index),
    Play(Index, Tone),
    Stop(Index),
    Packet(u32, Component, SocketAddr, Vec<u8>),
    Wait(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let tone = prop::sample::select(vec![Tone::Ringback, Tone::Busy, Tone::Confirmation, Tone::Error]);
    prop_oneof![
        3 => Just(Act::Open),
        2 => any::<Index>().prop_map(Act::Close),
        2 => (any::<Index>(), described()).prop_map(|(of, remote)| Act::Describe(of, remote)),
        2 => any::<Index>().prop_map(Act::Settle),
        1 => any::<Index>().prop_map(Act::Forget),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(one, other)| Act::Join(one, other)),
        1 => any::<Index>().prop_map(Act::Part),
        1 => (any::<Index>(), tone).prop_map(|(of, tone)| Act::Play(of, tone)),
        1 => any::<Index>().prop_map(Act::Stop),
        8 => (0_u32..7, component(), source(), packet())
            .prop_map(|(slot, by, from, packet)| Act::Packet(slot, by, from, packet)),
        2 => (0_u64..3_000_000).prop_map(Act::Wait),
    ]
}

/// Media under any calls, and what must hold after each.
struct World {
    media: Media,
    at_us: u64,
    /// Handles that were ever given out, closed ones too.
    known: Vec<Handle>,
    open: HashMap<Handle, SocketAddr>,
    /// When each port was given back.
    given_back: HashMap<SocketAddr, u64>,
    packets: u64,
}

const PORTS: u16 = 6;
const QUARANTINE_MS: u64 = 1_000;

impl World {
    fn new(learning: Learning) -> World {
        let quarantine_ms = QUARANTINE_MS as u32;
        let settings = settings::Media { learning, quarantine_ms, ..settings::Media::default() };
        let media = with_ports(Media::new(&settings, 100, 1), PORTS);
        let (open, given_back) = (HashMap::new(), HashMap::new());
        World { media, at_us: 1_000_000, known: Vec::new(), open, given_back, packets: 0 }
    }

    fn now(&self) -> Now {
        Moment::from_us(self.at_us).now()
    }

    fn of(&self, index: &Index) -> Handle {
        match self.known.len() {
            0 => Handle { index: 0, generation: 0 },
            length => self.known[index.index(length)],
        }
    }

    fn act(&mut self, act: &Act) {
        let now = self.now();
        match act {
            Act::Open => self.open(),
            Act::Close(of) => self.close(self.of(of)),
            Act::Describe(of, remote) => self.media.describe(self.of(of), *remote),
            Act::Settle(of) => {
                self.media.settle(now, self.of(of));
            }
            Act::Forget(of) => self.media.forget(self.of(of)),
            Act::Join(one, other) => self.media.join(self.of(one), self.of(other)),
            Act::Part(of) => self.media.part(self.of(of)),
            Act::Play(of, tone) => {
                self.media.play(now, self.of(of), *tone);
            }
            Act::Stop(of) => self.media.stop(self.of(of)),
            Act::Packet(slot, by, from, packet) => self.packet((Slot(*slot), *by), *from, packet),
            Act::Wait(us) => {
                self.at_us += us;
                let mut packet = Vec::new();
                let mut played = 0;
                while self.media.poll_tone(Moment::from_us(self.at_us), &mut packet).is_some() {
                    played += 1;
                }
                assert!(played <= 6 * self.open.len(), "{played} packets of tones at once");
            }
        }
        assert_eq!(self.media.len(), self.open.len());
        assert_eq!(self.media.is_active(), !self.open.is_empty());
    }

    fn open(&mut self) {
        let now = self.now();
        let rested = (0..PORTS).filter(|pair| {
            let port = address(&format!("{}:{}", media_parties::SERVER, 30_000 + 2 * pair));
            let is_due = |at: &u64| at + QUARANTINE_MS <= now.as_ms();
            self.open.values().all(|open| *open != port) && self.given_back.get(&port).is_none_or(is_due)
        });
        let rested = rested.count();
        let handle = self.media.open(now, Family::V4);
        assert_eq!(handle.is_some(), rested > 0);
        let Some(handle) = handle else { return };
        let port = self.media.local(handle).expect("open");
        assert!(self.open.values().all(|open| *open != port), "two endpoints have {port}");
        let given_back = self.given_back.get(&port);
        assert!(given_back.is_none_or(|at| at + QUARANTINE_MS <= now.as_ms()), "{port} has not rested");
        self.open.insert(handle, port);
        self.known.push(handle);
    }

    fn close(&mut self, handle: Handle) {
        let now = self.now();
        self.media.close(now, handle);
        if let Some(port) = self.open.remove(&handle) {
            self.given_back.insert(port, now.as_ms());
        }
    }

    fn packet(&mut self, by: (Slot, Component), from: SocketAddr, packet: &[u8]) {
        let verdict = self.media.handle_packet(Moment::from_us(self.at_us), by, from, packet);
        self.packets += 1;
        if let Verdict::Relay(hop) = verdict {
            assert_ne!(hop.slot, by.0, "it comes back");
            assert!(hop.destination.is_ipv4());
            let port = 30_000 + 2 * hop.slot.0;
            assert!(
                self.open.values().any(|open| u32::from(open.port()) == port),
                "it leaves by a free port"
            );
        }
    }
}

/// A packet of a stream, on its way.
#[derive(Clone, Debug)]
struct Arrival {
    /// How far its number is ahead of the one before: more than one shows losses.
    ahead: u64,
    late_by: u64,
    copy_late_by: Option<u64>,
    after_us: u64,
}

fn arrival() -> impl Strategy<Value = Arrival> {
    let ahead = prop_oneof![20 => Just(1_u64), 4 => 2_u64..40, 1 => 2_900_u64..2_950];
    let late_by = || prop_oneof![4 => Just(0_u64), 1 => 0_u64..40];
    let copy = prop_oneof![8 => Just(None), 1 => late_by().prop_map(Some)];
    (ahead, late_by(), copy, 0_u64..60_000).prop_map(|(ahead, late_by, copy_late_by, after_us)| Arrival {
        ahead,
        late_by,
        copy_late_by,
        after_us,
    })
}

proptest! {
    #[test]
    fn slots_have_one_owner_rest_and_are_all_free_in_the_end(
        learning in learning(), acts in prop::collection::vec(act(), 0..120),
    ) {
        let mut world = World::new(learning);
        for act in &acts {
            world.act(act);
        }
        let counts = world.media.counts();
        let dropped = counts.stray + counts.source + counts.malformed + counts.stun + counts.nowhere;
        prop_assert_eq!(counts.relayed + dropped, world.packets, "each packet is counted once");
        for handle in world.known.clone() {
            world.close(handle);
        }
        prop_assert!(world.media.is_empty() && !world.media.is_active());
        world.at_us += QUARANTINE_MS * 1_000 + 1_000;
        prop_assert!(world.media.poll_tone(Moment::from_us(world.at_us), &mut Vec::new()).is_none());
        for _ in 0..PORTS {
            world.open();
        }
        prop_assert_eq!(world.open.len(), usize::from(PORTS));
    }

    #[test]
    fn no_packet_from_another_host_ever_passes(
        learning in learning(),
        is_behind_nat: bool,
        packets in prop::collection::vec((0_u64..1_500, source(), component(), packet()), 1..60),
        own in prop::collection::vec(0_u64..1_500, 0..10),
    ) {
        let (caller, own_source) = if is_behind_nat {
            (behind("203.0.113.9", "10.0.0.7:4000"), "203.0.113.9:61000")
        } else {
            (remote("203.0.113.9:4000"), "203.0.113.9:4000")
        };
        let mut call = Call::of(learning, caller, remote(CALLEE));
        // Some of the party's own packets between them: what they lock changes nothing.
        let others = packets.into_iter().map(|(at, from, by, packet)| (at, Some(from), by, packet));
        let mut packets: Vec<_> = others.collect();
        packets.extend((1_u16..).zip(own).map(|(sequence, at)| (at, None, Component::Rtp, rtp(1, sequence))));
        packets.sort_by_key(|(at, ..)| *at);
        for (at_ms, from, by, packet) in packets {
            match from {
                Some(from) => {
                    let verdict = call.send_by(at_ms, call.caller, by, &from.to_string(), &packet);
                    prop_assert!(!is_relayed(verdict));
                }
                None => {
                    call.send_by(at_ms, call.caller, by, own_source, &packet);
                }
            }
            let towards = call.towards_caller(at_ms);
            let Verdict::Relay(hop) = towards else { panic!("{towards:?}") };
            prop_assert_eq!(hop.destination.ip(), address("203.0.113.9:1").ip());
        }
    }

    #[test]
    fn at_most_five_packets_pass_from_other_ports_before_the_place_described_locks_and_none_after(
        packets in prop::collection::vec((0_u64..900, 4_001_u16..4_005, 0_u32..2, 0_u16..30), 1..80),
        exact_ms in 0..WINDOW_MS,
        mut again_ms in prop::collection::vec(0_u64..900, 0..3),
    ) {
        let mut call = Call::new(Learning::Window);
        let others =
            packets.into_iter().map(|(at, port, ssrc, sequence)| (at, Some(port), rtp(ssrc, sequence)));
        let mut packets: Vec<_> = others.collect();
        packets.push((exact_ms, None, rtp(1, 1)));
        packets.sort_by_key(|(at, ..)| *at);
        again_ms.sort_unstable();
        let mut again_ms = again_ms.into_iter().peekable();
        let (mut tasted, mut is_locked) = (0, false);
        for (at_ms, port, packet) in packets {
            while let Some(again_ms) = again_ms.next_if(|again| *again <= at_ms) {
                describe(&mut call.media, again_ms, call.caller, remote(CALLER));
            }
            let Some(port) = port else {
                prop_assert!(is_relayed(call.send(at_ms, call.caller, CALLER, &packet)));
                is_locked = true;
                continue;
            };
            let verdict = call.send(at_ms, call.caller, &format!("192.0.2.10:{port}"), &packet);
            if is_locked {
                prop_assert_eq!(verdict, SOURCE);
            }
            tasted += u32::from(is_relayed(verdict));
            prop_assert!(tasted <= 5);
            // Whoever is only tasted gets nothing.
            prop_assert_eq!(call.towards_caller(at_ms), call.hop(call.caller, Component::Rtp, CALLER));
        }
        prop_assert!(is_locked);
    }

    #[test]
    fn statistics_are_those_of_a_naive_count(
        first: u16,
        first_timestamp: u32,
        packets in prop::collection::vec(arrival(), 1..300),
    ) {
        // By what arrives when: each packet is late by so many numbers, and some come twice.
        let mut order = Vec::new();
        let mut index = 100;
        for Arrival { ahead, late_by, copy_late_by, .. } in &packets {
            index += ahead;
            order.push((index + late_by, index));
            order.extend(copy_late_by.map(|late_by| (index + late_by, index)));
        }
        order.sort_unstable();
        let mut call = Call::new(Learning::Window);
        let by = (media_parties::slot(&call.media, call.caller), Component::Rtp);
        let (mut at_us, mut jitter, mut before) = (5_000_000, 0.0_f64, None);
        for (count, (_, index)) in order.iter().enumerate() {
            at_us += packets.get(count).map_or(20_000, |packet| packet.after_us);
            let timestamp = first_timestamp.wrapping_add(*index as u32 * 160);
            let packet = rtp_at(1, first.wrapping_add(*index as u16), timestamp);
            let verdict = call.media.handle_packet(Moment::from_us(at_us), by, address(CALLER), &packet);
            prop_assert!(is_relayed(verdict));
            let transit = (at_us * 8 / 1_000) as f64 - *index as f64 * 160.0;
            let difference = before.map(|before: f64| (transit - before).abs());
            let is_copy = count > 0 && order[count - 1].1 == *index;
            let difference = difference.filter(|_| !is_copy);
            before = if is_copy { before } else { Some(transit) };
            // A second or more is another timeline.
            if let Some(difference) = difference.filter(|difference| *difference < 8_000.0) {
                jitter += (difference - jitter) / 16.0;
            }
        }
        // What came late from before the first one is received, but was not expected.
        let highest = order.iter().map(|(_, index)| *index).max().expect("one at least");
        let expected = highest + 1 - order[0].1;
        let received = call.media.figures(call.caller).received;
        prop_assert_eq!(received.packets, order.len() as u64);
        prop_assert_eq!(received.lost, expected.saturating_sub(order.len() as u64));
        let off_ticks = (f64::from(received.jitter_us) / 125.0 - jitter).abs();
        prop_assert!(off_ticks <= 1.5, "{} us, and {} ticks", received.jitter_us, jitter);
    }

    #[test]
    fn a_nat_is_learned_by_three_in_a_row_and_followed_only_within_the_window_by_its_own_stream(
        moves in prop::collection::vec((0_u64..1_000, 61_000_u16..61_003, 1_u32..3, 1_u16..20), 1..60),
    ) {
        let mut call = Call::of(Learning::Window, behind("198.18.0.5", "10.0.0.7:4000"), remote(CALLEE));
        let mut moves = moves;
        moves.sort_by_key(|(at, ..)| *at);
        let mut locked: Option<(u16, u32, u16)> = None;
        let mut tasted = 0;
        let mut before = Vec::new();
        let mut destination = "198.18.0.5:4000".to_owned();
        for (at_ms, port, ssrc, sequence) in moves {
            let verdict = call.send(at_ms, call.caller, &format!("198.18.0.5:{port}"), &rtp(ssrc, sequence));
            let goes_on = |last: u16| (1..=16).contains(&sequence.wrapping_sub(last));
            before.push((port, ssrc, sequence));
            match locked {
                Some((on, stream, last)) => {
                    let may = on == port || (ssrc == stream && goes_on(last) && at_ms < WINDOW_MS);
                    prop_assert_eq!(is_relayed(verdict), may, "{:?}", locked);
                    if may {
                        locked = Some((port, ssrc, sequence));
                        destination = format!("198.18.0.5:{port}");
                    }
                }
                None => {
                    let is_locked = call.towards_caller(at_ms)
                        != call.hop(call.caller, Component::Rtp, &destination);
                    // Three that directly follow each other lock at least; whatever locks, three such came.
                    let steps = |pair: &[(u16, u32, u16)]| {
                        let [(_, _, one), (_, _, next)] = pair else { return false };
                        (1..=16).contains(&next.wrapping_sub(*one))
                    };
                    let is_row = |row: &[(u16, u32, u16)]| {
                        row.iter().all(|(of, stream, _)| (*of, *stream) == (port, ssrc))
                            && row.windows(2).all(steps)
                    };
                    if before.len() >= 3 && is_row(&before[before.len() - 3..]) {
                        prop_assert!(is_locked);
                    }
                    if is_locked {
                        let own: Vec<_> =
                            before.iter().filter(|(of, stream, _)| (*of, *stream) == (port, ssrc)).collect();
                        prop_assert!(own.len() >= 3, "{:?}", before);
                        prop_assert!(is_relayed(verdict));
                        locked = Some((port, ssrc, sequence));
                        destination = format!("198.18.0.5:{port}");
                    } else {
                        tasted += u32::from(is_relayed(verdict));
                        prop_assert_eq!(is_relayed(verdict), before.len() <= 5);
                    }
                }
            }
            prop_assert!(tasted <= 5);
            prop_assert_eq!(
                call.towards_caller(at_ms), call.hop(call.caller, Component::Rtp, &destination)
            );
        }
    }
}
