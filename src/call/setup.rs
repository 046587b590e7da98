//! How a call begins, and how a leg to a callee is started.

use super::anchor::{Anchor, Lack, Round};
use super::chain::Chain;
use super::description::Description;
use super::dialog::Dialog;
use super::ended::Story;
use super::engine::Asked;
use super::forward::Next;
use super::identity::Identity;
use super::negotiation::Negotiation;
use super::record::{Call, Heard, Leg, RecordId};
use super::reliable::Reliability;
use super::search::{Callee, Search, own_status};
use super::session::{INTERVAL_MAX_S, SessionTimer, lists};
use super::side::Side;
use super::state::{CallState, LegState};
use super::write::{LegInvite, leg_invite, own_response, user_of, write_contact};
use super::{Calls, Request, Signalling, stamp};
use crate::clock::Deadline;
use crate::context::Context;
use crate::directory::{Entry, Location};
use crate::ids::Kind;
use crate::keep::Kept;
use crate::limits;
use crate::mail::Cause;
use crate::outbox::ListenerId;
use crate::service::Failure;
use crate::service::history::received_diversions;
use crate::sip::number::leading_number;
use crate::sip::write::Writer;
use crate::sip::{HeaderName, Message, Status, Uri};
use crate::slab::Handle;
use crate::timer::TimerHandle;
use crate::transaction::{AnswerTo, NotSent, ServerKey, User, reply};
use std::sync::Arc;

/// CSeq of a leg's first INVITE.
const FIRST_CSEQ: u32 = 1;

/// How often one leg may be told that its session interval is too small.
const REFUSED_INTERVALS_MAX: u8 = 2;

impl From<NotSent> for Status {
    fn from(error: NotSent) -> Status {
        match error {
            NotSent::TableFull => Status::SERVICE_UNAVAILABLE,
            NotSent::TooLong => Status::MESSAGE_TOO_LARGE,
        }
    }
}

impl Calls {
    /// A new INVITE for a subscriber of ours: 100 to the caller, INVITE to the callee.
    ///
    /// # Errors
    /// The status to refuse it with, when a table is full; nothing was sent or kept then.
    pub(super) fn begin(
        &mut self,
        on: &mut Signalling,
        request: &Request<'_>,
        key: ServerKey,
        (called, identity): (&Entry, Identity),
    ) -> Result<(), Status> {
        if self.legs.next_handle().is_none() {
            return Err(Status::SERVICE_UNAVAILABLE);
        }
        let handle = self.open_call(on, request, key, identity)?;
        self.keep_chain(on, handle, &request.message, called.subscriber.number.as_bytes());
        let heard = self.hear_request(on, (Side::Caller(handle), Round::Invite), request);
        if let Err(status) = heard {
            self.refuse(on, handle, (status, Cause::Failed));
            return Ok(());
        }
        if !self.awaits_engine(on, handle, &request.message) {
            self.call_first(on, handle, called, &request.message);
        }
        Ok(())
    }

    /// Calls whom the caller dialled.
    pub(super) fn call_first(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        called: &Entry,
        invite: &Message<'_>,
    ) {
        match self.call_subscriber(on, handle, called, invite) {
            Next::Tried => {}
            Next::Refuse(status, cause) => self.refuse(on, handle, (status, cause)),
            Next::Relay => {
                self.refuse(on, handle, (own_status(&Failure::NotRegistered), Cause::NotRegistered));
            }
        }
    }

    /// The record of a call and its server transaction; 100 to the caller.
    ///
    /// # Errors
    /// The status to refuse it with, when a table is full; nothing was sent or kept then.
    pub(super) fn open_call(
        &mut self,
        on: &mut Signalling,
        request: &Request<'_>,
        key: ServerKey,
        identity: Identity,
    ) -> Result<Handle, Status> {
        let handle = self.calls.next_handle().ok_or(Status::SERVICE_UNAVAILABLE)?;
        if !on.transactions.has_room_for_call() || !on.context.keep.has_room_for_call() {
            return Err(Status::SERVICE_UNAVAILABLE);
        }
        let call = new_call(&mut on.context, (request, identity), handle)?;
        let answer_to = call.reply_to;
        let Ok(handle) = self.calls.insert(call) else { return Err(Status::SERVICE_UNAVAILABLE) };
        let opened = on.transactions.open_server(&request.message, key, answer_to, User::Call(handle));
        let (Some(call), Some(transaction)) = (self.calls.get_mut(handle), opened) else {
            // Room was checked above: the transaction table keeps an eighth for calls that live.
            on.context.metrics.impossible_events += 1;
            return Err(Status::SERVICE_UNAVAILABLE);
        };
        call.transaction = transaction;
        on.context.metrics.calls_started += 1;
        let call = &*call;
        on.transactions.respond(&mut on.context, transaction, Status::TRYING, |context, out| {
            own_response(context, out, call, Status::TRYING, |writer| {
                // RFC 3261 §8.2.6.1.
                if let Some(timestamp) = request.message.header(HeaderName::Timestamp) {
                    writer.header(HeaderName::Timestamp, timestamp);
                }
            });
        });
        Ok(handle)
    }

