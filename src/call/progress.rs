//! What the callees say, and what follows for the caller: ringing, answers, failures, the next target.

use super::anchor::Round;
use super::dialog::{Dialog, RequestLine};
use super::hangup::Cause;
use super::record::Heard;
use super::reliable::Progress;
use super::session::lists;
use super::side::Side;
use super::state::{CallState, LegAction, LegEvent, LegState, leg_step};
use super::{Calls, ORPHANS, Signalling};
use crate::context::Due;
use crate::ids::Kind;
use crate::keep::Kept;
use crate::mail;
use crate::service::Failure;
use crate::settings::{AckPolicy, LateAnswer};
use crate::sip::name_addr::{param, split_list};
use crate::sip::write::Writer;
use crate::sip::{HeaderName, Message, Method, Status};
use crate::slab::Handle;
use crate::transaction::{AnswerTo, Exchange, User, send_once};

impl Calls {
    /// A response to a leg's INVITE.
    pub(super) fn leg_response(&mut self, on: &mut Signalling, handle: Handle, response: &Message<'_>) {
        let Some(status) = response.status() else { return };
        let event = match status.code() {
            180 | 183 => LegEvent::Ringing,
            100..200 => LegEvent::Trying,
            200..300 => LegEvent::Success,
            _ => LegEvent::Failure,
        };
        if !matches!(status.code(), 101..200) {
            return self.leg_event(on, handle, event, Some(response));
        }
        let progress = self.take_provisional(on, handle, response);
        if progress == Progress::Never {
            // It shows that somebody is there, and no more.
            return self.leg_event(on, handle, LegEvent::Trying, None);
        }
        let told = Some(response).filter(|_| progress == Progress::Now);
        // 181 and 182 say something to the caller without being ringing; 199 speaks of a dialog that the
        // caller does not see (RFC 6228).
        if event == LegEvent::Trying
            && status.code() != 199
            && let Some(response) = told
        {
            self.relay_provisional(on, handle, response, true);
        }
        self.leg_event(on, handle, event, told);
        if let Some(response) = told {
            self.acknowledge_provisional(on, handle, response);
        }
    }

    /// Takes a leg through one transition and does what it asks for.
    pub(super) fn leg_event(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        event: LegEvent,
        response: Option<&Message<'_>>,
    ) {
        let Some(leg) = self.legs.get_mut(handle) else { return };
        let (next, action) = leg_step(leg.state, event);
        leg.state = next;
        leg.take_event(on.context.now, action, response);
        match action {
            LegAction::None | LegAction::Late => {}
            LegAction::Impossible => on.context.metrics.impossible_events += 1,
            LegAction::StartTrying => self.arm_leg(on, handle, on.context.settings.trying_limit_ms),
            LegAction::StartRinging | LegAction::RepeatRinging => {
                let starts = action == LegAction::StartRinging;
                if starts {
                    on.context.disarm(&mut leg.timer);
                    let call = leg.call;
                    self.ring(on, call);
                }
                if let Some(response) = response {
                    self.relay_provisional(on, handle, response, !starts);
                }
            }
            LegAction::TakeAnswer => self.take_answer(on, handle, response),
            LegAction::TakeLateAnswer => self.take_late_answer(on, handle, response),
            LegAction::TakeFailure => self.take_failure(on, handle, response),
            LegAction::TakeSilence => self.leg_failed(on, handle, Failure::Silent, None),
            LegAction::NeverRang => {
                self.cancel_leg(on, handle);
                self.leg_failed(on, handle, Failure::NeverRang, None);
            }
            LegAction::SendCancel => self.cancel_leg(on, handle),
            LegAction::SendAck => self.acknowledge_leg(on, handle, None),
            LegAction::SessionDue => self.session_due(on, Side::Callee(handle)),
            LegAction::SendBye => self.bye_leg(on, handle, Cause::None),
            LegAction::SendAckAndBye => {
                self.acknowledge_leg(on, handle, None);
                self.bye_leg(on, handle, Cause::None);
            }
            LegAction::SendAckAndRemove => {
                self.acknowledge_leg(on, handle, None);
                self.remove_leg(on, handle);
            }
            LegAction::Remove => self.remove_leg(on, handle),
        }
    }

