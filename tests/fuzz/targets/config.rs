#![no_main]

use ringway_fuzz::{config, seed};

libfuzzer_sys::fuzz_target!(init: seed::plant("config"), |data: &[u8]| config::run(data));
