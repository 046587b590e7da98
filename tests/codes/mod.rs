//! A phone that dials feature codes.

use crate::lab::Lab;
use crate::lab::caller::{Caller, Invite};
use crate::lab::peer::Peer;
use crate::lab::sip::Sip;

/// `**61*1005#` as a phone writes it into a URI.
pub fn escaped(code: &str) -> String {
    code.replace('#', "%23")
}

pub fn invite(lab: &mut Lab, peer: Peer, code: &str) -> Invite {
    Invite::new(lab, peer, &escaped(code))
}

/// The INVITE of a phone that can be told in words.
pub fn worded(lab: &mut Lab, peer: Peer, code: &str) -> Invite {
    invite(lab, peer, code).line("Allow: INVITE, ACK, BYE, MESSAGE")
}

/// Dials a code that is done: 100, 200 and ACK.
#[track_caller]
pub fn done(lab: &mut Lab, invite: Invite) -> Caller {
    let peer = invite.peer;
    let mut caller = invite.send(lab);
    lab.expect(peer, "100 INVITE");
    caller.answered_and_acked(lab);
    caller
}

/// The server hangs up after its second.
#[track_caller]
pub fn hung_up(lab: &mut Lab, caller: &Caller) {
    let peer = caller.peer();
    lab.advance(992);
    lab.expect_nothing();
    lab.advance(16);
    let bye = lab.expect(peer, "BYE");
    caller.respond(lab, &bye, "200 OK");
    assert_eq!(lab.calls(), 0);
}

/// Takes the MESSAGE and answers it: what it says.
#[track_caller]
pub fn told(lab: &mut Lab, caller: &Caller) -> String {
    let message = lab.expect(caller.peer(), "MESSAGE");
    assert_eq!(message.one("Content-Type"), "text/plain;charset=UTF-8");
    caller.respond(lab, &message, "200 OK");
    body(&message)
}

pub fn body(message: &Sip) -> String {
    message.text().split_once("\r\n\r\n").expect("a body").1.to_owned()
}

/// Dials a code that is refused; the status, and the text that its Reason has.
#[track_caller]
pub fn refused(lab: &mut Lab, invite: Invite) -> (u16, String) {
    let peer = invite.peer;
    let caller = invite.send(lab);
    if lab.next_to(peer) == "100 INVITE" {
        lab.expect(peer, "100 INVITE");
    }
    let status: u16 = lab.next_to(peer)[..3].parse().expect("a status");
    let response = caller.refused(lab, status);
    let reason = response.one("Reason");
    let text =
        reason.strip_prefix(&format!("SIP;cause={status};text=\"")).and_then(|text| text.strip_suffix('"'));
    let text = text.unwrap_or_else(|| panic!("{status} with Reason {reason}"));
    assert_eq!(response.has("Retry-After"), status == 503);
    (status, text.to_owned())
}

/// What a number has set, as `busy 1005` or `busy 1005 off`.
pub fn rules(lab: &Lab, number: &str) -> Vec<String> {
    let forwarding = lab.keeper.forwarding(number).unwrap_or_default();
    let rules = forwarding.rules().iter();
    let line = |rule: &ringway::directory::Rule| {
        let off = if rule.is_active { "" } else { " off" };
        format!("{} {}{off}", rule.condition.name(), rule.target)
    };
    rules.map(line).collect()
}
