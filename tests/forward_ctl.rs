//! Forwarding by the admin API and by `ringway ctl forward`: what is set, shown, refused and imported.
#![cfg(feature = "server")]

#[expect(dead_code, reason = "each test file uses its part")]
mod admin;

use admin::phone::Phone;
use admin::{Running, Setup};
use ringway::ctl::{Surroundings, run};
use ringway::directory::{Condition, Subscriber};
use ringway::service;
use serde_json::{Value, json};

/// What a command printed, and its exit code.
#[derive(Debug)]
struct Said {
    code: u8,
    output: String,
    errors: String,
}

fn ctl(running: &Running, args: &[&str], input: &str) -> Said {
    let url = running.url();
    let args = ["--url", url.as_str()].into_iter().chain(args.iter().copied()).map(Into::into);
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let mut around = Surroundings {
        input: &mut input.as_bytes(),
        output: &mut output,
        errors: &mut errors,
        variable: &|_| None,
    };
    let code = run(args, &mut around);
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Said { code, output: text(output), errors: text(errors) }
}

/// The same; it must go well.
#[track_caller]
fn good(running: &Running, args: &[&str]) -> String {
    let said = ctl(running, args, "");
    assert_eq!((said.code, said.errors.as_str()), (0, ""), "{args:?}");
    said.output
}

/// A server with 1003 to 1008 and a route to all numbers that begin with +.
fn running() -> Running {
    let forwarding = service::Settings {
        routes: vec![service::Route {
            prefix: "+".into(),
            host: "192.0.2.9".into(),
            destination: "192.0.2.9:5060".parse().expect("an address"),
        }],
        number_rules: vec![service::NumberRule { prefix: "9".into(), replacement: "".into() }],
        ..service::Settings::default()
    };
    let running = Running::with(Setup { forwarding, ..Setup::default() });
    (1003..=1008).for_each(|number: u32| {
        running.add(json!({ "number": number.to_string() }));
    });
    running
}

fn patch(running: &Running, number: &str, body: Value) -> admin::Answer {
    running.ask("PATCH", &format!("/v1/subscribers/{number}/forwarding"), Some(&body))
}

#[test]
fn every_member_is_set_shown_changed_and_erased() {
    let running = running();
    let nothing = json!({
        "unconditional": null, "busy": null, "no_answer": null, "not_registered": null,
        "not_reachable": null, "after_s": null, "headers": null, "privacy": "off",
    });
    assert_eq!(running.get("/v1/subscribers/1004/forwarding"), nothing);
    let all = json!({
        "unconditional": { "target": "1005", "active": false }, "busy": "sip:desk@192.0.2.1",
        "no_answer": "tel:+49-30-1", "not_registered": "1006", "not_reachable": "+4930",
        "after_s": 30, "headers": "diversion", "privacy": "full",
    });
    assert_eq!(patch(&running, "1004", all.clone()).json(), all);
    assert_eq!(running.get("/v1/subscribers/1004/forwarding"), all);
    let subscriber = running.get("/v1/subscribers/1004");
    for (member, value) in all.as_object().expect("members") {
        assert_eq!(subscriber[member], *value, "{member}");
    }
    // An object alone says what becomes of the target that is there.
    let now = patch(&running, "1004", json!({ "unconditional": { "active": true } })).json();
    assert_eq!(now["unconditional"], "1005");
    let now = patch(&running, "1004", json!({ "busy": { "active": false }, "headers": null })).json();
    assert_eq!(now["busy"], json!({ "target": "sip:desk@192.0.2.1", "active": false }));
    assert_eq!(
        (&now["headers"], &now["privacy"], &now["after_s"]),
        (&Value::Null, &json!("full"), &json!(30))
    );
    // The whole is written anew: what it does not name is gone.
    let path = "/v1/subscribers/1004";
    let put = running.ask("PUT", path, Some(&json!({ "busy": "1006", "privacy": "off" }))).json();
    assert_eq!(
        (&put["busy"], &put["no_answer"], &put["privacy"]),
        (&json!("1006"), &Value::Null, &json!("off"))
    );
    assert_eq!(
        running.ask("PUT", path, Some(&json!({ "busy": { "active": false } }))).problem(422),
        "busy: there is no target"
    );
    let erased = patch(&running, "1004", json!({ "busy": null })).json();
    assert_eq!(erased, nothing);
    let off = patch(&running, "1004", json!({ "busy": { "active": false } })).json();
    assert_eq!(off, nothing, "what is not there is off already");
    let added = running.add(json!({ "number": "1010", "not_reachable": "1004", "headers": "none" }));
    assert_eq!((&added["not_reachable"], &added["headers"]), (&json!("1004"), &json!("none")));
    assert_eq!(running.get("/v1/subscribers?limit=1000")["total"], 7);
    let configured = vec![Subscriber::new("1").forwarding_to(Condition::Busy, "2"), Subscriber::new("2")];
    let other = Running::with(Setup { configured, ..Setup::default() });
    assert_eq!(other.get("/v1/subscribers/1/forwarding")["busy"], "2");
    assert!(patch(&other, "1", json!({ "busy": null })).problem(409).contains("configuration"));
    assert_eq!(patch(&other, "3", json!({ "busy": null })).problem(404), "nobody has this number");
    assert_eq!(other.ask("GET", "/v1/subscribers/3/forwarding", None).status, 404);
}

