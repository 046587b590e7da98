//! The reference flow over real sockets: the server's binary between SIPp phones on loopback addresses.
//!
//! The scenarios under `tests/sipp` check each message as it comes; what must agree between the legs is
//! checked here, in the messages that the phones logged. Without `sipp` every test passes as skipped.
#![cfg(feature = "server")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const SERVER: &str = "127.0.0.60";
const A: &str = "127.0.0.137";
const B: &str = "127.0.0.136";
const C: &str = "127.0.0.138";

/// How long a phone may take, the subscriber's no-answer timer included.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// A server without calls ends at once when it is asked to.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);
/// The least that a subscriber may set, in seconds.
const NO_ANSWER_AFTER: u64 = 5;

#[test]
fn calls_are_forwarded_whatever_the_condition() {
    // The subscriber's rule, whether it has a phone, what that does, and the reason that the target is told.
    let kinds = [
        ("unconditional", true, None, "unconditional"),
        ("busy", true, Some("callee_busy"), "user-busy"),
        ("not-registered", false, None, "unavailable"),
        ("not-reachable", true, Some("callee_unavailable"), "unavailable"),
        // Nothing is set: the phone itself says where the call goes.
        ("", true, Some("callee_deflects"), "deflection"),
    ];
    for (condition, has_phone, callee, reason) in kinds {
        let name = format!("forwarded_{}", if condition.is_empty() { reason } else { condition });
        let subscriber = |port| {
            let contact = if has_phone { format!(",contact=sip:1004@{B}:{port}") } else { String::new() };
            let rule = if condition.is_empty() { String::new() } else { format!(",{condition}=1005") };
            format!("number=1004{contact}{rule}")
        };
        let Some(mut lab) = Lab::with(&name, subscriber) else { return };
        let mut phones: Vec<(&str, &str)> = callee.map(|callee| (callee, B)).into_iter().collect();
        phones.extend([("target_forwarded", C), ("caller_forwarded", A)]);
        let calls = lab.run(&phones);
        let [.., c, a] = &calls[..] else { unreachable!() };
        assert_one_dialog(a);
        let invites: Vec<&Message> =
            calls[..calls.len() - 1].iter().map(|call| call.received("INVITE")).collect();
        assert_own_legs(&[&invites[..], &[a.sent("INVITE")]].concat());
        assert_eq!(parameter(c.received("INVITE").header("Diversion"), ";reason="), reason);
        lab.stop("calls: 1 started, 1 answered, 0 failed, 0 cancelled; forwarded 1 times");
    }
}

#[test]
fn the_callees_408_forwards_the_call_and_the_target_hangs_up() {
    let Some(mut lab) = Lab::new("callee_408", 20) else { return };
    let calls = lab.run(&[("callee_408", B), ("target", C), ("caller", A)]);
    assert_forwarded(&calls);
    let [b, ..] = &calls[..] else { unreachable!() };
    // RFC 3261 §17.1.1.3: the ACK to a non-2xx belongs to the INVITE's transaction.
    let (invite, ack) = (b.received("INVITE"), b.received("ACK"));
    assert_eq!(branch(invite), branch(ack));
    assert_eq!(cseq_number(invite), cseq_number(ack));
    lab.stop("calls: 1 started, 1 answered, 0 failed, 0 cancelled; forwarded 1 times");
}

#[test]
fn the_servers_no_answer_timer_forwards_the_call() {
    let Some(mut lab) = Lab::new("timer", NO_ANSWER_AFTER) else { return };
    let begin = Instant::now();
    let calls = lab.run(&[("callee_rings", B), ("target", C), ("caller", A)]);
    assert!(begin.elapsed() >= Duration::from_secs(NO_ANSWER_AFTER), "forwarded too early");
    assert_forwarded(&calls);
    let [b, ..] = &calls[..] else { unreachable!() };
    // RFC 3261 §9.1: the CANCEL is the INVITE's in all but the method.
    let (invite, cancel) = (b.received("INVITE"), b.received("CANCEL"));
    for name in ["Via", "Call-ID", "From", "To"] {
        assert_eq!(invite.header(name), cancel.header(name), "{name}");
    }
    assert_eq!(cseq_number(invite), cseq_number(cancel));
    assert_eq!(branch(invite), branch(b.received("ACK")));
    lab.stop("calls: 1 started, 1 answered, 0 failed, 0 cancelled; forwarded 1 times");
}

