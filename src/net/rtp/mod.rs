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

use super::{RtpAddress, RtpSettings};
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

/// After a failure that is none of the port's (no descriptor is left) nothing is bound for this long.
const BIND_PAUSE_MS: u32 = 1_000;

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
            tracing::warn!(
                "media is moved by epoll, at about 1.2 times the CPU time: this kernel has no io_uring with \
                 multishot receives ({error}); Linux 6.1 has"
            );
            Poll::new().map(Mover::Poll)
        })
    }

    /// From now on what comes to the socket is received. Sockets are numbered from 0 without a gap.
    fn watch(&mut self, number: usize, socket: &Socket) -> io::Result<()> {
        match self {
            Mover::Ring(ring) => ring.watch(number as u32, socket.as_raw_fd()),
            Mover::Poll(poll) => poll.watch(number, socket.as_raw_fd()),
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
    /// Pairs that the shard may have, of all addresses together.
    pub pairs_max: usize,
}

/// An address and the pairs that are not bound yet there.
struct Place {
    address: RtpAddress,
    family: Family,
    plan: Plan,
}

/// A shard's sockets for media and what moves packets between them. For one thread.
pub struct Relay {
    /// Goes before the sockets that it watches.
    mover: Mover,
    /// Two for each slot: RTP, RTCP.
    sockets: Vec<Socket>,
    places: Vec<Place>,
    dscp: u8,
    sockets_max: usize,
    bind_again: Now,
    next_turn: Moment,
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
        let place = |&address: &RtpAddress| Place {
            address,
            family: if address.local.is_ipv4() { Family::V4 } else { Family::V6 },
            plan: Plan::new(range, (*shard, *shards), *secret),
        };
        let places: Vec<Place> = settings.addresses.iter().map(place).collect();
        let pairs = places.iter().map(|place| place.plan.len()).sum::<usize>().min(*pairs_max);
        let mut tone = Vec::new();
        tone.reserve_exact(PACKET_BYTES_MAX);
        Ok(Relay {
            // Two families of 32,768 pairs are the most.
            mover: Mover::new(2 * pairs.max(1) as u32)?,
            sockets: Vec::new(),
            places,
            dscp: settings.dscp,
            sockets_max: 2 * pairs,
            bind_again: Now::from_ms(0),
            next_turn: Moment::from_us(0),
            tone,
            counts: Metrics::default(),
        })
    }

    /// Binds what `media` wants, a few pairs at most, and hands it over. A pair that something else has is
    /// passed over for good.
    pub fn bind_wanted(&mut self, now: Now, media: &mut Media) {
        for place in 0..self.places.len() {
            let wanted = media.wanted(now, self.places[place].family);
            for _ in 0..wanted.min(BOUND_AT_ONCE) {
                if now < self.bind_again || !self.bind_next(now, place, media) {
                    break;
                }
            }
        }
    }

    /// Binds the next pair of a place, or passes it over. Returns whether the next may be tried.
    fn bind_next(&mut self, now: Now, place: usize, media: &mut Media) -> bool {
        if self.sockets.len() + 2 > self.sockets_max {
            return false;
        }
        let Place { address, plan, .. } = &mut self.places[place];
        let Some(port) = plan.take() else { return false };
        let pair = socket::bind_pair(address.local, port, self.dscp);
        let watched = pair.and_then(|pair| {
            let first = self.sockets.len();
            for (number, socket) in (first..).zip(&pair) {
                self.mover.watch(number, socket)?;
            }
            self.sockets.extend(pair);
            Ok(())
        });
        match watched {
            Ok(()) => {
                let slot = media.add(SocketAddr::new(address.advertised, port));
                debug_assert_eq!(index(slot, Component::Rtcp) as usize + 1, self.sockets.len());
                true
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::AddrInUse) => {
                self.counts.media_ports_taken += 1;
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
    /// had come.
    ///
    /// # Errors
    /// The kernel's, of the loop itself and not of a packet; the next turn tries again.
    pub fn turn(&mut self, at: Moment, media: &mut Media) -> io::Result<usize> {
        let count = self.mover.receive()?;
        let pause = match count {
            ..LOADED_PACKETS => PAUSE,
            LOADED_PACKETS..BATCH => PAUSE_LOADED,
            _ => Duration::ZERO,
        };
        self.next_turn = Moment::from_us(at.as_us() + pause.as_micros() as u64);
        for index in 0..count {
            if let Some(hop) = self.judge(index, at, media) {
                let Hop { slot, component, destination } = hop;
                self.mover.forward(index, self::index(slot, component), destination)?;
            }
        }
        if count > 0 {
            self.mover.flush()?;
        }
        self.play(at, media);
        self.counts.media_dropped_socket += self.mover.take_refused();
        Ok(count)
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

/// The number of a pair's socket.
const fn index(slot: Slot, component: Component) -> u32 {
    2 * slot.0 + matches!(component, Component::Rtcp) as u32
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").field("pairs", &self.pairs()).finish_non_exhaustive()
    }
}
