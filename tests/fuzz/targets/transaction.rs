#![no_main]

use ringway_fuzz::{seed, transaction};

libfuzzer_sys::fuzz_target!(init: seed::plant("transaction"), |data: &[u8]| transaction::run(data));
