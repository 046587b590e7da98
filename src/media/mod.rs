//! The server's own media ports: who sends where, from where a party may send, what is counted and played.
//!
//! It is pure: the shell binds the sockets, receives, and sends what [`Media::handle_packet`] and
//! [`Media::poll_tone`] tell it to; the calls open, describe, join and close endpoints.

use crate::clock::{Moment, Now};
use crate::settings;
use crate::slab::Handle;
use std::net::{IpAddr, SocketAddr};

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
    /// Where it wants RTP; `None`: nowhere (0.0.0.0, port 0, a host name).
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
    /// Interarrival jitter in microseconds (RFC 3550 A.8); of several streams the worst.
    pub jitter_us: u32,
}

/// What a side sent us and what we sent it, over all its streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// What came from the party and was relayed.
    pub received: Flow,
    /// What was sent to the party; `lost` and `jitter_us` are what its RTCP reports say.
    pub sent: Flow,
    /// Packets on the side's ports that were dropped.
    pub dropped: u64,
}

impl Family {
    #[must_use]
    pub const fn of(address: IpAddr) -> Family {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }
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

/// All media of a shard.
#[derive(Debug)]
pub struct Media {}

#[expect(unused_variables, clippy::unused_self, reason = "filled in next")]
impl Media {
    /// `random` seeds SSRCs and first sequence numbers. It is empty: [`Media::add`] gives it ports.
    #[must_use]
    pub fn new(settings: &settings::Media, max_endpoints: u32, random: u64) -> Media {
        Media {}
    }

    // The shell's side.

    /// The shell has bound a pair of sockets: descriptions name `rtp`, and the next port for RTCP.
    pub fn add(&mut self, rtp: SocketAddr) -> Slot {
        Slot(0)
    }

    /// How many pairs the shell should bind now, so that calls find ports free.
    #[must_use]
    pub fn wanted(&self, now: Now, family: Family) -> usize {
        0
    }

    /// Whether any pair is in use: packets and tones may be due at any time.
    #[must_use]
    pub fn is_active(&self) -> bool {
        false
    }

    /// What becomes of a packet that came by a socket.
    pub fn handle_packet(
        &mut self,
        at: Moment,
        (slot, component): (Slot, Component),
        source: SocketAddr,
        packet: &[u8],
    ) -> Verdict {
        Verdict::Drop(Dropped::Stray)
    }

    /// Writes the next packet of a tone that is due by `at` into `packet`; `None`: none is.
    pub fn poll_tone(&mut self, at: Moment, packet: &mut Vec<u8>) -> Option<Hop> {
        None
    }

    // The calls' side.

    /// An endpoint with ports of its own; `None`: none is free.
    pub fn open(&mut self, now: Now, family: Family) -> Option<Handle> {
        None
    }

    /// Gives an endpoint and its ports up; whoever it was joined to is alone.
    pub fn close(&mut self, now: Now, endpoint: Handle) -> Figures {
        Figures::default()
    }

    /// What descriptions name: address and RTP port; RTCP has the next one.
    #[must_use]
    pub fn local(&self, endpoint: Handle) -> Option<SocketAddr> {
        None
    }

    /// The party describes its stream; it counts from [`Media::settle`] on.
    pub fn describe(&mut self, endpoint: Handle, remote: Remote) {}

    /// What was described last counts from now on. Another place than before is learned anew.
    pub fn settle(&mut self, now: Now, endpoint: Handle) {}

    /// What was described last and does not count yet is forgotten.
    pub fn forget(&mut self, endpoint: Handle) {}

    /// What the party last described, whether or not it counts yet.
    #[must_use]
    pub fn described(&self, endpoint: Handle) -> Option<Remote> {
        None
    }

    /// From now on what one gets the other sends, and the other way round; whoever they were joined to before
    /// is alone. A tone that either is played ends.
    pub fn join(&mut self, one: Handle, other: Handle) {}

    /// Whoever it is joined to, and itself, are alone.
    pub fn part(&mut self, endpoint: Handle) {}

    /// Plays a tone until [`Media::stop`], [`Media::join`] or [`Media::close`]. `false`: the party has described
    /// no G.711.
    pub fn play(&mut self, now: Now, endpoint: Handle, tone: Tone) -> bool {
        false
    }

    pub fn stop(&mut self, endpoint: Handle) {}

    #[must_use]
    pub fn figures(&self, endpoint: Handle) -> Figures {
        Figures::default()
    }

    /// When the last packet of the party's was taken; when it was described, if none was.
    #[must_use]
    pub fn heard_at(&self, endpoint: Handle) -> Option<Now> {
        None
    }

    /// Endpoints that are open.
    #[must_use]
    pub fn len(&self) -> usize {
        0
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
