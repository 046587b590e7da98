//! Shards, a clock, and what must hold whatever peers send.

use crate::input::Input;
use crate::sip::Sip;
use crate::{padded, shown};
use ringway::clock::{Now, UnixSeconds};
use ringway::limits::{EFFECTS_PER_INPUT_MAX, OUTPUT_BYTES_PER_INPUT_MAX, SCAN_PADDING};
use ringway::outbox::ListenerId;
use ringway::service::{Subscriber, Subscribers};
use ringway::settings::{AckPolicy, LateAnswer, Listener, Settings};
use ringway::shard::{Datagram, Owner, Place, Shard};
use ringway::sip::{Fault, HeaderName, Index, Message, Method, Uri, scan};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// Steps of the clock in which a world without new input must fall silent.
const STEPS_TO_SILENCE_MAX: usize = 20_000;

/// What tells a request from others, as its responses repeat it: Call-ID, CSeq, topmost branch.
type Asked = (Vec<u8>, Vec<u8>, Vec<u8>);

/// A request that came.
struct Request {
    source: SocketAddr,
    is_ack: bool,
    /// Of the last response to it; 0: none yet.
    answered: u16,
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
    first_sent: HashMap<(String, String), Vec<u8>>,
    sent_count: u64,
}

/// The peers: three phones, and one that is reached over IPv6.
pub const PEERS: [&str; 4] = ["192.0.2.1:5060", "192.0.2.2:5060", "192.0.2.3:5070", "[2001:db8::4]:5060"];

/// Their numbers.
pub const NUMBERS: [&str; 4] = ["1003", "1004", "1005", "1006"];

/// The peer of a number.
pub fn peer(number: usize) -> SocketAddr {
    PEERS[number % PEERS.len()].parse().expect("an address")
}

fn settings(input: &mut Input<'_>) -> Settings {
    let listener = |address: &str| Listener {
        address: address.parse().expect("an address"),
        sent_by: address.to_owned(),
    };
    let mut subscribers = Subscribers::default();
    let forwards = input.byte();
    for (position, number) in NUMBERS.iter().enumerate() {
        let target = NUMBERS[(position + 1) % NUMBERS.len()];
        subscribers.insert(Subscriber {
            number: (*number).to_owned(),
            contact: format!("sip:{number}@{}", PEERS[position]),
            peer: peer(position),
            no_answer: (forwards & 1 << position != 0).then(|| target.to_owned()),
            after_ms: (forwards & 16 << position != 0).then_some(5_000),
        });
    }
    let options = input.byte();
    let is_set = |bit: u8| options & 1 << bit != 0;
    Settings {
        listeners: vec![listener("198.51.100.1:5060"), listener("[2001:db8::1]:5060")],
        call_limit_ms: if is_set(0) { 60_000 } else { 600_000 },
        max_diversions: if is_set(1) { 5 } else { 1 },
        ack: if is_set(2) { AckPolicy::Immediate } else { AckPolicy::Relay },
        send_181: !is_set(3),
        unreachable_408: is_set(4),
        late_answer: if is_set(5) { LateAnswer::Keep } else { LateAnswer::Drop },
        session_expires_s: if is_set(6) { 0 } else { 90 },
        alert_info: is_set(6).then(|| "<http://127.0.0.1/1>".to_owned()),
        max_calls: if is_set(7) { 4 } else { 64 },
        max_transactions: if is_set(7) { 64 } else { 512 },
        subscribers: Arc::new(subscribers),
        ..Settings::default()
    }
}

impl World {
    pub fn new(input: &mut Input<'_>, shards: u16) -> World {
        let settings = Arc::new(settings(input));
        let shard = |shard: u16| {
            let place = Place { shard, shards, owner_seed: 7, secret: 99 + u64::from(shard) };
            Shard::new(Arc::clone(&settings), place, UnixSeconds(1_381_399_635))
        };
        World {
            shards: (0..shards).map(shard).collect(),
            now_ms: 0,
            sent: Vec::new(),
            received: Vec::new(),
            asked: HashMap::new(),
            first_sent: HashMap::new(),
            sent_count: 0,
        }
    }

    /// Gives a datagram to the shard whose socket it reached, which may hand it over.
    pub fn receive(&mut self, arrival: usize, source: SocketAddr, bytes: &[u8]) {
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

    fn remember(&mut self, source: SocketAddr, bytes: &[u8]) {
        let mut buffer = padded(bytes);
        let mut index = Index::new();
        let _ = scan(&mut buffer, bytes.len(), &mut index);
        let message = index.message(&buffer);
        if message.is_request() {
            let is_ack = message.method() == Method::Ack;
            // Repeated with another address the request may be answered at either.
            let request = Request { source, is_ack, answered: 0 };
            let known = self.asked.entry(asked(&message)).or_insert(request);
            known.source = if known.source.ip() == source.ip() { source } else { known.source };
            known.is_ack &= is_ack;
        }
        self.received.push((source, bytes.to_vec()));
    }

    /// Takes what a shard wants sent, and looks at it.
    fn collect(&mut self, number: usize) {
        let outbox = self.shards[number].outbox();
        let datagrams = outbox.datagrams().iter();
        let sent: Vec<(SocketAddr, Vec<u8>)> =
            datagrams.map(|datagram| (datagram.destination, outbox.bytes(datagram).to_vec())).collect();
        outbox.clear();
        for (to, bytes) in sent {
            self.sent_count += 1;
            self.check(&bytes);
            if let Ok(sip) = Sip::read(&bytes) {
                self.check_branch(&sip);
                check_contact(&sip);
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
