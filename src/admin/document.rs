//! Subscribers, bindings and calls as JSON.

use super::forwarding::{Change, ForwardingDocument, ForwardingInput};
use super::problem::Problem;
use crate::auth::digest::credentials;
use crate::cdr::FiguresRow;
use crate::clock::UnixSeconds;
use crate::config;
use crate::directory::{Binding, Credentials, Entry, Q_MAX, StaticContact, Subscriber};
use crate::mail::{LiveCall, LiveLeg, Stage};
use crate::store::document::{Headers, Privacy, RuleDocument};
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use std::net::SocketAddr;

/// A subscriber as a client writes it. A member that is missing and one that is null differ: the first
/// leaves things as they are, the second takes them away.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubscriberInput {
    pub number: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub password: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    pub contact: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    pub unconditional: Option<Option<RuleDocument>>,
    #[serde(default, deserialize_with = "given")]
    pub busy: Option<Option<RuleDocument>>,
    #[serde(default, deserialize_with = "given")]
    pub no_answer: Option<Option<RuleDocument>>,
    #[serde(default, deserialize_with = "given")]
    pub not_registered: Option<Option<RuleDocument>>,
    #[serde(default, deserialize_with = "given")]
    pub not_reachable: Option<Option<RuleDocument>>,
    #[serde(default, deserialize_with = "given")]
    pub after_s: Option<Option<u32>>,
    #[serde(default, deserialize_with = "given")]
    pub headers: Option<Option<Headers>>,
    #[serde(default, deserialize_with = "given")]
    pub privacy: Option<Option<Privacy>>,
}

/// What a client wants of a subscriber, checked.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    credentials: Option<Option<Box<Credentials>>>,
    contact: Option<Option<Box<StaticContact>>>,
    forwarding: Change,
}

/// A subscriber as clients see it: without anything of its password.
#[derive(Debug, Serialize)]
pub struct SubscriberDocument {
    number: Box<str>,
    has_password: bool,
    contact: Option<Box<str>>,
    #[serde(flatten)]
    forwarding: ForwardingDocument,
    /// It is set in the configuration and cannot be changed here.
    configured: bool,
    /// How many contacts are registered.
    bindings: usize,
    /// Counts its changes.
    revision: u64,
}

#[derive(Debug, Serialize)]
pub struct BindingDocument {
    uri: Box<str>,
    destination: String,
    listener: Option<String>,
    q: f64,
    expires_at: u64,
    expires_s: u64,
    cseq: u32,
    path: Option<Box<str>>,
    instance: Option<Box<str>>,
    reg_id: Option<u32>,
}

#[derive(Debug, Serialize)]
pub struct CallDocument {
    id: String,
    stage: &'static str,
    caller: Option<Box<str>>,
    source: String,
    called: Box<str>,
    diverted_by: Vec<Box<str>>,
    record_id: Box<str>,
    started_at: u64,
    answered_at: Option<u64>,
    media: Option<FiguresRow>,
    legs: Vec<LegDocument>,
}

#[derive(Debug, Serialize)]
pub struct LegDocument {
    destination: String,
    stage: &'static str,
    media: Option<FiguresRow>,
}

/// A member that is there, null or not.
pub fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// Reads a request's body.
pub fn read<T: DeserializeOwned>(headers: &HeaderMap, body: &Bytes) -> Result<T, Problem> {
    let content = headers.get(CONTENT_TYPE).and_then(|content| content.to_str().ok()).unwrap_or_default();
    let media = content.split(';').next().unwrap_or_default().trim();
    let is_json = ["application/json", "application/merge-patch+json"];
    // A web page of somebody else's cannot send these without asking first.
    if !is_json.iter().any(|name| media.eq_ignore_ascii_case(name)) {
        let detail = "the body is JSON: send Content-Type: application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    serde_json::from_slice(body).map_err(|error| match error.is_data() {
        true => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
        false => Problem::bad_request(format!("the body is not JSON: {error}")),
    })
}

impl SubscriberInput {
    /// Reads the texts. Whether they make sense together and among the others is the keeper's to say.
    pub fn check(self, number: &str, realm: &str) -> Result<Wanted, Problem> {
        let wrong = |member: &str, reason: String| {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("{member}: {reason}"))
        };
        if self.number.as_ref().is_some_and(|own| own != number) {
            return Err(wrong("number", format!("the path names {number}; a number does not change")));
        }
        let credentials = match self.password {
            Some(Some(password)) => {
                config::check_password(&password).map_err(|reason| wrong("password", reason))?;
                Some(Some(Box::new(credentials(number, realm, &password))))
            }
            Some(None) => Some(None),
            None => None,
        };
        let contact = match self.contact {
            Some(Some(uri)) => {
                let destination = config::contact_address(&uri).map_err(|reason| wrong("contact", reason))?;
                Some(Some(Box::new(StaticContact { uri: uri.into(), destination })))
            }
            Some(None) => Some(None),
            None => None,
        };
        let forwarding = ForwardingInput {
            unconditional: self.unconditional,
            busy: self.busy,
            no_answer: self.no_answer,
            not_registered: self.not_registered,
            not_reachable: self.not_reachable,
            after_s: self.after_s,
            headers: self.headers,
            privacy: self.privacy,
        };
        Ok(Wanted { credentials, contact, forwarding: forwarding.check()? })
    }
}

