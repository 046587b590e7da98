//! Several nodes on one Redis server, and a server that goes away, stands still or talks nonsense.
#![cfg(feature = "server")]

#[expect(dead_code, reason = "each test file uses its part")]
mod stores;

use ringway::directory::Subscriber;
use ringway::net::post::Post;
use ringway::settings::Settings;
use ringway::store::keeper::{self, Expected, Health, Keeper, Refused, Request, Rules};
use ringway::store::{self, Place};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stores::{RedisServer, settings, subscriber, wait_until};

fn node(place: &Place) -> Keeper {
    let mut store = store::open(&settings(place.clone())).expect("it opens");
    let loaded = keeper::load(&mut *store, vec![Subscriber::new("1000")]).expect("it reads");
    let rules = Rules::of(&Settings::default());
    Keeper::start(store, loaded.writer, Arc::new(Post::default()), rules).expect("a thread")
}

fn put(number: &str) -> Request {
    Request::Put { subscriber: subscriber(number), expected: Expected::Anything }
}

fn has(keeper: &Keeper, number: &str) -> bool {
    keeper.handle().directory().read().get(number.as_bytes()).is_some()
}

#[test]
fn another_nodes_change_arrives_within_a_second() {
    let Some(server) = RedisServer::start("another_nodes_change_arrives_within_a_second") else { return };
    let nodes = [node(&server.place()), node(&server.place())];
    // The first change may come before the other one listens; then it is found when it looks through all.
    nodes[0].handle().ask_and_wait(put("1")).expect("added");
    wait_until("the other node", || has(&nodes[1], "1"));
    for round in 2..12 {
        let number = round.to_string();
        nodes[round % 2].handle().ask_and_wait(put(&number)).expect("added");
        let begin = Instant::now();
        wait_until("the other node", || has(&nodes[1 - round % 2], &number));
        assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    }
    let removal = Request::Remove { number: "2".into() };
    nodes[1].handle().ask_and_wait(removal).expect("removed");
    wait_until("the removal", || !has(&nodes[0], "2"));
}

#[test]
fn nodes_that_change_a_number_at_once_lose_no_change() {
    let Some(server) = RedisServer::start("nodes_that_change_a_number_at_once") else { return };
    let nodes = [node(&server.place()), node(&server.place())];
    nodes[0].handle().ask_and_wait(put("7")).expect("added");
    wait_until("the other node", || has(&nodes[1], "7"));
    // Each adds 1 to a number's timer, from 20 s on.
    let edit = || Request::Change {
        number: "7".into(),
        edit: Box::new(|subscriber| subscriber.after_ms = subscriber.after_ms.map(|ms| ms + 1_000)),
    };
    std::thread::scope(|scope| {
        for node in &nodes {
            scope.spawn(|| {
                for _ in 0..40 {
                    while node.handle().ask_and_wait(edit()) == Err(Refused::Unavailable) {}
                }
            });
        }
    });
    let after = |node: &Keeper| {
        let handle = node.handle();
        let view = handle.directory().read();
        view.get(b"7").and_then(|entry| entry.subscriber.after_ms)
    };
    wait_until("both nodes", || nodes.iter().all(|node| after(node) == Some(20_000 + 80 * 1_000)));
}

#[test]
fn without_the_server_writes_are_refused_and_come_back_by_themselves() {
    let Some(mut server) = RedisServer::start("without_the_server_writes_are_refused") else { return };
    let node = node(&server.place());
    let handle = node.handle();
    handle.ask_and_wait(put("1")).expect("added");
    server.kill();
    assert_eq!(handle.ask_and_wait(put("2")), Err(Refused::Unavailable));
    assert!(matches!(handle.health(), Health::Down(_)));
    let begin = Instant::now();
    for _ in 0..100 {
        assert_eq!(handle.ask_and_wait(put("2")), Err(Refused::Unavailable));
    }
    assert!(begin.elapsed() < Duration::from_secs(2), "each refusal waited: {:?}", begin.elapsed());
    assert!(has(&node, "1"), "what is known stays known");
    assert!(handle.figures().store_refused >= 101 && handle.figures().store_errors > 0);
    server.run();
    wait_until("recovery", || handle.ask_and_wait(put("2")).is_ok());
    assert_eq!(handle.health(), Health::Up);
}

#[test]
fn a_server_that_stands_still_holds_a_write_no_longer_than_the_timeout() {
    let Some(server) = RedisServer::start("a_server_that_stands_still") else { return };
    let node = node(&server.place());
    let handle = node.handle();
    server.signal(libc::SIGSTOP);
    let begin = Instant::now();
    assert_eq!(handle.ask_and_wait(put("2")), Err(Refused::Unavailable));
    // A few timeouts of the settings', however busy the machine is.
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    server.signal(libc::SIGCONT);
    wait_until("recovery", || handle.ask_and_wait(put("3")).is_ok());
}

