//! What a word of codes is turned into, and how it is multiplied, when W is streamed.

use crate::cpu::simd::Simd;

/// A way to multiply a vector of words of codes with x.
///
/// A *chunk* is what one vector of words holds. From it come [`Operand::VECTORS`] vectors, each to be multiplied with a
/// vector of x that was permuted to match, once per call.
pub trait Operand: Copy + Send + Sync {
    /// Values in a lane's word: 8 codes of 4 bits, or 4 of 8.
    const LANE_VALUES: usize;
    /// Vectors of x per chunk.
    const VECTORS: usize;
    /// Whether sums are scaled per lane and chunk; else they stay integers over the whole row.
    const SCALED: bool;
    /// Whether x is codes and products are [`Simd::dot4`].
    const INTEGER: bool;
    /// The codebook.
    type Table<S: Simd>;
    /// A chunk on its way to vectors, where they are cheaper made all at once.
    type Chunk<S: Simd>: Copy;
    /// The sums of a chunk.
    type Part<S: Simd>: Copy;
    /// The sums of a row.
    type Sum<S: Simd>: Copy;

    /// Loads the codebook.
    fn table<S: Simd>(self, simd: S) -> Self::Table<S>;
    /// What of a chunk is made once.
    fn open<S: Simd>(simd: S, table: &Self::Table<S>, words: S::I) -> Self::Chunk<S>;
    /// Vector `vector` of the chunk.
    fn decode<S: Simd>(simd: S, table: &Self::Table<S>, chunk: Self::Chunk<S>, vector: usize) -> S::I;
    /// No sums.
    fn zero_part<S: Simd>(simd: S) -> Self::Part<S>;
    /// No sums.
    fn zero_sum<S: Simd>(simd: S) -> Self::Sum<S>;
    /// Adds products.
    fn step<S: Simd>(simd: S, part: Self::Part<S>, w: S::I, x: S::I) -> Self::Part<S>;
    /// Adds the sums of a chunk to those of the row.
    fn fold<S: Simd>(simd: S, sum: Self::Sum<S>, part: Self::Part<S>, scales: S::F) -> Self::Sum<S>;
    /// The sum of all lanes; of integers the bits.
    fn reduce<S: Simd>(simd: S, sum: Self::Sum<S>) -> f32;
    /// The values of `lane` (padded with zeros) that vector `vector` of x holds in its word.
    fn x_word(lane: &[f32], vector: usize) -> u32;
}

/// `words >> (4 * count)`; `count` is known when the loop around is unrolled.
#[inline(always)]
fn shift<S: Simd>(simd: S, words: S::I, count: usize) -> S::I {
    match count {
        0 => words,
        1 => simd.shr::<4>(words),
        2 => simd.shr::<8>(words),
        3 => simd.shr::<12>(words),
        4 => simd.shr::<16>(words),
        5 => simd.shr::<20>(words),
        6 => simd.shr::<24>(words),
        _ => simd.shr::<28>(words),
    }
}

/// The sums of an operand whose products are floats: one vector for a chunk, one for the row.
macro_rules! float_sums {
    (|$simd:ident, $part:ident, $w:ident, $x:ident| $step:expr) => {
        #[inline(always)]
        fn zero_part<S: Simd>(simd: S) -> S::F {
            simd.splat(0.0)
        }
        #[inline(always)]
        fn zero_sum<S: Simd>(simd: S) -> S::F {
            simd.splat(0.0)
        }
        #[inline(always)]
        fn step<S: Simd>($simd: S, $part: S::F, $w: S::I, $x: S::I) -> S::F {
            $step
        }
        #[inline(always)]
        fn fold<S: Simd>(simd: S, sum: S::F, part: S::F, scales: S::F) -> S::F {
            simd.mul_add(part, scales, sum)
        }
        #[inline(always)]
        fn reduce<S: Simd>(simd: S, sum: S::F) -> f32 {
            simd.reduce_add(sum)
        }
    };
}

/// 4-bit codes of a codebook with f32 values of x: shift, look up, multiply-add for a vector of values.
///
/// Nibble i of a word is value `i ^ 1` of its lane, as the even value is in the high half of a byte.
#[derive(Clone, Copy)]
pub struct NibblesF32<'a>(pub &'a [f32; 16]);

