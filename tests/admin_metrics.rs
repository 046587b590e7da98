//! `/metrics` as Prometheus reads it: text format 0.0.4, names as its practice wants them, nobody's number.
#![cfg(feature = "server")]

#[expect(dead_code, reason = "each test file uses its part")]
mod admin;

use admin::Running;
use admin::phone::Phone;
use ringway::metrics::Metrics;
use serde_json::json;
use std::collections::{HashMap, HashSet};

/// One family: its kind and its samples, labels and value.
#[derive(Debug, Default)]
struct Family {
    help: String,
    kind: String,
    samples: Vec<(String, f64)>,
}

/// Reads the text as the format's description says, and fails where it departs from it.
fn parse(text: &str) -> HashMap<String, Family> {
    let mut families: HashMap<String, Family> = HashMap::new();
    let mut current = String::new();
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text");
            assert!(!families.contains_key(name), "{name} is there twice");
            current = name.to_owned();
            families.insert(current.clone(), Family { help: help.to_owned(), ..Family::default() });
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a kind");
            assert_eq!(name, current, "TYPE follows its HELP");
            assert!(["counter", "gauge"].contains(&kind), "{line}");
            families.get_mut(name).expect("a family").kind = kind.to_owned();
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = series
                .split_once('{')
                .map_or((series, ""), |(name, rest)| (name, rest.strip_suffix('}').expect("labels end")));
            assert_eq!(name, current, "samples follow their head");
            let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(name.chars().all(is_name) && name.starts_with("ringway_"), "{name}");
            let value = value.parse().expect("a number");
            families.get_mut(name).expect("a family").samples.push((labels.to_owned(), value));
        }
    }
    families
}

#[test]
fn every_counter_is_there_with_a_help_text_and_total() {
    let running = Running::new();
    let answer = running.ask("GET", "/metrics", None);
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let families = parse(&answer.text);
    for name in Metrics::NAMES.iter().chain(ringway::store::keeper::Figures::NAMES) {
        let family = families.get(&format!("ringway_{name}_total")).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(family.kind, "counter", "{name}");
    }
    for name in ["cdr_written", "cdr_lost", "cdr_errors"] {
        assert_eq!(families[&format!("ringway_{name}_total")].kind, "counter", "{name}");
    }
    for (name, family) in &families {
        assert_eq!(family.samples.len(), 1, "{name}");
        assert!(family.help.ends_with('.') || family.help.ends_with(')'), "{name}: {}", family.help);
        assert!(!family.help.contains("  ") && !family.help.contains('\\'), "{name}: {}", family.help);
        assert_eq!(name.ends_with("_total"), family.kind == "counter", "{name}");
        for unit in ["_ms", "_milliseconds", "_minutes", "_kib", "_percent"] {
            assert!(!name.contains(unit), "{name} is not in a base unit");
        }
    }
    for gauge in ["calls", "subscribers", "bindings", "shards", "draining", "store_up", "build_info"] {
        assert_eq!(families[&format!("ringway_{gauge}")].kind, "gauge");
    }
    let help: HashSet<&String> = families.values().map(|family| &family.help).collect();
    assert_eq!(help.len(), families.len(), "two mean the same");
}

#[test]
fn figures_follow_what_happens_and_name_no_number() {
    let running = Running::new();
    let (a, b) = (Phone::new(running.sip), Phone::new(running.sip));
    running.add(json!({ "number": "48151623", "contact": b.contact("48151623") }));
    let invite = a.call("42108108", "48151623");
    let ours = b.expect("INVITE");
    b.respond(&ours, "180 Ringing");
    a.expect("SIP/2.0 180");
    let value = |name: &str| parse(&running.ask("GET", "/metrics", None).text)[name].samples[0].1;
    running.wait_for("/v1/status", |status| (status["calls"] == 1).then_some(()));
    assert_eq!(value("ringway_calls"), 1.0);
    assert_eq!(value("ringway_subscribers"), 1.0);
    assert_eq!(value("ringway_calls_started_total"), 1.0);
    assert_eq!((value("ringway_store_up"), value("ringway_draining")), (1.0, 0.0));
    b.respond(&ours, "486 Busy Here");
    a.acknowledge(&invite, &a.expect("SIP/2.0 486"));
    running.wait_for("/v1/status", |status| (status["calls"] == 0).then_some(()));
    assert_eq!(value("ringway_calls_failed_total"), 1.0);
    let text = running.ask("GET", "/metrics", None).text;
    assert!(!text.contains("48151623") && !text.contains("42108108"));
    let labels: Vec<String> =
        parse(&text).into_values().flat_map(|family| family.samples).map(|(labels, _)| labels).collect();
    let labelled: Vec<&String> = labels.iter().filter(|labels| !labels.is_empty()).collect();
    assert_eq!(labelled, [&format!("version=\"{}\"", env!("CARGO_PKG_VERSION"))]);
}
