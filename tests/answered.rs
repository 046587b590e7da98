//! A call that is answered: what passes between caller and callee, and what stays on its own leg.

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::callee::{ANSWER, Leg};
use lab::caller::{Caller, Invite, OFFER};
use lab::peer::{A, B, C, SERVER};
use lab::scene::{hang_up_and_finish, talk_and_finish, talking};

#[test]
fn a_callee_may_answer_without_ringing_or_trying() {
    let mut lab = Lab::new();
    let mut caller = Caller::call(&mut lab, A, "1004");
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    b.respond(&mut lab, "200 OK");
    let answer = caller.answered_and_acked(&mut lab);
    assert_eq!(answer.body, ANSWER);
    lab.expect(B, "ACK");
    assert_eq!(lab.metrics().calls_answered, 1);
    hang_up_and_finish(lab, caller, &b);
}

#[test]
fn early_media_passes_and_keeps_the_callers_dialog() {
    let mut lab = Lab::new();
    let mut caller = Caller::call(&mut lab, A, "1004");
    let trying = lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    b.respond_with(&mut lab, "183 Session Progress", &[], ANSWER);
    let progress = lab.expect(A, "183 INVITE");
    assert_eq!(progress.body, ANSWER);
    assert_eq!(progress.one("Content-Type"), "application/sdp");
    assert_eq!(progress.to_tag, trying.to_tag);
    b.respond(&mut lab, "200 OK");
    let answer = caller.answered_and_acked(&mut lab);
    assert_eq!(answer.to_tag, trying.to_tag);
    lab.expect(B, "ACK");
    hang_up_and_finish(lab, caller, &b);
}

#[test]
fn what_concerns_the_call_passes_to_the_callee_and_what_concerns_a_leg_does_not() {
    let mut lab = Lab::new();
    let passing = [
        "Subject: dinner",
        "X-Own: kept, as it stands",
        "Privacy: none",
        "Accept-Language: de, en",
        "History-Info: <sip:1004@127.0.0.60>;index=1",
        "Authorization: Digest username=\"1003\", realm=\"b\"",
        "Expires: 120",
    ];
    let stopping = [
        "Route: <sip:127.0.0.60:5060;lr>",
        "Record-Route: <sip:127.0.0.137:5060;lr>",
        "Supported: 100rel, replaces",
        "Session-Expires: 1800;refresher=uac",
        "Min-SE: 120",
        "Record-ID: forged",
        "P-Asserted-Identity: <sip:1003@example.com>",
        "Allow: INVITE, ACK, BYE, CANCEL, REGISTER",
    ];
    let mut invite = Invite::new(&mut lab, A, "1004");
    invite.lines = passing.iter().chain(&stopping).map(|line| line.to_string()).collect();
    let caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    let text = b.invite.text();
    for line in passing {
        assert!(text.contains(&format!("\r\n{line}\r\n")), "{line} in\n{text}");
    }
    for line in stopping {
        assert!(!text.contains(line), "{line} in\n{text}");
    }
    assert_eq!(b.invite.body, OFFER);
    b.respond(&mut lab, "200 OK");
    talk_and_finish(lab, caller, &b);
}

#[test]
fn what_concerns_the_call_passes_to_the_caller_and_what_concerns_a_leg_does_not() {
    let mut lab = Lab::new();
    let mut caller = Caller::call(&mut lab, A, "1004");
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    let passing = ["Server: ZED3", "X-Own: kept"];
    let stopping = [
        "P-Asserted-Identity: <sip:1004@example.com>",
        "Require: timer",
        "Session-Expires: 90;refresher=uac",
        "Supported: timer, 100rel",
        "Record-Route: <sip:127.0.0.136:5060;lr>",
        "RSeq: 1",
        "Record-ID: forged",
    ];
    let lines = [&passing[..], &stopping].concat();
    b.respond_with(&mut lab, "200 Fine", &lines, ANSWER);
    let answer = caller.answered_and_acked(&mut lab);
    assert_eq!(answer.reason, "Fine");
    let text = answer.text();
    for line in passing {
        assert!(text.contains(&format!("\r\n{line}\r\n")), "{line} in\n{text}");
    }
    for line in stopping {
        assert!(!text.contains(line), "{line} in\n{text}");
    }
    assert_eq!(answer.contact(), format!("sip:1004@{SERVER}"));
    let ack = lab.expect(B, "ACK");
    assert_eq!(ack.all("Route"), ["<sip:127.0.0.136:5060;lr>"]);
    hang_up_and_finish(lab, caller, &b);
}

