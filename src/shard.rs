//! The core's one door: datagrams, time and mail in; an ordered outbox out.

use crate::clock::{Deadline, Now, UnixSeconds};
use crate::metrics::Metrics;
use crate::outbox::{ListenerId, Outbox};
use crate::settings::Settings;
use std::net::SocketAddr;
use std::sync::Arc;

/// A datagram as the shell received it.
pub struct Datagram<'a> {
    pub source: SocketAddr,
    pub listener: ListenerId,
    /// The bytes, and at least `limits::SCAN_PADDING` zero bytes behind them.
    pub buffer: &'a mut [u8],
    /// How many of `buffer` are the datagram.
    pub length: usize,
}

/// Which shard a datagram belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// It was handled.
    Here,
    /// It was not touched: hand it over whole to this shard's inbox.
    Shard(u16),
}

/// Where a shard stands among its siblings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub shard: u16,
    pub shards: u16,
    /// The same for all shards of the process: keys the hash that finds a Call-ID's owner.
    pub owner_seed: u64,
    /// This shard's own: keys everything that must not be guessed.
    pub secret: u64,
}

/// One core's share of the calls.
pub struct Shard {
    outbox: Outbox,
    metrics: Metrics,
}

impl Shard {
    #[must_use]
    pub fn new(settings: Arc<Settings>, place: Place, started: UnixSeconds) -> Shard {
        let _ = (settings, place, started);
        unimplemented!()
    }

    /// Handles one datagram, or says whose it is. The outbox must have room ([`Outbox::has_room`]).
    pub fn handle_datagram(&mut self, now: Now, datagram: Datagram<'_>) -> Owner {
        let _ = (now, datagram);
        unimplemented!()
    }

    /// Fires what is due, at most `limits::TIMERS_PER_STEP_MAX` timers; call again while
    /// [`Shard::poll_timeout`] is due. The outbox must be empty.
    pub fn handle_timeout(&mut self, now: Now) {
        let _ = now;
        unimplemented!()
    }

    /// When `handle_timeout` is wanted next; `None`: nothing is armed.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        unimplemented!()
    }

    /// From now on new calls are refused with 503.
    pub fn drain(&mut self) {
        unimplemented!()
    }

    /// Calls that live.
    #[must_use]
    pub fn calls(&self) -> usize {
        unimplemented!()
    }

    /// Whether no call, no transaction and no timer is left and nothing waits to be sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        unimplemented!()
    }

    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}
