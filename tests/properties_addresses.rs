//! URIs, addresses and Vias that are put together come apart again, and IPv6 wherever an address can stand.

use proptest::prelude::*;
use ringway::limits::SCAN_PADDING;
use ringway::sip::name_addr::split_list;
use ringway::sip::{Fault, HeaderName, Index, Malformed, Message, NameAddr, Uri, Via, scan};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Scans a datagram and looks at it.
fn scanned<T>(datagram: &str, look: impl FnOnce(Result<(), Fault>, Message<'_>) -> T) -> T {
    let mut buffer = datagram.as_bytes().to_vec();
    buffer.resize(datagram.len() + SCAN_PADDING, 0);
    let mut index = Index::new();
    let result = scan(&mut buffer, datagram.len(), &mut index);
    look(result, index.message(&buffer))
}

/// An INVITE to this URI with this Via and From, and two addresses more.
fn invite(uri: &str, via: &str, from: &str, others: &str) -> String {
    format!(
        "INVITE {uri} SIP/2.0\r\nVia: {via}\r\nFrom: {from}\r\nTo: {others}\r\nContact: {others}\r\n\
         Route: {others}, {others}\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\r\n"
    )
}

fn like(letters: &str) -> impl Strategy<Value = String> + use<> {
    proptest::string::string_regex(letters).unwrap()
}

/// An IPv6 address and one of the ways to write it.
fn ipv6() -> impl Strategy<Value = (Ipv6Addr, String)> {
    let groups = proptest::array::uniform8(prop_oneof![2 => Just(0u16), 1 => any::<u16>()]);
    let mapped = any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).to_ipv6_mapped());
    let ip = prop_oneof![3 => groups.prop_map(Ipv6Addr::from), 1 => mapped];
    (ip, 0..4).prop_map(|(ip, form)| {
        let full = |width| {
            let groups = ip.segments().map(|group| format!("{group:0width$X}"));
            groups.join(":")
        };
        let text = match form {
            0 => ip.to_string(),
            1 => ip.to_string().to_ascii_uppercase(),
            2 => full(1),
            _ => full(4),
        };
        (ip, text)
    })
}

/// Text in quotes, each quote and backslash escaped.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The opposite.
fn unquoted(text: &str) -> String {
    let inside = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).expect("quotes");
    let mut plain = String::new();
    let mut letters = inside.chars();
    while let Some(letter) = letters.next() {
        plain.extend(if letter == '\\' { letters.next() } else { Some(letter) });
    }
    plain
}

/// A user part with all bytes escaped that may not stand in it, and some that may.
fn escaped(user: &[u8], more: u64) -> String {
    let escape = |(at, byte): (usize, &u8)| {
        let is_plain = byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(byte);
        match is_plain && more >> (at % 64) & 1 == 0 {
            true => char::from(*byte).to_string(),
            false => format!("%{byte:02X}"),
        }
    };
    user.iter().enumerate().map(escape).collect()
}

/// An address, or nearly one.
fn address() -> impl Strategy<Value = String> {
    like("(<sip:a>|sip:a|\"A\" <sip:a>| |\t|;tag=1|;tag=|;tag|;TAG = \"2\"|;x=\"a;b\"|;|,|\"|<|>|b|=){0,6}")
}

/// A Via, or nearly one.
fn via() -> impl Strategy<Value = String> {
    let ends = "( |\t|:5|;branch=1|;branch|;branch=|; Branch = \"2\"|;rport|;x=\"a,;\"|;|,|\"|=|b){0,6}";
    like(ends).prop_map(|ends| format!("SIP/2.0/UDP h{ends}"))
}

