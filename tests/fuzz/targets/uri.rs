#![no_main]

use ringway_fuzz::{seed, uri};

libfuzzer_sys::fuzz_target!(init: seed::plant("uri"), |data: &[u8]| uri::run(data));
