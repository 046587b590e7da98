//! Where the INVITEs of a group go: by the binding's Path (RFC 3327 §5.2), to its destination, from its
//! listener.

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::callee::Leg;
use lab::caller::{Caller, Invite};
use lab::group::{self, B1, B2, binding, binding_with_path};
use lab::peer::{A, B, C, Peer, Setup};
use lab::scene::{hang_up_and_finish, refuse_and_finish, talk_and_finish};
use lab::{Lab, T1X64_MS};
use ringway::outbox::ListenerId;
use ringway::settings::Listener;
use std::net::SocketAddr;

const PATH: &str = "<sip:edge@127.0.0.161:5060;lr>,<sip:127.0.0.99;lr;ob>";

/// B1 is behind proxies, B2 is not.
fn lab_with_path() -> Lab {
    Lab::with(|setup| {
        setup.only_registers(B);
        let mut behind = binding_with_path(B1, 1_000, PATH);
        behind.uri = "sip:1004@192.0.2.7:5062;ob".into();
        setup.bind_as(B1, behind);
        setup.bind(B2, 1_000);
    })
}

/// Where a message stands in the trace's last datagrams: from which listener it left.
fn listeners_to(lab: &Lab, peer: Peer) -> Vec<ListenerId> {
    let to_peer = lab.trace.iter().filter(|entry| entry.peer == peer.address);
    to_peer.filter(|entry| entry.way == lab::trace::Way::Out).map(|entry| entry.listener).collect()
}

#[test]
fn the_path_is_the_invites_route_before_call_id() {
    let mut lab = lab_with_path();
    let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    assert_eq!(b1.invite.request_uri, "sip:1004@192.0.2.7:5062;ob");
    assert_eq!(b1.invite.one("To"), "<sip:1004@192.0.2.7:5062;ob>");
    assert_eq!(b1.invite.list("Route"), ["<sip:edge@127.0.0.161:5060;lr>", "<sip:127.0.0.99;lr;ob>"]);
    assert_eq!(b1.invite.names()[..4], ["Via", "Max-Forwards", "Route", "Call-ID"]);
    assert!(!b2.invite.has("Route"));
    b2.reject(&mut lab, "486 Busy Here");
    b1.respond(&mut lab, "200 OK");
    talk_and_finish(lab, caller, &b1);
}

#[test]
fn the_cancel_goes_by_the_invites_route() {
    let mut lab = lab_with_path();
    let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    b1.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    b2.respond(&mut lab, "200 OK");
    let cancel = lab.expect(B1, "CANCEL");
    assert_eq!(cancel.request_uri, "sip:1004@192.0.2.7:5062;ob");
    assert_eq!(cancel.all("Route"), b1.invite.all("Route"));
    assert_eq!(
        cancel.names(),
        ["Via", "Max-Forwards", "Route", "Call-ID", "From", "To", "CSeq", "Reason", "Content-Length"]
    );
    assert_eq!(cancel.one("Reason"), "SIP;cause=200;text=\"Call completed elsewhere\"");
    b1.answer(&mut lab, &cancel, "200 OK");
    // It answers all the same: no ACK with the INVITE's branch is needed.
    b1.respond(&mut lab, "200 OK");
    lab.expect(B1, "ACK");
    b1.hung_up(&mut lab);
    talk_and_finish(lab, caller, &b2);
}

#[test]
fn a_repeated_invite_and_cancel_have_the_route_too() {
    let mut lab = lab_with_path();
    let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    b2.respond(&mut lab, "100 Trying");
    lab.advance(504);
    assert_eq!(lab.expect(B1, "INVITE"), b1.invite);
    b1.respond(&mut lab, "100 Trying");
    caller.cancel(&mut lab);
    lab.expect(A, "200 CANCEL");
    caller.refused(&mut lab, 487);
    let cancel = lab.expect(B1, "CANCEL");
    b2.cancelled(&mut lab);
    lab.advance(504);
    assert_eq!(lab.expect(B1, "CANCEL"), cancel);
    b1.answer(&mut lab, &cancel, "200 OK");
    b1.respond(&mut lab, "200 OK");
    lab.expect(B1, "ACK");
    b1.hung_up(&mut lab);
    lab.finish();
}

