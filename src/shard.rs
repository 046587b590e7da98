//! The core's one door: datagrams, time and mail in; an ordered outbox out.

use crate::auth::Guard;
use crate::call::Calls;
use crate::clock::{Deadline, Now, UnixMs, UnixSeconds};
use crate::context::{Context, Due};
use crate::directory::Directory;
use crate::ids::Mint;
use crate::keep::Keep;
use crate::limits;
use crate::mail::Mail;
use crate::media::Media;
use crate::metrics::Metrics;
use crate::outbox::{ListenerId, Outbox};
use crate::registrar::Registrar;
use crate::settings::Settings;
use crate::signalling::{Request, Signalling};
use crate::sip::{Index, Message, Method, Status, scan};
use crate::timer::Wheel;
use crate::transaction::{AnswerTo, Arrival, ServerKey, Transactions};
use std::net::SocketAddr;
use std::sync::Arc;

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
    guard: Guard,
    calls: Calls,
    registrar: Registrar,
    index: Box<Index>,
    shard: u16,
    draining: bool,
}

impl Shard {
    /// A shard of its own: it shares nothing with its siblings but the directory, which it only reads.
    #[must_use]
    pub fn new(
        settings: Arc<Settings>,
        directory: Arc<Directory>,
        place: Place,
        started: UnixSeconds,
    ) -> Shard {
        // A copy of its own, so that no reference count is shared between cores.
        let settings = Arc::new(Settings::clone(&settings));
        let transactions = Transactions::new(&settings, place.shards);
        let calls = Calls::new(&settings, place.shards);
        let registrar = Registrar::new(&settings, place.shards);
        let timers = limits::timers_max(&settings, place.shards);
        let endpoints = limits::endpoints_max(&settings, place.shards);
        let context = Context {
            now: Now::from_ms(0),
            started,
            calendar: started.into(),
            wheel: Wheel::new(timers),
            keep: Keep::new(limits::kept_bytes_max(&settings, place.shards)),
            outbox: Outbox::new(),
            metrics: Metrics::default(),
            media: Media::new(&settings.media, endpoints, place.secret),
            mint: Mint::new(place.shard, place.shards, place.owner_seed, place.secret),
            scratch: Vec::new(),
            settings,
            directory: Arc::new(directory),
        };
        let (seed, secret) = (place.owner_seed, place.secret);
        let guard = Guard::new(&context.settings, (place.shard, place.shards), (seed, secret));
        let on = Signalling { context, transactions };
        let index = Box::new(Index::new());
        Shard { on, guard, calls, registrar, index, shard: place.shard, draining: false }
    }

