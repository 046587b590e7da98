//! name-addr: what was parsed and is written again parses to the same; the scanner takes just those addresses
//! that the view takes, and finds the same tag.

use crate::padded;
use ringway::sip::{Fault, HeaderName, Index, NameAddr, scan};

pub fn run(data: &[u8]) {
    let address = NameAddr::parse(data);
    if let Ok(address) = address {
        assert!(!address.uri.is_empty() && !address.uri.iter().any(|byte| b" \t".contains(byte)));
        assert!(matches!(address.params.first(), None | Some(b';')));
        let again = [address.display, b" <", address.uri, b">", address.params].concat();
        assert_eq!(NameAddr::parse(&again), Ok(address));
    }
    if data.iter().any(|byte| b"\r\n".contains(byte)) {
        return;
    }
    let head =
        b"INVITE sip:b SIP/2.0\r\nv: SIP/2.0/UDP h;branch=b\r\nt: <sip:b>\r\ni: c\r\nCSeq: 1 INVITE\r\n";
    let message = [&head[..], b"f: ", data, b"\r\n\r\n"].concat();
    let mut buffer = padded(&message);
    let mut index = Index::new();
    let result = scan(&mut buffer, message.len(), &mut index);
    let expected = address.map(|_| ()).map_err(|_| Fault::Malformed(HeaderName::From));
    assert_eq!(result, expected, "scanner and view disagree");
    assert_eq!(index.message(&buffer).from_tag(), address.map(|address| address.tag()).unwrap_or_default());
}
