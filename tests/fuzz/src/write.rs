//! Scan, splice, scan: what is written of a message is read as what was kept of it.

use crate::input::Input;
use crate::{padded, shown};
use ringway::limits::HEADERS_MAX;
use ringway::sip::write::Writer;
use ringway::sip::{Fault, HeaderName, Index, Message, Method, scan};

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (mask, shift) = (input.wide(), u32::from(input.byte()));
    let datagram = input.rest();
    let mut buffer = padded(datagram);
    let mut index = Index::new();
    if scan(&mut buffer, datagram.len(), &mut index).is_err() {
        return;
    }
    let message = index.message(&buffer);
    if message.headers().len() < HEADERS_MAX {
        check(&message, |name| name != HeaderName::ContentLength);
        let masked = |name: HeaderName| mask.rotate_left(name as u32 * shift) & 1 == 0;
        check(&message, |name| name != HeaderName::ContentLength && masked(name));
    }
}

fn check(message: &Message<'_>, keep: impl Fn(HeaderName) -> bool) {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    match message.status() {
        Some(status) => writer.status_line(status, message.reason()),
        None if message.method() == Method::Other => {
            writer.raw(message.method_text()).raw(b" ").raw(message.request_uri()).raw(b" SIP/2.0\r\n");
        }
        None => writer.request_line(message.method(), message.request_uri()),
    }
    writer.splice_headers(message, &keep);
    writer.body(message.body());
    let mut buffer = padded(&out);
    let mut index = Index::new();
    let result = scan(&mut buffer, out.len(), &mut index);
    let again = index.message(&buffer);
    let is_whole = matches!(result, Ok(()) | Err(Fault::Missing(_)));
    assert!(is_whole, "{result:?} of\n{}", shown(&out));
    assert_eq!(again.bytes(), out);
    assert_eq!(again.body(), message.body());
    assert_eq!((again.status(), again.request_uri()), (message.status(), message.request_uri()));
    let kept = message.headers().iter().filter(|header| keep(header.name));
    let kept: Vec<_> = kept.map(|header| (header.name, message.text(header.value))).collect();
    let found = again.headers().iter().map(|header| (header.name, again.text(header.value)));
    assert_eq!(found.take(again.headers().len() - 1).collect::<Vec<_>>(), kept);
    if result.is_ok() {
        assert_eq!((again.call_id(), again.cseq()), (message.call_id(), message.cseq()));
        assert_eq!((again.from_tag(), again.to_tag()), (message.from_tag(), message.to_tag()));
        assert_eq!(again.top_via(), message.top_via());
    }
}
