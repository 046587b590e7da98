//! The house rules that a machine can check: sizes, panics, the direction of dependencies, a core without
//! clocks, threads or `async`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_CHARS_MAX: usize = 110;

/// What may not stand in code that serves calls, unless a comment says why it cannot happen.
const PANICS: [&str; 6] = [".unwrap()", ".expect(", "panic!(", "unimplemented!(", "todo!(", "unreachable!("];

/// How such a comment begins, on the same line or the one before.
const REASONS: [&str; 2] = ["// cannot ", "// never "];

/// Who may not name whom: a module of `src`, and the modules of this crate that stand above it.
const ARROWS: [(&str, &[&str]); 16] = [
    ("clock", &["sip", "sdp", "timer", "transaction", "call", "service", "registrar", "media", "shard"]),
    ("limits", &["sip", "sdp", "timer", "transaction", "call", "service", "registrar", "media", "shard"]),
    ("timer", &["sip", "sdp", "transaction", "call", "service", "registrar", "media", "shard", "outbox"]),
    ("sip", &["transaction", "call", "service", "registrar", "media", "shard", "outbox"]),
    ("sdp", &["transaction", "call", "service", "registrar", "shard", "outbox"]),
    ("transaction", &["signalling", "call", "service", "auth", "registrar", "media", "shard"]),
    ("signalling", &["call", "service", "auth", "registrar", "media", "shard"]),
    ("outbox", &["transaction", "call", "service", "registrar", "media", "shard"]),
    ("metrics", &["transaction", "call", "service", "registrar", "media", "shard"]),
    ("service", &["transaction", "call", "shard", "outbox", "mail"]),
    ("media", &["sip", "sdp", "mail", "transaction", "call", "service", "registrar", "shard", "outbox"]),
    ("directory", &["sip", "transaction", "call", "service", "registrar", "auth", "media", "shard"]),
    ("mail", &["transaction", "call", "auth", "shard"]),
    ("auth", &["registrar", "call", "shard"]),
    ("registrar", &["call", "shard"]),
    ("call", &["registrar", "shard"]),
];

/// The shell. Everything else under `src` is the core.
const SHELL: [&str; 8] = ["net", "config", "main", "store", "admin", "ctl", "cdr", "rtpengine"];

/// What the core must not name: clocks, threads, waiting, shared mutability, dynamic dispatch, sockets.
const NOT_IN_THE_CORE: [&str; 13] = [
    "Instant",
    "SystemTime",
    "glommio",
    "async",
    "await",
    "RefCell",
    "dyn",
    "thread",
    "thread_local",
    "mpsc",
    "crossbeam",
    "UdpSocket",
    "TcpStream",
];

/// A source file of the workspace.
struct Source {
    /// From the workspace's root, with `/`.
    path: String,
    lines: Vec<Line>,
}

struct Line {
    text: String,
    /// The line without comments and without what stands in string and character literals.
    code: String,
    /// Inside an item under `#[cfg(test)]`.
    test: bool,
}

impl Source {
    /// The module under `src/`: `sip` for `src/sip/scan.rs`, `timer` for `src/timer.rs`.
    fn module(&self) -> Option<&str> {
        let rest = self.path.strip_prefix("src/")?;
        rest.split('/').next().map(|first| first.strip_suffix(".rs").unwrap_or(first))
    }

    fn is_core(&self) -> bool {
        self.module().is_some_and(|module| !SHELL.contains(&module))
    }

    /// Code that serves calls, not code that tests it.
    fn is_product(&self) -> bool {
        self.path.starts_with("src/") || self.path.starts_with("loadgen/src/")
    }

    fn code(&self) -> impl Iterator<Item = (usize, &Line)> {
        self.lines.iter().enumerate().map(|(index, line)| (index + 1, line)).filter(|(_, line)| !line.test)
    }
}

/// Removes comments and the inside of literals from Rust code, line by line.
#[derive(Default)]
struct Stripper {
    comment_depth: usize,
    /// Inside a string literal: the number of `#` that end a raw one, `None` for a plain one.
    string: Option<Option<usize>>,
}

