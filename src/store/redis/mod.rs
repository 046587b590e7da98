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
//!
//! Without `ringway:meta` the server has lost what it had (a start without its data, `FLUSHALL`): that is a
//! failure, not the end of every subscriber. A node that runs writes nothing then and forgets nothing, until
//! the key is there again; a start and a whole `ringway load` put it there.

mod watch;

use super::document;
use super::{FORMAT, Found, Part, Record, Settings, Store, StoreError, Verdict, Watcher, Write};
use crate::directory::Directory;
use redis::{Client, Connection, ErrorKind, Pipeline, RedisError, Script, ServerErrorKind, Value};
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
/// when another revision is there, 2 when it is based on one and the store is empty.
const WRITE: &str = r"
if ARGV[1] ~= '' and redis.call('EXISTS', 'ringway:meta') == 0 then return 2 end
local revision = redis.call('HGET', KEYS[1], 'revision') or '0'
if ARGV[1] ~= '' and revision ~= ARGV[1] then return 0 end
local parts = {subscriber = 3, bindings = 5}
-- What takes memory comes first: a full server refuses no script that has written already.
for part, at in pairs(parts) do
  if ARGV[at] == 'put' then redis.call('HSET', KEYS[1], part, ARGV[at + 1]) end
end
for part, at in pairs(parts) do
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

