//! The files of the records of legs (CDR): turning over, full disks, torn lines; and the binary that writes
//! them.
#![cfg(feature = "server")]

#[path = "cdr_files/faults.rs"]
mod faults;
#[expect(dead_code, reason = "each test file uses its part")]
mod stores;

use ringway::cdr::{Backlog, Files, Format, Lines, PENDING_MAX, Settings, Sink};
use ringway::mail::{Cause, EndedBy, EndedLeg, LegNames};
use ringway::media::{Figures, Flow};
use ringway::net::post::{Post, Records};
use serde_json::Value;
use std::cell::RefCell;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use stores::process::{Phone, Server, run};
use stores::wait_until;
use tempfile::TempDir;

/// 2013-10-10T10:07:15Z.
const NOW_MS: u64 = 1_381_399_635_000;
const DAY_MS: u64 = 86_400_000;

fn leg(number: u16) -> Box<EndedLeg> {
    Box::new(EndedLeg {
        names: LegNames::new([
            b"1003_2013101010071500000000",
            b"5b6ac10000000001@127.0.0.60",
            b"1003",
            b"1005",
            b"1004;no-answer;1005",
        ]),
        leg: number,
        setup_at: NOW_MS,
        ring_at: Some(NOW_MS + 20),
        answer_at: Some(NOW_MS + 4_042),
        end_at: NOW_MS + 64_542,
        ended_by: EndedBy::Callee,
        status: 200,
        cause: Cause::Bye,
        peer: "127.0.0.138:5060".parse().unwrap(),
        local: "127.0.0.60:5060".parse().unwrap(),
        media: None,
    })
}

#[expect(clippy::vec_box, reason = "records come in boxes")]
fn legs(numbers: std::ops::Range<u16>) -> Vec<Box<EndedLeg>> {
    numbers.map(leg).collect()
}

fn settings(directory: &Path, format: Format, size_bytes: u64) -> Settings {
    Settings { directory: directory.to_owned(), format, size_bytes }
}

/// Opens a directory. Another test's process that is about to begin may still hold the lock of one that was
/// closed a moment ago.
fn open(settings: &Settings, now_ms: u64) -> (Files, u64) {
    let mut opened = None;
    wait_until("the directory", || {
        opened = Files::open(settings, now_ms).ok();
        opened.is_some()
    });
    opened.expect("a directory")
}

/// A backlog before files, and what it counts.
struct Writer {
    backlog: Backlog<Files>,
    post: Post,
    format: Format,
}

impl Writer {
    fn open(settings: &Settings, now_ms: u64) -> Writer {
        let (files, _) = open(settings, now_ms);
        let backlog = Backlog::new(files, PENDING_MAX);
        Writer { backlog, post: Post::default(), format: settings.format }
    }

    fn write(&mut self, legs: &[Box<EndedLeg>], now_ms: u64) {
        self.backlog.write(self.format, legs, &self.post.records, now_ms);
    }

    fn tick(&mut self, now_ms: u64) {
        self.backlog.tick(&self.post.records, now_ms);
    }
}

fn counted(records: &Records) -> (u64, u64, u64) {
    (records.written(), records.lost(), records.errors())
}

/// The files' names in their order, the current one last.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

/// The leg numbers of all whole lines in a file.
fn numbers(path: &Path) -> Vec<u64> {
    let text = fs::read_to_string(path).expect("a file");
    assert!(text.is_empty() || text.ends_with('\n'), "a torn line in {text}");
    let number =
        |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["leg"].as_u64().expect("leg");
    text.lines().map(number).collect()
}

