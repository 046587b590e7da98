//! Randomness that a seed gives: one stream for each call, so that a call plays the same alone.

/// SplitMix64 (Steele, Lea, Flood 2014): 64 bits of state, every seed as good as another.
#[derive(Clone, Copy)]
pub struct Rng(u64);

/// A probability, in units of 2⁻³².
#[derive(Clone, Copy)]
pub struct Odds(u32);

impl Odds {
    pub fn new(probability: f64) -> Odds {
        Odds((probability.clamp(0.0, 1.0) * f64::from(u32::MAX)) as u32)
    }
}

impl Rng {
    pub fn new(seed: u64, stream: u64) -> Rng {
        let mut rng = Rng(seed);
        let base = rng.draw();
        Rng(base ^ stream.wrapping_mul(0xd6e8_feb8_6659_fd93))
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u32) -> u32 {
        (((self.draw() >> 32) * u64::from(end)) >> 32) as u32
    }

    /// A number from `first` to `last`.
    pub fn between(&mut self, first: u32, last: u32) -> u32 {
        first + self.below(last - first + 1)
    }

    pub fn chance(&mut self, odds: Odds) -> bool {
        ((self.draw() >> 32) as u32) < odds.0
    }

    pub fn percent(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u32) as usize]
    }
}