/// Writes what is there already, to show that writes are taken. Returns nothing when the store is empty.
const PROBE: &str = r"
local format = redis.call('HGET', KEYS[1], 'format')
if format then redis.call('HSET', KEYS[1], 'format', format) end
return format
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
    /// Why it takes no writes, until one shows that it does again.
    fault: Option<StoreError>,
    /// It is read or filled, whether it has its meta key or not.
    copies: bool,
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

    /// Its meta key is gone, and with it everything else.
    fn emptied(&self) -> StoreError {
        StoreError(format!(
            "{}: the store is empty: it has lost {META} and what it had; load a dump (ringway load), or \
             restart to begin anew",
            self.name
        ))
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
        let mut store = Redis::new(url, settings)?;
        store.found()?;
        store.reconnect()?;
        Ok(store)
    }

    /// The same for a dump or a load: an empty server becomes a store with [`Store::complete`].
    ///
    /// # Errors
    /// As [`Redis::open`].
    pub fn open_to_copy(url: &str, settings: &Settings) -> Result<Redis, StoreError> {
        let mut store = Redis::new(url, settings)?;
        store.copies = true;
        store.reconnect()?;
        Ok(store)
    }

    fn new(url: &str, settings: &Settings) -> Result<Redis, StoreError> {
        let name: Arc<str> = crate::config::without_password(url).into();
        let client = Client::open(url).map_err(|error| StoreError(format!("--store {name}: {error}")))?;
        Ok(Redis {
            server: Server { client, name, timeout: settings.timeout },
            realm: settings.realm.clone(),
            listeners: settings.listeners.as_slice().into(),
            script: Script::new(WRITE),
            connection: None,
            fault: None,
            copies: false,
            used_at: Instant::now(),
            backoff: Backoff::new(),
            ended: Arc::default(),
        })
    }

    /// Makes an empty server a store; another one stays what it is.
    fn found(&self) -> Result<(), StoreError> {
        let mut connection = self.server.connect()?;
        let mut meta = redis::pipe();
        meta.hset_nx(META, "format", FORMAT).hset_nx(META, "realm", &self.realm);
        meta.exec(&mut connection).map_err(|error| self.server.error(&error))
    }

    fn reconnect(&mut self) -> Result<(), StoreError> {
        let mut connection = self.server.connect()?;
        let meta = redis::pipe()
            .hget(META, "format")
            .hget(META, "realm")
            .query::<(Option<String>, Option<String>)>(&mut connection);
        match meta.map_err(|error| self.server.error(&error))? {
            (Some(format), Some(realm)) => self.check_meta(&format, &realm)?,
            _ if self.copies => {}
            _ => return Err(self.server.emptied()),
        }
        let loaded = self.script.prepare_invoke().load(&mut connection);
        loaded.map_err(|error| self.server.error(&error))?;
        self.connection = Some(connection);
        self.used_at = Instant::now();
        Ok(())
    }

    fn check_meta(&self, format: &str, realm: &str) -> Result<(), StoreError> {
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
        Ok(())
    }

    /// Looks whether it works: one that rested by a look, one that failed by a write through a connection of
    /// its own, for its name may stand for another server by now.
    fn prove(&mut self) -> Result<(), StoreError> {
        let is_there = if self.fault.is_none() {
            self.run(|connection| redis::cmd("EXISTS").arg(META).query(connection))?
        } else {
            self.reconnect()?;
            let format: Option<String> =
                self.run(|connection| Script::new(PROBE).key(META).invoke(connection))?;
            format.is_some()
        };
        if is_there || self.copies { Ok(()) } else { Err(self.server.emptied()) }
    }

    /// Remembers why it takes no writes.
    fn failed(&mut self, error: StoreError) -> StoreError {
        self.fault = Some(error.clone());
        self.backoff.failed();
        error
    }

    /// Runs commands. After an error of the connection, or an answer that makes no sense, it is given up;
    /// what the server refuses in its own words leaves the connection in step.
    fn run<T>(
        &mut self,
        commands: impl FnOnce(&mut Connection) -> Result<T, RedisError>,
    ) -> Result<T, StoreError> {
        let Some(connection) = &mut self.connection else {
            return Err(StoreError(format!("{}: not connected", self.server.name)));
        };
        self.used_at = Instant::now();
        commands(connection).map_err(|error| {
            if !matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) {
                self.connection = None;
            }
            self.server.error(&error)
        })
    }

    fn record(&self, number: &str, fields: Value) -> Found {
        let wrong =
            |reason| StoreError(format!("{}: {} cannot be read: {reason}", self.server.name, key(number)));
        if let Value::ServerError(error) = fields {
            return Err(wrong(error.to_string()));
        }
        let fields = redis::from_redis_value::<Fields>(fields).map_err(|error| wrong(error.to_string()))?;
        let (subscriber, bindings, Some(revision)) = fields else { return Ok(None) };
        let subscriber = subscriber.map(|text| document::read_subscriber(number, &text));
        let bindings = bindings.map(|text| document::read_bindings(&text, &self.listeners));
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
            for found in self.read(&numbers)? {
                found?.into_iter().for_each(&mut *see);
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }

    fn read(&mut self, numbers: &[&str]) -> Result<Vec<Found>, StoreError> {
        if numbers.is_empty() {
            return Ok(Vec::new());
        }
        // It is `recover` that connects again, once its pause is over: this is no other try.
        if let (None, Some(fault)) = (&self.connection, &self.fault) {
            return Err(fault.clone());
        }
        let mut pipeline = redis::pipe();
        for number in numbers {
            pipeline.cmd("HMGET").arg(key(number)).arg(&["subscriber", "bindings", "revision"]);
        }
        // Asked last: what was there before it was emptied is not taken for removed.
        pipeline.ignore_errors().cmd("EXISTS").arg(META);
        let read: Result<Vec<Value>, _> = self.run(|connection| pipeline.query(connection));
        let mut fields = read.map_err(|error| self.failed(error))?;
        if fields.pop() != Some(Value::Int(1)) && !self.copies {
            let emptied = self.server.emptied();
            return Err(self.failed(emptied));
        }
        Ok(numbers.iter().zip(fields).map(|(number, fields)| self.record(number, fields)).collect())
    }

    fn commit(&mut self, writes: &[Write<'_>]) -> Result<Vec<Verdict>, StoreError> {
        let pipeline = self.pipeline(writes);
        let script = self.script.clone();
        let written: Result<Vec<u8>, _> = self.run(|connection| match pipeline.query(connection) {
            // The server was started anew or was told to forget its scripts.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                script.prepare_invoke().load(connection)?;
                pipeline.query(connection)
            }
            result => result,
        });
        let written = written.map_err(|error| self.failed(error))?;
        if written.len() != writes.len() {
            self.connection = None;
            let error = StoreError(format!("{}: an answer too few or too many", self.server.name));
            return Err(self.failed(error));
        }
        if written.contains(&2) {
            let emptied = self.server.emptied();
            return Err(self.failed(emptied));
        }
        let verdict = |code| if code == 1 { Verdict::Done } else { Verdict::Conflict };
        Ok(written.into_iter().map(verdict).collect())
    }

    fn recover(&mut self) -> Result<(), StoreError> {
        match &self.fault {
            None if self.used_at.elapsed() < REST_MAX => return Ok(()),
            Some(fault) if !self.backoff.is_over() => return Err(fault.clone()),
            _ => {}
        }
        self.prove().map_err(|error| self.failed(error))?;
        self.fault = None;
        self.backoff = Backoff::new();
        Ok(())
    }

    fn complete(&mut self) -> Result<(), StoreError> {
        self.found()
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
