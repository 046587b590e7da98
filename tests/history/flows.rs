//! The RFCs' own flows as what came with an INVITE: every one passes through a forwarded call.

use crate::{BOTH, DIVERSION, HISTORY_INFO, form, forwarded, passed_on};
use ringway::sip::name_addr::split_list;
use std::path::PathBuf;

#[expect(dead_code, reason = "each test file uses its part of the folder")]
#[path = "../corpora/folder.rs"]
mod folder;

const FLOWS: [&str; 6] = ["rfc7544", "rfc7044", "rfc5806", "rfc4458", "rfc6044", "rfc4244"];

/// The INVITEs of the flows that tell of diversions: their Diversion and History-Info lines.
fn flows() -> Vec<(PathBuf, Vec<String>)> {
    let mut found = Vec::new();
    for rfc in FLOWS {
        let Some(folder) = folder::corpus("history", &format!("rfc-flows/{rfc}")) else { continue };
        let files = folder::files(&folder);
        for file in files.into_iter().filter(|file| file.extension().is_some_and(|ext| ext == "sip")) {
            let text = String::from_utf8_lossy(&std::fs::read(&file).expect("a file")).into_owned();
            let lines = lines_of(&text);
            if text.starts_with("INVITE ") && !lines.is_empty() {
                found.push((file, lines));
            }
        }
    }
    found
}

/// The lines of interest, folds undone.
fn lines_of(text: &str) -> Vec<String> {
    let text = text.replace("\r\n", "\n");
    let mut lines: Vec<String> = Vec::new();
    for line in text.split('\n').take_while(|line| !line.is_empty()) {
        match lines.last_mut() {
            Some(last) if line.starts_with([' ', '\t']) => *last += &format!(" {}", line.trim()),
            _ => lines.push(line.into()),
        }
    }
    let is_told = |line: &String| {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        ["diversion", "history-info"].contains(&name.as_str())
    };
    let written = |line: String| match line.split_once(':') {
        Some((name, value)) => format!("{}: {}", name.trim(), value.trim()),
        None => line,
    };
    lines.into_iter().filter(is_told).map(written).collect()
}

/// The values that came under a name.
fn came(lines: &[String], name: &str) -> Vec<String> {
    let values = lines.iter().filter_map(|line| line.split_once(':'));
    let values = values.filter(|(other, _)| other.eq_ignore_ascii_case(name));
    let text = |item: &[u8]| String::from_utf8_lossy(item).into_owned();
    values.flat_map(|(_, value)| split_list(value.as_bytes()).map(text).collect::<Vec<_>>()).collect()
}

#[test]
fn every_flow_passes_through_a_forwarded_call_without_loss() {
    for (file, lines) in flows() {
        let name = file.display();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let owned: Vec<String> = lines.iter().map(|line| line.to_string()).collect();
        let c = forwarded(form(BOTH), &lines);
        for field in ["Diversion", "History-Info"] {
            let (came, went) = (came(&owned, field), c.list(field));
            let kept =
                if field == "Diversion" { &went[went.len() - came.len()..] } else { &went[..came.len()] };
            let is_private = came.iter().any(|entry| entry.to_ascii_lowercase().contains("privacy="));
            assert!(is_private || kept == came, "{name}: {came:?} {went:?}");
            assert!(went.len() > came.len(), "{name}: ours stand there too");
        }
    }
}

#[test]
fn every_flows_diversion_is_told_in_either_form() {
    let mut count = 0;
    for (file, lines) in flows() {
        let diversions = came(&lines, "Diversion").len();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let b = passed_on(form(HISTORY_INFO), &lines);
        let is_diverted = diversions > 0 && !lines.iter().any(|line| line.starts_with("History-Info"));
        if is_diverted {
            assert_eq!(b.list("History-Info").len(), diversions + 1, "{}", file.display());
            assert_eq!(passed_on(form(DIVERSION), &lines).list("Diversion").len(), diversions);
            count += 1;
        } else {
            assert!(b.has("History-Info"), "{}", file.display());
        }
    }
    eprintln!("{count} flows with Diversion");
}
