//! Chances that come out the same for the same seed: the n-th draw depends on nothing but the seed and n.

/// The draws of one kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dice {
    seed: u64,
    drawn: u64,
}

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Dice { seed, drawn: 0 }
    }

    /// From 0 up to, and without, `n` (splitmix64).
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.drawn += 1;
        let at = self.drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(self.seed);
        let mixed = (at ^ (at >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % n.max(1)
    }

    /// True this many times in a thousand.
    pub(super) fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1000) < u64::from(per_mille)
    }
}
