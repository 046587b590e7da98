//! A socket address in half the room that the standard library's takes.

use std::fmt;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

/// Where requests to a binding go. There is one for every phone that has registered, so what few of them
/// need, an IPv6 address, is kept aside.
#[derive(Clone, PartialEq, Eq)]
pub struct Destination(Family);

#[derive(Clone, PartialEq, Eq)]
enum Family {
    V4(SocketAddrV4),
    V6(Box<SocketAddrV6>),
}

const _: () = assert!(size_of::<Destination>() == 16);

impl Destination {
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        match &self.0 {
            Family::V4(address) => SocketAddr::V4(*address),
            Family::V6(address) => SocketAddr::V6(**address),
        }
    }
}

impl From<SocketAddr> for Destination {
    fn from(address: SocketAddr) -> Destination {
        Destination(match address {
            SocketAddr::V4(address) => Family::V4(address),
            SocketAddr::V6(address) => Family::V6(Box::new(address)),
        })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address().fmt(f)
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_comes_back_as_it_was() {
        let scoped = SocketAddr::V6(SocketAddrV6::new("fe80::1".parse().unwrap(), 5060, 7, 3));
        for address in ["192.0.2.1:5060".parse().unwrap(), "[2001:db8::1]:5070".parse().unwrap(), scoped] {
            let destination = Destination::from(address);
            assert_eq!((destination.address(), destination.to_string()), (address, address.to_string()));
        }
    }
}
