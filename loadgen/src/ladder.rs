//! A call drawn as a ladder: one line per message, an arrow between two of A, S, B and C. At most 100
//! columns.

use crate::plan::Plan;
use crate::trace::{Datagram, Trace};
use ringway::sip::name_addr::split_list;
use ringway::sip::{self, HeaderName, Index, Message, NameAddr};
use std::fmt::Write;
use std::net::SocketAddrV4;

/// Columns of the four lifelines: caller, server, callee, target.
const LIFELINES: [usize; 4] = [9, 32, 55, 78];
/// The leg's letter, and behind it CSeq.
const FACTS: usize = 83;
/// Notes about an INVITE begin here, right of the server's lifeline.
const NOTES: usize = 34;
const WIDTH: usize = 100;
/// The longest label that still leaves an arrow's head and tail.
const LABEL: usize = LIFELINES[1] - LIFELINES[0] - 5;

/// Who stands at a lifeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stand {
    Caller,
    Server,
    Callee,
    Target,
}

/// Whether to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    Plain,
    Ansi,
}

#[derive(Clone, Copy)]
enum Paint {
    Request,
    Provisional,
    Success,
    Rejection,
    Note,
}

impl Colours {
    fn paint(self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::Request => "1;36",
            Paint::Provisional => "33",
            Paint::Success => "1;32",
            Paint::Rejection => "1;31",
            Paint::Note => "2",
        };
        match self {
            Colours::Plain => text.to_owned(),
            Colours::Ansi => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

/// Draws what was traced of one call.
pub fn draw(plan: &Plan, trace: &Trace, colours: Colours) -> String {
    let mut ladder = Ladder { plan, colours, legs: Vec::new(), out: String::new() };
    ladder.heading();
    let start_ns = trace.datagrams.first().map_or(0, |datagram| datagram.at_ns);
    for datagram in &trace.datagrams {
        ladder.message(datagram, start_ns);
    }
    ladder.legend();
    ladder.out
}

struct Ladder<'a> {
    plan: &'a Plan,
    colours: Colours,
    /// Call-IDs in the order of their coming, and who talks on them.
    legs: Vec<(String, Stand, Stand)>,
    out: String,
}

impl Ladder<'_> {
    fn heading(&mut self) {
        let plan = self.plan;
        let names = [
            (format!("A {}", plan.callers), plan.caller.ip().to_string()),
            ("S server".to_owned(), plan.server.to_string()),
            (format!("B {}", plan.callees), plan.callee.ip().to_string()),
            (format!("C {}", plan.target_number), plan.target.ip().to_string()),
        ];
        let mut first = Row::new();
        let mut second = Row::new();
        first.put(3, "ms");
        for ((name, address), column) in names.iter().zip(LIFELINES) {
            first.put_around(column, name);
            second.put_around(column, address);
        }
        first.put(FACTS, "leg CSeq");
        for row in [first, second, Row::lifelines()] {
            self.line(&row.text());
        }
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    fn stand(&self, address: SocketAddrV4) -> Stand {
        if address == self.plan.callee {
            Stand::Callee
        } else if address == self.plan.target {
            Stand::Target
        } else if address.ip() == self.plan.caller.ip() && address != self.plan.server {
            Stand::Caller
        } else {
            Stand::Server
        }
    }

    fn message(&mut self, datagram: &Datagram, start_ns: u64) {
        let (from, to) = (self.stand(datagram.from), self.stand(datagram.to));
        // Between two phones without a server each datagram was seen twice.
        if from == to || (!datagram.is_sent && from != Stand::Server) {
            return;
        }
        let mut buffer = datagram.bytes.clone();
        let length = buffer.len();
        buffer.resize(length + ringway::limits::SCAN_PADDING, 0);
        let mut index = Index::new();
        let is_sip = sip::scan(&mut buffer, length, &mut index).is_ok();
        let message = index.message(&buffer);
        let mut row = Row::lifelines();
        let at_ms = (datagram.at_ns - start_ns) as f64 / 1e6;
        row.put(0, &format!("{at_ms:8.2}"));
        let (label, paint) = if is_sip { label(&message) } else { ("not SIP".into(), Paint::Rejection) };
        let leg = self.leg(&message, from, to);
        let cseq = message.header(HeaderName::CSeq).map(String::from_utf8_lossy).unwrap_or_default();
        row.put(FACTS, &format!("{leg}   {}", clip(&cseq, WIDTH - FACTS - 4)));
        let place = row.arrow(from, to, &label);
        let text = row.text();
        let painted = self.colours.paint(paint, &label);
        // The label stands where the arrow put it; only there is it painted.
        let before: String = text.chars().take(place).collect();
        let behind: String = text.chars().skip(place + label.chars().count()).collect();
        self.line(&format!("{before}{painted}{behind}"));
        if is_sip && message.is_request() && message.method() == sip::Method::Invite && from == Stand::Server
        {
            self.notes(&message);
        }
    }

    /// A leg's letter: legs are told apart by Call-ID.
    fn leg(&mut self, message: &Message<'_>, from: Stand, to: Stand) -> char {
        let call_id = String::from_utf8_lossy(message.call_id()).into_owned();
        let known = self.legs.iter().position(|(known, ..)| *known == call_id);
        let place = known.unwrap_or_else(|| {
            self.legs.push((call_id, from.min(to), from.max(to)));
            self.legs.len() - 1
        });
        char::from(b'a' + (place % 26) as u8)
    }

    /// What makes a leg that the server opened worth a look.
    fn notes(&mut self, invite: &Message<'_>) {
        let diversion = invite.header(HeaderName::Diversion).and_then(|value| split_list(value).next());
        let diversion = diversion.and_then(|value| NameAddr::parse(value).ok()).map(|diversion| {
            let reason = diversion.param("reason").unwrap_or_default();
            let (uri, reason) = (String::from_utf8_lossy(diversion.uri), String::from_utf8_lossy(reason));
            format!("Diversion: <{uri}>;reason={reason}")
        });
        let record = invite.header(HeaderName::RecordId);
        let record = record.map(|value| format!("Record-ID: {}", String::from_utf8_lossy(value)));
        for note in [diversion, record].into_iter().flatten() {
            let note = clip(&note, WIDTH - NOTES);
            let row = Row::lifelines().text();
            let before: String = row.chars().take(NOTES).collect();
            let behind: String = row.chars().skip(NOTES + note.chars().count()).collect();
            let painted = self.colours.paint(Paint::Note, &note);
            self.line(&format!("{before}{painted}{behind}"));
        }
    }

    fn legend(&mut self) {
        self.line(&Row::lifelines().text());
        let legs = std::mem::take(&mut self.legs);
        for ((call_id, one, other), letter) in legs.iter().zip('a'..='z') {
            let mut text = String::new();
            // Writing to a String cannot fail.
            let _ = write!(text, "   leg {letter}: {}–{}  Call-ID {call_id}", one.letter(), other.letter());
            let painted = self.colours.paint(Paint::Note, &clip(&text, WIDTH));
            self.line(&painted);
        }
    }
}

impl Stand {
    fn letter(self) -> char {
        match self {
            Stand::Caller => 'A',
            Stand::Server => 'S',
            Stand::Callee => 'B',
            Stand::Target => 'C',
        }
    }
}

fn label(message: &Message<'_>) -> (String, Paint) {
    let Some(status) = message.status() else {
        return (String::from_utf8_lossy(message.method_text()).into_owned(), Paint::Request);
    };
    let paint = match status.code() {
        100..200 => Paint::Provisional,
        200..300 => Paint::Success,
        _ => Paint::Rejection,
    };
    let reason = match status.code() {
        181 => "Forwarded".into(),
        408 => "Timeout".into(),
        487 => "Terminated".into(),
        _ => String::from_utf8_lossy(message.reason()),
    };
    (clip(&format!("{} {reason}", status.code()), LABEL), paint)
}

/// At most `longest` characters; an ellipsis stands for what was cut.
fn clip(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    let mut clipped: String = text.chars().take(longest - 1).collect();
    clipped.push('…');
    clipped
}

/// A line that is drawn on by column.
struct Row(Vec<char>);

impl Row {
    fn new() -> Row {
        Row(vec![' '; WIDTH])
    }

