//! UDP in batches: sockets, `recvmmsg` into fixed slots, `sendmmsg` straight from the outbox.
//!
//! Nothing here waits: the shard's loop waits for readiness elsewhere and calls in when there is something
//! to do.

use super::arena::Arena;
use super::name::Name;
use crate::limits::{DATAGRAM_BYTES_MAX, SCAN_PADDING};
use crate::outbox::{ListenerId, Outbox};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// What the kernel may write of one datagram: one byte more than a datagram can have, so that a longer one
/// (IPv6 allows 65,527) is noticed.
const SLOT_WRITABLE_BYTES: usize = DATAGRAM_BYTES_MAX + 1;

/// The distance from one slot to the next: 64 KiB and 17 cache lines. 17 is odd, so the slots' first lines
/// fall into different sets of a first-level cache, and it is about a SIP message long, so 64 slots spread
/// over a second-level cache as well.
const SLOT_STRIDE_BYTES: usize = 64 * 1024 + 17 * 64;

const _: () = assert!(SLOT_WRITABLE_BYTES + SCAN_PADDING <= SLOT_STRIDE_BYTES);

/// More than this in one call the kernel cuts (UIO_MAXIOV).
pub const BATCH_MAX: usize = 1024;

/// Makes a socket for `address` that other shards may share (SO_REUSEPORT), with buffers of the given sizes
/// in bytes (without CAP_NET_ADMIN the kernel caps them at `net.core.rmem_max` and `wmem_max`).
///
/// # Errors
/// The kernel's: the address is not ours, is taken by a socket that does not share, or needs privileges.
pub fn bind_shared(address: SocketAddr, receive_bytes: usize, send_bytes: usize) -> io::Result<Socket> {
    let socket = unbound(address)?;
    socket.set_reuse_port(true)?;
    if !force_buffer(&socket, libc::SO_RCVBUFFORCE, receive_bytes) {
        socket.set_recv_buffer_size(receive_bytes)?;
    }
    if !force_buffer(&socket, libc::SO_SNDBUFFORCE, send_bytes) {
        socket.set_send_buffer_size(send_bytes)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Sets a buffer's size beyond the system's cap; `false`: that takes CAP_NET_ADMIN, which we have not.
fn force_buffer(socket: &Socket, option: libc::c_int, bytes: usize) -> bool {
    let value = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    // SAFETY: the kernel reads one `int` of ours.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    result == 0
}

/// Makes a socket for `address` that nobody shares, to find out whether the address is free: SO_REUSEPORT
/// would let a second server of the same user take half of the first one's traffic in silence.
///
/// # Errors
/// As [`bind_shared`].
pub fn bind_alone(address: SocketAddr) -> io::Result<Socket> {
    let socket = unbound(address)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn unbound(address: SocketAddr) -> io::Result<Socket> {
    let kind = Type::DGRAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Makes `socket` readable for certain, by a datagram of one NUL, though it shares its port: it is connected
/// to a scratch socket first, and a connected socket wins over its siblings. It is of no use afterwards.
///
/// # Errors
/// The kernel's; the socket may then sleep on.
pub fn wake(socket: &Socket) -> io::Result<()> {
    let mut target = local_address(socket)?;
    match target.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => target.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => target.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    let mut scratch_address = target;
    scratch_address.set_port(0);
    let scratch = UdpSocket::bind(scratch_address)?;
    socket.connect(&scratch.local_addr()?.into())?;
    scratch.send_to(&[0], target).map(drop)
}

/// The address that the socket is bound to.
///
/// # Errors
/// The kernel's, or a socket that is not the internet's.
pub fn local_address(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

/// Datagrams that the kernel dropped because the socket's receive buffer was full, since it was made.
#[must_use]
pub fn kernel_drops(socket: BorrowedFd<'_>) -> u64 {
    const VALUES: usize = 9;
    const DROPS: usize = 8;
    let mut values = [0u32; VALUES];
    let mut bytes = size_of_val(&values) as libc::socklen_t;
    // SAFETY: the kernel writes at most `bytes` bytes into `values`, where any bit pattern is valid.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            values.as_mut_ptr().cast(),
            &raw mut bytes,
        )
    };
    // A kernel that does not tell has told of none.
    if result == 0 { u64::from(values[DROPS]) } else { 0 }
}

/// One received datagram, in its slot.
#[derive(Debug)]
pub struct Received<'a> {
    pub source: SocketAddr,
    /// The bytes, and `limits::SCAN_PADDING` zero bytes behind them.
    pub buffer: &'a mut [u8],
    /// How many of `buffer` are the datagram.
    pub length: usize,
}

/// Slots for a batch of datagrams of any size, made once.
pub struct ReceiveBatch {
    arena: Arena,
    names: Box<[Name]>,
    /// The kernel reads them through `headers`; they are never touched again.
    _iovecs: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
}

impl ReceiveBatch {
    /// Makes `capacity` slots (1 to [`BATCH_MAX`]).
    ///
    /// # Errors
    /// No memory.
    pub fn new(capacity: usize) -> io::Result<ReceiveBatch> {
        let capacity = capacity.clamp(1, BATCH_MAX);
        let arena = Arena::new(capacity * SLOT_STRIDE_BYTES)?;
        let mut names = vec![Name::EMPTY; capacity].into_boxed_slice();
        let mut iovecs: Box<[libc::iovec]> = (0..capacity)
            .map(|slot| {
                let base = arena.pointer(slot * SLOT_STRIDE_BYTES, SLOT_WRITABLE_BYTES);
                libc::iovec { iov_base: base.cast(), iov_len: SLOT_WRITABLE_BYTES }
            })
            .collect();
        let headers = headers(&mut names, &mut iovecs);
        Ok(ReceiveBatch { arena, names, _iovecs: iovecs, headers })
    }

    /// How many datagrams one call can take.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.headers.len()
    }

    /// Takes what waits in the socket, at most [`ReceiveBatch::capacity`] datagrams; returns how many, 0 when
    /// none waits.
    ///
    /// # Errors
    /// The kernel's: an error that was pending on the socket (taken by this call), or a lasting one.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        loop {
            // SAFETY: each header names one `Name`, one iovec and one slot of the arena, all owned by `self`
            // at addresses that do not move, and no slice of the arena is borrowed during the call.
            let taken = unsafe {
                libc::recvmmsg(
                    socket.as_raw_fd(),
                    self.headers.as_mut_ptr(),
                    self.headers.len() as libc::c_uint,
                    libc::MSG_DONTWAIT as _,
                    std::ptr::null_mut(),
                )
            };
            if let Ok(taken) = usize::try_from(taken) {
                return Ok(taken);
            }
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::WouldBlock => return Ok(0),
                io::ErrorKind::Interrupted => {}
                _ => return Err(error),
            }
        }
    }

    /// The datagram in slot `index` of the last batch; `None` when it is longer than a datagram may be, or
    /// without a sender. Call once for each datagram that [`ReceiveBatch::receive`] counted: it readies the
    /// slot for the next batch.
    ///
    /// # Panics
    /// When `index` is not below the capacity.
    pub fn datagram(&mut self, index: usize) -> Option<Received<'_>> {
        let header = &mut self.headers[index];
        header.msg_hdr.msg_namelen = Name::BYTES;
        let length = header.msg_len as usize;
        if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 || length > DATAGRAM_BYTES_MAX {
            return None;
        }
        let source = self.names[index].address()?;
        let buffer = self.arena.slice(index * SLOT_STRIDE_BYTES, length + SCAN_PADDING);
        buffer[length..].fill(0);
        Some(Received { source, buffer, length })
    }
}

