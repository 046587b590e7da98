//! Registration.

use super::{Key, REGISTRATION, ROW, Setting, number};
use crate::limits::CONTACTS_MAX;

pub const ROWS: &[Setting] = &[
    Setting {
        key: Key::MaxContacts,
        name: "max-contacts",
        form: "N",
        kind: number(1, CONTACTS_MAX as u32),
        default: "10",
        unit: "contacts",
        example: "10",
        topic: REGISTRATION,
        help: "Contacts that one subscriber may have registered at once; one more is refused with 403",
        ..ROW
    },
    Setting {
        key: Key::MinExpires,
        name: "min-expires",
        form: "SECONDS",
        // RFC 3261 §10.3 step 7: an hour is never too brief.
        kind: number(1, 3_600),
        default: "60",
        unit: "seconds",
        example: "60",
        topic: REGISTRATION,
        help: "The shortest registration; a shorter one is refused with 423",
        ..ROW
    },
    Setting {
        key: Key::MaxExpires,
        name: "max-expires",
        form: "SECONDS",
        kind: number(60, 604_800),
        default: "7200",
        unit: "seconds",
        example: "7200",
        topic: REGISTRATION,
        help: "The longest registration; a longer one is cut to it",
        ..ROW
    },
    Setting {
        key: Key::DefaultExpires,
        name: "default-expires",
        form: "SECONDS",
        kind: number(60, 604_800),
        default: "3600",
        unit: "seconds",
        example: "3600",
        topic: REGISTRATION,
        help: "How long a registration lasts that names no time, within --min-expires and --max-expires",
        ..ROW
    },
];
