//! Subscribers as the operator writes them: one text of `key=value` pairs, or one TOML table.

use super::layer::{Origin, Raw};
use super::options::{Key, Kind, NO_ANSWER_SECONDS, nearest};
use super::value::{self, Reason};
use super::{ConfigError, shown};
use crate::auth::digest;
use crate::directory::{Condition, Forwarding, HistoryForm, Subscriber};
use crate::limits::NUMBER_BYTES_MAX;
use crate::service::{self, NoTarget, Target, Wrong};
use crate::sip::Uri;
use crate::store::document::Privacy;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::LazyLock;

/// The keys of one subscriber, in the order they are printed.
pub const KEYS: [&str; 11] = [
    "number",
    PASSWORD,
    "contact",
    "unconditional",
    "busy",
    "no-answer",
    "not-registered",
    "not-reachable",
    "after",
    "headers",
    "privacy",
];

/// The port of a contact that names none (RFC 3261 §19.1.2).
const SIP_PORT: u16 = 5060;

/// The lab's phones: 1004 forwards to 1005.
const LAB: [&str; 3] = [
    "number=1003,contact=sip:1003@127.0.0.137:5060",
    "number=1004,contact=sip:1004@127.0.0.136:5060,no-answer=1005",
    "number=1005,contact=sip:1005@127.0.0.138:5060",
];

/// One subscriber as it was written.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The whole text on a command line or in the environment, for the error message: without the password.
    text: Option<String>,
    pub origin: Origin,
    pub fields: Vec<Field>,
}

/// One key of a subscriber.
#[derive(Clone, Debug)]
pub struct Field {
    /// One of [`KEYS`].
    pub key: &'static str,
    pub text: String,
    pub origin: Origin,
}

impl Field {
    /// The text as a message may show it.
    fn shown(&self) -> String {
        if self.key == PASSWORD { HIDDEN.to_owned() } else { shown(&self.text) }
    }
}

/// The key whose text nobody gets to see again.
pub const PASSWORD: &str = "password";

/// What stands for it in messages.
const HIDDEN: &str = "…";

/// A subscriber's text as a message may show it.
fn without_password(text: &str) -> String {
    let mut in_password = false;
    let hidden = |pair: &str| match pair.split_once('=') {
        Some((key, _)) if key.trim() == PASSWORD => {
            in_password = true;
            format!("{key}={HIDDEN}")
        }
        // What stands behind a comma in a password.
        other if in_password && !other.is_some_and(|(key, _)| KEYS.contains(&key.trim())) => {
            HIDDEN.to_owned()
        }
        _ => {
            in_password = false;
            pair.to_owned()
        }
    };
    text.split(',').map(hidden).collect::<Vec<_>>().join(",")
}

impl Entry {
    /// Reads `number=1004,contact=sip:…,no-answer=1005,after=20`.
    pub fn parse(raw: &Raw) -> Result<Entry, ConfigError> {
        let text = Some(without_password(&raw.text));
        let mut entry = Entry { text, origin: raw.origin.clone(), fields: Vec::new() };
        for pair in raw.text.split(',') {
            let Some((key, text)) = pair.split_once('=') else {
                if entry.fields.last().is_some_and(|field| field.key == PASSWORD) {
                    return Err(entry.refuse(
                        "a comma ends the password; give it in a [[subscriber]] table of the TOML file",
                    ));
                }
                return Err(entry.refuse(&format!("\"{}\" is not key=value", shown(pair))));
            };
            entry.push(key.trim(), text.trim(), raw.origin.clone())?;
        }
        Ok(entry)
    }

    /// An empty TOML table.
    pub fn at(origin: Origin) -> Entry {
        Entry { text: None, origin, fields: Vec::new() }
    }