/// What became of a call to [`SendBatch::send`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Datagrams dealt with, refused ones included. Fewer than were given: the socket would block.
    pub done: usize,
    /// Datagrams among them that the kernel refused (no route, not permitted, too long).
    pub refused: usize,
}

/// Headers for a batch of datagrams to send, made once; the bytes stay where they are.
pub struct SendBatch {
    names: Box<[Name]>,
    iovecs: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
}

impl SendBatch {
    /// Makes headers for `capacity` datagrams (1 to [`BATCH_MAX`]) per system call.
    #[must_use]
    pub fn new(capacity: usize) -> SendBatch {
        let capacity = capacity.clamp(1, BATCH_MAX);
        let mut names = vec![Name::EMPTY; capacity].into_boxed_slice();
        let empty = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        let mut iovecs = vec![empty; capacity].into_boxed_slice();
        let headers = headers(&mut names, &mut iovecs);
        SendBatch { names, iovecs, headers }
    }

    /// Sends the datagrams of `outbox` that `picked` names, in that order, whatever listener they name, until
    /// all are gone or the socket would block.
    pub fn send(&mut self, socket: BorrowedFd<'_>, outbox: &Outbox, picked: &[u16]) -> Sent {
        let mut sent = Sent::default();
        for batch in picked.chunks(self.headers.len()) {
            self.fill(outbox, batch);
            let part = self.send_filled(socket, batch.len());
            sent.done += part.done;
            sent.refused += part.refused;
            if part.done < batch.len() {
                break;
            }
        }
        sent
    }

