//! The phones against each other and through a record-routing proxy, over a simulated network: no sockets, no
//! sleeping, every run the same.

use crate::args::Cli;
use crate::call::{Context, Failure, LegReport, Origin};
use crate::callee::{Callee, Line};
use crate::caller::Caller;
use crate::media::Media;
use crate::message::CalleeTexts;
use crate::outbox::Outbox;
use crate::plan::{Party, Plan};
use crate::tally::{Latency, Tally};
use clap::Parser;
use ringway::limits::SCAN_PADDING;
use ringway::sip::{self, Index};
use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::sync::Arc;

const MS: u64 = 1_000_000;
const DELAY_NS: u64 = MS;
const PROXY: &str = "10.0.0.9:5060";
const PHONES: [&str; 3] = ["10.0.0.1:5060", "10.0.0.2:5060", "10.0.0.3:5060"];

fn address(text: &str) -> SocketAddrV4 {
    text.parse().expect("an address")
}

/// Three phones and what lies between them.
struct World {
    now_ns: u64,
    caller: Caller,
    callee: Callee,
    outbox: Outbox,
    tally: Tally,
    reports: Vec<LegReport>,
    media: Media,
    /// Datagrams on their way by arrival.
    wire: BTreeMap<(u64, u64), (SocketAddrV4, SocketAddrV4, Vec<u8>)>,
    sent: u64,
    /// One in so many datagrams is lost; 0: none.
    lose_one_in: u64,
    random: u64,
    /// The proxy takes the offers' marks away, as a server does that writes its own SDP.
    strips_marks: bool,
    /// In-dialog requests that came through the proxy by its Record-Route.
    routed: usize,
    /// What went to the proxy.
    seen: Vec<String>,
}

impl World {
    fn new(server: &str, flags: &[&str], lose_one_in: u64) -> World {
        let fixed = ["loadgen", "--target", server, "--caller-sockets", "1", "--caller-address", PHONES[0]];
        let phones = ["--callee-address", PHONES[1], "--target-address", PHONES[2]];
        let all = fixed.iter().chain(&phones).chain(flags);
        let plan: Arc<Plan> = Arc::new(Cli::parse_from(all).options.plan());
        let origin = Origin { run: 0xabcdef, lane: 0 };
        let line = |socket, phone| Line { socket, texts: CalleeTexts::new(&plan, address(phone)) };
        let callee = line(1, PHONES[1]);
        let target = line(2, PHONES[2]);
        World {
            now_ns: MS,
            media: Media::new(&plan, origin, &[20_000], &[20_002]),
            caller: Caller::new(plan.clone(), origin, &[plan.caller], MS),
            callee: Callee::new(plan, origin, Some(callee), Some(target), MS),
            outbox: Outbox::new(3),
            tally: Tally::new(),
            reports: Vec::new(),
            wire: BTreeMap::new(),
            sent: 0,
            lose_one_in,
            random: 0x9e37_79b9_7f4a_7c15,
            strips_marks: false,
            routed: 0,
            seen: Vec::new(),
        }
    }

    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn put(&mut self, from: SocketAddrV4, to: SocketAddrV4, bytes: Vec<u8>) {
        if self.lose_one_in > 0 && self.draw().is_multiple_of(self.lose_one_in) {
            return;
        }
        self.sent += 1;
        self.wire.insert((self.now_ns + DELAY_NS, self.sent), (from, to, bytes));
    }

