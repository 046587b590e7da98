//! The records of legs that have ended (CDR): what is noted while a call goes on, and what is posted of it
//! when a side of it is over.

use super::record::{Call, Leg};
use super::state::{CallEvent, CallState, LegAction};
use super::{Calls, Signalling};
use crate::clock::Now;
use crate::context::Context;
use crate::ids::Mint;
use crate::mail::{Cause, EndedBy, EndedLeg, LegNames, Letter};
use crate::media::Figures;
use crate::outbox::ListenerId;
use crate::service::Failure;
use crate::service::history::Hop;
use crate::sip::{Message, Status};
use crate::slab::Handle;
use std::net::SocketAddr;

/// Of a Call-ID, a number or a URI so much is recorded: it may be as long as a message, and many records may
/// wait.
const NAME_BYTES_MAX: usize = 512;

/// What is noted of one side of a call for its record, besides when it began and was answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Story {
    rang_at: Option<Now>,
    /// The final response to the INVITE; 0: none yet.
    status: u16,
    /// What led to the end: the first that was noted counts.
    ending: Option<(EndedBy, Cause)>,
    /// When the final response or the BYE was; `None`: there was none, or none yet.
    ended_at: Option<Now>,
}

impl Story {
    pub const NONE: Story = Story { rang_at: None, status: 0, ending: None, ended_at: None };

    pub fn ring(&mut self, now: Now) {
        self.rang_at = self.rang_at.or(Some(now));
    }

    /// The INVITE has its final response.
    pub fn answer(&mut self, status: Status) {
        self.status = status.code();
    }

    /// The INVITE has a final response other than 2xx.
    pub fn refuse(&mut self, now: Now, status: Status, ending: (EndedBy, Cause)) {
        self.status = status.code();
        self.end(now, ending);
    }

    /// It is given up; the end itself is still to come.
    fn give_up(&mut self, ending: (EndedBy, Cause)) {
        self.ending = self.ending.or(Some(ending));
    }

    fn end(&mut self, now: Now, ending: (EndedBy, Cause)) {
        self.give_up(ending);
        self.ended_at = self.ended_at.or(Some(now));
    }

    /// A leg gets BYE from us, mostly because of what ended its call.
    pub fn hang_up(&mut self, now: Now, call: Option<&Story>) {
        let ending = call.and_then(|call| call.ending);
        self.end(now, ending.unwrap_or((EndedBy::Server, Cause::Failed)));
    }

    /// The call went from one state to another; `is_code`: it is one to a feature code.
    pub fn take_call_event(
        &mut self,
        now: Now,
        (event, is_code): (CallEvent, bool),
        (before, next): (CallState, CallState),
    ) {
        let is_ended = matches!(next, CallState::Refused | CallState::Ending | CallState::HangupHeld);
        if before == next || !is_ended {
            return;
        }
        let was_answered = before != CallState::Searching;
        let ending = match event {
            CallEvent::CallerCancel => (EndedBy::Caller, Cause::Cancel),
            CallEvent::CallerBye => (EndedBy::Caller, Cause::Bye),
            CallEvent::CalleeBye => (EndedBy::Callee, Cause::Bye),
            CallEvent::AckMissing if was_answered => (EndedBy::Server, Cause::NoAck),
            CallEvent::AckMissing => (EndedBy::Server, Cause::NoPrack),
            CallEvent::TooLong if is_code => (EndedBy::Server, Cause::FeatureCode),
            CallEvent::TooLong => (EndedBy::Server, Cause::CallLimit),
            CallEvent::DialogLost => (EndedBy::Server, Cause::Lost),
            CallEvent::SessionExpired => (EndedBy::Server, Cause::SessionExpired),
            CallEvent::MediaSilent => (EndedBy::Server, Cause::MediaTimeout),
            CallEvent::HangUp => (EndedBy::Server, Cause::Operator),
            // They follow on an end, or end nothing.
            CallEvent::CallerAck | CallEvent::AnswerDue => return,
        };
        self.end(now, ending);
    }
}