    fn lifelines() -> Row {
        let mut row = Row::new();
        for column in LIFELINES {
            row.0[column] = '│';
        }
        row
    }

    fn put(&mut self, column: usize, text: &str) {
        for (place, character) in self.0[column.min(WIDTH)..].iter_mut().zip(text.chars()) {
            *place = character;
        }
    }

    fn put_around(&mut self, column: usize, text: &str) {
        self.put((column + 1).saturating_sub(text.chars().count().div_ceil(2)), text);
    }

    /// Draws an arrow; its label stands in the stretch at the far end from the server. Returns the label's
    /// column.
    fn arrow(&mut self, from: Stand, to: Stand, label: &str) -> usize {
        let (left, right) = (from.min(to) as usize, from.max(to) as usize);
        for column in LIFELINES[left] + 1..LIFELINES[right] {
            self.0[column] = if LIFELINES.contains(&column) { '┼' } else { '─' };
        }
        if from < to {
            self.0[LIFELINES[right] - 1] = '▶';
        } else {
            self.0[LIFELINES[left] + 1] = '◀';
        }
        let stretch = LIFELINES[right] - LIFELINES[right - 1];
        let text = format!(" {label} ");
        let place = LIFELINES[right - 1] + (stretch - text.chars().count()).div_ceil(2);
        self.put(place, &text);
        place + 1
    }

