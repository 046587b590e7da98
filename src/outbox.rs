//! Ordered effects: what the core wants sent, in the order in which it must leave.

use crate::limits;
use crate::mail::Letter;
use std::net::SocketAddr;

/// Which of the listeners' sockets a datagram came in by or goes out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(pub u8);

/// One datagram to send.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing {
    start: u32,
    length: u32,
    pub destination: SocketAddr,
    pub listener: ListenerId,
}

/// One arena of bytes and the list of datagrams in it; both are reserved once and reused.
///
/// [`Outbox::default`] has no memory: it stands in while the real one is lent to a writer.
#[derive(Debug, Default)]
pub struct Outbox {
    arena: Vec<u8>,
    datagrams: Vec<Outgoing>,
    letters: Vec<Letter>,
}

impl Outbox {
    #[must_use]
    pub fn new() -> Outbox {
        Outbox {
            arena: Vec::with_capacity(limits::OUTBOX_BYTES),
            datagrams: Vec::with_capacity(limits::OUTBOX_DATAGRAMS),
            letters: Vec::new(),
        }
    }

    /// Whether one more input may be handled before the outbox is flushed.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.arena.len() + limits::OUTPUT_BYTES_PER_INPUT_MAX <= limits::OUTBOX_BYTES
            && self.datagrams.len() + limits::EFFECTS_PER_INPUT_MAX <= limits::OUTBOX_DATAGRAMS
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty() && self.letters.is_empty()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// The datagrams in the order in which they must leave.
    #[must_use]
    pub fn datagrams(&self) -> &[Outgoing] {
        &self.datagrams
    }

    /// A datagram's bytes.
    #[must_use]
    pub fn bytes(&self, datagram: &Outgoing) -> &[u8] {
        &self.arena[datagram.start as usize..][..datagram.length as usize]
    }

    /// Takes the datagram queued last back: it will not be sent.
    pub fn take_back(&mut self) {
        if let Some(last) = self.datagrams.pop() {
            self.arena.truncate(last.start as usize);
        }
    }

    /// Queues a letter to the services.
    pub fn post(&mut self, letter: Letter) {
        self.letters.push(letter);
    }

    /// Takes the letters out, in the order in which they were posted.
    pub fn letters(&mut self) -> impl Iterator<Item = Letter> {
        self.letters.drain(..)
    }

    /// Forgets all datagrams: they were sent.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.datagrams.clear();
    }

    /// Writes one datagram by `write` and queues it. One that is longer than a datagram can be is taken
    /// back, and `None` returned; else its bytes.
    pub fn send(
        &mut self,
        listener: ListenerId,
        destination: SocketAddr,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Option<&[u8]> {
        let start = self.arena.len();
        write(&mut self.arena);
        let length = self.arena.len() - start;
        if length > limits::DATAGRAM_BYTES_MAX {
            self.arena.truncate(start);
            return None;
        }
        self.datagrams.push(Outgoing { start: start as u32, length: length as u32, destination, listener });
        Some(&self.arena[start..])
    }
}