#[test]
fn a_record_is_a_line_of_json_or_of_csv_below_a_heading() {
    let directory = TempDir::new().unwrap();
    let mut odd = leg(0);
    odd.names = LegNames::new([
        odd.names.record_id().as_bytes(),
        odd.names.call_id().as_bytes(),
        b"a\"b,c",
        odd.names.called().as_bytes(),
        odd.names.chain().as_bytes(),
    ]);
    (odd.ring_at, odd.answer_at) = (None, None);
    let mut heard = leg(2);
    heard.media = Some(Figures {
        received: Flow { packets: 3_000, bytes: 516_000, lost: 2, jitter_us: 1_125 },
        sent: Flow { packets: 2_998, bytes: 515_656, ..Flow::default() },
        dropped: 7,
    });
    let other = TempDir::new().unwrap();
    for (directory, format) in [(&directory, Format::Json), (&other, Format::Csv)] {
        let mut writer = Writer::open(&settings(directory.path(), format, 1 << 20), NOW_MS);
        writer.write(&[heard.clone(), odd.clone()], NOW_MS);
        assert_eq!(counted(&writer.post.records), (2, 0, 0));
    }
    let json = fs::read_to_string(directory.path().join("cdr.jsonl")).unwrap();
    let first = "{\"record_id\":\"1003_2013101010071500000000\",\"leg\":2,\
                 \"call_id\":\"5b6ac10000000001@127.0.0.60\",\"caller\":\"1003\",\"called\":\"1005\",\
                 \"chain\":\"1004;no-answer;1005\",\"setup\":\"2013-10-10T10:07:15.000Z\",\
                 \"ring\":\"2013-10-10T10:07:15.020Z\",\"answer\":\"2013-10-10T10:07:19.042Z\",\
                 \"end\":\"2013-10-10T10:08:19.542Z\",\"duration\":60.5,\"ended_by\":\"callee\",\
                 \"status\":200,\"cause\":\"bye\",\"peer\":\"127.0.0.138:5060\",\
                 \"local\":\"127.0.0.60:5060\",\"media\":{\"received\":{\"packets\":3000,\
                 \"bytes\":516000,\"lost\":2,\"jitter_ms\":1.125},\"sent\":{\"packets\":2998,\
                 \"bytes\":515656,\"lost\":0,\"jitter_ms\":0.0},\"dropped\":7}}";
    assert_eq!(json.lines().next(), Some(first));
    let second: Value = serde_json::from_str(json.lines().nth(1).unwrap()).unwrap();
    assert_eq!(
        (&second["caller"], &second["ring"], &second["duration"], second.get("media")),
        (&"a\"b,c".into(), &Value::Null, &0.0.into(), Some(&Value::Null))
    );

    let path = other.path().join("cdr.csv");
    let text = fs::read_to_string(&path).unwrap();
    let expected = "record_id,leg,call_id,caller,called,chain,setup,ring,answer,end,duration,ended_by,status,\
                    cause,peer,local,media_received_packets,media_received_bytes,media_received_lost,\
                    media_received_jitter_ms,media_sent_packets,media_sent_bytes,media_sent_lost,\
                    media_sent_jitter_ms,media_dropped\n\
                    1003_2013101010071500000000,2,5b6ac10000000001@127.0.0.60,1003,1005,1004;no-answer;1005,\
                    2013-10-10T10:07:15.000Z,2013-10-10T10:07:15.020Z,2013-10-10T10:07:19.042Z,\
                    2013-10-10T10:08:19.542Z,60.5,callee,200,bye,127.0.0.138:5060,127.0.0.60:5060,\
                    3000,516000,2,1.125,2998,515656,0,0.0,7\n\
                    1003_2013101010071500000000,0,5b6ac10000000001@127.0.0.60,\"a\"\"b,c\",1005,\
                    1004;no-answer;1005,2013-10-10T10:07:15.000Z,,,2013-10-10T10:08:19.542Z,0.0,callee,200,\
                    bye,127.0.0.138:5060,127.0.0.60:5060,,,,,,,,,\n";
    assert_eq!(text, expected);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777 & !0o640, 0, "others may read it");
}

#[test]
fn a_file_with_other_columns_is_turned_over_before_anything_is_added() {
    let directory = TempDir::new().unwrap();
    let (older, path) = ("record_id,leg\n1003_1,0\n", directory.path().join("cdr.csv"));
    fs::write(&path, older).unwrap();
    let own = settings(directory.path(), Format::Csv, 1 << 20);
    for number in [1, 2] {
        // The second time it has the columns of this version.
        Writer::open(&own, NOW_MS).write(&[leg(number)], NOW_MS);
        let file = fs::File::options().append(true).open(&path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_millis(NOW_MS)).unwrap();
    }
    assert_eq!(names(directory.path()), ["cdr-20131010T100715Z.csv", "cdr.csv"]);
    assert_eq!(fs::read_to_string(directory.path().join("cdr-20131010T100715Z.csv")).unwrap(), older);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with(Format::Csv.heading()) && text.lines().count() == 3, "{text}");
}

