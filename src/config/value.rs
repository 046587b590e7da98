//! Texts into values: what each kind of option accepts, and how it says what it expects.
//!
//! Every parser returns the reason on failure, in a few words that follow the value: "too large".

use super::options::{Kind, Setting};
use crate::auth::{Algorithm, Network};
use crate::service::codes::ShortCode;
use std::net::{IpAddr, SocketAddr};

/// Why a text was refused.
pub type Reason = String;

/// What an option accepts, in words, with a valid example.
pub fn expected(setting: &Setting) -> String {
    let what = match setting.kind {
        Kind::Listen => "udp:ADDRESS:PORT".to_owned(),
        Kind::Advertise => "HOST or HOST:PORT".to_owned(),
        Kind::Number { min, max, word } => {
            let unit = if setting.unit.is_empty() { String::new() } else { format!(" of {}", setting.unit) };
            let number = format!("a whole number{unit} from {min} to {max}");
            word.map_or_else(|| number.clone(), |word| format!("{} ({}) or {number}", word.text, word.means))
        }
        Kind::Size { min, max } => {
            format!("bytes from {}KiB to {}MiB, the suffix KiB or MiB allowed", min >> 10, max >> 20)
        }
        Kind::Cpus => "CPU numbers and ranges".to_owned(),
        Kind::Path => "a file's path".to_owned(),
        Kind::Switch => "true or false".to_owned(),
        Kind::Choice(words) => words.join(" or "),
        Kind::Uri => "an absolute URI".to_owned(),
        Kind::Realm => "printable ASCII without quotes and backslashes".to_owned(),
        Kind::Algorithms => "sha-256 and md5, or one of them".to_owned(),
        Kind::Network => "an IP address, or a network with its prefix".to_owned(),
        Kind::FeatureCode => "CODE=ACTION:CONDITION, such as *92=register:no-answer".to_owned(),
        Kind::Store => "redb, memory, or the URL of a Redis server".to_owned(),
        Kind::Address => "ADDRESS:PORT or off".to_owned(),
        Kind::Media => "anchor, pass or rtpengine:udp:ADDRESS:PORT[;weight=N],...".to_owned(),
        Kind::Ports => "FIRST-LAST, FIRST even and LAST odd".to_owned(),
        Kind::RtpAddress => "ADDRESS or ADDRESS/ADVERTISED".to_owned(),
        Kind::Subscriber => "number=, password=, contact=, unconditional=, busy=, no-answer=, \
                             not-registered=, not-reachable=, after=, headers= and privacy="
            .to_owned(),
        Kind::Route => "prefix=, and to= with a sip URI whose host is an IP address".to_owned(),
        Kind::Peer => "address=, headers= and identity=".to_owned(),
        Kind::NumberRule => "prefix= and to=".to_owned(),
        Kind::Emergency => "a number, or several with commas between them".to_owned(),
    };
    match setting.kind {
        Kind::Switch => what,
        Kind::Choice(words) if words.len() == 1 => what,
        _ => format!("{what}, for example {}", setting.example),
    }
}

/// A whole number within `min..=max`.
pub fn number(text: &str, min: u32, max: u32) -> Result<u32, Reason> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("not a whole number".to_owned());
    }
    // Digits alone can only fail by overflow.
    let number = text.parse::<u32>().map_err(|_| "too large".to_owned())?;
    within(number, min, max)
}

fn within<N: PartialOrd>(number: N, min: N, max: N) -> Result<N, Reason> {
    if number < min {
        return Err("too small".to_owned());
    }
    if number > max {
        return Err("too large".to_owned());
    }
    Ok(number)
}

/// Bytes within `min..=max`: `4194304`, `4096KiB`, `4MiB`.
pub fn size(text: &str, min: usize, max: usize) -> Result<usize, Reason> {
    let (digits, unit) = if let Some(digits) = text.strip_suffix("KiB") {
        (digits, 1usize << 10)
    } else if let Some(digits) = text.strip_suffix("MiB") {
        (digits, 1usize << 20)
    } else {
        (text, 1)
    };
    let count = number(digits, 0, u32::MAX).map_err(|reason| match reason.as_str() {
        "not a whole number" => "not a size".to_owned(),
        _ => reason,
    })?;
    let bytes = (count as usize).checked_mul(unit).ok_or("too large")?;
    within(bytes, min, max)
}