#[test]
fn in_the_dialog_the_record_route_counts_and_not_the_path() {
    let mut lab = lab_with_path();
    let (mut caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    b2.reject(&mut lab, "486 Busy Here");
    let lines = ["Record-Route: <sip:127.0.0.161;lr;dialog>", "Contact: <sip:1004@192.0.2.7:5062>"];
    b1.respond_with(&mut lab, "200 OK", &lines, lab::callee::ANSWER);
    let answer = caller.answered_and_acked(&mut lab);
    assert!(!answer.has("Record-Route"));
    let ack = lab.expect(B1, "ACK");
    assert_eq!(ack.all("Route"), ["<sip:127.0.0.161;lr;dialog>"]);
    assert_eq!(ack.request_uri, "sip:1004@192.0.2.7:5062");
    hang_up_and_finish(lab, caller, &b1);
}

#[test]
fn the_callers_route_does_not_reach_the_phones() {
    let mut lab = lab_with_path();
    let mut invite = Invite::new(&mut lab, A, B.number);
    invite.lines.push("Route: <sip:127.0.0.60:5060;lr>".into());
    let caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let [b1, b2] = group::started(&mut lab, [B1, B2]);
    assert_eq!(b1.invite.list("Route").len(), 2);
    assert!(!b2.invite.has("Route"));
    caller.cancel(&mut lab);
    lab.expect(A, "200 CANCEL");
    caller.refused(&mut lab, 487);
    lab.advance(T1X64_MS);
    assert!(lab.sent().iter().all(|sent| sent.ends_with("INVITE")));
    lab.finish();
}

const SERVER2: &str = "127.0.0.61:5060";

fn second_listener(setup: &mut Setup) {
    let address: SocketAddr = SERVER2.parse().unwrap();
    setup.settings.listeners.push(Listener { address, sent_by: SERVER2.into() });
}

#[test]
fn each_phone_is_called_from_the_listener_by_which_it_registered() {
    let mut lab = group::lab_with(&[1_000], |setup| {
        second_listener(setup);
        let mut other = binding(B2, 1_000);
        other.listener = ListenerId(1);
        setup.bind_as(B2, other);
    });
    let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    for (leg, number, sent_by) in [(&b1, 0, "127.0.0.60:5060"), (&b2, 1, SERVER2)] {
        assert_eq!(listeners_to(&lab, leg.peer), [ListenerId(number)]);
        assert!(leg.invite.one("Via").starts_with(&format!("SIP/2.0/UDP {sent_by};branch=")));
        assert_eq!(leg.invite.one("Contact"), format!("<sip:1003@{sent_by}>"));
    }
    b2.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    b1.respond(&mut lab, "200 OK");
    let cancel = lab.expect(B2, "CANCEL");
    assert_eq!(listeners_to(&lab, B2), [ListenerId(1); 2]);
    b2.answer(&mut lab, &cancel, "200 OK");
    b2.reject(&mut lab, "487 Request Terminated");
    assert_eq!(listeners_to(&lab, B2), [ListenerId(1); 3], "INVITE, CANCEL, ACK");
    talk_and_finish(lab, caller, &b1);
}

#[test]
fn the_dialog_stays_with_its_listener() {
    let mut lab = group::lab_with(&[], |setup| {
        second_listener(setup);
        let mut other = binding(B2, 1_000);
        other.listener = ListenerId(1);
        setup.bind_as(B2, other);
    });
    let (mut caller, [b2]) = group::call(&mut lab, [B2]);
    b2.respond(&mut lab, "200 OK");
    caller.answered_and_acked(&mut lab);
    let ack = lab.expect(B2, "ACK");
    assert!(ack.one("Via").starts_with(&format!("SIP/2.0/UDP {SERVER2};")));
    caller.bye(&mut lab);
    lab.expect(A, "200 BYE");
    let bye = b2.hung_up(&mut lab);
    assert!(bye.one("Via").starts_with(&format!("SIP/2.0/UDP {SERVER2};")));
    assert!(listeners_to(&lab, B2).iter().all(|&listener| listener == ListenerId(1)));
    assert!(listeners_to(&lab, A).iter().all(|&listener| listener == ListenerId(0)));
    lab.finish();
}

#[test]
fn the_static_contact_is_called_from_the_callers_listener() {
    let mut lab = Lab::with(second_listener);
    let caller = Invite::new(&mut lab, A, C.number);
    let text = caller.text();
    lab.send_to(ListenerId(1), A.address, text.as_bytes());
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(&mut lab, C);
    assert_eq!(listeners_to(&lab, C), [ListenerId(1)]);
    let caller = Caller { cseq: caller.cseq, invite: caller, text, answer: None };
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn a_listener_that_is_gone_or_of_the_other_family_is_replaced() {
    const B6: Peer = Peer { name: "B6", number: "1004", address: SocketAddr::new(V6, 5060) };
    const V6: std::net::IpAddr =
        std::net::IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9));
    let mut lab = group::lab_with(&[], |setup| {
        let address: SocketAddr = "[2001:db8::60]:5060".parse().unwrap();
        setup.settings.listeners.push(Listener { address, sent_by: address.to_string() });
        // Registered by the IPv4 listener, reached over IPv6.
        setup.bind(B6, 1_000);
        // Registered by a listener that the server has no more.
        let mut gone = binding(B1, 1_000);
        gone.listener = ListenerId(7);
        setup.bind_as(B1, gone);
    });
    let (caller, [b6, b1]) = group::call(&mut lab, [B6, B1]);
    assert_eq!(listeners_to(&lab, B6), [ListenerId(1)]);
    assert_eq!(listeners_to(&lab, B1), [ListenerId(0)]);
    assert!(b6.invite.one("Via").starts_with("SIP/2.0/UDP [2001:db8::60]:5060;branch="));
    assert_eq!(b6.invite.one("Contact"), "<sip:1003@[2001:db8::60]:5060>");
    b6.reject(&mut lab, "486 Busy Here");
    refuse_and_finish(lab, &caller, &b1);
}
