//! A party's description, read for the relay.

use super::Unusable;
use super::lines::{Attribute, Direction, Kind, Media, lines, number, words};
use crate::limits::STREAMS_MAX;
use crate::media::{G711, Law, Remote};
use std::net::{IpAddr, SocketAddr};

/// The clock where nothing tells it: that of most audio formats.
const CLOCK_HZ: u32 = 8_000;

/// A description that was read; it borrows its text.
#[derive(Debug)]
pub struct Description<'a> {
    pub(super) text: &'a [u8],
    pub(super) streams: Vec<Stream>,
    /// There is an `o=` line where it belongs.
    pub(super) has_origin: bool,
    /// There is a `c=` line before the first stream.
    pub(super) has_connection: bool,
    /// The streams that have `c=` lines of their own: bit 0 is the first.
    pub(super) connections: u32,
}

/// A stream: an `m=` line with what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// 0: refused.
    pub port: u16,
    /// Where it wants to be sent to; `None`: a host name, which nobody here looks up, or none is named.
    pub address: Option<IpAddr>,
    /// `a=rtcp` (RFC 3605): the port, and the address where that is another.
    pub rtcp: Option<(u16, Option<IpAddr>)>,
    /// `a=rtcp-mux` (RFC 5761).
    pub has_mux: bool,
    /// The stream's own, else the session's, else both ways (RFC 3264 §5.1, RFC 8866 §6.7).
    pub direction: Direction,
    /// It does not both send and receive, or its address is 0.0.0.0 or `::` (RFC 3264 §8.4).
    pub is_held: bool,
    /// It is RTP or T.38 over UDP, which are relayed. Anything else over UDP is not: who wants it, and how
    /// much of it, could not be told from an attack.
    pub is_udp: bool,
    pub is_rtp: bool,
    pub is_audio: bool,
    /// The clock of its first format in Hz; 8,000 where it is not known.
    pub clock_hz: u32,
    /// The first of its formats that is G.711. `None` also for SRTP: what could be played there has no key.
    pub g711: Option<G711>,
    /// The first of its formats that is G.711 by the other law.
    pub g711_second: Option<G711>,
}

/// What the session and each stream of it may say, the stream's own going first. Of two lines that say the
/// same of one the first counts.
#[derive(Clone, Copy, Debug, Default)]
struct Section {
    /// There is a `c=` line, and what address it has.
    connection: Option<Option<IpAddr>>,
    direction: Option<Direction>,
}

