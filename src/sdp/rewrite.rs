//! A party's description as the other side gets it: with the server's own addresses, as a session of the
//! server's.

use super::Description;
use super::lines::{Attribute, Kind, Line, Media, lines};
use super::read::is_zero;
use siphasher::sip::SipHasher13;
use std::hash::Hasher as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a side was told last, as its own session (RFC 3264 §8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The session's identifier in `o=`; 0: none was told yet, and one is needed first.
    pub id: u64,
    /// The version told last; before the first one, the version to begin with.
    pub version: u64,
    /// Of everything but `o=` and `s=`; 0: nothing was told yet.
    hash: u64,
}

impl Told {
    /// Nothing yet; `id` tells the session from others of the server's.
    #[must_use]
    pub const fn new(id: u64) -> Told {
        Told { id, version: id, hash: 0 }
    }

    /// Whether it has an identifier.
    #[must_use]
    pub const fn has_id(&self) -> bool {
        self.id != 0
    }

    /// Whether anything was told.
    #[must_use]
    pub const fn is_some(&self) -> bool {
        self.hash != 0
    }

    /// A description with this hash is told.
    fn tell(&mut self, hash: u64) {
        let hash = hash.max(1);
        if self.hash != 0 && self.hash != hash {
            self.version = self.version.wrapping_add(1);
        }
        self.hash = hash;
    }
}

