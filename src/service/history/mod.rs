//! What those behind a diversion are told of it: Diversion (RFC 5806) and History-Info (RFC 7044), of what
//! came with the INVITE and of our own, and from one into the other (RFC 7544).

mod diversion;
mod few;
mod history_info;
mod hop;
mod index;
mod received;
mod steps;
mod uri;

pub use hop::Hop;
pub use received::received_diversions;

use super::settings::Settings;
use crate::directory::HistoryForm;
use crate::limits::{HISTORY_BYTES_MAX, NUMBER_BYTES_MAX};
use crate::sip::message::Header;
use crate::sip::write::Writer;
use crate::sip::{HeaderName, Message};
use few::Few;
use hop::Hops;
use received::{Fields, Received, State};
use steps::Step;

/// What one leg's INVITE says of diversions.
#[derive(Clone, Copy)]
pub struct History<'a> {
    pub settings: &'a Settings,
    pub form: HistoryForm,
    /// The caller's INVITE.
    pub invite: &'a Message<'a>,
    /// Our own, as they are kept; oldest first.
    pub hops: &'a [u8],
    /// The destination's word is taken: it gets to see what is private.
    pub to_trusted: bool,
    /// The target is none of our numbers: ours are written as others read them.
    pub is_outside: bool,
}

/// How much is told: a datagram has an end, and what is told must never cost the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Detail {
    /// Nothing of our making. What came passes, but for what would have to be anonymised.
    Received,
    /// Our own besides, but nothing that is made of what came.
    Own,
    All,
}

/// A [`History`] with everything read that it takes to write it.
pub struct Told<'a> {
    history: History<'a>,
    detail: Detail,
    /// It is told in a response to the caller.
    is_for_caller: bool,
    /// History-Info holds what Diversion cannot tell (RFC 7544 §3.5).
    tells_of_more: bool,
    received: Received<'a>,
    hops: Hops<'a>,
    /// What Diversion tells and History-Info does not, oldest first.
    for_entries: Few<Step<'a>>,
    /// What History-Info tells and Diversion does not, oldest first.
    for_diversions: Few<Step<'a>>,
}

impl<'a> History<'a> {
    /// Reads what it takes to tell it; `None`: there is nothing to tell.
    #[must_use]
    pub fn read(&self) -> Option<Told<'a>> {
        let (invite, form) = (self.invite, self.form);
        if self.hops.is_empty() && !invite.has(HeaderName::Diversion) && !invite.has(HeaderName::HistoryInfo)
        {
            return None;
        }
        let received = Received::read(invite);
        let Received { diversions, entries, .. } = &received;
        let is_unreadable = |state: State| matches!(state, State::Unreadable { .. });
        let (mut for_entries, mut for_diversions) = (Few::new(), Few::new());
        if !is_unreadable(diversions.state) && !is_unreadable(entries.state) {
            // Where both came and both go on each stays as it is: somebody made them agree (RFC 7544 §7.4).
            let is_sole = |is_absent: bool| {
                is_absent || matches!(form, HistoryForm::Diversion | HistoryForm::HistoryInfo)
            };
            let (by_diversion, by_entry) = (steps::of_diversions(diversions), steps::of_entries(entries));
            if form.has_history_info() && is_sole(entries.state == State::Absent) {
                for_entries = steps::not_among(&by_diversion, &by_entry);
            }
            if form.has_diversion() && is_sole(diversions.state == State::Absent) {
                for_diversions = steps::not_among(&by_entry, &by_diversion);
            }
        }
        let tells_of_more = !form.has_history_info() && entries.is_read() && steps::tells_of_more(entries);
        Some(Told {
            history: *self,
            detail: Detail::All,
            is_for_caller: false,
            tells_of_more,
            hops: Hops::read(self.hops),
            for_entries,
            for_diversions,
            received,
        })
    }

    /// Writes the History-Info that the caller is told with a 181 (RFC 7044 §9.4): the whole of it, or
    /// nothing that came where that is too long for a response.
    pub fn write_for_caller(&self, writer: &mut Writer<'_>) {
        let Some(mut told) = self.read() else { return };
        told.is_for_caller = true;
        let length = |value: &[u8]| value.len() + HeaderName::HistoryInfo.text().len() + b": \r\n".len();
        let came: usize = self.invite.values(HeaderName::HistoryInfo).map(length).sum();
        let may_pass = came <= HISTORY_BYTES_MAX && !told.rewrites_entries();
        if came > HISTORY_BYTES_MAX {
            told.shorten();
            told.received.entries.items = Few::new();
        }
        if may_pass {
            writer.splice_headers(self.invite, |name| name == HeaderName::HistoryInfo);
        }
        told.write_entries(writer);
    }
}

