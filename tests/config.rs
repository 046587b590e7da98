//! What the operator sets: precedence, syntax, refusals, and what is printed of it.
#![cfg(feature = "server")]

use ringway::config::{Action, Config, World};
use ringway::directory::{Condition, StaticContact, Subscriber};
use ringway::settings::{AckPolicy, LateAnswer, MediaMode, Settings, Timers};
use ringway::store::Place;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::Duration;

const FILE: &str = "ringway.toml";

/// Runs the arguments (without the program's name) in a world of four CPUs and one file.
fn run(args: &[&str], environment: &[(&str, &str)], file: &str) -> Result<Action, String> {
    let read_file = |path: &Path| match path == Path::new(FILE) {
        true => Ok(file.to_owned()),
        false => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let world = World {
        environment: environment.iter().map(own).collect(),
        read_file: &read_file,
        cpus_allowed: vec![0, 1, 2, 5],
        secret: 7,
    };
    let args = std::iter::once("ringway").chain(args.iter().copied()).map(OsString::from);
    Config::from_args(args, &world).map_err(|error| error.to_string())
}

fn started(action: Result<Action, String>) -> Config {
    match action.expect("a good configuration") {
        Action::Start(config) => *config,
        other => panic!("not started: {other:?}"),
    }
}

fn printed(action: Result<Action, String>) -> String {
    match action.expect("a good configuration") {
        Action::Print(text) => text,
        other => panic!("not printed: {other:?}"),
    }
}

fn with_flags(args: &[&str]) -> Config {
    started(run(args, &[], ""))
}

fn with_file(file: &str) -> Config {
    started(run(&["--config", FILE], &[], file))
}

fn refused_flags(args: &[&str]) -> String {
    run(args, &[], "").expect_err("a refusal")
}

fn refused_file(file: &str) -> String {
    run(&["--config", FILE], &[], file).expect_err("a refusal")
}

fn subscriber(config: &Config, number: &str) -> Subscriber {
    config.subscribers.iter().find(|one| &*one.number == number).expect("a subscriber").clone()
}

fn contact(subscriber: &Subscriber) -> &StaticContact {
    subscriber.contact.as_ref().expect("a contact")
}

#[test]
fn the_defaults_are_those_of_the_settings_and_the_lab() {
    let config = with_flags(&[]);
    let mut defaults = Settings { listeners: config.settings.listeners.clone(), ..Settings::default() };
    defaults.forwarding.own_hosts = vec![("127.0.0.1".into(), 5060)];
    (defaults.media.mode, defaults.media.addresses) = (MediaMode::Anchor, vec![[127, 0, 0, 1].into()]);
    assert_eq!(format!("{:?}", config.settings), format!("{defaults:?}"));

    let lab = Config::lab("127.0.0.1:5060".parse().expect("an address"));
    // The lab's phones send no media.
    let config = with_flags(&["--media=pass"]);
    assert_eq!(format!("{:?}", config.settings), format!("{:?}", lab.settings));
    let mut net = lab.net.clone();
    (net.cpus, net.secret) = (config.net.cpus.clone(), config.net.secret);
    assert_eq!(config.net, net);
    assert_eq!((config.log, config.lab), (lab.log, lab.lab));
    assert_eq!(config.net.secret, 7);
}

#[test]
fn without_subscribers_on_loopback_the_lab_is_served() {
    let config = with_flags(&["--listen", "udp:127.0.0.60:5060"]);
    assert!(config.lab);
    assert_eq!(config.subscribers.len(), 3);
    assert_eq!(
        subscriber(&config, "1004"),
        Subscriber::new("1004")
            .at("sip:1004@127.0.0.136:5060", "127.0.0.136:5060".parse().expect("an address"))
            .forwarding_to(Condition::NoAnswer, "1005")
    );
    assert!(config.summary().contains("the lab's because none is configured"), "{}", config.summary());
    assert!(config.summary().contains("1004 to 1005 after 20 s"), "{}", config.summary());
}

#[test]
fn without_subscribers_elsewhere_nothing_is_served() {
    let error = refused_flags(&["--listen", "udp:192.0.2.10:5060", "--store=memory"]);
    assert!(error.contains("no subscriber is configured"), "{error}");
    assert!(error.contains("give --subscriber number=1004,contact=sip:1004@192.0.2.136:5060"), "{error}");
}

#[test]
fn what_outlives_the_process_has_a_place() {
    let place = |args: &[&str]| {
        let phone = "--subscriber=number=1,contact=sip:1@192.0.2.1";
        let outside = ["--listen=udp:192.0.2.9:5060", phone];
        started(run(&[args, &outside].concat(), &[], "")).store.place
    };
    assert_eq!(place(&["--store=memory"]), Place::Memory);
    for args in [&["--data-dir=/d"][..], &["--data-dir=/d", "--store=redb"]] {
        assert_eq!(place(args), Place::Directory("/d".into()));
    }
    let url = "redis://127.0.0.1:6379/1";
    assert_eq!(place(&["--store", url]), Place::Redis(url.to_owned()));
    // A store may have all the subscribers there are.
    let config = started(run(&["--data-dir=/d", "--listen=udp:192.0.2.9:5060"], &[], ""));
    assert!(!config.lab && config.subscribers.is_empty());
    assert!(config.summary().contains("keeps subscribers in /d"), "{}", config.summary());
    let config = started(run(&[], &[], ""));
    assert_eq!(config.store.place, Place::Memory);
    assert!(config.summary().contains("--data-dir keeps them"), "{}", config.summary());

    let error = refused_flags(&["--listen=udp:192.0.2.9:5060"]);
    assert!(error.contains("udp:192.0.2.9:5060") && error.contains("give --data-dir"), "{error}");
    assert!(refused_flags(&["--store=redb"]).contains("give --data-dir"));
    let error = refused_flags(&["--data-dir=/d", "--store", url]);
    assert!(error.contains("give one of the two"), "{error}");
    for store in ["sqlite", "redis://", "rediss://127.0.0.1", "redis://127.0.0.1/x"] {
        let error = refused_flags(&["--store", store]);
        assert!(error.contains(store) && error.contains("expected redb, memory"), "{error}");
    }
}

#[test]
fn the_password_in_a_stores_url_is_never_shown() {
    let args = ["--store=redis://user:secret@127.0.0.1/", "--check-config"];
    for what in ["--check-config", "--print-config"] {
        let Ok(Action::Print(text)) = run(&[args[0], what], &[], "") else { panic!("{what}") };
        assert!(text.contains("redis://user:…@127.0.0.1/") && !text.contains("secret"), "{text}");
    }
}

#[test]
fn flags_win_over_the_environment_over_the_file_over_the_default() {
    let batch = |args: &[&str], environment: &[(&str, &str)], file: &str| {
        started(run(args, environment, file)).net.batch
    };
    let config = ["--config", FILE];
    assert_eq!(batch(&[], &[], ""), 64);
    assert_eq!(batch(&config, &[], "batch = 3"), 3);
    assert_eq!(batch(&config, &[("RINGWAY_BATCH", "2")], "batch = 3"), 2);
    assert_eq!(batch(&["--config", FILE, "--batch", "1"], &[("RINGWAY_BATCH", "2")], "batch = 3"), 1);
    assert_eq!(batch(&[], &[("RINGWAY_CONFIG", FILE)], "batch = 3"), 3);
    assert_eq!(batch(&[], &[("RINGWAY_BATCH", "")], ""), 64, "an empty variable counts as not set");
}

#[test]
fn a_list_is_replaced_as_a_whole() {
    let file = r#"listen = ["udp:127.0.0.2:5060", "udp:127.0.0.3:5060"]"#;
    let listeners = |args: &[&str], environment: &[(&str, &str)]| {
        let config = started(run(args, environment, file));
        config.settings.listeners.iter().map(|listener| listener.address.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(listeners(&["--config", FILE], &[]), ["127.0.0.2:5060", "127.0.0.3:5060"]);
    let environment = [("RINGWAY_LISTEN", "udp:127.0.0.4:5060 udp:[::1]:5060")];
    assert_eq!(listeners(&["--config", FILE], &environment), ["127.0.0.4:5060", "[::1]:5060"]);
    let flag = ["--config", FILE, "--listen", "udp:127.0.0.5:5060"];
    assert_eq!(listeners(&flag, &environment), ["127.0.0.5:5060"]);
}

#[test]
fn every_option_reaches_its_setting() {
    let config = with_flags(&[
        "--no-answer-timeout=25",
        "--ring-limit=100",
        "--trying-limit=30",
        "--max-diversions=0",
        "--ack=immediate",
        "--no-181",
        "--unreachable-408",
        "--late-answer=keep",
        "--session-expires=0",
        "--alert-info=http://127.0.0.1/1",
        "--t1=200",
        "--t2=2000",
        "--t4=2500",
        "--max-calls=10",
        "--max-transactions=100",
        "--retry-after=9",
        "--batch=7",
        "--receive-buffer=1MiB",
        "--send-buffer=65536",
        "--inbox=99",
        "--drain-timeout=0",
        "--log=debug",
        "--shards=2",
        "--cpus=5,0-1",
    ]);
    let settings = &config.settings;
    assert_eq!(settings.no_answer_ms, 25_000);
    assert_eq!((settings.ring_limit_ms, settings.trying_limit_ms), (100_000, 30_000));
    assert_eq!((settings.max_diversions, settings.ack), (0, AckPolicy::Immediate));
    assert_eq!((settings.send_181, settings.unreachable_408), (false, true));
    assert_eq!((settings.late_answer, settings.session_expires_s), (LateAnswer::Keep, 0));
    assert_eq!(settings.alert_info.as_deref(), Some("<http://127.0.0.1/1>"));
    assert_eq!(settings.timers, Timers { t1_ms: 200, t2_ms: 2_000, t4_ms: 2_500 });
    assert_eq!((settings.max_calls, settings.max_transactions, settings.retry_after_s), (10, 100, 9));
    assert_eq!((config.net.batch, config.net.inbox_datagrams), (7, 99));
    assert_eq!((config.net.receive_buffer_bytes, config.net.send_buffer_bytes), (1 << 20, 65_536));
    assert_eq!((config.net.drain_timeout, config.log), (Duration::ZERO, tracing::Level::DEBUG));
    assert_eq!(config.net.cpus, [5, 0]);
}

#[test]
fn switches_are_set_and_taken_back() {
    let sends = |args: &[&str], environment: &[(&str, &str)], file: &str| {
        started(run(args, environment, file)).settings.send_181
    };
    assert!(!sends(&["--no-181"], &[], ""));
    assert!(!sends(&[], &[("RINGWAY_NO_181", "1")], ""));
    assert!(!sends(&[], &[("RINGWAY_NO_181", "true")], ""));
    assert!(!sends(&["--config", FILE], &[], "no-181 = true"));
    assert!(sends(&["--no-181=false", "--config", FILE], &[("RINGWAY_NO_181", "1")], "no-181 = true"));
    assert!(sends(&["--config", FILE], &[("RINGWAY_NO_181", "0")], "no-181 = true"));
}

#[test]
fn an_empty_value_takes_an_option_back_that_has_no_default() {
    let file = "alert-info = \"http://127.0.0.1/1\"\ncpus = \"5\"\nlisten = []";
    let config = started(run(&["--config", FILE, "--alert-info", "", "--cpus="], &[], file));
    assert_eq!(config.settings.alert_info, None);
    assert_eq!(config.net.cpus, [0, 1, 2, 5]);
}

#[test]
fn a_shard_has_a_cpu_of_its_own() {
    assert_eq!(with_flags(&[]).net.cpus, [0, 1, 2, 5], "all that are allowed");
    assert_eq!(with_flags(&["--shards", "3"]).net.cpus, [0, 1, 2]);
    assert_eq!(with_flags(&["--shards", "auto", "--cpus", "5"]).net.cpus, [5]);
    let error = refused_flags(&["--shards", "5"]);
    assert!(error.starts_with("--shards 5: there are only 4 CPUs for them (0-2,5)"), "{error}");
    let error = refused_flags(&["--cpus", "2-3"]);
    assert!(error.starts_with("--cpus 2-3: CPU 3 is not among those allowed here, 0-2,5"), "{error}");
}

#[test]
fn listeners_are_advertised_as_others_reach_them() {
    let phone = "number=1,contact=sip:1@192.0.2.1";
    let sent_by = |args: &[&str]| {
        let more = ["--store=memory", "--media=pass", "--subscriber", phone];
        let args: Vec<&str> = args.iter().copied().chain(more).collect();
        run(&args, &[], "").map(|action| {
            started(Ok(action))
                .settings
                .listeners
                .into_iter()
                .map(|listener| listener.sent_by)
                .collect::<Vec<_>>()
        })
    };
    let any = ["--listen", "udp:0.0.0.0:5060"];
    assert_eq!(sent_by(&["--listen", "udp:192.0.2.9:5070"]), Ok(vec!["192.0.2.9:5070".to_owned()]));
    assert_eq!(
        sent_by(&[any[0], any[1], "--advertise", "192.0.2.10"]),
        Ok(vec!["192.0.2.10:5060".to_owned()])
    );
    assert_eq!(
        sent_by(&[any[0], any[1], "--advertise", "sip.example.net:5080"]),
        Ok(vec!["sip.example.net:5080".to_owned()])
    );
    assert_eq!(
        sent_by(&[any[0], any[1], "--listen", "udp:[::]:5062", "--advertise", "sip.example.net"]),
        Ok(vec!["sip.example.net:5060".to_owned(), "sip.example.net:5062".to_owned()])
    );
    // An address speaks for its family alone: here the IPv6 listener keeps its own.
    assert_eq!(
        sent_by(&[any[0], any[1], "--listen", "udp:[2001:db8::1]:5060", "--advertise", "192.0.2.10"]),
        Ok(vec!["192.0.2.10:5060".to_owned(), "[2001:db8::1]:5060".to_owned()])
    );
    let error = sent_by(&any).expect_err("nothing to write into Via");
    assert!(error.contains("--listen udp:0.0.0.0:5060") && error.contains("add --advertise"), "{error}");
    let error = sent_by(&[any[0], any[1], "--listen", "udp:[::]:5060", "--advertise", "192.0.2.10"]);
    assert!(error.expect_err("nothing for IPv6").starts_with("--listen udp:[::]:5060"));
    let both =
        ["--listen", "udp:192.0.2.9:1", "--listen", "udp:192.0.2.9:2", "--advertise", "192.0.2.9:5060"];
    let error = sent_by(&both).expect_err("two listeners under one address");
    assert!(error.contains("leave the port out of --advertise"), "{error}");
    let error = sent_by(&["--advertise", "192.0.2.10", "--advertise", "example.net"]);
    assert!(error.expect_err("two for one").contains("speaks for the same listeners as 192.0.2.10"));
}

#[test]
fn subscribers_come_from_flags_environment_and_tables_alike() {
    let file = r#"
        [[subscriber]]
        number = "1004"
        contact = "sip:1004@127.0.0.136:5062"
        no-answer = "1005"
        after = 30

        [[subscriber]]
        number = "1005"
        contact = "sip:1005@127.0.0.138"
    "#;
    let four = "number=1004,contact=sip:1004@127.0.0.136:5062,no-answer=1005,after=30";
    let five = "number=1005,contact=sip:1005@127.0.0.138";
    let environment = format!("{four}\n{five}");
    let configs = [
        with_file(file),
        with_flags(&["--subscriber", four, "--subscriber", five]),
        started(run(&[], &[("RINGWAY_SUBSCRIBER", &environment)], "")),
    ];
    for config in configs {
        assert!(!config.lab);
        assert_eq!(config.subscribers.len(), 2);
        let four = subscriber(&config, "1004");
        assert_eq!(
            (four.forwarding.target(Condition::NoAnswer), four.after_ms),
            (Some("1005"), Some(30_000))
        );
        assert_eq!(contact(&four).destination.port(), 5062);
        assert_eq!(
            contact(&subscriber(&config, "1005")).destination,
            "127.0.0.138:5060".parse().expect("an address")
        );
        assert!(config.summary().contains("2 subscribers; on no answer forwards 1004 to 1005 after 30 s"));
    }
}

#[test]
fn a_number_with_an_escape_is_refused_for_no_call_would_find_it() {
    let refusal = refused_flags(&["--subscriber", "number=%2B1,contact=sip:1@127.0.0.8"]);
    assert!(refusal.contains("number=%2B1: it has an escape; write the character itself"), "{refusal}");
    let config = with_flags(&["--subscriber", "number=+1%x,contact=sip:%2B1@127.0.0.8"]);
    assert_eq!(&*contact(&subscriber(&config, "+1%x")).uri, "sip:%2B1@127.0.0.8");
}

#[test]
fn a_number_is_as_long_as_a_call_can_ask_for() {
    let flag = |length: usize| format!("number={},contact=sip:127.0.0.8", "1".repeat(length));
    with_flags(&["--subscriber", &flag(64)]);
    let refusal = refused_flags(&["--subscriber", &flag(65)]);
    assert!(refusal.contains("it is longer than 64 bytes"), "{refusal}");
}

#[test]
fn subscribers_are_checked_one_by_one_and_together() {
    let other = "number=2,contact=sip:2@127.0.0.9";
    for (text, message) in [
        ("number=1,conatct=x", "unknown key conatct; the nearest known one is contact"),
        ("contact=sip:1@127.0.0.8", "number is missing; expected a number, for example number=1004"),
        ("1004", "\"1004\" is not key=value"),
        ("number=1,number=3,contact=sip:1@127.0.0.8", "number is given twice"),
        ("number=,contact=sip:1@127.0.0.8", "number=: it is empty"),
        ("number=a b,contact=sip:1@127.0.0.8", "not the user part of a sip URI"),
        ("number=1,contact=sip:1@phone.example.net", "the host is not an IP address; expected a sip URI"),
        ("number=1,contact=tel:1", "not a sip URI"),
        // The @ makes the host a part of the user.
        ("number=1,contact=sip:127.0.0.8;x@y=z", "not a sip URI"),
        ("number=1,contact=sip:127.0.0.8;x@y", "the host is not an IP address"),
        ("number=1,contact=sips:1@127.0.0.8", "sips needs TLS, which is not offered"),
        ("number=1,contact=sip:1@127.0.0.8;transport=tcp", "transport tcp is not offered, only udp is"),
        ("number=1,contact=sip:1@127.0.0.8:0", "port 0 cannot be sent to"),
        (
            "number=1,contact=sip:1@127.0.0.8,after=4",
            "after=4: too small; expected whole seconds from 5 to 180",
        ),
        ("number=1,contact=sip:1@127.0.0.8,after=181", "after=181: too large"),
        ("number=1,contact=sip:1@127.0.0.8,after=5s", "after=5s: not a whole number"),
        ("number=1,contact=sip:1@127.0.0.8,no-answer=1", "a subscriber cannot forward to itself"),
        (
            "number=1,contact=sip:1@127.0.0.8,no-answer=22",
            "nobody has the number 22, and no route leads there (the nearest is 2)",
        ),
        ("number=2,contact=sip:1@127.0.0.8", "the number 2 is already taken (flag)"),
        ("number=1,contact=sip:1@192.0.2.1", "no listener is on IPv4 beyond loopback; add one"),
        ("number=1,contact=sip:1@[::1]", "no listener is on IPv6; add one"),
        ("number=1,contact=sip:1@127.0.0.1", "would be ringway itself"),
    ] {
        let error = refused_flags(&["--subscriber", other, "--subscriber", text]);
        assert!(error.contains(message), "{text}: {error}");
        assert!(error.contains(text) || error.starts_with("subscriber 1 at "), "{text}: {error}");
    }
}

#[test]
fn contacts_keep_their_parameters_and_may_be_ipv6() {
    let config = with_flags(&[
        "--listen",
        "udp:[::1]:5060",
        "--subscriber",
        "number=+861004,contact=SIP:+861004@[::1]:5070;transport=UDP;user=phone",
    ]);
    let phone = subscriber(&config, "+861004");
    assert_eq!(contact(&phone).destination, "[::1]:5070".parse().expect("an address"));
    assert_eq!(&*contact(&phone).uri, "SIP:+861004@[::1]:5070;transport=UDP;user=phone");
}

#[test]
fn faults_in_the_file_are_named_with_their_line() {
    for (file, message) in [
        ("\nbatsh = 1", "ringway.toml:2: unknown key batsh; the nearest known one is batch"),
        ("batch = 0", "ringway.toml:1: batch = 0: too small; expected a whole number of datagrams from 1"),
        ("batch = 0x1F_FF", "ringway.toml:1: batch = 8191: too large"),
        ("batch = -1", "ringway.toml:1: batch = -1: not a whole number"),
        ("batch = 1.5", "ringway.toml:1: batch: a TOML float says nothing here; expected a whole number"),
        ("batch = [1]", "ringway.toml:1: batch: a TOML array says nothing here"),
        (
            "listen = [\n\"udp:127.0.0.1:5060\",\n\"x\"]",
            "ringway.toml:3: listen = x: it does not begin with udp:",
        ),
        ("config = \"x\"", "ringway.toml:1: config cannot stand in the file itself"),
        ("check-config = true", "ringway.toml:1: check-config: --check-config is a flag only"),
        ("batch = ", "ringway.toml:1: not valid TOML: "),
        ("batch = 1\nbatch = 2", "ringway.toml:2: not valid TOML: duplicate key"),
        ("subscriber = [\"number=1\"]", "ringway.toml:1: subscriber: expected a [[subscriber]] table each"),
        ("[subscriber]\nnumber = \"1\"", "ringway.toml:1: subscriber: expected a [[subscriber]] table each"),
        (
            "[[subscriber]]\nnumber = 1004",
            "ringway.toml:2: [[subscriber]] number: a TOML integer says nothing",
        ),
        (
            "[[subscriber]]\nno-anser = \"1\"",
            "ringway.toml:2: [[subscriber]]: unknown key no-anser; the nearest",
        ),
        (
            "[[subscriber]]\nno-181 = true",
            "ringway.toml:2: [[subscriber]] has no key no-181; the option no-181",
        ),
        (
            "[[subscriber]]\nnumber = \"1\"\ncontact = \"sip:1@127.0.0.9\"\nafter = 200",
            "ringway.toml:4: [[subscriber]] after = 200: too large; expected whole seconds from 5 to 180",
        ),
        ("\n[[subscriber]]\nafter = 20", "ringway.toml:2: [[subscriber]]: number is missing"),
    ] {
        let error = refused_file(file);
        assert!(error.starts_with(message), "{file:?}: {error}");
        assert!(!error.contains('\n'), "one line: {error}");
    }
    let error = refused_flags(&["--config", "elsewhere.toml"]);
    assert!(error.starts_with("--config elsewhere.toml: the file cannot be read: "), "{error}");
}

#[test]
fn unknown_names_are_answered_with_the_nearest() {
    let error = refused_flags(&["--max-diversion", "1"]);
    assert!(error.starts_with("unknown option --max-diversion; the nearest known one is --max-diversions"));
    let error = refused_flags(&["udp:127.0.0.1:5060"]);
    assert!(error.starts_with("unexpected argument udp:127.0.0.1:5060"), "{error}");
    let environment = |name: &str| run(&[], &[(name, "1"), ("HOME", "/")], "").expect_err("a refusal");
    assert_eq!(
        environment("RINGWAY_NO181"),
        "unknown environment variable RINGWAY_NO181; the nearest known one is RINGWAY_NO_181"
    );
    assert!(environment("RINGWAY_PRINT_CONFIG").contains("--print-config is a flag only"));
}

#[test]
fn bad_values_are_named_with_origin_and_expectation() {
    for (args, message) in [
        (["--batch", "0"], "too small; expected a whole number of datagrams from 1 to 1024, for example 64"),
        (["--batch", "many"], "not a whole number; expected"),
        (
            ["--shards", "0"],
            "too small; expected auto (one per CPU) or a whole number of shards from 1 to 255",
        ),
        (
            ["--cpus", "1-"],
            "\"1-\" is not a whole number; expected CPU numbers and ranges, for example 0,2-3",
        ),
        (["--no-answer-timeout", "4"], "too small; expected a whole number of seconds from 5 to 180"),
        (["--ring-limit", "99999"], "too large; expected a whole number of seconds"),
        (["--trying-limit", "0"], "too small; expected a whole number of seconds"),
        (["--max-diversions", "11"], "too large; expected a whole number of diversions from 0 to 10"),
        (["--ack", "relais"], "not offered; expected relay or immediate, for example immediate"),
        (["--late-answer", "x"], "not offered; expected drop or keep, for example keep"),
        (["--log", "loud"], "not offered; expected error or warn or info or debug or trace"),
        (["--session-expires", "89"], "too small; expected 0 (off) or a whole number of seconds from 90"),
        (["--alert-info", "bell"], "no scheme such as http:; expected an absolute URI, for example http://"),
        (["--t1", "5"], "too small; expected a whole number of milliseconds from 10 to 10000"),
        (["--t2", "400"], "it is smaller than T1; give --t2 500 or more"),
        (["--t4", "99999999999"], "too large; expected a whole number of milliseconds"),
        (["--max-calls", "0"], "too small; expected a whole number of calls"),
        (["--max-transactions", "1"], "too small; expected a whole number of transactions"),
        (["--retry-after", "0"], "too small; expected a whole number of seconds"),
        (
            ["--receive-buffer", "4GB"],
            "not a size; expected bytes from 16KiB to 1023MiB, the suffix KiB or MiB",
        ),
        (["--send-buffer", "1KiB"], "too small; expected bytes"),
        (["--inbox", "1"], "too small; expected a whole number of datagrams"),
        (["--drain-timeout", "-1"], "not a whole number; expected a whole number of seconds from 0"),
        (["--listen", "udp:localhost:5060"], "not an IP address with a port; expected udp:ADDRESS:PORT"),
        (["--listen", "tcp:127.0.0.1:5060"], "tcp is not offered, only udp is; expected udp:ADDRESS:PORT"),
        (["--advertise", "a_b"], "neither an IP address nor a host name; expected HOST or HOST:PORT"),
    ] {
        let [flag, value] = args;
        let error = refused_flags(&args);
        assert!(error.starts_with(&format!("{flag} {value}: {message}")), "{error}");
        let variable = format!("RINGWAY_{}", flag[2..].replace('-', "_").to_uppercase());
        let error = run(&[], &[(&variable, value)], "").expect_err("a refusal");
        assert!(error.starts_with(&format!("environment variable {variable}={value}: {message}")), "{error}");
        let error = refused_file(&format!("{} = \"{value}\"", &flag[2..]));
        assert!(
            error.starts_with(&format!("ringway.toml:1: {} = {value}: {message}", &flag[2..])),
            "{error}"
        );
    }
    assert_eq!(
        refused_flags(&["--no-181=no"]),
        "--no-181=no: neither true nor false; expected true or false"
    );
    let error = refused_flags(&["--batch", "1", "--batch", "2"]);
    assert!(error.contains("--batch") && error.contains("twice"), "{error}");
    let error = refused_flags(&["--listen", "udp:127.0.0.1:5060", "--listen", "udp:127.0.0.1:5060"]);
    assert!(error.contains("it is given twice"), "{error}");
}

#[test]
fn what_is_printed_reads_back_to_the_same_values() {
    let args = [
        "--listen=udp:0.0.0.0:5060",
        "--listen=udp:[::1]:5062",
        "--advertise=192.0.2.10",
        "--shards=1",
        "--cpus=2,5",
        "--ack=immediate",
        "--no-181",
        "--session-expires=0",
        "--alert-info=http://192.0.2.1/\\1",
        "--receive-buffer=65536",
        "--t1=0500",
        "--log=warn",
        "--data-dir=data \"of\" ringway",
        "--subscriber=number=1,contact=sip:1@192.0.2.1,no-answer=2,after=007",
        "--subscriber=number=2,contact=sip:2@192.0.2.2:5062",
    ];
    let lab: &[&str] = &[];
    for args in [&args[..], lab] {
        let first = started(run(args, &[], ""));
        let with_print: Vec<&str> = args.iter().copied().chain(["--print-config"]).collect();
        let text = printed(run(&with_print, &[], ""));
        let second = with_file(&text);
        assert_eq!(first.net, second.net, "{text}");
        assert_eq!(first.log, second.log, "{text}");
        assert_eq!(format!("{:?}", first.settings), format!("{:?}", second.settings), "{text}");
    }
}

#[test]
fn what_is_printed_tells_each_origin() {
    let file = "batch = 3\n\ninbox = 99\n";
    let text =
        printed(run(&["--config", FILE, "--t1=100", "--print-config"], &[("RINGWAY_T2", "300")], file));
    for line in [
        "# --config \"ringway.toml\"  # flag",
        "batch = 3  # ringway.toml:1",
        "inbox = 99  # ringway.toml:3",
        "t1 = 100  # flag",
        "t2 = 300  # environment",
        "t4 = 5000  # default",
        "cpus = \"\"  # default",
        "advertise = []  # default",
        "[[subscriber]]  # lab default",
    ] {
        assert!(text.lines().any(|printed| printed == line), "{line} is missing in {text}");
    }
    assert!(run(&["--print-config", "--batch=0"], &[], "").is_err(), "what cannot start is not printed");
}

#[test]
fn a_check_says_what_the_configuration_amounts_to() {
    let text = printed(run(&["--check-config", "--shards=2"], &[], ""));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[..3],
        ["configuration is good", "listens on udp:127.0.0.1:5060", "2 shards, on CPUs 0-1"]
    );
}

#[test]
fn help_names_every_topic_with_units_and_defaults() {
    let text = printed(run(&["--help"], &[], ""));
    // Wherever a line ends.
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in ["Network:", "Subscribers and forwarding:", "[seconds; default: 20]", "RINGWAY_NO_181=true"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert!(printed(run(&["--version"], &[], "")).starts_with("ringway "));
}
