//! Our own diversions: each kind, each form, chains.

use crate::lab::Lab;
use crate::lab::callee::Leg;
use crate::lab::caller::Caller;
use crate::lab::peer::{A, B, C, D, Peer, Setup};
use crate::lab::scene::refuse_and_finish;
use crate::lab::sip::Sip;
use crate::{BOTH, DIVERSION, HISTORY_INFO, NONE, form, forwarded, passed_on, tells};
use ringway::directory::{Condition, HistoryForm};
use ringway::service::Route;

const NO_ANSWER: &str = "<sip:1004@127.0.0.60>;reason=no-answer;counter=1;privacy=off";
const ENTRIES: [&str; 2] = [
    "<sip:1004@127.0.0.60?Reason=SIP%3Bcause%3D408>;index=1",
    "<sip:1005@127.0.0.60;cause=408>;index=1.1;mp=1",
];

#[test]
fn each_form_has_its_header_fields_and_no_others() {
    tells(&forwarded(form(BOTH), &[]), &[NO_ANSWER], &ENTRIES);
    tells(&forwarded(form(DIVERSION), &[]), &[NO_ANSWER], &[]);
    tells(&forwarded(form(HISTORY_INFO), &[]), &[], &ENTRIES);
    tells(&forwarded(form(NONE), &[]), &[], &[]);
}

#[test]
fn our_entries_stand_on_one_line() {
    let c = forwarded(form(BOTH), &[]);
    assert_eq!(c.one("History-Info"), ENTRIES.join(", "));
}

#[test]
fn a_leg_that_is_no_forwarded_one_is_told_nothing() {
    tells(&passed_on(form(BOTH), &[]), &[], &[]);
}

#[test]
fn a_subscribers_form_goes_before_the_servers_and_a_peers_before_both() {
    let own = |setup: &mut Setup| setup.subscriber(C).history = Some(DIVERSION);
    tells(&forwarded(own, &[]), &[NO_ANSWER], &[]);
    let peer = |setup: &mut Setup| {
        setup.subscriber(C).history = Some(DIVERSION);
        crate::know(setup, C, Some(HISTORY_INFO), ringway::service::AssertedParty::Caller);
    };
    tells(&forwarded(peer, &[]), &[], &ENTRIES);
}

