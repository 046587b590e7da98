//! What the operator sets of forwarding: each option as a flag and in the file, and every refusal.
#![cfg(feature = "server")]

use ringway::config::{Action, Config, World};
use ringway::directory::{Condition, HistoryForm};
use ringway::service::AssertedParty;
use std::ffi::OsString;
use std::path::Path;

fn run(args: &[&str], environment: &[(&str, &str)], file: &str) -> Result<Action, String> {
    let read_file = |_: &Path| Ok(file.to_owned());
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let world = World {
        environment: environment.iter().map(own).collect(),
        read_file: &read_file,
        cpus_allowed: vec![0],
        secret: 7,
    };
    let args = std::iter::once("ringway").chain(args.iter().copied()).map(OsString::from);
    Config::from_args(args, &world).map_err(|error| error.to_string())
}

/// A server that reaches others; what it keeps is gone at its end.
const OUTSIDE: [&str; 2] = ["--listen=udp:192.0.2.10:5060", "--store=memory"];

fn started(args: &[&str], file: &str) -> Config {
    let args: Vec<&str> = OUTSIDE.iter().chain(&["--config=x"]).chain(args).copied().collect();
    let phone = "--subscriber=number=1,contact=sip:1@192.0.2.1";
    let args = if file.contains("[[subscriber]]") || args.iter().any(|arg| arg.starts_with("--subscriber")) {
        args
    } else {
        [args, vec![phone]].concat()
    };
    match run(&args, &[], file) {
        Ok(Action::Start(config)) => *config,
        other => panic!("not started: {other:?}"),
    }
}

fn refused(args: &[&str]) -> String {
    let phone = "--subscriber=number=1,contact=sip:1@192.0.2.1";
    run(&[&OUTSIDE[..], &[phone], args].concat(), &[], "").expect_err("a refusal")
}

const FILE: &str = r#"
headers = "history-info"
route = ["prefix=+,to=sip:gw@192.0.2.9:5060;user=phone", "prefix=+49,to=sip:192.0.2.8"]
peer = ["address=192.0.2.0/24,headers=diversion,identity=diverting", "address=192.0.2.9"]
number-rule = ["prefix=0,to=+49", "prefix=00,to=+"]
emergency = ["110", "112"]
no-deflection = true

[[subscriber]]
number = "1004"
contact = "sip:1004@192.0.2.1"
unconditional = "1005"
busy = "sip:desk@192.0.2.7;user=phone"
no-answer = "tel:+49-30-1"
not-registered = "030 2"
not-reachable = "1005"
after = 30
headers = "none"
privacy = "full"

[[subscriber]]
number = "1005"
contact = "sip:1005@192.0.2.1"
privacy = "off"
"#;

#[test]
fn every_option_reaches_its_setting() {
    let config = started(&[], &FILE.replace("030 2", "0302"));
    let forwarding = &config.settings.forwarding;
    let routes: Vec<_> = forwarding.routes.iter().map(|route| (&*route.prefix, &*route.host)).collect();
    assert_eq!(routes, [("+49", "192.0.2.8"), ("+", "192.0.2.9:5060;user=phone")], "the longest first");
    assert_eq!(forwarding.routes[0].destination, "192.0.2.8:5060".parse().expect("an address"));
    assert_eq!(forwarding.history, HistoryForm::HistoryInfo);
    let peer = |ip: &str| *forwarding.peer(ip.parse().expect("an address")).expect("a peer");
    assert_eq!(
        (peer("192.0.2.3").history, peer("192.0.2.3").identity),
        (Some(HistoryForm::Diversion), AssertedParty::Diverting)
    );
    assert_eq!((peer("192.0.2.9").history, peer("192.0.2.9").identity), (None, AssertedParty::Caller));
    let rules: Vec<_> =
        forwarding.number_rules.iter().map(|rule| (&*rule.prefix, &*rule.replacement)).collect();
    assert_eq!(rules, [("00", "+"), ("0", "+49")], "the longest first");
    assert_eq!(forwarding.emergency, ["110", "112"].map(Box::from));
    assert!(!forwarding.deflection);

    let four = config.subscribers.iter().find(|one| &*one.number == "1004").expect("it");
    let targets = Condition::ALL.map(|condition| four.forwarding.target(condition).expect("a target"));
    assert_eq!(targets, ["1005", "sip:desk@192.0.2.7;user=phone", "tel:+49-30-1", "0302", "1005"]);
    assert_eq!((four.history, four.is_private), (Some(HistoryForm::None), true));
    let five = config.subscribers.iter().find(|one| &*one.number == "1005").expect("it");
    assert_eq!((five.history, five.is_private), (None, false));
    for part in ["always forwards 1004 to 1005", "on no answer forwards 1004 to tel:+49-30-1 after 30 s"] {
        assert!(config.summary().contains(part), "{}", config.summary());
    }
    assert!(config.summary().contains("+49… to 192.0.2.8, +… to 192.0.2.9:5060;user=phone"));
}

