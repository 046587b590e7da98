//! Configuration and logging.

use super::{Key, Kind, Places, ROW, SWITCH, Setting};

pub const ROWS: &[Setting] = &[
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
];
