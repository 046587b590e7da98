//! Shards, a clock, and what must hold whatever peers send.

use crate::input::Input;
use crate::promises::Promises;
use crate::sip::Sip;
use crate::{padded, shown};
use ringway::clock::{Now, UnixSeconds};
use ringway::directory::{Condition, Directory, Subscriber};
use ringway::limits::{EFFECTS_PER_INPUT_MAX, OUTPUT_BYTES_PER_INPUT_MAX, SCAN_PADDING};
use ringway::outbox::ListenerId;
use ringway::settings::{AckPolicy, LateAnswer, Listener, Settings, Timers};
use ringway::shard::{Datagram, Owner, Place, Shard};
use ringway::sip::{Fault, HeaderName, Index, Message, Method, Uri, scan};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// Steps of the clock in which a world without new input must fall silent.
const STEPS_TO_SILENCE_MAX: usize = 20_000;

/// What tells a request from others, as its responses repeat it: Call-ID, CSeq, topmost branch.
type Asked = (Vec<u8>, Vec<u8>, Vec<u8>);

/// How long after its final response a request may come again and must get the same one: the shortest time
/// that a server transaction lingers (Timer I, RFC 3261 §17.2.1).
const SAME_ANSWER_MS: u64 = 5_000;

/// A request that came.
struct Request {
    source: SocketAddr,
    bytes: Vec<u8>,
    is_ack: bool,
    is_in_dialog: bool,
    /// It always came from one address, with the same bytes.
    is_one: bool,
    /// Of the last response to it; 0: none yet.
    answered: u16,
    /// The final response, and when it was first sent.
    answer: Option<(u64, Vec<u8>)>,
    /// The last reliable provisional response, and its RSeq.
    reliable: Option<(u32, Vec<u8>)>,
}

/// A message that a shard sent.
pub struct Sent {
    pub to: SocketAddr,
    pub sip: Sip,
}

pub struct World {
    shards: Vec<Shard>,
    now_ms: u64,
    /// Readable messages that the shards sent, oldest first.
    pub sent: Vec<Sent>,
    /// Everything that they were given.
    pub received: Vec<(SocketAddr, Vec<u8>)>,
    asked: HashMap<Asked, Request>,
    promises: Promises,
    first_sent: HashMap<(String, String), Vec<u8>>,
    sent_count: u64,
    /// Print what is said.
    is_shown: bool,
}

/// The peers: three phones, and one that is reached over IPv6.
pub const PEERS: [&str; 4] = ["192.0.2.1:5060", "192.0.2.2:5060", "192.0.2.3:5070", "[2001:db8::4]:5060"];

/// Their numbers.
pub const NUMBERS: [&str; 4] = ["1003", "1004", "1005", "1006"];

/// The peer of a number.
pub fn peer(number: usize) -> SocketAddr {
    PEERS[number % PEERS.len()].parse().expect("an address")
}

fn directory(input: &mut Input<'_>) -> Arc<Directory> {
    let forwards = input.byte();
    Directory::of(NUMBERS.iter().enumerate().map(|(position, number)| {
        let target = NUMBERS[(position + 1) % NUMBERS.len()];
        let mut subscriber =
            Subscriber::new(number).at(&format!("sip:{number}@{}", PEERS[position]), peer(position));
        if forwards & 1 << position != 0 {
            subscriber.forwarding.forward(Condition::NoAnswer, target);
        }
        subscriber.after_ms = (forwards & 16 << position != 0).then_some(5_000);
        subscriber
    }))
}

fn settings(input: &mut Input<'_>) -> Settings {
    let listener = |address: &str| Listener {
        address: address.parse().expect("an address"),
        sent_by: address.to_owned(),
    };
    let (options, more) = (input.byte(), input.byte());
    let is_set = |bit: u8| options & 1 << bit != 0;
    let (max_calls, max_transactions) = [(64, 512), (4, 64), (1, 12), (64, 512)][usize::from(more >> 2 & 3)];
    let calls = if is_set(7) { (max_calls, max_transactions) } else { (64, 512) };
    let fast = Timers { t1_ms: 100, t2_ms: 400, t4_ms: 5_000 };
    Settings {
        listeners: vec![listener("198.51.100.1:5060"), listener("[2001:db8::1]:5060")],
        timers: if more >> 6 == 3 { fast } else { Timers::default() },
        call_limit_ms: [600_000, 60_000, 14_400_000, 36_000_000][usize::from(more & 3)],
        ring_limit_ms: if more >> 4 & 3 == 1 { 20_000 } else { 180_000 },
        trying_limit_ms: if more >> 4 & 3 == 2 { 2_000 } else { 60_000 },
        max_diversions: if is_set(1) { 5 } else { 1 },
        ack: if is_set(2) { AckPolicy::Immediate } else { AckPolicy::Relay },
        send_181: !is_set(3),
        unreachable_408: is_set(4),
        late_answer: if is_set(5) { LateAnswer::Keep } else { LateAnswer::Drop },
        session_expires_s: [90, 0, 90, 1_800][usize::from(is_set(6)) + 2 * usize::from(is_set(0))],
        alert_info: is_set(6).then(|| "<http://127.0.0.1/1>".to_owned()),
        max_calls: calls.0,
        max_transactions: calls.1,
        ..Settings::default()
    }
}