#[test]
fn flags_and_variables_say_the_same_as_the_file() {
    let file = started(&[], &FILE.replace("030 2", "0302"));
    let four = "number=1004,contact=sip:1004@192.0.2.1,unconditional=1005,\
                busy=sip:desk@192.0.2.7;user=phone,no-answer=tel:+49-30-1,not-registered=0302,\
                not-reachable=1005,after=30,headers=none,privacy=full";
    let flags = started(
        &[
            "--headers=history-info",
            "--route=prefix=+,to=sip:gw@192.0.2.9:5060;user=phone",
            "--route=to=sip:192.0.2.8,prefix=+49",
            "--peer=address=192.0.2.0/24, headers=diversion, identity=diverting",
            "--peer=address=192.0.2.9,identity=caller",
            "--number-rule=prefix=0,to=+49",
            "--number-rule=prefix=00,to=+",
            "--emergency=110,112",
            "--no-deflection",
            "--subscriber",
            four,
            "--subscriber=number=1005,contact=sip:1005@192.0.2.1",
        ],
        "",
    );
    assert_eq!(format!("{:?}", flags.settings), format!("{:?}", file.settings));
    assert_eq!(flags.subscribers, file.subscribers);
}

#[test]
fn what_is_printed_reads_back_to_the_same_values() {
    for file in [FILE.replace("030 2", "0302").as_str(), "emergency = \"\"", ""] {
        let first = started(&[], file);
        let phone = "--subscriber=number=1,contact=sip:1@192.0.2.1";
        let others: &[&str] = if file.contains("[[") { &[] } else { &[phone] };
        let args = [&OUTSIDE[..], &["--config=x", "--print-config"], others].concat();
        let Ok(Action::Print(text)) = run(&args, &[], file) else { panic!("not printed") };
        let Ok(Action::Start(second)) = run(&["--config=x"], &[], &text) else { panic!("{text}") };
        assert_eq!(format!("{:?}", first.settings), format!("{:?}", second.settings), "{text}");
        assert_eq!(first.subscribers, second.subscribers, "{text}");
    }
}

#[test]
fn emergency_numbers_replace_the_default_or_are_none() {
    let emergency = |args: &[&str]| started(args, "").settings.forwarding.emergency;
    assert_eq!(emergency(&[]), ["112", "911"].map(Box::from));
    assert_eq!(emergency(&["--emergency=999", "--emergency=000"]), ["999", "000"].map(Box::from));
    assert_eq!(emergency(&["--emergency="]), Vec::<Box<str>>::new());
}