    /// Sends an INVITE to a location.
    ///
    /// # Errors
    /// The status for the caller when it could not be sent.
    pub(super) fn start_leg(
        &mut self,
        on: &mut Signalling,
        call_handle: Handle,
        location: &Location<'_>,
        invite: &Message<'_>,
    ) -> Result<(), Status> {
        let handle = self.legs.next_handle().ok_or(Status::SERVICE_UNAVAILABLE)?;
        let Some(call) = self.calls.get_mut(call_handle) else { return Err(Status::SERVER_INTERNAL_ERROR) };
        let context = &mut on.context;
        let listener = listener_for(context, call.listener, location);
        let answer_to = AnswerTo { listener, destination: location.destination };
        let mut scratch = std::mem::take(&mut context.scratch);
        let sent_by = context.settings.listeners.get(usize::from(listener.0)).map_or("", |l| &l.sent_by);
        let call_id_nonce = context.mint.call_id_nonce(sent_by, &mut scratch);
        context.scratch = scratch;
        let mut leg = Leg {
            state: LegState::Calling,
            call: call_handle,
            next: call.first_leg,
            transaction: None,
            answer_to,
            timer: TimerHandle::NONE,
            is_behind_nat: is_behind_nat(location),
            location: location_hash(context, location),
            invite_cseq: FIRST_CSEQ,
            call_id_nonce,
            session_s: context.settings.session_expires_s,
            refused_intervals: 0,
            offered: !call.late_offer,
            rseq: 0,
            dialog: Dialog::none(answer_to),
            others: Vec::new(),
            early_answer: Description::NONE,
            number: call.legs.saturating_add(1),
            hops: call.hops(context),
            started_at: context.now,
            answered_at: None,
            anchor: Anchor::default(),
            story: Story::NONE,
        };
        match send_invite(on, call, (handle, &mut leg), location, invite) {
            Ok(transaction) => leg.transaction = Some(transaction),
            Err(status) => {
                leg.release(&mut on.context);
                return Err(status);
            }
        }
        call.legs = leg.number;
        if self.legs.insert(leg).is_ok() {
            call.first_leg = Some(handle);
            call.current = call.current.or(Some(handle));
        }
        Ok(())
    }

    /// A callee finds our session interval too small: the INVITE goes out again with the one that it names
    /// (RFC 4028 §7.3). `false`: it does not.
    pub(super) fn retry_interval(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        response: &Message<'_>,
    ) -> bool {
        let least = response.header(HeaderName::MinSe).and_then(leading_number);
        let (Some((least, _)), Some(leg)) = (least, self.legs.get_mut(handle)) else { return false };
        let is_better = (leg.session_s + 1..=INTERVAL_MAX_S).contains(&least);
        if !is_better || leg.refused_intervals >= REFUSED_INTERVALS_MAX {
            return false;
        }
        let call_handle = leg.call;
        let is_tried = leg.is_tried()
            && self.calls.get(call_handle).is_some_and(|call| call.state == CallState::Searching);
        let directory = Arc::clone(&on.context.directory);
        let view = directory.read();
        let call = self.calls.get(call_handle);
        let outside = call.and_then(|call| call.search.outside.clone());
        let callee = match &outside {
            Some(outside) => Some(Callee::Outside(outside)),
            None => call.and_then(|call| view.get(call.called(&on.context))).map(Callee::Subscriber),
        };
        let mut locations = callee.into_iter().flat_map(|callee| callee.locations(on.context.unix()));
        let location = locations.find(|location| location_hash(&on.context, location) == leg.location);
        let (true, Some(location)) = (is_tried, location) else { return false };
        on.context.disarm(&mut leg.timer);
        leg.state = LegState::Calling;
        leg.session_s = least;
        leg.refused_intervals += 1;
        leg.invite_cseq += 1;
        leg.forget_dialogs(&mut on.context);
        // What it said to the INVITE before is of no interest any more.
        let call = self.calls.get_mut(call_handle);
        if let Some(call) = call.filter(|call| call.held_leg == Some(handle) && call.winner.is_none()) {
            on.context.keep.release(call.held.take());
            (call.held_leg, call.holds_media) = (None, false);
        }
        let sent = self.with_invite(on, call_handle, |calls, on, invite| {
            let (Some(call), Some(leg)) = (calls.calls.get(call_handle), calls.legs.get_mut(handle)) else {
                return false;
            };
            match send_invite(on, call, (handle, leg), &location, invite) {
                Ok(transaction) => leg.transaction = Some(transaction),
                Err(_) => return false,
            }
            leg.story = Story::NONE;
            true
        });
        sent == Some(true)
    }

