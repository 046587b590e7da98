//! The server's own process on a store, with its API, and the phones that it serves.

use super::{PATIENCE, wait_until};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};

/// The binary without the environment's options.
pub fn ringway(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RINGWAY_") {
            command.env_remove(name);
        }
    }
    command.args(args);
    command
}

pub fn run(args: &[&str]) -> Output {
    ringway(args).output().expect("the binary runs")
}

/// What a command that succeeds says on standard output and on standard error.
#[track_caller]
pub fn said(args: &[&str]) -> (String, String) {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (text(output.stdout), text(output.stderr))
}

/// A server that runs until the test ends.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    admin: SocketAddr,
}

impl Server {
    /// `store`: the options that name the store. `prepare` is the last that happens before the program
    /// begins.
    pub fn start(store: &[&str], prepare: impl Fn() + Send + Sync + 'static) -> Server {
        let free = UdpSocket::bind("127.0.0.60:0").and_then(|socket| socket.local_addr());
        let address = free.expect("a free port");
        let mut command = ringway(&["--listen", &format!("udp:{address}"), "--shards", "1"]);
        command.args(["--max-calls", "1000", "--max-transactions", "100000", "--auth-failures", "0"]);
        command.args(["--admin", "127.0.0.1:0"]).args(store).stdout(Stdio::piped());
        if !store.contains(&"--media") {
            command.args(["--media", "pass"]);
        }
        // SAFETY: what is prepared calls the kernel alone.
        unsafe {
            command.pre_exec(move || {
                prepare();
                Ok(())
            });
        }
        let mut child = command.spawn().expect("the binary runs");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut said = String::new();
        while !said.contains("try: ") {
            assert_ne!(output.read_line(&mut said).expect("UTF-8"), 0, "it ended after saying {said}");
        }
        let admin = said.lines().find_map(|line| line.strip_prefix("admin API on http://"));
        let admin = admin.and_then(|address| address.parse().ok()).expect("the API's address");
        Server { child, address, admin }
    }

    pub fn id(&self) -> libc::pid_t {
        self.child.id().try_into().expect("a process id")
    }

    /// Asks it to end by a signal, and waits for that; its exit code, if it gave one.
    pub fn end(&mut self, signal: i32) -> Option<i32> {
        self.signal(signal);
        self.child.wait().expect("an end").code()
    }

    /// Sends a signal to it, which must not have been waited for.
    pub fn signal(&self, signal: i32) {
        // SAFETY: the child is ours and was not waited for, so the id is still its own.
        assert_eq!(unsafe { libc::kill(self.id(), signal) }, 0);
    }

    /// Its exit code if it has ended with one.
    pub fn ended(&mut self) -> Option<i32> {
        self.child.try_wait().expect("a child").and_then(|status| status.code())
    }

    /// Whether its API takes connections: it does until the shards have ended.
    pub fn listens(&self) -> bool {
        TcpStream::connect(self.admin).is_ok()
    }

