//! The timing wheel: by example, and against a sorted map that does the same slowly.

#[path = "timer/model.rs"]
mod model;

use model::{Model, Step, TICK_MS, at, rounded_up};
use proptest::prelude::*;
use ringway::clock::Now;
use ringway::timer::{TimerHandle, Wheel};

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
/// What the near level spans.
const NEAR_MS: u64 = 4_096 * TICK_MS;
/// What the far level spans.
const FAR_MS: u64 = 64 * NEAR_MS;

/// A wheel that has seen `start_ms`.
fn wheel_at(start_ms: u64) -> Wheel<u32> {
    let mut wheel = Wheel::new(1_024);
    assert_eq!(wheel.next_due(Now::from_ms(start_ms)), None);
    wheel
}

/// Takes everything that is due at `ms`.
fn fire(wheel: &mut Wheel<u32>, ms: u64) -> Vec<u32> {
    std::iter::from_fn(|| wheel.next_due(Now::from_ms(ms))).collect()
}

/// Goes from wake-up to wake-up, as the shell does, and notes when each timer fires.
fn run_until_empty(wheel: &mut Wheel<u32>) -> Vec<(u64, u32)> {
    let mut fired = Vec::new();
    while let Some(wake) = wheel.poll_timeout() {
        let ms = wake.as_ms();
        fired.extend(fire(wheel, ms).into_iter().map(|payload| (ms, payload)));
        assert!(wheel.poll_timeout().is_none_or(|next| next > wake), "woken again for nothing at {ms} ms");
    }
    assert!(wheel.is_empty());
    fired
}

#[test]
fn a_timer_fires_at_its_deadline_rounded_up_to_the_tick() {
    for deadline in [992, 993, 999, 1_000] {
        let mut wheel = wheel_at(0);
        wheel.insert(at(deadline), 7).unwrap();
        let due = rounded_up(deadline);
        assert_eq!(wheel.poll_timeout(), Some(at(due)));
        assert!(fire(&mut wheel, due - 1).is_empty());
        assert_eq!(fire(&mut wheel, due), [7]);
        assert_eq!(wheel.poll_timeout(), None);
    }
}

#[test]
fn timers_fire_in_the_order_of_their_ticks_after_a_late_wake() {
    let mut wheel = wheel_at(0);
    let deadlines = [40_000, 16, 3 * HOUR, 500, 32_000, 2_000_000, 17, 90_000];
    for (payload, deadline) in deadlines.into_iter().enumerate() {
        wheel.insert(at(deadline), payload as u32).unwrap();
    }
    assert_eq!(fire(&mut wheel, 4 * HOUR), [1, 6, 3, 4, 0, 7, 5, 2]);
    assert!(wheel.is_empty());
}

#[test]
fn timers_of_one_tick_fire_in_the_order_of_arming() {
    let mut wheel = wheel_at(0);
    for payload in 0..10 {
        wheel.insert(at(100), payload).unwrap();
    }
    assert_eq!(fire(&mut wheel, 104), (0..10).collect::<Vec<_>>());
}

#[test]
fn a_deadline_in_the_past_fires_at_the_next_call() {
    let mut wheel = wheel_at(50_000);
    wheel.insert(at(1), 1).unwrap();
    wheel.insert(at(50_000), 2).unwrap();
    assert!(wheel.poll_timeout().unwrap().is_due(Now::from_ms(50_000)));
    assert_eq!(fire(&mut wheel, 50_000), [1, 2]);
}

#[test]
fn cancelled_and_fired_timers_leave_stale_handles() {
    let mut wheel = wheel_at(0);
    let cancelled = wheel.insert(at(100), 1).unwrap();
    assert!(wheel.cancel(cancelled));
    assert!(!wheel.cancel(cancelled));
    assert_eq!(wheel.poll_timeout(), None);

    let reused = wheel.insert(at(100), 2).unwrap();
    assert_ne!(cancelled, reused);
    assert!(!wheel.cancel(cancelled), "a stale handle must not reach the record's next user");
    assert!(!wheel.rearm(cancelled, at(1)));
    assert_eq!(fire(&mut wheel, 104), [2]);
    assert!(!wheel.cancel(reused));
    assert!(!wheel.cancel(TimerHandle::NONE));
    assert!(!wheel.rearm(TimerHandle::NONE, at(1)));
}

