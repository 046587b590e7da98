//! The messages of a call, header by header (reference flow; SIP_RULES 9 to 14).

use super::description::Description;
use super::identity::Passage;
use super::media::{Spoken, drops_body};
use super::record::{Call, RecordId};
use super::relay::Relay;
use super::session::SessionTimer;
use crate::context::Context;
use crate::ids::{Branch, Mint, Tag};
use crate::limits::{DATAGRAM_BYTES_MAX, HISTORY_BYTES_MAX};
use crate::outbox::ListenerId;
use crate::service::history::{History, Told};
use crate::signalling::ALLOW;
use crate::sip::write::Writer;
use crate::sip::{HeaderName, Message, Method, NameAddr, Status};
use crate::transaction::write_via;

/// Extensions that we support on every leg (RFC 4028).
pub(super) const SUPPORTED: &[u8] = b"timer";

/// The same with reliable provisional responses (RFC 3262), which a leg has where the caller has them.
pub(super) const SUPPORTED_RELIABLE: &[u8] = b"timer, 100rel";

/// What a leg's INVITE is made of besides the caller's.
pub(super) struct LegInvite<'a> {
    pub request_uri: &'a [u8],
    /// The Route header field's value (RFC 3327 §5.2); empty: none.
    pub path: &'a [u8],
    pub listener: ListenerId,
    pub branch: &'a Branch,
    pub tag: &'a Tag,
    pub call_id_nonce: u64,
    pub cseq: u32,
    pub max_forwards: u8,
    /// Session-Expires and Min-SE in seconds; 0 leaves the field out.
    pub session_s: u32,
    pub min_se_s: u32,
    /// Whether reliable provisional responses are offered.
    pub reliable: bool,
    pub record_id: &'a RecordId,
    pub history: History<'a>,
    /// What the callee gets to know of the caller.
    pub passage: Passage<'a>,
}

/// Writes the INVITE of a leg. Returns where its To line ends, counted from the message's start.
///
/// What it tells of diversions is left out as far as the datagram has no room for it.
pub(super) fn leg_invite(
    context: &Context,
    out: &mut Vec<u8>,
    invite: &Message<'_>,
    leg: &LegInvite<'_>,
) -> u16 {
    let start = out.len();
    let mut told = leg.history.read();
    loop {
        let (to_end, told_bytes) = write_leg_invite(context, out, invite, (leg, told.as_ref()));
        let fits = out.len() - start <= DATAGRAM_BYTES_MAX && told_bytes <= HISTORY_BYTES_MAX;
        if fits || !told.as_mut().is_some_and(Told::shorten) {
            return to_end;
        }
        out.truncate(start);
    }
}

