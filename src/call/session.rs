//! Session timers (RFC 4028), each leg's own: who refreshes, when, and what becomes of a session that nobody
//! refreshed.

use super::dialog::{Dialog, RequestLine};
use super::negotiation::Negotiation;
use super::side::Side;
use super::state::{CallEvent, CallState, LegState};
use super::write::{SUPPORTED, user_of, write_contact};
use super::{Calls, Request, Signalling};
use crate::clock::{Deadline, Now};
use crate::context::{Context, Due};
use crate::signalling::{ALLOW, MIN_SE_S};
use crate::sip::name_addr::{param, split_list};
use crate::sip::number::leading_number;
use crate::sip::write::Writer;
use crate::sip::{HeaderName, Message, Method, Status};
use crate::slab::Handle;
use crate::transaction::{Exchange, ServerKey, User};

/// Longer ones are not believed, in seconds: refreshing once a day is as good as never.
pub(super) const INTERVAL_MAX_S: u32 = 86_400;

/// When a refresh that could not be sent is tried again.
pub(super) const REFRESH_RETRY_MS: u32 = 2_000;

/// A refresh that failed for no reason of the dialog's is not repeated before this.
const RETRY_MIN_MS: u64 = 2_000;

/// A dialog's session timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SessionTimer {
    /// Seconds; 0: there is none.
    pub interval_s: u32,
    /// It is ours to refresh.
    pub ours: bool,
    /// The largest Min-SE that the peer has named, which our refreshes repeat (RFC 4028 §7.4); 0: none.
    pub min_se_s: u32,
    /// When the session ends if nobody refreshes it.
    gives_up: Deadline,
    /// When something is to be done next.
    pub due: Deadline,
}

impl SessionTimer {
    pub const NONE: SessionTimer = SessionTimer {
        interval_s: 0,
        ours: false,
        min_se_s: 0,
        gives_up: Deadline::from_ms(u64::MAX),
        due: Deadline::from_ms(u64::MAX),
    };

    /// What a request of the peer's asks for (RFC 4028 §9). One without Session-Expires leaves the timer as
    /// it is.
    ///
    /// # Errors
    /// 422: the interval is too small, and the peer knows what to do about that.
    pub fn asked(self, request: &Message<'_>) -> Result<SessionTimer, Status> {
        let least = request.header(HeaderName::MinSe).and_then(leading_number);
        let min_se_s = least.map_or(0, |(seconds, _)| seconds.min(INTERVAL_MAX_S)).max(self.min_se_s);
        let Some((seconds, params)) = request.header(HeaderName::SessionExpires).and_then(leading_number)
        else {
            return Ok(SessionTimer { min_se_s, ..self });
        };
        let supports = lists(request, HeaderName::Supported, b"timer")
            || lists(request, HeaderName::Require, b"timer")
            || request.method() == Method::Update;
        // A peer that knows nothing of timers got this one from a proxy, which we may not overrule (§9).
        if seconds < MIN_SE_S {
            return if supports { Err(Status::SESSION_INTERVAL_TOO_SMALL) } else { Ok(SessionTimer::NONE) };
        }
        let ours = match param(params, "refresher") {
            Some(refresher) => refresher.eq_ignore_ascii_case(b"uas"),
            None => !supports,
        };
        Ok(SessionTimer { interval_s: seconds.min(INTERVAL_MAX_S), ours, min_se_s, ..self })
    }

    /// What a 2xx to a request of ours grants (RFC 4028 §7.2). One without Session-Expires ends the timer.
    pub fn granted(self, response: &Message<'_>) -> SessionTimer {
        let granted = response.header(HeaderName::SessionExpires).and_then(leading_number);
        let Some((seconds, params)) = granted else {
            return SessionTimer::NONE;
        };
        let theirs = param(params, "refresher").is_some_and(|who| who.eq_ignore_ascii_case(b"uas"));
        SessionTimer { interval_s: seconds.clamp(MIN_SE_S, INTERVAL_MAX_S), ours: !theirs, ..self }
    }

    /// Counts from now.
    pub fn restart(&mut self, now: Now) {
        if self.interval_s == 0 {
            return;
        }
        // RFC 4028 §10: whoever waits for a refresh gives up a little before the interval ends.
        let early_s = (self.interval_s / 3).min(32);
        self.gives_up = now.after_ms((self.interval_s - early_s) * 1_000);
        self.due = if self.ours { now.after_ms(self.interval_s * 500) } else { self.gives_up };
    }

