//! One side of a call in its dialog with the server, early or confirmed; both sides are used alike.

use super::Lab;
use super::callee::Leg;
use super::caller::{Caller, Dialog, response};
use super::peer::{A, C, Peer};
use super::sip::Sip;

/// A session description that differs from others by its port.
pub fn sdp(port: u16) -> String {
    format!(
        "v=0\r\no=- {port} {port} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 8\r\n"
    )
}

/// The same on hold (RFC 3264 §8.4).
pub fn hold(port: u16) -> String {
    sdp(port) + "a=sendonly\r\n"
}

/// A user agent in its dialog.
#[derive(Clone, Debug)]
pub struct Party {
    pub peer: Peer,
    pub dialog: Dialog,
    /// CSeq of the last request that it sent.
    pub cseq: u32,
    /// What it names in the requests that may move it (RFC 3261 §12.2).
    pub contact: String,
}

impl Party {
    /// The caller in the dialog that a response made.
    #[track_caller]
    pub fn caller(caller: &Caller, response: &Sip) -> Party {
        let peer = caller.peer();
        Party { dialog: Dialog::of_caller(peer, response), ..Party::new(peer, caller.cseq) }
            .named(uri(&caller.invite.contact))
    }

    /// A callee in the dialog that its responses make.
    #[track_caller]
    pub fn callee(leg: &Leg) -> Party {
        Party { dialog: leg.dialog(), ..Party::new(leg.peer, leg.cseq) }
    }

    fn new(peer: Peer, cseq: u32) -> Party {
        let none = String::new;
        let dialog = Dialog {
            peer,
            call_id: none(),
            local: none(),
            remote: none(),
            target: none(),
            routes: Vec::new(),
        };
        Party { peer, dialog, cseq, contact: format!("sip:{}@{}", peer.number, peer.address) }
    }

    fn named(mut self, contact: &str) -> Party {
        self.contact = contact.into();
        self
    }

    /// From now on it is at another address.
    pub fn move_to(&mut self, peer: Peer) {
        self.peer = peer;
        self.dialog.peer = peer;
        self.contact = format!("sip:{}@{}", peer.number, peer.address);
    }

    /// A request with the next CSeq; SDP is assumed of a body unless a line says what it is.
    pub fn request(&mut self, lab: &mut Lab, method: &str, lines: &[&str], body: &str) -> Sip {
        self.cseq += 1;
        let contact = format!("Contact: <{}>", self.contact);
        let moves = ["INVITE", "UPDATE", "SUBSCRIBE", "NOTIFY", "REFER"].contains(&method);
        let own = moves && !lines.iter().any(|line| line.starts_with("Contact"));
        let mut all = lines.to_vec();
        all.extend(own.then_some(contact.as_str()));
        let text = self.dialog.text(lab, method, self.cseq, &all, body);
        self.send(lab, &text);
        Sip::read(text.as_bytes()).expect("a test sends readable requests")
    }

    /// Anything.
    pub fn send(&self, lab: &mut Lab, text: &str) {
        lab.send(self.peer, text);
    }

    /// The same message again, byte for byte.
    pub fn resend(&self, lab: &mut Lab, sent: &Sip) {
        lab.send_bytes(self.peer.address, &sent.bytes);
    }

    pub fn invite(&mut self, lab: &mut Lab, body: &str) -> Sip {
        self.request(lab, "INVITE", &[], body)
    }

    pub fn update(&mut self, lab: &mut Lab, body: &str) -> Sip {
        self.request(lab, "UPDATE", &[], body)
    }

    /// PRACK of a reliable response (RFC 3262 §4).
    #[track_caller]
    pub fn prack(&mut self, lab: &mut Lab, response: &Sip, body: &str) -> Sip {
        let rack = format!("RAck: {} {}", response.one("RSeq"), response.one("CSeq"));
        self.request(lab, "PRACK", &[&rack], body)
    }

    /// The next message to it, which must be this one.
    #[track_caller]
    pub fn expect(&self, lab: &mut Lab, summary: &str) -> Sip {
        lab.expect(self.peer, summary)
    }

    /// The next message to it is this response to a request of its own.
    #[track_caller]
    pub fn expect_response(&self, lab: &mut Lab, request: &Sip, status: u16) -> Sip {
        let response = self.expect(lab, &format!("{status} {}", request.method));
        assert_eq!((&response.branch, response.cseq), (&request.branch, request.cseq), "of which request?");
        response
    }

