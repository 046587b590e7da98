//! A store that takes no writes, under a server with phones: calls go on, registrations are refused and
//! counted, and whoever looks after the server is told.
#![cfg(feature = "server")]

#[expect(dead_code, reason = "each test file uses its part")]
mod stores;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use stores::process::{Phone, Server, said};
use stores::{RedisServer, wait_until};
use tempfile::TempDir;

/// Writes lines of subscribers without passwords, `count` of them from 100000 on; the file's name.
fn lines(directory: &Path, count: usize) -> String {
    let lines = directory.join("lines");
    let text: String = (0..count).map(|n| format!("{{\"number\":\"{}\"}}\n", 100_000 + n)).collect();
    fs::write(&lines, text).expect("written");
    lines.to_str().expect("UTF-8").to_owned()
}

#[test]
fn calls_go_on_while_a_redis_server_stands_still_and_when_it_is_gone() {
    let Some(mut redis) = RedisServer::start("calls_go_on_while_a_redis_server_stands_still") else { return };
    let directory = TempDir::new().expect("a directory");
    let url = redis.url();
    said(&["load", &lines(directory.path(), 2), "--store", &url]);
    let server = Server::start(&["--store", &url, "--store-timeout", "500"], || ());
    let (callee, phone) = (Phone::new(&server), Phone::new(&server));
    assert_eq!(callee.register("100000", 1), (200, false));
    assert_eq!(phone.register("100001", 1), (200, false));
    assert!(server.is_ready());
    assert_eq!((server.figure("registrations_unavailable_total"), server.figure("store_up")), (0, 1));

    redis.signal(libc::SIGSTOP);
    phone.send_register("100001", 2);
    // The keeper waits for the server by now; the call waits for nobody.
    Phone::new(&server).call("900001", "100000", &callee);
    assert_eq!(phone.registered("100001", 2), (503, true));
    server.counts("registrations_unavailable_total", 1);
    wait_until("the store's fault", || server.figure("store_errors_total") > 0);
    assert_eq!(server.figure("store_up"), 0);
    assert!(!server.is_ready());

    redis.kill();
    let refused = server.figure("store_refused_total");
    assert_eq!(phone.register("100001", 3), (503, true));
    server.counts("registrations_unavailable_total", 2);
    assert!(server.figure("store_refused_total") > refused);
    Phone::new(&server).call("900002", "100000", &callee);
    // What is registered is known, whoever asks meanwhile.
    Phone::new(&server).call("900003", "100001", &phone);
    assert!(!server.is_ready());

    redis.run();
    let mut cseq = 3;
    phone.register_at_last("100001", &mut cseq);
    wait_until("readiness", || server.is_ready());
    assert_eq!(server.figure("store_up"), 1);
    Phone::new(&server).call("900004", "100000", &callee);
    server.counts("calls_answered_total", 4);
}

#[test]
fn a_redis_server_that_goes_on_is_written_to_again() {
    let Some(redis) = RedisServer::start("a_redis_server_that_goes_on_is_written_to_again") else { return };
    let directory = TempDir::new().expect("a directory");
    let url = redis.url();
    said(&["load", &lines(directory.path(), 1), "--store", &url]);
    let server = Server::start(&["--store", &url, "--store-timeout", "500"], || ());
    let phone = Phone::new(&server);
    redis.signal(libc::SIGSTOP);
    assert_eq!(phone.register("100000", 1), (503, true));
    // The keeper has given the connection up; the write that waits in it is made later, unseen.
    wait_until("the store's fault", || server.figure("store_errors_total") > 0);
    redis.signal(libc::SIGCONT);
    let mut cseq = 1;
    phone.register_at_last("100000", &mut cseq);
    wait_until("readiness", || server.is_ready());
    // The very registration that was refused, and may have been written all the same, harms nothing.
    Phone::new(&server).call("900001", "100000", &phone);
    let (dumped, _) = said(&["dump", "--store", &url]);
    assert_eq!(dumped.matches("\"uri\"").count(), 1, "{dumped}");
}

