//! Session descriptions as they are told to the other side: the RFC's examples, those of phones and of public
//! messages, and any that can be made up.

#[expect(dead_code, reason = "each test file uses its part of it")]
#[path = "corpora/folder.rs"]
mod folder;
#[path = "sdp/promises.rs"]
mod promises;

use folder::{corpus, files};
use promises::hold;
use proptest::prelude::*;
use ringway::sdp::{Description, Direction, Stream, Told, find, rewrite};
use std::net::{IpAddr, SocketAddr};

const OWN: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

fn own(number: usize) -> IpAddr {
    OWN[number].parse().expect("an address")
}

/// A place for each of 32 streams, but for those with a bit in `refused`.
fn places(own: IpAddr, refused: u32) -> Vec<Option<SocketAddr>> {
    let place = |number: u16| (refused & 1 << number == 0).then(|| SocketAddr::new(own, 30_000 + 2 * number));
    (0..32).map(place).collect()
}

/// What is told of it, by the IPv4 address.
fn told(text: &str, told: &mut Told) -> String {
    assert!(hold(text.as_bytes(), own(0), &places(own(0), 0)));
    let description = Description::read(text.as_bytes()).expect("a description");
    let mut out = Vec::new();
    rewrite(&mut out, &description, told, (own(0), &places(own(0), 0)));
    String::from_utf8(out).expect("text")
}

/// RFC 3264 §10.1: Alice's offer, Bob's answer that refuses a stream, his offer of one more, her answer.
const BASIC: [&str; 4] = [
    "o=alice 2890844526 2890844526 IN IP4 host.anywhere.com\r\ns=\r\nc=IN IP4 host.anywhere.com\r\nt=0 0\r\n\
     m=audio 49170 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\nm=video 51372 RTP/AVP 31\r\n\
     a=rtpmap:31 H261/90000\r\n\
     m=video 53000 RTP/AVP 32\r\na=rtpmap:32 MPV/90000\r\n",
    "o=bob 2890844730 2890844730 IN IP4 host.example.com\r\ns=\r\nc=IN IP4 host.example.com\r\nt=0 0\r\n\
     m=audio 49920 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\nm=video 0 RTP/AVP 31\r\nm=video 53000 RTP/AVP 32\r\n\
     a=rtpmap:32 MPV/90000\r\n",
    "o=bob 2890844730 2890844731 IN IP4 host.example.com\r\ns=\r\nc=IN IP4 host.example.com\r\nt=0 0\r\n\
     m=audio 65422 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\nm=video 0 RTP/AVP 31\r\nm=video 53000 RTP/AVP 32\r\n\
     a=rtpmap:32 MPV/90000\r\nm=audio 51434 RTP/AVP 110\r\na=rtpmap:110 telephone-events/8000\r\n\
     a=recvonly\r\n",
    "o=alice 2890844526 2890844527 IN IP4 host.anywhere.com\r\ns=\r\nc=IN IP4 host.anywhere.com\r\nt=0 0\r\n\
     m=audio 49170 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\nm=video 0 RTP/AVP 31\r\na=rtpmap:31 H261/90000\r\n\
     m=video 53000 RTP/AVP 32\r\na=rtpmap:32 MPV/90000\r\nm=audio 53122 RTP/AVP 110\r\n\
     a=rtpmap:110 telephone-events/8000\r\na=sendonly\r\n",
];

#[test]
fn the_basic_exchange_of_rfc_3264_is_told_as_two_sessions_of_ours() {
    let mut sides = [Told::new(100), Told::new(200)];
    // What Bob hears of Alice, and Alice of Bob.
    for (text, (listener, version), ports) in [
        (BASIC[0], (1, 200), &[30_000, 30_002, 30_004][..]),
        (BASIC[1], (0, 100), &[30_000, 0, 30_004]),
        (BASIC[2], (0, 101), &[30_000, 0, 30_004, 30_006]),
        (BASIC[3], (1, 201), &[30_000, 0, 30_004, 30_006]),
    ] {
        let id = sides[listener].id;
        let out = told(&format!("v=0\r\n{text}"), &mut sides[listener]);
        let (before, after) = (text.lines().collect::<Vec<_>>(), out.lines().collect::<Vec<_>>());
        assert_eq!(after[..2], ["v=0", &format!("o=- {id} {version} IN IP4 192.0.2.1")]);
        assert_eq!(after[2..5], ["s=", "c=IN IP4 192.0.2.1", "t=0 0"]);
        let mut ports = ports.iter();
        for (before, after) in before[4..].iter().zip(&after[5..]) {
            let mut words: Vec<String> = before.split(' ').map(str::to_owned).collect();
            if before.starts_with("m=") {
                words[1] = ports.next().expect("a stream").to_string();
            }
            assert_eq!(words.join(" "), *after);
        }
        assert_eq!((ports.len(), after.len()), (0, before.len() + 1));
    }
}

