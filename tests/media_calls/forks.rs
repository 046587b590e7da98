//! Several phones at once, and several early dialogs of one.

use crate::lab::Lab;
use crate::lab::callee::Leg;
use crate::lab::caller::{Caller, Invite};
use crate::lab::group::{self, B1, B2, B3};
use crate::lab::media::{at, described, place};
use crate::lab::party::{Party, bye_and_finish};
use crate::lab::peer::{A, C, Peer, Setup};
use crate::lab::scene::{hang_up_and_finish, refuse_and_finish};
use crate::{A_PORT, C_PORT, End, anchored, assert_heard, calling};
use ringway::media::Dropped;

const PORT: u16 = 7_000;

/// A calls B's number, whose phones are these.
#[track_caller]
fn rings<const N: usize>(phones: [Peer; N], lines: &[&str]) -> (Lab, Caller, [Leg; N]) {
    let mut lab = anchored(|setup: &mut Setup| {
        setup.subscriber(group_number()).forwarding = ringway::directory::Forwarding::default();
        setup.only_registers(group_number());
        phones.into_iter().for_each(|phone| setup.bind(phone, 1_000));
    });
    let mut invite = Invite::new(&mut lab, A, B1.number).body(&described(A, A_PORT));
    invite.lines = lines.iter().map(|line| line.to_string()).collect();
    let caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let legs = phones.map(|phone| Leg::expect(&mut lab, phone));
    (lab, caller, legs)
}

const fn group_number() -> Peer {
    crate::lab::peer::B
}

fn end(leg: &Leg) -> End {
    End::new(leg.peer, PORT, &leg.invite.body)
}

#[track_caller]
fn progress(lab: &mut Lab, leg: &Leg) {
    leg.respond_with(lab, "183 Session Progress", &[], &described(leg.peer, PORT));
}

#[test]
fn each_phone_has_ports_of_its_own_and_only_the_one_that_is_heard_passes() {
    let (mut lab, mut caller, [b1, b2, b3]) = rings([B1, B2, B3], &[]);
    let [one, two, three] = [&b1, &b2, &b3].map(end);
    assert!(one.told != two.told && two.told != three.told && one.told != three.told);
    assert_eq!(lab.media_ports_used(), 4);
    progress(&mut lab, &b1);
    let a_end = End::new(A, A_PORT, &lab.expect(A, "183 INVITE").body);
    progress(&mut lab, &b2);
    b3.ring(&mut lab);
    lab.expect_nothing();
    assert_heard(&mut lab, a_end, one);
    assert!(lab.rtp(two.own, two.told).is_err());
    // The winner takes over; the others' ports come back.
    b2.respond_with(&mut lab, "200 OK", &[], &described(B2, PORT));
    assert_eq!(lab.rtp(one.own, one.told), Err(Dropped::Nowhere));
    b1.cancelled(&mut lab);
    let answer = caller.answered_and_acked(&mut lab);
    assert_eq!(place(&answer.body), a_end.told);
    lab.expect(B2, "ACK");
    b3.cancelled(&mut lab);
    assert_heard(&mut lab, a_end, two);
    assert_eq!(lab.media_ports_used(), 2);
    assert_eq!(lab.rtp(three.own, three.told), Err(Dropped::Stray));
    hang_up_and_finish(lab, caller, &b2);
}

#[test]
fn a_phone_that_fails_after_early_media_is_not_heard_while_another_rings() {
    let (mut lab, caller, [b1, b2]) = rings([B1, B2], &[]);
    let [one, two] = [&b1, &b2].map(end);
    progress(&mut lab, &b1);
    let a_end = End::new(A, A_PORT, &lab.expect(A, "183 INVITE").body);
    b2.ring(&mut lab);
    assert_heard(&mut lab, a_end, one);
    b1.reject(&mut lab, "486 Busy Here");
    lab.expect(A, "180 INVITE");
    assert_eq!(lab.rtp(one.own, one.told), Err(Dropped::Stray));
    assert_eq!(lab.rtp(a_end.own, a_end.told), Err(Dropped::Nowhere));
    // The other one only rings.
    assert_ne!(lab.played(500).len(), 0);
    progress(&mut lab, &b2);
    lab.expect(A, "183 INVITE");
    assert_eq!(lab.played(500).len(), 0);
    assert_heard(&mut lab, a_end, two);
    refuse_and_finish(lab, &caller, &b2);
}

#[test]
fn all_refuse_and_nothing_is_left() {
    let (mut lab, caller, [b1, b2]) = rings([B1, B2], &[]);
    progress(&mut lab, &b1);
    lab.expect(A, "183 INVITE");
    b2.reject(&mut lab, "486 Busy Here");
    b1.reject(&mut lab, "486 Busy Here");
    assert_eq!(lab.media_ports_used(), 0);
    caller.refused(&mut lab, 486);
    lab.finish();
}

