//! What a user meets first: the demonstration, and mistakes that are told with their cure.

use std::net::UdpSocket;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

fn loadgen(flags: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_loadgen")).args(flags).output();
    output.expect("the program was built for this test")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_demonstration_draws_a_forwarded_call() {
    let output = loadgen(&["demo"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", stderr(&output));
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("no `{what}` in\n{text}"));
    let order =
        ["◀─── 408 Timeout", "181 Forwarded", "Diversion: <sip:1004@", "200 OK", " BYE ", "went well"];
    assert!(order.map(at).is_sorted(), "{text}");
    assert!(text.contains("cargo run --release"), "it says what to try next: {text}");
    assert!(!text.contains('\x1b'), "no colours into a pipe");
    assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
}

#[test]
fn a_bad_duration_is_refused_with_a_good_one() {
    let output = loadgen(&["--ring", "10"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("write 10ms or 10s"), "{}", stderr(&output));
}

#[test]
fn a_target_that_is_not_there_is_told_with_the_cure() {
    let free = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("its address").to_string();
    drop(free);
    let output = loadgen(&["--target", &address, "--caller-address", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    assert!(text.contains(&format!("nothing answers at {address}")), "{text}");
    assert!(text.contains("cargo run --release"), "{text}");
}

#[test]
fn a_port_in_use_is_told_with_the_cure() {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("its address").to_string();
    let phones = ["--caller-address", "127.0.0.1:0", "--callee-address", &address];
    let output = loadgen(&[&["--target", &address], phones.as_slice()].concat());
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    assert!(text.contains(&format!("cannot bind the callee's socket to {address}")), "{text}");
    assert!(text.contains("--callee-address"), "{text}");
}

#[test]
fn two_phones_play_to_each_other_without_a_server() {
    let free = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let callee = free.local_addr().expect("its address").to_string();
    drop(free);
    let phones = ["--caller-address", "127.0.0.1:0", "--target-address", "127.0.0.1:0"];
    let flow = ["--flow", "answer", "--calls", "20", "--target", &callee, "--callee-address", &callee];
    for threads in ["1", "2", "3"] {
        let output = loadgen(&[flow.as_slice(), phones.as_slice(), &["--threads", threads]].concat());
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
        assert!(text.contains("20 started   20 good   0 failed"), "{text}");
    }
}

/// A registrar on loopback that challenges each phone once and takes any answer.
fn registrar(is_over: Arc<AtomicBool>) -> (String, JoinHandle<usize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a time to wait");
    let address = socket.local_addr().expect("its address").to_string();
    let thread = std::thread::spawn(move || {
        let (mut bound, mut buffer) = (0, [0; 4096]);
        while !is_over.load(Ordering::Relaxed) {
            let Ok((length, source)) = socket.recv_from(&mut buffer) else { continue };
            let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let field = |name: &str| request.split("\r\n").find(|line| line.starts_with(name)).unwrap_or("");
            let to = field("To: ");
            let copied = ["Via: ", "From: ", "Call-ID: ", "CSeq: "].map(field).join("\r\n");
            let (status, more) = if request.starts_with("OPTIONS") {
                ("200 OK", "Allow: REGISTER")
            } else if request.contains("\r\nAuthorization: Digest username=\"10") {
                bound += 1;
                ("200 OK", field("Contact: "))
            } else {
                ("401 Unauthorized", "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"")
            };
            let answer =
                format!("SIP/2.0 {status}\r\n{copied}\r\n{to};tag=r\r\n{more}\r\nContent-Length: 0\r\n\r\n");
            // What cannot be sent is lost, as on any network.
            let _ = socket.send_to(answer.as_bytes(), source);
        }
        bound
    });
    (address, thread)
}

#[test]
fn phones_register_and_refresh_on_every_thread() {
    let is_over = Arc::new(AtomicBool::new(false));
    let (address, thread) = registrar(is_over.clone());
    let file = std::env::temp_dir().join(format!("loadgen-register-{}.json", std::process::id()));
    let path = file.to_str().expect("a path of text");
    let mut bound = 0;
    for threads in ["1", "3"] {
        let flow = ["--flow", "register", "--numbers", "1000-1099", "--password", "p", "--target", &address];
        let rate = ["--rate", "1000", "--calls", "250", "--caller-address", "127.0.0.1:0"];
        let output = loadgen(&[&flow[..], &rate, &["--threads", threads, "--json", path]].concat());
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
        assert!(text.contains("registered  250 started   250 good   0 failed"), "{text}");
        assert!(text.contains("first pass  100 registered   0 failed   100 challenges answered"), "{text}");
        assert!(text.contains("REGISTER → 200"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
        let json = std::fs::read_to_string(&file).expect("the report as JSON");
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(json["registration"]["nonce_kept"], 250, "{json}");
        assert_eq!(json["latencies"]["register_200"]["count"], 250, "{json}");
        bound += 350;
    }
    is_over.store(true, Ordering::Relaxed);
    assert_eq!(thread.join().expect("the registrar's own count"), bound);
    let _ = std::fs::remove_file(&file);
}

#[test]
fn a_registrar_that_refuses_everybody_is_told_after_the_first_pass() {
    let is_over = Arc::new(AtomicBool::new(false));
    let (address, thread) = registrar(is_over.clone());
    let flow = ["--flow", "register", "--numbers", "1000-1009", "--target", &address];
    let output = loadgen(&[&flow[..], &["--caller-address", "127.0.0.1:0"]].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}{}", stderr(&output));
    assert!(text.contains("first pass  0 registered   10 failed"), "{text}");
    assert!(text.contains("10 unexpected status: 401 to REGISTER"), "{text}");
    assert!(text.contains("registered  0 started"), "{text}");
    is_over.store(true, Ordering::Relaxed);
    assert_eq!(thread.join().expect("the registrar's own count"), 0);
}

#[test]
fn subscribers_are_lines_of_json() {
    let output = loadgen(&["subscribers", "--numbers", "1000-1002", "--no-answer", "2000"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines = [1000, 1001, 1002].map(|n| format!("{{\"number\":\"{n}\",\"no_answer\":\"2000\"}}\n"));
    assert_eq!(String::from_utf8_lossy(&output.stdout), lines.concat());
    let wrong = loadgen(&["subscribers", "--numbers", "99-100"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("99 and 100 must have equally many digits"), "{}", stderr(&wrong));
}

#[test]
fn registrations_are_no_ladder() {
    let output = loadgen(&["--flow", "register", "--ladder"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("choose another --flow"), "{}", stderr(&output));
}
