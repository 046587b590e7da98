//! The admin API.

use super::Setting;

pub const ROWS: &[Setting] = &[];
