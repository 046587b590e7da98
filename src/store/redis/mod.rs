//! A store on a Redis or Valkey server, which several nodes share.
//!
//! | key | what |
//! |---|---|
//! | `ringway:{NUMBER}` | a hash: `subscriber`, `bindings` (see [`super::document`]) and `revision` |
//! | `ringway:meta` | a hash: `format` and `realm` |
//! | `ringway:changes` | a channel: `REVISION NUMBER` for each change; revision 0: the number is gone |
//!
//! The braces make the number alone choose the slot of a cluster. A write is a script that compares the
//! revision it is based on with the one that is there, so no node undoes what another did. It is as durable
//! as the server is set up to be: `appendonly yes` and `appendfsync always` make it so.

mod watch;

use super::document;
use super::{FORMAT, Part, Record, Settings, Store, StoreError, Verdict, Watcher, Write};
use crate::directory::Directory;
use redis::{Client, Connection, ErrorKind, Pipeline, RedisError, Script, ServerErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

const META: &str = "ringway:meta";
const CHANGES: &str = "ringway:changes";
const KEYS: &str = "ringway:{*}";

/// Keys that one step of a walk asks for.
const STEP: usize = 1_000;

/// The first pause before a server that failed is tried again; it doubles up to the longest.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// A connection that has rested for so long is tried before it is used.
const REST_MAX: Duration = Duration::from_secs(1);

/// Writes one number. Keys: its own. Arguments: the revision that it is based on, or nothing; the new one;
/// for both parts what to do (keep, put, remove) and the text; the number. Returns 1 when it is written, 0
/// when another revision is there.
const WRITE: &str = r"
local revision = redis.call('HGET', KEYS[1], 'revision') or '0'
if ARGV[1] ~= '' and revision ~= ARGV[1] then return 0 end
for part, at in pairs({subscriber = 3, bindings = 5}) do
  if ARGV[at] == 'put' then redis.call('HSET', KEYS[1], part, ARGV[at + 1]) end
  if ARGV[at] == 'remove' then redis.call('HDEL', KEYS[1], part) end
end
local new = ARGV[2]
if redis.call('HEXISTS', KEYS[1], 'subscriber') + redis.call('HEXISTS', KEYS[1], 'bindings') > 0 then
  redis.call('HSET', KEYS[1], 'revision', new)
else
  redis.call('DEL', KEYS[1])
  new = '0'
end
redis.call('PUBLISH', 'ringway:changes', new .. ' ' .. ARGV[7])
return 1
";

/// How to reach the server.
#[derive(Clone)]
struct Server {
    client: Client,
    /// The URL without its password.
    name: Arc<str>,
    timeout: Duration,
}

/// When to try again.
struct Backoff {
    pause: Duration,
    tried_at: Option<Instant>,
}

/// The shared store.
pub struct Redis {
    server: Server,
    realm: String,
    listeners: Box<[SocketAddr]>,
    script: Script,
    /// `None`: it failed.
    connection: Option<Connection>,
    used_at: Instant,
    backoff: Backoff,
    /// Ends the watching threads.
    ended: Arc<AtomicBool>,
}

/// A number's hash as it is read.
type Fields = (Option<Vec<u8>>, Option<Vec<u8>>, Option<u64>);

impl Server {
    fn connect(&self) -> Result<Connection, StoreError> {
        let connect = || {
            let connection = self.client.get_connection_with_timeout(self.timeout)?;
            connection.set_read_timeout(Some(self.timeout))?;
            connection.set_write_timeout(Some(self.timeout))?;
            Ok::<_, RedisError>(connection)
        };
        connect().map_err(|error| self.error(&error))
    }

    fn error(&self, error: &RedisError) -> StoreError {
        let what = error.to_string();
        StoreError(format!("{}: {}", self.name, what.lines().collect::<Vec<_>>().join(", ")))
    }
}

impl Backoff {
    fn new() -> Backoff {
        Backoff { pause: PAUSE_MIN, tried_at: None }
    }

    fn is_over(&self) -> bool {
        self.tried_at.is_none_or(|tried_at| tried_at.elapsed() >= self.pause)
    }

    fn failed(&mut self) {
        self.pause = if self.tried_at.is_some() { (self.pause * 2).min(PAUSE_MAX) } else { PAUSE_MIN };
        self.tried_at = Some(Instant::now());
    }
}

impl Redis {
    /// Connects to the server of a URL.
    ///
    /// # Errors
    /// It cannot be reached, does not answer as it should, or its subscribers are of another realm or a later
    /// version.
    pub fn open(url: &str, settings: &Settings) -> Result<Redis, StoreError> {
        let name: Arc<str> = crate::config::without_password(url).into();
        let client = Client::open(url).map_err(|error| StoreError(format!("--store {name}: {error}")))?;
        let mut store = Redis {
            server: Server { client, name, timeout: settings.timeout },
            realm: settings.realm.clone(),
            listeners: settings.listeners.as_slice().into(),
            script: Script::new(WRITE),
            connection: None,
            used_at: Instant::now(),
            backoff: Backoff::new(),
            ended: Arc::default(),
        };
        store.reconnect()?;
        Ok(store)
    }

    fn reconnect(&mut self) -> Result<(), StoreError> {
        let mut connection = self.server.connect()?;
        let meta = redis::pipe()
            .hset_nx(META, "format", FORMAT)
            .ignore()
            .hset_nx(META, "realm", &self.realm)
            .ignore()
            .hget(META, "format")
            .hget(META, "realm")
            .query::<(String, String)>(&mut connection);
        let (format, realm) = meta.map_err(|error| self.server.error(&error))?;
        if format.parse::<u32>().is_ok_and(|format| format > FORMAT) {
            return Err(StoreError(format!(
                "{}: a later ringway writes to it (format {format}; this one reads {FORMAT}); start that one",
                self.server.name
            )));
        }
        if realm != self.realm {
            return Err(StoreError(format!(
                "{}: its passwords are hashed with the realm \"{realm}\", not \"{}\"; give --realm {realm}, \
                 or load the subscribers anew into another database",
                self.server.name, self.realm
            )));
        }
        let loaded = self.script.prepare_invoke().load(&mut connection);
        loaded.map_err(|error| self.server.error(&error))?;
        self.connection = Some(connection);
        self.used_at = Instant::now();
        self.backoff = Backoff::new();
        Ok(())
    }

    /// Runs commands. After an error of the connection, or an answer that makes no sense, it is given up.
    fn run<T>(
        &mut self,
        commands: impl FnOnce(&mut Connection) -> Result<T, RedisError>,
    ) -> Result<T, StoreError> {
        let Some(connection) = &mut self.connection else {
            return Err(StoreError(format!("{}: not connected", self.server.name)));
        };
        self.used_at = Instant::now();
        commands(connection).map_err(|error| {
            self.connection = None;
            self.backoff.failed();
            self.server.error(&error)
        })
    }

    fn record(&self, number: &str, fields: &Fields) -> Result<Option<Record>, StoreError> {
        let wrong = |reason| StoreError(format!("{}: {}: {reason}", self.server.name, key(number)));
        let (subscriber, bindings, revision) = fields;
        let Some(revision) = *revision else { return Ok(None) };
        let subscriber = subscriber.as_ref().map(|text| document::read_subscriber(number, text));
        let bindings = bindings.as_ref().map(|text| document::read_bindings(text, &self.listeners));
        let (subscriber, bindings) =
            (subscriber.transpose().map_err(wrong)?, bindings.transpose().map_err(wrong)?);
        Ok(Some(Record {
            number: number.into(),
            subscriber: subscriber.map(|(subscriber, _)| subscriber),
            bindings: bindings.map_or_else(Box::default, |(bindings, _)| bindings),
            revision,
        }))
    }

    fn pipeline(&self, writes: &[Write<'_>]) -> Pipeline {
        let mut pipeline = redis::pipe();
        let mut text = Vec::new();
        for write in writes {
            let command = pipeline.cmd("EVALSHA").arg(self.script.get_hash()).arg(1).arg(key(write.number));
            command.arg(write.based_on.map_or(String::new(), |revision| revision.to_string()));
            command.arg(write.revision);
            text.clear();
            let what = part(write.subscriber, |subscriber| {
                document::write_subscriber(&mut text, subscriber, write.revision);
            });
            command.arg(what).arg(text.as_slice());
            text.clear();
            let what = part(write.bindings, |bindings| {
                document::write_bindings(&mut text, bindings, write.revision, &self.listeners);
            });
            command.arg(what).arg(text.as_slice()).arg(write.number);
        }
        pipeline
    }
}

impl Store for Redis {
    fn load(&mut self, see: &mut dyn FnMut(Record)) -> Result<(), StoreError> {
        let mut cursor = 0u64;
        loop {
            let (next, numbers) = self.run(|connection| scan(connection, cursor))?;
            let numbers: Vec<&str> = numbers.iter().map(AsRef::as_ref).collect();
            self.read(&numbers)?.into_iter().flatten().for_each(&mut *see);
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }

    fn read(&mut self, numbers: &[&str]) -> Result<Vec<Option<Record>>, StoreError> {
        if numbers.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for number in numbers {
            pipeline.cmd("HMGET").arg(key(number)).arg(&["subscriber", "bindings", "revision"]);
        }
        let fields: Vec<Fields> = self.run(|connection| pipeline.query(connection))?;
        numbers.iter().zip(&fields).map(|(number, fields)| self.record(number, fields)).collect()
    }

    fn commit(&mut self, writes: &[Write<'_>]) -> Result<Vec<Verdict>, StoreError> {
        let pipeline = self.pipeline(writes);
        let script = self.script.clone();
        let written: Vec<bool> = self.run(|connection| match pipeline.query(connection) {
            // The server was started anew or was told to forget its scripts.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                script.prepare_invoke().load(connection)?;
                pipeline.query(connection)
            }
            result => result,
        })?;
        if written.len() != writes.len() {
            self.connection = None;
            return Err(StoreError(format!("{}: an answer too few or too many", self.server.name)));
        }
        Ok(written.into_iter().map(|done| if done { Verdict::Done } else { Verdict::Conflict }).collect())
    }

    fn recover(&mut self) -> Result<(), StoreError> {
        if self.connection.is_some() {
            if self.used_at.elapsed() < REST_MAX {
                return Ok(());
            }
            return self.run(|connection| redis::cmd("PING").query(connection));
        }
        if !self.backoff.is_over() {
            return Err(StoreError(format!("{}: not connected", self.server.name)));
        }
        self.reconnect().inspect_err(|_| self.backoff.failed())
    }

    fn watch(&mut self, directory: Arc<Directory>, watcher: Watcher) -> Result<(), StoreError> {
        watch::start(&self.server, &self.ended, directory, watcher)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.ended.store(true, Relaxed);
    }
}

/// The key of a number; its braces hold what chooses the slot.
fn key(number: &str) -> String {
    format!("ringway:{{{number}}}")
}

/// The number of a key.
fn number(key: &str) -> Option<&str> {
    key.strip_prefix("ringway:{")?.strip_suffix('}')
}

fn part<T>(part: Part<T>, write: impl FnOnce(T)) -> &'static str {
    match part {
        Part::Keep => "keep",
        Part::Remove => "remove",
        Part::Put(value) => {
            write(value);
            "put"
        }
    }
}

/// A step of a walk over all numbers: the cursor to go on from, 0 at the end, and some of them.
fn scan(connection: &mut Connection, cursor: u64) -> Result<(u64, Vec<Box<str>>), RedisError> {
    let mut command = redis::cmd("SCAN");
    command.arg(cursor).arg("MATCH").arg(KEYS).arg("COUNT").arg(STEP);
    let (next, keys): (u64, Vec<String>) = command.query(connection)?;
    Ok((next, keys.iter().filter_map(|key| number(key)).map(Into::into).collect()))
}