impl Leg {
    /// The leg does what an event asks for; `response`: what came.
    pub fn take_event(&mut self, now: Now, action: LegAction, response: Option<&Message<'_>>) {
        let status = response.and_then(|response| response.status());
        match (action, status) {
            (LegAction::StartRinging, _) => self.story.ring(now),
            (LegAction::TakeAnswer | LegAction::TakeLateAnswer, Some(status)) => {
                self.answered_at = Some(now);
                self.story.answer(status);
            }
            (LegAction::TakeFailure | LegAction::Remove, Some(status)) => {
                self.story.refuse(now, status, (EndedBy::Callee, Cause::Rejected));
            }
            (LegAction::TakeSilence, _) => self.story.end(now, (EndedBy::Server, Cause::Timeout)),
            (LegAction::NeverRang, _) => self.story.give_up((EndedBy::Server, Cause::Timeout)),
            // What gave it up, or ended it, is noted already; else it is the callee's BYE.
            (LegAction::SendAckAndRemove | LegAction::Remove, _) => {
                self.story.end(now, (EndedBy::Callee, Cause::Bye));
            }
            _ => {}
        }
    }
}

impl Call {
    /// How often we have diverted it.
    pub fn hops(&self, context: &Context) -> u8 {
        Hop::all(context.keep.bytes(&self.chain.hops)).count().min(usize::from(u8::MAX)) as u8
    }
}

impl Calls {
    /// The legs that are tried are about to be given up: for what ended the call, or because one answered, or
    /// for this.
    pub(super) fn note_why(&mut self, handle: Handle, except: Option<Handle>, cause: Cause) {
        let Some(call) = self.calls.get(handle) else { return };
        let cause = if call.winner.is_some() { Cause::AnsweredElsewhere } else { cause };
        let ending = call.story.ending.unwrap_or((EndedBy::Server, cause));
        let mut next = call.first_leg;
        while let Some(leg) = next {
            let Some(record) = self.legs.get_mut(leg) else { return };
            next = record.next;
            if record.is_tried() && Some(leg) != except {
                record.story.give_up(ending);
            }
        }
    }

    /// What could not be done ends the call, unless something has before.
    pub(super) fn note_fault(&mut self, handle: Handle) {
        if let Some(call) = self.calls.get_mut(handle) {
            call.story.give_up((EndedBy::Server, Cause::Failed));
        }
    }

    /// The leg said where the call goes on.
    pub(super) fn note_redirection(&mut self, leg: Handle) {
        if let Some(leg) = self.legs.get_mut(leg) {
            leg.story.ending = Some((EndedBy::Callee, Cause::Redirected));
        }
    }

    /// A leg that was given up wins after all.
    pub(super) fn note_comeback(&mut self, leg: Handle) {
        if let Some(leg) = self.legs.get_mut(leg) {
            leg.story.ending = None;
        }
    }

    /// Posts the record of a leg that has gone.
    pub(super) fn post_leg(&self, on: &mut Signalling, leg: &Leg) {
        if !on.context.settings.records {
            return;
        }
        let Some(call) = self.calls.get(leg.call) else { return };
        let context = &mut on.context;
        let mut call_id = std::mem::take(&mut context.scratch);
        call_id.clear();
        Mint::write_call_id(&mut call_id, leg.call_id_nonce, context.sent_by(leg.answer_to.listener));
        let side = Side {
            number: leg.number,
            call_id: &call_id,
            hops: leg.hops,
            started_at: leg.started_at,
            answered_at: leg.answered_at,
            story: leg.story,
            peer: leg.answer_to.destination,
            listener: leg.answer_to.listener,
            media: leg.anchor.figures(context),
        };
        let record = side.record(context, call, usize::from(leg.hops));
        context.scratch = call_id;
        context.outbox.post(Letter::Ended(record));
    }

    /// Posts records of all that lives: the server stops, and nothing will be heard of it any more.
    pub fn post_unfinished(&mut self, on: &mut Signalling) {
        for place in 0..self.calls.slots() {
            let Some((handle, _)) = self.calls.at(place) else { continue };
            let Some(call) = self.calls.get_mut(handle) else { continue };
            call.story.give_up((EndedBy::Server, Cause::Stopped));
            let (ending, mut next) = (call.story.ending, call.first_leg);
            let mut legs = Vec::new();
            while let Some(leg) = next.and_then(|leg| self.legs.get_mut(leg)) {
                leg.story.ending = leg.story.ending.or(ending);
                legs.extend(next);
                next = leg.next;
            }
            // They are linked the last one first.
            for leg in legs.iter().rev().filter_map(|leg| self.legs.get(*leg)) {
                self.post_leg(on, leg);
            }
            if let Some(call) = self.calls.get(handle) {
                post_call(on, call);
                self.leave_engine(on, handle, &call.asked);
            }
        }
    }
}

