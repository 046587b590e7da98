//! Where messages go: rport and received, Route sets, Contacts, listeners and address families
//! (SIP_RULES 24; RFC 3261 §12, §18.2; RFC 3581).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::callee::{ANSWER, Leg};
use lab::caller::{Caller, Invite, response};
use lab::peer::{A, B, C, Peer, SERVER, Setup};
use lab::scene::{hang_up_and_finish, refuse_and_finish};
use lab::sip::Sip;
use ringway::outbox::ListenerId;
use ringway::settings::Listener;
use std::net::SocketAddr;

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// A's INVITE comes from `source` with this Via; its 100, and where that was sent.
#[track_caller]
fn trying(via: &str, source: &str) -> (SocketAddr, Sip) {
    let mut lab = Lab::new();
    let invite = Invite { via: via.into(), ..Invite::new(&mut lab, A, "1005") };
    lab.send_from(address(source), &invite.text());
    let destination = lab.trace[1].peer;
    let trying = lab.expect_at(destination, "100 INVITE");
    let c = Leg::expect(&mut lab, C);
    c.reject(&mut lab, "486 Busy Here");
    let refusal = lab.expect_at(destination, "486 INVITE");
    let caller = Caller { cseq: 39, text: String::new(), invite, answer: None };
    lab.send_from(address(source), &caller.ack_refusal_text(&refusal));
    lab.finish();
    (destination, trying)
}

#[test]
fn with_rport_responses_go_back_to_the_very_port() {
    let (destination, trying) =
        trying("SIP/2.0/UDP 192.168.1.7:5062;rport;branch=z9hG4bK7", "203.0.113.9:40001");
    assert_eq!(destination, address("203.0.113.9:40001"));
    let via = "SIP/2.0/UDP 192.168.1.7:5062;rport=40001;branch=z9hG4bK7;received=203.0.113.9";
    assert_eq!(trying.one("Via"), via);
}

#[test]
fn without_rport_responses_go_to_the_port_of_sent_by() {
    let (destination, trying) = trying("SIP/2.0/UDP 192.168.1.7:5062;branch=z9hG4bK7", "203.0.113.9:40001");
    assert_eq!(destination, address("203.0.113.9:5062"));
    assert_eq!(trying.one("Via"), "SIP/2.0/UDP 192.168.1.7:5062;branch=z9hG4bK7;received=203.0.113.9");
}

#[test]
fn sent_by_without_a_port_means_5060() {
    let (destination, trying) = trying("SIP/2.0/UDP 203.0.113.9;branch=z9hG4bK7", "203.0.113.9:40001");
    assert_eq!(destination, address("203.0.113.9:5060"));
    assert_eq!(trying.one("Via"), "SIP/2.0/UDP 203.0.113.9;branch=z9hG4bK7", "the address is the right one");
}

#[test]
fn a_host_name_in_sent_by_gets_received() {
    let (destination, trying) =
        trying("SIP / 2.0 / UDP phone.example.com : 5070 ;branch=z9hG4bK7", "203.0.113.9:9");
    assert_eq!(destination, address("203.0.113.9:5070"));
    let via = "SIP / 2.0 / UDP phone.example.com : 5070 ;branch=z9hG4bK7;received=203.0.113.9";
    assert_eq!(trying.one("Via"), via);
}

#[test]
fn a_forged_received_is_overwritten() {
    let via = "SIP/2.0/UDP 192.168.1.7;received=198.51.100.1;rport;branch=z9hG4bK7;x=\"a;rport\"";
    let (destination, trying) = trying(via, "203.0.113.9:40001");
    assert_eq!(destination, address("203.0.113.9:40001"));
    let via = "SIP/2.0/UDP 192.168.1.7;rport=40001;branch=z9hG4bK7;x=\"a;rport\";received=203.0.113.9";
    assert_eq!(trying.one("Via"), via);
}

#[test]
fn a_branch_comes_back_byte_for_byte() {
    // A form feed is no blank of SIP's.
    let (_, trying) = trying("SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1\x0c ;x = 1 ", "10.0.0.1:5060");
    assert_eq!(trying.one("Via"), "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1\x0c;x = 1");
}

