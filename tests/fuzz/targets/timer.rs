#![no_main]

use ringway_fuzz::{seed, timer};

libfuzzer_sys::fuzz_target!(init: seed::plant("timer"), |data: &[u8]| timer::run(data));
