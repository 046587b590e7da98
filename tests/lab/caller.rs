//! The caller's side: an INVITE as a phone writes it, and what a user agent says in its dialog.

use super::Lab;
use super::peer::{Peer, SERVER};
use super::sip::{Sip, uri_of};

/// The reference flow's offer.
pub const OFFER: &str = "v=0\r\no=ZED3 5525 5525 IN IP4 127.0.0.137\r\ns=ZED3\r\nc=IN IP4 127.0.0.137\r\n\
    t=0 0\r\nm=audio 6510 RTP/AVP 4 18 8 0 3 101\r\na=rtpmap:4 G723/8000\r\na=rtpmap:18 G729/8000\r\n\
    a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:3 GSM/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n";

/// A request, written as RFC 3261 §8.1.1 says. `lines` are further header lines without line breaks; SDP
/// is assumed of a body, unless one of them is a Content-Type.
#[derive(Clone, Debug)]
pub struct Invite {
    pub peer: Peer,
    pub method: String,
    pub request_uri: String,
    /// The whole topmost Via.
    pub via: String,
    pub from: String,
    pub to: String,
    pub call_id: String,
    pub cseq: u32,
    pub max_forwards: Option<u32>,
    pub contact: String,
    pub lines: Vec<String>,
    pub body: String,
}

impl Invite {
    /// The reference flow's INVITE, from `peer` to a number.
    pub fn new(lab: &mut Lab, peer: Peer, number: &str) -> Invite {
        request(lab, peer, "INVITE", number)
    }

    pub fn line(mut self, line: impl Into<String>) -> Invite {
        self.lines.push(line.into());
        self
    }

    pub fn body(mut self, body: &str) -> Invite {
        self.body = body.into();
        self
    }

    pub fn max_forwards(mut self, max_forwards: u32) -> Invite {
        self.max_forwards = Some(max_forwards);
        self
    }

    /// As it goes on the wire.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{} {} SIP/2.0\r\nVia: {}\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} {}\r\n",
            self.method, self.request_uri, self.via, self.from, self.to, self.call_id, self.cseq, self.method
        );
        if !self.contact.is_empty() {
            text += &format!("Contact: {}\r\n", self.contact);
        }
        if let Some(max_forwards) = self.max_forwards {
            text += &format!("Max-Forwards: {max_forwards}\r\n");
        }
        for line in &self.lines {
            text += &format!("{line}\r\n");
        }
        text += content_type(&self.lines, &self.body);
        text + &format!("Content-Length: {}\r\n\r\n{}", self.body.len(), self.body)
    }

    /// Sends it and becomes the caller.
    pub fn send(self, lab: &mut Lab) -> Caller {
        let text = self.text();
        lab.send(self.peer, &text);
        Caller { cseq: self.cseq, invite: self, text, answer: None }
    }
}

/// A request outside a dialog, from `peer` to a number at the server; INVITE carries the reference offer.
pub fn request(lab: &mut Lab, peer: Peer, method: &str, number: &str) -> Invite {
    let serial = lab.serial();
    let Peer { number: own, address, .. } = peer;
    Invite {
        peer,
        method: method.into(),
        request_uri: format!("sip:{number}@{SERVER};transport=udp"),
        via: format!("SIP/2.0/UDP {address};rport;branch=z9hG4bK1075{serial}"),
        from: format!("\"{own}\" <sip:{own}@{SERVER};user=phone>;tag=3873{serial}"),
        to: format!("<sip:{number}@{SERVER}>"),
        call_id: format!("call{serial}@{}", address.ip()),
        cseq: 39,
        max_forwards: Some(30),
        contact: format!("<sip:{own}@{address}>"),
        lines: Vec::new(),
        body: if method == "INVITE" { OFFER.into() } else { String::new() },
    }
}

/// A caller who sent an INVITE.
pub struct Caller {
    pub invite: Invite,
    /// The INVITE as it was sent.
    pub text: String,
    pub cseq: u32,
    /// The 2xx that was taken.
    pub answer: Option<Sip>,
}

impl Caller {
    /// A call from a peer to a number, as the reference flow begins it.
    pub fn call(lab: &mut Lab, peer: Peer, number: &str) -> Caller {
        Invite::new(lab, peer, number).send(lab)
    }

    pub fn peer(&self) -> Peer {
        self.invite.peer
    }

    /// The INVITE again, byte for byte.
    pub fn resend(&self, lab: &mut Lab) {
        lab.send(self.invite.peer, &self.text);
    }

    /// The INVITE's CANCEL (RFC 3261 §9.1).
    pub fn cancel_text(&self) -> String {
        let plain =
            Invite { method: "CANCEL".into(), body: String::new(), lines: Vec::new(), ..self.invite.clone() };
        Invite { contact: String::new(), ..plain }.text()
    }

    pub fn cancel(&self, lab: &mut Lab) {
        lab.send(self.invite.peer, &self.cancel_text());
    }

    /// Takes the next message to the caller, a final response other than 2xx, and acknowledges it.
    #[track_caller]
    pub fn refused(&self, lab: &mut Lab, status: u16) -> Sip {
        let response = lab.expect(self.invite.peer, &format!("{status} INVITE"));
        lab.send(self.invite.peer, &self.ack_refusal_text(&response));
        response
    }

