#![no_main]

use ringway_fuzz::{codes, seed};

libfuzzer_sys::fuzz_target!(init: seed::plant("codes"), |data: &[u8]| codes::run(data));
