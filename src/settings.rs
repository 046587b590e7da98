//! What the core needs to know of the configuration: plain values, already checked by `config`.

use std::net::{IpAddr, SocketAddr};

/// The core's settings; shared read-only by all shards.
#[derive(Clone, Debug)]
pub struct Settings {
    pub listeners: Vec<Listener>,
    pub timers: Timers,
    /// No-answer timer of a subscriber that sets none (SIP_RULES 2).
    pub no_answer_ms: u32,
    /// How long a callee may ring when no no-answer timer runs (Timer C, RFC 3261 §16.6 step 11).
    pub ring_limit_ms: u32,
    /// How long a callee may stay at 100 Trying.
    pub trying_limit_ms: u32,
    /// How long a call may last; 0: for ever. It ends calls whose parties have vanished.
    pub call_limit_ms: u32,
    /// Diversions that one call may see (SIP_RULES 8).
    pub max_diversions: u8,
    pub ack: AckPolicy,
    /// Send 181 Call Is Being Forwarded to the caller.
    pub send_181: bool,
    /// A 408 before any 18x is "not reachable" instead of "no answer" (SIP_RULES 1).
    pub unreachable_408: bool,
    pub late_answer: LateAnswer,
    pub media: Media,
    /// Session-Expires on callee legs in seconds; 0 leaves the header field out.
    pub session_expires_s: u32,
    /// Alert-Info on callee legs, for instance `<http://127.0.0.1/1>`.
    pub alert_info: Option<String>,
    /// Calls that all shards together may hold.
    pub max_calls: u32,
    /// Transactions, lingering ones included, that all shards together may hold.
    pub max_transactions: u32,
    /// Retry-After in seconds on a 503.
    pub retry_after_s: u32,
    /// Who is asked for a password.
    pub auth: crate::auth::Settings,
    pub registration: Registration,
    pub forwarding: crate::service::Settings,
    /// A record of each leg is posted when it ends (`mail::EndedLeg`).
    pub records: bool,
}

/// Registration (RFC 3261 §10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Bindings that one number may have; at most `limits::CONTACTS_MAX`.
    pub contacts_max: u8,
    /// Shorter registrations are refused with 423; at most 3,600 (RFC 3261 §10.3 step 7).
    pub expires_min_s: u32,
    /// Longer ones are cut to this.
    pub expires_max_s: u32,
    /// That of a REGISTER that names none.
    pub expires_default_s: u32,
    /// How long the store may take to keep a change.
    pub store_timeout_ms: u32,
    /// REGISTERs that all shards together may hold while the store is asked.
    pub pending_max: u32,
}

/// A socket that the shell listens on, as the core writes it into Via and Contact.
#[derive(Clone, Debug)]
pub struct Listener {
    pub address: SocketAddr,
    /// `host:port` for Via's sent-by and for Contact: the advertised address.
    pub sent_by: String,
}

/// RFC 3261 §17.1.1.1, Table 4, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    pub t1_ms: u32,
    pub t2_ms: u32,
    pub t4_ms: u32,
}

/// When the callee's 200 is acknowledged (reference flow, step 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckPolicy {
    /// When the caller's ACK arrives.
    Relay,
    /// At once; with a late offer the ACK carries the answer, so it is relayed all the same.
    Immediate,
}

/// What a 200 that crosses our CANCEL is worth (SIP_RULES 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LateAnswer {
    /// ACK, then BYE.
    Drop,
    /// While the target only rings the late answer wins and the target is cancelled.
    Keep,
}

/// How media passes, and what the server's own relay needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    pub mode: MediaMode,
    /// The addresses that descriptions name, at most one of each family.
    pub addresses: Vec<IpAddr>,
    pub learning: Learning,
    /// How long nothing may come in a stream before its call ends; 0: for ever.
    pub timeout_ms: u32,
    pub silence: Silence,
    pub tones: TonePlan,
    /// How long a pair of ports rests between two calls.
    pub quarantine_ms: u32,
    /// How long an engine may take to answer.
    pub wait_ms: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaMode {
    /// SDP goes through unchanged; the parties send to each other.
    Pass,
    /// Each side is told a port of the server's own.
    Anchor,
    /// The same by rtpengine, which the services ask.
    Engine,
}

/// Where a party's packets may come from besides the place that it has described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learning {
    /// From nowhere else.
    Off,
    /// The first packet from the party's host decides.
    Once,
    /// The party's first packets decide.
    Window,
}

/// Whose silence ends a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// That of both parties.
    Both,
    /// That of either party.
    One,
}

/// Whose tones are played (ITU-T E.180).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TonePlan {
    Europe,
    UnitedStates,
    UnitedKingdom,
    China,
}

impl Default for Media {
    fn default() -> Media {
        Media {
            mode: MediaMode::Pass,
            addresses: Vec::new(),
            learning: Learning::Window,
            timeout_ms: 60_000,
            silence: Silence::Both,
            tones: TonePlan::Europe,
            quarantine_ms: 5_000,
            wait_ms: 1_000,
        }
    }
}

impl Default for Timers {
    fn default() -> Timers {
        Timers { t1_ms: 500, t2_ms: 4_000, t4_ms: 5_000 }
    }
}

impl Timers {
    /// 64·T1: Timers B, D, F, H, J, L and M over UDP.
    #[must_use]
    pub const fn t1x64_ms(self) -> u32 {
        self.t1_ms * 64
    }

    /// The wait before a 2xx to INVITE goes out for the n-th time more: T1, doubling to T2 (RFC 3261
    /// §13.3.1.4).
    #[must_use]
    pub const fn answer_interval_ms(self, attempt: u8) -> u32 {
        let doubled = self.doubled_ms(attempt);
        if doubled < self.t2_ms { doubled } else { self.t2_ms }
    }

    /// T1 doubled so many times.
    #[must_use]
    pub const fn doubled_ms(self, attempt: u8) -> u32 {
        self.t1_ms.saturating_mul(1 << if attempt < 16 { attempt } else { 16 })
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            listeners: Vec::new(),
            timers: Timers::default(),
            no_answer_ms: 20_000,
            ring_limit_ms: 180_000,
            trying_limit_ms: 60_000,
            call_limit_ms: 4 * 3_600_000,
            max_diversions: 5,
            ack: AckPolicy::Relay,
            send_181: true,
            unreachable_408: false,
            late_answer: LateAnswer::Drop,
            media: Media::default(),
            session_expires_s: 90,
            alert_info: None,
            max_calls: 200_000,
            max_transactions: 4_000_000,
            retry_after_s: 5,
            auth: crate::auth::Settings::default(),
            registration: Registration::default(),
            forwarding: crate::service::Settings::default(),
            records: false,
        }
    }
}

impl Default for Registration {
    fn default() -> Registration {
        Registration {
            contacts_max: 10,
            expires_min_s: 60,
            expires_max_s: 7_200,
            expires_default_s: 3_600,
            store_timeout_ms: 2_000,
            pending_max: crate::limits::REGISTRATIONS_PENDING_MAX,
        }
    }
}
