//! A parameter, `;name=value`, read strictly (RFC 3261 §25.1).

use super::text::{PARAM_END, blanks_end, quoted_end, run_end, value_end};
use std::ops::Range;

/// One parameter of a Via or of an address, as its grammar wants it: a name, perhaps `=` and a value.
///
/// [`super::name_addr::param`] looks one up in a text that was checked; this is what checks it.
pub(super) struct Param {
    pub name: Range<usize>,
    /// There is a `=`, and perhaps nothing behind it.
    pub has_value: bool,
    /// Without quotes; empty without a value.
    pub value: Range<usize>,
    /// Behind the last byte that is no blank.
    pub end: usize,
}

impl Param {
    /// The parameter behind the `;` that ends at `at`; `None` without a name or with a quote that stays open.
    #[inline(always)]
    pub fn read(text: &[u8], at: usize) -> Option<Param> {
        let start = blanks_end(text, at);
        let name = start..run_end(text, start, PARAM_END);
        if name.is_empty() {
            return None;
        }
        let equals = blanks_end(text, name.end);
        if text.get(equals) != Some(&b'=') {
            return Some(Param { end: name.end, name, has_value: false, value: 0..0 });
        }
        let start = blanks_end(text, equals + 1);
        if text.get(start) == Some(&b'"') {
            let end = quoted_end(text, start)?;
            return Some(Param { name, has_value: true, value: start + 1..end - 1, end });
        }
        let value = start..value_end(text, start);
        // With nothing behind `=` the parameter ends there and not behind the blanks.
        let end = if value.is_empty() { equals + 1 } else { value.end };
        Some(Param { name, has_value: true, value, end })
    }
}
