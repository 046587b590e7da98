//! Stores for tests: a directory that goes with the test, and a Redis server of the test's own.

pub mod process;

use ringway::clock::UnixSeconds;
use ringway::directory::{Binding, Credentials, Q_MAX, Subscriber};
use ringway::outbox::ListenerId;
use ringway::store::{Place, Settings};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Nothing here takes this long unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub fn settings(place: Place) -> Settings {
    Settings {
        place,
        timeout: Duration::from_millis(500),
        cache_bytes: 16 << 20,
        realm: "ringway".to_owned(),
        listeners: vec!["127.0.0.60:5060".parse().unwrap()],
    }
}

pub fn subscriber(number: &str) -> Subscriber {
    let mut subscriber = Subscriber::new(number);
    subscriber.credentials = Some(Box::new(Credentials { sha256: [7; 32], md5: [9; 16] }));
    subscriber.after_ms = Some(20_000);
    subscriber
}

/// A binding that lives for long after any test.
pub fn binding(user: &str, cseq: u32) -> Binding {
    Binding {
        uri: format!("sip:{user}@127.0.0.7:5062").into(),
        destination: std::net::SocketAddr::from(([127, 0, 0, 7], 5062)).into(),
        listener: ListenerId(0),
        q: Q_MAX,
        expires_at: UnixSeconds(4_000_000_000),
        call_id: 3,
        cseq,
        extras: None,
    }
}

pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "{what}: waited in vain");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A Redis server on a free port that ends with the test.
pub struct RedisServer {
    child: Option<Child>,
    directory: TempDir,
    pub port: u16,
}

impl RedisServer {
    /// `None`, said aloud, where there is no `redis-server`.
    pub fn start(test: &str) -> Option<RedisServer> {
        if Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_err() {
            println!("SKIPPED {test}: no redis-server; run: apt-get install redis-server");
            return None;
        }
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
        let port = port.expect("a free port").port();
        let directory = TempDir::new().expect("a directory");
        let mut server = RedisServer { child: None, directory, port };
        server.run();
        Some(server)
    }

    /// Starts it (again) with what it had.
    pub fn run(&mut self) {
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "always", "--dir"])
            .arg(self.directory.path())
            .stdout(Stdio::null())
            .spawn();
        self.child = Some(child.expect("a server"));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        wait_until("the Redis server", || TcpStream::connect(address).is_ok());
        wait_until("its data", || {
            let client = redis::Client::open(self.url()).expect("a URL");
            client.get_connection().is_ok_and(|mut it| redis::cmd("PING").exec(&mut it).is_ok())
        });
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub fn place(&self) -> Place {
        Place::Redis(self.url())
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().and_then(|()| child.wait()).expect("an end");
        }
    }

    /// Removes what it had, once it has ended.
    pub fn forget(&self) {
        for entry in std::fs::read_dir(self.directory.path()).expect("a directory") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => std::fs::remove_dir_all(path).expect("removed"),
                false => std::fs::remove_file(path).expect("removed"),
            }
        }
    }

    /// Lets it stand still, or go on.
    pub fn signal(&self, signal: i32) {
        let id = self.child.as_ref().expect("it runs").id().try_into().expect("a process id");
        // SAFETY: the child is ours and was not waited for, so the id is still its own.
        assert_eq!(unsafe { libc::kill(id, signal) }, 0);
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}
