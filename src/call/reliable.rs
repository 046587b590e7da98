//! Reliable provisional responses (RFC 3262), each leg's own (SIP_RULES 17): a callee's is acknowledged by
//! us, or by the caller where it goes on to the caller reliably; the caller's is repeated until its PRACK.

use super::anchor::Round;
use super::description::Description;
use super::dialog::{Dialog, RequestLine};
use super::media::Spoken;
use super::negotiation::Negotiation;
use super::record::Heard;
use super::relay::Way;
use super::session::lists;
use super::side::Side;
use super::state::CallState;
use super::write::{Body, relayed_response};
use super::{Calls, Request, Signalling};
use crate::context::Due;
use crate::keep::Kept;
use crate::mail::Cause;
use crate::sip::number::whole_number;
use crate::sip::write::Writer;
use crate::sip::{HeaderName, Message, Method, RAck, Status};
use crate::slab::Handle;
use crate::transaction::{Exchange, ServerKey, User};

/// Whether the caller takes reliable provisional responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reliability {
    Unknown,
    Supported,
    /// Every provisional response but 100 has to be reliable.
    Required,
}

/// The reliable provisional response that the caller has not acknowledged yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outstanding {
    /// The leg that waits for the caller's PRACK: its 18x came reliably and has a body. And that 18x's RSeq.
    pub passes_to: Option<(Handle, u32)>,
    /// The identity of the early dialog that it belongs to.
    pub identity: u64,
    /// It has an offer, which the PRACK answers.
    pub offers: bool,
}

impl Reliability {
    pub fn of(invite: &Message<'_>) -> Reliability {
        if lists(invite, HeaderName::Require, b"100rel") {
            Reliability::Required
        } else if lists(invite, HeaderName::Supported, b"100rel") {
            Reliability::Supported
        } else {
            Reliability::Unknown
        }
    }
}

/// When the caller may hear of a provisional response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It is not the next one, or came before.
    Never,
    /// After the caller's PRACK; until then it is kept.
    Later,
    Now,
}

impl Calls {
    /// Looks at a callee's provisional response other than 100: whether it is the next one (RFC 3262 §4), and
    /// which early dialog it belongs to. The latest that was taken is the leg's.
    pub(super) fn take_provisional(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        response: &Message<'_>,
    ) -> Progress {
        let has_tag = !response.to_tag().is_empty();
        let rseq = rseq_of(response);
        let identity = Dialog::identity_of_response(&on.context, response);
        let Some(leg) = self.legs.get(handle) else { return Progress::Never };
        if has_tag && !leg.follows(identity) {
            return Progress::Never;
        }
        let last = leg.last_rseq(identity);
        // RFC 3262 §4: one that was taken is not acknowledged again, and none before the one that is missing.
        if rseq.is_some_and(|rseq| has_tag && last > 0 && rseq != last.wrapping_add(1)) {
            return Progress::Never;
        }
        let waits = leg.is_tried()
            && self
                .calls
                .get(leg.call)
                .is_some_and(|call| call.outstanding.is_some() && call.state == CallState::Searching);
        if waits {
            // What the callee asks in its dialog meanwhile belongs to this leg.
            let leg = self.legs.get_mut(handle).filter(|leg| has_tag && leg.dialog.identity == 0);
            if let Some(leg) = leg {
                leg.adopt_dialog(&mut on.context, response);
            }
            self.hold(on, handle, response);
            return Progress::Later;
        }
        let Some(leg) = self.legs.get_mut(handle) else { return Progress::Never };
        // A 199 tells of the end of an early dialog (RFC 6228); nothing more is said in it but a PRACK.
        let is_over = response.status().is_some_and(|status| status.code() == 199) && rseq.is_none();
        // Without a tag there is no dialog.
        if is_over || !has_tag {
            return Progress::Now;
        }
        if leg.dialog.identity != identity {
            leg.adopt_dialog(&mut on.context, response);
        }
        leg.rseq = rseq.unwrap_or(leg.rseq);
        Progress::Now
    }

