//! Targets that are none of our numbers: by a route, by a URI (SIP_RULES 1, 10, 11; RFC 4458 §2).

use crate::failing::{WAYS, Way, call, counted, expect_sent, leg_to, one, only, prepare, reason};
use crate::lab::Lab;
use crate::lab::peer::{A, B, C, D, Peer, Setup};
use crate::lab::scene::{refuse_and_finish, talk_and_finish};
use ringway::directory::{Condition, HistoryForm};
use ringway::service::{NumberRule, Route};
use ringway::settings::Listener;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A carrier's gateway.
const G: Peer = Peer {
    name: "192.0.2.9:5062",
    number: "gateway",
    address: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9)), 5062),
};

/// One that speaks IPv6 alone.
const G6: Peer = Peer {
    name: "[2001:db8::9]:5060",
    number: "gateway",
    address: SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9)), 5060),
};

/// The gateway's word is taken.
fn trusted(setup: &mut Setup) {
    setup.settings.auth.trusted = vec!["192.0.2.9".parse().expect("an address")];
}

/// Numbers that begin with 0 go to the gateway.
fn routed(setup: &mut Setup) {
    let route = |prefix: &str, host: &str, destination| Route {
        prefix: prefix.into(),
        host: host.into(),
        destination,
    };
    setup.settings.forwarding.routes =
        vec![route("06", "[2001:db8::9]", G6.address), route("0", "192.0.2.9:5062;user=phone", G.address)];
}

const fn cause(condition: Condition) -> u16 {
    match condition {
        Condition::Unconditional => 302,
        Condition::Busy => 486,
        Condition::NoAnswer => 408,
        Condition::NotRegistered => 404,
        Condition::NotReachable => 503,
    }
}

#[test]
fn every_kind_goes_out_by_a_route_and_says_why() {
    for (condition, way, _) in WAYS.into_iter().chain([(Condition::Unconditional, Way::NotCalled, 0)]) {
        let mut lab = Lab::with(|setup| {
            routed(setup);
            only(setup, condition, "0301234");
            prepare(setup, way);
        });
        let (caller, b) = call(&mut lab, way);
        expect_sent(&mut lab, b.parting(), &["A 181 INVITE", "192.0.2.9:5062 INVITE"]);
        b.obey(&mut lab);
        let g = leg_to(&mut lab, G);
        let uri = format!("sip:0301234@192.0.2.9:5062;user=phone;cause={}", cause(condition));
        assert_eq!(g.invite.request_uri, uri);
        let diversion = format!("<sip:1004@127.0.0.60>;reason={};counter=1;privacy=off", reason(condition));
        assert_eq!(g.invite.all("Diversion"), [diversion]);
        assert_eq!(counted(&lab), one(condition));
        g.ring(&mut lab);
        lab.expect(A, "180 INVITE");
        g.respond(&mut lab, "200 OK");
        talk_and_finish(lab, caller, &g);
    }
}

#[test]
fn the_cause_stands_only_where_history_info_does() {
    for form in HistoryForm::ALL {
        let mut lab = Lab::with(|setup| {
            routed(setup);
            setup.settings.forwarding.history = form;
            only(setup, Condition::Busy, "030");
        });
        let (caller, _) = call(&mut lab, Way::Says("", "486 Busy Here", ""));
        lab.sent();
        let g = leg_to(&mut lab, G);
        let has_cause = matches!(form, HistoryForm::HistoryInfo | HistoryForm::Both);
        let expected = if has_cause { ";cause=486" } else { "" };
        assert_eq!(g.invite.request_uri, format!("sip:030@192.0.2.9:5062;user=phone{expected}"));
        let has_diversion = matches!(form, HistoryForm::Diversion | HistoryForm::Both);
        assert_eq!(g.invite.has("Diversion"), has_diversion, "{form:?}");
        refuse_and_finish(lab, &caller, &g);
    }
}

