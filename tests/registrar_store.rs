//! What a shard does while the store is asked: it waits for a while, and never for ever.

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::callee::Leg;
use lab::caller::Caller;
use lab::keeper::Mood;
use lab::peer::{A, B, C};
use lab::phone::Phone;
use lab::scene::{hang_up_and_finish, ringing};
use ringway::registrar::Refusal;
use ringway::shard::Shard;

const CONTACT: &str = "<sip:1004@127.0.0.136:5060>";

#[test]
fn the_200_goes_out_when_the_store_has_it_and_not_before() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    lab.keeper.mood = Mood::Holds;
    let text = phone.next(&mut lab, CONTACT, &[]);
    lab.send(B, &text);
    lab.advance(1_000);
    // Repetitions wait as well, and ask nobody again.
    lab.send(B, &text);
    lab.expect_nothing();
    assert_eq!((lab.keeper.held.len(), lab.unfinished()), (1, 1));
    lab.release_letters();
    let answer = lab.expect(B, "200 REGISTER");
    // From when it came to now.
    assert_eq!(answer.one("Contact"), format!("{CONTACT};expires=3599"));
    assert_eq!(lab.unfinished(), 0);
    lab.advance(5_000);
    lab.expect_nothing();
    lab.finish();
}

#[test]
fn a_store_that_says_nothing_makes_a_503_and_its_late_mail_is_dropped() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    lab.keeper.mood = Mood::Holds;
    let text = phone.next(&mut lab, CONTACT, &[]);
    lab.send(B, &text);
    lab.advance(1_992);
    lab.expect_nothing();
    lab.advance(8);
    let refusal = lab.expect(B, "503 REGISTER");
    assert_eq!(refusal.one("Retry-After"), "5");
    assert!(!refusal.has("Contact"));
    lab.release_letters();
    lab.expect_nothing();
    assert_eq!((lab.metrics().registrations_unavailable, lab.metrics().late_mail), (1, 1));
    // The REGISTER has its answer, which stays the same.
    lab.send(B, &text);
    assert_eq!(lab.expect(B, "503 REGISTER"), refusal);
    // The store made the change all the same: the phone, which comes again, finds itself.
    lab.keeper.mood = Mood::Works;
    assert_eq!(phone.registers(&mut lab, CONTACT).list("Contact").len(), 1);
    lab.finish();
}

#[test]
fn mail_for_a_register_that_was_given_up_is_not_taken_for_the_next() {
    let mut lab = Lab::with(|setup| setup.settings.registration.pending_max = 1);
    let mut phone = Phone::new(&mut lab, B);
    lab.keeper.mood = Mood::Holds;
    phone.send(&mut lab, CONTACT, &[]);
    lab.advance(2_000);
    lab.expect(B, "503 REGISTER");
    // The next one has the same place in the table.
    phone.send(&mut lab, CONTACT, &[]);
    let (shard, letter) = lab.keeper.held.remove(0);
    let mail = lab.keeper.answer(letter, lab.unix()).expect("an answer");
    lab.deliver(shard, mail);
    lab.expect_nothing();
    lab.release_letters();
    lab.expect(B, "200 REGISTER");
    assert_eq!(lab.metrics().late_mail, 1);
    lab.finish();
}

#[test]
fn the_wait_is_settable() {
    let mut lab = Lab::with(|setup| setup.settings.registration.store_timeout_ms = 400);
    lab.keeper.mood = Mood::Holds;
    Phone::new(&mut lab, B).send(&mut lab, CONTACT, &[]);
    lab.advance(400);
    lab.expect(B, "503 REGISTER");
    lab.finish();
}

#[test]
fn a_store_that_cannot_write_makes_a_503_at_once() {
    let mut lab = Lab::with(|setup| setup.settings.retry_after_s = 17);
    let mut phone = Phone::new(&mut lab, B);
    phone.registers(&mut lab, CONTACT);
    lab.keeper.mood = Mood::Refuses(Refusal::Unavailable);
    let refusal = phone.gets(&mut lab, ("<sip:b@127.0.0.136>", &[]), 503);
    assert_eq!(refusal.one("Retry-After"), "17");
    assert_eq!(lab.metrics().registrations_unavailable, 1);
    // What is bound is still told, and called.
    assert_eq!(phone.fetches(&mut lab).len(), 1);
    lab.finish();
}

