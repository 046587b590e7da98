//! Several shards: every message of a call, on every leg, has the same owner, whichever shard it reaches
//! first. The laboratory offers each datagram to one shard in turn and hands it over as the shell would.

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::callee::Leg;
use lab::caller::{Caller, Invite};
use lab::peer::{A, B, C, D, Setup};
use lab::{Lab, scene};
use ringway::clock::Now;
use ringway::limits::SCAN_PADDING;
use ringway::outbox::ListenerId;
use ringway::shard::{Datagram, Owner};

fn four_shards(setup: &mut Setup) {
    setup.shards = 4;
}

/// A forwarded call from INVITE to BYE; the owner of each datagram.
fn owners_of_a_forwarded_call(lab: &mut Lab) -> Vec<usize> {
    let mut owners = Vec::new();
    let mut caller = Caller::call(lab, A, "1004");
    owners.push(lab.owner);
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(lab, B);
    for status in ["100 Trying", "180 Ringing"] {
        b.respond(lab, status);
        owners.push(lab.owner);
    }
    lab.expect(A, "180 INVITE");
    lab.advance(20_000);
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(lab, C);
    let cancel = lab.expect(B, "CANCEL");
    b.answer(lab, &cancel, "200 OK");
    owners.push(lab.owner);
    b.reject(lab, "487 Request Terminated");
    owners.push(lab.owner);
    c.respond(lab, "200 OK");
    owners.push(lab.owner);
    caller.answered_and_acked(lab);
    owners.push(lab.owner);
    lab.expect(C, "ACK");
    caller.bye(lab);
    owners.push(lab.owner);
    lab.expect(A, "200 BYE");
    c.hung_up(lab);
    owners.push(lab.owner);
    owners
}

#[test]
fn every_message_of_a_call_has_the_same_owner() {
    let mut lab = Lab::with(four_shards);
    let mut calls = [0; 4];
    for _ in 0..40 {
        let owners = owners_of_a_forwarded_call(&mut lab);
        assert!(owners.iter().all(|owner| *owner == owners[0]), "{owners:?}");
        calls[owners[0]] += 1;
    }
    assert!(calls.iter().all(|calls| *calls > 0), "all shards have work: {calls:?}");
    assert!(lab.metrics().handed_over > 0);
    for (shard, calls) in lab.shards.iter().zip(calls) {
        assert_eq!(shard.metrics().calls_started, calls);
    }
    lab.finish();
}

#[test]
fn a_callees_bye_and_a_callers_cancel_find_the_owner_too() {
    let mut lab = Lab::with(four_shards);
    for _ in 0..20 {
        let (caller, mut c) = scene::talking(&mut lab);
        let owner = lab.owner;
        c.bye(&mut lab);
        assert_eq!(lab.owner, owner);
        lab.expect(C, "200 BYE");
        let bye = lab.expect(A, "BYE");
        caller.respond(&mut lab, &bye, "200 OK");
        assert_eq!(lab.owner, owner);

        let (caller, b) = scene::ringing(&mut lab);
        let owner = lab.owner;
        caller.cancel(&mut lab);
        assert_eq!(lab.owner, owner);
        lab.expect(A, "200 CANCEL");
        caller.refused(&mut lab, 487);
        assert_eq!(lab.owner, owner);
        b.cancelled(&mut lab);
    }
    lab.finish();
}

#[test]
fn record_ids_branches_and_call_ids_of_different_shards_never_meet() {
    let mut lab = Lab::with(four_shards);
    let mut seen = std::collections::HashSet::new();
    for _ in 0..50 {
        let caller = Caller::call(&mut lab, A, "1006");
        lab.expect(A, "100 INVITE");
        let d = Leg::expect(&mut lab, D);
        let record_id = d.invite.one("Record-ID").to_string();
        for minted in
            [record_id, d.invite.branch.clone(), d.invite.call_id.clone(), d.invite.from_tag.clone()]
        {
            assert!(seen.insert(minted.clone()), "{minted} twice");
        }
        d.reject(&mut lab, "486 Busy Here");
        caller.refused(&mut lab, 486);
    }
    lab.finish();
}

#[test]
fn a_foreign_datagram_is_left_as_it_came_but_for_its_folds() {
    let mut lab = Lab::with(four_shards);
    let invite =
        Invite::new(&mut lab, A, "1004").text().replace("Max-Forwards: 30", "Subject: a\r\n b\r\n\tc");
    let mut here = 0;
    for number in 0..4 {
        let mut buffer = [invite.as_bytes(), &[0; SCAN_PADDING]].concat();
        let unfolded = [invite.replace("\r\n b\r\n\tc", "   b  \tc").as_bytes(), &[0; SCAN_PADDING]].concat();
        let datagram = Datagram {
            source: A.address,
            listener: ListenerId(0),
            buffer: &mut buffer,
            length: invite.len(),
        };
        let shard = &mut lab.shards[number];
        match shard.handle_datagram(Now::from_ms(0), datagram) {
            Owner::Here => here += 1,
            Owner::Shard(owner) => {
                assert_ne!(usize::from(owner), number);
                assert_eq!(buffer, unfolded);
                assert!(shard.outbox().is_empty() && shard.is_empty());
                assert_eq!(shard.metrics().handed_over, 1);
            }
        }
    }
    assert_eq!(here, 1, "exactly one shard takes it");
    lab.abandon();
}

#[test]
fn a_datagram_without_a_call_id_is_handled_where_it_comes() {
    let mut lab = Lab::with(four_shards);
    for text in ["\r\n\r\n", "hello", "OPTIONS sip:x@y SIP/2.0\r\n\r\n", "\0", "SIP/2.0 200 OK\r\n\r\n"] {
        for _ in 0..4 {
            lab.send(A, text);
        }
    }
    lab.expect_nothing();
    let metrics = lab.metrics();
    assert_eq!(metrics.handed_over, 0);
    assert_eq!((metrics.keepalives, metrics.not_sip, metrics.bad_messages_dropped), (8, 4, 8));
    lab.finish();
}

#[test]
fn a_bad_request_is_refused_by_whichever_shard_it_reaches() {
    let mut lab = Lab::with(four_shards);
    let text = Invite::new(&mut lab, A, "1004").text();
    // The scanner makes a blank of a lone CR: handed over, the request would look like a good one.
    for bad in ["Max-Forwards: x", "Subject: a\rb"] {
        for _ in 0..4 {
            lab.send(A, &text.replace("Max-Forwards: 30", bad));
        }
    }
    let answers = lab.trace.iter().filter(|entry| entry.way == lab::trace::Way::Out);
    assert!(answers.clone().all(|entry| entry.bytes.starts_with(b"SIP/2.0 400 ")));
    assert_eq!((answers.count(), lab.sent().len()), (8, 8));
    assert_eq!((lab.metrics().bad_requests_answered, lab.metrics().handed_over), (8, 0));
    lab.finish();
}
