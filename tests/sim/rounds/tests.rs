//! The rules of rounds, each broken alone.

use super::*;

/// Two numbers: the first has places 0 and 6 at q 1.0 and 12 at q 0.5, the second place 1.
fn rounds(keeps_late: bool) -> Rounds {
    let rules = Rules {
        max_diversions: 5,
        unreachable_408: false,
        deflection: true,
        keeps_late,
        has_room: true,
        plain: true,
    };
    let at = |(place, hop, q)| Location { place, hop, q, expires_ms: u64::MAX, has_path: false };
    let locations = [(0, 0, 1_000), (6, 0, 1_000), (12, 0, 500), (1, 1, 1_000)].map(at);
    let plans = vec![Plan::of(Kind::NoAnswer, Target::Next), Plan::default()];
    Rounds::new(rules, &[(5_000, 20_000), (30_000, 20_000)], plans, locations.to_vec())
}

/// Both locations of the first level are tried.
fn begun(keeps_late: bool) -> Rounds {
    let mut rounds = rounds(keeps_late);
    let both = rounds.invite(0, AT, 8).and(rounds.invite(6, AT, 8)).and(rounds.settled(8));
    assert_eq!(both, Ok(()));
    rounds
}

const RINGS: Said = Said { rings: true, no_answer_cause: false, contact: None };
const FAILS: Said = Said { rings: false, ..RINGS };
const AT: &Told = &Told::NOTHING;

#[test]
fn locations_are_tried_by_their_preference() {
    assert_eq!(rounds(false).invite(12, AT, 8), Err("a location before one that is preferred"));
    assert_eq!(rounds(false).invite(1, AT, 8), Err("a callee was left out"));
    let mut rounds = rounds(false);
    let one = rounds.invite(6, AT, 8).and(rounds.settled(8));
    assert_eq!(one, Err("a location of the level was left out"));
}

#[test]
fn a_level_waits_for_the_one_above() {
    let mut rounds = begun(false);
    rounds.response(0, 486, FAILS, 100);
    assert_eq!(rounds.clone().invite(12, AT, 100), Err("a level before the one above has failed"));
    assert_eq!(
        rounds.clone().final_response(486, 100),
        Err("a final response while somebody is to be tried")
    );
    assert_eq!(rounds.settled(100), Ok(()));
    rounds.response(6, 500, FAILS, 200);
    assert_eq!(rounds.clone().settled(200), Err("nobody is tried and nothing follows"));
    assert_eq!(
        rounds.clone().final_response(486, 200),
        Err("a final response while somebody is to be tried")
    );
    assert_eq!(rounds.invite(12, AT, 200).and(rounds.settled(200)), Ok(()));
}

#[test]
fn the_best_response_counts() {
    let mut rounds = begun(false);
    rounds.response(0, 486, FAILS, 100);
    rounds.response(6, 404, FAILS, 200);
    assert_eq!(rounds.invite(12, AT, 200), Ok(()));
    rounds.response(12, 503, FAILS, 300);
    assert_eq!(rounds.clone().final_response(500, 300), Err("not the final response that counts"));
    assert_eq!(rounds.clone().invite(1, AT, 300), Err("forwarded without a reason"));
    assert_eq!(rounds.final_response(486, 300), Ok(()));
}

#[test]
fn a_6xx_ends_the_search_at_once() {
    let mut rounds = begun(false);
    rounds.response(0, 180, RINGS, 50);
    rounds.response(6, 603, FAILS, 100);
    assert_eq!(rounds.clone().settled(100), Err("a location was left ringing"));
    assert_eq!(rounds.clone().invite(12, AT, 100), Err("a level behind the end of the search"));
    let ended = rounds.cancel(0, 100).and(rounds.final_response(603, 100)).and(rounds.settled(100));
    assert_eq!(ended, Ok(()));
}

