//! Requests that are wrong, and datagrams that are none: what is answered, what is dropped and counted
//! (SIP_RULES 25, 27, 28).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::callee::Leg;
use lab::caller::{Caller, Invite, OFFER, request};
use lab::peer::{A, B};
use lab::scene::{refuse_and_finish, talk_and_finish};
use ringway::limits::{HEADERS_MAX, REQUEST_URI_BYTES_MAX};

/// A's INVITE with `from` replaced by `to`, and the last message that the server sent back.
#[track_caller]
fn answer_to(from: &str, to: &str) -> String {
    let mut lab = Lab::new();
    let text = Invite::new(&mut lab, A, "1004").text();
    let broken = text.replace(from, to);
    assert_ne!(text, broken, "{from} is not there");
    lab.send(A, &broken);
    assert_eq!(lab.sent().len(), 1);
    assert_eq!(lab.transactions(), 0, "a bad request fills no table");
    assert_eq!(lab.metrics().bad_requests_answered + lab.metrics().requests_refused, 1);
    let sent = lab.trace.last().map(|entry| String::from_utf8_lossy(&entry.bytes).into_owned());
    lab.finish();
    sent.expect("an answer")
}

/// A's INVITE with `from` replaced by `to` gets this status line.
#[track_caller]
fn refused(from: &str, to: &str, status_line: &str) {
    let answer = answer_to(from, to);
    assert_eq!(answer.lines().next(), Some(&format!("SIP/2.0 {status_line}")[..]), "{to}");
}

/// A's INVITE with `from` replaced by `to` is dropped and counted.
#[track_caller]
fn dropped(from: &str, to: &str) {
    let mut lab = Lab::new();
    let text = Invite::new(&mut lab, A, "1004").text();
    let broken = text.replace(from, to);
    assert_ne!(text, broken, "{from} is not there");
    lab.send(A, &broken);
    lab.expect_nothing();
    assert_eq!(lab.metrics().bad_messages_dropped, 1, "{to}");
    lab.finish();
}

/// A's INVITE with `from` replaced by `to` reaches B.
#[track_caller]
fn borne_with(from: &str, to: &str) -> Leg {
    let mut lab = Lab::new();
    let invite = Invite::new(&mut lab, A, "1004");
    let text = invite.text().replace(from, to);
    assert_ne!(text, invite.text(), "{from} is not there");
    lab.send(A, &text);
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    let caller = Caller { cseq: invite.cseq, invite, text, answer: None };
    b.respond(&mut lab, "200 OK");
    let leg = b.clone();
    talk_and_finish(lab, caller, &b);
    leg
}

/// Methods that the server takes.
const ALLOW: &str =
    "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, MESSAGE, NOTIFY, REFER, REGISTER";

#[test]
fn a_malformed_header_field_is_named() {
    refused("Max-Forwards: 30", "Max-Forwards: many", "400 Malformed Max-Forwards");
    refused("Content-Length: ", "Content-Length: -", "400 Malformed Content-Length");
    refused("CSeq: 39", "CSeq: 2147483648", "400 Malformed CSeq");
    refused("CSeq: 39 INVITE", "CSeq: INVITE", "400 Malformed CSeq");
    refused("To: <sip:1004@127.0.0.60:5060>", "To: <sip:1004@127.0.0.60:5060", "400 Malformed To");
    refused("From: \"1003\" <", "From: \"1003 <", "400 Malformed From");
}

#[test]
fn a_header_field_that_stands_once_must_not_stand_twice() {
    let cases = ["CSeq: 39 INVITE", "Max-Forwards: 30", "Content-Type: application/sdp", "Expires: 1"];
    for line in cases {
        let name = line.split(':').next().unwrap_or_default();
        let twice = format!("\r\n{line}\r\n{line}\r\nContent-Length");
        let reason = format!("400 Repeated {name}");
        let once = format!("\r\n{line}");
        match line.starts_with("Expires") {
            true => refused("\r\nContent-Length", &twice, &reason),
            false => refused(&once, &format!("{once}{once}"), &reason),
        }
    }
    refused("\r\nCall-ID", "\r\nCall-ID: x@x\r\nCall-ID", "400 Repeated Call-ID");
    refused("\r\nFrom: ", "\r\nf: <sip:x@x>;tag=1\r\nFrom: ", "400 Repeated From");
    refused("\r\nTo: ", "\r\nTo: <sip:x@x>\r\nTo: ", "400 Repeated To");
    refused("\r\nContent-Length: ", "\r\nl: 0\r\nContent-Length: ", "400 Repeated Content-Length");
}

