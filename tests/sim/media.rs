//! Media through the server's own ports: who was told which, and what may become of the packets that parties
//! and strangers send there at any moment.

use super::audit::{Verdict, is};
use super::call::CALLER;
use super::rng::Rng;
use ringway::clock::{Moment, Now};
use ringway::media::{Component, Hop, Media, Slot, Verdict as Fate};
use ringway::settings::{self, MediaMode};
use ringway::shard::Shard;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The server's own addresses for media.
const OWN: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(127, 0, 0, 61)), IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x61))];

/// Hosts that are no party of any call.
const STRANGERS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(127, 0, 9, 9)), IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 9, 9))];

/// Ports of a shard, two for each pair.
const SHARD_PORTS: u16 = 20_000;

/// What the settings of an anchored world say of media.
pub fn settings(rng: &mut Rng) -> settings::Media {
    settings::Media {
        mode: MediaMode::Anchor,
        addresses: OWN.to_vec(),
        // Few parties send, and those not for long.
        timeout_ms: 0,
        quarantine_ms: rng.pick(&[1, 100, 5_000]),
        ..settings::Media::default()
    }
}

/// Pairs of ports of each shard and family.
pub fn pairs(rng: &mut Rng, scarce: bool) -> u16 {
    if scarce { rng.between(5, 300) as u16 } else { SHARD_PORTS / 2 }
}

fn first_port(shard: usize) -> u16 {
    2 + shard as u16 * SHARD_PORTS
}

/// Binds the ports of a shard.
pub fn add(media: &mut Media, shard: usize, pairs: u16) {
    for own in OWN {
        for pair in 0..pairs {
            media.add(SocketAddr::new(own, first_port(shard) + 2 * pair));
        }
    }
}

/// A party, and where it says that it has its media.
#[derive(Clone, Copy)]
pub struct Who {
    pub call: u32,
    pub place: u8,
    pub media: SocketAddr,
}

/// What is known of the ports.
pub struct Desk {
    pairs: u16,
    /// Whom each was told to last.
    told: BTreeMap<SocketAddr, Who>,
    /// The port that each party was told last.
    of: BTreeMap<(u32, u8), SocketAddr>,
    known: BTreeSet<(u32, u8, SocketAddr)>,
    pub relayed: u64,
    sequence: u16,
}

impl Desk {
    pub fn new(pairs: u16) -> Desk {
        let (told, of, known) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Desk { pairs, told, of, known, relayed: 0, sequence: 0 }
    }

    /// The server has sent a party this body: it names a port of the server's, the party's own.
    pub fn sent(&mut self, who: Who, body: &[u8]) -> Verdict {
        if !body.starts_with(b"v=0") {
            return Ok(());
        }
        let text = std::str::from_utf8(body).map_err(|_| "a description that is no text")?;
        let own = text.lines().find_map(|line| line.strip_prefix("c=")?.split(' ').nth(2)?.parse().ok());
        let own = own.filter(|own| OWN.contains(own)).ok_or("a description that is not the server's own")?;
        let port = text.split("m=audio ").nth(1).and_then(|rest| rest.split(' ').next());
        let port = port.and_then(|port| port.parse().ok()).ok_or("a description without a port")?;
        is(port >= 2 && port % 2 == 0, "not a port for RTP")?;
        let port = SocketAddr::new(own, port);
        let before = self.of.insert((who.call, who.place), port).unwrap_or(port);
        // A callee's phone may be tried twice.
        is(before == port || who.place != CALLER, "the caller's port is another than before")?;
        // What is repeated may be of a port that is somebody else's by now.
        if self.known.insert((who.call, who.place, port)) {
            self.told.insert(port, who);
        }
        Ok(())
    }

    /// Parties of a call, or strangers, send a packet to a port that was told in it. `may_be_heard`: whether
    /// a callee's packets may pass now.
    pub fn packet(
        &mut self,
        (shards, now_ms): (&mut [Shard], u64),
        call: u32,
        rng: &mut Rng,
        may_be_heard: impl Fn(u8) -> Verdict,
    ) -> Verdict {
        let known = self.of.range((call, 0)..=(call, u8::MAX));
        let known: Vec<SocketAddr> = known.map(|(_, port)| *port).collect();
        if known.is_empty() {
            return Ok(());
        }
        let port = known[rng.below(known.len() as u32) as usize];
        // A port that has been given back may be somebody else's.
        let owner = *self.told.get(&port).ok_or("a port that nobody was told")?;
        let is_stranger = rng.percent(25);
        let host = if is_stranger { STRANGERS[usize::from(port.is_ipv6())] } else { owner.media.ip() };
        let from = if rng.percent(20) { rng.between(1_024, 60_000) as u16 } else { owner.media.port() };
        self.sequence = self.sequence.wrapping_add(1);
        let packet = rtp(owner.call ^ u32::from(owner.place), self.sequence);
        let shard = usize::from((port.port() - 2) / SHARD_PORTS);
        let offset = if port.is_ipv6() { u32::from(self.pairs) } else { 0 };
        let slot = Slot(offset + u32::from(port.port() - first_port(shard)) / 2);
        let at = Moment::from(Now::from_ms(now_ms));
        let source = SocketAddr::new(host, from);
        let fate = shards[shard].media().handle_packet(at, (slot, Component::Rtp), source, &packet);
        let Fate::Relay(hop) = fate else { return Ok(()) };
        self.relayed += 1;
        is(!is_stranger, "a stranger's packet passes")?;
        let to = self.leaves(shard, hop)?;
        is(to.call == owner.call, "a packet reaches another call")?;
        is((to.place == CALLER) != (owner.place == CALLER), "a packet reaches one of the same side")?;
        let callee = if owner.place == CALLER { to.place } else { owner.place };
        if owner.call == call { may_be_heard(callee) } else { Ok(()) }
    }

    /// A tone goes to a caller, by its own port.
    pub fn tones(&mut self, shards: &mut [Shard], now_ms: u64) -> Verdict {
        let at = Moment::from(Now::from_ms(now_ms));
        let mut packet = Vec::new();
        for (number, shard) in shards.iter_mut().enumerate() {
            while let Some(hop) = shard.media().poll_tone(at, &mut packet) {
                is(self.leaves(number, hop)?.place == CALLER, "a tone for a callee")?;
                packet.clear();
            }
        }
        Ok(())
    }

    /// Whom a packet reaches, by the port that it leaves by.
    fn leaves(&self, shard: usize, hop: Hop) -> Result<Who, &'static str> {
        let (family, pair) = (hop.slot.0 / u32::from(self.pairs), hop.slot.0 % u32::from(self.pairs));
        let port = SocketAddr::new(OWN[family as usize], first_port(shard) + 2 * pair as u16);
        let to = *self.told.get(&port).ok_or("a packet leaves by a port that nobody was told")?;
        is(hop.destination.ip() == to.media.ip(), "a packet leaves for another host")?;
        Ok(to)
    }
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
