//! Nonces (RFC 7616 §3.3, §3.4): fresh ones, old ones, forged ones, and how far each has been used.

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::caller::{Invite, request};
use lab::digest::{Answer, Challenge, again, challenged, guarded, refused};
use lab::peer::{A, B, Peer};

/// A request that goes no further than the door: it gets 405 behind it.
fn knock(lab: &mut Lab, peer: Peer) -> Invite {
    request(lab, peer, "SUBSCRIBE", "1005")
}

/// Knocks with this challenge and count; the status.
#[track_caller]
fn knocked(lab: &mut Lab, peer: Peer, challenge: &Challenge, nc: u32) -> u16 {
    let plain = knock(lab, peer);
    let line = Answer::new(challenge, peer, &plain).nc(nc).line();
    plain.line(line).send(lab);
    let answer = lab.expect_any(peer);
    answer[..3].parse().expect("a status")
}

/// Knocks and is told that the nonce is stale.
#[track_caller]
fn stale(lab: &mut Lab, peer: Peer, challenge: &Challenge, nc: u32) -> Challenge {
    let before = lab.metrics().auth_stale_nonces;
    assert_eq!(knocked(lab, peer, challenge, nc), 401);
    assert_eq!(lab.metrics().auth_stale_nonces, before + 1);
    let fresh = Challenge::first(&lab.last_to(peer));
    assert!(fresh.stale && fresh.nonce != challenge.nonce);
    fresh
}

#[test]
fn a_nonce_is_used_again_and_again_with_a_count_that_grows() {
    let mut lab = guarded(&[A], |_| {});
    let first = knock(&mut lab, A);
    let challenge = challenged(&mut lab, &first);
    for nc in [1, 2, 3, 7, 0x1f, 0xffff_fffe] {
        assert_eq!(knocked(&mut lab, A, &challenge, nc), 405, "{nc}");
    }
    assert_eq!(lab.metrics().auth_failures, 0);
    lab.finish();
}

#[test]
fn a_replayed_count_is_stale() {
    let mut lab = guarded(&[A], |_| {});
    let first = knock(&mut lab, A);
    let challenge = challenged(&mut lab, &first);
    assert_eq!(knocked(&mut lab, A, &challenge, 5), 405);
    for nc in [5, 4, 1, 0] {
        stale(&mut lab, A, &challenge, nc);
    }
    assert_eq!(knocked(&mut lab, A, &challenge, 6), 405);
    assert_eq!(lab.metrics().auth_failures, 0);
    lab.finish();
}

#[test]
fn a_wrong_password_does_not_use_the_nonce_up() {
    let mut lab = guarded(&[A], |_| {});
    let first = knock(&mut lab, A);
    let challenge = challenged(&mut lab, &first);
    let line = Answer::new(&challenge, A, &first).nc(9).password("guess").line();
    let wrong = again(&mut lab, &first, &line);
    refused(&mut lab, &wrong, 401);
    assert_eq!(knocked(&mut lab, A, &challenge, 1), 405);
    lab.finish();
}

#[test]
fn a_nonce_grows_stale_with_time() {
    let mut lab = guarded(&[A], |setup| setup.settings.auth.nonce_lifetime_s = 60);
    let first = knock(&mut lab, A);
    let challenge = challenged(&mut lab, &first);
    lab.advance(59_000);
    assert_eq!(knocked(&mut lab, A, &challenge, 1), 405);
    lab.advance(1_000);
    let fresh = stale(&mut lab, A, &challenge, 2);
    assert_eq!(knocked(&mut lab, A, &fresh, 1), 405);
    lab.finish();
}

#[test]
fn a_forged_nonce_is_no_nonce() {
    let mut lab = guarded(&[A], |_| {});
    let first = knock(&mut lab, A);
    let challenge = challenged(&mut lab, &first);
    let mut digits = challenge.nonce.clone().into_bytes();
    digits[7] = if digits[7] == b'0' { b'1' } else { b'0' };
    let changed = String::from_utf8(digits).expect("digits");
    let longer = format!("{}0", challenge.nonce);
    for nonce in [changed, longer, String::new(), "84a4cc6f3082121f32b42a2187831a9e".into()] {
        let forged = Challenge { nonce, ..challenge.clone() };
        assert_eq!(knocked(&mut lab, A, &forged, 1), 401);
        assert!(!Challenge::first(&lab.last_to(A)).stale);
    }
    let metrics = lab.metrics();
    assert_eq!((metrics.auth_stale_nonces, metrics.auth_failures), (0, 0));
    lab.finish();
}

#[test]
fn a_nonce_is_good_for_the_address_that_asked_alone() {
    // Whoever could use it from a forged address could spend its owner's tries.
    let mut lab = guarded(&[A, B], |_| {});
    let first = knock(&mut lab, A);
    let challenge = challenged(&mut lab, &first);
    let fresh = stale(&mut lab, B, &challenge, 1);
    assert_eq!(knocked(&mut lab, B, &fresh, 1), 405);
    lab.finish();
}

#[test]
fn another_shards_nonce_is_stale_and_the_fresh_one_is_taken() {
    let mut lab = guarded(&[A], |setup| setup.shards = 2);
    let first = knock(&mut lab, A);
    let challenge = challenged(&mut lab, &first);
    let here = lab.owner;
    // Call-IDs are drawn until one belongs to the other shard.
    for serial in 0.. {
        let mut moved = knock(&mut lab, A);
        moved.call_id = format!("moved{serial}@127.0.0.137");
        let line = Answer::new(&challenge, A, &moved).nc(serial + 1).line();
        let answered = moved.clone().line(line);
        answered.send(&mut lab);
        let answer = lab.expect_any(A);
        if lab.owner == here {
            assert_eq!(answer, "405 SUBSCRIBE");
            continue;
        }
        assert_eq!(answer, "401 SUBSCRIBE");
        let fresh = Challenge::first(&lab.last_to(A));
        assert!(fresh.stale);
        let line = Answer::new(&fresh, A, &moved).line();
        let moved = again(&mut lab, &moved, &line);
        refused(&mut lab, &moved, 405);
        break;
    }
    lab.finish();
}

#[test]
fn what_the_table_forgets_is_stale() {
    // The least table: 64 nonces.
    let mut lab = guarded(&[A], |setup| setup.settings.max_transactions = 64);
    let mut challenges = Vec::new();
    for _ in 0..200 {
        let first = knock(&mut lab, A);
        let challenge = challenged(&mut lab, &first);
        assert_eq!(knocked(&mut lab, A, &challenge, 1), 405);
        challenges.push(challenge);
    }
    let known = challenges.iter().filter(|challenge| knocked(&mut lab, A, challenge, 2) == 405).count();
    assert!((32..=64).contains(&known), "{known}");
    // None of them is ever taken twice.
    for challenge in &challenges {
        stale(&mut lab, A, challenge, 2);
    }
    lab.finish();
}
