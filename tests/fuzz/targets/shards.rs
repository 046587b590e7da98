#![no_main]

use ringway_fuzz::{seed, shards};

libfuzzer_sys::fuzz_target!(init: seed::plant("shards"), |data: &[u8]| shards::run(data));