/// Writes a description in the server's own name: `own` is its address, `places` are its RTP addresses, one
/// for each stream; `None` refuses the stream, as does a place that is missing. Everything that is not about
/// addresses stays as it is, byte for byte and in its order.
///
/// - `o=` is `- ID VERSION` and `own`, behind `v=` where there is none. The version is one more than last
///   time if anything but the `o=` and `s=` lines is another, else the same (RFC 3264 §8).
/// - `c=` is `own`, wherever it stands, and of several in one section the first is left; a zero address is
///   the zero address of `own`'s family, so that an old hold stays one (RFC 3264 §8.4). A stream that is not
///   refused and has no `c=` line, in a session without, gets one.
/// - The port of `m=` is that of the place, without a count of ports; 0 stays 0, and is written where the
///   stream does not go over UDP.
/// - `a=rtcp` names the port behind the place's, and `own` (RFC 3605); it goes where the stream is refused
///   or before the first one, and where another one stood before in the stream.
/// - `a=candidate`, `a=remote-candidates`, `a=end-of-candidates`, `a=ice-…`, `a=bundle-only` and
///   `a=group:BUNDLE` go.
///
/// Lines of our own end as the line does in whose place or behind which they stand. All of them together
/// make the text longer by [`DESCRIPTION_GROWTH_BYTES_MAX`] at most.
///
/// [`DESCRIPTION_GROWTH_BYTES_MAX`]: crate::limits::DESCRIPTION_GROWTH_BYTES_MAX
pub fn rewrite(
    out: &mut Vec<u8>,
    description: &Description<'_>,
    told: &mut Told,
    (own, places): (IpAddr, &[Option<SocketAddr>]),
) {
    let held: IpAddr = match own {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let (own, held) = (connection(own), connection(held));
    let mut rewriter = Rewriter {
        out,
        description,
        places,
        own: &own,
        held: &held,
        hasher: SipHasher13::new(),
        stream: None,
        owed: None,
        has_connection: false,
        has_rtcp: false,
        origin: None,
    };
    lines(description.text).for_each(|line| rewriter.line(line));
    rewriter.pay();
    let Rewriter { out, hasher, origin, .. } = rewriter;
    told.tell(hasher.finish());
    // The version is known only now.
    if let Some((at, end)) = origin {
        let length = out.len();
        let origin = format!("o=- {} {} {own}", told.id, told.version);
        write(out, &[origin.as_bytes(), end]);
        let length = out.len() - length;
        out[at..].rotate_right(length);
    }
}

/// `IN IP4 192.0.2.1`
fn connection(address: IpAddr) -> String {
    format!("IN {} {address}", if address.is_ipv4() { "IP4" } else { "IP6" })
}

/// The number of the stream whose lines come, and the port that it gets.
#[derive(Clone, Copy)]
struct Current {
    number: usize,
    port: u16,
}

struct Rewriter<'r> {
    out: &'r mut Vec<u8>,
    description: &'r Description<'r>,
    places: &'r [Option<SocketAddr>],
    /// `own` and its family's zero address, as `c=` names them.
    own: &'r str,
    held: &'r str,
    hasher: SipHasher13,
    /// `None`: in the session's part.
    stream: Option<Current>,
    /// The stream needs a `c=` line, and how that ends.
    owed: Option<&'r [u8]>,
    /// What the section has already: a second one is void, and would be longer than it was.
    has_connection: bool,
    has_rtcp: bool,
    /// Where our `o=` line comes, and how it ends.
    origin: Option<(usize, &'r [u8])>,
}

impl<'r> Rewriter<'r> {
    fn line(&mut self, line: Line<'r>) {
        let kind = line.kind();
        // RFC 8866 §5: `c=` stands behind `i=`.
        if kind != Kind::Information {
            self.pay();
        }
        let start = self.out.len();
        match kind {
            Kind::Origin if self.stream.is_none() && self.origin.is_none() => {
                self.origin = Some((start, line.end));
            }
            // One is enough, and every other one would name an address.
            Kind::Origin | Kind::Attribute(Attribute::Ice) => {}
            Kind::Connection(_) if self.has_connection => {}
            Kind::Attribute(Attribute::Rtcp(_)) if self.has_rtcp => {}
            // A name of its own makes no other version.
            Kind::Name => return write(self.out, &[line.text, line.end]),
            Kind::Version => {
                write(self.out, &[line.text, line.end]);
                if !self.description.has_origin && self.origin.is_none() {
                    self.end(line);
                    self.origin = Some((self.out.len(), end_behind(line)));
                }
            }
            Kind::Connection(address) => {
                self.has_connection = true;
                let address = self.address(address);
                write(self.out, &[b"c=", address.as_bytes(), line.end]);
            }
            Kind::Media(media) => self.media(media, line),
            Kind::Attribute(Attribute::Rtcp(rtcp)) => self.rtcp(rtcp, line),
            Kind::Attribute(_) | Kind::Information | Kind::Other => {
                write(self.out, &[line.text, line.end]);
                if self.owed.is_some() {
                    self.end(line);
                }
            }
        }
        self.hasher.write(&self.out[start..]);
    }

    fn media(&mut self, media: Option<Media<'_>>, line: Line<'r>) {
        // Never `None`: such a description was not read.
        let Some(Media { port_range, .. }) = media else { return };
        let number = self.stream.map_or(0, |stream| stream.number + 1);
        let place = self.places.get(number).copied().flatten();
        let read = self.description.streams.get(number);
        let is_taken = read.is_some_and(|read| read.port != 0 && read.is_udp);
        let port = place.filter(|_| is_taken).map_or(0, |place| place.port());
        self.stream = Some(Current { number, port });
        (self.has_connection, self.has_rtcp) = (false, false);
        let digits = port.to_string();
        let (before, behind) = (&line.text[..port_range.start], &line.text[port_range.end..]);
        write(self.out, &[before, digits.as_bytes(), behind, line.end]);
        if port != 0 && !self.description.has_connection_for(number) {
            self.end(line);
            self.owed = Some(end_behind(line));
        }
    }

    fn rtcp(&mut self, rtcp: Option<(u16, Option<IpAddr>)>, line: Line<'_>) {
        let Some(Current { number, port: port @ 1.. }) = self.stream else { return };
        self.has_rtcp = true;
        let stream = self.description.streams.get(number).and_then(|stream| stream.address);
        let address = self.address(rtcp.and_then(|(_, address)| address).or(stream));
        let port = port.saturating_add(1).to_string();
        write(self.out, &[b"a=rtcp:", port.as_bytes(), b" ", address.as_bytes(), line.end]);
    }

    /// Ours in the place of one of the party's.
    fn address(&self, theirs: Option<IpAddr>) -> &'r str {
        if theirs.is_some_and(is_zero) { self.held } else { self.own }
    }

    /// Writes the `c=` line that the stream needs.
    fn pay(&mut self) {
        let Some(end) = self.owed.take() else { return };
        let start = self.out.len();
        write(self.out, &[b"c=", self.own.as_bytes(), end]);
        self.hasher.write(&self.out[start..]);
    }

    /// Ends a line that was the last one, since another follows now.
    fn end(&mut self, line: Line<'_>) {
        if line.end.is_empty() {
            self.out.extend_from_slice(end_behind(line));
        }
    }
}

