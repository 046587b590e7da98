//! Bencode, which rtpengine's ng protocol is written in: integers, strings of bytes, lists, dictionaries.

use std::fmt;

/// How deep lists and dictionaries may stand in each other; rtpengine's answers to what is asked here have
/// two levels.
const DEPTH_MAX: u8 = 16;

/// Values in one text: its statistics have a few hundred.
const VALUES_MAX: usize = 8_192;

/// A value; its strings are parts of the text that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Integer(i64),
    Bytes(&'a [u8]),
    List(Vec<Value<'a>>),
    /// In the order of the text.
    Dictionary(Vec<(&'a [u8], Value<'a>)>),
}

/// The text is no value, or more than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no bencode")
    }
}

impl std::error::Error for Malformed {}

impl<'a> Value<'a> {
    /// What a dictionary has under a key.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&Value<'a>> {
        match self {
            Value::Dictionary(entries) => {
                entries.iter().find(|(other, _)| *other == key).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The string that a dictionary has under a key.
    #[must_use]
    pub fn bytes_of(&self, key: &[u8]) -> Option<&'a [u8]> {
        match self.get(key) {
            Some(Value::Bytes(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// Appends its text.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Value::Integer(number) => {
                out.push(b'i');
                out.extend_from_slice(number.to_string().as_bytes());
                out.push(b'e');
            }
            Value::Bytes(bytes) => write_bytes(out, bytes),
            Value::List(values) => {
                out.push(b'l');
                values.iter().for_each(|value| value.write(out));
                out.push(b'e');
            }
            Value::Dictionary(entries) => {
                out.push(b'd');
                for (key, value) in entries {
                    write_bytes(out, key);
                    value.write(out);
                }
                out.push(b'e');
            }
        }
    }
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes.len().to_string().as_bytes());
    out.push(b':');
    out.extend_from_slice(bytes);
}

/// Reads a text that is one value and nothing more.
///
/// # Errors
/// [`Malformed`].
pub fn read(text: &[u8]) -> Result<Value<'_>, Malformed> {
    let mut reader = Reader { rest: text, values: 0 };
    let value = reader.value(0)?;
    if reader.rest.is_empty() { Ok(value) } else { Err(Malformed) }
}

struct Reader<'a> {
    rest: &'a [u8],
    /// Read so far.
    values: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: u8) -> Result<Value<'a>, Malformed> {
        self.values += 1;
        if depth > DEPTH_MAX || self.values > VALUES_MAX {
            return Err(Malformed);
        }
        match self.rest.first() {
            Some(b'i') => {
                self.skip();
                Ok(Value::Integer(number(self.until(b'e')?)?))
            }
            Some(b'l') => {
                self.skip();
                let mut values = Vec::new();
                while !self.ends() {
                    values.push(self.value(depth + 1)?);
                }
                Ok(Value::List(values))
            }
            Some(b'd') => {
                self.skip();
                let mut entries = Vec::new();
                while !self.ends() {
                    entries.push((self.bytes()?, self.value(depth + 1)?));
                }
                Ok(Value::Dictionary(entries))
            }
            _ => self.bytes().map(Value::Bytes),
        }
    }

    /// A string: its length in decimal digits, a colon, and so many bytes.
    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let digits = self.until(b':')?;
        if !digits.first().is_some_and(u8::is_ascii_digit) {
            return Err(Malformed);
        }
        let length = usize::try_from(number(digits)?).map_err(|_| Malformed)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// What stands before the next `end`, which is skipped.
    fn until(&mut self, end: u8) -> Result<&'a [u8], Malformed> {
        let place = memchr::memchr(end, self.rest).ok_or(Malformed)?;
        let text = &self.rest[..place];
        self.rest = &self.rest[place + 1..];
        Ok(text)
    }

    /// Whether a list or dictionary ends here; then its end is skipped.
    fn ends(&mut self) -> bool {
        let ends = self.rest.first() == Some(&b'e');
        if ends {
            self.skip();
        }
        ends
    }

    fn skip(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }
}