#[test]
fn the_codec_selection_of_rfc_3264_is_told_with_its_holds() {
    let text = |formats: &str, direction: &str| {
        format!(
            "v=0\r\no=alice 2890844526 2890844526 IN IP4 host.anywhere.com\r\ns=\r\n\
             c=IN IP4 host.anywhere.com\r\n\
             t=0 0\r\nm=audio 62986 RTP/AVP {formats}\r\na={direction}\r\n"
        )
    };
    let mut bob = Told::new(5);
    for (formats, direction, version, is_held) in
        [("0 4 18", "inactive", 5, true), ("4", "sendrecv", 6, false), ("4", "sendrecv", 6, false)]
    {
        let out = told(&text(formats, direction), &mut bob);
        assert_eq!(bob.version, version);
        let description = Description::read(out.as_bytes()).expect("a description");
        let [Stream { is_held: held, address, port, .. }] = description.streams() else { panic!("{out}") };
        assert_eq!((*held, *address, *port), (is_held, Some(own(0)), 30_000));
    }
}

/// An offer as softphones make it, with every way around a relay.
const SOFTPHONE: &str = "v=0\r\no=- 3852 3852 IN IP4 10.1.2.3\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
    a=extmap-allow-mixed\r\na=msid-semantic: WMS x\r\na=ice-options:trickle\r\n\
    m=audio 50000 UDP/TLS/RTP/SAVPF 111 9 0 8 126\r\nc=IN IP4 10.1.2.3\r\na=rtcp:50001 IN IP4 10.1.2.3\r\n\
    a=candidate:1 1 udp 2122260223 10.1.2.3 50000 typ host generation 0\r\n\
    a=candidate:2 1 udp 1686052607 198.51.100.7 50000 typ srflx raddr 10.1.2.3 rport 50000\r\n\
    a=end-of-candidates\r\na=ice-ufrag:OgLK\r\na=ice-pwd:UmZn\r\na=fingerprint:sha-256 01:02\r\n\
    a=setup:actpass\r\na=mid:0\r\na=sendrecv\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n\
    a=rtcp-fb:111 transport-cc\r\na=fmtp:111 minptime=10;useinbandfec=1\r\na=ptime:20\r\n\
    m=video 0 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 10.1.2.3\r\na=bundle-only\r\na=mid:1\r\n";

#[test]
fn no_way_around_the_relay_is_left_and_codecs_stay() {
    let out = told(SOFTPHONE, &mut Told::new(7));
    assert_eq!(
        out,
        "v=0\r\no=- 7 7 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\na=extmap-allow-mixed\r\n\
         a=msid-semantic: WMS x\r\n\
         m=audio 30000 UDP/TLS/RTP/SAVPF 111 9 0 8 126\r\nc=IN IP4 192.0.2.1\r\n\
         a=rtcp:30001 IN IP4 192.0.2.1\r\na=fingerprint:sha-256 01:02\r\na=setup:actpass\r\na=mid:0\r\n\
         a=sendrecv\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\n\
         a=fmtp:111 minptime=10;useinbandfec=1\r\na=ptime:20\r\nm=video 0 UDP/TLS/RTP/SAVPF 96\r\n\
         c=IN IP4 192.0.2.1\r\na=mid:1\r\n"
    );
    let description = Description::read(out.as_bytes()).expect("a description");
    let [audio, _] = description.streams() else { panic!("{out}") };
    assert_eq!((audio.clock_hz, audio.has_mux, audio.direction), (48_000, true, Direction::SendReceive));
}

/// The bodies of a folder's messages that are descriptions by their type, and files that are nothing else.
fn descriptions(folder: &std::path::Path) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for path in files(folder) {
        let bytes = std::fs::read(&path).expect("a readable file");
        if path.extension() == Some("sdp".as_ref()) {
            found.push(bytes);
            continue;
        }
        let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let (head, body) = (String::from_utf8_lossy(&bytes[..at]), &bytes[at + 4..]);
        let kind = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            ["content-type", "c"].contains(&&name.trim().to_lowercase()[..]).then(|| value.trim().to_owned())
        });
        let place = kind.and_then(|kind| find(kind.as_bytes(), body));
        // Many of the RFCs' messages leave it out.
        found.extend(place.filter(|place| !place.is_empty()).map(|place| body[place].to_vec()));
    }
    found
}

