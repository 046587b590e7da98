//! Offers and answers pass through in the place in which they came, and no second offer passes while one is
//! open (RFC 3264 §4, RFC 3311 §5, RFC 6337 §2; SIP_RULES 18).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::callee::{ANSWER, Leg};
use lab::caller::{Caller, Invite, OFFER};
use lab::party::{Early, Party, Talk, both_ways, bye_and_finish, calling, sdp};
use lab::peer::{A, C};
use lab::scene::refuse_and_finish;
use lab::sip::Sip;

/// Retry-After of 0 to 10 seconds (RFC 3311 §5.2).
#[track_caller]
fn comes_back(refusal: &Sip) {
    let seconds: u32 = refusal.one("Retry-After").parse().expect("seconds");
    assert!(seconds <= 10, "Retry-After: {seconds}");
}

/// A calls C without an offer; A supports 100rel.
#[track_caller]
fn calling_without_an_offer(lab: &mut Lab) -> (Caller, Leg) {
    let invite = Invite::new(lab, A, C.number).body("").line("Supported: 100rel");
    let caller = invite.send(lab);
    lab.expect(A, "100 INVITE");
    let leg = Leg::expect(lab, C);
    assert!(leg.invite.body.is_empty());
    (caller, leg)
}

#[test]
fn an_offer_in_the_invite_is_answered_in_its_200() {
    let mut lab = Lab::new();
    let (mut caller, leg) = calling(&mut lab, &[]);
    assert_eq!(leg.invite.body, OFFER);
    leg.respond(&mut lab, "200 OK");
    assert_eq!(caller.answered_and_acked(&mut lab).body, ANSWER);
    assert!(lab.expect(C, "ACK").body.is_empty());
    lab::scene::hang_up_and_finish(lab, caller, &leg);
}

#[test]
fn an_offer_in_the_200_is_answered_in_the_ack() {
    let mut lab = Lab::new();
    let (mut caller, leg) = calling_without_an_offer(&mut lab);
    leg.respond(&mut lab, "200 OK");
    assert_eq!(caller.answered(&mut lab).body, ANSWER);
    caller.ack(&mut lab, &sdp(1));
    assert_eq!(lab.expect(C, "ACK").body, sdp(1));
    lab::scene::hang_up_and_finish(lab, caller, &leg);
}

#[test]
fn an_offer_in_the_invite_is_answered_in_a_reliable_response() {
    let early = Early::new();
    let to_a = early.lab.sent_to(A);
    assert_eq!(to_a, ["100 INVITE", "183 INVITE", "200 PRACK"]);
    early.finish();
}

