//! `ringway ctl forward`: where a number's calls go, by hand and from a CSV file.

use super::client::{Client, Failure};
use super::{Surroundings, Wrong, argument, say, segment, show};
use crate::config::member;
use crate::directory::Condition;
use clap::ArgMatches;
use csv::{ReaderBuilder, StringRecord, Trim};
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::{self, BufRead, BufReader};

/// A file's name that stands for standard input.
const STANDARD: &str = "-";

/// The columns of a file.
const COLUMNS: [&str; 5] = ["number", "condition", "target", "active", "after"];

/// So many of them, the first ones, have to be there.
const COLUMNS_REQUIRED: usize = 3;

pub fn run(
    client: &Client,
    matches: &ArgMatches,
    json: bool,
    around: &mut Surroundings<'_>,
) -> Result<(), Wrong> {
    let (name, matches) = matches.subcommand().unwrap_or(("show", matches));
    if name == "import" {
        return import(client, &argument(matches, "file"), json, around);
    }
    let path = path(&argument(matches, "number"));
    let wanted = match name {
        "set" => wanted(matches)?,
        "on" => activated(client, matches, &path)?,
        "off" if matches.get_flag("erase") => each(conditions(matches), &Value::Null),
        "off" => each(conditions(matches), &json!({ "active": false })),
        _ => return say(around, json, &client.get(&path)?, show::forwarding),
    };
    if wanted.is_empty() {
        let message = "nothing to set; give --no-answer 1005 or another condition, --after, --headers or \
                       --privacy";
        return Err(Wrong::Usage(message.to_owned()));
    }
    let changed = client.send("PATCH", &path, &Value::Object(wanted))?;
    say(around, json, &changed, show::forwarding)
}

fn path(number: &str) -> String {
    format!("/v1/subscribers/{}/forwarding", segment(number))
}

/// What the options say that `forward set` and `subscriber` have in common; an empty text takes a thing away.
pub fn wanted(matches: &ArgMatches) -> Result<Map<String, Value>, Wrong> {
    let mut wanted = Map::new();
    let names = Condition::ALL.iter().map(|condition| condition.name()).chain(["headers", "privacy"]);
    for name in names {
        if let Some(text) = matches.get_one::<String>(name) {
            wanted.insert(name.replace('-', "_"), or_null(text));
        }
    }
    if let Some(text) = matches.get_one::<String>("after") {
        let seconds = seconds(text).ok_or_else(|| {
            Wrong::Usage(format!("--after {text}: not a whole number of seconds; write --after 20"))
        })?;
        wanted.insert("after_s".to_owned(), seconds);
    }
    Ok(wanted)
}

/// A text as JSON, an empty one as null.
pub fn or_null(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { json!(text) }
}

/// Seconds as JSON, an empty text as null; `None`: the text is no number.
fn seconds(text: &str) -> Option<Value> {
    match text {
        "" => Some(Value::Null),
        text => text.parse::<u32>().ok().map(|seconds| json!(seconds)),
    }
}

/// The conditions that the flags name; none: all.
fn conditions(matches: &ArgMatches) -> Vec<Condition> {
    let named = Condition::ALL.into_iter().filter(|condition| matches.get_flag(condition.name()));
    let named: Vec<Condition> = named.collect();
    if named.is_empty() { Condition::ALL.into() } else { named }
}

fn each(conditions: Vec<Condition>, value: &Value) -> Map<String, Value> {
    conditions.into_iter().map(|condition| (member(condition), value.clone())).collect()
}

/// What activates the conditions that the flags name, else those for which something is set.
fn activated(client: &Client, matches: &ArgMatches, path: &str) -> Result<Map<String, Value>, Wrong> {
    let mut conditions = conditions(matches);
    if conditions.len() == Condition::ALL.len() {
        let set = client.get(path)?;
        conditions.retain(|condition| !set[member(*condition)].is_null());
    }
    if conditions.is_empty() {
        let message = "nothing is set that could be activated; see ringway ctl forward set --help";
        return Err(Wrong::Failed(Failure::Other(message.to_owned())));
    }
    Ok(each(conditions, &json!({ "active": true })))
}

/// A line that was not set.
struct Refused {
    line: u64,
    /// Empty where it names none.
    number: String,
    reason: String,
}

/// Sets the rules of a file, one after another; what is refused is named and the next one tried.
fn import(client: &Client, file: &str, json: bool, around: &mut Surroundings<'_>) -> Result<(), Wrong> {
    let failed = |reason: String| Wrong::Failed(Failure::Other(format!("{file}: {reason}")));
    let unreadable = |error: io::Error| failed(format!("it cannot be read: {error}"));
    let input: Box<dyn BufRead + '_> = match file {
        STANDARD => Box::new(&mut *around.input),
        _ => Box::new(BufReader::new(File::open(file).map_err(unreadable)?)),
    };
    let mut columns = None;
    let (mut set, mut refused) = (0u64, Vec::new());
    let mut broken_off = None;
    for (text, line) in input.split(b'\n').zip(1u64..) {
        let text = match text {
            Ok(text) => text,
            Err(error) => {
                broken_off = Some(unreadable(error));
                break;
            }
        };
        // No rule goes over two lines: each is read by itself, so that its number is right.
        let read = record(&text);
        let Some(columns) = &columns else {
            let Some(heading) = read.map_err(|reason| failed(format!("line {line}: {reason}")))? else {
                continue;
            };
            columns = Some(Columns::of(&heading).map_err(failed)?);
            // Neither a wrong URL nor a wrong token is to be told of in each line.
            client.get("/v1/status")?;
            continue;
        };
        let (number, outcome) = match &read {
            Ok(None) => continue,
            Ok(Some(record)) => (columns.field(record, "number"), rule(client, columns, record)),
            Err(reason) => ("", Err(Failure::Other(reason.clone()))),
        };
        match outcome {
            Ok(()) => set += 1,
            Err(Failure::Unreachable(message)) => {
                broken_off = Some(failed(format!("line {line}: {message}; {set} rules before it are set")));
                break;
            }
            Err(failure) => {
                let reason = failure.message().to_owned();
                refused.push(Refused { line, number: number.to_owned(), reason });
            }
        }
    }
    if columns.is_some() {
        report(set, &refused, json, around)?;
    }
    match (broken_off, columns, refused.len()) {
        (Some(wrong), ..) => Err(wrong),
        (_, None, _) => {
            Err(failed(format!("it is empty; the first line names the columns: {}", COLUMNS.join(","))))
        }
        (.., 0) => Ok(()),
        (.., 1) => Err(Wrong::Failed(Failure::Other("1 line was refused".to_owned()))),
        (.., count) => Err(Wrong::Failed(Failure::Other(format!("{count} lines were refused")))),
    }
}

