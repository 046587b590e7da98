//! The laboratory: a shard (or several), its peers and a clock that only the test moves.
//!
//! A test sends datagrams from peers, reads what was sent to them in order, and lets time pass.
//! [`Lab::finish`] ends it: nothing may be left in any table, and the whole trace must obey the RFC
//! (`audit`).

pub mod audit;
pub mod callee;
pub mod caller;
pub mod digest;
pub mod engine;
pub mod group;
pub mod keeper;
pub mod media;
pub mod party;
pub mod peer;
pub mod phone;
pub mod record;
pub mod scene;
pub mod sip;
pub mod trace;

use engine::{Engine, Mood};
use keeper::Keeper;
use peer::{Peer, Setup};
use record::Posted;
use ringway::clock::{Now, UnixMs, UnixSeconds};
use ringway::limits::SCAN_PADDING;
use ringway::mail::{Letter, Mail};
use ringway::metrics::Metrics;
use ringway::outbox::ListenerId;
use ringway::settings::MediaMode;
use ringway::shard::{Datagram, Owner, Place, Shard};
use sip::Sip;
use std::net::SocketAddr;
use std::sync::Arc;
use trace::{Entry, Way};

/// 64·T1 with the timers of RFC 3261.
pub const T1X64_MS: u64 = 32_000;

/// 2013-10-10T10:07:15Z, when the reference flow was captured.
pub const STARTED: UnixSeconds = UnixSeconds(1_381_399_635);

/// How long [`Lab::finish`] waits for what is armed: the longest limit on ringing and then some.
const RUN_OFF_MS: u64 = 400_000;

/// Steps that one moment may take.
const STEPS_MAX: usize = 100;

/// The core under test.
pub struct Lab {
    pub shards: Vec<Shard>,
    pub trace: Vec<Entry>,
    pub keeper: Keeper,
    pub engine: Engine,
    /// The legs that ended, in order.
    pub records: Vec<Posted>,
    setup: Setup,
    now_ms: u64,
    /// Entries of the trace that the test has not looked at, oldest first.
    unread: Vec<usize>,
    /// The shard that took the last datagram.
    pub owner: usize,
    serial: u32,
    finished: bool,
    /// [`Lab::finish`] looks at the trace.
    pub audits: bool,
}

impl Lab {
    /// The reference flow's subscribers: 1004 forwards to 1005 on no answer, 1003 and 1005 do not.
    pub fn new() -> Lab {
        Lab::with(|_| {})
    }

    /// The same with other settings.
    pub fn with(change: impl FnOnce(&mut Setup)) -> Lab {
        let mut setup = Setup::reference();
        change(&mut setup);
        let is_free = setup.settings.media.mode == MediaMode::Pass;
        let echoes = is_free && std::env::var_os("LAB_ENGINE").is_some();
        if echoes {
            setup.settings.media.mode = MediaMode::Engine;
        }
        let settings = Arc::new(setup.settings.clone());
        let keeper = Keeper::new(setup.entries(), &settings);
        let directory = keeper.directory();
        let shard = |number: u16| {
            let secret = setup.secret + u64::from(number);
            let place = Place { shard: number, shards: setup.shards, owner_seed: 7, secret };
            let mut shard = Shard::new(Arc::clone(&settings), Arc::clone(&directory), place, STARTED);
            setup.media_ports(number).for_each(|rtp| {
                shard.media().add(rtp);
            });
            shard
        };
        let shards = (0..setup.shards).map(shard).collect();
        Lab {
            shards,
            trace: Vec::new(),
            keeper,
            engine: Engine::new(if echoes { Mood::Echoes } else { Mood::Works }),
            records: Vec::new(),
            setup,
            now_ms: 0,
            unread: Vec::new(),
            owner: 0,
            serial: 0,
            finished: false,
            audits: true,
        }
    }

    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// All shards' counters.
    pub fn metrics(&self) -> Metrics {
        let mut sum = Metrics::default();
        self.shards.iter().for_each(|shard| sum.add(shard.metrics()));
        sum
    }

    /// Calls that live, on all shards.
    pub fn calls(&self) -> usize {
        self.shards.iter().map(Shard::calls).sum()
    }

