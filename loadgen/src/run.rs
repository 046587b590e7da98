//! One run: sockets bound, threads started, progress shown, the threads' accounts added up.

use crate::call::LegReport;
use crate::lane::{Equipment, Gauges, Harvest, Lane, Shared};
use crate::os;
use crate::pacer::Pacer;
use crate::plan::{Flow, Party, Plan};
use crate::proc;
use crate::sound::Pools;
use crate::tally::Tally;
use crate::trace::Trace;
use crossbeam::queue::ArrayQueue;
use std::io;
use std::net::{SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const MAILBOX_REPORTS: usize = 1 << 16;

/// Where progress goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Silent,
    /// A line that is written over: for terminals.
    Live,
    /// A line each second.
    Lines,
}

/// How a run is watched.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    pub progress: Progress,
    pub server_pid: Option<u32>,
    pub trace: bool,
}

/// What one thread was busy with.
#[derive(Clone, Copy, Debug)]
pub struct ThreadLoad {
    /// Share of the time that it ran.
    pub busy: f64,
    /// Share of the time that it wanted to run and had no CPU.
    pub starved: f64,
    pub cpu_ns: u64,
}

/// What a run gave.
pub struct Outcome {
    pub tally: Tally,
    /// What was done before the first call, and how long that took.
    pub prepared: Tally,
    pub preparing_ns: u64,
    pub threads: Vec<ThreadLoad>,
    /// How late a call left at worst, and how many left late.
    pub lag_max_ns: u64,
    pub late: u64,
    /// From the first call's time to the last call's start.
    pub offering_ns: u64,
    /// From the first call's time to the end of the last good call.
    pub achieving_ns: u64,
    pub server_cpu_us: Option<u64>,
    pub trace: Option<Trace>,
}

/// The sockets of a run, bound before anything starts.
pub struct Sockets {
    callers: Vec<UdpSocket>,
    /// Where the flow has calls.
    callee: Option<UdpSocket>,
    target: Option<UdpSocket>,
    sound: Pools,
}

impl Sockets {
    /// # Errors
    /// A line that names the socket, the reason and the cure.
    pub fn bind(plan: &Plan) -> Result<Sockets, String> {
        let callers = (0..plan.caller_sockets)
            .map(|n| {
                let port = if plan.caller.port() == 0 { 0 } else { plan.caller.port().saturating_add(n) };
                bind("caller", SocketAddrV4::new(*plan.caller.ip(), port))
            })
            .collect::<Result<_, _>>()?;
        let called = |who, address| match plan.flow {
            Flow::Register => Ok(None),
            _ => bind(who, address).map(Some),
        };
        let callee = called("callee", plan.callee)?;
        let target = called("target", plan.target)?;
        Ok(Sockets { callers, callee, target, sound: Pools::bind(plan)? })
    }
}

fn bind(who: &str, address: SocketAddrV4) -> Result<UdpSocket, String> {
    os::bind(address).map_err(|error| {
        let cure = match error.kind() {
            io::ErrorKind::AddrInUse => format!(
                "something else has that port (ss -ulpn 'sport = :{}' shows what); stop it or choose another",
                address.port()
            ),
            io::ErrorKind::AddrNotAvailable => "it is no address of this machine; choose one that is".into(),
            io::ErrorKind::PermissionDenied => "ports below 1024 need privileges; choose another".into(),
            _ => "choose another".into(),
        };
        format!("cannot bind the {who}'s socket to {address}: {error}; {cure} with --{who}-address")
    })
}

