//! A shard's loop: what its sockets, its inbox and its clock bring goes to the core; what the core wants
//! sent goes out.
//!
//! One task per socket, one for the inbox, and the tick. They share the shard through a `RefCell` that is
//! borrowed only between two awaits. The rules that glommio 0.9.0 imposes: readiness by a one-byte peek,
//! datagrams by our own batches, no task or timer is ever cancelled, and a heartbeat that another thread
//! watches (see `watch`).

use super::core::Core;
use super::egress::Egress;
use super::inbox::Inbox;
use super::nap::Nap;
use super::post::Post;
use super::rtp::{Relay, Share};
use super::shared::{Phase, Shared};
use super::udp::{self, ReceiveBatch, Wire};
use crate::clock::{Now, UnixMs};
use crate::mail::{Letter, Mail};
use crate::outbox::ListenerId;
use crate::shard::{Datagram, Owner};
use glommio::net::UdpSocket;
use glommio::{Latency, Shares, Task, TaskQueueHandle};
use socket2::Socket;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, FromRawFd, IntoRawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// How often timers fire and figures are published: the resolution of the core's timing wheel.
const TICK: Duration = Duration::from_millis(8);

/// How long an executor runs a shard's tasks before it looks at its rings. Shorter makes parking with a ready
/// task likelier (see `watch`), longer delays what waits in the rings.
const PREEMPT: Duration = Duration::from_millis(10);

/// The same before a shard's tasks have started: until then nothing can wake an executor that parked with its
/// first task ready, so the thread would have to lose the CPU for this long at one certain place.
pub(super) const START_PREEMPT: Duration = Duration::from_secs(5);

/// A socket with a lasting error is tried again after this.
const ERROR_PAUSE: Duration = Duration::from_millis(50);

/// How long a shard's end waits for its tasks, in steps.
const END_STEP: Duration = Duration::from_millis(1);
const END_STEPS_MAX: usize = 1000;

/// How long a shard naps on its sockets before its executor parks. While datagrams come more often than
/// this, none of them pays for a park.
const NAP: Duration = Duration::from_millis(1);

/// Steps of due timers between two batches; the tick fires the rest.
const TIMER_STEPS_PER_BATCH: usize = 4;

/// What a shard is started with.
pub(super) struct Start<C> {
    pub(super) core: C,
    pub(super) shard: u16,
    /// One per listener, in the listeners' order, bound.
    pub(super) sockets: Vec<Socket>,
    pub(super) batch: usize,
    /// Its share of the media ports; `None`: media is not anchored.
    pub(super) rtp: Option<Share>,
    pub(super) shared: Arc<Shared>,
}

/// What is between the core and its sockets; its steps run to their end and wait for nothing.
struct Engine<C> {
    core: C,
    shard: u16,
    sockets: Vec<Socket>,
    shared: Arc<Shared>,
    receive: ReceiveBatch,
    wire: Wire,
    egress: Egress,
    nap: Nap,
    relay: Option<Relay>,
    /// Its last turn failed, which has been told.
    relay_fails: bool,
    /// The task that makes the relay's turns, when it sleeps because no call has media.
    relay_sleeper: Option<Waker>,
    receives_refused: u64,
    receive_errors: u64,
    letters_refused: u64,
    /// Answers to letters that nobody took; empty between two steps.
    returned: Vec<Mail>,
    /// The calendar's time at `Now::from_ms(0)`, as the core knows it.
    calendar: UnixMs,
    drains: bool,
}

impl<C: Core> Engine<C> {
    fn new(mut start: Start<C>) -> io::Result<Engine<C>> {
        let calendar = start.shared.clock.started_unix();
        start.core.set_calendar(calendar);
        Ok(Engine {
            core: start.core,
            shard: start.shard,
            shared: start.shared,
            receive: ReceiveBatch::new(start.batch)?,
            wire: Wire::new(start.batch),
            egress: Egress::new(start.sockets.len()),
            nap: Nap::new(start.sockets.len()),
            relay: start.rtp.as_ref().map(Relay::new).transpose()?,
            relay_fails: false,
            relay_sleeper: None,
            sockets: start.sockets,
            receives_refused: 0,
            receive_errors: 0,
            letters_refused: 0,
            returned: Vec::new(),
            calendar,
            drains: false,
        })
    }

