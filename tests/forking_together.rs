//! A number with several phones that are equally preferred: all ring at once, each in a dialog of its own
//! (RFC 3261 §16.5, §16.6).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::callee::Leg;
use lab::caller::Caller;
use lab::group::{self, B1, B2, B3, C1, C2, PHONES, binding, phone};
use lab::peer::{A, B, C, SERVER};
use lab::scene::{refuse_and_finish, talk_and_finish};
use ringway::clock::UnixSeconds;
use std::collections::HashSet;

/// The header fields of a leg's INVITE, in their order.
const NAMES: [&str; 13] = [
    "Via",
    "Max-Forwards",
    "Call-ID",
    "From",
    "To",
    "CSeq",
    "Contact",
    "Allow",
    "Supported",
    "Session-Expires",
    "Record-ID",
    "Content-Type",
    "Content-Length",
];

#[test]
fn all_phones_of_a_level_get_the_invite_at_once_each_in_a_dialog_of_its_own() {
    let mut lab = group::lab(&[1_000; 3]);
    let (caller, legs) = group::call(&mut lab, [B1, B2, B3]);
    let arrows = ["A → S INVITE", "S → A 100 INVITE", "S → B1 INVITE", "S → B2 INVITE", "S → B3 INVITE"];
    assert_eq!(lab.ladder(), arrows);
    let first = &legs[0].invite;
    for leg in &legs {
        let invite = &leg.invite;
        let uri = format!("sip:1004@{};line={}", leg.peer.address, leg.peer.name);
        assert_eq!(invite.request_uri, uri);
        assert_eq!(invite.one("To"), format!("<{uri}>"));
        assert_eq!(invite.names(), NAMES);
        assert_eq!(invite.one("CSeq"), "1 INVITE");
        assert_eq!(invite.one("Max-Forwards"), "29");
        assert_eq!(invite.one("Contact"), format!("<sip:1003@{SERVER}>"));
        assert_eq!(invite.one("Supported"), "timer");
        let from = format!("\"1003\" <sip:1003@{SERVER};user=phone>;tag={}", invite.from_tag);
        assert_eq!(invite.one("From"), from);
        assert_eq!(invite.body, caller.invite.body);
        for name in ["Allow", "Session-Expires", "Record-ID", "Content-Type"] {
            assert_eq!(invite.one(name), first.one(name), "the same call");
        }
        assert!(!invite.has("Route") && !invite.has("Diversion"));
    }
    let own: HashSet<String> = legs.iter().map(|leg| leg.invite.call_id.clone()).collect();
    let branches: HashSet<String> = legs.iter().map(|leg| leg.invite.branch.clone()).collect();
    let tags: HashSet<String> = legs.iter().map(|leg| leg.invite.from_tag.clone()).collect();
    assert_eq!((own.len(), branches.len(), tags.len()), (3, 3, 3));
    let [b1, b2, b3] = legs;
    b1.reject(&mut lab, "486 Busy Here");
    b2.reject(&mut lab, "486 Busy Here");
    lab.expect_nothing();
    refuse_and_finish(lab, &caller, &b3);
}

#[test]
fn the_static_contact_rings_with_the_phones_that_are_preferred_most() {
    let mut lab = Lab::with(|setup| {
        setup.bind(B1, 1_000);
        setup.bind(B2, 999);
    });
    let (caller, [b, b1]) = group::call(&mut lab, [B, B1]);
    assert_eq!(b.invite.request_uri, "sip:1004@127.0.0.136:5060");
    b.reject(&mut lab, "486 Busy Here");
    b1.reject(&mut lab, "486 Busy Here");
    let [b2] = group::started(&mut lab, [B2]);
    refuse_and_finish(lab, &caller, &b2);
}

