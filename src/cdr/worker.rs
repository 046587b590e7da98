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

/// Held while the thread works: however it ends, nobody puts anything in any more, and what is in is counted.
struct Reader<'p>(&'p Post);

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let records = &self.0.records;
        records.tray.shut();
        while records.tray.take().is_some() {
            records.count_lost(1);
        }
        if thread::panicking() {
            tracing::error!("no records are written any more: their thread failed; start the server again");
        }
    }
}

/// Works until `stop`, and then until nothing waits.
pub(super) fn run<S: Sink>(mut backlog: Backlog<S>, format: Format, post: &Post, stop: &AtomicBool) {
    let _reader = Reader(post);
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

#[cfg(test)]
mod tests {
    use super::super::lines::Lines;
    use super::*;
    use crate::mail::{Cause, EndedBy, LegNames};
    use std::io;

    struct Broken;

    impl Sink for Broken {
        fn append(&mut self, _lines: &mut Lines, _now_ms: u64) -> io::Result<()> {
            panic!("a failure on purpose");
        }

        fn tick(&mut self, _now_ms: u64) -> io::Result<()> {
            Ok(())
        }

        fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn leg() -> Box<EndedLeg> {
        let address = "127.0.0.60:5060".parse().unwrap();
        Box::new(EndedLeg {
            names: LegNames::new([b"1", b"1", b"1003", b"1005", b""]),
            leg: 0,
            setup_at: 0,
            ring_at: None,
            answer_at: None,
            end_at: 0,
            ended_by: EndedBy::Caller,
            status: 487,
            cause: Cause::Cancel,
            peer: address,
            local: address,
            media: None,
        })
    }

    #[test]
    fn a_thread_that_failed_takes_no_records_and_counts_those_that_wait() {
        let post = Post::default();
        post.records.tray.open();
        for _ in 0..BATCH_MAX + 3 {
            post.records.tray.put(leg()).expect("room");
        }
        thread::scope(|scope| {
            let stop = AtomicBool::new(false);
            let post = &post;
            let ended = scope.spawn(move || run(Backlog::new(Broken, 10), Format::Json, post, &stop)).join();
            assert!(ended.is_err());
        });
        assert_eq!(post.records.lost(), 3);
        assert!(post.records.tray.put(leg()).is_err(), "nobody reads it");
    }
}
