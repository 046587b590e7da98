//! The system calls that std lacks: batches of datagrams, epoll with nanoseconds, CPU affinity. All of the
//! generator's `unsafe` is here.

use crate::outbox::Outgoing;
use libc::{iovec, mmsghdr, sockaddr_in};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::mem::size_of;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Datagrams per system call.
pub const BATCH: usize = 64;
/// The longest datagram that is received whole: a SIP message over UDP seldom exceeds the 1,500 bytes of a
/// link, and loopback's own largest is met by no server that this generator plays against.
const DATAGRAM_BYTES: usize = 4096;
const PADDING: usize = ringway::limits::SCAN_PADDING;
/// Not a power of two, so that the buffers' first lines do not all fall into one set of the cache.
const STRIDE: usize = DATAGRAM_BYTES + 2 * PADDING;
/// What is asked for; the kernel grants at most `net.core.rmem_max`.
const SOCKET_BUFFER_BYTES: usize = 8 << 20;

/// A bound, non-blocking UDP socket with large buffers.
pub fn bind(address: SocketAddrV4) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
    // A refusal leaves the default size, which shows as datagrams lost and counted.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    socket.bind(&SockAddr::from(address))?;
    Ok(socket.into())
}

/// Buffers for one `recvmmsg`.
pub struct Receiver {
    buffers: Vec<u8>,
    addresses: Vec<sockaddr_in>,
    /// Held for `headers`, which point into it.
    _vectors: Vec<iovec>,
    headers: Vec<mmsghdr>,
}

impl Receiver {
    pub fn new() -> Receiver {
        let mut buffers = vec![0u8; STRIDE * BATCH];
        let mut addresses = vec![NO_ADDRESS; BATCH];
        let mut vectors: Vec<iovec> = (0..BATCH)
            .map(|i| iovec { iov_base: buffers[i * STRIDE..].as_mut_ptr().cast(), iov_len: DATAGRAM_BYTES })
            .collect();
        let headers = (0..BATCH).map(|i| header(&mut addresses[i], &mut vectors[i])).collect();
        Receiver { buffers, addresses, _vectors: vectors, headers }
    }

    /// Receives what is there, at most [`BATCH`] datagrams; 0: nothing.
    ///
    /// # Errors
    /// What the kernel says, save for an error that an earlier datagram left (ICMP): that one is read away.
    pub fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        loop {
            // SAFETY: the headers point to as many vectors, addresses and buffers of STRIDE bytes, which
            // this struct owns, never resizes and does not borrow out during the call.
            let count = unsafe {
                libc::recvmmsg(
                    socket.as_raw_fd(),
                    self.headers.as_mut_ptr(),
                    BATCH as _,
                    libc::MSG_DONTWAIT as _,
                    std::ptr::null_mut(),
                )
            };
            if count >= 0 {
                return Ok(count as usize);
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EAGAIN) => return Ok(0),
                Some(libc::EINTR | libc::ECONNREFUSED) => {}
                _ => return Err(error),
            }
        }
    }

    /// A received datagram: its buffer, zero-padded behind it, its length and who sent it. A datagram that
    /// was too long for the buffer comes as `None`.
    #[inline]
    pub fn datagram(&mut self, index: usize) -> Option<(&mut [u8], usize, SocketAddrV4)> {
        let header = &mut self.headers[index];
        let truncated = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        header.msg_hdr.msg_namelen = size_of::<sockaddr_in>() as u32;
        header.msg_hdr.msg_flags = 0;
        if truncated {
            return None;
        }
        let length = header.msg_len as usize;
        let address = &self.addresses[index];
        let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
        let source = SocketAddrV4::new(ip, u16::from_be(address.sin_port));
        let buffer = &mut self.buffers[index * STRIDE..][..length + PADDING];
        buffer[length..].fill(0);
        Some((buffer, length, source))
    }
}

/// Headers for one `sendmmsg`.
pub struct Sender {
    addresses: Vec<sockaddr_in>,
    vectors: Vec<iovec>,
    headers: Vec<mmsghdr>,
}

impl Sender {
    pub fn new() -> Sender {
        let mut addresses = vec![NO_ADDRESS; BATCH];
        let mut vectors = vec![iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH];
        let headers = (0..BATCH).map(|i| header(&mut addresses[i], &mut vectors[i])).collect();
        Sender { addresses, vectors, headers }
    }

    /// Sends datagrams that lie in `arena`, in order; returns how many the kernel refused. Those are lost as
    /// on a real network: retransmissions bring them again.
    pub fn send(&mut self, socket: &UdpSocket, arena: &[u8], datagrams: &[Outgoing]) -> usize {
        datagrams.chunks(BATCH).map(|chunk| self.send_batch(socket, arena, chunk)).sum()
    }

