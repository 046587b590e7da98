//! The scanner over the messages that a forwarded call is made of. Each is scanned in place, as it would
//! be in a receive buffer; none of them is folded, so that a scan leaves it as it was.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ringway::limits;
use ringway::sip::{HeaderName, Index, scan};
use std::hint::black_box;

const SDP: &str = "v=0
o=1003 10 20 IN IP4 192.168.11.137
s=-
c=IN IP4 192.168.11.137
t=0 0
m=audio 6510 RTP/AVP 0 8 101
a=rtpmap:101 telephone-event/8000
a=sendrecv
";

const INVITE: &str = "INVITE sip:1004@192.168.11.60;transport=udp SIP/2.0
Via: SIP/2.0/UDP 192.168.11.137:5060;branch=z9hG4bK-d8754z-5a21a26ff1;rport
Max-Forwards: 30
Contact: <sip:1003@192.168.11.137:5060>
To: <sip:1004@192.168.11.60:5060>
From: \"1003\" <sip:1003@192.168.11.60:5060;user=phone>;tag=e4a1f3b2
Call-ID: YjQ2NzJhZTEwMmZmYmE1ZDQ0@192.168.11.137
CSeq: 39 INVITE
Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, INFO
Content-Type: application/sdp
User-Agent: phone/1.0
";

const RINGING: &str = "SIP/2.0 180 Ringing
Via: SIP/2.0/UDP 192.168.11.60:5060;branch=z9hG4bK0a1b2c3d4e5f6a7b
From: \"1003\" <sip:1003@192.168.11.60:5060>;tag=7f3e2d1c0b9a
To: <sip:1004@192.168.11.136:5060>;tag=91823
Call-ID: 5f4e3d2c1b0a99887766554433221100
CSeq: 197 INVITE
Contact: <sip:1004@192.168.11.136:5060>
";

const OK: &str = "SIP/2.0 200 OK
Via: SIP/2.0/UDP 192.168.11.60:5060;branch=z9hG4bK0a1b2c3d4e5f6a7b;rport=5060
From: \"1003\" <sip:1003@192.168.11.60:5060>;tag=7f3e2d1c0b9a
To: <sip:1005@192.168.11.138:5060>;tag=a6c1
Call-ID: 5f4e3d2c1b0a99887766554433221100
CSeq: 222 INVITE
Contact: <sip:1005@192.168.11.138:5060>
Supported: timer, replaces
Content-Type: application/sdp
";

const ACK: &str = "ACK sip:1005@192.168.11.138:5060 SIP/2.0
Via: SIP/2.0/UDP 192.168.11.60:5060;branch=z9hG4bK1a2b3c4d5e6f
Max-Forwards: 70
From: \"1003\" <sip:1003@192.168.11.60:5060>;tag=7f3e2d1c0b9a
To: <sip:1005@192.168.11.138:5060>;tag=a6c1
Call-ID: 5f4e3d2c1b0a99887766554433221100
CSeq: 222 ACK
";

/// What a carrier's trunk sends besides: in front of the INVITE's own fields.
const TRUNK: &str = "Via: SIP/2.0/UDP 203.0.113.7:5060;branch=z9hG4bKsbc-9f8e7d6c5b4a3f2e1d
Via: SIP/2.0/UDP 203.0.113.9:5060;received=203.0.113.9;branch=z9hG4bKcore-11223344
Record-Route: <sip:203.0.113.7:5060;lr;ftag=e4a1f3b2>
Record-Route: <sip:203.0.113.9:5060;lr>
Supported: timer, 100rel, replaces, histinfo, norefersub
Session-Expires: 1800;refresher=uac
Min-SE: 90
P-Asserted-Identity: <sip:+4930123456@carrier.example;user=phone>
P-Asserted-Identity: <tel:+4930123456>
P-Charging-Vector: icid-value=\"1234567890abcdef\";orig-ioi=home1.example
P-Access-Network-Info: 3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=234151D0FCE11
History-Info: <sip:1004@carrier.example>;index=1,<sip:1005@carrier.example>;index=1.1
Diversion: <sip:1002@carrier.example>;reason=unconditional;counter=1;privacy=off
Privacy: none
Date: Sat, 13 Nov 2010 23:29:00 GMT
Accept: application/sdp, application/isup
X-Carrier-Trunk: trunk-17
";

fn with_body(head: &str, body: &str) -> String {
    let body = body.replace('\n', "\r\n");
    format!("{}Content-Length: {}\r\n\r\n{body}", head.replace('\n', "\r\n"), body.len())
}

fn messages() -> Vec<(&'static str, String)> {
    let (start_line, fields) = INVITE.split_once('\n').unwrap_or_default();
    let trunk = format!("{start_line}\n{TRUNK}{fields}");
    vec![
        ("invite", with_body(INVITE, SDP)),
        ("ringing", with_body(RINGING, "")),
        ("ok_with_sdp", with_body(OK, SDP)),
        ("ack", with_body(ACK, "")),
        ("invite_of_a_trunk", with_body(&trunk, SDP)),
    ]
}

fn scanning(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scan");
    for (name, text) in messages() {
        let mut buffer = text.clone().into_bytes();
        buffer.resize(text.len() + limits::SCAN_PADDING, 0);
        let mut index = Index::new();
        assert_eq!(scan(&mut buffer, text.len(), &mut index), Ok(()), "{name}");
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(format!("{name}/{}", text.len()), |bencher| {
            bencher.iter(|| scan(black_box(&mut buffer), black_box(text.len()), &mut index));
        });
    }
    group.finish();
}

/// Different messages one after the other, out of a buffer each: the branch predictor cannot learn one text.
fn scanning_a_mix(criterion: &mut Criterion) {
    let mut buffers = Vec::new();
    for number in 0..64 {
        for (_, text) in messages() {
            let text =
                text.replace("1003", &"7".repeat(number % 11 + 1)).replace("192.168.11.60", "10.0.0.1");
            let length = text.find("\r\n\r\n").unwrap_or_default() + 4;
            let text = text[..length].replace("Content-Length: ", "Content-Length: 0 \r\nX-Was: ");
            let mut buffer = text.clone().into_bytes();
            buffer.resize(text.len() + limits::SCAN_PADDING, 0);
            buffers.push((buffer, text.len()));
        }
    }
    let mut index = Index::new();
    let mut group = criterion.benchmark_group("scan");
    group.throughput(Throughput::Elements(buffers.len() as u64));
    group.bench_function("a_mix_of_320", |bencher| {
        bencher.iter(|| {
            for (buffer, length) in &mut buffers {
                let _ = black_box(scan(buffer, *length, &mut index));
            }
        });
    });
    group.finish();
}

fn classifying(criterion: &mut Criterion) {
    criterion.bench_function("classify/every_name", |bencher| {
        bencher.iter_batched(
            || (),
            |()| {
                for name in HeaderName::ALL {
                    black_box(HeaderName::classify(black_box(name.text().as_bytes())));
                }
            },
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, scanning, scanning_a_mix, classifying);
criterion_main!(benches);
