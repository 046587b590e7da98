//! The called parties: the callee (B), who does not answer, and the target (C), who does. Each leg does what
//! the flow says, checks what it sees, and reports to the call's caller.
//!
//! ```text
//!          INVITE           200            ACK              BYE           200
//!  (start) ──────▶ Ringing ──────▶ Answered ──────▶ Talking ──────▶ HangingUp ──▶ (gone)
//!            100,180  │ 408, 486, 487                  │ BYE from the server
//!                     ▼               ACK              ▼
//!                  Rejected ────────────────────────▶ (gone)
//! ```

use crate::call::{Context, Failure, Id, LegEvent, LegReport, Origin, Who};
use crate::media::Claim;
use crate::message::{self, CalleeTexts};
use crate::plan::{Flow, Hangup, Part, Party, Plan, T1_NS, T2_NS};
use crate::recent::Recent;
use crate::sdp;
use crate::slab::{Handle, Slab};
use crate::tally::{Latency, Tally};
use crate::wheel::{Entry, Timer, Wheel};
use ahash::RandomState;
use ringway::sip::name_addr::split_list;
use ringway::sip::{HeaderName, Message, Method, NameAddr, Uri};
use std::hash::{BuildHasher, Hash, Hasher};
use std::net::SocketAddrV4;
use std::sync::Arc;

/// What a leg waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// The end of its ringing, or CANCEL.
    #[default]
    Ringing,
    /// The ACK for its 200, which is repeated (RFC 3261 §13.3.1.4).
    Answered,
    /// Its own time to hang up, or the server's BYE.
    Talking,
    /// The 200 for its BYE, which is repeated (Timer E).
    HangingUp,
    /// The ACK for its other final response, which is repeated (Timer G).
    Rejected,
}

struct Leg {
    state: State,
    party: Party,
    /// The call that the offer's mark names.
    call: Option<Id>,
    failure: Option<Failure>,
    timer: Timer,
    /// When the INVITE came; later, when BYE was sent.
    since_ns: u64,
    expires_ns: u64,
    interval_ns: u64,
    /// The status of the final response.
    status: u16,
    /// Where the INVITE came from: responses go there.
    source: SocketAddrV4,
    /// Where the offer wants sound, and the port that ours has.
    far: Option<SocketAddrV4>,
    claim: Option<Claim>,
    /// What all responses to the INVITE hold.
    head: Vec<u8>,
    /// BYE as it is to be sent, and where to.
    bye: Vec<u8>,
    bye_to: SocketAddrV4,
}

impl Default for Leg {
    fn default() -> Leg {
        let nowhere = SocketAddrV4::new([0, 0, 0, 0].into(), 0);
        Leg {
            state: State::Ringing,
            party: Party::Callee,
            call: None,
            failure: None,
            timer: Timer::default(),
            since_ns: 0,
            expires_ns: 0,
            interval_ns: 0,
            status: 0,
            source: nowhere,
            far: None,
            claim: None,
            head: Vec::new(),
            bye: Vec::new(),
            bye_to: nowhere,
        }
    }
}

impl Leg {
    /// Takes a port for the sound of an answered call; false: there is none.
    fn claim_port(&mut self, ctx: &mut Context<'_>) -> bool {
        let who = Who::from(self.party);
        if self.far.is_none() {
            self.failure.get_or_insert(Failure::NoAudioAddress(who));
        }
        self.claim = ctx.media.claim(false, self.call, self.far);
        if self.claim.is_none() {
            self.failure.get_or_insert(Failure::NoRtpPort(who));
        }
        self.claim.is_some()
    }
}

/// A called party's socket: its place in the outbox and what stands in its messages.
pub struct Line {
    pub socket: usize,
    pub texts: CalleeTexts,
}

/// All called parties of one thread.
pub struct Callee {
    plan: Arc<Plan>,
    origin: Origin,
    callee: Option<Line>,
    target: Option<Line>,
    legs: Slab<Leg>,
    wheel: Wheel,
    due: Vec<Entry>,
    recent: Recent,
    keys: RandomState,
}

