//! Phones that register (RFC 3261 §10.2): each sends REGISTER, answers the challenge, and sends REGISTER
//! again when its turn comes, with the nonce that it has and the next count.
//!
//! ```text
//!           REGISTER          401: credentials (again)        200
//!  (idle) ───────────▶ Waiting ────────────────────────▶ Waiting ──▶ (idle, good)
//!                         │ other final, timeout, 401 to fresh credentials
//!                         └──────▶ (idle, failed)
//! ```

#[cfg(test)]
mod tests;
mod texts;

use crate::call::{Context, Failure, Id, Origin};
use crate::digest::{self, Challenge, Hash};
use crate::message;
use crate::numbers::Number;
use crate::plan::{Plan, T1_NS, T2_NS};
use crate::slab::Handle;
use crate::tally::Latency;
use crate::wheel::{Entry, Timer, Wheel};
use ringway::sip::{HeaderName, Message, Method};
use std::collections::VecDeque;
use std::net::SocketAddrV4;
use std::sync::Arc;
use texts::{Account, Authorization, RegisterTexts};

/// Phones of one thread that register at a time in the first pass.
const FIRST_AT_A_TIME: usize = 100;
/// Requests of one registration: without credentials, with an old nonce, with two new ones.
const TRIES_MAX: u8 = 4;

/// One phone.
#[derive(Default)]
struct Registrant {
    /// What the present registration waits for; else it is idle.
    is_waiting: bool,
    /// Requests of the present registration.
    tries: u8,
    /// The present request's credentials came from a challenge of this registration.
    is_fresh: bool,
    /// The challenge's shape, an index; only with a nonce.
    account: u16,
    timer: Timer,
    intended_ns: u64,
    expires_ns: u64,
    interval_ns: u64,
    cseq: u32,
    /// How often the nonce was used.
    nc: u32,
    /// The nonce, and behind it the challenge's opaque value; empty: no challenge yet.
    nonce: Box<[u8]>,
    nonce_length: u16,
    ha1: Hash,
}

/// All phones of one thread that register.
pub struct Registrants {
    plan: Arc<Plan>,
    origin: Origin,
    texts: Vec<RegisterTexts>,
    phones: Vec<Registrant>,
    /// A phone's place among all numbers is its index here times `stride` plus `first`.
    first: u64,
    stride: u64,
    /// Phones that wait for their turn: whoever registered longest ago comes first.
    idle: VecDeque<u32>,
    /// Phones that have not begun the first pass yet.
    first_pass: usize,
    accounts: Vec<Account>,
    wheel: Wheel,
    due: Vec<Entry>,
}

impl Registrants {
    /// Thread `lane` of `lanes` plays every `lanes`th number. `addresses` are the sockets' own: socket n of
    /// the outbox is the nth.
    pub fn new(
        plan: Arc<Plan>,
        origin: Origin,
        addresses: &[SocketAddrV4],
        lanes: usize,
        now_ns: u64,
    ) -> Registrants {
        let (first, stride) = (u64::from(origin.lane), lanes.max(1) as u64);
        let count = plan.numbers.count().saturating_sub(first).div_ceil(stride) as usize;
        Registrants {
            texts: addresses.iter().map(|address| RegisterTexts::new(&plan, *address)).collect(),
            phones: (0..count).map(|_| Registrant::default()).collect(),
            idle: (0..count as u32).collect(),
            first_pass: count,
            plan,
            origin,
            first,
            stride,
            accounts: Vec::new(),
            wheel: Wheel::new(now_ns),
            due: Vec::new(),
        }
    }

    /// Phones that wait for an answer.
    pub fn live(&self) -> usize {
        self.phones.len() - self.idle.len()
    }

    /// When [`Registrants::handle_timeout`] is wanted next.
    pub fn next_ns(&self) -> Option<u64> {
        self.wheel.next_ns()
    }

    /// Goes on with the first pass, in which every phone registers once, as fast as the server answers.
    /// Whether it is over.
    pub fn register_all(&mut self, ctx: &mut Context<'_>) -> bool {
        while self.first_pass > 0 && self.live() < FIRST_AT_A_TIME {
            self.first_pass -= 1;
            self.start(ctx, ctx.now_ns);
        }
        self.first_pass == 0 && self.live() == 0
    }

