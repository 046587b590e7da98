//! The forwarding service: facts in, a decision out. It sends nothing and keeps nothing.

mod subscriber;

pub use subscriber::{Subscriber, Subscribers};
