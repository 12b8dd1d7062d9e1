//! INT4 in two levels: a row to int8, then each group of 64 to 4 bits, all in integers after the first step.

use rayon::prelude::*;

use crate::cpu::Isa;
use crate::cpu::kernels::grouped::Params;
use crate::cpu::kernels::grouped::Range;
use crate::cpu::kernels::grouped::Rule;
use crate::cpu::kernels::source::Source;
use crate::cpu::kernels::tasks::TASK;
use crate::cpu::simd::Op;
use crate::cpu::simd::Simd;
use crate::formats::GroupSteps;
use crate::formats::Parts;
use crate::formats::Symmetry;
use crate::formats::int4_channel_group;
use crate::formats::int4_channel_group::GROUP;
use crate::formats::int4_channel_group::MAX_CODE;
use crate::formats::int4_channel_group::MAX_INT8;
use crate::formats::int4_channel_group::ZERO_POINT;
use crate::shape::MatShape;

/// Quantizes `values` (row-major, `shape`) on the threads of the current rayon pool, with the bits of
/// [`reference::quantize`](crate::reference::quantize); `None` when a value is a NaN or an infinity.
pub fn quantize<E: Source>(isa: Isa, values: &[E], shape: MatShape) -> Option<Parts> {
    let groups = int4_channel_group::groups_per_row(shape);
    let mut codes = vec![0; shape.num_values().div_ceil(2)];
    let mut scales = vec![0.0; shape.n()];
    let mut steps = GroupSteps::zeros(shape);
    // An even number of rows has whole bytes of codes.
    let rows = TASK.div_ceil(shape.k()).next_multiple_of(2);
    let finite = values
        .par_chunks(rows * shape.k())
        .zip(codes.par_chunks_mut(rows * shape.k() / 2))
        .zip(scales.par_chunks_mut(rows))
        .zip(steps.multipliers.par_chunks_mut(rows * groups))
        .zip(steps.offsets.par_chunks_mut(rows * groups))
        .map(|((((values, codes), scales), multipliers), offsets)| {
            isa.run(Rows { values, k: shape.k(), codes, scales, multipliers, offsets })
        })
        .reduce(|| true, |a, b| a && b);
    finite.then(|| Parts { steps: Some(steps), ..Parts::new(codes, scales) })
}

/// Rows of one task, and where their results go.
struct Rows<'a, E> {
    values: &'a [E],
    k: usize,
    codes: &'a mut [u8],
    scales: &'a mut [f32],
    multipliers: &'a mut [u8],
    offsets: &'a mut [u8],
}

impl<E: Source> Op for Rows<'_, E> {
    /// Whether all values are finite; if not, the results mean nothing.
    type Output = bool;

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) -> bool {
        let Self { values, k, codes, scales, multipliers, offsets } = self;
        let groups = k.div_ceil(GROUP);
        let mut bytes = vec![0; k];
        let mut finite = true;
        for (row, (values, scale)) in values.chunks_exact(k).zip(scales).enumerate() {
            let range = Range::of(simd, values);
            finite &= range.finite;
            *scale = range.hi.max(-range.lo) / MAX_INT8 as f32;
            to_int8(simd, *scale, values, &mut bytes);
            let steps = multipliers[row * groups..].iter_mut().zip(&mut offsets[row * groups..]);
            for (bytes, (multiplier, offset)) in bytes.chunks_mut(GROUP).zip(steps) {
                let grid = Grid::of(bytes);
                (*multiplier, *offset) = (grid.multiplier as u8, grid.offset as u8);
                grid.encode(bytes);
            }
            pack(&bytes, row * k, codes);
        }
        finite
    }
}

/// The int8 values of a row, as bytes around [`ZERO_POINT`].
#[inline(always)]
fn to_int8<S: Simd, E: Source>(simd: S, scale: f32, values: &[E], bytes: &mut [u8]) {
    let (lowest, top) = ((i32::from(ZERO_POINT) - MAX_INT8) as u8, (i32::from(ZERO_POINT) + MAX_INT8) as u8);
    let rule = Rule::Affine { symmetry: Symmetry::Symmetric, lowest, top };
    rule.encode(simd, Params { scale, zero_point: ZERO_POINT }, values, bytes);
}

/// The bytes of a group's codes: `offset + code * multiplier`.
#[derive(Clone, Copy)]
struct Grid {
    offset: i32,
    multiplier: i32,
    /// `2^16 / (2 multiplier)`, rounded up.
    reciprocal: i32,
}

impl Grid {
    /// The better of two grids centred over the range of `bytes`.
    #[inline(always)]
    fn of(bytes: &[u8]) -> Self {
        let (lo, hi) = bytes.iter().fold((u8::MAX, 0), |(lo, hi), &b| (lo.min(b), hi.max(b)));
        let (lo, range, top) = (i32::from(lo), i32::from(hi) - i32::from(lo), i32::from(MAX_CODE));
        let centred = |multiplier: i32| {
            let slack = top * multiplier - range;
            // An arithmetic shift rounds down.
            Self { offset: lo - ((slack + 1) >> 1), multiplier, reciprocal: (0xffff / (2 * multiplier)) + 1 }
        };
        let floor = centred((range / top).max(1));
        if range % top == 0 || range < top {
            return floor;
        }
        let ceil = centred(range / top + 1);
        if ceil.squared_error(bytes) < floor.squared_error(bytes) { ceil } else { floor }
    }

    /// `floor((byte - offset) / multiplier + 1/2)` within 0..=15. The numerator `n = 2 (byte - offset) + multiplier` is at most
    /// 2 * 248 + 16 = 512, the error of the reciprocal below 2 * 16 / 2^16, so that `n` times it stays below 1 / 2^5, the least
    /// that a quotient may lack of the next integer.
    #[inline(always)]
    fn code(self, byte: u8) -> i32 {
        let numerator = (2 * (i32::from(byte) - self.offset) + self.multiplier).max(0);
        ((numerator * self.reciprocal) >> 16).min(i32::from(MAX_CODE))
    }

    #[inline(always)]
    fn squared_error(self, bytes: &[u8]) -> i32 {
        let error = |byte: u8| self.offset + self.code(byte) * self.multiplier - i32::from(byte);
        bytes.iter().map(|&byte| error(byte) * error(byte)).sum()
    }

    /// Bytes to codes, one byte each.
    #[inline(always)]
    fn encode(self, bytes: &mut [u8]) {
        bytes.iter_mut().for_each(|byte| *byte = self.code(*byte) as u8);
    }
}

/// Packs the codes of a row that begins with code `first` of `packed`.
#[inline(always)]
fn pack(codes: &[u8], first: usize, packed: &mut [u8]) {
    let packed = &mut packed[first / 2..];
    let (codes, packed) = match first.is_multiple_of(2) {
        true => (codes, packed),
        // The row before it has written the high half.
        false => {
            packed[0] |= codes[0];
            (&codes[1..], &mut packed[1..])
        }
    };
    let pairs = codes.chunks_exact(2);
    if let [last] = pairs.remainder() {
        packed[codes.len() / 2] = last << 4;
    }
    for (byte, pair) in packed.iter_mut().zip(pairs) {
        *byte = pair[0] << 4 | pair[1];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reciprocal_divides_exactly() {
        for multiplier in 1..=16 {
            let grid = Grid { offset: 0, multiplier, reciprocal: 0xffff / (2 * multiplier) + 1 };
            for byte in 0..=255u8 {
                let exact = (2 * i32::from(byte) + multiplier) / (2 * multiplier);
                assert_eq!(grid.code(byte), exact.min(15), "{byte} / {multiplier}");
            }
        }
    }
}