impl Operand for NibblesF32<'_> {
    const LANE_VALUES: usize = 8;
    const VECTORS: usize = 8;
    const SCALED: bool = true;
    const INTEGER: bool = false;
    type Table<S: Simd> = S::Table16;
    type Chunk<S: Simd> = S::I;
    type Part<S: Simd> = S::F;
    type Sum<S: Simd> = S::F;

    #[inline(always)]
    fn table<S: Simd>(self, simd: S) -> S::Table16 {
        simd.table16(self.0)
    }
    #[inline(always)]
    fn open<S: Simd>(_: S, _: &Self::Table<S>, words: S::I) -> S::I {
        words
    }
    #[inline(always)]
    fn decode<S: Simd>(simd: S, table: &S::Table16, words: S::I, vector: usize) -> S::I {
        simd.to_bits(simd.lookup16(*table, shift(simd, words, vector)))
    }
    float_sums!(|simd, part, w, x| simd.mul_add(simd.from_bits(w), simd.from_bits(x), part));
    #[inline(always)]
    fn x_word(lane: &[f32], vector: usize) -> u32 {
        lane[vector ^ 1].to_bits()
    }
}

/// 4-bit codes of a codebook with bf16 values of x, two at a time: half the instructions of [`NibblesF32`]. The codebook is
/// rounded to bf16; sums and scales are f32.
#[derive(Clone, Copy)]
pub struct NibblesBf16<'a>(pub &'a [f32; 16]);

impl Operand for NibblesBf16<'_> {
    const LANE_VALUES: usize = 8;
    const VECTORS: usize = 4;
    const SCALED: bool = true;
    const INTEGER: bool = false;
    type Table<S: Simd> = S::TableBf16;
    type Chunk<S: Simd> = S::I;
    type Part<S: Simd> = S::F;
    type Sum<S: Simd> = S::F;

    #[inline(always)]
    fn table<S: Simd>(self, simd: S) -> S::TableBf16 {
        simd.table_bf16(self.0)
    }
    #[inline(always)]
    fn open<S: Simd>(_: S, _: &Self::Table<S>, words: S::I) -> S::I {
        words
    }
    #[inline(always)]
    fn decode<S: Simd>(simd: S, table: &S::TableBf16, words: S::I, vector: usize) -> S::I {
        simd.lookup_bf16(*table, shift(simd, words, vector))
    }
    float_sums!(|simd, part, w, x| simd.dot_bf16(part, w, x));
    #[inline(always)]
    fn x_word(lane: &[f32], vector: usize) -> u32 {
        // Nibble `vector` of the low half of the word, and of the high half.
        let [low, high] = [lane[vector ^ 1], lane[(vector ^ 1) + 4]].map(|v| v.to_bits() >> 16);
        low | high << 16
    }
}

/// Codes of W as unsigned bytes with i8 codes of x. `NIBBLES`: 4-bit codes, the even ones of a word, then the odd ones.
/// `SCALED`: scales per group.
#[derive(Clone, Copy)]
pub struct Bytes<const NIBBLES: bool, const SCALED: bool> {
    /// What to flip in each byte: 0x80 makes signed codes unsigned.
    pub flip: u8,
}

impl<const NIBBLES: bool, const SCALED: bool> Operand for Bytes<NIBBLES, SCALED> {
    const LANE_VALUES: usize = if NIBBLES { 8 } else { 4 };
    const VECTORS: usize = if NIBBLES { 2 } else { 1 };
    const SCALED: bool = SCALED;
    const INTEGER: bool = true;
    type Table<S: Simd> = S::I;
    type Chunk<S: Simd> = S::I;
    type Part<S: Simd> = S::I;
    type Sum<S: Simd> = (S::I, S::F);

