//! Where calls are forwarded to: numbers of ours, numbers beyond a route, addresses.

use super::codes::is_code;
use super::settings::{Route, SIP_PORT, Settings};
use crate::directory::{Entry, View};
use crate::limits::NUMBER_BYTES_MAX;
use crate::sip::Uri;
use crate::sip::uri::Scheme;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// What a target's text names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'t> {
    /// A number, its escapes decoded and without what only people need to read it.
    Number(&'t [u8]),
    /// A sip URI.
    Uri { text: &'t [u8], uri: Uri<'t> },
}

/// A target beyond our numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outside {
    /// What stands for it in the chain of those that were tried: the number, or the URI.
    pub name: Box<str>,
    /// The Request-URI.
    pub uri: Box<str>,
    pub destination: SocketAddr,
}

/// Why a text is no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoTarget {
    Empty,
    TooLong,
    /// Neither a number nor a sip or tel URI.
    Malformed,
    /// A sips URI, or another transport than UDP.
    Transport,
    /// A sip URI with something that belongs to one call: header fields, a method.
    Headers,
    /// A sip URI whose host is a name.
    HostName,
    /// A sip URI of nobody: no user, or an address that nobody is reached at.
    Nobody,
}

impl fmt::Display for NoTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoTarget::Empty => "it is empty",
            NoTarget::TooLong => "it is too long",
            NoTarget::Malformed => "not a number, a sip URI or a tel URI",
            NoTarget::Transport => "only sip URIs over UDP can be called",
            NoTarget::Headers => "a URI with header fields or a method is no target",
            NoTarget::HostName => "the host is not an IP address, and names are not looked up",
            NoTarget::Nobody => "nobody is reached at that URI",
        })
    }
}

/// A target's URI: 512 bytes hold a number, a host and a handful of parameters.
pub const TARGET_BYTES_MAX: usize = 512;