#[test]
fn what_leads_nowhere_is_refused_with_the_member_and_the_reason() {
    let running = running();
    let here = format!("sip:1004@{}", running.sip);
    let (number, uri) = ("1".repeat(65), format!("sip:{}@192.0.2.1", "x".repeat(600)));
    for (target, reason) in [
        ("1004", "a subscriber cannot forward to itself"),
        ("tel:1004", "a subscriber cannot forward to itself"),
        (&here, "a subscriber cannot forward to itself"),
        ("91004", "a subscriber cannot forward to itself"),
        ("112", "112 is an emergency number"),
        ("tel:112", "tel:112 is an emergency number"),
        ("9911", "9911 is an emergency number"),
        ("sip:911@192.0.2.1", "sip:911@192.0.2.1 is an emergency number"),
        ("2000", "nobody has the number 2000, and no route leads there"),
        (&number, "it is too long"),
        (&uri, "it is too long"),
        ("sips:x@192.0.2.1", "only sip URIs over UDP can be called"),
        ("sip:x@192.0.2.1;transport=tcp", "only sip URIs over UDP can be called"),
        ("sip:x@example.net", "the host is not an IP address, and names are not looked up"),
        ("sip:192.0.2.1", "nobody is reached at that URI"),
        ("sip:x@192.0.2.1?Subject=y", "a URI with header fields or a method is no target"),
        ("mailto:x", "not a number, a sip URI or a tel URI"),
        ("10 05", "not a number, a sip URI or a tel URI"),
        ("", "there is no target"),
    ] {
        for value in [json!(target), json!({ "target": target, "active": false })] {
            let refused = patch(&running, "1004", json!({ "not_reachable": value })).problem(422);
            assert_eq!(refused, format!("not_reachable: {reason}"));
        }
    }
    for (body, start) in [
        (json!({ "busy": 1005 }), "invalid type: integer"),
        (json!({ "busy": { "target": "1005", "until": "noon" } }), "busy: unknown field \"until\""),
        (json!({ "busy": { "active": true } }), "busy: there is no target"),
        (json!({ "headers": "rfc5806" }), "headers: \"rfc5806\" is none of diversion, history-info"),
        (json!({ "privacy": "id" }), "privacy: \"id\" is neither off nor full"),
        (json!({ "after_s": 181 }), "after_s: 181: expected whole seconds from 5 to 180"),
        (json!({ "number": "1004" }), "unknown field `number`"),
        (json!({ "password": "x" }), "unknown field `password`"),
    ] {
        let refused = patch(&running, "1004", body.clone()).problem(422);
        assert!(refused.starts_with(start), "{body}: {refused}");
    }
    assert_eq!(patch(&running, "1004", json!({ "busy": "+4930" })).status, 200, "a route leads there");
}