    /// Writes it into a request of ours.
    pub fn write_request(self, writer: &mut Writer<'_>) {
        if self.interval_s > 0 {
            self.write(writer, if self.ours { b"uac" } else { b"uas" });
            if self.min_se_s > 0 {
                writer.name(HeaderName::MinSe).number(u64::from(self.min_se_s)).end_line();
            }
        }
    }

    /// Writes it into a 2xx of ours.
    pub fn write_response(self, writer: &mut Writer<'_>) {
        if self.interval_s == 0 {
            return;
        }
        if !self.ours {
            writer.header(HeaderName::Require, b"timer");
        }
        self.write(writer, if self.ours { b"uas" } else { b"uac" });
    }

    fn write(self, writer: &mut Writer<'_>, refresher: &[u8]) {
        writer.name(HeaderName::SessionExpires).number(u64::from(self.interval_s));
        writer.raw(b";refresher=").raw(refresher).end_line();
    }
}

/// Whether a list of tokens has this one.
pub(super) fn lists(message: &Message<'_>, name: HeaderName, token: &[u8]) -> bool {
    message.has(name)
        && message.values(name).flat_map(split_list).any(|item| item.eq_ignore_ascii_case(token))
}

impl Calls {
    /// Lets a dialog's session timer count from now, if there is one.
    pub(super) fn restart_session(&mut self, on: &mut Signalling, side: Side) {
        let owes = self.awaits_description(side);
        if let Some(dialog) = self.dialog_mut(side) {
            let session = &mut dialog.session;
            session.restart(on.context.now);
            if owes {
                // What the caller is owed does not wait for the next refresh.
                session.due = session.due.min(on.context.now.after_ms(REFRESH_RETRY_MS));
            }
        }
        self.arm_session(on, side);
    }

    /// Arms the timer of the side's record for what is due next in the session.
    pub(super) fn arm_session(&mut self, on: &mut Signalling, side: Side) {
        match side {
            Side::Caller(handle) => {
                if let Some(call) = self.calls.get_mut(handle).filter(|call| call.state == CallState::Talking)
                {
                    let due = call.limit.min(call.dialog.session.due);
                    if due.as_ms() < u64::MAX {
                        on.context.arm(&mut call.timer, due, Due::Call(handle));
                    }
                }
            }
            Side::Callee(handle) => {
                if let Some(leg) = self.legs.get_mut(handle)
                    && leg.state == LegState::Confirmed
                    && leg.dialog.session.interval_s > 0
                {
                    on.context.arm(&mut leg.timer, leg.dialog.session.due, Due::Leg(handle));
                }
            }
        }
    }

    /// Something is due in a session: a refresh of ours, or its end.
    pub(super) fn session_due(&mut self, on: &mut Signalling, side: Side) {
        let Some(call) = self.call_of(side) else { return };
        let talks = self.calls.get(call).is_some_and(|call| call.state == CallState::Talking);
        let Some(dialog) = self.dialog_mut(side) else { return };
        let session = &mut dialog.session;
        if session.gives_up.is_due(on.context.now) && !talks {
            // The caller's ACK is still awaited, and not for long.
            session.due = on.context.now.after_ms(REFRESH_RETRY_MS);
            return self.arm_session(on, side);
        }
        if session.gives_up.is_due(on.context.now) {
            on.context.metrics.sessions_expired += 1;
            return self.call_event(on, call, CallEvent::SessionExpired, None);
        }
        session.due = session.gives_up;
        let ours = session.ours;
        if self.awaits_description(side) {
            self.tell_description(on, side);
        } else if ours {
            self.refresh_session(on, side);
        }
        self.arm_session(on, side);
    }

    /// Refreshes a session that is ours: by UPDATE where the peer takes it, else by re-INVITE with what we
    /// said last (RFC 4028 §7.4).
    fn refresh_session(&mut self, on: &mut Signalling, side: Side) {
        let Some(dialog) = self.dialog_mut(side) else { return };
        if !dialog.takes_update {
            return self.refresh_by_invite(on, side);
        }
        self.send_update(on, side, (side.user(), Exchange::Refresh), |_, writer, dialog| {
            writer.header(HeaderName::Supported, SUPPORTED);
            dialog.session.write_request(writer);
            writer.body(b"");
        });
    }

