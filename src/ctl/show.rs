//! What the server says, for people: tables, and times that one can read.

use crate::config::member;
use crate::directory::Condition;
use crate::ids::utc_stamp;
use comfy_table::presets::NOTHING;
use comfy_table::{Cell, Table};
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};

/// What stands where there is nothing.
const NONE: &str = "-";

/// A text without what would move a terminal's cursor: peers choose some of what is shown.
pub fn plain(text: &str) -> String {
    match text.chars().any(char::is_control) {
        true => text.escape_debug().to_string(),
        false => text.to_owned(),
    }
}

/// A value as it stands in a cell.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => NONE.to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) if text.is_empty() => NONE.to_owned(),
        Value::String(text) => plain(text),
        Value::Array(values) if values.is_empty() => NONE.to_owned(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

pub fn subscribers(page: &Value) -> String {
    let mut list: Vec<&Value> = page["subscribers"].as_array().into_iter().flatten().collect();
    // The server's order means nothing. Shorter numbers first, as people count.
    list.sort_by_key(|subscriber| {
        let number = subscriber["number"].as_str().unwrap_or_default();
        (number.len(), number.to_owned())
    });
    let rows = list.iter().map(|subscriber| {
        let mut cells = vec![text(&subscriber["number"]), forwards(subscriber)];
        let members = ["after_s", "bindings", "contact", "has_password", "configured"];
        cells.extend(members.map(|member| text(&subscriber[member])));
        cells
    });
    let head = ["NUMBER", "FORWARDS", "AFTER", "BINDINGS", "CONTACT", "PASSWORD", "CONFIGURED"];
    let mut shown = table(&head, rows.collect());
    let total = page["total"].as_u64().unwrap_or(0);
    if total > list.len() as u64 {
        shown.push_str(&format!("{} of {total} shown; --limit shows more\n", list.len()));
    }
    shown
}

/// A rule's target, and whether it is active.
fn rule(rule: &Value) -> Option<(String, bool)> {
    match rule {
        Value::Null => None,
        Value::Object(_) => Some((text(&rule["target"]), rule["active"] != Value::Bool(false))),
        target => Some((text(target), true)),
    }
}

/// The rules of a subscriber or of its forwarding, in the conditions' order.
fn rules(of: &Value) -> impl Iterator<Item = (Condition, String, bool)> {
    let rule = |condition: Condition| {
        let (target, is_active) = rule(&of[member(condition)])?;
        Some((condition, target, is_active))
    };
    Condition::ALL.into_iter().filter_map(rule)
}

/// `no-answer→1005, busy→1006 (off)`.
fn forwards(subscriber: &Value) -> String {
    let shown: Vec<String> = rules(subscriber)
        .map(|(condition, target, is_active)| {
            let off = if is_active { "" } else { " (off)" };
            format!("{}→{target}{off}", condition.name())
        })
        .collect();
    if shown.is_empty() { NONE.to_owned() } else { shown.join(", ") }
}

fn seconds(value: &Value) -> String {
    match value {
        Value::Null => NONE.to_owned(),
        value => format!("{} s", text(value)),
    }
}

pub fn subscriber(subscriber: &Value) -> String {
    let mut shown = pairs(&[("number", text(&subscriber["number"]))]);
    for (condition, target, is_active) in rules(subscriber) {
        let off = if is_active { "" } else { " (off)" };
        shown.push_str(&pairs(&[(&condition.name().replace('-', " "), format!("{target}{off}"))]));
    }
    shown.push_str(&pairs(&[
        ("after", seconds(&subscriber["after_s"])),
        ("headers", text(&subscriber["headers"])),
        ("privacy", text(&subscriber["privacy"])),
        ("contact", text(&subscriber["contact"])),
        ("bindings", text(&subscriber["bindings"])),
        ("password", text(&subscriber["has_password"])),
        ("configured", text(&subscriber["configured"])),
    ]));
    shown
}

pub fn forwarding(forwarding: &Value) -> String {
    let rows = rules(forwarding).map(|(condition, target, is_active)| {
        vec![condition.name().to_owned(), target, text(&Value::Bool(is_active))]
    });
    let mut shown = table(&["CONDITION", "TARGET", "ACTIVE"], rows.collect());
    shown.push_str(&pairs(&[
        ("after", seconds(&forwarding["after_s"])),
        ("headers", text(&forwarding["headers"])),
        ("privacy", text(&forwarding["privacy"])),
    ]));
    shown
}

pub fn bindings(page: &Value) -> String {
    let list = page["bindings"].as_array().into_iter().flatten();
    let rows = list.map(|binding| {
        let expires = binding["expires_s"].as_u64().map_or(NONE.to_owned(), duration);
        let [uri, destination, q] = ["uri", "destination", "q"].map(|member| text(&binding[member]));
        let [instance, path] = ["instance", "path"].map(|member| text(&binding[member]));
        vec![uri, destination, q, expires, instance, path]
    });
    table(&["CONTACT", "SENT TO", "Q", "EXPIRES IN", "INSTANCE", "PATH"], rows.collect())
}

pub fn calls(page: &Value) -> String {
    let list = page["calls"].as_array().into_iter().flatten();
    let now = now();
    let rows = list.map(|call| {
        let since = call["answered_at"].as_u64().or_else(|| call["started_at"].as_u64());
        let lasts = since.map_or(NONE.to_owned(), |since| duration(now.saturating_sub(since)));
        let [id, stage, caller] = ["id", "stage", "caller"].map(|member| text(&call[member]));
        let [called, by] = ["called", "diverted_by"].map(|member| text(&call[member]));
        vec![id, stage, caller, called, by, lasts]
    });
    let mut shown = table(&["ID", "STAGE", "CALLER", "CALLED", "FORWARDED BY", "FOR"], rows.collect());
    if page["next"].is_string() {
        shown.push_str("there are more; --limit shows them\n");
    }
    shown
}

pub fn call(call: &Value) -> String {
    let mut shown = pairs(&[
        ("id", text(&call["id"])),
        ("stage", text(&call["stage"])),
        ("caller", format!("{} from {}", text(&call["caller"]), text(&call["source"]))),
        ("called", text(&call["called"])),
        ("forwarded by", text(&call["diverted_by"])),
        ("started", time(&call["started_at"])),
        ("answered", time(&call["answered_at"])),
        ("Record-ID", text(&call["record_id"])),
    ]);
    shown.push_str(&media("caller media", &call["media"]));
    for leg in call["legs"].as_array().into_iter().flatten() {
        shown.push_str(&pairs(&[("leg", format!("{} {}", text(&leg["destination"]), text(&leg["stage"])))]));
        shown.push_str(&media("leg media", &leg["media"]));
    }
    shown
}

/// What was heard and said so far, a line each way; nothing where media is not anchored.
fn media(name: &str, media: &Value) -> String {
    if media.is_null() {
        return String::new();
    }
    let flow = |flow: &Value| {
        let [packets, bytes, lost, jitter] =
            ["packets", "bytes", "lost", "jitter_ms"].map(|member| text(&flow[member]));
        format!("{packets} packets, {bytes} bytes, {lost} lost, jitter {jitter} ms")
    };
    let (received, sent) = (flow(&media["received"]), flow(&media["sent"]));
    pairs(&[
        (name, format!("received {received}")),
        ("", format!("sent {sent}")),
        ("", format!("dropped {} packets", text(&media["dropped"]))),
    ])
}

pub fn status(status: &Value) -> String {
    let store = match status["store_error"].as_str() {
        None => text(&status["store"]),
        Some(error) => format!("{}: {}", text(&status["store"]), plain(error)),
    };
    pairs(&[
        ("version", text(&status["version"])),
        ("state", text(&status["state"])),
        ("started", time(&status["started_at"])),
        ("up for", status["uptime_s"].as_u64().map_or(NONE.to_owned(), duration)),
        ("shards", text(&status["shards"])),
        ("subscribers", text(&status["subscribers"])),
        ("calls", text(&status["calls"])),
        ("calls started", text(&status["calls_started"])),
        ("answered", text(&status["calls_answered"])),
        ("failed", text(&status["calls_failed"])),
        ("store", store),
    ])
}

/// A name and a value in each line.
fn pairs(pairs: &[(&str, String)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name:<13} {value}\n")).collect()
}

fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(head.iter().map(Cell::new));
    for row in rows {
        table.add_row(row);
    }
    let lines = table.lines().map(|line| line.trim().to_owned() + "\n");
    lines.collect()
}

