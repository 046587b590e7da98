//! Digest authentication (RFC 7616, RFC 8760, RFC 3261 §22): who knows the password is let in, nobody else.

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::callee::Leg;
use lab::caller::{Caller, Invite, request};
use lab::digest::{Answer, Challenge, REALM, again, authenticated, challenged, guarded, password, refused};
use lab::peer::{A, B, C};
use lab::scene::{refuse_and_finish, talk_and_finish};
use ringway::auth::Algorithm;

/// A calls C, who answers and is hung up on.
#[track_caller]
fn goes_through(mut lab: Lab, caller: Caller) {
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(&mut lab, C);
    c.respond(&mut lab, "200 OK");
    talk_and_finish(lab, caller, &c);
}

#[test]
fn who_has_no_credentials_is_challenged_with_sha_256_and_then_md5() {
    let mut lab = guarded(&[A], |_| {});
    let invite = Invite::new(&mut lab, A, C.number);
    let refusal = refused(&mut lab, &invite, 401);
    let challenges = Challenge::all(&refusal);
    let names: Vec<&str> = challenges.iter().map(|challenge| &*challenge.algorithm).collect();
    assert_eq!(names, ["SHA-256", "MD5"]);
    for challenge in &challenges {
        assert_eq!((&*challenge.realm, &*challenge.qop, challenge.stale), (REALM, "auth", false));
        assert_eq!(challenge.nonce, challenges[0].nonce);
    }
    assert_eq!(lab.metrics().auth_challenges, 1);
    lab.finish();
}

#[test]
fn the_right_password_is_let_in_with_either_algorithm() {
    for algorithm in [0, 1] {
        let mut lab = guarded(&[A], |_| {});
        let invite = Invite::new(&mut lab, A, C.number);
        let challenge = Challenge::all(&refused(&mut lab, &invite, 401)).swap_remove(algorithm);
        let line = Answer::new(&challenge, A, &invite).line();
        let caller = again(&mut lab, &invite, &line).send(&mut lab);
        goes_through(lab, caller);
    }
}

#[test]
fn an_algorithm_that_is_not_offered_is_not_taken() {
    let mut lab = guarded(&[A], |setup| setup.settings.auth.algorithms = vec![Algorithm::Sha256]);
    let invite = Invite::new(&mut lab, A, C.number);
    let challenges = Challenge::all(&refused(&mut lab, &invite, 401));
    assert_eq!(challenges.len(), 1);
    let weak = Challenge { algorithm: "MD5".into(), ..challenges[0].clone() };
    let line = Answer::new(&weak, A, &invite).line();
    let invite = again(&mut lab, &invite, &line);
    refused(&mut lab, &invite, 401);
    lab.finish();
}

#[test]
fn a_wrong_password_is_challenged_anew_and_not_as_stale() {
    let mut lab = guarded(&[A], |_| {});
    let invite = Invite::new(&mut lab, A, C.number);
    let challenge = challenged(&mut lab, &invite);
    let line = Answer::new(&challenge, A, &invite).password("guess").line();
    let invite = again(&mut lab, &invite, &line);
    let anew = challenged(&mut lab, &invite);
    assert!(!anew.stale && anew.nonce != challenge.nonce);
    assert_eq!(lab.metrics().auth_failures, 1);
    lab.finish();
}

#[test]
fn an_unknown_number_and_one_without_a_password_are_answered_as_a_wrong_password_is() {
    // B has no password, nobody is 9999.
    let mut answers = Vec::new();
    for username in [A.number, B.number, "9999", "", "10\\03", &"9".repeat(2_000)] {
        let mut lab = guarded(&[A], |_| {});
        let invite = Invite::new(&mut lab, A, C.number);
        let challenge = challenged(&mut lab, &invite);
        let line = Answer::new(&challenge, A, &invite).username(username).password("guess").line();
        let invite = again(&mut lab, &invite, &line);
        let refusal = refused(&mut lab, &invite, 401);
        assert_eq!(lab.metrics().auth_failures, 1, "{username}");
        answers.push(refusal.text());
        lab.finish();
    }
    // The laboratories are alike to the byte, so the nonces and tags are too.
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
}

#[test]
fn the_digest_is_of_the_method_and_of_the_uri() {
    let mut lab = guarded(&[A], |_| {});
    let invite = Invite::new(&mut lab, A, C.number);
    let challenge = challenged(&mut lab, &invite);
    let right = Answer::new(&challenge, A, &invite);
    let other_method = Answer { method: "REGISTER".into(), ..right.clone() };
    let invite = again(&mut lab, &invite, &other_method.line());
    refused(&mut lab, &invite, 401);
    let other_uri = Answer { uri: "sip:1004@127.0.0.60".into(), ..right.clone() };
    let invite = again(&mut lab, &invite, &other_uri.line());
    let refusal = refused(&mut lab, &invite, 400);
    assert_eq!(refusal.reason, "Authorization For Another URI");
    // The same URI in other words.
    let same = Answer { uri: "SIP:%31005@127.0.0.60:5060".into(), ..right };
    let caller = again(&mut lab, &invite, &same.line()).send(&mut lab);
    goes_through(lab, caller);
}

