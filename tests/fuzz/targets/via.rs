#![no_main]

use ringway_fuzz::{seed, via};

libfuzzer_sys::fuzz_target!(init: seed::plant("via"), |data: &[u8]| via::run(data));