#[test]
fn loops_of_any_length_are_named() {
    let running = running();
    let set = |number: &str, body: Value| patch(&running, number, body);
    assert_eq!(set("1004", json!({ "busy": "1005" })).status, 200);
    assert_eq!(
        set("1005", json!({ "no_answer": "1004" })).problem(422),
        "no_answer: calls would go in a loop: 1005 → 1004 → 1005"
    );
    assert_eq!(set("1005", json!({ "no_answer": "1006" })).status, 200);
    assert_eq!(
        set("1006", json!({ "unconditional": "1004" })).problem(422),
        "unconditional: calls would go in a loop: 1006 → 1004 → 1005 → 1006"
    );
    for (number, target) in [("1006", "1007"), ("1007", "tel:1008"), ("1008", "1003")] {
        assert_eq!(set(number, json!({ "not_registered": target })).status, 200);
    }
    assert_eq!(
        set("1003", json!({ "busy": "1004" })).problem(422),
        "busy: calls would go in a loop: 1003 → 1004 → 1005 → 1006 → 1007 → 1008 → 1003"
    );
    // A rule that is not active leads nowhere, until it is activated.
    let inactive = json!({ "busy": { "target": "1004", "active": false } });
    assert_eq!(set("1003", inactive).status, 200);
    let refused = set("1003", json!({ "busy": { "active": true } })).problem(422);
    assert!(refused.starts_with("busy: calls would go in a loop: 1003 → 1004"), "{refused}");
    assert_eq!(set("1006", json!({ "not_registered": { "active": false } })).status, 200);
    assert_eq!(set("1003", json!({ "busy": { "active": true } })).json()["busy"], "1004");
}

#[test]
fn forwarding_that_is_set_is_met_by_the_next_call() {
    let running = Running::new();
    let (a, b) = (Phone::new(running.sip), Phone::new(running.sip));
    running.add(json!({ "number": "1005", "contact": b.contact("1005") }));
    running.add(json!({ "number": "1004", "not_registered": "1005" }));
    a.call("1003", "1004");
    let ours = b.expect("INVITE sip:1005@");
    b.respond(&ours, "180 Ringing");
    a.expect("SIP/2.0 181");
}

#[test]
fn by_hand_it_is_set_shown_turned_off_and_on_and_erased() {
    let running = running();
    let shown = good(
        &running,
        &[
            "forward",
            "set",
            "1004",
            "--no-answer",
            "1005",
            "--busy",
            "+4930",
            "--after",
            "20",
            "--privacy",
            "full",
        ],
    );
    let lines: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["CONDITION", "TARGET", "ACTIVE"]);
    assert_eq!(
        (&lines[1][..], &lines[2][..]),
        (&["busy", "+4930", "yes"][..], &["no-answer", "1005", "yes"][..])
    );
    assert_eq!(lines[3..], [vec!["after", "20", "s"], vec!["headers", "-"], vec!["privacy", "full"]]);
    assert_eq!(good(&running, &["forward", "show", "1004"]), shown);
    let json: Value =
        serde_json::from_str(&good(&running, &["--json", "forward", "show", "1004"])).expect("JSON");
    assert_eq!(json, running.get("/v1/subscribers/1004/forwarding"));

    let off = good(&running, &["forward", "off", "1004", "--busy"]);
    assert!(off.lines().nth(1).is_some_and(|line| line.ends_with("no")), "{off}");
    assert_eq!(running.get("/v1/subscribers/1004")["no_answer"], "1005");
    let list = good(&running, &["subscriber", "list"]);
    assert!(list.contains("1004    busy→+4930 (off), no-answer→1005 "), "{list}");
    let one = good(&running, &["subscriber", "show", "1004"]);
    assert!(one.contains("busy          +4930 (off)\nno answer     1005\n"), "{one}");
    for all in [&["forward", "off", "1004", "all"][..], &["forward", "off", "1004"]] {
        good(&running, all);
        let now = running.get("/v1/subscribers/1004");
        assert_eq!((&now["no_answer"]["active"], &now["busy"]["active"]), (&json!(false), &json!(false)));
        good(&running, &["forward", "on", "1004"]);
        assert_eq!(running.get("/v1/subscribers/1004")["busy"], "+4930");
    }
    good(&running, &["forward", "off", "1004", "--busy", "--erase"]);
    assert_eq!(running.get("/v1/subscribers/1004")["busy"], Value::Null);
    good(&running, &["forward", "set", "1004", "--no-answer", "", "--after", "", "--privacy", "off"]);
    let nothing = running.get("/v1/subscribers/1005/forwarding");
    assert_eq!(running.get("/v1/subscribers/1004/forwarding"), nothing);

    let refused = |args: &[&str], code| {
        let said = ctl(&running, args, "");
        assert_eq!((said.code, said.output.as_str(), said.errors.lines().count()), (code, "", 1), "{said:?}");
        said.errors
    };
    assert!(refused(&["forward", "set", "1004", "--busy", "1004"], 1).contains("busy: a subscriber cannot"));
    assert!(refused(&["forward", "set", "1004", "--busy", "112"], 1).contains("emergency"));
    assert!(refused(&["forward", "on", "1004"], 1).contains("nothing is set that could be activated"));
    assert!(refused(&["forward", "on", "1004", "--busy"], 1).contains("busy: there is no target"));
    assert!(refused(&["forward", "set", "1004"], 2).contains("nothing to set; give --no-answer"));
    assert!(
        refused(&["forward", "set", "1004", "--after", "x"], 2).contains("--after x: not a whole number")
    );
    assert!(refused(&["forward", "off", "1004", "all", "--busy"], 2).contains("--busy"));
    assert!(refused(&["forward", "show", "7"], 3).contains("nobody has this number"));
}