impl Callee {
    pub fn new(
        plan: Arc<Plan>,
        origin: Origin,
        callee: Option<Line>,
        target: Option<Line>,
        now_ns: u64,
    ) -> Callee {
        Callee {
            plan,
            origin,
            callee,
            target,
            legs: Slab::new(),
            wheel: Wheel::new(now_ns),
            due: Vec::new(),
            recent: Recent::new(),
            keys: RandomState::with_seeds(5, 6, 7, 8),
        }
    }

    /// Legs that are not over.
    pub fn live(&self) -> usize {
        self.legs.live()
    }

    /// When [`Callee::handle_timeout`] is wanted next.
    pub fn next_ns(&self) -> Option<u64> {
        self.wheel.next_ns()
    }

    fn line(&self, party: Party) -> Option<&Line> {
        match party {
            Party::Callee => self.callee.as_ref(),
            Party::Target => self.target.as_ref(),
        }
    }

    /// A message that came in by `party`'s socket.
    pub fn handle_message(
        &mut self,
        ctx: &mut Context<'_>,
        party: Party,
        source: SocketAddrV4,
        message: &Message<'_>,
    ) {
        if let Some(status) = message.status() {
            return self.handle_response(ctx, message, status.code());
        }
        match message.method() {
            Method::Invite if message.to_tag().is_empty() => self.handle_invite(ctx, party, source, message),
            Method::Ack => self.handle_ack(ctx, message),
            Method::Bye => self.handle_bye(ctx, party, source, message),
            Method::Cancel => self.handle_cancel(ctx, party, source, message),
            Method::Options | Method::Update | Method::Info => self.reply(ctx, party, source, message, 200),
            _ => self.reply(ctx, party, source, message, 405),
        }
    }

    fn reply(
        &self,
        ctx: &mut Context<'_>,
        party: Party,
        source: SocketAddrV4,
        request: &Message<'_>,
        status: u16,
    ) {
        let Some(line) = self.line(party) else { return };
        let tag = Id { origin: self.origin, handle: Handle::from_bits(0) };
        ctx.out
            .send(line.socket, source, tag.handle, |out| message::respond(out, status, request, Some(tag)));
    }

    /// What an INVITE and its CANCEL have in common, and no other INVITE (RFC 3261 §17.2.3).
    fn key(&self, request: &Message<'_>) -> u64 {
        let mut hasher = self.keys.build_hasher();
        request.call_id().hash(&mut hasher);
        request.top_via().map(|via| via.branch).hash(&mut hasher);
        hasher.finish() | 1
    }

    fn handle_invite(
        &mut self,
        ctx: &mut Context<'_>,
        party: Party,
        source: SocketAddrV4,
        invite: &Message<'_>,
    ) {
        let key = self.key(invite);
        if let Some(handle) = self.recent.find(key) {
            ctx.tally.peer.invite += 1;
            return self.repeat(ctx, handle);
        }
        let line = match party {
            Party::Callee => self.callee.as_ref(),
            Party::Target => self.target.as_ref(),
        };
        let Some(line) = line else { return };
        let (plan, origin) = (&self.plan, self.origin);
        let (handle, leg) = self.legs.claim();
        self.recent.insert(key, handle);
        leg.state = State::Ringing;
        leg.party = party;
        leg.call = message::marked_call(invite.body()).filter(|call| call.origin.run == origin.run);
        leg.failure = check_invite(plan, party, leg.call, invite);
        leg.timer = Timer::default();
        leg.since_ns = ctx.now_ns;
        leg.interval_ns = 0;
        leg.status = 0;
        leg.source = source;
        leg.far = plan.rtp.as_ref().and_then(|_| sdp::audio_address(invite.body()));
        leg.claim = None;
        leg.head.clear();
        leg.bye.clear();
        let id = Id { origin, handle };
        line.texts.head(&mut leg.head, id, invite);
        let part = plan.flow.part(party);
        if part == Part::Answers && plan.hangup == Hangup::Target {
            line.texts.bye(&mut leg.bye, id, invite);
            leg.bye_to = message::callee_next_hop(invite).unwrap_or(source);
        }
        ctx.out.send(line.socket, source, handle, |out| line.texts.respond(out, 100, &leg.head, 0));
        let rings = part != Part::Rejects(486);
        if rings {
            ctx.out.send(line.socket, source, handle, |out| line.texts.respond(out, 180, &leg.head, 0));
        }
        let ring_ns = plan.ring_ns(party);
        match part {
            Part::Rings => {
                // Timer C of RFC 3261 §16.6: no server lets a callee ring longer without being told to.
                let longest_ns = if plan.flow == Flow::CfnaTimer { 180_000_000_000 } else { plan.ring_ns };
                leg.expires_ns = ctx.now_ns + longest_ns + plan.timeout_ns;
                self.wheel.set(&mut leg.timer, handle, leg.expires_ns);
            }
            _ if ring_ns > 0 => self.wheel.set(&mut leg.timer, handle, ctx.now_ns + ring_ns),
            Part::Answers => self.finalize(ctx, handle, 200),
            Part::Rejects(status) => self.finalize(ctx, handle, status),
        }
    }

