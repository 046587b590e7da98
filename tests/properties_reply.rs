//! Responses: whatever a Via says, they go to the host that the request came from, and the topmost Via tells
//! that host what is true of it (RFC 3261 §18.2, RFC 3581 §4).

use proptest::prelude::*;
use ringway::limits::SCAN_PADDING;
use ringway::sip::{HeaderName, Index, Message, Status, Via, scan};
use ringway::transaction::reply;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Where the response to a request with this Via goes, and the Via values that it bears.
fn answered(via: &str, source: SocketAddr) -> (SocketAddr, Vec<String>) {
    let request = format!(
        "OPTIONS sip:b@c SIP/2.0\r\nVia: {via}\r\nFrom: <sip:a>;tag=f\r\nTo: <sip:b>\r\nCall-ID: call\r\n\
         CSeq: 1 OPTIONS\r\n\r\n"
    );
    let mut destination = None;
    let mut out = Vec::new();
    read(request.as_bytes(), |message| {
        let via = message.top_via().expect("a Via");
        destination = Some(reply::destination(&via, source));
        reply::write(&mut out, &message, source, (Status::OK, b""), b"t", |_| {});
    });
    let mut vias = Vec::new();
    read(&out, |message| {
        assert_eq!(message.to_tag(), b"t");
        let values = message.values(HeaderName::Via);
        vias = values.map(|value| String::from_utf8_lossy(value).into_owned()).collect();
    });
    (destination.expect("a place to go"), vias)
}

fn read(datagram: &[u8], look: impl FnOnce(Message<'_>)) {
    let mut buffer = datagram.to_vec();
    buffer.resize(datagram.len() + SCAN_PADDING, 0);
    let mut index = Index::new();
    assert_eq!(scan(&mut buffer, datagram.len(), &mut index), Ok(()), "{}", datagram.escape_ascii());
    look(index.message(&buffer));
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

#[test]
fn maddr_sends_nothing_to_a_third_party_and_comes_back_as_it_was() {
    let source = address("203.0.113.9:40001");
    let places =
        ["198.51.100.1", "224.0.1.75", "127.0.0.1", "203.0.113.9", "[2001:db8::1]", "victim.example"];
    for place in places {
        let via = format!("SIP/2.0/UDP 203.0.113.9:5070;maddr={place};ttl=255;branch=z9hG4bK1");
        assert_eq!(answered(&via, source), (address("203.0.113.9:5070"), vec![via]));
        let via = format!("SIP/2.0/UDP 203.0.113.9;maddr={place};ttl=16;rport;branch=z9hG4bK1");
        let (destination, vias) = answered(&via, source);
        assert_eq!(destination, source);
        assert_eq!(vias, [via.replace("rport", "rport=40001") + ";received=203.0.113.9"]);
    }
}

#[test]
fn a_received_that_the_sender_wrote_is_gone() {
    let source = address("203.0.113.9:40001");
    let via = "SIP/2.0/UDP 203.0.113.9;received=198.51.100.1;branch=b;Received = 198.51.100.2;received";
    let (destination, vias) = answered(via, source);
    assert_eq!(destination, address("203.0.113.9:5060"));
    assert_eq!(vias, ["SIP/2.0/UDP 203.0.113.9;branch=b"]);
    let (_, vias) = answered("SIP/2.0/UDP h;received=198.51.100.1", source);
    assert_eq!(vias, ["SIP/2.0/UDP h;received=203.0.113.9"]);
}

#[test]
fn only_the_rport_that_asks_is_filled() {
    let source = address("203.0.113.9:40001");
    let cases = [
        ("h;rport;branch=b", "h;rport=40001;branch=b;received=203.0.113.9"),
        ("h;RPORT ;branch=b", "h;rport=40001;branch=b;received=203.0.113.9"),
        // The first one is what a peer looks at.
        ("h;rport=9;branch=b;rport", "h;rport=40001;branch=b;received=203.0.113.9"),
        ("h;rport;rport=9;branch=b", "h;rport=40001;branch=b;received=203.0.113.9"),
    ];
    for (via, expected) in cases {
        let (destination, vias) = answered(&format!("SIP/2.0/UDP {via}"), source);
        assert_eq!((destination, &vias[..]), (source, &[format!("SIP/2.0/UDP {expected}")][..]));
    }
    let (destination, vias) = answered("SIP/2.0/UDP h:5070;rport=9;branch=b", source);
    assert_eq!(destination, address("203.0.113.9:5070"));
    assert_eq!(vias, ["SIP/2.0/UDP h:5070;rport=9;branch=b;received=203.0.113.9"]);
}

#[test]
fn an_ipv6_source_is_told_without_brackets() {
    let source = address("[2001:db8::7]:40001");
    let (destination, vias) = answered("SIP/2.0/UDP [2001:DB8:0::7]:5070;rport;branch=b", source);
    assert_eq!(destination, source);
    assert_eq!(vias, ["SIP/2.0/UDP [2001:DB8:0::7]:5070;rport=40001;branch=b;received=2001:db8::7"]);
    let (destination, vias) = answered("SIP/2.0/UDP [2001:DB8:0::7]:5070;branch=b", source);
    assert_eq!(destination, address("[2001:db8::7]:5070"));
    assert_eq!(vias, ["SIP/2.0/UDP [2001:DB8:0::7]:5070;branch=b"], "it is the right address already");
    let (_, vias) = answered("SIP/2.0/UDP [2001:db8::8];received=[2001:db8::9];branch=b", source);
    assert_eq!(vias, ["SIP/2.0/UDP [2001:db8::8];branch=b;received=2001:db8::7"]);
}

#[test]
fn an_ipv4_peer_of_a_socket_of_both_families_is_told_its_ipv4_address() {
    let source = address("[::ffff:192.0.2.7]:40001");
    let (destination, vias) = answered("SIP/2.0/UDP 192.0.2.7;branch=b", source);
    assert_eq!(destination, address("[::ffff:192.0.2.7]:5060"), "the socket's own family");
    assert_eq!(vias, ["SIP/2.0/UDP 192.0.2.7;branch=b"]);
    let (_, vias) = answered("SIP/2.0/UDP [::ffff:192.0.2.8];rport;branch=b", source);
    assert_eq!(vias, ["SIP/2.0/UDP [::ffff:192.0.2.8];rport=40001;branch=b;received=192.0.2.7"]);
}

#[test]
fn a_link_local_peer_keeps_its_scope() {
    let ip = "fe80::7".parse().expect("an address");
    let source = SocketAddr::V6(SocketAddrV6::new(ip, 40_001, 5, 3));
    let (destination, vias) = answered("SIP/2.0/UDP [fe80::7]:5070;branch=b", source);
    assert_eq!(destination, SocketAddr::V6(SocketAddrV6::new(ip, 5_070, 5, 3)));
    assert_eq!(vias, ["SIP/2.0/UDP [fe80::7]:5070;branch=b"]);
    let (_, vias) = answered("SIP/2.0/UDP h;rport;branch=b", source);
    assert_eq!(vias, ["SIP/2.0/UDP h;rport=40001;branch=b;received=fe80::7"], "a scope means nothing there");
}

#[test]
fn port_zero_of_sent_by_is_no_place_to_send_to() {
    let source = address("203.0.113.9:40001");
    assert_eq!(answered("SIP/2.0/UDP 203.0.113.9:0;branch=b", source).0, source);
}

#[test]
fn what_stands_below_the_topmost_via_is_copied_as_it_is() {
    let source = address("203.0.113.9:40001");
    let rest = " , SIP/2.0/TCP i;received=10.0.0.1;rport;branch=2;x=\"a,b;rport\"";
    let (_, vias) = answered(&format!("SIP/2.0/UDP h;rport;branch=1{rest}"), source);
    assert_eq!(vias, [format!("SIP/2.0/UDP h;rport=40001;branch=1;received=203.0.113.9{rest}")]);
}

#[test]
fn what_stands_in_quotes_is_no_parameter() {
    let source = address("203.0.113.9:40001");
    let quoted = "x=\"a\\\";received=1.2.3.4;rport\\\\\";y=\";rport\"";
    let (destination, vias) = answered(&format!("SIP/2.0/UDP h:5070;{quoted};branch=b"), source);
    assert_eq!(destination, address("203.0.113.9:5070"));
    assert_eq!(vias, [format!("SIP/2.0/UDP h:5070;{quoted};branch=b;received=203.0.113.9")]);
}

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
    ]
}

