//! A store that is gone with the process: for the lab, and for tests.

use super::{Found, Part, Record, Store, StoreError, Verdict, Write};
use std::collections::BTreeMap;

/// Records in memory.
///
/// The keeper's directory holds the same once more; whoever has many subscribers has a store on disk.
#[derive(Debug, Default)]
pub struct Memory {
    records: BTreeMap<Box<str>, Record>,
}

impl Store for Memory {
    fn load(&mut self, see: &mut dyn FnMut(Record)) -> Result<(), StoreError> {
        self.records.values().cloned().for_each(see);
        Ok(())
    }

    fn read(&mut self, numbers: &[&str]) -> Result<Vec<Found>, StoreError> {
        Ok(numbers.iter().map(|number| Ok(self.records.get(*number).cloned())).collect())
    }

    fn commit(&mut self, writes: &[Write<'_>]) -> Result<Vec<Verdict>, StoreError> {
        for write in writes {
            let record = self.records.entry(write.number.into()).or_insert_with(|| Record {
                number: write.number.into(),
                subscriber: None,
                bindings: Box::default(),
                revision: 0,
            });
            record.revision = write.revision;
            match write.subscriber {
                Part::Keep => {}
                Part::Put(subscriber) => record.subscriber = Some(subscriber.clone()),
                Part::Remove => record.subscriber = None,
            }
            match write.bindings {
                Part::Keep => {}
                Part::Put(bindings) => record.bindings = bindings.into(),
                Part::Remove => record.bindings = Box::default(),
            }
            if record.subscriber.is_none() && record.bindings.is_empty() {
                self.records.remove(write.number);
            }
        }
        Ok(vec![Verdict::Done; writes.len()])
    }
}
