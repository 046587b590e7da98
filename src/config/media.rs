//! How media goes: the texts of its options, and what they mean beside the listeners.

use super::ConfigError;
use super::layer::Values;
use super::options::Key;
use super::value::{self, Advertised, Reason};
use crate::net::{RtpAddress, RtpSettings};
use crate::settings::{Learning, Listener, Media, MediaMode, Silence, TonePlan};
use std::net::IpAddr;

pub use crate::rtpengine::Node;

/// The most that one node may weigh.
const WEIGHT_MAX: u32 = 1_000;

/// What the options of media amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configured {
    pub media: Media,
    /// The server's own ports; `None` unless media is anchored here.
    pub rtp: Option<RtpSettings>,
    /// Empty unless rtpengine anchors it.
    pub engines: Vec<Node>,
}

/// What `--media` names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Engine {
    Own,
    Nobody,
    Nodes(Vec<Node>),
}

/// Checks the options of media, also against the addresses of SIP and the number of shards that share the
/// ports.
pub fn settings(
    values: &Values,
    (listeners, advertised): (&[Listener], &[Advertised]),
    shards: usize,
) -> Result<Configured, ConfigError> {
    let engine = values.optional(Key::Media, engine)?.unwrap_or(Engine::Own);
    let ports = values.optional(Key::RtpPorts, port_range)?;
    let own = addresses(values)?;
    let mut media = Media {
        mode: MediaMode::Pass,
        learning: values.choice(Key::MediaLearning, [Learning::Off, Learning::Once, Learning::Window])?,
        // The table bounds it by a day, 86,400,000 ms.
        timeout_ms: values.count(Key::MediaTimeout)? * 1_000,
        silence: values.choice(Key::MediaSilence, [Silence::Both, Silence::One])?,
        tones: values.choice(
            Key::Tones,
            [TonePlan::Europe, TonePlan::UnitedStates, TonePlan::UnitedKingdom, TonePlan::China],
        )?,
        wait_ms: values.count(Key::MediaWait)?,
        quarantine_ms: values.count(Key::RtpQuarantine)?,
        ..Media::default()
    };
    // The table bounds it by 63.
    let dscp = values.count(Key::RtpDscp)? as u8;
    let (mut rtp, mut engines) = (None, Vec::new());
    match engine {
        Engine::Nobody => {}
        Engine::Nodes(nodes) => (media.mode, engines) = (MediaMode::Engine, nodes),
        Engine::Own => {
            let addresses = with_missing(own, listeners, advertised)?;
            media.mode = MediaMode::Anchor;
            media.addresses = addresses.iter().map(|address| address.advertised).collect();
            // The table has a default.
            let (first_port, last_port) = ports.unwrap_or((30_000, 59_999));
            let settings = RtpSettings { addresses, first_port, last_port, dscp };
            enough(values, &settings, shards)?;
            apart(values, listeners, &settings)?;
            rtp = Some(settings);
        }
    }
    Ok(Configured { media, rtp, engines })
}

/// Every shard has a pair of ports.
fn enough(values: &Values, rtp: &RtpSettings, shards: usize) -> Result<(), ConfigError> {
    let pairs = usize::from(rtp.last_port - rtp.first_port).div_ceil(2);
    match values.written(Key::RtpPorts).last() {
        Some(raw) if pairs < shards => {
            let reason = format!(
                "so few pairs, {pairs}, do not go round {shards} shards, each of which wants one at least; \
                 give more ports, or --shards {pairs}"
            );
            Err(raw.wrong(Key::RtpPorts.setting(), &reason))
        }
        _ => Ok(()),
    }
}

/// The addresses that are given, one of each family.
fn addresses(values: &Values) -> Result<Vec<RtpAddress>, ConfigError> {
    let mut addresses: Vec<RtpAddress> = Vec::new();
    for (address, raw) in values.list(Key::RtpAddress, rtp_address)? {
        let is_same = |other: &&RtpAddress| other.local.is_ipv4() == address.local.is_ipv4();
        if let Some(other) = addresses.iter().find(is_same) {
            let reason = format!("{} is of the same family; give one for each", other.local);
            return Err(raw.wrong(Key::RtpAddress.setting(), &reason));
        }
        addresses.push(address);
    }
    Ok(addresses)
}