#[test]
fn without_what_a_response_copies_a_request_is_dropped() {
    dropped("Via: SIP", "Vie: SIP");
    dropped("\r\nFrom: ", "\r\nFram: ");
    dropped("\r\nTo: ", "\r\nTa: ");
    dropped("\r\nCall-ID: ", "\r\nCall-IT: ");
    dropped("\r\nCSeq: ", "\r\nCSec: ");
    dropped("CSeq: 39 INVITE", "CSeq:");
    dropped("To: <sip:1004@127.0.0.60:5060>", "To: ");
    dropped("Via: SIP/2.0/UDP ", "Via: SIP/2.0 ");
    dropped(";rport;branch", ";rport; ;branch");
}

#[test]
fn the_method_of_cseq_is_the_requests() {
    refused("CSeq: 39 INVITE", "CSeq: 39 OPTIONS", "400 CSeq Method Differs");
    refused("CSeq: 39 INVITE", "CSeq: 39 invite", "400 CSeq Method Differs");
}

#[test]
fn a_broken_request_line_or_header_line_is_refused() {
    refused("INVITE sip:", "INVITE  sip:", "400 Broken Request-Line");
    refused("INVITE sip:", "INVITE <sip:", "400 Broken Request-Line");
    refused(" SIP/2.0\r\nVia", "  SIP/2.0\r\nVia", "400 Broken Request-Line");
    refused("\r\nContact: ", "\r\nno colon here\r\nContact: ", "400 Broken Header Line");
    refused("\r\nContact: ", "\nContact: ", "400 Broken Header Line");
    refused("\r\nContact: ", "\r\nBad name: x\r\nContact: ", "400 Broken Header Line");
}

#[test]
fn more_header_fields_than_there_is_room_for_are_refused() {
    let many = "Z: y\r\n".repeat(HEADERS_MAX);
    refused("Max-Forwards", &format!("{many}Max-Forwards"), "400 Too Many Header Fields");
}

#[test]
fn another_version_is_refused() {
    refused(" SIP/2.0\r\nVia", " SIP/3.0\r\nVia", "505 Version Not Supported");
    refused(" SIP/2.0\r\nVia", " SIP/12.34\r\nVia", "505 Version Not Supported");
    borne_with(" SIP/2.0\r\nVia", " sip/2.0\r\nVia");
}

#[test]
fn a_request_uri_that_is_too_long_is_refused() {
    let uri = |length: usize| format!("INVITE sip:1004@127.0.0.60;x={}", "y".repeat(length));
    let fixed = "sip:1004@127.0.0.60;x=;transport=udp".len();
    let start = "INVITE sip:1004@127.0.0.60:5060";
    refused(start, &uri(REQUEST_URI_BYTES_MAX + 1 - fixed + 1), "414 Request-URI Too Long");
    borne_with(start, &uri(REQUEST_URI_BYTES_MAX - fixed));
}

#[test]
fn a_request_uri_of_another_scheme_is_refused() {
    refused(
        "INVITE sip:1004@127.0.0.60:5060;transport=udp",
        "INVITE http://x/1004",
        "416 Unsupported URI Scheme",
    );
}

#[test]
fn a_request_uri_that_cannot_be_read_is_refused() {
    refused("INVITE sip:1004@127.0.0.60:5060;", "INVITE sip:1004@:5060;", "400 Bad Request");
    refused("INVITE sip:1004@127.0.0.60:5060;", "INVITE sip:1004@127.0.0.60:x;", "400 Bad Request");
}

#[test]
fn a_caller_whose_address_cannot_be_read_is_refused() {
    refused("<sip:1003@127.0.0.60:5060;user=phone>", "<1003>", "400 Bad Request");
    refused("<sip:1003@127.0.0.60:5060;user=phone>", "<sip:1003@>", "400 Bad Request");
}

