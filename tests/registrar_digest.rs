//! Registering where everyone must prove who it is.

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::caller::Invite;
use lab::digest::{Answer, Challenge, guarded};
use lab::peer::{A, B, Peer};
use lab::phone::Phone;

const CONTACT: &str = "<sip:1004@127.0.0.136:5060>";

/// Sends the phone's next REGISTER, is challenged, and answers as `peer`: the last status.
#[track_caller]
fn registers_as(lab: &mut Lab, phone: &mut Phone, peer: Peer) -> u16 {
    phone.send(lab, CONTACT, &[]);
    let challenge = Challenge::first(&lab.expect(phone.peer(), "401 REGISTER"));
    let request: &Invite = &phone.register;
    let line = Answer::new(&challenge, peer, request).line();
    phone.send(lab, CONTACT, &[&line]);
    lab.expect_any(phone.peer())[..3].parse().expect("a status")
}

#[test]
fn with_its_password_a_phone_is_bound() {
    let mut lab = guarded(&[A, B], |_| {});
    let mut phone = Phone::new(&mut lab, B);
    assert_eq!(registers_as(&mut lab, &mut phone, B), 200);
    assert_eq!(lab.keeper.bindings("1004").len(), 1);
    assert_eq!(lab.metrics().registrations, 1);
    lab.finish();
}

#[test]
fn anothers_number_is_forbidden_whether_there_is_one_or_not() {
    for to in ["<sip:1004@127.0.0.60>", "<sip:1999@127.0.0.60>", "<sip:1004@127.0.0.60>;tag=x"] {
        let mut lab = guarded(&[A, B], |_| {});
        let mut phone = Phone::new(&mut lab, A);
        phone.register.to = to.into();
        assert_eq!(registers_as(&mut lab, &mut phone, A), 403, "{to}");
        assert_eq!(lab.keeper.bindings("1004"), []);
        lab.finish();
    }
}

#[test]
fn without_a_password_nothing_is_told_or_changed() {
    let mut lab = guarded(&[A, B], |_| {});
    let mut phone = Phone::new(&mut lab, B);
    phone.gets(&mut lab, ("", &[]), 401);
    phone.gets(&mut lab, (CONTACT, &[]), 401);
    phone.gets(&mut lab, ("*", &["Expires: 0"]), 401);
    assert_eq!((lab.keeper.bindings("1004"), lab.transactions()), (vec![], 0));
    lab.finish();
}
