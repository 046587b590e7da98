//! The records of a call's legs (CDR): which a call makes, and what they say. What every test's records must
//! obey stands in `lab/audit/records.rs`.

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::callee::Leg;
use lab::caller::{Caller, Invite};
use lab::group::{self, B1, B2};
use lab::peer::{A, B, C, D};
use lab::{Lab, STARTED, T1X64_MS, scene};
use ringway::clock::UnixMs;
use ringway::directory::Condition;
use ringway::mail::{Mail, Stage};
use ringway::slab::Handle;

/// A calls B, who rings for its 20 s; C answers after 4 s and hangs up after a minute.
fn forwarded_call() -> Lab {
    let mut lab = Lab::new();
    let (mut caller, b, mut c) = scene::diverted(&mut lab);
    b.cancelled(&mut lab);
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    lab.advance(4_000);
    c.respond(&mut lab, "200 OK");
    caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    lab.advance(60_000);
    c.bye(&mut lab);
    lab.expect(C, "200 BYE");
    let bye = lab.expect(A, "BYE");
    caller.respond(&mut lab, &bye, "200 OK");
    lab
}

#[test]
fn a_forwarded_call_has_a_record_of_each_leg_and_the_callers_last() {
    let lab = forwarded_call();
    let expected = [
        "1 1004 0+20000 487 ringway no answer",
        "2 1005 20000+64000 200 callee bye",
        "0 1004 0+84000 200 callee bye",
    ];
    assert_eq!(lab.recorded(), expected);
    let [b, c, a] = [0, 1, 2].map(|place| lab.records[place].leg.clone());
    assert_eq!(
        [b.names.chain(), c.names.chain(), a.names.chain()],
        ["", "1004;no-answer;1005", "1004;no-answer;1005"]
    );
    let started = STARTED.0 * 1_000;
    assert_eq!((b.ring_at, b.answer_at), (Some(started), None));
    assert_eq!((c.ring_at, c.answer_at), (Some(started + 20_000), Some(started + 24_000)));
    assert_eq!((a.ring_at, a.answer_at), (Some(started), Some(started + 24_000)));
    for leg in [&a, &b, &c] {
        assert_eq!(
            (leg.names.caller(), leg.names.record_id(), leg.local),
            ("1003", a.names.record_id(), lab::peer::SERVER)
        );
    }
    assert_eq!([a.peer, b.peer, c.peer], [A, B, C].map(|peer| peer.address));
    lab.finish();
}

#[test]
fn times_are_the_calendars_and_a_calendar_that_is_set_changes_no_duration() {
    let mut lab = Lab::new();
    let started = STARTED.0 * 1_000 + 607;
    lab.set_calendar(UnixMs(started));
    let (caller, b) = scene::ringing(&mut lab);
    lab.advance(393);
    b.reject(&mut lab, "486 Busy Here");
    caller.refused(&mut lab, 486);
    let times: Vec<(u64, u64)> = lab.records.iter().map(|one| (one.leg.setup_at, one.leg.end_at)).collect();
    assert_eq!(times, [(started, started + 393); 2]);

    let (caller, mut c) = scene::talking(&mut lab);
    lab.advance(10_000);
    let hour_back = started - 3_600_000;
    lab.set_calendar(UnixMs(hour_back));
    lab.advance(5_000);
    c.bye(&mut lab);
    lab.expect(C, "200 BYE");
    let bye = lab.expect(A, "BYE");
    caller.respond(&mut lab, &bye, "200 OK");
    let times: Vec<(u64, u64)> =
        lab.records[2..].iter().map(|one| (one.leg.setup_at, one.leg.end_at)).collect();
    assert_eq!(times, [(hour_back + 393, hour_back + 15_393); 2]);
    // The audit goes by the calendar that the laboratory began with.
    for (place, one) in lab.records.iter_mut().enumerate() {
        let off = if place < 2 { started } else { hour_back };
        let leg = &mut one.leg;
        let times =
            [Some(&mut leg.setup_at), leg.ring_at.as_mut(), leg.answer_at.as_mut(), Some(&mut leg.end_at)];
        times.into_iter().flatten().for_each(|time| *time = *time - off + STARTED.0 * 1_000);
    }
    lab.finish();
}

