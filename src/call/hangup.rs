//! How a call is acknowledged, cancelled and ended: the caller's ACK, CANCEL and BYE, the callee's BYE.

use super::state::{CallAction, CallEvent, CallState, LegEvent, LegState, call_step};
use super::write::relayed_response;
use super::{Calls, Request, Signalling};
use crate::context::Due;
use crate::keep::Kept;
use crate::sip::write::Writer;
use crate::sip::{HeaderName, Message, Method, Status};
use crate::slab::Handle;
use crate::transaction::{AnswerTo, Exchange, ServerKey, User, reply};

/// Which side of the call a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Caller(Handle),
    Callee(Handle),
}

impl Calls {
    /// 200 to the caller, repeated until its ACK (RFC 3261 §13.3.1.4).
    pub(super) fn answer_caller(&mut self, on: &mut Signalling, handle: Handle, answer: &Message<'_>) {
        let Some(call) = self.calls.get_mut(handle) else { return };
        let status = answer.status().unwrap_or(Status::OK);
        let record = &*call;
        let sent = on.transactions.respond(&mut on.context, record.transaction, status, |context, out| {
            relayed_response(context, out, record, answer, status);
        });
        if !sent {
            // Too long for a datagram once our header fields are in it.
            self.hang_up_winner(on, handle, None);
            return self.refuse(on, handle, Status::SERVER_INTERNAL_ERROR);
        }
        on.context.metrics.calls_answered += 1;
        call.answer = on.context.keep_last_sent().unwrap_or(Kept::NONE);
        call.state = CallState::Answered;
        call.caller_over = false;
        for kept in [&mut call.invite, &mut call.head, &mut call.chain.numbers, &mut call.chain.diversions] {
            on.context.keep.release(kept.take());
        }
        let timers = on.context.settings.timers;
        call.answer_give_up = on.context.now.after_ms(timers.t1x64_ms());
        on.context.arm(&mut call.timer, on.context.now.after_ms(timers.t1_ms), Due::Call(handle));
    }

    /// The 200 to the caller is due again, or its ACK is overdue, or the call has lasted too long.
    pub(super) fn call_timer(&mut self, on: &mut Signalling, handle: Handle) {
        let Some(call) = self.calls.get(handle) else { return };
        let event = match call.state {
            CallState::Talking => CallEvent::TooLong,
            _ if call.answer_give_up.is_due(on.context.now) => CallEvent::AckMissing,
            _ => CallEvent::AnswerDue,
        };
        self.call_event(on, handle, event, None);
    }

    /// The caller's CANCEL for an INVITE without a final response; its 200 went out already.
    pub fn cancel(&mut self, on: &mut Signalling, handle: Handle) {
        self.call_event(on, handle, CallEvent::CallerCancel, None);
    }

    /// An ACK in a dialog; `false`: there is no such dialog.
    pub fn acknowledge(&mut self, on: &mut Signalling, side: Side, request: &Request<'_>) -> bool {
        let Side::Caller(handle) = side else { return false };
        let Some(call) = self.calls.get(handle) else { return false };
        let number = request.message.cseq().map(|cseq| cseq.number);
        if !call.dialog.is_of(&on.context, &request.message) || number != Some(call.invite_cseq) {
            return false;
        }
        self.call_event(on, handle, CallEvent::CallerAck, Some(&request.message));
        true
    }

