//! Whose forwarding a feature code changes.

use crate::codes::{done, hung_up, invite, refused, rules};
use crate::lab::Lab;
use crate::lab::digest::{Answer, again, challenged, guarded, set_password};
use crate::lab::peer::{A, B, C, Setup};
use ringway::service::NumberRule;

#[test]
fn only_a_number_of_ours_may_and_only_for_itself() {
    let mut lab = Lab::new();
    // From C's phone in B's name.
    let mut forged = invite(&mut lab, C, "**67*1005#");
    forged.from = "<sip:1004@127.0.0.60>;tag=7".into();
    let mut nobody = invite(&mut lab, C, "**67*1005#");
    nobody.from = "<sip:4711@127.0.0.60>;tag=8".into();
    let mut nameless = invite(&mut lab, C, "**67*1005#");
    nameless.from = "<sip:127.0.0.60>;tag=9".into();
    for invite in [forged, nobody, nameless] {
        let (status, reason) = refused(&mut lab, invite);
        assert_eq!((status, &*reason), (403, "feature codes are for numbers of ours alone"));
    }
    assert_eq!(lab.calls(), 0);
    lab.finish();
}

#[test]
fn a_password_says_whose_forwarding_it_is() {
    let mut lab = guarded(&[B], |_| {});
    // Its From tells nobody: the password does.
    let mut plain = invite(&mut lab, B, "**67*1005#");
    plain.from = "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=7".into();
    let challenge = challenged(&mut lab, &plain);
    let line = Answer::new(&challenge, B, &plain).line();
    let answered = again(&mut lab, &plain, &line);
    let caller = done(&mut lab, answered);
    assert_eq!(rules(&lab, "1004"), ["busy 1005", "no-answer 1005"]);
    hung_up(&mut lab, &caller);
    lab.finish();
}

/// Whether a code that A sends is done, with this From and these asserted identities.
fn is_done(from: &str, asserted: &str, change: impl FnOnce(&mut Setup)) -> bool {
    let mut lab = Lab::with(|setup| {
        setup.settings.auth.trusted = vec!["127.0.0.137".parse().unwrap()];
        change(setup);
    });
    let mut invite = invite(&mut lab, A, "**67*1006#");
    invite.from = format!("{from};tag=7");
    if !asserted.is_empty() {
        invite = invite.line(format!("P-Asserted-Identity: {asserted}"));
    }
    let caller = invite.send(&mut lab);
    let status = lab.next_to(A);
    if status == "403 INVITE" {
        let refusal = caller.refused(&mut lab, 403);
        assert!(refusal.one("Reason").contains("for numbers of ours alone"));
        assert_eq!(rules(&lab, "1004"), ["no-answer 1005"], "{from} {asserted}");
        lab.finish();
        return false;
    }
    let mut caller = caller;
    lab.expect(A, "100 INVITE");
    caller.answered_and_acked(&mut lab);
    hung_up(&mut lab, &caller);
    lab.finish();
    true
}

#[test]
fn a_trusted_peer_speaks_for_the_number_that_it_asserts_whatever_stands_in_from() {
    let (from_b, from_nobody) = ("<sip:1004@127.0.0.60>", "<sip:4711@example.com>");
    for (from, asserted, done) in [
        (from_nobody, "<sip:1004@example.com>", true),
        (from_nobody, "<sip:0815@example.com>, <tel:1004>", true),
        (from_b, "<sip:1005@example.com>", true),
        // RFC 3325 §5: anybody may have written that From.
        (from_b, "<tel:+4915112345>", false),
        (from_b, "", false),
        (from_nobody, "", false),
        // A phone at the peer's own address.
        ("<sip:1003@127.0.0.60>", "", true),
        ("<sip:1003@127.0.0.60>", "<tel:+4915112345>", false),
    ] {
        assert_eq!(is_done(from, asserted, |_| {}), done, "{from} {asserted}");
    }
}

#[test]
fn what_a_trusted_peer_asserts_is_whose_forwarding_it_is() {
    let mut lab = Lab::with(|setup| setup.settings.auth.trusted = vec!["127.0.0.137".parse().unwrap()]);
    let mut invite = invite(&mut lab, A, "**67*1006#").line("P-Asserted-Identity: <tel:1005>");
    invite.from = "<sip:1004@127.0.0.60>;tag=7".into();
    let caller = done(&mut lab, invite);
    assert_eq!(rules(&lab, "1005"), ["busy 1006"]);
    assert_eq!(rules(&lab, "1004"), ["no-answer 1005"]);
    hung_up(&mut lab, &caller);
    lab.finish();
}

#[test]
fn no_number_rule_leads_past_a_password() {
    let rule = NumberRule { prefix: "00".into(), replacement: "1".into() };
    for (from, password, done) in
        [("1003", false, true), ("00003", false, false), ("00003", true, false), ("1003", true, false)]
    {
        // A trusted peer is not asked, and nobody else while the server is its own machine's.
        for trusted in [vec![], vec!["127.0.0.137".parse().unwrap()]] {
            if trusted.is_empty() && from == "1003" && password {
                continue; // It is challenged.
            }
            let from = format!("<sip:{from}@127.0.0.60>");
            let is_done = is_done(&from, "", |setup| {
                setup.settings.auth.trusted = trusted;
                setup.settings.forwarding.number_rules = vec![rule.clone()];
                if password {
                    set_password(setup, A);
                }
            });
            assert_eq!(is_done, done, "{from} {password}");
        }
    }
}
