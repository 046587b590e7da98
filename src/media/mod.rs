//! The server's own media ports: who sends where, from where a party may send, what is counted and played.
//!
//! It is pure: the shell binds the sockets, receives, and sends what [`Media::handle_packet`] and
//! [`Media::poll_tone`] tell it to; the calls open, describe, join and close endpoints.
//!
//! A packet's way: [`Slot`] → [`endpoint`] by index → [`latch`] (is it the party's?) → [`figures`] → the
//! endpoint that it is joined to → [`Hop`]. Payloads are never looked at. Nothing is allocated and nothing
//! hashed for a packet.

mod endpoint;
pub mod figures;
mod g711;
pub mod latch;
mod pool;
mod reach;
pub mod rtp;
mod tone;

use crate::clock::{Moment, Now};
use crate::settings;
use crate::slab::{Handle, Slab};
use endpoint::{Endpoint, Taken, Taking};
use pool::Pool;
use std::net::{IpAddr, SocketAddr};
use tone::Player;

pub use pool::LOW_WATER;

/// Pairs of ports that one shard can have: half of all ports, of each family.
const PAIRS_MAX: u32 = 2 * 32_768;

/// A pair of sockets of the shell's: RTP on an even port, RTCP on the next. Numbered from 0 in the order of
/// [`Media::add`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot(pub u32);

/// Which socket of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Component {
    Rtp,
    Rtcp,
}

/// The address family of a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    V4,
    V6,
}

/// Where a packet leaves: the shell sends it from this socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    pub slot: Slot,
    pub component: Component,
    pub destination: SocketAddr,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Relay(Hop),
    Drop(Dropped),
}

/// Why a packet goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The port is free.
    Stray,
    /// Not from where the party sends.
    Source,
    /// It is no RTP or RTCP.
    Malformed,
    /// STUN (RFC 8489), which is not ours to answer.
    Stun,
    /// Nobody is on the other side, or it is nowhere yet.
    Nowhere,
}

/// µ-law or A-law (ITU-T G.711).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    Mu,
    A,
}

/// G.711 as a party takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct G711 {
    pub payload_type: u8,
    pub law: Law,
}

/// A stream as a party has described it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Where it wants RTP; `None`: nowhere (0.0.0.0, port 0).
    pub rtp: Option<SocketAddr>,
    /// Where it wants RTCP; `None`: nowhere.
    pub rtcp: Option<SocketAddr>,
    /// Where its signalling comes from: another host than `rtp`'s means that it is behind a NAT.
    pub host: IpAddr,
    /// RTP, and not something else over UDP.
    pub is_rtp: bool,
    /// RTCP comes on the RTP port too (RFC 5761).
    pub has_mux: bool,
    /// It does not both send and receive: silence is to be expected.
    pub is_held: bool,
    /// Ticks a second of its first format's RTP clock.
    pub clock_hz: u32,
    pub g711: Option<G711>,
}

/// What is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Ringback,
    Busy,
    Confirmation,
    Error,
}

/// One direction of a side's streams, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    pub packets: u64,
    /// Bytes of RTP, headers included.
    pub bytes: u64,
    /// Packets that never came (RFC 3550 A.3).
    pub lost: u64,
    /// Interarrival jitter in microseconds (RFC 3550 A.8): the present source's; of several streams the
    /// worst.
    pub jitter_us: u32,
}

/// What a side sent us and what we sent it, over all its streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// What was taken from the party, whether or not somebody was there to get it.
    pub received: Flow,
    /// What was handed to the shell for the party, tones too; `lost` and `jitter_us` are what its RTCP
    /// reports say.
    pub sent: Flow,
    /// Packets on the side's ports that were dropped.
    pub dropped: u64,
}

impl std::ops::Add for Figures {
    type Output = Figures;

    fn add(self, other: Figures) -> Figures {
        Figures {
            received: self.received + other.received,
            sent: self.sent + other.sent,
            dropped: self.dropped + other.dropped,
        }
    }
}

