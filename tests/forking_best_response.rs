//! What the caller gets when no phone of a group answers: the best of their final responses (RFC 3261
//! §16.7 step 6), and a 6xx at once (step 5).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::T1X64_MS;
use lab::callee::Leg;
use lab::group::{self, B1, B2, B3};
use lab::peer::{A, B, C, Setup};
use lab::scene::refuse_and_finish;
use ringway::directory::Forwarding;

fn no_forwarding(setup: &mut Setup) {
    setup.subscriber(B).forwarding = Forwarding::default();
}

/// The best of two final responses, whichever comes first, at one level and at two.
#[track_caller]
fn best(one: &str, other: &str, expected: u16) {
    for (first, second) in [(one, other), (other, one)] {
        let mut lab = group::lab_with(&[1_000, 1_000], no_forwarding);
        let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
        b1.reject(&mut lab, first);
        lab.expect_nothing();
        b2.reject(&mut lab, second);
        caller.refused(&mut lab, expected);
        lab.finish();
        let mut lab = group::lab_with(&[1_000, 500], no_forwarding);
        let (caller, [b1]) = group::call(&mut lab, [B1]);
        b1.reject(&mut lab, first);
        let [b2] = group::started(&mut lab, [B2]);
        b2.reject(&mut lab, second);
        caller.refused(&mut lab, expected);
        lab.finish();
    }
}

#[test]
fn the_lowest_class_counts() {
    best("301 Moved Permanently", "404 Not Found", 301);
    best("404 Not Found", "500 Server Internal Error", 404);
    best("486 Busy Here", "501 Not Implemented", 486);
    best("301 Moved Permanently", "401 Unauthorized", 301);
}

#[test]
fn within_4xx_what_tells_the_caller_what_to_change_comes_first() {
    for telling in ["401 Unauthorized", "407 Proxy Authentication Required", "415 Unsupported Media Type"] {
        best(telling, "486 Busy Here", telling[..3].parse().unwrap());
        best(telling, "404 Not Found", telling[..3].parse().unwrap());
    }
    best("420 Bad Extension", "486 Busy Here", 420);
    best("484 Address Incomplete", "480 Temporarily Unavailable", 484);
}

#[test]
fn busy_goes_before_what_says_less_of_the_callee() {
    best("486 Busy Here", "404 Not Found", 486);
    best("486 Busy Here", "480 Temporarily Unavailable", 486);
    best("486 Busy Here", "408 Request Timeout", 486);
    best("404 Not Found", "408 Request Timeout", 404);
}

#[test]
fn a_503_comes_last_and_is_a_500_for_the_caller() {
    best("503 Service Unavailable", "500 Server Internal Error", 500);
    best("503 Service Unavailable", "504 Server Time-out", 504);
    best("503 Service Unavailable", "503 Service Unavailable", 500);
}

#[test]
fn of_equals_the_first_counts() {
    for (first, second, expected) in
        [("404 Not Found", "410 Gone", 404), ("410 Gone", "404 Not Found", 410), ("500 A", "502 B", 500)]
    {
        let mut lab = group::lab(&[1_000, 1_000]);
        let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
        b1.reject(&mut lab, first);
        b2.reject(&mut lab, second);
        caller.refused(&mut lab, expected);
        lab.finish();
    }
}

#[test]
fn the_best_response_reaches_the_caller_whole() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    let lines = ["Retry-After: 60", "Warning: 399 b1 \"busy\"", "X-Own: 1", "Reason: Q.850;cause=17"];
    b1.respond_with(&mut lab, "486 I Am Busy", &lines, "");
    lab.expect(B1, "ACK");
    let text = ["Warning: 399 b2 \"gone\"", "X-Other: 2"];
    b2.respond_with(&mut lab, "404 Not Found", &text, "");
    lab.expect(B2, "ACK");
    let trying = lab.last_to(A);
    let refusal = caller.refused(&mut lab, 486);
    assert_eq!(refusal.reason, "I Am Busy");
    assert_eq!(refusal.one("Retry-After"), "60");
    assert_eq!(refusal.one("Warning"), "399 b1 \"busy\"");
    assert_eq!(refusal.one("X-Own"), "1");
    assert_eq!(refusal.one("Reason"), "Q.850;cause=17");
    assert_eq!(refusal.to_tag, trying.to_tag);
    assert!(!refusal.has("X-Other") && !refusal.has("Contact") && !refusal.has("Record-ID"));
    lab.finish();
}

