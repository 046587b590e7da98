//! Sees to it that no shard sleeps with work to do.
//!
//! An executor of glommio 0.9.0 parks with a task ready when its thread lost the CPU for longer than the
//! preempt timer between arming that timer and looking at it. If the task is the only one that would have
//! armed the next timer, nothing wakes the executor again: a repeating timer alone does not bound the stall
//! (seen here once in a hundred starts on a busy machine). So one thread of the process looks at each shard's
//! heartbeat, and wakes the executor of one that has missed its beats.

use super::shared::Shared;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread;
use std::time::Duration;

/// How often hearts are looked at. A healthy one beats every tick (8 ms), under full load every other.
const PERIOD: Duration = Duration::from_millis(20);

/// A shard's sign of life, and the way to wake it.
#[derive(Debug, Default)]
pub(super) struct Heart {
    beats: AtomicU64,
    waker: Mutex<Option<Waker>>,
    stalls: AtomicU64,
}

impl Heart {
    /// From now on the shard can be woken, by waking one of its tasks.
    pub(super) fn start(&self, waker: &Waker) {
        *self.lock() = Some(waker.clone());
    }

    pub(super) fn beat(&self) {
        self.beats.fetch_add(1, Relaxed);
    }

    /// The shard ends; to be called from its own thread: a task is not to be released from another one.
    pub(super) fn stop(&self) {
        *self.lock() = None;
    }

    /// How often the shard missed its beats and was woken.
    pub(super) fn stalls(&self) -> u64 {
        self.stalls.load(Relaxed)
    }

    fn revive(&self) {
        if let Some(waker) = &*self.lock() {
            self.stalls.fetch_add(1, Relaxed);
            waker.wake_by_ref();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches all shards until they have ended.
pub(super) fn watch(shared: &Shared) {
    /// What was seen of one heart.
    #[derive(Clone, Copy, Default)]
    struct Seen {
        beats: u64,
        looks_since: u64,
    }
    let mut seen = vec![Seen::default(); shared.hearts().count()];
    while !shared.all_ended() {
        thread::park_timeout(PERIOD);
        for (heart, seen) in shared.hearts().zip(&mut seen) {
            let beats = heart.beats.load(Relaxed);
            if beats != seen.beats {
                *seen = Seen { beats, looks_since: 0 };
                continue;
            }
            seen.looks_since += 1;
            // Ever more rarely: each revival costs a reference to the task, and glommio panics at 32,767.
            if seen.looks_since.is_power_of_two() {
                heart.revive();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::task::Wake;

    struct Count(AtomicU64);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn only_a_heart_that_misses_its_beats_is_revived() {
        let shared = Shared::new(3, 1, Duration::ZERO, Arc::default()).expect("file descriptors are left");
        let wakes: Vec<Arc<Count>> = (0..2).map(|_| Arc::new(Count(AtomicU64::new(0)))).collect();
        for (shard, wakes) in wakes.iter().enumerate() {
            shared.heart(shard as u16).start(&Waker::from(wakes.clone()));
        }
        thread::scope(|scope| {
            scope.spawn(|| watch(&shared));
            while wakes[0].0.load(Relaxed) < 3 {
                // The first is dead, the second lives, the third has not started.
                shared.heart(1).beat();
                thread::sleep(Duration::from_millis(1));
            }
            shared.heart(0).stop();
            (0..3).for_each(|_| shared.shard_ended());
        });
        assert_eq!(shared.heart(0).stalls(), wakes[0].0.load(Relaxed));
        assert!(wakes[1].0.load(Relaxed) < wakes[0].0.load(Relaxed), "beating, but revived");
        assert_eq!(shared.heart(2).stalls(), 0);
    }
}
