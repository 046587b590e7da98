//! Phones that register, against a registrar that is a function: no sockets, no sleeping.

use crate::args::Cli;
use crate::call::{Context, Failure, LegReport, Origin};
use crate::digest::{Algorithm, ha1, ha2, nonce_count, response};
use crate::media::Media;
use crate::outbox::Outbox;
use crate::plan::Plan;
use crate::register::Registrants;
use crate::tally::{Latency, Tally};
use clap::Parser;
use ringway::limits::SCAN_PADDING;
use ringway::sip::{self, Index};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;
use std::sync::Arc;

const MS: u64 = 1_000_000;
const SERVER: &str = "10.0.0.9:5060";
const PHONES: &str = "10.0.0.1:5060";

/// What the registrar does with a REGISTER.
type Answer = fn(&mut Registrar, &Request) -> String;

/// A REGISTER's parts, as text.
struct Request {
    head: String,
    number: String,
    authorization: Option<BTreeMap<String, String>>,
}

#[derive(Default)]
struct Registrar {
    /// The nonce that counts, and the last count that was seen with each number's.
    nonce: String,
    counts: BTreeMap<String, u32>,
    requests: Vec<Request>,
}

impl Request {
    fn read(bytes: &[u8]) -> Request {
        let head = String::from_utf8(bytes.to_vec()).expect("text");
        let authorization = field(&head, "Authorization").map(|value| {
            let parameters = value.strip_prefix("Digest ").expect("a Digest").split(", ");
            let pair = |pair: &str| {
                let (name, value) = pair.split_once('=').expect("name=value");
                (name.to_owned(), value.trim_matches('"').to_owned())
            };
            parameters.map(pair).collect()
        });
        let to = field(&head, "To").expect("To");
        let number = to.split(['@', ':']).nth(1).expect("a number").to_owned();
        Request { number, authorization, head }
    }

    fn field(&self, name: &str) -> String {
        field(&self.head, name).expect(name)
    }

    fn answer(&self, status: &str, more: &str) -> String {
        let copied =
            ["Via", "From", "Call-ID", "CSeq"].map(|name| format!("{name}: {}\r\n", self.field(name)));
        let to = self.field("To");
        format!("SIP/2.0 {status}\r\n{}To: {to};tag=r\r\n{more}Content-Length: 0\r\n\r\n", copied.concat())
    }
}

fn field(head: &str, name: &str) -> Option<String> {
    let start = format!("{name}: ");
    head.split("\r\n").find_map(|line| line.strip_prefix(&start)).map(str::to_owned)
}

impl Registrar {
    fn challenge(&self, request: &Request, stale: bool) -> String {
        let challenge = |algorithm: &str| {
            let stale = if stale { ", stale=true" } else { "" };
            let nonce = &self.nonce;
            format!(
                "WWW-Authenticate: Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\", \
                 algorithm={algorithm}{stale}\r\n"
            )
        };
        request.answer("401 Unauthorized", &(challenge("SHA-256") + &challenge("MD5")))
    }

    /// A registrar by the book: it knows every number, whose password is `secret-NUMBER`.
    fn strict(&mut self, request: &Request) -> String {
        let Some(given) = &request.authorization else { return self.challenge(request, false) };
        if given["nonce"] != self.nonce {
            return self.challenge(request, true);
        }
        let algorithm = if given["algorithm"] == "MD5" { Algorithm::Md5 } else { Algorithm::Sha256 };
        let count = self.counts.entry(request.number.clone()).or_default();
        *count += 1;
        assert_eq!(given["nc"].as_bytes(), nonce_count(*count), "each count is used once, in order");
        let password = format!("secret-{}", request.number);
        let ha1 = ha1(algorithm, request.number.as_bytes(), b"r", password.as_bytes());
        let ha2 = ha2(algorithm, given["uri"].as_bytes());
        let cnonce = given["cnonce"].as_bytes();
        let expected =
            response(algorithm, &ha1, given["nonce"].as_bytes(), &nonce_count(*count), cnonce, &ha2);
        let uri = request.head.split(' ').nth(1).expect("a Request-URI");
        let names = (given["username"].as_str(), given["realm"].as_str(), given["uri"].as_str());
        assert_eq!(names, (request.number.as_str(), "r", uri));
        if given["response"].as_bytes() != expected.as_bytes() {
            return self.challenge(request, false);
        }
        let contact = format!("Contact: {};expires=3600\r\n", request.field("Contact"));
        request.answer("200 OK", &contact)
    }
}

