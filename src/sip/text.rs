//! The few rules of RFC 3261 §25.1 that every view needs: blanks, tokens, hosts, numbers.

/// The first position from `at` on that holds no blank: no space or tab, which is all that linear white
/// space is made of once folds are undone.
#[inline]
pub(super) fn blanks_end(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t') = text.get(at) {
        at += 1;
    }
    at
}

/// The text without blanks around it.
#[inline]
pub(super) fn trim(text: &[u8]) -> &[u8] {
    trim_end(&text[blanks_end(text, 0)..])
}

/// The text without blanks behind it.
#[inline]
pub(super) fn trim_end(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// Whether the text is a token: `1*(alphanum / "-" / "." / "!" / "%" / "*" / "_" / "+" / "`" / "'" / "~")`.
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| class(*byte) & TOKEN != 0)
}

/// Whether the byte may stand in a host name or an IPv4 address. The underscore is no letter of the RFC's,
/// but of many networks' names.
#[inline]
pub(super) fn is_host(byte: u8) -> bool {
    class(byte) & HOST != 0
}

/// Where the host that starts at `at` ends: a name, an address, or an IPv6 reference with its brackets.
/// `None` when there is none or the reference is broken. RFC 5118 §4.10 asks to bear with `:::`.
#[inline]
pub(super) fn host_end(text: &[u8], at: usize) -> Option<usize> {
    if text.get(at) == Some(&b'[') {
        let inside = &text[at + 1..];
        let length = inside.iter().position(|byte| *byte == b']')?;
        let is_address = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
        return (length > 0 && inside[..length].iter().all(is_address)).then_some(at + length + 2);
    }
    let length = text[at..].iter().position(|byte| !is_host(*byte)).unwrap_or(text.len() - at);
    (length > 0).then_some(at + length)
}

/// Reads the digits from `at` on as a port; the position behind them comes with it.
#[inline]
pub(super) fn port(text: &[u8], at: usize) -> Option<(u16, usize)> {
    let mut number = 0u32;
    let mut end = at;
    while let Some(digit @ b'0'..=b'9') = text.get(end) {
        number = number * 10 + u32::from(digit - b'0');
        if number > u32::from(u16::MAX) {
            return None;
        }
        end += 1;
    }
    (end > at).then_some((number as u16, end))
}

/// Reads `1*DIGIT`; what is larger than `u32::MAX` becomes that.
pub(super) fn decimal(text: &[u8]) -> Option<u32> {
    let mut number = 0u32;
    for byte in text {
        let digit = byte.is_ascii_digit().then(|| byte - b'0')?;
        number = number.saturating_mul(10).saturating_add(u32::from(digit));
    }
    (!text.is_empty()).then_some(number)
}

/// Behind the closing quote of the string that opens at `at`, or `None` when it never closes. A backslash
/// takes the next byte's meaning (RFC 3261 §25.1, quoted-pair).
#[inline]
pub(super) fn quoted_end(text: &[u8], at: usize) -> Option<usize> {
    let mut next = at + 1;
    loop {
        match text.get(next)? {
            b'"' => return Some(next + 1),
            b'\\' => next += 2,
            _ => next += 1,
        }
    }
}

const TOKEN: u8 = 1;
const HOST: u8 = 2;

#[inline]
fn class(byte: u8) -> u8 {
    CLASSES[usize::from(byte)]
}

static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0u8;
    while byte < 128 {
        let class = match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' => TOKEN | HOST,
            b'!' | b'%' | b'*' | b'+' | b'`' | b'\'' | b'~' => TOKEN,
            _ => 0,
        };
        classes[byte as usize] = class;
        byte += 1;
    }
    classes
}
