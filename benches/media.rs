//! A packet's way through the relay: slot, latch, statistics, the other party's destination. G.711 of 20 ms
//! in both directions of so many calls, one after another, as a shard gets them. Without system calls and
//! time.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringway::clock::{Moment, Now};
use ringway::media::{Component, Family, Media, Remote, Slot, Verdict};
use ringway::settings;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};

const PACKET_BYTES: usize = 172;

/// One direction of a call.
struct Sender {
    slot: Slot,
    source: SocketAddr,
    packet: [u8; PACKET_BYTES],
    sequence: u16,
}

impl Sender {
    fn new(slot: Slot, source: SocketAddr) -> Sender {
        let mut packet = [0xFF; PACKET_BYTES];
        packet[..2].copy_from_slice(&[0x80, 0]);
        packet[8..12].copy_from_slice(&slot.0.to_be_bytes());
        Sender { slot, source, packet, sequence: 0 }
    }

    fn next(&mut self) -> &[u8; PACKET_BYTES] {
        self.sequence = self.sequence.wrapping_add(1);
        self.packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        self.packet[4..8].copy_from_slice(&(u32::from(self.sequence) * 160).to_be_bytes());
        &self.packet
    }
}

/// So many calls, and who sends in them.
fn calls(count: u32) -> (Media, Vec<Sender>) {
    let now = Now::from_ms(0);
    let mut media = Media::new(&settings::Media::default(), 2 * count, 1);
    let mut senders = Vec::new();
    let mut endpoints = Vec::new();
    for index in 0..2 * count {
        let slot = media.add(SocketAddr::from((Ipv4Addr::LOCALHOST, 30_000 + 2 * index as u16)));
        let source = SocketAddr::from((Ipv4Addr::from(0x0A00_0001 + index), 4_000));
        // The pair that was just added is the next in use.
        let endpoint = media.open(now, Family::V4).expect("a free pair");
        let remote = Remote {
            rtp: Some(source),
            rtcp: None,
            host: source.ip(),
            is_rtp: true,
            has_mux: false,
            is_held: false,
            clock_hz: 8_000,
            g711: None,
        };
        media.describe(endpoint, remote);
        media.settle(now, endpoint);
        senders.push(Sender::new(slot, source));
        endpoints.push(endpoint);
    }
    for pair in endpoints.chunks_exact(2) {
        media.join(pair[0], pair[1]);
    }
    (media, senders)
}

fn bench_relay(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("media");
    group.throughput(Throughput::Elements(1));
    for count in [500, 1_500] {
        let (mut media, mut senders) = calls(count);
        let step_us = 20_000 / (2 * u64::from(count));
        let (mut next, mut at_us) = (0, 1_000_000);
        group.bench_function(format!("handle_packet/{count}_calls"), |bencher| {
            bencher.iter(|| {
                at_us += step_us;
                next = if next + 1 == senders.len() { 0 } else { next + 1 };
                let sender = &mut senders[next];
                let (slot, source) = (sender.slot, sender.source);
                let at = Moment::from_us(at_us);
                let verdict =
                    media.handle_packet(at, (slot, Component::Rtp), source, black_box(sender.next()));
                assert!(matches!(verdict, Verdict::Relay(_)));
                black_box(verdict)
            });
        });
        assert_eq!(media.counts().source, 0);
    }
    group.finish();
}

criterion_group!(benches, bench_relay);
criterion_main!(benches);
