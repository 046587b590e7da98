//! The core's one door: datagrams, time and mail in; an ordered outbox out.

use crate::call::{Calls, DialogSide, Request, Signalling, unsupported};
use crate::clock::{Deadline, Now, UnixSeconds};
use crate::context::{Context, Due};
use crate::ids::{Kind, Mint};
use crate::keep::Keep;
use crate::limits;
use crate::metrics::Metrics;
use crate::outbox::{ListenerId, Outbox};
use crate::service::Subscriber;
use crate::settings::Settings;
use crate::sip::uri::Scheme;
use crate::sip::{Fault, HeaderName, Index, Message, Method, NameAddr, Status, Uri, scan};
use crate::timer::Wheel;
use crate::transaction::{AnswerTo, Arrival, ServerKey, Transactions, User};
use std::net::SocketAddr;
use std::sync::Arc;

/// A number in a Request-URI that is written with escapes: longer ones are nobody's.
const NUMBER_BYTES_MAX: usize = 64;

/// A datagram as the shell received it.
pub struct Datagram<'a> {
    pub source: SocketAddr,
    pub listener: ListenerId,
    /// The bytes, and at least `limits::SCAN_PADDING` zero bytes behind them.
    pub buffer: &'a mut [u8],
    /// How many of `buffer` are the datagram.
    pub length: usize,
}

/// Which shard a datagram belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// It was handled.
    Here,
    /// Nothing came of it, but its folded lines may stand unfolded: hand it over whole to this shard's inbox.
    Shard(u16),
}

/// Where a shard stands among its siblings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub shard: u16,
    pub shards: u16,
    /// The same for all shards of the process: keys the hash that finds a Call-ID's owner.
    pub owner_seed: u64,
    /// This shard's own: keys everything that must not be guessed.
    pub secret: u64,
}

/// One core's share of the calls.
pub struct Shard {
    on: Signalling,
    calls: Calls,
    index: Box<Index>,
    shard: u16,
    draining: bool,
}

impl Shard {
    /// A shard of its own: it shares nothing with its siblings but the subscribers' snapshot.
    #[must_use]
    pub fn new(settings: Arc<Settings>, place: Place, started: UnixSeconds) -> Shard {
        // A copy of its own, so that no reference count is shared between cores.
        let settings = Arc::new(Settings::clone(&settings));
        let transactions = Transactions::new(&settings, place.shards);
        let calls = Calls::new(&settings, place.shards);
        let timers = limits::timers_max(&settings, place.shards);
        let context = Context {
            now: Now::from_ms(0),
            started,
            wheel: Wheel::new(timers),
            keep: Keep::new(limits::kept_bytes_max(&settings, place.shards)),
            outbox: Outbox::new(),
            metrics: Metrics::default(),
            mint: Mint::new(place.shard, place.shards, place.owner_seed, place.secret),
            scratch: Vec::new(),
            settings,
        };
        let on = Signalling { context, transactions };
        Shard { on, calls, index: Box::new(Index::new()), shard: place.shard, draining: false }
    }

    /// Handles one datagram, or says whose it is. The outbox must have room ([`Outbox::has_room`]).
    pub fn handle_datagram(&mut self, now: Now, datagram: Datagram<'_>) -> Owner {
        self.on.context.now = now;
        let Datagram { source, listener, buffer, length } = datagram;
        let scanned = scan(buffer, length, &mut self.index);
        let Shard { on, calls, index, shard, draining } = self;
        let message = index.message(&buffer[..length]);
        let owner = on.context.mint.owner(message.call_id());
        // What has a fault touches no call, and scanned again it might not show it: it is refused here.
        if owner != *shard && scanned.is_ok() {
            on.context.metrics.handed_over += 1;
            return Owner::Shard(owner);
        }
        on.context.metrics.datagrams_received += 1;
        let request = Request { message, source, listener };
        match scanned {
            Err(fault) => bad_message(on, &request, fault),
            Ok(()) if message.is_request() => {
                handle_request(on, calls, &request, *draining);
            }
            Ok(()) => {
                let verdict = on.transactions.receive_response(&mut on.context, &message);
                let from = AnswerTo { listener, destination: source };
                calls.handle_response(on, verdict, (&message, from));
            }
        }
        Owner::Here
    }

