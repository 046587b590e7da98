//! What /proc tells: CPU time, our own threads' and the server's, and what our sockets had no room for.

use crate::os;
use std::collections::HashSet;
use std::fs;
use std::net::SocketAddrV4;

/// What the scheduler has counted for one thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadTime {
    running_ns: u64,
    waiting_ns: u64,
}

impl ThreadTime {
    /// This thread's; zeros where the kernel does not count.
    pub fn now() -> ThreadTime {
        let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        parse_schedstat(&text).unwrap_or_default()
    }

    /// How long this thread has run since.
    pub fn ran_ns_since(self) -> u64 {
        ThreadTime::now().running_ns.saturating_sub(self.running_ns)
    }

    /// The shares of the last `elapsed_ns` that this thread ran, and that it waited for a CPU.
    pub fn shares_since(self, elapsed_ns: u64) -> (f64, f64) {
        let now = ThreadTime::now();
        let share = |end: u64, begin: u64| end.saturating_sub(begin) as f64 / elapsed_ns.max(1) as f64;
        (share(now.running_ns, self.running_ns), share(now.waiting_ns, self.waiting_ns))
    }
}

fn parse_schedstat(text: &str) -> Option<ThreadTime> {
    let mut fields = text.split_whitespace().map(str::parse::<u64>);
    Some(ThreadTime { running_ns: fields.next()?.ok()?, waiting_ns: fields.next()?.ok()? })
}

/// CPU time that a process has used, in microseconds; `None` when there is no such process.
pub fn process_cpu_us(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(parse_stat_ticks(&text)? * 1_000_000 / os::clock_ticks_per_second())
}

/// utime + stime of a line of /proc/PID/stat (proc(5): fields 14 and 15). The name in parentheses may hold
/// anything, so the fields are counted from the last parenthesis on.
fn parse_stat_ticks(text: &str) -> Option<u64> {
    let (_, fields) = text.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    Some(times.next()?.ok()? + times.next()?.ok()?)
}

/// Datagrams that the kernel dropped because the sockets of these addresses were full; 0 where it does not
/// tell.
pub fn datagrams_dropped(addresses: &[SocketAddrV4]) -> u64 {
    let table = fs::read_to_string("/proc/net/udp").unwrap_or_default();
    parse_drops(&table, addresses)
}

/// The last column of the sockets' lines; the second is the address, in the machine's byte order.
fn parse_drops(table: &str, addresses: &[SocketAddrV4]) -> u64 {
    let local = |address: &SocketAddrV4| {
        let ip = u32::from_ne_bytes(address.ip().octets());
        format!("{ip:08X}:{:04X}", address.port())
    };
    let locals: HashSet<String> = addresses.iter().map(local).collect();
    let lines =
        table.lines().filter(|line| line.split_whitespace().nth(1).is_some_and(|at| locals.contains(at)));
    lines.filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_read_of_the_socket_asked_for() {
        let table = "\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when ... inode ref pointer drops
  601: 8900007F:13C4 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 91 2 0 17
  602: 8800007F:13C4 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 92 2 0 5
";
        assert_eq!(parse_drops(table, &["127.0.0.137:5060".parse().expect("an address")]), 17);
        assert_eq!(parse_drops(table, &["127.0.0.137:5061".parse().expect("an address")]), 0);
    }

    #[test]
    fn times_are_read_behind_any_process_name() {
        let stat = "4242 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 1500 250 0 0 20 0 3 0 12345";
        assert_eq!(parse_stat_ticks(stat), Some(1_750));
        assert_eq!(parse_stat_ticks("4242 (x) S 1"), None);
    }

    #[test]
    fn schedstat_is_running_then_waiting() {
        let time = parse_schedstat("123 45 6\n").expect("well formed");
        assert_eq!((time.running_ns, time.waiting_ns), (123, 45));
        assert!(parse_schedstat("").is_none());
    }
}
