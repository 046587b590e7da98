//! A shard that relays between real sockets, and the relay by itself.

use super::*;
use crate::clock::{Deadline, UnixMs};
use crate::mail::Mail;
use crate::media::Remote;
use crate::net::core::Core;
use crate::net::{NetSettings, Server, udp};
use crate::outbox::Outbox;
use crate::settings;
use crate::shard::{Datagram, Owner};
use crate::slab::Handle;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::time::Instant;

/// Nothing here takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(10);

const QUARANTINE_MS: u32 = 5_000;

fn media() -> Media {
    let settings = settings::Media { quarantine_ms: QUARANTINE_MS, ..settings::Media::default() };
    Media::new(&settings, 1_000, 7)
}

/// Places of this module's own on loopback, so that no other test has these ports.
fn rtp(last_byte: u8, first_port: u16, last_port: u16) -> RtpSettings {
    let local = IpAddr::V4(Ipv4Addr::new(127, 0, 3, last_byte));
    let addresses = vec![RtpAddress { local, advertised: local }];
    RtpSettings { addresses, first_port, last_port, dscp: 46 }
}

fn share(settings: RtpSettings) -> Share {
    Share { settings, shard: 0, shards: 1, secret: 7, pairs_max: usize::MAX }
}

fn epoll(mut relay: Relay) -> Relay {
    relay.mover = Mover::Poll(Poll::new().expect("an epoll"));
    relay
}

