//! Requests in a dialog that are the other party's business: passed on in the other dialog, and the final
//! response passed back (SIP_RULES 21).

use super::anchor::Round;
use super::dialog::{RequestLine, contact_uri};
use super::identity::Passage;
use super::media::{Spoken, is_anchored, within_call};
use super::negotiation::Negotiation;
use super::reinvite::Reinvite;
use super::reliable::write_rack;
use super::session::SessionTimer;
use super::side::Side;
use super::write::{
    negotiates_extensions, passed_status, relayed_final, relayed_request, user_of, write_contact,
};
use super::{Calls, Request, Signalling};
use crate::context::Context;
use crate::keep::Kept;
use crate::limits;
use crate::sip::write::Writer;
use crate::sip::{HeaderName, Message, Method, Status};
use crate::slab::Handle;
use crate::transaction::{AnswerTo, Exchange, ServerKey, User, reply};

/// A request on its way through the call.
#[derive(Debug)]
pub(super) struct Relay {
    pub call: Handle,
    /// Who asked; `None`: we did.
    pub from: Option<Side>,
    pub to: Side,
    /// The identities of their dialogs: another branch of a fork may win meanwhile, and its dialog is not
    /// concerned.
    pub dialogs: [u64; 2],
    pub method: Method,
    /// The asker's server transaction.
    pub server: Option<Handle>,
    /// Where responses to the asker go.
    pub answer_to: AnswerTo,
    /// What every response to the asker starts with behind the status line.
    pub head: Kept,
    /// Where our Contact starts in it.
    pub contact: u16,
    /// It opened an offer between the sides.
    pub negotiates: bool,
    /// The asker's new remote target, once its request is taken.
    pub target: Kept,
    /// The session timer that the asker is granted.
    pub session: SessionTimer,
    /// The asker's CSeq number.
    pub cseq: u32,
    pub reinvite: Option<Reinvite>,
}

/// Who is on both sides of a request that is passed on.
#[derive(Clone, Copy)]
pub(super) struct Way {
    pub call: Handle,
    pub from: Side,
    pub to: Side,
}

impl Calls {
    /// Where a request of this side's is passed on to.
    ///
    /// # Errors
    /// The status to refuse it with: 500 while the other side has no dialog yet, 481 when it has gone.
    pub(super) fn way_from(&self, from: Side) -> Result<Way, Status> {
        let call = self.call_of(from).ok_or(Status::CALL_DOES_NOT_EXIST)?;
        match self.peer_of(from) {
            Some(to) if self.is_open(to) && self.is_heard(to) => Ok(Way { call, from, to }),
            _ if self.is_searching(call) && self.is_open(from) => Err(Status::SERVER_INTERNAL_ERROR),
            _ => Err(self.absence(call)),
        }
    }

    /// What a request for the other party gets where there is none. The caller of a feature code stays in its
    /// dialog, which 481 would end (RFC 5057 §5).
    pub(super) fn absence(&self, call: Handle) -> Status {
        match self.calls.get(call) {
            Some(call) if call.feature.is_some() => Status::NOT_ACCEPTABLE_HERE,
            _ => Status::CALL_DOES_NOT_EXIST,
        }
    }

