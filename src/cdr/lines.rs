//! Records as lines of text.

use super::figures::{Columns, FiguresRow};
use crate::ids::utc_stamp;
use crate::mail::EndedLeg;
use serde::{Serialize, Serializer};
use std::net::SocketAddr;

/// How a record is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON object a line (JSON Lines).
    Json,
    /// Comma-separated values with a heading (RFC 4180, but for lines that end in LF).
    Csv,
}

impl Format {
    /// All of them.
    pub const ALL: [Format; 2] = [Format::Json, Format::Csv];

    /// What the files' names end with.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Format::Json => "jsonl",
            Format::Csv => "csv",
        }
    }

    /// The name of the file that grows.
    #[must_use]
    pub const fn current(self) -> &'static str {
        match self {
            Format::Json => "cdr.jsonl",
            Format::Csv => "cdr.csv",
        }
    }

    /// What a file begins with.
    #[must_use]
    pub const fn heading(self) -> &'static str {
        match self {
            Format::Json => "",
            Format::Csv => {
                "record_id,leg,call_id,caller,called,chain,setup,ring,answer,end,duration,ended_by,status,\
                 cause,peer,local,media_received_packets,media_received_bytes,media_received_lost,\
                 media_received_jitter_ms,media_sent_packets,media_sent_bytes,media_sent_lost,\
                 media_sent_jitter_ms,media_dropped\n"
            }
        }
    }
}

/// A record as it is written; the names are those of the fields. `M`: the figures of its media.
#[derive(Serialize)]
struct Row<'a, M> {
    record_id: &'a str,
    leg: u16,
    call_id: &'a str,
    caller: &'a str,
    called: &'a str,
    chain: &'a str,
    setup: Timestamp,
    ring: Option<Timestamp>,
    answer: Option<Timestamp>,
    end: Timestamp,
    duration: f64,
    ended_by: &'static str,
    status: u16,
    cause: &'static str,
    peer: SocketAddr,
    local: SocketAddr,
    media: M,
}

