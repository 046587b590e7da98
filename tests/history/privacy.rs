//! Who is not to be told who diverted (SIP_RULES 12; RFC 7044 §10.1.2, RFC 7544 §3.2).

use crate::lab::peer::{B, C, Setup};
use crate::{BOTH, DIVERSION, HISTORY_INFO, form, forwarded, passed_on, tells, trust};

const ANONYMOUS: &str = "<sip:anonymous@anonymous.invalid>";

fn private(setup: &mut Setup) {
    setup.subscriber(B).is_private = true;
}

fn private_to_trusted(setup: &mut Setup) {
    private(setup);
    trust(setup, C);
}

#[test]
fn a_private_number_of_ours_is_marked_for_trusted_peers_and_hidden_from_others() {
    let c = forwarded(private_to_trusted, &[]);
    tells(
        &c,
        &["<sip:1004@127.0.0.60>;reason=no-answer;counter=1;privacy=full"],
        &[
            "<sip:1004@127.0.0.60?Privacy=history&Reason=SIP%3Bcause%3D408>;index=1",
            "<sip:1005@127.0.0.60;cause=408>;index=1.1;mp=1",
        ],
    );
    let c = forwarded(private, &[]);
    tells(
        &c,
        &[&format!("{ANONYMOUS};reason=no-answer;counter=1")],
        &[
            "<sip:anonymous@anonymous.invalid?Reason=SIP%3Bcause%3D408>;index=1",
            "<sip:1005@127.0.0.60;cause=408>;index=1.1;mp=1",
        ],
    );
    assert!(!c.text().contains("1004"), "{}", c.text());
}

#[test]
fn a_private_number_whose_entry_came_is_marked_or_hidden_there() {
    let line = "History-Info: \"Boss\" <sip:1000@x>;index=1, \"B\" <sip:1004@127.0.0.60:5060>;index=1.1;rc=1";
    let target = "<sip:1005@127.0.0.60;cause=408>;index=1.1.1;mp=1.1";
    let first = "\"Boss\" <sip:1000@x>;index=1";
    let only = |setup: &mut Setup| setup.settings.forwarding.history = HISTORY_INFO;
    let trusted = |setup: &mut Setup| {
        only(setup);
        private_to_trusted(setup);
    };
    let own = "\"B\" <sip:1004@127.0.0.60:5060?Privacy=history&Reason=SIP%3Bcause%3D408>;index=1.1;rc=1";
    tells(&forwarded(trusted, &[line]), &[], &[first, own, target]);
    let untrusted = |setup: &mut Setup| {
        only(setup);
        private(setup);
    };
    let own = "<sip:anonymous@anonymous.invalid?Reason=SIP%3Bcause%3D408>;index=1.1;rc=1";
    tells(&forwarded(untrusted, &[line]), &[], &[first, own, target]);
    // History-Info is kept beside Diversion for what else it holds, and does not tell either.
    let beside = |setup: &mut Setup| {
        setup.settings.forwarding.history = DIVERSION;
        private(setup);
    };
    let diversion = format!("{ANONYMOUS};reason=no-answer;counter=1");
    let own = "<sip:anonymous@anonymous.invalid>;index=1.1;rc=1";
    tells(&forwarded(beside, &[line]), &[&diversion], &[first, own]);
}

