//! What is stored, as JSON, and the lines of `ringway dump` and `ringway load`.
//!
//! ```json
//! {"number": "1004",
//!  "ha1": {"sha256": "…64 hex digits…", "md5": "…32 hex digits…"},
//!  "contact": "sip:1004@192.0.2.136:5060",
//!  "no_answer": "1005", "busy": {"target": "sip:1006@192.0.2.9", "active": false}, "after_s": 20,
//!  "headers": "diversion", "privacy": "full",
//!  "bindings": [{"uri": "sip:1004@198.51.100.7:5060", "destination": "198.51.100.7:5060",
//!                "listener": "192.0.2.60:5060", "q": 0.5, "expires_at": 1767225600,
//!                "call_id": "8c1f6a52e0b7d934", "cseq": 7,
//!                "path": "<sip:192.0.2.9;lr>", "instance": "<urn:uuid:…>", "reg_id": 1}],
//!  "revision": 1767222000000000}
//! ```
//!
//! Only `number` must stand in a line; of a binding `uri`, `destination` and `expires_at` must. Left out,
//! `q` is 1 and the rest is none. `ha1` is H(number ":" realm ":" password) for each algorithm (RFC 7616
//! §3.4.2); `unconditional`, `busy`, `no_answer`, `not_registered` and `not_reachable` are targets, or
//! objects where they are not active; `headers` is a form of history; `expires_at` counts seconds since
//! 1970; `call_id` stands for the REGISTER's Call-ID; `listener` is the address that the REGISTER came in
//! by; `revision` is written by dump and not looked at by load.
//!
//! A store keeps the subscriber's part and the bindings' part apart, since a REGISTER changes the latter
//! alone; each has its own `revision`, and the number is their key. Fields that a later version adds are
//! passed over in a store; a line that has them is refused, since what it says would be lost.

mod rules;

pub use rules::{Headers, Privacy, RuleDocument};

use super::Record;
use crate::clock::UnixSeconds;
use crate::config;
use crate::directory::{Binding, Condition, Credentials, Extras, Q_MAX, Subscriber};
use crate::outbox::ListenerId;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;

/// Why a document was refused, in a few words.
pub type Reason = String;

/// A subscriber's part.
#[derive(Debug, Default, Serialize, Deserialize)]
struct SubscriberDocument<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ha1: Option<Ha1Document>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    contact: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unconditional: Option<RuleDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    busy: Option<RuleDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    no_answer: Option<RuleDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_registered: Option<RuleDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_reachable: Option<RuleDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after_s: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    headers: Option<Headers>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    privacy: Option<Privacy>,
    #[serde(default, skip_serializing_if = "is_zero")]
    revision: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Ha1Document {
    sha256: Hex<32>,
    md5: Hex<16>,
}

/// A number's bindings.
#[derive(Debug, Default, Serialize, Deserialize)]
struct BindingsDocument<'a> {
    revision: u64,
    #[serde(borrow)]
    bindings: Vec<BindingDocument<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct BindingDocument<'a> {
    #[serde(borrow)]
    uri: Cow<'a, str>,
    destination: SocketAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    listener: Option<SocketAddr>,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    q: f64,
    expires_at: u64,
    #[serde(default)]
    call_id: Hex<8>,
    #[serde(default)]
    cseq: u32,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    path: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    instance: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "is_zero")]
    reg_id: u32,
}

/// A whole number: a line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LineDocument<'a> {
    #[serde(borrow)]
    number: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ha1: Option<Ha1Document>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    contact: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unconditional: Option<RuleDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    busy: Option<RuleDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    no_answer: Option<RuleDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_registered: Option<RuleDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_reachable: Option<RuleDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after_s: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    headers: Option<Headers>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    privacy: Option<Privacy>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    bindings: Option<Vec<BindingDocument<'a>>>,
    #[serde(default, skip_serializing_if = "is_zero")]
    revision: u64,
}

/// The known fields within a line's fields.
const HA1_FIELDS: [&str; 2] = ["sha256", "md5"];
const BINDING_FIELDS: [&str; 10] =
    ["uri", "destination", "listener", "q", "expires_at", "call_id", "cseq", "path", "instance", "reg_id"];