proptest! {
    // A failure becomes a test of its own rather than a file of seeds.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_ipv6_address_is_read_wherever_one_can_stand(
        (ip, text) in ipv6(),
        port in proptest::option::of(any::<u16>()),
        blanks in like(" {0,2}"),
    ) {
        let port_text = port.map(|port| format!(":{port}")).unwrap_or_default();
        let uri = format!("sip:a%5B@[{text}]{port_text}");
        let via = format!("SIP/2.0/UDP [{text}]{blanks}{port_text};received={text};branch=b");
        let from = format!("\"[::1]\" <{uri};x=1>;tag=f");
        let message = invite(&uri, &via, &from, &format!("<{uri}>"));
        let host = format!("[{text}]");
        let is_it = |uri: &[u8]| {
            let uri = Uri::parse(uri).unwrap();
            (uri.host, uri.port, uri.ip()) == (host.as_bytes(), port, Some(IpAddr::V6(ip)))
        };
        scanned(&message, |result, message| {
            prop_assert_eq!(result, Ok(()));
            let top = message.top_via().unwrap();
            prop_assert_eq!((top.host, top.port, top.branch), (host.as_bytes(), port, &b"b"[..]));
            let view = Via::parse(top.text).unwrap();
            prop_assert_eq!((view.host, view.port), (top.host, top.port));
            prop_assert_eq!(view.param("received"), Some(text.as_bytes()));
            prop_assert!(is_it(message.request_uri()));
            for name in [HeaderName::From, HeaderName::To, HeaderName::Contact, HeaderName::Route] {
                for value in message.values(name).flat_map(split_list) {
                    prop_assert!(is_it(NameAddr::parse(value).unwrap().uri));
                }
            }
            // RFC 3261 §20.10: an address without angle brackets.
            let bare = format!("{uri};tag=f");
            let bare = NameAddr::parse(bare.as_bytes()).unwrap();
            prop_assert!(is_it(bare.uri) && bare.tag() == b"f");
            Ok(())
        })?;
    }

    #[test]
    fn an_ipv6_address_without_brackets_or_with_a_zone_is_refused(
        (_, text) in ipv6(),
        zone in like("%(25)?[a-z]{1,4}[0-9]{0,2}"),
        end in like("(:5060)?"),
    ) {
        let hosts = [
            format!("[{text}{zone}]{end}"),
            format!("{text}{end}"),
            format!("[{text}{end}"),
            format!("[{text}]]"),
        ];
        for host in hosts {
            let uri = format!("sip:a@{host}");
            let via = format!("SIP/2.0/UDP {host};branch=b");
            prop_assert_eq!(Uri::parse(uri.as_bytes()), Err(Malformed), "{}", uri);
            prop_assert_eq!(Via::parse(via.as_bytes()), Err(Malformed), "{}", via);
            let message = invite("sip:b", &via, "<sip:a>;tag=f", "<sip:b>");
            let result = scanned(&message, |result, _| result);
            prop_assert_eq!(result, Err(Fault::Malformed(HeaderName::Via)), "{}", via);
        }
    }

    #[test]
    fn a_display_name_of_any_letters_comes_back(name in "\\PC{0,20}", tag in like("[a-z0-9]{1,9}")) {
        let text = format!("{} <sip:a@b;x=no>;tag={tag}", quoted(&name));
        let address = NameAddr::parse(text.as_bytes()).unwrap();
        let display = String::from_utf8(address.display.to_vec()).unwrap();
        prop_assert_eq!(unquoted(&display), name);
        prop_assert_eq!((address.uri, address.tag()), (&b"sip:a@b;x=no"[..], tag.as_bytes()));
        let list = format!("{text}, {text}");
        prop_assert_eq!(split_list(list.as_bytes()).collect::<Vec<_>>(), vec![text.as_bytes(); 2]);
        let message = invite("sip:b", "SIP/2.0/UDP h", &text, "<sip:b>");
        let found = scanned(&message, |result, message| (result, message.from_tag().to_vec()));
        prop_assert_eq!(found, (Ok(()), tag.into_bytes()));
    }

    #[test]
    fn a_user_of_any_bytes_comes_back_escaped(
        user in proptest::collection::vec(any::<u8>(), 1..20),
        more: u64,
        password in like("(:[a-z&=+$,]{0,8})?"),
    ) {
        let text = escaped(&user, more);
        let whole = format!("sips:{text}{password}@h.example:1;lr");
        let uri = Uri::parse(whole.as_bytes()).unwrap();
        prop_assert_eq!((uri.user, uri.host, uri.port), (text.as_bytes(), &b"h.example"[..], Some(1)));
        prop_assert!(Uri::same_user(uri.user, escaped(&user, u64::MAX).as_bytes()));
        let mut other = user.clone();
        other[0] ^= 1;
        prop_assert!(!Uri::same_user(uri.user, escaped(&other, more).as_bytes()));
    }

    #[test]
    fn the_scanner_and_the_views_take_the_same_addresses_and_vias(
        address in address(),
        via in via(),
    ) {
        let address = address.trim_matches([' ', '\t']);
        let via = via.trim_matches([' ', '\t']);
        let view = NameAddr::parse(address.as_bytes());
        let message = invite("sip:b", "SIP/2.0/UDP h", address, "<sip:b>");
        scanned(&message, |result, message| {
            let expected = view.map(|_| ()).map_err(|_| Fault::Malformed(HeaderName::From));
            prop_assert_eq!(result, expected, "{:?}", address);
            let tag = view.map(|view| view.tag()).unwrap_or_default();
            prop_assert_eq!(message.from_tag(), tag, "{:?}", address);
            Ok(())
        })?;
        let message = invite("sip:b", via, "<sip:a>;tag=f", "<sip:b>");
        scanned(&message, |result, message| {
            let view = Via::parse(via.as_bytes());
            if let Some(top) = message.top_via() {
                let first = Via::parse(top.text).unwrap();
                prop_assert_eq!((first.host, first.port, first.branch()), (top.host, top.port, top.branch));
                prop_assert_eq!(view.is_ok(), message.has_one_via(), "{:?}", via);
                prop_assert_eq!(result, Ok(()));
            } else {
                prop_assert_eq!(view, Err(Malformed), "{:?}", via);
                prop_assert_eq!(result, Err(Fault::Malformed(HeaderName::Via)), "{:?}", via);
            }
            Ok(())
        })?;
    }
}