/// The fields of a line; `None`: it is blank. Bytes that are no text become ones that no number and no target
/// has.
///
/// # Errors
/// It is more than one line to a program that ends lines with CR.
fn record(line: &[u8]) -> Result<Option<StringRecord>, String> {
    let reader = ReaderBuilder::new().has_headers(false).flexible(true).trim(Trim::All).from_reader(line);
    let records = reader.into_byte_records().map_while(Result::ok).map(StringRecord::from_byte_record_lossy);
    let mut records = records.filter(|record| record.iter().any(|field| !field.is_empty()));
    match (records.next(), records.next()) {
        (_, Some(_)) => {
            Err("it has a carriage return (CR) in its middle; save the file with LF or CRLF line ends"
                .to_owned())
        }
        (record, None) => Ok(record),
    }
}

/// Says how many rules were set and which lines were refused.
fn report(set: u64, refused: &[Refused], json: bool, around: &mut Surroundings<'_>) -> io::Result<()> {
    let rules = if set == 1 { "1 rule is set".to_owned() } else { format!("{set} rules are set") };
    if json {
        let refused = refused.iter();
        let refused =
            refused.map(|one| json!({ "line": one.line, "number": one.number, "detail": one.reason }));
        let said = json!({ "set": set, "refused": refused.collect::<Vec<_>>() });
        writeln!(around.output, "{said:#}")?;
    } else {
        for Refused { line, number, reason } in refused {
            let number = if number.is_empty() { String::new() } else { format!("{number}: ") };
            writeln!(around.errors, "{}", show::plain(&format!("line {line}: {number}{reason}")))?;
        }
        writeln!(around.output, "{rules}")?;
    }
    Ok(())
}

/// Where the columns stand.
struct Columns {
    places: [Option<usize>; COLUMNS.len()],
    count: usize,
}

impl Columns {
    /// Reads the first line.
    fn of(heading: &StringRecord) -> Result<Columns, String> {
        let expected = format!("the first line names the columns: {}", COLUMNS.join(","));
        let mut places = [None; COLUMNS.len()];
        for (at, name) in heading.iter().enumerate() {
            let known = COLUMNS.iter().position(|known| known.eq_ignore_ascii_case(name));
            let known = known.ok_or_else(|| format!("unknown column \"{name}\"; {expected}"))?;
            if places[known].replace(at).is_some() {
                return Err(format!("the column {name} is there twice; {expected}"));
            }
        }
        match places.iter().take(COLUMNS_REQUIRED).position(Option::is_none) {
            Some(missing) => Err(format!("the column {} is missing; {expected}", COLUMNS[missing])),
            None => Ok(Columns { places, count: heading.len() }),
        }
    }

    /// The field of a column; empty where there is none.
    fn field<'r>(&self, record: &'r StringRecord, column: &str) -> &'r str {
        let place = COLUMNS.iter().position(|known| *known == column).and_then(|place| self.places[place]);
        place.and_then(|place| record.get(place)).unwrap_or_default()
    }
}

/// Sets the rule of one line.
fn rule(client: &Client, columns: &Columns, record: &StringRecord) -> Result<(), Failure> {
    let wrong = |reason: String| Failure::Other(reason);
    if record.len() != columns.count {
        return Err(wrong(format!("it has {} fields, and the heading {}", record.len(), columns.count)));
    }
    let field = |column| columns.field(record, column);
    let number = match field("number") {
        "" => return Err(wrong("number: it is empty".to_owned())),
        number => number,
    };
    let names = || Condition::ALL.map(Condition::name).join(", ");
    let condition = field("condition");
    // As the API's members are called, too.
    let condition = Condition::named(&condition.replace('_', "-"))
        .ok_or_else(|| wrong(format!("condition: \"{condition}\" is none of {}", names())))?;
    let active = match field("active").to_ascii_lowercase().as_str() {
        "" | "yes" | "true" | "1" => true,
        "no" | "false" | "0" => false,
        other => return Err(wrong(format!("active: \"{other}\" is neither yes nor no"))),
    };
    let mut wanted = Map::new();
    wanted.insert(member(condition), json!({ "target": field("target"), "active": active }));
    if !field("after").is_empty() {
        let after = field("after");
        let seconds = seconds(after)
            .ok_or_else(|| wrong(format!("after: \"{after}\" is not a whole number of seconds")))?;
        wanted.insert("after_s".to_owned(), seconds);
    }
    client.send("PATCH", &path(number), &Value::Object(wanted)).map(drop)
}
