//! The server's own process, and the phones of the reference flow around it.

use super::{PATIENCE, Phone, host, sdp, wait_until};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A server that runs until the test ends.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    admin: SocketAddr,
    records: TempDir,
}

/// The server, and A who calls B who forwards to C.
pub struct Scene {
    pub server: Server,
    pub a: Phone,
    pub b: Phone,
    pub c: Phone,
}

/// How long B rings, in seconds: the least that can be set.
pub const NO_ANSWER_S: u64 = 5;

impl Scene {
    /// With these options besides.
    pub fn new(options: &[&str]) -> Scene {
        Scene::with([host(), host(), host()], options)
    }

    /// With A, B and C at these addresses.
    pub fn with([a, b, c]: [IpAddr; 3], options: &[&str]) -> Scene {
        let sip = SocketAddr::new(host(), 5060);
        let others = [a, b, c].into_iter().filter(|host| host.is_ipv6());
        let sip_v6 = others.take(1).next().map(|_| free_v6());
        let own = |phone: IpAddr| if phone.is_ipv6() { sip_v6.unwrap_or(sip) } else { sip };
        let phone = |host: IpAddr, number| Phone::new(host, number, own(host));
        let (a, b, c) = (phone(a, "1003"), phone(b, "1004"), phone(c, "1005"));
        let rule = format!("{},no-answer=1005,after={NO_ANSWER_S}", b.subscriber());
        let (a_line, c_line) = (a.subscriber(), c.subscriber());
        let mut args = vec!["--subscriber", &a_line, "--subscriber", &rule, "--subscriber", &c_line];
        let v6 = sip_v6.map(|address| format!("udp:{address}"));
        args.extend(v6.iter().flat_map(|address| ["--listen", address]));
        args.extend(options);
        Scene { server: Server::start(sip, &args), a, b, c }
    }
}

/// A port of ::1 that nobody has.
fn free_v6() -> SocketAddr {
    let socket = std::net::UdpSocket::bind("[::1]:0").expect("IPv6 on loopback");
    socket.local_addr().expect("bound")
}

impl Server {
    pub fn start(address: SocketAddr, options: &[&str]) -> Server {
        let records = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RINGWAY_") {
                command.env_remove(name);
            }
        }
        command.args(["--listen", &format!("udp:{address}"), "--admin", "127.0.0.1:0"]);
        if !options.contains(&"--shards") {
            command.args(["--shards", "1"]);
        }
        command.args(["--max-calls", "100", "--max-transactions", "1000", "--media", "anchor", "--cdr-dir"]);
        command.arg(records.path());
        if !options.contains(&"--rtp-ports") {
            command.args(["--rtp-ports", "30000-30099"]);
        }
        let mut child = command.args(options).stdout(Stdio::piped()).spawn().expect("the binary runs");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut said = String::new();
        while !said.contains("admin API on http://") {
            assert_ne!(output.read_line(&mut said).expect("UTF-8"), 0, "it ended after saying {said}");
        }
        // What it says later must not wait for a reader.
        std::thread::spawn(move || output.read_to_end(&mut Vec::new()));
        let admin = said.lines().find_map(|line| line.strip_prefix("admin API on http://"));
        let admin = admin.and_then(|address| address.trim().parse().ok()).expect("the API's address");
        Server { child, address, admin, records }
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        let id = self.child.id().try_into().expect("a process id");
        // SAFETY: the child is ours and was not waited for, so the id is still its own.
        assert_eq!(unsafe { libc::kill(id, libc::SIGTERM) }, 0);
    }

    /// Waits for its end; its exit code.
    #[track_caller]
    pub fn ended(&mut self, patience: Duration) -> Option<i32> {
        let mut end = None;
        wait_until("the server ends", patience, || {
            end = self.child.try_wait().expect("a child of ours");
            end.is_some()
        });
        end.and_then(|status| status.code())
    }

    /// How long it has kept a CPU busy.
    pub fn cpu_time(&self) -> Duration {
        let stat = read(Path::new(&format!("/proc/{}/stat", self.child.id())));
        // Fields 14 and 15 (proc(5)), in ticks of 10 ms; the second is the name, in parentheses.
        let (_, rest) = stat.rsplit_once(") ").expect("a name");
        let ticks: u64 =
            rest.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().expect("ticks")).sum();
        Duration::from_millis(10 * ticks)
    }

    /// Asks the API for a text.
    pub fn get(&self, path: &str) -> String {
        let answer = self.ask("GET", path);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        answer
    }

    /// The calls that live, by the names that the API has for them.
    pub fn calls(&self) -> Vec<String> {
        let answer = self.get("/v1/calls");
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let list: Value = serde_json::from_str(body).expect("JSON");
        let calls = list["calls"].as_array().expect("calls");
        calls.iter().map(|call| call["id"].as_str().expect("a name").to_owned()).collect()
    }

    /// Asks the API; the answer as it came.
    pub fn ask(&self, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).expect("the API");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let host = self.admin;
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("asked");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    /// Waits until a figure is so; the shards' follow a moment after what they count.
    #[track_caller]
    pub fn counts(&self, name: &str, value: u64) {
        wait_until(&format!("{name} {value}"), PATIENCE, || self.figure(name) >= value);
        assert_eq!(self.figure(name), value, "{name}");
    }

    /// A figure of `/metrics`: its name without `ringway_`.
    #[track_caller]
    pub fn figure(&self, name: &str) -> u64 {
        let text = self.get("/metrics");
        let value = text.lines().find_map(|line| {
            let (own, value) = line.strip_prefix("ringway_")?.split_once(' ')?;
            (own == name).then_some(value)?.trim().parse().ok()
        });
        value.unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    /// Every record that has been written.
    pub fn records(&self) -> Vec<Value> {
        let files = std::fs::read_dir(self.records.path()).expect("the records' folder");
        let mut records = Vec::new();
        for file in files {
            let text = read(&file.expect("a file").path());
            let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            records.extend(lines.map(|line| serde_json::from_str(line).expect("JSON")));
        }
        records
    }

    /// A description names the server's own address, in o= and for each stream, and an even port of its own.
    #[track_caller]
    pub fn assert_own(&self, body: &str) {
        assert_eq!(sdp::origin(body).2, self.address.ip(), "{body}");
        for place in sdp::places(body) {
            assert_eq!(place.ip(), self.address.ip(), "{body}");
            assert!((30_000..30_100).contains(&place.port()) && place.port() % 2 == 0, "{body}");
        }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