    /// Sends the final response for the first time.
    fn finalize(&mut self, ctx: &mut Context<'_>, handle: Handle, mut status: u16) {
        let Some(leg) = self.legs.get_mut(handle) else { return };
        if status == 200 && self.plan.rtp.is_some() && !leg.claim_port(ctx) {
            status = 486;
        }
        leg.state = if status < 300 { State::Answered } else { State::Rejected };
        leg.status = status;
        leg.interval_ns = T1_NS;
        leg.expires_ns = ctx.now_ns + self.plan.timeout_ns;
        self.wheel.set(&mut leg.timer, handle, ctx.now_ns + T1_NS);
        if let Some(call) = leg.call {
            let event = LegEvent::Final { added_ns: ctx.now_ns.saturating_sub(leg.since_ns) };
            ctx.reports.push(LegReport { call, party: leg.party, event });
        }
        self.repeat(ctx, handle);
    }

    /// Sends the latest response to the INVITE.
    fn repeat(&mut self, ctx: &mut Context<'_>, handle: Handle) {
        let Some(leg) = self.legs.get_mut(handle) else { return };
        let line = match leg.party {
            Party::Callee => self.callee.as_ref(),
            Party::Target => self.target.as_ref(),
        };
        let status = match leg.state {
            State::Ringing => 180,
            State::Answered | State::Rejected => leg.status,
            State::Talking | State::HangingUp => return,
        };
        if let Some(line) = line {
            let port = leg.claim.map_or(0, |claim| claim.port);
            ctx.out.send(line.socket, leg.source, handle, |out| {
                line.texts.respond(out, status, &leg.head, port)
            });
        }
    }

    fn handle_ack(&mut self, ctx: &mut Context<'_>, ack: &Message<'_>) {
        let Some(id) = Id::parse(ack.to_tag()).filter(|id| id.origin == self.origin) else {
            ctx.tally.strays += 1;
            return;
        };
        let handle = id.handle;
        let Some(leg) = self.legs.get_mut(handle) else { return };
        match leg.state {
            State::Rejected => self.end(ctx, handle, None),
            State::Answered => {
                leg.state = State::Talking;
                leg.interval_ns = 0;
                if let Some(claim) = leg.claim {
                    ctx.media.start(claim, ctx.now_ns);
                }
                if self.plan.hangup == Hangup::Caller {
                    leg.expires_ns = ctx.now_ns + self.plan.talk_ns() + self.plan.timeout_ns;
                    self.wheel.set(&mut leg.timer, handle, leg.expires_ns);
                } else if self.plan.talk_ns() > 0 {
                    self.wheel.set(&mut leg.timer, handle, ctx.now_ns + self.plan.talk_ns());
                } else {
                    self.hang_up(ctx, handle);
                }
            }
            State::Ringing | State::Talking | State::HangingUp => {}
        }
    }

