//! What the operator sees of calls that live, and how it ends them.

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::STARTED;
use lab::callee::Leg;
use lab::caller::{Caller, Invite};
use lab::peer::{A, B, C};
use lab::scene::{answered, diverted, ringing, talking};
use ringway::clock::UnixSeconds;
use ringway::mail::{Letter, LiveCall, Mail, Stage};
use ringway::slab::Handle;

/// All calls of a shard, asked for so many at a time.
fn calls(lab: &mut Lab, shard: usize, limit: u16) -> Vec<LiveCall> {
    let mut all = Vec::new();
    let mut from = Some(0);
    while let Some(place) = from {
        let letters = lab.mail(shard, Mail::Calls { ticket: 7, from: place, limit });
        let [Letter::Calls { ticket: 7, calls, next }] = &letters[..] else { panic!("{letters:?}") };
        assert!(calls.len() <= usize::from(limit) && next.is_none_or(|next| next > place));
        all.extend(calls.iter().cloned());
        from = *next;
    }
    all
}

/// The only call there is, which is described alike by itself.
#[track_caller]
fn only_call(lab: &mut Lab) -> LiveCall {
    let listed = calls(lab, 0, 100);
    let [call] = &listed[..] else { panic!("{listed:?}") };
    let described = Letter::Call { ticket: 8, call: Some(Box::new(call.clone())) };
    assert_eq!(lab.mail(0, Mail::Call { ticket: 8, call: call.handle }), [described]);
    call.clone()
}

/// Ends a call; whether there was one.
fn hang_up(lab: &mut Lab, call: Handle) -> bool {
    let letters = lab.mail(0, Mail::HangUp { ticket: 9, call });
    let [Letter::HungUp { ticket: 9, found }] = letters[..] else { panic!("{letters:?}") };
    found
}

fn stages(call: &LiveCall) -> Vec<(String, Stage)> {
    call.legs.iter().map(|leg| (leg.destination.to_string(), leg.stage)).collect()
}

#[test]
fn a_call_is_seen_from_its_beginning_to_its_end() {
    let mut lab = Lab::new();
    assert_eq!(calls(&mut lab, 0, 10), []);
    lab.advance(5_000);
    let caller = Caller::call(&mut lab, A, B.number);
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    let call = only_call(&mut lab);
    assert_eq!(call.stage, Stage::Trying);
    assert_eq!((&*call.caller, &*call.called), ("1003", "1004"));
    assert_eq!(call.source, A.address);
    assert!(call.diverted_by.is_empty());
    assert_eq!(*call.record_id, *b.invite.one("Record-ID"));
    assert_eq!(call.started_at, UnixSeconds(STARTED.0 + 5));
    assert_eq!(call.answered_at, None);
    b.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    assert_eq!(only_call(&mut lab).stage, Stage::Ringing);

    lab.advance(20_000);
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    let call = only_call(&mut lab);
    assert_eq!((&*call.caller, &*call.called), ("1003", "1005"));
    assert_eq!(call.diverted_by, [Box::<str>::from("1004")]);
    let (b_address, c_address) = (B.address.to_string(), C.address.to_string());
    assert_eq!(stages(&call), [(b_address, Stage::Ending), (c_address.clone(), Stage::Trying)]);
    b.cancelled(&mut lab);

    let mut caller = caller;
    c.respond(&mut lab, "200 OK");
    let call = only_call(&mut lab);
    assert_eq!((call.stage, call.answered_at), (Stage::Answered, Some(UnixSeconds(STARTED.0 + 25))));
    caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    lab.advance(9_000);
    let call = only_call(&mut lab);
    assert_eq!(call.stage, Stage::Talking);
    assert_eq!(stages(&call), [(c_address, Stage::Talking)]);
    assert_eq!((&*call.called, call.answered_at), ("1005", Some(UnixSeconds(STARTED.0 + 25))));

    caller.bye(&mut lab);
    lab.expect(A, "200 BYE");
    assert_eq!(only_call(&mut lab).stage, Stage::Ending);
    c.hung_up(&mut lab);
    assert_eq!(calls(&mut lab, 0, 10), []);
    assert_eq!(
        lab.mail(0, Mail::Call { ticket: 1, call: call.handle }),
        [Letter::Call { ticket: 1, call: None }]
    );
    lab.finish();
}

