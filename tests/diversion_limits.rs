//! How often, and to whom, a call may be forwarded, and what the INVITE says of it (SIP_RULES 8, 10).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::callee::Leg;
use lab::caller::{Caller, Invite};
use lab::peer::{A, B, C, D, Peer, Setup};
use lab::scene::{refuse_and_finish, ringing};

/// B's leg does not answer; A hears of it or not.
#[track_caller]
fn no_answer(lab: &mut Lab, leg: &Leg) {
    leg.respond(lab, "100 Trying");
    leg.reject(lab, "408 Request Timeout");
}

/// A calls B with further header lines; B does not answer. The INVITE to C, if there is one.
#[track_caller]
fn forwarded_with(change: impl FnOnce(&mut Setup), lines: &[&str]) -> Result<Leg, u16> {
    let mut lab = Lab::with(change);
    let mut invite = Invite::new(&mut lab, A, "1004");
    invite.lines = lines.iter().map(|line| line.to_string()).collect();
    let caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    // History-Info that came alone is told as Diversion too (tests/history.rs).
    let came = |name: &str| lines.iter().filter(|line| line.to_lowercase().starts_with(name)).count();
    let (diversions, entries) = (came("diversion:"), came("history-info:"));
    assert!(diversions == 0 && entries > 0 || b.invite.all("Diversion").len() == diversions);
    no_answer(&mut lab, &b);
    if lab.last_to(A).summary() == "181 INVITE" {
        lab.expect(A, "181 INVITE");
        let c = Leg::expect(&mut lab, C);
        refuse_and_finish(lab, &caller, &c);
        return Ok(c);
    }
    let status = lab.last_to(A).status.expect("a response");
    caller.refused(&mut lab, status);
    assert_eq!(lab.metrics().forwards_refused, 1);
    lab.finish();
    Err(status)
}

fn forwarded(lines: &[&str]) -> Result<Leg, u16> {
    forwarded_with(|_| {}, lines)
}

#[test]
fn a_chain_has_its_diversions_newest_first() {
    let mut lab = Lab::with(|setup| setup.forward(C, D));
    let (caller, b) = ringing(&mut lab);
    lab.advance(20_000);
    b.cancelled(&mut lab);
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    lab.advance(20_000);
    c.cancelled(&mut lab);
    lab.expect(A, "181 INVITE");
    let d = Leg::expect(&mut lab, D);
    let expected = [
        "<sip:1005@127.0.0.60>;reason=no-answer;counter=1;privacy=off",
        "<sip:1004@127.0.0.60>;reason=no-answer;counter=1;privacy=off",
    ];
    assert_eq!(d.invite.all("Diversion"), expected);
    assert_eq!(c.invite.all("Diversion"), expected[1..]);
    assert!(!b.invite.has("Diversion"));
    let record_id = |leg: &Leg| leg.invite.one("Record-ID").to_string();
    assert_eq!([record_id(&b), record_id(&c)], [record_id(&c), record_id(&d)]);
    assert_eq!(lab.metrics().forwarded_no_answer, 2);
    refuse_and_finish(lab, &caller, &d);
}

#[test]
fn received_diversions_stay_unchanged_below_ours() {
    let lines = [
        "Diversion: \"One, two\" <sip:1001@example.com>;reason=user-busy;privacy=full, <sip:1000@x>;reason=a",
        "Subject: between",
        "diversion: <sip:0999@x>;counter=2;reason=unconditional",
    ];
    let trusting = |setup: &mut Setup| {
        let network = |peer: Peer| peer.address.ip().to_string().parse().expect("a network");
        setup.settings.auth.trusted = [B, C].map(network).into();
    };
    let c = forwarded_with(trusting, &lines).expect("forwarded");
    let expected = [
        "<sip:1004@127.0.0.60>;reason=no-answer;counter=1;privacy=off",
        "\"One, two\" <sip:1001@example.com>;reason=user-busy;privacy=full, <sip:1000@x>;reason=a",
        "<sip:0999@x>;counter=2;reason=unconditional",
    ];
    assert_eq!(c.invite.all("Diversion"), expected);
}

