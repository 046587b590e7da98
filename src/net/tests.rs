//! The shell around an echo: what comes in goes out, from whichever shard it belongs to.

use super::core::Core;
use super::{NetSettings, Server, ServerError, udp};
use crate::clock::{Deadline, Now, UnixMs};
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::shard::{Datagram, Owner, Place};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Nothing here takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers each datagram with itself. One whose first byte is 'x' belongs to the shard that its second byte
/// names, which fails if the third is 'f'; `later` is answered 50 ms later; `call` and `bye` begin and end a
/// call.
struct Echo {
    place: Place,
    outbox: Outbox,
    metrics: Metrics,
    later: Vec<(Deadline, SocketAddr)>,
    calls: usize,
    draining: bool,
}

impl Echo {
    fn new(place: Place) -> Echo {
        Echo {
            place,
            outbox: Outbox::new(),
            metrics: Metrics::default(),
            later: Vec::new(),
            calls: 0,
            draining: false,
        }
    }
}

impl Core for Echo {
    fn handle_datagram(&mut self, now: Now, datagram: Datagram<'_>) -> Owner {
        assert!(datagram.buffer[datagram.length..].iter().all(|&byte| byte == 0));
        assert_eq!(datagram.buffer.len(), datagram.length + crate::limits::SCAN_PADDING);
        let bytes = &datagram.buffer[..datagram.length];
        if let [b'x', owner, ..] = *bytes
            && u16::from(owner) != self.place.shard
        {
            self.metrics.handed_over += 1;
            return Owner::Shard(owner.into());
        }
        self.metrics.datagrams_received += 1;
        match bytes {
            [b'x', _, b'f'] => panic!("a failure on purpose"),
            b"later" => {
                self.later.push((now.after_ms(50), datagram.source));
                return Owner::Here;
            }
            b"call" if !self.draining => self.calls += 1,
            b"bye" => self.calls -= 1,
            _ => {}
        }
        self.metrics.datagrams_sent += 1;
        self.outbox.send(datagram.listener, datagram.source, |arena| {
            arena.extend_from_slice(if self.draining && bytes == b"call" { b"503" } else { bytes });
        });
        Owner::Here
    }

    fn handle_timeout(&mut self, now: Now) {
        assert!(self.outbox.is_empty());
        self.later.retain(|&(deadline, source)| {
            if deadline.is_due(now) {
                self.outbox.send(crate::outbox::ListenerId(0), source, |arena| arena.extend(b"now"));
            }
            !deadline.is_due(now)
        });
    }

    fn handle_mail(&mut self, _: Now, _: crate::mail::Mail) {}

    fn poll_timeout(&self) -> Option<Deadline> {
        self.later.iter().map(|&(deadline, _)| deadline).min()
    }

    fn set_calendar(&mut self, _calendar: UnixMs) {}

    fn drain(&mut self) {
        self.draining = true;
    }

    fn close(&mut self, _now: Now) {}

    fn calls(&self) -> usize {
        self.calls
    }

    fn unfinished(&self) -> usize {
        self.calls
    }

    fn unrecorded(&self) -> usize {
        self.calls
    }

    fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

/// A thread that waits for signals may drain the server that another one watches.
const _: () = {
    const fn shared_between_threads<T: Send + Sync>() {}
    shared_between_threads::<Server>();
};

/// An address that no other test uses.
fn free() -> SocketAddr {
    udp::free_address(Ipv4Addr::LOCALHOST.into()).expect("a free port")
}

fn settings(shards: usize) -> NetSettings {
    let allowed = super::allowed_cpus().expect("CPUs");
    NetSettings {
        cpus: allowed.iter().copied().cycle().take(shards).collect(),
        batch: 16,
        receive_buffer_bytes: 1 << 20,
        send_buffer_bytes: 1 << 20,
        inbox_datagrams: 256,
        drain_timeout: Duration::from_secs(5),
        secret: 1,
        rtp: None,
    }
}

fn start(addresses: &[SocketAddr], net: &NetSettings) -> Result<Server, ServerError> {
    Server::start_with(addresses.to_vec(), net, Arc::default(), |place, _| Echo::new(place))
}

fn client() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

fn ask(socket: &UdpSocket, server: SocketAddr, question: &[u8]) -> Vec<u8> {
    socket.send_to(question, server).expect("sent");
    let mut answer = vec![0; 65_536];
    let (length, from) = socket.recv_from(&mut answer).expect("an answer");
    assert_eq!(from, server);
    answer.truncate(length);
    answer
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what}: waited in vain");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn datagrams_of_any_size_go_through_both_listeners() {
    let addresses = [free(), free()];
    let server = start(&addresses, &settings(1)).expect("a server");
    assert_eq!(server.addresses(), addresses);
    let client = client();
    for length in [0, 1, 63, 64, 65, 600, 1500, 4096, 9000, 32_768, 65_506, 65_507, 3] {
        let question: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
        for address in addresses {
            assert_eq!(ask(&client, address, &question), question);
        }
    }
    server.stop();
    wait_until("the end", || server.is_finished());
    assert_eq!(server.metrics().datagrams_received, 26);
    server.join().expect("a clean end");
}

