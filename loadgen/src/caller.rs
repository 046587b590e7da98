//! The callers (A): they place calls, hang up or are hung up on, and judge each call as a whole.
//!
//! ```text
//!            INVITE              1xx                  200, ACK
//!  (start) ─────────▶ Calling ─────────▶ Proceeding ──────────▶ Talking ─── BYE, 200 ──▶ Over
//!                        │                   │ CANCEL              │ BYE               ▲  │ all legs
//!                        │ final             ▼                     ▼            200    │  │ reported
//!                        └───────▶ Over   Cancelling ── 487 ─▶   HangingUp ────────────┘  ▼ (gone)
//! ```

use crate::call::{Context, Failure, Id, LegEvent, LegReport, Origin, Who};
use crate::media::Claim;
use crate::message::{self, CallerTexts};
use crate::plan::{Flow, Hangup, Party, Plan, T1_NS, T2_NS};
use crate::sdp;
use crate::slab::{Handle, Slab};
use crate::tally::Latency;
use crate::wheel::{Entry, Timer, Wheel};
use ahash::RandomState;
use ringway::sip::{Message, Method};
use std::net::SocketAddrV4;
use std::sync::Arc;

/// What a caller waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Any response; INVITE is repeated (Timer A).
    #[default]
    Calling,
    /// A final response.
    Proceeding,
    /// The 200 for CANCEL and the INVITE's 487; CANCEL is repeated (Timer E).
    Cancelling,
    /// Its own time to hang up, or the peer's BYE.
    Talking,
    /// The 200 for its BYE, which is repeated (Timer E).
    HangingUp,
    /// The called parties' legs to end.
    Over,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    trying: bool,
    ringing: bool,
    cancel_answered: bool,
    terminated: bool,
    callee_ended: bool,
    target_ended: bool,
}

struct Call {
    state: State,
    seen: Seen,
    failure: Option<Failure>,
    socket: u16,
    timer: Timer,
    intended_ns: u64,
    /// When this state is given up.
    expires_ns: u64,
    /// The present retransmission interval; 0: nothing is repeated.
    interval_ns: u64,
    /// When BYE was sent.
    bye_ns: u64,
    /// How long the phones rang.
    added_ns: u64,
    /// A digest of the first To tag; 0: none yet.
    to_tag: u64,
    /// The port that its sound has.
    claim: Option<Claim>,
    /// BYE as it is to be sent, and where to.
    bye: Vec<u8>,
    bye_to: SocketAddrV4,
}

impl Default for Call {
    fn default() -> Call {
        Call {
            state: State::Calling,
            seen: Seen::default(),
            failure: None,
            socket: 0,
            timer: Timer::default(),
            intended_ns: 0,
            expires_ns: 0,
            interval_ns: 0,
            bye_ns: 0,
            added_ns: 0,
            to_tag: 0,
            claim: None,
            bye: Vec::new(),
            bye_to: SocketAddrV4::new([0, 0, 0, 0].into(), 0),
        }
    }
}

impl Call {
    /// What stands in the offer; 0: no port of its own.
    fn port(&self) -> u16 {
        self.claim.map_or(0, |claim| claim.port)
    }

    /// Sends sound to where the answer wants it.
    fn talk(&mut self, ctx: &mut Context<'_>, answer: &[u8]) {
        let Some(claim) = self.claim else { return };
        match sdp::audio_address(answer) {
            Some(far) => {
                ctx.media.aim(claim, far);
                ctx.media.start(claim, ctx.now_ns);
            }
            None => _ = self.failure.get_or_insert(Failure::NoAudioAddress(Who::Caller)),
        }
    }

    fn fall_silent(&mut self, ctx: &mut Context<'_>) {
        if let Some(claim) = self.claim.take() {
            ctx.media.end(claim, ctx.now_ns);
        }
    }
}

/// All callers of one thread.
pub struct Caller {
    plan: Arc<Plan>,
    origin: Origin,
    texts: Vec<CallerTexts>,
    calls: Slab<Call>,
    wheel: Wheel,
    due: Vec<Entry>,
    tags: RandomState,
    /// The socket that the next calls leave by.
    socket: usize,
    /// Whether the called parties can tell which call a leg belongs to. A server that rewrites the SDP takes
    /// the mark away; then each leg is counted by itself.
    marked: bool,
}

