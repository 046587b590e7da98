#![no_main]

use ringway_fuzz::{reply, seed};

libfuzzer_sys::fuzz_target!(init: seed::plant("reply"), |data: &[u8]| reply::run(data));
