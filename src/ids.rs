//! What we mint: branches, tags, Call-IDs, Record-IDs.
//!
//! Branches and tags carry the handle of the record that they stand for, so that a response or an
//! in-dialog request finds it by index and a compare; a keyed hash of the handle beside it makes them
//! unguessable and lets them be written again from the handle alone.
//!
//! What peers get to see is made by SipHash, a pseudo-random function: no number of branches, tags or
//! Call-IDs tells anything of the next one or of the key. Tables, whose hashes nobody sees, use ahash.

use crate::slab::Handle;
use ahash::RandomState;
use siphasher::sip::SipHasher13;
use std::hash::Hasher;

/// RFC 3261 §8.1.1.7.
pub const MAGIC_COOKIE: &[u8] = b"z9hG4bK";

/// Hex digits of a handle and its proof: index 8, generation 8, proof 8.
const TOKEN_BYTES: usize = 24;

/// A branch of ours.
pub const BRANCH_BYTES: usize = MAGIC_COOKIE.len() + 1 + TOKEN_BYTES;

/// A tag of ours.
pub const TAG_BYTES: usize = 1 + TOKEN_BYTES;

/// What a token stands for; its first letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A client transaction's branch.
    Transaction = b't' as isize,
    /// The branch of the ACK to a 2xx, which is a transaction of its own without a record.
    Ack = b'k' as isize,
    /// Our tag in the dialog with the caller.
    Call = b'a' as isize,
    /// Our tag in a dialog with a callee.
    Leg = b'b' as isize,
}

/// A branch as text.
pub type Branch = [u8; BRANCH_BYTES];

/// A tag as text.
pub type Tag = [u8; TAG_BYTES];

/// The shard's mint.
#[derive(Clone, Debug)]
pub struct Mint {
    proofs: SipHasher13,
    numbers: SipHasher13,
    tables: RandomState,
    owners: RandomState,
    drawn: u64,
    shard: u16,
    shards: u16,
    records: u64,
}

impl Mint {
    /// `owner_seed` is the same on all shards; `secret` is this shard's own.
    #[must_use]
    pub fn new(shard: u16, shards: u16, owner_seed: u64, secret: u64) -> Mint {
        let keyed = |use_of_key: u64| SipHasher13::new_with_keys(secret, use_of_key);
        let table_key = |number: u64| hash_number(&keyed(3), number);
        Mint {
            proofs: keyed(1),
            numbers: keyed(2),
            tables: RandomState::with_seeds(table_key(0), table_key(1), table_key(2), table_key(3)),
            owners: owner_hash(owner_seed),
            drawn: 0,
            shard,
            shards: shards.max(1),
            records: 0,
        }
    }

    /// Which shard owns a Call-ID.
    #[must_use]
    pub fn owner(&self, call_id: &[u8]) -> u16 {
        if self.shards == 1 {
            return 0;
        }
        (self.owners.hash_one(call_id) % u64::from(self.shards)) as u16
    }

    /// A keyed hash of texts, for keys of tables; not to be shown to peers.
    #[must_use]
    pub fn hash(&self, parts: &[&[u8]]) -> u64 {
        self.tables.hash_one(parts)
    }