    /// Begins no more registrations of the first pass.
    pub fn end_first_pass(&mut self) {
        self.first_pass = 0;
    }

    /// The next phone registers, which was meant to happen at `intended_ns`.
    pub fn start(&mut self, ctx: &mut Context<'_>, intended_ns: u64) {
        ctx.tally.started += 1;
        let Some(index) = self.idle.pop_front() else {
            ctx.tally.end(ctx.now_ns, Some(Failure::NobodyIdle));
            return;
        };
        let phone = &mut self.phones[index as usize];
        phone.is_waiting = true;
        phone.is_fresh = false;
        phone.tries = 0;
        phone.intended_ns = intended_ns;
        if !phone.nonce.is_empty() {
            ctx.tally.registration.nonce_kept += 1;
        }
        self.request(ctx, index);
    }

    /// Sends a REGISTER that was not sent before.
    fn request(&mut self, ctx: &mut Context<'_>, index: u32) {
        let phone = &mut self.phones[index as usize];
        phone.tries += 1;
        phone.cseq += 1;
        phone.nc += u32::from(!phone.nonce.is_empty());
        phone.interval_ns = T1_NS;
        phone.expires_ns = ctx.now_ns + self.plan.timeout_ns;
        self.wheel.set(&mut phone.timer, handle(index), ctx.now_ns + T1_NS);
        self.send(ctx, index);
    }

    /// Sends the present REGISTER: to the byte the same each time.
    fn send(&self, ctx: &mut Context<'_>, index: u32) {
        let phone = &self.phones[index as usize];
        let socket = index as usize % self.texts.len();
        let number = self.number(index);
        let authorization = (!phone.nonce.is_empty()).then(|| {
            let (nonce, opaque) = phone.nonce.split_at(usize::from(phone.nonce_length));
            let account = &self.accounts[usize::from(phone.account)];
            Authorization { account, ha1: &phone.ha1, nonce, opaque, nc: phone.nc }
        });
        let id = Id { origin: self.origin, handle: transaction(index, phone.cseq) };
        let texts = &self.texts[socket];
        ctx.out.send(socket, self.plan.server, handle(index), |out| {
            texts.register(out, id, number.as_bytes(), phone.cseq, authorization.as_ref());
        });
    }

    fn number(&self, index: u32) -> Number {
        self.plan.numbers.nth(self.first + self.stride * u64::from(index))
    }

    /// A message that came in by the socket `socket`.
    pub fn handle_message(
        &mut self,
        ctx: &mut Context<'_>,
        socket: usize,
        source: SocketAddrV4,
        message: &Message<'_>,
    ) {
        let Some(status) = message.status() else {
            let status = if message.method() == Method::Options { 200 } else { 405 };
            let tag = Id { origin: self.origin, handle: Handle::from_bits(0) };
            ctx.out.send(socket, source, tag.handle, |out| message::respond(out, status, message, Some(tag)));
            return;
        };
        let id = message::branch_id(message).filter(|id| id.origin == self.origin);
        let index = id.map(|id| id.handle.bits() as u32);
        let phone = index.and_then(|index| self.phones.get(index as usize));
        let (Some(id), Some(index), Some(phone)) = (id, index, phone) else {
            ctx.tally.strays += 1;
            return;
        };
        let is_present = phone.is_waiting && id.handle == transaction(index, phone.cseq);
        match status.code() {
            // An answer to an earlier request of this phone, or one that came again.
            _ if !is_present => ctx.tally.registration.late_answers += 1,
            100..200 => self.phones[index as usize].interval_ns = T2_NS,
            200..300 => self.registered(ctx, index, message),
            401 => self.challenged(ctx, index, message),
            status => self.end(ctx, index, Some(Failure::RegisterStatus(status))),
        }
    }

    fn registered(&mut self, ctx: &mut Context<'_>, index: u32, response: &Message<'_>) {
        let phone = &self.phones[index as usize];
        ctx.tally.record(Latency::Register, ctx.now_ns.saturating_sub(phone.intended_ns));
        let contact = self.texts[0].contact(self.number(index).as_bytes());
        let is_bound = |value: &[u8]| value.windows(contact.len()).any(|window| window == contact);
        let is_good = !self.plan.check || response.values(HeaderName::Contact).any(is_bound);
        self.end(ctx, index, (!is_good).then_some(Failure::ContactMissing));
    }

