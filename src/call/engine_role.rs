//! What a description is that the engine is asked to take: offer or answer (RFC 3264, RFC 6337), and whose.

use super::media::within_call;
use super::negotiation::Negotiation;
use super::reliable::rseq_of;
use super::side::Side;
use super::state::{CallState, ReinviteState};
use super::{Calls, Signalling};
use crate::mail::{Party, Role};
use crate::settings::LateAnswer;
use crate::sip::{HeaderName, Message, Method, RAck, Status};
use crate::slab::Handle;
use crate::transaction::{Exchange, User, Verdict};

impl Calls {
    /// What a request in a dialog describes its session as; `None`: it is not for the other side, or would be
    /// refused now.
    pub(super) fn role_of_request(&self, side: Side, message: &Message<'_>) -> Option<Role> {
        let dialog = self.dialog(side)?;
        let number = message.cseq().map(|cseq| cseq.number);
        match message.method() {
            Method::Ack => self.answers_late_offer(side, number).then_some(Role::Answer),
            // Out of order (RFC 3261 §12.2.2).
            _ if dialog.remote_cseq.is_some_and(|last| number < Some(last)) => None,
            Method::Invite => self.may_reinvite(side).is_ok().then_some(Role::Offer),
            Method::Update => {
                let way = self.way_from(side).map_err(within_call).ok()?;
                self.may_offer(way).is_ok().then_some(Role::Offer)
            }
            Method::Prack => {
                let Side::Caller(call) = side else { return None };
                let call = self.calls.get(call)?;
                let rack = RAck::parse(message.header(HeaderName::RAck)?).ok()?;
                let outstanding = call.outstanding.filter(|_| {
                    (rack.rseq, rack.cseq, rack.method) == (call.rseq, call.invite_cseq, Method::Invite)
                })?;
                match outstanding.offers {
                    true => Some(Role::Answer),
                    // An offer of its own, if anybody is there to take it.
                    false => outstanding.passes_to.map(|_| Role::Offer),
                }
            }
            _ => None,
        }
    }

    /// Whether an ACK with this number has the answer to an offer that came in a 2xx.
    fn answers_late_offer(&self, side: Side, number: Option<u32>) -> bool {
        let Some(call) = self.call_of(side).and_then(|call| self.calls.get(call)) else { return false };
        if matches!(side, Side::Caller(_)) && number == Some(call.invite_cseq) {
            let asked = call.late_offer && call.dialog.negotiation == Negotiation::Sent;
            return asked && call.state == CallState::Answered;
        }
        let relay = call.reinvite.and_then(|relay| self.relays.get(relay));
        relay.is_some_and(|relay| {
            let reinvite = relay.reinvite.as_ref();
            let waits = reinvite.is_some_and(|own| own.late_offer && own.state == ReinviteState::Answered);
            waits && relay.from == Some(side) && number == Some(relay.cseq)
        })
    }

    /// What a response describes its session as, in which call, and whose that is; `None`: nothing comes of
    /// the description.
    pub(super) fn role_of_response(
        &self,
        on: &Signalling,
        verdict: Verdict,
        response: &Message<'_>,
    ) -> Option<(Handle, Role, Party)> {
        let is_success = response.status().is_some_and(|status| status.is_success());
        match verdict {
            Verdict::Invite { user: User::Leg(leg), .. } => {
                let leg = self.legs.get(leg)?;
                let call = self.calls.get(leg.call)?;
                let searches = call.state == CallState::Searching && call.winner.is_none();
                // It crossed our CANCEL, and may win all the same.
                let wins_late = is_success && on.context.settings.late_answer == LateAnswer::Keep;
                let role = if call.late_offer { Role::Offer } else { Role::Answer };
                let counts = searches && (leg.is_tried() || wins_late);
                counts.then_some((leg.call, role, Party::Callee))
            }
            Verdict::Invite { user: User::Relay(relay), .. } => {
                let relay = self.relays.get(relay)?;
                let reinvite = relay.reinvite.as_ref().filter(|own| own.state != ReinviteState::Closing)?;
                let role = if reinvite.late_offer { Role::Offer } else { Role::Answer };
                Some((relay.call, role, party(relay.to)))
            }
            Verdict::Final { user: User::Relay(relay), exchange: Exchange::Relayed } => {
                let relay = self.relays.get(relay)?;
                let answers = is_success && (relay.negotiates || relay.method == Method::Update);
                answers.then_some((relay.call, Role::Answer, party(relay.to)))
            }
            _ => None,
        }
    }

    /// Whether a response is one phone's early media while the caller hears another's.
    pub(super) fn is_unheard(&self, verdict: Verdict, response: &Message<'_>) -> bool {
        let Verdict::Invite { user: User::Leg(leg), .. } = verdict else { return false };
        let is_preview = response.status().is_some_and(|status| status.is_provisional());
        let call = self.legs.get(leg).map(|leg| leg.call);
        is_preview && rseq_of(response).is_none() && call.is_some_and(|call| self.hears_another(call, leg))
    }

    /// The other side's answer to a request that was passed on is of no use without the engine: the asker is
    /// refused. The other side believes otherwise, but without the engine nobody is heard anyway. `false`: it
    /// was our own request, or the call is over.
    pub(super) fn relay_unanchored(&mut self, on: &mut Signalling, handle: Handle) -> bool {
        let Some(relay) = self.relays.get(handle).filter(|relay| relay.from.is_some()) else { return false };
        let to = relay.to;
        let Some(reinvite) = relay.reinvite.as_ref() else {
            self.respond_relay(on, handle, Status::SERVICE_UNAVAILABLE, None);
            self.remove_relay(on, handle);
            return true;
        };
        if reinvite.state == ReinviteState::Closing {
            return false;
        }
        let late_offer = reinvite.late_offer;
        self.acknowledge_reinvite(on, handle, None);
        self.respond_relay(on, handle, Status::SERVICE_UNAVAILABLE, None);
        self.remove_relay(on, handle);
        if late_offer {
            // Its offer stays without an answer.
            self.dialog_lost(on, to);
        }
        true
    }
}

pub(super) fn party(side: Side) -> Party {
    match side {
        Side::Caller(_) => Party::Caller,
        Side::Callee(_) => Party::Callee,
    }
}
