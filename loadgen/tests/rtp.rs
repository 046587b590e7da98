//! Calls with sound, over real sockets: between two phones, past a server that lets media pass,
//! and through one that relays it.

use ringway::config::{Action, Config, World};
use ringway::directory::Directory;
use ringway::net::Server;
use serde_json::Value;
use std::ffi::OsString;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Output};
use std::sync::Arc;

/// An address of loopback that no other process of this machine's tests has: fixed RTP ports are free on it.
fn own_ip(test: u8, host: u8) -> String {
    let process = std::process::id();
    format!("127.{}.{}.{host}", 64 + (process >> 5 & 0x3f), (process & 0x1f) << 3 | u32::from(test & 7))
}

fn free_port(ip: &str) -> SocketAddr {
    let socket = UdpSocket::bind((ip, 0)).expect("a free port of loopback");
    socket.local_addr().expect("its address")
}

fn loadgen(flags: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_loadgen")).args(flags).output();
    output.expect("the program was built for this test")
}

/// What a run said, and the report's part about packets.
struct Run {
    output: Output,
    text: String,
    rtp: Value,
}

/// Plays calls of 25 packets from either side.
fn play(name: &str, flags: &[&str]) -> Run {
    let file = std::env::temp_dir().join(format!("loadgen-rtp-{name}-{}.json", std::process::id()));
    let path = file.to_str().expect("a path of text");
    let fixed = ["--rtp", "--hold", "500ms", "--rate", "50", "--json", path];
    let output = loadgen(&[&fixed, flags].concat());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    let json = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{error}: {text}{errors}"));
    let _ = std::fs::remove_file(&file);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    Run { output, text, rtp: json["rtp"].clone() }
}