#[test]
fn the_longest_prefix_and_the_listener_of_its_family_are_taken() {
    let mut lab = Lab::with(|setup| {
        routed(setup);
        let address: SocketAddr = "[2001:db8::60]:5060".parse().expect("an address");
        setup.settings.listeners.push(Listener { address, sent_by: address.to_string() });
        only(setup, Condition::Unconditional, "069");
    });
    let (caller, _) = call(&mut lab, Way::NotCalled);
    expect_sent(&mut lab, &["A 181 INVITE", "[2001:db8::9]:5060 INVITE"], &[]);
    let g = leg_to(&mut lab, G6);
    assert_eq!(g.invite.request_uri, "sip:069@[2001:db8::9];cause=302");
    assert!(g.invite.one("Via").starts_with("SIP/2.0/UDP [2001:db8::60]:5060;"));
    assert!(g.invite.one("Contact").contains("@[2001:db8::60]:5060"));
    g.reject(&mut lab, "486 Busy Here");
    caller.refused(&mut lab, 486);
    lab.finish();
}

#[test]
fn number_rules_are_used_before_routes() {
    let mut lab = Lab::with(|setup| {
        routed(setup);
        let rule = |prefix: &str, replacement: &str| NumberRule {
            prefix: prefix.into(),
            replacement: replacement.into(),
        };
        setup.settings.forwarding.number_rules = vec![rule("+49", "0")];
        only(setup, Condition::Busy, "tel:+49-30-1234");
    });
    let (caller, _) = call(&mut lab, Way::Says("", "486 Busy Here", ""));
    lab.sent();
    let g = leg_to(&mut lab, G);
    assert_eq!(g.invite.request_uri, "sip:0301234@192.0.2.9:5062;user=phone;cause=486");
    refuse_and_finish(lab, &caller, &g);
}

#[test]
fn a_uri_is_called_as_it_is_set() {
    for (target, uri) in [
        ("sip:x@192.0.2.9:5062", "sip:x@192.0.2.9:5062;cause=486"),
        ("sip:x@192.0.2.9:5062;cause=302", "sip:x@192.0.2.9:5062;cause=302"),
        ("sip:%231@192.0.2.9:5062;transport=udp", "sip:%231@192.0.2.9:5062;transport=udp;cause=486"),
    ] {
        let mut lab = Lab::with(|setup| only(setup, Condition::Busy, target));
        let (caller, _) = call(&mut lab, Way::Says("", "486 Busy Here", ""));
        expect_sent(&mut lab, &["B ACK", "A 181 INVITE"], &["192.0.2.9:5062 INVITE"]);
        let g = leg_to(&mut lab, G);
        assert_eq!(g.invite.request_uri, uri);
        refuse_and_finish(lab, &caller, &g);
    }
}

#[test]
fn a_number_of_ours_never_leaves_whatever_routes_there_are() {
    for target in ["1005", "sip:1005@127.0.0.60", "sip:1005@127.0.0.60:5060;user=phone", "tel:1005"] {
        let mut lab = Lab::with(|setup| {
            setup.settings.forwarding.routes =
                vec![Route { prefix: "".into(), host: "192.0.2.9".into(), destination: G.address }];
            only(setup, Condition::Busy, target);
        });
        let (caller, _) = call(&mut lab, Way::Says("", "486 Busy Here", ""));
        expect_sent(&mut lab, &["B ACK"], &["A 181 INVITE", "C INVITE"]);
        let c = leg_to(&mut lab, C);
        refuse_and_finish(lab, &caller, &c);
    }
}

