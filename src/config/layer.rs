//! Where values come from: the default, the TOML file, the environment, the command line; the last that sets
//! an option wins as a whole.

use super::options::{Key, Kind, Setting, TABLE};
use super::subscriber::Entry;
use super::value::{self, Reason};
use super::{ConfigError, shown};
use std::collections::BTreeMap;
use std::fmt;

/// Who set a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    /// The subscribers of the lab, used when there are no others.
    Lab,
    Flag,
    Environment,
    File {
        path: String,
        line: usize,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Lab => f.write_str("lab default"),
            Origin::Flag => f.write_str("flag"),
            Origin::Environment => f.write_str("environment"),
            Origin::File { path, line } => write!(f, "{}:{line}", shown(path)),
        }
    }
}

/// One value as it was written, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    pub text: String,
    pub origin: Origin,
}

impl Raw {
    /// The value as its author wrote it: `--batch 0`, `RINGWAY_BATCH=0`, `ringway.toml:3: batch = 0`.
    pub fn place(&self, setting: &Setting) -> String {
        let (name, text) = (setting.name, shown(&self.text));
        match &self.origin {
            Origin::Default | Origin::Lab => format!("the default {name} = {text}"),
            Origin::Flag if setting.kind == Kind::Switch => format!("--{name}={text}"),
            Origin::Flag => format!("--{name} {text}"),
            Origin::Environment => format!("environment variable {}={text}", setting.variable()),
            Origin::File { .. } => format!("{}: {name} = {text}", self.origin),
        }
    }

    /// The error that names option, value and origin, for a reason that tells the cure itself.
    pub fn wrong(&self, setting: &Setting, reason: &str) -> ConfigError {
        ConfigError::new(format!("{}: {reason}", self.place(setting)))
    }

    /// The error that names option, value, origin, reason and what is expected.
    pub fn refuse(&self, setting: &Setting, reason: &str) -> ConfigError {
        self.wrong(setting, &format!("{reason}; expected {}", value::expected(setting)))
    }
}

/// What one source sets. Subscribers are read into their own entries, for the file has tables of them.
#[derive(Debug, Default)]
pub struct Layer {
    pub values: BTreeMap<Key, Vec<Raw>>,
    pub subscribers: Vec<Entry>,
}

impl Layer {
    /// Adds one text of an option.
    pub fn push(&mut self, setting: &Setting, text: &str, origin: Origin) -> Result<(), ConfigError> {
        let raw = Raw { text: text.to_owned(), origin };
        if setting.kind == Kind::Subscriber {
            self.subscribers.push(Entry::parse(&raw)?);
        } else {
            self.values.entry(setting.key).or_default().push(raw);
        }
        Ok(())
    }
}

/// Every option's value: the strongest layer's.
#[derive(Debug)]
pub struct Values {
    values: BTreeMap<Key, Vec<Raw>>,
    pub subscribers: Vec<Entry>,
}

impl Values {
    /// Layers from weak to strong, over the table's defaults.
    pub fn merge(layers: [Layer; 3]) -> Values {
        let mut values = BTreeMap::new();
        let mut subscribers = Vec::new();
        for setting in TABLE.iter().filter(|setting| setting.kind != Kind::Subscriber) {
            let default = Raw { text: setting.default.to_owned(), origin: Origin::Default };
            values.insert(setting.key, vec![default]);
        }
        for layer in layers {
            values.extend(layer.values);
            if !layer.subscribers.is_empty() {
                subscribers = layer.subscribers;
            }
        }
        Values { values, subscribers }
    }

    /// All texts of an option as they were written, an empty one for an option that has no value.
    pub fn written(&self, key: Key) -> &[Raw] {
        self.values.get(&key).map_or(&[], Vec::as_slice)
    }

    /// The texts of an option that has a value: where the default is none, an empty text means none.
    pub fn texts(&self, key: Key) -> impl Iterator<Item = &Raw> {
        let none_is_allowed = key.setting().default.is_empty();
        self.written(key).iter().filter(move |raw| !(none_is_allowed && raw.text.is_empty()))
    }

    /// An option's only text through a parser; `None` when it has none.
    pub fn optional<T>(
        &self,
        key: Key,
        parse: impl Fn(&str) -> Result<T, Reason>,
    ) -> Result<Option<T>, ConfigError> {
        let parsed = self
            .texts(key)
            .last()
            .map(|raw| parse(&raw.text).map_err(|reason| raw.refuse(key.setting(), &reason)));
        parsed.transpose()
    }

    /// All texts of an option through a parser, each with where it was written.
    pub fn list<T>(
        &self,
        key: Key,
        parse: impl Fn(&str) -> Result<T, Reason>,
    ) -> Result<Vec<(T, &Raw)>, ConfigError> {
        let parse = |raw: &'_ Raw| parse(&raw.text).map_err(|reason| raw.refuse(key.setting(), &reason));
        self.texts(key).map(|raw| Ok((parse(raw)?, raw))).collect()
    }

    /// A number; `None` for the word that stands beside the numbers.
    pub fn number(&self, key: Key) -> Result<Option<u32>, ConfigError> {
        let Kind::Number { min, max, word } = key.setting().kind else {
            return Err(wrong_kind(key));
        };
        let parsed = self.optional(key, |text| match word {
            Some(word) if word.text == text => Ok(None),
            _ => value::number(text, min, max).map(Some),
        })?;
        Ok(parsed.flatten())
    }

    /// A number; 0 for the word that stands beside the numbers.
    pub fn count(&self, key: Key) -> Result<u32, ConfigError> {
        Ok(self.number(key)?.unwrap_or(0))
    }

    pub fn bytes(&self, key: Key) -> Result<usize, ConfigError> {
        let Kind::Size { min, max } = key.setting().kind else {
            return Err(wrong_kind(key));
        };
        self.optional(key, |text| value::size(text, min, max))?.ok_or_else(|| wrong_kind(key))
    }

    pub fn switch(&self, key: Key) -> Result<bool, ConfigError> {
        Ok(self.optional(key, value::switch)?.unwrap_or(false))
    }

    /// The meaning that stands in the chosen word's place.
    pub fn choice<T: Copy, const N: usize>(&self, key: Key, meanings: [T; N]) -> Result<T, ConfigError> {
        let Kind::Choice(words) = key.setting().kind else {
            return Err(wrong_kind(key));
        };
        let place = self.optional(key, |text| value::choice(text, words))?;
        place.and_then(|place| meanings.get(place).copied()).ok_or_else(|| wrong_kind(key))
    }
}

/// The code asks for another kind than the table has: a fault of ours that every test run meets at once.
fn wrong_kind(key: Key) -> ConfigError {
    ConfigError::new(format!(
        "--{}: the table of options has another kind; please report this",
        key.setting().name
    ))
}
