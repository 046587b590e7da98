//! What is broken, endless or enormous: it never costs the call, and it passes as it is.

use crate::lab::Lab;
use crate::lab::callee::Leg;
use crate::lab::peer::{A, C};
use crate::lab::scene::refuse_and_finish;
use crate::{BOTH, DIVERSION, HISTORY_INFO, called, form, forwarded, passed_on, tells};
use ringway::limits::{DATAGRAM_BYTES_MAX, HISTORY_BYTES_MAX};

const OWN: &str = "<sip:1004@127.0.0.60>;reason=no-answer;counter=1;privacy=off";
const OWN_ENTRIES: [&str; 2] = [
    "<sip:1004@127.0.0.60?Reason=SIP%3Bcause%3D408>;index=1",
    "<sip:1005@127.0.0.60;cause=408>;index=1.1;mp=1",
];

#[test]
fn a_broken_diversion_passes_and_is_not_converted() {
    let broken = [
        "\"unclosed <sip:1@x>;reason=away",
        "<sip:1@x;reason=away",
        "1@x;reason=away",
        "<>;reason=away",
        "<sip:1@x>;reason=\"away",
        "<urn:service:sos>;reason=away",
        "<sip:1@x>, nonsense here, <sip:2@x>",
    ];
    for value in broken {
        let line = format!("Diversion: {value}");
        let b = passed_on(form(BOTH), &[&line]);
        assert_eq!((b.all("Diversion"), b.has("History-Info")), (vec![value], false), "{value}");
        assert!(!passed_on(form(HISTORY_INFO), &[&line]).has("History-Info"), "{value}");
        let c = forwarded(form(BOTH), &[&line]);
        assert_eq!(c.all("Diversion"), [OWN, value]);
        assert_eq!(c.all("History-Info"), [OWN_ENTRIES.join(", ")], "{value}");
    }
}

#[test]
fn broken_history_info_passes_and_is_not_converted() {
    let broken = [
        "<sip:1@x>;index=1, \"unclosed <sip:2@x;cause=302>;index=1.1",
        "<sip:1@x>, <sip:2@x;cause=302>;index=1.1",
        "<sip:1@x>;index=1, <sip:2@x;cause=302>;index=one",
        "<sip:1@x>;index=1, <sip:2@x;cause=302>;index=1..1",
        "<sip:1@x>;index=1, <sip:2@x;cause=302>;index=",
        "<sip:1@x>;index=1, 2@x;index=1.1",
        "<sip:1@x>;index=1, <sip:2@x;cause=302;index=1.1",
    ];
    for value in broken {
        let line = format!("History-Info: {value}");
        let b = passed_on(form(BOTH), &[&line]);
        assert_eq!((b.has("Diversion"), b.all("History-Info")), (false, vec![value]), "{value}");
        assert!(!passed_on(form(DIVERSION), &[&line]).has("Diversion"), "{value}");
        let c = forwarded(form(BOTH), &[&line]);
        assert_eq!(c.all("History-Info"), [value, &OWN_ENTRIES.join(", ")]);
        assert_eq!(c.all("Diversion"), [OWN], "{value}");
    }
    let long = format!("<sip:1@x>;index=1{}", ".1".repeat(40));
    let c = forwarded(form(HISTORY_INFO), &[&format!("History-Info: {long}")]);
    assert_eq!(c.all("History-Info"), [&long, &OWN_ENTRIES.join(", ")]);
}

#[test]
fn fields_without_a_value_pass_nothing_on() {
    for name in ["Diversion", "History-Info"] {
        for value in ["", ",", " , ,"] {
            let lines = [format!("{name}:{value}"), "Subject: behind".into()];
            let mut lab = Lab::with(form(BOTH));
            let (caller, b) = called(&mut lab, &[&lines[0], &lines[1]]);
            b.respond(&mut lab, "100 Trying");
            b.reject(&mut lab, "408 Request Timeout");
            lab.expect(A, "181 INVITE");
            let c = Leg::expect(&mut lab, C);
            assert_eq!(c.invite.all("Diversion").iter().filter(|value| **value == OWN).count(), 1);
            c.reject(&mut lab, "486 Busy Here");
            caller.refused(&mut lab, 486);
            // The audit finds fault with an empty field, which came so.
            lab.abandon();
        }
    }
}

