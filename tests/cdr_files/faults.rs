//! What befalls the directory and the clock: records wait, nothing is written where nobody finds it, and what
//! can be written is.

use super::*;
use ringway::mail::LegNames;
use std::fs::File;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Files that take each name that a second has for a file that is turned over.
fn take_names(directory: &Path, stamp: &str) {
    for number in 0..10_000 {
        let suffix = if number == 0 { String::new() } else { format!("-{number}") };
        fs::write(directory.join(format!("cdr-{stamp}{suffix}.jsonl")), "").expect("a file");
    }
}

/// Calls of `write(2)` by this thread so far.
fn writes() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/io").expect("what this thread did");
    let count = text.lines().find_map(|line| line.strip_prefix("syscw: "));
    count.expect("its writes").parse().expect("a number")
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64
}

#[test]
fn a_directory_that_was_removed_is_made_again_and_until_then_records_wait() {
    let parent = TempDir::new().unwrap();
    let directory = parent.path().join("records");
    let path = directory.join("cdr.jsonl");
    let own = settings(&directory, Format::Json, 1 << 20);
    let mut writer = Writer::open(&own, NOW_MS);
    writer.write(&legs(0..1), NOW_MS);
    fs::remove_dir_all(&directory).unwrap();
    writer.write(&legs(1..2), NOW_MS + 20);
    assert_eq!((numbers(&path), counted(&writer.post.records)), (vec![1], (2, 0, 0)));
    let error = Files::open(&own, NOW_MS).expect_err("it has an owner").to_string();
    assert!(error.contains("another process"), "{error}");

    fs::remove_dir_all(&directory).unwrap();
    fs::write(&directory, "in the way").unwrap();
    writer.write(&legs(2..3), NOW_MS + 40);
    writer.tick(NOW_MS + 500);
    assert_eq!((writer.post.records.written(), writer.backlog.len()), (2, 1));
    fs::remove_file(&directory).unwrap();
    writer.tick(NOW_MS + 2_000);
    assert_eq!((numbers(&path), writer.backlog.len()), (vec![2], 0));
    assert_eq!((writer.post.records.written(), writer.post.records.lost()), (3, 0));
}

#[test]
fn a_file_that_cannot_be_turned_over_takes_all_that_waits_at_once() {
    let directory = TempDir::new().unwrap();
    take_names(directory.path(), "20131010T100715Z");
    let mut writer = Writer::open(&settings(directory.path(), Format::Json, 4_096), NOW_MS);
    let before = writes();
    writer.write(&legs(0..1_000), NOW_MS);
    let done = writes() - before;
    assert!(done <= 3, "{done} writes for 1000 lines");
    // Nothing waits, so nothing is tried again: what comes next is written as it comes.
    assert_eq!((counted(&writer.post.records), writer.backlog.fails()), ((1_000, 0, 1), false));
    writer.write(&legs(1_000..1_001), NOW_MS + 20);
    assert_eq!(counted(&writer.post.records), (1_001, 0, 1));
    assert_eq!(numbers(&directory.path().join("cdr.jsonl")).len(), 1_001);
    // A second later there are names again.
    writer.write(&legs(1_001..1_002), NOW_MS + 1_000);
    assert_eq!(numbers(&directory.path().join("cdr.jsonl")), [1_001]);
    assert_eq!(numbers(&directory.path().join("cdr-20131010T100716Z.jsonl")).len(), 1_001);
}

#[test]
fn a_clock_that_was_set_back_keeps_no_file_from_being_turned_over() {
    let directory = TempDir::new().unwrap();
    take_names(directory.path(), "20131010T100715Z");
    let mut writer = Writer::open(&settings(directory.path(), Format::Json, 1_000), NOW_MS);
    writer.write(&legs(0..5), NOW_MS);
    assert_eq!(counted(&writer.post.records), (5, 0, 1));
    writer.write(&legs(5..6), NOW_MS - DAY_MS);
    assert_eq!(numbers(&directory.path().join("cdr-20131009T100715Z.jsonl")), [0, 1, 2, 3, 4]);
    assert_eq!(numbers(&directory.path().join("cdr.jsonl")), [5]);
}

