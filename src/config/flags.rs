//! The command line: clap's command, made from the table, and what it read.

use super::layer::{Layer, Origin};
use super::options::{Key, Kind, Places, Setting, TABLE, nearest};
use super::{ConfigError, shown};
use clap::builder::ValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::ffi::OsString;

const ABOUT: &str = "A SIP front proxy for call forwarding, above all on no answer";

const AFTER_HELP: &str = "\
Each option is also an environment variable (--no-181 is RINGWAY_NO_181=true) and a TOML key \
(no-181 = true). A flag wins over the environment, the environment over the file, the file over the \
default; an option that may be repeated is replaced as a whole. In the environment, blanks separate \
several values, and an empty variable counts as not set. Where there is no default, an empty value means \
none.

With no subscriber and every listener on loopback, the lab's phones are served: 1003 at 127.0.0.137, 1004 \
at 127.0.0.136 (forwards to 1005) and 1005 at 127.0.0.138, all on port 5060.

`ringway dump` and `ringway load` write and read all that a store holds, while no server has it open. \
`ringway ctl` reads and changes a server that runs: subscribers, bindings, calls; see ringway ctl --help.

Exit codes: 0 good, 1 could not start or go on, 2 wrong options.";

/// A file's name that stands for standard input or output.
pub const STANDARD: &str = "-";

const FILE: &str = "file";
const REPLACE: &str = "replace";

/// What the command line asks for.
pub enum Flags {
    /// Options.
    Options(Layer),
    /// A subcommand, and the options that it was given.
    Command(Subcommand, Layer),
    /// `--help` or `--version`: the text to print.
    Text(String),
}

/// What else than serving can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subcommand {
    Dump { file: String },
    Load { file: String, replace: bool },
}

/// Reads the command line; the first argument is the program's name.
pub fn read(args: impl IntoIterator<Item = OsString>) -> Result<Flags, ConfigError> {
    let matches = match command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return Ok(Flags::Text(error.render().to_string()));
        }
        Err(error) => return Err(one_line(&error)),
    };
    let Some((name, matches)) = matches.subcommand() else {
        return Ok(Flags::Options(layer(&matches, TABLE.iter())?));
    };
    let file = matches.get_one::<String>(FILE).cloned().unwrap_or_else(|| STANDARD.to_owned());
    let subcommand = match name {
        "dump" => Subcommand::Dump { file },
        _ => Subcommand::Load { file, replace: matches.get_flag(REPLACE) },
    };
    Ok(Flags::Command(subcommand, layer(matches, of_subcommands())?))
}

/// The options that were given.
fn layer<'a>(
    matches: &ArgMatches,
    settings: impl Iterator<Item = &'a Setting>,
) -> Result<Layer, ConfigError> {
    let mut layer = Layer::default();
    for setting in settings {
        if setting.places == Places::FlagOnly {
            layer.push(setting, &matches.get_flag(setting.name).to_string(), Origin::Flag)?;
            continue;
        }
        for text in matches.get_many::<String>(setting.name).into_iter().flatten() {
            layer.push(setting, text, Origin::Flag)?;
        }
    }
    Ok(layer)
}

/// The options that say where the store is and what it holds.
fn of_subcommands() -> impl Iterator<Item = &'static Setting> {
    let keys =
        [Key::Config, Key::Listen, Key::Realm, Key::DataDir, Key::Store, Key::StoreTimeout, Key::StoreCache];
    keys.into_iter().map(Key::setting)
}

/// The clap command: one argument per row of the table.
pub fn command() -> Command {
    Command::new("ringway")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(AFTER_HELP)
        .max_term_width(100)
        .args(TABLE.iter().map(arg))
        .args_conflicts_with_subcommands(true)
        .disable_help_subcommand(true)
        .subcommand(
            Command::new("dump")
                .about("Write what the store of a server that does not run holds, as JSON lines")
                .arg(file("The file to write; - or none: standard output"))
                .args(of_subcommands().map(arg)),
        )
        .subcommand(
            Command::new("load")
                .about("Read JSON lines, as dump writes them, into the store of a server that does not run")
                .arg(file("The file to read; -: standard input").required(true))
                .arg(
                    Arg::new(REPLACE)
                        .long(REPLACE)
                        .action(ArgAction::SetTrue)
                        .help("Remove the subscribers that the lines do not have"),
                )
                .args(of_subcommands().map(arg)),
        )
}

/// The argument of one row.
fn arg(setting: &'static Setting) -> Arg {
    let arg = Arg::new(setting.name).long(setting.name).help(help(setting)).help_heading(setting.topic);
    if setting.places == Places::FlagOnly {
        return arg.action(ArgAction::SetTrue);
    }
    let action = if setting.repeatable { ArgAction::Append } else { ArgAction::Set };
    let arg = arg.action(action).value_name(setting.form).value_parser(ValueParser::string());
    match setting.kind {
        Kind::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        _ => arg.num_args(1).allow_hyphen_values(true),
    }
}

fn file(help: &'static str) -> Arg {
    Arg::new(FILE).value_name("FILE").value_parser(ValueParser::string()).help(help)
}

/// The option's help with unit and default.
fn help(setting: &Setting) -> String {
    let mut notes = Vec::new();
    if setting.repeatable {
        notes.push("may be repeated".to_owned());
    }
    if setting.places == Places::FlagOnly {
        return setting.help.to_owned();
    }
    if !setting.unit.is_empty() {
        notes.push(setting.unit.to_owned());
    }
    notes.push(match setting.default {
        "" => "default: none".to_owned(),
        default => format!("default: {default}"),
    });
    format!("{} [{}]", setting.help, notes.join("; "))
}

/// clap's error in one line that names the cure.
fn one_line(error: &clap::Error) -> ConfigError {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(shown(text)),
        Some(ContextValue::Strings(texts)) => texts.first().map(|text| shown(text)),
        _ => None,
    };
    let argument = text(ContextKind::InvalidArg).unwrap_or_default();
    ConfigError::new(match error.kind() {
        ErrorKind::UnknownArgument if argument.starts_with("--") => {
            let nearest = nearest(argument.trim_start_matches('-'), TABLE.iter().map(|setting| setting.name));
            let nearest = nearest.unwrap_or_default();
            format!(
                "unknown option {argument}; the nearest known one is --{nearest} (ringway --help has all)"
            )
        }
        ErrorKind::UnknownArgument => {
            format!("unexpected argument {argument}; every option begins with -- (ringway --help has all)")
        }
        ErrorKind::InvalidSubcommand => {
            let word = text(ContextKind::InvalidSubcommand).unwrap_or_default();
            format!(
                "unexpected argument {word}; every option begins with --, and the commands are ctl, dump and \
                 load (ringway --help has all)"
            )
        }
        ErrorKind::ArgumentConflict => format!("{argument} is given twice; it takes one value"),
        _ => {
            let rendered = error.render().to_string();
            let first = rendered.lines().next().unwrap_or_default();
            format!("{} (ringway --help has all options)", first.trim_start_matches("error: "))
        }
    })
}
