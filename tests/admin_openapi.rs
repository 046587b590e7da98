//! The OpenAPI description by itself: it is sound, and it speaks of this version. What the server answers is
//! held against it in `admin_api.rs`.
#![cfg(feature = "server")]

use serde_json::{Value, json};
use std::collections::HashSet;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

fn description() -> Value {
    serde_json::from_str(ringway::admin::OPENAPI).expect("JSON")
}

/// Every value in the document, with its place.
fn walk<'v>(place: &str, value: &'v Value, see: &mut impl FnMut(&str, &'v Value)) {
    see(place, value);
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| walk(&format!("{place}/{name}"), value, see));
        }
        Value::Array(values) => {
            values.iter().enumerate().for_each(|(at, value)| walk(&format!("{place}/{at}"), value, see));
        }
        _ => {}
    }
}

#[test]
fn it_speaks_of_this_version() {
    let document = description();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(document["info"]["license"]["identifier"], env!("CARGO_PKG_LICENSE"));
}

#[test]
fn whatever_is_referred_to_is_there_and_whatever_is_there_is_referred_to() {
    let document = description();
    let mut referred = HashSet::new();
    walk("", &document, &mut |place, value| {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            let target = reference.strip_prefix('#').expect("within the document");
            assert!(document.pointer(target).is_some(), "{place}: {reference}");
            referred.insert(target.to_owned());
        }
    });
    for kind in ["schemas", "responses"] {
        for name in document["components"][kind].as_object().expect("components").keys() {
            assert!(referred.contains(&format!("/components/{kind}/{name}")), "{name} is of no use");
        }
    }
}

#[test]
fn operations_are_named_once_and_say_what_they_take_and_answer() {
    let document = description();
    let tags: Vec<&Value> =
        document["tags"].as_array().expect("tags").iter().map(|tag| &tag["name"]).collect();
    let mut names = HashSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let declared = item["parameters"].as_array().into_iter().flatten();
        let mut declared: Vec<&str> =
            declared.filter(|one| one["in"] == "path").map(|one| one["name"].as_str().unwrap()).collect();
        let mut wanted: Vec<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        declared.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(declared, wanted, "{path}");
        for (method, operation) in item.as_object().expect("an item") {
            if method == "parameters" {
                continue;
            }
            assert!(METHODS.contains(&method.as_str()), "{path}: {method}");
            let name = operation["operationId"].as_str().expect("a name");
            assert!(names.insert(name.to_owned()), "{name} is there twice");
            assert!(operation["summary"].is_string() && tags.contains(&&operation["tags"][0]), "{name}");
            let responses = operation["responses"].as_object().expect("responses");
            assert!(responses.keys().any(|status| status.starts_with('2')), "{name}");
            for (status, response) in responses {
                assert!(status.len() == 3 && status.parse::<u16>().is_ok(), "{name}: {status}");
                let is_whole = response["description"].is_string() || response["$ref"].is_string();
                assert!(is_whole, "{name}: {status}");
            }
            let takes_body = ["post", "put", "patch"].contains(&method.as_str());
            assert_eq!(operation["requestBody"].is_object(), takes_body, "{name}");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(parameter["schema"].is_object() && parameter["description"].is_string(), "{name}");
            }
        }
    }
    assert!(names.len() >= 16, "{names:?}");
}

#[test]
fn every_schema_is_one_by_json_schema_2020_12() {
    let document = description();
    let mut count = 0;
    walk("", &document, &mut |place, value| {
        if place.ends_with("/schema")
            || place.starts_with("/components/schemas/") && place.matches('/').count() == 3
        {
            assert!(jsonschema::draft202012::meta::is_valid(value), "{place}");
            count += 1;
        }
    });
    assert!(count > 30, "{count}");
}

#[test]
fn objects_are_closed_and_what_they_require_they_have() {
    let document = description();
    let mut count = 0;
    walk("", &document["components"]["schemas"], &mut |name, schema| {
        if schema["properties"].is_object() && schema["type"] == "object" {
            count += 1;
            assert_eq!(schema["additionalProperties"], json!(false), "{name}");
            for required in schema["required"].as_array().expect("a list") {
                assert!(schema["properties"][required.as_str().unwrap()].is_object(), "{name}: {required}");
            }
        }
    });
    assert!(count > 15, "{count}");
}

#[test]
fn only_health_needs_no_token() {
    let document = description();
    assert_eq!(document["security"], json!([{ "token": [] }]));
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in METHODS {
            if item[method].is_object() {
                assert_eq!(item[method]["security"] == json!([]), path.starts_with("/health/"), "{path}");
            }
        }
    }
}
