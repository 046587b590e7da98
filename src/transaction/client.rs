//! Client transactions: requests that we send, responses that come back.

use super::record::{Machine, Record, Side};
use super::table::lift;
use super::{Effect, Transactions, User, invite_client, non_invite_client};
use crate::context::Context;
use crate::ids::{Branch, Kind};
use crate::keep::Kept;
use crate::outbox::ListenerId;
use crate::sip::write::Writer;
use crate::sip::{HeaderName, Message, Method};
use crate::slab::Handle;
use crate::timer::TimerHandle;
use std::net::SocketAddr;

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerTo {
    pub listener: ListenerId,
    pub destination: SocketAddr,
}

/// A transaction that ended without a final response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    pub user: User,
    /// It was an INVITE.
    pub invite: bool,
}

/// What a response means to whoever sent the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A duplicate, or of no interest.
    Absorbed,
    /// No transaction of ours.
    Stray,
    /// A response to an INVITE; a non-2xx final one was acknowledged already.
    Invite { user: User, transaction: Handle },
    /// A 2xx that no transaction waits for: unless its dialog lives it needs an ACK and a BYE (RFC 3261
    /// §13.2.2.4). `answer_to` is where the INVITE went, while that is known.
    Orphan { answer_to: Option<AnswerTo> },
    /// The final response to another request.
    Final { user: User },
}

/// Why an INVITE was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSent {
    TableFull,
    TooLong,
}

impl Transactions {
    /// Sends an INVITE. `write` writes it and says where, from the message's start, its To line starts
    /// and ends; Via, Max-Forwards, Call-ID, Route and From stand before it (ACK and CANCEL copy them).
    ///
    /// # Errors
    /// [`NotSent`], with nothing sent.
    pub fn send_invite(
        &mut self,
        context: &mut Context,
        user: User,
        answer_to: AnswerTo,
        write: impl FnOnce(&Context, &mut Vec<u8>, &Branch) -> (u16, u16),
    ) -> Result<Handle, NotSent> {
        let mut to = (0, 0);
        let machine = Machine::InviteClient(invite_client::State::Calling);
        self.open(context, user, answer_to, machine, |context, out, branch| {
            to = write(context, out, branch);
        })
        .inspect(|&handle| self.set_to(handle, to))
    }

    /// Sends any other request but ACK and CANCEL. When no record can be had it is sent once all the same.
    pub fn send_request(
        &mut self,
        context: &mut Context,
        user: User,
        answer_to: AnswerTo,
        write: impl FnOnce(&Context, &mut Vec<u8>, &Branch),
    ) -> Result<Handle, NotSent> {
        let machine = Machine::NonInviteClient(non_invite_client::State::Trying);
        self.open(context, user, answer_to, machine, write)
    }

    /// Sends the CANCEL of an INVITE: same Request-URI, Via, Call-ID, From, To and CSeq number
    /// (RFC 3261 §9.1). The caller sees to it that a provisional response came first.
    pub fn send_cancel(&mut self, context: &mut Context, invite: Handle, cseq: u32) {
        let Some(record) = self.records.get_mut(invite) else { return };
        let Side::Client { to, .. } = record.side else { return };
        let answer_to = AnswerTo { listener: record.listener, destination: record.peer.into() };
        let kept = record.kept.take();
        let machine = Machine::NonInviteClient(non_invite_client::State::Trying);
        let opened = self.open(context, User::None, answer_to, machine, |context, out, _| {
            write_from_invite(out, context.keep.bytes(&kept), Method::Cancel, to.1);
            end_request(out, Method::Cancel, cseq);
        });
        if let Some(record) = self.records.get_mut(invite) {
            record.kept = kept;
            if let Side::Client { cancel, .. } = &mut record.side {
                *cancel = opened.ok();
            }
        }
    }

    /// Sends the ACK to a 2xx, and again whenever the 2xx comes again.
    pub fn send_ack(
        &mut self,
        context: &mut Context,
        invite: Handle,
        answer_to: AnswerTo,
        write: impl FnOnce(&Context, &mut Vec<u8>, &Branch),
    ) {
        let branch = context.mint.branch(Kind::Ack, invite);
        send_stateless_ack(context, &branch, answer_to, write);
        if let Some(record) = self.records.get_mut(invite) {
            record.listener = answer_to.listener;
            record.peer = answer_to.destination.into();
            let kept = context.keep_last_sent();
            self.keep(context, invite, kept);
        }
    }

    /// Forgets an INVITE whose final response never came after its CANCEL (RFC 3261 §9.1).
    pub fn abandon_unanswered(&mut self, context: &mut Context, invite: Handle) {
        use invite_client::State::{Calling, Proceeding};
        if let Some(Machine::InviteClient(Calling | Proceeding)) = self.records.get(invite).map(|r| r.machine)
        {
            self.enter(context, invite, None);
        }
    }

