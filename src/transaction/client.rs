//! Client transactions: requests that we send, responses that come back.

use super::record::{Machine, Record, Side};
use super::table::lift;
use super::{Effect, Exchange, Transactions, User};
use super::{invite_client, invite_server, non_invite_client, non_invite_server};
use crate::context::Context;
use crate::ids::{Branch, Kind};
use crate::keep::Kept;
use crate::outbox::ListenerId;
use crate::sip::write::Writer;
use crate::sip::{HeaderName, Message, Method};
use crate::slab::Handle;
use crate::timer::TimerHandle;
use std::net::SocketAddr;

/// Max-Forwards of requests that begin with us (RFC 3261 §8.1.1.6).
pub const MAX_FORWARDS: u64 = 70;

/// Where a message goes, and by which listener's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerTo {
    pub listener: ListenerId,
    pub destination: SocketAddr,
}

/// A transaction that ended without a final response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    pub user: User,
    pub exchange: Exchange,
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
    /// The 2xx to an INVITE came again after its ACK, which is to be sent again.
    AnswerAgain { transaction: Handle, answer_to: AnswerTo },
    /// A 2xx that no transaction waits for: unless its dialog lives it needs an ACK and a BYE (RFC 3261
    /// §13.2.2.4). `known`: the INVITE is remembered and the response fits it, so its Contact can be trusted.
    /// `followed`: how many requests of ours may have gone before in its early dialog.
    Orphan { transaction: Handle, known: bool, followed: u8 },
    /// The final response to another request.
    Final { user: User, exchange: Exchange },
}

/// Why a request was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSent {
    TableFull,
    TooLong,
}

impl Transactions {
    /// Sends an INVITE. `write` writes it and says where, from the message's start, its To line ends; Via,
    /// Max-Forwards, Call-ID, Route and From stand before it (its CANCEL copies them).
    ///
    /// # Errors
    /// [`NotSent`], with nothing sent.
    pub fn send_invite(
        &mut self,
        context: &mut Context,
        user: User,
        to: (AnswerTo, u32),
        write: impl FnOnce(&Context, &mut Vec<u8>, &Branch) -> u16,
    ) -> Result<Handle, NotSent> {
        let mut end = 0;
        let handle = self.open(context, (user, Exchange::Invite), to, |context, out, branch| {
            end = write(context, out, branch);
        })?;
        if let Some(Record { side: Side::Client { to_end, .. }, .. }) = self.records.get_mut(handle) {
            *to_end = end;
        }
        Ok(handle)
    }

    /// Sends any other request but ACK and CANCEL, with this CSeq number. When no record can be had it is
    /// sent once all the same.
    ///
    /// # Errors
    /// [`NotSent`]: nobody will be told what becomes of it.
    pub fn send_request(
        &mut self,
        context: &mut Context,
        user: (User, Exchange),
        to: (AnswerTo, u32),
        write: impl FnOnce(&Context, &mut Vec<u8>, &Branch),
    ) -> Result<Handle, NotSent> {
        self.open(context, user, to, write)
    }

    /// Sends the CANCEL of an INVITE: same Request-URI, Via, Call-ID, From, To and CSeq number
    /// (RFC 3261 §9.1), and the lines of `reason` (RFC 3326). The user sees to it that a provisional response
    /// came first.
    pub fn send_cancel(&mut self, context: &mut Context, invite: Handle, reason: &Kept) {
        let Some(record) = self.records.get_mut(invite) else { return };
        let Side::Client { to_end, cseq, .. } = record.side else { return };
        if record.machine == Machine::InviteClient(invite_client::State::Accepted) {
            // Its answer waits for a media engine: there is nothing to cancel any more.
            return;
        }
        let answer_to = AnswerTo { listener: record.listener, destination: record.peer.into() };
        let kept = record.kept.take();
        let user = (User::None, Exchange::Cancel);
        let opened = self.open(context, user, (answer_to, cseq), |context, out, _| {
            let copied = Method::Invite.name().len()..usize::from(to_end);
            out.extend_from_slice(Method::Cancel.name().as_bytes());
            out.extend_from_slice(context.keep.bytes(&kept).get(copied).unwrap_or_default());
            write_cseq(out, Method::Cancel, cseq);
            Writer::new(out).raw(context.keep.bytes(reason)).body(b"");
        });
        match self.records.get_mut(invite) {
            Some(record) => {
                record.kept = kept;
                if let Side::Client { cancel, .. } = &mut record.side {
                    *cancel = opened.ok();
                }
            }
            None => context.keep.release(kept),
        }
    }

