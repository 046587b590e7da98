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

/// A q-value in thousandths: `( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] )` (RFC 3261 §25.1).
#[must_use]
pub fn q_value(text: &[u8]) -> Option<u16> {
    let (whole, fraction) = match text {
        [whole @ (b'0' | b'1')] => (*whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', fraction @ ..] if fraction.len() <= 3 => (*whole, fraction),
        _ => return None,
    };
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let places = [100, 10, 1];
    let thousandths: u16 =
        fraction.iter().zip(places).map(|(digit, place)| u16::from(digit - b'0') * place).sum();
    match whole {
        b'1' if thousandths > 0 => None,
        b'1' => Some(1_000),
        _ => Some(thousandths),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_values_are_thousandths() {
        for (text, expected) in
            [("0", 0), ("1", 1_000), ("0.", 0), ("1.000", 1_000), ("0.5", 500), ("0.05", 50), ("0.123", 123)]
        {
            assert_eq!(q_value(text.as_bytes()), Some(expected), "{text}");
        }
        for text in ["", "2", "1.001", "0.1234", ".5", "-1", "0,5", "0.a", "1.0000", "00"] {
            assert_eq!(q_value(text.as_bytes()), None, "{text}");
        }
    }
}
