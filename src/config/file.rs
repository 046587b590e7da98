//! The TOML file: the options' names as keys, and a `[[subscriber]]` table for each subscriber.

use super::layer::{Layer, Origin};
use super::options::{Kind, Places, Setting, TABLE, nearest};
use super::subscriber::{Entry, KEYS};
use super::{ConfigError, shown, value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Reads a file's text; `path` is for the messages.
pub fn read(path: &str, text: &str) -> Result<Layer, ConfigError> {
    let file = File { path, text };
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        // The parser's message may take several lines.
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        ConfigError::new(format!("{}: not valid TOML: {message}", file.origin(at)))
    })?;
    let mut layer = Layer::default();
    // The first fault of the file is reported, not the first in the alphabet.
    let mut pairs: Vec<_> = table.get_ref().iter().collect();
    pairs.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in pairs {
        let setting = file.setting(key)?;
        match setting.kind {
            Kind::Subscriber => file.subscribers(setting, value, &mut layer)?,
            _ => file.texts(setting, value, &mut layer)?,
        }
    }
    Ok(layer)
}

struct File<'a> {
    path: &'a str,
    text: &'a str,
}

impl File<'_> {
    /// The line of the byte at `at`, from 1 on.
    fn origin(&self, at: usize) -> Origin {
        let before = self.text.as_bytes().get(..at).unwrap_or(self.text.as_bytes());
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Origin::File { path: self.path.to_owned(), line }
    }

    fn setting(&self, key: &Spanned<std::borrow::Cow<'_, str>>) -> Result<&'static Setting, ConfigError> {
        let (origin, name) = (self.origin(key.span().start), shown(key.get_ref()));
        let setting = TABLE.iter().find(|setting| setting.name == name);
        match setting.map(|setting| (setting, setting.places)) {
            Some((setting, Places::Everywhere)) => Ok(setting),
            Some((_, Places::NotInFile)) => Err(ConfigError::new(format!(
                "{origin}: {name} cannot stand in the file itself; use the flag or the environment"
            ))),
            Some((_, Places::FlagOnly)) => {
                Err(ConfigError::new(format!("{origin}: {name}: --{name} is a flag only")))
            }
            None => {
                let known = TABLE.iter().filter(|setting| setting.places == Places::Everywhere);
                let nearest = nearest(&name, known.map(|setting| setting.name)).unwrap_or_default();
                let message = format!("{origin}: unknown key {name}; the nearest known one is {nearest}");
                Err(ConfigError::new(message))
            }
        }
    }

    /// One scalar, or an array of them for an option that may be repeated.
    fn texts(
        &self,
        setting: &Setting,
        value: &Spanned<DeValue<'_>>,
        layer: &mut Layer,
    ) -> Result<(), ConfigError> {
        match value.get_ref() {
            DeValue::Array(items) if setting.repeatable => {
                for item in items.iter() {
                    layer.push(setting, &self.scalar(setting, item)?, self.origin(item.span().start))?;
                }
                Ok(())
            }
            _ => layer.push(setting, &self.scalar(setting, value)?, self.origin(value.span().start)),
        }
    }

    fn scalar(&self, setting: &Setting, value: &Spanned<DeValue<'_>>) -> Result<String, ConfigError> {
        scalar(value.get_ref()).ok_or_else(|| {
            let (origin, name, kind) =
                (self.origin(value.span().start), setting.name, value.get_ref().type_str());
            let expected = value::expected(setting);
            ConfigError::new(format!(
                "{origin}: {name}: a TOML {kind} says nothing here; expected {expected}"
            ))
        })
    }

    fn subscribers(
        &self,
        setting: &Setting,
        value: &Spanned<DeValue<'_>>,
        layer: &mut Layer,
    ) -> Result<(), ConfigError> {
        let not_tables = |at: usize| {
            let (origin, name) = (self.origin(at), setting.name);
            ConfigError::new(format!(
                "{origin}: {name}: expected a [[{name}]] table each, for example \
                 [[{name}]] number = \"1004\" contact = \"sip:1004@192.0.2.136:5060\""
            ))
        };
        let Some(items) = value.get_ref().as_array() else {
            return Err(not_tables(value.span().start));
        };
        for item in items.iter() {
            let Some(table) = item.get_ref().as_table() else {
                return Err(not_tables(item.span().start));
            };
            layer.subscribers.push(self.subscriber(item.span().start, table)?);
        }
        Ok(())
    }

    fn subscriber(&self, at: usize, table: &DeTable<'_>) -> Result<Entry, ConfigError> {
        let mut entry = Entry::at(self.origin(at));
        let mut pairs: Vec<_> = table.iter().collect();
        pairs.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in pairs {
            let (name, origin) = (key.get_ref().as_ref(), self.origin(key.span().start));
            if !KEYS.contains(&name) && TABLE.iter().any(|setting| setting.name == name) {
                return Err(ConfigError::new(format!(
                    "{origin}: [[subscriber]] has no key {name}; the option {name} stands above the first \
                     [[subscriber]]"
                )));
            }
            let is_count = name == "after" && value.get_ref().is_integer();
            let text = scalar(value.get_ref()).filter(|_| is_count || value.get_ref().is_str());
            let Some(text) = text else {
                // A number without quotes would lose its leading + or zeros.
                let (kind, example) = (value.get_ref().type_str(), example(name));
                return Err(ConfigError::new(format!(
                    "{origin}: [[subscriber]] {name}: a TOML {kind} says nothing here; write {example}"
                )));
            };
            entry.push(name, &text, origin)?;
        }
        Ok(entry)
    }
}

/// How a subscriber's key is written in TOML.
fn example(key: &str) -> &'static str {
    match key {
        "after" => "after = 20",
        "password" => "password = \"…\"",
        "contact" => "contact = \"sip:1004@192.0.2.136:5060\"",
        "unconditional" => "unconditional = \"1005\"",
        "busy" => "busy = \"1005\"",
        "no-answer" => "no-answer = \"1005\"",
        "not-registered" => "not-registered = \"1005\"",
        "not-reachable" => "not-reachable = \"1005\"",
        "headers" => "headers = \"diversion\"",
        "privacy" => "privacy = \"full\"",
        _ => "number = \"1004\"",
    }
}

/// A string, boolean or integer as the text that a flag would have.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Boolean(on) => Some(on.to_string()),
        DeValue::Integer(integer) => {
            let parsed = i128::from_str_radix(integer.as_str(), integer.radix());
            Some(parsed.map_or_else(|_| integer.as_str().to_owned(), |number| number.to_string()))
        }
        _ => None,
    }
}
