//! A dialog on one side of the call (RFC 3261 §12): what it takes to send a request in it.

use super::description::Description;
use super::negotiation::Negotiation;
use super::session::SessionTimer;
use super::write::{user_of, write_contact};
use crate::context::Context;
use crate::ids::Branch;
use crate::keep::Kept;
use crate::outbox::ListenerId;
use crate::sip::name_addr::split_list;
use crate::sip::uri::Scheme;
use crate::sip::write::Writer;
use crate::sip::{HeaderName, Message, Method, NameAddr, Uri};
use crate::transaction::{AnswerTo, MAX_FORWARDS, write_via};
use std::net::SocketAddr;

/// Routes of one dialog: as many as header fields in a message. More are not followed.
const ROUTES_MAX: usize = crate::limits::HEADERS_MAX;

/// One dialog. Its text is kept nearly as it is written: remote target, Route lines, then Call-ID, From and
/// To.
#[derive(Debug)]
pub(super) struct Dialog {
    text: Kept,
    target_end: u16,
    route_end: u16,
    /// The first route is a strict router (RFC 3261 §12.2.1.1): its URI has no `lr`.
    strict: bool,
    /// Without routes requests go where the peer's came from, or ours went, whatever its Contact says.
    is_behind_nat: bool,
    /// The peer's Allow lists UPDATE.
    pub takes_update: bool,
    pub negotiation: Negotiation,
    /// Hash of Call-ID and remote tag: what a request of the peer's must match.
    pub identity: u64,
    pub answer_to: AnswerTo,
    pub local_cseq: u32,
    /// The peer's last CSeq; `None`: it has sent nothing yet.
    pub remote_cseq: Option<u32>,
    pub session: SessionTimer,
    /// What this side was last told of the other one's session, kept only where a refresh needs it.
    pub description: Description,
    /// The last REFER that was passed on here: its CSeq number, and the one that it came with.
    pub referred: (u32, u32),
}

/// What a request in a dialog starts with.
#[derive(Clone, Copy)]
pub(super) struct RequestLine<'a> {
    pub method: &'a [u8],
    pub cseq: u32,
    pub max_forwards: u64,
}

impl RequestLine<'_> {
    /// A request that begins with us.
    pub fn own(method: Method, cseq: u32) -> RequestLine<'static> {
        RequestLine { method: method.name().as_bytes(), cseq, max_forwards: MAX_FORWARDS }
    }
}

impl Dialog {
    /// No dialog yet.
    pub fn none(answer_to: AnswerTo) -> Dialog {
        Dialog {
            text: Kept::NONE,
            target_end: 0,
            route_end: 0,
            strict: false,
            is_behind_nat: false,
            takes_update: false,
            negotiation: Negotiation::Stable,
            identity: 0,
            answer_to,
            local_cseq: 0,
            remote_cseq: None,
            session: SessionTimer::NONE,
            description: Description::NONE,
            referred: (0, 0),
        }
    }

