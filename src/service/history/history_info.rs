//! History-Info (RFC 7044).

use super::index::Index;
use super::received::Entry;
use super::steps::{Party, user_of};
use super::uri::{ANONYMOUS, Extras, UNKNOWN, is_same_address, params, write_address, write_with};
use super::{Detail, Hop, Told};
use crate::sip::write::Writer;
use crate::sip::{HeaderName, Uri};

/// Entries that are being written one behind the other.
struct Line<'w, 'b> {
    writer: &'w mut Writer<'b>,
    is_open: bool,
}

/// Whose entry it is.
#[derive(Clone, Copy)]
enum Subject<'a> {
    /// Of one that came with the INVITE.
    Received(Party<'a>),
    /// Of ours, which diverted the call too.
    Own(&'a [u8]),
    /// Whom the call goes to now.
    Target(&'a [u8]),
    /// The number that was called.
    Called,
}

impl<'b> Line<'_, 'b> {
    /// The place of the next entry.
    fn next(&mut self) -> &mut Writer<'b> {
        if std::mem::replace(&mut self.is_open, true) {
            self.writer.raw(b", ");
        } else {
            self.writer.name(HeaderName::HistoryInfo);
        }
        self.writer
    }

    fn end(self) {
        if self.is_open {
            self.writer.end_line();
        }
    }
}

impl<'a> Told<'a> {
    /// Whether the received ones do not go out as they came: some are not to be seen, or the last one is
    /// that of a number of ours that diverted the call (RFC 7044 §9.3, §10.2).
    pub(super) fn rewrites_entries(&self) -> bool {
        let is_private =
            |entry: Entry<'_>| Some(entry.is_private == Some(true) || self.is_private_own(&entry));
        self.hides_any(&self.received.entries, is_private) || self.adds_to_last()
    }

    /// Whether a received entry names one of ours that diverted the call and is private.
    fn is_private_own(&self, entry: &Entry<'_>) -> bool {
        let mut private = self.hops.iter().filter(|hop| hop.is_private);
        private.any(|hop| Uri::same_user(user_of(hop.diverting), user_of(entry.uri)))
    }

    /// Writes the received entries where they do not pass, those that Diversion has besides, and ours.
    pub(super) fn write_entries(&self, writer: &mut Writer<'_>) {
        let mut line = Line { writer, is_open: false };
        if self.rewrites_entries() {
            self.write_all_received(&mut line);
        }
        if self.history.form.has_history_info() && self.detail > Detail::Received {
            self.write_added(&mut line);
        }
        line.end();
    }

