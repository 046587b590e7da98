//! The index of a History-Info entry (RFC 7044 §10.3).

use crate::limits::HISTORY_INDEX_BYTES_MAX;
use crate::sip::write::Writer;

/// An index: one that came with the INVITE, and what we add behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Index<'a> {
    /// Empty: there was none, and ours begin with 1.
    received: &'a [u8],
    /// An entry is missing between the received ones and ours (rule 6).
    has_gap: bool,
    /// `.1` so often.
    levels: u16,
}

impl<'a> Index<'a> {
    /// That of the first entry of all.
    pub const FIRST: Index<'static> = Index { received: b"1", has_gap: false, levels: 0 };

    /// The one that this text is; `None`: it is none, or longer than any that is worth continuing.
    pub fn read(text: &'a [u8]) -> Option<Index<'a>> {
        let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
        let is_index =
            text.len() <= HISTORY_INDEX_BYTES_MAX && text.split(|&byte| byte == b'.').all(is_number);
        is_index.then_some(Index { received: text, has_gap: false, levels: 0 })
    }

    /// Behind an entry that is missing.
    pub const fn behind_gap(self) -> Index<'a> {
        Index { has_gap: true, levels: 1, ..self }
    }

    /// One level deeper.
    pub const fn deeper(self) -> Index<'a> {
        Index { levels: self.levels + 1, ..self }
    }

    pub fn write(&self, writer: &mut Writer<'_>) {
        writer.raw(self.received);
        if self.has_gap {
            writer.raw(b".0");
        }
        for _ in 0..self.levels {
            writer.raw(b".1");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(index: Index<'_>) -> String {
        let mut out = Vec::new();
        index.write(&mut Writer::new(&mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn indices_grow_as_rfc_7044_says() {
        assert_eq!(text(Index::FIRST), "1");
        assert_eq!(text(Index::FIRST.deeper().deeper()), "1.1.1");
        let received = Index::read(b"1.1.2").unwrap();
        assert_eq!(text(received.deeper()), "1.1.2.1");
        assert_eq!(text(received.behind_gap()), "1.1.2.0.1");
        assert_eq!(text(received.behind_gap().deeper()), "1.1.2.0.1.1");
    }

    #[test]
    fn what_is_no_index_is_not_continued() {
        for text in [&b""[..], b".", b"1.", b".1", b"1..1", b"1.x", b"-1", b"1 .1", &[b'1'; 65]] {
            assert_eq!(Index::read(text), None, "{}", text.escape_ascii());
        }
    }
}
