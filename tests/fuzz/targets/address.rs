#![no_main]

use ringway_fuzz::{address, seed};

libfuzzer_sys::fuzz_target!(init: seed::plant("address"), |data: &[u8]| address::run(data));
