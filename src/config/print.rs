//! The configuration for people: a summary, a TOML file with origins, and the README's table.

use super::Config;
use super::layer::{Raw, Values};
use super::options::{Kind, Places, Setting, TABLE};
use super::subscriber::{Entry, PASSWORD};
use super::value::{cpu_list, without_password};
use crate::directory::{Condition, Subscriber};
use crate::net::RtpAddress;
use crate::store::Place;
use std::fmt::Write;

/// Forwarding subscribers that the summary names one by one.
const FORWARDS_SHOWN: usize = 8;

/// Listeners, shards, CPUs and subscribers, a line each.
pub fn summary(config: &Config) -> String {
    let mut lines = Vec::new();
    for listener in &config.settings.listeners {
        let address = listener.address;
        lines.push(match address.to_string() == listener.sent_by {
            true => format!("listens on udp:{address}"),
            false => format!("listens on udp:{address}, advertised as {}", listener.sent_by),
        });
    }
    let (shards, cpus) = (config.net.cpus.len(), cpu_list(&config.net.cpus));
    lines.push(match shards {
        1 => format!("1 shard, on CPU {cpus}"),
        _ => format!("{shards} shards, on CPUs {cpus}"),
    });
    lines.push(media(config));
    lines.push(authentication(config));
    lines.push(store(&config.store.place));
    if let Some(cdr) = &config.cdr {
        lines.push(format!("writes call detail records to {}", cdr.directory.display()));
    }
    lines.push(subscribers(config));
    lines.extend(routes(config));
    lines.join("\n")
}

fn media(config: &Config) -> String {
    if let Some(rtp) = &config.net.rtp {
        let address = |address: &RtpAddress| match address.local == address.advertised {
            true => address.local.to_string(),
            false => format!("{}, advertised as {}", address.local, address.advertised),
        };
        let addresses: Vec<_> = rtp.addresses.iter().map(address).collect();
        let (first, last) = (rtp.first_port, rtp.last_port);
        return format!("anchors media on UDP ports {first} to {last} of {}", addresses.join(" and "));
    }
    if config.engines.is_empty() {
        return "lets media pass: the parties send to each other".to_owned();
    }
    let nodes = config.engines.iter().map(|node| format!("udp:{} (weight {})", node.address, node.weight));
    format!("media is anchored by rtpengine at {}", nodes.collect::<Vec<_>>().join(", "))
}

fn authentication(config: &Config) -> String {
    let auth = &config.settings.auth;
    let who = match auth.required {
        true => "everyone has to authenticate",
        false => "only numbers with a password have to authenticate",
    };
    let names: Vec<_> = auth.algorithms.iter().map(|algorithm| algorithm.name()).collect();
    let mut text = format!("{who}, in realm \"{}\" by {}", auth.realm, names.join(" or "));
    if !auth.trusted.is_empty() {
        let networks: Vec<_> = auth.trusted.iter().map(ToString::to_string).collect();
        let _ = write!(text, "; trusts {}", networks.join(", "));
    }
    let without = config.subscribers.iter().filter(|subscriber| subscriber.credentials.is_none()).count();
    if auth.required && without > 0 {
        let _ = write!(text, "; {without} without a password can be called only");
    }
    text
}

fn store(place: &Place) -> String {
    match place {
        Place::Memory => {
            "warning: bindings and changes are kept in memory and gone at the end; --data-dir keeps them"
                .to_owned()
        }
        Place::Directory(directory) => format!("keeps subscribers in {}", directory.display()),
        Place::Redis(url) => format!("keeps subscribers on {}", without_password(url)),
    }
}

fn subscribers(config: &Config) -> String {
    let all = &config.subscribers;
    let mut text = match (all.len(), config.lab) {
        (0, _) => return "no subscriber is configured".to_owned(),
        (1, false) => "1 subscriber".to_owned(),
        (count, false) => format!("{count} subscribers"),
        (count, true) => format!("{count} subscribers, the lab's because none is configured"),
    };
    let before = text.len();
    for condition in Condition::ALL {
        text.push_str(&forwards(config, condition));
    }
    if text.len() == before {
        text.push_str("; none forwards");
    }
    text
}

/// Who forwards under a condition; empty: nobody.
fn forwards(config: &Config, condition: Condition) -> String {
    let target = |subscriber: &'_ Subscriber| subscriber.forwarding.target(condition).map(str::to_owned);
    let mut forwarding: Vec<(&Subscriber, String)> =
        config.subscribers.iter().filter_map(|subscriber| Some((subscriber, target(subscriber)?))).collect();
    forwarding.sort_by(|(left, _), (right, _)| left.number.cmp(&right.number));
    if forwarding.is_empty() {
        return String::new();
    }
    let forwards = forwarding.iter().take(FORWARDS_SHOWN).map(|(subscriber, target)| {
        let seconds = subscriber.after_ms.unwrap_or(config.settings.no_answer_ms) / 1_000;
        match condition {
            Condition::NoAnswer => format!("{} to {target} after {seconds} s", subscriber.number),
            _ => format!("{} to {target}", subscriber.number),
        }
    });
    let when = match condition {
        Condition::Unconditional => "always",
        Condition::Busy => "when busy",
        Condition::NoAnswer => "on no answer",
        Condition::NotRegistered => "when not registered",
        Condition::NotReachable => "when not reachable",
    };
    let mut text = format!("; {when} forwards {}", forwards.collect::<Vec<_>>().join(", "));
    if forwarding.len() > FORWARDS_SHOWN {
        let _ = write!(text, " and {} more", forwarding.len() - FORWARDS_SHOWN);
    }
    text
}

