//! Whom we serve: numbers, where they are reached, and what each has set.

use super::Condition;
use ahash::RandomState;
use std::collections::HashMap;
use std::net::SocketAddr;

/// One subscriber's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscriber {
    /// The address-of-record's user part.
    pub number: String,
    /// The Request-URI of an INVITE to the subscriber, for instance `sip:1004@127.0.0.136:5060`.
    pub contact: String,
    /// Where such an INVITE is sent.
    pub peer: SocketAddr,
    /// The number to forward to on no answer; `None`: the service is not active.
    pub no_answer: Option<String>,
    /// The subscriber's own no-answer timer; `None`: the server's.
    pub after_ms: Option<u32>,
}

impl Subscriber {
    /// The number to forward to under a condition; `None`: not set.
    #[must_use]
    pub fn target(&self, condition: Condition) -> Option<&str> {
        match condition {
            Condition::NoAnswer => self.no_answer.as_deref(),
            Condition::Busy | Condition::NotRegistered | Condition::NotReachable => None,
        }
    }
}

/// All subscribers by number: a read-only snapshot.
#[derive(Clone, Debug)]
pub struct Subscribers {
    by_number: HashMap<Box<[u8]>, Subscriber, RandomState>,
}

impl Default for Subscribers {
    fn default() -> Subscribers {
        Subscribers { by_number: HashMap::with_hasher(RandomState::with_seeds(1, 2, 3, 4)) }
    }
}

impl Subscribers {
    /// Adds one; the previous holder of the number is returned.
    pub fn insert(&mut self, subscriber: Subscriber) -> Option<Subscriber> {
        self.by_number.insert(subscriber.number.as_bytes().into(), subscriber)
    }

    #[must_use]
    pub fn get(&self, number: &[u8]) -> Option<&Subscriber> {
        self.by_number.get(number)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Subscriber> {
        self.by_number.values()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.by_number.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }
}
