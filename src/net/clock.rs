//! The process's one clock: milliseconds from one moment for all shards, and that moment's calendar time.

use crate::clock::{Now, UnixSeconds};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Counts milliseconds from the moment it was made. Copies agree with each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    started: Instant,
    started_unix: UnixSeconds,
}

impl Clock {
    pub(super) fn start() -> Clock {
        // A machine whose calendar stands before 1970 gets 1970: nothing but log lines depends on it.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { started: Instant::now(), started_unix: UnixSeconds(since_epoch.as_secs()) }
    }

    pub(super) fn now(self) -> Now {
        // 2^64 milliseconds are half a billion years.
        Now::from_ms(self.started.elapsed().as_millis() as u64)
    }

    /// The calendar's seconds at `Now::from_ms(0)`.
    pub(super) fn started_unix(self) -> UnixSeconds {
        self.started_unix
    }
}
