//! What everything above the transactions acts through: the shard's means, its transactions, and answers of
//! our own to requests as they came.

mod fault;
mod reply;

pub use reply::unsupported;

use crate::context::Context;
use crate::outbox::ListenerId;
use crate::sip::Message;
use crate::transaction::{AnswerTo, Transactions, reply as response};
use std::net::SocketAddr;

/// Methods that we take in a dialog or to begin one (RFC 3261 §20.5).
pub const ALLOW: &[u8] = b"INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, MESSAGE, NOTIFY, REFER";

/// The same with what belongs to no dialog.
pub const ALLOW_OUTSIDE: &[u8] =
    b"INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, MESSAGE, NOTIFY, REFER, REGISTER";

/// The shortest session interval that we take or ask for, in seconds (RFC 4028 §4).
pub const MIN_SE_S: u32 = 90;

/// The layers below, which calls and registrations act through.
pub struct Signalling {
    pub context: Context,
    pub transactions: Transactions,
}

/// A request as it came.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub message: Message<'a>,
    pub source: SocketAddr,
    pub listener: ListenerId,
}

impl Request<'_> {
    /// Where responses to it go; `None` only after a fault in its topmost Via.
    pub(crate) fn answer_to(&self) -> Option<AnswerTo> {
        let destination = response::destination(&self.message.top_via()?, self.source);
        Some(AnswerTo { listener: self.listener, destination })
    }
}