    /// A keyed hash of texts that peers may see.
    #[must_use]
    pub fn public_hash(&self, parts: &[&[u8]]) -> u64 {
        let mut hasher = self.proofs;
        for part in parts {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        hasher.finish()
    }

    /// A random number; the same secret gives the same sequence.
    pub fn random(&mut self) -> u64 {
        self.drawn += 1;
        hash_number(&self.numbers, self.drawn)
    }

    #[must_use]
    pub fn branch(&self, kind: Kind, handle: Handle) -> Branch {
        let mut branch = [0; BRANCH_BYTES];
        branch[..MAGIC_COOKIE.len()].copy_from_slice(MAGIC_COOKIE);
        branch[MAGIC_COOKIE.len()..].copy_from_slice(&self.tag(kind, handle));
        branch
    }

    #[must_use]
    pub fn tag(&self, kind: Kind, handle: Handle) -> Tag {
        let mut tag = [0; TAG_BYTES];
        tag[0] = kind as u8;
        write_hex(&mut tag[1..9], handle.index);
        write_hex(&mut tag[9..17], handle.generation);
        write_hex(&mut tag[17..25], self.proof(kind, handle));
        tag
    }

    /// A branch that names no record, for a message that is sent once.
    pub fn branch_of_nobody(&mut self) -> Branch {
        let generation = self.random() as u32;
        self.branch(Kind::Ack, Handle { index: u32::MAX, generation })
    }

    /// The transaction that a branch of ours names; `None`: it is not ours.
    #[must_use]
    pub fn read_branch(&self, branch: &[u8]) -> Option<Handle> {
        let (kind, handle) = self.read_tag(branch.strip_prefix(MAGIC_COOKIE)?)?;
        (kind == Kind::Transaction).then_some(handle)
    }

    /// The record that a tag of ours names; `None`: it is not ours.
    #[must_use]
    pub fn read_tag(&self, tag: &[u8]) -> Option<(Kind, Handle)> {
        let tag: &Tag = tag.try_into().ok()?;
        let kind = match tag[0] {
            b't' => Kind::Transaction,
            b'k' => Kind::Ack,
            b'a' => Kind::Call,
            b'b' => Kind::Leg,
            _ => return None,
        };
        let handle = Handle { index: read_hex(&tag[1..9])?, generation: read_hex(&tag[9..17])? };
        (read_hex(&tag[17..25])? == self.proof(kind, handle)).then_some((kind, handle))
    }

    /// Writes a Call-ID that this shard owns; `nonce` is what [`Mint::call_id_nonce`] drew for it.
    pub fn write_call_id(out: &mut Vec<u8>, nonce: u64, host: &str) {
        let mut digits = [0; 16];
        write_hex(&mut digits[..8], (nonce >> 32) as u32);
        write_hex(&mut digits[8..], nonce as u32);
        out.extend_from_slice(&digits);
        out.push(b'@');
        out.extend_from_slice(host.as_bytes());
    }

    /// Draws until the Call-ID made of the number hashes to this shard.
    pub fn call_id_nonce(&mut self, host: &str, scratch: &mut Vec<u8>) -> u64 {
        loop {
            let nonce = self.random();
            if self.shards == 1 {
                return nonce;
            }
            scratch.clear();
            Mint::write_call_id(scratch, nonce, host);
            if self.owner(scratch) == self.shard {
                return nonce;
            }
        }
    }

    /// The next Record-ID's sequence number: unique in the process, below 10⁸.
    pub fn record_sequence(&mut self) -> u64 {
        let sequence = self.records * u64::from(self.shards) + u64::from(self.shard);
        self.records += 1;
        sequence % 100_000_000
    }

    fn proof(&self, kind: Kind, handle: Handle) -> u32 {
        let mut hasher = self.proofs;
        hasher.write_u64(u64::from(handle.index) << 32 | u64::from(handle.generation));
        hasher.write_u8(kind as u8);
        hasher.finish() as u32
    }
}

/// The hash that finds a Call-ID's owner: one fixed key for the whole process.
#[must_use]
pub fn owner_hash(seed: u64) -> RandomState {
    RandomState::with_seeds(seed, seed.rotate_left(13), seed.rotate_left(29), seed.rotate_left(47))
}

fn hash_number(key: &SipHasher13, number: u64) -> u64 {
    let mut hasher = *key;
    hasher.write_u64(number);
    hasher.finish()
}

/// Writes the number as lower-case hexadecimal digits: eight fill `out`.
pub(crate) fn write_hex(out: &mut [u8], number: u32) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (position, digit) in out.iter_mut().enumerate() {
        *digit = DIGITS[(number >> (28 - 4 * position) & 15) as usize];
    }
}

/// What each byte is worth as a lower-case hexadecimal digit; 0x80: none.
const HEX_VALUES: [u8; 256] = {
    let mut values = [0x80; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value] as usize] = value as u8;
        value += 1;
    }
    values
};

/// The inverse of [`write_hex`], for up to eight digits.
pub(crate) fn read_hex(digits: &[u8]) -> Option<u32> {
    let mut number = 0;
    let mut seen = 0;
    for &digit in digits {
        let value = HEX_VALUES[usize::from(digit)];
        number = number << 4 | u32::from(value);
        seen |= value;
    }
    (seen < 16).then_some(number)
}