impl Caller {
    /// `addresses` are the sockets' own: socket n of the outbox is the nth.
    pub fn new(plan: Arc<Plan>, origin: Origin, addresses: &[SocketAddrV4], now_ns: u64) -> Caller {
        Caller {
            texts: addresses.iter().map(|address| CallerTexts::new(&plan, *address)).collect(),
            plan,
            origin,
            calls: Slab::new(),
            wheel: Wheel::new(now_ns),
            due: Vec::new(),
            tags: RandomState::with_seeds(1, 2, 3, 4),
            socket: 0,
            marked: true,
        }
    }

    /// Calls that are not over.
    pub fn live(&self) -> usize {
        self.calls.live()
    }

    /// When [`Caller::handle_timeout`] is wanted next.
    pub fn next_ns(&self) -> Option<u64> {
        self.wheel.next_ns()
    }

    /// Legs come without their call's mark: no call waits for reports any more.
    pub fn expect_no_reports(&mut self, ctx: &mut Context<'_>) {
        if !std::mem::take(&mut self.marked) {
            return;
        }
        for handle in self.calls.handles() {
            if self.calls.get_mut(handle).is_some_and(|call| call.state == State::Over) {
                self.over(ctx, handle);
            }
        }
    }

    /// The next calls leave by another socket. Calls that start together share one, so that they, and all
    /// that follows on them, travel in one batch.
    pub fn turn(&mut self) {
        self.socket = (self.socket + 1) % self.texts.len();
    }

    /// Places a call that was meant to be placed at `intended_ns`.
    pub fn start(&mut self, ctx: &mut Context<'_>, intended_ns: u64) {
        let socket = self.socket;
        ctx.tally.started += 1;
        let (handle, call) = self.calls.claim();
        let id = Id { origin: self.origin, handle };
        call.claim = None;
        if self.plan.rtp.is_some() {
            call.claim = ctx.media.claim(true, Some(id), None);
            if call.claim.is_none() {
                ctx.tally.end(ctx.now_ns, Some(Failure::NoRtpPort(Who::Caller)));
                self.calls.release(handle);
                return;
            }
        }
        call.state = State::Calling;
        call.seen = Seen::default();
        call.failure = None;
        call.socket = socket as u16;
        call.timer = Timer::default();
        call.intended_ns = intended_ns;
        call.added_ns = 0;
        call.to_tag = 0;
        call.expires_ns = ctx.now_ns + self.plan.timeout_ns;
        call.interval_ns = T1_NS;
        self.wheel.set(&mut call.timer, handle, ctx.now_ns + T1_NS);
        let port = call.port();
        ctx.out.send(socket, self.plan.server, handle, |out| self.texts[socket].invite(out, id, port));
    }

    /// A message that came in by the caller socket `socket`.
    pub fn handle_message(
        &mut self,
        ctx: &mut Context<'_>,
        socket: usize,
        source: SocketAddrV4,
        message: &Message<'_>,
    ) {
        match message.status() {
            Some(status) => self.handle_response(ctx, socket, message, status.code()),
            None => self.handle_request(ctx, socket, source, message),
        }
    }

    fn handle_response(&mut self, ctx: &mut Context<'_>, socket: usize, response: &Message<'_>, status: u16) {
        let Some(id) = message::branch_id(response).filter(|id| id.origin == self.origin) else {
            ctx.tally.strays += 1;
            return;
        };
        match response.method() {
            Method::Invite if status < 200 => self.handle_provisional(ctx, id.handle, response, status),
            Method::Invite => {
                self.acknowledge(ctx, socket, id, response, status);
                self.handle_final(ctx, id, response, status);
            }
            Method::Cancel => self.handle_cancel_answer(ctx, id.handle),
            Method::Bye => self.handle_bye_answer(ctx, id.handle, status),
            _ => ctx.tally.strays += 1,
        }
    }

    fn handle_provisional(
        &mut self,
        ctx: &mut Context<'_>,
        handle: Handle,
        response: &Message<'_>,
        status: u16,
    ) {
        let plan = &self.plan;
        let Some(call) = self.calls.get_mut(handle) else { return };
        if call.state == State::Calling {
            call.state = State::Proceeding;
            call.interval_ns = 0;
            // Timer C of RFC 3261 §16.6 bounds how long a server may let a callee ring.
            let ringing_ns = if plan.flow == Flow::CfnaTimer { 180_000_000_000 } else { plan.ring_ns };
            call.expires_ns = ctx.now_ns + ringing_ns + plan.target_ring_ns + plan.timeout_ns;
            self.wheel.set(&mut call.timer, handle, call.expires_ns);
        }
        if call.state != State::Proceeding {
            return;
        }
        check_to_tag(plan, &self.tags, call, response);
        match status {
            100 if !call.seen.trying => {
                call.seen.trying = true;
                ctx.tally.record(Latency::Trying, ctx.now_ns.saturating_sub(call.intended_ns));
            }
            180 if !call.seen.ringing => {
                call.seen.ringing = true;
                ctx.tally.record(Latency::Ringing, ctx.now_ns.saturating_sub(call.intended_ns));
                if plan.flow == Flow::Cancel {
                    self.wheel.set(&mut call.timer, handle, ctx.now_ns + plan.ring_ns);
                    if plan.ring_ns == 0 {
                        self.cancel(ctx, handle);
                    }
                }
            }
            181 => ctx.tally.being_forwarded += 1,
            _ => {}
        }
    }