#[test]
fn the_caller_hangs_up_a_forwarded_call() {
    let Some(mut lab) = Lab::new("caller_hangs_up", 20) else { return };
    let calls = lab.run(&[("callee_408", B), ("target_is_hung_up", C), ("caller_hangs_up", A)]);
    assert_forwarded(&calls);
    lab.stop("1 answered, 0 failed");
}

#[test]
fn a_callee_who_answers_is_not_forwarded() {
    let Some(mut lab) = Lab::new("answer", 20) else { return };
    let calls = lab.run(&[("callee_answers", B), ("caller", A)]);
    let [b, a] = &calls[..] else { unreachable!() };
    assert_one_dialog(a);
    assert_own_legs(&[a.sent("INVITE"), b.received("INVITE")]);
    assert_eq!(b.received("INVITE").header("Record-ID"), a.received("200").header("Record-ID"));
    lab.stop("calls: 1 started, 1 answered, 0 failed, 0 cancelled; forwarded 0 times");
}

#[test]
fn a_busy_callee_is_busy_to_the_caller() {
    let Some(mut lab) = Lab::new("busy", 20) else { return };
    let calls = lab.run(&[("callee_busy", B), ("caller_busy", A)]);
    assert_one_dialog(&calls[1]);
    lab.stop("calls: 1 started, 0 answered");
}

#[test]
fn the_caller_cancels_while_the_callee_rings() {
    let Some(mut lab) = Lab::new("cancel", 20) else { return };
    let calls = lab.run(&[("callee_rings", B), ("caller_cancels", A)]);
    assert_one_dialog(&calls[1]);
    lab.stop("calls: 1 started, 0 answered, 0 failed, 1 cancelled; forwarded 0 times");
}

#[test]
fn the_caller_cancels_while_the_target_rings() {
    let Some(mut lab) = Lab::new("cancel_late", 20) else { return };
    let calls = lab.run(&[("callee_408", B), ("target_rings", C), ("caller_cancels_late", A)]);
    assert_one_dialog(&calls[2]);
    lab.stop("calls: 1 started, 0 answered, 0 failed, 1 cancelled");
}

#[test]
fn a_phone_registers_fetches_and_unregisters() {
    let Some(mut lab) = Lab::new("registers", 20) else { return };
    let calls = lab.run(&[("registers", A)]);
    assert!(calls[0].answers("REGISTER").all(|response| response.kind() == "200"));
    lab.stop("calls: 0 started");
}

#[test]
fn a_phone_with_a_password_is_challenged_and_registers() {
    let Some(mut lab) = Lab::new("registers_digest", 20) else { return };
    let calls = lab.run(&[("registers_digest", A)]);
    let kinds: Vec<&str> = calls[0].answers("REGISTER").map(Message::kind).collect();
    // It asks for a challenge of its own to unregister.
    assert_eq!(kinds, ["401", "200", "401", "200"]);
    lab.stop("calls: 0 started");
}

#[test]
fn a_phone_dials_a_feature_code_and_is_told_in_words() {
    let Some(mut lab) = Lab::new("dials_code", 20) else { return };
    let calls = lab.run(&[("dials_code", A)]);
    let kinds: Vec<&str> = calls[0].answers("INVITE").map(Message::kind).collect();
    assert_eq!(kinds, ["100", "200"]);
    lab.stop("calls: 1 started, 1 answered, 0 failed, 0 cancelled; forwarded 0 times");
}

