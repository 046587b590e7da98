//! How a call is acknowledged, cancelled and ended: the caller's ACK, CANCEL and BYE, the callee's BYE.

use super::anchor::Round;
use super::description::Description;
use super::dialog::{Dialog, RequestLine};
use super::feature::Feature;
use super::inspect::ENDED_BY_OPERATOR;
use super::media::{MEDIA_TIMEOUT, Spoken};
use super::negotiation::Negotiation;
use super::reinvite::write_ack_body;
use super::side::Side;
use super::state::{CallAction, CallEvent, CallState, LegEvent, LegState, ReinviteEvent, call_step};
use super::write::{Body, own_response, relayed_response};
use super::{Calls, Request, Signalling};
use crate::context::{Context, Due};
use crate::keep::Kept;
use crate::mail;
use crate::sip::write::Writer;
use crate::sip::{HeaderName, Message, Method, Status};
use crate::slab::Handle;
use crate::transaction::{Exchange, ServerKey, User};

/// Why a BYE is sent, as its Reason says it (RFC 3326).
#[derive(Clone, Copy)]
pub(super) enum Cause<'a> {
    None,
    /// With the Reason of the message that caused it.
    Of(&'a Message<'a>),
    Text(&'static [u8]),
}

/// RFC 3326 with the status that a transaction's timeout counts as.
const SESSION_EXPIRED: &[u8] = b"SIP;cause=408;text=\"Session Expired\"";

impl Calls {
    /// 200 to the caller, repeated until its ACK (RFC 3261 §13.3.1.4).
    pub(super) fn answer_caller(&mut self, on: &mut Signalling, handle: Handle, answer: &Message<'_>) {
        let Some(call) = self.calls.get_mut(handle) else { return };
        if call.outstanding.is_some() {
            // RFC 3262 §3: not before the provisional response with the description is acknowledged.
            return if let Some(winner) = call.winner {
                self.hold(on, winner, answer)
            };
        }
        let status = answer.status().unwrap_or(Status::OK);
        let winner = call.winner;
        let (told, believed) = (call.anchor.told(), call.anchor.believed());
        let Ok((spoken, is_early)) = self.speak_answer(on, handle, answer) else {
            // There are no ports for what the callee offers.
            self.hang_up_winner(on, handle, Cause::None);
            return self.refuse(on, handle, (Status::SERVICE_UNAVAILABLE, mail::Cause::Failed));
        };
        let Some(call) = self.calls.get_mut(handle) else { return };
        let leg = winner.and_then(|leg| self.legs.get_mut(leg));
        let identity = leg.as_ref().map_or(0, |leg| leg.dialog.identity);
        // RFC 3261 §13.2.1: once it has an answer the caller ignores another in the 2xx.
        let told_otherwise = call.answered_by != 0 && call.answered_by != identity;
        let record = &*call;
        // What a callee has said reliably it need not say again; the caller has not heard it so.
        let early = leg.as_ref().map(|leg| &leg.early_answer).filter(|_| is_early);
        let body = match early {
            _ if told_otherwise => Body::Without,
            Some(early) if call.answered_by == 0 => Body::Kept(early, &spoken),
            _ => Body::Same,
        };
        let said = if is_early { *answer } else { spoken.in_place(answer) };
        let sent = on.transactions.respond(&mut on.context, record.transaction, status, |context, out| {
            relayed_response(context, out, record, &said, (status, None, body));
        });
        if !sent {
            // Too long for a datagram once our header fields are in it.
            self.hang_up_winner(on, handle, Cause::None);
            return self.refuse(on, handle, (Status::SERVER_INTERNAL_ERROR, mail::Cause::Failed));
        }
        call.story.answer(status);
        // With a late offer a body that the callee has not spoken before is one.
        let is_offer = call.late_offer && call.answered_by != identity && !answer.body().is_empty();
        if call.answered_by == 0 {
            call.dialog.negotiation = if is_offer { Negotiation::Sent } else { Negotiation::Stable };
        }
        let owes = call.owes_description((told_otherwise, believed), is_offer);
        if owes {
            call.owed = Description::of(&mut on.context, answer);
        }
        if let Some(leg) = leg {
            if owes && !call.owed.is_some() {
                call.owed = leg.early_answer.take();
            }
            leg.dialog.negotiation = if is_offer { Negotiation::Received } else { Negotiation::Stable };
        }
        match told_otherwise {
            true => call.anchor.unsay(told),
            false => call.anchor.believe_first(),
        }
        if let Some(winner) = winner.filter(|_| !is_offer) {
            self.agree(on, winner, (Round::Invite, true));
        }
        self.remember_description(on, Side::Caller(handle), &said);
        if is_early && !told_otherwise {
            self.remember_early_answer(on, handle);
        }
        self.await_ack(on, handle);
    }

