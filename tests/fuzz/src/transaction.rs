//! The transaction layer alone: arbitrary requests, responses to what was sent, time. When its user lets go
//! of everything, nothing is left.

use crate::input::Input;
use crate::padded;
use crate::sip::Sip;
use ringway::clock::{Now, UnixMs, UnixSeconds};
use ringway::context::{Context, Due};
use ringway::ids::{Branch, Kind, Mint};
use ringway::keep::{Keep, Kept};
use ringway::limits;
use ringway::media::Media;
use ringway::metrics::Metrics;
use ringway::outbox::{ListenerId, Outbox};
use ringway::settings::{Listener, Settings};
use ringway::sip::{Index, Method, Status, scan};
use ringway::slab::Handle;
use ringway::timer::Wheel;
use ringway::transaction::{
    AnswerTo, Arrival, Exchange, ServerKey, Transactions, User, Verdict, reply, write_via,
};
use std::net::SocketAddr;
use std::sync::Arc;

const OPERATIONS_MAX: usize = 200;

/// Our tag in From: of no leg that exists, which this layer does not ask.
const LEG: Handle = Handle { index: 3, generation: 4 };

/// A server transaction that was opened.
struct Asked {
    handle: Handle,
    request: Vec<u8>,
    is_final: bool,
}

/// An INVITE that was sent.
struct Invited {
    handle: Handle,
    is_provisional: bool,
    is_final: bool,
    is_cancelled: bool,
}

struct Bench {
    context: Context,
    transactions: Transactions,
    asked: Vec<Asked>,
    invited: Vec<Invited>,
    sent: Vec<Sip>,
}

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut bench = Bench::new();
    for _ in 0..OPERATIONS_MAX {
        if input.is_empty() {
            break;
        }
        match input.below(10) {
            0 => {
                let datagram = input.text().to_vec();
                bench.receive(&datagram);
            }
            1 | 2 => bench.receive(&request(&mut input)),
            3 | 4 => bench.respond(&mut input),
            5 => bench.send(&mut input),
            6 | 7 => bench.receive_response(&mut input),
            8 => bench.cancel(&mut input),
            _ => bench.advance(u64::from(input.number()) * u64::from(input.pick(&[1u8, 1, 4]))),
        }
        bench.collect();
    }
    bench.finish();
}

fn source() -> SocketAddr {
    "192.0.2.2:5070".parse().expect("an address")
}

const TO: fn() -> AnswerTo = || AnswerTo { listener: ListenerId(0), destination: source() };

