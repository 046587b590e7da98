//! Session descriptions: what phones say, and what can be read off those that come.

use std::net::{IpAddr, SocketAddr};

/// The codecs of an audio stream of ours: A-law, µ-law, DTMF events.
pub const CODECS: &str = "8 0 101";

/// A description with these media lines.
pub fn of(host: IpAddr, version: u32, streams: &[String]) -> String {
    let family = family(host);
    let mut text = format!(
        "v=0\r\no=phone 77 {version} IN {family} {host}\r\ns=phone\r\nc=IN {family} {host}\r\nt=0 0\r\n"
    );
    for stream in streams {
        text += stream;
    }
    text
}

/// An audio stream at a port.
pub fn audio(port: u16) -> String {
    format!(
        "m=audio {port} RTP/AVP {CODECS}\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\n"
    )
}

/// A video stream at a port.
pub fn video(port: u16) -> String {
    format!("m=video {port} RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 profile-level-id=42801F\r\n")
}

fn family(host: IpAddr) -> &'static str {
    if host.is_ipv4() { "IP4" } else { "IP6" }
}

/// The place of each stream that a description has: the address of the stream's own c= line or else of the
/// session's, and the port of its m= line.
#[track_caller]
pub fn places(body: &str) -> Vec<SocketAddr> {
    let (mut session, mut found): (Option<IpAddr>, Vec<(u16, Option<IpAddr>)>) = (None, Vec::new());
    for line in body.lines() {
        if let Some(connection) = line.strip_prefix("c=IN ") {
            let address = connection.split(' ').nth(1).and_then(|text| text.parse().ok());
            match found.last_mut() {
                Some((_, own)) => *own = address,
                None => session = address,
            }
        } else if let Some(media) = line.strip_prefix("m=") {
            let port = media.split(' ').nth(1).and_then(|port| port.parse().ok());
            found.push((port.unwrap_or_else(|| panic!("no port in {line}")), None));
        }
    }
    let address = |own: Option<IpAddr>| own.or(session).unwrap_or_else(|| panic!("no c= line in\n{body}"));
    found.into_iter().map(|(port, own)| SocketAddr::new(address(own), port)).collect()
}

/// The place of its only stream.
#[track_caller]
pub fn place(body: &str) -> SocketAddr {
    let places = places(body);
    assert_eq!(places.len(), 1, "one stream in\n{body}");
    places[0]
}

/// Id, version and address of its o= line.
#[track_caller]
pub fn origin(body: &str) -> (u64, u64, IpAddr) {
    let line = body.lines().find_map(|line| line.strip_prefix("o=")).unwrap_or_else(|| panic!("{body}"));
    let words: Vec<&str> = line.split(' ').collect();
    let [_, id, version, "IN", _, address] = words[..] else { panic!("o={line}") };
    let number = |text: &str| text.parse().expect("a number");
    (number(id), number(version), address.parse().expect("an address"))
}

/// Whether it has this line.
pub fn has(body: &str, line: &str) -> bool {
    body.lines().any(|own| own == line)
}
