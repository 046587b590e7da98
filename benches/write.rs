//! Making messages: from scratch, and by splicing a received one.

use criterion::{Criterion, criterion_group, criterion_main};
use ringway::limits;
use ringway::sip::write::Writer;
use ringway::sip::{HeaderName, Index, Method, Status, scan};
use std::hint::black_box;

const INVITE: &str = "INVITE sip:1004@192.168.11.60;transport=udp SIP/2.0\r
Via: SIP/2.0/UDP 192.168.11.137:5060;branch=z9hG4bK-d8754z-5a21a26ff1;rport\r
Max-Forwards: 30\r
Contact: <sip:1003@192.168.11.137:5060>\r
To: <sip:1004@192.168.11.60:5060>\r
From: \"1003\" <sip:1003@192.168.11.60:5060;user=phone>;tag=e4a1f3b2\r
Call-ID: YjQ2NzJhZTEwMmZmYmE1ZDQ0@192.168.11.137\r
CSeq: 39 INVITE\r
Subject: lunch\r
Allow-Events: talk, hold, conference\r
Content-Type: application/sdp\r
User-Agent: phone/1.0\r
Content-Length: 0\r
\r
";

const BODY: &[u8] = b"v=0\r\no=- 1 1 IN IP4 192.168.11.60\r\ns=-\r\nc=IN IP4 192.168.11.60\r\nt=0 0\r\n\
m=audio 14668 RTP/AVP 0 8 101\r\n";

/// Fields that a B2BUA writes anew for its own leg.
fn is_kept(name: HeaderName) -> bool {
    use HeaderName::*;
    !matches!(name, Via | From | To | CallId | CSeq | Contact | MaxForwards | ContentLength | UserAgent)
}

fn writing(criterion: &mut Criterion) {
    let mut buffer = INVITE.as_bytes().to_vec();
    buffer.resize(INVITE.len() + limits::SCAN_PADDING, 0);
    let mut index = Index::new();
    assert_eq!(scan(&mut buffer, INVITE.len(), &mut index), Ok(()));
    let message = index.message(&buffer);
    let mut out = Vec::with_capacity(2048);

    criterion.bench_function("write/ringing", |bencher| {
        bencher.iter(|| {
            out.clear();
            let mut writer = Writer::new(&mut out);
            writer.status_line(Status::RINGING, b"");
            for name in
                [HeaderName::Via, HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::CSeq]
            {
                writer.header(name, message.header(name).unwrap_or_default());
            }
            writer.header(HeaderName::Contact, b"<sip:192.168.11.60:5060>");
            writer.body(b"");
            black_box(out.len())
        });
    });

    criterion.bench_function("write/spliced_invite", |bencher| {
        bencher.iter(|| {
            out.clear();
            let mut writer = Writer::new(&mut out);
            writer.request_line(Method::Invite, b"sip:1004@192.168.11.136:5060");
            writer.header(HeaderName::Via, b"SIP/2.0/UDP 192.168.11.60:5060;branch=z9hG4bK0a1b2c3d4e5f");
            writer.name(HeaderName::MaxForwards).number(29).end_line();
            writer.header(HeaderName::From, b"\"1003\" <sip:1003@192.168.11.60>;tag=7f3e2d1c0b9a");
            writer.header(HeaderName::To, b"<sip:1004@192.168.11.136>");
            writer.header(HeaderName::CallId, b"5f4e3d2c1b0a99887766554433221100");
            writer.name(HeaderName::CSeq).number(197).raw(b" INVITE").end_line();
            writer.header(HeaderName::Contact, b"<sip:192.168.11.60:5060>");
            writer.splice_headers(black_box(&message), is_kept);
            writer.body(BODY);
            black_box(out.len())
        });
    });
}

criterion_group!(benches, writing);
criterion_main!(benches);
