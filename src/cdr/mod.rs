//! Call detail records: a line for each leg that has ended, in files that turn over by size and day.
//!
//! The shards post [`EndedLeg`](crate::mail::EndedLeg)s; one thread takes them, writes what has gathered with
//! one `write(2)`, and tries again each second what could not be written. Calls never wait for it: what there
//! is no room for is counted as lost.

mod backlog;
mod figures;
mod files;
mod lines;
mod worker;

pub use backlog::{Backlog, PENDING_MAX, Sink};
pub(crate) use figures::FiguresRow;
pub use files::Files;
pub use lines::{Format, Lines};

use crate::net::post::Post;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Release;
use std::thread::{Builder, JoinHandle};

/// Where records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Made when it is missing; one server has it for itself.
    pub directory: PathBuf,
    pub format: Format,
    /// A file that the next line would make longer than this is turned over.
    pub size_bytes: u64,
}

/// Why no records can be written: one line with the cure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CdrError(String);

impl fmt::Display for CdrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CdrError {}

/// The thread that writes. Dropped, it ends without being waited for.
#[derive(Debug)]
pub struct Recorder {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Opens the current file and starts the thread. From now on records are taken from `post`.
    ///
    /// # Errors
    /// The directory cannot be written to, or belongs to another server; no thread can be started.
    pub fn start(settings: &Settings, post: Arc<Post>) -> Result<Recorder, CdrError> {
        let (files, cut) = Files::open(settings, worker::now_ms())?;
        if cut > 0 {
            tracing::warn!("{cut} bytes of a record that was not written to its end are cut off");
            post.records.count_errors(1);
        }
        post.records.tray.open();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, format) = (Arc::clone(&stop), settings.format);
        let thread = Builder::new().name("cdr".to_owned()).spawn(move || {
            worker::run(Backlog::new(files, PENDING_MAX), format, &post, &stopped);
        });
        let thread = thread
            .map_err(|error| CdrError(format!("no thread can be started ({error}); raise `ulimit -u`")))?;
        Ok(Recorder { stop, thread: Some(thread) })
    }

    /// Asks the thread to end as [`Recorder::stop`] does, and does not wait for that.
    pub fn end(&self) {
        self.stop.store(true, Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends the thread once everything that waits is written, or has proved impossible to write for two
    /// seconds.
    pub fn stop(mut self) {
        self.end();
        if let Some(thread) = self.thread.take() {
            // A panic has said so itself.
            let _ = thread.join();
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.end();
    }
}
