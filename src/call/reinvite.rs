//! re-INVITE: an offer within the call, passed on from either side to the other (SIP_RULES 18), and our own,
//! which refreshes a session where the peer takes no UPDATE (RFC 4028 §7.4).

use super::anchor::Round;
use super::description::Description;
use super::dialog::{Dialog, RequestLine};
use super::hangup::keep_reason;
use super::identity::Passage;
use super::media::{Spoken, within_call};
use super::negotiation::{Negotiation, Refusal, pass_offer};
use super::progress::acknowledge;
use super::relay::{Relay, Way, passed_line};
use super::session::{REFRESH_RETRY_MS, lists};
use super::side::Side;
use super::state::{CallEvent, CallState, ReinviteAction, ReinviteEvent, ReinviteState, reinvite_step};
use super::write::{SUPPORTED, is_content, passed_status, relayed_request};
use super::{Calls, Request, Signalling};
use crate::clock::Deadline;
use crate::context::{Context, Due};
use crate::keep::Kept;
use crate::settings::AckPolicy;
use crate::signalling::ALLOW;
use crate::sip::write::Writer;
use crate::sip::{HeaderName, Message, Method, Status};
use crate::slab::Handle;
use crate::timer::TimerHandle;
use crate::transaction::{AnswerTo, Exchange, MAX_FORWARDS, ServerKey, User};

/// 491: an offer is on its way to the asker (RFC 3261 §14.2).
const GLARE: Status = Status::REQUEST_PENDING;

/// 500 with Retry-After: the asker's last one is not over yet.
const BUSY: Status = Status::SERVER_INTERNAL_ERROR;

/// What a re-INVITE needs besides what every relay does.
#[derive(Debug)]
pub(super) struct Reinvite {
    pub state: ReinviteState,
    /// Our client transaction.
    pub client: Option<Handle>,
    /// Its CSeq number.
    own_cseq: u32,
    /// The INVITE had no body: the offer comes in the 2xx and the answer in the ACK.
    pub late_offer: bool,
    /// The other side's 2xx has had its ACK.
    acknowledged: bool,
    /// The Reason lines of the asker's CANCEL.
    reason: Kept,
    /// It has rung for too long: that is what the asker is told.
    rang_out: bool,
    /// The asker takes no provisional response that is not reliable, and we send no other.
    silent: bool,
    /// Where it went.
    sent_to: Option<AnswerTo>,
    timer: TimerHandle,
    /// The 2xx, until its ACK.
    answer: Kept,
    answer_attempt: u8,
    answer_give_up: Deadline,
    /// The offer: the other side's session refreshes may have to repeat it.
    offered: Description,
}

impl Reinvite {
    fn new(late_offer: bool, offered: Description) -> Reinvite {
        Reinvite {
            state: ReinviteState::Calling,
            client: None,
            own_cseq: 0,
            late_offer,
            acknowledged: false,
            reason: Kept::NONE,
            rang_out: false,
            silent: false,
            sent_to: None,
            timer: TimerHandle::NONE,
            answer: Kept::NONE,
            answer_attempt: 0,
            answer_give_up: Deadline::from_ms(0),
            offered,
        }
    }

    pub fn release(mut self, context: &mut Context) {
        context.disarm(&mut self.timer);
        context.keep.release(self.answer);
        context.keep.release(self.reason);
        self.offered.release(context);
    }
}

