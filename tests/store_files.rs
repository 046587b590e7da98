//! What subscribers stand in outside of the process: who may read it, what an emptied file says, and what is
//! dumped from a Redis server and loaded into one.
#![cfg(feature = "server")]

#[expect(dead_code, reason = "each test file uses its part")]
mod stores;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use stores::process::{Phone, Server, run, said};
use stores::{RedisServer, wait_until};
use tempfile::TempDir;

const FILE: &str = "ringway.redb";

const LINES: &str = "{\"number\":\"1\",\"no_answer\":\"2\",\"after_s\":30}\n{\"number\":\"2\",\
                     \"ha1\":{\"sha256\":\
                     \"8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a\",\
                     \"md5\":\"00112233445566778899aabbccddeeff\"},\"bindings\":[{\
                     \"uri\":\"sip:2@192.0.2.7\",\
                     \"destination\":\"192.0.2.7:5060\",\"expires_at\":4000000000}]}\n{\"number\":\"3\",\
                     \"busy\":{\"target\":\"1\",\"active\":false},\
                     \"not_reachable\":\"sip:x@192.0.2.7\",\"headers\":\"none\",\"privacy\":\"full\"}\n";

fn name(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The permissions of a file or directory.
fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o7777
}

/// Dumped lines in the order of their numbers, without what each store counts by itself.
fn sorted(dumped: &str) -> Vec<&str> {
    let mut lines: Vec<&str> =
        dumped.lines().map(|line| line.split(",\"revision\"").next().unwrap_or_default()).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn what_passwords_are_hashed_in_is_its_owners_alone() {
    let directory = TempDir::new().expect("a directory");
    let (lines, dump) = (directory.path().join("lines"), directory.path().join("dump"));
    fs::write(&lines, LINES).expect("written");
    let (served, loaded) = (directory.path().join("made/served"), directory.path().join("made/loaded"));
    drop(Server::start(&["--data-dir", name(&served)], || ()));
    said(&["load", name(&lines), "--data-dir", name(&loaded)]);
    for made in [&served, &loaded] {
        assert_eq!(format!("{:o}", mode(made)), "700", "{made:?}");
        assert_eq!(format!("{:o}", mode(&made.join(FILE))), "600", "{made:?}");
    }
    said(&["dump", name(&dump), "--data-dir", name(&loaded)]);
    assert_eq!(format!("{:o}", mode(&dump)), "600");
    // A file that is there already, readable by all, is no better a place.
    fs::set_permissions(&dump, fs::Permissions::from_mode(0o644)).expect("permitted");
    said(&["dump", name(&dump), "--data-dir", name(&loaded)]);
    assert_eq!(format!("{:o}", mode(&dump)), "600");
}

#[test]
fn an_emptied_file_is_a_damaged_store_not_a_new_one() {
    let directory = TempDir::new().expect("a directory");
    let (lines, store) = (directory.path().join("lines"), directory.path().join("store"));
    fs::write(&lines, LINES).expect("written");
    let data = ["--data-dir", name(&store)];
    said(&[&["load", name(&lines)], &data[..]].concat());
    let path = store.join(FILE);
    fs::OpenOptions::new().write(true).truncate(true).open(&path).expect("emptied");
    for args in [["--listen", "udp:127.0.0.60:5999"], ["dump", "-"], ["load", name(&lines)]] {
        let output = run(&[&args[..], &data].concat());
        assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        let last = said.lines().last().unwrap_or_default();
        assert!(last.starts_with("ringway: ") && last.contains(FILE), "{said}");
        assert!(last.contains("damaged") && last.contains("ringway load"), "{said}");
        assert_eq!(fs::metadata(&path).expect("it is there").len(), 0, "left as it is");
    }
    fs::remove_file(&path).expect("moved away");
    said(&[&["load", name(&lines)], &data[..]].concat());
}

#[test]
fn what_is_dumped_from_a_redis_server_loads_into_another_and_into_a_file() {
    let test = "what_is_dumped_from_a_redis_server_loads_into_another";
    let (Some(first), Some(second)) = (RedisServer::start(test), RedisServer::start(test)) else { return };
    let directory = TempDir::new().expect("a directory");
    let (lines, dump) = (directory.path().join("lines"), directory.path().join("dump"));
    fs::write(&lines, LINES).expect("written");
    let (_, told) = said(&["load", name(&lines), "--store", &first.url()]);
    assert_eq!(told, "loaded 3 subscribers\n");
    let (_, told) = said(&["dump", name(&dump), "--store", &first.url()]);
    assert_eq!(told, "dumped 3 subscribers and 1 bindings\n");
    let once = fs::read_to_string(&dump).expect("a dump");
    assert!(once.contains("\"no_answer\":\"2\",\"after_s\":30") && once.contains("8a8a"), "{once}");
    assert!(once.contains("sip:2@192.0.2.7") && once.lines().count() == 3, "{once}");

    let store = directory.path().join("store");
    for place in [["--store", &second.url()], ["--data-dir", name(&store)]] {
        said(&[&["load", name(&dump)], &place[..]].concat());
        let (again, _) = said(&[&["dump"], &place[..]].concat());
        assert_eq!(sorted(&again), sorted(&once), "{place:?}");
    }

    fs::write(&lines, "{\"number\":\"4\"}\n{\"number\":\"2\"}\n").expect("written");
    let (_, told) = said(&["load", name(&lines), "--replace", "--store", &second.url()]);
    assert_eq!(told, "loaded 2 subscribers, removed 2\n");
    let (left, _) = said(&["dump", "--store", &second.url()]);
    let left = sorted(&left);
    assert!(left.len() == 2 && left[0].contains("192.0.2.7") && left[1] == "{\"number\":\"4\"", "{left:?}");
}

#[test]
fn a_node_on_a_redis_server_is_dumped_and_loaded_while_it_runs() {
    let Some(redis) = RedisServer::start("a_node_on_a_redis_server_is_dumped_and_loaded") else { return };
    let directory = TempDir::new().expect("a directory");
    let lines = directory.path().join("lines");
    fs::write(&lines, "{\"number\":\"1\"}\n").expect("written");
    let url = redis.url();
    said(&["load", name(&lines), "--store", &url]);
    let server = Server::start(&["--store", &url], || ());
    let phone = Phone::new(&server);
    assert_eq!(phone.register("1", 1), (200, false));
    let (dumped, _) = said(&["dump", "--store", &url]);
    assert!(dumped.starts_with("{\"number\":\"1\"") && dumped.contains("\"uri\":\"sip:1@"), "{dumped}");

    assert_eq!(phone.register("5", 1).0, 404);
    fs::write(&lines, "{\"number\":\"5\"}\n").expect("written");
    said(&["load", name(&lines), "--store", &url]);
    let mut cseq = 1;
    phone.register_at_last("5", &mut cseq);
    said(&["load", name(&lines), "--replace", "--store", &url]);
    wait_until("the removal", || {
        cseq += 1;
        phone.register("1", cseq).0 == 404
    });
    Phone::new(&server).call("900001", "5", &phone);
}