impl std::ops::Add for Flow {
    type Output = Flow;

    fn add(self, other: Flow) -> Flow {
        Flow {
            packets: self.packets + other.packets,
            bytes: self.bytes + other.bytes,
            lost: self.lost + other.lost,
            jitter_us: self.jitter_us.max(other.jitter_us),
        }
    }
}

/// What became of all packets so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub relayed: u64,
    /// Packets of tones.
    pub played: u64,
    /// Dropped, by reason ([`Dropped`]).
    pub stray: u64,
    pub source: u64,
    pub malformed: u64,
    pub stun: u64,
    pub nowhere: u64,
}

/// All media of a shard.
#[derive(Debug)]
pub struct Media {
    endpoints: Slab<Endpoint>,
    pool: Pool,
    player: Player,
    learning: settings::Learning,
    counts: Counts,
}

impl Media {
    /// `random` seeds SSRCs and first sequence numbers. It is empty: [`Media::add`] gives it ports.
    #[must_use]
    pub fn new(settings: &settings::Media, max_endpoints: u32, random: u64) -> Media {
        Media {
            endpoints: Slab::new(max_endpoints.min(PAIRS_MAX)),
            pool: Pool::new(settings.quarantine_ms),
            player: Player::new(settings.tones, random, max_endpoints > 0),
            learning: settings.learning,
            counts: Counts::default(),
        }
    }

    // The shell's side.

    /// The shell has bound a pair of sockets: descriptions name `rtp`, and the next port for RTCP.
    pub fn add(&mut self, rtp: SocketAddr) -> Slot {
        self.pool.add(rtp)
    }

    /// How many pairs the shell should bind now, so that calls find ports free.
    #[must_use]
    pub fn wanted(&self, now: Now, family: Family) -> usize {
        if self.endpoints.next_handle().is_none() { 0 } else { self.pool.wanted(now, family) }
    }

    /// Whether any pair is in use: packets and tones may be due at any time.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.endpoints.is_empty()
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What becomes of a packet that came by a socket.
    #[inline]
    pub fn handle_packet(
        &mut self,
        at: Moment,
        (slot, component): (Slot, Component),
        source: SocketAddr,
        packet: &[u8],
    ) -> Verdict {
        let Some(owner) = self.pool.owner(slot) else { return self.drop(None, Dropped::Stray) };
        let Some(endpoint) = self.endpoints.get_mut(owner) else { return self.drop(None, Dropped::Stray) };
        let peer = endpoint.peer;
        let taken = match endpoint.take(at, self.learning, component, source, packet) {
            Ok(taken) => taken,
            Err(why) => return self.drop(Some(owner), why),
        };
        let other = peer.and_then(|peer| self.endpoints.get_mut(peer));
        let pool = &self.pool;
        let hop = other.and_then(|other| {
            let slots = [slot, other.slot];
            relay(other, component, taken, packet.len(), |place| is_of(pool, slots, place))
        });
        match hop {
            Some(hop) => {
                self.counts.relayed += 1;
                Verdict::Relay(hop)
            }
            None => self.drop(Some(owner), Dropped::Nowhere),
        }
    }

    #[cold]
    fn drop(&mut self, owner: Option<Handle>, why: Dropped) -> Verdict {
        if let Some(endpoint) = owner.and_then(|owner| self.endpoints.get_mut(owner)) {
            endpoint.dropped += 1;
        }
        let count = match why {
            Dropped::Stray => &mut self.counts.stray,
            Dropped::Source => &mut self.counts.source,
            Dropped::Malformed => &mut self.counts.malformed,
            Dropped::Stun => &mut self.counts.stun,
            Dropped::Nowhere => &mut self.counts.nowhere,
        };
        *count += 1;
        Verdict::Drop(why)
    }

