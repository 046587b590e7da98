//! The command line: flags in, a checked [`Plan`] out.

use crate::digest::Algorithm;
use crate::numbers::Numbers;
use crate::plan::{Codec, Flow, Hangup, Plan, Rtp};
use crate::sound;
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
    /// How long an answered call is held: 0, with --rtp 5s, unless it is given.
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = duration, hide_default_value = true)]
    #[arg(default_value_if("rtp", clap::builder::ArgPredicate::IsPresent, "5s"))]
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
    /// longer by up to so much for each phone on the way. By default 0 at low rates and with --rtp, 250us at
    /// high ones.
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
    /// FILE.register_200.hgrm and so on; of packets' delays: FILE.rtp.hgrm.
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
    #[command(flatten)]
    pub sound: SoundOptions,
}

/// What the calls sound like.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Sound")]
pub struct SoundOptions {
    /// Answered calls have sound: caller and answerer send each other G.711, a packet each 20 ms for the time
    /// of --hold, from a port of their own each to where the server's SDP says; BYE follows 200 ms later.
    /// Each packet says of which call it is and when it left. Calls at a time: rate × hold; 1,500 of them:
    /// --rate 500 --calls 1500 --hold 30s, or --rate 50 --hold 30s for as long as --duration says.
    ///
    /// The run has failed (exit status 1, unless --allow-failures) when packets were lost (see
    /// --rtp-loss-max), were not as they were sent, were of another call, came from another place than the
    /// SDP names or more than 200 ms after the end of the call, or when one side heard nothing. Packets out
    /// of order and duplicates are counted only. There is no RTCP.
    #[arg(long, conflicts_with = "find_max")]
    pub rtp: bool,
    /// What the packets hold.
    #[arg(long, value_enum, default_value = "pcma", requires = "rtp")]
    pub rtp_codec: Codec,
    /// The first RTP port, even. The callers' are the even ones from here on, on the callers' address; behind
    /// them come those of who answers, on theirs.
    #[arg(long, value_name = "PORT", default_value_t = 10_000, requires = "rtp", value_parser = rtp_base)]
    pub rtp_base: u16,
    /// RTP ports, and sockets, of the callers, and as many of who answers: one for each call at a time, and
    /// for 2 s after it, in which packets that come too late are counted. By default what rate, --ring,
    /// --target-ring and --hold need.
    #[arg(long, value_name = "N", requires = "rtp")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=13_000))]
    pub rtp_ports: Option<u16>,
    /// How long both sides go on sending when their call is over, at most 1.5s. Through a server that relays
    /// media none of it may arrive; phones whose media goes past the server hear all of it.
    #[arg(long, value_name = "TIME", default_value = "0", requires = "rtp", value_parser = tail)]
    pub rtp_tail: Duration,
    /// The share of lost packets that is no failure: 0.001 is one in a thousand.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, requires = "rtp", value_parser = share)]
    pub rtp_loss_max: f64,
}

impl Options {
    /// The plan that the flags ask for.
    pub fn plan(&self) -> Plan {
        let mut plan = self.plan_without_ports();
        if let (Some(rtp), None) = (&plan.rtp, self.sound.rtp_ports) {
            plan.rtp = Some(Rtp { ports: sound::ports_for(&plan), ..rtp.clone() });
        }
        plan
    }

    fn plan_without_ports(&self) -> Plan {
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
            calls: if self.ladder { 1 } else { self.calls.unwrap_or(u64::MAX) },
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
            rtp: self.sound.rtp.then(|| self.sound.rtp()),
        }
    }
}

impl SoundOptions {
    fn rtp(&self) -> Rtp {
        Rtp {
            codec: self.rtp_codec,
            base: self.rtp_base,
            ports: self.rtp_ports.unwrap_or(1),
            tail_ns: ns(self.rtp_tail),
            loss_max: self.rtp_loss_max,
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

/// A tail must be over before its ports are another call's.
fn tail(text: &str) -> Result<Duration, String> {
    let tail = duration(text)?;
    if tail > Duration::from_millis(1500) { Err("a tail lasts at most 1.5s".into()) } else { Ok(tail) }
}

/// Ports stand in the messages with five digits.
fn rtp_base(text: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(port) if port >= 10_000 && port.is_multiple_of(2) => Ok(port),
        _ => Err("an even port from 10000 on".into()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| format!("`{text}` is not a share; write 0.001 for one in a thousand"))
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
    fn sound_is_off_unless_asked_for_and_brings_a_time_to_talk() {
        let plan = |flags: &[&str]| {
            let cli = Cli::try_parse_from(["loadgen"].iter().chain(flags)).expect("good flags");
            cli.options.plan()
        };
        let silent = plan(&[]);
        assert!(silent.rtp.is_none());
        assert_eq!(silent.talk_ns(), 0);
        let plain = plan(&["--rtp", "--rate", "100"]);
        assert_eq!((plain.hold_ns, plain.talk_ns()), (5_000_000_000, 5_200_000_000));
        let rtp = plain.rtp.expect("sound");
        assert_eq!((rtp.codec, rtp.base, rtp.tail_ns), (Codec::Pcma, 10_000, 0));
        assert_eq!(rtp.ports, 918, "100/s for 5.2 s and the 2 s behind it, a second and a tenth to spare");
        let few = plan(&["--rtp", "--calls", "7", "--hold", "1s"]);
        assert_eq!((few.hold_ns, few.rtp.map(|rtp| rtp.ports)), (1_000_000_000, Some(7)));
        let told = plan(&["--rtp", "--rtp-ports", "300", "--rtp-codec", "pcmu"]).rtp.expect("sound");
        assert_eq!((told.ports, told.payload_type()), (300, 0));
        assert!(Cli::try_parse_from(["loadgen", "--rtp-ports", "300"]).is_err(), "without --rtp");
    }

    #[test]
    fn flags_that_contradict_each_other_are_refused() {
        assert!(Cli::try_parse_from(["loadgen", "--find-max", "--ladder"]).is_err());
        assert!(Cli::try_parse_from(["loadgen", "--find-max", "--duration", "3s"]).is_err());
        assert!(Cli::try_parse_from(["loadgen", "--flow", "cfu"]).is_err());
    }
}
