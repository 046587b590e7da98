//! Who guesses passwords is slowed (RFC 3261 §26.1.5): each source may fail so many times at once, and so
//! many times a minute after that.

use crate::clock::Now;
use crate::ids::Mint;
use std::net::IpAddr;

/// Sources that share one set of the table.
const WAYS: usize = 8;

/// Sets: 16,384 sources fail at once before the least guilty are forgotten.
const SETS: usize = 2_048;

const MINUTE_MS: u64 = 60_000;

/// A bucket of tries for each source that has failed.
#[derive(Debug)]
pub struct Throttle {
    /// Empty where failures are not counted.
    sets: Box<[[Source; WAYS]]>,
    /// How long it takes to win one try back.
    try_ms: u64,
}

/// A source that failed. When all its tries are back it is forgotten.
#[derive(Clone, Copy, Debug, Default)]
struct Source {
    key: u64,
    /// When all its tries are back.
    clean_ms: u64,
}

impl Throttle {
    /// `failures` that one source may make in a minute, on all shards together; 0: as many as it likes.
    #[must_use]
    pub fn new(failures: u32, shards: u16) -> Throttle {
        let failures = failures.div_ceil(u32::from(shards.max(1)));
        match failures {
            0 => Throttle { sets: Box::default(), try_ms: 0 },
            failures => Throttle {
                sets: vec![[Source::default(); WAYS]; SETS].into(),
                try_ms: MINUTE_MS / u64::from(failures),
            },
        }
    }

    /// After how many seconds a source may try again; 0: now.
    #[must_use]
    pub fn wait_s(&self, mint: &Mint, now: Now, source: IpAddr) -> u32 {
        let (key, place) = self.place(mint, source);
        let found = self.sets.get(place).and_then(|set| set.iter().find(|source| source.key == key));
        let clean_ms = found.map_or(0, |source| source.clean_ms);
        let free_ms = (clean_ms + self.try_ms).saturating_sub(MINUTE_MS);
        // At most a minute.
        free_ms.saturating_sub(now.as_ms()).div_ceil(1_000) as u32
    }

    /// Notes a failure.
    pub fn fail(&mut self, mint: &Mint, now: Now, source: IpAddr) {
        let (key, place) = self.place(mint, source);
        let Some(set) = self.sets.get_mut(place) else { return };
        let known = set.iter().position(|source| source.key == key);
        let least = || (0..WAYS).min_by_key(|&way| set[way].clean_ms);
        let Some(way) = known.or_else(least) else { return };
        let before = if known.is_some() { set[way].clean_ms } else { 0 };
        set[way] = Source { key, clean_ms: before.max(now.as_ms()) + self.try_ms };
    }

    /// A source's key and its set. Of IPv6 the network counts: whoever has one address has 2⁶⁴.
    fn place(&self, mint: &Mint, source: IpAddr) -> (u64, usize) {
        let key = match source.to_canonical() {
            IpAddr::V4(ip) => mint.hash(&[&ip.octets()]),
            IpAddr::V6(ip) => mint.hash(&[&ip.octets()[..8]]),
        };
        // An empty place has key 0.
        (key | 1, (key >> 32) as usize & (SETS - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Now {
        Now::from_ms(ms)
    }

    #[test]
    fn tries_run_out_and_come_back_one_by_one() {
        let (mut throttle, mint) = (Throttle::new(10, 1), Mint::new(0, 1, 7, 9));
        let (one, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        for _ in 0..10 {
            assert_eq!(throttle.wait_s(&mint, at(5_000), one), 0);
            throttle.fail(&mint, at(5_000), one);
        }
        assert_eq!(throttle.wait_s(&mint, at(5_000), one), 6);
        assert_eq!(throttle.wait_s(&mint, at(5_000), other), 0);
        assert_eq!(throttle.wait_s(&mint, at(10_999), one), 1);
        assert_eq!(throttle.wait_s(&mint, at(11_000), one), 0);
        throttle.fail(&mint, at(11_000), one);
        assert_eq!(throttle.wait_s(&mint, at(11_000), one), 6);
        assert_eq!(throttle.wait_s(&mint, at(71_000), one), 0);
    }

    #[test]
    fn shards_share_the_failures_and_none_are_counted_where_none_are_limited() {
        let mint = Mint::new(0, 1, 7, 9);
        let source = "2001:db8::1".parse().unwrap();
        let neighbour = "2001:db8::2".parse().unwrap();
        let mut third = Throttle::new(10, 3);
        for _ in 0..4 {
            assert_eq!(third.wait_s(&mint, at(0), neighbour), 0);
            third.fail(&mint, at(0), source);
        }
        assert!(third.wait_s(&mint, at(0), neighbour) > 0);
        let mut off = Throttle::new(0, 3);
        (0..1_000).for_each(|_| off.fail(&mint, at(0), source));
        assert_eq!(off.wait_s(&mint, at(0), source), 0);
    }

    #[test]
    fn many_sources_do_not_make_the_guilty_innocent() {
        let (mut throttle, mint) = (Throttle::new(2, 1), Mint::new(0, 1, 7, 9));
        let guilty = "192.0.2.1".parse().unwrap();
        (0..2).for_each(|_| throttle.fail(&mint, at(0), guilty));
        for number in 0..100_000u32 {
            throttle.fail(&mint, at(0), std::net::Ipv4Addr::from(number).into());
        }
        assert!(throttle.wait_s(&mint, at(0), guilty) > 0);
    }
}
