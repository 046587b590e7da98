//! A hash table of entries with one writer and readers that never wait: open addressing over pointers that
//! are swapped one at a time; what they pointed to before is freed when no reader can see it any more.

use super::Entry;
use ahash::RandomState;
use crossbeam_epoch::{Atomic, Guard, Owned, Shared, pin};
use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// The least places of a table.
const PLACES_MIN: usize = 64;

/// Pointers carry as many bits of the entry's hash as its alignment leaves room for: most other entries in
/// the way of a search are passed by without a look at them.
const TAG_BITS: u32 = 3;

/// The table's places; a place holds an entry or nothing. An entry never moves within it.
struct Places {
    slots: Box<[Atomic<Entry>]>,
}

/// What a slot says of an entry that is taken away: its place stays, for searches go on behind it.
pub(super) struct Table {
    places: Atomic<Places>,
    /// Entries that are there.
    len: AtomicUsize,
    /// Places in use, by entries that are gone too.
    used: AtomicUsize,
    hash: RandomState,
}

/// The table while it is read.
pub(super) struct Pinned<'t> {
    guard: Guard,
    table: &'t Table,
}

impl Places {
    fn new(count: usize) -> Places {
        Places { slots: (0..count).map(|_| Atomic::null()).collect() }
    }

    /// The slot of a number: the one that holds its entry, or the empty one where it belongs.
    fn find<'g>(&self, hash: u64, number: &[u8], guard: &'g Guard) -> (usize, Shared<'g, Entry>) {
        let mask = self.slots.len() - 1;
        let mut place = (hash as usize) & mask;
        loop {
            // Acquire: pairs with the writer's Release, so the entry is seen whole.
            let shared = self.slots[place].load(Acquire, guard);
            if shared.is_null() {
                return (place, shared);
            }
            // SAFETY: not null; the writer destroys an entry only after it left its slot and every guard
            // that could have seen it is gone, and `guard` is one.
            if shared.tag() == tag(hash) && unsafe { shared.deref() }.subscriber.number.as_bytes() == number {
                return (place, shared);
            }
            // There is always an empty slot: the table is at most half full.
            place = (place + 1) & mask;
        }
    }
}

fn tag(hash: u64) -> usize {
    (hash >> (u64::BITS - TAG_BITS)) as usize
}

const _: () = assert!(align_of::<Entry>() >= 1 << TAG_BITS);

impl Default for Table {
    fn default() -> Table {
        Table::with_capacity(0)
    }
}

impl Table {
    pub(super) fn with_capacity(entries: usize) -> Table {
        let count = (entries * 2 + 1).next_power_of_two().max(PLACES_MIN);
        Table {
            places: Atomic::new(Places::new(count)),
            len: AtomicUsize::new(0),
            used: AtomicUsize::new(0),
            // Keys in the table are subscribers' own: nobody outside can choose them.
            hash: RandomState::with_seeds(1, 2, 3, 4),
        }
    }

