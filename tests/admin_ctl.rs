//! `ringway ctl` against a server: what it prints for people and for scripts, and its exit codes.
#![cfg(feature = "server")]

#[expect(dead_code, reason = "each test file uses its part")]
mod admin;

use admin::phone::Phone;
use admin::{Running, Setup};
use ringway::ctl::{Surroundings, run};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// What a command printed, and its exit code.
#[derive(Debug)]
struct Said {
    code: u8,
    output: String,
    errors: String,
}

fn ctl_with(args: &[&str], input: &str, variables: &[(&str, &str)]) -> Said {
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let mut around = Surroundings {
        input: &mut input.as_bytes(),
        output: &mut output,
        errors: &mut errors,
        variable: &|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        },
    };
    let code = run(args.iter().map(Into::into), &mut around);
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Said { code, output: text(output), errors: text(errors) }
}

/// Runs a command against this server.
fn ctl(running: &Running, args: &[&str], input: &str) -> Said {
    let url = running.url();
    let args: Vec<&str> = ["--url", url.as_str()].into_iter().chain(args.iter().copied()).collect();
    ctl_with(&args, input, &[])
}

/// The same; it must go well.
#[track_caller]
fn good(running: &Running, args: &[&str]) -> String {
    let said = ctl(running, args, "");
    assert_eq!((said.code, said.errors.as_str()), (0, ""), "{args:?}");
    said.output
}

/// The only line of an error.
#[track_caller]
fn refusal(said: &Said, code: u8) -> String {
    assert_eq!((said.code, said.output.as_str()), (code, ""), "{said:?}");
    assert_eq!(said.errors.lines().count(), 1, "{said:?}");
    said.errors.trim_end().strip_prefix("ringway ctl: ").expect("who says it").to_owned()
}

#[test]
fn a_subscribers_life() {
    let running = Running::new();
    assert_eq!(good(&running, &["subscriber", "add", "1005"]).lines().next(), Some("number        1005"));
    let said = ctl(
        &running,
        &["subscriber", "add", "1004", "--password-stdin", "--no-answer", "1005", "--after", "30"],
        "secret\n",
    );
    assert_eq!(said.code, 0, "{said:?}");
    let handle = running.keeper.handle();
    let credentials = ringway::auth::digest::credentials("1004", admin::REALM, "secret");
    let is_kept = handle
        .directory()
        .read()
        .get(b"1004")
        .is_some_and(|entry| entry.subscriber.credentials.as_deref() == Some(&credentials));
    assert!(is_kept);
    let shown = good(&running, &["subscriber", "show", "1004"]);
    for line in ["no answer     1005", "after         30 s", "password      yes", "configured    no"] {
        assert!(shown.contains(line), "{shown}");
    }
    let changed = good(&running, &["subscriber", "change", "1004", "--after", "", "--no-password"]);
    assert!(changed.contains("after         -") && changed.contains("password      no"), "{changed}");
    assert!(changed.contains("no answer     1005"), "{changed}");

    let list = good(&running, &["subscriber", "list"]);
    let lines: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..3], ["NUMBER", "FORWARDS", "AFTER"]);
    assert_eq!(lines[1], ["1004", "no-answer→1005", "-", "0", "-", "no", "no"]);
    assert_eq!(lines[2], ["1005", "-", "-", "0", "-", "no", "no"]);

    assert_eq!(good(&running, &["subscriber", "remove", "1004"]), "1004 is removed\n");
    let said = ctl(&running, &["subscriber", "show", "1004"], "");
    assert_eq!(refusal(&said, 3), "nobody has this number");
}

#[test]
fn for_scripts_the_servers_json_is_printed() {
    let running = Running::new();
    let json = |args: &[&str]| -> Value { serde_json::from_str(&good(&running, args)).expect("JSON") };
    assert_eq!(json(&["--json", "subscriber", "add", "1004"])["number"], "1004");
    assert_eq!(json(&["subscriber", "show", "1004", "--json"]), running.get("/v1/subscribers/1004"));
    assert_eq!(json(&["subscriber", "list", "--json"])["subscribers"][0]["number"], "1004");
    assert_eq!(json(&["status", "--json"])["state"], "running");
    assert_eq!(json(&["calls", "--json"])["calls"], Value::Array(Vec::new()));
    assert_eq!(json(&["bindings", "1004", "--json"])["bindings"], Value::Array(Vec::new()));
    assert_eq!(good(&running, &["subscriber", "remove", "1004", "--json"]), "");
}

#[test]
fn lists_go_over_as_many_pages_as_it_takes() {
    let running = Running::new();
    for number in 0..1_030 {
        let subscriber = ringway::directory::Subscriber::new(&(100_000 + number).to_string());
        let expected = ringway::store::keeper::Expected::Absent;
        running.keeper.handle().ask(
            ringway::store::keeper::Request::Put { subscriber, expected },
            Box::new(|outcome| assert!(outcome.is_ok())),
        );
        if number % 500 == 499 {
            // Not more at a time than the keeper lets wait.
            running.wait_for("/v1/status", |status| (status["subscribers"] == number + 1).then_some(()));
        }
    }
    running.wait_for("/v1/status", |status| (status["subscribers"] == 1_030).then_some(()));
    let list = good(&running, &["subscriber", "list", "--limit", "1020"]);
    assert_eq!(list.lines().count(), 1 + 1_020 + 1);
    assert_eq!(list.lines().last(), Some("1020 of 1030 shown; --limit shows more"));
    let list = good(&running, &["subscriber", "list", "--limit", "2000"]);
    assert_eq!(list.lines().count(), 1 + 1_030);
    assert!(list.lines().nth(1_030).expect("the last").starts_with("101029 "), "sorted");
}

