//! What those behind a diversion are told of it, every header field as it stands on the wire (SIP_RULES 10
//! to 12, 14): Diversion (RFC 5806), History-Info (RFC 7044), and from one into the other (RFC 7544).

#[path = "history/bounds.rs"]
mod bounds;
#[path = "history/caller.rs"]
mod caller;
#[path = "history/flows.rs"]
mod flows;
#[path = "history/identity.rs"]
mod identity;
#[expect(dead_code, reason = "the fuzz targets use the rest")]
#[path = "fuzz/src/input.rs"]
mod input;
#[path = "history/interworking.rs"]
mod interworking;
#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;
#[path = "history/own.rs"]
mod own;
#[path = "history/privacy.rs"]
mod privacy;
#[path = "fuzz/src/history.rs"]
mod promises;
#[path = "history/properties.rs"]
mod properties;

use lab::Lab;
use lab::callee::Leg;
use lab::caller::{Caller, Invite};
use lab::peer::{A, B, C, Peer, Setup};
use lab::scene::refuse_and_finish;
use lab::sip::Sip;
use ringway::directory::HistoryForm;
use ringway::service::{AssertedParty, Peer as Known};

const DIVERSION: HistoryForm = HistoryForm::Diversion;
const HISTORY_INFO: HistoryForm = HistoryForm::HistoryInfo;
const BOTH: HistoryForm = HistoryForm::Both;
const NONE: HistoryForm = HistoryForm::None;

/// All legs are told in one form.
fn form(form: HistoryForm) -> impl FnOnce(&mut Setup) {
    move |setup| setup.settings.forwarding.history = form
}

fn trust(setup: &mut Setup, peer: Peer) {
    let network = peer.address.ip().to_string().parse().expect("a network");
    setup.settings.auth.trusted.push(network);
}

/// What `--peer` sets for a peer's address.
fn know(setup: &mut Setup, peer: Peer, history: Option<HistoryForm>, identity: AssertedParty) {
    let network = peer.address.ip().to_string().parse().expect("a network");
    setup.settings.forwarding.peers.push(Known { network, history, identity });
}

/// A calls B with these header lines.
#[track_caller]
fn called(lab: &mut Lab, lines: &[&str]) -> (Caller, Leg) {
    let mut invite = Invite::new(lab, A, B.number);
    invite.lines = lines.iter().map(|line| line.to_string()).collect();
    let caller = invite.send(lab);
    lab.expect(A, "100 INVITE");
    (caller, Leg::expect(lab, B))
}

/// The INVITE to B of such a call.
#[track_caller]
fn passed_on(change: impl FnOnce(&mut Setup), lines: &[&str]) -> Sip {
    let mut lab = Lab::with(change);
    let (caller, b) = called(&mut lab, lines);
    b.respond(&mut lab, "100 Trying");
    b.reject(&mut lab, "603 Decline");
    caller.refused(&mut lab, 603);
    lab.finish();
    b.invite
}

/// The INVITE to C of such a call, which B does not answer.
#[track_caller]
fn forwarded(change: impl FnOnce(&mut Setup), lines: &[&str]) -> Sip {
    let mut lab = Lab::with(change);
    let (caller, b) = called(&mut lab, lines);
    b.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    lab.advance(20_000);
    b.cancelled(&mut lab);
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    refuse_and_finish(lab, &caller, &c);
    c.invite
}

/// What an INVITE tells: its Diversion fields, its History-Info entries.
#[track_caller]
fn tells(invite: &Sip, diversions: &[&str], entries: &[&str]) {
    assert_eq!(invite.all("Diversion"), diversions, "{}", invite.text());
    assert_eq!(invite.list("History-Info"), entries, "{}", invite.text());
}

/// The datagram as the scanner wants it: with zeros behind.
fn padded(datagram: &[u8]) -> Vec<u8> {
    [datagram, &[0; ringway::limits::SCAN_PADDING]].concat()
}

/// Bytes as a failure prints them.
fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\r\\n", "\n")
}