    fn challenged(&mut self, ctx: &mut Context<'_>, index: u32, response: &Message<'_>) {
        let Some(challenge) = Challenge::choose(response, self.plan.algorithm) else {
            return self.end(ctx, index, Some(Failure::NoChallenge));
        };
        let phone = &self.phones[index as usize];
        let is_refused = phone.is_fresh && !challenge.stale;
        let Some(password) = &self.plan.password else {
            return self.end(ctx, index, Some(Failure::RegisterStatus(401)));
        };
        if is_refused || phone.tries >= TRIES_MAX {
            self.phones[index as usize].nonce = Box::default();
            return self.end(ctx, index, Some(Failure::RegisterStatus(401)));
        }
        ctx.tally.registration.challenges += 1;
        ctx.tally.registration.stale += u64::from(challenge.stale);
        let number = self.number(index);
        let password = password.replace("{number}", &number.to_string());
        let account = self.account(&challenge);
        let phone = &mut self.phones[index as usize];
        phone.ha1 = digest::ha1(challenge.algorithm, number.as_bytes(), challenge.realm, password.as_bytes());
        phone.account = account;
        phone.nonce = [challenge.nonce, challenge.opaque].concat().into();
        phone.nonce_length = challenge.nonce.len() as u16;
        phone.nc = 0;
        phone.is_fresh = true;
        self.request(ctx, index);
    }

    /// What the challenges of a server have in common; there is one for each realm and algorithm.
    fn account(&mut self, challenge: &Challenge<'_>) -> u16 {
        let is_it = |account: &Account| account.is_of(challenge.realm, challenge.algorithm);
        let place = self.accounts.iter().position(is_it).unwrap_or_else(|| {
            // A server that names a new realm each time is no server to measure: the last place serves them.
            self.accounts.truncate(usize::from(u16::MAX));
            self.accounts.push(Account::new(&self.plan, challenge.realm, challenge.algorithm));
            self.accounts.len() - 1
        });
        place as u16
    }

    fn end(&mut self, ctx: &mut Context<'_>, index: u32, failure: Option<Failure>) {
        let phone = &mut self.phones[index as usize];
        phone.is_waiting = false;
        phone.timer = Timer::default();
        self.idle.push_back(index);
        ctx.tally.end(ctx.now_ns, failure);
    }

    /// Repeats what is unanswered (Timer E), gives up (Timer F).
    pub fn handle_timeout(&mut self, ctx: &mut Context<'_>) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.take_due(ctx.now_ns, &mut due);
        for entry in due.drain(..) {
            let index = entry.handle.bits() as u32;
            let phone = &mut self.phones[index as usize];
            if self.wheel.fires(&mut phone.timer, entry, ctx.now_ns) && phone.is_waiting {
                self.handle_deadline(ctx, index);
            }
        }
        self.due = due;
    }

    fn handle_deadline(&mut self, ctx: &mut Context<'_>, index: u32) {
        let phone = &mut self.phones[index as usize];
        if ctx.now_ns >= phone.expires_ns {
            return self.end(ctx, index, Some(Failure::NoRegisterAnswer));
        }
        phone.interval_ns = (phone.interval_ns * 2).min(T2_NS);
        let next_ns = (ctx.now_ns + phone.interval_ns).min(phone.expires_ns);
        self.wheel.set(&mut phone.timer, handle(index), next_ns);
        ctx.tally.own.register += 1;
        self.send(ctx, index);
    }

    /// The run ends: who waits has failed.
    pub fn abandon(&mut self, ctx: &mut Context<'_>) {
        for index in 0..self.phones.len() as u32 {
            if self.phones[index as usize].is_waiting {
                self.end(ctx, index, Some(Failure::Unfinished));
            }
        }
    }
}

/// A phone's name in the wheel and the outbox.
fn handle(index: u32) -> Handle {
    Handle::from_bits(u64::from(index))
}

/// A request's name: each has its own branch.
fn transaction(index: u32, cseq: u32) -> Handle {
    Handle::from_bits(u64::from(cseq) << 32 | u64::from(index))
}
