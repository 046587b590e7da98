//! Answers of our own. Outside a dialog they need no transaction (RFC 3261 §8.2.7): the same request gets the
//! same response however often it comes, so nothing needs to be remembered and a flood fills no table.

use super::{ALLOW_OUTSIDE, MIN_SE_S, Request, Signalling};
use crate::context::Context;
use crate::sip::name_addr::split_list;
use crate::sip::write::Writer;
use crate::sip::{HeaderName, Message, Method, Status};
use crate::transaction::{ServerKey, User, reply};

/// Option tags that a 420 names.
const UNSUPPORTED_MAX: usize = 16;

/// A To tag of ours outside a dialog: a letter and a hash.
const REPLY_TAG_BYTES: usize = 17;

impl Signalling {
    /// Refuses a request, with the header fields that the status calls for.
    pub fn refuse(&mut self, request: &Request<'_>, status: Status) {
        self.refuse_because(request, (status, b""), |_, _| {});
    }

    /// The same with a reason phrase (empty: the status's own) and more header fields.
    pub fn refuse_because(
        &mut self,
        request: &Request<'_>,
        (status, reason): (Status, &[u8]),
        extra: impl FnOnce(&Context, &mut Writer<'_>),
    ) {
        self.context.metrics.requests_refused += 1;
        let retry_s = self.retry_after_s(status);
        self.reply(request, (status, reason), |context, writer| {
            refusal_fields(writer, request, (status, retry_s));
            extra(context, writer);
        });
    }

    /// The same for a request in a dialog. What is refused now could be taken when it comes again, so a
    /// transaction sees to it that it is not.
    pub fn refuse_in_dialog(&mut self, request: &Request<'_>, key: ServerKey, status: Status) {
        self.context.metrics.requests_refused += 1;
        let retry_s = self.retry_after_s(status);
        self.answer_in_dialog(request, key, status, |_, writer| {
            refusal_fields(writer, request, (status, retry_s));
        });
    }

    /// Sends the final response to a request in a dialog, by a transaction of its own that answers
    /// repetitions.
    pub fn answer_in_dialog(
        &mut self,
        request: &Request<'_>,
        key: ServerKey,
        status: Status,
        extra: impl FnOnce(&Context, &mut Writer<'_>),
    ) {
        let message = &request.message;
        let Some(answer_to) = request.answer_to() else { return };
        let Some(handle) = self.transactions.open_server(message, key, answer_to, User::None) else {
            self.context.metrics.transactions_not_kept += 1;
            return self.reply_with_tag(request, (status, b""), b"", extra);
        };
        let sent = self.transactions.respond(&mut self.context, handle, status, |context, out| {
            reply::write(out, message, request.source, (status, b""), b"", |writer| extra(context, writer));
        });
        if !sent {
            self.transactions.abandon_unanswered(&mut self.context, handle);
        }
    }

    /// After how many seconds the sender of a refused request may come again.
    fn retry_after_s(&mut self, status: Status) -> u32 {
        match status {
            Status::SERVICE_UNAVAILABLE => self.context.settings.retry_after_s,
            // At a time that nobody else chooses (RFC 3261 §14.2).
            Status::SERVER_INTERNAL_ERROR => self.context.mint.random() as u32 % 11,
            _ => 0,
        }
    }

    /// Answers a request with a To tag made of the request itself.
    pub fn reply(
        &mut self,
        request: &Request<'_>,
        status: (Status, &[u8]),
        extra: impl FnOnce(&Context, &mut Writer<'_>),
    ) {
        let tag = self.tag_of(request);
        self.reply_with_tag(request, status, &tag, extra);
    }

    /// A To tag made of the request itself: a repetition has the same.
    #[must_use]
    pub fn tag_of(&self, request: &Request<'_>) -> [u8; REPLY_TAG_BYTES] {
        let message = &request.message;
        let branch = message.top_via().map_or(&b""[..], |via| via.branch);
        let hash = self.context.mint.public_hash(&[message.call_id(), message.from_tag(), branch]);
        let mut tag = [b's'; REPLY_TAG_BYTES];
        for (position, digit) in tag[1..].iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(hash >> (60 - 4 * position) & 15) as usize];
        }
        tag
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

/// The header fields that a refusal's status calls for.
fn refusal_fields(writer: &mut Writer<'_>, request: &Request<'_>, (status, retry_s): (Status, u32)) {
    match status {
        Status::METHOD_NOT_ALLOWED => writer.header(HeaderName::Allow, ALLOW_OUTSIDE),
        Status::BAD_EXTENSION => {
            writer.name(HeaderName::Unsupported);
            for (position, tag) in unsupported(&request.message).take(UNSUPPORTED_MAX).enumerate() {
                writer.raw(if position == 0 { b"" } else { b", " }).raw(tag);
            }
            writer.end_line();
        }
        Status::SERVICE_UNAVAILABLE | Status::SERVER_INTERNAL_ERROR => {
            writer.name(HeaderName::RetryAfter).number(u64::from(retry_s)).end_line();
        }
        Status::SESSION_INTERVAL_TOO_SMALL => {
            writer.name(HeaderName::MinSe).number(u64::from(MIN_SE_S)).end_line();
        }
        _ => {}
    }
}

/// The option tags that a request requires and we do not support (RFC 3261 §8.2.2.3). What it requires of
/// proxies it requires of us: there are none behind us that would see it.
pub fn unsupported<'a>(request: &Message<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let supported: [&[u8]; 2] = match request.method() {
        Method::Register => [b"path", b"outbound"],
        _ => [b"timer", b"100rel"],
    };
    let known = move |tag: &[u8]| supported.iter().any(|supported| tag.eq_ignore_ascii_case(supported));
    let required = request.values(HeaderName::Require).flat_map(split_list).filter(move |tag| !known(tag));
    required.chain(request.values(HeaderName::ProxyRequire).flat_map(split_list))
}