/// Writes the INVITE with as much of the diversions as it is told now. Returns where its To line ends, and
/// the bytes that tell of diversions besides those that pass.
fn write_leg_invite(
    context: &Context,
    out: &mut Vec<u8>,
    invite: &Message<'_>,
    (leg, told): (&LegInvite<'_>, Option<&Told<'_>>),
) -> (u16, usize) {
    let start = out.len();
    let settings = &context.settings;
    let sent_by = context.sent_by(leg.listener);
    let from = invite.header(HeaderName::From).unwrap_or_default();
    let mut writer = Writer::new(out);
    writer.request_line(Method::Invite, leg.request_uri);
    write_via(&mut writer, sent_by, leg.branch);
    writer.name(HeaderName::MaxForwards).number(u64::from(leg.max_forwards)).end_line();
    if !leg.path.is_empty() {
        writer.header(HeaderName::Route, leg.path);
    }
    writer.name(HeaderName::CallId);
    Mint::write_call_id(out, leg.call_id_nonce, sent_by);
    let mut writer = Writer::new(out);
    writer.raw(b"\r\n").name(HeaderName::From);
    leg.passage.write_from(&mut writer, from);
    writer.raw(b";tag=").raw(leg.tag).end_line();
    writer.name(HeaderName::To).raw(b"<").raw(leg.request_uri).raw(b">").end_line();
    let to_end = out.len() - start;
    let mut writer = Writer::new(out);
    writer.name(HeaderName::CSeq).number(u64::from(leg.cseq)).raw(b" INVITE\r\n");
    write_contact(&mut writer, leg.passage.contact_user(from), sent_by);
    writer.header(HeaderName::Allow, ALLOW);
    if let Some(alert_info) = &settings.alert_info {
        writer.header(HeaderName::AlertInfo, alert_info.as_bytes());
    }
    writer.header(HeaderName::Supported, if leg.reliable { SUPPORTED_RELIABLE } else { SUPPORTED });
    for (name, seconds) in [(HeaderName::SessionExpires, leg.session_s), (HeaderName::MinSe, leg.min_se_s)] {
        if seconds > 0 {
            writer.name(name).number(u64::from(seconds)).end_line();
        }
    }
    writer.header(HeaderName::RecordId, leg.record_id.as_bytes());
    let above = writer.length();
    if let Some(told) = told {
        told.write_above(&mut writer);
    }
    let mut told_bytes = writer.length() - above;
    let drops_history = told.is_some_and(Told::applies_privacy);
    leg.passage.write_asserted(&mut writer, invite, sent_by);
    leg.passage.write_privacy(&mut writer, invite, drops_history);
    let own_alert = settings.alert_info.is_some();
    writer.splice_fields(invite, |header| {
        passes_to_callee(header.name)
            && !(own_alert && header.name == HeaderName::AlertInfo)
            && !(header.name == HeaderName::Privacy && leg.passage.rewrites_privacy(drops_history))
            && leg.passage.passes(invite, header)
            && told.is_none_or(|told| told.passes(header))
    });
    let below = writer.length();
    if let Some(told) = told {
        told.write_below(&mut writer);
    }
    told_bytes += writer.length() - below;
    writer.body(invite.body());
    // To stands among the first lines; what is too long for u16 there is too long for the datagram.
    (u16::try_from(to_end).unwrap_or(u16::MAX), told_bytes)
}

/// Which of the caller's header fields a callee sees: everything that is not per leg.
fn passes_to_callee(name: HeaderName) -> bool {
    use HeaderName as H;
    !is_per_leg(name) && !matches!(name, H::Route | H::ProxyAuthorization | H::MaxForwards | H::ProxyRequire)
}

/// Which of a callee's header fields the caller sees. Contact passes where it names other targets
/// (RFC 3261 §8.1.3.4) and nowhere else.
fn passes_to_caller(name: HeaderName, status: Status) -> bool {
    use HeaderName as H;
    match name {
        H::Contact => names_targets(status),
        H::Timestamp | H::Unsupported => false,
        // What the callee's side knows of diversions is not all for the caller's eyes (RFC 7044 §9.4).
        H::Diversion | H::HistoryInfo => false,
        name if is_identity(name) => false,
        // Another server's overload is not ours (RFC 3261 §16.7 step 6).
        H::RetryAfter if status.code() == 500 => false,
        _ => !is_per_leg(name),
    }
}

/// Who a party says that it is, which of a response is never taken (RFC 3325 §5).
const fn is_identity(name: HeaderName) -> bool {
    use HeaderName as H;
    matches!(name, H::PAssertedIdentity | H::PPreferredIdentity | H::RemotePartyId)
}

/// Whether the Contacts of a response are other targets (RFC 3261 §8.1.3.4).
fn names_targets(status: Status) -> bool {
    (300..400).contains(&status.code()) || status.code() == 485
}

/// Header fields that belong to one leg's transaction, dialog or negotiation.
fn is_per_leg(name: HeaderName) -> bool {
    use HeaderName as H;
    matches!(
        name,
        H::Via
            | H::From
            | H::To
            | H::CallId
            | H::CSeq
            | H::Contact
            | H::RecordRoute
            | H::ContentLength
            | H::Allow
            | H::Supported
            | H::Require
            | H::SessionExpires
            | H::MinSe
            | H::RSeq
            | H::RAck
            | H::RecordId
    )
}

