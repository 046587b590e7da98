//! IPv6 and both families in one call (RFC 3261 §18, RFC 5118; SIP_RULES 24).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::callee::{ANSWER, Leg};
use lab::caller::{Caller, Invite};
use lab::party::{Party, accepted, bye_and_finish, sdp};
use lab::peer::{A, B, C, Peer, Setup};
use lab::scene::refuse_and_finish;
use lab::sip::Sip;
use ringway::outbox::ListenerId;
use ringway::settings::Listener;
use std::net::SocketAddr;

const A6: Peer = Peer { name: "A6", number: "1003", address: v6(7) };
const B6: Peer = Peer { name: "B6", number: "1004", address: v6(9) };
const C6: Peer = Peer { name: "C6", number: "1005", address: v6(8) };
const SERVER6: SocketAddr = v6(0x60);

const fn v6(host: u16) -> SocketAddr {
    let ip = std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host);
    SocketAddr::new(std::net::IpAddr::V6(ip), 5060)
}

/// A server with an IPv6 listener besides; these subscribers are reached over IPv6.
fn lab_with(over_ipv6: &[Peer]) -> Lab {
    Lab::with(|setup: &mut Setup| {
        setup.settings.listeners.push(Listener { address: SERVER6, sent_by: SERVER6.to_string() });
        for peer in over_ipv6 {
            let forwarding = setup.subscriber(*peer).forwarding.clone();
            *setup.subscriber(*peer) = peer.subscriber();
            setup.subscriber(*peer).forwarding = forwarding;
        }
    })
}

/// One family on each side, in all four combinations.
const SIDES: [(Peer, Peer); 4] = [(A, C), (A6, C), (A, C6), (A6, C6)];

/// The caller calls the callee, who rings; 100 and 180 are taken.
#[track_caller]
fn ringing(lab: &mut Lab, caller: Peer, callee: Peer) -> (Caller, Leg) {
    let call = Caller::call(lab, caller, callee.number);
    lab.expect(caller, "100 INVITE");
    let leg = Leg::expect(lab, callee);
    leg.ring(lab);
    lab.expect(caller, "180 INVITE");
    (call, leg)
}

#[track_caller]
fn talking(lab: &mut Lab, caller: Peer, callee: Peer) -> (Party, Party) {
    let (mut call, leg) = ringing(lab, caller, callee);
    leg.respond(lab, "200 OK");
    let answer = call.answered_and_acked(lab);
    lab.expect(callee, "ACK");
    (Party::caller(&call, &answer), Party::callee(&leg))
}

/// How the server names itself towards a peer.
fn server_for(peer: Peer) -> &'static str {
    if peer.address.is_ipv6() { "[2001:db8::60]:5060" } else { "127.0.0.60:5060" }
}

#[test]
fn each_side_sees_the_server_at_the_address_of_its_own_family() {
    for (caller, callee) in SIDES {
        let mut lab = lab_with(&[C6].map(|peer| if callee == C6 { peer } else { C }));
        let (a, c) = talking(&mut lab, caller, callee);
        let requests: Vec<Sip> = lab.trace.iter().filter_map(|entry| entry.sip.clone()).collect();
        let invite = requests.iter().find(|sip| sip.method == "INVITE" && sip.call_id == c.dialog.call_id);
        let invite = invite.expect("the callee's INVITE");
        assert!(invite.one("Via").starts_with(&format!("SIP/2.0/UDP {};branch=", server_for(callee))));
        assert_eq!(invite.contact(), format!("sip:1003@{}", server_for(callee)));
        assert_eq!(invite.request_uri, format!("sip:1005@{}", callee.address));
        assert_eq!(a.dialog.target, format!("sip:1005@{}", server_for(caller)));
        let listener = |peer: Peer| ListenerId(u8::from(peer.address.is_ipv6()));
        for entry in &lab.trace {
            let peer = if entry.peer == caller.address { caller } else { callee };
            assert_eq!(entry.listener, listener(peer), "{}", entry.summary());
        }
        bye_and_finish(lab, a, &c);
    }
}

