//! The thread "rtpengine": sockets, clock and letters around [`Client`].

use super::client::Client;
use super::{EngineError, Node};
use crate::net::post::{EngineTally, Post};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Acquire;
use std::task::{Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

/// Letters that are taken before the sockets are looked at again.
const LETTERS_MAX: usize = 256;

/// Datagrams that are taken from one socket before the others have their turn.
const DATAGRAMS_MAX: usize = 256;

/// How long the thread sleeps with nothing to wait for.
const SLEEP_MAX_MS: u64 = 1_000;

/// Larger than any datagram.
const BUFFER_BYTES: usize = 65_536;

/// Readable when something was put into the tray while the thread slept.
struct Bell(OwnedFd);

impl Bell {
    fn new() -> io::Result<Bell> {
        // SAFETY: the call has no memory to do with.
        let descriptor = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is open and owned by nothing else.
        Ok(Bell(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    fn silence(&self) {
        let mut count = [0u8; 8];
        // SAFETY: the kernel writes eight bytes. A silent bell is EAGAIN, which is as good.
        unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: the kernel reads eight bytes. A full counter is a rung bell, so the result does not matter.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }
}

pub(super) struct Worker {
    client: Client,
    /// One for each node, connected: only that node is heard, and a refusal of its host is.
    sockets: Vec<UdpSocket>,
    bell: Arc<Bell>,
    started: Instant,
    wait: Duration,
}

/// Held while the thread works: however it ends, nobody puts anything in any more, and shards are told so at
/// once.
struct Reader<'p>(&'p Post);

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.0.engines.tray.shut();
        if thread::panicking() {
            tracing::error!("no media is anchored any more: the thread failed; start the server again");
        }
    }
}

impl Worker {
    pub fn open(nodes: &[Node], wait_ms: u32) -> Result<Worker, EngineError> {
        let bell = Bell::new().map_err(|error| EngineError(format!("no descriptor left ({error})")))?;
        let sockets = nodes.iter().map(|node| {
            open(node.address).map_err(|error| {
                EngineError(format!("rtpengine {}: no way there ({error}); check the address", node.address))
            })
        });
        Ok(Worker {
            client: Client::new(nodes, wait_ms, 0),
            sockets: sockets.collect::<Result<_, _>>()?,
            bell: Arc::new(bell),
            started: Instant::now(),
            wait: Duration::from_millis(wait_ms.into()),
        })
    }

    /// Works until `stop`, and then until the nodes know what is over.
    pub fn run(mut self, post: &Post, stop: &AtomicBool) {
        let _reader = Reader(post);
        let waker = Waker::from(Arc::clone(&self.bell));
        let tray = &post.engines.tray;
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut stop_at: Option<Instant> = None;
        loop {
            let is_last = stop.load(Acquire);
            if is_last && stop_at.is_none() {
                tray.shut();
                stop_at = Some(Instant::now() + self.wait);
            }
            let mut letters = 0;
            while letters < LETTERS_MAX
                && let Some(envelope) = tray.take()
            {
                letters += 1;
                self.client.handle_letter(self.now_ms(), envelope.shard, envelope.letter);
            }
            self.receive(&mut buffer);
            self.client.handle_timeout(self.now_ms());
            self.flush(post);
            let is_late = stop_at.is_some_and(|at| Instant::now() >= at);
            if is_last && (is_late || self.client.is_idle() && tray.is_empty()) {
                return;
            }
            if letters < LETTERS_MAX && tray.wait(&waker) {
                self.sleep();
            }
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Takes what the nodes have said.
    fn receive(&mut self, buffer: &mut [u8]) {
        for node in 0..self.sockets.len() {
            for _ in 0..DATAGRAMS_MAX {
                let received = self.sockets[node].recv(buffer);
                let now_ms = self.now_ms();
                match received {
                    Ok(length) => self.client.handle_datagram(now_ms, node, &buffer[..length]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => self.failed(now_ms, node, &error),
                }
            }
        }
    }

    /// Sends what is to leave, and brings the shards their mail. What does not leave is sent again later.
    fn flush(&mut self, post: &Post) {
        // What a refusal brings about leaves too; each makes a node down, of which there are few.
        while !self.client.output.datagrams.is_empty() {
            for (node, datagram) in std::mem::take(&mut self.client.output.datagrams) {
                if let Err(error) = self.sockets[node].send(&datagram) {
                    self.failed(self.now_ms(), node, &error);
                }
            }
        }
        for (shard, mail) in self.client.output.mail.drain(..) {
            post.deliver(shard, mail);
        }
        let (nodes, nodes_up) = (self.sockets.len() as u64, self.client.nodes_up() as u64);
        post.engines.publish(EngineTally { nodes, nodes_up, ..self.client.tally });
    }

    fn failed(&mut self, now_ms: u64, node: usize, error: &io::Error) {
        if error.kind() == ErrorKind::ConnectionRefused {
            self.client.handle_refusal(now_ms, node);
        }
    }

    /// Until a node says something, a letter comes, or something is due.
    fn sleep(&self) {
        let due_ms = self.client.poll_timeout().unwrap_or(u64::MAX);
        let wait_ms = due_ms.saturating_sub(self.now_ms()).min(SLEEP_MAX_MS);
        let watched = self.sockets.iter().map(AsRawFd::as_raw_fd).chain([self.bell.0.as_raw_fd()]);
        let mut watched: Vec<libc::pollfd> =
            watched.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 }).collect();
        // Both fit: there are as many as nodes, and it is a second at most.
        let (count, timeout) = (watched.len() as libc::nfds_t, wait_ms as libc::c_int);
        // SAFETY: the array has as many entries as is said. Whatever the result, the sockets are looked at.
        unsafe { libc::poll(watched.as_mut_ptr(), count, timeout) };
        self.bell.silence();
    }
}

fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
