//! Who guesses passwords is slowed, and nobody else (RFC 3261 §26.1.5).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::caller::request;
use lab::digest::{Answer, Challenge, challenged, guarded, password};
use lab::peer::{A, B, Peer};
use lab::sip::Sip;

/// Knocks with this password and count; what came back.
#[track_caller]
fn knock(lab: &mut Lab, peer: Peer, challenge: &Challenge, (password, nc): (&str, u32)) -> Sip {
    let plain = request(lab, peer, "SUBSCRIBE", "1005");
    let line = Answer::new(challenge, peer, &plain).nc(nc).password(password).line();
    plain.line(line).send(lab);
    lab.expect_any(peer);
    lab.last_to(peer)
}

#[track_caller]
fn challenge(lab: &mut Lab, peer: Peer) -> Challenge {
    let plain = request(lab, peer, "SUBSCRIBE", "1005");
    challenged(lab, &plain)
}

#[test]
fn after_so_many_failures_credentials_are_not_looked_at_for_a_while() {
    let mut lab = guarded(&[A, B], |setup| setup.settings.auth.failures_per_minute = 3);
    let guesser = challenge(&mut lab, A);
    for _ in 0..3 {
        assert_eq!(knock(&mut lab, A, &guesser, ("guess", 1)).status, Some(401));
    }
    // Not even the right one.
    let right = password(A);
    let refusal = knock(&mut lab, A, &guesser, (&right, 1));
    assert_eq!((refusal.status, refusal.one("Retry-After")), (Some(503), "20"));
    // A challenge costs nothing, and another address is not concerned.
    let other = challenge(&mut lab, B);
    assert_eq!(knock(&mut lab, B, &other, (&password(B), 1)).status, Some(405));
    challenge(&mut lab, A);
    lab.advance(20_000);
    assert_eq!(knock(&mut lab, A, &guesser, (&right, 2)).status, Some(405));
    // One try has come back, not all.
    assert_eq!(knock(&mut lab, A, &guesser, ("guess", 3)).status, Some(401));
    assert_eq!(knock(&mut lab, A, &guesser, ("guess", 3)).status, Some(503));
    let metrics = lab.metrics();
    assert_eq!((metrics.auth_failures, metrics.auth_throttled), (4, 2));
    lab.finish();
}

#[test]
fn stale_and_missing_credentials_are_no_failures() {
    let mut lab = guarded(&[A], |setup| setup.settings.auth.failures_per_minute = 1);
    let used = challenge(&mut lab, A);
    let right = password(A);
    assert_eq!(knock(&mut lab, A, &used, (&right, 1)).status, Some(405));
    for _ in 0..5 {
        assert_eq!(knock(&mut lab, A, &used, (&right, 1)).status, Some(401));
        challenge(&mut lab, A);
    }
    assert_eq!(knock(&mut lab, A, &used, (&right, 2)).status, Some(405));
    lab.finish();
}

#[test]
fn none_are_slowed_where_no_failures_are_counted() {
    let mut lab = guarded(&[A], |setup| setup.settings.auth.failures_per_minute = 0);
    let guesser = challenge(&mut lab, A);
    for _ in 0..100 {
        assert_eq!(knock(&mut lab, A, &guesser, ("guess", 1)).status, Some(401));
    }
    assert_eq!(knock(&mut lab, A, &guesser, (&password(A), 1)).status, Some(405));
    assert_eq!(lab.metrics().auth_failures, 100);
    lab.finish();
}