impl Calls {
    /// An INVITE in a dialog: 100 to the asker, INVITE to the other side.
    ///
    /// # Errors
    /// The status to refuse it with; nothing was sent then.
    pub(super) fn reinvite(
        &mut self,
        on: &mut Signalling,
        side: Side,
        request: &Request<'_>,
        key: ServerKey,
    ) -> Result<(), Status> {
        let way = self.may_reinvite(side)?;
        let sides = [Some(side), Some(way.to)];
        self.begin_offer(on, sides);
        let told = self.told(way.to);
        let heard = self.hear_request(on, (side, Round::Later), request);
        let spoken = heard.and_then(|()| self.speak(on, way.to, &request.message)).map_err(within_call);
        let opened = spoken.and_then(|spoken| Ok((self.open_relay(on, way, request, key)?, spoken)));
        let (handle, spoken) = opened.inspect_err(|_| {
            self.unsay(way.to, told);
            self.disagree(on, sides);
        })?;
        let message = &spoken.in_place(&request.message);
        self.respond_relay(on, handle, Status::TRYING, None);
        let late_offer = message.body().is_empty();
        let (here, there) = match late_offer {
            false => (Negotiation::Received, Negotiation::Sent),
            true => (Negotiation::Sent, Negotiation::Received),
        };
        self.open_offer(on, handle, (here, there), sides);
        if let Some(dialog) = self.dialog_mut(side) {
            dialog.takes_update |= lists(message, HeaderName::Allow, b"UPDATE");
        }
        let offered = Description::of(&mut on.context, message);
        let mut reinvite = Reinvite::new(late_offer, offered);
        reinvite.silent = lists(message, HeaderName::Require, b"100rel");
        let hops = passed_line(message, 0).max_forwards;
        let sent = self.send_reinvite(on, (handle, way.to), reinvite, hops, |context, writer, dialog| {
            let ends = (request.source, dialog.answer_to.destination);
            let passage = Passage::in_dialog(&context.settings.auth, message, ends);
            relayed_request(writer, message, (dialog.session, passage), None);
        });
        if let Err(status) = sent {
            self.unsay(way.to, told);
            self.respond_relay(on, handle, status, None);
            self.remove_relay(on, handle);
        }
        Ok(())
    }

    /// Whether a re-INVITE may pass now (RFC 3261 §14.2).
    pub(super) fn may_reinvite(&self, side: Side) -> Result<Way, Status> {
        let call = self.call_of(side).ok_or(Status::CALL_DOES_NOT_EXIST)?;
        let record = self.calls.get(call).ok_or(Status::CALL_DOES_NOT_EXIST)?;
        if let Some(relay) = record.reinvite.and_then(|relay| self.relays.get(relay)) {
            return Err(if relay.from == Some(side) { BUSY } else { GLARE });
        }
        if !self.is_established(call) {
            // The caller's first INVITE is not over: its own fault if it is the caller who asks.
            let early = matches!(record.state, CallState::Searching | CallState::Answered);
            return Err(match side {
                _ if !early => self.absence(call),
                Side::Caller(_) => BUSY,
                Side::Callee(_) => GLARE,
            });
        }
        let way = self.way_from(side)?;
        self.may_offer(way).map(|()| way)
    }

    /// Whether an offer may pass now.
    pub(super) fn may_offer(&self, way: Way) -> Result<(), Status> {
        let (Some(here), Some(there)) = (self.dialog(way.from), self.dialog(way.to)) else {
            return Err(Status::CALL_DOES_NOT_EXIST);
        };
        pass_offer(here.negotiation, there.negotiation).map_err(|refusal| match refusal {
            Refusal::Glare => GLARE,
            Refusal::Busy => BUSY,
        })?;
        // RFC 3311 §5.1: not before the PRACK for what was described last.
        let owes_prack = self.calls.get(way.call).is_some_and(|call| call.outstanding.is_some());
        if owes_prack { Err(GLARE) } else { Ok(()) }
    }

