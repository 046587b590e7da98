//! Worlds of the simulator as tests: seeds that once mattered, fresh ones, and the same bytes for a seed.

#[path = "sim/mod.rs"]
mod sim;

use ringway::metrics::Metrics;
use sim::{Counts, Failure, Fault, Habits, Options, Report, RichWorld, World};
use std::time::{SystemTime, UNIX_EPOCH};

const CALLS: u32 = 1_000;

fn world(seed: u64, loss: f64) -> Options {
    Options { seed, calls: CALLS, loss, forked: false, only: None, fault: None }
}

#[track_caller]
fn play(options: Options) -> Report {
    World::new(options)
        .run()
        .unwrap_or_else(|failure| panic!("{}\n{}", failure.text, again(options, plain(options), &failure)))
}

/// The same with peers that use more of SIP.
#[track_caller]
fn play_rich(options: Options, habits: &str) -> Report {
    let read = Habits::read(habits).unwrap_or_else(|| panic!("no such habits: {habits}"));
    let options = Options { forked: habits.contains("locations"), ..options };
    RichWorld::new(options, read)
        .run()
        .unwrap_or_else(|failure| panic!("{}\n{}", failure.text, again(options, habits, &failure)))
}

fn plain(options: Options) -> &'static str {
    if options.forked { "forked" } else { "basic" }
}

fn again(options: Options, peers: &str, failure: &Failure) -> String {
    let Options { seed, calls, loss, .. } = options;
    let only = failure.call.map_or(String::new(), |call| format!(" --only {call}"));
    format!(
        "play it again: cargo run --release --bin sim -- --seed {seed} --loss {loss} --world {calls} \
         --peers {peers} --seeds 1{only}"
    )
}

/// What richer peers may do in these tests.
const HABITS: [&str; 4] = [
    "forks,routes,strict,ipv6",
    "relayed,reinvites,updates,timers,routes,strict,ipv6",
    "all",
    "all,locations",
];

const RICH_CALLS: u32 = 100;

#[test]
fn fixed_seeds_without_loss() {
    for seed in 1..=4 {
        play(world(seed, 0.0));
    }
}

#[test]
fn fixed_seeds_with_several_locations() {
    for (seed, loss) in [(1, 0.0), (2, 0.0), (3, 0.05), (4, 0.1), (5, 0.1), (6, 0.2), (7, 0.4)] {
        play(Options { forked: true, ..world(seed, loss) });
    }
}

#[test]
fn fixed_seeds_with_loss() {
    for (seed, loss) in [(11, 0.01), (12, 0.05), (13, 0.1), (14, 0.1), (15, 0.2), (16, 0.3), (17, 0.5)] {
        play(world(seed, loss));
    }
}