    /// The ACK to a final response other than 2xx: the INVITE's branch (RFC 3261 §17.1.1.3).
    pub fn ack_refusal_text(&self, response: &Sip) -> String {
        let plain =
            Invite { method: "ACK".into(), body: String::new(), lines: Vec::new(), ..self.invite.clone() };
        Invite { contact: String::new(), to: response.one("To").into(), ..plain }.text()
    }

    /// Takes the 2xx, the next message to the caller.
    #[track_caller]
    pub fn answered(&mut self, lab: &mut Lab) -> Sip {
        let answer = lab.expect(self.invite.peer, "200 INVITE");
        self.answer = Some(answer.clone());
        answer
    }

    /// Takes the 2xx and acknowledges it.
    #[track_caller]
    pub fn answered_and_acked(&mut self, lab: &mut Lab) -> Sip {
        let answer = self.answered(lab);
        self.ack(lab, "");
        answer
    }

    /// ACK to the 2xx; returned so that it can be sent again.
    #[track_caller]
    pub fn ack(&mut self, lab: &mut Lab, body: &str) -> String {
        let number = self.invite.cseq;
        let text = self.dialog().text(lab, "ACK", number, &[], body);
        lab.send(self.invite.peer, &text);
        text
    }

    /// BYE in the dialog; returned so that it can be sent again.
    #[track_caller]
    pub fn bye(&mut self, lab: &mut Lab) -> String {
        self.in_dialog(lab, "BYE", &[])
    }

    /// A request in the dialog with the next CSeq.
    #[track_caller]
    pub fn in_dialog(&mut self, lab: &mut Lab, method: &str, lines: &[&str]) -> String {
        self.cseq += 1;
        let text = self.dialog().text(lab, method, self.cseq, lines, "");
        lab.send(self.invite.peer, &text);
        text
    }

    /// The dialog that the 2xx made (RFC 3261 §12.1.2).
    #[track_caller]
    pub fn dialog(&self) -> Dialog {
        let answer = self.answer.as_ref().expect("an answer");
        Dialog::of_caller(self.invite.peer, answer)
    }

    /// Answers a request of the server's.
    pub fn respond(&self, lab: &mut Lab, request: &Sip, status: &str) {
        lab.send(self.invite.peer, &response(request, status, "", &[], ""));
    }
}

/// What a user agent needs to send requests in a dialog (RFC 3261 §12.2.1.1).
#[derive(Clone, Debug)]
pub struct Dialog {
    pub peer: Peer,
    pub call_id: String,
    /// The user agent's own address with its tag.
    pub local: String,
    pub remote: String,
    pub target: String,
    pub routes: Vec<String>,
}

impl Dialog {
    /// From a response that makes a dialog, as the side that sent the INVITE.
    #[track_caller]
    pub fn of_caller(peer: Peer, response: &Sip) -> Dialog {
        let mut routes = response.list("Record-Route");
        routes.reverse();
        Dialog {
            peer,
            call_id: response.call_id.clone(),
            local: response.one("From").into(),
            remote: response.one("To").into(),
            target: uri_of(response.one("Contact")).into(),
            routes,
        }
    }

    /// A request in the dialog, with a branch of its own.
    pub fn text(&self, lab: &mut Lab, method: &str, cseq: u32, lines: &[&str], body: &str) -> String {
        let route = self.routes.iter().map(|route| format!("Route: {route}"));
        let serial = lab.serial();
        Invite {
            peer: self.peer,
            method: method.into(),
            request_uri: self.target.clone(),
            via: format!("SIP/2.0/UDP {};rport;branch=z9hG4bK2053{serial}", self.peer.address),
            from: self.local.clone(),
            to: self.remote.clone(),
            call_id: self.call_id.clone(),
            cseq,
            max_forwards: Some(30),
            contact: String::new(),
            lines: route.chain(lines.iter().map(|line| line.to_string())).collect(),
            body: body.into(),
        }
        .text()
    }
}

/// A response to a request (RFC 3261 §8.2.6.2); `tag` is added to a To without one.
pub fn response(request: &Sip, status: &str, tag: &str, lines: &[String], body: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for via in request.all("Via") {
        text += &format!("Via: {via}\r\n");
    }
    let to = request.one("To");
    let tag =
        if tag.is_empty() || !request.to_tag.is_empty() { String::new() } else { format!(";tag={tag}") };
    text += &format!("From: {}\r\nTo: {to}{tag}\r\n", request.one("From"));
    text += &format!("Call-ID: {}\r\nCSeq: {}\r\n", request.call_id, request.one("CSeq"));
    for line in lines {
        text += &format!("{line}\r\n");
    }
    text += content_type(lines, body);
    text + &format!("Content-Length: {}\r\n\r\n{body}", body.len())
}

/// What a body is taken for, unless one of the lines says what it is.
fn content_type(lines: &[String], body: &str) -> &'static str {
    let is_said = lines.iter().any(|line| line.starts_with("Content-Type:"));
    if body.is_empty() || is_said { "" } else { "Content-Type: application/sdp\r\n" }
}
