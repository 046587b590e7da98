//! Requests inside a dialog pass from one side to the other (SIP_RULES 21; RFC 3261 §12.2, RFC 3515, RFC
//! 6665), in the early dialog too.

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::callee::Leg;
use lab::party::{Early, Party, Talk, both_ways, both_ways_in, bye_and_finish, calling, sdp};
use lab::peer::{A, C};
use lab::scene::{diverted, refuse_and_finish};
use lab::sip::Sip;
use lab::{Lab, T1X64_MS};

/// What is relayed, unknown methods included.
const RELAYED: [&str; 7] = ["INFO", "MESSAGE", "OPTIONS", "NOTIFY", "REFER", "SUBSCRIBE", "DANCE"];

/// Header lines that a request of this method needs, and some that pass.
fn lines_of(method: &str) -> Vec<&'static str> {
    let needed: &[&str] = match method {
        "NOTIFY" => &["Event: presence", "Subscription-State: active;expires=60"],
        "REFER" => &["Refer-To: <sip:1006@127.0.0.60?Replaces=a%3Bto-tag%3D1>", "Referred-By: <sip:1003@x>"],
        "SUBSCRIBE" => &["Event: presence", "Expires: 60"],
        "INFO" => &["Info-Package: foo"],
        _ => &[],
    };
    [needed, &["X-Own: kept, as it stands", "Content-Type: text/plain;charset=utf-8"]].concat()
}

#[test]
fn each_method_passes_with_its_body_and_header_fields_and_its_response_comes_back() {
    for method in RELAYED {
        for Talk { mut lab, mut asker, other } in both_ways() {
            let lines = lines_of(method);
            let request = asker.request(&mut lab, method, &lines, "hello\r\n");
            let relayed = other.expect(&mut lab, method);
            lab.expect_nothing();
            for line in &lines {
                assert!(relayed.text().contains(&format!("\r\n{line}\r\n")), "{line} in\n{}", relayed.text());
            }
            assert_eq!(relayed.body, "hello\r\n");
            other.respond(&mut lab, &relayed, "202 Accepted", &lines, "hello back\r\n");
            let answer = asker.expect_response(&mut lab, &request, 202);
            assert_eq!((answer.reason.as_str(), answer.body.as_str()), ("Accepted", "hello back\r\n"));
            assert_eq!(answer.one("X-Own"), "kept, as it stands");
            assert_eq!(answer.one("Content-Type"), "text/plain;charset=utf-8");
            assert_eq!(answer.one("To"), asker.dialog.remote);
            lab.expect_nothing();
            bye_and_finish(lab, asker, &other);
        }
    }
}

#[test]
fn what_the_other_side_gets_is_a_request_of_its_own_dialog() {
    for method in RELAYED {
        for Talk { mut lab, mut asker, other } in both_ways() {
            let request = asker.request(&mut lab, method, &lines_of(method), "hello\r\n");
            let relayed = other.expect(&mut lab, method);
            assert_eq!(relayed.call_id, other.dialog.call_id);
            assert_eq!(relayed.one("From"), other.dialog.remote);
            assert_eq!(relayed.one("To"), other.dialog.local);
            assert_eq!(relayed.request_uri, other.contact);
            assert_eq!(relayed.one("Max-Forwards"), "29");
            assert_ne!(relayed.branch, request.branch);
            if request.has("Contact") {
                assert!(relayed.contact().ends_with("127.0.0.60:5060"));
            }
            // The callee's dialog counts on from our INVITE, 1.
            let numbered = if other.peer == C { relayed.cseq == 2 } else { relayed.cseq > 0 };
            assert!(numbered, "{}", relayed.text());
            other.answer(&mut lab, &relayed, "200 OK");
            asker.expect_response(&mut lab, &request, 200);
            bye_and_finish(lab, asker, &other);
        }
    }
}