    /// PRACK for a reliable provisional response that was taken, unless the caller's will serve.
    pub(super) fn acknowledge_provisional(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        response: &Message<'_>,
    ) {
        let (Some(rseq), Some(leg)) = (rseq_of(response), self.legs.get_mut(handle)) else { return };
        // Without a tag there is no dialog to send it in.
        if response.to_tag().is_empty() {
            return;
        }
        let passes = self.calls.get(leg.call).and_then(|call| call.outstanding?.passes_to);
        if passes == Some((handle, rseq)) || !leg.dialog.is_some() {
            return;
        }
        let has_body = !response.body().is_empty();
        if has_body {
            leg.dialog.negotiation = Negotiation::Stable;
            let description = Description::of(&mut on.context, response);
            leg.early_answer.replace(&mut on.context, description);
        }
        self.send_prack(on, handle, rseq, has_body);
    }

    /// PRACK of our own. `answers`: the response had a body, which is an offer if the INVITE had none; the
    /// caller, who has answered one of them, answers the same to all.
    pub(super) fn send_prack(&mut self, on: &mut Signalling, handle: Handle, rseq: u32, answers: bool) {
        let spoken = if answers { self.speak_late_answer(on, handle) } else { Spoken::SAME };
        let Some(leg) = self.legs.get_mut(handle) else { return };
        let answer = self.calls.get(leg.call).map(|call| &call.late_answer);
        let answer = answer.filter(|answer| answers && answer.is_some());
        leg.dialog.local_cseq += 1;
        let (dialog, invite_cseq) = (&leg.dialog, leg.invite_cseq);
        let to = (dialog.answer_to, dialog.local_cseq);
        let user = (User::None, Exchange::Prack);
        let sent = on.transactions.send_request(&mut on.context, user, to, |context, out, branch| {
            dialog.write_request(context, out, RequestLine::own(Method::Prack, dialog.local_cseq), branch);
            let mut writer = Writer::new(out);
            write_rack(&mut writer, (rseq, invite_cseq));
            match answer {
                Some(answer) => answer.write(context, &mut writer, &spoken),
                None => writer.body(b""),
            }
        });
        on.context.metrics.transactions_not_kept += u64::from(sent.is_err());
    }

    /// What the caller answered to a late offer, as this leg is told it.
    fn speak_late_answer(&mut self, on: &mut Signalling, leg: Handle) -> Spoken {
        let Some(handle) = self.call_of(Side::Callee(leg)) else { return Spoken::SAME };
        let Some(call) = self.calls.get_mut(handle) else { return Spoken::SAME };
        let answer = call.late_answer.take();
        let spoken = self.speak_kept(on, Side::Callee(leg), &answer);
        match self.calls.get_mut(handle) {
            Some(call) => call.late_answer = answer,
            None => answer.release(&mut on.context),
        }
        spoken
    }

    /// Sends the caller a callee's provisional response, reliably where that is called for (SIP_RULES 17).
    pub(super) fn send_provisional(
        &mut self,
        on: &mut Signalling,
        (call_handle, leg): (Handle, Handle),
        response: &Message<'_>,
        status: Status,
    ) {
        let rseq = rseq_of(response).filter(|_| !response.to_tag().is_empty());
        let describes = !response.body().is_empty();
        let identity = self.legs.get(leg).map_or(0, |leg| leg.dialog.identity);
        let Some(call) = self.calls.get(call_handle) else { return };
        let reliably = match call.reliability {
            Reliability::Required => true,
            Reliability::Supported => rseq.is_some() && describes,
            Reliability::Unknown => false,
        };
        // RFC 3261 §13.2.1: the caller has an answer, and ignores another.
        let told_otherwise = call.answered_by != 0 && call.answered_by != identity;
        let is_heard = describes && !told_otherwise;
        let late_offer = call.late_offer;
        let (told, believed) = (call.anchor.told(), call.anchor.believed());
        if is_heard {
            // What cannot be taken of it is not heard; the callee says it again in its answer.
            let _ = self.hear(on, (Side::Callee(leg), Round::Invite), response);
        }
        let spoken = match is_heard {
            true => self.speak(on, Side::Caller(call_handle), response),
            false => Ok(Spoken::SAME),
        };
        // Without ports the callee's offer goes nowhere; it comes again.
        let (Ok(spoken), Some(call)) = (spoken, self.calls.get_mut(call_handle)) else { return };
        let response = &spoken.in_place(response);
        // It keeps the first description, and its port is the same; what it is owed it is offered after its
        // ACK (SIP_RULES 15).
        let is_other = !late_offer && believed.is_some() && believed != call.anchor.told();
        let has_body = is_heard && !is_other;
        let body = if has_body || !describes { Body::Same } else { Body::Without };
        call.is_early = true;
        let own_rseq = reliably.then(|| call.next_rseq(&mut on.context));
        let record = &*call;
        let sent = on.transactions.respond(&mut on.context, call.transaction, status, |context, out| {
            relayed_response(context, out, record, response, (status, own_rseq, body));
        });
        if !(reliably && sent) {
            call.rseq -= u32::from(reliably && call.rseq > 1);
        }
        match sent && has_body {
            true => call.anchor.believe_first(),
            false => call.anchor.unsay(told),
        }
        if sent && is_heard && !late_offer {
            self.agree(on, leg, (Round::Invite, false));
        }
        if !(reliably && sent) {
            return;
        }
        let passes_to = rseq.filter(|_| has_body).map(|rseq| (leg, rseq));
        self.sent_reliably(on, (call_handle, leg), passes_to, response);
    }

