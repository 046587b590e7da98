//! A dialog on one side of the call (RFC 3261 §12): what it takes to send a request in it.

use crate::context::Context;
use crate::ids::Branch;
use crate::keep::Kept;
use crate::outbox::ListenerId;
use crate::sip::name_addr::split_list;
use crate::sip::write::Writer;
use crate::sip::{HeaderName, Message, Method, NameAddr, Uri};
use crate::transaction::{AnswerTo, MAX_FORWARDS, write_via};
use std::net::SocketAddr;

/// One dialog. Its text is kept as it is written: remote target, Route lines, then Call-ID, From and To.
#[derive(Debug)]
pub(super) struct Dialog {
    text: Kept,
    target_end: u16,
    route_end: u16,
    /// Hash of Call-ID and remote tag: what a request of the peer's must match.
    identity: u64,
    pub answer_to: AnswerTo,
    pub local_cseq: u32,
    /// The peer's last CSeq; `None`: it has sent nothing yet.
    pub remote_cseq: Option<u32>,
}

impl Dialog {
    /// No dialog yet.
    pub fn none(answer_to: AnswerTo) -> Dialog {
        Dialog {
            text: Kept::NONE,
            target_end: 0,
            route_end: 0,
            identity: 0,
            answer_to,
            local_cseq: 0,
            remote_cseq: None,
        }
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
        let routes = invite.values(HeaderName::RecordRoute).flat_map(split_list);
        let mut dialog = Dialog::none(AnswerTo { listener, destination: source });
        dialog.write(context, target, routes, |writer| {
            writer.header(HeaderName::CallId, invite.call_id());
            writer.name(HeaderName::From).raw(to).raw(b";tag=").raw(tag).end_line();
            writer.header(HeaderName::To, from);
        });
        dialog.identity = context.mint.hash(&[invite.call_id(), invite.from_tag()]);
        dialog.remote_cseq = invite.cseq().map(|cseq| cseq.number);
        dialog
    }

    /// The dialog with a callee, as its UAC, from the callee's 2xx (RFC 3261 §12.1.2).
    pub fn with_callee(context: &mut Context, answer: &Message<'_>, answer_to: AnswerTo) -> Dialog {
        let from = answer.header(HeaderName::From).unwrap_or_default();
        let to = answer.header(HeaderName::To).unwrap_or_default();
        let target = remote_target(answer, to);
        let mut routes = [&b""[..]; 32];
        let mut count = 0;
        for route in answer.values(HeaderName::RecordRoute).flat_map(split_list).take(routes.len()) {
            routes[count] = route;
            count += 1;
        }
        let mut dialog = Dialog::none(answer_to);
        dialog.write(context, target, routes[..count].iter().rev().copied(), |writer| {
            writer.header(HeaderName::CallId, answer.call_id());
            writer.header(HeaderName::From, from);
            writer.header(HeaderName::To, to);
        });
        dialog.identity = context.mint.hash(&[answer.call_id(), answer.to_tag()]);
        // The transaction has seen to it that this is our INVITE's.
        dialog.local_cseq = answer.cseq().map_or(0, |cseq| cseq.number);
        dialog
    }

    /// Whether there is a dialog that requests can be written in.
    pub fn is_some(&self) -> bool {
        self.text.is_some()
    }

    /// Whether a request of the peer's belongs to this dialog, by Call-ID and From tag.
    pub fn is_of(&self, context: &Context, request: &Message<'_>) -> bool {
        self.identity == context.mint.hash(&[request.call_id(), request.from_tag()])
    }

    /// Whether a response of the callee's belongs to this dialog, by Call-ID and To tag.
    pub fn is_answered_by(&self, context: &Context, response: &Message<'_>) -> bool {
        self.identity == context.mint.hash(&[response.call_id(), response.to_tag()])
    }

    /// Writes a request of ours in this dialog (RFC 3261 §12.2.1.1) up to, not including, Content-Length.
    pub fn write_request(
        &self,
        context: &Context,
        out: &mut Vec<u8>,
        (method, cseq): (Method, u32),
        branch: &Branch,
    ) {
        let text = context.keep.bytes(&self.text);
        let (target, rest) = text.split_at(usize::from(self.target_end).min(text.len()));
        let mut writer = Writer::new(out);
        writer.request_line(method, target);
        write_via(&mut writer, context.sent_by(self.answer_to.listener), branch);
        writer.name(HeaderName::MaxForwards).number(MAX_FORWARDS).end_line();
        writer.raw(rest);
        writer.name(HeaderName::CSeq).number(u64::from(cseq)).raw(b" ").raw(method.name().as_bytes());
        writer.end_line();
    }

    pub fn release(&mut self, context: &mut Context) {
        let text = self.text.take();
        context.keep.release(text);
    }

    fn write<'r>(
        &mut self,
        context: &mut Context,
        target: Option<&[u8]>,
        routes: impl Iterator<Item = &'r [u8]>,
        identity: impl FnOnce(&mut Writer<'_>),
    ) {
        let mut text = std::mem::take(&mut context.scratch);
        text.clear();
        match target {
            Some(target) => text.extend_from_slice(target),
            // Where the peer names no URI that can be written, it is meant itself.
            None => text.extend_from_slice(format!("sip:{}", self.answer_to.destination).as_bytes()),
        }
        let target_end = text.len();
        let target = target.unwrap_or_default();
        let mut first_hop = target;
        for (position, route) in routes.enumerate() {
            if position == 0 {
                first_hop = NameAddr::parse(route).map_or(target, |route| route.uri);
            }
            Writer::new(&mut text).header(HeaderName::Route, route);
        }
        let route_end = text.len();
        identity(&mut Writer::new(&mut text));
        // Longer than a datagram: the text is not kept and requests in the dialog cannot be written.
        self.target_end = u16::try_from(target_end).unwrap_or_default();
        self.route_end = u16::try_from(route_end).unwrap_or_default();
        self.answer_to.destination = hop(first_hop, self.answer_to.destination);
        self.text = context.keep.keep(&text).unwrap_or(Kept::NONE);
        context.scratch = text;
    }
}

/// The URI of Contact; where that is missing or none, of `fallback` (From or To). Request-Lines are made of
/// it.
fn remote_target<'a>(message: &Message<'a>, fallback: &'a [u8]) -> Option<&'a [u8]> {
    let contact = message.header(HeaderName::Contact).and_then(|contact| split_list(contact).next());
    contact.into_iter().chain([fallback]).find_map(|address| {
        let uri = NameAddr::parse(address).ok()?.uri;
        Uri::parse(uri).is_ok().then_some(uri)
    })
}

/// Where a request to `uri` goes. A host name is not resolved here: the peer's own address serves.
fn hop(uri: &[u8], peer: SocketAddr) -> SocketAddr {
    match Uri::parse(uri).ok().and_then(|uri| Some((uri.ip()?, uri.port.unwrap_or(5060)))) {
        Some((ip, port)) if ip.is_ipv4() == peer.is_ipv4() => SocketAddr::new(ip, port),
        _ => peer,
    }
}