#[test]
fn the_targets_of_a_redirection_reach_the_caller() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    b1.respond_with(&mut lab, "301 Moved Permanently", &["Contact: <sip:1009@127.0.0.99>"], "");
    lab.expect(B1, "ACK");
    b2.reject(&mut lab, "486 Busy Here");
    assert_eq!(caller.refused(&mut lab, 301).contact(), "sip:1009@127.0.0.99");
    lab.finish();
}

#[test]
fn a_challenge_reaches_the_caller() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    let challenge = "Digest realm=\"b1\", nonce=\"1\"";
    let line = format!("WWW-Authenticate: {challenge}");
    b1.respond_with(&mut lab, "401 Unauthorized", &[&line], "");
    lab.expect(B1, "ACK");
    b2.reject(&mut lab, "486 Busy Here");
    assert_eq!(caller.refused(&mut lab, 401).one("WWW-Authenticate"), challenge);
    lab.finish();
}

#[test]
fn silence_counts_least_of_4xx() {
    let mut lab = group::lab_with(&[1_000, 1_000], no_forwarding);
    let (caller, [b1, _]) = group::call(&mut lab, [B1, B2]);
    b1.reject(&mut lab, "404 Not Found");
    lab.advance(T1X64_MS);
    assert_eq!(lab.metrics().transactions_timed_out, 1);
    assert_eq!(lab.last_to(A).status, Some(404));
    lab.sent();
    let refusal = lab.last_to(A);
    lab.send(A, &caller.ack_refusal_text(&refusal));
    lab.finish();
}

#[test]
fn silence_goes_before_a_5xx_and_is_a_408() {
    let mut lab = group::lab_with(&[1_000, 1_000], no_forwarding);
    let (caller, [b1, _]) = group::call(&mut lab, [B1, B2]);
    b1.reject(&mut lab, "503 Service Unavailable");
    lab.advance(T1X64_MS);
    assert_eq!(lab.last_to(A).status, Some(408));
    lab.sent();
    let refusal = lab.last_to(A);
    lab.send(A, &caller.ack_refusal_text(&refusal));
    lab.finish();
}

#[test]
fn a_6xx_at_once_ends_the_search() {
    let mut lab = group::lab(&[1_000, 1_000, 1_000, 500]);
    let (caller, [b1, b2, b3]) = group::call(&mut lab, [B1, B2, B3]);
    b1.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    // B3 has said nothing yet: its CANCEL waits.
    b2.respond(&mut lab, "603 Decline");
    lab.expect(B2, "ACK");
    let last: Vec<String> = lab.ladder().split_off(8);
    assert_eq!(last[..3], ["B2 → S 603 INVITE", "S → B2 ACK", "S → B1 CANCEL"]);
    b1.cancelled(&mut lab);
    assert_eq!(caller.refused(&mut lab, 603).reason, "Decline");
    lab.expect_nothing();
    b3.respond(&mut lab, "100 Trying");
    b3.cancelled(&mut lab);
    assert_eq!(lab.metrics().calls_failed, 1);
    lab.finish();
}

#[test]
fn a_6xx_counts_before_any_better_class_that_came_earlier() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    b1.reject(&mut lab, "301 Moved Permanently");
    b2.reject(&mut lab, "600 Busy Everywhere");
    caller.refused(&mut lab, 600);
    lab.finish();
}

#[test]
fn a_6xx_of_a_phone_that_is_cancelled_counts_for_nothing() {
    let mut lab = group::lab(&[1_000]);
    let (caller, [b1]) = group::call(&mut lab, [B1]);
    b1.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    lab.advance(20_000);
    let cancel = lab.expect(B1, "CANCEL");
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    b1.reject(&mut lab, "603 Decline");
    lab.expect_nothing();
    b1.answer(&mut lab, &cancel, "200 OK");
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn an_answer_that_crosses_a_6xx_is_acked_and_byed() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    b1.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    b2.reject(&mut lab, "603 Decline");
    let cancel = lab.expect(B1, "CANCEL");
    caller.refused(&mut lab, 603);
    b1.respond(&mut lab, "200 OK");
    lab.expect(B1, "ACK");
    b1.hung_up(&mut lab);
    b1.answer(&mut lab, &cancel, "481 Call/Transaction Does Not Exist");
    assert_eq!(lab.metrics().late_answers, 1);
    lab.finish();
}

#[test]
fn a_body_in_the_best_response_reaches_the_caller() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    b1.respond_with(&mut lab, "486 Busy Here", &["Content-Type: text/plain"], "later");
    lab.expect(B1, "ACK");
    b2.reject(&mut lab, "500 Server Internal Error");
    let refusal = caller.refused(&mut lab, 486);
    assert_eq!((refusal.one("Content-Type"), refusal.body.as_str()), ("text/plain", "later"));
    lab.finish();
}
