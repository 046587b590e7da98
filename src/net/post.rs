//! The post between shards and services: letters go to the service that reads them, mail to a shard.

use super::inbox::Inbox;
use super::tray::Tray;
use crate::mail::{EndedLeg, EngineFailed, Letter, Mail};
use crate::registrar::Refusal;
use crate::service::change::NotSet;
use crossbeam::atomic::AtomicCell;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// Letters that may wait for the store: half a second of 30,000 registrations a second.
pub const LETTERS_MAX: usize = 16_384;

/// Answers that may wait for the API: each is one that it asked for.
pub const ANSWERS_MAX: usize = 1_024;

/// Records of legs that may wait to be written: a second of 30,000 calls a second.
pub const RECORDS_MAX: usize = 65_536;

/// Descriptions that may wait for the media engines' client: a second of 8,000 calls a second.
pub const DESCRIPTIONS_MAX: usize = 16_384;

/// How long a shard that ends waits for room for its last records.
const LAST_RECORDS_TIMEOUT: Duration = Duration::from_secs(10);

/// A letter and the shard that posted it.
#[derive(Debug)]
pub struct Envelope {
    pub shard: u16,
    pub letter: Letter,
}

/// What the writer of the call detail records reads, and what has become of them.
#[derive(Debug)]
pub struct Records {
    pub tray: Tray<Box<EndedLeg>>,
    written: AtomicU64,
    lost: AtomicU64,
    errors: AtomicU64,
}

impl Records {
    fn new() -> Records {
        let zero = || AtomicU64::new(0);
        Records { tray: Tray::new(RECORDS_MAX), written: zero(), lost: zero(), errors: zero() }
    }

    /// Records that are in a file.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Records that there was no room for, here or on the disk.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// Times that a file could not be written or turned over.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors.load(Relaxed)
    }

    pub fn count_written(&self, count: usize) {
        self.written.fetch_add(count as u64, Relaxed);
    }

    pub fn count_lost(&self, count: usize) {
        self.lost.fetch_add(count as u64, Relaxed);
    }

    pub fn count_errors(&self, count: usize) {
        self.errors.fetch_add(count as u64, Relaxed);
    }
}

/// What the media engines' client reads, and how it fares.
#[derive(Debug)]
pub struct Engines {
    pub tray: Tray<Envelope>,
    tally: AtomicCell<EngineTally>,
}

/// What has become of what media engines were asked; pings are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineTally {
    pub nodes: u64,
    pub nodes_up: u64,
    pub requests: u64,
    /// Times that a request was sent once more.
    pub retransmissions: u64,
    /// Times that a node did not answer a request.
    pub timeouts: u64,
    /// Requests that a node had no use for.
    pub refused: u64,
    /// Offers that another node got than the one that was meant first.
    pub moved: u64,
}

impl Engines {
    /// Figures as they stood a moment ago.
    #[must_use]
    pub fn tally(&self) -> EngineTally {
        self.tally.load()
    }

    pub fn publish(&self, tally: EngineTally) {
        self.tally.store(tally);
    }
}

/// Shared by the shards and the services. Nothing waits: what there is no room for comes back at once.
#[derive(Debug)]
pub struct Post {
    /// What the store's keeper reads.
    pub letters: Tray<Envelope>,
    /// What the API asked the shards for.
    pub answers: Tray<Envelope>,
    /// Legs that have ended.
    pub records: Records,
    /// Descriptions of media for the engines.
    pub engines: Engines,
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
            records: Records::new(),
            engines: Engines { tray: Tray::new(DESCRIPTIONS_MAX), tally: AtomicCell::default() },
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
            Letter::Ended(record) => {
                return self.records.tray.put(record).map_err(|_| {
                    self.records.count_lost(1);
                    None
                });
            }
            Letter::Register { .. } | Letter::Forwarding { .. } => {
                self.letters.put(Envelope { shard, letter })
            }
            Letter::Calls { .. } | Letter::Call { .. } | Letter::HungUp { .. } => {
                self.answers.put(Envelope { shard, letter })
            }
            Letter::Engine { .. } | Letter::EngineOver { .. } => {
                self.engines.tray.put(Envelope { shard, letter })
            }
        };
        sent.map_err(|envelope| refusal(&envelope.letter))
    }

    /// The same for the last letters of a shard that ends: where records wait for room, so does it.
    pub fn post_last(&self, shard: u16, letters: impl Iterator<Item = Letter>) {
        let until = Instant::now() + LAST_RECORDS_TIMEOUT;
        for letter in letters {
            let Letter::Ended(mut record) = letter else {
                // Whoever asked is told by its own timer that the shard is gone.
                let _ = self.post(shard, letter);
                continue;
            };
            while let Err(back) = self.records.tray.put(record) {
                if Instant::now() >= until {
                    self.records.count_lost(1);
                    break;
                }
                record = back;
                thread::sleep(Duration::from_millis(1));
            }
        }
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
        Letter::Engine { ticket, .. } => {
            Some(Mail::Engine { ticket, outcome: Err(EngineFailed::Unavailable) })
        }
        // The shard has no use for an answer to its answer, and a session that nobody uses ends by itself.
        Letter::Ended(_)
        | Letter::Calls { .. }
        | Letter::Call { .. }
        | Letter::HungUp { .. }
        | Letter::EngineOver { .. } => None,
    }
}
