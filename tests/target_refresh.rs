//! Where requests in a dialog go: remote targets that move, and route sets that do not (RFC 3261 §12.2,
//! RFC 3311 §5, RFC 6141; SIP_RULES 21).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::callee::{ANSWER, Leg};
use lab::caller::Invite;
use lab::party::{Party, Talk, accepted, both_ways, bye_and_finish, calling, sdp};
use lab::peer::{A, C, Peer};
use lab::sip::Sip;
use std::net::SocketAddr;

/// Where a peer is after it has moved.
fn moved(peer: Peer) -> Peer {
    let address = if peer == A { "127.0.0.237:5062" } else { "127.0.0.238:5062" };
    Peer { address: address.parse().expect("an address"), ..peer }
}

/// A request of `from`'s reaches `to` where it is, by the Contact that it named last.
#[track_caller]
fn reaches(lab: &mut Lab, from: &mut Party, to: &Party) {
    let info = from.request(lab, "INFO", &[], "");
    let relayed = to.expect(lab, "INFO");
    assert_eq!(relayed.request_uri, to.contact);
    to.answer(lab, &relayed, "200 OK");
    from.expect_response(lab, &info, 200);
    lab.expect_nothing();
}

#[test]
fn a_re_invite_moves_the_one_who_sent_it() {
    for Talk { mut lab, mut asker, mut other } in both_ways() {
        asker.move_to(moved(asker.peer));
        let invite = asker.invite(&mut lab, &sdp(1));
        asker.expect_response(&mut lab, &invite, 100);
        let relayed = other.expect(&mut lab, "INVITE");
        assert_ne!(relayed.contact(), asker.contact, "the other side sees our Contact");
        accepted(&mut lab, &asker, &other, (&invite, &relayed));
        reaches(&mut lab, &mut other, &asker);
        bye_and_finish(lab, other, &asker);
    }
}

#[test]
fn an_update_moves_the_one_who_sent_it_with_and_without_an_offer() {
    for body in [String::new(), sdp(1)] {
        for Talk { mut lab, mut asker, mut other } in both_ways() {
            asker.move_to(moved(asker.peer));
            let update = asker.update(&mut lab, &body);
            if !body.is_empty() {
                let relayed = other.expect(&mut lab, "UPDATE");
                other.respond(&mut lab, &relayed, "200 OK", &[], &sdp(2));
            }
            asker.expect_response(&mut lab, &update, 200);
            reaches(&mut lab, &mut other, &asker);
            bye_and_finish(lab, other, &asker);
        }
    }
}

