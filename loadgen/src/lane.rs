//! One generator thread: its sockets, the phones behind them, and the loop that moves datagrams between the
//! two. The phones know no socket and no clock; this loop is where both are.

use crate::call::{Context, Id, LegReport, Origin};
use crate::callee::{Callee, Line};
use crate::caller::Caller;
use crate::message::CalleeTexts;
use crate::originator::Originator;
use crate::os::{self, BATCH, Poller, Receiver, Sender};
use crate::outbox::Outbox;
use crate::pacer::Pacer;
use crate::plan::{Flow, Party, Plan};
use crate::proc::{self, ThreadTime};
use crate::register::Registrants;
use crate::sound::{Pools, Sound};
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

/// Time for all threads to be ready before the first call is due.
const RUN_UP_NS: u64 = 20_000_000;
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
    /// Threads with callers that are not ready for the first call.
    pub preparing: AtomicUsize,
    /// When the first call is due; 0: not all are ready.
    pub start_ns: AtomicU64,
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
    /// The last whole second's p99 of what the server is judged by, in microseconds.
    pub recent_p99_us: AtomicU64,
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
    pub sound: Pools,
}

/// What a thread brings home.
pub struct Harvest {
    pub tally: Tally,
    /// What was done before the first call, and how long that took.
    pub prepared: Tally,
    pub preparing_ns: u64,
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
    /// Its sockets come behind the others in the poller.
    sound: Sound,
    poller: Poller,
    receiver: Receiver,
    sender: Sender,
    outbox: Outbox,
    index: Index,
    pacer: Option<Pacer>,
    originator: Option<Originator>,
    callee: Option<Callee>,
    tally: Tally,
    stage: Stage,
    /// The account of what came before the first call, and how long it took.
    prepared: Tally,
    preparing_ns: u64,
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

/// Where a thread with callers is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// In what comes before the first call.
    Preparing,
    /// Done with that; others are not.
    Ready,
    Playing,
}

struct Paced {
    at_ns: u64,
    busy: f64,
    starved: f64,
}