/// `true`, `1`, `false` or `0`.
pub fn switch(text: &str) -> Result<bool, Reason> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("neither true nor false".to_owned()),
    }
}

/// The word's place in the list.
pub fn choice(text: &str, words: &[&str]) -> Result<usize, Reason> {
    words.iter().position(|word| *word == text).ok_or_else(|| "not offered".to_owned())
}

/// `0,2-3`: in the order given, no CPU twice.
pub fn cpus(text: &str) -> Result<Vec<usize>, Reason> {
    /// Above any kernel's NR_CPUS; it bounds what `0-4000000000` may cost.
    const CPU_MAX: u32 = 65_535;
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first = number(first.trim(), 0, CPU_MAX).map_err(|reason| format!("\"{part}\" is {reason}"))?;
        let last = number(last.trim(), 0, CPU_MAX).map_err(|reason| format!("\"{part}\" is {reason}"))?;
        if first > last {
            return Err(format!("the range {part} runs backwards"));
        }
        for cpu in first..=last {
            if cpus.contains(&(cpu as usize)) {
                return Err(format!("CPU {cpu} is named twice"));
            }
            cpus.push(cpu as usize);
        }
    }
    Ok(cpus)
}

/// CPU numbers as the option `--cpus` takes them, ranges joined: `0,2-3`.
pub fn cpu_list(cpus: &[usize]) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for &cpu in cpus {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == cpu => *last = cpu,
            _ => parts.push((cpu, cpu)),
        }
    }
    let texts = parts.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    texts.collect::<Vec<_>>().join(",")
}

/// `udp:ADDRESS:PORT`.
pub fn listen(text: &str) -> Result<SocketAddr, Reason> {
    let Some(rest) = text.strip_prefix("udp:") else {
        return Err(match text.split_once(':') {
            Some((transport @ ("tcp" | "tls" | "ws" | "wss" | "sctp"), _)) => {
                format!("{transport} is not offered, only udp is")
            }
            _ => "it does not begin with udp:".to_owned(),
        });
    };
    let address = socket(rest)?;
    if address.port() == 0 {
        return Err("port 0 cannot be written into Via".to_owned());
    }
    Ok(address)
}

/// `ADDRESS:PORT`; `None`: `off`.
pub fn address(text: &str) -> Result<Option<SocketAddr>, Reason> {
    if text == "off" { Ok(None) } else { socket(text).map(Some) }
}

/// `ADDRESS:PORT`, an IPv6 address in brackets.
pub fn socket(text: &str) -> Result<SocketAddr, Reason> {
    text.parse::<SocketAddr>().map_err(|_| {
        match text.parse::<IpAddr>().is_ok() || bracketed(text).is_some() {
            true => "the port is missing".to_owned(),
            false => "not an IP address with a port".to_owned(),
        }
    })
}

/// The address inside brackets, when `text` is nothing else.
pub fn bracketed(text: &str) -> Option<IpAddr> {
    text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// What Via and Contact say of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// A name, an IPv4 address, or an IPv6 address in brackets.
    pub host: String,
    /// The host as an address; `None` for a name.
    pub ip: Option<IpAddr>,
    /// `None`: the listener's own.
    pub port: Option<u16>,
}

/// `HOST` or `HOST:PORT`; an IPv6 address stands in brackets.
pub fn advertise(text: &str) -> Result<Advertised, Reason> {
    if text.parse::<std::net::Ipv6Addr>().is_ok() {
        return Err("an IPv6 address stands in brackets".to_owned());
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => {
            let port = number(port, 1, 65_535).map_err(|reason| format!("the port is {reason}"))?;
            // The bounds just checked are those of u16.
            (host, Some(port as u16))
        }
        _ => (text, None),
    };
    let ip = bracketed(host).filter(IpAddr::is_ipv6).or_else(|| host.parse().ok().filter(IpAddr::is_ipv4));
    if ip.is_some_and(|ip| ip.is_unspecified()) {
        return Err("nobody can send to that address".to_owned());
    }
    if ip.is_none() && !is_host_name(host) {
        return Err("neither an IP address nor a host name".to_owned());
    }
    Ok(Advertised { host: host.to_owned(), ip, port })
}

