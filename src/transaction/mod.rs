//! RFC 3261 §17 with RFC 6026: the four transaction machines and the table of their records.
//!
//! A machine is a `Copy` state and one pure `step(state, event)` under its figure; the [`Transactions`]
//! table carries out what the steps say. A record is small and outlives its call: it lingers until Timer
//! D, I, J, K, L or M has run, absorbing or answering what comes late.

mod client;
mod index;
pub mod invite_client;
pub mod invite_server;
mod key;
pub mod non_invite_client;
pub mod non_invite_server;
mod record;
pub mod reply;
mod server;
mod table;

pub use client::{AnswerTo, MAX_FORWARDS, NotSent, Report, Verdict, send_once, write_via};
pub use key::ServerKey;
pub use server::{Arrival, Cancelled};
pub use table::{Exchange, Transactions, User};

/// What a step asks the table to do besides entering the next state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: the state alone changes.
    None,
    /// Tell the transaction's user.
    Report,
    /// Send ACK for a non-2xx final response, then tell the user (RFC 3261 §17.1.1.3).
    AcknowledgeAndReport,
    /// Put the message on the wire for the first time.
    Send,
    /// Send again what was sent last.
    SendAgain,
    /// Tell the user that no answer came.
    ReportTimeout,
    /// Late or duplicate: normal on a lossy network, absorbed.
    Late,
    /// No sequence of messages leads here: our bug, counted.
    Impossible,
}

/// The next state (`None`: the transaction ends) and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<S> {
    pub next: Option<S>,
    pub effect: Effect,
}

const fn to<S>(next: S, effect: Effect) -> Step<S> {
    Step { next: Some(next), effect }
}

const fn end<S>(effect: Effect) -> Step<S> {
    Step { next: None, effect }
}
