//! Feature codes: what phones dial to set forwarding (3GPP TS 22.030 §6.5), and short codes of the
//! operator's.

use super::change::Change;
use crate::directory::Condition;

/// The codes that are understood: those of mobile phones, and short ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub short: Vec<ShortCode>,
}

impl Default for Table {
    /// Those that carriers use most: all calls, busy, no answer; set and erase.
    fn default() -> Table {
        let short = |code: &str, action, conditions| ShortCode { code: code.into(), action, conditions };
        use ShortAction::{Erase, Register};
        Table {
            short: vec![
                short("*72", Register, &[Condition::Unconditional]),
                short("*73", Erase, &[Condition::Unconditional]),
                short("*90", Register, &[Condition::Busy]),
                short("*91", Erase, &[Condition::Busy]),
                short("*92", Register, &[Condition::NoAnswer]),
                short("*93", Erase, &[Condition::NoAnswer]),
            ],
        }
    }
}

/// A code of the operator's choice: `*92` and behind it the target, where the action wants one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShortCode {
    pub code: Box<str>,
    pub action: ShortAction,
    pub conditions: &'static [Condition],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShortAction {
    Register,
    Activate,
    Deactivate,
    Erase,
    Query,
}

/// What a phone wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    Change(Change),
    /// Tell what is set.
    Query(&'static [Condition]),
}
