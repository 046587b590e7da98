//! `ringway dump` and `ringway load`: all that a store holds, as JSON lines (see [`super::document`]).

use super::document::{self, Line};
use super::{Part, Place, Settings, Store, StoreError, Write, open_to_copy};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::HashSet;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, BufRead, BufReader, BufWriter, Write as _};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A file's name that stands for standard input or output.
const STANDARD: &str = "-";

/// Lines that become durable together. A file's commit costs the more the more of its pages change, so few
/// large ones are cheaper; a server has to answer within its timeout.
const LINES_PER_COMMIT: usize = 20_000;
const LINES_PER_COMMIT_OF_A_SERVER: usize = 1_000;

/// How often the progress is drawn.
const DRAWN_EVERY: Duration = Duration::from_millis(200);

/// Writes a store's subscribers with their bindings to a file. Returns what was done, in words.
///
/// # Errors
/// The store cannot be opened or read, or the file cannot be written.
pub fn dump(settings: &Settings, file: &str) -> Result<String, StoreError> {
    let mut store = open_to_copy(settings)?;
    let failed = |error: io::Error| StoreError(format!("{file}: cannot be written: {error}"));
    let mut out: BufWriter<Box<dyn io::Write>> = BufWriter::new(match file {
        STANDARD => Box::new(io::stdout().lock()),
        _ => {
            // What is in it lets one log in: nobody else is to read it.
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            let out = options.open(file).map_err(failed)?;
            if out.metadata().is_ok_and(|metadata| metadata.is_file()) {
                // One that was there keeps its mode else.
                out.set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
            }
            Box::new(out)
        }
    });
    let progress = spinner("{spinner} {pos} subscribers");
    let (mut subscribers, mut bindings, mut others) = (0u64, 0, 0);
    let mut written: io::Result<()> = Ok(());
    store.load(&mut |record| match document::write_line(&record, &settings.listeners) {
        Some(mut line) => {
            line.push(b'\n');
            if written.is_ok() {
                written = out.write_all(&line);
            }
            subscribers += 1;
            bindings += record.bindings.len();
            progress.set_position(subscribers);
        }
        None => others += 1,
    })?;
    written.and_then(|()| out.flush()).map_err(failed)?;
    progress.finish_and_clear();
    let mut done = format!("dumped {subscribers} subscribers and {bindings} bindings");
    if others > 0 {
        done.push_str(&format!("; not the bindings of {others} numbers that the configuration names"));
    }
    Ok(done)
}

/// Reads a file's lines into a store; a line replaces its number's subscriber, and its bindings if it has
/// any. Returns what was done, in words.
///
/// # Errors
/// The store cannot be opened or written to, or a line makes no sense: the lines before it are loaded.
pub fn load(settings: &Settings, file: &str, replace: bool) -> Result<String, StoreError> {
    let failed = |error: io::Error| StoreError(format!("{file}: cannot be read: {error}"));
    let (lines, progress): (Box<dyn BufRead>, _) = match file {
        STANDARD => (Box::new(io::stdin().lock()), spinner("{spinner} {bytes} of standard input")),
        _ => {
            let opened = File::open(file).map_err(failed)?;
            let bytes = opened.metadata().map_err(failed)?.len();
            (Box::new(BufReader::with_capacity(1 << 20, opened)), bar(bytes))
        }
    };
    let mut loader = Loader {
        store: open_to_copy(settings)?,
        lines_max: match settings.place {
            Place::Redis(_) => LINES_PER_COMMIT_OF_A_SERVER,
            Place::Memory | Place::Directory(_) => LINES_PER_COMMIT,
        },
        waiting: Vec::new(),
        numbers: HashSet::new(),
        loaded: 0,
    };
    let mut kept: HashSet<Box<str>> = HashSet::new();
    for (index, text) in lines.lines().enumerate() {
        let text = text.map_err(failed)?;
        progress.inc(text.len() as u64 + 1);
        if text.trim().is_empty() {
            continue;
        }
        match document::read_line(&text, &settings.listeners) {
            Ok(line) => {
                if replace {
                    kept.insert(line.number.clone());
                }
                loader.add(line)?;
            }
            Err(reason) => {
                loader.commit()?;
                let (line, loaded) = (index + 1, loader.loaded);
                return Err(StoreError(format!(
                    "{file}:{line}: {reason}; the {loaded} subscribers before it are loaded"
                )));
            }
        }
    }
    loader.commit()?;
    let mut done = format!("loaded {} subscribers", loader.loaded);
    if replace {
        done.push_str(&format!(", removed {}", loader.remove_others(&kept)?));
    }
    loader.store.complete()?;
    progress.finish_and_clear();
    Ok(done)
}

/// Lines on their way into a store.
struct Loader {
    store: Box<dyn Store>,
    lines_max: usize,
    waiting: Vec<Line>,
    /// Theirs: a number is written once in a commit.
    numbers: HashSet<Box<str>>,
    loaded: usize,
}

impl Loader {
    fn add(&mut self, line: Line) -> Result<(), StoreError> {
        if self.waiting.len() >= self.lines_max || !self.numbers.insert(line.number.clone()) {
            self.commit()?;
            self.numbers.insert(line.number.clone());
        }
        self.waiting.push(line);
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        let revision = now_us();
        let lines = self.waiting.iter().map(|line| Write {
            number: &line.number,
            based_on: None,
            revision,
            subscriber: Part::Put(&line.subscriber),
            bindings: match &line.bindings {
                None => Part::Keep,
                Some(bindings) if bindings.is_empty() => Part::Remove,
                Some(bindings) => Part::Put(bindings),
            },
        });
        let writes: Vec<_> = lines.collect();
        if !writes.is_empty() {
            self.store.commit(&writes)?;
        }
        self.loaded += self.waiting.len();
        self.waiting.clear();
        self.numbers.clear();
        Ok(())
    }

    /// Takes away the subscribers whose numbers are not among those to keep. Returns how many.
    fn remove_others(&mut self, kept: &HashSet<Box<str>>) -> Result<usize, StoreError> {
        let mut others: Vec<Box<str>> = Vec::new();
        self.store.load(&mut |record| {
            if record.subscriber.is_some() && !kept.contains(&record.number) {
                others.push(record.number);
            }
        })?;
        let revision = now_us();
        for numbers in others.chunks(self.lines_max) {
            let removals = numbers.iter().map(|number| Write {
                number,
                based_on: None,
                revision,
                subscriber: Part::Remove,
                bindings: Part::Remove,
            });
            let writes: Vec<_> = removals.collect();
            self.store.commit(&writes)?;
        }
        Ok(others.len())
    }
}

/// The calendar's microseconds, which revisions are made of.
fn now_us() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since_epoch.as_micros() as u64
}

/// A progress bar of bytes; nothing is drawn where standard error is no terminal.
fn bar(bytes: u64) -> ProgressBar {
    styled(ProgressBar::new(bytes), "{bar:40} {percent} % of {total_bytes}, {eta} left")
}

fn spinner(template: &str) -> ProgressBar {
    styled(ProgressBar::new_spinner(), template)
}

fn styled(progress: ProgressBar, template: &str) -> ProgressBar {
    // The templates are constants; a wrong one shows as the plain bar.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    progress.set_style(style);
    progress.enable_steady_tick(DRAWN_EVERY);
    progress
}
