//! A number with several phones: what a registrar has bound, and calls that ring all of them.

use super::callee::Leg;
use super::caller::{Caller, Invite};
use super::peer::{A, B, Peer, Setup};
use super::{Lab, STARTED};
use ringway::clock::UnixSeconds;
use ringway::directory::{Binding, Entry, Extras};
use ringway::outbox::ListenerId;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// As many phones as a number can have.
pub const PHONES: usize = 16;

const NAMES: [&str; PHONES] =
    ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B9", "B10", "B11", "B12", "B13", "B14", "B15", "B16"];

/// Phones of B's number.
pub const B1: Peer = phone(1);
pub const B2: Peer = phone(2);
pub const B3: Peer = phone(3);

/// Phones of C's number.
pub const C1: Peer = Peer { name: "C1", number: "1005", address: at(151) };
pub const C2: Peer = Peer { name: "C2", number: "1005", address: at(152) };

/// B's phone with this number, from 1 to [`PHONES`].
pub const fn phone(number: usize) -> Peer {
    Peer { name: NAMES[number - 1], number: "1004", address: at(160 + number as u8) }
}

/// All phones of all groups.
pub fn all() -> impl Iterator<Item = Peer> {
    (1..=PHONES).map(phone).chain([C1, C2])
}

const fn at(host: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, host)), 5060)
}

/// What a phone binds to its number for an hour, with a q-value in thousandths.
pub fn binding(peer: Peer, q: u16) -> Binding {
    Binding {
        uri: format!("sip:{}@{};line={}", peer.number, peer.address, peer.name).into(),
        destination: peer.address.into(),
        listener: ListenerId(0),
        q,
        expires_at: UnixSeconds(STARTED.0 + 3_600),
        call_id: 1,
        cseq: 1,
        extras: None,
    }
}

/// The same behind proxies: the values of its Path header fields.
pub fn binding_with_path(peer: Peer, q: u16, path: &str) -> Binding {
    let extras = Extras { path: path.into(), ..Extras::default() };
    Binding { extras: Some(Box::new(extras)), ..binding(peer, q) }
}

impl Setup {
    /// A phone is bound to its number.
    pub fn bind(&mut self, peer: Peer, q: u16) {
        self.bind_as(peer, binding(peer, q));
    }

    /// The same with a binding of another make.
    pub fn bind_as(&mut self, peer: Peer, binding: Binding) {
        self.bindings.push((peer.number, binding));
    }

    /// The subscriber has no contact but its bindings.
    pub fn only_registers(&mut self, peer: Peer) {
        self.subscriber(peer).contact = None;
    }

    /// Subscribers with their bindings.
    pub fn entries(&self) -> Vec<Entry> {
        let with_bindings = |subscriber: &ringway::directory::Subscriber| {
            let mut entry = Entry::from(subscriber.clone());
            let own = self.bindings.iter().filter(|(number, _)| **number == *subscriber.number);
            entry.bindings = own.map(|(_, binding)| binding.clone()).collect();
            entry
        };
        self.subscribers.iter().map(with_bindings).collect()
    }
}

/// A laboratory where B is reached at phones with these q-values only.
pub fn lab(levels: &[u16]) -> Lab {
    lab_with(levels, |_| {})
}

/// The same with other settings.
pub fn lab_with(levels: &[u16], change: impl FnOnce(&mut Setup)) -> Lab {
    Lab::with(|setup| {
        setup.only_registers(B);
        for (number, &q) in levels.iter().enumerate() {
            setup.bind(phone(number + 1), q);
        }
        change(setup);
    })
}

/// A calls B: each of these phones gets an INVITE, in this order, and nobody else does.
#[track_caller]
pub fn call<const N: usize>(lab: &mut Lab, phones: [Peer; N]) -> (Caller, [Leg; N]) {
    call_with(lab, &[], phones)
}

/// The same with further lines in A's INVITE.
#[track_caller]
pub fn call_with<const N: usize>(lab: &mut Lab, lines: &[&str], phones: [Peer; N]) -> (Caller, [Leg; N]) {
    let mut invite = Invite::new(lab, A, B.number);
    invite.lines = lines.iter().map(|line| line.to_string()).collect();
    let caller = invite.send(lab);
    lab.expect(A, "100 INVITE");
    (caller, started(lab, phones))
}

/// Each of these phones gets an INVITE, and nothing else is sent.
#[track_caller]
pub fn started<const N: usize>(lab: &mut Lab, phones: [Peer; N]) -> [Leg; N] {
    let legs = phones.map(|peer| Leg::expect(lab, peer));
    lab.expect_nothing();
    legs
}

/// Two phones of B's ring; A has heard of it.
#[track_caller]
pub fn two_ring(lab: &mut Lab) -> (Caller, [Leg; 2]) {
    let (caller, legs) = call(lab, [B1, B2]);
    all_ring(lab, &legs);
    (caller, legs)
}

/// All of them ring; A gets one 180.
#[track_caller]
pub fn all_ring(lab: &mut Lab, legs: &[Leg]) {
    for leg in legs {
        leg.ring(lab);
    }
    lab.expect(A, "180 INVITE");
    lab.expect_nothing();
}
