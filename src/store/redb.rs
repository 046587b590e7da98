//! The embedded store: one file, written by one process.
//!
//! A commit is in the file and synchronised to the disk before it returns (redb's `Durability::Immediate`);
//! a power cut or a kill leaves the last commit whole. Every page carries a checksum that is looked at when
//! the file is opened, so a file that something else has changed is refused, not believed.

use super::document::{self, Reason};
use super::{FORMAT, Found, Part, Record, Settings, Store, StoreError, Verdict, Write};
use redb::{
    AccessGuard, Builder, Database, DatabaseError, Durability, Range, ReadOnlyTable, ReadableDatabase,
    ReadableTable, StorageError, Table, TableDefinition,
};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The file in the directory.
const FILE: &str = "ringway.redb";

/// Number to the subscriber's part, and number to its bindings' part.
const SUBSCRIBERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("subscribers");
const BINDINGS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("bindings");

/// `format` and `realm`.
const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");

/// Bytes that a store which failed writes and removes again before it is believed to take writes.
const PROBE_BYTES: usize = 1 << 20;

/// How long a store that failed is left alone before it is opened anew.
const RECOVERY_PAUSE: Duration = Duration::from_secs(1);

/// The embedded store.
pub struct Redb {
    path: PathBuf,
    cache_bytes: usize,
    listeners: Box<[SocketAddr]>,
    /// `None`: it failed and was closed, for redb takes no more writes after an error of the disk.
    database: Option<Database>,
    /// Why it takes no writes, until one shows that it does again.
    fault: Option<StoreError>,
    tried_at: Instant,
    /// A document before it goes into its page.
    text: Vec<u8>,
}

impl Redb {
    /// Opens the store of a directory; both are made when they are missing.
    ///
    /// # Errors
    /// The directory cannot be used, another process has the file, it is damaged, or it is of another realm
    /// or a later version.
    pub fn open(directory: &Path, settings: &Settings) -> Result<Redb, StoreError> {
        let path = directory.join(FILE);
        make_directory(directory)?;
        let length = fs::metadata(&path).map(|metadata| metadata.len());
        let is_new = matches!(&length, Err(error) if error.kind() == io::ErrorKind::NotFound);
        let mut store = Redb {
            database: None,
            cache_bytes: settings.cache_bytes,
            listeners: settings.listeners.as_slice().into(),
            fault: None,
            tried_at: Instant::now(),
            text: Vec::new(),
            path,
        };
        // What a crash or a hand has emptied was a store once.
        if length.is_ok_and(|length| length == 0) {
            return Err(store.damaged("it is empty"));
        }
        let database = store.open_database(is_new, true)?;
        store.check_meta(&database, &settings.realm)?;
        if is_new {
            // The file's name has to last as its content does.
            let lasting = fs::File::open(directory).and_then(|directory| directory.sync_all());
            lasting.map_err(|error| store.error(&format!("cannot be made to last: {error}")))?;
        }
        store.database = Some(database);
        Ok(store)
    }

    fn error(&self, what: &str) -> StoreError {
        StoreError(format!("{}: {what}", self.path.display()))
    }

    /// Opens the file; `checks`: looks at every page of it, which takes a second for a million subscribers.
    fn open_database(&self, is_new: bool, checks: bool) -> Result<Database, StoreError> {
        let mut options = OpenOptions::new();
        // Made here, for nobody else is to read the hashes in it. It is made by the first start alone: later
        // a missing file is a loss, not a new beginning.
        options.read(true).write(true).create(is_new).truncate(false).mode(0o600);
        let file = options.open(&self.path);
        drop(file.map_err(|error| self.error(&format!("cannot be opened: {error}")))?);
        let mut builder = Builder::new();
        builder.set_cache_size(self.cache_bytes).set_check_integrity_on_open(checks);
        let path = self.path.clone();
        let opened = guarded(|| match is_new {
            true => builder.create(&path),
            false => builder.open(&path),
        });
        match opened {
            Some(Ok(database)) => Ok(database),
            Some(Err(DatabaseError::DatabaseAlreadyOpen)) => Err(self.error(
                "another process has it open; stop that ringway (ss -lunp shows it), or give each its own \
                 --data-dir",
            )),
            Some(Err(DatabaseError::UpgradeRequired(version))) => Err(self.error(&format!(
                "it has version {version} of redb's file format, which this ringway does not read; dump it \
                 with the ringway that wrote it"
            ))),
            Some(Err(DatabaseError::Storage(StorageError::Io(error)))) if !is_damage(&error) => {
                Err(self.error(&format!("cannot be used: {error}")))
            }
            Some(Err(error)) => Err(self.damaged(&error.to_string())),
            None => Err(self.damaged("its pages contradict each other")),
        }
    }

