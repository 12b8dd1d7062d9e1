//! Operands for tests: a fixed sequence that favours the values that hurt.

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    /// 64 uniform bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.bits() % n
    }

    /// The bits of a float with the given field widths: uniform, or with few significant bits so that ties occur, or
    /// close to one in size so that sums do not swallow an operand, or at an end of the range.
    pub fn float(&mut self, exponent_bits: u32, mantissa_bits: u32) -> u64 {
        let width = exponent_bits + mantissa_bits + 1;
        let bits = self.bits() >> (64 - width);
        let sign = bits & 1 << (width - 1);
        let bias = (1 << (exponent_bits - 1)) - 1;
        match self.below(6) {
            0 | 1 => bits,
            2 => bits & !0 << (mantissa_bits / 2),
            3 | 4 => {
                let near = bias + self.below(9) - 4;
                let mask = if self.below(2) == 0 { !0 } else { !0 << (mantissa_bits / 2) };
                sign | near << mantissa_bits | (bits & ((1 << mantissa_bits) - 1) & mask)
            }
            _ => {
                let infinity = ((1u64 << exponent_bits) - 1) << mantissa_bits;
                let ends =
                    [0, 1, 2, (1 << mantissa_bits) - 1, 1 << mantissa_bits, infinity - 1, infinity, infinity + 1];
                sign | ends[self.below(ends.len() as u64) as usize]
            }
        }
    }
}
