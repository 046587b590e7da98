//! Session descriptions of our own (RFC 4566, RFC 3264): nothing is to be heard in them.

use std::fmt;

/// Streams that an offer may have; more are not answered.
const STREAMS_MAX: usize = 32;

/// Bytes of an answer: whatever was offered, it fits into a datagram with everything else.
const ANSWER_BYTES_MAX: usize = 4_096;

/// Bytes of a line of the offer's that is said again.
const LINE_BYTES_MAX: usize = 128;

/// The discard port (RFC 863), which is no 0: a stream with port 0 is refused (RFC 3264 §6).
const PORT: &str = "9";

/// Who describes a session.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// An address, IPv6 without brackets, or a host name.
    pub host: &'a str,
    pub is_ipv6: bool,
    /// Tells the session from others of the host's.
    pub id: u64,
}

/// Why an offer is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It is no session description, or has a stream that cannot be read.
    Malformed,
    /// It has more streams than anybody wants, or such as make the answer too long.
    TooLong,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unusable::Malformed => "the session description cannot be read",
            Unusable::TooLong => "the session description is too long",
        })
    }
}

/// One stream of an offer.
struct Stream<'o> {
    media: &'o str,
    is_refused: bool,
    protocol: &'o str,
    /// Its first format, which the answer takes.
    format: &'o str,
    /// The `a=rtpmap` line of that format.
    map: Option<&'o str>,
}

/// Writes the answer to an offer into `out`: every stream that can be taken is inactive, every other one is
/// refused (RFC 3264 §6, §6.1). Plain RTP can be taken; what is keyed or set up otherwise would need an
/// answer of its own kind.
///
/// # Errors
/// [`Unusable`], with `out` as it was.
pub fn answer_inactive(out: &mut Vec<u8>, offer: &[u8], origin: Origin<'_>) -> Result<(), Unusable> {
    let offer = std::str::from_utf8(offer).map_err(|_| Unusable::Malformed)?;
    let mut lines = offer.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    // RFC 4566 §5.1.
    if lines.next() != Some("v=0") {
        return Err(Unusable::Malformed);
    }
    let mut time = None;
    let mut streams: Vec<Stream<'_>> = Vec::new();
    for line in lines {
        if let Some(media) = line.strip_prefix("m=") {
            if streams.len() == STREAMS_MAX {
                return Err(Unusable::TooLong);
            }
            streams.push(stream(media).ok_or(Unusable::Malformed)?);
        } else if let Some(stream) = streams.last_mut() {
            let map = line.strip_prefix("a=rtpmap:").and_then(|map| map.split_once(' '));
            let is_plain = line.len() <= LINE_BYTES_MAX && line.is_ascii();
            if is_plain && map.is_some_and(|(format, _)| format == stream.format) {
                stream.map = stream.map.or(Some(line));
            }
        } else if line.starts_with("t=") {
            time = time.or(Some(line));
        }
    }
    // RFC 3264 §6: the answer's time is the offer's.
    let time = time.filter(|time| time.len() <= LINE_BYTES_MAX && time.is_ascii()).unwrap_or(NO_TIME);
    let start = out.len();
    write_session(out, origin, time);
    for stream in &streams {
        write_stream(out, stream);
        if out.len() - start > ANSWER_BYTES_MAX {
            out.truncate(start);
            return Err(Unusable::TooLong);
        }
    }
    Ok(())
}

/// Writes an offer of one inactive stream, of what every phone can play.
pub fn offer_inactive(out: &mut Vec<u8>, origin: Origin<'_>) {
    write_session(out, origin, NO_TIME);
    out.extend_from_slice(b"m=audio ");
    out.extend_from_slice(PORT.as_bytes());
    out.extend_from_slice(b" RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=inactive\r\n");
}

/// A session that is not bounded (RFC 4566 §5.9).
const NO_TIME: &str = "t=0 0";

fn write_session(out: &mut Vec<u8>, origin: Origin<'_>, time: &str) {
    let family = if origin.is_ipv6 { "IP6" } else { "IP4" };
    let Origin { host, id, .. } = origin;
    let text =
        format!("v=0\r\no=- {id} {id} IN {family} {host}\r\ns=-\r\nc=IN {family} {host}\r\n{time}\r\n");
    out.extend_from_slice(text.as_bytes());
}