    /// Writes the next packet of a tone that is due by `at` into `packet`; `None`: none is.
    pub fn poll_tone(&mut self, at: Moment, packet: &mut Vec<u8>) -> Option<Hop> {
        // Whoever is due gets its next packet later: this ends.
        while let Some(handle) = self.player.due(at.as_us()) {
            let Some(endpoint) = self.endpoints.get_mut(handle) else { continue };
            let Some(playing) = &mut endpoint.playing else { continue };
            self.player.next(at.as_us(), handle, playing, packet);
            let ssrc = playing.ssrc();
            // Nowhere for now: the tone goes on unheard.
            let (pool, slot) = (&self.pool, endpoint.slot);
            let place = endpoint.rtp_place().filter(|place| !is_of(pool, [slot, slot], *place));
            let Some(destination) = place else { continue };
            endpoint.sent.count(packet.len(), Some(ssrc));
            self.counts.played += 1;
            return Some(Hop { slot: endpoint.slot, component: Component::Rtp, destination });
        }
        None
    }

    // The calls' side.

    /// An endpoint with ports of its own; `None`: none is free.
    pub fn open(&mut self, now: Now, family: Family) -> Option<Handle> {
        let handle = self.endpoints.next_handle()?;
        let slot = self.pool.take(now, family, handle)?;
        self.endpoints.insert(Endpoint::new(slot, family)).ok()
    }

    /// Gives an endpoint and its ports up; whoever it was joined to is alone.
    pub fn close(&mut self, now: Now, endpoint: Handle) -> Figures {
        self.part(endpoint);
        self.stop(endpoint);
        let Some(closed) = self.endpoints.remove(endpoint) else { return Figures::default() };
        self.pool.give_back(now, closed.slot);
        closed.figures()
    }

    /// What descriptions name: address and RTP port; RTCP has the next one.
    #[must_use]
    pub fn local(&self, endpoint: Handle) -> Option<SocketAddr> {
        self.pool.address(self.endpoints.get(endpoint)?.slot)
    }

    /// The party describes its stream; it counts from [`Media::settle`] on.
    pub fn describe(&mut self, endpoint: Handle, remote: Remote) {
        if let Some(endpoint) = self.endpoints.get_mut(endpoint) {
            endpoint.next = Some(remote);
        }
    }

    /// What was described last counts from now on. Another place than before is learned anew. Whether
    /// anything is another than before.
    pub fn settle(&mut self, now: Now, endpoint: Handle) -> bool {
        self.endpoints.get_mut(endpoint).is_some_and(|endpoint| endpoint.settle(now))
    }

    /// Both sides have agreed once more: who has not sent yet may be learned now, though it has said nothing
    /// new.
    pub fn reopen(&mut self, now: Now, endpoint: Handle) {
        if let Some(endpoint) = self.endpoints.get_mut(endpoint) {
            endpoint.reopen(now);
        }
    }

    /// Silence counts from now on ([`Media::heard_at`]).
    pub fn wake(&mut self, now: Now, endpoint: Handle) {
        if let Some(endpoint) = self.endpoints.get_mut(endpoint) {
            endpoint.heard = Some(now);
        }
    }

    /// What was described last and does not count yet is forgotten.
    pub fn forget(&mut self, endpoint: Handle) {
        if let Some(endpoint) = self.endpoints.get_mut(endpoint) {
            endpoint.next = None;
        }
    }

    /// What the party last described, whether or not it counts yet.
    #[must_use]
    pub fn described(&self, endpoint: Handle) -> Option<Remote> {
        let endpoint = self.endpoints.get(endpoint)?;
        endpoint.next.or(endpoint.current)
    }

    /// From now on what one gets the other sends, and the other way round; whoever they were joined to before
    /// is alone. A tone that either is played ends.
    pub fn join(&mut self, one: Handle, other: Handle) {
        // Nobody hears itself, and nobody is joined to who has gone.
        if one == other || [one, other].iter().any(|handle| self.endpoints.get(*handle).is_none()) {
            return;
        }
        for (endpoint, peer) in [(one, other), (other, one)] {
            self.part(endpoint);
            self.stop(endpoint);
            if let Some(endpoint) = self.endpoints.get_mut(endpoint) {
                endpoint.peer = Some(peer);
            }
        }
    }

