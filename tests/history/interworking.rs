//! What came with the INVITE: kept, continued, and made of each other (RFC 7544).

use crate::{BOTH, DIVERSION, HISTORY_INFO, NONE, form, forwarded, passed_on, tells};

const OWN: &str = "<sip:1004@127.0.0.60>;reason=no-answer;counter=1;privacy=off";

/// RFC 7544 §7.1.
const DIVERSIONS: &str = "<sip:diverting_user3_address>;reason=unconditional;counter=1;privacy=off,\
     <sip:diverting_user2_address>;reason=user-busy;counter=1;privacy=full,\
     <sip:diverting_user1_address>;reason=no-answer;counter=1;privacy=off";

#[test]
fn diversion_becomes_history_info_as_rfc_7544_says() {
    let line = "Diversion: <sip:user3@x>;reason=unconditional;counter=1;privacy=off,\
        <sip:user2@x>;reason=user-busy;counter=1;privacy=full,<sip:user1@x>;reason=no-answer;privacy=off";
    let trusting = |setup: &mut crate::Setup| {
        form(HISTORY_INFO)(setup);
        crate::trust(setup, crate::B);
    };
    let b = passed_on(trusting, &[line]);
    tells(
        &b,
        &[],
        &[
            "<sip:user1@x?Privacy=none>;index=1",
            "<sip:user2@x;cause=408?Privacy=history>;index=1.1;mp=1",
            "<sip:user3@x;cause=486?Privacy=none>;index=1.1.1;mp=1.1",
            "<sip:1004@127.0.0.60;cause=302>;index=1.1.1.1;mp=1.1.1",
        ],
    );
}

#[test]
fn rfc_7544_7_1_to_the_letter() {
    let trusting = |setup: &mut crate::Setup| {
        form(HISTORY_INFO)(setup);
        crate::trust(setup, crate::B);
    };
    let b = passed_on(trusting, &[&format!("Diversion: {DIVERSIONS}")]);
    tells(
        &b,
        &[],
        &[
            "<sip:diverting_user1_address?Privacy=none>;index=1",
            "<sip:diverting_user2_address;cause=408?Privacy=history>;index=1.1;mp=1",
            "<sip:diverting_user3_address;cause=486?Privacy=none>;index=1.1.1;mp=1.1",
            "<sip:1004@127.0.0.60;cause=302>;index=1.1.1.1;mp=1.1.1",
        ],
    );
}

#[test]
fn rfc_7544_7_2_to_the_letter() {
    let line = "History-Info: <sip:diverting_user1_address?Privacy=history>;index=1,\
        <sip:diverting_user2_address;cause=302?Privacy=none>;index=1.1;mp=1,\
        <sip:last_diverting_target;cause=486>;index=1.1.1;mp=1.1";
    let trusting = |setup: &mut crate::Setup| {
        form(DIVERSION)(setup);
        crate::trust(setup, crate::B);
    };
    let b = passed_on(trusting, &[line]);
    let expected = [
        "<sip:diverting_user2_address>;reason=user-busy;counter=1;privacy=off",
        "<sip:diverting_user1_address>;reason=unconditional;counter=1;privacy=full",
    ];
    tells(&b, &expected, &[]);
}

#[test]
fn rfc_7544_7_3_both_came_and_only_history_info_goes_on() {
    let lines = [
        "Diversion: <sip:userD@x>;reason=time-of-day;counter=1;privacy=off,\
         <sip:userC@x>;reason=no-answer;counter=1;privacy=full,\
         <sip:userB@x>;reason=unconditional;counter=1;privacy=off",
        "History-Info: <sip:proxyP1@x>;index=1,<sip:userB@x>;index=1.1;rc=1,\
         <sip:proxyP2@x;cause=302>;index=1.1.1;mp=1.1",
    ];
    let trusting = |setup: &mut crate::Setup| {
        form(HISTORY_INFO)(setup);
        crate::trust(setup, crate::B);
    };
    let b = passed_on(trusting, &lines);
    tells(
        &b,
        &[],
        &[
            "<sip:proxyP1@x>;index=1",
            "<sip:userB@x>;index=1.1;rc=1",
            "<sip:proxyP2@x;cause=302>;index=1.1.1;mp=1.1",
            "<sip:userC@x?Privacy=history>;index=1.1.1.0.1",
            "<sip:userD@x;cause=408?Privacy=none>;index=1.1.1.0.1.1;mp=1.1.1.0.1",
            "<sip:1004@127.0.0.60;cause=404>;index=1.1.1.0.1.1.1;mp=1.1.1.0.1.1",
        ],
    );
}

