//! A sorted map that does slowly what the wheel does, and steps that drive both.

use ringway::clock::{Deadline, Now};
use ringway::timer::{TimerHandle, Wheel};
use std::collections::{BTreeMap, HashMap};

pub const TICK_MS: u64 = 8;

pub fn at(ms: u64) -> Deadline {
    Deadline::from_ms(ms)
}

pub fn rounded_up(ms: u64) -> u64 {
    ms.next_multiple_of(TICK_MS)
}

/// One step of the model test. Indices are taken modulo the handles that were ever given out.
#[derive(Clone, Debug)]
pub enum Step {
    Insert {
        delay_ms: u64,
    },
    InsertInThePast {
        by_ms: u64,
    },
    Cancel {
        which: usize,
    },
    Rearm {
        which: usize,
        delay_ms: u64,
    },
    Advance {
        by_ms: u64,
    },
    /// Sleep until `poll_timeout`.
    AdvanceToWake,
    /// Take a few that are due and leave the rest for later.
    TakeSome {
        at_most: usize,
    },
}

/// Few enough that full wheels occur.
const MODEL_CAPACITY: usize = 24;

/// The wheel, and beside it a map of what is armed, in order.
pub struct Model {
    wheel: Wheel<u32>,
    now_ms: u64,
    handles: Vec<TimerHandle>,
    /// Payload (which is the index into `handles`) → when it fires at the earliest.
    armed: HashMap<u32, u64>,
    /// The same by time; `true` where the time had come already when the timer was armed.
    by_time: BTreeMap<(u64, u32), bool>,
}

impl Model {
    pub fn new(start_ms: u64) -> Model {
        Model {
            wheel: Wheel::new(MODEL_CAPACITY),
            now_ms: start_ms,
            handles: Vec::new(),
            armed: HashMap::new(),
            by_time: BTreeMap::new(),
        }
    }

    fn arm(&mut self, payload: u32, deadline_ms: u64) {
        let due = rounded_up(deadline_ms);
        self.armed.insert(payload, due);
        self.by_time.insert((due, payload), due <= self.now_ms);
    }

    fn disarm(&mut self, payload: u32) -> bool {
        let due = self.armed.remove(&payload);
        due.is_some_and(|due| self.by_time.remove(&(due, payload)).is_some())
    }

    fn insert(&mut self, deadline_ms: u64) {
        let payload = self.handles.len() as u32;
        let handle = self.wheel.insert(at(deadline_ms), payload);
        assert_eq!(handle.is_some(), self.armed.len() < MODEL_CAPACITY);
        if let Some(handle) = handle {
            self.handles.push(handle);
            self.arm(payload, deadline_ms);
        }
    }

    fn pick(&self, which: usize) -> Option<u32> {
        (!self.handles.is_empty()).then(|| (which % self.handles.len()) as u32)
    }

    fn earliest(&self) -> Option<u64> {
        self.by_time.first_key_value().map(|(&(due, _), _)| due)
    }

    /// Takes at most so many: each must be due and in order, and none that was due may be left out.
    fn take(&mut self, at_most: usize) {
        for _ in 0..at_most {
            let Some(payload) = self.wheel.next_due(Now::from_ms(self.now_ms)) else {
                assert!(self.earliest().is_none_or(|due| due > self.now_ms), "one was left out");
                return;
            };
            let due = self.armed[&payload];
            assert!(due <= self.now_ms, "{payload} fired {} ms early", due - self.now_ms);
            // Timers that were armed too late share the tick of their arming: only the others have an order.
            let punctual = self.by_time.iter().find(|(_, late)| !**late);
            if !self.by_time[&(due, payload)] {
                assert_eq!(punctual.map(|(&(first, _), _)| first), Some(due), "out of order");
            }
            assert!(self.disarm(payload));
        }
    }

    pub fn apply(&mut self, step: &Step) {
        match *step {
            Step::Insert { delay_ms } => self.insert(self.now_ms + delay_ms),
            Step::InsertInThePast { by_ms } => self.insert(self.now_ms.saturating_sub(by_ms)),
            Step::Cancel { which } => {
                let Some(payload) = self.pick(which) else { return };
                let cancelled = self.wheel.cancel(self.handles[payload as usize]);
                assert_eq!(cancelled, self.disarm(payload));
            }
            Step::Rearm { which, delay_ms } => {
                let Some(payload) = self.pick(which) else { return };
                let deadline_ms = self.now_ms + delay_ms;
                let rearmed = self.wheel.rearm(self.handles[payload as usize], at(deadline_ms));
                assert_eq!(rearmed, self.disarm(payload));
                if rearmed {
                    self.arm(payload, deadline_ms);
                }
            }
            Step::Advance { by_ms } => {
                self.now_ms += by_ms;
                self.take(usize::MAX);
            }
            Step::AdvanceToWake => {
                let wake_ms = self.wheel.poll_timeout().map_or(self.now_ms, Deadline::as_ms);
                self.now_ms = self.now_ms.max(wake_ms);
                self.take(usize::MAX);
            }
            Step::TakeSome { at_most } => self.take(at_most),
        }
        self.check();
    }

    fn check(&self) {
        assert_eq!(self.wheel.len(), self.armed.len());
        match (self.wheel.poll_timeout(), self.earliest()) {
            (None, None) => {}
            (Some(wake), Some(due)) => assert!(wake.as_ms() <= due.max(self.now_ms)),
            (wake, due) => panic!("wake {wake:?}, earliest {due:?}"),
        }
    }

    /// Lets the longest delay pass: everything has fired then.
    pub fn finish(&mut self, longest_ms: u64) {
        self.now_ms += longest_ms;
        self.take(usize::MAX);
        assert!(self.armed.is_empty() && self.wheel.is_empty());
        assert_eq!(self.wheel.poll_timeout(), None);
    }
}