    /// The caller was told what the winner had said before: it is what a refresh repeats.
    fn remember_early_answer(&mut self, on: &mut Signalling, handle: Handle) {
        let Some(call) = self.calls.get_mut(handle).filter(|call| call.dialog.needs_description()) else {
            return;
        };
        if let Some(leg) = call.winner.and_then(|winner| self.legs.get_mut(winner))
            && leg.early_answer.is_some()
        {
            call.dialog.description.replace(&mut on.context, leg.early_answer.take());
        }
    }

    /// What the 200 says of the session, as the caller is told it; and whether the callee has said it before,
    /// reliably, and does not say it again.
    fn speak_answer(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        answer: &Message<'_>,
    ) -> Result<(Spoken, bool), Status> {
        let side = Side::Caller(handle);
        let winner = self.calls.get(handle).and_then(|call| call.winner);
        let leg = winner.and_then(|winner| self.legs.get_mut(winner));
        let early = leg.map_or(Description::NONE, |leg| leg.early_answer.take());
        let is_early = early.is_some() && answer.body().is_empty();
        if let Some(winner) = winner.filter(|_| is_early) {
            // Another phone behind the leg may have been heard since.
            self.hear_kept(on, Side::Callee(winner), &early);
        }
        let spoken = match is_early {
            true => Ok(self.speak_kept(on, side, &early)),
            false => self.speak(on, side, answer),
        };
        match winner.and_then(|winner| self.legs.get_mut(winner)) {
            Some(leg) => leg.early_answer = early,
            None => early.release(&mut on.context),
        }
        spoken.map(|spoken| (spoken, is_early))
    }

    /// The 200 that was sent last is the caller's: it is repeated until its ACK.
    pub(super) fn await_ack(&mut self, on: &mut Signalling, handle: Handle) {
        let Some(call) = self.calls.get_mut(handle) else { return };
        on.context.metrics.calls_answered += 1;
        call.state = CallState::Answered;
        call.caller_over = false;
        call.answer = on.context.keep_last_sent().unwrap_or(Kept::NONE);
        call.answer_attempt = 0;
        call.answered_at = Some(on.context.now);
        for kept in [&mut call.invite, &mut call.head] {
            on.context.keep.release(kept.take());
        }
        let timers = on.context.settings.timers;
        call.answer_give_up = on.context.now.after_ms(timers.t1x64_ms());
        on.context.arm(&mut call.timer, on.context.now.after_ms(timers.t1_ms), Due::Call(handle));
    }

    /// The 200 to the caller is due again, or its ACK is overdue, or the call has lasted too long.
    pub(super) fn call_timer(&mut self, on: &mut Signalling, handle: Handle) {
        let Some(call) = self.calls.get(handle) else { return };
        if self.awaits_store(handle) {
            return self.store_silent(on, handle);
        }
        let event = match call.state {
            CallState::Talking if !call.limit.is_due(on.context.now) => {
                return self.session_due(on, Side::Caller(handle));
            }
            CallState::Talking => CallEvent::TooLong,
            _ if call.answer_give_up.is_due(on.context.now) => CallEvent::AckMissing,
            _ => CallEvent::AnswerDue,
        };
        self.call_event(on, handle, event, None);
    }

