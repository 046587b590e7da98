//! Session descriptions of our own (RFC 8866, RFC 3264): nothing is to be heard in them, or a tone.

use super::lines::{Attribute, Kind, Line, Media, lines, number, words};
use super::read::Description;
use crate::media::{G711, Law};
use std::fmt;
use std::net::SocketAddr;

/// Bytes of an answer: whatever was offered, it fits into a datagram with everything else.
const ANSWER_BYTES_MAX: usize = 4_096;

/// Bytes of a line of the offer's that is said again.
const LINE_BYTES_MAX: usize = 128;

/// The discard port (RFC 863), which is no 0: a stream with port 0 is refused (RFC 3264 §6).
const PORT: u16 = 9;

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
    media: Media<'o>,
    /// Its first format, which the answer takes.
    format: &'o [u8],
    /// The `a=rtpmap` line of that format.
    map: Option<&'o [u8]>,
    /// It is to carry a tone in this format instead.
    tone: Option<G711>,
}

/// Writes the answer to an offer into `out`: every stream that can be taken is inactive, every other one is
/// refused (RFC 3264 §6, §6.1). Plain RTP can be taken; what is keyed or set up otherwise would need an
/// answer of its own kind.
///
/// # Errors
/// [`Unusable`], with `out` as it was.
pub fn answer_inactive(out: &mut Vec<u8>, offer: &[u8], origin: Origin<'_>) -> Result<(), Unusable> {
    answer(out, offer, origin, None).map(|_| ())
}

/// The same with a stream for a tone: the first that is listening ([`super::Stream::is_listening`]) is taken
/// `sendonly` (RFC 3264 §6.1), from `rtp` and with nothing but its first G.711 format, which is returned.
/// RTCP is not multiplexed there, whether or not the offer has `a=rtcp-mux`. `None`: there is no such stream,
/// and nothing is to be heard. `origin` names the host in `o=`; `c=` is the address of `rtp` where that is
/// used.
///
/// # Errors
/// [`Unusable`], with `out` as it was.
pub fn answer_tone(
    out: &mut Vec<u8>,
    offer: &[u8],
    origin: Origin<'_>,
    rtp: SocketAddr,
) -> Result<Option<G711>, Unusable> {
    answer(out, offer, origin, Some(rtp))
}

fn answer(
    out: &mut Vec<u8>,
    offer: &[u8],
    origin: Origin<'_>,
    rtp: Option<SocketAddr>,
) -> Result<Option<G711>, Unusable> {
    let description = Description::read(offer)?;
    let listening =
        description.streams().iter().position(super::Stream::is_listening).filter(|_| rtp.is_some());
    let tone = listening.and_then(|listening| description.streams()[listening].g711);
    let mut time = None;
    let mut streams: Vec<Stream<'_>> = Vec::new();
    for line in lines(offer) {
        match (line.kind(), streams.last_mut()) {
            (Kind::Media(media), _) => {
                let tone = tone.filter(|_| listening == Some(streams.len()));
                streams.push(stream(media, tone).ok_or(Unusable::Malformed)?);
            }
            (Kind::Attribute(Attribute::Map { payload_type, .. }), Some(stream)) => {
                let is_its = number(stream.format) == Some(u16::from(payload_type));
                stream.map = stream.map.or(Some(line.text).filter(|_| is_its && is_plain(line)));
            }
            // RFC 3264 §6: the answer's time is the offer's.
            (Kind::Other, None) if line.text.starts_with(b"t=") && is_plain(line) => {
                time = time.or(Some(line.text));
            }
            _ => {}
        }
    }
    let start = out.len();
    let place = rtp.filter(|_| tone.is_some());
    write_session(out, origin, place, time.unwrap_or(NO_TIME));
    for stream in &streams {
        write_stream(out, stream, place);
        if out.len() - start > ANSWER_BYTES_MAX {
            out.truncate(start);
            return Err(Unusable::TooLong);
        }
    }
    Ok(tone)
}

/// Writes an offer of one inactive stream, of what every phone can play.
pub fn offer_inactive(out: &mut Vec<u8>, origin: Origin<'_>) {
    offer(out, origin, None);
}