/// What holds for every forwarded call, whoever ends it. The calls are B's, C's and A's.
fn assert_forwarded(calls: &[Call]) {
    let [b, c, a] = calls else { panic!("three phones took part") };
    assert_one_dialog(a);
    let (to_b, to_c) = (b.received("INVITE"), c.received("INVITE"));
    assert_own_legs(&[a.sent("INVITE"), to_b, to_c]);
    for other in [to_c, a.received("200")] {
        assert_eq!(to_b.header("Record-ID"), other.header("Record-ID"), "one Record-ID on every leg");
    }
    for leg in [c, a] {
        let id = leg.messages[0].header("Call-ID");
        assert!(leg.messages.iter().all(|message| message.header("Call-ID") == id));
    }
}

/// The caller sees one To tag in every response of the call, whatever legs stand behind it.
fn assert_one_dialog(a: &Call) {
    let tags: Vec<&str> = a.answers("INVITE").map(|response| tag(response.header("To"))).collect();
    assert!(tags.len() >= 2 && tags.iter().all(|tag| !tag.is_empty() && *tag == tags[0]), "{tags:?}");
}

/// Each leg has its own Call-ID, From tag and branch.
fn assert_own_legs(invites: &[&Message]) {
    for (index, one) in invites.iter().enumerate() {
        for other in &invites[index + 1..] {
            assert_ne!(one.header("Call-ID"), other.header("Call-ID"));
            assert_ne!(tag(one.header("From")), tag(other.header("From")));
            assert_ne!(branch(one), branch(other));
        }
    }
}

fn tag(value: &str) -> &str {
    parameter(value, ";tag=")
}

fn branch(message: &Message) -> &str {
    parameter(message.header("Via"), ";branch=")
}

fn parameter<'a>(value: &'a str, name: &str) -> &'a str {
    let (_, rest) = value.split_once(name).unwrap_or_default();
    rest.split([';', ',', ' ']).next().unwrap_or_default()
}

fn cseq_number(message: &Message) -> &str {
    message.header("CSeq").split(' ').next().unwrap_or_default()
}

/// A message as a phone logged it.
struct Message {
    sent: bool,
    text: String,
}

impl Message {
    /// The method, or the status code.
    fn kind(&self) -> &str {
        let mut words = self.text.split_whitespace();
        let first = words.next().unwrap_or_default();
        if first == "SIP/2.0" { words.next().unwrap_or_default() } else { first }
    }

    /// The first header field of this name.
    fn header(&self, name: &str) -> &str {
        let fields = self.text.lines().skip(1).take_while(|line| !line.is_empty());
        let mut fields = fields.filter_map(|line| line.split_once(':'));
        let field = fields.find(|(field, _)| field.eq_ignore_ascii_case(name));
        field.unwrap_or_else(|| panic!("no {name} in\n{}", self.text)).1.trim()
    }
}

/// What one phone sent and received.
struct Call {
    messages: Vec<Message>,
}

impl Call {
    /// Reads SIPp's log: a line of dashes, one that says `UDP message sent` or `received`, a blank one, then
    /// the message.
    fn read(log: &Path) -> Call {
        let text = fs::read_to_string(log).expect("a message log").replace('\r', "");
        let mut messages = Vec::new();
        for entry in text.split("-----------------------------------------------").skip(1) {
            let Some((_, entry)) = entry.split_once('\n') else { continue };
            let Some((title, message)) = entry.split_once("\n\n") else { continue };
            if title.starts_with("UDP message") {
                messages.push(Message { sent: title.contains("sent"), text: message.into() });
            }
        }
        Call { messages }
    }

    fn find(&self, sent: bool, kind: &str) -> &Message {
        let found = self.messages.iter().find(|message| message.sent == sent && message.kind() == kind);
        found.unwrap_or_else(|| panic!("no {kind} among {} messages", self.messages.len()))
    }

    fn received(&self, kind: &str) -> &Message {
        self.find(false, kind)
    }

    fn sent(&self, kind: &str) -> &Message {
        self.find(true, kind)
    }

    /// The responses that were received to requests of this method.
    fn answers(&self, method: &str) -> impl Iterator<Item = &Message> {
        self.messages.iter().filter(move |message| {
            !message.sent && message.text.starts_with("SIP/2.0") && message.header("CSeq").ends_with(method)
        })
    }
}

