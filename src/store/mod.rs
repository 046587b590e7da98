//! Where subscribers and bindings are kept: what survives an end, however it comes.
//!
//! A [`Store`] is a map from a number to what is kept of it, in memory, in a file (redb) or on a server
//! (Redis, Valkey). One thread uses it, the [`keeper`]'s; shards read the [`crate::directory`], never this.
//! [`document`] says what the values look like.

pub mod document;
pub mod keeper;
pub mod lines;
mod memory;
mod redb;
mod redis;

pub use self::redb::Redb;
pub use self::redis::Redis;
pub use memory::Memory;

use crate::directory::{Binding, Directory, Subscriber};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The version of what is stored; a store with a higher one is refused.
pub const FORMAT: u32 = 1;

/// Where to keep things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: gone with the process.
    Memory,
    /// In a file of this directory, which is made when it is missing.
    Directory(PathBuf),
    /// On a Redis or Valkey server; the URL.
    Redis(String),
}

/// What a store needs to know of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub place: Place,
    /// How long one answer of a server may take.
    pub timeout: Duration,
    /// Bytes of the file that are kept in memory.
    pub cache_bytes: usize,
    /// What the subscribers' passwords are hashed with; a store has one.
    pub realm: String,
    /// The server's listeners: bindings are stored with the address of theirs.
    pub listeners: Vec<SocketAddr>,
}

/// What is kept of one number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub number: Box<str>,
    /// `None`: the number is in the configuration, and only its bindings are here.
    pub subscriber: Option<Subscriber>,
    pub bindings: Box<[Binding]>,
    /// Grows with each change of the number.
    pub revision: u64,
}

/// What to do with one part of a number's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<T> {
    Keep,
    Put(T),
    Remove,
}

/// A change of one number.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    pub number: &'a str,
    /// The revision that the change was made from, 0 for a number that was not there; `None`: whatever there
    /// is. Only a store that several nodes write to looks at it.
    pub based_on: Option<u64>,
    /// The number's revision from now on, higher than any before.
    pub revision: u64,
    pub subscriber: Part<&'a Subscriber>,
    pub bindings: Part<&'a [Binding]>,
}

/// What came of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Done,
    /// Another node changed the number first; nothing was written.
    Conflict,
}

/// A map from numbers to records. What it is asked for it does before it returns.
pub trait Store: Send {
    /// Every record, in any order.
    ///
    /// # Errors
    /// The store cannot be read, or something in it makes no sense.
    fn load(&mut self, see: &mut dyn FnMut(Record)) -> Result<(), StoreError>;

    /// The records of these numbers as they are now, in their order. One that makes no sense is an error of
    /// its own, which says nothing of the others.
    ///
    /// # Errors
    /// The store cannot be read.
    fn read(&mut self, numbers: &[&str]) -> Result<Vec<Found>, StoreError>;

    /// Makes writes durable; each number stands in them once. On success every write has its verdict, in the
    /// writes' order. On an error what became of them is not known, but each was made whole or not at all.
    ///
    /// # Errors
    /// The store cannot be written to now. It may be tried again.
    fn commit(&mut self, writes: &[Write<'_>]) -> Result<Vec<Verdict>, StoreError>;

    /// Tries to get a store that failed to work again: after an error it is `Ok` once a write has shown that
    /// the store takes writes. Returns at once when it was tried a moment ago.
    ///
    /// # Errors
    /// It still does not; the reason stays the same until it is tried again.
    fn recover(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Says that a store which was opened to be filled ([`open_to_copy`]) has everything now.
    ///
    /// # Errors
    /// It cannot be written to.
    fn complete(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// From now on tells `watcher` of the numbers that other nodes may have changed: those whose revision is
    /// not the directory's. A store that nobody else writes to has nothing to tell.
    ///
    /// # Errors
    /// No thread can be started.
    fn watch(&mut self, _directory: Arc<Directory>, _watcher: Watcher) -> Result<(), StoreError> {
        Ok(())
    }
}

/// What a store has of a number: nothing, a record, or one that makes no sense.
pub type Found = Result<Option<Record>, StoreError>;

/// Told of numbers that another node may have changed.
pub type Watcher = Arc<dyn Fn(Change) + Send + Sync>;

/// Another node changed a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub number: Box<str>,
    /// Its revision now; 0: it was removed.
    pub revision: u64,
}

/// Why a store cannot do what it should: one line for the operator, with the cure where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError(pub String);

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StoreError {}

/// Opens the store that the configuration names.
///
/// # Errors
/// It is locked, damaged, of another realm or version, or cannot be reached.
pub fn open(settings: &Settings) -> Result<Box<dyn Store>, StoreError> {
    Ok(match &settings.place {
        Place::Memory => Box::<Memory>::default(),
        Place::Directory(directory) => Box::new(Redb::open(directory, settings)?),
        Place::Redis(url) => Box::new(Redis::open(url, settings)?),
    })
}

/// Opens it for `ringway dump` and `ringway load`. On a server that has lost everything nothing says that it
/// is a store before [`Store::complete`], so the nodes that run on it go on with what they know until then.
///
/// # Errors
/// As [`open`].
pub fn open_to_copy(settings: &Settings) -> Result<Box<dyn Store>, StoreError> {
    match &settings.place {
        Place::Redis(url) => Ok(Box::new(Redis::open_to_copy(url, settings)?)),
        Place::Memory | Place::Directory(_) => open(settings),
    }
}
