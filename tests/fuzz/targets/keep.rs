#![no_main]

use ringway_fuzz::{keep, seed};

libfuzzer_sys::fuzz_target!(init: seed::plant("keep"), |data: &[u8]| keep::run(data));
