//! re-INVITE from either side: relayed, answered, refused, cancelled, lost (RFC 3261 §14, RFC 6141;
//! SIP_RULES 18, 20).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::callee::ANSWER;
use lab::caller::OFFER;
use lab::party::{
    Early, Party, Talk, accepted, both_byed_and_finish, both_ways, both_ways_in, bye_and_finish, hold, sdp,
};
use lab::peer::C;
use lab::scene::answered;
use lab::sip::Sip;
use lab::{Lab, T1X64_MS};
use ringway::settings::AckPolicy;

/// The asker's re-INVITE with this body and its 100; what the other side gets of it.
#[track_caller]
fn asked(talk: &mut Talk, body: &str) -> (Sip, Sip) {
    let Talk { lab, asker, other } = talk;
    let invite = asker.invite(lab, body);
    asker.expect_response(lab, &invite, 100);
    let relayed = other.expect(lab, "INVITE");
    lab.expect_nothing();
    (invite, relayed)
}

/// The asker's re-INVITE runs its whole course.
#[track_caller]
fn renegotiated(talk: &mut Talk, offer: &str, answer: &str) {
    let (invite, relayed) = asked(talk, offer);
    assert_eq!(relayed.body, offer);
    let Talk { lab, asker, other } = talk;
    other.respond(lab, &relayed, "200 OK", &[], answer);
    assert_eq!(asker.expect_response(lab, &invite, 200).body, answer);
    lab.expect_nothing();
    asker.ack(lab, &invite, "");
    other.expect(lab, "ACK");
    lab.expect_nothing();
}

fn immediate() -> Lab {
    Lab::with(|setup| setup.settings.ack = AckPolicy::Immediate)
}

#[test]
fn a_call_is_held_and_resumed_by_either_side() {
    for mut talk in both_ways() {
        renegotiated(&mut talk, &hold(1), &sdp(2));
        talk.lab.advance(30_000);
        renegotiated(&mut talk, &sdp(1), &sdp(2));
        bye_and_finish(talk.lab, talk.asker, &talk.other);
    }
}

#[test]
fn both_sides_may_ask_one_after_the_other() {
    for mut talk in both_ways() {
        renegotiated(&mut talk, &sdp(1), &sdp(2));
        let Talk { lab, asker, other } = talk;
        let mut back = Talk { lab, asker: other, other: asker };
        renegotiated(&mut back, &sdp(3), &sdp(4));
        bye_and_finish(back.lab, back.asker, &back.other);
    }
}

