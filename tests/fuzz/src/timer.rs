//! The timing wheel against a sorted map, driven by arbitrary steps.

use crate::input::Input;
use crate::model::{Model, Step};

/// What the model lives through at most; the map is slow to check.
const STEPS_MAX: usize = 400;

const DAY_MS: u64 = 86_400_000;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let start_ms = if input.one_in(2) { u64::from(input.wide()) << input.below(8) } else { 0 };
    let mut model = Model::new(start_ms);
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        let step = step(&mut input);
        model.apply(&step);
    }
    model.finish(2 * DAY_MS);
}

fn step(input: &mut Input<'_>) -> Step {
    match input.below(10) {
        0..=3 => Step::Insert { delay_ms: delay(input) },
        4 => Step::InsertInThePast { by_ms: delay(input) },
        5 => Step::Cancel { which: input.below(256) },
        6 => Step::Rearm { which: input.below(256), delay_ms: delay(input) },
        7 => Step::Advance { by_ms: delay(input) },
        8 => Step::AdvanceToWake,
        _ => Step::TakeSome { at_most: input.below(4) },
    }
}

/// Any scale, and the levels' edges above all.
fn delay(input: &mut Input<'_>) -> u64 {
    let number = u64::from(input.number());
    match input.below(6) {
        0 => number % 64,
        1 => number,
        2 => 4_096 * 8 - 32 + number % 64,
        3 => 4_096 * 64 * 8 - 1_024 + number % 2_048,
        4 => number * 8,
        _ => number * 1_024 % DAY_MS,
    }
}