impl Settings {
    /// Reads a target as it was set, or the URI of a 302's Contact. `room` takes a number that has to be
    /// written anew.
    ///
    /// # Errors
    /// It is none.
    pub fn target<'t>(
        &self,
        text: &'t [u8],
        room: &'t mut [u8; NUMBER_BYTES_MAX],
    ) -> Result<Target<'t>, NoTarget> {
        match text {
            [] => return Err(NoTarget::Empty),
            text if text.len() > TARGET_BYTES_MAX => return Err(NoTarget::TooLong),
            text if !text.contains(&b':') => return number(text, text[0] == b'+', room),
            _ => {}
        }
        let uri = Uri::parse(text).map_err(|_| NoTarget::Malformed)?;
        match uri.scheme {
            Scheme::Other => Err(NoTarget::Malformed),
            Scheme::Sips => Err(NoTarget::Transport),
            Scheme::Tel => number(uri.user, true, room),
            Scheme::Sip if !uri.headers.is_empty() || uri.param("method").is_some() => Err(NoTarget::Headers),
            Scheme::Sip if uri.param("transport").is_some_and(|name| !name.eq_ignore_ascii_case(b"udp")) => {
                Err(NoTarget::Transport)
            }
            Scheme::Sip if uri.user.is_empty() => Err(NoTarget::Nobody),
            Scheme::Sip if self.is_own_host(&uri) => number(uri.user, false, room),
            Scheme::Sip => match address_of(&uri) {
                None => Err(NoTarget::HostName),
                Some(address) if address.port() == 0 || !self.is_somebody(address.ip()) => {
                    Err(NoTarget::Nobody)
                }
                Some(_) => Ok(Target::Uri { text, uri }),
            },
        }
    }

    /// Whether a number is one that no call is forwarded to. A URI is checked by its user: a gateway would
    /// not look at the host either, nor at what only people need to read a number, nor at its parameters.
    #[must_use]
    pub fn is_emergency(&self, target: Target<'_>) -> bool {
        let mut room = [0; NUMBER_BYTES_MAX];
        let number = match target {
            Target::Number(number) => number,
            Target::Uri { uri, .. } => Uri::decoded_user(uri.user, &mut room).unwrap_or_default(),
        };
        let mut digits = [0; NUMBER_BYTES_MAX];
        let is = |number: &[u8]| {
            let mut digits = [0; NUMBER_BYTES_MAX];
            let dialled = dialled(number, &mut digits);
            self.emergency.iter().any(|emergency| [number, dialled].contains(&emergency.as_bytes()))
        };
        [number, dialled(number, &mut digits)]
            .into_iter()
            .any(|number| is(number) || is(self.normalized(number, &mut [0; NUMBER_BYTES_MAX])))
    }

    /// The subscriber with a number, or with what the rules make of it.
    #[must_use]
    pub fn find<'d>(&self, view: &'d View<'_>, number: &[u8]) -> Option<&'d Entry> {
        let written_anew = || view.get(self.normalized(number, &mut [0; NUMBER_BYTES_MAX]));
        view.get(number).or_else(written_anew)
    }

    /// The way to a target that is none of our numbers; `None`: there is none.
    #[must_use]
    pub fn outside(&self, target: Target<'_>) -> Option<Outside> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned().into_boxed_str();
        match target {
            Target::Number(number) => {
                let mut room = [0; NUMBER_BYTES_MAX];
                let number = self.normalized(number, &mut room);
                let route = self.route(number).filter(|route| is_routed(number, route))?;
                let mut uri = b"sip:".to_vec();
                write_number(&mut uri, number);
                let uri = format!("{}@{}", String::from_utf8_lossy(&uri), route.host).into();
                Some(Outside { name: text(number), uri, destination: route.destination })
            }
            Target::Uri { text: uri, uri: parts } => {
                Some(Outside { name: text(uri), uri: text(uri), destination: address_of(&parts)? })
            }
        }
    }

    /// Whether a target is what the chain of those that were tried has by this name.
    #[must_use]
    pub fn is_same(&self, target: Target<'_>, name: &[u8]) -> bool {
        match target {
            Target::Uri { text, .. } if text == name => true,
            Target::Uri { uri, .. } => is_same_place(name, &uri),
            Target::Number(number) if number == name => true,
            Target::Number(number) => {
                let (mut room, mut other) = ([0; NUMBER_BYTES_MAX], [0; NUMBER_BYTES_MAX]);
                !self.number_rules.is_empty()
                    && self.normalized(number, &mut room) == self.normalized(name, &mut other)
            }
        }
    }

    /// Whether a target is the URI at which a number that is none of ours was called.
    #[must_use]
    pub fn is_route_of(&self, target: Target<'_>, number: &[u8]) -> bool {
        let Target::Uri { uri, .. } = target else { return false };
        let (mut room, mut other) = ([0; NUMBER_BYTES_MAX], [0; NUMBER_BYTES_MAX]);
        let number = self.normalized(number, &mut room);
        let is_there = |route: &Route| address_of(&uri) == Some(route.destination);
        self.route(number).is_some_and(is_there) && Uri::decoded_user(uri.user, &mut other) == Some(number)
    }

    /// Whether one host may be reached at an address. On our own machine nobody is, unless we are reached
    /// there ourselves.
    fn is_somebody(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let is_many = match ip {
            IpAddr::V4(ip) => ip.is_broadcast() || ip.octets()[0] == 0,
            IpAddr::V6(ip) => ip.is_unspecified(),
        };
        let is_own_machine = |(host, _): &(Box<str>, u16)| {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
        };
        !is_many && !ip.is_multicast() && (!ip.is_loopback() || self.own_hosts.iter().any(is_own_machine))
    }

    /// Whether a URI's host is one of the server's own.
    fn is_own_host(&self, uri: &Uri<'_>) -> bool {
        let is = |(host, port): &(Box<str>, u16)| {
            host.as_bytes().eq_ignore_ascii_case(uri.host) && uri.port.unwrap_or(SIP_PORT) == *port
        };
        self.own_hosts.iter().any(is)
    }
}

/// A number: the characters of a user part, without escapes; of a telephone number also without what only
/// people need to read it (RFC 3966 §3: visual separators).
fn number<'t>(
    text: &[u8],
    is_telephone: bool,
    room: &'t mut [u8; NUMBER_BYTES_MAX],
) -> Result<Target<'t>, NoTarget> {
    let mut length = 0;
    let mut rest = text;
    while let Some((byte, behind)) = Uri::first_byte(rest) {
        rest = behind;
        let is_user = byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/%#".contains(&byte);
        if !is_user {
            return Err(NoTarget::Malformed);
        }
        if is_telephone && b"-.()".contains(&byte) {
            continue;
        }
        *room.get_mut(length).ok_or(NoTarget::TooLong)? = byte;
        length += 1;
    }
    match &room[..length] {
        [] => Err(NoTarget::Empty),
        number => Ok(Target::Number(number)),
    }
}

/// What is left of a number for a gateway that dials it: no parameters (RFC 3261 §19.1.6), no visual
/// separators (RFC 3966 §3), no `#` at its end.
fn dialled<'n>(number: &[u8], room: &'n mut [u8; NUMBER_BYTES_MAX]) -> &'n [u8] {
    let end = memchr::memchr(b';', number).unwrap_or(number.len());
    let digits = number[..end].iter().filter(|byte| !b"-.()".contains(byte));
    let mut length = 0;
    for (&digit, place) in digits.zip(room.iter_mut()) {
        *place = digit;
        length += 1;
    }
    while length > 0 && room[length - 1] == b'#' {
        length -= 1;
    }
    &room[..length]
}

