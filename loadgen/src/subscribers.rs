//! Subscribers for a server's store: one JSON document a line, as `ringway load` reads them.

use crate::digest::{Algorithm, Hash, ha1};
use crate::numbers::Numbers;
use serde::Serialize;
use std::io::{self, BufWriter, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// SIP's own port, where a URI names none.
const SIP_PORT: u16 = 5060;

/// Whom to write. In a pattern, {number} stands for the subscriber's own.
#[derive(Clone, Debug, clap::Args)]
pub struct Subscribers {
    /// The subscribers: a number, or a range such as 1000000-1999999.
    #[arg(long, value_name = "NUMBERS")]
    pub numbers: Numbers,
    /// Their passwords; only their hashes are written. Without it nobody can log in. {number} stands for the
    /// subscriber's own.
    #[arg(long, value_name = "PATTERN")]
    pub password: Option<String>,
    /// The server's realm, for which the passwords are hashed.
    #[arg(long, value_name = "REALM", default_value = "ringway")]
    pub realm: String,
    /// Where they are reached without registering, such as sip:{number}@127.0.0.136:5060.
    #[arg(long, value_name = "PATTERN")]
    pub contact: Option<String>,
    /// Where they have registered, such as sip:{number}@127.0.0.136:5060.
    #[arg(long, value_name = "PATTERN")]
    pub binding: Option<String>,
    /// How long such a registration lasts from now on, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400, requires = "binding")]
    pub expires: u64,
    /// Whom they forward to on no answer: one number for all, or a range of which each takes one in turn.
    #[arg(long, value_name = "NUMBERS")]
    pub no_answer: Option<Numbers>,
    /// How long they ring before that.
    #[arg(long, value_name = "SECONDS", requires = "no_answer")]
    #[arg(value_parser = clap::value_parser!(u32).range(5..=180))]
    pub after: Option<u32>,
}

/// A line: the fields of the server's store.
#[derive(Serialize)]
struct Line<'a> {
    number: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ha1: Option<Ha1>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    no_answer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after_s: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bindings: Option<[Binding; 1]>,
}

#[derive(Serialize)]
struct Ha1 {
    sha256: String,
    md5: String,
}

#[derive(Serialize)]
struct Binding {
    uri: String,
    destination: SocketAddr,
    expires_at: u64,
}

/// Writes them to standard output. Whether all went well: it does, or fails.
///
/// # Errors
/// One line: what is wrong with a pattern, or why nothing can be written.
pub fn print(wanted: &Subscribers) -> Result<bool, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    write(wanted, now.as_secs(), &mut out)?;
    Ok(true)
}

/// The same to `out`, at the time `now_s`, in seconds since 1970.
fn write(wanted: &Subscribers, now_s: u64, out: &mut impl Write) -> Result<(), String> {
    let cannot = |error: io::Error| format!("cannot write subscribers: {error}");
    let binding = match &wanted.binding {
        Some(pattern) => Some((pattern, destination(pattern)?)),
        None => None,
    };
    for place in 0..wanted.numbers.count() {
        let number = wanted.numbers.nth(place).to_string();
        let fill = |pattern: &String| pattern.replace("{number}", &number);
        let line = Line {
            number: &number,
            ha1: wanted.password.as_ref().map(|pattern| Ha1::of(&number, &wanted.realm, &fill(pattern))),
            contact: wanted.contact.as_ref().map(fill),
            no_answer: wanted.no_answer.as_ref().map(|numbers| numbers.nth(place).to_string()),
            after_s: wanted.after,
            bindings: binding.map(|(pattern, destination)| {
                [Binding { uri: fill(pattern), destination, expires_at: now_s + wanted.expires }]
            }),
        };
        serde_json::to_writer(&mut *out, &line).map_err(|error| cannot(error.into()))?;
        out.write_all(b"\n").map_err(cannot)?;
    }
    out.flush().map_err(cannot)
}