const FILE: &str = "\
number,condition,target,active,after
1003,unconditional,1004,no,
1004,no-answer,1005,yes,25
\"1005\", busy ,\"sip:desk@192.0.2.1;user=phone\",,
1005,no_answer,1004,,
1006,busy,112,,

1007,sometimes,1005,,
1007,busy,1005,maybe,
1007,no-answer,1005,,soon
1007,busy,1005
1099,busy,1005,,
,busy,1005,,
1008,not-reachable,+4930,true,
";

#[test]
fn a_file_is_imported_line_by_line_and_what_is_refused_is_named() {
    let running = running();
    let said = ctl(&running, &["forward", "import", "-"], FILE);
    let errors: Vec<&str> = said.errors.lines().collect();
    assert_eq!(
        errors,
        [
            "line 5: 1005: no_answer: calls would go in a loop: 1005 → 1004 → 1005",
            "line 6: 1006: busy: 112 is an emergency number",
            "line 8: 1007: condition: \"sometimes\" is none of unconditional, busy, no-answer, \
             not-registered, not-reachable",
            "line 9: 1007: active: \"maybe\" is neither yes nor no",
            "line 10: 1007: after: \"soon\" is not a whole number of seconds",
            "line 11: 1007: it has 3 fields, and the heading 5",
            "line 12: 1099: nobody has this number",
            "line 13: number: it is empty",
            "ringway ctl: 8 lines were refused",
        ]
    );
    assert_eq!((said.code, said.output.as_str()), (1, "4 rules are set\n"));
    assert_eq!(
        running.get("/v1/subscribers/1003")["unconditional"],
        json!({ "target": "1004", "active": false })
    );
    let four = running.get("/v1/subscribers/1004");
    assert_eq!((&four["no_answer"], &four["after_s"]), (&json!("1005"), &json!(25)));
    assert_eq!(running.get("/v1/subscribers/1005")["busy"], "sip:desk@192.0.2.1;user=phone");
    assert_eq!(running.get("/v1/subscribers/1008")["not_reachable"], "+4930");

    let said = ctl(&running, &["--json", "forward", "import", "-"], FILE);
    let report: Value = serde_json::from_str(&said.output).expect("JSON");
    assert_eq!((&report["set"], report["refused"].as_array().map(Vec::len)), (&json!(4), Some(8)));
    assert_eq!((&report["refused"][0]["line"], &report["refused"][0]["number"]), (&json!(5), &json!("1005")));
}

