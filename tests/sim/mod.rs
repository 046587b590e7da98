//! The simulator: worlds of thousands of calls at once in virtual time, over a network that loses, doubles,
//! delays and reorders, between peers that do what phones do and what they should not. Nothing but the seed
//! decides what happens.
//!
//! Every message of the server's is audited as it leaves ([`audit`]); at the end nobody may be left in a
//! call that is over for the others, and nothing may be left in the server.

mod audit;
mod calendar;
mod call;
mod callee;
mod caller;
mod fault;
mod history;
mod locations;
mod media;
mod network;
mod plan;
mod rich;
mod rng;
mod rounds;
mod server;
mod setup;
mod trace;
mod wire;
mod world;

pub use fault::Fault;
pub use rich::{Counts, Habits, World as RichWorld};
pub use setup::Options;
pub use world::{Failure, Report, World};
