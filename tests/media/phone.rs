//! A phone: as little of SIP as the calls take, and the sockets of its media.

use super::{Message, PATIENCE};
use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

pub struct Phone {
    socket: UdpSocket,
    pub address: SocketAddr,
    server: SocketAddr,
    pub number: String,
    /// What came and nobody has asked for yet.
    waiting: RefCell<Vec<Message>>,
    /// Requests and final responses that came; what comes again is a repetition.
    seen: RefCell<Vec<Message>>,
    count: Cell<u32>,
}

/// One side of a dialog (RFC 3261 §12).
#[derive(Debug)]
pub struct Dialog {
    pub call_id: String,
    /// The Via of the last request, which its CANCEL repeats.
    via: RefCell<String>,
    /// The values of From and To in our requests.
    local: String,
    remote: String,
    target: String,
    cseq: Cell<u32>,
}

impl Dialog {
    /// The called party's side, once its tag is `tag`.
    #[track_caller]
    pub fn called(invite: &Message) -> Dialog {
        Dialog {
            call_id: invite.header("Call-ID").to_owned(),
            via: RefCell::default(),
            local: tagged(invite.header("To")),
            remote: invite.header("From").to_owned(),
            target: invite.contact().to_owned(),
            cseq: Cell::new(0),
        }
    }
}

/// With the tag that every called phone has.
fn tagged(to: &str) -> String {
    if to.contains(";tag=") { to.to_owned() } else { format!("{to};tag=called") }
}

impl Phone {
    /// A phone at a host's port 5060, or at any if that one has it already.
    pub fn new(host: IpAddr, number: &str, server: SocketAddr) -> Phone {
        let socket = UdpSocket::bind((host, 5060)).or_else(|_| UdpSocket::bind((host, 0))).expect("a port");
        let address = socket.local_addr().expect("bound");
        Phone {
            socket,
            address,
            server,
            number: number.to_owned(),
            waiting: RefCell::default(),
            seen: RefCell::default(),
            count: Cell::new(0),
        }
    }

    pub fn host(&self) -> IpAddr {
        self.address.ip()
    }

    /// The value of `--subscriber` that leads to this phone.
    pub fn subscriber(&self) -> String {
        format!("number={},contact=sip:{}@{}", self.number, self.number, self.address)
    }

    fn send(&self, text: &str) {
        self.socket.send_to(text.as_bytes(), self.server).expect("sent");
    }

    /// What is sought, whatever came before it.
    pub fn find(&self, patience: Duration, is_it: impl Fn(&Message) -> bool) -> Option<Message> {
        let deadline = Instant::now() + patience;
        loop {
            let mut waiting = self.waiting.borrow_mut();
            if let Some(at) = waiting.iter().position(&is_it) {
                return Some(waiting.remove(at));
            }
            let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            self.socket.set_read_timeout(Some(left)).expect("a timeout");
            let mut buffer = [0; 8192];
            let Ok(length) = self.socket.recv(&mut buffer) else { continue };
            let message = Message(String::from_utf8_lossy(&buffer[..length]).into_owned());
            if self.seen.borrow().contains(&message) {
                continue;
            }
            // Two legs may ring in the same words.
            if message.status().is_none_or(|status| status >= 200) {
                self.seen.borrow_mut().push(message.clone());
            }
            waiting.push(message);
        }
    }

    #[track_caller]
    fn expect(&self, what: &str, is_it: impl Fn(&Message) -> bool) -> Message {
        self.find(PATIENCE, is_it).unwrap_or_else(|| {
            panic!("{} gets no {what}; there is {:#?}", self.number, self.waiting.borrow())
        })
    }

    /// The next request with this method.
    #[track_caller]
    pub fn request(&self, method: &str) -> Message {
        self.expect(method, |message| message.method() == Some(method))
    }

    /// The next request with this method in a dialog.
    #[track_caller]
    pub fn request_in(&self, dialog: &Dialog, method: &str) -> Message {
        let is_it = |message: &Message| {
            message.method() == Some(method) && message.field("Call-ID") == Some(&dialog.call_id)
        };
        self.expect(method, is_it)
    }

    /// Answers a request; a body is a session description, or has parts with `--part` before each.
    pub fn respond(&self, request: &Message, status: &str, body: &str) {
        self.respond_with(request, status, "", body);
    }

    /// The same with further header fields.
    pub fn respond_with(&self, request: &Message, status: &str, fields: &str, body: &str) {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for line in request.lines() {
            match line.split(':').next().unwrap_or_default() {
                "To" if !status.starts_with("100") => text += &format!("{}\r\n", tagged(line)),
                "Via" | "From" | "To" | "Call-ID" | "CSeq" => text += &format!("{line}\r\n"),
                _ => {}
            }
        }
        self.send(&(text + fields + &self.end(body)));
    }

    /// Contact and what follows it.
    fn end(&self, body: &str) -> String {
        let contact = format!("Contact: <sip:{}@{}>\r\n", self.number, self.address);
        let kind = match body {
            "" => "",
            _ if body.starts_with("--part") => "Content-Type: multipart/mixed; boundary=part\r\n",
            _ => "Content-Type: application/sdp\r\n",
        };
        format!("{contact}{kind}Content-Length: {}\r\n\r\n{body}", body.len())
    }

    /// Registers its address for its number.
    #[track_caller]
    pub fn register(&self) {
        let dialog = self.new_dialog(&self.number);
        self.send_in(&dialog, "REGISTER", "");
        self.response(&dialog, "REGISTER", 200);
    }

    /// Calls a number; an empty body makes no offer.
    pub fn dial(&self, number: &str, body: &str) -> Dialog {
        self.dial_with(number, "", body)
    }