#[test]
fn a_datagram_is_answered_by_its_owner_whichever_shard_received_it() {
    let address = free();
    let server = start(&[address], &settings(3)).expect("a server");
    for _ in 0..50 {
        let client = client();
        for owner in 0..3 {
            let question = [b'x', owner, b'!'];
            assert_eq!(ask(&client, address, &question), question);
        }
    }
    server.stop();
    wait_until("the end", || server.is_finished());
    let metrics = server.metrics();
    assert_eq!(metrics.datagrams_received, 150);
    // Each client's socket leads to one shard, so two of its three questions are another's.
    assert_eq!(metrics.handed_over, 100);
    assert_eq!(metrics.inbox_overflows, 0);
    server.join().expect("a clean end");
}

#[test]
fn a_timer_fires_while_no_datagram_comes() {
    let address = free();
    let server = start(&[address], &settings(1)).expect("a server");
    let client = client();
    let asked = Instant::now();
    assert_eq!(ask(&client, address, b"later"), b"now");
    assert!(asked.elapsed() >= Duration::from_millis(49), "too early: {:?}", asked.elapsed());
    server.stop();
    server.join().expect("a clean end");
}

#[test]
fn draining_waits_for_the_last_call() {
    let address = free();
    // On a busy machine the questions below take longer than the five seconds that the others have.
    let net = NetSettings { drain_timeout: Duration::from_secs(3_600), ..settings(2) };
    let server = start(&[address], &net).expect("a server");
    let client = client();
    assert_eq!(ask(&client, address, b"call"), b"call");
    server.drain();
    let mut calls = 1;
    // The shard hears of it at its next tick.
    while ask(&client, address, b"call") == b"call" {
        calls += 1;
    }
    for left in (0..calls).rev() {
        assert!(!server.is_finished(), "with {} calls", left + 1);
        assert_eq!(ask(&client, address, b"bye"), b"bye");
    }
    server.join().expect("a clean end");
}

#[test]
fn draining_ends_after_its_timeout() {
    let address = free();
    let net = NetSettings { drain_timeout: Duration::from_millis(100), ..settings(2) };
    let server = start(&[address], &net).expect("a server");
    assert_eq!(ask(&client(), address, b"call"), b"call");
    let asked = Instant::now();
    server.drain();
    server.join().expect("a clean end");
    assert!(asked.elapsed() >= Duration::from_millis(100));
}

#[test]
fn an_address_is_free_again_as_soon_as_its_server_has_ended() {
    let address = free();
    let before = open_files();
    for _ in 0..20 {
        let server = start(&[address], &settings(2)).expect("a server");
        assert_eq!(ask(&client(), address, b"hello"), b"hello");
        server.stop();
        server.join().expect("a clean end");
    }
    println!("open files: {before} before, {} after 20 servers of 2 shards", open_files());
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("descriptors").count()
}

#[test]
fn a_second_server_does_not_share_the_port() {
    let address = free();
    let server = start(&[address], &settings(1)).expect("a server");
    let error = start(&[address], &settings(1)).expect_err("the port is taken");
    assert!(error.0.contains("is in use") && error.0.contains("ss -lunp"), "{error}");
    assert_eq!(ask(&client(), address, b"still there"), b"still there");
    server.stop();
    server.join().expect("a clean end");
}

#[test]
fn a_shard_that_fails_while_it_is_started_is_reported() {
    let address = free();
    let started = Server::start_with(vec![address], &settings(2), Arc::default(), |place, _| {
        assert_eq!(place.shard, 0, "this shard fails on purpose");
        Echo::new(place)
    });
    let error = started.expect_err("a failed start");
    assert!(error.0.contains("shard 1"), "{error}");
    let server = start(&[address], &settings(1)).expect("the address is free again");
    server.stop();
    server.join().expect("a clean end");
}

#[test]
fn a_shard_that_fails_ends_the_server() {
    let address = free();
    // Wherever the client's datagrams arrive: some are the receiver's own, some are handed over.
    for owner in 0..3 {
        let server = start(&[address], &settings(3)).expect("a server");
        client().send_to(&[b'x', owner, b'f'], address).expect("sent");
        wait_until("the end", || server.is_finished());
        let error = server.join().expect_err("a failure");
        assert_eq!(error.0, format!("shard {owner} ended: a failure on purpose"));
    }
}

#[test]
fn the_records_of_a_shards_calls_are_lost_with_it_and_counted() {
    let (address, post) = (free(), Arc::new(super::post::Post::default()));
    let server = Server::start_with(vec![address], &settings(1), post.clone(), |place, _| Echo::new(place))
        .expect("a server");
    let client = client();
    (0..3).for_each(|_| assert_eq!(ask(&client, address, b"call"), b"call"));
    client.send_to(b"x\0f", address).expect("sent");
    wait_until("the end", || server.is_finished());
    server.join().expect_err("a failure");
    assert_eq!(post.records.lost(), 3);
}
