//! What the keeper tells of itself: whether the store takes writes, and what it counted.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};

/// Whether the store takes writes now, and why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    Up,
    /// One line for the operator.
    Down(String),
}

macro_rules! figures {
    ($($(#[doc = $doc:literal])* $name:ident;)*) => {
        /// What the keeper counted since it was started.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Figures { $($(#[doc = $doc])* pub $name: u64,)* }

        impl Figures {
            /// The counters' names, in the order of [`Figures::values`].
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),*];

            /// What each of them counts, in one line that begins with a blank.
            pub const HELP: &'static [&'static str] = &[$(concat!($($doc),*)),*];

            /// How many counters there are.
            pub const COUNT: usize = Self::NAMES.len();

            #[must_use]
            pub fn values(&self) -> [u64; Self::COUNT] {
                [$(self.$name),*]
            }
        }

        /// The counters as the keeper counts them.
        #[derive(Debug, Default)]
        pub(super) struct Counters { $(pub(super) $name: Counter,)* }

        impl Counters {
            fn figures(&self) -> Figures {
                Figures { $($name: self.$name.0.load(Relaxed)),* }
            }
        }
    };
}

figures! {
    /// Commits that made writes durable.
    store_commits;
    /// Numbers written durably.
    store_writes;
    /// Commits that failed, and reads while the server runs.
    store_errors;
    /// Changes refused because the store could not make them durable.
    store_refused;
    /// Writes that another node's came before; they were made again on top of it.
    store_conflicts;
    /// Numbers that another node changed.
    store_changes_heard;
    /// Numbers whose record in the store made no sense when it was read; what was known of them stays.
    store_unreadable;
    /// Bindings that expired and were dropped.
    bindings_expired;
}

/// Written by the keeper alone, read by anyone.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Relaxed);
    }
}

/// Shared by the keeper and those that ask.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) counters: Counters,
    health: Mutex<Health>,
}

impl Default for Status {
    fn default() -> Status {
        Status { counters: Counters::default(), health: Mutex::new(Health::Up) }
    }
}

impl Status {
    pub(super) fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns whether that is news: it went up or down, or is down for another reason.
    pub(super) fn set_health(&self, health: Health) -> bool {
        let mut kept = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = *kept != health;
        *kept = health;
        is_news
    }

    pub(super) fn figures(&self) -> Figures {
        self.counters.figures()
    }
}