#[test]
fn a_refusal_comes_back_and_the_call_goes_on() {
    for status in
        ["403 Forbidden", "415 Unsupported Media Type", "489 Bad Event", "501 Not Implemented", "603 No"]
    {
        for Talk { mut lab, mut asker, other } in both_ways() {
            let request = asker.request(&mut lab, "INFO", &[], "hello\r\n");
            let relayed = other.expect(&mut lab, "INFO");
            other.respond(&mut lab, &relayed, status, &["Warning: 399 c \"why\""], "");
            let code = status[..3].parse().expect("a status");
            let refusal = asker.expect_response(&mut lab, &request, code);
            assert_eq!((refusal.reason.as_str(), refusal.one("Warning")), (&status[4..], "399 c \"why\""));
            lab.expect_nothing();
            bye_and_finish(lab, asker, &other);
        }
    }
}

#[test]
fn one_that_nobody_answers_gets_no_response_and_the_call_stays() {
    for method in RELAYED {
        for Talk { mut lab, mut asker, other } in both_ways() {
            asker.request(&mut lab, method, &lines_of(method), "hello\r\n");
            other.expect(&mut lab, method);
            lab.advance(T1X64_MS + 1_000);
            // Timer E only (RFC 3261 §17.1.2.2, RFC 4320 §4.2).
            assert_eq!(lab.sent(), vec![format!("{} {method}", other.peer.name); 10]);
            bye_and_finish(lab, asker, &other);
        }
    }
}

#[test]
fn a_repeated_request_goes_no_further_and_gets_the_answer_again() {
    for method in RELAYED {
        for Talk { mut lab, mut asker, other } in both_ways() {
            let request = asker.request(&mut lab, method, &lines_of(method), "hello\r\n");
            let relayed = other.expect(&mut lab, method);
            asker.resend(&mut lab, &request);
            lab.expect_nothing();
            let text = other.answer(&mut lab, &relayed, "200 OK");
            let answer = asker.expect_response(&mut lab, &request, 200);
            asker.resend(&mut lab, &request);
            assert_eq!(asker.expect_response(&mut lab, &request, 200), answer);
            other.send(&mut lab, &text);
            lab.expect_nothing();
            bye_and_finish(lab, asker, &other);
        }
    }
}