#[test]
fn a_location_that_is_there_twice_rings_once() {
    let mut lab = Lab::with(|setup| {
        let mut same = binding(B, 1_000);
        same.uri = "sip:1004@127.0.0.136:5060".into();
        setup.bind_as(B, same);
        // The same URI elsewhere is another phone.
        let mut elsewhere = binding(B1, 1_000);
        elsewhere.uri = "sip:1004@127.0.0.136:5060".into();
        setup.bind_as(B1, elsewhere);
    });
    let (caller, [b, b1]) = group::call(&mut lab, [B, B1]);
    assert_eq!(b.invite.request_uri, b1.invite.request_uri);
    b.reject(&mut lab, "486 Busy Here");
    refuse_and_finish(lab, &caller, &b1);
}

#[test]
fn two_phones_at_one_address_are_two_legs() {
    let mut lab = Lab::with(|setup| {
        setup.only_registers(B);
        for line in ["one", "two"] {
            let mut own = binding(B1, 1_000);
            own.uri = format!("sip:{line}@127.0.0.161:5060").into();
            setup.bind_as(B1, own);
        }
    });
    let (mut caller, [one, two]) = group::call(&mut lab, [B1, B1]);
    assert_eq!(one.invite.request_uri, "sip:one@127.0.0.161:5060");
    assert_eq!(two.invite.request_uri, "sip:two@127.0.0.161:5060");
    one.respond(&mut lab, "100 Trying");
    two.respond(&mut lab, "200 OK");
    one.cancelled(&mut lab);
    caller.answered_and_acked(&mut lab);
    let ack = lab.expect(B1, "ACK");
    assert_eq!((ack.call_id, ack.to_tag), (two.invite.call_id.clone(), two.tag.clone()));
    lab::scene::hang_up_and_finish(lab, caller, &two);
}

#[test]
fn a_binding_rings_until_it_expires() {
    // The calendar counts whole seconds.
    for (wait_ms, rings) in [(0, true), (9_000, true), (10_000, false)] {
        let mut lab = group::lab_with(&[1_000], |setup| {
            let mut short = binding(B2, 1_000);
            short.expires_at = UnixSeconds(lab::STARTED.0 + 10);
            setup.bind_as(B2, short);
        });
        lab.advance(wait_ms);
        if rings {
            let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
            b2.reject(&mut lab, "486 Busy Here");
            refuse_and_finish(lab, &caller, &b1);
        } else {
            let (caller, [b1]) = group::call(&mut lab, [B1]);
            refuse_and_finish(lab, &caller, &b1);
        }
    }
}

#[test]
fn as_many_phones_as_a_number_can_have_ring_and_one_wins() {
    let phones: [lab::peer::Peer; PHONES] = std::array::from_fn(|number| phone(number + 1));
    let mut lab = Lab::with(|setup| phones.iter().for_each(|&peer| setup.bind(peer, 1_000)));
    let caller = Caller::call(&mut lab, A, B.number);
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    let legs = group::started(&mut lab, phones);
    b.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    legs.iter().for_each(|leg| leg.ring(&mut lab));
    lab.expect_nothing();
    legs[7].respond(&mut lab, "200 OK");
    b.cancelled(&mut lab);
    for (number, leg) in legs.iter().enumerate() {
        if number != 7 {
            leg.cancelled(&mut lab);
        }
    }
    talk_and_finish(lab, caller, &legs[7]);
}

#[test]
fn when_the_table_of_legs_is_full_the_phones_that_there_is_room_for_ring() {
    let mut lab = group::lab_with(&[1_000; 3], |setup| {
        setup.settings.max_calls = 1;
        setup.settings.max_diversions = 1;
    });
    let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    b1.reject(&mut lab, "486 Busy Here");
    refuse_and_finish(lab, &caller, &b2);
}