    /// Lets the phones act, brings their reports home and puts what they send on the wire.
    fn act(&mut self, act: impl FnOnce(&mut Caller, &mut Callee, &mut Context<'_>)) {
        let World { now_ns, caller, callee, outbox, tally, reports, media, .. } = self;
        act(caller, callee, &mut Context { now_ns: *now_ns, out: outbox, tally, reports, media });
        if tally.unmarked_legs > 0 {
            caller.expect_no_reports(&mut Context { now_ns: *now_ns, out: outbox, tally, reports, media });
        }
        for report in std::mem::take(reports) {
            caller
                .handle_report(&mut Context { now_ns: *now_ns, out: outbox, tally, reports, media }, report);
        }
        let mut sent = Vec::new();
        outbox.flush(|socket, arena, datagrams| {
            for datagram in datagrams {
                let bytes = arena[datagram.start as usize..][..datagram.length as usize].to_vec();
                sent.push((address(PHONES[socket]), datagram.destination, bytes));
            }
        });
        for (from, to, bytes) in sent {
            self.put(from, to, bytes);
        }
    }

    fn arrive(&mut self, from: SocketAddrV4, to: SocketAddrV4, bytes: Vec<u8>) {
        let Some(phone) = PHONES.iter().position(|phone| address(phone) == to) else {
            assert_eq!(to, address(PROXY), "{}", String::from_utf8_lossy(&bytes));
            return self.proxy(&String::from_utf8(bytes).expect("text"));
        };
        let mut buffer = bytes;
        let length = buffer.len();
        buffer.resize(length + SCAN_PADDING, 0);
        let mut index = Index::new();
        let scanned = sip::scan(&mut buffer, length, &mut index);
        assert!(scanned.is_ok(), "{scanned:?}: {}", String::from_utf8_lossy(&buffer));
        let message = index.message(&buffer);
        self.act(|caller, callee, ctx| match phone {
            0 => caller.handle_message(ctx, 0, from, &message),
            1 => callee.handle_message(ctx, Party::Callee, from, &message),
            _ => callee.handle_message(ctx, Party::Target, from, &message),
        });
    }

    /// A stateless record-routing proxy (RFC 3261 §16.11): Via on, Via off, its own Route off.
    fn proxy(&mut self, text: &str) {
        self.seen.push(text.to_owned());
        let (start, rest) = text.split_once("\r\n").expect("a start line");
        if start.starts_with("SIP/2.0") {
            let (own, rest) = rest.split_once("\r\n").expect("our Via");
            assert!(own.contains(PROXY), "{own}");
            let via = rest.split_once("\r\n").expect("the next Via").0;
            let to =
                via.strip_prefix("Via: SIP/2.0/UDP ").and_then(|via| via.split_once(';')).expect("Via").0;
            return self.put(address(PROXY), address(to), format!("{start}\r\n{rest}").into_bytes());
        }
        let uri = start.split(' ').nth(1).expect("a Request-URI");
        let host = uri.split('@').nth(1).and_then(|host| host.split(';').next()).expect("a host");
        let own_route = format!("Route: <sip:{PROXY};lr>\r\n");
        let record_route = format!("Record-{own_route}");
        let to = if host == PROXY { PHONES[1] } else { host };
        let in_dialog = rest.contains(&own_route);
        assert_eq!(in_dialog, host != PROXY, "a request of a dialog comes by its Route: {text}");
        self.routed += usize::from(in_dialog);
        let branch =
            rest.split("branch=").nth(1).and_then(|rest| rest.split("\r\n").next()).expect("a branch");
        let rest = rest.replacen(&own_route, "", 1);
        let rest = match start.starts_with("INVITE") {
            true => rest.replacen("From:", &format!("{record_route}From:"), 1),
            false => rest,
        };
        let rest = if self.strips_marks { rest.replace("a=x-call:", "a=x-gone:") } else { rest };
        let via = format!("Via: SIP/2.0/UDP {PROXY};branch={branch}p\r\n");
        let forwarded = format!("{start}\r\n{via}{rest}");
        self.put(address(PROXY), address(to), forwarded.into_bytes());
    }

    /// Plays `calls` calls, ten milliseconds apart, until nothing is left to do.
    fn play(&mut self, calls: u64) {
        for _ in 0..calls {
            let now_ns = self.now_ns;
            self.act(|caller, _, ctx| caller.start(ctx, now_ns));
            self.run_until(now_ns + 10 * MS);
        }
        let end_ns = self.now_ns + 400_000 * MS;
        while self.caller.live() + self.callee.live() > 0 {
            assert!(self.now_ns < end_ns, "calls live for ever");
            self.run_until(self.now_ns + 100 * MS);
        }
    }

    fn run_until(&mut self, end_ns: u64) {
        loop {
            let arrival = self.wire.keys().next().map_or(u64::MAX, |key| key.0);
            let timer = [self.caller.next_ns(), self.callee.next_ns()].into_iter().flatten().min();
            let next_ns = arrival.min(timer.unwrap_or(u64::MAX)).max(self.now_ns);
            if next_ns > end_ns {
                self.now_ns = end_ns;
                return;
            }
            self.now_ns = next_ns;
            self.act(|caller, callee, ctx| {
                callee.handle_timeout(ctx);
                caller.handle_timeout(ctx);
            });
            while let Some(entry) = self.wire.first_entry().filter(|entry| entry.key().0 <= self.now_ns) {
                let (from, to, bytes) = entry.remove();
                self.arrive(from, to, bytes);
            }
        }
    }
}

const SIMPLE_FLOWS: [&[&str]; 6] = [
    &["--flow", "answer"],
    &["--flow", "answer", "--hangup", "caller", "--ring", "20ms", "--hold", "30ms"],
    &["--flow", "answer", "--ring", "2s", "--hold", "1s"],
    &["--flow", "busy"],
    &["--flow", "cancel", "--ring", "20ms"],
    &["--flow", "answer", "--callers", "1000-1999", "--callees", "+49000-+49999"],
];

#[test]
fn every_flow_without_forwarding_ends_well_between_two_phones() {
    for flags in SIMPLE_FLOWS {
        let mut world = World::new(PHONES[1], flags, 0);
        world.play(50);
        assert_eq!((world.tally.good, world.tally.failed), (50, 0), "{flags:?}: {:?}", world.tally.failures);
        assert_eq!((world.tally.own.total(), world.tally.peer.total()), (0, 0), "{flags:?}");
        assert_eq!((world.tally.strays, world.tally.bad_messages), (0, 0), "{flags:?}");
    }
}

#[test]
fn a_record_routing_proxy_sees_every_request_of_a_dialog() {
    for flags in SIMPLE_FLOWS {
        let mut world = World::new(PROXY, flags, 0);
        world.play(20);
        assert_eq!((world.tally.good, world.tally.failed), (20, 0), "{flags:?}: {:?}", world.tally.failures);
        let answered = flags[1] == "answer";
        assert_eq!(world.routed, if answered { 40 } else { 0 }, "{flags:?}: ACK and BYE of each call");
    }
}

#[test]
fn what_is_lost_is_sent_again_until_every_call_has_ended() {
    for flags in SIMPLE_FLOWS {
        let mut world = World::new(PHONES[1], flags, 8);
        world.play(400);
        let tally = &world.tally;
        assert_eq!(tally.good + tally.failed, 400, "{flags:?}");
        assert!(tally.good > 200 && tally.own.total() > 50 && tally.peer.total() > 20, "{flags:?}");
        // A lost 180 never comes again (and then nobody cancels), and a BYE may overtake a lost ACK.
        let forgivable = |failure: &Failure| {
            use Failure::{EarlyBye, NoCancel, NoFinal, NoRinging};
            matches!(failure, NoRinging | EarlyBye(_))
                || (flags[1] == "cancel" && matches!(failure, NoCancel | NoFinal))
        };
        assert!(tally.failures.keys().all(forgivable), "{flags:?}: {:?}", tally.failures);
    }
}

#[test]
fn legs_without_their_calls_mark_are_judged_by_themselves() {
    for flags in SIMPLE_FLOWS {
        let mut world = World::new(PROXY, flags, 0);
        world.strips_marks = true;
        world.play(20);
        let tally = &world.tally;
        assert_eq!((tally.good, tally.failed), (20, 0), "{flags:?}: {:?}", tally.failures);
        assert_eq!((tally.unmarked_legs, tally.unmarked_failures), (20, 0), "{flags:?}");
        assert!(tally.last_good_ns < 60_000 * MS, "no call waits for a report that never comes: {flags:?}");
    }
}

#[test]
fn latencies_leave_out_what_the_phones_add() {
    let mut world = World::new(PHONES[1], &["--flow", "answer", "--ring", "2s"], 0);
    world.play(10);
    let answer = world.tally.latency(Latency::Answer);
    assert_eq!(answer.len(), 10);
    assert!(answer.max() < 3_000, "there and back takes 2 ms, not {} µs", answer.max());
}

#[test]
fn a_target_without_diversion_fails_the_call() {
    let mut world = World::new(PHONES[2], &["--flow", "cfna-408", "--timeout", "2s"], 0);
    world.play(3);
    assert_eq!(world.tally.failures.get(&Failure::DiversionMissing), Some(&3), "{:?}", world.tally.failures);
}

#[test]
fn a_silent_server_fails_every_call_after_the_timeout() {
    let mut world = World::new(PHONES[1], &["--flow", "answer", "--timeout", "4s"], 1);
    world.play(3);
    assert_eq!(world.tally.failures.get(&Failure::NoResponse), Some(&3));
    assert_eq!(world.tally.own.invite, 9, "at 0.5, 1.5 and 3.5 s");
}

/// The user part of the URI that stands behind `before`.
fn user<'a>(text: &'a str, before: &str) -> &'a str {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("no `{before}` in {text}")).1;
    rest.split_once('@').expect("a user part").0
}