fn write_stream(out: &mut Vec<u8>, stream: &Stream<'_>) {
    let is_taken = !stream.is_refused && matches!(stream.protocol, "RTP/AVP" | "RTP/AVPF");
    let port = if is_taken { PORT } else { "0" };
    let parts = ["m=", stream.media, " ", port, " ", stream.protocol, " ", stream.format, "\r\n"];
    parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
    if let Some(map) = stream.map.filter(|_| is_taken) {
        out.extend_from_slice(map.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"a=inactive\r\n");
}

/// `audio 49170/2 RTP/AVP 0 8` (RFC 4566 §5.14).
fn stream(media: &str) -> Option<Stream<'_>> {
    let mut parts = media.split(' ').filter(|part| !part.is_empty());
    let (media, port, protocol, format) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_text = |part: &str| part.bytes().all(|byte| byte.is_ascii_graphic());
    let port = port.split_once('/').map_or(port, |(port, _)| port);
    let port: u16 = port.parse().ok()?;
    let is_sound = is_text(media) && is_text(protocol) && is_text(format);
    is_sound.then_some(Stream { media, is_refused: port == 0, protocol, format, map: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Origin<'_> = Origin { host: "192.0.2.1", is_ipv6: false, id: 7 };
    const SESSION: &str = "v=0\r\no=- 7 7 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";

    fn answer(offer: &str) -> Result<String, Unusable> {
        let mut out = b"kept".to_vec();
        let result = answer_inactive(&mut out, offer.as_bytes(), ORIGIN);
        let text = String::from_utf8(out).unwrap();
        let text = text.strip_prefix("kept").expect("what stood there stays");
        assert!(result.is_ok() || text.is_empty());
        result.map(|()| text.to_owned())
    }

    #[test]
    fn a_codec_that_is_no_ascii_is_not_repeated() {
        let offer = "v=0\r\nm=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMÜ/8000\r\n";
        let mut answer = Vec::new();
        let origin = Origin { host: "192.0.2.1", is_ipv6: false, id: 1 };
        assert!(answer_inactive(&mut answer, offer.as_bytes(), origin).is_ok());
        assert!(answer.is_ascii() && answer.windows(2).any(|pair| pair == b"m="));
    }

    #[test]
    fn every_stream_is_answered_in_its_place() {
        let offer = "v=0\no=x 1 1 IN IP6 2001:db8::1\ns= \nc=IN IP6 2001:db8::1\nt=0 0\nm=audio 4000 RTP/AVP \
                     97 0\na=rtpmap:0 PCMU/8000\na=rtpmap:97 iLBC/8000\na=sendrecv\nm=audio 0 RTP/AVP 8\n\
                     m=video 4002/2 RTP/AVPF 31\nx=?\nnonsense\nm=audio 4004 RTP/SAVP 0\n\
                     m=application 9 UDP/DTLS/SCTP webrtc-datachannel\n";
        let expected = "m=audio 9 RTP/AVP 97\r\na=rtpmap:97 iLBC/8000\r\na=inactive\r\n\
                        m=audio 0 RTP/AVP 8\r\na=inactive\r\nm=video 9 RTP/AVPF 31\r\na=inactive\r\n\
                        m=audio 0 RTP/SAVP 0\r\na=inactive\r\n\
                        m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\na=inactive\r\n";
        for offer in [offer.to_owned(), offer.replace('\n', "\r\n")] {
            assert_eq!(answer(&offer).unwrap(), format!("{SESSION}{expected}"));
        }
        assert_eq!(
            answer("v=0\r\nt=3034423619 3042462419\r\n").unwrap(),
            SESSION.replace("0 0", "3034423619 3042462419")
        );
        assert_eq!(answer("v=0").unwrap(), SESSION);
    }

    #[test]
    fn what_cannot_be_read_or_answered_is_refused() {
        let many = "m=audio 1 RTP/AVP 0\r\n".repeat(33);
        let broad = format!("m=audio 1 RTP/AVP {}\r\n", "1".repeat(60_000));
        for (offer, reason) in [
            ("", Unusable::Malformed),
            ("v=1\r\n", Unusable::Malformed),
            ("hello", Unusable::Malformed),
            ("v=0\r\nm=audio\r\n", Unusable::Malformed),
            ("v=0\r\nm=audio 1 RTP/AVP\r\n", Unusable::Malformed),
            ("v=0\r\nm=audio 65536 RTP/AVP 0\r\n", Unusable::Malformed),
            ("v=0\r\nm=audio -1 RTP/AVP 0\r\n", Unusable::Malformed),
            ("v=0\r\nm=audio 1 RTP/AVP ä\r\n", Unusable::Malformed),
            (&format!("v=0\r\n{many}"), Unusable::TooLong),
            (&format!("v=0\r\n{broad}"), Unusable::TooLong),
        ] {
            assert_eq!(answer(offer), Err(reason), "{}", &offer[..offer.len().min(80)]);
        }
        assert_eq!(answer_inactive(&mut Vec::new(), b"v=0\n\xff", ORIGIN), Err(Unusable::Malformed));
    }

    #[test]
    fn an_offer_can_be_answered_by_itself() {
        let origin = Origin { host: "2001:db8::1", is_ipv6: true, id: 1 };
        let mut offer = Vec::new();
        offer_inactive(&mut offer, origin);
        let text = std::str::from_utf8(&offer).unwrap();
        assert!(text.contains("c=IN IP6 2001:db8::1\r\n") && text.ends_with("a=inactive\r\n"));
        assert!(answer(text).unwrap().contains("m=audio 9 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"));
    }
}
