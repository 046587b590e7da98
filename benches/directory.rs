//! The directory with a million subscribers: lookups by random number, changes of one entry, and what a
//! subscriber takes in memory.
//!
//! `lookup`: a number that is there and one that is not, drawn anew each time, so that nearly every access
//! misses the caches as it does when calls come for anybody. `put`: a refreshed binding in the place of the
//! one before. Memory is counted in the allocator, as asked for and as the allocator rounds it up, the table
//! included; each subscriber has credentials, forwarding and one binding.

use criterion::{Criterion, criterion_group, criterion_main};
use mimalloc::MiMalloc;
use ringway::clock::UnixSeconds;
use ringway::directory::{Binding, Condition, Credentials, Entry, Extras, Q_MAX, Subscriber, Writer};
use ringway::outbox::ListenerId;
use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const SUBSCRIBERS: u64 = 1_000_000;
/// The number of the first; those below it are nobody's.
const FIRST: u64 = 5_000_000;

/// The server's allocator, with an account of what lives.
struct Counting;

static ASKED: AtomicUsize = AtomicUsize::new(0);
static ROUNDED: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What mimalloc takes for so many bytes: multiples of 8 to 64 bytes, from there on eight sizes from each
/// power of two to the next, and whole pages beyond 128 KiB.
fn rounded(bytes: usize) -> usize {
    match bytes {
        0..=64 => bytes.next_multiple_of(8).max(8),
        65..=0x2_0000 => bytes.next_multiple_of(1 << ((bytes - 1).ilog2() - 2)),
        _ => bytes.next_multiple_of(4_096),
    }
}

// SAFETY: every call goes to mimalloc as it came; the counters do not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.fetch_add(layout.size(), Relaxed);
        ROUNDED.fetch_add(rounded(layout.size()), Relaxed);
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ASKED.fetch_sub(layout.size(), Relaxed);
        ROUNDED.fetch_sub(rounded(layout.size()), Relaxed);
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }
}

/// Numbers in no order that a cache could guess.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((u128::from(self.0) * u128::from(end)) >> 64) as u64
    }
}

/// The seven digits of a number, without an allocation.
fn digits(number: u64) -> [u8; 7] {
    let mut rest = number;
    let mut text = [b'0'; 7];
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    text
}

fn binding(number: u64, cseq: u32, has_instance: bool) -> Binding {
    let uri = format!("sip:{number}@198.51.100.107:50600;transport=udp;ob");
    let uri = &uri[..45];
    let instance = format!("<urn:uuid:f81d4fae-7dec-11d0-a765-0000{number:07}>");
    let extras = || Box::new(Extras { instance: instance[..46].into(), reg_id: 1, ..Extras::default() });
    Binding {
        uri: uri.into(),
        destination: SocketAddr::from(([198, 51, 100, 107], 50_600)).into(),
        listener: ListenerId(0),
        q: Q_MAX,
        expires_at: UnixSeconds(1_800_000_000 + u64::from(cseq)),
        call_id: number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        cseq,
        extras: has_instance.then(extras),
    }
}

fn entry(number: u64, cseq: u32, has_instance: bool) -> Entry {
    let mut entry = Entry::from(Subscriber::new(&number.to_string()));
    entry.subscriber.credentials = Some(Box::new(Credentials { sha256: [7; 32], md5: [8; 16] }));
    entry.subscriber.forwarding.forward(Condition::NoAnswer, &(number + 1).to_string());
    entry.subscriber.after_ms = Some(20_000);
    entry.bindings = [binding(number, cseq, has_instance)].into();
    entry.revision = u64::from(cseq);
    entry
}

/// A directory of everybody, as it is filled when the store is read at start.
fn everybody(has_instance: bool) -> Writer {
    let mut writer = Writer::with_capacity(SUBSCRIBERS as usize);
    for number in FIRST..FIRST + SUBSCRIBERS {
        writer.put(entry(number, 1, has_instance));
    }
    writer
}

/// Prints what a subscriber takes.
fn memory(_: &mut Criterion) {
    for (has_instance, what) in [(false, "without an instance"), (true, "with an instance of 46 bytes")] {
        let before = [&ASKED, &ROUNDED].map(|counter| counter.load(Relaxed));
        let writer = everybody(has_instance);
        let after = [&ASKED, &ROUNDED].map(|counter| counter.load(Relaxed));
        let [asked, taken] = [0, 1].map(|i| (after[i] - before[i]) as f64 / SUBSCRIBERS as f64);
        println!("memory/subscriber {what}: {asked:.0} bytes asked for, {taken:.0} bytes taken");
        assert_eq!(writer.directory().len() as u64, SUBSCRIBERS);
    }
}

fn lookup(c: &mut Criterion) {
    let mut writer = everybody(false);
    let directory = writer.directory();
    let mut group = c.benchmark_group("directory");
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for (what, first) in [("lookup_hit", FIRST), ("lookup_miss", FIRST - SUBSCRIBERS)] {
        group.bench_function(what, |b| {
            b.iter(|| {
                let number = digits(first + random.below(SUBSCRIBERS));
                let view = directory.read();
                black_box(view.get(&number).map(|entry| entry.bindings.len()))
            });
        });
    }
    // What `put` and the changed entry cost; the entries are made beforehand.
    group.bench_function("put_changed", |b| {
        b.iter_batched(
            || entry(FIRST + random.below(SUBSCRIBERS), 2, false),
            |entry| writer.put(entry),
            criterion::BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, memory, lookup);
criterion_main!(benches);
