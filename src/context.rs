//! What every layer of a shard uses: the time, the timers, kept bytes, the outbox, the counters.

use crate::clock::{Deadline, Now, UnixMs, UnixSeconds};
use crate::directory::Directory;
use crate::ids::Mint;
use crate::keep::{Keep, Kept};
use crate::media::Media;
use crate::metrics::Metrics;
use crate::outbox::{ListenerId, Outbox};
use crate::settings::Settings;
use crate::slab::Handle;
use crate::timer::{TimerHandle, Wheel};
use std::net::SocketAddr;
use std::sync::Arc;

/// Whose timer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Transaction(Handle),
    Call(Handle),
    Leg(Handle),
    /// The no-answer timer of a call's search.
    Search(Handle),
    /// The watch for silence in a call's media.
    Silence(Handle),
    Relay(Handle),
    /// The wait for a media engine.
    Engine(Handle),
    Registration(Handle),
}

/// The shard's shared means; every method that acts takes it.
pub struct Context {
    pub settings: Arc<Settings>,
    /// The outer `Arc` is the shard's own, so that lending it out counts on no other core's cache line.
    pub directory: Arc<Arc<Directory>>,
    pub now: Now,
    /// The calendar's seconds at `Now::from_ms(0)`, as they stood then: registrations live by it, and go on
    /// living as long as they should when the calendar is set.
    pub started: UnixSeconds,
    /// The calendar's time at `Now::from_ms(0)`, as it stands by now: for what people and records are told.
    pub calendar: UnixMs,
    pub wheel: Wheel<Due>,
    pub keep: Keep,
    pub outbox: Outbox,
    pub metrics: Metrics,
    pub mint: Mint,
    pub media: Media,
    /// For texts that are put together before they are kept; empty its content before use.
    pub scratch: Vec<u8>,
}

impl Context {
    /// The calendar's time of a moment, as the calendar stands by now.
    #[must_use]
    pub fn calendar_at(&self, at: Now) -> UnixMs {
        UnixMs(self.calendar.0.saturating_add(at.as_ms()))
    }

    /// The time by which registrations live.
    #[must_use]
    pub fn unix(&self) -> UnixSeconds {
        UnixSeconds(self.started.0 + self.now.as_ms() / 1_000)
    }

    /// Queues one datagram; `false` when it would be longer than a datagram can be.
    pub fn send(
        &mut self,
        listener: ListenerId,
        destination: SocketAddr,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let sent = self.outbox.send(listener, destination, write).is_some();
        self.metrics.datagrams_sent += u64::from(sent);
        sent
    }

    /// Lends the outbox out, so that what is written may look into the context meanwhile.
    pub fn lend_outbox<R>(&mut self, act: impl FnOnce(&Context, &mut Outbox) -> R) -> R {
        let mut outbox = std::mem::take(&mut self.outbox);
        let result = act(self, &mut outbox);
        self.outbox = outbox;
        result
    }

    /// Queues kept bytes once more; nothing, if nothing could be kept.
    pub fn send_kept(&mut self, listener: ListenerId, destination: SocketAddr, kept: &Kept) {
        if !kept.is_some() {
            return;
        }
        let keep = &self.keep;
        self.outbox.send(listener, destination, |out| out.extend_from_slice(keep.bytes(kept)));
        self.metrics.datagrams_sent += 1;
    }

    /// Keeps the bytes of the datagram queued last.
    pub fn keep_last_sent(&mut self) -> Option<Kept> {
        let last = self.outbox.datagrams().last()?;
        self.keep.keep(self.outbox.bytes(last))
    }

    /// Arms `timer` for `due` at `deadline`, moving it if it is armed already. A full wheel leaves it at
    /// `NONE`; the wheel holds one entry per record, so only a bug fills it.
    pub fn arm(&mut self, timer: &mut TimerHandle, deadline: Deadline, due: Due) {
        if self.wheel.rearm(*timer, deadline) {
            return;
        }
        match self.wheel.insert(deadline, due) {
            Some(handle) => *timer = handle,
            None => {
                *timer = TimerHandle::NONE;
                self.metrics.impossible_events += 1;
            }
        }
    }

    pub fn disarm(&mut self, timer: &mut TimerHandle) {
        self.wheel.cancel(*timer);
        *timer = TimerHandle::NONE;
    }

    /// The `host:port` that we write into Via and Contact on this listener.
    #[must_use]
    pub fn sent_by(&self, listener: ListenerId) -> &str {
        self.settings.listeners.get(usize::from(listener.0)).map_or("", |listener| &listener.sent_by)
    }
}
