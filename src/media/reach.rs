//! Where a party is: the place that its description names, and the host that its signalling comes from.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What a party described, seen from where its signalling comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub described: SocketAddr,
    /// The signalling's host, if the one described may be behind it: it is another, and the one described is
    /// not public. Servers often have media on another host than signalling, so two public addresses that
    /// differ show no NAT.
    pub beyond: Option<IpAddr>,
    /// Whether it is reached there until it has sent.
    is_beyond: bool,
}

impl Place {
    /// `host`: where its signalling comes from.
    pub fn new(described: SocketAddr, host: IpAddr) -> Place {
        let host = host.to_canonical();
        let [own, other] = [described.ip(), host].map(Kind::of);
        let is_other = host != described.ip() && host.is_ipv4() == described.is_ipv4();
        let beyond = (own != Kind::Public && is_other).then_some(host);
        Place { described, beyond, is_beyond: beyond.is_some() && own != other }
    }

    /// Where to send as long as nothing has come: where it wants that, unless that is another kind of address
    /// than its signalling's and can be reached only within.
    pub fn first(&self) -> SocketAddr {
        match self.beyond.filter(|_| self.is_beyond) {
            Some(host) => SocketAddr::new(host, self.described.port()),
            None => self.described,
        }
    }

    /// Whether a host's packets may be the party's.
    pub fn allows(&self, host: IpAddr) -> bool {
        host == self.described.ip() || self.beyond == Some(host)
    }
}

/// From where an address can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// This machine.
    Loopback,
    /// One link (RFC 3927, RFC 4291 §2.5.6).
    LinkLocal,
    /// One site (RFC 1918): 10/8, 172.16/12, 192.168/16. A site seldom has two of them without a NAT between.
    Ten,
    OneSevenTwo,
    OneNineTwo,
    /// 100.64/10, behind carriers' own NATs (RFC 6598).
    Shared,
    /// fc00::/7 (RFC 4193).
    UniqueLocal,
    Public,
}

impl Kind {
    fn of(address: IpAddr) -> Kind {
        match address {
            address if address.is_loopback() => Kind::Loopback,
            IpAddr::V4(address) => Kind::of_ipv4(address),
            IpAddr::V6(address) if address.is_unicast_link_local() => Kind::LinkLocal,
            IpAddr::V6(address) if address.is_unique_local() => Kind::UniqueLocal,
            IpAddr::V6(_) => Kind::Public,
        }
    }

    fn of_ipv4(address: Ipv4Addr) -> Kind {
        match address.octets() {
            [169, 254, ..] => Kind::LinkLocal,
            [10, ..] => Kind::Ten,
            [172, 16..=31, ..] => Kind::OneSevenTwo,
            [192, 168, ..] => Kind::OneNineTwo,
            [100, 64..=127, ..] => Kind::Shared,
            _ => Kind::Public,
        }
    }
}

/// IPv6 flow labels and zones do not matter.
#[inline]
pub fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port() && one.ip() == other.ip()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(described: &str, host: &str) -> Place {
        Place::new(described.parse().expect("a place"), host.parse().expect("a host"))
    }

    #[test]
    fn a_place_is_reached_at_the_signallings_host_if_it_is_of_another_kind_and_not_public() {
        for (described, host, first) in [
            ("192.168.1.5:4000", "10.0.0.7", "10.0.0.7:4000"),
            ("172.17.0.2:4000", "192.168.1.5", "192.168.1.5:4000"),
            ("172.17.0.2:4000", "172.31.0.5", "172.17.0.2:4000"),
            ("172.15.0.2:4000", "192.168.1.5", "172.15.0.2:4000"),
            ("10.0.0.7:4000", "10.0.0.1", "10.0.0.7:4000"),
            ("100.64.0.9:4000", "10.0.0.1", "10.0.0.1:4000"),
            ("100.127.0.9:4000", "100.64.0.1", "100.127.0.9:4000"),
            ("10.0.0.7:4000", "198.18.0.5", "198.18.0.5:4000"),
            ("10.0.0.7:4000", "::ffff:198.18.0.5", "198.18.0.5:4000"),
            ("127.0.0.1:4000", "10.0.0.1", "10.0.0.1:4000"),
            ("127.0.0.1:4000", "127.0.0.9", "127.0.0.1:4000"),
            ("169.254.1.1:4000", "10.0.0.1", "10.0.0.1:4000"),
            ("192.0.2.10:4000", "10.0.0.1", "192.0.2.10:4000"),
            ("192.0.2.10:4000", "198.18.0.5", "192.0.2.10:4000"),
            ("[fd00::1]:4000", "2001:db8::1", "[2001:db8::1]:4000"),
            ("[fe80::1]:4000", "fd00::2", "[fd00::2]:4000"),
            ("[fd00::1]:4000", "10.0.0.1", "[fd00::1]:4000"),
        ] {
            assert_eq!(place(described, host).first().to_string(), first, "{described} by {host}");
        }
    }

    #[test]
    fn the_signallings_host_is_allowed_where_the_one_described_is_not_public() {
        for (described, host, is_allowed) in [
            ("192.168.1.5:4000", "10.0.0.7", true),
            ("10.0.0.7:4000", "10.0.0.1", true),
            ("192.0.2.10:4000", "10.0.0.1", false),
            ("192.0.2.10:4000", "198.18.0.5", false),
            ("10.0.0.7:4000", "2001:db8::1", false),
        ] {
            let place = place(described, host);
            assert!(place.allows(described.parse::<SocketAddr>().expect("a place").ip()));
            assert_eq!(place.allows(host.parse().expect("a host")), is_allowed, "{described} by {host}");
        }
    }
}
