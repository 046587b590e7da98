//! Changes of what a number has set, as its phone asks for them.

use super::check::{Wrong, check};
use super::settings::Settings;
use crate::directory::{Condition, Forwarding, Subscriber};

/// A change of a subscriber's forwarding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub conditions: &'static [Condition],
    pub action: Action,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Set the target and activate it; `after_s`: the no-answer time, where it is given.
    Register {
        target: Box<str>,
        after_s: Option<u32>,
    },
    Activate,
    Deactivate,
    Erase,
}

/// Why a number's forwarding was not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotSet {
    /// The store cannot make it durable now.
    Unavailable,
    NoSubscriber,
    /// The number is set in the configuration.
    Configured,
    /// There is nothing to activate.
    NothingSet,
    Wrong(Wrong),
}

/// Changes a subscriber's forwarding. `known` gives what a number has set. Of what is set afterwards only that
/// is checked which the change makes active: what else the number has set may have come to lead nowhere since.
///
/// # Errors
/// What the change asks for cannot be; the subscriber may be changed in part then.
pub fn apply(
    settings: &Settings,
    subscriber: &mut Subscriber,
    change: &Change,
    known: &impl Fn(&str) -> Option<Forwarding>,
) -> Result<(), NotSet> {
    let forwarding = &mut subscriber.forwarding;
    match &change.action {
        Action::Register { target, after_s } => {
            change.conditions.iter().for_each(|condition| forwarding.forward(*condition, target));
            if let Some(after_s) = after_s {
                subscriber.after_ms = Some(after_s.saturating_mul(1_000));
            }
        }
        Action::Activate => {
            let mut found = false;
            for condition in change.conditions {
                found |= forwarding.activate(*condition, true);
            }
            if !found {
                return Err(NotSet::NothingSet);
            }
        }
        // What is not there is off already.
        Action::Deactivate => {
            for condition in change.conditions {
                forwarding.activate(*condition, false);
            }
            return Ok(());
        }
        Action::Erase => {
            change.conditions.iter().for_each(|condition| forwarding.erase(*condition));
            return Ok(());
        }
    }
    let mut made = Forwarding::default();
    let rules = change.conditions.iter().filter_map(|condition| forwarding.rule(*condition));
    rules.for_each(|rule| made.set(rule.clone()));
    let (number, before) = (&subscriber.number, Forwarding::default());
    check(settings, number, (&before, &made), known).map_err(|(_, wrong)| NotSet::Wrong(wrong))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Condition::{Busy, NoAnswer};

    fn change(action: Action) -> Change {
        Change { conditions: &[Busy], action }
    }

    #[test]
    fn a_rule_that_has_come_to_lead_nowhere_hinders_no_other_change() {
        let settings = Settings::default();
        let known = |number: &str| (number == "1005").then(Forwarding::default);
        let mut subscriber = Subscriber::new("1004").forwarding_to(NoAnswer, "1009");
        let to = |target: &str| change(Action::Register { target: target.into(), after_s: None });
        assert_eq!(apply(&settings, &mut subscriber, &to("1005"), &known), Ok(()));
        assert_eq!(subscriber.forwarding.target(Busy), Some("1005"));
        let none = |_: &str| None;
        for action in [Action::Deactivate, Action::Erase] {
            assert_eq!(apply(&settings, &mut subscriber, &change(action), &none), Ok(()));
            assert_eq!(subscriber.forwarding.target(Busy), None);
        }
        assert_eq!(subscriber.forwarding.target(NoAnswer), Some("1009"));
        let activate = change(Action::Activate);
        assert_eq!(apply(&settings, &mut subscriber, &activate, &known), Err(NotSet::NothingSet));
        let refused = apply(&settings, &mut subscriber, &to("1009"), &known);
        assert_eq!(refused, Err(NotSet::Wrong(Wrong::NoWay("1009".into()))));
    }

    #[test]
    fn what_was_deactivated_comes_back_where_it_was() {
        let settings = Settings::default();
        let known = |number: &str| (number == "1005").then(Forwarding::default);
        let mut subscriber = Subscriber::new("1004").forwarding_to(Busy, "1005");
        apply(&settings, &mut subscriber, &change(Action::Deactivate), &known).unwrap();
        assert_eq!(subscriber.forwarding.target(Busy), None);
        apply(&settings, &mut subscriber, &change(Action::Activate), &known).unwrap();
        assert_eq!(subscriber.forwarding.target(Busy), Some("1005"));
    }
}
