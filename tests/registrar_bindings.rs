//! Registering, refreshing, asking, taking back (RFC 3261 §10).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::caller::request;
use lab::peer::{B, SERVER};
use lab::phone::Phone;
use lab::{Lab, STARTED};
use ringway::clock::UnixSeconds;
use ringway::directory::Q_MAX;
use ringway::outbox::ListenerId;

#[test]
fn a_phone_that_registers_is_bound_and_told_until_when() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    let answer = phone.registers(&mut lab, "<sip:1004@127.0.0.136:5060>");
    assert_eq!(answer.one("Contact"), "<sip:1004@127.0.0.136:5060>;expires=3600");
    assert_eq!(answer.one("Date"), "Thu, 10 Oct 2013 10:07:15 GMT");
    assert!(!answer.has("Path") && !answer.has("Require"));
    let [binding] = &lab.keeper.bindings("1004")[..] else { panic!("one binding") };
    assert_eq!(&*binding.uri, "sip:1004@127.0.0.136:5060");
    assert_eq!((binding.destination.address(), binding.listener), (B.address, ListenerId(0)));
    assert_eq!((binding.q, binding.cseq), (Q_MAX, 1));
    assert_eq!(binding.expires_at, UnixSeconds(STARTED.0 + 3_600));
    assert_eq!(binding.extras, None);
    assert_eq!(lab.metrics().registrations, 1);
    lab.finish();
}

#[test]
fn a_refresh_moves_the_time_and_adds_nothing() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    phone.registers(&mut lab, "<sip:1004@127.0.0.136:5060>");
    lab.advance(1_000_000);
    assert_eq!(phone.fetches(&mut lab), ["<sip:1004@127.0.0.136:5060>;expires=2600"]);
    let answer = phone.registers(&mut lab, "<sip:1004@127.0.0.136:5060>");
    assert_eq!(answer.list("Contact"), ["<sip:1004@127.0.0.136:5060>;expires=3600"]);
    assert_eq!(lab.keeper.bindings("1004").len(), 1);
    lab.finish();
}

#[test]
fn a_repeated_register_gets_the_same_answer_and_changes_nothing() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    let text = phone.next(&mut lab, "<sip:1004@127.0.0.136:5060>", &[]);
    lab.send(B, &text);
    let answer = lab.expect(B, "200 REGISTER");
    lab.advance(20_000);
    lab.send(B, &text);
    assert_eq!(lab.expect(B, "200 REGISTER"), answer);
    assert_eq!((lab.metrics().registrations, lab.metrics().request_retransmissions), (1, 1));
    lab.finish();
}

#[test]
fn asking_changes_nothing_and_needs_no_transaction() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    let answer = phone.gets(&mut lab, ("", &[]), 200);
    assert_eq!((answer.all("Contact"), lab.transactions()), (vec![], 0));
    assert!(answer.has("Date"));
    assert_eq!((lab.metrics().registrations, lab.metrics().registrations_fetched), (0, 1));
    // Expires without a Contact asks as well.
    phone.gets(&mut lab, ("", &["Expires: 0"]), 200);
    lab.finish();
}

#[test]
fn all_contacts_of_a_register_are_bound_with_their_preference() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    let contacts = "\"Desk\" <sip:1004@127.0.0.136:5060;ob>;q=0.7, \
         sip:1004@127.0.0.136:5062;q=1.0;expires=90,<sip:1004@127.0.0.136:5064>;q=0.025";
    let answer = phone.registers(&mut lab, contacts);
    let expected = [
        "<sip:1004@127.0.0.136:5060;ob>;expires=3600;q=0.700",
        "<sip:1004@127.0.0.136:5062>;expires=90",
        "<sip:1004@127.0.0.136:5064>;expires=3600;q=0.025",
    ];
    assert_eq!(answer.list("Contact"), expected);
    assert_eq!(phone.fetches(&mut lab), expected);
    lab.finish();
}

