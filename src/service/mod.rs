//! The forwarding service: facts in, a decision out. It sends nothing and keeps nothing.

mod decision;

pub use decision::{Condition, Divert, Facts, Failure, condition_of, divert, target};