    /// The same with further header fields.
    pub fn dial_with(&self, number: &str, fields: &str, body: &str) -> Dialog {
        let dialog = self.new_dialog(number);
        dialog.cseq.set(1);
        self.write(&dialog, "INVITE", 1, fields, body);
        dialog
    }

    fn new_dialog(&self, number: &str) -> Dialog {
        self.count.set(self.count.get() + 1);
        Dialog {
            call_id: format!("{}-{}@{}", self.number, self.count.get(), self.address),
            via: RefCell::default(),
            local: format!("<sip:{}@{}>;tag=calling", self.number, self.server),
            remote: format!("<sip:{number}@{}>", self.server),
            target: format!("sip:{number}@{}", self.server),
            cseq: Cell::new(0),
        }
    }

    /// Sends a request in a dialog, with the next CSeq number.
    pub fn send_in(&self, dialog: &Dialog, method: &str, body: &str) {
        dialog.cseq.set(dialog.cseq.get() + 1);
        self.write(dialog, method, dialog.cseq.get(), "", body);
    }

    fn write(&self, dialog: &Dialog, method: &str, cseq: u32, fields: &str, body: &str) {
        let Dialog { call_id, local, remote, target, .. } = dialog;
        if method != "CANCEL" {
            self.count.set(self.count.get() + 1);
            let branch = format!("z9hG4bK{}x{}", self.count.get(), self.number);
            dialog.via.replace(format!("SIP/2.0/UDP {};rport;branch={branch}", self.address));
        }
        let text = format!(
            "{method} {target} SIP/2.0\r\nVia: {}\r\nMax-Forwards: 70\r\nFrom: {local}\r\nTo: {remote}\r\n\
             Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n",
            dialog.via.borrow()
        );
        self.send(&(text + fields + &self.end(body)));
    }

    /// Gives up the call that it has just begun, and waits for the 200.
    #[track_caller]
    pub fn cancel(&self, dialog: &Dialog) {
        self.write(dialog, "CANCEL", dialog.cseq.get(), "", "");
        self.response(dialog, "CANCEL", 200);
    }

    /// The response with this status to the dialog's last request with this method.
    #[track_caller]
    pub fn response(&self, dialog: &Dialog, method: &str, status: u16) -> Message {
        self.expect(&format!("{status} to {method}"), |message| {
            message.status() == Some(status)
                && message.field("Call-ID") == Some(&dialog.call_id)
                && message.cseq() == (dialog.cseq.get(), method)
        })
    }

    /// Waits for the 200 to the dialog's INVITE, and acknowledges it.
    #[track_caller]
    pub fn answered(&self, dialog: &mut Dialog) -> Message {
        let response = self.taken(dialog);
        self.write(dialog, "ACK", dialog.cseq.get(), "", "");
        response
    }

    /// Sends a PRACK for a reliable provisional response (RFC 3262).
    #[track_caller]
    pub fn confirm_early(&self, dialog: &mut Dialog, response: &Message) {
        dialog.remote = response.header("To").to_owned();
        dialog.target = response.contact().to_owned();
        let (invite, _) = response.cseq();
        let rack = format!("RAck: {} {invite} INVITE\r\n", response.header("RSeq"));
        dialog.cseq.set(invite + 1);
        self.write(dialog, "PRACK", invite + 1, &rack, "");
    }

    /// Waits for the 200 to an INVITE that other requests have followed, and acknowledges it.
    #[track_caller]
    pub fn answered_after(&self, dialog: &Dialog) -> Message {
        let response = self.expect("200 to INVITE", |message| {
            message.status() == Some(200)
                && message.field("Call-ID") == Some(&dialog.call_id)
                && message.cseq().1 == "INVITE"
        });
        self.write(dialog, "ACK", response.cseq().0, "", "");
        response
    }

    /// Waits for the 200 to the dialog's INVITE, and leaves the ACK to [`Phone::acknowledge`].
    #[track_caller]
    pub fn taken(&self, dialog: &mut Dialog) -> Message {
        let response = self.response(dialog, "INVITE", 200);
        dialog.remote = response.header("To").to_owned();
        dialog.target = response.contact().to_owned();
        response
    }

    /// Acknowledges a 200, with an answer in a body.
    pub fn acknowledge(&self, dialog: &Dialog, body: &str) {
        self.write(dialog, "ACK", dialog.cseq.get(), "", body);
    }

    /// Waits for a refusal of the dialog's INVITE, and acknowledges it.
    #[track_caller]
    pub fn refused(&self, dialog: &Dialog, status: u16) -> Message {
        let response = self.final_response(dialog);
        assert_eq!(response.status(), Some(status), "{}", response.0);
        response
    }

    /// The final response to the dialog's INVITE; a refusal is acknowledged.
    #[track_caller]
    pub fn final_response(&self, dialog: &Dialog) -> Message {
        let response = self.expect("final response", |message| {
            message.status().is_some_and(|status| status >= 200)
                && message.field("Call-ID") == Some(&dialog.call_id)
                && message.cseq() == (dialog.cseq.get(), "INVITE")
        });
        if response.status() >= Some(300) {
            // It belongs to the INVITE's transaction (RFC 3261 §17.1.1.3).
            let (via, from) = (response.header("Via"), response.header("From"));
            let (to, number) = (response.header("To"), response.cseq().0);
            self.send(&format!(
                "ACK {} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\n\
                 Call-ID: {}\r\nCSeq: {number} ACK\r\nContent-Length: 0\r\n\r\n",
                dialog.target, dialog.call_id
            ));
        }
        response
    }

    /// Is hung up on.
    #[track_caller]
    pub fn hung_up(&self, dialog: &Dialog) -> Message {
        let bye = self.request_in(dialog, "BYE");
        self.respond(&bye, "200 OK", "");
        bye
    }
}