#[test]
fn without_the_setting_nothing_is_posted() {
    let mut lab = Lab::with(|setup| setup.settings.records = false);
    let (caller, c) = scene::ringing(&mut lab);
    c.reject(&mut lab, "486 Busy Here");
    caller.refused(&mut lab, 486);
    assert!(lab.recorded().is_empty());
    lab.finish();
}

#[test]
fn the_callers_cancel_and_bye_end_both_sides() {
    let mut lab = Lab::new();
    let (caller, b) = scene::ringing(&mut lab);
    lab.advance(3_000);
    caller.cancel(&mut lab);
    lab.expect(A, "200 CANCEL");
    caller.refused(&mut lab, 487);
    b.cancelled(&mut lab);
    assert_eq!(lab.recorded(), ["1 1004 0+3000 487 caller cancel", "0 1004 0+3000 487 caller cancel"]);
    lab.finish();

    let mut lab = Lab::new();
    let (mut caller, c) = scene::talking(&mut lab);
    lab.advance(7_000);
    caller.bye(&mut lab);
    lab.expect(A, "200 BYE");
    let bye = lab.expect(C, "BYE");
    // Its answer comes late: the call was over before.
    lab.advance(300);
    c.answer(&mut lab, &bye, "200 OK");
    assert_eq!(lab.recorded(), ["1 1005 0+7000 200 caller bye", "0 1005 0+7000 200 caller bye"]);
    lab.finish();
}

#[test]
fn a_refusal_is_the_callees_and_what_we_say_instead_is_ours() {
    let mut lab = Lab::with(|setup| setup.forward_on(Condition::Busy, B, D.number));
    let (caller, b) = scene::ringing(&mut lab);
    b.reject(&mut lab, "486 Busy Here");
    lab.expect(A, "181 INVITE");
    let d = Leg::expect(&mut lab, D);
    d.reject(&mut lab, "603 Decline");
    caller.refused(&mut lab, 603);
    let expected = [
        "1 1004 0+0 486 callee rejected",
        "2 1006 0+0 603 callee rejected",
        "0 1004 0+0 603 callee rejected",
    ];
    assert_eq!(lab.recorded(), expected);
    assert_eq!(lab.records[2].leg.names.chain(), "1004;busy;1006");
    lab.finish();

    let mut lab = Lab::new();
    let (caller, b) = scene::ringing(&mut lab);
    b.respond_with(&mut lab, "302 Moved Temporarily", &["Contact: <sip:1005@127.0.0.60>"], "");
    lab.expect(B, "ACK");
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    assert_eq!(lab.recorded(), ["1 1004 0+0 302 callee redirected"]);
    scene::refuse_and_finish(lab, &caller, &c);
}

#[test]
fn silence_is_a_timeout_without_a_status() {
    let mut lab = Lab::new();
    let caller = Caller::call(&mut lab, A, C.number);
    lab.expect(A, "100 INVITE");
    Leg::expect(&mut lab, C);
    lab.advance(T1X64_MS);
    lab.sent().iter().filter(|sent| *sent != "C INVITE").for_each(|sent| assert_eq!(sent, "A 408 INVITE"));
    let response = lab.last_to(A);
    lab.send(A, &caller.ack_refusal_text(&response));
    assert_eq!(lab.recorded(), ["1 1005 0+32000 0 ringway timeout", "0 1005 0+32000 408 ringway timeout"]);
    lab.finish();
}

