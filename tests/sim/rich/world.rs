//! One world of richer peers: shards, calls, a network of bytes and virtual time.

use super::super::audit::{Verdict, hasher, is};
use super::super::call::CALLER;
use super::super::fault::Saboteur;
use super::super::media::{self, Desk, Who};
use super::super::rng::Rng;
use super::super::rounds::Rounds;
use super::super::setup::{Options, PHONES_MAX, STARTED, place as place_of};
use super::super::trace::{Fate, Ring};
use super::super::wire::read_hex;
use super::super::world::{Failure, Report};
use super::audit::{self, About, Seen};
use super::heard;
use super::ledger::Ledger;
use super::legs;
use super::net::{Datagram, Event, Net};
use super::party::{On, Party, branch_of, kind_of};
use super::script::Script;
use super::setup::{HOPS_MAX, Habits, SERVERS, Setup, address, number, speaks_ipv6};
use super::view::View;
use ahash::RandomState;
use ringway::clock::Now;
use ringway::limits::SCAN_PADDING;
use ringway::metrics::Metrics;
use ringway::outbox::ListenerId;
use ringway::shard::{Datagram as Input, Owner, Place, Shard};
use ringway::sip::{HeaderName, Index, Message, Method, scan};
use std::net::SocketAddr;
use std::sync::Arc;

/// A world that runs longer than its calls can last never ends.
const END_MS: u64 = 7_200_000;

struct Call {
    index: u32,
    rng: Rng,
    ledger: Ledger,
    trace: Ring,
    /// The caller, then the callees.
    parties: Vec<Party>,
    views: Vec<View>,
    /// What is known of several locations of a number.
    rounds: Option<Box<Rounds>>,
    /// The first thing that a peer cannot accept.
    wrong: Option<&'static str>,
}

impl Call {
    fn draw(setup: &Setup, seed: u64, index: u32, net: &mut Net) -> Call {
        let mut rng = Rng::new(seed, u64::from(index));
        let habits = &setup.habits;
        let hops = 1 + rng.pick(&[0, 0, 0, 0, 1, 1, 2]);
        let ipv6 = if habits.ipv6 { rng.below(1 << hops) as u8 } else { 0 };
        let caller_ipv6 = habits.ipv6 && rng.percent(40);
        let called = number(hops, 0, ipv6);
        let mut parties = Vec::new();
        let mut add = |rng: &mut Rng, place: u8, number: String, address: SocketAddr| {
            let mut script = Script::draw(rng, habits, place == CALLER);
            if place != CALLER && !setup.phones.is_empty() {
                script = script.of_many(rng);
            }
            let mut party = Party::new((index, place), number, address, script);
            if habits.routes && rng.percent(40) {
                party.proxies = rng.between(1, 2) as u8;
                party.strict = habits.strict && rng.percent(30);
            }
            net.counts.record_routes += u64::from(party.proxies > 0);
            net.counts.strict_routes += u64::from(party.strict);
            parties.push(party);
        };
        add(&mut rng, CALLER, called, address(0, caller_ipv6));
        for hop in 0..hops {
            let number = number(hops, hop, ipv6);
            match setup.phones.get(&number) {
                None => add(&mut rng, hop, number, address(hop + 1, ipv6 >> hop & 1 == 1)),
                Some(phones) => {
                    for place in phones.iter().map(|phone| phone.place) {
                        let ipv6 = speaks_ipv6(place, ipv6, habits.ipv6);
                        add(&mut rng, place, number.clone(), address(place + 1, ipv6));
                    }
                }
            }
        }
        net.counts.calls += 1;
        net.counts.ipv6 += u64::from(caller_ipv6);
        net.counts.mixed_families += u64::from(caller_ipv6 != (ipv6 & 1 == 1));
        let views = parties.iter().map(|_| View::default()).collect();
        let is_anchored = setup.media_pairs.is_some();
        let (ledger, trace) = (Ledger::new(is_anchored), Ring::default());
        let rounds = (!setup.phones.is_empty()).then(|| Box::new(setup.rounds(hops, ipv6)));
        Call { index, rng, ledger, trace, parties, views, rounds, wrong: None }
    }

