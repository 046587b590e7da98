//! The store's keeper: the one thread that changes the store and the directory.
//!
//! It takes the shards' letters and the services' requests in the order in which they come, applies what has
//! come by now, makes all of it durable in one commit, puts it into the directory, and then answers. While a
//! commit lasts the next batch gathers.

mod batch;
mod job;
mod status;
mod worker;

pub use status::{Figures, Health};

use super::{Change, Record, Store, StoreError};
use crate::directory::{Directory, Entry, Subscriber, Writer};
use crate::net::post::Post;
use crate::net::tray::Tray;
use crate::registrar::Limits;
use crate::service;
use crate::settings::Settings;
use status::Status;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Release;
use std::thread::{Builder, JoinHandle};
use std::time::Instant;
use worker::{Clock, Worker};

/// Requests that may wait for the keeper.
const REQUESTS_MAX: usize = 1_024;

/// Other nodes' changes that may wait for the keeper; more are found when everything is looked through.
const CHANGES_MAX: usize = 65_536;

/// What a service asks the keeper for.
pub enum Request {
    /// Write a subscriber. Its bindings stay.
    Put { subscriber: Subscriber, expected: Expected },
    /// Change a subscriber's settings. `edit` may be called several times, each time with the subscriber as
    /// it is then; its number does not change.
    Change { number: Box<str>, edit: Box<dyn Fn(&mut Subscriber) + Send> },
    /// Take a subscriber away, with its bindings.
    Remove { number: Box<str> },
    /// Take bindings away: those with this URI, or all.
    Unbind { number: Box<str>, uri: Option<Box<str>> },
}

/// What must hold for [`Request::Put`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing: it is added or replaced.
    Anything,
    /// Nobody has the number.
    Absent,
    /// Somebody has the number.
    Present,
    /// The number's entry has this revision.
    Revision(u64),
}

/// What came of a request; `Ok` once the change is durable and the directory shows it.
pub type Outcome = Result<Done, Refused>;

/// A change that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// The number was nobody's before.
    pub is_new: bool,
    /// The entry's new revision; 0: it was removed.
    pub revision: u64,
    /// Bindings that were taken away.
    pub unbound: usize,
}

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Nobody has the number.
    NoSubscriber,
    /// [`Expected::Absent`], but somebody has the number.
    Exists,
    /// [`Expected::Revision`], but it is another one by now.
    Changed { revision: u64 },
    /// The number is set in the configuration: only its bindings can be changed.
    Configured,
    /// The subscriber makes no sense: a text for people that names the field.
    Invalid(String),
    /// The store cannot make it durable now, or too many requests wait.
    Unavailable,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::NoSubscriber => f.write_str("nobody has this number"),
            Refused::Exists => f.write_str("somebody has this number already"),
            Refused::Changed { revision } => {
                write!(f, "it was changed meanwhile; its revision is {revision}")
            }
            Refused::Configured => {
                f.write_str("it is set in the configuration; change it there and start again")
            }
            Refused::Invalid(reason) => f.write_str(reason),
            Refused::Unavailable => f.write_str("the store cannot be written to now; try again later"),
        }
    }
}

/// Called once, by the keeper's thread, so it must not block: it sends the outcome on (a `mpsc` or `oneshot`
/// sender).
pub type Reply = Box<dyn FnOnce(Outcome) + Send>;

/// A request on its way to the keeper.
pub struct Asked {
    request: Request,
    reply: Reply,
}

/// What services hold of the keeper; cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    requests: Arc<Tray<Asked>>,
    directory: Arc<Directory>,
    status: Arc<Status>,
}

impl Handle {
    /// Asks for a change; `reply` gets what came of it, at once when the keeper cannot take the request.
    pub fn ask(&self, request: Request, reply: Reply) {
        if let Err(asked) = self.requests.put(Asked { request, reply }) {
            (asked.reply)(Err(Refused::Unavailable));
        }
    }

    /// The same, waiting for the outcome: not for a shard or an async task.
    pub fn ask_and_wait(&self, request: Request) -> Outcome {
        let (sender, receiver) = std::sync::mpsc::channel();
        // Nobody listens any more only when this thread is gone.
        let reply = move |outcome| drop(sender.send(outcome));
        self.ask(request, Box::new(reply));
        receiver.recv().unwrap_or(Err(Refused::Unavailable))
    }

    /// Whether the store takes writes now.
    #[must_use]
    pub fn health(&self) -> Health {
        self.status.health()
    }

    /// What the keeper counted since it was started.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.status.figures()
    }

    /// What is known now, for reading.
    #[must_use]
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }
}

/// What changes are checked by.
#[derive(Clone, Debug)]
pub struct Rules {
    pub registration: Limits,
    pub forwarding: Arc<service::Settings>,
}

