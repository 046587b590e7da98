//! The packet loop's sockets by epoll, one call per packet: where the kernel has no ring of the kind that
//! `ring` needs. It moves about four fifths of what the ring moves.

use super::{Arrived, BATCH, PACKET_BYTES_MAX, socket};
use crate::net::arena::Arena;
use crate::net::name::Name;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// As in `ring`: an odd number of cache lines.
const STRIDE_BYTES: usize = PACKET_BYTES_MAX + 64;

pub(super) struct Poll {
    epoll: OwnedFd,
    /// By number; the relay that owns them owns this too.
    sockets: Vec<RawFd>,
    events: Box<[libc::epoll_event]>,
    slots: Arena,
    packets: Vec<Packet>,
    refused: u64,
}

struct Packet {
    socket: u32,
    source: Name,
    /// As long as it came: more than a slot has if it was cut.
    length: usize,
}

impl Poll {
    pub(super) fn new() -> io::Result<Poll> {
        // SAFETY: the call has no memory to do with.
        let descriptor = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Poll {
            // SAFETY: the descriptor is open and owned by nothing else.
            epoll: unsafe { OwnedFd::from_raw_fd(descriptor) },
            sockets: Vec::new(),
            events: vec![libc::epoll_event { events: 0, u64: 0 }; BATCH].into_boxed_slice(),
            slots: Arena::new(BATCH * STRIDE_BYTES)?,
            packets: Vec::with_capacity(BATCH),
            refused: 0,
        })
    }

    /// From now on what comes to the two sockets is received, as `first` and the number after it. One that is
    /// closed because the other failed is forgotten by that.
    pub(super) fn watch(&mut self, first: usize, pair: [RawFd; 2]) -> io::Result<()> {
        self.watch_one(first, pair[0])?;
        self.watch_one(first + 1, pair[1])
    }

    fn watch_one(&mut self, number: usize, socket: RawFd) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: number as u64 };
        // SAFETY: the kernel reads one event.
        let result =
            unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, socket, &raw mut event) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        self.sockets.truncate(number);
        self.sockets.push(socket);
        Ok(())
    }

    /// Takes at most one packet from each of at most [`BATCH`] sockets; the kernel lets them take turns.
    pub(super) fn receive(&mut self) -> io::Result<usize> {
        self.packets.clear();
        // SAFETY: the kernel writes at most as many events as there are.
        let ready = unsafe {
            let (events, count) = (self.events.as_mut_ptr(), self.events.len() as libc::c_int);
            libc::epoll_wait(self.epoll.as_raw_fd(), events, count, 0)
        };
        let Ok(ready) = usize::try_from(ready) else {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(0) } else { Err(error) };
        };
        for event in 0..ready {
            self.take(self.events[event].u64 as u32);
        }
        Ok(self.packets.len())
    }

    fn take(&mut self, socket: u32) {
        let Some(&descriptor) = self.sockets.get(socket as usize) else { return };
        let slot = self.slots.pointer(self.packets.len() * STRIDE_BYTES, PACKET_BYTES_MAX);
        let (mut source, mut bytes) = (Name::EMPTY, Name::BYTES);
        // SAFETY: the kernel writes at most PACKET_BYTES_MAX bytes into a slot of ours and at most `bytes`
        // into `source`.
        let length = unsafe {
            libc::recvfrom(
                descriptor,
                slot.cast(),
                PACKET_BYTES_MAX,
                libc::MSG_DONTWAIT | libc::MSG_TRUNC,
                (&raw mut source).cast(),
                &raw mut bytes,
            )
        };
        // An error was of an earlier packet of ours (ICMP): it is taken, and the next turn goes on.
        if let Ok(length) = usize::try_from(length) {
            self.packets.push(Packet { socket, source, length });
        }
    }

    pub(super) fn packet(&mut self, index: usize) -> Option<Arrived<'_>> {
        let Packet { socket, source, length } = self.packets.get(index)?;
        if *length > PACKET_BYTES_MAX {
            return None;
        }
        let bytes = self.slots.slice(index * STRIDE_BYTES, *length);
        Some(Arrived { socket: *socket, source: source.address()?, bytes })
    }

    pub(super) fn forward(&mut self, index: usize, socket: u32, destination: SocketAddr) {
        let Some(&descriptor) = self.sockets.get(socket as usize) else { return };
        // SAFETY: the relay keeps its sockets open for as long as it has this.
        let socket = unsafe { BorrowedFd::borrow_raw(descriptor) };
        let Some(packet) = self.packet(index) else { return };
        let is_sent = socket::send(socket, destination, packet.bytes);
        self.refused += u64::from(!is_sent);
    }

    pub(super) fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }
}
