//! Values that are a number with or without parameters: Session-Expires, Min-SE, Expires, Retry-After, RSeq.

use super::text::blanks_end;

/// Reads `1*DIGIT [comment] *( ";" parameter )`: the number and the parameters from the first `;` on, for
/// [`super::name_addr::param`] to look into. A comment (Retry-After, RFC 3261 §20.33) is left out.
///
/// A number beyond `u32::MAX` is that (RFC 3261 §10.2.1.1): a time is then as long as any.
///
/// `None` for a value that does not start with a digit, or with something else behind the number.
#[must_use]
pub fn leading_number(value: &[u8]) -> Option<(u32, &[u8])> {
    let start = blanks_end(value, 0);
    let (number, end) = digits(value, start)?;
    let mut at = blanks_end(value, end);
    if value.get(at) == Some(&b'(') {
        at = blanks_end(value, comment_end(value, at)?);
    }
    let params = &value[at..];
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    matches!(params.first(), None | Some(b';')).then_some((number, params))
}

/// Reads a value that is a number and nothing else, as RSeq is (RFC 3262 §7.1). One beyond `u32::MAX` is no
/// number: two of those must not be taken for the same.
#[must_use]
pub fn whole_number(value: &[u8]) -> Option<u32> {
    let start = blanks_end(value, 0);
    let (number, end) = digits(value, start)?;
    let number = u32::try_from(number).ok()?;
    (blanks_end(value, end) == value.len()).then_some(number)
}

/// The digits from `at` on, and where they end; a number too large for its type is the type's largest.
pub(super) fn digits(text: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut number = 0u64;
    let mut end = at;
    while let Some(digit @ b'0'..=b'9') = text.get(end) {
        number = number.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
        end += 1;
    }
    (end > at).then_some((number, end))
}

/// Behind the comment that opens at `at`. Comments nest, and a backslash takes the next byte's meaning
/// (RFC 3261 §25.1).
fn comment_end(text: &[u8], at: usize) -> Option<usize> {
    let mut depth = 0usize;
    let mut next = at;
    loop {
        match text.get(next)? {
            b'\\' => next += 1,
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        next += 1;
        if depth == 0 {
            return Some(next);
        }
    }
}
