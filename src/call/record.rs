//! The records of a call and of a leg.

use super::anchor::Anchor;
use super::chain::Chain;
use super::description::Description;
use super::dialog::Dialog;
use super::ended::Story;
use super::engine::Asked;
use super::feature::Feature;
use super::identity::Identity;
use super::negotiation::Negotiation;
use super::reliable::{Outstanding, Reliability};
use super::search::Search;
use super::state::{CallState, LegState};
use crate::clock::{Deadline, Now};
use crate::context::Context;
use crate::keep::Kept;
use crate::outbox::ListenerId;
use crate::sdp::Told;
use crate::sip::Message;
use crate::slab::Handle;
use crate::timer::TimerHandle;
use crate::transaction::AnswerTo;

/// What the caller hears, as far as we told it (SIP_RULES 14, 16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing but 100.
    Nothing,
    /// A plain 180: the caller's phone makes its own ringback.
    Ringing,
    /// 181: being forwarded.
    Forwarded,
    /// A provisional response with a body: early media.
    EarlyMedia,
}

/// A Record-ID: caller, underscore, UTC to the second, sequence (SIP_RULES 13).
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordId {
    pub text: [u8; RecordId::BYTES_MAX],
    pub length: u8,
}

#[derive(Debug)]
pub(super) struct Call {
    pub state: CallState,
    pub heard: Heard,
    /// The caller's side needs nothing more: it sent BYE, or its BYE is answered, or it never had a dialog.
    pub caller_over: bool,
    pub max_forwards: u8,
    pub listener: ListenerId,
    /// Where responses to the INVITE go.
    pub reply_to: AnswerTo,
    pub invite_cseq: u32,
    /// The INVITE's server transaction.
    pub transaction: Handle,
    /// The caller's INVITE, until it is answered.
    pub invite: Kept,
    /// What every response to it starts with behind the status line, until it is answered; from
    /// `record_route` on only in responses that make a dialog.
    pub head: Kept,
    /// Contact starts at `contact`, Record-Route at `record_route`.
    pub contact: u16,
    pub record_route: u16,
    pub dialog: Dialog,
    /// What is repeated until the caller acknowledges it: a reliable provisional response, then the 200.
    pub answer: Kept,
    pub answer_attempt: u8,
    pub answer_give_up: Deadline,
    pub timer: TimerHandle,
    /// When the call has lasted as long as a call may.
    pub limit: Deadline,
    pub reliability: Reliability,
    /// The last RSeq towards the caller; 0: none yet.
    pub rseq: u32,
    pub outstanding: Option<Outstanding>,
    /// A callee's response that waits for the caller's PRACK, and the leg that it came from.
    pub held: Kept,
    pub held_leg: Option<Handle>,
    /// It has a description and is provisional.
    pub holds_media: bool,
    /// The caller was sent a provisional response other than 100: it has an early dialog.
    pub is_early: bool,
    /// A 181 waits for the caller's PRACK.
    pub owes_181: bool,
    /// The same of a 180, after early media that has gone.
    pub owes_180: bool,
    /// The identity of the callee's dialog whose description the caller has got reliably; 0: none yet.
    pub answered_by: u64,
    /// What the caller's PRACK answered to a late offer: any other offer in an early dialog gets the same.
    pub late_answer: Description,
    /// The winner's description, where the caller has another one already and is to be told.
    pub owed: Description,
    /// The Reason lines of the caller's CANCEL.
    pub cancel_reason: Kept,
    /// Requests of the parties' on their way through the call.
    pub relays: Vec<Handle>,
    /// The re-INVITE that is on its way through the call.
    pub reinvite: Option<Handle>,
    pub chain: Chain,
    pub record_id: RecordId,
    pub started_at: Now,
    /// The legs that are not over, linked through [`Leg::next`].
    pub first_leg: Option<Handle>,
    /// The leg that speaks for the callees in the caller's early dialog: the one that was heard from last, or
    /// the one whose answer the caller has got.
    pub current: Option<Handle>,
    pub search: Search,
    /// The leg whose early media the caller hears, if it does.
    pub media: Option<Handle>,
    /// The caller's media ports.
    pub anchor: Anchor,
    /// Watches for silence.
    pub silence: TimerHandle,
    /// When a callee answered.
    pub answered_at: Option<Now>,
    /// The leg that answered and won.
    pub winner: Option<Handle>,
    /// Who the caller is, as callees are told.
    pub identity: Identity,
    /// What it changes or asks, where a feature code was dialled and nobody is called.
    pub feature: Option<Box<Feature>>,
    /// The INVITE had no body: the offer comes in the 200 and the answer in the ACK.
    pub late_offer: bool,
    /// What a media engine is asked for it.
    pub asked: Asked,
    /// Legs that were started.
    pub legs: u16,
    /// What the record of its end is made of.
    pub story: Story,
}

