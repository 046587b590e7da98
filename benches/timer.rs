//! The timing wheel against what OpenSIPS tm and sofia-sip ship: one FIFO per constant duration, once as an
//! intrusive list and once as a queue that drops cancelled entries only when their time comes.
//!
//! `call`: the timers of one forwarded call in steady state, with a million pending. Time is virtual, so
//! the figure is CPU alone. `transaction`: the same, each timer with a record and a hash bucket that its
//! owner visits when it begins and ends, as no timer is alone in a server. `idle`: a poll and an empty
//! pull, as every pass of the shard's loop makes them.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use ringway::clock::{Deadline, Now};
use ringway::timer::{TimerHandle, Wheel};
use std::collections::VecDeque;
use std::hint::black_box;

/// The durations of RFC 3261 Table 4 that are in play, and the no-answer timer, in milliseconds.
const DURATIONS_MS: [u64; 4] = [500, 5_000, 20_000, 32_000];
const T1: usize = 0;
const T4: usize = 1;
const NO_ANSWER: usize = 2;
const T1_X_64: usize = 3;

/// Ten calls in a millisecond: with three timers of 32 s each, one of 5 s and a no-answer timer that lives
/// 3 s, 1.04 million are pending.
const CALLS_PER_MS: u64 = 10;
const CAPACITY: usize = 2_000_000;
/// How many calls later a 100 Trying stops Timer A (10 ms) and an answer stops the no-answer timer (3 s).
const TRYING_AFTER_CALLS: usize = 100;
const ANSWER_AFTER_CALLS: usize = 30_000;

trait Timers {
    type Handle: Copy;
    fn new() -> Self;
    fn insert(&mut self, now_ms: u64, duration: usize, payload: u64) -> Self::Handle;
    fn cancel(&mut self, handle: Self::Handle) -> bool;
    fn next_due(&mut self, now_ms: u64) -> Option<u64>;
    fn poll_timeout_ms(&self) -> Option<u64>;
    fn pending(&self) -> usize;
}

impl Timers for Wheel<u64> {
    type Handle = TimerHandle;

    fn new() -> Self {
        Wheel::new(CAPACITY)
    }
    fn insert(&mut self, now_ms: u64, duration: usize, payload: u64) -> TimerHandle {
        self.insert(Deadline::from_ms(now_ms + DURATIONS_MS[duration]), payload).unwrap()
    }
    fn cancel(&mut self, handle: TimerHandle) -> bool {
        self.cancel(handle)
    }
    fn next_due(&mut self, now_ms: u64) -> Option<u64> {
        self.next_due(Now::from_ms(now_ms))
    }
    fn poll_timeout_ms(&self) -> Option<u64> {
        self.poll_timeout().map(Deadline::as_ms)
    }
    fn pending(&self) -> usize {
        self.len()
    }
}

/// A slab of payloads with generations, as the wheel has it.
struct Slab<L> {
    nodes: Vec<Node<L>>,
    free: Vec<u32>,
}

struct Node<L> {
    generation: u32,
    link: L,
    payload: u64,
}

impl<L: Copy> Slab<L> {
    fn new() -> Slab<L> {
        Slab { nodes: Vec::with_capacity(CAPACITY), free: Vec::new() }
    }
    fn insert(&mut self, link: L, payload: u64) -> (u32, u32) {
        let Some(index) = self.free.pop() else {
            self.nodes.push(Node { generation: 0, link, payload });
            return (self.nodes.len() as u32 - 1, 0);
        };
        let node = &mut self.nodes[index as usize];
        node.link = link;
        node.payload = payload;
        (index, node.generation)
    }
    fn remove(&mut self, index: u32) -> u64 {
        let node = &mut self.nodes[index as usize];
        node.generation = node.generation.wrapping_add(1);
        self.free.push(index);
        node.payload
    }
    fn holds(&self, (index, generation): (u32, u32)) -> bool {
        self.nodes[index as usize].generation == generation
    }
}

/// One queue per duration; a cancelled entry stays until its time comes.
struct LazyQueues {
    slab: Slab<()>,
    queues: [VecDeque<(u64, u32, u32)>; 4],
}

impl Timers for LazyQueues {
    type Handle = (u32, u32);

