//! The packet loop's sockets by an io_uring of its own: every socket has one receive that goes on for ever
//! and takes its slots from one common ring of free ones, and what a turn sends goes in with one call.
//!
//! It is there for its price. Two sockets per call, each with one packet in 20 ms, make epoll cost 1.4 to 1.6
//! times what an echo on one socket costs per packet; this costs 1.2 times (`benches/relay`, 500 calls).
//! Linux 6.1 has all that it needs; `poll` serves where something is missing.

use super::{Arrived, BATCH, PACKET_BYTES_MAX};
use crate::net::arena::Arena;
use crate::net::name::Name;
use io_uring::types::{BufRingEntry, CancelBuilder, Fixed};
use io_uring::{IoUring, cqueue, opcode, squeue};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering::Release;

/// Requests that one call hands in at most.
const SUBMISSIONS: u32 = 512;

/// Results that may wait; more are kept by the kernel, at a price. 3,000 sockets that are ready at once have
/// two each: a packet, and the receive's end when no slot is left.
const COMPLETIONS: u32 = 8192;

/// What the kernel writes before a packet: four numbers (`struct io_uring_recvmsg_out`), and the sender with
/// room for the payload to begin at a multiple of eight.
const PREFIX_BYTES: usize = 16;
const SOURCE_BYTES: usize = 32;
const HEAD_BYTES: usize = PREFIX_BYTES + SOURCE_BYTES;

/// The distance from one slot to the next: an odd number of cache lines, so that the slots' first lines fall
/// into different sets of a cache.
const STRIDE_BYTES: usize = 35 * 64;

const _: () = assert!(HEAD_BYTES + PACKET_BYTES_MAX <= STRIDE_BYTES);
const _: () = assert!(SOURCE_BYTES >= Name::BYTES as usize);

/// Slots, 573 kB: they are used in turn, so that more of them fall out of the second-level cache before they
/// are used again (2,048 cost a third more of a packet's time). Kernels before 6.13 run all receives that are
/// due in one go; one that finds no slot then ends and must be begun anew, which costs more than its packet.
const SLOTS: usize = 256;

const _: () = assert!(SLOTS.is_power_of_two() && SLOTS <= 1 << 15);

/// The ring of free slots lies before the slots.
const FREE_BYTES: usize = SLOTS * size_of::<BufRingEntry>();

/// The only group of slots.
const GROUP: u16 = 0;

/// Marks the result of a send; those of receives carry their socket's number. Only failed sends have one.
const SEND: u64 = u64::MAX;

/// How often a call that the kernel has no room for is made again.
const TRIES: usize = 8;

/// How often a turn looks for more: each look runs some twenty of the receives that are due.
const LOOKS: usize = 64;

pub(super) struct Ring {
    /// Goes before the memory that the kernel reads and writes.
    ring: IoUring,
    arena: Arena,
    /// What each receive is made from: how long a sender's address is.
    header: Box<libc::msghdr>,
    /// How many slots were ever given to the kernel, as the kernel counts.
    given: u16,
    packets: Vec<Packet>,
    /// Where each of `packets` goes.
    destinations: Box<[Name]>,
    /// Sockets whose receive has ended and must be begun anew.
    ended: VecDeque<u32>,
    refused: u64,
}

#[derive(Clone, Copy)]
struct Packet {
    socket: u32,
    slot: u16,
    /// Bytes that the kernel has written, its own included.
    written: usize,
}

impl Ring {
    /// A ring for up to `sockets_max` sockets, to be used by this thread alone.
    ///
    /// # Errors
    /// The kernel has no such ring, or no memory.
    pub(super) fn new(sockets_max: u32) -> io::Result<Ring> {
        let ring = IoUring::builder()
            .setup_cqsize(COMPLETIONS)
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .build(SUBMISSIONS)?;
        // Pairs come whole.
        ring.submitter().register_files_sparse(sockets_max.next_multiple_of(2))?;
        let arena = Arena::new(FREE_BYTES + SLOTS * STRIDE_BYTES)?;
        let free = arena.pointer(0, FREE_BYTES);
        // SAFETY: page-aligned memory for SLOTS entries, which lives until the ring has gone (see `drop`).
        unsafe { ring.submitter().register_buf_ring_with_flags(free as u64, SLOTS as u16, GROUP, 0) }?;
        // SAFETY: a header is plain data and all zeroes are a valid, empty one.
        let mut header: Box<libc::msghdr> = Box::new(unsafe { std::mem::zeroed() });
        header.msg_namelen = SOURCE_BYTES as libc::socklen_t;
        let mut ring = Ring {
            ring,
            arena,
            header,
            given: 0,
            packets: Vec::with_capacity(BATCH),
            destinations: vec![Name::EMPTY; BATCH].into_boxed_slice(),
            ended: VecDeque::new(),
            refused: 0,
        };
        (0..SLOTS).for_each(|slot| ring.give(slot as u16));
        ring.publish_given();
        Ok(ring)
    }

