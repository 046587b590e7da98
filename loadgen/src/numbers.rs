//! The numbers that are played with: one, or a range whose members have equally many digits, so that they
//! fit the same hole of a message.

use crate::call::Id;
use ringway::limits::NUMBER_BYTES_MAX;
use std::str::FromStr;

/// The most digits that the members of a range differ in.
const DIGITS_MAX: usize = 18;

/// `1003`, `1000000-1999999` or `+4930100000-+4930199999`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// The first of them.
    text: String,
    /// How many digits at its end count on.
    digits: usize,
    first: u64,
    count: u64,
}

/// The text of one number.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    bytes: [u8; NUMBER_BYTES_MAX],
    length: usize,
}

impl Number {
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

impl Numbers {
    /// How many there are, at least one.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The length of each.
    pub fn length(&self) -> usize {
        self.text.len()
    }

    /// The number at a place; places beyond the last begin again at the first.
    #[inline]
    pub fn nth(&self, place: u64) -> Number {
        let mut number = Number { bytes: [0; NUMBER_BYTES_MAX], length: self.text.len() };
        number.bytes[..number.length].copy_from_slice(self.text.as_bytes());
        let mut rest = self.first + place % self.count;
        for digit in number.bytes[number.length - self.digits..number.length].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        number
    }

    /// The number that a call draws: the same whenever it is asked for, spread evenly over all of them. Two
    /// draws of one call do not depend on each other when their `salt` differs.
    #[inline]
    pub fn drawn_by(&self, id: Id, salt: u64) -> Number {
        // The finalizer of SplitMix64: every bit of the call's name bears on every bit of the draw.
        let mut bits = (id.handle.bits() ^ u64::from(id.origin.lane) << 56).wrapping_add(salt);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        self.nth(((u128::from(bits) * u128::from(self.count)) >> 64) as u64)
    }

    pub fn contains(&self, number: &[u8]) -> bool {
        let Some((head, digits)) = number.split_at_checked(self.text.len() - self.digits) else {
            return false;
        };
        let value = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u64>().ok());
        number.len() == self.text.len()
            && head == &self.text.as_bytes()[..head.len()]
            && (self.digits == 0 || value.is_some_and(|value| value.wrapping_sub(self.first) < self.count))
    }
}

impl std::fmt::Display for Numbers {
    /// The first, and the last where there are more.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)?;
        if self.count > 1 { write!(f, "-{}", self.nth(self.count - 1)) } else { Ok(()) }
    }
}

impl FromStr for Numbers {
    type Err = String;

    fn from_str(text: &str) -> Result<Numbers, String> {
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let digits = |text: &str| text.strip_prefix('+').unwrap_or(text).to_owned();
        if let Some((first, last)) = text.split_once('-')
            && is_digits(&digits(first))
            && is_digits(&digits(last))
        {
            return Numbers::range(first, last, &digits(first), &digits(last));
        }
        let is_user = |c: char| c.is_ascii_alphanumeric() || "-_.!~*'()&=+$,;?/".contains(c);
        if text.is_empty() || !text.chars().all(is_user) {
            return Err("a number is the user part of a SIP URI: digits, letters, + - . _".into());
        }
        if text.len() > NUMBER_BYTES_MAX {
            return Err(format!("a number has at most {NUMBER_BYTES_MAX} characters"));
        }
        Ok(Numbers { text: text.into(), digits: 0, first: 0, count: 1 })
    }
}

impl Numbers {
    fn range(first: &str, last: &str, low: &str, high: &str) -> Result<Numbers, String> {
        if first.len() != last.len() || low.len() != high.len() {
            return Err(format!("{first} and {last} must have equally many digits"));
        }
        if low.len() > DIGITS_MAX {
            return Err(format!("the numbers of a range have at most {DIGITS_MAX} digits"));
        }
        let value = |digits: &str| digits.parse::<u64>().map_err(|error| error.to_string());
        let (low_value, high_value) = (value(low)?, value(high)?);
        if high_value < low_value {
            return Err(format!("{last} comes before {first}; write the smaller number first"));
        }
        let count = high_value - low_value + 1;
        Ok(Numbers { text: first.into(), digits: low.len(), first: low_value, count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Origin;
    use crate::slab::Handle;
    use std::collections::BTreeSet;

    fn numbers(text: &str) -> Numbers {
        text.parse().expect("numbers")
    }

    fn id(bits: u64) -> Id {
        Id { origin: Origin { run: 1, lane: 0 }, handle: Handle::from_bits(bits) }
    }

    #[test]
    fn a_range_counts_its_digits_up_and_begins_again() {
        let range = numbers("0098-0101");
        let all: Vec<String> = (0..5).map(|place| range.nth(place).to_string()).collect();
        assert_eq!(all, ["0098", "0099", "0100", "0101", "0098"]);
        assert_eq!((range.count(), range.length()), (4, 4));
        assert_eq!(range.to_string(), "0098-0101");
        let international = numbers("+4930100-+4930199");
        assert_eq!(international.nth(99).to_string(), "+4930199");
    }

    #[test]
    fn one_number_may_be_any_user_part() {
        for text in ["1003", "alice", "+49301", "a-b", "12-b"] {
            let one = numbers(text);
            assert_eq!((one.count(), one.nth(7).to_string()), (1, text.to_owned()));
            assert!(one.contains(text.as_bytes()) && !one.contains(b"x") && !one.contains(b""));
        }
    }

    #[test]
    fn what_is_no_range_is_refused_with_the_reason() {
        let refused = |text: &str| text.parse::<Numbers>().expect_err("refused");
        assert_eq!(refused("99-100"), "99 and 100 must have equally many digits");
        assert_eq!(refused("+99-100"), "+99 and 100 must have equally many digits");
        assert!(refused("200-100").contains("smaller number first"));
        assert!(refused("1000000000000000000-1000000000000000001").contains("18 digits"));
        assert!(refused("a b").contains("user part"));
        assert!(refused("").contains("user part"));
        assert!(refused(&"1".repeat(65)).contains("64"));
    }

    #[test]
    fn a_range_knows_its_own() {
        let range = numbers("+0098-+0101");
        for own in ["+0098", "+0101"] {
            assert!(range.contains(own.as_bytes()));
        }
        for other in ["+0097", "+0102", "0098", "0100", "+098", "+00980", "+00a8", ""] {
            assert!(!range.contains(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn draws_are_repeatable_and_reach_every_number() {
        let range = numbers("000-999");
        assert_eq!(range.drawn_by(id(5), 1).as_bytes(), range.drawn_by(id(5), 1).as_bytes());
        let drawn: BTreeSet<String> = (0..20_000).map(|n| range.drawn_by(id(n), 1).to_string()).collect();
        assert_eq!(drawn.len(), 1_000);
        let same = (0..10_000u64)
            .filter(|n| range.drawn_by(id(*n), 1).as_bytes() == range.drawn_by(id(*n), 2).as_bytes())
            .count();
        assert!(same < 40, "two salts agree as seldom as chance has it, not {same} times in 10,000");
    }
}