impl<'a> Told<'a> {
    /// Tells less; `false`: there is nothing left to leave out.
    pub fn shorten(&mut self) -> bool {
        self.detail = match self.detail {
            Detail::All => Detail::Own,
            Detail::Own => Detail::Received,
            Detail::Received => return false,
        };
        (self.for_entries, self.for_diversions) = (Few::new(), Few::new());
        true
    }

    /// Writes what stands above the header fields of the caller's: Diversion, newest first, and History-Info
    /// where none of it passes.
    pub fn write_above(&self, writer: &mut Writer<'_>) {
        if self.history.form.has_diversion() {
            self.write_diversions(writer);
        }
        if self.keeps_entries() && !self.entries_pass() {
            self.write_entries(writer);
        }
    }

    /// Writes what stands below them: History-Info that continues what passed, oldest first.
    pub fn write_below(&self, writer: &mut Writer<'_>) {
        if self.keeps_entries() && self.entries_pass() {
            self.write_entries(writer);
        }
    }

    /// Whether a header field of the caller's INVITE passes as it is; asked of all of them.
    #[must_use]
    pub fn passes(&self, header: &Header) -> bool {
        match header.name {
            HeaderName::Diversion => self.history.form.has_diversion() && !self.rewrites_diversions(),
            HeaderName::HistoryInfo => self.keeps_entries() && self.entries_pass(),
            _ => true,
        }
    }

    /// Whether there are received entries that stay as they are.
    fn entries_pass(&self) -> bool {
        self.received.entries.state != State::Absent && !self.rewrites_entries()
    }

    /// Entries were made anonymous for the destination, so that nobody need be asked for it again (RFC 7044
    /// §10.1.2).
    #[must_use]
    pub fn applies_privacy(&self) -> bool {
        self.received.is_private && !self.history.to_trusted
    }

    /// Whether a party is not to be named to the destination.
    fn hides(&self, is_private: bool) -> bool {
        !self.history.to_trusted && (is_private || self.received.is_private)
    }

    fn hides_any<T: Copy>(&self, fields: &Fields<T>, is_private: impl Fn(T) -> Option<bool>) -> bool {
        match fields.state {
            State::Absent => false,
            State::Unreadable { may_be_private } => self.hides(may_be_private),
            State::Read => fields.items.iter().any(|item| self.hides(is_private(item) == Some(true))),
        }
    }

    /// Whether History-Info goes out: where the form has it, and where it holds what Diversion cannot tell
    /// (RFC 7544 §3.5).
    fn keeps_entries(&self) -> bool {
        let Received { diversions, entries, .. } = &self.received;
        let is_converted =
            !matches!(diversions.state, State::Unreadable { .. }) && self.detail == Detail::All;
        self.history.form.has_history_info()
            || self.history.form.has_diversion() && entries.is_read() && (!is_converted || self.tells_of_more)
    }

    /// Writes the URI of a party of ours, as those read it whom it is written for.
    fn write_own(&self, writer: &mut Writer<'_>, uri: &[u8]) {
        let (scheme, rest) = uri.split_at(uri.len().min(b"sip:".len()));
        let mut room = [0; 3 * NUMBER_BYTES_MAX];
        let host = |uri: &'a [u8]| memchr::memchr(b'@', uri).map(|at| &uri[at..]);
        let own_host = self.hops.first().and_then(|hop| host(hop.diverting));
        match memchr::memchr(b'@', rest) {
            // What is at another host than the number that was called is none of our numbers.
            Some(at) if self.history.is_outside && own_host == Some(&rest[at..]) => {
                let user = self.history.settings.normalized(&rest[..at], &mut room);
                writer.raw(scheme).raw(user).raw(&rest[at..]);
            }
            _ => {
                writer.raw(uri);
            }
        }
    }

    /// Whether what was written since is more than a leg may be told.
    fn is_full(writer: &Writer<'_>, start: usize) -> bool {
        writer.length() - start > HISTORY_BYTES_MAX
    }
}
