//! How far each nonce has been used (RFC 7616 §3.4, `nc`): a bounded table that forgets the oldest nonces
//! first and then takes them for stale.

use crate::ids::Mint;

/// Nonces that share one set of the table.
const WAYS: usize = 8;

/// The table. Entries are made by correct credentials alone, so that nobody without a password can push
/// others' out.
#[derive(Debug)]
pub struct Replays {
    sets: Box<[Set]>,
}

#[derive(Clone, Debug, Default)]
struct Set {
    used: [Used; WAYS],
    /// The newest nonce that was ever forgotten: of older ones it is not known how far they were used.
    forgotten: u64,
}

/// A nonce's number, from 1 on, and the last count that came with it; number 0: an empty place.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    number: u64,
    nc: u32,
}

impl Replays {
    /// A table for at least so many nonces.
    #[must_use]
    pub fn new(nonces: usize) -> Replays {
        let sets = nonces.div_ceil(WAYS).next_power_of_two();
        Replays { sets: vec![Set::default(); sets].into() }
    }

    /// Whether a nonce may be used with this count: only if it is higher than any before. From then on it is
    /// used that far.
    pub fn take(&mut self, mint: &Mint, number: u64, nc: u32) -> bool {
        // By a hash that nobody outside can foresee: a subscriber could choose nonces that share a set.
        let place = mint.hash(&[&number.to_be_bytes()]) as usize & (self.sets.len() - 1);
        let set = &mut self.sets[place];
        if let Some(used) = set.used.iter_mut().find(|used| used.number == number) {
            let is_next = nc > used.nc;
            used.nc = used.nc.max(nc);
            return is_next;
        }
        if number <= set.forgotten || nc == 0 {
            return false;
        }
        let used = Used { number, nc };
        // There is a least one: a set is never empty.
        if let Some(oldest) = set.used.iter_mut().min_by_key(|used| used.number) {
            // The oldest of all may be the new one itself.
            let gone = if oldest.number < number { std::mem::replace(oldest, used) } else { used };
            set.forgotten = set.forgotten.max(gone.number);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_taken_once_and_only_upwards() {
        let (mut replays, mint) = (Replays::new(64), Mint::new(0, 1, 7, 9));
        assert!(!replays.take(&mint, 5, 0));
        assert!(replays.take(&mint, 5, 2));
        for old in 0..=2 {
            assert!(!replays.take(&mint, 5, old));
        }
        assert!(replays.take(&mint, 5, 7));
        assert!(replays.take(&mint, 6, 1));
        assert!(!replays.take(&mint, 5, 3));
        assert!(replays.take(&mint, 5, u32::MAX));
        assert!(!replays.take(&mint, 5, u32::MAX));
    }

    #[test]
    fn what_was_forgotten_is_never_taken_again() {
        let (mut replays, mint) = (Replays::new(64), Mint::new(0, 1, 7, 9));
        let order = || (1..5_000u64).map(|number| number * 7_919 % 4_999 + 1);
        let taken: Vec<u64> = order().filter(|&number| replays.take(&mint, number, 1)).collect();
        assert!(taken.len() >= 64, "{}", taken.len());
        for &number in &taken {
            assert!(!replays.take(&mint, number, 1), "{number}");
        }
        // A new nonce always finds a place.
        for number in 5_000..6_000 {
            assert!(replays.take(&mint, number, 1));
        }
    }
}
