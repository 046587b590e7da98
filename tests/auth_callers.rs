//! Who may say that it is whom: subscribers, trusted peers, and anyone in the lab.

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::callee::Leg;
use lab::caller::{Invite, request};
use lab::digest::{Answer, again, challenged, guarded, refused, set_password};
use lab::peer::{A, B, C, D, Peer};
use lab::scene::refuse_and_finish;

/// Challenged and answered; the status behind the door.
#[track_caller]
fn answered(lab: &mut Lab, peer: Peer, request: &Invite) -> u16 {
    let challenge = challenged(lab, request);
    let line = Answer::new(&challenge, peer, request).line();
    let answered = again(lab, request, &line);
    answered.send(lab);
    lab.expect_any(request.peer)[..3].parse().expect("a status")
}

/// A call to C goes through, and C refuses it.
#[track_caller]
fn goes_through(mut lab: Lab, invite: Invite) {
    let peer = invite.peer;
    let caller = invite.send(&mut lab);
    lab.expect(peer, "100 INVITE");
    let c = Leg::expect(&mut lab, C);
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn nobody_calls_in_anothers_name() {
    for from in [
        "<sip:1004@127.0.0.60>",
        "\"1003\" <sip:1004@127.0.0.60>",
        "<sip:127.0.0.60>",
        "<tel:1004>",
        "<sip:1003%20@127.0.0.60>",
        "<mailto:1003@127.0.0.60>",
    ] {
        let mut lab = guarded(&[A, B], |_| {});
        let mut plain = request(&mut lab, A, "SUBSCRIBE", C.number);
        plain.from = format!("{from};tag=7");
        assert_eq!(answered(&mut lab, A, &plain), 403, "{from}");
        assert_eq!(lab.metrics().auth_forbidden, 1);
        lab.finish();
    }
}

#[test]
fn ones_own_name_may_be_written_in_many_ways_and_left_out() {
    for from in [
        "<sip:1003@elsewhere.example>",
        "<sip:%31003@127.0.0.60;user=phone>",
        "sip:1003@127.0.0.60",
        "<tel:1003;phone-context=x>",
        "\"Anonymous\" <sip:anonymous@anonymous.invalid>",
        "<sip:anonymous@127.0.0.60>",
    ] {
        let mut lab = guarded(&[A], |_| {});
        let mut plain = request(&mut lab, A, "SUBSCRIBE", C.number);
        plain.from = format!("{from};tag=7");
        assert_eq!(answered(&mut lab, A, &plain), 405, "{from}");
        lab.finish();
    }
}

#[test]
fn nobody_prefers_anothers_identity() {
    for (identity, status) in [
        ("<sip:1003@127.0.0.60>", 405),
        ("\"Me\" <sip:1003@127.0.0.60>, <tel:1003>", 405),
        ("<sip:1004@127.0.0.60>", 403),
        ("<sip:1003@127.0.0.60>, <tel:1004>", 403),
        ("<sip:anonymous@anonymous.invalid>", 403),
        ("<1003>", 403),
    ] {
        let mut lab = guarded(&[A], |_| {});
        let plain = request(&mut lab, A, "SUBSCRIBE", C.number);
        let plain = plain.line(format!("P-Preferred-Identity: {identity}"));
        assert_eq!(answered(&mut lab, A, &plain), status, "{identity}");
        lab.finish();
    }
}

#[test]
fn nobody_registers_anothers_number() {
    let mut lab = guarded(&[A, B], |_| {});
    let mut plain = request(&mut lab, A, "REGISTER", "");
    plain.request_uri = "sip:127.0.0.60".into();
    plain.to = "<sip:1004@127.0.0.60>".into();
    assert_eq!(answered(&mut lab, A, &plain), 403);
    lab.finish();
}

#[test]
fn ones_own_number_is_let_in_to_register() {
    let mut lab = guarded(&[A, B], |_| {});
    let mut plain = request(&mut lab, A, "REGISTER", "");
    plain.request_uri = "sip:127.0.0.60".into();
    plain.to = "<sip:%31003@127.0.0.60>".into();
    let status = answered(&mut lab, A, &plain);
    assert!(![401, 403].contains(&status), "{status}");
    lab.abandon();
}

#[test]
fn a_trusted_peer_needs_no_password_and_speaks_for_anyone() {
    for network in ["127.0.0.137", "127.0.0.128/28"] {
        let mut lab = guarded(&[A, B], |setup| {
            setup.settings.auth.trusted = vec![network.parse().expect("a network")];
        });
        // One outside of it is asked.
        let outside = Peer { address: "127.0.0.9:5060".parse().expect("an address"), ..B };
        let plain = request(&mut lab, outside, "SUBSCRIBE", C.number);
        refused(&mut lab, &plain, 401);
        let mut invite = Invite::new(&mut lab, A, C.number);
        invite.from = "<sip:1004@127.0.0.60>;tag=7".into();
        goes_through(lab, invite);
    }
}

#[test]
fn in_the_lab_only_numbers_with_a_password_are_asked() {
    let lab_with_passwords = || Lab::with(|setup| set_password(setup, A));
    // B has none, and nobody is 7.
    for from in ["<sip:1004@127.0.0.60>", "<sip:7@127.0.0.60>", "<sip:anonymous@anonymous.invalid>"] {
        let mut lab = lab_with_passwords();
        let mut invite = Invite::new(&mut lab, D, C.number);
        invite.from = format!("{from};tag=7");
        goes_through(lab, invite);
    }
    for from in ["<sip:1003@127.0.0.60>", "<sip:%31003@elsewhere>"] {
        let mut lab = lab_with_passwords();
        let mut invite = Invite::new(&mut lab, D, C.number);
        invite.from = format!("{from};tag=7");
        refused(&mut lab, &invite, 401);
        lab.finish();
    }
    let mut lab = lab_with_passwords();
    let invite = Invite::new(&mut lab, A, C.number);
    let challenge = challenged(&mut lab, &invite);
    let line = Answer::new(&challenge, A, &invite).line();
    let invite = again(&mut lab, &invite, &line);
    goes_through(lab, invite);
}

#[test]
fn in_the_lab_a_register_is_asked_by_the_number_that_it_binds() {
    let mut lab = Lab::with(|setup| set_password(setup, A));
    let mut plain = request(&mut lab, B, "REGISTER", A.number);
    refused(&mut lab, &plain, 401);
    plain.to = "<sip:1004@127.0.0.60>".into();
    let serial = lab.serial();
    plain.via = format!("SIP/2.0/UDP {};rport;branch=z9hG4bK77{serial}", B.address);
    plain.send(&mut lab);
    assert_ne!(lab.expect_any(B), "401 REGISTER");
    lab.abandon();
}
