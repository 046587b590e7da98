//! The two sides of a call: which dialog a request belongs to, and who is on the other side.

use super::Calls;
use super::dialog::Dialog;
use super::state::{CallState, LegState};
use crate::ids::{Kind, Mint};
use crate::slab::Handle;
use crate::transaction::User;

/// One side of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Caller(Handle),
    Callee(Handle),
}

impl Side {
    /// The side whose dialog bears this tag of ours.
    pub(super) fn of_tag(mint: &Mint, tag: &[u8]) -> Option<Side> {
        match mint.read_tag(tag)? {
            (Kind::Call, call) => Some(Side::Caller(call)),
            (Kind::Leg, leg) => Some(Side::Callee(leg)),
            _ => None,
        }
    }

    /// The side that a transaction's user is.
    pub(super) fn of_user(user: User) -> Option<Side> {
        match user {
            User::Call(call) => Some(Side::Caller(call)),
            User::Leg(leg) => Some(Side::Callee(leg)),
            User::None | User::Relay(_) => None,
        }
    }

    /// Whom a transaction in this side's dialog belongs to.
    pub(super) fn user(self) -> User {
        match self {
            Side::Caller(call) => User::Call(call),
            Side::Callee(leg) => User::Leg(leg),
        }
    }
}

impl Calls {
    /// The dialog of a side that lives: early or confirmed, and not ended by either side.
    pub(super) fn dialog(&self, side: Side) -> Option<&Dialog> {
        let dialog = match side {
            Side::Caller(call) => {
                self.calls.get(call).filter(|call| call.has_dialog()).map(|call| &call.dialog)
            }
            Side::Callee(leg) => self.legs.get(leg).map(|leg| &leg.dialog),
        };
        dialog.filter(|dialog| dialog.is_some())
    }

    pub(super) fn dialog_mut(&mut self, side: Side) -> Option<&mut Dialog> {
        let dialog = match side {
            Side::Caller(call) => {
                self.calls.get_mut(call).filter(|call| call.has_dialog()).map(|call| &mut call.dialog)
            }
            Side::Callee(leg) => self.legs.get_mut(leg).map(|leg| &mut leg.dialog),
        };
        dialog.filter(|dialog| dialog.is_some())
    }

    /// The call that a side belongs to.
    pub(super) fn call_of(&self, side: Side) -> Option<Handle> {
        match side {
            Side::Caller(call) => self.calls.get(call).map(|_| call),
            Side::Callee(leg) => self.legs.get(leg).map(|leg| leg.call),
        }
    }

    /// Who is on the other side: for a callee the caller, unless the leg lost the call; for the caller the
    /// leg that won, or the one that is tried, once it has a dialog.
    pub(super) fn peer_of(&self, side: Side) -> Option<Side> {
        let call_handle = self.call_of(side)?;
        let call = self.calls.get(call_handle)?;
        let leg = call.winner.or(call.current)?;
        let peer = match side {
            Side::Caller(_) => Side::Callee(leg),
            Side::Callee(own) => (own == leg).then_some(Side::Caller(call_handle))?,
        };
        self.dialog(peer).map(|_| peer)
    }

    /// Whether both sides have been answered and acknowledged, so that a re-INVITE may pass.
    pub(super) fn is_established(&self, call: Handle) -> bool {
        let Some(call) = self.calls.get(call) else { return false };
        let leg = call.winner.and_then(|leg| self.legs.get(leg));
        call.state == CallState::Talking && leg.is_some_and(|leg| leg.state == LegState::Confirmed)
    }

    /// Whether anything may still be said in a side's dialog: nobody has hung up.
    pub(super) fn is_open(&self, side: Side) -> bool {
        match side {
            Side::Caller(call) => self.calls.get(call).is_some_and(|call| {
                !matches!(call.state, CallState::Refused | CallState::Ending | CallState::HangupHeld)
            }),
            Side::Callee(leg) => self.legs.get(leg).is_some_and(|leg| {
                !matches!(leg.state, LegState::Held | LegState::Cancelling | LegState::Ending)
            }),
        }
    }

    /// Whether there is a confirmed dialog with this side; the caller may end its early one too.
    pub(super) fn is_confirmed(&self, side: Side) -> bool {
        match side {
            Side::Caller(_) => true,
            Side::Callee(leg) => self.legs.get(leg).is_some_and(|leg| {
                matches!(leg.state, LegState::Answered | LegState::Confirmed | LegState::Ending)
            }),
        }
    }

    /// Whether a side knows of its dialog: a caller that has heard nothing but 100 has none yet.
    pub(super) fn is_heard(&self, side: Side) -> bool {
        match side {
            Side::Caller(call) => {
                self.calls.get(call).is_some_and(|call| call.is_early || call.state != CallState::Searching)
            }
            Side::Callee(_) => true,
        }
    }

    pub(super) fn is_searching(&self, call: Handle) -> bool {
        self.calls.get(call).is_some_and(|call| call.state == CallState::Searching)
    }
}
