//! Where things are kept: what the options of the store mean together.

use super::ConfigError;
use super::layer::Values;
use super::options::Key;
use super::value::{self, StoreName};
use crate::auth;
use crate::settings::Listener;
use crate::store::{Place, Settings};
use std::path::PathBuf;
use std::time::Duration;

/// The store's settings. `listeners` are the server's; none: no server is to be started.
pub fn settings(values: &Values, listeners: &[Listener]) -> Result<Settings, ConfigError> {
    Ok(Settings {
        place: place(values, listeners)?,
        timeout: Duration::from_millis(values.count(Key::StoreTimeout)?.into()),
        cache_bytes: values.bytes(Key::StoreCache)?,
        realm: values.optional(Key::Realm, value::realm)?.unwrap_or_else(|| auth::REALM.to_owned()),
        listeners: listeners.iter().map(|listener| listener.address).collect(),
    })
}

fn place(values: &Values, listeners: &[Listener]) -> Result<Place, ConfigError> {
    let directory = values.texts(Key::DataDir).last().map(|raw| (PathBuf::from(&raw.text), raw));
    let named = values.optional(Key::Store, value::store)?;
    match (named, directory) {
        (None | Some(StoreName::Redb), Some((directory, _))) => Ok(Place::Directory(directory)),
        (Some(StoreName::Memory), None) => Ok(Place::Memory),
        (Some(StoreName::Redis(url)), None) => Ok(Place::Redis(url)),
        (Some(StoreName::Redb), None) => {
            Err(ConfigError::new("--store redb: its file's directory is missing; give --data-dir".to_owned()))
        }
        (Some(StoreName::Memory | StoreName::Redis(_)), Some((_, raw))) => {
            let reason = "--store names another place; give one of the two";
            Err(raw.wrong(Key::DataDir.setting(), reason))
        }
        (None, None) => match listeners.iter().find(|listener| !listener.address.ip().is_loopback()) {
            None => Ok(Place::Memory),
            Some(outside) => Err(ConfigError::new(format!(
                "subscribers and bindings of udp:{} have no place to be kept in; give --data-dir {} (or \
                 --store memory, if they may be gone with the process)",
                outside.address,
                Key::DataDir.setting().example
            ))),
        },
    }
}
