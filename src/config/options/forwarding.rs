//! Subscribers and forwarding.

use super::{FORWARDING, Key, Kind, NO_ANSWER_SECONDS, ROW, SWITCH, Setting, number};
use crate::limits::DIVERSIONS_MAX;

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
               address, for a phone that does not register), unconditional=, busy=, no-answer=, \
               not-registered=, not-reachable= (where to forward to: a number, a sip or tel URI), after= \
               (seconds), headers= (as --headers) and privacy= (full: who it forwards to beyond trusted \
               peers is not told its number); in TOML a [[subscriber]] table each",
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
        kind: number(0, DIVERSIONS_MAX as u32),
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
        key: Key::Headers,
        name: "headers",
        form: "FORM",
        kind: Kind::Choice(&["diversion", "history-info", "both", "none"]),
        default: "both",
        example: "diversion",
        topic: FORWARDING,
        help: "Which header fields tell of a diversion where neither a --peer nor the subscriber called says \
               it: diversion (RFC 5806), history-info (RFC 7044), both or none",
        ..ROW
    },
    Setting {
        key: Key::Route,
        name: "route",
        form: "KEY=VALUE,...",
        kind: Kind::Route,
        example: "prefix=+,to=sip:192.0.2.9:5060",
        topic: FORWARDING,
        repeatable: true,
        help: "Where targets are reached that no subscriber has: prefix=, how their numbers begin (the \
               longest counts), and to=, a sip URI whose user the number takes the place of and whose host \
               is an IP address",
        ..ROW
    },
    Setting {
        key: Key::Peer,
        name: "peer",
        form: "KEY=VALUE,...",
        kind: Kind::Peer,
        example: "address=192.0.2.0/24,headers=diversion,identity=diverting",
        topic: FORWARDING,
        repeatable: true,
        help: "What another server wants to be told: address= of it or of its network, headers= as \
               --headers, and identity= caller or diverting, whose number P-Asserted-Identity has on \
               forwarded calls",
        ..ROW
    },
    Setting {
        key: Key::NumberRule,
        name: "number-rule",
        form: "KEY=VALUE,...",
        kind: Kind::NumberRule,
        example: "prefix=0,to=+49",
        topic: FORWARDING,
        repeatable: true,
        help: "How numbers are written towards others, and before a --route is looked for: those that begin \
               with prefix= (the longest counts) begin with to= instead",
        ..ROW
    },
    Setting {
        key: Key::Emergency,
        name: "emergency",
        form: "NUMBER",
        kind: Kind::Emergency,
        default: "112,911",
        example: "110",
        topic: FORWARDING,
        repeatable: true,
        help: "Numbers that no call is forwarded to, instead of the default; an empty one: none",
        ..ROW
    },
    Setting {
        key: Key::NoDeflection,
        name: "no-deflection",
        topic: FORWARDING,
        help: "Pass a phone's 302 on to the caller instead of forwarding the call to its Contact",
        ..SWITCH
    },
    Setting {
        key: Key::FeatureCode,
        name: "feature-code",
        form: "CODE=MEANING",
        kind: Kind::FeatureCode,
        example: "*92=register:no-answer",
        topic: FORWARDING,
        repeatable: true,
        help: "A short code that phones dial, as CODE=ACTION:CONDITION: register (the target follows the \
               code), activate, deactivate, erase or query; unconditional, busy, no-answer, not-registered, \
               not-reachable (with not-registered), all or all-conditional; the first one takes the place of \
               *72, *73, *90, *91, *92 and *93",
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