const ORIGIN: Origin = Origin { run: 7, lane: 0 };

/// Phones, a registrar, and a network that takes no time and loses what it is told to.
struct World {
    now_ns: u64,
    phones: Registrants,
    registrar: Registrar,
    answer: Answer,
    outbox: Outbox,
    tally: Tally,
    reports: Vec<LegReport>,
    media: Media,
    /// Answers that are lost before one comes through.
    losses: u32,
}

impl World {
    fn new(flags: &[&str], answer: Answer) -> World {
        let fixed = ["loadgen", "--flow", "register", "--target", SERVER, "--caller-address", PHONES];
        let plan: Arc<Plan> = Arc::new(Cli::parse_from(fixed.iter().chain(flags)).options.plan());
        let sockets: [SocketAddrV4; 2] =
            [PHONES, "10.0.0.1:5061"].map(|text| text.parse().expect("an address"));
        World {
            now_ns: MS,
            media: Media::new(&plan, ORIGIN, &[], &[]),
            phones: Registrants::new(plan, ORIGIN, &sockets, 1, MS),
            registrar: Registrar { nonce: "n1".into(), ..Registrar::default() },
            answer,
            outbox: Outbox::new(2),
            tally: Tally::new(),
            reports: Vec::new(),
            losses: 0,
        }
    }

    fn act<T>(&mut self, act: impl FnOnce(&mut Registrants, &mut Context<'_>) -> T) -> T {
        let World { now_ns, phones, outbox, tally, reports, media, .. } = self;
        act(phones, &mut Context { now_ns: *now_ns, out: outbox, tally, reports, media })
    }

    /// Brings what was sent to the registrar and its answers back, until nobody says anything any more.
    fn exchange(&mut self) {
        while !self.outbox.is_empty() {
            let mut sent = Vec::new();
            self.outbox.flush(|socket, arena, datagrams| {
                for datagram in datagrams {
                    sent.push((
                        socket,
                        arena[datagram.start as usize..][..datagram.length as usize].to_vec(),
                    ));
                }
            });
            for (socket, bytes) in sent {
                let request = Request::read(&bytes);
                let answer = (self.answer)(&mut self.registrar, &request);
                self.registrar.requests.push(request);
                if answer.is_empty() {
                    continue;
                }
                if self.losses > 0 {
                    self.losses -= 1;
                    continue;
                }
                self.arrive(socket, answer);
            }
        }
    }

    fn arrive(&mut self, socket: usize, answer: String) {
        let length = answer.len();
        let mut buffer = answer.into_bytes();
        buffer.resize(length + SCAN_PADDING, 0);
        let mut index = Index::new();
        sip::scan(&mut buffer, length, &mut index).expect("acceptable SIP");
        let message = index.message(&buffer);
        let source = SERVER.parse().expect("an address");
        self.act(|phones, ctx| phones.handle_message(ctx, socket, source, &message));
    }

    fn register_all(&mut self) {
        while !self.act(|phones, ctx| phones.register_all(ctx)) {
            self.exchange();
        }
    }

    /// The next `count` phones register, a millisecond apart.
    fn refresh(&mut self, count: usize) {
        for _ in 0..count {
            self.now_ns += MS;
            let now_ns = self.now_ns;
            self.act(|phones, ctx| phones.start(ctx, now_ns));
            self.exchange();
        }
    }

    fn wait(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now_ns += MS;
            self.act(|phones, ctx| phones.handle_timeout(ctx));
            self.exchange();
        }
    }

    fn registration(&self) -> (u64, u64, u64) {
        let registration = &self.tally.registration;
        (registration.challenges, registration.stale, registration.nonce_kept)
    }

    fn failures(&self) -> Vec<(Failure, u64)> {
        self.tally.failures.iter().map(|(failure, count)| (*failure, *count)).collect()
    }
}

const RANGE: [&str; 4] = ["--numbers", "1000-1249", "--password", "secret-{number}"];