#[test]
fn when_the_table_of_legs_is_full_a_call_is_refused_and_may_come_again() {
    let mut lab = group::lab_with(&[1_000; 4], |setup| {
        setup.settings.max_calls = 2;
        setup.settings.max_diversions = 1;
    });
    let phones = [B1, B2, B3, phone(4)];
    let (first, legs) = group::call(&mut lab, phones);
    let second = Caller::call(&mut lab, C, B.number);
    let refusal = second.refused(&mut lab, 503);
    assert_eq!(refusal.one("Retry-After"), "5");
    lab.expect_nothing();
    for leg in &legs[1..] {
        leg.reject(&mut lab, "486 Busy Here");
    }
    // Room again, for fewer than there are.
    let third = Caller::call(&mut lab, C, B.number);
    lab.expect(C, "100 INVITE");
    let others = group::started(&mut lab, [B1, B2, B3]);
    legs[0].reject(&mut lab, "486 Busy Here");
    first.refused(&mut lab, 486);
    others[0].reject(&mut lab, "486 Busy Here");
    others[1].reject(&mut lab, "486 Busy Here");
    refuse_and_finish(lab, &third, &others[2]);
}

#[test]
fn a_number_without_a_location_gets_480() {
    let mut lab = group::lab(&[]);
    let caller = Caller::call(&mut lab, A, B.number);
    lab.expect(A, "100 INVITE");
    let refusal = caller.refused(&mut lab, 480);
    assert!(!refusal.has("Contact") && refusal.body.is_empty());
    assert_eq!((lab.metrics().calls_started, lab.metrics().calls_failed), (1, 1));
    assert_eq!(lab.metrics().forwarded_no_answer, 0);
    lab.finish();
}

#[test]
fn a_number_whose_bindings_have_all_expired_gets_480() {
    let mut lab = group::lab(&[1_000, 500]);
    lab.advance(3_600_000);
    let caller = Caller::call(&mut lab, A, B.number);
    lab.expect(A, "100 INVITE");
    caller.refused(&mut lab, 480);
    lab.finish();
}

#[test]
fn the_callers_repeated_invite_rings_nobody_again() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    caller.resend(&mut lab);
    lab.expect(A, "100 INVITE");
    lab.expect_nothing();
    b1.reject(&mut lab, "486 Busy Here");
    refuse_and_finish(lab, &caller, &b2);
}

#[test]
fn each_legs_invite_is_repeated_by_itself_until_it_is_answered() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    // A timer fires at the next multiple of 8 ms.
    lab.advance(504);
    assert_eq!(lab.sent_when(), ["504 B1 INVITE", "504 B2 INVITE"]);
    b1.respond(&mut lab, "100 Trying");
    lab.advance(1_000);
    let repeated = lab.expect(B2, "INVITE");
    assert_eq!(repeated, b2.invite);
    lab.expect_nothing();
    b1.reject(&mut lab, "486 Busy Here");
    refuse_and_finish(lab, &caller, &b2);
}

#[test]
fn a_group_that_is_called_twice_has_two_calls() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (one, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    let two = Caller::call(&mut lab, C, B.number);
    lab.expect(C, "100 INVITE");
    let others = group::started(&mut lab, [B1, B2]);
    assert_ne!(others[0].invite.one("Record-ID"), b1.invite.one("Record-ID"));
    b1.reject(&mut lab, "486 Busy Here");
    others[1].reject(&mut lab, "486 Busy Here");
    b2.reject(&mut lab, "486 Busy Here");
    one.refused(&mut lab, 486);
    refuse_and_finish(lab, &two, &others[0]);
}

#[test]
fn the_phones_of_a_group_may_call_each_others_number() {
    let mut lab = group::lab_with(&[1_000, 1_000], |setup| {
        setup.only_registers(C);
        setup.bind(C1, 1_000);
        setup.bind(C2, 1_000);
    });
    let caller = Caller::call(&mut lab, B1, C.number);
    lab.expect(B1, "100 INVITE");
    let [c1, c2] = group::started(&mut lab, [C1, C2]);
    c1.reject(&mut lab, "486 Busy Here");
    refuse_and_finish(lab, &caller, &c2);
}
