//! What is to be played: plain values, already checked by `args`.

use crate::call::Id;
use crate::digest::Algorithm;
use crate::numbers::{Number, Numbers};
use crate::tally::Latency;
use std::net::SocketAddrV4;

/// How a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Flow {
    /// The callee rings, then answers 408; the server forwards to the target, which answers (the reference
    /// flow).
    #[value(name = "cfna-408")]
    Cfna408,
    /// The callee rings until the server's no-answer timer CANCELs it; the target answers.
    CfnaTimer,
    /// The callee answers.
    Answer,
    /// The callee is busy; the caller must get its 486.
    Busy,
    /// The caller gives up while the callee rings; it must get 487.
    Cancel,
    /// No calls: phones register, all of them once, then in turn at the rate asked for.
    Register,
}

/// Who sends BYE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Hangup {
    /// The caller.
    Caller,
    /// Whoever answered.
    Target,
}

/// The two that are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// B.
    Callee,
    /// C.
    Target,
}

/// What a called party does with an INVITE when it has rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Answers,
    /// Rejects with this status line's code: 408 or 486.
    Rejects(u16),
    /// Rings until it is cancelled.
    Rings,
}

/// What the packets of a call hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Codec {
    /// G.711 A-law.
    Pcma,
    /// G.711 µ-law.
    Pcmu,
}

impl Codec {
    /// The name in a description (RFC 3551 §6).
    pub fn name(self) -> &'static str {
        match self {
            Codec::Pcma => "PCMA",
            Codec::Pcmu => "PCMU",
        }
    }

    /// The static payload type (RFC 3551 Table 4).
    pub fn payload_type(self) -> u8 {
        match self {
            Codec::Pcma => 8,
            Codec::Pcmu => 0,
        }
    }
}

/// How the calls sound.
#[derive(Clone, Debug)]
pub struct Rtp {
    pub codec: Codec,
    /// The first port, even; each side of a call has an even one of its own.
    pub base: u16,
    /// Ports of the callers, and as many of who answers.
    pub ports: u16,
    /// How long phones go on sending when the call is over.
    pub tail_ns: u64,
    /// The share of lost packets that still counts as good.
    pub loss_max: f64,
}

impl Rtp {
    pub fn payload_type(&self) -> u8 {
        self.codec.payload_type()
    }
}

/// Between the last packet and BYE, so that no packet is on its way when the server takes the call down: then
/// what was sent and not received was lost.
const SETTLE_NS: u64 = 200_000_000;

/// RFC 3261 §17.1.1.1, Table 4.
pub const T1_NS: u64 = 500_000_000;
pub const T2_NS: u64 = 4_000_000_000;

/// Everything that the three phones need to know.
#[derive(Clone, Debug)]
pub struct Plan {
    pub flow: Flow,
    pub hangup: Hangup,
    /// The server under test.
    pub server: SocketAddrV4,
    /// The first caller socket; the others follow on the next ports.
    pub caller: SocketAddrV4,
    pub caller_sockets: u16,
    pub callee: SocketAddrV4,
    pub target: SocketAddrV4,
    /// Each call draws a caller and a callee from these.
    pub callers: Numbers,
    pub callees: Numbers,
    /// What the ladder calls the target.
    pub target_number: String,
    /// Who registers.
    pub numbers: Numbers,
    /// What they answer challenges with; `{number}` stands for the phone's own.
    pub password: Option<String>,
    /// The challenge to answer where a server offers several.
    pub algorithm: Algorithm,
    /// How long they register for, in seconds.
    pub expires_s: u32,
    /// Calls per second.
    pub rate: f64,
    pub duration_ns: u64,
    pub calls: u64,
    pub ring_ns: u64,
    pub target_ring_ns: u64,
    pub hold_ns: u64,
    /// How long a party waits for a message that is due.
    pub timeout_ns: u64,
    /// How long to wait for the last calls when all were started; then they count as failed.
    pub drain_ns: u64,
    /// What [`Plan::look_every_ns`] is to be, if the user chose it.
    pub poll_ns: Option<u64>,
    pub threads: usize,
    pub cpus: Vec<usize>,
    /// Check what only a B2BUA promises: Diversion, one To tag, ringing before the answer (a proxy's
    /// processes may swap the two).
    pub check: bool,
    /// `None`: calls without sound.
    pub rtp: Option<Rtp>,
}

