//! The command line: flags in, a checked [`Plan`] out.

use crate::digest::Algorithm;
use crate::numbers::Numbers;
use crate::plan::{Flow, Hangup, Plan};
use crate::subscribers::Subscribers;
use clap::{Args, Parser, Subcommand};
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::time::Duration;

/// Plays caller, unanswered callee and target against a SIP server over UDP, or phones that register, and
/// measures what it does.
///
/// Calls start at a fixed rate whatever the server does, and latencies count from the time at which a call
/// was meant to start. A call is good only when its whole flow ended well on all legs.
#[derive(Debug, Parser)]
#[command(name = "loadgen", version, args_conflicts_with_subcommands = true, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Starts a server and three phones in this process, plays one forwarded call and draws it.
    Demo,
    /// Writes subscribers as JSON Lines for `ringway load`.
    Subscribers(Box<Subscribers>),
}

#[derive(Clone, Debug, Args)]
pub struct Options {
    /// The SIP server under test.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:5060", value_parser = address)]
    pub target: SocketAddrV4,
    /// What the phones play.
    #[arg(long, value_enum, default_value = "cfna-408")]
    pub flow: Flow,
    /// Calls per second; with --find-max, the rate to begin with.
    #[arg(long, default_value_t = 1000.0, value_parser = rate)]
    pub rate: f64,
    /// How long calls are started: 500ms, 10s, 2m.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub duration: Duration,
    /// Start no more calls than this.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub calls: Option<u64>,
    /// How long the callee rings before it does its part.
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = duration)]
    pub ring: Duration,
    /// How long the target rings before it answers.
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = duration)]
    pub target_ring: Duration,
    /// How long an answered call is held.
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = duration)]
    pub hold: Duration,
    /// Who sends BYE: the caller, or whoever answered.
    #[arg(long, value_enum, default_value = "target")]
    pub hangup: Hangup,
    /// How long a phone waits for a message that is due (64 T1, RFC 3261).
    #[arg(long, value_name = "TIME", default_value = "32s", value_parser = duration)]
    pub timeout: Duration,
    /// The first caller socket; the others take the ports that follow. Port 0: any free ports.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.137:5060", value_parser = address)]
    pub caller_address: SocketAddrV4,
    /// The callee's socket: where the server finds the callees' numbers. Phones that register name it in
    /// Contact, so that calls to them come here.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.136:5060", value_parser = address)]
    pub callee_address: SocketAddrV4,
    /// The target's socket: where the server finds the target's number.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.138:5060", value_parser = address)]
    pub target_address: SocketAddrV4,
    /// Caller sockets: more of them spread over more of the server's shards.
    #[arg(long, value_name = "N", default_value_t = 16)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub caller_sockets: u16,
    /// Who calls: a number, or a range such as 1000000-1999999 from which each call draws one.
    #[arg(long, value_name = "NUMBERS", default_value = "1003")]
    pub callers: Numbers,
    /// Who is called: a number, or a range from which each call draws one.
    #[arg(long, value_name = "NUMBERS", default_value = "1004")]
    pub callees: Numbers,
    /// The target's number, which the ladder shows: whom the server forwards to is the callee's setting.
    #[arg(long, value_name = "NUMBER", default_value = "1005", value_parser = number)]
    pub target_number: String,
    /// Who registers, with --flow register: a number, or a range such as 1000000-1000999.
    #[arg(long, value_name = "NUMBERS", default_value = "1003-1005")]
    pub numbers: Numbers,
    /// What those who register answer challenges with; {number} stands for the phone's own.
    #[arg(long, value_name = "PATTERN")]
    pub password: Option<String>,
    /// Which challenge they answer where a server offers both.
    #[arg(long, value_enum, default_value = "sha-256")]
    pub algorithm: Algorithm,
    /// How long they register for, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub expires: u32,
    /// Generator threads. One plays all phones; two: callers, called; three: callers, callee, target; more of
    /// them share the callers.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub threads: u8,
    /// Let datagrams gather for so long between two looks at the sockets: less CPU per call, and latencies
    /// longer by up to so much for each phone on the way. By default 0 at low rates, 250us at high ones.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub poll: Option<Duration>,
    /// CPUs to pin the threads to, in order: 1 or 2,3.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub cpus: Vec<usize>,
    /// Do not check what only a B2BUA promises (Diversion, one To tag, 180 before the answer): for proxies.
    /// Nor that a registration's 200 names the phone's Contact.
    #[arg(long)]
    pub no_check: bool,
    /// Exit with 0 even when calls failed.
    #[arg(long)]
    pub allow_failures: bool,
    /// Print a line every second even when stderr is not a terminal.
    #[arg(long)]
    pub progress: bool,
    /// Write the report as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write each latency's percentiles in HdrHistogram's text form: FILE.invite_180.hgrm,
    /// FILE.register_200.hgrm and so on.
    #[arg(long, value_name = "FILE")]
    pub hgrm: Option<PathBuf>,
    /// The server's process: report its CPU time per call.
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// Play one call and draw it as a ladder.
    #[arg(long, conflicts_with_all = ["find_max", "rate", "calls", "threads"])]
    pub ladder: bool,
    /// Search the highest rate at which fewer than 1 call in 10,000 fails and the p99 of INVITE to 180, or of
    /// REGISTER to 200, stays under 50 ms.
    #[arg(long, conflicts_with_all = ["calls", "duration"])]
    pub find_max: bool,
    /// How long each step of --find-max lasts, at least 5s.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = step)]
    pub step: Duration,
}