#[test]
fn ours_continue_what_came() {
    let line = "History-Info: <sip:1000@x>;index=1, <sip:1004@127.0.0.60;cause=302>;index=1.1;mp=1";
    let c = forwarded(form(BOTH), &[line]);
    let diversions = [OWN, "<sip:1000@x>;reason=unconditional;counter=1;privacy=off"];
    tells(
        &c,
        &diversions,
        &[
            "<sip:1000@x>;index=1",
            "<sip:1004@127.0.0.60;cause=302?Reason=SIP%3Bcause%3D408>;index=1.1;mp=1",
            "<sip:1005@127.0.0.60;cause=408>;index=1.1.1;mp=1.1",
        ],
    );
    // With a form that has nothing to add to the entry of who diverted, what came stays as it is.
    let b = passed_on(form(BOTH), &[line]);
    assert_eq!(b.all("History-Info")[0], line.split_once(": ").expect("a value").1);
}

#[test]
fn an_entry_that_is_missing_is_a_zero_in_the_index() {
    let line = "History-Info: <sip:1000@x>;index=1, <sip:somebody@else>;index=1.1;rc=1";
    tells(
        &forwarded(form(HISTORY_INFO), &[line]),
        &[],
        &[
            "<sip:1000@x>;index=1",
            "<sip:somebody@else>;index=1.1;rc=1",
            "<sip:1004@127.0.0.60?Reason=SIP%3Bcause%3D408>;index=1.1.0.1",
            "<sip:1005@127.0.0.60;cause=408>;index=1.1.0.1.1;mp=1.1.0.1",
        ],
    );
}

#[test]
fn our_diversion_continues_a_received_diversion_in_both_forms() {
    let line = "Diversion: <sip:1000@x>;reason=user-busy";
    tells(
        &forwarded(form(BOTH), &[line]),
        &[OWN, "<sip:1000@x>;reason=user-busy"],
        &[
            "<sip:1000@x>;index=1",
            "<sip:1004@127.0.0.60;cause=486?Reason=SIP%3Bcause%3D408>;index=1.1;mp=1",
            "<sip:1005@127.0.0.60;cause=408>;index=1.1.1;mp=1.1",
        ],
    );
    tells(&forwarded(form(NONE), &[line]), &[], &[]);
}

#[test]
fn several_fields_and_lists_are_one_history() {
    let lines = [
        "Diversion: \"One, <two>\" <sip:3@x>;reason=no-answer, <sip:2@x>;reason=away",
        "Subject: between",
        "diversion: sip:1@x;reason=unavailable",
    ];
    tells(
        &passed_on(form(HISTORY_INFO), &lines),
        &[],
        &[
            "<sip:1@x>;index=1",
            "<sip:2@x;cause=503>;index=1.1;mp=1",
            "<sip:3@x;cause=404>;index=1.1.1;mp=1.1",
            "<sip:1004@127.0.0.60;cause=408>;index=1.1.1.1;mp=1.1.1",
        ],
    );
    let lines = [
        "History-Info: <sip:1@x>;index=1, <sip:2@x;cause=486>;index=1.1;mp=1",
        "history-info: \"A, b\" <sip:3@x;cause=480>;index=1.1.1;mp=1.1",
    ];
    let expected = [
        "<sip:2@x>;reason=deflection;counter=1;privacy=off",
        "<sip:1@x>;reason=user-busy;counter=1;privacy=off",
    ];
    tells(&passed_on(form(DIVERSION), &lines), &expected, &[]);
}

