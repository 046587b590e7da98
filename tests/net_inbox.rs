//! A shard's inbox: order, bounds, buffers that go round, and no lost wake-up.

#![cfg(feature = "server")]

use ringway::limits::{DATAGRAM_BYTES_MAX, SCAN_PADDING};
use ringway::net::inbox::Inbox;
use ringway::outbox::ListenerId;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

/// Nothing here takes this long unless a wake-up is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// The system's allocator, counting each thread's allocations.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the system allocator's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Wakes a sleeping thread, counting.
struct Bell {
    thread: Thread,
    rung: AtomicBool,
    rings: AtomicUsize,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rings.fetch_add(1, SeqCst);
        self.rung.store(true, SeqCst);
        self.thread.unpark();
    }
}

/// An executor for one future: this thread.
struct Sleeper {
    bell: Arc<Bell>,
    waker: Waker,
}

impl Sleeper {
    fn new() -> Sleeper {
        let (rung, rings) = (AtomicBool::new(false), AtomicUsize::new(0));
        let bell = Arc::new(Bell { thread: thread::current(), rung, rings });
        Sleeper { waker: Waker::from(bell.clone()), bell }
    }

    /// Runs `future` to its end. Returns whether it was woken each time that it slept.
    fn run(&self, future: impl Future<Output = ()>) -> bool {
        let mut future = pin!(future);
        while future.as_mut().poll(&mut Context::from_waker(&self.waker)) == Poll::Pending {
            while !self.bell.rung.swap(false, SeqCst) {
                let before = std::time::Instant::now();
                thread::park_timeout(PATIENCE);
                if before.elapsed() >= PATIENCE {
                    return false;
                }
            }
        }
        true
    }
}

/// An inbox for so many datagrams.
fn inbox_of(capacity: usize) -> Inbox {
    Inbox::new(capacity).expect("a file descriptor is left")
}

fn source() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 5060))
}

/// Takes the oldest datagram's bytes.
fn take(inbox: &Inbox) -> Option<Vec<u8>> {
    let mut handover = inbox.pop()?;
    let length = handover.length();
    let (bytes, padding) = handover.buffer().split_at(length);
    assert!(padding.len() == SCAN_PADDING && padding.iter().all(|&byte| byte == 0));
    let bytes = bytes.to_vec();
    inbox.recycle(handover);
    Some(bytes)
}

#[test]
fn datagrams_come_out_as_they_went_in() {
    let inbox = inbox_of(8);
    let largest = vec![b'a'; DATAGRAM_BYTES_MAX];
    for bytes in [&b"first"[..], b"", &largest, b"last"] {
        assert!(inbox.push(source(), ListenerId(3), bytes));
    }
    let handover = inbox.pop().unwrap();
    assert_eq!((handover.source, handover.listener, handover.length()), (source(), ListenerId(3), 5));
    inbox.recycle(handover);
    assert_eq!(take(&inbox).unwrap(), b"");
    assert_eq!(take(&inbox).unwrap(), largest);
    // The buffer of "first" comes again, without its bytes.
    assert!(inbox.push(source(), ListenerId(0), b"x"));
    assert_eq!(take(&inbox).unwrap(), b"last");
    assert_eq!(take(&inbox).unwrap(), b"x");
    assert_eq!(take(&inbox), None);
}

#[test]
fn a_full_inbox_drops_and_counts() {
    let inbox = inbox_of(4);
    let pushed = (0..10).filter(|&byte| inbox.push(source(), ListenerId(0), &[byte])).count();
    assert_eq!((pushed, inbox.dropped()), (4, 6));
    let kept: Vec<Vec<u8>> = std::iter::from_fn(|| take(&inbox)).collect();
    assert_eq!(kept, [[0], [1], [2], [3]], "those that came first");
    assert!(inbox.push(source(), ListenerId(0), b"room again"));
}

#[test]
fn the_steady_state_allocates_nothing() {
    let inbox = inbox_of(16);
    let round = || {
        for length in [600, 1500, 300] {
            assert!(inbox.push(source(), ListenerId(0), &[1; 1500][..length]));
        }
        while let Some(handover) = inbox.pop() {
            inbox.recycle(handover);
        }
    };
    round();
    let before = ALLOCATIONS.get();
    (0..100).for_each(|_| round());
    assert_eq!(ALLOCATIONS.get(), before);
}

#[test]
fn a_flood_of_large_datagrams_leaves_no_large_buffers() {
    let inbox = inbox_of(16);
    for _ in 0..16 {
        assert!(inbox.push(source(), ListenerId(0), &[1; 60_000]));
    }
    while let Some(handover) = inbox.pop() {
        inbox.recycle(handover);
    }
    let before = ALLOCATIONS.get();
    assert!(inbox.push(source(), ListenerId(0), b"small"));
    assert_eq!(ALLOCATIONS.get(), before + 1, "the large ones were freed");
}

#[test]
fn two_threads_lose_no_datagram_no_order_and_no_wake_up() {
    const SENDERS: u32 = 2;
    const EACH: u32 = 50_000;
    let inbox = Arc::new(inbox_of(64));
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let inbox = inbox.clone();
            thread::spawn(move || {
                for number in 0..EACH {
                    let bytes = [sender.to_be_bytes(), number.to_be_bytes()].concat();
                    while !inbox.push(source(), ListenerId(sender as u8), &bytes) {
                        thread::yield_now();
                    }
                    if number % 64 == 0 {
                        // Let the owner fall asleep now and then.
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let sleeper = Sleeper::new();
    let mut next = [0u32; SENDERS as usize];
    while next.iter().sum::<u32>() < SENDERS * EACH {
        assert!(sleeper.run(inbox.ready(|| false)), "a wake-up was lost");
        while let Some(bytes) = take(&inbox) {
            let (sender, number) = bytes.split_at(4);
            let sender = u32::from_be_bytes(sender.try_into().unwrap()) as usize;
            assert_eq!(number, next[sender].to_be_bytes(), "sender {sender}'s order");
            next[sender] += 1;
        }
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    inbox.close();
}

#[test]
fn one_sleep_costs_one_wake_up() {
    let inbox = Arc::new(inbox_of(64));
    let sleeper = Sleeper::new();
    let mut context = Context::from_waker(&sleeper.waker);
    let mut ready = pin!(inbox.ready(|| false));
    assert!(ready.as_mut().poll(&mut context).is_pending());
    for _ in 0..10 {
        assert!(inbox.push(source(), ListenerId(0), b"!"));
    }
    assert_eq!(sleeper.bell.rings.load(SeqCst), 1);
    assert!(ready.as_mut().poll(&mut context).is_ready());
}

#[test]
fn a_sleeping_owner_ends_when_it_is_told_to() {
    let (inbox, ended) = (Arc::new(inbox_of(4)), Arc::new(AtomicBool::new(false)));
    let (asleep, is_asleep) = mpsc::channel();
    let owner = {
        let (inbox, ended) = (inbox.clone(), ended.clone());
        thread::spawn(move || {
            asleep.send(()).unwrap();
            Sleeper::new().run(inbox.ready(|| ended.load(SeqCst)))
        })
    };
    is_asleep.recv().unwrap();
    ended.store(true, SeqCst);
    inbox.wake();
    assert!(owner.join().unwrap(), "it slept on");
}
