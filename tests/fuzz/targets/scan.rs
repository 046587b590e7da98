#![no_main]

use ringway_fuzz::{scan, seed};

libfuzzer_sys::fuzz_target!(init: seed::plant("scan"), |data: &[u8]| scan::run(data));