    fn new() -> Self {
        LazyQueues { slab: Slab::new(), queues: Default::default() }
    }
    fn insert(&mut self, now_ms: u64, duration: usize, payload: u64) -> (u32, u32) {
        let (index, generation) = self.slab.insert((), payload);
        self.queues[duration].push_back((now_ms + DURATIONS_MS[duration], index, generation));
        (index, generation)
    }
    fn cancel(&mut self, handle: (u32, u32)) -> bool {
        let held = self.slab.holds(handle);
        if held {
            self.slab.remove(handle.0);
        }
        held
    }
    fn next_due(&mut self, now_ms: u64) -> Option<u64> {
        for queue in &mut self.queues {
            while let Some(&(due_ms, index, generation)) = queue.front().filter(|entry| entry.0 <= now_ms) {
                debug_assert!(due_ms <= now_ms);
                queue.pop_front();
                if self.slab.holds((index, generation)) {
                    return Some(self.slab.remove(index));
                }
            }
        }
        None
    }
    fn poll_timeout_ms(&self) -> Option<u64> {
        self.queues.iter().filter_map(|queue| queue.front()).map(|entry| entry.0).min()
    }
    fn pending(&self) -> usize {
        self.slab.nodes.len() - self.slab.free.len()
    }
}

const NIL: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Link {
    due_ms: u64,
    prev: u32,
    next: u32,
    queue: u8,
}

/// One doubly linked list per duration; a cancelled entry leaves at once.
struct IntrusiveLists {
    slab: Slab<Link>,
    ends: [(u32, u32); 4],
}

impl IntrusiveLists {
    fn unlink(&mut self, index: u32) -> u64 {
        let Link { prev, next, queue, .. } = self.slab.nodes[index as usize].link;
        match prev {
            NIL => self.ends[queue as usize].0 = next,
            prev => self.slab.nodes[prev as usize].link.next = next,
        }
        match next {
            NIL => self.ends[queue as usize].1 = prev,
            next => self.slab.nodes[next as usize].link.prev = prev,
        }
        self.slab.remove(index)
    }
}

impl Timers for IntrusiveLists {
    type Handle = (u32, u32);

    fn new() -> Self {
        IntrusiveLists { slab: Slab::new(), ends: [(NIL, NIL); 4] }
    }
    fn insert(&mut self, now_ms: u64, duration: usize, payload: u64) -> (u32, u32) {
        let tail = self.ends[duration].1;
        let due_ms = now_ms + DURATIONS_MS[duration];
        let handle = self.slab.insert(Link { due_ms, prev: tail, next: NIL, queue: duration as u8 }, payload);
        match tail {
            NIL => self.ends[duration].0 = handle.0,
            tail => self.slab.nodes[tail as usize].link.next = handle.0,
        }
        self.ends[duration].1 = handle.0;
        handle
    }
    fn cancel(&mut self, handle: (u32, u32)) -> bool {
        let held = self.slab.holds(handle);
        if held {
            self.unlink(handle.0);
        }
        held
    }
    fn next_due(&mut self, now_ms: u64) -> Option<u64> {
        let due =
            |slab: &Slab<Link>, head: u32| head != NIL && slab.nodes[head as usize].link.due_ms <= now_ms;
        let (head, _) = *self.ends.iter().find(|ends| due(&self.slab, ends.0))?;
        Some(self.unlink(head))
    }
    fn poll_timeout_ms(&self) -> Option<u64> {
        let heads = self.ends.iter().filter(|ends| ends.0 != NIL);
        heads.map(|ends| self.slab.nodes[ends.0 as usize].link.due_ms).min()
    }
    fn pending(&self) -> usize {
        self.slab.nodes.len() - self.slab.free.len()
    }
}

/// What a timer belongs to: a record of the size of a lingering transaction's, found by a hash.
struct Records {
    keys: Vec<[u64; 12]>,
    free: Vec<u32>,
    buckets: Vec<u32>,
}

