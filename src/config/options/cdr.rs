//! Call detail records.

use super::{CDR, Key, Kind, MEBIBYTE, ROW, Setting};

pub const ROWS: &[Setting] = &[
    Setting {
        key: Key::CdrDir,
        name: "cdr-dir",
        form: "DIR",
        kind: Kind::Path,
        example: "/var/log/ringway",
        topic: CDR,
        help: "Directory of the files that get a line for each leg that has ended; made when it is missing; \
               without it there are none",
        ..ROW
    },
    Setting {
        key: Key::CdrFormat,
        name: "cdr-format",
        form: "json|csv",
        kind: Kind::Choice(&["json", "csv"]),
        default: "json",
        example: "csv",
        topic: CDR,
        help: "A JSON object a line, or comma-separated values with a heading",
        ..ROW
    },
    Setting {
        key: Key::CdrSize,
        name: "cdr-size",
        form: "SIZE",
        kind: Kind::Size { min: 4 * 1024, max: 1024 * 1024 * MEBIBYTE },
        default: "64MiB",
        unit: "bytes",
        example: "64MiB",
        topic: CDR,
        help: "A file that the next line would make longer than this gets a name with the time, and a new \
               one is begun; so it is at midnight (UTC)",
        ..ROW
    },
];