    pub(super) fn pin(&self) -> Pinned<'_> {
        Pinned { guard: pin(), table: self }
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.current(&pin()).slots.len()
    }

    fn current<'g>(&self, guard: &'g Guard) -> &'g Places {
        // SAFETY: never null, and destroyed only after it was replaced and every guard of then is gone.
        unsafe { self.places.load(Acquire, guard).deref() }
    }

    /// Puts an entry in. The one caller is the [`super::Writer`], of which there is one.
    pub(super) fn put(&self, entry: Entry) {
        let guard = pin();
        self.make_room(&guard);
        let hash = self.hash.hash_one(entry.subscriber.number.as_bytes());
        let places = self.current(&guard);
        let (place, old) = places.find(hash, entry.subscriber.number.as_bytes(), &guard);
        let is_gone = entry.is_gone;
        places.slots[place].store(Owned::new(entry).with_tag(tag(hash)), Release);
        if old.is_null() {
            self.used.store(self.used.load(Relaxed) + 1, Relaxed);
        }
        // SAFETY: not null where it is looked at, and alive as in `find`.
        let was_there = !old.is_null() && !unsafe { old.deref() }.is_gone;
        let len = self.len.load(Relaxed);
        self.len.store(len + usize::from(!is_gone) - usize::from(was_there), Relaxed);
        if !old.is_null() {
            // SAFETY: it has left its slot, so no guard from now on finds it, and this is the only writer.
            unsafe { guard.defer_destroy(old) };
        }
    }

    pub(super) fn remove(&self, number: &[u8]) -> bool {
        let there = self.pin().get(number).is_some();
        if there {
            self.put(Entry::gone(number));
        }
        there
    }

    /// Makes sure that one more entry leaves half of the table empty: else a new one takes its place, with
    /// room for what is there and half as much again, without the entries that are gone.
    fn make_room(&self, guard: &Guard) {
        let old = self.current(guard);
        if (self.used.load(Relaxed) + 1) * 2 <= old.slots.len() {
            return;
        }
        // At most two thirds of what it may hold: room to go on, and no more than twice the table before.
        let count = ((self.len() + 1) * 3).next_power_of_two().max(PLACES_MIN);
        let new = Places::new(count);
        let mut used = 0;
        for slot in &old.slots {
            let shared = slot.load(Relaxed, guard);
            if shared.is_null() {
                continue;
            }
            // SAFETY: alive as in `find`.
            let entry = unsafe { shared.deref() };
            if entry.is_gone {
                continue;
            }
            let number = entry.subscriber.number.as_bytes();
            let (place, _) = new.find(self.hash.hash_one(number), number, guard);
            new.slots[place].store(shared, Relaxed);
            used += 1;
        }
        self.used.store(used, Relaxed);
        let replaced = self.places.swap(Owned::new(new), AcqRel, guard);
        // Only now: whoever began to read before the swap may still find them in the old table.
        for slot in &old.slots {
            let shared = slot.load(Relaxed, guard);
            // SAFETY: alive as in `find`.
            if unsafe { shared.as_ref() }.is_some_and(|entry| entry.is_gone) {
                // SAFETY: it is not in the new table, and nothing leads to the old one any more but the
                // guards of those who found it before.
                unsafe { guard.defer_destroy(shared) };
            }
        }
        // SAFETY: replaced, and this is the only writer. Its entries that are there live on in the new one:
        // `Places` does not own them.
        unsafe { guard.defer_destroy(replaced) };
    }
}

impl Pinned<'_> {
    pub(super) fn get(&self, number: &[u8]) -> Option<&Entry> {
        let hash = self.table.hash.hash_one(number);
        let (_, shared) = self.table.current(&self.guard).find(hash, number, &self.guard);
        // SAFETY: alive as in `find`, for as long as this guard lives.
        unsafe { shared.as_ref() }.filter(|entry| !entry.is_gone)
    }

    pub(super) fn walk(&self, from: usize, limit: usize, see: &mut impl FnMut(&Entry)) -> Option<usize> {
        let slots = &self.table.current(&self.guard).slots;
        let end = from.saturating_add(limit).min(slots.len());
        for slot in slots.get(from..end).unwrap_or_default() {
            // SAFETY: alive as in `find`.
            let entry = unsafe { slot.load(Acquire, &self.guard).as_ref() };
            if let Some(entry) = entry.filter(|entry| !entry.is_gone) {
                see(entry);
            }
        }
        (end < slots.len()).then_some(end)
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // SAFETY: nobody else has the table, so nothing in it is read or written any more.
        unsafe {
            let guard = crossbeam_epoch::unprotected();
            let places = self.places.load(Relaxed, guard);
            for slot in &places.deref().slots {
                let shared = slot.load(Relaxed, guard);
                if !shared.is_null() {
                    drop(shared.into_owned());
                }
            }
            drop(places.into_owned());
        }
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({} entries)", self.len())
    }
}