#[derive(Debug)]
pub(super) struct Leg {
    pub state: LegState,
    pub call: Handle,
    pub next: Option<Handle>,
    /// The INVITE's client transaction.
    pub transaction: Option<Handle>,
    /// Where the INVITE went.
    pub answer_to: AnswerTo,
    pub timer: TimerHandle,
    /// It is reached where it registered from, not where its URIs say (RFC 3581).
    pub is_behind_nat: bool,
    /// Stands for the location that it was sent to.
    pub location: u64,
    pub invite_cseq: u32,
    /// What its Call-ID is made of.
    pub call_id_nonce: u64,
    /// The interval that its INVITE asked for, in seconds, and how often a callee has refused one as too
    /// small.
    pub session_s: u32,
    pub refused_intervals: u8,
    /// Its INVITE had a body.
    pub offered: bool,
    /// The RSeq of the last reliable provisional response in `dialog`; 0: none yet.
    pub rseq: u32,
    /// From the first provisional response with a tag on early; confirmed by the 2xx.
    pub dialog: Dialog,
    /// The early dialogs that were the leg's before `dialog`: their numbers, should they come back.
    pub others: Vec<Early>,
    /// The description that came reliably in `dialog`, where the caller could not be told reliably.
    pub early_answer: Description,
    /// Its place among the call's legs: the first one is 1.
    pub number: u16,
    /// Our diversions that led to it.
    pub hops: u8,
    pub started_at: Now,
    pub answered_at: Option<Now>,
    /// Its media ports.
    pub anchor: Anchor,
    /// What the record of its end is made of.
    pub story: Story,
}

impl Call {
    /// Whether the caller's dialog, early or not, lives: after a refusal or the caller's BYE it does not
    /// (RFC 3261 §12.3, §15).
    pub fn has_dialog(&self) -> bool {
        match self.state {
            CallState::Refused => false,
            CallState::Ending => !self.caller_over,
            _ => true,
        }
    }
}

/// How many early dialogs of one leg are followed besides the present one: proxies fork to a few phones, and
/// each new one may cost a PRACK that is repeated.
const EARLY_MAX: usize = 7;

/// An early dialog behind a forking proxy.
#[derive(Debug)]
pub(super) struct Early {
    identity: u64,
    rseq: u32,
    local_cseq: u32,
    /// As [`Leg::early_answer`].
    answer: Description,
}

impl Call {
    /// The next RSeq towards the caller: the first is drawn (RFC 3262 §3).
    pub fn next_rseq(&mut self, context: &mut Context) -> u32 {
        self.rseq = match self.rseq {
            0 => 1 + (context.mint.random() as u32 >> 2),
            last => last + 1,
        };
        self.rseq
    }

    /// The caller has acknowledged what was repeated, or will not any more.
    pub fn stop_repeating(&mut self, context: &mut Context) {
        context.keep.release(self.answer.take());
        context.disarm(&mut self.timer);
        self.outstanding = None;
    }

    /// Whether the caller has yet to be told what the 200 came with. `told_otherwise`: it has an answer, and
    /// would ignore this one; `believed`: what it goes by. Where media is anchored it may well be the same;
    /// and where it is another than what came with the first early media, phones ignore it too (RFC 3261
    /// §13.2.1). `is_offer`: the callee's waits for an answer, whatever the caller was told before.
    pub fn owes_description(&self, (told_otherwise, believed): (bool, Told), is_offer: bool) -> bool {
        let differs = believed.is_some() && believed != self.anchor.told();
        match self.anchor.is_told() {
            true if told_otherwise => differs || is_offer,
            true => differs && !self.late_offer,
            false => told_otherwise,
        }
    }

    pub fn release(mut self, context: &mut Context) {
        context.disarm(&mut self.timer);
        context.disarm(&mut self.silence);
        self.anchor.close(context);
        self.search.end(context);
        self.dialog.release(context);
        self.owed.release(context);
        self.late_answer.release(context);
        let chain = [self.chain.numbers, self.chain.hops];
        let own = [self.invite, self.head, self.answer, self.held, self.cancel_reason];
        for kept in own.into_iter().chain(chain) {
            context.keep.release(kept);
        }
    }
}

impl Leg {
    /// Whether the call still waits for its final response.
    pub fn is_tried(&self) -> bool {
        matches!(self.state, LegState::Calling | LegState::Trying | LegState::Ringing)
    }

