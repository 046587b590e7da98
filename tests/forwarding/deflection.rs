//! A callee's 302 sends the call elsewhere (SIP_RULES 1; RFC 3261 §21.3.3; 3GPP TS 24.604 on deflection).

use crate::failing::{Way, answer_and_finish, call, counted, expect_sent, leg_to};
use crate::lab::Lab;
use crate::lab::group::{self, B1, B2, C1};
use crate::lab::peer::{A, B, C, D, Peer, SERVER, Setup};
use crate::lab::scene::refuse_and_finish;
use ringway::directory::{Condition, Forwarding};
use std::net::SocketAddr;

const ONE: [u64; 6] = [0, 0, 0, 0, 0, 1];

/// A phone that is none of ours.
const X: Peer = Peer {
    name: "198.51.100.7:5070",
    number: "x",
    address: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7)), 5070),
};

fn lab(change: impl FnOnce(&mut Setup)) -> Lab {
    Lab::with(|setup| {
        setup.subscriber(B).forwarding = Forwarding::default();
        change(setup);
    })
}

/// A calls B, who says `first` and then 302 with these Contact lines.
#[track_caller]
fn deflects(lab: &mut Lab, first: &'static str, contacts: &[&str]) -> crate::lab::caller::Caller {
    let (caller, b) = call(lab, Way::Pending(first));
    let leg = b.leg.expect("a leg");
    // Without a Contact line of the test's the leg would write its own.
    let text = leg.text_with("302 Moved Temporarily", &["Contact: <none>"], "");
    let lines: String = contacts.iter().map(|contact| format!("Contact: {contact}\r\n")).collect();
    lab.send(B, &text.replace("Contact: <none>\r\n", &lines));
    caller
}

#[test]
fn the_contact_may_name_a_number_in_any_way() {
    for contact in [
        format!("<sip:1005@{SERVER}>"),
        "<sip:1005@127.0.0.60>".into(),
        "sip:1005@127.0.0.60;expires=60".into(),
        format!("<sip:1005@{}>", C.address),
        "<sip:1005@127.0.0.138;user=phone>".into(),
        "\"Voice mail, 1006\" <tel:1005>".into(),
        "<sip:%31005@127.0.0.60>".into(),
    ] {
        for first in ["", "100 Trying", "180 Ringing", "183 Session Progress"] {
            let mut lab = lab(|_| {});
            let caller = deflects(&mut lab, first, &[&contact]);
            expect_sent(&mut lab, &["B ACK"], &["A 181 INVITE", "C INVITE"]);
            let c = leg_to(&mut lab, C);
            let diversion = "<sip:1004@127.0.0.60>;reason=deflection;counter=1;privacy=off";
            assert_eq!(c.invite.all("Diversion"), [diversion]);
            // It is a number of ours: it is called where it has registered.
            assert_eq!(c.invite.request_uri, "sip:1005@127.0.0.138:5060");
            assert_eq!((counted(&lab), lab.metrics().forwards_refused), (ONE, 0), "{contact}");
            answer_and_finish(lab, caller);
        }
    }
}

#[test]
fn the_contact_that_is_preferred_most_counts() {
    for contacts in [
        &["<sip:1006@127.0.0.60>;q=0.2", "<sip:1005@127.0.0.60>;q=0.7"][..],
        &["<sip:1005@127.0.0.60>;q=0.7", "<sip:1006@127.0.0.60>;q=0.2"],
        &["<sip:1006@127.0.0.60>;q=0.999, <sip:1005@127.0.0.60>"],
        &["<sip:1005@127.0.0.60>, <sip:1006@127.0.0.60>"],
        &["<sip:1005@127.0.0.60>;q=1.0", "<sip:1006@127.0.0.60>;q=1"],
        &["<sip:1006@127.0.0.60>;q=0", "<sip:1005@127.0.0.60>;q=0.001"],
        // A `q` of the URI is none of the Contact's.
        &["<sip:1006@127.0.0.60;q=0.9>;q=0.1", "<sip:1005@127.0.0.60>;q=0.5"],
    ] {
        let mut lab = lab(|_| {});
        let caller = deflects(&mut lab, "180 Ringing", contacts);
        expect_sent(&mut lab, &["B ACK"], &["A 181 INVITE", "C INVITE"]);
        answer_and_finish(lab, caller);
    }
}

