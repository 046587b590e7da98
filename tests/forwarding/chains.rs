//! Calls that are forwarded more than once, each hop under its own condition, and loops of every length
//! (SIP_RULES 7, 8, 10). The directory holds what the settings would refuse: a store may.

use crate::failing::{Way, counted, leg_to, one, own_response, reason};
use crate::lab::callee::Leg;
use crate::lab::caller::Caller;
use crate::lab::peer::{A, B, C, Peer, SERVER, Setup};
use crate::lab::scene::refuse_and_finish;
use crate::lab::{Lab, T1X64_MS};
use ringway::directory::{Condition, Forwarding, Subscriber};
use std::net::SocketAddr;

const NUMBERS: [&str; 7] = ["2000", "2001", "2002", "2003", "2004", "2005", "2006"];
const NAMES: [&str; 7] = ["H0", "H1", "H2", "H3", "H4", "H5", "H6"];

/// The phone of a hop.
fn phone(hop: usize) -> Peer {
    let address = SocketAddr::new([127, 0, 0, 200 + hop as u8].into(), 5060);
    Peer { name: NAMES[hop], number: NUMBERS[hop], address }
}

/// Hop after hop with its condition; the last one's target is given.
fn chain(setup: &mut Setup, conditions: &[Condition], last: &str) {
    for hop in 0..NUMBERS.len() {
        let peer = phone(hop);
        let mut subscriber = Subscriber::new(peer.number);
        let has_phone = conditions.get(hop) != Some(&Condition::NotRegistered);
        if has_phone {
            subscriber = subscriber.at(&format!("sip:{}@{}", peer.number, peer.address), peer.address);
        }
        setup.subscribers.push(subscriber);
    }
    for (hop, &condition) in conditions.iter().enumerate() {
        let target = if hop + 1 == conditions.len() { last } else { NUMBERS[hop + 1] };
        setup.forward_on(condition, phone(hop), target);
    }
}

/// How a callee fails under a condition, and whether it is called at all.
fn way(condition: Condition) -> Way {
    match condition {
        Condition::Unconditional => Way::NotCalled,
        Condition::Busy => Way::Says("180 Ringing", "486 Busy Here", ""),
        Condition::NoAnswer => Way::Says("180 Ringing", "408 Request Timeout", ""),
        Condition::NotRegistered => Way::NoPhone,
        Condition::NotReachable => Way::Says("100 Trying", "503 Service Unavailable", ""),
    }
}

/// A calls the first hop, and each that is called fails. Who was called.
#[track_caller]
fn play(lab: &mut Lab, conditions: &[Condition]) -> (Caller, Vec<Leg>) {
    let caller = Caller::call(lab, A, NUMBERS[0]);
    lab.expect(A, "100 INVITE");
    let mut legs = Vec::new();
    for (hop, &condition) in conditions.iter().enumerate() {
        let Way::Says(first, status, _) = way(condition) else { continue };
        if lab.sent_to(phone(hop)).is_empty() {
            break;
        }
        lab.sent();
        let leg = leg_to(lab, phone(hop));
        leg.respond(lab, first);
        leg.respond(lab, status);
        legs.push(leg);
    }
    (caller, legs)
}

/// Every condition at least once in each place.
fn mixes(length: usize) -> impl Iterator<Item = Vec<Condition>> {
    let all = Condition::ALL;
    (0..all.len()).flat_map(move |start| {
        (0..3).map(move |step| (0..length).map(|hop| all[(start + hop * step) % all.len()]).collect())
    })
}

fn expected_counts(conditions: &[Condition]) -> [u64; 6] {
    let mut sum = [0; 6];
    for &condition in conditions {
        sum.iter_mut().zip(one(condition)).for_each(|(sum, one)| *sum += one);
    }
    sum
}

/// What the last leg must be told: newest first.
fn diversions(conditions: &[Condition]) -> Vec<String> {
    let told = conditions.iter().zip(NUMBERS).map(|(&condition, number)| {
        format!("<sip:{number}@127.0.0.60>;reason={};counter=1;privacy=off", reason(condition))
    });
    let mut told: Vec<String> = told.collect();
    told.reverse();
    told
}

