//! NF4 and FP4: blocks of the flattened matrix to absmax values and 4-bit codes.
//!
//! ```text
//! s = x * (1 / max(absmax, 1e-38))
//! bucket = round(14.4 * s)            -14..=14, by adding a number whose last place is 1
//! rank = below[bucket] + (s > midpoint[bucket])
//! ```
//! A bucket is 1/14.4 wide and holds at most one midpoint of the codebook, well inside: how `14.4 * s` rounds at its border does
//! not matter, and the one comparison is the exact one of the definition (a tie goes down). FP4 has two midpoints in the
//! bucket around zero; the lower is compared with every value.

use crate::cpu::kernels::scale_search;
use crate::cpu::kernels::source::MAX_LANES;
use crate::cpu::kernels::source::NON_FINITE;
use crate::cpu::kernels::source::Source;
use crate::cpu::kernels::source::absmax_bits;
use crate::cpu::simd::Simd;
use crate::formats::nibbles;
use crate::formats::tables;

/// Buckets per unit of `s`: of the factors below 15.5 (32 buckets) that give the midpoints of NF4 a bucket each, about the one
/// that keeps those of both codebooks farthest from the borders, 7 % of a bucket.
const PER_UNIT: f32 = 14.4;

/// A codebook of 16 values as bucket tables.
pub struct Book {
    /// Per bucket the one midpoint in it, or infinity.
    midpoint: [f32; 32],
    /// Per bucket how many midpoints lie below the bucket, not counting `extra`.
    below: [u32; 32],
    /// A midpoint compared with every value, where two share a bucket.
    extra: Option<f32>,
    /// The code of each rank; `None` where it is the rank.
    codes: Option<[u8; 16]>,
    /// The different values, ascending; infinity where there are fewer than 16.
    values: [f32; 16],
    /// The midpoints between them, infinity likewise.
    midpoints: [f32; 15],
    /// The code of 0.0.
    zero: u8,
}

/// NF4: codes ascend with their values.
pub static NF4: Book = Book::new(&ascending(&tables::NF4).0, 16, None, 7);

/// FP4: 15 different values; both zeros are written as code 0.
pub static FP4: Book = {
    let (values, codes) = ascending(&tables::FP4);
    Book::new(&values, 15, Some(codes), 0)
};

/// The different values of a codebook in ascending order, and their codes, the lowest of equal ones.
const fn ascending(codebook: &[f32; 16]) -> ([f32; 16], [u8; 16]) {
    let (mut values, mut codes, mut len) = ([f32::INFINITY; 16], [0; 16], 0);
    let mut code = 0;
    while code < 16 {
        let mut at = 0;
        while at < len && values[at] < codebook[code] {
            at += 1;
        }
        if at == len || values[at] != codebook[code] {
            let mut i = len;
            while i > at {
                (values[i], codes[i]) = (values[i - 1], codes[i - 1]);
                i -= 1;
            }
            (values[at], codes[at]) = (codebook[code], code as u8);
            len += 1;
        }
        code += 1;
    }
    (values, codes)
}

impl Book {
    /// `count` of the `values` are there; they ascend.
    const fn new(values: &[f32; 16], count: usize, codes: Option<[u8; 16]>, zero: u8) -> Self {
        let mut midpoint = [f32::INFINITY; 32];
        let mut midpoints = [f32::INFINITY; 15];
        let mut counted = [0; 32];
        let mut extra = None;
        let mut i = 0;
        while i + 1 < count {
            let mid = (values[i] + values[i + 1]) / 2.0;
            midpoints[i] = mid;
            let position = mid * PER_UNIT + 15.5;
            let bucket = position as usize;
            let inside = position - bucket as f32;
            assert!(inside > 0.07 && inside < 0.93, "a midpoint too near the border of its bucket");
            if midpoint[bucket] != f32::INFINITY {
                assert!(extra.is_none(), "too many midpoints in one bucket");
                extra = Some(midpoint[bucket]);
                counted[bucket] -= 1;
            }
            midpoint[bucket] = mid;
            counted[bucket] += 1;
            i += 1;
        }
        let mut below = [0; 32];
        let mut bucket = 1;
        while bucket < 32 {
            below[bucket] = below[bucket - 1] + counted[bucket - 1];
            bucket += 1;
        }
        Self { midpoint, below, extra, codes, values: *values, midpoints, zero }
    }

