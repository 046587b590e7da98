//! Media through the server's own ports, without sockets: what parties send and where it leaves.

use super::Lab;
use super::audit::media::is_anchored;
use super::peer::Peer;
use super::trace::Way;
use ringway::clock::{Moment, Now};
use ringway::mail::{Letter, LiveCall, Mail};
use ringway::media::{Component, Dropped, Hop, Slot, Verdict};
use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// By which port of the server's a packet leaves, and to where; or why it does not.
pub type Passed = Result<(SocketAddr, SocketAddr), Dropped>;

/// A packet of a tone.
#[derive(Clone, Debug)]
pub struct Played {
    pub at_ms: u64,
    pub by: SocketAddr,
    pub to: SocketAddr,
    pub packet: Vec<u8>,
}

/// Where a peer has this port.
pub fn at(peer: Peer, port: u16) -> SocketAddr {
    SocketAddr::new(peer.address.ip(), port)
}

/// One stream of G.711 at a peer's own address.
pub fn described(peer: Peer, port: u16) -> String {
    let address = connection(peer);
    format!(
        "v=0\r\no=- {port} {port} {address}\r\ns=-\r\nc={address}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 8 0\r\n"
    )
}

fn connection(peer: Peer) -> String {
    let ip = peer.address.ip();
    format!("IN {} {ip}", if ip.is_ipv4() { "IP4" } else { "IP6" })
}

/// Where a description wants its streams.
#[track_caller]
pub fn places(body: &str) -> Vec<SocketAddr> {
    let connection = body.lines().find_map(|line| line.strip_prefix("c=")).expect("a c= line");
    let ip = connection.rsplit(' ').next().and_then(|ip| ip.parse().ok()).expect("an address");
    let ports = body.lines().filter_map(|line| line.strip_prefix("m="));
    let port = |line: &str| line.split(' ').nth(1)?.parse().ok();
    ports.map(|line| SocketAddr::new(ip, port(line).expect("a port"))).collect()
}

/// The same of the first stream.
#[track_caller]
pub fn place(body: &str) -> SocketAddr {
    *places(body).first().expect("a stream")
}

/// The version in `o=`.
#[track_caller]
pub fn version(body: &str) -> u64 {
    let origin = body.lines().find(|line| line.starts_with("o=- ")).expect("an origin of the server's");
    origin.split(' ').nth(2).and_then(|version| version.parse().ok()).expect("a version")
}

/// RTP of G.711 with 20 ms.
fn rtp(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0xD5; 160]);
    packet
}

/// A host that has nothing to do with any call.
const STRANGER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 250)), 6_510);

impl Lab {
    /// Everybody who was told a port sends there from where it has said, and a stranger does: nothing of the
    /// stranger's leaves, and what leaves goes to a place of the party that the port was told which it leaves
    /// by. How many packets did.
    #[track_caller]
    pub fn probe_media(&mut self) -> usize {
        let mut told: BTreeMap<SocketAddr, SocketAddr> = BTreeMap::new();
        let mut said: BTreeMap<SocketAddr, Vec<SocketAddr>> = BTreeMap::new();
        let mut seen = HashSet::new();
        for entry in &self.trace {
            let Some(sip) = entry.sip.as_ref().filter(|sip| sip.body.starts_with("v=0")) else { continue };
            // What is repeated may be of a port that is somebody else's by now.
            if !seen.insert(&entry.bytes) {
                continue;
            }
            // On hold the address is another one.
            let named = places(&sip.body).into_iter();
            let named = named.filter(|place| place.port() != 0 && !place.ip().is_unspecified());
            match entry.way {
                Way::In => said.entry(entry.peer).or_default().extend(named),
                Way::Out if is_anchored(&sip.body) => named.for_each(|place| {
                    told.insert(place, entry.peer);
                }),
                Way::Out => {}
            }
        }
        let mut passed = 0;
        for (&port, peer) in &told {
            assert!(self.rtp(STRANGER, port).is_err(), "a stranger's packet passes at {port}");
            let Some(own) = said.get(peer).and_then(|places| places.last()) else { continue };
            if let Ok((by, to)) = self.rtp(*own, port) {
                assert_ne!(by, port, "it comes back");
                let is_its =
                    told.get(&by).and_then(|other| said.get(other)).is_some_and(|its| its.contains(&to));
                let other = told.get(&by).map(|other| (other, said.get(other)));
                assert!(is_its, "from {port} it leaves by {by}, told to {other:?}, for {to}");
                passed += 1;
            }
        }
        passed
    }

    /// An RTP packet comes from somewhere to a port of the server's. One place sends one stream.
    #[track_caller]
    pub fn rtp(&mut self, from: SocketAddr, to: SocketAddr) -> Passed {
        let ssrc = u32::from(from.port()) << 8 | 1;
        let packet = rtp(ssrc, self.serial() as u16);
        self.packet(from, (to, Component::Rtp), &packet)
    }

    /// Any packet; `to` is the RTP port of a pair.
    #[track_caller]
    pub fn packet(
        &mut self,
        from: SocketAddr,
        (to, component): (SocketAddr, Component),
        packet: &[u8],
    ) -> Passed {
        let (shard, slot) = self.slot_of(to);
        let moment = Moment::from(Now::from_ms(self.now_ms));
        match self.shards[shard].media().handle_packet(moment, (slot, component), from, packet) {
            Verdict::Drop(why) => Err(why),
            Verdict::Relay(hop) => Ok((self.port_of(shard, hop), hop.destination)),
        }
    }

    #[track_caller]
    fn slot_of(&self, rtp: SocketAddr) -> (usize, Slot) {
        let found = (0..self.shards.len()).find_map(|shard| {
            let slot = self.setup.media_ports(shard as u16).position(|port| port == rtp)?;
            Some((shard, Slot(slot as u32)))
        });
        found.unwrap_or_else(|| panic!("{rtp} is no port of the server's"))
    }

    #[track_caller]
    fn port_of(&self, shard: usize, hop: Hop) -> SocketAddr {
        let mut port =
            self.setup.media_ports(shard as u16).nth(hop.slot.0 as usize).expect("a pair that was added");
        port.set_port(port.port() + u16::from(hop.component == Component::Rtcp));
        port
    }

    /// Lets time pass in steps of a packet's: what is played meanwhile.
    pub fn played(&mut self, for_ms: u64) -> Vec<Played> {
        let (mut played, end_ms) = (Vec::new(), self.now_ms + for_ms);
        loop {
            for shard in 0..self.shards.len() {
                let moment = Moment::from(Now::from_ms(self.now_ms));
                let mut packet = Vec::new();
                while let Some(hop) = self.shards[shard].media().poll_tone(moment, &mut packet) {
                    let (by, to) = (self.port_of(shard, hop), hop.destination);
                    let packet = std::mem::take(&mut packet);
                    played.push(Played { at_ms: self.now_ms, by, to, packet });
                }
            }
            if self.now_ms >= end_ms {
                return played;
            }
            self.advance_to((self.now_ms + 20).min(end_ms));
        }
    }

    /// Media ports that are in use.
    pub fn media_ports_used(&mut self) -> usize {
        self.shards.iter_mut().map(|shard| shard.media().len()).sum()
    }

    /// The calls of the first shard, as the operator sees them.
    pub fn live_calls(&mut self) -> Vec<LiveCall> {
        let letters = self.mail(0, Mail::Calls { ticket: 1, from: 0, limit: 100 });
        letters
            .into_iter()
            .flat_map(|letter| match letter {
                Letter::Calls { calls, .. } => calls,
                _ => Vec::new(),
            })
            .collect()
    }
}