/// Writes an offer of a tone from `rtp`, in either law. The answer's only stream says which was taken: the
/// [`super::Stream::g711`] of it.
pub fn offer_tone(out: &mut Vec<u8>, origin: Origin<'_>, rtp: SocketAddr) {
    offer(out, origin, Some(rtp));
}

fn offer(out: &mut Vec<u8>, origin: Origin<'_>, rtp: Option<SocketAddr>) {
    write_session(out, origin, rtp, NO_TIME);
    let (port, direction) = rtp.map_or((PORT, "inactive"), |rtp| (rtp.port(), "sendonly"));
    let text = format!(
        "m=audio {port} RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na={direction}\r\n"
    );
    out.extend_from_slice(text.as_bytes());
}

/// A session that is not bounded (RFC 8866 §5.9).
const NO_TIME: &[u8] = b"t=0 0";

fn write_session(out: &mut Vec<u8>, origin: Origin<'_>, rtp: Option<SocketAddr>, time: &[u8]) {
    let family = |is_ipv6| if is_ipv6 { "IP6" } else { "IP4" };
    let Origin { host, is_ipv6, id } = origin;
    let named = format!("IN {} {host}", family(is_ipv6));
    let place = rtp.map(|rtp| format!("IN {} {}", family(rtp.is_ipv6()), rtp.ip()));
    let place = place.as_ref().unwrap_or(&named);
    let text = format!("v=0\r\no=- {id} {id} {named}\r\ns=-\r\nc={place}\r\n");
    [text.as_bytes(), time, b"\r\n"].iter().for_each(|part| out.extend_from_slice(part));
}

fn write_stream(out: &mut Vec<u8>, stream: &Stream<'_>, rtp: Option<SocketAddr>) {
    let Media { media, port, protocol, .. } = stream.media;
    if let (Some(G711 { payload_type, law }), Some(rtp)) = (stream.tone, rtp) {
        let law = match law {
            Law::Mu => "PCMU",
            Law::A => "PCMA",
        };
        let (port, format) = (format!(" {} ", rtp.port()), format!(" {payload_type}\r\n"));
        let map = format!("a=rtpmap:{payload_type} {law}/8000\r\na=sendonly\r\n");
        let parts = [b"m=", media, port.as_bytes(), protocol, format.as_bytes(), map.as_bytes()];
        parts.iter().for_each(|part| out.extend_from_slice(part));
        return;
    }
    let is_taken = port != 0 && matches!(protocol, b"RTP/AVP" | b"RTP/AVPF");
    let port = if is_taken { format!(" {PORT} ") } else { " 0 ".to_owned() };
    let parts = [b"m=", media, port.as_bytes(), protocol, b" ", stream.format, b"\r\n"];
    parts.iter().for_each(|part| out.extend_from_slice(part));
    if let Some(map) = stream.map.filter(|_| is_taken) {
        out.extend_from_slice(map);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"a=inactive\r\n");
}

