//! The table of transactions: records, their index, their timers.

use super::index::Buckets;
use super::record::{Machine, Record, Side};
use super::{Effect, Report, Step, invite_client, invite_server, non_invite_client, non_invite_server};
use crate::clock::{Deadline, Now};
use crate::context::{Context, Due};
use crate::keep::Kept;
use crate::settings::{Settings, Timers};
use crate::slab::{Handle, Slab};

/// Who is told of a transaction's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// Nobody: the outcome changes nothing.
    None,
    /// A call, for what happens on the caller's side.
    Call(Handle),
    /// A callee's leg.
    Leg(Handle),
    /// A request that is passed on from one side of a call to the other.
    Relay(Handle),
}

/// What a client transaction's request was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    Invite,
    Cancel,
    Bye,
    /// An UPDATE that refreshes a session timer.
    Refresh,
    /// The acknowledgement of a reliable provisional response.
    Prack,
    /// A request of the other side's.
    Relayed,
    /// A MESSAGE of ours: whatever it gets, nothing follows.
    Message,
}

/// All transactions of a shard, lingering ones included.
#[derive(Debug)]
pub struct Transactions {
    pub(super) records: Slab<Record>,
    pub(super) keys: Buckets,
    pub(super) timers: Timers,
    pub(super) unconfirmed: usize,
    capacity: u32,
}

impl Transactions {
    /// A table for one shard's part of `settings.max_transactions`.
    #[must_use]
    pub fn new(settings: &Settings, shards: u16) -> Transactions {
        let capacity = (settings.max_transactions / u32::from(shards.max(1))).max(64);
        Transactions {
            records: Slab::new(capacity),
            keys: Buckets::new(capacity),
            timers: settings.timers,
            unconfirmed: 0,
            capacity,
        }
    }

    /// Whether a new call may begin: the last eighth of the table is kept for calls that live.
    #[must_use]
    pub fn has_room_for_call(&self) -> bool {
        (self.records.len() as u32) < self.capacity - self.capacity / 8
    }