#[test]
fn counters_beyond_any_number_make_a_bounded_history() {
    for counter in ["5", "1000000000", "1000000000000000000000000000000"] {
        let line = format!("Diversion: <sip:1@x>;reason=user-busy;counter={counter}");
        let b = passed_on(form(HISTORY_INFO), &[&line]);
        let entries = b.list("History-Info");
        assert_eq!(entries.len(), if counter == "5" { 6 } else { 33 });
        let text = entries.concat();
        assert!(text.len() < HISTORY_BYTES_MAX, "{}", text.len());
        assert!(entries[entries.len() - 2].starts_with("<sip:1@x;cause=404>;index=1.1"), "{entries:?}");
    }
}

#[test]
fn endless_histories_pass_and_are_not_converted() {
    let diversions: Vec<String> = (0..400).map(|number| format!("<sip:{number}@x>;counter=1")).collect();
    let line = format!("Diversion: {}", diversions.join(", "));
    let b = passed_on(form(BOTH), &[&line]);
    assert_eq!((b.list("Diversion").len(), b.has("History-Info")), (400, false));
    let entries: Vec<String> = (0..400).map(|number| format!("<sip:{number}@x>;index=1.{number}")).collect();
    let line = format!("History-Info: {}", entries.join(", "));
    let c = forwarded(form(BOTH), &[&line]);
    assert_eq!(c.list("History-Info").len(), 402);
    assert_eq!(c.all("Diversion"), [OWN]);
}

#[test]
fn thirty_two_are_converted_and_thirty_three_are_not() {
    for (count, converted) in [(32, 33), (33, 0)] {
        let diversions: Vec<String> = (0..count).map(|number| format!("<sip:{number}@x>")).collect();
        let line = format!("Diversion: {}", diversions.join(", "));
        let b = passed_on(form(BOTH), &[&line]);
        assert_eq!(b.list("History-Info").len(), converted);
    }
}

#[test]
fn long_uris_are_not_multiplied() {
    let entry = |number: usize| format!("<sip:{number}@{}>;reason=away", "h".repeat(480));
    let line = format!("Diversion: {}", (0..30).map(entry).collect::<Vec<_>>().join(", "));
    let b = passed_on(form(BOTH), &[&line]);
    assert_eq!((b.list("Diversion").len(), b.has("History-Info")), (30, false));
    // One that is longer than any target may be is not looked at.
    let line = format!("Diversion: <sip:1@{}>", "h".repeat(2_000));
    assert!(!passed_on(form(BOTH), &[&line]).has("History-Info"));
}

/// The INVITE to C of a call whose INVITE to B has just this many bytes.
#[track_caller]
fn filled_up_to(bytes: usize, lines: &[&str]) -> Leg {
    let plain = passed_on(|setup| setup.settings.forwarding.history = crate::NONE, &["Subject: s"]);
    let subject = format!("Subject: {}", "s".repeat(bytes + 1 - plain.bytes.len()));
    let mut lab = Lab::with(form(BOTH));
    let lines: Vec<&str> = lines.iter().copied().chain([subject.as_str()]).collect();
    let (caller, b) = called(&mut lab, &lines);
    b.respond(&mut lab, "100 Trying");
    b.reject(&mut lab, "408 Request Timeout");
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    refuse_and_finish(lab, &caller, &c);
    c
}

#[test]
fn no_call_is_lost_because_of_what_it_is_told() {
    for room in [0, 100, 220, 400, 1_000] {
        let line = "Diversion: <sip:1@x>;reason=user-busy";
        let bytes = DATAGRAM_BYTES_MAX - room - line.len() - 2;
        let c = filled_up_to(bytes, &[line]);
        assert!(c.invite.bytes.len() <= DATAGRAM_BYTES_MAX);
        let diversions = c.invite.all("Diversion");
        let count = (diversions.len(), c.invite.list("History-Info").len());
        let expected = match room {
            0..=100 => (1, 0),
            // Nothing is made of what came, but ours are told.
            220 => (2, 2),
            _ => (2, 3),
        };
        assert_eq!(count, expected, "{room}");
        assert_eq!(diversions.last(), Some(&"<sip:1@x>;reason=user-busy"));
    }
}

#[test]
fn what_must_be_hidden_stays_hidden_when_there_is_no_room() {
    let line = "Diversion: <sip:secret@x>;privacy=full";
    let bytes = DATAGRAM_BYTES_MAX - line.len() - 2;
    let c = filled_up_to(bytes, &[line]);
    assert!(!c.invite.text().contains("secret"));
    tells(&c.invite, &[], &[]);
}
