//! The admin API over HTTP; every answer is also held against the OpenAPI description.
#![cfg(feature = "server")]

mod admin;

use admin::phone::Phone;
use admin::{PATIENCE, Running, Setup, send};
use ringway::clock::UnixSeconds;
use ringway::directory::{Binding, Extras, Subscriber};
use ringway::mail::Letter;
use ringway::net::post::Envelope;
use ringway::outbox::ListenerId;
use ringway::registrar::{Change, Contacts};
use ringway::slab::Handle;
use ringway::store::{Found, Record, Store, StoreError, Verdict, Write as StoreWrite};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

const TOKEN: &str = "0123456789abcdef";

#[test]
fn a_subscriber_is_added_shown_changed_and_removed() {
    let running = Running::new();
    running.add(json!({ "number": "1005" }));
    let added =
        running.add(json!({ "number": "1004", "password": "secret", "no_answer": "1005", "after_s": 20 }));
    assert_eq!(added["has_password"], true);
    assert_eq!(running.get("/v1/subscribers/1004"), added);
    assert!(!added.to_string().contains("secret"));

    let path = "/v1/subscribers/1004";
    let changed = running.ask("PATCH", path, Some(&json!({ "after_s": null, "no_answer": "1005" }))).json();
    assert_eq!((&changed["after_s"], &changed["no_answer"]), (&Value::Null, &json!("1005")));
    assert_eq!(changed["has_password"], true);
    assert!(changed["revision"].as_u64() > added["revision"].as_u64());
    let changed = running.ask("PATCH", path, Some(&json!({ "password": null }))).json();
    assert_eq!(changed["has_password"], false);

    assert_eq!(running.ask("DELETE", path, None).status, 204);
    assert_eq!(running.ask("GET", path, None).problem(404), "nobody has this number");
    assert_eq!(running.ask("DELETE", path, None).problem(404), "nobody has this number");
    assert_eq!(running.ask("PATCH", path, Some(&json!({ "after_s": 9 }))).status, 404);
}

#[test]
fn what_is_added_is_where_location_says() {
    let running = Running::new();
    for number in ["1004", "+49 30/1".replace(' ', "").as_str(), "a&b=c"] {
        let answer = running.ask("POST", "/v1/subscribers", Some(&json!({ "number": number })));
        let location = answer.headers["location"].to_str().expect("ASCII").to_owned();
        assert_eq!(running.get(&location)["number"], number);
    }
}

#[test]
fn put_adds_or_replaces_but_keeps_the_password_that_it_does_not_name() {
    let running = Running::new();
    let path = "/v1/subscribers/1004";
    let put = |body: Value| running.ask("PUT", path, Some(&body));
    assert_eq!(put(json!({ "password": "secret", "after_s": 20 })).status, 201);
    let answer = put(json!({ "number": "1004", "contact": "sip:1004@127.0.0.1:5070" }));
    assert_eq!(answer.status, 200);
    let now = answer.json();
    assert_eq!((&now["has_password"], &now["after_s"]), (&json!(true), &Value::Null));
    assert_eq!(now["contact"], "sip:1004@127.0.0.1:5070");
    assert_eq!(put(json!({ "password": null })).json()["has_password"], false);
    assert_eq!(
        put(json!({ "number": "1005" })).problem(422),
        "number: the path names 1004; a number does not change"
    );
}

#[test]
fn the_password_is_kept_as_hashes_of_the_realm() {
    let running = Running::new();
    running.add(json!({ "number": "1004", "password": "secret" }));
    let handle = running.keeper.handle();
    let view = handle.directory().read();
    let kept = view.get(b"1004").expect("it").subscriber.credentials.clone().expect("credentials");
    assert!(*kept == ringway::auth::digest::credentials("1004", admin::REALM, "secret"));
}

