//! One generator thread: its sockets, the phones behind them, and the loop that moves datagrams between the
//! two. The phones know no socket and no clock; this loop is where both are.

use crate::call::{Context, Id, LegReport, Origin};
use crate::callee::{Callee, Line};
use crate::caller::Caller;
use crate::message::CalleeTexts;
use crate::os::{self, BATCH, Poller, Receiver, Sender};
use crate::outbox::Outbox;
use crate::pacer::Pacer;
use crate::plan::{Party, Plan};
use crate::proc::{self, ThreadTime};
use crate::tally::Tally;
use crate::trace::Trace;
use crossbeam::queue::ArrayQueue;
use ringway::sip::{self, Index};
use std::io;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Calls that may be started before the sockets are looked at again.
const STARTS_PER_PASS: usize = 32;
/// A caller's thread looks at its mailbox this often when nothing else wakes it.
const MAILBOX_NS: u64 = 2_000_000;
/// Nobody sleeps longer: the end of the run and Ctrl-C are noticed by then.
const LONGEST_SLEEP_NS: u64 = 50_000_000;
/// How long legs whose calls are over may go on, so that a server's last messages find an answer.
const LINGER_NS: u64 = 1_000_000_000;
const SECOND_NS: u64 = 1_000_000_000;

/// What all threads of a run share.
pub struct Shared {
    /// Nanoseconds are counted from here, in all threads.
    pub epoch: Instant,
    pub run: u32,
    /// One mailbox per thread, for what called parties on other threads report.
    pub mailboxes: Vec<ArrayQueue<LegReport>>,
    pub gauges: Vec<Gauges>,
    /// Threads with callers that still have calls.
    pub calling: AtomicUsize,
    /// A leg came without its call's mark.
    pub unmarked: AtomicBool,
    /// A thread could not go on: the others end, too.
    pub aborted: AtomicBool,
}

/// What one thread shows while it runs.
#[derive(Default)]
pub struct Gauges {
    pub started: AtomicU64,
    pub good: AtomicU64,
    pub failed: AtomicU64,
    pub live: AtomicU64,
    /// The last whole second's p99 of INVITE → 180, in microseconds.
    pub ringing_p99_us: AtomicU64,
}

impl Shared {
    pub fn now_ns(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }
}

/// What a thread is made of.
pub struct Equipment {
    pub lane: u8,
    pub callers: Vec<UdpSocket>,
    pub callee: Option<UdpSocket>,
    pub target: Option<UdpSocket>,
    pub pacer: Option<Pacer>,
    pub cpu: Option<usize>,
    pub trace: bool,
}

/// What a thread brings home.
pub struct Harvest {
    pub tally: Tally,
    pub pacer: Option<Pacer>,
    /// Shares of the time during which calls were started: running, and waiting for a CPU.
    pub busy: f64,
    pub starved: f64,
    /// CPU time of the whole run.
    pub cpu_ns: u64,
    /// When the last call was started.
    pub offered_ns: u64,
    pub trace: Option<Trace>,
}

#[derive(Clone, Copy)]
enum Role {
    Caller,
    Called(Party),
}

pub struct Lane {
    shared: Arc<Shared>,
    number: usize,
    sockets: Vec<UdpSocket>,
    /// The sockets' own.
    addresses: Vec<SocketAddrV4>,
    roles: Vec<Role>,
    poller: Poller,
    receiver: Receiver,
    sender: Sender,
    outbox: Outbox,
    index: Index,
    pacer: Option<Pacer>,
    caller: Option<Caller>,
    callee: Option<Callee>,
    tally: Tally,
    reports: Vec<LegReport>,
    trace: Option<Trace>,
    drain_ns: u64,
    /// The least time between two passes: larger batches cost less per datagram.
    poll_ns: u64,
    /// Set when the last call was started.
    paced: Option<Paced>,
    callers_done: bool,
    /// When the callers of all threads were seen to be done.
    quiet_ns: Option<u64>,
    second_ns: u64,
}

struct Paced {
    at_ns: u64,
    busy: f64,
    starved: f64,
}