/// A request that may be another's retransmission, ACK, CANCEL or copy.
fn request(input: &mut Input<'_>) -> Vec<u8> {
    let method = input.pick(&["INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "UNKNOWN"]);
    let branch = input.pick(&["z9hG4bKa", "z9hG4bKb", "z9hG4bK", "old", "\"q\""]);
    let (call, cseq, tag) = (input.below(3), input.below(3), input.pick(&["", ";tag=t"]));
    format!(
        "{method} sip:x@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch={branch}\r\nFrom: <sip:a>;tag=f\r\n\
         To: <sip:b>{tag}\r\nCall-ID: c{call}\r\nCSeq: {cseq} {method}\r\n\r\n"
    )
    .into_bytes()
}

impl Bench {
    fn new() -> Bench {
        let address: SocketAddr = "198.51.100.1:5060".parse().expect("an address");
        let listeners = vec![Listener { address, sent_by: address.to_string() }];
        let settings = Settings { listeners, max_calls: 4, max_transactions: 64, ..Settings::default() };
        Bench {
            transactions: Transactions::new(&settings, 1),
            context: Context {
                now: Now::from_ms(0),
                started: UnixSeconds(0),
                calendar: UnixMs(0),
                wheel: Wheel::new(limits::timers_max(&settings, 1)),
                keep: Keep::new(limits::kept_bytes_max(&settings, 1)),
                outbox: Outbox::new(),
                metrics: Metrics::default(),
                mint: Mint::new(0, 1, 7, 99),
                media: Media::new(&settings.media, 0, 1),
                scratch: Vec::new(),
                settings: Arc::new(settings),
                directory: Arc::default(),
            },
            asked: Vec::new(),
            invited: Vec::new(),
            sent: Vec::new(),
        }
    }

    fn receive(&mut self, datagram: &[u8]) {
        let mut buffer = padded(datagram);
        let mut index = Index::new();
        if scan(&mut buffer, datagram.len(), &mut index).is_err() {
            return;
        }
        let message = index.message(&buffer);
        if !message.is_request() {
            self.transactions.receive_response(&mut self.context, &message);
            return;
        }
        let of =
            |method| ServerKey::of(&self.context.mint, &message, method).expect("Via and CSeq were read");
        if message.method() == Method::Cancel {
            let _ = self.transactions.find_invite(of(Method::Invite));
            return;
        }
        let method = if message.method() == Method::Ack { Method::Invite } else { message.method() };
        let key = of(method);
        let arrival = self.transactions.receive_request(&mut self.context, key, (&message, source()));
        if arrival == Arrival::Absorbed || message.method() == Method::Ack {
            return;
        }
        let _ = self.transactions.is_merged(key);
        if let Some(handle) = self.transactions.open_server(&message, key, TO(), User::None) {
            self.asked.push(Asked { handle, request: message.bytes().to_vec(), is_final: false });
        }
    }

    /// Answers one of the requests that have had no final response.
    fn respond(&mut self, input: &mut Input<'_>) {
        if self.asked.is_empty() {
            return;
        }
        let place = input.below(self.asked.len().min(256));
        let status = Status::new(input.pick(&[100, 180, 200, 299, 302, 404, 487, 503, 603]));
        self.answer(place, status.expect("a status"), input.one_in(3));
    }

    fn answer(&mut self, place: usize, status: Status, plainly: bool) {
        let Asked { handle, request, is_final } = &mut self.asked[place];
        let mut buffer = padded(request);
        let mut index = Index::new();
        let scanned = scan(&mut buffer, request.len(), &mut index);
        assert_eq!(scanned, Ok(()), "what was good is good again");
        let message = index.message(&buffer);
        let is_invite = message.method() == Method::Invite;
        if *is_final || !is_invite && status.is_provisional() {
            return;
        }
        *is_final = status.is_final();
        if plainly && !is_invite && *is_final {
            self.transactions.respond_plainly(&mut self.context, *handle, status, (&message, source()));
        } else {
            self.transactions.respond(&mut self.context, *handle, status, |_, out| {
                reply::write(out, &message, source(), (status, b""), b"t", |_| {});
            });
        }
    }

    fn send(&mut self, input: &mut Input<'_>) {
        let is_invite = !input.one_in(3);
        let tag = self.context.mint.tag(Kind::Leg, LEG);
        let write = |context: &Context, out: &mut Vec<u8>, branch: &Branch| {
            let method = if is_invite { "INVITE" } else { "BYE" };
            let start = out.len();
            let mut writer = ringway::sip::write::Writer::new(out);
            writer.raw(method.as_bytes()).raw(b" sip:b SIP/2.0\r\n");
            write_via(&mut writer, context.sent_by(ListenerId(0)), branch);
            writer.raw(b"Max-Forwards: 70\r\nCall-ID: ours\r\nFrom: <sip:a>;tag=").raw(&tag);
            writer.raw(b"\r\nTo: <sip:b>\r\n");
            let to_end = out.len() - start;
            let mut writer = ringway::sip::write::Writer::new(out);
            writer.raw(b"CSeq: 7 ").raw(method.as_bytes()).raw(b"\r\n").body(b"");
            to_end as u16
        };
        let (context, user) = (&mut self.context, User::Leg(LEG));
        if is_invite {
            let sent = self.transactions.send_invite(context, user, (TO(), 7), write);
            self.invited.extend(sent.ok().map(|handle| Invited {
                handle,
                is_provisional: false,
                is_final: false,
                is_cancelled: false,
            }));
        } else {
            let _ = self.transactions.send_request(
                context,
                (user, Exchange::Bye),
                (TO(), 7),
                |context, out, branch| {
                    write(context, out, branch);
                },
            );
        }
    }

    /// A response to one of the requests that were sent.
    fn receive_response(&mut self, input: &mut Input<'_>) {
        if self.sent.is_empty() {
            return;
        }
        let place = self.sent.len() - 1 - input.below(self.sent.len().min(256));
        let request = &self.sent[place];
        let status = input.pick(&[100u16, 180, 200, 200, 302, 486, 487, 500, 603]);
        let (tag, cseq) = (input.pick(&["t", "t", "u", ""]), if input.one_in(16) { 8 } else { 7 });
        let text = format!(
            "SIP/2.0 {status} x\r\nVia: {}\r\nFrom: {}\r\nTo: <sip:b>;tag={tag}\r\nCall-ID: ours\r\n\
             CSeq: {cseq} {}\r\n\r\n",
            request.one("Via"),
            request.one("From"),
            request.method
        );
        let mut buffer = padded(text.as_bytes());
        let mut index = Index::new();
        let scanned = scan(&mut buffer, text.len(), &mut index);
        assert!(scanned.is_ok() || tag.is_empty(), "{scanned:?} of\n{text}");
        if scanned.is_err() {
            return;
        }
        let verdict = self.transactions.receive_response(&mut self.context, &index.message(&buffer));
        match verdict {
            Verdict::Invite { transaction, .. } => {
                let of = |invited: &&mut Invited| invited.handle == transaction;
                let invited = self.invited.iter_mut().find(of).expect("an INVITE that was sent");
                assert!(!invited.is_final, "told of two final responses");
                invited.is_provisional |= status < 200;
                invited.is_final |= status >= 200;
                if (200..300).contains(&status) {
                    self.acknowledge(transaction, input.one_in(2));
                }
            }
            Verdict::AnswerAgain { transaction, .. } => self.acknowledge(transaction, false),
            _ => {}
        }
    }

    fn acknowledge(&mut self, invite: Handle, has_body: bool) {
        self.transactions.send_ack(&mut self.context, invite, (TO(), has_body), |_, out, branch| {
            out.extend_from_slice(b"ACK sip:b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=");
            out.extend_from_slice(branch);
            out.extend_from_slice(
                b"\r\nf: <sip:a>;tag=a\r\nt: <sip:b>;tag=b\r\ni: ours\r\nCSeq: 7 ACK\r\n\r\n",
            );
        });
    }

    /// CANCEL, with Reason lines or without; one that comes before a provisional response waits for it.
    fn cancel(&mut self, input: &mut Input<'_>) {
        let is_due =
            |invited: &&mut Invited| invited.is_provisional && !invited.is_final && !invited.is_cancelled;
        let skip = input.below(4);
        if let Some(invited) = self.invited.iter_mut().filter(is_due).nth(skip) {
            invited.is_cancelled = true;
            let reason: &[u8] = if input.one_in(2) { b"Reason: SIP;cause=200\r\n" } else { b"" };
            let reason = self.context.keep.keep(reason).unwrap_or(Kept::NONE);
            self.transactions.send_cancel(&mut self.context, invited.handle, &reason);
            self.context.keep.release(reason);
        }
    }

    fn advance(&mut self, by_ms: u64) {
        let end_ms = self.context.now.as_ms() + by_ms;
        while let Some(due) = self.context.wheel.poll_timeout().filter(|due| due.as_ms() <= end_ms) {
            self.context.now = Now::from_ms(due.as_ms().max(self.context.now.as_ms()));
            while let Some(due) = self.context.wheel.next_due(self.context.now) {
                let Due::Transaction(handle) = due else { panic!("nobody else armed a timer") };
                if let Some(report) = self.transactions.handle_timer(&mut self.context, handle) {
                    let silent = self.invited.iter_mut().find(|invited| invited.handle == handle);
                    assert_eq!(report.exchange == Exchange::Invite, silent.is_some());
                    silent.into_iter().for_each(|invited| invited.is_final = true);
                }
                self.collect();
            }
        }
        self.context.now = Now::from_ms(end_ms);
    }

    fn collect(&mut self) {
        let outbox = &mut self.context.outbox;
        for datagram in outbox.datagrams() {
            let bytes = outbox.bytes(datagram);
            let sip = Sip::read(bytes).unwrap_or_else(|fault| panic!("{fault:?}: {}", crate::shown(bytes)));
            if sip.is_request() && sip.method != "ACK" {
                self.sent.push(sip);
            }
        }
        outbox.clear();
    }

    fn finish(mut self) {
        for place in 0..self.asked.len() {
            self.answer(place, Status::SERVICE_UNAVAILABLE, false);
        }
        for invited in &self.invited {
            self.transactions.abandon_unanswered(&mut self.context, invited.handle);
        }
        self.collect();
        self.advance(400_000);
        let Bench { context, transactions, .. } = &self;
        assert_eq!(context.metrics.impossible_events, 0);
        assert!(transactions.is_empty(), "{} transactions left", transactions.len());
        assert!(context.keep.is_empty() && context.wheel.is_empty());
    }
}