    /// The caller was sent a provisional response reliably. `passes_to`: its PRACK goes on to the callee, who
    /// has described the session in it.
    fn sent_reliably(
        &mut self,
        on: &mut Signalling,
        (call_handle, leg): (Handle, Handle),
        passes_to: Option<(Handle, u32)>,
        response: &Message<'_>,
    ) {
        let identity = self.legs.get(leg).map_or(0, |leg| leg.dialog.identity);
        let Some(call) = self.calls.get_mut(call_handle) else { return };
        // Once the offer has its answer, the same body again is neither.
        let is_first = call.answered_by == 0;
        let late_offer = call.late_offer;
        let offers = late_offer && is_first && passes_to.is_some();
        self.await_prack(on, call_handle, Outstanding { passes_to, identity, offers });
        if is_first && passes_to.is_some() {
            let (here, there) = match late_offer {
                false => (Negotiation::Stable, Negotiation::Stable),
                true => (Negotiation::Sent, Negotiation::Received),
            };
            if let Some(call) = self.calls.get_mut(call_handle) {
                call.dialog.negotiation = here;
                call.answered_by = identity;
            }
            self.remember_description(on, Side::Caller(call_handle), response);
            if let Some(leg) = self.legs.get_mut(leg) {
                leg.dialog.negotiation = there;
            }
        }
    }

    /// Repeats the provisional response that was sent last until its PRACK.
    pub(super) fn await_prack(&mut self, on: &mut Signalling, handle: Handle, outstanding: Outstanding) {
        let Some(call) = self.calls.get_mut(handle) else { return };
        let timers = on.context.settings.timers;
        call.outstanding = Some(outstanding);
        let kept = on.context.keep_last_sent().unwrap_or(Kept::NONE);
        on.context.keep.release(std::mem::replace(&mut call.answer, kept));
        call.answer_attempt = 0;
        call.answer_give_up = on.context.now.after_ms(timers.t1x64_ms());
        on.context.arm(&mut call.timer, on.context.now.after_ms(timers.t1_ms), Due::Call(handle));
    }