    /// Passes a request on that is none of INVITE, ACK, BYE and CANCEL. `rack`: what a PRACK acknowledges on
    /// the other side.
    ///
    /// The handle is gone where no datagram can hold what was to be sent: the asker has its 513 then.
    ///
    /// # Errors
    /// The status to refuse it with; nothing was sent then.
    pub(super) fn relay(
        &mut self,
        on: &mut Signalling,
        way: Way,
        (request, key): (&Request<'_>, ServerKey),
        rack: Option<(u32, u32)>,
    ) -> Result<Handle, Status> {
        let negotiates = negotiates_extensions(request.message.method());
        let told = self.told(way.to);
        let spoken = match negotiates {
            true => self.speak(on, way.to, &request.message).map_err(within_call)?,
            false => Spoken::SAME,
        };
        let handle = self.open_relay(on, way, request, key).inspect_err(|_| self.unsay(way.to, told))?;
        let message = &spoken.in_place(&request.message);
        let referred = self.dialog(way.from).map(|dialog| dialog.referred);
        let Some(dialog) = self.dialog_mut(way.to) else { return Err(Status::CALL_DOES_NOT_EXIST) };
        dialog.local_cseq += 1;
        let number = dialog.local_cseq;
        if message.method() == Method::Refer {
            dialog.referred = (number, message.cseq().map_or(0, |cseq| cseq.number));
        }
        let dialog = &*dialog;
        let to = (dialog.answer_to, number);
        let user = (User::Relay(handle), Exchange::Relayed);
        let sent = on.transactions.send_request(&mut on.context, user, to, |context, out, branch| {
            dialog.write_request(context, out, passed_line(message, number), branch);
            let mut writer = Writer::new(out);
            if let Some(rack) = rack {
                write_rack(&mut writer, rack);
            }
            dialog.write_contact(context, &mut writer);
            let ends = (request.source, dialog.answer_to.destination);
            let passage = Passage::in_dialog(&context.settings.auth, message, ends);
            relayed_request(&mut writer, message, (dialog.session, passage), referred);
        });
        if sent.is_err() {
            // Longer than a datagram with our header fields in it.
            self.unsay(way.to, told);
            self.respond_relay(on, handle, Status::MESSAGE_TOO_LARGE, None);
            self.remove_relay(on, handle);
        }
        Ok(handle)
    }

    /// Opens the asker's transaction and the record.
    ///
    /// # Errors
    /// The status to refuse the request with; nothing is kept then.
    pub(super) fn open_relay(
        &mut self,
        on: &mut Signalling,
        way: Way,
        request: &Request<'_>,
        key: ServerKey,
    ) -> Result<Handle, Status> {
        let message = &request.message;
        let handle = self.relays.next_handle().ok_or(Status::SERVICE_UNAVAILABLE)?;
        let answer_to = request.answer_to().ok_or(Status::BAD_REQUEST)?;
        let session = self.dialog(way.from).map_or(SessionTimer::NONE, |dialog| dialog.session);
        let refreshes = matches!(message.method(), Method::Invite | Method::Update);
        let session = if refreshes { session.asked(message)? } else { session };
        if message.max_forwards() == Some(0) {
            return Err(Status::TOO_MANY_HOPS);
        }
        // Both transactions, so that none is left alone; and no call takes what others need.
        let is_full =
            self.calls.get(way.call).is_none_or(|call| call.relays.len() >= limits::RELAYS_PER_CALL_MAX);
        if is_full || !on.transactions.has_room_for(2) || !on.context.keep.has_room_for_relay() {
            return Err(Status::SERVICE_UNAVAILABLE);
        }
        let (head, contact) = keep_head(&mut on.context, request)?;
        let Some(server) = on.transactions.open_server(message, key, answer_to, User::Relay(handle)) else {
            on.context.keep.release(head);
            return Err(Status::SERVICE_UNAVAILABLE);
        };
        let target = contact_uri(message).filter(|_| refreshes);
        let target = target.and_then(|target| on.context.keep.keep(target)).unwrap_or(Kept::NONE);
        let relay = Relay {
            call: way.call,
            from: Some(way.from),
            to: way.to,
            dialogs: [self.identity(way.from), self.identity(way.to)],
            method: message.method(),
            server: Some(server),
            answer_to,
            head,
            contact,
            negotiates: false,
            target,
            session,
            cseq: message.cseq().map_or(0, |cseq| cseq.number),
            reinvite: None,
        };
        on.context.metrics.requests_relayed += 1;
        if let Some(call) = self.calls.get_mut(way.call) {
            call.relays.push(handle);
        }
        // The handle was free above.
        self.relays.insert(relay).map_err(|_| Status::SERVICE_UNAVAILABLE)
    }

    /// Opens an offer between the two sides of a relay; where it could not be sent, it has come to nothing.
    pub(super) fn open_offer(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        (here, there): (Negotiation, Negotiation),
        sides: [Option<Side>; 2],
    ) {
        let Some(relay) = self.relays.get_mut(handle) else { return self.disagree(on, sides) };
        relay.negotiates = true;
        let (from, to) = (relay.from, relay.to);
        if let Some(dialog) = from.and_then(|from| self.dialog_mut(from)) {
            dialog.negotiation = here;
        }
        if let Some(dialog) = self.dialog_mut(to) {
            dialog.negotiation = there;
        }
    }

    /// The offer that a relay opened is over. Without an answer to be agreed on (`is_answered`) what was
    /// agreed before counts on.
    pub(super) fn close_offer(&mut self, on: &mut Signalling, handle: Handle, is_answered: bool) {
        let Some(relay) = self.relays.get_mut(handle) else { return };
        if !std::mem::take(&mut relay.negotiates) {
            return;
        }
        let sides = [relay.from, Some(relay.to)];
        let relay_dialogs = relay.dialogs;
        if !is_answered {
            self.disagree(on, sides);
        }
        for (side, identity) in sides.into_iter().zip(relay_dialogs) {
            let dialog = side.and_then(|side| self.dialog_mut(side));
            if let Some(dialog) = dialog.filter(|dialog| dialog.identity == identity) {
                dialog.negotiation = Negotiation::Stable;
            }
        }
    }

    /// What became of a request that was passed on; `None`: no answer, and then there is none for the asker
    /// either, who has given up by now (RFC 4320 §4).
    pub(super) fn relayed(&mut self, on: &mut Signalling, handle: Handle, response: Option<&Message<'_>>) {
        let Some(relay) = self.relays.get(handle) else { return };
        let (from, to, method, server) = (relay.from, relay.to, relay.method, relay.server);
        let (is_same, negotiates) = (relay.dialogs[1] == self.identity(to), relay.negotiates);
        let status = response.and_then(|response| response.status());
        let is_answered = status.is_some_and(|status| status.is_success());
        self.close_offer(on, handle, is_answered);
        if from.is_none() {
            self.remove_relay(on, handle);
            return self.refreshed(on, to, response);
        }
        let status = status.filter(|&status| status != Status::REQUEST_TIMEOUT);
        let status = self.raise_interval(to, response).or(status);
        let answer = response.filter(|_| negotiates && is_answered);
        if let Some(answer) = answer {
            // What the answer has no ports for the asker is told all the same.
            let _ = self.hear_in_any_case(on, (to, Round::Later), answer);
        }
        // Whoever asked may have gone meanwhile, with its ports: the answer is none of its business.
        let is_gone = from.is_some_and(|from| self.call_of(from).is_none());
        match (status, server) {
            (Some(_), _) if is_gone && answer.is_some() && is_anchored(&on.context) => {
                self.respond_relay(on, handle, Status::CALL_DOES_NOT_EXIST, None);
            }
            (Some(status), _) => {
                self.respond_relay(on, handle, passed_status(status), response);
            }
            (None, Some(server)) => on.transactions.abandon_unanswered(&mut on.context, server),
            (None, None) => {}
        }
        if answer.is_some() {
            self.agree_between(on, [from, Some(to)], Round::Later);
            self.forget_early_answers(on, [from, Some(to)]);
        }
        if method == Method::Update {
            if let Some(dialog) = self.dialog_mut(to).filter(|_| is_same && is_answered) {
                // Whoever takes one is refreshed by one: no description has to be kept for it.
                dialog.takes_update = true;
            }
            self.settle_session(on, handle, response);
            if is_same && matches!(status, None | Some(Status::CALL_DOES_NOT_EXIST)) {
                self.dialog_lost(on, to);
            }
        }
        self.remove_relay(on, handle);
    }

    /// What a callee has said of the session before a later offer was agreed on.
    fn forget_early_answers(&mut self, on: &mut Signalling, sides: [Option<Side>; 2]) {
        for side in sides.into_iter().flatten() {
            if let Side::Callee(leg) = side
                && let Some(leg) = self.legs.get_mut(leg)
            {
                leg.early_answer.take().release(&mut on.context);
            }
        }
    }

    /// What tells a side's dialog from others of the same leg.
    pub(super) fn identity(&self, side: Side) -> u64 {
        self.dialog(side).map_or(0, |dialog| dialog.identity)
    }

    /// Target and session timer of both dialogs after a 2xx to a re-INVITE or UPDATE.
    pub(super) fn settle_session(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        response: Option<&Message<'_>>,
    ) {
        let Some(response) = response.filter(|r| r.status().is_some_and(|status| status.is_success())) else {
            return;
        };
        let Some(relay) = self.relays.get_mut(handle) else { return };
        let (from, to, session, target) = (relay.from, relay.to, relay.session, relay.target.take());
        let identity = relay.dialogs[1];
        if let Some(dialog) = self.dialog_mut(to).filter(|dialog| dialog.identity == identity) {
            dialog.refresh_target(&mut on.context, response);
            dialog.session = dialog.session.granted(response);
            self.restart_session(on, to);
        }
        if let Some(from) = from {
            if let Some(dialog) = self.dialog_mut(from) {
                dialog.session = session;
                if target.is_some() {
                    let uri = on.context.keep.bytes(&target).to_vec();
                    dialog.set_target(&mut on.context, &uri);
                }
            }
            self.restart_session(on, from);
        }
        on.context.keep.release(target);
    }

    /// A response to the asker: the other side's, or one of our own. `false`: it is too long for a datagram
    /// with our header fields in it; a final one has become a 500 then.
    pub(super) fn respond_relay(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        status: Status,
        response: Option<&Message<'_>>,
    ) -> bool {
        let Some(relay) = self.relays.get(handle) else { return false };
        // What a refusal describes is no answer.
        let speaks = negotiates_extensions(relay.method) && status.code() < 300;
        let from = relay.from.filter(|_| speaks);
        let spoken = match (from, response) {
            (Some(from), Some(response)) => self.speak_in_any_case(on, from, response),
            _ => Spoken::SAME,
        };
        let response = response.map(|response| spoken.in_place(response));
        let response = response.as_ref();
        let Some(relay) = self.relays.get(handle) else { return false };
        let Some(server) = relay.server else { return false };
        let sent = on.transactions.respond(&mut on.context, server, status, |context, out| {
            relayed_final(context, out, relay, status, response);
        });
        if !sent && status.is_final() {
            let status = Status::SERVER_INTERNAL_ERROR;
            on.transactions.respond(&mut on.context, server, status, |context, out| {
                relayed_final(context, out, relay, status, None);
            });
        }
        sent
    }

    /// A leg is given up, or another early dialog of it has answered: whatever the caller asked there is
    /// answered with 500, so that the caller may ask whoever comes next. A PRACK has done what it was for;
    /// but an offer in it has nobody to answer it. `winner`: the identity of the dialog that answered; 0:
    /// none did.
    pub(super) fn refuse_relays_to(&mut self, on: &mut Signalling, leg: Handle, winner: u64) {
        let call = self.call_of(Side::Callee(leg)).and_then(|call| self.calls.get(call));
        let Some(relays) = call.map(|call| call.relays.clone()) else { return };
        for handle in relays {
            let relay = self.relays.get(handle).filter(|relay| relay.to == Side::Callee(leg));
            let relay = relay.filter(|relay| relay.dialogs[1] != winner);
            let status = match relay.map(|relay| (relay.method, relay.negotiates)) {
                None => continue,
                Some((Method::Prack, false)) => Status::OK,
                Some((Method::Prack, true)) => Status::NOT_ACCEPTABLE_HERE,
                Some(_) => Status::SERVER_INTERNAL_ERROR,
            };
            self.close_offer(on, handle, false);
            self.respond_relay(on, handle, status, None);
            self.remove_relay(on, handle);
        }
    }

    /// Forgets a relay; an offer in it that nobody has answered has come to nothing.
    pub(super) fn remove_relay(&mut self, on: &mut Signalling, handle: Handle) {
        self.close_offer(on, handle, false);
        let Some(mut relay) = self.relays.remove(handle) else { return };
        on.context.keep.release(relay.head.take());
        on.context.keep.release(relay.target.take());
        if let Some(call) = self.calls.get_mut(relay.call) {
            call.relays.retain(|&other| other != handle);
        }
        if let Some(reinvite) = relay.reinvite.take() {
            reinvite.release(&mut on.context);
            if let Some(call) = self.calls.get_mut(relay.call)
                && call.reinvite == Some(handle)
            {
                call.reinvite = None;
            }
        }
    }
}

/// The line that a request is passed on with.
pub(super) fn passed_line<'a>(message: &Message<'a>, cseq: u32) -> RequestLine<'a> {
    let hops = message.max_forwards().unwrap_or(70).saturating_sub(1);
    RequestLine { method: message.method_text(), cseq, max_forwards: hops.into() }
}

/// Keeps what the responses to a request in a dialog start with, and says where our Contact starts in it.
///
/// # Errors
/// The status to refuse the request with: they would be too long, or there is no room.
fn keep_head(context: &mut Context, request: &Request<'_>) -> Result<(Kept, u16), Status> {
    let mut text = std::mem::take(&mut context.scratch);
    text.clear();
    reply::write_head(&mut text, &request.message, request.source, b"");
    let contact = text.len();
    let own = user_of(request.message.header(HeaderName::To).unwrap_or_default());
    write_contact(&mut Writer::new(&mut text), own, context.sent_by(request.listener));
    let kept = (text.len() <= limits::RESPONSE_HEAD_BYTES_MAX).then(|| context.keep.keep(&text));
    context.scratch = text;
    let kept = kept.ok_or(Status::MESSAGE_TOO_LARGE)?.ok_or(Status::SERVICE_UNAVAILABLE)?;
    // Below the maximum, which fits.
    Ok((kept, contact as u16))
}
