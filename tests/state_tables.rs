//! The whole state × event table of every machine, compared with a committed snapshot: a change of any
//! transition shows in review. `UPDATE_SNAPSHOTS=1 cargo test --test state_tables` writes them anew.

use ringway::call::state::{CallAction, CallEvent, CallState, LegAction, LegEvent, LegState};
use ringway::call::state::{ReinviteAction, ReinviteEvent, ReinviteState};
use ringway::call::state::{call_step, leg_step, reinvite_step};
use ringway::media::latch;
use ringway::transaction::{Effect, Step};
use ringway::transaction::{invite_client, invite_server, non_invite_client, non_invite_server};
use std::fmt::{Debug, Write as _};
use std::path::Path;

const CALL_STATES: [CallState; 6] = [
    CallState::Searching,
    CallState::Answered,
    CallState::HangupHeld,
    CallState::Talking,
    CallState::Refused,
    CallState::Ending,
];

const CALL_EVENTS: [CallEvent; 11] = [
    CallEvent::CallerCancel,
    CallEvent::CallerAck,
    CallEvent::CallerBye,
    CallEvent::CalleeBye,
    CallEvent::AnswerDue,
    CallEvent::AckMissing,
    CallEvent::TooLong,
    CallEvent::DialogLost,
    CallEvent::SessionExpired,
    CallEvent::MediaSilent,
    CallEvent::HangUp,
];

const LEG_STATES: [LegState; 8] = [
    LegState::Calling,
    LegState::Trying,
    LegState::Ringing,
    LegState::Held,
    LegState::Cancelling,
    LegState::Answered,
    LegState::Confirmed,
    LegState::Ending,
];

const LEG_EVENTS: [LegEvent; 11] = [
    LegEvent::Trying,
    LegEvent::Ringing,
    LegEvent::Success,
    LegEvent::Failure,
    LegEvent::Silence,
    LegEvent::Timer,
    LegEvent::Cancel,
    LegEvent::Acknowledge,
    LegEvent::HangUp,
    LegEvent::PeerBye,
    LegEvent::ByeDone,
];

const REINVITE_STATES: [ReinviteState; 6] = [
    ReinviteState::Calling,
    ReinviteState::Proceeding,
    ReinviteState::Held,
    ReinviteState::Cancelling,
    ReinviteState::Answered,
    ReinviteState::Closing,
];

const REINVITE_EVENTS: [ReinviteEvent; 10] = [
    ReinviteEvent::Provisional,
    ReinviteEvent::Success,
    ReinviteEvent::Failure,
    ReinviteEvent::Silence,
    ReinviteEvent::Timer,
    ReinviteEvent::AnswerDue,
    ReinviteEvent::AckMissing,
    ReinviteEvent::Cancel,
    ReinviteEvent::Ack,
    ReinviteEvent::CallOver,
];

const LATCH_STATES: [latch::State; 4] =
    [latch::State::Closed, latch::State::Learning, latch::State::Learned, latch::State::Signalled];

const LATCH_EVENTS: [latch::Event; 5] = [
    latch::Event::Signalled,
    latch::Event::Source,
    latch::Event::Continued,
    latch::Event::Host,
    latch::Event::Elsewhere,
];

const LATCH_RULES: [latch::Rule; 6] = [
    latch::Rule::Off,
    latch::Rule::First,
    latch::Rule::Moving,
    latch::Rule::Proving,
    latch::Rule::Tasting,
    latch::Rule::Chosen,
];

/// Stops compiling when a state or an event is added, so that it is added to the lists above.
const fn are_all_listed(call: (CallState, CallEvent), leg: (LegState, LegEvent)) {
    use {CallEvent as CE, CallState as CS, LegEvent as LE, LegState as LS};
    match call.0 {
        CS::Searching | CS::Answered | CS::HangupHeld | CS::Talking | CS::Refused | CS::Ending => {}
    }
    match call.1 {
        CE::CallerCancel | CE::CallerAck | CE::CallerBye | CE::CalleeBye => {}
        CE::AnswerDue | CE::AckMissing | CE::TooLong | CE::DialogLost => {}
        CE::SessionExpired | CE::MediaSilent | CE::HangUp => {}
    }
    match leg.0 {
        LS::Calling | LS::Trying | LS::Ringing | LS::Held => {}
        LS::Cancelling | LS::Answered | LS::Confirmed | LS::Ending => {}
    }
    match leg.1 {
        LE::Trying | LE::Ringing | LE::Success | LE::Failure | LE::Silence | LE::Timer => {}
        LE::Cancel | LE::Acknowledge | LE::HangUp | LE::PeerBye | LE::ByeDone => {}
    }
}