/// Plays `plan` to its end.
///
/// # Errors
/// One line: a socket that cannot be bound or used, a CPU that cannot be had.
pub fn run(plan: &Arc<Plan>, watch: Watch) -> Result<Outcome, String> {
    let sockets = Sockets::bind(plan)?;
    let epoch = Instant::now();
    let mut lanes = equip(plan, sockets);
    for lane in &mut lanes {
        lane.trace = watch.trace;
    }
    let calling = lanes.iter().filter(|lane| lane.pacer.is_some()).count();
    let shared = Arc::new(Shared {
        epoch,
        run: run_number(),
        mailboxes: lanes.iter().map(|_| ArrayQueue::<LegReport>::new(MAILBOX_REPORTS)).collect(),
        gauges: lanes.iter().map(|_| Gauges::default()).collect(),
        preparing: AtomicUsize::new(calling),
        start_ns: AtomicU64::new(0),
        calling: AtomicUsize::new(calling),
        unmarked: AtomicBool::new(false),
        aborted: AtomicBool::new(false),
    });
    let mut server_before = watch.server_pid.and_then(proc::process_cpu_us);
    if let (Some(pid), None) = (watch.server_pid, server_before) {
        return Err(format!("no process {pid}; give the server's number with --server-pid"));
    }
    let threads: Vec<_> = lanes.into_iter().map(|lane| spawn(plan, &shared, lane)).collect();
    let mut is_preparing = true;
    crate::progress::watch(&shared, watch.progress, plan.flow, || {
        if is_preparing && shared.start_ns.load(Ordering::Relaxed) > 0 {
            // What the server did before the first call is not the calls'.
            is_preparing = false;
            server_before = watch.server_pid.and_then(proc::process_cpu_us);
        }
        threads.iter().all(|thread| thread.is_finished())
    });
    let mut harvests = Vec::new();
    for thread in threads {
        match thread.join() {
            Ok(harvest) => harvests.push(harvest.map_err(|e| format!("a generator thread stopped: {e}"))?),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    let server_after = watch.server_pid.and_then(proc::process_cpu_us);
    let mut outcome = sum(harvests, shared.start_ns.load(Ordering::Relaxed));
    outcome.server_cpu_us = server_before.zip(server_after).map(|(before, after)| after - before);
    Ok(outcome)
}

/// Tells this run's messages from those of any run before it.
fn run_number() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seed = since.as_nanos() as u64 ^ u64::from(std::process::id()) << 32;
    (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u32
}

/// Shares roles, sockets and calls out to the threads.
fn equip(plan: &Plan, sockets: Sockets) -> Vec<Equipment> {
    // Called parties cannot be split by socket: a server sends to each from one socket. So they get threads
    // of their own, and the callers, whose sockets are many, share what is left.
    let caller_lanes = match plan.flow {
        Flow::Register => plan.threads,
        _ if plan.threads > 2 => plan.threads - 2,
        _ => 1,
    };
    let mut lanes: Vec<Equipment> = (0..plan.threads)
        .map(|lane| Equipment {
            lane: lane as u8,
            callers: Vec::new(),
            callee: None,
            target: None,
            pacer: (lane < caller_lanes).then(|| {
                let (lane, lanes) = (lane as u64, caller_lanes as u64);
                Pacer::new(0, plan.rate, plan.calls, plan.duration_ns, lane, lanes)
            }),
            cpu: (!plan.cpus.is_empty()).then(|| plan.cpus[lane % plan.cpus.len()]),
            trace: false,
            sound: Pools::default(),
        })
        .collect();
    for (n, socket) in sockets.callers.into_iter().enumerate() {
        lanes[n % caller_lanes].callers.push(socket);
    }
    for (n, socket) in sockets.sound.callers.into_iter().enumerate() {
        lanes[n % caller_lanes].sound.callers.push(socket);
    }
    let last = plan.threads - 1;
    let callee_lane = if plan.threads > 2 { last - 1 } else { last };
    let answering_lane = if plan.flow.answerer() == Some(Party::Callee) { callee_lane } else { last };
    lanes[last].target = sockets.target;
    lanes[callee_lane].callee = sockets.callee;
    lanes[answering_lane].sound.called = sockets.sound.called;
    lanes
}

fn spawn(
    plan: &Arc<Plan>,
    shared: &Arc<Shared>,
    equipment: Equipment,
) -> thread::JoinHandle<io::Result<Harvest>> {
    let (plan, shared) = (plan.clone(), shared.clone());
    thread::spawn(move || {
        let result = Lane::new(&plan, shared.clone(), equipment).and_then(Lane::run);
        if result.is_err() {
            shared.aborted.store(true, Ordering::Relaxed);
        }
        result
    })
}

fn sum(harvests: Vec<Harvest>, start_ns: u64) -> Outcome {
    let mut outcome = Outcome {
        tally: Tally::new(),
        prepared: Tally::new(),
        preparing_ns: 0,
        threads: Vec::new(),
        lag_max_ns: 0,
        late: 0,
        offering_ns: 0,
        achieving_ns: 0,
        server_cpu_us: None,
        trace: None,
    };
    for harvest in harvests {
        outcome.tally.add(&harvest.tally);
        outcome.prepared.add(&harvest.prepared);
        outcome.preparing_ns = outcome.preparing_ns.max(harvest.preparing_ns);
        outcome.threads.push(ThreadLoad {
            busy: harvest.busy,
            starved: harvest.starved,
            cpu_ns: harvest.cpu_ns,
        });
        if let Some(pacer) = &harvest.pacer {
            outcome.lag_max_ns = outcome.lag_max_ns.max(pacer.lag_max_ns());
            outcome.late += pacer.late();
        }
        outcome.offering_ns = outcome.offering_ns.max(harvest.offered_ns.saturating_sub(start_ns));
        outcome.trace = outcome.trace.or(harvest.trace);
    }
    outcome.achieving_ns = outcome.tally.last_good_ns.saturating_sub(start_ns);
    outcome
}
