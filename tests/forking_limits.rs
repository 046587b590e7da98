//! Groups that ask for more than there is room for: huge INVITEs to as many phones as a number can have, full
//! tables, full memory.

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::callee::Leg;
use lab::caller::{Caller, Invite};
use lab::group::{self, B1, B2, PHONES, phone};
use lab::peer::{A, B, C, Peer, Setup};
use lab::scene::{hang_up_and_finish, refuse_and_finish};

const ALL: fn() -> [Peer; PHONES] = || std::array::from_fn(|number| phone(number + 1));

/// B is reached at all its phones and its static contact.
fn all_phones(setup: &mut Setup) {
    ALL().iter().for_each(|&peer| setup.bind(peer, 1_000));
}

/// A calls B with a body of so many bytes.
fn call_with_bytes(lab: &mut Lab, bytes: usize) -> Caller {
    let body = format!("v=0\r\n{}\r\n", "a=x\r\n".repeat(bytes / 5));
    Invite::new(lab, A, B.number).body(&body).send(lab)
}

#[test]
fn sixty_kilobytes_go_to_all_phones_and_on_to_the_target() {
    let mut lab = Lab::with(all_phones);
    let caller = call_with_bytes(&mut lab, 60_000);
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    let legs = group::started(&mut lab, ALL());
    assert!(legs.iter().all(|leg| leg.invite.body == caller.invite.body));
    b.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    legs.iter().for_each(|leg| leg.ring(&mut lab));
    lab.expect_nothing();
    lab.advance(20_000);
    b.cancelled(&mut lab);
    legs.iter().for_each(|leg| leg.cancelled(&mut lab));
    lab.expect(A, "181 INVITE");
    let [c] = group::started(&mut lab, [C]);
    assert_eq!(c.invite.body, caller.invite.body);
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn an_invite_that_no_datagram_holds_with_our_header_fields_gets_513() {
    let mut lab = Lab::with(all_phones);
    let empty = Invite::new(&mut lab, A, B.number).body("").text().len();
    let caller = call_with_bytes(&mut lab, 65_500 - empty - 60);
    assert!((65_400..=65_507).contains(&caller.text.len()), "{}", caller.text.len());
    lab.expect(A, "100 INVITE");
    caller.refused(&mut lab, 513);
    lab.finish();
}

#[test]
fn when_memory_is_full_fewer_phones_ring_and_it_is_all_given_back() {
    let mut lab = Lab::with(|setup| {
        all_phones(setup);
        setup.settings.registration.pending_max = 1;
    });
    let mut callers = Vec::new();
    let mut legs: Vec<Leg> = Vec::new();
    // 17 INVITEs of 60 kB each take more than a megabyte.
    for _ in 0..8 {
        let caller = call_with_bytes(&mut lab, 60_000);
        let mut refused = false;
        for sent in lab.sent() {
            refused |= sent == "A 503 INVITE";
        }
        match refused {
            true => {
                let refusal = lab.last_to(A);
                lab.send(A, &caller.ack_refusal_text(&refusal));
            }
            false => callers.push(caller),
        }
    }
    assert!((2..8).contains(&callers.len()), "{} calls", callers.len());
    for peer in [B].into_iter().chain(ALL()) {
        let to_peer = lab.trace.iter().filter(|entry| entry.peer == peer.address);
        let invites: Vec<_> = to_peer.filter_map(|entry| entry.sip.clone()).collect();
        legs.extend(invites.into_iter().map(|invite| {
            let tag = format!("11{}", invite.cseq);
            Leg { peer, invite, tag, cseq: 222 }
        }));
    }
    for leg in &legs {
        leg.respond(&mut lab, "486 Busy Here");
    }
    let sent = lab.sent();
    assert_eq!(sent.iter().filter(|sent| *sent == "A 486 INVITE").count(), callers.len());
    for caller in &callers {
        let of_call = |entry: &&lab::trace::Entry| {
            entry
                .sip
                .as_ref()
                .is_some_and(|sip| sip.status == Some(486) && sip.call_id == caller.invite.call_id)
        };
        let refusal = lab.trace.iter().find(of_call).and_then(|entry| entry.sip.clone()).expect("a 486");
        lab.send(A, &caller.ack_refusal_text(&refusal));
    }
    // There is room for everybody again once the transactions have gone.
    lab.advance(40_000);
    lab.expect_nothing();
    let caller = call_with_bytes(&mut lab, 60_000);
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    let legs = group::started(&mut lab, ALL());
    legs.iter().for_each(|leg| drop(leg.reject(&mut lab, "486 Busy Here")));
    refuse_and_finish(lab, &caller, &b);
}

#[test]
fn when_the_table_of_transactions_is_full_the_phones_that_there_is_room_for_ring() {
    let mut lab = Lab::with(|setup| {
        all_phones(setup);
        setup.settings.max_transactions = 64;
    });
    let mut calls = Vec::new();
    loop {
        let caller = Caller::call(&mut lab, A, B.number);
        let sent = lab.sent();
        if sent == ["A 503 INVITE"] {
            let refusal = lab.last_to(A);
            lab.send(A, &caller.ack_refusal_text(&refusal));
            break;
        }
        assert!(sent.iter().any(|sent| sent.ends_with(" INVITE")), "{sent:?}");
        calls.push(caller);
    }
    assert_eq!(calls.len(), 4, "the fourth takes what is left");
    for caller in &calls {
        caller.cancel(&mut lab);
        lab.expect(A, "200 CANCEL");
        caller.refused(&mut lab, 487);
    }
    lab.advance(32_000);
    lab.sent();
    lab.finish();
}

#[test]
fn a_winner_in_a_full_table_of_transactions_talks_all_the_same() {
    let mut lab = Lab::with(|setup| {
        all_phones(setup);
        setup.settings.max_transactions = 64;
    });
    let mut caller = Caller::call(&mut lab, A, B.number);
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    let legs = group::started(&mut lab, ALL());
    let others = [Caller::call(&mut lab, C, B.number), Caller::call(&mut lab, C, B.number)];
    lab.sent();
    let third = Caller::call(&mut lab, C, B.number);
    lab.sent();
    b.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    legs.iter().for_each(|leg| leg.ring(&mut lab));
    // No record can be had for the CANCELs: each goes out once all the same.
    b.respond(&mut lab, "200 OK");
    for leg in &legs {
        leg.cancelled(&mut lab);
    }
    caller.answered_and_acked(&mut lab);
    lab.expect(B, "ACK");
    for other in others.iter().chain([&third]) {
        other.cancel(&mut lab);
    }
    lab.sent();
    for other in others.iter().chain([&third]) {
        let of_call = |entry: &&lab::trace::Entry| {
            let is_refusal =
                |sip: &lab::sip::Sip| sip.status == Some(487) && sip.call_id == other.invite.call_id;
            entry.sip.as_ref().is_some_and(is_refusal)
        };
        let refusal = lab.trace.iter().find(of_call).and_then(|entry| entry.sip.clone()).expect("a 487");
        lab.send(C, &other.ack_refusal_text(&refusal));
    }
    lab.advance(32_000);
    lab.sent();
    hang_up_and_finish(lab, caller, &b);
}

#[test]
fn a_draining_server_lets_a_group_ring_on() {
    let mut lab = group::lab(&[1_000, 500]);
    let (caller, [b1]) = group::call(&mut lab, [B1]);
    lab.shards.iter_mut().for_each(ringway::shard::Shard::drain);
    b1.reject(&mut lab, "486 Busy Here");
    let [b2] = group::started(&mut lab, [B2]);
    refuse_and_finish(lab, &caller, &b2);
}
