//! Diversion and History-Info of a leg tell of the same diversions (RFC 7544 §2): as many, for the same
//! reasons, by the same users in order. Read here by hand.

use crate::lab::sip::Sip;
use ringway::sip::NameAddr;

/// What is too long to be told twice.
const LENGTH_MAX: usize = 8_192;

/// Diversions that are told one by one.
const DIVERSIONS_MAX: usize = 32;

/// Who diverted, and the cause (RFC 4458).
type Diversion = (String, u16);

/// Both header fields of a leg's INVITE agree, unless what came with the call's was broken, endless, or did
/// not agree itself.
pub(super) fn agrees(invite: &Sip, leg: &Sip) {
    let tells_both = |sip: &Sip| sip.has("Diversion") && sip.has("History-Info");
    if !tells_both(leg) || invite.bytes.len() > LENGTH_MAX {
        return;
    }
    // A leg that is told by Diversion has History-Info as it came, for what it holds besides (RFC 7544 §3.5).
    let (came, goes) = (invite.list("History-Info").len(), leg.list("History-Info").len());
    if came > 0 && came == goes && leg.list("Diversion").len() > invite.list("Diversion").len() {
        return;
    }
    let (Some(diversions), Some(entries)) = (diversions(invite), entries(invite)) else { return };
    if diversions.len().max(entries.len()) > DIVERSIONS_MAX {
        return;
    }
    if tells_both(invite) && !is_same(&diversions, &entries) {
        return;
    }
    let told = (self::diversions(leg), self::entries(leg));
    let (Some(diversions), Some(entries)) = told else { panic!("unreadable:\n{}", leg.text()) };
    assert!(is_same(&diversions, &entries), "{diversions:?} {entries:?} in\n{}", leg.text());
}

fn is_same(diversions: &[Diversion], entries: &[Diversion]) -> bool {
    let is_same = |(diversion, entry): (&Diversion, &Diversion)| {
        // A number that is not registered is unavailable to one, and 404 to the other.
        let is_same_cause = diversion.1 == entry.1 || (diversion.1, entry.1) == (503, 404);
        diversion.0 == entry.0 && is_same_cause
    };
    diversions.len() == entries.len() && diversions.iter().zip(entries).all(is_same)
}

/// What Diversion tells, oldest first; `None`: it is broken.
fn diversions(sip: &Sip) -> Option<Vec<Diversion>> {
    let mut diversions = Vec::new();
    for entry in list(sip, "Diversion")?.iter().rev() {
        let address = NameAddr::parse(entry.as_bytes()).ok()?;
        let param = |name| address.param(name).map(|value| String::from_utf8_lossy(value).to_lowercase());
        let cause = match param("reason").unwrap_or_default().as_str() {
            "unconditional" => 302,
            "user-busy" => 486,
            "no-answer" => 408,
            "deflection" => 480,
            "unavailable" => 503,
            _ => 404,
        };
        let counter = param("counter").unwrap_or_default();
        let counter = if counter.len() > 2 { 99 } else { counter.parse().unwrap_or(1) };
        diversions.extend((1..counter).map(|_| ("unknown".to_string(), 404)));
        diversions.push((user(address.uri)?, cause));
    }
    Some(diversions)
}

/// What History-Info tells, oldest first; `None`: it is broken.
fn entries(sip: &Sip) -> Option<Vec<Diversion>> {
    let mut entries: Vec<(String, String)> = Vec::new();
    let mut diversions = Vec::new();
    for entry in list(sip, "History-Info")? {
        let address = NameAddr::parse(entry.as_bytes()).ok()?;
        let param = |name| address.param(name).map(|value| String::from_utf8_lossy(value).into_owned());
        let index =
            param("index").filter(|index| index.split('.').all(|part| part.parse::<u32>().is_ok()))?;
        let uri = String::from_utf8_lossy(address.uri).into_owned();
        let uri = uri.split('?').next().unwrap_or_default();
        let cause =
            uri.split(';').find_map(|param| param.strip_prefix("cause=")).and_then(|c| c.parse().ok());
        if let Some(cause) = cause.filter(|cause| [302, 404, 408, 480, 486, 487, 503].contains(cause)) {
            let named = entries.iter().find(|(other, _)| Some(other) == param("mp").as_ref());
            let by = named.or(entries.last()).map_or("unknown", |(_, user)| user);
            diversions.push((by.to_string(), if cause == 487 { 480 } else { cause }));
        }
        entries.push((index, user(address.uri)?));
    }
    Some(diversions)
}

/// The entries of a header field; `None`: one of its fields is empty.
fn list(sip: &Sip, name: &str) -> Option<Vec<String>> {
    let is_empty = sip.all(name).iter().any(|value| value.trim_matches([',', ' ']).is_empty());
    (!is_empty).then(|| sip.list(name))
}

/// The user of a sip or tel URI without parameters.
fn user(uri: &[u8]) -> Option<String> {
    let uri = String::from_utf8_lossy(uri).into_owned();
    let (scheme, rest) = uri.split_once(':')?;
    if !["sip", "sips", "tel"].contains(&scheme.to_lowercase().as_str()) {
        return None;
    }
    let user = rest.split_once('@').map_or(if scheme == "tel" { rest } else { "" }, |(user, _)| user);
    Some(user.split([';', ':']).next().unwrap_or_default().to_string())
}
