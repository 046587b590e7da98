//! Feature codes: what phones dial to set forwarding, and what they hear.

mod codes;
#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;
#[path = "codes/owners.rs"]
mod owners;

use codes::{body, done, escaped, hung_up, invite, refused, rules, told, worded};
use lab::caller::{Caller, Invite};
use lab::keeper::Mood;
use lab::peer::{A, B, C, D};
use lab::{Lab, T1X64_MS};
use proptest::prelude::*;
use ringway::directory::{Condition, Entry};
use ringway::mail::{Letter, Mail};
use ringway::service::change::{Action, Change};
use ringway::service::codes::{Code, Table, parse};

const SESSION: &str = "s=-\r\nc=IN IP4 127.0.0.60\r\nt=0 0\r\n";

#[test]
fn a_code_is_set_durably_before_the_200_and_the_call_ends_by_itself() {
    let mut lab = Lab::new();
    lab.keeper.mood = Mood::Holds;
    let mut caller = worded(&mut lab, B, "**67*1005#").send(&mut lab);
    lab.expect(B, "100 INVITE");
    lab.advance(500);
    // Repetitions wait as well, and ask nobody again.
    caller.resend(&mut lab);
    lab.expect(B, "100 INVITE");
    lab.expect_nothing();
    assert_eq!((lab.keeper.held.len(), lab.calls()), (1, 1));
    assert_eq!(rules(&lab, "1004"), ["no-answer 1005"]);
    lab.release_letters();
    assert_eq!(rules(&lab, "1004"), ["busy 1005", "no-answer 1005"]);
    let answer = caller.answered(&mut lab);
    assert!(!answer.to_tag.is_empty());
    assert_eq!(answer.contact(), "sip:**67*1005%23@127.0.0.60:5060");
    let sdp = body(&answer);
    assert!(sdp.contains(SESSION), "{sdp}");
    assert!(sdp.ends_with("m=audio 9 RTP/AVP 4\r\na=rtpmap:4 G723/8000\r\na=inactive\r\n"), "{sdp}");
    lab.expect_nothing();
    caller.ack(&mut lab, "");
    assert_eq!(told(&mut lab, &caller), "Calls to 1004 on busy go to 1005.");
    hung_up(&mut lab, &caller);
    let metrics = lab.metrics();
    assert_eq!((metrics.feature_codes_done, metrics.feature_codes_refused), (1, 0));
    assert_eq!((metrics.calls_too_long, metrics.calls_answered, metrics.calls_ended), (0, 1, 1));
    lab.finish();
}

#[test]
fn what_was_set_forwards_the_next_call() {
    let mut lab = Lab::new();
    let dialled = invite(&mut lab, B, "*21*1006#");
    let caller = done(&mut lab, dialled);
    hung_up(&mut lab, &caller);
    let caller = Caller::call(&mut lab, A, "1004");
    lab.expect(A, "100 INVITE");
    lab.expect(A, "181 INVITE");
    let d = lab::callee::Leg::expect(&mut lab, D);
    lab::scene::refuse_and_finish(lab, &caller, &d);
}

#[test]
fn every_code_does_what_it_says() {
    let mut lab = Lab::new();
    for (code, set, text) in [
        ("**61*1006*11*30#", "no-answer 1006", "Calls to 1004 on no answer go to 1006 after 30 s."),
        ("#61#", "no-answer 1006 off", "Forwarding on no answer is off."),
        ("*61#", "no-answer 1006", "Calls to 1004 on no answer go to 1006 after 30 s."),
        ("*#61#", "no-answer 1006", "Calls to 1004 on no answer go to 1006 after 30 s."),
        ("*921005", "no-answer 1005", "Calls to 1004 on no answer go to 1005 after 30 s."),
        ("*93", "", "Forwarding on no answer is off."),
        ("*#61#", "", "Forwarding on no answer is off."),
        ("##61#", "", "Forwarding on no answer is off."),
        ("*72+1005#", "", ""),
        ("*721005#", "unconditional 1005", "All calls to 1004 go to 1005."),
        ("*73#", "", "Forwarding of all calls is off."),
        (
            "*62*1005#",
            "not-registered 1005, not-reachable 1005",
            "Calls to 1004 when not registered go to 1005.\r\nCalls to 1004 when not reachable go to 1005.",
        ),
        (
            "##002#",
            "",
            "Forwarding of all calls is off.\r\nForwarding on busy is off.\r\nForwarding on no answer is \
             off.\r\nForwarding when not registered is off.\r\nForwarding when not reachable is off.",
        ),
    ] {
        let invite = worded(&mut lab, B, code);
        if text.is_empty() {
            assert_eq!(refused(&mut lab, invite).0, 404, "{code}");
            continue;
        }
        let caller = done(&mut lab, invite);
        assert_eq!(told(&mut lab, &caller), text, "{code}");
        hung_up(&mut lab, &caller);
        assert_eq!(rules(&lab, "1004").join(", "), set, "{code}");
    }
    lab.finish();
}

