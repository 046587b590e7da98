//! Requests that are answered without a transaction (RFC 3261 §8.2.7): the same request gets the same
//! response however often it comes, so nothing needs to be remembered and a flood fills no table.

use super::session::MIN_SE_S;
use super::{ALLOW, Request, Signalling};
use crate::context::Context;
use crate::sip::name_addr::split_list;
use crate::sip::write::Writer;
use crate::sip::{HeaderName, Message, Status};
use crate::transaction::reply;

/// Option tags that a 420 names.
const UNSUPPORTED_MAX: usize = 16;

impl Signalling {
    /// Refuses a request, with the header fields that the status calls for.
    pub fn refuse(&mut self, request: &Request<'_>, status: Status) {
        self.context.metrics.requests_refused += 1;
        // Whoever gets a 500 comes again at a time of its own (RFC 3261 §14.2).
        let busy = status == Status::SERVER_INTERNAL_ERROR;
        let retry_s = if busy { self.context.mint.random() % 11 } else { 0 };
        self.reply(request, (status, b""), |context, writer| match status {
            Status::METHOD_NOT_ALLOWED => writer.header(HeaderName::Allow, ALLOW),
            Status::BAD_EXTENSION => {
                writer.name(HeaderName::Unsupported);
                for (position, tag) in unsupported(&request.message).take(UNSUPPORTED_MAX).enumerate() {
                    writer.raw(if position == 0 { b"" } else { b", " }).raw(tag);
                }
                writer.end_line();
            }
            Status::SERVICE_UNAVAILABLE => {
                let after = u64::from(context.settings.retry_after_s);
                writer.name(HeaderName::RetryAfter).number(after).end_line();
            }
            Status::SESSION_INTERVAL_TOO_SMALL => {
                writer.name(HeaderName::MinSe).number(u64::from(MIN_SE_S)).end_line();
            }
            Status::SERVER_INTERNAL_ERROR => {
                writer.name(HeaderName::RetryAfter).number(retry_s).end_line();
            }
            _ => {}
        });
    }

    /// Answers a request with a To tag made of the request itself.
    pub fn reply(
        &mut self,
        request: &Request<'_>,
        status: (Status, &[u8]),
        extra: impl FnOnce(&Context, &mut Writer<'_>),
    ) {
        let message = &request.message;
        let branch = message.top_via().map_or(&b""[..], |via| via.branch);
        let hash = self.context.mint.public_hash(&[message.call_id(), message.from_tag(), branch]);
        let mut tag = [b's'; 17];
        for (position, digit) in tag[1..].iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(hash >> (60 - 4 * position) & 15) as usize];
        }
        self.reply_with_tag(request, status, &tag, extra);
    }

    /// Answers a request with this To tag, unless its To has one.
    pub fn reply_with_tag(
        &mut self,
        request: &Request<'_>,
        status: (Status, &[u8]),
        tag: &[u8],
        extra: impl FnOnce(&Context, &mut Writer<'_>),
    ) {
        let message = &request.message;
        let Some(via) = message.top_via() else { return };
        let destination = reply::destination(&via, request.source);
        let mut outbox = std::mem::take(&mut self.context.outbox);
        let context = &self.context;
        let sent = outbox.send(request.listener, destination, |out| {
            reply::write(out, message, request.source, status, tag, |writer| extra(context, writer));
        });
        let sent = sent.is_some();
        self.context.outbox = outbox;
        self.context.metrics.datagrams_sent += u64::from(sent);
    }
}

/// The option tags that a request requires and we do not support (RFC 3261 §8.2.2.3). What it requires of
/// proxies it requires of us: there are none behind us that would see it.
pub fn unsupported<'a>(request: &Message<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let known =
        |tag: &[u8]| [&b"timer"[..], b"100rel"].iter().any(|supported| tag.eq_ignore_ascii_case(supported));
    let required = request.values(HeaderName::Require).flat_map(split_list).filter(move |tag| !known(tag));
    required.chain(request.values(HeaderName::ProxyRequire).flat_map(split_list))
}
