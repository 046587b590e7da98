//! Server transactions: requests that come, responses that we send.

use super::key::ServerKey;
use super::record::{Machine, Record, Side};
use super::table::lift;
use super::{AnswerTo, Effect, Transactions, User, invite_server, non_invite_server, reply};
use crate::clock::Deadline;
use crate::context::Context;
use crate::keep::Kept;
use crate::sip::{Message, Method, Status};
use crate::slab::Handle;
use crate::timer::TimerHandle;
use std::net::SocketAddr;

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
    pub fn receive_request(
        &mut self,
        context: &mut Context,
        key: ServerKey,
        (request, source): (&Message<'_>, SocketAddr),
    ) -> Arrival {
        let method = request.method();
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
            Effect::SendAgain => self.respond_again(context, handle, request, source),
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

    /// Whether another INVITE has the same Call-ID, From tag and CSeq (RFC 3261 §8.2.2.2). Ask only after
    /// [`Transactions::receive_request`] has said that the request is new.
    #[must_use]
    pub fn is_merged(&self, key: ServerKey) -> bool {
        self.chain(key).any(|(_, record)| matches!(record.machine, Machine::InviteServer(_)))
    }

    /// Opens the server transaction of a new request; `None`: the table is full.
    pub fn open_server(
        &mut self,
        request: &Message<'_>,
        key: ServerKey,
        answer_to: AnswerTo,
        user: User,
    ) -> Option<Handle> {
        let machine = match request.method() {
            Method::Invite => Machine::InviteServer(invite_server::State::Proceeding),
            _ => Machine::NonInviteServer(non_invite_server::State::Trying),
        };
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
                side: Side::Server { key, next: 0, status: 0 },
            })
            .ok()?;
        let linked = self.keys.push(key.request, handle.index);
        if let Some(Record { side: Side::Server { next, .. }, .. }) = self.records.get_mut(handle) {
            *next = linked;
        }
        Some(handle)
    }

    /// Sends a response and enters the state that it leads to; `false`: it was not sent, because it is too
    /// long for a datagram (a shorter one may follow) or because a final response has gone before.
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
        let sent = context.lend_outbox(|context, outbox| {
            outbox.send(listener, peer.into(), |out| write(context, out)).is_some()
        });
        if !sent {
            return false;
        }
        context.metrics.datagrams_sent += 1;
        let accepted = next == Some(Machine::InviteServer(invite_server::State::Accepted));
        // A 2xx to INVITE is the call's to repeat (RFC 6026 §7.1), and a plain response is written again
        // from the request: the transaction keeps nothing.
        let plain =
            matches!(self.records.get(handle), Some(Record { side: Side::Server { status: 1.., .. }, .. }));
        let kept = if accepted || plain { Some(Kept::NONE) } else { context.keep_last_sent() };
        self.keep(context, handle, kept);
        self.enter(context, handle, next);
        true
    }

    /// Sends a final response that its request and status alone determine: no body, no Contact, the To tag
    /// that the request came with. Repetitions are written anew.
    pub fn respond_plainly(
        &mut self,
        context: &mut Context,
        handle: Handle,
        final_status: Status,
        (request, source): (&Message<'_>, SocketAddr),
    ) -> bool {
        if let Some(Record { side: Side::Server { status, .. }, .. }) = self.records.get_mut(handle) {
            *status = final_status.code();
        }
        let sent = self.respond(context, handle, final_status, |_, out| {
            reply::write(out, request, source, (final_status, b""), b"", |_| {});
        });
        if !sent {
            // Too long for a datagram; nothing else would ever end the transaction.
            self.enter(context, handle, None);
        }
        sent
    }

    fn respond_again(
        &self,
        context: &mut Context,
        handle: Handle,
        request: &Message<'_>,
        source: SocketAddr,
    ) {
        let Some(record) = self.records.get(handle) else { return };
        let Side::Server { status, .. } = record.side else { return };
        match Status::new(status) {
            Some(status) => {
                context.send(record.listener, record.peer.into(), |out| {
                    reply::write(out, request, source, (status, b""), b"", |_| {});
                });
            }
            None => self.send_again(context, handle),
        }
    }

    fn find(&self, key: ServerKey) -> Option<Handle> {
        self.chain(key)
            .find(|(_, record)| matches!(record.side, Side::Server { key: other, .. } if other == key))
            .map(|(handle, _)| handle)
    }

    /// The server transactions of requests with the same Call-ID, From tag and CSeq number.
    fn chain(&self, key: ServerKey) -> impl Iterator<Item = (Handle, &Record)> {
        let mut at = self.keys.first(key.request);
        std::iter::from_fn(move || {
            while let Some(index) = at {
                let (handle, record) = self.records.at(index)?;
                let Side::Server { key: other, next, .. } = record.side else { return None };
                at = next.checked_sub(1);
                if other.request == key.request {
                    return Some((handle, record));
                }
            }
            None
        })
    }
}
