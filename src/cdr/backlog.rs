//! Lines that wait to be written: what fails is tried again, and what waits too long makes room.

use super::lines::{Format, Lines};
use crate::mail::EndedLeg;
use crate::net::post::Records;
use std::io;

/// Lines that may wait while nothing can be written: half a minute of 1,000 calls a second.
pub const PENDING_MAX: usize = 65_536;

/// How long these lines may be together: a line is as long as what a peer wrote into its INVITE makes it.
const PENDING_BYTES_MAX: usize = 64 << 20;

/// What could not be written is tried again after this.
const RETRY_MS: u64 = 1_000;

/// Where lines go. `now_ms` counts from 1970 in UTC.
pub trait Sink {
    /// Writes lines and forgets those that it wrote.
    ///
    /// # Errors
    /// The rest could not be written, and nothing of it is left where it would have gone. If there is no
    /// rest: something else that was due could not be done, as by [`Sink::tick`].
    fn append(&mut self, lines: &mut Lines, now_ms: u64) -> io::Result<()>;

    /// Does what is due though nothing is to be written.
    ///
    /// # Errors
    /// It could not be done, and is due again.
    fn tick(&mut self, now_ms: u64) -> io::Result<()>;

    /// Makes what was written durable.
    ///
    /// # Errors
    /// It may be lost when the machine stops.
    fn sync(&mut self) -> io::Result<()>;
}

/// Lines before a sink.
#[derive(Debug)]
pub struct Backlog<S> {
    sink: S,
    lines: Lines,
    pending_max: usize,
    /// The sink failed: not before this.
    retry_at_ms: Option<u64>,
    /// What is due besides the writing failed, and that was said.
    is_neglected: bool,
}

impl<S: Sink> Backlog<S> {
    /// At most `pending_max` lines wait while the sink fails.
    pub fn new(sink: S, pending_max: usize) -> Backlog<S> {
        Backlog { sink, lines: Lines::default(), pending_max, retry_at_ms: None, is_neglected: false }
    }

    /// Lines that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether the last try to write failed.
    #[must_use]
    pub fn fails(&self) -> bool {
        self.retry_at_ms.is_some()
    }

    /// Writes records, behind those that wait.
    pub fn write(&mut self, format: Format, records: &[Box<EndedLeg>], counters: &Records, now_ms: u64) {
        let unwritable = self.lines.extend(format, records);
        counters.count_lost(unwritable);
        self.retry(counters, now_ms);
    }

    /// Writes what waits, unless it failed a moment ago.
    pub fn retry(&mut self, counters: &Records, now_ms: u64) {
        // A clock that was set back does not make it wait for longer.
        let waits = self.retry_at_ms.is_some_and(|at| now_ms < at && at - now_ms <= RETRY_MS);
        if !waits && !self.lines.is_empty() {
            let before = self.lines.len();
            let result = self.sink.append(&mut self.lines, now_ms);
            counters.count_written(before - self.lines.len());
            match result {
                Err(error) if !self.lines.is_empty() => self.fail(&error, counters, now_ms),
                done => {
                    if self.retry_at_ms.take().is_some() {
                        tracing::info!("records can be written again");
                    }
                    if done.is_err() {
                        self.look_after(done, counters);
                    }
                }
            }
        }
        self.make_room(counters);
    }

    /// Drops the oldest lines that are too many, or too long together.
    fn make_room(&mut self, counters: &Records) {
        let too_many = self.lines.len().saturating_sub(self.pending_max);
        let too_long = match self.lines.bytes().checked_sub(PENDING_BYTES_MAX) {
            // The line in which so many bytes end goes too.
            Some(bytes @ 1..) => self.lines.within(bytes - 1) + 1,
            _ => 0,
        };
        let dropped = too_many.max(too_long);
        if dropped > 0 {
            self.lines.remove_first(dropped);
            counters.count_lost(dropped);
        }
    }

    /// Does what is due once a second.
    pub fn tick(&mut self, counters: &Records, now_ms: u64) {
        let done = self.sink.tick(now_ms);
        self.look_after(done, counters);
        self.retry(counters, now_ms);
    }

    /// The end: what still waits is lost.
    pub fn close(mut self, counters: &Records) {
        counters.count_lost(self.lines.len());
        if !self.lines.is_empty() {
            tracing::error!("{} records could not be written and are lost", self.lines.len());
        }
        if let Err(error) = self.sink.sync() {
            counters.count_errors(1);
            tracing::error!("records may be lost when the machine stops: {error}");
        }
    }

    fn fail(&mut self, error: &io::Error, counters: &Records, now_ms: u64) {
        counters.count_errors(1);
        if self.retry_at_ms.is_none() {
            let max = self.pending_max;
            tracing::error!(
                "records cannot be written: {error}; the last {max} are kept and tried again each second"
            );
        }
        self.retry_at_ms = Some(now_ms + RETRY_MS);
    }

    /// Counts and tells of what is not the writing itself.
    fn look_after(&mut self, done: io::Result<()>, counters: &Records) {
        let was_neglected = std::mem::replace(&mut self.is_neglected, done.is_err());
        if let Err(error) = done {
            counters.count_errors(1);
            if !was_neglected {
                tracing::warn!(
                    "the file of the records cannot be turned over: {error}; tried again each second"
                );
            }
        }
    }
}