#[test]
fn rearming_keeps_handle_and_payload() {
    let mut wheel = wheel_at(0);
    let handle = wheel.insert(at(500), 9).unwrap();
    assert!(wheel.rearm(handle, at(FAR_MS / 2)));
    assert!(fire(&mut wheel, 1_000).is_empty());
    assert!(wheel.rearm(handle, at(2_000)));
    assert_eq!(wheel.poll_timeout(), Some(at(2_000)));
    assert_eq!(fire(&mut wheel, 2_000), [9]);
    assert!(!wheel.rearm(handle, at(3_000)));
}

#[test]
fn a_full_wheel_refuses_until_one_is_gone() {
    let mut wheel = Wheel::new(2);
    let first = wheel.insert(at(10), 1).unwrap();
    wheel.insert(at(20), 2).unwrap();
    assert_eq!(wheel.insert(at(30), 3), None);
    assert_eq!(wheel.len(), 2);
    assert!(wheel.cancel(first));
    assert!(wheel.insert(at(30), 3).is_some());
    assert_eq!(fire(&mut wheel, 100), [2, 3]);
    assert!(Wheel::new(0).insert(at(1), 1).is_none());
}

#[test]
fn every_distance_up_to_a_day_is_met_at_its_tick() {
    let edges = [64 * TICK_MS, NEAR_MS, FAR_MS, 2 * FAR_MS, 24 * HOUR];
    for start in [0, 3, 1_234_567, 1_700_000_000_000] {
        let mut wheel = wheel_at(start);
        let mut expected = Vec::new();
        for edge in edges {
            for offset in [edge - 9, edge - 8, edge - 1, edge, edge + 1, edge + 8, edge + 511] {
                let payload = expected.len() as u32;
                wheel.insert(at(start + offset), payload).unwrap();
                expected.push((rounded_up(start + offset), payload));
            }
        }
        expected.sort();
        let mut fired = run_until_empty(&mut wheel);
        fired.sort();
        assert_eq!(fired, expected, "from {start} ms");
    }
}

#[test]
fn transaction_timers_never_wake_the_shell_early() {
    let mut wheel = wheel_at(7_777);
    wheel.insert(at(7_777 + 32_000), 1).unwrap();
    assert_eq!(wheel.poll_timeout(), Some(at(rounded_up(39_777))));
}

#[test]
fn an_idle_gap_is_crossed_in_one_call() {
    let mut wheel = wheel_at(0);
    for payload in 0..1_000 {
        wheel.insert(at(u64::from(payload) * 86_400), payload).unwrap();
    }
    assert_eq!(fire(&mut wheel, 24 * HOUR), (0..1_000).collect::<Vec<_>>());
    wheel.insert(at(24 * HOUR + 500), 1).unwrap();
    assert_eq!(fire(&mut wheel, 24 * HOUR + 504), [1]);
}

#[test]
fn time_that_goes_back_fires_nothing() {
    let mut wheel = wheel_at(10_000);
    wheel.insert(at(10_100), 1).unwrap();
    assert!(fire(&mut wheel, 5_000).is_empty());
    assert_eq!(fire(&mut wheel, 10_104), [1]);
}

#[test]
fn a_handler_that_arms_for_the_same_moment_is_served_in_the_same_round() {
    let mut wheel = wheel_at(0);
    wheel.insert(at(100), 0).unwrap();
    let now = Now::from_ms(104);
    let mut served = 0;
    while let Some(payload) = wheel.next_due(now) {
        served += 1;
        if payload < 4 {
            wheel.insert(at(104), payload + 1).unwrap();
        }
    }
    assert_eq!(served, 5);
}

fn delay() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..100_u64,
        Just(500),
        Just(32_000),
        0..NEAR_MS + 1_000,
        NEAR_MS - 64..NEAR_MS + 64,
        FAR_MS - 2_000..FAR_MS + 2_000,
        0..25 * HOUR,
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => delay().prop_map(|delay_ms| Step::Insert { delay_ms }),
        1 => (0..100_000_u64).prop_map(|by_ms| Step::InsertInThePast { by_ms }),
        3 => any::<usize>().prop_map(|which| Step::Cancel { which }),
        3 => (any::<usize>(), delay()).prop_map(|(which, delay_ms)| Step::Rearm { which, delay_ms }),
        4 => delay().prop_map(|by_ms| Step::Advance { by_ms }),
        2 => Just(Step::AdvanceToWake),
        1 => (0..4_usize).prop_map(|at_most| Step::TakeSome { at_most }),
    ]
}

proptest! {
    #[test]
    fn the_wheel_does_what_a_sorted_map_does(
        start_ms in prop_oneof![Just(0), 0..FAR_MS, Just(24_000 * HOUR)],
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut model = Model::new(start_ms);
        for step in &steps {
            model.apply(step);
        }
        model.finish(26 * HOUR);
    }
}
