//! Received diversions as both header fields tell them, so that each can be made of the other (RFC 7544).

use super::few::Few;
use super::received::{CAUSE_UNKNOWN, Diversion, Entry, Fields};
use crate::limits::HISTORY_ENTRIES_MAX;
use crate::sip::Uri;

/// One diversion that came with the INVITE.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    pub party: Party<'a>,
    pub cause: u16,
    /// `None`: nothing is said of it.
    pub is_private: Option<bool>,
}

/// Who diverted.
#[derive(Clone, Copy)]
pub(super) enum Party<'a> {
    /// All that is known is that somebody did (RFC 7544 §5: a placeholder).
    Unknown,
    Known(&'a [u8]),
}

/// The user of a placeholder.
const UNKNOWN: &[u8] = b"unknown";

/// What Diversion tells, oldest first. A counter stands for as many diversions; where they would be too many
/// the placeholders are fewer.
pub(super) fn of_diversions<'a>(fields: &Fields<Diversion<'a>>) -> Few<Step<'a>> {
    let mut steps = Few::new();
    let mut room = (HISTORY_ENTRIES_MAX - fields.items.len()) as u32;
    for entry in fields.items.iter().rev() {
        let placeholders = (entry.counter - 1).min(room);
        room -= placeholders;
        for _ in 0..placeholders {
            steps.push(Step { party: Party::Unknown, cause: CAUSE_UNKNOWN, is_private: None });
        }
        let party = Party::Known(entry.uri);
        steps.push(Step { party, cause: entry.cause, is_private: entry.is_private });
    }
    steps
}

/// What History-Info tells, oldest first: a diversion for each entry with a cause (RFC 7544 §6).
pub(super) fn of_entries<'a>(fields: &Fields<Entry<'a>>) -> Few<Step<'a>> {
    let mut steps = Few::new();
    for (place, entry) in fields.items.iter().enumerate() {
        let Some(cause) = entry.cause else { continue };
        let diverting = diverting_entry(fields, (place, &entry)).and_then(|place| fields.items.get(place));
        steps.push(match diverting {
            Some(by) => Step { party: Party::Known(by.uri), cause, is_private: by.is_private },
            None => Step { party: Party::Unknown, cause, is_private: None },
        });
    }
    steps
}

/// Whether there are entries that tell of no diversion: neither a target nor who diverted to one (RFC 7544
/// §3.5).
pub(super) fn tells_of_more(fields: &Fields<Entry<'_>>) -> bool {
    (0..fields.items.len()).any(|place| {
        let targets = fields.items.iter().enumerate().filter(|(_, entry)| entry.cause.is_some());
        let is_told = |(target, entry): (usize, Entry<'_>)| {
            target == place || diverting_entry(fields, (target, &entry)) == Some(place)
        };
        !targets.into_iter().any(is_told)
    })
}

/// Where the entry of who diverted to a target stands: `mp` tells it, else it is the one before.
fn diverting_entry(fields: &Fields<Entry<'_>>, (place, entry): (usize, &Entry<'_>)) -> Option<usize> {
    let named = fields.items.iter().take(place).position(|other| other.is_at(entry.mapped));
    named.or(place.checked_sub(1))
}

/// Those of the steps that the others do not have, by who diverted: nobody's diversion is lost, and none is
/// told twice.
pub(super) fn not_among<'a>(steps: &Few<Step<'a>>, others: &Few<Step<'_>>) -> Few<Step<'a>> {
    let mut rest = Few::new();
    for (place, step) in steps.iter().enumerate() {
        let is_same = |other: &Step<'_>| Uri::same_user(other.party.user(), step.party.user());
        let nth = steps.iter().take(place + 1).filter(is_same).count();
        if nth > others.iter().filter(is_same).count() {
            rest.push(step);
        }
    }
    rest
}

impl<'a> Party<'a> {
    pub fn user(self) -> &'a [u8] {
        match self {
            Party::Unknown => UNKNOWN,
            Party::Known(uri) => user_of(uri),
        }
    }
}

/// The user of a URI that was read before.
pub(super) fn user_of(uri: &[u8]) -> &[u8] {
    Uri::parse(uri).map_or(&b""[..], |uri| uri.user)
}
