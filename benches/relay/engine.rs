//! rtpengine in userspace, driven by its ng protocol: a cookie and a bencoded dictionary per datagram.

use crate::generator::Flow;
use crate::{LOCAL, Measured, Taken, parties, run_generator};
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const START_TIMEOUT: Duration = Duration::from_secs(5);

/// Ended however the measurement ends.
struct Engine(Child);

impl Drop for Engine {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Sets calls up and measures what the engine takes to relay them; why not, if it cannot be done.
pub fn measure(server: usize, generator: usize, calls: usize, length: Duration) -> Result<Measured, String> {
    let control = UdpSocket::bind((LOCAL, 0)).map_err(|error| error.to_string())?;
    let place = {
        let free = UdpSocket::bind((LOCAL, 0)).map_err(|error| error.to_string())?;
        free.local_addr().map_err(|error| error.to_string())?
    };
    let child = Command::new("taskset")
        .args(["-c", &server.to_string(), "rtpengine", "--table=-1", "--interface=127.0.0.1"])
        .arg(format!("--listen-ng={place}"))
        .args(["--port-min=30000", "--port-max=39999", "--foreground", "--log-level=2", "--log-stderr"])
        .args(["--num-threads=1", "--config-file=none"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("{error}"))?;
    let mut engine = Engine(child);
    control.connect(place).map_err(|error| error.to_string())?;
    control.set_read_timeout(Some(Duration::from_millis(200))).map_err(|error| error.to_string())?;
    let started = Instant::now();
    while ask(&control, "ping", &[("command", "ping")]).is_err() {
        if let Ok(Some(status)) = engine.0.try_wait() {
            return Err(format!("it ended: {status}"));
        }
        if started.elapsed() > START_TIMEOUT {
            return Err("it does not answer".to_owned());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let parties = parties();
    let [caller, callee] = parties.each_ref().map(|party| party.local_addr().expect("its address"));
    let mut flows = Vec::new();
    for call in 0..calls {
        let id = format!("call-{call}");
        // The callee sends to what the offer turned into, the caller to what the answer did.
        let offer = sdp(caller);
        let offered = [("call-id", &*id), ("command", "offer"), ("from-tag", "a"), ("sdp", &offer)];
        let for_callee = port(&ask(&control, &id, &offered)?)?;
        let answer = sdp(callee);
        let answered =
            [("call-id", &*id), ("command", "answer"), ("from-tag", "a"), ("sdp", &answer), ("to-tag", "b")];
        let for_caller = port(&ask(&control, &id, &answered)?)?;
        flows.push(Flow { party: 0, place: SocketAddr::new(LOCAL, for_caller) });
        flows.push(Flow { party: 1, place: SocketAddr::new(LOCAL, for_callee) });
    }
    // Its sockets learn where packets come from first.
    run_generator(generator, &parties, &flows, Duration::from_millis(200));
    let before = taken(engine.0.id())?;
    let report = run_generator(generator, &parties, &flows, length);
    Ok(Measured { server: taken(engine.0.id())?.since(&before), report })
}

fn sdp(place: SocketAddr) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 {0}\r\ns=-\r\nc=IN IP4 {0}\r\nt=0 0\r\nm=audio {1} RTP/AVP 0\r\n\
         a=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n",
        place.ip(),
        place.port()
    )
}

/// Asks and waits; the keys must be in their order.
fn ask(control: &UdpSocket, cookie: &str, dictionary: &[(&str, &str)]) -> Result<String, String> {
    let text = |text: &str| format!("{}:{text}", text.len());
    let body: String = dictionary.iter().map(|(key, value)| text(key) + &text(value)).collect();
    control
        .send(format!("{cookie}-{0} d{body}e", dictionary.len()).as_bytes())
        .map_err(|error| error.to_string())?;
    let mut answer = [0; 8_192];
    let length = control.recv(&mut answer).map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}

/// The port of the answer's only stream.
fn port(answer: &str) -> Result<u16, String> {
    let rest = answer.split_once("m=audio ").map(|(_, rest)| rest);
    let port = rest.and_then(|rest| rest.split(' ').next()).and_then(|port| port.parse().ok());
    port.ok_or_else(|| format!("it answers {answer}"))
}

/// The sum over all threads of a process.
fn taken(process: u32) -> Result<Taken, String> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).map_err(|error| error.to_string())?;
    let each =
        tasks.flatten().filter_map(|task| Taken::read(&task.path().join("schedstat").to_string_lossy()));
    Ok(each
        .fold(Taken::default(), |sum, one| Taken { cpu: sum.cpu + one.cpu, waited: sum.waited + one.waited }))
}
