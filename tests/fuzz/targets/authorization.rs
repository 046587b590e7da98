#![no_main]

use ringway_fuzz::{authorization, seed};

libfuzzer_sys::fuzz_target!(init: seed::plant("authorization"), |data: &[u8]| authorization::run(data));
