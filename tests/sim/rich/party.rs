//! A peer: a user agent with requests of its own, requests of the server's, and dialogs.

use super::super::call::Kind;
use super::super::rng::Rng;
use super::super::trace::{Fate, Ring};
use super::dialog::{Asked, Dialog, Final, Open, Rel, Served, Stage, Wait, is_caller, method_text, next_ms};
use super::ledger::{Ledger, Token};
use super::net::{Datagram, Net, What};
use super::script::Script;
use super::setup::SERVERS;
use ringway::sip::{HeaderName, Message, Method};
use std::net::SocketAddr;

/// What a peer acts through.
pub struct On<'a> {
    pub net: &'a mut Net,
    pub rng: &'a mut Rng,
    pub ledger: &'a mut Ledger,
    pub trace: &'a mut Ring,
    /// The first thing that the peer cannot accept.
    pub wrong: &'a mut Option<&'static str>,
}

impl On<'_> {
    pub fn complain(&mut self, wrong: &'static str) {
        self.wrong.get_or_insert(wrong);
    }
}

pub struct Party {
    pub call: u32,
    pub place: u8,
    pub number: String,
    pub address: SocketAddr,
    /// Proxies between the peer and the server, which want to stay there.
    pub proxies: u8,
    /// They are of RFC 2543.
    pub strict: bool,
    pub script: Script,
    pub asked: Vec<Asked>,
    pub served: Vec<Served>,
    pub finals: Vec<Final>,
    pub rels: Vec<Rel>,
    pub dialogs: Vec<Dialog>,
    /// It neither sends nor hears anything any more.
    pub dead: bool,
    /// It has lost its memory, and answers 481.
    pub forgot: bool,
    pub cancelled: bool,
    pub rang: bool,
    /// The INVITE that made the dialogs of a callee, by its number.
    pub invite: Option<u16>,
    /// What that INVITE asks for.
    pub asks_session_s: Option<u32>,
    pub takes_reliable: bool,
    /// The last REFER: its dialog and its CSeq.
    pub refer: Option<(u8, u32)>,
    /// Requests of the server's with Session-Expires: number, interval, and whether the server refreshes.
    pub refreshes: Vec<(u16, u32, bool)>,
}

/// Header fields and body of a message.
#[derive(Default)]
pub struct Extra {
    pub headers: String,
    pub body: Option<Token>,
}

impl Party {
    pub fn new((call, place): (u32, u8), number: String, address: SocketAddr, script: Script) -> Party {
        Party {
            call,
            place,
            number,
            address,
            proxies: 0,
            strict: false,
            script,
            asked: Vec::new(),
            served: Vec::new(),
            finals: Vec::new(),
            rels: Vec::new(),
            dialogs: Vec::new(),
            dead: false,
            forgot: false,
            cancelled: false,
            rang: false,
            invite: None,
            asks_session_s: None,
            takes_reliable: false,
            refer: None,
            refreshes: Vec::new(),
        }
    }

    pub fn wake(&mut self, on: &mut On<'_>, what: What) {
        if self.dead {
            return;
        }
        match what {
            What::Again(number, attempt) => self.again(on, number, attempt),
            What::GiveUp(number) => self.give_up(on, number),
            What::FinalAgain(number, attempt) => self.final_again(on, number, attempt),
            What::RelAgain(number, attempt) => self.rel_again(on, number, attempt),
            What::Step(step) => self.step(on, step),
            What::Act(act) => self.act(on, act),
            What::Retry(number) => self.retry(on, number),
            What::Reply(number, status) => self.reply(on, number, status),
            What::Cancel(number) => self.cancel(on, number, 0),
            What::CancelAgain(number, attempt) => self.cancel(on, number, attempt),
            What::Notify(last) => self.notify(on, last),
            What::Refresh(dialog, round) => self.refresh(on, dialog, round),
        }
    }

