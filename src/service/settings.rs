//! What the operator sets of forwarding, checked by `config`.

use super::codes;
use crate::auth::Network;
use crate::directory::HistoryForm;
use crate::settings::Listener;
use crate::sip::Uri;
use std::net::{IpAddr, SocketAddr};

/// How calls are forwarded.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where numbers that are not ours are reached, the longest prefix first.
    pub routes: Vec<Route>,
    /// What other servers and carriers want to be told.
    pub peers: Vec<Peer>,
    /// What those are told that no peer and no subscriber's setting speaks for.
    pub history: HistoryForm,
    /// How a number's beginning is written where others read it, the longest first.
    pub number_rules: Vec<NumberRule>,
    /// Hosts and ports that are the server itself: the user of a URI there is a number.
    pub own_hosts: Vec<(Box<str>, u16)>,
    /// Numbers that no call is forwarded to.
    pub emergency: Vec<Box<str>>,
    /// A callee's 302 forwards the call; else the caller gets it.
    pub deflection: bool,
    /// What phones dial to set forwarding; `None`: nothing.
    pub codes: Option<codes::Table>,
}

/// A way to numbers beyond ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Empty: every number.
    pub prefix: Box<str>,
    /// What stands behind the number's `@` in the Request-URI: host, port, parameters.
    pub host: Box<str>,
    pub destination: SocketAddr,
}

/// Another server, known by its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub network: Network,
    /// `None`: as [`Settings::history`].
    pub history: Option<HistoryForm>,
    pub identity: AssertedParty,
}

/// Whose identity is asserted on a leg to a forwarding target (RFC 3325 §9.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AssertedParty {
    /// The caller's, to trusted peers.
    #[default]
    Caller,
    /// That of the last number that forwarded the call: a carrier then finds a customer of its own.
    Diverting,
}

/// A number that begins so is written so instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberRule {
    pub prefix: Box<str>,
    pub replacement: Box<str>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            routes: Vec::new(),
            peers: Vec::new(),
            history: HistoryForm::Both,
            number_rules: Vec::new(),
            own_hosts: Vec::new(),
            emergency: EMERGENCY.map(Box::from).into(),
            deflection: true,
            codes: Some(codes::Table::default()),
        }
    }
}

/// The port of a URI that names none (RFC 3261 §19.1.2).
pub const SIP_PORT: u16 = 5060;

/// Those that every mobile phone knows (3GPP TS 22.101 §10.1.1).
pub const EMERGENCY: [&str; 2] = ["112", "911"];

impl Settings {
    /// What is the server itself by its listeners: their addresses, and what they are advertised as.
    #[must_use]
    pub fn own_hosts(listeners: &[Listener]) -> Vec<(Box<str>, u16)> {
        let host_of = |text: &str| {
            let uri = format!("sip:{text}");
            let uri = Uri::parse(uri.as_bytes()).ok()?;
            Some((String::from_utf8_lossy(uri.host).into(), uri.port.unwrap_or(SIP_PORT)))
        };
        let names = listeners.iter().map(|listener| (listener.address.to_string(), &listener.sent_by));
        let mut hosts: Vec<_> =
            names.flat_map(|(address, sent_by)| [host_of(&address), host_of(sent_by)]).flatten().collect();
        hosts.dedup();
        hosts
    }

    /// What is known of the peer at an address: the narrowest network that it is in.
    #[must_use]
    pub fn peer(&self, ip: IpAddr) -> Option<&Peer> {
        let known = self.peers.iter().filter(|peer| peer.network.contains(ip));
        known.max_by_key(|peer| peer.network.prefix())
    }

    /// The way to a number that is not ours.
    #[must_use]
    pub fn route(&self, number: &[u8]) -> Option<&Route> {
        self.routes.iter().find(|route| number.starts_with(route.prefix.as_bytes()))
    }

    /// A number as others read it, in `room` where a rule changes it. One that would not fit stays.
    #[must_use]
    pub fn normalized<'n>(&self, number: &'n [u8], room: &'n mut [u8]) -> &'n [u8] {
        let is_of = |rule: &&NumberRule| number.starts_with(rule.prefix.as_bytes());
        let Some(rule) = self.number_rules.iter().find(is_of) else { return number };
        let (head, tail) = (rule.replacement.as_bytes(), &number[rule.prefix.len()..]);
        let Some(room) = room.get_mut(..head.len() + tail.len()) else { return number };
        room[..head.len()].copy_from_slice(head);
        room[head.len()..].copy_from_slice(tail);
        room
    }
}