/// A line of `ringway load`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub number: Box<str>,
    pub subscriber: Subscriber,
    /// `None`: the line says nothing of bindings.
    pub bindings: Option<Box<[Binding]>>,
}

/// Writes a subscriber's part.
pub fn write_subscriber(out: &mut Vec<u8>, subscriber: &Subscriber, revision: u64) {
    write(out, &SubscriberDocument { revision, ..SubscriberDocument::of(subscriber) });
}

/// Writes the bindings' part. `listeners` are the server's.
pub fn write_bindings(out: &mut Vec<u8>, bindings: &[Binding], revision: u64, listeners: &[SocketAddr]) {
    let bindings = bindings.iter().map(|binding| BindingDocument::of(binding, listeners)).collect();
    write(out, &BindingsDocument { revision, bindings });
}

/// Writes a record as a line, without the line's end; `None`: it has no subscriber of its own.
#[must_use]
pub fn write_line(record: &Record, listeners: &[SocketAddr]) -> Option<Vec<u8>> {
    let document = SubscriberDocument::of(record.subscriber.as_ref()?);
    let bindings = record.bindings.iter().map(|binding| BindingDocument::of(binding, listeners));
    let mut out = Vec::with_capacity(512);
    let line = LineDocument {
        number: Cow::Borrowed(&record.number),
        ha1: document.ha1,
        contact: document.contact,
        unconditional: document.unconditional,
        busy: document.busy,
        no_answer: document.no_answer,
        not_registered: document.not_registered,
        not_reachable: document.not_reachable,
        after_s: document.after_s,
        headers: document.headers,
        privacy: document.privacy,
        bindings: (!record.bindings.is_empty()).then(|| bindings.collect()),
        revision: record.revision,
    };
    write(&mut out, &line);
    Some(out)
}

/// Reads a subscriber's part and its revision.
///
/// # Errors
/// It is not what [`write_subscriber`] writes.
pub fn read_subscriber(number: &str, text: &[u8]) -> Result<(Subscriber, u64), Reason> {
    let document: SubscriberDocument<'_> = serde_json::from_slice(text).map_err(reason)?;
    let revision = document.revision;
    Ok((document.subscriber(number)?, revision))
}

/// Reads the bindings' part and its revision.
///
/// # Errors
/// It is not what [`write_bindings`] writes.
pub fn read_bindings(text: &[u8], listeners: &[SocketAddr]) -> Result<(Box<[Binding]>, u64), Reason> {
    let document: BindingsDocument<'_> = serde_json::from_slice(text).map_err(reason)?;
    let bindings = document.bindings.into_iter().map(|binding| binding.binding(listeners));
    Ok((bindings.collect::<Result<_, _>>()?, document.revision))
}

/// Reads a line.
///
/// # Errors
/// It is not JSON, has fields that are not known, or says what makes no sense for a subscriber.
pub fn read_line(text: &str, listeners: &[SocketAddr]) -> Result<Line, Reason> {
    let line: LineDocument<'_> = serde_json::from_str(text).map_err(reason)?;
    if line.ha1.is_some() || line.bindings.is_some() {
        only_known_fields(text)?;
    }
    let (number, bindings) = (line.number, line.bindings);
    let mut document = SubscriberDocument {
        ha1: line.ha1,
        contact: line.contact,
        unconditional: line.unconditional,
        busy: line.busy,
        no_answer: line.no_answer,
        not_registered: line.not_registered,
        not_reachable: line.not_reachable,
        after_s: line.after_s,
        headers: line.headers,
        privacy: line.privacy,
        revision: 0,
    };
    for (condition, rule) in document.rules() {
        rule.as_ref().map_or(Ok(()), |rule| rule.all_known(condition))?;
    }
    let subscriber = document.subscriber(&number)?;
    config::check_subscriber(&subscriber)?;
    let bindings = bindings.map(|bindings| {
        bindings.into_iter().map(|binding| binding.binding(listeners)).collect::<Result<_, _>>()
    });
    Ok(Line { number: subscriber.number.clone(), subscriber, bindings: bindings.transpose()? })
}

