//! What the operator sets of media: each option as a flag, in the environment and in the file, where it is
//! without any, and every refusal.
#![cfg(feature = "server")]

use ringway::config::{Action, Config, Node, World};
use ringway::net::{RtpAddress, RtpSettings};
use ringway::settings::{Learning, MediaMode, Silence, TonePlan};
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::Path;

fn run(args: &[&str], environment: &[(&str, &str)], file: &str) -> Result<Action, String> {
    let read_file = |_: &Path| Ok(file.to_owned());
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let world = World {
        environment: environment.iter().map(own).collect(),
        read_file: &read_file,
        cpus_allowed: vec![0, 1, 2, 5],
        secret: 7,
    };
    let args = ["ringway", "--config=x", "--store=memory"].iter().chain(args).map(OsString::from);
    Config::from_args(args, &world).map_err(|error| error.to_string())
}

/// Somebody must be there where a listener is beyond loopback.
const PHONES: [&str; 2] =
    ["--subscriber=number=1,contact=sip:1@127.0.0.7", "--subscriber=number=2,password=p"];

fn started(args: &[&str]) -> Config {
    match run(&[args, &PHONES].concat(), &[], "") {
        Ok(Action::Start(config)) => *config,
        other => panic!("not started: {other:?}"),
    }
}

