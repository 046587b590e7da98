//! Where a description wants its audio (RFC 8866): read on our own, not by the server's code, which is under
//! test.

use std::net::{Ipv4Addr, SocketAddrV4};

/// The address and port of the first audio stream; `None` where there is none, where it is refused (port 0)
/// or held the old way (0.0.0.0), and where its address is not IPv4.
pub fn audio_address(description: &[u8]) -> Option<SocketAddrV4> {
    let mut lines = description.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let mut address = None;
    let port = loop {
        let line = lines.next()?;
        if let Some(connection) = line.strip_prefix(b"c=") {
            address = ip(connection);
        } else if let Some(audio) = line.strip_prefix(b"m=audio ") {
            break port(audio)?;
        } else if line.starts_with(b"m=") {
            return later_audio_address(lines, address);
        }
    };
    with_own_address(lines, address, port)
}

/// The same from behind an m-line of another kind; `session` is the address of the session.
fn later_audio_address<'a>(
    mut lines: impl Iterator<Item = &'a [u8]>,
    session: Option<Ipv4Addr>,
) -> Option<SocketAddrV4> {
    let port = port(lines.find_map(|line| line.strip_prefix(b"m=audio "))?)?;
    with_own_address(lines, session, port)
}

/// A stream's own c= stands before the next m= and overrides the session's.
fn with_own_address<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
    session: Option<Ipv4Addr>,
    port: u16,
) -> Option<SocketAddrV4> {
    let own = lines.take_while(|line| !line.starts_with(b"m=")).find_map(|line| line.strip_prefix(b"c="));
    let address = own.map_or(session, ip).filter(|ip| !ip.is_unspecified())?;
    (port > 0).then(|| SocketAddrV4::new(address, port))
}

/// The address in `IN IP4 192.0.2.1`, with or without a TTL behind it.
fn ip(connection: &[u8]) -> Option<Ipv4Addr> {
    let text = std::str::from_utf8(connection.strip_prefix(b"IN IP4 ")?).ok()?;
    text.split('/').next()?.parse().ok()
}

/// The port in `49170 RTP/AVP 0`, with or without a number of ports behind it.
fn port(audio: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(audio.split(|byte| *byte == b' ' || *byte == b'/').next()?).ok()?;
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";

    fn read(text: &str) -> Option<String> {
        audio_address(text.as_bytes()).map(|address| address.to_string())
    }

    #[test]
    fn a_streams_own_address_counts_before_the_sessions() {
        let audio = "m=audio 49170 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";
        assert_eq!(read(&format!("{SESSION}{audio}")).as_deref(), Some("192.0.2.1:49170"));
        let own = format!("{SESSION}{audio}c=IN IP4 192.0.2.2/127\r\n");
        assert_eq!(read(&own).as_deref(), Some("192.0.2.2:49170"));
        assert_eq!(read(&own.replace("\r\n", "\n")).as_deref(), Some("192.0.2.2:49170"));
        let other = format!("{SESSION}{audio}m=video 6000 RTP/AVP 99\r\nc=IN IP4 192.0.2.3\r\n");
        assert_eq!(
            read(&other).as_deref(),
            Some("192.0.2.1:49170"),
            "the video's address is not the audio's"
        );
    }

    #[test]
    fn audio_is_found_behind_other_streams() {
        let text = format!(
            "{SESSION}m=video 6000 RTP/AVP 99\r\nc=IN IP4 192.0.2.3\r\nm=audio 5004/2 RTP/AVP 8\r\n\
             c=IN IP4 192.0.2.4\r\n"
        );
        assert_eq!(read(&text).as_deref(), Some("192.0.2.4:5004"));
        assert_eq!(read(&text.replace("c=IN IP4 192.0.2.4\r\n", "")).as_deref(), Some("192.0.2.1:5004"));
    }

    #[test]
    fn nowhere_to_send_is_no_address() {
        let hold = SESSION.replace("192.0.2.1", "0.0.0.0");
        let ipv6 = SESSION.replace("IN IP4 192.0.2.1", "IN IP6 2001:db8::1");
        for text in [
            "",
            SESSION,
            &format!("{SESSION}m=audio 0 RTP/AVP 0\r\n"),
            &format!("{SESSION}m=audio 70000 RTP/AVP 0\r\n"),
            &format!("{hold}m=audio 49170 RTP/AVP 0\r\n"),
            &format!("{ipv6}m=audio 49170 RTP/AVP 0\r\n"),
            "v=0\r\nm=audio 49170 RTP/AVP 0\r\n",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
