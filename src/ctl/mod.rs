//! `ringway ctl`: the admin API's client, with tables for people and JSON for scripts.
//!
//! [`run`] is given the arguments behind `ctl` and where to write; it asks the server and says how it went.

mod client;
mod command;
mod forward;
mod show;

pub use command::command;

use crate::admin::segment;
use clap::ArgMatches;
use clap::error::ErrorKind;
use client::{Client, Failure};
use serde_json::{Map, Value, json};
use std::ffi::OsString;
use std::io::{self, BufRead, Write};

/// The server did not do what it was asked to, or was not reached.
const EXIT_FAILED: u8 = 1;
const EXIT_USAGE: u8 = 2;
/// There is no such subscriber or call.
const EXIT_NOT_FOUND: u8 = 3;

/// Subscribers and calls that one page has at most.
const PAGE: usize = 1_000;

/// What a command depends on besides its arguments.
pub struct Surroundings<'a> {
    /// Where `--password-stdin` reads.
    pub input: &'a mut dyn BufRead,
    pub output: &'a mut dyn Write,
    pub errors: &'a mut dyn Write,
    /// Reads an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

/// Why a command came to nothing.
enum Wrong {
    Usage(String),
    Failed(Failure),
    /// Nobody reads what is written: no more is wanted.
    Closed,
}

impl From<Failure> for Wrong {
    fn from(failure: Failure) -> Wrong {
        Wrong::Failed(failure)
    }
}

impl From<io::Error> for Wrong {
    fn from(_: io::Error) -> Wrong {
        Wrong::Closed
    }
}

/// Runs one command; returns the exit code.
pub fn run(args: impl IntoIterator<Item = OsString>, around: &mut Surroundings<'_>) -> u8 {
    let args = [OsString::from("ringway ctl")].into_iter().chain(args);
    let matches = match command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            let _ = write!(around.output, "{}", error.render());
            return 0;
        }
        Err(error) => {
            let _ = writeln!(around.errors, "ringway ctl: {}", one_line(&error));
            return EXIT_USAGE;
        }
    };
    let (code, message) = match dispatch(&matches, around) {
        Ok(()) | Err(Wrong::Closed) => return 0,
        Err(Wrong::Usage(message)) => (EXIT_USAGE, message),
        Err(Wrong::Failed(Failure::NotFound(message))) => (EXIT_NOT_FOUND, message),
        Err(Wrong::Failed(failure)) => (EXIT_FAILED, failure.message().to_owned()),
    };
    let _ = writeln!(around.errors, "ringway ctl: {}", show::plain(&message));
    code
}

/// clap's error up to its first empty line, as one line that names the cure.
fn one_line(error: &clap::Error) -> String {
    let rendered = error.render().to_string();
    let lines: Vec<&str> = rendered.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    let text = lines.join(" ");
    format!("{} (ringway ctl --help has all)", text.trim_start_matches("error: "))
}

fn dispatch(matches: &ArgMatches, around: &mut Surroundings<'_>) -> Result<(), Wrong> {
    if let Some(("completions", matches)) = matches.subcommand() {
        return command::complete(matches, around.output).map_err(Wrong::from);
    }
    let client = client(matches, around)?;
    let json = matches.get_flag("json");
    match matches.subcommand() {
        Some(("subscriber", matches)) => subscriber(&client, matches, json, around),
        Some(("forward", matches)) => forward::run(&client, matches, json, around),
        Some(("bindings", matches)) => bindings(&client, matches, json, around),
        Some(("calls", matches)) => {
            let limit = matches.get_one("limit").copied().unwrap_or(PAGE);
            let calls = pages(&client, "/v1/calls", "calls", limit)?;
            say(around, json, &calls, show::calls)
        }
        Some(("call", matches)) => call(&client, matches, json, around),
        _ => say(around, json, &client.get("/v1/status")?, show::status),
    }
}

fn client(matches: &ArgMatches, around: &Surroundings<'_>) -> Result<Client, Wrong> {
    let given = |name: &str| matches.get_one::<String>(name).cloned();
    let variable = |name: &str| (around.variable)(name).filter(|text| !text.is_empty());
    let url = given("url").or_else(|| variable("RINGWAY_ADMIN").map(|address| format!("http://{address}")));
    let url = url.unwrap_or_else(|| "http://127.0.0.1:8060".to_owned());
    let file = given("token-file").or_else(|| variable("RINGWAY_ADMIN_TOKEN_FILE"));
    let token = match file {
        None => None,
        Some(file) => {
            let wrong = |reason: String| Wrong::Usage(format!("--token-file {file}: {reason}"));
            let text = std::fs::read_to_string(&file)
                .map_err(|error| wrong(format!("the file cannot be read: {error}")))?;
            Some(crate::admin::Token::parse(&text).map_err(wrong)?)
        }
    };
    Client::new(&url, token).map_err(Wrong::Usage)
}