/// RFC 3261 §25.1 `hostname`: labels of letters, digits and inner hyphens; the last begins with a letter.
fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    name.len() <= 253
        && name.split('.').all(is_label)
        && name.rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_alphabetic()))
}

/// An absolute URI as a header field carries it: within angle brackets, which the text may have or lack.
pub fn uri(text: &str) -> Result<String, Reason> {
    let inner = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(text);
    if !inner.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'"')) {
        return Err("a URI has no blanks, quotes, angle brackets or non-ASCII characters".to_owned());
    }
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    match inner.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) && !rest.is_empty() => Ok(format!("<{inner}>")),
        _ => Err("no scheme such as http:".to_owned()),
    }
}

/// What a realm may be: it is written between quotes as it stands.
pub fn realm(text: &str) -> Result<String, Reason> {
    const REALM_BYTES_MAX: usize = 128;
    let is_plain = |byte: u8| (b' '..=b'~').contains(&byte) && !matches!(byte, b'"' | b'\\');
    match text {
        "" => Err("it is empty".to_owned()),
        text if text.len() > REALM_BYTES_MAX => Err(format!("it is longer than {REALM_BYTES_MAX} bytes")),
        // The hash of a password has colons between its parts (RFC 7616 §3.4.2).
        text if text.contains(':') => Err("a colon would make two realms alike".to_owned()),
        text if text.bytes().all(is_plain) => Ok(text.to_owned()),
        _ => Err("it cannot be written between quotes".to_owned()),
    }
}

/// `sha-256,md5`: each once, in the order given.
pub fn algorithms(text: &str) -> Result<Vec<Algorithm>, Reason> {
    let mut algorithms = Vec::new();
    for name in text.split(',').map(str::trim) {
        let algorithm = Algorithm::of(name.as_bytes()).ok_or_else(|| format!("\"{name}\" is not offered"))?;
        if algorithms.contains(&algorithm) {
            return Err(format!("{name} is named twice"));
        }
        algorithms.push(algorithm);
    }
    Ok(algorithms)
}

/// `ADDRESS` or `ADDRESS/PREFIX`.
pub fn network(text: &str) -> Result<Network, Reason> {
    text.parse().map_err(str::to_owned)
}

/// `*92=register:no-answer`.
pub fn feature_code(text: &str) -> Result<ShortCode, Reason> {
    text.parse()
}

/// What `--store` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreName {
    Memory,
    Redb,
    Redis(String),
}

/// `redb`, `memory` or `redis://…`.
pub fn store(text: &str) -> Result<StoreName, Reason> {
    match text {
        "memory" => Ok(StoreName::Memory),
        "redb" => Ok(StoreName::Redb),
        _ if text.starts_with("rediss:") => Err("TLS to a Redis server is not offered".to_owned()),
        _ if text.starts_with("redis:") || text.starts_with("unix:") || text.starts_with("redis+unix:") => {
            match redis::parse_redis_url(text).is_some_and(|_| redis::Client::open(text).is_ok()) {
                true => Ok(StoreName::Redis(text.to_owned())),
                false => Err("not the URL of a Redis server".to_owned()),
            }
        }
        _ => Err("no such store".to_owned()),
    }
}