#[test]
fn received_diversions_that_are_private_are_hidden_from_others() {
    for privacy in ["full", "uri", "name", "FULL", "\"full\""] {
        let line = format!(
            "Diversion: \"Boss\" <sip:2@x;user=phone>;reason=user-busy;privacy={privacy};counter=1;\
             screen=yes, <sip:1@x>;reason=away;privacy=off"
        );
        let b = passed_on(form(BOTH), &[&line]);
        let diversion =
            format!("{ANONYMOUS};reason=user-busy;counter=1;screen=yes, <sip:1@x>;reason=away;privacy=off");
        tells(
            &b,
            &[&diversion],
            &[
                "<sip:1@x?Privacy=none>;index=1",
                "<sip:anonymous@anonymous.invalid;cause=404>;index=1.1;mp=1",
                "<sip:1004@127.0.0.60;cause=486>;index=1.1.1;mp=1.1",
            ],
        );
        let trusting = |setup: &mut Setup| trust(setup, B);
        let b = passed_on(trusting, &[&line]);
        tells(
            &b,
            &[&line["Diversion: ".len()..]],
            &[
                "<sip:1@x?Privacy=none>;index=1",
                "<sip:2@x;user=phone;cause=404?Privacy=history>;index=1.1;mp=1",
                "<sip:1004@127.0.0.60;cause=486>;index=1.1.1;mp=1.1",
            ],
        );
    }
}

#[test]
fn received_entries_that_are_private_are_hidden_from_others() {
    let notations = [
        "Privacy=history",
        "privacy=HEADER",
        "Privacy=id",
        "Reason=SIP%3Bcause%3D486&Privacy=history",
        "Privacy=id%3Bhistory",
        "Privacy=none%3Bhistory",
    ];
    for escaped in notations {
        let line = format!(
            "History-Info: \"Boss\" <sip:1@x?{escaped}>;index=1, \
             <sip:1004@127.0.0.60;cause=486>;index=1.1;mp=1"
        );
        let target = "<sip:1004@127.0.0.60;cause=486>;index=1.1;mp=1";
        let b = passed_on(form(BOTH), &[&line]);
        let diversion = format!("{ANONYMOUS};reason=user-busy;counter=1");
        tells(&b, &[&diversion], &["<sip:anonymous@anonymous.invalid>;index=1", target]);
        let b = passed_on(|setup: &mut Setup| trust(setup, B), &[&line]);
        let first = format!("\"Boss\" <sip:1@x?{escaped}>;index=1");
        tells(&b, &["<sip:1@x>;reason=user-busy;counter=1;privacy=full"], &[&first, target]);
    }
}

#[test]
fn a_caller_who_wants_its_history_private_has_all_of_it_hidden() {
    let lines = [
        "Diversion: <sip:1@x>;reason=user-busy",
        "History-Info: <sip:1@x>;index=1, <sip:1004@127.0.0.60;cause=486>;index=1.1;mp=1",
    ];
    for (privacy, goes) in [("history", None), ("id; History", Some("id")), ("header", Some("header"))] {
        let line = format!("Privacy: {privacy}");
        let c = forwarded(form(BOTH), &[lines[0], lines[1], &line]);
        let own = format!("{ANONYMOUS};reason=no-answer;counter=1");
        tells(
            &c,
            &[&own, &format!("{ANONYMOUS};reason=user-busy")],
            &[
                "<sip:anonymous@anonymous.invalid>;index=1",
                "<sip:anonymous@anonymous.invalid;cause=486?Reason=SIP%3Bcause%3D408>;index=1.1;mp=1",
                "<sip:1005@127.0.0.60;cause=408>;index=1.1.1;mp=1.1",
            ],
        );
        // It was done: nobody need be asked for it again.
        assert_eq!(c.all("Privacy"), Vec::from_iter(goes), "{privacy}");
        let c = forwarded(|setup| trust(setup, C), &[lines[0], lines[1], &line]);
        assert_eq!(c.all("Privacy"), [privacy]);
        assert_eq!(c.list("History-Info")[0], "<sip:1@x>;index=1");
    }
}

#[test]
fn what_cannot_be_read_stays_out_where_it_may_be_private() {
    let lines = ["Diversion: <sip:1@x>;privacy=full, \"unclosed <sip:2@x>"];
    tells(&passed_on(form(BOTH), &lines), &[], &[]);
    let c = passed_on(|setup: &mut Setup| trust(setup, B), &lines);
    tells(&c, &["<sip:1@x>;privacy=full, \"unclosed <sip:2@x>"], &[]);
}
