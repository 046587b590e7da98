//! The one table of options. Flags, environment variables, TOML keys, `--help`, `--print-config` and the
//! README's table are all made from it.

mod admin;
mod calls;
mod cdr;
mod forwarding;
mod limits;
mod media;
mod network;
mod registration;
mod running;
mod security;
mod store;

/// What one option is called, takes and means.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub key: Key,
    /// `--name`; also the TOML key.
    pub name: &'static str,
    /// The value's shape as `--help` shows it.
    pub form: &'static str,
    pub kind: Kind,
    /// The value when nobody sets one; empty: none.
    pub default: &'static str,
    /// What the value counts; empty when it counts nothing.
    pub unit: &'static str,
    /// A value that is accepted, shown in error messages.
    pub example: &'static str,
    pub topic: &'static str,
    pub repeatable: bool,
    pub places: Places,
    pub help: &'static str,
}

/// What texts an option accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `udp:ADDRESS:PORT`.
    Listen,
    /// `HOST` or `HOST:PORT`.
    Advertise,
    /// A whole number within bounds, or one special word.
    Number { min: u32, max: u32, word: Option<Word> },
    /// Bytes within bounds, with an optional suffix KiB or MiB.
    Size { min: usize, max: usize },
    /// CPU numbers and ranges.
    Cpus,
    /// A file's path.
    Path,
    /// true or false.
    Switch,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An absolute URI.
    Uri,
    /// A quoted string's text (RFC 3261 §25.1).
    Realm,
    /// Names of digest algorithms.
    Algorithms,
    /// `ADDRESS` or `ADDRESS/PREFIX`.
    Network,
    /// A feature code and what it does.
    FeatureCode,
    /// A store's name or URL.
    Store,
    /// `ADDRESS:PORT`, or `off`.
    Address,
    /// `anchor`, `pass`, or rtpengines.
    Media,
    /// `FIRST-LAST`.
    Ports,
    /// `ADDRESS` or `ADDRESS/ADVERTISED`.
    RtpAddress,
    /// `key=value` pairs of one subscriber.
    Subscriber,
    /// A prefix of numbers, and where they are reached.
    Route,
    /// An address, and what is sent there.
    Peer,
    /// A prefix of numbers, and how it is written elsewhere.
    NumberRule,
    /// Numbers that no call is forwarded to.
    Emergency,
}

/// A text that stands beside the numbers, and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    pub text: &'static str,
    pub means: &'static str,
}

/// Where an option may be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Places {
    Everywhere,
    /// Not in the TOML file: it names that file.
    NotInFile,
    /// On the command line alone: it says what to do this once.
    FlagOnly,
}

/// The options, in the table's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Config,
    CheckConfig,
    PrintConfig,
    Log,
    Listen,
    Advertise,
    Batch,
    ReceiveBuffer,
    SendBuffer,
    Shards,
    Cpus,
    Inbox,
    Subscriber,
    NoAnswerTimeout,
    MaxDiversions,
    No181,
    Unreachable408,
    LateAnswer,
    Headers,
    Route,
    Peer,
    NumberRule,
    Emergency,
    NoDeflection,
    FeatureCode,
    NoFeatureCodes,
    MaxContacts,
    MinExpires,
    MaxExpires,
    DefaultExpires,
    Auth,
    Realm,
    AuthAlgorithms,
    Trusted,
    NonceLifetime,
    AuthFailures,
    RingLimit,
    TryingLimit,
    CallLimit,
    Ack,
    SessionExpires,
    AlertInfo,
    Media,
    RtpPorts,
    RtpQuarantine,
    RtpAddress,
    MediaLearning,
    MediaTimeout,
    MediaSilence,
    MediaWait,
    Tones,
    RtpDscp,
    T1,
    T2,
    T4,
    MaxCalls,
    MaxTransactions,
    RetryAfter,
    DrainTimeout,
    DataDir,
    Store,
    StoreTimeout,
    StoreCache,
    CdrDir,
    CdrFormat,
    CdrSize,
    Admin,
    AdminTokenFile,
}

const RUNNING: &str = "Configuration and logging";
const NETWORK: &str = "Network";
const SHARDS: &str = "Shards and CPUs";
const FORWARDING: &str = "Subscribers and forwarding";
const REGISTRATION: &str = "Registration";
const SECURITY: &str = "Authentication and trust";
const CALLS: &str = "Calls";
const MEDIA: &str = "Media";
const TIMERS: &str = "SIP timers (RFC 3261, Table 4)";
const LIMITS: &str = "Limits and stopping";
const STORE: &str = "Store";
const CDR: &str = "Call detail records";
const ADMIN: &str = "Admin API";

