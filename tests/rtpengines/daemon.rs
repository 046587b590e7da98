//! An rtpengine of the test's own, as Debian's package has it, relaying in user space.

use ringway::rtpengine::bencode::{Value, read};
use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::Duration;

/// Each daemon has media ports of its own, so many of them.
const PORTS: u16 = 200;
static NEXT_PORTS: AtomicU16 = AtomicU16::new(44_000);

pub struct Daemon {
    child: Child,
    pub address: SocketAddr,
    asker: UdpSocket,
}

/// Whether there is one to start; else the test says that it is skipped.
pub fn is_installed(test: &str) -> bool {
    let mut version = Command::new("rtpengine");
    let version = version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let is_there = version.is_ok_and(|status| status.success());
    if !is_there {
        println!("SKIPPED rtpengine::{test}: no rtpengine; run: apt-get install rtpengine-daemon");
    }
    is_there
}

impl Daemon {
    /// Starts one and waits until it answers. Its log is in `directory`.
    pub fn start(directory: &Path) -> Daemon {
        let address = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let address = address.expect("a free port");
        let first = NEXT_PORTS.fetch_add(PORTS, Relaxed);
        let log = File::create(directory.join(format!("rtpengine-{}.log", address.port()))).expect("a log");
        let child = Command::new("rtpengine")
            .args(["--table=-1", "--interface=127.0.0.1", "--foreground", "--log-stderr", "--log-level=5"])
            .arg(format!("--listen-ng={address}"))
            .arg(format!("--port-min={first}"))
            .arg(format!("--port-max={}", first + PORTS - 1))
            .args(["--delete-delay=0", "--config-file=none"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("rtpengine runs");
        let asker = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        asker.connect(address).expect("connected");
        asker.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        let daemon = Daemon { child, address, asker };
        super::wait_until("rtpengine", || daemon.ask(&[(b"command", Value::Bytes(b"ping"))]).is_some());
        daemon
    }

    fn ask(&self, entries: &[(&[u8], Value<'_>)]) -> Option<Vec<u8>> {
        let mut request = b"test_1 ".to_vec();
        // A cookie that was seen is answered from memory.
        request.splice(5..6, self.fresh().bytes());
        Value::Dictionary(entries.to_vec()).write(&mut request);
        self.asker.send(&request).ok()?;
        let mut buffer = vec![0; 65_536];
        let length = self.asker.recv(&mut buffer).ok()?;
        buffer.truncate(length);
        let blank = buffer.iter().position(|&byte| byte == b' ')?;
        Some(buffer.split_off(blank + 1))
    }

    fn fresh(&self) -> String {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        NEXT.fetch_add(1, Relaxed).to_string()
    }

    /// How many calls it has.
    #[track_caller]
    pub fn calls(&self) -> usize {
        let list = [(&b"command"[..], Value::Bytes(b"list")), (b"limit", Value::Bytes(b"32"))];
        let mut answer = None;
        super::wait_until("a list", || {
            answer = self.ask(&list);
            answer.is_some()
        });
        let answer = answer.expect("an answer");
        match read(&answer).expect("bencode").get(b"calls") {
            Some(Value::List(calls)) => calls.len(),
            other => panic!("{other:?}"),
        }
    }

    pub fn signal(&self, signal: i32) {
        let process = self.child.id().try_into().expect("a process id");
        // SAFETY: the child is ours and was not waited for, so the id is still its own.
        assert_eq!(unsafe { libc::kill(process, signal) }, 0);
    }

    /// Ends it as a power failure would.
    pub fn kill(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("an end");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