    fn damaged(&self, what: &str) -> StoreError {
        let what = what.lines().collect::<Vec<_>>().join(", ");
        self.error(&format!(
            "it is damaged ({what}); nothing was changed: restore a copy, or move it away and load a dump \
             (ringway load)"
        ))
    }

    /// Looks whether the file is ours, and writes so into a new one.
    fn check_meta(&self, database: &Database, realm: &str) -> Result<(), StoreError> {
        let meta = read_meta(database).map_err(|error| self.damaged(&error.to_string()))?;
        let Some((format, stored)) = meta else {
            return write_meta(database, realm)
                .map_err(|error| self.error(&format!("cannot be written: {error}")));
        };
        match format.parse::<u32>() {
            Ok(format) if format <= FORMAT => {}
            Ok(format) => {
                return Err(self.error(&format!(
                    "a later ringway wrote it (format {format}; this one reads {FORMAT}); start that one"
                )));
            }
            Err(_) => return Err(self.error("it is not a store of ringway's; give another --data-dir")),
        }
        match stored == realm {
            true => Ok(()),
            false => Err(self.error(&format!(
                "its passwords are hashed with the realm \"{stored}\", not \"{realm}\"; give --realm \
                 {stored}, or load the subscribers anew into another --data-dir"
            ))),
        }
    }

    fn database(&self) -> Result<&Database, StoreError> {
        self.database.as_ref().ok_or_else(|| self.error("it is closed since an error of its disk"))
    }