/// What an answer repeats of a stream; `None`: of this one it cannot.
fn stream(media: Option<Media<'_>>, tone: Option<G711>) -> Option<Stream<'_>> {
    let media = media?;
    let format = words(media.formats).next()?;
    let is_text = |part: &&[u8]| part.iter().all(u8::is_ascii_graphic);
    let is_sound = [media.media, media.protocol, format].iter().all(is_text);
    is_sound.then_some(Stream { media, format, map: None, tone })
}

/// Whether a line can be said again.
fn is_plain(line: Line<'_>) -> bool {
    let is_text = |byte: &u8| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t');
    line.text.len() <= LINE_BYTES_MAX && line.text.iter().all(is_text)
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
    fn a_codec_that_is_no_text_is_not_repeated() {
        for name in ["PCMÜ/8000", "PCMU/8000\u{1}a=sendonly", "PCMU/8000\0"] {
            let offer = format!("v=0\r\nm=audio 4000 RTP/AVP 0\r\na=rtpmap:0 {name}\r\n");
            let streams = "m=audio 9 RTP/AVP 0\r\na=inactive\r\n";
            assert_eq!(answer(&offer), Ok(format!("{SESSION}{streams}")), "{name:?}");
        }
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
        // A name in another code than ours is nobody's business.
        assert_eq!(answer_inactive(&mut Vec::new(), b"v=0\ns=\xff", ORIGIN), Ok(()));
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
    const TONE: &str = "v=0\r\no=- 7 7 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\n";

    fn toned(offer: &str) -> (Option<G711>, String) {
        let mut out = b"kept".to_vec();
        let rtp = "192.0.2.2:30000".parse().expect("an address");
        let tone = answer_tone(&mut out, offer.as_bytes(), ORIGIN, rtp).expect("an answer");
        let text = String::from_utf8(out).expect("text");
        (tone, text.strip_prefix("kept").expect("what stood there stays").to_owned())
    }

    #[test]
    fn a_tone_takes_the_first_stream_that_wants_to_hear_it() {
        let head = "v=0\r\nc=IN IP4 10.0.0.5\r\nt=0 0\r\nm=audio 1 RTP/SAVP 0\r\nm=audio 1 RTP/AVP 18\r\n\
                    m=audio 0 RTP/AVP 0\r\nm=audio 1 RTP/AVP 0\r\na=sendonly\r\nm=audio 1 RTP/AVP 0\r\n\
                    c=IN IP4 0.0.0.0\r\nm=audio 1 RTP/AVP 0\r\nc=IN IP4 224.2.1.1\r\n\
                    m=video 1 RTP/AVP 0\r\n";
        let refused = "m=audio 0 RTP/SAVP 0\r\na=inactive\r\nm=audio 9 RTP/AVP 18\r\na=inactive\r\n\
                       m=audio 0 RTP/AVP 0\r\na=inactive\r\nm=audio 9 RTP/AVP 0\r\na=inactive\r\n\
                       m=audio 9 RTP/AVP 0\r\na=inactive\r\nm=audio 9 RTP/AVP 0\r\na=inactive\r\n\
                       m=video 9 RTP/AVP 0\r\na=inactive\r\n";
        assert_eq!(toned(head), (None, format!("{SESSION}{refused}")));
        let offer = format!(
            "{head}m=audio 4 rtp/avpf 18 98 0\r\na=rtpmap:98 pcma/8000\r\na=recvonly\r\n\
             m=audio 6 RTP/AVP 8\r\n"
        );
        let taken = "m=audio 30000 rtp/avpf 98\r\na=rtpmap:98 PCMA/8000\r\na=sendonly\r\n\
                     m=audio 9 RTP/AVP 8\r\na=inactive\r\n";
        let format = G711 { payload_type: 98, law: Law::A };
        assert_eq!(toned(&offer), (Some(format), format!("{TONE}{refused}{taken}")));
        // A host by its name is somewhere.
        let offer = "v=0\nc=IN IP4 phone.example\nm=audio 4 RTP/AVP 0 8\n";
        let taken = "m=audio 30000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendonly\r\n";
        let format = G711 { payload_type: 0, law: Law::Mu };
        assert_eq!(toned(offer), (Some(format), format!("{TONE}{taken}")));
    }

    #[test]
    fn an_offered_tone_is_one_that_a_phone_can_take() {
        let rtp: SocketAddr = "[2001:db8::2]:30000".parse().expect("an address");
        let mut offer = Vec::new();
        offer_tone(&mut offer, ORIGIN, rtp);
        let text = std::str::from_utf8(&offer).expect("text");
        assert!(text.contains("o=- 7 7 IN IP4 192.0.2.1\r\n") && text.contains("c=IN IP6 2001:db8::2\r\n"));
        let description = Description::read(&offer).expect("a description");
        let [stream] = description.streams() else { panic!("{text}") };
        assert_eq!((stream.address, stream.port), (Some(rtp.ip()), 30_000));
        assert_eq!(stream.direction, crate::sdp::Direction::SendOnly);
        assert_eq!(stream.g711, Some(G711 { payload_type: 0, law: Law::Mu }));
    }
}
