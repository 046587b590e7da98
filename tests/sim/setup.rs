//! One world: what the server is set to and what the network does, drawn from the seed.

use super::callee::Patience;
use super::fault::Fault;
use super::locations::{self, Phone, phones_of_world};
use super::media;
use super::plan::{Kind, Plan};
use super::rng::{Odds, Rng};
use ringway::clock::UnixSeconds;
use ringway::directory::{Directory, HistoryForm, Subscriber};
use ringway::outbox::ListenerId;
use ringway::service::{self, Route};
use ringway::settings::{AckPolicy, LateAnswer, Listener, Settings};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// When a world begins.
pub const STARTED: UnixSeconds = UnixSeconds(1_381_399_635);

/// The longest chain of callees.
pub const HOPS_MAX: usize = 6;

/// Phones of one number at most.
pub const PHONES_MAX: usize = 4;

pub const SERVER_TEXT: &str = "127.0.0.60:5060";
const SERVER: SocketAddr = address(0, 60);
pub const CALLERS: SocketAddr = address(0, 1);

/// What the operator of the simulator asks for.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub seed: u64,
    /// Calls in one world.
    pub calls: u32,
    /// Share of datagrams that the network loses.
    pub loss: f64,
    /// Numbers have up to four locations.
    pub forked: bool,
    /// Play this call alone, and print every byte of it.
    pub only: Option<u32>,
    /// What the server is made to do wrong.
    pub fault: Option<Fault>,
}

pub struct Setup {
    pub settings: Arc<Settings>,
    pub directory: Arc<Directory>,
    pub shards: u16,
    pub secret: u64,
    /// The tables are too small for so many calls.
    pub scarce: bool,
    pub network: Network,
    /// Numbers have up to four locations.
    pub forked: bool,
    /// The phones of each number, by the chain's length and the place in it.
    pub phones: Vec<Vec<Phone>>,
    /// What each has set.
    pub plans: Vec<Plan>,
    /// Which chains end beyond a route, by their length.
    pub outside: [bool; HOPS_MAX + 1],
    /// Milliseconds between two calls at most.
    pub gap_ms: u32,
    /// Pairs of media ports of each shard, where media is anchored.
    pub media_pairs: Option<u16>,
}

/// How a datagram travels.
#[derive(Clone, Copy)]
pub struct Network {
    pub loss: Odds,
    pub duplication: Odds,
    /// Share of datagrams that come much later, behind those sent after them.
    pub straggling: Odds,
    pub straggling_ms: u32,
    pub jitter_ms: u32,
    /// Share of calls of whose links one is cut for a while, in percent.
    pub cut_percent: u32,
}

const fn address(net: u8, host: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, net, host)), 5060)
}

/// Where a callee stands: in which hop of the chain, and as which phone of its number.
pub const fn place(hop: u8, phone: u8) -> u8 {
    phone * HOPS_MAX as u8 + hop
}

pub const fn hop_of(place: u8) -> u8 {
    place % HOPS_MAX as u8
}

pub const fn phone_of(place: u8) -> u8 {
    place / HOPS_MAX as u8
}

/// A callee's address, by its place.
pub const fn callee_address(place: u8) -> SocketAddr {
    address(1 + phone_of(place), hop_of(place) + 1)
}

/// The inverse of [`callee_address`].
pub fn callee_at(address: SocketAddr) -> Option<u8> {
    let IpAddr::V4(ip) = address.ip() else { return None };
    let [127, 0, net, host] = ip.octets() else { return None };
    let is_one = (1..=HOPS_MAX).contains(&host.into()) && (1..=PHONES_MAX).contains(&net.into());
    is_one.then(|| place(host - 1, net - 1))
}

/// A callee's letter in what it writes.
pub const fn mark(place: u8) -> u8 {
    b"123456abcdefghijklmnopqr"[place as usize]
}

/// The number of a callee: the chain's length and the place in it.
pub fn number(hops: u8, hop: u8) -> [u8; 3] {
    [b'1', b'0' + hops, b'0' + hop]
}

