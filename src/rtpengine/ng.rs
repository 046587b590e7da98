//! rtpengine's ng protocol: requests and answers, each a cookie, a blank and a dictionary.
//!
//! A call of ours is one of its calls with two parties, `a` and `b`: the caller, and whoever the callee is at
//! the time. So ports stay the same on both sides, whomever the call goes on to (SIP_RULES 15); it takes the
//! flag `port-latching` for that, without which rtpengine opens new ports for one side when the other side's
//! address changes.

use super::bencode::{Value, read};
use crate::mail::{Described, Party, Role};
use std::net::IpAddr;

/// What an answer may be long. Beyond a datagram it never comes, and rtpengine 10.5 ends with an assertion
/// when a description that it writes has 100,000 bytes.
const REPLY_BYTES_MAX: usize = 60_000;

/// What it may add to a stream: a line of `a=crypto` for each suite that it knows, and a fingerprint, are
/// 1,250 bytes.
const STREAM_BYTES_MAX: usize = 1_400;

/// What it may make of each byte of an `m=` line: ` 0` becomes a line of `a=rtpmap` with 22 bytes.
const LINE_GROWTH_MAX: usize = 13;

/// What an rtpengine is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Command<'a> {
    Ping,
    /// `is_first`: the call is new to it, which has seen no other party yet.
    Describe {
        session: &'a str,
        described: &'a Described,
        is_first: bool,
    },
    Delete {
        session: &'a str,
    },
}