    /// Responds to a request of the server's; a 2xx to what may move it names its Contact.
    pub fn respond(&self, lab: &mut Lab, request: &Sip, status: &str, lines: &[&str], body: &str) -> String {
        let mut all: Vec<String> = lines.iter().map(|line| line.to_string()).collect();
        let moves = ["INVITE", "UPDATE"].contains(&request.method.as_str()) && status.starts_with(['1', '2']);
        if moves && !lines.iter().any(|line| line.starts_with("Contact")) {
            all.push(format!("Contact: <{}>", self.contact));
        }
        let text = response(request, status, "", &all, body);
        self.send(lab, &text);
        text
    }

    /// The same without header lines and body.
    pub fn answer(&self, lab: &mut Lab, request: &Sip, status: &str) -> String {
        self.respond(lab, request, status, &[], "")
    }

    /// ACK to the 2xx to an INVITE of its own; returned so that it can be sent again.
    pub fn ack(&self, lab: &mut Lab, invite: &Sip, body: &str) -> String {
        let text = self.dialog.text(lab, "ACK", invite.cseq, &[], body);
        self.send(lab, &text);
        text
    }

    /// Takes a final response other than 2xx to an INVITE of its own (a 100 may go before); acknowledges it.
    #[track_caller]
    pub fn refused(&self, lab: &mut Lab, invite: &Sip, status: u16) -> Sip {
        if lab.next_to(self.peer) == "100 INVITE" {
            self.expect_response(lab, invite, 100);
        }
        let response = self.expect_response(lab, invite, status);
        self.ack_refusal(lab, invite, &response);
        response
    }

    /// The ACK to a final response other than 2xx (RFC 3261 §17.1.1.3).
    pub fn ack_refusal(&self, lab: &mut Lab, invite: &Sip, response: &Sip) {
        self.send(lab, &same_branch(invite, "ACK", response.one("To")));
    }

    /// It said BYE while its INVITE was pending: 200 and 487, in either order.
    #[track_caller]
    pub fn refused_and_byed(&self, lab: &mut Lab, invite: &Sip, bye: &Sip) {
        if lab.next_to(self.peer) == "200 BYE" {
            self.expect_response(lab, bye, 200);
            self.refused(lab, invite, 487);
        } else {
            self.refused(lab, invite, 487);
            self.expect_response(lab, bye, 200);
        }
    }

    /// The other side hung up while its INVITE was pending: 487 and BYE, in either order.
    #[track_caller]
    pub fn refused_and_hung_up(&self, lab: &mut Lab, invite: &Sip) {
        if lab.next_to(self.peer) == "BYE" {
            self.hung_up(lab);
            self.refused(lab, invite, 487);
        } else {
            self.refused(lab, invite, 487);
            self.hung_up(lab);
        }
    }

    /// CANCEL of an INVITE of its own.
    pub fn cancel(&self, lab: &mut Lab, invite: &Sip) {
        self.send(lab, &same_branch(invite, "CANCEL", invite.one("To")));
    }

    /// Takes the INVITE and refuses it; the ACK must follow.
    #[track_caller]
    pub fn refuse(&self, lab: &mut Lab, invite: &Sip, status: &str) {
        self.answer(lab, invite, status);
        self.expect(lab, "ACK");
    }

    /// Takes BYE and answers it.
    #[track_caller]
    pub fn hung_up(&self, lab: &mut Lab) -> Sip {
        let bye = self.expect(lab, "BYE");
        self.answer(lab, &bye, "200 OK");
        bye
    }
}

fn uri(address: &str) -> &str {
    super::sip::uri_of(address)
}

/// CANCEL, or the ACK to a refusal: the INVITE's own Request-URI, Via, Route and CSeq number.
fn same_branch(invite: &Sip, method: &str, to: &str) -> String {
    let route: String = invite.all("Route").iter().map(|route| format!("Route: {route}\r\n")).collect();
    format!(
        "{method} {} SIP/2.0\r\nVia: {}\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {} {method}\r\n\
         Max-Forwards: 30\r\n{route}Content-Length: 0\r\n\r\n",
        invite.request_uri,
        invite.one("Via"),
        invite.one("From"),
        invite.call_id,
        invite.cseq
    )
}

/// A call that A made to C and C answered, in a laboratory of its own: whoever asks first, then the other.
pub struct Talk {
    pub lab: Lab,
    pub asker: Party,
    pub other: Party,
}

/// Two such calls: in the first the caller asks, in the second the callee.
pub fn both_ways() -> [Talk; 2] {
    both_ways_in(Lab::new, &[], &[])
}