    /// Tells the caller of a provisional response. A later leg's first plain 180 is not repeated to a
    /// caller that hears ringback already (reference flow, step 11; SIP_RULES 16).
    pub(super) fn relay_provisional(
        &mut self,
        on: &mut Signalling,
        leg: Handle,
        response: &Message<'_>,
        always: bool,
    ) {
        let Some(status) = response.status() else { return };
        let Some(record) = self.legs.get(leg).filter(|leg| leg.is_tried()) else { return };
        let call_handle = record.call;
        let others_speak = self.has_other_speaker(call_handle, leg);
        let hears_another = self.hears_another(call_handle, leg);
        let Some(call) = self.calls.get_mut(call_handle) else { return };
        // While one callee's early media is heard, another's ringing is of no use to the caller.
        if call.state != CallState::Searching || hears_another {
            return;
        }
        if call.answered_by == 0 || !others_speak {
            call.current = Some(leg);
        }
        let heard = match (status, response.body().is_empty()) {
            (_, false) => Heard::EarlyMedia,
            (Status::RINGING, true) => Heard::Ringing,
            (_, true) => call.heard,
        };
        if !always && heard == Heard::Ringing && call.heard == Heard::Ringing {
            return;
        }
        call.heard = heard;
        if heard == Heard::EarlyMedia && !response.body().is_empty() {
            call.media = Some(leg);
        }
        let is_silent = call.media.is_none();
        self.send_provisional(on, (call_handle, leg), response, status);
        // Early media, its own or another's, says more than a tone.
        if heard == Heard::Ringing && is_silent {
            self.ring_back(on, call_handle);
        }
    }

    /// The leg wins the call: 200 to the caller.
    fn take_answer(&mut self, on: &mut Signalling, handle: Handle, answer: Option<&Message<'_>>) {
        let Some(answer) = answer else { return };
        self.make_dialog(on, handle, answer);
        let heard = self.hear(on, (Side::Callee(handle), Round::Invite), answer);
        let Some(leg) = self.legs.get(handle) else { return };
        let (call_handle, has_dialog) = (leg.call, leg.dialog.is_some());
        let Some(call) = self.calls.get_mut(call_handle) else { return };
        call.winner = Some(handle).filter(|_| has_dialog);
        if !has_dialog || heard == Err(Status::SERVICE_UNAVAILABLE) {
            // No memory to speak in the dialog with, not even an ACK; or no ports for what it offers: then it
            // gets ACK and BYE.
            self.give_legs_up(on, call_handle);
            self.refuse(on, call_handle, (Status::SERVICE_UNAVAILABLE, mail::Cause::Failed));
            return if !has_dialog {
                self.remove_leg(on, handle)
            };
        }
        let immediate = on.context.settings.ack == AckPolicy::Immediate && !call.late_offer;
        if self.has_others(call_handle, handle) {
            self.complete_elsewhere(on, call_handle);
        }
        self.end_search(on, call_handle, None);
        if immediate {
            self.leg_event(on, handle, LegEvent::Acknowledge, None);
        }
        self.answer_caller(on, call_handle, answer);
    }

    /// A 200 that crossed our CANCEL is acknowledged and ended, or wins while the target only rings
    /// (SIP_RULES 5).
    fn take_late_answer(&mut self, on: &mut Signalling, handle: Handle, answer: Option<&Message<'_>>) {
        let Some(answer) = answer else { return };
        on.context.metrics.late_answers += 1;
        let keep = on.context.settings.late_answer == LateAnswer::Keep;
        let leg = self.legs.get(handle);
        let call = leg.and_then(|leg| self.calls.get(leg.call));
        let searching = call.is_some_and(|call| call.state == CallState::Searching && call.winner.is_none());
        // A late offer of its was acknowledged without an answer when it was cancelled: it cannot win.
        let is_unanswered =
            leg.zip(call).is_some_and(|(leg, call)| call.late_offer && leg.early_answer.is_some());
        if keep && searching && !is_unanswered {
            self.note_comeback(handle);
            return self.take_answer(on, handle, Some(answer));
        }
        self.make_dialog(on, handle, answer);
        self.leg_event(on, handle, LegEvent::HangUp, None);
    }