    fn hang_up(&mut self, ctx: &mut Context<'_>, handle: Handle) {
        let Some(leg) = self.legs.get_mut(handle) else { return };
        leg.state = State::HangingUp;
        leg.interval_ns = T1_NS;
        leg.since_ns = ctx.now_ns;
        leg.expires_ns = ctx.now_ns + self.plan.timeout_ns;
        self.wheel.set(&mut leg.timer, handle, ctx.now_ns + T1_NS);
        self.send_bye(ctx, handle);
    }

    fn send_bye(&mut self, ctx: &mut Context<'_>, handle: Handle) {
        let Some(leg) = self.legs.get_mut(handle) else { return };
        let line = match leg.party {
            Party::Callee => self.callee.as_ref(),
            Party::Target => self.target.as_ref(),
        };
        if let Some(line) = line {
            ctx.out.send(line.socket, leg.bye_to, handle, |out| out.extend_from_slice(&leg.bye));
        }
    }

    fn handle_bye(&mut self, ctx: &mut Context<'_>, party: Party, source: SocketAddrV4, bye: &Message<'_>) {
        let Some(id) = Id::parse(bye.to_tag()).filter(|id| id.origin == self.origin) else {
            ctx.tally.strays += 1;
            return self.reply(ctx, party, source, bye, 481);
        };
        self.reply(ctx, party, source, bye, 200);
        let caller_hangs_up = self.plan.hangup == Hangup::Caller;
        let Some(leg) = self.legs.get_mut(id.handle) else {
            ctx.tally.peer.bye += 1;
            return;
        };
        let who = leg.party.into();
        match leg.state {
            State::Talking if caller_hangs_up => self.end(ctx, id.handle, None),
            State::Talking => self.end(ctx, id.handle, Some(Failure::UnexpectedBye(who))),
            // It crossed ours, whose 200 is still to come.
            State::HangingUp => _ = leg.failure.get_or_insert(Failure::UnexpectedBye(who)),
            _ => self.end(ctx, id.handle, Some(Failure::EarlyBye(who))),
        }
    }

    fn handle_cancel(
        &mut self,
        ctx: &mut Context<'_>,
        party: Party,
        source: SocketAddrV4,
        cancel: &Message<'_>,
    ) {
        let Some(handle) = self.recent.find(self.key(cancel)) else {
            ctx.tally.strays += 1;
            return self.reply(ctx, party, source, cancel, 481);
        };
        let Some(line) = self.line(party) else { return };
        let tag = Id { origin: self.origin, handle };
        ctx.out.send(line.socket, source, handle, |out| message::respond(out, 200, cancel, Some(tag)));
        let expected = self.plan.flow.part(party) == Part::Rings;
        let Some(leg) = self.legs.get_mut(handle).filter(|leg| leg.state == State::Ringing) else {
            // Either it came again or it crossed our final response: without effect (RFC 3261 §9.2).
            ctx.tally.peer.cancel += u64::from(expected);
            return;
        };
        if !expected {
            leg.failure.get_or_insert(Failure::UnexpectedCancel(party.into()));
        }
        self.finalize(ctx, handle, 487);
    }

    fn handle_response(&mut self, ctx: &mut Context<'_>, response: &Message<'_>, status: u16) {
        let id = message::branch_id(response).filter(|id| id.origin == self.origin);
        let Some(id) = id.filter(|_| response.method() == Method::Bye) else {
            ctx.tally.strays += 1;
            return;
        };
        let Some(leg) = self.legs.get_mut(id.handle).filter(|leg| leg.state == State::HangingUp) else {
            return;
        };
        match status {
            100..200 => {}
            200..300 => {
                ctx.tally.record(Latency::Bye, ctx.now_ns.saturating_sub(leg.since_ns));
                self.end(ctx, id.handle, None);
            }
            _ => self.end(ctx, id.handle, Some(Failure::ByeStatus(status))),
        }
    }