    /// The caller's CANCEL for an INVITE without a final response; its 200 went out already.
    pub(super) fn cancel(&mut self, on: &mut Signalling, handle: Handle, cancel: &Message<'_>) {
        self.call_event(on, handle, CallEvent::CallerCancel, Some(cancel));
    }

    /// An ACK in a dialog; `false`: nothing waits for it.
    pub(super) fn acknowledge(&mut self, on: &mut Signalling, side: Side, request: &Request<'_>) -> bool {
        let message = &request.message;
        let number = message.cseq().map(|cseq| cseq.number);
        let is_of = self.dialog(side).is_some_and(|dialog| dialog.is_of(&on.context, message));
        let Some(call) = self.call_of(side).and_then(|call| self.calls.get(call)).filter(|_| is_of) else {
            return false;
        };
        if let Side::Caller(handle) = side
            && number == Some(call.invite_cseq)
        {
            self.call_event(on, handle, CallEvent::CallerAck, Some(message));
            return true;
        }
        let Some(handle) = call.reinvite else { return false };
        let relay = self.relays.get(handle).filter(|relay| relay.from == Some(side));
        if relay.is_none_or(|relay| number != Some(relay.cseq)) {
            return false;
        }
        self.reinvite_event(on, handle, ReinviteEvent::Ack, Some(message));
        true
    }

    /// A BYE in a dialog: 200 at once, then the other side.
    pub(super) fn hang_up(
        &mut self,
        on: &mut Signalling,
        side: Side,
        request: &Request<'_>,
        key: ServerKey,
    ) -> Result<(), Status> {
        answer_bye(on, request, key);
        match side {
            Side::Caller(handle) => self.call_event(on, handle, CallEvent::CallerBye, Some(&request.message)),
            Side::Callee(handle) => self.callee_bye(on, handle, &request.message),
        }
        Ok(())
    }

    fn callee_bye(&mut self, on: &mut Signalling, handle: Handle, bye: &Message<'_>) {
        let Some(leg) = self.legs.get(handle) else { return };
        let call = leg.call;
        let wins = self.calls.get(call).is_some_and(|call| call.winner == Some(handle));
        // First the call, then the leg: the call must not vanish with its last leg before it has acted.
        if wins {
            self.call_event(on, call, CallEvent::CalleeBye, Some(bye));
        }
        self.leg_event(on, handle, LegEvent::PeerBye, None);
    }

    /// Takes the call through one transition and does what it asks for.
    pub(super) fn call_event(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        event: CallEvent,
        request: Option<&Message<'_>>,
    ) {
        let Some(call) = self.calls.get_mut(handle) else { return };
        let before = call.state;
        let (next, action) = call_step(before, event);
        call.state = next;
        let is_code = call.feature.is_some();
        call.story.take_call_event(on.context.now, (event, is_code), (before, next));
        if before != next && !matches!(next, CallState::Answered | CallState::HangupHeld) {
            call.stop_repeating(&mut on.context);
        }
        // One to a feature code ends so as it should.
        let too_long = event == CallEvent::TooLong && !is_code;
        on.context.metrics.calls_too_long += u64::from(too_long);
        let unacknowledged = event == CallEvent::AckMissing && before != CallState::Searching;
        on.context.metrics.acks_missing += u64::from(unacknowledged);
        let reinvite = call.reinvite.filter(|_| next == CallState::Ending && before != next);
        if let Some(reinvite) = reinvite {
            self.reinvite_event(on, reinvite, ReinviteEvent::CallOver, None);
        }
        let Some(call) = self.calls.get_mut(handle) else { return };
        if event == CallEvent::CallerBye {
            call.caller_over = true;
        }
        if !self.is_open(Side::Caller(handle)) {
            self.silence_call(on, handle);
        }
        let cause = match (request, event) {
            (Some(request), _) => Cause::Of(request),
            (None, CallEvent::SessionExpired) => Cause::Text(SESSION_EXPIRED),
            (None, CallEvent::MediaSilent) => Cause::Text(MEDIA_TIMEOUT),
            (None, CallEvent::HangUp) => Cause::Text(ENDED_BY_OPERATOR),
            (None, _) => Cause::None,
        };
        match action {
            CallAction::None | CallAction::Late => {}
            CallAction::Impossible => on.context.metrics.impossible_events += 1,
            CallAction::Abort => self.abort(on, handle, request),
            CallAction::GiveUp => self.give_up(on, handle, event),
            CallAction::Acknowledge => self.begin_to_talk(on, handle, request),
            CallAction::HangUpCallee => self.hang_up_winner(on, handle, cause),
            CallAction::HangUpCaller => self.bye_caller(on, handle, cause),
            CallAction::HangUpBoth => {
                self.bye_caller(on, handle, cause);
                self.hang_up_winner(on, handle, cause);
            }
            CallAction::RepeatAnswer => self.repeat_answer(on, handle),
        }
        self.remove_call_if_over(on, handle);
    }