/// A server with one subscriber (B, who forwards to C), and the phones around it.
struct Lab {
    directory: PathBuf,
    server: Process,
    output: BufReader<ChildStdout>,
    /// Free on all addresses when the lab was made.
    port: u16,
}

impl Lab {
    /// `None`, with a word on standard error, when SIPp is not installed.
    fn new(name: &str, after: u64) -> Option<Lab> {
        let rule = format!("no-answer=1005,after={after}");
        Lab::with(name, |port| format!("number=1004,contact=sip:1004@{B}:{port},{rule}"))
    }

    /// The same with another subscriber, at the port that all phones have.
    fn with(name: &str, subscriber: impl FnOnce(u16) -> String) -> Option<Lab> {
        if Command::new("sipp").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            // Not eprintln!, which the harness hides where a test passes; in one piece, for others write too.
            let cure = "sipp is not installed (Debian: apt-get install sip-tester)";
            let _ = std::io::stderr().write_all(format!("SKIPPED sipp::{name}: {cure}\n").as_bytes());
            return None;
        }
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sipp").join(name);
        // What an earlier run left there.
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).expect("a directory for logs");
        let port = free_port();
        let mut server = Process::start(
            Command::new(env!("CARGO_BIN_EXE_ringway"))
                .args(["--listen", &format!("udp:{SERVER}:{port}"), "--shards", "1", "--max-calls", "100"])
                .args(["--max-transactions", "1000", "--admin", "off", "--media", "pass", "--subscriber"])
                .arg(subscriber(port))
                .args(["--subscriber", &format!("number=1005,contact=sip:1005@{C}:{port}")])
                // SIPp 3.6 reads the first challenge only and knows no SHA-256.
                .args(["--subscriber", "number=1006,password=secret", "--auth-algorithms", "md5"])
                .arg(format!("--data-dir={}", directory.join("data").display()))
                .stdout(Stdio::piped())
                .stderr(File::create(directory.join("server.err")).expect("a log")),
        );
        let output = BufReader::new(server.child.stdout.take().expect("a pipe"));
        let mut lab = Lab { directory, server, output, port };
        lab.wait_until_bound(SERVER);
        lab.wait_until_ready();
        Some(lab)
    }

    /// Reads what the server says until it says where it listens.
    fn wait_until_ready(&mut self) {
        let mut said = String::new();
        while !said.contains("listens on") {
            let read = self.output.read_line(&mut said).expect("UTF-8");
            assert_ne!(read, 0, "the server ended after saying {said}{}", self.log("server.err"));
        }
    }

    /// Starts the phones in this order (scenario, address), the caller last; waits for all and returns what
    /// they logged.
    fn run(&mut self, phones: &[(&str, &str)]) -> Vec<Call> {
        let mut started: Vec<Process> = Vec::new();
        for (scenario, address) in phones {
            started.push(self.start_phone(scenario, address));
            // The caller may be done before it is looked at.
            if *address != A {
                self.wait_until_bound(address);
            }
        }
        let ends = wait_for_all(&mut started, Instant::now() + CALL_TIMEOUT);
        let good = ends.iter().all(|end| end.is_some_and(|status| status.success()));
        assert!(good, "{}", self.report(phones, &ends));
        phones.iter().map(|(scenario, _)| Call::read(&self.path(&format!("{scenario}.msg")))).collect()
    }

    fn start_phone(&self, scenario: &str, address: &str) -> Process {
        let file = format!("{}/tests/sipp/{scenario}.xml", env!("CARGO_MANIFEST_DIR"));
        let seconds = CALL_TIMEOUT.as_secs().to_string();
        let mut command = Command::new("sipp");
        command
            .args(["-sf", &file, "-i", address, "-p", &self.port.to_string(), "-m", "1", "-nostdin"])
            .args(["-timeout", &seconds, "-timeout_error", "-trace_msg", "-message_overwrite", "true"])
            .arg("-message_file")
            .arg(self.path(&format!("{scenario}.msg")))
            .args(["-trace_err", "-error_overwrite", "true", "-error_file"])
            .arg(self.path(&format!("{scenario}.err")))
            .env("TERM", "dumb")
            .stdin(Stdio::null())
            .stdout(File::create(self.path(&format!("{scenario}.out"))).expect("a log"))
            .stderr(Stdio::null());
        if address == A {
            let number = match scenario {
                "registers" | "dials_code" => "1005",
                "registers_digest" => "1006",
                _ => "1004",
            };
            command.args(["-s", number, "-au", number, "-ap", "secret", &format!("{SERVER}:{}", self.port)]);
        }
        Process::start(&mut command)
    }

    /// Waits until somebody has bound an address, so that no first message is lost.
    fn wait_until_bound(&mut self, address: &str) {
        let address: std::net::Ipv4Addr = address.parse().expect("an address");
        // /proc/net/udp has the address as a number in the machine's own order of bytes.
        let local = format!(": {:08X}:{:04X} ", u32::from_ne_bytes(address.octets()), self.port);
        let until = Instant::now() + START_TIMEOUT;
        while !fs::read_to_string("/proc/net/udp").expect("procfs").contains(&local) {
            assert!(Instant::now() < until, "nobody listens on {address}: {}", self.log("server.err"));
            std::thread::sleep(POLL);
        }
    }

    /// Asks the server to end and checks how it does and what it says of its calls.
    fn stop(mut self, totals: &str) {
        let id = self.server.child.id().try_into().expect("a process id");
        // SAFETY: the child is ours and was not waited for, so the id is still its own.
        assert_eq!(unsafe { libc::kill(id, libc::SIGTERM) }, 0);
        let end = self.server.wait(Instant::now() + STOP_TIMEOUT);
        assert!(end.is_some_and(|status| status.success()), "{end:?}: {}", self.log("server.err"));
        let mut said = String::new();
        self.output.read_to_string(&mut said).expect("UTF-8");
        assert!(said.contains(totals), "wanted `{totals}` in\n{said}");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn log(&self, name: &str) -> String {
        let bytes = fs::read(self.path(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn report(&self, phones: &[(&str, &str)], ends: &[Option<ExitStatus>]) -> String {
        let mut report = format!("a phone failed; all logs are in {}\n", self.directory.display());
        for ((scenario, address), end) in phones.iter().zip(ends) {
            let end = end.map_or("had not ended".into(), |status| status.to_string());
            report +=
                &format!("--- {scenario} at {address}: {end}\n{}\n", self.log(&format!("{scenario}.err")));
        }
        report + "--- server\n" + &self.log("server.err")
    }
}

/// How each process ended. When one fails the others, which would wait for it in vain, are left.
fn wait_for_all(processes: &mut [Process], until: Instant) -> Vec<Option<ExitStatus>> {
    loop {
        let ends: Vec<Option<ExitStatus>> =
            processes.iter_mut().map(|process| process.wait(Instant::now())).collect();
        let failed = ends.iter().flatten().any(|status| !status.success());
        if failed || ends.iter().all(Option::is_some) || Instant::now() >= until {
            return ends;
        }
        std::thread::sleep(POLL);
    }
}

/// A port that is free on every address of the lab.
fn free_port() -> u16 {
    for _ in 0..100 {
        let Ok(first) = UdpSocket::bind((SERVER, 0)) else { continue };
        let port = first.local_addr().expect("a bound socket").port();
        if [A, B, C].iter().all(|address| UdpSocket::bind((*address, port)).is_ok()) {
            return port;
        }
    }
    panic!("no port is free on {SERVER}, {A}, {B} and {C}")
}

/// A process that does not outlive its test.
struct Process {
    child: Child,
}

impl Process {
    fn start(command: &mut Command) -> Process {
        Process { child: command.spawn().expect("a process") }
    }

    /// The exit status, or `None` when it has not ended by then.
    fn wait(&mut self, until: Instant) -> Option<ExitStatus> {
        loop {
            let status = self.child.try_wait().expect("a child of ours");
            if status.is_some() || Instant::now() >= until {
                return status;
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