#[test]
fn everybody_registers_once_and_refreshes_with_the_nonce_that_is_there() {
    for algorithm in ["sha-256", "md5"] {
        let mut world = World::new(&[&RANGE[..], &["--algorithm", algorithm]].concat(), Registrar::strict);
        world.register_all();
        assert_eq!((world.tally.good, world.tally.failed), (250, 0), "{:?}", world.tally.failures);
        assert_eq!(world.registration(), (250, 0, 0));
        world.tally = Tally::new();
        world.refresh(1_000);
        assert_eq!((world.tally.good, world.tally.failed), (1_000, 0), "{:?}", world.tally.failures);
        assert_eq!(world.registration(), (0, 0, 1_000), "no challenge is needed any more");
        assert_eq!(world.tally.latency(Latency::Register).len(), 1_000);
        assert!(world.registrar.counts.values().all(|count| *count == 5), "everyone has its turn");
        let used = world.registrar.requests.last().and_then(|last| last.authorization.clone());
        assert_eq!(used.expect("credentials")["algorithm"].to_ascii_lowercase(), algorithm);
    }
}

#[test]
fn a_phone_keeps_its_call_id_and_counts_its_cseq() {
    let mut world =
        World::new(&["--numbers", "1000-1002", "--password", "secret-{number}"], Registrar::strict);
    world.register_all();
    world.refresh(6);
    let requests = &world.registrar.requests;
    let branches: BTreeSet<String> = requests.iter().map(|request| request.field("Via")).collect();
    assert_eq!(branches.len(), requests.len(), "each request has a branch of its own");
    let calls: BTreeSet<String> = requests.iter().map(|request| request.field("Call-ID")).collect();
    assert_eq!(calls.len(), 3);
    for number in ["1000", "1001", "1002"] {
        let own: Vec<&Request> = requests.iter().filter(|request| request.number == number).collect();
        let cseqs: Vec<String> = own.iter().map(|request| request.field("CSeq")).collect();
        assert_eq!(cseqs, ["1 REGISTER", "2 REGISTER", "3 REGISTER", "4 REGISTER"]);
        assert!(own.iter().all(|request| request.field("Call-ID") == own[0].field("Call-ID")));
        assert!(own.iter().all(|request| {
            request.field("Contact") == format!("<sip:{number}@127.0.0.136:5060>")
                && request.field("Expires") == "3600"
        }));
    }
}

#[test]
fn a_stale_nonce_is_replaced_and_counted_from_one() {
    let mut world = World::new(&RANGE, Registrar::strict);
    world.register_all();
    world.tally = Tally::new();
    world.registrar.nonce = "n2".into();
    world.registrar.counts.clear();
    world.refresh(500);
    assert_eq!((world.tally.good, world.tally.failed), (500, 0), "{:?}", world.tally.failures);
    assert_eq!(world.registration(), (250, 250, 500));
}

#[test]
fn a_wrong_password_is_told_after_one_try() {
    let mut world = World::new(&["--numbers", "1000-1003", "--password", "x"], Registrar::strict);
    world.register_all();
    assert_eq!(world.failures(), [(Failure::RegisterStatus(401), 4)]);
    assert_eq!(world.registrar.requests.len(), 8, "without credentials, and with the wrong ones");
    world.registrar.requests.clear();
    world.registrar.counts.clear();
    world.refresh(1);
    assert_eq!(world.registrar.requests.len(), 2, "the nonce of what failed is not used again");
}

#[test]
fn without_a_password_a_challenge_ends_it() {
    let mut world = World::new(&["--numbers", "1000-1003"], Registrar::strict);
    world.register_all();
    assert_eq!(world.failures(), [(Failure::RegisterStatus(401), 4)]);
    assert_eq!(world.registrar.requests.len(), 4);
}

#[test]
fn refusals_are_counted_by_their_status() {
    for (status, code) in [("403 Forbidden", 403), ("503 Service Unavailable", 503), ("423 Brief", 423)] {
        let answer: Answer = match code {
            403 => |_, request| request.answer("403 Forbidden", ""),
            503 => |_, request| request.answer("503 Service Unavailable", "Retry-After: 5\r\n"),
            _ => |_, request| request.answer("423 Brief", "Min-Expires: 9\r\n"),
        };
        let mut world = World::new(&["--numbers", "1000-1003"], answer);
        world.register_all();
        assert_eq!(world.failures(), [(Failure::RegisterStatus(code), 4)], "{status}");
    }
}