#[test]
fn what_the_other_side_gets_is_a_request_of_its_own_dialog() {
    for mut talk in both_ways() {
        let (invite, relayed) = asked(&mut talk, &sdp(1));
        let Talk { mut lab, asker, other } = talk;
        assert_eq!(relayed.call_id, other.dialog.call_id);
        assert_eq!(relayed.one("From"), other.dialog.remote);
        assert_eq!(relayed.one("To"), other.dialog.local);
        assert_eq!(relayed.request_uri, other.contact);
        assert_eq!(relayed.one("Max-Forwards"), "29");
        assert!(relayed.contact().ends_with("127.0.0.60:5060"));
        assert_ne!(relayed.call_id, invite.call_id);
        assert_ne!(relayed.branch, invite.branch);
        assert_eq!(relayed.one("Content-Type"), "application/sdp");
        other.respond(&mut lab, &relayed, "200 OK", &["X-Own: kept"], &sdp(2));
        let answer = asker.expect_response(&mut lab, &invite, 200);
        assert!(answer.contact().ends_with("127.0.0.60:5060"));
        assert_eq!((answer.one("X-Own"), answer.one("To")), ("kept", asker.dialog.remote.as_str()));
        asker.ack(&mut lab, &invite, "");
        assert_eq!(other.expect(&mut lab, "ACK").cseq, relayed.cseq);
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn with_ack_immediate_the_other_side_is_acknowledged_at_once_and_only_once() {
    for mut talk in both_ways_immediate() {
        let (invite, relayed) = asked(&mut talk, &sdp(1));
        let Talk { mut lab, asker, other } = talk;
        other.respond(&mut lab, &relayed, "200 OK", &[], &sdp(2));
        other.expect(&mut lab, "ACK");
        asker.expect_response(&mut lab, &invite, 200);
        asker.ack(&mut lab, &invite, "");
        lab.expect_nothing();
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn with_ack_immediate_a_late_offer_still_waits_for_its_answer() {
    for mut talk in both_ways_immediate() {
        let (invite, relayed) = asked(&mut talk, "");
        let Talk { mut lab, asker, other } = talk;
        other.respond(&mut lab, &relayed, "200 OK", &[], &sdp(2));
        assert_eq!(asker.expect_response(&mut lab, &invite, 200).body, sdp(2));
        lab.expect_nothing();
        asker.ack(&mut lab, &invite, &sdp(3));
        assert_eq!(other.expect(&mut lab, "ACK").body, sdp(3));
        bye_and_finish(lab, asker, &other);
    }
}

/// A call whose first 200 was acknowledged at once; either side asks.
fn both_ways_immediate() -> [Talk; 2] {
    [true, false].map(|caller_asks| {
        let mut lab = immediate();
        let (mut caller, c) = answered(&mut lab);
        lab.expect(C, "ACK");
        let answer = caller.answered_and_acked(&mut lab);
        lab.expect_nothing();
        let (a, c) = (Party::caller(&caller, &answer), Party::callee(&c));
        let (asker, other) = if caller_asks { (a, c) } else { (c, a) };
        Talk { lab, asker, other }
    })
}

#[test]
fn a_refusal_is_relayed_and_the_session_stays_as_it_was() {
    for mut talk in both_ways() {
        for status in
            ["488 Not Acceptable Here", "491 Request Pending", "500 Server Internal Error", "603 Decline"]
        {
            let (invite, relayed) = asked(&mut talk, &sdp(1));
            let Talk { lab, asker, other } = &mut talk;
            other.respond(lab, &relayed, status, &["Warning: 304 c \"no codec\""], "");
            other.expect(lab, "ACK");
            let refusal = asker.refused(lab, &invite, status[..3].parse().expect("a status"));
            assert_eq!(refusal.one("Warning"), "304 c \"no codec\"");
            lab.expect_nothing();
        }
        renegotiated(&mut talk, &sdp(3), &sdp(4));
        bye_and_finish(talk.lab, talk.asker, &talk.other);
    }
}

#[test]
fn a_repeated_refusal_is_acknowledged_again_and_not_relayed_again() {
    for mut talk in both_ways() {
        let (invite, relayed) = asked(&mut talk, &sdp(1));
        let Talk { mut lab, asker, other } = talk;
        let text = other.answer(&mut lab, &relayed, "488 Not Acceptable Here");
        other.expect(&mut lab, "ACK");
        asker.refused(&mut lab, &invite, 488);
        other.send(&mut lab, &text);
        other.expect(&mut lab, "ACK");
        lab.expect_nothing();
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn ringing_and_early_sdp_are_relayed_unreliably_and_other_progress_is_not() {
    for mut talk in both_ways() {
        let (invite, relayed) = asked(&mut talk, &sdp(1));
        let Talk { mut lab, asker, other } = talk;
        other.answer(&mut lab, &relayed, "100 Trying");
        lab.expect_nothing();
        other.answer(&mut lab, &relayed, "180 Ringing");
        let ringing = asker.expect_response(&mut lab, &invite, 180);
        assert!(!ringing.has("RSeq"));
        assert_eq!(ringing.one("To"), asker.dialog.remote);
        other.respond(&mut lab, &relayed, "183 Session Progress", &[], &sdp(2));
        assert_eq!(asker.expect_response(&mut lab, &invite, 183).body, sdp(2));
        accepted(&mut lab, &asker, &other, (&invite, &relayed));
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn one_who_requires_100rel_of_a_re_invite_gets_no_unreliable_ringing() {
    for Talk { mut lab, mut asker, other } in both_ways() {
        let invite = asker.request(&mut lab, "INVITE", &["Require: 100rel"], &sdp(1));
        asker.expect_response(&mut lab, &invite, 100);
        if lab.last_to(other.peer).method != "INVITE" {
            asker.refused(&mut lab, &invite, 420);
            bye_and_finish(lab, asker, &other);
            continue;
        }
        let relayed = other.expect(&mut lab, "INVITE");
        assert!(!relayed.has("Require"));
        other.answer(&mut lab, &relayed, "180 Ringing");
        accepted(&mut lab, &asker, &other, (&invite, &relayed));
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn a_repeated_re_invite_is_absorbed_at_every_stage() {
    for mut talk in both_ways() {
        let (invite, relayed) = asked(&mut talk, &sdp(1));
        let Talk { mut lab, asker, other } = talk;
        asker.resend(&mut lab, &invite);
        asker.expect_response(&mut lab, &invite, 100);
        lab.expect_nothing();
        other.respond(&mut lab, &relayed, "200 OK", &[], &sdp(2));
        asker.expect_response(&mut lab, &invite, 200);
        asker.resend(&mut lab, &invite);
        asker.ack(&mut lab, &invite, "");
        other.expect(&mut lab, "ACK");
        asker.resend(&mut lab, &invite);
        assert!(lab.sent().iter().all(|sent| sent.ends_with("200 INVITE")), "at most the 200 again");
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn its_200_is_repeated_at_t1_doubling_to_t2_until_the_ack() {
    for mut talk in both_ways() {
        let (invite, relayed) = asked(&mut talk, &sdp(1));
        let Talk { mut lab, asker, other } = talk;
        other.respond(&mut lab, &relayed, "200 OK", &[], &sdp(2));
        let start = lab.now_ms();
        asker.expect_response(&mut lab, &invite, 200);
        lab.advance(12_000);
        let moments: Vec<u64> =
            lab.trace.iter().filter(|entry| entry.at_ms > start).map(|entry| entry.at_ms).collect();
        assert_eq!(lab.sent(), vec![format!("{} 200 INVITE", asker.peer.name); 5]);
        let steps = [500, 1_500, 3_500, 7_500, 11_500];
        for (moment, step) in moments.iter().zip(steps) {
            assert!((step..step + 40).contains(&(moment - start)), "{moments:?}");
        }
        asker.ack(&mut lab, &invite, "");
        other.expect(&mut lab, "ACK");
        lab.advance(20_000);
        lab.expect_nothing();
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn without_the_ack_both_sides_get_bye_after_64_t1() {
    for mut talk in both_ways() {
        let (_, relayed) = asked(&mut talk, &sdp(1));
        let Talk { mut lab, asker, other } = talk;
        other.respond(&mut lab, &relayed, "200 OK", &[], &sdp(2));
        lab.advance(T1X64_MS - 8);
        lab.sent();
        lab.advance(40);
        // RFC 3261 §13.2.2.4: its 200 is acknowledged all the same.
        other.expect(&mut lab, "ACK");
        both_byed_and_finish(lab, &asker, &other);
    }
}

#[test]
fn the_other_sides_repeated_200_waits_for_the_ack_and_gets_it_again() {
    for mut talk in both_ways() {
        let (invite, relayed) = asked(&mut talk, &sdp(1));
        let Talk { mut lab, asker, other } = talk;
        let text = other.respond(&mut lab, &relayed, "200 OK", &[], &sdp(2));
        asker.expect_response(&mut lab, &invite, 200);
        other.send(&mut lab, &text);
        lab.expect_nothing();
        let ack = asker.ack(&mut lab, &invite, "");
        let relayed_ack = other.expect(&mut lab, "ACK");
        other.send(&mut lab, &text);
        assert_eq!(other.expect(&mut lab, "ACK"), relayed_ack);
        asker.send(&mut lab, &ack);
        lab.expect_nothing();
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn a_cancel_before_any_response_is_held_until_the_first() {
    for mut talk in both_ways() {
        let (invite, relayed) = asked(&mut talk, &sdp(1));
        let Talk { mut lab, asker, other } = talk;
        asker.cancel(&mut lab, &invite);
        asker.expect(&mut lab, "200 CANCEL");
        lab.expect_nothing();
        other.answer(&mut lab, &relayed, "100 Trying");
        let cancel = other.expect(&mut lab, "CANCEL");
        other.answer(&mut lab, &cancel, "200 OK");
        lab.expect_nothing();
        other.refuse(&mut lab, &relayed, "487 Request Terminated");
        asker.refused(&mut lab, &invite, 487);
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn a_cancel_while_the_other_side_rings_is_relayed_and_the_session_stays() {
    for mut talk in both_ways() {
        let (invite, relayed) = asked(&mut talk, &sdp(1));
        let Talk { lab, asker, other } = &mut talk;
        other.answer(lab, &relayed, "180 Ringing");
        asker.expect_response(lab, &invite, 180);
        asker.cancel(lab, &invite);
        asker.expect(lab, "200 CANCEL");
        let cancel = other.expect(lab, "CANCEL");
        other.answer(lab, &cancel, "200 OK");
        other.refuse(lab, &relayed, "487 Request Terminated");
        asker.refused(lab, &invite, 487);
        renegotiated(&mut talk, &sdp(3), &sdp(4));
        bye_and_finish(talk.lab, talk.asker, &talk.other);
    }
}

#[test]
fn a_200_that_crosses_the_cancel_counts() {
    for mut talk in both_ways() {
        let (invite, relayed) = asked(&mut talk, &sdp(1));
        let Talk { mut lab, asker, other } = talk;
        other.answer(&mut lab, &relayed, "100 Trying");
        asker.cancel(&mut lab, &invite);
        asker.expect(&mut lab, "200 CANCEL");
        let cancel = other.expect(&mut lab, "CANCEL");
        other.respond(&mut lab, &relayed, "200 OK", &[], &sdp(2));
        assert_eq!(asker.expect_response(&mut lab, &invite, 200).body, sdp(2));
        other.answer(&mut lab, &cancel, "481 Call/Transaction Does Not Exist");
        asker.ack(&mut lab, &invite, "");
        other.expect(&mut lab, "ACK");
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn a_200_before_a_held_cancel_counts_and_the_cancel_never_leaves() {
    for mut talk in both_ways() {
        let (invite, relayed) = asked(&mut talk, &sdp(1));
        let Talk { mut lab, asker, other } = talk;
        asker.cancel(&mut lab, &invite);
        asker.expect(&mut lab, "200 CANCEL");
        accepted(&mut lab, &asker, &other, (&invite, &relayed));
        lab.expect_nothing();
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn a_cancel_that_the_other_side_ignores_ends_in_487_after_64_t1() {
    for mut talk in both_ways() {
        let (invite, relayed) = asked(&mut talk, &sdp(1));
        let Talk { mut lab, asker, other } = talk;
        other.answer(&mut lab, &relayed, "100 Trying");
        asker.cancel(&mut lab, &invite);
        asker.expect(&mut lab, "200 CANCEL");
        let cancel = other.expect(&mut lab, "CANCEL");
        other.answer(&mut lab, &cancel, "200 OK");
        lab.advance(T1X64_MS - 40);
        lab.expect_nothing();
        lab.advance(80);
        asker.refused(&mut lab, &invite, 487);
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn a_cancel_after_the_200_gets_200_and_has_no_effect() {
    for mut talk in both_ways() {
        let (invite, relayed) = asked(&mut talk, &sdp(1));
        let Talk { mut lab, asker, other } = talk;
        other.respond(&mut lab, &relayed, "200 OK", &[], &sdp(2));
        asker.expect_response(&mut lab, &invite, 200);
        asker.cancel(&mut lab, &invite);
        asker.expect(&mut lab, "200 CANCEL");
        lab.expect_nothing();
        asker.ack(&mut lab, &invite, "");
        other.expect(&mut lab, "ACK");
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn one_that_nobody_answers_makes_a_408_after_timer_b_and_ends_the_call() {
    for mut talk in both_ways() {
        let (invite, _) = asked(&mut talk, &sdp(1));
        let Talk { mut lab, asker, other } = talk;
        lab.advance(T1X64_MS - 8);
        assert_eq!(lab.sent(), vec![format!("{} INVITE", other.peer.name); 6]);
        lab.advance(40);
        asker.refused(&mut lab, &invite, 408);
        both_byed_and_finish(lab, &asker, &other);
    }
}

#[test]
fn one_that_rings_for_ever_is_cancelled_at_the_ring_limit() {
    for ends in [true, false] {
        for mut talk in both_ways() {
            let (invite, relayed) = asked(&mut talk, &sdp(1));
            let Talk { mut lab, asker, other } = talk;
            other.answer(&mut lab, &relayed, "180 Ringing");
            asker.expect_response(&mut lab, &invite, 180);
            lab.advance(179_900);
            lab.expect_nothing();
            lab.advance(200);
            let cancel = other.expect(&mut lab, "CANCEL");
            other.answer(&mut lab, &cancel, "200 OK");
            match ends {
                true => other.refuse(&mut lab, &relayed, "487 Request Terminated"),
                false => lab.advance(T1X64_MS + 40),
            }
            let is_487 = ends && lab.next_to(asker.peer) == "487 INVITE";
            asker.refused(&mut lab, &invite, if is_487 { 487 } else { 408 });
            bye_and_finish(lab, asker, &other);
        }
    }
}

#[test]
fn a_481_or_408_of_the_other_side_is_relayed_and_ends_the_call() {
    for status in ["481 Call/Transaction Does Not Exist", "408 Request Timeout"] {
        for mut talk in both_ways() {
            let (invite, relayed) = asked(&mut talk, &sdp(1));
            let Talk { mut lab, asker, other } = talk;
            other.refuse(&mut lab, &relayed, status);
            asker.refused(&mut lab, &invite, status[..3].parse().expect("a status"));
            both_byed_and_finish(lab, &asker, &other);
        }
    }
}

#[test]
fn the_same_to_an_update_ends_the_call_too() {
    for status in ["481 Call/Transaction Does Not Exist", "408 Request Timeout"] {
        for Talk { mut lab, mut asker, other } in both_ways() {
            let update = asker.update(&mut lab, &sdp(1));
            let relayed = other.expect(&mut lab, "UPDATE");
            other.answer(&mut lab, &relayed, status);
            // RFC 4320 §4.2: nobody sends a 408 to what is no INVITE.
            if !status.starts_with("408") {
                asker.expect_response(&mut lab, &update, 481);
            }
            both_byed_and_finish(lab, &asker, &other);
        }
    }
}

#[test]
fn the_askers_bye_in_the_middle_ends_it_with_487() {
    for mut talk in both_ways() {
        let (invite, relayed) = asked(&mut talk, &sdp(1));
        let Talk { mut lab, mut asker, other } = talk;
        let bye = asker.request(&mut lab, "BYE", &[], "");
        asker.refused_and_byed(&mut lab, &invite, &bye);
        other.hung_up(&mut lab);
        other.refuse(&mut lab, &relayed, "487 Request Terminated");
        lab.finish();
    }
}

#[test]
fn the_other_sides_bye_in_the_middle_ends_it_with_487() {
    for mut talk in both_ways() {
        let (invite, relayed) = asked(&mut talk, &sdp(1));
        let Talk { mut lab, asker, mut other } = talk;
        let bye = other.request(&mut lab, "BYE", &[], "");
        other.expect_response(&mut lab, &bye, 200);
        asker.refused_and_hung_up(&mut lab, &invite);
        other.refuse(&mut lab, &relayed, "487 Request Terminated");
        lab.finish();
    }
}

#[test]
fn a_200_that_crosses_the_bye_is_acknowledged() {
    for mut talk in both_ways() {
        let (invite, relayed) = asked(&mut talk, &sdp(1));
        let Talk { mut lab, mut asker, other } = talk;
        let bye = asker.request(&mut lab, "BYE", &[], "");
        asker.refused_and_byed(&mut lab, &invite, &bye);
        let bye = other.expect(&mut lab, "BYE");
        other.respond(&mut lab, &relayed, "200 OK", &[], &sdp(2));
        other.expect(&mut lab, "ACK");
        other.answer(&mut lab, &bye, "200 OK");
        lab.finish();
    }
}

#[test]
fn when_both_ask_at_once_each_is_refused_and_the_session_stays() {
    for mut talk in both_ways() {
        let (invite, relayed) = asked(&mut talk, &sdp(1));
        let Talk { lab, asker, other } = &mut talk;
        let crossing = other.invite(lab, &sdp(2));
        other.refused(lab, &crossing, 491);
        other.refuse(lab, &relayed, "491 Request Pending");
        asker.refused(lab, &invite, 491);
        lab.expect_nothing();
        renegotiated(&mut talk, &sdp(3), &sdp(4));
        bye_and_finish(talk.lab, talk.asker, &talk.other);
    }
}

#[test]
fn before_the_first_invites_ack_the_caller_gets_500_and_the_callee_491() {
    let mut lab = Lab::new();
    let (mut caller, leg) = answered(&mut lab);
    let answer = caller.answered(&mut lab);
    let (mut a, mut c) = (Party::caller(&caller, &answer), Party::callee(&leg));
    let invite = a.invite(&mut lab, &sdp(1));
    assert!(a.refused(&mut lab, &invite, 500).has("Retry-After"));
    let invite = c.invite(&mut lab, &sdp(2));
    c.refused(&mut lab, &invite, 491);
    caller.ack(&mut lab, "");
    lab.expect(C, "ACK");
    bye_and_finish(lab, a, &c);
}

#[test]
fn in_the_early_dialog_the_caller_gets_500_and_the_callee_491() {
    let mut early = Early::new();
    let lab = &mut early.lab;
    let invite = early.a.invite(lab, &sdp(1));
    assert!(early.a.refused(lab, &invite, 500).has("Retry-After"));
    let invite = early.c.invite(lab, &sdp(2));
    early.c.refused(lab, &invite, 491);
    early.finish();
}

#[test]
fn one_with_a_lower_cseq_gets_500_and_one_for_no_dialog_481() {
    for mut talk in both_ways() {
        // Before its first request a side has no number yet (RFC 3261 §12.1.2).
        renegotiated(&mut talk, &sdp(1), &sdp(2));
        let Talk { lab, asker, other } = &mut talk;
        let cseq = asker.cseq;
        asker.cseq = 0;
        let invite = asker.invite(lab, &sdp(1));
        asker.refused(lab, &invite, 500);
        asker.cseq = cseq;
        let mut stranger = asker.clone();
        stranger.dialog.remote += "0";
        let invite = stranger.invite(lab, &sdp(1));
        stranger.refused(lab, &invite, 481);
        lab.expect_nothing();
        assert_ne!(other.peer, asker.peer);
        renegotiated(&mut talk, &sdp(3), &sdp(4));
        bye_and_finish(talk.lab, talk.asker, &talk.other);
    }
}

#[test]
fn one_with_an_unknown_option_tag_gets_420_and_one_at_its_last_hop_483() {
    for Talk { mut lab, mut asker, other } in both_ways() {
        let invite = asker.request(&mut lab, "INVITE", &["Require: foo"], &sdp(1));
        assert_eq!(asker.refused(&mut lab, &invite, 420).one("Unsupported"), "foo");
        asker.cseq += 1;
        let contact = format!("Contact: <{}>", asker.contact);
        let text = asker.dialog.text(&mut lab, "INVITE", asker.cseq, &[&contact], &sdp(1));
        let text = text.replace("Max-Forwards: 30", "Max-Forwards: 0");
        asker.send(&mut lab, &text);
        let invite = Sip::read(text.as_bytes()).expect("an INVITE");
        asker.refused(&mut lab, &invite, 483);
        lab.expect_nothing();
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn after_the_forwarding_it_goes_to_the_target() {
    let mut lab = Lab::new();
    let (mut caller, b, c) = lab::scene::diverted(&mut lab);
    b.cancelled(&mut lab);
    c.respond(&mut lab, "200 OK");
    let answer = caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    let mut talk = Talk { lab, asker: Party::caller(&caller, &answer), other: Party::callee(&c) };
    renegotiated(&mut talk, &hold(1), ANSWER);
    bye_and_finish(talk.lab, talk.asker, &talk.other);
}

#[test]
fn an_offer_of_any_size_and_type_passes() {
    for Talk { mut lab, mut asker, other } in both_ways_in(Lab::new, &[], &[]) {
        let body = format!("--b\r\n{}\r\n--b--\r\n", OFFER.repeat(40));
        let invite = asker.request(&mut lab, "INVITE", &["Content-Type: multipart/mixed;boundary=b"], &body);
        asker.expect_response(&mut lab, &invite, 100);
        let relayed = other.expect(&mut lab, "INVITE");
        assert_eq!(
            (relayed.body.as_str(), relayed.one("Content-Type")),
            (&*body, "multipart/mixed;boundary=b")
        );
        other.refuse(&mut lab, &relayed, "415 Unsupported Media Type");
        asker.refused(&mut lab, &invite, 415);
        bye_and_finish(lab, asker, &other);
    }
}
