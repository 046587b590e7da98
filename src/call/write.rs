//! The messages of a call, header by header (reference flow; SIP_RULES 9 to 14).

use super::record::{Call, RecordId};
use crate::context::Context;
use crate::ids::{Branch, Mint, Tag};
use crate::outbox::ListenerId;
use crate::sip::write::Writer;
use crate::sip::{HeaderName, Message, Method, NameAddr, Status};
use crate::transaction::write_via;

/// Methods that we take (RFC 3261 §20.5).
pub(crate) const ALLOW: &[u8] = b"INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE";

/// Extensions that we support (RFC 4028).
pub(crate) const SUPPORTED: &[u8] = b"timer";

/// CSeq of a leg's INVITE.
pub(super) const INVITE_CSEQ: u32 = 1;

/// What a leg's INVITE is made of besides the caller's.
pub(super) struct LegInvite<'a> {
    pub request_uri: &'a [u8],
    pub listener: ListenerId,
    pub branch: &'a Branch,
    pub tag: &'a Tag,
    pub call_id_nonce: u64,
    pub max_forwards: u8,
    pub record_id: &'a RecordId,
    /// Our Diversion lines, newest first.
    pub diversions: &'a [u8],
}

/// Writes the INVITE of a leg. Returns where its To line ends, counted from the message's start.
pub(super) fn leg_invite(
    context: &Context,
    out: &mut Vec<u8>,
    invite: &Message<'_>,
    leg: &LegInvite<'_>,
) -> u16 {
    let start = out.len();
    let settings = &context.settings;
    let sent_by = context.sent_by(leg.listener);
    let from = invite.header(HeaderName::From).unwrap_or_default();
    let address = NameAddr::parse(from).ok();
    let mut writer = Writer::new(out);
    writer.request_line(Method::Invite, leg.request_uri);
    write_via(&mut writer, sent_by, leg.branch);
    writer.name(HeaderName::MaxForwards).number(u64::from(leg.max_forwards)).end_line();
    writer.name(HeaderName::CallId);
    Mint::write_call_id(out, leg.call_id_nonce, sent_by);
    let mut writer = Writer::new(out);
    writer.raw(b"\r\n").name(HeaderName::From);
    if let Some(address) = address {
        if !address.display.is_empty() {
            writer.raw(address.display).raw(b" ");
        }
        writer.raw(b"<").raw(address.uri).raw(b">");
    }
    writer.raw(b";tag=").raw(leg.tag).end_line();
    writer.name(HeaderName::To).raw(b"<").raw(leg.request_uri).raw(b">").end_line();
    let to_end = out.len() - start;
    let mut writer = Writer::new(out);
    writer.name(HeaderName::CSeq).number(u64::from(INVITE_CSEQ)).raw(b" INVITE\r\n");
    write_contact(&mut writer, user_of(from), sent_by);
    writer.header(HeaderName::Allow, ALLOW);
    if let Some(alert_info) = &settings.alert_info {
        writer.header(HeaderName::AlertInfo, alert_info.as_bytes());
    }
    writer.header(HeaderName::Supported, SUPPORTED);
    if settings.session_expires_s > 0 {
        writer.name(HeaderName::SessionExpires).number(u64::from(settings.session_expires_s)).end_line();
    }
    writer.header(HeaderName::RecordId, leg.record_id.as_bytes());
    writer.raw(leg.diversions);
    let own_alert = settings.alert_info.is_some();
    writer.splice_headers(invite, |name| {
        passes_to_callee(name) && !(own_alert && name == HeaderName::AlertInfo)
    });
    writer.body(invite.body());
    // To stands among the first lines; what is too long for u16 there is too long for the datagram.
    u16::try_from(to_end).unwrap_or(u16::MAX)
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
        H::Contact => (300..400).contains(&status.code()) || status.code() == 485,
        H::RSeq | H::Timestamp | H::Unsupported => false,
        // Another server's overload is not ours (RFC 3261 §16.7 step 6).
        H::RetryAfter if status.code() == 500 => false,
        _ => !is_per_leg(name),
    }
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

/// Writes a callee's response for the caller.
pub(super) fn relayed_response(
    context: &Context,
    out: &mut Vec<u8>,
    call: &Call,
    response: &Message<'_>,
    status: Status,
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
    }
    writer.splice_headers(response, |name| passes_to_caller(name, status));
    writer.body(response.body());
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
