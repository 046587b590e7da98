//! Who may call, and as whom.

use super::Setting;

pub const ROWS: &[Setting] = &[];