    /// Reads the caller's INVITE again.
    pub(super) fn with_invite<R>(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        act: impl FnOnce(&mut Calls, &mut Signalling, &Message<'_>) -> R,
    ) -> Option<R> {
        let kept = self.calls.get_mut(handle)?.invite.take();
        let result = self.reread(on, &kept, act);
        match self.calls.get_mut(handle) {
            Some(call) => call.invite = kept,
            None => on.context.keep.release(kept),
        }
        result
    }
}

/// Sends the INVITE of a leg, whose record says what it is made of.
fn send_invite(
    on: &mut Signalling,
    call: &Call,
    (handle, leg): (Handle, &mut Leg),
    location: &Location<'_>,
    invite: &Message<'_>,
) -> Result<Handle, Status> {
    let host = leg.answer_to.destination.ip();
    let spoken = leg.anchor.speak_message(&mut on.context, host, (invite, Lack::Fails))?;
    let (leg, invite) = (&*leg, &spoken.in_place(invite));
    let tag = on.context.mint.tag(Kind::Leg, handle);
    let to = (leg.answer_to, leg.invite_cseq);
    let sent = on.transactions.send_invite(&mut on.context, User::Leg(handle), to, |context, out, branch| {
        let parts = LegInvite {
            request_uri: location.uri.as_bytes(),
            path: location.path.as_bytes(),
            listener: leg.answer_to.listener,
            branch,
            tag: &tag,
            call_id_nonce: leg.call_id_nonce,
            cseq: leg.invite_cseq,
            max_forwards: call.max_forwards,
            session_s: leg.session_s,
            // What the callee asked for has to be asked of those behind it too (RFC 4028 §7.4).
            min_se_s: if leg.refused_intervals > 0 { leg.session_s } else { 0 },
            // Once a callee's answer has reached the caller reliably, another's cannot.
            reliable: call.reliability != Reliability::Unknown && call.answered_by == 0,
            record_id: &call.record_id,
            history: call.history_towards(context, leg.answer_to.destination, invite),
            passage: call
                .identity
                .towards(&context.settings.auth, leg.answer_to.destination)
                .with_diverting(call.diverting_towards(context, leg.answer_to.destination)),
        };
        leg_invite(context, out, invite, &parts)
    });
    sent.map_err(Status::from)
}

/// The call's record, with everything of the INVITE that later messages need.
fn new_call(
    context: &mut Context,
    (request, identity): (&Request<'_>, Identity),
    handle: Handle,
) -> Result<Call, Status> {
    let message = &request.message;
    let reply_to = request.answer_to().ok_or(Status::BAD_REQUEST)?;
    let tag = context.mint.tag(Kind::Call, handle);
    let (invite, (head, contact, record_route)) = keep_invite(context, request, &tag)?;
    let caller = identity.name_of(user_of(message.header(HeaderName::From).unwrap_or_default()));
    let (late_offer, reliability) = (message.body().is_empty(), Reliability::of(message));
    let dialog = caller_dialog(context, request, &tag, (late_offer, reliability));
    if !dialog.is_some() {
        context.keep.release(invite);
        context.keep.release(head);
        return Err(Status::SERVICE_UNAVAILABLE);
    }
    Ok(Call {
        state: CallState::Searching,
        heard: Heard::Nothing,
        caller_over: true,
        max_forwards: message.max_forwards().unwrap_or(70).saturating_sub(1),
        listener: request.listener,
        reply_to,
        invite_cseq: message.cseq().map_or(0, |cseq| cseq.number),
        transaction: Handle { index: u32::MAX, generation: 0 },
        invite,
        head,
        contact,
        record_route,
        dialog,
        answer: Kept::NONE,
        answer_attempt: 0,
        answer_give_up: Deadline::from_ms(0),
        timer: TimerHandle::NONE,
        limit: Deadline::from_ms(u64::MAX),
        reliability,
        rseq: 0,
        outstanding: None,
        held: Kept::NONE,
        held_leg: None,
        holds_media: false,
        is_early: false,
        owes_181: false,
        owes_180: false,
        answered_by: 0,
        late_answer: Description::NONE,
        owed: Description::NONE,
        cancel_reason: Kept::NONE,
        relays: Vec::new(),
        reinvite: None,
        chain: Chain { count: received_diversions(message), ..Chain::default() },
        record_id: RecordId::new(caller, stamp(context), context.mint.record_sequence()),
        started_at: context.now,
        first_leg: None,
        current: None,
        search: Search::NONE,
        media: None,
        anchor: Anchor::default(),
        silence: TimerHandle::NONE,
        answered_at: None,
        winner: None,
        identity,
        feature: None,
        late_offer,
        asked: Asked::default(),
        legs: 0,
        story: Story::NONE,
    })
}

/// The dialog with the caller, with what its INVITE says of what may be asked in it.
fn caller_dialog(
    context: &mut Context,
    request: &Request<'_>,
    tag: &[u8],
    (late_offer, reliability): (bool, Reliability),
) -> Dialog {
    let message = &request.message;
    let mut dialog = Dialog::with_caller(context, message, tag, (request.listener, request.source));
    dialog.session = dialog.session.asked(message).unwrap_or(SessionTimer::NONE);
    // Where it may have to be asked for something within the dialog.
    let may_ask = dialog.session.interval_s > 0 || reliability != Reliability::Unknown;
    dialog.takes_update = may_ask && lists(message, HeaderName::Allow, b"UPDATE");
    dialog.negotiation = if late_offer { Negotiation::Stable } else { Negotiation::Received };
    dialog
}

/// Keeps the INVITE, and what [`keep_head`] keeps; both or neither.
fn keep_invite(
    context: &mut Context,
    request: &Request<'_>,
    tag: &[u8],
) -> Result<(Kept, (Kept, u16, u16)), Status> {
    let invite = context.keep.keep(request.message.bytes()).ok_or(Status::SERVICE_UNAVAILABLE)?;
    match keep_head(context, request, tag) {
        Ok(head) => Ok((invite, head)),
        Err(status) => {
            context.keep.release(invite);
            Err(status)
        }
    }
}

/// Keeps what every response to the INVITE starts with, and says where Contact and Record-Route start.
fn keep_head(context: &mut Context, request: &Request<'_>, tag: &[u8]) -> Result<(Kept, u16, u16), Status> {
    let mut text = std::mem::take(&mut context.scratch);
    text.clear();
    reply::write_head(&mut text, &request.message, request.source, tag);
    let contact = text.len();
    let called = Uri::parse(request.message.request_uri()).map_or(&b""[..], |uri| uri.user);
    write_contact(&mut Writer::new(&mut text), called, context.sent_by(request.listener));
    let record_route = text.len();
    for route in request.message.values(HeaderName::RecordRoute) {
        Writer::new(&mut text).header(HeaderName::RecordRoute, route);
    }
    let kept = (text.len() <= limits::RESPONSE_HEAD_BYTES_MAX).then(|| context.keep.keep(&text));
    context.scratch = text;
    let kept = kept.ok_or(Status::MESSAGE_TOO_LARGE)?.ok_or(Status::SERVICE_UNAVAILABLE)?;
    // Both are below the maximum, which fits.
    Ok((kept, contact as u16, record_route as u16))
}

/// Whether a location is not where its URI says: it registered through a NAT.
fn is_behind_nat(location: &Location<'_>) -> bool {
    // Only what registered has a listener of its own.
    if location.listener.is_none() {
        return false;
    }
    let address = Uri::parse(location.uri.as_bytes())
        .ok()
        .and_then(|uri| Some(std::net::SocketAddr::new(uri.ip()?, uri.port.unwrap_or(5060))));
    location.path.is_empty() && address.is_some_and(|address| address != location.destination)
}

/// Stands for a location, should its INVITE have to be written again.
fn location_hash(context: &Context, location: &Location<'_>) -> u64 {
    context.mint.hash(&[location.uri.as_bytes(), location.path.as_bytes()])
}

/// The listener to call a location from: its own, the caller's, or the first one of its address family.
fn listener_for(context: &Context, caller: ListenerId, location: &Location<'_>) -> ListenerId {
    let listeners = &context.settings.listeners;
    let is_ipv4 = location.destination.is_ipv4();
    let fits = |listener: &crate::settings::Listener| listener.address.is_ipv4() == is_ipv4;
    let preferred = location.listener.into_iter().chain([caller]);
    let mut named = preferred.filter(|id| listeners.get(usize::from(id.0)).is_some_and(fits));
    let any = || listeners.iter().position(fits).map_or(caller, |position| ListenerId(position as u8));
    named.next().unwrap_or_else(any)
}
