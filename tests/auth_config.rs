//! The options of registration and authentication, and passwords that nobody gets to see again.

use ringway::auth::Algorithm;
use ringway::config::{Action, Config, World};
use std::ffi::OsString;
use std::path::Path;

const PHONE: &str = "--subscriber=number=1,contact=sip:1@192.0.2.9";

fn run(args: &[&str], file: &str) -> Result<Action, String> {
    let world = World {
        environment: Vec::new(),
        read_file: &|_: &Path| Ok(file.to_owned()),
        cpus_allowed: vec![0],
        secret: 7,
    };
    let config = ["--config", "ringway.toml"];
    let args = ["ringway"].iter().chain(config.iter().filter(|_| !file.is_empty())).chain(args);
    Config::from_args(args.map(OsString::from), &world).map_err(|error| error.to_string())
}

#[track_caller]
fn started(args: &[&str], file: &str) -> Config {
    match run(args, file) {
        Ok(Action::Start(config)) => *config,
        Ok(other) => panic!("it does not start: {other:?}"),
        Err(message) => panic!("{message}"),
    }
}

#[track_caller]
fn printed(args: &[&str], file: &str) -> String {
    match run(args, file) {
        Ok(Action::Print(text)) => text,
        other => panic!("it prints nothing: {other:?}"),
    }
}

#[test]
fn passwords_are_asked_for_unless_every_listener_is_on_loopback() {
    assert!(!started(&[], "").settings.auth.required);
    assert!(!started(&["--listen=udp:127.0.0.1:5060", "--listen=udp:[::1]:5060"], "").settings.auth.required);
    assert!(started(&["--auth=required"], "").settings.auth.required);
    for listen in ["--listen=udp:192.0.2.1:5060", "--listen=udp:0.0.0.0:5060"] {
        let args = [listen, "--listen=udp:127.0.0.1:5070", "--advertise=192.0.2.1", "--store=memory", PHONE];
        assert!(started(&args, "").settings.auth.required, "{listen}");
    }
}

#[test]
fn a_password_becomes_a_hash_of_number_and_realm() {
    // RFC 7616 §3.4.2: H("1003:example.net:a b=c").
    let args = ["--realm=example.net", "--subscriber=number=1003,password=a b=c"];
    let config = started(&args, "");
    let subscriber = &config.subscribers[0];
    let credentials = subscriber.credentials.as_ref().expect("credentials");
    let expected = ringway::auth::digest::credentials("1003", "example.net", "a b=c");
    assert_eq!(**credentials, expected);
    assert!(subscriber.contact.is_none(), "it registers");
    let file = "[[subscriber]]\nnumber = \"1003\"\npassword = \"a, b\"\n";
    let expected = ringway::auth::digest::credentials("1003", "ringway", "a, b");
    assert_eq!(started(&[], file).subscribers[0].credentials.as_deref(), Some(&expected));
}

#[test]
fn a_password_is_never_shown() {
    let flag = "--subscriber=number=1,password=tell-nobody";
    let text = printed(&["--print-config", flag], "");
    assert!(text.contains("# password is set\n") && !text.contains("tell-nobody"), "{text}");
    assert!(!printed(&["--check-config", flag], "").contains("tell-nobody"));
    assert!(!format!("{:?}", started(&[flag], "").subscribers).contains("tell-nobody"));
    for wrong in [
        "--subscriber=number=1,password=tell-nobody,x=1",
        "--subscriber=number=1,password=tell-nobody,password=tell-nobody",
        "--subscriber=number=1,password=tell-nobody\u{7}",
        "--subscriber=password=tell-nobody",
        "--subscriber=number=1, password = tell-nobody,contact=x",
    ] {
        let message = run(&[wrong], "").expect_err("it is wrong");
        assert!(!message.contains("tell-nobody") && !message.contains('\n'), "{message}");
    }
    for wrong in ["\"tell-nobody\\u0007\"", "\"\""] {
        let file = format!("[[subscriber]]\nnumber = \"1\"\npassword = {wrong}\n");
        let message = run(&[], &file).expect_err("it is wrong");
        assert!(message.starts_with("ringway.toml:3: [[subscriber]] password = …: "), "{message}");
    }
}

#[test]
fn options_mean_what_they_say() {
    let args = [
        "--auth-algorithms=MD5, sha-256",
        "--trusted=192.0.2.0/24",
        "--trusted=2001:db8::1",
        "--nonce-lifetime=60",
        "--auth-failures=0",
    ];
    let auth = started(&args, "").settings.auth;
    assert_eq!(auth.algorithms, [Algorithm::Md5, Algorithm::Sha256]);
    let trusted: Vec<String> = auth.trusted.iter().map(ToString::to_string).collect();
    assert_eq!(trusted, ["192.0.2.0/24", "2001:db8::1/128"]);
    assert_eq!((auth.nonce_lifetime_s, auth.failures_per_minute, &*auth.realm), (60, 0, "ringway"));
    let file = "trusted = [\"192.0.2.0/24\", \"2001:db8::1/128\"]\nrealm = \"a b\"\n";
    let auth = started(&[], file).settings.auth;
    assert_eq!((auth.trusted.len(), &*auth.realm), (2, "a b"));
}

#[test]
fn what_is_wrong_is_named_with_the_cure() {
    for (flag, message) in [
        ("--auth=off", "--auth off: not offered; expected auto or required"),
        ("--realm=a\"b", "--realm a\"b: it cannot be written between quotes"),
        ("--realm=a:b", "--realm a:b: a colon would make two realms alike"),
        ("--auth-algorithms=sha-1", "\"sha-1\" is not offered; expected sha-256 and md5"),
        ("--auth-algorithms=md5,MD5", "MD5 is named twice"),
        ("--trusted=192.0.2.1/24", "the address has bits behind the prefix; set them to zero"),
        ("--trusted=phone.example", "not an IP address; expected an IP address, or a network"),
        ("--nonce-lifetime=9", "too small"),
        ("--auth-failures=-1", "not a whole number"),
    ] {
        let error = run(&[flag], "").expect_err(flag);
        assert!(error.contains(message), "{flag}: {error}");
    }
}

#[test]
fn the_check_says_who_is_asked() {
    let text = printed(&["--check-config", "--trusted=192.0.2.0/24"], "");
    let expected = "only numbers with a password have to authenticate, in realm \"ringway\" by SHA-256 or \
                    MD5; trusts 192.0.2.0/24";
    assert!(text.contains(expected), "{text}");
    let text = printed(&["--check-config", "--auth=required", "--auth-algorithms=sha-256"], "");
    assert!(
        text.contains("everyone has to authenticate, in realm \"ringway\" by SHA-256; 3 without a password")
    );
}

#[test]
fn registration_times_are_checked_together() {
    let times = |args: &[&str]| {
        let registration = started(args, "").settings.registration;
        (registration.expires_min_s, registration.expires_default_s, registration.expires_max_s)
    };
    assert_eq!(times(&[]), (60, 3_600, 7_200));
    assert_eq!(times(&["--max-expires=600"]), (60, 600, 600));
    assert_eq!(times(&["--default-expires=60", "--min-expires=300"]), (300, 300, 7_200));
    assert_eq!(started(&["--max-contacts=16"], "").settings.registration.contacts_max, 16);
    let refusal = run(&["--min-expires=600", "--max-expires=300"], "").expect_err("a refusal");
    assert!(
        refusal.contains("--max-expires") && refusal.contains("give --max-expires 600 or more"),
        "{refusal}"
    );
    assert!(run(&["--max-contacts=17"], "").is_err_and(|refusal| refusal.contains("too large")));
}