#[test]
fn a_caller_without_a_number_has_none() {
    let mut lab = Lab::new();
    let mut invite = Invite::new(&mut lab, A, C.number);
    invite.from = "<sip:127.0.0.137>;tag=1".into();
    let caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(&mut lab, C);
    let call = only_call(&mut lab);
    assert_eq!((&*call.caller, &*call.called), ("", "1005"));
    lab::scene::refuse_and_finish(lab, &caller, &c);
}

#[test]
fn many_calls_are_listed_page_by_page_each_once() {
    let mut lab = Lab::with(|setup| setup.shards = 2);
    let callers: Vec<Caller> = (0..30).map(|_| Caller::call(&mut lab, A, C.number)).collect();
    let legs: Vec<Leg> = (0..30).map(|_| Leg::expect(&mut lab, C)).collect();
    callers.iter().for_each(|_| drop(lab.expect(A, "100 INVITE")));
    let listed: Vec<Vec<LiveCall>> = (0..2).map(|shard| calls(&mut lab, shard, 7)).collect();
    assert_eq!(listed[0].len() + listed[1].len(), 30);
    assert!(listed.iter().all(|calls| !calls.is_empty()));
    let mut ids: Vec<_> = listed.iter().flatten().map(|call| call.record_id.clone()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 30);
    for leg in &legs {
        leg.reject(&mut lab, "486 Busy Here");
        let call_id = lab.last_to(A).one("Call-ID").to_owned();
        let caller = callers.iter().find(|caller| caller.invite.call_id == call_id).expect("its caller");
        caller.refused(&mut lab, 486);
    }
    lab.finish();
}

#[test]
fn a_call_that_talks_is_hung_up_on_both_sides_with_the_reason() {
    let mut lab = Lab::new();
    let (caller, c) = talking(&mut lab);
    let call = only_call(&mut lab).handle;
    assert!(hang_up(&mut lab, call));
    let to_a = lab.expect(A, "BYE");
    let to_c = lab.expect(C, "BYE");
    for bye in [&to_a, &to_c] {
        assert_eq!(bye.one("Reason"), "SIP;cause=480;text=\"Ended by the operator\"");
    }
    assert!(!hang_up(&mut lab, call), "it is ending");
    caller.respond(&mut lab, &to_a, "200 OK");
    c.answer(&mut lab, &to_c, "200 OK");
    assert!(!hang_up(&mut lab, call), "it has ended");
    assert_eq!(lab.metrics().calls_hung_up, 1);
    assert_eq!(lab.calls(), 0);
    lab.finish();
}

#[test]
fn a_call_that_rings_ends_with_480_and_cancel() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    let call = only_call(&mut lab).handle;
    assert!(hang_up(&mut lab, call));
    caller.refused(&mut lab, 480);
    let cancel = lab.last_to(B);
    assert_eq!(cancel.one("Reason"), "SIP;cause=480;text=\"Ended by the operator\"");
    b.cancelled(&mut lab);
    assert_eq!(lab.calls(), 0);
    lab.finish();
}

#[test]
fn a_call_that_was_forwarded_is_not_forwarded_again_when_it_is_ended() {
    let mut lab = Lab::new();
    let (caller, b, c) = diverted(&mut lab);
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    let call = only_call(&mut lab).handle;
    assert!(hang_up(&mut lab, call));
    caller.refused(&mut lab, 480);
    b.cancelled(&mut lab);
    c.cancelled(&mut lab);
    lab.finish();
}

#[test]
fn a_call_whose_200_is_not_acknowledged_is_hung_up_when_the_ack_comes() {
    let mut lab = Lab::new();
    let (mut caller, c) = answered(&mut lab);
    let call = only_call(&mut lab).handle;
    assert!(hang_up(&mut lab, call));
    lab.expect(C, "ACK");
    c.hung_up(&mut lab);
    caller.answered_and_acked(&mut lab);
    let bye = lab.expect(A, "BYE");
    caller.respond(&mut lab, &bye, "200 OK");
    lab.finish();
}

#[test]
fn a_call_that_nobody_has_is_not_found() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    let call = only_call(&mut lab).handle;
    for stranger in [Handle { index: 99, generation: 1 }, Handle { generation: call.generation + 1, ..call }]
    {
        assert!(!hang_up(&mut lab, stranger));
    }
    lab::scene::refuse_and_finish(lab, &caller, &b);
}