#[test]
fn contacts_in_several_header_fields_count_like_a_list() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    let more = ["m: <sip:1004@127.0.0.136:5062>", "CONTACT: <sip:1004@127.0.0.136:5064>"];
    let answer = phone.gets(&mut lab, ("<sip:1004@127.0.0.136:5060>", &more), 200);
    assert_eq!(answer.list("Contact").len(), 3);
    lab.finish();
}

#[test]
fn two_phones_of_a_number_are_bound_side_by_side() {
    let mut lab = Lab::new();
    let (mut desk, mut mobile) = (Phone::new(&mut lab, B), Phone::new(&mut lab, B));
    desk.registers(&mut lab, "<sip:desk@127.0.0.136:5060>");
    let answer = mobile.registers(&mut lab, "<sip:mobile@127.0.0.136:5060>");
    assert_eq!(answer.list("Contact").len(), 2);
    // Each may take back the other's: a binding is the number's, not the phone's.
    mobile.registers(&mut lab, "<sip:desk@127.0.0.136:5060>;expires=0");
    assert_eq!(desk.fetches(&mut lab), ["<sip:mobile@127.0.0.136:5060>;expires=3600"]);
    lab.finish();
}

#[test]
fn equivalent_uris_are_one_binding() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    phone.registers(&mut lab, "<sip:1004@127.0.0.136:5060;Line=1>");
    let answer = phone.registers(&mut lab, "<sip:%31004@127.0.0.136:5060;line=1;x-new>");
    assert_eq!(answer.list("Contact"), ["<sip:%31004@127.0.0.136:5060;line=1;x-new>;expires=3600"]);
    // A default port that is written out makes another URI.
    let answer = phone.registers(&mut lab, "<sip:1004@127.0.0.136>");
    assert_eq!(answer.list("Contact").len(), 2);
    lab.finish();
}

#[test]
fn a_contact_with_expires_0_is_taken_back_alone() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    phone.registers(&mut lab, "<sip:a@127.0.0.136:5060>, <sip:b@127.0.0.136:5060>");
    let answer = phone.registers(&mut lab, "<sip:a@127.0.0.136:5060>;expires=0");
    assert_eq!(answer.list("Contact"), ["<sip:b@127.0.0.136:5060>;expires=3600"]);
    // One that is not there is as good as gone; the header field stands for the parameter.
    phone.gets(&mut lab, ("<sip:a@127.0.0.136:5060>", &["Expires: 0"]), 200);
    phone.gets(&mut lab, ("<sip:b@127.0.0.136:5060>", &["Expires: 0"]), 200);
    assert_eq!(phone.fetches(&mut lab), [""; 0]);
    lab.finish();
}

#[test]
fn a_phone_that_moves_swaps_its_address_in_one_step() {
    let mut lab = Lab::with(|setup| setup.settings.registration.contacts_max = 1);
    let mut phone = Phone::new(&mut lab, B);
    phone.registers(&mut lab, "<sip:1004@127.0.0.136:5060>");
    let swap = "<sip:1004@127.0.0.136:5070>, <sip:1004@127.0.0.136:5060>;expires=0";
    let answer = phone.registers(&mut lab, swap);
    assert_eq!(answer.list("Contact"), ["<sip:1004@127.0.0.136:5070>;expires=3600"]);
    lab.finish();
}

#[test]
fn of_a_contact_that_stands_twice_the_last_counts() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    let twice = "<sip:1004@127.0.0.136:5060>;expires=100, <sip:1004@127.0.0.136:5060>;expires=200";
    assert_eq!(phone.registers(&mut lab, twice).list("Contact"), ["<sip:1004@127.0.0.136:5060>;expires=200"]);
    lab.finish();
}

