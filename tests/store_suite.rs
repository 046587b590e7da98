//! What every store does alike: in memory, in a redb file, on a Redis server.
#![cfg(feature = "server")]

#[expect(dead_code, reason = "each test file uses its part")]
mod stores;

use ringway::directory::{Condition, Subscriber};
use ringway::net::post::Post;
use ringway::settings::Settings;
use ringway::store::keeper::{self, Done, Expected, Keeper, Refused, Request, Rules};
use ringway::store::{self, Found, Part, Place, Record, Store, StoreError, Verdict, Write};
use std::sync::Arc;
use stores::{RedisServer, binding, settings, subscriber};
use tempfile::TempDir;

/// Runs a behaviour on a fresh store of each kind.
fn on_each(test: &str, behaviour: impl Fn(&Place)) {
    behaviour(&Place::Memory);
    let directory = TempDir::new().unwrap();
    // Directories that are missing are made.
    behaviour(&Place::Directory(directory.path().join("made/here")));
    if let Some(server) = RedisServer::start(test) {
        behaviour(&server.place());
    }
}

fn write(number: &str, revision: u64) -> Write<'_> {
    Write { number, based_on: None, revision, subscriber: Part::Keep, bindings: Part::Keep }
}

fn all(store: &mut dyn Store) -> Vec<Record> {
    let mut records = Vec::new();
    store.load(&mut |record| records.push(record)).expect("it reads");
    records.sort_by(|left, right| left.number.cmp(&right.number));
    records
}

#[test]
fn what_is_committed_is_read_again() {
    on_each("what_is_committed_is_read_again", |place| {
        let mut store = store::open(&settings(place.clone())).expect("it opens");
        assert_eq!(all(&mut *store), []);
        let (one, bindings) = (subscriber("1"), [binding("1", 5), binding("b", 6)]);
        let writes = [
            Write { subscriber: Part::Put(&one), bindings: Part::Put(&bindings), ..write("1", 11) },
            // The configuration has this one: only its bindings are stored.
            Write { bindings: Part::Put(&bindings[..1]), ..write("2", 12) },
        ];
        assert_eq!(store.commit(&writes), Ok(vec![Verdict::Done; 2]));
        let first = Record {
            number: "1".into(),
            subscriber: Some(one.clone()),
            bindings: bindings.clone().into(),
            revision: 11,
        };
        let second =
            Record { number: "2".into(), subscriber: None, bindings: bindings[..1].into(), revision: 12 };
        if *place != Place::Memory {
            drop(store);
            store = store::open(&settings(place.clone())).expect("it opens again");
        }
        assert_eq!(all(&mut *store), [first.clone(), second.clone()]);
        assert_eq!(
            store.read(&["2", "3", "1"]),
            Ok(vec![Ok(Some(second)), Ok(None), Ok(Some(first.clone()))])
        );

        let writes = [
            Write { bindings: Part::Remove, ..write("1", 21) },
            Write { bindings: Part::Remove, ..write("2", 22) },
        ];
        assert_eq!(store.commit(&writes), Ok(vec![Verdict::Done; 2]));
        let left = all(&mut *store);
        assert_eq!(left.len(), 1, "a number without anything is gone: {left:?}");
        assert_eq!((&left[0].subscriber, left[0].bindings.len()), (&Some(one), 0));
        let writes = [Write { subscriber: Part::Remove, ..write("1", 31) }];
        assert_eq!(store.commit(&writes), Ok(vec![Verdict::Done]));
        assert_eq!(all(&mut *store), []);
    });
}

#[test]
fn another_realm_is_refused_with_the_cure() {
    on_each("another_realm_is_refused_with_the_cure", |place| {
        drop(store::open(&settings(place.clone())).expect("it opens"));
        let other = store::Settings { realm: "other".to_owned(), ..settings(place.clone()) };
        if let Err(error) = store::open(&other) {
            assert!(error.0.contains("--realm ringway") && !error.0.contains('\n'), "{error}");
        } else {
            assert_eq!(*place, Place::Memory);
        }
    });
}

/// A keeper over a place, with 1000 in the configuration.
fn keeper(place: &Place) -> Keeper {
    let mut store = store::open(&settings(place.clone())).expect("it opens");
    let loaded = keeper::load(&mut *store, vec![Subscriber::new("1000")]).expect("it reads");
    let rules = Rules::of(&Settings::default());
    Keeper::start(store, loaded.writer, Arc::new(Post::default()), rules).expect("a thread")
}

/// A store that names what it has twice, as a Redis server's SCAN may while others write.
struct Twice(Box<dyn Store>);

impl Store for Twice {
    fn load(&mut self, see: &mut dyn FnMut(Record)) -> Result<(), StoreError> {
        self.0.load(see)?;
        self.0.load(see)
    }

    fn read(&mut self, numbers: &[&str]) -> Result<Vec<Found>, StoreError> {
        self.0.read(numbers)
    }