/// Writes `seconds` as `YYYYMMDDhhmmss` in UTC.
#[must_use]
pub fn utc_stamp(seconds: u64) -> [u8; 14] {
    let (year, month, day) = civil_from_days((seconds / 86_400) as i64);
    let second = seconds % 86_400;
    let fields =
        [(year / 100) as u64, (year % 100) as u64, month, day, second / 3_600, second / 60 % 60, second % 60];
    let mut stamp = [0; 14];
    for (position, field) in fields.into_iter().enumerate() {
        stamp[position * 2] = b'0' + (field / 10 % 10) as u8;
        stamp[position * 2 + 1] = b'0' + (field % 10) as u8;
    }
    stamp
}

/// Writes `seconds` as the Date header field has it: `Sat, 13 Nov 2010 23:29:00 GMT` (RFC 3261 §20.17).
#[must_use]
pub fn date(seconds: u64) -> [u8; DATE_BYTES] {
    const WEEKDAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
    const MONTHS: [&[u8; 3]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let stamp = utc_stamp(seconds);
    let month = usize::from(stamp[4] - b'0') * 10 + usize::from(stamp[5] - b'0');
    let mut date = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    // 1970-01-01 was a Thursday.
    date[..3].copy_from_slice(WEEKDAYS[(seconds / 86_400 % 7) as usize]);
    date[5..7].copy_from_slice(&stamp[6..8]);
    date[8..11].copy_from_slice(MONTHS[(month + 11) % 12]);
    date[12..16].copy_from_slice(&stamp[..4]);
    for (place, digits) in [(17, 8), (20, 10), (23, 12)] {
        date[place..place + 2].copy_from_slice(&stamp[digits..digits + 2]);
    }
    date
}

/// The Date header field's value.
const DATE_BYTES: usize = 29;

/// Year, month and day of a day counted from 1970-01-01 (proleptic Gregorian; H. Hinnant's algorithm).
fn civil_from_days(days: i64) -> (i64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u64;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u64, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mint() -> Mint {
        Mint::new(1, 4, 7, 99)
    }

    #[test]
    fn a_branch_names_its_transaction_and_a_forged_one_names_nothing() {
        let mint = mint();
        let handle = Handle { index: 0xdead, generation: 7 };
        let branch = mint.branch(Kind::Transaction, handle);
        assert_eq!(mint.read_branch(&branch), Some(handle));
        for position in 0..branch.len() {
            let mut forged = branch;
            forged[position] = if forged[position] == b'0' { b'1' } else { b'0' };
            assert_eq!(mint.read_branch(&forged), None, "{position}");
        }
        assert_eq!(mint.read_branch(&mint.branch(Kind::Ack, handle)), None);
        assert_eq!(mint.read_branch(b"z9hG4bK"), None);
    }

    #[test]
    fn a_minted_call_id_is_owned_by_the_shard_that_minted_it() {
        let mut mint = mint();
        let mut text = Vec::new();
        for _ in 0..100 {
            let nonce = mint.call_id_nonce("127.0.0.1:5060", &mut Vec::new());
            text.clear();
            Mint::write_call_id(&mut text, nonce, "127.0.0.1:5060");
            assert_eq!(mint.owner(&text), 1);
        }
    }

    #[test]
    fn stamps_are_utc_to_the_second() {
        assert_eq!(&utc_stamp(0), b"19700101000000");
        assert_eq!(&utc_stamp(1_381_399_635), b"20131010100715");
        assert_eq!(&utc_stamp(1_709_251_199), b"20240229235959");
        assert_eq!(&utc_stamp(4_102_444_800), b"21000101000000");
    }

    #[test]
    fn dates_are_those_of_the_rfc() {
        assert_eq!(&date(0), b"Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(&date(1_289_690_940), b"Sat, 13 Nov 2010 23:29:00 GMT");
        assert_eq!(&date(1_709_251_199), b"Thu, 29 Feb 2024 23:59:59 GMT");
    }

    #[test]
    fn record_sequences_of_two_shards_never_meet() {
        let mut seen = std::collections::HashSet::new();
        for shard in 0..3 {
            let mut mint = Mint::new(shard, 3, 1, 1);
            (0..100).for_each(|_| assert!(seen.insert(mint.record_sequence())));
        }
    }
}
