#![no_main]

use ringway_fuzz::{seed, write};

libfuzzer_sys::fuzz_target!(init: seed::plant("write"), |data: &[u8]| write::run(data));
