//! A shard that relays between real sockets, and the relay by itself.

use super::*;
use crate::clock::{Deadline, UnixMs};
use crate::mail::Mail;
use crate::media::{LOW_WATER, Remote};
use crate::net::core::Core;
use crate::net::{NetSettings, Server, udp};
use crate::outbox::Outbox;
use crate::settings;
use crate::shard::{Datagram, Owner};
use crate::slab::Handle;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::Arc;
use std::time::Instant;

/// Nothing here takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// More than one batch's timers.
const BUSY_STEPS: u16 = 20;

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
fn a_pair_that_something_else_has_is_set_aside_and_counted_and_bound_later() {
    let settings = rtp(16, 20_000, 20_009);
    let local = settings.addresses[0].local;
    let taken = UdpSocket::bind((local, 20_005)).expect("a free port");
    let (mut media, mut relay) = (media(), Relay::new(&share(settings)).expect("a relay"));
    let ports_taken = |relay: &Relay, media: &Media| {
        let mut metrics = Metrics::default();
        relay.count_into(&mut metrics, media);
        metrics.media_ports_taken
    };
    for at_ms in [0, 0, 1, 2 * TAKEN_PAUSE_MS, 4 * TAKEN_PAUSE_MS] {
        relay.bind_wanted(Now::from_ms(at_ms), &mut media);
        assert_eq!((relay.pairs(), ports_taken(&relay, &media)), (4, 1), "at {at_ms}");
    }
    let open = |media: &mut Media| media.open(Now::from_ms(0), Family::V4).and_then(|one| media.local(one));
    let mut ports: Vec<u16> = std::iter::from_fn(|| open(&mut media)).map(|place| place.port()).collect();
    ports.sort_unstable();
    assert_eq!(ports, [20_000, 20_002, 20_006, 20_008]);
    drop(taken);
    // Not before its time.
    relay.bind_wanted(Now::from_ms(5 * TAKEN_PAUSE_MS - 1), &mut media);
    assert_eq!(relay.pairs(), 4);
    relay.bind_wanted(Now::from_ms(5 * TAKEN_PAUSE_MS), &mut media);
    assert_eq!(relay.pairs(), 5);
    assert_eq!(open(&mut media).map(|place| place.port()), Some(20_004));
}

/// Binds until nothing more is.
fn bind_all(relay: &mut Relay, media: &mut Media) {
    let mut last = usize::MAX;
    while relay.pairs() != last {
        last = relay.pairs();
        relay.bind_wanted(Now::from_ms(0), media);
        assert!(relay.pairs() - last <= BOUND_AT_ONCE);
    }
}

/// Opens until nothing is free; returns how many.
fn open_all(media: &mut Media, family: Family) -> usize {
    std::iter::from_fn(|| media.open(Now::from_ms(0), family)).count()
}

#[test]
fn as_many_pairs_are_bound_as_are_wanted_and_allowed() {
    // More than are kept ready, and fewer than the range has.
    let allowed = LOW_WATER + 44;
    let mut share = share(rtp(17, 20_000, 20_000 + 2 * (LOW_WATER as u16 + 100) - 1));
    share.pairs_max = allowed;
    let (mut media, mut relay) = (media(), Relay::new(&share).expect("a relay"));
    bind_all(&mut relay, &mut media);
    assert_eq!(relay.pairs(), LOW_WATER);
    assert_eq!(media.wanted(Now::from_ms(0), Family::V4), 0);
    assert_eq!(open_all(&mut media, Family::V4), LOW_WATER);
    bind_all(&mut relay, &mut media);
    assert_eq!(relay.pairs(), allowed);
    assert_eq!(media.wanted(Now::from_ms(0), Family::V4), LOW_WATER - 44);
}

#[test]
fn while_calls_have_media_few_pairs_are_bound_at_once() {
    let mut relay = Relay::new(&share(rtp(23, 20_000, 20_999))).expect("a relay");
    let mut media = media();
    relay.bind_wanted(Now::from_ms(0), &mut media);
    assert_eq!(relay.pairs(), BOUND_AT_ONCE);
    let _call = call(Now::from_ms(0), &mut media);
    relay.bind_wanted(Now::from_ms(0), &mut media);
    assert_eq!(relay.pairs(), BOUND_AT_ONCE + BOUND_AT_ONCE_ACTIVE);
}

#[test]
fn each_family_has_its_share_of_the_pairs() {
    let mut share = share(rtp(24, 20_000, 20_199));
    let local = IpAddr::V6(Ipv6Addr::LOCALHOST);
    share.settings.addresses.push(RtpAddress { local, advertised: local });
    share.pairs_max = 40;
    let (mut media, mut relay) = (media(), Relay::new(&share).expect("a relay"));
    bind_all(&mut relay, &mut media);
    assert_eq!([Family::V4, Family::V6].map(|family| open_all(&mut media, family)), [20, 20]);
    bind_all(&mut relay, &mut media);
    assert_eq!(relay.pairs(), 40);
}

