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

/// Changes a subscriber's forwarding. `known` gives what a number has set.
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
        Action::Deactivate => change.conditions.iter().for_each(|condition| {
            forwarding.activate(*condition, false);
        }),
        Action::Erase => change.conditions.iter().for_each(|condition| forwarding.erase(*condition)),
    }
    check(settings, &subscriber.number, &subscriber.forwarding, known)
        .map_err(|(_, wrong)| NotSet::Wrong(wrong))
}
