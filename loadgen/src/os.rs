//! The system calls that std lacks: batches of datagrams, epoll with nanoseconds, CPU affinity. All of the
//! generator's `unsafe` is here.

use crate::outbox::Outgoing;
use crate::trains::{SEGMENTS, Trains};
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

/// Headers for one `sendmmsg`, each for a train of datagrams of one length to one destination, which the
/// kernel takes apart (UDP_SEGMENT): most of a datagram's cost is its way down the stack, and a train goes
/// once.
pub struct Sender {
    addresses: Vec<sockaddr_in>,
    vectors: Vec<iovec>,
    controls: Vec<Control>,
    headers: Vec<mmsghdr>,
    trains: Trains,
    /// Cleared when the kernel refuses a train; from then on each datagram goes by itself.
    by_train: bool,
}

/// The control message that names a train's segment length.
#[repr(C)]
#[derive(Clone, Copy)]
struct Control {
    header: libc::cmsghdr,
    segment: u16,
    _padding: [u16; 3],
}

impl Sender {
    pub fn new() -> Sender {
        let mut addresses = vec![NO_ADDRESS; BATCH];
        let mut vectors = vec![iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH];
        let headers = (0..BATCH).map(|i| header(&mut addresses[i], &mut vectors[i])).collect();
        let cmsghdr = libc::cmsghdr {
            cmsg_len: size_of::<libc::cmsghdr>() + size_of::<u16>(),
            cmsg_level: libc::SOL_UDP,
            cmsg_type: libc::UDP_SEGMENT,
        };
        let control = Control { header: cmsghdr, segment: 0, _padding: [0; 3] };
        let controls = vec![control; BATCH];
        Sender { addresses, vectors, controls, headers, trains: Trains::new(), by_train: true }
    }

    /// Sends datagrams that lie in `arena`, each call's own in their order. Returns how many the kernel
    /// refused. Those are lost as on a real network: retransmissions bring them again.
    pub fn send(&mut self, socket: &UdpSocket, arena: &[u8], datagrams: &[Outgoing]) -> usize {
        datagrams.chunks(BATCH).map(|chunk| self.send_batch(socket, arena, chunk)).sum()
    }

    fn send_batch(&mut self, socket: &UdpSocket, arena: &[u8], datagrams: &[Outgoing]) -> usize {
        let longest = if self.by_train { SEGMENTS } else { 1 };
        let count = self.couple(arena, datagrams, longest);
        let (mut sent, mut refused) = (0, 0);
        while sent < count {
            // SAFETY: the headers from `sent` to `count` point to vectors, addresses and controls that
            // `couple` has set; the vectors point into `arena`, which outlives the call; the kernel only
            // reads it.
            let result = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    self.headers[sent..].as_mut_ptr(),
                    (count - sent) as _,
                    libc::MSG_DONTWAIT as _,
                )
            };
            if result > 0 {
                sent += result as usize;
                continue;
            }
            let cars = self.headers[sent].msg_hdr.msg_iovlen;
            match io::Error::last_os_error().raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::EINVAL | libc::EIO | libc::EOPNOTSUPP) if cars > 1 => {
                    // A kernel or a device that knows no trains: what is left goes one by one.
                    self.by_train = false;
                    let left = self.trains.from(sent, datagrams);
                    return refused + self.send_batch(socket, arena, &left);
                }
                // No buffer, or an ICMP error of an earlier datagram: the next may go.
                _ => {
                    sent += 1;
                    refused += cars;
                }
            }
        }
        refused
    }

    /// Points the headers to trains of `datagrams`, of `longest` at most; returns how many trains there are.
    fn couple(&mut self, arena: &[u8], datagrams: &[Outgoing], longest: usize) -> usize {
        self.trains.couple(datagrams, longest);
        let mut vector = 0;
        for (train, cars) in self.trains.each().enumerate() {
            let first = &datagrams[usize::from(cars[0])];
            self.addresses[train] = to_sockaddr(first.destination);
            self.controls[train].segment = first.length as u16;
            let is_train = cars.len() > 1;
            let control = &raw mut self.controls[train];
            let header = &mut self.headers[train].msg_hdr;
            header.msg_iov = &raw mut self.vectors[vector];
            header.msg_iovlen = cars.len();
            header.msg_control = if is_train { control.cast() } else { std::ptr::null_mut() };
            header.msg_controllen = if is_train { size_of::<Control>() } else { 0 };
            for car in cars {
                let datagram = &datagrams[usize::from(*car)];
                let bytes = &arena[datagram.start as usize..][..datagram.length as usize];
                self.vectors[vector] =
                    iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
                vector += 1;
            }
        }
        self.trains.count()
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

/// More sockets than this are not told of at a time: what is due goes first.
const MOST_EVENTS: usize = 256;

/// Waits until one of a set of sockets is readable.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Poller {
    /// Watches `sockets`; [`Poller::wait`] names them by their place in the slice.
    pub fn new(sockets: &[&UdpSocket]) -> io::Result<Poller> {
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
        let places = sockets.len().clamp(1, MOST_EVENTS);
        Ok(Poller { epoll, events: vec![libc::epoll_event { events: 0, u64: 0 }; places] })
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

/// Lets this process have so many descriptors, if the hard limit allows it.
///
/// # Errors
/// The hard limit.
pub fn raise_descriptor_limit(needed: u64) -> Result<(), u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` outlives the call.
    let is_known = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0;
    if !is_known || limit.rlim_cur >= needed {
        return Ok(());
    }
    if limit.rlim_max < needed {
        return Err(limit.rlim_max);
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` outlives the call. A failure shows when sockets are bound.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    Ok(())
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

/// A reader of our output that has gone (`| head`) ends the process quietly, as it does other programs.
pub fn end_with_the_pipe() {
    // SAFETY: SIG_DFL runs no code of ours. A failure leaves the signal ignored, as Rust sets it.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// Whether Ctrl-C was pressed.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}