/// The same for re-INVITEs.
const fn are_all_listed_too(state: ReinviteState, event: ReinviteEvent) {
    use {ReinviteEvent as E, ReinviteState as S};
    match state {
        S::Calling | S::Proceeding | S::Held | S::Cancelling | S::Answered | S::Closing => {}
    }
    match event {
        E::Provisional | E::Success | E::Failure | E::Silence | E::Timer => {}
        E::AnswerDue | E::AckMissing | E::Cancel | E::Ack | E::CallOver => {}
    }
}

/// The same for latches.
const fn are_latches_listed(state: latch::State, rule: latch::Rule, event: latch::Event) {
    use latch::{Event as E, Rule as R, State as S};
    match state {
        S::Closed | S::Learning | S::Learned | S::Signalled => {}
    }
    match rule {
        R::Off | R::First | R::Moving | R::Proving | R::Tasting | R::Chosen => {}
    }
    match event {
        E::Signalled | E::Source | E::Continued | E::Host | E::Elsewhere => {}
    }
}

const _: () = are_latches_listed(LATCH_STATES[0], LATCH_RULES[0], LATCH_EVENTS[0]);
const _: () = are_all_listed_too(REINVITE_STATES[0], REINVITE_EVENTS[0]);
const _: () = are_all_listed((CALL_STATES[0], CALL_EVENTS[0]), (LEG_STATES[0], LEG_EVENTS[0]));

/// One line for each state and event: what follows. `end` is the end of a transaction.
fn table<S: Copy + Debug, E: Copy + Debug>(
    states: &[S],
    events: &[E],
    step: impl Fn(S, E) -> (String, String),
) -> String {
    let mut text = String::new();
    for state in states {
        for event in events {
            let (next, effect) = step(*state, *event);
            let (state, event) = (format!("{state:?}"), format!("{event:?}"));
            writeln!(text, "{state:<11}{event:<16}→ {next:<11}{effect}").expect("writing to a String");
        }
        text.push('\n');
    }
    text
}

fn of_transaction<S: Debug>(step: Step<S>) -> (String, String) {
    let next = step.next.map_or_else(|| "end".into(), |next| format!("{next:?}"));
    (next, format!("{:?}", step.effect))
}

/// The table is the snapshot's.
#[track_caller]
fn compare(name: &str, source: &str, table: &str) {
    let table = format!("{source}\n\n{table}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &table).expect("a writable snapshot");
        return;
    }
    let snapshot = std::fs::read_to_string(&path).expect("a snapshot");
    let differs: Vec<(&str, &str)> =
        snapshot.lines().zip(table.lines()).filter(|(old, new)| old != new).collect();
    let hint = "if this is meant: UPDATE_SNAPSHOTS=1 cargo test --test state_tables";
    assert!(differs.is_empty() && snapshot.len() == table.len(), "{name}: {differs:#?}\n{hint}");
}

#[test]
fn the_invite_client_transaction_is_as_reviewed() {
    use invite_client::{Event, State, step};
    let step = |state, event| of_transaction(step(state, event));
    compare(
        "invite_client.txt",
        "RFC 3261 §17.1.1, Figure 5, as corrected by RFC 6026 §8.4",
        &table(&State::ALL, &Event::ALL, step),
    );
}

#[test]
fn the_invite_server_transaction_is_as_reviewed() {
    use invite_server::{Event, State, step};
    let step = |state, event| of_transaction(step(state, event));
    compare(
        "invite_server.txt",
        "RFC 3261 §17.2.1, Figure 7, as corrected by RFC 6026 §7.1 and §8.5",
        &table(&State::ALL, &Event::ALL, step),
    );
}

#[test]
fn the_non_invite_client_transaction_is_as_reviewed() {
    use non_invite_client::{Event, State, step};
    let step = |state, event| of_transaction(step(state, event));
    compare("non_invite_client.txt", "RFC 3261 §17.1.2, Figure 6", &table(&State::ALL, &Event::ALL, step));
}

#[test]
fn the_non_invite_server_transaction_is_as_reviewed() {
    use non_invite_server::{Event, State, step};
    let step = |state, event| of_transaction(step(state, event));
    compare(
        "non_invite_server.txt",
        "RFC 3261 §17.2.2, Figure 8; no provisional responses, RFC 4320 §4.1",
        &table(&State::ALL, &Event::ALL, step),
    );
}

