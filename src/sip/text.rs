//! The few rules of RFC 3261 §25.1 that every view needs: blanks, tokens, hosts, numbers.

use super::lines::find_any;

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
    let end = run_end(text, at, NOT_HOST);
    (end > at).then_some(end)
}

/// Reads the digits from `at` on as a port; the position behind them comes with it.
#[inline(never)]
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
        next = find_any(text, next, *b"\"\\");
        match text.get(next)? {
            b'"' => return Some(next + 1),
            _ => next += 2,
        }
    }
}

/// Where the run of bytes without any of the classes `stop` ends. For words of a few bytes: a branch that is
/// foreseen costs less than waiting for a vector's answer ([`find_any`]).
///
/// Like the other loops of this module it is a function of its own: inside a parser that holds much besides,
/// its position would live on the stack, and each step would wait for the last one's store.
#[inline(never)]
pub(super) fn run_end(text: &[u8], from: usize, stop: u8) -> usize {
    let mut at = from;
    while at < text.len() && class(text[at]) & stop == 0 {
        at += 1;
    }
    at
}

/// Where a parameter's value without quotes ends.
#[inline(never)]
pub(super) fn value_end(text: &[u8], from: usize) -> usize {
    find_any(text, from, *b" \t;,\"")
}

/// Whether a text is this one in any case. `small` is made of at most eight small letters.
#[inline]
pub(super) fn is_word(text: &[u8], small: &[u8]) -> bool {
    let word = |text: &[u8], fold: u8| text.iter().fold(0, |word, byte| word << 8 | u64::from(byte | fold));
    text.len() == small.len() && word(text, 0x20) == word(small, 0)
}

/// Bytes of a token.
const TOKEN: u8 = 1;
/// Bytes that no host name or IPv4 address has. The underscore is no letter of the RFC's, but of many
/// networks' names.
const NOT_HOST: u8 = 2;
/// What may follow a word of a Via's protocol.
pub(super) const WORD_END: u8 = 4;
/// What may follow a parameter's name.
pub(super) const PARAM_END: u8 = 8;

#[inline]
fn class(byte: u8) -> u8 {
    CLASSES[usize::from(byte)]
}

static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [NOT_HOST; 256];
    let mut byte = 0u8;
    while byte < 128 {
        classes[byte as usize] = match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' => TOKEN,
            b'!' | b'%' | b'*' | b'+' | b'`' | b'\'' | b'~' => TOKEN | NOT_HOST,
            b' ' | b'\t' | b';' | b',' => WORD_END | PARAM_END | NOT_HOST,
            b'/' | b':' => WORD_END | NOT_HOST,
            b'=' | b'"' => PARAM_END | NOT_HOST,
            _ => NOT_HOST,
        };
        byte += 1;
    }
    classes
}