#[test]
fn an_offer_in_a_reliable_response_is_answered_in_its_prack() {
    let mut lab = Lab::new();
    let (mut caller, leg) = calling_without_an_offer(&mut lab);
    leg.reliable(&mut lab, "183 Session Progress", 1, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    assert_eq!(progress.body, sdp(1));
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(&mut lab, &progress, &sdp(2));
    let relayed = lab.expect(C, "PRACK");
    assert_eq!((relayed.body.as_str(), relayed.one("Content-Type")), (sdp(2).as_str(), "application/sdp"));
    leg.answer(&mut lab, &relayed, "200 OK");
    assert!(a.expect_response(&mut lab, &prack, 200).body.is_empty());
    leg.respond_with(&mut lab, "200 OK", &[], "");
    assert!(caller.answered_and_acked(&mut lab).body.is_empty());
    assert!(lab.expect(C, "ACK").body.is_empty());
    bye_and_finish(lab, a, &Party::callee(&leg));
}

#[test]
fn an_offer_in_a_prack_is_answered_in_its_200() {
    let mut lab = Lab::new();
    let (mut caller, leg) = calling(&mut lab, &["Supported: 100rel"]);
    leg.reliable(&mut lab, "183 Session Progress", 1, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(&mut lab, &progress, &sdp(2));
    let relayed = lab.expect(C, "PRACK");
    assert_eq!(relayed.body, sdp(2));
    let c = Party::callee(&leg);
    c.respond(&mut lab, &relayed, "200 OK", &[], &sdp(3));
    let answer = a.expect_response(&mut lab, &prack, 200);
    assert_eq!((answer.body.as_str(), answer.one("Content-Type")), (sdp(3).as_str(), "application/sdp"));
    leg.respond_with(&mut lab, "200 OK", &[], "");
    caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    bye_and_finish(lab, a, &c);
}

#[test]
fn an_offer_in_an_update_is_answered_in_its_200_both_ways() {
    for Talk { mut lab, mut asker, other } in both_ways() {
        let update = asker.update(&mut lab, &sdp(1));
        let relayed = other.expect(&mut lab, "UPDATE");
        assert_eq!(
            (relayed.body.as_str(), relayed.one("Content-Type")),
            (sdp(1).as_str(), "application/sdp")
        );
        assert!(relayed.has("Contact"));
        lab.expect_nothing();
        other.respond(&mut lab, &relayed, "200 OK", &[], &sdp(2));
        let answer = asker.expect_response(&mut lab, &update, 200);
        assert_eq!((answer.body.as_str(), answer.one("Content-Type")), (sdp(2).as_str(), "application/sdp"));
        assert!(answer.has("Contact"));
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn an_offer_in_an_update_of_the_early_dialog_is_answered_in_its_200_both_ways() {
    for caller_asks in [true, false] {
        let mut early = Early::new();
        let lab = &mut early.lab;
        let (asker, other) =
            if caller_asks { (&mut early.a, &mut early.c) } else { (&mut early.c, &mut early.a) };
        let update = asker.update(lab, &sdp(1));
        let relayed = other.expect(lab, "UPDATE");
        assert_eq!(relayed.body, sdp(1));
        other.respond(lab, &relayed, "200 OK", &[], &sdp(2));
        assert_eq!(asker.expect_response(lab, &update, 200).body, sdp(2));
        early.finish();
    }
}

#[test]
fn an_offer_in_a_re_invite_is_answered_in_its_200_both_ways() {
    for Talk { mut lab, mut asker, other } in both_ways() {
        let invite = asker.invite(&mut lab, &sdp(1));
        asker.expect_response(&mut lab, &invite, 100);
        let relayed = other.expect(&mut lab, "INVITE");
        assert_eq!(relayed.body, sdp(1));
        other.respond(&mut lab, &relayed, "200 OK", &[], &sdp(2));
        assert_eq!(asker.expect_response(&mut lab, &invite, 200).body, sdp(2));
        asker.ack(&mut lab, &invite, "");
        assert!(other.expect(&mut lab, "ACK").body.is_empty());
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn an_offer_in_the_200_to_a_re_invite_is_answered_in_the_ack_both_ways() {
    for Talk { mut lab, mut asker, other } in both_ways() {
        let invite = asker.invite(&mut lab, "");
        asker.expect_response(&mut lab, &invite, 100);
        let relayed = other.expect(&mut lab, "INVITE");
        assert!(relayed.body.is_empty() && !relayed.has("Content-Type"));
        other.respond(&mut lab, &relayed, "200 OK", &[], &sdp(2));
        assert_eq!(asker.expect_response(&mut lab, &invite, 200).body, sdp(2));
        asker.ack(&mut lab, &invite, &sdp(3));
        assert_eq!(other.expect(&mut lab, "ACK").body, sdp(3));
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn a_refused_offer_leaves_the_session_and_the_next_one_is_taken_both_ways() {
    for Talk { mut lab, mut asker, other } in both_ways() {
        for status in ["488 Not Acceptable Here", "504 Server Time-out", "491 Request Pending"] {
            let update = asker.update(&mut lab, &sdp(1));
            let relayed = other.expect(&mut lab, "UPDATE");
            other.respond(&mut lab, &relayed, status, &["Warning: 304 c \"no codec\""], "");
            let code = status[..3].parse().expect("a status");
            let refusal = asker.expect_response(&mut lab, &update, code);
            assert_eq!(refusal.one("Warning"), "304 c \"no codec\"");
        }
        let update = asker.update(&mut lab, &sdp(2));
        let relayed = other.expect(&mut lab, "UPDATE");
        other.respond(&mut lab, &relayed, "200 OK", &[], &sdp(3));
        asker.expect_response(&mut lab, &update, 200);
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn an_update_without_a_body_is_answered_here_both_ways() {
    for Talk { mut lab, mut asker, other } in both_ways() {
        let update = asker.update(&mut lab, "");
        let answer = asker.expect_response(&mut lab, &update, 200);
        assert!(answer.body.is_empty() && answer.has("Contact"));
        lab.expect_nothing();
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn the_callers_second_offer_before_the_first_invite_is_answered_gets_500() {
    let mut lab = Lab::new();
    let (caller, leg) = calling(&mut lab, &[]);
    leg.respond_with(&mut lab, "183 Session Progress", &[], ANSWER);
    let progress = lab.expect(A, "183 INVITE");
    let mut a = Party::caller(&caller, &progress);
    let update = a.update(&mut lab, &sdp(1));
    comes_back(&a.expect_response(&mut lab, &update, 500));
    lab.expect_nothing();
    refuse_and_finish(lab, &caller, &leg);
}

#[test]
fn the_callees_offer_before_it_answered_the_invite_gets_491() {
    let mut lab = Lab::new();
    let (caller, leg) = calling(&mut lab, &[]);
    leg.respond(&mut lab, "180 Ringing");
    lab.expect(A, "180 INVITE");
    let mut c = Party::callee(&leg);
    let update = c.update(&mut lab, &sdp(1));
    c.expect_response(&mut lab, &update, 491);
    lab.expect_nothing();
    refuse_and_finish(lab, &caller, &leg);
}

#[test]
fn while_a_reliable_offer_of_the_callees_is_unanswered_the_callers_update_gets_491_and_the_callees_500() {
    let mut lab = Lab::new();
    let (caller, leg) = calling_without_an_offer(&mut lab);
    leg.reliable(&mut lab, "183 Session Progress", 1, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    let mut a = Party::caller(&caller, &progress);
    let mut c = Party::callee(&leg);
    let update = a.update(&mut lab, &sdp(2));
    a.expect_response(&mut lab, &update, 491);
    let update = c.update(&mut lab, &sdp(3));
    comes_back(&c.expect_response(&mut lab, &update, 500));
    let prack = a.prack(&mut lab, &progress, &sdp(4));
    let relayed = lab.expect(C, "PRACK");
    c.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &prack, 200);
    refuse_and_finish(lab, &caller, &leg);
}

/// While `first` is unanswered each side's next offer is refused; then it is answered.
fn refused_meanwhile(first: &str, asked_again: &str, status: u16) {
    for Talk { mut lab, mut asker, mut other } in both_ways() {
        let request = asker.request(&mut lab, first, &[], &sdp(1));
        if first == "INVITE" {
            asker.expect_response(&mut lab, &request, 100);
        }
        let relayed = other.expect(&mut lab, first);
        let own = status == 500;
        let refused = if own { &mut asker } else { &mut other };
        let again = refused.request(&mut lab, asked_again, &[], &sdp(2));
        let refusal = match asked_again {
            "INVITE" => refused.refused(&mut lab, &again, status),
            _ => refused.expect_response(&mut lab, &again, status),
        };
        if own {
            comes_back(&refusal);
        }
        lab.expect_nothing();
        other.respond(&mut lab, &relayed, "200 OK", &[], &sdp(3));
        assert_eq!(asker.expect_response(&mut lab, &request, 200).body, sdp(3));
        if first == "INVITE" {
            asker.ack(&mut lab, &request, "");
            other.expect(&mut lab, "ACK");
        }
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn while_an_update_is_unanswered_the_same_sides_next_one_gets_500() {
    refused_meanwhile("UPDATE", "UPDATE", 500);
}

#[test]
fn while_an_update_is_unanswered_the_other_sides_one_gets_491() {
    refused_meanwhile("UPDATE", "UPDATE", 491);
}

#[test]
fn while_an_update_is_unanswered_the_same_sides_re_invite_gets_500() {
    refused_meanwhile("UPDATE", "INVITE", 500);
}

#[test]
fn while_an_update_is_unanswered_the_other_sides_re_invite_gets_491() {
    refused_meanwhile("UPDATE", "INVITE", 491);
}

#[test]
fn while_a_re_invite_is_unanswered_the_same_sides_update_gets_500() {
    refused_meanwhile("INVITE", "UPDATE", 500);
}

#[test]
fn while_a_re_invite_is_unanswered_the_other_sides_update_gets_491() {
    refused_meanwhile("INVITE", "UPDATE", 491);
}

#[test]
fn while_a_re_invite_is_unanswered_the_same_sides_next_one_gets_500() {
    refused_meanwhile("INVITE", "INVITE", 500);
}

#[test]
fn while_a_re_invite_is_unanswered_the_other_sides_one_gets_491() {
    refused_meanwhile("INVITE", "INVITE", 491);
}

#[test]
fn while_an_offer_is_open_an_update_without_one_is_answered_both_ways() {
    for Talk { mut lab, mut asker, mut other } in both_ways() {
        let update = asker.update(&mut lab, &sdp(1));
        let relayed = other.expect(&mut lab, "UPDATE");
        let refresh = other.update(&mut lab, "");
        other.expect_response(&mut lab, &refresh, 200);
        other.respond(&mut lab, &relayed, "200 OK", &[], &sdp(2));
        asker.expect_response(&mut lab, &update, 200);
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn while_a_late_offer_waits_for_its_answer_neither_sides_update_passes() {
    for Talk { mut lab, mut asker, mut other } in both_ways() {
        let invite = asker.invite(&mut lab, "");
        asker.expect_response(&mut lab, &invite, 100);
        let relayed = other.expect(&mut lab, "INVITE");
        other.respond(&mut lab, &relayed, "200 OK", &[], &sdp(1));
        asker.expect_response(&mut lab, &invite, 200);
        let update = asker.update(&mut lab, &sdp(2));
        asker.expect_response(&mut lab, &update, 491);
        let update = other.update(&mut lab, &sdp(3));
        comes_back(&other.expect_response(&mut lab, &update, 500));
        lab.expect_nothing();
        asker.ack(&mut lab, &invite, &sdp(4));
        assert_eq!(other.expect(&mut lab, "ACK").body, sdp(4));
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn while_a_re_invites_200_is_not_acknowledged_the_same_sides_next_one_gets_500_and_the_other_sides_491() {
    for Talk { mut lab, mut asker, mut other } in both_ways() {
        let invite = asker.invite(&mut lab, &sdp(1));
        asker.expect_response(&mut lab, &invite, 100);
        let relayed = other.expect(&mut lab, "INVITE");
        other.respond(&mut lab, &relayed, "200 OK", &[], &sdp(2));
        asker.expect_response(&mut lab, &invite, 200);
        let again = asker.invite(&mut lab, &sdp(3));
        comes_back(&asker.refused(&mut lab, &again, 500));
        let crossing = other.invite(&mut lab, &sdp(4));
        other.refused(&mut lab, &crossing, 491);
        asker.ack(&mut lab, &invite, "");
        other.expect(&mut lab, "ACK");
        bye_and_finish(lab, asker, &other);
    }
}