    fn fill(&mut self, outbox: &Outbox, batch: &[u16]) {
        let datagrams = outbox.datagrams();
        for (slot, &index) in batch.iter().enumerate() {
            let datagram = &datagrams[usize::from(index)];
            let bytes = outbox.bytes(datagram);
            self.headers[slot].msg_hdr.msg_namelen = self.names[slot].set(datagram.destination);
            // The kernel only reads through it.
            self.iovecs[slot] =
                libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        }
    }

    /// Sends the first `count` headers; `fill` has just pointed them into an outbox that is still borrowed.
    fn send_filled(&mut self, socket: BorrowedFd<'_>, count: usize) -> Sent {
        let mut sent = Sent::default();
        let mut pending_errors = 0;
        while sent.done < count {
            let rest = &mut self.headers[sent.done..count];
            // SAFETY: each of these headers names one `Name` and one iovec of `self` at addresses that do not
            // move; the iovecs point into the outbox that `send` borrows, and the kernel only reads.
            let taken = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    rest.as_mut_ptr(),
                    rest.len() as libc::c_uint,
                    libc::MSG_DONTWAIT as _,
                )
            };
            if let Ok(taken) = usize::try_from(taken) {
                sent.done += taken;
                pending_errors = 0;
                continue;
            }
            match SendError::of(&io::Error::last_os_error()) {
                SendError::Again => {}
                SendError::WouldBlock => break,
                SendError::Pending if pending_errors == 0 => pending_errors += 1,
                SendError::Pending | SendError::Refused => {
                    sent.done += 1;
                    sent.refused += 1;
                    pending_errors = 0;
                }
            }
        }
        sent
    }
}

/// The sending side of the sockets.
pub(super) struct Wire {
    send: SendBatch,
    /// Datagrams that the kernel refused.
    pub(super) refused: u64,
}

impl Wire {
    pub(super) fn new(batch: usize) -> Wire {
        Wire { send: SendBatch::new(batch), refused: 0 }
    }

    /// Sends by a listener's socket; returns how many of those picked it has dealt with.
    pub(super) fn send(
        &mut self,
        sockets: &[Socket],
        listener: ListenerId,
        outbox: &Outbox,
        picked: &[u16],
    ) -> usize {
        let Some(socket) = sockets.get(usize::from(listener.0)) else { return 0 };
        let sent = self.send.send(socket.as_fd(), outbox, picked);
        self.refused += sent.refused as u64;
        sent.done
    }
}

/// What an error of `sendmmsg` says about the first datagram of the call.
enum SendError {
    /// Nothing: a signal came.
    Again,
    /// The socket or the device is full for the moment.
    WouldBlock,
    /// Maybe nothing: an ICMP error for an earlier datagram was waiting and is now taken.
    Pending,
    /// This datagram cannot be sent.
    Refused,
}

impl SendError {
    fn of(error: &io::Error) -> SendError {
        match error.raw_os_error() {
            Some(libc::EINTR) => SendError::Again,
            Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => SendError::WouldBlock,
            Some(libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH) => SendError::Pending,
            _ => SendError::Refused,
        }
    }
}

/// One header per name and iovec, naming both. The two must outlive the headers and stay where they are.
fn headers(names: &mut [Name], iovecs: &mut [libc::iovec]) -> Box<[libc::mmsghdr]> {
    let pairs = names.iter_mut().zip(iovecs.iter_mut());
    pairs
        .map(|(name, iovec)| {
            // SAFETY: a header is plain data (the padding of some C libraries forbids a literal), and all
            // zeroes is a valid, empty one.
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            header.msg_hdr.msg_name = (&raw mut *name).cast();
            header.msg_hdr.msg_namelen = Name::BYTES;
            header.msg_hdr.msg_iov = &raw mut *iovec;
            header.msg_hdr.msg_iovlen = 1;
            header
        })
        .collect()
}

/// Both batches point into their own boxes only.
impl std::fmt::Debug for ReceiveBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReceiveBatch").field("capacity", &self.capacity()).finish()
    }
}

impl std::fmt::Debug for SendBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SendBatch").field("capacity", &self.headers.len()).finish()
    }
}

/// A free port of `ip`, for tests: a listener must name its port before it is bound. Nothing reserves it.
///
/// # Errors
/// The kernel's.
pub fn free_address(ip: IpAddr) -> io::Result<SocketAddr> {
    let socket = bind_alone(SocketAddr::new(ip, 0))?;
    local_address(&socket)
}
