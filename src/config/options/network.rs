//! The network, shards and CPUs.

use super::{BUFFER, Key, Kind, NETWORK, ROW, SHARDS, Setting, Word, number};
use crate::limits::SHARDS_MAX;

pub const ROWS: &[Setting] = &[
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
];
