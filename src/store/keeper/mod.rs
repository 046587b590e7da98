//! The store's keeper: the one thread that changes the store and the directory.
//!
//! It takes the shards' letters and the services' requests in the order in which they come, applies what has
//! come by now, makes all of it durable in one commit, puts it into the directory, and then answers. While a
//! commit lasts the next batch gathers.

mod status;

pub use status::{Figures, Health};

use crate::directory::{Directory, Subscriber};
use crate::net::tray::Tray;
use status::Status;
use std::fmt;
use std::sync::Arc;

/// Requests that may wait for the keeper.
const REQUESTS_MAX: usize = 1_024;

/// What a service asks the keeper for.
pub enum Request {
    /// Write a subscriber. Its bindings stay.
    Put { subscriber: Subscriber, expected: Expected },
    /// Change a subscriber's settings. `edit` may be called several times, each time with the subscriber as it
    /// is then; the number it has does not change.
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
    #[must_use]
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