/// Looks into a line's objects; the line's own fields are known.
fn only_known_fields(text: &str) -> Result<(), Reason> {
    let line: Value = serde_json::from_str(text).map_err(reason)?;
    let bindings = line.get("bindings").and_then(Value::as_array).into_iter().flatten();
    let objects = line.get("ha1").into_iter().map(|ha1| (ha1, &HA1_FIELDS[..]));
    for (object, known) in objects.chain(bindings.map(|binding| (binding, &BINDING_FIELDS[..]))) {
        let fields = object.as_object().into_iter().flat_map(|object| object.keys());
        if let Some(field) = fields.into_iter().find(|field| !known.contains(&field.as_str())) {
            return Err(format!("unknown field {field:?}, expected one of {}", known.join(", ")));
        }
    }
    Ok(())
}

fn write(out: &mut Vec<u8>, document: &impl Serialize) {
    // cannot fail: the keys are texts, the numbers finite, and a `Vec` takes all that is written to it.
    serde_json::to_writer(out, document).expect("a document");
}

fn reason(error: serde_json::Error) -> Reason {
    error.to_string()
}

impl<'a> SubscriberDocument<'a> {
    fn of(subscriber: &'a Subscriber) -> SubscriberDocument<'a> {
        let ha1 = |credentials: &Credentials| Ha1Document {
            sha256: Hex(credentials.sha256),
            md5: Hex(credentials.md5),
        };
        let rule = |condition| RuleDocument::of(&subscriber.forwarding, condition);
        SubscriberDocument {
            ha1: subscriber.credentials.as_deref().map(ha1),
            contact: subscriber.contact.as_ref().map(|contact| Cow::Borrowed(&*contact.uri)),
            unconditional: rule(Condition::Unconditional),
            busy: rule(Condition::Busy),
            no_answer: rule(Condition::NoAnswer),
            not_registered: rule(Condition::NotRegistered),
            not_reachable: rule(Condition::NotReachable),
            after_s: subscriber.after_ms.map(|ms| ms / 1_000),
            headers: subscriber.history.map(Headers),
            privacy: subscriber.is_private.then_some(Privacy(true)),
            revision: 0,
        }
    }

    fn rules(&mut self) -> [(Condition, &mut Option<RuleDocument>); 5] {
        [
            (Condition::Unconditional, &mut self.unconditional),
            (Condition::Busy, &mut self.busy),
            (Condition::NoAnswer, &mut self.no_answer),
            (Condition::NotRegistered, &mut self.not_registered),
            (Condition::NotReachable, &mut self.not_reachable),
        ]
    }

    fn subscriber(mut self, number: &str) -> Result<Subscriber, Reason> {
        let mut subscriber = Subscriber::new(number);
        for (condition, rule) in self.rules() {
            if let Some(rule) = rule.take() {
                subscriber.forwarding.set(rule.rule(condition)?);
            }
        }
        if let Some(Ha1Document { sha256, md5 }) = self.ha1 {
            subscriber.credentials = Some(Box::new(Credentials { sha256: sha256.0, md5: md5.0 }));
        }
        if let Some(contact) = self.contact {
            let destination = config::contact_address(&contact).map_err(|why| format!("contact: {why}"))?;
            subscriber = subscriber.at(&contact, destination);
        }
        subscriber.history = self.headers.map(|headers| headers.0);
        subscriber.is_private = self.privacy.unwrap_or_default().0;
        subscriber.after_ms = self.after_s.map(|seconds| seconds.saturating_mul(1_000));
        Ok(subscriber)
    }
}

impl<'a> BindingDocument<'a> {
    fn of(binding: &'a Binding, listeners: &[SocketAddr]) -> BindingDocument<'a> {
        let extras = binding.extras.as_deref();
        BindingDocument {
            uri: Cow::Borrowed(&binding.uri),
            destination: binding.destination.address(),
            listener: listeners.get(usize::from(binding.listener.0)).copied(),
            q: f64::from(binding.q) / f64::from(Q_MAX),
            expires_at: binding.expires_at.0,
            call_id: Hex(binding.call_id.to_be_bytes()),
            cseq: binding.cseq,
            path: Cow::Borrowed(extras.map_or("", |extras| &extras.path)),
            instance: Cow::Borrowed(extras.map_or("", |extras| &extras.instance)),
            reg_id: extras.map_or(0, |extras| extras.reg_id),
        }
    }

    fn binding(self, listeners: &[SocketAddr]) -> Result<Binding, Reason> {
        if !self.uri.bytes().all(|byte| byte.is_ascii_graphic()) || self.uri.is_empty() {
            return Err(format!("uri {:?}: not a URI", self.uri));
        }
        if !(0.0..=1.0).contains(&self.q) {
            return Err(format!("q {}: not from 0 to 1", self.q));
        }
        let has_extras = !self.path.is_empty() || !self.instance.is_empty() || self.reg_id != 0;
        let extras = || Extras {
            path: self.path.as_ref().into(),
            instance: self.instance.as_ref().into(),
            reg_id: self.reg_id,
        };
        Ok(Binding {
            uri: self.uri.as_ref().into(),
            destination: self.destination.into(),
            listener: listener(self.listener, self.destination, listeners),
            // From 0 to 1,000, checked above.
            q: (self.q * f64::from(Q_MAX)).round() as u16,
            expires_at: UnixSeconds(self.expires_at),
            call_id: u64::from_be_bytes(self.call_id.0),
            cseq: self.cseq,
            extras: has_extras.then(extras).map(Box::new),
        })
    }
}

/// The listener with this address; one that is not ours (any more) is replaced by the first that reaches the
/// destination.
fn listener(address: Option<SocketAddr>, destination: SocketAddr, listeners: &[SocketAddr]) -> ListenerId {
    let same = |own: &SocketAddr| Some(*own) == address;
    let reaches = |own: &SocketAddr| own.is_ipv4() == destination.is_ipv4();
    let place = listeners.iter().position(same).or_else(|| listeners.iter().position(reaches));
    // There are at most `limits::LISTENERS_MAX`.
    ListenerId(place.unwrap_or(0) as u8)
}

/// Bytes as hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hex<const N: usize>([u8; N]);

impl<const N: usize> Default for Hex<N> {
    fn default() -> Hex<N> {
        Hex([0; N])
    }
}

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = [0u8; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        let text = std::str::from_utf8(text.get(..2 * N).unwrap_or_default()).unwrap_or_default();
        serializer.serialize_str(text)
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Hex<N>, D::Error> {
        deserializer.deserialize_str(HexVisitor)
    }
}

struct HexVisitor<const N: usize>;

impl<const N: usize> Visitor<'_> for HexVisitor<N> {
    type Value = Hex<N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} hexadecimal digits", 2 * N)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Hex<N>, E> {
        let refuse = || E::invalid_value(serde::de::Unexpected::Str(text), &self);
        if text.len() != 2 * N {
            return Err(refuse());
        }
        let mut bytes = [0; N];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else { return Err(refuse()) };
            *byte = (high << 4 | low) as u8;
        }
        Ok(Hex(bytes))
    }
}