#[test]
fn every_reason_has_its_cause_and_back() {
    let reasons = [
        ("unknown", 404),
        ("unconditional", 302),
        ("user-busy", 486),
        ("no-answer", 408),
        ("deflection", 480),
        ("unavailable", 503),
        ("time-of-day", 404),
        ("do-not-disturb", 404),
        ("follow-me", 404),
        ("out-of-service", 404),
        ("away", 404),
        ("USER-BUSY", 486),
        ("\"no-answer\"", 408),
        ("nobody-knows", 404),
    ];
    for (reason, cause) in reasons {
        let line = format!("Diversion: <sip:1@x>;reason={reason}");
        let target = format!("<sip:1004@127.0.0.60;cause={cause}>;index=1.1;mp=1");
        tells(&passed_on(form(HISTORY_INFO), &[&line]), &[], &["<sip:1@x>;index=1", &target]);
    }
    let causes = [
        (404, "unknown"),
        (302, "unconditional"),
        (486, "user-busy"),
        (408, "no-answer"),
        (480, "deflection"),
        (487, "deflection"),
        (503, "unavailable"),
    ];
    for (cause, reason) in causes {
        let line = format!("History-Info: <sip:1@x>;index=1, <sip:2@x;cause={cause}>;index=1.1;mp=1");
        let diversion = format!("<sip:1@x>;reason={reason};counter=1;privacy=off");
        tells(&passed_on(form(DIVERSION), &[&line]), &[&diversion], &[]);
    }
}

#[test]
fn mp_says_who_diverted_and_without_it_the_entry_before() {
    let line = "History-Info: <sip:1@x>;index=1, <sip:phone@x>;index=1.1;rc=1, \
                <sip:2@x;cause=408>;index=1.2;mp=1";
    let diversion = "<sip:1@x>;reason=no-answer;counter=1;privacy=off";
    let came: Vec<&str> = line["History-Info: ".len()..].split(", ").collect();
    // The phone's entry is no diversion: History-Info is kept as it came (RFC 7544 §3.5).
    tells(&passed_on(form(DIVERSION), &[line]), &[diversion], &came);
    let line = "History-Info: <sip:1@x>;index=1, <sip:2@x;cause=408>;index=1.1";
    tells(&passed_on(form(DIVERSION), &[line]), &[diversion], &[]);
}

#[test]
fn history_info_without_diversions_is_kept() {
    let line = "History-Info: <sip:1@x>;index=1, <sip:2@x>;index=1.1;rc=1";
    let came = ["<sip:1@x>;index=1", "<sip:2@x>;index=1.1;rc=1"];
    tells(&passed_on(form(DIVERSION), &[line]), &[], &came);
    tells(&passed_on(form(BOTH), &[line]), &[], &came);
    tells(&forwarded(form(DIVERSION), &[line]), &[OWN], &came);
    tells(&passed_on(form(NONE), &[line]), &[], &[]);
}