#[test]
fn chains_of_every_length_and_mixture_reach_their_end() {
    for (length, last) in (0..).zip(NUMBERS).take(6).skip(1) {
        for conditions in mixes(length) {
            let mut lab = Lab::with(|setup| chain(setup, &conditions, last));
            let (mut caller, legs) = play(&mut lab, &conditions);
            let told = lab.sent().iter().filter(|sent| *sent == "A 181 INVITE").count();
            assert!(told <= 1, "{conditions:?}: one 181 for each new search");
            let end = leg_to(&mut lab, phone(length));
            assert_eq!(end.invite.all("Diversion"), diversions(&conditions), "{conditions:?}");
            for leg in &legs {
                let hop = NUMBERS.iter().position(|number| *number == leg.peer.number).expect("a hop");
                assert_eq!(leg.invite.all("Diversion"), diversions(&conditions[..hop]), "{conditions:?}");
                assert_eq!(leg.invite.one("Record-ID"), end.invite.one("Record-ID"));
            }
            // As many as there are searches behind a diversion.
            let searches = legs.len() + 1 - usize::from(legs.first().is_some_and(|leg| leg.peer == phone(0)));
            let all = lab.sent_to(A).iter().filter(|sent| *sent == "181 INVITE").count();
            assert_eq!(all, searches, "{conditions:?}");
            assert_eq!(counted(&lab), expected_counts(&conditions), "{conditions:?}");
            assert_eq!(lab.metrics().forwards_refused, 0);
            end.respond(&mut lab, "200 OK");
            caller.answered_and_acked(&mut lab);
            lab.expect(end.peer, "ACK");
            crate::lab::scene::hang_up_and_finish(lab, caller, &end);
        }
    }
}

/// A call that ends with a refusal at the last hop of `conditions`.
#[track_caller]
fn ends_refused(conditions: &[Condition], is_loop: bool, mut lab: Lab) {
    let (caller, _) = play(&mut lab, conditions);
    let status = own_response(conditions[conditions.len() - 1]);
    let response = lab.last_to(A);
    assert_eq!(response.summary(), format!("{status} INVITE"), "{conditions:?}");
    lab.sent();
    lab.send(A, &caller.ack_refusal_text(&response));
    let metrics = lab.metrics();
    assert_eq!((metrics.forwards_refused, metrics.forwards_in_loop), (1, is_loop.into()), "{conditions:?}");
    let made = &conditions[..conditions.len() - 1];
    assert_eq!(counted(&lab), expected_counts(made), "{conditions:?}");
    lab.advance(T1X64_MS);
    lab.finish();
}

#[test]
fn loops_of_every_length_and_mixture_are_cut_where_they_close() {
    for length in 1..=6 {
        for conditions in mixes(length) {
            // Back to any number of the loop, or to the caller.
            for back in NUMBERS[..length].iter().chain([&A.number]) {
                let lab = Lab::with(|setup| {
                    setup.settings.max_diversions = 10;
                    chain(setup, &conditions, back);
                });
                ends_refused(&conditions, true, lab);
            }
        }
    }
}

#[test]
fn the_cap_cuts_a_chain_of_any_mixture() {
    for (length, last) in (0..).zip(NUMBERS).skip(1) {
        for conditions in mixes(length) {
            let lab = Lab::with(|setup| {
                setup.settings.max_diversions = length as u8 - 1;
                chain(setup, &conditions, last);
            });
            ends_refused(&conditions, false, lab);
        }
    }
}

#[test]
fn a_loop_by_our_own_address_or_a_phones_is_one() {
    for back in [format!("sip:2000@{SERVER}"), format!("sip:2000@{}", phone(0).address), "tel:2000".into()] {
        for condition in [Condition::Busy, Condition::NoAnswer, Condition::NotReachable] {
            let conditions = [condition, Condition::Unconditional];
            ends_refused(&conditions, true, Lab::with(|setup| chain(setup, &conditions, &back)));
        }
    }
}

#[test]
fn a_rule_in_the_middle_that_is_not_active_ends_the_chain() {
    for condition in [Condition::Busy, Condition::NoAnswer, Condition::NotReachable] {
        let conditions = [Condition::Unconditional, condition, Condition::Busy];
        let mut lab = Lab::with(|setup| {
            chain(setup, &conditions, NUMBERS[3]);
            setup.subscriber(phone(1)).forwarding.activate(condition, false);
        });
        let (caller, legs) = play(&mut lab, &conditions);
        assert_eq!(legs.len(), 1);
        let response = lab.last_to(A);
        lab.sent();
        lab.send(A, &caller.ack_refusal_text(&response));
        let Way::Says(_, status, _) = way(condition) else { continue };
        let status = status.replace("503", "500");
        assert_eq!(response.summary()[..3], status[..3]);
        assert_eq!(counted(&lab), one(Condition::Unconditional));
        lab.finish();
    }
}

