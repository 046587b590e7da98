//! Diversion and History-Info as they came with an INVITE, read in this one place.

use super::few::Few;
use super::index::Index;
use super::uri::{is_named, params};
use crate::service::TARGET_BYTES_MAX;
use crate::sip::name_addr::{param, split_list};
use crate::sip::uri::Scheme;
use crate::sip::{HeaderName, Message, NameAddr, Uri};

/// What came with an INVITE.
#[derive(Clone)]
pub(super) struct Received<'a> {
    /// Newest first.
    pub diversions: Fields<Diversion<'a>>,
    /// Oldest first.
    pub entries: Fields<Entry<'a>>,
    /// The caller wants all of it kept from those beyond trusted peers (RFC 7044 §10.1.2).
    pub is_private: bool,
}

/// All header fields of one name.
#[derive(Clone)]
pub(super) struct Fields<T> {
    pub state: State,
    /// Without any unless they could be read.
    pub items: Few<T>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Absent,
    /// Something in them is not what the RFCs say, or there are more than are looked at.
    Unreadable {
        /// Something in them is perhaps to be kept from others.
        may_be_private: bool,
    },
    Read,
}

/// An entry of Diversion (RFC 5806 §4).
#[derive(Clone, Copy)]
pub(super) struct Diversion<'a> {
    pub text: &'a [u8],
    pub uri: &'a [u8],
    pub params: &'a [u8],
    /// The cause that its reason stands for (RFC 7544 §5).
    pub cause: u16,
    pub counter: u32,
    /// `None`: nothing is said of it.
    pub is_private: Option<bool>,
}

/// An entry of History-Info (RFC 7044 §5).
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    pub text: &'a [u8],
    pub display: &'a [u8],
    pub uri: &'a [u8],
    pub params: &'a [u8],
    pub index: Index<'a>,
    /// The index of the entry that was diverted to this one; empty: it is not said.
    pub mapped: &'a [u8],
    /// One that stands for a diversion (RFC 4458 §2.1).
    pub cause: Option<u16>,
    pub is_private: Option<bool>,
}

/// Causes that stand for a diversion, and what each is as a Diversion's reason (RFC 7544 §6).
const CAUSES: [(u16, &str); 7] = [
    (404, "unknown"),
    (302, "unconditional"),
    (486, "user-busy"),
    (408, "no-answer"),
    (480, "deflection"),
    (487, "deflection"),
    (503, "unavailable"),
];

/// The cause where a reason has none of its own, and that of a placeholder (RFC 7544 §5).
pub(super) const CAUSE_UNKNOWN: u16 = 404;

/// A Diversion's reason for a cause.
pub(super) fn reason_of(cause: u16) -> &'static str {
    CAUSES.into_iter().find(|(other, _)| *other == cause).map_or("unknown", |(_, reason)| reason)
}

