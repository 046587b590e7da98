//! One world of richer peers: the server's settings, addresses, numbers.

use super::super::locations::{self, Phone};
use super::super::media;
use super::super::plan::{Kind, Plan};
use super::super::rng::{Odds, Rng};
use super::super::rounds::{Rounds, Rules};
use super::super::setup::{Network as Weather, Options, hop_of, phone_of};
use ringway::directory::{Directory, Entry, Subscriber};
use ringway::outbox::ListenerId;
use ringway::service;
use ringway::settings::{AckPolicy, LateAnswer, Listener, Settings};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// The server's addresses.
pub const SERVERS: [&str; 2] = ["127.0.0.60:5060", "[fd00::60]:5060"];

/// The longest chain of callees.
pub const HOPS_MAX: u8 = 3;

/// What the peers of a world may do.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    pub reliable: bool,
    pub updates: bool,
    pub reinvites: bool,
    pub relayed: bool,
    pub forks: bool,
    pub routes: bool,
    pub strict: bool,
    pub timers: bool,
    pub ipv6: bool,
    /// Numbers have several locations.
    pub locations: bool,
}

impl Habits {
    pub const ALL: Habits = Habits {
        reliable: true,
        updates: true,
        reinvites: true,
        relayed: true,
        forks: true,
        routes: true,
        strict: true,
        timers: true,
        ipv6: true,
        locations: true,
    };

    /// Those named in a list: `forks,routes`.
    pub fn read(list: &str) -> Option<Habits> {
        let mut habits = Habits {
            reliable: false,
            updates: false,
            reinvites: false,
            relayed: false,
            forks: false,
            routes: false,
            strict: false,
            timers: false,
            ipv6: false,
            locations: false,
        };
        for name in list.split(',') {
            match name {
                "all" => habits = Habits::ALL,
                "reliable" => habits.reliable = true,
                "updates" => habits.updates = true,
                "reinvites" => habits.reinvites = true,
                "relayed" => habits.relayed = true,
                "forks" => habits.forks = true,
                "routes" => habits.routes = true,
                "strict" => habits.strict = true,
                "timers" => habits.timers = true,
                "ipv6" => habits.ipv6 = true,
                "locations" => habits.locations = true,
                _ => return None,
            }
        }
        Some(habits)
    }

    /// Each world has its share of them.
    fn thinned(self, rng: &mut Rng) -> Habits {
        let mut some = |habit: bool| rng.percent(75) && habit;
        Habits {
            reliable: some(self.reliable),
            updates: some(self.updates),
            reinvites: some(self.reinvites),
            relayed: some(self.relayed),
            forks: some(self.forks),
            routes: some(self.routes),
            strict: some(self.strict),
            timers: some(self.timers),
            ipv6: some(self.ipv6),
            locations: self.locations,
        }
    }
}

pub struct Setup {
    pub settings: Arc<Settings>,
    pub directory: Arc<Directory>,
    pub shards: u16,
    pub secret: u64,
    pub weather: Weather,
    pub gap_ms: u32,
    pub habits: Habits,
    /// Pairs of media ports of each shard and family, where media is anchored.
    pub media_pairs: Option<u16>,
    /// The phones of each number; empty: one each.
    pub phones: BTreeMap<String, Vec<Phone>>,
    /// What each has set.
    plans: BTreeMap<String, Plan>,
}

/// A peer's address: host 0 is the caller's, the callees' follow.
pub fn address(host: u8, ipv6: bool) -> SocketAddr {
    let ip = match ipv6 {
        true => IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 1, u16::from(host) + 1)),
        false => IpAddr::V4(Ipv4Addr::new(127, 0, 1, host + 1)),
    };
    SocketAddr::new(ip, 5_060)
}

/// A callee's number: the chain's length, the place in it, and which places speak IPv6.
pub fn number(hops: u8, hop: u8, ipv6: u8) -> String {
    format!("2{hops}{hop}{ipv6}")
}