#[test]
fn everything_in_the_dialog_passes_between_the_families_both_ways() {
    for (caller, callee) in SIDES {
        for caller_asks in [true, false] {
            let mut lab = lab_with(if callee == C6 { &[C6] } else { &[] });
            let (a, c) = talking(&mut lab, caller, callee);
            let (mut asker, other) = if caller_asks { (a, c) } else { (c, a) };
            let invite = asker.invite(&mut lab, &sdp(1));
            asker.expect_response(&mut lab, &invite, 100);
            let relayed = other.expect(&mut lab, "INVITE");
            assert_eq!(relayed.request_uri, other.contact);
            assert!(relayed.contact().ends_with(server_for(other.peer)));
            accepted(&mut lab, &asker, &other, (&invite, &relayed));
            let info = asker.request(&mut lab, "INFO", &[], "x");
            let relayed = other.expect(&mut lab, "INFO");
            assert!(relayed.one("Via").contains(server_for(other.peer)));
            other.answer(&mut lab, &relayed, "200 OK");
            asker.expect_response(&mut lab, &info, 200);
            let update = asker.update(&mut lab, &sdp(3));
            let relayed = other.expect(&mut lab, "UPDATE");
            other.respond(&mut lab, &relayed, "200 OK", &[], &sdp(4));
            asker.expect_response(&mut lab, &update, 200);
            bye_and_finish(lab, asker, &other);
        }
    }
}

#[test]
fn a_call_from_ipv6_is_forwarded_from_ipv4_to_ipv6_and_back() {
    for (b, c) in [(B, C6), (B6, C), (B6, C6)] {
        let mut lab = lab_with(&[b, c]);
        let (mut call, leg) = ringing(&mut lab, A6, b);
        lab.advance(20_000);
        lab.expect(A6, "181 INVITE");
        let target = Leg::expect(&mut lab, c);
        assert_eq!(target.invite.all("Diversion").len(), 1);
        leg.cancelled(&mut lab);
        target.respond(&mut lab, "200 OK");
        let answer = call.answered_and_acked(&mut lab);
        lab.expect(c, "ACK");
        bye_and_finish(lab, Party::caller(&call, &answer), &Party::callee(&target));
    }
}

