#![no_main]

use ringway_fuzz::{seed, subscriber};

libfuzzer_sys::fuzz_target!(init: seed::plant("subscriber"), |data: &[u8]| subscriber::run(data));
