//! Which ports are a shard's, and in which order it takes them.

use siphasher::sip::SipHasher13;
use std::collections::VecDeque;
use std::hash::Hasher;

/// A generator for orders that are not to be guessed; Sebastiano Vigna's SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }
}

/// The even ports, one per pair, that a shard has not bound yet. The pairs of a range are numbered from 0;
/// pair `n` is shard `n % shards`'s.
#[derive(Debug)]
pub struct Plan {
    /// The next one last.
    ports: Vec<u16>,
    /// Those that something else had, the first to be tried again in front.
    taken: VecDeque<u16>,
}

impl Plan {
    /// The share of `shard` of the pairs in `first_port..=last_port`, shuffled by `secret`: whoever knows one
    /// call's ports is not to know the next call's.
    #[must_use]
    pub fn new((first_port, last_port): (u16, u16), (shard, shards): (u16, u16), secret: u64) -> Plan {
        let own = usize::from(shard)..;
        let pairs = pairs((first_port, last_port));
        let mut ports: Vec<u16> = own
            .step_by(usize::from(shards.max(1)))
            .take_while(|&pair| pair < pairs)
            .map(|pair| {
                // Below the last port, so below 65,536.
                first_port + 2 * pair as u16
            })
            .collect();
        let mut random = Random(seed(secret));
        // Fisher and Yates.
        for end in (2..=ports.len()).rev() {
            let other = random.below(end);
            ports.swap(end - 1, other);
        }
        Plan { ports, taken: VecDeque::new() }
    }

    /// The next pair's RTP port.
    pub fn take(&mut self) -> Option<u16> {
        self.ports.pop()
    }

    /// `port` could not be tried now: it comes next again.
    pub fn put_back(&mut self, port: u16) {
        self.ports.push(port);
    }

    /// Something else has `port`: it comes again after all others.
    pub fn set_aside(&mut self, port: u16) {
        self.taken.push_back(port);
    }

    /// The port that was set aside first.
    pub fn take_again(&mut self) -> Option<u16> {
        self.taken.pop_front()
    }

    /// Pairs that are left, those that were set aside included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ports.len() + self.taken.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What the order is made from: a keyed hash, because the order can be seen and the secret keys other things.
fn seed(secret: u64) -> u64 {
    /// "ports".
    const LABEL: u64 = 0x70_6f72_7473;
    let mut hasher = SipHasher13::new_with_keys(secret, LABEL);
    hasher.write_u64(0);
    hasher.finish()
}

/// How many pairs a range has.
#[must_use]
pub fn pairs((first_port, last_port): (u16, u16)) -> usize {
    (usize::from(last_port) + 1).saturating_sub(first_port.into()) / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ports(range: (u16, u16), share: (u16, u16), secret: u64) -> Vec<u16> {
        let mut plan = Plan::new(range, share, secret);
        std::iter::from_fn(|| plan.take()).collect()
    }

    proptest! {
        #[test]
        fn the_shares_are_disjoint_and_cover_the_range(
            first in 0u16..32_000, pairs in 1u16..700, shards in 1u16..20, secret: u64,
        ) {
            let range = (2 * first, 2 * first + 2 * pairs - 1);
            let mut all: Vec<u16> =
                (0..shards).flat_map(|shard| ports(range, (shard, shards), secret)).collect();
            all.sort_unstable();
            let expected: Vec<u16> = (0..pairs).map(|pair| range.0 + 2 * pair).collect();
            prop_assert_eq!(all, expected);
        }
    }

    #[test]
    fn every_port_up_to_the_last_is_used() {
        assert_eq!(pairs((30_000, 59_999)), 15_000);
        assert_eq!(pairs((65_534, 65_535)), 1);
        assert_eq!(ports((65_534, 65_535), (0, 1), 7), [65_534]);
        assert!(ports((65_534, 65_535), (1, 2), 7).is_empty());
    }

    #[test]
    fn the_order_hangs_on_the_secret_alone() {
        let range = (30_000, 30_199);
        assert_eq!(ports(range, (0, 1), 7), ports(range, (0, 1), 7));
        assert_ne!(ports(range, (0, 1), 7), ports(range, (0, 1), 8));
        assert!(!ports(range, (0, 1), 7).is_sorted());
    }

    #[test]
    fn what_is_put_back_comes_next() {
        let mut plan = Plan::new((30_000, 30_099), (0, 1), 7);
        let port = plan.take().expect("a port");
        plan.put_back(port);
        assert_eq!((plan.take(), plan.len()), (Some(port), 49));
    }
    #[test]
    fn the_order_is_not_that_of_the_secret_itself() {
        let range = (30_000, 30_199);
        let mut shuffled: Vec<u16> = (30_000..=30_199).step_by(2).collect();
        let mut random = Random(7);
        for end in (2..=shuffled.len()).rev() {
            let other = random.below(end);
            shuffled.swap(end - 1, other);
        }
        shuffled.reverse();
        assert_ne!(ports(range, (0, 1), 7), shuffled);
    }

    #[test]
    fn what_is_set_aside_comes_again_in_its_order_and_only_when_it_is_asked_for() {
        let mut plan = Plan::new((30_000, 30_009), (0, 1), 7);
        let [one, other] = [(); 2].map(|()| plan.take().expect("a port"));
        plan.set_aside(one);
        plan.set_aside(other);
        assert_eq!(plan.len(), 5);
        assert_eq!(std::iter::from_fn(|| plan.take()).count(), 3);
        assert!(!plan.is_empty());
        assert_eq!([(); 3].map(|()| plan.take_again()), [Some(one), Some(other), None]);
        assert!(plan.is_empty());
    }
}
