//! Media anchored by an engine that the services ask ([`MediaMode::Engine`]): what describes media waits at
//! the calls' door until the engine has said what the other side is to be told, and goes on with that in its
//! place. Behind the door everything is as if media passed.
//!
//! The caller's INVITE is kept by its call anyway; any other message is kept here. What the engine does not
//! take in time is refused, or stripped of what it describes where it cannot be.

use super::engine_role::party;
use super::engine_text::{Told, place, write};
use super::record::Leg;
use super::reliable::rseq_of;
use super::search::own_status;
use super::side::Side;
use super::state::{CallEvent, CallState, LegEvent};
use super::{Calls, Request, Reread, Signalling};
use crate::context::{Context, Due};
use crate::ids::Kind;
use crate::keep::Kept;
use crate::limits::{PARKED_PER_CALL_MAX, PARKED_SHARE};
use crate::mail::{Cause, Described, EngineFailed, Letter, Party, Role};
use crate::service::Failure;
use crate::settings::{MediaMode, Settings};
use crate::sip::{Index, Message, Method, Status};
use crate::slab::{Handle, Slab};
use crate::timer::TimerHandle;
use crate::transaction::{AnswerTo, ServerKey, User, Verdict};
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

/// What waits for the engine.
pub(super) struct Gate {
    parked: Slab<Parked>,
    /// For reading a parked message again; taken while it is in use.
    reread: Option<Box<Reread>>,
}

/// What a call has to do with the engine.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// It was asked for anything, so it has to be told of the end.
    is_asked: bool,
    /// What waits.
    parked: Vec<Handle>,
}

struct Parked {
    call: Handle,
    role: Role,
    party: Party,
    timer: TimerHandle,
    /// The engine was asked; else it is once another phone's answer has failed.
    is_asked: bool,
    waits: Waits,
}

enum Waits {
    /// The caller's INVITE: nobody is called yet.
    Begin,
    Request {
        message: Kept,
        key: ServerKey,
        /// Where responses go, and where it came from.
        from: AnswerTo,
    },
    Response {
        message: Kept,
        verdict: Verdict,
        from: AnswerTo,
    },
}

impl Gate {
    pub fn new(settings: &Settings, calls: u32) -> Gate {
        let is_used = settings.media.mode == MediaMode::Engine;
        Gate {
            parked: Slab::new(if is_used { calls.saturating_mul(PARKED_SHARE) } else { 0 }),
            reread: is_used.then(|| Box::new(Reread { buffer: Vec::new(), index: Index::new() })),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.parked.is_empty()
    }
}

impl Calls {
    /// Keeps a call from being begun before the engine has taken the offer; `false`: there is nothing to ask.
    pub(super) fn awaits_engine(&mut self, on: &mut Signalling, call: Handle, invite: &Message<'_>) -> bool {
        if !is_engine(&on.context) {
            return false;
        }
        let Some(place) = described(&mut on.context, invite) else { return false };
        let source = self.calls.get(call).map(|call| call.dialog.answer_to.destination.ip());
        let (Some(source), sdp) = (source, &invite.body()[place]) else { return false };
        let asked = (Role::Offer, Party::Caller, source, sdp);
        if !self.park(on, call, asked, |_| Some(Waits::Begin)) {
            self.refuse(on, call, (Status::SERVICE_UNAVAILABLE, Cause::Failed));
        }
        true
    }

