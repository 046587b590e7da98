//! Via: the view and the scanner's own reading of the topmost one agree.

use crate::{padded, shown};
use ringway::sip::name_addr::split_list;
use ringway::sip::{Fault, HeaderName, Index, Via, scan};

pub fn run(data: &[u8]) {
    if let Ok(via) = Via::parse(data) {
        assert!(!via.host.is_empty() && !via.transport.is_empty());
        assert!(matches!(via.params.first(), None | Some(b';')));
    }
    if data.iter().any(|byte| b"\r\n".contains(byte)) {
        return;
    }
    let tail = b"\r\nf: <sip:a>;tag=f\r\nt: <sip:b>\r\ni: c\r\nCSeq: 1 INVITE\r\n\r\n";
    let message = [b"INVITE sip:b SIP/2.0\r\nVia:", data, tail].concat();
    let mut buffer = padded(&message);
    let mut index = Index::new();
    let result = scan(&mut buffer, message.len(), &mut index);
    let message = index.message(&buffer);
    let Some(top) = message.top_via() else {
        assert_eq!(result, Err(Fault::Malformed(HeaderName::Via)));
        return;
    };
    assert_eq!(result, Ok(()));
    let via = Via::parse(top.text).unwrap_or_else(|_| panic!("only the scanner takes {}", shown(top.text)));
    assert_eq!((via.host, via.port), (top.host, top.port));
    assert_eq!(via.branch(), top.branch);
    assert_eq!(message.has_one_via(), message.header(HeaderName::Via) == Some(top.text));
    assert!(!top.wants_rport || via.param("rport").is_some());
    let value = message.header(HeaderName::Via).unwrap_or_default();
    // No bracket belongs into a Via and no quote before its parameters: the scanner takes them for any other
    // bytes, a list does not.
    let sent = value.split(|byte| *byte == b';').next().unwrap_or_default();
    if !value.contains(&b'<') && !sent.contains(&b'"') {
        assert_eq!(split_list(value).next(), Some(top.text));
    }
}
