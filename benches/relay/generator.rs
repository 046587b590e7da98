//! Plays all parties of all calls and takes the delay of every packet that comes back.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

/// G.711 for 20 ms, with its RTP header.
const PACKET_BYTES: usize = 172;
const PACKETS_PER_SECOND: usize = 50;
/// Where a packet carries the nanosecond that it was sent in.
const STAMP: std::ops::Range<usize> = 12..20;
/// What is still under way when the last packet was sent has this long.
const GRACE: Duration = Duration::from_millis(100);
static BUFFER_BYTES: libc::c_int = 8 << 20;

/// One party's stream.
#[derive(Clone, Copy)]
pub struct Flow {
    /// Which socket it is played from.
    pub party: usize,
    pub place: SocketAddr,
}

pub struct Report {
    pub sent: usize,
    pub received: usize,
    pub elapsed: Duration,
    /// How long others kept the generator from its CPU.
    pub waited: Duration,
    /// In nanoseconds, ascending.
    delays: Vec<u32>,
}

impl Report {
    pub fn delay_ms(&self, quantile: f64) -> f64 {
        let last = self.delays.len().saturating_sub(1);
        let index = (quantile * last as f64) as usize;
        self.delays.get(index).map_or(f64::NAN, |nanoseconds| f64::from(*nanoseconds) / 1e6)
    }
}

/// A socket with room for a burst.
pub fn socket() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    for option in [libc::SO_RCVBUFFORCE, libc::SO_RCVBUF] {
        // SAFETY: the kernel reads one `int`. Without the privilege the second one does what is allowed.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                option,
                (&raw const BUFFER_BYTES).cast(),
                size_of_val(&BUFFER_BYTES) as libc::socklen_t,
            )
        };
        if result == 0 {
            break;
        }
    }
    socket
}

/// Slots for `recvmmsg` and `sendmmsg`.
pub struct Batch {
    names: Box<[libc::sockaddr_in]>,
    iovecs: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
    bytes: Box<[u8]>,
    count: usize,
}

impl Batch {
    const SLOTS: usize = 64;
    const SLOT_BYTES: usize = 2_048;

    pub fn new() -> Batch {
        let mut bytes = vec![0; Batch::SLOTS * Batch::SLOT_BYTES].into_boxed_slice();
        // SAFETY: all zeroes are valid names and headers.
        let (name, header): (libc::sockaddr_in, libc::mmsghdr) =
            unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        let mut names = vec![name; Batch::SLOTS].into_boxed_slice();
        let slots = bytes.chunks_mut(Batch::SLOT_BYTES);
        let iovec = |slot: &mut [u8]| libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() };
        let mut iovecs: Box<[libc::iovec]> = slots.map(iovec).collect();
        let mut headers = vec![header; Batch::SLOTS].into_boxed_slice();
        for ((header, name), iovec) in headers.iter_mut().zip(&mut names).zip(&mut iovecs) {
            header.msg_hdr.msg_name = (&raw mut *name).cast();
            header.msg_hdr.msg_iov = &raw mut *iovec;
            header.msg_hdr.msg_iovlen = 1;
        }
        Batch { names, iovecs, headers, bytes, count: 0 }
    }

    /// Takes what waits; returns how many.
    pub fn receive(&mut self, socket: RawFd) -> usize {
        for (header, iovec) in self.headers.iter_mut().zip(&mut self.iovecs) {
            header.msg_hdr.msg_namelen = size_of_val(&self.names[0]) as libc::socklen_t;
            iovec.iov_len = Batch::SLOT_BYTES;
        }
        // SAFETY: each header names a name, an iovec and a slot of `self`, which do not move.
        let count = unsafe {
            let headers = self.headers.as_mut_ptr();
            libc::recvmmsg(
                socket,
                headers,
                Batch::SLOTS as u32,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        self.count = usize::try_from(count).unwrap_or(0);
        self.count
    }

    /// Sends what was received to whoever it came from.
    pub fn send_back(&mut self, socket: RawFd) {
        for (header, iovec) in self.headers.iter().zip(&mut self.iovecs).take(self.count) {
            iovec.iov_len = header.msg_len as usize;
        }
        // SAFETY: as in `receive`. What the kernel does not take counts as lost.
        unsafe {
            libc::sendmmsg(socket, self.headers.as_mut_ptr(), self.count as u32, libc::MSG_DONTWAIT as _)
        };
    }

    fn packets(&self) -> impl Iterator<Item = &[u8]> {
        let slots = self.bytes.chunks(Batch::SLOT_BYTES).zip(&self.headers).take(self.count);
        slots.map(|(slot, header)| &slot[..header.msg_len as usize])
    }
}

/// Sends every flow's packets in their time, never sleeping, and receives what comes to the parties.
pub fn generate(parties: &[UdpSocket; 2], flows: &[Flow], length: Duration) -> Report {
    let per_second = flows.len() * PACKETS_PER_SECOND;
    let total = (per_second as f64 * length.as_secs_f64()) as usize;
    let mut delays = Vec::with_capacity(total);
    let (mut packet, mut batch) = ([0; PACKET_BYTES], Batch::new());
    packet[0] = 0x80;
    let start = Instant::now();
    let mut sent = 0;
    let mut last = start;
    while sent < total || (delays.len() < sent && last.elapsed() < GRACE) {
        let due = (start.elapsed().as_secs_f64() * per_second as f64) as usize;
        // A few at a time, so that what has come does not wait.
        let until = due.min(total).min(sent + 8);
        while sent < until {
            let flow = sent % flows.len();
            let Flow { party, place } = flows[flow];
            let sequence = (sent / flows.len()) as u32;
            packet[2..4].copy_from_slice(&(sequence as u16).to_be_bytes());
            packet[4..8].copy_from_slice(&(160 * sequence).to_be_bytes());
            packet[8..12].copy_from_slice(&(flow as u32 + 1).to_be_bytes());
            packet[STAMP].copy_from_slice(&(start.elapsed().as_nanos() as u64).to_be_bytes());
            parties[party].send_to(&packet, place).expect("sent");
            sent += 1;
            last = Instant::now();
        }
        for party in parties {
            if batch.receive(party.as_raw_fd()) == 0 {
                continue;
            }
            let now = start.elapsed().as_nanos() as u64;
            for packet in batch.packets() {
                let stamp: [u8; 8] = packet[STAMP].try_into().expect("a packet of ours");
                delays.push(u32::try_from(now - u64::from_be_bytes(stamp)).unwrap_or(u32::MAX));
            }
        }
    }
    let elapsed = length.max(last - start);
    delays.sort_unstable();
    Report { sent, received: delays.len(), elapsed, waited: Duration::ZERO, delays }
}