/// A family in which SIP is spoken, and none is given, has its media where its SIP is.
fn with_missing(
    mut addresses: Vec<RtpAddress>,
    listeners: &[Listener],
    advertised: &[Advertised],
) -> Result<Vec<RtpAddress>, ConfigError> {
    for is_ipv4 in [true, false] {
        if addresses.iter().any(|address| address.local.is_ipv4() == is_ipv4) {
            continue;
        }
        let mut own =
            listeners.iter().map(|listener| listener.address).filter(|own| own.is_ipv4() == is_ipv4);
        // What comes from beyond this machine does not come to loopback.
        let outside = own.clone().find(|own| !own.ip().is_loopback());
        let Some(listener) = outside.or_else(|| own.next()) else { continue };
        let local = listener.ip();
        let mut told = advertised.iter().filter_map(|advertised| advertised.ip);
        let told = told.find(|told| told.is_ipv4() == is_ipv4);
        let Some(advertised) = told.or(Some(local).filter(|local| !local.is_unspecified())) else {
            let example = if is_ipv4 { "192.0.2.10" } else { "2001:db8::10" };
            return Err(ConfigError::new(format!(
                "media is anchored, and SDP needs an IP address for it, which udp:{listener} is not; add \
                 --rtp-address {local}/ADDRESS with the one that others send to, for example --rtp-address \
                 {local}/{example}, or give --media pass"
            )));
        };
        addresses.push(RtpAddress { local, advertised });
    }
    Ok(addresses)
}

/// No listener has a port of the range at the same address.
fn apart(values: &Values, listeners: &[Listener], rtp: &RtpSettings) -> Result<(), ConfigError> {
    let meets = |listener: &&Listener| {
        let own = listener.address;
        let is_there = |address: &RtpAddress| {
            let (ip, other) = (own.ip(), address.local);
            ip == other || ip.is_ipv4() == other.is_ipv4() && (ip.is_unspecified() || other.is_unspecified())
        };
        (rtp.first_port..=rtp.last_port).contains(&own.port()) && rtp.addresses.iter().any(is_there)
    };
    match (listeners.iter().find(meets), values.written(Key::RtpPorts).last()) {
        (Some(listener), Some(raw)) => {
            let reason = format!(
                "SIP has one of them, udp:{}; give --rtp-ports without it, or another --listen",
                listener.address
            );
            Err(raw.wrong(Key::RtpPorts.setting(), &reason))
        }
        _ => Ok(()),
    }
}

/// `anchor`, `pass` or `rtpengine:udp:192.0.2.20:2223,udp:[2001:db8::1]:2223;weight=2`.
fn engine(text: &str) -> Result<Engine, Reason> {
    match text {
        "anchor" => Ok(Engine::Own),
        "pass" => Ok(Engine::Nobody),
        _ => match text.strip_prefix("rtpengine:") {
            Some(nodes) => self::nodes(nodes).map(Engine::Nodes),
            None => Err("not offered".to_owned()),
        },
    }
}

fn nodes(text: &str) -> Result<Vec<Node>, Reason> {
    let mut nodes: Vec<Node> = Vec::new();
    for part in text.split(',') {
        let node = node(part.trim()).map_err(|reason| format!("\"{}\": {reason}", super::shown(part)))?;
        if nodes.iter().any(|other| other.address == node.address) {
            return Err(format!("udp:{} is named twice", node.address));
        }
        nodes.push(node);
    }
    Ok(nodes)
}

/// `udp:192.0.2.20:2223;weight=2`.
fn node(text: &str) -> Result<Node, Reason> {
    let (place, weight) = match text.split_once(';') {
        None => (text, 1),
        Some((place, parameter)) => {
            let weight =
                parameter.trim().strip_prefix("weight=").ok_or("only weight= may stand after the ;")?;
            let weight = value::number(weight, 1, WEIGHT_MAX);
            (place, weight.map_err(|reason| format!("the weight is {reason}, from 1 to {WEIGHT_MAX}"))?)
        }
    };
    let place = place.trim().strip_prefix("udp:").ok_or("it does not begin with udp:")?;
    let address = value::socket(place)?;
    if address.port() == 0 || address.ip().is_unspecified() {
        return Err("nobody can send there".to_owned());
    }
    Ok(Node { address, weight })
}

/// `30000-59999`: whole pairs of an even port and the next one.
fn port_range(text: &str) -> Result<(u16, u16), Reason> {
    let (first, last) = text.split_once('-').ok_or("not two ports with a hyphen between them")?;
    let port = |text: &str| {
        let port = value::number(text.trim(), 1_024, 65_535);
        // The bounds just checked are those of u16.
        port.map(|port| port as u16).map_err(|reason| format!("the port \"{text}\" is {reason}"))
    };
    match (port(first)?, port(last)?) {
        (first, last) if first > last => Err(format!("the range {text} runs backwards")),
        (first, _) if first % 2 == 1 => Err(format!("the first port, {first}, is odd: RTP has even ports")),
        (_, last) if last % 2 == 0 => Err(format!("the last port, {last}, is even: its RTCP has none")),
        range => Ok(range),
    }
}