impl Run {
    /// Every packet came, once, in order, in time and from where it should.
    fn assert_whole(&self, packets: u64) {
        let Run { output, text, rtp } = self;
        assert_eq!(output.status.code(), Some(0), "{text}");
        for (count, wanted) in [
            ("sent", packets),
            ("received", packets),
            ("lost", 0),
            ("out_of_order", 0),
            ("duplicated", 0),
            ("corrupted", 0),
            ("other_call", 0),
            ("wrong_source", 0),
            ("after_call", 0),
            ("silent_sides", 0),
            ("before_answer", 0),
        ] {
            assert_eq!(rtp[count], wanted, "{count}: {text}");
        }
        assert_eq!(rtp["delay"]["count"], packets, "{text}");
        assert!(text.contains("RTP, phone to phone"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
    }
}

#[test]
fn two_phones_hear_every_packet_of_each_other_on_one_thread_and_on_several() {
    let callee = free_port(&own_ip(0, 2)).to_string();
    let caller = format!("{}:0", own_ip(0, 1));
    let target = format!("{}:0", own_ip(0, 3));
    let phones = ["--callee-address", &callee, "--caller-address", &caller, "--target-address", &target];
    for (threads, hangup, codec) in [("1", "target", "pcma"), ("3", "caller", "pcmu")] {
        let flow = ["--flow", "answer", "--calls", "20", "--target", &callee, "--hangup", hangup];
        let run =
            play("phones", &[&flow[..], &phones, &["--threads", threads, "--rtp-codec", codec]].concat());
        run.assert_whole(20 * 2 * 25);
        assert_eq!(run.rtp["codec"], codec.to_uppercase());
        let at_once = run.rtp["calls_at_once_max"].as_u64().expect("a count");
        assert!((5..=20).contains(&at_once), "{}", run.text);
    }
}

#[test]
fn what_phones_hear_after_the_call_fails_the_run() {
    let callee = free_port(&own_ip(1, 2)).to_string();
    let (caller, target) = (format!("{}:0", own_ip(1, 1)), format!("{}:0", own_ip(1, 3)));
    let phones = ["--callee-address", &callee, "--caller-address", &caller, "--target-address", &target];
    let flow = ["--flow", "answer", "--calls", "2", "--target", &callee, "--rtp-tail", "1s"];
    let run = play("tail", &[&flow[..], &phones].concat());
    assert_eq!(run.output.status.code(), Some(1), "{}", run.text);
    assert!(run.text.contains("2 started   2 good   0 failed"), "{}", run.text);
    assert_eq!((&run.rtp["sent"], &run.rtp["lost"]), (&100.into(), &0.into()), "{}", run.text);
    assert_eq!(run.rtp["sent_after_call"], 200, "{}", run.text);
    let after = run.rtp["after_call"].as_u64().expect("a count");
    assert!((100..=200).contains(&after), "{}", run.text);
    assert_eq!(run.rtp["is_good"], false);
    let allowed = play("tail-allowed", &[&flow[..], &phones, &["--allow-failures"]].concat());
    assert_eq!(allowed.output.status.code(), Some(0), "{}", allowed.text);
}

/// A server as the command line makes it, and the three phones of the reference flow.
struct Lab {
    server: Server,
    /// Where loadgen finds the server and puts its phones.
    flags: Vec<String>,
}

impl Lab {
    fn new(test: u8, media: &[&str]) -> Lab {
        let address = free_port(&own_ip(test, 4));
        let [caller, callee, target] = [1, 2, 3].map(|host| free_port(&own_ip(test, host)));
        let subscribers = [
            format!("number=1003,contact=sip:1003@{caller}"),
            format!("number=1004,contact=sip:1004@{callee},no-answer=1005"),
            format!("number=1005,contact=sip:1005@{target}"),
        ];
        let listen = format!("udp:{address}");
        let mut flags = vec!["ringway", "--listen", &listen, "--shards", "1", "--admin", "off"];
        flags.extend(["--max-calls", "100", "--max-transactions", "1000"]);
        flags.extend(media);
        flags.extend(subscribers.iter().flat_map(|subscriber| ["--subscriber", subscriber]));
        let world = World { environment: Vec::new(), ..World::of_process().expect("this process's CPUs") };
        let action = Config::from_args(flags.into_iter().map(OsString::from), &world);
        let Ok(Action::Start(config)) = action else { panic!("{action:?}") };
        let directory = Directory::of(config.subscribers);
        let server = Server::start(Arc::new(config.settings), directory, config.net, Arc::default());
        let flags = [
            ("--target", address),
            ("--caller-address", caller),
            ("--callee-address", callee),
            ("--target-address", target),
        ];
        Lab {
            server: server.expect("a server on loopback"),
            flags: flags.into_iter().flat_map(|(flag, at)| [flag.to_owned(), at.to_string()]).collect(),
        }
    }

    /// Plays forwarded calls.
    fn play(&self, name: &str, flags: &[&str]) -> Run {
        let own: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        let flow = ["--flow", "cfna-408", "--calls", "20", "--caller-sockets", "1"];
        play(name, &[&flow[..], &own, flags].concat())
    }
}

#[test]
fn forwarded_calls_have_sound_past_a_server_that_lets_media_pass() {
    let lab = Lab::new(2, &["--media", "pass"]);
    let run = lab.play("pass", &[]);
    lab.server.drain();
    run.assert_whole(20 * 2 * 25);
}

#[test]
fn forwarded_calls_have_sound_through_an_anchor_and_none_when_they_are_over() {
    let lab = Lab::new(4, &["--media", "anchor", "--rtp-ports", "30000-30399"]);
    let run = lab.play("anchor", &["--rtp-tail", "1s", "--hangup", "caller"]);
    lab.server.drain();
    run.assert_whole(20 * 2 * 25);
    assert_eq!(run.rtp["sent_after_call"], 20 * 2 * 50, "{}", run.text);
}

#[test]
fn sound_that_cannot_be_had_is_told_with_the_cure() {
    let callee = free_port(&own_ip(3, 2)).to_string();
    let caller = format!("{}:0", own_ip(3, 1));
    let target = format!("{}:0", own_ip(3, 3));
    let phones = ["--callee-address", &callee, "--caller-address", &caller, "--target-address", &target];
    let server = ["--target", &callee, "--rtp"];
    for (flags, cure) in [
        (&["--flow", "busy"][..], "nobody answers in --flow busy"),
        (&["--flow", "answer", "--hold", "10ms"], "see --hold"),
        (&["--rtp-base", "10001"], "an even port from 10000 on"),
        (&["--rtp-tail", "2s"], "at most 1.5s"),
        (&["--rtp-base", "65000", "--rtp-ports", "500"], "see --rtp-base and --rtp-ports"),
        (&["--find-max"], "cannot be used with"),
    ] {
        let output = loadgen(&[&server[..], &phones, flags].concat());
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {text}");
        assert!(text.contains(cure), "{flags:?}: {text}");
    }
}
