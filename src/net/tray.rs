//! A bounded queue with one reader that sleeps when there is nothing to take.
//!
//! Any thread puts things in, without a lock and without waiting; the reader's waker is called once per
//! sleep, not per thing.

use crossbeam::queue::ArrayQueue;
use crossbeam::utils::CachePadded;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Mutex, PoisonError};
use std::task::Waker;

/// A bounded queue for one reader. It is shut until the reader opens it.
pub struct Tray<T> {
    things: ArrayQueue<T>,
    is_open: AtomicBool,
    /// The reader sleeps, or is about to: whoever turns this to false wakes it.
    parked: CachePadded<AtomicBool>,
    /// Locked once per sleep on either side.
    waker: Mutex<Option<Waker>>,
}

impl<T> Tray<T> {
    /// A tray for at most `capacity` things (at least 1); shut.
    #[must_use]
    pub fn new(capacity: usize) -> Tray<T> {
        Tray {
            things: ArrayQueue::new(capacity.max(1)),
            is_open: AtomicBool::new(false),
            parked: CachePadded::new(AtomicBool::new(false)),
            waker: Mutex::new(None),
        }
    }

    /// From now on things are taken in.
    pub fn open(&self) {
        self.is_open.store(true, SeqCst);
    }

    /// From now on nothing is taken in; what is in may still be taken out.
    pub fn shut(&self) {
        self.is_open.store(false, SeqCst);
    }

    /// Puts a thing in and wakes the reader if it sleeps.
    ///
    /// # Errors
    /// The tray is full or shut: the thing comes back.
    pub fn put(&self, thing: T) -> Result<(), T> {
        if !self.is_open.load(SeqCst) {
            return Err(thing);
        }
        self.things.push(thing)?;
        self.wake();
        Ok(())
    }

    /// The thing that was put in first, if any.
    pub fn take(&self) -> Option<T> {
        self.things.pop()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.things.is_empty()
    }

    /// Wakes the reader if it sleeps.
    pub fn wake(&self) {
        // The swap comes after the push (SeqCst), the reader's last look after its `parked`: one of the two
        // sees the other.
        if self.parked.load(SeqCst)
            && self.parked.swap(false, SeqCst)
            && let Some(waker) = &*self.waker.lock().unwrap_or_else(PoisonError::into_inner)
        {
            waker.wake_by_ref();
        }
    }

    /// The reader is about to sleep: `waker` will be called when something is put in. Returns whether it may
    /// sleep; `false`: something is there already.
    pub fn wait(&self, waker: &Waker) -> bool {
        {
            let mut kept = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
            match kept.as_mut() {
                Some(kept) => kept.clone_from(waker),
                None => *kept = Some(waker.clone()),
            }
        }
        self.parked.store(true, SeqCst);
        if self.things.is_empty() {
            return true;
        }
        self.parked.store(false, SeqCst);
        false
    }
}

impl<T> fmt::Debug for Tray<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tray({} of {})", self.things.len(), self.things.capacity())
    }
}