#[test]
fn the_cap_counts_what_came_with_the_invite() {
    assert!(forwarded(&["Diversion: <sip:1@x>;reason=no-answer;counter=4"]).is_ok());
    assert_eq!(forwarded(&["Diversion: <sip:1@x>;reason=no-answer;counter=5"]).err(), Some(480));
    assert_eq!(forwarded(&["Diversion: <sip:1@x>;reason=no-answer;COUNTER = \"5\""]).err(), Some(480));
}

#[test]
fn without_a_counter_a_diversion_counts_once() {
    let four = ["Diversion: <sip:1@x>", "Diversion: <sip:2@x>, <sip:3@x>;reason=a", "Diversion: <sip:4@x>"];
    assert!(forwarded(&four).is_ok());
    assert_eq!(forwarded(&[&four[..], &["Diversion: <sip:5@x>"]].concat()).err(), Some(480));
}

#[test]
fn several_fields_lists_and_counters_add_up() {
    let four =
        ["Diversion: <sip:1@x>;counter=2", "Diversion: \"a, b;counter=9\" <sip:2@x>, <sip:3@x;counter=9>"];
    assert!(forwarded(&four).is_ok());
    assert_eq!(forwarded(&[&four[..], &["Diversion: <sip:4@x>;counter=1"]].concat()).err(), Some(480));
}

#[test]
fn a_counter_of_a_billion_or_beyond_any_number_is_beyond_the_cap() {
    for counter in
        ["1000000000", "4294967295", "4294967296", "18446744073709551616", "9999999999999999999999"]
    {
        let line = format!("Diversion: <sip:1@x>;counter={counter}");
        assert_eq!(forwarded(&[&line]).err(), Some(480), "{counter}");
        assert_eq!(forwarded(&[&line, &line]).err(), Some(480), "{counter}");
    }
}

#[test]
fn a_counter_that_is_zero_or_no_number_counts_once() {
    for counter in ["0", "", "x", "-1", "1e9"] {
        let line = format!("Diversion: <sip:1@x>;counter={counter}");
        assert!(forwarded(&[line.as_str(); 4]).is_ok(), "{counter}");
        assert_eq!(forwarded(&[line.as_str(); 5]).err(), Some(480), "{counter}");
    }
}

#[test]
fn the_causes_of_history_info_count_as_well_and_not_twice() {
    let history =
        "History-Info: <sip:1@x>;index=1, <sip:2@x;cause=408>;index=1.1, <sip:3@x;cause=302>;index=1.2";
    assert!(forwarded(&[history]).is_ok());
    let more = "History-Info: <sip:4@x;cause=486>;index=1.3, <sip:5@x;cause=408>;index=1.4, \
                <sip:6@x;cause=408>;index=1.5";
    assert_eq!(forwarded(&[history, more]).err(), Some(480));
    // The same three hops told twice.
    let told = ["Diversion: <sip:1@x>;counter=2", history];
    assert!(forwarded(&told).is_ok());
}

#[test]
fn max_diversions_is_settable() {
    let two = |setup: &mut Setup| setup.settings.max_diversions = 2;
    assert!(forwarded_with(two, &["Diversion: <sip:1@x>"]).is_ok());
    assert_eq!(forwarded_with(two, &["Diversion: <sip:1@x>;counter=2"]).err(), Some(480));
    let none = |setup: &mut Setup| setup.settings.max_diversions = 0;
    assert_eq!(forwarded_with(none, &[]).err(), Some(480));
}

#[test]
fn our_own_diversions_count_towards_the_cap() {
    let mut lab = Lab::with(|setup| {
        setup.forward(C, D);
        setup.settings.max_diversions = 1;
    });
    let (caller, b) = ringing(&mut lab);
    b.reject(&mut lab, "408 Request Timeout");
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    no_answer(&mut lab, &c);
    caller.refused(&mut lab, 480);
    assert_eq!(lab.sent_to(D), Vec::<String>::new());
    lab.finish();
}

