//! The files: the current one, which only grows by whole lines, and those that were turned over.

use super::backlog::Sink;
use super::lines::{Format, Lines};
use super::{CdrError, Settings};
use crate::ids::utc_stamp;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Others than the owner's group have no business with who called whom.
const MODE: u32 = 0o640;

const DAY_MS: u64 = 86_400_000;

/// A rotation that failed is tried again after this.
const RETRY_MS: u64 = 1_000;

/// The file that is about to become the current one; empty.
const NEXT: &str = ".cdr.next";

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
        let refuse = |error: io::Error| {
            let cure = if error.kind() == ErrorKind::WouldBlock {
                format!("{error}; give each its own directory")
            } else {
                format!("records cannot be written there ({error}); give a directory of this user's own")
            };
            CdrError(format!("--cdr-dir {}: {cure}", path.display()))
        };
        let directory = open_directory(&path).map_err(refuse)?;
        let current = path.join(settings.format.current());
        let opened = Current::open(&current, now_ms).map_err(refuse)?;
        check_writable(&path).map_err(refuse)?;
        let mut files = Files {
            directory,
            current,
            format: settings.format,
            size_bytes: settings.size_bytes,
            file: opened.file,
            day: opened.day,
            torn_at: None,
            rotates_from_ms: 0,
            path: path.clone(),
        };
        files.turn_over_older(now_ms).map_err(refuse)?;
        let cut = files.turn_over_others(now_ms).map_err(refuse)?;
        Ok((files, opened.cut + cut))
    }

    /// Turns over what a version with other columns has left: lines belong to the heading above them.
    fn turn_over_older(&mut self, now_ms: u64) -> io::Result<()> {
        let heading = self.format.heading().as_bytes();
        let length = usize::try_from(self.length()?).unwrap_or(usize::MAX);
        let mut start = vec![0; heading.len().min(length)];
        self.file.read_exact_at(&mut start, 0)?;
        if start.is_empty() || start == heading { Ok(()) } else { self.rotate(now_ms) }
    }

    /// Turns over what a run with another format has left: nothing is added to it any more. Returns how many
    /// bytes of unfinished lines were cut off.
    fn turn_over_others(&mut self, now_ms: u64) -> io::Result<u64> {
        let mut cut = 0;
        for format in Format::ALL.into_iter().filter(|format| *format != self.format) {
            let left = self.path.join(format.current());
            if !left.exists() {
                continue;
            }
            let opened = Current::open(&left, now_ms)?;
            cut += opened.cut;
            if opened.file.metadata()?.len() > format.heading().len() as u64 {
                opened.file.sync_all()?;
                self.move_away(&left, format, now_ms)?;
            }
        }
        Ok(cut)
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
        // A clock that was set back does not make it wait for longer.
        let waits = now_ms < self.rotates_from_ms && self.rotates_from_ms - now_ms <= RETRY_MS;
        if !is_full && day == self.day || waits {
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
        // First of all the next file, so that there is one whatever fails from here on.
        let next = self.path.join(NEXT);
        let file = open_file(&next)?;
        if let Err(error) = self.move_away(&self.current, self.format, now_ms) {
            // It is empty and ours.
            let _ = fs::remove_file(&next);
            return Err(error);
        }
        fs::rename(&next, &self.current)?;
        self.file = file;
        self.directory.sync_all()
    }

    /// Gives a file a name of this second's that no other has.
    fn move_away(&self, file: &Path, format: Format, now_ms: u64) -> io::Result<()> {
        let stamp = utc_stamp(now_ms / 1_000);
        let stamp = String::from_utf8_lossy(&stamp);
        let (date, time) = stamp.split_at(8);
        for number in 0..SAME_SECOND_MAX {
            let suffix = if number == 0 { String::new() } else { format!("-{number}") };
            let name = format!("cdr-{date}T{time}Z{suffix}.{}", format.extension());
            match rename_over_none(file, &self.path.join(name)) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                done => return done,
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    /// Opens the current file again if its name leads elsewhere: it was turned over by others, or removed,
    /// its directory perhaps too.
    fn follow(&mut self, now_ms: u64) -> io::Result<()> {
        if is_same(&self.file, &self.current)? {
            return Ok(());
        }
        // Whoever has the file now gets whole lines if that is possible; the next one is none the worse.
        let _ = self.length();
        if !is_same(&self.directory, &self.path)? {
            self.directory = open_directory(&self.path)?;
        }
        let opened = Current::open(&self.current, now_ms)?;
        (self.file, self.day, self.torn_at) = (opened.file, opened.day, None);
        Ok(())
    }
}

impl Sink for Files {
    fn append(&mut self, lines: &mut Lines, now_ms: u64) -> io::Result<()> {
        self.follow(now_ms)?;
        let mut turned = Ok(());
        while !lines.is_empty() {
            let outcome = self.turn(lines.first(1).len() as u64, now_ms);
            turned = turned.and(outcome);
            let length = self.begin()?;
            let room = usize::try_from(self.size_bytes.saturating_sub(length)).unwrap_or(usize::MAX);
            let is_begun = length > self.format.heading().len() as u64;
            let count = match lines.within(room) {
                // It could not be turned over: rather a file too long than a record lost.
                0 if is_begun => lines.len(),
                fitting => fitting.max(1),
            };
            let bytes = lines.first(count);
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
        self.follow(now_ms)?;
        self.turn(0, now_ms)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.length()?;
        self.file.sync_all()
    }
}

/// A current file that is opened, without what was not written to its end.
struct Current {
    file: File,
    /// Days since 1970 on which it was last written to.
    day: u64,
    /// How many bytes were cut off.
    cut: u64,
}

impl Current {
    fn open(path: &Path, now_ms: u64) -> io::Result<Current> {
        let file = open_file(path)?;
        let metadata = file.metadata()?;
        let (length, written_s) = (metadata.len(), metadata.mtime());
        let whole = whole_lines(&file, length)?;
        if whole < length {
            file.set_len(whole)?;
            // The cut is not of the day of the records. Where this cannot be said, they are turned over late.
            let _ = metadata.modified().and_then(|written| file.set_modified(written));
        }
        let written_day = u64::try_from(written_s).unwrap_or_default() * 1_000 / DAY_MS;
        let day = if whole > 0 { written_day } else { now_ms / DAY_MS };
        Ok(Current { file, day, cut: length - whole })
    }
}

/// Makes the directory if it is missing, and locks it.
fn open_directory(path: &Path) -> io::Result<File> {
    fs::create_dir_all(path)?;
    let directory = File::open(path)?;
    match directory.try_lock() {
        Ok(()) => Ok(directory),
        Err(fs::TryLockError::WouldBlock) => {
            Err(io::Error::new(ErrorKind::WouldBlock, "another process writes its records there"))
        }
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(MODE).open(path)
}

/// Whether a path leads to what is open here.
fn is_same(open: &File, path: &Path) -> io::Result<bool> {
    let own = open.metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (own.dev(), own.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Renames a file, in one step where the file system knows how, and never over another one.
fn rename_over_none(from: &Path, to: &Path) -> io::Result<()> {
    let text = |path: &Path| CString::new(path.as_os_str().as_encoded_bytes());
    let (old, new) = (text(from)?, text(to)?);
    // SAFETY: both paths are texts that end in NUL and outlive the call.
    let result = unsafe {
        libc::renameat2(libc::AT_FDCWD, old.as_ptr(), libc::AT_FDCWD, new.as_ptr(), libc::RENAME_NOREPLACE)
    };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if !matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) {
        return Err(error);
    }
    // A network's file system: the name is taken by an empty file of ours first.
    OpenOptions::new().write(true).create_new(true).mode(MODE).open(to)?;
    fs::rename(from, to).inspect_err(|_| drop(fs::remove_file(to)))
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
    let path = CString::new(directory.as_os_str().as_encoded_bytes())?;
    // SAFETY: the path is a text that ends in NUL and outlives the call.
    match unsafe { libc::access(path.as_ptr(), libc::W_OK | libc::X_OK) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
