//! One Contact of a REGISTER: its URI, how long it is bound, where requests to it are sent.

use super::refused::Refused;
use crate::clock::UnixSeconds;
use crate::directory::{Binding, Extras, Q_MAX};
use crate::limits;
use crate::outbox::ListenerId;
use crate::settings::{Listener, Registration, Settings};
use crate::sip::number::{leading_number, q_value};
use crate::sip::uri::Scheme;
use crate::sip::{NameAddr, Uri, count_params};
use std::net::{IpAddr, SocketAddr};

/// RFC 3261 §10.2.1.1: what a malformed time counts as, in seconds.
const MALFORMED_EXPIRES_S: u32 = 3_600;

/// What all Contacts of a REGISTER have in common.
pub(super) struct Common<'m> {
    pub source: SocketAddr,
    pub listener: ListenerId,
    /// The topmost Via names another address than the one that the REGISTER came from.
    pub is_behind_nat: bool,
    /// The Expires header field.
    pub expires: Option<&'m [u8]>,
    /// See [`Extras::path`].
    pub path: Box<str>,
    /// Where the first Path leads.
    pub path_destination: Option<SocketAddr>,
    /// RFC 5626 §6: otherwise `reg-id` is ignored.
    pub keeps_flows: bool,
    pub call_id: u64,
    pub cseq: u32,
    pub now: UnixSeconds,
}

/// Reads a Contact as the binding that it asks for; one to remove has expired for ever.
pub(super) fn binding(settings: &Settings, common: &Common<'_>, contact: &[u8]) -> Result<Binding, Refused> {
    let address = NameAddr::parse(contact).map_err(|_| Refused::bad("Malformed Contact"))?;
    let uri = checked_uri(address.uri)?;
    // Checked: a URI within ASCII.
    let text = std::str::from_utf8(address.uri).map_err(|_| Refused::bad("Bad Contact"))?;
    let (instance, reg_id) = instance(common, &address)?;
    let destination = destination(common, &uri, reg_id > 0);
    if settings.listeners.iter().any(|listener| is_ours(listener, &uri, destination)) {
        return Err(Refused::forbidden("Contact Is This Server"));
    }
    let expires = address.param("expires").or(common.expires);
    let lifetime_s = lifetime_s(&settings.registration, expires)?;
    let expires_at = match lifetime_s {
        0 => UnixSeconds(0),
        lifetime_s => UnixSeconds(common.now.0 + u64::from(lifetime_s)),
    };
    let has_extras = !common.path.is_empty() || !instance.is_empty();
    let extras = Extras { path: common.path.clone(), instance: instance.into(), reg_id };
    Ok(Binding {
        uri: text.into(),
        destination: destination.into(),
        listener: common.listener,
        q: address.param("q").map_or(Some(Q_MAX), q_value).ok_or(Refused::bad("Bad q-value"))?,
        expires_at,
        call_id: common.call_id,
        cseq: common.cseq,
        extras: has_extras.then(|| Box::new(extras)),
    })
}

fn checked_uri(text: &[u8]) -> Result<Uri<'_>, Refused> {
    if text.len() > limits::CONTACT_BYTES_MAX {
        return Err(Refused::bad("Contact Too Long"));
    }
    // It becomes a Request-URI.
    let uri = Uri::parse(text).map_err(|_| Refused::bad("Bad Contact"))?;
    if uri.scheme != Scheme::Sip || !text.is_ascii() || count_params(&uri) > limits::CONTACT_PARAMS_MAX {
        return Err(Refused::bad("Bad Contact"));
    }
    if !uri.headers.is_empty() {
        return Err(Refused::bad("Contact With Headers"));
    }
    if uri.param("transport").is_some_and(|transport| !transport.eq_ignore_ascii_case(b"udp")) {
        return Err(Refused::bad("Contact Transport Not UDP"));
    }
    Ok(uri)
}

/// How long a Contact asks to be bound, in seconds; 0: not at all.
fn lifetime_s(rules: &Registration, expires: Option<&[u8]>) -> Result<u32, Refused> {
    let Some(expires) = expires else { return Ok(rules.expires_default_s) };
    let asked = match leading_number(expires) {
        Some((asked, [])) => asked,
        _ => MALFORMED_EXPIRES_S,
    };
    match asked {
        0 => Ok(0),
        asked if asked < rules.expires_min_s => Err(Refused::TooBrief),
        asked => Ok(asked.min(rules.expires_max_s)),
    }
}

/// `+sip.instance` and `reg-id`, as far as they count: empty and 0 where there is none.
fn instance<'a>(common: &Common<'_>, address: &NameAddr<'a>) -> Result<(&'a str, u32), Refused> {
    let Some(instance) = address.param("+sip.instance") else { return Ok(("", 0)) };
    let is_sound = !instance.is_empty()
        && instance.len() <= limits::INSTANCE_BYTES_MAX
        && instance.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'\\');
    let text = std::str::from_utf8(instance).ok().filter(|_| is_sound);
    let text = text.ok_or(Refused::bad("Bad +sip.instance"))?;
    let reg_id = match address.param("reg-id") {
        Some(number) if common.keeps_flows => match leading_number(number) {
            Some((reg_id @ 1.., [])) => reg_id,
            _ => return Err(Refused::bad("Bad reg-id")),
        },
        _ => 0,
    };
    Ok((text, reg_id))
}