/// Posts the record of the caller's leg: its call has gone.
pub(super) fn post_call(on: &mut Signalling, call: &Call) {
    if !on.context.settings.records {
        return;
    }
    let context = &mut on.context;
    let hops = call.hops(context);
    let side = Side {
        number: 0,
        call_id: call.dialog.call_id(context),
        hops: 0,
        started_at: call.started_at,
        answered_at: call.answered_at,
        story: call.story,
        peer: call.dialog.answer_to.destination,
        listener: call.listener,
        media: call.anchor.figures(context),
    };
    let record = side.record(context, call, usize::from(hops));
    context.outbox.post(Letter::Ended(record));
}

/// One side of a call that is over.
struct Side<'a> {
    number: u16,
    call_id: &'a [u8],
    /// Our diversions that led to it.
    hops: u8,
    started_at: Now,
    answered_at: Option<Now>,
    story: Story,
    peer: SocketAddr,
    listener: ListenerId,
    media: Option<Figures>,
}

impl Side<'_> {
    /// `chained`: how many diversions its chain names.
    fn record(&self, context: &Context, call: &Call, chained: usize) -> Box<EndedLeg> {
        let numbers = || {
            let kept = context.keep.bytes(&call.chain.numbers);
            let kept = kept.split(|&byte| byte == b'\n').filter(|number| !number.is_empty());
            kept.map(|number| start(without_params(number)))
        };
        // A caller without a number takes its place all the same.
        let caller = numbers().next().filter(|caller| *caller != b"-").unwrap_or_default();
        // Behind the numbers that the call came by: the one that was dialled, and one for each diversion.
        let dialled = numbers().count().saturating_sub(usize::from(call.hops(context)) + 1);
        let called = numbers().nth(dialled + usize::from(self.hops)).unwrap_or_default();
        let listener = context.settings.listeners.get(usize::from(self.listener.0));
        let at = |now: Now| context.calendar_at(now).0;
        let (ended_by, cause) = self.story.ending.unwrap_or((EndedBy::Server, Cause::Failed));
        let links = match chained {
            0 => Vec::new(),
            _ => chain(context, call, numbers().skip(dialled), chained),
        };
        let caller = call.identity.name_of(caller);
        let names = [call.record_id.as_bytes(), start(self.call_id), caller, called, &links];
        Box::new(EndedLeg {
            names: LegNames::new(names),
            leg: self.number,
            setup_at: at(self.started_at),
            ring_at: self.story.rang_at.map(at),
            answer_at: self.answered_at.map(at),
            end_at: at(self.story.ended_at.unwrap_or(context.now)),
            ended_by,
            status: self.story.status,
            cause,
            peer: self.peer,
            local: listener.map_or(self.peer, |listener| listener.address),
            media: self.media,
        })
    }
}

/// `1004;no-answer;1005`, up to so many diversions. A semicolon of a URI's or a number's own is escaped.
fn chain<'n>(
    context: &Context,
    call: &Call,
    mut numbers: impl Iterator<Item = &'n [u8]>,
    hops: usize,
) -> Vec<u8> {
    let mut out = Vec::new();
    let push = |out: &mut Vec<u8>, part: &[u8]| {
        for (place, piece) in part.split(|&byte| byte == b';').enumerate() {
            out.extend_from_slice(if place == 0 { b"" } else { b"%3B" });
            out.extend_from_slice(piece);
        }
    };
    push(&mut out, numbers.next().unwrap_or_default());
    for (hop, number) in Hop::all(context.keep.bytes(&call.chain.hops)).take(hops).zip(numbers) {
        for part in [hop.reason.name().as_bytes(), number] {
            out.push(b';');
            push(&mut out, part);
        }
    }
    out
}

/// A number, or a URI without its parameters: a semicolon parts the links of a chain.
fn without_params(name: &[u8]) -> &[u8] {
    let host = memchr::memchr(b'@', name).unwrap_or_default();
    let end = memchr::memchr(b';', &name[host..]).map_or(name.len(), |place| host + place);
    &name[..end]
}

/// As much of a name as is recorded.
fn start(name: &[u8]) -> &[u8] {
    &name[..name.len().min(NAME_BYTES_MAX)]
}

/// What is told of a call that a failure of its last callee ended, and that has no response of a callee's.
pub(super) const fn cause_of(failure: &Failure) -> Cause {
    match failure {
        Failure::RangOut => Cause::NoAnswer,
        Failure::NotRegistered => Cause::NotRegistered,
        Failure::NeverRang | Failure::Silent => Cause::Timeout,
        Failure::Response { .. } => Cause::Rejected,
    }
}
