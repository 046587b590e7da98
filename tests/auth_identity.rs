//! Who callees are told that the caller is (RFC 3325), and what a caller keeps from them (RFC 3323).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::callee::Leg;
use lab::caller::{Caller, Invite};
use lab::digest::{authenticated, guarded, refused};
use lab::peer::{A, C, Peer};
use lab::scene::{hang_up_and_finish, refuse_and_finish};
use lab::sip::Sip;

const ASSERTED: &str = "P-Asserted-Identity: \"Boss\" <sip:1@carrier.example>";

/// A laboratory in which these are trusted and the others are subscribers with passwords.
fn trusting(trusted: &[Peer]) -> Lab {
    guarded(&[A, C], |setup| {
        let network = |peer: &Peer| peer.address.ip().to_string().parse().expect("a network");
        setup.settings.auth.trusted = trusted.iter().map(network).collect();
    })
}

/// The caller's INVITE with these lines.
fn invite(lab: &mut Lab, lines: &[&str]) -> Invite {
    let mut invite = Invite::new(lab, A, C.number);
    invite.lines = lines.iter().map(|line| line.to_string()).collect();
    invite
}

/// A calls C with these lines; what C gets.
#[track_caller]
fn called(mut lab: Lab, is_trusted: bool, lines: &[&str]) -> Sip {
    let invite = invite(&mut lab, lines);
    called_by(lab, is_trusted, invite)
}

#[track_caller]
fn called_by(mut lab: Lab, is_trusted: bool, invite: Invite) -> Sip {
    let caller = if is_trusted { invite.send(&mut lab) } else { authenticated(&mut lab, invite) };
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(&mut lab, C);
    refuse_and_finish(lab, &caller, &c);
    c.invite
}

#[test]
fn a_subscribers_own_assertion_is_removed_and_ours_goes_to_trusted_peers() {
    let lines = [ASSERTED, "P-Preferred-Identity: <sip:1003@127.0.0.60>", "Remote-Party-ID: <sip:1@x>"];
    let got = called(trusting(&[C]), false, &lines);
    assert_eq!(got.one("P-Asserted-Identity"), "<sip:1003@127.0.0.60:5060>");
    assert!(!got.has("P-Preferred-Identity") && !got.has("Remote-Party-ID"));
    let got = called(trusting(&[]), false, &lines);
    for name in ["P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID"] {
        assert!(!got.has(name), "{name} in\n{}", got.text());
    }
}

#[test]
fn an_anonymous_subscriber_is_known_to_trusted_peers_alone() {
    for trusted in [&[C][..], &[]] {
        let mut lab = trusting(trusted);
        let mut invite = invite(&mut lab, &["Privacy: id"]);
        invite.from = "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=7".into();
        let got = called_by(lab, false, invite);
        assert!(got.one("From").starts_with("\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag="));
        let expected = if trusted.is_empty() { vec![] } else { vec!["<sip:1003@127.0.0.60:5060>"] };
        assert_eq!(got.all("P-Asserted-Identity"), expected);
        assert!(got.one("Record-ID").starts_with("anonymous_"));
    }
}

#[test]
fn in_the_lab_nobody_is_vouched_for() {
    let lab = Lab::with(|setup| {
        let network = C.address.ip().to_string().parse().expect("a network");
        setup.settings.auth.trusted = vec![network];
    });
    // Credentials that nobody looked at.
    let forged = "Authorization: Digest username=\"1003\", realm=\"ringway\", nonce=\"\", uri=\"\", \
                  response=\"\"";
    let got = called(lab, true, &[ASSERTED, forged]);
    assert!(!got.has("P-Asserted-Identity") && !got.has("Authorization"), "{}", got.text());
}

#[test]
fn a_trusted_callers_assertion_passes_unless_it_is_private() {
    let identity = ASSERTED.split_once(": ").expect("a name").1;
    for (trusted, privacy, passes) in [
        (&[A, C][..], "none", true),
        (&[A, C], "id", true),
        (&[A, C], "user;id", true),
        (&[A], "none", true),
        (&[A], "header", true),
        (&[A], "id", false),
        (&[A], "header; ID;critical", false),
        (&[A], "user", false),
    ] {
        let privacy_line = format!("Privacy: {privacy}");
        let got = called(trusting(trusted), true, &[ASSERTED, &privacy_line]);
        let expected = if passes { vec![identity] } else { vec![] };
        assert_eq!(got.all("P-Asserted-Identity"), expected, "{privacy} to {} trusted", trusted.len());
        assert_eq!(got.one("Privacy"), privacy);
    }
    assert_eq!(called(trusting(&[A]), true, &[ASSERTED]).one("P-Asserted-Identity"), identity);
}

