//! Server transactions: requests that come, responses that we send.

use super::key::{MergeKey, ServerKey};
use super::record::{Machine, Record, Side};
use super::table::lift;
use super::{AnswerTo, Effect, Transactions, User, invite_server, non_invite_server};
use crate::clock::Deadline;
use crate::context::Context;
use crate::keep::Kept;
use crate::sip::{Message, Method, Status};
use crate::slab::Handle;
use crate::timer::TimerHandle;

/// What a request is to the server transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// No transaction knows it.
    New(ServerKey),
    /// A retransmission, or an ACK to a non-2xx: dealt with.
    Absorbed,
}

/// The INVITE that a CANCEL is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled {
    pub user: User,
    /// No final response was sent yet, so the CANCEL has an effect (RFC 3261 §9.2).
    pub pending: bool,
}

impl Transactions {
    /// Takes a request to its transaction, if there is one.
    pub fn receive_request(&mut self, context: &mut Context, key: ServerKey, method: Method) -> Arrival {
        let Some(handle) = self.find(key) else { return Arrival::New(key) };
        let (next, effect) = match self.records.get(handle).map(|record| record.machine) {
            Some(Machine::InviteServer(state)) => {
                let event = if method == Method::Ack {
                    invite_server::Event::Ack
                } else {
                    invite_server::Event::Invite
                };
                lift(invite_server::step(state, event), Machine::InviteServer)
            }
            Some(Machine::NonInviteServer(state)) => lift(
                non_invite_server::step(state, non_invite_server::Event::Request),
                Machine::NonInviteServer,
            ),
            _ => return Arrival::New(key),
        };
        if method != Method::Ack {
            context.metrics.request_retransmissions += 1;
        }
        match effect {
            Effect::SendAgain => self.send_again(context, handle),
            // An ACK to our 2xx that repeats the INVITE's branch belongs to the dialog.
            Effect::Report => return Arrival::New(key),
            _ => {}
        }
        if let Some(record) = self.records.get(handle)
            && next != Some(record.machine)
        {
            self.enter(context, handle, next);
            // Confirmed: nothing will be sent again.
            if let Some(record) = self.records.get_mut(handle) {
                let response = record.kept.take();
                context.keep.release(response);
            }
        }
        Arrival::Absorbed
    }

    /// The INVITE with this key, for a CANCEL.
    #[must_use]
    pub fn find_invite(&self, key: ServerKey) -> Option<Cancelled> {
        let record = self.records.get(self.find(key)?)?;
        let Machine::InviteServer(state) = record.machine else { return None };
        Some(Cancelled { user: record.user, pending: state == invite_server::State::Proceeding })
    }

    /// Whether another transaction has the same From tag, Call-ID and CSeq (RFC 3261 §8.2.2.2).
    #[must_use]
    pub fn is_merged(&self, merge: MergeKey) -> bool {
        let mut at = self.merges.first(merge.0);
        while let Some(index) = at {
            match self.records.at(index) {
                Some((_, Record { side: Side::Server { merge: other, merge_next, .. }, .. })) => {
                    if *other == merge.0 {
                        return true;
                    }
                    at = merge_next.checked_sub(1);
                }
                _ => return false,
            }
        }
        false
    }

    /// Opens the server transaction of a new request; `None`: the table is full.
    pub fn open_server(
        &mut self,
        request: &Message<'_>,
        (key, merge): (ServerKey, Option<MergeKey>),
        answer_to: AnswerTo,
        user: User,
    ) -> Option<Handle> {
        let machine = match request.method() {
            Method::Invite => Machine::InviteServer(invite_server::State::Proceeding),
            _ => Machine::NonInviteServer(non_invite_server::State::Trying),
        };
        let merge = merge.map_or(0, |merge| merge.0);
        let handle = self
            .records
            .insert(Record {
                machine,
                listener: answer_to.listener,
                attempt: 0,
                peer: answer_to.destination.into(),
                user,
                timer: TimerHandle::NONE,
                kept: Kept::NONE,
                give_up: Deadline::from_ms(0),
                side: Side::Server { key, next: 0, merge, merge_next: 0 },
            })
            .ok()?;
        let linked = self.keys.push(key.0, handle.index);
        let merge_linked = if merge == 0 { 0 } else { self.merges.push(merge, handle.index) };
        if let Some(Record { side: Side::Server { next, merge_next, .. }, .. }) = self.records.get_mut(handle)
        {
            *next = linked;
            *merge_next = merge_linked;
        }
        Some(handle)
    }

    /// Sends a response and enters the state that it leads to; `false`: it was not sent, because it is too
    /// long for a datagram or because a final response has gone before.
    pub fn respond(
        &mut self,
        context: &mut Context,
        handle: Handle,
        status: Status,
        write: impl FnOnce(&Context, &mut Vec<u8>),
    ) -> bool {
        let Some(record) = self.records.get(handle) else { return false };
        let (machine, listener, peer) = (record.machine, record.listener, record.peer);
        let (next, effect) = match machine {
            Machine::InviteServer(state) => {
                let event = match status {
                    status if status.is_provisional() => invite_server::Event::SendProvisional,
                    status if status.is_success() => invite_server::Event::SendSuccess,
                    _ => invite_server::Event::SendFailure,
                };
                lift(invite_server::step(state, event), Machine::InviteServer)
            }
            Machine::NonInviteServer(state) => lift(
                non_invite_server::step(state, non_invite_server::Event::SendFinal),
                Machine::NonInviteServer,
            ),
            Machine::InviteClient(_) | Machine::NonInviteClient(_) => return false,
        };
        if effect != Effect::Send {
            context.metrics.impossible_events += 1;
            return false;
        }
        let mut outbox = std::mem::take(&mut context.outbox);
        let sent = outbox.send(listener, peer.into(), |out| write(context, out)).is_some();
        context.outbox = outbox;
        if !sent {
            return false;
        }
        context.metrics.datagrams_sent += 1;
        let accepted = next == Some(Machine::InviteServer(invite_server::State::Accepted));
        // A 2xx to INVITE is the call's to repeat (RFC 6026 §7.1): the transaction keeps nothing.
        let kept = if accepted { Some(Kept::NONE) } else { context.keep_last_sent() };
        self.keep(context, handle, kept);
        self.enter(context, handle, next);
        true
    }

    fn find(&self, key: ServerKey) -> Option<Handle> {
        let mut at = self.keys.first(key.0);
        while let Some(index) = at {
            let (handle, record) = self.records.at(index)?;
            let Side::Server { key: other, next, .. } = record.side else { return None };
            if other == key {
                return Some(handle);
            }
            at = next.checked_sub(1);
        }
        None
    }
}