impl Records {
    fn new(count: usize) -> Records {
        let keys = vec![[0; 12]; count];
        Records { keys, free: (0..count as u32).collect(), buckets: vec![0; 2 * count] }
    }
    fn begin(&mut self, call: u64) -> u64 {
        let index = self.free.pop().unwrap();
        let key = (call + u64::from(index)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.keys[index as usize] = [key; 12];
        let bucket = (key >> 32) as usize % self.buckets.len();
        self.buckets[bucket] = index;
        u64::from(index)
    }
    fn end(&mut self, index: u64) {
        let bucket = (self.keys[index as usize][0] >> 32) as usize % self.buckets.len();
        // As a lookup does: what stands in the bucket decides.
        if self.buckets[bucket] == index as u32 {
            self.buckets[bucket] = 0;
        }
        self.free.push(index as u32);
    }
}

/// A server under a steady load.
struct Load<S: Timers> {
    timers: S,
    records: Option<Records>,
    calls: u64,
    trying: VecDeque<(S::Handle, u64)>,
    ringing: VecDeque<(S::Handle, u64)>,
    random: u64,
}

impl<S: Timers> Load<S> {
    /// Runs so long that as many timers end as begin, and memory is as mixed as after hours.
    fn steady(records: Option<Records>) -> Load<S> {
        let (trying, ringing) = (VecDeque::new(), VecDeque::new());
        let mut load = Load { timers: S::new(), records, calls: 0, trying, ringing, random: 1 };
        for _ in 0..330_000 * CALLS_PER_MS {
            load.call();
        }
        let pending = load.timers.pending();
        assert!((1_000_000..1_100_000).contains(&pending), "{pending} pending");
        load
    }

    /// A call's six timers, on average: two are cancelled, four linger and expire. Then what is due is fired.
    fn call(&mut self) -> u64 {
        let now_ms = self.calls / CALLS_PER_MS;
        self.calls += 1;
        let trying = self.begin(now_ms, T1);
        self.trying.push_back(trying);
        let ringing = self.begin(now_ms, NO_ANSWER);
        self.ringing.push_back(ringing);
        self.begin(now_ms, T4);
        // Three on average: no two calls are alike, so memory does not stay in the order of time.
        for _ in 0..2 + self.below(3) {
            self.begin(now_ms, T1_X_64);
        }
        // Those who answer do not answer in the order in which they were called.
        let answers = self.below(self.ringing.len());
        let last = self.ringing.len() - 1;
        self.ringing.swap(answers, last / 2);
        self.stop(TRYING_AFTER_CALLS, |load| &mut load.trying);
        self.stop(ANSWER_AFTER_CALLS, |load| &mut load.ringing);
        let mut sum = 0;
        while let Some(payload) = self.timers.next_due(now_ms) {
            sum ^= payload;
            self.end(payload);
        }
        sum
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) as usize % bound
    }

    fn begin(&mut self, now_ms: u64, duration: usize) -> (S::Handle, u64) {
        let payload = self.records.as_mut().map_or(self.calls, |records| records.begin(self.calls));
        (self.timers.insert(now_ms, duration, payload), payload)
    }

    fn end(&mut self, payload: u64) {
        if let Some(records) = &mut self.records {
            records.end(payload);
        }
    }

    fn stop(&mut self, after_calls: usize, queue: impl Fn(&mut Self) -> &mut VecDeque<(S::Handle, u64)>) {
        if queue(self).len() > after_calls
            && let Some((handle, payload)) = queue(self).pop_front()
        {
            assert!(self.timers.cancel(handle));
            self.end(payload);
        }
    }
}

fn bench_kind<S: Timers>(criterion: &mut Criterion, name: &str) {
    let mut group = criterion.benchmark_group("timer");
    let mut load = Load::<S>::steady(None);
    group.bench_function(format!("call/{name}"), |bencher| bencher.iter(|| black_box(load.call())));
    group.bench_function(format!("idle/{name}"), |bencher| {
        let now_ms = load.calls / CALLS_PER_MS - 1;
        bencher.iter(|| (black_box(load.timers.poll_timeout_ms()), load.timers.next_due(now_ms)));
    });
    drop(load);
    let mut load = Load::<S>::steady(Some(Records::new(CAPACITY)));
    group.bench_function(format!("transaction/{name}"), |bencher| bencher.iter(|| black_box(load.call())));
    group.finish();
}

/// An hour without a call, and one timer behind it.
fn bench_gap(criterion: &mut Criterion) {
    criterion.bench_function("timer/hour_gap/wheel", |bencher| {
        bencher.iter_batched_ref(
            || {
                let mut wheel = Wheel::new(1);
                wheel.insert(Deadline::from_ms(3_600_000), 1).map(|_| wheel)
            },
            |wheel| wheel.as_mut().and_then(|wheel| wheel.next_due(Now::from_ms(3_600_000))),
            BatchSize::SmallInput,
        );
    });
}

fn bench_all(criterion: &mut Criterion) {
    bench_kind::<Wheel<u64>>(criterion, "wheel");
    bench_kind::<IntrusiveLists>(criterion, "intrusive_lists");
    bench_kind::<LazyQueues>(criterion, "lazy_queues");
    bench_gap(criterion);
}

criterion_group!(benches, bench_all);
criterion_main!(benches);