#[test]
fn user_privacy_hides_everything_that_the_caller_wrote_of_itself() {
    let own = [
        "Subject: me",
        "User-Agent: mine",
        "Organization: ours",
        "Call-Info: <http://1003.example>",
        "In-Reply-To: 1003",
        "reply-to: <sip:1003@x>",
    ];
    let lines = [&own[..], &["Privacy: user", "X-Own: kept"]].concat();
    let got = called(trusting(&[]), false, &lines);
    assert!(got.one("From").starts_with("\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=b"));
    assert_eq!(got.contact(), "sip:anonymous@127.0.0.60:5060");
    assert!(got.one("Record-ID").starts_with("anonymous_"));
    assert_eq!(got.one("X-Own"), "kept");
    let text = got.text().replace("sip:1003@", "");
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    assert!(!head.contains("1003") && !head.contains("mine") && !head.contains("ours"), "{head}");
    let got = called(trusting(&[C]), false, &lines);
    assert!(got.one("From").contains("<sip:1003@"), "a trusted peer hides it where it must");
    assert!(got.has("Subject") && got.has("User-Agent") && got.has("Reply-To"));
}

#[test]
fn privacy_that_cannot_be_had_ends_a_call_for_which_it_is_critical() {
    for (privacy, refuses) in [
        ("session;critical", true),
        ("id;history;critical", true),
        ("critical, what", true),
        ("session", false),
        ("what", false),
        ("id;user;header;critical", false),
        ("critical", false),
    ] {
        let mut lab = trusting(&[A]);
        let invite = invite(&mut lab, &[&format!("Privacy: {privacy}")]);
        if refuses {
            refused(&mut lab, &invite, 500);
            lab.finish();
        } else {
            called_by(lab, true, invite);
        }
    }
}

/// A and C talk; A is a subscriber that has authenticated.
#[track_caller]
fn talking(lab: &mut Lab) -> (Caller, Leg) {
    let invite = invite(lab, &[]);
    let mut caller = authenticated(lab, invite);
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(lab, C);
    assert!(!c.invite.has("Authorization"), "our credentials are nobody else's business");
    c.respond_with(lab, "200 OK", &[ASSERTED], lab::callee::ANSWER);
    let answer = caller.answered_and_acked(lab);
    assert!(!answer.has("P-Asserted-Identity"), "a callee's word is not taken");
    lab.expect(C, "ACK");
    (caller, c)
}

#[test]
fn credentials_and_assertions_do_not_pass_within_a_dialog_either() {
    let mut lab = trusting(&[]);
    let (mut caller, mut c) = talking(&mut lab);
    let ours = "Authorization: Digest username=\"1003\", realm=\"ringway\", response=\"42\"";
    let theirs = "Authorization: Digest username=\"1003\", realm=\"b\", response=\"42\"";
    let preferred = "P-Preferred-Identity: <sip:1@x>";
    caller.in_dialog(&mut lab, "INFO", &[ours, theirs, ASSERTED, preferred]);
    let info = lab.expect(C, "INFO");
    assert_eq!(info.one("Authorization"), theirs.split_once(": ").expect("a name").1);
    assert!(!info.has("P-Asserted-Identity") && !info.has("P-Preferred-Identity"));
    c.answer_with(&mut lab, &info, "200 OK", &[ASSERTED]);
    assert!(!lab.expect(A, "200 INFO").has("P-Asserted-Identity"));
    c.in_dialog(&mut lab, "INFO", &[ASSERTED]);
    let info = lab.expect(A, "INFO");
    assert!(!info.has("P-Asserted-Identity"));
    caller.respond(&mut lab, &info, "200 OK");
    lab.expect(C, "200 INFO");
    hang_up_and_finish(lab, caller, &c);
}

#[test]
fn among_trusted_peers_assertions_pass_within_a_dialog() {
    let mut lab = trusting(&[A, C]);
    let invite = invite(&mut lab, &[]);
    let mut caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(&mut lab, C);
    c.respond(&mut lab, "200 OK");
    caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    caller.in_dialog(&mut lab, "INFO", &[ASSERTED]);
    let info = lab.expect(C, "INFO");
    assert!(info.has("P-Asserted-Identity"));
    c.answer(&mut lab, &info, "200 OK");
    lab.expect(A, "200 INFO");
    hang_up_and_finish(lab, caller, &c);
}