    /// Sends the ACK to a 2xx. When the 2xx comes again, an ACK with a body is sent again from here; for one
    /// without, [`Verdict::AnswerAgain`] asks to write it again, which is cheaper than keeping it.
    pub fn send_ack(
        &mut self,
        context: &mut Context,
        invite: Handle,
        (answer_to, has_body): (AnswerTo, bool),
        write: impl FnOnce(&Context, &mut Vec<u8>, &Branch),
    ) {
        let branch = context.mint.branch(Kind::Ack, invite);
        let sent = send_once(context, &branch, answer_to, write);
        let Some(record) = self.records.get_mut(invite) else { return };
        record.listener = answer_to.listener;
        record.peer = answer_to.destination.into();
        if let Side::Client { acknowledged, .. } = &mut record.side {
            *acknowledged = true;
        }
        if has_body && sent {
            let kept = context.keep_last_sent();
            self.keep(context, invite, kept);
        }
    }

    /// The user of an INVITE goes; so many requests of its have followed the INVITE in its dialogs.
    pub fn leave(&mut self, invite: Handle, requests: u8) {
        if let Some(Record { side: Side::Client { followed, .. }, .. }) = self.records.get_mut(invite) {
            *followed = requests;
        }
    }

    /// Forgets a transaction that waits for a final response which never comes: an INVITE's after its CANCEL
    /// (RFC 3261 §9.1), or ours to a request that nobody answered (RFC 4320 §4).
    pub fn abandon_unanswered(&mut self, context: &mut Context, transaction: Handle) {
        use invite_client::State::{Calling, Proceeding};
        let waits = self.records.get(transaction).is_some_and(|record| {
            matches!(
                record.machine,
                Machine::InviteClient(Calling | Proceeding)
                    | Machine::InviteServer(invite_server::State::Proceeding)
                    | Machine::NonInviteServer(non_invite_server::State::Trying)
            )
        });
        if waits {
            self.enter(context, transaction, None);
        }
    }

    /// Takes a response to its transaction.
    pub fn receive_response(&mut self, context: &mut Context, response: &Message<'_>) -> Verdict {
        let branch = response.top_via().and_then(|via| context.mint.read_branch(via.branch));
        // One with a second Via was meant for somebody behind us: there is nobody (RFC 3261 §8.1.3.3).
        let Some(handle) = branch.filter(|_| response.has_one_via()) else { return Verdict::Stray };
        let handle = match (response.method(), self.records.get(handle)) {
            (Method::Cancel, Some(Record { side: Side::Client { cancel: Some(cancel), .. }, .. })) => *cancel,
            _ => handle,
        };
        let Some(record) = self.records.get(handle) else {
            // Its proof shows that the INVITE was ours, though nothing is left of it.
            let answered = response.status().is_some_and(|status| status.is_success());
            let orphan = answered && response.method() == Method::Invite && self.was_last_in_slot(handle);
            return if orphan {
                Verdict::Orphan { transaction: handle, known: false, followed: 0 }
            } else {
                Verdict::Stray
            };
        };
        if !is_of_request(context, record, response) {
            return Verdict::Stray;
        }
        match record.machine {
            Machine::InviteClient(state) if response.method() == Method::Invite => {
                self.invite_response(context, handle, state, response)
            }
            Machine::NonInviteClient(state) if response.method() != Method::Invite => {
                self.other_response(context, handle, state, response)
            }
            _ => Verdict::Stray,
        }
    }

