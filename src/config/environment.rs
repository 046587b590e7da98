//! The environment: variables that begin with `RINGWAY_`.

use super::layer::{Layer, Origin};
use super::options::{PREFIX, Places, TABLE, nearest};
use super::{ConfigError, shown};

/// Reads the variables of ours; the others are nobody's business. An empty one counts as not set.
pub fn read(variables: &[(String, String)]) -> Result<Layer, ConfigError> {
    let mut layer = Layer::default();
    for (name, text) in variables.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
        let setting = TABLE.iter().find(|setting| setting.variable() == *name);
        let Some(setting) = setting.filter(|setting| setting.places != Places::FlagOnly) else {
            return Err(unknown(name, setting.map(|setting| setting.name)));
        };
        if setting.repeatable {
            for part in text.split_ascii_whitespace() {
                layer.push(setting, part, Origin::Environment)?;
            }
        } else if !text.is_empty() {
            layer.push(setting, text, Origin::Environment)?;
        }
    }
    Ok(layer)
}

fn unknown(name: &str, flag: Option<&str>) -> ConfigError {
    if let Some(flag) = flag {
        return ConfigError::new(format!("environment variable {name}: --{flag} is a flag only"));
    }
    let known = TABLE.iter().filter(|setting| setting.places != Places::FlagOnly);
    let nearest = nearest(name, known.map(|setting| setting.variable())).unwrap_or_default();
    ConfigError::new(format!(
        "unknown environment variable {}; the nearest known one is {nearest}",
        shown(name)
    ))
}