#[test]
fn bad_values_are_named_with_their_option_and_an_example() {
    let long = format!("prefix={},to=+", "1".repeat(65));
    for (option, value, message) in [
        ("route", "+", "\"+\" is not key=value; expected prefix=, and to= with a sip URI"),
        ("route", "prefix=+", "to is missing"),
        ("route", "to=sip:192.0.2.9", "prefix is missing"),
        ("route", "prefix=+,to=sip:192.0.2.9,via=x", "unknown key via"),
        ("route", "prefix=+,prefix=0,to=sip:192.0.2.9", "prefix is given twice"),
        ("route", "prefix=+,to=sip:gw.example.net", "to: the host is not an IP address"),
        ("route", "prefix=+,to=sips:192.0.2.9", "to: sips needs TLS"),
        ("route", "prefix=+,to=tel:+49", "to: not a sip URI"),
        ("route", "prefix=+,to=sip:192.0.2.9;transport=tcp", "to: transport tcp is not offered"),
        ("route", "prefix=+,to=sip:192.0.2.9;method=BYE", "to: a URI with a method"),
        ("route", "prefix=+,to=sip:192.0.2.9?Subject=x", "to: header fields"),
        ("route", "prefix=+,to=sip:192.0.2.9:0", "to: port 0"),
        ("route", "prefix=a b,to=sip:192.0.2.9", "prefix is no part of a number"),
        ("route", "prefix=+,to=sip:192.0.2.10", "192.0.2.10:5060 would be ringway itself"),
        ("route", "prefix=+,to=sip:[2001:db8::9]", "[2001:db8::9]:5060 cannot be reached: no listener"),
        (
            "peer",
            "headers=both",
            "address is missing; expected address=, headers= and identity=, for example",
        ),
        ("peer", "address=gw.example", "not an IP address"),
        ("peer", "address=192.0.2.9,headers=all", "headers is one of diversion, history-info, both, none"),
        ("peer", "address=192.0.2.9,identity=callee", "identity is caller or diverting"),
        ("number-rule", "prefix=0", "to is missing; expected prefix= and to=, for example prefix=0,to=+49"),
        ("number-rule", "prefix=,to=+", "prefix is empty"),
        ("number-rule", &long, "prefix is longer than 64 bytes"),
        ("emergency", "1 12", "the number is no part of a number; expected a number, or several"),
        ("headers", "rfc7044", "not offered; expected diversion or history-info or both or none"),
    ] {
        let error = refused(&[&format!("--{option}={value}")]);
        assert!(error.starts_with(&format!("--{option} {value}: {message}")), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
    for (option, one, other, message) in [
        (
            "route",
            "prefix=+,to=sip:192.0.2.9",
            "prefix=+,to=sip:192.0.2.8",
            "the prefix \"+\" is given twice",
        ),
        ("number-rule", "prefix=0,to=+49", "prefix=0,to=+48", "the prefix \"0\" is given twice"),
        ("peer", "address=192.0.2.9", "address=192.0.2.9/32,identity=caller", "the address is given twice"),
    ] {
        let error = refused(&[&format!("--{option}={one}"), &format!("--{option}={other}")]);
        assert!(error.starts_with(&format!("--{option} {other}: {message}")), "{error}");
    }
}

/// Starts with 1003 to 1009, of which the first have what is said here.
fn with_rules(rules: &[&str], args: &[&str]) -> Result<Action, String> {
    let phones: Vec<String> = (0..7)
        .map(|place| {
            let rule = rules.get(place).map_or(String::new(), |rule| format!(",{rule}"));
            format!("--subscriber=number=100{},contact=sip:192.0.2.1{rule}", place + 3)
        })
        .collect();
    let phones = phones.iter().map(String::as_str);
    let args: Vec<&str> = OUTSIDE.iter().copied().chain(phones).chain(args.iter().copied()).collect();
    run(&args, &[], "")
}

#[test]
fn loops_are_named_with_all_their_numbers() {
    for (rules, reason) in [
        (&["busy=1003"][..], "busy=1003: a subscriber cannot forward to itself"),
        (&["no-answer=1004", "busy=1003"], "no-answer=1004: calls would go in a loop: 1003 → 1004 → 1003"),
        (
            &["unconditional=1004", "not-registered=1005", "not-reachable=sip:1003@192.0.2.10"],
            "unconditional=1004: calls would go in a loop: 1003 → 1004 → 1005 → 1003",
        ),
        (
            &["busy=1004", "busy=1005", "busy=1006", "busy=tel:1007", "busy=1008", "busy=1003"],
            "busy=1004: calls would go in a loop: 1003 → 1004 → 1005 → 1006 → 1007 → 1008 → 1003",
        ),
    ] {
        let error = with_rules(rules, &[]).expect_err("a loop");
        assert!(error.contains(reason), "{error}");
    }
    assert!(with_rules(&["busy=1004", "busy=1005,no-answer=1006", "busy=1006"], &[]).is_ok());
}

#[test]
fn targets_that_lead_nowhere_are_refused_at_the_start() {
    let (long_number, long_uri) = ("1".repeat(65), format!("sip:{}@192.0.2.9", "x".repeat(600)));
    let rule = "--number-rule=prefix=9,to=";
    for (target, args, reason) in [
        ("112", &[][..], "112 is an emergency number"),
        ("tel:911", &[], "is an emergency number"),
        ("sip:112@192.0.2.9", &[], "is an emergency number"),
        ("9112", &[rule], "is an emergency number"),
        ("2000", &[], "nobody has the number 2000, and no route leads there (the nearest is 100"),
        ("2000", &["--route=prefix=+,to=sip:192.0.2.9"], "nobody has the number 2000"),
        (&long_number, &[], "it is too long"),
        (&long_uri, &[], "it is too long"),
        ("sips:x@192.0.2.9", &[], "only sip URIs over UDP"),
        ("sip:x@example.net", &[], "the host is not an IP address"),
        ("sip:192.0.2.9", &[], "nobody is reached"),
        ("mailto:x", &[], "not a number, a sip URI or a tel URI"),
        ("10 05", &[], "not a number, a sip URI or a tel URI"),
        ("", &[], "there is no target"),
    ] {
        let error = with_rules(&[&format!("not-reachable={target}")], args).expect_err(target);
        assert!(error.contains(&format!("not-reachable={target}: ")), "{error}");
        assert!(error.contains(reason), "{target}: {error}");
        assert!(error.contains("; expected a number of ours") && error.contains("not-reachable=1005"));
    }
    for (target, args) in [
        ("+4930", &["--route=prefix=+,to=sip:192.0.2.9"][..]),
        ("2000", &["--route=prefix=,to=sip:192.0.2.9"]),
        ("0301", &["--route=prefix=+49,to=sip:192.0.2.9", "--number-rule=prefix=0,to=+49"]),
        ("112", &["--emergency=", "--route=prefix=,to=sip:192.0.2.9"]),
        ("sip:x@example.net", &["--advertise=example.net", "--route=prefix=x,to=sip:192.0.2.9"]),
    ] {
        let outcome = with_rules(&[&format!("busy={target}")], args);
        assert!(outcome.is_ok(), "{target}: {outcome:?}");
    }
}

#[test]
fn feature_codes_are_the_usual_ones_the_operators_or_none() {
    let short = |config: &Config| -> Option<Vec<String>> {
        let table = config.settings.forwarding.codes.as_ref()?;
        Some(table.short.iter().map(|short| short.code.to_string()).collect())
    };
    let usual = ["*72", "*73", "*90", "*91", "*92", "*93"].map(str::to_owned).to_vec();
    assert_eq!(short(&started(&[], "")), Some(usual));
    let own = ["--feature-code=*5=register:not-reachable", "--feature-code", "#5=erase:all"];
    let config = started(&own, "");
    assert_eq!(short(&config), Some(vec!["*5".to_owned(), "#5".to_owned()]));
    let table = config.settings.forwarding.codes.expect("codes");
    assert_eq!(table.short[0].conditions, [Condition::NotRegistered, Condition::NotReachable]);
    let file = "feature-code = [\"*5=query:busy\"]\n";
    assert_eq!(short(&started(&[], file)), Some(vec!["*5".to_owned()]));
    assert_eq!(short(&started(&["--no-feature-codes"], file)), None);
    for (bad, reason) in [
        ("*5", "there is no = behind the code"),
        ("*5=register", "there is no : behind the action"),
        ("*5=set:busy", "the action is not register"),
        ("*5=register:sometimes", "the condition is none of"),
        ("5=register:busy", "a code is * or #"),
        ("*5x=register:busy", "a code is * or #"),
    ] {
        let said = refused(&[&format!("--feature-code={bad}")]);
        assert!(said.contains(reason) && said.contains("such as *92=register:no-answer"), "{said}");
    }
    let said = refused(&["--feature-code=*5=query:busy", "--feature-code=*5=query:all"]);
    assert!(said.contains("the code *5 is given twice"), "{said}");
}