/// The same in other laboratories, and with further lines in the INVITE and in its 200.
#[track_caller]
pub fn both_ways_in(lab: impl Fn() -> Lab, caller: &[&str], callee: &[&str]) -> [Talk; 2] {
    [true, false].map(|caller_asks| {
        let mut lab = lab();
        let (a, c) = talk(&mut lab, caller, callee);
        let (asker, other) = if caller_asks { (a, c) } else { (c, a) };
        Talk { lab, asker, other }
    })
}

/// A called C, with these lines in the INVITE and in its 200.
#[track_caller]
pub fn talk(lab: &mut Lab, caller: &[&str], callee: &[&str]) -> (Party, Party) {
    let mut invite = super::caller::Invite::new(lab, A, C.number);
    invite.lines = caller.iter().map(|line| line.to_string()).collect();
    let mut caller = invite.send(lab);
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(lab, C);
    c.respond_with(lab, "200 OK", callee, super::callee::ANSWER);
    let answer = caller.answered_and_acked(lab);
    lab.expect(C, "ACK");
    lab.expect_nothing();
    (Party::caller(&caller, &answer), Party::callee(&c))
}

/// The other side accepts a re-INVITE; the answer and the ACK pass.
#[track_caller]
pub fn accepted(lab: &mut Lab, asker: &Party, other: &Party, (invite, relayed): (&Sip, &Sip)) {
    other.respond(lab, relayed, "200 OK", &[], &sdp(2));
    assert_eq!(asker.expect_response(lab, invite, 200).body, sdp(2));
    asker.ack(lab, invite, "");
    other.expect(lab, "ACK");
}

/// One side hangs up, and the test is over.
#[track_caller]
pub fn bye_and_finish(mut lab: Lab, mut asker: Party, other: &Party) {
    let bye = asker.request(&mut lab, "BYE", &[], "");
    asker.expect_response(&mut lab, &bye, 200);
    other.hung_up(&mut lab);
    lab.finish();
}

/// The server has ended the call: both get BYE, in either order, and the test is over.
#[track_caller]
pub fn both_byed_and_finish(mut lab: Lab, one: &Party, other: &Party) {
    one.hung_up(&mut lab);
    other.hung_up(&mut lab);
    lab.finish();
}

/// A and C in an early dialog whose offer is answered (RFC 3262): A supports 100rel, C's reliable 183 had the
/// answer, A's PRACK has been relayed.
pub struct Early {
    pub lab: Lab,
    pub caller: Caller,
    pub leg: Leg,
    pub a: Party,
    pub c: Party,
}

impl Early {
    #[track_caller]
    pub fn new() -> Early {
        Early::with(&[])
    }

    /// With further lines in the INVITE.
    #[track_caller]
    pub fn with(lines: &[&str]) -> Early {
        let mut lab = Lab::new();
        let mut all = vec!["Supported: 100rel", "Allow: INVITE, ACK, CANCEL, BYE, PRACK, UPDATE"];
        all.extend(lines);
        let (caller, leg) = calling(&mut lab, &all);
        leg.reliable(&mut lab, "183 Session Progress", 1, super::callee::ANSWER);
        let progress = lab.expect(A, "183 INVITE");
        let mut a = Party::caller(&caller, &progress);
        let c = Party::callee(&leg);
        let prack = a.prack(&mut lab, &progress, "");
        let relayed = c.expect(&mut lab, "PRACK");
        c.answer(&mut lab, &relayed, "200 OK");
        a.expect_response(&mut lab, &prack, 200);
        lab.expect_nothing();
        Early { lab, caller, leg, a, c }
    }

    /// C answers, A acknowledges and hangs up, and the test is over.
    #[track_caller]
    pub fn finish(self) {
        let Early { mut lab, mut caller, leg, a, c } = self;
        leg.respond_with(&mut lab, "200 OK", &[], "");
        caller.answered_and_acked(&mut lab);
        lab.expect(C, "ACK");
        bye_and_finish(lab, a, &c);
    }
}

/// A calls C with these lines in its INVITE; C has said nothing yet.
#[track_caller]
pub fn calling(lab: &mut Lab, lines: &[&str]) -> (Caller, Leg) {
    calling_to(lab, C, lines)
}

/// The same to another callee.
#[track_caller]
pub fn calling_to(lab: &mut Lab, callee: Peer, lines: &[&str]) -> (Caller, Leg) {
    let mut invite = super::caller::Invite::new(lab, A, callee.number);
    invite.lines = lines.iter().map(|line| line.to_string()).collect();
    let caller = invite.send(lab);
    lab.expect(A, "100 INVITE");
    let leg = Leg::expect(lab, callee);
    (caller, leg)
}
