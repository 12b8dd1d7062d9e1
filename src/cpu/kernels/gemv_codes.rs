//! The codes of a row of W as chunks, and its scales.
#![allow(unsafe_code)]

use crate::cpu::kernels::scratch::Words;
use crate::cpu::simd::Simd;
use crate::formats::NestedAbsmax;
use crate::formats::QuantMatrix;

/// How far ahead codes are asked for. The CPU's own prefetching stops at each page of 4 KiB, so at every other row.
/// They are asked for as far as L2: each line on its way to L1 holds one of its few miss buffers for as long as memory takes (on
/// Zen 4, NF4 with bf16 x at 14336x4096, one thread: 1.70 ms to L1, 1.45 to L2; 3 to 8 KiB ahead make no difference).
pub const PREFETCH_BYTES: usize = 4096;

/// `count` absmax values from `start` on, exactly as [`NestedAbsmax::get`] computes them, and whatever follows in up to 64
/// places of `out` more.
#[inline(always)]
pub fn decode_nested<S: Simd>(
    simd: S,
    table: &S::Table256,
    nested: &NestedAbsmax,
    (start, count): (usize, usize),
    out: &mut [f32],
) {
    let block = NestedAbsmax::BLOCK_SIZE.get();
    let offset = simd.splat(nested.offset);
    let mut at = 0;
    while at < count {
        // As far as one absmax of absmax values goes; what is written beyond is written again.
        let len = (block - (start + at) % block).min(count - at).min(4 * S::LANES);
        let absmax = simd.splat(nested.absmax[(start + at) / block]);
        let codes = &nested.codes[start + at..];
        let mut padded = [0; 64];
        let codes = if codes.len() >= 4 * S::LANES {
            codes
        } else {
            padded[..codes.len()].copy_from_slice(codes);
            &padded
        };
        // SAFETY: at least four bytes a lane, by the above; a vector has at most 64.
        let index = unsafe { simd.load_words_ptr(codes.as_ptr().cast()) };
        let values = simd.lookup_bytes::<false>(table, index);
        for (values, out) in values.into_iter().zip(out[at..].chunks_exact_mut(S::LANES)) {
            simd.store(simd.add(simd.mul(values, absmax), offset), out);
        }
        at += len;
    }
}

/// Where the codes of row `row` begin, readable in `chunks` whole chunks: in the matrix, or in `copy` if it ends before.
#[inline(always)]
pub fn row_codes<S: Simd>(matrix: &QuantMatrix, row: usize, chunks: usize, copy: &mut Words) -> *const u8 {
    let row_bytes = matrix.shape().k() * matrix.format().code_bits() / 8;
    let codes = &matrix.codes()[row * row_bytes..];
    let needed = chunks * 4 * S::LANES;
    if codes.len() >= needed {
        return codes.as_ptr();
    }
    let copy: &mut [u8] = bytemuck::cast_slice_mut(copy.words(needed / 4));
    copy[..codes.len()].copy_from_slice(codes);
    copy[codes.len()..].fill(0);
    copy.as_ptr()
}
