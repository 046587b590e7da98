//! REGISTERs that are wrong: what they are refused with, and that nothing comes of them.

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::peer::{B, SERVER};
use lab::phone::Phone;
use lab::sip::Sip;
use ringway::settings::Listener;

/// What a REGISTER with these Contacts and lines is refused with. Nothing was bound and nothing is kept.
#[track_caller]
fn refusal(contacts: &str, lines: &[&str], status: u16) -> Sip {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    let text = phone.next(&mut lab, contacts, lines);
    lab.send(B, &text);
    let refusal = lab.expect(B, &format!("{status} REGISTER"));
    assert_eq!((lab.keeper.bindings("1004"), lab.transactions()), (vec![], 0));
    assert_eq!((lab.metrics().registrations_refused, lab.metrics().requests_refused), (1, 1));
    // It needs no transaction to be refused alike when it comes again.
    lab.send(B, &text);
    assert_eq!(lab.expect(B, &format!("{status} REGISTER")), refusal);
    lab.finish();
    refusal
}

#[track_caller]
fn refused(contacts: &str, lines: &[&str], status: u16, reason: &str) {
    assert_eq!(refusal(contacts, lines, status).reason, reason, "{contacts} {lines:?}");
}

#[test]
fn a_contact_that_cannot_be_called_is_refused_with_the_reason() {
    for (contact, reason) in [
        ("<mailto:b@example.net>", "Bad Contact"),
        ("<sips:1004@127.0.0.136>", "Bad Contact"),
        ("<tel:+1004>", "Bad Contact"),
        ("<sip:1004@>", "Bad Contact"),
        ("<sip:1004@127.0.0.136:99999>", "Bad Contact"),
        ("<sip:1004@127.0.0.136;x=\u{e9}>", "Bad Contact"),
        ("1004", "Bad Contact"),
        ("<sip:1004@127.0.0.136", "Malformed Contact"),
        ("\"B <sip:1004@127.0.0.136>", "Malformed Contact"),
        ("<sip:1004@127.0.0.136> x", "Malformed Contact"),
        ("<sip:1004@127.0.0.136?Subject=x>", "Contact With Headers"),
        ("<sip:1004@127.0.0.136;transport=tcp>", "Contact Transport Not UDP"),
        ("<sip:1004@127.0.0.136;transport=ws>", "Contact Transport Not UDP"),
        ("<sip:1004@127.0.0.136>;q=1.1", "Bad q-value"),
        ("<sip:1004@127.0.0.136>;q", "Bad q-value"),
        ("<sip:1004@127.0.0.136>;q=0.1234", "Bad q-value"),
        ("<sip:1004@127.0.0.136>;+sip.instance", "Bad +sip.instance"),
        ("<sip:1004@127.0.0.136>;+sip.instance=\"a\\\"b\"", "Bad +sip.instance"),
        ("<sip:1004@127.0.0.136>;+sip.instance=\"<urn:x>\";reg-id=0", "Bad reg-id"),
        ("<sip:1004@127.0.0.136>;+sip.instance=\"<urn:x>\";reg-id=one", "Bad reg-id"),
    ] {
        refused(contact, &[], 400, reason);
        // One bad Contact spoils the good ones.
        refused(&format!("<sip:good@127.0.0.136>, {contact}"), &[], 400, reason);
    }
    refused(", ,", &[], 400, "Malformed Contact");
}

#[test]
fn a_contact_that_is_too_long_is_refused() {
    let of = |length: usize| format!("<sip:{}@127.0.0.136>", "1".repeat(length - "sip:@127.0.0.136".len()));
    refused(&of(513), &[], 400, "Contact Too Long");
    let mut lab = Lab::new();
    Phone::new(&mut lab, B).registers(&mut lab, &of(512));
    lab.finish();
    refused(&format!("<sip:1004@127.0.0.136{}>", ";a".repeat(17)), &[], 400, "Bad Contact");
    let instance = format!("<sip:1004@127.0.0.136>;+sip.instance=\"<{}>\"", "u".repeat(127));
    refused(&instance, &[], 400, "Bad +sip.instance");
}

#[test]
fn the_servers_own_address_is_refused() {
    let own = [format!("<sip:1004@{SERVER}>"), format!("<sip:1004@{}>", SERVER.ip())];
    for contact in &own {
        refused(contact, &[], 403, "Contact Is This Server");
    }
    let mut lab = Lab::with(|setup| {
        let address = "0.0.0.0:5062".parse().expect("an address");
        setup.settings.listeners.push(Listener { address, sent_by: "sip.example.net:5062".into() });
    });
    let mut phone = Phone::new(&mut lab, B);
    phone.gets(&mut lab, ("<sip:1004@SIP.example.net:5062>", &[]), 403);
    // Another port is another server.
    phone.registers(&mut lab, "<sip:1004@sip.example.net>");
    lab.finish();
}