impl<'a> Description<'a> {
    /// Reads a description (RFC 8866 §5): `v=0`, behind empty lines at most, then lines in any order, of
    /// which the first `m=` line ends the session's part. Lines end with CR LF, LF or CR. What is not
    /// understood is passed over, whatever its bytes.
    ///
    /// # Errors
    /// [`Unusable::Malformed`] if it does not start like a description, or if an `m=` line has no media, port
    /// and protocol; [`Unusable::TooLong`] beyond 32 streams.
    pub fn read(text: &'a [u8]) -> Result<Description<'a>, Unusable> {
        let mut all = lines(text).skip_while(|line| line.text.trim_ascii().is_empty());
        if all.next().is_none_or(|line| line.text.trim_ascii_end() != b"v=0") {
            return Err(Unusable::Malformed);
        }
        let mut description = Description {
            text,
            streams: Vec::new(),
            has_origin: false,
            has_connection: false,
            connections: 0,
        };
        let mut session = Section::default();
        let mut stream: Option<(Builder, Section)> = None;
        for line in all {
            match (line.kind(), &mut stream) {
                (Kind::Media(media), _) => {
                    description.push(session, stream.take());
                    if description.streams.len() == STREAMS_MAX {
                        return Err(Unusable::TooLong);
                    }
                    let media = media.ok_or(Unusable::Malformed)?;
                    stream = Some((Builder::new(&media), Section::default()));
                }
                (Kind::Attribute(attribute), Some((builder, section))) => {
                    section.hear(attribute);
                    builder.hear(attribute);
                }
                (Kind::Attribute(attribute), None) => session.hear(attribute),
                (Kind::Connection(address), stream) => {
                    let section = stream.as_mut().map_or(&mut session, |(_, section)| section);
                    section.connection = section.connection.or(Some(address));
                }
                (Kind::Origin, None) => description.has_origin = true,
                _ => {}
            }
        }
        description.push(session, stream);
        description.has_connection = session.connection.is_some();
        Ok(description)
    }

    /// A stream's last line was read.
    fn push(&mut self, session: Section, stream: Option<(Builder, Section)>) {
        let Some((builder, section)) = stream else { return };
        let mut stream = builder.build();
        self.connections |= u32::from(section.connection.is_some()) << self.streams.len();
        stream.address = section.connection.or(session.connection).flatten();
        stream.direction = section.direction.or(session.direction).unwrap_or_default();
        stream.is_held = stream.direction != Direction::SendReceive || stream.address.is_some_and(is_zero);
        self.streams.push(stream);
    }

    /// Its streams, in the order of the `m=` lines; at most 32.
    #[must_use]
    pub fn streams(&self) -> &[Stream] {
        &self.streams
    }

    /// Whether that stream has a `c=` line that counts for it.
    pub(super) fn has_connection_for(&self, stream: usize) -> bool {
        self.has_connection || (stream < STREAMS_MAX && self.connections & 1 << stream != 0)
    }
}

impl Section {
    fn hear(&mut self, attribute: Attribute<'_>) {
        if let Attribute::Direction(direction) = attribute {
            self.direction = self.direction.or(Some(direction));
        }
    }
}

/// A stream whose lines are being read.
struct Builder {
    stream: Stream,
    /// RTP without a key of its own.
    is_plain: bool,
    /// The first format, where that is a payload type.
    first: Option<u16>,
    /// Where in the list each payload type stands, of those alone: read once, as there may be as many
    /// `a=rtpmap` lines as formats.
    ranks: [u8; PAYLOAD_TYPES],
    /// Where the G.711 stands that was found, by law.
    found: [Option<(u8, G711)>; 2],
}

/// Payload types of RTP (RFC 3550 §5.1).
const PAYLOAD_TYPES: usize = 128;

/// It is not in the list.
const NO_RANK: u8 = u8::MAX;

impl Builder {
    fn new(media: &Media<'_>) -> Builder {
        let (is_udp, is_rtp, is_plain) = transport(media.protocol);
        let first = words(media.formats).next().and_then(number).filter(|_| is_rtp);
        let stream = Stream {
            port: media.port,
            address: None,
            rtcp: None,
            has_mux: false,
            direction: Direction::default(),
            is_held: false,
            is_udp,
            is_rtp,
            is_audio: media.media.eq_ignore_ascii_case(b"audio"),
            clock_hz: first.map_or(CLOCK_HZ, static_clock),
            g711: None,
            g711_second: None,
        };
        let mut ranks = [NO_RANK; PAYLOAD_TYPES];
        let mut count = 0;
        for format in words(media.formats).filter_map(number) {
            if let Some(rank) = ranks.get_mut(usize::from(format)).filter(|rank| **rank == NO_RANK) {
                *rank = count;
                // One for each payload type at most.
                count += 1;
            }
        }
        let mut builder = Builder { stream, is_plain, first, ranks, found: [None; 2] };
        // RFC 3551 §6: these need no rtpmap.
        for (payload_type, law) in [(0, Law::Mu), (8, Law::A)] {
            builder.find_g711(payload_type, law);
        }
        builder
    }

    fn hear(&mut self, attribute: Attribute<'_>) {
        let stream = &mut self.stream;
        match attribute {
            Attribute::Rtcp(Some(rtcp)) => stream.rtcp = stream.rtcp.or(Some(rtcp)),
            Attribute::RtcpMux => stream.has_mux = true,
            Attribute::Map { payload_type, encoding } if stream.is_rtp => self.map(payload_type, encoding),
            _ => {}
        }
    }