fn host(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// Parameters in any order and any number.
fn params() -> impl Strategy<Value = Vec<String>> {
    let param = prop_oneof![
        Just(";rport".to_string()),
        Just(" ; rport = 7".to_string()),
        Just(";ttl=1".to_string()),
        Just(";x=\"a;rport;maddr=1.2.3.4\"".to_string()),
        Just(";branch=z9hG4bK1".to_string()),
        ip().prop_map(|ip| format!(";maddr={}", host(ip))),
        ip().prop_map(|ip| format!(";received={ip}")),
    ];
    proptest::collection::vec(param, 0..6)
}

proptest! {
    // A failure becomes a test of its own rather than a file of seeds.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_response_goes_to_the_sender_and_tells_it_the_truth(
        sender in ip(),
        source_port in 1u16..,
        own in ip(),
        port in proptest::option::of(any::<u16>()),
        params in params(),
    ) {
        let source = SocketAddr::new(sender, source_port);
        let port_text = port.map(|port| format!(":{port}")).unwrap_or_default();
        let text = format!("SIP/2.0/UDP {}{port_text}{}", host(own), params.concat());
        let asked = Via::parse(text.as_bytes()).expect("a Via");
        let (destination, vias) = answered(&text, source);
        prop_assert_eq!(destination.ip(), sender);
        let via = Via::parse(vias[0].as_bytes()).expect("a Via");
        prop_assert_eq!((via.host, via.port, via.branch()), (asked.host, asked.port, asked.branch()));
        prop_assert_eq!(via.param("maddr"), asked.param("maddr"));
        let wants_rport = params.iter().any(|param| param == ";rport");
        if wants_rport {
            let port = source_port.to_string();
            prop_assert_eq!(destination, source);
            prop_assert_eq!(via.param("rport"), Some(port.as_bytes()));
        }
        let received = sender.to_canonical().to_string();
        let is_known = own.to_canonical() == sender.to_canonical();
        let expected = (wants_rport || !is_known).then_some(received.as_bytes());
        prop_assert_eq!(via.param("received"), expected);
    }
}
