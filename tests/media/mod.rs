//! What anchored media is tested with: the server's own process, phones that speak SIP, and their sockets
//! for RTP. Every server and every phone has an address of 127.0.0.0/8 to itself, so no port is ever
//! somebody else's.

pub mod call;
pub mod message;
pub mod phone;
pub mod rtp;
pub mod sdp;
pub mod server;

pub use call::Call;
pub use message::Message;
pub use phone::{Dialog, Phone};
pub use rtp::Line;
pub use server::Scene;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Nothing that should happen takes this long.
pub const PATIENCE: Duration = Duration::from_secs(8);
/// What should not happen has not happened after this: on loopback a packet takes microseconds.
pub const QUIET: Duration = Duration::from_millis(150);

/// An address that nobody else has, in this process or another of its time.
pub fn host() -> IpAddr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(next < 1_023, "addresses for 1,022 phones and servers are not enough");
    // 127.128.0.0/9: 13 bits are the process's, 10 count.
    let process = std::process::id() & 0x1FFF;
    IpAddr::V4(Ipv4Addr::from_bits(0x7F80_0000 | process << 10 | next))
}

/// Waits until something holds.
#[track_caller]
pub fn wait_until(what: &str, patience: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