#[test]
fn a_number_without_a_phone_has_the_callers_record_alone() {
    let mut lab = Lab::with(|setup| setup.only_registers(C));
    let caller = Caller::call(&mut lab, A, C.number);
    lab.expect(A, "100 INVITE");
    caller.refused(&mut lab, 480);
    assert_eq!(lab.recorded(), ["0 1005 0+0 480 ringway not registered"]);
    lab.finish();

    let mut lab = Lab::with(|setup| setup.forward_on(Condition::Unconditional, C, C.number));
    let caller = Caller::call(&mut lab, A, C.number);
    lab.expect(A, "100 INVITE");
    caller.refused(&mut lab, 480);
    assert_eq!(lab.recorded(), ["0 1005 0+0 480 ringway not forwarded"]);
    lab.finish();
}

#[test]
fn of_phones_that_ring_together_the_others_were_answered_elsewhere() {
    let mut lab = group::lab(&[1000, 1000]);
    let (mut caller, [first, second]) = group::two_ring(&mut lab);
    lab.advance(2_000);
    first.respond(&mut lab, "200 OK");
    second.cancelled(&mut lab);
    caller.answered_and_acked(&mut lab);
    lab.expect(B1, "ACK");
    caller.bye(&mut lab);
    lab.expect(A, "200 BYE");
    first.hung_up(&mut lab);
    let expected = [
        "2 1004 0+2000 487 ringway answered elsewhere",
        "1 1004 0+2000 200 caller bye",
        "0 1004 0+2000 200 caller bye",
    ];
    assert_eq!(lab.recorded(), expected);
    lab.finish();

    let mut lab = group::lab(&[1000, 1000]);
    let (caller, [first, second]) = group::two_ring(&mut lab);
    first.reject(&mut lab, "603 Decline");
    caller.refused(&mut lab, 603);
    second.cancelled(&mut lab);
    let expected = [
        "1 1004 0+0 603 callee rejected",
        "2 1004 0+0 487 ringway declined elsewhere",
        "0 1004 0+0 603 callee rejected",
    ];
    assert_eq!(lab.recorded(), expected);
    assert_eq!(lab.records[1].leg.peer, B2.address);
    lab.finish();
}

#[test]
fn an_answer_that_comes_too_late_is_recorded_and_changes_nothing_of_why() {
    let mut lab = Lab::new();
    let (caller, b, c) = scene::diverted(&mut lab);
    lab.expect(B, "CANCEL");
    lab.advance(100);
    b.respond(&mut lab, "200 OK");
    lab.expect(B, "ACK");
    b.hung_up(&mut lab);
    assert_eq!(lab.recorded(), ["1 1004 0+20100 200 ringway no answer"]);
    let late = &lab.records[0].leg;
    assert_eq!(late.answer_at, Some(late.end_at));
    scene::refuse_and_finish(lab, &caller, &c);
}

#[test]
fn what_we_end_says_why() {
    let operator = |lab: &mut Lab| {
        let call = Handle { index: 0, generation: 0 };
        let found = lab.mail(0, Mail::Calls { ticket: 1, from: 0, limit: 1 });
        let ringway::mail::Letter::Calls { calls, .. } = &found[0] else { panic!("{found:?}") };
        let call = calls.first().map_or(call, |live| live.handle);
        assert_ne!(calls[0].stage, Stage::Ending);
        lab.mail(0, Mail::HangUp { ticket: 1, call });
    };
    let mut lab = Lab::new();
    let (caller, b) = scene::ringing(&mut lab);
    operator(&mut lab);
    caller.refused(&mut lab, 480);
    b.cancelled(&mut lab);
    assert_eq!(lab.recorded(), ["1 1004 0+0 487 ringway operator", "0 1004 0+0 480 ringway operator"]);
    lab.finish();

    let mut lab = Lab::with(|setup| setup.settings.call_limit_ms = 60_000);
    let (caller, c) = scene::talking(&mut lab);
    lab.advance(60_000);
    let bye = lab.expect(A, "BYE");
    caller.respond(&mut lab, &bye, "200 OK");
    c.hung_up(&mut lab);
    let expected = ["1 1005 0+60000 200 ringway call limit", "0 1005 0+60000 200 ringway call limit"];
    assert_eq!(lab.recorded(), expected);
    lab.finish();
}

