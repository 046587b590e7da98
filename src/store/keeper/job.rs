//! What the keeper has to do, and to whom it answers.

use super::{Done, Outcome, Refused, Reply, Request};
use crate::mail::{Letter, Mail};
use crate::net::post::{Envelope, Post};
use crate::registrar::{Change, Refusal};
use crate::service::change::{Change as ForwardingChange, NotSet};
use crate::slab::Handle as Ticket;

/// One change that somebody asked for.
pub(super) struct Job {
    pub(super) what: What,
    /// How often another node came before it.
    pub(super) conflicts: u8,
}

pub(super) enum What {
    Register {
        shard: u16,
        ticket: Ticket,
        number: Box<str>,
        change: Change,
    },
    Forwarding {
        shard: u16,
        ticket: Ticket,
        number: Box<str>,
        change: ForwardingChange,
    },
    Request {
        request: Request,
        reply: Reply,
    },
    /// Expired bindings are to be dropped.
    Expire {
        number: Box<str>,
    },
}

/// What is to be answered.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Registered(Result<(), Refusal>),
    Forwarding(Result<(), NotSet>),
    Outcome(Outcome),
    Nothing,
}

impl Job {
    pub(super) fn new(what: What) -> Job {
        Job { what, conflicts: 0 }
    }

    pub(super) fn answer(self, answer: Answer, post: &Post) {
        match (self.what, answer) {
            (What::Register { shard, ticket, .. }, Answer::Registered(outcome)) => {
                post.deliver(shard, Mail::Registered { ticket, outcome });
            }
            (What::Forwarding { shard, ticket, .. }, Answer::Forwarding(outcome)) => {
                post.deliver(shard, Mail::Forwarding { ticket, outcome });
            }
            (What::Request { reply, .. }, Answer::Outcome(outcome)) => reply(outcome),
            _ => {}
        }
    }

    /// What is answered when it cannot be made durable; `None`: nobody waits.
    pub(super) fn unavailable(&self) -> Option<Answer> {
        match self.what {
            What::Register { .. } => Some(Answer::Registered(Err(Refusal::Unavailable))),
            What::Forwarding { .. } => Some(Answer::Forwarding(Err(NotSet::Unavailable))),
            What::Request { .. } => Some(Answer::Outcome(Err(Refused::Unavailable))),
            What::Expire { .. } => None,
        }
    }
}

impl Answer {
    /// Whether it was refused whatever the store does.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Answer::Registered(Err(_)) | Answer::Forwarding(Err(_)) | Answer::Outcome(Err(_)))
    }

    /// The same with the revision that the entry got.
    pub(super) fn at(self, revision: u64) -> Answer {
        match self {
            Answer::Outcome(Ok(done)) => Answer::Outcome(Ok(Done { revision, ..done })),
            answer => answer,
        }
    }
}

impl What {
    pub(super) fn number(&self) -> &str {
        match self {
            What::Register { number, .. } | What::Forwarding { number, .. } | What::Expire { number } => {
                number
            }
            What::Request { request, .. } => match request {
                Request::Put { subscriber, .. } => &subscriber.number,
                Request::Change { number, .. }
                | Request::Remove { number }
                | Request::Unbind { number, .. } => number,
            },
        }
    }
}

impl Job {
    /// What a letter asks for; `None`: it is for another service.
    pub(super) fn of(Envelope { shard, letter }: Envelope) -> Option<Job> {
        match letter {
            Letter::Register { ticket, number, change } => {
                Some(Job::new(What::Register { shard, ticket, number, change }))
            }
            Letter::Forwarding { ticket, number, change } => {
                Some(Job::new(What::Forwarding { shard, ticket, number, change }))
            }
            Letter::Ended(_)
            | Letter::Calls { .. }
            | Letter::Call { .. }
            | Letter::HungUp { .. }
            | Letter::Engine { .. }
            | Letter::EngineOver { .. } => None,
        }
    }
}