impl Stripper {
    fn strip(&mut self, line: &str) -> String {
        let chars: Vec<char> = line.chars().collect();
        let mut code = String::new();
        let mut at = 0;
        while at < chars.len() {
            let rest = &chars[at..];
            at += if self.comment_depth > 0 {
                self.in_comment(rest)
            } else if let Some(hashes) = self.string {
                self.in_string(rest, hashes)
            } else if rest.starts_with(&['/', '/']) {
                break;
            } else {
                let (length, kept) = self.in_code(rest, code.chars().next_back());
                code.push_str(kept.as_deref().unwrap_or(""));
                length
            };
        }
        code
    }

    fn in_comment(&mut self, rest: &[char]) -> usize {
        match rest {
            ['*', '/', ..] => self.comment_depth -= 1,
            ['/', '*', ..] => self.comment_depth += 1,
            _ => return 1,
        }
        2
    }

    fn in_string(&mut self, rest: &[char], hashes: Option<usize>) -> usize {
        match (rest[0], hashes) {
            ('\\', None) => 2,
            ('"', None) => {
                self.string = None;
                1
            }
            ('"', Some(count)) if rest[1..].iter().take_while(|c| **c == '#').count() >= count => {
                self.string = None;
                1 + count
            }
            _ => 1,
        }
    }

    /// How many characters were read and what remains of them as code.
    fn in_code(&mut self, rest: &[char], before: Option<char>) -> (usize, Option<String>) {
        let after_name = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
        match rest {
            ['/', '*', ..] => {
                self.comment_depth = 1;
                (2, None)
            }
            ['"', ..] => {
                self.string = Some(None);
                (1, None)
            }
            ['r', next, ..] if (*next == '"' || *next == '#') && (!after_name || before == Some('b')) => {
                let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
                if rest.get(1 + hashes) == Some(&'"') {
                    self.string = Some(Some(hashes));
                    (2 + hashes, None)
                } else {
                    (1, Some("r".into()))
                }
            }
            ['\'', '\\', _, tail @ ..] => (4 + tail.iter().take_while(|c| **c != '\'').count(), None),
            ['\'', _, '\'', ..] => (3, None),
            _ => (1, Some(rest[0].into())),
        }
    }
}

/// Reads a file into lines, marking those under `#[cfg(test)]`; a file `tests.rs` is there as a whole.
fn source(path: String, text: &str) -> Source {
    let all_test = path.ends_with("/tests.rs");
    let mut stripper = Stripper::default();
    let mut lines: Vec<Line> = Vec::new();
    let mut depth = 0_i32;
    // Set from `#[cfg(test)]` to the end of the item that follows it.
    let mut test_from: Option<i32> = None;
    let mut opened = false;
    for text in text.lines() {
        let code = stripper.strip(text);
        if test_from.is_none() && code.trim_start().starts_with("#[cfg(test)]") {
            test_from = Some(depth);
            opened = false;
        }
        let test = all_test || test_from.is_some();
        depth += code.matches('{').count() as i32 - code.matches('}').count() as i32;
        opened |= code.contains('{');
        let ended = if opened { code.contains('}') } else { code.trim_end().ends_with(';') };
        if test_from.is_some_and(|outer| depth <= outer) && ended {
            test_from = None;
        }
        lines.push(Line { text: text.into(), code, test });
    }
    Source { path, lines }
}

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.map(|entry| entry.expect("a readable directory entry").path()) {
        if entry.is_dir() {
            rust_files(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push(entry);
        }
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for directory in ["src", "loadgen/src", "benches", "tests"] {
        rust_files(&root.join(directory), &mut files);
    }
    files.sort();
    let read = |file: &PathBuf| {
        let path =
            file.strip_prefix(root).expect("a path below the root").to_string_lossy().replace('\\', "/");
        source(path, &fs::read_to_string(file).expect("a readable source file"))
    };
    let sources: Vec<Source> = files.iter().map(read).collect();
    assert!(sources.iter().any(|source| source.path == "src/lib.rs"), "found no sources under {root:?}");
    sources
}

/// Findings, and the rule that they break.
struct Findings {
    rule: String,
    list: String,
}

impl Findings {
    fn new(rule: impl Into<String>) -> Findings {
        Findings { rule: rule.into(), list: String::new() }
    }

    fn add(&mut self, path: &str, line: usize, what: &str) {
        writeln!(self.list, "  {path}:{line}: {what}").expect("writing to a String");
    }

    fn assert_none(self) {
        assert!(self.list.is_empty(), "{}\n{}", self.rule, self.list);
    }
}

/// Whether `code` names `word` as a whole path segment or identifier.
fn names(code: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        let longer_before = word.starts_with(is_name) && before.is_some_and(is_name);
        let longer_after = word.ends_with(is_name) && after.is_some_and(is_name);
        !longer_before && !longer_after
    })
}