#[test]
fn a_uri_of_somebody_else_is_called_as_it_stands() {
    let mut lab = lab(|_| {});
    let caller = deflects(&mut lab, "180 Ringing", &["<sip:x@198.51.100.7:5070;line=2>;q=0.5"]);
    expect_sent(&mut lab, &["B ACK"], &["A 181 INVITE", "198.51.100.7:5070 INVITE"]);
    let x = leg_to(&mut lab, X);
    // RFC 4458 §2 with Diversion and History-Info: why the call comes. 487: while it rang.
    assert_eq!(x.invite.request_uri, "sip:x@198.51.100.7:5070;line=2;cause=487");
    assert_eq!(x.invite.all("Diversion"), ["<sip:1004@127.0.0.60>;reason=deflection;counter=1;privacy=off"]);
    refuse_and_finish(lab, &caller, &x);
}

#[test]
fn what_may_not_be_called_is_480() {
    for (contact, is_loop) in [
        // The caller, the number itself (it has no other phone), emergency, nobody.
        ("<sip:1003@127.0.0.60>", true),
        ("<sip:1004@127.0.0.60>", true),
        ("<tel:112>", false),
        ("<sip:112@198.51.100.7>", false),
        ("<sip:112;phone-context=+49@198.51.100.7>", false),
        ("<sip:1-1-2@127.0.0.60>", false),
        ("<sip:1999@127.0.0.60>", false),
    ] {
        let mut lab = lab(|_| {});
        let caller = deflects(&mut lab, "180 Ringing", &[contact]);
        assert_eq!(lab.sent(), ["B ACK", "A 480 INVITE"], "{contact}");
        let response = lab.last_to(A);
        assert!(!response.has("Contact"), "{contact}: a 480 tells of no phones");
        lab.send(A, &caller.ack_refusal_text(&response));
        let metrics = lab.metrics();
        let counts = (metrics.forwards_refused, metrics.forwards_in_loop, counted(&lab));
        assert_eq!(counts, (1, is_loop.into(), [0; 6]), "{contact}");
        lab.finish();
    }
}

/// What no call can be sent to.
const UNCALLABLE: [&str; 14] = [
    "<sip:1005@somewhere.example>",
    "<sip:1005@pbx.example.com:5070>",
    "<sips:1005@127.0.0.60>",
    "<sip:1005@198.51.100.7;transport=tcp>",
    "<sip:127.0.0.60>",
    "<sip:1005@0.0.0.0>",
    "<sip:1005@198.51.100.7:0>",
    "<sip:1005@224.0.0.1>",
    "<sip:1005@255.255.255.255>",
    "<sip:1005@[ff02::1]>",
    "<mailto:x@example.com>",
    "<sip:1005@198.51.100.7?Replaces=x>",
    "<sip:1005@198.51.100.7;method=REGISTER>",
    "<urn:service:sos>",
];

#[test]
fn a_302_to_what_cannot_be_called_reaches_the_caller() {
    for contact in UNCALLABLE {
        let mut lab = lab(|_| {});
        let caller = deflects(&mut lab, "180 Ringing", &[contact]);
        expect_sent(&mut lab, &["B ACK"], &["A 302 INVITE"]);
        let response = lab.last_to(A);
        assert_eq!(response.all("Contact"), [contact]);
        lab.send(A, &caller.ack_refusal_text(&response));
        assert_eq!((counted(&lab), lab.metrics().forwards_refused), ([0; 6], 0), "{contact}");
        lab.finish();
    }
}

#[test]
fn a_302_to_what_cannot_be_called_leaves_the_other_phones_ringing() {
    for contact in UNCALLABLE {
        let mut lab = group::lab(&[1_000, 1_000]);
        let (mut caller, [b1, b2]) = group::two_ring(&mut lab);
        b1.respond_with(&mut lab, "302 Moved Temporarily", &[&format!("Contact: {contact}")], "");
        expect_sent(&mut lab, &["B1 ACK"], &[]);
        b2.respond(&mut lab, "200 OK");
        caller.answered_and_acked(&mut lab);
        lab.expect(B2, "ACK");
        crate::lab::scene::hang_up_and_finish(lab, caller, &b2);
    }
}

#[test]
fn the_host_that_was_dialled_is_ours_whatever_it_is_called() {
    for (uri, contacts) in [
        ("sip:1004@pbx.example.com", &["<sip:1005@PBX.example.com:5060>"][..]),
        ("sip:1004@pbx.example.com:5060;user=phone", &["<sip:%31005@pbx.example.com;user=phone>"]),
        ("sip:1004@pbx.example.com", &["<sip:1006@other.example.com>", "<sip:1005@pbx.example.com>;q=0.1"]),
        ("sip:1004@203.0.113.5:5070", &["<sip:1005@203.0.113.5:5070>"]),
    ] {
        let mut lab = lab(|_| {});
        let mut invite = crate::lab::caller::Invite::new(&mut lab, A, B.number);
        invite.request_uri = uri.into();
        let caller = invite.send(&mut lab);
        lab.expect(A, "100 INVITE");
        let leg = crate::lab::callee::Leg::expect(&mut lab, B);
        let lines: Vec<_> = contacts.iter().map(|contact| format!("Contact: {contact}")).collect();
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        leg.respond_with(&mut lab, "302 Moved Temporarily", &lines, "");
        expect_sent(&mut lab, &["B ACK"], &["A 181 INVITE", "C INVITE"]);
        assert_eq!(counted(&lab), ONE);
        answer_and_finish(lab, caller);
    }
}

