//! Two parties and the media between them, without sockets: packets are made here and time is handed in.

use ringway::clock::{Moment, Now};
use ringway::media::{Component, Dropped, Family, G711, Hop, Law, Media, Remote, Slot, Verdict};
use ringway::settings::{self, Learning};
use ringway::slab::Handle;
use std::net::SocketAddr;

/// Where the server's ports are.
pub const SERVER: &str = "203.0.113.1";

pub fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub fn ms(ms: u64) -> Moment {
    Now::from_ms(ms).into()
}

pub fn media(learning: Learning) -> Media {
    let settings = settings::Media { learning, ..settings::Media::default() };
    with_ports(Media::new(&settings, 1_000, 7), 16)
}

pub fn with_ports(mut media: Media, pairs: u16) -> Media {
    for pair in 0..pairs {
        media.add(address(&format!("{SERVER}:{}", 30_000 + 2 * pair)));
    }
    media
}

/// A party that sends from where it says: RTP there, RTCP on the next port.
pub fn remote(rtp: &str) -> Remote {
    let rtp = address(rtp);
    Remote {
        rtp: Some(rtp),
        rtcp: Some(SocketAddr::new(rtp.ip(), rtp.port() + 1)),
        host: rtp.ip(),
        is_rtp: true,
        has_mux: false,
        is_held: false,
        clock_hz: 8_000,
        g711: Some(G711 { payload_type: 0, law: Law::Mu }),
    }
}

/// A party whose signalling comes from another host than it describes.
pub fn behind(nat: &str, rtp: &str) -> Remote {
    Remote { host: nat.parse().expect("a host"), ..remote(rtp) }
}

/// An endpoint whose description counts.
pub fn open(media: &mut Media, now_ms: u64, remote: Remote) -> Handle {
    let handle = media.open(Now::from_ms(now_ms), Family::V4).expect("a free pair");
    describe(media, now_ms, handle, remote);
    handle
}

pub fn describe(media: &mut Media, now_ms: u64, endpoint: Handle, remote: Remote) {
    media.describe(endpoint, remote);
    media.settle(Now::from_ms(now_ms), endpoint);
}

/// The slot of an endpoint, as [`with_ports`] has numbered them.
pub fn slot(media: &Media, endpoint: Handle) -> Slot {
    Slot(u32::from(media.local(endpoint).expect("an open endpoint").port() - 30_000) / 2)
}

/// RTP of G.711 with 20 ms.
pub fn rtp(ssrc: u32, sequence: u16) -> Vec<u8> {
    rtp_at(ssrc, sequence, u32::from(sequence) * 160)
}

pub fn rtp_at(ssrc: u32, sequence: u16, timestamp: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0xFF; 160]);
    packet
}

/// What a report says about a source.
#[derive(Clone, Copy)]
pub struct Block {
    pub ssrc: u32,
    pub lost: i32,
    pub jitter: u32,
}

/// A report of a party's: 200 with its sender information, 201 without.
pub fn report(kind: u8, ssrc: u32, blocks: &[Block]) -> Vec<u8> {
    let mut body = ssrc.to_be_bytes().to_vec();
    if kind == 200 {
        body.extend([0x11; 20]);
    }
    for block in blocks {
        body.extend(block.ssrc.to_be_bytes());
        body.extend((block.lost & 0x00FF_FFFF | 0x4000_0000).to_be_bytes());
        body.extend([0; 4]);
        body.extend(block.jitter.to_be_bytes());
        body.extend([0; 8]);
    }
    let mut packet = vec![0x80 | blocks.len() as u8, kind];
    packet.extend((body.len() as u16 / 4).to_be_bytes());
    packet.extend(body);
    packet
}

pub fn stun() -> Vec<u8> {
    let mut packet = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
    packet.extend([7; 12]);
    packet
}

/// Two parties that are joined, and a server between them.
pub struct Call {
    pub media: Media,
    pub caller: Handle,
    pub callee: Handle,
}

pub const CALLER: &str = "192.0.2.10:4000";
pub const CALLEE: &str = "198.51.100.20:5000";

impl Call {
    /// At time 0.
    pub fn new(learning: Learning) -> Call {
        Call::of(learning, remote(CALLER), remote(CALLEE))
    }

    pub fn of(learning: Learning, caller: Remote, callee: Remote) -> Call {
        let mut media = media(learning);
        let (caller, callee) = (open(&mut media, 0, caller), open(&mut media, 0, callee));
        media.join(caller, callee);
        Call { media, caller, callee }
    }

    /// A packet that comes to an endpoint's RTP port.
    pub fn send(&mut self, at_ms: u64, to: Handle, from: &str, packet: &[u8]) -> Verdict {
        self.send_by(at_ms, to, Component::Rtp, from, packet)
    }

    pub fn send_by(&mut self, at_ms: u64, to: Handle, by: Component, from: &str, packet: &[u8]) -> Verdict {
        let slot = slot(&self.media, to);
        self.media.handle_packet(ms(at_ms), (slot, by), address(from), packet)
    }

    /// Where the callee's packets would go now: to the caller.
    pub fn towards_caller(&mut self, at_ms: u64) -> Verdict {
        self.send(at_ms, self.callee, CALLEE, &rtp(0xB, 1))
    }

    pub fn hop(&self, endpoint: Handle, component: Component, destination: &str) -> Verdict {
        let slot = slot(&self.media, endpoint);
        Verdict::Relay(Hop { slot, component, destination: address(destination) })
    }
}

pub fn is_relayed(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Relay(_))
}

pub const SOURCE: Verdict = Verdict::Drop(Dropped::Source);
pub const NOWHERE: Verdict = Verdict::Drop(Dropped::Nowhere);
pub const MALFORMED: Verdict = Verdict::Drop(Dropped::Malformed);