    fn commit(&mut self, writes: &[Write<'_>]) -> Result<Vec<Verdict>, StoreError> {
        self.0.commit(writes)
    }
}

#[test]
fn what_a_store_names_twice_is_read_once_and_is_not_taken_for_configuration() {
    let mut store = store::open(&settings(Place::Memory)).expect("it opens");
    for number in ["1000", "1004"] {
        let subscriber = subscriber(number);
        store.commit(&[Write { subscriber: Part::Put(&subscriber), ..write(number, 1) }]).expect("written");
    }
    let loaded = keeper::load(&mut Twice(store), vec![Subscriber::new("1000")]).expect("it reads");
    assert_eq!((loaded.stored, loaded.shadowed.len()), (2, 1));
    let directory = loaded.writer.directory();
    let view = directory.read();
    let is_configured = |number: &str| view.get(number.as_bytes()).map(|entry| entry.is_configured);
    assert_eq!((is_configured("1000"), is_configured("1004")), (Some(true), Some(false)));
}

fn put(subscriber: Subscriber, expected: Expected) -> Request {
    Request::Put { subscriber, expected }
}

#[test]
fn subscribers_are_added_changed_and_removed_while_the_directory_is_read() {
    on_each("subscribers_are_added_changed_and_removed", |place| {
        let running = keeper(place);
        let handle = running.handle();
        let added = handle.ask_and_wait(put(subscriber("1004"), Expected::Absent)).expect("added");
        assert!(added.is_new && added.revision > 0);
        let seen = handle.directory().read().get(b"1004").cloned().expect("seen at once");
        assert_eq!((seen.subscriber, seen.revision), (subscriber("1004"), added.revision));
        let again = handle.ask_and_wait(put(subscriber("1004"), Expected::Absent));
        assert_eq!(again, Err(Refused::Exists));
        let nobody = handle.ask_and_wait(put(subscriber("1005"), Expected::Present));
        assert_eq!(nobody, Err(Refused::NoSubscriber));

        let forwards = |target: &'static str| Request::Change {
            number: "1004".into(),
            edit: Box::new(move |subscriber| {
                subscriber.forwarding.forward(Condition::NoAnswer, target);
            }),
        };
        let refused = handle.ask_and_wait(forwards("1005"));
        assert_eq!(
            refused,
            Err(Refused::Invalid(
                "no_answer: nobody has the number 1005, and no route leads there".to_owned()
            ))
        );
        let refused = handle.ask_and_wait(forwards("1004"));
        assert!(matches!(refused, Err(Refused::Invalid(reason)) if reason.contains("itself")));
        let changed = handle.ask_and_wait(forwards("1000")).expect("changed");
        assert!(!changed.is_new && changed.revision > added.revision);
        let stale = put(subscriber("1004"), Expected::Revision(added.revision));
        assert_eq!(handle.ask_and_wait(stale), Err(Refused::Changed { revision: changed.revision }));

        for request in
            [put(subscriber("1000"), Expected::Anything), Request::Remove { number: "1000".into() }]
        {
            assert_eq!(handle.ask_and_wait(request), Err(Refused::Configured));
        }
        if *place != Place::Memory {
            running.stop();
            let again = keeper(place);
            let view = again.handle();
            let read = view.directory().read().get(b"1004").cloned().expect("it was stored");
            assert_eq!(read.subscriber.forwarding.target(Condition::NoAnswer), Some("1000"));
            assert_eq!(read.revision, changed.revision);
            let removed = view.ask_and_wait(Request::Remove { number: "1004".into() });
            assert_eq!(removed, Ok(Done { is_new: false, revision: 0, unbound: 0 }));
            assert!(view.directory().read().get(b"1004").is_none());
            again.stop();
            assert!(keeper(place).handle().directory().read().get(b"1004").is_none());
        }
    });
}

#[test]
fn many_requests_at_once_are_made_durable_together() {
    let directory = TempDir::new().unwrap();
    let place = Place::Directory(directory.path().to_owned());
    let running = keeper(&place);
    let handle = running.handle();
    let (sender, receiver) = std::sync::mpsc::channel();
    for number in 0..1_000 {
        let sender = sender.clone();
        let request = put(subscriber(&format!("5{number}")), Expected::Absent);
        handle.ask(request, Box::new(move |outcome| drop(sender.send(outcome))));
    }
    drop(sender);
    let outcomes: Vec<_> = receiver.iter().collect();
    assert!(outcomes.len() == 1_000 && outcomes.iter().all(Result::is_ok));
    let figures = handle.figures();
    assert_eq!(figures.store_writes, 1_000);
    assert!(figures.store_commits < 500, "{figures:?}");
    running.stop();
    assert_eq!(keeper(&place).handle().directory().len(), 1_001);
}

#[test]
fn a_stopped_keeper_refuses_instead_of_keeping_silent() {
    let running = keeper(&Place::Memory);
    let handle = running.handle();
    running.stop();
    let refused = handle.ask_and_wait(put(subscriber("1"), Expected::Anything));
    assert_eq!(refused, Err(Refused::Unavailable));
    assert!(matches!(handle.health(), keeper::Health::Down(_)));
}