#[test]
fn every_description_of_others_can_be_told_again() {
    let test = "sdp::every_description_of_others_can_be_told_again";
    // How many bodies should be descriptions, and how often they were told of two addresses.
    for (name, expected) in [
        ("rfc4475/messages", (20, 40)),
        ("rfc5118", (3, 6)),
        ("rfc-flows", (177, 354)),
        ("pjproject-fuzz-seeds/unzipped/fuzz-sip", (3, 6)),
        ("pjproject-fuzz-seeds/unzipped/fuzz-sdp", (6, 10)),
    ] {
        let Some(folder) = corpus(test, name) else { continue };
        let bodies = descriptions(&folder);
        let mut count = 0;
        for body in &bodies {
            for (own, refused) in [(own(0), 0), (own(1), 0x5555_5555)] {
                count += usize::from(hold(body, own, &places(own, refused)));
            }
        }
        assert_eq!((bodies.len(), count), expected, "{name}");
    }
}

#[test]
fn a_line_that_goes_may_leave_a_lone_cr_before_an_empty_line() {
    let text = "v=0\no=x\na=x\ro=y\n\ns=-\n";
    assert_eq!(told(text, &mut Told::new(7)), "v=0\no=- 7 7 IN IP4 192.0.2.1\na=x\r\ns=-\n");
}

/// A line, sensible or not, and how it ends. Whoever is in it is called `10.6.6.` or `spy.example`.
fn line() -> impl Strategy<Value = String> {
    let place = prop_oneof![
        "10\\.6\\.6\\.[0-9]{1,2}",
        Just("spy.example".to_owned()),
        Just("2001:db8:6::6".to_owned()),
        Just("0.0.0.0".to_owned()),
        Just("::".to_owned()),
    ];
    let blank = prop_oneof![4 => Just(" "), 1 => Just("  "), 1 => Just("\t")];
    let family = prop_oneof![Just("IP4"), Just("IP6"), Just("ip4"), Just("X")];
    let parts = (place, blank, family, any::<u16>(), 0usize..24);
    let text = parts.prop_map(|(place, blank, family, port, which)| match which {
        0 => format!("o=a 1 1{blank}IN {family} {place}"),
        1 | 2 => format!("c=IN{blank}{family} {place}"),
        3 => format!("c=IN {family} {place}/127/2{blank}"),
        4..=6 => format!("m=audio{blank}{port} RTP/AVP 18 97 8"),
        7 => format!("m=video{blank}{port}/2 RTP/SAVPF{blank}96"),
        8 => format!("m=image {port}{blank}udptl t38"),
        9 => format!("m=message {port} TCP/MSRP{blank}*"),
        10 => "m=audio 0 RTP/AVP 0".to_owned(),
        11 => format!("a=rtcp:{port}"),
        12 => format!("a=rtcp:{port}{blank}IN {family} {place}"),
        13 => format!("a=RTCP:{place}"),
        14 => format!("a=candidate:1 1 UDP 1{blank}{place} {port} typ host"),
        15 => format!("a=remote-candidates:1 {place} {port}"),
        16 => format!("a=group:{blank}BUNDLE 1 2"),
        17 => "a=sendonly".to_owned(),
        18 => "a=rtcp-mux".to_owned(),
        19 => "a=rtpmap:97 PCMA/8000".to_owned(),
        20 => "a=ice-pwd:x".to_owned(),
        21 => "i=information".to_owned(),
        22 => "a=end-of-candidates".to_owned(),
        _ => "s=name".to_owned(),
    });
    let end = prop_oneof![6 => Just("\r\n"), 3 => Just("\n"), 1 => Just("\r")];
    let other = prop_oneof![8 => text, 1 => "[ -~]{0,12}".prop_map(|text| format!("x={text}"))];
    (other, end).prop_map(|(text, end)| text + end)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_told_again_or_are_no_description(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        refused in any::<u32>(),
        family in 0usize..2,
    ) {
        hold(&bytes, own(family), &places(own(family), refused));
        let text = [b"v=0\r\n", &bytes[..]].concat();
        hold(&text, own(family), &places(own(family), refused));
        // What is found of a body is in it.
        for kind in [&b"multipart/mixed;boundary=b"[..], &bytes] {
            let range = find(kind, &bytes).unwrap_or_default();
            prop_assert!(bytes.get(range).is_some());
        }
    }

    #[test]
    fn nobody_hears_where_a_party_is(
        lines in proptest::collection::vec(line(), 0..40),
        cut in 0usize..4,
        refused in any::<u32>(),
        family in 0usize..2,
    ) {
        let text = format!("v=0\r\n{}", lines.concat());
        let text = &text[..(text.len() - cut).max(3)];
        let own = own(family);
        if hold(text.as_bytes(), own, &places(own, refused)) {
            let description = Description::read(text.as_bytes()).expect("a description");
            let mut out = Vec::new();
            rewrite(&mut out, &description, &mut Told::new(1), (own, &places(own, refused)));
            let out = String::from_utf8(out).expect("text");
            let leak = ["10.6.6.", "spy", "db8:6"].into_iter().find(|part| out.contains(part));
            prop_assert_eq!(leak, None, "{}", out);
        }
    }
}
