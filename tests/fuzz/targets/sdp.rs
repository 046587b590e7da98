#![no_main]

use ringway_fuzz::{sdp, seed};

libfuzzer_sys::fuzz_target!(init: seed::plant("sdp"), |data: &[u8]| sdp::run(data));
