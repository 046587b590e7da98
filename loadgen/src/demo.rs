//! The first thing to try: a server and three phones in one process play the reference call and draw it.

use crate::digest::Algorithm;
use crate::ladder::{self, Colours};
use crate::plan::{Flow, Hangup, Plan};
use crate::report::Report;
use crate::run::{self, Outcome, Progress, Watch};
use crate::tally::Latency;
use ringway::config::Config;
use ringway::directory::{Directory, Subscriber};
use ringway::net::Server;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

const SERVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 60);
const CALLER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 137);
const CALLEE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 136);
const TARGET: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 138);
const RING: Duration = Duration::from_millis(500);
/// A call on loopback that is not over by then will never be.
const TIMEOUT: Duration = Duration::from_secs(5);

const CLOSING: &str = "\
Next, the server by itself, and calls through it from a second terminal:

  cargo run --release                                     # the server, with these three numbers
  cargo run --release -p loadgen -- --ladder              # one call, drawn like this
  cargo run --release -p loadgen -- --rate 1000           # a thousand calls per second, measured
  cargo run --release -p loadgen -- --help                # other flows, rates, and the search for the maximum
";

/// Plays the demonstration. Whether the call went well.
///
/// # Errors
/// One line: what kept the server or the phones from starting.
pub fn demo(colours: Colours) -> Result<bool, String> {
    let plan = Arc::new(plan()?);
    let server = start(&plan, phones(&plan)?)?;
    println!(
        "One call through ringway: a server (S) and three phones, in one process, over UDP on loopback.\n"
    );
    println!("  1003 (A) calls 1004 (B). B rings for half a second, then its side gives up with 408.");
    println!(
        "  1004 has forwarding on no answer to 1005 (C): the server tries C, who answers and hangs up.\n"
    );
    let watch = Watch { progress: Progress::Silent, server_pid: None, trace: true };
    let outcome = run::run(&plan, watch)?;
    server.drain();
    show(&plan, &outcome, colours);
    let is_good = outcome.tally.good == 1;
    if is_good {
        println!("\n{CLOSING}");
    }
    Ok(is_good)
}

/// Draws the one call of a run and says how it went.
pub fn show(plan: &Plan, outcome: &Outcome, colours: Colours) {
    let Some(trace) = &outcome.trace else { return };
    print!("{}", ladder::draw(plan, trace, colours));
    let report = Report::new(plan, outcome);
    for failure in report.failures.keys() {
        println!("\nThe call failed: {failure}.");
    }
    if outcome.tally.good == 1 {
        let rang_ms = outcome.tally.added_ns as f64 / 1e6;
        let own_ms = report.latency(Latency::Answer).max;
        let messages = trace.datagrams.len();
        print!("\nThe call went well: {messages} messages");
        if outcome.tally.answered > 0 {
            print!(", answered after {rang_ms:.0} ms of ringing and {own_ms:.1} ms of the server's and ours");
        }
        println!(".");
    }
}

fn plan() -> Result<Plan, String> {
    let [server, caller, callee, target] = [SERVER, CALLER, CALLEE, TARGET].map(free_address);
    Ok(Plan {
        flow: Flow::Cfna408,
        hangup: Hangup::Target,
        server: server?,
        caller: caller?,
        caller_sockets: 1,
        callee: callee?,
        target: target?,
        callers: "1003".parse()?,
        callees: "1004".parse()?,
        target_number: "1005".into(),
        numbers: "1003".parse()?,
        password: None,
        algorithm: Algorithm::Sha256,
        expires_s: 3_600,
        rate: 1.0,
        duration_ns: 1_000_000_000,
        calls: 1,
        ring_ns: RING.as_nanos() as u64,
        target_ring_ns: RING.as_nanos() as u64 / 5,
        hold_ns: RING.as_nanos() as u64 / 5,
        timeout_ns: TIMEOUT.as_nanos() as u64,
        drain_ns: 4 * TIMEOUT.as_nanos() as u64,
        poll_ns: None,
        threads: 1,
        cpus: Vec::new(),
        check: true,
        rtp: None,
    })
}

/// SIP's own port when nobody has it, else any.
fn free_address(ip: Ipv4Addr) -> Result<SocketAddrV4, String> {
    let free = |port| {
        let socket = UdpSocket::bind(SocketAddrV4::new(ip, port))?;
        socket.local_addr().map(|address| SocketAddrV4::new(ip, address.port()))
    };
    free(5060).or_else(|_| free(0)).map_err(|error: std::io::Error| {
        format!("cannot bind a UDP socket to {ip}: {error}; the demonstration needs loopback's 127.0.0.0/8")
    })
}

/// The three phones, as the lab knows them.
fn phones(plan: &Plan) -> Result<Vec<Subscriber>, String> {
    let mut subscribers = Config::lab(plan.server.into()).subscribers;
    let phones = [
        (plan.callers.to_string(), plan.caller),
        (plan.callees.to_string(), plan.callee),
        (plan.target_number.clone(), plan.target),
    ];
    for (number, address) in phones {
        let Some(subscriber) = subscribers.iter_mut().find(|one| *one.number == *number) else {
            return Err(format!("the lab has no subscriber {number}"));
        };
        *subscriber = subscriber.clone().at(&format!("sip:{number}@{address}"), address.into());
    }
    Ok(subscribers)
}

/// A server with one shard.
fn start(plan: &Plan, subscribers: Vec<Subscriber>) -> Result<Server, String> {
    let Config { settings, mut net, .. } = Config::lab(plan.server.into());
    net.cpus.truncate(1);
    Server::start(Arc::new(settings), Directory::of(subscribers), net, Arc::default())
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each forwarded INVITE must name in Diversion the very number that its call drew.
    #[test]
    fn forwarded_calls_go_to_the_numbers_that_they_drew() {
        let address = |ip| SocketAddrV4::new(ip, 0);
        let free = |ip: Ipv4Addr| {
            let socket = UdpSocket::bind(address(ip)).expect("a free port of loopback");
            let port = socket.local_addr().expect("its address").port();
            SocketAddrV4::new(ip, port)
        };
        let mut plan = plan().expect("a plan");
        (plan.server, plan.callee, plan.target) = (free(SERVER), free(CALLEE), free(TARGET));
        (plan.caller, plan.caller_sockets) = (address(CALLER), 4);
        plan.callers = "3000-3099".parse().expect("a range");
        plan.callees = "2000-2099".parse().expect("a range");
        (plan.calls, plan.rate) = (200, 1_000.0);
        (plan.ring_ns, plan.target_ring_ns, plan.hold_ns) = (0, 0, 0);
        let at = |number: &str, address: SocketAddrV4| {
            Subscriber::new(number).at(&format!("sip:{number}@{address}"), address.into())
        };
        let callers = (0..100).map(|place| at(&plan.callers.nth(place).to_string(), plan.caller));
        let callees = (0..100).map(|place| {
            let callee = at(&plan.callees.nth(place).to_string(), plan.callee);
            callee.forwarding_to(ringway::directory::Condition::NoAnswer, "1005")
        });
        let subscribers = callers.chain(callees).chain([at("1005", plan.target)]).collect();
        let server = start(&plan, subscribers).expect("a server");
        let watch = Watch { progress: Progress::Silent, server_pid: None, trace: false };
        let outcome = run::run(&Arc::new(plan), watch).expect("a run");
        server.drain();
        assert_eq!((outcome.tally.good, outcome.tally.failed), (200, 0), "{:?}", outcome.tally.failures);
    }
}
