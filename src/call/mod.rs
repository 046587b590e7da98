//! The back-to-back user agent: calls, their legs, and what they say to each other.
//!
//! [`Calls`] takes what the transactions do not know or report; `state` says what follows from it; `setup`,
//! `progress` and `hangup` carry it out; `write` and `dialog` make the messages.
//!
//! A request in a dialog goes to `in_dialog`, which finds its side of the call. What is the other party's
//! business goes on from there as a `relay`, an INVITE as a `reinvite`; `negotiation` says whether an offer
//! may pass, `reliable` deals with PRACK, `session` with session timers.
//!
//! What a message describes of media is `media`'s, which names, message by message, what is heard, told and
//! agreed on; `anchor` is one side's ports and what it was told of them, `description` one that is kept to be
//! told again, `announce` what a feature code sounds like. A media engine is asked at the door, by `engine`.

mod admit;
mod anchor;
mod announce;
mod chain;
mod description;
mod dialog;
mod ended;
mod engine;
mod engine_role;
mod engine_text;
mod feature;
mod forward;
mod hangup;
mod identity;
mod in_dialog;
mod inspect;
mod media;
mod negotiation;
mod progress;
mod record;
mod reinvite;
mod relay;
mod reliable;
mod request;
mod search;
mod session;
mod setup;
mod side;
pub mod state;
mod write;

use crate::context::{Context, Due};
use crate::keep::Kept;
use crate::limits;
use crate::settings::Settings;
use crate::sip::{Index, Message, scan};
use crate::slab::{Handle, Slab};
use crate::transaction::{AnswerTo, Exchange, Report, User, Verdict};
use ended::post_call;
use engine::Gate;
use record::{Call, Leg};
use relay::Relay;
use side::Side;
use state::{CallState, LegEvent, LegState, ReinviteEvent};

use crate::signalling::{Request, Signalling};

/// All calls of a shard.
pub struct Calls {
    calls: Slab<Call>,
    legs: Slab<Leg>,
    relays: Slab<Relay>,
    gate: Gate,
    /// For reading a kept INVITE again; taken while it is in use.
    reread: Option<Box<Reread>>,
    /// Room for the URIs of a diversion while it is recorded.
    uris: Vec<u8>,
    /// The last 2xx that nobody waited for, by hashes: each gets one BYE.
    orphans: [u64; ORPHANS],
    orphans_next: usize,
}

/// How many 2xx that nobody waited for are remembered.
const ORPHANS: usize = 64;

/// A kept message, scanned again.
struct Reread {
    buffer: Vec<u8>,
    index: Index,
}

