//! What /proc tells about CPU time: our own threads' and the server's.

use crate::os;
use std::fs;

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

#[cfg(test)]
mod tests {
    use super::*;

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
