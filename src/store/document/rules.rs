//! What a number has set of forwarding, as JSON: the members that a store's document, a line and the API
//! have in common.

use super::Reason;
use crate::config::member;
use crate::directory::{Condition, Forwarding, HistoryForm, Rule};
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// One rule: `"1005"`, which is active, or `{"target": "1005", "active": false}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleDocument {
    /// `None`: an object that names none.
    pub target: Option<Box<str>>,
    pub is_active: bool,
    /// A member of the object that is not known.
    unknown: Option<Box<str>>,
}

/// The members of the object.
const MEMBERS: [&str; 2] = ["target", "active"];

impl RuleDocument {
    /// What is set for a condition.
    #[must_use]
    pub fn of(forwarding: &Forwarding, condition: Condition) -> Option<RuleDocument> {
        let rule = forwarding.rule(condition)?;
        Some(RuleDocument { target: Some(rule.target.clone()), is_active: rule.is_active, unknown: None })
    }

    /// Whether all that it says is known.
    ///
    /// # Errors
    /// It has a member that is not, which would be lost.
    pub fn all_known(&self, condition: Condition) -> Result<(), Reason> {
        let expected = MEMBERS.join(", ");
        match &self.unknown {
            Some(name) => {
                Err(format!("{}: unknown field {name:?}, expected one of {expected}", member(condition)))
            }
            None => Ok(()),
        }
    }

    /// The rule that it amounts to.
    ///
    /// # Errors
    /// It names no target.
    pub fn rule(self, condition: Condition) -> Result<Rule, Reason> {
        let target = self.target.ok_or_else(|| format!("{}: there is no target", member(condition)))?;
        Ok(Rule { condition, is_active: self.is_active, target })
    }
}

impl Serialize for RuleDocument {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let target = self.target.as_deref().unwrap_or_default();
        if self.is_active {
            return serializer.serialize_str(target);
        }
        let mut object = serializer.serialize_struct("Rule", MEMBERS.len())?;
        object.serialize_field("target", target)?;
        object.serialize_field("active", &false)?;
        object.end()
    }
}

impl<'de> Deserialize<'de> for RuleDocument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RuleDocument, D::Error> {
        deserializer.deserialize_any(RuleVisitor)
    }
}

struct RuleVisitor;

impl<'de> Visitor<'de> for RuleVisitor {
    type Value = RuleDocument;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a target, or an object with target and active")
    }

    fn visit_str<E: Error>(self, target: &str) -> Result<RuleDocument, E> {
        Ok(RuleDocument { target: Some(target.into()), is_active: true, unknown: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RuleDocument, A::Error> {
        let (mut target, mut active, mut unknown) = (None, None, None);
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            match &*name {
                "target" if target.is_some() => return Err(Error::duplicate_field("target")),
                "active" if active.is_some() => return Err(Error::duplicate_field("active")),
                "target" => target = Some(map.next_value()?),
                "active" => active = Some(map.next_value()?),
                other => {
                    unknown = Some(other.into());
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(RuleDocument { target, is_active: active.unwrap_or(true), unknown })
    }
}

/// A form of history by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers(pub HistoryForm);

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Headers, D::Error> {
        let name = Cow::<'de, str>::deserialize(deserializer)?;
        let expected = || HistoryForm::ALL.map(HistoryForm::name).join(", ");
        let wrong = || Error::custom(format!("headers: {name:?} is none of {}", expected()));
        HistoryForm::named(&name).map(Headers).ok_or_else(wrong)
    }
}

/// Whether a number is private: `"full"` or `"off"`, the words of RFC 5806.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Privacy(pub bool);

impl Privacy {
    #[must_use]
    pub const fn name(self) -> &'static str {
        if self.0 { "full" } else { "off" }
    }

    #[must_use]
    pub fn named(name: &str) -> Option<Privacy> {
        [Privacy(true), Privacy(false)].into_iter().find(|privacy| privacy.name() == name)
    }
}

impl Serialize for Privacy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Privacy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Privacy, D::Error> {
        let name = Cow::<'de, str>::deserialize(deserializer)?;
        let wrong = || Error::custom(format!("privacy: {name:?} is neither off nor full"));
        Privacy::named(&name).ok_or_else(wrong)
    }
}