impl Calls {
    /// A table for one shard's part of `settings.max_calls`.
    #[must_use]
    pub fn new(settings: &Settings, shards: u16) -> Calls {
        let capacity = (settings.max_calls / u32::from(shards.max(1))).max(1);
        // A call has a leg that is tried and one for each that is being given up: with no-answer timers much
        // shorter than 64·T1, one for every diversion.
        let legs = capacity.saturating_mul(u32::from(settings.max_diversions) + 1);
        Calls {
            calls: Slab::new(capacity),
            legs: Slab::new(legs),
            relays: Slab::new(capacity),
            gate: Gate::new(settings, capacity),
            reread: Some(Box::new(Reread { buffer: Vec::new(), index: Index::new() })),
            uris: Vec::new(),
            orphans: [0; ORPHANS],
            orphans_next: 0,
        }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Callers' and callees' sides of all calls.
    #[must_use]
    pub fn sides(&self) -> usize {
        self.calls.len() + self.legs.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.legs.is_empty() && self.relays.is_empty() && self.gate.is_empty()
    }

    /// A response came, and its transaction says what it is.
    pub fn handle_response(
        &mut self,
        on: &mut Signalling,
        verdict: Verdict,
        (response, from): (&Message<'_>, AnswerTo),
    ) {
        if !self.parks_response(on, verdict, (response, from)) {
            self.take_response(on, verdict, (response, from));
        }
    }

    fn take_response(
        &mut self,
        on: &mut Signalling,
        verdict: Verdict,
        (response, from): (&Message<'_>, AnswerTo),
    ) {
        if !response.body().is_empty() {
            self.note_host_of(verdict, from);
        }
        match verdict {
            Verdict::Absorbed => {}
            Verdict::Invite { user: User::None | User::Call(_), .. } => {
                on.context.metrics.impossible_events += 1;
            }
            Verdict::Stray => on.context.metrics.stray_responses += 1,
            Verdict::Invite { user: User::Leg(leg), .. } => self.leg_response(on, leg, response),
            Verdict::Invite { user: User::Relay(relay), transaction } => {
                self.reinvite_response(on, (relay, transaction), (response, from));
            }
            Verdict::AnswerAgain { transaction, answer_to } => {
                self.answer_again(on, transaction, (response, answer_to));
            }
            Verdict::Orphan { transaction, known, followed } => {
                self.orphan_answer(on, (transaction, known, followed), (response, from));
            }
            Verdict::Final { user, exchange: Exchange::Bye } => self.bye_done(on, user),
            Verdict::Final { user: User::Relay(relay), exchange: Exchange::Relayed } => {
                self.relayed(on, relay, Some(response));
            }
            Verdict::Final { user, exchange: Exchange::Refresh } => {
                if let Some(side) = Side::of_user(user) {
                    self.refreshed(on, side, Some(response));
                }
            }
            // Whatever a CANCEL got: its INVITE's final response is what counts. A callee that does not know
            // what our PRACK is for has had it before.
            Verdict::Final { .. } => {}
        }
    }

    /// A client transaction got no final response.
    pub fn handle_silence(&mut self, on: &mut Signalling, report: Report) {
        match (report.exchange, report.user) {
            (Exchange::Invite, User::Leg(leg)) => self.leg_event(on, leg, LegEvent::Silence, None),
            (Exchange::Bye, user) => self.bye_done(on, user),
            (Exchange::Invite, User::Relay(relay)) => {
                self.reinvite_event(on, relay, ReinviteEvent::Silence, None);
            }
            (Exchange::Relayed, User::Relay(relay)) => self.relayed(on, relay, None),
            (Exchange::Refresh, user) => {
                if let Some(side) = Side::of_user(user) {
                    self.refreshed(on, side, None);
                }
            }
            (Exchange::Cancel | Exchange::Prack | Exchange::Relayed | Exchange::Message, _) => {}
            (Exchange::Invite, User::None | User::Call(_)) => on.context.metrics.impossible_events += 1,
        }
    }

    /// A call's or a leg's timer is due.
    pub fn handle_timer(&mut self, on: &mut Signalling, due: Due) {
        match due {
            Due::Call(call) => self.call_timer(on, call),
            Due::Leg(leg) => self.leg_event(on, leg, LegEvent::Timer, None),
            Due::Relay(relay) => self.reinvite_timer(on, relay),
            Due::Search(call) => self.rang_out(on, call),
            Due::Engine(ticket) => self.engine_silent(on, ticket),
            Due::Silence(call) => self.silence_due(on, call),
            Due::Transaction(_) | Due::Registration(_) => on.context.metrics.impossible_events += 1,
        }
    }

    /// Unlinks and forgets a leg; the call goes with its last leg when nothing else holds it.
    fn remove_leg(&mut self, on: &mut Signalling, handle: Handle) {
        let Some(leg) = self.legs.remove(handle) else { return };
        self.post_leg(on, &leg);
        // An INVITE without a final response would wait for ever: its record goes too.
        if let (LegState::Cancelling | LegState::Held, Some(transaction)) = (leg.state, leg.transaction) {
            on.transactions.abandon_unanswered(&mut on.context, transaction);
        }
        if let Some(call) = self.calls.get_mut(leg.call) {
            if call.winner == Some(handle) {
                call.winner = None;
            }
            if call.first_leg == Some(handle) {
                call.first_leg = leg.next;
            } else {
                let mut at = call.first_leg;
                while let Some(previous) = at.and_then(|at| self.legs.get_mut(at)) {
                    if previous.next == Some(handle) {
                        previous.next = leg.next;
                        break;
                    }
                    at = previous.next;
                }
            }
        }
        if let Some(transaction) = leg.transaction {
            on.transactions.leave(transaction, leg.requests_in_early_dialogs());
        }
        let call = leg.call;
        leg.release(&mut on.context);
        self.speak_for(call, handle);
        self.remove_call_if_over(on, call);
    }

    fn remove_call_if_over(&mut self, on: &mut Signalling, handle: Handle) {
        let over = self.calls.get(handle).is_some_and(|call| {
            let ended = matches!(call.state, CallState::Refused | CallState::Ending);
            ended && call.caller_over && call.first_leg.is_none()
        });
        if over && let Some(call) = self.calls.remove(handle) {
            post_call(on, &call);
            self.leave_engine(on, handle, &call.asked);
            call.release(&mut on.context);
            on.context.metrics.calls_ended += 1;
        }
    }

    /// Reads a kept message again and hands it to `act`.
    fn reread<R>(
        &mut self,
        on: &mut Signalling,
        kept: &Kept,
        act: impl FnOnce(&mut Calls, &mut Signalling, &Message<'_>) -> R,
    ) -> Option<R> {
        let mut reread = self.reread.take()?;
        reread.buffer.clear();
        reread.buffer.extend_from_slice(on.context.keep.bytes(kept));
        let length = reread.buffer.len();
        reread.buffer.resize(length + limits::SCAN_PADDING, 0);
        // It was scanned when it came; a fault now would mean that it was not kept whole.
        let scanned = scan(&mut reread.buffer, length, &mut reread.index).is_ok();
        let result = scanned.then(|| act(self, on, &reread.index.message(&reread.buffer[..length])));
        self.reread = Some(reread);
        result
    }
}

/// `YYYYMMDDhhmmss` now.
fn stamp(context: &Context) -> [u8; 14] {
    crate::ids::utc_stamp(context.calendar_at(context.now).seconds().0)
}