/// Whether a statement reaches into a module of this crate: `crate::call`, `use crate::{call, …};`.
fn names_module(statement: &str, module: &str) -> bool {
    if ["crate", "ringway"].iter().any(|root| names(statement, &format!("{root}::{module}"))) {
        return true;
    }
    let list = statement.split_once("crate::{").map(|(_, list)| list);
    list.is_some_and(|list| names(list, module))
}

/// Lines of code with their numbers; a `use` of several lines is put together.
fn statements(source: &Source) -> Vec<(usize, String)> {
    let mut statements: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (number, line) in source.code() {
        match statements.last_mut().filter(|_| open) {
            Some((_, statement)) => statement.push_str(&line.code),
            None => statements.push((number, line.code.clone())),
        }
        open = (open || names(&line.code, "use")) && !line.code.contains(';');
    }
    statements
}

#[test]
fn files_functions_and_lines_are_short() {
    let mut findings = Findings::new(format!(
        "A file has at most {FILE_LINES_MAX} lines, a function {FUNCTION_LINES_MAX}, a line {LINE_CHARS_MAX} \
         characters. Split by idea."
    ));
    for source in sources() {
        if source.lines.len() > FILE_LINES_MAX {
            findings.add(&source.path, source.lines.len(), "the file is too long");
        }
        for (index, line) in source.lines.iter().enumerate() {
            let chars = line.text.chars().count();
            if chars > LINE_CHARS_MAX {
                findings.add(&source.path, index + 1, &format!("{chars} characters"));
            }
        }
        for (start, length) in functions(&source) {
            if length > FUNCTION_LINES_MAX {
                findings.add(&source.path, start, &format!("a function of {length} lines"));
            }
        }
    }
    findings.assert_none();
}

/// First line and number of lines of every function with a body.
fn functions(source: &Source) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut depth = 0_i32;
    let mut open: Vec<(usize, i32)> = Vec::new();
    let mut declared: Option<usize> = None;
    for (index, line) in source.lines.iter().enumerate() {
        if names(&line.code, "fn") && line.code.contains('(') && !line.code.contains("fn(") {
            declared = Some(index + 1);
        }
        for c in line.code.chars() {
            match c {
                '{' => {
                    open.extend(declared.take().map(|start| (start, depth)));
                    depth += 1;
                }
                '}' => {
                    depth -= 1;
                    if let Some((start, _)) = open.pop_if(|(_, outer)| *outer == depth) {
                        found.push((start, index + 2 - start));
                    }
                }
                _ => {}
            }
        }
        // A declaration in a trait ends without a body.
        if line.code.trim_end().ends_with(';') {
            declared = None;
        }
    }
    found
}

#[test]
fn nothing_panics_without_saying_why_it_cannot() {
    let mut findings = Findings::new(format!(
        "No {PANICS:?} in src and loadgen/src outside #[cfg(test)]: what a peer sends ends in a reply, a \
         close or a counter. Where it cannot happen, say why in a comment that begins with one of \
         {REASONS:?}, on the same line or the one before."
    ));
    for source in sources().iter().filter(|source| source.is_product()) {
        for (number, line) in source.code() {
            let Some(panic) = PANICS.iter().find(|panic| names(&line.code, panic)) else { continue };
            let before = number.checked_sub(2).map_or("", |index| source.lines[index].text.as_str());
            if !REASONS.iter().any(|reason| line.text.contains(reason) || before.contains(reason)) {
                findings.add(&source.path, number, panic);
            }
        }
    }
    findings.assert_none();
}

