//! The admin API: HTTP and JSON for subscribers, bindings, calls that live, health and figures.
//!
//! It runs in a thread of its own. It reads the directory, asks the store's keeper for changes and the shards
//! for calls, and no shard ever waits for it. `openapi.json` describes it.

mod backend;
mod calls;
mod desk;
mod document;
mod exposition;
mod forwarding;
mod guard;
mod health;
mod listener;
mod problem;
mod server;
mod subscribers;

pub use backend::Backend;
pub use guard::Token;
pub use server::Admin;

use std::net::SocketAddr;

/// The description of the API (OpenAPI 3.1).
pub const OPENAPI: &str = include_str!("openapi.json");

/// Where the API is, and who may use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub address: SocketAddr,
    /// What a client must show; `None`, on loopback only: nothing.
    pub token: Option<Token>,
}

/// A text as a segment of a path or a value of a query (RFC 3986): what is not unreserved is escaped.
pub(crate) fn segment(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            true => escaped.push(char::from(byte)),
            false => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}
