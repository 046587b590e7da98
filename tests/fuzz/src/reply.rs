//! Responses: what is copied from whatever was received makes a message, and one that its sender knows.

use crate::input::Input;
use crate::{padded, shown};
use ringway::limits::HEADERS_MAX;
use ringway::sip::{Fault, HeaderName, Index, Message, NameAddr, Status, Via, scan};
use ringway::transaction::reply;
use std::net::SocketAddr;

const TAG: &[u8] = b"s0123";

/// Header fields that a response adds at most.
const OWN_HEADERS: usize = 8;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let ip = if input.one_in(2) { "2001:db8::7" } else { "192.0.2.7" };
    let source = SocketAddr::new(ip.parse().expect("an address"), input.number());
    let status = Status::new(100 + input.number() % 600).unwrap_or(Status::OK);
    let datagram = input.rest();
    let mut buffer = padded(datagram);
    let mut index = Index::new();
    let result = scan(&mut buffer, datagram.len(), &mut index);
    let request = index.message(&buffer);
    let is_there = |name| request.header(name).is_some_and(|value| !value.is_empty());
    let copied = [HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::CSeq];
    let is_answerable = request.is_request() && copied.into_iter().all(is_there);
    let Some(via) = request.top_via().filter(|_| is_answerable) else { return };
    if request.headers().len() + OWN_HEADERS > HEADERS_MAX {
        return;
    }
    assert_eq!(reply::destination(&via, source).ip(), source.ip());
    let mut out = Vec::new();
    reply::write(&mut out, &request, source, (status, b""), TAG, |_| {});
    check(&out, &request, (status, source), result);
}

fn check(
    out: &[u8],
    request: &Message<'_>,
    (status, source): (Status, SocketAddr),
    fault: Result<(), Fault>,
) {
    let mut buffer = padded(out);
    let mut index = Index::new();
    let result = scan(&mut buffer, out.len(), &mut index);
    // A value that cannot be read is copied as it stands; a line that is none is never copied.
    let may_be_odd = fault.is_err() && matches!(result, Err(Fault::Malformed(_)));
    assert!(result.is_ok() || may_be_odd, "{result:?} of\n{}", shown(out));
    let response = index.message(&buffer);
    assert_eq!((response.status(), response.bytes()), (Some(status), out));
    for name in [HeaderName::From, HeaderName::CallId, HeaderName::CSeq] {
        assert_eq!(response.header(name), request.header(name));
    }
    let to = request.header(HeaderName::To).unwrap_or_default();
    // A quote that never closes swallows what is written behind it, a tag without a value stands before it.
    let is_closed = to.iter().filter(|byte| **byte == b'"').count() % 2 == 0 && !to.contains(&b'\\');
    let has_empty_tag =
        request.to_tag().is_empty() && !NameAddr::parse(to).is_ok_and(|to| to.param("tag").is_none());
    if result.is_ok() && is_closed && !has_empty_tag {
        let tag = if request.to_tag().is_empty() { TAG } else { request.to_tag() };
        assert_eq!(response.to_tag(), tag, "{}", shown(out));
    }
    let (asked, answered) = (request.top_via(), response.top_via());
    let (Some(asked), Some(answered)) = (asked, answered) else { panic!("a Via got lost:\n{}", shown(out)) };
    assert_eq!((asked.host, asked.port, asked.branch), (answered.host, answered.port, answered.branch));
    let others = |message: &Message<'_>| message.values(HeaderName::Via).skip(1).collect::<Vec<_>>().concat();
    assert_eq!(others(request), others(&response));
    if asked.wants_rport {
        let via = Via::parse(answered.text).expect("the scanner took it");
        assert_eq!(via.param("rport"), Some(source.port().to_string().as_bytes()), "{}", shown(out));
        assert_eq!(via.param("received"), Some(source.ip().to_string().as_bytes()), "{}", shown(out));
    }
}
