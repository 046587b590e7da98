//! name-addr: what was parsed and is written again parses to the same; its tag is the one that a scan finds.

use crate::padded;
use ringway::sip::{Index, NameAddr, scan};

pub fn run(data: &[u8]) {
    let Ok(address) = NameAddr::parse(data) else { return };
    assert!(!address.uri.is_empty() && !address.uri.iter().any(u8::is_ascii_whitespace));
    assert!(matches!(address.params.first(), None | Some(b';')));
    let again = [address.display, b" <", address.uri, b">", address.params].concat();
    assert_eq!(NameAddr::parse(&again), Ok(address));
    if data.iter().any(|byte| b"\r\n".contains(byte)) {
        return;
    }
    let head =
        b"INVITE sip:b SIP/2.0\r\nv: SIP/2.0/UDP h;branch=b\r\nt: <sip:b>\r\ni: c\r\nCSeq: 1 INVITE\r\n";
    let message = [&head[..], b"f: ", data, b"\r\n\r\n"].concat();
    let mut buffer = padded(&message);
    let mut index = Index::new();
    let result = scan(&mut buffer, message.len(), &mut index);
    assert_eq!(result, Ok(()), "the scanner refuses an address that the view takes");
    assert_eq!(index.message(&buffer).from_tag(), address.tag());
}
