//! SIP timers, limits and stopping.

use super::{Key, LIMITS, ROW, Setting, TIMERS, number};

pub const ROWS: &[Setting] = &[
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
