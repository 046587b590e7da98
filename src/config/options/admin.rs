//! The admin API.

use super::{ADMIN, Key, Kind, ROW, Setting};

pub const ROWS: &[Setting] = &[
    Setting {
        key: Key::Admin,
        name: "admin",
        form: "ADDRESS:PORT|off",
        kind: Kind::Address,
        default: "127.0.0.1:8060",
        example: "127.0.0.1:8060",
        topic: ADMIN,
        help: "Where the HTTP API, health and metrics are served; beyond loopback with --admin-token-file \
               only, for there is no TLS; port 0: a free one, which the server names",
        ..ROW
    },
    Setting {
        key: Key::AdminTokenFile,
        name: "admin-token-file",
        form: "FILE",
        kind: Kind::Path,
        example: "/etc/ringway/token",
        topic: ADMIN,
        help: "File with the token that clients of the API must show: one line of 16 characters or more",
        ..ROW
    },
];
