//! The keeper's thread: gather, apply, commit, show, answer; and in between, what others changed and what has
//! expired.

use super::batch::{Applied, Batch, Terms};
use super::job::{Job, What};
use super::status::{Health, Status};
use super::{Asked, Rules, entry};
use crate::clock::UnixSeconds;
use crate::directory::{Directory, Writer};
use crate::net::post::Post;
use crate::net::tray::Tray;
use crate::store::{Change, Found, Record, Store, StoreError, Verdict};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Acquire;
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Changes that one commit makes durable at most: it bounds how long one lasts.
const BATCH_MAX: usize = 4_096;

/// Other nodes' changes that are read at once.
const CHANGES_MAX: usize = 1_024;

/// A change that other nodes come before so often is refused.
const CONFLICTS_MAX: u8 = 8;

/// Numbers with unreadable records that are remembered as named to the operator.
const UNREADABLE_NAMED_MAX: usize = 1_024;

/// How often the thread wakes with nothing to do: to look for what has expired, and after a failed store.
const TICK: Duration = Duration::from_secs(1);

/// Ticks in which every entry is looked at once.
const SWEEP_TICKS: usize = 60;

/// Numbers with expired bindings that one tick drops.
const EXPIRED_PER_TICK_MAX: usize = 1_024;

/// Milliseconds do not go back, whatever the calendar does meanwhile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    started: Instant,
    started_unix: Duration,
}

impl Clock {
    pub(super) fn start() -> Clock {
        let started_unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { started: Instant::now(), started_unix }
    }

    fn unix(self) -> Duration {
        self.started_unix + self.started.elapsed()
    }
}

/// What the thread owns.
pub(super) struct Worker {
    pub(super) store: Box<dyn Store>,
    pub(super) writer: Writer,
    pub(super) directory: Arc<Directory>,
    pub(super) post: Arc<Post>,
    pub(super) requests: Arc<Tray<Asked>>,
    pub(super) changes: Arc<Tray<Change>>,
    pub(super) status: Arc<Status>,
    pub(super) rules: Rules,
    pub(super) clock: Clock,
    /// Jobs that another node came before.
    pub(super) again: Vec<Job>,
    /// Numbers whose records make no sense, as the operator was told.
    pub(super) unreadable: HashSet<Box<str>>,
    /// Numbers that other nodes changed and that could not be read.
    pub(super) missed: Vec<Box<str>>,
    pub(super) swept_to: usize,
    pub(super) ticked_at: Instant,
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

impl Worker {
    /// Works until `stop`, and then until nothing waits.
    pub(super) fn run(mut self, stop: &AtomicBool) {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        loop {
            let is_last = stop.load(Acquire);
            if is_last {
                self.post.letters.shut();
                self.requests.shut();
            }
            self.follow();
            // However much waits: what expires would else stay for as long as phones keep coming.
            if self.ticked_at.elapsed() >= TICK {
                self.tick();
            }
            let jobs = self.gather();
            if !jobs.is_empty() {
                self.settle(jobs);
                continue;
            }
            if is_last {
                return;
            }
            let nothing_waits = self.post.letters.wait(&waker)
                && self.requests.wait(&waker)
                && self.changes.wait(&waker)
                && !stop.load(Acquire);
            if nothing_waits {
                thread::park_timeout(TICK.saturating_sub(self.ticked_at.elapsed()));
            }
        }
    }

    /// Takes what waits by now.
    fn gather(&mut self) -> Vec<Job> {
        let mut jobs = std::mem::take(&mut self.again);
        while jobs.len() < BATCH_MAX
            && let Some(Asked { request, reply }) = self.requests.take()
        {
            jobs.push(Job::new(What::Request { request, reply }));
        }
        while jobs.len() < BATCH_MAX
            && let Some(envelope) = self.post.letters.take()
        {
            jobs.extend(Job::of(envelope));
        }
        jobs
    }

