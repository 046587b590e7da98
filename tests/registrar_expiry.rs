//! How long a registration lasts (RFC 3261 §10.2.1.1, §10.3 step 7).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::peer::B;
use lab::phone::Phone;

const CONTACT: &str = "<sip:1004@127.0.0.136:5060>";

/// For how long a registration with this parameter and these lines is granted.
#[track_caller]
fn granted(param: &str, lines: &[&str]) -> String {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    let answer = phone.gets(&mut lab, (&format!("{CONTACT}{param}"), lines), 200);
    let contact = answer.one("Contact").to_string();
    lab.finish();
    contact.strip_prefix(CONTACT).and_then(|rest| rest.strip_prefix(";expires=")).expect("expires").into()
}

#[test]
fn the_contacts_own_time_goes_before_the_header_fields_before_the_default() {
    assert_eq!(granted("", &[]), "3600");
    assert_eq!(granted("", &["Expires: 1800"]), "1800");
    assert_eq!(granted(";expires=900", &["Expires: 1800"]), "900");
    assert_eq!(granted(";q=0;EXPIRES=\"900\"", &[]), "900;q=0.000");
}

#[test]
fn a_time_that_cannot_be_read_is_an_hour() {
    for param in [";expires=soon", ";expires", ";expires=-1", ";expires=\"\"", ";expires=12h"] {
        assert_eq!(granted(param, &["Expires: 1800"]), "3600", "{param}");
    }
    assert_eq!(granted("", &["Expires: Thu, 01 Dec 1994 16:00:00 GMT"]), "3600");
}

#[test]
fn a_long_time_is_cut() {
    for param in [";expires=7200", ";expires=7201", ";expires=4294967296", ";expires=99999999999999999999"] {
        assert_eq!(granted(param, &[]), "7200", "{param}");
    }
    assert_eq!(granted("", &["Expires: 1000000"]), "7200");
}

#[test]
fn a_brief_time_is_refused_with_the_least() {
    for (param, lines) in [(";expires=59", &[][..]), (";expires=1", &[]), ("", &["Expires: 59"])] {
        let mut lab = Lab::new();
        let mut phone = Phone::new(&mut lab, B);
        let refusal = phone.gets(&mut lab, (&format!("{CONTACT}{param}"), lines), 423);
        assert_eq!((refusal.reason.as_str(), refusal.one("Min-Expires")), ("Interval Too Brief", "60"));
        assert_eq!((lab.keeper.bindings("1004"), lab.transactions()), (vec![], 0));
        lab.finish();
    }
    assert_eq!(granted(";expires=60", &[]), "60");
}

#[test]
fn one_brief_contact_refuses_all() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    phone.registers(&mut lab, CONTACT);
    let contacts =
        format!("{CONTACT};expires=0, <sip:b@127.0.0.136>;expires=600, <sip:c@127.0.0.136>;expires=5");
    phone.gets(&mut lab, (&contacts, &[]), 423);
    assert_eq!(phone.fetches(&mut lab), [format!("{CONTACT};expires=3600")]);
    lab.finish();
}

#[test]
fn the_bounds_and_the_default_are_settable() {
    let mut lab = Lab::with(|setup| {
        let registration = &mut setup.settings.registration;
        registration.expires_min_s = 300;
        registration.expires_max_s = 600;
        registration.expires_default_s = 400;
    });
    let mut phone = Phone::new(&mut lab, B);
    for (param, expected) in
        [("", "400"), (";expires=300", "300"), (";expires=3600", "600"), (";expires=x", "600")]
    {
        let answer = phone.registers(&mut lab, &format!("{CONTACT}{param}"));
        assert_eq!(answer.one("Contact"), format!("{CONTACT};expires={expected}"), "{param}");
    }
    let refusal = phone.gets(&mut lab, (&format!("{CONTACT};expires=299"), &[]), 423);
    assert_eq!(refusal.one("Min-Expires"), "300");
    lab.finish();
}

#[test]
fn a_binding_is_gone_when_its_time_is_over() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    let brief = "<sip:brief@127.0.0.136:5060>;expires=60";
    let long = "<sip:long@127.0.0.136:5060>;expires=600";
    phone.registers(&mut lab, &format!("{brief}, {long}"));
    lab.advance(59_999);
    assert_eq!(
        phone.fetches(&mut lab),
        ["<sip:brief@127.0.0.136:5060>;expires=1", "<sip:long@127.0.0.136:5060>;expires=541"]
    );
    lab.advance(1);
    assert_eq!(phone.fetches(&mut lab), ["<sip:long@127.0.0.136:5060>;expires=540"]);
    // The next change leaves it out.
    phone.registers(&mut lab, long);
    assert_eq!(lab.keeper.bindings("1004").len(), 1);
    lab.finish();
}

#[test]
fn what_has_expired_does_not_count_among_those_allowed() {
    let mut lab = Lab::with(|setup| setup.settings.registration.contacts_max = 1);
    let mut phone = Phone::new(&mut lab, B);
    phone.registers(&mut lab, "<sip:a@127.0.0.136>;expires=60");
    phone.gets(&mut lab, ("<sip:b@127.0.0.136>", &[]), 403);
    lab.advance(60_000);
    assert_eq!(phone.registers(&mut lab, "<sip:b@127.0.0.136>").list("Contact").len(), 1);
    lab.finish();
}