#[test]
fn the_gateways_final_response_is_the_callers() {
    for (status, told) in [
        ("404 Not Found", 404),
        ("480 Temporarily Unavailable", 480),
        ("486 Busy Here", 486),
        ("500 Server Internal Error", 500),
        ("503 Service Unavailable", 500),
        ("408 Request Timeout", 408),
        ("600 Busy Everywhere", 600),
    ] {
        for first in ["", "183 Session Progress"] {
            let mut lab = Lab::with(|setup| {
                routed(setup);
                // A number of ours that has the name of what was dialled outside sets nothing for it.
                setup.subscribers.push(ringway::directory::Subscriber::new("gateway"));
                only(setup, Condition::Busy, "030");
            });
            let (caller, _) = call(&mut lab, Way::Says("", "486 Busy Here", ""));
            lab.sent();
            let g = leg_to(&mut lab, G);
            if !first.is_empty() {
                g.respond(&mut lab, first);
                lab.expect(A, "183 INVITE");
            }
            g.respond(&mut lab, status);
            lab.expect(G, "ACK");
            caller.refused(&mut lab, told);
            assert_eq!(counted(&lab), one(Condition::Busy));
            lab.finish();
        }
    }
}

#[test]
fn a_gateway_may_ring_as_long_as_the_limit_on_ringing() {
    let mut lab = Lab::with(|setup| {
        routed(setup);
        setup.settings.ring_limit_ms = 90_000;
        only(setup, Condition::Unconditional, "030");
    });
    let (caller, _) = call(&mut lab, Way::NotCalled);
    lab.sent();
    let g = leg_to(&mut lab, G);
    g.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    lab.advance(59_992);
    lab.sent();
    lab.advance(30_000);
    assert_eq!(lab.sent(), Vec::<String>::new());
    lab.advance(8);
    lab.expect(G, "CANCEL");
    caller.refused(&mut lab, 480);
    let cancel = lab.last_to(G);
    g.answer(&mut lab, &cancel, "200 OK");
    g.reject(&mut lab, "487 Request Terminated");
    lab.finish();
}

#[test]
fn a_gateway_that_is_silent_ends_in_408() {
    let mut lab = Lab::with(|setup| {
        routed(setup);
        only(setup, Condition::Unconditional, "030");
    });
    let (caller, _) = call(&mut lab, Way::NotCalled);
    expect_sent(&mut lab, &["A 181 INVITE"], &["192.0.2.9:5062 INVITE"]);
    lab.advance(31_992);
    assert!(lab.sent().iter().all(|sent| sent == "192.0.2.9:5062 INVITE"));
    lab.advance(8);
    caller.refused(&mut lab, 408);
    lab.finish();
}

#[test]
fn a_gateways_302_sends_the_call_on() {
    for (contact, next) in [("<sip:1006@127.0.0.60>", D), ("<sip:031@192.0.2.9:5062>", G)] {
        let mut lab = Lab::with(|setup| {
            routed(setup);
            trusted(setup);
            only(setup, Condition::Unconditional, "030");
        });
        let (caller, _) = call(&mut lab, Way::NotCalled);
        lab.sent();
        let g = leg_to(&mut lab, G);
        g.respond_with(&mut lab, "302 Moved Temporarily", &[&format!("Contact: {contact}")], "");
        let invite = format!("{} INVITE", next.name);
        expect_sent(&mut lab, &["192.0.2.9:5062 ACK", "A 181 INVITE"], &[&invite]);
        let last = leg_to(&mut lab, next);
        let diversions = last.invite.all("Diversion");
        assert_eq!(diversions.len(), 2);
        assert!(diversions[0].contains(";reason=deflection;"), "{diversions:?}");
        assert!(diversions[0].starts_with("<sip:030@192.0.2.9:5062"), "{diversions:?}");
        assert_eq!(counted(&lab), [1, 0, 0, 0, 0, 1]);
        refuse_and_finish(lab, &caller, &last);
    }
}

