//! Calls to feature codes: nobody is called; the caller's forwarding is changed or told.
//!
//! Such a call has no leg. It searches while the store is asked, is answered with streams in which a tone is
//! to be heard, or nothing (`announce`), and ends by itself soon after its ACK.

use super::announce;
use super::dialog::RequestLine;
use super::identity::Identity;
use super::media::is_anchored;
use super::negotiation::Negotiation;
use super::session::lists;
use super::state::CallState;
use super::write::{SUPPORTED, user_of};
use super::{Calls, Request, Signalling};
use crate::auth::Caller;
use crate::context::{Context, Due};
use crate::directory::{Entry, View};
use crate::limits::NUMBER_BYTES_MAX;
use crate::mail::{Cause, Letter};
use crate::media::Tone;
use crate::outbox::ListenerId;
use crate::sdp;
use crate::service::Wrong;
use crate::service::change::{Change, NotSet};
use crate::service::codes::{self, Bad, Code};
use crate::signalling::ALLOW;
use crate::sip::name_addr::split_list;
use crate::sip::write::Writer;
use crate::sip::{HeaderName, Message, Method, Status, Uri};
use crate::slab::Handle;
use crate::transaction::{Exchange, ServerKey, User};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// How long the caller stays in a call to a feature code in which nothing is to be heard: a phone that is
/// hung up on at once takes it for a failure.
const LASTS_MS: u32 = 1_000;

/// What a call to a feature code is about.
#[derive(Debug)]
pub(super) struct Feature {
    /// Whose forwarding it is.
    number: Box<str>,
    /// The conditions that were dialled; `None`: nothing that can be done.
    code: Option<Code>,
    /// The caller's Allow lists MESSAGE (RFC 3428): it can be told in words.
    takes_message: bool,
    /// The caller's phone can play a tone, and was told where that comes from.
    pub is_audible: bool,
    /// What it is refused with once the caller has heard so.
    pub refused: Option<Refused>,
}

/// Why a feature code is refused, and what the caller's phone may show.
#[derive(Debug)]
pub(super) struct Refused {
    status: Status,
    reason: String,
    /// Whose code it is, where that is known: the caller hears of it.
    owner: Option<Box<str>>,
}

impl Refused {
    fn because(status: Status, reason: impl Into<String>) -> Refused {
        Refused { status, reason: reason.into(), owner: None }
    }

    fn to(self, owner: &str) -> Refused {
        Refused { owner: Some(owner.into()), ..self }
    }

    /// What the caller hears of it.
    pub fn tone(&self) -> Tone {
        if self.status == Status::SERVICE_UNAVAILABLE { Tone::Busy } else { Tone::Error }
    }
}

impl From<Bad> for Refused {
    fn from(bad: Bad) -> Refused {
        let status = if bad == Bad::Unknown { Status::NOT_FOUND } else { Status::ADDRESS_INCOMPLETE };
        Refused::because(status, bad.text())
    }
}

impl From<NotSet> for Refused {
    fn from(not_set: NotSet) -> Refused {
        let status = match &not_set {
            NotSet::Unavailable => Status::SERVICE_UNAVAILABLE,
            NotSet::NothingSet | NotSet::Wrong(Wrong::NoWay(_)) => Status::NOT_FOUND,
            NotSet::Wrong(Wrong::NoTarget(_)) => Status::ADDRESS_INCOMPLETE,
            NotSet::NoSubscriber
            | NotSet::Configured
            | NotSet::Wrong(Wrong::Itself | Wrong::Loop(_) | Wrong::Emergency(_)) => Status::FORBIDDEN,
        };
        let reason = match not_set {
            NotSet::Unavailable => "the setting cannot be stored now".to_owned(),
            NotSet::NoSubscriber => "the number is not served any more".to_owned(),
            NotSet::Configured => "the number's forwarding is set in the configuration".to_owned(),
            NotSet::NothingSet => "there is no forwarding to activate".to_owned(),
            // Whom other numbers forward to is theirs to know.
            NotSet::Wrong(Wrong::Loop(_)) => "calls would go in a loop".to_owned(),
            NotSet::Wrong(wrong) => wrong.to_string(),
        };
        Refused::because(status, reason)
    }
}