    /// Fires what is due, at most `limits::TIMERS_PER_STEP_MAX` timers; call again while
    /// [`Shard::poll_timeout`] is due. The outbox must be empty.
    pub fn handle_timeout(&mut self, now: Now) {
        self.on.context.now = now;
        for _ in 0..limits::TIMERS_PER_STEP_MAX {
            if !self.on.context.outbox.has_room() {
                break;
            }
            match self.on.context.wheel.next_due(now) {
                None => break,
                Some(Due::Transaction(handle)) => {
                    let report = self.on.transactions.handle_timer(&mut self.on.context, handle);
                    if let Some(report) = report {
                        self.calls.handle_silence(&mut self.on, report);
                    }
                }
                Some(due) => self.calls.handle_timer(&mut self.on, due),
            }
        }
    }

    /// When `handle_timeout` is wanted next; `None`: nothing is armed.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        self.on.context.wheel.poll_timeout()
    }

    /// From now on new calls are refused with 503.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Calls that live.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// What a stop waits for: calls, and messages whose receipt nobody has confirmed yet.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.calls.len() + self.on.transactions.unconfirmed()
    }

    /// Transactions that live, lingering ones included.
    #[must_use]
    pub fn transactions(&self) -> usize {
        self.on.transactions.len()
    }

    /// Whether no call, no transaction, no kept byte and no timer is left and nothing waits to be sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let context = &self.on.context;
        self.calls.is_empty()
            && self.on.transactions.is_empty()
            && context.keep.is_empty()
            && context.wheel.is_empty()
            && context.outbox.is_empty()
    }

    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.on.context.outbox
    }

    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.on.context.metrics
    }
}

/// A message with a fault: a request that can be answered gets its 4xx or 5xx, all else is dropped
/// (SIP_RULES 27, 28).
fn bad_message(on: &mut Signalling, request: &Request<'_>, fault: Fault) {
    let message = &request.message;
    let metrics = &mut on.context.metrics;
    match fault {
        Fault::KeepAlive => metrics.keepalives += 1,
        Fault::NotSip => metrics.not_sip += 1,
        _ if !message.is_request() || message.method() == Method::Ack || !is_answerable(message) => {
            metrics.bad_messages_dropped += 1;
        }
        fault => {
            metrics.bad_requests_answered += 1;
            let (status, reason) = fault_response(fault);
            on.reply(request, (status, reason.as_bytes()), |_, _| {});
        }
    }
}

/// Whether the header fields that every response copies are there.
fn is_answerable(message: &Message<'_>) -> bool {
    let copied = [HeaderName::From, HeaderName::To, HeaderName::CSeq];
    message.top_via().is_some()
        && !message.call_id().is_empty()
        && copied.iter().all(|&name| message.header(name).is_some_and(|value| !value.is_empty()))
}

/// The response to a fault; a 400's reason phrase names the header field (RFC 3261 §21.4.1).
fn fault_response(fault: Fault) -> (Status, String) {
    let bad = |text: String| (Status::BAD_REQUEST, text);
    match fault {
        Fault::Version => (Status::VERSION_NOT_SUPPORTED, String::new()),
        Fault::RequestUriTooLong => (Status::REQUEST_URI_TOO_LONG, String::new()),
        Fault::TooManyHeaders => bad("Too Many Header Fields".into()),
        Fault::BrokenStartLine => bad("Broken Request-Line".into()),
        Fault::BrokenHeader => bad("Broken Header Line".into()),
        Fault::Missing(name) => bad(format!("Missing {}", name.text())),
        Fault::Repeated(name) => bad(format!("Repeated {}", name.text())),
        Fault::Malformed(name) => bad(format!("Malformed {}", name.text())),
        Fault::CSeqMethod => bad("CSeq Method Differs".into()),
        Fault::Truncated => bad("Content-Length Beyond Datagram".into()),
        Fault::KeepAlive | Fault::NotSip => bad(String::new()),
    }
}