    /// Adds one key; each may stand once.
    pub fn push(&mut self, key: &str, text: &str, origin: Origin) -> Result<(), ConfigError> {
        let Some(&known) = KEYS.iter().find(|known| **known == key) else {
            let nearest = nearest(key, KEYS).unwrap_or_default();
            let key = shown(key);
            return Err(
                self.refuse_at(&origin, &format!("unknown key {key}; the nearest known one is {nearest}"))
            );
        };
        if self.field(known).is_some() {
            return Err(self.refuse_at(&origin, &format!("{known} is given twice")));
        }
        self.fields.push(Field { key: known, text: text.to_owned(), origin });
        Ok(())
    }

    pub fn field(&self, key: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.key == key)
    }

    /// The error that names the subscriber as it was written.
    fn refuse(&self, reason: &str) -> ConfigError {
        self.refuse_at(&self.origin, reason)
    }

    /// The same, at the line of one of its keys.
    fn refuse_at(&self, origin: &Origin, reason: &str) -> ConfigError {
        let place = match &self.text {
            None => format!("{origin}: [[subscriber]]"),
            Some(text) => Raw { text: text.clone(), origin: origin.clone() }.place(Key::Subscriber.setting()),
        };
        ConfigError::new(format!("{place}: {reason}"))
    }

    /// The error that names one key of the subscriber, and the form it should have.
    fn refuse_field(&self, field: &Field, reason: &str) -> ConfigError {
        let expected = expected(field.key);
        if self.text.is_some() {
            return self.refuse(&format!("{}={}: {reason}; expected {expected}", field.key, field.shown()));
        }
        let (key, text, origin) = (field.key, field.shown(), &field.origin);
        ConfigError::new(format!("{origin}: [[subscriber]] {key} = {text}: {reason}; expected {expected}"))
    }

    fn required(&self, key: &str) -> Result<&Field, ConfigError> {
        let missing = || self.refuse(&format!("{key} is missing; expected {}", expected(key)));
        self.field(key).ok_or_else(missing)
    }

    fn subscriber(&self, realm: &str) -> Result<Subscriber, ConfigError> {
        let refused = |field, reason: Reason| self.refuse_field(field, &reason);
        let number = self.required("number")?;
        let mut subscriber = Subscriber::new(&number.text);
        if let Some(contact) = self.field("contact") {
            let peer = peer(&contact.text).map_err(|reason| refused(contact, reason))?;
            subscriber = subscriber.at(&contact.text, peer);
        }
        if let Some(password) = self.field(PASSWORD) {
            is_password(&password.text).map_err(|reason| refused(password, reason))?;
            let credentials = digest::credentials(&number.text, realm, &password.text);
            subscriber.credentials = Some(Box::new(credentials));
        }
        is_plain_number(&number.text).map_err(|reason| refused(number, reason))?;
        for condition in Condition::ALL {
            if let Some(target) = self.field(condition.name()) {
                is_target(&number.text, &target.text).map_err(|reason| refused(target, reason))?;
                subscriber.forwarding.forward(condition, &target.text);
            }
        }
        if let Some(field) = self.field("after") {
            subscriber.after_ms = Some(after_ms(&field.text).map_err(|reason| refused(field, reason))?);
        }
        if let Some(field) = self.field("headers") {
            let form = HistoryForm::named(&field.text);
            subscriber.history = Some(form.ok_or_else(|| refused(field, "not offered".to_owned()))?);
        }
        if let Some(field) = self.field("privacy") {
            let privacy = Privacy::named(&field.text);
            subscriber.is_private = privacy.ok_or_else(|| refused(field, "not offered".to_owned()))?.0;
        }
        Ok(subscriber)
    }
}