#[test]
fn a_file_with_a_torn_line_is_of_the_day_on_which_it_was_written() {
    let directory = TempDir::new().unwrap();
    let own = settings(directory.path(), Format::Json, 1 << 20);
    let path = directory.path().join("cdr.jsonl");
    let now_ms = now_ms();
    Writer::open(&own, now_ms).write(&legs(0..1), now_ms);
    let torn = [&fs::read(&path).unwrap()[..], b"{\"record_id"].concat();
    fs::write(&path, torn).unwrap();
    let written = SystemTime::now() - Duration::from_secs(2 * 86_400);
    File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
    // Also when the first start after the crash has nothing to write.
    drop(open(&own, now_ms));
    let mut writer = Writer::open(&own, now_ms);
    writer.tick(now_ms);
    assert_eq!(names(directory.path()).len(), 2, "it was turned over");
    writer.write(&legs(1..2), now_ms);
    assert_eq!(numbers(&path), [1]);
}

#[test]
fn a_file_that_is_turned_over_never_shows_under_its_name_before_it_is_whole() {
    let directory = TempDir::new().unwrap();
    let mut writer = Writer::open(&settings(directory.path(), Format::Json, 1_000), NOW_MS);
    let path = std::ffi::CString::new(directory.path().to_str().unwrap()).unwrap();
    // SAFETY: the path ends in NUL and outlives the call; the descriptor is ours from then on.
    let mut made = unsafe {
        use std::os::fd::FromRawFd;
        let watch = libc::inotify_init1(libc::IN_CLOEXEC);
        assert!(watch >= 0 && libc::inotify_add_watch(watch, path.as_ptr(), libc::IN_CREATE) >= 0);
        File::from_raw_fd(watch)
    };
    writer.write(&legs(0..10), NOW_MS);
    assert!(names(directory.path()).len() > 2);
    let mut events = vec![0; 65_536];
    let length = io::Read::read(&mut made, &mut events).expect("the new current file at least");
    let events = String::from_utf8_lossy(&events[..length]).into_owned();
    assert!(!events.contains("cdr-2013"), "{events:?}");
}

#[test]
fn long_records_that_wait_make_room_by_their_bytes() {
    let disk = RefCell::new((Vec::new(), 0));
    let post = Post::default();
    let mut backlog = Backlog::new(Disk(&disk), PENDING_MAX);
    let mut long = leg(0);
    long.names = LegNames::new([b"1", "x".repeat(60_000).as_bytes(), b"1003", b"1005", b""]);
    let batch = vec![long; 500];
    for _ in 0..4 {
        backlog.write(Format::Json, &batch, &post.records, NOW_MS);
    }
    assert!((100..=1_200).contains(&backlog.len()), "{} wait", backlog.len());
    assert_eq!(post.records.lost() + backlog.len() as u64, 2_000);
}

#[test]
fn what_a_run_with_the_other_format_left_is_turned_over_at_the_start() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("cdr.jsonl");
    Writer::open(&settings(directory.path(), Format::Json, 1 << 20), NOW_MS).write(&legs(0..3), NOW_MS);
    fs::write(&path, [&fs::read(&path).unwrap()[..], b"{\"torn"].concat()).unwrap();
    let csv = settings(directory.path(), Format::Csv, 1 << 20);
    let (files, cut) = open(&csv, NOW_MS + 1_000);
    assert_eq!(
        (cut, names(directory.path())),
        (6, vec!["cdr-20131010T100716Z.jsonl".into(), "cdr.csv".into()])
    );
    assert_eq!(numbers(&directory.path().join("cdr-20131010T100716Z.jsonl")), [0, 1, 2]);
    drop(files);
    // What has no record in it stays.
    fs::write(&path, "").unwrap();
    drop(open(&csv, NOW_MS + 2_000));
    assert_eq!(names(directory.path()).len(), 3);
}