/// A request: its transaction, else its dialog, else a new one.
fn handle_request(on: &mut Signalling, calls: &mut Calls, request: &Request<'_>, draining: bool) {
    let method = request.message.method();
    let of = |method| ServerKey::of(&on.context.mint, &request.message, method);
    // Via and CSeq were scanned, so there is a key.
    let Some(key) = of(if method == Method::Ack { Method::Invite } else { method }) else { return };
    match method {
        Method::Cancel => return handle_cancel(on, calls, request),
        _ => {
            match on.transactions.receive_request(&mut on.context, key, (&request.message, request.source)) {
                Arrival::Absorbed => return,
                Arrival::New(_) => {}
            }
        }
    }
    if !request.message.to_tag().is_empty() {
        return handle_in_dialog(on, calls, request, key);
    }
    match method {
        Method::Ack => on.context.metrics.stray_acks += 1,
        Method::Invite => handle_invite(on, calls, request, key, draining),
        Method::Options if unsupported(&request.message).next().is_some() => {
            on.refuse(request, Status::BAD_EXTENSION);
        }
        Method::Options => {
            on.context.metrics.options_answered += 1;
            on.reply(request, (Status::OK, b""), |_, writer| {
                writer.header(HeaderName::Allow, crate::call::ALLOW);
                writer.header(HeaderName::Accept, b"application/sdp");
                writer.header(HeaderName::Supported, crate::call::SUPPORTED);
            });
        }
        // A BYE or another request that lives in a dialog only (RFC 3261 §15.1.2).
        Method::Bye | Method::Prack | Method::Update | Method::Info => {
            on.refuse(request, Status::CALL_DOES_NOT_EXIST);
        }
        _ => on.refuse(request, Status::METHOD_NOT_ALLOWED),
    }
}

/// A CANCEL: 200, and 487 to its INVITE while that has no final response (RFC 3261 §9.2). The answer is
/// the same however often it comes, so it needs no transaction.
fn handle_cancel(on: &mut Signalling, calls: &mut Calls, request: &Request<'_>) {
    let key = ServerKey::of(&on.context.mint, &request.message, Method::Invite);
    let Some(cancelled) = key.and_then(|key| on.transactions.find_invite(key)) else {
        on.context.metrics.stray_cancels += 1;
        return on.refuse(request, Status::CALL_DOES_NOT_EXIST);
    };
    let User::Call(call) = cancelled.user else {
        return on.reply(request, (Status::OK, b""), |_, _| {});
    };
    // RFC 3261 §9.2: the To tag of the CANCEL's 200 is that of the INVITE's responses.
    let tag = on.context.mint.tag(Kind::Call, call);
    on.reply_with_tag(request, (Status::OK, b""), &tag, |_, _| {});
    if cancelled.pending {
        calls.cancel(on, call);
    }
}

/// A request with a To tag: ours names the dialog.
fn handle_in_dialog(on: &mut Signalling, calls: &mut Calls, request: &Request<'_>, key: ServerKey) {
    let message = &request.message;
    let side = match on.context.mint.read_tag(message.to_tag()) {
        Some((Kind::Call, call)) => Some(DialogSide::Caller(call)),
        Some((Kind::Leg, leg)) => Some(DialogSide::Callee(leg)),
        _ => None,
    };
    match (message.method(), side) {
        (Method::Ack, side) => {
            if !side.is_some_and(|side| calls.acknowledge(on, side, request)) {
                on.context.metrics.stray_acks += 1;
            }
        }
        (Method::Bye, Some(side)) => {
            if let Err(status) = calls.hang_up(on, side, request, key) {
                on.refuse(request, status);
            }
        }
        (method, Some(side)) if calls.knows(on, side, message) => match method {
            Method::Options => on.reply(request, (Status::OK, b""), |_, writer| {
                writer.header(HeaderName::Allow, crate::call::ALLOW);
            }),
            // The session stays as it is (RFC 3261 §14.2).
            Method::Invite => on.refuse(request, Status::NOT_ACCEPTABLE_HERE),
            _ => on.refuse(request, Status::METHOD_NOT_ALLOWED),
        },
        _ => on.refuse(request, Status::CALL_DOES_NOT_EXIST),
    }
}