#[test]
fn a_call_is_listed_shown_and_hung_up() {
    let running = Running::new();
    let (a, b) = (Phone::new(running.sip), Phone::new(running.sip));
    good(&running, &["subscriber", "add", "1004", "--contact", &b.contact("1004")]);
    let invite = a.call("1003", "1004");
    let ours = b.expect("INVITE");
    b.respond(&ours, "180 Ringing");
    a.expect("SIP/2.0 180");
    let list = good(&running, &["calls"]);
    let line: Vec<&str> = list.lines().nth(1).expect("a call").split_whitespace().collect();
    assert_eq!(line[1..5], ["ringing", "1003", "1004", "-"]);
    let shown = good(&running, &["call", "show", line[0]]);
    assert!(shown.contains(&format!("leg           {} ringing", b.address())), "{shown}");
    assert!(good(&running, &["status"]).contains("calls         1\n"));
    assert_eq!(good(&running, &["call", "hangup", line[0]]), format!("{} is hung up\n", line[0]));
    a.acknowledge(&invite, &a.expect("SIP/2.0 480"));
    let cancel = b.expect("CANCEL");
    b.respond(&cancel, "200 OK");
    b.respond(&ours, "487 Request Terminated");
    b.expect("ACK");
    let said = ctl(&running, &["call", "hangup", line[0]], "");
    assert_eq!(refusal(&said, 3), "there is no such call, or it is ending");
}

#[test]
fn what_is_refused_is_said_in_one_line() {
    let running = Running::new();
    let refused = |args: &[&str], code| refusal(&ctl(&running, args, ""), code);
    assert!(refused(&["subscriber", "add", "1004", "--no-answer", "7"], 1).starts_with("no_answer: "));
    assert!(refused(&["subscriber", "change", "1004"], 2).starts_with("nothing to change"));
    assert!(refused(&["subscriber", "add", "1004", "--after", "x"], 2).starts_with("--after x: "));
    assert!(refused(&["subscriber", "add", "1004", "--password-stdin"], 2).contains("the line is empty"));
    assert!(refused(&["subscriber", "add"], 2).contains("<NUMBER>"));
    assert!(refused(&["subscribr", "list"], 2).contains("subscribr"));
    assert!(refused(&["bindings", "1004"], 3).contains("nobody"));
    assert!(refused(&["bindings", "1004", "--uri", "sip:x"], 2).contains("--remove"));
    assert!(refused(&["call", "show", "0-0-9"], 3).contains("no such call"));
}

#[test]
fn a_server_that_is_not_there_is_said_to_be() {
    let Running { admin, .. } = Running::new();
    let url = format!("http://{}", admin.address());
    drop(admin);
    let error = refusal(&ctl_with(&["--url", &url, "status"], "", &[]), 1);
    assert!(error.starts_with(&format!("{url} does not answer: ")) && error.contains("--admin"), "{error}");
    let error = refusal(&ctl_with(&["--url", "https://127.0.0.1", "status"], "", &[]), 2);
    assert!(error.contains("http://"), "{error}");
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).expect("a file");
    path
}

#[test]
fn the_token_comes_from_a_file_and_the_url_from_the_environment() {
    let running = Running::with(Setup { token: Some("0123456789abcdef"), ..Setup::default() });
    let address = running.admin.address().to_string();
    let (right, wrong) = (file("ctl-token", "0123456789abcdef\n"), file("ctl-wrong", "fedcba9876543210"));
    let (right, wrong) = (right.to_str().expect("UTF-8"), wrong.to_str().expect("UTF-8"));
    let url = ("RINGWAY_ADMIN", address.as_str());
    let said = ctl_with(&["status"], "", &[url, ("RINGWAY_ADMIN_TOKEN_FILE", right)]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(ctl_with(&["status", "--token-file", right], "", &[url]).code, 0);
    for variables in [&[url][..], &[url, ("RINGWAY_ADMIN_TOKEN_FILE", wrong)]] {
        let error = refusal(&ctl_with(&["status"], "", variables), 1);
        assert!(error.contains("token") && error.contains("--token-file"), "{error}");
    }
    let error = refusal(&ctl_with(&["status", "--token-file", "/no/such"], "", &[url]), 2);
    assert!(error.starts_with("--token-file /no/such: the file cannot be read"), "{error}");
}

#[test]
fn completions_are_of_the_whole_program() {
    for shell in ["bash", "zsh", "fish"] {
        let said = ctl_with(&["completions", shell], "", &[]);
        assert_eq!(said.code, 0, "{said:?}");
        for word in ["ctl", "subscriber", "hangup", "admin-token-file", "listen"] {
            assert!(said.output.contains(word), "{shell}: {word}");
        }
        // fish is told of two levels of commands, not of the third one's options.
        assert_eq!(said.output.contains("password-stdin"), shell != "fish", "{shell}");
    }
    assert_eq!(ctl_with(&["completions", "tcsh"], "", &[]).code, 2);
}

#[test]
fn bash_takes_the_completions() {
    let script = ctl_with(&["completions", "bash"], "", &[]).output;
    let test = "COMP_WORDS=(ringway ctl subscriber a); COMP_CWORD=3; _ringway ringway a subscriber; \
                echo \"${COMPREPLY[*]}\"";
    let Ok(output) = Command::new("bash").arg("-c").arg(format!("{script}\n{test}")).output() else {
        eprintln!("SKIPPED bash_takes_the_completions: no bash");
        return;
    };
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "add", "{output:?}");
}

#[test]
fn help_is_no_error() {
    for args in [&["--help"][..], &["subscriber", "--help"], &["help"]] {
        let said = ctl_with(args, "", &[]);
        assert_eq!((said.code, said.errors.as_str()), (0, ""), "{args:?}");
        assert!(said.output.contains("Usage: ringway ctl"), "{}", said.output);
    }
}