#[test]
fn the_vias_of_proxies_on_the_way_are_copied_in_order() {
    let via = "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1, SIP/2.0/TCP 10.0.0.2;branch=z9hG4bK2\r\n\
               v: SIP/2.0/UDP 10.0.0.3:5061;branch=z9hG4bK3";
    let (_, trying) = trying(via, "10.0.0.1:5060");
    let expected = [
        "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1, SIP/2.0/TCP 10.0.0.2;branch=z9hG4bK2",
        "SIP/2.0/UDP 10.0.0.3:5061;branch=z9hG4bK3",
    ];
    assert_eq!(trying.all("Via"), expected);
}

#[test]
fn the_callers_record_route_comes_back_in_what_makes_a_dialog() {
    let mut lab = Lab::new();
    let routes = ["<sip:10.0.0.2;lr>, <sip:10.0.0.3;lr>", "<sip:10.0.0.4;lr>"];
    let invite = Invite::new(&mut lab, A, "1004")
        .line(format!("Record-Route: {}", routes[0]))
        .line(format!("Record-Route: {}", routes[1]));
    let caller = invite.send(&mut lab);
    assert!(!lab.expect(A, "100 INVITE").has("Record-Route"));
    let b = Leg::expect(&mut lab, B);
    assert!(!b.invite.has("Record-Route") && !b.invite.has("Route"));
    b.ring(&mut lab);
    assert_eq!(lab.expect(A, "180 INVITE").all("Record-Route"), routes);
    b.reject(&mut lab, "408 Request Timeout");
    assert_eq!(lab.expect(A, "181 INVITE").all("Record-Route"), routes);
    let c = Leg::expect(&mut lab, C);
    c.reject(&mut lab, "486 Busy Here");
    assert!(!caller.refused(&mut lab, 486).has("Record-Route"));
    lab.finish();
}

#[test]
fn a_bye_to_the_caller_takes_the_route_that_its_invite_took() {
    let mut lab = Lab::new();
    let invite = Invite::new(&mut lab, A, "1005")
        .line("Record-Route: <sip:10.0.0.2:5066;lr;x=1>;y, <sip:10.0.0.3;lr>")
        .line("Record-Route: <sip:edge.example.com;lr>");
    let mut caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let mut c = Leg::expect(&mut lab, C);
    c.respond(&mut lab, "200 OK");
    let answer = caller.answered_and_acked(&mut lab);
    assert_eq!(answer.list("Record-Route").len(), 3);
    lab.expect(C, "ACK");
    c.bye(&mut lab);
    lab.expect(C, "200 BYE");
    let first_hop = address("10.0.0.2:5066");
    let bye = lab.expect_at(first_hop, "BYE");
    let expected = ["<sip:10.0.0.2:5066;lr;x=1>;y", "<sip:10.0.0.3;lr>", "<sip:edge.example.com;lr>"];
    assert_eq!(bye.all("Route"), expected);
    assert_eq!(bye.request_uri, "sip:1003@127.0.0.137:5060");
    lab.send_from(first_hop, &response(&bye, "200 OK", "", &[], ""));
    assert_eq!(lab.calls(), 0);
    lab.finish();
}

#[test]
fn ack_and_bye_to_the_callee_take_the_reversed_route() {
    let mut lab = Lab::new();
    let mut caller = Caller::call(&mut lab, A, "1005");
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(&mut lab, C);
    let lines =
        ["Record-Route: <sip:10.0.0.4;lr>", "Record-Route: <sip:10.0.0.3;lr>, <sip:10.0.0.2:5070;lr>"];
    c.respond_with(&mut lab, "200 OK", &lines, ANSWER);
    assert!(!caller.answered_and_acked(&mut lab).has("Record-Route"), "the callee's route is its leg's");
    let first_hop = address("10.0.0.2:5070");
    let expected = ["<sip:10.0.0.2:5070;lr>", "<sip:10.0.0.3;lr>", "<sip:10.0.0.4;lr>"];
    let ack = lab.expect_at(first_hop, "ACK");
    caller.bye(&mut lab);
    lab.expect(A, "200 BYE");
    let bye = lab.expect_at(first_hop, "BYE");
    for request in [&ack, &bye] {
        assert_eq!(request.all("Route"), expected);
        assert_eq!(request.request_uri, "sip:1005@127.0.0.138:5060");
    }
    lab.send_from(first_hop, &response(&bye, "200 OK", "", &[], ""));
    lab.finish();
}