    /// Every final response gets its ACK, also one that comes again when the call is long over.
    fn acknowledge(&self, ctx: &mut Context<'_>, socket: usize, id: Id, response: &Message<'_>, status: u16) {
        let texts = &self.texts[socket];
        if status < 300 {
            let next_hop = message::caller_next_hop(response).unwrap_or(self.plan.server);
            ctx.out.send(socket, next_hop, id.handle, |out| texts.ack_answer(out, id, response));
        } else {
            ctx.out.send(socket, self.plan.server, id.handle, |out| texts.ack_rejection(out, id, response));
        }
    }

    fn handle_final(&mut self, ctx: &mut Context<'_>, id: Id, response: &Message<'_>, status: u16) {
        let handle = id.handle;
        let waits = |call: &&mut Call| {
            matches!(call.state, State::Calling | State::Proceeding | State::Cancelling)
                && !call.seen.terminated
        };
        let Some(call) = self.calls.get_mut(handle).filter(waits) else {
            let again = &mut ctx.tally.peer;
            *if status < 300 { &mut again.answer } else { &mut again.rejection } += 1;
            return;
        };
        check_to_tag(&self.plan, &self.tags, call, response);
        if status != self.plan.flow.expected_final() {
            call.failure.get_or_insert(Failure::Status(status));
        } else if self.plan.check && self.plan.flow.rings() && !call.seen.ringing {
            call.failure.get_or_insert(Failure::NoRinging);
        }
        if status < 300 {
            self.answered(ctx, id, response);
        } else if call.state == State::Cancelling && !call.seen.cancel_answered {
            call.seen.terminated = true;
        } else {
            self.over(ctx, handle);
        }
    }

    fn answered(&mut self, ctx: &mut Context<'_>, id: Id, response: &Message<'_>) {
        let (plan, handle) = (&self.plan, id.handle);
        let Some(call) = self.calls.get_mut(handle) else { return };
        if !self.marked {
            // Nobody tells how long the phones rang: as long as they were told to.
            call.added_ns = plan.ring_ns + if plan.flow.forwards() { plan.target_ring_ns } else { 0 };
        }
        let took_ns = ctx.now_ns.saturating_sub(call.intended_ns);
        ctx.tally.record(Latency::Answer, took_ns.saturating_sub(call.added_ns));
        ctx.tally.added_ns += call.added_ns;
        ctx.tally.answered += 1;
        call.state = State::Talking;
        call.interval_ns = 0;
        call.talk(ctx, response.body());
        // An answer that the flow does not foresee is hung up on at once.
        let foreseen = plan.flow.expected_final() == 200;
        if foreseen && plan.hangup == Hangup::Target {
            call.expires_ns = ctx.now_ns + plan.talk_ns() + plan.timeout_ns;
            self.wheel.set(&mut call.timer, handle, call.expires_ns);
            return;
        }
        call.bye.clear();
        self.texts[usize::from(call.socket)].bye(&mut call.bye, id, response);
        call.bye_to = message::caller_next_hop(response).unwrap_or(plan.server);
        if foreseen && plan.talk_ns() > 0 {
            self.wheel.set(&mut call.timer, handle, ctx.now_ns + plan.talk_ns());
        } else {
            self.hang_up(ctx, handle);
        }
    }

    fn cancel(&mut self, ctx: &mut Context<'_>, handle: Handle) {
        let Some(call) = self.calls.get_mut(handle) else { return };
        call.state = State::Cancelling;
        call.interval_ns = T1_NS;
        call.expires_ns = ctx.now_ns + self.plan.timeout_ns;
        self.wheel.set(&mut call.timer, handle, ctx.now_ns + T1_NS);
        let (socket, id) = (usize::from(call.socket), Id { origin: self.origin, handle });
        ctx.out.send(socket, self.plan.server, handle, |out| self.texts[socket].cancel(out, id));
    }

