//! Requests that are answered without a transaction (RFC 3261 §8.2.7): the same request gets the same
//! response however often it comes, so nothing needs to be remembered and a flood fills no table.

use super::write::write_contact;
use super::{ALLOW, Request, SUPPORTED, Signalling};
use crate::context::Context;
use crate::sip::name_addr::{param, split_list};
use crate::sip::write::Writer;
use crate::sip::{HeaderName, Message, Status};
use crate::transaction::reply;

/// The shortest session interval that RFC 4028 §4 allows, in seconds.
const MIN_SE_S: u64 = 90;

/// Option tags that a 420 names.
const UNSUPPORTED_MAX: usize = 16;

impl Signalling {
    /// Refuses a request, with the header fields that the status calls for.
    pub fn refuse(&mut self, request: &Request<'_>, status: Status) {
        self.context.metrics.requests_refused += 1;
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
            _ => {}
        });
    }

    /// Answers an UPDATE that refreshes the session timer and nothing else (RFC 4028 §9, RFC 3311 §5.2): the
    /// peer refreshes, at the interval that it asks for.
    pub fn refresh(&mut self, request: &Request<'_>) {
        let asked = request.message.header(HeaderName::SessionExpires);
        let (seconds, params) = asked.map_or((None, &b""[..]), split_interval);
        if seconds.is_some_and(|seconds| seconds < MIN_SE_S) {
            let status = (Status::SESSION_INTERVAL_TOO_SMALL, &b""[..]);
            return self.reply(request, status, |_, writer| {
                writer.name(HeaderName::MinSe).number(MIN_SE_S).end_line();
            });
        }
        self.reply(request, (Status::OK, b""), |context, writer| {
            write_contact(writer, b"", context.sent_by(request.listener));
            writer.header(HeaderName::Allow, ALLOW);
            writer.header(HeaderName::Supported, SUPPORTED);
            let Some(seconds) = seconds else { return };
            let refresher = param(params, "refresher").unwrap_or(b"uac");
            if refresher.eq_ignore_ascii_case(b"uac") {
                writer.header(HeaderName::Require, SUPPORTED);
            }
            writer.name(HeaderName::SessionExpires).number(seconds).raw(b";refresher=").raw(refresher);
            writer.end_line();
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

/// Splits `90;refresher=uac`; `None`: no number.
fn split_interval(value: &[u8]) -> (Option<u64>, &[u8]) {
    let end = value.iter().position(|&byte| byte == b';').unwrap_or(value.len());
    let (digits, params) = value.split_at(end);
    let seconds = std::str::from_utf8(digits.trim_ascii()).ok().and_then(|digits| digits.parse().ok());
    (seconds, params)
}

/// The option tags that a request requires and we do not support (RFC 3261 §8.2.2.3).
pub fn unsupported<'a>(request: &Message<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    request.values(HeaderName::Require).flat_map(split_list).filter(|tag| !tag.eq_ignore_ascii_case(b"timer"))
}
