//! What a REGISTER makes of a number's bindings.

use crate::clock::UnixSeconds;
use crate::directory::Binding;

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
    /// Contacts to add, refresh or, where `expires_at` is not after now, remove.
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

/// The bindings that `change` makes of `bindings`; expired ones are left out of both.
///
/// # Errors
/// All of the change is refused or none of it (RFC 3261 §10.3).
pub fn apply(
    bindings: &[Binding],
    change: &Change,
    limits: Limits,
    now: UnixSeconds,
) -> Result<Box<[Binding]>, Refusal> {
    let mut kept: Vec<Binding> =
        bindings.iter().filter(|binding| now < binding.expires_at).cloned().collect();
    match &change.contacts {
        Contacts::RemoveAll => kept.clear(),
        Contacts::Update(contacts) => {
            for contact in contacts {
                kept.retain(|binding| binding.uri != contact.uri);
                if now < contact.expires_at {
                    kept.push(contact.clone());
                }
            }
        }
    }
    match kept.len() > limits.contacts_max {
        true => Err(Refusal::TooMany),
        false => Ok(kept.into()),
    }
}
