//! The four transaction machines from their first message to their end, timers included, with 100,000
//! others lingering.

#[expect(dead_code, reason = "each bench uses its part of the phones")]
mod phones;

use criterion::{Criterion, criterion_group, criterion_main};
use phones::{CALLER, SERVER, TARGET, address, answer, directory, in_dialog, invite, settings};
use ringway::clock::{Now, UnixMs, UnixSeconds};
use ringway::context::{Context, Due};
use ringway::ids::Mint;
use ringway::keep::Keep;
use ringway::limits::SCAN_PADDING;
use ringway::metrics::Metrics;
use ringway::outbox::{ListenerId, Outbox};
use ringway::sip::{Index, Message, Method, Status, scan};
use ringway::timer::Wheel;
use ringway::transaction::{AnswerTo, Exchange, ServerKey, Transactions, User};
use std::hint::black_box;
use std::sync::Arc;

const LINGERING: usize = 100_000;

struct Bench {
    context: Context,
    transactions: Transactions,
    index: Index,
    count: usize,
}

impl Bench {
    fn new() -> Bench {
        let settings = Arc::new(settings(SERVER));
        let transactions = Transactions::new(&settings, 1);
        let context = Context {
            media: ringway::media::Media::new(&settings.media, 0, 1),
            now: Now::from_ms(0),
            started: UnixSeconds(0),
            calendar: UnixMs(0),
            wheel: Wheel::new(1 << 22),
            keep: Keep::new(1 << 32),
            outbox: Outbox::new(),
            metrics: Metrics::default(),
            mint: Mint::new(0, 1, 1, 2),
            scratch: Vec::new(),
            settings,
            directory: Arc::new(directory()),
        };
        let mut bench = Bench { context, transactions, index: Index::new(), count: 0 };
        (0..LINGERING).for_each(|_| bench.server(Method::Bye, &[Status::OK]));
        bench
    }

    /// A tenth of a millisecond goes by per transaction: 10,000 a second.
    fn tick(&mut self) {
        self.count += 1;
        self.context.now = Now::from_ms(self.count as u64 / 10);
        self.context.outbox.clear();
        while let Some(due) = self.context.wheel.next_due(self.context.now) {
            if let Due::Transaction(handle) = due {
                self.transactions.handle_timer(&mut self.context, handle);
            }
        }
    }

    /// A server transaction: the request, its responses, and nothing until Timer J, I or L.
    fn server(&mut self, method: Method, responses: &[Status]) {
        self.tick();
        let request = with_branch(method, self.count);
        let answer_to = AnswerTo { listener: ListenerId(0), destination: address(CALLER) };
        let Bench { context, transactions, index, .. } = self;
        scanned(&request, index, |request| {
            let key = ServerKey::of(&context.mint, request, method).expect("a key");
            transactions.receive_request(context, key, (request, answer_to.destination));
            let handle =
                transactions.open_server(request, key, answer_to, User::None).expect("the table has room");
            for &status in responses {
                transactions.respond(context, handle, status, |_, out| out.extend_from_slice(RESPONSE));
            }
        });
    }

    /// A client transaction: the request, its responses, and nothing until Timer D, K or M.
    fn client(&mut self, responses: &[&str], is_invite: bool) {
        self.tick();
        let answer_to = AnswerTo { listener: ListenerId(0), destination: address(TARGET) };
        let Bench { context, transactions, index, .. } = self;
        let write = |out: &mut Vec<u8>, branch: &[u8]| {
            out.extend_from_slice(if is_invite { b"INVITE" } else { b"BYE" });
            out.extend_from_slice(b" sip:1005@127.0.0.138 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.60;branch=");
            out.extend_from_slice(branch);
            out.extend_from_slice(b"\r\nMax-Forwards: 70\r\nCall-ID: 0123456789abcdef@127.0.0.60\r\n");
            out.extend_from_slice(b"From: <sip:1003@127.0.0.60>;tag=b0123456789abcdef01234567\r\n");
            out.extend_from_slice(b"To: <sip:1005@127.0.0.138>\r\nCSeq: 1 ");
            out.extend_from_slice(if is_invite { b"INVITE" } else { b"BYE" });
            out.extend_from_slice(b"\r\nContent-Length: 0\r\n\r\n");
        };
        let sent = if is_invite {
            transactions.send_invite(context, User::None, (answer_to, 1), |_, out, branch| {
                write(out, branch);
                208
            })
        } else {
            transactions.send_request(
                context,
                (User::None, Exchange::Bye),
                (answer_to, 1),
                |_, out, branch| write(out, branch),
            )
        };
        black_box(sent.is_ok());
        let datagram = context.outbox.datagrams()[0];
        let request = context.outbox.bytes(&datagram).to_vec();
        for status in responses {
            let response = answer(&request, status, "c", "1005@127.0.0.138", "");
            scanned(&response, index, |response| {
                black_box(transactions.receive_response(context, response));
            });
        }
    }
}

const RESPONSE: &[u8] = &[b'x'; 380];

fn with_branch(method: Method, number: usize) -> Vec<u8> {
    let invite = invite("1004", number);
    if method == Method::Invite {
        invite
    } else {
        in_dialog(&invite, method.name(), 40, TARGET, number, Some("c"))
    }
}

fn scanned(bytes: &[u8], index: &mut Index, act: impl FnOnce(&Message<'_>)) {
    let mut buffer = bytes.to_vec();
    buffer.resize(bytes.len() + SCAN_PADDING, 0);
    scan(&mut buffer, bytes.len(), index).expect("a good message");
    act(&index.message(&buffer[..bytes.len()]));
}

/// The phones' part alone, for the reader to subtract: making and scanning the messages.
fn phones_alone(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transaction_phones");
    let mut index = Index::new();
    let mut number = 0usize;
    group.bench_function("one_request", |bencher| {
        bencher.iter(|| {
            number += 1;
            let request = with_branch(Method::Invite, number);
            scanned(&request, &mut index, |request| {
                black_box(request.call_id());
            });
        });
    });
    let request = invite("1004", 1);
    group.bench_function("one_response", |bencher| {
        bencher.iter(|| {
            let response = answer(&request, "180 Ringing", "c", "1005@127.0.0.138", "");
            scanned(&response, &mut index, |response| {
                black_box(response.call_id());
            });
        });
    });
    group.finish();
}

fn machines(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transaction");
    let mut bench = Bench::new();
    group.bench_function("invite_client_100_180_408", |bencher| {
        bencher.iter(|| bench.client(&["100 Trying", "180 Ringing", "408 Request Timeout"], true));
    });
    group.bench_function("invite_server_100_180_200", |bencher| {
        bencher.iter(|| bench.server(Method::Invite, &[Status::TRYING, Status::RINGING, Status::OK]));
    });
    group.bench_function("non_invite_client_200", |bencher| {
        bencher.iter(|| bench.client(&["200 OK"], false));
    });
    group.bench_function("non_invite_server_200", |bencher| {
        bencher.iter(|| bench.server(Method::Bye, &[Status::OK]));
    });
    group.finish();
}

criterion_group!(benches, machines, phones_alone);
criterion_main!(benches);
