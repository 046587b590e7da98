//! Answers to REGISTERs.

use super::Pending;
use super::binding::{Change, Contacts, Refusal};
use super::refused::Refused;
use super::request::{has_flow, supports};
use crate::clock::UnixSeconds;
use crate::context::Context;
use crate::directory::{Binding, Entry, Q_MAX};
use crate::ids;
use crate::keep::Kept;
use crate::limits;
use crate::signalling::{Request, Signalling};
use crate::sip::write::Writer;
use crate::sip::{HeaderName, Status};
use crate::transaction::reply;

/// Answers a REGISTER that only asks for the bindings.
pub(super) fn fetch(on: &mut Signalling, request: &Request<'_>, entry: &Entry) {
    on.context.metrics.registrations_fetched += 1;
    on.reply(request, (Status::OK, b""), |context, writer| bindings(writer, context, entry));
}

/// Refuses a REGISTER before anything was begun for it.
pub(super) fn refuse(on: &mut Signalling, request: &Request<'_>, refused: Refused) {
    match refused {
        Refused::Full => {
            on.context.metrics.refused_full += 1;
            return on.refuse(request, Status::SERVICE_UNAVAILABLE);
        }
        Refused::TooBrief => {
            on.refuse_because(request, (Status::INTERVAL_TOO_BRIEF, b""), |context, writer| {
                let min_s = context.settings.registration.expires_min_s;
                writer.name(HeaderName::MinExpires).number(min_s.into()).end_line();
            });
        }
        Refused::Because(status, reason) => {
            on.refuse_because(request, (status, reason.as_bytes()), |_, _| {});
        }
    }
    on.context.metrics.registrations_refused += 1;
}

/// The refusal of an address-of-record that is nobody's. Who proved to be someone is told no more than of one
/// that is another's.
pub(super) const fn no_subscriber(is_authenticated: bool) -> Refused {
    Refused::Because(if is_authenticated { Status::FORBIDDEN } else { Status::NOT_FOUND }, "")
}

/// Keeps what the responses to a REGISTER are made of: the head of each, and behind it (the number tells
/// where) what a 200 has besides.
pub(super) fn keep_head(
    on: &mut Signalling,
    request: &Request<'_>,
    change: &Change,
) -> Result<(Kept, usize), Refused> {
    let tag = on.tag_of(request);
    let message = &request.message;
    let mut text = std::mem::take(&mut on.context.scratch);
    text.clear();
    reply::write_head(&mut text, message, request.source, &tag);
    let head_bytes = text.len();
    let mut writer = Writer::new(&mut text);
    if supports(message, b"path") {
        // RFC 3327 §5.3.
        for path in message.values(HeaderName::Path) {
            writer.header(HeaderName::Path, path);
        }
    }
    let keeps_flow = matches!(&change.contacts, Contacts::Update(contacts) if contacts.iter().any(has_flow));
    if keeps_flow && supports(message, b"outbound") {
        writer.header(HeaderName::Require, b"outbound");
    }
    let kept = (text.len() <= limits::RESPONSE_HEAD_BYTES_MAX).then(|| on.context.keep.keep(&text));
    on.context.scratch = text;
    let kept = kept.ok_or(Status::MESSAGE_TOO_LARGE)?.ok_or(Refused::Full)?;
    Ok((kept, head_bytes))
}

/// Tells what came of a REGISTER that waited for the store, and forgets it.
pub(super) fn respond(on: &mut Signalling, mut pending: Pending, outcome: Result<(), Refusal>) {
    let metrics = &mut on.context.metrics;
    let (status, reason) = match outcome {
        Ok(()) => (Status::OK, ""),
        Err(Refusal::OutOfOrder) => (Status::SERVER_INTERNAL_ERROR, "CSeq Out Of Order"),
        Err(Refusal::TooMany) => (Status::FORBIDDEN, "Too Many Contacts"),
        Err(Refusal::NoSubscriber) if pending.is_authenticated => (Status::FORBIDDEN, ""),
        Err(Refusal::NoSubscriber) => (Status::NOT_FOUND, ""),
        Err(Refusal::Unavailable) => (Status::SERVICE_UNAVAILABLE, ""),
    };
    match outcome {
        Ok(()) => metrics.registrations += 1,
        Err(Refusal::Unavailable) => metrics.registrations_unavailable += 1,
        Err(_) => metrics.registrations_refused += 1,
    }
    on.context.disarm(&mut pending.timer);
    let Signalling { context, transactions } = on;
    let sent = transactions.respond(context, pending.transaction, status, |context, out| {
        let mut writer = Writer::new(out);
        writer.status_line(status, reason.as_bytes());
        let (head, rest) = context.keep.bytes(&pending.head).split_at(pending.head_bytes);
        writer.raw(head);
        match outcome {
            Ok(()) => {
                if let Some(entry) = context.directory.read().get(pending.number.as_bytes()) {
                    bindings(&mut writer, context, entry);
                }
                writer.raw(rest);
            }
            Err(Refusal::Unavailable) => {
                let retry_s = context.settings.retry_after_s;
                writer.name(HeaderName::RetryAfter).number(retry_s.into()).end_line();
            }
            Err(_) => {}
        }
        writer.body(b"");
    });
    if !sent {
        on.transactions.abandon_unanswered(&mut on.context, pending.transaction);
    }
    on.context.keep.release(pending.head);
}

/// All bindings that have not expired, each with the time that is left (RFC 3261 §10.3 step 8), and the Date
/// that the phone may set its clock by.
fn bindings(writer: &mut Writer<'_>, context: &Context, entry: &Entry) {
    let now = context.unix();
    for binding in entry.bindings.iter().filter(|binding| now < binding.expires_at) {
        contact(writer, binding, now);
    }
    writer.header(HeaderName::Date, &ids::date(now.0));
}

fn contact(writer: &mut Writer<'_>, binding: &Binding, now: UnixSeconds) {
    let left_s = binding.expires_at.0 - now.0;
    writer.name(HeaderName::Contact).raw(b"<").raw(binding.uri.as_bytes()).raw(b">;expires=").number(left_s);
    if binding.q < Q_MAX {
        writer.raw(b";q=0.");
        // Three digits, whatever zeros lead them.
        [100, 10, 1].iter().for_each(|place| {
            writer.number(u64::from(binding.q / place % 10));
        });
    }
    if let Some(extras) = &binding.extras
        && !extras.instance.is_empty()
    {
        writer.raw(b";+sip.instance=\"").raw(extras.instance.as_bytes()).raw(b"\"");
        if extras.reg_id > 0 {
            writer.raw(b";reg-id=").number(extras.reg_id.into());
        }
    }
    writer.end_line();
}
