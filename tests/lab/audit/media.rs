//! Anchored media: what each side is told of the session (RFC 3264 §8, SIP_RULES 15).

use super::{Message, Way};
use crate::lab::engine;
use crate::lab::peer::{MEDIA, MEDIA_V6};
use std::collections::HashMap;

/// Whether a body is told in the server's own name.
pub fn is_anchored(body: &str) -> bool {
    let own = [format!("IN IP4 {MEDIA}"), format!("IN IP6 {MEDIA_V6}")];
    body.lines().any(|line| line.starts_with("o=- ") && own.iter().any(|own| line.ends_with(own)))
}

/// Whether what was sent on says what came, addresses and ports aside.
pub fn is_same_session(sent: &str, came: &str) -> bool {
    sent == came || (is_anchored(sent) || engine::is_anchored(sent)) && shape(sent) == shape(came)
}

/// Streams that get ports of the server's own; those behind them are refused.
const STREAMS_MAX: usize = 8;

/// RTP and T.38 over UDP are; other streams are refused.
fn is_relayed(protocol: &str) -> bool {
    let protocol = protocol.to_ascii_uppercase();
    ["RTP/", "UDP/TLS/", "UDPTL"].iter().any(|start| protocol.starts_with(start))
}

/// A description without what belongs to one side of the call.
fn shape(body: &str) -> Vec<String> {
    // Of several addresses of a section the first is told.
    let mut has_address = false;
    let lines = body.lines().filter(|line| {
        has_address &= !line.starts_with("m=");
        let is_address = line.starts_with("c=");
        let is_again = is_address && has_address;
        has_address |= is_address;
        !is_again && !line.starts_with("o=") && !line.starts_with("a=rtcp:") && *line != "a=rtcp"
    });
    let mut streams = 0;
    lines
        .map(|line| match line.split_once(' ') {
            Some((media, rest)) if line.starts_with("m=") => {
                streams += 1;
                let (port, rest) = rest.split_once(' ').unwrap_or((rest, ""));
                let is_refused = port == "0" || streams > STREAMS_MAX || !is_relayed(rest);
                format!("{media} {is_refused} {rest}")
            }
            _ if line.starts_with("c=") => String::from("c="),
            _ => line.to_string(),
        })
        .collect()
}

/// Each side is told one session: its version steps by one and only with its text (RFC 3264 §8), and its
/// ports are its own as long as the stream is not refused.
pub(super) fn obey(messages: &[Message<'_>]) {
    let mut told: HashMap<Side, Told> = HashMap::new();
    let mut ports: HashMap<(Side, usize), Port> = HashMap::new();
    for message in messages {
        let sip = message.sip;
        let is_own = (message.way == Way::Out) == sip.is_request();
        let own_tag = if is_own { &sip.from_tag } else { &sip.to_tag };
        let side = (sip.call_id.clone(), own_tag.clone());
        if message.way == Way::In {
            // What is refused loses its port: a stream by its party, or the whole offer.
            ports.retain(|(of, place), port| {
                let is_offer = sip.status.is_some_and(|status| status >= 300) && sip.branch == port.branch;
                *of != side || !is_offer && media(&sip.body, *place) != Some("0")
            });
            continue;
        }
        if !is_anchored(&sip.body) {
            continue;
        }
        let is_new = Told::of(&sip.body);
        if let Some(before) = told.get(&side) {
            assert_eq!(is_new.id, before.id, "another session: {}", sip.text());
            let step = is_new.version - before.version;
            let steps = u64::from(is_new.text != before.text);
            assert_eq!(step, steps, "the version steps with the text: {}", sip.text());
        }
        told.insert(side.clone(), is_new);
        for place in 0.. {
            let Some(port) = media(&sip.body, place) else { break };
            let key = (side.clone(), place);
            if port == "0" {
                ports.remove(&key);
                continue;
            }
            let new = Port { port: port.into(), branch: sip.branch.clone() };
            let before = ports.entry(key).or_insert(new);
            assert_eq!(before.port, port, "the port stays: {}", sip.text());
        }
    }
}

/// Call-ID and the server's tag.
type Side = (String, String);

/// A port that was told, and the branch of the message that told it first.
struct Port {
    port: String,
    branch: String,
}

/// A description without `o=` and `s=`.
struct Told {
    id: u64,
    version: u64,
    text: String,
}

impl Told {
    fn of(body: &str) -> Told {
        let origin = body.lines().find(|line| line.starts_with("o=")).unwrap_or_default();
        let mut words = origin.split(' ').skip(1).map(|word| word.parse::<u64>().unwrap_or_default());
        let (id, version) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let text: Vec<&str> =
            body.lines().filter(|line| !line.starts_with("o=") && !line.starts_with("s=")).collect();
        Told { id, version, text: text.join("\n") }
    }
}

/// The port of a stream.
fn media(body: &str, place: usize) -> Option<&str> {
    body.lines().filter(|line| line.starts_with("m=")).nth(place)?.split(' ').nth(1)
}