    /// 487 to the caller, CANCEL to the leg that is tried, ACK and BYE to one whose answer waits
    /// (SIP_RULES 6).
    fn abort(&mut self, on: &mut Signalling, handle: Handle, cancel: Option<&Message<'_>>) {
        let Some(call) = self.calls.get_mut(handle) else { return };
        on.context.metrics.calls_cancelled += 1;
        let status = Status::REQUEST_TERMINATED;
        call.story.answer(status);
        let call = &*call;
        on.transactions.respond(&mut on.context, call.transaction, status, |context, out| {
            own_response(context, out, call, status, |_| {});
        });
        let reason = cancel.map_or(Kept::NONE, |cancel| keep_reason(&mut on.context, cancel));
        match self.calls.get_mut(handle) {
            Some(call) => on.context.keep.release(std::mem::replace(&mut call.cancel_reason, reason)),
            None => on.context.keep.release(reason),
        }
        self.give_legs_up(on, handle);
    }

    /// A final response though a callee may have answered: the caller never acknowledged a reliable
    /// provisional response (RFC 3262 §3), or the callee hung up before its answer went out.
    fn give_up(&mut self, on: &mut Signalling, handle: Handle, event: CallEvent) {
        let status = match event {
            CallEvent::AckMissing => {
                on.context.metrics.pracks_missing += 1;
                Status::SERVER_TIMEOUT
            }
            _ => Status::TEMPORARILY_UNAVAILABLE,
        };
        // A callee that has hung up needs no BYE.
        if event == CallEvent::CalleeBye
            && let Some(call) = self.calls.get_mut(handle)
        {
            call.winner = None;
        }
        // The call must not go before its legs.
        self.give_legs_up(on, handle);
        self.refuse(on, handle, (status, mail::Cause::Failed));
    }

    pub(super) fn give_legs_up(&mut self, on: &mut Signalling, handle: Handle) {
        self.note_fault(handle);
        self.end_search(on, handle, None);
        self.hang_up_winner(on, handle, Cause::None);
    }

