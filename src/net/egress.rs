//! What leaves a shard, and in which order: runs of one listener's datagrams, and what waits for a full
//! socket. It makes no system call itself.

use crate::limits::{LISTENERS_MAX, OUTBOX_DATAGRAMS};
use crate::outbox::{ListenerId, Outbox, Outgoing};
use std::net::SocketAddr;

const _: () = assert!(OUTBOX_DATAGRAMS <= u16::MAX as usize);

/// The order in which a shard's datagrams are handed to its sockets.
///
/// All datagrams to one destination leave in the outbox's order, whatever listeners they leave by; beyond
/// that, the datagrams of one listener are brought together, so that one system call takes many. A full
/// socket holds back all that leaves by it, in order, and nothing that leaves by another.
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sockets that take a while and then are full.
    struct Sockets {
        room: Vec<usize>,
        /// What each call brought: the listener and the datagrams' bytes.
        calls: Vec<(u8, Vec<Vec<u8>>)>,
    }

    impl Sockets {
        fn new(listeners: usize) -> Sockets {
            Sockets { room: vec![usize::MAX; listeners], calls: Vec::new() }
        }

        fn send(&mut self, listener: ListenerId, outbox: &Outbox, picked: &[u16]) -> usize {
            let room = &mut self.room[usize::from(listener.0)];
            let done = picked.len().min(*room);
            *room -= done;
            let datagrams = picked[..done].iter().map(|&index| &outbox.datagrams()[usize::from(index)]);
            let bytes = datagrams.inspect(|datagram| assert_eq!(datagram.listener, listener));
            self.calls.push((listener.0, bytes.map(|datagram| outbox.bytes(datagram).to_vec()).collect()));
            done
        }

        /// Everything that was sent, in order.
        fn sent(&self) -> Vec<Vec<u8>> {
            self.calls.iter().flat_map(|(_, datagrams)| datagrams.clone()).collect()
        }
    }

    fn put(outbox: &mut Outbox, listener: u8, port: u16, byte: u8) {
        let destination = SocketAddr::from(([127, 0, 0, 1], port));
        outbox.send(ListenerId(listener), destination, |arena| arena.push(byte));
    }

    fn flush(egress: &mut Egress, outbox: &mut Outbox, sockets: &mut Sockets) {
        egress.flush(outbox, |listener, outbox, picked| sockets.send(listener, outbox, picked));
    }

    #[test]
    fn datagrams_of_one_listener_leave_together() {
        let (mut egress, mut outbox, mut sockets) = (Egress::new(2), Outbox::new(), Sockets::new(2));
        for byte in 0..6 {
            // Two destinations per listener; the ports' hashes do not fall together.
            put(&mut outbox, byte % 2, 1000 + u16::from(byte % 2), byte);
        }
        flush(&mut egress, &mut outbox, &mut sockets);
        assert!(outbox.is_empty());
        let expected = [(0, vec![vec![0], vec![2], vec![4]]), (1, vec![vec![1], vec![3], vec![5]])];
        assert_eq!(sockets.calls, expected);
    }

    #[test]
    fn one_destination_keeps_its_order_across_listeners() {
        let (mut egress, mut outbox, mut sockets) = (Egress::new(2), Outbox::new(), Sockets::new(2));
        for (byte, listener) in [0, 1, 0, 0, 1].into_iter().enumerate() {
            put(&mut outbox, listener, 1000, byte as u8);
        }
        flush(&mut egress, &mut outbox, &mut sockets);
        assert_eq!(sockets.sent(), [[0], [1], [2], [3], [4]]);
    }

    #[test]
    fn what_a_full_socket_leaves_goes_out_first_later() {
        let (mut egress, mut outbox, mut sockets) = (Egress::new(2), Outbox::new(), Sockets::new(2));
        sockets.room[0] = 2;
        (0..5).for_each(|byte| put(&mut outbox, 0, 1000, byte));
        put(&mut outbox, 1, 2000, 100);
        flush(&mut egress, &mut outbox, &mut sockets);
        assert_eq!((egress.waiting(), sockets.sent()), (3, vec![vec![0], vec![1], vec![100]]));

        put(&mut outbox, 0, 1000, 5);
        flush(&mut egress, &mut outbox, &mut sockets);
        assert_eq!(egress.waiting(), 4, "it waits behind the others though it was not tried");

        sockets.room[0] = 3;
        egress.retry(|listener, outbox, picked| sockets.send(listener, outbox, picked));
        sockets.room[0] = usize::MAX;
        put(&mut outbox, 0, 1000, 6);
        flush(&mut egress, &mut outbox, &mut sockets);
        assert_eq!((egress.waiting(), egress.dropped), (0, 0));
        assert_eq!(sockets.sent(), [[0], [1], [100], [2], [3], [4], [5], [6]]);
    }

    #[test]
    fn a_socket_that_stays_full_drops_and_counts() {
        let (mut egress, mut outbox, mut sockets) = (Egress::new(1), Outbox::new(), Sockets::new(1));
        sockets.room[0] = 0;
        let mut offered = 0;
        while egress.dropped == 0 {
            (0..16).for_each(|byte| put(&mut outbox, 0, 1000, byte));
            offered += 16;
            flush(&mut egress, &mut outbox, &mut sockets);
            assert!(offered <= 2 * OUTBOX_DATAGRAMS, "nothing bounds the backlog");
        }
        assert_eq!(egress.waiting() + egress.dropped as usize, offered);
        sockets.room[0] = usize::MAX;
        egress.retry(|listener, outbox, picked| sockets.send(listener, outbox, picked));
        assert_eq!(egress.waiting(), 0);
        assert_eq!(sockets.sent().len() + egress.dropped as usize, offered);
    }

    proptest! {
        /// Whatever the sockets take when: each destination's datagrams leave in order, none twice, none lost
        /// but the counted ones.
        #[test]
        fn order_per_destination_holds_always(
            steps in proptest::collection::vec(
                (proptest::collection::vec((0u8..3, 0u16..4), 0..40), proptest::array::uniform3(0usize..30)),
                1..20,
            )
        ) {
            let (mut egress, mut outbox, mut sockets) = (Egress::new(3), Outbox::new(), Sockets::new(3));
            let mut next = 0u32;
            let mut asked: Vec<(u16, u8, u32)> = Vec::new();
            for (datagrams, room) in steps {
                sockets.room = room.to_vec();
                for (listener, port) in datagrams {
                    let destination = SocketAddr::from(([127, 0, 0, 1], 1000 + port));
                    outbox.send(ListenerId(listener), destination, |arena| {
                        arena.extend_from_slice(&next.to_be_bytes());
                    });
                    asked.push((port, listener, next));
                    next += 1;
                }
                flush(&mut egress, &mut outbox, &mut sockets);
                egress.retry(|listener, outbox, picked| sockets.send(listener, outbox, picked));
            }
            sockets.room = vec![usize::MAX; 3];
            egress.retry(|listener, outbox, picked| sockets.send(listener, outbox, picked));
            let number = |bytes: Vec<u8>| u32::from_be_bytes(bytes.try_into().expect("four bytes"));
            let sent: Vec<u32> = sockets.sent().into_iter().map(number).collect();
            prop_assert_eq!(sent.len() + egress.dropped as usize, asked.len());
            for port in 0..4 {
                for listener in 0..3 {
                    let numbers = sent.iter().filter(|&&number| {
                        asked[number as usize].0 == port && asked[number as usize].1 == listener
                    });
                    prop_assert!(numbers.is_sorted_by(|a, b| a < b));
                }
            }
        }
    }
}
