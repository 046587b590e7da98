//! Arguments → configuration → server → wait for its end.

use ringway::admin::{Admin, Backend};
use ringway::cdr::Recorder;
use ringway::config::{Action, Config, ConfigError, World};
use ringway::directory::Subscriber;
use ringway::metrics::Metrics;
use ringway::net::Server;
use ringway::net::post::Post;
use ringway::rtpengine::Engines;
use ringway::store::keeper::{self, Keeper, Rules};
use ringway::store::{self, Place, StoreError, lines};
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EXIT_FAILED: u8 = 1;
const EXIT_USAGE: u8 = 2;

/// How often the main thread looks whether the server has ended.
const POLL: Duration = Duration::from_millis(100);

/// The same while the last is written, which mostly takes milliseconds.
const POLL_LAST: Duration = Duration::from_millis(5);

/// Numbers that are in the store and in the configuration: so many are named in the log.
const SHADOWED_NAMED_MAX: usize = 8;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|first| first == "ctl") {
        return ctl();
    }
    match action() {
        Ok(Action::Print(text)) => {
            say(text.trim_end());
            ExitCode::SUCCESS
        }
        Ok(Action::Dump { store, file }) => finish(lines::dump(&store, &file)),
        Ok(Action::Load { store, file, replace }) => finish(lines::load(&store, &file, replace)),
        Ok(Action::Start(config)) => match serve(*config) {
            Ok(code) => code,
            Err(error) => fail(EXIT_FAILED, &error.to_string()),
        },
        Err(error) => fail(EXIT_USAGE, &error.to_string()),
    }
}

fn action() -> Result<Action, ConfigError> {
    Config::from_args(std::env::args_os(), &World::of_process()?)
}

/// Asks a running server for something.
fn ctl() -> ExitCode {
    let mut around = ringway::ctl::Surroundings {
        input: &mut std::io::stdin().lock(),
        output: &mut std::io::stdout().lock(),
        errors: &mut std::io::stderr().lock(),
        variable: &|name| std::env::var(name).ok(),
    };
    ExitCode::from(ringway::ctl::run(std::env::args_os().skip(2), &mut around))
}

