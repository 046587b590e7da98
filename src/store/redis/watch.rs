//! Hearing of other nodes' changes: one thread listens to the channel, another looks through all revisions
//! every now and then, and whenever the listener may have missed something.

use super::{Backoff, CHANGES, META, Server, key, scan};
use crate::directory::Directory;
use crate::store::{Change, StoreError, Watcher};
use redis::{Connection, RedisError, Value};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// How long the listener waits before it looks whether it should end.
const STEP: Duration = Duration::from_millis(500);

/// A channel that is silent for so long is tried: its server may be gone without a word.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// Stands for a revision that cannot be read: no number has it.
const UNREADABLE: u64 = u64::MAX;

/// The pause between two looks through everything.
const WALK_EVERY: Duration = Duration::from_secs(30);

/// The pause between two steps of it, which leaves the server to others.
const WALK_PAUSE: Duration = Duration::from_millis(5);

/// What both threads share.
#[derive(Clone)]
struct Watch {
    server: Server,
    ended: Arc<AtomicBool>,
    /// Something may have been missed.
    walk_now: Arc<AtomicBool>,
    watcher: Watcher,
}

/// Starts both threads; they end when `ended` is set.
pub(super) fn start(
    server: &Server,
    ended: &Arc<AtomicBool>,
    directory: Arc<Directory>,
    watcher: Watcher,
) -> Result<(), StoreError> {
    let watch = Watch { server: server.clone(), ended: Arc::clone(ended), walk_now: Arc::default(), watcher };
    let walks = watch.clone();
    let builder = |name: &str| thread::Builder::new().name(name.to_owned());
    builder("store-listen")
        .spawn(move || watch.listen())
        .and_then(|_| builder("store-walk").spawn(move || walks.walk(&directory)))
        .map(drop)
        .map_err(|error| StoreError(format!("no thread can be started ({error}); raise `ulimit -u`")))
}

impl Watch {
    fn is_over(&self) -> bool {
        self.ended.load(Relaxed)
    }

    fn listen(&self) {
        let mut backoff = Backoff::new();
        while !self.is_over() {
            if backoff.is_over() {
                // However it ended, it did not listen for a while.
                let _ = self.listen_once(&mut backoff);
                backoff.failed();
            }
            thread::sleep(STEP.min(backoff.pause));
        }
    }

    /// Listens until the connection fails.
    fn listen_once(&self, backoff: &mut Backoff) -> Result<(), StoreError> {
        let failed = |error: redis::RedisError| self.server.error(&error);
        let mut connection = self.server.connect()?;
        let mut channel = connection.as_pubsub();
        channel.subscribe(CHANGES).map_err(failed)?;
        channel.set_read_timeout(Some(STEP)).map_err(failed)?;
        *backoff = Backoff::new();
        self.walk_now.store(true, SeqCst);
        let mut heard_at = Instant::now();
        while !self.is_over() {
            match channel.get_message() {
                Ok(message) => {
                    heard_at = Instant::now();
                    if let Some(change) = change(message.get_payload_bytes()) {
                        (self.watcher)(change);
                    }
                }
                Err(error) if error.is_timeout() => {
                    if heard_at.elapsed() >= SILENCE_MAX {
                        channel.set_read_timeout(Some(self.server.timeout)).map_err(failed)?;
                        channel.ping::<redis::Value>().map_err(failed)?;
                        channel.set_read_timeout(Some(STEP)).map_err(failed)?;
                        heard_at = Instant::now();
                    }
                }
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    fn walk(&self, directory: &Directory) {
        let mut walked_at = Instant::now();
        while !self.is_over() {
            thread::sleep(STEP);
            if self.walk_now.swap(false, SeqCst) || walked_at.elapsed() >= WALK_EVERY {
                // A walk that fails is made again when the listener has found the server back.
                let walked = self.server.connect().and_then(|connection| {
                    self.walk_once(connection, directory).map_err(|error| self.server.error(&error))
                });
                if let Err(error) = walked {
                    tracing::debug!("not all numbers were looked through: {error}");
                }
                walked_at = Instant::now();
            }
        }
    }

    /// Compares every number's revision with the directory's. An emptied store is looked through again soon.
    fn walk_once(&self, mut connection: Connection, directory: &Directory) -> Result<(), RedisError> {
        if is_emptied(&mut connection)? {
            self.walk_now.store(true, SeqCst);
            return Ok(());
        }
        let mut seen: HashSet<Box<str>> = HashSet::new();
        let mut cursor = 0;
        loop {
            let (next, numbers) = scan(&mut connection, cursor)?;
            let mut pipeline = redis::pipe();
            for number in &numbers {
                pipeline.cmd("HGET").arg(key(number)).arg("revision");
            }
            let revisions: Vec<Value> = match numbers.is_empty() {
                true => Vec::new(),
                false => pipeline.ignore_errors().query(&mut connection)?,
            };
            for (number, revision) in numbers.iter().zip(revisions) {
                let revision = redis::from_redis_value::<Option<u64>>(revision);
                self.compare(directory, number, revision.map_or(UNREADABLE, Option::unwrap_or_default));
            }
            seen.extend(numbers);
            if next == 0 || self.is_over() {
                break;
            }
            cursor = next;
            thread::sleep(WALK_PAUSE);
        }
        // It may have been emptied under the walk: then nothing is gone but the store.
        if is_emptied(&mut connection)? {
            self.walk_now.store(true, SeqCst);
            return Ok(());
        }
        let mut from = Some(0);
        while let Some(place) = from.filter(|_| !self.is_over()) {
            let mut gone = Vec::new();
            from = directory.read().walk(place, super::STEP, |entry| {
                if entry.revision != 0 && !seen.contains(&entry.subscriber.number) {
                    gone.push(entry.subscriber.number.clone());
                }
            });
            // What was added meanwhile is not gone: the keeper reads it before it believes so.
            gone.into_iter().for_each(|number| (self.watcher)(Change { number, revision: 0 }));
        }
        Ok(())
    }

    fn compare(&self, directory: &Directory, number: &str, revision: u64) {
        let known = directory.read().get(number.as_bytes()).map_or(0, |entry| entry.revision);
        if known != revision {
            (self.watcher)(Change { number: number.into(), revision });
        }
    }
}

/// Whether the store has lost its meta key, and with it everything else.
fn is_emptied(connection: &mut Connection) -> Result<bool, RedisError> {
    let is_there: bool = redis::cmd("EXISTS").arg(META).query(connection)?;
    Ok(!is_there)
}

/// Reads `REVISION NUMBER`.
fn change(message: &[u8]) -> Option<Change> {
    let (revision, number) = std::str::from_utf8(message).ok()?.split_once(' ')?;
    Some(Change { revision: revision.parse().ok()?, number: number.into() })
}