#[test]
fn a_subscriber_that_was_taken_away_meanwhile_is_not_found() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    lab.keeper.mood = Mood::Holds;
    phone.send(&mut lab, CONTACT, &[]);
    lab.keeper.remove("1004");
    lab.release_letters();
    lab.expect(B, "404 REGISTER");
    lab.finish();
}

#[test]
fn a_subscriber_that_is_taken_away_after_its_change_is_told_of_no_bindings() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    lab.keeper.mood = Mood::Holds;
    phone.send(&mut lab, CONTACT, &[]);
    let (shard, letter) = lab.keeper.held.remove(0);
    let mail = lab.keeper.answer(letter, lab.unix()).expect("an answer");
    lab.keeper.remove("1004");
    lab.deliver(shard, mail);
    assert!(!lab.expect(B, "200 REGISTER").has("Contact"));
    lab.finish();
}

#[test]
fn when_as_many_wait_as_may_the_next_is_refused_at_once() {
    let mut lab = Lab::with(|setup| setup.settings.registration.pending_max = 2);
    lab.keeper.mood = Mood::Holds;
    let (mut first, mut second, mut third) =
        (Phone::new(&mut lab, A), Phone::new(&mut lab, B), Phone::new(&mut lab, C));
    first.send(&mut lab, "<sip:1003@127.0.0.137>", &[]);
    second.send(&mut lab, "<sip:1004@127.0.0.136>", &[]);
    let transactions = lab.transactions();
    let refusal = third.gets(&mut lab, ("<sip:1005@127.0.0.138>", &[]), 503);
    assert_eq!(refusal.one("Retry-After"), "5");
    assert_eq!((lab.transactions(), lab.metrics().refused_full), (transactions, 1));
    // Who only asks waits for nobody.
    third.fetches(&mut lab);
    lab.release_letters();
    lab.expect(A, "200 REGISTER");
    lab.expect(B, "200 REGISTER");
    third.send(&mut lab, "<sip:1005@127.0.0.138>", &[]);
    lab.release_letters();
    lab.expect(C, "200 REGISTER");
    lab.finish();
}

#[test]
fn an_eighth_of_the_transactions_is_kept_for_calls_that_live() {
    let mut lab = Lab::with(|setup| setup.settings.max_transactions = 64);
    let mut phone = Phone::new(&mut lab, B);
    for _ in 0..56 {
        phone.registers(&mut lab, CONTACT);
    }
    phone.gets(&mut lab, (CONTACT, &[]), 503);
    assert_eq!((lab.transactions(), lab.metrics().refused_full), (56, 1));
    lab.advance(32_000);
    phone.registers(&mut lab, CONTACT);
    lab.finish();
}

#[test]
fn a_server_that_stops_registers_while_calls_live_and_waits_for_what_is_on_its_way() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    let caller = Caller::call(&mut lab, A, "1005");
    lab.expect(A, "100 INVITE");
    let leg = Leg::expect(&mut lab, C);
    lab.shards.iter_mut().for_each(Shard::drain);
    phone.registers(&mut lab, CONTACT);
    lab.keeper.mood = Mood::Holds;
    phone.send(&mut lab, CONTACT, &[]);
    leg.reject(&mut lab, "486 Busy Here");
    caller.refused(&mut lab, 486);
    assert_eq!(lab.calls(), 0);
    assert!(lab.unfinished() > 0);
    // Now nothing but phones would keep it from ending.
    phone.gets(&mut lab, (CONTACT, &[]), 503);
    lab.release_letters();
    lab.expect(B, "200 REGISTER");
    lab.finish();
}

#[test]
fn calls_go_on_while_the_store_is_silent() {
    let mut lab = Lab::new();
    lab.keeper.mood = Mood::Holds;
    let mut phone = Phone::new(&mut lab, C);
    phone.send(&mut lab, "<sip:1005@127.0.0.138>", &[]);
    let (mut caller, b) = ringing(&mut lab);
    b.respond(&mut lab, "200 OK");
    caller.answered_and_acked(&mut lab);
    lab.expect(B, "ACK");
    lab.release_letters();
    lab.expect(C, "200 REGISTER");
    hang_up_and_finish(lab, caller, &b);
}