/// Says what a subcommand did; not on standard output, where a dump may go.
fn finish(done: Result<String, StoreError>) -> ExitCode {
    match done {
        Ok(done) => {
            let _ = writeln!(std::io::stderr(), "{done}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(EXIT_FAILED, &error.to_string()),
    }
}

/// Runs a server to its end; the exit code of one that ended as it was asked to.
fn serve(config: Config) -> Result<ExitCode, Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_max_level(config.log).with_writer(std::io::stderr).init();
    // Before any thread starts, so that all of them inherit the mask and only the main thread is told.
    let signals = signals::Blocked::new()?;
    let summary = config.summary();
    let drain_timeout = config.net.drain_timeout;
    let rules = Rules::of(&config.settings);
    let (keeper, post) = open_store(&config.store, config.subscribers, rules)?;
    let directory = Arc::clone(keeper.handle().directory());
    let realm = config.settings.auth.realm.clone();
    let recorder = config.cdr.map(|cdr| Recorder::start(&cdr, Arc::clone(&post))).transpose()?;
    let wait_ms = config.settings.media.wait_ms;
    let engines =
        (!config.engines.is_empty()).then(|| Engines::start(&config.engines, wait_ms, Arc::clone(&post)));
    let engines = engines.transpose()?;
    let server = Server::start(Arc::new(config.settings), directory, config.net, Arc::clone(&post))?;
    let backend = Backend::new(keeper.handle(), &server, post, &realm);
    let admin = config.admin.map(|settings| Admin::start(settings, backend)).transpose()?;
    say(&format!("ringway {}", env!("CARGO_PKG_VERSION")));
    say(&summary);
    say(&admin
        .as_ref()
        .map_or("no admin API".to_owned(), |admin| format!("admin API on http://{}", admin.address())));
    say("try: cargo run --release -p loadgen -- demo");

    let mut is_draining = false;
    while !server.is_finished() {
        let Some(signal) = signals.wait(POLL) else { continue };
        let (name, calls) = (signals::name(signal), server.calls());
        if is_draining {
            say(&format!("{name} again: ends at once; calls left: {calls}"));
            say(&totals(&server.metrics()));
            // The shards' threads are not waited for; 128 + signal is the shell's code for an end by signal.
            std::process::exit(128 + signal);
        }
        is_draining = true;
        server.drain();
        say(&format!(
            "{name}: no new calls; calls left: {calls}, for at most {} s; a second signal ends at once",
            drain_timeout.as_secs()
        ));
    }
    let metrics = server.metrics();
    let ended = server.join();
    drop(admin);
    close(keeper, (recorder, engines), (&signals, is_draining), &metrics);
    say(&totals(&metrics));
    ended?;
    Ok(ExitCode::SUCCESS)
}

/// After the shards: what they posted last becomes durable too. A disk that hangs does not keep a second
/// signal from ending the process; `is_asked`: there was one already.
fn close(
    keeper: Keeper,
    (recorder, engines): (Option<Recorder>, Option<Engines>),
    (signals, mut is_asked): (&signals::Blocked, bool),
    metrics: &Metrics,
) {
    keeper.end();
    if let Some(recorder) = &recorder {
        recorder.end();
    }
    if let Some(engines) = &engines {
        engines.end();
    }
    while !keeper.is_finished()
        || !recorder.as_ref().is_none_or(Recorder::is_finished)
        || !engines.as_ref().is_none_or(Engines::is_finished)
    {
        let Some(signal) = signals.wait(POLL_LAST) else { continue };
        let name = signals::name(signal);
        if is_asked {
            say(&format!("{name} again: ends at once; what is not written yet is lost"));
            say(&totals(metrics));
            std::process::exit(128 + signal);
        }
        is_asked = true;
        say(&format!("{name}: writes what is left; a second signal ends at once"));
    }
    keeper.stop();
    if let Some(recorder) = recorder {
        recorder.stop();
    }
    if let Some(engines) = engines {
        engines.stop();
    }
}

/// Opens the store, reads it, and starts its keeper.
fn open_store(
    settings: &store::Settings,
    configured: Vec<Subscriber>,
    rules: Rules,
) -> Result<(Keeper, Arc<Post>), StoreError> {
    let begin = Instant::now();
    let mut store = store::open(settings)?;
    let loaded = keeper::load(&mut *store, configured)?;
    if settings.place != Place::Memory {
        tracing::info!(
            "read {} subscribers and {} bindings in {} ms",
            loaded.stored,
            loaded.bindings,
            begin.elapsed().as_millis()
        );
    }
    for number in loaded.shadowed.iter().take(SHADOWED_NAMED_MAX) {
        tracing::warn!("{number} is in the store and in the configuration; the configuration's is served");
    }
    if loaded.shadowed.len() > SHADOWED_NAMED_MAX {
        tracing::warn!("so are {} more", loaded.shadowed.len() - SHADOWED_NAMED_MAX);
    }
    let post = Arc::new(Post::default());
    let keeper = Keeper::start(store, loaded.writer, Arc::clone(&post), rules)?;
    Ok((keeper, post))
}

fn totals(metrics: &Metrics) -> String {
    format!(
        "calls: {} started, {} answered, {} failed, {} cancelled; forwarded {} times",
        metrics.calls_started,
        metrics.calls_answered,
        metrics.calls_failed,
        metrics.calls_cancelled,
        metrics.forwards()
    )
}

/// Writes a line to standard output; a closed one does not end a server.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn fail(code: u8, message: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "ringway: {message}");
    ExitCode::from(code)
}

/// SIGINT and SIGTERM, taken by the main thread when it asks for them.
mod signals {
    use std::io;
    use std::mem::MaybeUninit;
    use std::time::Duration;

    pub struct Blocked(libc::sigset_t);

    impl Blocked {
        /// Blocks both signals in this thread and in those that it starts from now on.
        pub fn new() -> io::Result<Blocked> {
            let mut set = MaybeUninit::uninit();
            // SAFETY: sigemptyset initialises the set that the other calls then use; the old mask is not
            // asked for.
            let result = unsafe {
                libc::sigemptyset(set.as_mut_ptr());
                libc::sigaddset(set.as_mut_ptr(), libc::SIGINT);
                libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM);
                libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut())
            };
            match result {
                // SAFETY: initialised above.
                0 => Ok(Blocked(unsafe { set.assume_init() })),
                error => Err(io::Error::from_raw_os_error(error)),
            }
        }

        /// The signal that is or becomes pending within `timeout`.
        pub fn wait(&self, timeout: Duration) -> Option<i32> {
            let timeout = libc::timespec {
                tv_sec: timeout.as_secs().cast_signed(),
                tv_nsec: timeout.subsec_nanos().into(),
            };
            // SAFETY: both pointers are to initialised values that outlive the call; no siginfo is asked for.
            let signal =
                unsafe { libc::sigtimedwait(&raw const self.0, std::ptr::null_mut(), &raw const timeout) };
            (signal > 0).then_some(signal)
        }
    }

    pub fn name(signal: i32) -> &'static str {
        match signal {
            libc::SIGINT => "SIGINT",
            _ => "SIGTERM",
        }
    }
}