/// `ADDRESS` or `ADDRESS/ADVERTISED`; IPv6 with or without brackets.
fn rtp_address(text: &str) -> Result<RtpAddress, Reason> {
    let ip = |text: &str| {
        let ip: Option<IpAddr> = text.trim().parse().ok().or_else(|| value::bracketed(text.trim()));
        ip.ok_or_else(|| format!("\"{text}\" is not an IP address"))
    };
    let (local, advertised) = match text.split_once('/') {
        Some((local, advertised)) => (ip(local)?, Some(ip(advertised)?)),
        None => (ip(text)?, None),
    };
    if local.is_unspecified() && advertised.is_none() {
        return Err(format!("SDP cannot name {local}: add a slash and the address that others send to"));
    }
    let advertised = advertised.unwrap_or(local);
    if local.is_ipv4() != advertised.is_ipv4() {
        return Err("the two addresses are of different families".to_owned());
    }
    if advertised.is_unspecified() || advertised.is_multicast() || local.is_multicast() {
        return Err("nobody can send to that address alone".to_owned());
    }
    Ok(RtpAddress { local, advertised })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node_at(address: &str, weight: u32) -> Node {
        Node { address: address.parse().expect("an address"), weight }
    }

    #[test]
    fn engines_have_addresses_and_weights() {
        assert_eq!(engine("anchor"), Ok(Engine::Own));
        assert_eq!(engine("pass"), Ok(Engine::Nobody));
        let two = [node_at("192.0.2.20:2223", 1), node_at("[2001:db8::1]:22222", 3)];
        for text in [
            "rtpengine:udp:192.0.2.20:2223,udp:[2001:db8::1]:22222;weight=3",
            "rtpengine:udp:192.0.2.20:2223;weight=1, udp:[2001:db8::1]:22222 ;weight=3",
        ] {
            assert_eq!(engine(text), Ok(Engine::Nodes(two.to_vec())), "{text}");
        }
        for (bad, reason) in [
            ("relay", "not offered"),
            ("rtpengine", "not offered"),
            ("rtpengine:", "it does not begin with udp:"),
            ("rtpengine:tcp:192.0.2.20:2223", "it does not begin with udp:"),
            ("rtpengine:udp:engine.example.net:2223", "not an IP address with a port"),
            ("rtpengine:udp:192.0.2.20", "the port is missing"),
            ("rtpengine:udp:[2001:db8::1]", "the port is missing"),
            ("rtpengine:udp:2001:db8::1", "the port is missing"),
            ("rtpengine:udp:192.0.2.20:0", "nobody can send there"),
            ("rtpengine:udp:0.0.0.0:2223", "nobody can send there"),
            ("rtpengine:udp:192.0.2.20:2223;weight=0", "the weight is too small"),
            ("rtpengine:udp:192.0.2.20:2223;weight=1001", "the weight is too large"),
            ("rtpengine:udp:192.0.2.20:2223;prio=1", "only weight= may stand after the ;"),
            ("rtpengine:udp:192.0.2.20:2223,", "\"\": it does not begin with udp:"),
            ("rtpengine:udp:192.0.2.20:2223,udp:192.0.2.20:2223", "udp:192.0.2.20:2223 is named twice"),
        ] {
            let error = engine(bad).expect_err("a refusal");
            assert!(error.contains(reason), "{bad}: {error}");
        }
    }

    #[test]
    fn ports_come_in_pairs() {
        assert_eq!(port_range("30000-59999"), Ok((30_000, 59_999)));
        assert_eq!(port_range("1024 - 1025"), Ok((1_024, 1_025)));
        for (bad, reason) in [
            ("30000", "not two ports with a hyphen"),
            ("30001-30010", "the first port, 30001, is odd"),
            ("30000-30010", "the last port, 30010, is even"),
            ("30002-30001", "runs backwards"),
            ("1022-1025", "is too small"),
            ("30000-65536", "is too large"),
            ("-1-5", "is not a whole number"),
        ] {
            let error = port_range(bad).expect_err("a refusal");
            assert!(error.contains(reason), "{bad}: {error}");
        }
    }

    #[test]
    fn an_address_may_be_advertised_as_another_one() {
        let pair = |local: &str, advertised: &str| {
            let [local, advertised] = [local, advertised].map(|text| text.parse().expect("an address"));
            Ok(RtpAddress { local, advertised })
        };
        assert_eq!(rtp_address("192.0.2.1"), pair("192.0.2.1", "192.0.2.1"));
        assert_eq!(rtp_address("0.0.0.0/192.0.2.1"), pair("0.0.0.0", "192.0.2.1"));
        assert_eq!(rtp_address("[::]/2001:db8::1"), pair("::", "2001:db8::1"));
        for (bad, reason) in [
            ("", "not an IP address"),
            ("media.example.net", "not an IP address"),
            ("192.0.2.1:5000", "not an IP address"),
            ("0.0.0.0", "add a slash and the address that others send to"),
            ("::", "add a slash"),
            ("192.0.2.1/2001:db8::1", "different families"),
            ("192.0.2.1/0.0.0.0", "nobody can send to that address"),
            ("224.0.0.1", "nobody can send to that address"),
            ("192.0.2.1/", "not an IP address"),
        ] {
            let error = rtp_address(bad).expect_err("a refusal");
            assert!(error.contains(reason), "{bad}: {error}");
        }
    }
}
