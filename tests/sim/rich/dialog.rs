//! A dialog as a peer sees it (RFC 3261 §12), and what it has offered and answered (RFC 3264).

use super::super::call::{CALLER, again_ms};
use super::ledger::Token;
use ringway::sip::Method;

/// An offer that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    Nothing,
    /// Ours.
    Sent(Token),
    /// The server's.
    Received(Token),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Early,
    Confirmed,
    Over,
}

/// Session timer (RFC 4028).
#[derive(Clone, Copy, Debug)]
pub struct Session {
    pub interval_s: u32,
    pub we_refresh: bool,
    /// Counts refreshes, so that what was meant for an older one is known.
    pub round: u16,
}

#[derive(Debug)]
pub struct Dialog {
    pub call_id: String,
    pub local_tag: String,
    pub remote_tag: String,
    /// `<sip:…>`
    pub local_uri: String,
    pub remote_uri: String,
    /// The server's Contact.
    pub target: String,
    pub contact: String,
    pub cseq: u32,
    pub remote_cseq: u32,
    pub stage: Stage,
    pub open: Open,
    /// An offer has been answered.
    pub settled: bool,
    /// The last description of the peer's own.
    pub described: Option<Token>,
    pub rseq: u32,
    pub rseq_seen: u32,
    pub session: Option<Session>,
    pub bye_sent: bool,
    pub byed: bool,
}

impl Dialog {
    pub fn is_ended(&self) -> bool {
        self.stage == Stage::Over
    }
}

/// How a request of the peer's stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    Calling,
    Proceeding,
    Done,
    /// Nobody answered.
    Silence,
}

/// A request of the peer's.
pub struct Asked {
    pub method: Method,
    pub cseq: u32,
    pub dialog: u8,
    pub bytes: Vec<u8>,
    pub wait: Wait,
    pub status: u16,
    /// The ACK to its 2xx.
    pub ack: Option<Vec<u8>>,
    pub cancel: Option<Wait>,
    /// As soon as a provisional response comes.
    pub cancel_wanted: bool,
    /// It makes the dialog.
    pub outside: bool,
    pub offer: Option<Token>,
    pub retried: bool,
}

impl Asked {
    pub fn new(method: Method, cseq: u32, dialog: u8) -> Asked {
        Asked {
            method,
            cseq,
            dialog,
            bytes: Vec::new(),
            wait: Wait::Calling,
            status: 0,
            ack: None,
            cancel: None,
            cancel_wanted: false,
            outside: false,
            offer: None,
            retried: false,
        }
    }

    /// The ACK belongs to the INVITE's own transaction: it was refused.
    pub fn ack_is_hop(&self) -> bool {
        self.status >= 300
    }

    pub fn waits(&self) -> bool {
        matches!(self.wait, Wait::Calling | Wait::Proceeding)
    }
}

/// A request of the server's.
pub struct Served {
    pub branch: Vec<u8>,
    pub method: Method,
    pub cseq: u32,
    /// Via to CSeq, but for To.
    pub head: String,
    pub to: String,
    pub dialog: u8,
    pub offer: Option<Token>,
    /// Of any body.
    pub token: Option<Token>,
    pub last: Vec<u8>,
    pub status: u16,
}

/// A final response to INVITE that waits for its ACK.
pub struct Final {
    pub served: u16,
    pub dialog: u8,
    pub bytes: Vec<u8>,
    pub acked: bool,
    /// The offer in it.
    pub offer: Option<Token>,
    pub status: u16,
}

/// A reliable provisional response (RFC 3262).
pub struct Rel {
    pub served: u16,
    pub dialog: u8,
    pub rseq: u32,
    pub bytes: Vec<u8>,
    pub acked: bool,
    pub has_body: bool,
    pub offer: Option<Token>,
}

/// When something is sent for the next time; `None`: never again.
pub fn next_ms(method: Method, attempt: u8) -> Option<u32> {
    match method {
        Method::Invite => (attempt < 6).then(|| 500 << attempt),
        _ => again_ms(attempt),
    }
}

pub fn is_caller(place: u8) -> bool {
    place == CALLER
}

pub fn method_text(method: Method) -> &'static str {
    if method == Method::Other { "WIBBLE" } else { method.name() }
}