/// Where numbers go that no subscriber has; `None`: nowhere.
fn routes(config: &Config) -> Option<String> {
    let routes = config.settings.forwarding.routes.iter().map(|route| match &*route.prefix {
        "" => format!("all others to {}", route.host),
        prefix => format!("{prefix}… to {}", route.host),
    });
    let routes: Vec<_> = routes.collect();
    (!routes.is_empty()).then(|| format!("forwards to numbers beyond its own: {}", routes.join(", ")))
}

/// Every option with its value and, in a comment, its origin; read as a TOML file it gives the same values.
pub fn as_toml(values: &Values) -> String {
    let mut text = String::from("# Each value is followed by where it comes from.\n");
    let mut topic = "";
    for setting in TABLE.iter().filter(|setting| setting.kind != Kind::Subscriber) {
        let line = match (setting.places, values.written(setting.key)) {
            (Places::FlagOnly, _) => continue,
            (Places::NotInFile, [raw]) if raw.text.is_empty() => format!("# no --{}", setting.name),
            (Places::NotInFile, raws) => {
                let origin = origins(raws);
                let files: Vec<_> = raws.iter().map(|raw| quoted(&raw.text)).collect();
                format!("# --{} {}  # {origin}", setting.name, files.join(" "))
            }
            (Places::Everywhere, [raw]) if without_password(&raw.text) != raw.text => {
                let (shown, origin) =
                    (quoted(&without_password(&raw.text)), origins(std::slice::from_ref(raw)));
                format!("# {} = {shown}  # {origin}; its password is not shown", setting.name)
            }
            (Places::Everywhere, raws) => {
                format!("{} = {}  # {}", setting.name, toml_value(setting, raws), origins(raws))
            }
        };
        if topic != setting.topic {
            topic = setting.topic;
            let _ = write!(text, "\n# {topic}\n");
        }
        text.push_str(&line);
        text.push('\n');
    }
    for entry in &values.subscribers {
        text.push_str(&subscriber_table(entry));
    }
    text
}

fn subscriber_table(entry: &Entry) -> String {
    let mut text = format!("\n[[subscriber]]  # {}\n", entry.origin);
    for field in &entry.fields {
        if field.key == PASSWORD {
            text.push_str("# password is set\n");
            continue;
        }
        let value = match field.key {
            "after" => integer(&field.text),
            _ => quoted(&field.text),
        };
        text.push_str(&format!("{} = {value}\n", field.key));
    }
    text
}

/// Where the values come from, each origin once.
fn origins(raws: &[Raw]) -> String {
    let mut origins: Vec<String> = raws.iter().map(|raw| raw.origin.to_string()).collect();
    origins.dedup();
    origins.join(", ")
}

fn toml_value(setting: &Setting, raws: &[Raw]) -> String {
    let value = |raw: &Raw| match setting.kind {
        Kind::Switch => matches!(raw.text.as_str(), "true" | "1").to_string(),
        Kind::Number { .. } | Kind::Size { .. } => integer(&raw.text),
        _ => quoted(&raw.text),
    };
    if !setting.repeatable {
        return raws.last().map(value).unwrap_or_default();
    }
    // Where there is a default an empty text takes it away, and nothing at all would leave it.
    let is_said = |raw: &&Raw| !raw.text.is_empty() || !setting.default.is_empty();
    let values: Vec<_> = raws.iter().filter(is_said).map(value).collect();
    format!("[{}]", values.join(", "))
}

/// A TOML integer; a string where the text is not one as it stands, such as `4MiB` and `020`.
fn integer(text: &str) -> String {
    match text.parse::<u64>() {
        Ok(number) if number.to_string() == text => text.to_owned(),
        _ => quoted(text),
    }
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The README's table of options: one row per option in the table's order.
#[must_use]
pub fn markdown_table() -> String {
    let mut text = String::from("| option | default | unit | meaning |\n|---|---|---|---|\n");
    for setting in TABLE {
        let form = match setting.kind {
            Kind::Switch => String::new(),
            _ => format!(" {}", setting.form.replace('|', "\\|")),
        };
        let default = match setting.default {
            "" => "–".to_owned(),
            default => format!("`{default}`"),
        };
        let default = if setting.places == Places::FlagOnly { "–".to_owned() } else { default };
        let unit = if setting.unit.is_empty() { "–" } else { setting.unit };
        let mut help = setting.help.replace('|', "\\|");
        match setting.places {
            Places::FlagOnly => help.push_str(" (flag only)"),
            Places::NotInFile => help.push_str(" (flag or environment)"),
            Places::Everywhere => {}
        }
        if setting.repeatable {
            help.push_str(" (may be repeated)");
        }
        text.push_str(&format!("| `--{}{form}` | {default} | {unit} | {help} |\n", setting.name));
    }
    text
}
