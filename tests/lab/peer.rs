//! Who takes part, and what the server is set to.

use ringway::directory::{Binding, Condition, Subscriber};
use ringway::outbox::ListenerId;
use ringway::settings::{Listener, MediaMode, Settings};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub name: &'static str,
    pub number: &'static str,
    pub address: SocketAddr,
}

/// The reference flow's caller, called party and target, and one more to forward to.
pub const A: Peer = peer("A", "1003", 137);
pub const B: Peer = peer("B", "1004", 136);
pub const C: Peer = peer("C", "1005", 138);
pub const D: Peer = peer("D", "1006", 139);

pub const SERVER: SocketAddr = at(60);

const fn peer(name: &'static str, number: &'static str, host: u8) -> Peer {
    Peer { name, number, address: at(host) }
}

const fn at(host: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, host)), 5060)
}

impl Peer {
    /// The peer as a subscriber without any service.
    pub fn subscriber(self) -> Subscriber {
        Subscriber::new(self.number).at(&format!("sip:{}@{}", self.number, self.address), self.address)
    }
}

/// What a shard is made with.
pub struct Setup {
    pub settings: Settings,
    pub subscribers: Vec<Subscriber>,
    /// What is bound to their numbers.
    pub bindings: Vec<(&'static str, Binding)>,
    pub secret: u64,
    pub shards: u16,
    /// Pairs of media ports of each shard and family.
    pub media_pairs: u16,
}

/// The server's own addresses for media, another host than its signalling's.
pub const MEDIA: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 61));
pub const MEDIA_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x61));

/// The first of its ports, and how many pairs there are at most.
const MEDIA_PORT: u16 = 20_000;
const MEDIA_PAIRS: u16 = 1_000;

impl Setup {
    /// A, B, C and D; B forwards to C on no answer. Tables are small, so that a test can fill them.
    pub fn reference() -> Setup {
        let listeners = vec![Listener { address: SERVER, sent_by: SERVER.to_string() }];
        let mut settings =
            Settings { listeners, max_calls: 64, max_transactions: 1_024, ..Settings::default() };
        settings.registration.pending_max = 64;
        settings.records = true;
        settings.forwarding.own_hosts = ringway::service::Settings::own_hosts(&settings.listeners);
        let subscribers = [A, B, C, D].map(Peer::subscriber).to_vec();
        let mut setup =
            Setup { settings, subscribers, bindings: Vec::new(), secret: 99, shards: 1, media_pairs: 0 };
        setup.forward(B, C);
        setup
    }

    pub fn subscriber(&mut self, peer: Peer) -> &mut Subscriber {
        let same = |subscriber: &&mut Subscriber| *subscriber.number == *peer.number;
        self.subscribers.iter_mut().find(same).expect("a subscriber")
    }

    /// Media goes through the server's own ports.
    pub fn anchor(&mut self) {
        self.settings.media.mode = MediaMode::Anchor;
        self.settings.media.addresses = vec![MEDIA, MEDIA_V6];
        // The parties of most tests send no media.
        self.settings.media.timeout_ms = 0;
        self.media_pairs = MEDIA_PAIRS;
    }

    /// The pairs of ports of a shard, by their RTP ports: of the first family, then of the second.
    pub fn media_ports(&self, shard: u16) -> impl Iterator<Item = SocketAddr> {
        let (first, pairs) = (MEDIA_PORT + shard * 2 * MEDIA_PAIRS, self.media_pairs);
        let ports = move |address| (0..pairs).map(move |pair| SocketAddr::new(address, first + 2 * pair));
        ports(MEDIA).chain(ports(MEDIA_V6))
    }

    /// Forwards on no answer.
    pub fn forward(&mut self, from: Peer, to: Peer) {
        self.forward_on(Condition::NoAnswer, from, to.number);
    }

    /// Forwards to a number or a URI.
    pub fn forward_on(&mut self, condition: Condition, from: Peer, target: &str) {
        self.subscriber(from).forwarding.forward(condition, target);
    }

    /// The first listener of the peer's address family.
    pub fn listener_for(&self, peer: SocketAddr) -> ListenerId {
        let fits = |listener: &Listener| listener.address.is_ipv4() == peer.is_ipv4();
        ListenerId(self.settings.listeners.iter().position(fits).expect("a listener") as u8)
    }
}
