//! The search for somebody who answers: a subscriber's locations are tried together where they are equally
//! preferred, level after level else (RFC 3261 §16.6); when all have come to nothing the best of their final
//! responses decides (§16.7) where the call goes on, or what the caller gets.

use super::ended::cause_of;
use super::forward::Next;
use super::media::drops_body;
use super::record::{Call, Heard, Leg};
use super::reliable::{Outstanding, Reliability};
use super::state::{CallState, LegEvent, LegState};
use super::write::{Body, own_response, passed_status, relayed_response, write_rseq};
use super::{Calls, Signalling};
use crate::clock::UnixSeconds;
use crate::context::{Context, Due};
use crate::directory::{Condition, Entry, HistoryForm, Location, Q_MAX};
use crate::keep::Kept;
use crate::limits::FORKS_MAX;
use crate::mail::{Cause, EndedBy};
use crate::service::{Failure, Outside};
use crate::settings::Settings;
use crate::sip::write::Writer;
use crate::sip::{HeaderName, Message, Status};
use crate::slab::Handle;
use crate::timer::TimerHandle;
use std::sync::Arc;

/// The Reason of a CANCEL to those who did not answer first.
const ELSEWHERE: &[u8] = b"Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n";

/// The Reason of a CANCEL to those who did not answer in time.
const NO_ANSWER: &[u8] = b"Reason: SIP;cause=408;text=\"No answer\"\r\n";

/// How far the present subscriber has been tried.
#[derive(Debug)]
pub(super) struct Search {
    /// The q-value of the locations that are tried now; those below it have not been.
    level: u16,
    /// There were such.
    has_next_level: bool,
    /// How long they may ring, all levels together (SIP_RULES 2).
    ring_ms: u32,
    /// Runs from the first 18x of any leg.
    timer: TimerHandle,
    /// The best that a leg has come to so far, and the response that said so.
    best: Option<Failure>,
    response: Kept,
    /// What its phones are told of diversions where no peer's setting speaks for them.
    pub history: HistoryForm,
    /// Beyond trusted peers nobody is told that it diverted the call.
    pub is_private: bool,
    /// Who is tried, where it is no subscriber of ours.
    pub outside: Option<Box<Outside>>,
}

/// Who is tried.
#[derive(Clone, Copy)]
pub(super) enum Callee<'d> {
    Subscriber(&'d Entry),
    Outside(&'d Outside),
}

impl<'d> Callee<'d> {
    /// Where it may be reached now.
    pub fn locations(self, now: UnixSeconds) -> impl Iterator<Item = Location<'d>> {
        let (entry, outside) = match self {
            Callee::Subscriber(entry) => (Some(entry), None),
            Callee::Outside(outside) => (None, Some(outside)),
        };
        let location = |outside: &'d Outside| Location {
            uri: &outside.uri,
            destination: outside.destination,
            listener: None,
            path: "",
            q: Q_MAX,
        };
        entry.into_iter().flat_map(move |entry| entry.locations(now)).chain(outside.map(location))
    }

    /// How long it may ring (SIP_RULES 2), and what it is told of diversions.
    fn terms(self, settings: &Settings) -> (u32, HistoryForm) {
        match self {
            Callee::Subscriber(entry) => {
                let subscriber = &entry.subscriber;
                let own_ms = subscriber.after_ms.unwrap_or(settings.no_answer_ms);
                let forwards = subscriber.forwarding.target(Condition::NoAnswer).is_some();
                let ring_ms = if forwards { own_ms } else { settings.ring_limit_ms };
                (ring_ms, subscriber.history.unwrap_or(settings.forwarding.history))
            }
            Callee::Outside(_) => (settings.ring_limit_ms, settings.forwarding.history),
        }
    }
}

impl Search {
    pub const NONE: Search = Search {
        level: 0,
        has_next_level: false,
        ring_ms: 0,
        timer: TimerHandle::NONE,
        best: None,
        response: Kept::NONE,
        history: HistoryForm::Both,
        is_private: false,
        outside: None,
    };

    /// Somebody answered, or nobody will.
    pub fn end(&mut self, context: &mut Context) {
        context.disarm(&mut self.timer);
        context.keep.release(self.response.take());
        self.best = None;
    }
}

/// Why no leg could be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotTried {
    /// There is no location (left) to try.
    NoLocation,
    /// A table is full, or the INVITE became too long.
    Refused(Status),
}