/// An INVITE that begins a call, if nothing speaks against it.
fn handle_invite(
    on: &mut Signalling,
    calls: &mut Calls,
    request: &Request<'_>,
    key: ServerKey,
    draining: bool,
) {
    let settings = Arc::clone(&on.context.settings);
    if on.transactions.is_merged(key) {
        return on.refuse(request, Status::LOOP_DETECTED);
    }
    match admit(&settings, &request.message) {
        Err(status) => on.refuse(request, status),
        Ok(_) if draining => {
            on.context.metrics.refused_draining += 1;
            on.refuse(request, Status::SERVICE_UNAVAILABLE);
        }
        Ok(subscriber) => {
            if let Err(status) = calls.begin(on, request, key, subscriber) {
                on.context.metrics.refused_full += 1;
                on.refuse(request, status);
            }
        }
    }
}

/// Checks a new INVITE in the order of RFC 3261 §8.2 and §16.3 and finds whom it is for.
fn admit<'s>(settings: &'s Settings, invite: &Message<'_>) -> Result<&'s Subscriber, Status> {
    let uri = Uri::parse(invite.request_uri()).map_err(|_| Status::BAD_REQUEST)?;
    if uri.scheme == Scheme::Other {
        return Err(Status::UNSUPPORTED_URI_SCHEME);
    }
    if invite.max_forwards() == Some(0) {
        return Err(Status::TOO_MANY_HOPS);
    }
    if unsupported(invite).next().is_some() {
        return Err(Status::BAD_EXTENSION);
    }
    if came_from_us(settings, invite) {
        return Err(Status::LOOP_DETECTED);
    }
    // Our own INVITEs are made of it.
    let from = invite.header(HeaderName::From).unwrap_or_default();
    NameAddr::parse(from).and_then(|from| Uri::parse(from.uri)).map_err(|_| Status::BAD_REQUEST)?;
    find(settings, uri.user).ok_or(Status::NOT_FOUND)
}

/// The subscriber with this number, escapes decoded (RFC 3261 §19.1.4).
fn find<'s>(settings: &'s Settings, number: &[u8]) -> Option<&'s Subscriber> {
    if !number.contains(&b'%') {
        return settings.subscribers.get(number);
    }
    let mut decoded = [0; NUMBER_BYTES_MAX];
    let mut length = 0;
    let mut rest = number;
    while let [first, others @ ..] = rest {
        let escaped = others.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = escaped.filter(|_| *first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        *decoded.get_mut(length)? = byte.unwrap_or(*first);
        length += 1;
        rest = if byte.is_some() { &others[2..] } else { others };
    }
    settings.subscribers.get(&decoded[..length])
}

/// Whether the INVITE went through us before: its topmost Via below the sender's bears a branch of ours'
/// form and one of our own addresses (RFC 5393 §4 asks for loop detection; a B2BUA's call that comes back
/// by way of a proxy still carries the Via that we wrote).
fn came_from_us(settings: &Settings, invite: &Message<'_>) -> bool {
    let vias = invite.values(HeaderName::Via).flat_map(crate::sip::name_addr::split_list);
    vias.filter_map(|via| crate::sip::Via::parse(via).ok()).any(|via| {
        settings.listeners.iter().any(|listener| is_sent_by(listener, &via))
            && via.branch().starts_with(crate::ids::MAGIC_COOKIE)
            && via.branch().len() == crate::ids::BRANCH_BYTES
    })
}

fn is_sent_by(listener: &crate::settings::Listener, via: &crate::sip::Via<'_>) -> bool {
    let sent_by = listener.sent_by.as_bytes();
    let Some(rest) = sent_by.strip_prefix(via.host) else { return false };
    let port = via.port.unwrap_or(5060);
    rest.strip_prefix(b":")
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .map_or(rest.is_empty() && port == 5060, |digits| digits.parse() == Ok(port))
}
