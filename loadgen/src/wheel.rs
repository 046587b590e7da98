//! Timers: buckets of half a millisecond. A record has one deadline, which may move without touching the
//! wheel; an entry that fires before its record's deadline is put back, one that was superseded is ignored.

use crate::slab::Handle;

const TICK_SHIFT: u32 = 19;
const BUCKETS: usize = 8192;
const WORDS: usize = BUCKETS / 64;

/// A record's side of its timer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timer {
    /// When it is due; 0: not set.
    deadline_ns: u64,
    /// The tick of the entry that counts; 0: there is none.
    armed: u64,
}

/// What [`Wheel::take_due`] found: the record decides by [`Wheel::fires`] whether it is due.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub handle: Handle,
    tick: u64,
}

/// All records' timers.
pub struct Wheel {
    buckets: Box<[Vec<Entry>]>,
    occupied: [u64; WORDS],
    /// The last tick that was taken.
    done: u64,
}

impl Wheel {
    pub fn new(now_ns: u64) -> Wheel {
        Wheel {
            buckets: (0..BUCKETS).map(|_| Vec::new()).collect(),
            occupied: [0; WORDS],
            done: now_ns >> TICK_SHIFT,
        }
    }

    /// Sets the record's deadline, in place of the one before.
    #[inline]
    pub fn set(&mut self, timer: &mut Timer, handle: Handle, deadline_ns: u64) {
        timer.deadline_ns = deadline_ns.max(1);
        let due = (deadline_ns >> TICK_SHIFT) + 1;
        let tick = due.clamp(self.done + 1, self.done + BUCKETS as u64 - 1);
        if timer.armed != 0 && timer.armed <= tick {
            return;
        }
        timer.armed = tick;
        let bucket = tick as usize % BUCKETS;
        self.buckets[bucket].push(Entry { handle, tick });
        self.occupied[bucket / 64] |= 1 << (bucket % 64);
    }

    /// Moves the entries whose time has come to `due`.
    pub fn take_due(&mut self, now_ns: u64, due: &mut Vec<Entry>) {
        let now = now_ns >> TICK_SHIFT;
        while self.done < now {
            let Some(next) = self.next_tick() else {
                self.done = now;
                return;
            };
            if next > now {
                self.done = now;
                return;
            }
            self.done = next;
            let bucket = next as usize % BUCKETS;
            due.append(&mut self.buckets[bucket]);
            self.occupied[bucket / 64] &= !(1 << (bucket % 64));
        }
    }

    /// Whether the record's deadline has come. If it lies ahead the entry is put back.
    pub fn fires(&mut self, timer: &mut Timer, entry: Entry, now_ns: u64) -> bool {
        if timer.armed != entry.tick {
            return false;
        }
        timer.armed = 0;
        if timer.deadline_ns > now_ns {
            self.set(timer, entry.handle, timer.deadline_ns);
            return false;
        }
        std::mem::take(&mut timer.deadline_ns) != 0
    }

    /// When `take_due` finds something next, at the latest; `None`: nothing is set.
    pub fn next_ns(&self) -> Option<u64> {
        self.next_tick().map(|tick| tick << TICK_SHIFT)
    }

    fn next_tick(&self) -> Option<u64> {
        let first = (self.done + 1) as usize % BUCKETS;
        for step in 0..=WORDS {
            let word = (first / 64 + step) % WORDS;
            let mut bits = self.occupied[word];
            if step == 0 {
                bits &= u64::MAX << (first % 64);
            }
            if bits != 0 {
                let bucket = word * 64 + bits.trailing_zeros() as usize;
                let ahead = (bucket + BUCKETS - first) % BUCKETS;
                return Some(self.done + 1 + ahead as u64);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// One record and its wheel: the times at which the timer fires.
    struct Bench {
        wheel: Wheel,
        timer: Timer,
        handle: Handle,
    }

    impl Bench {
        fn new(now_ns: u64) -> Bench {
            Bench { wheel: Wheel::new(now_ns), timer: Timer::default(), handle: Handle::from_bits(1 << 32) }
        }

        fn set(&mut self, deadline_ns: u64) {
            self.wheel.set(&mut self.timer, self.handle, deadline_ns);
        }

        fn fires_at(&mut self, now_ns: u64) -> bool {
            let mut due = Vec::new();
            self.wheel.take_due(now_ns, &mut due);
            due.into_iter().filter(|entry| self.wheel.fires(&mut self.timer, *entry, now_ns)).count() == 1
        }
    }

    #[test]
    fn a_timer_fires_once_and_never_early() {
        for deadline_ms in [0, 1, 17, 500, 4_000, 32_000, 700_000] {
            let start = 123_456_789;
            let mut bench = Bench::new(start);
            let deadline = start + deadline_ms * MS;
            bench.set(deadline);
            let mut fired = Vec::new();
            let mut now = start;
            while now < deadline + 3 * MS {
                now += MS;
                if bench.fires_at(now) {
                    fired.push(now);
                }
            }
            assert_eq!(fired.len(), 1, "{deadline_ms} ms: {fired:?}");
            assert!(fired[0] >= deadline && fired[0] <= deadline + 2 * MS, "{deadline_ms} ms: {fired:?}");
            assert_eq!(bench.wheel.next_ns(), None);
        }
    }

    #[test]
    fn a_deadline_that_moves_out_fires_at_the_new_time_only() {
        let mut bench = Bench::new(0);
        bench.set(10 * MS);
        bench.set(50 * MS);
        assert!(!bench.fires_at(20 * MS));
        assert!(bench.fires_at(51 * MS));
        assert!(!bench.fires_at(9_000 * MS));
    }

    #[test]
    fn a_deadline_that_moves_in_fires_early_and_once() {
        let mut bench = Bench::new(0);
        bench.set(500 * MS);
        bench.set(5 * MS);
        assert!(bench.fires_at(6 * MS));
        assert!(!bench.fires_at(600 * MS));
    }

    #[test]
    fn the_next_tick_is_known_across_the_wrap() {
        let mut bench = Bench::new(4_290 * MS);
        bench.set(4_300 * MS);
        let next = bench.wheel.next_ns().expect("one is set");
        assert!((4_300 * MS..4_301 * MS).contains(&next), "{next}");
    }
}