    /// The entry that ours follow; `None`: none came that could be read, or it stays out.
    fn last(&self) -> Option<Entry<'a>> {
        let is_left_out = self.detail != Detail::All && self.rewrites_entries();
        self.received.entries.items.last().filter(|_| !is_left_out)
    }

    /// Whether an entry is the Request-URI's: behind it none is missing.
    fn is_called(&self, entry: &Entry<'_>) -> bool {
        is_same_address(entry.uri, self.history.invite.request_uri())
    }

    /// Whether our first diversion says something of the entry that came last.
    fn adds_to_last(&self) -> bool {
        let last = self.received.entries.items.last().filter(|last| self.is_called(last));
        let first = self.hops.first().filter(|_| last.is_some() && self.for_entries.is_empty());
        first.is_some_and(|hop| {
            let says_more = hop.is_private || hop.status > 0;
            let is_told = self.history.form.has_history_info() && self.detail == Detail::All;
            is_told && says_more
        })
    }

    /// What cannot be read cannot be made anonymous: it stays out. So does what would be too much.
    fn write_all_received(&self, line: &mut Line<'_, '_>) {
        let entries = &self.received.entries.items;
        if self.detail != Detail::All {
            return;
        }
        let start = line.writer.length();
        let adds_to_last = self.adds_to_last();
        for (place, entry) in entries.iter().enumerate() {
            let own = self.hops.first().filter(|_| adds_to_last && place + 1 == entries.len());
            self.write_received_entry(line.next(), &entry, own);
            if Self::is_full(line.writer, start) {
                return;
            }
        }
    }

    /// Writes a received entry. `own`: our diversion of it.
    fn write_received_entry(&self, writer: &mut Writer<'_>, entry: &Entry<'_>, own: Option<Hop<'_>>) {
        let is_hidden = self.hides(entry.is_private == Some(true) || self.is_private_own(entry));
        if !is_hidden && own.is_none() {
            writer.raw(entry.text);
            return;
        }
        let status = own.map_or(0, |hop| hop.status);
        if is_hidden {
            writer.raw(b"<").raw(ANONYMOUS);
            Extras { cause: entry.cause, is_private: None, status }.write(writer);
        } else {
            if !entry.display.is_empty() {
                writer.raw(entry.display).raw(b" ");
            }
            writer.raw(b"<");
            let is_private = own.is_some_and(|hop| hop.is_private) || entry.is_private == Some(true);
            let is_private = is_private.then_some(true).or(entry.is_private);
            write_with(writer, entry.uri, &Extras { cause: entry.cause, is_private, status });
        }
        writer.raw(b">");
        for param in params(entry.params) {
            writer.raw(b";").raw(param);
        }
    }

    /// Writes the entries of what only Diversion told, and ours.
    fn write_added(&self, line: &mut Line<'_, '_>) {
        let first = self.hops.first();
        if first.is_none() && self.for_entries.is_empty() {
            return;
        }
        let by_first = first.map_or(Extras::default(), |hop| extras_of(&hop, None));
        let last = self.last();
        let (mut before, mut cause) = (last.map(|last| last.index), None);
        let mut begins_with = self.for_entries.first().map(|step| step.party.user());
        for step in self.for_entries.iter() {
            let is_last = |user| last.is_some_and(|last| Uri::same_user(user_of(last.uri), user));
            let is_there = begins_with.take().is_some_and(is_last);
            if !is_there {
                let extras = Extras { cause, is_private: step.is_private, status: 0 };
                before = Some(self.write_next(line, (before, cause), Subject::Received(step.party), extras));
            }
            cause = Some(step.cause);
        }
        // The number that was called comes next, unless it is the entry that came last.
        if !self.for_entries.is_empty() || !last.is_some_and(|last| self.is_called(&last)) {
            let extras = Extras { cause, ..by_first };
            before = Some(self.write_next(line, (before, cause), Subject::Called, extras));
        }
        let Some(mut index) = before else { return };
        // Each number's service is an entity of its own that the call came to, so each diversion is a level
        // of its own (RFC 7044 §10.3 rule 2), as it is where our Diversion is converted (RFC 7544 §5).
        let mut hops = self.hops.iter().peekable();
        while let Some(hop) = hops.next() {
            let target = index.deeper();
            let cause = Some(hop.reason.cause());
            let (subject, extras) = match hops.peek() {
                Some(next) => (Subject::Own(hop.target), extras_of(next, cause)),
                None => (Subject::Target(hop.target), Extras { cause, ..Extras::default() }),
            };
            self.write_entry(line, subject, &extras, (target, Some(index)));
            index = target;
        }
    }

    /// Writes an entry behind another: one level deeper where that was diverted to it, behind a gap where it
    /// is not known how the call came from there. Returns its index.
    fn write_next<'i>(
        &self,
        line: &mut Line<'_, '_>,
        (before, cause): (Option<Index<'i>>, Option<u16>),
        subject: Subject<'_>,
        extras: Extras,
    ) -> Index<'i> {
        let (index, mapped) = match (before, cause) {
            (None, _) => (Index::FIRST, None),
            (Some(before), Some(_)) => (before.deeper(), Some(before)),
            (Some(before), None) => (before.behind_gap(), None),
        };
        self.write_entry(line, subject, &extras, (index, mapped));
        index
    }

    fn write_entry(
        &self,
        line: &mut Line<'_, '_>,
        subject: Subject<'_>,
        extras: &Extras,
        (index, mapped): (Index<'_>, Option<Index<'_>>),
    ) {
        let writer = line.next();
        writer.raw(b"<");
        let is_hidden = match subject {
            Subject::Target(_) => self.hides_target(),
            _ => self.hides(extras.is_private == Some(true)) && self.is_diverting(subject),
        };
        if is_hidden {
            writer.raw(ANONYMOUS);
            Extras { is_private: None, ..*extras }.write(writer);
        } else {
            match subject {
                Subject::Received(Party::Known(uri)) => write_with(writer, uri, extras),
                Subject::Received(Party::Unknown) => write_with(writer, UNKNOWN, extras),
                Subject::Own(uri) | Subject::Target(uri) => {
                    self.write_own(writer, uri);
                    extras.write(writer);
                }
                Subject::Called => {
                    match self.hops.first() {
                        Some(hop) => self.write_own(writer, hop.diverting),
                        None => write_address(writer, self.history.invite.request_uri()),
                    }
                    extras.write(writer);
                }
            }
        }
        writer.raw(b">;index=");
        index.write(writer);
        if let Some(mapped) = mapped {
            writer.raw(b";mp=");
            mapped.write(writer);
        }
    }

    /// Whether the caller is not to know where it is sent: who diverts in private keeps that too.
    fn hides_target(&self) -> bool {
        let last = self.hops.iter().next_back();
        self.is_for_caller && last.is_some_and(|hop| self.hides(hop.is_private))
    }

    /// Whether it is one who diverted the call: the destination itself knows who it is.
    fn is_diverting(&self, subject: Subject<'_>) -> bool {
        match subject {
            Subject::Received(_) => true,
            Subject::Called => !self.hops.is_empty(),
            Subject::Own(_) => true,
            Subject::Target(_) => false,
        }
    }
}

/// What our diversion says of the entry of who diverted.
fn extras_of(hop: &Hop<'_>, cause: Option<u16>) -> Extras {
    Extras { cause, is_private: hop.is_private.then_some(true), status: hop.status }
}
