#![no_main]

use ringway_fuzz::{register, seed};

libfuzzer_sys::fuzz_target!(init: seed::plant("register"), |data: &[u8]| register::run(data));