fn one() -> f64 {
    1.0
}

#[expect(clippy::trivially_copy_pass_by_ref, clippy::float_cmp, reason = "serde's form; 1 is exact")]
fn is_one(q: &f64) -> bool {
    *q == 1.0
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listeners() -> [SocketAddr; 2] {
        ["127.0.0.60:5060", "[::1]:5060"].map(|address| address.parse().unwrap())
    }

    fn record() -> Record {
        let mut subscriber =
            Subscriber::new("1004").at("sip:1004@192.0.2.136", "192.0.2.136:5060".parse().unwrap());
        subscriber.credentials = Some(Box::new(Credentials { sha256: [0xa5; 32], md5: [0x0f; 16] }));
        subscriber.forwarding.forward(Condition::NoAnswer, "1005");
        subscriber.after_ms = Some(20_000);
        let binding = Binding {
            uri: "sip:1004@[2001:db8::7];ob".into(),
            destination: SocketAddr::new("2001:db8::7".parse().unwrap(), 5060).into(),
            listener: ListenerId(1),
            q: 507,
            expires_at: UnixSeconds(1_767_225_600),
            call_id: 0x0123_4567_89ab_cdef,
            cseq: u32::MAX,
            extras: Some(Box::new(Extras {
                path: "<sip:192.0.2.9;lr>, \"x\" <sip:192.0.2.8>".into(),
                instance: "<urn:uuid:1>".into(),
                reg_id: 3,
            })),
        };
        let plain = Binding { extras: None, q: Q_MAX, ..binding.clone() };
        Record {
            number: "1004".into(),
            subscriber: Some(subscriber),
            bindings: [binding, plain].into(),
            revision: 7,
        }
    }

    #[test]
    fn what_is_written_reads_as_the_same() {
        let record = record();
        let line = String::from_utf8(write_line(&record, &listeners()).unwrap()).unwrap();
        let read = read_line(&line, &listeners()).unwrap();
        assert_eq!(Some(read.subscriber), record.subscriber);
        assert_eq!(read.bindings.as_ref(), Some(&record.bindings));
        let mut text = Vec::new();
        write_bindings(&mut text, &record.bindings, 8, &listeners());
        assert_eq!(read_bindings(&text, &listeners()), Ok((record.bindings.clone(), 8)));
        text.clear();
        write_subscriber(&mut text, record.subscriber.as_ref().unwrap(), 9);
        assert_eq!(read_subscriber("1004", &text), Ok((record.subscriber.unwrap(), 9)));
    }

    #[test]
    fn every_q_survives() {
        for q in 0..=Q_MAX {
            let binding = Binding { q, ..record().bindings[0].clone() };
            let mut text = Vec::new();
            write_bindings(&mut text, &[binding], 1, &listeners());
            assert_eq!(read_bindings(&text, &listeners()).unwrap().0[0].q, q);
        }
    }

    #[test]
    fn a_binding_of_a_listener_that_is_gone_goes_out_by_one_that_reaches_it() {
        let mut text = Vec::new();
        write_bindings(&mut text, &record().bindings, 1, &listeners());
        let others = ["192.0.2.1:5060", "[::2]:5060"].map(|address| address.parse().unwrap());
        assert_eq!(read_bindings(&text, &others).unwrap().0[0].listener, ListenerId(1));
        let swapped = [listeners()[1], listeners()[0]];
        assert_eq!(read_bindings(&text, &swapped).unwrap().0[0].listener, ListenerId(0));
    }

    #[test]
    fn a_line_that_makes_no_sense_is_refused_with_the_reason() {
        for (line, part) in [
            ("", "EOF"),
            ("{}", "number"),
            (r#"{"number":"10 04"}"#, "number"),
            (r#"{"number":"1004","password":"x"}"#, "unknown field `password`"),
            (r#"{"number":"1004","no_answer":"1004"}"#, "itself"),
            (r#"{"number":"1004","after_s":4}"#, "after"),
            (r#"{"number":"1004","contact":"tel:1"}"#, "contact"),
            (r#"{"number":"1004","ha1":{"sha256":"00","md5":""}}"#, "64 hexadecimal digits"),
            (
                r#"{"number":"1","bindings":[{"uri":"x","destination":"1.2.3.4:5","expires_at":1,"z":1}]}"#,
                "\"z\"",
            ),
            (
                r#"{"number":"1","bindings":[{"uri":"x","destination":"1.2.3.4:5","expires_at":1,"q":2}]}"#,
                "q 2",
            ),
            (r#"{"number":"1","bindings":[{"uri":" ","destination":"1.2.3.4:5","expires_at":1}]}"#, "uri"),
        ] {
            let refused = read_line(line, &[]).expect_err(line);
            assert!(refused.contains(part), "{line}: {refused}");
        }
    }

    #[test]
    fn fields_of_a_later_version_are_passed_over_in_a_store() {
        let read = read_subscriber("1004", br#"{"no_answer":"1005","colour":"red","revision":4}"#);
        let mut expected = Subscriber::new("1004");
        expected.forwarding.forward(Condition::NoAnswer, "1005");
        assert_eq!(read, Ok((expected, 4)));
    }
}