impl Lane {
    /// Takes the equipment over. Called on the lane's own thread.
    pub fn new(plan: &Arc<Plan>, shared: Arc<Shared>, equipment: Equipment) -> io::Result<Lane> {
        let Equipment { lane, callers, callee, target, pacer, cpu, trace } = equipment;
        if let Some(cpu) = cpu {
            os::pin_to_cpu(cpu)?;
        }
        os::sleep_precisely();
        let origin = Origin { run: shared.run, lane };
        let now_ns = shared.now_ns();
        let mut addresses: Vec<SocketAddrV4> =
            callers.iter().map(local_address).collect::<io::Result<_>>()?;
        let caller = (!addresses.is_empty()).then(|| Caller::new(plan.clone(), origin, &addresses, now_ns));
        let mut roles = vec![Role::Caller; callers.len()];
        let mut sockets = callers;
        let mut line = |socket: Option<UdpSocket>, party, number: &str| -> io::Result<Option<Line>> {
            let Some(socket) = socket else { return Ok(None) };
            addresses.push(local_address(&socket)?);
            let texts = CalleeTexts::new(number, local_address(&socket)?);
            roles.push(Role::Called(party));
            sockets.push(socket);
            Ok(Some(Line { socket: sockets.len() - 1, texts }))
        };
        let callee = line(callee, Party::Callee, &plan.callee_number)?;
        let target = line(target, Party::Target, &plan.target_number)?;
        let is_called = callee.is_some() || target.is_some();
        Ok(Lane {
            number: usize::from(lane),
            caller,
            callee: is_called.then(|| Callee::new(plan.clone(), origin, callee, target, now_ns)),
            poller: Poller::new(&sockets)?,
            outbox: Outbox::new(sockets.len()),
            sockets,
            addresses,
            roles,
            receiver: Receiver::new(),
            sender: Sender::new(),
            index: Index::new(),
            pacer,
            tally: Tally::new(),
            reports: Vec::with_capacity(4 * BATCH),
            trace: trace.then(Trace::default),
            drain_ns: plan.drain_ns,
            poll_ns: plan.look_every_ns(),
            paced: None,
            callers_done: false,
            quiet_ns: None,
            second_ns: now_ns,
            shared,
        })
    }

    /// Plays until every call is over.
    ///
    /// # Errors
    /// What a socket or epoll says when it cannot go on.
    pub fn run(mut self) -> io::Result<Harvest> {
        let began = ThreadTime::now();
        let began_ns = self.shared.now_ns();
        loop {
            let now_ns = self.shared.now_ns();
            self.start_calls(now_ns);
            self.handle_timeouts(now_ns);
            self.flush(now_ns);
            self.show(now_ns);
            if self.paced.is_none() && self.pacer.as_ref().is_none_or(|pacer| pacer.next_ns().is_none()) {
                let (busy, starved) = began.shares_since(now_ns.saturating_sub(began_ns));
                self.paced = Some(Paced { at_ns: now_ns, busy, starved });
            }
            if self.is_over(now_ns) {
                break;
            }
            let ready = self.poller.wait(self.sleep_ns(now_ns))?;
            for i in 0..ready {
                self.receive(self.poller.ready(i))?;
            }
            self.gather(now_ns);
        }
        Ok(self.harvest(began, began_ns))
    }

    /// Sleeps until `poll_ns` after the pass that began at `pass_ns`, for datagrams and calls to gather. What
    /// the phones have to say leaves before.
    fn gather(&mut self, pass_ns: u64) {
        if self.poll_ns == 0 {
            return;
        }
        let now_ns = self.shared.now_ns();
        self.flush(now_ns);
        let rest_ns = (pass_ns + self.poll_ns).saturating_sub(now_ns);
        if rest_ns > 0 {
            thread::sleep(Duration::from_nanos(rest_ns));
        }
    }

