//! Bindings that have expired go from the directory and from the store by themselves.
#![cfg(feature = "server")]

#[expect(dead_code, reason = "each test file uses its part")]
mod stores;

use ringway::clock::UnixSeconds;
use ringway::directory::Binding;
use ringway::net::post::Post;
use ringway::settings::Settings;
use ringway::store::keeper::{self, Health, Keeper, Request, Rules};
use ringway::store::{self, Part, Place, Record, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use stores::{PATIENCE, RedisServer, binding, settings, subscriber, wait_until};
use tempfile::TempDir;

/// Numbers with nothing but a binding that expired long ago.
const LONG_GONE: usize = 300;

fn now() -> UnixSeconds {
    UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs())
}

fn until(user: &str, expires_at: UnixSeconds) -> Binding {
    Binding { expires_at, ..binding(user, 1) }
}

/// A keeper on a store with `LONG_GONE` numbers, and with 7, of whose three bindings one lives on, one is
/// over and one is over in a moment.
fn keeper(place: &Place) -> Keeper {
    let mut store = store::open(&settings(place.clone())).expect("it opens");
    let soon = UnixSeconds(now().0 + 2);
    let mixed = [until("over", UnixSeconds(1_000)), binding("lives", 1), until("soon", soon)];
    let gone = [until("gone", UnixSeconds(1_000))];
    let numbers: Vec<String> = (0..LONG_GONE).map(|number| (1_000 + number).to_string()).collect();
    let mut writes = Vec::new();
    let (one, others) = (subscriber("7"), numbers.iter().map(|number| subscriber(number)));
    let others: Vec<_> = others.collect();
    for (subscriber, bindings) in
        others.iter().map(|subscriber| (subscriber, &gone[..])).chain([(&one, &mixed[..])])
    {
        writes.push(Write {
            number: &subscriber.number,
            based_on: None,
            revision: 1,
            subscriber: Part::Put(subscriber),
            bindings: Part::Put(bindings),
        });
    }
    store.commit(&writes).expect("written");
    let loaded = keeper::load(&mut *store, Vec::new()).expect("it reads");
    assert_eq!(loaded.bindings, LONG_GONE + 3);
    let rules = Rules::of(&Settings::default());
    Keeper::start(store, loaded.writer, Arc::new(Post::default()), rules).expect("a thread")
}

/// How many bindings the directory has of all numbers, whether expired or not.
fn known(keeper: &Keeper) -> usize {
    let (handle, mut from, mut count) = (keeper.handle(), Some(0), 0);
    while let Some(place) = from {
        let view = handle.directory().read();
        from = view.walk(place, 1_000, |entry| count += entry.bindings.len());
    }
    count
}

/// How many bindings a store has that is opened anew, and whose numbers they are.
fn stored(place: &Place) -> (usize, Vec<Record>) {
    let mut store = store::open(&settings(place.clone())).expect("it opens again");
    let (mut count, mut records) = (0, Vec::new());
    store
        .load(&mut |record| {
            count += 1;
            if !record.bindings.is_empty() {
                records.push(record);
            }
        })
        .expect("it reads");
    (count, records)
}

fn sweep(place: &Place) {
    let running = keeper(place);
    let handle = running.handle();
    wait_until("the sweep", || known(&running) == 1);
    {
        let view = handle.directory().read();
        let left = view.get(b"7").expect("a subscriber");
        assert!(left.bindings.len() == 1 && left.bindings[0].uri.starts_with("sip:lives@"));
        assert!(left.revision > 1, "a change like any other");
    }
    assert_eq!(handle.directory().len(), LONG_GONE + 1, "subscribers stay");
    wait_until("the count", || handle.figures().bindings_expired == LONG_GONE as u64 + 2);
    assert_eq!(handle.health(), Health::Up);
    running.stop();
    if *place != Place::Memory {
        let (count, records) = stored(place);
        assert_eq!(count, LONG_GONE + 1);
        let [record] = &records[..] else { panic!("{records:?}") };
        assert!(&*record.number == "7" && record.bindings.len() == 1);
        assert!(record.bindings[0].uri.starts_with("sip:lives@"));
    }
}

#[test]
fn expired_bindings_go_from_memory() {
    sweep(&Place::Memory);
}

#[test]
fn expired_bindings_go_from_a_file() {
    let directory = TempDir::new().expect("a directory");
    sweep(&Place::Directory(directory.path().to_owned()));
}

#[test]
fn expired_bindings_go_from_a_redis_server() {
    let Some(server) = RedisServer::start("expired_bindings_go_from_a_redis_server") else { return };
    sweep(&server.place());
}

#[test]
fn expired_bindings_go_however_much_else_there_is_to_do() {
    let running = keeper(&Place::Memory);
    let handle = running.handle();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // As many requests as may wait.
        scope.spawn(|| {
            let begin = Instant::now();
            while !is_over.load(Relaxed) && begin.elapsed() < 2 * PATIENCE {
                let change = Request::Change { number: "7".into(), edit: Box::new(|_| ()) };
                handle.ask(change, Box::new(|_| ()));
            }
        });
        let begin = Instant::now();
        while known(&running) > 1 && begin.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
        is_over.store(true, Relaxed);
    });
    assert_eq!(known(&running), 1);
}
