//! One world: shards, thousands of calls at once, a network and virtual time.

use super::audit::{self, Sent};
use super::call::{CALLER, Call, Kind, Parcel};
use super::fault::Saboteur;
use super::media::{self, Desk, Who};
use super::network::{Event, Network};
use super::plan::Tally;
use super::rich::Counts;
use super::rng::Rng;
use super::setup::{CALLERS, Options, STARTED, Setup, callee_address};
use super::trace::{Fate, summary};
use super::{callee, caller, wire};
use ahash::RandomState;
use ringway::clock::Now;
use ringway::limits::SCAN_PADDING;
use ringway::metrics::Metrics;
use ringway::outbox::ListenerId;
use ringway::shard::{Datagram, Owner, Place, Shard};
use ringway::sip::{Index, scan};
use std::sync::Arc;

/// A world that runs longer than its calls can last never ends.
const END_MS: u64 = 3_600_000;

/// What a world was like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub calls: u64,
    pub datagrams: u64,
    pub lost: u64,
    /// Of all bytes that went either way, in their order.
    pub hash: u64,
    pub metrics: Metrics,
    /// Calls that lived at once at most.
    pub calls_at_once: usize,
    /// Packets of media that were relayed.
    pub relayed: u64,
    /// What richer peers did.
    pub counts: Counts,
}

/// What was wrong, for a person to read.
pub struct Failure {
    pub call: Option<u32>,
    pub text: String,
}

type Outcome<T = ()> = Result<T, Failure>;

pub struct World {
    options: Options,
    setup: Setup,
    shards: Vec<Shard>,
    calls: Vec<Call>,
    /// The first call's number.
    first: u32,
    network: Network,
    hasher: RandomState,
    index: Box<Index>,
    /// A message and the zeros behind it.
    buffer: Vec<u8>,
    /// Calls whose winner the last input made.
    touched: Vec<u32>,
    report: Report,
    saboteur: Saboteur,
    /// Where media is anchored, and what decides who sends when.
    media: Option<(Desk, Rng)>,
}

impl World {
    pub fn new(options: Options) -> World {
        let setup = Setup::draw(&options);
        let shard = |number: u16| {
            let secret = setup.secret.wrapping_add(u64::from(number));
            let place = Place { shard: number, shards: setup.shards, owner_seed: 7, secret };
            let mut shard =
                Shard::new(Arc::clone(&setup.settings), Arc::clone(&setup.directory), place, STARTED);
            if let Some(pairs) = setup.media_pairs {
                media::add(shard.media(), number.into(), pairs);
            }
            shard
        };
        let shards = (0..setup.shards).map(shard).collect();
        World {
            shards,
            calls: Vec::with_capacity(if options.only.is_some() { 1 } else { options.calls as usize }),
            first: options.only.unwrap_or(0),
            network: Network::new(setup.network),
            hasher: audit::hasher(),
            index: Box::new(Index::new()),
            buffer: Vec::new(),
            touched: Vec::new(),
            report: Report::default(),
            saboteur: Saboteur::new(options.fault),
            media: setup.media_pairs.map(|pairs| (Desk::new(pairs), Rng::new(options.seed, u64::MAX - 4))),
            options,
            setup,
        }
    }

    /// Plays all calls to their end and beyond, until nothing is armed any more.
    pub fn run(mut self) -> Outcome<Report> {
        let start_ms = u64::from(self.first) * u64::from(self.setup.gap_ms);
        self.network.calendar.go_on(start_ms);
        self.network.calendar.put(start_ms, 0, Event::Begin(self.first));
        while let Some(now_ms) = self.next_ms() {
            if now_ms > END_MS {
                return Err(self.failure(None, "it never ends"));
            }
            self.network.now_ms = now_ms;
            self.fire(now_ms)?;
            while let Some(event) = self.network.calendar.take(now_ms) {
                self.handle(event, now_ms)?;
            }
            self.network.calendar.go_on(now_ms);
        }
        self.finish()
    }

