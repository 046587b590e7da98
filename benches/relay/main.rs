//! What one core relays, against an echo on one socket and against rtpengine in userspace.
//!
//! `cargo bench --bench relay` on an idle machine with two CPUs: the server's side runs on the first, the
//! generator on the second. Every call has two parties, each of which sends 50 packets of 172 bytes (G.711,
//! 20 ms) a second; the generator plays all callers from one socket and all callees from another, evenly
//! spread over the 20 ms, and takes the delay of each packet by the time that it carries. The echo has the
//! same packets on one socket with `recvmmsg` and `sendmmsg` of up to 64, and wakes up once a millisecond as
//! the relay does, which is the best that it can do. The figure is CPU time per packet moved, received and
//! sent, as the kernel counts it for the thread (softirqs of what it sends included). Echo and relay take
//! turns; the medians count. `kept` is how long other processes kept server and generator from their CPUs:
//! on a machine that is not idle it is in the delays. The relay is `net::rtp` with `media`, without a
//! shard's SIP around it.
//!
//! If `rtpengine` can be started it gets the same calls by its ng protocol, on the server's CPU.

mod engine;
mod generator;

use generator::{Flow, Report, generate};
use ringway::clock::{Moment, Now};
use ringway::media::{Family, Media, Remote};
use ringway::net::rtp::{Relay, Share};
use ringway::net::{RtpAddress, RtpSettings, allowed_cpus};
use ringway::settings;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const CALLS: usize = 500;
const CALLS_AIM: usize = 1_500;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(600);
const ROUND_AIM: Duration = Duration::from_millis(3_000);
const NAP: Duration = Duration::from_millis(1);

/// What one side of a comparison took.
struct Measured {
    /// CPU time, and how long it was kept from the CPU by others: delays of an idle machine have none.
    server: Taken,
    report: Report,
}

impl Measured {
    fn nanoseconds(&self) -> f64 {
        self.server.cpu.as_nanos() as f64 / self.report.received.max(1) as f64
    }

    fn line(&self, name: &str, calls: usize, echo: f64) {
        let Report { sent, received, elapsed, .. } = &self.report;
        let nanoseconds = self.nanoseconds();
        println!(
            "{name:<10} {calls:>6} {:>10.0} {nanoseconds:>10.0} {:>8.1} % {:>8.1} % {:>6} {:>8.2} {:>8.2} \
             {:>8.2} {:>8.1}",
            *received as f64 / elapsed.as_secs_f64(),
            100.0 * self.server.cpu.as_secs_f64() / elapsed.as_secs_f64(),
            100.0 * echo / nanoseconds,
            sent - received,
            self.report.delay_ms(0.5),
            self.report.delay_ms(0.99),
            self.report.delay_ms(1.0),
            1e3 * (self.server.waited + self.report.waited).as_secs_f64(),
        );
    }
}

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("a benchmark: cargo bench --bench relay");
        return;
    }
    let cpus = allowed_cpus().expect("the CPUs of this process");
    let [server, .., generator] = cpus[..] else {
        println!("two CPUs are needed, one for the generator");
        return;
    };
    println!(
        "{:<10} {:>6} {:>10} {:>10} {:>10} {:>10} {:>6} {:>8} {:>8} {:>8} {:>8}",
        "",
        "calls",
        "packets/s",
        "ns/packet",
        "of a core",
        "of echo",
        "lost",
        "p50 ms",
        "p99 ms",
        "max ms",
        "kept ms"
    );
    let (mut echoes, mut relays) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        echoes.push(echo(server, generator));
        relays.push(relay(server, generator, CALLS, ROUND));
    }
    let echo = median(echoes);
    let echo_ns = echo.nanoseconds();
    echo.line("echo", CALLS, echo_ns);
    median(relays).line("relay", CALLS, echo_ns);
    relay(server, generator, CALLS_AIM, ROUND_AIM).line("relay", CALLS_AIM, echo_ns);
    match engine::measure(server, generator, CALLS, ROUND) {
        Ok(measured) => measured.line("rtpengine", CALLS, echo_ns),
        Err(why) => println!("rtpengine  not measured: {why}"),
    }
}

fn median(mut all: Vec<Measured>) -> Measured {
    all.sort_by(|one, other| one.nanoseconds().total_cmp(&other.nanoseconds()));
    all.swap_remove(all.len() / 2)
}

/// The callers' and the callees' sockets.
fn parties() -> [UdpSocket; 2] {
    [(); 2].map(|()| generator::socket())
}

