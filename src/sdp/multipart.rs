//! The session description inside of a body of several parts (RFC 2046 §5.1.1, RFC 5621).

use crate::sip::name_addr::param;
use memchr::memmem;
use std::ops::Range;

/// Where the session description is in a body of this Content-Type; `None`: there is none.
///
/// It is the whole body of an `application/sdp`, and of a `multipart/…` the first part that is one. A part
/// is passed over that is encoded (Content-Transfer-Encoding, Content-Encoding) or meant for something else
/// than the session, as one for early media is (RFC 3959 §4). Parts are looked for one level deep.
#[must_use]
pub fn find(content_type: &[u8], body: &[u8]) -> Option<Range<usize>> {
    let (kind, params) = split_params(content_type);
    if is_sdp(kind) {
        return Some(0..body.len());
    }
    if !kind.get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/")) {
        return None;
    }
    let boundary = param(params, "boundary").filter(|boundary| !boundary.is_empty())?;
    let mut delimiter = next_delimiter(body, 0, boundary)?;
    while !delimiter.is_last {
        let start = delimiter.range.end;
        let next = next_delimiter(body, start, boundary);
        let end = next.as_ref().map_or(body.len(), |next| next.range.start);
        if let Some(head) = described(&body[start..end]) {
            return Some(start + head..end);
        }
        delimiter = next?;
    }
    None
}

/// Writes a body with another session description in it, which `write` appends: `place` is where [`find`]
/// found the old one. A Content-Length among the part's own fields goes, since it would be wrong.
pub fn splice(out: &mut Vec<u8>, body: &[u8], place: Range<usize>, write: impl FnOnce(&mut Vec<u8>)) {
    let before = &body[..place.start];
    // No header field begins like a delimiter: the last one that does begins this part.
    let head = memmem::rfind(before, b"\n--").map_or(0, |at| at + 1);
    out.extend_from_slice(&before[..head]);
    let mut is_length = false;
    for line in before[head..].split_inclusive(|byte| *byte == b'\n') {
        // What begins with a blank goes on with the field before.
        if !matches!(line.first(), Some(b' ' | b'\t')) {
            is_length = field(line).is_some_and(|(name, _)| is_length_name(name));
        }
        if !is_length {
            out.extend_from_slice(line);
        }
    }
    write(out);
    out.extend_from_slice(&body[place.end..]);
}

/// Whether a Content-Type promises a session description and nothing else.
#[must_use]
pub fn is_description(content_type: &[u8]) -> bool {
    is_sdp(split_params(content_type).0)
}

fn is_length_name(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"Content-Length") || name.eq_ignore_ascii_case(b"l")
}

/// A value's first part and its parameters, with the `;` in front.
fn split_params(value: &[u8]) -> (&[u8], &[u8]) {
    let (first, params) = value.split_at(memchr::memchr(b';', value).unwrap_or(value.len()));
    (first.trim_ascii(), params)
}

/// Whether a type, without its parameters, is that of a session description.
fn is_sdp(kind: &[u8]) -> bool {
    kind.eq_ignore_ascii_case(b"application/sdp")
}

struct Delimiter {
    /// From the line break in front, which belongs to it, to behind the one at its end.
    range: Range<usize>,
    /// `--` behind the boundary: no part follows.
    is_last: bool,
}

/// The first delimiter line at or behind `from`, where a line begins.
fn next_delimiter(body: &[u8], from: usize, boundary: &[u8]) -> Option<Delimiter> {
    let mut at = from;
    while at < body.len() {
        let end = memchr::memchr(b'\n', &body[at..]).map_or(body.len(), |length| at + length + 1);
        let rest = body[at..end].strip_prefix(b"--").and_then(|line| line.strip_prefix(boundary));
        if let Some(rest) = rest {
            let last = rest.strip_prefix(b"--");
            // Blanks may follow (transport padding); anything else makes it another, longer boundary.
            if last.is_some() || rest.trim_ascii().is_empty() {
                let start = match &body[from..at] {
                    [.., b'\r', b'\n'] => at - 2,
                    [.., b'\n'] => at - 1,
                    _ => at,
                };
                return Some(Delimiter { range: start..end, is_last: last.is_some() });
            }
        }
        at = end;
    }
    None
}

/// Where the content of a part begins, if that is the session's description.
fn described(part: &[u8]) -> Option<usize> {
    let mut is_description = false;
    let mut at = 0;
    while at < part.len() {
        let mut end = line_end(part, at);
        if part[at..end].trim_ascii().is_empty() {
            return is_description.then_some(end);
        }
        // A field goes on where the next line begins with a blank.
        while matches!(part.get(end), Some(b' ' | b'\t')) {
            end = line_end(part, end);
        }
        let (name, value) = field(&part[at..end])?;
        let (value, _) = split_params(value);
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        let is_one_of = |words: &[&str]| words.iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes()));
        if is("Content-Type") || is("c") {
            is_description = is_sdp(value);
        } else if is("Content-Disposition") && !is_one_of(&["session"])
            || is("Content-Transfer-Encoding") && !is_one_of(&["7bit", "8bit", "binary"])
            || (is("Content-Encoding") || is("e")) && !is_one_of(&["identity", ""])
        {
            return None;
        }
        at = end;
    }
    None
}

