//! One number: its subscriber's settings and its bindings.

use super::{Condition, Destination, Forwarding, HistoryForm};
use crate::clock::UnixSeconds;
use crate::outbox::ListenerId;
use std::net::SocketAddr;

/// A q-value in thousandths (RFC 3261 §20.10): the most preferred, and that of a contact without one.
pub const Q_MAX: u16 = 1_000;

/// What is known of one number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub subscriber: Subscriber,
    pub bindings: Box<[Binding]>,
    /// Counts the changes of this number in the store; 0: never stored.
    pub revision: u64,
    /// It comes from the configuration and is not in the store; its bindings are.
    pub is_configured: bool,
    /// It was taken away: only its place is left.
    pub(super) is_gone: bool,
}

/// One subscriber's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscriber {
    /// The address-of-record's user part.
    pub number: Box<str>,
    /// What its password is checked against; `None`: it has none.
    pub credentials: Option<Box<Credentials>>,
    /// Where it is reached whether it registers or not.
    pub contact: Option<Box<StaticContact>>,
    /// Where its calls go instead of to its phones.
    pub forwarding: Forwarding,
    /// The subscriber's own no-answer timer; `None`: the server's.
    pub after_ms: Option<u32>,
    /// How its phones are told of diversions; `None`: as the server is set up.
    pub history: Option<HistoryForm>,
    /// Those that it forwards to beyond trusted peers are not to know it (RFC 7044 §10.1.2, RFC 5806 §5).
    pub is_private: bool,
}

/// H(number ":" realm ":" password), for each algorithm that we challenge with (RFC 7616 §3.4.2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Credentials {
    pub sha256: [u8; 32],
    pub md5: [u8; 16],
}

/// A contact from the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticContact {
    /// The Request-URI of an INVITE to the subscriber, for instance `sip:1004@127.0.0.136:5060`.
    pub uri: Box<str>,
    /// Where such an INVITE is sent.
    pub destination: SocketAddr,
}

/// What a REGISTER bound to a number (RFC 3261 §10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The Contact's URI as it was registered.
    pub uri: Box<str>,
    /// Where requests to it are sent: the first Path, the address that the REGISTER came from (RFC 3581), or
    /// the URI's own.
    pub destination: Destination,
    /// The listener by which it registered.
    pub listener: ListenerId,
    /// In thousandths.
    pub q: u16,
    pub expires_at: UnixSeconds,
    /// Stands for the REGISTER's Call-ID: the first bytes of its SHA-256.
    pub call_id: u64,
    pub cseq: u32,
    pub extras: Option<Box<Extras>>,
}

const _: () = assert!(size_of::<Binding>() == 64, "there is one for every phone");

/// What few bindings have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// The Path header fields' values, joined by commas (RFC 3327); empty: none.
    pub path: Box<str>,
    /// `+sip.instance`, with its angle brackets (RFC 5626 §4.1); empty: none.
    pub instance: Box<str>,
    /// `reg-id`; 0: none.
    pub reg_id: u32,
}

/// Where an INVITE to a subscriber may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location<'a> {
    /// The Request-URI.
    pub uri: &'a str,
    pub destination: SocketAddr,
    /// The listener that reaches it; `None`: any of its address family.
    pub listener: Option<ListenerId>,
    /// The Route header field's value (RFC 3327 §5.2); empty: none.
    pub path: &'a str,
    pub q: u16,
}

impl Subscriber {
    /// A subscriber that has set nothing.
    #[must_use]
    pub fn new(number: &str) -> Subscriber {
        Subscriber {
            number: number.into(),
            credentials: None,
            contact: None,
            forwarding: Forwarding::default(),
            after_ms: None,
            history: None,
            is_private: false,
        }
    }

    /// The same with a static contact.
    #[must_use]
    pub fn at(mut self, uri: &str, destination: SocketAddr) -> Subscriber {
        self.contact = Some(Box::new(StaticContact { uri: uri.into(), destination }));
        self
    }

    /// The same with calls forwarded under a condition.
    #[must_use]
    pub fn forwarding_to(mut self, condition: Condition, target: &str) -> Subscriber {
        self.forwarding.forward(condition, target);
        self
    }
}

impl From<Subscriber> for Entry {
    fn from(subscriber: Subscriber) -> Entry {
        Entry { subscriber, bindings: Box::default(), revision: 0, is_configured: false, is_gone: false }
    }
}

impl Entry {
    /// What stands for an entry that was taken away.
    pub(super) fn gone(number: &[u8]) -> Entry {
        let number = String::from_utf8_lossy(number);
        Entry { is_gone: true, ..Entry::from(Subscriber::new(&number)) }
    }

    /// Where the subscriber may be reached now: its static contact, and its bindings that have not expired.
    /// What stands there twice is named once, where it is preferred most (RFC 3261 §16.5).
    pub fn locations(&self, now: UnixSeconds) -> impl Iterator<Item = Location<'_>> {
        let contact = self.subscriber.contact.as_ref().map(|contact| Location {
            uri: &contact.uri,
            destination: contact.destination,
            listener: None,
            path: "",
            q: Q_MAX,
        });
        let live = move || self.bindings.iter().filter(move |binding| now < binding.expires_at);
        let is_first = move |binding: &&Binding| {
            let is_same = |other: &Location<'_>| {
                (other.uri, other.destination) == (&*binding.uri, binding.destination.address())
            };
            let better = live().filter(|other| (other.q, binding.place()) > (binding.q, other.place()));
            !contact.iter().any(is_same) && !better.map(Binding::location).any(|other| is_same(&other))
        };
        contact.into_iter().chain(live().filter(is_first).map(Binding::location))
    }
}

impl Binding {
    /// Where it stands in memory: of two bindings of one entry the first is less.
    fn place(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn location(&self) -> Location<'_> {
        Location {
            uri: &self.uri,
            destination: self.destination.address(),
            listener: Some(self.listener),
            path: self.extras.as_ref().map_or("", |extras| &extras.path),
            q: self.q,
        }
    }
}

impl std::fmt::Debug for Credentials {
    /// Keeps what could be used to log in out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}
