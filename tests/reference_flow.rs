//! The reference flow: forwarding on no answer, message by message.

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::callee::{ANSWER, Leg};
use lab::caller::{Caller, OFFER};
use lab::peer::{A, B, C, SERVER, Setup};
use lab::sip::Sip;
use ringway::settings::AckPolicy;

/// The reference flow's 19 messages (its step 16 is media). The server's BYE to A and its 200 to C leave
/// the other way round: a BYE is answered at once.
const LADDER: [&str; 19] = [
    "A → S INVITE",
    "S → A 100 INVITE",
    "S → B INVITE",
    "B → S 100 INVITE",
    "B → S 180 INVITE",
    "S → A 180 INVITE",
    "B → S 408 INVITE",
    "S → B ACK",
    "S → C INVITE",
    "C → S 100 INVITE",
    "C → S 180 INVITE",
    "C → S 200 INVITE",
    "S → A 200 INVITE",
    "A → S ACK",
    "S → C ACK",
    "C → S BYE",
    "S → C 200 BYE",
    "S → A BYE",
    "A → S 200 BYE",
];

/// What the call's messages were.
struct Call {
    lab: Lab,
    trying: Sip,
    ringing: Sip,
    to_b: Sip,
    ack_to_b: Sip,
    to_c: Sip,
    answer: Sip,
    ack_to_c: Sip,
    bye: Sip,
    bye_answer: Sip,
}

/// The whole call: B rings for 18 s and gives up with a 408, C answers after 4 s and hangs up after 60 s.
fn reference_call(change: impl FnOnce(&mut Setup)) -> Call {
    let mut lab = Lab::with(change);
    let mut caller = Caller::call(&mut lab, A, "1004");
    let trying = lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    b.ring(&mut lab);
    let ringing = lab.expect(A, "180 INVITE");
    lab.advance(18_000);
    let ack_to_b = b.reject(&mut lab, "408 Request Timeout");
    let mut c = Leg::expect(&mut lab, C);
    c.ring(&mut lab);
    lab.advance(4_000);
    c.respond(&mut lab, "200 OK");
    skip_news_of_the_target(&mut lab);
    let answer = caller.answered_and_acked(&mut lab);
    let ack_to_c = lab.expect(C, "ACK");
    lab.advance(60_000);
    c.bye(&mut lab);
    let bye_answer = lab.expect(C, "200 BYE");
    let bye = lab.expect(A, "BYE");
    caller.respond(&mut lab, &bye, "200 OK");
    let (to_b, to_c) = (b.invite, c.invite);
    Call { lab, trying, ringing, to_b, ack_to_b, to_c, answer, ack_to_c, bye, bye_answer }
}

/// Takes 181 and the target's 180, which only stand in the flow when 181 is on.
fn skip_news_of_the_target(lab: &mut Lab) {
    if lab.sent_to(A).contains(&"181 INVITE".to_string()) {
        lab.expect(A, "181 INVITE");
        lab.expect(A, "180 INVITE");
    }
}

fn without_181(setup: &mut Setup) {
    setup.settings.send_181 = false;
}

#[test]
fn without_181_the_flow_is_the_reference_documents_19_messages() {
    let call = reference_call(without_181);
    assert_eq!(call.lab.ladder(), LADDER);
    call.lab.finish();
}

#[test]
fn the_caller_is_told_of_the_forwarding_and_then_of_the_targets_ringing() {
    let call = reference_call(|_| {});
    let mut ladder = LADDER.to_vec();
    ladder.insert(8, "S → A 181 INVITE");
    ladder.insert(12, "S → A 180 INVITE");
    assert_eq!(call.lab.ladder(), ladder);
    call.lab.finish();
}

#[test]
fn with_ack_immediate_the_callee_is_acknowledged_before_the_caller_is_answered() {
    let call = reference_call(|setup| {
        without_181(setup);
        setup.settings.ack = AckPolicy::Immediate;
    });
    let mut ladder = LADDER.to_vec();
    let ack = ladder.remove(14);
    ladder.insert(12, ack);
    assert_eq!(call.lab.ladder(), ladder);
    call.lab.finish();
}