/// `2026-11-22 21:36:38 UTC`.
fn time(seconds: &Value) -> String {
    let Some(seconds) = seconds.as_u64() else { return NONE.to_owned() };
    let stamp = String::from_utf8_lossy(&utc_stamp(seconds)).into_owned();
    let (date, time) = stamp.split_at(8);
    format!("{}-{}-{} {}:{}:{} UTC", &date[..4], &date[4..6], &date[6..], &time[..2], &time[2..4], &time[4..])
}

/// `0:42`, `1:05:00`, `3 d 02:11:09`.
fn duration(seconds: u64) -> String {
    let (days, hours, minutes, seconds) =
        (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes}:{seconds:02}"),
        (0, _) => format!("{hours}:{minutes:02}:{seconds:02}"),
        _ => format!("{days} d {hours:02}:{minutes:02}:{seconds:02}"),
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_and_durations_are_readable() {
        assert_eq!(time(&json!(1_381_399_635)), "2013-10-10 10:07:15 UTC");
        assert_eq!(time(&Value::Null), "-");
        assert_eq!(duration(42), "0:42");
        assert_eq!(duration(3_900), "1:05:00");
        assert_eq!(duration(267_069), "3 d 02:11:09");
    }

    #[test]
    fn a_call_shows_its_media_where_there_is_any() {
        let flow = |packets: u64| json!({ "packets": packets, "bytes": 172, "lost": 1, "jitter_ms": 0.125 });
        let figures = json!({ "received": flow(50), "sent": flow(49), "dropped": 3 });
        let legs = json!([{ "destination": "192.0.2.1:5060", "stage": "talking", "media": figures }]);
        let shown = call(&json!({ "id": "0-1-1", "media": null, "legs": legs }));
        assert!(!shown.contains("caller media"), "{shown}");
        let lines = "leg media     received 50 packets, 172 bytes, 1 lost, jitter 0.125 ms\n              \
                     sent 49 packets, 172 bytes, 1 lost, jitter 0.125 ms\n              dropped 3 packets\n";
        assert!(shown.ends_with(lines), "{shown}");
        let shown = call(&json!({ "id": "0-1-1", "media": figures, "legs": [] }));
        assert!(shown.contains("\ncaller media  received 50 packets, "), "{shown}");
    }

    #[test]
    fn what_a_peer_wrote_cannot_move_the_cursor() {
        assert_eq!(text(&json!("a\u{1b}[2J")), "a\\u{1b}[2J");
    }

    #[test]
    fn subscribers_are_listed_as_people_count() {
        let subscriber = |number: &str| json!({ "number": number, "no_answer": null, "has_password": true });
        let page =
            json!({ "subscribers": [subscriber("1005"), subscriber("22"), subscriber("1004")], "total": 9 });
        let shown = subscribers(&page);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[0].starts_with("NUMBER"), "{shown}");
        let numbers: Vec<&str> = lines[1..4].iter().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(numbers, ["22", "1004", "1005"]);
        assert_eq!(lines[4], "3 of 9 shown; --limit shows more");
    }
}
