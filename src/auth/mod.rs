//! Who sends a request: peers that are trusted by their address, subscribers by their password (RFC 7616,
//! RFC 8760, RFC 3261 §22).
//!
//! [`Guard`] asks everyone who begins something, and answers those itself whom it does not let in. What it
//! remembers is bounded: how far nonces were used (`replay`), and who guessed passwords (`throttle`).

pub mod credentials;
pub mod digest;
mod guard;
pub mod nonce;
pub mod replay;
pub mod throttle;
mod trusted;

pub use digest::Algorithm;
pub use guard::Guard;
pub use trusted::Network;

use std::net::IpAddr;

/// Who sends a request that begins something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller<'m> {
    /// A peer whose word is taken for the identity that it asserts.
    Trusted,
    /// The subscriber with this number, by its password.
    Subscriber(&'m [u8]),
    /// Anyone: in the lab, and for requests that begin nothing, nobody is asked.
    Unchecked,
}

/// Who is asked for a password, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Everyone untrusted has to prove who it is. Else, which is for a server that only its own machine
    /// reaches, those alone whose number has a password.
    pub required: bool,
    /// What passwords belong to (RFC 7616 §3.3).
    pub realm: String,
    /// What we challenge with, the most wanted first.
    pub algorithms: Vec<Algorithm>,
    /// Peers whose word is taken.
    pub trusted: Vec<Network>,
    /// How long a nonce may be used.
    pub nonce_lifetime_s: u32,
    /// How often one source may fail in a minute; 0: as often as it likes.
    pub failures_per_minute: u32,
}

/// The realm where none is set.
pub const REALM: &str = "ringway";

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            required: false,
            realm: REALM.into(),
            algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
            trusted: Vec::new(),
            nonce_lifetime_s: 300,
            failures_per_minute: 10,
        }
    }
}

impl Settings {
    /// Whether the word of a peer at this address is taken.
    #[must_use]
    pub fn is_trusted(&self, ip: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(ip))
    }
}