#[test]
fn requests_in_the_dialog_go_to_the_contact() {
    let mut lab = Lab::new();
    let elsewhere = address("127.0.0.139:5099");
    let invite = Invite::new(&mut lab, A, "1005");
    let invite =
        Invite { contact: "\"A, at home\" <sip:alice@10.9.8.7:5080;ob>;expires=60".into(), ..invite };
    let mut caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let mut c = Leg::expect(&mut lab, C);
    c.respond_with(&mut lab, "200 OK", &["Contact: sip:1005@127.0.0.139:5099;q=1"], ANSWER);
    caller.answered_and_acked(&mut lab);
    let ack = lab.expect_at(elsewhere, "ACK");
    assert_eq!(ack.request_uri, "sip:1005@127.0.0.139:5099");
    c.bye(&mut lab);
    lab.expect(C, "200 BYE");
    let bye = lab.expect_at(address("10.9.8.7:5080"), "BYE");
    assert_eq!(bye.request_uri, "sip:alice@10.9.8.7:5080;ob");
    lab.send_from(address("10.9.8.7:5080"), &response(&bye, "200 OK", "", &[], ""));
    lab.finish();
}

#[test]
fn a_contact_with_a_host_name_is_reached_where_the_peer_was() {
    let mut lab = Lab::new();
    let invite = Invite::new(&mut lab, A, "1005");
    let mut caller = Invite { contact: "<sip:1003@phone.example.com>".into(), ..invite }.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let mut c = Leg::expect(&mut lab, C);
    c.respond_with(&mut lab, "200 OK", &["Contact: <sip:1005@c.example.com:5090>"], ANSWER);
    caller.answered_and_acked(&mut lab);
    assert_eq!(lab.expect(C, "ACK").request_uri, "sip:1005@c.example.com:5090");
    c.bye(&mut lab);
    lab.expect(C, "200 BYE");
    let bye = lab.expect(A, "BYE");
    assert_eq!(bye.request_uri, "sip:1003@phone.example.com");
    caller.respond(&mut lab, &bye, "200 OK");
    lab.finish();
}

#[test]
fn without_a_contact_the_address_itself_is_the_target() {
    let mut lab = Lab::new();
    let invite = Invite { contact: String::new(), ..Invite::new(&mut lab, A, "1005") };
    let mut caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let mut c = Leg::expect(&mut lab, C);
    let answer = c.text("200 OK").replace("Contact: <sip:1005@127.0.0.138:5060>\r\n", "");
    lab.send(C, &answer);
    caller.answered_and_acked(&mut lab);
    assert_eq!(lab.expect(C, "ACK").request_uri, "sip:1005@127.0.0.138:5060");
    c.bye(&mut lab);
    lab.expect(C, "200 BYE");
    let bye = lab.expect_at(SERVER, "BYE");
    assert_eq!(bye.request_uri, "sip:1003@127.0.0.60:5060;user=phone");
    lab.send_from(SERVER, &response(&bye, "200 OK", "", &[], ""));
    lab.finish();
}

#[test]
fn a_contact_that_is_no_uri_is_taken_for_none() {
    let mut lab = Lab::new();
    let invite = Invite { contact: "<sip:\x0f@10.0.0.1>".into(), ..Invite::new(&mut lab, A, "1005") };
    let mut caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let mut c = Leg::expect(&mut lab, C);
    let answer = c.text("200 OK").replace("Contact: <sip:1005@127.0.0.138:5060>", "Contact: <5>");
    lab.send(C, &answer);
    caller.answered_and_acked(&mut lab);
    assert_eq!(lab.expect(C, "ACK").request_uri, "sip:1005@127.0.0.138:5060");
    c.bye(&mut lab);
    lab.expect(C, "200 BYE");
    let bye = lab.expect_at(SERVER, "BYE");
    assert_eq!(bye.request_uri, "sip:1003@127.0.0.60:5060;user=phone");
    lab.send_from(SERVER, &response(&bye, "200 OK", "", &[], ""));
    lab.finish();
}

const A6: Peer = Peer { name: "A6", number: "1003", address: v6(7) };
const C6: Peer = Peer { name: "C6", number: "1005", address: v6(8) };
const SERVER6: SocketAddr = v6(0x60);

const fn v6(host: u16) -> SocketAddr {
    let ip = std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host);
    SocketAddr::new(std::net::IpAddr::V6(ip), 5060)
}

fn with_ipv6(setup: &mut Setup) {
    setup.settings.listeners.push(Listener { address: SERVER6, sent_by: SERVER6.to_string() });
}

