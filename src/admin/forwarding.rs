//! What a subscriber has set of forwarding: as JSON, and by itself under its own path.

use super::backend::Backend;
use super::document::{given, read};
use super::problem::Problem;
use super::subscribers::{Body, Number, edit, look};
use crate::directory::{Condition, HistoryForm, Rule, Subscriber};
use crate::store::document::{Headers, Privacy, RuleDocument};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

/// Forwarding as a client writes it. A member that is missing leaves things as they are, null takes away.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForwardingInput {
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

/// What a client wants of it, checked.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// In the order of [`Condition::ALL`].
    rules: [Option<Option<RuleDocument>>; Condition::ALL.len()],
    after_ms: Option<Option<u32>>,
    history: Option<Option<HistoryForm>>,
    is_private: Option<bool>,
}

/// Forwarding as clients see it.
#[derive(Debug, Serialize)]
pub struct ForwardingDocument {
    unconditional: Option<RuleDocument>,
    busy: Option<RuleDocument>,
    no_answer: Option<RuleDocument>,
    not_registered: Option<RuleDocument>,
    not_reachable: Option<RuleDocument>,
    after_s: Option<u32>,
    headers: Option<Headers>,
    privacy: Privacy,
}

impl ForwardingInput {
    /// Reads the texts. Whether they make sense together and among the others is the keeper's to say.
    pub fn check(self) -> Result<Change, Problem> {
        let wrong = |reason: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, reason);
        let rules = [self.unconditional, self.busy, self.no_answer, self.not_registered, self.not_reachable];
        for (condition, rule) in Condition::ALL.into_iter().zip(&rules) {
            if let Some(Some(rule)) = rule {
                rule.all_known(condition).map_err(wrong)?;
            }
        }
        let ms = |seconds: u32| {
            seconds.checked_mul(1_000).ok_or_else(|| wrong("after_s: it is too large".to_owned()))
        };
        Ok(Change {
            rules,
            after_ms: self.after_s.map(|seconds| seconds.map(ms).transpose()).transpose()?,
            history: self.headers.map(|headers| headers.map(|headers| headers.0)),
            is_private: self.privacy.map(|privacy| privacy.unwrap_or_default().0),
        })
    }
}

impl Change {
    /// The same where what is missing is to be taken away.
    #[must_use]
    pub fn whole(self) -> Change {
        let whole = |rule: Option<Option<RuleDocument>>| {
            let mut rule = rule.flatten();
            if let Some(rule) = &mut rule {
                // Nothing of what was there before is kept.
                rule.target.get_or_insert_default();
            }
            Some(rule)
        };
        Change {
            rules: self.rules.map(whole),
            after_ms: Some(self.after_ms.flatten()),
            history: Some(self.history.flatten()),
            is_private: Some(self.is_private.unwrap_or(false)),
        }
    }

    /// Changes what is wanted otherwise. A rule without a target keeps the one that it has; where there is
    /// none it is left empty, which the keeper refuses.
    pub fn apply(&self, subscriber: &mut Subscriber) {
        let forwarding = &mut subscriber.forwarding;
        for (condition, rule) in Condition::ALL.into_iter().zip(&self.rules) {
            match rule {
                None => {}
                Some(None) => forwarding.erase(condition),
                Some(Some(rule)) => {
                    let kept = forwarding.rule(condition).map(|rule| rule.target.clone());
                    match rule.target.clone().or(kept) {
                        // What is not there is off already.
                        None if !rule.is_active => {}
                        target => forwarding.set(Rule {
                            condition,
                            is_active: rule.is_active,
                            target: target.unwrap_or_default(),
                        }),
                    }
                }
            }
        }
        if let Some(after_ms) = self.after_ms {
            subscriber.after_ms = after_ms;
        }
        if let Some(history) = self.history {
            subscriber.history = history;
        }
        if let Some(is_private) = self.is_private {
            subscriber.is_private = is_private;
        }
    }
}

impl ForwardingDocument {
    #[must_use]
    pub fn new(subscriber: &Subscriber) -> ForwardingDocument {
        let rule = |condition| RuleDocument::of(&subscriber.forwarding, condition);
        ForwardingDocument {
            unconditional: rule(Condition::Unconditional),
            busy: rule(Condition::Busy),
            no_answer: rule(Condition::NoAnswer),
            not_registered: rule(Condition::NotRegistered),
            not_reachable: rule(Condition::NotReachable),
            after_s: subscriber.after_ms.map(|after_ms| after_ms / 1_000),
            headers: subscriber.history.map(Headers),
            privacy: Privacy(subscriber.is_private),
        }
    }
}

/// What a subscriber has set.
pub async fn show(
    State(backend): State<Backend>,
    number: Number,
) -> Result<Json<ForwardingDocument>, Problem> {
    document(&backend, &number?.0).map(Json)
}

/// Changes what the body names (RFC 7396).
pub async fn change(
    State(backend): State<Backend>,
    number: Number,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ForwardingDocument>, Problem> {
    let Path(number) = number?;
    let input: ForwardingInput = read(&headers, &body?)?;
    let wanted = input.check()?;
    edit(&backend, &number, move |subscriber| wanted.apply(subscriber)).await?;
    document(&backend, &number).map(Json)
}

fn document(backend: &Backend, number: &str) -> Result<ForwardingDocument, Problem> {
    look(backend, number, |entry| ForwardingDocument::new(&entry.subscriber))
}