    /// Takes a response to its transaction.
    pub fn receive_response(&mut self, context: &mut Context, response: &Message<'_>) -> Verdict {
        let Some(handle) = response.top_via().and_then(|via| context.mint.read_branch(via.branch)) else {
            return Verdict::Stray;
        };
        let handle = match (response.method(), self.records.get(handle)) {
            (Method::Cancel, Some(Record { side: Side::Client { cancel: Some(cancel), .. }, .. })) => *cancel,
            _ => handle,
        };
        let answered = response.status().is_some_and(|status| status.is_success());
        match self.records.get(handle).map(|record| record.machine) {
            // Its proof shows that the INVITE was ours, though nothing is left of it.
            None if answered && response.method() == Method::Invite => Verdict::Orphan { answer_to: None },
            Some(Machine::InviteClient(state)) if response.method() == Method::Invite => {
                self.invite_response(context, handle, state, response)
            }
            Some(Machine::NonInviteClient(state)) if response.method() != Method::Invite => {
                self.other_response(context, handle, state, response)
            }
            _ => Verdict::Stray,
        }
    }

    fn invite_response(
        &mut self,
        context: &mut Context,
        handle: Handle,
        state: invite_client::State,
        response: &Message<'_>,
    ) -> Verdict {
        let event = match response.status() {
            Some(status) if status.is_provisional() => invite_client::Event::Provisional,
            Some(status) if status.is_success() => invite_client::Event::Success,
            _ => invite_client::Event::Failure,
        };
        let (next, effect) = lift(invite_client::step(state, event), Machine::InviteClient);
        match effect {
            Effect::AcknowledgeAndReport => self.acknowledge_failure(context, handle, response),
            Effect::SendAgain => {
                self.send_again(context, handle);
                context.metrics.response_retransmissions += 1;
            }
            Effect::Late => context.metrics.response_retransmissions += 1,
            _ => {}
        }
        // Timer M runs from the first 2xx, Timer D from the first failure: duplicates do not restart them.
        if next != Some(Machine::InviteClient(state)) {
            self.enter(context, handle, next);
        }
        match (effect, event) {
            (Effect::Report, invite_client::Event::Success) => self.success(context, handle, state, response),
            (Effect::Report | Effect::AcknowledgeAndReport, _) => {
                let user = self.records.get(handle).map_or(User::None, |record| record.user);
                Verdict::Invite { user, transaction: handle }
            }
            _ => Verdict::Absorbed,
        }
    }

    /// Tells the 2xx that is the first from its repetitions, which get the ACK again, and from other
    /// branches' answers behind a forking proxy.
    fn success(
        &mut self,
        context: &mut Context,
        handle: Handle,
        before: invite_client::State,
        response: &Message<'_>,
    ) -> Verdict {
        let tag = (context.mint.hash(&[response.to_tag()]) as u32).max(1);
        let Some(record) = self.records.get_mut(handle) else { return Verdict::Stray };
        let answer_to = AnswerTo { listener: record.listener, destination: record.peer.into() };
        let Side::Client { winner, .. } = &mut record.side else { return Verdict::Stray };
        match before {
            invite_client::State::Calling | invite_client::State::Proceeding => {
                *winner = tag;
                // The INVITE is not needed any more; from now on an ACK is what may be repeated.
                let invite = record.kept.take();
                context.keep.release(invite);
                Verdict::Invite { user: record.user, transaction: handle }
            }
            invite_client::State::Accepted if *winner == tag => {
                context.metrics.response_retransmissions += 1;
                self.send_again(context, handle);
                Verdict::Absorbed
            }
            _ => Verdict::Orphan { answer_to: Some(answer_to) },
        }
    }

    fn other_response(
        &mut self,
        context: &mut Context,
        handle: Handle,
        state: non_invite_client::State,
        response: &Message<'_>,
    ) -> Verdict {
        let is_final = response.status().is_some_and(|status| status.is_final());
        let event =
            if is_final { non_invite_client::Event::Final } else { non_invite_client::Event::Provisional };
        let (next, effect) = lift(non_invite_client::step(state, event), Machine::NonInviteClient);
        if effect == Effect::Late {
            context.metrics.response_retransmissions += 1;
        }
        if is_final && next != Some(Machine::NonInviteClient(state)) {
            self.enter(context, handle, next);
        }
        let Some(record) = self.records.get_mut(handle) else { return Verdict::Stray };
        if let (false, Some(next)) = (is_final, next) {
            // Timers E and F run on in Proceeding: E is T2 from its next firing on (RFC 3261 §17.1.2.2).
            record.machine = next;
        }
        if is_final {
            let request = record.kept.take();
            context.keep.release(request);
        }
        if effect == Effect::Report { Verdict::Final { user: record.user } } else { Verdict::Absorbed }
    }

