//! A repeated request of a dialog gets the response that it got before, whatever has become of the session
//! meanwhile, and is not taken for a new one (RFC 3261 §17.2.1, §17.2.2, §8.2.7; SIP_RULES 23).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::party::{Party, Talk, both_ways, bye_and_finish, sdp};
use lab::sip::Sip;

/// A re-INVITE of the asker's that the other side has not answered yet.
#[track_caller]
fn pending(lab: &mut Lab, asker: &mut Party, other: &Party) -> (Sip, Sip) {
    let invite = asker.invite(lab, &sdp(1));
    asker.expect_response(lab, &invite, 100);
    (invite, other.expect(lab, "INVITE"))
}

/// A refusal that came before is what a repetition gets.
#[track_caller]
fn same_again(lab: &mut Lab, party: &Party, request: &Sip, status: u16) {
    party.resend(lab, request);
    party.expect_response(lab, request, status);
    lab.expect_nothing();
}

#[test]
fn a_refused_re_invite_that_is_repeated_gets_the_same_refusal() {
    // RFC 3261 §17.2.1, §8.2.7: whatever has become of the reason meanwhile.
    for Talk { mut lab, mut asker, mut other } in both_ways() {
        let (invite, relayed) = pending(&mut lab, &mut asker, &other);
        let crossing = other.invite(&mut lab, &sdp(2));
        if lab.next_to(other.peer) == "100 INVITE" {
            other.expect(&mut lab, "100 INVITE");
        }
        other.expect_response(&mut lab, &crossing, 491);
        other.resend(&mut lab, &crossing);
        let refusal = other.expect_response(&mut lab, &crossing, 491);
        other.refuse(&mut lab, &relayed, "488 Not Acceptable Here");
        asker.refused(&mut lab, &invite, 488);
        same_again(&mut lab, &other, &crossing, 491);
        other.ack_refusal(&mut lab, &crossing, &refusal);
        // One that the network has doubled comes after the ACK (Timer I).
        other.resend(&mut lab, &crossing);
        assert!(lab.sent().iter().all(|sent| sent.ends_with("491 INVITE")), "not a new one");
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn an_update_that_was_answered_is_answered_again_though_a_re_invite_is_pending_by_now() {
    for same_side in [true, false] {
        for Talk { mut lab, mut asker, mut other } in both_ways() {
            let who = if same_side { &mut asker } else { &mut other };
            let update = who.update(&mut lab, "");
            who.expect_response(&mut lab, &update, 200);
            let who = who.clone();
            let (invite, relayed) = pending(&mut lab, &mut asker, &other);
            same_again(&mut lab, &who, &update, 200);
            other.refuse(&mut lab, &relayed, "488 Not Acceptable Here");
            asker.refused(&mut lab, &invite, 488);
            bye_and_finish(lab, asker, &other);
        }
    }
}

#[test]
fn an_update_that_was_refused_is_refused_again_though_nothing_is_pending_any_more() {
    for own in [true, false] {
        for Talk { mut lab, mut asker, mut other } in both_ways() {
            let (invite, relayed) = pending(&mut lab, &mut asker, &other);
            let status = if own { 500 } else { 491 };
            let who = if own { &mut asker } else { &mut other };
            let update = who.update(&mut lab, &sdp(2));
            who.expect_response(&mut lab, &update, status);
            let who = who.clone();
            other.refuse(&mut lab, &relayed, "488 Not Acceptable Here");
            asker.refused(&mut lab, &invite, 488);
            same_again(&mut lab, &who, &update, status);
            bye_and_finish(lab, asker, &other);
        }
    }
}

#[test]
fn what_was_answered_before_the_end_is_answered_again_behind_it() {
    for Talk { mut lab, mut asker, other } in both_ways() {
        let update = asker.update(&mut lab, "");
        asker.expect_response(&mut lab, &update, 200);
        let info = asker.request(&mut lab, "INFO", &[], "");
        let relayed = other.expect(&mut lab, "INFO");
        other.answer(&mut lab, &relayed, "200 OK");
        asker.expect_response(&mut lab, &info, 200);
        let bye = asker.request(&mut lab, "BYE", &[], "");
        asker.expect_response(&mut lab, &bye, 200);
        other.hung_up(&mut lab);
        for request in [&update, &info, &bye] {
            same_again(&mut lab, &asker, request, 200);
        }
        lab.finish();
    }
}