    /// Takes one batch from a socket through the core and out again. Returns how many datagrams it had.
    fn take_batch(&mut self, listener: ListenerId) -> io::Result<usize> {
        let socket = &self.sockets[usize::from(listener.0)];
        let count = self.receive.receive(socket.as_fd()).inspect_err(|_| self.receive_errors += 1)?;
        if count == 0 {
            return Ok(0);
        }
        let now = self.shared.clock.now();
        for index in 0..count {
            if !self.core.outbox().has_room() {
                self.flush();
            }
            let Some(received) = self.receive.datagram(index) else {
                self.receives_refused += 1;
                continue;
            };
            let (source, length) = (received.source, received.length);
            let datagram = Datagram { source, listener, buffer: received.buffer, length };
            if let Owner::Shard(owner) = self.core.handle_datagram(now, datagram)
                && let Some(inbox) = self.shared.inboxes.get(usize::from(owner))
                && let Some(received) = self.receive.datagram(index)
            {
                inbox.push(source, listener, &received.buffer[..length]);
            }
        }
        self.flush();
        self.fire_due(TIMER_STEPS_PER_BATCH);
        Ok(count)
    }

    /// Sleeps on all sockets and the inbox for at most `NAP`, then takes what came. Returns whether
    /// anything did. While calls have media a turn of the relay comes first if it is due, and the nap ends
    /// when the next one is.
    ///
    /// This blocks the executor's thread, briefly and on purpose: a park and a wake of glommio's cost eleven
    /// system calls, this costs one.
    fn nap(&mut self) -> io::Result<bool> {
        let limit = if self.has_media() { self.relay_if_due().min(NAP) } else { NAP };
        let inbox = &self.shared.inboxes[usize::from(self.shard)];
        if !self.nap.sleep(&self.sockets, inbox, limit)? {
            return Ok(false);
        }
        let mut outcome = Ok(false);
        for index in 0..self.sockets.len() {
            if self.nap.is_readable(index) {
                // One socket's error keeps nothing from the others.
                let taken = self.take_batch(ListenerId(index as u8)).map(|count| count > 0);
                outcome = outcome.and_then(|any| Ok(taken? || any));
                self.media_if_due();
            }
        }
        let handed_in = self.empty_inbox() > 0;
        outcome.map(|any| any || handed_in)
    }

    /// Whether packets may be due at any time.
    fn has_media(&mut self) -> bool {
        self.relay.is_some() && self.core.media().is_some_and(|media| media.is_active())
    }

    /// Makes a turn of the relay if it is due. Returns how long it is until the next one is.
    fn relay_if_due(&mut self) -> Duration {
        let (Some(relay), Some(media)) = (&mut self.relay, self.core.media()) else { return NAP };
        let at = self.shared.clock.moment();
        if !relay.is_due(at) {
            return relay.pause(at);
        }
        let turn = relay.turn(at, media);
        let told = std::mem::replace(&mut self.relay_fails, turn.is_err());
        if let (Err(error), false) = (turn, told) {
            tracing::error!("media does not move: {error}; it is tried again, SIP goes on");
        }
        relay.pause(self.shared.clock.moment())
    }

    /// Between two steps of SIP's work: packets do not wait for all of it.
    fn media_if_due(&mut self) {
        if self.has_media() {
            self.relay_if_due();
        }
    }

    /// Binds the media ports that calls may need soon, and wakes the relay's task when they have media.
    fn supply(&mut self) {
        let (Some(relay), Some(media)) = (&mut self.relay, self.core.media()) else { return };
        relay.bind_wanted(self.shared.clock.now(), media);
        if media.is_active()
            && let Some(sleeper) = self.relay_sleeper.take()
        {
            sleeper.wake();
        }
    }

    fn inbox(&self) -> &Inbox {
        &self.shared.inboxes[usize::from(self.shard)]
    }

    /// Takes up to a batch of datagrams that other shards handed over, and up to a batch of mail. Returns
    /// how many there were.
    fn empty_inbox(&mut self) -> usize {
        let now = self.shared.clock.now();
        let handovers = self.take_handovers(now);
        self.media_if_due();
        let count = handovers + self.take_mail(now);
        self.flush();
        self.media_if_due();
        self.fire_due(TIMER_STEPS_PER_BATCH);
        count
    }

