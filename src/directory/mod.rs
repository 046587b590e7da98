//! Everything that is known of the numbers we serve: subscribers, what they have set, where they are.
//!
//! One writer, the store's keeper, changes it; any number of shards read it meanwhile without a lock and
//! without waiting. A reader sees a record whole, as it was before a change or after it.

mod destination;
mod entry;
mod forwarding;
mod table;

pub use destination::Destination;
pub use entry::{Binding, Credentials, Entry, Extras, Location, Q_MAX, StaticContact, Subscriber};
pub use forwarding::{Condition, Forwarding, HistoryForm, Rule};

use std::sync::Arc;
use table::Table;

/// What shards read.
#[derive(Debug, Default)]
pub struct Directory {
    table: Table,
}

/// The right to change a directory; there is one for each.
#[derive(Debug, Default)]
pub struct Writer {
    directory: Arc<Directory>,
}

/// A directory while it is read. It keeps what it has shown from being freed, so it is not held for long.
pub struct View<'d> {
    pinned: table::Pinned<'d>,
}

impl Directory {
    /// A directory of these entries that nothing will change.
    #[must_use]
    pub fn of(entries: impl IntoIterator<Item = impl Into<Entry>>) -> Arc<Directory> {
        let mut writer = Writer::default();
        for entry in entries {
            writer.put(entry.into());
        }
        writer.directory
    }

    /// Begins to read.
    #[must_use]
    pub fn read(&self) -> View<'_> {
        View { pinned: self.table.pin() }
    }

    /// How many subscribers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl View<'_> {
    /// The entry of a number, as it is written in the address-of-record with its escapes decoded.
    #[must_use]
    pub fn get(&self, number: &[u8]) -> Option<&Entry> {
        self.pinned.get(number)
    }

    /// Entries from a place on, at most `limit` places, and the place to go on from; `None`: that was all.
    /// Entries that are added meanwhile may be missed or, while the directory grows, seen twice.
    pub fn walk(&self, from: usize, limit: usize, mut see: impl FnMut(&Entry)) -> Option<usize> {
        self.pinned.walk(from, limit, &mut see)
    }
}

impl Writer {
    /// Room for so many entries is made at once.
    #[must_use]
    pub fn with_capacity(entries: usize) -> Writer {
        Writer { directory: Arc::new(Directory { table: Table::with_capacity(entries) }) }
    }

    /// The directory that this writes to.
    #[must_use]
    pub fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.directory)
    }

    /// Adds an entry, or puts it in the place of the one with its number.
    pub fn put(&mut self, entry: Entry) {
        self.directory.table.put(entry);
    }

    /// Takes a number's entry away. Returns whether there was one.
    pub fn remove(&mut self, number: &[u8]) -> bool {
        self.directory.table.remove(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn entry(number: usize, revision: u64) -> Entry {
        let mut entry = Entry::from(Subscriber::new(&number.to_string()));
        entry.subscriber.forwarding.forward(Condition::NoAnswer, &revision.to_string());
        entry.revision = revision;
        entry
    }

    #[test]
    fn what_was_put_is_found_until_it_is_removed() {
        let mut writer = Writer::default();
        let directory = writer.directory();
        for number in 0..10_000 {
            writer.put(entry(number, 1));
        }
        assert_eq!(directory.len(), 10_000);
        for number in (0..10_000).step_by(3) {
            writer.put(entry(number, 2));
        }
        for number in (0..10_000).step_by(2) {
            assert!(writer.remove(number.to_string().as_bytes()));
            assert!(!writer.remove(number.to_string().as_bytes()));
        }
        assert_eq!(directory.len(), 5_000);
        let view = directory.read();
        for number in 0..10_000usize {
            let found = view.get(number.to_string().as_bytes());
            let expected = (number % 2 == 1).then_some(if number % 3 == 0 { 2 } else { 1 });
            assert_eq!(found.map(|entry| entry.revision), expected, "{number}");
        }
        let mut seen = Vec::new();
        let mut from = Some(0);
        while let Some(place) = from {
            from = view.walk(place, 100, |entry| seen.push(entry.subscriber.number.to_string()));
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 5_000);
    }

    #[test]
    fn numbers_that_come_and_go_do_not_fill_the_table() {
        let mut writer = Writer::default();
        for number in 0..50_000 {
            writer.put(entry(number, 1));
            assert!(writer.remove(number.to_string().as_bytes()));
        }
        assert_eq!(writer.directory().len(), 0);
        assert!(writer.directory().table.places() <= 256, "{}", writer.directory().table.places());
    }

    #[test]
    fn readers_see_whole_entries_while_they_change_and_the_table_grows() {
        let mut writer = Writer::default();
        let directory = writer.directory();
        writer.put(entry(7, 0));
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut last = 0;
                    while !over.load(Ordering::Relaxed) {
                        let view = directory.read();
                        let entry = view.get(b"7").unwrap();
                        assert_eq!(
                            entry.subscriber.forwarding.target(Condition::NoAnswer).unwrap(),
                            entry.revision.to_string()
                        );
                        assert!(entry.revision >= last);
                        last = entry.revision;
                        let mut from = Some(0);
                        while let Some(place) = from {
                            from = view.walk(place, 1_000, |entry| {
                                assert!(
                                    !entry.subscriber.forwarding.is_empty(),
                                    "an entry that is gone was shown"
                                );
                            });
                        }
                    }
                });
            }
            for revision in 1..20_000 {
                writer.put(entry(7, revision));
                writer.put(entry(10_000 + revision as usize, revision));
                if revision % 3 > 0 {
                    writer.remove((10_000 + revision).to_string().as_bytes());
                }
            }
            over.store(true, Ordering::Relaxed);
        });
    }
}