/// A decimal number, with `-` where it is below zero.
fn number(text: &[u8]) -> Result<i64, Malformed> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Malformed);
    }
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[test]
    fn what_rtpengine_answers_is_read() {
        let text = b"d3:sdp5:v=0\r\n6:result2:ok5:statsd7:createdi-12eelee";
        // An empty list may not stand where a key is.
        assert_eq!(read(text), Err(Malformed));
        let value = read(b"d3:sdp5:v=0\r\n6:result2:ok5:statsd7:createdi-12ee4:tagslee").unwrap();
        assert_eq!(value.bytes_of(b"sdp"), Some(&b"v=0\r\n"[..]));
        assert_eq!(value.bytes_of(b"result"), Some(&b"ok"[..]));
        assert_eq!(value.get(b"stats").and_then(|stats| stats.get(b"created")), Some(&Value::Integer(-12)));
        assert_eq!(value.get(b"tags"), Some(&Value::List(Vec::new())));
        assert_eq!(value.bytes_of(b"tags"), None);
        assert_eq!(value.get(b"warning"), None);
    }

    #[test]
    fn what_is_cut_off_or_goes_on_is_refused() {
        let text = b"d4:listli1e1:ae6:numberi-3ee";
        assert!(read(text).is_ok());
        for length in 0..text.len() {
            assert_eq!(read(&text[..length]), Err(Malformed), "{length}");
        }
        assert_eq!(read(b"i1ei2e"), Err(Malformed));
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        let wrong: [&[u8]; 9] = [
            b"ie",
            b"i-e",
            b"i+1e",
            b"i1 e",
            b"i9223372036854775808e",
            b"-1:a",
            b"+1:a",
            b":",
            b"99999999:a",
        ];
        for text in wrong {
            assert_eq!(read(text), Err(Malformed), "{}", text.escape_ascii());
        }
        assert_eq!(read(b"i-9223372036854775808e"), Ok(Value::Integer(i64::MIN)));
    }

    #[test]
    fn what_is_nested_too_deep_or_too_long_is_refused() {
        let nested = |depth: usize| [vec![b'l'; depth], vec![b'e'; depth]].concat();
        assert!(read(&nested(usize::from(DEPTH_MAX) + 1)).is_ok());
        assert_eq!(read(&nested(usize::from(DEPTH_MAX) + 2)), Err(Malformed));
        assert_eq!(read(&nested(30_000)), Err(Malformed));
        let list = |length: usize| [&b"l"[..], &b"0:".repeat(length), b"e"].concat();
        assert!(read(&list(VALUES_MAX - 1)).is_ok());
        assert_eq!(read(&list(VALUES_MAX)), Err(Malformed));
    }

    /// A value that owns its strings.
    #[derive(Clone, Debug)]
    enum Owned {
        Integer(i64),
        Bytes(Vec<u8>),
        List(Vec<Owned>),
        Dictionary(Vec<(Vec<u8>, Owned)>),
    }

    impl Owned {
        fn lend(&self) -> Value<'_> {
            match self {
                Owned::Integer(number) => Value::Integer(*number),
                Owned::Bytes(bytes) => Value::Bytes(bytes),
                Owned::List(values) => Value::List(values.iter().map(Owned::lend).collect()),
                Owned::Dictionary(entries) => Value::Dictionary(
                    entries.iter().map(|(key, value)| (key.as_slice(), value.lend())).collect(),
                ),
            }
        }
    }

    fn values() -> impl Strategy<Value = Owned> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Owned::Integer),
            vec(any::<u8>(), 0..20).prop_map(Owned::Bytes)
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..6).prop_map(Owned::List),
                vec((vec(any::<u8>(), 0..8), inner), 0..6).prop_map(Owned::Dictionary)
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(value in values()) {
            let mut text = Vec::new();
            value.lend().write(&mut text);
            prop_assert_eq!(read(&text), Ok(value.lend()));
        }

        #[test]
        fn any_bytes_are_read_or_refused(text in vec(prop_oneof![
            any::<u8>(), Just(b'd'), Just(b'l'), Just(b'i'), Just(b'e'), Just(b':'), b'0'..=b'9'
        ], 0..200)) {
            if let Ok(value) = read(&text) {
                let mut again = Vec::new();
                value.write(&mut again);
                prop_assert_eq!(read(&again), Ok(value));
            }
        }
    }
}