fn subscriber(
    client: &Client,
    matches: &ArgMatches,
    json: bool,
    around: &mut Surroundings<'_>,
) -> Result<(), Wrong> {
    let (name, matches) = matches.subcommand().unwrap_or(("list", matches));
    if name == "list" {
        let limit = matches.get_one("limit").copied().unwrap_or(PAGE);
        let found = pages(client, "/v1/subscribers", "subscribers", limit)?;
        return say(around, json, &found, show::subscribers);
    }
    let number = argument(matches, "number");
    let path = format!("/v1/subscribers/{}", segment(&number));
    match name {
        "show" => {
            let found = client.get(&path)?;
            say(around, json, &found, show::subscriber)
        }
        "add" => {
            let mut wanted = wanted(matches, around)?;
            wanted.insert("number".to_owned(), json!(number));
            let added = client.send("POST", "/v1/subscribers", &Value::Object(wanted))?;
            say(around, json, &added, show::subscriber)
        }
        "change" => {
            let wanted = wanted(matches, around)?;
            if wanted.is_empty() {
                let message = "nothing to change; give --no-answer or another condition, --after, --headers, \
                               --privacy, --contact, --password-stdin or --no-password";
                return Err(Wrong::Usage(message.to_owned()));
            }
            let changed = client.send("PATCH", &path, &Value::Object(wanted))?;
            say(around, json, &changed, show::subscriber)
        }
        _ => {
            client.delete(&path)?;
            done(around, json, &format!("{number} is removed"))
        }
    }
}

/// What the options of `add` and `change` say; an empty text takes a thing away.
fn wanted(matches: &ArgMatches, around: &mut Surroundings<'_>) -> Result<Map<String, Value>, Wrong> {
    let mut wanted = forward::wanted(matches)?;
    if let Some(text) = matches.get_one::<String>("contact") {
        wanted.insert("contact".to_owned(), forward::or_null(text));
    }
    if matches.get_flag("password-stdin") {
        let mut line = String::new();
        let read = around.input.read_line(&mut line);
        read.map_err(|error| Wrong::Usage(format!("--password-stdin: it cannot be read: {error}")))?;
        let password = line.trim_end_matches(['\r', '\n']);
        if password.is_empty() {
            return Err(Wrong::Usage("--password-stdin: the line is empty; write the password".to_owned()));
        }
        wanted.insert("password".to_owned(), json!(password));
    }
    if matches.try_get_one::<bool>("no-password").ok().flatten() == Some(&true) {
        wanted.insert("password".to_owned(), Value::Null);
    }
    Ok(wanted)
}

fn bindings(
    client: &Client,
    matches: &ArgMatches,
    json: bool,
    around: &mut Surroundings<'_>,
) -> Result<(), Wrong> {
    let number = argument(matches, "number");
    let path = format!("/v1/subscribers/{}/bindings", segment(&number));
    if !matches.get_flag("remove") {
        return say(around, json, &client.get(&path)?, show::bindings);
    }
    let uri = matches.get_one::<String>("uri");
    let query = uri.map_or_else(String::new, |uri| format!("?uri={}", segment(uri)));
    let removed = client.delete(&format!("{path}{query}"))?;
    say(around, json, &removed, |removed| {
        format!("{} of {number}'s bindings are removed\n", show::text(&removed["removed"]))
    })
}

fn call(
    client: &Client,
    matches: &ArgMatches,
    json: bool,
    around: &mut Surroundings<'_>,
) -> Result<(), Wrong> {
    let (name, matches) = matches.subcommand().unwrap_or(("show", matches));
    let id = argument(matches, "id");
    let path = format!("/v1/calls/{}", segment(&id));
    if name == "hangup" {
        client.delete(&path)?;
        return done(around, json, &format!("{id} is hung up"));
    }
    say(around, json, &client.get(&path)?, show::call)
}

/// An argument that clap has seen to be there.
fn argument(matches: &ArgMatches, name: &str) -> String {
    matches.get_one::<String>(name).cloned().unwrap_or_default()
}

/// At most `limit` of a list, however many pages it takes; what the last page said besides stays.
fn pages(client: &Client, path: &str, list: &str, limit: usize) -> Result<Value, Failure> {
    let mut all: Vec<Value> = Vec::new();
    let mut after = String::new();
    loop {
        let room = (limit - all.len()).min(PAGE);
        let mut page = client.get(&format!("{path}?limit={room}{after}"))?;
        all.extend(page[list].as_array_mut().map(std::mem::take).unwrap_or_default());
        match page["next"].as_str() {
            Some(next) if all.len() < limit => after = format!("&after={}", segment(next)),
            _ => {
                page[list] = Value::Array(all);
                return Ok(page);
            }
        }
    }
}

/// Writes what the server said: as it said it, or for people.
fn say(
    around: &mut Surroundings<'_>,
    json: bool,
    value: &Value,
    show: impl FnOnce(&Value) -> String,
) -> Result<(), Wrong> {
    match json {
        true => writeln!(around.output, "{value:#}")?,
        false => write!(around.output, "{}", show(value))?,
    }
    Ok(())
}

/// Says that it was done; scripts have the exit code.
fn done(around: &mut Surroundings<'_>, json: bool, text: &str) -> Result<(), Wrong> {
    if !json {
        writeln!(around.output, "{}", show::plain(text))?;
    }
    Ok(())
}
