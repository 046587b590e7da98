//! What is asked of which rtpengine, and when again: without sockets and clocks.
//!
//! The node that took a call's first offer keeps the call; one that is down loses it to another one with the
//! next offer, which describes the asker's side anew there. What one call has to say goes out one after
//! another, so that no answer overtakes the one before.

use super::Node;
use super::ng::{self, Command, Reply};
use crate::mail::{Described, EngineFailed, Letter, Mail, Role};
use crate::net::post::EngineTally;
use crate::slab::Handle;
use std::collections::hash_map::{DefaultHasher, RandomState};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, Hasher};

/// When a request is sent again, counted from the time before; then no more.
const AGAIN_MS: [u64; 3] = [100, 200, 400];

/// How often each node is asked whether it lives.
const PING_MS: u64 = 1_000;

/// How often the log names a request that a node does not take.
const NAMED_MS: u64 = 1_000;

/// So many pings in a row without an answer, and a node is down.
const PINGS_MISSED_MAX: u32 = 3;

/// Of so many calls a node is told when it is up again that they are over; the others it finds silent.
const ABANDONED_MAX: usize = 4_096;

/// What leaves by the worker's hand.
#[derive(Debug, Default)]
pub struct Output {
    /// Each to the node with this number.
    pub datagrams: Vec<(usize, Vec<u8>)>,
    /// Each to the shard with this number.
    pub mail: Vec<(u16, Mail)>,
}

/// The rtpengines and what they are asked for. Times are milliseconds from any moment on.
#[derive(Debug)]
pub struct Client {
    nodes: Vec<NodeRecord>,
    wait_ms: u64,
    sessions: HashMap<Box<str>, Session>,
    requests: HashMap<u64, Request>,
    /// When something is to be done for which request; a ping's number is that of its node, from the end.
    due: BTreeSet<(u64, u64)>,
    next: u64,
    /// No other process's cookies are like ours: a node answers the same cookie with the same bytes.
    own: u64,
    pub output: Output,
    pub tally: EngineTally,
}

#[derive(Debug)]
struct NodeRecord {
    node: Node,
    is_up: bool,
    pings_missed: u32,
    /// The last one's number.
    ping: u64,
    /// When it said anything last.
    heard_ms: Option<u64>,
    /// When it was asked last, because of a request, whether it lives.
    probed_ms: Option<u64>,
    /// When the log named a request to it last.
    named_ms: Option<u64>,
    /// Calls that it may have and nobody asks it about any more: it is told so when it is up again.
    abandoned: VecDeque<Box<str>>,
}

/// A call, as long as it has or wants something from a node.
#[derive(Debug, Default)]
struct Session {
    node: Option<usize>,
    /// The request that is asked now.
    asked: Option<u64>,
    waiting: VecDeque<Wanted>,
    is_over: bool,
}

#[derive(Debug)]
struct Wanted {
    shard: u16,
    ticket: Handle,
    described: Described,
    until_ms: u64,
}

#[derive(Debug)]
struct Request {
    session: Box<str>,
    /// `None`: it is a delete.
    wanted: Option<Wanted>,
    node: usize,
    bytes: Vec<u8>,
    /// How often it was sent to this node.
    sent: usize,
    /// When it was sent first.
    begun_ms: u64,
    /// When something is to be done about it.
    due_ms: u64,
    /// When this node has had its time.
    until_ms: u64,
    /// Nodes that have.
    tried: Vec<usize>,
}

impl Client {
    /// All nodes count as up until they prove otherwise. `wait_ms`: how long a request may take, all tries
    /// together.
    #[must_use]
    pub fn new(nodes: &[Node], wait_ms: u32, now_ms: u64) -> Client {
        let record = |node: &Node| NodeRecord {
            node: *node,
            is_up: true,
            pings_missed: 0,
            ping: 0,
            heard_ms: None,
            probed_ms: None,
            named_ms: None,
            abandoned: VecDeque::new(),
        };
        let nodes: Vec<NodeRecord> = nodes.iter().map(record).collect();
        let due = (0..nodes.len()).map(|node| (now_ms, ping_number(node))).collect();
        Client {
            nodes,
            wait_ms: wait_ms.into(),
            sessions: HashMap::new(),
            requests: HashMap::new(),
            due,
            next: 0,
            own: RandomState::new().build_hasher().finish(),
            output: Output::default(),
            tally: EngineTally::default(),
        }
    }