fn echo(server: usize, generator: usize) -> Measured {
    let socket = generator::socket();
    let place = socket.local_addr().expect("its address");
    let parties = parties();
    let flows: Vec<Flow> = (0..2 * CALLS).map(|flow| Flow { party: flow % 2, place }).collect();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let echo = scope.spawn(|| {
            pin(server);
            let mut batch = generator::Batch::new();
            let before = Taken::now();
            while !stop.load(Relaxed) {
                thread::sleep(NAP);
                while batch.receive(socket.as_raw_fd()) > 0 {
                    batch.send_back(socket.as_raw_fd());
                }
            }
            Taken::now().since(&before)
        });
        let report = run_generator(generator, &parties, &flows, ROUND);
        stop.store(true, Relaxed);
        Measured { server: echo.join().expect("the echo"), report }
    })
}

/// Plays the parties in a thread of its own on its CPU.
fn run_generator(cpu: usize, parties: &[UdpSocket; 2], flows: &[Flow], length: Duration) -> Report {
    thread::scope(|scope| {
        let generator = scope.spawn(|| {
            pin(cpu);
            let before = Taken::now();
            let mut report = generate(parties, flows, length);
            report.waited = Taken::now().since(&before).waited;
            report
        });
        generator.join().expect("the generator")
    })
}

fn relay(server: usize, generator: usize, calls: usize, length: Duration) -> Measured {
    let parties = parties();
    let remotes = parties.each_ref().map(|party| remote(party.local_addr().expect("its address")));
    let stop = AtomicBool::new(false);
    let (send_flows, receive_flows) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        let stop = &stop;
        let relay = scope.spawn(move || {
            pin(server);
            let (mut relay, mut media, flows) = open(calls, remotes);
            send_flows.send(flows).expect("the generator waits");
            let (started, before) = (Instant::now(), Taken::now());
            let moment = || Moment::from_us(started.elapsed().as_micros() as u64);
            while !stop.load(Relaxed) {
                relay.turn(moment(), &mut media).expect("a turn");
                thread::sleep(relay.pause(moment()));
            }
            Taken::now().since(&before)
        });
        let flows = receive_flows.recv().expect("the relay is ready");
        let report = run_generator(generator, &parties, &flows, length);
        stop.store(true, Relaxed);
        Measured { server: relay.join().expect("the relay"), report }
    })
}

/// A relay with calls between the two parties, and where each of them sends.
fn open(calls: usize, remotes: [Remote; 2]) -> (Relay, Media, Vec<Flow>) {
    let share = Share {
        settings: RtpSettings {
            addresses: vec![RtpAddress { local: LOCAL, advertised: LOCAL }],
            first_port: 10_000,
            last_port: 29_999,
            dscp: 46,
        },
        shard: 0,
        shards: 1,
        secret: 7,
        pairs_max: 2 * calls + 64,
    };
    let now = Now::from_ms(0);
    let mut relay = Relay::new(&share).expect("a relay");
    let mut media = Media::new(&settings::Media::default(), 2 * calls as u32, 7);
    let mut flows = Vec::new();
    for _ in 0..calls {
        relay.bind_wanted(now, &mut media);
        let pair = remotes.map(|remote| {
            let endpoint = media.open(now, Family::V4).expect("ports");
            media.describe(endpoint, remote);
            media.settle(now, endpoint);
            endpoint
        });
        media.join(pair[0], pair[1]);
        for (party, endpoint) in pair.into_iter().enumerate() {
            flows.push(Flow { party, place: media.local(endpoint).expect("an open endpoint") });
        }
    }
    (relay, media, flows)
}

fn remote(address: SocketAddr) -> Remote {
    Remote {
        rtp: Some(address),
        rtcp: None,
        host: address.ip(),
        is_rtp: true,
        has_mux: false,
        is_held: false,
        clock_hz: 8_000,
        g711: None,
    }
}

fn pin(cpu: usize) {
    // SAFETY: a CPU set is plain bits, and the index is that of a CPU that the kernel named.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &raw const set)
    };
    assert_eq!(result, 0, "CPU {cpu} is ours");
}

/// What the scheduler says of a thread.
#[derive(Default)]
pub struct Taken {
    pub cpu: Duration,
    /// Ready to run while something else ran.
    pub waited: Duration,
}

impl Taken {
    fn now() -> Taken {
        Taken::read("/proc/thread-self/schedstat").expect("a kernel with schedstat")
    }

    fn read(path: &str) -> Option<Taken> {
        let text = std::fs::read_to_string(path).ok()?;
        let mut numbers = text.split(' ').map(|number| number.parse().ok().map(Duration::from_nanos));
        Some(Taken { cpu: numbers.next()??, waited: numbers.next()?? })
    }

    fn since(&self, before: &Taken) -> Taken {
        Taken { cpu: self.cpu - before.cpu, waited: self.waited - before.waited }
    }
}