    /// A BYE in a dialog: 200 at once, then the other side.
    ///
    /// # Errors
    /// The status to refuse it with; nothing was sent then.
    pub fn hang_up(
        &mut self,
        on: &mut Signalling,
        side: Side,
        request: &Request<'_>,
        key: ServerKey,
    ) -> Result<(), Status> {
        let dialog = match side {
            Side::Caller(handle) => {
                self.calls.get_mut(handle).filter(|call| call.has_dialog()).map(|call| &mut call.dialog)
            }
            Side::Callee(handle) => self
                .legs
                .get_mut(handle)
                .filter(|leg| {
                    matches!(leg.state, LegState::Answered | LegState::Confirmed | LegState::Ending)
                })
                .map(|leg| &mut leg.dialog),
        };
        let dialog = dialog
            .filter(|dialog| dialog.is_of(&on.context, &request.message))
            .ok_or(Status::CALL_DOES_NOT_EXIST)?;
        let number = request.message.cseq().map(|cseq| cseq.number);
        // RFC 3261 §12.2.2: out of order.
        if dialog.remote_cseq.is_some_and(|last| number < Some(last)) {
            return Err(Status::SERVER_INTERNAL_ERROR);
        }
        dialog.remote_cseq = number;
        answer_in_dialog(on, request, key, Status::OK);
        match side {
            Side::Caller(handle) => self.call_event(on, handle, CallEvent::CallerBye, Some(&request.message)),
            Side::Callee(handle) => self.callee_bye(on, handle, &request.message),
        }
        Ok(())
    }

    /// Whether a request belongs to a dialog of ours that lives.
    #[must_use]
    pub fn knows(&self, on: &Signalling, side: Side, message: &Message<'_>) -> bool {
        match side {
            Side::Caller(handle) => {
                self.calls.get(handle).filter(|call| call.has_dialog()).map(|call| &call.dialog)
            }
            Side::Callee(handle) => self.legs.get(handle).map(|leg| &leg.dialog),
        }
        .is_some_and(|dialog| dialog.is_of(&on.context, message))
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
        if before != next && matches!(next, CallState::Talking | CallState::Ending) {
            on.context.keep.release(call.answer.take());
            on.context.disarm(&mut call.timer);
            let limit_ms = on.context.settings.call_limit_ms;
            if next == CallState::Talking && limit_ms > 0 {
                on.context.arm(&mut call.timer, on.context.now.after_ms(limit_ms), Due::Call(handle));
            }
        }
        on.context.metrics.calls_too_long += u64::from(event == CallEvent::TooLong);
        if event == CallEvent::CallerBye {
            call.caller_over = true;
        }
        on.context.metrics.acks_missing += u64::from(event == CallEvent::AckMissing);
        match action {
            CallAction::None | CallAction::Late => {}
            CallAction::Impossible => on.context.metrics.impossible_events += 1,
            CallAction::Abort => self.abort(on, handle),
            CallAction::Acknowledge => {
                if let Some(winner) = call.winner {
                    self.acknowledge_winner(on, winner, request);
                }
            }
            CallAction::HangUpCallee => self.hang_up_winner(on, handle, request),
            CallAction::HangUpCaller => self.bye_caller(on, handle, request),
            CallAction::HangUpBoth => {
                self.bye_caller(on, handle, None);
                self.hang_up_winner(on, handle, None);
            }
            CallAction::RepeatAnswer => self.repeat_answer(on, handle),
        }
        self.remove_call_if_over(on, handle);
    }

    /// 487 to the caller, CANCEL to every leg that is tried (SIP_RULES 6).
    fn abort(&mut self, on: &mut Signalling, handle: Handle) {
        let Some(call) = self.calls.get(handle) else { return };
        on.context.metrics.calls_cancelled += 1;
        on.transactions.respond(
            &mut on.context,
            call.transaction,
            Status::REQUEST_TERMINATED,
            |context, out| {
                super::write::own_response(context, out, call, Status::REQUEST_TERMINATED, |_| {});
            },
        );
        if let Some(current) = call.current {
            self.leg_event(on, current, LegEvent::Cancel, None);
        }
    }

    fn acknowledge_winner(&mut self, on: &mut Signalling, handle: Handle, ack: Option<&Message<'_>>) {
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
        let Some(transaction) = leg.transaction else { return };
        let dialog = &leg.dialog;
        let cseq = super::write::INVITE_CSEQ;
        let has_body = ack.is_some_and(|ack| !ack.body().is_empty());
        let to = (dialog.answer_to, has_body);
        on.transactions.send_ack(&mut on.context, transaction, to, |context, out, branch| {
            dialog.write_request(context, out, (Method::Ack, cseq), branch);
            let mut writer = Writer::new(out);
            match ack {
                Some(ack) if !ack.body().is_empty() => {
                    writer.splice_headers(ack, is_content);
                    writer.body(ack.body());
                }
                _ => writer.body(b""),
            }
        });
        self.arm_refresh(on, handle);
    }

