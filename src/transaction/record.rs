//! A transaction's record: small, because millions of them linger.

use super::{Exchange, ServerKey, User, invite_client, invite_server, non_invite_client, non_invite_server};
use crate::clock::Deadline;
use crate::keep::Kept;
use crate::outbox::ListenerId;
use crate::slab::Handle;
use crate::timer::TimerHandle;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// A peer's address in 18 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    ip: [u8; 16],
    port: u16,
}

/// Machine and state together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Machine {
    InviteClient(invite_client::State),
    InviteServer(invite_server::State),
    NonInviteClient(non_invite_client::State),
    NonInviteServer(non_invite_server::State),
}

impl Machine {
    /// Whether the peer has yet to confirm what we sent last.
    pub fn is_unconfirmed(self) -> bool {
        use {invite_server as is, non_invite_client as nc};
        matches!(
            self,
            Machine::InviteServer(is::State::Completed)
                | Machine::NonInviteClient(nc::State::Trying | nc::State::Proceeding)
        )
    }
}

/// What only one side of the machines needs.
#[derive(Debug)]
pub(super) enum Side {
    Client {
        exchange: Exchange,
        /// The CANCEL of this INVITE: its responses carry this transaction's branch (RFC 3261 §9.1).
        cancel: Option<Handle>,
        /// Hash of the To tag of the 2xx that was taken; 0: none yet.
        winner: u32,
        /// The request's CSeq number: what a response must repeat.
        cseq: u32,
        /// Where the INVITE's To line ends: its CANCEL copies everything before.
        to_end: u16,
        /// The ACK to the 2xx was sent.
        acknowledged: bool,
        /// How many requests followed the INVITE in its early dialogs, once its user has gone.
        followed: u8,
    },
    Server {
        key: ServerKey,
        next: u32,
        /// What was answered, if that is enough to answer again; 0: see `kept`.
        status: u16,
    },
}

#[derive(Debug)]
pub(super) struct Record {
    pub machine: Machine,
    pub listener: ListenerId,
    /// Retransmissions so far: the interval is made of it.
    pub attempt: u8,
    pub peer: Peer,
    pub user: User,
    pub timer: TimerHandle,
    /// A request until its final response, a response as long as it may be repeated; after a failure, the
    /// INVITE's Request-URI, which is all of it that the ACK needs; after a late offer the ACK.
    pub kept: Kept,
    /// When Timer B, F or H runs out.
    pub give_up: Deadline,
    pub side: Side,
}

const _: () = assert!(std::mem::size_of::<Record>() <= 96);

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Peer {
        let ip = match address.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        Peer { ip: ip.octets(), port: address.port() }
    }
}

impl From<Peer> for SocketAddr {
    fn from(peer: Peer) -> SocketAddr {
        let v6 = Ipv6Addr::from(peer.ip);
        let ip = v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4);
        SocketAddr::new(ip, peer.port)
    }
}