#[test]
fn a_number_that_is_no_subscriber_is_not_found() {
    refused("INVITE sip:1004@", "INVITE sip:1999@", "404 Not Found");
    refused("INVITE sip:1004@", "INVITE sip:", "404 Not Found");
}

#[test]
fn content_length_beyond_the_datagram_is_refused() {
    let real = format!("Content-Length: {}", OFFER.len());
    let more = format!("Content-Length: {}", OFFER.len() + 1);
    refused(&real, &more, "400 Content-Length Beyond Datagram");
    refused(&real, "Content-Length: 99999999999999999999", "400 Content-Length Beyond Datagram");
}

#[test]
fn what_stands_behind_content_length_is_ignored() {
    let real = format!("Content-Length: {}", OFFER.len());
    let leg = borne_with(&real, &format!("Content-Length: {}", OFFER.len() - 20));
    assert_eq!(leg.invite.body, OFFER[..OFFER.len() - 20]);
}

#[test]
fn without_content_length_the_body_is_the_datagrams_rest() {
    let leg = borne_with(&format!("Content-Length: {}\r\n", OFFER.len()), "");
    assert_eq!(leg.invite.body, OFFER);
}

#[test]
fn an_option_tag_that_we_do_not_know_is_refused_and_named() {
    let require =
        "Require: 100rel, x-one, timer\r\nRequire: x-own\r\nProxy-Require: x-two\r\nMax-Forwards: 30";
    let answer = answer_to("Max-Forwards: 30", require);
    assert!(answer.starts_with("SIP/2.0 420 Bad Extension\r\n"), "{answer}");
    let unsupported: Vec<&str> = answer.lines().filter(|line| line.starts_with("Unsupported: ")).collect();
    assert_eq!(unsupported, ["Unsupported: x-one, x-own, x-two"]);
    borne_with("Max-Forwards: 30", "Require: timer\r\nMax-Forwards: 30");
}

#[test]
fn options_with_an_option_tag_that_we_do_not_know_are_refused_too() {
    let mut lab = Lab::new();
    let options = request(&mut lab, A, "OPTIONS", "1004").line("Require: x-own");
    lab.send(A, &options.text());
    assert_eq!(lab.expect(A, "420 OPTIONS").one("Unsupported"), "x-own");
    lab.finish();
}

#[test]
fn a_method_that_we_do_not_take_gets_405_and_the_list_of_those_that_we_do() {
    for method in ["SUBSCRIBE", "NOTIFY", "MESSAGE", "REFER", "PUBLISH", "X-OWN", "invite"] {
        let mut lab = Lab::new();
        let text = request(&mut lab, A, method, "1004").text();
        lab.send(A, &text);
        let refusal = lab.expect(A, &format!("405 {method}"));
        assert_eq!(refusal.one("Allow"), ALLOW);
        lab.send(A, &text);
        assert_eq!(lab.expect(A, &format!("405 {method}")), refusal, "without a transaction, yet the same");
        lab.finish();
    }
}

#[test]
fn a_method_that_lives_in_a_dialog_gets_481_outside() {
    for method in ["BYE", "PRACK", "UPDATE", "INFO"] {
        let mut lab = Lab::new();
        let text = request(&mut lab, A, method, "1004").text();
        lab.send(A, &text);
        lab.expect(A, &format!("481 {method}"));
        lab.finish();
    }
}

#[test]
fn options_for_the_server_are_answered_without_a_transaction() {
    let mut lab = Lab::new();
    let mut options = request(&mut lab, A, "OPTIONS", "1004");
    options.request_uri = "sip:127.0.0.60:5060".into();
    lab.send(A, &options.text());
    let answer = lab.expect(A, "200 OPTIONS");
    assert_eq!(answer.one("Allow"), ALLOW);
    assert_eq!(answer.one("Accept"), "application/sdp");
    assert_eq!(answer.one("Supported"), "timer, 100rel");
    assert_eq!((lab.transactions(), lab.metrics().options_answered), (0, 1));
    lab.finish();
}

