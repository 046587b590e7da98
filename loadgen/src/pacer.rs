//! When calls are due: an open loop at a fixed rate. Pure: time is passed in.
//!
//! A call's intended time depends on its number alone, never on how the calls before it fared, and latencies
//! are counted from it. So a server that stalls does not slow its own test down.

/// The plan of one generator thread's calls.
#[derive(Clone, Debug)]
pub struct Pacer {
    start_ns: u64,
    /// Nanoseconds between two calls of this thread.
    interval_ns: f64,
    /// Calls that this thread plays.
    calls: u64,
    /// The next call's number.
    next: u64,
    /// How late the latest call left, at worst.
    lag_max_ns: u64,
    /// Calls that left more than [`LATE_NS`] after their time.
    late: u64,
}

/// A call that leaves later than this after its intended time counts as late: the generator did not keep up.
pub const LATE_NS: u64 = 10_000_000;

impl Pacer {
    /// The calls of thread `lane` out of `lanes`, which take turns: `rate` calls per second in all, until
    /// `calls` were made or `duration_ns` has passed.
    pub fn new(start_ns: u64, rate: f64, calls: u64, duration_ns: u64, lane: u64, lanes: u64) -> Pacer {
        let spacing_ns = 1e9 / rate;
        let in_time = (duration_ns as f64 / spacing_ns).ceil() as u64;
        let total = calls.min(in_time);
        Pacer {
            start_ns: start_ns + (spacing_ns * lane as f64) as u64,
            interval_ns: spacing_ns * lanes as f64,
            calls: total / lanes + u64::from(total % lanes > lane),
            next: 0,
            lag_max_ns: 0,
            late: 0,
        }
    }

    /// The intended time of the next call, `None` when all were made.
    #[inline]
    pub fn next_ns(&self) -> Option<u64> {
        (self.next < self.calls).then(|| self.start_ns + (self.interval_ns * self.next as f64) as u64)
    }

    /// Takes the next call if its time has come; its intended time comes back.
    #[inline]
    pub fn take(&mut self, now_ns: u64) -> Option<u64> {
        let intended_ns = self.next_ns().filter(|intended| *intended <= now_ns)?;
        let lag_ns = now_ns - intended_ns;
        self.lag_max_ns = self.lag_max_ns.max(lag_ns);
        self.late += u64::from(lag_ns > LATE_NS);
        self.next += 1;
        Some(intended_ns)
    }

    /// All calls come so much later.
    pub fn postpone(&mut self, by_ns: u64) {
        self.start_ns += by_ns;
    }

    /// Makes no more calls.
    pub fn stop(&mut self) {
        self.calls = self.next;
    }

    pub fn lag_max_ns(&self) -> u64 {
        self.lag_max_ns
    }

    pub fn late(&self) -> u64 {
        self.late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn drain(pacer: &mut Pacer, now_ns: u64) -> Vec<u64> {
        std::iter::from_fn(|| pacer.take(now_ns)).collect()
    }

    #[test]
    fn intended_times_do_not_drift_however_odd_the_rate() {
        let mut pacer = Pacer::new(5, 17_001.0, u64::MAX, 10 * SECOND, 0, 1);
        let times = drain(&mut pacer, 20 * SECOND);
        assert_eq!(times.len(), 170_010);
        let last = *times.last().expect("calls were made") as f64;
        assert!((last - (5.0 + 1e9 * 170_009.0 / 17_001.0)).abs() < 2.0, "{last}");
        assert_eq!(pacer.next_ns(), None);
    }

    #[test]
    fn a_stall_is_caught_up_and_the_lag_is_kept() {
        let mut pacer = Pacer::new(0, 1_000.0, u64::MAX, SECOND, 0, 1);
        assert_eq!(drain(&mut pacer, 0), vec![0]);
        let caught_up = drain(&mut pacer, 100_500_000);
        assert_eq!(caught_up.len(), 100);
        assert_eq!(caught_up[0], 1_000_000, "the intended time, not the time of the catching up");
        assert_eq!(pacer.lag_max_ns(), 99_500_000);
        assert_eq!(pacer.late(), 90);
    }

    #[test]
    fn nothing_is_due_before_its_time() {
        let mut pacer = Pacer::new(1_000, 10.0, 3, SECOND, 0, 1);
        assert_eq!(pacer.take(999), None);
        assert_eq!(pacer.take(1_000), Some(1_000));
        assert_eq!(pacer.take(1_000), None);
        assert_eq!(pacer.next_ns(), Some(100_001_000));
    }

    #[test]
    fn threads_share_the_calls_out_in_turn() {
        let mut all: Vec<u64> =
            (0..3).flat_map(|lane| drain(&mut Pacer::new(0, 100.0, 10, SECOND, lane, 3), SECOND)).collect();
        all.sort_unstable();
        let even: Vec<u64> = (0..10).map(|call| call * 10_000_000).collect();
        assert_eq!(all.len(), 10);
        for (got, want) in all.iter().zip(&even) {
            assert!(got.abs_diff(*want) < 3, "{all:?}");
        }
    }

    #[test]
    fn stopping_ends_the_plan() {
        let mut pacer = Pacer::new(0, 10.0, u64::MAX, SECOND, 0, 1);
        pacer.take(0);
        pacer.stop();
        assert_eq!(pacer.take(SECOND), None);
        assert_eq!(pacer.next_ns(), None);
    }
}