/// A store's URL without its password.
pub fn without_password(url: &str) -> String {
    let hidden = |(scheme, rest): (&str, &str)| {
        let (login, host) = rest.rsplit_once('@')?;
        let (user, _) = login.split_once(':')?;
        Some(format!("{scheme}://{user}:…@{host}"))
    };
    let url = url.split_once("://").and_then(hidden).unwrap_or_else(|| url.to_owned());
    // The URL of a Unix socket has it in its query.
    let Some((place, query)) = url.split_once('?') else { return url };
    let shown = query.split('&').map(|pair| if pair.starts_with("pass=") { "pass=…" } else { pair });
    format!("{place}?{}", shown.collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stores_password_is_not_shown() {
        for (url, shown) in [
            ("redis://host:6379/1", "redis://host:6379/1"),
            ("redis://user:secret@host", "redis://user:…@host"),
            ("redis://:sec@ret@host", "redis://:…@host"),
            ("unix:///run/redis.sock?db=1&pass=secret&user=x", "unix:///run/redis.sock?db=1&pass=…&user=x"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }

    #[test]
    fn sizes_take_the_suffixes_and_bytes() {
        assert_eq!(size("4MiB", 0, usize::MAX), Ok(4 << 20));
        assert_eq!(size("16KiB", 0, usize::MAX), Ok(16 << 10));
        assert_eq!(size("4096", 0, usize::MAX), Ok(4096));
        for bad in ["", "MiB", "4MB", "4 MiB", "-1", "1.5MiB", "4mib"] {
            assert_eq!(size(bad, 0, usize::MAX), Err("not a size".to_owned()), "{bad}");
        }
    }

    #[test]
    fn cpu_lists_are_read_and_written_alike() {
        for text in ["0", "0,2-3", "3,1-2", "0-1,7"] {
            assert_eq!(cpus(text).map(|list| cpu_list(&list)).as_deref(), Ok(text));
        }
        assert_eq!(cpus("3-1"), Err("the range 3-1 runs backwards".to_owned()));
        assert_eq!(cpus("0-2,1"), Err("CPU 1 is named twice".to_owned()));
        assert_eq!(cpus("0-4000000000"), Err("\"0-4000000000\" is too large".to_owned()));
        assert_eq!(cpus("0,"), Err("\"\" is not a whole number".to_owned()));
    }

    #[test]
    fn advertised_hosts_are_addresses_or_names() {
        for good in
            ["192.0.2.1", "192.0.2.1:5070", "[2001:db8::1]", "[2001:db8::1]:5070", "sip.example.net:5060"]
        {
            assert!(advertise(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "2001:db8::1",
            "a b",
            "256.1.1.1",
            "host:0",
            "host:x",
            "[::]",
            "0.0.0.0",
            "-a.net",
            "[1.2.3.4]",
        ] {
            assert!(advertise(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn listeners_are_udp_addresses_with_a_port() {
        assert_eq!(listen("udp:[::1]:5060"), Ok("[::1]:5060".parse().expect("an address")));
        for (bad, reason) in [
            ("tcp:127.0.0.1:5060", "tcp is not offered, only udp is"),
            ("127.0.0.1:5060", "it does not begin with udp:"),
            ("udp:127.0.0.1", "the port is missing"),
            ("udp:[::1]", "the port is missing"),
            ("udp:localhost:5060", "not an IP address with a port"),
            ("udp:127.0.0.1:0", "port 0 cannot be written into Via"),
            ("udp:127.0.0.1:65536", "not an IP address with a port"),
        ] {
            assert_eq!(listen(bad), Err(reason.to_owned()), "{bad}");
        }
    }

    #[test]
    fn an_address_has_a_port_or_is_off() {
        assert_eq!(address("off"), Ok(None));
        assert_eq!(address("[::1]:0"), Ok(Some("[::1]:0".parse().expect("an address"))));
        for (bad, reason) in [
            ("127.0.0.1", "the port is missing"),
            ("::1", "the port is missing"),
            ("localhost:80", "not an IP address with a port"),
            ("on", "not an IP address with a port"),
        ] {
            assert_eq!(address(bad), Err(reason.to_owned()), "{bad}");
        }
    }

    #[test]
    fn a_uri_gets_its_brackets() {
        assert_eq!(uri("http://192.0.2.1/1").as_deref(), Ok("<http://192.0.2.1/1>"));
        assert_eq!(uri("<http://192.0.2.1/1>").as_deref(), Ok("<http://192.0.2.1/1>"));
        for bad in ["ring", "http:", "a b:c", "http://x\r\nEvil: 1", ":x", "http://é"] {
            assert!(uri(bad).is_err(), "{bad}");
        }
    }
}
