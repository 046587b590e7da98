//! What went in and out, in order.

use super::group;
use super::peer::{A, B, C, D};
use super::sip::Sip;
use ringway::outbox::ListenerId;
use std::net::SocketAddr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    In,
    Out,
}

/// One datagram.
#[derive(Clone, Debug)]
pub struct Entry {
    pub at_ms: u64,
    pub way: Way,
    pub peer: SocketAddr,
    pub listener: ListenerId,
    pub bytes: Vec<u8>,
    /// `None`: the scanner found a fault.
    pub sip: Option<Sip>,
}

impl Entry {
    pub fn new(at_ms: u64, way: Way, peer: SocketAddr, listener: ListenerId, bytes: &[u8]) -> Entry {
        Entry { at_ms, way, peer, listener, bytes: bytes.to_vec(), sip: Sip::read(bytes).ok() }
    }

    /// `B CANCEL`, `A 181 INVITE`; a peer without a name is written as its address.
    pub fn summary(&self) -> String {
        format!("{} {}", self.peer_name(), self.what())
    }

    /// `A → S INVITE`, `S → A 100 INVITE`.
    pub fn arrow(&self) -> String {
        match self.way {
            Way::In => format!("{} → S {}", self.peer_name(), self.what()),
            Way::Out => format!("S → {} {}", self.peer_name(), self.what()),
        }
    }

    fn peer_name(&self) -> String {
        let known = [A, B, C, D].into_iter().chain(group::all()).find(|peer| peer.address == self.peer);
        known.map_or_else(|| self.peer.to_string(), |peer| peer.name.to_string())
    }

    fn what(&self) -> String {
        self.sip.as_ref().map_or_else(|| "?".into(), Sip::summary)
    }
}