    #[must_use]
    pub fn nodes_up(&self) -> usize {
        self.nodes.iter().filter(|record| record.is_up).count()
    }

    /// When [`Client::handle_timeout`] is wanted next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Whether nothing is asked and no call is known.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.sessions.is_empty() && self.requests.is_empty()
    }

    /// Takes what a shard wants.
    pub fn handle_letter(&mut self, now_ms: u64, shard: u16, letter: Letter) {
        match letter {
            Letter::Engine { ticket, session, described } => {
                if ng::is_too_large(&described.sdp) {
                    let mail = Mail::Engine { ticket, outcome: Err(EngineFailed::Refused) };
                    return self.output.mail.push((shard, mail));
                }
                let until_ms = now_ms + self.wait_ms;
                let wanted = Wanted { shard, ticket, described, until_ms };
                self.sessions.entry(session.clone()).or_default().waiting.push_back(wanted);
                self.ask_next(now_ms, &session);
            }
            Letter::EngineOver { session } => {
                if let Some(record) = self.sessions.get_mut(&session) {
                    record.is_over = true;
                    self.ask_next(now_ms, &session);
                }
            }
            // The post brings no others.
            _ => {}
        }
    }

    /// Takes what a node says.
    pub fn handle_datagram(&mut self, now_ms: u64, node: usize, datagram: &[u8]) {
        let Some((cookie, reply)) = ng::reply(datagram) else { return };
        let Some(number) = self.number_of(cookie) else { return };
        self.nodes[node].heard_ms = Some(now_ms);
        if reply == Reply::Pong {
            return self.take_pong(node, number);
        }
        if self.requests.get(&number).is_none_or(|request| request.node != node) {
            // It was answered before, or another node was asked meanwhile.
            return;
        }
        let Some(request) = self.take(number) else { return };
        let Some(wanted) = &request.wanted else { return self.forget(&request.session) };
        let is_offer = wanted.described.role == Role::Offer;
        match reply {
            Reply::Described(sdp) => self.finish(now_ms, request, Ok(sdp.into())),
            Reply::Refused(reason) => {
                self.tally.refused += 1;
                if self.may_name(now_ms, node) {
                    let address = self.nodes[node].node.address;
                    let (session, reason) = (&request.session, reason.escape_ascii());
                    tracing::warn!("rtpengine {address} refuses call {session}: {reason}");
                }
                // It keeps a call whose offer it could read but not rewrite.
                self.leave(node, &request.session);
                match is_offer && !is_fault_of_sdp(reply) {
                    true => self.move_on(now_ms, request, node),
                    false => self.finish(now_ms, request, Err(EngineFailed::Refused)),
                }
            }
            Reply::Overloaded if is_offer => self.move_on(now_ms, request, node),
            Reply::Overloaded | Reply::Done | Reply::Pong => {
                self.finish(now_ms, request, Err(EngineFailed::Refused));
            }
        }
    }

    /// A node's host says that nobody listens there.
    pub fn handle_refusal(&mut self, now_ms: u64, node: usize) {
        self.set_down(node, "nobody listens there");
        let asked: Vec<u64> = self
            .requests
            .iter()
            .filter(|(_, request)| request.node == node)
            .map(|(&number, _)| number)
            .collect();
        for number in asked {
            if let Some(request) = self.take(number) {
                self.time_out(now_ms, request);
            }
        }
    }

    /// Sends again what is due, and gives up what has waited too long.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        while let Some(&(due, number)) = self.due.first().filter(|(due, _)| *due <= now_ms) {
            self.due.remove(&(due, number));
            if let Some(node) = node_of_ping(number).filter(|node| *node < self.nodes.len()) {
                self.ping(now_ms, node);
                continue;
            }
            let Some(request) = self.requests.get_mut(&number) else { continue };
            if request.until_ms <= now_ms {
                if let Some(request) = self.requests.remove(&number) {
                    self.leave_unanswered(now_ms, request);
                }
                continue;
            }
            self.tally.retransmissions += 1;
            self.output.datagrams.push((request.node, request.bytes.clone()));
            request.sent += 1;
            let again_ms = AGAIN_MS.get(request.sent - 1).map(|after| now_ms + after);
            request.due_ms = again_ms.map_or(request.until_ms, |again| again.min(request.until_ms));
            self.due.insert((request.due_ms, number));
            let node = request.node;
            self.probe(now_ms, node);
        }
    }

    /// Asks for the next thing that a call wants, unless something is asked already.
    fn ask_next(&mut self, now_ms: u64, session: &str) {
        loop {
            let Some(record) = self.sessions.get_mut(session) else { return };
            if record.asked.is_some() {
                return;
            }
            let Some(wanted) = record.waiting.pop_front() else {
                if record.is_over {
                    self.delete(now_ms, session);
                }
                return;
            };
            if self.ask(now_ms, session, wanted, Vec::new()) {
                return;
            }
        }
    }

    /// Sends a description to the call's node, or an offer to another one; `false`: there is none, and the
    /// shard was told so.
    fn ask(&mut self, now_ms: u64, session: &str, wanted: Wanted, tried: Vec<usize>) -> bool {
        let own = self.sessions.get(session).and_then(|record| record.node);
        let usable = |node: &usize| self.nodes[*node].is_up && !tried.contains(node);
        let own_lives = own.filter(usable);
        let is_offer = wanted.described.role == Role::Offer;
        let node = own_lives.or_else(|| self.choose(session, &tried).filter(|_| is_offer));
        let Some(node) = node.filter(|_| now_ms < wanted.until_ms) else {
            let mail = Mail::Engine { ticket: wanted.ticket, outcome: Err(EngineFailed::Unavailable) };
            self.output.mail.push((wanted.shard, mail));
            return false;
        };
        let is_first = own != Some(node);
        self.next += 1;
        let number = self.next;
        let described = &wanted.described;
        let command = Command::Describe { session, described, is_first };
        let bytes = ng::request(&self.cookie(number), command);
        // Another node must have time to answer too.
        let is_shared = is_offer
            && self
                .nodes
                .iter()
                .enumerate()
                .any(|(other, record)| other != node && record.is_up && !tried.contains(&other));
        let left_ms = wanted.until_ms - now_ms;
        let until_ms = now_ms + if is_shared { (left_ms / 2).max(1) } else { left_ms };
        self.tally.moved += u64::from(!tried.is_empty());
        let (session, wanted) = (session.into(), Some(wanted));
        let request =
            Request { session, wanted, node, bytes, sent: 0, begun_ms: now_ms, due_ms: 0, until_ms, tried };
        self.send(now_ms, number, request);
        true
    }

    /// Tells the call's node that the call is over.
    fn delete(&mut self, now_ms: u64, session: &str) {
        let Some(node) = self.sessions.get(session).and_then(|record| record.node) else {
            return self.forget(session);
        };
        if !self.nodes[node].is_up {
            self.abandon(node, session);
            return self.forget(session);
        }
        self.next += 1;
        let number = self.next;
        let bytes = ng::request(&self.cookie(number), Command::Delete { session });
        let (session, until_ms) = (session.into(), now_ms + self.wait_ms);
        let (wanted, tried) = (None, Vec::new());
        let request =
            Request { session, wanted, node, bytes, sent: 0, begun_ms: now_ms, due_ms: 0, until_ms, tried };
        self.send(now_ms, number, request);
    }

    fn send(&mut self, now_ms: u64, number: u64, mut request: Request) {
        self.tally.requests += 1;
        self.output.datagrams.push((request.node, request.bytes.clone()));
        request.sent = 1;
        request.due_ms = (now_ms + AGAIN_MS[0]).min(request.until_ms);
        self.due.insert((request.due_ms, number));
        if let Some(record) = self.sessions.get_mut(&request.session) {
            record.asked = Some(number);
        }
        self.requests.insert(number, request);
    }

    /// A request is over: its timer goes.
    fn take(&mut self, number: u64) -> Option<Request> {
        let request = self.requests.remove(&number)?;
        self.due.remove(&(request.due_ms, number));
        Some(request)
    }

    /// A node has had its time. One that says other things lives all the same: whatever is wrong with the
    /// request is no reason to keep all the others from it.
    fn leave_unanswered(&mut self, now_ms: u64, request: Request) {
        let node = request.node;
        if self.may_name(now_ms, node) {
            let (address, session) = (self.nodes[node].node.address, &request.session);
            tracing::warn!("rtpengine {address} does not answer about call {session}");
        }
        if request.sent > 1 && self.nodes[node].heard_ms <= Some(request.begun_ms) {
            self.set_down(node, "it left a request unanswered");
        }
        self.time_out(now_ms, request);
    }

    fn time_out(&mut self, now_ms: u64, request: Request) {
        self.tally.timeouts += 1;
        let node = request.node;
        match request.wanted {
            None => {
                self.abandon(node, &request.session);
                self.forget(&request.session);
            }
            Some(_) => {
                self.leave(node, &request.session);
                self.move_on(now_ms, request, node);
            }
        }
    }

    /// An offer goes to another node, if there is one; anything else has failed.
    fn move_on(&mut self, now_ms: u64, request: Request, from: usize) {
        let Request { session, wanted, mut tried, .. } = request;
        let Some(wanted) = wanted else { return };
        tried.push(from);
        if let Some(record) = self.sessions.get_mut(&session) {
            record.asked = None;
        }
        if wanted.described.role == Role::Answer {
            let mail = Mail::Engine { ticket: wanted.ticket, outcome: Err(EngineFailed::Unavailable) };
            self.output.mail.push((wanted.shard, mail));
        } else if self.ask(now_ms, &session, wanted, tried) {
            return;
        }
        self.ask_next(now_ms, &session);
    }

    fn finish(&mut self, now_ms: u64, request: Request, outcome: Result<Box<[u8]>, EngineFailed>) {
        let Some(wanted) = request.wanted else { return };
        let mut left = None;
        if let Some(record) = self.sessions.get_mut(&request.session) {
            record.asked = None;
            if outcome.is_ok() {
                left = record.node.replace(request.node);
            }
        }
        if let Some(left) = left {
            self.leave(left, &request.session);
        }
        self.output.mail.push((wanted.shard, Mail::Engine { ticket: wanted.ticket, outcome }));
        self.ask_next(now_ms, &request.session);
    }

    /// A call goes on without a node, which may know it all the same; unless it is the call's own.
    fn leave(&mut self, node: usize, session: &str) {
        if self.sessions.get(session).is_some_and(|record| record.node == Some(node)) {
            return;
        }
        match self.nodes[node].is_up {
            true => self.delete_once(node, session),
            false => self.abandon(node, session),
        }
    }

    fn delete_once(&mut self, node: usize, session: &str) {
        self.next += 1;
        let bytes = ng::request(&self.cookie(self.next), Command::Delete { session });
        self.output.datagrams.push((node, bytes));
    }

    /// A node that is down is to be told later that a call is over.
    fn abandon(&mut self, node: usize, session: &str) {
        let abandoned = &mut self.nodes[node].abandoned;
        if abandoned.len() >= ABANDONED_MAX {
            abandoned.pop_front();
        }
        abandoned.push_back(session.into());
    }

    /// A node is up again: calls that went on without it are over for it.
    fn take_leave(&mut self, node: usize) {
        for session in std::mem::take(&mut self.nodes[node].abandoned) {
            if self.sessions.get(&session).is_some_and(|record| record.node == Some(node)) {
                continue;
            }
            self.delete_once(node, &session);
        }
    }

    fn forget(&mut self, session: &str) {
        self.sessions.remove(session);
    }

    /// A node that is up, the same one for a call while the same ones are up; the heavier the likelier.
    fn choose(&self, session: &str, tried: &[usize]) -> Option<usize> {
        let usable = || {
            let nodes = self.nodes.iter().enumerate();
            nodes.filter(|(number, record)| record.is_up && !tried.contains(number))
        };
        let total: u64 = usable().map(|(_, record)| u64::from(record.node.weight.max(1))).sum();
        let mut hasher = DefaultHasher::new();
        session.hash(&mut hasher);
        let mut place = hasher.finish().checked_rem(total)?;
        usable().find_map(|(number, record)| {
            let weight = u64::from(record.node.weight.max(1));
            let is_here = place < weight;
            place = place.saturating_sub(weight);
            is_here.then_some(number)
        })
    }

    fn ping(&mut self, now_ms: u64, node: usize) {
        let record = &mut self.nodes[node];
        if record.ping != 0 {
            record.pings_missed += 1;
        }
        if record.pings_missed >= PINGS_MISSED_MAX {
            self.set_down(node, "it left pings unanswered");
        }
        self.next += 1;
        self.nodes[node].ping = self.next;
        let bytes = ng::request(&self.cookie(self.next), Command::Ping);
        self.output.datagrams.push((node, bytes));
        self.due.insert((now_ms + PING_MS, ping_number(node)));
    }

    /// A node that leaves a request unanswered is asked whether it lives. That is no ping that may be missed.
    fn probe(&mut self, now_ms: u64, node: usize) {
        let record = &mut self.nodes[node];
        if record.probed_ms.is_none_or(|probed| now_ms >= probed + AGAIN_MS[0]) {
            record.probed_ms = Some(now_ms);
            self.next += 1;
            let bytes = ng::request(&self.cookie(self.next), Command::Ping);
            self.output.datagrams.push((node, bytes));
        }
    }

    /// Whether the log may name a request to this node: one in a second, whatever callers send.
    fn may_name(&mut self, now_ms: u64, node: usize) -> bool {
        let record = &mut self.nodes[node];
        let may = record.named_ms.is_none_or(|named| now_ms >= named + NAMED_MS);
        if may {
            record.named_ms = Some(now_ms);
        }
        may
    }

    fn take_pong(&mut self, node: usize, number: u64) {
        let record = &mut self.nodes[node];
        if record.ping != number {
            return;
        }
        (record.ping, record.pings_missed) = (0, 0);
        if !record.is_up {
            record.is_up = true;
            tracing::info!("rtpengine {} is up", record.node.address);
            self.take_leave(node);
        }
    }

    fn set_down(&mut self, node: usize, why: &str) {
        let record = &mut self.nodes[node];
        if record.is_up {
            record.is_up = false;
            tracing::error!("rtpengine {} is down: {why}", record.node.address);
        }
    }

    fn cookie(&self, number: u64) -> String {
        format!("{:x}_{number:x}", self.own)
    }

    fn number_of(&self, cookie: &str) -> Option<u64> {
        let (own, number) = cookie.split_once('_')?;
        let is_own = u64::from_str_radix(own, 16) == Ok(self.own);
        u64::from_str_radix(number, 16).ok().filter(|_| is_own)
    }
}

/// Whether another node would say the same.
fn is_fault_of_sdp(reply: Reply<'_>) -> bool {
    matches!(reply, Reply::Refused(reason) if reason.windows(3).any(|part| part.eq_ignore_ascii_case(b"SDP")))
}

/// A number that no request will ever have.
fn ping_number(node: usize) -> u64 {
    u64::MAX - node as u64
}

fn node_of_ping(number: u64) -> Option<usize> {
    usize::try_from(u64::MAX - number).ok()
}
