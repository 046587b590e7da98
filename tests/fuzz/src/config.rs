//! Configuration: any file, flags and environment are taken or refused in one line; what is taken and
//! printed as a file is taken again and means the same.

use ringway::config::{Action, Config, World};
use std::ffi::OsString;
use std::path::Path;

const FILE: &str = "ringway.toml";

pub fn run(data: &[u8]) {
    let Some((kind, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    match kind % 3 {
        0 => {
            let config = ["--config", FILE];
            if let Ok(Action::Start(started)) = read(&config, &[], text) {
                check_printed(&config, text, &started);
            }
        }
        1 => {
            let args: Vec<&str> = text.split('\n').collect();
            if let Ok(Action::Start(started)) = read(&args, &[], "") {
                check_printed(&args, "", &started);
            }
        }
        _ => {
            let variables = text.split('\n').filter_map(|line| line.split_once('='));
            let variables: Vec<(String, String)> =
                variables.map(|(name, value)| (format!("RINGWAY_{name}"), value.to_owned())).collect();
            let _ = read(&[], &variables, "");
        }
    }
}

/// Reads a configuration; a refusal is one line.
pub fn read(args: &[&str], environment: &[(String, String)], file: &str) -> Result<Action, String> {
    let world = World {
        environment: environment.to_vec(),
        read_file: &|path: &Path| match path == Path::new(FILE) {
            true => Ok(file.to_owned()),
            false => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
        },
        cpus_allowed: vec![0, 1, 2, 5],
        secret: 7,
    };
    let args = ["ringway"].iter().chain(args).map(OsString::from);
    Config::from_args(args, &world).map_err(|error| {
        let message = error.to_string();
        assert!(!message.is_empty());
        message
    })
}

fn check_printed(args: &[&str], file: &str, started: &Config) {
    let args: Vec<&str> = ["--print-config"].iter().chain(args).copied().collect();
    let Ok(Action::Print(printed)) = read(&args, &[], file) else { panic!("it starts but does not print") };
    let again = match read(&["--config", FILE], &[], &printed) {
        Ok(Action::Start(again)) => again,
        Ok(_) => panic!("a file that does not start a server:\n{printed}"),
        Err(message) => panic!("{message}\n{printed}"),
    };
    assert_eq!(described(&again), described(started), "\n{printed}");
}

/// All that a configuration says; subscribers in a table whose order means nothing.
fn described(config: &Config) -> (String, Vec<String>) {
    let settings = &config.settings;
    let mut subscribers: Vec<String> = config.subscribers.iter().map(|one| format!("{one:?}")).collect();
    subscribers.sort();
    (format!("{settings:?} {:?} {:?}", config.net, config.log), subscribers)
}