impl Wanted {
    /// The same where what is missing is to be taken away; a password that nobody named stays.
    #[must_use]
    pub fn whole(self) -> Wanted {
        Wanted {
            credentials: self.credentials,
            contact: Some(self.contact.flatten()),
            forwarding: self.forwarding.whole(),
        }
    }

    /// Changes what is wanted otherwise.
    pub fn apply(&self, subscriber: &mut Subscriber) {
        if let Some(credentials) = &self.credentials {
            subscriber.credentials.clone_from(credentials);
        }
        if let Some(contact) = &self.contact {
            subscriber.contact.clone_from(contact);
        }
        self.forwarding.apply(subscriber);
    }

    /// A subscriber that has nothing else.
    #[must_use]
    pub fn subscriber(&self, number: &str) -> Subscriber {
        let mut subscriber = Subscriber::new(number);
        self.apply(&mut subscriber);
        subscriber
    }
}

impl SubscriberDocument {
    #[must_use]
    pub fn new(entry: &Entry, now: UnixSeconds) -> SubscriberDocument {
        let Subscriber { number, credentials, contact, .. } = &entry.subscriber;
        SubscriberDocument {
            number: number.clone(),
            has_password: credentials.is_some(),
            contact: contact.as_ref().map(|contact| contact.uri.clone()),
            forwarding: ForwardingDocument::new(&entry.subscriber),
            configured: entry.is_configured,
            bindings: entry.bindings.iter().filter(|binding| now < binding.expires_at).count(),
            revision: entry.revision,
        }
    }
}

impl BindingDocument {
    #[must_use]
    pub fn new(binding: &Binding, listeners: &[SocketAddr], now: UnixSeconds) -> BindingDocument {
        let extras = binding.extras.as_deref();
        let text = |text: &str| (!text.is_empty()).then(|| text.into());
        BindingDocument {
            uri: binding.uri.clone(),
            destination: binding.destination.to_string(),
            listener: listeners.get(usize::from(binding.listener.0)).map(ToString::to_string),
            q: f64::from(binding.q) / f64::from(Q_MAX),
            expires_at: binding.expires_at.0,
            expires_s: binding.expires_at.0.saturating_sub(now.0),
            cseq: binding.cseq,
            path: extras.and_then(|extras| text(&extras.path)),
            instance: extras.and_then(|extras| text(&extras.instance)),
            reg_id: extras.map(|extras| extras.reg_id).filter(|&reg_id| reg_id > 0),
        }
    }
}

impl CallDocument {
    #[must_use]
    pub fn new(shard: u16, call: &LiveCall) -> CallDocument {
        let leg = |leg: &LiveLeg| LegDocument {
            destination: leg.destination.to_string(),
            stage: stage(leg.stage),
            media: leg.media.as_ref().map(FiguresRow::new),
        };
        CallDocument {
            id: format!("{shard}-{}-{}", call.handle.index, call.handle.generation),
            stage: stage(call.stage),
            caller: Some(call.caller.clone()).filter(|caller| !caller.is_empty()),
            source: call.source.to_string(),
            called: call.called.clone(),
            diverted_by: call.diverted_by.clone(),
            record_id: call.record_id.clone(),
            started_at: call.started_at.0,
            answered_at: call.answered_at.map(|at| at.0),
            media: call.media.as_ref().map(FiguresRow::new),
            legs: call.legs.iter().map(leg).collect(),
        }
    }
}

const fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Trying => "trying",
        Stage::Ringing => "ringing",
        Stage::Answered => "answered",
        Stage::Talking => "talking",
        Stage::Ending => "ending",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Figures, Flow};
    use crate::slab::Handle;
    use serde_json::{Value, json};

    #[test]
    fn a_call_tells_of_its_media_as_the_description_says() {
        let flow = |packets| Flow { packets, bytes: packets * 172, lost: 1, jitter_us: 1_500 };
        let figures = Figures { received: flow(50), sent: flow(49), dropped: 3 };
        let destination = SocketAddr::from(([192, 0, 2, 1], 5060));
        let legs = [None, Some(figures)].map(|media| LiveLeg { destination, stage: Stage::Talking, media });
        let call = LiveCall {
            handle: Handle { index: 17, generation: 3 },
            stage: Stage::Talking,
            caller: "1003".into(),
            source: destination,
            called: "1005".into(),
            diverted_by: Vec::new(),
            record_id: "1003_1".into(),
            started_at: UnixSeconds(1),
            answered_at: None,
            media: Some(figures),
            legs: legs.into(),
        };
        let document = serde_json::to_value(CallDocument::new(0, &call)).expect("JSON");
        let row =
            |packets: u64| json!({ "packets": packets, "bytes": packets * 172, "lost": 1, "jitter_ms": 1.5 });
        let shown = json!({ "received": row(50), "sent": row(49), "dropped": 3 });
        assert_eq!(document["media"], shown);
        assert_eq!([&document["legs"][0]["media"], &document["legs"][1]["media"]], [&Value::Null, &shown]);

        let description: Value = serde_json::from_str(crate::admin::OPENAPI).expect("JSON");
        let components = &description["components"];
        let schema = json!({ "$ref": "#/components/schemas/Call", "components": components });
        let validator = jsonschema::draft202012::new(&schema).expect("a schema");
        assert!(validator.is_valid(&document), "{:?}", validator.iter_errors(&document).collect::<Vec<_>>());
    }
}
