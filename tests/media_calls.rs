//! Calls whose media goes through the server's own ports: what each side is told, whose packets go where, and
//! when (SIP_RULES 15, 16, 18).

#[path = "media_calls/codes.rs"]
mod codes;
#[path = "media_calls/early.rs"]
mod early;
#[path = "media_calls/forks.rs"]
mod forks;
#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;
#[path = "media_calls/owed.rs"]
mod owed;
#[path = "media_calls/ports.rs"]
mod ports;
#[path = "media_calls/session.rs"]
mod session;
#[path = "media_calls/silence.rs"]
mod silence;

use lab::Lab;
use lab::callee::Leg;
use lab::caller::{Caller, Invite};
use lab::media::{at, described, place};
use lab::party::Party;
use lab::peer::{A, C, Peer, Setup};
use std::net::SocketAddr;

/// Where A and C have their media.
const A_PORT: u16 = 4_000;
const C_PORT: u16 = 5_000;

fn anchored(change: impl FnOnce(&mut Setup)) -> Lab {
    Lab::with(|setup| {
        setup.anchor();
        change(setup);
    })
}

/// A calls somebody, with these lines in its INVITE.
#[track_caller]
fn calling(lab: &mut Lab, callee: Peer, lines: &[&str]) -> (Caller, Leg) {
    calling_with(lab, callee, lines, &described(A, A_PORT))
}

#[track_caller]
fn calling_with(lab: &mut Lab, callee: Peer, lines: &[&str], body: &str) -> (Caller, Leg) {
    let mut invite = Invite::new(lab, A, callee.number).body(body);
    invite.lines = lines.iter().map(|line| line.to_string()).collect();
    let caller = invite.send(lab);
    lab.expect(A, "100 INVITE");
    let leg = Leg::expect(lab, callee);
    (caller, leg)
}

/// A party's media: where it has it, and the server's port that it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    own: SocketAddr,
    told: SocketAddr,
}

impl End {
    #[track_caller]
    fn new(peer: Peer, port: u16, body: &str) -> End {
        End { own: at(peer, port), told: place(body) }
    }
}

/// Audio passes both ways.
#[track_caller]
fn assert_heard(lab: &mut Lab, one: End, other: End) {
    assert_eq!(lab.rtp(one.own, one.told), Ok((other.told, other.own)));
    assert_eq!(lab.rtp(other.own, other.told), Ok((one.told, one.own)));
}

/// A and C in a call that C has answered.
struct Talk {
    lab: Lab,
    a: Party,
    c: Party,
    a_end: End,
    c_end: End,
}

impl Talk {
    #[track_caller]
    fn new() -> Talk {
        Talk::in_lab(anchored(|_| {}))
    }

    #[track_caller]
    fn in_lab(lab: Lab) -> Talk {
        Talk::with(lab, &described(A, A_PORT), &described(C, C_PORT))
    }

    #[track_caller]
    fn with(mut lab: Lab, offer: &str, answer: &str) -> Talk {
        let (mut caller, leg) = calling_with(&mut lab, C, &[], offer);
        let c_end = End::new(C, C_PORT, &leg.invite.body);
        leg.respond_with(&mut lab, "200 OK", &[], answer);
        let answer = caller.answered_and_acked(&mut lab);
        let a_end = End::new(A, A_PORT, &answer.body);
        lab.expect(C, "ACK");
        lab.expect_nothing();
        let (a, c) = (Party::caller(&caller, &answer), Party::callee(&leg));
        Talk { lab, a, c, a_end, c_end }
    }

    /// A asks and C answers: what C and A are told.
    #[track_caller]
    fn offer(&mut self, offer: &str, answer: &str) -> (String, String) {
        renegotiated(&mut self.lab, (&mut self.a, offer), (&self.c, answer))
    }

    /// The other way round: what A and C are told.
    #[track_caller]
    fn offer_back(&mut self, offer: &str, answer: &str) -> (String, String) {
        renegotiated(&mut self.lab, (&mut self.c, offer), (&self.a, answer))
    }

    #[track_caller]
    fn assert_heard(&mut self) {
        assert_heard(&mut self.lab, self.a_end, self.c_end);
    }

    #[track_caller]
    fn finish(mut self) {
        self.lab.advance(10);
        lab::party::bye_and_finish(self.lab, self.a, &self.c);
    }
}

/// A re-INVITE with its answer: what the other side and the asker are told.
#[track_caller]
fn renegotiated(
    lab: &mut Lab,
    (asker, offer): (&mut Party, &str),
    (other, answer): (&Party, &str),
) -> (String, String) {
    let invite = asker.invite(lab, offer);
    asker.expect_response(lab, &invite, 100);
    let relayed = other.expect(lab, "INVITE");
    other.respond(lab, &relayed, "200 OK", &[], answer);
    let accepted = asker.expect_response(lab, &invite, 200);
    asker.ack(lab, &invite, "");
    other.expect(lab, "ACK");
    (relayed.body, accepted.body)
}