    /// ACK for a non-2xx final response: the INVITE's own branch, Request-URI and Route, the response's
    /// To (RFC 3261 §17.1.1.3).
    fn acknowledge_failure(&mut self, context: &mut Context, handle: Handle, response: &Message<'_>) {
        let Some(record) = self.records.get(handle) else { return };
        let Side::Client { to, .. } = record.side else { return };
        let (listener, peer) = (record.listener, record.peer);
        let keep = &context.keep;
        context.outbox.send(listener, peer.into(), |out| {
            write_from_invite(out, keep.bytes(&record.kept), Method::Ack, to.0);
            let mut writer = Writer::new(out);
            writer.header(HeaderName::To, response.header(HeaderName::To).unwrap_or_default());
            end_request(out, Method::Ack, response.cseq().map_or(0, |cseq| cseq.number));
        });
        context.metrics.datagrams_sent += 1;
        let kept = context.keep_last_sent();
        self.keep(context, handle, kept);
    }

    fn open(
        &mut self,
        context: &mut Context,
        user: User,
        answer_to: AnswerTo,
        machine: Machine,
        write: impl FnOnce(&Context, &mut Vec<u8>, &Branch),
    ) -> Result<Handle, NotSent> {
        let handle = self.records.next_handle();
        let branch = match handle {
            Some(handle) => context.mint.branch(Kind::Transaction, handle),
            None if matches!(machine, Machine::InviteClient(_)) => return Err(NotSent::TableFull),
            // Sent once without a record: a branch that names nothing, from a random number.
            None => {
                let random = context.mint.random();
                let nobody = Handle { index: u32::MAX, generation: random as u32 };
                context.mint.branch(Kind::Ack, nobody)
            }
        };
        let mut outbox = std::mem::take(&mut context.outbox);
        let sent = outbox.send(answer_to.listener, answer_to.destination, |out| write(context, out, &branch));
        let sent = sent.is_some();
        context.outbox = outbox;
        if !sent {
            return Err(NotSent::TooLong);
        }
        let kept = context.keep_last_sent();
        if kept.is_none() && matches!(machine, Machine::InviteClient(_)) {
            // Its CANCEL and its ACK are made of what is kept: without that it must not leave.
            context.outbox.take_back();
            return Err(NotSent::TableFull);
        }
        context.metrics.datagrams_sent += 1;
        context.metrics.transactions_not_kept += u64::from(kept.is_none() || handle.is_none());
        let record = Record {
            machine,
            listener: answer_to.listener,
            attempt: 0,
            peer: answer_to.destination.into(),
            user,
            timer: TimerHandle::NONE,
            kept: kept.unwrap_or(Kept::NONE),
            give_up: context.now.after_ms(self.timers.t1x64_ms()),
            side: Side::Client { cancel: None, winner: 0, to: (0, 0) },
        };
        match self.records.insert(record) {
            Ok(handle) => {
                self.enter(context, handle, Some(machine));
                Ok(handle)
            }
            Err(record) => {
                context.keep.release(record.kept);
                Err(NotSent::TableFull)
            }
        }
    }

    fn set_to(&mut self, handle: Handle, place: (u16, u16)) {
        if let Some(record) = self.records.get_mut(handle)
            && let Side::Client { to, .. } = &mut record.side
        {
            *to = place;
        }
    }
}

/// Sends the ACK to a 2xx without keeping it.
pub fn send_stateless_ack(
    context: &mut Context,
    branch: &Branch,
    answer_to: AnswerTo,
    write: impl FnOnce(&Context, &mut Vec<u8>, &Branch),
) {
    let mut outbox = std::mem::take(&mut context.outbox);
    outbox.send(answer_to.listener, answer_to.destination, |out| write(context, out, branch));
    context.outbox = outbox;
    context.metrics.datagrams_sent += 1;
}

/// The start of an ACK or CANCEL: the INVITE up to `end` with another method.
fn write_from_invite(out: &mut Vec<u8>, invite: &[u8], method: Method, end: u16) {
    let copied = invite.get(Method::Invite.name().len()..usize::from(end)).unwrap_or_default();
    out.extend_from_slice(method.name().as_bytes());
    out.extend_from_slice(copied);
}

fn end_request(out: &mut Vec<u8>, method: Method, cseq: u32) {
    let mut writer = Writer::new(out);
    writer.name(HeaderName::CSeq).number(u64::from(cseq)).raw(b" ").raw(method.name().as_bytes());
    writer.end_line();
    writer.body(b"");
}
