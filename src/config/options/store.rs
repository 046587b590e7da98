//! Where subscribers and bindings are kept.

use super::{Key, Kind, MEBIBYTE, ROW, STORE, Setting, number};

pub const ROWS: &[Setting] = &[
    Setting {
        key: Key::DataDir,
        name: "data-dir",
        form: "DIR",
        kind: Kind::Path,
        example: "/var/lib/ringway",
        topic: STORE,
        help: "Directory of the file that subscribers and bindings are kept in; made when it is missing",
        ..ROW
    },
    Setting {
        key: Key::Store,
        name: "store",
        form: "redb|memory|redis://HOST[:PORT][/DB]",
        kind: Kind::Store,
        example: "redis://127.0.0.1:6379",
        topic: STORE,
        help: "Where subscribers and bindings are kept: redb in the file of --data-dir, a Redis or Valkey \
               server that several nodes share, or memory, which ends with the process; without it redb \
               where there is a --data-dir, else memory, on loopback only",
        ..ROW
    },
    Setting {
        key: Key::StoreTimeout,
        name: "store-timeout",
        form: "MS",
        kind: number(100, 60_000),
        default: "2000",
        unit: "milliseconds",
        example: "2000",
        topic: STORE,
        help: "How long a REGISTER, or one answer of a Redis server, waits for the store; then it is a 503",
        ..ROW
    },
    Setting {
        key: Key::StoreCache,
        name: "store-cache",
        form: "SIZE",
        kind: Kind::Size { min: MEBIBYTE, max: 1024 * 1024 * MEBIBYTE },
        default: "64MiB",
        unit: "bytes",
        example: "64MiB",
        topic: STORE,
        help: "How much of the file of --data-dir is kept in memory besides what calls are looked up in",
        ..ROW
    },
];