    /// Whoever it is joined to, and itself, are alone.
    pub fn part(&mut self, endpoint: Handle) {
        let peer = self.endpoints.get_mut(endpoint).and_then(|endpoint| endpoint.peer.take());
        if let Some(peer) = peer.and_then(|peer| self.endpoints.get_mut(peer)) {
            peer.peer = None;
        }
    }

    /// Plays a tone until [`Media::stop`], [`Media::join`] or [`Media::close`]; meanwhile the party gets
    /// nothing of whom it is joined to. The same tone that it hears already goes on. It is in the first
    /// G.711 that the party has described. `false`: it has described none that counts, and hears nothing.
    pub fn play(&mut self, now: Now, endpoint: Handle, tone: Tone) -> bool {
        let current = self.endpoints.get(endpoint).and_then(|endpoint| endpoint.current);
        let g711 = current.and_then(|remote| remote.g711);
        if g711.is_none() {
            self.stop(endpoint);
        }
        g711.is_some_and(|g711| self.play_in(now, endpoint, (tone, g711)))
    }

    /// The same in the G.711 that was agreed on. `false`: the party has described nothing that counts.
    pub fn play_in(&mut self, now: Now, endpoint: Handle, (tone, g711): (Tone, G711)) -> bool {
        let Some(played) = self.endpoints.get(endpoint).filter(|played| played.current.is_some()) else {
            return false;
        };
        if played.playing.is_some_and(|playing| playing.is_of(tone, g711)) {
            return true;
        }
        self.stop(endpoint);
        let playing = self.player.begin(Moment::from(now).as_us(), endpoint, tone, g711);
        if let Some(played) = self.endpoints.get_mut(endpoint) {
            played.playing = Some(playing);
        }
        true
    }

    pub fn stop(&mut self, endpoint: Handle) {
        let playing = self.endpoints.get_mut(endpoint).and_then(|endpoint| endpoint.playing.take());
        if let Some(playing) = playing {
            self.player.end(endpoint, playing);
        }
    }

    #[must_use]
    pub fn figures(&self, endpoint: Handle) -> Figures {
        self.endpoints.get(endpoint).map(Endpoint::figures).unwrap_or_default()
    }

    /// When the last packet of the party's was taken, RTCP too; when it was described, if none was since it
    /// described a change.
    #[must_use]
    pub fn heard_at(&self, endpoint: Handle) -> Option<Now> {
        self.endpoints.get(endpoint)?.heard
    }

    /// Endpoints that are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.endpoints.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }
}

/// Whether a place is one of these pairs' own. A party that wants its packets at its own port here, or at the
/// other party's, would make them come back for ever: that is nowhere.
#[inline]
fn is_of(pool: &Pool, slots: [Slot; 2], place: SocketAddr) -> bool {
    let is_pair = |rtp: SocketAddr| rtp.port() == place.port() & !1 && rtp.ip() == place.ip();
    slots.into_iter().any(|slot| pool.address(slot).is_some_and(is_pair))
}

/// Where a packet that was taken leaves for the other one; it is counted there.
#[inline]
fn relay(
    other: &mut Endpoint,
    component: Component,
    taken: Taken,
    bytes: usize,
    is_loop: impl Fn(SocketAddr) -> bool,
) -> Option<Hop> {
    if other.playing.is_some() {
        return None;
    }
    let (component, destination) = other.way(component, taken)?;
    if is_loop(destination) {
        return None;
    }
    if let Taking::Stream { ssrc } = taken.kind {
        other.sent.count(bytes, ssrc);
    }
    Some(Hop { slot: other.slot, component, destination })
}