    /// Whether the transaction is the one that used its slot last, so that a 2xx of long ago cannot be
    /// replayed at will.
    fn was_last_in_slot(&self, handle: Handle) -> bool {
        self.records.free_generation(handle.index) == Some(handle.generation.wrapping_add(1))
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
                self.acknowledge_failure(context, handle, response);
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
        let Side::Client { winner, acknowledged, followed, .. } = &mut record.side else {
            return Verdict::Stray;
        };
        match before {
            invite_client::State::Calling | invite_client::State::Proceeding => {
                *winner = tag;
                // The INVITE is not needed any more.
                let invite = record.kept.take();
                context.keep.release(invite);
                Verdict::Invite { user: record.user, transaction: handle }
            }
            invite_client::State::Accepted if *winner == tag => {
                context.metrics.response_retransmissions += 1;
                if *acknowledged && !record.kept.is_some() {
                    return Verdict::AnswerAgain { transaction: handle, answer_to };
                }
                self.send_again(context, handle);
                Verdict::Absorbed
            }
            _ => Verdict::Orphan { transaction: handle, known: true, followed: *followed },
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
        match (effect, &record.side) {
            (Effect::Report, &Side::Client { exchange, .. }) => {
                Verdict::Final { user: record.user, exchange }
            }
            _ => Verdict::Absorbed,
        }
    }

    /// ACK for a non-2xx final response: the INVITE's own branch, Request-URI and Route, the response's To
    /// (RFC 3261 §17.1.1.3). Of the INVITE only the Request-URI and Route are kept from now on.
    fn acknowledge_failure(&mut self, context: &mut Context, handle: Handle, response: &Message<'_>) {
        let Some(record) = self.records.get_mut(handle) else { return };
        let Side::Client { cseq, .. } = record.side else { return };
        let answer_to = AnswerTo { listener: record.listener, destination: record.peer.into() };
        let kept = record.kept.take();
        let branch = context.mint.branch(Kind::Transaction, handle);
        send_once(context, &branch, answer_to, |context, out, branch| {
            let mut writer = Writer::new(out);
            writer.request_line(Method::Ack, request_uri(context.keep.bytes(&kept)));
            write_via(&mut writer, context.sent_by(answer_to.listener), branch);
            writer.name(HeaderName::MaxForwards).number(MAX_FORWARDS).end_line();
            writer.raw(route_line(context.keep.bytes(&kept)));
            for name in [HeaderName::CallId, HeaderName::From, HeaderName::To] {
                writer.header(name, response.header(name).unwrap_or_default());
            }
            write_cseq(out, Method::Ack, cseq);
            Writer::new(out).body(b"");
        });
        let mut scratch = std::mem::take(&mut context.scratch);
        scratch.clear();
        let invite = context.keep.bytes(&kept);
        scratch.extend_from_slice(request_uri(invite));
        let route = route_line(invite);
        if !route.is_empty() {
            scratch.push(b'\n');
            scratch.extend_from_slice(route);
        }
        context.keep.release(kept);
        let uri = context.keep.keep(&scratch);
        context.scratch = scratch;
        self.keep(context, handle, uri);
    }

    fn open(
        &mut self,
        context: &mut Context,
        (user, exchange): (User, Exchange),
        (answer_to, cseq): (AnswerTo, u32),
        write: impl FnOnce(&Context, &mut Vec<u8>, &Branch),
    ) -> Result<Handle, NotSent> {
        let invite = exchange == Exchange::Invite;
        let handle = self.records.next_handle();
        let branch = match handle {
            Some(handle) => context.mint.branch(Kind::Transaction, handle),
            None if invite => return Err(NotSent::TableFull),
            None => context.mint.branch_of_nobody(),
        };
        if !send_once(context, &branch, answer_to, write) {
            return Err(NotSent::TooLong);
        }
        let kept = context.keep_last_sent();
        if invite && kept.is_none() {
            context.outbox.take_back();
            context.metrics.datagrams_sent -= 1;
            return Err(NotSent::TableFull);
        }
        context.metrics.transactions_not_kept += u64::from(kept.is_none() || handle.is_none());
        let machine = match exchange {
            Exchange::Invite => Machine::InviteClient(invite_client::State::Calling),
            _ => Machine::NonInviteClient(non_invite_client::State::Trying),
        };
        let (winner, to_end, acknowledged, followed) = (0, 0, false, 0);
        let inserted = self.records.insert(Record {
            machine,
            listener: answer_to.listener,
            attempt: 0,
            peer: answer_to.destination.into(),
            user,
            timer: TimerHandle::NONE,
            kept: kept.unwrap_or(Kept::NONE),
            give_up: context.now.after_ms(self.timers.t1x64_ms()),
            side: Side::Client { exchange, cancel: None, winner, cseq, to_end, acknowledged, followed },
        });
        match inserted {
            Ok(handle) => {
                self.unconfirmed += usize::from(machine.is_unconfirmed());
                self.enter(context, handle, Some(machine));
                Ok(handle)
            }
            Err(record) => {
                context.keep.release(record.kept);
                Err(NotSent::TableFull)
            }
        }
    }
}

/// Sends a message without a record of it; `false`: it is too long for a datagram.
pub fn send_once(
    context: &mut Context,
    branch: &Branch,
    answer_to: AnswerTo,
    write: impl FnOnce(&Context, &mut Vec<u8>, &Branch),
) -> bool {
    let sent = context.lend_outbox(|context, outbox| {
        outbox.send(answer_to.listener, answer_to.destination, |out| write(context, out, branch)).is_some()
    });
    context.metrics.datagrams_sent += u64::from(sent);
    sent
}

/// Our own Via line.
pub fn write_via(writer: &mut Writer<'_>, sent_by: &str, branch: &Branch) {
    writer.name(HeaderName::Via).raw(b"SIP/2.0/UDP ").raw(sent_by.as_bytes()).raw(b";branch=").raw(branch);
    writer.end_line();
}

/// Whether a response repeats what its request said: the CSeq number, and our tag in From. The branch alone
/// may have been overheard.
fn is_of_request(context: &Context, record: &Record, response: &Message<'_>) -> bool {
    let Side::Client { cseq, .. } = record.side else { return false };
    let from_fits = match record.user {
        // A relayed request's tag is that of its dialog, which the call knows.
        User::None | User::Relay(_) => true,
        User::Call(handle) => response.from_tag() == context.mint.tag(Kind::Call, handle),
        User::Leg(handle) => response.from_tag() == context.mint.tag(Kind::Leg, handle),
    };
    from_fits && response.cseq().is_some_and(|other| other.number == cseq)
}

/// The Request-URI of a kept INVITE, or of what is left of one: its Request-URI alone.
fn request_uri(kept: &[u8]) -> &[u8] {
    match kept.strip_prefix(b"INVITE ") {
        Some(invite) => invite.split(|&byte| byte == b' ').next().unwrap_or_default(),
        None => kept.split(|&byte| byte == b'\n').next().unwrap_or_default(),
    }
}

/// The Route line of an INVITE of ours, which stands before Call-ID, or of what is kept of one; empty: none.
fn route_line(kept: &[u8]) -> &[u8] {
    let mut lines = kept.split_inclusive(|&byte| byte == b'\n').skip(1);
    let mut head = lines.by_ref().take_while(|line| !line.starts_with(b"Call-ID:"));
    head.find(|line| line.starts_with(b"Route:")).unwrap_or_default()
}

fn write_cseq(out: &mut Vec<u8>, method: Method, cseq: u32) {
    let mut writer = Writer::new(out);
    writer.name(HeaderName::CSeq).number(u64::from(cseq)).raw(b" ").raw(method.name().as_bytes());
    writer.end_line();
}
