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
//! The way of a datagram reads as this line does: `scan → transactions.receive → calls.handle → outbox`;
//! [`shard`] is the core's one door. Dependencies run one way: `sip, timer ← transaction ← call ← shard ←
//! net`; [`service`] sees facts and returns decisions.
//!
//! Everything below `net` is sans-IO and deterministic: no system call, no clock, no `async`. Input is
//! [`shard::Shard::handle_datagram`] and [`shard::Shard::handle_timeout`]; output is one ordered
//! [`outbox::Outbox`]. The same seed and the same input give the same bytes out. Without the feature
//! `server` the library is that core alone.
//!
//! # Choices that are not obvious from the picture
//!
//! - **One rule routes everything**: a call's owner is the hash of the Call-ID modulo the shards. The
//!   Call-IDs of our own legs are drawn until they hash to the shard that draws them.
//! - **Branches and tags carry a record's handle** and a keyed proof ([`ids`]); a response must besides
//!   bear our tag and CSeq. Contact carries the number only: the tag suffices to find the dialog.
//! - **Requests that need no memory get none**: refusals, OPTIONS, CANCEL and the repetitions of ACKs and
//!   plain responses are written from the message at hand ([`transaction`], `call::reply`).
//! - **What a party asks of the other is a record of its own** (`call::relay`): a server transaction on one
//!   side, a client transaction on the other, and what the response will start with. It outlives neither.
//! - **A session timer, a reliable response, an answer and a call's limit share one timer** of their record:
//!   it is armed for whatever is due first.
//! - **Line ends are found 64 bytes at a time** (`sip::lines`), which measured faster than one `memchr` per
//!   line; `memchr` serves the cold paths.
//! - **The wheel's second level** has 4,096 blocks of half a second instead of 64 of 33 s, so that a cascade
//!   moves only what is about to fire ([`timer`]).
//! - **A shard naps on its sockets** between batches (`net::nap`): a park of glommio's executor costs
//!   eleven system calls, a nap one. **One thread watches the shards' heartbeats** (`net::watch`): a tick
//!   alone does not bound glommio 0.9.0's stall when the task that it loses is the tick.
//!
//! The place of anchored media is beside [`service`]: a pure `media` that sees SDP and returns a plan, and
//! its packet loop in `net`; [`settings::Media`] has `Pass` alone until then.

pub mod auth;
pub mod call;
pub mod clock;
#[cfg(feature = "server")]
pub mod config;
pub mod context;
pub mod directory;
pub mod ids;
pub mod keep;
pub mod limits;
pub mod mail;
pub mod metrics;
#[cfg(feature = "server")]
pub mod net;
pub mod outbox;
pub mod registrar;
pub mod service;
pub mod settings;
pub mod shard;
pub mod signalling;
pub mod sip;
pub mod slab;
pub mod timer;
pub mod transaction;