impl Calls {
    /// Sends an INVITE to each of the most preferred locations of a subscriber, or to a target outside.
    ///
    /// # Errors
    /// Not one could be sent.
    pub(super) fn search(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        callee: Callee<'_>,
        invite: &Message<'_>,
    ) -> Result<(), NotTried> {
        let (ring_ms, history) = callee.terms(&on.context.settings);
        let Some(call) = self.calls.get_mut(handle) else { return Err(NotTried::NoLocation) };
        call.search.end(&mut on.context);
        (call.search.ring_ms, call.search.history) = (ring_ms, history);
        (call.search.outside, call.search.is_private) = match callee {
            Callee::Outside(outside) => (Some(Box::new(outside.clone())), false),
            Callee::Subscriber(entry) => (None, entry.subscriber.is_private),
        };
        call.search.level = u16::MAX;
        call.current = None;
        call.media = None;
        self.try_levels(on, handle, callee, invite)
    }

    /// Sends an INVITE to each location of the next level at which one can be sent.
    fn try_levels(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        called: Callee<'_>,
        invite: &Message<'_>,
    ) -> Result<(), NotTried> {
        let mut first = NotTried::NoLocation;
        loop {
            match self.try_level(on, handle, called, invite) {
                Ok(()) => return Ok(()),
                // The levels are through: what kept the first one from being tried counts.
                Err(NotTried::NoLocation) => return Err(first),
                Err(refused) if first == NotTried::NoLocation => first = refused,
                Err(_) => {}
            }
        }
    }

    fn try_level(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        called: Callee<'_>,
        invite: &Message<'_>,
    ) -> Result<(), NotTried> {
        let now = on.context.unix();
        let Some(call) = self.calls.get_mut(handle) else { return Err(NotTried::NoLocation) };
        let below = call.search.level;
        let levels = called.locations(now).map(|location| location.q).filter(|&q| q < below);
        let level = levels.max().ok_or(NotTried::NoLocation)?;
        call.search.level = level;
        call.search.has_next_level = called.locations(now).any(|location| location.q < level);
        let mut outcome = Err(NotTried::NoLocation);
        let locations = called.locations(now).filter(|location| location.q == level);
        for location in locations.take(FORKS_MAX) {
            // The last part of every table is kept for calls that live.
            let has_room = on.transactions.has_room_for_call() && on.context.keep.has_room_for_call();
            if outcome.is_ok() && !has_room {
                break;
            }
            match self.start_leg(on, handle, &location, invite) {
                Ok(()) => outcome = Ok(()),
                Err(status) => outcome = outcome.or(Err(NotTried::Refused(status))),
            }
        }
        outcome
    }

    /// A leg rings: the no-answer timer starts with the first one and is never started again.
    pub(super) fn ring(&mut self, on: &mut Signalling, handle: Handle) {
        let Some(call) = self.calls.get_mut(handle) else { return };
        call.story.ring(on.context.now);
        if call.search.timer == TimerHandle::NONE {
            let deadline = on.context.now.after_ms(call.search.ring_ms);
            on.context.arm(&mut call.search.timer, deadline, Due::Search(handle));
        }
    }

    /// Nobody answered in time: CANCEL to all, then on to the next target.
    pub(super) fn rang_out(&mut self, on: &mut Signalling, handle: Handle) {
        let Some(call) = self.calls.get(handle) else { return };
        if call.state != CallState::Searching || call.winner.is_some() {
            on.context.metrics.impossible_events += 1;
            return;
        }
        on.context.metrics.no_answer_timeouts += 1;
        self.note_why(handle, None, Cause::NoAnswer);
        self.give_cancel_reason(on, handle, NO_ANSWER);
        self.end_search(on, handle, None);
        // The next target's CANCEL has another.
        self.give_cancel_reason(on, handle, b"");
        self.conclude(on, handle, Failure::RangOut, None);
    }

    /// Those who are cancelled now missed nothing: their phones need not list the call (RFC 3326 §2).
    pub(super) fn complete_elsewhere(&mut self, on: &mut Signalling, handle: Handle) {
        self.give_cancel_reason(on, handle, ELSEWHERE);
    }

    /// The CANCELs that follow have this Reason, a whole header field; empty: none.
    fn give_cancel_reason(&mut self, on: &mut Signalling, handle: Handle, reason: &[u8]) {
        let Some(call) = self.calls.get_mut(handle) else { return };
        let keep = &mut on.context.keep;
        let kept = if reason.is_empty() { None } else { keep.keep(reason) };
        keep.release(std::mem::replace(&mut call.cancel_reason, kept.unwrap_or(Kept::NONE)));
    }

