//! The binary's exit codes and where it writes.
#![cfg(feature = "server")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Output, Stdio};

fn ringway(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RINGWAY_") {
            command.env_remove(name);
        }
    }
    command.args(args).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn a_good_configuration_exits_with_0() {
    let output = ringway(&["--check-config"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).starts_with("configuration is good\n"));
    assert!(output.stderr.is_empty());
    for flag in ["--help", "--version", "--print-config"] {
        assert_eq!(ringway(&[flag]).status.code(), Some(0), "{flag}");
    }
}

#[test]
fn a_wrong_option_exits_with_2_and_one_line() {
    for args in [&["--lisen", "x"][..], &["--listen", "udp:nowhere"], &["--config", "no-such-file.toml"]] {
        let output = ringway(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
        let error = text(&output.stderr);
        assert!(error.starts_with("ringway: ") && error.lines().count() == 1, "{error}");
    }
}

/// A server on a port that was free a moment ago; it says what it listens on, then `try:`.
fn started() -> (std::process::Child, BufReader<std::process::ChildStdout>, String) {
    let port = std::net::UdpSocket::bind("127.0.0.60:0").and_then(|socket| socket.local_addr());
    let listen = format!("udp:{}", port.expect("a free port"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_ringway"))
        .args(["--listen", &listen, "--shards", "1", "--max-calls", "100", "--max-transactions", "1000"])
        .args(["--admin", "off", "--media", "pass"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut said = String::new();
    while !said.contains("try: cargo run --release -p loadgen -- demo\n") {
        assert_ne!(output.read_line(&mut said).expect("UTF-8"), 0, "it ended after saying {said}");
    }
    assert!(said.contains(&format!("listens on {listen}\n1 shard, on CPU ")), "{said}");
    (child, output, said)
}

#[test]
fn a_signal_drains_and_ends_with_the_totals() {
    for (signal, name) in [(libc::SIGTERM, "SIGTERM"), (libc::SIGINT, "SIGINT")] {
        let (mut child, mut output, _) = started();
        let process = child.id().try_into().expect("a process id");
        // SAFETY: the child is ours and was not waited for, so the id is still its own.
        assert_eq!(unsafe { libc::kill(process, signal) }, 0);
        let mut said = String::new();
        output.read_to_string(&mut said).expect("UTF-8");
        assert!(
            said.starts_with(&format!("{name}: no new calls; calls left: 0, for at most 30 s")),
            "{said}"
        );
        assert!(said.contains("\ncalls: 0 started, 0 answered, 0 failed"), "{said}");
        assert_eq!(child.wait().expect("an end").code(), Some(0));
    }
}
