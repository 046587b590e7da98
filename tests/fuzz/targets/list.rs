#![no_main]

use ringway_fuzz::{list, seed};

libfuzzer_sys::fuzz_target!(init: seed::plant("list"), |data: &[u8]| list::run(data));
