//! Anchored media in a call: what either side describes, what the other is told of it, who hears whom.
//!
//! A side's description is heard ([`Calls::hear`]). It is spoken to the other side ([`Calls::speak`]) with
//! ports of the server's own, which are that side's. It counts once both agree ([`Calls::agree`]); if they
//! disagree ([`Calls::disagree`]) what was agreed on before counts on (RFC 3264 §8). What a later offer than
//! the INVITE's brings is kept apart until then ([`Calls::begin_offer`], [`Round`]).
//!
//! | message                      | heard of it        | spoken to           | then                      |
//! |------------------------------|--------------------|---------------------|---------------------------|
//! | INVITE                       | the caller's offer | each callee         |                           |
//! | 18x with a description       | answer or offer    | the caller          | an answer: agree for now  |
//! | 200                          | answer or offer    | the caller          | an answer: agree for good |
//! | ACK with a description       | the late answer    | the callee          | agree for good            |
//! | PRACK                        | answer or offer    | the callee          | an answer: agree for now  |
//! | UPDATE, re-INVITE            | the asker's offer  | the other side      |                           |
//! | 2xx to those                 | answer or offer    | the asker           | an answer: agree          |
//! | 3xx to 6xx to those, or none | nothing            | nobody: it goes     | disagree                  |
//! | an offer of our own          | its answer         | whom it is sent to  | agree                     |
//!
//! Where ports are missing, what can be refused is; of what cannot be (answers, ACKs) the streams without
//! ports are told as refused ([`Lack`]). Bodies that are no session description pass as they came. Where
//! media passes unanchored none of this does anything.

use super::anchor::{Anchor, Content, Lack, NotTaken, Round};
use super::description::Description;
use super::side::Side;
use super::state::{CallEvent, CallState};
use super::{Calls, Request, Signalling};
use crate::clock::Now;
use crate::context::{Context, Due};
use crate::media::{Remote, Tone};
use crate::sdp;
use crate::sdp::Told;
use crate::settings::{MediaMode, Silence};
use crate::sip::{HeaderName, Message, Status};
use crate::slab::Handle;
use crate::transaction::{AnswerTo, User, Verdict};
use std::net::IpAddr;

/// The Reason of a BYE that silence led to (RFC 3326); Q.850's cause 102: recovery on timer expiry.
pub(super) const MEDIA_TIMEOUT: &[u8] = b"Q.850;cause=102;text=\"Media timeout\"";

/// A body as it goes on to a side: as it came, or anew.
#[derive(Debug, Default)]
pub(super) struct Spoken(Option<Vec<u8>>);

impl Spoken {
    /// As it came.
    pub const SAME: Spoken = Spoken(None);

    /// The message with this body.
    pub fn in_place<'m>(&'m self, message: &Message<'m>) -> Message<'m> {
        match &self.0 {
            Some(body) => message.with_body(body),
            None => *message,
        }
    }

    /// The body, if it is another than the one that came.
    pub fn body(&self) -> Option<&[u8]> {
        self.0.as_deref()
    }
}

impl<'a> Content<'a> {
    /// What a message describes; `None`: it has no body.
    fn of(message: &Message<'a>) -> Option<Content<'a>> {
        let kind = message.header(HeaderName::ContentType).unwrap_or(b"application/sdp");
        // What is encoded cannot be read, whatever it is.
        let kind = if message.has(HeaderName::ContentEncoding) { b"" } else { kind };
        Some(Content { kind, body: message.body() }).filter(|content| !content.body.is_empty())
    }
}

/// Whether the server's own ports are used.
pub(super) fn is_anchored(context: &Context) -> bool {
    context.settings.media.mode == MediaMode::Anchor
}

impl Calls {
    /// Takes what a side describes.
    ///
    /// # Errors
    /// 488: it is a session description that cannot be read; 503: no media port is free.
    pub(super) fn hear(
        &mut self,
        on: &mut Signalling,
        (side, round): (Side, Round),
        message: &Message<'_>,
    ) -> Result<(), Status> {
        self.hear_with(on, (side, round), (message, Lack::Fails))
    }

    /// The same of a message that cannot be refused: streams that there are no ports for are not heard.
    ///
    /// # Errors
    /// 488: it is a session description that cannot be read, of which nothing is heard.
    pub(super) fn hear_in_any_case(
        &mut self,
        on: &mut Signalling,
        (side, round): (Side, Round),
        message: &Message<'_>,
    ) -> Result<(), Status> {
        self.hear_with(on, (side, round), (message, Lack::Refuses))
    }