    /// What a stop would wait for, on all shards.
    pub fn unfinished(&self) -> usize {
        self.shards.iter().map(Shard::unfinished).sum()
    }

    /// Transactions that live, on all shards.
    pub fn transactions(&self) -> usize {
        self.shards.iter().map(Shard::transactions).sum()
    }

    /// A number that no other message of this test bears.
    pub fn serial(&mut self) -> u32 {
        self.serial += 1;
        self.serial
    }

    /// A message from a peer, at its own address.
    pub fn send(&mut self, peer: Peer, text: &str) {
        self.send_from(peer.address, text);
    }

    /// A message from any address, to the listener of its address family.
    pub fn send_from(&mut self, source: SocketAddr, text: &str) {
        self.send_bytes(source, text.as_bytes());
    }

    /// Any bytes from any address.
    pub fn send_bytes(&mut self, source: SocketAddr, bytes: &[u8]) {
        let listener = self.setup.listener_for(source);
        self.send_to(listener, source, bytes);
    }

    /// Any bytes from any address to any listener.
    pub fn send_to(&mut self, listener: ListenerId, source: SocketAddr, bytes: &[u8]) {
        self.trace.push(Entry::new(self.now_ms, Way::In, source, listener, bytes));
        let arrival = self.trace.len() % self.shards.len();
        // The shell hands the same bytes over: whatever the first shard made of them.
        let mut buffer = [bytes, &[0; SCAN_PADDING]].concat();
        let from = (listener, source);
        let owner = match self.offer(arrival, from, &mut buffer) {
            Owner::Here => arrival,
            Owner::Shard(owner) => {
                let owner = usize::from(owner);
                let taken = self.offer(owner, from, &mut buffer);
                assert_eq!(taken, Owner::Here, "the owner takes what is handed over");
                owner
            }
        };
        self.owner = owner;
        self.collect(owner);
    }

    /// Hands a datagram to one shard. Of one that is not its own nothing may come.
    fn offer(&mut self, number: usize, from: (ListenerId, SocketAddr), buffer: &mut [u8]) -> Owner {
        let (listener, source) = from;
        let length = buffer.len() - SCAN_PADDING;
        let datagram = Datagram { source, listener, buffer, length };
        let owner = self.shards[number].handle_datagram(Now::from_ms(self.now_ms), datagram);
        if owner != Owner::Here {
            assert!(self.shards[number].outbox().is_empty(), "a foreign datagram caused something");
        }
        owner
    }

    /// Hands mail to a shard. Returns the letters that it answers with.
    pub fn mail(&mut self, number: usize, mail: Mail) -> Vec<Letter> {
        let shard = &mut self.shards[number];
        shard.handle_mail(Now::from_ms(self.now_ms), mail);
        let letters: Vec<Letter> = shard.outbox().letters().collect();
        self.collect(number);
        letters.into_iter().filter_map(|letter| self.file(letter)).collect()
    }

    /// Lets time pass, firing what is due step by step.
    pub fn advance(&mut self, by_ms: u64) {
        self.advance_to(self.now_ms + by_ms);
    }

    /// Lets time pass up to and including a moment.
    pub fn advance_to(&mut self, to_ms: u64) {
        assert!(to_ms >= self.now_ms, "time runs one way");
        while let Some(due) = self.next_due_ms().filter(|due| *due <= to_ms) {
            self.fire(due);
        }
        self.now_ms = to_ms;
    }

    /// When the shard wants to be woken.
    pub fn next_due_ms(&self) -> Option<u64> {
        let deadlines = self.shards.iter().filter_map(Shard::poll_timeout);
        deadlines.map(|deadline| deadline.as_ms()).min()
    }

    fn fire(&mut self, due_ms: u64) {
        self.now_ms = self.now_ms.max(due_ms);
        for number in 0..self.shards.len() {
            // A step fires a bounded number of timers.
            for _ in 0..STEPS_MAX {
                self.shards[number].handle_timeout(Now::from_ms(self.now_ms));
                self.collect(number);
                let due = self.shards[number].poll_timeout();
                if due.is_none_or(|due| due.as_ms() > due_ms) {
                    break;
                }
            }
        }
        let next = self.next_due_ms();
        assert!(next.is_none_or(|next| next > due_ms), "the timer due at {due_ms} ms did not fire");
    }

