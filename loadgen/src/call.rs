//! What the three phones share: the identity of a call, the ways in which it can fail, and what the called
//! parties tell the caller, who keeps the account.

use crate::media::Media;
use crate::outbox::Outbox;
use crate::plan::Party;
use crate::slab::Handle;
use crate::tally::Tally;

/// Hex digits of an [`Id`].
pub const ID_LENGTH: usize = 24;

/// Names a call or a leg in our tags, branches, Call-IDs and in the caller's SDP, so that whatever comes back
/// finds its record by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id {
    pub origin: Origin,
    pub handle: Handle,
}

/// Which run of the generator and which of its threads made an [`Id`]: messages of an earlier run must not be
/// taken for our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// 24 bits, other in every run.
    pub run: u32,
    pub lane: u8,
}

impl Id {
    pub fn hex(self) -> [u8; ID_LENGTH] {
        let origin = self.origin.run << 8 | u32::from(self.origin.lane);
        let mut text = [0; ID_LENGTH];
        write_hex(&mut text[..8], u64::from(origin));
        write_hex(&mut text[8..], self.handle.bits());
        text
    }

    /// Reads what [`Id::hex`] wrote at the start of `text`.
    #[inline]
    pub fn parse(text: &[u8]) -> Option<Id> {
        let origin = read_hex(text.get(..8)?)? as u32;
        let handle = read_hex(text.get(8..ID_LENGTH)?)?;
        Some(Id {
            origin: Origin { run: origin >> 8, lane: origin as u8 },
            handle: Handle::from_bits(handle),
        })
    }
}

fn write_hex(text: &mut [u8], mut number: u64) {
    for digit in text.iter_mut().rev() {
        *digit = b"0123456789abcdef"[number as usize & 15];
        number >>= 4;
    }
}

fn read_hex(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0u64, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(value))
    })
}

/// Why a call does not count as good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    NoResponse,
    NoFinal,
    NoBye,
    NoByeAnswer(Who),
    NoCancelAnswer,
    NoTermination,
    NoCancel,
    NoAck(Who),
    LegMissing(Who),
    Unfinished,
    Status(u16),
    NoRinging,
    ToTagChanged,
    DiversionMissing,
    DiversionWrong,
    EarlyBye(Who),
    UnexpectedBye(Who),
    UnexpectedCancel(Who),
    UnexpectedInvite,
    ByeStatus(u16),
    NoRegisterAnswer,
    RegisterStatus(u16),
    NoChallenge,
    ContactMissing,
    NobodyIdle,
    NoRtpPort(Who),
    NoAudioAddress(Who),
}

/// One of the three phones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    Caller,
    Callee,
    Target,
}

impl From<Party> for Who {
    fn from(party: Party) -> Who {
        match party {
            Party::Callee => Who::Callee,
            Party::Target => Who::Target,
        }
    }
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Who::Caller => "caller",
            Who::Callee => "callee",
            Who::Target => "target",
        })
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::NoResponse => write!(f, "timeout: no response to INVITE"),
            Failure::NoFinal => write!(f, "timeout: no final response to INVITE"),
            Failure::NoBye => write!(f, "timeout: answered, but no BYE came"),
            Failure::NoByeAnswer(who) => write!(f, "timeout: no answer to the {who}'s BYE"),
            Failure::NoCancelAnswer => write!(f, "timeout: no answer to CANCEL"),
            Failure::NoTermination => write!(f, "timeout: no 487 after CANCEL"),
            Failure::NoCancel => write!(f, "timeout: the callee rang and was never cancelled"),
            Failure::NoAck(who) => write!(f, "timeout: no ACK for the {who}'s final response"),
            Failure::LegMissing(who) => write!(f, "timeout: the {who}'s leg never began or never ended"),
            Failure::Unfinished => write!(f, "unfinished when the run ended"),
            Failure::Status(status) => write!(f, "unexpected status: {status} to INVITE"),
            Failure::NoRinging => write!(f, "no 180 before the final response"),
            Failure::ToTagChanged => write!(f, "wrong header: the To tag changed within the call"),
            Failure::DiversionMissing => write!(f, "wrong header: no Diversion in the target's INVITE"),
            Failure::DiversionWrong => {
                write!(f, "wrong header: Diversion without the callee's number and reason=no-answer")
            }
            Failure::EarlyBye(who) => write!(f, "unexpected: BYE to the {who} before the call was set up"),
            Failure::UnexpectedBye(who) => write!(f, "unexpected: BYE to the {who}, who was to hang up"),
            Failure::UnexpectedCancel(who) => write!(f, "unexpected: CANCEL to the {who}"),
            Failure::UnexpectedInvite => write!(f, "unexpected: INVITE to the target in a flow without it"),
            Failure::ByeStatus(status) => write!(f, "unexpected status: {status} to BYE"),
            Failure::NoRegisterAnswer => write!(f, "timeout: no final response to REGISTER"),
            Failure::RegisterStatus(status) => write!(f, "unexpected status: {status} to REGISTER"),
            Failure::NoChallenge => write!(f, "wrong header: 401 without a challenge that can be answered"),
            Failure::ContactMissing => write!(f, "wrong header: 200 to REGISTER without the phone's Contact"),
            Failure::NobodyIdle => write!(f, "not begun: every number still waited for its last answer"),
            Failure::NoRtpPort(who) => write!(f, "no RTP port was free for the {who}: see --rtp-ports"),
            Failure::NoAudioAddress(who) => {
                write!(f, "wrong description: no IPv4 address and port for the {who}'s audio")
            }
        }
    }
}

/// What a called party tells about its leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegReport {
    pub call: Id,
    pub party: Party,
    pub event: LegEvent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegEvent {
    /// The final response was sent, so long after the INVITE came: the time that the party added itself.
    Final { added_ns: u64 },
    /// The leg is over.
    Ended(Option<Failure>),
}

/// What a phone acts on: the present moment, and where its effects go.
pub struct Context<'a> {
    pub now_ns: u64,
    pub out: &'a mut Outbox,
    pub tally: &'a mut Tally,
    pub reports: &'a mut Vec<LegReport>,
    pub media: &'a mut Media,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_hex_form_and_nothing_else_is_taken_for_one() {
        let id = Id { origin: Origin { run: 0xabcdef, lane: 3 }, handle: Handle::from_bits(0x12_0000_0007) };
        let hex = id.hex();
        assert_eq!(std::str::from_utf8(&hex), Ok("abcdef030000001200000007"));
        assert_eq!(Id::parse(&hex), Some(id));
        assert_eq!(Id::parse(&hex[..23]), None);
        assert_eq!(Id::parse(b"ABCDEF030000001200000007"), None);
        assert_eq!(Id::parse(b""), None);
    }
}
