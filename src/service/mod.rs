//! The forwarding service: facts in, a decision out. It sends nothing and keeps nothing.

pub mod change;
mod check;
pub mod codes;
mod decision;
pub mod history;
mod settings;
mod target;

pub use check::{Wrong, check};
pub use decision::{Divert, Facts, Failure, Reason, Refusal, condition_of, divert};
pub use settings::{AssertedParty, EMERGENCY, NumberRule, Peer, Route, SIP_PORT, Settings};
pub use target::{NoTarget, Outside, TARGET_BYTES_MAX, Target, write_number};