    /// `PCMA/8000/1` (RFC 8866 §6.6); encodings' names have no case (RFC 4855 §3).
    fn map(&mut self, payload_type: u8, encoding: &[u8]) {
        let mut parts = encoding.split(|byte| *byte == b'/');
        let (name, clock, channels) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        let clock_hz = clock.and_then(|clock| std::str::from_utf8(clock).ok()?.parse().ok());
        let Some(clock_hz) = clock_hz.filter(|clock_hz| *clock_hz > 0) else { return };
        if self.first == Some(u16::from(payload_type)) {
            self.stream.clock_hz = clock_hz;
        }
        let law = match name {
            _ if clock_hz != 8_000 || channels.is_some_and(|channels| channels != b"1") => return,
            _ if name.eq_ignore_ascii_case(b"PCMU") => Law::Mu,
            _ if name.eq_ignore_ascii_case(b"PCMA") => Law::A,
            _ => return,
        };
        // What 0 and 8 are is not the party's to say.
        if !matches!(payload_type, 0 | 8) {
            self.find_g711(payload_type, law);
        }
    }

    /// A format is G.711: it is taken if it stands before the one of its law that was found until now.
    fn find_g711(&mut self, payload_type: u8, law: Law) {
        let rank = self.ranks.get(usize::from(payload_type)).copied().filter(|rank| *rank != NO_RANK);
        let Some(rank) = rank.filter(|_| self.is_plain && self.stream.is_audio) else { return };
        let found = &mut self.found[usize::from(law == Law::A)];
        if found.is_none_or(|(before, _)| rank < before) {
            *found = Some((rank, G711 { payload_type, law }));
        }
    }

    /// The stream, as far as it is known without what its session says.
    fn build(self) -> Stream {
        let [mut one, mut other] = self.found;
        if let (Some((here, _)), Some((there, _))) = (one, other)
            && there < here
        {
            std::mem::swap(&mut one, &mut other);
        }
        let g711 = one.or(other).map(|(_, g711)| g711);
        Stream { g711, g711_second: one.and(other).map(|(_, g711)| g711), ..self.stream }
    }
}

/// Whether a protocol is one that is relayed, RTP over UDP, and RTP without keys (RFC 3551, 3711, 4585, 5124,
/// 5764; `udptl` is T.38's, RFC 3362, RFC 7345).
fn transport(protocol: &[u8]) -> (bool, bool, bool) {
    let is = |name: &&str| protocol.eq_ignore_ascii_case(name.as_bytes());
    let is_plain = ["RTP/AVP", "RTP/AVPF"].iter().any(is);
    let keyed = ["RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF"];
    let is_rtp = is_plain || keyed.iter().any(is);
    (is_rtp || ["udptl", "UDP/TLS/UDPTL"].iter().any(is), is_rtp, is_plain)
}

/// The clocks of RFC 3551, tables 4 and 5. That of G.722 (9) is 8,000 Hz, though it samples at 16,000.
fn static_clock(payload_type: u16) -> u32 {
    match payload_type {
        6 => 16_000,
        10 | 11 => 44_100,
        14 | 25 | 26 | 28 | 31..=34 => 90_000,
        16 => 11_025,
        17 => 22_050,
        _ => CLOCK_HZ,
    }
}

/// 0.0.0.0 or `::`: nothing is to be sent there (RFC 3264 §8.4).
pub(super) fn is_zero(address: IpAddr) -> bool {
    address.to_canonical().is_unspecified()
}

impl Stream {
    /// What the relay needs to know of it. `host`: where the party's signalling comes from.
    ///
    /// RTCP goes to the port and address of `a=rtcp` (RFC 3605), else to the next port (RFC 3550 §11). With
    /// `a=rtcp-mux` that is where it goes as long as the other side has not said so too (RFC 5761 §5.1.1), so
    /// it is named all the same.
    ///
    /// A party that names a host, or nothing, is where its signalling comes from. Nothing is sent to a zero
    /// address, to port 0, or to many at once (multicast and broadcast): that would make the relay an
    /// amplifier.
    #[must_use]
    pub fn remote(&self, host: IpAddr) -> Remote {
        let stream = self.address.unwrap_or(host);
        let rtp = place(stream, self.port).filter(|_| self.is_udp);
        let (port, address) = self.rtcp.unwrap_or((self.port.checked_add(1).unwrap_or(0), None));
        let rtcp = place(address.unwrap_or(stream), port);
        Remote {
            rtp,
            rtcp: rtcp.filter(|_| self.is_udp && self.is_rtp && self.port != 0),
            host,
            is_rtp: self.is_rtp,
            has_mux: self.has_mux,
            is_held: self.is_held,
            clock_hz: self.clock_hz,
            g711: self.g711,
        }
    }