#[test]
fn a_file_comes_from_anywhere_and_a_heading_that_makes_no_sense_sets_nothing() {
    let running = running();
    let path = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("forward.csv");
    // As a spreadsheet writes it: with a mark in front, capitals and CRLF.
    std::fs::write(&path, "\u{feff}Target,Number,Condition\r\n1005,1004,busy\r\n").expect("written");
    let path = path.to_str().expect("UTF-8");
    assert_eq!(good(&running, &["forward", "import", path]), "1 rule is set\n");
    assert_eq!(running.get("/v1/subscribers/1004")["busy"], "1005");
    for (file, input, reason) in [
        ("/no/such", "", "/no/such: it cannot be read: "),
        ("-", "", "-: it is empty; the first line names the columns: number,condition"),
        ("-", "condition,target\n", "-: the column number is missing; the first line names the columns"),
        ("-", "number,condition\n1004,busy\n", "-: the column target is missing"),
        ("-", "number,condition,target,colour\n", "-: unknown column \"colour\""),
        ("-", "number,condition,target,number\n", "-: the column number is there twice"),
    ] {
        let said = ctl(&running, &["forward", "import", file], input);
        assert_eq!((said.code, said.output.as_str()), (1, ""), "{said:?}");
        assert!(said.errors.starts_with(&format!("ringway ctl: {reason}")), "{}", said.errors);
    }
    let Running { admin, .. } = running;
    let url = format!("http://{}", admin.address());
    drop(admin);
    let mut errors = Vec::new();
    let mut around = Surroundings {
        input: &mut FILE.as_bytes(),
        output: &mut Vec::new(),
        errors: &mut errors,
        variable: &|_| None,
    };
    let args = ["--url", url.as_str(), "forward", "import", "-"].map(Into::into);
    assert_eq!(run(args, &mut around), 1);
    let said = String::from_utf8(errors).expect("UTF-8");
    assert!(said.contains("does not answer") && said.lines().count() == 1, "{said}");
}

/// A file that is read slowly: before its last lines are, the server ends.
struct Slow {
    pieces: Vec<&'static [u8]>,
    admin: Option<ringway::admin::Admin>,
}

impl std::io::Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = std::io::Read::read(&mut std::io::BufRead::fill_buf(self)?, buffer)?;
        std::io::BufRead::consume(self, length);
        Ok(length)
    }
}

impl std::io::BufRead for Slow {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        if self.pieces.len() == 1 {
            drop(self.admin.take());
        }
        Ok(self.pieces.first().copied().unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        if let Some(piece) = self.pieces.first_mut() {
            *piece = &piece[count..];
            if piece.is_empty() {
                self.pieces.remove(0);
            }
        }
    }
}

#[test]
fn an_import_that_is_broken_off_tells_of_what_it_was_refused_before() {
    for json in [false, true] {
        let running = running();
        let Running { admin, .. } = running;
        let url = format!("http://{}", admin.address());
        let pieces: Vec<&[u8]> = vec![
            b"number,condition,target\n1004,busy,1005\n1099,busy,1005\n",
            b"1006,busy,1005\n1007,busy,1005\n",
        ];
        let mut slow = Slow { pieces, admin: Some(admin) };
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let mut around =
            Surroundings { input: &mut slow, output: &mut output, errors: &mut errors, variable: &|_| None };
        let args = ["--url", url.as_str(), "forward", "import", "-"].into_iter().map(Into::into);
        let code = run(json.then(|| "--json".into()).into_iter().chain(args), &mut around);
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let (output, errors) = (text(output), text(errors));
        assert_eq!(code, 1);
        let broken = errors.lines().last().expect("a reason");
        assert!(broken.starts_with("ringway ctl: -: line 4: "), "{errors}");
        assert!(broken.ends_with("; 1 rules before it are set"), "{errors}");
        if json {
            let report: Value = serde_json::from_str(&output).expect("JSON");
            assert_eq!((&report["set"], &report["refused"][0]["line"]), (&json!(1), &json!(3)));
        } else {
            assert!(errors.starts_with("line 3: 1099: nobody has this number\n"), "{errors}");
            assert_eq!(output, "1 rule is set\n");
        }
    }
}

#[test]
fn a_file_whose_lines_end_in_cr_alone_is_refused() {
    let running = running();
    let file = "number,condition,target\r1004,busy,1005\r1006,busy,1005\r";
    let said = ctl(&running, &["forward", "import", "-"], file);
    assert_eq!((said.code, said.output.as_str()), (1, ""), "{said:?}");
    assert!(said.errors.starts_with("ringway ctl: -: line 1: it has a carriage return (CR)"), "{said:?}");
    let file = "number,condition,target\r\n1004,busy,1005\r1006,busy,1005\r\n\r\n1007,busy,1005\r\n";
    let said = ctl(&running, &["forward", "import", "-"], file);
    assert_eq!((said.code, said.output.as_str()), (1, "1 rule is set\n"), "{said:?}");
    assert!(said.errors.starts_with("line 2: it has a carriage return (CR)"), "{said:?}");
}