    fn handle_cancel_answer(&mut self, ctx: &mut Context<'_>, handle: Handle) {
        let Some(call) = self.calls.get_mut(handle).filter(|call| call.state == State::Cancelling) else {
            return;
        };
        call.seen.cancel_answered = true;
        call.interval_ns = 0;
        if call.seen.terminated {
            self.over(ctx, handle);
        } else {
            self.wheel.set(&mut call.timer, handle, call.expires_ns);
        }
    }

    fn hang_up(&mut self, ctx: &mut Context<'_>, handle: Handle) {
        let Some(call) = self.calls.get_mut(handle) else { return };
        call.state = State::HangingUp;
        call.interval_ns = T1_NS;
        call.bye_ns = ctx.now_ns;
        call.expires_ns = ctx.now_ns + self.plan.timeout_ns;
        self.wheel.set(&mut call.timer, handle, ctx.now_ns + T1_NS);
        ctx.out.send(usize::from(call.socket), call.bye_to, handle, |out| out.extend_from_slice(&call.bye));
    }

    fn handle_bye_answer(&mut self, ctx: &mut Context<'_>, handle: Handle, status: u16) {
        let Some(call) = self.calls.get_mut(handle).filter(|call| call.state == State::HangingUp) else {
            return;
        };
        match status {
            100..200 => return,
            200..300 => ctx.tally.record(Latency::Bye, ctx.now_ns.saturating_sub(call.bye_ns)),
            _ => _ = call.failure.get_or_insert(Failure::ByeStatus(status)),
        }
        self.over(ctx, handle);
    }

    fn handle_request(
        &mut self,
        ctx: &mut Context<'_>,
        socket: usize,
        source: SocketAddrV4,
        request: &Message<'_>,
    ) {
        let id = Id::parse(request.to_tag()).filter(|id| id.origin == self.origin);
        let status = match (request.method(), id) {
            (Method::Ack, _) => return,
            (Method::Bye, Some(_)) => 200,
            (Method::Bye, None) => {
                ctx.tally.strays += 1;
                481
            }
            (Method::Options | Method::Update | Method::Info, _) => 200,
            _ => 405,
        };
        let tag = Id { origin: self.origin, handle: Handle::from_bits(0) };
        let of = id.unwrap_or(tag).handle;
        ctx.out.send(socket, source, of, |out| message::respond(out, status, request, Some(tag)));
        if let (Method::Bye, Some(id)) = (request.method(), id) {
            self.handle_bye(ctx, id.handle);
        }
    }

    fn handle_bye(&mut self, ctx: &mut Context<'_>, handle: Handle) {
        let target_hangs_up = self.plan.hangup == Hangup::Target;
        let Some(call) = self.calls.get_mut(handle) else {
            ctx.tally.peer.bye += 1;
            return;
        };
        match call.state {
            State::Talking if target_hangs_up => {}
            State::Talking => _ = call.failure.get_or_insert(Failure::UnexpectedBye(Who::Caller)),
            // It crossed ours, whose 200 is still to come.
            State::HangingUp => {
                call.failure.get_or_insert(Failure::UnexpectedBye(Who::Caller));
                return;
            }
            State::Over => {
                ctx.tally.peer.bye += 1;
                return;
            }
            State::Calling | State::Proceeding | State::Cancelling => {
                call.failure.get_or_insert(Failure::EarlyBye(Who::Caller));
            }
        }
        self.over(ctx, handle);
    }

    /// The caller's own leg is over: the call ends when the others are, too, or when it has failed.
    fn over(&mut self, ctx: &mut Context<'_>, handle: Handle) {
        let Some(call) = self.calls.get_mut(handle) else { return };
        let callee_pending = !call.seen.callee_ended;
        let target_pending = self.plan.flow.forwards() && !call.seen.target_ended;
        call.fall_silent(ctx);
        if call.failure.is_some() || !self.marked || !(callee_pending || target_pending) {
            ctx.tally.end(ctx.now_ns, call.failure);
            self.calls.release(handle);
            return;
        }
        if call.state != State::Over {
            call.state = State::Over;
            call.interval_ns = 0;
            // The parties give up after their own timeout and say why: that is better than our guess.
            call.expires_ns = ctx.now_ns + self.plan.timeout_ns + T2_NS;
            self.wheel.set(&mut call.timer, handle, call.expires_ns);
        }
    }

    /// What a called party tells about its leg of one of our calls.
    pub fn handle_report(&mut self, ctx: &mut Context<'_>, report: LegReport) {
        let Some(call) = self.calls.get_mut(report.call.handle) else { return };
        match report.event {
            LegEvent::Final { added_ns } => call.added_ns += added_ns,
            LegEvent::Ended(failure) => {
                match report.party {
                    Party::Callee => call.seen.callee_ended = true,
                    Party::Target => call.seen.target_ended = true,
                }
                call.failure = call.failure.or(failure);
                if call.state == State::Over {
                    self.over(ctx, report.call.handle);
                }
            }
        }
    }