    /// The caller acknowledged: so do we, and the call's own time begins.
    fn begin_to_talk(&mut self, on: &mut Signalling, handle: Handle, ack: Option<&Message<'_>>) {
        let limit_ms = on.context.settings.call_limit_ms;
        let Some(call) = self.calls.get_mut(handle) else { return };
        let limit_ms = call.feature.as_deref().map_or(limit_ms, Feature::lasts_ms);
        if limit_ms > 0 {
            call.limit = on.context.now.after_ms(limit_ms);
        }
        let winner = call.winner;
        // The ACK answers the offer of the 2xx.
        let answers = call.late_offer && call.answered_by == 0;
        // The callee's offer could not stand in the 2xx: its ACK waits for what the caller answers later.
        let leg = winner.and_then(|winner| self.legs.get(winner));
        let asked = leg.is_some_and(|leg| leg.dialog.negotiation == Negotiation::Received);
        let waits = asked && call.owed.is_some();
        if answers {
            call.dialog.negotiation = Negotiation::Stable;
            if let Some(leg) = winner.and_then(|winner| self.legs.get_mut(winner)) {
                leg.dialog.negotiation = Negotiation::Stable;
            }
        }
        if let Some(winner) = winner.filter(|_| !waits) {
            self.acknowledge_winner(on, winner, ack);
        }
        self.watch_silence(on, handle);
        self.restart_session(on, Side::Caller(handle));
        self.tell_description(on, Side::Caller(handle));
        self.hear_feature(on, handle, ack);
        self.tell_feature(on, handle);
    }

    pub(super) fn acknowledge_winner(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        ack: Option<&Message<'_>>,
    ) {
        let Some(leg) = self.legs.get_mut(handle) else { return };
        // With a late offer the caller's ACK carries the answer, which the leg's ACK must carry on.
        if leg.state == LegState::Answered {
            let (next, _) = super::state::leg_step(leg.state, LegEvent::Acknowledge);
            leg.state = next;
            self.acknowledge_leg(on, handle, ack);
        }
    }

    /// ACK to the callee's 2xx, with the body of the caller's ACK if it has one.
    pub(super) fn acknowledge_leg(&mut self, on: &mut Signalling, handle: Handle, ack: Option<&Message<'_>>) {
        let Some(leg) = self.legs.get(handle) else { return };
        let Some(transaction) = leg.transaction.filter(|_| leg.dialog.is_some()) else { return };
        let (call, side) = (leg.call, Side::Callee(handle));
        let ack = ack.filter(|ack| !ack.body().is_empty());
        let spoken = match ack {
            Some(ack) => self.take_late_answer_of(on, (Side::Caller(call), side, Round::Invite), ack),
            None => Spoken::SAME,
        };
        let ack = ack.map(|ack| spoken.in_place(ack));
        let ack = ack.as_ref();
        let Some(leg) = self.legs.get(handle) else { return };
        let (dialog, cseq) = (&leg.dialog, leg.invite_cseq);
        let to = (dialog.answer_to, ack.is_some());
        on.transactions.send_ack(&mut on.context, transaction, to, |context, out, branch| {
            dialog.write_request(context, out, RequestLine::own(Method::Ack, cseq), branch);
            write_ack_body(out, ack);
        });
        if let Some(ack) = ack {
            self.remember_description(on, side, ack);
        }
        self.restart_session(on, side);
    }

    fn hang_up_winner(&mut self, on: &mut Signalling, handle: Handle, cause: Cause<'_>) {
        let Some(winner) = self.calls.get(handle).and_then(|call| call.winner) else { return };
        let Some(leg) = self.legs.get_mut(winner) else { return };
        let unacknowledged = leg.state == LegState::Answered;
        if unacknowledged || leg.state == LegState::Confirmed {
            leg.state = LegState::Ending;
            if unacknowledged {
                self.acknowledge_leg(on, winner, None);
            }
            self.bye_leg(on, winner, cause);
        }
    }

    /// BYE to a callee, with the Reason of what caused it.
    pub(super) fn bye_leg(&mut self, on: &mut Signalling, handle: Handle, cause: Cause<'_>) {
        self.silence_leg(on, handle);
        let Some(leg) = self.legs.get_mut(handle) else { return };
        on.context.disarm(&mut leg.timer);
        let call = self.calls.get(leg.call);
        leg.story.hang_up(on.context.now, call.map(|call| &call.story));
        leg.dialog.local_cseq += 1;
        let user = User::Leg(handle);
        if !send_bye(on, user, &leg.dialog, cause) {
            self.bye_done(on, user);
        }
    }