impl Calls {
    /// An INVITE for a feature code. What asks for nothing that can be done is refused at once and needs no
    /// call.
    ///
    /// # Errors
    /// The status to refuse it with, when a table is full; nothing was sent or kept then.
    pub(super) fn dial(
        &mut self,
        on: &mut Signalling,
        (request, key): (&Request<'_>, ServerKey),
        (caller, identity): (Caller<'_>, Identity),
    ) -> Result<(), Status> {
        let read = read(&on.context, request, caller);
        let feature = match read.and_then(|feature| check_body(on, request).map(|()| feature)) {
            Ok(feature) => feature,
            Err(Refused { owner: Some(number), status, reason }) if is_anchored(&on.context) => {
                let handle = self.open_call(on, request, key, identity)?;
                let feature =
                    Feature { number, code: None, takes_message: false, is_audible: false, refused: None };
                if let Some(call) = self.calls.get_mut(handle) {
                    call.feature = Some(Box::new(feature));
                }
                self.refuse_feature(on, handle, Refused::because(status, reason));
                return Ok(());
            }
            Err(Refused { status, reason, .. }) => {
                on.context.metrics.feature_codes_refused += 1;
                on.refuse_because(request, (status, b""), |_, writer| write_reason(writer, status, &reason));
                return Ok(());
            }
        };
        let handle = self.open_call(on, request, key, identity)?;
        let dialled = Uri::parse(request.message.request_uri()).map_or(&b""[..], |uri| uri.user);
        self.keep_chain(on, handle, &request.message, dialled);
        let Some(call) = self.calls.get_mut(handle) else { return Ok(()) };
        let (number, code) = (feature.number.clone(), feature.code.clone());
        call.feature = Some(Box::new(feature));
        match code {
            Some(Code::Change(change)) => self.ask(on, handle, (number, change)),
            Some(Code::Query(_)) | None => self.feature_done(on, handle),
        }
        Ok(())
    }

    /// Asks the keeper for the change; its mail goes on from here.
    fn ask(&mut self, on: &mut Signalling, handle: Handle, (number, change): (Box<str>, Change)) {
        let Some(call) = self.calls.get_mut(handle) else { return };
        let deadline = on.context.now.after_ms(on.context.settings.registration.store_timeout_ms);
        on.context.arm(&mut call.timer, deadline, Due::Call(handle));
        on.context.outbox.post(Letter::Forwarding { ticket: handle, number, change });
    }

    /// What came of a change; nobody waits for it where the call was given up.
    pub fn forwarding_changed(&mut self, on: &mut Signalling, ticket: Handle, outcome: Result<(), NotSet>) {
        let feature = self.calls.get(ticket).and_then(|call| call.feature.as_deref());
        // The caller may be hearing already that it is refused.
        let is_refused = feature.is_some_and(|feature| feature.refused.is_some());
        if is_refused || !self.awaits_store(ticket) {
            on.context.metrics.late_mail += 1;
            return;
        }
        match outcome {
            Ok(()) => self.feature_done(on, ticket),
            Err(not_set) => self.refuse_feature(on, ticket, not_set.into()),
        }
    }

    /// Whether a call waits for what comes of its change.
    pub(super) fn awaits_store(&self, handle: Handle) -> bool {
        let call = self.calls.get(handle);
        call.is_some_and(|call| call.feature.is_some() && call.state == CallState::Searching)
    }

    /// The store has not said in time what came of the change. It may still make it: who asks hears of it.
    /// Or the caller has heard for long enough that it is refused.
    pub(super) fn store_silent(&mut self, on: &mut Signalling, handle: Handle) {
        let feature = self.calls.get_mut(handle).and_then(|call| call.feature.as_deref_mut());
        match feature.and_then(|feature| feature.refused.take()) {
            Some(refused) => self.end_refused(on, handle, refused),
            None => self.refuse_feature(on, handle, NotSet::Unavailable.into()),
        }
    }

    /// What was asked for is so: 200, and for a phone that cannot be told in words 404 where nothing is set.
    fn feature_done(&mut self, on: &mut Signalling, handle: Handle) {
        let Some(feature) = self.calls.get(handle).and_then(|call| call.feature.as_deref()) else { return };
        let directory = Arc::clone(&on.context.directory);
        let view = directory.read();
        let refused = match view.get(feature.number.as_bytes()) {
            None => Some(NotSet::NoSubscriber.into()),
            Some(entry) => feature.nothing_set(&on.context, entry),
        };
        match refused {
            None => self.answer_feature(on, handle),
            Some(refused) => self.refuse_feature(on, handle, refused),
        }
    }

    fn refuse_feature(&mut self, on: &mut Signalling, handle: Handle, refused: Refused) {
        on.context.metrics.feature_codes_refused += 1;
        if let Some(refused) = self.announce_refusal(on, handle, refused) {
            self.end_refused(on, handle, refused);
        }
    }

    fn end_refused(&mut self, on: &mut Signalling, handle: Handle, refused: Refused) {
        let Refused { status, reason, .. } = refused;
        self.refuse_with(on, handle, (status, Cause::FeatureCode), |writer| {
            write_reason(writer, status, &reason)
        });
    }

    /// 200 with streams in which a tone is to be heard, or nothing.
    fn answer_feature(&mut self, on: &mut Signalling, handle: Handle) {
        let mut body = Vec::new();
        let described = self.with_invite(on, handle, |calls, on, invite| {
            let listener = calls.calls.get(handle).map(|call| call.listener)?;
            if calls.describe_tone(on, handle, invite, &mut body) {
                return Some(());
            }
            describe(&on.context, listener, invite, &mut body).ok()
        });
        let Some(call) = self.calls.get_mut(handle).filter(|_| described.flatten().is_some()) else {
            // It was described when it came: the INVITE was not kept whole.
            on.context.metrics.impossible_events += 1;
            let refused = Refused::because(Status::SERVER_INTERNAL_ERROR, "the call was lost");
            return self.refuse_feature(on, handle, refused);
        };
        let record = &*call;
        let sent =
            on.transactions.respond(&mut on.context, record.transaction, Status::OK, |context, out| {
                let mut writer = Writer::new(out);
                writer.status_line(Status::OK, b"");
                writer.raw(context.keep.bytes(&record.head));
                writer.header(HeaderName::Allow, ALLOW);
                writer.header(HeaderName::Supported, SUPPORTED);
                writer.header(HeaderName::RecordId, record.record_id.as_bytes());
                record.dialog.session.write_response(&mut writer);
                writer.header(HeaderName::ContentType, SDP);
                writer.body(&body);
            });
        if !sent {
            let refused = Refused::because(Status::SERVER_INTERNAL_ERROR, "the answer is too long");
            return self.refuse_feature(on, handle, refused);
        }
        call.story.answer(Status::OK);
        on.context.metrics.feature_codes_done += 1;
        let is_offer = call.late_offer;
        call.dialog.negotiation = if is_offer { Negotiation::Sent } else { Negotiation::Stable };
        self.await_ack(on, handle);
        if !is_offer {
            self.announce(on, handle, Tone::Confirmation);
        }
    }

    /// The caller is in the call: its phone is told in words what is set now, if it takes words.
    pub(super) fn tell_feature(&mut self, on: &mut Signalling, handle: Handle) {
        let Some(call) = self.calls.get_mut(handle) else { return };
        let Some(feature) = call.feature.as_deref().filter(|feature| feature.takes_message) else { return };
        let directory = Arc::clone(&on.context.directory);
        let view = directory.read();
        // Gone meanwhile: there is nothing to tell.
        let Some(entry) = view.get(feature.number.as_bytes()) else { return };
        let text = feature.text(&on.context, entry);
        call.dialog.local_cseq += 1;
        let dialog = &call.dialog;
        let to = (dialog.answer_to, dialog.local_cseq);
        let user = (User::Call(handle), Exchange::Message);
        let sent = on.transactions.send_request(&mut on.context, user, to, |context, out, branch| {
            let line = RequestLine::own(Method::Message, dialog.local_cseq);
            dialog.write_request(context, out, line, branch);
            let mut writer = Writer::new(out);
            writer.header(HeaderName::ContentType, b"text/plain;charset=UTF-8");
            writer.body(text.as_bytes());
        });
        on.context.metrics.transactions_not_kept += u64::from(sent.is_err());
    }
}

impl Feature {
    /// How long the call lasts once it is acknowledged.
    pub fn lasts_ms(&self) -> u32 {
        if self.is_audible { announce::TONE_MS } else { LASTS_MS }
    }

    /// The answer to the question what is set, where that is nothing and cannot be told in words.
    fn nothing_set(&self, context: &Context, entry: &Entry) -> Option<Refused> {
        let Some(Code::Query(conditions)) = &self.code else { return None };
        let forwarding = &entry.subscriber.forwarding;
        let is_set = conditions.iter().any(|condition| forwarding.target(*condition).is_some());
        let is_told = is_set || self.takes_message;
        (!is_told).then(|| Refused::because(Status::NOT_FOUND, self.text(context, entry)))
    }

    /// What is set for the conditions that were dialled.
    fn text(&self, context: &Context, entry: &Entry) -> String {
        let conditions = match &self.code {
            Some(Code::Change(change)) => change.conditions,
            Some(Code::Query(conditions)) => conditions,
            None => &[],
        };
        let after_ms = entry.subscriber.after_ms.unwrap_or(context.settings.no_answer_ms);
        codes::describe(&entry.subscriber, conditions, after_ms)
    }
}

pub(super) const SDP: &[u8] = b"application/sdp";

/// What an INVITE for a feature code asks for, and for whom.
fn read(context: &Context, request: &Request<'_>, caller: Caller<'_>) -> Result<Feature, Refused> {
    let message = &request.message;
    let settings = &context.settings.forwarding;
    let table = settings.codes.as_ref().ok_or(Bad::Unknown)?;
    let dialled = Uri::parse(message.request_uri()).map_or(&b""[..], |uri| uri.user);
    let mut room = [0; codes::DIALLED_BYTES_MAX];
    let dialled = Uri::decoded_user(dialled, &mut room).ok_or(Bad::TooLong)?;
    let view = context.directory.read();
    let owner = owner(context, &view, request, caller);
    let not_allowed = || Refused::because(Status::FORBIDDEN, "feature codes are for numbers of ours alone");
    let number = owner.ok_or_else(not_allowed)?.subscriber.number.clone();
    let code = codes::parse(table, dialled).ok_or(Bad::Unknown).and_then(|code| code);
    let code = code.map_err(|bad| Refused::from(bad).to(&number))?;
    let takes_message = lists(message, HeaderName::Allow, b"MESSAGE");
    Ok(Feature { number, code: Some(code), takes_message, is_audible: false, refused: None })
}

/// Whose settings the sender may change: who proved a number its own, who is asserted by a peer whose word is
/// taken (RFC 3325 §5: what stands in From is the far end's word), and else the number in From that nobody
/// could prove and that has a phone where the INVITE comes from.
fn owner<'d>(
    context: &Context,
    view: &'d View<'_>,
    request: &Request<'_>,
    caller: Caller<'_>,
) -> Option<&'d Entry> {
    let settings = &context.settings.forwarding;
    let message = &request.message;
    let mut room = [0; NUMBER_BYTES_MAX];
    match caller {
        Caller::Subscriber(number) => view.get(number),
        Caller::Trusted if message.has(HeaderName::PAssertedIdentity) => {
            let mut asserted = message.values(HeaderName::PAssertedIdentity).flat_map(split_list);
            asserted.find_map(|address| settings.find(view, number_of(address, &mut room)?))
        }
        Caller::Trusted | Caller::Unchecked => {
            let from = message.header(HeaderName::From).unwrap_or_default();
            // No number rule: it would lead past the password of the number that it makes of another.
            let entry = view.get(number_of(from, &mut room)?)?;
            let is_here = |place: SocketAddr| canonical(place.ip()) == canonical(request.source.ip());
            let is_phone = entry.locations(context.unix()).any(|location| is_here(location.destination));
            (is_phone && entry.subscriber.credentials.is_none()).then_some(entry)
        }
    }
}