    /// An offer of our own with this description, by UPDATE where the peer takes it: to refresh a session, or
    /// to tell the caller of another one than it was told before. `false`: another offer or INVITE is on its
    /// way, or there is no room.
    pub(super) fn own_offer(&mut self, on: &mut Signalling, side: Side, description: &Description) -> bool {
        let (Some(call), Some(dialog)) = (self.call_of(side), self.dialog(side)) else { return false };
        let takes_update = dialog.takes_update;
        let is_free = self.calls.get(call).is_some_and(|call| call.reinvite.is_none())
            && dialog.negotiation == Negotiation::Stable
            && on.transactions.has_room_for(1);
        if !is_free || !description.is_some() {
            return false;
        }
        self.begin_offer(on, [Some(side), None]);
        let told = self.told(side);
        let spoken = self.speak_kept(on, side, description);
        let Some(dialog) = self.dialog(side) else { return false };
        let relay = Relay {
            call,
            from: None,
            to: side,
            dialogs: [0, self.identity(side)],
            method: if takes_update { Method::Update } else { Method::Invite },
            server: None,
            answer_to: dialog.answer_to,
            head: Kept::NONE,
            contact: 0,
            negotiates: false,
            target: Kept::NONE,
            session: dialog.session,
            cseq: 0,
            reinvite: None,
        };
        let Ok(handle) = self.relays.insert(relay) else {
            self.unsay(side, told);
            self.disagree(on, [Some(side), None]);
            return false;
        };
        self.open_offer(on, handle, (Negotiation::Stable, Negotiation::Sent), [Some(side), None]);
        let content = |context: &Context, writer: &mut Writer<'_>, dialog: &Dialog| {
            writer.header(HeaderName::Allow, ALLOW);
            writer.header(HeaderName::Supported, SUPPORTED);
            dialog.session.write_request(writer);
            description.write(context, writer, &spoken);
        };
        let sent = match takes_update {
            true => self.send_update(on, side, (User::Relay(handle), Exchange::Relayed), content),
            false => {
                let reinvite = Reinvite::new(false, Description::NONE);
                self.send_reinvite(on, (handle, side), reinvite, MAX_FORWARDS, content).is_ok()
            }
        };
        if !sent {
            self.unsay(side, told);
            self.remove_relay(on, handle);
        }
        sent
    }

    /// Sends an INVITE in a dialog. `content`: what stands behind Contact.
    fn send_reinvite(
        &mut self,
        on: &mut Signalling,
        (handle, to): (Handle, Side),
        mut reinvite: Reinvite,
        max_forwards: u64,
        content: impl FnOnce(&Context, &mut Writer<'_>, &Dialog),
    ) -> Result<(), Status> {
        let Some(dialog) = self.dialog_mut(to) else { return Err(Status::CALL_DOES_NOT_EXIST) };
        dialog.local_cseq += 1;
        let dialog = &*dialog;
        let cseq = dialog.local_cseq;
        let line = RequestLine { method: Method::Invite.name().as_bytes(), cseq, max_forwards };
        let address = (dialog.answer_to, cseq);
        let user = User::Relay(handle);
        let client = on.transactions.send_invite(&mut on.context, user, address, |context, out, branch| {
            let to_end = dialog.write_request(context, out, line, branch);
            let mut writer = Writer::new(out);
            dialog.write_contact(context, &mut writer);
            content(context, &mut writer, dialog);
            to_end
        });
        let client = match client {
            Ok(client) => client,
            Err(error) => {
                reinvite.release(&mut on.context);
                return Err(error.into());
            }
        };
        reinvite.client = Some(client);
        reinvite.own_cseq = cseq;
        reinvite.sent_to = Some(address.0);
        if let Some(relay) = self.relays.get_mut(handle) {
            relay.reinvite = Some(reinvite);
            if let Some(call) = self.calls.get_mut(relay.call) {
                call.reinvite = Some(handle);
            }
        }
        Ok(())
    }

    /// A response to a re-INVITE that we sent.
    pub(super) fn reinvite_response(
        &mut self,
        on: &mut Signalling,
        (handle, transaction): (Handle, Handle),
        (response, from): (&Message<'_>, AnswerTo),
    ) {
        let event = match response.status() {
            Some(status) if status.is_provisional() => ReinviteEvent::Provisional,
            Some(status) if status.is_success() => ReinviteEvent::Success,
            _ => ReinviteEvent::Failure,
        };
        let known = self.relays.get(handle).is_some_and(|relay| relay.reinvite.is_some());
        if known {
            return self.reinvite_event(on, handle, event, Some(response));
        }
        // Nothing is left of the call; whoever answered waits for an ACK all the same.
        if event == ReinviteEvent::Success {
            acknowledge(on, transaction, response, from);
        }
    }

    /// Takes a re-INVITE through one transition and does what it asks for.
    pub(super) fn reinvite_event(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        event: ReinviteEvent,
        message: Option<&Message<'_>>,
    ) {
        let Some(relay) = self.relays.get_mut(handle) else { return };
        let (call, from, to) = (relay.call, relay.from, relay.to);
        let Some(reinvite) = relay.reinvite.as_mut() else { return };
        if let (ReinviteEvent::Cancel, Some(cancel), false) = (event, message, reinvite.reason.is_some()) {
            reinvite.reason = keep_reason(&mut on.context, cancel);
        }
        let (next, action) = reinvite_step(reinvite.state, event);
        reinvite.state = next;
        match action {
            ReinviteAction::None | ReinviteAction::Late => {}
            ReinviteAction::Impossible => on.context.metrics.impossible_events += 1,
            ReinviteAction::StartRinging => {
                self.arm_reinvite(on, handle, on.context.settings.ring_limit_ms);
                self.pass_provisional(on, handle, message);
            }
            ReinviteAction::PassProvisional => self.pass_provisional(on, handle, message),
            ReinviteAction::SendCancel => {
                reinvite.rang_out = event == ReinviteEvent::Timer;
                self.cancel_reinvite(on, handle);
            }
            ReinviteAction::TakeAnswer => self.take_reinvite_answer(on, handle, message),
            ReinviteAction::TakeFailure => self.reinvite_failed(on, handle, message),
            ReinviteAction::TakeSilence => {
                self.respond_relay(on, handle, Status::REQUEST_TIMEOUT, None);
                self.reinvite_failed(on, handle, None);
            }
            ReinviteAction::GiveUp => {
                let status = match reinvite.rang_out {
                    true => Status::REQUEST_TIMEOUT,
                    false => Status::REQUEST_TERMINATED,
                };
                self.abandon_reinvite(on, handle);
                self.respond_relay(on, handle, status, None);
                self.remove_relay(on, handle);
                if from.is_none() {
                    self.refreshed(on, to, None);
                }
            }
            ReinviteAction::RepeatAnswer => self.repeat_reinvite_answer(on, handle),
            ReinviteAction::AckMissing => {
                on.context.metrics.acks_missing += 1;
                self.call_event(on, call, CallEvent::DialogLost, None);
            }
            ReinviteAction::Acknowledge | ReinviteAction::AcknowledgeAndRemove => {
                self.acknowledge_reinvite(on, handle, message);
                self.remove_relay(on, handle);
            }
            ReinviteAction::Close => {
                self.respond_relay(on, handle, Status::REQUEST_TERMINATED, None);
                self.arm_reinvite(on, handle, on.context.settings.timers.t1x64_ms());
            }
            ReinviteAction::Remove => {
                self.abandon_reinvite(on, handle);
                self.remove_relay(on, handle);
            }
        }
    }

    fn arm_reinvite(&mut self, on: &mut Signalling, handle: Handle, after_ms: u32) {
        let reinvite = self.relays.get_mut(handle).and_then(|relay| relay.reinvite.as_mut());
        if let Some(reinvite) = reinvite {
            let deadline = on.context.now.after_ms(after_ms);
            on.context.arm(&mut reinvite.timer, deadline, Due::Relay(handle));
        }
    }

    /// A re-INVITE's timer is due.
    pub(super) fn reinvite_timer(&mut self, on: &mut Signalling, handle: Handle) {
        let reinvite = self.relays.get(handle).and_then(|relay| relay.reinvite.as_ref());
        let Some(reinvite) = reinvite else { return };
        let event = match reinvite.state {
            ReinviteState::Answered if reinvite.answer_give_up.is_due(on.context.now) => {
                ReinviteEvent::AckMissing
            }
            ReinviteState::Answered => ReinviteEvent::AnswerDue,
            _ => ReinviteEvent::Timer,
        };
        self.reinvite_event(on, handle, event, None);
    }

    /// Ringing, or a preview of the answer; 100 was sent already.
    fn pass_provisional(&mut self, on: &mut Signalling, handle: Handle, response: Option<&Message<'_>>) {
        let reinvite = self.relays.get(handle).and_then(|relay| relay.reinvite.as_ref());
        if reinvite.is_none_or(|reinvite| reinvite.silent) {
            return;
        }
        let status = response.and_then(|response| response.status());
        if let Some(status) = status.filter(|status| matches!(status.code(), 101..199)) {
            self.respond_relay(on, handle, status, response);
        }
    }

    /// CANCEL to the other side, with the Reason of the asker's.
    fn cancel_reinvite(&mut self, on: &mut Signalling, handle: Handle) {
        let reinvite = self.relays.get(handle).and_then(|relay| relay.reinvite.as_ref());
        if let Some((reinvite, client)) = reinvite.and_then(|reinvite| Some((reinvite, reinvite.client?))) {
            on.transactions.send_cancel(&mut on.context, client, &reinvite.reason);
        }
        self.arm_reinvite(on, handle, on.context.settings.timers.t1x64_ms());
    }

    /// 2xx to the asker, repeated until its ACK (RFC 3261 §14.2, §13.3.1.4).
    fn take_reinvite_answer(&mut self, on: &mut Signalling, handle: Handle, answer: Option<&Message<'_>>) {
        let Some(answer) = answer else { return };
        let Some(relay) = self.relays.get_mut(handle) else { return };
        let (from, to) = (relay.from, relay.to);
        let Some(reinvite) = relay.reinvite.as_mut() else { return };
        let late_offer = reinvite.late_offer;
        let offered = reinvite.offered.take();
        if !late_offer {
            self.close_offer(on, handle, true);
        }
        if from.is_some() {
            // What cannot be taken of it is not heard.
            let _ = self.hear_in_any_case(on, (to, Round::Later), answer);
        }
        self.settle_session(on, handle, Some(answer));
        match self.dialog_mut(to).filter(|dialog| offered.is_some() && dialog.needs_description()) {
            Some(dialog) => dialog.description.replace(&mut on.context, offered),
            None => offered.release(&mut on.context),
        }
        let Some(from) = from else {
            self.acknowledge_reinvite(on, handle, None);
            self.remove_relay(on, handle);
            self.take_own_answer(on, to, answer);
            return self.description_told(on, to, answer);
        };
        if !late_offer {
            self.agree_between(on, [Some(from), Some(to)], Round::Later);
            self.remember_description(on, from, answer);
        }
        if !late_offer && on.context.settings.ack == AckPolicy::Immediate {
            self.acknowledge_reinvite(on, handle, None);
        }
        if !self.respond_relay(on, handle, answer.status().unwrap_or(Status::OK), Some(answer)) {
            // The asker has a 500 and the other side a new session: they do not agree any more.
            self.acknowledge_reinvite(on, handle, None);
            self.remove_relay(on, handle);
            return self.dialog_lost(on, to);
        }
        let timers = on.context.settings.timers;
        let kept = on.context.keep_last_sent().unwrap_or(Kept::NONE);
        let reinvite = self.relays.get_mut(handle).and_then(|relay| relay.reinvite.as_mut());
        match reinvite {
            Some(reinvite) => {
                reinvite.answer = kept;
                reinvite.answer_give_up = on.context.now.after_ms(timers.t1x64_ms());
            }
            None => on.context.keep.release(kept),
        }
        self.arm_reinvite(on, handle, timers.t1_ms);
    }

    fn repeat_reinvite_answer(&mut self, on: &mut Signalling, handle: Handle) {
        let Some(relay) = self.relays.get_mut(handle) else { return };
        let Some(reinvite) = relay.reinvite.as_mut() else { return };
        on.context.send_kept(relay.answer_to.listener, relay.answer_to.destination, &reinvite.answer);
        on.context.metrics.retransmissions_sent += 1;
        reinvite.answer_attempt = reinvite.answer_attempt.saturating_add(1);
        let interval_ms = on.context.settings.timers.answer_interval_ms(reinvite.answer_attempt);
        let deadline = on.context.now.after_ms(interval_ms).min(reinvite.answer_give_up);
        on.context.arm(&mut reinvite.timer, deadline, Due::Relay(handle));
    }

    /// The other side's refusal goes to the asker; the session stays as it was, unless the dialog is gone
    /// (RFC 3261 §12.2.1.2).
    fn reinvite_failed(&mut self, on: &mut Signalling, handle: Handle, response: Option<&Message<'_>>) {
        let Some(relay) = self.relays.get(handle) else { return };
        let (from, to) = (relay.from, relay.to);
        let status = response.and_then(|response| response.status());
        let rang_out = relay.reinvite.as_ref().is_some_and(|reinvite| reinvite.rang_out);
        self.close_offer(on, handle, false);
        let status = if from.is_some() { self.raise_interval(to, response).or(status) } else { status };
        if let (Some(status), Some(_)) = (status, from) {
            let response = response.filter(|_| !rang_out);
            let status = if rang_out { Status::REQUEST_TIMEOUT } else { passed_status(status) };
            self.respond_relay(on, handle, status, response);
        }
        self.remove_relay(on, handle);
        if from.is_none() {
            self.refreshed(on, to, response);
        } else if matches!(status, None | Some(Status::CALL_DOES_NOT_EXIST | Status::REQUEST_TIMEOUT)) {
            self.dialog_lost(on, to);
        }
    }

    /// ACK to the other side's 2xx, with the body of the asker's ACK if it has one.
    pub(super) fn acknowledge_reinvite(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        ack: Option<&Message<'_>>,
    ) {
        let Some(relay) = self.relays.get_mut(handle) else { return };
        let (relay_from, to) = (relay.from, relay.to);
        let Some(reinvite) = relay.reinvite.as_mut() else { return };
        let (client, cseq, sent_to) = (reinvite.client, reinvite.own_cseq, reinvite.sent_to);
        if std::mem::replace(&mut reinvite.acknowledged, true) {
            return;
        }
        let answer = ack.filter(|ack| !ack.is_request());
        let ack = ack.filter(|ack| ack.is_request() && !ack.body().is_empty());
        let Some(client) = client else { return };
        let spoken = match (ack, relay_from) {
            (Some(ack), Some(from)) => self.take_late_answer_of(on, (from, to, Round::Later), ack),
            _ => Spoken::SAME,
        };
        let ack = ack.map(|ack| spoken.in_place(ack));
        let ack = ack.as_ref();
        let Some(dialog) = self.dialog(to) else {
            // The dialog is over; its 2xx says all that the ACK needs.
            if let (Some(answer), Some(sent_to)) = (answer, sent_to) {
                acknowledge(on, client, answer, sent_to);
            }
            return;
        };
        let address = (dialog.answer_to, ack.is_some());
        on.transactions.send_ack(&mut on.context, client, address, |context, out, branch| {
            dialog.write_request(context, out, RequestLine::own(Method::Ack, cseq), branch);
            write_ack_body(out, ack);
        });
        if let Some(ack) = ack {
            self.remember_description(on, to, ack);
        }
    }

    /// Keeps what a side was told of the session, if its refreshes will repeat it.
    pub(super) fn remember_description(&mut self, on: &mut Signalling, side: Side, message: &Message<'_>) {
        if message.body().is_empty() || !self.dialog(side).is_some_and(Dialog::needs_description) {
            return;
        }
        let description = Description::of(&mut on.context, message);
        if let Some(dialog) = self.dialog_mut(side) {
            dialog.description.replace(&mut on.context, description);
        }
    }

    /// Forgets an INVITE that never got a final response.
    fn abandon_reinvite(&mut self, on: &mut Signalling, handle: Handle) {
        let client = self.relays.get(handle).and_then(|relay| relay.reinvite.as_ref()?.client);
        if let Some(client) = client {
            on.transactions.abandon_unanswered(&mut on.context, client);
        }
    }

    /// A refresh by re-INVITE; without room or with another INVITE on its way it comes again later.
    pub(super) fn refresh_by_invite(&mut self, on: &mut Signalling, side: Side) {
        let Some(dialog) = self.dialog_mut(side) else { return };
        let description = dialog.description.take();
        let sent = self.own_offer(on, side, &description);
        let retry = on.context.now.after_ms(REFRESH_RETRY_MS);
        match self.dialog_mut(side) {
            Some(dialog) => {
                dialog.description = description;
                if !sent {
                    dialog.session.due = dialog.session.due.min(retry);
                }
            }
            None => description.release(&mut on.context),
        }
    }
}

/// The body of an ACK: what the asker's ACK says, or nothing.
pub(super) fn write_ack_body(out: &mut Vec<u8>, ack: Option<&Message<'_>>) {
    let mut writer = Writer::new(out);
    match ack {
        Some(ack) => {
            writer.splice_headers(ack, is_content);
            writer.body(ack.body());
        }
        None => writer.body(b""),
    }
}