#[test]
fn whom_we_do_not_trust_beyond_our_numbers_sends_no_call_on() {
    for (target, trusted) in [("030", "192.0.2.10"), ("sip:x@192.0.2.9:5062", "127.0.0.0/8")] {
        for contact in ["<sip:0900@127.0.0.60>", "<sip:1006@127.0.0.60>", "<sip:y@198.51.100.7>"] {
            let mut lab = Lab::with(|setup| {
                routed(setup);
                setup.settings.auth.trusted = vec![trusted.parse().expect("a network")];
                only(setup, Condition::Unconditional, target);
            });
            let (caller, _) = call(&mut lab, Way::NotCalled);
            lab.sent();
            let g = leg_to(&mut lab, G);
            g.respond_with(&mut lab, "302 Moved Temporarily", &[&format!("Contact: {contact}")], "");
            expect_sent(&mut lab, &["192.0.2.9:5062 ACK"], &["A 302 INVITE"]);
            let response = lab.last_to(A);
            assert_eq!(response.all("Contact"), [contact]);
            lab.send(A, &caller.ack_refusal_text(&response));
            assert_eq!((counted(&lab), lab.metrics().forwards_refused), (one(Condition::Unconditional), 0));
            lab.finish();
        }
    }
}

#[test]
fn only_numbers_go_by_a_route() {
    // A code would change what is set for us there; a parameter could choose another carrier.
    for (prefix, target, is_called) in [
        ("", "030", true),
        ("", "**21*0900#", false),
        ("", "#31#030", false),
        ("*9", "*98", true),
        ("", "030;cic=+1-6789", false),
        ("", "030;phone-context=x", false),
        ("", "030&x", false),
    ] {
        let mut lab = Lab::with(|setup| {
            let (host, destination) = ("192.0.2.9:5062".into(), G.address);
            setup.settings.forwarding.routes = vec![Route { prefix: prefix.into(), host, destination }];
            only(setup, Condition::Busy, target);
        });
        let (caller, _) = call(&mut lab, Way::Says("", "486 Busy Here", ""));
        if is_called {
            expect_sent(&mut lab, &["B ACK", "A 181 INVITE"], &["192.0.2.9:5062 INVITE"]);
            let g = leg_to(&mut lab, G);
            refuse_and_finish(lab, &caller, &g);
            continue;
        }
        expect_sent(&mut lab, &["B ACK"], &["A 486 INVITE"]);
        let response = lab.last_to(A);
        lab.send(A, &caller.ack_refusal_text(&response));
        assert_eq!(lab.metrics().forwards_refused, 1, "{target}");
        lab.finish();
    }
}

#[test]
fn a_user_part_with_parameters_stays_whole_in_what_others_are_told() {
    let target = "sip:+4930;phone-context=x@192.0.2.9:5062;user=phone";
    let mut lab = Lab::with(|setup| only(setup, Condition::Busy, target));
    let (caller, _) = call(&mut lab, Way::Says("", "486 Busy Here", ""));
    lab.sent();
    let g = leg_to(&mut lab, G);
    let history = g.invite.all("History-Info").join(", ");
    assert!(history.contains("<sip:+4930;phone-context=x@192.0.2.9:5062;cause=486>"), "{history}");
    refuse_and_finish(lab, &caller, &g);
}

#[test]
fn a_gateways_302_back_to_whom_the_call_has_been_is_480() {
    for contact in [
        "<sip:1004@127.0.0.60>",
        "<sip:1003@127.0.0.60>",
        "<tel:030>",
        // Itself, as we called it.
        "<sip:030@192.0.2.9:5062>",
        "<sip:%3030@192.0.2.9:5062;line=1>",
    ] {
        let mut lab = Lab::with(|setup| {
            routed(setup);
            trusted(setup);
            only(setup, Condition::Unconditional, "030");
        });
        let (caller, _) = call(&mut lab, Way::NotCalled);
        lab.sent();
        let g = leg_to(&mut lab, G);
        g.respond_with(&mut lab, "302 Moved Temporarily", &[&format!("Contact: {contact}")], "");
        expect_sent(&mut lab, &["192.0.2.9:5062 ACK"], &["A 480 INVITE"]);
        let response = lab.last_to(A);
        lab.send(A, &caller.ack_refusal_text(&response));
        assert_eq!((lab.metrics().forwards_refused, lab.metrics().forwards_in_loop), (1, 1), "{contact}");
        lab.finish();
    }
}