    /// Its Call-ID; empty: there is no dialog.
    pub fn call_id<'c>(&self, context: &'c Context) -> &'c [u8] {
        let text = context.keep.bytes(&self.text).get(usize::from(self.route_end)..).unwrap_or_default();
        let line = &text[..memchr::memchr(b'\r', text).unwrap_or(text.len())];
        line.strip_prefix(b"Call-ID: ").unwrap_or_default()
    }

    /// The dialog with the caller, as its UAS (RFC 3261 §12.1.1).
    pub fn with_caller(
        context: &mut Context,
        invite: &Message<'_>,
        tag: &[u8],
        (listener, source): (ListenerId, SocketAddr),
    ) -> Dialog {
        let from = invite.header(HeaderName::From).unwrap_or_default();
        let to = invite.header(HeaderName::To).unwrap_or_default();
        let target = remote_target(invite, from);
        let routes = invite.values(HeaderName::RecordRoute).flat_map(split_list).take(ROUTES_MAX);
        let is_behind_nat = is_behind_nat(invite, source);
        let mut dialog = Dialog { is_behind_nat, ..Dialog::none(AnswerTo { listener, destination: source }) };
        dialog.write(context, target, routes, |writer| {
            writer.header(HeaderName::CallId, invite.call_id());
            writer.name(HeaderName::From).raw(to).raw(b";tag=").raw(tag).end_line();
            writer.header(HeaderName::To, from);
        });
        dialog.identity = context.mint.hash(&[invite.call_id(), invite.from_tag()]);
        dialog.remote_cseq = invite.cseq().map(|cseq| cseq.number);
        dialog
    }

    /// The dialog that a response to a request of ours makes, as its UAC (RFC 3261 §12.1.2).
    /// `is_behind_nat`: its Contact is of no use, and requests go where the INVITE went.
    pub fn with_callee(
        context: &mut Context,
        response: &Message<'_>,
        (answer_to, is_behind_nat): (AnswerTo, bool),
    ) -> Dialog {
        let from = response.header(HeaderName::From).unwrap_or_default();
        let to = response.header(HeaderName::To).unwrap_or_default();
        let target = remote_target(response, to);
        let listed = || response.values(HeaderName::RecordRoute).flat_map(split_list).take(ROUTES_MAX);
        // A route set in reverse (RFC 3261 §12.1.2). It is short, so it is walked once for each route.
        let count = if response.has(HeaderName::RecordRoute) { listed().count() } else { 0 };
        let routes = (0..count).rev().filter_map(|position| listed().nth(position));
        let mut dialog = Dialog { is_behind_nat, ..Dialog::none(answer_to) };
        dialog.write(context, target, routes, |writer| {
            writer.header(HeaderName::CallId, response.call_id());
            writer.header(HeaderName::From, from);
            writer.header(HeaderName::To, to);
        });
        dialog.identity = Dialog::identity_of_response(context, response);
        // The transaction has seen to it that this is our INVITE's.
        dialog.local_cseq = response.cseq().map_or(0, |cseq| cseq.number);
        dialog
    }

    /// What tells the dialog of a response from others of the same INVITE.
    pub fn identity_of_response(context: &Context, response: &Message<'_>) -> u64 {
        context.mint.hash(&[response.call_id(), response.to_tag()])
    }

    /// Whether a response says no more of this dialog than is known: same tags, same target, no routes.
    pub fn is_described_by(&self, context: &Context, response: &Message<'_>) -> bool {
        let contact = response.header(HeaderName::Contact).and_then(|contact| NameAddr::parse(contact).ok());
        let target = context.keep.bytes(&self.text).get(..usize::from(self.target_end));
        self.route_end == self.target_end
            && !response.has(HeaderName::RecordRoute)
            && contact.is_some_and(|contact| Some(contact.uri) == target)
            && self.is_answered_by(context, response)
    }

    /// Whether there is a dialog that requests can be written in.
    pub fn is_some(&self) -> bool {
        self.text.is_some()
    }

    /// Whether a refresh of the session will have to describe it once more (RFC 4028 §7.4).
    pub fn needs_description(&self) -> bool {
        self.session.interval_s > 0 && self.session.ours && !self.takes_update
    }

    /// Whether a request of the peer's belongs to this dialog, by Call-ID and From tag.
    pub fn is_of(&self, context: &Context, request: &Message<'_>) -> bool {
        self.is_some() && self.identity == context.mint.hash(&[request.call_id(), request.from_tag()])
    }

    /// Whether a response of the peer's belongs to this dialog, by Call-ID and To tag.
    pub fn is_answered_by(&self, context: &Context, response: &Message<'_>) -> bool {
        self.is_some() && self.identity == Dialog::identity_of_response(context, response)
    }

    /// Writes a request of ours in this dialog (RFC 3261 §12.2.1.1) up to, not including, Content-Length.
    /// Returns where its To line ends, counted from the message's start.
    pub fn write_request(
        &self,
        context: &Context,
        out: &mut Vec<u8>,
        line: RequestLine<'_>,
        branch: &Branch,
    ) -> u16 {
        let start = out.len();
        let text = context.keep.bytes(&self.text);
        let (target, rest) = text.split_at(usize::from(self.target_end).min(text.len()));
        let routes = usize::from(self.route_end).saturating_sub(target.len()).min(rest.len());
        let (routes, identity) = rest.split_at(routes);
        let strict = if self.strict { split_strict(routes) } else { None };
        let (uri, routes) = strict.unwrap_or((target, routes));
        let mut writer = Writer::new(out);
        writer.raw(line.method).raw(b" ").raw(uri).raw(b" SIP/2.0\r\n");
        write_via(&mut writer, context.sent_by(self.answer_to.listener), branch);
        writer.name(HeaderName::MaxForwards).number(line.max_forwards).end_line();
        writer.raw(routes);
        if strict.is_some() {
            writer.name(HeaderName::Route).raw(b"<").raw(target).raw(b">").end_line();
        }
        writer.raw(identity);
        let to_end = out.len() - start;
        let mut writer = Writer::new(out);
        writer.name(HeaderName::CSeq).number(u64::from(line.cseq)).raw(b" ").raw(line.method).end_line();
        // To stands among the first lines; what is too long for u16 there is too long for the datagram.
        u16::try_from(to_end).unwrap_or(u16::MAX)
    }

    /// Writes our Contact in this dialog, with the user that we are to the peer.
    pub fn write_contact(&self, context: &Context, writer: &mut Writer<'_>) {
        let text = context.keep.bytes(&self.text);
        let identity = text.get(usize::from(self.route_end)..).unwrap_or_default();
        let name = HeaderName::From.text().as_bytes();
        let from = identity.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(name));
        let from = from.and_then(|from| from.strip_prefix(b": ")).unwrap_or_default().trim_ascii_end();
        write_contact(writer, user_of(from), context.sent_by(self.answer_to.listener));
    }

    /// Takes the peer's new remote target (RFC 3261 §12.2.1.2, §12.2.2); a message without a Contact that can
    /// be used changes nothing.
    pub fn refresh_target(&mut self, context: &mut Context, message: &Message<'_>) {
        if let Some(target) = contact_uri(message) {
            self.set_target(context, target);
        }
    }

    pub fn set_target(&mut self, context: &mut Context, target: &[u8]) {
        let text = context.keep.bytes(&self.text);
        let old = &text[..usize::from(self.target_end).min(text.len())];
        let routes = self.route_end - self.target_end;
        let ends = (u16::try_from(target.len()), u16::try_from(target.len() + usize::from(routes)));
        let (Ok(target_end), Ok(route_end)) = ends else { return };
        if target == old {
            return;
        }
        let mut fresh = std::mem::take(&mut context.scratch);
        fresh.clear();
        fresh.extend_from_slice(target);
        fresh.extend_from_slice(text.get(old.len()..).unwrap_or_default());
        if let Some(kept) = context.keep.keep(&fresh) {
            context.keep.release(std::mem::replace(&mut self.text, kept));
            (self.target_end, self.route_end) = (target_end, route_end);
            if let (0, false, Ok(uri)) = (routes, self.is_behind_nat, Uri::parse(target)) {
                self.answer_to.destination = hop(&uri, self.answer_to.destination);
            }
        }
        context.scratch = fresh;
    }

    pub fn release(mut self, context: &mut Context) {
        context.keep.release(self.text.take());
        self.description.take().release(context);
    }

    fn write<'r>(
        &mut self,
        context: &mut Context,
        target: Option<Target<'_>>,
        routes: impl Iterator<Item = &'r [u8]>,
        identity: impl FnOnce(&mut Writer<'_>),
    ) {
        let mut text = std::mem::take(&mut context.scratch);
        text.clear();
        match &target {
            Some(target) => text.extend_from_slice(target.text),
            // Where the peer names no URI that can be written, it is meant itself.
            None => text.extend_from_slice(format!("sip:{}", self.answer_to.destination).as_bytes()),
        }
        let target_end = text.len();
        let mut first_hop = target.filter(|_| !self.is_behind_nat).map(|target| target.uri);
        for (position, route) in routes.enumerate() {
            if position == 0
                && let Some(uri) = target_of(route).map(|target| target.uri)
            {
                self.strict = uri.param("lr").is_none();
                first_hop = Some(uri);
            }
            Writer::new(&mut text).header(HeaderName::Route, route);
        }
        let route_end = text.len();
        identity(&mut Writer::new(&mut text));
        // Longer than a datagram: the text is not kept and requests in the dialog cannot be written.
        self.target_end = u16::try_from(target_end).unwrap_or_default();
        self.route_end = u16::try_from(route_end).unwrap_or_default();
        if let Some(uri) = first_hop {
            self.answer_to.destination = hop(&uri, self.answer_to.destination);
        }
        self.text = context.keep.keep(&text).unwrap_or(Kept::NONE);
        context.scratch = text;
    }
}