#[test]
fn what_was_missed_while_the_server_was_away_is_found() {
    let Some(mut server) = RedisServer::start("what_was_missed_while_the_server_was_away") else { return };
    let node = node(&server.place());
    node.handle().ask_and_wait(put("1")).expect("added");
    server.kill();
    assert_eq!(node.handle().ask_and_wait(put("2")), Err(Refused::Unavailable));
    server.run();
    {
        // As another node would, but without a word on the channel.
        let client = redis::Client::open(server.url()).unwrap();
        let mut connection = client.get_connection().unwrap();
        let fields = [("subscriber", "{}"), ("revision", "77")];
        redis::cmd("HSET").arg("ringway:{9}").arg(&fields).exec(&mut connection).unwrap();
        redis::cmd("DEL").arg("ringway:{1}").exec(&mut connection).unwrap();
    }
    wait_until("what was missed", || has(&node, "9") && !has(&node, "1"));
    assert!(has(&node, "1000"), "what the configuration has stays");
}

fn ask(server: &RedisServer, command: &[&str]) {
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    redis::cmd(command[0]).arg(&command[1..]).exec(&mut connection).unwrap();
}

fn is_down_for(keeper: &Keeper, reason: &str) -> bool {
    matches!(keeper.handle().health(), Health::Down(why) if why.contains(reason))
}

#[test]
fn an_emptied_store_is_a_failure_not_the_end_of_every_subscriber() {
    let Some(server) = RedisServer::start("an_emptied_store_is_a_failure") else { return };
    let nodes = [node(&server.place()), node(&server.place())];
    for number in ["1", "2"] {
        nodes[0].handle().ask_and_wait(put(number)).expect("added");
        wait_until("the other node", || has(&nodes[1], number));
    }
    nodes[1].handle().ask_and_wait(Request::Remove { number: "2".into() }).expect("removed");
    wait_until("the removal of one", || !has(&nodes[0], "2"));
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("lines");
    let file = file.to_str().unwrap();
    store::lines::dump(&settings(server.place()), file).expect("dumped");

    ask(&server, &["FLUSHALL"]);
    assert_eq!(nodes[0].handle().ask_and_wait(put("3")), Err(Refused::Unavailable));
    wait_until("both down", || nodes.iter().all(|node| is_down_for(node, "the store is empty")));
    // The listeners' connections end: both look everything through at once.
    ask(&server, &["CLIENT", "KILL", "TYPE", "pubsub"]);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(2) {
        assert!(nodes.iter().all(|node| has(node, "1") && is_down_for(node, "load a dump")));
        std::thread::sleep(Duration::from_millis(20));
    }
    store::lines::load(&settings(server.place()), file, false).expect("loaded");
    wait_until("recovery", || nodes.iter().all(|node| node.handle().health() == Health::Up));
    nodes[0].handle().ask_and_wait(put("3")).expect("added");
    wait_until("the other node", || has(&nodes[1], "3"));
    assert!(nodes.iter().all(|node| has(node, "1")));
}

#[test]
fn a_server_that_comes_back_without_its_data_is_said_to_be_empty() {
    let Some(mut server) = RedisServer::start("a_server_that_comes_back_without_its_data") else { return };
    let node = node(&server.place());
    node.handle().ask_and_wait(put("1")).expect("added");
    server.kill();
    wait_until("down", || node.handle().health() != Health::Up);
    server.forget();
    server.run();
    wait_until("the reason", || is_down_for(&node, "the store is empty"));
    assert!(has(&node, "1"));
    assert_eq!(node.handle().ask_and_wait(put("2")), Err(Refused::Unavailable));
}

#[test]
fn one_unreadable_value_stops_no_other_numbers_change() {
    let Some(server) = RedisServer::start("one_unreadable_value_stops_no_other") else { return };
    let node = node(&server.place());
    node.handle().ask_and_wait(put("1")).expect("added");
    ask(&server, &["HSET", "ringway:{1}", "subscriber", "{nonsense", "revision", "7"]);
    ask(&server, &["SET", "ringway:{2}", "no hash"]);
    ask(&server, &["HSET", "ringway:{3}", "subscriber", "{}", "revision", "no number"]);
    ask(&server, &["HSET", "ringway:{4}", "subscriber", "{}", "revision", "8"]);
    // The listener's connection ends: everything is looked through at once.
    wait_until("what can be read", || {
        ask(&server, &["CLIENT", "KILL", "TYPE", "pubsub"]);
        has(&node, "4") && node.handle().figures().store_unreadable >= 3
    });
    assert!(has(&node, "1"), "what is known of an unreadable number stays");
    assert!(!has(&node, "2") && !has(&node, "3"));
    assert_eq!((node.handle().health(), node.handle().figures().store_errors), (Health::Up, 0));
}

#[test]
fn a_server_without_memory_is_down_until_it_takes_writes() {
    let Some(server) = RedisServer::start("a_server_without_memory_is_down") else { return };
    let node = node(&server.place());
    node.handle().ask_and_wait(put("1")).expect("added");
    ask(&server, &["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(node.handle().ask_and_wait(put("2")), Err(Refused::Unavailable));
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(3) {
        assert!(matches!(node.handle().health(), Health::Down(_)), "a look is no write");
        std::thread::sleep(Duration::from_millis(20));
    }
    ask(&server, &["CONFIG", "SET", "maxmemory", "0"]);
    wait_until("recovery without a change", || node.handle().health() == Health::Up);
}

#[test]
fn nonsense_is_an_error_not_an_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place::Redis(format!("redis://{}/", listener.local_addr().unwrap()));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let Err(error) = store::open(&settings(place)) else { panic!("it must not open") };
    assert!(error.0.starts_with("redis://127.0.0.1") && !error.0.contains('\n'), "{error}");
}