    /// Keeps a request in a dialog until the engine has taken what it describes; `false`: it has nothing for
    /// the engine, or would be refused anyway.
    pub(super) fn parks_request(
        &mut self,
        on: &mut Signalling,
        request: &Request<'_>,
        key: ServerKey,
    ) -> bool {
        if !is_engine(&on.context) || request.message.body().is_empty() {
            return false;
        }
        let message = &request.message;
        let Some(side) = Side::of_tag(&on.context.mint, message.to_tag()) else { return false };
        let Some(call) = self.call_of(side).filter(|_| self.is_in_dialog(on, side, message)) else {
            return false;
        };
        if self.parked_request(call, key).is_some() {
            on.context.metrics.request_retransmissions += 1;
            return true;
        }
        let Some(role) = self.role_of_request(side, message) else { return false };
        let Some(place) = described(&mut on.context, message) else { return false };
        if let (Role::Offer, Some(other)) = (role, self.parked_offer(call)) {
            // An offer is on its way to the other side, which does not know of it yet (RFC 3261 §14.2).
            let is_own = other == party(side);
            let status = if is_own { Status::SERVER_INTERNAL_ERROR } else { Status::REQUEST_PENDING };
            on.refuse_in_dialog(request, key, status);
            return true;
        }
        let from = AnswerTo { listener: request.listener, destination: request.source };
        let asked = (role, party(side), request.source.ip(), &message.body()[place]);
        let waits = |context: &mut Context| {
            let message = context.keep.keep(message.bytes())?;
            Some(Waits::Request { message, key, from })
        };
        if !self.park(on, call, asked, waits) && message.method() != Method::Ack {
            on.refuse_in_dialog(request, key, Status::SERVICE_UNAVAILABLE);
        }
        true
    }

