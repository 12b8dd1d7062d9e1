//! INT4 in two levels: each row (channel) scaled to int8, each group of 64 of its int8 values to 4 bits, in integers.
//!
//! ```text
//! byte[i]  = code[i] * multiplier[g] + offset[g]           u8, never above 255; g the group of 64 along K
//! int8[i]  = byte[i] - 128                                 i8: the byte with its highest bit flipped
//! value[i] = int8[i] * scale[row]                          f32, one rounding
//!
//! codes         byte j    bits 7..4       bits 3..0        of the flattened matrix, as in formats/nibbles.rs
//!                         code[2j]        code[2j + 1]
//! multiplier    u8 [N, ceil(K / 64)]
//! offset        u8 [N, ceil(K / 64)]
//! scale         f32 [N]
//! ```
//! 4 + 16/64 + 32/K bits per weight. K need not be a multiple of 64: the last group of a row is shorter.
//!
//! The int8 values are exact integers, so sums with int8 activations are s32 over the whole of K and the scale comes once, at the
//! end: a kernel widens four codes at a time, `word * multiplier + offset`, in one multiply-add of 32 bits, because no byte
//! carries into its neighbour ([`fits`]; [`QuantMatrix::from_parts`](crate::formats::QuantMatrix::from_parts) refuses groups in
//! which one would). The idea is LiquidQuant's (LiquidGEMM, arXiv 2509.01229, section 4), which keeps rows within -119..=119 and
//! rounds the multiplier.
//!
//! # Quantizing
//! ```text
//! scale[row] = absmax / 120                      int8 = clamp(round_half_even(x / scale), -120, 120)       0 in a row of zeros
//! lo, hi     = the smallest and largest int8 of the group, range = hi - lo
//! multiplier = floor(range / 15), at least 1, or ceil(range / 15): the one with the smaller sum of (int8' - int8)^2, if equal
//!              the smaller
//! slack      = 15 * multiplier - range           start = lo - ceil(slack / 2)           offset = start + 128
//! code       = clamp(floor((int8 - start) / multiplier + 1/2), 0, 15)
//! ```
//! The grid of 16 values is centred over the range, which it exceeds, or falls short of, by half the slack at each end. Slack is
//! at most 15 (a group of equal values), so the grid lies within `lo - 8 ..= hi + 7`: for bytes from 0 to 255 the int8 values
//! must lie in -120..=120, and no narrower range is needed.

use crate::formats::Format;
use crate::formats::Recipe;
use crate::shape::MatShape;

/// Values along K that share a multiplier and an offset.
pub const GROUP: usize = 64;

/// The largest magnitude of an int8 value when quantizing: `127 - 7`, so that the grid of a group stays within a byte.
pub const MAX_INT8: i32 = 120;

/// What is subtracted from a byte.
pub const ZERO_POINT: u8 = 128;

/// The largest code.
pub const MAX_CODE: u8 = 15;

/// Groups of a row.
pub fn groups_per_row(shape: MatShape) -> usize {
    shape.k().div_ceil(GROUP)
}

/// The multipliers and offsets of a matrix, `[N, ceil(K / 64)]` each.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupSteps {
    /// From one code to the next.
    pub multipliers: Vec<u8>,
    /// The byte of code 0.
    pub offsets: Vec<u8>,
}

impl GroupSteps {
    /// As many as a matrix of `shape` has, all zero.
    pub fn zeros(shape: MatShape) -> Self {
        let count = shape.n() * groups_per_row(shape);
        Self { multipliers: vec![0; count], offsets: vec![0; count] }
    }

    /// The int8 value of `code` in group `index`, counted over all rows.
    ///
    /// # Panics
    /// When the index is out of range.
    pub fn int8(&self, index: usize, code: u8) -> i32 {
        i32::from(code) * i32::from(self.multipliers[index]) + i32::from(self.offsets[index]) - i32::from(ZERO_POINT)
    }
}

/// Whether the byte of every code fits: the rule that makes arithmetic on four bytes at once exact.
pub fn fits(multiplier: u8, offset: u8) -> bool {
    u32::from(MAX_CODE) * u32::from(multiplier) + u32::from(offset) <= 255
}

/// How to quantize to INT4 in two levels, for int8 activations (W4A8). There is nothing to set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Int4ChannelGroup;

impl From<Int4ChannelGroup> for Recipe {
    fn from(_: Int4ChannelGroup) -> Self {
        Format::Int4ChannelGroup.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four codes in a word are widened as the kernels do it: one multiplication and one addition of 32 bits, one XOR.
    #[test]
    fn words_are_widened_without_carries_exactly_where_groups_fit() {
        let mut fitting = 0;
        for (multiplier, offset) in (0..=255u8).flat_map(|m| (0..=255u8).map(move |o| (m, o))) {
            let steps = GroupSteps { multipliers: vec![multiplier], offsets: vec![offset] };
            let exact = [[0, 5, 10, 15], [15; 4], [15, 0, 15, 1]].into_iter().all(|codes: [u8; 4]| {
                let offsets = u32::from_le_bytes([offset; 4]);
                let product = u32::from_le_bytes(codes).wrapping_mul(multiplier.into()).wrapping_add(offsets);
                let widened = (product ^ 0x8080_8080).to_le_bytes().map(|byte| i32::from(byte as i8));
                widened == codes.map(|code| steps.int8(0, code))
            });
            assert_eq!(exact, fits(multiplier, offset), "{multiplier} {offset}");
            fitting += usize::from(exact);
        }
        // For each multiplier from 0 to 17: offsets up to 255 - 15 m.
        assert_eq!(fitting, (0..=17).map(|m| 256 - 15 * m).sum::<usize>());
    }

    #[test]
    fn a_matrix_has_the_documented_bits_per_weight() {
        use crate::reference;
        for (n, k) in [(3, 64), (5, 640), (16, 4096)] {
            let shape = MatShape::new(n, k).unwrap();
            let zeros = vec![0.0f32; n * k];
            let matrix = reference::quantize(zeros[..].into(), shape, Format::Int4ChannelGroup).unwrap();
            assert_eq!(matrix.bits_per_weight(), 4.0 + 16.0 / 64.0 + 32.0 / k as f64);
        }
    }
}
