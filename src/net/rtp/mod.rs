//! The packet loop of anchored media: a shard's pairs of sockets, bound ahead of need and kept, and turns
//! that move what has come in batches. What goes where is [`crate::media`]'s matter.
//!
//! While a call has media a turn is made about once a millisecond, never because a packet has come: fifty
//! packets then share the price of waking up, and the delay stays below that of a voice codec's sample
//! buffers. A turn moves at most [`BATCH`] packets, so that a flood leaves SIP its time.

mod check;
mod plan;
mod poll;
mod ring;
mod socket;
#[cfg(test)]
mod tests;

pub(super) use check::check;
pub use plan::Plan;

use super::{RtpAddress, RtpSettings, udp};
use crate::clock::{Moment, Now};
use crate::media::{Component, Family, Hop, Media, Slot, Verdict};
use crate::metrics::Metrics;
use poll::Poll;
use ring::Ring;
use socket2::Socket;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// Packets that one turn moves at most: 1.2 ms' worth on a slow core.
const BATCH: usize = 256;

/// Longer packets are dropped: RTP fits into an Ethernet frame, and some of what calls itself RTP into two.
const PACKET_BYTES_MAX: usize = 2048;

/// From one turn to the next.
const PAUSE: Duration = Duration::from_millis(1);

/// The same after a turn that moved many packets: larger batches would cost delay and save nothing. After a
/// full one more packets wait, and only SIP goes first.
const PAUSE_LOADED: Duration = Duration::from_micros(500);
const LOADED_PACKETS: usize = 64;

/// Packets of tones that one turn sends at most.
const TONES: usize = 256;

/// Pairs that are bound at once, about a millisecond's work: as many as a batch of datagrams may take. The
/// next step binds more.
const BOUND_AT_ONCE: usize = 128;

/// The same while calls have media, whose packets wait meanwhile.
const BOUND_AT_ONCE_ACTIVE: usize = 8;

/// After a failure that is none of the port's (no descriptor is left) nothing is bound for this long.
const BIND_PAUSE_MS: u32 = 1_000;

/// When all others are bound, a pair that something else had is tried again this often.
const TAKEN_PAUSE_MS: u64 = 20;

/// After an error that lasts the packet loop rests for this long.
const ERROR_PAUSE: Duration = Duration::from_millis(50);

/// Turns in a row that may fail for want of memory or room before that is an error that lasts.
const FAILURES_PASSING: u32 = 20;

/// Sockets that are asked at once how many packets the kernel dropped for them, 5 µs' work.
const SOCKETS_ASKED: usize = 32;

/// A packet in its slot.
struct Arrived<'a> {
    socket: u32,
    source: SocketAddr,
    bytes: &'a [u8],
}

/// How packets are received and sent.
#[expect(clippy::large_enum_variant, reason = "there is one per shard")]
enum Mover {
    Ring(Ring),
    Poll(Poll),
}

impl Mover {
    fn new(sockets_max: u32) -> io::Result<Mover> {
        Ring::new(sockets_max).map(Mover::Ring).or_else(|error| {
            let why = why_no_ring(&error);
            tracing::warn!("media is moved by epoll, at about 1.2 times the CPU time: {why}");
            Poll::new().map(Mover::Poll)
        })
    }

    /// From now on what comes to the pair's sockets is received. Sockets are numbered from 0 without a gap.
    fn watch(&mut self, first: usize, pair: &[Socket; 2]) -> io::Result<()> {
        let pair = pair.each_ref().map(AsRawFd::as_raw_fd);
        match self {
            Mover::Ring(ring) => ring.watch(first as u32, pair),
            Mover::Poll(poll) => poll.watch(first, pair),
        }
    }

    fn receive(&mut self) -> io::Result<usize> {
        match self {
            Mover::Ring(ring) => ring.receive(),
            Mover::Poll(poll) => poll.receive(),
        }
    }

    /// Packet `index` of those that were just received; `None`: it is too long, or from nowhere.
    fn packet(&mut self, index: usize) -> Option<Arrived<'_>> {
        match self {
            Mover::Ring(ring) => ring.packet(index),
            Mover::Poll(poll) => poll.packet(index),
        }
    }

    /// Packet `index` leaves by `socket` at the next flush.
    fn forward(&mut self, index: usize, socket: u32, destination: SocketAddr) -> io::Result<()> {
        match self {
            Mover::Ring(ring) => ring.forward(index, socket, destination),
            Mover::Poll(poll) => {
                poll.forward(index, socket, destination);
                Ok(())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Mover::Ring(ring) => ring.flush(),
            Mover::Poll(_) => Ok(()),
        }
    }

    /// Packets that the kernel did not take since the last call: RTP has no use for them later.
    fn take_refused(&mut self) -> u64 {
        match self {
            Mover::Ring(ring) => ring.take_refused(),
            Mover::Poll(poll) => poll.take_refused(),
        }
    }
}

/// What a shard's relay is made from.
#[derive(Clone, Debug)]
pub struct Share {
    pub settings: RtpSettings,
    pub shard: u16,
    pub shards: u16,
    /// Hides in which order ports are taken.
    pub secret: u64,
    /// Pairs that the shard may have; each address gets the same part of them.
    pub pairs_max: usize,
}