/// Where requests go: by way of the first Path (RFC 3327); back to where the REGISTER came from when there
/// is a NAT in between (as RFC 3581 does for responses), when a flow is kept (RFC 5626 §6), and when the
/// Contact's own address cannot be sent to; else to that address.
fn destination(common: &Common<'_>, uri: &Uri<'_>, keeps_flow: bool) -> SocketAddr {
    if let Some(destination) = common.path_destination {
        return destination;
    }
    match own_address(uri) {
        Some(own) if !common.is_behind_nat && !keeps_flow && is_reachable(own, common.source) => own,
        _ => common.source,
    }
}

/// The address that a URI names; `None`: a name, or one that another stands in for (`maddr`).
pub(super) fn own_address(uri: &Uri<'_>) -> Option<SocketAddr> {
    let ip = uri.ip().filter(|_| uri.param("maddr").is_none())?;
    Some(SocketAddr::new(ip.to_canonical(), uri.port.unwrap_or(5060)))
}

/// Whether an address may be sent to for one who sends from `source`: never this machine itself or a private
/// network for someone outside of it.
pub(super) fn is_reachable(address: SocketAddr, source: SocketAddr) -> bool {
    let (ip, source) = (address.ip(), source.ip().to_canonical());
    let is_usable = match ip {
        IpAddr::V4(ip) => !ip.is_broadcast() && !ip.is_link_local(),
        // Without its zone nobody knows which link.
        IpAddr::V6(ip) => !ip.is_unicast_link_local(),
    };
    is_usable
        && address.port() != 0
        && ip.is_ipv4() == source.is_ipv4()
        && !ip.is_unspecified()
        && !ip.is_multicast()
        && (!ip.is_loopback() || source.is_loopback())
        && (!is_private(ip) || is_private(source) || source.is_loopback())
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

/// Whether a binding would lead to this listener of ours: by the URI or by where requests to it are sent.
pub(super) fn is_ours(listener: &Listener, uri: &Uri<'_>, destination: SocketAddr) -> bool {
    let port = uri.port.unwrap_or(5060);
    let (host, advertised_port) = match listener.sent_by.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().unwrap_or(5060)),
        _ => (&*listener.sent_by, 5060),
    };
    let is_advertised = uri.host.eq_ignore_ascii_case(host.as_bytes()) && port == advertised_port;
    is_advertised
        || destination == listener.address
        || own_address(uri).is_some_and(|own| own == listener.address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_cut_refused_or_taken_for_an_hour() {
        let rules = Registration::default();
        let lifetime_s = |text: &str| lifetime_s(&rules, Some(text.as_bytes()));
        assert_eq!(super::lifetime_s(&rules, None), Ok(3_600));
        for (text, expected) in [
            ("0", 0),
            ("60", 60),
            ("7200", 7_200),
            ("7201", 7_200),
            ("4294967296", 7_200),
            ("99999999999999999999999", 7_200),
            ("", 3_600),
            ("soon", 3_600),
            ("-1", 3_600),
            ("60;x", 3_600),
        ] {
            assert_eq!(lifetime_s(text), Ok(expected), "{text}");
        }
        for text in ["1", "59"] {
            assert_eq!(lifetime_s(text), Err(Refused::TooBrief), "{text}");
        }
    }

    #[test]
    fn only_what_the_sender_could_reach_itself_is_sent_to() {
        let reachable = |address: &str, source: &str| {
            let [address, source] = [address, source].map(|text| text.parse().expect("an address"));
            is_reachable(address, source)
        };
        assert!(reachable("192.0.2.7:5060", "192.0.2.9:5060"));
        assert!(reachable("10.0.0.7:5060", "10.0.0.9:5060"));
        assert!(reachable("127.0.0.7:5060", "127.0.0.9:5060"));
        assert!(reachable("192.0.2.7:5060", "[::ffff:192.0.2.9]:5060"));
        for (address, source) in [
            ("192.0.2.7:0", "192.0.2.9:5060"),
            ("0.0.0.0:5060", "192.0.2.9:5060"),
            ("255.255.255.255:5060", "192.0.2.9:5060"),
            ("224.0.1.75:5060", "192.0.2.9:5060"),
            ("169.254.1.1:5060", "192.0.2.9:5060"),
            ("127.0.0.1:5060", "192.0.2.9:5060"),
            ("10.0.0.7:5060", "192.0.2.9:5060"),
            ("[2001:db8::1]:5060", "192.0.2.9:5060"),
            ("[fe80::1]:5060", "[fe80::2]:5060"),
            ("[fd00::1]:5060", "[2001:db8::1]:5060"),
            ("[ff02::1]:5060", "[2001:db8::1]:5060"),
        ] {
            assert!(!reachable(address, source), "{address} for {source}");
        }
    }
}