#[test]
fn a_call_over_ipv6_stays_on_the_ipv6_listener() {
    let mut lab = Lab::with(|setup| {
        with_ipv6(setup);
        *setup.subscriber(C) = C6.subscriber();
    });
    let mut caller = Caller::call(&mut lab, A6, "1005");
    let trying = lab.expect(A6, "100 INVITE");
    assert_eq!(trying.contact(), "sip:1005@[2001:db8::60]:5060");
    let via = "SIP/2.0/UDP [2001:db8::7]:5060;rport=5060;branch=z9hG4bK10751;received=2001:db8::7";
    assert_eq!(trying.one("Via"), via);
    let mut c = Leg::expect(&mut lab, C6);
    assert_eq!(c.invite.request_uri, "sip:1005@[2001:db8::8]:5060");
    assert!(c.invite.one("Via").starts_with("SIP/2.0/UDP [2001:db8::60]:5060;branch="));
    c.respond(&mut lab, "200 OK");
    caller.answered_and_acked(&mut lab);
    assert_eq!(lab.expect(C6, "ACK").request_uri, "sip:1005@[2001:db8::8]:5060");
    c.bye(&mut lab);
    lab.expect(C6, "200 BYE");
    let bye = lab.expect(A6, "BYE");
    caller.respond(&mut lab, &bye, "200 OK");
    assert!(lab.trace.iter().all(|entry| entry.listener == ListenerId(1)));
    lab.finish();
}

#[test]
fn a_call_from_ipv6_is_forwarded_to_ipv4_by_the_listener_that_can() {
    let mut lab = Lab::with(with_ipv6);
    let caller = Caller::call(&mut lab, A6, "1004");
    lab.expect(A6, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    assert!(b.invite.one("Via").starts_with("SIP/2.0/UDP 127.0.0.60:5060;branch="));
    assert_eq!(b.invite.contact(), "sip:1003@127.0.0.60:5060");
    b.respond(&mut lab, "200 OK");
    let listeners = |peer: Peer| -> Vec<u8> {
        let of_peer = lab.trace.iter().filter(|entry| entry.peer == peer.address);
        of_peer.map(|entry| entry.listener.0).collect()
    };
    assert_eq!((listeners(A6), listeners(B)), (vec![1, 1, 1], vec![0, 0]));
    let mut caller = caller;
    caller.answered_and_acked(&mut lab);
    lab.expect(B, "ACK");
    hang_up_and_finish(lab, caller, &b);
}

#[test]
fn a_callee_is_called_from_the_callers_listener_where_that_can_reach_it() {
    let second = address("127.0.0.61:5070");
    let mut lab = Lab::with(|setup| {
        setup.settings.listeners.push(Listener { address: second, sent_by: "proxy.example.com:5070".into() });
    });
    let caller = Invite::new(&mut lab, A, "1004");
    lab.send_to(ListenerId(1), A.address, caller.text().as_bytes());
    let trying = lab.expect(A, "100 INVITE");
    assert_eq!(trying.contact(), "sip:1004@proxy.example.com:5070");
    let b = Leg::expect(&mut lab, B);
    assert!(b.invite.one("Via").starts_with("SIP/2.0/UDP proxy.example.com:5070;branch="));
    assert!(b.invite.call_id.ends_with("@proxy.example.com:5070"));
    assert!(lab.trace.iter().all(|entry| entry.listener == ListenerId(1)));
    let caller = Caller { cseq: 39, text: caller.text(), invite: caller, answer: None };
    refuse_and_finish(lab, &caller, &b);
}

#[test]
fn a_request_uri_of_any_scheme_that_we_take_finds_its_subscriber() {
    let escaped = "sip:%31%3004@127.0.0.60";
    for request_uri in [escaped, "sip:1004:secret@127.0.0.60", "sips:1004@127.0.0.60", "tel:1004"] {
        let mut lab = Lab::new();
        let invite = Invite { request_uri: request_uri.into(), ..Invite::new(&mut lab, A, "1004") };
        let caller = invite.send(&mut lab);
        lab.expect(A, "100 INVITE");
        let b = Leg::expect(&mut lab, B);
        refuse_and_finish(lab, &caller, &b);
    }
}

#[test]
fn a_percent_sign_before_a_plus_is_no_escape() {
    let number = "+49%+49";
    let mut lab = Lab::with(|setup| setup.subscriber(C).number = number.into());
    let mut invite = Invite::new(&mut lab, A, "1005");
    invite.request_uri = format!("sip:{number}@127.0.0.60");
    let caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let leg = Leg::expect(&mut lab, C);
    refuse_and_finish(lab, &caller, &leg);
}