#[test]
fn beyond_the_cap_it_is_480() {
    let mut lab = lab(|setup| setup.settings.max_diversions = 0);
    let caller = deflects(&mut lab, "", &["<sip:1005@127.0.0.60>"]);
    expect_sent(&mut lab, &["B ACK"], &["A 480 INVITE"]);
    let response = lab.last_to(A);
    lab.send(A, &caller.ack_refusal_text(&response));
    lab.finish();
}

#[test]
fn without_a_contact_or_switched_off_the_caller_gets_the_302() {
    let contacts = ["<sip:1005@127.0.0.60>;q=0.5", "<sip:x@198.51.100.7>"];
    for (deflection, contacts) in [(true, &[][..]), (false, &contacts)] {
        let mut lab = lab(|setup| {
            setup.settings.forwarding.deflection = deflection;
            Condition::ALL.into_iter().skip(1).for_each(|other| setup.forward_on(other, B, D.number));
        });
        let caller = deflects(&mut lab, "180 Ringing", contacts);
        expect_sent(&mut lab, &["B ACK"], &["A 302 INVITE"]);
        let response = lab.last_to(A);
        assert_eq!(response.all("Contact"), contacts);
        lab.send(A, &caller.ack_refusal_text(&response));
        assert_eq!((counted(&lab), lab.metrics().forwards_refused), ([0; 6], 0));
        lab.finish();
    }
}

#[test]
fn other_redirections_reach_the_caller() {
    for status in
        ["300 Multiple Choices", "301 Moved Permanently", "305 Use Proxy", "380 Alternative Service"]
    {
        let mut lab = lab(|_| {});
        let (caller, b) = call(&mut lab, Way::Pending("180 Ringing"));
        let b = b.leg.expect("a leg");
        b.respond_with(&mut lab, status, &["Contact: <sip:1005@127.0.0.60>"], "");
        expect_sent(&mut lab, &["B ACK"], &[&format!("A {} INVITE", &status[..3])]);
        let response = lab.last_to(A);
        assert_eq!(response.all("Contact"), ["<sip:1005@127.0.0.60>"]);
        lab.send(A, &caller.ack_refusal_text(&response));
        lab.finish();
    }
}

#[test]
fn it_goes_before_every_rule_of_the_callee() {
    let mut lab = lab(|setup| {
        Condition::ALL.into_iter().skip(1).for_each(|other| setup.forward_on(other, B, D.number));
    });
    let caller = deflects(&mut lab, "", &["<sip:1005@127.0.0.60>"]);
    expect_sent(&mut lab, &["B ACK"], &["A 181 INVITE", "C INVITE"]);
    assert_eq!(counted(&lab), ONE);
    answer_and_finish(lab, caller);
}

#[test]
fn it_ends_the_ringing_of_the_numbers_other_phones() {
    let mut lab = group::lab(&[1_000, 1_000, 500]);
    let (caller, [b1, b2]) = group::two_ring(&mut lab);
    b1.respond_with(&mut lab, "302 Moved Temporarily", &["Contact: <sip:1005@127.0.0.60>"], "");
    // The phones of the next level are not tried.
    expect_sent(&mut lab, &["B1 ACK", "B2 CANCEL"], &["A 181 INVITE", "C INVITE"]);
    let cancel = lab.last_to(B2);
    // Its answer crossed the CANCEL.
    b2.respond(&mut lab, "200 OK");
    expect_sent(&mut lab, &["B2 ACK"], &["B2 BYE"]);
    let bye = lab.last_to(B2);
    b2.answer(&mut lab, &cancel, "481 Call/Transaction Does Not Exist");
    b2.answer(&mut lab, &bye, "200 OK");
    assert_eq!(counted(&lab), ONE);
    answer_and_finish(lab, caller);
}

