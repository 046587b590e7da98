//! The files: the current one, which only grows by whole lines, and those that were turned over.

use super::backlog::Sink;
use super::lines::{Format, Lines};
use super::{CdrError, Settings};
use crate::ids::utc_stamp;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Others than the owner's group have no business with who called whom.
const MODE: u32 = 0o640;

const DAY_MS: u64 = 86_400_000;

/// A rotation that failed is tried again after this.
const RETRY_MS: u64 = 1_000;

/// Files that one second may turn over.
const SAME_SECOND_MAX: u32 = 10_000;

/// How much is read at once to find a file's last whole line.
const TAIL_BYTES: u64 = 64 * 1024;

/// The directory with its files. It is locked for as long as this lives.
#[derive(Debug)]
pub struct Files {
    directory: File,
    path: PathBuf,
    current: PathBuf,
    format: Format,
    size_bytes: u64,
    file: File,
    /// Days since 1970 on which the current file's records were written.
    day: u64,
    /// Where the last whole line ends, when what is behind it could not be cut off.
    torn_at: Option<u64>,
    /// A rotation failed: not before this.
    rotates_from_ms: u64,
}

impl Files {
    /// Opens the directory and its current file, which goes on where it ended; also tells how many bytes of
    /// an unfinished line were cut off there. `now_ms` counts from 1970 in UTC.
    ///
    /// # Errors
    /// One line with the cure.
    pub fn open(settings: &Settings, now_ms: u64) -> Result<(Files, u64), CdrError> {
        let path = settings.directory.clone();
        let refuse = |why: String| CdrError(format!("--cdr-dir {}: {why}", path.display()));
        let unwritable = |error: io::Error| {
            refuse(format!("records cannot be written there ({error}); give a directory of this user's own"))
        };
        fs::create_dir_all(&path).map_err(unwritable)?;
        let directory = File::open(&path).map_err(unwritable)?;
        directory.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => {
                refuse("another process writes its records there; give each its own directory".to_owned())
            }
            fs::TryLockError::Error(error) => unwritable(error),
        })?;
        let current = path.join(format!("cdr.{}", settings.format.extension()));
        let file = open_current(&current).map_err(unwritable)?;
        let length = file.metadata().map_err(unwritable)?.len();
        let whole = whole_lines(&file, length).map_err(unwritable)?;
        if whole < length {
            file.set_len(whole).map_err(unwritable)?;
        }
        check_writable(&path).map_err(unwritable)?;
        let written_s = file.metadata().map_err(unwritable)?.mtime();
        let written_day = u64::try_from(written_s).unwrap_or_default() * 1_000 / DAY_MS;
        let day = if whole > 0 { written_day } else { now_ms / DAY_MS };
        let (format, size_bytes) = (settings.format, settings.size_bytes);
        let files = Files {
            directory,
            path,
            current,
            format,
            size_bytes,
            file,
            day,
            torn_at: None,
            rotates_from_ms: 0,
        };
        Ok((files, length - whole))
    }

    /// The current file's length with whole lines only.
    fn length(&mut self) -> io::Result<u64> {
        if let Some(whole) = self.torn_at {
            self.file.set_len(whole)?;
            self.torn_at = None;
        }
        Ok(self.file.metadata()?.len())
    }

    /// Writes once. Returns how many bytes of it are in the file.
    fn write_at(&mut self, length: u64, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match (&self.file).write(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.cut(length);
                    return Err(error);
                }
                Ok(count) => return Ok(count),
            }
        }
    }

    /// Cuts the file back to its whole lines, now or before anything else is written.
    fn cut(&mut self, length: u64) {
        if self.file.set_len(length).is_err() {
            self.torn_at = Some(length);
        }
    }

    /// Writes the heading of a file that is empty.
    fn begin(&mut self) -> io::Result<u64> {
        let length = self.length()?;
        let heading = self.format.heading().as_bytes();
        if length > 0 || heading.is_empty() {
            return Ok(length);
        }
        let count = self.write_at(0, heading)?;
        if count < heading.len() {
            self.cut(0);
            return Err(ErrorKind::StorageFull.into());
        }
        Ok(heading.len() as u64)
    }

    /// Turns the current file over when it is another day's, or `next` more bytes would make it too long. A
    /// rotation that fails leaves the current file in use.
    fn turn(&mut self, next: u64, now_ms: u64) -> io::Result<()> {
        let (length, day) = (self.length()?, now_ms / DAY_MS);
        if length <= self.format.heading().len() as u64 {
            self.day = day;
            return Ok(());
        }
        let is_full = next > 0 && length + next > self.size_bytes;
        if !is_full && day == self.day || now_ms < self.rotates_from_ms {
            return Ok(());
        }
        self.rotates_from_ms = now_ms + RETRY_MS;
        self.rotate(now_ms)?;
        self.rotates_from_ms = 0;
        self.day = day;
        Ok(())
    }

    fn rotate(&mut self, now_ms: u64) -> io::Result<()> {
        self.file.sync_all()?;
        let target = self.reserve(now_ms)?;
        if let Err(error) = fs::rename(&self.current, &target) {
            // It is empty and ours.
            let _ = fs::remove_file(&target);
            return Err(error);
        }
        self.follow()?;
        self.directory.sync_all()
    }

    /// Makes an empty file under the name of one that is turned over now: no other is ever written over.
    fn reserve(&self, now_ms: u64) -> io::Result<PathBuf> {
        let stamp = utc_stamp(now_ms / 1_000);
        let stamp = String::from_utf8_lossy(&stamp);
        let (date, time) = stamp.split_at(8);
        for number in 0..SAME_SECOND_MAX {
            let suffix = if number == 0 { String::new() } else { format!("-{number}") };
            let name = format!("cdr-{date}T{time}Z{suffix}.{}", self.format.extension());
            let target = self.path.join(name);
            match OpenOptions::new().write(true).create_new(true).mode(MODE).open(&target) {
                Ok(_) => return Ok(target),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    /// Opens the current file again if its name leads elsewhere: it was turned over, by us or by others.
    fn follow(&mut self) -> io::Result<()> {
        let own = self.file.metadata()?;
        let is_same = match fs::metadata(&self.current) {
            Ok(named) => (named.dev(), named.ino()) == (own.dev(), own.ino()),
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if !is_same {
            self.length()?;
            self.file = open_current(&self.current)?;
        }
        Ok(())
    }
}

impl Sink for Files {
    fn append(&mut self, lines: &mut Lines, now_ms: u64) -> io::Result<()> {
        let mut turned = Ok(());
        while !lines.is_empty() {
            // Rather a file too long than a record lost.
            let outcome = self.turn(lines.first(1).len() as u64, now_ms);
            turned = turned.and(outcome);
            let length = self.begin()?;
            let room = usize::try_from(self.size_bytes.saturating_sub(length)).unwrap_or(usize::MAX);
            let bytes = lines.first(lines.within(room).max(1));
            let (all, written) = (bytes.len(), self.write_at(length, bytes)?);
            let whole = lines.within(written);
            if written < all {
                self.cut(length + lines.first(whole).len() as u64);
            }
            if whole == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            lines.remove_first(whole);
        }
        turned
    }

    fn tick(&mut self, now_ms: u64) -> io::Result<()> {
        self.follow()?;
        self.turn(0, now_ms)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.length()?;
        self.file.sync_all()
    }
}

fn open_current(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(MODE).open(path)
}

/// Where the last line that ends does so.
fn whole_lines(file: &File, length: u64) -> io::Result<u64> {
    let mut end = length;
    let mut buffer = vec![0; TAIL_BYTES as usize];
    while end > 0 {
        let start = end.saturating_sub(TAIL_BYTES);
        let part = &mut buffer[..(end - start) as usize];
        file.read_exact_at(part, start)?;
        if let Some(place) = memchr::memrchr(b'\n', part) {
            return Ok(start + place as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Whether files can be made in the directory: rotation will need that.
fn check_writable(directory: &Path) -> io::Result<()> {
    let path = std::ffi::CString::new(directory.as_os_str().as_encoded_bytes())?;
    // SAFETY: the path is a text that ends in NUL and outlives the call.
    match unsafe { libc::access(path.as_ptr(), libc::W_OK | libc::X_OK) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
