//! Worlds whose peers use all of SIP in a call: offers and answers in every place, reliable provisional
//! responses, forks, routes, IPv6, session timers. Their messages are bytes, read and written by user agents
//! of some hundred lines; what the server may say is checked from where it stands ([`audit`]), and every
//! body has a number, so that it is known on the far side.

mod audit;
mod callee;
mod caller;
mod counts;
mod dialog;
mod heard;
mod ledger;
mod legs;
mod net;
mod party;
mod requests;
mod script;
mod setup;
mod view;
mod world;

pub use counts::Counts;
pub use setup::Habits;
pub use world::World;