#[test]
fn provisional_responses_do_not_pass() {
    for Talk { mut lab, mut asker, other } in both_ways() {
        let request = asker.request(&mut lab, "INFO", &[], "hello\r\n");
        let relayed = other.expect(&mut lab, "INFO");
        other.answer(&mut lab, &relayed, "100 Trying");
        other.answer(&mut lab, &relayed, "183 Session Progress");
        lab.expect_nothing();
        other.answer(&mut lab, &relayed, "200 OK");
        asker.expect_response(&mut lab, &request, 200);
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn several_requests_may_be_under_way_in_both_directions() {
    for Talk { mut lab, mut asker, mut other } in both_ways() {
        let first = asker.request(&mut lab, "INFO", &[], "1");
        let second = asker.request(&mut lab, "MESSAGE", &["Content-Type: text/plain"], "2");
        let back = other.request(&mut lab, "INFO", &[], "3");
        let [one, two] = ["INFO", "MESSAGE"].map(|method| other.expect(&mut lab, method));
        let three = asker.expect(&mut lab, "INFO");
        other.answer(&mut lab, &two, "202 Accepted");
        asker.expect_response(&mut lab, &second, 202);
        asker.answer(&mut lab, &three, "200 OK");
        other.expect_response(&mut lab, &back, 200);
        other.answer(&mut lab, &one, "200 OK");
        asker.expect_response(&mut lab, &first, 200);
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn a_lower_cseq_gets_500_and_goes_no_further() {
    for method in ["INFO", "OPTIONS", "UPDATE", "DANCE"] {
        for Talk { mut lab, mut asker, other } in both_ways() {
            let info = asker.request(&mut lab, "INFO", &[], "");
            let relayed = other.expect(&mut lab, "INFO");
            other.answer(&mut lab, &relayed, "200 OK");
            asker.expect_response(&mut lab, &info, 200);
            let cseq = asker.cseq;
            for lower in [cseq - 3, cseq - 2] {
                asker.cseq = lower;
                let request = asker.request(&mut lab, method, &[], "");
                asker.expect_response(&mut lab, &request, 500);
            }
            lab.expect_nothing();
            asker.cseq = cseq;
            bye_and_finish(lab, asker, &other);
        }
    }
}

#[test]
fn a_cseq_far_ahead_is_taken() {
    for Talk { mut lab, mut asker, other } in both_ways() {
        asker.cseq += 1_000;
        let info = asker.request(&mut lab, "INFO", &[], "");
        let relayed = other.expect(&mut lab, "INFO");
        other.answer(&mut lab, &relayed, "200 OK");
        asker.expect_response(&mut lab, &info, 200);
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn at_its_last_hop_it_gets_483() {
    for method in RELAYED {
        for Talk { mut lab, mut asker, other } in both_ways() {
            let request = asker.request(&mut lab, "INFO", &[], "");
            let relayed = other.expect(&mut lab, "INFO");
            other.answer(&mut lab, &relayed, "200 OK");
            asker.expect_response(&mut lab, &request, 200);
            asker.cseq += 1;
            let text = asker.dialog.text(&mut lab, method, asker.cseq, &lines_of(method), "");
            asker.send(&mut lab, &text.replace("Max-Forwards: 30", "Max-Forwards: 0"));
            // OPTIONS for the last hop is for us (RFC 3261 §16.3).
            let answer = lab.expect_any(asker.peer);
            assert!(answer == format!("483 {method}") || answer == "200 OPTIONS", "{answer}");
            lab.expect_nothing();
            bye_and_finish(lab, asker, &other);
        }
    }
}

#[test]
fn for_an_unknown_dialog_it_gets_481() {
    for method in RELAYED {
        for Talk { mut lab, asker, other } in both_ways() {
            let mut strangers = [asker.clone(), asker.clone(), asker.clone()];
            strangers[0].dialog.remote += "0";
            strangers[1].dialog.local += "0";
            strangers[2].dialog.call_id += "0";
            for stranger in &mut strangers {
                let request = stranger.request(&mut lab, method, &lines_of(method), "");
                stranger.expect_response(&mut lab, &request, 481);
            }
            lab.expect_nothing();
            bye_and_finish(lab, asker, &other);
        }
    }
}

#[test]
fn after_the_end_it_gets_481() {
    for method in RELAYED.iter().chain(&["UPDATE", "PRACK", "INVITE"]) {
        for Talk { mut lab, mut asker, other } in both_ways() {
            let bye = asker.request(&mut lab, "BYE", &[], "");
            asker.expect_response(&mut lab, &bye, 200);
            other.hung_up(&mut lab);
            let request = asker.request(&mut lab, method, &["RAck: 1 1 INVITE"], "");
            match *method {
                "INVITE" => drop(asker.refused(&mut lab, &request, 481)),
                _ => drop(asker.expect_response(&mut lab, &request, 481)),
            }
            lab.finish();
        }
    }
}

#[test]
fn while_the_other_side_is_being_hung_up_it_gets_481() {
    for Talk { mut lab, mut asker, mut other } in both_ways() {
        let bye = asker.request(&mut lab, "BYE", &[], "");
        asker.expect_response(&mut lab, &bye, 200);
        let bye = other.expect(&mut lab, "BYE");
        let late = other.request(&mut lab, "INFO", &[], "");
        other.expect_response(&mut lab, &late, 481);
        other.answer(&mut lab, &bye, "200 OK");
        lab.finish();
    }
}

#[test]
fn one_that_waits_when_the_call_ends_still_gets_its_response() {
    for Talk { mut lab, mut asker, other } in both_ways() {
        let info = asker.request(&mut lab, "INFO", &[], "");
        let relayed = other.expect(&mut lab, "INFO");
        let bye = asker.request(&mut lab, "BYE", &[], "");
        asker.expect_response(&mut lab, &bye, 200);
        let bye = other.expect(&mut lab, "BYE");
        other.answer(&mut lab, &relayed, "200 OK");
        asker.expect_response(&mut lab, &info, 200);
        other.answer(&mut lab, &bye, "200 OK");
        lab.finish();
    }
}

#[test]
fn one_that_waits_when_the_other_side_hangs_up_still_gets_its_response() {
    for Talk { mut lab, mut asker, mut other } in both_ways() {
        let info = asker.request(&mut lab, "INFO", &[], "");
        let relayed = other.expect(&mut lab, "INFO");
        let bye = other.request(&mut lab, "BYE", &[], "");
        other.expect_response(&mut lab, &bye, 200);
        let bye = asker.expect(&mut lab, "BYE");
        other.answer(&mut lab, &relayed, "200 OK");
        asker.expect_response(&mut lab, &info, 200);
        asker.answer(&mut lab, &bye, "200 OK");
        lab.finish();
    }
}

#[test]
fn more_than_there_is_room_for_get_503_and_the_call_lives() {
    let few = || Lab::with(|setup| setup.settings.max_transactions = 32);
    for Talk { mut lab, mut asker, other } in both_ways_in(few, &[], &[]) {
        let mut refused = 0;
        let mut relayed = Vec::new();
        for _ in 0..40 {
            let info = asker.request(&mut lab, "INFO", &[], "");
            match lab.sent_to(asker.peer).last().is_some_and(|last| last == "503 INFO") {
                true => {
                    let full = asker.expect_response(&mut lab, &info, 503);
                    assert!(full.has("Retry-After"));
                    refused += 1;
                    break;
                }
                false => relayed.push((info, other.expect(&mut lab, "INFO"))),
            }
        }
        assert_eq!(refused, 1);
        for (info, relayed) in &relayed {
            other.answer(&mut lab, relayed, "200 OK");
            asker.expect_response(&mut lab, info, 200);
        }
        lab.advance(40_000);
        let info = asker.request(&mut lab, "INFO", &[], "");
        let again = other.expect(&mut lab, "INFO");
        other.answer(&mut lab, &again, "200 OK");
        asker.expect_response(&mut lab, &info, 200);
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn in_the_early_dialog_each_method_passes_both_ways() {
    for method in RELAYED {
        for caller_asks in [true, false] {
            let mut early = Early::new();
            let lab = &mut early.lab;
            let (asker, other) =
                if caller_asks { (&mut early.a, &mut early.c) } else { (&mut early.c, &mut early.a) };
            let request = asker.request(lab, method, &lines_of(method), "hello\r\n");
            let relayed = other.expect(lab, method);
            assert_eq!(relayed.body, "hello\r\n");
            other.answer(lab, &relayed, "200 OK");
            asker.expect_response(lab, &request, 200);
            early.finish();
        }
    }
}

#[test]
fn an_unreliable_18x_makes_an_early_dialog_as_well() {
    let mut lab = Lab::new();
    let (caller, leg) = calling(&mut lab, &[]);
    leg.respond(&mut lab, "180 Ringing");
    let ringing = lab.expect(A, "180 INVITE");
    let (mut a, mut c) = (Party::caller(&caller, &ringing), Party::callee(&leg));
    let info = a.request(&mut lab, "INFO", &[], "1");
    let relayed = c.expect(&mut lab, "INFO");
    c.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &info, 200);
    let info = c.request(&mut lab, "INFO", &[], "2");
    let relayed = a.expect(&mut lab, "INFO");
    a.answer(&mut lab, &relayed, "200 OK");
    c.expect_response(&mut lab, &info, 200);
    refuse_and_finish(lab, &caller, &leg);
}

#[test]
fn before_the_target_has_an_early_dialog_the_caller_is_told_to_come_back() {
    let mut lab = Lab::new();
    let (caller, b, c) = diverted(&mut lab);
    let mut a = Party::caller(&caller, &lab.last_to(A));
    let info = a.request(&mut lab, "INFO", &[], "");
    let refusal = a.expect_response(&mut lab, &info, 500);
    let after: u32 = refusal.one("Retry-After").parse().expect("seconds");
    assert!(after <= 10, "RFC 3261 §14.2: at random, up to 10 s");
    b.cancelled(&mut lab);
    c.respond(&mut lab, "180 Ringing");
    lab.expect(A, "180 INVITE");
    // The number is used up all the same (RFC 3261 §12.2.2).
    a.cseq -= 2;
    let lower = a.request(&mut lab, "INFO", &[], "");
    a.expect_response(&mut lab, &lower, 500);
    a.cseq += 1;
    let info = a.request(&mut lab, "INFO", &[], "");
    let relayed = lab.expect(C, "INFO");
    c.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &info, 200);
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn a_leg_that_was_given_up_has_no_other_side() {
    let mut lab = Lab::new();
    let (caller, b, c) = diverted(&mut lab);
    b.cancelled(&mut lab);
    let mut left = Party::callee(&b);
    let info = left.request(&mut lab, "INFO", &[], "");
    left.expect_response(&mut lab, &info, 481);
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn a_require_that_we_do_not_know_passes_where_we_only_relay() {
    for method in ["INFO", "MESSAGE", "NOTIFY", "REFER", "SUBSCRIBE", "DANCE"] {
        for Talk { mut lab, mut asker, other } in both_ways() {
            let lines = [&lines_of(method)[..], &["Require: foo, bar"]].concat();
            let request = asker.request(&mut lab, method, &lines, "hello\r\n");
            let relayed = other.expect(&mut lab, method);
            assert_eq!(relayed.list("Require").join(" "), "foo bar");
            other.respond(&mut lab, &relayed, "420 Bad Extension", &["Unsupported: foo"], "");
            assert_eq!(asker.expect_response(&mut lab, &request, 420).one("Unsupported"), "foo");
            bye_and_finish(lab, asker, &other);
        }
    }
}

#[test]
fn a_require_that_we_do_not_know_is_refused_where_we_take_part() {
    for method in ["UPDATE", "OPTIONS"] {
        for Talk { mut lab, mut asker, other } in both_ways() {
            let request = asker.request(&mut lab, method, &["Require: timer, foo"], "");
            assert_eq!(asker.expect_response(&mut lab, &request, 420).one("Unsupported"), "foo");
            lab.expect_nothing();
            bye_and_finish(lab, asker, &other);
        }
    }
}

/// The asker's REFER is accepted; what the other side got of it.
#[track_caller]
fn referred(lab: &mut Lab, asker: &mut Party, other: &Party) -> (Sip, Sip) {
    let refer = asker.request(lab, "REFER", &["Refer-To: <sip:1006@127.0.0.60>"], "");
    let relayed = other.expect(lab, "REFER");
    assert_eq!(relayed.one("Refer-To"), "<sip:1006@127.0.0.60>");
    other.answer(lab, &relayed, "202 Accepted");
    asker.expect_response(lab, &refer, 202);
    (refer, relayed)
}

/// A NOTIFY of the referred side with this Event; the Event that the referrer sees.
#[track_caller]
fn notified(lab: &mut Lab, asker: &Party, other: &mut Party, event: &str) -> String {
    let lines = [event, "Subscription-State: active", "Content-Type: message/sipfrag"];
    let notify = other.request(lab, "NOTIFY", &lines, "SIP/2.0 100 Trying\r\n");
    let relayed = asker.expect(lab, "NOTIFY");
    assert_eq!(relayed.body, "SIP/2.0 100 Trying\r\n");
    assert_eq!(relayed.one("Subscription-State"), "active");
    assert_eq!((&relayed.call_id, relayed.one("To")), (&asker.dialog.call_id, asker.dialog.local.as_str()));
    asker.answer(lab, &relayed, "200 OK");
    other.expect_response(lab, &notify, 200);
    relayed.all("Event").join("").replace(' ', "")
}

#[test]
fn a_refers_notifies_come_back_in_its_dialog() {
    for Talk { mut lab, mut asker, mut other } in both_ways() {
        referred(&mut lab, &mut asker, &other);
        for _ in 0..3 {
            assert_eq!(notified(&mut lab, &asker, &mut other, "Event: refer"), "refer");
        }
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn the_id_of_a_refers_notify_is_the_cseq_that_the_referrer_knows() {
    for Talk { mut lab, mut asker, mut other } in both_ways() {
        for _ in 0..2 {
            // RFC 3515 §2.4.6: the id is the REFER's CSeq.
            let (refer, relayed) = referred(&mut lab, &mut asker, &other);
            assert_ne!(refer.cseq, relayed.cseq);
            for event in ["Event: refer;id=", "o: refer ; id="] {
                let event = format!("{event}{}", relayed.cseq);
                let seen = notified(&mut lab, &asker, &mut other, &event);
                assert_eq!(seen, format!("refer;id={}", refer.cseq));
            }
        }
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn an_id_of_another_event_passes_as_it_stands() {
    for Talk { mut lab, mut asker, mut other } in both_ways() {
        let (_, relayed) = referred(&mut lab, &mut asker, &other);
        let event = format!("Event: dialog;id={}", relayed.cseq);
        let seen = notified(&mut lab, &asker, &mut other, &event);
        assert_eq!(seen, format!("dialog;id={}", relayed.cseq));
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn a_notify_may_overtake_the_refers_response() {
    for Talk { mut lab, mut asker, mut other } in both_ways() {
        let refer = asker.request(&mut lab, "REFER", &["Refer-To: <sip:1006@127.0.0.60>"], "");
        let relayed = other.expect(&mut lab, "REFER");
        let event = format!("Event: refer;id={}", relayed.cseq);
        assert_eq!(notified(&mut lab, &asker, &mut other, &event), format!("refer;id={}", refer.cseq));
        other.answer(&mut lab, &relayed, "202 Accepted");
        asker.expect_response(&mut lab, &refer, 202);
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn a_request_between_a_200_and_its_ack_passes() {
    let mut lab = Lab::new();
    let (mut caller, leg) = lab::scene::answered(&mut lab);
    let answer = caller.answered(&mut lab);
    let (mut a, mut c) = (Party::caller(&caller, &answer), Party::callee(&leg));
    let info = a.request(&mut lab, "INFO", &[], "1");
    let relayed = c.expect(&mut lab, "INFO");
    c.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &info, 200);
    let info = c.request(&mut lab, "INFO", &[], "2");
    let relayed = a.expect(&mut lab, "INFO");
    a.answer(&mut lab, &relayed, "200 OK");
    c.expect_response(&mut lab, &info, 200);
    caller.ack(&mut lab, "");
    lab.expect(C, "ACK");
    bye_and_finish(lab, a, &c);
}

#[test]
fn requests_pass_while_a_re_invite_is_pending() {
    for Talk { mut lab, mut asker, mut other } in both_ways() {
        let invite = asker.invite(&mut lab, &sdp(1));
        asker.expect_response(&mut lab, &invite, 100);
        let pending = other.expect(&mut lab, "INVITE");
        let info = other.request(&mut lab, "INFO", &[], "");
        let relayed = asker.expect(&mut lab, "INFO");
        asker.answer(&mut lab, &relayed, "200 OK");
        other.expect_response(&mut lab, &info, 200);
        other.refuse(&mut lab, &pending, "488 Not Acceptable Here");
        asker.refused(&mut lab, &invite, 488);
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn a_leg_before_its_first_response_sends_nothing_that_we_know() {
    let mut lab = Lab::new();
    let (caller, leg) = calling(&mut lab, &[]);
    let mut early: Leg = leg.clone();
    early.in_dialog(&mut lab, "INFO", &[]);
    lab.expect(C, "481 INFO");
    refuse_and_finish(lab, &caller, &leg);
}

#[test]
fn without_max_forwards_a_request_in_the_dialog_gets_70_and_passes() {
    for Talk { mut lab, mut asker, other } in both_ways() {
        asker.cseq += 1;
        let text = asker.dialog.text(&mut lab, "INFO", asker.cseq, &[], "");
        asker.send(&mut lab, &text.replace("Max-Forwards: 30\r\n", ""));
        let relayed = other.expect(&mut lab, "INFO");
        assert!(["69", "70"].contains(&relayed.one("Max-Forwards")));
        other.answer(&mut lab, &relayed, "200 OK");
        asker.expect(&mut lab, "200 INFO");
        bye_and_finish(lab, asker, &other);
    }
}
