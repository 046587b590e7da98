//! The shell: the only module that names glommio, sockets or the clock.

use crate::metrics::Metrics;
use crate::settings::Settings;
use std::sync::Arc;
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
}

/// A server that runs: one executor per shard.
pub struct Server {}

/// Why a server could not start or go on: one line that names the cure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError(pub String);

impl std::fmt::Display for ServerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ServerError {}

impl Server {
    /// Starts one executor per CPU and binds every listener on each; returns when all of them receive.
    ///
    /// # Errors
    /// A port in use, an address that is not ours, a missing io_uring, a low memlock limit: one line each.
    pub fn start(settings: Arc<Settings>, net: NetSettings) -> Result<Server, ServerError> {
        let _ = (settings, net);
        unimplemented!()
    }

    /// The counters of all shards, at most one tick old.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        unimplemented!()
    }

    /// Calls that live on all shards, at most one tick old.
    #[must_use]
    pub fn calls(&self) -> usize {
        unimplemented!()
    }

    /// Refuses new calls with 503 from now on. The server ends when its calls are gone or after the drain timeout.
    pub fn drain(&self) {
        unimplemented!()
    }

    /// Whether every shard has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        unimplemented!()
    }

    /// Waits for every shard to end.
    ///
    /// # Errors
    /// What ended a shard that was not asked to.
    pub fn join(self) -> Result<(), ServerError> {
        unimplemented!()
    }
}