#[test]
fn a_feature_code_that_got_its_200_is_there_after_a_crash() {
    let directory = TempDir::new().expect("a directory");
    let store = directory.path().join("store");
    let data = store.to_str().expect("UTF-8");
    said(&["load", &lines(directory.path(), 2), "--data-dir", data]);
    let server = Server::start(&["--data-dir", data], || ());
    let phone = Phone::new(&server);
    assert_eq!(phone.dial("100000", "**67*100001#"), 403, "it is nowhere yet");
    assert_eq!(phone.register("100000", 1), (200, false));
    let other = Phone::new(&server);
    assert_eq!(other.register("100001", 1), (200, false));
    // Each INVITE has the branch of its own caller: the second one of 100000 would be a repetition.
    assert_eq!(other.dial("100001", "**67*100000#"), 200);
    server.kill();
    let (dumped, _) = said(&["dump", "--data-dir", data]);
    let line = dumped.lines().find(|line| line.contains("\"number\":\"100001\""));
    assert!(line.is_some_and(|line| line.contains("\"busy\":\"100000\"")), "{dumped}");
}

/// A server whose disk has become full, with 100000 registered at the phone.
struct Full {
    server: Server,
    callee: Phone,
    phone: Phone,
    _directory: TempDir,
}

impl Full {
    fn new() -> Full {
        let directory = TempDir::new().expect("a directory");
        let store = directory.path().join("store");
        let data = store.to_str().expect("UTF-8");
        said(&["load", &lines(directory.path(), 20_000), "--data-dir", data]);
        let bytes = fs::metadata(store.join("ringway.redb")).expect("a file").len();
        // A file that may not grow stands for a disk that has no room.
        let server = Server::start(&["--data-dir", data], move || {
            let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
            // SAFETY: both calls only tell the kernel something of this process.
            unsafe {
                libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
                libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit);
            }
        });
        let (callee, phone) = (Phone::new(&server), Phone::new(&server));
        assert_eq!(callee.register("100000", 1), (200, false));
        let full = (1..20_000).any(|number| {
            let (status, is_later) = phone.register(&(100_000 + number).to_string(), 1);
            assert_eq!(is_later, status == 503);
            assert!(status == 200 || status == 503, "{status}");
            status == 503
        });
        assert!(full, "the disk never filled");
        Full { server, callee, phone, _directory: directory }
    }

    fn make_room(&self) {
        let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
        let (id, resource) = (self.server.id(), libc::RLIMIT_FSIZE);
        // SAFETY: the kernel reads one `rlimit`.
        let made_room = unsafe { libc::prlimit(id, resource, &raw const limit, std::ptr::null_mut()) };
        assert_eq!(made_room, 0);
    }
}

#[test]
fn calls_go_on_and_refusals_are_counted_while_the_disk_is_full() {
    let full = Full::new();
    let Full { server, callee, phone, .. } = &full;
    Phone::new(server).call("900001", "100000", callee);
    server.counts("registrations_unavailable_total", 1);
    assert_eq!(server.figure("store_refused_total"), 1);
    assert!(server.figure("store_errors_total") > 0);
    for cseq in 2..5 {
        assert_eq!(phone.register("119999", cseq), (503, true));
        assert!(!server.is_ready(), "a store that has just refused");
        assert_eq!(server.figure("store_up"), 0);
        server.counts("registrations_unavailable_total", cseq.into());
        assert_eq!(server.figure("store_refused_total"), u64::from(cseq));
        Phone::new(server).call(&format!("90001{cseq}"), "100000", callee);
    }
    server.counts("calls_answered_total", 4);

    full.make_room();
    let mut cseq = 5;
    phone.register_at_last("119999", &mut cseq);
    wait_until("readiness", || server.is_ready());
    Phone::new(server).call("900002", "119999", phone);
}

#[test]
fn a_server_is_not_ready_as_long_as_its_disk_is_full_and_then_without_a_registration() {
    let full = Full::new();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(4) {
        assert!(!full.server.is_ready(), "ready after {:?}", begin.elapsed());
        assert_eq!(full.server.figure("store_up"), 0);
        std::thread::sleep(Duration::from_millis(20));
    }
    full.make_room();
    wait_until("readiness", || full.server.is_ready());
}