#[test]
fn credentials_without_qop_are_challenged_and_broken_ones_are_refused() {
    let mut lab = guarded(&[A], |_| {});
    let invite = Invite::new(&mut lab, A, C.number);
    let challenge = challenged(&mut lab, &invite);
    let line = Answer::new(&challenge, A, &invite).line();
    let (old, _) = line.split_once(", cnonce").expect("a cnonce");
    for (line, status) in [
        (old.to_owned(), 401),
        (line.replace("qop=auth", "qop=auth-int"), 401),
        (line.replace("algorithm=SHA-256", "algorithm=SHA-256-sess"), 401),
        (line.replace("Digest", "Basic"), 401),
        (line.replace("ringway", "elsewhere"), 401),
        (line.replace("nc=00000001", "nc=1"), 400),
        (line.replace("nc=00000001", "nc=0000000g"), 400),
        (line.replace(", nc=00000001", ""), 400),
        (line.replace("nc=00000001", "nc=00000001, nc=00000001"), 400),
        (line.replace("username=", "user="), 400),
        (line.replace("cnonce=\"0a4f113b\"", "cnonce=\"0a4f113b"), 400),
        ("Authorization: Digest".to_owned(), 400),
    ] {
        let invite = again(&mut lab, &invite, &line);
        refused(&mut lab, &invite, status);
    }
    assert_eq!(lab.metrics().auth_failures, 0);
    lab.finish();
}

#[test]
fn of_several_credentials_ours_count() {
    let mut lab = guarded(&[A], |_| {});
    let invite = Invite::new(&mut lab, A, C.number);
    let challenge = challenged(&mut lab, &invite);
    let line = Answer::new(&challenge, A, &invite).line();
    let foreign = Challenge { realm: "elsewhere".into(), ..challenge };
    let other = Answer::new(&foreign, A, &invite).line();
    let caller = again(&mut lab, &invite, &other).line(line).send(&mut lab);
    goes_through(lab, caller);
}

#[test]
fn requests_that_begin_something_are_asked_and_the_others_are_not() {
    for (method, status) in [
        ("REGISTER", 401),
        ("SUBSCRIBE", 401),
        ("REFER", 401),
        ("MESSAGE", 401),
        ("PUBLISH", 401),
        ("NOTIFY", 401),
        ("OPTIONS", 200),
        ("BYE", 481),
        ("INFO", 481),
        ("CANCEL", 481),
    ] {
        let mut lab = guarded(&[A], |_| {});
        let asked = request(&mut lab, A, method, C.number);
        refused(&mut lab, &asked, status);
        lab.finish();
    }
}

#[test]
fn a_to_tag_does_not_get_anyone_in() {
    let mut lab = guarded(&[A], |_| {});
    for (method, status) in [("REGISTER", 401), ("INVITE", 481)] {
        let mut tagged = request(&mut lab, A, method, A.number);
        tagged.to = format!("<sip:{}@127.0.0.60>;tag=1", A.number);
        refused(&mut lab, &tagged, status);
    }
    lab.finish();
}

#[test]
fn what_the_caller_says_in_its_dialog_needs_no_password() {
    let mut lab = guarded(&[A], |_| {});
    let invite = Invite::new(&mut lab, A, C.number);
    let caller = authenticated(&mut lab, invite);
    goes_through(lab, caller);
    // Until it is answered: its CANCEL cannot be challenged (RFC 3261 §22.1).
    let mut lab = guarded(&[A], |_| {});
    let invite = Invite::new(&mut lab, A, C.number);
    let caller = authenticated(&mut lab, invite);
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(&mut lab, C);
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    caller.cancel(&mut lab);
    lab.expect(A, "200 CANCEL");
    caller.refused(&mut lab, 487);
    c.cancelled(&mut lab);
    lab.finish();
}

#[test]
fn an_invite_that_is_repeated_is_one_call() {
    let mut lab = guarded(&[A], |_| {});
    let invite = Invite::new(&mut lab, A, C.number);
    let caller = authenticated(&mut lab, invite);
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(&mut lab, C);
    caller.resend(&mut lab);
    lab.expect(A, "100 INVITE");
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn an_invite_that_comes_by_another_way_too_is_merged_and_not_challenged() {
    let mut lab = guarded(&[A], |_| {});
    let invite = Invite::new(&mut lab, A, C.number);
    let caller = authenticated(&mut lab, invite);
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(&mut lab, C);
    let other = "SIP/2.0/UDP 127.0.0.99:5060;rport;branch=z9hG4bKother".into();
    let twin = Invite { via: other, ..caller.invite.clone() };
    refused(&mut lab, &twin, 482);
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn the_password_is_that_of_the_realm() {
    let mut lab = guarded(&[A], |setup| setup.settings.auth.realm = "elsewhere".into());
    let invite = Invite::new(&mut lab, A, C.number);
    let challenge = challenged(&mut lab, &invite);
    assert_eq!(challenge.realm, "elsewhere");
    // What is stored was made for another realm.
    let line = Answer::new(&challenge, A, &invite).password(&password(A)).line();
    let invite = again(&mut lab, &invite, &line);
    refused(&mut lab, &invite, 401);
    lab.finish();
}
