//! Registration (RFC 3261 §10): which contacts a number is bound to, and the REGISTERs that change it.
//!
//! The rules are pure: [`apply`] says what a change makes of a number's bindings. The store's keeper calls it
//! for every change in turn, so that no two of them cross.

mod binding;

pub use binding::{Change, Contacts, Limits, Refusal, apply};