impl Setup {
    pub fn draw(options: &Options) -> Setup {
        let mut rng = Rng::new(options.seed, u64::MAX);
        let scarce = rng.percent(15);
        let (max_calls, max_transactions) = match scarce {
            true => (options.calls / rng.between(2, 10), options.calls * rng.between(4, 40)),
            false => (options.calls * 4, options.calls * if options.forked { 200 } else { 80 }),
        };
        let settings = Settings {
            listeners: vec![Listener { address: SERVER, sent_by: SERVER_TEXT.into() }],
            no_answer_ms: rng.between(2_000, 10_000),
            ring_limit_ms: rng.between(10_000, 60_000),
            trying_limit_ms: rng.between(5_000, 60_000),
            call_limit_ms: rng.between(20_000, 120_000),
            max_diversions: rng.between(3, 5) as u8,
            ack: rng.pick(&[AckPolicy::Relay, AckPolicy::Immediate]),
            send_181: rng.percent(70),
            unreachable_408: rng.percent(30),
            late_answer: rng.pick(&[LateAnswer::Drop, LateAnswer::Keep]),
            session_expires_s: rng.pick(&[0, 90]),
            max_calls,
            max_transactions,
            ..Settings::default()
        };
        let outside: [bool; HOPS_MAX + 1] = std::array::from_fn(|hops| hops > 1 && rng.percent(25));
        // In half of the worlds; the others are as they would be without.
        let mut media_rng = Rng::new(options.seed, u64::MAX - 3);
        let media_pairs = (options.seed / 4 % 2 == 1).then(|| media::pairs(&mut media_rng, scarce));
        let anchored = media_pairs.map(|_| media::settings(&mut media_rng)).unwrap_or_default();
        let settings =
            Settings { forwarding: forwarding(&mut rng, &settings, &outside), media: anchored, ..settings };
        let (subscribers, plans) = subscribers(&mut rng, &outside);
        let network = Network {
            loss: Odds::new(options.loss),
            duplication: Odds::new(options.loss / 2.0),
            straggling: Odds::new(if rng.percent(50) { 0.02 } else { 0.0 }),
            straggling_ms: rng.between(20, 1_500),
            jitter_ms: rng.pick(&[1, 5, 20, 80, 300]),
            cut_percent: rng.pick(&[0, 0, 1, 5]),
        };
        let shards = rng.between(1, 3) as u16;
        let (secret, gap_ms) = (rng.draw(), rng.between(1, 6));
        let mut phones = match options.forked {
            true => phones_of_world(options.seed),
            false => lone_phones(&mut rng),
        };
        for hops in (0..=HOPS_MAX as u8).filter(|&hops| outside[usize::from(hops)]) {
            phones[numbered(hops, hops - 1)] = vec![Phone::alone(hops - 1)];
        }
        let with_bindings = |subscriber: Subscriber| {
            let digits = subscriber.number.as_bytes();
            let phones = &phones[numbered(digits[1] - b'0', digits[2] - b'0')];
            locations::entry(subscriber, phones, |phone| (callee_address(phone.place), ListenerId(0)))
        };
        let directory = Directory::of(subscribers.into_iter().map(with_bindings));
        let (settings, forked) = (Arc::new(settings), options.forked);
        Setup {
            settings,
            directory,
            shards,
            secret,
            scarce,
            network,
            forked,
            phones,
            plans,
            outside,
            gap_ms,
            media_pairs,
        }
    }
}

impl Setup {
    /// How long the server waits for a callee.
    pub fn patience(&self, hops: u8, hop: u8) -> Patience {
        let settings = &self.settings;
        let own = self.directory.read().get(&number(hops, hop)).and_then(|entry| entry.subscriber.after_ms);
        let no_answer_ms = own.unwrap_or(settings.no_answer_ms);
        let forwards = self.plans[numbered(hops, hop)].target(Kind::NoAnswer).is_some();
        let ring_ms = if forwards { no_answer_ms } else { settings.ring_limit_ms };
        Patience { ring_ms, trying_ms: settings.trying_limit_ms }
    }

    /// The phones of a number.
    pub fn phones(&self, hops: u8, hop: u8) -> &[Phone] {
        &self.phones[numbered(hops, hop)]
    }

    /// A number that is reached by a route.
    pub fn is_outside(&self, hops: u8, hop: u8) -> bool {
        self.outside[usize::from(hops)] && hop + 1 == hops
    }
}

/// Where a number's phones stand in the list of them.
pub fn numbered(hops: u8, hop: u8) -> usize {
    usize::from(hops) * HOPS_MAX + usize::from(hop)
}

/// One phone for each number, or none.
fn lone_phones(rng: &mut Rng) -> Vec<Vec<Phone>> {
    let mut phones = vec![Vec::new(); numbered(HOPS_MAX as u8, HOPS_MAX as u8)];
    for hops in 1..=HOPS_MAX as u8 {
        for hop in 0..hops {
            let has_phone = rng.percent(94);
            phones[numbered(hops, hop)] = has_phone.then(|| Phone::alone(hop)).into_iter().collect();
        }
    }
    phones
}

fn forwarding(rng: &mut Rng, settings: &Settings, outside: &[bool]) -> service::Settings {
    let text = |hops: u8| String::from_utf8_lossy(&number(hops, hops - 1)).into_owned();
    let ways = (1..=HOPS_MAX as u8).filter(|&hops| outside[usize::from(hops)]);
    let routes = ways.map(|hops| {
        let destination = callee_address(hops - 1);
        Route { prefix: text(hops).into(), host: destination.to_string().into(), destination }
    });
    let (diversion, history) = (HistoryForm::Diversion, HistoryForm::HistoryInfo);
    let both = HistoryForm::Both;
    service::Settings {
        routes: routes.collect(),
        own_hosts: service::Settings::own_hosts(&settings.listeners),
        deflection: rng.percent(70),
        history: rng.pick(&[both, both, both, both, diversion, history, HistoryForm::None]),
        ..service::Settings::default()
    }
}

/// A chain of every length; a callee forwards to the next, back, or nowhere. The last one of some is none of
/// ours.
fn subscribers(rng: &mut Rng, outside: &[bool]) -> (Vec<Subscriber>, Vec<Plan>) {
    let mut subscribers = Vec::new();
    let mut plans = vec![Plan::default(); numbered(HOPS_MAX as u8, HOPS_MAX as u8)];
    for hops in 1..=HOPS_MAX as u8 {
        for hop in 0..hops {
            let mut subscriber = Subscriber::new(&String::from_utf8_lossy(&number(hops, hop)));
            let text = |hop| String::from_utf8_lossy(&number(hops, hop)).into_owned();
            let (plan, forwarding) = Plan::draw(rng, (hops, hop), text);
            subscriber.forwarding = forwarding;
            subscriber.after_ms = rng.percent(90).then(|| rng.between(1, 24) * 500);
            if !(outside[usize::from(hops)] && hop + 1 == hops) {
                plans[numbered(hops, hop)] = plan;
                subscribers.push(subscriber);
            }
        }
    }
    (subscribers, plans)
}
