//! The same seed and the same input give the same bytes out; the pace at which the shell looks at the
//! clock changes nothing.

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::callee::Leg;
use lab::caller::{Caller, request};
use lab::peer::{A, B, C, Setup};
use lab::trace::Way;

/// Two calls at once, one of them forwarded, with losses and a bad request; lets time pass by `pass`.
fn played(change: impl FnOnce(&mut Setup), pass: impl Fn(&mut Lab, u64)) -> Vec<(u64, Vec<u8>)> {
    let mut lab = Lab::with(change);
    let mut caller = Caller::call(&mut lab, A, "1004");
    let other = Caller::call(&mut lab, A, "1005");
    lab.sent_to(A);
    lab.expect(A, "100 INVITE");
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    let busy = Leg::expect(&mut lab, C);
    pass(&mut lab, 2_000);
    b.ring(&mut lab);
    busy.respond(&mut lab, "486 Busy Here");
    let options = request(&mut lab, A, "OPTIONS", "1004").text();
    lab.send(A, &options);
    pass(&mut lab, 25_000);
    lab.sent();
    other.resend(&mut lab);
    let c = invited(&lab);
    c.respond(&mut lab, "200 OK");
    lab.sent();
    pass(&mut lab, 5_000);
    caller.answer = Some(lab.last_to(A));
    caller.ack(&mut lab, "");
    caller.bye(&mut lab);
    pass(&mut lab, 100_000);
    lab.sent();
    let out = lab.trace.iter().filter(|entry| entry.way == Way::Out);
    let out = out.map(|entry| (entry.at_ms, entry.bytes.clone())).collect();
    lab.finish();
    out
}

/// C's second leg: the one that B's call was forwarded to.
fn invited(lab: &Lab) -> Leg {
    let forwarded = lab.trace.iter().filter(|entry| entry.summary() == "C INVITE");
    let invite = forwarded.filter_map(|entry| entry.sip.clone()).find(|invite| invite.has("Diversion"));
    Leg { peer: C, invite: invite.expect("the forwarded INVITE"), tag: "7".into(), cseq: 1 }
}

fn at_once(lab: &mut Lab, ms: u64) {
    lab.advance(ms);
}

#[test]
fn the_same_seed_and_input_give_the_same_bytes() {
    let first = played(|_| {}, at_once);
    assert!(first.len() > 40, "{} messages", first.len());
    assert_eq!(first, played(|_| {}, at_once));
}

#[test]
fn the_pace_of_time_changes_nothing() {
    let first = played(|_| {}, at_once);
    let by_steps_of = |step: u64| {
        move |lab: &mut Lab, ms: u64| {
            let end = lab.now_ms() + ms;
            while lab.now_ms() < end {
                lab.advance((end - lab.now_ms()).min(step));
            }
        }
    };
    for step in [1, 7, 8, 501] {
        assert_eq!(first, played(|_| {}, by_steps_of(step)), "steps of {step} ms");
    }
}

#[test]
fn another_seed_gives_other_tags_branches_and_call_ids() {
    let first = played(|_| {}, at_once);
    let other = played(|setup| setup.secret = 100, at_once);
    assert_eq!(first.len(), other.len());
    let times = |out: &[(u64, Vec<u8>)]| -> Vec<u64> { out.iter().map(|(at_ms, _)| *at_ms).collect() };
    assert_eq!(times(&first), times(&other));
    assert!(
        first.iter().zip(&other).all(|((_, left), (_, right))| left != right),
        "each bears something minted"
    );
}
