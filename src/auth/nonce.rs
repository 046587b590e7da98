//! Nonces (RFC 7616 §3.3, §5.4): nothing is kept of those that are given out. A nonce says when and by which
//! shard it was made and for whom, and a keyed hash vouches for it.

use crate::clock::UnixSeconds;
use crate::ids::{read_hex, write_hex};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;
use std::net::IpAddr;

/// Hexadecimal digits: time 8, number 16, source 8, shard 2 and hash 32.
pub const NONCE_BYTES: usize = 66;

/// Digits before the hash.
const FACTS_BYTES: usize = 34;

/// What makes and reads the nonces of one shard.
#[derive(Clone, Debug)]
pub struct Nonces {
    key: SipHasher13,
    shard: u8,
    /// How many were made.
    made: u64,
}

/// What a nonce is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// We never made it.
    Forged,
    /// We made it, but too long ago, on another shard, or for another address.
    Stale,
    /// The n-th of this shard, made at this time.
    Good { number: u64, issued: UnixSeconds },
}

/// A nonce as text.
pub type Nonce = [u8; NONCE_BYTES];

impl Nonces {
    /// `seed` is the same on all shards, so that each knows the others' nonces from forged ones.
    #[must_use]
    pub fn new(shard: u16, seed: u64) -> Nonces {
        // There are at most 255 shards.
        Nonces { key: SipHasher13::new_with_keys(seed, 0x6e6f_6e63_6573), shard: shard as u8, made: 0 }
    }

    /// A nonce that no other is like. It is bound to the address that asked, so that nobody can spend
    /// another's tries (see [`super::throttle`]) with a forged one.
    pub fn make(&mut self, now: UnixSeconds, source: IpAddr) -> Nonce {
        self.made += 1;
        let mut nonce = [0; NONCE_BYTES];
        write_hex(&mut nonce[..8], now.0 as u32);
        write_hex(&mut nonce[8..16], (self.made >> 32) as u32);
        write_hex(&mut nonce[16..24], self.made as u32);
        write_hex(&mut nonce[24..32], self.source(source));
        let (high, low) = (self.shard >> 4, self.shard & 15);
        nonce[32] = DIGITS[usize::from(high)];
        nonce[33] = DIGITS[usize::from(low)];
        let hash = self.hash(&nonce[..FACTS_BYTES]);
        for (digits, shift) in nonce[FACTS_BYTES..].chunks_exact_mut(8).zip([96, 64, 32, 0]) {
            write_hex(digits, (hash >> shift) as u32);
        }
        nonce
    }

    /// What a text that a request from `source` brings as its nonce is worth.
    #[must_use]
    pub fn judge(&self, text: &[u8], now: UnixSeconds, lifetime_s: u32, source: IpAddr) -> Worth {
        self.read(text, now, lifetime_s, source).unwrap_or(Worth::Forged)
    }

    fn read(&self, text: &[u8], now: UnixSeconds, lifetime_s: u32, source: IpAddr) -> Option<Worth> {
        let text: &Nonce = text.try_into().ok()?;
        let words = [0, 8, 16, 24].map(|at| read_hex(&text[at..at + 8]));
        let [Some(issued), Some(high), Some(low), Some(bound_to)] = words else { return None };
        let shard = read_hex(&text[32..34])?;
        let mut hash = 0;
        for digits in text[FACTS_BYTES..].chunks_exact(8) {
            hash = hash << 32 | u128::from(read_hex(digits)?);
        }
        if hash != self.hash(&text[..FACTS_BYTES]) {
            return None;
        }
        let issued = UnixSeconds(issued.into());
        let is_fresh = now.0 < issued.0.saturating_add(lifetime_s.into());
        if !is_fresh || shard != u32::from(self.shard) || bound_to != self.source(source) {
            return Some(Worth::Stale);
        }
        Some(Worth::Good { number: u64::from(high) << 32 | u64::from(low), issued })
    }

    fn hash(&self, facts: &[u8]) -> u128 {
        let mut hasher = self.key;
        hasher.write(facts);
        hasher.finish128().as_u128()
    }

    /// Stands for an address.
    fn source(&self, source: IpAddr) -> u32 {
        let mut hasher = self.key;
        match source {
            IpAddr::V4(ip) => hasher.write(&ip.octets()),
            IpAddr::V6(ip) => hasher.write(&ip.octets()),
        }
        hasher.finish128().h1 as u32
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_381_399_635);
    const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

    #[test]
    fn a_nonce_is_good_for_its_time_its_shard_and_its_asker() {
        let (mut here, mut there) = (Nonces::new(1, 7), Nonces::new(254, 7));
        let at = |s| UnixSeconds(NOW.0 + s);
        let (first, second) = (here.make(NOW, SOURCE), here.make(NOW, SOURCE));
        assert_ne!(first, second);
        for (number, nonce) in [(1, first), (2, second)] {
            let good = Worth::Good { number, issued: NOW };
            assert_eq!(here.judge(&nonce, at(299), 300, SOURCE), good);
            assert_eq!(here.judge(&nonce, at(300), 300, SOURCE), Worth::Stale);
            assert_eq!(here.judge(&nonce, NOW, 300, OTHER), Worth::Stale);
            assert_eq!(there.judge(&nonce, NOW, 300, SOURCE), Worth::Stale);
        }
        let foreign = there.make(NOW, SOURCE);
        assert_eq!(here.judge(&foreign, NOW, 300, SOURCE), Worth::Stale);
        assert!(matches!(there.judge(&foreign, NOW, 300, SOURCE), Worth::Good { .. }));
    }

    #[test]
    fn a_forged_nonce_is_none_of_ours() {
        let mut nonces = Nonces::new(1, 7);
        let nonce = nonces.make(NOW, SOURCE);
        for position in 0..nonce.len() {
            for byte in [b'0', b'1', b'A', b'g', 0xff] {
                let mut forged = nonce;
                forged[position] = byte;
                let expected =
                    if forged == nonce { Worth::Good { number: 1, issued: NOW } } else { Worth::Forged };
                assert_eq!(nonces.judge(&forged, NOW, 300, SOURCE), expected);
            }
            assert_eq!(nonces.judge(&nonce[..position], NOW, 300, SOURCE), Worth::Forged);
        }
        assert_eq!(Nonces::new(1, 8).judge(&nonce, NOW, 300, SOURCE), Worth::Forged);
    }
}