impl Lane {
    /// Takes the equipment over. Called on the lane's own thread.
    pub fn new(plan: &Arc<Plan>, shared: Arc<Shared>, equipment: Equipment) -> io::Result<Lane> {
        let Equipment { lane, callers, callee, target, pacer, cpu, trace, sound } = equipment;
        if let Some(cpu) = cpu {
            os::pin_to_cpu(cpu)?;
        }
        os::sleep_precisely();
        let origin = Origin { run: shared.run, lane };
        let now_ns = shared.now_ns();
        let mut addresses: Vec<SocketAddrV4> =
            callers.iter().map(local_address).collect::<io::Result<_>>()?;
        let originator = (!addresses.is_empty()).then(|| match plan.flow {
            Flow::Register => Originator::Registrants(Registrants::new(
                plan.clone(),
                origin,
                &addresses,
                plan.threads,
                now_ns,
            )),
            _ => Originator::Caller(Caller::new(plan.clone(), origin, &addresses, now_ns)),
        });
        let mut roles = vec![Role::Caller; callers.len()];
        let mut sockets = callers;
        let mut line = |socket: Option<UdpSocket>, party| -> io::Result<Option<Line>> {
            let Some(socket) = socket else { return Ok(None) };
            addresses.push(local_address(&socket)?);
            let texts = CalleeTexts::new(plan, local_address(&socket)?);
            roles.push(Role::Called(party));
            sockets.push(socket);
            Ok(Some(Line { socket: sockets.len() - 1, texts }))
        };
        let callee = line(callee, Party::Callee)?;
        let target = line(target, Party::Target)?;
        let sound = Sound::new(plan, origin, sound)?;
        let polled: Vec<&UdpSocket> = sockets.iter().chain(sound.sockets()).collect();
        let is_called = callee.is_some() || target.is_some();
        Ok(Lane {
            number: usize::from(lane),
            stage: if originator.is_some() { Stage::Preparing } else { Stage::Playing },
            originator,
            callee: is_called.then(|| Callee::new(plan.clone(), origin, callee, target, now_ns)),
            poller: Poller::new(&polled)?,
            sound,
            outbox: Outbox::new(sockets.len()),
            sockets,
            addresses,
            roles,
            receiver: Receiver::new(),
            sender: Sender::new(),
            index: Index::new(),
            pacer,
            tally: Tally::new(),
            prepared: Tally::new(),
            preparing_ns: 0,
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
        let mut began = ThreadTime::now();
        let mut began_ns = self.shared.now_ns();
        loop {
            let now_ns = self.shared.now_ns();
            if self.stage == Stage::Playing {
                self.start_calls(now_ns);
            } else if self.prepare(now_ns, began_ns) {
                (began, began_ns) = (ThreadTime::now(), now_ns);
            }
            self.sound.handle_timeout(now_ns, || self.shared.now_ns());
            self.handle_timeouts(now_ns);
            self.flush(now_ns);
            self.show(now_ns);
            let is_paced = self.pacer.as_ref().is_none_or(|pacer| pacer.next_ns().is_none());
            if self.paced.is_none() && self.stage == Stage::Playing && is_paced {
                let (busy, starved) = began.shares_since(now_ns.saturating_sub(began_ns));
                self.paced = Some(Paced { at_ns: now_ns, busy, starved });
            }
            // What comes when the calls are over is part of the account.
            if self.is_over(now_ns) && now_ns >= self.sound.media.quiet_ns() {
                break;
            }
            let ready = self.poller.wait(self.sleep_ns(now_ns))?;
            for i in 0..ready {
                match self.poller.ready(i).checked_sub(self.sockets.len()) {
                    Some(place) => self.sound.receive(place, || self.shared.now_ns())?,
                    None => self.receive(self.poller.ready(i))?,
                }
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
        self.tally.rtp = self.sound.into_account();
        // A thread without callers has no pace of its own: its whole life counts. So it does where calls have
        // sound, which goes on when the last one was started.
        let whole = || began.shares_since(end_ns.saturating_sub(began_ns));
        let (busy, starved) = match (&self.paced, &self.pacer) {
            (Some(paced), Some(_)) if self.tally.rtp.is_none() => (paced.busy, paced.starved),
            _ => whole(),
        };
        let offered_ns = self.paced.filter(|_| self.pacer.is_some()).map_or(0, |paced| paced.at_ns);
        Harvest {
            cpu_ns: began.ran_ns_since(),
            tally: self.tally,
            prepared: self.prepared,
            preparing_ns: self.preparing_ns,
            pacer: self.pacer,
            busy,
            starved,
            offered_ns,
            trace: self.trace,
        }
    }

    /// Does what comes before the first call. Whether that call's time is set and its account begins.
    fn prepare(&mut self, now_ns: u64, began_ns: u64) -> bool {
        let (Some(pacer), Some(originator)) = (&mut self.pacer, &mut self.originator) else { return false };
        if os::interrupted() {
            pacer.stop();
            originator.end_preparation();
        }
        if self.stage == Stage::Preparing {
            let (out, tally, reports) = (&mut self.outbox, &mut self.tally, &mut self.reports);
            let media = &mut self.sound.media;
            if !originator.prepare(&mut Context { now_ns, out, tally, reports, media }) {
                return false;
            }
            self.stage = Stage::Ready;
            self.preparing_ns = now_ns - began_ns;
            if self.shared.preparing.fetch_sub(1, Ordering::Relaxed) == 1 {
                self.shared.start_ns.store(now_ns + RUN_UP_NS, Ordering::Relaxed);
            }
        }
        let start_ns = self.shared.start_ns.load(Ordering::Relaxed);
        if start_ns == 0 {
            return false;
        }
        self.stage = Stage::Playing;
        pacer.postpone(start_ns);
        self.prepared = std::mem::replace(&mut self.tally, Tally::new());
        if self.prepared.started > 0 && self.prepared.good == 0 {
            // Nothing works: what follows would only say so again.
            pacer.stop();
        }
        true
    }

    fn start_calls(&mut self, now_ns: u64) {
        let (Some(pacer), Some(originator)) = (&mut self.pacer, &mut self.originator) else { return };
        if os::interrupted() {
            pacer.stop();
        }
        let mut ctx = Context {
            now_ns,
            out: &mut self.outbox,
            tally: &mut self.tally,
            reports: &mut self.reports,
            media: &mut self.sound.media,
        };
        let mut started = 0;
        while started < STARTS_PER_PASS
            && let Some(intended_ns) = pacer.take(now_ns)
        {
            originator.start(&mut ctx, intended_ns);
            started += 1;
        }
        if started > 0 {
            originator.turn();
        }
    }

    fn handle_timeouts(&mut self, now_ns: u64) {
        let mut ctx = Context {
            now_ns,
            out: &mut self.outbox,
            tally: &mut self.tally,
            reports: &mut self.reports,
            media: &mut self.sound.media,
        };
        if let Some(callee) = &mut self.callee {
            callee.handle_timeout(&mut ctx);
        }
        if let Some(originator) = &mut self.originator {
            if self.shared.unmarked.load(Ordering::Relaxed) {
                originator.expect_no_reports(&mut ctx);
            }
            originator.handle_timeout(&mut ctx);
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
            let mut ctx = Context {
                now_ns,
                out: &mut self.outbox,
                tally: &mut self.tally,
                reports: &mut self.reports,
                media: &mut self.sound.media,
            };
            match (self.roles[socket], &mut self.originator, &mut self.callee) {
                (Role::Caller, Some(originator), _) => {
                    originator.handle_message(&mut ctx, socket, source, &message);
                }
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
        let Some(originator) = &mut self.originator else { return };
        let mut ctx = Context {
            now_ns,
            out: &mut self.outbox,
            tally: &mut self.tally,
            reports: &mut self.reports,
            media: &mut self.sound.media,
        };
        originator.handle_report(&mut ctx, report);
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
        self.originator.as_ref().map_or(0, Originator::live)
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
            let p99 = self.tally.recent.value_at_quantile(0.99);
            gauges.recent_p99_us.store(p99, Ordering::Relaxed);
            self.tally.recent.reset();
        }
    }

    /// Whether this thread has nothing left to do.
    fn is_over(&mut self, now_ns: u64) -> bool {
        if self.shared.aborted.load(Ordering::Relaxed) {
            return true;
        }
        if !self.callers_done && self.are_calls_over(now_ns) {
            self.callers_done = true;
            if self.originator.is_some() {
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
        let Some(originator) = &mut self.originator else { return true };
        let Some(paced) = &self.paced else { return false };
        if originator.live() > 0 && now_ns < paced.at_ns + self.drain_ns {
            return false;
        }
        let mut ctx = Context {
            now_ns,
            out: &mut self.outbox,
            tally: &mut self.tally,
            reports: &mut self.reports,
            media: &mut self.sound.media,
        };
        originator.abandon(&mut ctx);
        true
    }

    /// How long nothing needs to be done unless a datagram comes.
    fn sleep_ns(&self, now_ns: u64) -> u64 {
        let timers = [
            self.pacer.as_ref().filter(|_| self.stage == Stage::Playing).and_then(Pacer::next_ns),
            self.originator.as_ref().and_then(Originator::next_ns),
            self.callee.as_ref().and_then(Callee::next_ns),
            self.sound.media.next_ns(),
        ];
        let next_ns = timers.into_iter().flatten().min().unwrap_or(u64::MAX);
        let longest_ns = match (&self.originator, &self.callee) {
            (Some(_), None) => MAILBOX_NS,
            (Some(_), _) if self.stage == Stage::Ready => MAILBOX_NS,
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