    /// How many midpoints are less than `s`: the definition.
    fn rank(&self, s: f32) -> usize {
        self.midpoints.iter().filter(|&&mid| s > mid).count()
    }

    fn code(&self, rank: usize) -> u8 {
        self.codes.map_or(rank as u8, |codes| codes[rank])
    }
}

/// A [`Book`] in registers.
#[derive(Clone, Copy)]
pub struct Tables<S: Simd> {
    midpoint: S::Table32,
    below: S::Table32,
    per_unit: S::F,
    magic: S::F,
    extra: Option<S::F>,
    codes: Option<S::Table16>,
    values: S::Table16,
}

impl<S: Simd> Tables<S> {
    /// Loads `book`.
    #[inline(always)]
    pub fn new(simd: S, book: &Book) -> Self {
        Self {
            midpoint: simd.table32(&book.midpoint),
            below: simd.table32(&book.below.map(f32::from_bits)),
            per_unit: simd.splat(PER_UNIT),
            // The last place of numbers from 2^23 to 2^24 is 1, so adding rounds to an integer, whose low bits are those
            // of the sum; the middle of that range leaves room below.
            magic: simd.splat(1.5 * 8_388_608.0 + 15.0),
            extra: book.extra.map(|midpoint| simd.splat(midpoint)),
            codes: book.codes.map(|codes| simd.table16(&codes.map(|code| f32::from_bits(u32::from(code))))),
            values: simd.table16(&book.values),
        }
    }

    /// The codes nearest to `s`, which lies between -1 and 1 or an ulp beside.
    #[inline(always)]
    pub fn nearest(&self, simd: S, s: S::F) -> S::I {
        let rank = self.rank(simd, s);
        match self.codes {
            Some(codes) => simd.to_bits(simd.lookup16(codes, rank)),
            None => rank,
        }
    }

    /// The values nearest to `s`, which may be any number.
    #[inline(always)]
    pub fn nearest_value(&self, simd: S, s: S::F) -> S::F {
        simd.lookup16(self.values, self.rank(simd, self.clamp(simd, s)))
    }

    #[inline(always)]
    fn clamp(&self, simd: S, s: S::F) -> S::F {
        simd.max(simd.min(s, simd.splat(1.0)), simd.splat(-1.0))
    }

    #[inline(always)]
    fn rank(&self, simd: S, s: S::F) -> S::I {
        let bucket = simd.to_bits(simd.mul_add(s, self.per_unit, self.magic));
        let below = simd.to_bits(simd.lookup32(self.below, bucket));
        let mut rank = simd.count_gt(below, s, simd.lookup32(self.midpoint, bucket));
        if let Some(midpoint) = self.extra {
            rank = simd.count_gt(rank, s, midpoint);
        }
        rank
    }
}

/// Values whose absmax values are found before their codes: a few kilobytes, so that the second look finds them in the
/// nearest cache. Larger blocks are taken whole.
const STRETCH: usize = 512;

/// Quantizes values that begin at a block: an absmax per block, two codes per byte. Returns whether all values are finite; if not, the output means nothing.
#[inline(always)]
pub fn quantize<S: Simd, E: Source>(
    simd: S,
    book: &Book,
    block: usize,
    values: &[E],
    scales: &mut [f32],
    codes: &mut [u8],
) -> bool {
    let tables = Tables::new(simd, book);
    let full_blocks = values.len() / block;
    let (values, short) = values.split_at(full_blocks * block);
    let (scales, short_scale) = scales.split_at_mut(full_blocks);
    let (codes, short_codes) = codes.split_at_mut(values.len() / 2);
    let step = STRETCH.max(block);
    let mut most = 0;
    for ((values, scales), codes) in
        values.chunks(step).zip(scales.chunks_mut(step / block)).zip(codes.chunks_mut(step / 2))
    {
        most = most.max(full_stretch(simd, &tables, block, values, scales, codes));
    }
    if !short.is_empty() {
        most = most.max(short_block(book, short, &mut short_scale[0], short_codes));
    }
    most < NON_FINITE
}

