//! A server's life: checks, one executor per CPU, draining, the end.

use super::core::Core;
use super::post::Post;
use super::rtp::{self, Share};
use super::run::{self, Start};
use super::shared::{Phase, Shared};
use super::{NetSettings, RtpSettings, ServerError, checks, watch};
use crate::clock::UnixSeconds;
use crate::directory::Directory;
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::shard::{Place, Shard};
use glommio::{
    BuilderErrorKind, ExecutorJoinHandle, GlommioError, LocalExecutorBuilder, Placement, PoolPlacement,
};
use socket2::Socket;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

/// A server that runs: one executor per shard. Dropped, it stops without waiting.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    executors: Vec<Executor>,
    watch: Option<JoinHandle<()>>,
    addresses: Vec<SocketAddr>,
}

/// What others may know of a server, for as long as they like; cheap to clone.
#[derive(Clone, Debug)]
pub struct Vitals(Arc<Shared>);

impl Vitals {
    /// As [`Server::metrics`].
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.0.metrics()
    }

    /// As [`Server::calls`].
    #[must_use]
    pub fn calls(&self) -> usize {
        self.0.calls()
    }

    /// Whether it was asked to end, or has.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.phase() != Phase::Running
    }
}

/// How long the shards may take to start; they take milliseconds.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// One shard's thread.
type Executor = ExecutorJoinHandle<io::Result<()>>;

impl Server {
    /// Starts one executor per CPU and binds every listener on each; returns when all of them receive. The
    /// shards' letters go to `post`, and its mail to them.
    ///
    /// # Errors
    /// A port in use, an address that is not ours, a missing io_uring, a low memlock limit: one line each.
    pub fn start(
        settings: Arc<Settings>,
        directory: Arc<Directory>,
        net: NetSettings,
        post: Arc<Post>,
    ) -> Result<Server, ServerError> {
        let addresses = settings.listeners.iter().map(|listener| listener.address).collect();
        Server::start_with(addresses, &net, post, move |place, started| {
            Shard::new(settings.clone(), directory.clone(), place, started)
        })
    }

    /// [`Server::start`] with any core; `make` makes each shard's, in its own thread.
    pub(super) fn start_with<C: Core>(
        addresses: Vec<SocketAddr>,
        net: &NetSettings,
        post: Arc<Post>,
        make: impl Fn(Place, UnixSeconds) -> C + Clone + Send + 'static,
    ) -> Result<Server, ServerError> {
        checks::check(&addresses, net)?;
        let pairs_max = net.rtp.as_ref().map(|rtp| rtp::check(rtp, net.cpus.len())).transpose()?;
        let sockets: Vec<Vec<Socket>> =
            net.cpus.iter().map(|_| checks::bind(&addresses, net)).collect::<Result<_, _>>()?;
        if let Some(socket) = sockets.first().and_then(|shard| shard.first()) {
            checks::warn_of_small_buffers(socket, net);
        }
        let shared =
            Shared::new(net.cpus.len(), net.inbox_datagrams, net.drain_timeout, post).map_err(|error| {
                ServerError(format!("no event descriptor: {error}; raise the limit (ulimit -n)"))
            })?;
        let shared = Arc::new(shared);
        let (events, started) = mpsc::channel();
        let mut server = Server { shared, executors: Vec::new(), watch: None, addresses };
        for (shard, (&cpu, sockets)) in net.cpus.iter().zip(sockets).enumerate() {
            let place = place(net.secret, shard as u16, net.cpus.len() as u16);
            let share = |rtp: &RtpSettings| Share {
                settings: rtp.clone(),
                shard: place.shard,
                shards: place.shards,
                secret: place.secret,
                pairs_max: pairs_max.unwrap_or(0),
            };
            let wires = Wires { sockets, batch: net.batch, rtp: net.rtp.as_ref().map(share) };
            let life = Life { shared: server.shared.clone(), events: events.clone() };
            server.executors.push(spawn(cpu, place, wires, make.clone(), life)?);
        }
        drop(events);
        server.watch = Some(start_watch(server.shared.clone())?);
        for _ in 0..net.cpus.len() {
            let event = started.recv_timeout(START_TIMEOUT);
            if event == Err(RecvTimeoutError::Timeout) {
                return Err(ServerError(
                    "a shard did not start in 20 s: CPU or memory is short; free some and start again"
                        .to_owned(),
                ));
            }
            if event != Ok(Event::Ready) {
                // What ended it shows only at its join.
                server.stop();
                server.join()?;
                return Err(ServerError("a shard ended while it was started".to_owned()));
            }
        }
        Ok(server)
    }