#[test]
fn the_2xx_to_a_re_invite_moves_the_one_who_answered_and_its_ack_goes_there() {
    for Talk { mut lab, mut asker, mut other } in both_ways() {
        let invite = asker.invite(&mut lab, &sdp(1));
        asker.expect_response(&mut lab, &invite, 100);
        let relayed = other.expect(&mut lab, "INVITE");
        other.contact = moved(other.peer).address.to_string();
        other.contact = format!("sip:{}@{}", other.peer.number, other.contact);
        other.respond(&mut lab, &relayed, "200 OK", &[], &sdp(2));
        other.move_to(moved(other.peer));
        asker.expect_response(&mut lab, &invite, 200);
        asker.ack(&mut lab, &invite, "");
        assert_eq!(other.expect(&mut lab, "ACK").request_uri, other.contact);
        reaches(&mut lab, &mut asker, &other);
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn the_2xx_to_an_update_moves_the_one_who_answered() {
    for Talk { mut lab, mut asker, mut other } in both_ways() {
        let update = asker.update(&mut lab, &sdp(1));
        let relayed = other.expect(&mut lab, "UPDATE");
        let contact = format!("Contact: <sip:{}@{}>", other.peer.number, moved(other.peer).address);
        other.respond(&mut lab, &relayed, "200 OK", &[&contact], &sdp(2));
        other.move_to(moved(other.peer));
        asker.expect_response(&mut lab, &update, 200);
        reaches(&mut lab, &mut asker, &other);
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn one_that_is_refused_moves_nobody() {
    for Talk { mut lab, mut asker, mut other } in both_ways() {
        let elsewhere = format!("Contact: <sip:x@{}>", moved(asker.peer).address);
        let invite = asker.request(&mut lab, "INVITE", &[&elsewhere], &sdp(1));
        asker.expect_response(&mut lab, &invite, 100);
        let relayed = other.expect(&mut lab, "INVITE");
        other.refuse(&mut lab, &relayed, "488 Not Acceptable Here");
        asker.refused(&mut lab, &invite, 488);
        let update = asker.request(&mut lab, "UPDATE", &[&elsewhere], &sdp(1));
        let relayed = other.expect(&mut lab, "UPDATE");
        other.answer(&mut lab, &relayed, "488 Not Acceptable Here");
        asker.expect_response(&mut lab, &update, 488);
        reaches(&mut lab, &mut other, &asker);
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn other_methods_move_nobody() {
    for Talk { mut lab, mut asker, mut other } in both_ways() {
        let elsewhere = format!("Contact: <sip:x@{}>", moved(asker.peer).address);
        for method in ["INFO", "MESSAGE", "OPTIONS"] {
            let request = asker.request(&mut lab, method, &[&elsewhere], "");
            let relayed = other.expect(&mut lab, method);
            other.respond(&mut lab, &relayed, "200 OK", &[&elsewhere], "");
            asker.expect_response(&mut lab, &request, 200);
        }
        reaches(&mut lab, &mut other, &asker);
        reaches(&mut lab, &mut asker, &other);
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn a_contact_that_cannot_be_used_moves_nobody() {
    for Talk { mut lab, mut asker, mut other } in both_ways() {
        for contact in ["Contact: <mailto:x@example.com>", "Contact: <5>", "Contact: \"x"] {
            let update = asker.request(&mut lab, "UPDATE", &[contact], "");
            let answer = lab.expect_any(asker.peer);
            assert!(["200 UPDATE", "400 UPDATE"].contains(&answer.as_str()), "{answer} to {}", update.text());
        }
        reaches(&mut lab, &mut other, &asker);
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn an_early_dialogs_target_moves_by_update_as_well() {
    let mut early = lab::party::Early::new();
    early.c.move_to(moved(C));
    let update = early.c.update(&mut early.lab, "");
    early.c.expect_response(&mut early.lab, &update, 200);
    reaches(&mut early.lab, &mut early.a, &early.c);
    early.a.move_to(moved(A));
    let update = early.a.update(&mut early.lab, "");
    early.a.expect_response(&mut early.lab, &update, 200);
    reaches(&mut early.lab, &mut early.c, &early.a);
    // The 200 names where C is at last (RFC 3261 §13.2.2.4).
    let contact = format!("Contact: <{}>", early.c.contact);
    early.leg.respond_with(&mut early.lab, "200 OK", &[&contact], "");
    early.caller.answered(&mut early.lab);
    let invite = Sip::read(early.caller.text.as_bytes()).expect("the INVITE");
    early.a.ack(&mut early.lab, &invite, "");
    early.c.expect(&mut early.lab, "ACK");
    bye_and_finish(early.lab, early.a, &early.c);
}

const PROXY: &str = "127.0.0.77:5070";
const PROXY_OF_A: Peer = Peer { name: "P", number: "1003", address: proxy() };
const PROXY_OF_C: Peer = Peer { name: "P", number: "1005", address: proxy() };

const fn proxy() -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 77)), 5070)
}

/// A called C through proxies on both sides, which record these routes. What is sent to either side reaches
/// the proxy next to us; the parties' own addresses stand in their Contacts.
#[track_caller]
fn routed(caller: &[String], callee: &[String]) -> (Lab, Party, Party) {
    let mut lab = Lab::new();
    let mut invite = Invite::new(&mut lab, A, C.number);
    invite.lines = caller.iter().map(|route| format!("Record-Route: {route}")).collect();
    let mut caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let leg = Leg::expect(&mut lab, C);
    let lines: Vec<String> = callee.iter().map(|route| format!("Record-Route: {route}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    leg.respond_with(&mut lab, "200 OK", &lines, ANSWER);
    let answer = caller.answered(&mut lab);
    assert_eq!(answer.list("Record-Route"), caller_routes(&caller.invite), "the caller's, as they stood");
    caller.ack(&mut lab, "");
    let (mut a, mut c) = (Party::caller(&caller, &answer), Party::callee(&leg));
    a.peer = if caller.invite.lines.is_empty() { A } else { PROXY_OF_A };
    c.peer = if callee.is_empty() { C } else { PROXY_OF_C };
    c.expect(&mut lab, "ACK");
    (lab, a, c)
}

fn caller_routes(invite: &Invite) -> Vec<String> {
    let value = |line: &String| line.strip_prefix("Record-Route: ").map(String::from);
    invite.lines.iter().filter_map(value).collect()
}

/// Every kind of request passes both ways by these routes; the audit sees to what they bear.
#[track_caller]
fn everything_takes_the_route(caller: &[String], callee: &[String], check: impl Fn(&Sip, &Party)) {
    let (mut lab, a, c) = routed(caller, callee);
    let mut parties = [a, c];
    for asks in [0, 1] {
        let [mut asker, other] = [parties[asks].clone(), parties[1 - asks].clone()];
        for method in ["INFO", "UPDATE"] {
            let request = asker.request(&mut lab, method, &[], &sdp(1));
            let relayed = other.expect(&mut lab, method);
            check(&relayed, &other);
            other.respond(&mut lab, &relayed, "200 OK", &[], &sdp(2));
            asker.expect_response(&mut lab, &request, 200);
        }
        let invite = asker.request(&mut lab, "INVITE", &["Record-Route: <sip:127.0.0.99;lr>"], &sdp(1));
        asker.expect_response(&mut lab, &invite, 100);
        let relayed = other.expect(&mut lab, "INVITE");
        check(&relayed, &other);
        other.respond(&mut lab, &relayed, "200 OK", &["Record-Route: <sip:127.0.0.98;lr>"], &sdp(2));
        asker.expect_response(&mut lab, &invite, 200);
        asker.ack(&mut lab, &invite, "");
        check(&other.expect(&mut lab, "ACK"), &other);
        parties[asks] = asker;
    }
    let [a, c] = parties;
    bye_and_finish(lab, a, &c);
}

#[test]
fn everything_takes_the_loose_route_that_the_dialog_was_made_with_and_nothing_changes_it() {
    let routes = [format!("<sip:{PROXY};lr>"), "<sip:10.0.0.2;lr;x=1>".into()];
    let reversed = [routes[1].clone(), routes[0].clone()];
    everything_takes_the_route(&routes, &reversed, |request, to| {
        assert_eq!(request.list("Route"), routes);
        assert_eq!(request.request_uri, to.contact);
    });
}

#[test]
fn a_first_route_without_lr_becomes_the_request_uri_and_the_target_goes_last() {
    let routes = [format!("<sip:{PROXY}>"), "<sip:10.0.0.2;lr>".into()];
    let reversed = [routes[1].clone(), routes[0].clone()];
    everything_takes_the_route(&routes, &reversed, |request, to| {
        assert_eq!(request.request_uri, format!("sip:{PROXY}"));
        assert_eq!(request.list("Route"), [routes[1].clone(), format!("<{}>", to.contact)]);
    });
}

#[test]
fn a_single_strict_router_gets_the_target_in_route() {
    let routes = [format!("<sip:{PROXY}>")];
    everything_takes_the_route(&routes, &routes, |request, to| {
        assert_eq!(request.request_uri, format!("sip:{PROXY}"));
        assert_eq!(request.list("Route"), [format!("<{}>", to.contact)]);
    });
}

#[test]
fn a_strict_router_further_on_is_no_matter_of_ours() {
    let routes = [format!("<sip:{PROXY};lr>"), "<sip:10.0.0.2>".into()];
    let reversed = [routes[1].clone(), routes[0].clone()];
    everything_takes_the_route(&routes, &reversed, |request, to| {
        assert_eq!(request.list("Route"), routes);
        assert_eq!(request.request_uri, to.contact);
    });
}

#[test]
fn a_route_may_have_60_hops_on_either_side() {
    for count in [33, 60] {
        let mut routes: Vec<String> = (1..count).map(|hop| format!("<sip:10.0.{hop}.1;lr>")).collect();
        routes.insert(0, format!("<sip:{PROXY};lr>"));
        let reversed: Vec<String> = routes.iter().rev().cloned().collect();
        everything_takes_the_route(&routes, &reversed, |request, to| {
            assert_eq!(request.list("Route"), routes);
            assert_eq!(request.request_uri, to.contact);
        });
    }
}

#[test]
fn a_moved_target_behind_a_strict_router_goes_last_in_route() {
    let routes = [format!("<sip:{PROXY}>")];
    let (mut lab, mut a, c) = routed(&routes, &[]);
    a.contact = "sip:moved@192.168.7.7:5080".into();
    let update = a.update(&mut lab, "");
    a.expect_response(&mut lab, &update, 200);
    let mut c = c;
    let info = c.request(&mut lab, "INFO", &[], "");
    let relayed = a.expect(&mut lab, "INFO");
    assert_eq!(relayed.list("Route"), ["<sip:moved@192.168.7.7:5080>"]);
    a.answer(&mut lab, &relayed, "200 OK");
    c.expect_response(&mut lab, &info, 200);
    bye_and_finish(lab, a, &c);
}

#[test]
fn a_prack_takes_the_early_dialogs_route() {
    let mut lab = Lab::new();
    let (caller, leg) = calling(&mut lab, &["Supported: 100rel"]);
    let proxy = format!("Record-Route: <sip:10.0.0.2;lr>, <sip:{PROXY};lr>");
    leg.respond_with(&mut lab, "180 Ringing", &["Require: 100rel", "RSeq: 1", &proxy], "");
    lab.expect(A, "180 INVITE");
    let prack = lab.expect(PROXY_OF_C, "PRACK");
    assert_eq!(prack.list("Route"), [format!("<sip:{PROXY};lr>"), "<sip:10.0.0.2;lr>".into()]);
    leg.answer(&mut lab, &prack, "200 OK");
    lab::scene::refuse_and_finish(lab, &caller, &leg);
}

#[test]
fn the_2xxs_route_replaces_the_early_dialogs() {
    let mut lab = Lab::new();
    let (mut caller, leg) = calling(&mut lab, &[]);
    leg.respond_with(&mut lab, "180 Ringing", &["Record-Route: <sip:10.0.0.2;lr>"], "");
    lab.expect(A, "180 INVITE");
    let proxy = format!("Record-Route: <sip:{PROXY};lr>");
    leg.respond_with(&mut lab, "200 OK", &[&proxy], ANSWER);
    caller.answered_and_acked(&mut lab);
    let ack = lab.expect(PROXY_OF_C, "ACK");
    assert_eq!(ack.list("Route"), [format!("<sip:{PROXY};lr>")]);
    caller.bye(&mut lab);
    lab.expect(A, "200 BYE");
    let bye = lab.expect(PROXY_OF_C, "BYE");
    leg.answer(&mut lab, &bye, "200 OK");
    lab.finish();
}