/// The number that an address names.
fn number_of<'n>(address: &'n [u8], room: &'n mut [u8; NUMBER_BYTES_MAX]) -> Option<&'n [u8]> {
    Uri::decoded_user(user_of(address), room).filter(|number| !number.is_empty())
}

/// An IPv4 address is one, however it is written.
fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// Whether there will be something to answer 200 with.
fn check_body(on: &mut Signalling, request: &Request<'_>) -> Result<(), Refused> {
    let mut body = std::mem::take(&mut on.context.scratch);
    body.clear();
    let described = describe(&on.context, request.listener, &request.message, &mut body);
    on.context.scratch = body;
    described
}

/// Writes our description of the session: the answer to an INVITE's offer, or an offer where it has none.
fn describe(
    context: &Context,
    listener: ListenerId,
    invite: &Message<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    let is_ipv6 = context.settings.listeners.get(usize::from(listener.0));
    let is_ipv6 = is_ipv6.is_some_and(|listener| listener.address.is_ipv6());
    let sent_by = format!("sip:{}", context.sent_by(listener));
    let host = Uri::parse(sent_by.as_bytes()).map_or(&b""[..], |uri| uri.host);
    let host = std::str::from_utf8(host).unwrap_or_default();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let origin = sdp::Origin { host, is_ipv6, id: context.unix().0 };
    if invite.body().is_empty() {
        sdp::offer_inactive(out, origin);
        return Ok(());
    }
    let unusable = |reason: &str| Refused::because(Status::NOT_ACCEPTABLE_HERE, reason);
    let kind = invite.header(HeaderName::ContentType).unwrap_or(SDP);
    if !sdp::is_description(kind) || invite.has(HeaderName::ContentEncoding) {
        return Err(unusable("only application/sdp can be answered"));
    }
    sdp::answer_inactive(out, invite.body(), origin).map_err(|reason| unusable(&reason.to_string()))
}

/// Writes why a code is refused (RFC 3326). What a quoted string cannot hold becomes an apostrophe or a
/// blank.
fn write_reason(writer: &mut Writer<'_>, status: Status, reason: &str) {
    writer.name(HeaderName::Reason).raw(b"SIP;cause=").number(u64::from(status.code())).raw(b";text=\"");
    // Lines are parted by CRLF, of which one blank is left.
    for byte in reason.bytes().filter(|byte| *byte != b'\n') {
        writer.raw(&[match byte {
            b'"' | b'\\' => b'\'',
            0..b' ' | 0x7f => b' ',
            byte => byte,
        }]);
    }
    writer.raw(b"\"").end_line();
}