    /// The addresses that the server listens on, in the listeners' order.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The counters of all shards, at most one tick (8 ms) old; exact once the server is finished.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.shared.metrics()
    }

    /// Calls that live on all shards, at most one tick (8 ms) old.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.shared.calls()
    }

    /// The same for others to look at.
    #[must_use]
    pub fn vitals(&self) -> Vitals {
        Vitals(Arc::clone(&self.shared))
    }

    /// Refuses new calls with 503 from now on. The server ends when its calls are gone or after the drain
    /// timeout, which runs from the first of several drains.
    pub fn drain(&self) {
        self.shared.drain();
    }

    /// Ends the server at once; its calls are lost.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// Whether every shard has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.shared.all_ended()
    }

    /// Waits for every shard to end. It ends by [`Server::drain`] or [`Server::stop`], or because a shard
    /// failed, which stops the others: a server with a part of its calls missing is replaced, not kept.
    ///
    /// # Errors
    /// What ended the first shard that was not asked to.
    pub fn join(mut self) -> Result<(), ServerError> {
        let mut result = Ok(());
        for (shard, executor) in self.executors.drain(..).enumerate() {
            let cause = match executor.join() {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.to_string(),
                Err(GlommioError::BuilderError(BuilderErrorKind::ThreadPanic(panic))) => {
                    run::message(&*panic)
                }
                Err(error) => error.to_string(),
            };
            result = result.and(Err(ServerError(format!("shard {shard} ended: {cause}"))));
        }
        if let Some(watch) = self.watch.take() {
            watch.thread().unpark();
            // It cannot panic, and the shards' result is worth more.
            let _ = watch.join();
        }
        result
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

/// A shard's sockets, and what it makes more of.
struct Wires {
    /// One per listener.
    sockets: Vec<Socket>,
    batch: usize,
    rtp: Option<Share>,
}

/// What a shard tells the thread that starts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Ready,
    Ended,
}

/// Held by a shard as long as it lives, however it ends.
struct Life {
    shared: Arc<Shared>,
    events: Sender<Event>,
}

impl Drop for Life {
    fn drop(&mut self) {
        self.shared.stop();
        self.shared.shard_ended();
        // Nobody listens once all have started.
        let _ = self.events.send(Event::Ended);
    }
}

fn start_watch(shared: Arc<Shared>) -> Result<JoinHandle<()>, ServerError> {
    std::thread::Builder::new()
        .name("watch".to_owned())
        .spawn(move || watch::watch(&shared))
        .map_err(|error| ServerError(format!("no thread can be started ({error}); raise `ulimit -u`")))
}

fn spawn<C: Core>(
    cpu: usize,
    place: Place,
    wires: Wires,
    make: impl FnOnce(Place, UnixSeconds) -> C + Send + 'static,
    life: Life,
) -> Result<Executor, ServerError> {
    LocalExecutorBuilder::new(Placement::Fixed(cpu))
        .name("shard")
        .io_memory(0)
        .preempt_timer(run::START_PREEMPT)
        .blocking_thread_pool_placement(PoolPlacement::Unbound(1))
        .spawn(move || async move {
            let shared = life.shared.clone();
            let core = make(place, shared.clock.started_unix().seconds());
            let Wires { sockets, batch, rtp } = wires;
            let start = Start { core, shard: place.shard, sockets, batch, rtp, shared };
            let ready = || {
                // Nobody listens when another shard has failed already.
                let _ = life.events.send(Event::Ready);
            };
            run::run(start, ready).await
        })
        .map_err(|error| ServerError(format!("shard {} cannot be started: {error}", place.shard)))
}

/// A shard's place, with secrets that tell nothing of each other to whoever sees what they key.
fn place(secret: u64, shard: u16, shards: u16) -> Place {
    let nth = |n: u64| splitmix64(secret.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    Place { shard, shards, owner_seed: nth(0), secret: nth(1 + u64::from(shard)) }
}

/// Sebastiano Vigna's SplitMix64 finaliser: every bit of the result depends on every bit of `x`.
const fn splitmix64(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_share_the_owner_seed_and_nothing_else() {
        let places: Vec<Place> = (0..4).map(|shard| place(7, shard, 4)).collect();
        assert!(places.iter().all(|place| place.owner_seed == places[0].owner_seed));
        for (index, one) in places.iter().enumerate() {
            assert_ne!(one.secret, one.owner_seed);
            assert!(places[..index].iter().all(|other| other.secret != one.secret));
        }
        assert_ne!(place(8, 0, 4), places[0]);
    }
}