    /// Takes what a shard sent into the trace.
    fn collect(&mut self, number: usize) {
        let outbox = self.shards[number].outbox();
        let sent: Vec<(SocketAddr, ListenerId, Vec<u8>)> = outbox
            .datagrams()
            .iter()
            .map(|datagram| (datagram.destination, datagram.listener, outbox.bytes(datagram).to_vec()))
            .collect();
        outbox.clear();
        for (destination, listener, bytes) in sent {
            self.unread.push(self.trace.len());
            self.trace.push(Entry::new(self.now_ms, Way::Out, destination, listener, &bytes));
        }
        let letters: Vec<Letter> = self.shards[number].outbox().letters().collect();
        for letter in letters {
            let Some(letter) = self.file(letter) else { continue };
            let mail = match self.engine.receive(number, letter) {
                Ok(mail) => mail,
                Err(letter) => self.keeper.receive(number, letter, self.unix()),
            };
            if let Some(mail) = mail {
                self.deliver(number, mail);
            }
        }
    }

    /// Keeps a record; any other letter comes back.
    fn file(&mut self, letter: Letter) -> Option<Letter> {
        let Letter::Ended(leg) = letter else { return Some(letter) };
        self.records.push(Posted { at_ms: self.now_ms, place: self.trace.len(), leg: *leg });
        None
    }

    /// The calendar is set: at the start it was this.
    pub fn set_calendar(&mut self, calendar: UnixMs) {
        self.shards.iter_mut().for_each(|shard| shard.set_calendar(calendar));
    }

    /// The server stops now, whatever lives.
    pub fn close(&mut self) {
        for number in 0..self.shards.len() {
            self.shards[number].close(Now::from_ms(self.now_ms));
            self.collect(number);
        }
    }

    /// What the records of this test say so far, in short ([`Posted::summary`]).
    pub fn recorded(&self) -> Vec<String> {
        self.records.iter().map(|record| record.summary(STARTED.0 * 1_000)).collect()
    }

    /// Mail from the services comes to a shard.
    pub fn deliver(&mut self, number: usize, mail: Mail) {
        self.shards[number].handle_mail(Now::from_ms(self.now_ms), mail);
        self.collect(number);
    }

    /// The keeper does what it laid aside.
    pub fn release_letters(&mut self) {
        for (number, letter) in std::mem::take(&mut self.keeper.held) {
            if let Some(mail) = self.keeper.answer(letter, self.unix()) {
                self.deliver(number, mail);
            }
        }
    }

    /// The engine says what it laid aside, the first thing first, so many of them.
    pub fn release_engine(&mut self, count: usize) {
        let held: Vec<(usize, Letter)> = self.engine.held.drain(..count).collect();
        for (number, letter) in held {
            if let Some(mail) = self.engine.answer(&letter) {
                self.deliver(number, mail);
            }
        }
    }

    /// The calendar's time.
    pub fn unix(&self) -> UnixSeconds {
        UnixSeconds(STARTED.0 + self.now_ms / 1_000)
    }

    /// What was sent and not looked at, as `B CANCEL` or `A 181 INVITE`, in order; now it is looked at.
    pub fn sent(&mut self) -> Vec<String> {
        let unread = std::mem::take(&mut self.unread);
        unread.into_iter().map(|number| self.trace[number].summary()).collect()
    }

    /// The same with the moment of each: `504 B CANCEL`.
    pub fn sent_when(&mut self) -> Vec<String> {
        let unread = std::mem::take(&mut self.unread);
        let line = |entry: &Entry| format!("{} {}", entry.at_ms, entry.summary());
        unread.into_iter().map(|number| line(&self.trace[number])).collect()
    }

    /// The next message to a peer, which must be this one.
    #[track_caller]
    pub fn expect(&mut self, peer: Peer, summary: &str) -> Sip {
        self.expect_at(peer.address, summary)
    }