    fn end(&mut self, ctx: &mut Context<'_>, handle: Handle, failure: Option<Failure>) {
        let Some(leg) = self.legs.get_mut(handle) else { return };
        let failure = leg.failure.or(failure);
        if let Some(claim) = leg.claim.take() {
            ctx.media.end(claim, ctx.now_ns);
        }
        match leg.call {
            Some(call) => {
                let event = LegEvent::Ended(failure);
                ctx.reports.push(LegReport { call, party: leg.party, event });
            }
            None => ctx.tally.end_unmarked(failure),
        }
        self.legs.release(handle);
    }

    /// The run ends. Calls judge their own legs; a leg that nobody judges has failed if it lives.
    pub fn abandon(&mut self, tally: &mut Tally) {
        for handle in self.legs.handles() {
            if let Some(leg) = self.legs.get_mut(handle)
                && leg.call.is_none()
            {
                tally.end_unmarked(Some(leg.failure.unwrap_or(Failure::Unfinished)));
            }
            self.legs.release(handle);
        }
    }

    /// Ends the ringing, repeats what is unanswered, hangs up, gives up.
    pub fn handle_timeout(&mut self, ctx: &mut Context<'_>) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.take_due(ctx.now_ns, &mut due);
        for entry in due.drain(..) {
            let Some(leg) = self.legs.get_mut(entry.handle) else { continue };
            if self.wheel.fires(&mut leg.timer, entry, ctx.now_ns) {
                self.handle_deadline(ctx, entry.handle);
            }
        }
        self.due = due;
    }

    fn handle_deadline(&mut self, ctx: &mut Context<'_>, handle: Handle) {
        let Some(leg) = self.legs.get_mut(handle) else { return };
        let who = leg.party.into();
        let failure = match leg.state {
            State::Ringing => match self.plan.flow.part(leg.party) {
                Part::Answers => return self.finalize(ctx, handle, 200),
                Part::Rejects(status) => return self.finalize(ctx, handle, status),
                Part::Rings => Failure::NoCancel,
            },
            State::Talking if self.plan.hangup == Hangup::Target => return self.hang_up(ctx, handle),
            State::Talking => Failure::NoBye,
            State::Answered | State::Rejected => Failure::NoAck(who),
            State::HangingUp => Failure::NoByeAnswer(who),
        };
        if ctx.now_ns >= leg.expires_ns {
            return self.end(ctx, handle, Some(failure));
        }
        // Timers E and G and that of the 200 all double up to T2.
        leg.interval_ns = (leg.interval_ns * 2).min(T2_NS);
        let next_ns = (ctx.now_ns + leg.interval_ns).min(leg.expires_ns);
        self.wheel.set(&mut leg.timer, handle, next_ns);
        match leg.state {
            State::Answered => ctx.tally.own.answer += 1,
            State::Rejected => ctx.tally.own.rejection += 1,
            _ => {
                ctx.tally.own.bye += 1;
                return self.send_bye(ctx, handle);
            }
        }
        self.repeat(ctx, handle);
    }
}

/// What is wrong with the INVITE that reached `party` for a call of ours, if its mark names one: a forwarded
/// one names the diverting number first and why it diverts (RFC 5806; SIP_RULES 10).
fn check_invite(plan: &Plan, party: Party, call: Option<Id>, invite: &Message<'_>) -> Option<Failure> {
    if party == Party::Callee {
        return None;
    }
    if !plan.flow.forwards() {
        return Some(Failure::UnexpectedInvite);
    }
    if !plan.check {
        return None;
    }
    let Some(diversion) = invite.header(HeaderName::Diversion).and_then(|value| split_list(value).next())
    else {
        return Some(Failure::DiversionMissing);
    };
    let is_callee = |number: &[u8]| match call {
        Some(call) => number == plan.callee_of(call).as_bytes(),
        None => plan.callees.contains(number),
    };
    let names_callee = |diversion: &NameAddr<'_>| {
        Uri::parse(diversion.uri).is_ok_and(|uri| is_callee(uri.user))
            && diversion.param("reason").is_some_and(|reason| reason.eq_ignore_ascii_case(b"no-answer"))
    };
    let is_right = NameAddr::parse(diversion).is_ok_and(|diversion| names_callee(&diversion));
    (!is_right).then_some(Failure::DiversionWrong)
}
