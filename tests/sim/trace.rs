//! The last that was said in a call, as the server saw it; printed when something is wrong.

use super::call::{CALLER, Kind};
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

#[derive(Clone, Copy)]
struct Entry {
    at_ms: u32,
    who: u8,
    fate: Fate,
    kind: Kind,
}

#[derive(Clone)]
pub struct Ring {
    entries: [Entry; ENTRIES],
    count: u32,
}

impl Default for Ring {
    fn default() -> Ring {
        let nothing = Entry { at_ms: 0, who: 0, fate: Fate::In, kind: Kind::Request(Method::Other) };
        Ring { entries: [nothing; ENTRIES], count: 0 }
    }
}

impl Ring {
    pub fn push(&mut self, now_ms: u64, who: u8, fate: Fate, kind: Kind) {
        self.entries[self.count as usize % ENTRIES] = Entry { at_ms: now_ms as u32, who, fate, kind };
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
            let Entry { at_ms, who, fate, kind } = self.entries[number as usize % ENTRIES];
            let who = name(who);
            let what = summary(kind);
            let line = match fate {
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
    if who == CALLER { "A".into() } else { format!("B{who}") }
}

pub fn summary(kind: Kind) -> String {
    match kind {
        Kind::Request(method) => method.name().into(),
        Kind::Response(status, method) => format!("{status} {}", method.name()),
    }
}
