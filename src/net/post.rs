//! The post between shards and services: letters go to the service that reads them, mail to a shard.

use super::inbox::Inbox;
use super::tray::Tray;
use crate::mail::{Letter, Mail};
use crate::registrar::Refusal;
use crate::service::change::NotSet;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};

/// Letters that may wait for the store: half a second of 30,000 registrations a second.
pub const LETTERS_MAX: usize = 16_384;

/// Answers that may wait for the API: each is one that it asked for.
pub const ANSWERS_MAX: usize = 1_024;

/// A letter and the shard that posted it.
#[derive(Debug)]
pub struct Envelope {
    pub shard: u16,
    pub letter: Letter,
}

/// Shared by the shards and the services. Nothing waits: what there is no room for comes back at once.
#[derive(Debug)]
pub struct Post {
    /// What the store's keeper reads.
    pub letters: Tray<Envelope>,
    /// What the API asked the shards for.
    pub answers: Tray<Envelope>,
    /// The shards', once the server has started.
    inboxes: OnceLock<Arc<[Inbox]>>,
    undelivered: AtomicU64,
}

impl Default for Post {
    /// A post whose letters nobody reads yet: they come back.
    fn default() -> Post {
        Post {
            letters: Tray::new(LETTERS_MAX),
            answers: Tray::new(ANSWERS_MAX),
            inboxes: OnceLock::new(),
            undelivered: AtomicU64::new(0),
        }
    }
}

impl Post {
    /// Puts a shard's letter before the service that reads it.
    ///
    /// # Errors
    /// Nobody reads it, or too many wait: the answer to give instead, where the letter wants one.
    pub fn post(&self, shard: u16, letter: Letter) -> Result<(), Option<Mail>> {
        let sent = match letter {
            Letter::Register { .. } | Letter::Forwarding { .. } => {
                self.letters.put(Envelope { shard, letter })
            }
            Letter::Ended(_) => Ok(()),
            Letter::Calls { .. } | Letter::Call { .. } | Letter::HungUp { .. } => {
                self.answers.put(Envelope { shard, letter })
            }
        };
        sent.map_err(|envelope| refusal(&envelope.letter))
    }

    /// Brings mail to a shard and wakes it. Mail that there is no room for is dropped and counted: whoever
    /// waits for an answer waits no longer than its own timer.
    pub fn deliver(&self, shard: u16, mail: Mail) {
        let inbox = self.inboxes.get().and_then(|inboxes| inboxes.get(usize::from(shard)));
        if !inbox.is_some_and(|inbox| inbox.push_mail(mail)) {
            self.undelivered.fetch_add(1, Relaxed);
        }
    }

    /// How many shards there are; 0 before the server has started.
    #[must_use]
    pub fn shards(&self) -> u16 {
        self.inboxes.get().map_or(0, |inboxes| inboxes.len() as u16)
    }

    /// Mail that was dropped.
    #[must_use]
    pub fn undelivered(&self) -> u64 {
        self.undelivered.load(Relaxed)
    }

    /// From now on mail reaches these. A second server on the same post would get none.
    pub(super) fn connect(&self, inboxes: Arc<[Inbox]>) {
        // A post serves one server; its mail is for that one.
        let _ = self.inboxes.set(inboxes);
    }
}

/// What a shard is told at once when its letter cannot be taken.
fn refusal(letter: &Letter) -> Option<Mail> {
    match *letter {
        Letter::Register { ticket, .. } => {
            Some(Mail::Registered { ticket, outcome: Err(Refusal::Unavailable) })
        }
        Letter::Forwarding { ticket, .. } => {
            Some(Mail::Forwarding { ticket, outcome: Err(NotSet::Unavailable) })
        }
        // The shard has no use for an answer to its answer.
        Letter::Ended(_) | Letter::Calls { .. } | Letter::Call { .. } | Letter::HungUp { .. } => None,
    }
}