    /// Whether a tone can be played to it: it has G.711 over plain RTP, its party wants to hear, and that is
    /// not where nothing may be sent to.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        let wants_to_hear = matches!(self.direction, Direction::SendReceive | Direction::ReceiveOnly);
        let is_somewhere = self.address.is_none_or(|address| place(address, self.port).is_some());
        self.g711.is_some() && wants_to_hear && self.port != 0 && is_somewhere
    }
}

/// Where something can be sent to; `None`: nowhere.
fn place(address: IpAddr, port: u16) -> Option<SocketAddr> {
    let address = address.to_canonical();
    let is_somebody = port != 0 && !is_zero(address) && !is_for_many(address);
    is_somebody.then(|| SocketAddr::new(address, port))
}

fn is_for_many(address: IpAddr) -> bool {
    address.is_multicast() || address == IpAddr::V4(std::net::Ipv4Addr::BROADCAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9));

    fn streams(text: &str) -> Vec<Stream> {
        Description::read(text.as_bytes()).expect("a description").streams().to_vec()
    }

    /// The only stream of a session with these lines.
    fn stream(session: &str, stream: &str) -> Stream {
        let text = format!("v=0\no=- 1 1 IN IP4 10.0.0.1\ns=-\n{session}t=0 0\n{stream}");
        let [stream] = streams(&text)[..] else { panic!("one stream in {text}") };
        stream
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    #[test]
    fn a_description_begins_with_its_version() {
        for text in ["v=0", "\r\n \n\nv=0", "v=0 \r\n", "\n\nv=0\r\rm=audio 1 RTP/AVP"] {
            assert!(Description::read(text.as_bytes()).is_ok(), "{text:?}");
        }
        for text in ["", "\n", "v=1", "v=", "o=-\nv=0", "v=00", "x"] {
            assert_eq!(Description::read(text.as_bytes()).err(), Some(Unusable::Malformed), "{text:?}");
        }
        assert!(Description::read(b"v=0\n\xff\0\nc=\xff \xff \xff\na=\nrtcp\n=\nm").is_ok());
    }

    #[test]
    fn a_stream_that_cannot_be_read_makes_all_of_it_unusable() {
        for line in ["m=", "m=audio", "m=audio 1", "m=audio x RTP/AVP 0", "m=audio 65536 RTP/AVP 0"] {
            assert_eq!(Description::read(format!("v=0\n{line}").as_bytes()).err(), Some(Unusable::Malformed));
        }
        for port in ["-1", "+1", "/2", "0x1", "1.0"] {
            let text = format!("v=0\nm=audio {port} RTP/AVP 0");
            assert_eq!(Description::read(text.as_bytes()).err(), Some(Unusable::Malformed), "{port}");
        }
        let many = |count: usize| format!("v=0\n{}", "m=audio 1 RTP/AVP 0\nc=\n".repeat(count));
        assert_eq!(streams(&many(32)).len(), 32);
        assert_eq!(Description::read(many(33).as_bytes()).err(), Some(Unusable::TooLong));
    }

    #[test]
    fn ports_may_be_many_and_blanks_too() {
        for (line, port) in [
            ("m=audio 4000 RTP/AVP 0", 4_000),
            ("m=audio 4000/2 RTP/AVP 0", 4_000),
            ("m= audio\t 04000/x  RTP/AVP  0 ", 4_000),
            ("m=audio 0 RTP/AVP", 0),
        ] {
            let stream = stream("", line);
            assert_eq!(
                (stream.port, stream.is_audio, stream.is_rtp, stream.is_udp),
                (port, true, true, true)
            );
        }
    }

    #[test]
    fn the_address_of_a_stream_goes_before_that_of_the_session() {
        let session = "c=IN IP4 10.0.0.2/127\nc=IN IP4 10.0.0.3\n";
        let audio = "m=audio 4000 RTP/AVP 0\n";
        let told = |session: &str, lines: &str| stream(session, &format!("{audio}{lines}")).address;
        assert_eq!(told(session, ""), address("10.0.0.2"));
        assert_eq!(told(session, "c=IN IP6 2001:db8::1\r\nc=IN IP4 10.0.0.5"), address("2001:db8::1"));
        assert_eq!(told("", "c=in  ip4\t10.0.0.4/127/3 \n"), address("10.0.0.4"));
        for unknown in
            ["c=IN IP4 phone.example\n", "c=TN RFC2543 +4912\n", "c=\n", "c=IN IP4\n", "c=IN IP4 010.0.0.1\n"]
        {
            assert_eq!(told(session, unknown), None, "{unknown}");
            assert_eq!(told(unknown, ""), None, "{unknown}");
        }
        assert_eq!(told("", ""), None);
    }

    #[test]
    fn a_stream_is_held_by_its_direction_or_a_zero_address() {
        let audio = "m=audio 4000 RTP/AVP 0\n";
        let told = |session: &str, lines: &str| {
            let Stream { direction, is_held, .. } = stream(session, &format!("{audio}{lines}"));
            (direction, is_held)
        };
        let address = "c=IN IP4 10.0.0.2\n";
        assert_eq!(told(address, ""), (Direction::SendReceive, false));
        for (line, direction) in [
            ("a=sendonly\n", Direction::SendOnly),
            ("a=recvonly \n", Direction::ReceiveOnly),
            ("a=INACTIVE\n", Direction::Inactive),
        ] {
            assert_eq!(told(address, line), (direction, true));
            assert_eq!(told(&format!("{address}{line}"), ""), (direction, true));
            assert_eq!(
                told(&format!("{address}{line}"), "a=sendrecv\na=inactive"),
                (Direction::SendReceive, false)
            );
        }
        for zero in ["c=IN IP4 0.0.0.0\n", "c=IN IP6 ::\n", "c=IN IP6 ::ffff:0.0.0.0\n"] {
            assert_eq!(told(zero, ""), (Direction::SendReceive, true), "{zero}");
            assert_eq!(told(zero, address), (Direction::SendReceive, false), "{zero}");
        }
    }

    #[test]
    fn rtcp_is_read_in_the_stream_alone() {
        let audio = "m=audio 4000 RTP/AVP 0\n";
        let told = |lines: &str| {
            let Stream { rtcp, has_mux, .. } = stream("a=rtcp:1\na=rtcp-mux\n", &format!("{audio}{lines}"));
            (rtcp, has_mux)
        };
        assert_eq!(told(""), (None, false));
        assert_eq!(told("a=rtcp:4009\na=rtcp:5\n"), (Some((4_009, None)), false));
        assert_eq!(
            told("a=rtcp:4009 IN IP4 10.0.0.9\na=rtcp-mux"),
            (Some((4_009, address("10.0.0.9"))), true)
        );
        assert_eq!(told("a=rtcp:4009 IN IP6 host\n"), (Some((4_009, None)), false));
        assert_eq!(told("a=rtcp:\na=rtcp\na=rtcp-muxed\na=rtcp-fb:* nack\n"), (None, false));
    }

    #[test]
    fn rtp_and_t38_over_udp_are_relayed_and_nothing_else() {
        for (protocol, expected) in [
            ("RTP/AVP", (true, true, true)),
            ("rtp/avpf", (true, true, true)),
            ("RTP/SAVP", (true, true, false)),
            ("RTP/SAVPF", (true, true, false)),
            ("UDP/TLS/RTP/SAVP", (true, true, false)),
            ("UDP/TLS/RTP/SAVPF", (true, true, false)),
            ("udptl", (true, false, false)),
            ("UDP/TLS/UDPTL", (true, false, false)),
            ("UDP", (false, false, false)),
            ("UDP/DTLS/SCTP", (false, false, false)),
            ("UDP/BFCP", (false, false, false)),
            ("TCP", (false, false, false)),
            ("TCP/RTP/AVP", (false, false, false)),
            ("TCP/TLS/RTP/SAVPF", (false, false, false)),
            ("TCP/MSRP", (false, false, false)),
            ("tcptl", (false, false, false)),
            ("UDPX", (false, false, false)),
        ] {
            let stream = stream("", &format!("m=audio 1 {protocol} 0"));
            assert_eq!((stream.is_udp, stream.is_rtp, stream.g711.is_some()), expected, "{protocol}");
        }
    }

    #[test]
    fn the_first_g711_format_is_found() {
        let told = |media: &str, formats: &str, maps: &str| {
            stream("", &format!("m={media} 1 RTP/AVP {formats}\n{maps}"))
                .g711
                .map(|g711| (g711.payload_type, g711.law))
        };
        assert_eq!(told("audio", "0 8", ""), Some((0, Law::Mu)));
        assert_eq!(told("AUDIO", "18 8 0", ""), Some((8, Law::A)));
        let maps = "a=rtpmap:98 pcmu/8000\na=rtpmap:97 PCMA/8000/1\na=rtpmap:0 PCMU/8000\n";
        assert_eq!(told("audio", "18 97 98 0", maps), Some((97, Law::A)));
        assert_eq!(told("audio", "18 98 97 0", maps), Some((98, Law::Mu)));
        assert_eq!(told("audio", "18 0 97", maps), Some((0, Law::Mu)));
        // Not of the list, at another clock, stereo, no such payload type, another name for 8.
        for maps in [
            "a=rtpmap:97 PCMA/8000",
            "a=rtpmap:96 PCMA/16000",
            "a=rtpmap:96 PCMA/8000/2",
            "a=rtpmap:96 PCMA",
            "a=rtpmap:200 PCMA/8000",
            "a=rtpmap:8 PCMU/8000",
            "a=fmtp:96 PCMA/8000",
        ] {
            assert_eq!(told("audio", "96 200", maps), None, "{maps}");
        }
        assert_eq!(told("audio", "8", "a=rtpmap:8 PCMU/8000"), Some((8, Law::A)));
        assert_eq!(told("video", "0", ""), None);
    }

    #[test]
    fn of_either_law_the_first_format_is_found() {
        let told = |formats: &str, maps: &str| {
            let stream = stream("", &format!("m=audio 1 RTP/AVP {formats}\n{maps}"));
            [stream.g711, stream.g711_second].map(|g711| g711.map(|g711| g711.payload_type))
        };
        assert_eq!(told("0 8", ""), [Some(0), Some(8)]);
        assert_eq!(told("8 18 0", ""), [Some(8), Some(0)]);
        assert_eq!(told("18 8", ""), [Some(8), None]);
        assert_eq!(told("18", ""), [None, None]);
        let maps = "a=rtpmap:97 PCMA/8000\na=rtpmap:98 PCMU/8000\na=rtpmap:99 PCMA/8000\n";
        assert_eq!(told("99 8 97 98 0", maps), [Some(99), Some(98)]);
        assert_eq!(told("200 98 98 8", maps), [Some(98), Some(8)]);
    }

    #[test]
    fn many_formats_and_maps_are_read_in_one_pass() {
        let formats = " 1".repeat(15_000);
        let maps = "a=rtpmap:9 x/1\n".repeat(2_000);
        let text = format!("v=0\nm=audio 4000 RTP/AVP{formats} 97\n{maps}a=rtpmap:97 PCMA/8000\n");
        let started = std::time::Instant::now();
        let streams = streams(&text);
        // Looking for each map's format among all of them took seconds.
        assert!(started.elapsed() < std::time::Duration::from_secs(1), "{:?}", started.elapsed());
        assert_eq!(streams[0].g711, Some(G711 { payload_type: 97, law: Law::A }));
    }

    #[test]
    fn the_clock_is_that_of_the_first_format() {
        let told =
            |formats: &str, maps: &str| stream("", &format!("m=audio 1 RTP/AVP {formats}\n{maps}")).clock_hz;
        for (formats, maps, expected) in [
            ("0 96", "a=rtpmap:96 opus/48000/2", 8_000),
            ("96 0", "a=rtpmap:96 opus/48000/2", 48_000),
            ("96 97", "a=rtpmap:97 opus/48000/2\na=rtpmap:96 speex/16000", 16_000),
            ("9", "", 8_000),
            ("31", "", 90_000),
            ("10", "", 44_100),
            ("96", "", 8_000),
            ("96", "a=rtpmap:96 x/0", 8_000),
            ("96", "a=rtpmap:96 x/99999999999", 8_000),
            ("x", "", 8_000),
            ("", "", 8_000),
        ] {
            assert_eq!(told(formats, maps), expected, "{formats} {maps}");
        }
        assert_eq!(stream("", "m=image 1 udptl 31").clock_hz, 8_000);
    }

    #[test]
    fn the_relay_sends_where_a_stream_wants_to_be_sent_to() {
        let place = |text: &str| Some(text.parse::<SocketAddr>().expect("a place"));
        let told = |lines: &str| {
            let remote = stream("c=IN IP4 10.0.0.2\n", lines).remote(HOST);
            assert_eq!(remote.host, HOST);
            (remote.rtp, remote.rtcp)
        };
        let audio = "m=audio 4000 RTP/AVP 0\n";
        let with = |lines: &str| told(&format!("{audio}{lines}"));
        let rtp = place("10.0.0.2:4000");
        assert_eq!(with(""), (rtp, place("10.0.0.2:4001")));
        assert_eq!(with("a=rtcp:4009"), (rtp, place("10.0.0.2:4009")));
        assert_eq!(with("a=rtcp:4009 IN IP4 10.0.0.9"), (rtp, place("10.0.0.9:4009")));
        // The other side may not know of it.
        assert_eq!(with("a=rtcp:4009\na=rtcp-mux"), (rtp, place("10.0.0.2:4009")));
        assert_eq!(with("a=rtcp-mux"), (rtp, place("10.0.0.2:4001")));
        assert_eq!(with("a=rtcp:0"), (rtp, None));
        assert_eq!(with("a=rtcp:4009 IN IP4 0.0.0.0"), (rtp, None));
        assert_eq!(with("c=IN IP6 2001:db8::1"), (place("[2001:db8::1]:4000"), place("[2001:db8::1]:4001")));
        assert_eq!(with("c=IN IP6 ::ffff:10.0.0.3").0, place("10.0.0.3:4000"));
        for nowhere in ["0.0.0.0", "::", "224.2.1.1/127", "255.255.255.255", "ff02::1"] {
            assert_eq!(with(&format!("c=IN IP4 {nowhere}")), (None, None), "{nowhere}");
        }
        // Nobody looks a name up: the party is where its signalling comes from.
        for named in ["IN IP4 phone.example", "IN IP6 phone.example", "TN RFC2543 +4912", ""] {
            let here = |port: u16| Some(SocketAddr::new(HOST, port));
            assert_eq!(with(&format!("c={named}")), (here(4_000), here(4_001)), "{named}");
            assert_eq!(with(&format!("c={named}\na=rtcp:4009 IN IP4 x")), (here(4_000), here(4_009)));
        }
        assert_eq!(stream("", audio).remote(HOST).rtp, Some(SocketAddr::new(HOST, 4_000)));
        assert_eq!(told("m=audio 0 RTP/AVP 0\na=rtcp:4009"), (None, None));
        assert_eq!(told("m=audio 65535 RTP/AVP 0"), (place("10.0.0.2:65535"), None));
        assert_eq!(told("m=image 4000 udptl t38"), (rtp, None));
        assert_eq!(told("m=image 4000 TCP t38"), (None, None));
    }
}