    /// The caller's PRACK (RFC 3262 §3): it stops the response that it names, and is passed on where the
    /// callee waits for it.
    pub(super) fn prack(
        &mut self,
        on: &mut Signalling,
        side: Side,
        request: &Request<'_>,
        key: ServerKey,
    ) -> Result<(), Status> {
        let message = &request.message;
        let rack = message.header(HeaderName::RAck).ok_or(Status::BAD_REQUEST)?;
        let rack = RAck::parse(rack).map_err(|_| Status::BAD_REQUEST)?;
        let Side::Caller(call) = side else { return Err(Status::CALL_DOES_NOT_EXIST) };
        // After a late offer the PRACK has the answer, or none: the offer is over either way. Any other that
        // is open was made by UPDATE, and is no business of the PRACK's.
        let outstanding = self.calls.get(call).and_then(|call| call.outstanding);
        let answers = outstanding.is_some_and(|outstanding| outstanding.offers);
        let waits = self.take_prack(on, call, rack).ok_or(Status::CALL_DOES_NOT_EXIST)?;
        let sides = [Some(side), waits.map(|(leg, _)| Side::Callee(leg))];
        for side in sides.into_iter().flatten().filter(|_| answers) {
            if let Some(dialog) = self.dialog_mut(side) {
                dialog.negotiation = Negotiation::Stable;
            }
        }
        let offers = !answers && !message.body().is_empty();
        // An answer cannot be refused: what cannot be taken of it is not heard.
        let round = if offers { Round::Later } else { Round::Invite };
        let asked = [Some(side), waits.map(|(leg, _)| Side::Callee(leg))];
        if offers {
            self.begin_offer(on, asked);
        }
        let is_taken = self.hear_request(on, (side, round), request).is_ok() || !offers;
        let passed = waits.is_some_and(|waits| match is_taken {
            true => self.pass_prack(on, (call, waits), (request, key), offers),
            false => self.prack_without(on, waits),
        });
        if offers && !passed {
            self.disagree(on, asked);
        }
        // Whoever offers next gets the same answer, though the one that it was for has gone.
        if answers && !message.body().is_empty() {
            let answer = Description::of(&mut on.context, message);
            match self.calls.get_mut(call) {
                Some(call) => call.late_answer.replace(&mut on.context, answer),
                None => answer.release(&mut on.context),
            }
        }
        if let (true, Some((leg, _))) = (answers && passed && !message.body().is_empty(), waits) {
            self.agree(on, leg, (Round::Invite, false));
        }
        match passed {
            true => {}
            // Nobody is there to answer an offer, or no room to ask; what the PRACK acknowledges stays so.
            false if offers => on.refuse_in_dialog(request, key, Status::NOT_ACCEPTABLE_HERE),
            false => on.answer_in_dialog(request, key, Status::OK, |_, _| {}),
        }
        self.release_held(on, call);
        Ok(())
    }