    /// The same for a response. One that nothing will come of goes on.
    pub(super) fn parks_response(
        &mut self,
        on: &mut Signalling,
        verdict: Verdict,
        (response, from): (&Message<'_>, AnswerTo),
    ) -> bool {
        if !is_engine(&on.context) || response.body().is_empty() {
            return false;
        }
        let is_told = response.status().is_some_and(|status| matches!(status.code(), 101..300));
        let of = if is_told { self.role_of_response(on, verdict, response) } else { None };
        let Some((call, role, party)) = of else { return false };
        let Some(place) = described(&mut on.context, response) else { return false };
        if self.is_parked(on, call, response) {
            on.context.metrics.response_retransmissions += 1;
            return true;
        }
        let is_provisional = response.status().is_some_and(|status| status.is_provisional());
        if let (Verdict::Invite { user: User::Leg(leg), .. }, true) = (verdict, is_provisional) {
            // Whatever the engine says: somebody is there, and the transaction waits for ever now.
            self.leg_event(on, leg, LegEvent::Trying, None);
        }
        let rival = self.rival(on, call, verdict);
        let is_plain = is_provisional && rseq_of(response).is_none();
        if self.is_unheard(verdict, response) || is_plain && rival.is_some() {
            // The engine would connect the caller with this one.
            self.inject_bytes(on, response.bytes(), Told::Without, |calls, on, response| {
                calls.take_response(on, verdict, (response, from));
            });
            return true;
        }
        let asked = (role, party, from.destination.ip(), &response.body()[place]);
        let waits = |context: &mut Context| {
            let message = context.keep.keep(response.bytes())?;
            Some(Waits::Response { message, verdict, from })
        };
        let is_kept = match !is_provisional && rival == Some(true) {
            // Asked now, the engine would connect the caller with whoever loses.
            true => self.lay_aside(on, call, (role, party, false), waits).is_some(),
            false => self.park(on, call, asked, waits),
        };
        if !is_kept {
            self.response_failed(on, verdict, (response.bytes(), from));
        }
        true
    }

    /// The CANCEL of a re-INVITE that waits; `false`: there is none.
    pub(super) fn cancels_parked(&mut self, on: &mut Signalling, cancel: &Request<'_>) -> bool {
        let key = ServerKey::of(&on.context.mint, &cancel.message, Method::Invite);
        let side = Side::of_tag(&on.context.mint, cancel.message.to_tag());
        let Some((call, key)) = side.and_then(|side| self.call_of(side)).zip(key) else { return false };
        let Some(parked) = self.parked_request(call, key).and_then(|ticket| self.unpark(on, ticket)) else {
            return false;
        };
        on.reply(cancel, (Status::OK, b""), |_, _| {});
        let Waits::Request { message, key, from } = parked.waits else { return true };
        self.refuse_parked(on, &message, (key, from), Status::REQUEST_TERMINATED);
        on.context.keep.release(message);
        true
    }

    /// What the engine makes of what it was asked; nobody waits for it where the call was given up.
    pub fn engine_said(
        &mut self,
        on: &mut Signalling,
        ticket: Handle,
        outcome: Result<Box<[u8]>, EngineFailed>,
    ) {
        match self.unpark(on, ticket) {
            Some(parked) => self.go_on(on, parked, outcome),
            None => on.context.metrics.late_mail += 1,
        }
    }

    /// The engine has not said anything in time.
    pub(super) fn engine_silent(&mut self, on: &mut Signalling, ticket: Handle) {
        if let Some(parked) = self.unpark(on, ticket) {
            self.go_on(on, parked, Err(EngineFailed::Unavailable));
        }
    }

    /// A call is over: the engine may forget it.
    pub(super) fn leave_engine(&self, on: &mut Signalling, call: Handle, asked: &Asked) {
        if asked.is_asked {
            let session = session(&on.context, call);
            on.context.outbox.post(Letter::EngineOver { session });
        }
    }

    /// Asks the engine and lets something wait for what it says; `false`: there is no room.
    fn park(
        &mut self,
        on: &mut Signalling,
        call: Handle,
        (role, party, source, sdp): (Role, Party, IpAddr, &[u8]),
        waits: impl FnOnce(&mut Context) -> Option<Waits>,
    ) -> bool {
        let Some(ticket) = self.lay_aside(on, call, (role, party, true), waits) else { return false };
        let described = Described { role, party, source, sdp: sdp.into() };
        let session = session(&on.context, call);
        on.context.outbox.post(Letter::Engine { ticket, session, described });
        true
    }

    fn lay_aside(
        &mut self,
        on: &mut Signalling,
        call: Handle,
        (role, party, is_asked): (Role, Party, bool),
        waits: impl FnOnce(&mut Context) -> Option<Waits>,
    ) -> Option<Handle> {
        let ticket = self.gate.parked.next_handle()?;
        let record = self.calls.get_mut(call)?;
        if record.asked.parked.len() >= PARKED_PER_CALL_MAX {
            return None;
        }
        let waits = waits(&mut on.context)?;
        let mut parked = Parked { call, role, party, timer: TimerHandle::NONE, is_asked, waits };
        let deadline = on.context.now.after_ms(on.context.settings.media.wait_ms);
        on.context.arm(&mut parked.timer, deadline, Due::Engine(ticket));
        record.asked.is_asked = true;
        record.asked.parked.push(ticket);
        // The handle was free above.
        let _ = self.gate.parked.insert(parked);
        Some(ticket)
    }

    /// What was laid aside without asking goes on, now that another phone's answer has won or failed.
    fn release_rivals(&mut self, on: &mut Signalling, call: Handle) {
        loop {
            let is_answered = |(_, parked): (_, &Parked)| parked.is_asked && is_answer(on, parked);
            let laid_aside = self.parked_of(call).find(|(_, parked)| !parked.is_asked);
            let ticket = laid_aside.map(|(ticket, _)| ticket);
            let ticket = ticket.filter(|_| !self.parked_of(call).any(is_answered));
            let waits = ticket.and_then(|ticket| self.unpark(on, ticket)).map(|parked| parked.waits);
            let Some(Waits::Response { message, verdict, from }) = waits else { return };
            let bytes = on.context.keep.bytes(&message).to_vec();
            on.context.keep.release(message);
            self.inject_bytes(on, &bytes, Told::Same, |calls, on, response| {
                if !calls.parks_response(on, verdict, (response, from)) {
                    calls.take_anchored(on, verdict, (response, from));
                }
            });
        }
    }

    fn unpark(&mut self, on: &mut Signalling, ticket: Handle) -> Option<Parked> {
        let mut parked = self.gate.parked.remove(ticket)?;
        on.context.disarm(&mut parked.timer);
        if let Some(call) = self.calls.get_mut(parked.call) {
            call.asked.parked.retain(|&other| other != ticket);
        }
        Some(parked)
    }

    /// What waited goes on, with what the engine said.
    fn go_on(&mut self, on: &mut Signalling, parked: Parked, outcome: Result<Box<[u8]>, EngineFailed>) {
        on.context.metrics.media_engine_failures += u64::from(outcome.is_err());
        let call = parked.call;
        match parked.waits {
            Waits::Begin => self.begin_anchored(on, call, outcome),
            Waits::Request { message, key, from } => {
                let bytes = on.context.keep.bytes(&message).to_vec();
                let failed = match outcome {
                    Err(failed) => Some(failed),
                    Ok(sdp) => {
                        let done = self.inject_bytes(on, &bytes, Told::New(&sdp), |calls, on, message| {
                            calls.enter_late(on, &request(message, from), key);
                        });
                        if done.is_some() { None } else { Some(EngineFailed::Refused) }
                    }
                };
                if let Some(failed) = failed {
                    self.request_failed(on, call, (&message, failed), (key, from));
                }
                on.context.keep.release(message);
            }
            Waits::Response { message, verdict, from } => {
                let bytes = on.context.keep.bytes(&message).to_vec();
                on.context.keep.release(message);
                let told = outcome.as_ref().ok().map(|sdp| Told::New(sdp));
                let taken = told.and_then(|told| {
                    self.inject_bytes(on, &bytes, told, |calls, on, response| {
                        calls.take_anchored(on, verdict, (response, from));
                    })
                });
                if taken.is_none() {
                    self.response_failed(on, verdict, (&bytes, from));
                }
                self.release_rivals(on, call);
            }
        }
    }

    /// The caller's offer is with the engine: whoever is called gets the engine's in its place.
    fn begin_anchored(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        outcome: Result<Box<[u8]>, EngineFailed>,
    ) {
        let call = self.calls.get_mut(handle).filter(|call| call.state == CallState::Searching);
        let Some(call) = call else {
            on.context.metrics.late_mail += 1;
            return;
        };
        let sdp = match outcome {
            Ok(sdp) => sdp,
            Err(failed) => return self.refuse(on, handle, (refusal(failed), Cause::Failed)),
        };
        let kept = call.invite.take();
        let bytes = on.context.keep.bytes(&kept).to_vec();
        on.context.keep.release(kept);
        let kept = self.inject_bytes(on, &bytes, Told::New(&sdp), |_, on, invite| {
            on.context.keep.keep(invite.bytes()).ok_or(Status::SERVICE_UNAVAILABLE)
        });
        let kept = match kept.unwrap_or(Err(Status::MESSAGE_TOO_LARGE)) {
            Ok(kept) => kept,
            Err(status) => return self.refuse(on, handle, (status, Cause::Failed)),
        };
        let Some(call) = self.calls.get_mut(handle) else { return on.context.keep.release(kept) };
        call.invite = kept;
        let directory = Arc::clone(&on.context.directory);
        let view = directory.read();
        let Some(called) = self.calls.get(handle).and_then(|call| view.get(call.called(&on.context))) else {
            // The number was taken away meanwhile.
            let cause = Cause::NotRegistered;
            return self.refuse(on, handle, (own_status(&Failure::NotRegistered), cause));
        };
        self.with_invite(on, handle, |calls, on, invite| calls.call_first(on, handle, called, invite));
    }

    /// A request goes on. What its sender asked while it waited does not make it one out of order (RFC 3261
    /// §12.2.2).
    fn enter_late(&mut self, on: &mut Signalling, request: &Request<'_>, key: ServerKey) {
        let side = Side::of_tag(&on.context.mint, request.message.to_tag());
        let number = request.message.cseq().map(|cseq| cseq.number);
        let mut last = None;
        if let Some(dialog) = side.and_then(|side| self.dialog_mut(side)) {
            last = dialog.remote_cseq;
            dialog.remote_cseq = last.min(number);
        }
        self.handle_in_dialog(on, request, key);
        if let Some(dialog) = side.and_then(|side| self.dialog_mut(side)) {
            dialog.remote_cseq = dialog.remote_cseq.max(last);
        }
    }

    /// A response goes on. One that comes back to a leg which has gone meanwhile is nobody's.
    fn take_anchored(
        &mut self,
        on: &mut Signalling,
        verdict: Verdict,
        (response, from): (&Message<'_>, AnswerTo),
    ) {
        let is_success = response.status().is_some_and(|status| status.is_success());
        match verdict {
            Verdict::Invite { user: User::Leg(leg), transaction }
                if is_success && self.legs.get(leg).is_none() =>
            {
                self.orphan_answer(on, (transaction, true, 0), (response, from));
            }
            _ => self.take_response(on, verdict, (response, from)),
        }
    }

    /// What a request describes the engine has not taken: the request is refused. An ACK cannot be: its call
    /// ends, whose callee would wait for the answer in vain.
    fn request_failed(
        &mut self,
        on: &mut Signalling,
        call: Handle,
        (message, failed): (&Kept, EngineFailed),
        (key, from): (ServerKey, AnswerTo),
    ) {
        let bytes = on.context.keep.bytes(message).to_vec();
        if bytes.starts_with(b"ACK ") {
            self.inject_bytes(on, &bytes, Told::Without, |calls, on, message| {
                calls.enter_late(on, &request(message, from), key);
            });
            return self.call_event(on, call, CallEvent::DialogLost, None);
        }
        self.refuse_parked(on, message, (key, from), refusal(failed));
    }

    fn refuse_parked(
        &mut self,
        on: &mut Signalling,
        message: &Kept,
        (key, from): (ServerKey, AnswerTo),
        status: Status,
    ) {
        let bytes = on.context.keep.bytes(message).to_vec();
        self.inject_bytes(on, &bytes, Told::Same, |_, on, message| {
            on.refuse_in_dialog(&request(message, from), key, status);
        });
    }

    /// What a response describes the engine has not taken.
    fn response_failed(&mut self, on: &mut Signalling, verdict: Verdict, (bytes, from): (&[u8], AnswerTo)) {
        let goes_on = self.inject_bytes(on, bytes, Told::Same, |calls, on, response| {
            let is_success = response.status().is_some_and(|status| status.is_success());
            match verdict {
                // A reliable one comes again (RFC 3262 §3).
                Verdict::Invite { user: User::Leg(_), .. } if rseq_of(response).is_some() => false,
                Verdict::Invite { user: User::Leg(leg), .. } if is_success => {
                    calls.answer_failed(on, leg);
                    calls.take_anchored(on, verdict, (response, from));
                    false
                }
                Verdict::Invite { user: User::Relay(relay), .. }
                | Verdict::Final { user: User::Relay(relay), .. }
                    if is_success =>
                {
                    !calls.relay_unanchored(on, relay)
                }
                _ => true,
            }
        });
        if goes_on == Some(true) {
            self.inject_bytes(on, bytes, Told::Without, |calls, on, response| {
                calls.take_anchored(on, verdict, (response, from));
            });
        }
    }

    /// A leg's answer is of no use without the engine: the caller is refused, and the legs are given up.
    fn answer_failed(&mut self, on: &mut Signalling, leg: Handle) {
        let Some(call) = self.legs.get(leg).filter(|leg| leg.is_tried()).map(|leg| leg.call) else { return };
        let searches =
            |call: &super::record::Call| call.state == CallState::Searching && call.winner.is_none();
        if self.calls.get(call).is_some_and(searches) {
            self.give_legs_up(on, call);
            self.refuse(on, call, (Status::SERVICE_UNAVAILABLE, Cause::Failed));
        }
    }

    /// Whether another phone's response is with the engine; `true`: its answer to the INVITE.
    fn rival(&self, on: &Signalling, call: Handle, verdict: Verdict) -> Option<bool> {
        let Verdict::Invite { user: User::Leg(leg), .. } = verdict else { return None };
        let rivals = self.parked_of(call).filter_map(|(_, parked)| match parked.waits {
            Waits::Response { verdict: Verdict::Invite { user: User::Leg(other), .. }, .. }
                if other != leg =>
            {
                let is_answer = is_answer(on, parked);
                let is_tried = self.legs.get(other).is_some_and(Leg::is_tried);
                (is_answer || is_tried).then_some(is_answer)
            }
            _ => None,
        });
        rivals.reduce(|one, other| one || other)
    }

    /// Whether a message like this one waits already.
    fn is_parked(&self, on: &Signalling, call: Handle, response: &Message<'_>) -> bool {
        self.parked_of(call).any(|(_, parked)| {
            matches!(&parked.waits, Waits::Response { message, .. }
                if on.context.keep.bytes(message) == response.bytes())
        })
    }

    fn parked_request(&self, call: Handle, key: ServerKey) -> Option<Handle> {
        let is_same =
            |parked: &Parked| matches!(parked.waits, Waits::Request { key: other, .. } if other == key);
        self.parked_of(call).find(|(_, parked)| is_same(parked)).map(|(ticket, _)| ticket)
    }

    /// Whose offer waits, of those that a request made.
    fn parked_offer(&self, call: Handle) -> Option<Party> {
        let is_offer =
            |parked: &Parked| parked.role == Role::Offer && matches!(parked.waits, Waits::Request { .. });
        self.parked_of(call).find(|(_, parked)| is_offer(parked)).map(|(_, parked)| parked.party)
    }

    fn parked_of(&self, call: Handle) -> impl Iterator<Item = (Handle, &Parked)> {
        let tickets = self.calls.get(call).map_or(&[][..], |call| &call.asked.parked);
        tickets.iter().filter_map(|&ticket| Some((ticket, self.gate.parked.get(ticket)?)))
    }

    /// Reads bytes as a message with what it is told, and hands it on; `None`: it would be longer than a
    /// datagram.
    fn inject_bytes<R>(
        &mut self,
        on: &mut Signalling,
        bytes: &[u8],
        told: Told<'_>,
        act: impl FnOnce(&mut Calls, &mut Signalling, &Message<'_>) -> R,
    ) -> Option<R> {
        let mut reread = self.gate.reread.take()?;
        let mut length = reread.read(|out| out.extend_from_slice(bytes));
        if !matches!(told, Told::Same) {
            length = length.and_then(|length| {
                let mut text = Vec::with_capacity(length + 256);
                write(&mut text, &reread.index.message(&reread.buffer[..length]), told);
                reread.read(|out| out.extend_from_slice(&text))
            });
        }
        let done = length.map(|length| act(self, on, &reread.index.message(&reread.buffer[..length])));
        self.gate.reread = Some(reread);
        done
    }
}

fn is_answer(on: &Signalling, parked: &Parked) -> bool {
    matches!(&parked.waits, Waits::Response { message, .. }
        if on.context.keep.bytes(message).starts_with(b"SIP/2.0 2"))
}

fn request<'m>(message: &Message<'m>, from: AnswerTo) -> Request<'m> {
    Request { message: *message, source: from.destination, listener: from.listener }
}

/// Whether media is the engine's.
fn is_engine(context: &Context) -> bool {
    context.settings.media.mode == MediaMode::Engine
}

/// Where a message describes media; a body that does not passes, and is counted.
fn described(context: &mut Context, message: &Message<'_>) -> Option<Range<usize>> {
    let place = place(message);
    context.metrics.media_bodies_passed += u64::from(place.is_none() && !message.body().is_empty());
    place
}

fn refusal(failed: EngineFailed) -> Status {
    match failed {
        EngineFailed::Unavailable => Status::SERVICE_UNAVAILABLE,
        EngineFailed::Refused => Status::NOT_ACCEPTABLE_HERE,
    }
}

/// What the engine knows a call by: our tag in the caller's dialog, which no other call ever has.
fn session(context: &Context, call: Handle) -> Box<str> {
    let tag = context.mint.tag(Kind::Call, call);
    // Never anything else than letters and digits.
    String::from_utf8_lossy(&tag).into()
}