    /// The call waits for none of its legs any more: those that have no final response get CANCEL, except
    /// the one that has just got it.
    pub(super) fn end_search(&mut self, on: &mut Signalling, handle: Handle, except: Option<Handle>) {
        self.note_why(handle, except, Cause::DeclinedElsewhere);
        let Some(call) = self.calls.get_mut(handle) else { return };
        call.search.end(&mut on.context);
        let (goes_on, mut next) = (call.state == CallState::Searching, call.first_leg);
        while let Some(leg) = next {
            let Some(record) = self.legs.get(leg) else { return };
            next = record.next;
            if record.is_tried() && Some(leg) != except {
                // It is not removed by this, so its place in the list stays.
                self.leg_event(on, leg, LegEvent::Cancel, None);
                if goes_on {
                    self.refuse_relays_to(on, leg, 0);
                }
            }
        }
    }

    /// A leg came to nothing: the others are waited for, then the next level is tried, then the best of what
    /// they came to decides. A leg that was not cancelled is over.
    pub(super) fn leg_failed(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        failure: Failure,
        response: Option<&Message<'_>>,
    ) {
        self.refuse_relays_to(on, handle, 0);
        let Some(leg) = self.legs.get(handle) else { return };
        let (call, cancelling) = (leg.call, leg.state == LegState::Cancelling);
        let searching = |call: &Call| call.state == CallState::Searching && call.winner.is_none();
        if self.calls.get(call).is_some_and(searching) {
            if response.is_some_and(|response| self.deflection(on, call, response).is_some()) {
                // Somebody has said where the call goes: it need not ring elsewhere.
                self.end_search(on, call, Some(handle));
                self.note_redirection(handle);
                self.conclude(on, call, failure, response);
                return self.forget_failed(on, handle, (call, cancelling));
            }
            // RFC 3261 §16.7 step 5: a 6xx ends the search wherever else it rings.
            let ends_all = preference(&failure) == 0;
            if !ends_all && (self.has_others(call, handle) || self.tries_next_level(on, call)) {
                self.note_failure(on, call, failure, response);
                self.replace_media(on, call, handle);
            } else {
                self.conclude_with_best(on, (call, handle), failure, response);
            }
        }
        self.forget_failed(on, handle, (call, cancelling));
    }

    /// A leg that came to nothing is over, unless its CANCEL has still to be answered.
    fn forget_failed(&mut self, on: &mut Signalling, leg: Handle, (call, cancelling): (Handle, bool)) {
        match cancelling {
            true => self.speak_for(call, leg),
            false => self.remove_leg(on, leg),
        }
    }

    /// Whether a leg besides this one is still tried.
    pub(super) fn has_others(&self, call: Handle, leg: Handle) -> bool {
        self.legs_of(call).any(|(other, record)| other != leg && record.is_tried())
    }

    /// Whether another leg speaks for the callees in the caller's early dialog.
    pub(super) fn has_other_speaker(&self, call: Handle, leg: Handle) -> bool {
        let current = self.calls.get(call).and_then(|call| call.current).filter(|&current| current != leg);
        let current = current.and_then(|current| self.legs.get(current));
        current.is_some_and(|leg| leg.is_tried() && leg.dialog.is_some())
    }

    /// Whether the caller hears another leg's early media.
    pub(super) fn hears_another(&self, call: Handle, leg: Handle) -> bool {
        let Some(call) = self.calls.get(call).filter(|call| call.heard == Heard::EarlyMedia) else {
            return false;
        };
        let other = call.media.filter(|&media| media != leg).and_then(|media| self.legs.get(media));
        other.is_some_and(Leg::is_tried)
    }

    /// A leg has gone: where it spoke for the callees, another does.
    pub(super) fn speak_for(&mut self, call: Handle, gone: Handle) {
        let other = self.legs_of(call).find(|(_, leg)| leg.is_tried() && leg.dialog.is_some());
        let other = other.map(|(other, _)| other);
        if let Some(call) = self.calls.get_mut(call)
            && call.current == Some(gone)
        {
            call.current = other;
        }
    }

    fn legs_of(&self, call: Handle) -> impl Iterator<Item = (Handle, &Leg)> {
        let first = self.calls.get(call).and_then(|call| call.first_leg);
        let with_record = |handle| Some((handle, self.legs.get(handle)?));
        std::iter::successors(first.and_then(with_record), move |(_, leg)| leg.next.and_then(with_record))
    }