    /// Passes the caller's PRACK on to the leg that waits for it; `false`: the leg has gone, or there is no
    /// room, and then the callee has got one of ours.
    fn pass_prack(
        &mut self,
        on: &mut Signalling,
        (call, (leg, rack)): (Handle, (Handle, (u32, u32))),
        (request, key): (&Request<'_>, ServerKey),
        offers: bool,
    ) -> bool {
        let to = Side::Callee(leg);
        if !self.is_open(to) || self.dialog(to).is_none() {
            return false;
        }
        let way = Way { call, from: Side::Caller(call), to };
        match self.relay(on, way, (request, key), Some(rack)) {
            Ok(handle) => {
                if offers {
                    let negotiation = (Negotiation::Received, Negotiation::Sent);
                    self.open_offer(on, handle, negotiation, [Some(way.from), Some(to)]);
                }
                true
            }
            Err(_) => self.prack_without(on, (leg, rack)),
        }
    }

    /// PRACK of our own where the caller's cannot be passed on, which is said by `false`.
    fn prack_without(&mut self, on: &mut Signalling, (leg, rack): (Handle, (u32, u32))) -> bool {
        if self.is_open(Side::Callee(leg)) && self.dialog(Side::Callee(leg)).is_some() {
            self.send_prack(on, leg, rack.0, false);
        }
        false
    }

    /// Ends the wait for the PRACK that is named; `None`: nothing waits for it. Else the leg that waits too,
    /// if one does, with what is acknowledged there.
    #[expect(clippy::option_option, reason = "found or not, and if found passed on or not")]
    fn take_prack(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        rack: RAck<'_>,
    ) -> Option<Option<(Handle, (u32, u32))>> {
        let call = self.calls.get_mut(handle)?;
        let outstanding = call.outstanding?;
        if (rack.rseq, rack.cseq, rack.method) != (call.rseq, call.invite_cseq, Method::Invite) {
            return None;
        }
        call.stop_repeating(&mut on.context);
        let Some((leg, rseq)) = outstanding.passes_to else { return Some(None) };
        // Another dialog may have become the leg's by its 2xx.
        let record = self.legs.get(leg).filter(|record| record.dialog.identity == outstanding.identity);
        Some(record.map(|record| (leg, (rseq, record.invite_cseq))))
    }

    /// Keeps a callee's response until the caller's PRACK. Of several the latest counts, but a 2xx stays, and
    /// one phone's early media when another only rings.
    pub(super) fn hold(&mut self, on: &mut Signalling, leg: Handle, response: &Message<'_>) {
        let Some(call) = self.legs.get(leg).and_then(|leg| self.calls.get_mut(leg.call)) else { return };
        let is_provisional = response.status().is_some_and(|status| status.is_provisional());
        if is_provisional && call.winner.is_some() {
            return;
        }
        // Another's early media is worth more to the caller than ringing.
        let is_other = call.held.is_some() && call.held_leg != Some(leg);
        if is_provisional && is_other && call.holds_media && response.body().is_empty() {
            return;
        }
        call.holds_media = is_provisional && !response.body().is_empty();
        let kept = on.context.keep.keep(response.bytes());
        let is_lost = kept.is_none() && call.winner.is_some();
        on.context.keep.release(std::mem::replace(&mut call.held, kept.unwrap_or(Kept::NONE)));
        call.held_leg = Some(leg);
        // No room for an answer: nothing would ever end the call.
        if let (true, Some(leg)) = (is_lost, self.legs.get(leg)) {
            let call = leg.call;
            self.give_legs_up(on, call);
            self.refuse(on, call, (Status::SERVICE_UNAVAILABLE, Cause::Failed));
        }
    }

    /// The caller acknowledged: what was held back goes out.
    pub(super) fn release_held(&mut self, on: &mut Signalling, handle: Handle) {
        let Some(call) = self.calls.get_mut(handle) else { return };
        // Once somebody has answered it is the 200 that the caller waits for.
        call.owes_181 &= call.winner.is_none();
        if call.state == CallState::Searching && call.owes_181 {
            self.with_invite(on, handle, |calls, on, invite| calls.tell_of_forwarding(on, handle, invite));
        }
        let call = self.calls.get_mut(handle).filter(|call| call.outstanding.is_none());
        if let Some(call) = call
            && std::mem::take(&mut call.owes_180)
            && call.state == CallState::Searching
            && !call.held.is_some()
            && call.heard == Heard::EarlyMedia
        {
            self.tell_of_ringing(on, handle);
        }
        let Some(call) = self.calls.get_mut(handle).filter(|call| call.outstanding.is_none()) else { return };
        let (held, leg) = (call.held.take(), call.held_leg.take());
        if let Some(leg) = leg.filter(|_| held.is_some()) {
            self.reread(on, &held, |calls, on, response| {
                if response.status().is_some_and(|status| status.is_success()) {
                    calls.answer_caller(on, handle, response);
                } else if calls.take_provisional(on, leg, response) == Progress::Now {
                    // Ringing of a further phone is nothing new.
                    let is_new = response.status() != Some(Status::RINGING)
                        || calls.calls.get(handle).is_some_and(|call| call.current == Some(leg));
                    calls.relay_provisional(on, leg, response, is_new);
                    calls.acknowledge_provisional(on, leg, response);
                }
            });
        }
        on.context.keep.release(held);
    }
}

/// The sequence number of a reliable provisional response (RFC 3262 §7.1).
pub(super) fn rseq_of(response: &Message<'_>) -> Option<u32> {
    let rseq = response.header(HeaderName::RSeq).and_then(whole_number).filter(|&rseq| rseq > 0)?;
    lists(response, HeaderName::Require, b"100rel").then_some(rseq)
}

/// Writes what a PRACK of ours acknowledges: RSeq and CSeq number of a response to our INVITE.
pub(super) fn write_rack(writer: &mut Writer<'_>, (rseq, cseq): (u32, u32)) {
    writer.name(HeaderName::RAck).number(rseq.into()).raw(b" ").number(cseq.into()).raw(b" INVITE");
    writer.end_line();
}
