//! Calls.

use super::{CALLS, Key, Kind, ROW, Setting, Word, number};

pub const ROWS: &[Setting] = &[
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
];