#[test]
fn an_end_without_a_phone_is_480() {
    for condition in Condition::ALL {
        let conditions = [condition];
        let mut lab = Lab::with(|setup| {
            chain(setup, &conditions, NUMBERS[1]);
            setup.subscriber(phone(1)).contact = None;
            setup.subscriber(phone(1)).forwarding = Forwarding::default();
        });
        let (caller, _) = play(&mut lab, &conditions);
        lab.sent();
        let response = lab.last_to(A);
        assert_eq!(response.summary(), "480 INVITE");
        lab.send(A, &caller.ack_refusal_text(&response));
        assert_eq!(counted(&lab), one(condition));
        lab.finish();
    }
}

/// B forwards on busy to C: what comes of A's call with this From and these lines.
fn told(from: &str, lines: &[&str], change: impl FnOnce(&mut Setup)) -> String {
    let mut lab = Lab::with(|setup| {
        crate::failing::only(setup, Condition::Busy, C.number);
        change(setup);
    });
    let mut invite = crate::lab::caller::Invite::new(&mut lab, A, B.number);
    invite.from = format!("{from};tag=7");
    invite.lines.extend(lines.iter().map(|line| (*line).to_owned()));
    let caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    b.respond(&mut lab, "486 Busy Here");
    let sent = lab.sent();
    let is_called = sent.contains(&"C INVITE".to_owned());
    if is_called {
        let c = leg_to(&mut lab, C);
        refuse_and_finish(lab, &caller, &c);
    } else {
        let response = lab.last_to(A);
        lab.send(A, &caller.ack_refusal_text(&response));
        assert_eq!(lab.metrics().forwards_in_loop, 1);
        lab.finish();
    }
    sent.last().expect("something is sent").clone()
}

#[test]
fn a_number_at_another_server_is_none_of_ours() {
    let from = "<sip:1003@127.0.0.60>";
    for (from, line, result) in [
        ("<sip:1005@127.0.0.60>", "", "A 486 INVITE"),
        ("<sip:1005@127.0.0.60:5070>", "", "A 486 INVITE"),
        ("<tel:1005>", "", "A 486 INVITE"),
        ("<sip:1005@branch.example.com>", "", "C INVITE"),
        (from, "Diversion: <sip:1005@branch.example.com>;reason=user-busy", "C INVITE"),
        (from, "Diversion: <sip:1005@127.0.0.60>;reason=user-busy", "A 486 INVITE"),
        (from, "History-Info: <sip:1005@branch.example.com>;index=1", "C INVITE"),
        (from, "History-Info: <sip:1005@127.0.0.60;cause=486>;index=1", "A 486 INVITE"),
    ] {
        let lines: Vec<&str> = [line].into_iter().filter(|line| !line.is_empty()).collect();
        assert_eq!(told(from, &lines, |_| {}), result, "{from} {line}");
    }
}

#[test]
fn a_global_number_is_one_at_every_server() {
    let rule = || ringway::service::NumberRule { prefix: "0".into(), replacement: "+49".into() };
    for (user, result) in [("+49301005", "A 486 INVITE"), ("0301005", "A 486 INVITE"), ("301005", "C INVITE")]
    {
        let sent = told(&format!("<sip:{user}@carrier.example.com>"), &[], |setup| {
            setup.settings.forwarding.number_rules = vec![rule()];
            setup.subscriber(C).number = "+49301005".into();
            crate::failing::only(setup, Condition::Busy, "+49301005");
        });
        assert_eq!(sent, result, "{user}");
    }
}

#[test]
fn a_caller_is_known_by_what_a_trusted_peer_asserts() {
    for (trusted, result) in [("127.0.0.137", "A 486 INVITE"), ("127.0.0.1", "C INVITE")] {
        let line = "P-Asserted-Identity: <sip:1005@127.0.0.60>";
        let sent = told("<sip:anonymous@anonymous.invalid>", &[line], |setup| {
            setup.settings.auth.trusted = vec![trusted.parse().expect("an address")];
        });
        assert_eq!(sent, result);
    }
}
