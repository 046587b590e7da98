//! The rules of rounds, each broken alone.

use super::*;

/// Two numbers: the first has places 0 and 6 at q 1.0 and 12 at q 0.5, the second place 1.
fn rounds(keeps_late: bool) -> Rounds {
    let rules = Rules { max_diversions: 5, unreachable_408: false, keeps_late, has_room: true, plain: true };
    let at = |(place, hop, q)| Location { place, hop, q, expires_ms: u64::MAX, has_path: false };
    let locations = [(0, 0, 1_000), (6, 0, 1_000), (12, 0, 500), (1, 1, 1_000)].map(at);
    Rounds::new(rules, &[(5_000, 20_000), (30_000, 20_000)], locations.to_vec())
}

/// Both locations of the first level are tried.
fn begun(keeps_late: bool) -> Rounds {
    let mut rounds = rounds(keeps_late);
    let both = rounds.invite(0, 8).and(rounds.invite(6, 8)).and(rounds.settled(8));
    assert_eq!(both, Ok(()));
    rounds
}

const RINGS: (bool, bool) = (true, false);
const FAILS: (bool, bool) = (false, false);

#[test]
fn locations_are_tried_by_their_preference() {
    assert_eq!(rounds(false).invite(12, 8), Err("a location before one that is preferred"));
    assert_eq!(rounds(false).invite(1, 8), Err("a callee was left out"));
    let mut rounds = rounds(false);
    let one = rounds.invite(6, 8).and(rounds.settled(8));
    assert_eq!(one, Err("a location of the level was left out"));
}

#[test]
fn a_level_waits_for_the_one_above() {
    let mut rounds = begun(false);
    rounds.response(0, 486, FAILS, 100);
    assert_eq!(rounds.clone().invite(12, 100), Err("a level before the one above has failed"));
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
    assert_eq!(rounds.invite(12, 200).and(rounds.settled(200)), Ok(()));
}

#[test]
fn the_best_response_counts() {
    let mut rounds = begun(false);
    rounds.response(0, 486, FAILS, 100);
    rounds.response(6, 404, FAILS, 200);
    assert_eq!(rounds.invite(12, 200), Ok(()));
    rounds.response(12, 503, FAILS, 300);
    assert_eq!(rounds.clone().final_response(500, 300), Err("not the final response that counts"));
    assert_eq!(rounds.clone().invite(1, 300), Err("forwarded without a reason"));
    assert_eq!(rounds.final_response(486, 300), Ok(()));
}

#[test]
fn a_6xx_ends_the_search_at_once() {
    let mut rounds = begun(false);
    rounds.response(0, 180, RINGS, 50);
    rounds.response(6, 603, FAILS, 100);
    assert_eq!(rounds.clone().settled(100), Err("a location was left ringing"));
    assert_eq!(rounds.clone().invite(12, 100), Err("a level behind the end of the search"));
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
    assert_eq!(rounds.cancel(6, 5_104).and(rounds.invite(1, 5_104)).and(rounds.settled(5_104)), Ok(()));
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
        let on = rounds.cancel(0, 5_056).and(rounds.invite(1, 5_056)).and(rounds.settled(5_056));
        assert_eq!(on, Ok(()));
        rounds.response(0, 200, FAILS, 5_100);
        let won = rounds.final_response(200, 5_100);
        assert_eq!(won.is_ok(), keeps_late, "{won:?}");
    }
}