    /// Asks the API; the status code and the answer as it came.
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin).expect("the API");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let admin = self.admin;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("asked");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        (status.expect("a status"), answer)
    }

    /// Whether it says that it is ready.
    pub fn is_ready(&self) -> bool {
        match self.get("/health/ready") {
            (200, _) => true,
            (503, _) => false,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until a figure is so; the shards' follow a moment after what they count.
    #[track_caller]
    pub fn counts(&self, name: &str, value: u64) {
        wait_until(&format!("{name} {value}"), || self.figure(name) == value);
    }

    /// A figure of `/metrics`: its name without `ringway_`.
    pub fn figure(&self, name: &str) -> u64 {
        let (status, text) = self.get("/metrics");
        assert_eq!(status, 200, "{text}");
        let line = text.lines().find_map(|line| line.strip_prefix("ringway_")?.strip_prefix(name));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
    }
}

impl Server {
    /// Ends it as a power failure would.
    pub fn kill(mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("an end");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A phone: as little of SIP as registering and a call take.
pub struct Phone {
    socket: UdpSocket,
    server: SocketAddr,
    address: SocketAddr,
}

impl Phone {
    pub fn new(server: &Server) -> Phone {
        let socket = UdpSocket::bind("127.0.0.61:0").expect("a socket");
        socket.connect(server.address).expect("connected");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let address = socket.local_addr().expect("bound");
        Phone { socket, server: server.address, address }
    }

    fn send(&self, text: &str) {
        self.socket.send(text.as_bytes()).expect("sent");
    }

    /// The next message that begins so and has this in it; others are passed over.
    #[track_caller]
    fn expect(&self, start: &str, part: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let length = self.socket.recv(&mut buffer);
            let length = length.unwrap_or_else(|error| panic!("no {start} with {part}: {error}"));
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.starts_with(start) && text.contains(part) {
                return text;
            }
        }
    }

    /// Sends a REGISTER of a number for an hour.
    pub fn send_register(&self, number: &str, cseq: u32) {
        let (address, server) = (self.address, self.server);
        self.send(&format!(
            "REGISTER sip:{server} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {address};branch=z9hG4bK{number}x{cseq};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:{number}@{server}>;tag=t{number}\r\nTo: <sip:{number}@{server}>\r\n\
             Call-ID: {number}@{address}\r\nCSeq: {cseq} REGISTER\r\nContact: <sip:{number}@{address}>\r\n\
             Expires: 3600\r\nContent-Length: 0\r\n\r\n"
        ));
    }

    /// The final response to a REGISTER: its status code, and whether it says when to try again.
    #[track_caller]
    pub fn registered(&self, number: &str, cseq: u32) -> (u16, bool) {
        let call_id = format!("\r\nCall-ID: {number}@");
        loop {
            let answer = self.expect("SIP/2.0 ", &format!("\r\nCSeq: {cseq} REGISTER\r\n"));
            if answer.contains(&call_id) {
                let status = answer[8..11].parse().expect("a status code");
                return (status, answer.contains("\r\nRetry-After: "));
            }
        }
    }

    /// Registers a number for an hour; the status code and whether there is a Retry-After.
    #[track_caller]
    pub fn register(&self, number: &str, cseq: u32) -> (u16, bool) {
        self.send_register(number, cseq);
        self.registered(number, cseq)
    }

    /// Registers a number again and again until it is taken.
    #[track_caller]
    pub fn register_at_last(&self, number: &str, cseq: &mut u32) {
        wait_until("a registration", || {
            *cseq += 1;
            self.register(number, *cseq).0 == 200
        });
    }

    /// Answers a request.
    fn respond(&self, request: &str, status: &str) {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for line in request.lines().take_while(|line| !line.is_empty()) {
            match line.split(':').next().unwrap_or_default() {
                "To" if !line.contains(";tag=") => text.push_str(&format!("{line};tag=callee\r\n")),
                "Via" | "From" | "To" | "Call-ID" | "CSeq" => text.push_str(&format!("{line}\r\n")),
                _ => {}
            }
        }
        self.send(&format!("{text}Contact: <sip:{}>\r\nContent-Length: 0\r\n\r\n", self.address));
    }

    /// A request of the caller's: `to` is the To's value.
    fn request(&self, method: &str, (cseq, uri): (u32, &str), own: &str, to: &str) {
        let (address, server) = (self.address, self.server);
        let body = if method == "INVITE" { "v=0\r\n" } else { "" };
        let kind = if method == "INVITE" { "Content-Type: application/sdp\r\n" } else { "" };
        self.send(&format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {address};rport;branch=z9hG4bK{own}{method}\r\n\
             From: <sip:{own}@{server}>;tag=caller\r\nTo: {to}\r\nCall-ID: {own}@{address}\r\n\
             CSeq: {cseq} {method}\r\nMax-Forwards: 70\r\nContact: <sip:{own}@{address}>\r\n{kind}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
    }

    /// Dials a feature code in the name of `own`, whose phone this is. The status; of a 200 the phone has had
    /// nothing but that yet.
    #[track_caller]
    pub fn dial(&self, own: &str, code: &str) -> u16 {
        let uri = format!("sip:{}@{}", code.replace('#', "%23"), self.server);
        self.request("INVITE", (1, &uri), own, &format!("<{uri}>"));
        loop {
            let answer = self.expect("SIP/2.0 ", "\r\nCSeq: 1 INVITE\r\n");
            let status = answer[8..11].parse().expect("a status code");
            if status >= 200 {
                return status;
            }
        }
    }

    /// A whole call to `number`, which `callee` has: it rings, is answered, and the caller hangs up.
    /// `own`, the caller's number, is another one for each call.
    #[track_caller]
    pub fn call(&self, own: &str, number: &str, callee: &Phone) {
        let from = format!("\r\nFrom: <sip:{own}@");
        let uri = format!("sip:{number}@{}", self.server);
        self.request("INVITE", (1, &uri), own, &format!("<{uri}>"));
        let invite = callee.expect("INVITE ", &from);
        callee.respond(&invite, "180 Ringing");
        self.expect("SIP/2.0 180 ", "\r\nCSeq: 1 INVITE\r\n");
        callee.respond(&invite, "200 OK");
        let answer = self.expect("SIP/2.0 200 ", "\r\nCSeq: 1 INVITE\r\n");
        let value = |name: &str| answer.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
        let (to, target) = (value("To: "), value("Contact: <").trim_end_matches('>'));
        self.request("ACK", (1, target), own, to);
        callee.expect("ACK ", &from);
        self.request("BYE", (2, target), own, to);
        let bye = callee.expect("BYE ", &from);
        callee.respond(&bye, "200 OK");
        self.expect("SIP/2.0 200 ", "\r\nCSeq: 2 BYE\r\n");
    }
}