#[test]
fn a_phone_without_message_is_told_by_the_status() {
    let mut lab = Lab::new();
    let query = invite(&mut lab, B, "*#61#");
    let caller = done(&mut lab, query);
    hung_up(&mut lab, &caller);
    let query = invite(&mut lab, B, "*#67#");
    assert_eq!(refused(&mut lab, query), (404, "Forwarding on busy is off.".into()));
    lab.finish();
}

#[test]
fn what_cannot_be_is_refused_with_the_reason() {
    let mut lab = Lab::with(|setup| setup.forward_on(Condition::Busy, C, "1006"));
    let long = format!("**67*{}#", "1".repeat(65));
    for (code, status, text) in [
        ("*", 484, "not complete"),
        ("#", 484, "not complete"),
        ("**", 484, "not complete"),
        ("*#", 484, "not complete"),
        ("**67*1005", 484, "not complete"),
        ("**67*#", 484, "not complete"),
        ("*90", 484, "not complete"),
        ("**67*%20#", 484, "not a number"),
        ("**67*10%000#", 484, "not a number"),
        ("**67*%0d%0aBYE#", 484, "not a number"),
        ("**61*1005**4#", 484, "5 to 180"),
        ("**61*1005**181#", 484, "5 to 180"),
        ("**61*1005**0#", 484, "5 to 180"),
        ("**61*1005**1000000000000#", 484, "5 to 180"),
        ("**67*1005**20#", 484, "5 to 180"),
        (&long, 484, "too long"),
        ("**67*1009#", 404, "nobody has the number 1009"),
        ("**99*1005#", 404, "unknown"),
        ("*99", 404, "unknown"),
        ("*67#", 404, "no forwarding to activate"),
        ("**67*1004#", 403, "itself"),
        ("**67*112#", 403, "emergency"),
        ("**67*1-1-2#", 403, "emergency"),
        ("*90(11.2)#", 403, "emergency"),
    ] {
        let invite = invite(&mut lab, B, code);
        let (refused, reason) = refused(&mut lab, invite);
        assert_eq!(refused, status, "{code}: {reason}");
        assert!(reason.contains(text), "{code}: {reason}");
    }
    // C → D → C would be a loop.
    let looped = invite(&mut lab, D, "**21*1005#");
    let (status, reason) = refused(&mut lab, looped);
    // Whom others forward to is not told.
    assert_eq!((status, &*reason), (403, "calls would go in a loop"));
    assert_eq!(rules(&lab, "1004"), ["no-answer 1005"]);
    assert_eq!(lab.metrics().feature_codes_refused, 25);
    lab.finish();
}

#[test]
fn a_subscriber_with_such_a_number_is_called_and_codes_can_be_off() {
    let mut lab = Lab::with(|setup| {
        let mut odd = C.subscriber();
        odd.number = "*21#".into();
        setup.subscribers.push(odd);
    });
    let caller = Caller::call(&mut lab, B, &escaped("*21#"));
    lab.expect(B, "100 INVITE");
    let c = lab::callee::Leg::expect(&mut lab, C);
    c.reject(&mut lab, "486 Busy Here");
    caller.refused(&mut lab, 486);
    lab.finish();
    let mut lab = Lab::with(|setup| setup.settings.forwarding.codes = None);
    let caller = Caller::call(&mut lab, B, &escaped("**67*1005#"));
    let refusal = caller.refused(&mut lab, 404);
    assert!(!refusal.has("Reason"));
    assert_eq!(rules(&lab, "1004"), ["no-answer 1005"]);
    lab.finish();
}

