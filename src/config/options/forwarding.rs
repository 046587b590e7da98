//! Subscribers and forwarding.

use super::{FORWARDING, Key, Kind, NO_ANSWER_SECONDS, ROW, SWITCH, Setting, number};

pub const ROWS: &[Setting] = &[
    Setting {
        key: Key::Subscriber,
        name: "subscriber",
        form: "KEY=VALUE,...",
        kind: Kind::Subscriber,
        example: "number=1004,contact=sip:1004@192.0.2.136:5060",
        topic: FORWARDING,
        repeatable: true,
        help: "Whom to serve: number=, password= (to register and to call), contact= (sip URI with an IP \
               address, for a phone that does not register), no-answer= (the number to forward to) and \
               after= (seconds); in TOML a [[subscriber]] table each",
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
        key: Key::FeatureCode,
        name: "feature-code",
        form: "CODE=ACTION:CONDITION",
        kind: Kind::FeatureCode,
        example: "*92=register:no-answer",
        topic: FORWARDING,
        repeatable: true,
        help: "A short code that phones dial: register (the target follows the code), activate, deactivate, \
               erase or query, for unconditional, busy, no-answer, not-registered, not-reachable (with \
               not-registered), all or all-conditional; the first one takes the place of *72, *73, *90, *91, \
               *92 and *93",
        ..ROW
    },
    Setting {
        key: Key::NoFeatureCodes,
        name: "no-feature-codes",
        topic: FORWARDING,
        help: "Take no feature codes, those of mobile phones (**61*...#) neither",
        ..SWITCH
    },
];
