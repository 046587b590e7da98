//! What a call's rounds have to be told of, where a number may have several locations.

use super::super::audit::Verdict;
use super::super::call::CALLER;
use super::super::plan::Told;
use super::super::rounds::{Rounds, Said};
use super::audit::{Seen, follows_path};
use super::heard;
use super::party::Party;
use super::view::{In, View};
use ringway::sip::Method;

/// The caller's INVITE.
fn first(view: &View) -> Option<&In> {
    view.incoming.iter().rfind(|asked| asked.method == Method::Invite && !asked.inside)
}

/// The caller's final response, if it has one.
pub fn final_status(view: &View) -> u16 {
    first(view).map_or(0, |first| first.status)
}

/// A message has come to the server, and the view is as it was before it.
pub fn arrives(rounds: &mut Rounds, place: u8, view: &View, seen: &Seen<'_>) {
    if place == CALLER {
        let waits = first(view).is_some_and(|first| first.status == 0);
        let of_first =
            first(view).is_some_and(|first| first.branch == super::party::branch_of(&seen.message));
        match seen.message.method() {
            _ if !seen.message.is_request() => {}
            Method::Cancel if waits && of_first => rounds.caller_gone(),
            Method::Bye if waits => rounds.caller_gone(),
            Method::Invite if seen.message.to_tag().is_empty() && !of_first => rounds.restart(),
            _ => {}
        }
    } else if let Some((status, rings)) = heard::of_leg(view, seen) {
        rounds.response(place, status, Said { rings, ..Said::default() }, seen.now_ms);
    }
}

/// A message of the server's to a callee, which the view knows already. `is_new`: its first request of that
/// branch.
pub fn told(rounds: &mut Rounds, (party, view): (&Party, &View), seen: &Seen<'_>, is_new: bool) -> Verdict {
    let (message, place) = (&seen.message, party.place);
    if !message.is_request() {
        return Ok(());
    }
    follows_path(rounds.has_path(place), party, view, message)?;
    match message.method() {
        Method::Invite if is_new && message.to_tag().is_empty() => {
            rounds.invite(place, &Told::NOTHING, seen.now_ms)
        }
        Method::Cancel => {
            let branch = super::party::branch_of(message);
            let is_leg = view.out.iter().any(|out| out.branch == branch && out.tag.is_empty());
            if is_leg { rounds.cancel(place, seen.now_ms) } else { Ok(()) }
        }
        Method::Ack => {
            rounds.acknowledge(place);
            Ok(())
        }
        Method::Bye => {
            rounds.hang_up(place);
            Ok(())
        }
        _ => Ok(()),
    }
}