    /// BYE to the caller.
    fn bye_caller(&mut self, on: &mut Signalling, handle: Handle, cause: Cause<'_>) {
        let Some(call) = self.calls.get_mut(handle) else { return };
        call.dialog.local_cseq += 1;
        let user = User::Call(handle);
        if !send_bye(on, user, &call.dialog, cause) {
            self.bye_done(on, user);
        }
    }

    fn repeat_answer(&mut self, on: &mut Signalling, handle: Handle) {
        let Some(call) = self.calls.get_mut(handle) else { return };
        on.context.send_kept(call.reply_to.listener, call.reply_to.destination, &call.answer);
        on.context.metrics.retransmissions_sent += 1;
        call.answer_attempt = call.answer_attempt.saturating_add(1);
        let timers = on.context.settings.timers;
        // A provisional response's interval has no cap (RFC 3262 §3).
        let interval_ms = match call.state {
            CallState::Searching => timers.doubled_ms(call.answer_attempt),
            _ => timers.answer_interval_ms(call.answer_attempt),
        };
        let deadline = on.context.now.after_ms(interval_ms).min(call.answer_give_up);
        on.context.arm(&mut call.timer, deadline, Due::Call(handle));
    }

    /// Our BYE is answered, or never will be.
    pub(super) fn bye_done(&mut self, on: &mut Signalling, user: User) {
        match user {
            User::None | User::Relay(_) => {}
            User::Leg(handle) => self.leg_event(on, handle, LegEvent::ByeDone, None),
            User::Call(handle) => {
                if let Some(call) = self.calls.get_mut(handle) {
                    call.caller_over = true;
                }
                self.remove_call_if_over(on, handle);
            }
        }
    }
}

/// Keeps the Reason lines of a CANCEL: it may have to wait for a provisional response.
pub(super) fn keep_reason(context: &mut Context, cancel: &Message<'_>) -> Kept {
    if !cancel.has(HeaderName::Reason) {
        return Kept::NONE;
    }
    let mut text = std::mem::take(&mut context.scratch);
    text.clear();
    Writer::new(&mut text).splice_headers(cancel, |name| name == HeaderName::Reason);
    let kept = context.keep.keep(&text).unwrap_or(Kept::NONE);
    context.scratch = text;
    kept
}

/// 200 to a BYE, the commonest request in a dialog: its transaction writes it again from the request.
fn answer_bye(on: &mut Signalling, request: &Request<'_>, key: ServerKey) {
    let message = &request.message;
    let Some(answer_to) = request.answer_to() else { return };
    match on.transactions.open_server(message, key, answer_to, User::None) {
        Some(handle) => {
            let request = (message, request.source);
            on.transactions.respond_plainly(&mut on.context, handle, Status::OK, request);
        }
        None => {
            on.context.metrics.transactions_not_kept += 1;
            on.reply_with_tag(request, (Status::OK, b""), b"", |_, _| {});
        }
    }
}

/// Sends a BYE; `false`: no transaction tells what becomes of it.
fn send_bye(on: &mut Signalling, user: User, dialog: &Dialog, cause: Cause<'_>) -> bool {
    if !dialog.is_some() {
        return false;
    }
    let to = (dialog.answer_to, dialog.local_cseq);
    let user = (user, Exchange::Bye);
    let sent = on.transactions.send_request(&mut on.context, user, to, |context, out, branch| {
        dialog.write_request(context, out, RequestLine::own(Method::Bye, dialog.local_cseq), branch);
        let mut writer = Writer::new(out);
        match cause {
            Cause::None => {}
            Cause::Of(cause) => writer.splice_headers(cause, |name| name == HeaderName::Reason),
            Cause::Text(reason) => writer.header(HeaderName::Reason, reason),
        }
        writer.body(b"");
    });
    on.context.metrics.transactions_not_kept += u64::from(sent.is_err());
    sent.is_ok()
}
