#![no_main]

use ringway_fuzz::{history, seed};

libfuzzer_sys::fuzz_target!(init: seed::plant("history"), |data: &[u8]| history::run(data));
