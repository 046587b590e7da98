//! What the operator sets: flags over environment over TOML file over defaults, one table of options.
//!
//! [`Config::from_args`] is pure: the arguments come in, and all else that it looks at is in [`World`]. It
//! checks the options one by one and together; whether an address or a port can be had shows at the start
//! of the server.

mod build;
mod environment;
mod file;
mod flags;
mod forwarding;
mod layer;
mod media;
mod options;
mod print;
mod store;
mod subscriber;
mod system;
mod value;

pub use flags::command;
pub use media::Node;
pub use print::markdown_table;
pub use subscriber::{
    check as check_subscriber, is_password as check_password, member, peer as contact_address,
};
pub use value::without_password;

use crate::admin;
use crate::cdr;
use crate::directory::Subscriber;
use crate::net::NetSettings;
use crate::settings::Settings;
use crate::store::Settings as StoreSettings;
use layer::{Layer, Values};
use options::Key;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

/// Everything that a server needs to start.
#[derive(Clone, Debug)]
pub struct Config {
    pub settings: Settings,
    /// Those that the configuration names, or the lab's.
    pub subscribers: Vec<Subscriber>,
    pub net: NetSettings,
    /// The rtpengines that anchor media; empty: none does.
    pub engines: Vec<Node>,
    pub store: StoreSettings,
    /// `None`: no records of legs are written.
    pub cdr: Option<cdr::Settings>,
    /// `None`: there is no API.
    pub admin: Option<admin::Settings>,
    /// The least severe that is written to standard error.
    pub log: tracing::Level,
    /// The subscribers are the lab's, because none was configured.
    pub lab: bool,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Action {
    /// Start a server.
    Start(Box<Config>),
    /// Write what a store holds to a file.
    Dump { store: StoreSettings, file: String },
    /// Read a file into a store; `replace`: what it does not have is removed.
    Load { store: StoreSettings, file: String, replace: bool },
    /// Print this and exit with success: help, version, a checked or printed configuration.
    Print(String),
}

/// What the operator set wrong: one line that names the option, its value and origin, and the cure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl ConfigError {
    fn new(message: String) -> ConfigError {
        ConfigError(message)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// What a configuration depends on besides the arguments.
pub struct World<'a> {
    /// The environment; only `RINGWAY_*` is looked at.
    pub environment: Vec<(String, String)>,
    /// Reads the TOML file.
    pub read_file: &'a dyn Fn(&Path) -> io::Result<String>,
    /// The CPUs that the process may run on, ascending.
    pub cpus_allowed: Vec<usize>,
    /// Keys what must not be guessed.
    pub secret: u64,
}

impl World<'static> {
    /// The world of this process.
    ///
    /// # Errors
    /// The system names no CPUs or gives no random bytes.
    pub fn of_process() -> Result<World<'static>, ConfigError> {
        let text = |text: OsString| text.to_string_lossy().into_owned();
        let cpus_allowed = system::cpus_allowed().map_err(|error| {
            ConfigError::new(format!("the CPUs of this process cannot be read (sched_getaffinity: {error})"))
        })?;
        let secret = system::secret().map_err(|error| {
            ConfigError::new(format!("the system gives no random bytes (getrandom: {error})"))
        })?;
        Ok(World {
            environment: std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect(),
            read_file: &|path| std::fs::read_to_string(path),
            cpus_allowed,
            secret,
        })
    }
}

impl Config {
    /// Reads and checks the whole configuration; the first argument is the program's name.
    ///
    /// # Errors
    /// An unknown option, variable or key; a value that is refused; a file that cannot be read; values that
    /// contradict each other.
    pub fn from_args(
        args: impl IntoIterator<Item = OsString>,
        world: &World<'_>,
    ) -> Result<Action, ConfigError> {
        let (subcommand, flags) = match flags::read(args)? {
            flags::Flags::Options(layer) => (None, layer),
            flags::Flags::Command(subcommand, layer) => (Some(subcommand), layer),
            flags::Flags::Text(text) => return Ok(Action::Print(text)),
        };
        let environment = environment::read(&world.environment)?;
        let file = read_file(&flags, &environment, world)?;
        let mut values = Values::merge([file, environment, flags]);
        if let Some(subcommand) = subcommand {
            let store = build::store_alone(&values)?;
            return Ok(match subcommand {
                flags::Subcommand::Dump { file } => Action::Dump { store, file },
                flags::Subcommand::Load { file, replace } => Action::Load { store, file, replace },
            });
        }
        let config = build::config(&mut values, world)?;
        Ok(if values.switch(Key::PrintConfig)? {
            Action::Print(print::as_toml(&values))
        } else if values.switch(Key::CheckConfig)? {
            Action::Print(format!("configuration is good\n{}", config.summary()))
        } else {
            Action::Start(Box::new(config))
        })
    }

    /// The lab's three phones served on one address, everything else at its default: 1003, 1004 (forwards to
    /// 1005) and 1005 at 127.0.0.137, .136 and .138, port 5060.
    #[must_use]
    pub fn lab(listen: SocketAddr) -> Config {
        build::lab(listen)
    }

    /// What the configuration amounts to, in a few lines: listeners, shards, subscribers.
    #[must_use]
    pub fn summary(&self) -> String {
        print::summary(self)
    }
}

/// The file that a flag or the environment names.
fn read_file(flags: &Layer, environment: &Layer, world: &World<'_>) -> Result<Layer, ConfigError> {
    let setting = Key::Config.setting();
    let named = [flags, environment].into_iter().find_map(|layer| layer.values.get(&Key::Config)?.last());
    match named.filter(|raw| !raw.text.is_empty()) {
        None => Ok(Layer::default()),
        Some(raw) => {
            let text = (world.read_file)(Path::new(&raw.text))
                .map_err(|error| raw.wrong(setting, &format!("the file cannot be read: {error}")))?;
            file::read(&raw.text, &text)
        }
    }
}

/// A text fit for one line of a message.
fn shown(text: &str) -> String {
    match text.chars().any(char::is_control) {
        true => text.escape_debug().to_string(),
        false => text.to_owned(),
    }
}