    fn take_mail(&mut self, now: Now) -> usize {
        let mut count = 0;
        while count < self.receive.capacity()
            && let Some(mail) = self.inbox().pop_mail()
        {
            count += 1;
            if !self.core.outbox().has_room() {
                self.flush();
            }
            self.core.handle_mail(now, mail);
        }
        count
    }

    fn take_handovers(&mut self, now: Now) -> usize {
        let mut count = 0;
        while count < self.receive.capacity()
            && let Some(mut handover) = self.inbox().pop()
        {
            count += 1;
            if !self.core.outbox().has_room() {
                self.flush();
            }
            let (source, listener, length) = (handover.source, handover.listener, handover.length());
            let datagram = Datagram { source, listener, buffer: handover.buffer(), length };
            // All shards find the same owner: it is here.
            let owner = self.core.handle_datagram(now, datagram);
            debug_assert_eq!(owner, Owner::Here, "handed over twice");
            self.inbox().recycle(handover);
        }
        count
    }

    /// Fires due timers in at most `steps` steps. Returns whether it took them all: more may be due.
    fn fire_due(&mut self, steps: usize) -> bool {
        for _ in 0..steps {
            let now = self.shared.clock.now();
            if !self.core.poll_timeout().is_some_and(|deadline| deadline.is_due(now)) {
                return false;
            }
            self.core.handle_timeout(now);
            self.flush();
            self.media_if_due();
        }
        true
    }

    /// Sends the datagrams and posts the letters. What nobody takes is answered at once, and that answer's
    /// effects leave too.
    fn flush(&mut self) {
        self.send();
        while self.post_letters() {
            let now = self.shared.clock.now();
            let mut returned = std::mem::take(&mut self.returned);
            for mail in returned.drain(..) {
                if !self.core.outbox().has_room() {
                    self.send();
                }
                self.core.handle_mail(now, mail);
            }
            self.returned = returned;
            self.send();
        }
        self.supply();
    }

    fn send(&mut self) {
        let (wire, sockets) = (&mut self.wire, &self.sockets);
        self.egress.flush(self.core.outbox(), |listener, outbox, picked| {
            wire.send(sockets, listener, outbox, picked)
        });
    }

    /// Returns whether an answer to one of them is there already.
    fn post_letters(&mut self) -> bool {
        let post: &Post = &self.shared.post;
        for letter in self.core.outbox().letters() {
            // Records that are lost are counted there.
            let is_record = matches!(letter, Letter::Ended(_));
            if let Err(answer) = post.post(self.shard, letter) {
                self.letters_refused += u64::from(!is_record);
                self.returned.extend(answer);
            }
        }
        !self.returned.is_empty()
    }

    /// The tick's part besides the timers: full sockets are tried again, a calendar that was set is followed,
    /// figures are published, the phase is obeyed.
    fn keep_house(&mut self) {
        if let Some(calendar) = self.shared.clock.moved(self.calendar) {
            self.calendar = calendar;
            self.core.set_calendar(calendar);
        }
        let (wire, sockets) = (&mut self.wire, &self.sockets);
        self.egress.retry(|listener, outbox, picked| wire.send(sockets, listener, outbox, picked));
        self.supply();
        if !self.has_media() {
            // What comes to free ports.
            self.relay_if_due();
        }
        if let Some(relay) = &mut self.relay {
            relay.ask_for_drops();
        }
        let drains_now = self.shared.phase() >= Phase::Draining && !self.drains;
        if drains_now {
            self.core.drain();
            self.flush();
        }
        self.publish();
        if drains_now {
            self.drains = true;
            self.shared.shard_drains();
        }
        if self.drains && self.shared.is_drained() {
            self.shared.stop();
        }
    }

    /// The end: what the core has left to say to the services.
    fn close(&mut self) {
        self.core.close(self.shared.clock.now());
        self.shared.post.post_last(self.shard, self.core.outbox().letters());
    }