    fn make_dialog(&mut self, on: &mut Signalling, handle: Handle, answer: &Message<'_>) {
        let identity = Dialog::identity_of_response(&on.context, answer);
        let is_other = self.legs.get(handle).is_some_and(|leg| ![0, identity].contains(&leg.dialog.identity));
        if is_other {
            self.refuse_relays_to(on, handle, identity);
        }
        let Some(leg) = self.legs.get_mut(handle) else { return };
        on.context.disarm(&mut leg.timer);
        leg.adopt_dialog(&mut on.context, answer);
        let dialog = &mut leg.dialog;
        if leg.refused_intervals > 0 {
            dialog.session.min_se_s = leg.session_s;
        }
        dialog.session = dialog.session.granted(answer);
        if dialog.session.interval_s > 0 {
            dialog.takes_update = lists(answer, HeaderName::Allow, b"UPDATE");
        }
        if dialog.needs_description() {
            let call = leg.call;
            self.with_invite(on, call, |calls, on, invite| {
                calls.remember_description(on, Side::Callee(handle), invite);
            });
            self.remember_late_answer(on, handle);
        }
    }

    /// With a late offer it is the caller's answer that a refresh repeats.
    fn remember_late_answer(&mut self, on: &mut Signalling, handle: Handle) {
        let Some(leg) = self.legs.get_mut(handle) else { return };
        let answer = self.calls.get_mut(leg.call).map(|call| &mut call.late_answer);
        if let Some(answer) = answer.filter(|answer| answer.is_some()) {
            leg.dialog.description.replace(&mut on.context, answer.take());
        }
    }

    fn take_failure(&mut self, on: &mut Signalling, handle: Handle, response: Option<&Message<'_>>) {
        let (Some(response), Some(leg)) = (response, self.legs.get(handle)) else { return };
        let Some(status) = response.status() else { return };
        let rang = leg.state == LegState::Ringing;
        if status == Status::SESSION_INTERVAL_TOO_SMALL && self.retry_interval(on, handle, response) {
            return;
        }
        let no_answer_cause = response.values(HeaderName::Reason).any(is_no_answer_cause);
        self.leg_failed(on, handle, Failure::Response { status, rang, no_answer_cause }, Some(response));
    }

    /// CANCEL, with the Reason of the caller's; the leg is given up after 64·T1 (RFC 3261 §9.1).
    fn cancel_leg(&mut self, on: &mut Signalling, handle: Handle) {
        let Some(leg) = self.legs.get(handle) else { return };
        let reason = self.calls.get(leg.call).map_or(&Kept::NONE, |call| &call.cancel_reason);
        if let Some(transaction) = leg.transaction {
            on.transactions.send_cancel(&mut on.context, transaction, reason);
        }
        self.silence_leg(on, handle);
        self.arm_leg(on, handle, on.context.settings.timers.t1x64_ms());
    }

    pub(super) fn arm_leg(&mut self, on: &mut Signalling, handle: Handle, after_ms: u32) {
        if let Some(leg) = self.legs.get_mut(handle) {
            let deadline = on.context.now.after_ms(after_ms);
            on.context.arm(&mut leg.timer, deadline, Due::Leg(handle));
        }
    }

