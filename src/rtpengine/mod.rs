//! Sipwise's rtpengine as the anchor of media: a thread that asks one of several for what the shards want.
//!
//! A shard posts a party's description ([`crate::mail::Letter::Engine`]) and goes on; the thread asks a node
//! by the ng protocol (`ng`, `bencode`) over UDP, again and again until it answers (`client`), and mails back
//! the description for the other side. It tries no longer than `wait_ms`, and no shard waits any longer.

pub mod bencode;
pub mod client;
pub mod ng;
#[cfg(test)]
mod tests;
mod worker;

use crate::net::post::Post;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Release;
use std::thread::{Builder, JoinHandle};

/// An rtpengine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where it speaks the ng protocol over UDP.
    pub address: SocketAddr,
    /// How many of the calls it gets, in proportion to the others' weights; at least 1.
    pub weight: u32,
}

/// Why no node can be asked: one line with the cure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineError(String);

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for EngineError {}

/// The thread that asks. Dropped, it ends without being waited for.
#[derive(Debug)]
pub struct Engines {
    post: Arc<Post>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Engines {
    /// Starts the thread. From now on descriptions are taken from `post`; each may take `wait_ms`.
    ///
    /// # Errors
    /// No socket can be had for a node, or no thread be started.
    pub fn start(nodes: &[Node], wait_ms: u32, post: Arc<Post>) -> Result<Engines, EngineError> {
        let worker = worker::Worker::open(nodes, wait_ms)?;
        post.engines.tray.open();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, theirs) = (Arc::clone(&stop), Arc::clone(&post));
        let thread = Builder::new().name("rtpengine".to_owned()).spawn(move || worker.run(&theirs, &stopped));
        let thread = thread
            .map_err(|error| EngineError(format!("no thread can be started ({error}); raise `ulimit -u`")))?;
        Ok(Engines { post, stop, thread: Some(thread) })
    }

    /// Asks the thread to end as [`Engines::stop`] does, and does not wait for that.
    pub fn end(&self) {
        self.stop.store(true, Release);
        self.post.engines.tray.wake();
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends the thread once the nodes know which calls are over, or have not said so in time.
    pub fn stop(mut self) {
        self.end();
        if let Some(thread) = self.thread.take() {
            // A panic has said so itself.
            let _ = thread.join();
        }
    }
}

impl Drop for Engines {
    fn drop(&mut self) {
        self.end();
    }
}