impl<'a> Received<'a> {
    pub fn read(invite: &Message<'a>) -> Received<'a> {
        Received {
            diversions: read(invite, HeaderName::Diversion, Diversion::read),
            entries: read(invite, HeaderName::HistoryInfo, Entry::read),
            is_private: wants_history_private(invite),
        }
    }
}

impl<T> Fields<T> {
    pub fn is_read(&self) -> bool {
        self.state == State::Read
    }
}

fn read<'a, T: Copy>(
    invite: &Message<'a>,
    name: HeaderName,
    read: impl Fn(&'a [u8]) -> Option<T>,
) -> Fields<T> {
    let mut items = Few::new();
    let mut state = State::Absent;
    for value in invite.values(name) {
        state = State::Read;
        let count = items.len();
        let is_good = split_list(value).all(|text| read(text).is_some_and(|item| items.push(item)));
        if !is_good || items.len() == count {
            let may_be_private = invite.values(name).any(|value| contains_ignoring_case(value, b"privacy"));
            return Fields { state: State::Unreadable { may_be_private }, items: Few::new() };
        }
    }
    Fields { state, items }
}

impl<'a> Diversion<'a> {
    fn read(text: &'a [u8]) -> Option<Diversion<'a>> {
        let (address, uri) = readable(text)?;
        let reason = address.param("reason").unwrap_or_default();
        let known = CAUSES.into_iter().find(|(_, name)| reason.eq_ignore_ascii_case(name.as_bytes()));
        Some(Diversion {
            text,
            uri: address.uri,
            params: address.params,
            cause: known.map_or(CAUSE_UNKNOWN, |(cause, _)| cause),
            counter: address.param("counter").map_or(1, counter_value),
            is_private: privacy_of(address.params).max(escaped_privacy(uri.headers)),
        })
    }
}

impl<'a> Entry<'a> {
    fn read(text: &'a [u8]) -> Option<Entry<'a>> {
        let (address, uri) = readable(text)?;
        let index = Index::read(address.param("index")?)?;
        let cause = uri.param("cause").and_then(crate::sip::number::whole_number);
        let is_diversion = |cause: &u16| CAUSES.iter().any(|(known, _)| known == cause);
        Some(Entry {
            text,
            display: address.display,
            uri: address.uri,
            params: address.params,
            index,
            mapped: address.param("mp").unwrap_or_default(),
            cause: cause.and_then(|cause| u16::try_from(cause).ok()).filter(is_diversion),
            is_private: escaped_privacy(uri.headers),
        })
    }

    /// Whether it has this index.
    pub fn is_at(&self, index: &[u8]) -> bool {
        Index::read(index) == Some(self.index)
    }
}

/// An address whose URI can be written anew with parameters, with nothing of another one behind it.
fn readable(text: &[u8]) -> Option<(NameAddr<'_>, Uri<'_>)> {
    let address = NameAddr::parse(text).ok()?;
    let uri = Uri::parse(address.uri).ok().filter(|_| address.uri.len() <= TARGET_BYTES_MAX)?;
    let is_alone = !address.params.iter().any(|byte| b"<>".contains(byte));
    (uri.scheme != Scheme::Other && is_alone).then_some((address, uri))
}

/// What the privacy parameter asks for (RFC 5806 §4); `None`: there is none. What is none of the RFC's values
/// was meant to hide something, and of two the one that hides more counts.
fn privacy_of(text: &[u8]) -> Option<bool> {
    let named = params(text).filter(|text| is_named(text, b"privacy"));
    named.map(|text| !param(text, "privacy").is_some_and(|value| value.eq_ignore_ascii_case(b"off"))).max()
}

/// What a Privacy that is escaped in a URI asks for (RFC 7044 §10.1.1); `None`: there is none.
fn escaped_privacy(headers: &[u8]) -> Option<bool> {
    let mut privacy = None;
    for header in headers.split(|&byte| byte == b'?' || byte == b'&') {
        let end = memchr::memchr(b'=', header).unwrap_or(header.len());
        let (name, value) = header.split_at(end);
        if name.eq_ignore_ascii_case(b"privacy") {
            let mut room = [0; 64];
            // What is too long to be looked at was meant to hide something.
            let value = Uri::decoded_user(value.get(1..).unwrap_or_default(), &mut room);
            privacy = Some(privacy == Some(true) || value.is_none_or(hides_history));
        }
    }
    privacy
}

/// Whether a Privacy hides entries of History-Info.
fn hides_history(value: &[u8]) -> bool {
    let values = value.split(|byte| b";, ".contains(byte));
    values.into_iter().any(|value| {
        [&b"history"[..], b"header", b"id"].into_iter().any(|word| value.eq_ignore_ascii_case(word))
    })
}

fn wants_history_private(invite: &Message<'_>) -> bool {
    let values =
        invite.values(HeaderName::Privacy).flat_map(|value| value.split(|byte| b";,".contains(byte)));
    values
        .map(<[u8]>::trim_ascii)
        .any(|value| value.eq_ignore_ascii_case(b"history") || value.eq_ignore_ascii_case(b"header"))
}

/// How often a call was diverted before it came to us: by the counters of Diversion (absent: 1, RFC 5806
/// §4) or by the causes of History-Info, whichever tells of more, since both tell of the same diversions.
/// Also what is not converted counts.
#[must_use]
pub fn received_diversions(invite: &Message<'_>) -> u32 {
    let counted = invite.values(HeaderName::Diversion).flat_map(split_list).fold(0u32, |sum, entry| {
        let params = entry.iter().rposition(|&byte| byte == b'>').map_or(&b""[..], |end| &entry[end + 1..]);
        sum.saturating_add(param(params, "counter").map_or(1, counter_value))
    });
    let entries = || invite.values(HeaderName::HistoryInfo).flat_map(split_list);
    // RFC 4458's cause stands in the target's URI; where nobody wrote it, the Reason that is escaped in the
    // diverting party's URI tells of the same diversion.
    let targets = entries().filter(|entry| has_cause(entry)).count();
    let reasons = || entries().filter(|entry| contains_ignoring_case(entry, b"reason=")).count();
    let caused = if targets > 0 { targets } else { reasons() };
    counted.max(u32::try_from(caused).unwrap_or(u32::MAX))
}

/// A Diversion's counter. What is no number still tells of one diversion; what no u32 holds is beyond every
/// cap.
fn counter_value(text: &[u8]) -> u32 {
    let value = text.iter().try_fold(0u32, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
        Some(number.saturating_mul(10).saturating_add(digit))
    });
    value.unwrap_or(1).max(1)
}

/// Whether an entry's URI has the `cause` parameter (RFC 4458 §2).
fn has_cause(entry: &[u8]) -> bool {
    let uri = NameAddr::parse(entry).ok().and_then(|address| Uri::parse(address.uri).ok());
    uri.is_some_and(|uri| uri.param("cause").is_some())
}

fn contains_ignoring_case(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle))
}