/// What a key of a subscriber accepts, with an example.
fn expected(key: &str) -> String {
    match key {
        "number" => "a number, for example number=1004".to_owned(),
        PASSWORD => "a password of up to 128 printable characters; one with a comma stands in the TOML \
                     file only"
            .to_owned(),
        "contact" => {
            "a sip URI whose host is an IP address, for example contact=sip:1004@192.0.2.136:5060".to_owned()
        }
        "headers" => {
            format!("{}, for example headers=diversion", HistoryForm::ALL.map(HistoryForm::name).join(" or "))
        }
        "privacy" => "off or full, for example privacy=full".to_owned(),
        key if Condition::named(key).is_some() => format!(
            "a number of ours or one that a --route leads to, a sip URI or a tel URI, for example {key}=1005"
        ),
        _ => {
            let Kind::Number { min, max, .. } = NO_ANSWER_SECONDS else { return String::new() };
            format!("whole seconds from {min} to {max}, for example after=20")
        }
    }
}

/// Milliseconds of a subscriber's own no-answer timer.
fn after_ms(text: &str) -> Result<u32, Reason> {
    let Kind::Number { min, max, .. } = NO_ANSWER_SECONDS else {
        return Err("no bounds".to_owned());
    };
    Ok(value::number(text, min, max)? * 1_000)
}

/// A password as people can type it.
pub fn is_password(text: &str) -> Result<(), Reason> {
    match text {
        "" => Err("it is empty".to_owned()),
        text if text.chars().any(char::is_control) => Err("it has a control character".to_owned()),
        text if text.chars().count() > 128 => Err("it is longer than 128 characters".to_owned()),
        _ => Ok(()),
    }
}

/// A number as calls are looked up by it: a user part with its escapes decoded (RFC 3261 §19.1.4). One that
/// still had some would never be found.
fn is_plain_number(text: &str) -> Result<(), Reason> {
    is_number(text)?;
    if text.len() > NUMBER_BYTES_MAX {
        return Err(format!("it is longer than {NUMBER_BYTES_MAX} bytes"));
    }
    let is_escape = |window: &[u8]| window[0] == b'%' && window[1..].iter().all(u8::is_ascii_hexdigit);
    match text.as_bytes().windows(3).any(is_escape) {
        true => Err("it has an escape; write the character itself".to_owned()),
        false => Ok(()),
    }
}

/// A user part as RFC 3261 §25.1 has it, without password.
fn is_number(text: &str) -> Result<(), Reason> {
    let is_user = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/%#".contains(&byte);
    match text {
        "" => Err("it is empty".to_owned()),
        text if text.bytes().all(is_user) => Ok(()),
        _ => Err("not the user part of a sip URI".to_owned()),
    }
}

/// A condition's name as a member of a JSON object: `no_answer`.
#[must_use]
pub fn member(condition: Condition) -> String {
    condition.name().replace('-', "_")
}

/// What a target is read by where the server's own settings are not known.
static NO_SETTINGS: LazyLock<service::Settings> = LazyLock::new(service::Settings::default);

/// Whether a text can be a number's target, as far as that number alone shows it.
fn is_target(number: &str, target: &str) -> Result<(), Reason> {
    match NO_SETTINGS.target(target.as_bytes(), &mut [0; NUMBER_BYTES_MAX]) {
        Ok(Target::Number(own)) if own == number.as_bytes() => Err(Wrong::Itself.to_string()),
        // The host may be the server's own, or be reached from where it listens: that is not known here.
        Ok(_) | Err(NoTarget::HostName | NoTarget::Nobody) => Ok(()),
        Err(NoTarget::Empty) => Err("there is no target".to_owned()),
        Err(reason) => Err(reason.to_string()),
    }
}

/// Whether a subscriber that no option named makes sense by itself, and if not which field is wrong and why.
pub fn check(subscriber: &Subscriber) -> Result<(), Reason> {
    is_plain_number(&subscriber.number).map_err(|reason| format!("number: {reason}"))?;
    for rule in subscriber.forwarding.rules() {
        is_target(&subscriber.number, &rule.target)
            .map_err(|reason| format!("{}: {reason}", member(rule.condition)))?;
    }
    if let Some(contact) = &subscriber.contact
        && peer(&contact.uri).map_err(|reason| format!("contact: {reason}"))? != contact.destination
    {
        return Err("contact: it is reached at another address than it names".to_owned());
    }
    match (subscriber.after_ms, NO_ANSWER_SECONDS) {
        (Some(ms), Kind::Number { min, max, .. }) if !(min..=max).contains(&(ms / 1_000)) => {
            Err(format!("after_s: {}: expected whole seconds from {min} to {max}", ms / 1_000))
        }
        _ => Ok(()),
    }
}

