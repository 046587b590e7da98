//! Anchored media over real sockets: each side sends to a port of the server's own and hears from it.
//!
//! The server is its own process; the phones are sockets of this one. Time is real and everything is on
//! loopback, so what was relayed is there within microseconds.
#![cfg(feature = "server")]

mod media;

#[path = "anchored/dialogs.rs"]
mod dialogs;
#[path = "anchored/forwarding.rs"]
mod forwarding;
#[path = "anchored/hardships.rs"]
mod hardships;
#[path = "anchored/limits.rs"]
mod limits;
#[path = "anchored/offers.rs"]
mod offers;
#[path = "anchored/packets.rs"]
mod packets;
#[path = "anchored/sources.rs"]
mod sources;
#[path = "anchored/wider.rs"]
mod wider;