#[test]
fn a_counter_stands_for_placeholders() {
    let line = "Diversion: <sip:1@x>;reason=user-busy;counter=3";
    tells(
        &passed_on(form(HISTORY_INFO), &[line]),
        &[],
        &[
            "<sip:unknown@unknown.invalid>;index=1",
            "<sip:unknown@unknown.invalid;cause=404>;index=1.1;mp=1",
            "<sip:1@x;cause=404>;index=1.1.1;mp=1.1",
            "<sip:1004@127.0.0.60;cause=486>;index=1.1.1.1;mp=1.1.1",
        ],
    );
    // The placeholder is whom the older one diverted to.
    let line = "Diversion: <sip:2@x>;reason=user-busy;counter=2, <sip:1@x>;reason=no-answer";
    tells(
        &passed_on(form(HISTORY_INFO), &[line]),
        &[],
        &[
            "<sip:1@x>;index=1",
            "<sip:unknown@unknown.invalid;cause=408>;index=1.1;mp=1",
            "<sip:2@x;cause=404>;index=1.1.1;mp=1.1",
            "<sip:1004@127.0.0.60;cause=486>;index=1.1.1.1;mp=1.1.1",
        ],
    );
    for counter in ["0", "1", "x", ""] {
        let line = format!("Diversion: <sip:1@x>;reason=user-busy;counter={counter}");
        let entries = ["<sip:1@x>;index=1", "<sip:1004@127.0.0.60;cause=486>;index=1.1;mp=1"];
        tells(&passed_on(form(HISTORY_INFO), &[&line]), &[], &entries);
    }
}

#[test]
fn a_tel_uri_becomes_a_sip_uri_where_it_needs_parameters() {
    let line = "Diversion: <tel:+49301234;ext=5>;reason=user-busy;privacy=off, <tel:+4989>;reason=no-answer";
    tells(
        &passed_on(form(HISTORY_INFO), &[line]),
        &[],
        &[
            "<sip:+4989@unknown.invalid;user=phone>;index=1",
            "<sip:+49301234;ext=5@unknown.invalid;user=phone;cause=408?Privacy=none>;index=1.1;mp=1",
            "<sip:1004@127.0.0.60;cause=486>;index=1.1.1;mp=1.1",
        ],
    );
    let line = "History-Info: <tel:+4989>;index=1, <sip:2@x;cause=302>;index=1.1;mp=1";
    let diversion = "<tel:+4989>;reason=unconditional;counter=1;privacy=off";
    tells(&passed_on(form(DIVERSION), &[line]), &[diversion], &[]);
}

#[test]
fn where_both_came_both_are_kept() {
    let lines = [
        "Diversion: <sip:1@x>;reason=user-busy;counter=1",
        "History-Info: <sip:1@x>;index=1, <sip:1004@127.0.0.60;cause=486>;index=1.1;mp=1",
    ];
    let entries = [
        "<sip:1@x>;index=1",
        "<sip:1004@127.0.0.60;cause=486?Reason=SIP%3Bcause%3D408>;index=1.1;mp=1",
        "<sip:1005@127.0.0.60;cause=408>;index=1.1.1;mp=1.1",
    ];
    let diversions = [OWN, "<sip:1@x>;reason=user-busy;counter=1"];
    tells(&forwarded(form(BOTH), &lines), &diversions, &entries);
    tells(&forwarded(form(DIVERSION), &lines), &diversions, &[]);
    tells(&forwarded(form(HISTORY_INFO), &lines), &[], &entries);
}

#[test]
fn what_contradicts_itself_loses_nothing() {
    let lines = [
        "Diversion: <sip:7@x>;reason=user-busy",
        "History-Info: <sip:1@x>;index=1, <sip:1004@127.0.0.60;cause=302>;index=1.1;mp=1",
    ];
    let diversions = ["<sip:1@x>;reason=unconditional;counter=1;privacy=off", "<sip:7@x>;reason=user-busy"];
    tells(
        &passed_on(form(BOTH), &lines),
        &diversions[1..],
        &["<sip:1@x>;index=1", "<sip:1004@127.0.0.60;cause=302>;index=1.1;mp=1"],
    );
    tells(&passed_on(form(DIVERSION), &lines), &diversions, &[]);
    tells(
        &passed_on(form(HISTORY_INFO), &lines),
        &[],
        &[
            "<sip:1@x>;index=1",
            "<sip:1004@127.0.0.60;cause=302>;index=1.1;mp=1",
            "<sip:7@x>;index=1.1.0.1",
            "<sip:1004@127.0.0.60;cause=486>;index=1.1.0.1.1;mp=1.1.0.1",
        ],
    );
}