#[test]
fn a_caller_that_never_acknowledges_is_recorded_so() {
    let mut lab = Lab::new();
    let (mut caller, c) = scene::answered(&mut lab);
    caller.answered(&mut lab);
    lab.advance(T1X64_MS);
    let repeated = lab.sent().into_iter().filter(|sent| sent != "A 200 INVITE").collect::<Vec<_>>();
    assert_eq!(repeated, ["A BYE", "C ACK", "C BYE"]);
    let (to_a, to_c) = (lab.last_to(A), lab.last_to(C));
    caller.respond(&mut lab, &to_a, "200 OK");
    c.answer(&mut lab, &to_c, "200 OK");
    assert_eq!(lab.recorded(), ["1 1005 0+32000 200 ringway no ack", "0 1005 0+32000 200 ringway no ack"]);
    lab.finish();
}

#[test]
fn a_server_that_stops_records_what_still_lives() {
    let mut lab = Lab::new();
    let (_, _) = scene::ringing(&mut lab);
    lab.advance(1_000);
    lab.close();
    assert_eq!(lab.recorded(), ["1 1004 0+1000 0 ringway stopped", "0 1004 0+1000 0 ringway stopped"]);
    // What the shard has in its tables goes with it.
    lab.abandon();
}

#[test]
fn a_caller_that_wants_no_name_has_none_in_its_record() {
    let mut lab = Lab::new();
    let caller = Invite::new(&mut lab, A, C.number).line("Privacy: id").send(&mut lab);
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(&mut lab, C);
    c.reject(&mut lab, "486 Busy Here");
    caller.refused(&mut lab, 486);
    assert!(lab.records.iter().all(|record| record.leg.names.caller() == "anonymous"));
    lab.finish();
}

#[test]
#[cfg(feature = "server")]
fn the_readme_shows_the_records_of_a_forwarded_call() {
    use ringway::cdr::{Format, Lines};
    use ringway::media::{Figures, Flow};
    let lab = forwarded_call();
    let mut records: Vec<_> = lab.records.iter().map(|record| Box::new(record.leg.clone())).collect();
    // A minute of G.711: B was silent, and of the caller's packets one was lost on its way here.
    let flow = |packets: u64, lost| Flow { packets, bytes: packets * 172, lost, jitter_us: 250 };
    let talk = |received, sent| Some(Figures { received, sent, dropped: 0 });
    records[0].media = Some(Figures::default());
    records[1].media = talk(flow(3_000, 0), flow(2_999, 0));
    records[2].media = talk(flow(2_999, 1), flow(3_000, 0));
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("README.md");
    for (format, shown) in [(Format::Json, &records[..]), (Format::Csv, &records[1..2])] {
        let mut lines = Lines::default();
        assert_eq!(lines.extend(format, shown), 0);
        let text = String::from_utf8(lines.first(lines.len()).to_vec()).expect("UTF-8");
        let mut wanted = format.heading().lines().chain(text.lines());
        let missing = wanted.find(|line| !readme.contains(&format!("    {line}\n")));
        assert_eq!(missing, None, "all of them:\n{}{text}", format.heading());
    }
    lab.finish();
}

#[test]
fn a_call_to_a_feature_code_has_the_callers_record_alone() {
    let mut lab = Lab::new();
    let mut caller = Caller::call(&mut lab, B, "*#61#");
    lab.expect(B, "100 INVITE");
    caller.answered_and_acked(&mut lab);
    lab.advance(1_000);
    let bye = lab.expect(B, "BYE");
    caller.respond(&mut lab, &bye, "200 OK");
    assert_eq!(lab.recorded(), ["0 *#61# 0+1000 200 ringway feature code"]);
    lab.finish();
}
