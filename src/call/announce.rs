//! What the caller of a feature code hears: a tone, where media is anchored and its phone has G.711.

use super::anchor::{Content, Lack, Round};
use super::feature::{Refused, SDP};
use super::media::is_anchored;
use super::record::Heard;
use super::reliable::Reliability;
use super::{Calls, Signalling};
use crate::context::Due;
use crate::media::Tone;
use crate::sdp::{self, Description};
use crate::sip::write::Writer;
use crate::sip::{HeaderName, Message, Status};
use crate::slab::Handle;

/// How long a tone is to be heard.
pub(super) const TONE_MS: u32 = 2_000;

impl Calls {
    /// Describes a session to the caller in which a tone will be heard: the answer to its offer, or an offer.
    /// `false`: its phone has no codec for one, or there is no port; nothing is written then.
    pub(super) fn describe_tone(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        invite: &Message<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        if !is_anchored(&on.context) {
            return false;
        }
        let id = on.context.unix().0;
        let Some(call) = self.calls.get_mut(handle) else { return false };
        let host = call.reply_to.destination.ip();
        let body = invite.body();
        let place = match body.is_empty() {
            true => call.anchor.offer(&mut on.context, host).map(|()| 0),
            false => {
                let content = Content { kind: SDP, body };
                let heard = call.anchor.hear(&mut on.context, host, (content, Round::Invite, Lack::Fails));
                heard.ok().and_then(|()| first_audible(body))
            }
        };
        let rtp = place.and_then(|place| on.context.media.local(call.anchor.stream(place)?));
        let written = rtp.is_some_and(|rtp| {
            let host = rtp.ip().to_string();
            let origin = sdp::Origin { host: &host, is_ipv6: rtp.is_ipv6(), id };
            match body.is_empty() {
                true => {
                    sdp::offer_tone(out, origin, rtp);
                    true
                }
                false => {
                    let start = out.len();
                    let answered = sdp::answer_tone(out, body, origin, rtp);
                    let is_heard = matches!(answered, Ok(Some(_)));
                    if !is_heard {
                        out.truncate(start);
                    }
                    is_heard
                }
            }
        });
        match call.feature.as_deref_mut() {
            Some(feature) => feature.is_audible = written,
            None => return false,
        }
        if !written {
            call.anchor.close(&mut on.context);
        }
        written
    }

    /// Plays a tone to a caller that was told where it comes from.
    pub(super) fn announce(&mut self, on: &mut Signalling, handle: Handle, tone: Tone) {
        let Some(call) = self.calls.get_mut(handle) else { return };
        if call.feature.as_deref().is_some_and(|feature| feature.is_audible) {
            call.anchor.settle(&mut on.context, Round::Invite);
            call.anchor.play(&mut on.context, tone);
        }
    }

    /// The caller's ACK: it may have the answer to our offer.
    pub(super) fn hear_feature(&mut self, on: &mut Signalling, handle: Handle, ack: Option<&Message<'_>>) {
        let Some(call) = self.calls.get_mut(handle).filter(|call| call.feature.is_some()) else { return };
        let host = call.reply_to.destination.ip();
        let Some(ack) = ack.filter(|ack| call.late_offer && !ack.body().is_empty()) else { return };
        let content = Content { kind: SDP, body: ack.body() };
        // Where it cannot be read nothing is heard, and the call ends as soon.
        let heard = (content, Round::Invite, Lack::Refuses);
        if call.anchor.hear(&mut on.context, host, heard).is_ok() {
            self.announce(on, handle, Tone::Confirmation);
        }
    }

    /// Lets the caller hear that its code is refused, as early media, before it is; gives the refusal back
    /// where that cannot be.
    pub(super) fn announce_refusal(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        refused: Refused,
    ) -> Option<Refused> {
        let Some(call) = self.calls.get(handle) else { return Some(refused) };
        // Without a description of its own a phone plays nothing, and it may want a 183 that we would have to
        // repeat.
        if call.late_offer || call.reliability == Reliability::Required {
            return Some(refused);
        }
        let mut body = Vec::new();
        let described = self
            .with_invite(on, handle, |calls, on, invite| calls.describe_tone(on, handle, invite, &mut body));
        let Some(call) = self.calls.get_mut(handle).filter(|_| described == Some(true)) else {
            return Some(refused);
        };
        (call.heard, call.is_early) = (Heard::EarlyMedia, true);
        let record = &*call;
        let status = Status::SESSION_PROGRESS;
        let sent = on.transactions.respond(&mut on.context, record.transaction, status, |context, out| {
            let mut writer = Writer::new(out);
            writer.status_line(status, b"");
            writer.raw(context.keep.bytes(&record.head));
            writer.header(HeaderName::ContentType, SDP);
            writer.body(&body);
        });
        if !sent {
            return Some(refused);
        }
        let tone = refused.tone();
        if let Some(feature) = call.feature.as_deref_mut() {
            feature.refused = Some(refused);
        }
        let deadline = on.context.now.after_ms(TONE_MS);
        on.context.arm(&mut call.timer, deadline, Due::Call(handle));
        self.announce(on, handle, tone);
        None
    }
}

/// The stream of an offer that a tone can be heard in.
fn first_audible(offer: &[u8]) -> Option<usize> {
    let description = Description::read(offer).ok()?;
    description.streams().iter().position(sdp::Stream::is_listening)
}