#[test]
fn a_file_is_turned_over_before_it_gets_too_long_and_no_name_is_used_twice() {
    let directory = TempDir::new().unwrap();
    for format in [Format::Json, Format::Csv] {
        let mut writer = Writer::open(&settings(directory.path(), format, 4_096), NOW_MS);
        // A hundred lines of more than 300 bytes in a file of 4 KiB: all in one second, in two batches.
        writer.write(&legs(0..50), NOW_MS);
        writer.write(&legs(50..100), NOW_MS + 999);
        assert_eq!(counted(&writer.post.records), (100, 0, 0));
    }
    let names = names(directory.path());
    let json: Vec<&String> = names.iter().filter(|name| name.ends_with(".jsonl")).collect();
    assert!(json.len() > 7, "{names:?}");
    assert!(names.contains(&"cdr-20131010T100715Z.jsonl".to_owned()), "{names:?}");
    assert!(names.contains(&"cdr-20131010T100715Z-1.csv".to_owned()), "{names:?}");
    let mut all = Vec::new();
    for name in &json {
        let path = directory.path().join(name);
        assert!(fs::metadata(&path).unwrap().len() <= 4_096, "{name} is too long");
        all.extend(numbers(&path));
    }
    all.sort_unstable();
    assert_eq!(all, (0..100).collect::<Vec<u64>>());
    for name in names.iter().filter(|name| name.ends_with(".csv")) {
        let text = fs::read_to_string(directory.path().join(name)).unwrap();
        assert_eq!(text.matches("record_id").count(), 1, "the heading of {name}");
        assert!(text.starts_with("record_id") && text.lines().count() > 1 && text.len() <= 4_096, "{name}");
    }
}

#[test]
fn at_midnight_a_file_is_turned_over_also_when_nothing_is_to_be_written() {
    let directory = TempDir::new().unwrap();
    let midnight = NOW_MS / DAY_MS * DAY_MS + DAY_MS;
    let mut writer = Writer::open(&settings(directory.path(), Format::Json, 1 << 20), midnight - 5_000);
    writer.write(&legs(0..2), midnight - 5_000);
    writer.tick(midnight - 1);
    assert_eq!(names(directory.path()), ["cdr.jsonl"]);
    writer.tick(midnight);
    assert_eq!(names(directory.path()), ["cdr-20131011T000000Z.jsonl", "cdr.jsonl"]);
    // A day without a record makes no file.
    writer.tick(midnight + DAY_MS);
    writer.tick(midnight + 2 * DAY_MS);
    assert_eq!(names(directory.path()).len(), 2);
    writer.write(&legs(2..3), midnight + 2 * DAY_MS);
    writer.write(&legs(3..4), midnight + 3 * DAY_MS + 1_500);
    assert_eq!(numbers(&directory.path().join("cdr-20131014T000001Z.jsonl")), [2]);
    assert_eq!(numbers(&directory.path().join("cdr.jsonl")), [3]);
    assert_eq!(counted(&writer.post.records), (4, 0, 0));
}

#[test]
fn a_crashed_runs_torn_line_is_cut_off_and_its_file_goes_on() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), Format::Json, 1 << 20);
    let path = directory.path().join("cdr.jsonl");
    let now_ms =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    Writer::open(&settings, now_ms).write(&legs(0..3), now_ms);
    let whole = fs::read(&path).unwrap();
    // Longer than what is read at once, too.
    for torn in [&b"{\"record_id\":\"10"[..], &[b'x'; 200_000]] {
        fs::write(&path, [&whole, torn].concat()).unwrap();
        let (_, cut) = open(&settings, now_ms);
        assert_eq!(cut, torn.len() as u64);
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
    fs::write(&path, "torn from the first byte on").unwrap();
    let mut writer = Writer::open(&settings, now_ms);
    writer.write(&legs(7..8), now_ms);
    assert_eq!(numbers(&path), [7]);
}

#[test]
fn a_file_that_others_turned_over_is_left_to_them() {
    let directory = TempDir::new().unwrap();
    let mut writer = Writer::open(&settings(directory.path(), Format::Json, 1 << 20), NOW_MS);
    writer.write(&legs(0..1), NOW_MS);
    let path = directory.path().join("cdr.jsonl");
    fs::rename(&path, directory.path().join("theirs")).unwrap();
    writer.tick(NOW_MS + 1_000);
    writer.write(&legs(1..2), NOW_MS + 1_000);
    assert_eq!((numbers(&directory.path().join("theirs")), numbers(&path)), (vec![0], vec![1]));
}