#[test]
fn a_call_keeps_the_two_numbers_that_it_drew() {
    let range = ["--callers", "1000-1999", "--callees", "+49000-+49999"];
    for flow in [["--flow", "answer", "--hangup", "caller"], ["--flow", "cancel", "--ring", "20ms"]] {
        let mut world = World::new(PROXY, &[&flow[..], &range].concat(), 0);
        world.play(50);
        let mut calls: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
        let requests = world.seen.iter().filter(|text| !text.starts_with("SIP/2.0"));
        for text in requests.clone() {
            let call = text.split_once("Call-ID: ").expect("Call-ID").1.split('@').next().expect("its start");
            let numbers = (user(text, "From: \"").split('<').nth(1), user(text, "To: <sip:"));
            let caller = numbers.0.and_then(|uri| uri.strip_prefix("sip:")).expect("a SIP URI");
            assert_eq!(*calls.entry(call).or_insert((caller, numbers.1)), (caller, numbers.1), "{text}");
            let uri = text.split(' ').nth(1).expect("a Request-URI");
            assert_eq!(user(uri, "sip:"), numbers.1, "{text}");
            if !text.starts_with("CANCEL") {
                assert_eq!(user(text, "Contact: <sip:"), caller, "{text}");
            }
            assert!(caller.len() == 4 && caller.starts_with('1'), "{caller}");
            assert!(numbers.1.len() == 6 && numbers.1.starts_with("+49"), "{}", numbers.1);
        }
        let drawn: std::collections::BTreeSet<_> = calls.values().collect();
        assert!(calls.len() == 50 && drawn.len() > 40, "{drawn:?}");
        assert_eq!(requests.count(), 150);
    }
}
