//! The command line: clap's command, made from the table, and what it read.

use super::layer::{Layer, Origin};
use super::options::{Kind, Places, TABLE, nearest};
use super::{ConfigError, shown};
use clap::builder::ValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command};
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

Exit codes: 0 good, 1 could not start or go on, 2 wrong options.";

/// What the command line asks for.
pub enum Flags {
    /// Options.
    Options(Layer),
    /// `--help` or `--version`: the text to print.
    Text(String),
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
    let mut layer = Layer::default();
    for setting in TABLE {
        if setting.places == Places::FlagOnly {
            layer.push(setting, &matches.get_flag(setting.name).to_string(), Origin::Flag)?;
            continue;
        }
        for text in matches.get_many::<String>(setting.name).into_iter().flatten() {
            layer.push(setting, text, Origin::Flag)?;
        }
    }
    Ok(Flags::Options(layer))
}

/// The clap command: one argument per row of the table.
pub fn command() -> Command {
    let args = TABLE.iter().map(|setting| {
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
    });
    Command::new("ringway")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(AFTER_HELP)
        .max_term_width(100)
        .args(args)
}

/// The option's help with unit and default.
fn help(setting: &super::options::Setting) -> String {
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
        ErrorKind::ArgumentConflict => format!("{argument} is given twice; it takes one value"),
        _ => {
            let rendered = error.render().to_string();
            let first = rendered.lines().next().unwrap_or_default();
            format!("{} (ringway --help has all options)", first.trim_start_matches("error: "))
        }
    })
}