#[test]
fn a_star_stands_alone_and_with_expires_0() {
    refused("*", &[], 400, "Contact * Without Expires: 0");
    refused("*", &["Expires: 3600"], 400, "Contact * Without Expires: 0");
    refused("*", &["Expires: never"], 400, "Contact * Without Expires: 0");
    refused("*, <sip:1004@127.0.0.136>", &["Expires: 0"], 400, "Contact * Not Alone");
    refused("<sip:1004@127.0.0.136>", &["Contact: *", "Expires: 0"], 400, "Contact * Not Alone");
    refused("*, *", &["Expires: 0"], 400, "Contact * Not Alone");
    refused("<*>", &["Expires: 0"], 400, "Bad Contact");
}

#[test]
fn what_we_do_not_know_of_require_is_refused_and_named() {
    let refusal = refusal("<sip:1004@127.0.0.136>", &["Require: path, gruu", "Require: timer"], 420);
    assert_eq!(refusal.list("Unsupported"), ["gruu", "timer"]);
    let mut lab = Lab::new();
    let lines = ["Require: path", "Require: Outbound"];
    Phone::new(&mut lab, B).gets(&mut lab, ("<sip:1004@127.0.0.136>", &lines), 200);
    lab.finish();
}

#[test]
fn a_domain_or_a_to_that_is_no_sip_uri_is_refused() {
    for (request_uri, to, status, reason) in [
        ("tel:1004", "<sip:1004@127.0.0.60>", 416, "Unsupported URI Scheme"),
        ("sip:127.0.0.60:x", "<sip:1004@127.0.0.60>", 400, "Malformed Request-URI"),
        ("sip:127.0.0.60", "<tel:1004>", 400, "To Is No SIP URI"),
        ("sip:127.0.0.60", "<1004>", 400, "Malformed To"),
    ] {
        let mut lab = Lab::new();
        let mut phone = Phone::new(&mut lab, B);
        phone.register.request_uri = request_uri.into();
        phone.register.to = to.into();
        assert_eq!(phone.gets(&mut lab, ("", &[]), status).reason, reason, "{request_uri} {to}");
        lab.finish();
    }
}

#[test]
fn a_list_of_ten_kilobytes_is_refused_by_its_count() {
    let item = "<sip:1004@127.0.0.136>;q=broken,";
    let list = item.repeat(10_240 / item.len());
    refused(&list, &[], 403, "Too Many Contacts");
    refused(&"*,".repeat(5_000), &["Expires: 0"], 403, "Too Many Contacts");
    // Two for each that may be bound are looked at.
    let of = |count: u32| {
        (0..count).map(|port| format!("<sip:1004@127.0.0.136:{}>,", port + 1)).collect::<String>()
    };
    refused(&of(21), &[], 403, "Too Many Contacts");
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    assert_eq!(phone.gets(&mut lab, (&of(20), &[]), 403).reason, "Too Many Contacts");
    let answer = phone.registers(&mut lab, &of(10));
    assert_eq!(answer.list("Contact").len(), 10);
    // All of them are exchanged at once.
    let gone: String = of(10).replace(",", ";expires=0,");
    let fresh: String = of(10).replace("1004", "b");
    assert_eq!(phone.registers(&mut lab, &format!("{gone}{fresh}")).list("Contact").len(), 10);
    lab.finish();
}

#[test]
fn a_head_that_a_response_could_not_repeat_is_refused() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    phone.register.call_id = "i".repeat(17_000);
    phone.gets(&mut lab, ("<sip:1004@127.0.0.136>", &[]), 513);
    // To ask is cheap.
    phone.gets(&mut lab, ("", &[]), 200);
    lab.finish();
}

#[test]
fn every_prefix_of_a_register_is_answered_once_at_most_and_leaves_nothing() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    let lines =
        ["Expires: 600", "Supported: path, outbound", "Path: <sip:127.0.0.139;lr;ob>", "Require: path"];
    let contact = "\"B\" <sip:1004@127.0.0.136>;+sip.instance=\"<urn:x>\";reg-id=1";
    let text = phone.next(&mut lab, contact, &lines);
    for end in 0..text.len() {
        lab.send(B, &text[..end]);
        assert!(lab.sent().len() <= 1, "{end}");
    }
    lab.send(B, &text);
    lab.sent();
    lab.advance(40_000);
    assert_eq!(lab.transactions(), 0);
    lab.finish();
}