/// Whole blocks, at most [`STRETCH`] values or one block. Returns the bits of the largest magnitude.
#[inline(always)]
fn full_stretch<S: Simd, E: Source>(
    simd: S,
    tables: &Tables<S>,
    block: usize,
    values: &[E],
    scales: &mut [f32],
    codes: &mut [u8],
) -> i32 {
    let mut most = 0;
    let mut reciprocals = [0.0; STRETCH / 32];
    for ((values, scale), reciprocal) in values.chunks_exact(block).zip(scales).zip(&mut reciprocals) {
        let bits = absmax_bits(simd, values);
        most = most.max(bits);
        *scale = f32::from_bits(bits as u32);
        *reciprocal = 1.0 / scale.max(1e-38);
    }
    let four = 4 * S::LANES;
    let whole = values.len() / four * four;
    encode(simd, tables, block, &reciprocals, &values[..whole], &mut codes[..whole / 2]);
    if whole < values.len() {
        // Half of what is encoded at a time: one block of 32 on 16 lanes.
        let mut padded = [E::default(); 64];
        padded[..values.len() - whole].copy_from_slice(&values[whole..]);
        let mut both = [0; 32];
        encode(simd, tables, block, &reciprocals[whole / block..], &padded, &mut both);
        let rest = &mut codes[whole / 2..];
        rest.copy_from_slice(&both[..rest.len()]);
    }
    most
}

/// The codes of a multiple of `4 * LANES` values.
#[inline(always)]
fn encode<S: Simd, E: Source>(
    simd: S,
    tables: &Tables<S>,
    block: usize,
    reciprocals: &[f32],
    values: &[E],
    codes: &mut [u8],
) {
    let log2_block = block.trailing_zeros();
    for (i, (values, codes)) in values.chunks_exact(4 * S::LANES).zip(codes.chunks_exact_mut(2 * S::LANES)).enumerate()
    {
        let mut four = [simd.splat_i(0); 4];
        for (j, codes) in four.iter_mut().enumerate() {
            let reciprocal = simd.splat(reciprocals[((4 * i + j) * S::LANES) >> log2_block]);
            let scaled = simd.mul(E::load(simd, &values[j * S::LANES..]), reciprocal);
            *codes = tables.nearest(simd, scaled);
        }
        simd.store_nibbles(four, codes);
    }
}

/// The scales that minimise the error of each block, for values that begin at a block. Returns whether all values are
/// finite; if not, the output means nothing.
#[inline(always)]
pub fn search<S: Simd, E: Source>(simd: S, book: &Book, block: usize, values: &[E], scales: &mut [f32]) -> bool {
    let tables = Tables::new(simd, book);
    let mut most = 0;
    for (values, scale) in values.chunks(block).zip(scales) {
        let bits = absmax_bits(simd, values);
        most = most.max(bits);
        *scale = scale_search::codebook_scale(simd, &tables, values, f32::from_bits(bits as u32));
        if values.len() < block {
            // What the absmax rule stores for zeros.
            *scale = scale.max(1e-38);
        }
    }
    most < NON_FINITE
}