impl World {
    pub fn new(input: &mut Input<'_>, shards: u16) -> World {
        let directory = directory(input);
        let settings = Arc::new(settings(input));
        let shard = |shard: u16| {
            let place = Place { shard, shards, owner_seed: 7, secret: 99 + u64::from(shard) };
            Shard::new(Arc::clone(&settings), Arc::clone(&directory), place, UnixSeconds(1_381_399_635))
        };
        World {
            shards: (0..shards).map(shard).collect(),
            now_ms: 0,
            sent: Vec::new(),
            received: Vec::new(),
            asked: HashMap::new(),
            promises: Promises::default(),
            first_sent: HashMap::new(),
            sent_count: 0,
            is_shown: std::env::var_os("RINGWAY_TRACE").is_some(),
        }
    }

    /// Gives a datagram to the shard whose socket it reached, which may hand it over.
    pub fn receive(&mut self, arrival: usize, source: SocketAddr, bytes: &[u8]) {
        self.show("from", source, bytes);
        self.remember(source, bytes);
        let mut buffer = padded(bytes);
        let arrival = arrival % self.shards.len();
        let owner = match self.offer(arrival, source, &mut buffer) {
            Owner::Here => arrival,
            Owner::Shard(owner) => {
                let owner = usize::from(owner);
                assert!(self.shards[arrival].outbox().is_empty(), "a foreign datagram caused something");
                assert_eq!(self.offer(owner, source, &mut buffer), Owner::Here, "nobody's datagram");
                owner
            }
        };
        let outbox = self.shards[owner].outbox();
        let bytes: usize = outbox.datagrams().iter().map(|datagram| outbox.bytes(datagram).len()).sum();
        assert!(outbox.len() <= EFFECTS_PER_INPUT_MAX && bytes <= OUTPUT_BYTES_PER_INPUT_MAX);
        self.collect(owner);
    }

    fn offer(&mut self, shard: usize, source: SocketAddr, buffer: &mut [u8]) -> Owner {
        let listener = ListenerId(u8::from(source.is_ipv6()));
        let length = buffer.len() - SCAN_PADDING;
        let datagram = Datagram { source, listener, buffer, length };
        self.shards[shard].handle_datagram(Now::from_ms(self.now_ms), datagram)
    }

    /// Lets time pass, waking the shards when they want to be woken.
    pub fn advance(&mut self, by_ms: u64) {
        let end_ms = self.now_ms + by_ms;
        while let Some(due_ms) = self.next_due_ms().filter(|due_ms| *due_ms <= end_ms) {
            self.fire(due_ms);
        }
        self.now_ms = end_ms;
    }

    /// Sleeps until something is due.
    pub fn advance_to_wake(&mut self) {
        if let Some(due_ms) = self.next_due_ms() {
            self.fire(due_ms);
        }
    }

    pub fn drain(&mut self) {
        self.shards.iter_mut().for_each(Shard::drain);
    }

    fn next_due_ms(&self) -> Option<u64> {
        self.shards.iter().filter_map(Shard::poll_timeout).map(|due| due.as_ms()).min()
    }

    fn fire(&mut self, due_ms: u64) {
        self.now_ms = self.now_ms.max(due_ms);
        let now = Now::from_ms(self.now_ms);
        for number in 0..self.shards.len() {
            let is_due = |shard: &Shard| shard.poll_timeout().is_some_and(|due| due.is_due(now));
            for step in 0.. {
                self.shards[number].handle_timeout(now);
                self.collect(number);
                if !is_due(&self.shards[number]) {
                    break;
                }
                assert!(step < STEPS_TO_SILENCE_MAX, "a timer is always due");
            }
        }
    }

