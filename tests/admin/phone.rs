//! A phone: a socket that says what a test wants, as little of SIP as a call takes.

use super::PATIENCE;
use std::net::{SocketAddr, UdpSocket};

pub struct Phone {
    socket: UdpSocket,
    server: SocketAddr,
}

impl Phone {
    pub fn new(server: SocketAddr) -> Phone {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Phone { socket, server }
    }

    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("its address")
    }

    /// Where a subscriber's static contact leads to this phone.
    pub fn contact(&self, number: &str) -> String {
        format!("sip:{number}@{}", self.address())
    }

    pub fn send(&self, text: &str) {
        self.socket.send_to(text.as_bytes(), self.server).expect("sent");
    }

    /// The next message that begins so; others are passed over.
    #[track_caller]
    pub fn expect(&self, start: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let length = self.socket.recv(&mut buffer).unwrap_or_else(|error| panic!("no {start}: {error}"));
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.starts_with(start) {
                return text;
            }
        }
    }

    /// Calls a number; its INVITE.
    pub fn call(&self, own: &str, number: &str) -> String {
        let (server, address) = (self.server, self.address());
        let invite = format!(
            "INVITE sip:{number}@{server} SIP/2.0\r\nVia: SIP/2.0/UDP {address};rport;branch=z9hG4bK1\r\n\
             From: <sip:{own}@{server}>;tag=1\r\nTo: <sip:{number}@{server}>\r\nCall-ID: 1@{address}\r\n\
             CSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContact: <sip:{own}@{address}>\r\n\
             Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n"
        );
        self.send(&invite);
        invite
    }

    /// Answers a request.
    pub fn respond(&self, request: &str, status: &str) {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for line in request.lines().take_while(|line| !line.is_empty()) {
            let name = line.split(':').next().unwrap_or_default();
            match name {
                "To" if !line.contains(";tag=") => text.push_str(&format!("{line};tag=2\r\n")),
                "Via" | "From" | "To" | "Call-ID" | "CSeq" => text.push_str(&format!("{line}\r\n")),
                _ => {}
            }
        }
        text.push_str(&format!("Contact: <sip:{}>\r\nContent-Length: 0\r\n\r\n", self.address()));
        self.send(&text);
    }

    /// Acknowledges the final response to an INVITE.
    pub fn acknowledge(&self, invite: &str, response: &str) {
        let to = response.lines().find(|line| line.starts_with("To:")).expect("a To");
        let mut text = String::new();
        for (number, line) in invite.lines().take_while(|line| !line.is_empty()).enumerate() {
            match line.split(':').next().unwrap_or_default() {
                _ if number == 0 => text.push_str(&format!("{}\r\n", line.replace("INVITE", "ACK"))),
                "To" => text.push_str(&format!("{to}\r\n")),
                "CSeq" => text.push_str("CSeq: 1 ACK\r\n"),
                "Via" if response.starts_with("SIP/2.0 2") => text.push_str(&format!("{line}ack\r\n")),
                "Contact" | "Content-Type" | "Content-Length" => {}
                _ => text.push_str(&format!("{line}\r\n")),
            }
        }
        self.send(&(text + "Content-Length: 0\r\n\r\n"));
    }
}