/// What most rows share.
const ROW: Setting = Setting {
    key: Key::Config,
    name: "",
    form: "",
    kind: Kind::Switch,
    default: "",
    unit: "",
    example: "",
    topic: RUNNING,
    repeatable: false,
    places: Places::Everywhere,
    help: "",
};

/// A flag without a value; `--name=false` takes it back.
const SWITCH: Setting =
    Setting { kind: Kind::Switch, form: "true|false", default: "false", example: "true", ..ROW };

const fn number(min: u32, max: u32) -> Kind {
    Kind::Number { min, max, word: None }
}

const MEBIBYTE: usize = 1024 * 1024;

/// Socket buffers: below one datagram's bookkeeping nothing fits, above 1 GiB SO_RCVBUF's `int` overflows
/// when the kernel doubles it.
const BUFFER: Kind = Kind::Size { min: 16 * 1024, max: 1023 * MEBIBYTE };

/// The rows, topic by topic, in the order of [`Key`].
const PARTS: [&[Setting]; 11] = [
    running::ROWS,
    network::ROWS,
    forwarding::ROWS,
    registration::ROWS,
    security::ROWS,
    calls::ROWS,
    media::ROWS,
    limits::ROWS,
    store::ROWS,
    cdr::ROWS,
    admin::ROWS,
];

/// The table. Its order is the order of `--help`, `--print-config` and the README.
pub static TABLE: &[Setting] = &table();

const ROWS: usize = {
    let (mut rows, mut part) = (0, 0);
    while part < PARTS.len() {
        rows += PARTS[part].len();
        part += 1;
    }
    rows
};

const fn table() -> [Setting; ROWS] {
    let mut table = [ROW; ROWS];
    let (mut rows, mut part) = (0, 0);
    while part < PARTS.len() {
        let mut row = 0;
        while row < PARTS[part].len() {
            table[rows] = PARTS[part][row];
            assert!(table[rows].key as usize == rows, "the table's order is that of Key");
            rows += 1;
            row += 1;
        }
        part += 1;
    }
    table
}

/// The bounds of every no-answer timer: the server's and a subscriber's own.
pub const NO_ANSWER_SECONDS: Kind = number(5, 180);

const _: () = assert!(ROWS == LAST_KEY as usize + 1, "every Key has its row");
const LAST_KEY: Key = Key::AdminTokenFile;

impl Key {
    pub fn setting(self) -> &'static Setting {
        &TABLE[self as usize]
    }
}

impl Setting {
    /// The environment variable: `RINGWAY_` and the name in upper case, hyphens as underscores.
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.replace('-', "_").to_ascii_uppercase())
    }
}

/// What every environment variable of ours begins with.
pub const PREFIX: &str = "RINGWAY_";

/// The candidate that `name` most likely meant.
pub fn nearest<T: AsRef<str>>(name: &str, candidates: impl IntoIterator<Item = T>) -> Option<T> {
    let distance = |candidate: &T| strsim::damerau_levenshtein(name, candidate.as_ref());
    candidates.into_iter().min_by_key(distance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, World};

    #[test]
    fn every_example_and_default_is_accepted() {
        let world = World {
            environment: Vec::new(),
            read_file: &|path| {
                let text = if path.ends_with("token") { "0123456789abcdef" } else { "" };
                Ok(text.to_owned())
            },
            cpus_allowed: vec![0, 1, 2, 3],
            secret: 1,
        };
        // A phone that the examples' listeners reach and whose number the examples leave free.
        let others = ["--subscriber=number=1,contact=sip:1@192.0.2.1", "--listen=udp:192.0.2.60:5060"];
        // Where one example goes another one may have to stand beside it.
        let beside = |setting: &Setting, text: &str| match (setting.key, text) {
            (Key::Store, "") => "--data-dir=store",
            (Key::DataDir, _) if !text.is_empty() => "--log=info",
            (Key::Store, _) => "--log=info",
            _ => "--store=memory",
        };
        for setting in TABLE.iter().filter(|setting| setting.places != Places::FlagOnly) {
            for text in [setting.example, setting.default] {
                let flag = format!("--{}={text}", setting.name);
                let args =
                    ["ringway", flag.as_str()].into_iter().chain(others).chain([beside(setting, text)]);
                let is_set = !text.is_empty() || setting.kind != Kind::Subscriber;
                let result = Config::from_args(args.map(Into::into), &world);
                assert!(!is_set || result.is_ok(), "{flag}: {result:?}");
            }
        }
    }

    #[test]
    fn the_names_are_distinct_and_the_command_is_sound() {
        for (row, setting) in TABLE.iter().enumerate() {
            assert!(!TABLE[..row].iter().any(|other| other.name == setting.name), "{}", setting.name);
            assert!(!setting.help.is_empty() && !setting.help.ends_with('.'), "{}", setting.name);
        }
        crate::config::flags::command().debug_assert();
    }
}