/// What it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    Pong,
    /// To an offer or answer: the description for the other side.
    Described(&'a [u8]),
    /// To a delete.
    Done,
    /// With the reason that it gives.
    Refused(&'a [u8]),
    /// The same request was seen too often, or the node sheds load: another one may take it.
    Overloaded,
}

/// A request with its cookie, as it goes on the wire.
#[must_use]
pub fn request(cookie: &str, command: Command<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(cookie.as_bytes());
    out.push(b' ');
    let text = |text: &'static str| Value::Bytes(text.as_bytes());
    match command {
        Command::Ping => Value::Dictionary(vec![(b"command", text("ping"))]).write(&mut out),
        Command::Delete { session } => Value::Dictionary(vec![
            (b"call-id", Value::Bytes(session.as_bytes())),
            (b"command", text("delete")),
            // At once: whoever still sends is not to be heard.
            (b"delete-delay", Value::Integer(0)),
        ])
        .write(&mut out),
        Command::Describe { session, described, is_first } => {
            let Described { role, party, source, sdp } = described;
            let source = source.to_canonical();
            let address = source.to_string();
            // Once a party's place is learned nobody else is heard there: no phone that was cancelled, and
            // nobody who finds the port.
            let mut flags = vec![text("port-latching"), text("strict-source")];
            if is_behind_nat(sdp, source) {
                flags.push(text("SIP-source-address"));
            }
            let family = if source.is_ipv4() { "IP4" } else { "IP6" };
            // Who offers comes first, in offers and answers alike.
            let (from, to) = match (party, role) {
                (Party::Caller, Role::Offer) | (Party::Callee, Role::Answer) => ("a", "b"),
                (Party::Callee, Role::Offer) | (Party::Caller, Role::Answer) => ("b", "a"),
            };
            let command = if *role == Role::Offer { "offer" } else { "answer" };
            let mut entries: Vec<(&[u8], Value<'_>)> = vec![
                (b"ICE", text("remove")),
                (b"call-id", Value::Bytes(session.as_bytes())),
                (b"command", text(command)),
                (b"flags", Value::List(flags)),
                (b"from-tag", text(from)),
                (b"received-from", Value::List(vec![text(family), Value::Bytes(address.as_bytes())])),
                (b"replace", Value::List(vec![text("origin"), text("session-connection")])),
                (b"sdp", Value::Bytes(sdp)),
            ];
            if !is_first {
                entries.push((b"to-tag", text(to)));
            }
            Value::Dictionary(entries).write(&mut out);
        }
    }
    out
}

/// The cookie of an answer and what it says; `None`: it is none.
#[must_use]
pub fn reply(datagram: &[u8]) -> Option<(&str, Reply<'_>)> {
    let blank = memchr::memchr(b' ', datagram)?;
    let cookie = std::str::from_utf8(&datagram[..blank]).ok()?;
    let value = read(&datagram[blank + 1..]).ok()?;
    let reply = match value.bytes_of(b"result")? {
        b"pong" => Reply::Pong,
        b"ok" => value.bytes_of(b"sdp").map_or(Reply::Done, Reply::Described),
        b"load limit" => Reply::Overloaded,
        _ => Reply::Refused(value.bytes_of(b"error-reason").unwrap_or_default()),
    };
    Some((cookie, reply))
}

/// Whether an answer could be too long: then no rtpengine may be asked, for it could end of it.
#[must_use]
pub fn is_too_large(sdp: &[u8]) -> bool {
    let media = sdp.split(|&byte| byte == b'\n').filter(|line| line.starts_with(b"m="));
    let added: usize = media.map(|line| STREAM_BYTES_MAX + LINE_GROWTH_MAX * line.len()).sum();
    sdp.len() + added > REPLY_BYTES_MAX
}

/// Whether a description names addresses that only their own network knows, and comes from beyond it: then
/// media is where the signalling is.
fn is_behind_nat(sdp: &[u8], source: IpAddr) -> bool {
    let connections = sdp.split(|&byte| byte == b'\n').filter_map(|line| line.strip_prefix(b"c=IN IP"));
    let addresses = connections.filter_map(|line| {
        let address = line.get(2..)?.trim_ascii();
        std::str::from_utf8(address).ok()?.parse::<IpAddr>().ok()
    });
    let mut named = addresses.filter(|address| !address.is_unspecified()).peekable();
    // Within one private network an address is as good as any.
    !is_private(source) && named.peek().is_some() && named.all(is_private)
}

/// RFC 1918, RFC 6598, RFC 3927, RFC 4193, and loopback.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            let is_shared = first == 100 && (64..128).contains(&second);
            address.is_private() || address.is_link_local() || address.is_loopback() || is_shared
        }
        IpAddr::V6(address) => {
            address.is_unique_local() || address.is_unicast_link_local() || address.is_loopback()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(role: Role, party: Party, sdp: &str) -> Described {
        Described { role, party, source: IpAddr::from([192, 0, 2, 7]), sdp: sdp.as_bytes().into() }
    }

    fn text(command: Command<'_>) -> String {
        String::from_utf8(request("7_1", command)).unwrap()
    }

    #[test]
    fn requests_are_as_the_protocol_has_them() {
        assert_eq!(text(Command::Ping), "7_1 d7:command4:pinge");
        assert_eq!(
            text(Command::Delete { session: "s" }),
            "7_1 d7:call-id1:s7:command6:delete12:delete-delayi0ee"
        );
        let offer = described(Role::Offer, Party::Caller, "v=0\r\n");
        assert_eq!(
            text(Command::Describe { session: "s", described: &offer, is_first: true }),
            "7_1 d3:ICE6:remove7:call-id1:s7:command5:offer5:flagsl13:port-latching\
             13:strict-sourcee8:from-tag1:a13:received-froml3:IP49:192.0.2.7e\
             7:replacel6:origin18:session-connectione3:sdp5:v=0\r\ne"
        );
    }

    #[test]
    fn who_offers_is_named_first() {
        let tags = |role, party| {
            let described = described(role, party, "");
            let text = text(Command::Describe { session: "s", described: &described, is_first: false });
            (text.contains("8:from-tag1:a"), text.contains("6:to-tag1:b"))
        };
        assert_eq!(tags(Role::Offer, Party::Caller), (true, true));
        assert_eq!(tags(Role::Answer, Party::Callee), (true, true));
        assert_eq!(tags(Role::Offer, Party::Callee), (false, false));
        assert_eq!(tags(Role::Answer, Party::Caller), (false, false));
    }

    #[test]
    fn only_a_private_address_from_elsewhere_gives_way_to_the_signalling_s() {
        let is_behind = |sdp: &str| {
            let offer = described(Role::Offer, Party::Caller, sdp);
            text(Command::Describe { session: "s", described: &offer, is_first: true })
                .contains("18:SIP-source-address")
        };
        assert!(is_behind("v=0\r\nc=IN IP4 10.0.0.1\r\n"));
        assert!(is_behind("v=0\nc=IN IP4 100.64.0.1/127\nc=IN IP4 192.168.1.1\n") != is_behind("v=0\n"));
        assert!(is_behind("v=0\r\nc=IN IP6 fd00::1\r\n"));
        assert!(!is_behind("v=0\r\nc=IN IP4 192.0.2.8\r\n"), "a gateway of its own");
        assert!(!is_behind("v=0\r\nc=IN IP4 10.0.0.1\r\nc=IN IP4 198.51.100.1\r\n"));
        assert!(!is_behind("v=0\r\nc=IN IP4 0.0.0.0\r\n"), "held");
        assert!(!is_behind("v=0\r\nc=IN IP4 media.example.com\r\n"));
    }

    #[test]
    fn a_description_is_too_large_when_its_answer_could_be() {
        let sdp = |line: &str, count: usize| format!("v=0\r\n{}", line.repeat(count)).into_bytes();
        assert!(!is_too_large(&sdp("m=audio 9 RTP/SAVP 0\r\n", 32)));
        // 1.7 KB: with 80 of them rtpengine 10.5 ended.
        assert!(is_too_large(&sdp("m=audio 9 RTP/SAVP 0\r\n", 80)));
        let browser = "m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99 100 101 102 103 104 105 106 107 108\r\n";
        assert!(!is_too_large(&[sdp(browser, 8), sdp("a=rtcp-fb:96 nack pli\r\n", 800)].concat()));
        assert!(is_too_large(&sdp(&format!("m=audio 9 RTP/AVP{}\r\n", " 0".repeat(200)), 12)));
        assert!(is_too_large(&sdp("a=x\r\n", 12_000)));
    }

    #[test]
    fn answers_are_read() {
        assert_eq!(reply(b"1 d6:result4:ponge"), Some(("1", Reply::Pong)));
        assert_eq!(reply(b"2 d3:sdp3:v=06:result2:oke"), Some(("2", Reply::Described(b"v=0"))));
        assert_eq!(reply(b"3 d6:result2:oke"), Some(("3", Reply::Done)));
        let refused = b"4 d6:result5:error12:error-reason15:Unknown call-ide";
        assert_eq!(reply(refused), Some(("4", Reply::Refused(b"Unknown call-id"))));
        assert_eq!(reply(b"5 d6:result10:load limite"), Some(("5", Reply::Overloaded)));
        for wrong in [&b"d6:result4:ponge"[..], b"1 ", b"1 i3e", b"1 de", b"\xff d6:result4:ponge"] {
            assert_eq!(reply(wrong), None, "{}", wrong.escape_ascii());
        }
    }
}