    fn hang_up_winner(&mut self, on: &mut Signalling, handle: Handle, bye: Option<&Message<'_>>) {
        let Some(winner) = self.calls.get(handle).and_then(|call| call.winner) else { return };
        let Some(leg) = self.legs.get_mut(winner) else { return };
        let unacknowledged = leg.state == LegState::Answered;
        if unacknowledged || leg.state == LegState::Confirmed {
            leg.state = LegState::Ending;
            if unacknowledged {
                self.acknowledge_leg(on, winner, None);
            }
            self.bye_leg(on, winner, bye);
        }
    }

    /// BYE to a callee, with the Reason of the BYE that caused it.
    pub(super) fn bye_leg(&mut self, on: &mut Signalling, handle: Handle, cause: Option<&Message<'_>>) {
        let Some(leg) = self.legs.get_mut(handle) else { return };
        on.context.disarm(&mut leg.timer);
        leg.dialog.local_cseq += 1;
        let user = User::Leg(handle);
        if !send_bye(on, user, &leg.dialog, cause) {
            self.bye_done(on, user);
        }
    }

    /// BYE to the caller.
    fn bye_caller(&mut self, on: &mut Signalling, handle: Handle, cause: Option<&Message<'_>>) {
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
        let interval_ms = timers.t1_ms.saturating_mul(1 << call.answer_attempt.min(16)).min(timers.t2_ms);
        let deadline = on.context.now.after_ms(interval_ms).min(call.answer_give_up);
        on.context.arm(&mut call.timer, deadline, Due::Call(handle));
    }

    /// Our BYE is answered, or never will be.
    pub(super) fn bye_done(&mut self, on: &mut Signalling, user: User) {
        match user {
            User::None => {}
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

/// Sends the response to a request in a dialog, by a transaction of its own that answers repetitions.
fn answer_in_dialog(on: &mut Signalling, request: &Request<'_>, key: ServerKey, status: Status) {
    let message = &request.message;
    let Some(via) = message.top_via() else { return };
    let destination = reply::destination(&via, request.source);
    let answer_to = AnswerTo { listener: request.listener, destination };
    match on.transactions.open_server(message, key, answer_to, User::None) {
        Some(handle) => {
            let request = (message, request.source);
            on.transactions.respond_plainly(&mut on.context, handle, status, request);
        }
        None => {
            on.context.metrics.transactions_not_kept += 1;
            on.context.send(answer_to.listener, answer_to.destination, |out| {
                reply::write(out, message, request.source, (status, b""), b"", |_| {});
            });
        }
    }
}

/// Sends a BYE; `false`: no transaction tells what becomes of it.
fn send_bye(
    on: &mut Signalling,
    user: User,
    dialog: &super::dialog::Dialog,
    cause: Option<&Message<'_>>,
) -> bool {
    if !dialog.is_some() {
        return false;
    }
    let to = (dialog.answer_to, dialog.local_cseq);
    let user = (user, Exchange::Bye);
    let sent = on.transactions.send_request(&mut on.context, user, to, |context, out, branch| {
        dialog.write_request(context, out, (Method::Bye, dialog.local_cseq), branch);
        let mut writer = Writer::new(out);
        if let Some(cause) = cause {
            writer.splice_headers(cause, |name| name == HeaderName::Reason);
        }
        writer.body(b"");
    });
    on.context.metrics.transactions_not_kept += u64::from(sent.is_err());
    sent.is_ok()
}

fn is_content(name: HeaderName) -> bool {
    use HeaderName as H;
    matches!(
        name,
        H::ContentType | H::ContentEncoding | H::ContentDisposition | H::ContentLanguage | H::MimeVersion
    )
}
