//! Fuzz targets: each module's `run` takes one input and panics where ringway breaks a promise.
//!
//! Kept as a library, so that a target is three lines and an input can be replayed by any other program.

#[path = "../../scan_reference/agreement.rs"]
mod agreement;
#[path = "../../timer/model.rs"]
mod model;
#[path = "../../scan_reference/naive.rs"]
mod naive;
#[expect(dead_code, reason = "the laboratory's tests use the rest")]
#[path = "../../lab/sip.rs"]
mod sip;
#[path = "../../sdp/promises.rs"]
mod told;

pub mod address;
pub mod authorization;
mod choices;
pub mod codes;
pub mod config;
pub mod field;
pub mod history;
mod input;
pub mod keep;
pub mod list;
mod peers;
mod promises;
pub mod register;
pub mod reply;
mod requests;
mod responses;
pub mod scan;
pub mod sdp;
pub mod seed;
pub mod shard;
pub mod shards;
pub mod subscriber;
pub mod timer;
pub mod transaction;
pub mod uri;
pub mod via;
mod world;
pub mod write;

use ringway::limits::SCAN_PADDING;

/// The datagram as the scanner wants it: with zeros behind.
fn padded(datagram: &[u8]) -> Vec<u8> {
    [datagram, &[0; SCAN_PADDING]].concat()
}

/// Bytes as a failure prints them.
fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\r\\n", "\n")
}