    fn hear_with(
        &mut self,
        on: &mut Signalling,
        (side, round): (Side, Round),
        (message, lack): (&Message<'_>, Lack),
    ) -> Result<(), Status> {
        if !is_anchored(&on.context) {
            return Ok(());
        }
        let Some(content) = Content::of(message) else { return Ok(()) };
        let Some((anchor, host)) = self.anchor_of(side) else { return Ok(()) };
        match anchor.hear(&mut on.context, host, (content, round, lack)) {
            Ok(()) => Ok(()),
            Err(NotTaken::Unreadable) if !sdp::is_description(content.kind) => Ok(()),
            Err(not_taken) => Err(refusal(&mut on.context, not_taken)),
        }
    }

    /// The same of a request in its dialog: it may come from elsewhere than before.
    ///
    /// # Errors
    /// As [`Calls::hear`].
    pub(super) fn hear_request(
        &mut self,
        on: &mut Signalling,
        (side, round): (Side, Round),
        request: &Request<'_>,
    ) -> Result<(), Status> {
        self.note_host(side, request.source.ip());
        self.hear(on, (side, round), &request.message)
    }

    /// Where the message came from that a side describes something in.
    pub(super) fn note_host(&mut self, side: Side, host: IpAddr) {
        if let Some((anchor, _)) = self.anchor_of(side) {
            anchor.host = Some(host);
        }
    }

    /// The same for a response.
    pub(super) fn note_host_of(&mut self, verdict: Verdict, from: AnswerTo) {
        let (Verdict::Invite { user, .. } | Verdict::Final { user, .. }) = verdict else { return };
        let side = match user {
            User::Relay(relay) => self.relays.get(relay).map(|relay| relay.to),
            user => Side::of_user(user),
        };
        if let Some(side) = side {
            self.note_host(side, from.destination.ip());
        }
    }

    /// A later offer than the INVITE's begins between these sides. One that ends without an answer has to be
    /// taken back ([`Calls::disagree`]), which the end of its relay does.
    pub(super) fn begin_offer(&mut self, on: &mut Signalling, sides: [Option<Side>; 2]) {
        if !is_anchored(&on.context) {
            return;
        }
        for side in sides.into_iter().flatten() {
            if let Some((anchor, _)) = self.anchor_of(side) {
                anchor.begin(&mut on.context);
            }
        }
    }

    /// What a side was told last, for [`Calls::unsay`].
    pub(super) fn told(&mut self, side: Side) -> Told {
        self.anchor_of(side).map_or_else(Told::default, |(anchor, _)| anchor.told())
    }

    /// What was spoken to a side since was not sent: the next description goes by what was told before.
    pub(super) fn unsay(&mut self, side: Side, told: Told) {
        if let Some((anchor, _)) = self.anchor_of(side) {
            anchor.unsay(told);
        }
    }

    /// The same of a description that was kept; it answered the INVITE.
    pub(super) fn hear_kept(&mut self, on: &mut Signalling, side: Side, kept: &Description) {
        if !is_anchored(&on.context) || !kept.is_some() {
            return;
        }
        let (kind, body) = kept.content(&on.context);
        let (kind, body) = (kind.to_vec(), body.to_vec());
        if let Some((anchor, host)) = self.anchor_of(side) {
            // It was heard before, or could not be: nobody can be told of it now.
            let content = Content { kind: &kind, body: &body };
            let _ = anchor.hear(&mut on.context, host, (content, Round::Invite, Lack::Refuses));
        }
    }

    /// The body of a message as a side is told it.
    ///
    /// # Errors
    /// 503: no media port is free; 513: no datagram can hold it.
    pub(super) fn speak(
        &mut self,
        on: &mut Signalling,
        side: Side,
        message: &Message<'_>,
    ) -> Result<Spoken, Status> {
        if !is_anchored(&on.context) {
            return Ok(Spoken::SAME);
        }
        let Some((anchor, host)) = self.anchor_of(side) else { return Ok(Spoken::SAME) };
        anchor.speak_message(&mut on.context, host, (message, Lack::Fails))
    }

    /// The same where it is too late to refuse anything but the streams that there are no ports for.
    pub(super) fn speak_in_any_case(
        &mut self,
        on: &mut Signalling,
        side: Side,
        message: &Message<'_>,
    ) -> Spoken {
        if !is_anchored(&on.context) {
            return Spoken::SAME;
        }
        let Some((anchor, host)) = self.anchor_of(side) else { return Spoken::SAME };
        // It does not fail for want of ports, and what cannot be read is no error.
        anchor.speak_message(&mut on.context, host, (message, Lack::Refuses)).unwrap_or_default()
    }

    /// The same for a description that was kept.
    pub(super) fn speak_kept(&mut self, on: &mut Signalling, side: Side, kept: &Description) -> Spoken {
        if !is_anchored(&on.context) || !kept.is_some() {
            return Spoken::SAME;
        }
        let (kind, body) = kept.content(&on.context);
        // It is spoken with the context at hand.
        let (kind, body) = (kind.to_vec(), body.to_vec());
        let Some((anchor, host)) = self.anchor_of(side) else { return Spoken::SAME };
        let content = Content { kind: &kind, body: &body };
        let spoken = anchor.speak(&mut on.context, host, (content, Lack::Refuses));
        Spoken(spoken.ok())
    }

    /// The caller and a callee have described their streams in this round: from now on they hear each other
    /// and nobody else. `is_final`: the callee is the one that won.
    pub(super) fn agree(&mut self, on: &mut Signalling, leg: Handle, (round, is_final): (Round, bool)) {
        if !is_anchored(&on.context) {
            return;
        }
        let Some(call) = self.call_of(Side::Callee(leg)) else { return };
        let is_open = self.is_open(Side::Callee(leg)) && self.is_open(Side::Caller(call));
        let (Some(record), Some(call)) = (self.legs.get_mut(leg), self.calls.get_mut(call)) else { return };
        if !is_open || call.winner.is_some_and(|winner| winner != leg) {
            // The answer of the caller's counts, but who asked has been given up, or the call is over.
            call.anchor.settle(&mut on.context, round);
            return;
        }
        Anchor::agree(&mut on.context, [&mut call.anchor, &mut record.anchor], (round, is_final));
    }

    /// The same for the two sides of a request that was passed on; without a winner it was the caller's with
    /// an early dialog.
    pub(super) fn agree_between(&mut self, on: &mut Signalling, sides: [Option<Side>; 2], round: Round) {
        let leg = sides.into_iter().flatten().find_map(|side| match side {
            Side::Callee(leg) => Some(leg),
            Side::Caller(_) => None,
        });
        let winner = |side: Side| match side {
            Side::Caller(call) => self.calls.get(call)?.winner,
            Side::Callee(_) => None,
        };
        let leg = leg.or_else(|| sides.into_iter().flatten().find_map(winner));
        if let Some(leg) = leg {
            let call = self.legs.get(leg).and_then(|leg| self.calls.get(leg.call));
            let is_final = call.is_some_and(|call| call.winner == Some(leg));
            self.agree(on, leg, (round, is_final));
        }
    }

    /// A later offer between these sides came to nothing; where it was answered before, or none was made,
    /// nothing changes.
    pub(super) fn disagree(&mut self, on: &mut Signalling, sides: [Option<Side>; 2]) {
        for side in sides.into_iter().flatten() {
            if let Some((anchor, _)) = self.anchor_of(side) {
                anchor.disagree(&mut on.context);
            }
        }
    }

    /// What a side answered to an offer of ours.
    pub(super) fn take_own_answer(&mut self, on: &mut Signalling, side: Side, answer: &Message<'_>) {
        // An answer that cannot be taken leaves things as they are.
        match !answer.body().is_empty() && self.hear_in_any_case(on, (side, Round::Later), answer).is_ok() {
            true => self.agree_between(on, [Some(side), None], Round::Later),
            false => self.disagree(on, [Some(side), None]),
        }
    }

    /// The answer in an ACK, from one side to the other, which has offered late: both count from now on.
    pub(super) fn take_late_answer_of(
        &mut self,
        on: &mut Signalling,
        (from, to, round): (Side, Side, Round),
        ack: &Message<'_>,
    ) -> Spoken {
        // An ACK cannot be refused: what cannot be taken of it is not heard.
        let _ = self.hear_in_any_case(on, (from, round), ack);
        let spoken = self.speak_in_any_case(on, to, ack);
        self.agree_between(on, [Some(from), Some(to)], round);
        spoken
    }

    /// The call is over: nobody hears anybody any more, and no tone. The ports are given back with the
    /// records, which the figures go into.
    pub(super) fn silence_call(&mut self, on: &mut Signalling, call: Handle) {
        // Whoever is joined at all is joined to the caller.
        if let Some(call) = self.calls.get(call) {
            call.anchor.part(&mut on.context);
        }
    }

    /// A leg is given up: nothing of it reaches the caller any more.
    pub(super) fn silence_leg(&mut self, on: &mut Signalling, leg: Handle) {
        if let Some(leg) = self.legs.get(leg) {
            leg.anchor.part(&mut on.context);
        }
    }

    /// Ringback for a caller whose phone makes none, because it has had early media (SIP_RULES 16).
    pub(super) fn ring_back(&mut self, on: &mut Signalling, call: Handle) {
        let call = self.calls.get(call).filter(|call| call.anchor.is_told());
        if let Some(call) = call.filter(|call| call.state == CallState::Searching) {
            call.anchor.play(&mut on.context, Tone::Ringback);
        }
    }

    /// From now on silence is watched for.
    pub(super) fn watch_silence(&mut self, on: &mut Signalling, handle: Handle) {
        let timeout_ms = on.context.settings.media.timeout_ms;
        if timeout_ms == 0 || !is_anchored(&on.context) {
            return;
        }
        if let Some(call) = self.calls.get_mut(handle).filter(|call| call.winner.is_some()) {
            let deadline = on.context.now.after_ms(timeout_ms);
            on.context.arm(&mut call.silence, deadline, Due::Silence(handle));
        }
    }

    /// Nothing may have been heard for too long: the call ends then.
    pub(super) fn silence_due(&mut self, on: &mut Signalling, handle: Handle) {
        let Some(call) = self.calls.get(handle).filter(|call| call.state == CallState::Talking) else {
            return;
        };
        let timeout_ms = on.context.settings.media.timeout_ms;
        let leg = call.winner.and_then(|winner| self.legs.get(winner));
        let heard = leg.and_then(|leg| heard_at(&on.context, [&call.anchor, &leg.anchor]));
        // Without a stream that should be heard, silence begins anew.
        let since = heard.unwrap_or(on.context.now);
        let deadline = since.after_ms(timeout_ms);
        if deadline.is_due(on.context.now) {
            on.context.metrics.calls_silent += 1;
            return self.call_event(on, handle, CallEvent::MediaSilent, None);
        }
        if let Some(call) = self.calls.get_mut(handle) {
            on.context.arm(&mut call.silence, deadline, Due::Silence(handle));
        }
    }

    fn anchor_of(&mut self, side: Side) -> Option<(&mut Anchor, IpAddr)> {
        let (anchor, host) = match side {
            Side::Caller(call) => {
                let call = self.calls.get_mut(call)?;
                (&mut call.anchor, call.reply_to.destination.ip())
            }
            Side::Callee(leg) => {
                let leg = self.legs.get_mut(leg)?;
                (&mut leg.anchor, leg.answer_to.destination.ip())
            }
        };
        let host = anchor.host.unwrap_or(host);
        Some((anchor, host))
    }
}

impl Anchor {
    /// The body of a message as the side is told it.
    ///
    /// # Errors
    /// As [`Calls::speak`].
    pub fn speak_message(
        &mut self,
        context: &mut Context,
        host: IpAddr,
        (message, lack): (&Message<'_>, Lack),
    ) -> Result<Spoken, Status> {
        let Some(content) = Content::of(message).filter(|_| is_anchored(context)) else {
            return Ok(Spoken::SAME);
        };
        match self.speak(context, host, (content, lack)) {
            Ok(body) => Ok(Spoken(Some(body))),
            Err(NotTaken::Unreadable) => {
                context.metrics.media_bodies_passed += 1;
                Ok(Spoken::SAME)
            }
            Err(not_taken) => Err(refusal(context, not_taken)),
        }
    }
}

/// When either side, or the one that is silent for longer, was last heard in a stream that both should be
/// heard in; `None`: there is no such stream.
fn heard_at(context: &Context, [caller, callee]: [&Anchor; 2]) -> Option<Now> {
    let media = &context.media;
    let flows = |endpoint: Handle| media.described(endpoint).is_some_and(|remote: Remote| !remote.is_held);
    let pairs = (0..caller.len()).filter_map(|place| caller.stream(place).zip(callee.stream(place)));
    let heard = pairs.filter(|&(one, other)| flows(one) && flows(other)).filter_map(|(one, other)| {
        let both = [media.heard_at(one)?, media.heard_at(other)?];
        Some(both)
    });
    // A side is heard in any of its streams.
    let [one, other] = heard.reduce(|a, b| [a[0].max(b[0]), a[1].max(b[1])])?;
    Some(match context.settings.media.silence {
        Silence::Both => one.max(other),
        Silence::One => one.min(other),
    })
}

/// Whether a response's body goes no further: a refusal that describes what its sender could do (RFC 3261
/// §21.4.26) names places that are not the server's, and there is nothing that it could be the answer to.
pub(super) fn drops_body(context: &Context, response: &Message<'_>) -> bool {
    let refuses = response.status().is_some_and(|status| status.code() >= 300);
    refuses
        && is_anchored(context)
        && Content::of(response).is_some_and(|content| sdp::find(content.kind, content.body).is_some())
}

fn refusal(context: &mut Context, not_taken: NotTaken) -> Status {
    match not_taken {
        NotTaken::NoPorts => {
            context.metrics.media_ports_missing += 1;
            Status::SERVICE_UNAVAILABLE
        }
        NotTaken::Unreadable => Status::NOT_ACCEPTABLE_HERE,
        NotTaken::TooLong => Status::MESSAGE_TOO_LARGE,
    }
}

/// The refusal of an offer within a call: what cannot be given now is not acceptable here (RFC 3261 §14.2).
pub(super) const fn within_call(status: Status) -> Status {
    match status {
        Status::SERVICE_UNAVAILABLE => Status::NOT_ACCEPTABLE_HERE,
        status => status,
    }
}