    /// Repeats what is unanswered, hangs up, gives up.
    pub fn handle_timeout(&mut self, ctx: &mut Context<'_>) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.take_due(ctx.now_ns, &mut due);
        for entry in due.drain(..) {
            let Some(call) = self.calls.get_mut(entry.handle) else { continue };
            if self.wheel.fires(&mut call.timer, entry, ctx.now_ns) {
                self.handle_deadline(ctx, entry.handle);
            }
        }
        self.due = due;
    }

    fn handle_deadline(&mut self, ctx: &mut Context<'_>, handle: Handle) {
        let Some(call) = self.calls.get_mut(handle) else { return };
        let is_expired = ctx.now_ns >= call.expires_ns;
        match call.state {
            State::Proceeding if self.plan.flow == Flow::Cancel && !is_expired => self.cancel(ctx, handle),
            State::Talking if self.plan.hangup == Hangup::Caller => self.hang_up(ctx, handle),
            _ if is_expired => self.give_up(ctx, handle),
            _ => self.retransmit(ctx, handle),
        }
    }

    fn retransmit(&mut self, ctx: &mut Context<'_>, handle: Handle) {
        let Some(call) = self.calls.get_mut(handle) else { return };
        if call.interval_ns == 0 {
            self.wheel.set(&mut call.timer, handle, call.expires_ns);
            return;
        }
        let (socket, id) = (usize::from(call.socket), Id { origin: self.origin, handle });
        let own = &mut ctx.tally.own;
        match call.state {
            State::Calling => {
                own.invite += 1;
                let port = call.port();
                ctx.out
                    .send(socket, self.plan.server, handle, |out| self.texts[socket].invite(out, id, port));
            }
            State::Cancelling => {
                own.cancel += 1;
                ctx.out.send(socket, self.plan.server, handle, |out| self.texts[socket].cancel(out, id));
            }
            State::HangingUp => {
                own.bye += 1;
                ctx.out.send(socket, call.bye_to, handle, |out| out.extend_from_slice(&call.bye));
            }
            State::Proceeding | State::Talking | State::Over => {}
        }
        // INVITE's interval doubles for ever (Timer A); that of the others stops at T2 (Timer E).
        let is_invite = call.state == State::Calling;
        let doubled = call.interval_ns * 2;
        call.interval_ns = if is_invite { doubled } else { doubled.min(T2_NS) };
        let next_ns = (ctx.now_ns + call.interval_ns).min(call.expires_ns);
        self.wheel.set(&mut call.timer, handle, next_ns);
    }

    fn give_up(&mut self, ctx: &mut Context<'_>, handle: Handle) {
        let Some(call) = self.calls.get_mut(handle) else { return };
        let failure = match call.state {
            State::Calling => Failure::NoResponse,
            State::Proceeding => Failure::NoFinal,
            State::Cancelling if call.seen.terminated => Failure::NoCancelAnswer,
            State::Cancelling => Failure::NoTermination,
            State::Talking => Failure::NoBye,
            State::HangingUp => Failure::NoByeAnswer(Who::Caller),
            State::Over if !call.seen.callee_ended => Failure::LegMissing(Who::Callee),
            State::Over => Failure::LegMissing(Who::Target),
        };
        call.fall_silent(ctx);
        ctx.tally.end(ctx.now_ns, Some(call.failure.unwrap_or(failure)));
        self.calls.release(handle);
    }

    /// The run ends: what lives has failed.
    pub fn abandon(&mut self, ctx: &mut Context<'_>) {
        for handle in self.calls.handles() {
            let Some(call) = self.calls.get_mut(handle) else { continue };
            call.fall_silent(ctx);
            ctx.tally.end(ctx.now_ns, Some(call.failure.unwrap_or(Failure::Unfinished)));
            self.calls.release(handle);
        }
    }
}

/// One dialog towards the caller for the whole call (SIP_RULES 15): its To tag must not change.
fn check_to_tag(plan: &Plan, tags: &RandomState, call: &mut Call, response: &Message<'_>) {
    let tag = response.to_tag();
    if tag.is_empty() || !plan.check {
        return;
    }
    let digest = tags.hash_one(tag) | 1;
    if call.to_tag == 0 {
        call.to_tag = digest;
    } else if call.to_tag != digest {
        call.failure.get_or_insert(Failure::ToTagChanged);
    }
}
