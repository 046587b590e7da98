//! What was heard and said, as records and the API write it.

use crate::media::{Figures, Flow};
use serde::{Serialize, Serializer};

/// The figures of one side's media.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FiguresRow {
    /// From the party.
    received: FlowRow,
    /// To the party.
    sent: FlowRow,
    dropped: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct FlowRow {
    packets: u64,
    bytes: u64,
    lost: u64,
    jitter_ms: f64,
}

impl FiguresRow {
    #[must_use]
    pub fn new(figures: &Figures) -> FiguresRow {
        FiguresRow {
            received: FlowRow::new(&figures.received),
            sent: FlowRow::new(&figures.sent),
            dropped: figures.dropped,
        }
    }
}

impl FlowRow {
    fn new(flow: &Flow) -> FlowRow {
        // Whole microseconds: three decimals at most.
        let jitter_ms = f64::from(flow.jitter_us) / 1_000.0;
        FlowRow { packets: flow.packets, bytes: flow.bytes, lost: flow.lost, jitter_ms }
    }
}

/// The same as columns: empty ones where media was not anchored.
#[derive(Clone, Copy, Debug)]
pub struct Columns(pub Option<FiguresRow>);

impl Serialize for Columns {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let flow = |flow: Option<FlowRow>| {
            let count = |of: fn(FlowRow) -> u64| flow.map(of);
            let counts = [count(|flow| flow.packets), count(|flow| flow.bytes), count(|flow| flow.lost)];
            (counts, flow.map(|flow| flow.jitter_ms))
        };
        let Columns(row) = self;
        let (received, sent) = (flow(row.map(|row| row.received)), flow(row.map(|row| row.sent)));
        (received, sent, row.map(|row| row.dropped)).serialize(serializer)
    }
}
