//! What the shards and the server's owner tell each other: the phase of the server's life, and each shard's
//! figures.

use super::clock::Clock;
use super::inbox::Inbox;
use super::post::Post;
use super::watch::Heart;
use crate::metrics::Metrics;
use crossbeam::utils::CachePadded;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize};
use std::time::Duration;

/// Where the server stands in its life. It only goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Phase {
    Running = 0,
    /// No new calls; those that live go on.
    Draining = 1,
    /// Every task returns at its next step.
    Stopping = 2,
}

/// One shard's sign of life, and its figures as of its last tick.
#[derive(Debug)]
struct Published {
    heart: Heart,
    calls: AtomicUsize,
    /// What a stop waits for.
    unfinished: AtomicUsize,
    metrics: [AtomicU64; Metrics::COUNT],
}

/// Shared by all shards and the server's owner.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) inboxes: Arc<[Inbox]>,
    pub(super) post: Arc<Post>,
    phase: AtomicU8,
    drain_timeout: Duration,
    /// When draining must end, in milliseconds of `clock`; set before the phase.
    drain_deadline_ms: AtomicU64,
    /// Shards that refuse new calls by now: from then on their calls only become fewer.
    drained: AtomicUsize,
    ended: AtomicUsize,
    published: Box<[CachePadded<Published>]>,
}

impl Shared {
    pub(super) fn new(
        shards: usize,
        inbox_datagrams: usize,
        drain_timeout: Duration,
        post: Arc<Post>,
    ) -> io::Result<Shared> {
        let published = || Published {
            heart: Heart::default(),
            calls: AtomicUsize::new(0),
            unfinished: AtomicUsize::new(0),
            metrics: [const { AtomicU64::new(0) }; _],
        };
        let inboxes: Arc<[Inbox]> =
            (0..shards).map(|_| Inbox::new(inbox_datagrams)).collect::<io::Result<_>>()?;
        post.connect(Arc::clone(&inboxes));
        Ok(Shared {
            clock: Clock::start(),
            inboxes,
            post,
            phase: AtomicU8::new(Phase::Running as u8),
            drain_timeout,
            drain_deadline_ms: AtomicU64::new(u64::MAX),
            drained: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            published: (0..shards).map(|_| CachePadded::new(published())).collect(),
        })
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Acquire) {
            0 => Phase::Running,
            1 => Phase::Draining,
            _ => Phase::Stopping,
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.phase() == Phase::Stopping
    }

    pub(super) fn drain(&self) {
        let timeout_ms = u64::try_from(self.drain_timeout.as_millis()).unwrap_or(u64::MAX);
        let deadline_ms = self.clock.now().as_ms().saturating_add(timeout_ms);
        self.drain_deadline_ms.fetch_min(deadline_ms, AcqRel);
        self.phase.fetch_max(Phase::Draining as u8, AcqRel);
    }

    pub(super) fn stop(&self) {
        self.phase.fetch_max(Phase::Stopping as u8, AcqRel);
    }

    /// One more shard refuses new calls and has published how many it has.
    pub(super) fn shard_drains(&self) {
        self.drained.fetch_add(1, AcqRel);
    }

    /// Whether draining has come to its end: nothing is unfinished on any shard, or
    /// the time is over.
    pub(super) fn is_drained(&self) -> bool {
        let all_drain = self.drained.load(Acquire) == self.published.len();
        (all_drain && self.unfinished() == 0)
            || self.clock.now().as_ms() >= self.drain_deadline_ms.load(Acquire)
    }

    pub(super) fn shard_ended(&self) {
        self.ended.fetch_add(1, AcqRel);
    }

    pub(super) fn all_ended(&self) -> bool {
        self.ended.load(Acquire) == self.published.len()
    }

    pub(super) fn heart(&self, shard: u16) -> &Heart {
        &self.published[usize::from(shard)].heart
    }

    pub(super) fn hearts(&self) -> impl Iterator<Item = &Heart> {
        self.published.iter().map(|shard| &shard.heart)
    }

    pub(super) fn publish(&self, shard: u16, (calls, unfinished): (usize, usize), metrics: &Metrics) {
        let published = &self.published[usize::from(shard)];
        for (slot, value) in published.metrics.iter().zip(metrics.values()) {
            slot.store(value, Relaxed);
        }
        // Release: whoever sees that no call is left sees the counters that led there.
        published.calls.store(calls, Release);
        published.unfinished.store(unfinished, Release);
    }

    fn unfinished(&self) -> usize {
        self.published.iter().map(|shard| shard.unfinished.load(Acquire)).sum()
    }

    pub(super) fn calls(&self) -> usize {
        self.published.iter().map(|shard| shard.calls.load(Acquire)).sum()
    }

    pub(super) fn metrics(&self) -> Metrics {
        let mut sum = Metrics::default();
        for shard in &self.published {
            sum.add(&Metrics::from_values(shard.metrics.each_ref().map(|value| value.load(Relaxed))));
        }
        sum
    }
}
