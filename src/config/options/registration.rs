//! Registration (RFC 3261 §10).

use super::Setting;

pub const ROWS: &[Setting] = &[];