/// How a line of our own ends behind this one.
fn end_behind(line: Line<'_>) -> &[u8] {
    if line.end.is_empty() { b"\r\n" } else { line.end }
}

fn write(out: &mut Vec<u8>, parts: &[&[u8]]) {
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of a description by 192.0.2.1 or 2001:db8::1 with these ports; 0: refused.
    fn told_by(own: &str, told: &mut Told, text: &str, ports: &[u16]) -> String {
        let own: IpAddr = own.parse().expect("an address");
        let places: Vec<_> =
            ports.iter().map(|port| (*port != 0).then_some(SocketAddr::new(own, *port))).collect();
        let description = Description::read(text.as_bytes()).expect("a description");
        let mut out = b"kept".to_vec();
        rewrite(&mut out, &description, told, (own, &places));
        let out = String::from_utf8(out).expect("text");
        out.strip_prefix("kept").expect("what stood there stays").to_owned()
    }

    fn told(text: &str, ports: &[u16]) -> String {
        told_by("192.0.2.1", &mut Told::new(7), text, ports)
    }

    const PHONE: &str = "v=0\r\no=1003 8000 1 IN IP4 10.0.0.5\r\ns=call\r\ni=?\r\nc=IN IP4 10.0.0.5\r\n\
                         b=AS:64\r\nt=0 0\r\na=ice-lite\r\na=group:BUNDLE 0\r\na=group:LS 0\r\n\
                         m=audio  4000/2  RTP/AVP 0 101\r\nc=IN IP4 10.0.0.6/127\r\n\
                         a=rtcp:4009 IN IP4 10.0.0.7\r\n\
                         a=candidate:1 1 UDP 1 10.0.0.5 4000 typ host\r\na=ice-ufrag:x\r\n\
                         a=end-of-candidates\r\na=remote-candidates:1 10.0.0.9 1\r\na=bundle-only\r\n\
                         a=ptime:20\r\n\
                         nonsense\r\n\r\na=rtcp-mux\r\na=sendonly";

    #[test]
    fn addresses_are_ours_and_nothing_else_changes() {
        assert_eq!(
            told(PHONE, &[30_000]),
            "v=0\r\no=- 7 7 IN IP4 192.0.2.1\r\ns=call\r\ni=?\r\nc=IN IP4 192.0.2.1\r\nb=AS:64\r\nt=0 0\r\n\
             a=group:LS 0\r\nm=audio  30000  RTP/AVP 0 101\r\nc=IN IP4 192.0.2.1\r\n\
             a=rtcp:30001 IN IP4 192.0.2.1\r\na=ptime:20\r\nnonsense\r\n\r\na=rtcp-mux\r\na=sendonly"
        );
        let lines = PHONE.replace('\r', "");
        assert_eq!(told(&lines, &[30_000]), told(PHONE, &[30_000]).replace('\r', ""));
    }

    #[test]
    fn a_refused_stream_has_no_port_and_no_rtcp() {
        for ports in [&[][..], &[0], &[0, 30_000]] {
            let text = told(PHONE, ports);
            assert!(text.contains("m=audio  0  RTP/AVP 0 101\r\nc=IN IP4 192.0.2.1\r\na=ptime"), "{text}");
        }
        let text = "v=0\no=\nc=IN IP4 10.0.0.1\na=rtcp:5\nm=audio 0 RTP/AVP 0\na=rtcp:4\nm=x 9 TCP/MSRP *\n\
                    m=a 9 udptl x";
        assert_eq!(
            told(text, &[30_000, 30_002, 30_004]),
            "v=0\no=- 7 7 IN IP4 192.0.2.1\nc=IN IP4 192.0.2.1\nm=audio 0 RTP/AVP 0\nm=x 0 TCP/MSRP *\n\
             m=a 30004 udptl x"
        );
    }

    #[test]
    fn a_stream_without_an_address_gets_one_where_it_needs_one() {
        let text = "v=0\r\no=- 1 1 IN IP4 a\r\nm=audio 4000 RTP/AVP 0\r\ni=x\r\na=ptime:20\r\n\
                    m=audio 0 RTP/AVP 0\r\nm=audio 4000 RTP/AVP 0\r\na=x\r\nc=IN IP4 b\r\n\
                    m=audio 4000 RTP/AVP 0\r\n\
                    m=audio 4000 RTP/AVP 0";
        let connection = "c=IN IP4 192.0.2.1\r\n";
        assert_eq!(
            told(text, &[30_000, 30_002, 30_004, 0, 30_008]),
            format!(
                "v=0\r\no=- 7 7 IN IP4 192.0.2.1\r\nm=audio 30000 RTP/AVP 0\r\ni=x\r\n\
                 {connection}a=ptime:20\r\n\
                 m=audio 0 RTP/AVP 0\r\nm=audio 30004 RTP/AVP 0\r\na=x\r\n{connection}m=audio 0 RTP/AVP 0\r\n\
                 m=audio 30008 RTP/AVP 0\r\n{connection}"
            )
        );
        let text = "v=0\no=x\nm=audio 4000 RTP/AVP 0\ni=x";
        let expected = "v=0\no=- 7 7 IN IP4 192.0.2.1\nm=audio 30000 RTP/AVP 0\ni=x\r\nc=IN IP4 192.0.2.1\n";
        assert_eq!(told(text, &[30_000]), expected);
        // The last line's end is what a line behind it needs.
        let session = told("v=0\nc=IN IP4 a\nm=audio 4000 RTP/AVP 0", &[30_000]);
        assert_eq!(session, "v=0\no=- 7 7 IN IP4 192.0.2.1\nc=IN IP4 192.0.2.1\nm=audio 30000 RTP/AVP 0");
    }

    #[test]
    fn of_several_addresses_of_a_section_the_first_is_left() {
        let text = "v=0\no=x\nc=IN IP4 0.0.0.0\nc=IN IP4 a\nm=audio 4000 RTP/AVP 0\nc=\nc=IN IP4 0.0.0.0\n\
                    a=rtcp:1\na=x\na=rtcp\nc=\nm=audio 4000 RTP/AVP 0\na=rtcp:\nc=";
        assert_eq!(
            told(text, &[30_000, 30_002]),
            "v=0\no=- 7 7 IN IP4 192.0.2.1\nc=IN IP4 0.0.0.0\nm=audio 30000 RTP/AVP 0\nc=IN IP4 192.0.2.1\n\
             a=rtcp:30001 IN IP4 192.0.2.1\na=x\nm=audio 30002 RTP/AVP 0\na=rtcp:30003 IN IP4 192.0.2.1\n\
             c=IN IP4 192.0.2.1"
        );
    }

    #[test]
    fn a_text_grows_by_little() {
        // As long as an address can be written, and a line of every section for each that becomes longer.
        let own = "2001:db8:1111:2222:3333:4444:5555:6666";
        let stream = "m=a 1 UDP\nc=\na=rtcp\nc=\na=rtcp\n".repeat(32);
        for text in
            [format!("v=0\no=\nc=\nc=\n{stream}"), format!("v=0\nm=a 1 UDP{}", "\nm=a 1 UDP".repeat(31))]
        {
            let mut session = Told::new(u64::MAX);
            let told = told_by(own, &mut session, &text, &[65_534; 32]);
            let growth = told.len() - text.len();
            assert!(growth <= crate::limits::DESCRIPTION_GROWTH_BYTES_MAX, "{growth}");
        }
    }

    #[test]
    fn the_origin_is_ours_wherever_one_stands() {
        let own = "o=- 7 7 IN IP4 192.0.2.1";
        for (text, expected) in [
            ("v=0", format!("v=0\r\n{own}\r\n")),
            ("\nv=0\ns=-\n", format!("\nv=0\n{own}\ns=-\n")),
            ("v=0\ns=-\no=x", format!("v=0\ns=-\n{own}")),
            ("v=0\no=x\ns=-\no=y\n", format!("v=0\n{own}\ns=-\n")),
            ("v=0\rv=0\rm=a 0 b\ro=x\r", format!("v=0\r{own}\rv=0\rm=a 0 b\r")),
        ] {
            assert_eq!(told(text, &[]), expected, "{text:?}");
        }
    }

    #[test]
    fn an_old_hold_stays_one_in_our_own_family() {
        let text = |zero: &str| {
            format!("v=0\no=x\nc=IN IP4 {zero}\nm=audio 4000 RTP/AVP 0\nc=IN IP6 {zero}\na=rtcp:4001\n")
        };
        for (own, zero) in [("192.0.2.1", "IN IP4 0.0.0.0"), ("2001:db8::1", "IN IP6 ::")] {
            for theirs in ["0.0.0.0", "::"] {
                let family = if own.contains(':') { "IP6" } else { "IP4" };
                assert_eq!(
                    told_by(own, &mut Told::new(7), &text(theirs), &[30_000]),
                    format!(
                        "v=0\no=- 7 7 IN {family} {own}\nc={zero}\nm=audio 30000 RTP/AVP 0\nc={zero}\n\
                         a=rtcp:30001 {zero}\n"
                    )
                );
            }
        }
    }

    #[test]
    fn the_version_steps_by_one_when_anything_but_origin_and_name_is_another() {
        let mut session = Told::new(7);
        let mut version = |text: &str, ports: &[u16]| {
            let text = told_by("192.0.2.1", &mut session, text, ports);
            let origin = format!("o=- 7 {} IN IP4 192.0.2.1", session.version);
            assert!(text.lines().any(|line| line == origin), "{text}");
            session.version
        };
        assert_eq!(version(PHONE, &[30_000]), 7);
        assert_eq!(version(PHONE, &[30_000]), 7);
        assert_eq!(version(&PHONE.replace("8000 1", "8000 2").replace("s=call", "s=hold"), &[30_000]), 7);
        // Where the party is, nobody is told.
        assert_eq!(version(&PHONE.replace("10.0.0.", "10.9.9."), &[30_000]), 7);
        assert_eq!(version(&PHONE.replace("4000/2", "5000"), &[30_000]), 7);
        assert_eq!(version(&PHONE.replace("sendonly", "inactive"), &[30_000]), 8);
        assert_eq!(version(&PHONE.replace("sendonly", "inactive"), &[30_000]), 8);
        assert_eq!(version(PHONE, &[30_000]), 9);
        assert_eq!(version(PHONE, &[30_002]), 10);
        assert_eq!(version(PHONE, &[0]), 11);
        assert_eq!(version(&PHONE.replace("10.0.0.6/127", "0.0.0.0"), &[30_002]), 12);
        assert_eq!(version(&format!("{PHONE} "), &[30_002]), 13);
    }
}