#[test]
fn a_store_that_fails_or_says_nothing_makes_a_503() {
    let mut lab = Lab::new();
    lab.keeper.mood = Mood::Fails;
    let dialled = invite(&mut lab, B, "**67*1005#");
    let (status, reason) = refused(&mut lab, dialled);
    assert_eq!((status, &*reason), (503, "the setting cannot be stored now"));
    lab.keeper.mood = Mood::Holds;
    let caller = invite(&mut lab, B, "**67*1005#").send(&mut lab);
    lab.expect(B, "100 INVITE");
    lab.advance(1_992);
    lab.expect_nothing();
    lab.advance(8);
    let refusal = caller.refused(&mut lab, 503);
    assert_eq!(refusal.one("Retry-After"), "5");
    assert_eq!(lab.calls(), 0);
    lab.release_letters();
    lab.expect_nothing();
    assert_eq!(lab.metrics().late_mail, 1);
    lab.finish();
}

#[test]
fn a_number_set_in_the_configuration_or_gone_meanwhile_is_refused() {
    let mut lab = Lab::new();
    let mut entry = lab.keeper.entry("1004").expect("an entry");
    entry.is_configured = true;
    lab.keeper.put(entry);
    let dialled = invite(&mut lab, B, "**67*1005#");
    let (status, reason) = refused(&mut lab, dialled);
    assert_eq!((status, &*reason), (403, "the number's forwarding is set in the configuration"));
    // What is set may be asked for all the same.
    let query = invite(&mut lab, B, "*#61#");
    let caller = done(&mut lab, query);
    hung_up(&mut lab, &caller);

    lab.keeper.mood = Mood::Holds;
    let caller = invite(&mut lab, C, "**67*1006#").send(&mut lab);
    lab.expect(C, "100 INVITE");
    lab.keeper.remove("1005");
    lab.release_letters();
    assert!(caller.refused(&mut lab, 403).one("Reason").contains("not served any more"));
    lab.finish();
}

#[test]
fn a_number_that_goes_after_its_change_is_not_answered_with_what_it_had() {
    let mut lab = Lab::new();
    lab.keeper.mood = Mood::Holds;
    let caller = invite(&mut lab, C, "**67*1006#").send(&mut lab);
    lab.expect(C, "100 INVITE");
    let (shard, letter) = lab.keeper.held.remove(0);
    let mail = lab.keeper.answer(letter, lab.unix()).expect("an answer");
    lab.keeper.remove("1005");
    lab.deliver(shard, mail);
    caller.refused(&mut lab, 403);
    lab.finish();
}

#[test]
fn two_codes_at_once_for_one_number_are_both_done() {
    let mut lab = Lab::new();
    lab.keeper.mood = Mood::Holds;
    let mut first = invite(&mut lab, B, "**67*1005#").send(&mut lab);
    lab.expect(B, "100 INVITE");
    let mut second = invite(&mut lab, B, "**21*1006#").send(&mut lab);
    lab.expect(B, "100 INVITE");
    lab.release_letters();
    first.answered_and_acked(&mut lab);
    second.answered_and_acked(&mut lab);
    assert_eq!(rules(&lab, "1004"), ["unconditional 1006", "busy 1005", "no-answer 1005"]);
    lab.advance(1_008);
    for caller in [&first, &second] {
        let bye = lab.expect(B, "BYE");
        caller.respond(&mut lab, &bye, "200 OK");
    }
    lab.finish();
}

#[test]
fn the_caller_may_cancel_while_the_store_is_asked() {
    let mut lab = Lab::new();
    lab.keeper.mood = Mood::Holds;
    let caller = invite(&mut lab, B, "**67*1005#").send(&mut lab);
    lab.expect(B, "100 INVITE");
    caller.cancel(&mut lab);
    lab.expect(B, "200 CANCEL");
    caller.refused(&mut lab, 487);
    assert_eq!(lab.calls(), 0);
    lab.release_letters();
    lab.expect_nothing();
    assert_eq!((lab.metrics().late_mail, lab.metrics().calls_cancelled), (1, 1));
    lab.finish();
}