    /// From now on what comes to the two sockets is received, as `first` and the number after it.
    ///
    /// # Errors
    /// The kernel's; then it knows neither of them.
    pub(super) fn watch(&mut self, first: u32, pair: [RawFd; 2]) -> io::Result<()> {
        let watched = self.begin_pair(first, pair);
        if watched.is_err() {
            self.unwatch(first);
        }
        watched
    }

    fn begin_pair(&mut self, first: u32, pair: [RawFd; 2]) -> io::Result<()> {
        if self.ring.submitter().register_files_update(first, &pair)? < pair.len() {
            // The kernel tells how many it took, and not why no more.
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        self.begin(first)?;
        self.begin(first + 1)?;
        self.submit()
    }

    /// Lets go of a pair that could not be watched as a whole: a receive that goes on would keep its port,
    /// and its packets would be taken for the next pair's. What fails here had not begun.
    fn unwatch(&mut self, first: u32) {
        for number in [first, first + 1] {
            let all_of_it = CancelBuilder::user_data(number.into()).all();
            drop(self.ring.submitter().register_sync_cancel(None, all_of_it));
        }
        drop(self.ring.submitter().register_files_update(first, &[-1, -1]));
        // A cancelled receive lets go of its socket only when it runs for the last time.
        for _ in 0..LOOKS {
            if !self.ring.submission().taskrun() || self.look().is_err() {
                break;
            }
        }
        self.ended.retain(|&number| number < first);
    }

    /// Takes what has come, at most [`BATCH`] packets. No system call is made when nothing has.
    pub(super) fn receive(&mut self) -> io::Result<usize> {
        if !self.packets.is_empty() {
            // The last turn's could not be sent.
            self.flush()?;
        }
        // What has run already goes first: each look may take slots that only a turn gives back.
        for _ in 0..LOOKS {
            self.harvest();
            let is_due = {
                let submission = self.ring.submission();
                submission.taskrun() || submission.cq_overflow()
            };
            if !is_due || self.packets.len() == BATCH {
                break;
            }
            self.look()?;
        }
        if self.packets.is_empty() && !self.ended.is_empty() {
            self.begin_anew()?;
        }
        Ok(self.packets.len())
    }

    /// Has the kernel run receives that are due.
    fn look(&self) -> io::Result<()> {
        /// `IORING_ENTER_GETEVENTS` of the kernel's interface.
        const GET_EVENTS: u32 = 1;
        // SAFETY: nothing is submitted and no argument is passed.
        match unsafe { self.ring.submitter().enter::<libc::sigset_t>(0, 0, GET_EVENTS, None) } {
            Err(error) if !is_passing(&error) => Err(error),
            _ => Ok(()),
        }
    }

    fn harvest(&mut self) {
        let mut completion = self.ring.completion();
        while self.packets.len() < BATCH
            && let Some(entry) = completion.next()
        {
            if entry.user_data() == SEND {
                self.refused += 1;
                continue;
            }
            let socket = entry.user_data() as u32;
            // These two are of a pair that was let go of.
            let is_gone = matches!(-entry.result(), libc::ECANCELED | libc::EBADF);
            if !cqueue::more(entry.flags()) && !is_gone {
                self.ended.push_back(socket);
            }
            if let Some(slot) = cqueue::buffer_select(entry.flags()) {
                let written = usize::try_from(entry.result()).unwrap_or(0);
                self.packets.push(Packet { socket, slot, written });
            }
        }
    }

    pub(super) fn packet(&mut self, index: usize) -> Option<Arrived<'_>> {
        let Packet { socket, slot, written } = *self.packets.get(index)?;
        if !(HEAD_BYTES..=HEAD_BYTES + PACKET_BYTES_MAX).contains(&written) {
            return None;
        }
        let (prefix, rest) = self.arena.slice(place(slot), written).split_at(PREFIX_BYTES);
        let (source, bytes) = rest.split_at(SOURCE_BYTES);
        let (_, flags) = prefix.split_last_chunk::<4>()?;
        if u32::from_ne_bytes(*flags) & libc::MSG_TRUNC as u32 != 0 {
            return None;
        }
        Some(Arrived { socket, source: Name::read(source)?.address()?, bytes })
    }

