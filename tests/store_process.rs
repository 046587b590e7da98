//! The server's process and its store: what a kill leaves, what a full disk refuses, what damage says.
#![cfg(feature = "server")]

#[expect(dead_code, reason = "each test file uses its part")]
mod stores;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use stores::process::{ringway, run};
use stores::wait_until;
use tempfile::TempDir;

const FILE: &str = "ringway.redb";

/// What `ringway dump` writes of a directory's store.
fn dumped(directory: &Path) -> String {
    let output = run(&["dump", "--data-dir", directory.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A store with `count` subscribers from 100000 on, without passwords.
fn filled(directory: &Path, count: usize) {
    let lines = directory.join("lines");
    let text: String = (0..count).map(|n| format!("{{\"number\":\"{}\"}}\n", 100_000 + n)).collect();
    fs::write(&lines, text).unwrap();
    let store = directory.join("store");
    let output = run(&["load", lines.to_str().unwrap(), "--data-dir", store.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, format!("loaded {count} subscribers\n"));
}

/// A server that runs until the test ends.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// `prepare` is the last that happens before the program begins.
    fn start(directory: &Path, prepare: impl Fn() + Send + Sync + 'static) -> Server {
        let free = UdpSocket::bind("127.0.0.60:0").and_then(|socket| socket.local_addr());
        let address = free.expect("a free port");
        let (listen, directory) = (format!("udp:{address}"), directory.to_str().unwrap());
        let mut command = ringway(&["--listen", &listen, "--data-dir", directory, "--shards", "1"]);
        command.args(["--max-calls", "1000", "--max-transactions", "100000", "--auth-failures", "0"]);
        command.args(["--admin", "off", "--media", "pass"]);
        command.stdout(Stdio::piped());
        let log = fs::File::create(directory.to_owned() + ".log").expect("a log");
        command.stderr(log);
        // SAFETY: what is prepared calls the kernel alone.
        unsafe {
            command.pre_exec(move || {
                prepare();
                Ok(())
            });
        }
        let mut child = command.spawn().expect("the binary runs");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut said = String::new();
        while !said.contains("try: ") {
            assert_ne!(output.read_line(&mut said).expect("UTF-8"), 0, "it ended after saying {said}");
        }
        Server { child, address }
    }

    fn kill(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("an end");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A phone of many numbers.
struct Phone {
    socket: UdpSocket,
    address: SocketAddr,
}

impl Phone {
    fn new(server: &Server) -> Phone {
        let socket = UdpSocket::bind("127.0.0.61:0").expect("a socket");
        socket.connect(server.address).expect("connected");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        let address = socket.local_addr().expect("bound");
        Phone { socket, address }
    }

    fn register(&self, number: usize, cseq: u32) {
        let address = self.address;
        let text = format!(
            "REGISTER sip:{address} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {address};branch=z9hG4bK{number}x{cseq};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:{number}@{address}>;tag=t{number}\r\nTo: <sip:{number}@{address}>\r\n\
             Call-ID: {number}@{address}\r\nCSeq: {cseq} REGISTER\r\nContact: <sip:{number}@{address}>\r\n\
             Expires: 3600\r\nContent-Length: 0\r\n\r\n"
        );
        // After a kill there is nobody to send to.
        let _ = self.socket.send(text.as_bytes());
    }

    /// The next answer: its status code and its number.
    fn answer(&self) -> Option<(u16, usize)> {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).ok()?;
        let text = std::str::from_utf8(&buffer[..length]).ok()?;
        let status = text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()?;
        let call_id = text.split("\r\n").find_map(|line| line.strip_prefix("Call-ID: "))?;
        Some((status, call_id.split_once('@')?.0.parse().ok()?))
    }

    fn options(&self) -> Option<u16> {
        let address = self.address;
        let text = format!(
            "OPTIONS sip:{address} SIP/2.0\r\nVia: SIP/2.0/UDP {address};branch=z9hG4bKoptions;rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:1@{address}>;tag=t\r\nTo: <sip:1@{address}>\r\n\
             Call-ID: 1@{address}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        );
        self.socket.send(text.as_bytes()).ok()?;
        self.answer().map(|(status, _)| status)
    }
}

#[test]
fn a_kill_loses_no_registration_that_was_acknowledged() {
    let directory = TempDir::new().unwrap();
    let store = directory.path().join("store");
    filled(directory.path(), 2_000);
    let mut server = Server::start(&store, || ());
    let phone = Phone::new(&server);
    let begin = Instant::now();
    let acknowledged = std::thread::scope(|scope| {
        let answers = scope.spawn(|| {
            let mut acknowledged = Vec::new();
            while let Some((status, number)) = phone.answer() {
                assert_eq!(status, 200, "{number}");
                acknowledged.push(number);
            }
            acknowledged
        });
        // A thousand a second; the kill comes in the midst of them.
        for number in 0..2_000 {
            phone.register(100_000 + number, 1);
            if number == 1_500 {
                server.kill();
            }
            let due = Duration::from_millis(number as u64);
            std::thread::sleep(due.saturating_sub(begin.elapsed()));
        }
        answers.join().expect("answers")
    });
    assert!(acknowledged.len() > 1_000, "{} were acknowledged", acknowledged.len());
    let kept = dumped(&store);
    let bound: std::collections::HashSet<&str> = kept
        .lines()
        .filter(|line| line.contains("\"bindings\""))
        .filter_map(|line| line.strip_prefix("{\"number\":\"")?.get(..6))
        .collect();
    for number in &acknowledged {
        assert!(bound.contains(number.to_string().as_str()), "{number} was acknowledged and is lost");
    }
    // And the server goes on with what it has.
    let server = Server::start(&store, || ());
    let phone = Phone::new(&server);
    phone.register(100_000, 2);
    assert_eq!(phone.answer(), Some((200, 100_000)));
}

#[test]
fn a_full_disk_refuses_registrations_while_the_server_goes_on() {
    let directory = TempDir::new().unwrap();
    let store = directory.path().join("store");
    filled(directory.path(), 20_000);
    let bytes = fs::metadata(store.join(FILE)).unwrap().len();
    // A file that may not grow stands for a disk that has no room.
    let server = Server::start(&store, move || {
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: both calls only tell the kernel something of this process.
        unsafe {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit);
        }
    });
    let phone = Phone::new(&server);
    let mut statuses = Vec::new();
    for number in 0..20_000 {
        phone.register(100_000 + number, 1);
        let (status, _) = phone.answer().expect("an answer");
        statuses.push(status);
        if status == 503 {
            break;
        }
    }
    assert_eq!(statuses.last(), Some(&503), "the disk never filled");
    assert!(statuses.iter().rev().skip(1).all(|status| *status == 200));
    assert_eq!(phone.options(), Some(200), "what needs no store is answered");
    let said =
        |what: &str| fs::read_to_string(directory.path().join("store.log")).unwrap().matches(what).count();
    let begin = Instant::now();
    let mut cseq = 1;
    while begin.elapsed() < Duration::from_secs(4) {
        cseq += 1;
        phone.register(119_998, cseq);
        assert_eq!(phone.answer(), Some((503, 119_998)));
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(said("the store takes writes again"), 0, "it goes up and down");
    let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    let process = server.child.id().try_into().expect("a process id");
    // SAFETY: the kernel reads one `rlimit`.
    let made_room =
        unsafe { libc::prlimit(process, libc::RLIMIT_FSIZE, &raw const limit, std::ptr::null_mut()) };
    assert_eq!(made_room, 0);
    let mut cseq = 1;
    wait_until("registrations with room on the disk", || {
        cseq += 1;
        phone.register(119_999, cseq);
        phone.answer().is_some_and(|(status, _)| status == 200)
    });
}

/// The one line that a start with this directory ends with.
fn refusal(store: &Path) -> String {
    let output = run(&["--listen", "udp:127.0.0.60:5999", "--data-dir", store.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    let last = said.lines().last().unwrap_or_default().to_owned();
    assert!(last.starts_with("ringway: ") && last.contains(FILE), "{said}");
    last
}

#[test]
fn a_store_that_another_process_has_is_named_with_the_cure() {
    let directory = TempDir::new().unwrap();
    let _server = Server::start(directory.path(), || ());
    let line = refusal(directory.path());
    assert!(line.contains("another process has it open") && line.contains("--data-dir"), "{line}");
    let output = run(&["dump", "--data-dir", directory.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_damaged_store_is_refused_and_left_as_it_is() {
    let directory = TempDir::new().unwrap();
    let store = directory.path().join("store");
    filled(directory.path(), 5_000);
    let path = store.join(FILE);
    let good = fs::read(&path).unwrap();
    let at = good.windows(6).position(|window| window == b"102500").expect("a number in a page");
    let damages: [(&str, &dyn Fn()); 4] = [
        ("one bit", &|| {
            let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
            file.write_all_at(&[good[at] ^ 1], at as u64).unwrap();
        }),
        ("the head", &|| {
            let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
            file.write_all_at(&[0xff; 64], 0).unwrap();
        }),
        ("the end", &|| {
            let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
            file.set_len(good.len() as u64 / 3).unwrap();
        }),
        ("all", &|| fs::write(&path, vec![b'x'; good.len()]).unwrap()),
    ];
    for (what, damage) in damages {
        fs::write(&path, &good).unwrap();
        damage();
        let line = refusal(&store);
        assert!(line.contains("damaged") && line.contains("ringway load"), "{what}: {line}");
    }
}

#[test]
fn what_is_dumped_loads_as_the_same() {
    let directory = TempDir::new().unwrap();
    let (first, second) = (directory.path().join("first"), directory.path().join("second"));
    let lines = directory.path().join("lines");
    let text = "{\"number\":\"1\",\"no_answer\":\"2\",\"after_s\":30}\n\n{\"number\":\"2\",\
                \"ha1\":{\"sha256\":\"8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a\",\
                \"md5\":\"00112233445566778899aabbccddeeff\"},\"bindings\":[{\"uri\":\"sip:2@192.0.2.7\",\
                \"destination\":\"192.0.2.7:5060\",\"expires_at\":4000000000}]}\n";
    fs::write(&lines, text).unwrap();
    let load = |store: &Path, more: &[&str]| {
        let args = ["load", lines.to_str().unwrap(), "--data-dir", store.to_str().unwrap()];
        run(&[&args, more].concat())
    };
    assert!(load(&first, &[]).status.success());
    let once = dumped(&first);
    fs::write(&lines, &once).unwrap();
    assert!(load(&second, &[]).status.success());
    let without_revision = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split(",\"revision\"").next().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(without_revision(&dumped(&second)), without_revision(&once));
    assert!(
        once.contains("\"no_answer\":\"2\",\"after_s\":30")
            && once.contains("8a8a")
            && once.contains("192.0.2.7")
    );

    fs::write(&lines, "{\"number\":\"3\"}\n{\"number\":\"2\"}\n").unwrap();
    let output = load(&first, &["--replace"]);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "loaded 2 subscribers, removed 1\n");
    let left = dumped(&first);
    assert!(left.starts_with("{\"number\":\"2\"") && left.contains("192.0.2.7") && left.lines().count() == 2);

    fs::write(&lines, "{\"number\":\"4\"}\n{\"numbr\":\"5\"}\n").unwrap();
    let output = load(&first, &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("lines:2: ") && said.contains("numbr") && said.contains("the 1 subscribers"),
        "{said}"
    );
}