/// Where a contact is reached: `sip:1004@192.0.2.136:5060`, user and port optional.
pub fn peer(contact: &str) -> Result<SocketAddr, Reason> {
    let rest = match contact.split_once(':') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("sip") => rest,
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("sips") => {
            return Err("sips needs TLS, which is not offered".to_owned());
        }
        _ => return Err("not a sip URI".to_owned()),
    };
    if !rest.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'"')) {
        return Err("a URI has no blanks, quotes, angle brackets or non-ASCII characters".to_owned());
    }
    // As the core will read it.
    let uri = Uri::parse(contact.as_bytes()).map_err(|_| "not a sip URI")?;
    if !uri.headers.is_empty() {
        return Err("header fields in a contact are not offered".to_owned());
    }
    let transport = uri.param("transport").unwrap_or(b"udp");
    if !transport.eq_ignore_ascii_case(b"udp") {
        let transport = String::from_utf8_lossy(transport);
        return Err(format!("transport {transport} is not offered, only udp is"));
    }
    if let Some((user, _)) = rest.split_once('@') {
        is_number(user)?;
    }
    let ip = uri.ip().ok_or("the host is not an IP address")?;
    match SocketAddr::new(ip, uri.port.unwrap_or(SIP_PORT)) {
        peer if peer.port() == 0 => Err("port 0 cannot be sent to".to_owned()),
        peer if peer.ip().is_unspecified() => Err("nobody is reached at that address".to_owned()),
        peer => Ok(peer),
    }
}

/// The lab's phones, as if someone had written them.
pub fn lab() -> Result<Vec<Entry>, ConfigError> {
    LAB.iter().map(|text| Entry::parse(&Raw { text: (*text).to_owned(), origin: Origin::Lab })).collect()
}

/// All subscribers, checked against each other: no number twice, no forwarding that [`service::check`] would
/// refuse. Passwords are hashed for this realm.
pub fn subscribers(
    entries: &[Entry],
    realm: &str,
    settings: &service::Settings,
) -> Result<Vec<Subscriber>, ConfigError> {
    let mut subscribers = Vec::new();
    let mut by_number: HashMap<Box<str>, usize> = HashMap::new();
    for (place, entry) in entries.iter().enumerate() {
        let subscriber = entry.subscriber(realm)?;
        if let Some(first) = by_number.insert(subscriber.number.clone(), place) {
            let (number, first) = (&subscriber.number, &entries[first].origin);
            return Err(
                entry.refuse(&format!("the number {number} is already taken ({first}); give each once"))
            );
        }
        subscribers.push(subscriber);
    }
    let known = |number: &str| -> Option<Forwarding> {
        by_number.get(number).map(|place| subscribers[*place].forwarding.clone())
    };
    let none = Forwarding::default();
    for (entry, subscriber) in entries.iter().zip(&subscribers) {
        let (number, forwarding) = (&subscriber.number, &subscriber.forwarding);
        let Err((condition, wrong)) = service::check(settings, number, (&none, forwarding), &known) else {
            continue;
        };
        let mut reason = wrong.to_string();
        if let Wrong::NoWay(target) = &wrong
            && let Some(nearest) = nearest(target, by_number.keys().filter(|known| *known != number))
        {
            reason.push_str(&format!(" (the nearest is {nearest})"));
        }
        // A rule comes from its field.
        return Err(match entry.field(condition.name()) {
            Some(field) => entry.refuse_field(field, &reason),
            None => entry.refuse(&reason),
        });
    }
    Ok(subscribers)
}