#[track_caller]
fn refused(args: &[&str]) -> String {
    let error = run(&[args, &PHONES].concat(), &[], "").expect_err("a refusal");
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn at(local: &str, advertised: &str) -> RtpAddress {
    RtpAddress { local: ip(local), advertised: ip(advertised) }
}

fn ports(config: &Config) -> RtpSettings {
    config.net.rtp.clone().expect("ports of its own")
}

#[test]
fn without_any_option_media_is_anchored_where_sip_is() {
    let config = started(&[]);
    assert_eq!(config.settings.media.mode, MediaMode::Anchor);
    assert_eq!(config.settings.media.addresses, [ip("127.0.0.1")]);
    let addresses = vec![at("127.0.0.1", "127.0.0.1")];
    assert_eq!(ports(&config), RtpSettings { addresses, first_port: 30_000, last_port: 59_999, dscp: 46 });
    assert!(config.engines.is_empty());
    let said = "anchors media on UDP ports 30000 to 59999 of 127.0.0.1";
    assert!(config.summary().contains(said), "{}", config.summary());
}

#[test]
fn every_option_reaches_its_setting_from_everywhere() {
    let flags = [
        "--rtp-ports=40000-40999",
        "--rtp-address=127.0.0.9/192.0.2.9",
        "--media-learning=once",
        "--media-timeout=0",
        "--media-silence=one",
        "--media-wait=50",
        "--tones=cn",
        "--rtp-dscp=0",
    ];
    let pairs = flags.map(|flag| flag[2..].split_once('=').expect("a value"));
    let file: String = pairs.iter().map(|(name, value)| format!("{name} = \"{value}\"\n")).collect();
    let variables =
        pairs.map(|(name, value)| (format!("RINGWAY_{}", name.replace('-', "_").to_uppercase()), value));
    let variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    for action in [run(&flags, &[], ""), run(&[], &variables, ""), run(&[], &[], &file)] {
        let Ok(Action::Start(config)) = action else { panic!("{action:?}") };
        let media = &config.settings.media;
        assert_eq!((media.mode, media.learning), (MediaMode::Anchor, Learning::Once));
        assert_eq!((media.timeout_ms, media.silence), (0, Silence::One));
        assert_eq!((media.wait_ms, media.tones), (50, TonePlan::China));
        assert_eq!(media.addresses, [ip("192.0.2.9")]);
        let addresses = vec![at("127.0.0.9", "192.0.2.9")];
        assert_eq!(ports(&config), RtpSettings { addresses, first_port: 40_000, last_port: 40_999, dscp: 0 });
        assert!(config.summary().contains("127.0.0.9, advertised as 192.0.2.9"), "{}", config.summary());
    }
    let window = started(&["--media-learning=window", "--media-silence=both", "--tones=us"]).settings.media;
    assert_eq!((window.learning, window.silence), (Learning::Window, Silence::Both));
    assert_eq!(window.tones, TonePlan::UnitedStates);
    let off = started(&["--media-learning=off", "--media-timeout=86400", "--tones=uk"]).settings.media;
    assert_eq!((off.learning, off.timeout_ms), (Learning::Off, 86_400_000));
    assert_eq!(off.tones, TonePlan::UnitedKingdom);
}

#[test]
fn without_an_address_each_family_has_its_first_listeners() {
    let addresses = |args: &[&str]| ports(&started(args)).addresses;
    let both = ["--listen=udp:127.0.0.8:5060", "--listen=udp:[::1]:5060", "--listen=udp:127.0.0.9:5060"];
    assert_eq!(addresses(&both), [at("127.0.0.8", "127.0.0.8"), at("::1", "::1")]);
    // Nobody beyond this machine could send to the first one.
    let outside = ["--listen=udp:127.0.0.1:5062", "--listen=udp:192.0.2.10:5060"];
    assert_eq!(addresses(&outside), [at("192.0.2.10", "192.0.2.10")]);
    let advertise = |address| [outside[1], outside[0], address];
    assert_eq!(addresses(&advertise("--advertise=203.0.113.1")), [at("192.0.2.10", "203.0.113.1")]);
    assert_eq!(addresses(&advertise("--advertise=sip.example.net")), [at("192.0.2.10", "192.0.2.10")]);
    let any = ["--listen=udp:0.0.0.0:5060", "--listen=udp:[::]:5060"];
    let told = ["--advertise=192.0.2.10", "--advertise=[2001:db8::1]"];
    assert_eq!(addresses(&[any, told].concat()), [at("0.0.0.0", "192.0.2.10"), at("::", "2001:db8::1")]);
    // One that is given is its family's; the other family keeps its own.
    assert_eq!(
        addresses(&[&both[..], &["--rtp-address=[::]/2001:db8::2"]].concat()),
        [at("::", "2001:db8::2"), at("127.0.0.8", "127.0.0.8")]
    );
}

#[test]
fn a_wildcard_needs_an_address_that_others_can_send_to() {
    for (any, local) in [("0.0.0.0", "0.0.0.0"), ("[::]", "::")] {
        let listen = format!("--listen=udp:{any}:5060");
        let args = [&listen, "--listen=udp:127.0.0.1:5070", "--advertise=sip.example.net"];
        let error = refused(&args);
        assert!(error.contains(&format!("udp:{any}:5060")), "{error}");
        assert!(error.contains(&format!("add --rtp-address {local}/ADDRESS")), "{error}");
        assert!(error.contains("give --media pass"), "{error}");
        let passed = started(&[&args[..], &["--media=pass"]].concat());
        assert_eq!((passed.settings.media.mode, passed.net.rtp), (MediaMode::Pass, None));
    }
}

#[test]
fn engines_anchor_without_ports_of_ours() {
    let config = started(&["--media=rtpengine:udp:192.0.2.20:2223,udp:[2001:db8::1]:2223;weight=2"]);
    let node = |address: &str, weight| Node { address: address.parse().expect("an address"), weight };
    assert_eq!(config.engines, [node("192.0.2.20:2223", 1), node("[2001:db8::1]:2223", 2)]);
    assert_eq!((config.settings.media.mode, config.net.rtp.clone()), (MediaMode::Engine, None));
    let summary = config.summary();
    assert!(summary.contains("rtpengine at udp:192.0.2.20:2223 (weight 1), udp:[2001"), "{summary}");
    let summary = started(&["--media=pass"]).summary();
    assert!(summary.contains("lets media pass"), "{summary}");
}

#[test]
fn sip_and_media_do_not_want_the_same_port() {
    let listen = "--listen=udp:127.0.0.1:30010";
    let error = refused(&[listen]);
    assert!(error.starts_with("the default rtp-ports = 30000-59999: SIP has one of them"), "{error}");
    assert!(error.contains("udp:127.0.0.1:30010; give --rtp-ports without it"), "{error}");
    let error = refused(&[listen, "--rtp-ports=30010-30017", "--rtp-address=0.0.0.0/192.0.2.1"]);
    assert!(error.starts_with("--rtp-ports 30010-30017: SIP has one of them"), "{error}");
    for more in ["--rtp-ports=30012-40001", "--rtp-address=127.0.0.2", "--media=pass"] {
        started(&[listen, more]);
    }
}

#[test]
fn every_shard_has_a_pair_of_ports() {
    assert_eq!(ports(&started(&["--rtp-ports=40000-40007"])).last_port, 40_007);
    let error = refused(&["--rtp-ports=40000-40005"]);
    assert!(error.starts_with("--rtp-ports 40000-40005: ") && error.contains("--shards 3"), "{error}");
    started(&["--rtp-ports=40000-40005", "--shards=3"]);
    started(&["--rtp-ports=40000-40005", "--media=pass"]);
}

#[test]
fn bad_values_are_named_with_what_is_expected() {
    for (flag, reason) in [
        ("--media=relay", "not offered; expected anchor, pass or rtpengine:udp:ADDRESS:PORT[;weight=N],..."),
        ("--media=rtpengine:udp:engine:2223", "\"udp:engine:2223\": not an IP address with a port; expected"),
        ("--rtp-ports=30001-30004", "the first port, 30001, is odd: RTP has even ports; expected FIRST-LAST"),
        ("--rtp-address=0.0.0.0", "SDP cannot name 0.0.0.0: add a slash and the address that others send to"),
        ("--media-learning=on", "not offered; expected off or once or window, for example once"),
        ("--media-timeout=4", "too small; expected 0 (off) or a whole number of seconds from 5 to 86400"),
        ("--media-silence=none", "not offered; expected both or one"),
        ("--media-wait=49", "too small; expected a whole number of milliseconds from 50 to 30000"),
        ("--tones=fr", "not offered; expected eu or us or uk or cn"),
        ("--rtp-dscp=64", "too large; expected a whole number from 0 to 63, for example 46"),
    ] {
        let error = refused(&[flag]);
        let place = flag.replacen('=', " ", 1);
        assert!(error.starts_with(&format!("{place}: {reason}")), "{error}");
    }
    let error = refused(&["--rtp-address=127.0.0.1", "--rtp-address=127.0.0.2"]);
    assert!(error.contains("127.0.0.1 is of the same family; give one for each"), "{error}");
}

#[test]
fn what_is_printed_reads_back_to_the_same_values() {
    for args in [
        &["--rtp-address=127.0.0.1/192.0.2.1", "--rtp-address=::1", "--rtp-ports=40000-40009"][..],
        &["--media=rtpengine:udp:192.0.2.20:2223;weight=2", "--media-wait=200", "--media-timeout=0"],
        &["--media=pass", "--rtp-dscp=8"],
    ] {
        let first = started(args);
        let Ok(Action::Print(text)) = run(&[args, &["--print-config"]].concat(), &[], "") else {
            panic!("it prints nothing")
        };
        let Ok(Action::Start(second)) = run(&[], &[], &text) else { panic!("{text}") };
        assert_eq!(first.settings.media, second.settings.media, "{text}");
        assert_eq!((first.net, first.engines), (second.net, second.engines), "{text}");
    }
}
