//! What the lines of a description say (RFC 8866 §5): no more of them is understood than the relay needs.

use std::net::IpAddr;
use std::ops::Range;

/// A line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub text: &'a [u8],
    /// CR LF; LF (RFC 8866 §5: to be accepted); a CR alone, which some take for a line's end too and which
    /// has no place inside of a line; or nothing behind the last line.
    pub end: &'a [u8],
}

/// A description's lines, empty ones too: one after the other they are its text.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let length = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        let (text, behind) = rest.split_at(length);
        let end = match behind {
            [b'\r', b'\n', ..] => 2,
            [] => 0,
            _ => 1,
        };
        let (end, next) = behind.split_at(end);
        rest = next;
        Some(Line { text, end })
    })
}

/// What a line is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    Version,
    /// `o=`
    Origin,
    /// `s=`
    Name,
    /// `i=`
    Information,
    /// `c=` and the address in it; `None`: a host name, or nothing that the relay knows.
    Connection(Option<IpAddr>),
    /// `m=`; `None`: it cannot be read.
    Media(Option<Media<'a>>),
    Attribute(Attribute<'a>),
    Other,
}

/// An attribute that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attribute<'a> {
    Direction(Direction),
    /// `a=rtcp:PORT [IN IP4 ADDRESS]` (RFC 3605); `None`: no port can be read in it.
    Rtcp(Option<(u16, Option<IpAddr>)>),
    /// `a=rtcp-mux` (RFC 5761).
    RtcpMux,
    /// `a=rtpmap:97 PCMA/8000/1`: payload type, name, clock and channels.
    Map {
        payload_type: u8,
        encoding: &'a [u8],
    },
    /// What an ICE agent would take for another way around the relay (RFC 8839), and what puts streams into
    /// one (RFC 9143).
    Ice,
    Other,
}

/// Who sends (RFC 3264 §5.1), as the one who describes sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    #[default]
    SendReceive,
    SendOnly,
    ReceiveOnly,
    Inactive,
}

/// `m=audio 49170/2 RTP/AVP 0 8` (RFC 8866 §5.14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Media<'a> {
    pub media: &'a [u8],
    pub port: u16,
    /// Where the port and the count of ports stand in the line.
    pub port_range: Range<usize>,
    pub protocol: &'a [u8],
    /// The formats, as they stand there; none is borne with, as some refuse a stream without any.
    pub formats: &'a [u8],
}

impl<'a> Line<'a> {
    pub fn kind(&self) -> Kind<'a> {
        let [letter, b'=', value @ ..] = self.text else { return Kind::Other };
        match letter {
            b'v' => Kind::Version,
            b'o' => Kind::Origin,
            b's' => Kind::Name,
            b'i' => Kind::Information,
            b'c' => Kind::Connection(connection(words(value))),
            b'm' => Kind::Media(media(self.text)),
            b'a' => Kind::Attribute(attribute(value)),
            _ => Kind::Other,
        }
    }
}

/// The words of a line. RFC 8866 puts one space between them, some phones more.
pub(super) fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty())
}

/// `IN IP4 224.2.36.42/127/3`, of which only the address counts (RFC 8866 §5.7).
fn connection<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> Option<IpAddr> {
    let address = words.nth(2)?.split(|byte| *byte == b'/').next()?;
    std::str::from_utf8(address).ok()?.parse().ok()
}

fn media(line: &[u8]) -> Option<Media<'_>> {
    // Behind `m=`.
    let mut at = 2;
    let mut word = || {
        let start = at + line[at..].iter().position(|byte| !matches!(byte, b' ' | b'\t'))?;
        let end = line[start..].iter().position(|byte| matches!(byte, b' ' | b'\t'));
        at = end.map_or(line.len(), |end| start + end);
        Some(start..at)
    };
    let (media, port_range, protocol) = (word()?, word()?, word()?);
    let port = line[port_range.clone()].split(|byte| *byte == b'/').next()?;
    Some(Media {
        media: &line[media],
        port: number(port)?,
        port_range,
        formats: &line[protocol.end..],
        protocol: &line[protocol],
    })
}

fn attribute(text: &[u8]) -> Attribute<'_> {
    let text = text.trim_ascii();
    let colon = memchr::memchr(b':', text);
    let (name, value) = colon.map_or((text, &[][..]), |colon| (&text[..colon], &text[colon + 1..]));
    let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
    match name {
        _ if is("rtpmap") => map(value).unwrap_or(Attribute::Other),
        _ if is("sendrecv") => Attribute::Direction(Direction::SendReceive),
        _ if is("sendonly") => Attribute::Direction(Direction::SendOnly),
        _ if is("recvonly") => Attribute::Direction(Direction::ReceiveOnly),
        _ if is("inactive") => Attribute::Direction(Direction::Inactive),
        _ if is("rtcp-mux") => Attribute::RtcpMux,
        _ if is("rtcp") => {
            let mut words = words(value);
            let port = words.next().and_then(number);
            Attribute::Rtcp(port.map(|port| (port, connection(words))))
        }
        _ if is("group") && words(value).next().is_some_and(|kind| kind.eq_ignore_ascii_case(b"BUNDLE")) => {
            Attribute::Ice
        }
        _ if is("candidate") || is("remote-candidates") || is("end-of-candidates") || is("bundle-only") => {
            Attribute::Ice
        }
        _ if name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"ice-")) => Attribute::Ice,
        _ => Attribute::Other,
    }
}

/// `97 PCMA/8000`
fn map(value: &[u8]) -> Option<Attribute<'_>> {
    let mut words = words(value);
    let payload_type = number(words.next()?)?;
    Some(Attribute::Map { payload_type: u8::try_from(payload_type).ok()?, encoding: words.next()? })
}

/// `1*DIGIT` up to 65,535.
pub(super) fn number(text: &[u8]) -> Option<u16> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| is_number)?.parse().ok()
}