    fn publish(&mut self) {
        let mut metrics = *self.core.metrics();
        if let (Some(relay), Some(media)) = (&self.relay, self.core.media()) {
            relay.count_into(&mut metrics, media);
        }
        metrics.receive_buffer_overflows +=
            self.sockets.iter().map(|socket| udp::kernel_drops(socket.as_fd())).sum::<u64>();
        metrics.receives_refused += self.receives_refused;
        metrics.receive_errors += self.receive_errors;
        metrics.sends_refused += self.wire.refused;
        metrics.sends_dropped += self.egress.dropped;
        metrics.stalls += self.shared.heart(self.shard).stalls();
        metrics.letters_refused += self.letters_refused;
        metrics.inbox_overflows += self.shared.inboxes[usize::from(self.shard)].dropped();
        let unfinished = self.core.unfinished() + self.egress.waiting();
        self.shared.publish(self.shard, (self.core.calls(), unfinished), &metrics);
    }
}

/// Runs a shard until the server stops. Call it inside its executor; `ready` is called when everything is
/// in place.
///
/// # Errors
/// No memory, no file descriptors, or the core panicked: then the server stops.
pub(super) async fn run<C: Core>(start: Start<C>, ready: impl FnOnce()) -> io::Result<()> {
    let shared = start.shared.clone();
    let shard = start.shard;
    let engine = Rc::new(RefCell::new(Engine::new(start)?));
    let heart = shared.heart(shard);
    poll_fn(|context| {
        heart.start(context.waker());
        Poll::Ready(())
    })
    .await;
    let tasks = Tasks::start(Latency::Matters(PREEMPT), shared.clone());
    for (index, socket) in doubles(&engine)?.into_iter().enumerate() {
        tasks.spawn(socket_task(engine.clone(), shared.clone(), socket, ListenerId(index as u8)))?.detach();
    }
    tasks.spawn(inbox_task(engine.clone(), shared.clone(), shard))?.detach();
    if engine.borrow().relay.is_some() {
        engine.borrow_mut().supply();
        tasks.spawn(relay_task(engine.clone(), shared.clone()))?.detach();
    }
    let ticks = tasks.spawn(tick_task(engine.clone(), shared.clone(), shard))?;
    ready();
    ticks.await;
    end(&engine, &shared.inboxes[usize::from(shard)], &tasks).await;
    heart.stop();
    let failure = tasks.failure.take();
    if failure.is_none() {
        engine.borrow_mut().close();
    } else {
        shared.post.records.count_lost(engine.borrow().core.unrecorded());
    }
    engine.borrow_mut().publish();
    failure.map_or(Ok(()), |failure| Err(io::Error::other(failure)))
}

/// The tasks of one shard: one queue, in which they take turns.
struct Tasks {
    queue: TaskQueueHandle,
    shared: Arc<Shared>,
    /// How many have not returned.
    left: Rc<Cell<usize>>,
    /// What the first one that panicked said.
    failure: Rc<Cell<Option<String>>>,
}

impl Tasks {
    fn start(latency: Latency, shared: Arc<Shared>) -> Tasks {
        let queue = glommio::executor().create_task_queue(Shares::default(), latency, "shard");
        Tasks { queue, shared, left: Rc::default(), failure: Rc::default() }
    }

    /// Starts `task` and counts it until it returns. If it panics it has returned and the server stops:
    /// glommio would leave everything that the other tasks hold open for ever, or abort the process.
    fn spawn(&self, task: impl Future<Output = ()> + 'static) -> io::Result<Task<()>> {
        let (shared, left, failure) = (self.shared.clone(), self.left.clone(), self.failure.clone());
        left.set(left.get() + 1);
        let watched = async move {
            let mut task = pin!(task);
            let outcome = poll_fn(|context| {
                // After a panic nothing of the core is used again.
                match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(context))) {
                    Ok(Poll::Pending) => Poll::Pending,
                    Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
                    Err(panic) => Poll::Ready(Err(message(&*panic))),
                }
            });
            if let Err(panic) = outcome.await {
                shared.stop();
                let first = failure.take().unwrap_or(panic);
                failure.set(Some(first));
            }
            left.set(left.get() - 1);
        };
        glommio::spawn_local_into(watched, self.queue).map_err(|error| io::Error::other(error.to_string()))
    }
}

/// What a panic said.
pub(super) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}