/// A disk with room for so many bytes, which may get more.
struct Disk<'d>(&'d RefCell<(Vec<u8>, usize)>);

impl Sink for Disk<'_> {
    fn append(&mut self, lines: &mut Lines, _now_ms: u64) -> io::Result<()> {
        let (kept, room) = &mut *self.0.borrow_mut();
        let whole = lines.within(*room - kept.len());
        kept.extend_from_slice(lines.first(whole));
        lines.remove_first(whole);
        if lines.is_empty() { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    fn tick(&mut self, _now_ms: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_cannot_be_written_is_tried_again_each_second_and_the_oldest_makes_room() {
    let disk = RefCell::new((Vec::new(), 1_000));
    let post = Post::default();
    let records = &post.records;
    let mut backlog = Backlog::new(Disk(&disk), 10);
    backlog.write(Format::Json, &legs(0..4), records, NOW_MS);
    let written = records.written();
    assert!((1..4).contains(&written), "{written}");
    assert_eq!((records.errors(), records.lost(), backlog.fails()), (1, 0, true));
    // Within the second nothing is tried.
    backlog.write(Format::Json, &legs(4..6), records, NOW_MS + 900);
    assert_eq!(counted(records), (written, 0, 1));
    backlog.tick(records, NOW_MS + 1_000);
    assert_eq!(counted(records), (written, 0, 2));
    backlog.write(Format::Json, &legs(6..20), records, NOW_MS + 1_100);
    let lost = 20 - written - 10;
    assert_eq!((counted(records), backlog.len()), ((written, lost, 2), 10));
    disk.borrow_mut().1 = 100_000;
    backlog.tick(records, NOW_MS + 2_000);
    assert_eq!((counted(records), backlog.len(), backlog.fails()), ((written + 10, lost, 2), 0, false));
    backlog.close(records);
    let text = String::from_utf8(disk.borrow().0.clone()).unwrap();
    let numbers: Vec<u64> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["leg"].as_u64().unwrap())
        .collect();
    let expected: Vec<u64> = (0..written).chain(10..20).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn what_is_left_at_the_end_is_counted_as_lost() {
    let disk = RefCell::new((Vec::new(), 0));
    let post = Post::default();
    let mut backlog = Backlog::new(Disk(&disk), 10);
    backlog.write(Format::Csv, &legs(0..3), &post.records, NOW_MS);
    backlog.close(&post.records);
    assert_eq!(counted(&post.records), (0, 3, 1));
}

/// Set in the process that a test starts in namespaces of its own: where a tiny file system is mounted.
const DISK: &str = "RINGWAY_TEST_CDR_DISK";

#[test]
fn a_full_disk_leaves_whole_lines_and_room_brings_the_rest() {
    let Ok(disk) = std::env::var(DISK) else {
        let directory = TempDir::new().unwrap();
        let disk = directory.path().to_str().unwrap();
        let mount = format!("mount -t tmpfs -o size=64k tmpfs '{disk}' && exec \"$0\" \"$@\"");
        let this = std::env::current_exe().unwrap();
        let name = "a_full_disk_leaves_whole_lines_and_room_brings_the_rest";
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", &mount]).arg(&this).args([name, "--exact", "--nocapture"]);
        let output = command.env(DISK, disk).output();
        return match output {
            Ok(output) if String::from_utf8_lossy(&output.stdout).contains("filled the disk") => {
                assert!(output.status.success(), "{output:?}");
            }
            Ok(output) if String::from_utf8_lossy(&output.stdout).contains("running 1 test") => {
                panic!("{output:?}")
            }
            other => println!("SKIPPED {name}: no mount in namespaces of one's own here: {other:?}"),
        };
    };
    let disk = Path::new(&disk);
    let mut writer = Writer::open(&settings(disk, Format::Json, 1 << 20), NOW_MS);
    // The first page that the disk has no room for tears a line.
    let ballast = disk.join("ballast");
    fs::write(&ballast, vec![0; 40_000]).unwrap();
    writer.write(&legs(0..200), NOW_MS);
    let path = disk.join("cdr.jsonl");
    let before = numbers(&path).len();
    println!("filled the disk with {before}");
    assert!((10..200).contains(&before), "{before}");
    assert_eq!(counted(&writer.post.records), (before as u64, 0, 1));
    writer.tick(NOW_MS + 1_000);
    assert_eq!(counted(&writer.post.records), (before as u64, 0, 2));
    assert_eq!(numbers(&path).len(), before);
    fs::remove_file(&ballast).unwrap();
    writer.tick(NOW_MS + 2_000);
    let after = numbers(&path);
    assert!(after.len() > before, "room was made");
    assert_eq!(after, (0..after.len() as u64).collect::<Vec<u64>>());
    assert_eq!(writer.post.records.written(), after.len() as u64);
}

#[test]
fn only_with_a_directory_records_are_made_at_all() {
    let world = || ringway::config::World {
        environment: Vec::new(),
        read_file: &|_| Err(io::ErrorKind::NotFound.into()),
        cpus_allowed: vec![0],
        secret: 1,
    };
    let config = |args: &[&str]| {
        let args = ["ringway"].iter().chain(args).map(Into::into);
        match ringway::config::Config::from_args(args, &world()) {
            Ok(ringway::config::Action::Start(config)) => config,
            other => panic!("{other:?}"),
        }
    };
    let with = config(&["--cdr-dir=/c", "--cdr-format=csv", "--cdr-size=1MiB"]);
    assert_eq!(
        (with.settings.records, &with.cdr),
        (true, &Some(settings(Path::new("/c"), Format::Csv, 1 << 20)))
    );
    assert!(with.summary().contains("writes call detail records to /c"), "{}", with.summary());
    let default = config(&["--cdr-dir=/c"]).cdr;
    assert_eq!(default, Some(settings(Path::new("/c"), Format::Json, 64 << 20)));
    let without = config(&["--cdr-format=csv"]);
    assert_eq!((without.settings.records, &without.cdr), (false, &None));
}

#[test]
fn a_directory_that_cannot_be_used_is_named_with_the_cure() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let below = file.join("below");
    let output = run(&["--listen", "udp:127.0.0.60:5999", "--cdr-dir", below.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("ringway: --cdr-dir ") && last.contains("give a directory"), "{said}");

    let own = settings(directory.path(), Format::Json, 1 << 20);
    let _first = Files::open(&own, NOW_MS).expect("a directory");
    let error = Files::open(&own, NOW_MS).expect_err("it has an owner").to_string();
    assert!(error.contains("another process writes its records there"), "{error}");
}

/// A server with records, and phones: 200001 calls 200000, who is registered.
fn serving(directory: &Path, more: &[&str]) -> (Server, Phone, Phone) {
    let cdr = directory.to_str().unwrap();
    let subscriber = ["--subscriber", "number=200000,contact=sip:200000@127.0.0.9"];
    let server =
        Server::start(&[&["--store", "memory", "--cdr-dir", cdr], &subscriber[..], more].concat(), || ());
    let (caller, callee) = (Phone::new(&server), Phone::new(&server));
    assert_eq!(callee.register("200000", 1).0, 200);
    (server, caller, callee)
}

#[test]
fn a_clean_stop_loses_no_record() {
    let directory = TempDir::new().unwrap();
    let (mut server, caller, callee) =
        serving(directory.path(), &["--cdr-size", "4KiB", "--drain-timeout", "1"]);
    const CALLS: u64 = 40;
    for call in 0..CALLS {
        caller.call(&format!("3000{call:02}"), "200000", &callee);
    }
    assert_eq!(server.end(libc::SIGTERM), Some(0));
    let names = names(directory.path());
    assert!(names.len() > 3, "{names:?}");
    let mut legs = [0; 3];
    for name in &names {
        numbers(&directory.path().join(name)).iter().for_each(|&number| legs[number as usize] += 1);
    }
    // Each INVITE also goes to the contact that nobody is at; these legs live when the time to drain is over.
    assert_eq!(legs, [CALLS, CALLS, CALLS], "{names:?}");
}

#[test]
fn a_kill_tears_no_line_but_the_last_and_the_next_run_goes_on() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("cdr.jsonl");
    let (mut server, caller, callee) = serving(directory.path(), &[]);
    for call in 0..20 {
        caller.call(&format!("3000{call:02}"), "200000", &callee);
        if call == 10 {
            wait_until("the first records", || server.figure("cdr_written_total") > 10);
        }
    }
    assert_eq!(server.end(libc::SIGKILL), None);
    let text = fs::read_to_string(&path).unwrap();
    let whole = text.rfind('\n').expect("a line") + 1;
    assert!(text[..whole].lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{text}");
    let kept = text[..whole].lines().count();
    assert!(kept > 10, "{text}");
    // As a machine that lost its power would leave it.
    fs::write(&path, format!("{}{{\"record_id\":\"3000", &text[..whole])).unwrap();
    let (mut server, caller, callee) = serving(directory.path(), &["--drain-timeout", "1"]);
    server.counts("cdr_errors_total", 1);
    caller.call("300099", "200000", &callee);
    assert_eq!(server.end(libc::SIGTERM), Some(0));
    assert_eq!(numbers(&path).len(), kept + 3);
}

/// A record's moment as milliseconds since 1970: the time of day alone, which is enough for two of one day.
fn clock_ms(record: &Value, member: &str) -> u64 {
    let text = record[member].as_str().expect("a time");
    let part = |range: std::ops::Range<usize>| text[range].parse::<u64>().expect("digits");
    (part(11..13) * 3_600 + part(14..16) * 60 + part(17..19)) * 1_000 + part(20..23)
}

#[test]
fn a_records_times_are_the_calendars_to_the_millisecond() {
    let now_ms =
        || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    // A start at the end of a second: what is cut off then shows.
    let directory = TempDir::new().unwrap();
    wait_until("the end of a second", || now_ms() % 1_000 > 500);
    let (mut server, caller, callee) = serving(directory.path(), &["--drain-timeout", "1"]);
    let before = now_ms();
    caller.call("300000", "200000", &callee);
    let after = now_ms();
    assert_eq!(server.end(libc::SIGTERM), Some(0));
    let text = fs::read_to_string(directory.path().join("cdr.jsonl")).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let call = records.into_iter().find(|record| record["leg"] == 0).expect("the caller's");
    for member in ["setup", "ring", "answer", "end"] {
        // The server reads its two clocks one after the other, and may lose the CPU between.
        let since = (clock_ms(&call, member) + DAY_MS + 50 - before % DAY_MS) % DAY_MS;
        assert!(since <= after - before + 100, "{member} is {since} ms after {before}: {call}");
    }
}

#[test]
fn of_names_as_long_as_a_message_the_start_is_recorded() {
    let directory = TempDir::new().unwrap();
    let (mut server, caller, callee) = serving(directory.path(), &["--drain-timeout", "1"]);
    let long = "3".repeat(700);
    caller.call(&long, "200000", &callee);
    assert_eq!(server.end(libc::SIGTERM), Some(0));
    let text = fs::read_to_string(directory.path().join("cdr.jsonl")).unwrap();
    let call: Value = serde_json::from_str(text.lines().last().expect("the caller's")).expect("JSON");
    assert_eq!(
        (&call["leg"], &call["caller"], &call["call_id"]),
        (&0.into(), &long[..512].into(), &long[..512].into())
    );
    assert!(call["record_id"].as_str().is_some_and(|id| id.len() < 1_000), "{call}");
}

#[test]
fn a_second_signal_ends_a_server_whose_disk_hangs() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("cdr.jsonl");
    let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: the path ends in NUL and outlives the call.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    // A pipe that is full and that nobody reads takes no write, and tells of no error either.
    let mut pipe = fs::File::options().read(true).write(true).open(&path).unwrap();
    // SAFETY: the descriptor is open.
    let size = unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&pipe), libc::F_SETPIPE_SZ, 4_096) };
    assert!(size > 0);
    io::Write::write_all(&mut pipe, &vec![b'\n'; size as usize]).unwrap();
    let (mut server, caller, callee) = serving(directory.path(), &["--drain-timeout", "1"]);
    caller.call("300000", "200000", &callee);
    server.signal(libc::SIGTERM);
    wait_until("the shards' end", || !server.listens());
    server.signal(libc::SIGTERM);
    wait_until("the end", || server.ended().is_some());
    assert_eq!(server.ended(), Some(128 + libc::SIGTERM));
}
