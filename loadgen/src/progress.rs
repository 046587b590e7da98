//! The line that shows a run while it goes on.

use crate::lane::{Gauges, Shared};
use crate::plan::Flow;
use crate::run::Progress;
use crate::tally::Latency;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const GLANCE: Duration = Duration::from_millis(10);
const LINE_NS: u64 = 1_000_000_000;

/// Shows progress until `is_over`.
pub fn watch(shared: &Shared, progress: Progress, flow: Flow, mut is_over: impl FnMut() -> bool) {
    let mut line_ns = shared.now_ns();
    let mut before = (0, 0);
    while !is_over() {
        thread::sleep(GLANCE);
        let now_ns = shared.now_ns();
        if progress == Progress::Silent || now_ns - line_ns < LINE_NS {
            continue;
        }
        let seconds = (now_ns - line_ns) as f64 / 1e9;
        line_ns = now_ns;
        let sum = |gauge: fn(&Gauges) -> &AtomicU64| -> u64 {
            shared.gauges.iter().map(|gauges| gauge(gauges).load(Ordering::Relaxed)).sum()
        };
        let (started, failed) = (sum(|g| &g.started), sum(|g| &g.failed));
        let ended = sum(|g| &g.good) + failed;
        let p99_us = shared.gauges.iter().map(|g| g.recent_p99_us.load(Ordering::Relaxed)).max();
        let text = line(&Second {
            at_s: now_ns as f64 / 1e9,
            // The account begins anew with the first call.
            offered: started.saturating_sub(before.0) as f64 / seconds,
            ended: ended.saturating_sub(before.1) as f64 / seconds,
            live: sum(|g| &g.live),
            failed,
            p99_us: p99_us.unwrap_or(0),
            p99_of: flow.latencies().1,
        });
        before = (started, ended);
        let mut stderr = std::io::stderr().lock();
        // A progress line that cannot be shown is no reason to stop.
        let _ = match progress {
            Progress::Live => write!(stderr, "\r{text}\x1b[K"),
            _ => writeln!(stderr, "{text}"),
        };
        let _ = stderr.flush();
    }
    if progress == Progress::Live {
        eprint!("\r\x1b[K");
    }
}

struct Second {
    at_s: f64,
    offered: f64,
    ended: f64,
    live: u64,
    failed: u64,
    p99_us: u64,
    p99_of: Latency,
}

fn line(second: &Second) -> String {
    let Second { at_s, offered, ended, live, failed, p99_us, p99_of } = second;
    let p99_ms = *p99_us as f64 / 1e3;
    format!(
        "{at_s:5.0} s  offered {offered:8.0}/s  ended {ended:8.0}/s  live {live:7}  failed {failed:6}  \
         p99 {} {p99_ms:8.3} ms",
        p99_of.short()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_fits_a_terminal() {
        let second = Second {
            at_s: 3600.0,
            offered: 17_000.4,
            ended: 1e5,
            live: 123_456,
            failed: 0,
            p99_us: 1_234,
            p99_of: Latency::Ringing,
        };
        let text = line(&second);
        assert!(text.contains("offered    17000/s") && text.contains("1.234 ms"), "{text}");
        assert!(text.chars().count() <= 100, "{}", text.len());
    }
}
