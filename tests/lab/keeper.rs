//! The store's keeper as the laboratory has it: it answers each letter before anything else happens, unless
//! the test holds it back or has it refuse.

use ringway::clock::UnixSeconds;
use ringway::directory::{Binding, Directory, Entry, Writer};
use ringway::mail::{Letter, Mail};
use ringway::registrar::{Change, Limits, Refusal, apply};
use std::sync::Arc;

/// What the keeper does with letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Answers at once.
    Works,
    /// Lays letters aside.
    Holds,
    /// Refuses every change.
    Refuses(Refusal),
}

pub struct Keeper {
    writer: Writer,
    limits: Limits,
    pub mood: Mood,
    /// Letters laid aside, each with the shard that wrote it.
    pub held: Vec<(usize, Letter)>,
}

impl Keeper {
    pub fn new(entries: Vec<Entry>, limits: Limits) -> Keeper {
        let mut writer = Writer::default();
        entries.into_iter().for_each(|entry| writer.put(entry));
        Keeper { writer, limits, mood: Mood::Works, held: Vec::new() }
    }

    pub fn directory(&self) -> Arc<Directory> {
        self.writer.directory()
    }

    /// Takes a shard's letter; what comes is to go back to it now.
    pub fn receive(&mut self, shard: usize, letter: Letter, now: UnixSeconds) -> Option<Mail> {
        match self.mood {
            Mood::Works => self.answer(letter, now),
            Mood::Holds => {
                self.held.push((shard, letter));
                None
            }
            Mood::Refuses(refusal) => {
                let Letter::Register { ticket, .. } = letter else { return None };
                Some(Mail::Registered { ticket, outcome: Err(refusal) })
            }
        }
    }

    /// Does what a letter asks for; those that are not for the store go unanswered.
    pub fn answer(&mut self, letter: Letter, now: UnixSeconds) -> Option<Mail> {
        let Letter::Register { ticket, number, change } = letter else { return None };
        Some(Mail::Registered { ticket, outcome: self.change(&number, &change, now) })
    }

    fn change(&mut self, number: &str, change: &Change, now: UnixSeconds) -> Result<(), Refusal> {
        let mut entry = self.entry(number).ok_or(Refusal::NoSubscriber)?;
        entry.bindings = apply(&entry.bindings, change, self.limits, now)?;
        self.writer.put(entry);
        Ok(())
    }

    /// A number's bindings, expired ones too.
    pub fn bindings(&self, number: &str) -> Vec<Binding> {
        self.entry(number).map_or(Vec::new(), |entry| entry.bindings.to_vec())
    }

    /// Takes a subscriber away.
    pub fn remove(&mut self, number: &str) {
        assert!(self.writer.remove(number.as_bytes()), "{number} is there");
    }

    fn entry(&self, number: &str) -> Option<Entry> {
        self.writer.directory().read().get(number.as_bytes()).cloned()
    }
}