    fn send_batch(&mut self, socket: &UdpSocket, arena: &[u8], datagrams: &[Outgoing]) -> usize {
        for (i, datagram) in datagrams.iter().enumerate() {
            let bytes = &arena[datagram.start as usize..][..datagram.length as usize];
            self.vectors[i] = iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
            self.addresses[i] = to_sockaddr(datagram.destination);
        }
        let (mut sent, mut refused) = (0, 0);
        while sent < datagrams.len() {
            // SAFETY: the headers from `sent` to `datagrams.len()` point to vectors and addresses that were
            // set above; the vectors point into `arena`, which outlives the call; the kernel only reads it.
            let count = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    self.headers[sent..].as_mut_ptr(),
                    (datagrams.len() - sent) as _,
                    libc::MSG_DONTWAIT as _,
                )
            };
            if count > 0 {
                sent += count as usize;
            } else if io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
                // The first datagram was refused (no buffer, or an ICMP error of an earlier one): the next
                // may go.
                sent += 1;
                refused += 1;
            }
        }
        refused
    }
}

const NO_ADDRESS: sockaddr_in =
    sockaddr_in { sin_family: 0, sin_port: 0, sin_addr: libc::in_addr { s_addr: 0 }, sin_zero: [0; 8] };

fn to_sockaddr(address: SocketAddrV4) -> sockaddr_in {
    sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    }
}

fn header(address: &mut sockaddr_in, vector: &mut iovec) -> mmsghdr {
    // SAFETY: mmsghdr is integers and pointers: all zero is a value of it.
    let mut header: mmsghdr = unsafe { std::mem::zeroed() };
    header.msg_hdr.msg_name = std::ptr::from_mut(address).cast();
    header.msg_hdr.msg_namelen = size_of::<sockaddr_in>() as u32;
    header.msg_hdr.msg_iov = vector;
    header.msg_hdr.msg_iovlen = 1;
    header
}

/// Waits until one of a set of sockets is readable.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Poller {
    /// Watches `sockets`; [`Poller::wait`] names them by their place in the slice.
    pub fn new(sockets: &[UdpSocket]) -> io::Result<Poller> {
        // SAFETY: takes no pointer.
        let descriptor = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and belongs to nobody else.
        let epoll = unsafe { OwnedFd::from_raw_fd(descriptor) };
        for (socket, place) in sockets.iter().zip(0u64..) {
            let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: place };
            // SAFETY: both descriptors are open and `event` outlives the call.
            let result = unsafe {
                libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, socket.as_raw_fd(), &raw mut event)
            };
            if result < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(Poller { epoll, events: vec![libc::epoll_event { events: 0, u64: 0 }; sockets.len().max(1)] })
    }

    /// Waits for at most `timeout_ns`; returns how many sockets are readable.
    pub fn wait(&mut self, timeout_ns: u64) -> io::Result<usize> {
        let timeout = libc::timespec {
            tv_sec: (timeout_ns / 1_000_000_000) as _,
            tv_nsec: (timeout_ns % 1_000_000_000) as _,
        };
        // SAFETY: `events` has room for as many events as are asked for; `timeout` outlives the call; no
        // signal mask is passed.
        let count = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.epoll.as_raw_fd(),
                self.events.as_mut_ptr(),
                self.events.len() as libc::c_int,
                &raw const timeout,
                std::ptr::null::<libc::sigset_t>(),
                0usize,
            )
        };
        if count >= 0 {
            return Ok(count as usize);
        }
        let error = io::Error::last_os_error();
        if error.kind() == io::ErrorKind::Interrupted { Ok(0) } else { Err(error) }
    }

    /// The place of a readable socket.
    pub fn ready(&self, index: usize) -> usize {
        self.events[index].u64 as usize
    }
}

/// Lets this thread run on one CPU only, and lets its short sleeps be short.
pub fn pin_to_cpu(cpu: usize) -> io::Result<()> {
    // SAFETY: cpu_set_t is an array of integers: all zero is a value of it.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    if cpu >= 8 * size_of::<libc::cpu_set_t>() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: `cpu` lies inside the set; the set outlives both calls; 0 means this thread.
    let result = unsafe {
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Lets this thread's sleeps end on time: the kernel rounds them by 50 µs unless told otherwise.
pub fn sleep_precisely() {
    // SAFETY: PR_SET_TIMERSLACK takes one integer. A failure leaves the default slack.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong) };
}

/// Clock ticks per second in /proc/PID/stat.
pub fn clock_ticks_per_second() -> u64 {
    // SAFETY: takes no pointer.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    u64::try_from(ticks).unwrap_or(100).max(1)
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn on_interrupt(_: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// From now on the first interrupt (Ctrl-C) is noted and the second ends the process.
pub fn catch_interrupt() {
    // SAFETY: the handler only stores to an atomic, which is async-signal-safe; SA_RESETHAND restores the
    // default for the second signal. A failure leaves the default: the first one ends the process.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_interrupt as extern "C" fn(libc::c_int) as libc::sighandler_t;
        action.sa_flags = libc::SA_RESETHAND;
        libc::sigaction(libc::SIGINT, &raw const action, std::ptr::null_mut());
    }
}

/// Whether Ctrl-C was pressed.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}
