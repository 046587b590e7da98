//! A whole CFNA call through the kernel: the server on its own core, the phones on another, in a closed
//! loop of 64 calls. The figure is the time per call as the phones see it; `call` has the protocol's part.

#[expect(dead_code, reason = "each bench uses its part of the phones")]
mod phones;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use phones::{CALLEE, CALLER, SDP, SERVER, TARGET, answer, directory, in_dialog, invite, settings};
use ringway::config::Config;
use ringway::net::Server;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

const WINDOW: usize = 64;

/// The three phones on their sockets, played in a closed loop.
struct Phones {
    caller: UdpSocket,
    callee: UdpSocket,
    target: UdpSocket,
    server: SocketAddr,
    /// Calls begun since the start, for identities that never repeat.
    begun: usize,
}

impl Phones {
    fn new() -> Phones {
        let bind = |address: &str| {
            let socket = UdpSocket::bind(address).expect("the phones' ports are free");
            socket.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
            socket
        };
        let server = SERVER.parse().expect("an address");
        Phones { caller: bind(CALLER), callee: bind(CALLEE), target: bind(TARGET), server, begun: 0 }
    }

    /// Plays `calls` calls, `WINDOW` at a time, each step of all of them before the next step of any.
    fn play(&mut self, calls: usize) {
        let mut left = calls;
        while left > 0 {
            let window = left.min(WINDOW);
            self.window(window);
            left -= window;
        }
    }

    fn window(&mut self, calls: usize) {
        for _ in 0..calls {
            self.begun += 1;
            self.send(&self.caller, &invite("1004", self.begun));
        }
        let contact = "1004@127.0.0.136:5060";
        for _ in 0..calls {
            let leg = next(&self.callee, b"INVITE");
            self.send(&self.callee, &answer(&leg, "100 Trying", "b", contact, ""));
            self.send(&self.callee, &answer(&leg, "180 Ringing", "b", contact, ""));
            self.send(&self.callee, &answer(&leg, "408 Request Timeout", "b", contact, ""));
        }
        let contact = "1005@127.0.0.138:5060";
        let mut legs = Vec::with_capacity(calls);
        for _ in 0..calls {
            let leg = next(&self.target, b"INVITE");
            self.send(&self.target, &answer(&leg, "100 Trying", "c", contact, ""));
            self.send(&self.target, &answer(&leg, "180 Ringing", "c", contact, ""));
            self.send(&self.target, &answer(&leg, "200 OK", "c", contact, SDP));
            legs.push(leg);
        }
        for number in 0..calls {
            let ok = next(&self.caller, b"SIP/2.0 200");
            self.send(&self.caller, &in_dialog(&ok, "ACK", 39, CALLER, self.begun * WINDOW + number, None));
        }
        for (number, leg) in legs.iter().enumerate() {
            next(&self.target, b"ACK");
            self.send(
                &self.target,
                &in_dialog(leg, "BYE", 223, TARGET, self.begun * WINDOW + number, Some("c")),
            );
        }
        for _ in 0..calls {
            let bye = next(&self.caller, b"BYE");
            self.send(&self.caller, &answer(&bye, "200 OK", "", "1003@127.0.0.137:5060", ""));
            next(&self.target, b"SIP/2.0 200");
        }
        while let Some(ack) = self.callee_left() {
            assert!(ack.starts_with(b"ACK"));
        }
    }

    /// What waits at the callee: the ACKs to its 408.
    fn callee_left(&self) -> Option<Vec<u8>> {
        self.callee.set_nonblocking(true).ok()?;
        let mut buffer = [0; 2_048];
        let received = self.callee.recv(&mut buffer);
        self.callee.set_nonblocking(false).ok()?;
        received.ok().map(|length| buffer[..length].to_vec())
    }

    fn send(&self, socket: &UdpSocket, bytes: &[u8]) {
        socket.send_to(bytes, self.server).expect("the server listens");
    }
}

/// The next message of this kind; others are passed over.
fn next(socket: &UdpSocket, start: &[u8]) -> Vec<u8> {
    let mut buffer = [0; 2_048];
    loop {
        let length = socket.recv(&mut buffer).expect("the server answers within two seconds");
        if buffer[..length].starts_with(start) {
            return buffer[..length].to_vec();
        }
    }
}

fn loopback(criterion: &mut Criterion) {
    let mut net = Config::lab(SERVER.parse().expect("an address")).net;
    net.cpus.truncate(1);
    let server = Server::start(Arc::new(settings(SERVER)), directory(), net, Arc::default())
        .expect("the server starts");
    let mut phones = Phones::new();
    let mut group = criterion.benchmark_group("loopback");
    group.throughput(Throughput::Elements(1));
    group.bench_function("cfna_408", |bencher| {
        bencher.iter_custom(|iterations| {
            let start = Instant::now();
            phones.play(iterations as usize);
            start.elapsed()
        });
    });
    group.finish();
    let metrics = server.metrics();
    assert_eq!(metrics.calls_failed, 0, "{metrics:?}");
    server.drain();
    server.join().expect("the server ends");
}

criterion_group!(benches, loopback);
criterion_main!(benches);
