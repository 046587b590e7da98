//! A phone with a voice: as little of SIP, SDP and RTP as a call takes.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Nothing here takes this long unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Phone {
    pub number: &'static str,
    socket: UdpSocket,
    voice: UdpSocket,
    server: SocketAddr,
    cseq: u32,
}

/// A dialog as its side sees it: the header lines of a request in it.
pub struct Dialog {
    lines: String,
    target: String,
}

impl Phone {
    pub fn new(number: &'static str, host: &str) -> Phone {
        let bind = || UdpSocket::bind((host, 0)).expect("a socket");
        let (socket, voice) = (bind(), bind());
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        voice.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
        let server = ([127, 0, 0, 1], 0).into();
        Phone { number, socket, voice, server, cseq: 1 }
    }

    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("bound")
    }

    pub fn serve(&mut self, server: SocketAddr) {
        self.server = server;
    }

    /// What it describes its voice with.
    pub fn sdp(&self, direction: &str) -> String {
        let voice = self.voice.local_addr().expect("bound");
        let (ip, port) = (voice.ip(), voice.port());
        format!(
            "v=0\r\no=- {port} 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na={direction}\r\n"
        )
    }

    pub fn send(&self, text: &str) {
        self.socket.send_to(text.as_bytes(), self.server).expect("sent");
    }

    /// The next message that begins so and belongs to this method; others are passed over.
    #[track_caller]
    pub fn expect(&self, start: &str, method: &str) -> String {
        let mut buffer = [0; 8_192];
        loop {
            let length = self.socket.recv(&mut buffer);
            let length =
                length.unwrap_or_else(|error| panic!("{}: no {start} {method}: {error}", self.number));
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let cseq = value(&text, "CSeq");
            if text.starts_with(start) && cseq.ends_with(method) {
                return text;
            }
        }
    }

    /// Calls a number; `own` is another one for each call.
    pub fn invite(&self, number: &str, own: &str) -> Dialog {
        let (address, server) = (self.address(), self.server);
        let lines = format!(
            "From: <sip:{0}@{server}>;tag={own}\r\nTo: <sip:{number}@{server}>\r\n\
             Call-ID: {own}@{address}\r\n",
            self.number
        );
        let dialog = Dialog { lines, target: format!("sip:{number}@{server}") };
        self.request("INVITE", 1, &dialog, &self.sdp("sendrecv"));
        dialog
    }

    /// The dialog that an answer makes on the caller's side.
    pub fn dialog_of(&self, answer: &str) -> Dialog {
        let lines = ["From", "To", "Call-ID"].map(|name| format!("{name}: {}\r\n", value(answer, name)));
        Dialog { lines: lines.concat(), target: contact(answer) }
    }

    /// Sends a request with this CSeq number.
    pub fn request(&self, method: &str, cseq: u32, dialog: &Dialog, body: &str) {
        let (address, number) = (self.address(), self.number);
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let Dialog { lines, target } = dialog;
        let branch =
            format!("{number}{}{method}{cseq}", value(lines, "Call-ID").replace(['@', ':', '.'], ""));
        self.send(&format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {address};rport;branch=z9hG4bK{branch}\r\n{lines}\
             CSeq: {cseq} {method}\r\nMax-Forwards: 70\r\nContact: <sip:{number}@{address}>\r\n{kind}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
    }

    /// The next request in a dialog.
    pub fn ask(&mut self, method: &str, dialog: &Dialog, body: &str) -> u32 {
        self.cseq += 1;
        self.request(method, self.cseq, dialog, body);
        self.cseq
    }

    /// Answers a request.
    pub fn respond(&self, request: &str, status: &str, body: &str) {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for line in request.lines().take_while(|line| !line.is_empty()) {
            match line.split(':').next().unwrap_or_default() {
                "To" if !line.contains(";tag=") => text += &format!("{line};tag={}\r\n", self.number),
                "Via" | "From" | "To" | "Call-ID" | "CSeq" => text += &format!("{line}\r\n"),
                _ => {}
            }
        }
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let contact = format!("Contact: <sip:{}@{}>\r\n", self.number, self.address());
        self.send(&format!("{text}{contact}{kind}Content-Length: {}\r\n\r\n{body}", body.len()));
    }

    /// Speaks to where a message says until `other` hears it.
    #[track_caller]
    pub fn is_heard_by(&self, other: &Phone, told: &str) {
        other.drain();
        let to = place(told);
        let begin = Instant::now();
        let mut buffer = [0; 2_048];
        for sequence in 0u16.. {
            let packet = self.packet(sequence);
            self.voice.send_to(&packet, to).expect("sent");
            if let Ok((length, source)) = other.voice.recv_from(&mut buffer) {
                let (header, payload) = buffer[..length].split_at(12);
                assert_eq!((header[0], payload), (0x80, &packet[12..]), "{} hears another", other.number);
                assert_eq!(source.ip(), to.ip(), "by way of the engine");
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "{} does not hear {} by {to}", other.number, self.number);
        }
    }

    /// Speaks to where a message said, after the party that is heard there, until `other` does not hear it.
    #[track_caller]
    pub fn is_unheard_by(&self, other: &Phone, (heard, told): (&Phone, &str)) {
        let begin = Instant::now();
        loop {
            heard.is_heard_by(other, told);
            other.drain();
            (0u16..5).for_each(|sequence| {
                self.voice.send_to(&self.packet(sequence), place(told)).expect("sent");
            });
            if other.voice.recv(&mut [0; 2_048]).is_err() {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "{} still hears {}", other.number, self.number);
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// RTP with a payload that no other phone sends.
    fn packet(&self, sequence: u16) -> Vec<u8> {
        let ssrc: u32 = self.number.parse().expect("a number");
        let timestamp = u32::from(sequence) * 160;
        let mut packet = vec![0x80, 0];
        packet.extend_from_slice(&sequence.to_be_bytes());
        packet.extend_from_slice(&timestamp.to_be_bytes());
        packet.extend_from_slice(&ssrc.to_be_bytes());
        packet.extend_from_slice(&[ssrc as u8; 160]);
        packet
    }

    fn drain(&self) {
        while self.voice.recv(&mut [0; 2_048]).is_ok() {}
    }
}

/// Where a message wants media.
#[track_caller]
pub fn place(message: &str) -> SocketAddr {
    let line = |start| message.lines().find_map(|line| line.strip_prefix(start)).expect("a description");
    let port = line("m=audio ").split(' ').next().expect("a port");
    format!("{}:{port}", line("c=IN IP4 ")).parse().expect("a place")
}

fn value<'m>(message: &'m str, name: &str) -> &'m str {
    let is_it = |line: &'m str| line.strip_prefix(name)?.strip_prefix(": ");
    message.lines().find_map(is_it).unwrap_or_else(|| panic!("no {name} in {message}"))
}

fn contact(message: &str) -> String {
    value(message, "Contact").trim_start_matches('<').trim_end_matches('>').to_owned()
}
