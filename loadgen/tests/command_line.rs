//! What a user meets first: the demonstration, and mistakes that are told with their cure.

use std::net::UdpSocket;
use std::process::{Command, Output};

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
