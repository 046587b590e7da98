//! Where the numbers of a world are reached: a static contact, bindings of every q-value, some of them
//! expired or about to.

use super::rng::Rng;
use super::rounds::Location;
use super::setup::{HOPS_MAX, PHONES_MAX, STARTED, hop_of, numbered, place};
use ringway::clock::UnixSeconds;
use ringway::directory::{Binding, Entry, Extras, Subscriber};
use ringway::outbox::ListenerId;
use std::net::SocketAddr;

/// A phone of a number's.
#[derive(Clone, Copy, Debug)]
pub struct Phone {
    pub place: u8,
    pub q: u16,
    /// When its binding ends, in milliseconds from the world's start; `None`: it has a static contact.
    pub expires_ms: Option<u64>,
    /// It registered by way of a proxy (RFC 3327), which stands at its own address.
    pub has_path: bool,
    /// It is bound as well as configured, and rings once all the same.
    pub twice: bool,
}

/// So far ahead that no world lasts as long.
const FAR_MS: u64 = 36_000_000;

impl Phone {
    /// The phones of one number, the most preferred not first.
    pub fn draw(rng: &mut Rng, hop: u8) -> Vec<Phone> {
        let count = rng.pick(&[1, 1, 2, 2, 2, 3, 3, 4]);
        let none = rng.percent(3);
        let is_static = rng.percent(50);
        let draw = |phone| Phone {
            place: place(hop, phone),
            q: rng.pick(&[1_000, 1_000, 1_000, 700, 700, 300, 0]),
            expires_ms: Some(match rng.below(100) {
                0..8 => 0,
                8..20 => u64::from(rng.between(1, 40)) * 1_000,
                _ => FAR_MS,
            }),
            has_path: rng.percent(20),
            twice: rng.percent(15),
        };
        let mut phones: Vec<Phone> = (0..count.min(PHONES_MAX as u8)).map(draw).collect();
        if none {
            phones.iter_mut().for_each(|phone| phone.expires_ms = Some(0));
        } else if is_static {
            phones[0] = Phone { q: 1_000, expires_ms: None, has_path: false, ..phones[0] };
        }
        phones
    }

    /// The only one of its number.
    pub fn alone(hop: u8) -> Phone {
        Phone { place: place(hop, 0), q: 1_000, expires_ms: None, has_path: false, twice: false }
    }

    /// What the audit has to know of it.
    pub fn location(&self) -> Location {
        Location {
            place: self.place,
            hop: hop_of(self.place),
            q: self.q,
            expires_ms: self.expires_ms.unwrap_or(u64::MAX),
            has_path: self.has_path,
        }
    }

    /// The binding of it, or the one that it has besides its static contact.
    pub fn binding(&self, uri: &str, destination: SocketAddr, listener: ListenerId) -> Option<Binding> {
        let expires_ms = self.expires_ms.or(self.twice.then_some(FAR_MS))?;
        let path = self.path(destination).unwrap_or_default();
        Some(Binding {
            uri: uri.into(),
            destination: destination.into(),
            listener,
            q: self.q,
            expires_at: UnixSeconds(STARTED.0 + expires_ms / 1_000),
            call_id: u64::from(self.place),
            cseq: 1,
            extras: (!path.is_empty()).then(|| Box::new(Extras { path: path.into(), ..Extras::default() })),
        })
    }

    /// The Route of its INVITE.
    pub fn path(&self, destination: SocketAddr) -> Option<String> {
        self.has_path.then(|| format!("<sip:{destination};lr>"))
    }
}

/// The phones of every number of a world.
pub fn phones_of_world(seed: u64) -> Vec<Vec<Phone>> {
    let mut rng = Rng::new(seed, u64::MAX - 1);
    let mut phones = vec![Vec::new(); numbered(HOPS_MAX as u8, HOPS_MAX as u8)];
    for hops in 1..=HOPS_MAX as u8 {
        for hop in 0..hops {
            phones[numbered(hops, hop)] = Phone::draw(&mut rng, hop);
        }
    }
    phones
}

/// A subscriber with its phones' locations instead of the one that it has. `at`: a phone's address, and the
/// listener that it registered at.
pub fn entry(
    subscriber: Subscriber,
    phones: &[Phone],
    at: impl Fn(&Phone) -> (SocketAddr, ListenerId),
) -> Entry {
    let uri = |address| format!("sip:{}@{address}", subscriber.number);
    let binding = |phone: &Phone| {
        let (address, listener) = at(phone);
        phone.binding(&uri(address), address, listener)
    };
    let bindings = phones.iter().filter_map(binding).collect();
    let mut own = Subscriber { contact: None, ..subscriber.clone() };
    if let Some(phone) = phones.iter().find(|phone| phone.expires_ms.is_none()) {
        let (address, _) = at(phone);
        own = own.at(&uri(address), address);
    }
    let mut entry = Entry::from(own);
    entry.bindings = bindings;
    entry
}