    /// Whether so many more transactions fit.
    #[must_use]
    pub fn has_room_for(&self, more: u32) -> bool {
        self.records.len() as u32 + more <= self.capacity
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Transactions whose peer has yet to confirm what we sent: an INVITE refused and not acknowledged, a
    /// BYE or CANCEL not answered. All others only wait for the network to forget.
    #[must_use]
    pub fn unconfirmed(&self) -> usize {
        self.unconfirmed
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// A transaction's timer is due.
    pub fn handle_timer(&mut self, context: &mut Context, handle: Handle) -> Option<Report> {
        let record = self.records.get(handle)?;
        let machine = record.machine;
        let given_up = record.give_up.is_due(context.now);
        let (next, effect) = timer_step(machine, given_up);
        let user = record.user;
        let exchange = match record.side {
            Side::Client { exchange, .. } => Some(exchange),
            Side::Server { .. } => None,
        };
        if effect == Effect::SendAgain {
            self.send_again(context, handle);
            context.metrics.retransmissions_sent += 1;
            if let Some(record) = self.records.get_mut(handle) {
                record.attempt = record.attempt.saturating_add(1);
            }
        }
        self.enter(context, handle, next);
        match effect {
            Effect::ReportTimeout => {
                context.metrics.transactions_timed_out += 1;
                exchange.map(|exchange| Report { user, exchange })
            }
            Effect::Impossible => {
                context.metrics.impossible_events += 1;
                None
            }
            _ => None,
        }
    }

    /// Enters the next state and arms its timer, or ends the transaction.
    pub(super) fn enter(&mut self, context: &mut Context, handle: Handle, next: Option<Machine>) {
        let Some(next) = next else { return self.end(context, handle) };
        let timers = self.timers;
        let Some(record) = self.records.get_mut(handle) else { return };
        if record.machine != next {
            self.unconfirmed += usize::from(next.is_unconfirmed());
            self.unconfirmed -= usize::from(record.machine.is_unconfirmed());
            record.attempt = 0;
            // Timer H starts here; Timers B and F started with the request and run on.
            if next == Machine::InviteServer(invite_server::State::Completed) {
                record.give_up = context.now.after_ms(timers.t1x64_ms());
            }
        }
        record.machine = next;
        match deadline(next, record.attempt, timers, context.now, record.give_up) {
            Some(deadline) => context.arm(&mut record.timer, deadline, Due::Transaction(handle)),
            None => context.disarm(&mut record.timer),
        }
    }

    /// Sends again what the record keeps.
    pub(super) fn send_again(&self, context: &mut Context, handle: Handle) {
        if let Some(record) = self.records.get(handle)
            && record.kept.is_some()
        {
            context.send_kept(record.listener, record.peer.into(), &record.kept);
        }
    }

    /// Replaces what the record keeps.
    pub(super) fn keep(&mut self, context: &mut Context, handle: Handle, kept: Option<Kept>) {
        context.metrics.transactions_not_kept += u64::from(kept.is_none());
        match self.records.get_mut(handle) {
            Some(record) => {
                let old = std::mem::replace(&mut record.kept, kept.unwrap_or(Kept::NONE));
                context.keep.release(old);
            }
            None => context.keep.release(kept.unwrap_or(Kept::NONE)),
        }
    }

    fn end(&mut self, context: &mut Context, handle: Handle) {
        self.unlink(handle);
        if let Some(mut record) = self.records.remove(handle) {
            self.unconfirmed -= usize::from(record.machine.is_unconfirmed());
            context.disarm(&mut record.timer);
            context.keep.release(record.kept);
        }
    }

    /// Takes a server transaction out of its chain.
    fn unlink(&mut self, handle: Handle) {
        let Some(Record { side: Side::Server { key, next, .. }, .. }) = self.records.get(handle) else {
            return;
        };
        let (named, after) = (handle.index + 1, *next);
        let head = self.keys.head_mut(key.request);
        if *head == named {
            *head = after;
            return;
        }
        let mut at = *head;
        while let Some(previous) = at.checked_sub(1).and_then(|index| self.records.at(index)) {
            let previous = previous.0;
            let Some(Record { side: Side::Server { next, .. }, .. }) = self.records.get_mut(previous) else {
                return;
            };
            if *next == named {
                *next = after;
                return;
            }
            at = *next;
        }
    }
}

/// When a state's next timer is due: retransmission or end, whichever comes first.
fn deadline(machine: Machine, attempt: u8, timers: Timers, now: Now, give_up: Deadline) -> Option<Deadline> {
    use {invite_client as ic, invite_server as is, non_invite_client as nc, non_invite_server as ns};
    let doubled = timers.t1_ms.saturating_mul(1 << attempt.min(16));
    let repeat = |interval_ms| Some(now.after_ms(interval_ms).min(give_up));
    match machine {
        // Timer A doubles without a cap (RFC 3261 §17.1.1.2); Timers E and G are capped at T2.
        Machine::InviteClient(ic::State::Calling) => repeat(doubled),
        Machine::InviteServer(is::State::Completed) | Machine::NonInviteClient(nc::State::Trying) => {
            repeat(doubled.min(timers.t2_ms))
        }
        Machine::NonInviteClient(nc::State::Proceeding) => repeat(timers.t2_ms),
        Machine::InviteClient(ic::State::Proceeding)
        | Machine::InviteServer(is::State::Proceeding)
        | Machine::NonInviteServer(ns::State::Trying) => None,
        Machine::InviteClient(ic::State::Completed | ic::State::Accepted)
        | Machine::InviteServer(is::State::Accepted)
        | Machine::NonInviteServer(ns::State::Completed) => Some(now.after_ms(timers.t1x64_ms())),
        Machine::InviteServer(is::State::Confirmed) | Machine::NonInviteClient(nc::State::Completed) => {
            Some(now.after_ms(timers.t4_ms))
        }
    }
}

/// Which timer event it is that is due, and its step.
fn timer_step(machine: Machine, given_up: bool) -> (Option<Machine>, Effect) {
    use {invite_client as ic, invite_server as is, non_invite_client as nc, non_invite_server as ns};
    match machine {
        Machine::InviteClient(state) => {
            let event = match state {
                ic::State::Completed => ic::Event::TimerD,
                ic::State::Accepted => ic::Event::TimerM,
                ic::State::Calling | ic::State::Proceeding if given_up => ic::Event::TimerB,
                ic::State::Calling | ic::State::Proceeding => ic::Event::TimerA,
            };
            lift(ic::step(state, event), Machine::InviteClient)
        }
        Machine::InviteServer(state) => {
            let event = match state {
                is::State::Confirmed => is::Event::TimerI,
                is::State::Accepted => is::Event::TimerL,
                is::State::Proceeding | is::State::Completed if given_up => is::Event::TimerH,
                is::State::Proceeding | is::State::Completed => is::Event::TimerG,
            };
            lift(is::step(state, event), Machine::InviteServer)
        }
        Machine::NonInviteClient(state) => {
            let event = match state {
                nc::State::Completed => nc::Event::TimerK,
                nc::State::Trying | nc::State::Proceeding if given_up => nc::Event::TimerF,
                nc::State::Trying | nc::State::Proceeding => nc::Event::TimerE,
            };
            lift(nc::step(state, event), Machine::NonInviteClient)
        }
        Machine::NonInviteServer(state) => lift(ns::step(state, ns::Event::TimerJ), Machine::NonInviteServer),
    }
}

/// A machine's step as a step of the record.
pub(super) fn lift<S>(step: Step<S>, machine: impl Fn(S) -> Machine) -> (Option<Machine>, Effect) {
    (step.next.map(machine), step.effect)
}