/// Behind the line that begins at `at`.
fn line_end(text: &[u8], at: usize) -> usize {
    memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |length| at + length + 1)
}

/// A header field's name and value, without blanks around them.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: &str = "preamble\r\n--b\r\n\r\nv=plain text\r\n--bb\r\nContent-Type: application/sdp\r\n\r\n\
                         of another boundary\r\n--b \r\nCONTENT-TYPE :\r\n\tApplication/SDP;x=y\r\n\
                         Content-Disposition: session;handling=required\r\nl: 5\r\nX: y\r\n\r\nv=0\r\ns=-\r\n\
                         \r\n--b--\r\nepilogue";

    fn found<'a>(kind: &str, body: &'a str) -> Option<&'a str> {
        find(kind.as_bytes(), body.as_bytes()).map(|range| &body[range])
    }

    #[test]
    fn a_description_is_a_body_or_a_part_of_it() {
        for kind in ["application/sdp", " Application/SDP ;charset=utf-8"] {
            assert_eq!(found(kind, "v=0"), Some("v=0"));
        }
        for kind in ["multipart/mixed;boundary=b", "Multipart/Related; x=\";boundary=c\" ; BOUNDARY=\"b\""] {
            assert_eq!(found(kind, PARTS), Some("v=0\r\ns=-\r\n"));
            assert_eq!(found(kind, &PARTS.replace('\r', "")), Some("v=0\ns=-\n"));
        }
        // Only its beginning came.
        let cut = PARTS.find("\r\n\r\n--b--").expect("an end") + 2;
        assert_eq!(found("multipart/mixed;boundary=b", &PARTS[..cut]), Some("v=0\r\ns=-\r\n"));
        // No line break of its own, nothing at all, no preamble.
        let body = "--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b--";
        assert_eq!(found("multipart/mixed;boundary=b", body), Some("v=0"));
        let body = "--b\nContent-Type: application/sdp\n\n--b--";
        assert_eq!(found("multipart/mixed;boundary=b", body), None);
    }

    #[test]
    fn what_is_no_description_is_not_found() {
        for kind in ["", "text/plain", "application/sdpx", "multipart/mixed", "multipart/mixed;boundary=\"\""]
        {
            assert_eq!(found(kind, PARTS), None, "{kind}");
        }
        assert_eq!(found("multipart/mixed;boundary=c", PARTS), None);
        for field in [
            "Content-Disposition: early-session",
            "Content-Transfer-Encoding: base64",
            "Content-Encoding: gzip",
            "no field",
            "Content-Type: text/plain",
        ] {
            let part =
                |field: &str| format!("--b\r\nContent-Type: application/sdp\r\n{field}\r\n\r\nv=0\r\n");
            let body = part(field) + "--b--\r\n" + &part("X: behind the end");
            assert_eq!(found("multipart/mixed;boundary=b", &body), None, "{field}");
            let body = part(field) + &part("Content-Transfer-Encoding: 8BIT") + "--b--";
            let place = find(b"multipart/mixed;boundary=b", body.as_bytes()).expect("the next part");
            assert!(place.start > part(field).len(), "{field}");
        }
    }

    #[test]
    fn another_description_takes_the_place_without_its_length() {
        let place = find(b"multipart/mixed;boundary=b", PARTS.as_bytes()).expect("a part");
        let mut out = b"kept".to_vec();
        splice(&mut out, PARTS.as_bytes(), place, |out| out.extend_from_slice(b"new"));
        let expected = PARTS.replace("l: 5\r\n", "").replace("v=0\r\ns=-\r\n", "new");
        assert_eq!(String::from_utf8_lossy(&out), format!("kept{expected}"));
        let body = "--b\nContent-Length:\n 3\nContent-Type: application/sdp\n\nold\n--b--";
        let place = find(b"multipart/mixed;boundary=b", body.as_bytes()).expect("a part");
        let mut out = Vec::new();
        splice(&mut out, body.as_bytes(), place, |out| out.extend_from_slice(b"new"));
        assert_eq!(out, b"--b\nContent-Type: application/sdp\n\nnew\n--b--");
        out.clear();
        splice(&mut out, b"v=0", 0..3, |out| out.extend_from_slice(b"v=1"));
        assert_eq!(out, b"v=1");
    }
}