#[test]
fn a_star_takes_all_back() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    phone.registers(&mut lab, "<sip:a@127.0.0.136:5060>, <sip:b@127.0.0.136:5060>");
    let answer = phone.gets(&mut lab, ("*", &["Expires: 0"]), 200);
    assert_eq!(answer.list("Contact"), [""; 0]);
    assert_eq!(lab.keeper.bindings("1004"), []);
    // There is nothing left to take back, which is fine too.
    phone.gets(&mut lab, ("*", &["Expires: 0"]), 200);
    lab.finish();
}

#[test]
fn one_contact_more_than_allowed_is_refused_and_the_others_stay() {
    let mut lab = Lab::with(|setup| setup.settings.registration.contacts_max = 2);
    let mut phone = Phone::new(&mut lab, B);
    phone.registers(&mut lab, "<sip:a@127.0.0.136:5060>");
    let refusal = phone.gets(&mut lab, ("<sip:b@127.0.0.136:5060>, <sip:c@127.0.0.136:5060>", &[]), 403);
    assert_eq!(refusal.reason, "Too Many Contacts");
    assert_eq!(phone.fetches(&mut lab), ["<sip:a@127.0.0.136:5060>;expires=3600"]);
    phone.registers(&mut lab, "<sip:b@127.0.0.136:5060>");
    // A refresh adds nothing.
    phone.registers(&mut lab, "<sip:b@127.0.0.136:5060>");
    phone.gets(&mut lab, ("<sip:c@127.0.0.136:5060>", &[]), 403);
    assert_eq!(lab.metrics().registrations_refused, 2);
    lab.finish();
}

#[test]
fn to_names_the_number_with_escapes_and_on_any_host() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    phone.register.to = "\"B\" <sips:%31%3004@sip.example.net;user=phone>".into();
    phone.registers(&mut lab, "<sip:1004@127.0.0.136:5060>");
    assert_eq!(lab.keeper.bindings("1004").len(), 1);
    lab.finish();
}

#[test]
fn nobodys_number_is_not_found() {
    let mut lab = Lab::new();
    for to in ["<sip:1999@127.0.0.60>", "<sip:127.0.0.60>", &format!("<sip:{}@127.0.0.60>", "%31".repeat(65))]
    {
        let mut phone = Phone::new(&mut lab, B);
        phone.register.to = to.into();
        phone.gets(&mut lab, ("<sip:1004@127.0.0.136:5060>", &[]), 404);
        phone.gets(&mut lab, ("", &[]), 404);
    }
    assert_eq!(lab.transactions(), 0);
    lab.finish();
}

#[test]
fn a_to_tag_makes_no_difference() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    let tag = phone.registers(&mut lab, "<sip:1004@127.0.0.136:5060>").to_tag;
    phone.register.to = format!("<sip:1004@{SERVER}>;tag={tag}");
    let answer = phone.registers(&mut lab, "<sip:1004@127.0.0.136:5060>");
    assert_eq!(answer.to_tag, tag);
    lab.finish();
}

#[test]
fn register_is_among_the_methods_that_are_allowed() {
    let mut lab = Lab::new();
    let options = request(&mut lab, B, "OPTIONS", "1003").text();
    lab.send(B, &options);
    assert!(lab.expect(B, "200 OPTIONS").one("Allow").contains("REGISTER"));
    lab.finish();
}

#[test]
fn a_binding_outlasts_what_registered_it() {
    let mut lab = Lab::with(|setup| setup.shards = 4);
    // Call-IDs differ, so that the phones' REGISTERs belong to several shards.
    let mut phones: Vec<Phone> = (0..8).map(|_| Phone::new(&mut lab, B)).collect();
    for (number, phone) in phones.iter_mut().enumerate() {
        let answer = phone.registers(&mut lab, &format!("<sip:{number}@127.0.0.136:5060>"));
        assert_eq!(answer.list("Contact").len(), number + 1);
    }
    lab.advance(3_599_000);
    assert_eq!(phones[0].fetches(&mut lab).len(), 8);
    lab.advance(1_000);
    assert_eq!(phones[0].fetches(&mut lab), [""; 0]);
    lab.finish();
}