    /// A 2xx without a transaction that waits for it: nothing if its dialog lives, else ACK, and BYE the
    /// first time that it comes. When nothing is left of the INVITE they go back where the 2xx came from:
    /// anyone who ever saw our branch could send it, so its Contact is not to be trusted.
    pub(super) fn orphan_answer(
        &mut self,
        on: &mut Signalling,
        (transaction, known, followed): (Handle, bool, u8),
        (answer, from): (&Message<'_>, AnswerTo),
    ) {
        let side = Side::of_tag(&on.context.mint, answer.from_tag());
        let dialog = side.and_then(|side| self.dialog(side));
        if dialog.is_some_and(|dialog| dialog.is_answered_by(&on.context, answer)) {
            return self.answer_again(on, transaction, (answer, from));
        }
        let early = match side {
            Some(Side::Callee(leg)) => self.legs.get(leg).map(|leg| leg.last_cseq(&on.context, answer)),
            _ => None,
        };
        on.context.metrics.late_answers += 1;
        let index = transaction.index.to_be_bytes();
        let generation = transaction.generation.to_be_bytes();
        let seen = on.context.mint.hash(&[&index, &generation, answer.to_tag()]);
        let is_new = !self.orphans.contains(&seen);
        if is_new {
            self.orphans[self.orphans_next % ORPHANS] = seen;
            self.orphans_next += 1;
        }
        let dialog = Dialog::with_callee(&mut on.context, answer, (from, false));
        let to = if known { dialog.answer_to } else { from };
        dialog.release(&mut on.context);
        // An ACK of its own for each dialog that the INVITE made, the same one each time.
        let branch = Handle { index: transaction.index, generation: seen as u32 };
        acknowledge(on, branch, answer, to);
        if is_new {
            // Of a leg that has gone only the most that it used is known.
            let last = early.or(answer.cseq().map(|cseq| cseq.number.saturating_add(followed.into())));
            bye(on, answer, to, last.unwrap_or_default());
        }
    }

    /// The 2xx of a leg that is acknowledged came again: so does the ACK (RFC 3261 §13.2.2.4).
    pub(super) fn answer_again(
        &mut self,
        on: &mut Signalling,
        transaction: Handle,
        (answer, answer_to): (&Message<'_>, AnswerTo),
    ) {
        let side = Side::of_tag(&on.context.mint, answer.from_tag());
        let dialog = side.and_then(|side| self.dialog(side));
        let dialog = dialog.filter(|dialog| dialog.is_answered_by(&on.context, answer));
        let (Some(dialog), Some(cseq)) = (dialog, answer.cseq()) else {
            return acknowledge(on, transaction, answer, answer_to);
        };
        let branch = on.context.mint.branch(Kind::Ack, transaction);
        send_once(&mut on.context, &branch, answer_to, |context, out, branch| {
            dialog.write_request(context, out, RequestLine::own(Method::Ack, cseq.number), branch);
            Writer::new(out).body(b"");
        });
    }
}

/// Writes an ACK to a 2xx from the 2xx itself; `named`: what its branch is made of.
pub(super) fn acknowledge(on: &mut Signalling, named: Handle, answer: &Message<'_>, to: AnswerTo) {
    let dialog = Dialog::with_callee(&mut on.context, answer, (to, false));
    let branch = on.context.mint.branch(Kind::Ack, named);
    if dialog.is_some() {
        send_once(&mut on.context, &branch, to, |context, out, branch| {
            // The dialog's CSeq is still that of the INVITE that was answered.
            dialog.write_request(context, out, RequestLine::own(Method::Ack, dialog.local_cseq), branch);
            Writer::new(out).body(b"");
        });
    }
    dialog.release(&mut on.context);
}

/// Ends the dialog of a 2xx that nobody waits for.
/// `last`: the last CSeq number that we used in it.
fn bye(on: &mut Signalling, answer: &Message<'_>, to: AnswerTo, last: u32) {
    let dialog = Dialog::with_callee(&mut on.context, answer, (to, false));
    let cseq = dialog.local_cseq.max(last) + 1;
    let user = (User::None, Exchange::Bye);
    if dialog.is_some() {
        let sent = on.transactions.send_request(&mut on.context, user, (to, cseq), |context, out, branch| {
            dialog.write_request(context, out, RequestLine::own(Method::Bye, cseq), branch);
            Writer::new(out).body(b"");
        });
        on.context.metrics.transactions_not_kept += u64::from(sent.is_err());
    }
    dialog.release(&mut on.context);
}

/// `Q.850;cause=19`: no answer from the user, user alerted (RFC 3326, Q.850).
fn is_no_answer_cause(reason: &[u8]) -> bool {
    split_list(reason).any(|entry| {
        let split = entry.iter().position(|&byte| byte == b';').unwrap_or(entry.len());
        entry[..split].trim_ascii().eq_ignore_ascii_case(b"Q.850")
            && param(&entry[split..], "cause") == Some(b"19")
    })
}
