//! Batches of datagrams over loopback sockets: all sizes, order, truncation, full slots, waking.

#![cfg(feature = "server")]

use proptest::prelude::*;
use ringway::limits::{DATAGRAM_BYTES_MAX, SCAN_PADDING};
use ringway::net::udp::{self, ReceiveBatch, SendBatch, Sent};
use ringway::outbox::{ListenerId, Outbox};
use socket2::Socket;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};

/// Nothing on loopback takes this long, in milliseconds.
const PATIENCE_MS: i32 = 10_000;

const LOCALHOST: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn socket() -> (Socket, SocketAddr) {
    let socket = udp::bind_shared(LOCALHOST, 4 << 20, 4 << 20).expect("a socket");
    let address = udp::local_address(&socket).expect("its address");
    (socket, address)
}

/// Whether the socket is readable before the time is over.
fn is_readable(socket: &Socket, timeout_ms: i32) -> bool {
    let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one `pollfd`, which lives during the call.
    unsafe { libc::poll(&raw mut poll, 1, timeout_ms) == 1 }
}

/// Receives until `count` datagrams have come.
fn receive(batch: &mut ReceiveBatch, socket: &Socket, count: usize) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut received = Vec::new();
    while received.len() < count {
        assert!(is_readable(socket, PATIENCE_MS), "{} of {count} came", received.len());
        for index in 0..batch.receive(socket.as_fd()).expect("a batch") {
            let datagram = batch.datagram(index).expect("a whole datagram");
            assert_eq!(datagram.buffer.len(), datagram.length + SCAN_PADDING);
            assert!(datagram.buffer[datagram.length..].iter().all(|&byte| byte == 0), "padding is zero");
            received.push((datagram.source, datagram.buffer[..datagram.length].to_vec()));
        }
    }
    received
}

fn payload(length: usize, salt: usize) -> Vec<u8> {
    // Never zero, so that what an earlier datagram left behind a shorter one shows.
    (0..length).map(|index| ((index * 31 + salt) % 255) as u8 + 1).collect()
}

fn filled(outbox: &mut Outbox, destination: SocketAddr, payloads: &[Vec<u8>]) -> Vec<u16> {
    outbox.clear();
    for payload in payloads {
        outbox.send(ListenerId(0), destination, |arena| arena.extend_from_slice(payload)).expect("it fits");
    }
    (0..payloads.len() as u16).collect()
}

