#![no_main]

use ringway_fuzz::{field, seed};

libfuzzer_sys::fuzz_target!(init: seed::plant("field"), |data: &[u8]| field::run(data));
