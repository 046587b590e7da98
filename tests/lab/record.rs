//! The records of legs that the shards posted.

use ringway::mail::EndedLeg;

/// A record, and when it was posted.
#[derive(Clone, Debug)]
pub struct Posted {
    pub at_ms: u64,
    /// Entries of the trace before it.
    pub place: usize,
    pub leg: EndedLeg,
}

impl Posted {
    /// `1 1004 0+500 480 ringway no answer`: number, whom it called, when it began and how long it lasted in
    /// milliseconds, how it ended. `started_ms` counts from 1970.
    pub fn summary(&self, started_ms: u64) -> String {
        let leg = &self.leg;
        let (begin, by) = (leg.setup_at - started_ms, leg.ended_by.name());
        let lasted = leg.end_at - leg.setup_at;
        format!(
            "{} {} {begin}+{lasted} {} {by} {}",
            leg.leg,
            leg.names.called(),
            leg.status,
            leg.cause.name()
        )
    }
}
