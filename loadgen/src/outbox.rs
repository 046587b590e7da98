//! Datagrams to be sent, one queue per socket, their bytes in one arena that is reserved once.

use std::net::SocketAddrV4;

/// A datagram in the arena.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing {
    pub start: u32,
    pub length: u32,
    pub destination: SocketAddrV4,
}

/// What is to be sent when the batch has been handled.
pub struct Outbox {
    arena: Vec<u8>,
    queues: Vec<Vec<Outgoing>>,
    queued: usize,
    /// Sockets with something to send.
    waiting: Vec<usize>,
}

/// Flush when this many datagrams wait, lest the arena grow.
const FULL: usize = 512;

impl Outbox {
    pub fn new(sockets: usize) -> Outbox {
        Outbox {
            arena: Vec::with_capacity(FULL * 2048),
            queues: (0..sockets).map(|_| Vec::with_capacity(FULL)).collect(),
            queued: 0,
            waiting: Vec::with_capacity(sockets),
        }
    }

    /// Writes one datagram by `write` and queues it on a socket; its bytes come back.
    #[inline]
    pub fn send(
        &mut self,
        socket: usize,
        destination: SocketAddrV4,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> &[u8] {
        let start = self.arena.len();
        write(&mut self.arena);
        let length = self.arena.len() - start;
        let queue = &mut self.queues[socket];
        if queue.is_empty() {
            self.waiting.push(socket);
        }
        queue.push(Outgoing { start: start as u32, length: length as u32, destination });
        self.queued += 1;
        &self.arena[start..]
    }

    pub fn is_empty(&self) -> bool {
        self.queued == 0
    }

    pub fn is_full(&self) -> bool {
        self.queued >= FULL
    }

    /// Hands each socket's datagrams to `send`, then forgets them.
    pub fn flush(&mut self, mut send: impl FnMut(usize, &[u8], &[Outgoing])) {
        for socket in self.waiting.drain(..) {
            send(socket, &self.arena, &self.queues[socket]);
            self.queues[socket].clear();
        }
        self.arena.clear();
        self.queued = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_socket_gets_its_own_datagrams_in_order() {
        let to = SocketAddrV4::new([127, 0, 0, 1].into(), 5060);
        let mut outbox = Outbox::new(2);
        for (socket, text) in [(1, "a"), (0, "bc"), (1, "d")] {
            outbox.send(socket, to, |out| out.extend_from_slice(text.as_bytes()));
        }
        let mut sent = Vec::new();
        outbox.flush(|socket, arena, datagrams| {
            for datagram in datagrams {
                let bytes = &arena[datagram.start as usize..][..datagram.length as usize];
                sent.push((socket, String::from_utf8_lossy(bytes).into_owned()));
            }
        });
        assert_eq!(sent, [(1, "a".into()), (1, "d".into()), (0, "bc".into())]);
        assert!(outbox.is_empty());
    }
}