    /// Where a peer stands in the lists; beyond them: there is none.
    fn slot(&self, place: u8) -> usize {
        self.parties.iter().position(|party| party.place == place).unwrap_or(usize::MAX)
    }

    /// A peer, and what it acts through.
    fn split<'a>(&'a mut self, net: &'a mut Net, place: u8) -> (&'a mut Party, On<'a>) {
        let slot = self.slot(place);
        let Call { rng, ledger, trace, parties, wrong, .. } = self;
        (&mut parties[slot], On { net, rng, ledger, trace, wrong })
    }

    fn about(&mut self, place: u8) -> About<'_> {
        let slot = self.slot(place);
        let caller = &self.views[0];
        let first = caller.incoming.iter().rfind(|asked| asked.method == Method::Invite && !asked.inside);
        let search_over = first.is_none_or(|first| first.status != 0 || first.cancelled);
        let caller_proxies = self.parties[0].proxies;
        About {
            party: &self.parties[slot],
            view: &mut self.views[slot],
            ledger: &mut self.ledger,
            search_over,
            caller_proxies,
        }
    }
}

pub struct World {
    options: Options,
    setup: Setup,
    shards: Vec<Shard>,
    calls: Vec<Call>,
    first: u32,
    net: Net,
    hasher: RandomState,
    index: Box<Index>,
    buffer: Vec<u8>,
    report: Report,
    saboteur: Saboteur,
    /// Calls that the last input had to do with.
    touched: Vec<u32>,
    /// Where media is anchored, and what decides who sends when.
    media: Option<(Desk, Rng)>,
}

type Outcome<T = ()> = Result<T, Failure>;

impl World {
    pub fn new(options: Options, habits: Habits) -> World {
        let setup = Setup::draw(&options, habits);
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
        World {
            shards: (0..setup.shards).map(shard).collect(),
            calls: Vec::new(),
            first: options.only.unwrap_or(0),
            net: Net::new(setup.weather),
            hasher: hasher(),
            index: Box::new(Index::new()),
            buffer: Vec::new(),
            report: Report::default(),
            saboteur: Saboteur::new(options.fault),
            touched: Vec::new(),
            media: setup.media_pairs.map(|pairs| (Desk::new(pairs), Rng::new(options.seed, u64::MAX - 4))),
            options,
            setup,
        }
    }

    pub fn run(mut self) -> Outcome<Report> {
        let start_ms = u64::from(self.first) * u64::from(self.setup.gap_ms);
        self.net.calendar.go_on(start_ms);
        self.net.calendar.put(start_ms, 0, Event::Begin(self.first));
        while let Some(now_ms) = self.next_ms() {
            if now_ms > END_MS {
                return Err(self.failure(None, "it never ends"));
            }
            self.net.now_ms = now_ms;
            self.fire(now_ms)?;
            while let Some(event) = self.net.calendar.take(now_ms) {
                self.handle(event, now_ms)?;
            }
            self.net.calendar.go_on(now_ms);
        }
        self.finish()
    }

    fn next_ms(&self) -> Option<u64> {
        let due = self.shards.iter().filter_map(Shard::poll_timeout).map(|due| due.as_ms()).min();
        let due = due.map(|due| due.max(self.net.now_ms));
        due.into_iter().chain(self.net.calendar.next_ms()).min()
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
        let (call, place) = match event {
            Event::Begin(number) => {
                self.begin(number, now_ms);
                (number, CALLER)
            }
            Event::ToServer(slot) => {
                let datagram = self.net.take(slot);
                self.arrive(&datagram, now_ms)?;
                self.speak(datagram.call, now_ms)?;
                (datagram.call, datagram.place)
            }
            Event::ToPeer(slot) => {
                let datagram = self.net.take(slot);
                self.deliver(&datagram);
                (datagram.call, datagram.place)
            }
            Event::Wake(wake) => {
                if !self.net.put_off(wake) {
                    let call = &mut self.calls[(wake.call - self.first) as usize];
                    let (party, mut on) = call.split(&mut self.net, wake.place);
                    party.wake(&mut on, wake.what);
                }
                (wake.call, wake.place)
            }
        };
        match self.calls[(call - self.first) as usize].wrong {
            Some(wrong) => {
                let who = super::super::trace::name(place);
                Err(self.failure(Some(call), &format!("{who} complains: {wrong}")))
            }
            None => Ok(()),
        }
    }