#[test]
fn packets_that_the_kernel_drops_are_counted() {
    both(26, |mut relay, _| {
        let (now, mut media) = (Now::from_ms(0), media());
        relay.bind_wanted(now, &mut media);
        let Call { parties, places, .. } = call(now, &mut media);
        // More than a socket's buffer holds of even the smallest packets.
        for sequence in 0..2_000 {
            parties[0].send_to(&packet(sequence, 20), places[0]).expect("sent");
        }
        let looks = relay.sockets.len().div_ceil(SOCKETS_ASKED);
        (0..looks).for_each(|_| relay.ask_for_drops());
        let dropped = |relay: &Relay, media: &Media| {
            let mut metrics = Metrics::default();
            relay.count_into(&mut metrics, media);
            metrics.media_dropped_socket
        };
        let lost = dropped(&relay, &media);
        assert!(lost > 0);
        turns(&mut relay, &mut media, 2_000 - lost as usize);
        // Each is counted once.
        (0..2 * looks).for_each(|_| relay.ask_for_drops());
        assert_eq!(dropped(&relay, &media), lost);
    });
}

#[test]
fn a_failure_that_may_pass_costs_one_turn_and_one_that_lasts_a_rest() {
    let mut relay = Relay::new(&share(rtp(28, 20_000, 20_019))).expect("a relay");
    let busy = || io::Error::from_raw_os_error(libc::EAGAIN);
    for _ in 0..FAILURES_PASSING {
        let (pause, result) = relay.failed(busy());
        assert_eq!((pause, result.ok()), (PAUSE, Some(0)));
    }
    let (pause, result) = relay.failed(busy());
    assert_eq!((pause, result.is_err()), (ERROR_PAUSE, true), "this one has lasted");
    // A turn that succeeds ends the row.
    relay.turn(Moment::from_us(1_000), &mut media()).expect("a turn");
    assert!(relay.failed(busy()).1.is_ok());
    let (pause, result) = relay.failed(io::Error::from_raw_os_error(libc::EBADF));
    assert_eq!((pause, result.is_err()), (ERROR_PAUSE, true));
}

#[test]
fn why_there_is_no_ring_is_said_truly() {
    let said = |error: i32| why_no_ring(&io::Error::from_raw_os_error(error));
    assert!(said(libc::EPERM).contains("seccomp") && !said(libc::EPERM).contains("Linux 6.1"));
    assert!(said(libc::EINVAL).contains("Linux 6.1") && !said(libc::EINVAL).contains("seccomp"));
    assert!(said(libc::ENOMEM).contains("ulimit -l"));
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
    for socket in socket::bind_pair(Ipv4Addr::new(127, 0, 3, 29).into(), 20_000, 46).expect("a free pair") {
        assert_eq!(socket.tos_v4().expect("its class"), 0xb8);
    }
    for socket in socket::bind_pair(Ipv6Addr::LOCALHOST.into(), 20_900, 46).expect("a free pair") {
        assert_eq!(socket.tclass_v6().expect("its class"), 0xb8);
    }
}

/// A shard whose calls are two endpoints each, opened by a datagram that names where both parties are.
struct Calls {
    media: Media,
    outbox: Outbox,
    metrics: Metrics,
    endpoints: Vec<Handle>,
    busy: Option<Busy>,
}

/// Timers that are due for a while, each of which takes longer than a turn's pause and sends itself a packet.
struct Busy {
    call: Call,
    steps: u16,
}

impl Calls {
    fn new() -> Calls {
        let (outbox, metrics) = (Outbox::new(), Metrics::default());
        Calls { media: media(), outbox, metrics, endpoints: Vec::new(), busy: None }
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
            "busy" => {
                self.busy = Some(Busy { call: call(now, &mut self.media), steps: 0 });
                "busy".to_owned()
            }
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

    fn handle_timeout(&mut self, _: Now) {
        let Some(Busy { call, steps }) = &mut self.busy else { return };
        assert_eq!(self.media.counts().relayed, u64::from(*steps), "no turn was made between two steps");
        *steps += 1;
        let Call { parties, places, .. } = call;
        parties[0].send_to(&packet(*steps, 172), places[0]).expect("sent");
        let started = Instant::now();
        while started.elapsed() < 2 * PAUSE {
            std::hint::spin_loop();
        }
        if *steps == BUSY_STEPS {
            self.busy = None;
        }
    }

    fn handle_mail(&mut self, _: Now, _: Mail) {}

    fn poll_timeout(&self) -> Option<Deadline> {
        self.busy.as_ref().map(|_| Deadline::from_ms(0))
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
fn packets_do_not_wait_for_all_timers_that_are_due() {
    let (server, address) = server(rtp(25, 20_000, 20_039));
    let phone = party(Ipv4Addr::LOCALHOST.into());
    assert_eq!(ask(&phone, address, "busy"), "busy");
    let started = Instant::now();
    while server.metrics().media_packets_relayed < u64::from(BUSY_STEPS) && !server.is_finished() {
        assert!(started.elapsed() < PATIENCE, "{:?}", server.metrics());
        std::thread::sleep(Duration::from_millis(1));
    }
    server.stop();
    server.join().expect("a turn between every two steps");
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
