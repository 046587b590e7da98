//! Networks whose peers are trusted by their address.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Addresses that share their first bits: `192.0.2.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// How many first bits its addresses share.
    #[must_use]
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether an address is in it. An IPv4 address that is written as an IPv6 one (RFC 4291 §2.5.5.2) is the
    /// IPv4 address.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let host_bits = |bits: u32| bits - u32::from(self.prefix);
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(ip)) => {
                let differing = network.to_bits() ^ ip.to_bits();
                differing.checked_shr(host_bits(32)).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(ip)) => {
                let differing = network.to_bits() ^ ip.to_bits();
                differing.checked_shr(host_bits(128)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = &'static str;

    /// `ADDRESS` or `ADDRESS/PREFIX`, IPv6 without brackets; bits behind the prefix are zeros.
    fn from_str(text: &str) -> Result<Network, &'static str> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| "not an IP address")?;
        let bits: u8 = if address.is_ipv4() { 32 } else { 128 };
        let is_number = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = match prefix {
            None => bits,
            Some(text) => {
                let number = Some(text).filter(is_number).and_then(|text| text.parse().ok());
                number.filter(|number| *number <= bits).ok_or(match bits {
                    32 => "the prefix is not a number from 0 to 32",
                    _ => "the prefix is not a number from 0 to 128",
                })?
            }
        };
        let is_clean = match address {
            IpAddr::V4(ip) => ip.to_bits().checked_shl(prefix.into()).unwrap_or(0) == 0,
            IpAddr::V6(ip) => ip.to_bits().checked_shl(prefix.into()).unwrap_or(0) == 0,
        };
        match is_clean {
            true => Ok(Network { address, prefix }),
            false => Err("the address has bits behind the prefix; set them to zero"),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_the_addresses_that_share_its_prefix() {
        for (network, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.0/24", "::ffff:192.0.2.1", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1", "::1", "::2"),
            ("0.0.0.0/0", "255.1.2.3", "::1"),
            ("::/0", "2001:db8::1", "192.0.2.1"),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert!(parsed.contains(inside.parse().unwrap()), "{inside} in {network}");
            assert!(!parsed.contains(outside.parse().unwrap()), "{outside} in {network}");
            assert_eq!(parsed.to_string().parse(), Ok(parsed));
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in [
            "",
            "host",
            "192.0.2.0/33",
            "192.0.2.0/",
            "192.0.2.0/+8",
            "192.0.2.0/-1",
            "192.0.2.1/24",
            "2001:db8::/129",
            "[::1]",
            "::1/64",
            "192.0.2.0/0",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