    fn text(&self) -> String {
        self.0.iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Cli;
    use clap::Parser;

    fn plan() -> Plan {
        Cli::parse_from(["loadgen", "--target", "127.0.0.60:5060"]).options.plan()
    }

    fn datagram(at_ms: u64, is_sent: bool, from: &str, to: &str, text: &str) -> Datagram {
        let bytes = text.replace('\n', "\r\n").into_bytes();
        let address = |text: &str| text.parse().expect("an address");
        Datagram { at_ns: at_ms * 1_000_000, is_sent, from: address(from), to: address(to), bytes }
    }

    fn message(start: &str, cseq: &str, call_id: &str, more: &str) -> String {
        format!(
            "{start}\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1\nFrom: <sip:1003@x>;tag=1\n\
             To: <sip:1004@x>\nCall-ID: {call_id}\nCSeq: {cseq}\nMax-Forwards: 70\n\
             {more}Content-Length: 0\n\n"
        )
    }

    fn forwarded_call() -> Trace {
        let (caller, server, callee, target) =
            ("127.0.0.137:5061", "127.0.0.60:5060", "127.0.0.136:5060", "127.0.0.138:5060");
        let diversion = "Diversion: <sip:1004@127.0.0.60>;reason=no-answer\nRecord-ID: 1003_7\n";
        let steps = [
            (0, true, caller, server, "INVITE sip:1004@s SIP/2.0", "39 INVITE", "one", ""),
            (1, false, server, caller, "SIP/2.0 100 Trying", "39 INVITE", "one", ""),
            (2, false, server, callee, "INVITE sip:1004@b SIP/2.0", "197 INVITE", "two", ""),
            (500, true, callee, server, "SIP/2.0 408 Request Timeout", "197 INVITE", "two", ""),
            (501, false, server, target, "INVITE sip:1005@c SIP/2.0", "222 INVITE", "three", diversion),
            (502, true, target, server, "SIP/2.0 200 OK", "222 INVITE", "three", ""),
        ];
        let datagrams = steps
            .into_iter()
            .map(|(at_ms, is_sent, from, to, start, cseq, call_id, more)| {
                datagram(at_ms, is_sent, from, to, &message(start, cseq, call_id, more))
            })
            .collect();
        Trace { datagrams }
    }

    #[test]
    fn a_forwarded_call_is_a_ladder_of_a_hundred_columns() {
        let text = draw(&plan(), &forwarded_call(), Colours::Plain);
        let want = "\
    0.00 │─────── INVITE ──────▶│                      │                      │    a   39 INVITE
    1.00 │◀──── 100 Trying ─────│                      │                      │    a   39 INVITE
    2.00 │                      │─────── INVITE ──────▶│                      │    b   197 INVITE
  500.00 │                      │◀─── 408 Timeout ─────│                      │    b   197 INVITE
  501.00 │                      │──────────────────────┼─────── INVITE ──────▶│    c   222 INVITE
         │                      │ Diversion: <sip:1004@127.0.0.60>;reason=no-answer
         │                      │ Record-ID: 1003_7    │                      │
  502.00 │                      │◀─────────────────────┼─────── 200 OK ───────│    c   222 INVITE
         │                      │                      │                      │
   leg a: A–S  Call-ID one
   leg b: S–B  Call-ID two
   leg c: S–C  Call-ID three
";
        assert!(text.ends_with(want), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let plain = draw(&plan(), &forwarded_call(), Colours::Plain);
        let mut painted = draw(&plan(), &forwarded_call(), Colours::Ansi);
        while let Some(start) = painted.find('\x1b') {
            let end = start + painted[start..].find('m').expect("a code ends");
            painted.replace_range(start..=end, "");
        }
        assert_eq!(plain, painted);
    }

    #[test]
    fn a_long_reason_is_cut_to_its_stretch() {
        let trace = Trace {
            datagrams: vec![datagram(
                0,
                false,
                "127.0.0.60:5060",
                "127.0.0.137:5060",
                &message("SIP/2.0 481 Call/Transaction Does Not Exist", "39 INVITE", "one", ""),
            )],
        };
        let text = draw(&plan(), &trace, Colours::Plain);
        assert!(text.contains("◀ 481 Call/Transact… ─│"), "{text}");
    }
}
