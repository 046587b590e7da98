//! The laboratory: one shard, its peers and a clock that only the test moves.
//!
//! A test sends datagrams from peers, reads what the shard sent to them in order, and lets time pass.
//! [`Lab::finish`] ends it: nothing may be left in any table, and the whole trace must obey the RFC
//! (`audit`).

mod audit;
pub mod callee;
pub mod caller;
pub mod peer;
pub mod scene;
pub mod sip;
pub mod trace;

use peer::{Peer, Setup};
use ringway::clock::{Now, UnixSeconds};
use ringway::limits::SCAN_PADDING;
use ringway::metrics::Metrics;
use ringway::outbox::ListenerId;
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

/// One shard under test.
pub struct Lab {
    pub shard: Shard,
    pub trace: Vec<Entry>,
    setup: Setup,
    now_ms: u64,
    /// Entries of the trace that the test has not looked at, oldest first.
    unread: Vec<usize>,
    serial: u32,
    finished: bool,
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
        let place = Place { shard: 0, shards: 1, owner_seed: 7, secret: setup.secret };
        let shard = Shard::new(Arc::new(setup.settings()), place, STARTED);
        Lab { shard, trace: Vec::new(), setup, now_ms: 0, unread: Vec::new(), serial: 0, finished: false }
    }

    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    pub fn metrics(&self) -> &Metrics {
        self.shard.metrics()
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
        let mut buffer = [bytes, &[0; SCAN_PADDING]].concat();
        let datagram = Datagram { source, listener, buffer: &mut buffer, length: bytes.len() };
        let owner = self.shard.handle_datagram(Now::from_ms(self.now_ms), datagram);
        assert_eq!(owner, Owner::Here, "one shard owns everything");
        self.collect();
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
        self.shard.poll_timeout().map(|deadline| deadline.as_ms())
    }

    fn fire(&mut self, due_ms: u64) {
        self.now_ms = self.now_ms.max(due_ms);
        self.shard.handle_timeout(Now::from_ms(self.now_ms));
        self.collect();
        let next = self.next_due_ms();
        assert!(next.is_none_or(|next| next > due_ms), "the timer due at {due_ms} ms did not fire");
    }

    /// Takes what the shard sent into the trace.
    fn collect(&mut self) {
        let outbox = self.shard.outbox();
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
        let (calls, transactions) = (self.shard.calls(), self.shard.transactions());
        assert_eq!((calls, transactions), (0, 0), "calls and transactions left; {:?}", self.next_due_ms());
        assert!(self.shard.is_empty(), "legs, timers or kept bytes left; next: {:?}", self.next_due_ms());
        audit::metrics(self.metrics(), &self.trace);
        audit::trace(&self.trace, self.setup.settings.timers.t1x64_ms().into());
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        assert!(self.finished || std::thread::panicking(), "a test of behaviour ends with finish()");
    }
}