    /// Sends an UPDATE. `content`: what stands behind Contact. `false`: nobody will be told what becomes of
    /// it.
    pub(super) fn send_update(
        &mut self,
        on: &mut Signalling,
        side: Side,
        user: (User, Exchange),
        content: impl FnOnce(&Context, &mut Writer<'_>, &Dialog),
    ) -> bool {
        let Some(dialog) = self.dialog_mut(side) else { return false };
        dialog.local_cseq += 1;
        let dialog = &*dialog;
        let to = (dialog.answer_to, dialog.local_cseq);
        let sent = on.transactions.send_request(&mut on.context, user, to, |context, out, branch| {
            dialog.write_request(context, out, RequestLine::own(Method::Update, dialog.local_cseq), branch);
            let mut writer = Writer::new(out);
            dialog.write_contact(context, &mut writer);
            content(context, &mut writer, dialog);
        });
        on.context.metrics.transactions_not_kept += u64::from(sent.is_err());
        sent.is_ok()
    }

    /// What became of a refresh; `None`: no answer. A peer that does not know the dialog, or does not
    /// answer, is gone (RFC 3261 §12.2.1.2); any other refusal is tried again while there is time.
    pub(super) fn refreshed(&mut self, on: &mut Signalling, side: Side, response: Option<&Message<'_>>) {
        let now = on.context.now;
        let status = response.and_then(|response| response.status());
        let (Some(call), Some(response), Some(status)) = (self.call_of(side), response, status) else {
            return self.dialog_lost(on, side);
        };
        let back_off_ms = self.back_off_ms(on, side);
        let Some(dialog) = self.dialog_mut(side) else { return };
        match status {
            Status::CALL_DOES_NOT_EXIST | Status::REQUEST_TIMEOUT => {
                return self.call_event(on, call, CallEvent::DialogLost, None);
            }
            status if status.is_success() => {
                self.take_own_answer(on, side, response);
                self.description_told(on, side, response);
                let Some(dialog) = self.dialog_mut(side) else { return };
                dialog.refresh_target(&mut on.context, response);
                dialog.session = dialog.session.granted(response);
                return self.restart_session(on, side);
            }
            Status::SESSION_INTERVAL_TOO_SMALL => {
                let least = response.header(HeaderName::MinSe).and_then(leading_number);
                let least = least.map_or(0, |(seconds, _)| seconds.min(INTERVAL_MAX_S));
                dialog.session.min_se_s = dialog.session.min_se_s.max(least);
                if least > dialog.session.interval_s {
                    dialog.session.interval_s = least;
                    dialog.session.due = now.after_ms(0);
                }
            }
            Status::REQUEST_PENDING => dialog.session.due = now.after_ms(back_off_ms),
            // A callee waits for the answer to its offer.
            _ if self.owes_answer(call) => return self.call_event(on, call, CallEvent::DialogLost, None),
            _ => {
                let Some(dialog) = self.dialog_mut(side) else { return };
                let left_ms = dialog.session.gives_up.as_ms().saturating_sub(now.as_ms());
                let after_ms = (left_ms / 2).max(RETRY_MIN_MS);
                dialog.session.due = Deadline::from_ms(now.as_ms() + after_ms);
            }
        }
        if let Some(dialog) = self.dialog_mut(side) {
            dialog.session.due = dialog.session.due.min(dialog.session.gives_up);
        }
        self.arm_session(on, side);
    }

    /// Whether the caller has yet to hear of the description that the answer came with.
    fn awaits_description(&self, side: Side) -> bool {
        match side {
            Side::Caller(call) => self.calls.get(call).is_some_and(|call| call.owed.is_some()),
            Side::Callee(_) => false,
        }
    }

    fn owes_answer(&self, call: Handle) -> bool {
        let winner = self.calls.get(call).filter(|call| call.owed.is_some()).and_then(|call| call.winner);
        let leg = winner.and_then(|winner| self.legs.get(winner));
        leg.is_some_and(|leg| leg.state == LegState::Answered)
    }

    /// Offers the caller the description that it could not be told in the 2xx, because it had another one
    /// reliably before (RFC 3261 §13.2.1).
    pub(super) fn tell_description(&mut self, on: &mut Signalling, side: Side) {
        let Side::Caller(handle) = side else { return };
        let Some(call) = self.calls.get_mut(handle) else { return };
        let description = call.owed.take();
        if !description.is_some() {
            return;
        }
        let sent = self.own_offer(on, side, &description);
        let retry = on.context.now.after_ms(REFRESH_RETRY_MS);
        match self.calls.get_mut(handle) {
            Some(call) => {
                call.owed = description;
                if !sent {
                    call.dialog.session.due = call.dialog.session.due.min(retry);
                }
            }
            None => description.release(&mut on.context),
        }
        self.arm_session(on, side);
    }

    /// The caller has taken the description that it was owed. What it answers is the answer that a callee
    /// waits for whose 2xx had an offer.
    pub(super) fn description_told(&mut self, on: &mut Signalling, side: Side, answer: &Message<'_>) {
        let Side::Caller(handle) = side else { return };
        let Some(call) = self.calls.get_mut(handle).filter(|call| call.owed.is_some()) else { return };
        let owed = call.owed.take();
        match call.dialog.needs_description() {
            // From now on it is what a refresh repeats.
            true => call.dialog.description.replace(&mut on.context, owed),
            false => owed.release(&mut on.context),
        }
        let winner = call.winner;
        if let Some(leg) = winner.and_then(|winner| self.legs.get_mut(winner)) {
            leg.dialog.negotiation = Negotiation::Stable;
        }
        if let Some(winner) = winner {
            self.acknowledge_winner(on, winner, Some(answer));
        }
    }

    /// The other side finds the interval too small that we asked it for in a request that was passed on: it
    /// is raised, and the asker, who has nothing to do with it, is told to come back (491). `None`: it is
    /// something else.
    pub(super) fn raise_interval(&mut self, to: Side, response: Option<&Message<'_>>) -> Option<Status> {
        let response = response.filter(|r| r.status() == Some(Status::SESSION_INTERVAL_TOO_SMALL))?;
        let (least, _) = response.header(HeaderName::MinSe).and_then(leading_number)?;
        let session = &mut self.dialog_mut(to)?.session;
        session.min_se_s = session.min_se_s.max(least.min(INTERVAL_MAX_S));
        session.interval_s = session.interval_s.max(session.min_se_s);
        Some(Status::REQUEST_PENDING)
    }

    /// How long to wait after a 491, in steps of 10 ms: 2.1 to 4 s where the Call-ID is ours, else up to 2 s
    /// (RFC 3261 §14.1).
    pub(super) fn back_off_ms(&self, on: &mut Signalling, side: Side) -> u32 {
        let drawn = on.context.mint.random();
        match side {
            Side::Callee(_) => 2_100 + (drawn % 191) as u32 * 10,
            Side::Caller(_) => (drawn % 201) as u32 * 10,
        }
    }

    /// A side's peer is gone: the call ends.
    pub(super) fn dialog_lost(&mut self, on: &mut Signalling, side: Side) {
        let Some(handle) = self.call_of(side) else { return };
        let talks = match side {
            Side::Caller(_) => true,
            // A leg that was given up ends nothing.
            Side::Callee(leg) => self.calls.get(handle).is_some_and(|call| call.winner == Some(leg)),
        };
        if talks {
            self.call_event(on, handle, CallEvent::DialogLost, None);
        }
    }

    /// An UPDATE without an offer: it refreshes session and target and nothing else (RFC 3311 §5.2, RFC 4028
    /// §9).
    pub(super) fn take_refresh(
        &mut self,
        on: &mut Signalling,
        side: Side,
        request: &Request<'_>,
        key: ServerKey,
    ) -> Result<(), Status> {
        let dialog = self.dialog_mut(side).ok_or(Status::CALL_DOES_NOT_EXIST)?;
        let session = dialog.session.asked(&request.message)?;
        dialog.session = session;
        // Whoever sends it takes it.
        dialog.takes_update = true;
        dialog.refresh_target(&mut on.context, &request.message);
        self.restart_session(on, side);
        on.answer_in_dialog(request, key, Status::OK, |context, writer| {
            let own = user_of(request.message.header(HeaderName::To).unwrap_or_default());
            write_contact(writer, own, context.sent_by(request.listener));
            writer.header(HeaderName::Allow, ALLOW);
            writer.header(HeaderName::Supported, SUPPORTED);
            session.write_response(writer);
        });
        Ok(())
    }
}
