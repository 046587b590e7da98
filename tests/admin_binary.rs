//! The binary's API and its client, as an operator uses them.
#![cfg(feature = "server")]

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

const RINGWAY: &str = env!("CARGO_BIN_EXE_ringway");

/// A server of its own; it is gone with this.
struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
    /// Where its API is.
    url: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary without the environment's options.
fn ringway(args: &[&str]) -> Command {
    let mut command = Command::new(RINGWAY);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RINGWAY_") {
            command.env_remove(name);
        }
    }
    command.args(args);
    command
}

impl Process {
    fn start(args: &[&str]) -> Process {
        let port = std::net::UdpSocket::bind("127.0.0.60:0").and_then(|socket| socket.local_addr());
        let listen = format!("udp:{}", port.expect("a free port"));
        let mut child = ringway(&["--listen", &listen, "--shards", "1", "--max-calls", "100"])
            .args(["--max-transactions", "1000", "--admin", "127.0.0.1:0", "--media", "pass"])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut said = String::new();
        let url = loop {
            let start = said.len();
            assert_ne!(output.read_line(&mut said).expect("UTF-8"), 0, "it ended after saying {said}");
            if let Some(url) = said[start..].trim_end().strip_prefix("admin API on ") {
                break url.to_owned();
            }
        };
        Process { child, output, url }
    }

    fn ctl(&self, args: &[&str], input: &str) -> Output {
        let mut child = ringway(&["ctl", "--url", &self.url])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("written");
        child.wait_with_output().expect("an end")
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        let output = self.ctl(&[args, &["--json"]].concat(), "");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

#[test]
fn a_subscriber_that_was_added_is_there_after_a_kill() {
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("admin-binary");
    let _ = std::fs::remove_dir_all(&directory);
    let data = format!("--data-dir={}", directory.display());
    let args = [data.as_str(), "--subscriber=number=1005,contact=sip:1005@127.0.0.138"];
    let first = Process::start(&args);
    let said =
        first.ctl(&["subscriber", "add", "1006", "--password-stdin", "--no-answer", "1005"], "secret\n");
    assert_eq!(said.status.code(), Some(0), "{said:?}");
    let shown = first.json(&["subscriber", "show", "1006"]);
    drop(first);
    let second = Process::start(&args);
    let again = second.json(&["subscriber", "show", "1006"]);
    assert_eq!(again, shown);
    assert_eq!((&again["has_password"], &again["no_answer"]), (&true.into(), &"1005".into()));
    assert_eq!(second.json(&["subscriber", "show", "1005"])["configured"], true);
}

#[test]
fn while_it_drains_it_says_so_and_it_ends_in_time() {
    let mut process = Process::start(&["--drain-timeout", "5"]);
    assert_eq!(process.json(&["status"])["state"], "running");
    let id = process.child.id().try_into().expect("a process id");
    // SAFETY: the child is ours and was not waited for, so the id is still its own.
    assert_eq!(unsafe { libc::kill(id, libc::SIGTERM) }, 0);
    let mut said = String::new();
    while process.output.read_line(&mut said).expect("UTF-8") > 0 {}
    assert!(said.contains("calls: 0 started"), "{said}");
    assert_eq!(process.child.wait().expect("an end").code(), Some(0));
    assert_eq!(process.ctl(&["status"], "").status.code(), Some(1));
}

#[test]
fn an_api_that_cannot_be_had_ends_the_start_with_one_line() {
    let first = Process::start(&[]);
    let taken = first.url.strip_prefix("http://").expect("a URL");
    let port = std::net::UdpSocket::bind("127.0.0.60:0").and_then(|socket| socket.local_addr());
    let listen = format!("udp:{}", port.expect("a free port"));
    let output = ringway(&["--listen", &listen, "--shards", "1", "--max-calls", "100", "--admin", taken])
        .args(["--max-transactions", "1000", "--media", "pass"])
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let error = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = error.lines().filter(|line| line.starts_with("ringway: ")).collect();
    assert_eq!(lines.len(), 1, "{error}");
    assert!(lines[0].contains(taken) && lines[0].contains("give another --admin"), "{error}");
}