    /// Somebody sends media in a call.
    fn speak(&mut self, number: u32, now_ms: u64) -> Outcome {
        let Some((desk, rng)) = &mut self.media else { return Ok(()) };
        let shards = &mut self.shards;
        let mut verdict = desk.tones(shards, now_ms);
        for _ in 0..4 {
            verdict = verdict.and_then(|()| desk.packet((&mut shards[..], now_ms), number, rng, |_| Ok(())));
        }
        verdict.map_err(|wrong| self.failure(Some(number), wrong))
    }

    fn begin(&mut self, number: u32, now_ms: u64) {
        let mut call = Call::draw(&self.setup, self.options.seed, number, &mut self.net);
        let (party, mut on) = call.split(&mut self.net, CALLER);
        party.start(&mut on);
        self.calls.push(call);
        self.report.calls += 1;
        if self.options.only.is_none() && number + 1 < self.options.calls {
            self.net.calendar.put(now_ms, self.setup.gap_ms, Event::Begin(number + 1));
        }
    }

    fn deliver(&mut self, datagram: &Datagram) {
        self.load(&datagram.bytes);
        // The server's message was scanned when it left.
        if scan(&mut self.buffer, datagram.bytes.len(), &mut self.index).is_err() {
            return;
        }
        let message = self.index.message(&self.buffer[..datagram.bytes.len()]);
        let call = &mut self.calls[(datagram.call - self.first) as usize];
        let (party, mut on) = call.split(&mut self.net, datagram.place);
        party.receive(&mut on, &message);
    }

    fn load(&mut self, bytes: &[u8]) {
        self.buffer.clear();
        self.buffer.extend_from_slice(bytes);
        self.buffer.resize(bytes.len() + SCAN_PADDING, 0);
    }

    fn arrive(&mut self, datagram: &Datagram, now_ms: u64) -> Outcome {
        let Datagram { call: number, place, address, ref bytes } = *datagram;
        self.load(bytes);
        if let Err(fault) = scan(&mut self.buffer, bytes.len(), &mut self.index) {
            return Err(self.wrong_message(Some(number), &format!("a peer wrote {fault:?}"), bytes));
        }
        let hash = self.hasher.hash_one(&bytes[..]);
        let seen = Seen { message: self.index.message(&self.buffer[..bytes.len()]), hash, now_ms };
        let call = &mut self.calls[(number - self.first) as usize];
        call.trace.push(now_ms, place, Fate::In, kind_of(bytes));
        let slot = call.slot(place);
        if let Some(rounds) = &mut call.rounds {
            legs::arrives(rounds, place, &call.views[slot], &seen);
            self.touched.push(number);
        }
        heard::arrived(&mut call.views[slot], &mut call.ledger, &seen);
        self.report.hash = self.hasher.hash_one((self.report.hash, hash));
        self.report.datagrams += 1;
        if self.options.only.is_some() {
            print_message(now_ms, "→", place, bytes);
        }
        self.load(bytes);
        let mut number = (self.report.datagrams % self.shards.len() as u64) as usize;
        let listener = ListenerId(u8::from(address.is_ipv6()));
        loop {
            let input = Input { source: address, listener, buffer: &mut self.buffer, length: bytes.len() };
            match self.shards[number].handle_datagram(Now::from_ms(now_ms), input) {
                Owner::Here => return self.flush(number),
                Owner::Shard(owner) => number = usize::from(owner),
            }
        }
    }