    /// Applies jobs, makes them durable, shows them, and answers.
    fn settle(&mut self, jobs: Vec<Job>) {
        let unix = self.clock.unix();
        let directory = Arc::clone(&self.directory);
        let mut batch = Batch::default();
        let terms = Terms { view: directory.read(), rules: &self.rules, now: UnixSeconds(unix.as_secs()) };
        for job in jobs {
            batch.add(job, &terms);
        }
        drop(terms);
        let result = self.commit(&mut batch, unix.as_micros() as u64);
        self.answer(batch, result);
    }

    /// Makes a batch durable and shows it. Returns the drafts' verdicts; what was not changed is done.
    fn commit(&mut self, batch: &mut Batch, unix_us: u64) -> Result<Vec<Verdict>, StoreError> {
        let mut verdicts = vec![Verdict::Done; batch.drafts.len()];
        let mut places = Vec::new();
        let mut writes = Vec::new();
        for (place, draft) in batch.drafts.iter_mut().enumerate().filter(|(_, draft)| draft.is_changed()) {
            places.push(place);
            writes.push(draft.write(unix_us));
        }
        if writes.is_empty() {
            return Ok(verdicts);
        }
        let result = self.store.recover().and_then(|()| self.store.commit(&writes));
        let counters = &self.status.counters;
        match &result {
            Ok(_) => {
                counters.store_commits.add(1);
                counters.store_writes.add(writes.len());
            }
            Err(_) => counters.store_errors.add(1),
        }
        drop(writes);
        self.note(&result);
        for (place, verdict) in places.into_iter().zip(result?) {
            verdicts[place] = verdict;
            let draft = &mut batch.drafts[place];
            match (verdict, draft.entry.take()) {
                (Verdict::Conflict, _) => {}
                (Verdict::Done, Some(mut entry)) => {
                    entry.revision = draft.revision;
                    self.writer.put(entry);
                }
                (Verdict::Done, None) => {
                    self.writer.remove(draft.number.as_bytes());
                    draft.revision = 0;
                }
            }
        }
        self.status.counters.bindings_expired.add(batch.expired);
        Ok(verdicts)
    }

    fn answer(&mut self, batch: Batch, result: Result<Vec<Verdict>, StoreError>) {
        let conflicts = result
            .as_ref()
            .map_or(0, |verdicts| verdicts.iter().filter(|verdict| **verdict == Verdict::Conflict).count());
        if conflicts > 0 {
            self.status.counters.store_conflicts.add(conflicts);
            let conflicting = batch.drafts.iter().zip(result.iter().flatten());
            let conflicting = conflicting.filter(|(_, verdict)| **verdict == Verdict::Conflict);
            self.reload(conflicting.map(|(draft, _)| draft.number.clone()).collect());
        }
        for Applied { mut job, draft, answer, rests_on_change } in batch.jobs {
            let verdict = result.as_ref().map(|verdicts| verdicts[draft]);
            let answer = match verdict {
                _ if answer.is_refusal() && !rests_on_change => answer,
                Ok(Verdict::Done) => answer.at(batch.drafts[draft].revision),
                Ok(Verdict::Conflict) if job.conflicts < CONFLICTS_MAX => {
                    job.conflicts += 1;
                    // What expires is found again by the next sweep.
                    if !matches!(job.what, What::Expire { .. }) {
                        self.again.push(job);
                    }
                    continue;
                }
                Ok(Verdict::Conflict) | Err(_) => {
                    let Some(answer) = job.unavailable() else { continue };
                    self.status.counters.store_refused.add(1);
                    answer
                }
            };
            job.answer(answer, &self.post);
        }
    }

    /// Notes whether the store works, and says so when that changes.
    fn note<T>(&self, result: &Result<T, StoreError>) {
        match result {
            Ok(_) if self.status.set_health(Health::Up) => tracing::info!("the store takes writes again"),
            Err(error) if self.status.set_health(Health::Down(error.to_string())) => {
                tracing::error!("the store takes no writes: {error}; calls go on with what is known");
            }
            _ => {}
        }
    }