#[test]
fn one_no_answer_timer_is_for_all() {
    let mut rounds = begun(false);
    rounds.response(0, 180, RINGS, 100);
    rounds.response(6, 180, RINGS, 3_000);
    assert_eq!(rounds.clone().cancel(0, 4_000), Err("a CANCEL at a wrong moment"));
    assert_eq!(rounds.cancel(0, 5_104), Ok(()));
    assert_eq!(rounds.clone().settled(5_104), Err("a location was left ringing"));
    assert_eq!(rounds.cancel(6, 5_104).and(rounds.invite(1, AT, 5_104)).and(rounds.settled(5_104)), Ok(()));
    let mut rounds = begun(false);
    rounds.response(0, 180, RINGS, 100);
    rounds.response(6, 180, RINGS, 6_000);
    assert_eq!(rounds.settled(6_000), Err("the no-answer timer did not run out"));
}

#[test]
fn the_first_answer_wins_and_others_are_ended() {
    let mut rounds = begun(true);
    rounds.response(0, 180, RINGS, 50);
    rounds.response(6, 200, FAILS, 100);
    assert_eq!(rounds.clone().settled(100), Err("a location was left ringing"));
    assert_eq!(rounds.cancel(0, 100), Ok(()));
    assert_eq!(rounds.clone().settled(100), Err("an answer that did not win"));
    assert_eq!(rounds.final_response(200, 100).and(rounds.settled(100)), Ok(()));
    rounds.response(0, 200, FAILS, 200);
    assert_eq!(rounds.clone().settled(200), Err("a late answer without ACK and BYE"));
    rounds.acknowledge(0);
    rounds.hang_up(0);
    assert_eq!(rounds.settled(200), Ok(()));
}

#[test]
fn a_late_answer_wins_only_where_it_is_kept() {
    for keeps_late in [false, true] {
        let mut rounds = begun(keeps_late);
        rounds.response(0, 180, RINGS, 50);
        rounds.response(6, 486, FAILS, 60);
        let on = rounds.cancel(0, 5_056).and(rounds.invite(1, AT, 5_056)).and(rounds.settled(5_056));
        assert_eq!(on, Ok(()));
        rounds.response(0, 200, FAILS, 5_100);
        let won = rounds.final_response(200, 5_100);
        assert_eq!(won.is_ok(), keeps_late, "{won:?}");
    }
}

/// What an INVITE tells of one diversion.
fn told(reason: &[u8]) -> Told {
    let mut told = Told::NOTHING;
    assert!(told.tell(&[Kind::of_reason(reason)]));
    told
}

#[test]
fn a_302_ends_the_search_and_leads_where_it_says() {
    let to = |contact| Said { contact, ..FAILS };
    let mut next = begun(false);
    next.response(0, 180, RINGS, 50);
    next.response(6, 302, to(Some(Target::Next)), 100);
    assert_eq!(next.clone().settled(100), Err("a location was left ringing"));
    assert_eq!(next.clone().invite(12, AT, 100), Err("a level behind the end of the search"));
    assert_eq!(next.clone().final_response(302, 100), Err("not the final response that counts"));
    assert_eq!(next.clone().invite(1, &told(b"user-busy"), 100), Err("not the way that the call has gone"));
    let on = next.cancel(0, 100).and(next.invite(1, &told(b"deflection"), 100)).and(next.settled(100));
    assert_eq!(on, Ok(()));
    let mut back = begun(false);
    back.response(6, 302, to(Some(Target::Loop)), 100);
    assert_eq!(back.clone().invite(1, &told(b"deflection"), 100), Err("forwarded without a reason"));
    assert_eq!(back.final_response(480, 100), Ok(()));
    let mut tally = Tally::default();
    assert_eq!((back.count(&mut tally), tally.refused, tally.loops), (Some(()), 1, 1));
    // It says nothing of where to go: the other phone rings on.
    let mut silent = begun(false);
    silent.response(6, 302, to(None), 100);
    assert_eq!(silent.settled(100), Ok(()));
}

#[test]
fn a_condition_that_is_not_set_forwards_nothing() {
    let mut rounds = begun(false);
    rounds.response(0, 486, FAILS, 100);
    rounds.response(6, 486, FAILS, 100);
    assert_eq!(rounds.invite(12, AT, 100), Ok(()));
    rounds.response(12, 486, FAILS, 200);
    assert_eq!(rounds.clone().invite(1, &told(b"user-busy"), 200), Err("forwarded without a reason"));
    assert_eq!(rounds.final_response(486, 200), Ok(()));
}
