//! What the server has said to one peer and heard from it, from where the server stands: nothing that is
//! still on its way is in it, so no race blurs the rules.

use super::ledger::Token;
use ringway::sip::Method;

/// A request of the server's.
#[derive(Debug)]
pub struct Out {
    pub branch: Vec<u8>,
    pub method: Method,
    pub cseq: u32,
    pub hash: u64,
    /// The peer's tag; empty outside a dialog.
    pub tag: Vec<u8>,
    pub offer: Option<Token>,
    pub token: Option<Token>,
    pub sent_ms: u64,
    pub cancelled_ms: Option<u64>,
    /// When the first response came.
    pub heard_ms: Option<u64>,
    /// The first final one, and when.
    pub status: u16,
    pub final_ms: u64,
    pub acks: u32,
    /// The offers in its 2xx, one of each branch of a fork, which the ACKs have to answer.
    pub offered: Vec<Token>,
}

/// A request of the peer's.
#[derive(Debug)]
pub struct In {
    pub branch: Vec<u8>,
    pub method: Method,
    pub cseq: u32,
    pub tag: Vec<u8>,
    pub token: Option<Token>,
    /// The offer in it, if it came when none was open.
    pub offer: Option<Token>,
    /// It came when an offer was open.
    pub conflict: bool,
    pub arrived_ms: u64,
    /// The server's final response.
    pub status: u16,
    pub hash: u64,
    pub cancelled: bool,
    /// It has a To tag.
    pub inside: bool,
}

/// One dialog with the peer.
#[derive(Debug, Default)]
pub struct Side {
    /// The peer's tag.
    pub tag: Vec<u8>,
    /// The server's last CSeq in it.
    pub cseq_out: u32,
    pub offer_out: Option<Token>,
    pub offer_in: Option<Token>,
    /// The last offer that came in a reliable provisional response: the PRACK answers it.
    pub offer_in_18x: Option<Token>,
    pub settled: bool,
    /// The last RSeq of the peer's that came in order, and how many of them have got a PRACK.
    pub rseq_in: u32,
    pub rseq_acked: u32,
    /// A 2xx has come, or been sent.
    pub answered: bool,
    pub acknowledged: bool,
    /// When the ACK to its 2xx had no answer to the offer in it; the BYE has to follow at once.
    pub unanswered_ms: Option<u64>,
    /// A 2xx came when the server had forgotten the first: it ends a dialog that it does not know.
    pub orphaned: bool,
    pub bye_sent: bool,
    /// The peer's BYE was answered.
    pub bye_taken: bool,
}

impl Side {
    pub fn is_open(&self) -> bool {
        self.offer_out.is_some() || self.offer_in.is_some()
    }

    pub fn is_winner(&self) -> bool {
        self.acknowledged && !self.bye_sent && !self.bye_taken
    }
}

#[derive(Debug, Default)]
pub struct View {
    pub call_id: Vec<u8>,
    /// The server's tag.
    pub tag: Vec<u8>,
    pub out: Vec<Out>,
    pub incoming: Vec<In>,
    pub sides: Vec<Side>,
    /// The last reliable response of the server's: RSeq, hash, and whether its PRACK has come.
    pub rseq_out: Option<(u32, u64, bool)>,
}

impl View {
    /// The dialog of a tag of the peer's; the offer of the INVITE is open in a new one.
    pub fn side(&mut self, tag: &[u8]) -> &mut Side {
        let found = self.sides.iter().position(|side| side.tag == tag);
        let number = found.unwrap_or_else(|| {
            let invite = self.out.iter().rev().find(|out| out.method == Method::Invite && out.tag.is_empty());
            let offer_out = invite.and_then(|invite| invite.offer);
            let cseq_out = invite.map_or(0, |invite| invite.cseq);
            self.sides.push(Side { tag: tag.to_vec(), cseq_out, offer_out, ..Side::default() });
            self.sides.len() - 1
        });
        &mut self.sides[number]
    }

    pub fn has_side(&self, tag: &[u8]) -> bool {
        self.sides.iter().any(|side| side.tag == tag)
    }
}