impl Options {
    /// The plan that the flags ask for.
    pub fn plan(&self) -> Plan {
        Plan {
            flow: self.flow,
            hangup: self.hangup,
            server: self.target,
            caller: self.caller_address,
            caller_sockets: self.caller_sockets.max(u16::from(self.threads)),
            callee: self.callee_address,
            target: self.target_address,
            callers: self.callers.clone(),
            callees: self.callees.clone(),
            target_number: self.target_number.clone(),
            numbers: self.numbers.clone(),
            password: self.password.clone(),
            algorithm: self.algorithm,
            expires_s: self.expires,
            rate: self.rate,
            duration_ns: ns(self.duration),
            calls: self.calls.unwrap_or(u64::MAX),
            ring_ns: ns(self.ring),
            target_ring_ns: ns(self.target_ring),
            hold_ns: ns(self.hold),
            timeout_ns: ns(self.timeout),
            // Longer than any phone waits, so that each call ends with its own verdict.
            drain_ns: u64::MAX / 2,
            poll_ns: self.poll.map(ns),
            threads: usize::from(self.threads),
            cpus: self.cpus.clone(),
            check: !self.no_check,
        }
    }
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4)
}

/// Reads `0`, `250us`, `10ms`, `1.5s`, `2m` or `1h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; write 0, 10ms, 2s or 5m");
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "" if number == "0" => 1.0,
        "" if !number.is_empty() => return Err(format!("`{text}` has no unit; write {text}ms or {text}s")),
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let total = number * seconds;
    if total > 86_400.0 {
        return Err(format!("`{text}` is longer than a day"));
    }
    Duration::try_from_secs_f64(total).map_err(|_| wrong())
}

fn step(text: &str) -> Result<Duration, String> {
    let step = duration(text)?;
    if step < Duration::from_secs(5) { Err("a step lasts at least 5s".into()) } else { Ok(step) }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("`{text}` is not a number of calls per second"))?;
    if (0.001..=1e7).contains(&rate) {
        Ok(rate)
    } else {
        Err("between 0.001 and 10,000,000 calls per second".into())
    }
}

fn number(text: &str) -> Result<String, String> {
    match text.parse::<Numbers>()?.count() {
        1 => Ok(text.to_owned()),
        _ => Err("one number; ranges are for --callers, --callees and --numbers".into()),
    }
}

/// Reads `127.0.0.1:5060`; a name is looked up once, here. The port may be left out.
fn address(text: &str) -> Result<SocketAddrV4, String> {
    use std::net::{SocketAddr, ToSocketAddrs};
    let with_port = if text.contains(':') { text.to_owned() } else { format!("{text}:5060") };
    let mut addresses = with_port.to_socket_addrs().map_err(|e| format!("`{text}`: {e}; write IP:PORT"))?;
    addresses
        .find_map(|address| match address {
            SocketAddr::V4(address) => Some(address),
            SocketAddr::V6(_) => None,
        })
        .ok_or_else(|| format!("`{text}` has no IPv4 address; the generator speaks UDP over IPv4"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_read_with_their_unit_or_refused() {
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(duration("250us"), Ok(Duration::from_micros(250)));
        assert_eq!(duration("10ms"), Ok(Duration::from_millis(10)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "10", "ms", "1x", "-1s", "1..2s", "2d", "9999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(duration("10").unwrap_err(), "`10` has no unit; write 10ms or 10s");
    }

    #[test]
    fn the_defaults_make_the_reference_flow() {
        let cli = Cli::try_parse_from(["loadgen"]).expect("no flag is required");
        let plan = cli.options.plan();
        assert_eq!((plan.flow, plan.hangup, plan.threads), (Flow::Cfna408, Hangup::Target, 1));
        assert_eq!(plan.callee.to_string(), "127.0.0.136:5060");
    }

    #[test]
    fn flags_that_contradict_each_other_are_refused() {
        assert!(Cli::try_parse_from(["loadgen", "--find-max", "--ladder"]).is_err());
        assert!(Cli::try_parse_from(["loadgen", "--find-max", "--duration", "3s"]).is_err());
        assert!(Cli::try_parse_from(["loadgen", "--flow", "cfu"]).is_err());
    }
}
