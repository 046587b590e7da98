//! REGISTERs through a shard, with a keeper that works, dawdles or refuses. Never are there more bindings
//! than allowed, or two for one contact; every answer can be read and lists what is bound; in the end nothing
//! is left.

use crate::choices::PIECES;
use crate::input::Input;
use crate::{padded, shown};
use ringway::clock::{Now, UnixSeconds};
use ringway::directory::{Binding, Entry, Subscriber, Writer};
use ringway::mail::{Letter, Mail};
use ringway::outbox::ListenerId;
use ringway::registrar::{Limits, Refusal, apply, is_same};
use ringway::settings::{Listener, Registration, Settings};
use ringway::shard::{Datagram, Place, Shard};
use ringway::sip::name_addr::split_list;
use ringway::sip::uri::Scheme;
use ringway::sip::{Fault, HeaderName, Index, Message, Method, NameAddr, Uri, scan};
use std::net::SocketAddr;
use std::sync::Arc;

const STEPS_MAX: usize = 100;

/// When the shard is started.
const STARTED: UnixSeconds = UnixSeconds(1_381_399_635);

const NUMBERS: [&str; 3] = ["1003", "1004", "1999"];

const URIS: [&str; 20] = [
    "<sip:1004@192.0.2.1>",
    "<sip:1004@192.0.2.1:5060>",
    "sip:%31004@192.0.2.1",
    "<sip:1004@192.0.2.1;x=1>",
    "<sip:1004@192.0.2.1;transport=udp;ob>",
    "<sip:1004@192.0.2.2:5070>",
    "\"B, \\\"the\\\" phone\" <sip:b@[2001:db8::4]:5070>",
    "<sip:b@phone.local>",
    "<sip:b:pw@10.0.0.1;lr>",
    "<sip:127.0.0.1:9>",
    "<sip:1004@198.51.100.1:5060>",
    "<sip:1004@sip.example.net>",
    "<sip:b@192.0.2.1?x=y>",
    "<sips:b@192.0.2.1>",
    "<tel:+1>",
    "<sip:b@192.0.2.1;transport=tcp>",
    "<sip:b@192.0.2.1;maddr=192.0.2.9;ttl=1>",
    "<sip:b@192.0.2.1:0>",
    "*",
    "",
];

const PARAMS: [&str; 16] = [
    "",
    "",
    ";expires=600",
    ";expires=0",
    ";expires=1",
    ";expires=x",
    ";expires=99999999999",
    ";q=0.5",
    ";q=2",
    ";+sip.instance=\"<urn:uuid:1>\"",
    ";+sip.instance=\"<urn:uuid:2>\"",
    ";+sip.instance=\"<urn:uuid:1>\";reg-id=1",
    ";+sip.instance=\"<urn:uuid:1>\";reg-id=2",
    ";reg-id=1",
    ";methods=\"INVITE,BYE\";audio",
    ";expires=60;q=0.001;+sip.instance=\"\"",
];

const LINES: [&str; 14] = [
    "",
    "",
    "",
    "Expires: 0\r\n",
    "Expires: 100\r\n",
    "Expires: never\r\n",
    "Supported: path, outbound\r\n",
    "Supported: outbound\r\n",
    "Path: <sip:192.0.2.9;lr;ob>\r\n",
    "Path: <sip:p@192.0.2.9:5066;lr>, <sip:name.example.net;lr>\r\n",
    "Path: <sip:name.example.net>\r\n",
    "Require: path\r\n",
    "Require: gruu\r\n",
    "Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKx\r\n",
];

struct World {
    shard: Shard,
    writer: Writer,
    limits: Limits,
    settings: Settings,
    held: Vec<Letter>,
    now_ms: u64,
}

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut world = World::new(&mut input);
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        match input.below(8) {
            0 => world.advance(u64::from(input.number()) * u64::from(input.pick(&[1u8, 8, 200]))),
            1 => world.release(),
            2 => {
                let datagram = input.text().to_vec();
                world.receive(&mut input, &datagram);
            }
            _ => {
                let datagram = register(&mut input);
                world.receive(&mut input, &datagram);
            }
        }
        world.check_bindings();
    }
    world.finish();
}

