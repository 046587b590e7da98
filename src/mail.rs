//! What shards and services say to each other: requests that no shard may wait for, and what comes of them.
//!
//! A shard's letters leave with its [`crate::outbox::Outbox`]; what the services have to say comes in by
//! [`crate::shard::Shard::handle_mail`]. Each carries the ticket that tells what it belongs to.

use crate::clock::UnixSeconds;
use crate::media::Figures;
use crate::registrar::{Change, Refusal};
use crate::service::change::{Change as ForwardingChange, NotSet};
use crate::slab::Handle;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// From a shard to the services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Letter {
    /// Bind or unbind contacts, durably; answered by [`Mail::Registered`] with the same ticket.
    Register { ticket: Handle, number: Box<str>, change: Change },
    /// Change what a number has set, durably; answered by [`Mail::Forwarding`] with the same ticket.
    Forwarding { ticket: Handle, number: Box<str>, change: ForwardingChange },
    /// One side of a call is over.
    Ended(Box<EndedLeg>),
    /// What a [`Mail::Calls`] asked for; `next`: the place to go on from, `None`: that was all.
    Calls { ticket: u64, calls: Vec<LiveCall>, next: Option<u32> },
    /// What a [`Mail::Call`] asked for; `None`: there is no such call (any more).
    Call { ticket: u64, call: Option<Box<LiveCall>> },
    /// What came of a [`Mail::HangUp`]: whether there was such a call to end.
    HungUp { ticket: u64, found: bool },
    /// Have a media engine take a description in; answered by [`Mail::Engine`] with the same ticket. Those of
    /// one session are taken one after another.
    Engine { ticket: Handle, session: Box<str>, described: Described },
    /// The engine may forget the session.
    EngineOver { session: Box<str> },
}

/// A description of media, for an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    pub role: Role,
    /// Whose it is.
    pub party: Party,
    /// Where that party's signalling comes from.
    pub source: IpAddr,
    pub sdp: Box<[u8]>,
}

/// RFC 3264.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Offer,
    Answer,
}

/// A side of a call, as an engine knows it: whoever the callee is at the time has the same media ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    Caller,
    Callee,
}

/// Why an engine did not take a description in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineFailed {
    /// None answered in time.
    Unavailable,
    /// It has no use for the description.
    Refused,
}

/// From the services to a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mail {
    /// What came of a [`Letter::Register`]: `Ok` once the change is durable and the directory shows it.
    Registered { ticket: Handle, outcome: Result<(), Refusal> },
    /// What came of a [`Letter::Forwarding`]: `Ok` once it is durable and the directory shows it.
    Forwarding { ticket: Handle, outcome: Result<(), NotSet> },
    /// Name calls that live, at most `limit` of them, from a place of the table on.
    Calls { ticket: u64, from: u32, limit: u16 },
    /// Describe one call.
    Call { ticket: u64, call: Handle },
    /// End one call, whatever it is doing.
    HangUp { ticket: u64, call: Handle },
    /// What came of a [`Letter::Engine`]: the description for the other side.
    Engine { ticket: Handle, outcome: Result<Box<[u8]>, EngineFailed> },
}

/// One side of a call, for the records of what was done (CDR).
///
/// A call that got a 100 has one of its caller's, leg 0, which comes last; each of its INVITEs that began a
/// leg has one. Times are milliseconds since 1970, in order: `setup_at` ≤ `ring_at` ≤ `answer_at` ≤ `end_at`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedLeg {
    pub names: LegNames,
    /// 0: the caller's; the callees' count from 1 in the order in which they were tried.
    pub leg: u16,
    /// The INVITE came, or went out.
    pub setup_at: u64,
    /// The first 180 or 183 came; of the caller's leg, the first of any callee's.
    pub ring_at: Option<u64>,
    /// The 2xx came; of the caller's leg, it went out.
    pub answer_at: Option<u64>,
    /// The final response that is no 2xx, or the BYE, came or went out; without either, the leg was given up.
    pub end_at: u64,
    pub ended_by: EndedBy,
    /// The final response to the INVITE; 0: there was none while the leg was waited for.
    pub status: u16,
    pub cause: Cause,
    /// Where the other side's messages come from and go to, and our own address there.
    pub peer: SocketAddr,
    pub local: SocketAddr,
    /// Its media, where that is anchored here.
    pub media: Option<Figures>,
}

/// The texts of a record, in one piece of memory: a shard makes three records a call.
#[derive(Clone, PartialEq, Eq)]
pub struct LegNames {
    text: Box<str>,
    /// Where each but the last ends.
    ends: [u16; 4],
}

impl LegNames {
    /// From the Record-ID, the Call-ID, who called, who was called, and the chain; together they are shorter
    /// than a datagram. What is no text of theirs is replaced.
    #[must_use]
    pub fn new(names: [&[u8]; 5]) -> LegNames {
        let mut text = String::with_capacity(names.iter().map(|name| name.len()).sum());
        let mut ends = [0; 4];
        for (place, name) in names.into_iter().enumerate() {
            match std::str::from_utf8(name) {
                Ok(name) => text.push_str(name),
                Err(_) => text.push_str(&String::from_utf8_lossy(name)),
            }
            if let Some(end) = ends.get_mut(place) {
                *end = u16::try_from(text.len()).unwrap_or(u16::MAX);
            }
        }
        LegNames { text: text.into(), ends }
    }