#[test]
fn what_makes_no_sense_is_refused_with_the_member_that_is_wrong() {
    let running = Running::new();
    running.add(json!({ "number": "1004" }));
    let refused = |body: Value| running.ask("POST", "/v1/subscribers", Some(&body)).problem(422);
    for (body, start) in [
        (json!({}), "number: it is missing"),
        (json!({ "number": "" }), "number: "),
        (json!({ "number": "10 04" }), "number: "),
        (json!({ "number": 1004 }), "invalid type: integer"),
        (json!({ "number": "1006", "no_answer": "1006" }), "no_answer: "),
        (json!({ "number": "1006", "no_answer": "7" }), "no_answer: "),
        (json!({ "number": "1006", "after_s": 4 }), "after_s: "),
        (json!({ "number": "1006", "after_s": 4_294_968 }), "after_s: it is too large"),
        (
            json!({ "number": "1006", "contact": "sip:1006@phone.example" }),
            "contact: the host is not an IP address",
        ),
        (json!({ "number": "1006", "password": "" }), "password: it is empty"),
        (json!({ "number": "1006", "password": "a\nb" }), "password: "),
        (json!({ "number": "1006", "pasword": "x" }), "unknown field `pasword`"),
    ] {
        let detail = refused(body.clone());
        assert!(detail.starts_with(start), "{body}: {detail}");
    }
    let again = running.ask("POST", "/v1/subscribers", Some(&json!({ "number": "1004" })));
    assert_eq!(again.problem(409), "somebody has this number already");
}

#[test]
fn what_cannot_be_read_is_refused() {
    let running = Running::new();
    let post = |headers: &[(&str, &str)], body: &str| {
        running.ask_with("POST", "/v1/subscribers", headers, Some(body.to_owned()))
    };
    let json_type = [("content-type", "application/json; charset=utf-8")];
    assert!(post(&json_type, "{").problem(400).starts_with("the body is not JSON"));
    assert!(post(&[("content-type", "text/plain")], "{}").problem(415).contains("application/json"));
    assert_eq!(post(&json_type, &format!("\"{}\"", "x".repeat(70_000))).status, 413);
    for path in [
        "/v1/subscribers?limit=0",
        "/v1/subscribers?limit=1001",
        "/v1/subscribers?after=x",
        "/v1/subscribers?page=2",
        "/v1/calls?limit=x",
        "/v1/calls?after=1",
    ] {
        assert_eq!(running.ask("GET", path, None).status, 400, "{path}");
    }
    assert_eq!(
        running.ask("GET", "/v1/nothing", None).problem(404),
        "there is no such path; see /openapi.json"
    );
    let answer = running.ask("DELETE", "/v1/status", None);
    answer.problem(405);
    assert!(answer.headers["allow"].to_str().expect("ASCII").contains("GET"));
}

#[test]
fn a_subscriber_of_the_configuration_cannot_be_changed() {
    let configured = vec![Subscriber::new("1003")];
    let running = Running::with(Setup { configured, ..Setup::default() });
    assert_eq!(running.get("/v1/subscribers/1003")["configured"], true);
    for (method, body) in
        [("PUT", Some(json!({}))), ("PATCH", Some(json!({ "after_s": 20 }))), ("DELETE", None)]
    {
        let detail = running.ask(method, "/v1/subscribers/1003", body.as_ref()).problem(409);
        assert!(detail.starts_with("it is set in the configuration"), "{method}: {detail}");
    }
}