    /// The dialog of a response becomes the leg's (RFC 3261 §12.1.2); of the one that it was before, what
    /// has been said in it stays said.
    pub fn adopt_dialog(&mut self, context: &mut Context, response: &Message<'_>) {
        if self.dialog.is_described_by(context, response) {
            return;
        }
        let mut dialog = Dialog::with_callee(context, response, (self.answer_to, self.is_behind_nat));
        let before = &mut self.dialog;
        // Whichever of them it went to: its NOTIFYs come when that one is the leg's again.
        dialog.referred = before.referred;
        if before.is_some() && before.identity == dialog.identity {
            dialog.local_cseq = before.local_cseq;
            dialog.remote_cseq = before.remote_cseq;
            dialog.negotiation = before.negotiation;
            dialog.description = before.description.take();
        } else {
            let identity = dialog.identity;
            let early = self.others.iter().position(|early| early.identity == identity);
            let early = match early {
                Some(place) => self.others.swap_remove(place),
                None => Early { identity, rseq: 0, local_cseq: 0, answer: Description::NONE },
            };
            let answer = std::mem::replace(&mut self.early_answer, early.answer);
            if before.identity != 0 {
                let (identity, local_cseq) = (before.identity, before.local_cseq);
                self.others.push(Early { identity, rseq: self.rseq, local_cseq, answer });
            } else {
                answer.release(context);
            }
            dialog.local_cseq = dialog.local_cseq.max(early.local_cseq);
            self.rseq = early.rseq;
            // Without an offer in the INVITE the callee owes one: until it has come and is answered no other
            // may go there (RFC 3311 §5.1).
            dialog.negotiation = if self.offered { Negotiation::Sent } else { Negotiation::Received };
        }
        std::mem::replace(&mut self.dialog, dialog).release(context);
    }

    /// A new INVITE makes new dialogs.
    pub fn forget_dialogs(&mut self, context: &mut Context) {
        std::mem::replace(&mut self.dialog, Dialog::none(self.answer_to)).release(context);
        self.early_answer.take().release(context);
        self.others.drain(..).for_each(|early| early.answer.release(context));
        self.rseq = 0;
    }

    /// Whether the leg follows the early dialog with this identity, or has room to.
    pub fn follows(&self, identity: u64) -> bool {
        [0, identity].contains(&self.dialog.identity)
            || self.others.len() < EARLY_MAX
            || self.others.iter().any(|early| early.identity == identity)
    }

    /// The last RSeq that was taken in the early dialog with this identity; 0: none yet.
    pub fn last_rseq(&self, identity: u64) -> u32 {
        if self.dialog.identity == identity {
            return self.rseq;
        }
        self.others.iter().find(|early| early.identity == identity).map_or(0, |early| early.rseq)
    }

    /// How far the CSeq of any of its early dialogs has gone beyond the INVITE's.
    pub fn requests_in_early_dialogs(&self) -> u8 {
        let others = self.others.iter().map(|early| early.local_cseq);
        // Once it has answered, its present dialog is none of those that may answer late.
        let answered = matches!(self.state, LegState::Answered | LegState::Confirmed | LegState::Ending);
        let present = if answered { 0 } else { self.dialog.local_cseq };
        let last = others.max().unwrap_or_default().max(present);
        u8::try_from(last.saturating_sub(self.invite_cseq)).unwrap_or(u8::MAX)
    }

    /// The last CSeq number that we used in the early dialog of a response; 0: none that is remembered.
    pub fn last_cseq(&self, context: &Context, response: &Message<'_>) -> u32 {
        let identity = Dialog::identity_of_response(context, response);
        self.others.iter().find(|early| early.identity == identity).map_or(0, |early| early.local_cseq)
    }

    pub fn release(mut self, context: &mut Context) {
        context.disarm(&mut self.timer);
        self.anchor.close(context);
        self.dialog.release(context);
        self.early_answer.release(context);
        self.others.drain(..).for_each(|early| early.answer.release(context));
    }
}

impl RecordId {
    /// Caller 32, underscore 1, stamp 14, sequence 8.
    pub const BYTES_MAX: usize = 55;
    const CALLER_BYTES_MAX: usize = 32;

    pub fn new(caller: &[u8], stamp: [u8; 14], sequence: u64) -> RecordId {
        let mut id = RecordId { text: [0; RecordId::BYTES_MAX], length: 0 };
        id.push(&caller[..caller.len().min(RecordId::CALLER_BYTES_MAX)]);
        id.push(b"_");
        id.push(&stamp);
        let mut digits = [b'0'; 8];
        let mut rest = sequence;
        for digit in digits.iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
        }
        id.push(&digits);
        id
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..usize::from(self.length)]
    }

    fn push(&mut self, bytes: &[u8]) {
        let start = usize::from(self.length);
        self.text[start..start + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len() as u8;
    }
}