    /// The leg whose early media the caller heard has gone: where another rings, it hears ringback again
    /// (SIP_RULES 16).
    fn replace_media(&mut self, on: &mut Signalling, handle: Handle, gone: Handle) {
        let rings = self.legs_of(handle).any(|(other, leg)| other != gone && leg.state == LegState::Ringing);
        let Some(call) = self.calls.get_mut(handle).filter(|call| call.media == Some(gone)) else { return };
        call.media = None;
        if rings && call.heard == Heard::EarlyMedia {
            // While a PRACK is awaited nothing more may be said reliably.
            call.owes_180 = call.outstanding.is_some();
            if !call.owes_180 {
                self.tell_of_ringing(on, handle);
            }
        }
    }

    /// Keeps what a leg came to, if it is better than what others came to.
    fn note_failure(
        &mut self,
        on: &mut Signalling,
        call: Handle,
        failure: Failure,
        response: Option<&Message<'_>>,
    ) {
        let Some(call) = self.calls.get_mut(call) else { return };
        let search = &mut call.search;
        if search.best.as_ref().is_none_or(|best| preference(&failure) < preference(best)) {
            search.best = Some(failure);
            on.context.keep.release(search.response.take());
            search.response =
                response.and_then(|response| on.context.keep.keep(response.bytes())).unwrap_or(Kept::NONE);
        }
    }

    /// Whether locations of the present subscriber that are less preferred are tried now.
    fn tries_next_level(&mut self, on: &mut Signalling, handle: Handle) -> bool {
        let Some(call) = self.calls.get(handle).filter(|call| call.search.has_next_level) else {
            return false;
        };
        let (level, now) = (call.search.level, on.context.unix());
        let directory = Arc::clone(&on.context.directory);
        let view = directory.read();
        // A target outside has one level.
        let called = view.get(call.called(&on.context)).map(Callee::Subscriber);
        let Some(called) = called.filter(|called| called.locations(now).any(|location| location.q < level))
        else {
            return false;
        };
        let tried = self.with_invite(on, handle, |calls, on, invite| {
            calls.try_levels(on, handle, called, invite).is_ok()
        });
        tried == Some(true)
    }

