//! Whole CFNA calls through `Shard`, without sockets: one forward, 10 datagrams in, 11 out (181 among them);
//! and a chain of five.
//!
//! The same seed and the same input give the same bytes out, so the phones' datagrams are recorded from
//! one shard and replayed into another: only the server's own work is timed. Timers run as they would at
//! 1,000 calls a second, so lingering transactions end in the timed part too.

mod phones;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use phones::{CALLER, CHAIN, Phone, SDP, SERVER, address, answer, directory, in_dialog, invite, settings};
use ringway::clock::{Now, UnixSeconds};
use ringway::limits::SCAN_PADDING;
use ringway::outbox::ListenerId;
use ringway::shard::{Datagram, Owner, Place, Shard};
use std::alloc::{GlobalAlloc, Layout, System};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const CALLS_WARM: usize = 40_000;
const CALLS_TIMED: usize = 10_000;
const CALLS_PER_MS: usize = 1;

/// Counts what the server allocates.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// One datagram of a phone's: when, from where, what.
struct Recorded {
    at: Now,
    source: SocketAddr,
    bytes: Vec<u8>,
}

fn shard() -> Shard {
    let place = Place { shard: 0, shards: 1, owner_seed: 1, secret: 2 };
    Shard::new(Arc::new(settings(SERVER)), directory(), place, UnixSeconds(1_700_000_000))
}

/// Feeds one datagram and returns what left for `to`.
fn feed(shard: &mut Shard, recorded: &Recorded, buffer: &mut Vec<u8>, to: &[&str]) -> Vec<Vec<u8>> {
    step(shard, recorded, buffer);
    let to: Vec<SocketAddr> = to.iter().map(|peer| address(peer)).collect();
    let outbox = shard.outbox();
    let sent = outbox.datagrams().iter().filter(|datagram| to.contains(&datagram.destination));
    let sent = sent.map(|datagram| outbox.bytes(datagram).to_vec()).collect();
    outbox.clear();
    sent
}

/// What is timed: due timers, the copy into the receive buffer that the kernel would make, the datagram.
fn step(shard: &mut Shard, recorded: &Recorded, buffer: &mut Vec<u8>) {
    while shard.poll_timeout().is_some_and(|deadline| deadline.is_due(recorded.at)) {
        shard.handle_timeout(recorded.at);
        shard.outbox().clear();
    }
    let length = recorded.bytes.len();
    buffer[..length].copy_from_slice(&recorded.bytes);
    buffer[length..length + SCAN_PADDING].fill(0);
    let datagram = Datagram { source: recorded.source, listener: ListenerId(0), buffer, length };
    let owner = shard.handle_datagram(recorded.at, datagram);
    assert_eq!(owner, Owner::Here);
}

/// Datagrams of the phones' in a call: INVITE, ACK, 200; 100, 180, 408 of each that does not answer; 100,
/// 180, 200, BYE of the last one.
const fn datagrams(phones: usize) -> usize {
    3 + 3 * (phones - 1) + 4
}

/// Plays calls against a shard, each forwarded from phone to phone, and records what the phones send.
fn record(calls: usize, phones: &[Phone]) -> Vec<Recorded> {
    let mut shard = shard();
    let mut buffer = vec![0; 4_096];
    let mut script = Vec::with_capacity(calls * datagrams(phones.len()));
    let [first, .., last] = phones else { panic!("a call is forwarded from one phone to another") };
    for number in 0..calls {
        let at = Now::from_ms((number / CALLS_PER_MS) as u64);
        let mut play = |source: &str, bytes: Vec<u8>, to: &[&str]| {
            let recorded = Recorded { at, source: address(source), bytes };
            let sent = feed(&mut shard, &recorded, &mut buffer, to);
            script.push(recorded);
            sent
        };
        let mut leg = play(CALLER, invite(first.number, number), &[first.peer]).remove(0);
        for pair in phones.windows(2) {
            let (phone, next) = (&pair[0], &pair[1]);
            play(phone.peer, answer(&leg, "100 Trying", "b", &phone.contact(), ""), &[]);
            play(phone.peer, answer(&leg, "180 Ringing", "b", &phone.contact(), ""), &[]);
            let refused = answer(&leg, "408 Request Timeout", "b", &phone.contact(), "");
            leg = play(phone.peer, refused, &[next.peer]).remove(0);
        }
        play(last.peer, answer(&leg, "100 Trying", "c", &last.contact(), ""), &[]);
        play(last.peer, answer(&leg, "180 Ringing", "c", &last.contact(), ""), &[]);
        let ok = play(last.peer, answer(&leg, "200 OK", "c", &last.contact(), SDP), &[CALLER]).remove(0);
        play(CALLER, in_dialog(&ok, "ACK", 39, CALLER, number, None), &[last.peer]);
        let bye = in_dialog(&leg, "BYE", 223, last.peer, number, Some("c"));
        let bye = play(last.peer, bye, &[CALLER]).remove(0);
        play(CALLER, answer(&bye, "200 OK", "", "1003@127.0.0.137", ""), &[]);
    }
    assert_eq!(shard.metrics().calls_ended, calls as u64);
    assert_eq!(shard.metrics().impossible_events, 0);
    script
}

fn replay(script: &[Recorded]) -> (Duration, u64) {
    let mut shard = shard();
    let mut buffer = vec![0; 4_096];
    let (warm, timed) = script.split_at(script.len() / (CALLS_WARM + CALLS_TIMED) * CALLS_WARM);
    for recorded in warm {
        step(&mut shard, recorded, &mut buffer);
        shard.outbox().clear();
    }
    let allocations = ALLOCATIONS.load(Ordering::Relaxed);
    let start = Instant::now();
    for recorded in timed {
        step(&mut shard, recorded, &mut buffer);
        shard.outbox().clear();
    }
    let elapsed = start.elapsed();
    assert_eq!(shard.metrics().calls_answered, (CALLS_WARM + CALLS_TIMED) as u64);
    (elapsed, ALLOCATIONS.load(Ordering::Relaxed) - allocations)
}

fn call(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("call");
    group.sample_size(10).throughput(Throughput::Elements(1));
    for (name, phones) in [("cfna_408", &CHAIN[..2]), ("chain_of_5", &CHAIN[..])] {
        let script = record(CALLS_WARM + CALLS_TIMED, phones);
        let (_, allocations) = replay(&script);
        println!(
            "{name}: allocations per call in the steady state: {}",
            allocations as f64 / CALLS_TIMED as f64
        );
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let mut total = Duration::ZERO;
                let mut calls = 0;
                while calls < iterations {
                    total += replay(&script).0;
                    calls += CALLS_TIMED as u64;
                }
                // Criterion asks for the time of `iterations` calls.
                Duration::from_secs_f64(total.as_secs_f64() * iterations as f64 / calls as f64)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, call);
criterion_main!(benches);
