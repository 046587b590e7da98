//! What must hold before media is anchored: an address of ours, ports, and descriptors for them.

use super::plan::pairs;
use super::socket::bind_pair;
use crate::net::{RtpAddress, RtpSettings, ServerError};
use std::fs;
use std::io;
use std::net::SocketAddr;

/// Descriptors that listeners, the API, the store and the log are left; of a very low limit a quarter.
const DESCRIPTORS_KEPT: usize = 1024;

/// A shard with fewer pairs would refuse calls as soon as a few ring at once.
const PAIRS_MIN: usize = 64;

/// If all of these have something else on them, a second server most likely has the whole range.
const PAIRS_TRIED: usize = 16;

/// Checks range and addresses and raises the limit of open files. Returns how many pairs a shard may have.
///
/// # Errors
/// One line with its cure.
pub fn check(settings: &RtpSettings, shards: usize) -> Result<usize, ServerError> {
    let RtpSettings { first_port, last_port, .. } = *settings;
    let is_range = first_port > 0 && first_port < last_port;
    if !is_range || !first_port.is_multiple_of(2) || last_port.is_multiple_of(2) {
        return Err(ServerError(format!(
            "{first_port}-{last_port} is no range of RTP ports; choose an even first port and an odd last \
             one for --rtp-ports"
        )));
    }
    settings.addresses.iter().try_for_each(|address| check_address(address, settings))?;
    let [ephemeral, reserved] =
        [EPHEMERAL, RESERVED].map(|path| fs::read_to_string(path).unwrap_or_default());
    if let Some(warning) = overlap((first_port, last_port), &ephemeral, &reserved) {
        tracing::warn!("{warning}");
    }
    let wanted = settings.addresses.len() * pairs((first_port, last_port)).div_ceil(shards.max(1));
    share(wanted, shards, raise_open_files())
}

fn check_address(address: &RtpAddress, settings: &RtpSettings) -> Result<(), ServerError> {
    let RtpSettings { first_port, last_port, dscp, .. } = *settings;
    for port in (first_port..=last_port).step_by(2).take(PAIRS_TRIED) {
        match bind_pair(address.local, port, dscp) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(failure(SocketAddr::new(address.local, port), &error)),
        }
    }
    Err(ServerError(format!(
        "the first RTP ports from {} on are in use; stop the other server (`ss -lunp` shows it) or choose \
         other --rtp-ports",
        SocketAddr::new(address.local, first_port)
    )))
}

/// Where the system takes the ports of sockets that name none from, and which of them it leaves out.
const EPHEMERAL: &str = "/proc/sys/net/ipv4/ip_local_port_range";
const RESERVED: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";

/// What to say when the system gives ports of ours to whoever asks for any: such a pair is missing here for
/// as long, and the other way round the machine's own requests run out of ports. Both as the kernel writes
/// them; what cannot be read is no reason to warn.
fn overlap((first, last): (u16, u16), ephemeral: &str, reserved: &str) -> Option<String> {
    let mut bounds = ephemeral.split_whitespace().map(|bound| bound.parse::<u16>().ok());
    let (low, high) = (bounds.next()??, bounds.next()??);
    let reserved = reserved.trim();
    let ranges: Vec<(u16, u16)> = reserved
        .split(',')
        .filter_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Some((first.parse().ok()?, last.parse().ok()?))
        })
        .collect();
    let is_reserved = |port: u16| ranges.iter().any(|&(first, last)| (first..=last).contains(&port));
    if (first.max(low)..=last.min(high)).all(is_reserved) {
        return None;
    }
    let and = if reserved.is_empty() { "" } else { "," };
    Some(format!(
        "--rtp-ports {first}-{last} overlaps {low}-{high}, from where the system gives ports to any program; \
         reserve it: `sysctl -w net.ipv4.ip_local_reserved_ports={reserved}{and}{first}-{last}`"
    ))
}

fn failure(address: SocketAddr, error: &io::Error) -> ServerError {
    let ip = address.ip();
    ServerError(match error.raw_os_error() {
        Some(libc::EADDRNOTAVAIL) => format!(
            "{ip} is not an address of this machine (`ip address` lists them); choose another --rtp-address, \
             and advertise the one that phones see (--rtp-address ADDRESS/ADVERTISED)"
        ),
        Some(libc::EACCES) => {
            format!("port {}/udp of {ip} needs a privilege; choose --rtp-ports from 1024 on", address.port())
        }
        Some(libc::EAFNOSUPPORT) => {
            format!("{ip}: this machine has no IPv6; choose an IPv4 address for --rtp-address")
        }
        Some(libc::EMFILE | libc::ENFILE) => {
            format!("{address}: no file descriptor is left ({error}); raise `ulimit -n`")
        }
        _ => format!("{address}/udp cannot be bound ({error}); choose another --rtp-address or --rtp-ports"),
    })
}

