//! ringway: a SIP front proxy for call forwarding, above all on no answer.
//!
//! ```text
//!             ┌──────────────────────────── one shard = one core ────────────────────────────┐
//!  socket ──▶ net ──▶ sip::scan ──▶ transaction ──▶ auth ──▶ call ──▶ service (Decision) ──▶ call ──┐
//!    ▲         │                        ▲            │         ▲                                    │
//!    │         │                        └── timer ───┼─────────┘                                    ▼
//!    └──────── net ◀───────────────── outbox ◀───────┼──────────────────────────── sip::write ◀─────┘
//!              │  ▲                         ▲        ▼
//!              ▼  │ inbox (lock-free)       └─── registrar                    read-only
//!         other shards            letters, mail ▲ │                              ▲
//!                                               │ ▼                              │
//!                       services' threads: store::keeper ──▶ directory ──────────┘
//!                                          admin (HTTP), cdr ──▶ files
//!
//!  RTP socket ──▶ net::rtp ──▶ media (Verdict) ──▶ net::rtp ──▶ RTP socket
//!                                ▲
//!                  call ─────────┘ opens, describes, joins, closes
//! ```
//!
//! The way of a datagram reads as this line does: `scan → transactions.receive → guard.identify →
//! calls.handle → outbox`; [`shard`] is the core's one door. Dependencies run one way: `sip, media ← sdp,
//! timer ← transaction ← signalling ← auth ← registrar, call ← shard ← net`; [`service`] sees facts and
//! returns decisions.
//!
//! Everything below `net` is sans-IO and deterministic: no system call, no clock, no `async`. Input is
//! [`shard::Shard::handle_datagram`], [`shard::Shard::handle_timeout`] and [`shard::Shard::handle_mail`];
//! output is one ordered [`outbox::Outbox`] of datagrams and letters. The same seed and the same input give
//! the same bytes out. Without the feature `server` the library is that core alone.
//!
//! What is slow or may block has threads of its own and no shard waits for it: the store's keeper makes
//! changes durable and then shows them in the [`directory`], which all shards read without a lock; the admin
//! API asks the keeper and the shards. A shard writes a letter ([`mail`]) with a ticket, and goes on.
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
//! - **Who changes a number's bindings does so one after another**: a REGISTER is checked by the shard that
//!   owns its Call-ID, but [`registrar::apply`] runs in the keeper's thread, for two phones of one number may
//!   belong to two shards.
//! - **A call keeps its diversions in a form of its own** ([`service::history::Hop`]); what a leg is told of
//!   them, Diversion, History-Info, both or neither, is made when its INVITE is written, for that
//!   destination.
//! - **A feature code is a call without legs** (`call::feature`): the keeper changes what is set, as it does
//!   for the API, and the machine that ends every call ends it too.
//! - **A record of a leg is posted when the leg goes** (`call::ended`); its thread (`cdr`) makes text of it.
//! - **What an rtpengine is asked about waits at the calls' door** (`call::engine`): an INVITE, an answer or
//!   an offer within a call goes on when the mail with the other side's description is there, as if it had
//!   come so. The thread that asks (`rtpengine`) knows each call by two parties, whoever the callee is.
//! - **A nonce is good on the shard that gave it**: each shard knows how far its own were used, and a phone
//!   that comes to another is asked again without its user.
//! - **A session timer, a reliable response, an answer and a call's limit share one timer** of their record:
//!   it is armed for whatever is due first.
//! - **Line ends are found 64 bytes at a time** (`sip::lines`), which measured faster than one `memchr` per
//!   line; `memchr` serves the cold paths.
//! - **The wheel's second level** has 4,096 blocks of half a second instead of 64 of 33 s, so that a cascade
//!   moves only what is about to fire ([`timer`]).
//! - **A shard naps on its sockets** between batches (`net::nap`): a park of glommio's executor costs
//!   eleven system calls, a nap one. **One thread watches the shards' heartbeats** (`net::watch`): a tick
//!   alone does not bound glommio 0.9.0's stall when the task that it loses is the tick.
//! - **A description is heard on one side and spoken on the other** (`call::media`): what a party says of
//!   its streams is noted when it comes and counts once both sides have agreed; what the other one is told
//!   is written when it goes out, with ports of that side's own. So what is kept and said again is right.
//! - **The shell binds media ports ahead of need** and hands them to [`media`], which gives them out; a
//!   call's setup waits for no system call, and the core can be tested without one.
//! - **Media moves in turns of a millisecond** (`net::rtp`), never because a packet has come: fifty packets
//!   share the price of waking up. An io_uring receives from all sockets at once.

#[cfg(feature = "server")]
pub mod admin;
pub mod auth;
pub mod call;
#[cfg(feature = "server")]
pub mod cdr;
pub mod clock;
#[cfg(feature = "server")]
pub mod config;
pub mod context;
#[cfg(feature = "server")]
pub mod ctl;
pub mod directory;
pub mod ids;
pub mod keep;
pub mod limits;
pub mod mail;
pub mod media;
pub mod metrics;
#[cfg(feature = "server")]
pub mod net;
pub mod outbox;
pub mod registrar;
#[cfg(feature = "server")]
pub mod rtpengine;
pub mod sdp;
pub mod service;
pub mod settings;
pub mod shard;
pub mod signalling;
pub mod sip;
pub mod slab;
#[cfg(feature = "server")]
pub mod store;
pub mod timer;
pub mod transaction;