impl Setup {
    pub fn draw(options: &Options, habits: Habits) -> Setup {
        let mut rng = Rng::new(options.seed, u64::MAX);
        let habits = habits.thinned(&mut rng);
        let listener = |text: &str| Listener {
            // never fails: the addresses stand above.
            address: text.parse().unwrap_or_else(|_| address(0, false)),
            sent_by: text.into(),
        };
        let settings = Settings {
            listeners: SERVERS.map(listener).to_vec(),
            no_answer_ms: rng.between(2_000, 10_000),
            ring_limit_ms: rng.between(20_000, 60_000),
            trying_limit_ms: rng.between(5_000, 60_000),
            call_limit_ms: rng.between(200_000, 600_000),
            ack: rng.pick(&[AckPolicy::Relay, AckPolicy::Immediate]),
            send_181: rng.percent(70),
            unreachable_408: rng.percent(30),
            late_answer: rng.pick(&[LateAnswer::Drop, LateAnswer::Keep]),
            session_expires_s: if habits.timers { 90 } else { rng.pick(&[0, 90]) },
            max_calls: options.calls * 4,
            max_transactions: options.calls * if options.forked { 200 } else { 60 },
            ..Settings::default()
        };
        // Their 302s name their phones, which is no deflection.
        let own_hosts = service::Settings::own_hosts(&settings.listeners);
        let forwarding = service::Settings { deflection: false, own_hosts, ..service::Settings::default() };
        // In half of the worlds; the others are as they would be without.
        let mut media_rng = Rng::new(options.seed, u64::MAX - 3);
        let media_pairs = (options.seed / 4 % 2 == 1).then(|| media::pairs(&mut media_rng, false));
        let anchored = media_pairs.map(|_| media::settings(&mut media_rng)).unwrap_or_default();
        let settings = Settings { forwarding, media: anchored, ..settings };
        let (subscribers, plans) = subscribers(&mut rng);
        let phones = if options.forked { phones_of_world(options.seed) } else { BTreeMap::new() };
        let mut listeners = Rng::new(options.seed, u64::MAX - 2);
        let with_bindings = |subscriber: Subscriber| match phones.get(&*subscriber.number) {
            Some(phones) => {
                let ipv6 = subscriber.number.as_bytes()[3] - b'0';
                // Where it registered is not always a listener that reaches it.
                let strays = listeners.percent(20);
                locations::entry(subscriber, phones, |phone| {
                    let is_ipv6 = speaks_ipv6(phone.place, ipv6, habits.ipv6);
                    (address(phone.place + 1, is_ipv6), ListenerId(u8::from(is_ipv6 != strays)))
                })
            }
            None => Entry::from(subscriber),
        };
        let directory = Directory::of(subscribers.into_iter().map(with_bindings));
        let weather = Weather {
            loss: Odds::new(options.loss),
            duplication: Odds::new(options.loss / 2.0),
            straggling: Odds::new(if rng.percent(50) { 0.02 } else { 0.0 }),
            straggling_ms: rng.between(20, 1_500),
            jitter_ms: rng.pick(&[1, 5, 20, 80, 300]),
            cut_percent: 0,
        };
        let shards = rng.between(1, 3) as u16;
        let (secret, gap_ms) = (rng.draw(), rng.between(5, 100));
        let settings = Arc::new(settings);
        Setup { settings, directory, shards, secret, weather, gap_ms, habits, media_pairs, phones, plans }
    }

    /// What is known of the locations of a chain's numbers.
    pub fn rounds(&self, hops: u8, ipv6: u8) -> Rounds {
        let settings = &self.settings;
        let rules = Rules {
            max_diversions: settings.max_diversions,
            unreachable_408: settings.unreachable_408,
            deflection: settings.forwarding.deflection,
            keeps_late: settings.late_answer == LateAnswer::Keep,
            has_room: true,
            plain: false,
        };
        let view = self.directory.read();
        let ring_ms = |hop| {
            let own =
                view.get(number(hops, hop, ipv6).as_bytes()).and_then(|entry| entry.subscriber.after_ms);
            let forwards = self.plan(hops, hop, ipv6).target(Kind::NoAnswer).is_some();
            if forwards { own.unwrap_or(settings.no_answer_ms) } else { settings.ring_limit_ms }
        };
        let waits: Vec<_> = (0..hops).map(|hop| (ring_ms(hop), settings.trying_limit_ms)).collect();
        let phones = (0..hops).flat_map(|hop| &self.phones[&number(hops, hop, ipv6)]);
        let plans = (0..hops).map(|hop| self.plan(hops, hop, ipv6)).collect();
        Rounds::new(rules, &waits, plans, phones.map(Phone::location).collect())
    }

    fn plan(&self, hops: u8, hop: u8, ipv6: u8) -> Plan {
        self.plans.get(&number(hops, hop, ipv6)).copied().unwrap_or_default()
    }
}

/// Whether a phone speaks IPv6: the first of a number as the number's mask says, the others in turn.
pub fn speaks_ipv6(place: u8, mask: u8, mixed: bool) -> bool {
    (mask >> hop_of(place) & 1 == 1) != (mixed && phone_of(place) % 2 == 1)
}

fn phones_of_world(seed: u64) -> BTreeMap<String, Vec<Phone>> {
    let mut rng = Rng::new(seed, u64::MAX - 1);
    let chains = (1..=HOPS_MAX).flat_map(|hops| (0..1 << hops).map(move |ipv6| (hops, ipv6)));
    let numbers = chains.flat_map(|(hops, ipv6)| (0..hops).map(move |hop| (hops, hop, ipv6)));
    numbers.map(|(hops, hop, ipv6)| (number(hops, hop, ipv6), Phone::draw(&mut rng, hop))).collect()
}

/// A chain of every length and every mix of families; a callee forwards to the next, back, or nowhere.
fn subscribers(rng: &mut Rng) -> (Vec<Subscriber>, BTreeMap<String, Plan>) {
    let (mut subscribers, mut plans) = (Vec::new(), BTreeMap::new());
    for (hops, ipv6) in (1..=HOPS_MAX).flat_map(|hops| (0..1 << hops).map(move |ipv6| (hops, ipv6))) {
        for hop in 0..hops {
            let number_text = number(hops, hop, ipv6);
            let peer = address(hop + 1, ipv6 >> hop & 1 == 1);
            let mut subscriber = Subscriber::new(&number_text).at(&format!("sip:{number_text}@{peer}"), peer);
            let (plan, forwarding) = Plan::draw(rng, (hops, hop), |hop| number(hops, hop, ipv6));
            subscriber.forwarding = forwarding;
            subscriber.after_ms = rng.percent(90).then(|| rng.between(2, 24) * 500);
            plans.insert(number_text, plan);
            subscribers.push(subscriber);
        }
    }
    (subscribers, plans)
}
