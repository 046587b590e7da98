//! Where subscribers and bindings are kept.

use super::Setting;

pub const ROWS: &[Setting] = &[];