/// A calls B; nobody answers until a target is refused; who was tried.
#[track_caller]
fn tried_until_480(change: impl FnOnce(&mut Setup)) -> Vec<&'static str> {
    let mut lab = Lab::with(change);
    let caller = Caller::call(&mut lab, A, "1004");
    lab.expect(A, "100 INVITE");
    let mut tried = Vec::new();
    while lab.last_to(A).summary() != "480 INVITE" {
        let next = [A, B, C, D].into_iter().find(|peer| lab.sent_to(*peer).last() == Some(&"INVITE".into()));
        let leg = Leg::expect(&mut lab, next.expect("someone is tried"));
        tried.push(leg.peer.name);
        no_answer(&mut lab, &leg);
        if lab.last_to(A).summary() == "181 INVITE" {
            lab.expect(A, "181 INVITE");
        }
    }
    caller.refused(&mut lab, 480);
    assert_eq!(lab.metrics().forwards_refused, 1);
    lab.finish();
    tried
}

#[test]
fn a_target_that_was_tried_is_not_tried_again() {
    let tried = tried_until_480(|setup| {
        setup.forward(C, D);
        setup.forward(D, B);
    });
    assert_eq!(tried, ["B", "C", "D"]);
    assert_eq!(tried_until_480(|setup| setup.forward(B, B)), ["B"]);
}

#[test]
fn the_caller_is_no_target() {
    assert_eq!(tried_until_480(|setup| setup.forward(B, A)), ["B"]);
    assert_eq!(tried_until_480(|setup| setup.forward(C, A)), ["B", "C"]);
}

#[test]
fn a_target_that_is_no_subscriber_is_not_tried() {
    let unknown = Peer { name: "nobody", number: "1999", ..D };
    assert_eq!(tried_until_480(|setup| setup.forward(B, unknown)), ["B"]);
}

#[test]
fn a_caller_who_calls_itself_is_not_forwarded_to_itself() {
    let mut lab = Lab::with(|setup| setup.forward(A, A));
    let caller = Caller::call(&mut lab, A, "1003");
    lab.expect(A, "100 INVITE");
    let own = Leg::expect(&mut lab, A);
    no_answer(&mut lab, &own);
    caller.refused(&mut lab, 480);
    lab.finish();
}

#[test]
fn the_diversion_names_the_request_uri_before_it_without_parameters() {
    let cases = [
        ("sip:1004@example.com;user=phone;transport=udp", "<sip:1004@example.com>"),
        ("sip:1004@127.0.0.60:5060", "<sip:1004@127.0.0.60>"),
        ("sip:1004:secret@127.0.0.60:5070", "<sip:1004@127.0.0.60:5070>"),
        ("sip:1004@[2001:db8::60]", "<sip:1004@[2001:db8::60]>"),
        ("tel:1004;phone-context=x", "<sip:1004@127.0.0.60:5060>"),
    ];
    for (request_uri, expected) in cases {
        let mut lab = Lab::new();
        let mut invite = Invite::new(&mut lab, A, "1004");
        invite.request_uri = request_uri.into();
        let caller = invite.send(&mut lab);
        lab.expect(A, "100 INVITE");
        let b = Leg::expect(&mut lab, B);
        no_answer(&mut lab, &b);
        lab.expect(A, "181 INVITE");
        let c = Leg::expect(&mut lab, C);
        let diversion = c.invite.one("Diversion");
        assert_eq!(diversion, format!("{expected};reason=no-answer;counter=1;privacy=off"));
        refuse_and_finish(lab, &caller, &c);
    }
}

#[test]
fn a_target_that_leads_back_to_us_ends_in_482() {
    // C's contact is the server itself: the INVITE to C comes back to us.
    let mut lab = Lab::with(|setup| {
        let c = setup.subscriber(C);
        *c = c.clone().at(&format!("sip:{}", C.address), lab::peer::SERVER);
    });
    let caller = Caller::call(&mut lab, A, "1004");
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    no_answer(&mut lab, &b);
    lab.expect(A, "181 INVITE");
    let invite = lab.expect_at(lab::peer::SERVER, "INVITE");
    lab.send_from(lab::peer::SERVER, &invite.text());
    let refusal = lab.expect_at(lab::peer::SERVER, "482 INVITE");
    lab.send_from(lab::peer::SERVER, &refusal.text());
    let ack = lab.expect_at(lab::peer::SERVER, "ACK");
    lab.send_from(lab::peer::SERVER, &ack.text());
    caller.refused(&mut lab, 482);
    lab.expect_nothing();
    lab.finish();
}
