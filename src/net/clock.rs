//! The process's one clock: milliseconds from one moment for all shards, and that moment's calendar time.

use crate::clock::{Moment, Now, UnixMs};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A calendar that is off by more than this was set, or the machine slept.
const OFF_MAX_MS: u64 = 1_000;

/// Counts milliseconds from the moment it was made. Copies agree with each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    started: Instant,
    started_unix: UnixMs,
}

impl Clock {
    pub(super) fn start() -> Clock {
        Clock { started: Instant::now(), started_unix: unix() }
    }

    pub(super) fn now(self) -> Now {
        // 2^64 milliseconds are half a billion years.
        Now::from_ms(self.started.elapsed().as_millis() as u64)
    }

    /// The same time in microseconds.
    pub(super) fn moment(self) -> Moment {
        Moment::from_us(self.started.elapsed().as_micros() as u64)
    }

    /// The calendar's time at `Now::from_ms(0)`, as it stood then.
    pub(super) fn started_unix(self) -> UnixMs {
        self.started_unix
    }

    /// The calendar's time at `Now::from_ms(0)` if by now it is another than the one that is `known`.
    pub(super) fn moved(self, known: UnixMs) -> Option<UnixMs> {
        moved(known, UnixMs(unix().0.saturating_sub(self.now().as_ms())))
    }
}

fn moved(known: UnixMs, seen: UnixMs) -> Option<UnixMs> {
    (known.0.abs_diff(seen.0) > OFF_MAX_MS).then_some(seen)
}

/// The calendar's time; 1970 where it stands before that.
fn unix() -> UnixMs {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calendar_that_was_set_is_followed_and_one_that_jitters_is_not() {
        let known = UnixMs(1_381_399_635_042);
        for (by_ms, is_followed) in [(0, false), (1_000, false), (1_001, true), (3_600_000, true)] {
            for seen in [UnixMs(known.0 + by_ms), UnixMs(known.0 - by_ms)] {
                assert_eq!(moved(known, seen), is_followed.then_some(seen), "{by_ms} ms");
            }
        }
        let clock = Clock::start();
        assert_eq!(clock.moved(clock.started_unix()), None);
        let seen = clock.moved(known).expect("2013 is over");
        assert!(seen.0.abs_diff(clock.started_unix().0) <= OFF_MAX_MS);
    }
}