    fn write(&mut self, writes: &[Write<'_>]) -> Result<(), redb::Error> {
        // Seen only while there is one.
        let Some(database) = &self.database else { return Err(redb::Error::PreviousIo) };
        let mut transaction = database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut subscribers = transaction.open_table(SUBSCRIBERS)?;
            let mut bindings = transaction.open_table(BINDINGS)?;
            // In the order of the keys, so that neighbours find their pages at hand.
            let mut order: Vec<&Write<'_>> = writes.iter().collect();
            order.sort_unstable_by_key(|write| write.number);
            for write in order {
                let (text, listeners) = (&mut self.text, &self.listeners);
                put(&mut subscribers, write.number, write.subscriber, text, |text, subscriber| {
                    document::write_subscriber(text, subscriber, write.revision);
                })?;
                put(&mut bindings, write.number, write.bindings, text, |text, bindings| {
                    document::write_bindings(text, bindings, write.revision, listeners);
                })?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Writes as a store must to be believed again.
    fn probe(&mut self) -> Result<(), StoreError> {
        if self.database.is_none() {
            // It was looked at when we started, and nobody else has written to it since.
            self.database = Some(self.open_database(false, false)?);
        }
        match guarded(|| self.database.as_ref().map_or(Err(redb::Error::PreviousIo), write_probe)) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(self.failed(&error.to_string())),
            None => Err(self.failed("redb gave up")),
        }
    }

    /// Closes it after an error of the disk: redb takes nothing more until it is opened anew.
    fn failed(&mut self, error: &str) -> StoreError {
        if let Some(database) = self.database.take() {
            // Closing fails for the same reason as the write.
            guarded(|| drop(database));
        }
        self.error(&format!("cannot be written: {error}; make room on its disk or mend it"))
    }

    fn read_table<R>(&self, read: impl FnOnce(&Parts) -> Result<R, redb::Error>) -> Result<R, StoreError> {
        let database = self.database()?;
        let read = guarded(|| {
            let transaction = database.begin_read()?;
            let subscribers = transaction.open_table(SUBSCRIBERS)?;
            let bindings = transaction.open_table(BINDINGS)?;
            read(&Parts { subscribers, bindings })
        });
        match read {
            Some(Ok(read)) => Ok(read),
            Some(Err(error)) => Err(self.error(&format!("cannot be read: {error}"))),
            None => Err(self.damaged("its pages contradict each other")),
        }
    }
}

/// The tables while they are read.
struct Parts {
    subscribers: ReadOnlyTable<&'static str, &'static [u8]>,
    bindings: ReadOnlyTable<&'static str, &'static [u8]>,
}

impl Store for Redb {
    fn load(&mut self, see: &mut dyn FnMut(Record)) -> Result<(), StoreError> {
        let mut wrong: Result<(), Reason> = Ok(());
        self.read_table(|parts| {
            wrong = read_all(parts, &self.listeners, see)?;
            Ok(())
        })?;
        wrong.map_err(|reason| self.damaged(&reason))
    }

    fn read(&mut self, numbers: &[&str]) -> Result<Vec<Found>, StoreError> {
        self.read_table(|parts| {
            let mut records = Vec::with_capacity(numbers.len());
            for number in numbers {
                let (subscriber, bindings) = (parts.subscribers.get(number)?, parts.bindings.get(number)?);
                let subscriber = subscriber.as_ref().map(redb::AccessGuard::value);
                let bindings = bindings.as_ref().map(redb::AccessGuard::value);
                let record = record(number, subscriber, bindings, &self.listeners);
                records.push(record.map_err(|reason| self.damaged(&reason)));
            }
            Ok(records)
        })
    }

    fn commit(&mut self, writes: &[Write<'_>]) -> Result<Vec<Verdict>, StoreError> {
        self.database()?;
        let result = guarded(AssertUnwindSafe(|| self.write(writes)));
        let error = match result {
            Some(Ok(())) => return Ok(vec![Verdict::Done; writes.len()]),
            Some(Err(error)) => error.to_string(),
            None => "redb gave up".to_owned(),
        };
        self.text.clear();
        let fault = self.failed(&error);
        self.tried_at = Instant::now();
        self.fault = Some(fault.clone());
        Err(fault)
    }

    fn recover(&mut self) -> Result<(), StoreError> {
        let Some(fault) = &self.fault else { return Ok(()) };
        if self.tried_at.elapsed() < RECOVERY_PAUSE {
            return Err(fault.clone());
        }
        let proof = self.probe();
        self.tried_at = Instant::now();
        self.fault = proof.as_ref().err().cloned();
        proof
    }
}

/// One table read in the order of its numbers.
struct Cursor<'t> {
    pairs: Range<'t, &'static str, &'static [u8]>,
    next: Option<Pair<'t>>,
}

type Pair<'t> = (AccessGuard<'t, &'static str>, AccessGuard<'t, &'static [u8]>);

impl<'t> Cursor<'t> {
    fn new(table: &'t ReadOnlyTable<&'static str, &'static [u8]>) -> Result<Cursor<'t>, StorageError> {
        let mut cursor = Cursor { pairs: table.iter()?, next: None };
        cursor.step()?;
        Ok(cursor)
    }

    fn step(&mut self) -> Result<(), StorageError> {
        self.next = self.pairs.next().transpose()?;
        Ok(())
    }

    fn number(&self) -> Option<&str> {
        self.next.as_ref().map(|(number, _)| number.value())
    }

    /// What the table has of `number`, if that is next.
    fn of(&self, number: &str) -> Option<&[u8]> {
        self.next.as_ref().filter(|(next, _)| next.value() == number).map(|(_, text)| text.value())
    }
}

/// Reads both tables side by side. The inner error: what is in them makes no sense.
fn read_all(
    parts: &Parts,
    listeners: &[SocketAddr],
    see: &mut dyn FnMut(Record),
) -> Result<Result<(), Reason>, StorageError> {
    let mut subscribers = Cursor::new(&parts.subscribers)?;
    let mut bindings = Cursor::new(&parts.bindings)?;
    let mut number = String::new();
    loop {
        number.clear();
        match [subscribers.number(), bindings.number()].into_iter().flatten().min() {
            Some(least) => number.push_str(least),
            None => return Ok(Ok(())),
        }
        let (subscriber, bound) = (subscribers.of(&number), bindings.of(&number));
        let (is_subscriber, is_bound) = (subscriber.is_some(), bound.is_some());
        match record(&number, subscriber, bound, listeners) {
            Ok(record) => record.into_iter().for_each(&mut *see),
            Err(reason) => return Ok(Err(reason)),
        }
        if is_subscriber {
            subscribers.step()?;
        }
        if is_bound {
            bindings.step()?;
        }
    }
}

/// A number's record from its parts.
fn record(
    number: &str,
    subscriber: Option<&[u8]>,
    bindings: Option<&[u8]>,
    listeners: &[SocketAddr],
) -> Result<Option<Record>, Reason> {
    let wrong = |reason| format!("number {number}: {reason}");
    let subscriber = subscriber.map(|text| document::read_subscriber(number, text)).transpose();
    let bindings = bindings.map(|text| document::read_bindings(text, listeners)).transpose();
    Ok(match (subscriber.map_err(wrong)?, bindings.map_err(wrong)?) {
        (None, None) => None,
        (subscriber, bindings) => {
            let (subscriber, set_at) =
                subscriber.map_or((None, 0), |(subscriber, at)| (Some(subscriber), at));
            let (bindings, bound_at) = bindings.unwrap_or_default();
            Some(Record { number: number.into(), subscriber, bindings, revision: set_at.max(bound_at) })
        }
    })
}

/// Changes one part of a number.
fn put<T>(
    table: &mut Table<'_, &'static str, &'static [u8]>,
    number: &str,
    part: Part<T>,
    text: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>, T),
) -> Result<(), StorageError> {
    match part {
        Part::Keep => {}
        Part::Remove => drop(table.remove(number)?),
        Part::Put(value) => {
            text.clear();
            write(text, value);
            table.insert(number, text.as_slice())?;
        }
    }
    Ok(())
}

fn write_meta(database: &Database, realm: &str) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert("format", FORMAT.to_string().as_str())?;
        meta.insert("realm", realm)?;
        transaction.open_table(SUBSCRIBERS)?;
        transaction.open_table(BINDINGS)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Writes the format anew, and as much as shows that there is room: what is freed inside a file lets a small
/// write pass on a disk that is full. A later commit uses the room again.
fn write_probe(database: &Database) -> Result<(), redb::Error> {
    for probe in [Some(" ".repeat(PROBE_BYTES)), None] {
        let mut transaction = database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut meta = transaction.open_table(META)?;
            meta.insert("format", FORMAT.to_string().as_str())?;
            match probe {
                Some(text) => drop(meta.insert("probe", text.as_str())?),
                None => drop(meta.remove("probe")?),
            }
        }
        transaction.commit()?;
    }
    Ok(())
}

/// The format and the realm; `None`: nothing was ever written.
fn read_meta(database: &Database) -> Result<Option<(String, String)>, redb::Error> {
    let transaction = database.begin_read()?;
    if transaction.list_tables()?.next().is_none() {
        return Ok(None);
    }
    let meta = transaction.open_table(META)?;
    let text =
        |key| Ok::<_, redb::Error>(meta.get(key)?.map_or(String::new(), |text| text.value().to_owned()));
    Ok(Some((text("format")?, text("realm")?)))
}

/// Makes the directory for this user alone, with those above it.
fn make_directory(directory: &Path) -> Result<(), StoreError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|error| {
        StoreError(format!(
            "--data-dir {}: the directory cannot be made: {error}; name one that this user may write to",
            directory.display()
        ))
    })
}

/// Whether an error of reading says that the content is wrong, not that the disk or a permission is.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

/// Runs what may meet pages that redb does not expect; `None`: it gave up.
fn guarded<R>(act: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(act)).ok()
}