#[test]
fn every_response_to_the_caller_has_the_same_to_tag_and_the_servers_contact() {
    let call = reference_call(|_| {});
    let tag = &call.trying.to_tag;
    let contact = format!("<sip:1004@{SERVER}>");
    let to_caller = |entry: &&lab::trace::Entry| {
        entry.way == lab::trace::Way::Out && entry.sip.as_ref().is_some_and(|sip| sip.method == "INVITE")
    };
    let responses: Vec<&Sip> =
        call.lab.trace.iter().filter(to_caller).filter_map(|entry| entry.sip.as_ref()).collect();
    let mut statuses = Vec::new();
    for response in responses.iter().filter(|response| !response.is_request()) {
        statuses.extend(response.status);
        assert_eq!(&response.to_tag, tag);
        assert_eq!(response.one("Contact"), contact);
        assert_eq!(response.one("From"), "\"1003\" <sip:1003@127.0.0.60:5060;user=phone>;tag=38731");
        let via = "SIP/2.0/UDP 127.0.0.137:5060;rport=5060;branch=z9hG4bK10751;received=127.0.0.137";
        assert_eq!(response.one("Via"), via);
    }
    assert_eq!(statuses, [100, 180, 181, 180, 200]);
    assert_eq!(call.bye.from_tag, *tag);
    call.lab.finish();
}

/// The INVITE to a callee as the server must write it; what it mints is taken from the message.
fn leg_invite(sip: &Sip, to: &str, diversion: &str) -> String {
    let Sip { branch, call_id, from_tag, .. } = sip;
    format!(
        "INVITE sip:{to} SIP/2.0\r\n\
         Via: SIP/2.0/UDP 127.0.0.60:5060;branch={branch}\r\n\
         Max-Forwards: 29\r\n\
         Call-ID: {call_id}\r\n\
         From: \"1003\" <sip:1003@127.0.0.60:5060;user=phone>;tag={from_tag}\r\n\
         To: <sip:{to}>\r\n\
         CSeq: 1 INVITE\r\n\
         Contact: <sip:1003@127.0.0.60:5060>\r\n\
         Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, MESSAGE, NOTIFY, REFER\r\n\
         Alert-Info: <http://127.0.0.1/1>\r\n\
         Supported: timer\r\n\
         Session-Expires: 90\r\n\
         Record-ID: 1003_2013101010071500000000\r\n\
         {diversion}\
         Content-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{OFFER}",
        OFFER.len()
    )
}

#[test]
fn each_leg_is_a_dialog_of_its_own_with_the_callers_offer() {
    let call = reference_call(|setup| setup.settings.alert_info = Some("<http://127.0.0.1/1>".into()));
    let Call { to_b, to_c, .. } = &call;
    assert_eq!(to_b.text(), leg_invite(to_b, "1004@127.0.0.136:5060", ""));
    let diversion = "Diversion: <sip:1004@127.0.0.60>;reason=no-answer;counter=1;privacy=off\r\n\
        History-Info: <sip:1004@127.0.0.60?Reason=SIP%3Bcause%3D408>;index=1, \
        <sip:1005@127.0.0.60;cause=408>;index=1.1;mp=1\r\n";
    assert_eq!(to_c.text(), leg_invite(to_c, "1005@127.0.0.138:5060", diversion));
    let minted = |sip: &Sip| [sip.call_id.clone(), sip.from_tag.clone(), sip.branch.clone()];
    let [caller, b, c] = [minted(&call.trying), minted(to_b), minted(to_c)];
    for number in 0..3 {
        assert!(caller[number] != b[number] && b[number] != c[number] && caller[number] != c[number]);
    }
    call.lab.finish();
}

#[test]
fn the_refused_leg_is_acknowledged_in_its_own_transaction() {
    let call = reference_call(|_| {});
    let Call { to_b, ack_to_b, .. } = &call;
    assert_eq!(ack_to_b.request_uri, "sip:1004@127.0.0.136:5060");
    assert_eq!(ack_to_b.branch, to_b.branch);
    assert_eq!(ack_to_b.one("CSeq"), "1 ACK");
    assert_eq!(ack_to_b.one("To").split(';').next(), to_b.one("To").split(';').next());
    assert!(!ack_to_b.to_tag.is_empty() && ack_to_b.body.is_empty());
    call.lab.finish();
}

