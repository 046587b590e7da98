//! Every datagram of a run in order, for the ladder. Only used for a single call.

use crate::outbox::Outgoing;
use std::net::SocketAddrV4;

/// One datagram as a phone saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    pub at_ns: u64,
    /// By the phone; else it was received.
    pub is_sent: bool,
    pub from: SocketAddrV4,
    pub to: SocketAddrV4,
    pub bytes: Vec<u8>,
}

#[derive(Clone, Debug, Default)]
pub struct Trace {
    pub datagrams: Vec<Datagram>,
}

impl Trace {
    pub fn received(&mut self, at_ns: u64, from: SocketAddrV4, to: SocketAddrV4, bytes: &[u8]) {
        self.datagrams.push(Datagram { at_ns, is_sent: false, from, to, bytes: bytes.to_vec() });
    }

    pub fn sent(&mut self, at_ns: u64, from: SocketAddrV4, arena: &[u8], datagrams: &[Outgoing]) {
        for datagram in datagrams {
            let bytes = arena[datagram.start as usize..][..datagram.length as usize].to_vec();
            self.datagrams.push(Datagram { at_ns, is_sent: true, from, to: datagram.destination, bytes });
        }
    }
}
