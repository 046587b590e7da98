//! ACK (RFC 3261 §13.2.2.4, §17.1.1.3).

use super::Message;
use crate::lab::sip::{Sip, uri_of};
use crate::lab::trace::Way;
use ringway::sip::Uri;

/// Every final response to an INVITE of ours gets its ACK: for a 2xx one with a branch of its own that
/// follows the dialog (RFC 3261 §13.2.2.4), else the INVITE's (§17.1.1.3). Those that come when the
/// transaction is over, 64·T1 after our CANCEL or after the first final response, are none of ours any more;
/// nor is one that contradicts an earlier one.
pub(super) fn each_final_response_is_acknowledged(messages: &[Message<'_>], t1x64_ms: u64) {
    for answer in messages.iter().filter(|message| message.is_response(Way::In, "INVITE")) {
        let sip = answer.sip;
        let ours = |method: &str| {
            let same_branch = move |other: &&Message<'_>| other.sip.branch == sip.branch;
            messages.iter().filter(same_branch).find(|other| other.is(Way::Out, method))
        };
        let given_up = ours("CANCEL").is_some_and(|cancel| answer.at_ms > cancel.at_ms + t1x64_ms);
        // The branch alone may have been overheard.
        let fits = |invite: &&Message<'_>| {
            invite.sip.cseq == sip.cseq && invite.sip.from_tag == sip.from_tag && answer.status() >= 200
        };
        let Some(invite) = ours("INVITE").filter(fits) else { continue };
        let is_same_fork = |other: &&Message<'_>| {
            let final_response = other.is_response(Way::In, "INVITE") && other.status() >= 200;
            final_response && other.sip.branch == sip.branch && other.sip.to_tag == sip.to_tag
        };
        let first = messages.iter().find(is_same_fork).unwrap_or(answer);
        let is_over = answer.at_ms >= first.at_ms + t1x64_ms || first.status() != answer.status();
        if is_over || given_up && answer.status() >= 300 {
            continue;
        }
        let after = messages.iter().filter(|other| other.place > answer.place);
        let mut acks = after.filter(|other| {
            other.is(Way::Out, "ACK") && other.sip.call_id == sip.call_id && other.sip.cseq == sip.cseq
        });
        let ack = acks.find(|ack| ack.sip.to_tag == sip.to_tag);
        let ack = ack.unwrap_or_else(|| panic!("never acknowledged:\n{}", sip.text())).sip;
        assert_eq!(ack.one("To"), sip.one("To"), "{}", ack.text());
        if answer.status() >= 300 {
            assert_eq!(ack.branch, invite.sip.branch, "{}", ack.text());
            continue;
        }
        assert_ne!(ack.branch, invite.sip.branch, "the ACK to a 2xx has a branch of its own");
        follows_the_route(ack, sip, invite.sip);
    }
}

/// The ACK to a 2xx goes to its Contact by its reversed Record-Route; within a dialog by the route that the
/// INVITE took (RFC 3261 §12.2.1.1). A first URI without `lr` is the Request-URI.
fn follows_the_route(ack: &Sip, answer: &Sip, invite: &Sip) {
    let text = ack.text();
    if !invite.to_tag.is_empty() {
        // The route set is `dialogs`' to check.
        let is_loose = ack.list("Route").first().is_none_or(|first| uri_of(first).contains(";lr"));
        if answer.has("Contact") && is_loose && invite.request_uri != ack.request_uri {
            assert_eq!(ack.request_uri, answer.contact(), "{text}");
        }
        return;
    }
    let mut routes = answer.list("Record-Route");
    routes.reverse();
    let is_uri = |text: &&str| Uri::parse(text.as_bytes()).is_ok();
    let contact = answer.has("Contact").then(|| answer.contact()).filter(is_uri);
    let target = contact.unwrap_or(uri_of(answer.one("To")));
    let (uri, routes) = super::dialogs::routed(target, &routes);
    assert_eq!((ack.request_uri.as_str(), ack.list("Route")), (uri.as_str(), routes), "{text}");
}
