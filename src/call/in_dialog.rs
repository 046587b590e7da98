//! Requests in a dialog: found by our tag, checked, and taken to what they are for.

use super::anchor::Round;
use super::media::within_call;
use super::negotiation::Negotiation;
use super::side::Side;
use super::{Calls, Request, Signalling};
use crate::signalling::unsupported;
use crate::sip::{Message, Method, Status};
use crate::transaction::ServerKey;

impl Calls {
    /// A request with a To tag: ours names the dialog.
    pub(super) fn handle_in_dialog(&mut self, on: &mut Signalling, request: &Request<'_>, key: ServerKey) {
        let message = &request.message;
        let side = Side::of_tag(&on.context.mint, message.to_tag());
        if message.method() == Method::Ack {
            if !side.is_some_and(|side| self.acknowledge(on, side, request)) {
                on.context.metrics.stray_acks += 1;
            }
            return;
        }
        let Some(side) = side.filter(|&side| self.is_in_dialog(on, side, message)) else {
            return on.refuse(request, Status::CALL_DOES_NOT_EXIST);
        };
        let done = self.enter_dialog(side, message).and_then(|()| match message.method() {
            Method::Bye => self.hang_up(on, side, request, key),
            Method::Invite => self.reinvite(on, side, request, key),
            Method::Update => self.update(on, side, request, key),
            Method::Prack => self.prack(on, side, request, key),
            _ => {
                let way = self.way_from(side)?;
                self.relay(on, way, (request, key), None).map(|_| ())
            }
        });
        if let Err(status) = done {
            on.refuse_in_dialog(request, key, status);
        }
    }

    /// Whether the request belongs to the dialog that its To tag names, and nothing has ended that.
    pub(super) fn is_in_dialog(&self, on: &Signalling, side: Side, message: &Message<'_>) -> bool {
        let lives = match message.method() {
            // Both may hang up at once: each BYE is answered (RFC 3261 §15.1.2).
            Method::Bye => self.is_confirmed(side),
            _ => self.is_open(side),
        };
        lives && self.dialog(side).is_some_and(|dialog| dialog.is_of(&on.context, message))
    }

    /// Takes the request's CSeq (RFC 3261 §12.2.2) and looks for what it requires of us.
    fn enter_dialog(&mut self, side: Side, message: &Message<'_>) -> Result<(), Status> {
        let dialog = self.dialog_mut(side).ok_or(Status::CALL_DOES_NOT_EXIST)?;
        let number = message.cseq().map(|cseq| cseq.number);
        // Out of order.
        if dialog.remote_cseq.is_some_and(|last| number < Some(last)) {
            return Err(Status::SERVER_INTERNAL_ERROR);
        }
        dialog.remote_cseq = number;
        // What the other party must support is its own affair.
        let ours = matches!(
            message.method(),
            Method::Invite | Method::Update | Method::Prack | Method::Bye | Method::Options
        );
        match ours && unsupported(message).next().is_some() {
            true => Err(Status::BAD_EXTENSION),
            false => Ok(()),
        }
    }

    /// UPDATE (RFC 3311): with an offer it is passed on, without it is a matter of this leg.
    fn update(
        &mut self,
        on: &mut Signalling,
        side: Side,
        request: &Request<'_>,
        key: ServerKey,
    ) -> Result<(), Status> {
        if request.message.body().is_empty() {
            return self.take_refresh(on, side, request, key);
        }
        let way = self.way_from(side)?;
        self.may_offer(way)?;
        let sides = [Some(side), Some(way.to)];
        self.begin_offer(on, sides);
        let heard = self.hear_request(on, (side, Round::Later), request).map_err(within_call);
        let sent = heard.and_then(|()| self.relay(on, way, (request, key), None));
        let handle = sent.inspect_err(|_| self.disagree(on, sides))?;
        if let Some(dialog) = self.dialog_mut(side) {
            dialog.takes_update = true;
        }
        self.open_offer(on, handle, (Negotiation::Received, Negotiation::Sent), sides);
        Ok(())
    }
}
