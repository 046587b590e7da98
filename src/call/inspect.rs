//! Calls for the operator to see, and to end.

use super::record::{Call, Leg};
use super::state::{CallEvent, CallState, LegState};
use super::{Calls, Signalling};
use crate::clock::{Now, UnixSeconds};
use crate::context::Context;
use crate::limits::{CALLS_PER_LETTER_MAX, PLACES_PER_LETTER_MAX};
use crate::mail::{Letter, LiveCall, LiveLeg, Stage};
use crate::sip::HeaderName;
use crate::sip::write::Writer;
use crate::slab::Handle;

/// The Reason of what ends a call for the operator (RFC 3326).
pub(super) const ENDED_BY_OPERATOR: &[u8] = b"SIP;cause=480;text=\"Ended by the operator\"";

impl Calls {
    /// Posts the calls from a place of the table on, at most `limit` of them and
    /// [`CALLS_PER_LETTER_MAX`]; fewer when the next ones are far away.
    pub fn name(&self, on: &mut Signalling, ticket: u64, (from, limit): (u32, u16)) {
        let limit = usize::from(limit.min(CALLS_PER_LETTER_MAX));
        let end = self.calls.slots().min(from.saturating_add(PLACES_PER_LETTER_MAX));
        let mut calls = Vec::new();
        let mut place = from.min(end);
        while place < end && calls.len() < limit {
            if let Some((handle, call)) = self.calls.at(place) {
                calls.push(self.live(&on.context, handle, call));
            }
            place += 1;
        }
        let next = (place < self.calls.slots()).then_some(place);
        on.context.outbox.post(Letter::Calls { ticket, calls, next });
    }

    /// Posts what is known of one call.
    pub fn describe(&self, on: &mut Signalling, ticket: u64, handle: Handle) {
        let call = self.calls.get(handle).map(|call| Box::new(self.live(&on.context, handle, call)));
        on.context.outbox.post(Letter::Call { ticket, call });
    }

    /// Ends a call: BYE to both sides of one that was answered; 480 to the caller and CANCEL to the callees
    /// of one that was not.
    pub fn end(&mut self, on: &mut Signalling, ticket: u64, handle: Handle) {
        let state = self.calls.get(handle).map(|call| call.state);
        let found = state.is_some_and(|state| !matches!(state, CallState::Refused | CallState::Ending));
        if found {
            on.context.metrics.calls_hung_up += 1;
            self.give_reason(on, handle);
            self.call_event(on, handle, CallEvent::HangUp, None);
        }
        on.context.outbox.post(Letter::HungUp { ticket, found });
    }

    /// The CANCELs that follow say why.
    fn give_reason(&mut self, on: &mut Signalling, handle: Handle) {
        let Some(call) = self.calls.get_mut(handle) else { return };
        let context = &mut on.context;
        let mut text = std::mem::take(&mut context.scratch);
        text.clear();
        Writer::new(&mut text).header(HeaderName::Reason, ENDED_BY_OPERATOR);
        if let Some(reason) = context.keep.keep(&text) {
            context.keep.release(std::mem::replace(&mut call.cancel_reason, reason));
        }
        context.scratch = text;
    }

    fn live(&self, context: &Context, handle: Handle, call: &Call) -> LiveCall {
        let legs = self.live_legs(context, call);
        let numbers = context.keep.bytes(&call.chain.numbers);
        let mut numbers: Vec<Box<str>> =
            numbers.split(|&byte| byte == b'\n').filter(|number| !number.is_empty()).map(text).collect();
        let called = if numbers.len() > 1 { numbers.pop() } else { None };
        let mut numbers = numbers.into_iter();
        // A caller without a number takes its place all the same.
        let caller = numbers.next().filter(|caller| **caller != *"-");
        LiveCall {
            handle,
            stage: stage_of_call(call.state, &legs),
            caller: caller.unwrap_or_default(),
            source: call.dialog.answer_to.destination,
            called: called.unwrap_or_default(),
            diverted_by: numbers.collect(),
            record_id: text(call.record_id.as_bytes()),
            started_at: unix(context, call.started_at),
            answered_at: call.answered_at.map(|at| unix(context, at)),
            media: call.anchor.figures(context),
            legs,
        }
    }

    fn live_legs(&self, context: &Context, call: &Call) -> Vec<LiveLeg> {
        let mut legs: Vec<LiveLeg> = Vec::new();
        let mut next = call.first_leg;
        while let Some(leg) = next.and_then(|leg| self.legs.get(leg)) {
            let (destination, stage) = (leg.answer_to.destination, stage_of_leg(leg));
            legs.push(LiveLeg { destination, stage, media: leg.anchor.figures(context) });
            next = leg.next;
        }
        // They are linked the last one first.
        legs.reverse();
        legs
    }
}

fn stage_of_call(state: CallState, legs: &[LiveLeg]) -> Stage {
    match state {
        CallState::Searching if legs.iter().any(|leg| leg.stage == Stage::Ringing) => Stage::Ringing,
        CallState::Searching => Stage::Trying,
        CallState::Answered | CallState::HangupHeld => Stage::Answered,
        CallState::Talking => Stage::Talking,
        CallState::Refused | CallState::Ending => Stage::Ending,
    }
}

fn stage_of_leg(leg: &Leg) -> Stage {
    match leg.state {
        LegState::Calling | LegState::Trying => Stage::Trying,
        LegState::Ringing => Stage::Ringing,
        LegState::Answered => Stage::Answered,
        LegState::Confirmed => Stage::Talking,
        LegState::Held | LegState::Cancelling | LegState::Ending => Stage::Ending,
    }
}

/// The calendar's time of a moment that is over.
fn unix(context: &Context, at: Now) -> UnixSeconds {
    context.calendar_at(at).seconds()
}

/// Bytes of a peer's, as far as they are text.
fn text(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes).into()
}
