//! What the INVITE of a leg tells of its diversions: Diversion, History-Info and the Request-URI's cause say
//! the same (RFC 5806, 7044, 4458; RFC 7544 is the map).

use super::audit::{Verdict, is};
use super::call::Manner;
use super::plan::{Kind, Told};
use super::setup::{callee_address, hop_of, number};
use ringway::sip::name_addr::split_list;
use ringway::sip::{HeaderName, Message, NameAddr, Uri};

/// Reads what an INVITE tells. Each number has diverted the call once, in the chain's order.
pub fn told(invite: &Message<'_>, (hops, place): (u8, u8), manner: &Manner) -> Verdict<Told> {
    let hop = hop_of(place);
    let mut told = Told::NOTHING;
    let numbers: Vec<[u8; 3]> = (0..=hop).map(|hop| number(hops, hop)).collect();
    let diversions = diversions(invite, &numbers)?;
    let expected = if manner.history.has_diversion() { usize::from(hop) } else { 0 };
    is(diversions.len() == expected, "Diversion")?;
    if manner.history.has_diversion() {
        is(told.tell(&diversions), "a Diversion's reason")?;
    }
    let causes = history(invite, &numbers)?;
    is(manner.history.has_history_info() || causes.is_none(), "History-Info to whom it is not told")?;
    is(causes.is_some() || hop == 0 || !manner.history.has_history_info(), "no History-Info")?;
    if let Some(causes) = causes {
        is(causes.len() == usize::from(hop), "History-Info")?;
        is(told.tell(&causes), "Diversion and History-Info do not agree")?;
    }
    let mut uri =
        format!("sip:{}@{}", String::from_utf8_lossy(&numbers[usize::from(hop)]), callee_address(place));
    if manner.ends_outside && hop + 1 == hops && manner.history.has_history_info() {
        let parsed = Uri::parse(invite.request_uri()).map_err(|_| "a Request-URI that is none")?;
        let cause = parsed.param("cause").ok_or("a target outside is not told why")?;
        uri += &format!(";cause={}", String::from_utf8_lossy(cause));
        is(told.tell_last(hop, Kind::of_cause(cause)), "the cause of the Request-URI")?;
    }
    is(invite.request_uri() == uri.as_bytes(), "Request-URI of a leg")?;
    Ok(told)
}

/// The kinds that the Diversion entries name, oldest first.
fn diversions(invite: &Message<'_>, numbers: &[[u8; 3]]) -> Verdict<Vec<u8>> {
    let mut kinds = Vec::new();
    for entry in invite.values(HeaderName::Diversion).flat_map(split_list) {
        let address = NameAddr::parse(entry).map_err(|_| "a Diversion that is none")?;
        is(address.param("counter") == Some(b"1"), "a Diversion's counter")?;
        is(address.param("privacy") == Some(b"off"), "a Diversion's privacy")?;
        let uri = Uri::parse(address.uri).map_err(|_| "a Diversion's URI")?;
        kinds.push((Kind::of_reason(address.param("reason").unwrap_or_default()), uri.user.to_vec()));
    }
    kinds.reverse();
    let right = kinds.iter().zip(numbers).all(|((_, user), number)| user == number);
    is(right, "a Diversion of another number")?;
    Ok(kinds.into_iter().map(|(kind, _)| kind).collect())
}

/// The kinds that the causes of History-Info name; `None`: there is none.
fn history(invite: &Message<'_>, numbers: &[[u8; 3]]) -> Verdict<Option<Vec<u8>>> {
    let (mut kinds, mut before, mut entries) = (Vec::new(), String::new(), 0);
    for entry in invite.values(HeaderName::HistoryInfo).flat_map(split_list) {
        let address = NameAddr::parse(entry).map_err(|_| "a History-Info entry that is none")?;
        let uri = Uri::parse(address.uri).map_err(|_| "a History-Info entry's URI")?;
        let user = numbers.get(entries).ok_or("a History-Info entry too many")?;
        is(uri.user == user, "a History-Info entry of another number")?;
        // RFC 7544 §5: each diversion is one level deeper.
        let index = if entries == 0 { "1".into() } else { format!("{before}.1") };
        is(address.param("index") == Some(index.as_bytes()), "a History-Info entry's index")?;
        if entries > 0 {
            is(address.param("mp") == Some(before.as_bytes()), "a History-Info entry's mp")?;
            kinds.push(Kind::of_cause(uri.param("cause").unwrap_or_default()));
        } else {
            is(uri.param("cause").is_none(), "a cause of the first History-Info entry")?;
        }
        before = index;
        entries += 1;
    }
    Ok((entries > 0).then_some(kinds))
}
