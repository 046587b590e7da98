//! REGISTERs that overtake each other (RFC 3261 §10.3 steps 6 and 7).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::peer::B;
use lab::phone::Phone;

const CONTACT: &str = "<sip:1004@127.0.0.136:5060>";

#[test]
fn an_earlier_register_that_comes_later_changes_nothing() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    let first = phone.next(&mut lab, CONTACT, &[]);
    phone.send(&mut lab, &format!("{CONTACT};expires=600"), &[]);
    lab.expect(B, "200 REGISTER");
    lab.send(B, &first);
    let refusal = lab.expect(B, "500 REGISTER");
    assert_eq!(refusal.reason, "CSeq Out Of Order");
    assert_eq!(phone.fetches(&mut lab), [format!("{CONTACT};expires=600")]);
    assert_eq!(lab.metrics().registrations_refused, 1);
    lab.finish();
}

#[test]
fn the_same_cseq_in_another_request_is_out_of_order_too() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    phone.registers(&mut lab, CONTACT);
    phone.register.cseq -= 1;
    phone.gets(&mut lab, (CONTACT, &[]), 500);
    lab.finish();
}

#[test]
fn a_phone_that_was_restarted_begins_anew() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    phone.register.cseq = 4_000;
    phone.registers(&mut lab, CONTACT);
    // Another Call-ID: no order between the two.
    let mut restarted = Phone::new(&mut lab, B);
    restarted.registers(&mut lab, CONTACT);
    assert_eq!(restarted.fetches(&mut lab).len(), 1);
    lab.finish();
}

#[test]
fn taking_back_too_late_is_out_of_order() {
    for (contacts, lines) in [("*", &["Expires: 0"][..]), ("<sip:1004@127.0.0.136:5060>;expires=0", &[])] {
        let mut lab = Lab::new();
        let mut phone = Phone::new(&mut lab, B);
        let late = phone.next(&mut lab, contacts, lines);
        phone.registers(&mut lab, CONTACT);
        lab.send(B, &late);
        lab.expect(B, "500 REGISTER");
        assert_eq!(phone.fetches(&mut lab).len(), 1);
        lab.finish();
    }
}

#[test]
fn all_of_a_register_is_out_of_order_when_one_contact_is() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    let late = phone.next(&mut lab, &format!("<sip:new@127.0.0.136>, {CONTACT}"), &[]);
    phone.registers(&mut lab, CONTACT);
    let mut other = Phone::new(&mut lab, B);
    other.registers(&mut lab, "<sip:other@127.0.0.136>");
    lab.send(B, &late);
    lab.expect(B, "500 REGISTER");
    let expected = [format!("{CONTACT};expires=3600"), "<sip:other@127.0.0.136>;expires=3600".into()];
    assert_eq!(phone.fetches(&mut lab), expected);
    // A star needs every binding to be older as well.
    phone.register.cseq = 0;
    phone.gets(&mut lab, ("*", &["Expires: 0"]), 500);
    assert_eq!(lab.keeper.bindings("1004").len(), 2);
    lab.finish();
}

#[test]
fn what_touches_other_bindings_is_in_order() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    let late = phone.next(&mut lab, "<sip:b@127.0.0.136>", &[]);
    phone.registers(&mut lab, CONTACT);
    lab.send(B, &late);
    assert_eq!(lab.expect(B, "200 REGISTER").list("Contact").len(), 2);
    lab.finish();
}

#[test]
fn when_a_binding_has_expired_its_order_is_forgotten() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    phone.register.cseq = 10;
    phone.registers(&mut lab, &format!("{CONTACT};expires=60"));
    lab.advance(60_000);
    phone.register.cseq = 1;
    phone.registers(&mut lab, CONTACT);
    lab.finish();
}