#[test]
fn the_diversion_names_the_ipv6_request_uri_in_brackets() {
    let mut lab = lab_with(&[]);
    let mut invite = Invite::new(&mut lab, A6, "1004");
    invite.request_uri = "sip:1004@[2001:db8::60]:5060".into();
    let call = invite.send(&mut lab);
    lab.expect(A6, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    b.reject(&mut lab, "408 Request Timeout");
    lab.expect(A6, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    let diversion = c.invite.one("Diversion");
    assert!(diversion.starts_with("<sip:1004@[2001:db8::60]"), "{diversion}");
    c.reject(&mut lab, "486 Busy Here");
    call.refused(&mut lab, 486);
    lab.finish();
}

#[test]
fn received_is_an_ipv6_address_without_brackets_and_rport_the_very_port() {
    let mut lab = lab_with(&[]);
    let source: SocketAddr = "[2001:db8::7]:40001".parse().expect("an address");
    let mut invite = Invite::new(&mut lab, A6, "1005");
    invite.via = "SIP/2.0/UDP [2001:db8::abcd]:5062;rport;branch=z9hG4bK7".into();
    let text = invite.text();
    lab.send_from(source, &text);
    let trying = lab.expect_at(source, "100 INVITE");
    let via = "SIP/2.0/UDP [2001:db8::abcd]:5062;rport=40001;branch=z9hG4bK7;received=2001:db8::7";
    assert_eq!(trying.one("Via"), via);
    let c = Leg::expect(&mut lab, C);
    c.reject(&mut lab, "486 Busy Here");
    let refusal = lab.expect_at(source, "486 INVITE");
    let caller = Caller { cseq: 39, text, invite, answer: None };
    lab.send_from(source, &caller.ack_refusal_text(&refusal));
    lab.finish();
}

#[test]
fn without_rport_the_response_goes_to_the_port_of_an_ipv6_sent_by() {
    for (sent_by, port) in [("[2001:db8::7]:5062", 5062), ("[2001:db8::7]", 5060)] {
        let mut lab = lab_with(&[]);
        let source: SocketAddr = "[2001:db8::7]:40001".parse().expect("an address");
        let mut invite = Invite::new(&mut lab, A6, "1005");
        invite.via = format!("SIP/2.0/UDP {sent_by};branch=z9hG4bK7");
        let text = invite.text();
        lab.send_from(source, &text);
        let back = SocketAddr::new(source.ip(), port);
        let trying = lab.expect_at(back, "100 INVITE");
        assert_eq!(trying.one("Via"), invite.via, "the address is the right one");
        let c = Leg::expect(&mut lab, C);
        c.reject(&mut lab, "486 Busy Here");
        let refusal = lab.expect_at(back, "486 INVITE");
        let caller = Caller { cseq: 39, text, invite, answer: None };
        lab.send_from(source, &caller.ack_refusal_text(&refusal));
        lab.finish();
    }
}

#[test]
fn record_routes_in_brackets_come_back_and_are_followed() {
    for lr in [";lr", ""] {
        let mut lab = lab_with(&[C6]);
        let proxy = Peer { address: v6(0x77), ..C6 };
        let mut invite = Invite::new(&mut lab, A6, "1005");
        invite.lines.push("Record-Route: <sip:[2001:db8::66]:5060;lr>".into());
        let mut call = invite.send(&mut lab);
        lab.expect(A6, "100 INVITE");
        let leg = Leg::expect(&mut lab, C6);
        let route = format!("<sip:[2001:db8::77]:5060{lr}>");
        leg.respond_with(&mut lab, "200 OK", &[&format!("Record-Route: {route}")], ANSWER);
        let answer = call.answered_and_acked(&mut lab);
        assert_eq!(answer.list("Record-Route"), ["<sip:[2001:db8::66]:5060;lr>"]);
        let ack = lab.expect(proxy, "ACK");
        match lr {
            "" => {
                assert_eq!(ack.request_uri, "sip:[2001:db8::77]:5060");
                assert_eq!(ack.list("Route"), ["<sip:1005@[2001:db8::8]:5060>"]);
            }
            _ => assert_eq!(ack.list("Route"), [route]),
        }
        let (mut a, mut c) = (Party::caller(&call, &answer), Party::callee(&leg));
        c.peer = proxy;
        let info = c.request(&mut lab, "INFO", &[], "");
        a.peer = Peer { address: v6(0x66), ..A6 };
        let relayed = a.expect(&mut lab, "INFO");
        assert_eq!(relayed.list("Route"), ["<sip:[2001:db8::66]:5060;lr>"]);
        a.answer(&mut lab, &relayed, "200 OK");
        c.expect_response(&mut lab, &info, 200);
        bye_and_finish(lab, a, &c);
    }
}

#[test]
fn a_callees_contact_with_another_ipv6_address_and_port_is_where_its_requests_go() {
    let mut lab = lab_with(&[C6]);
    let mut call = Caller::call(&mut lab, A, "1005");
    lab.expect(A, "100 INVITE");
    let leg = Leg::expect(&mut lab, C6);
    leg.respond_with(&mut lab, "200 OK", &["Contact: <sip:1005@[2001:db8::99]:5099;x=[y]>"], ANSWER);
    let answer = call.answered_and_acked(&mut lab);
    let at = Peer { address: "[2001:db8::99]:5099".parse().expect("an address"), ..C6 };
    let ack = lab.expect(at, "ACK");
    assert_eq!(ack.request_uri, "sip:1005@[2001:db8::99]:5099;x=[y]");
    let mut c = Party::callee(&leg);
    c.peer = at;
    bye_and_finish(lab, Party::caller(&call, &answer), &c);
}

#[test]
fn a_contact_of_the_other_family_is_reached_where_the_peer_was() {
    let mut lab = lab_with(&[]);
    let mut call = Caller::call(&mut lab, A, "1005");
    lab.expect(A, "100 INVITE");
    let leg = Leg::expect(&mut lab, C);
    leg.respond_with(&mut lab, "200 OK", &["Contact: <sip:1005@[2001:db8::99]:5099>"], ANSWER);
    let answer = call.answered_and_acked(&mut lab);
    let mut c = Party::callee(&leg);
    if lab.trace.last().is_some_and(|entry| entry.peer == C.address) {
        lab.expect(C, "ACK");
    } else {
        c.peer = Peer { address: "[2001:db8::99]:5099".parse().expect("an address"), ..C6 };
        c.expect(&mut lab, "ACK");
    }
    bye_and_finish(lab, Party::caller(&call, &answer), &c);
}

#[test]
fn a_caller_may_move_to_another_ipv6_address() {
    let mut lab = lab_with(&[]);
    let (mut a, mut c) = talking(&mut lab, A6, C);
    a.move_to(Peer { address: v6(0x71), ..A6 });
    let update = a.update(&mut lab, "");
    a.expect_response(&mut lab, &update, 200);
    let info = c.request(&mut lab, "INFO", &[], "");
    let relayed = a.expect(&mut lab, "INFO");
    assert_eq!(relayed.request_uri, "sip:1003@[2001:db8::71]:5060");
    a.answer(&mut lab, &relayed, "200 OK");
    c.expect_response(&mut lab, &info, 200);
    bye_and_finish(lab, a, &c);
}

#[test]
fn the_callers_cancel_crosses_the_families() {
    for (caller, callee) in SIDES {
        let mut lab = lab_with(if callee == C6 { &[C6] } else { &[] });
        let (call, leg) = ringing(&mut lab, caller, callee);
        call.cancel(&mut lab);
        lab.expect(caller, "200 CANCEL");
        call.refused(&mut lab, 487);
        leg.cancelled(&mut lab);
        lab.finish();
    }
}

#[test]
fn an_ipv6_callee_may_be_busy() {
    let mut lab = lab_with(&[C6]);
    let (call, leg) = ringing(&mut lab, A, C6);
    refuse_and_finish(lab, &call, &leg);
}
