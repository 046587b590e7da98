//! Media.

use super::{Key, Kind, MEDIA, ROW, Setting, Word, number};

pub const ROWS: &[Setting] = &[
    Setting {
        key: Key::Media,
        name: "media",
        form: "anchor|pass|rtpengine:udp:ADDRESS:PORT[;weight=N],...",
        kind: Kind::Media,
        default: "anchor",
        example: "rtpengine:udp:192.0.2.20:2223,udp:192.0.2.21:2223;weight=2",
        topic: MEDIA,
        help: "How media goes: anchor gives each side ports of the server's own, rtpengine those of another \
               machine's rtpengine (several with commas between them share the calls by weight), pass leaves \
               SDP unchanged and the parties send to each other",
        ..ROW
    },
    Setting {
        key: Key::RtpPorts,
        name: "rtp-ports",
        form: "FIRST-LAST",
        kind: Kind::Ports,
        default: "30000-59999",
        example: "30000-59999",
        topic: MEDIA,
        help: "The UDP ports of anchored media, two for each stream of each side: FIRST is even and LAST odd",
        ..ROW
    },
    Setting {
        key: Key::RtpQuarantine,
        name: "rtp-quarantine",
        form: "MILLISECONDS",
        kind: number(0, 60_000),
        default: "5000",
        unit: "milliseconds",
        example: "5000",
        topic: MEDIA,
        help: "How long a pair of ports rests between two calls, so that the last packets of one do not \
               reach the other",
        ..ROW
    },
    Setting {
        key: Key::RtpAddress,
        name: "rtp-address",
        form: "ADDRESS[/ADVERTISED]",
        kind: Kind::RtpAddress,
        example: "192.0.2.10/203.0.113.10",
        topic: MEDIA,
        repeatable: true,
        help: "Where anchored media comes to, one for each address family, and what SDP says instead of it; \
               without it the family's first --listen that is not on loopback, else its first, and its \
               --advertise where that is an address",
        ..ROW
    },
    Setting {
        key: Key::MediaLearning,
        name: "media-learning",
        form: "off|once|window",
        kind: Kind::Choice(&["off", "once", "window"]),
        default: "window",
        example: "once",
        topic: MEDIA,
        help: "Where a party's packets may come from besides the place that its SDP names, for phones \
               behind a NAT: off, nowhere; once, the first packet from its host decides; window, its first \
               half second does",
        ..ROW
    },
    Setting {
        key: Key::MediaTimeout,
        name: "media-timeout",
        form: "SECONDS",
        kind: Kind::Number { min: 5, max: 86_400, word: Some(Word { text: "0", means: "off" }) },
        default: "60",
        unit: "seconds",
        example: "60",
        topic: MEDIA,
        help: "How long nothing may be heard of a call's anchored media before both sides get BYE, hold \
               excepted; at least 5; 0: for ever",
        ..ROW
    },
    Setting {
        key: Key::MediaSilence,
        name: "media-silence",
        form: "both|one",
        kind: Kind::Choice(&["both", "one"]),
        default: "both",
        example: "one",
        topic: MEDIA,
        help: "Whose silence --media-timeout takes for the end: that of both parties, or of either one",
        ..ROW
    },
    Setting {
        key: Key::MediaWait,
        name: "media-wait",
        form: "MS",
        kind: number(50, 30_000),
        default: "1000",
        unit: "milliseconds",
        example: "1000",
        topic: MEDIA,
        help: "How long an rtpengine, and those tried after it, may take to answer; then a call gets 503",
        ..ROW
    },
    Setting {
        key: Key::Tones,
        name: "tones",
        form: "eu|us|uk|cn",
        kind: Kind::Choice(&["eu", "us", "uk", "cn"]),
        default: "eu",
        example: "us",
        topic: MEDIA,
        help: "Whose tones anchored media plays: Europe's, the United States', the United Kingdom's, China's",
        ..ROW
    },
    Setting {
        key: Key::RtpDscp,
        name: "rtp-dscp",
        form: "N",
        kind: number(0, 63),
        default: "46",
        example: "46",
        topic: MEDIA,
        help: "The differentiated services code point of anchored media's packets; 46: expedited forwarding",
        ..ROW
    },
];