    fn flush(&mut self, number: usize) -> Outcome {
        let shard = &mut self.shards[number];
        self.report.calls_at_once = self.report.calls_at_once.max(shard.calls());
        let outbox = std::mem::take(shard.outbox());
        let mut outcome = Ok(());
        let mut saboteurs: Vec<u8>;
        for datagram in outbox.datagrams() {
            let is_right = usize::from(datagram.listener.0) == usize::from(datagram.destination.is_ipv6());
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
            if !is_right && outcome.is_ok() {
                outcome = Err(self.wrong_message(None, "by the wrong socket", outbox.bytes(datagram)));
            }
            if outcome.is_err() {
                break;
            }
        }
        *self.shards[number].outbox() = outbox;
        self.shards[number].outbox().clear();
        outcome?;
        while let Some(touched) = self.touched.pop() {
            self.settled(touched)?;
        }
        Ok(())
    }

    /// The server has said all that it has to say to what came last.
    fn settled(&mut self, touched: u32) -> Outcome {
        let now_ms = self.net.now_ms;
        let call = &mut self.calls[(touched - self.first) as usize];
        let sides = call.views[1..].iter().flat_map(|view| &view.sides);
        let winners = sides.filter(|side| side.is_winner()).count();
        let verdict = is(winners <= 1, "two callees have won");
        let rounds = call.rounds.as_mut().map_or(Ok(()), |rounds| rounds.settled(now_ms));
        verdict.and(rounds).map_err(|wrong| self.failure(Some(touched), wrong))
    }

    fn sent(&mut self, bytes: &[u8], destination: SocketAddr) -> Outcome {
        self.load(bytes);
        if let Err(fault) = scan(&mut self.buffer, bytes.len(), &mut self.index) {
            return Err(self.wrong_message(None, &format!("{fault:?}"), bytes));
        }
        let message = self.index.message(&self.buffer[..bytes.len()]);
        let hash = self.hasher.hash_one(bytes);
        self.report.hash = self.report.hash.rotate_left(7) ^ hash;
        self.report.datagrams += 1;
        let now_ms = self.net.now_ms;
        let Some((number, place)) = addressee(&message, destination) else {
            return Err(self.wrong_message(None, "a message to nobody", bytes));
        };
        let Some(call) = self.calls.get_mut(number.wrapping_sub(self.first) as usize) else {
            return Err(self.wrong_message(None, "a message of an unknown call", bytes));
        };
        if call.slot(place) >= call.parties.len() {
            return Err(self.wrong_message(Some(number), "a message beyond the chain", bytes));
        }
        if message.is_request() && message.method() == Method::Ack || call.rounds.is_some() {
            self.touched.push(number);
        }
        let verdict = check(call, place, &Seen { message, hash, now_ms }, destination);
        let who = Who { call: number, place, media: Ledger::media(place) };
        let told = self.media.as_mut().map(|(desk, _)| desk.sent(who, message.body()));
        let verdict = verdict.and(told.unwrap_or(Ok(())));
        let datagram = Datagram { call: number, place, address: destination, bytes: bytes.to_vec() };
        let carried = self.net.carry(&mut call.rng, true, datagram);
        let fate = if carried { Fate::Out } else { Fate::OutLost };
        call.trace.push(now_ms, place, fate, kind_of(bytes));
        if self.options.only.is_some() {
            print_message(now_ms, if carried { "←" } else { "✗" }, place, bytes);
        }
        verdict.map_err(|wrong| self.wrong_message(Some(number), wrong, bytes))
    }