impl Rules {
    /// Those of a server.
    #[must_use]
    pub fn of(settings: &Settings) -> Rules {
        Rules { registration: Limits::of(settings), forwarding: Arc::new(settings.forwarding.clone()) }
    }
}

/// What was read at the start.
#[derive(Debug)]
pub struct Loaded {
    /// The directory's writer, with everything in it.
    pub writer: Writer,
    /// Subscribers in the store.
    pub stored: usize,
    /// Bindings in the store, of whomever.
    pub bindings: usize,
    /// Numbers that are in the store and in the configuration: the configuration has the word.
    pub shadowed: Vec<Box<str>>,
}

/// Reads a store into a directory, on top of the subscribers that the configuration names.
///
/// # Errors
/// The store cannot be read, or something in it makes no sense.
pub fn load(store: &mut dyn Store, configured: Vec<Subscriber>) -> Result<Loaded, StoreError> {
    let writer = Writer::with_capacity(configured.len());
    let directory = writer.directory();
    let mut loaded = Loaded { writer, stored: 0, bindings: 0, shadowed: Vec::new() };
    for subscriber in configured {
        let mut entry = Entry::from(subscriber);
        entry.is_configured = true;
        loaded.writer.put(entry);
    }
    store.load(&mut |record| {
        let number = record.number.clone();
        // The view must be gone before the directory is written to.
        let (configured, is_new) = {
            let view = directory.read();
            let known = view.get(number.as_bytes());
            let configured = known.filter(|entry| entry.is_configured);
            // A store that changes while it is read may name a number twice.
            let is_new = known.is_none_or(|known| known.is_configured && known.revision == 0);
            (configured.map(|entry| entry.subscriber.clone()), is_new)
        };
        if is_new {
            loaded.stored += usize::from(record.subscriber.is_some());
            loaded.bindings += record.bindings.len();
            if configured.is_some() && record.subscriber.is_some() {
                loaded.shadowed.push(number.clone());
            }
        }
        if let Some(entry) = entry(&number, Some(record), configured) {
            loaded.writer.put(entry);
        }
    })?;
    Ok(loaded)
}

/// The directory's entry of what the store and the configuration have of a number.
fn entry(number: &str, record: Option<Record>, configured: Option<Subscriber>) -> Option<Entry> {
    let is_configured = configured.is_some();
    let none = || Record { number: number.into(), subscriber: None, bindings: Box::default(), revision: 0 };
    let record = record.unwrap_or_else(none);
    let mut entry = Entry::from(configured.or(record.subscriber)?);
    (entry.bindings, entry.revision, entry.is_configured) = (record.bindings, record.revision, is_configured);
    Some(entry)
}

/// The keeper while it works. Dropped, it ends without being waited for.
#[derive(Debug)]
pub struct Keeper {
    handle: Handle,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts the thread. From now on the shards' letters are taken from `post`, and answers go there.
    ///
    /// # Errors
    /// No thread can be started, or other nodes' changes cannot be watched.
    pub fn start(
        mut store: Box<dyn Store>,
        writer: Writer,
        post: Arc<Post>,
        rules: Rules,
    ) -> Result<Keeper, StoreError> {
        let changes: Arc<Tray<Change>> = Arc::new(Tray::new(CHANGES_MAX));
        let handle = Handle {
            requests: Arc::new(Tray::new(REQUESTS_MAX)),
            directory: writer.directory(),
            status: Arc::default(),
        };
        let heard = Arc::clone(&changes);
        heard.open();
        store.watch(writer.directory(), Arc::new(move |change| drop(heard.put(change))))?;
        handle.requests.open();
        post.letters.open();
        let worker = Worker {
            store,
            directory: writer.directory(),
            writer,
            post,
            requests: Arc::clone(&handle.requests),
            changes,
            status: Arc::clone(&handle.status),
            rules,
            clock: Clock::start(),
            again: Vec::new(),
            unreadable: HashSet::new(),
            missed: Vec::new(),
            swept_to: 0,
            ticked_at: Instant::now(),
        };
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = Builder::new().name("keeper".to_owned()).spawn(move || worker.run(&stopped));
        let thread = thread
            .map_err(|error| StoreError(format!("no thread can be started ({error}); raise `ulimit -u`")))?;
        Ok(Keeper { handle, stop, thread: Some(thread) })
    }

    /// What services hold of it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Asks it to end once everything that waits is durable, and does not wait for that.
    pub fn end(&self) {
        self.stop.store(true, Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends the keeper once everything that waits is durable.
    pub fn stop(mut self) {
        self.end();
        if let Some(thread) = self.thread.take() {
            // A keeper that panicked has said so, and has refused what waited.
            let _ = thread.join();
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.end();
    }
}