    /// All legs have come to nothing: the best of what they came to counts.
    fn conclude_with_best(
        &mut self,
        on: &mut Signalling,
        (handle, leg): (Handle, Handle),
        last: Failure,
        response: Option<&Message<'_>>,
    ) {
        let Some(call) = self.calls.get_mut(handle) else { return };
        let best = call.search.best.take().filter(|best| preference(best) <= preference(&last));
        let kept = call.search.response.take();
        self.end_search(on, handle, Some(leg));
        match best {
            None => self.conclude(on, handle, last, response),
            Some(best) if !kept.is_some() => self.conclude(on, handle, best, None),
            // To forward, the INVITE is read again: the response only where the caller gets it.
            Some(best) => match self.next_target(on, handle, best, None) {
                Next::Tried => {}
                Next::Refuse(status, cause) => self.refuse(on, handle, (status, cause)),
                Next::Relay => {
                    let told = |calls: &mut Calls, on: &mut Signalling, response: &Message<'_>| {
                        calls.relay_failure(on, handle, response);
                    };
                    if self.reread(on, &kept, told).is_none() {
                        // Never: what was kept can be read. Without a final response the call would stay.
                        self.refuse(on, handle, (own_status(&best), cause_of(&best)));
                    }
                }
            },
        }
        on.context.keep.release(kept);
    }

    /// The present subscriber came to nothing: on to the next target, or a final response to the caller.
    pub(super) fn conclude(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        failure: Failure,
        response: Option<&Message<'_>>,
    ) {
        match self.next_target(on, handle, failure, response) {
            Next::Tried => {}
            Next::Refuse(status, cause) => self.refuse(on, handle, (status, cause)),
            Next::Relay => match response {
                Some(response) => self.relay_failure(on, handle, response),
                None => self.refuse(on, handle, (own_status(&failure), cause_of(&failure))),
            },
        }
    }

    /// 180 to the caller: another phone rings than the one whose early media it heard.
    pub(super) fn tell_of_ringing(&mut self, on: &mut Signalling, handle: Handle) {
        self.tell(on, handle, (Status::RINGING, Heard::Ringing), None);
        self.ring_back(on, handle);
    }

    /// A provisional response of our own to the caller, reliably where it has asked for that. `invite`: the
    /// caller's, where it is told of the diversions.
    pub(super) fn tell(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        (status, heard): (Status, Heard),
        invite: Option<&Message<'_>>,
    ) {
        let Some(call) = self.calls.get_mut(handle) else { return };
        call.heard = heard;
        call.is_early = true;
        let reliably = call.reliability == Reliability::Required;
        let rseq = reliably.then(|| call.next_rseq(&mut on.context));
        let call = &*call;
        let sent = on.transactions.respond(&mut on.context, call.transaction, status, |context, out| {
            own_response(context, out, call, status, |writer| {
                write_rseq(writer, rseq);
                let history = invite.and_then(|invite| call.history_for_caller(context, invite));
                if let Some(history) = history {
                    history.write_for_caller(writer);
                }
            });
        });
        if let Some(call) = self.calls.get_mut(handle).filter(|call| !sent && reliably && call.rseq > 1) {
            // RFC 3262 §4: behind a gap the caller would take none of the following.
            call.rseq -= 1;
        }
        if sent && reliably {
            self.await_prack(on, handle, Outstanding { passes_to: None, identity: 0, offers: false });
        }
    }

    fn relay_failure(&mut self, on: &mut Signalling, handle: Handle, response: &Message<'_>) {
        // RFC 3261 §16.7 step 6: a 503 of somebody else's would make the caller avoid us.
        let status = match response.status() {
            None => return,
            // The interval that it is about was ours, not the caller's.
            Some(Status::SESSION_INTERVAL_TOO_SMALL) => Status::SERVER_INTERNAL_ERROR,
            Some(status) => passed_status(status),
        };
        let Some(call) = self.calls.get_mut(handle) else { return };
        call.state = CallState::Refused;
        call.story.refuse(on.context.now, status, (EndedBy::Callee, Cause::Rejected));
        call.stop_repeating(&mut on.context);
        call.anchor.part(&mut on.context);
        call.search.end(&mut on.context);
        on.context.metrics.calls_failed += 1;
        let call = &*call;
        let body = if drops_body(&on.context, response) { Body::Without } else { Body::Same };
        let sent = on.transactions.respond(&mut on.context, call.transaction, status, |context, out| {
            relayed_response(context, out, call, response, (status, None, body));
        });
        if !sent {
            on.transactions.respond(&mut on.context, call.transaction, status, |context, out| {
                own_response(context, out, call, status, |_| {});
            });
        }
    }

    /// A final response of our own to the caller. The call ends with its last leg.
    pub(super) fn refuse(&mut self, on: &mut Signalling, handle: Handle, ending: (Status, Cause)) {
        self.refuse_with(on, handle, ending, |_| {});
    }

    /// The same with more header fields.
    pub(super) fn refuse_with(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        (status, cause): (Status, Cause),
        extra: impl FnOnce(&mut Writer<'_>),
    ) {
        let Some(call) = self.calls.get_mut(handle) else { return };
        call.state = CallState::Refused;
        call.story.refuse(on.context.now, status, (EndedBy::Server, cause));
        call.stop_repeating(&mut on.context);
        call.anchor.part(&mut on.context);
        call.search.end(&mut on.context);
        on.context.metrics.calls_failed += 1;
        let retry_after = on.context.settings.retry_after_s;
        let call = &*call;
        on.transactions.respond(&mut on.context, call.transaction, status, |context, out| {
            own_response(context, out, call, status, |writer| {
                if status == Status::SERVICE_UNAVAILABLE {
                    writer.name(HeaderName::RetryAfter).number(u64::from(retry_after)).end_line();
                }
                extra(writer);
            });
        });
        self.remove_call_if_over(on, handle);
    }
}

/// Which of several failures counts: the lowest (RFC 3261 §16.7 step 6). Within 4xx those that tell the
/// caller what to change come first, then what says most of the callee.
fn preference(failure: &Failure) -> u8 {
    let (status, rang, no_answer_cause) = match failure {
        Failure::RangOut => return 4,
        Failure::NotRegistered => return 5,
        Failure::NeverRang | Failure::Silent => return 6,
        Failure::Response { status, rang, no_answer_cause } => (status.code(), *rang, *no_answer_cause),
    };
    match status {
        600.. => 0,
        300..400 => 1,
        401 | 407 | 415 | 420 | 484 => 2,
        486 => 3,
        408 if rang => 4,
        480 if no_answer_cause => 4,
        408 => 6,
        400..500 => 5,
        503 => 8,
        _ => 7,
    }
}

/// The final response for a failure that has none of its own.
pub(super) const fn own_status(failure: &Failure) -> Status {
    match failure {
        // Our own timer ended it (SIP_RULES 7).
        Failure::RangOut | Failure::NeverRang => Status::TEMPORARILY_UNAVAILABLE,
        // RFC 3261 §8.1.3.1: a transaction that timed out counts as a 408.
        Failure::NotRegistered => Status::TEMPORARILY_UNAVAILABLE,
        Failure::Silent => Status::REQUEST_TIMEOUT,
        Failure::Response { status, .. } => *status,
    }
}