/// Whether a number may go to others by a route: no parameters, by which its gateway could be told to take
/// another carrier, and no feature code, which would change what is set for us there. Codes have to be routed
/// by name.
fn is_routed(number: &[u8], route: &Route) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-._()*#".contains(byte);
    number.iter().all(is_digit) && (!is_code(number) || is_code(route.prefix.as_bytes()))
}

/// Writes a number as a user part (RFC 3261 §25.1): `#` and `%` have to be escaped.
pub fn write_number(out: &mut Vec<u8>, number: &[u8]) {
    for &byte in number {
        match byte {
            b'#' => out.extend_from_slice(b"%23"),
            b'%' => out.extend_from_slice(b"%25"),
            byte => out.push(byte),
        }
    }
}

/// Whether the chain has this URI by this name, parameters aside.
fn is_same_place(name: &[u8], uri: &Uri<'_>) -> bool {
    let (mut room, mut other) = ([0; NUMBER_BYTES_MAX], [0; NUMBER_BYTES_MAX]);
    let Some(known) = Uri::parse(name).ok().filter(|known| known.scheme == Scheme::Sip) else { return false };
    address_of(&known) == address_of(uri)
        && Uri::decoded_user(known.user, &mut room) == Uri::decoded_user(uri.user, &mut other)
}

/// Where a URI is reached.
pub(super) fn address_of(uri: &Uri<'_>) -> Option<SocketAddr> {
    Some(SocketAddr::new(uri.ip()?, uri.port.unwrap_or(SIP_PORT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_emergency(settings: &Settings, text: &str) -> bool {
        let mut room = [0; NUMBER_BYTES_MAX];
        settings.is_emergency(settings.target(text.as_bytes(), &mut room).expect("a target"))
    }

    #[test]
    fn an_emergency_number_is_one_however_it_is_written() {
        let rule = |prefix: &str| super::super::NumberRule { prefix: prefix.into(), replacement: "".into() };
        let settings = Settings { number_rules: vec![rule("9"), rule("8-")], ..Settings::default() };
        for text in [
            "112",
            "1-1-2",
            "(1)1.2",
            "112#",
            "1-1-2##",
            "112;phone-context=+49",
            "9112",
            "9-1-1-2",
            "8-112",
            "tel:1-12",
            "sip:112@192.0.2.1",
            "sip:%31-12;phone-context=+49@192.0.2.1",
            "sip:112%23@192.0.2.1:5070;user=phone",
        ] {
            assert!(is_emergency(&settings, text), "{text}");
        }
        for text in
            ["1112", "+112", "1120", "112*1", "1_1_2", "#112", "sip:x@112.0.2.1", "sip:;112@192.0.2.1"]
        {
            assert!(!is_emergency(&settings, text), "{text}");
        }
        let odd = Settings { emergency: vec!["1-1-0".into()], ..Settings::default() };
        assert!(is_emergency(&odd, "1-1-0") && !is_emergency(&odd, "112"));
    }

    #[test]
    fn one_host_is_reached_at_a_target_and_not_ourselves_unless_we_are() {
        let target = |settings: &Settings, host: &str| {
            let uri = format!("sip:x@{host}");
            settings.target(uri.as_bytes(), &mut [0; NUMBER_BYTES_MAX]).map(|_| ())
        };
        let own = |host: &str| Settings { own_hosts: vec![(host.into(), 5080)], ..Settings::default() };
        let outside = own("192.0.2.1");
        for host in
            ["192.0.2.1", "10.0.0.5:53", "[2001:db8::1]", "[::ffff:192.0.2.1]", "169.254.1.1", "[fe80::1]"]
        {
            assert_eq!(target(&outside, host), Ok(()), "{host}");
        }
        let nobody = Err(NoTarget::Nobody);
        for host in [
            "0.0.0.0",
            "0.1.2.3",
            "[::]",
            "224.0.0.1",
            "239.255.255.255:5060",
            "255.255.255.255",
            "[ff02::1]",
            "[::ffff:224.0.0.1]",
            "192.0.2.2:0",
        ] {
            assert_eq!(target(&outside, host), nobody, "{host}");
            assert_eq!(target(&own("127.0.0.1"), host), nobody, "{host}");
        }
        for host in ["127.0.0.1", "127.1.2.3:5070", "[::1]", "[::ffff:127.0.0.1]"] {
            assert_eq!(target(&outside, host), nobody, "{host}");
            for listener in ["127.0.0.2", "[::1]"] {
                assert_eq!(target(&own(listener), host), Ok(()), "{host} {listener}");
            }
        }
    }
}