#[test]
fn datagrams_of_all_sizes_arrive_whole_and_in_order() {
    let ((sender, from), (receiver, to)) = (socket(), socket());
    let (mut send, mut batch, mut outbox) = (SendBatch::new(8), ReceiveBatch::new(8).unwrap(), Outbox::new());
    let sizes: Vec<usize> = (0..=300).chain((300..DATAGRAM_BYTES_MAX).step_by(997)).collect();
    // Long before short, so that each slot holds an earlier, longer one.
    let sizes: Vec<usize> = [DATAGRAM_BYTES_MAX].into_iter().chain(sizes.into_iter().rev()).collect();
    for sizes in sizes.chunks(7) {
        let payloads: Vec<Vec<u8>> = sizes.iter().map(|&size| payload(size, size)).collect();
        let picked = filled(&mut outbox, to, &payloads);
        let sent = send.send(sender.as_fd(), &outbox, &picked);
        assert_eq!(sent, Sent { done: sizes.len(), refused: 0 });
        let received = receive(&mut batch, &receiver, sizes.len());
        assert!(received.iter().all(|(source, _)| *source == from));
        assert!(received.into_iter().map(|(_, bytes)| bytes).eq(payloads));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_mix_of_sizes_and_batches_keeps_order(
        sizes in proptest::collection::vec(prop_oneof![0usize..200, 400usize..1500, 0usize..20_000], 1..100),
        send_capacity in 1usize..80,
        receive_capacity in 1usize..80,
    ) {
        let ((sender, _), (receiver, to)) = (socket(), socket());
        let mut send = SendBatch::new(send_capacity);
        let mut batch = ReceiveBatch::new(receive_capacity).unwrap();
        let sizes = sizes.iter().enumerate();
        let payloads: Vec<Vec<u8>> = sizes.map(|(salt, &size)| payload(size, salt)).collect();
        let mut outbox = Outbox::new();
        for payloads in payloads.chunks(20) {
            let picked = filled(&mut outbox, to, payloads);
            prop_assert_eq!(send.send(sender.as_fd(), &outbox, &picked).done, payloads.len());
            let received = receive(&mut batch, &receiver, payloads.len());
            prop_assert!(received.into_iter().map(|(_, bytes)| bytes).eq(payloads.iter().cloned()));
        }
    }
}

#[test]
fn picked_datagrams_leave_in_the_picked_order() {
    let ((sender, _), (receiver, to)) = (socket(), socket());
    let mut outbox = Outbox::new();
    let payloads: Vec<Vec<u8>> = (0..10).map(|byte| vec![byte]).collect();
    filled(&mut outbox, to, &payloads);
    SendBatch::new(3).send(sender.as_fd(), &outbox, &[9, 0, 4, 5, 1]);
    let received = receive(&mut ReceiveBatch::new(64).unwrap(), &receiver, 5);
    let bytes: Vec<u8> = received.into_iter().map(|(_, bytes)| bytes[0]).collect();
    assert_eq!(bytes, [9, 0, 4, 5, 1]);
}

#[test]
fn an_empty_socket_gives_nothing() {
    assert_eq!(ReceiveBatch::new(4).unwrap().receive(socket().0.as_fd()).unwrap(), 0);
}

#[test]
fn a_datagram_that_the_kernel_refuses_does_not_hold_up_the_others() {
    let ((sender, _), (receiver, to)) = (socket(), socket());
    let mut outbox = Outbox::new();
    let broadcast = SocketAddr::from(([255, 255, 255, 255], 9));
    for destination in [broadcast, to, broadcast, broadcast, to] {
        outbox.send(ListenerId(0), destination, |arena| arena.push(b'!'));
    }
    let sent = SendBatch::new(64).send(sender.as_fd(), &outbox, &[0, 1, 2, 3, 4]);
    assert_eq!(sent, Sent { done: 5, refused: 3 }, "broadcast needs SO_BROADCAST");
    receive(&mut ReceiveBatch::new(64).unwrap(), &receiver, 2);
}

#[test]
fn nobody_listening_disturbs_neither_sending_nor_receiving() {
    let (sender, from) = socket();
    let nobody = udp::free_address(Ipv4Addr::LOCALHOST.into()).unwrap();
    let mut outbox = Outbox::new();
    let picked = filled(&mut outbox, nobody, &vec![vec![1]; 10]);
    for _ in 0..3 {
        assert_eq!(SendBatch::new(64).send(sender.as_fd(), &outbox, &picked), Sent { done: 10, refused: 0 });
    }
    UdpSocket::bind(LOCALHOST).unwrap().send_to(b"after", from).unwrap();
    assert_eq!(receive(&mut ReceiveBatch::new(4).unwrap(), &sender, 1)[0].1, b"after");
}

#[test]
fn a_longer_datagram_than_ipv4_allows_is_refused_whole() {
    let loopback = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    let Ok(receiver) = udp::bind_shared(loopback, 4 << 20, 4 << 20) else {
        return; // A machine without IPv6 cannot receive such a datagram.
    };
    let to = udp::local_address(&receiver).unwrap();
    let sender = UdpSocket::bind(loopback).unwrap();
    for length in [DATAGRAM_BYTES_MAX, DATAGRAM_BYTES_MAX + 1, DATAGRAM_BYTES_MAX + 20, 5] {
        sender.send_to(&payload(length, 0), to).unwrap();
    }
    let mut batch = ReceiveBatch::new(4).unwrap();
    assert!(is_readable(&receiver, PATIENCE_MS));
    assert_eq!(batch.receive(receiver.as_fd()).unwrap(), 4);
    let mut length = |index| batch.datagram(index).map(|datagram| (datagram.source, datagram.length));
    let from = sender.local_addr().unwrap();
    assert_eq!(length(0), Some((from, DATAGRAM_BYTES_MAX)));
    assert_eq!(length(1), None);
    assert_eq!(length(2), None);
    assert_eq!(length(3), Some((from, 5)));
}

#[test]
fn what_a_full_receive_buffer_drops_is_counted() {
    let receiver = udp::bind_shared(LOCALHOST, 4096, 4096).unwrap();
    let to = udp::local_address(&receiver).unwrap();
    let sender = UdpSocket::bind(LOCALHOST).unwrap();
    assert_eq!(udp::kernel_drops(receiver.as_fd()), 0);
    for _ in 0..100 {
        sender.send_to(&[7; 1000], to).unwrap();
    }
    let kept = ReceiveBatch::new(128).unwrap().receive(receiver.as_fd()).unwrap();
    assert!(kept < 100);
    assert_eq!(udp::kernel_drops(receiver.as_fd()), 100 - kept as u64);
}

#[test]
fn a_socket_is_woken_though_it_shares_its_port() {
    let first = udp::bind_shared(LOCALHOST, 65_536, 65_536).unwrap();
    let address = udp::local_address(&first).unwrap();
    let mut sockets = vec![first];
    sockets.extend((0..7).map(|_| udp::bind_shared(address, 65_536, 65_536).unwrap()));
    for woken in 0..sockets.len() {
        udp::wake(&sockets[woken]).unwrap();
        assert!(is_readable(&sockets[woken], PATIENCE_MS));
        for other in &sockets[woken + 1..] {
            assert!(!is_readable(other, 0), "another was woken");
        }
    }
}

#[test]
fn a_socket_on_every_address_is_woken() {
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let socket = udp::bind_shared(any, 65_536, 65_536).unwrap();
    udp::wake(&socket).unwrap();
    assert!(is_readable(&socket, PATIENCE_MS));
}

#[test]
fn an_address_that_shards_share_is_taken_for_all_others() {
    let (_socket, address) = socket();
    assert!(udp::bind_shared(address, 65_536, 65_536).is_ok(), "a sibling shares it");
    let error = udp::bind_alone(address).expect_err("taken");
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}