/// Writes a response to the caller with nothing of a callee's.
pub(super) fn own_response(
    context: &Context,
    out: &mut Vec<u8>,
    call: &Call,
    status: Status,
    extra: impl FnOnce(&mut Writer<'_>),
) {
    let mut writer = Writer::new(out);
    writer.status_line(status, b"");
    writer.raw(head(context, call, status));
    extra(&mut writer);
    writer.body(b"");
}

/// What a relayed response says of the session.
#[derive(Clone, Copy)]
pub(super) enum Body<'a> {
    /// What the callee says.
    Same,
    Without,
    /// What the callee said before.
    Kept(&'a Description, &'a Spoken),
}

/// Writes a callee's response for the caller. `rseq`: it goes reliably.
pub(super) fn relayed_response(
    context: &Context,
    out: &mut Vec<u8>,
    call: &Call,
    response: &Message<'_>,
    (status, rseq, body): (Status, Option<u32>, Body<'_>),
) {
    let mut writer = Writer::new(out);
    writer.status_line(status, if Some(status) == response.status() { response.reason() } else { b"" });
    writer.raw(head(context, call, status));
    if status == Status::METHOD_NOT_ALLOWED {
        writer.header(HeaderName::Allow, ALLOW);
    }
    if status.is_success() {
        writer.header(HeaderName::Allow, ALLOW);
        writer.header(HeaderName::Supported, SUPPORTED);
        writer.header(HeaderName::RecordId, call.record_id.as_bytes());
        call.dialog.session.write_response(&mut writer);
    }
    write_rseq(&mut writer, rseq);
    let same = matches!(body, Body::Same);
    writer.splice_headers(response, |name| passes_to_caller(name, status) && (same || !is_content(name)));
    match body {
        Body::Same => writer.body(response.body()),
        Body::Without => writer.body(b""),
        Body::Kept(description, spoken) => description.write(context, &mut writer, spoken),
    }
}

/// Writes what makes a provisional response a reliable one (RFC 3262 §3).
pub(super) fn write_rseq(writer: &mut Writer<'_>, rseq: Option<u32>) {
    if let Some(rseq) = rseq {
        writer.header(HeaderName::Require, b"100rel");
        writer.name(HeaderName::RSeq).number(u64::from(rseq)).end_line();
    }
}

/// The status that a final response tothe other side's is passed on with: another server's overload is not
/// ours (RFC 3261 §16.7 step 6).
pub(super) const fn passed_status(status: Status) -> Status {
    match status {
        Status::SERVICE_UNAVAILABLE => Status::SERVER_INTERNAL_ERROR,
        status => status,
    }
}

/// Writes everything of a request that is passed on in a dialog behind its Contact. `referred`: what the last
/// REFER was numbered here and there, for the NOTIFYs that name it (RFC 3515 §2.4.6).
pub(super) fn relayed_request(
    writer: &mut Writer<'_>,
    request: &Message<'_>,
    (session, passage): (SessionTimer, Passage<'_>),
    referred: Option<(u32, u32)>,
) {
    use HeaderName as H;
    let ours = negotiates_extensions(request.method());
    if ours {
        writer.header(H::Allow, ALLOW);
        writer.header(H::Supported, SUPPORTED);
        if request.method() != Method::Prack {
            session.write_request(writer);
        }
    }
    let event = referred.and_then(|referred| renumbered_event(request, referred));
    writer.splice_fields(request, |header| match header.name {
        H::Route | H::ProxyAuthorization | H::MaxForwards | H::ProxyRequire => false,
        H::Event => event.is_none(),
        name => passes_in_dialog(name, ours) && passage.passes(request, header),
    });
    if let Some((package, number)) = event {
        writer.name(H::Event).raw(package).raw(b";id=").number(u64::from(number)).end_line();
    }
    writer.body(request.body());
}

/// The event package of a NOTIFY whose `id` is the CSeq of the REFER that was passed on, and the CSeq that it
/// came with.
fn renumbered_event<'a>(request: &Message<'a>, (ours, theirs): (u32, u32)) -> Option<(&'a [u8], u32)> {
    let event = request.header(HeaderName::Event)?;
    let (package, params) = event.split_at(memchr::memchr(b';', event)?);
    let id = crate::sip::number::whole_number(crate::sip::name_addr::param(params, "id")?)?;
    let is_refer = request.method() == Method::Notify && package.trim_ascii().eq_ignore_ascii_case(b"refer");
    (is_refer && ours > 0 && id == ours).then_some((package, theirs))
}

/// Writes a response to the asker of a request that was passed on: the other side's, or one of our own.
pub(super) fn relayed_final(
    context: &Context,
    out: &mut Vec<u8>,
    relay: &Relay,
    status: Status,
    response: Option<&Message<'_>>,
) {
    use HeaderName as H;
    let ours = negotiates_extensions(relay.method);
    let same = response.filter(|response| response.status() == Some(status));
    let mut writer = Writer::new(out);
    writer.status_line(status, same.map_or(b"", |response| response.reason()));
    let head = context.keep.bytes(&relay.head);
    let end = if status.code() < 300 { head.len() } else { usize::from(relay.contact).min(head.len()) };
    writer.raw(&head[..end]);
    if ours && status.is_success() {
        writer.header(H::Allow, ALLOW);
        writer.header(H::Supported, SUPPORTED);
        if relay.method != Method::Prack {
            relay.session.write_response(&mut writer);
        }
    }
    match response {
        Some(response) => {
            let drops = drops_body(context, response);
            writer.splice_headers(response, |name| match name {
                name if is_content(name) && drops => false,
                H::Timestamp => false,
                name if is_identity(name) => false,
                H::Unsupported => !ours,
                H::Contact => names_targets(status),
                // Another server's overload is not ours (RFC 3261 §16.7 step 6).
                H::RetryAfter => same.is_some(),
                _ => passes_in_dialog(name, ours),
            });
            writer.body(if drops { b"" } else { response.body() });
        }
        None => {
            if status == Status::SERVICE_UNAVAILABLE {
                writer.name(H::RetryAfter).number(u64::from(context.settings.retry_after_s)).end_line();
            }
            writer.body(b"");
        }
    }
}

/// Whether the extensions that a request and its responses speak of are a matter of this leg.
pub(super) const fn negotiates_extensions(method: Method) -> bool {
    matches!(method, Method::Invite | Method::Update | Method::Prack)
}

/// Which header fields pass from one dialog to the other; `ours`: extensions are each leg's own.
fn passes_in_dialog(name: HeaderName, ours: bool) -> bool {
    use HeaderName as H;
    match name {
        H::Allow | H::Supported | H::Require => !ours,
        // They tell how a call came to be, which the INVITE has told (RFC 7044 §9.4).
        H::Diversion | H::HistoryInfo => false,
        name => !is_per_leg(name),
    }
}

/// Header fields that describe a body.
pub(super) fn is_content(name: HeaderName) -> bool {
    use HeaderName as H;
    matches!(
        name,
        H::ContentType | H::ContentEncoding | H::ContentDisposition | H::ContentLanguage | H::MimeVersion
    )
}

/// What a response to the caller starts with behind the status line: Via to CSeq, Contact where the
/// response makes or holds a dialog, Record-Route where it makes one.
fn head<'a>(context: &'a Context, call: &Call, status: Status) -> &'a [u8] {
    let head = context.keep.bytes(&call.head);
    let end = match status.code() {
        100 => usize::from(call.record_route),
        101..300 => head.len(),
        _ => usize::from(call.contact),
    };
    &head[..end.min(head.len())]
}

/// Writes `Contact: <sip:USER@SENT-BY>`.
pub(super) fn write_contact(writer: &mut Writer<'_>, user: &[u8], sent_by: &str) {
    writer.name(HeaderName::Contact).raw(b"<sip:");
    if !user.is_empty() {
        writer.raw(user).raw(b"@");
    }
    writer.raw(sent_by.as_bytes()).raw(b">").end_line();
}

/// The user part of an address's URI; empty when there is none.
pub(super) fn user_of(address: &[u8]) -> &[u8] {
    NameAddr::parse(address)
        .ok()
        .and_then(|address| crate::sip::Uri::parse(address.uri).ok())
        .map_or(&b""[..], |uri| uri.user)
}
