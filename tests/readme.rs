//! The README's generated parts.
#![cfg(feature = "server")]

const MARKER: &str = "<!-- options -->\n";

/// `UPDATE_README=1 cargo test --test readme` writes the table.
#[test]
fn the_table_of_options_is_that_of_the_program() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(path).expect("README.md");
    let [before, _, after] = readme.splitn(3, MARKER).collect::<Vec<_>>()[..] else {
        panic!("README.md has no two lines {MARKER}");
    };
    let table = ringway::config::markdown_table();
    let wanted = format!("{before}{MARKER}{table}{MARKER}{after}");
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(path, wanted).expect("README.md is writable");
        return;
    }
    assert!(readme == wanted, "the table is stale: UPDATE_README=1 cargo test --test readme");
}