    fn next_ms(&self) -> Option<u64> {
        let due = self.shards.iter().filter_map(Shard::poll_timeout).map(|due| due.as_ms()).min();
        let due = due.map(|due| due.max(self.network.now_ms));
        due.into_iter().chain(self.network.calendar.next_ms()).min()
    }

    fn fire(&mut self, now_ms: u64) -> Outcome {
        let now = Now::from_ms(now_ms);
        for number in 0..self.shards.len() {
            while self.shards[number].poll_timeout().is_some_and(|due| due.is_due(now)) {
                self.shards[number].handle_timeout(now);
                self.flush(number)?;
            }
        }
        Ok(())
    }

    fn handle(&mut self, event: Event, now_ms: u64) -> Outcome {
        match event {
            Event::Begin(number) => {
                let mut call = Call::draw(&self.setup, self.options.seed, number, now_ms);
                caller::start(&mut call, &mut self.network);
                self.calls.push(call);
                self.report.calls += 1;
                if self.options.only.is_none() && number + 1 < self.options.calls {
                    self.network.calendar.put(now_ms, self.setup.gap_ms, Event::Begin(number + 1));
                }
            }
            Event::Arrive(parcel) => return self.arrive(parcel, now_ms),
            Event::Deliver(parcel) => {
                let call = &mut self.calls[(parcel.call - self.first) as usize];
                deliver(call, &mut self.network, &parcel);
            }
            Event::Wake { call, who, timer, attempt } => {
                let call = &mut self.calls[(call - self.first) as usize];
                match who {
                    CALLER => caller::wake(call, &mut self.network, timer, attempt),
                    hop => callee::wake(call, &mut self.network, hop, (timer, attempt)),
                }
            }
        }
        Ok(())
    }

    /// A peer's message reaches whichever shard's socket, and its owner.
    fn arrive(&mut self, parcel: Parcel, now_ms: u64) -> Outcome {
        let call = &mut self.calls[(parcel.call - self.first) as usize];
        call.trace.push(now_ms, parcel.who, Fate::In, parcel.kind);
        let acks = |call: &Call| call.callees.get(usize::from(parcel.who)).map_or(0, |c| c.server.ack.sent);
        let before = acks(call);
        let must_be_acknowledged = audit::arrived(call, &parcel, now_ms);
        self.touched.push(parcel.call);
        self.buffer.clear();
        wire::write(&mut self.buffer, call, &parcel);
        self.report.hash = self.hasher.hash_one((self.report.hash, &self.buffer[..]));
        self.report.datagrams += 1;
        if self.options.only.is_some() {
            print_message(now_ms, "→", &parcel, &self.buffer);
        }
        let arrival = (self.report.datagrams % self.shards.len() as u64) as usize;
        let owner = self.offer(arrival, &parcel, now_ms);
        self.flush(owner)?;
        let acknowledged = acks(&self.calls[(parcel.call - self.first) as usize]) > before;
        if must_be_acknowledged && !acknowledged {
            return Err(self.failure(Some(parcel.call), "a final response was not acknowledged"));
        }
        self.speak(parcel.call, now_ms)
    }

    /// Somebody sends media in a call.
    fn speak(&mut self, number: u32, now_ms: u64) -> Outcome {
        let Some((desk, rng)) = &mut self.media else { return Ok(()) };
        let call = &self.calls[(number - self.first) as usize];
        let may_be_heard = |place: u8| {
            let callee = &call.callees[usize::from(place)];
            let is_cancelled = callee.cancelled_ms > 0 && callee.final_status / 100 != 2;
            audit::is(!is_cancelled, "one that is cancelled is heard")?;
            audit::is(callee.server.bye.sent == 0, "one that is hung up is heard")
        };
        let shards = &mut self.shards;
        let mut heard = Ok(());
        for _ in 0..4 {
            heard = heard.and_then(|()| desk.packet((&mut shards[..], now_ms), number, rng, may_be_heard));
        }
        let verdict = heard.and_then(|()| desk.tones(&mut self.shards, now_ms));
        verdict.map_err(|wrong| self.failure(Some(number), wrong))
    }