    pub fn server(&self) -> &'static str {
        SERVERS[usize::from(self.address.is_ipv6())]
    }

    /// A proxy's address; 1 is the one next to the server.
    pub fn proxy(&self, number: u8) -> SocketAddr {
        SocketAddr::new(self.address.ip(), 5_069 + u16::from(number))
    }

    /// Where the server sees the peer.
    pub fn edge(&self) -> SocketAddr {
        if self.proxies > 0 { self.proxy(1) } else { self.address }
    }

    pub fn uri(&self) -> String {
        let letter = if is_caller(self.place) { "c" } else { "" };
        let user = if is_caller(self.place) { format!("{:08x}", self.call) } else { self.number.clone() };
        format!("<sip:{letter}{user}@{}>", self.address)
    }

    pub fn contact(&self, fork: u8) -> String {
        format!("sip:u{:08x}{}{fork}@{}", self.call, self.digit(), self.address)
    }

    pub fn digit(&self) -> char {
        let digits = b"012345ABCDEFGHIJKLMNOPQR";
        if is_caller(self.place) { 'c' } else { char::from(digits[usize::from(self.place)]) }
    }

    pub fn tag(&self, fork: u8) -> String {
        format!("t{:08x}{}{fork}", self.call, self.digit())
    }

    /// The proxies' Record-Route: the last that saw the INVITE stands first.
    pub fn record_route(&self) -> String {
        let lr = if self.strict { "" } else { ";lr" };
        let route = |number| format!("Record-Route: <sip:r{:08x}@{}{lr}>\r\n", self.call, self.proxy(number));
        let routes = (1..=self.proxies).map(route);
        if is_caller(self.place) { routes.collect() } else { routes.rev().collect() }
    }

    fn via(&self, number: u16, hop_by_hop: bool) -> String {
        let (call, digit) = (self.call, self.digit());
        let line = |address, mark: &str| {
            format!("Via: SIP/2.0/UDP {address};rport;branch=z9hG4bK{call:08x}{digit}{number:04x}{mark}\r\n")
        };
        let mut vias = String::new();
        for proxy in 1..=self.proxies {
            vias += &line(self.proxy(proxy), if proxy == 1 { "p" } else { "q" });
            if hop_by_hop {
                return vias;
            }
        }
        vias + &line(self.address, "")
    }

    /// Writes a request in a dialog, or the one that makes it.
    pub fn write(&self, on: &On<'_>, number: u16, (dialog, method): (u8, Method), extra: &Extra) -> Vec<u8> {
        let hop_by_hop =
            method == Method::Cancel || method == Method::Ack && self.asked[number as usize].ack_is_hop();
        let asked = self.asked.get(usize::from(number));
        let dialog = &self.dialogs[usize::from(dialog)];
        let cseq = asked.map_or(dialog.cseq, |asked| asked.cseq);
        let outside = asked.is_some_and(|asked| asked.method == Method::Invite && asked.outside);
        let uri = if outside && (hop_by_hop || method == Method::Invite) {
            format!("sip:{}@{}", self.number, self.server())
        } else {
            dialog.target.clone()
        };
        let method_text = method_text(method);
        let mut text = format!("{method_text} {uri} SIP/2.0\r\n{}", self.via(number, hop_by_hop));
        let Dialog { local_uri, local_tag, remote_uri, remote_tag, call_id, .. } = dialog;
        text += &format!("Max-Forwards: {}\r\nFrom: {local_uri};tag={local_tag}\r\n", 70 - self.proxies);
        let tagged = !(remote_tag.is_empty() || outside && matches!(method, Method::Invite | Method::Cancel));
        let remote_tag = if tagged { format!(";tag={remote_tag}") } else { String::new() };
        text +=
            &format!("To: {remote_uri}{remote_tag}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method_text}\r\n");
        text += &extra.headers;
        body(&mut text, on.ledger, extra.body);
        text.into_bytes()
    }

    /// Sends a request in a dialog; its number.
    pub fn ask(
        &mut self,
        on: &mut On<'_>,
        dialog: u8,
        method: Method,
        extra: &Extra,
        offer: Option<Token>,
    ) -> u16 {
        let number = self.asked.len() as u16;
        self.dialogs[usize::from(dialog)].cseq += 1;
        let cseq = self.dialogs[usize::from(dialog)].cseq;
        let mut asked = Asked::new(method, cseq, dialog);
        asked.offer = offer;
        asked.outside = method == Method::Invite && self.dialogs[usize::from(dialog)].remote_tag.is_empty();
        self.asked.push(asked);
        let bytes = self.write(on, number, (dialog, method), extra);
        if let Some(token) = offer {
            let dialog = &mut self.dialogs[usize::from(dialog)];
            (dialog.open, dialog.described) = (Open::Sent(token), Some(token));
        }
        if self.dialogs[usize::from(dialog)].stage == Stage::Early && method != Method::Invite {
            on.net.counts.early_requests += 1;
        }
        self.send(on, bytes.clone());
        self.asked[usize::from(number)].bytes = bytes;
        on.net.wake(self.call, self.place, What::Again(number, 1), 500);
        on.net.wake(self.call, self.place, What::GiveUp(number), 32_000);
        number
    }

    pub fn send(&self, on: &mut On<'_>, bytes: Vec<u8>) {
        if self.dead {
            return;
        }
        let kind = kind_of(&bytes);
        let datagram = Datagram { call: self.call, place: self.place, address: self.edge(), bytes };
        if !on.net.carry(on.rng, false, datagram) {
            on.trace.push(on.net.now_ms, self.place, Fate::InLost, kind);
        }
    }

    /// A request again, until something has come back.
    pub fn again(&mut self, on: &mut On<'_>, number: u16, attempt: u8) {
        let asked = &self.asked[usize::from(number)];
        let waits = match asked.method {
            Method::Invite => asked.wait == Wait::Calling,
            _ => matches!(asked.wait, Wait::Calling | Wait::Proceeding),
        };
        if let Some(after_ms) = next_ms(asked.method, attempt).filter(|_| waits) {
            let bytes = asked.bytes.clone();
            self.send(on, bytes);
            on.net.wake(self.call, self.place, What::Again(number, attempt + 1), after_ms);
        }
    }

    pub fn cancel(&mut self, on: &mut On<'_>, number: u16, attempt: u8) {
        let asked = &self.asked[usize::from(number)];
        let early = matches!(asked.wait, Wait::Calling | Wait::Proceeding);
        let again = attempt > 0;
        if !early || again != (asked.cancel == Some(Wait::Calling)) {
            return;
        }
        if !again && asked.wait == Wait::Calling {
            // RFC 3261 §9.1: not before a provisional response; that one sees to it.
            self.asked[usize::from(number)].cancel_wanted = true;
            return;
        }
        let dialog = asked.dialog;
        if let Some(after_ms) = next_ms(Method::Cancel, attempt) {
            let bytes = self.write(on, number, (dialog, Method::Cancel), &Extra::default());
            self.asked[usize::from(number)].cancel = Some(Wait::Calling);
            self.send(on, bytes);
            on.net.wake(self.call, self.place, What::CancelAgain(number, attempt + 1), after_ms);
        }
    }

    /// Takes a request of the server's down, to answer it.
    pub fn serve(&mut self, on: &On<'_>, message: &Message<'_>, dialog: u8) -> u16 {
        let value = |name| String::from_utf8_lossy(message.header(name).unwrap_or_default()).into_owned();
        let mut head = String::new();
        for via in message.values(HeaderName::Via) {
            head += &format!("Via: {}\r\n", String::from_utf8_lossy(via));
        }
        let (from, call_id, cseq) =
            (value(HeaderName::From), value(HeaderName::CallId), value(HeaderName::CSeq));
        head += &format!("From: {from}\r\nCall-ID: {call_id}\r\nCSeq: {cseq}\r\n");
        let token = on.ledger.token_of(message.body());
        self.served.push(Served {
            branch: branch_of(message).to_vec(),
            method: message.method(),
            cseq: message.cseq().map_or(0, |cseq| cseq.number),
            head,
            to: value(HeaderName::To),
            dialog,
            offer: token.filter(|_| !message.body().is_empty()),
            token,
            last: Vec::new(),
            status: 0,
        });
        self.served.len() as u16 - 1
    }

    /// Answers a request of the server's, in its dialog.
    pub fn respond(&mut self, on: &mut On<'_>, number: u16, status: u16, extra: &Extra) -> Vec<u8> {
        let dialog = self.served[usize::from(number)].dialog;
        self.respond_as(on, number, (dialog, status), extra)
    }

    /// The same as one of the branches of a fork.
    pub fn respond_as(
        &mut self,
        on: &mut On<'_>,
        number: u16,
        (dialog, status): (u8, u16),
        extra: &Extra,
    ) -> Vec<u8> {
        let served = &self.served[usize::from(number)];
        let mut text = format!("SIP/2.0 {status} Some Reason\r\n{}To: {}", served.head, served.to);
        if status > 100 && !served.to.contains(";tag=") {
            text += &format!(";tag={}", self.tag(dialog));
        }
        text += "\r\n";
        let is_invite = served.method == Method::Invite;
        let (method, token) = (served.method, served.token);
        if (is_invite || method == Method::Update) && (101..300).contains(&status) {
            let contact = self.dialogs.get(usize::from(dialog)).map(|dialog| dialog.contact.clone());
            text += &format!("Contact: <{}>\r\n", contact.unwrap_or_else(|| self.contact(dialog)));
            if is_invite && !served.to.contains(";tag=") && !is_caller(self.place) {
                text += &self.record_route();
            }
            text += &format!("Allow: {}\r\n", self.script.allow());
        }
        text += &extra.headers;
        body(&mut text, on.ledger, extra.body);
        if let (Some(token), 200..) = (token, status) {
            on.ledger.answered(token, status);
        }
        let bytes = text.into_bytes();
        let served = &mut self.served[usize::from(number)];
        (served.last, served.status) = (bytes.clone(), status);
        self.send(on, bytes.clone());
        bytes
    }

    pub fn dialog(&mut self, number: u8) -> &mut Dialog {
        &mut self.dialogs[usize::from(number)]
    }

    pub fn dialog_of(&self, tag: &[u8]) -> Option<u8> {
        let found = self.dialogs.iter().position(|dialog| dialog.local_tag.as_bytes() == tag);
        found.map(|number| number as u8)
    }
}

/// Content-Type, Content-Length and the body.
fn body(text: &mut String, ledger: &Ledger, token: Option<Token>) {
    match token {
        Some(token) => {
            let body = ledger.text(token);
            let kind = ledger.content_type(token);
            *text += &format!("Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
        None => *text += "Content-Length: 0\r\n\r\n",
    }
}

pub fn branch_of<'a>(message: &Message<'a>) -> &'a [u8] {
    message.top_via().map_or(&b""[..], |via| via.branch)
}

/// What a message of a peer's own is.
pub fn kind_of(bytes: &[u8]) -> Kind {
    let text = |part: &[u8]| Method::from_token(part);
    if let Some(rest) = bytes.strip_prefix(b"SIP/2.0 ") {
        let status = rest[..3].iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
        let cseq = bytes.windows(6).position(|window| window == b"CSeq: ").unwrap_or(0);
        let line = bytes[cseq + 6..].split(|byte| *byte == b'\r').next().unwrap_or_default();
        return Kind::Response(status, text(line.rsplit(|byte| *byte == b' ').next().unwrap_or_default()));
    }
    Kind::Request(text(bytes.split(|byte| *byte == b' ').next().unwrap_or_default()))
}