fn party(ip: IpAddr) -> UdpSocket {
    let socket = UdpSocket::bind((ip, 0)).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

fn remote(party: &UdpSocket) -> Remote {
    let address = party.local_addr().expect("its address");
    Remote {
        rtp: Some(address),
        rtcp: None,
        host: address.ip(),
        is_rtp: true,
        has_mux: false,
        is_held: false,
        clock_hz: 8_000,
        g711: None,
    }
}

fn packet(sequence: u16, bytes: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend([0, 0, 0, 0, 1, 2, 3, 4]);
    packet.resize(bytes, sequence as u8);
    packet
}

/// Two parties and their endpoints, joined.
struct Call {
    parties: [UdpSocket; 2],
    places: [SocketAddr; 2],
    endpoints: [Handle; 2],
}

fn call(now: Now, media: &mut Media) -> Call {
    let parties = [party(Ipv4Addr::LOCALHOST.into()), party(Ipv4Addr::LOCALHOST.into())];
    let endpoints = parties.each_ref().map(|party| {
        let endpoint = media.open(now, Family::V4).expect("a pair is free");
        media.describe(endpoint, remote(party));
        media.settle(now, endpoint);
        endpoint
    });
    media.join(endpoints[0], endpoints[1]);
    let places = endpoints.map(|endpoint| media.local(endpoint).expect("an open endpoint"));
    Call { parties, places, endpoints }
}

/// Makes turns until `count` packets have come.
fn turns(relay: &mut Relay, media: &mut Media, count: usize) {
    let (started, mut come) = (Instant::now(), 0);
    while come < count {
        assert!(started.elapsed() < PATIENCE, "{come} of {count} came");
        come += relay.turn(Moment::from_us(1_000), media).expect("a turn");
    }
    assert_eq!(come, count);
}

fn both(first_byte: u8, test: impl Fn(Relay, IpAddr)) {
    for (by, is_epoll) in [(0, false), (1, true)] {
        let settings = rtp(first_byte + by, 20_000, 20_199);
        let local = settings.addresses[0].local;
        let relay = Relay::new(&share(settings)).expect("a relay");
        test(if is_epoll { epoll(relay) } else { relay }, local);
    }
}

#[test]
fn what_one_party_sends_the_other_gets_from_its_own_port() {
    both(10, |mut relay, local| {
        let (now, mut media) = (Now::from_ms(0), media());
        relay.bind_wanted(now, &mut media);
        let Call { parties, places, endpoints } = call(now, &mut media);
        let mut buffer = [0; 4096];
        for (sequence, bytes) in [(1, 12), (2, 172), (3, 1_500), (4, PACKET_BYTES_MAX), (5, 60)] {
            for (from, to) in [(0, 1), (1, 0)] {
                let sent = packet(sequence, bytes);
                parties[from].send_to(&sent, places[from]).expect("sent");
                turns(&mut relay, &mut media, 1);
                let (length, source) = parties[to].recv_from(&mut buffer).expect("a packet");
                assert_eq!((&buffer[..length], source), (&sent[..], places[to]));
                assert_eq!((source.ip(), source.port() % 2), (local, 0));
            }
        }
        parties[0].send_to(&packet(6, PACKET_BYTES_MAX + 1), places[0]).expect("sent");
        party(Ipv4Addr::new(127, 0, 0, 9).into()).send_to(&packet(7, 172), places[0]).expect("sent");
        turns(&mut relay, &mut media, 2);
        let mut metrics = Metrics::default();
        relay.count_into(&mut metrics, &media);
        assert_eq!(metrics.media_packets_relayed, 10);
        assert_eq!((metrics.media_dropped_malformed, metrics.media_dropped_source), (1, 1));
        assert_eq!(media.figures(endpoints[0]).received.packets, 5);
        assert_eq!(media.figures(endpoints[1]).sent.packets, 5);
    });
}

#[test]
fn a_flood_is_taken_in_turns_that_are_bounded_and_loses_nothing() {
    both(12, |mut relay, _| {
        let (now, mut media) = (Now::from_ms(0), media());
        relay.bind_wanted(now, &mut media);
        let calls: Vec<Call> = (0..5).map(|_| call(now, &mut media)).collect();
        // Within what the kernel's default buffer holds of small packets.
        for sequence in 0..100 {
            for Call { parties, places, .. } in &calls {
                parties[0].send_to(&packet(sequence, 20), places[0]).expect("sent");
            }
        }
        let (mut come, mut longest) = (0, 0);
        let started = Instant::now();
        while come < 500 {
            assert!(started.elapsed() < PATIENCE, "{come} of 500 came");
            let count = relay.turn(Moment::from_us(1_000), &mut media).expect("a turn");
            (come, longest) = (come + count, longest.max(count));
        }
        assert!(longest <= BATCH && come == 500, "{longest} at once, {come} in all");
        for Call { parties, .. } in &calls {
            let mut buffer = [0; 64];
            for sequence in 0..100 {
                let length = parties[1].recv(&mut buffer).expect("a packet");
                assert_eq!(buffer[..length], packet(sequence, 20));
            }
        }
    });
}

#[test]
fn more_packets_at_once_than_there_are_slots_are_received_in_the_end() {
    both(14, |mut relay, _| {
        let (now, mut media) = (Now::from_ms(0), media());
        relay.bind_wanted(now, &mut media);
        let first = media.open(now, Family::V4).and_then(|endpoint| media.local(endpoint)).expect("a port");
        let sender = party(Ipv4Addr::LOCALHOST.into());
        for round in 0..3 {
            for sequence in 0..4 * BATCH / 8 {
                sender.send_to(&packet(sequence as u16, 20), first).expect("sent");
                // Its RTCP port, and ports that are free.
                for other in [1, 2, 3] {
                    let place = SocketAddr::new(first.ip(), first.port() + other);
                    sender.send_to(&[round; 20], place).expect("sent");
                }
            }
            let mut last = 1;
            while last > 0 {
                last = relay.turn(Moment::from_us(1_000), &mut media).expect("a turn");
            }
        }
        let counts = media.counts();
        let all = counts.source + counts.malformed + counts.nowhere + counts.stray + counts.stun;
        // The two ports after it may not be bound yet.
        assert!(all >= 3 * 2 * (4 * BATCH as u64 / 8), "{counts:?}");
    });
}

#[test]
fn a_pair_that_something_else_has_is_passed_over_and_counted() {
    let settings = rtp(16, 20_000, 20_009);
    let local = settings.addresses[0].local;
    let taken = UdpSocket::bind((local, 20_005)).expect("a free port");
    let (mut media, mut relay) = (media(), Relay::new(&share(settings)).expect("a relay"));
    relay.bind_wanted(Now::from_ms(0), &mut media);
    assert_eq!(relay.pairs(), 4);
    let mut metrics = Metrics::default();
    relay.count_into(&mut metrics, &media);
    assert_eq!(metrics.media_ports_taken, 1);
    let open = |media: &mut Media| media.open(Now::from_ms(0), Family::V4).and_then(|one| media.local(one));
    let mut ports: Vec<u16> = std::iter::from_fn(|| open(&mut media)).map(|place| place.port()).collect();
    ports.sort_unstable();
    assert_eq!(ports, [20_000, 20_002, 20_006, 20_008]);
    drop(taken);
}

#[test]
fn as_many_pairs_are_bound_as_are_wanted_and_allowed() {
    let mut share = share(rtp(17, 20_000, 20_999));
    share.pairs_max = 300;
    let (mut media, mut relay) = (media(), Relay::new(&share).expect("a relay"));
    let mut last = usize::MAX;
    while relay.pairs() != last {
        last = relay.pairs();
        relay.bind_wanted(Now::from_ms(0), &mut media);
        assert!(relay.pairs() - last <= BOUND_AT_ONCE);
    }
    assert_eq!(media.wanted(Now::from_ms(0), Family::V4), 0);
    while media.open(Now::from_ms(0), Family::V4).is_some() {}
    (0..9).for_each(|_| relay.bind_wanted(Now::from_ms(0), &mut media));
    assert_eq!(relay.pairs(), 300);
}

#[test]
fn ports_are_free_again_when_the_relay_is_gone() {
    for _ in 0..5 {
        let (mut media, mut relay) = (media(), Relay::new(&share(rtp(18, 20_000, 20_019))).expect("a relay"));
        relay.bind_wanted(Now::from_ms(0), &mut media);
        assert_eq!(relay.pairs(), 10);
    }
}

#[test]
fn packets_carry_the_code_point() {
    let [rtp, _] = socket::bind_pair(Ipv4Addr::LOCALHOST.into(), 20_000, 46).expect("a free pair");
    assert_eq!(rtp.tos_v4().expect("its class"), 0xb8);
}

/// A shard whose calls are two endpoints each, opened by a datagram that names where both parties are.
struct Calls {
    media: Media,
    outbox: Outbox,
    metrics: Metrics,
    endpoints: Vec<Handle>,
}

impl Calls {
    fn new() -> Calls {
        let (outbox, metrics) = (Outbox::new(), Metrics::default());
        Calls { media: media(), outbox, metrics, endpoints: Vec::new() }
    }

    fn open(&mut self, now: Now, text: &str) -> String {
        let mut places = Vec::new();
        for address in text.split(' ') {
            let address: SocketAddr = address.parse().expect("an address");
            let Some(endpoint) = self.media.open(now, Family::V4) else { return "none".to_owned() };
            let rtp = Some(address);
            let remote = Remote { rtp, host: address.ip(), ..remote(&party(address.ip())) };
            self.media.describe(endpoint, remote);
            self.media.settle(now, endpoint);
            self.endpoints.push(endpoint);
            places.push(self.media.local(endpoint).expect("open").to_string());
        }
        let [.., one, other] = self.endpoints[..] else { return "none".to_owned() };
        self.media.join(one, other);
        places.join(" ")
    }
}

impl Core for Calls {
    fn handle_datagram(&mut self, now: Now, datagram: Datagram<'_>) -> Owner {
        let answer = match std::str::from_utf8(&datagram.buffer[..datagram.length]).expect("text") {
            "fail" => panic!("a failure on purpose"),
            "close" => {
                for endpoint in self.endpoints.drain(..) {
                    self.media.close(now, endpoint);
                }
                "closed".to_owned()
            }
            text => self.open(now, text),
        };
        self.outbox.send(datagram.listener, datagram.source, |arena| arena.extend(answer.bytes()));
        Owner::Here
    }

    fn handle_timeout(&mut self, _: Now) {}
    fn handle_mail(&mut self, _: Now, _: Mail) {}

    fn poll_timeout(&self) -> Option<Deadline> {
        None
    }

    fn set_calendar(&mut self, _: UnixMs) {}
    fn drain(&mut self) {}
    fn close(&mut self, _: Now) {}

    fn calls(&self) -> usize {
        self.endpoints.len() / 2
    }

    fn unfinished(&self) -> usize {
        0
    }

    fn unrecorded(&self) -> usize {
        0
    }

    fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn media(&mut self) -> Option<&mut Media> {
        Some(&mut self.media)
    }
}

fn server(rtp: RtpSettings) -> (Server, SocketAddr) {
    let address = udp::free_address(Ipv4Addr::LOCALHOST.into()).expect("a free port");
    let net = NetSettings {
        cpus: crate::net::allowed_cpus().expect("CPUs").into_iter().take(1).collect(),
        batch: 16,
        receive_buffer_bytes: 1 << 20,
        send_buffer_bytes: 1 << 20,
        inbox_datagrams: 256,
        drain_timeout: Duration::from_secs(5),
        secret: 1,
        rtp: Some(rtp),
    };
    let started = Server::start_with(vec![address], &net, Arc::default(), |_, _| Calls::new());
    (started.expect("a server"), address)
}

fn ask(phone: &UdpSocket, server: SocketAddr, text: &str) -> String {
    phone.send_to(text.as_bytes(), server).expect("sent");
    let mut answer = [0; 256];
    let length = phone.recv(&mut answer).expect("an answer");
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

/// Two parties through a server, and where each sends.
fn talk(phone: &UdpSocket, server: SocketAddr) -> ([UdpSocket; 2], [SocketAddr; 2]) {
    let parties = [party(Ipv4Addr::LOCALHOST.into()), party(Ipv4Addr::LOCALHOST.into())];
    let [one, other] = parties.each_ref().map(|party| party.local_addr().expect("its address"));
    let answer = ask(phone, server, &format!("{one} {other}"));
    let places: Vec<SocketAddr> =
        answer.split(' ').map(|place| place.parse().unwrap_or_else(|_| panic!("{answer}"))).collect();
    (parties, places.try_into().expect("two places"))
}

#[test]
fn a_server_relays_while_it_answers_and_sleeps_when_no_call_is_left() {
    let (server, address) = server(rtp(20, 20_000, 20_199));
    let phone = party(Ipv4Addr::LOCALHOST.into());
    for round in 0..3 {
        let (parties, places) = talk(&phone, address);
        let mut buffer = [0; 256];
        for sequence in 0..50 {
            for (from, to) in [(0, 1), (1, 0)] {
                let sent = packet(sequence, 172);
                parties[from].send_to(&sent, places[from]).expect("sent");
                let (length, source) = parties[to].recv_from(&mut buffer).expect("a packet");
                assert_eq!((&buffer[..length], source), (&sent[..], places[to]), "round {round}");
            }
        }
        assert_eq!(ask(&phone, address, "close"), "closed");
        parties[0].send_to(&packet(99, 172), places[0]).expect("sent");
    }
    let started = Instant::now();
    while server.metrics().media_dropped_stray < 3 {
        assert!(started.elapsed() < PATIENCE, "free ports are not read: {:?}", server.metrics());
        std::thread::sleep(Duration::from_millis(1));
    }
    server.stop();
    server.join().expect("a clean end");
}

#[test]
fn a_server_with_media_ends_when_it_is_stopped_and_its_ports_are_free() {
    for _ in 0..3 {
        let (server, address) = server(rtp(21, 20_000, 20_039));
        let phone = party(Ipv4Addr::LOCALHOST.into());
        let _parties = talk(&phone, address);
        assert_eq!(server.metrics().media_ports_taken, 0);
        server.stop();
        server.join().expect("a clean end");
    }
}

#[test]
fn a_core_that_fails_while_it_relays_ends_the_server() {
    let (server, address) = server(rtp(22, 20_000, 20_039));
    let phone = party(Ipv4Addr::LOCALHOST.into());
    let _parties = talk(&phone, address);
    phone.send_to(b"fail", address).expect("sent");
    let error = server.join().expect_err("a failure");
    assert!(error.0.contains("a failure on purpose"), "{error}");
}