#[test]
fn subscribers_are_listed_page_by_page_each_once() {
    let running = Running::new();
    for number in 0..25 {
        running.add(json!({ "number": format!("10{number:02}") }));
    }
    let mut numbers = Vec::new();
    let mut path = "/v1/subscribers?limit=10".to_owned();
    loop {
        let page = running.get(&path);
        assert_eq!(page["total"], 25);
        let list = page["subscribers"].as_array().expect("a list");
        assert!(list.len() <= 10);
        numbers
            .extend(list.iter().map(|subscriber| subscriber["number"].as_str().expect("a text").to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/subscribers?limit=10&after={next}");
    }
    numbers.sort();
    let expected: Vec<String> = (0..25).map(|number| format!("10{number:02}")).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn calls_are_listed_shown_and_hung_up() {
    let running = Running::new();
    let (a, b) = (Phone::new(running.sip), Phone::new(running.sip));
    running.add(json!({ "number": "1004", "contact": b.contact("1004") }));
    assert_eq!(running.get("/v1/calls"), json!({ "calls": [], "next": null }));
    let invite = a.call("1003", "1004");
    let ours = b.expect("INVITE");
    b.respond(&ours, "180 Ringing");
    let call = running.wait_for("/v1/calls", |page| {
        page["calls"].get(0).filter(|call| call["stage"] == "ringing").cloned()
    });
    assert_eq!((&call["caller"], &call["called"]), (&json!("1003"), &json!("1004")));
    assert_eq!(call["legs"][0]["destination"], b.address().to_string());
    // The lab lets it pass.
    assert_eq!((call.get("media"), call["legs"][0].get("media")), (Some(&Value::Null), Some(&Value::Null)));
    assert_eq!(call["source"], a.address().to_string());
    let path = format!("/v1/calls/{}", call["id"].as_str().expect("an id"));
    assert_eq!(running.get(&path)["record_id"], call["record_id"]);

    b.respond(&ours, "200 OK");
    let ok = a.expect("SIP/2.0 200");
    a.acknowledge(&invite, &ok);
    b.expect("ACK");
    let talking = running.wait_for(&path, |call| (call["stage"] == "talking").then(|| call.clone()));
    assert!(talking["answered_at"].as_u64() >= talking["started_at"].as_u64());
    assert_eq!(running.get("/v1/status")["calls"], 1);

    assert_eq!(running.ask("DELETE", &path, None).status, 204);
    for phone in [&a, &b] {
        let bye = phone.expect("BYE");
        assert!(bye.contains("Reason: SIP;cause=480;text=\"Ended by the operator\"\r\n"), "{bye}");
        phone.respond(&bye, "200 OK");
    }
    running.wait_for("/v1/calls", |page| page["calls"].as_array()?.is_empty().then_some(()));
    for method in ["GET", "DELETE"] {
        assert_eq!(running.ask(method, &path, None).problem(404), "there is no such call, or it is ending");
    }
    for id in ["x", "0-0", "9-0-1", "0-0-1-2", "-1-0-0", "0-4294967296-1"] {
        assert_eq!(running.ask("GET", &format!("/v1/calls/{id}"), None).status, 404, "{id}");
    }
}

#[test]
fn a_change_is_seen_by_the_next_call() {
    let running = Running::new();
    let (a, b) = (Phone::new(running.sip), Phone::new(running.sip));
    let invite = a.call("1003", "1004");
    a.acknowledge(&invite, &a.expect("SIP/2.0 404"));
    running.add(json!({ "number": "1004", "contact": b.contact("1004") }));
    let again = Phone::new(running.sip);
    let invite = again.call("1003", "1004");
    let ours = b.expect("INVITE");
    b.respond(&ours, "486 Busy Here");
    again.acknowledge(&invite, &again.expect("SIP/2.0 486"));
}

#[test]
fn bindings_are_shown_and_ended() {
    let running = Running::new();
    running.add(json!({ "number": "1004" }));
    let path = "/v1/subscribers/1004/bindings";
    assert_eq!(running.get(path), json!({ "bindings": [] }));
    let binding = |port: u16, extras| Binding {
        uri: format!("sip:1004@127.0.0.1:{port}").into(),
        destination: SocketAddr::from(([127, 0, 0, 1], port)).into(),
        listener: ListenerId(0),
        q: 500,
        expires_at: UnixSeconds(u64::from(u32::MAX)),
        call_id: 1,
        cseq: 7,
        extras,
    };
    let extras = Extras { path: "<sip:127.0.0.9;lr>".into(), instance: "<urn:uuid:0>".into(), reg_id: 1 };
    let contacts = Contacts::Update(vec![binding(5071, Some(Box::new(extras))), binding(5072, None)]);
    let change = Change { call_id: 1, cseq: 7, contacts };
    let ticket = Handle { index: 0, generation: 0 };
    let letter = Letter::Register { ticket, number: "1004".into(), change };
    running.post.letters.put(Envelope { shard: 0, letter }).expect("the keeper reads");
    let bindings = running.wait_for(path, |page| {
        let bindings = page["bindings"].as_array().expect("a list");
        (bindings.len() == 2).then(|| bindings.clone())
    });
    assert_eq!(bindings[0]["destination"], "127.0.0.1:5071");
    assert_eq!(bindings[0]["listener"], running.sip.to_string());
    assert_eq!((&bindings[0]["q"], &bindings[0]["reg_id"]), (&json!(0.5), &json!(1)));
    assert_eq!((&bindings[1]["path"], &bindings[1]["instance"]), (&Value::Null, &Value::Null));
    assert_eq!(running.get("/v1/subscribers/1004")["bindings"], 2);
    let metrics = running.ask("GET", "/metrics", None).text;
    assert!(metrics.contains("\nringway_bindings 2\n"), "{metrics}");

    let one = format!("{path}?uri=sip%3A1004%40127.0.0.1%3A5071");
    assert_eq!(running.ask("DELETE", &one, None).json(), json!({ "removed": 1 }));
    assert_eq!(running.get(path)["bindings"].as_array().map(Vec::len), Some(1));
    assert_eq!(running.ask("DELETE", path, None).json(), json!({ "removed": 1 }));
    assert_eq!(running.get(path), json!({ "bindings": [] }));
    assert_eq!(running.ask("GET", "/v1/subscribers/7/bindings", None).status, 404);
    assert_eq!(running.ask("DELETE", "/v1/subscribers/7/bindings?uri=sip%3A7%40127.0.0.1", None).status, 404);
}

#[test]
fn health_needs_no_token_and_everything_else_does() {
    let running = Running::with(Setup { token: Some(TOKEN), ..Setup::default() });
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(running.ask_with("GET", path, &[], None).status, 200);
    }
    for path in ["/metrics", "/openapi.json", "/v1/status", "/v1/calls", "/v1/subscribers/1004"] {
        for header in ["", "Bearer", "Bearer 0123456789abcdee", "Basic 0123456789abcdef", "0123456789abcdef"]
        {
            let answer = running.ask_with("GET", path, &[("authorization", header)], None);
            answer.problem(401);
            assert!(answer.headers["www-authenticate"].to_str().expect("ASCII").starts_with("Bearer"));
        }
    }
    assert_eq!(running.get("/v1/status")["store"], "up");
    // With a token the name of the host does not matter.
    let bearer = format!("Bearer {TOKEN}");
    let named = [("host", "ringway.example"), ("authorization", bearer.as_str())];
    assert_eq!(running.ask_with("GET", "/v1/status", &named, None).status, 200);
}

#[test]
fn without_a_token_a_name_that_points_here_is_not_answered() {
    let running = Running::new();
    let answer = running.ask_with("GET", "/v1/status", &[("host", "evil.example:8060")], None);
    assert!(answer.problem(403).contains("localhost"));
    assert_eq!(running.ask_with("GET", "/v1/status", &[("host", "localhost:1")], None).status, 200);
    // A page of another site's may send only what needs no question beforehand.
    let answer = running.ask_with("OPTIONS", "/v1/subscribers", &[("origin", "http://evil.example")], None);
    assert_eq!(answer.status, 405);
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
}

#[test]
fn a_server_that_stops_is_not_ready() {
    let running = Running::new();
    let (a, b) = (Phone::new(running.sip), Phone::new(running.sip));
    running.add(json!({ "number": "1004", "contact": b.contact("1004") }));
    a.call("1003", "1004");
    b.expect("INVITE");
    assert_eq!(running.get("/health/ready")["status"], "ready");
    running.server.drain();
    assert!(running.ask("GET", "/health/ready", None).problem(503).contains("stopping"));
    assert_eq!(running.get("/health/live")["status"], "live");
    assert_eq!(running.get("/v1/status")["state"], "draining");
}

/// A store whose disk is full.
struct Full;

impl Store for Full {
    fn load(&mut self, _: &mut dyn FnMut(Record)) -> Result<(), StoreError> {
        Ok(())
    }

    fn read(&mut self, numbers: &[&str]) -> Result<Vec<Found>, StoreError> {
        Ok(vec![Ok(None); numbers.len()])
    }

    fn commit(&mut self, _: &[StoreWrite<'_>]) -> Result<Vec<Verdict>, StoreError> {
        Err(StoreError("no space left".to_owned()))
    }

    fn recover(&mut self) -> Result<(), StoreError> {
        Err(StoreError("no space left".to_owned()))
    }
}

#[test]
fn a_store_that_takes_no_writes_is_told_of() {
    let running = Running::with(Setup { store: Box::new(Full), ..Setup::default() });
    let answer = running.ask("POST", "/v1/subscribers", Some(&json!({ "number": "1004" })));
    assert!(answer.problem(503).contains("store"));
    let deadline = Instant::now() + PATIENCE;
    while running.ask("GET", "/health/ready", None).status != 503 {
        assert!(Instant::now() < deadline, "it stays ready");
    }
    let status = running.get("/v1/status");
    assert_eq!((&status["store"], &status["store_error"]), (&json!("down"), &json!("no space left")));
    assert!(running.ask("GET", "/metrics", None).text.contains("\nringway_store_up 0\n"));
}

#[test]
fn requests_go_one_after_another_through_one_connection_and_in_pieces() {
    let running = Running::new();
    let mut stream = TcpStream::connect(running.admin.address()).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let host = running.admin.address();
    for _ in 0..2 {
        for piece in ["GET /health/li", "ve HTTP/1.1\r\nHost: ", &host.to_string(), "\r\n\r\n"] {
            stream.write_all(piece.as_bytes()).expect("written");
        }
        let mut text = String::new();
        let mut byte = [0];
        while !text.ends_with("{\"status\":\"live\"}") {
            assert_eq!(stream.read(&mut byte).expect("more"), 1, "{text}");
            text.push(char::from(byte[0]));
        }
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    }
    stream.write_all(b"NONSENSE\r\n\r\n").expect("written");
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    assert!(text.starts_with("HTTP/1.1 400"), "{text}");
}

#[test]
fn the_api_ends_with_its_owner_and_its_port_is_free_again() {
    let Running { admin, .. } = Running::new();
    let address = admin.address();
    let idle = TcpStream::connect(address).expect("a connection");
    drop(admin);
    assert!(TcpStream::connect(address).is_err());
    drop(idle);
}

#[test]
fn a_port_in_use_is_said_in_one_line() {
    let running = Running::new();
    let taken = running.admin.address();
    let other = Running::new();
    let backend = ringway::admin::Backend::new(other.keeper.handle(), &other.server, Default::default(), "x");
    let settings = ringway::admin::Settings { address: taken, token: None };
    let error = ringway::admin::Admin::start(settings, backend).expect_err("the port is taken").to_string();
    assert!(error.contains(&taken.to_string()) && error.contains("--admin"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn the_description_is_served() {
    let running = Running::new();
    assert_eq!(running.get("/openapi.json"), serde_json::from_str::<Value>(ringway::admin::OPENAPI).unwrap());
    assert_eq!(send("GET", &running.url(), &[], None).status, 404);
}