async fn tick_task<C: Core>(engine: Rc<RefCell<Engine<C>>>, shared: Arc<Shared>, shard: u16) {
    let heart = shared.heart(shard);
    loop {
        glommio::timer::sleep(TICK).await;
        heart.beat();
        if shared.is_stopping() {
            return;
        }
        while engine.borrow_mut().fire_due(1) {
            glommio::yield_if_needed().await;
        }
        engine.borrow_mut().keep_house();
    }
}

/// The sockets once more, for glommio: it watches them, the engine uses them.
fn doubles<C>(engine: &RefCell<Engine<C>>) -> io::Result<Vec<UdpSocket>> {
    let double = |socket: &Socket| {
        let descriptor = socket.try_clone()?.into_raw_fd();
        // SAFETY: the descriptor is open, a UDP socket's, and owned by nothing else.
        Ok(unsafe { UdpSocket::from_raw_fd(descriptor) })
    };
    engine.borrow().sockets.iter().map(double).collect()
}

async fn socket_task<C: Core>(
    engine: Rc<RefCell<Engine<C>>>,
    shared: Arc<Shared>,
    socket: UdpSocket,
    listener: ListenerId,
) {
    // An empty buffer would panic in glommio.
    let mut probe = [0u8; 1];
    while !shared.is_stopping() {
        let peeked = socket.peek_from(&mut probe).await;
        if shared.is_stopping() {
            break;
        }
        // A failed peek has mostly taken an error that was pending; the batch tells whether it lasts.
        let taken = engine.borrow_mut().take_batch(listener);
        if taken.is_err() || (peeked.is_err() && matches!(taken, Ok(0))) {
            glommio::timer::sleep(ERROR_PAUSE).await;
        }
        let mut awake = matches!(taken, Ok(1..));
        while awake && !shared.is_stopping() {
            // Without these a loaded socket would keep out the executor's rings (the first) and the other
            // tasks (the second).
            glommio::yield_if_needed().await;
            yield_now().await;
            let napped = engine.borrow_mut().nap();
            if napped.is_err() {
                glommio::timer::sleep(ERROR_PAUSE).await;
            }
            awake = matches!(napped, Ok(true));
        }
    }
}

async fn inbox_task<C: Core>(engine: Rc<RefCell<Engine<C>>>, shared: Arc<Shared>, shard: u16) {
    let inbox = &shared.inboxes[usize::from(shard)];
    while !shared.is_stopping() {
        inbox.ready(|| shared.is_stopping()).await;
        while !shared.is_stopping() && engine.borrow_mut().empty_inbox() > 0 {
            glommio::yield_if_needed().await;
        }
    }
    inbox.close();
}

/// Keeps the shard awake while calls have media: its naps make the relay's turns.
async fn relay_task<C: Core>(engine: Rc<RefCell<Engine<C>>>, shared: Arc<Shared>) {
    while !shared.is_stopping() {
        poll_fn(|context| {
            let mut engine = engine.borrow_mut();
            if shared.is_stopping() || engine.has_media() {
                return Poll::Ready(());
            }
            engine.relay_sleeper = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
        while !shared.is_stopping() && engine.borrow_mut().has_media() {
            let napped = engine.borrow_mut().nap();
            if napped.is_err() {
                glommio::timer::sleep(ERROR_PAUSE).await;
            }
            // The executor does not park meanwhile, and its timers, the tick's too, may be seconds late.
            engine.borrow_mut().fire_due(TIMER_STEPS_PER_BATCH);
            glommio::yield_if_needed().await;
            yield_now().await;
        }
    }
}

/// Lets the other ready tasks of the same queue run first.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Wakes the tasks until all have returned: glommio would leave a sleeping one's socket open for ever.
async fn end<C: Core>(engine: &RefCell<Engine<C>>, inbox: &Inbox, tasks: &Tasks) {
    for _ in 0..END_STEPS_MAX {
        if tasks.left.get() == 0 {
            return;
        }
        inbox.wake();
        // Bound first: a task that is woken may borrow the engine.
        let sleeper = engine.borrow_mut().relay_sleeper.take();
        sleeper.into_iter().for_each(Waker::wake);
        for socket in &engine.borrow().sockets {
            // What fails now is tried again in the next step.
            drop(udp::wake(socket));
        }
        glommio::timer::sleep(END_STEP).await;
    }
}
