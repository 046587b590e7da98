//! Diversion (RFC 5806).

use super::received::{Diversion, reason_of};
use super::steps::{Party, Step};
use super::uri::{ANONYMOUS, UNKNOWN, is_named, params, write_bare};
use super::{Detail, Hop, Told};
use crate::sip::HeaderName;
use crate::sip::write::Writer;

impl Told<'_> {
    /// Whether the received ones do not go out as they came.
    pub(super) fn rewrites_diversions(&self) -> bool {
        self.hides_any(&self.received.diversions, |entry| entry.is_private)
    }

    /// Writes ours, what History-Info has besides, and the received ones where they do not pass.
    pub(super) fn write_diversions(&self, writer: &mut Writer<'_>) {
        let is_told = self.detail > Detail::Received;
        for hop in self.hops.iter().rev().filter(|_| is_told) {
            self.write_hop(writer, &hop);
        }
        for step in self.for_diversions.iter().rev() {
            self.write_step(writer, &step);
        }
        // What cannot be read cannot be made anonymous: it stays out. So does what would be too much.
        if self.rewrites_diversions() && self.detail == Detail::All {
            let start = writer.length();
            for (place, entry) in self.received.diversions.items.iter().enumerate() {
                if place == 0 {
                    writer.name(HeaderName::Diversion);
                } else {
                    writer.raw(b", ");
                }
                self.write_received(writer, &entry);
                if Self::is_full(writer, start) {
                    break;
                }
            }
            if writer.length() > start {
                writer.end_line();
            }
        }
    }

    fn write_hop(&self, writer: &mut Writer<'_>, hop: &Hop<'_>) {
        let is_hidden = self.hides(hop.is_private);
        writer.name(HeaderName::Diversion).raw(b"<");
        if is_hidden {
            writer.raw(ANONYMOUS);
        } else {
            self.write_own(writer, hop.diverting);
        }
        write_params(writer, hop.reason.diversion(), (!is_hidden).then_some(hop.is_private));
    }

    fn write_step(&self, writer: &mut Writer<'_>, step: &Step<'_>) {
        let is_private = step.is_private == Some(true);
        let is_hidden = self.hides(is_private);
        writer.name(HeaderName::Diversion).raw(b"<");
        match step.party {
            _ if is_hidden => {
                writer.raw(ANONYMOUS);
            }
            Party::Unknown => {
                writer.raw(UNKNOWN);
            }
            Party::Known(uri) => write_bare(writer, uri),
        }
        write_params(writer, reason_of(step.cause), (!is_hidden).then_some(is_private));
    }

    fn write_received(&self, writer: &mut Writer<'_>, entry: &Diversion<'_>) {
        if !self.hides(entry.is_private == Some(true)) {
            writer.raw(entry.text);
            return;
        }
        writer.raw(b"<").raw(ANONYMOUS).raw(b">");
        for param in params(entry.params).filter(|param| !is_named(param, b"privacy")) {
            writer.raw(b";").raw(param);
        }
    }
}

/// Writes what stands behind the URI. Of what was made anonymous nothing is private any more (RFC 7544 §3.2).
fn write_params(writer: &mut Writer<'_>, reason: &str, is_private: Option<bool>) {
    writer.raw(b">;reason=").raw(reason.as_bytes()).raw(b";counter=1");
    match is_private {
        Some(true) => writer.raw(b";privacy=full"),
        Some(false) => writer.raw(b";privacy=off"),
        None => writer,
    }
    .end_line();
}