impl Ha1 {
    fn of(number: &str, realm: &str, password: &str) -> Ha1 {
        let hash = |algorithm| ha1(algorithm, number.as_bytes(), realm.as_bytes(), password.as_bytes());
        let text = |hash: Hash| String::from_utf8_lossy(hash.as_bytes()).into_owned();
        Ha1 { sha256: text(hash(Algorithm::Sha256)), md5: text(hash(Algorithm::Md5)) }
    }
}

/// Where requests to a binding's URI go. `{number}` is no host, so the pattern tells.
fn destination(pattern: &str) -> Result<SocketAddr, String> {
    let host = pattern.rsplit_once('@').map(|(_, host)| host.split(';').next().unwrap_or(host));
    let address = host.and_then(|host| {
        let ip = || host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        host.parse().ok().or_else(|| Some(SocketAddr::new(ip()?, SIP_PORT)))
    });
    address.filter(|_| pattern.starts_with("sip:")).ok_or_else(|| {
        format!(
            "--binding `{pattern}` is no SIP URI with an IP address; write sip:{{number}}@127.0.0.136:5060"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;
    use ringway::store::document;

    fn lines(flags: &[&str]) -> Vec<serde_json::Value> {
        let cli = Cli::parse_from(["loadgen", "subscribers"].iter().chain(flags));
        let Some(Command::Subscribers(wanted)) = cli.command else { panic!("the subcommand") };
        let mut out = Vec::new();
        write(&wanted, 1_000, &mut out).expect("written");
        let text = String::from_utf8(out).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    #[test]
    fn what_is_not_asked_for_is_left_out() {
        let lines = lines(&["--numbers", "0998-1001"]);
        let expected = ["0998", "0999", "1000", "1001"].map(|number| serde_json::json!({ "number": number }));
        assert_eq!(lines, expected);
    }

    const EVERYTHING: [&str; 14] = [
        "--numbers",
        "1000000-1000002",
        "--password",
        "secret-{number}",
        "--contact",
        "sip:{number}@127.0.0.136:5060",
        "--binding",
        "sip:{number}@127.0.0.7;transport=udp",
        "--expires",
        "60",
        "--no-answer",
        "2000-2001",
        "--after",
        "20",
    ];

    #[test]
    fn the_server_reads_every_line() {
        for line in lines(&EVERYTHING) {
            let read = document::read_line(&line.to_string(), &[]).expect("a line as the server writes it");
            assert_eq!(*read.number, *line["number"].as_str().expect("text"));
            assert!(read.subscriber.credentials.is_some() && read.subscriber.contact.is_some());
            assert_eq!(read.subscriber.after_ms, Some(20_000));
            assert_eq!(read.bindings.map(|bindings| bindings.len()), Some(1));
        }
    }

    #[test]
    fn every_field_is_written_for_each_number() {
        let lines = lines(&EVERYTHING);
        // printf '1000002:ringway:secret-1000002' | sha256sum, md5sum
        let expected = serde_json::json!({
            "number": "1000002",
            "ha1": {
                "sha256": "e96f2660ccc935fab98fb21b9fdcb62ab875050dcf9041ea3faa53120fd869d9",
                "md5": "03dabbb62b0501eeccf1e4675e6f4d32",
            },
            "contact": "sip:1000002@127.0.0.136:5060",
            "no_answer": "2000",
            "after_s": 20,
            "bindings": [{
                "uri": "sip:1000002@127.0.0.7;transport=udp",
                "destination": "127.0.0.7:5060",
                "expires_at": 1_060,
            }],
        });
        assert_eq!((lines.len(), &lines[2]), (3, &expected));
        assert_eq!(lines[1]["no_answer"], "2001");
    }

    #[test]
    fn a_binding_names_an_ip_address() {
        assert_eq!(destination("sip:{number}@[::1]:5070"), Ok("[::1]:5070".parse().expect("an address")));
        assert_eq!(destination("sip:{number}@[::1]"), Ok("[::1]:5060".parse().expect("an address")));
        for wrong in ["sip:{number}@example.org", "{number}@127.0.0.1", "sip:{number}", "sip:127.0.0.1"] {
            let error = destination(wrong).expect_err(wrong);
            assert!(error.contains("write sip:{number}@127.0.0.136:5060"), "{error}");
        }
    }
}