/// An address and the pairs that are not bound yet there.
struct Place {
    address: RtpAddress,
    family: Family,
    plan: Plan,
    /// Pairs that may still be bound: what one family takes is not the other's.
    left: usize,
    /// When a pair that something else had may be tried again.
    taken_again: Now,
}

/// A shard's sockets for media and what moves packets between them. For one thread.
pub struct Relay {
    /// Goes before the sockets that it watches.
    mover: Mover,
    /// Two for each slot: RTP, RTCP.
    sockets: Vec<Socket>,
    places: Vec<Place>,
    dscp: u8,
    bind_again: Now,
    next_turn: Moment,
    /// Turns in a row that have failed.
    failures: u32,
    /// What the kernel said last of each socket's drops, and whose turn to be asked it is.
    drops: Vec<u32>,
    asked: usize,
    /// The packet of a tone that is being sent.
    tone: Vec<u8>,
    /// What `media` does not see.
    counts: Metrics,
}

impl Relay {
    /// A relay without any pair; [`Relay::bind_wanted`] makes them.
    ///
    /// # Errors
    /// No memory or no descriptor.
    pub fn new(share: &Share) -> io::Result<Relay> {
        let Share { settings, shard, shards, secret, pairs_max } = share;
        let range = (settings.first_port, settings.last_port);
        let part = pairs_max / settings.addresses.len().max(1);
        let place = |&address: &RtpAddress| {
            let plan = Plan::new(range, (*shard, *shards), *secret);
            Place {
                address,
                family: Family::of_ip(address.local),
                left: plan.len().min(part),
                plan,
                taken_again: Now::from_ms(0),
            }
        };
        let places: Vec<Place> = settings.addresses.iter().map(place).collect();
        let pairs: usize = places.iter().map(|place| place.left).sum();
        let mut tone = Vec::new();
        tone.reserve_exact(PACKET_BYTES_MAX);
        Ok(Relay {
            // Two families of 32,768 pairs are the most.
            mover: Mover::new(2 * pairs.max(1) as u32)?,
            sockets: Vec::new(),
            places,
            dscp: settings.dscp,
            bind_again: Now::from_ms(0),
            next_turn: Moment::from_us(0),
            failures: 0,
            drops: Vec::new(),
            asked: 0,
            tone,
            counts: Metrics::default(),
        })
    }

    /// Binds what `media` wants, a few pairs at most, and hands it over. A pair that something else has is
    /// tried again when all others are bound.
    pub fn bind_wanted(&mut self, now: Now, media: &mut Media) {
        let mut room = if media.is_active() { BOUND_AT_ONCE_ACTIVE } else { BOUND_AT_ONCE };
        for place in 0..self.places.len() {
            let wanted = media.wanted(now, self.places[place].family);
            for _ in 0..wanted.min(room) {
                if now < self.bind_again || !self.bind_next(now, place, media) {
                    break;
                }
                room -= 1;
            }
        }
    }

    /// Binds the next pair of a place, or sets it aside. Returns whether the next may be tried.
    fn bind_next(&mut self, now: Now, place: usize, media: &mut Media) -> bool {
        let Place { address, plan, left, taken_again, .. } = &mut self.places[place];
        if *left == 0 {
            return false;
        }
        let fresh = plan.take();
        let again = || if now < *taken_again { None } else { plan.take_again() };
        let Some(port) = fresh.or_else(again) else { return false };
        let first = self.sockets.len();
        let pair = socket::bind_pair(address.local, port, self.dscp);
        match pair.and_then(|pair| self.mover.watch(first, &pair).map(|()| pair)) {
            Ok(pair) => {
                *left -= 1;
                self.sockets.extend(pair);
                self.drops.extend([0, 0]);
                let slot = media.add(SocketAddr::new(address.advertised, port));
                debug_assert_eq!(index(slot, Component::Rtcp) as usize + 1, self.sockets.len());
                true
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::AddrInUse) => {
                plan.set_aside(port);
                self.counts.media_ports_taken += u64::from(fresh.is_some());
                *taken_again = Now::from_ms(now.as_ms() + TAKEN_PAUSE_MS);
                true
            }
            Err(error) => {
                tracing::warn!(
                    "no more ports for media can be opened ({error}); look at `ulimit -n` and `ip address`"
                );
                plan.put_back(port);
                self.bind_again = Now::from_ms(now.as_ms() + u64::from(BIND_PAUSE_MS));
                false
            }
        }
    }

    /// Whether the next turn is due.
    #[must_use]
    pub fn is_due(&self, at: Moment) -> bool {
        at >= self.next_turn
    }

    /// How long it is until the next turn is due.
    #[must_use]
    pub fn pause(&self, at: Moment) -> Duration {
        Duration::from_micros(self.next_turn.as_us().saturating_sub(at.as_us()))
    }

