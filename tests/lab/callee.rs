//! A callee's side: the INVITE that it got, what it answers, and its own requests in the dialog.

use super::Lab;
use super::caller::{Dialog, response};
use super::peer::Peer;
use super::sip::{Sip, uri_of};

/// The reference flow's answer, from C.
pub const ANSWER: &str = "v=0\r\no=ZED3 5605 5605 IN IP4 127.0.0.138\r\ns=ZED3\r\n\
    c=IN IP4 127.0.0.138\r\nt=0 0\r\nm=audio 33440 RTP/AVP 18 101\r\na=rtpmap:18 G729/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n";

/// A callee that was sent an INVITE.
#[derive(Clone, Debug)]
pub struct Leg {
    pub peer: Peer,
    pub invite: Sip,
    pub tag: String,
    /// CSeq of the callee's own requests.
    pub cseq: u32,
}

impl Leg {
    /// Takes the next message to the peer, which must be an INVITE.
    #[track_caller]
    pub fn expect(lab: &mut Lab, peer: Peer) -> Leg {
        let invite = lab.expect(peer, "INVITE");
        let tag = format!("11{}{}", peer.number, lab.serial());
        Leg { peer, invite, tag, cseq: 222 }
    }

    /// A response to the INVITE as it goes on the wire: `180 Ringing`. A 2xx carries `ANSWER`.
    pub fn text(&self, status: &str) -> String {
        let body = if status.starts_with('2') { ANSWER } else { "" };
        self.text_with(status, &[], body)
    }

    pub fn text_with(&self, status: &str, lines: &[&str], body: &str) -> String {
        let contact = format!("Contact: <sip:{}@{}>", self.peer.number, self.peer.address);
        let own = lines.iter().any(|line| line.starts_with("Contact:"));
        let mut all: Vec<String> = if own { Vec::new() } else { vec![contact] };
        all.extend(lines.iter().map(|line| line.to_string()));
        response(&self.invite, status, &self.tag, &all, body)
    }

    /// Responds to the INVITE.
    pub fn respond(&self, lab: &mut Lab, status: &str) -> String {
        let text = self.text(status);
        lab.send(self.peer, &text);
        text
    }

    /// Responds to the INVITE with further header lines and a body.
    pub fn respond_with(&self, lab: &mut Lab, status: &str, lines: &[&str], body: &str) -> String {
        let text = self.text_with(status, lines, body);
        lab.send(self.peer, &text);
        text
    }

    /// A reliable provisional response (RFC 3262 §3).
    pub fn reliable(&self, lab: &mut Lab, status: &str, rseq: u32, body: &str) -> String {
        self.respond_with(lab, status, &["Require: 100rel", &format!("RSeq: {rseq}")], body)
    }

    /// The same INVITE at another branch of a forking proxy: another To tag.
    pub fn fork(&self, tag: &str) -> Leg {
        Leg { tag: tag.into(), ..self.clone() }
    }

    /// 100 and 180.
    pub fn ring(&self, lab: &mut Lab) {
        self.respond(lab, "100 Trying");
        self.respond(lab, "180 Ringing");
    }

    /// A final response other than 2xx, and takes its ACK.
    #[track_caller]
    pub fn reject(&self, lab: &mut Lab, status: &str) -> Sip {
        self.respond(lab, status);
        lab.expect(self.peer, "ACK")
    }

    /// Answers any other request of the server's.
    pub fn answer(&self, lab: &mut Lab, request: &Sip, status: &str) -> String {
        self.answer_with(lab, request, status, &[])
    }

    /// The same with header lines.
    pub fn answer_with(&self, lab: &mut Lab, request: &Sip, status: &str, lines: &[&str]) -> String {
        let lines: Vec<String> = lines.iter().map(|line| line.to_string()).collect();
        let text = response(request, status, &self.tag, &lines, "");
        lab.send(self.peer, &text);
        text
    }

    /// Takes CANCEL and behaves: 200 to it, 487 to the INVITE, takes the ACK.
    #[track_caller]
    pub fn cancelled(&self, lab: &mut Lab) {
        let cancel = lab.expect(self.peer, "CANCEL");
        self.answer(lab, &cancel, "200 OK");
        self.reject(lab, "487 Request Terminated");
    }

    /// Takes BYE and answers it.
    #[track_caller]
    pub fn hung_up(&self, lab: &mut Lab) -> Sip {
        let bye = lab.expect(self.peer, "BYE");
        self.answer(lab, &bye, "200 OK");
        bye
    }

    /// The dialog as the side that got the INVITE (RFC 3261 §12.1.1).
    #[track_caller]
    pub fn dialog(&self) -> Dialog {
        Dialog {
            peer: self.peer,
            call_id: self.invite.call_id.clone(),
            local: format!("{};tag={}", self.invite.one("To"), self.tag),
            remote: self.invite.one("From").into(),
            target: uri_of(self.invite.one("Contact")).into(),
            routes: self.invite.list("Record-Route"),
        }
    }

    /// BYE in the dialog; returned so that it can be sent again.
    #[track_caller]
    pub fn bye(&mut self, lab: &mut Lab) -> String {
        self.in_dialog(lab, "BYE", &[])
    }

    #[track_caller]
    pub fn in_dialog(&mut self, lab: &mut Lab, method: &str, lines: &[&str]) -> String {
        self.cseq += 1;
        let text = self.dialog().text(lab, method, self.cseq, lines, "");
        lab.send(self.peer, &text);
        text
    }
}