    fn finish(mut self) -> Outcome<Report> {
        for number in 0..self.calls.len() {
            let call = &self.calls[number];
            for (party, view) in call.parties.iter().zip(&call.views) {
                if let Err(wrong) = heard::ended(party, view, &call.ledger) {
                    let wrong = format!("{}: {wrong}", super::super::trace::name(party.place));
                    return Err(self.failure(Some(call.index), &wrong));
                }
            }
        }
        for shard in &self.shards {
            self.report.metrics.add(shard.metrics());
        }
        self.report.lost = self.net.lost;
        self.report.relayed = self.media.as_ref().map_or(0, |(desk, _)| desk.relayed);
        self.report.counts = self.net.counts;
        let Metrics { impossible_events, calls_started, calls_ended, not_sip, .. } = self.report.metrics;
        let Metrics { bad_requests_answered, bad_messages_dropped, refused_full, .. } = self.report.metrics;
        let was_full = refused_full + self.report.metrics.transactions_not_kept > 0;
        let wrong = match () {
            () if !self.shards.iter().all(Shard::is_empty) => "something is left in a shard",
            () if impossible_events > 0 => "an event that no state explains",
            () if calls_started != calls_ended => "calls started and ended differ",
            () if was_full => "a table was full",
            () if not_sip + bad_requests_answered + bad_messages_dropped > 0 => "a peer wrote nonsense",
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
        let mut text = format!("{wrong} (at {} ms, seed {}", self.net.now_ms, self.options.seed);
        if let Some(call) = call.and_then(|call| self.calls.get((call - self.first) as usize)) {
            text += &format!(", call {})\n{}", call.index, call.trace.ladder());
            for (party, view) in call.parties.iter().zip(&call.views) {
                let who = super::super::trace::name(party.place);
                text += &format!("{who} behind {} proxies, strict {}: ", party.proxies, party.strict);
                text += &format!("dead {}, forgot {}, {:?}\n", party.dead, party.forgot, party.script);
                text += &format!("    {:?}\n", view.sides);
            }
            if let Some(rounds) = &call.rounds {
                text += &rounds.describe();
            }
        } else {
            text += ")\n";
        }
        let settings = &self.setup.settings;
        text += &format!(
            "shards {}, {:?}, late answer {:?}, 181 {}, call limit {} ms, {:?}\n",
            self.setup.shards,
            settings.ack,
            settings.late_answer,
            settings.send_181,
            settings.call_limit_ms,
            self.setup.habits
        );
        Failure { call, text }
    }
}

fn check(call: &mut Call, place: u8, seen: &Seen<'_>, destination: SocketAddr) -> Verdict {
    let slot = call.slot(place);
    let (before, requests) = (legs::final_status(&call.views[0]), call.views[slot].out.len());
    let mut about = call.about(place);
    match seen.message.is_request() {
        true => audit::request(&mut about, seen, destination)?,
        false => audit::response(&mut about, seen, destination)?,
    }
    let Some(rounds) = &mut call.rounds else { return Ok(()) };
    let status = legs::final_status(&call.views[0]);
    if place != CALLER {
        let is_new = call.views[slot].out.len() > requests;
        legs::told(rounds, (&call.parties[slot], &call.views[slot]), seen, is_new)
    } else if before == 0 && status != 0 {
        rounds.final_response(status, seen.now_ms)
    } else {
        Ok(())
    }
}

/// Which call and which peer a message of the server's is for.
fn addressee(message: &Message<'_>, destination: SocketAddr) -> Option<(u32, u8)> {
    let host = (0..=place_of(HOPS_MAX - 1, PHONES_MAX as u8 - 1) + 1)
        .find(|&host| [false, true].iter().any(|&ipv6| address(host, ipv6).ip() == destination.ip()))?;
    let place = host.checked_sub(1).unwrap_or(CALLER);
    let id = if message.is_request() {
        let name = if place == CALLER { HeaderName::To } else { HeaderName::From };
        message.header(name)?.strip_prefix(b"<sip:c")?
    } else {
        branch_of(message).get(7..)?
    };
    Some((read_hex(id)?, place))
}

fn print_message(now_ms: u64, arrow: &str, place: u8, bytes: &[u8]) {
    let who = super::super::trace::name(place);
    println!("{now_ms} ms {who} {arrow} S");
    println!("{}", String::from_utf8_lossy(bytes));
}

const _: () = assert!(SERVERS.len() == 2);