    fn harvest(mut self, began: ThreadTime, began_ns: u64) -> Harvest {
        let end_ns = self.shared.now_ns();
        if let Some(callee) = &mut self.callee {
            callee.abandon(&mut self.tally);
        }
        self.show(end_ns);
        self.tally.datagrams_dropped = proc::datagrams_dropped(&self.addresses);
        // A thread without callers has no pace of its own: its whole life counts.
        let whole = || began.shares_since(end_ns.saturating_sub(began_ns));
        let (busy, starved) = match (&self.paced, &self.pacer) {
            (Some(paced), Some(_)) => (paced.busy, paced.starved),
            _ => whole(),
        };
        let offered_ns = self.paced.filter(|_| self.pacer.is_some()).map_or(0, |paced| paced.at_ns);
        Harvest {
            cpu_ns: began.ran_ns_since(),
            tally: self.tally,
            pacer: self.pacer,
            busy,
            starved,
            offered_ns,
            trace: self.trace,
        }
    }

    fn start_calls(&mut self, now_ns: u64) {
        let (Some(pacer), Some(caller)) = (&mut self.pacer, &mut self.caller) else { return };
        if os::interrupted() {
            pacer.stop();
        }
        let mut ctx =
            Context { now_ns, out: &mut self.outbox, tally: &mut self.tally, reports: &mut self.reports };
        let mut started = 0;
        while started < STARTS_PER_PASS
            && let Some(intended_ns) = pacer.take(now_ns)
        {
            caller.start(&mut ctx, intended_ns);
            started += 1;
        }
        if started > 0 {
            caller.turn();
        }
    }

    fn handle_timeouts(&mut self, now_ns: u64) {
        let mut ctx =
            Context { now_ns, out: &mut self.outbox, tally: &mut self.tally, reports: &mut self.reports };
        if let Some(callee) = &mut self.callee {
            callee.handle_timeout(&mut ctx);
        }
        if let Some(caller) = &mut self.caller {
            if self.shared.unmarked.load(Ordering::Relaxed) {
                caller.expect_no_reports(&mut ctx);
            }
            caller.handle_timeout(&mut ctx);
        }
        self.deliver(now_ns);
    }

    /// Receives one batch from a socket and answers it.
    fn receive(&mut self, socket: usize) -> io::Result<()> {
        let count = self.receiver.receive(&self.sockets[socket])?;
        // One reading of the clock for the batch: a message's latency includes its wait in the socket, which
        // is honest, and is exact to the time that the batch takes to handle, some microseconds per message.
        let now_ns = self.shared.now_ns();
        self.tally.datagrams_received += count as u64;
        self.deliver(now_ns);
        for i in 0..count {
            let Some((buffer, length, source)) = self.receiver.datagram(i) else {
                self.tally.bad_messages += 1;
                continue;
            };
            if let Some(trace) = &mut self.trace {
                trace.received(now_ns, source, self.addresses[socket], &buffer[..length]);
            }
            if sip::scan(buffer, length, &mut self.index).is_err() {
                self.tally.bad_messages += 1;
                continue;
            }
            let message = self.index.message(buffer);
            let mut ctx =
                Context { now_ns, out: &mut self.outbox, tally: &mut self.tally, reports: &mut self.reports };
            match (self.roles[socket], &mut self.caller, &mut self.callee) {
                (Role::Caller, Some(caller), _) => caller.handle_message(&mut ctx, socket, source, &message),
                (Role::Called(party), _, Some(callee)) => {
                    callee.handle_message(&mut ctx, party, source, &message);
                }
                _ => {}
            }
        }
        self.deliver(now_ns);
        if self.outbox.is_full() {
            self.flush(now_ns);
        }
        Ok(())
    }

    /// Brings reports to the callers: our own at once, those of other threads by mailbox.
    fn deliver(&mut self, now_ns: u64) {
        if self.tally.unmarked_legs > 0 {
            self.shared.unmarked.store(true, Ordering::Relaxed);
        }
        let mut undelivered = Vec::new();
        let mut reports = std::mem::take(&mut self.reports);
        for report in reports.drain(..) {
            let Id { origin, .. } = report.call;
            if usize::from(origin.lane) == self.number {
                self.report(now_ns, report);
            } else if let Some(mailbox) = self.shared.mailboxes.get(usize::from(origin.lane)) {
                undelivered.extend(mailbox.push(report).err());
            }
        }
        reports.append(&mut undelivered);
        self.reports = reports;
        while let Some(report) = self.shared.mailboxes[self.number].pop() {
            self.report(now_ns, report);
        }
    }

