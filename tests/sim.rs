//! Worlds of the simulator as tests: seeds that once mattered, fresh ones, and the same bytes for a seed.

#[path = "sim/mod.rs"]
mod sim;

use sim::{Options, Report, World};
use std::time::{SystemTime, UNIX_EPOCH};

const CALLS: u32 = 1_000;

fn world(seed: u64, loss: f64) -> Options {
    Options { seed, calls: CALLS, loss, only: None }
}

#[track_caller]
fn play(options: Options) -> Report {
    World::new(options).run().unwrap_or_else(|failure| {
        let Options { seed, calls, loss, .. } = options;
        let only = failure.call.map_or(String::new(), |call| format!(" --only {call}"));
        panic!(
            "{}\nplay it again: cargo run --release --bin sim -- --seed {seed} --loss {loss} --world {calls} \
             --seeds 1{only}",
            failure.text
        )
    })
}

#[test]
fn fixed_seeds_without_loss() {
    for seed in 1..=4 {
        play(world(seed, 0.0));
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
        play(world(clock + step, 0.1));
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
    let report = play(Options { calls: 5_000, ..world(31, 0.1) });
    let metrics = report.metrics;
    assert!(report.calls_at_once > 1_000, "{report:?}");
    assert!(report.lost > report.datagrams / 20, "{report:?}");
    for count in [
        metrics.calls_answered,
        metrics.calls_failed,
        metrics.calls_cancelled,
        metrics.forwarded_no_answer,
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
