//! The thread "cdr": takes what the shards posted, and writes it.

use super::backlog::{Backlog, Sink};
use super::lines::Format;
use crate::mail::EndedLeg;
use crate::net::post::Post;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Acquire;
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Records that are written at once.
const BATCH_MAX: usize = 4_096;

/// How long records gather after a batch: the shards then need not wake the thread for each.
const GATHER: Duration = Duration::from_millis(20);

/// How often the thread looks after the files with nothing to write.
const TICK: Duration = Duration::from_secs(1);

/// How often the last lines are tried again at the end.
const LAST_TRIES: u32 = 2;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// Works until `stop`, and then until nothing waits.
pub(super) fn run<S: Sink>(mut backlog: Backlog<S>, format: Format, post: &Post, stop: &AtomicBool) {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let records = &post.records;
    let mut ticked_at = Instant::now();
    let mut batch: Vec<Box<EndedLeg>> = Vec::new();
    loop {
        let is_last = stop.load(Acquire);
        if is_last {
            records.tray.shut();
        }
        if ticked_at.elapsed() >= TICK {
            backlog.tick(records, now_ms());
            ticked_at = Instant::now();
        }
        while batch.len() < BATCH_MAX
            && let Some(record) = records.tray.take()
        {
            batch.push(record);
        }
        if !batch.is_empty() {
            backlog.write(format, &batch, records, now_ms());
            let more_waits = batch.len() == BATCH_MAX;
            batch.clear();
            if !is_last && !more_waits {
                thread::park_timeout(GATHER);
            }
        } else if is_last {
            break;
        } else if records.tray.wait(&waker) && !stop.load(Acquire) {
            thread::park_timeout(TICK.saturating_sub(ticked_at.elapsed()));
        }
    }
    for _ in 0..LAST_TRIES {
        if !backlog.is_empty() {
            thread::sleep(TICK);
            backlog.retry(records, now_ms());
        }
    }
    backlog.close(records);
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