#[test]
fn compact_names_folds_and_any_case_are_read() {
    let mut lab = Lab::new();
    let invite = Invite::new(&mut lab, A, "1004");
    let text = invite
        .text()
        .replace("\r\nVia: ", "\r\nv: ")
        .replace("\r\nFrom: \"1003\" ", "\r\nF : \"1003\"\r\n ")
        .replace("\r\nTo: ", "\r\nt:")
        .replace("\r\nCall-ID: ", "\r\ni:\t")
        .replace("\r\nCSeq: ", "\r\ncseq: ")
        .replace("\r\nContact: ", "\r\nm: ")
        .replace("\r\nContent-Type: ", "\r\nc: ")
        .replace("\r\nContent-Length: ", "\r\nl: ");
    lab.send(A, &text);
    lab.expect(A, "100 INVITE");
    let caller = Caller { cseq: invite.cseq, invite, text, answer: None };
    let b = Leg::expect(&mut lab, B);
    assert_eq!(b.invite.body, OFFER);
    assert!(b.invite.one("From").starts_with("\"1003\" <sip:1003@127.0.0.60:5060;user=phone>;tag=b"));
    b.respond(&mut lab, "200 OK");
    talk_and_finish(lab, caller, &b);
}

#[test]
fn a_body_of_any_type_passes_untouched() {
    let mut lab = Lab::new();
    let body = "--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b--\r\n";
    let invite = Invite::new(&mut lab, A, "1004").body(body);
    let text = invite
        .text()
        .replace("application/sdp\r\nContent-Length", "multipart/mixed;boundary=b\r\nContent-Length");
    lab.send(A, &text);
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    assert_eq!(b.invite.body, body);
    assert_eq!(b.invite.one("Content-Type"), "multipart/mixed;boundary=b");
    b.respond(&mut lab, "200 OK");
    let caller = Caller { cseq: invite.cseq, invite, text, answer: None };
    talk_and_finish(lab, caller, &b);
}

#[test]
fn a_caller_without_a_number_or_a_tag_is_served() {
    let mut lab = Lab::new();
    let mut invite = Invite::new(&mut lab, A, "1004");
    invite.from = "<sip:127.0.0.137>".into();
    let caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    assert_eq!(b.invite.one("Record-ID"), "_2013101010071500000000");
    assert_eq!(b.invite.contact(), format!("sip:{SERVER}"));
    b.respond(&mut lab, "200 OK");
    talk_and_finish(lab, caller, &b);
}

#[test]
fn two_calls_between_the_same_parties_do_not_mix() {
    let mut lab = Lab::new();
    let mut first = Caller::call(&mut lab, A, "1005");
    lab.expect(A, "100 INVITE");
    let first_leg = Leg::expect(&mut lab, C);
    let second = Caller::call(&mut lab, A, "1005");
    lab.expect(A, "100 INVITE");
    let second_leg = Leg::expect(&mut lab, C);
    second_leg.reject(&mut lab, "486 Busy Here");
    second.refused(&mut lab, 486);
    first_leg.respond(&mut lab, "200 OK");
    first.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    hang_up_and_finish(lab, first, &first_leg);
}

#[test]
fn a_call_without_a_limit_has_no_end_but_a_bye() {
    let mut lab = Lab::with(|setup| setup.settings.call_limit_ms = 0);
    let (caller, c) = talking(&mut lab);
    lab.advance(24 * 3_600_000);
    lab.expect_nothing();
    assert_eq!(lab.calls(), 1);
    assert_eq!(lab.transactions(), 0);
    hang_up_and_finish(lab, caller, &c);
}