/// Raises the soft limit of open files to the hard one; returns what it is then.
fn raise_open_files() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one `rlimit`.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        // Who does not tell does not limit; a bind that fails is noticed.
        return usize::MAX;
    }
    let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
    // SAFETY: the kernel reads one `rlimit`.
    let is_raised = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0;
    usize::try_from(if is_raised { limit.rlim_max } else { limit.rlim_cur }).unwrap_or(usize::MAX)
}

/// How many of the `wanted` pairs a shard may have with `open_files` descriptors for all. Fewer than wanted
/// are warned of and not refused: the range is a promise of room, and most servers never need all of it.
fn share(wanted: usize, shards: usize, open_files: usize) -> Result<usize, ServerError> {
    let kept = DESCRIPTORS_KEPT.min(open_files / 4);
    let possible = (open_files - kept) / (2 * shards.max(1));
    if possible >= wanted {
        return Ok(wanted);
    }
    let needed = 2 * shards * wanted + DESCRIPTORS_KEPT;
    let cure = format!(
        "raise it to {needed} (`ulimit -n {needed}`, LimitNOFILE={needed} in systemd, `--ulimit \
         nofile={needed}` in Docker) or narrow --rtp-ports"
    );
    if possible < PAIRS_MIN {
        return Err(ServerError(format!(
            "the limit of open files is {open_files}, too low for two sockets per media stream; {cure}"
        )));
    }
    tracing::warn!(
        "the limit of open files is {open_files}: only {possible} of the {wanted} pairs of RTP ports of each \
         shard can be used; {cure}"
    );
    Ok(possible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_gets_the_pairs_that_the_limit_of_open_files_allows() {
        assert_eq!(share(7_500, 2, usize::MAX), Ok(7_500));
        assert_eq!(share(7_500, 2, 31_024), Ok(7_500));
        assert_eq!(share(7_500, 2, 20_000), Ok(4_744));
        assert_eq!(share(64, 1, 200), Ok(64), "a small range");
        let error = share(7_500, 4, 256).expect_err("too low").0;
        assert!(error.contains("ulimit -n 61024") && !error.contains('\n'), "{error}");
    }

    #[test]
    fn ports_that_the_system_gives_away_are_warned_of_unless_they_are_reserved() {
        let range = (30_000, 59_999);
        let warning = overlap(range, "32768\t60999\n", "\n").expect("they overlap");
        assert!(warning.contains("ip_local_reserved_ports=30000-59999`"), "{warning}");
        assert!(!warning.contains('\n'), "{warning}");
        let kept = overlap(range, "32768\t60999\n", "8080,40000-50000\n").expect("a part is open");
        assert!(kept.contains("ip_local_reserved_ports=8080,40000-50000,30000-59999`"), "{kept}");
        assert_eq!(overlap(range, "32768\t60999\n", "30000-59999\n"), None);
        assert_eq!(overlap(range, "32768\t60999\n", "32768-45000,45001-59999\n"), None);
        assert_eq!(overlap(range, "60000 60999", ""), None);
        assert_eq!(overlap(range, "1024 29999", ""), None);
        assert!(overlap(range, "1024 30000", "").is_some());
        assert_eq!(overlap(range, "", ""), None, "a system that does not tell");
    }

    fn settings(local: &str, first_port: u16, last_port: u16) -> RtpSettings {
        let local = local.parse().expect("an address");
        let addresses = vec![RtpAddress { local, advertised: local }];
        RtpSettings { addresses, first_port, last_port, dscp: 46 }
    }

    #[test]
    fn a_foreign_address_and_a_bad_range_name_their_cure() {
        let error = check(&settings("192.0.2.1", 30_000, 30_009), 1).expect_err("a foreign address").0;
        assert!(error.contains("--rtp-address") && error.contains("192.0.2.1"), "{error}");
        for (first, last) in [(30_001, 30_010), (30_000, 30_010), (30_010, 30_009), (0, 99)] {
            let error = check(&settings("127.0.0.1", first, last), 1).expect_err("a bad range").0;
            assert!(error.contains("--rtp-ports"), "{error}");
        }
    }

    #[test]
    fn a_range_that_another_has_is_named_and_a_single_port_is_not_minded() {
        let local = std::net::Ipv4Addr::new(127, 0, 0, 77).into();
        let range = settings("127.0.0.77", 30_100, 30_103);
        let one = bind_pair(local, 30_100, 0).expect("a free pair");
        assert_eq!(check(&range, 1), Ok(2));
        let two = bind_pair(local, 30_102, 0).expect("a free pair");
        let error = check(&range, 1).expect_err("nothing is left").0;
        assert!(error.contains("127.0.0.77:30100") && error.contains("ss -lunp"), "{error}");
        drop((one, two));
    }
}
