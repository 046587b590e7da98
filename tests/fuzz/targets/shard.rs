#![no_main]

use ringway_fuzz::{seed, shard};

libfuzzer_sys::fuzz_target!(init: seed::plant("shard"), |data: &[u8]| shard::run(data));
