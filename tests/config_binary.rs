//! The binary's exit codes and where it writes.
#![cfg(feature = "server")]

use std::process::{Command, Output};

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