    /// Handles one datagram, or says whose it is. The outbox must have room ([`Outbox::has_room`]).
    pub fn handle_datagram(&mut self, now: Now, datagram: Datagram<'_>) -> Owner {
        self.on.context.now = now;
        let Datagram { source, listener, buffer, length } = datagram;
        let scanned = scan(buffer, length, &mut self.index);
        let Shard { on, guard, calls, registrar, index, shard, draining } = self;
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
            Err(fault) => on.refuse_fault(&request, fault),
            Ok(()) if message.is_request() => {
                handle_request(on, (guard, calls, registrar), &request, *draining);
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
                Some(Due::Registration(ticket)) => self.registrar.handle_timer(&mut self.on, ticket),
                Some(due) => self.calls.handle_timer(&mut self.on, due),
            }
        }
    }

    /// Handles what the services have to say. The outbox must have room.
    pub fn handle_mail(&mut self, now: Now, mail: Mail) {
        self.on.context.now = now;
        let Shard { on, calls, registrar, .. } = self;
        match mail {
            Mail::Registered { ticket, outcome } => registrar.handle_mail(on, ticket, outcome),
            Mail::Forwarding { ticket, outcome } => calls.forwarding_changed(on, ticket, outcome),
            Mail::Calls { ticket, from, limit } => calls.name(on, ticket, (from, limit)),
            Mail::Call { ticket, call } => calls.describe(on, ticket, call),
            Mail::HangUp { ticket, call } => calls.end(on, ticket, call),
            Mail::Engine { ticket, outcome } => calls.engine_said(on, ticket, outcome),
        }
    }

    /// When `handle_timeout` is wanted next; `None`: nothing is armed.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        self.on.context.wheel.poll_timeout()
    }

    /// From now on records, Record-IDs and what the API tells of calls have their times by a calendar that
    /// stood so at `Now::from_ms(0)`: it has milliseconds, or was set. Timers and registrations stay.
    pub fn set_calendar(&mut self, calendar: UnixMs) {
        self.on.context.calendar = calendar;
    }

    /// From now on new calls are refused with 503.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// The server stops: what still lives is lost, and its records are posted
    /// ([`crate::mail::Letter::Ended`]). The last that is asked of a shard.
    pub fn close(&mut self, now: Now) {
        self.on.context.now = now;
        self.calls.post_unfinished(&mut self.on);
    }

    /// Sides of calls that live, whose records are not posted yet; none where records are not wanted.
    #[must_use]
    pub fn unrecorded(&self) -> usize {
        if self.on.context.settings.records { self.calls.sides() } else { 0 }
    }

    /// Calls that live.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// What a stop waits for: calls, REGISTERs that wait for the store, and messages whose receipt nobody has
    /// confirmed yet.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.calls.len() + self.registrar.len() + self.on.transactions.unconfirmed()
    }

    /// Transactions that live, lingering ones included.
    #[must_use]
    pub fn transactions(&self) -> usize {
        self.on.transactions.len()
    }

    /// Whether no call, no REGISTER, no transaction, no kept byte and no timer is left and nothing waits to
    /// be sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let context = &self.on.context;
        self.calls.is_empty()
            && self.registrar.is_empty()
            && self.on.transactions.is_empty()
            && context.keep.is_empty()
            && context.wheel.is_empty()
            && context.outbox.is_empty()
            && context.media.is_empty()
    }

    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.on.context.outbox
    }

    /// The relay of media: the shell hands it ports, packets and the time.
    pub fn media(&mut self) -> &mut Media {
        &mut self.on.context.media
    }

    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.on.context.metrics
    }
}

/// A request: its transaction deals with it, the guard refuses it, or the registrar or the calls take it.
fn handle_request(
    on: &mut Signalling,
    (guard, calls, registrar): (&mut Guard, &mut Calls, &mut Registrar),
    request: &Request<'_>,
    draining: bool,
) {
    let message = &request.message;
    let method = message.method();
    if method == Method::Cancel {
        return calls.handle_cancel(on, request);
    }
    let looked_for = if method == Method::Ack { Method::Invite } else { method };
    // Via and CSeq were scanned, so there is a key.
    let Some(key) = ServerKey::of(&on.context.mint, message, looked_for) else { return };
    match on.transactions.receive_request(&mut on.context, key, (message, request.source)) {
        Arrival::Absorbed => {}
        // Before it is asked for credentials, which its twin has used (RFC 3261 §8.2.2.2).
        Arrival::New(key) if begins_call(message) && on.transactions.is_merged(key) => {
            on.refuse(request, Status::LOOP_DETECTED);
        }
        Arrival::New(key) => {
            let Some(caller) = guard.identify(on, request) else { return };
            match method {
                // It makes no dialog and belongs to none, whatever To says (RFC 3261 §10.2).
                Method::Register if draining && calls.is_empty() => {
                    // Nothing else keeps the server from ending; the phone comes again.
                    on.context.metrics.refused_draining += 1;
                    on.refuse(request, Status::SERVICE_UNAVAILABLE);
                }
                Method::Register => registrar.handle_request(on, request, key, caller),
                _ => calls.handle_request(on, request, key, (draining, caller)),
            }
        }
    }
}

/// Whether it is an INVITE outside a dialog.
fn begins_call(message: &Message<'_>) -> bool {
    message.method() == Method::Invite && message.to_tag().is_empty()
}