/// A REGISTER that may be another's repetition or overtake it, damaged at times.
fn register(input: &mut Input<'_>) -> Vec<u8> {
    let branch = input.below(6);
    let (call, cseq) = (input.below(3), input.below(6));
    let to = input.pick(&[
        "<sip:1004@h>",
        "<sip:%31004@h;x>",
        "<sip:1003@h>",
        "<sip:1999@h>",
        "<tel:1004>",
        "<sip:h>",
    ]);
    let tag = input.pick(&["", "", "", ";tag=x"]);
    let via = input.pick(&["192.0.2.1", "192.0.2.1:5060;rport", "10.0.0.7:5060;rport", "phone.local"]);
    let mut text = format!(
        "REGISTER sip:198.51.100.1 SIP/2.0\r\nVia: SIP/2.0/UDP {via};branch=z9hG4bK{branch}\r\n\
         From: <sip:1004@h>;tag=f\r\nTo: {to}{tag}\r\nCall-ID: c{call}\r\nCSeq: {cseq} REGISTER\r\n"
    );
    for _ in 0..input.below(3) {
        text.push_str(input.pick(&LINES));
    }
    let contacts = input.pick(&[1, 1, 1, 0, 2, 3, 5, 12, 40]);
    if contacts > 0 {
        let contact = |_| format!("{}{}{}", input.pick(&URIS), input.pick(&PARAMS), input.pick(&PARAMS));
        let list: Vec<String> = (0..contacts).map(contact).collect();
        text.push_str(&format!("Contact: {}\r\n", list.join(",")));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    if input.one_in(6) {
        let place = input.below(bytes.len());
        let piece = input.pick(&PIECES);
        let end = (place + input.below(4)).min(bytes.len());
        bytes.splice(place..end, piece.iter().copied());
    }
    bytes
}

impl World {
    fn new(input: &mut Input<'_>) -> World {
        let addresses = ["198.51.100.1:5060", "[2001:db8::60]:5060"];
        let listener =
            |text: &str| Listener { address: text.parse().expect("an address"), sent_by: text.into() };
        let registration = Registration {
            contacts_max: input.pick(&[10, 1, 2, 16]),
            pending_max: input.pick(&[100, 1]),
            expires_min_s: input.pick(&[60, 1]),
            ..Registration::default()
        };
        let settings = Settings {
            listeners: addresses.map(listener).to_vec(),
            max_calls: 4,
            max_transactions: 64,
            registration,
            ..Settings::default()
        };
        let mut writer = Writer::default();
        NUMBERS[..2].iter().for_each(|number| writer.put(Subscriber::new(number).into()));
        let place = Place { shard: 0, shards: 1, owner_seed: 7, secret: 9 };
        let shard = Shard::new(Arc::new(settings.clone()), writer.directory(), place, STARTED);
        World { shard, writer, limits: Limits::of(&settings), settings, held: Vec::new(), now_ms: 0 }
    }

    fn unix(&self) -> UnixSeconds {
        UnixSeconds(STARTED.0 + self.now_ms / 1_000)
    }

    fn bindings(&self, number: &str) -> Vec<Binding> {
        let directory = self.writer.directory();
        let view = directory.read();
        view.get(number.as_bytes()).map_or(Vec::new(), |entry| entry.bindings.to_vec())
    }

    fn receive(&mut self, input: &mut Input<'_>, bytes: &[u8]) {
        let source =
            input.pick(&["192.0.2.1:5060", "192.0.2.1:40000", "192.0.2.9:5060", "[2001:db8::4]:5070"]);
        let source: SocketAddr = source.parse().expect("an address");
        let listener = ListenerId(u8::from(source.is_ipv6()));
        let mut buffer = padded(bytes);
        let datagram = Datagram { source, listener, buffer: &mut buffer, length: bytes.len() };
        self.shard.handle_datagram(Now::from_ms(self.now_ms), datagram);
        self.collect();
        let letters: Vec<Letter> = self.shard.outbox().letters().collect();
        assert!(letters.len() <= 1, "one input, several letters");
        for letter in letters {
            match input.below(6) {
                0 => self.held.push(letter),
                1 => {
                    let Letter::Register { ticket, .. } = letter else { panic!("nobody asks for calls") };
                    self.deliver(Mail::Registered { ticket, outcome: Err(Refusal::Unavailable) });
                }
                _ => self.answer(letter),
            }
        }
    }

    /// The keeper does what was laid aside, perhaps too late.
    fn release(&mut self) {
        for letter in std::mem::take(&mut self.held) {
            self.answer(letter);
        }
    }

    fn answer(&mut self, letter: Letter) {
        let Letter::Register { ticket, number, change } = letter else { panic!("nobody asks for calls") };
        let now = self.unix();
        let outcome = apply(&self.bindings(&number), &change, self.limits, now).map(|bindings| {
            self.writer.put(entry(&number, bindings));
        });
        self.deliver(Mail::Registered { ticket, outcome });
    }

    fn deliver(&mut self, mail: Mail) {
        self.shard.handle_mail(Now::from_ms(self.now_ms), mail);
        self.collect();
    }

    fn advance(&mut self, by_ms: u64) {
        let end_ms = self.now_ms + by_ms;
        while let Some(due) = self.shard.poll_timeout().filter(|due| due.as_ms() <= end_ms) {
            self.now_ms = self.now_ms.max(due.as_ms());
            self.shard.handle_timeout(Now::from_ms(self.now_ms));
            self.collect();
        }
        self.now_ms = end_ms;
    }

    fn collect(&mut self) {
        let outbox = self.shard.outbox();
        let sent: Vec<Vec<u8>> =
            outbox.datagrams().iter().map(|datagram| outbox.bytes(datagram).to_vec()).collect();
        outbox.clear();
        sent.iter().for_each(|bytes| self.check_answer(bytes));
    }

    /// An answer can be read, and a 200 to a REGISTER lists Contacts that a phone can read.
    fn check_answer(&self, bytes: &[u8]) {
        let mut buffer = padded(bytes);
        let mut index = Index::new();
        let result = scan(&mut buffer, bytes.len(), &mut index);
        let message = index.message(&buffer[..bytes.len()]);
        let status = message.status().map_or(0, |status| status.code());
        // A refusal copies what could not be read.
        let may_be_odd = matches!(result, Err(Fault::Malformed(_))) && status >= 400;
        assert!(result.is_ok() || may_be_odd, "{result:?} of\n{}", shown(bytes));
        if status == 200 && message.method() == Method::Register {
            self.check_list(&message);
        }
    }

    fn check_list(&self, message: &Message<'_>) {
        let contacts: Vec<&[u8]> = message.values(HeaderName::Contact).flat_map(split_list).collect();
        assert!(contacts.len() <= usize::from(self.settings.registration.contacts_max));
        assert!(message.has(HeaderName::Date));
        for contact in contacts {
            let address = NameAddr::parse(contact).expect("an address");
            assert!(Uri::parse(address.uri).is_ok_and(|uri| uri.scheme == Scheme::Sip), "{}", shown(contact));
            let expires = address.param("expires").and_then(|text| std::str::from_utf8(text).ok());
            let expires = expires.and_then(|text| text.parse::<u32>().ok());
            let most = self.settings.registration.expires_max_s;
            assert!(expires.is_some_and(|expires| (1..=most).contains(&expires)), "{}", shown(contact));
        }
    }

    /// As many as allowed, each once, each of which an INVITE could go to.
    fn check_bindings(&self) {
        for number in NUMBERS {
            let bindings = self.bindings(number);
            assert!(bindings.len() <= self.limits.contacts_max);
            for (place, one) in bindings.iter().enumerate() {
                assert!(!bindings[..place].iter().any(|other| is_same(one, other)), "twice: {one:?}");
                let uri = Uri::parse(one.uri.as_bytes()).expect("a URI");
                assert!(uri.scheme == Scheme::Sip && uri.headers.is_empty() && one.uri.is_ascii(), "{one:?}");
                let is_ours = |listener: &Listener| listener.address == one.destination.address();
                assert!(!self.settings.listeners.iter().any(is_ours), "to ourselves: {one:?}");
                let destination = one.destination.address();
                assert!(destination.port() != 0 && !destination.ip().is_loopback(), "{one:?}");
                let listener = &self.settings.listeners[usize::from(one.listener.0)];
                assert_eq!(listener.address.is_ipv4(), one.destination.address().is_ipv4(), "{one:?}");
            }
        }
    }

    /// Time runs off: everyone has an answer, and nothing is left.
    fn finish(mut self) {
        self.advance(200_000);
        self.release();
        assert_eq!(self.shard.metrics().impossible_events, 0);
        assert!(self.shard.is_empty(), "{} transactions", self.shard.transactions());
    }
}

fn entry(number: &str, bindings: Box<[Binding]>) -> Entry {
    let mut entry = Entry::from(Subscriber::new(number));
    entry.bindings = bindings;
    entry
}