/// The codes of values that begin at a block under scales that are given: the nearest, whatever the sign of the scale.
#[inline(always)]
pub fn encode_under<S: Simd, E: Source>(
    simd: S,
    book: &Book,
    block: usize,
    values: &[E],
    scales: &[f32],
    codes: &mut [u8],
) {
    let tables = Tables::new(simd, book);
    for (i, (values, codes)) in values.chunks(4 * S::LANES).zip(codes.chunks_mut(2 * S::LANES)).enumerate() {
        let mut padded = [E::default(); 4 * MAX_LANES];
        padded[..values.len()].copy_from_slice(values);
        let mut four = [simd.splat_i(0); 4];
        for (j, codes) in four.iter_mut().enumerate() {
            // A vector beyond the end is all padding: any scale will do.
            let scale = scales[((4 * i + j) * S::LANES / block).min(scales.len() - 1)];
            let reciprocal = if scale.abs() < 1e-38 { 1e38 } else { 1.0 / scale };
            let scaled = simd.mul(E::load(simd, &padded[j * S::LANES..]), simd.splat(reciprocal));
            *codes = tables.nearest(simd, tables.clamp(simd, scaled));
        }
        if codes.len() == 2 * S::LANES {
            simd.store_nibbles(four, codes);
        } else {
            let mut bytes = [0; 2 * MAX_LANES];
            simd.store_nibbles(four, &mut bytes);
            codes.copy_from_slice(&bytes[..codes.len()]);
        }
    }
}

/// A last block that is not full: it divides, and its absmax is raised to 1e-38. Once per matrix, so plain.
fn short_block<E: Source>(book: &Book, values: &[E], scale: &mut f32, codes: &mut [u8]) -> i32 {
    let bits = values.iter().fold(0, |most, v| most.max(v.to_f32().to_bits() as i32 & i32::MAX));
    *scale = f32::from_bits(bits as u32).max(1e-38);
    codes.fill(book.zero << 4 | book.zero);
    for (i, value) in values.iter().enumerate() {
        nibbles::set(codes, i, book.code(book.rank(value.to_f32() / *scale)));
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Isa;
    use crate::cpu::simd::Op;
    use crate::reference;

    /// The codes of values that are scaled already, in blocks of 32 that begin with 1.0.
    struct Nearest<'a>(&'static Book, &'a [f32]);

    impl Op for Nearest<'_> {
        type Output = Vec<u8>;
        #[inline(always)]
        fn eval<S: Simd>(self, simd: S) -> Vec<u8> {
            let tables = Tables::new(simd, self.0);
            let mut codes = vec![0; self.1.len()];
            for (s, codes) in self.1.chunks_exact(S::LANES).zip(codes.chunks_exact_mut(S::LANES)) {
                simd.store_bytes(tables.nearest(simd, simd.load(s)), codes);
            }
            codes
        }
    }

    /// Values 0 to `reach` ulps beside `x`.
    fn around(x: f32, reach: i32) -> impl Iterator<Item = f32> {
        (-reach..=reach).map(move |ulps| f32::from_bits((x.to_bits() as i32 + ulps) as u32))
    }

    fn scaled_values(book: &Book) -> Vec<f32> {
        let finite = book.midpoints.iter().filter(|mid| mid.is_finite());
        let mut values: Vec<f32> = finite.flat_map(|&mid| around(mid, 40)).collect();
        values.extend((0..31).flat_map(|border| around((border as f32 - 15.5) / PER_UNIT, 40)));
        values.extend([0.0, -0.0, 1e-45, -1e-45, 1e-38, 1.0, -1.0, 1.0 + f32::EPSILON, -1.0 - f32::EPSILON]);
        values.extend((-1_000_000..=1_000_000).map(|i| i as f32 * 1.000_001e-6));
        values.retain(|s| s.abs() <= 1.0 + f32::EPSILON);
        values.resize(values.len().next_multiple_of(16), 0.0);
        values
    }

    #[test]
    fn buckets_agree_with_counting_midpoints() {
        for (book, codebook) in [(&NF4, &tables::NF4), (&FP4, &tables::FP4)] {
            let order = reference::ascending(codebook);
            let sorted = order.map(|code| codebook[usize::from(code)]);
            let midpoints: Vec<f32> = sorted.windows(2).map(|w| (w[0] + w[1]) / 2.0).collect();
            let values = scaled_values(book);
            for isa in Isa::available() {
                let codes = isa.run(Nearest(book, &values));
                for (&s, code) in values.iter().zip(codes) {
                    let rank = midpoints.iter().filter(|&&mid| s > mid).count();
                    let expected = if sorted[rank] == 0.0 { book.zero } else { order[rank] };
                    assert_eq!(code, expected, "{s:e} on {}", isa.name());
                }
            }
        }
    }
}