#[test]
fn what_a_registrar_may_not_say_fails_the_registration() {
    let cases: [(Answer, Failure); 3] = [
        (|_, request| request.answer("200 OK", ""), Failure::ContactMissing),
        (|_, request| request.answer("401 Unauthorized", ""), Failure::NoChallenge),
        (
            // For ever stale: whoever believes it would never end.
            |registrar, request| {
                registrar.nonce += "x";
                registrar.challenge(request, true)
            },
            Failure::RegisterStatus(401),
        ),
    ];
    for (answer, failure) in cases {
        let mut world = World::new(&["--numbers", "1000", "--password", "p"], answer);
        world.register_all();
        assert_eq!(world.failures(), [(failure, 1)]);
        assert!(world.registrar.requests.len() <= 4);
    }
}

#[test]
fn what_is_lost_is_sent_again_to_the_byte() {
    let mut world = World::new(&["--numbers", "1000"], |_, request| {
        request.answer("200 OK", &format!("Contact: {}\r\n", request.field("Contact")))
    });
    world.losses = 2;
    assert!(!world.act(|phones, ctx| phones.register_all(ctx)));
    world.exchange();
    world.wait(499);
    assert_eq!(world.registrar.requests.len(), 1);
    world.wait(1_100);
    let sent: BTreeSet<&String> = world.registrar.requests.iter().map(|request| &request.head).collect();
    assert_eq!((sent.len(), world.registrar.requests.len()), (1, 3), "after T1 and 2 T1");
    assert_eq!((world.tally.good, world.tally.own.register), (1, 2));
}

#[test]
fn silence_ends_after_the_timeout_and_a_late_answer_counts_for_nothing() {
    let mut world = World::new(&["--numbers", "1000", "--timeout", "4s"], |_, _| String::new());
    assert!(!world.act(|phones, ctx| phones.register_all(ctx)));
    world.exchange();
    world.wait(4_002);
    assert_eq!(world.failures(), [(Failure::NoRegisterAnswer, 1)]);
    assert_eq!(world.tally.own.register, 3, "at 0.5, 1.5 and 3.5 s");
    let answer = world.registrar.requests[0].answer("200 OK", "");
    world.arrive(0, answer);
    assert_eq!((world.tally.good, world.tally.registration.late_answers), (0, 1));
    assert!(world.act(|phones, ctx| phones.register_all(ctx)), "the first pass is over");
}

#[test]
fn a_turn_that_finds_nobody_idle_is_counted() {
    let mut world = World::new(&["--numbers", "1000-1001"], |_, _| String::new());
    world.refresh(3);
    assert_eq!((world.tally.started, world.phones.live()), (3, 2));
    assert_eq!(world.failures(), [(Failure::NobodyIdle, 1)]);
    world.act(|phones, ctx| phones.abandon(ctx));
    assert_eq!((world.tally.failed, world.phones.live()), (3, 0));
}

#[test]
fn threads_share_the_numbers() {
    let fixed = ["loadgen", "--flow", "register", "--target", SERVER, "--numbers", "1000-1009"];
    let plan: Arc<Plan> = Arc::new(Cli::parse_from(fixed).options.plan());
    let socket: SocketAddrV4 = PHONES.parse().expect("an address");
    let mut numbers = Vec::new();
    for lane in 0..3 {
        let origin = Origin { run: 7, lane };
        let mut phones = Registrants::new(plan.clone(), origin, &[socket], 3, MS);
        let (mut out, mut tally, mut reports) = (Outbox::new(1), Tally::new(), Vec::new());
        let media = &mut Media::new(&plan, origin, &[], &[]);
        let mut ctx = Context { now_ns: MS, out: &mut out, tally: &mut tally, reports: &mut reports, media };
        assert!(!phones.register_all(&mut ctx));
        out.flush(|_, arena, datagrams| {
            for datagram in datagrams {
                numbers.push(
                    Request::read(&arena[datagram.start as usize..][..datagram.length as usize]).number,
                );
            }
        });
    }
    numbers.sort();
    assert_eq!(numbers, (1000..1010).map(|number| number.to_string()).collect::<Vec<_>>());
}