    fn show(&self, way: &str, peer: SocketAddr, bytes: &[u8]) {
        if self.is_shown {
            println!("--- {} ms {way} {peer}\n{}", self.now_ms, shown(bytes));
        }
    }

    fn remember(&mut self, source: SocketAddr, bytes: &[u8]) {
        let mut buffer = padded(bytes);
        let mut index = Index::new();
        let is_good = scan(&mut buffer, bytes.len(), &mut index).is_ok();
        let message = index.message(&buffer);
        if message.is_request() {
            let now_ms = self.now_ms;
            let request = Request {
                source,
                bytes: bytes.to_vec(),
                is_ack: message.method() == Method::Ack,
                is_in_dialog: !message.to_tag().is_empty(),
                // Of what has a fault any shard disposes, in its own words.
                is_one: is_good,
                answered: 0,
                answer: None,
                reliable: None,
            };
            let is_ack = request.is_ack;
            let known = self.asked.entry(asked(&message)).or_insert(request);
            known.is_one &= known.source == source && known.bytes == bytes;
            // Repeated with another address the request may be answered at either.
            known.source = if known.source.ip() == source.ip() { source } else { known.source };
            known.is_ack &= is_ack;
            // By now it may be taken for another one.
            known.is_one &= known.answer.as_ref().is_none_or(|(at_ms, _)| now_ms < at_ms + SAME_ANSWER_MS);
        }
        self.promises.received(bytes);
        self.received.push((source, bytes.to_vec()));
    }

    /// Takes what a shard wants sent, and looks at it.
    fn collect(&mut self, number: usize) {
        let outbox = self.shards[number].outbox();
        let datagrams = outbox.datagrams().iter();
        let sent: Vec<(SocketAddr, Vec<u8>)> =
            datagrams.map(|datagram| (datagram.destination, outbox.bytes(datagram).to_vec())).collect();
        outbox.clear();
        // Nobody keeps what is registered here.
        outbox.letters().for_each(drop);
        for (to, bytes) in sent {
            self.sent_count += 1;
            self.show("to", to, &bytes);
            self.check(&bytes);
            if let Ok(sip) = Sip::read(&bytes) {
                self.check_branch(&sip);
                check_contact(&sip);
                self.promises.sent(&sip);
                self.sent.push(Sent { to, sip });
            }
        }
    }

    /// A message of ours can be read; a response answers a request that came and was no ACK.
    fn check(&mut self, bytes: &[u8]) {
        let mut buffer = padded(bytes);
        let mut index = Index::new();
        let result = scan(&mut buffer, bytes.len(), &mut index);
        let message = index.message(&buffer);
        let Some(status) = message.status() else {
            assert!(message.is_request() && result.is_ok(), "{result:?} of\n{}", shown(bytes));
            return;
        };
        // A refusal copies what could not be read.
        let may_be_odd = matches!(result, Err(Fault::Malformed(_))) && status.code() >= 400;
        assert!(result.is_ok() || may_be_odd, "{result:?} of\n{}", shown(bytes));
        assert_eq!(message.bytes(), bytes);
        let Some(request) = self.asked.get_mut(&asked(&message)) else {
            panic!("a response to nothing:\n{}", shown(bytes));
        };
        assert!(!request.is_ack, "a response to an ACK:\n{}", shown(bytes));
        request.answered = status.code();
        // Without room there is no memory of what was said.
        let is_remembered = self.shards.iter().all(|shard| shard.metrics().transactions_not_kept == 0);
        // A CANCEL has no memory of its own: with its INVITE's it is forgotten.
        let is_cancel = message.cseq().is_some_and(|cseq| cseq.method == Method::Cancel);
        // Who asks for bindings again is told what they are by then, and the time of day.
        let is_fetch = message.method() == Method::Register && status.is_success();
        if request.is_one && is_remembered && !is_cancel && !is_fetch {
            check_answer(self.now_ms, request, status.code(), bytes);
            check_reliable(&self.promises, request, &message, bytes);
        }
    }

    /// Whether a response of ours is to a request with a To tag.
    pub fn was_asked_in_dialog(&self, response: &Sip) -> bool {
        let cseq = response.one("CSeq").as_bytes().to_vec();
        let key = (response.call_id.clone().into_bytes(), cseq, response.branch.clone().into_bytes());
        self.asked.get(&key).is_some_and(|request| request.is_in_dialog)
    }

