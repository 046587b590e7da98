//! What shards and services say to each other: requests that no shard may wait for, and what comes of them.
//!
//! A shard's letters leave with its [`crate::outbox::Outbox`]; what the services have to say comes in by
//! [`crate::shard::Shard::handle_mail`]. Each carries the ticket that tells what it belongs to.

use crate::registrar::{Change, Refusal};
use crate::slab::Handle;

/// From a shard to the services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Letter {
    /// Bind or unbind contacts, durably; answered by [`Mail::Registered`] with the same ticket.
    Register { ticket: Handle, number: Box<str>, change: Change },
}

/// From the services to a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mail {
    /// What came of a [`Letter::Register`]: `Ok` once the change is durable and the directory shows it.
    Registered { ticket: Handle, outcome: Result<(), Refusal> },
}