#[test]
fn a_uri_that_names_itself_in_its_302_is_not_called_again() {
    for contact in ["<sip:x@192.0.2.9:5062>", "<sip:x@192.0.2.9:5062;line=2>", "<sip:%78@192.0.2.9:5062>"] {
        let mut lab = Lab::with(|setup| {
            trusted(setup);
            only(setup, Condition::Unconditional, "sip:x@192.0.2.9:5062;line=1");
        });
        let (caller, _) = call(&mut lab, Way::NotCalled);
        lab.sent();
        let g = leg_to(&mut lab, G);
        g.respond_with(&mut lab, "302 Moved Temporarily", &[&format!("Contact: {contact}")], "");
        expect_sent(&mut lab, &["192.0.2.9:5062 ACK"], &["A 480 INVITE"]);
        let response = lab.last_to(A);
        lab.send(A, &caller.ack_refusal_text(&response));
        assert_eq!((lab.metrics().forwards_refused, lab.metrics().forwards_in_loop), (1, 1), "{contact}");
        lab.finish();
    }
}

#[test]
fn a_number_of_ours_may_be_called_at_another_server() {
    let mut lab = Lab::with(|setup| {
        setup.settings.forwarding.routes =
            vec![Route { prefix: "".into(), host: "192.0.2.9:5062".into(), destination: G.address }];
        only(setup, Condition::Busy, "sip:1004@192.0.2.9:5062");
    });
    let (caller, _) = call(&mut lab, Way::Says("", "486 Busy Here", ""));
    expect_sent(&mut lab, &["B ACK", "A 181 INVITE"], &["192.0.2.9:5062 INVITE"]);
    let g = leg_to(&mut lab, G);
    refuse_and_finish(lab, &caller, &g);
}

#[test]
fn without_a_listener_of_its_family_the_target_is_not_called() {
    let mut lab = Lab::with(|setup| {
        routed(setup);
        only(setup, Condition::Busy, "069");
    });
    let (caller, _) = call(&mut lab, Way::Says("", "486 Busy Here", ""));
    expect_sent(&mut lab, &["B ACK"], &["A 486 INVITE"]);
    assert_eq!((counted(&lab), lab.metrics().forwards_refused), ([0; 6], 1));
    let response = lab.last_to(A);
    lab.send(A, &caller.ack_refusal_text(&response));
    lab.finish();
}

#[test]
fn an_invite_that_the_gateway_sends_back_is_482() {
    let mut lab = Lab::with(|setup| only(setup, Condition::Unconditional, "sip:x@192.0.2.9:5062"));
    let (caller, _) = call(&mut lab, Way::NotCalled);
    lab.sent();
    let g = leg_to(&mut lab, G);
    lab.send(G, &g.invite.text());
    // Its Via has no rport (RFC 3261 §18.2.2).
    expect_sent(&mut lab, &["192.0.2.9:5060 482 INVITE"], &[]);
    // The gateway takes it for its own next hop's and passes it back.
    g.reject(&mut lab, "482 Loop Detected");
    caller.refused(&mut lab, 482);
    let ack = g.invite.text().replace("INVITE", "ACK");
    lab.send(G, &ack);
    lab.finish();
}

#[test]
fn a_peer_that_dialled_outside_numbers_is_not_called_by_b_s_rules() {
    // B and a number outside of the same digits: what B has set is not the outside number's.
    let mut lab = Lab::with(|setup| {
        routed(setup);
        only(setup, Condition::Unconditional, "sip:1006@192.0.2.9:5062");
        setup.forward_on(Condition::Busy, D, C.number);
    });
    let (caller, _) = call(&mut lab, Way::NotCalled);
    lab.sent();
    let g = leg_to(&mut lab, G);
    assert_eq!(g.invite.request_uri, "sip:1006@192.0.2.9:5062;cause=302");
    assert_eq!(lab.sent_to(B), Vec::<String>::new());
    refuse_and_finish(lab, &caller, &g);
}