    /// Looks at what other nodes have changed.
    fn follow(&mut self) {
        let mut numbers: Vec<Box<str>> = Vec::new();
        {
            let view = self.directory.read();
            let mut left = CHANGES_MAX;
            while left > 0
                && let Some(change) = self.changes.take()
            {
                let known = view.get(change.number.as_bytes()).map_or(0, |entry| entry.revision);
                // Our own come back as well, as many as we write.
                if known != change.revision {
                    left -= 1;
                    numbers.push(change.number);
                }
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        if !numbers.is_empty() {
            self.status.counters.store_changes_heard.add(numbers.len());
            self.reload(numbers);
        }
    }

    /// Reads numbers anew into the directory.
    fn reload(&mut self, numbers: Vec<Box<str>>) {
        let texts: Vec<&str> = numbers.iter().map(AsRef::as_ref).collect();
        // What takes no writes may still be read.
        let recovered = self.store.recover();
        let records = self.store.read(&texts);
        self.note(&recovered.and(records.as_ref().map(drop).map_err(Clone::clone)));
        match records {
            Ok(records) => {
                for (number, found) in numbers.iter().zip(records) {
                    self.found(number, found);
                }
            }
            Err(_) => {
                self.status.counters.store_errors.add(1);
                // The next tick asks again; what is beyond that the watcher's next look at everything finds.
                self.missed.extend(numbers.into_iter().take(CHANGES_MAX));
                self.missed.truncate(CHANGES_MAX);
            }
        }
    }

    /// Shows what was found of a number; one that makes no sense stays as it is known.
    fn found(&mut self, number: &str, found: Found) {
        match found {
            Ok(record) => {
                self.unreadable.remove(number);
                self.show(number, record);
            }
            Err(error) => {
                self.status.counters.store_unreadable.add(1);
                if self.unreadable.len() < UNREADABLE_NAMED_MAX && self.unreadable.insert(number.into()) {
                    tracing::warn!("{error}; what was known of {number} stays until it is mended or removed");
                }
            }
        }
    }

    /// Puts what the store has of a number into the directory.
    fn show(&mut self, number: &str, record: Option<Record>) {
        let configured = {
            let view = self.directory.read();
            let entry = view.get(number.as_bytes()).filter(|entry| entry.is_configured);
            entry.map(|entry| entry.subscriber.clone())
        };
        match entry(number, record, configured) {
            Some(entry) => self.writer.put(entry),
            None => drop(self.writer.remove(number.as_bytes())),
        }
    }

    /// A step of the sweep; a store that failed is tried.
    fn tick(&mut self) {
        self.ticked_at = Instant::now();
        let missed = std::mem::take(&mut self.missed);
        if !missed.is_empty() {
            self.reload(missed);
        }
        let result = self.store.recover();
        self.note(&result);
        let now = UnixSeconds(self.clock.unix().as_secs());
        // The table has two to four places for an entry.
        let places = self.directory.len() * 4 / SWEEP_TICKS + EXPIRED_PER_TICK_MAX;
        let mut expired = Vec::new();
        let next = self.directory.read().walk(self.swept_to, places, |entry| {
            let is_over = entry.bindings.iter().any(|binding| binding.expires_at <= now);
            if is_over && expired.len() < EXPIRED_PER_TICK_MAX {
                expired.push(entry.subscriber.number.clone());
            }
        });
        // What is too much for one tick is looked at again in the next.
        if expired.len() < EXPIRED_PER_TICK_MAX {
            self.swept_to = next.unwrap_or(0);
        }
        if !expired.is_empty() && self.status.health() == Health::Up {
            self.settle(expired.into_iter().map(|number| Job::new(What::Expire { number })).collect());
        }
    }
}

impl Drop for Worker {
    /// However the thread ends, what waits or comes later is refused, not forgotten.
    fn drop(&mut self) {
        self.post.letters.shut();
        self.requests.shut();
        loop {
            let jobs = self.gather();
            if jobs.is_empty() {
                break;
            }
            for job in jobs {
                if let Some(answer) = job.unavailable() {
                    job.answer(answer, &self.post);
                }
            }
        }
        self.status.set_health(Health::Down("the store's keeper has ended".to_owned()));
    }
}