#[test]
fn the_answer_goes_to_the_caller_with_the_targets_sdp_and_the_calls_record_id() {
    let call = reference_call(|_| {});
    let Call { trying, answer, .. } = &call;
    let text = format!(
        "SIP/2.0 200 OK\r\n\
         Via: SIP/2.0/UDP 127.0.0.137:5060;rport=5060;branch=z9hG4bK10751;received=127.0.0.137\r\n\
         From: \"1003\" <sip:1003@127.0.0.60:5060;user=phone>;tag=38731\r\n\
         To: <sip:1004@127.0.0.60:5060>;tag={}\r\n\
         Call-ID: call1@127.0.0.137\r\n\
         CSeq: 39 INVITE\r\n\
         Contact: <sip:1004@127.0.0.60:5060>\r\n\
         Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, MESSAGE, NOTIFY, REFER\r\n\
         Supported: timer\r\n\
         Record-ID: 1003_2013101010071500000000\r\n\
         Content-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{ANSWER}",
        trying.to_tag,
        ANSWER.len()
    );
    assert_eq!(answer.text(), text);
    call.lab.finish();
}

#[test]
fn the_targets_ack_and_the_byes_follow_their_dialogs() {
    let call = reference_call(|_| {});
    let Call { to_c, ack_to_c, bye, bye_answer, trying, .. } = &call;
    assert_eq!(ack_to_c.request_uri, "sip:1005@127.0.0.138:5060");
    assert_eq!(ack_to_c.one("CSeq"), "1 ACK");
    assert_eq!((&ack_to_c.call_id, &ack_to_c.from_tag), (&to_c.call_id, &to_c.from_tag));
    assert_ne!(ack_to_c.branch, to_c.branch);
    assert_eq!(bye.request_uri, "sip:1003@127.0.0.137:5060");
    assert_eq!(bye.one("From"), format!("<sip:1004@127.0.0.60:5060>;tag={}", trying.to_tag));
    assert_eq!(bye.one("To"), "\"1003\" <sip:1003@127.0.0.60:5060;user=phone>;tag=38731");
    assert_eq!(bye.call_id, trying.call_id);
    assert_eq!(bye.one("Max-Forwards"), "70");
    assert_eq!(bye_answer.one("CSeq"), "223 BYE");
    assert_eq!(call.ringing.body, "");
    call.lab.finish();
}

#[test]
fn the_target_rings_on_without_181_unheard_because_the_caller_hears_ringback_already() {
    let call = reference_call(without_181);
    let counted = call.lab.sent_to(A);
    assert_eq!(counted, ["100 INVITE", "180 INVITE", "200 INVITE", "BYE"]);
    call.lab.finish();
}

#[test]
fn early_media_of_the_target_reaches_the_caller_even_without_181() {
    let mut lab = Lab::with(without_181);
    let mut caller = Caller::call(&mut lab, A, "1004");
    let b = Leg::expect(&mut lab, B);
    b.ring(&mut lab);
    b.reject(&mut lab, "408 Request Timeout");
    let mut c = Leg::expect(&mut lab, C);
    c.respond_with(&mut lab, "183 Session Progress", &[], ANSWER);
    assert_eq!(lab.sent(), ["A 100 INVITE", "A 180 INVITE", "A 183 INVITE"]);
    c.respond(&mut lab, "180 Ringing");
    assert_eq!(lab.sent(), ["A 180 INVITE"], "ringback must be heard again");
    c.respond(&mut lab, "200 OK");
    caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    c.bye(&mut lab);
    let bye = lab.expect(A, "BYE");
    caller.respond(&mut lab, &bye, "200 OK");
    lab.expect(C, "200 BYE");
    lab.finish();
}

#[test]
fn record_ids_name_the_caller_the_second_and_the_call() {
    let mut lab = Lab::new();
    let first = Caller::call(&mut lab, A, "1004");
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    b.reject(&mut lab, "486 Busy Here");
    first.refused(&mut lab, 486);
    lab.advance(61_000);
    let second = Caller::call(&mut lab, C, "1006");
    let d = Leg::expect(&mut lab, lab::peer::D);
    assert_eq!(b.invite.one("Record-ID"), "1003_2013101010071500000000");
    assert_eq!(d.invite.one("Record-ID"), "1005_2013101010081600000001");
    d.reject(&mut lab, "486 Busy Here");
    lab.expect(C, "100 INVITE");
    second.refused(&mut lab, 486);
    lab.finish();
}
