//! What leaves a shard, and in which order: runs of one listener's datagrams, and what waits for a full
//! socket. It makes no system call itself.

use crate::limits::{LISTENERS_MAX, OUTBOX_DATAGRAMS};
use crate::outbox::{ListenerId, Outbox, Outgoing};
use std::net::SocketAddr;

const _: () = assert!(OUTBOX_DATAGRAMS <= u16::MAX as usize);

/// The order in which a shard's datagrams are handed to its sockets.
///
/// All datagrams to one destination leave in the outbox's order, whatever listeners they leave by; beyond
/// that, the datagrams of one listener are brought together, so that one system call takes many.
#[derive(Debug)]
pub(super) struct Egress {
    /// One per listener; made when its socket first refuses, for most never do.
    backlogs: Vec<Option<Box<Backlog>>>,
    /// Places in the outbox: not yet sent, of the run being sent, and left for the next run.
    pending: Vec<u16>,
    run: Vec<u16>,
    rest: Vec<u16>,
    hasher: ahash::RandomState,
    /// Datagrams dropped because their socket stayed full and its backlog was full too.
    pub(super) dropped: u64,
}

/// Copies of datagrams that wait for their socket, in order.
#[derive(Debug, Default)]
struct Backlog {
    waiting: Outbox,
    /// How many of them have been sent since.
    sent: usize,
}

impl Backlog {
    fn is_empty(&self) -> bool {
        self.sent == self.waiting.len()
    }

    /// Copies one datagram to the end. Returns whether there was room for it.
    fn push(&mut self, outbox: &Outbox, datagram: &Outgoing) -> bool {
        if self.is_empty() {
            self.waiting.clear();
            self.sent = 0;
        }
        if !self.waiting.has_room() {
            return false;
        }
        let bytes = outbox.bytes(datagram);
        let copy = |arena: &mut Vec<u8>| arena.extend_from_slice(bytes);
        self.waiting.send(datagram.listener, datagram.destination, copy).is_some()
    }
}

impl Egress {
    #[must_use]
    pub(super) fn new(listeners: usize) -> Egress {
        Egress {
            backlogs: (0..listeners.min(LISTENERS_MAX)).map(|_| None).collect(),
            pending: Vec::with_capacity(OUTBOX_DATAGRAMS),
            run: Vec::with_capacity(OUTBOX_DATAGRAMS),
            rest: Vec::with_capacity(OUTBOX_DATAGRAMS),
            // It only spreads destinations over 64 bits: anyone may know its keys.
            hasher: ahash::RandomState::with_seeds(1, 2, 3, 4),
            dropped: 0,
        }
    }

    /// Sends all of `outbox` and clears it. `send` takes the named datagrams in order and returns how many it
    /// dealt with; fewer than given means that this listener's socket is full. What it left waits here.
    pub(super) fn flush(
        &mut self,
        outbox: &mut Outbox,
        mut send: impl FnMut(ListenerId, &Outbox, &[u16]) -> usize,
    ) {
        if outbox.is_empty() {
            return;
        }
        self.pending.clear();
        self.pending.extend(0..outbox.len() as u16);
        while let Some(&first) = self.pending.first() {
            let listener = outbox.datagrams()[usize::from(first)].listener;
            if self.backlogs.len() > 1 {
                self.split_run(outbox, listener);
            } else {
                std::mem::swap(&mut self.run, &mut self.pending);
                self.rest.clear();
            }
            self.send_run(outbox, listener, &mut send);
            std::mem::swap(&mut self.pending, &mut self.rest);
        }
        outbox.clear();
    }

    /// Tries again what waits for a full socket.
    pub(super) fn retry(&mut self, mut send: impl FnMut(ListenerId, &Outbox, &[u16]) -> usize) {
        for listener in 0..self.backlogs.len() {
            self.retry_one(ListenerId(listener as u8), &mut send);
        }
    }

    #[cfg(test)]
    /// Datagrams that wait for a full socket.
    #[must_use]
    pub(super) fn waiting(&self) -> usize {
        self.backlogs.iter().flatten().map(|backlog| backlog.waiting.len() - backlog.sent).sum()
    }

    /// Moves from `pending` into `run` what may leave by `listener` now, and the others into `rest`. One that
    /// goes where an earlier one of `rest` goes is left behind it; two destinations that fall on the same of
    /// 64 bits cost a shorter run, not the order.
    fn split_run(&mut self, outbox: &Outbox, listener: ListenerId) {
        self.run.clear();
        self.rest.clear();
        let mut destinations_left = 0u64;
        for &index in &self.pending {
            let datagram = &outbox.datagrams()[usize::from(index)];
            let bit = 1u64 << (self.hash(datagram.destination) & 63);
            if datagram.listener == listener && destinations_left & bit == 0 {
                self.run.push(index);
            } else {
                destinations_left |= bit;
                self.rest.push(index);
            }
        }
    }

    fn hash(&self, destination: SocketAddr) -> u64 {
        self.hasher.hash_one(destination)
    }

    fn send_run(
        &mut self,
        outbox: &Outbox,
        listener: ListenerId,
        send: &mut impl FnMut(ListenerId, &Outbox, &[u16]) -> usize,
    ) {
        let clear = self.retry_one(listener, send);
        let done = if clear { send(listener, outbox, &self.run) } else { 0 };
        let Some(backlog) = self.backlogs.get_mut(usize::from(listener.0)) else {
            // No such listener: `send` has dealt with it or nobody can.
            self.dropped += (self.run.len() - done) as u64;
            return;
        };
        for &index in &self.run[done..] {
            let backlog = backlog.get_or_insert_default();
            if !backlog.push(outbox, &outbox.datagrams()[usize::from(index)]) {
                self.dropped += 1;
            }
        }
    }

    /// Sends what waits for one listener's socket. Returns whether nothing waits any more.
    fn retry_one(
        &mut self,
        listener: ListenerId,
        send: &mut impl FnMut(ListenerId, &Outbox, &[u16]) -> usize,
    ) -> bool {
        let Some(Some(backlog)) = self.backlogs.get_mut(usize::from(listener.0)) else { return true };
        if backlog.is_empty() {
            return true;
        }
        // Few sockets ever get here, so the list is made anew instead of being kept.
        let waiting: Vec<u16> = (backlog.sent as u16..backlog.waiting.len() as u16).collect();
        backlog.sent += send(listener, &backlog.waiting, &waiting);
        backlog.is_empty()
    }
}