/// The first of some Route lines as the URI of a strict router, and the lines behind it.
fn split_strict(routes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', routes)? + 1;
    let (line, rest) = routes.split_at(end);
    let value = line.get(HeaderName::Route.text().len() + 2..line.len().saturating_sub(2))?;
    Some((NameAddr::parse(value).ok()?.uri, rest))
}

/// A URI that requests can be sent to: as it stands and in its parts.
#[derive(Clone, Copy)]
struct Target<'a> {
    text: &'a [u8],
    uri: Uri<'a>,
}

/// The URI of Contact; where that is missing or none, of `fallback` (From or To). Request-Lines are made of
/// it.
fn remote_target<'a>(message: &Message<'a>, fallback: &'a [u8]) -> Option<Target<'a>> {
    contact(message).or_else(|| target_of(fallback))
}

/// The URI of Contact, if requests can be sent there.
pub(super) fn contact_uri<'a>(message: &Message<'a>) -> Option<&'a [u8]> {
    contact(message).map(|target| target.text)
}

fn contact<'a>(message: &Message<'a>) -> Option<Target<'a>> {
    let contact = message.header(HeaderName::Contact).and_then(|contact| split_list(contact).next())?;
    target_of(contact).filter(|target| matches!(target.uri.scheme, Scheme::Sip | Scheme::Sips))
}

fn target_of(address: &[u8]) -> Option<Target<'_>> {
    let text = NameAddr::parse(address).ok()?.uri;
    Some(Target { text, uri: Uri::parse(text).ok()? })
}

/// Whether a request comes from a phone behind a NAT: its Contact and its Via name the same address, from
/// which it did not come (RFC 3581 §3).
fn is_behind_nat(request: &Message<'_>, source: SocketAddr) -> bool {
    let (Some(via), Some(contact)) = (request.top_via(), contact(request)) else { return false };
    via.host == contact.uri.host && contact.uri.ip().is_some_and(|ip| ip != source.ip())
}

/// Where a request to `uri` goes. A host name is not resolved here: the peer's own address serves.
fn hop(uri: &Uri<'_>, peer: SocketAddr) -> SocketAddr {
    match uri.ip() {
        Some(ip) if ip.is_ipv4() == peer.is_ipv4() => SocketAddr::new(ip, uri.port.unwrap_or(5060)),
        _ => peer,
    }
}