#[test]
fn the_same_invite_by_another_way_is_merged() {
    let mut lab = Lab::new();
    let invite = Invite::new(&mut lab, A, "1004");
    let mut other = invite.clone();
    other.via = "SIP/2.0/UDP 127.0.0.99:5060;rport;branch=z9hG4bKother".into();
    let caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    let text = other.text();
    lab.send(A, &text);
    let merged = lab.expect(A, "482 INVITE");
    lab.send(A, &text.replace(" INVITE", " ACK").replace("INVITE ", "ACK "));
    assert_eq!(merged.reason, "Loop Detected");
    lab.expect_nothing();
    refuse_and_finish(lab, &caller, &b);
}

#[test]
fn an_invite_that_went_through_us_before_is_a_loop() {
    let ours = "z9hG4bKt0000000100000001feafb76b";
    let spiral = format!("\r\nVia: SIP/2.0/UDP 127.0.0.60:5060;branch={ours}\r\nFrom");
    refused("\r\nFrom", &spiral, "482 Loop Detected");
    let listed =
        format!("\r\nv: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1, SIP/2.0/UDP 127.0.0.60;branch={ours}\r\nFrom");
    refused("\r\nFrom", &listed, "482 Loop Detected");
    // Another server's branch of the same form, and a branch of ours at another address.
    borne_with("\r\nFrom", &spiral.replace("127.0.0.60", "127.0.0.61"));
    borne_with("\r\nFrom", &spiral.replace(":5060", ":5070"));
}

#[test]
fn a_bad_ack_is_never_answered() {
    let mut lab = Lab::new();
    let ack = request(&mut lab, A, "ACK", "1004");
    let text = ack.text();
    for (from, to) in
        [("Max-Forwards: 30", "Max-Forwards: x"), ("SIP/2.0\r\n", "SIP/3.0\r\n"), ("39 ACK", "39 BYE")]
    {
        lab.send(A, &text.replace(from, to));
    }
    lab.expect_nothing();
    assert_eq!(lab.metrics().bad_messages_dropped, 3);
    lab.finish();
}

#[test]
fn a_response_is_never_answered() {
    let mut lab = Lab::new();
    let invite = lab::sip::Sip::read(Invite::new(&mut lab, A, "1004").text().as_bytes()).expect("an INVITE");
    let good = lab::caller::response(&invite, "200 OK", "x", &[], "");
    for text in [
        good.clone(),
        good.replace("200 OK", "486 Busy Here"),
        good.replace("CSeq: 39 INVITE", "CSeq: 39 BYE"),
        good.replace("To: ", "To: \""),
        good.replace("SIP/2.0 200", "SIP/3.0 200"),
        good.replace("SIP/2.0 200", "SIP/2.0 700"),
        good.replace("Content-Length: 0", "Content-Length: 1"),
    ] {
        lab.send(A, &text);
    }
    lab.expect_nothing();
    let metrics = lab.metrics();
    assert_eq!((metrics.stray_responses, metrics.bad_messages_dropped, metrics.not_sip), (3, 3, 1));
    lab.finish();
}

#[test]
fn keep_alives_and_what_is_not_sip_are_dropped_and_counted() {
    let mut lab = Lab::new();
    for text in ["", "\r\n\r\n", "\r\n", "\0", "\0\0\0\0"] {
        lab.send(A, text);
    }
    for text in ["hello", "GET / HTTP/1.1\r\n\r\n", "SIP/2.0\r\n\r\n", "\u{80}\u{1}"] {
        lab.send(A, text);
    }
    lab.send_bytes(A.address, &[0xff; 1_000]);
    lab.expect_nothing();
    assert_eq!((lab.metrics().keepalives, lab.metrics().not_sip), (5, 5));
    lab.finish();
}

#[test]
fn every_prefix_of_an_invite_is_answered_once_at_most_and_leaves_nothing() {
    let mut lab = Lab::new();
    let text = Invite::new(&mut lab, A, "1004").text();
    for end in 0..text.len() {
        lab.send(A, &text[..end]);
        assert!(lab.sent().len() <= 1, "{end}");
        assert_eq!(lab.transactions(), 0, "{end}");
    }
    lab.finish();
}