    fn offer(&mut self, arrival: usize, parcel: &Parcel, now_ms: u64) -> usize {
        let length = self.buffer.len();
        self.buffer.resize(length + SCAN_PADDING, 0);
        let source = if parcel.who == CALLER { CALLERS } else { callee_address(parcel.who) };
        let mut number = arrival;
        loop {
            let datagram = Datagram { source, listener: ListenerId(0), buffer: &mut self.buffer, length };
            match self.shards[number].handle_datagram(Now::from_ms(now_ms), datagram) {
                Owner::Here => return number,
                Owner::Shard(owner) => number = usize::from(owner),
            }
        }
    }

    /// Looks at everything that a shard sends and gives it to the network.
    fn flush(&mut self, number: usize) -> Outcome {
        let shard = &mut self.shards[number];
        self.report.calls_at_once = self.report.calls_at_once.max(shard.calls());
        let outbox = std::mem::take(shard.outbox());
        let mut outcome = Ok(());
        let mut saboteurs: Vec<u8>;
        for datagram in outbox.datagrams() {
            let bytes = match self.options.fault {
                None => outbox.bytes(datagram),
                Some(_) => match self.saboteur.spoil(outbox.bytes(datagram)) {
                    None => continue,
                    Some(spoiled) => {
                        saboteurs = spoiled;
                        &saboteurs
                    }
                },
            };
            outcome = self.sent(bytes, datagram.destination);
            if outcome.is_err() {
                break;
            }
        }
        *self.shards[number].outbox() = outbox;
        self.shards[number].outbox().clear();
        outcome?;
        while let Some(touched) = self.touched.pop() {
            let now_ms = self.network.now_ms;
            let verdict = audit::settled(&mut self.calls[(touched - self.first) as usize], now_ms);
            verdict.map_err(|wrong| self.failure(Some(touched), wrong))?;
        }
        Ok(())
    }

    fn sent(&mut self, bytes: &[u8], destination: std::net::SocketAddr) -> Outcome {
        self.buffer.clear();
        self.buffer.extend_from_slice(bytes);
        self.buffer.resize(bytes.len() + SCAN_PADDING, 0);
        if let Err(fault) = scan(&mut self.buffer, bytes.len(), &mut self.index) {
            let text = String::from_utf8_lossy(bytes);
            return Err(self.failure(None, &format!("{fault:?} in\n{text}")));
        }
        let message = self.index.message(&self.buffer[..bytes.len()]);
        let hash = self.hasher.hash_one(bytes);
        self.report.hash = self.report.hash.rotate_left(7) ^ hash;
        self.report.datagrams += 1;
        let now_ms = self.network.now_ms;
        let sent = Sent { message, hash, now_ms };
        let parcel = audit::addressee(&sent.message, destination);
        let parcel = parcel.map_err(|wrong| self.wrong_message(None, wrong, bytes))?;
        let Some(call) = self.calls.get_mut(parcel.call.wrapping_sub(self.first) as usize) else {
            return Err(self.wrong_message(None, "a message of an unknown call", bytes));
        };
        let verdict = audit::check(call, &parcel, &sent);
        let who = Who { call: parcel.call, place: parcel.who, media: wire::media(parcel.who) };
        let told = self.media.as_mut().map(|(desk, _)| desk.sent(who, message.body()));
        let verdict = verdict.and(told.unwrap_or(Ok(())));
        self.network.send_to_peer(call, parcel);
        if self.options.only.is_some() {
            print_message(now_ms, "←", &parcel, bytes);
        }
        self.touched.push(parcel.call);
        verdict.map_err(|wrong| self.wrong_message(Some(parcel.call), wrong, bytes))
    }