#[test]
fn of_two_early_dialogs_behind_a_proxy_the_one_that_answers_counts() {
    // Neither answer reaches the caller reliably, and the 200 does not repeat it.
    let mut lab = anchored(|_| {});
    let (mut caller, first) = calling(&mut lab, C, &["Supported: 100rel"]);
    let c_end = End::new(C, C_PORT, &first.invite.body);
    let second = first.fork("other");
    first.reliable(&mut lab, "183 Session Progress", 1, &described(C, C_PORT));
    let told = lab.expect(A, "183 INVITE");
    let a_end = End::new(A, A_PORT, &told.body);
    let mut a = Party::caller(&caller, &told);
    let prack = a.prack(&mut lab, &told, "");
    let relayed = lab.expect(C, "PRACK");
    first.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &prack, 200);
    assert_heard(&mut lab, a_end, c_end);
    // The other one describes another place; the caller has an answer and is not told.
    second.reliable(&mut lab, "183 Session Progress", 1, &described(C, 5_500));
    let other = lab.expect(A, "183 INVITE");
    assert!(other.body.is_empty());
    if other.has("RSeq") {
        let prack = a.prack(&mut lab, &other, "");
        a.expect_response(&mut lab, &prack, 200);
    }
    let prack = lab.expect(C, "PRACK");
    second.answer(&mut lab, &prack, "200 OK");
    first.respond_with(&mut lab, "200 OK", &[], "");
    caller.cseq = a.cseq;
    let answer = caller.answered_and_acked(&mut lab);
    assert!(answer.body.is_empty());
    lab.expect(C, "ACK");
    assert_heard(&mut lab, a_end, c_end);
    assert_eq!(lab.rtp(at(C, 5_500), c_end.told), Err(Dropped::Source));
    bye_and_finish(lab, a, &Party::callee(&first));
}

#[test]
fn a_group_that_is_cancelled_gives_all_ports_back() {
    let (mut lab, caller, legs) = rings([B1, B2], &[]);
    progress(&mut lab, &legs[0]);
    lab.expect(A, "183 INVITE");
    legs[1].ring(&mut lab);
    caller.cancel(&mut lab);
    lab.expect(A, "200 CANCEL");
    caller.refused(&mut lab, 487);
    legs.iter().for_each(|leg| leg.cancelled(&mut lab));
    assert_eq!(lab.media_ports_used(), 0);
    lab.finish();
}

#[test]
fn more_phones_than_ports_ring_as_far_as_ports_go() {
    let mut lab = group_lab_with(3);
    let invite = Invite::new(&mut lab, A, B1.number).body(&described(A, A_PORT));
    let caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let legs = [B1, B2].map(|phone| Leg::expect(&mut lab, phone));
    lab.expect_nothing();
    assert_eq!(lab.media_ports_used(), 3);
    legs[0].reject(&mut lab, "486 Busy Here");
    refuse_and_finish(lab, &caller, &legs[1]);
}

fn group_lab_with(pairs: u16) -> Lab {
    anchored(|setup| {
        setup.media_pairs = pairs;
        setup.subscriber(group_number()).forwarding = ringway::directory::Forwarding::default();
        setup.only_registers(group_number());
        [B1, B2, B3].into_iter().for_each(|phone| setup.bind(phone, 1_000));
    })
}

#[test]
fn phones_of_a_group_that_forwards_are_cut_when_the_target_is_called() {
    let mut lab = anchored(|setup| {
        setup.only_registers(group_number());
        group::all().take(2).for_each(|phone| setup.bind(phone, 1_000));
    });
    let invite = Invite::new(&mut lab, A, B1.number).body(&described(A, A_PORT));
    let mut caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let [b1, b2] = [B1, B2].map(|phone| Leg::expect(&mut lab, phone));
    progress(&mut lab, &b1);
    let a_end = End::new(A, A_PORT, &lab.expect(A, "183 INVITE").body);
    b2.ring(&mut lab);
    lab.advance(20_000);
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    for leg in [&b1, &b2] {
        let gone = end(leg);
        assert!(lab.rtp(gone.own, gone.told).is_err());
        leg.cancelled(&mut lab);
    }
    c.respond_with(&mut lab, "200 OK", &[], &described(C, C_PORT));
    caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    let c_end = End::new(C, C_PORT, &c.invite.body);
    assert_heard(&mut lab, a_end, c_end);
    hang_up_and_finish(lab, caller, &c);
}

#[test]
fn no_tone_covers_early_media_that_is_heard_when_another_phone_rings() {
    let (mut lab, caller, [b1, b2]) = rings([B1, B2], &[]);
    progress(&mut lab, &b1);
    let a_end = End::new(A, A_PORT, &lab.expect(A, "183 INVITE").body);
    b1.respond(&mut lab, "180 Ringing");
    lab.expect(A, "180 INVITE");
    b2.respond(&mut lab, "180 Ringing");
    lab.sent();
    assert_eq!(lab.played(1_000).len(), 0);
    assert_heard(&mut lab, a_end, end(&b1));
    b1.reject(&mut lab, "486 Busy Here");
    refuse_and_finish(lab, &caller, &b2);
}
