//! What a REGISTER makes of a number's bindings.

use crate::clock::UnixSeconds;
use crate::directory::Binding;
use crate::settings::Settings;
use crate::sip::is_same_uri;

/// What a REGISTER asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Stands for the REGISTER's Call-ID, as in [`Binding::call_id`].
    pub call_id: u64,
    pub cseq: u32,
    pub contacts: Contacts,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contacts {
    /// `Contact: *` with `Expires: 0`.
    RemoveAll,
    /// Contacts to add, refresh or, where `expires_at` is not after now, remove. Of two that are the same the
    /// later counts.
    Update(Vec<Binding>),
}

/// What the operator allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bindings of one number.
    pub contacts_max: usize,
}

/// Why bindings stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The same Call-ID with a CSeq that is not higher (RFC 3261 §10.3 step 7).
    OutOfOrder,
    /// The number would have more bindings than it may.
    TooMany,
    /// Nobody has this number (any more).
    NoSubscriber,
    /// The store cannot make it durable now.
    Unavailable,
}

impl Limits {
    #[must_use]
    pub fn of(settings: &Settings) -> Limits {
        Limits { contacts_max: settings.registration.contacts_max.into() }
    }
}

/// The bindings that `change` makes of `bindings`; expired ones are left out of both. Those that were bound
/// last stand last.
///
/// # Errors
/// All of the change is refused or none of it (RFC 3261 §10.3): [`Refusal::OutOfOrder`] when it touches a
/// binding that a later REGISTER of the same Call-ID made, [`Refusal::TooMany`].
pub fn apply(
    bindings: &[Binding],
    change: &Change,
    limits: Limits,
    now: UnixSeconds,
) -> Result<Box<[Binding]>, Refusal> {
    let live = bindings.iter().filter(|binding| now < binding.expires_at);
    let mut kept: Vec<Binding> = Vec::new();
    for binding in live {
        let is_touched = match &change.contacts {
            Contacts::RemoveAll => true,
            Contacts::Update(contacts) => contacts.iter().any(|contact| is_same(contact, binding)),
        };
        if !is_touched {
            kept.push(binding.clone());
        } else if binding.call_id == change.call_id && change.cseq <= binding.cseq {
            return Err(Refusal::OutOfOrder);
        }
    }
    if let Contacts::Update(contacts) = &change.contacts {
        for contact in contacts {
            kept.retain(|binding| !is_same(contact, binding));
            if now < contact.expires_at {
                kept.push(contact.clone());
            }
        }
    }
    match kept.len() > limits.contacts_max {
        true => Err(Refusal::TooMany),
        false => Ok(kept.into()),
    }
}

/// Whether two bindings of one number are the same one: by instance and flow (RFC 5626 §6) where both have
/// both, by the instance where neither has a flow, else by their URIs.
#[must_use]
pub fn is_same(one: &Binding, other: &Binding) -> bool {
    let ((one_instance, one_flow), (other_instance, other_flow)) = (identity(one), identity(other));
    let is_same_instance = !one_instance.is_empty() && one_instance == other_instance;
    match (one_flow, other_flow) {
        (1.., 1..) => is_same_instance && one_flow == other_flow,
        (0, 0) if is_same_instance => true,
        _ => is_same_uri(one.uri.as_bytes(), other.uri.as_bytes()),
    }
}

/// A binding's instance and flow; a flow without an instance is none.
fn identity(binding: &Binding) -> (&str, u32) {
    match &binding.extras {
        Some(extras) if !extras.instance.is_empty() => (&extras.instance, extras.reg_id),
        _ => ("", 0),
    }
}
