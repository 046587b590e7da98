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

/// A description without what belongs to one side of the call.
fn shape(body: &str) -> Vec<String> {
    let lines = body.lines().filter(|line| !line.starts_with("o=") && !line.starts_with("a=rtcp:"));
    lines
        .map(|line| match line.split_once(' ') {
            Some((media, rest)) if line.starts_with("m=") => {
                let (port, rest) = rest.split_once(' ').unwrap_or((rest, ""));
                format!("{media} {} {rest}", port == "0")
            }
            _ if line.starts_with("c=") => String::from("c="),
            _ => line.to_string(),
        })
        .collect()
}

/// Each side is told one session: its version steps by one and only with its text (RFC 3264 §8), and its
/// ports are its own as long as the stream is not refused.
pub fn obey(messages: &[Message<'_>]) {
    let mut told: HashMap<(String, String), (u64, u64, String)> = HashMap::new();
    let mut ports: HashMap<(String, usize, String), String> = HashMap::new();
    for message in messages.iter().filter(|message| message.way == Way::Out) {
        let sip = message.sip;
        if !is_anchored(&sip.body) {
            continue;
        }
        let own_tag = if sip.is_request() { &sip.from_tag } else { &sip.to_tag };
        let side = (sip.call_id.clone(), own_tag.clone());
        let origin = sip.body.lines().find(|line| line.starts_with("o=")).unwrap_or_default();
        let mut words = origin.split(' ').skip(1).map(|word| word.parse::<u64>().unwrap_or_default());
        let (id, version) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let text: Vec<&str> =
            sip.body.lines().filter(|line| !line.starts_with("o=") && !line.starts_with("s=")).collect();
        let text = text.join("\n");
        if let Some((id_before, version_before, text_before)) = told.get(&side) {
            assert_eq!(id, *id_before, "another session: {}", sip.text());
            let is_same = *text_before == text;
            let step = version - version_before;
            assert_eq!(step, u64::from(!is_same), "the version steps with the text: {}", sip.text());
        }
        for (place, line) in sip.body.lines().filter(|line| line.starts_with("m=")).enumerate() {
            let port = line.split(' ').nth(1).unwrap_or_default();
            if port != "0" {
                let key = (side.0.clone(), place, side.1.clone());
                let before = ports.entry(key).or_insert_with(|| port.to_string());
                assert_eq!(before, port, "the port stays: {}", sip.text());
            }
        }
        told.insert(side, (id, version, text));
    }
}