#[test]
fn dependencies_run_one_way() {
    let mut findings = Findings::new(
        "Dependencies run one way: sip, sdp, timer ← transaction ← call ← shard ← net; service and media see \
         facts and return decisions; nothing below net names net, config, store or admin.",
    );
    for source in sources().iter().filter(|source| source.path.starts_with("src/")) {
        let module = source.module().unwrap_or_default();
        let above = ARROWS.iter().find(|(name, _)| *name == module).map_or(&[][..], |(_, above)| *above);
        let shell: &[&str] = if source.is_core() && module != "lib" { &SHELL } else { &[] };
        for (number, statement) in statements(source) {
            for other in above.iter().chain(shell) {
                if names_module(&statement, other) {
                    findings.add(&source.path, number, &format!("{module} names {other}"));
                }
            }
        }
    }
    findings.assert_none();
}

#[test]
fn the_core_has_no_clock_no_thread_and_no_async() {
    let mut findings = Findings::new(format!(
        "Everything under src but {SHELL:?} is sans-IO and deterministic: time, randomness and bytes are \
         handed in, effects are written to the outbox, and nothing is shared or waited for."
    ));
    for source in sources().iter().filter(|source| source.is_core()) {
        for (number, line) in source.code() {
            for word in NOT_IN_THE_CORE {
                if names(&line.code, word) {
                    findings.add(&source.path, number, word);
                }
            }
        }
    }
    findings.assert_none();
}

#[test]
fn lints_are_expected_with_a_reason_never_allowed() {
    let mut findings = Findings::new("Write #[expect(lint, reason = \"…\")] instead of #[allow(lint)].");
    for source in &sources() {
        let code: Vec<&str> = source.lines.iter().map(|line| line.code.as_str()).collect();
        for (index, line) in code.iter().enumerate() {
            if line.contains("#[allow(") || line.contains("#![allow(") {
                findings.add(&source.path, index + 1, "allow");
            }
            let expectation = line.contains("#[expect(") || line.contains("#![expect(");
            if expectation && !code[index..].iter().take(4).any(|line| names(line, "reason")) {
                findings.add(&source.path, index + 1, "expect without a reason");
            }
        }
    }
    findings.assert_none();
}

#[test]
fn the_checker_itself_sees_what_it_should() {
    let text = r##"
fn live() { x.unwrap(); } // .expect( in a comment
const TEXT: &str = "panic!(\" // still text"; let c = '"'; let d = '\''; call::<'a>(r#"todo!("#);
/* a block with .unwrap()
   and more */ after();
#[cfg(test)]
mod tests {
    fn checked() { y.unwrap(); }
}
fn last() {}
"##;
    let source = source("src/sample.rs".into(), text);
    let unwraps: Vec<usize> =
        source.code().filter(|(_, line)| names(&line.code, ".unwrap()")).map(|(number, _)| number).collect();
    assert_eq!(unwraps, [2]);
    let code: String = source.code().map(|(_, line)| line.code.as_str()).collect();
    assert!(!code.contains("panic!") && !code.contains("todo!") && !code.contains("expect"), "{code}");
    assert!(code.contains("after()") && code.contains("last") && !code.contains("checked"), "{code}");
    assert_eq!(functions(&source).len(), 3);
    let text = "use crate::{\n    sip,\n    call,\n};\nfn after() {}\n";
    let statements = statements(&self::source("src/sample.rs".into(), text));
    assert!(names_module(&statements[0].1, "call") && statements.len() == 2);

    assert!(names_module("use crate::call::Table;", "call"));
    assert!(names_module("use crate::{call, sip};", "call"));
    assert!(!names_module("use crate::{callee, sip};", "call"));
    assert!(!names_module("use crate::callee;", "call"));
    assert!(!names_module("fn call(crate_name: u8)", "call"));
}