    /// What the next message to a peer is; it stays to be looked at.
    #[track_caller]
    pub fn next_to(&self, peer: Peer) -> String {
        let is_next = |number: &&usize| self.trace[**number].peer == peer.address;
        let next = self.unread.iter().find(is_next).and_then(|number| self.trace[*number].sip.as_ref());
        next.map(Sip::summary).unwrap_or_else(|| panic!("nothing was sent to {}", peer.name))
    }

    /// The next message to a peer, whatever it is.
    #[track_caller]
    pub fn expect_any(&mut self, peer: Peer) -> String {
        let summary = self.next_to(peer);
        self.expect(peer, &summary);
        summary
    }

    /// The next message to an address, which must be this one.
    #[track_caller]
    pub fn expect_at(&mut self, address: SocketAddr, summary: &str) -> Sip {
        let place = self.unread.iter().position(|number| self.trace[*number].peer == address);
        let Some(place) = place else {
            panic!("{summary} to {address} expected, nothing was sent there; unread: {:?}", self.sent());
        };
        let entry = &self.trace[self.unread.remove(place)];
        let sip = entry.sip.clone().expect("the server sends readable messages");
        assert_eq!(sip.summary(), summary, "to {address}:\n{}", sip.text());
        sip
    }

    /// Nothing was sent that the test has not looked at.
    #[track_caller]
    pub fn expect_nothing(&mut self) {
        assert_eq!(self.sent(), Vec::<String>::new());
    }

    /// The whole trace as the RFCs draw it: `A → S INVITE`, `S → A 100 INVITE`.
    pub fn ladder(&self) -> Vec<String> {
        self.trace.iter().map(Entry::arrow).collect()
    }

    /// The last message to a peer, looked at or not.
    #[track_caller]
    pub fn last_to(&self, peer: Peer) -> Sip {
        let to_peer = |entry: &&Entry| entry.way == Way::Out && entry.peer == peer.address;
        let last = self.trace.iter().rev().find(to_peer).and_then(|entry| entry.sip.clone());
        last.unwrap_or_else(|| panic!("nothing was sent to {}", peer.name))
    }

    /// What a peer was sent, looked at or not, as summaries.
    pub fn sent_to(&self, peer: Peer) -> Vec<String> {
        let to_peer = |entry: &&Entry| entry.way == Way::Out && entry.peer == peer.address;
        let summary = |entry: &Entry| entry.sip.as_ref().map_or("?".into(), Sip::summary);
        self.trace.iter().filter(to_peer).map(summary).collect()
    }

    /// The end of the test. Everything that was sent must have been looked at; while time runs off nothing
    /// new may be sent, only repetitions; then nothing is left and the trace obeys the RFC.
    #[track_caller]
    pub fn finish(mut self) {
        self.finished = true;
        self.expect_nothing();
        let known = self.trace.len();
        let end_ms = self.now_ms + RUN_OFF_MS;
        while let Some(due) = self.next_due_ms().filter(|due| *due <= end_ms) {
            self.fire(due);
        }
        for entry in &self.trace[known..] {
            let repeated =
                self.trace[..known].iter().any(|other| other.way == Way::Out && other.bytes == entry.bytes);
            assert!(repeated, "sent after the end at {} ms: {}", entry.at_ms, entry.summary());
        }
        assert_eq!((self.calls(), self.transactions()), (0, 0), "left; next due: {:?}", self.next_due_ms());
        let is_empty = self.shards.iter().all(Shard::is_empty);
        assert_eq!(self.engine.sessions, Vec::<String>::new(), "calls that the engine still has");
        assert!(is_empty, "legs, timers or kept bytes left; next due: {:?}", self.next_due_ms());
        audit::metrics(&self.metrics(), &self.trace);
        if !self.audits {
            return;
        }
        audit::trace(&self.trace, self.setup.settings.timers.t1x64_ms().into());
        if self.setup.settings.records {
            audit::records(&self.trace, &self.records);
        }
    }

    /// The end of a test that did something to the shards that the trace does not know of.
    pub fn abandon(mut self) {
        self.finished = true;
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        assert!(self.finished || std::thread::panicking(), "a test of behaviour ends with finish()");
    }
}