#[test]
fn a_phone_that_has_said_nothing_yet_is_cancelled_at_its_first_1xx() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    b1.respond_with(&mut lab, "302 Moved Temporarily", &["Contact: <sip:1005@127.0.0.60>"], "");
    expect_sent(&mut lab, &["B1 ACK"], &["A 181 INVITE", "C INVITE"]);
    b2.respond(&mut lab, "180 Ringing");
    b2.cancelled(&mut lab);
    answer_and_finish(lab, caller);
}

#[test]
fn a_302_without_a_contact_of_one_phone_leaves_the_others_ringing() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (mut caller, [b1, b2]) = group::two_ring(&mut lab);
    let text = b1.text_with("302 Moved Temporarily", &["Contact: <none>"], "");
    lab.send(B1, &text.replace("Contact: <none>\r\n", ""));
    expect_sent(&mut lab, &["B1 ACK"], &[]);
    b2.respond(&mut lab, "200 OK");
    caller.answered_and_acked(&mut lab);
    lab.expect(B2, "ACK");
    crate::lab::scene::hang_up_and_finish(lab, caller, &b2);
}

#[test]
fn a_deflection_to_a_group_rings_all_of_it_and_to_one_of_its_phones_too() {
    for contact in ["<sip:1005@127.0.0.60>", "<sip:1005@127.0.0.151>"] {
        let mut lab = lab(|setup| {
            setup.bind(C1, 1_000);
        });
        let caller = deflects(&mut lab, "180 Ringing", &[contact]);
        let mut sent = lab.sent();
        sent[2..].sort();
        assert_eq!(sent, ["B ACK", "A 181 INVITE", "C INVITE", "C1 INVITE"]);
        let (c, c1) = (leg_to(&mut lab, C), leg_to(&mut lab, C1));
        c1.reject(&mut lab, "486 Busy Here");
        refuse_and_finish(lab, &caller, &c);
    }
}

#[test]
fn deflections_count_towards_the_cap_and_go_in_no_circle() {
    let mut lab = lab(|setup| setup.settings.max_diversions = 2);
    let caller = deflects(&mut lab, "180 Ringing", &["<sip:1005@127.0.0.60>"]);
    lab.sent();
    let c = leg_to(&mut lab, C);
    c.respond_with(&mut lab, "302 Moved Temporarily", &["Contact: <sip:1006@127.0.0.60>"], "");
    expect_sent(&mut lab, &["C ACK"], &["A 181 INVITE", "D INVITE"]);
    let d = leg_to(&mut lab, D);
    assert_eq!(
        d.invite.all("Diversion"),
        [
            "<sip:1005@127.0.0.60>;reason=deflection;counter=1;privacy=off",
            "<sip:1004@127.0.0.60>;reason=deflection;counter=1;privacy=off"
        ]
    );
    d.respond_with(&mut lab, "302 Moved Temporarily", &["Contact: <sip:1004@127.0.0.60>"], "");
    expect_sent(&mut lab, &["D ACK"], &["A 480 INVITE"]);
    assert_eq!((lab.metrics().forwards_refused, lab.metrics().forwards_in_loop), (1, 1));
    let response = lab.last_to(A);
    lab.send(A, &caller.ack_refusal_text(&response));
    lab.finish();
}

#[test]
fn a_deflection_to_a_number_that_forwards_all_its_calls_goes_where_those_go() {
    let mut lab = lab(|setup| setup.forward_on(Condition::Unconditional, C, D.number));
    let caller = deflects(&mut lab, "", &["<sip:1005@127.0.0.60>"]);
    expect_sent(&mut lab, &["B ACK"], &["A 181 INVITE", "D INVITE"]);
    assert_eq!(counted(&lab), [1, 0, 0, 0, 0, 1]);
    let d = leg_to(&mut lab, D);
    refuse_and_finish(lab, &caller, &d);
}

#[test]
fn a_private_number_that_goes_while_it_rings_is_still_not_named() {
    for goes in [false, true] {
        let mut lab = lab(|setup| setup.subscriber(B).is_private = true);
        let (caller, b) = call(&mut lab, Way::Pending("180 Ringing"));
        if goes {
            lab.keeper.remove("1004");
        }
        let b = b.leg.expect("a leg");
        b.respond_with(&mut lab, "302 Moved Temporarily", &["Contact: <sip:1005@127.0.0.60>"], "");
        expect_sent(&mut lab, &["B ACK"], &["A 181 INVITE", "C INVITE"]);
        let invite = lab.last_to(C);
        let diversions = invite.all("Diversion");
        assert_eq!(diversions.len(), 1);
        assert!(diversions[0].starts_with("<sip:anonymous@anonymous.invalid>"), "{diversions:?}");
        answer_and_finish(lab, caller);
    }
}