#[test]
fn a_fresh_seed_every_time() {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    for step in 0..4 {
        play(Options { forked: step % 2 == 1, ..world(clock + step, 0.1) });
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let first = play(world(21, 0.1));
    assert_eq!(first, play(world(21, 0.1)));
    assert_ne!(first.hash, play(world(22, 0.1)).hash);
    assert_eq!(play(Options { only: Some(3), ..world(21, 0.1) }).calls, 1);
}

#[test]
fn a_world_has_everything_in_it() {
    let (mut metrics, mut at_once) = (Metrics::default(), 0);
    for seed in 31..37 {
        let report = play(Options { calls: 2_500, ..world(seed, 0.1) });
        at_once = report.calls_at_once.max(at_once);
        assert!(report.lost > report.datagrams / 20, "{report:?}");
        metrics.add(&report.metrics);
    }
    assert!(at_once > 1_000, "{at_once}");
    for count in [
        metrics.calls_answered,
        metrics.calls_failed,
        metrics.calls_cancelled,
        metrics.forwarded_unconditional,
        metrics.forwarded_busy,
        metrics.forwarded_no_answer,
        metrics.forwarded_not_registered,
        metrics.forwarded_not_reachable,
        metrics.forwarded_deflection,
        metrics.forwards_refused,
        metrics.forwards_in_loop,
        metrics.late_answers,
        metrics.acks_missing,
        metrics.calls_too_long,
        metrics.transactions_timed_out,
        metrics.request_retransmissions,
        metrics.response_retransmissions,
    ] {
        assert!(count > 10, "{metrics:?}");
    }
}

#[test]
fn richer_peers_in_fixed_seeds() {
    let mut counts = Counts::default();
    for (seed, loss) in [(1, 0.0), (2, 0.0), (3, 0.1), (4, 0.1), (5, 0.1), (6, 0.2), (7, 0.3)] {
        for habits in HABITS {
            counts.add(&play_rich(Options { calls: RICH_CALLS, ..world(seed, loss) }, habits).counts);
        }
    }
    for (name, count) in counts.all() {
        assert!(count > 0 || !EXERCISED.contains(&name), "nobody tried {name}");
    }
}

/// What must have happened in those.
const EXERCISED: [&str; 27] = [
    "calls",
    "answered",
    "PRACK",
    "PRACK with an offer",
    "reliable 18x to the caller",
    "late offer",
    "forked",
    "more than one 2xx of a fork",
    "Record-Route",
    "strict route",
    "IPv6",
    "both families",
    "requests in an early dialog",
    "UPDATE with an offer",
    "UPDATE without",
    "re-INVITE with an offer",
    "re-INVITE without",
    "re-INVITE cancelled",
    "INFO",
    "MESSAGE",
    "OPTIONS",
    "unknown method",
    "REFER",
    "NOTIFY",
    "491",
    "retried behind 491",
    "session refresh by a peer",
];

#[test]
fn richer_peers_give_the_same_bytes_for_a_seed() {
    let options = Options { calls: RICH_CALLS, ..world(21, 0.1) };
    let first = play_rich(options, HABITS[2]);
    assert_eq!(first, play_rich(options, HABITS[2]));
    assert_ne!(first.hash, play_rich(Options { seed: 22, ..options }, HABITS[2]).hash);
}

/// The audit is worth something: what a faulty server does is found, and named.
#[test]
fn a_planted_fault_is_found_in_plain_calls() {
    let cases = [
        ("ACK", "not acknowledged"),
        ("BYE", "without ACK and BYE"),
        ("BYE sip:c", "the caller was left in the call"),
        ("CANCEL", "left ringing"),
        ("SIP/2.0 4", "nothing follows"),
        ("BYE|>;tag=|>;tag=x", "tag"),
        ("BYE|CSeq: 2|CSeq: 1", "CSeq"),
        ("INVITE|Max-Forwards: 69|Max-Forwards: 70", "Max-Forwards"),
        ("INVITE|Content-Length: |Content-Length: 1", "Truncated"),
        ("INVITE|Diversion: |Diverted: ", "Diversion"),
        ("INVITE|;counter=1|;counter=2", "counter"),
        ("INVITE|;reason=user-busy|;reason=no-answer", "not agree"),
        ("INVITE|;reason=no-answer|;reason=deflection", "not agree"),
        ("INVITE|;reason=deflection|;reason=unavailable", "not agree"),
        ("INVITE|;reason=unavailable|;reason=unconditional", "not agree"),
        ("INVITE|;reason=unconditional|;reason=user-busy", "not agree"),
        ("INVITE|History-Info: |History: ", "History-Info"),
        ("INVITE|;index=1.1|;index=1.3", "index"),
        ("INVITE|;mp=1|;rc=1", "mp"),
        ("INVITE|;cause=486>|;cause=408>", "not agree"),
        ("INVITE|;cause=408>|;cause=486>", "not agree"),
        ("INVITE|;cause=|;reason=", "not agree"),
        // A chain is cut in the middle, or the call does not go on at all.
        ("INVITE sip:131", "nothing follows"),
        ("SIP/2.0 480|SIP/2.0 480|SIP/2.0 486", "that counts"),
        ("SIP/2.0 302|SIP/2.0 302|SIP/2.0 301", "that counts"),
        ("CANCEL|branch=z9hG4bK|branch=z9hG4bKx", "CANCEL"),
        ("SIP/2.0 200|;tag=|;tag=x|again", "tag"),
        ("SIP/2.0 4|Call-ID|Subject: more\r\nCall-ID|again", "final response"),
        ("INVITE|Call-ID|Subject: more\r\nCall-ID|again", "repetition"),
    ];
    let mut missed = Vec::new();
    for (fault, wrong) in cases {
        // Not every world has every kind of forwarding.
        let mut worlds = (41..49).map(|seed| {
            let options = Options { fault: Fault::read(fault), calls: 400, ..world(seed, 0.0) };
            World::new(options).run()
        });
        let failure = worlds.find_map(Result::err);
        let text = failure.map_or_else(|| "it was not found".into(), |failure| failure.text);
        let line = text.lines().next().unwrap_or_default();
        if !line.contains(wrong) {
            missed.push(format!("{fault:?}: {line}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn a_planted_fault_is_found_among_several_locations() {
    let cases = [
        ("ACK", "not acknowledged"),
        ("BYE", "without ACK and BYE"),
        ("CANCEL", "left ringing"),
        ("CANCEL|Route: |Way: ", "Route"),
        ("ACK|Route: |Way: ", "Route"),
        ("INVITE|Route: |Way: ", "Route"),
        // The second phone of everyone is left out.
        ("INVITE sip:110@127.0.2.1", "left out"),
        ("SIP/2.0 486|SIP/2.0 486|SIP/2.0 404", "that counts"),
        ("SIP/2.0 480|SIP/2.0 480|SIP/2.0 408", "that counts"),
        ("SIP/2.0 500|SIP/2.0 500|SIP/2.0 503", "that counts"),
        ("SIP/2.0 60|SIP/2.0 60|SIP/2.0 48", "that counts"),
        ("SIP/2.0 200", "did not win"),
        ("SIP/2.0 202|SIP/2.0 202|SIP/2.0 200", "nobody gave"),
        ("SIP/2.0 4", "nothing follows"),
    ];
    for (fault, wrong) in cases {
        let mut worlds = (41..45).map(|seed| {
            let options = Options { fault: Fault::read(fault), calls: 400, forked: true, ..world(seed, 0.0) };
            World::new(options).run()
        });
        let failure = worlds.find_map(Result::err);
        let text = failure.map_or_else(|| panic!("{fault:?} was not found"), |failure| failure.text);
        assert!(text.lines().next().is_some_and(|line| line.contains(wrong)), "{fault:?}: {text}");
    }
}

#[test]
fn a_planted_fault_is_found_among_richer_peers() {
    const NO_SDP_IN_200: &str =
        "SIP/2.0 200|Content-Type: application/sdp\r\nContent-Length: 89|Content-Length: 0";
    const NO_SDP_IN_ACK: &str = "ACK|Content-Type: application/sdp\r\nContent-Length: 89|Content-Length: 0";
    let cases = [
        ("forks", "ACK", "ACK"),
        ("forks", "BYE", "two callees have won"),
        ("routes", "BYE", "two callees have won"),
        ("routes", "CANCEL", "left ringing"),
        ("routes", "BYE|Route: |Way: ", "Route"),
        ("routes,strict", "BYE sip:r|sip:r|sip:q", "strict router"),
        ("routes", "BYE sip:u|sip:u|sip:v", "remote target"),
        ("ipv6", "BYE|>;tag=|>;tag=x", "tag"),
        ("ipv6", "SIP/2.0 4", "without a final response"),
        ("ipv6", NO_SDP_IN_200, "2xx without"),
        ("ipv6", NO_SDP_IN_ACK, "never answered"),
        ("ipv6", "INVITE|m=audio|m=video", "a body that nobody wrote"),
        ("relayed", "INFO|body |bodi ", "a body that nobody wrote"),
        ("relayed", "SIP/2.0 200|SIP/2.0 200|SIP/2.0 204", "never gave"),
        ("reliable", "PRACK|RAck: |RAck: 1", "RAck"),
        ("reliable", "SIP/2.0 18|Require: 100rel\r\n|", "RSeq without Require"),
        ("locations", "CANCEL", "left ringing"),
        ("locations", "BYE", "two callees have won"),
        ("locations", "SIP/2.0 486|SIP/2.0 486|SIP/2.0 404", "that counts"),
        ("locations", "INVITE sip:2100@127.0.1.8", "nothing follows"),
        ("locations,ipv6", "ACK|Route: |Way: ", "Route"),
    ];
    for (habits, fault, wrong) in cases {
        let forked = habits.contains("locations");
        let habits = Habits::read(habits).unwrap_or(Habits::ALL);
        // Not every world's peers have every habit.
        let mut worlds = (43..49).map(|seed| {
            let options = Options { fault: Fault::read(fault), calls: 100, forked, ..world(seed, 0.0) };
            RichWorld::new(options, habits).run()
        });
        let failure = worlds.find_map(Result::err);
        let text = failure.map_or_else(|| panic!("{fault:?} was not found"), |failure| failure.text);
        assert!(text.lines().next().is_some_and(|line| line.contains(wrong)), "{fault:?}: {text}");
    }
}
