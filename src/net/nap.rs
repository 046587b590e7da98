//! The nap: a short sleep on a shard's sockets and its inbox, by one `ppoll`.

use super::inbox::Inbox;
use socket2::Socket;
use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// The descriptors of one shard: its sockets, then the inbox's bell.
pub(super) struct Nap {
    descriptors: Box<[libc::pollfd]>,
}

impl Nap {
    pub(super) fn new(sockets: usize) -> Nap {
        let none = libc::pollfd { fd: -1, events: libc::POLLIN, revents: 0 };
        Nap { descriptors: vec![none; sockets + 1].into_boxed_slice() }
    }

    /// Sleeps until a socket is readable, a datagram is handed over, or `limit` has gone by. Returns whether
    /// it was woken.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn sleep(&mut self, sockets: &[Socket], inbox: &Inbox, limit: Duration) -> io::Result<bool> {
        let descriptors = sockets.iter().map(AsRawFd::as_raw_fd).chain([inbox.bell()]);
        for (slot, descriptor) in self.descriptors.iter_mut().zip(descriptors) {
            slot.fd = descriptor;
            slot.revents = 0;
        }
        if !inbox.lie_down() {
            return Ok(true);
        }
        let limit = libc::timespec { tv_sec: 0, tv_nsec: i64::from(limit.subsec_nanos()) };
        // SAFETY: the kernel reads and writes the slots of `self`, as many as are named, and reads `limit`.
        let woken = unsafe {
            libc::ppoll(
                self.descriptors.as_mut_ptr(),
                self.descriptors.len() as libc::nfds_t,
                &raw const limit,
                std::ptr::null(),
            )
        };
        let rung = self.descriptors.last().is_some_and(|bell| bell.revents != 0);
        let pushed = inbox.get_up(rung);
        if woken >= 0 {
            return Ok(woken > 0 || pushed);
        }
        let error = io::Error::last_os_error();
        // A signal: as good as a nap that ended early.
        if error.kind() == io::ErrorKind::Interrupted { Ok(true) } else { Err(error) }
    }

    /// Whether the last sleep ended with this socket readable or in error.
    pub(super) fn is_readable(&self, socket: usize) -> bool {
        self.descriptors.get(socket).is_some_and(|slot| slot.revents != 0)
    }
}
