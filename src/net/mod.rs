//! The shell: the only module that names glommio, sockets or the clock.

mod arena;
mod checks;
mod clock;
mod core;
mod egress;
pub mod inbox;
mod name;
mod nap;
pub mod post;
pub mod rtp;
mod run;
mod server;
mod shared;
#[cfg(test)]
mod tests;
pub mod tray;
pub mod udp;
mod watch;

pub use checks::allowed_cpus;
pub use server::{Server, Vitals};

use std::net::IpAddr;
use std::time::Duration;

/// What the shell needs to know of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetSettings {
    /// One CPU per shard, from `sched_getaffinity`; its length is the number of shards.
    pub cpus: Vec<usize>,
    /// Datagrams per `recvmmsg` and `sendmmsg`.
    pub batch: usize,
    /// SO_RCVBUF and SO_SNDBUF of every socket, in bytes.
    pub receive_buffer_bytes: usize,
    pub send_buffer_bytes: usize,
    /// Datagrams that one shard's inbox holds for it.
    pub inbox_datagrams: usize,
    /// How long calls may go on after a stop was asked for.
    pub drain_timeout: Duration,
    /// Keys everything that must not be guessed; from the system's generator unless a test sets it.
    pub secret: u64,
    /// The ports of anchored media; `None`: there are none.
    pub rtp: Option<RtpSettings>,
}

/// Where the server's own media ports are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpSettings {
    /// At most one address of each family.
    pub addresses: Vec<RtpAddress>,
    /// The first, even, and the last, odd, of all shards' ports.
    pub first_port: u16,
    pub last_port: u16,
    /// The differentiated services code point of what is sent (RFC 2474), 46 for voice (RFC 3246).
    pub dscp: u8,
}

/// An address that media comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpAddress {
    /// What sockets are bound to.
    pub local: IpAddr,
    /// What descriptions name.
    pub advertised: IpAddr,
}

/// Why a server could not start or go on: one line that names the cure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError(pub String);

impl std::fmt::Display for ServerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ServerError {}