/// What B does when it is called.
#[derive(Clone, Copy)]
enum Callee {
    /// It is not called.
    Nothing,
    /// It refuses, after it rang or before.
    Refuses(&'static str, bool),
}

/// B forwards to C under a condition; the INVITE to C.
#[track_caller]
fn diverted_on(condition: Option<Condition>, callee: Callee, form: HistoryForm) -> Sip {
    let mut lab = Lab::with(|setup| {
        setup.settings.forwarding.history = form;
        let b = setup.subscriber(B);
        b.forwarding.erase(Condition::NoAnswer);
        if condition == Some(Condition::NotRegistered) && matches!(callee, Callee::Nothing) {
            *b = ringway::directory::Subscriber::new(B.number);
        }
        if let Some(condition) = condition {
            setup.forward_on(condition, B, C.number);
        }
    });
    let caller = Caller::call(&mut lab, A, B.number);
    lab.expect(A, "100 INVITE");
    if let Callee::Refuses(status, rings) = callee {
        let b = Leg::expect(&mut lab, B);
        b.respond(&mut lab, "100 Trying");
        if rings {
            b.respond(&mut lab, "180 Ringing");
            lab.expect(A, "180 INVITE");
        }
        if status.starts_with("302") {
            let text = b.text_with(status, &["Contact: <sip:1005@127.0.0.60>"], "");
            lab.send(B, &text);
            lab.expect(B, "ACK");
        } else {
            b.reject(&mut lab, status);
        }
    }
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    refuse_and_finish(lab, &caller, &c);
    c.invite
}

#[test]
fn each_condition_has_its_reason_its_cause_and_the_response_that_led_to_it() {
    use Condition::*;
    let cases = [
        (Some(Unconditional), Callee::Nothing, "unconditional", 302, 0),
        (Some(NotRegistered), Callee::Nothing, "unavailable", 404, 0),
        (Some(Busy), Callee::Refuses("486 Busy Here", false), "user-busy", 486, 486),
        (Some(Busy), Callee::Refuses("600 Busy Everywhere", true), "user-busy", 486, 600),
        (Some(NoAnswer), Callee::Refuses("408 Request Timeout", true), "no-answer", 408, 408),
        (Some(NotRegistered), Callee::Refuses("404 Not Found", false), "unavailable", 404, 404),
        (Some(NotReachable), Callee::Refuses("503 Service Unavailable", false), "unavailable", 503, 503),
        (None, Callee::Refuses("302 Moved Temporarily", false), "deflection", 480, 302),
        (None, Callee::Refuses("302 Moved Temporarily", true), "deflection", 487, 302),
    ];
    for (condition, callee, reason, cause, status) in cases {
        let said = match status {
            0 => String::new(),
            status => format!("?Reason=SIP%3Bcause%3D{status}"),
        };
        let diversion = format!("<sip:1004@127.0.0.60>;reason={reason};counter=1;privacy=off");
        let entries = [
            format!("<sip:1004@127.0.0.60{said}>;index=1"),
            format!("<sip:1005@127.0.0.60;cause={cause}>;index=1.1;mp=1"),
        ];
        let entries = [entries[0].as_str(), &entries[1]];
        tells(&diverted_on(condition, callee, BOTH), &[&diversion], &entries);
        tells(&diverted_on(condition, callee, DIVERSION), &[&diversion], &[]);
        tells(&diverted_on(condition, callee, HISTORY_INFO), &[], &entries);
        tells(&diverted_on(condition, callee, NONE), &[], &[]);
    }
}

/// B forwards all calls to C, C to D, and on to numbers of which the last is D; what D gets.
#[track_caller]
fn chain(length: usize) -> Sip {
    let numbers: Vec<String> = (0..length).map(|place| format!("20{place}")).collect();
    let mut lab = Lab::with(|setup| {
        let chain = std::iter::once(B.number).chain(numbers[1..].iter().map(String::as_str));
        let mut chain: Vec<&str> = chain.collect();
        chain.push(D.number);
        for number in &chain[1..length] {
            setup.subscribers.push(ringway::directory::Subscriber::new(number));
        }
        for pair in chain.windows(2) {
            let from = setup.subscribers.iter_mut().find(|subscriber| &*subscriber.number == pair[0]);
            from.expect("a subscriber").forwarding.forward(Condition::Unconditional, pair[1]);
        }
    });
    let caller = Caller::call(&mut lab, A, B.number);
    lab.expect(A, "100 INVITE");
    lab.expect(A, "181 INVITE");
    let d = Leg::expect(&mut lab, D);
    refuse_and_finish(lab, &caller, &d);
    d.invite
}

#[test]
fn a_chain_of_two_to_five_is_told_whole_and_in_order() {
    for length in 2..=5 {
        let d = chain(length);
        let name = |place: usize| if place == 0 { "1004".into() } else { format!("20{place}") };
        let newest_first = (0..length).rev();
        let diversions: Vec<String> = newest_first
            .map(|place| {
                let name = name(place);
                format!("<sip:{name}@127.0.0.60>;reason=unconditional;counter=1;privacy=off")
            })
            .collect();
        // Each is a level of its own, as where Diversion is converted (RFC 7544 §5).
        let mut entries = vec!["<sip:1004@127.0.0.60>;index=1".to_string()];
        for place in 1..=length {
            let name = if place == length { D.number.into() } else { name(place) };
            let before = format!("1{}", ".1".repeat(place - 1));
            entries.push(format!("<sip:{name}@127.0.0.60;cause=302>;index={before}.1;mp={before}"));
        }
        let diversions: Vec<&str> = diversions.iter().map(String::as_str).collect();
        let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
        tells(&d, &diversions, &entries);
    }
}

#[test]
fn a_chain_tells_each_response_on_the_entry_of_who_gave_it() {
    let mut lab = Lab::with(|setup| {
        setup.forward_on(Condition::Busy, B, C.number);
        setup.forward(C, D);
    });
    let caller = Caller::call(&mut lab, A, B.number);
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    b.reject(&mut lab, "486 Busy Here");
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    c.reject(&mut lab, "408 Request Timeout");
    lab.expect(A, "181 INVITE");
    let d = Leg::expect(&mut lab, D);
    let diversions = [
        "<sip:1005@127.0.0.60>;reason=no-answer;counter=1;privacy=off",
        "<sip:1004@127.0.0.60>;reason=user-busy;counter=1;privacy=off",
    ];
    let entries = [
        "<sip:1004@127.0.0.60?Reason=SIP%3Bcause%3D486>;index=1",
        "<sip:1005@127.0.0.60;cause=486?Reason=SIP%3Bcause%3D408>;index=1.1;mp=1",
        "<sip:1006@127.0.0.60;cause=408>;index=1.1.1;mp=1.1",
    ];
    tells(&d.invite, &diversions, &entries);
    tells(&c.invite, &diversions[1..], &[entries[0], "<sip:1005@127.0.0.60;cause=486>;index=1.1;mp=1"]);
    refuse_and_finish(lab, &caller, &d);
}

/// 0-numbers go by a route to C.
pub fn route_to(setup: &mut Setup, peer: Peer) {
    let host = peer.address.to_string().into();
    let route = Route { prefix: "".into(), host, destination: peer.address };
    setup.settings.forwarding.routes.push(route);
}

#[test]
fn outside_numbers_of_ours_are_written_as_others_read_them() {
    let c = forwarded(
        |setup| {
            route_to(setup, C);
            let rule = |prefix: &str, replacement: &str| ringway::service::NumberRule {
                prefix: prefix.into(),
                replacement: replacement.into(),
            };
            setup.settings.forwarding.number_rules = vec![rule("1", "+4930"), rule("0", "+49")];
            setup.forward_on(Condition::NoAnswer, B, "0891234");
        },
        &[],
    );
    assert_eq!(c.request_uri, "sip:+49891234@127.0.0.138:5060;cause=408");
    let diversion = "<sip:+4930004@127.0.0.60>;reason=no-answer;counter=1;privacy=off";
    let entries = [
        "<sip:+4930004@127.0.0.60?Reason=SIP%3Bcause%3D408>;index=1",
        "<sip:+49891234@127.0.0.138:5060;cause=408>;index=1.1;mp=1",
    ];
    tells(&c, &[diversion], &entries);
}