    /// Everything has run out: nobody is left behind, and nothing is left in the server.
    fn finish(mut self) -> Outcome<Report> {
        for number in 0..self.calls.len() {
            if let Err(wrong) = audit::ended(&self.calls[number]) {
                return Err(self.failure(Some(number as u32 + self.first), wrong));
            }
        }
        for shard in &self.shards {
            self.report.metrics.add(shard.metrics());
        }
        self.report.lost = self.network.datagrams_lost;
        self.report.relayed = self.media.as_ref().map_or(0, |(desk, _)| desk.relayed);
        let Metrics { impossible_events, calls_started, calls_ended, not_sip, .. } = self.report.metrics;
        let Metrics { bad_requests_answered, bad_messages_dropped, refused_full, .. } = self.report.metrics;
        let was_full = refused_full + self.report.metrics.transactions_not_kept > 0;
        let (mut tally, mut untold) = (Tally::default(), 0);
        for call in &self.calls {
            untold += u64::from(call.rounds.count(&mut tally).is_none());
        }
        let wrong = match () {
            () if !self.shards.iter().all(Shard::is_empty) => "something is left in a shard",
            () if impossible_events > 0 => "an event that no state explains",
            () if calls_started != calls_ended => "calls started and ended differ",
            () if was_full && !self.setup.scarce => "a table was full",
            () if not_sip + bad_requests_answered + bad_messages_dropped > 0 => "a peer wrote nonsense",
            () if !tally.agrees(&self.report.metrics, untold) => {
                let metrics = self.report.metrics;
                return Err(
                    self.failure(None, &format!("forwardings counted wrongly: {tally:?}, {metrics:?}"))
                );
            }
            () => return Ok(self.report),
        };
        Err(self.failure(None, wrong))
    }

    fn wrong_message(&self, call: Option<u32>, wrong: &str, bytes: &[u8]) -> Failure {
        let mut failure = self.failure(call, wrong);
        failure.text += &format!("\n{}", String::from_utf8_lossy(bytes));
        failure
    }

    fn failure(&self, call: Option<u32>, wrong: &str) -> Failure {
        let mut text = format!("{wrong} (at {} ms, seed {}", self.network.now_ms, self.options.seed);
        if let Some(call) = call.and_then(|call| self.calls.get((call - self.first) as usize)) {
            text += &format!(", call {})\n{}", call.index, call.trace.ladder());
            text += &format!("caller: {:?}, {:?}\n", call.caller.state, call.caller.script);
            for (place, callee) in
                call.callees.iter().enumerate().filter(|(_, callee)| callee.server.invite.sent > 0)
            {
                let who = super::trace::name(place as u8);
                text += &format!("{who}: {:?}, {:?}\n", callee.state, callee.script);
            }
            text += &call.rounds.describe();
        } else {
            text += ")\n";
            let impossible = self.shards.iter().map(|shard| shard.metrics().impossible_events);
            text += &format!("impossible events: {:?}\n", impossible.collect::<Vec<_>>());
        }
        let settings = &self.setup.settings;
        text += &format!(
            "shards {}, scarce {}, {:?}, late answer {:?}, 181 {}, ring limit {} ms, trying limit {} ms\n",
            self.setup.shards,
            self.setup.scarce,
            settings.ack,
            settings.late_answer,
            settings.send_181,
            settings.ring_limit_ms,
            settings.trying_limit_ms
        );
        Failure { call, text }
    }
}

/// A message has come to its peer.
fn deliver(call: &mut Call, network: &mut Network, parcel: &Parcel) {
    let server = match parcel.who {
        CALLER => &mut call.caller.server,
        hop => &mut call.callees[usize::from(hop)].server,
    };
    if let Kind::Request(method) = parcel.kind {
        server.request_mut(method).delivered += 1;
    }
    match parcel.who {
        CALLER => caller::receive(call, network, parcel.kind),
        hop => callee::receive(call, network, hop, parcel.kind),
    }
}

fn print_message(now_ms: u64, arrow: &str, parcel: &Parcel, bytes: &[u8]) {
    let who = super::trace::name(parcel.who);
    println!("{now_ms} ms {who} {arrow} S {}", summary(parcel.kind));
    println!("{}", String::from_utf8_lossy(bytes));
}