#[test]
fn the_caller_may_hang_up_first_and_its_message_may_go_unanswered() {
    let mut lab = Lab::new();
    let dialled = worded(&mut lab, B, "*#61#");
    let mut caller = done(&mut lab, dialled);
    let message = lab.expect(B, "MESSAGE");
    assert!(!message.has("Contact"));
    caller.bye(&mut lab);
    lab.expect(B, "200 BYE");
    assert_eq!(lab.calls(), 0);
    // Timers E and F.
    lab.advance(T1X64_MS);
    assert!(lab.sent().iter().all(|sent| sent == "B MESSAGE"));
    lab.finish();
}

#[test]
fn a_message_that_is_refused_ends_nothing() {
    let mut lab = Lab::new();
    let dialled = worded(&mut lab, B, "*#61#");
    let caller = done(&mut lab, dialled);
    let message = lab.expect(B, "MESSAGE");
    caller.respond(&mut lab, &message, "415 Unsupported Media Type");
    hung_up(&mut lab, &caller);
    lab.finish();
}

#[test]
fn without_an_ack_the_200_is_repeated_and_the_call_ends() {
    let mut lab = Lab::new();
    let mut caller = worded(&mut lab, B, "*#61#").send(&mut lab);
    lab.expect(B, "100 INVITE");
    caller.answered(&mut lab);
    lab.advance(T1X64_MS - 1);
    let repeated = lab.sent();
    assert!(repeated.len() > 5 && repeated.iter().all(|sent| sent == "B 200 INVITE"), "{repeated:?}");
    lab.advance(9);
    let bye = lab.expect(B, "BYE");
    caller.respond(&mut lab, &bye, "200 OK");
    assert_eq!((lab.metrics().acks_missing, lab.calls()), (1, 0));
    lab.finish();
}

#[test]
fn what_else_is_asked_in_the_call_is_refused() {
    let mut lab = Lab::new();
    let dialled = invite(&mut lab, B, "*#61#");
    let mut caller = done(&mut lab, dialled);
    // 481 would end the dialog (RFC 5057 §5), and with it our BYE and MESSAGE.
    for method in ["INFO", "REFER", "MESSAGE", "OPTIONS"] {
        caller.in_dialog(&mut lab, method, &[]);
        lab.expect(B, &format!("488 {method}"));
    }
    let contact = "Contact: <sip:1004@127.0.0.136:5060>";
    for (method, body) in [("UPDATE", lab::caller::OFFER), ("INVITE", lab::caller::OFFER), ("INVITE", "")] {
        let cseq = lab.serial();
        let request = caller.dialog().text(&mut lab, method, 1_000 + cseq, &[contact], body);
        lab.send(B, &request);
        lab.expect(B, &format!("488 {method}"));
        if method == "INVITE" {
            lab.send(B, &request.replace("INVITE", "ACK"));
        }
    }
    hung_up(&mut lab, &caller);
    lab.finish();
}

#[test]
fn extensions_of_the_caller_do_not_hinder() {
    let mut lab = Lab::new();
    let dialled = worded(&mut lab, B, "**67*1005#")
        .line("Require: 100rel, timer")
        .line("Supported: 100rel, timer")
        .line("Session-Expires: 90;refresher=uas")
        .line("Min-SE: 90");
    let caller = done(&mut lab, dialled);
    told(&mut lab, &caller);
    hung_up(&mut lab, &caller);
    let unknown = invite(&mut lab, B, "**67*1005#").line("Require: gruu").send(&mut lab);
    unknown.refused(&mut lab, 420);
    lab.finish();
}

#[test]
fn a_server_that_stops_or_is_full_takes_no_codes() {
    let mut lab = Lab::new();
    lab.shards[0].drain();
    invite(&mut lab, B, "**67*1005#").send(&mut lab).refused(&mut lab, 503);
    lab.finish();
    let mut lab = Lab::with(|setup| setup.settings.max_calls = 1);
    lab.keeper.mood = Mood::Holds;
    let mut first = invite(&mut lab, B, "**67*1005#").send(&mut lab);
    lab.expect(B, "100 INVITE");
    invite(&mut lab, C, "**67*1006#").send(&mut lab).refused(&mut lab, 503);
    lab.release_letters();
    first.answered_and_acked(&mut lab);
    hung_up(&mut lab, &first);
    lab.finish();
}