    /// Packet `index` leaves by `socket` with the next [`Ring::flush`].
    pub(super) fn forward(&mut self, index: usize, socket: u32, destination: SocketAddr) -> io::Result<()> {
        let Packet { slot, written, .. } = self.packets[index];
        let name = &mut self.destinations[index];
        let name_bytes = name.set(destination);
        let payload = self.arena.pointer(place(slot) + HEAD_BYTES, written - HEAD_BYTES);
        let send = opcode::Send::new(Fixed(socket), payload, (written - HEAD_BYTES) as u32)
            // It never waits for room, so it is over when the call that hands it in returns.
            .flags(libc::MSG_DONTWAIT)
            .dest_addr((&raw const *name).cast())
            .dest_addr_len(name_bytes)
            .build()
            .user_data(SEND)
            .flags(squeue::Flags::SKIP_SUCCESS);
        self.push(&send)
    }

    /// Sends what was forwarded, and gives the slots back.
    ///
    /// # Errors
    /// The kernel's; then the slots are kept for the next flush, because sends that it has not taken yet read
    /// them.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.submit()?;
        for index in 0..self.packets.len() {
            self.give(self.packets[index].slot);
        }
        self.packets.clear();
        self.publish_given();
        self.begin_anew()
    }

    pub(super) fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }

    /// Begins receives that have ended, for want of slots mostly: at most as many as a turn gives slots back,
    /// those that ended first in front. The others would end again at once, and a backlog would cost its
    /// square.
    fn begin_anew(&mut self) -> io::Result<()> {
        for _ in 0..BATCH {
            let Some(&socket) = self.ended.front() else { break };
            self.begin(socket)?;
            self.ended.pop_front();
        }
        self.submit()
    }

    fn begin(&mut self, socket: u32) -> io::Result<()> {
        let receive = opcode::RecvMsgMulti::new(Fixed(socket), &raw const *self.header, GROUP);
        self.push(&receive.build().user_data(socket.into()))
    }

    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        loop {
            // SAFETY: the memory that the entries name is owned by `self` and is not used otherwise until
            // they are submitted; what receives read and write lives until the ring has gone (see `drop`).
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return Ok(());
            }
            self.submit()?;
        }
    }

    /// Hands in all requests.
    fn submit(&mut self) -> io::Result<()> {
        let mut last = io::Error::from_raw_os_error(libc::EAGAIN);
        for _ in 0..TRIES {
            if self.ring.submission().is_empty() {
                return Ok(());
            }
            match self.ring.submit() {
                Ok(_) => {}
                Err(error) if is_passing(&error) => {
                    last = error;
                    self.look()?;
                }
                Err(error) => return Err(error),
            }
        }
        if self.ring.submission().is_empty() { Ok(()) } else { Err(last) }
    }

    /// Puts a slot at the end of the free ones.
    fn give(&mut self, slot: u16) {
        let index = usize::from(self.given) % SLOTS;
        let base = self.arena.pointer(place(slot), STRIDE_BYTES) as u64;
        let offset = index * size_of::<BufRingEntry>();
        let entry = self.arena.pointer(offset, size_of::<BufRingEntry>()).cast::<BufRingEntry>();
        // SAFETY: the entry lies in the arena, is aligned, and the kernel does not read it before
        // `publish_given`. Its last two bytes, which the first entry has for the ring's end, are not written.
        let entry = unsafe { &mut *entry };
        entry.set_addr(base);
        entry.set_len((HEAD_BYTES + PACKET_BYTES_MAX) as u32);
        entry.set_bid(slot);
        self.given = self.given.wrapping_add(1);
    }

    fn publish_given(&self) {
        let free = self.arena.pointer(0, FREE_BYTES).cast_const().cast::<BufRingEntry>();
        // SAFETY: the ring's end lies in its first entry; the kernel reads it as an atomic.
        unsafe { (*BufRingEntry::tail(free).cast::<AtomicU16>()).store(self.given, Release) };
    }
}

/// Where a slot begins in the arena.
const fn place(slot: u16) -> usize {
    FREE_BYTES + slot as usize * STRIDE_BYTES
}

/// Whether a call may succeed when it is made again.
pub(super) fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINTR | libc::EAGAIN | libc::EBUSY | libc::ENOMEM | libc::ENOBUFS)
    )
}