    /// The highest RSeq of the responses that came to an INVITE of ours.
    pub fn last_rseq(&self, branch: &str) -> u32 {
        self.promises.last_rseq(branch)
    }

    /// A branch is one transaction: a request and its repetitions byte for byte (RFC 3261 §8.1.1.7). An ACK
    /// repeats the To of the response that it answers (§17.1.1.3), and a damaged one may have another tag.
    fn check_branch(&mut self, sip: &Sip) {
        if sip.is_request() && sip.method != "ACK" {
            let key = (sip.branch.clone(), sip.method.clone());
            let first = self.first_sent.entry(key).or_insert_with(|| sip.bytes.clone());
            let is_same = *first == sip.bytes;
            assert!(is_same, "two requests with one branch:\n{}\n{}", shown(first), shown(&sip.bytes));
        }
    }

    /// Nothing comes any more: the shards fall silent, empty, and every caller has had a final response.
    pub fn finish(mut self) {
        let mut steps = 0;
        while let Some(due_ms) = self.next_due_ms() {
            self.fire(due_ms);
            steps += 1;
            assert!(steps < STEPS_TO_SILENCE_MAX, "timers go on for ever");
        }
        let mut sent = 0;
        for shard in &self.shards {
            let metrics = shard.metrics();
            assert_eq!(metrics.impossible_events, 0);
            assert_eq!(metrics.calls_started, metrics.calls_ended, "calls started and ended");
            assert!(shard.is_empty(), "{} calls, {} transactions", shard.calls(), shard.transactions());
            sent += metrics.datagrams_sent;
        }
        assert_eq!(sent, self.sent_count, "datagrams sent");
        for ((call_id, cseq, _), request) in &self.asked {
            let is_left = (100..200).contains(&request.answered);
            assert!(!is_left, "{} {} never got a final response", shown(call_id), shown(cseq));
        }
        self.promises.kept();
    }
}

/// A request gets one final response, and when it comes again the same one. What is refused without a
/// transaction may be taken later: for want of room, or because its dialog was not there yet.
fn check_answer(now_ms: u64, request: &mut Request, status: u16, bytes: &[u8]) {
    if let Some((_, answer)) = &request.answer {
        assert!(answer == bytes, "answered twice:\n{}\n{}", shown(answer), shown(bytes));
    } else if status >= 200 && status != 503 && status != 481 {
        request.answer = Some((now_ms, bytes.to_vec()));
    }
}

/// A reliable provisional response goes to one who takes it, the next one after the last one's PRACK, and a
/// 2xx too (RFC 3262 §3).
fn check_reliable(promises: &Promises, request: &mut Request, message: &Message<'_>, bytes: &[u8]) {
    let rseq = message.header(HeaderName::RSeq).map(|rseq| shown(rseq).parse().expect("a number"));
    let is_success = message.status().is_some_and(|status| status.is_success());
    // Long after its end a call may be repeated, and is another one.
    let is_of_call = |last: &&(u32, Vec<u8>)| {
        last.1 != bytes && last.1.windows(message.to_tag().len()).any(|tag| tag == message.to_tag())
    };
    let last = request.reliable.as_ref().filter(is_of_call);
    if let Some((last, _)) = last.filter(|_| rseq.is_some() || is_success) {
        let is_acknowledged = promises.has_prack(message.call_id(), *last);
        assert!(is_acknowledged, "{last} was not acknowledged:\n{}", shown(bytes));
        assert!(rseq.is_none_or(|rseq: u32| rseq == last + 1), "not the next one:\n{}", shown(bytes));
    }
    if let Some(rseq) = rseq {
        assert!(shown(&request.bytes).contains("100rel"), "nobody wanted this:\n{}", shown(bytes));
        request.reliable = Some((rseq, bytes.to_vec()));
    }
}

/// What makes a dialog says where we are (RFC 3261 §8.1.1.8, §12.1.1).
fn check_contact(sip: &Sip) {
    let makes_dialog = sip.status.is_none_or(|status| (101..300).contains(&status));
    if sip.method == "INVITE" && makes_dialog {
        let uri = Uri::parse(sip.contact().as_bytes());
        assert!(uri.is_ok(), "a Contact that is none:\n{}", shown(&sip.bytes));
    }
}

fn asked(message: &Message<'_>) -> Asked {
    let cseq = message.header(HeaderName::CSeq).unwrap_or_default();
    let branch = message.top_via().map_or(&b""[..], |via| via.branch);
    (message.call_id().to_vec(), cseq.to_vec(), branch.to_vec())
}
