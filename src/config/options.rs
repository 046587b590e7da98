//! The one table of options. Flags, environment variables, TOML keys, `--help`, `--print-config` and the
//! README's table are all made from it.

use crate::limits::SHARDS_MAX;

/// What one option is called, takes and means.
#[derive(Debug)]
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
    /// `key=value` pairs of one subscriber.
    Subscriber,
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
    RingLimit,
    TryingLimit,
    CallLimit,
    Ack,
    Media,
    SessionExpires,
    AlertInfo,
    T1,
    T2,
    T4,
    MaxCalls,
    MaxTransactions,
    RetryAfter,
    DrainTimeout,
}

const RUNNING: &str = "Configuration and logging";
const NETWORK: &str = "Network";
const SHARDS: &str = "Shards and CPUs";
const FORWARDING: &str = "Subscribers and forwarding";
const CALLS: &str = "Calls";
const TIMERS: &str = "SIP timers (RFC 3261, Table 4)";
const LIMITS: &str = "Limits and stopping";

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

/// The table. Its order is the order of `--help`, `--print-config` and the README.
pub static TABLE: &[Setting] = &[
    Setting {
        key: Key::Config,
        name: "config",
        form: "FILE",
        kind: Kind::Path,
        example: "ringway.toml",
        places: Places::NotInFile,
        help: "TOML file with the options' names as keys",
        ..ROW
    },
    Setting {
        key: Key::CheckConfig,
        name: "check-config",
        places: Places::FlagOnly,
        help: "Check the whole configuration, say what it amounts to, and exit",
        ..SWITCH
    },
    Setting {
        key: Key::PrintConfig,
        name: "print-config",
        places: Places::FlagOnly,
        help: "Print every option with its value and origin as TOML, and exit",
        ..SWITCH
    },
    Setting {
        key: Key::Log,
        name: "log",
        form: "LEVEL",
        kind: Kind::Choice(&["error", "warn", "info", "debug", "trace"]),
        default: "info",
        example: "info",
        help: "What is written to standard error: error, warn, info, debug or trace",
        ..ROW
    },
    Setting {
        key: Key::Listen,
        name: "listen",
        form: "udp:ADDRESS:PORT",
        kind: Kind::Listen,
        default: "udp:127.0.0.1:5060",
        example: "udp:192.0.2.10:5060",
        topic: NETWORK,
        repeatable: true,
        help: "Where to receive SIP; an IPv6 address stands in brackets: udp:[::1]:5060",
        ..ROW
    },
    Setting {
        key: Key::Advertise,
        name: "advertise",
        form: "HOST[:PORT]",
        kind: Kind::Advertise,
        example: "192.0.2.10:5060",
        topic: NETWORK,
        repeatable: true,
        help: "What Via and Contact say instead of the listening address; needed for 0.0.0.0 and [::]; an \
               IP address speaks for the listeners of its family, a name for all",
        ..ROW
    },
    Setting {
        key: Key::Batch,
        name: "batch",
        form: "N",
        kind: number(1, 1024),
        default: "64",
        unit: "datagrams",
        example: "64",
        topic: NETWORK,
        help: "Datagrams received or sent in one system call",
        ..ROW
    },
    Setting {
        key: Key::ReceiveBuffer,
        name: "receive-buffer",
        form: "SIZE",
        kind: BUFFER,
        default: "16MiB",
        unit: "bytes",
        example: "16MiB",
        topic: NETWORK,
        help: "Receive buffer of every socket; without CAP_NET_ADMIN the kernel caps it at net.core.rmem_max",
        ..ROW
    },
    Setting {
        key: Key::SendBuffer,
        name: "send-buffer",
        form: "SIZE",
        kind: BUFFER,
        default: "4MiB",
        unit: "bytes",
        example: "4MiB",
        topic: NETWORK,
        help: "Send buffer of every socket; without CAP_NET_ADMIN the kernel caps it at net.core.wmem_max",
        ..ROW
    },
    Setting {
        key: Key::Shards,
        name: "shards",
        form: "N|auto",
        kind: Kind::Number {
            min: 1,
            max: SHARDS_MAX as u32,
            word: Some(Word { text: "auto", means: "one per CPU" }),
        },
        default: "auto",
        unit: "shards",
        example: "2",
        topic: SHARDS,
        help: "Executors, each on a CPU of its own; auto: one for each CPU that the process may use",
        ..ROW
    },
    Setting {
        key: Key::Cpus,
        name: "cpus",
        form: "LIST",
        kind: Kind::Cpus,
        example: "0,2-3",
        topic: SHARDS,
        help: "The CPUs to run on, such as 0,2-3; without it the first that the process may use",
        ..ROW
    },
    Setting {
        key: Key::Inbox,
        name: "inbox",
        form: "N",
        kind: number(16, 1_048_576),
        default: "8192",
        unit: "datagrams",
        example: "8192",
        topic: SHARDS,
        help: "A shard's datagrams that may wait for it after another shard received them",
        ..ROW
    },
    Setting {
        key: Key::Subscriber,
        name: "subscriber",
        form: "KEY=VALUE,...",
        kind: Kind::Subscriber,
        example: "number=1004,contact=sip:1004@192.0.2.136:5060",
        topic: FORWARDING,
        repeatable: true,
        help: "Whom to serve: number=, contact= (sip URI with an IP address), no-answer= (the number to \
               forward to) and after= (seconds); in TOML a [[subscriber]] table each",
        ..ROW
    },
    Setting {
        key: Key::NoAnswerTimeout,
        name: "no-answer-timeout",
        form: "SECONDS",
        kind: NO_ANSWER_SECONDS,
        default: "20",
        unit: "seconds",
        example: "20",
        topic: FORWARDING,
        help: "How long a subscriber that sets no after= rings before the call is forwarded",
        ..ROW
    },
    Setting {
        key: Key::MaxDiversions,
        name: "max-diversions",
        form: "N",
        kind: number(0, 10),
        default: "5",
        unit: "diversions",
        example: "5",
        topic: FORWARDING,
        help: "Diversions that one call may see, those before it came here included",
        ..ROW
    },
    Setting {
        key: Key::No181,
        name: "no-181",
        topic: FORWARDING,
        help: "Send the caller no 181 Call Is Being Forwarded",
        ..SWITCH
    },
    Setting {
        key: Key::Unreachable408,
        name: "unreachable-408",
        topic: FORWARDING,
        help: "Take a 408 before any ringing as not reachable instead of no answer",
        ..SWITCH
    },
    Setting {
        key: Key::LateAnswer,
        name: "late-answer",
        form: "drop|keep",
        kind: Kind::Choice(&["drop", "keep"]),
        default: "drop",
        example: "keep",
        topic: FORWARDING,
        help: "A 200 that crosses our CANCEL: drop ends it with BYE, keep lets it win while the target only \
               rings",
        ..ROW
    },
    Setting {
        key: Key::RingLimit,
        name: "ring-limit",
        form: "SECONDS",
        kind: number(5, 3_600),
        default: "180",
        unit: "seconds",
        example: "180",
        topic: CALLS,
        help: "How long a callee may ring when no no-answer timer runs",
        ..ROW
    },
    Setting {
        key: Key::TryingLimit,
        name: "trying-limit",
        form: "SECONDS",
        kind: number(1, 3_600),
        default: "60",
        unit: "seconds",
        example: "60",
        topic: CALLS,
        help: "How long a callee may stay at 100 Trying",
        ..ROW
    },
    Setting {
        key: Key::CallLimit,
        name: "call-limit",
        form: "SECONDS",
        kind: number(0, 604_800),
        default: "14400",
        unit: "seconds",
        example: "14400",
        topic: CALLS,
        help: "How long a call may last before both sides get BYE; 0: for ever",
        ..ROW
    },
    Setting {
        key: Key::Ack,
        name: "ack",
        form: "relay|immediate",
        kind: Kind::Choice(&["relay", "immediate"]),
        default: "relay",
        example: "immediate",
        topic: CALLS,
        help: "When the callee's 200 is acknowledged: with the caller's ACK, or at once",
        ..ROW
    },
    Setting {
        key: Key::Media,
        name: "media",
        form: "pass",
        kind: Kind::Choice(&["pass"]),
        default: "pass",
        example: "pass",
        topic: CALLS,
        help: "How media goes: pass leaves SDP unchanged, the parties send to each other",
        ..ROW
    },
    Setting {
        key: Key::SessionExpires,
        name: "session-expires",
        form: "SECONDS",
        kind: Kind::Number { min: 90, max: 86_400, word: Some(Word { text: "0", means: "off" }) },
        default: "90",
        unit: "seconds",
        example: "90",
        topic: CALLS,
        help: "Session-Expires towards callees, at least 90; 0 leaves it out",
        ..ROW
    },
    Setting {
        key: Key::AlertInfo,
        name: "alert-info",
        form: "URI",
        kind: Kind::Uri,
        example: "http://192.0.2.10/ring.wav",
        topic: CALLS,
        help: "Alert-Info towards callees",
        ..ROW
    },
    Setting {
        key: Key::T1,
        name: "t1",
        form: "MS",
        kind: number(10, 10_000),
        default: "500",
        unit: "milliseconds",
        example: "500",
        topic: TIMERS,
        help: "The round-trip time's estimate: the first retransmission; 64 of it end a transaction",
        ..ROW
    },
    Setting {
        key: Key::T2,
        name: "t2",
        form: "MS",
        kind: number(10, 60_000),
        default: "4000",
        unit: "milliseconds",
        example: "4000",
        topic: TIMERS,
        help: "The longest pause between retransmissions; at least T1",
        ..ROW
    },
    Setting {
        key: Key::T4,
        name: "t4",
        form: "MS",
        kind: number(10, 60_000),
        default: "5000",
        unit: "milliseconds",
        example: "5000",
        topic: TIMERS,
        help: "How long a message may stay in the network",
        ..ROW
    },
    Setting {
        key: Key::MaxCalls,
        name: "max-calls",
        form: "N",
        kind: number(1, 10_000_000),
        default: "200000",
        unit: "calls",
        example: "200000",
        topic: LIMITS,
        help: "Calls that all shards together hold; more are answered 503",
        ..ROW
    },
    Setting {
        key: Key::MaxTransactions,
        name: "max-transactions",
        form: "N",
        kind: number(16, 100_000_000),
        default: "4000000",
        unit: "transactions",
        example: "4000000",
        topic: LIMITS,
        help: "Transactions that all shards together hold, those that linger after their end included",
        ..ROW
    },
    Setting {
        key: Key::RetryAfter,
        name: "retry-after",
        form: "SECONDS",
        kind: number(1, 3_600),
        default: "5",
        unit: "seconds",
        example: "5",
        topic: LIMITS,
        help: "Retry-After on a 503",
        ..ROW
    },
    Setting {
        key: Key::DrainTimeout,
        name: "drain-timeout",
        form: "SECONDS",
        kind: number(0, 86_400),
        default: "30",
        unit: "seconds",
        example: "30",
        topic: LIMITS,
        help: "How long calls may go on after SIGTERM or SIGINT; a second signal ends them at once",
        ..ROW
    },
];

/// The bounds of every no-answer timer: the server's and a subscriber's own.
pub const NO_ANSWER_SECONDS: Kind = number(5, 180);

const _: () = {
    let mut row = 0;
    while row < TABLE_ROWS {
        assert!(TABLE[row].key as usize == row, "the table's order is that of Key");
        row += 1;
    }
    assert!(TABLE_ROWS == Key::DrainTimeout as usize + 1, "every Key has its row");
};
const TABLE_ROWS: usize = TABLE.len();

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
            read_file: &|_| Ok(String::new()),
            cpus_allowed: vec![0, 1, 2, 3],
            secret: 1,
        };
        // A phone that the examples' listeners reach and whose number the examples leave free.
        let others = ["--subscriber=number=1,contact=sip:1@192.0.2.1", "--listen=udp:192.0.2.60:5060"];
        for setting in TABLE.iter().filter(|setting| setting.places != Places::FlagOnly) {
            for text in [setting.example, setting.default] {
                let flag = format!("--{}={text}", setting.name);
                let args = ["ringway", flag.as_str()].into_iter().chain(others);
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
