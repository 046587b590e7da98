//! ringway: a SIP front proxy for call forwarding, above all on no answer.
//!
//! ```text
//!             ┌───────────────────────── one shard = one core ─────────────────────────┐
//!  socket ──▶ net ──▶ sip::scan ──▶ transaction ──▶ call ──▶ service (Decision) ──▶ call ──┐
//!    ▲         │                        ▲             ▲                                    │
//!    │         │                        └── timer ────┘                                    ▼
//!    └──────── net ◀───────────────── outbox ◀──────────────────────── sip::write ◀────────┘
//!              │  ▲
//!              ▼  │ inbox (lock-free, bounded)
//!         other shards
//! ```
//!
//! Everything below `net` is sans-IO and deterministic: no system call, no clock, no `async`. Input is
//! [`shard::Shard::handle_datagram`] and [`shard::Shard::handle_timeout`]; output is one ordered
//! [`outbox::Outbox`]. The same seed and the same input give the same bytes out. Without the feature
//! `server` the library is that core alone.

pub mod call;
pub mod clock;
#[cfg(feature = "server")]
pub mod config;
pub mod context;
pub mod ids;
pub mod keep;
pub mod limits;
pub mod metrics;
#[cfg(feature = "server")]
pub mod net;
pub mod outbox;
pub mod service;
pub mod settings;
pub mod shard;
pub mod sip;
pub mod slab;
pub mod timer;
pub mod transaction;