#[test]
fn an_invite_without_an_offer_gets_one() {
    let mut lab = Lab::new();
    let dialled = worded(&mut lab, B, "**67*1005#").body("");
    let mut caller = dialled.send(&mut lab);
    lab.expect(B, "100 INVITE");
    let offer = body(&caller.answered(&mut lab));
    let streams = "m=audio 9 RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=inactive\r\n";
    assert!(offer.contains(SESSION) && offer.ends_with(streams), "{offer}");
    caller.ack(&mut lab, &offer.replace("RTP/AVP 0 8", "RTP/AVP 0"));
    told(&mut lab, &caller);
    hung_up(&mut lab, &caller);
    lab.finish();
}

#[test]
fn offers_that_cannot_be_answered_change_nothing() {
    let mut lab = Lab::new();
    let broad = format!("v=0\r\nm=audio 1 RTP/AVP {}\r\n", "1".repeat(58_000));
    let many = format!("v=0\r\n{}", "m=audio 1 RTP/AVP 0\r\n".repeat(2_500));
    for (kind, offer) in [
        ("application/sdp", "v=1\r\n"),
        ("application/sdp", "v=0\r\nm=audio\r\n"),
        ("application/sdp", &broad),
        ("application/sdp", &many),
        ("multipart/mixed;boundary=x", "--x\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--x--\r\n"),
        ("text/plain", "v=0\r\n"),
    ] {
        let dialled = invite(&mut lab, B, "**67*1005#").line(format!("Content-Type: {kind}")).body(offer);
        assert_eq!(refused(&mut lab, dialled).0, 488, "{kind}");
    }
    assert_eq!((rules(&lab, "1004").len(), lab.calls()), (1, 0));
    lab.finish();
}

#[test]
fn the_offers_of_all_kinds_of_phones_are_answered() {
    let mut lab = Lab::new();
    let lines = "a=ice-ufrag:x\r\n".repeat(3_800);
    let long = format!("v=0\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n{lines}");
    for (offer, answer) in [
        ("v=0\nm=audio 4000 RTP/AVP 8\n", "m=audio 9 RTP/AVP 8\r\na=inactive\r\n"),
        (
            "v=0\r\nc=IN IP6 2001:db8::7\r\nm=audio 0 RTP/AVP 8\r\nm=video 4002 RTP/AVP 31\r\n",
            "m=audio 0 RTP/AVP 8\r\na=inactive\r\nm=video 9 RTP/AVP 31\r\na=inactive\r\n",
        ),
        ("v=0\r\nm=audio 4000 RTP/SAVP 8\r\n", "m=audio 0 RTP/SAVP 8\r\na=inactive\r\n"),
        (&long, "m=audio 9 RTP/AVP 8\r\na=inactive\r\n"),
    ] {
        let dialled = invite(&mut lab, B, "**67*1005#").body(offer);
        let mut caller = dialled.send(&mut lab);
        lab.expect(B, "100 INVITE");
        let answered = body(&caller.answered(&mut lab));
        assert_eq!(answered.split_once(SESSION).expect("a session").1, answer);
        caller.ack(&mut lab, "");
        hung_up(&mut lab, &caller);
    }
    lab.finish();
}

#[test]
fn mail_that_nobody_waits_for_is_counted() {
    let mut lab = Lab::new();
    let dialled = invite(&mut lab, B, "**67*1005#");
    lab.keeper.mood = Mood::Holds;
    let mut caller = dialled.send(&mut lab);
    lab.expect(B, "100 INVITE");
    let (_, letter) = lab.keeper.held[0].clone();
    let Letter::Forwarding { ticket, .. } = letter else { panic!("{letter:?}") };
    lab.release_letters();
    caller.answered_and_acked(&mut lab);
    // Once more, and for a call to a phone.
    lab.mail(0, Mail::Forwarding { ticket, outcome: Ok(()) });
    assert_eq!(lab.metrics().late_mail, 1);
    hung_up(&mut lab, &caller);
    lab.mail(0, Mail::Forwarding { ticket, outcome: Ok(()) });
    assert_eq!(lab.metrics().late_mail, 2);
    lab.finish();
}

