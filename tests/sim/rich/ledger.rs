//! What was said in a call: every body has a number in it, so that it can be told on the far side.

use std::fmt::Write;
use std::net::SocketAddr;

/// Number of a body in its call.
pub type Token = u32;

/// What a body is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    Offer,
    /// To which offer.
    Answer(Token),
    /// Carried by a request that is only passed on.
    Plain,
    /// Carried by the response to such a request.
    Reply,
}

#[derive(Clone, Copy, Debug)]
pub struct Body {
    pub from: u8,
    pub of: Use,
}

/// The final response of a far side to a request with this body.
#[derive(Clone, Copy, Debug)]
struct Verdict {
    token: Token,
    status: u16,
    /// When it reached the server.
    arrived_ms: Option<u64>,
}

#[derive(Default)]
pub struct Ledger {
    /// Descriptions are told anew by the server.
    is_anchored: bool,
    bodies: Vec<Body>,
    verdicts: Vec<Verdict>,
    /// REFERs that callees have sent, and that the caller has.
    pub refers: [u32; 2],
}

impl Ledger {
    /// Where a peer has its media.
    pub fn media(place: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 6_000 + 2 * u16::from(place)))
    }

    pub fn new(is_anchored: bool) -> Ledger {
        Ledger { is_anchored, ..Ledger::default() }
    }

    pub fn body(&mut self, from: u8, of: Use) -> Token {
        self.bodies.push(Body { from, of });
        self.bodies.len() as Token - 1
    }

    pub fn get(&self, token: Token) -> Option<Body> {
        self.bodies.get(token as usize).copied()
    }

    /// The far side has answered a request with this body.
    pub fn answered(&mut self, token: Token, status: u16) {
        self.verdicts.push(Verdict { token, status, arrived_ms: None });
    }

    /// Such an answer has reached the server.
    pub fn arrived(&mut self, token: Token, status: u16, now_ms: u64) {
        let of_it = |verdict: &&mut Verdict| verdict.token == token && verdict.status == status;
        if let Some(verdict) = self.verdicts.iter_mut().find(of_it) {
            verdict.arrived_ms.get_or_insert(now_ms);
        }
    }

    /// Whether a far side gave this answer and it reached the server.
    pub fn was_answered(&self, token: Token, status: u16) -> bool {
        self.verdicts
            .iter()
            .any(|verdict| verdict.token == token && verdict.status == status && verdict.arrived_ms.is_some())
    }

    /// When the first answer to a request with this body reached the server.
    pub fn answer_ms(&self, token: Token) -> Option<u64> {
        let of_it = self.verdicts.iter().filter(|verdict| verdict.token == token);
        of_it.filter_map(|verdict| verdict.arrived_ms).min()
    }

    /// The body's bytes.
    pub fn text(&self, token: Token) -> String {
        let mut text = String::new();
        let Some(body) = self.get(token) else { return text };
        // Writing to a String cannot fail.
        let _ = match body.of {
            Use::Offer | Use::Answer(_) => write!(
                text,
                "v=0\r\no=- {token} 1 IN IP4 127.0.0.1\r\ns={token}\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                 m=audio {} RTP/AVP 8 0\r\n",
                Ledger::media(body.from).port()
            ),
            Use::Plain | Use::Reply => write!(text, "body {token} of {}\r\n", body.from),
        };
        text
    }

    pub fn content_type(&self, token: Token) -> &'static str {
        match self.get(token).map(|body| body.of) {
            Some(Use::Offer | Use::Answer(_)) => "application/sdp",
            _ => "text/plain",
        }
    }

    /// Whose body this is, byte for byte; or as the server says it in its own name.
    pub fn token_of(&self, body: &[u8]) -> Option<Token> {
        if self.is_anchored && body.starts_with(b"v=0") {
            let said = said(std::str::from_utf8(body).ok()?);
            return said.or_else(|| self.written(body));
        }
        self.written(body)
    }

    fn written(&self, body: &[u8]) -> Option<Token> {
        let behind = if body.starts_with(b"body ") { 5 } else { 9 };
        let digits = body.get(behind..)?.split(|byte| *byte == b' ').next()?;
        let token = std::str::from_utf8(digits).ok()?.parse().ok()?;
        (self.text(token).as_bytes() == body).then_some(token)
    }
}

/// The token in a description that the server tells in its own name, with an address and a port of its own.
fn said(body: &str) -> Option<Token> {
    let mut lines = body.lines();
    (lines.next()? == "v=0").then_some(())?;
    let mut origin = lines.next()?.strip_prefix("o=- ")?.splitn(3, ' ');
    origin.next()?.parse::<u64>().ok()?;
    origin.next()?.parse::<u64>().ok()?;
    let own = origin.next()?;
    let token = lines.next()?.strip_prefix("s=")?.parse().ok()?;
    let is_own = ["IN IP4 127.0.0.61", "IN IP6 fd00::61"].contains(&own);
    (is_own && lines.next()?.strip_prefix("c=")? == own && lines.next()? == "t=0 0").then_some(())?;
    let (port, rest) = lines.next()?.strip_prefix("m=audio ")?.split_once(' ')?;
    port.parse::<u16>().ok().filter(|port| *port > 0)?;
    (rest == "RTP/AVP 8 0" && lines.next().is_none()).then_some(token)
}
