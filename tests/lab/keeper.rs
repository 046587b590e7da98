//! The store's keeper as the laboratory has it: it answers each letter before anything else happens, unless
//! the test holds it back or has it refuse.

use ringway::clock::UnixSeconds;
use ringway::directory::{Binding, Directory, Entry, Forwarding, Writer};
use ringway::mail::{Letter, Mail};
use ringway::registrar::{Change, Limits, Refusal, apply};
use ringway::service;
use ringway::service::change::{self, Change as ForwardingChange, NotSet};
use ringway::settings::Settings;
use std::sync::Arc;

/// What the keeper does with letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Answers at once.
    Works,
    /// Lays letters aside.
    Holds,
    /// Refuses every change of bindings.
    Refuses(Refusal),
    /// Cannot keep anything.
    Fails,
}

pub struct Keeper {
    writer: Writer,
    limits: Limits,
    settings: service::Settings,
    pub mood: Mood,
    /// Letters laid aside, each with the shard that wrote it.
    pub held: Vec<(usize, Letter)>,
}

impl Keeper {
    pub fn new(entries: Vec<Entry>, settings: &Settings) -> Keeper {
        let mut writer = Writer::default();
        entries.into_iter().for_each(|entry| writer.put(entry));
        let (limits, settings) = (Limits::of(settings), settings.forwarding.clone());
        Keeper { writer, limits, settings, mood: Mood::Works, held: Vec::new() }
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
            Mood::Refuses(refusal) => match letter {
                Letter::Register { ticket, .. } => Some(Mail::Registered { ticket, outcome: Err(refusal) }),
                letter => self.answer(letter, now),
            },
            Mood::Fails => match letter {
                Letter::Register { ticket, .. } => {
                    Some(Mail::Registered { ticket, outcome: Err(Refusal::Unavailable) })
                }
                Letter::Forwarding { ticket, .. } => {
                    Some(Mail::Forwarding { ticket, outcome: Err(NotSet::Unavailable) })
                }
                _ => None,
            },
        }
    }

    /// Does what a letter asks for; those that are not for the store go unanswered.
    pub fn answer(&mut self, letter: Letter, now: UnixSeconds) -> Option<Mail> {
        match letter {
            Letter::Register { ticket, number, change } => {
                Some(Mail::Registered { ticket, outcome: self.change(&number, &change, now) })
            }
            Letter::Forwarding { ticket, number, change } => {
                Some(Mail::Forwarding { ticket, outcome: self.forward(&number, &change) })
            }
            _ => None,
        }
    }

    fn forward(&mut self, number: &str, change: &ForwardingChange) -> Result<(), NotSet> {
        let mut entry = self.entry(number).ok_or(NotSet::NoSubscriber)?;
        if entry.is_configured {
            return Err(NotSet::Configured);
        }
        let known = |number: &str| self.forwarding(number);
        change::apply(&self.settings, &mut entry.subscriber, change, &known)?;
        self.writer.put(entry);
        Ok(())
    }

    /// What a number has set; `None`: nobody has it.
    pub fn forwarding(&self, number: &str) -> Option<Forwarding> {
        self.entry(number).map(|entry| entry.subscriber.forwarding)
    }

    /// Puts an entry in the place of the one with its number.
    pub fn put(&mut self, entry: impl Into<Entry>) {
        self.writer.put(entry.into());
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

    pub fn entry(&self, number: &str) -> Option<Entry> {
        self.writer.directory().read().get(number.as_bytes()).cloned()
    }
}
