//! Registration (RFC 3261 §10): which contacts a number is bound to, and the REGISTERs that change it.
//!
//! The rules are pure: [`apply`] says what a change makes of a number's bindings. The store's keeper calls it
//! for every change in turn, so that no two of them cross. A shard's [`Registrar`] reads REGISTERs, asks the
//! keeper by letter, and answers when the mail comes.

mod answer;
mod binding;
mod contact;
mod refused;
mod request;

#[cfg(test)]
mod tests;

pub use binding::{Change, Contacts, Limits, Refusal, apply, is_same};

use crate::auth::Caller;
use crate::context::Due;
use crate::directory::Entry;
use crate::keep::Kept;
use crate::limits;
use crate::mail::Letter;
use crate::settings::Settings;
use crate::signalling::{Request, Signalling};
use crate::sip::Status;
use crate::slab::{Handle, Slab};
use crate::timer::TimerHandle;
use crate::transaction::{ServerKey, User};
use refused::Refused;
use std::sync::Arc;

/// A shard's REGISTERs.
#[derive(Debug)]
pub struct Registrar {
    pending: Slab<Pending>,
}

/// A REGISTER that waits for the store.
#[derive(Debug)]
struct Pending {
    transaction: Handle,
    number: Box<str>,
    /// Its sender proved who it is.
    is_authenticated: bool,
    /// What every response to it starts with, and behind that the header fields that a 200 has besides.
    head: Kept,
    head_bytes: usize,
    timer: TimerHandle,
}

impl Registrar {
    /// A table for one shard's part of `settings.registration.pending_max`.
    #[must_use]
    pub fn new(settings: &Settings, shards: u16) -> Registrar {
        Registrar { pending: Slab::new(limits::registrations_pending_max(settings, shards)) }
    }

    /// REGISTERs that wait for the store.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Handles a new REGISTER of `caller`'s. What asks for nothing or is refused gets its answer at once and
    /// needs no transaction; all else waits for the store.
    pub fn handle_request(
        &mut self,
        on: &mut Signalling,
        request: &Request<'_>,
        key: ServerKey,
        caller: Caller<'_>,
    ) {
        if let Err(refused) = self.take(on, request, key, caller) {
            answer::refuse(on, request, refused);
        }
    }

    /// What came of a change; nobody waits for it where the REGISTER was given up.
    pub fn handle_mail(&mut self, on: &mut Signalling, ticket: Handle, outcome: Result<(), Refusal>) {
        match self.pending.remove(ticket) {
            None => on.context.metrics.late_mail += 1,
            Some(pending) => answer::respond(on, pending, outcome),
        }
    }

    /// The store has not said in time what came of a change. It may still make it: the phone comes again.
    pub fn handle_timer(&mut self, on: &mut Signalling, ticket: Handle) {
        match self.pending.remove(ticket) {
            None => on.context.metrics.impossible_events += 1,
            Some(pending) => answer::respond(on, pending, Err(Refusal::Unavailable)),
        }
    }

    fn take(
        &mut self,
        on: &mut Signalling,
        request: &Request<'_>,
        key: ServerKey,
        caller: Caller<'_>,
    ) -> Result<(), Refused> {
        let mut room = [0; limits::NUMBER_BYTES_MAX];
        let number = request::address_of_record(&request.message, &mut room)?;
        let is_authenticated = match caller {
            Caller::Subscriber(own) if own != number => return Err(Status::FORBIDDEN.into()),
            Caller::Subscriber(_) => true,
            Caller::Trusted | Caller::Unchecked => false,
        };
        let directory = Arc::clone(&on.context.directory);
        let view = directory.read();
        let entry = view.get(number).ok_or(answer::no_subscriber(is_authenticated))?;
        let settings = Arc::clone(&on.context.settings);
        match request::change(&settings, request, on.context.unix())? {
            None => answer::fetch(on, request, entry),
            Some(change) => self.ask(on, (request, key), (entry, is_authenticated), change)?,
        }
        Ok(())
    }

    /// Asks the keeper for a change; its mail will end what begins here.
    fn ask(
        &mut self,
        on: &mut Signalling,
        (request, key): (&Request<'_>, ServerKey),
        (entry, is_authenticated): (&Entry, bool),
        change: Change,
    ) -> Result<(), Refused> {
        let ticket = self.pending.next_handle().filter(|_| on.transactions.has_room_for_call());
        let (Some(ticket), Some(answer_to)) = (ticket, request.answer_to()) else {
            return Err(Refused::Full);
        };
        let (head, head_bytes) = answer::keep_head(on, request, &change)?;
        let message = &request.message;
        let Some(transaction) = on.transactions.open_server(message, key, answer_to, User::None) else {
            on.context.keep.release(head);
            return Err(Refused::Full);
        };
        let number = &entry.subscriber.number;
        let mut timer = TimerHandle::NONE;
        let deadline = on.context.now.after_ms(on.context.settings.registration.store_timeout_ms);
        on.context.arm(&mut timer, deadline, Due::Registration(ticket));
        let pending =
            Pending { transaction, number: number.clone(), is_authenticated, head, head_bytes, timer };
        // There is room: the ticket is the handle that this gives out.
        if self.pending.insert(pending).is_err() {
            on.context.metrics.impossible_events += 1;
        }
        on.context.outbox.post(Letter::Register { ticket, number: number.clone(), change });
        Ok(())
    }
}