    #[inline(always)]
    fn table<S: Simd>(self, simd: S) -> S::I {
        simd.splat_i(i32::from_ne_bytes([if NIBBLES { 0x0f } else { self.flip }; 4]))
    }
    #[inline(always)]
    fn open<S: Simd>(_: S, _: &Self::Table<S>, words: S::I) -> S::I {
        words
    }
    #[inline(always)]
    fn decode<S: Simd>(simd: S, table: &S::I, words: S::I, vector: usize) -> S::I {
        if NIBBLES { simd.and(shift(simd, words, 1 - vector), *table) } else { simd.xor(words, *table) }
    }
    #[inline(always)]
    fn zero_part<S: Simd>(simd: S) -> S::I {
        simd.splat_i(0)
    }
    #[inline(always)]
    fn zero_sum<S: Simd>(simd: S) -> (S::I, S::F) {
        (simd.splat_i(0), simd.splat(0.0))
    }
    #[inline(always)]
    fn step<S: Simd>(simd: S, part: S::I, w: S::I, x: S::I) -> S::I {
        simd.dot4(part, w, x)
    }
    #[inline(always)]
    fn fold<S: Simd>(simd: S, sum: (S::I, S::F), part: S::I, scales: S::F) -> (S::I, S::F) {
        if SCALED {
            (sum.0, simd.mul_add(simd.to_float(part), scales, sum.1))
        } else {
            (simd.add_i(sum.0, part), sum.1)
        }
    }
    #[inline(always)]
    fn reduce<S: Simd>(simd: S, sum: (S::I, S::F)) -> f32 {
        if SCALED { simd.reduce_add(sum.1) } else { f32::from_bits(simd.reduce_add_i(sum.0) as u32) }
    }
    #[inline(always)]
    fn x_word(lane: &[f32], vector: usize) -> u32 {
        let step = if NIBBLES { 2 } else { 1 };
        u32::from_ne_bytes(std::array::from_fn(|i| lane[vector + step * i] as i8 as u8))
    }
}

/// 8-bit codes as integers, with f32 values of x: exact, and on Zen 4 no more instructions than with bf16 pairs.
#[derive(Clone, Copy)]
pub struct IntegersF32<const SIGNED: bool> {
    /// What to flip in each byte: 0x80 subtracts 128 from unsigned codes that are then read as signed.
    pub flip: u8,
}

impl<const SIGNED: bool> Operand for IntegersF32<SIGNED> {
    const LANE_VALUES: usize = 4;
    const VECTORS: usize = 4;
    const SCALED: bool = true;
    const INTEGER: bool = false;
    type Table<S: Simd> = S::I;
    type Chunk<S: Simd> = S::I;
    type Part<S: Simd> = S::F;
    type Sum<S: Simd> = S::F;

    #[inline(always)]
    fn table<S: Simd>(self, simd: S) -> S::I {
        simd.splat_i(i32::from_ne_bytes([self.flip; 4]))
    }
    #[inline(always)]
    fn open<S: Simd>(simd: S, table: &S::I, words: S::I) -> S::I {
        simd.xor(words, *table)
    }
    #[inline(always)]
    fn decode<S: Simd>(simd: S, _: &S::I, words: S::I, vector: usize) -> S::I {
        let code = match (SIGNED, vector) {
            (true, 0) => simd.signed_byte::<0>(words),
            (true, 1) => simd.signed_byte::<8>(words),
            (true, 2) => simd.signed_byte::<16>(words),
            (true, _) => simd.signed_byte::<24>(words),
            (false, vector) => simd.and(shift(simd, words, 2 * vector), simd.splat_i(0xff)),
        };
        simd.to_bits(simd.to_float(code))
    }
    float_sums!(|simd, part, w, x| simd.mul_add(simd.from_bits(w), simd.from_bits(x), part));
    #[inline(always)]
    fn x_word(lane: &[f32], vector: usize) -> u32 {
        lane[vector].to_bits()
    }
}

/// 8-bit codes of a map with f32 values of x.
#[derive(Clone, Copy)]
pub struct MapF32<'a>(pub &'a [f32; 256]);

impl Operand for MapF32<'_> {
    const LANE_VALUES: usize = 4;
    const VECTORS: usize = 4;
    const SCALED: bool = true;
    const INTEGER: bool = false;
    type Table<S: Simd> = S::Table256;
    type Chunk<S: Simd> = [S::F; 4];
    type Part<S: Simd> = S::F;
    type Sum<S: Simd> = S::F;

    #[inline(always)]
    fn table<S: Simd>(self, simd: S) -> S::Table256 {
        simd.table256(self.0)
    }
    #[inline(always)]
    fn open<S: Simd>(simd: S, table: &S::Table256, words: S::I) -> [S::F; 4] {
        simd.lookup_bytes::<true>(table, words)
    }
    #[inline(always)]
    fn decode<S: Simd>(simd: S, _: &S::Table256, chunk: [S::F; 4], vector: usize) -> S::I {
        simd.to_bits(chunk[vector])
    }
    float_sums!(|simd, part, w, x| simd.mul_add(simd.from_bits(w), simd.from_bits(x), part));
    #[inline(always)]
    fn x_word(lane: &[f32], vector: usize) -> u32 {
        lane[vector].to_bits()
    }
}
