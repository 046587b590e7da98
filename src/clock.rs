//! Time as the core sees it: milliseconds since the process started, handed in by the caller.
//!
//! Only `net` reads a clock. Tests and the simulator make a [`Now`] from a number.

/// The present moment, in milliseconds since the shard was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Now(u64);

/// A moment of the same scale in microseconds: when a packet came, or is to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

/// A moment in the future at which something is due, on the same scale as [`Now`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline(u64);

/// Seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixSeconds(pub u64);

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixMs(pub u64);

impl UnixMs {
    /// The second that it is in.
    #[must_use]
    pub const fn seconds(self) -> UnixSeconds {
        UnixSeconds(self.0 / 1_000)
    }
}

impl From<UnixSeconds> for UnixMs {
    fn from(seconds: UnixSeconds) -> UnixMs {
        UnixMs(seconds.0.saturating_mul(1_000))
    }
}

impl Now {
    #[must_use]
    pub const fn from_ms(ms: u64) -> Now {
        Now(ms)
    }

    #[must_use]
    pub const fn as_ms(self) -> u64 {
        self.0
    }

    /// The deadline `ms` milliseconds from now.
    #[must_use]
    pub const fn after_ms(self, ms: u32) -> Deadline {
        Deadline(self.0 + ms as u64)
    }
}

impl Moment {
    #[must_use]
    pub const fn from_us(us: u64) -> Moment {
        Moment(us)
    }

    #[must_use]
    pub const fn as_us(self) -> u64 {
        self.0
    }

    #[must_use]
    pub const fn now(self) -> Now {
        Now(self.0 / 1_000)
    }
}

impl From<Now> for Moment {
    fn from(now: Now) -> Moment {
        Moment(now.0.saturating_mul(1_000))
    }
}

impl Deadline {
    #[must_use]
    pub const fn from_ms(ms: u64) -> Deadline {
        Deadline(ms)
    }

    #[must_use]
    pub const fn as_ms(self) -> u64 {
        self.0
    }

    #[must_use]
    pub const fn is_due(self, now: Now) -> bool {
        self.0 <= now.0
    }
}
