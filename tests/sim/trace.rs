//! The last that was said in a call, as the server saw it; printed when something is wrong.

use super::call::{CALLER, Kind};
use super::setup::{hop_of, phone_of};
use ringway::sip::Method;
use std::fmt::Write;

const ENTRIES: usize = 48;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It came to the server.
    In,
    /// The server sent it.
    Out,
    /// The server sent it and the network lost every copy.
    OutLost,
    /// The peer sent it and the network lost every copy.
    InLost,
}

/// Eight bytes, so that thousands of calls stay in the processor's caches.
#[derive(Clone, Copy)]
struct Entry {
    at_ms: u32,
    /// 0: a request.
    status: u16,
    method: Method,
    /// Two bits of [`Fate`] above the peer's place; the caller's is [`CALLER_PLACE`].
    fate_and_who: u8,
}

const CALLER_PLACE: u8 = 63;
const FATES: [Fate; 4] = [Fate::In, Fate::Out, Fate::OutLost, Fate::InLost];

const _: () = assert!(size_of::<Entry>() == 8);

impl Entry {
    fn new(at_ms: u64, who: u8, fate: Fate, kind: Kind) -> Entry {
        let (status, method) = match kind {
            Kind::Request(method) => (0, method),
            Kind::Response(status, method) => (status, method),
        };
        let place = if who == CALLER { CALLER_PLACE } else { who };
        Entry { at_ms: at_ms as u32, status, method, fate_and_who: (fate as u8) << 6 | place }
    }

    fn fate(self) -> Fate {
        FATES[usize::from(self.fate_and_who >> 6)]
    }

    fn who(self) -> u8 {
        match self.fate_and_who & CALLER_PLACE {
            CALLER_PLACE => CALLER,
            hop => hop,
        }
    }

    fn kind(self) -> Kind {
        if self.status == 0 { Kind::Request(self.method) } else { Kind::Response(self.status, self.method) }
    }
}

#[derive(Clone)]
pub struct Ring {
    entries: [Entry; ENTRIES],
    count: u32,
}

impl Default for Ring {
    fn default() -> Ring {
        let nothing = Entry::new(0, 0, Fate::In, Kind::Request(Method::Other));
        Ring { entries: [nothing; ENTRIES], count: 0 }
    }
}

impl Ring {
    pub fn push(&mut self, now_ms: u64, who: u8, fate: Fate, kind: Kind) {
        self.entries[self.count as usize % ENTRIES] = Entry::new(now_ms, who, fate, kind);
        self.count += 1;
    }

    /// One line for each message, oldest first: `20504 ms  S → B1 CANCEL`.
    pub fn ladder(&self) -> String {
        let first = self.count.saturating_sub(ENTRIES as u32);
        let mut text = String::new();
        if first > 0 {
            text += &format!("  … {first} earlier messages\n");
        }
        for number in first..self.count {
            let entry = self.entries[number as usize % ENTRIES];
            let at_ms = entry.at_ms;
            let who = name(entry.who());
            let what = summary(entry.kind());
            let line = match entry.fate() {
                Fate::In => format!("{who} → S {what}"),
                Fate::Out => format!("S → {who} {what}"),
                Fate::InLost => format!("{who} ✗ S {what}"),
                Fate::OutLost => format!("S ✗ {who} {what}"),
            };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {at_ms:>8} ms  {line}");
        }
        text
    }
}

pub fn name(who: u8) -> String {
    match (who, phone_of(who)) {
        (CALLER, _) => "A".into(),
        (hop, 0) => format!("B{hop}"),
        (place, phone) => format!("B{}.{phone}", hop_of(place)),
    }
}

pub fn summary(kind: Kind) -> String {
    match kind {
        Kind::Request(method) => method.name().into(),
        Kind::Response(status, method) => format!("{status} {}", method.name()),
    }
}
