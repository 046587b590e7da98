//! Whether the scanner and the naive one tell the same of a datagram.

use super::naive::{self, Facts, Via};
use ringway::limits;
use ringway::sip::{HeaderName, Index, scan};

/// What the scanner tells, in the reference's words.
pub fn told(datagram: &[u8], index: &mut Index) -> Facts {
    told_before(datagram, &[0; limits::SCAN_PADDING], index)
}

/// The same with other bytes behind the datagram than the padding.
pub fn told_before(datagram: &[u8], behind: &[u8], index: &mut Index) -> Facts {
    let mut buffer = [datagram, behind].concat();
    let fault = scan(&mut buffer, datagram.len(), index).err();
    let message = index.message(&buffer);
    let headers = message.headers().iter().map(|header| {
        let name = Some(header.name).filter(|name| *name != HeaderName::Other);
        (name, usize::from(header.line_start), message.text(header.value).to_vec())
    });
    let top_via = message.top_via().map(|via| Via {
        host: via.host.to_vec(),
        port: via.port,
        branch: via.branch.to_vec(),
        wants_rport: via.wants_rport,
        text: via.text.to_vec(),
    });
    Facts {
        fault,
        is_request: message.is_request(),
        is_start_line_broken: false,
        method: message.method_text().to_vec(),
        uri: message.request_uri().to_vec(),
        status: message.status(),
        reason: message.reason().to_vec(),
        headers: headers.collect(),
        top_via,
        cseq: message.cseq(),
        call_id: message.call_id().to_vec(),
        from_tag: message.from_tag().to_vec(),
        to_tag: message.to_tag().to_vec(),
        max_forwards: message.max_forwards(),
        body: message.body().to_vec(),
        bytes: message.bytes().to_vec(),
    }
}

pub fn assert_agreement(datagram: &[u8]) {
    let mut index = Index::new();
    // A message before it: nothing of it may show.
    let _ = told(
        b"BYE sip:x SIP/2.0\r\nv: SIP/2.0/UDP q;branch=q\r\nf: <sip:q>;tag=q\r\nl: 0\r\n\r\n",
        &mut index,
    );
    let mut found = told(datagram, &mut index);
    let expected = naive::scan(datagram);
    found.is_start_line_broken = expected.is_start_line_broken;
    if expected.is_start_line_broken {
        found.uri.clone_from(&expected.uri);
    }
    assert_eq!(found, expected, "\n{}", String::from_utf8_lossy(datagram));
    assert_first_and_all(datagram, &mut index);
}

/// `header` is the first of `values`, and both are those of `headers`.
fn assert_first_and_all(datagram: &[u8], index: &mut Index) {
    let mut buffer = datagram.to_vec();
    buffer.resize(datagram.len() + limits::SCAN_PADDING, 0);
    let _ = scan(&mut buffer, datagram.len(), index);
    let message = index.message(&buffer);
    for name in HeaderName::ALL.iter().copied().chain([HeaderName::Other]) {
        let of_name = message.headers().iter().filter(|header| header.name == name);
        let expected: Vec<&[u8]> = of_name.map(|header| message.text(header.value)).collect();
        assert_eq!(message.values(name).collect::<Vec<_>>(), expected);
        assert_eq!(message.header(name), expected.first().copied());
        assert_eq!(message.has(name), !expected.is_empty());
    }
    let count = message.headers().len();
    let lines: Vec<u8> = (0..count).flat_map(|number| message.lines(number, number + 1).to_vec()).collect();
    assert_eq!(lines, message.lines(0, count));
}