    /// That of all legs of the call.
    #[must_use]
    pub fn record_id(&self) -> &str {
        self.part(0)
    }

    #[must_use]
    pub fn call_id(&self) -> &str {
        self.part(1)
    }

    /// Who called: the user part of From, or `anonymous` where it wants that.
    #[must_use]
    pub fn caller(&self) -> &str {
        self.part(2)
    }

    /// Who was called by this leg, a number or a URI without parameters: of the caller's, the number that it
    /// dialled.
    #[must_use]
    pub fn called(&self) -> &str {
        self.part(3)
    }

    /// The forwarding up to this leg, of the caller's all of it: `1004;no-answer;1005`; empty: none.
    #[must_use]
    pub fn chain(&self) -> &str {
        self.part(4)
    }

    fn part(&self, place: usize) -> &str {
        let start = place.checked_sub(1).map_or(0, |before| usize::from(self.ends[before]));
        let end = self.ends.get(place).map_or(self.text.len(), |end| usize::from(*end));
        self.text.get(start..end).unwrap_or_default()
    }
}

impl fmt::Debug for LegNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: [&str; 5] = std::array::from_fn(|place| self.part(place));
        parts.fmt(f)
    }
}

/// Who ended a leg: whoever did first what led to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// The caller's CANCEL or BYE.
    Caller,
    /// A callee's BYE, or its final response.
    Callee,
    /// We: a timer of ours, the operator, a call that another callee took, something missing.
    Server,
}

/// Why a leg ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A party hung up.
    Bye,
    /// The caller gave up before anybody answered.
    Cancel,
    /// A callee refused; the status says how.
    Rejected,
    /// A callee's 302 named somebody else, whom the call went on to.
    Redirected,
    /// It rang, and nobody answered in time.
    NoAnswer,
    /// Nothing came at all, or nothing but 100.
    Timeout,
    /// Another phone answered first.
    AnsweredElsewhere,
    /// Another phone's refusal or redirection spoke for all.
    DeclinedElsewhere,
    /// The number has no phone now.
    NotRegistered,
    /// The call was to be forwarded and could not be: a loop, too many diversions, nobody there.
    NotForwarded,
    /// The caller never acknowledged the answer.
    NoAck,
    /// The caller never acknowledged a reliable provisional response (RFC 3262).
    NoPrack,
    /// Nobody refreshed a session (RFC 4028).
    SessionExpired,
    /// Nothing was to be heard for too long.
    MediaTimeout,
    /// It had lasted as long as a call may.
    CallLimit,
    /// A party did not know the call any more, or did not answer in it.
    Lost,
    /// The operator ended it.
    Operator,
    /// The server stopped before the call was over.
    Stopped,
    /// A feature code was done, or refused.
    FeatureCode,
    /// A table was full, or a message too long.
    Failed,
}

impl EndedBy {
    /// As records name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            EndedBy::Caller => "caller",
            EndedBy::Callee => "callee",
            EndedBy::Server => "ringway",
        }
    }
}

impl Cause {
    /// As records name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Cause::Bye => "bye",
            Cause::Cancel => "cancel",
            Cause::Rejected => "rejected",
            Cause::Redirected => "redirected",
            Cause::NoAnswer => "no answer",
            Cause::Timeout => "timeout",
            Cause::AnsweredElsewhere => "answered elsewhere",
            Cause::DeclinedElsewhere => "declined elsewhere",
            Cause::NotRegistered => "not registered",
            Cause::NotForwarded => "not forwarded",
            Cause::NoAck => "no ack",
            Cause::NoPrack => "no prack",
            Cause::SessionExpired => "session expired",
            Cause::MediaTimeout => "media timeout",
            Cause::CallLimit => "call limit",
            Cause::Lost => "lost",
            Cause::Operator => "operator",
            Cause::Stopped => "stopped",
            Cause::FeatureCode => "feature code",
            Cause::Failed => "failed",
        }
    }
}

/// A call as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveCall {
    /// Names it on its shard for as long as it lives.
    pub handle: Handle,
    pub stage: Stage,
    /// Who called: the user part of From; empty: it has none.
    pub caller: Box<str>,
    /// Where its INVITE came from.
    pub source: SocketAddr,
    /// The number that is called now, or whose phone answered.
    pub called: Box<str>,
    /// The numbers that it was forwarded by, the first one first.
    pub diverted_by: Vec<Box<str>>,
    /// The Record-ID of all its legs.
    pub record_id: Box<str>,
    pub started_at: UnixSeconds,
    /// When a callee answered; `None`: none has.
    pub answered_at: Option<UnixSeconds>,
    /// The caller's media so far, where that is anchored here.
    pub media: Option<Figures>,
    /// The phones that it has to do with now, those that are given up included.
    pub legs: Vec<LiveLeg>,
}

/// A call's leg to a callee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveLeg {
    /// Where its INVITE went.
    pub destination: SocketAddr,
    pub stage: Stage,
    /// Its media so far, where that is anchored here.
    pub media: Option<Figures>,
}

/// How far a call or a leg has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// No phone rings.
    Trying,
    Ringing,
    /// There is a 200 that is not acknowledged.
    Answered,
    Talking,
    /// It is being cancelled, refused or hung up.
    Ending,
}