#[test]
fn the_operators_codes_take_the_place_of_the_usual_ones() {
    let mut lab = Lab::with(|setup| {
        let short = ["*5=register:all-conditional", "*50=query:all"].map(|text| text.parse().unwrap());
        setup.settings.forwarding.codes = Some(ringway::service::codes::Table { short: short.into() });
    });
    let usual = invite(&mut lab, B, "*901005");
    assert_eq!(refused(&mut lab, usual).0, 404);
    let own = invite(&mut lab, C, "*51006");
    let caller = done(&mut lab, own);
    hung_up(&mut lab, &caller);
    let set = ["busy 1006", "no-answer 1006", "not-registered 1006", "not-reachable 1006"];
    assert_eq!(rules(&lab, "1005"), set);
    let query = worded(&mut lab, C, "*50");
    let caller = done(&mut lab, query);
    assert_eq!(told(&mut lab, &caller).lines().count(), 5);
    hung_up(&mut lab, &caller);
    lab.finish();
}

#[test]
fn a_phone_that_registered_dials_from_where_it_is() {
    let mut lab = Lab::new();
    let mut entry: Entry = lab.keeper.entry("1006").expect("an entry");
    entry.subscriber.contact = None;
    lab.keeper.put(entry);
    let unbound = invite(&mut lab, D, "**67*1005#");
    assert_eq!(refused(&mut lab, unbound).0, 403);
    lab::phone::Phone::new(&mut lab, D).registers(&mut lab, "<sip:1006@127.0.0.139:5060>");
    let bound = invite(&mut lab, D, "**67*1005#");
    let caller = done(&mut lab, bound);
    hung_up(&mut lab, &caller);
    lab.finish();
}

proptest! {
    /// Nothing that may be dialled confuses the parser, and what it reads is within bounds.
    #[test]
    fn any_bytes_are_a_code_or_none(
        dialled in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "[*#]{1,2}(21|67|61|62|002|004|72|9[0-3]|)[*#0-9a+]{0,80}".prop_map(String::into_bytes),
        ],
    ) {
        let read = parse(&Table::default(), &dialled);
        prop_assert_eq!(read.is_some(), matches!(dialled.first(), Some(b'*' | b'#')));
        if let Some(Ok(Code::Change(Change { conditions, action }))) = read {
            prop_assert!(!conditions.is_empty());
            if let Action::Register { target, after_s } = action {
                prop_assert!((1..=64).contains(&target.len()));
                prop_assert!(after_s.is_none_or(|after_s| (5..=180).contains(&after_s)));
                let part = dialled.windows(target.len()).any(|part| part == target.as_bytes());
                prop_assert!(part, "the target is what was dialled");
            }
        }
    }
}

#[test]
fn whatever_is_dialled_is_answered_and_leaves_nothing() {
    let mut lab = Lab::new();
    for first in ["*", "#", "**", "*#", "##", "%2a", "%23", "%2A%2a"] {
        for rest in ["", "%", "%4", "%00", "%25", "61", "61*", "61%2a1005%23", "%E2%82%AC", ";x=y", "***###"]
        {
            let number = format!("{first}{rest}");
            let caller = Invite::new(&mut lab, B, &number).send(&mut lab);
            let status = lab.expect_any(B);
            if status == "100 INVITE" {
                let status: u16 = lab.next_to(B)[..3].parse().expect("a status");
                if status == 200 {
                    let mut caller = caller;
                    caller.answered_and_acked(&mut lab);
                    hung_up(&mut lab, &caller);
                } else {
                    caller.refused(&mut lab, status);
                }
            } else {
                assert!(["403", "404", "484", "400"].contains(&&status[..3]), "{number}: {status}");
            }
        }
    }
    assert_eq!(lab.calls(), 0);
    lab.finish();
}
