//! Who may call, and as whom.

use super::{Key, Kind, ROW, SECURITY, Setting, number};

pub const ROWS: &[Setting] = &[
    Setting {
        key: Key::Auth,
        name: "auth",
        form: "auto|required",
        kind: Kind::Choice(&["auto", "required"]),
        default: "auto",
        example: "required",
        topic: SECURITY,
        help: "Who has to prove by its password who it is: everyone that is not --trusted; auto, while every \
               listener is on loopback: only those whose number has a password",
        ..ROW
    },
    Setting {
        key: Key::Realm,
        name: "realm",
        form: "TEXT",
        kind: Kind::Realm,
        default: crate::auth::REALM,
        example: "example.net",
        topic: SECURITY,
        help: "What the passwords belong to; with another realm they have to be set anew",
        ..ROW
    },
    Setting {
        key: Key::AuthAlgorithms,
        name: "auth-algorithms",
        form: "NAME,...",
        kind: Kind::Algorithms,
        default: "sha-256,md5",
        example: "sha-256",
        topic: SECURITY,
        help: "What phones are asked to hash with, the most wanted first: sha-256, md5",
        ..ROW
    },
    Setting {
        key: Key::Trusted,
        name: "trusted",
        form: "ADDRESS[/PREFIX]",
        kind: Kind::Network,
        example: "192.0.2.0/24",
        topic: SECURITY,
        repeatable: true,
        help: "Peers that need no password, may call as anyone and are told who calls; never phones",
        ..ROW
    },
    Setting {
        key: Key::NonceLifetime,
        name: "nonce-lifetime",
        form: "SECONDS",
        kind: number(10, 86_400),
        default: "300",
        unit: "seconds",
        example: "300",
        topic: SECURITY,
        help: "How long a phone may go on with one challenge",
        ..ROW
    },
    Setting {
        key: Key::AuthFailures,
        name: "auth-failures",
        form: "N",
        kind: number(0, 60_000),
        default: "10",
        unit: "failures",
        example: "10",
        topic: SECURITY,
        help: "Wrong passwords that one address may send in a minute; more are answered 503; 0: any number",
        ..ROW
    },
];