impl Drop for Ring {
    /// Ends the receives now: the kernel would do it later, and the ports would stay taken until then.
    fn drop(&mut self) {
        // What fails here the kernel does when the ring is closed.
        drop(self.ring.submitter().register_sync_cancel(None, CancelBuilder::any()));
        // A cancelled receive lets go of its socket only when it runs for the last time.
        while self.ring.submission().taskrun() && self.look().is_ok() {
            self.ring.completion().for_each(drop);
        }
        drop(self.ring.submitter().unregister_files());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use io_uring::types::{SubmitArgs, Timespec};
    use std::net::{Ipv4Addr, UdpSocket};
    use std::os::fd::AsRawFd;

    fn bind() -> UdpSocket {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        socket.set_nonblocking(true).expect("an option");
        socket
    }

    fn place(socket: &UdpSocket) -> SocketAddr {
        socket.local_addr().expect("its address")
    }

    /// Has the kernel run receives until there are so many results, as kernels before 6.13 do of themselves.
    fn run_all(ring: &Ring, count: usize) {
        let patience = Timespec::new().sec(10);
        let waited = ring.ring.submitter().submit_with_args(count, &SubmitArgs::new().timespec(&patience));
        waited.expect("so many results");
    }

    /// Makes turns until nothing comes any more. Returns how many packets each had.
    fn drain(ring: &mut Ring) -> Vec<usize> {
        let mut turns = Vec::new();
        loop {
            let waiting = ring.ended.len();
            let count = ring.receive().expect("a turn");
            ring.flush().expect("a turn");
            if count == 0 && waiting == 0 && ring.ended.is_empty() {
                return turns;
            }
            turns.push(count);
        }
    }

    fn pairs(ring: &mut Ring, count: usize) -> Vec<UdpSocket> {
        let sockets: Vec<UdpSocket> = (0..2 * count).map(|_| bind()).collect();
        for (pair, both) in sockets.chunks(2).enumerate() {
            ring.watch(2 * pair as u32, [both[0].as_raw_fd(), both[1].as_raw_fd()]).expect("watched");
        }
        sockets
    }

    #[test]
    fn sockets_that_are_ready_at_once_share_the_slots_and_the_rest_is_begun_a_batch_at_a_time() {
        // Within the 1,024 open files that a process may have as a rule.
        const PAIRS: usize = 200;
        // So many that a sixth of the sockets takes all slots, and more than a batch find none.
        const EACH: usize = 32;
        let mut ring = Ring::new(2 * PAIRS as u32).expect("a ring");
        let sockets = pairs(&mut ring, PAIRS);
        let sender = bind();
        for _ in 0..EACH {
            for socket in &sockets {
                sender.send_to(&[7; 20], place(socket)).expect("sent");
            }
        }
        // Every slot, and the end of at least one receive that found none.
        run_all(&ring, SLOTS + 1);
        let (mut come, mut turns, mut most_ended) = (0, 0, 0);
        while come < EACH * sockets.len() {
            let count = ring.receive().expect("a turn");
            let before: Vec<u32> = ring.ended.iter().copied().collect();
            ring.flush().expect("a turn");
            // In order, and no more than a batch.
            let begun = before.len() - ring.ended.len();
            assert!(begun <= BATCH, "{begun} at once");
            assert_eq!(before[begun..], *ring.ended.make_contiguous());
            (come, turns, most_ended) = (come + count, turns + 1, most_ended.max(before.len()));
            assert!(turns < 1_000, "{come} came");
        }
        assert!(most_ended > 0, "no more had ended than one batch begins");
        assert_eq!(come, EACH * sockets.len());
        // Each goes on.
        for socket in &sockets {
            sender.send_to(&[7; 20], place(socket)).expect("sent");
        }
        assert_eq!(drain(&mut ring).iter().sum::<usize>(), sockets.len());
    }

    #[test]
    fn a_pair_of_which_one_cannot_be_watched_leaves_nothing_behind() {
        let mut ring = Ring::new(4).expect("a ring");
        let (one, sender) = (bind(), bind());
        let address = place(&one);
        let error = ring.watch(0, [one.as_raw_fd(), 999_999]).expect_err("there is no such descriptor");
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
        drop(one);
        let again = UdpSocket::bind(address).expect("the port is free again");
        let other = bind();
        ring.watch(0, [other.as_raw_fd(), again.as_raw_fd()]).expect("watched");
        sender.send_to(&[7; 20], address).expect("sent");
        assert_eq!(ring.receive().expect("a turn"), 1);
        assert_eq!(ring.packet(0).map(|arrived| arrived.socket), Some(1));
        ring.flush().expect("a turn");
        assert!(ring.ended.is_empty());
        // The same when both had begun.
        ring.unwatch(0);
        drop((again, other));
        UdpSocket::bind(address).expect("the port is free again");
    }
}
