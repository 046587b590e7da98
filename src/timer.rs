//! The timing wheel: hierarchical, slab-indexed, no clock inside.

use crate::clock::{Deadline, Now};

/// A timer that is armed. Stale handles are told by their generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerHandle {
    index: u32,
    generation: u32,
}

impl TimerHandle {
    /// A handle that no wheel ever gives out: "not armed".
    pub const NONE: TimerHandle = TimerHandle { index: u32::MAX, generation: 0 };
}

/// Timers with a payload of type `T` (a record's key), due at a [`Deadline`].
pub struct Wheel<T> {
    payload: std::marker::PhantomData<T>,
}

impl<T: Copy> Wheel<T> {
    /// A wheel that holds at most `capacity` timers. Memory is reserved, not touched.
    #[must_use]
    pub fn new(capacity: usize) -> Wheel<T> {
        let _ = capacity;
        unimplemented!()
    }

    /// Arms a timer; `None` when the wheel is full. A deadline in the past fires at the next `advance`.
    pub fn insert(&mut self, deadline: Deadline, payload: T) -> Option<TimerHandle> {
        let _ = (deadline, payload);
        unimplemented!()
    }

    /// Disarms; `false` when the handle is stale or `NONE`.
    pub fn cancel(&mut self, handle: TimerHandle) -> bool {
        let _ = handle;
        unimplemented!()
    }

    /// Moves an armed timer to another deadline in place; `false` when the handle is stale.
    pub fn rearm(&mut self, handle: TimerHandle, deadline: Deadline) -> bool {
        let _ = (handle, deadline);
        unimplemented!()
    }

    /// Takes the next timer that is due at `now`, or `None`. Never earlier than its deadline, at most one
    /// tick (8 ms) later than the first call at or after it. Call until `None`.
    pub fn next_due(&mut self, now: Now) -> Option<T> {
        let _ = now;
        unimplemented!()
    }

    /// A moment at or before the earliest deadline at which it is worth calling `next_due`; `None` when empty.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        unimplemented!()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        unimplemented!()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
