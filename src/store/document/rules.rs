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

#[cfg(test)]
mod tests {
    use super::super::{read_line, read_subscriber, write_line, write_subscriber};
    use super::*;
    use crate::directory::Subscriber;
    use crate::store::Record;
    use proptest::prelude::*;

    fn target() -> impl Strategy<Value = String> {
        prop_oneof![
            "[1-9][0-9]{0,63}",
            "\\+[0-9]{3,15}",
            "tel:\\+[0-9]{1,3}-[0-9]{3,9}",
            "sip:[a-z*#'$&=]{1,20}@192\\.0\\.2\\.[1-9](;user=phone)?",
        ]
    }

    fn forwarding() -> impl Strategy<Value = Forwarding> {
        let rule = proptest::option::of((target(), any::<bool>()));
        proptest::collection::vec(rule, Condition::ALL.len()).prop_map(|rules| {
            let mut forwarding = Forwarding::default();
            for (condition, rule) in Condition::ALL.into_iter().zip(rules) {
                if let Some((target, is_active)) = rule {
                    forwarding.set(Rule { condition, is_active, target: target.into() });
                }
            }
            forwarding
        })
    }

    fn subscriber() -> impl Strategy<Value = Subscriber> {
        let history = proptest::option::of(proptest::sample::select(HistoryForm::ALL.to_vec()));
        let after_ms = proptest::option::of((5u32..=180).prop_map(|seconds| seconds * 1_000));
        (forwarding(), history, any::<bool>(), after_ms).prop_map(
            |(forwarding, history, is_private, after_ms)| Subscriber {
                forwarding,
                history,
                is_private,
                after_ms,
                ..Subscriber::new("0")
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_of_any_forwarding_reads_as_the_same(subscriber in subscriber()) {
            let mut text = Vec::new();
            write_subscriber(&mut text, &subscriber, 5);
            prop_assert_eq!(read_subscriber("0", &text), Ok((subscriber.clone(), 5)));
            let record = Record {
                number: "0".into(),
                subscriber: Some(subscriber.clone()),
                bindings: Box::default(),
                revision: 5,
            };
            let line = String::from_utf8(write_line(&record, &[]).unwrap()).unwrap();
            prop_assert_eq!(read_line(&line, &[]).map(|line| line.subscriber), Ok(subscriber));
        }

        #[test]
        fn any_text_as_a_rule_is_read_or_refused(text in "\\PC{0,40}", active in any::<bool>()) {
            let rule = RuleDocument { target: Some(text.as_str().into()), is_active: active, unknown: None };
            let written = serde_json::to_string(&rule).unwrap();
            prop_assert_eq!(serde_json::from_str::<RuleDocument>(&written).unwrap(), rule);
            // Whatever else stands there, it is no panic.
            let _ = serde_json::from_str::<RuleDocument>(&text);
        }
    }

    #[test]
    fn an_active_rule_is_a_text_and_a_document_of_before_means_what_it_meant() {
        let mut subscriber = Subscriber::new("1004").forwarding_to(Condition::NoAnswer, "1005");
        subscriber.forwarding.forward(Condition::Busy, "1006");
        subscriber.forwarding.activate(Condition::Busy, false);
        let mut text = Vec::new();
        write_subscriber(&mut text, &subscriber, 0);
        assert_eq!(
            String::from_utf8(text).unwrap(),
            r#"{"busy":{"target":"1006","active":false},"no_answer":"1005"}"#
        );
        let (read, _) =
            read_subscriber("1004", br#"{"no_answer":"alice","after_s":20,"revision":1}"#).unwrap();
        assert_eq!(read.forwarding.target(Condition::NoAnswer), Some("alice"));
        assert_eq!((read.history, read.is_private), (None, false));
    }

    #[test]
    fn a_rule_of_a_later_version_is_read_from_a_store_and_refused_in_a_line() {
        let rule = r#"{"target":"1005","active":true,"until":"noon"}"#;
        let (read, _) = read_subscriber("1", format!(r#"{{"busy":{rule}}}"#).as_bytes()).unwrap();
        assert_eq!(read.forwarding.target(Condition::Busy), Some("1005"));
        let refused = read_line(&format!(r#"{{"number":"1","busy":{rule}}}"#), &[]).unwrap_err();
        assert_eq!(refused, "busy: unknown field \"until\", expected one of target, active");
        for (line, part) in [
            (r#"{"number":"1","busy":{}}"#, "busy: there is no target"),
            (r#"{"number":"1","busy":""}"#, "busy: there is no target"),
            (r#"{"number":"1","busy":1005}"#, "a target, or an object"),
            (r#"{"number":"1","busy":{"target":"2","target":"3"}}"#, "duplicate field"),
            (r#"{"number":"1","busy":{"target":"2","active":1}}"#, "a boolean"),
            (r#"{"number":"1","not_reachable":"sips:x@192.0.2.1"}"#, "not_reachable: only sip URIs over UDP"),
            (r#"{"number":"1","headers":"rfc5806"}"#, "headers: \"rfc5806\" is none of diversion"),
            (r#"{"number":"1","privacy":"id"}"#, "privacy: \"id\" is neither off nor full"),
        ] {
            let refused = read_line(line, &[]).expect_err(line);
            assert!(refused.contains(part), "{line}: {refused}");
        }
    }
}