    /// Moves what has come by now, at most a batch, and sends what tones are due. Returns how many packets
    /// had come. After a failure that may pass the next turn tries again.
    ///
    /// # Errors
    /// The kernel's, of the loop itself and not of a packet, that last; the next turn is due later then.
    pub fn turn(&mut self, at: Moment, media: &mut Media) -> io::Result<usize> {
        let moved = self.move_packets(at, media);
        self.play(at, media);
        self.counts.media_dropped_socket += self.mover.take_refused();
        let (pause, result) = match moved {
            Ok(count) => {
                self.failures = 0;
                let pause = match count {
                    ..LOADED_PACKETS => PAUSE,
                    LOADED_PACKETS..BATCH => PAUSE_LOADED,
                    _ => Duration::ZERO,
                };
                (pause, Ok(count))
            }
            Err(error) => self.failed(error),
        };
        self.next_turn = Moment::from_us(at.as_us() + pause.as_micros() as u64);
        result
    }

    /// How long the loop rests after `error`, and what the turn tells of it.
    fn failed(&mut self, error: io::Error) -> (Duration, io::Result<usize>) {
        self.failures = self.failures.saturating_add(1);
        if ring::is_passing(&error) && self.failures <= FAILURES_PASSING {
            return (PAUSE, Ok(0));
        }
        (ERROR_PAUSE, Err(error))
    }

    fn move_packets(&mut self, at: Moment, media: &mut Media) -> io::Result<usize> {
        let count = self.mover.receive()?;
        let mut outcome = Ok(count);
        for index in 0..count {
            if let Some(hop) = self.judge(index, at, media) {
                let Hop { slot, component, destination } = hop;
                if let Err(error) = self.mover.forward(index, self::index(slot, component), destination) {
                    self.counts.media_dropped_socket += 1;
                    outcome = Err(error);
                }
            }
        }
        if count > 0 {
            self.mover.flush()?;
        }
        outcome
    }

    /// Asks the kernel of a few sockets, the next ones each time, how many packets it dropped because their
    /// buffers were full, and counts what is new.
    pub fn ask_for_drops(&mut self) {
        for _ in 0..SOCKETS_ASKED.min(self.sockets.len()) {
            self.asked = (self.asked + 1) % self.sockets.len();
            // The kernel's counter has 32 bits, and goes round.
            let dropped = udp::kernel_drops(self.sockets[self.asked].as_fd()) as u32;
            let known = std::mem::replace(&mut self.drops[self.asked], dropped);
            self.counts.media_dropped_socket += u64::from(dropped.wrapping_sub(known));
        }
    }

    /// Asks `media` what becomes of a packet.
    fn judge(&mut self, index: usize, at: Moment, media: &mut Media) -> Option<Hop> {
        let Some(Arrived { socket, source, bytes }) = self.mover.packet(index) else {
            self.counts.media_dropped_malformed += 1;
            return None;
        };
        let component = if socket.is_multiple_of(2) { Component::Rtp } else { Component::Rtcp };
        match media.handle_packet(at, (Slot(socket / 2), component), source, bytes) {
            Verdict::Relay(hop) => Some(hop),
            Verdict::Drop(_) => None,
        }
    }

    fn play(&mut self, at: Moment, media: &mut Media) {
        for _ in 0..TONES {
            self.tone.clear();
            let Some(hop) = media.poll_tone(at, &mut self.tone) else { return };
            let socket = self.sockets.get(index(hop.slot, hop.component) as usize);
            let is_sent =
                socket.is_some_and(|socket| socket::send(socket.as_fd(), hop.destination, &self.tone));
            self.counts.media_dropped_socket += u64::from(!is_sent);
        }
    }

    /// Adds what `media` counts, and what it does not see: packets that are too long or that the kernel did
    /// not take, and pairs that could not be bound.
    pub fn count_into(&self, metrics: &mut Metrics, media: &Media) {
        let counts = media.counts();
        metrics.add(&self.counts);
        metrics.media_packets_relayed += counts.relayed;
        metrics.media_packets_played += counts.played;
        metrics.media_dropped_stray += counts.stray;
        metrics.media_dropped_source += counts.source;
        metrics.media_dropped_malformed += counts.malformed;
        metrics.media_dropped_stun += counts.stun;
        metrics.media_dropped_nowhere += counts.nowhere;
    }

    /// Pairs that are bound.
    #[must_use]
    pub fn pairs(&self) -> usize {
        self.sockets.len() / 2
    }
}

/// Why a shard has no ring, and the cure.
fn why_no_ring(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => format!(
            "io_uring is forbidden to this process ({error}); allow it in the seccomp profile (Docker's \
             default one forbids it) or by `sysctl kernel.io_uring_disabled=0`"
        ),
        Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP) => {
            format!("this kernel has no io_uring with multishot receives ({error}); Linux 6.1 has")
        }
        Some(libc::ENOMEM) => {
            format!("io_uring may not have the memory that it needs ({error}); raise `ulimit -l`")
        }
        _ => format!("io_uring failed ({error})"),
    }
}

/// The number of a pair's socket.
const fn index(slot: Slot, component: Component) -> u32 {
    2 * slot.0 + matches!(component, Component::Rtcp) as u32
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").field("pairs", &self.pairs()).finish_non_exhaustive()
    }
}
