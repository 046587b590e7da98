//! Public messages in a folder beside this project: `SIP_CORPORA` names it. They are not part of it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// A folder of messages, or `None` with a word about it where it is absent. The word is not captured:
/// `tests/run.sh` counts what was skipped.
pub fn corpus(test: &str, name: &str) -> Option<PathBuf> {
    let root = std::env::var("SIP_CORPORA")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpora").to_string());
    let path = Path::new(&root).join(name);
    if !path.is_dir() {
        let line =
            format!("SKIPPED {test}: no folder {name} of messages; SIP_CORPORA names where it stands\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
        return None;
    }
    Some(path)
}

/// All files below a folder, in the order of their names.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// The name of a file without its ending.
pub fn stem(path: &Path) -> &str {
    path.file_stem().and_then(|name| name.to_str()).expect("a name")
}
