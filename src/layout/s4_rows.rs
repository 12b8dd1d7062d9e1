//! `s4_rows`: 4-bit codes of a symmetric matrix as signed numbers, row by row, as the 4-bit matrix instructions take them.
//!
//! ```text
//! row       K / 2 bytes rounded up to 16, so that rows are copied 16 bytes at a time; what is beyond K is 0
//! byte      bits 3..0 the even column, bits 7..4 the odd one: the other way round than formats/nibbles.rs
//! nibble    two's complement, -8 ..= 7: the code of the format with its fixed zero point 8 taken off, one flipped bit
//! ```

use rayon::prelude::*;

use crate::formats::nibbles;
use crate::shape::MatShape;

/// Rows begin at multiples of so many bytes.
const ROW_ALIGNMENT: usize = 16;

/// The bit in which a code with zero point 8 and its two's complement differ, of both codes in a byte.
const SIGNS: u8 = 0x88;

/// Bytes of a row of `k` codes.
pub fn row_bytes(k: usize) -> usize {
    k.div_ceil(2).next_multiple_of(ROW_ALIGNMENT)
}

/// Rows of `codes`, in [`nibbles`] order of the flattened matrix with zero point 8.
///
/// # Panics
/// When `codes` is too short for the shape.
pub fn pack(shape: MatShape, codes: &[u8]) -> Vec<u8> {
    let (n, k) = (shape.n(), shape.k());
    let mut packed = vec![0; n * row_bytes(k)];
    packed.par_chunks_exact_mut(row_bytes(k)).enumerate().for_each(|(row, out)| {
        let first = row * k;
        if first.is_multiple_of(2) {
            for (out, pair) in out.iter_mut().zip(&codes[first / 2..][..k / 2]) {
                *out = pair.rotate_left(4) ^ SIGNS;
            }
        } else {
            for (i, out) in out.iter_mut().enumerate().take(k / 2) {
                let code = |col| nibbles::get(codes, first + col);
                *out = (code(2 * i) | code(2 * i + 1) << 4) ^ SIGNS;
            }
        }
        if k % 2 == 1 {
            out[k / 2] = nibbles::get(codes, first + k - 1) ^ (SIGNS & 15);
        }
    });
    packed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The signed code at (`row`, `col`).
    fn get(packed: &[u8], k: usize, row: usize, col: usize) -> i8 {
        let byte = packed[row * row_bytes(k) + col / 2];
        (byte << if col.is_multiple_of(2) { 4 } else { 0 }) as i8 >> 4
    }

    #[test]
    fn every_code_is_found_with_its_sign_and_the_rest_is_zero() {
        for (n, k) in [(1usize, 1), (3, 1), (2, 2), (3, 5), (5, 31), (2, 32), (4, 33), (3, 130)] {
            let mut codes = vec![0; (n * k).div_ceil(2)];
            (0..n * k).for_each(|i| nibbles::set(&mut codes, i, (i * 7 % 16) as u8));
            let packed = pack(MatShape::new(n, k).unwrap(), &codes);
            assert_eq!(packed.len(), n * row_bytes(k));
            for (row, col) in (0..n).flat_map(|row| (0..2 * row_bytes(k)).map(move |col| (row, col))) {
                let expected = if col < k { ((row * k + col) * 7 % 16) as i8 - 8 } else { 0 };
                assert_eq!(get(&packed, k, row, col), expected, "{n} x {k}: ({row}, {col})");
            }
        }
    }

    #[test]
    fn rows_are_whole_chunks() {
        assert_eq!([1, 31, 32, 33, 4096, 4097].map(row_bytes), [16, 16, 16, 32, 2048, 2064]);
    }
}