impl Flow {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Flow::Cfna408 => "cfna-408",
            Flow::CfnaTimer => "cfna-timer",
            Flow::Answer => "answer",
            Flow::Busy => "busy",
            Flow::Cancel => "cancel",
            Flow::Register => "register",
        }
    }

    /// Whether the server forwards the call to the target.
    pub fn forwards(self) -> bool {
        matches!(self, Flow::Cfna408 | Flow::CfnaTimer)
    }

    /// The final status that the caller must see.
    pub fn expected_final(self) -> u16 {
        match self {
            Flow::Cfna408 | Flow::CfnaTimer | Flow::Answer | Flow::Register => 200,
            Flow::Busy => 486,
            Flow::Cancel => 487,
        }
    }

    /// What is measured, and of that what the caller hears first: a server is judged by it.
    pub fn latencies(self) -> (&'static [Latency], Latency) {
        match self {
            Flow::Register => (&[Latency::Register], Latency::Register),
            _ => (&Latency::OF_CALLS, Latency::Ringing),
        }
    }

    /// What is counted.
    pub fn unit(self) -> &'static str {
        if self == Flow::Register { "registration" } else { "call" }
    }

    /// Whether the caller must hear ringing before the final response.
    pub fn rings(self) -> bool {
        self != Flow::Busy
    }

    /// Who answers calls that go as they should.
    pub fn answerer(self) -> Option<Party> {
        match self {
            Flow::Cfna408 | Flow::CfnaTimer => Some(Party::Target),
            Flow::Answer => Some(Party::Callee),
            Flow::Busy | Flow::Cancel | Flow::Register => None,
        }
    }

    /// What a called party does. A target that this flow does not call answers all the same, and fails the
    /// call.
    pub fn part(self, party: Party) -> Part {
        match (party, self) {
            (Party::Callee, Flow::Cfna408) => Part::Rejects(408),
            (Party::Callee, Flow::Busy) => Part::Rejects(486),
            (Party::Callee, Flow::CfnaTimer | Flow::Cancel) => Part::Rings,
            (Party::Callee, Flow::Answer | Flow::Register) | (Party::Target, _) => Part::Answers,
        }
    }
}

impl Plan {
    /// The least time between two looks of a thread at its sockets.
    ///
    /// A pass over the sockets costs some microseconds whatever it finds, so at high rates passes that follow
    /// each other closely take up to 60 % more CPU time per call. At low rates there is time enough, and each
    /// datagram is seen at once. The price: latencies grow by up to this much for each phone on the way.
    pub fn look_every_ns(&self) -> u64 {
        const LONGEST_NS: f64 = 250_000.0;
        const SHORTEST_NS: f64 = 50_000.0;
        if self.rtp.is_some() {
            // The packets' delays are measured, too, and each would grow by that.
            return self.poll_ns.unwrap_or(0);
        }
        // 250 µs at 10,000 calls per second.
        let by_rate_ns = (self.rate / self.threads as f64 * 25.0).min(LONGEST_NS);
        let default_ns = if by_rate_ns < SHORTEST_NS { 0 } else { by_rate_ns as u64 };
        self.poll_ns.unwrap_or(default_ns)
    }

    /// From the answer to BYE.
    pub fn talk_ns(&self) -> u64 {
        self.hold_ns + if self.rtp.is_some() { SETTLE_NS } else { 0 }
    }

    /// The number that a call's caller has.
    #[inline]
    pub fn caller_of(&self, call: Id) -> Number {
        self.callers.drawn_by(call, 0x9e37_79b9_7f4a_7c15)
    }

    /// The number that a call is for.
    #[inline]
    pub fn callee_of(&self, call: Id) -> Number {
        self.callees.drawn_by(call, 0x3c6e_f372_fe94_f82a)
    }

    /// How long a party rings before it does its part.
    pub fn ring_ns(&self, party: Party) -> u64 {
        match party {
            Party::Callee if self.flow == Flow::Busy => 0,
            Party::Callee => self.ring_ns,
            Party::Target => self.target_ring_ns,
        }
    }
}