    fn report(&mut self, now_ns: u64, report: LegReport) {
        let Some(caller) = &mut self.caller else { return };
        let mut ctx =
            Context { now_ns, out: &mut self.outbox, tally: &mut self.tally, reports: &mut self.reports };
        caller.handle_report(&mut ctx, report);
    }

    fn flush(&mut self, now_ns: u64) {
        if self.outbox.is_empty() {
            return;
        }
        let Lane { outbox, sender, sockets, addresses, tally, trace, .. } = self;
        outbox.flush(|socket, arena, datagrams| {
            if let Some(trace) = trace {
                trace.sent(now_ns, addresses[socket], arena, datagrams);
            }
            tally.datagrams_refused += sender.send(&sockets[socket], arena, datagrams) as u64;
            tally.datagrams_sent += datagrams.len() as u64;
        });
    }

    fn live(&self) -> usize {
        self.caller.as_ref().map_or(0, Caller::live)
    }

    /// Publishes the counters.
    fn show(&mut self, now_ns: u64) {
        let gauges = &self.shared.gauges[self.number];
        gauges.started.store(self.tally.started, Ordering::Relaxed);
        gauges.good.store(self.tally.good, Ordering::Relaxed);
        gauges.failed.store(self.tally.failed + self.tally.unmarked_failures, Ordering::Relaxed);
        gauges.live.store(self.live() as u64, Ordering::Relaxed);
        if now_ns.saturating_sub(self.second_ns) >= SECOND_NS {
            self.second_ns = now_ns;
            let p99 = self.tally.recent_ringing.value_at_quantile(0.99);
            gauges.ringing_p99_us.store(p99, Ordering::Relaxed);
            self.tally.recent_ringing.reset();
        }
    }

    /// Whether this thread has nothing left to do.
    fn is_over(&mut self, now_ns: u64) -> bool {
        if self.shared.aborted.load(Ordering::Relaxed) {
            return true;
        }
        if !self.callers_done && self.are_calls_over(now_ns) {
            self.callers_done = true;
            if self.caller.is_some() {
                self.shared.calling.fetch_sub(1, Ordering::Relaxed);
            }
        }
        if self.shared.calling.load(Ordering::Relaxed) > 0 {
            return self.callers_done && self.callee.is_none();
        }
        let unmarked = self.shared.unmarked.load(Ordering::Relaxed);
        let linger_ns = if unmarked { self.drain_ns } else { LINGER_NS };
        let quiet_ns = *self.quiet_ns.get_or_insert(now_ns);
        self.callee.as_ref().is_none_or(|callee| callee.live() == 0 || now_ns >= quiet_ns + linger_ns)
    }

    /// Whether this thread's own calls are over. Those that outlive the drain time are given up.
    fn are_calls_over(&mut self, now_ns: u64) -> bool {
        let Some(caller) = &mut self.caller else { return true };
        let Some(paced) = &self.paced else { return false };
        if caller.live() > 0 && now_ns < paced.at_ns + self.drain_ns {
            return false;
        }
        let mut ctx =
            Context { now_ns, out: &mut self.outbox, tally: &mut self.tally, reports: &mut self.reports };
        caller.abandon(&mut ctx);
        true
    }

    /// How long nothing needs to be done unless a datagram comes.
    fn sleep_ns(&self, now_ns: u64) -> u64 {
        let timers = [
            self.pacer.as_ref().and_then(Pacer::next_ns),
            self.caller.as_ref().and_then(Caller::next_ns),
            self.callee.as_ref().and_then(Callee::next_ns),
        ];
        let next_ns = timers.into_iter().flatten().min().unwrap_or(u64::MAX);
        let longest_ns = match (&self.caller, &self.callee) {
            (Some(_), None) => MAILBOX_NS,
            _ => LONGEST_SLEEP_NS,
        };
        next_ns.saturating_sub(now_ns).min(longest_ns)
    }
}

/// The address that a socket is bound to.
fn local_address(socket: &UdpSocket) -> io::Result<SocketAddrV4> {
    match socket.local_addr()? {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(_) => Err(io::ErrorKind::AddrNotAvailable.into()),
    }
}
