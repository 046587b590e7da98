//! The options of the admin API: where it is served, and that nobody beyond this machine is let in unasked.
#![cfg(feature = "server")]

use ringway::config::{Action, Config, World};
use std::ffi::OsString;
use std::io;
use std::path::Path;

const TOKEN: &str = "0123456789abcdef";

/// Runs the arguments in a world in which the token's file says `token`.
fn run(args: &[&str], token: &str) -> Result<Config, String> {
    let read_file = |path: &Path| match path == Path::new("token") {
        true => Ok(token.to_owned()),
        false => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    let world = World { environment: Vec::new(), read_file: &read_file, cpus_allowed: vec![0], secret: 7 };
    let args = std::iter::once("ringway").chain(args.iter().copied()).map(OsString::from);
    match Config::from_args(args, &world).map_err(|error| error.to_string())? {
        Action::Start(config) => Ok(*config),
        Action::Print(text) => Err(text),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(args: &[&str], token: &str) -> String {
    let error = run(args, token).expect_err("a refusal");
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

#[test]
fn by_default_it_is_on_loopback_without_a_token() {
    let admin = run(&[], "").expect("good").admin.expect("an API");
    assert_eq!((admin.address.to_string().as_str(), admin.token), ("127.0.0.1:8060", None));
    assert_eq!(run(&["--admin=off"], "").expect("good").admin, None);
    let admin = run(&["--admin=[::1]:80"], "").expect("good").admin.expect("an API");
    assert_eq!(admin.address.to_string(), "[::1]:80");
}

#[test]
fn beyond_loopback_a_token_is_wanted() {
    for address in ["192.0.2.1:8060", "0.0.0.0:8060", "[::]:8060"] {
        let flag = format!("--admin={address}");
        let error = refused(&[&flag], TOKEN);
        assert!(error.contains(address) && error.contains("add --admin-token-file FILE"), "{error}");
        let admin = run(&[&flag, "--admin-token-file=token"], TOKEN).expect("good").admin.expect("an API");
        assert_eq!(admin.token.expect("a token").as_str(), TOKEN);
    }
}

#[test]
fn what_cannot_be_a_token_is_refused() {
    let file = "--admin-token-file=token";
    for (token, reason) in [
        ("", "the file is empty"),
        ("short", "the token has 5 characters"),
        ("0123456789abcdef 0", "blanks"),
        ("0123456789abcdef\nsecond", "line breaks"),
    ] {
        let error = refused(&[file], token);
        assert!(error.starts_with("--admin-token-file token: ") && error.contains(reason), "{error}");
        assert!(token.is_empty() || !error.contains(token), "{error}");
    }
    let error = refused(&["--admin-token-file=nowhere"], TOKEN);
    assert!(error.starts_with("--admin-token-file nowhere: the file cannot be read"), "{error}");
}

#[test]
fn what_is_no_address_is_refused() {
    for (address, reason) in
        [("127.0.0.1", "the port is missing"), ("localhost:80", "not an IP address"), ("on", "not an")]
    {
        let error = refused(&["--admin", address], "");
        assert!(error.contains(reason) && error.contains("expected ADDRESS:PORT or off"), "{error}");
    }
}

#[test]
fn the_token_is_never_printed() {
    let args = ["--admin-token-file=token", "--print-config"];
    let text = run(&args, TOKEN).expect_err("it is printed");
    assert!(text.contains("admin-token-file = \"token\"") && !text.contains(TOKEN), "{text}");
    let config = run(&args[..1], TOKEN).expect("good");
    assert!(!format!("{config:?}").contains(TOKEN));
}