fn debug<S: Debug, A: Debug>((next, action): (S, A)) -> (String, String) {
    (format!("{next:?}"), format!("{action:?}"))
}

#[test]
fn the_call_is_as_reviewed() {
    let step = |state, event| debug(call_step(state, event));
    compare(
        "call.txt",
        "The caller's side: RFC 3261 §13.3, §15; RFC 5407; RFC 4028 §10",
        &table(&CALL_STATES, &CALL_EVENTS, step),
    );
}

#[test]
fn the_leg_is_as_reviewed() {
    let step = |state, event| debug(leg_step(state, event));
    compare(
        "leg.txt",
        "A callee's side: RFC 3261 §9.1, §13.2.2, §15; RFC 5407 §3.1.2",
        &table(&LEG_STATES, &LEG_EVENTS, step),
    );
}

#[test]
fn the_re_invite_is_as_reviewed() {
    let step = |state, event| debug(reinvite_step(state, event));
    let source = "RFC 3261 §14 between two dialogs; the server side of Figure 7, the client side of Figure 5";
    compare("reinvite.txt", source, &table(&REINVITE_STATES, &REINVITE_EVENTS, step));
}

#[test]
fn the_latch_of_media_is_as_reviewed() {
    let mut tables = String::new();
    for rule in LATCH_RULES {
        writeln!(tables, "{rule:?}").expect("writing to a String");
        tables += &table(&LATCH_STATES, &LATCH_EVENTS, |state, event| debug(latch::step(state, rule, event)));
    }
    compare("media_latch.txt", "From where media is taken, by rule: media::latch", &tables);
}

#[test]
fn a_message_that_a_peer_may_send_at_any_time_is_never_impossible() {
    for state in invite_client::State::ALL {
        use invite_client::Event::{Failure, Provisional, Success};
        for event in [Provisional, Success, Failure] {
            assert_ne!(invite_client::step(state, event).effect, Effect::Impossible, "{state:?} {event:?}");
        }
    }
    for state in invite_server::State::ALL {
        for event in [invite_server::Event::Invite, invite_server::Event::Ack] {
            assert_ne!(invite_server::step(state, event).effect, Effect::Impossible, "{state:?} {event:?}");
        }
    }
    for state in non_invite_client::State::ALL {
        for event in [non_invite_client::Event::Provisional, non_invite_client::Event::Final] {
            let effect = non_invite_client::step(state, event).effect;
            assert_ne!(effect, Effect::Impossible, "{state:?} {event:?}");
        }
    }
    for state in non_invite_server::State::ALL {
        let effect = non_invite_server::step(state, non_invite_server::Event::Request).effect;
        assert_ne!(effect, Effect::Impossible, "{state:?}");
    }
    for state in CALL_STATES {
        for event in [CallEvent::CallerCancel, CallEvent::CallerAck, CallEvent::CallerBye] {
            assert_ne!(call_step(state, event).1, CallAction::Impossible, "{state:?} {event:?}");
        }
    }
    for state in
        [LegState::Calling, LegState::Trying, LegState::Ringing, LegState::Held, LegState::Cancelling]
    {
        for event in [LegEvent::Trying, LegEvent::Ringing, LegEvent::Success, LegEvent::Failure] {
            assert_ne!(leg_step(state, event).1, LegAction::Impossible, "{state:?} {event:?}");
        }
    }
}

#[test]
fn what_is_late_or_impossible_changes_no_state() {
    for state in CALL_STATES {
        for event in CALL_EVENTS {
            let (next, action) = call_step(state, event);
            let nothing = matches!(action, CallAction::Late | CallAction::Impossible);
            assert!(!nothing || next == state, "{state:?} {event:?}");
        }
    }
    for state in LEG_STATES {
        for event in LEG_EVENTS {
            let (next, action) = leg_step(state, event);
            let nothing = matches!(action, LegAction::Late | LegAction::Impossible);
            assert!(!nothing || next == state, "{state:?} {event:?}");
        }
    }
    for state in REINVITE_STATES {
        for event in REINVITE_EVENTS {
            let (next, action) = reinvite_step(state, event);
            let nothing = matches!(action, ReinviteAction::Late | ReinviteAction::Impossible);
            assert!(!nothing || next == state, "{state:?} {event:?}");
        }
    }
}