impl<'a, M> Row<'a, M> {
    fn of(leg: &'a EndedLeg, media: impl Fn(Option<FiguresRow>) -> M) -> Row<'a, M> {
        let talked_ms = leg.answer_at.map_or(0, |answer_at| leg.end_at.saturating_sub(answer_at));
        Row {
            record_id: leg.names.record_id(),
            leg: leg.leg,
            call_id: leg.names.call_id(),
            caller: leg.names.caller(),
            called: leg.names.called(),
            chain: leg.names.chain(),
            setup: Timestamp(leg.setup_at),
            ring: leg.ring_at.map(Timestamp),
            answer: leg.answer_at.map(Timestamp),
            end: Timestamp(leg.end_at),
            // Exact to the millisecond for as long as any call lasts.
            duration: talked_ms as f64 / 1_000.0,
            ended_by: leg.ended_by.name(),
            status: leg.status,
            cause: leg.cause.name(),
            peer: leg.peer,
            local: leg.local,
            media: media(leg.media.as_ref().map(FiguresRow::new)),
        }
    }
}

/// `2013-10-10T10:07:15.042Z` (RFC 3339); milliseconds since 1970.
#[derive(Clone, Copy)]
struct Timestamp(u64);

impl Timestamp {
    fn text(self) -> [u8; 24] {
        let mut text = *b"YYYY-MM-DDThh:mm:ss.mmmZ";
        let stamp = utc_stamp(self.0 / 1_000);
        let places = [0..4, 5..7, 8..10, 11..13, 14..16, 17..19];
        for (place, digit) in places.into_iter().flatten().zip(stamp) {
            text[place] = digit;
        }
        let ms = self.0 % 1_000;
        for (place, value) in [(20, ms / 100), (21, ms / 10 % 10), (22, ms % 10)] {
            text[place] = b'0' + value as u8;
        }
        text
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.text();
        serializer.serialize_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// Whole lines, oldest first.
#[derive(Debug, Default)]
pub struct Lines {
    text: Vec<u8>,
    /// Where each line ends in the text.
    ends: Vec<usize>,
    /// The first ones are forgotten, but still there: what is left is moved only once it is the smaller part.
    forgotten: usize,
}

impl Lines {
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len() - self.forgotten
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How long all lines are together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.text.len() - self.start()
    }

    /// Appends a line for each record. Returns how many could not be written as text, which no record is
    /// known to be.
    pub fn extend(&mut self, format: Format, records: &[Box<EndedLeg>]) -> usize {
        let before = self.len();
        match format {
            Format::Json => {
                for record in records {
                    let start = self.text.len();
                    if serde_json::to_writer(&mut self.text, &Row::of(record, |media| media)).is_ok() {
                        self.text.push(b'\n');
                        self.ends.push(self.text.len());
                    } else {
                        self.text.truncate(start);
                    }
                }
            }
            Format::Csv => self.extend_csv(records),
        }
        before + records.len() - self.len()
    }

    fn extend_csv(&mut self, records: &[Box<EndedLeg>]) {
        let text = std::mem::take(&mut self.text);
        let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(text);
        for record in records {
            if writer.serialize(Row::of(record, Columns)).and_then(|()| Ok(writer.flush()?)).is_ok() {
                self.ends.push(writer.get_ref().len());
            }
        }
        // It writes into memory, which takes everything.
        self.text = writer.into_inner().unwrap_or_default();
    }

    /// The first lines.
    #[must_use]
    pub fn first(&self, count: usize) -> &[u8] {
        &self.text[self.start()..self.end(count)]
    }

    /// How many of the first lines so many bytes hold.
    #[must_use]
    pub fn within(&self, bytes: usize) -> usize {
        let last = self.start().saturating_add(bytes);
        self.ends[self.forgotten..].partition_point(|&end| end <= last)
    }

    /// Forgets the first lines.
    pub fn remove_first(&mut self, count: usize) {
        self.forgotten += count.min(self.len());
        let start = self.start();
        if start * 2 < self.text.len() {
            return;
        }
        self.text.drain(..start);
        self.ends.drain(..self.forgotten);
        self.ends.iter_mut().for_each(|end| *end -= start);
        self.forgotten = 0;
    }

    /// Where the first line begins in the text.
    fn start(&self) -> usize {
        self.forgotten.checked_sub(1).map_or(0, |last| self.ends[last])
    }

    /// Where the last of the first lines ends in the text.
    fn end(&self, count: usize) -> usize {
        let count = self.forgotten + count.min(self.len());
        count.checked_sub(1).map_or(0, |last| self.ends[last])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_rfc_3339() {
        assert_eq!(&Timestamp(1_381_399_635_042).text(), b"2013-10-10T10:07:15.042Z");
        assert_eq!(&Timestamp(0).text(), b"1970-01-01T00:00:00.000Z");
    }

    fn texts(lines: &Lines) -> Vec<String> {
        let text = String::from_utf8_lossy(lines.first(usize::MAX)).into_owned();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_is_forgotten_is_gone_whether_or_not_the_rest_is_moved() {
        let mut lines = Lines { text: Vec::new(), ends: Vec::new(), forgotten: 0 };
        let mut model: Vec<String> = Vec::new();
        for step in 0..200usize {
            for number in 0..step % 7 {
                model.push("x".repeat(step % 5 * 10 + number));
                lines.text.extend_from_slice(format!("{}\n", model.last().unwrap()).as_bytes());
                lines.ends.push(lines.text.len());
            }
            let gone = (step % 4).min(model.len());
            model.drain(..gone);
            lines.remove_first(gone);
            assert_eq!((texts(&lines), lines.len()), (model.clone(), model.len()), "after step {step}");
            assert_eq!(lines.bytes(), lines.first(usize::MAX).len());
            let three = lines.first(3).len();
            let whole = (lines.within(three), lines.within(three.saturating_sub(1)));
            assert_eq!(whole, (model.len().min(3), model.len().min(3).saturating_sub(1)));
        }
        lines.remove_first(usize::MAX);
        assert!(lines.is_empty() && lines.text.is_empty());
    }
}
