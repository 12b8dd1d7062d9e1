//! The codes of a row of W as chunks, and its scales.
#![allow(unsafe_code)]

use crate::cpu::simd::Simd;
use crate::formats::NestedAbsmax;
use crate::formats::QuantMatrix;

/// How far ahead codes are asked for. The CPU's own prefetching stops at each page of 4 KiB, so at every other row.
const PREFETCH_BYTES: usize = 4096;

/// The absmax values from `start` on, exactly as [`NestedAbsmax::get`] computes them.
#[inline(always)]
pub fn decode_nested<S: Simd>(simd: S, nested: &NestedAbsmax, start: usize, out: &mut [f32]) {
    let block = NestedAbsmax::BLOCK_SIZE.get();
    let mut at = 0;
    while at < out.len() {
        // As far as one absmax of absmax values goes.
        let len = (block - (start + at) % block).min(out.len() - at);
        let (codes, out) = (&nested.codes[start + at..][..len], &mut out[at..at + len]);
        let absmax = nested.absmax[(start + at) / block];
        let whole = len / S::LANES * S::LANES;
        for (codes, out) in codes[..whole].chunks_exact(S::LANES).zip(out.chunks_exact_mut(S::LANES)) {
            let values = simd.lookup256(&nested.map, simd.load_bytes(codes));
            simd.store(simd.add(simd.mul(values, simd.splat(absmax)), simd.splat(nested.offset)), out);
        }
        for (code, out) in codes[whole..].iter().zip(&mut out[whole..]) {
            *out = nested.map[usize::from(*code)] * absmax + nested.offset;
        }
        at += len;
    }
}

/// The codes of a row, readable in whole chunks.
pub struct RowCodes<'a> {
    codes: &'a [u8],
    /// How many chunks may be read where they are.
    whole: usize,
    /// The one after them, if the matrix ends within it; zeros beyond.
    tail: [u8; 64],
}

impl<'a> RowCodes<'a> {
    /// No codes.
    pub const NONE: Self = Self { codes: &[], whole: 0, tail: [0; 64] };

    /// Those of row `row`, in `chunks` chunks.
    #[inline(always)]
    pub fn new<S: Simd>(matrix: &'a QuantMatrix, row: usize, chunks: usize) -> Self {
        let row_bytes = matrix.shape().k() * matrix.format().code_bits() / 8;
        let codes = &matrix.codes()[row * row_bytes..];
        let chunk_bytes = 4 * S::LANES;
        let mut tail = [0; 64];
        let whole = chunks.min(codes.len() / chunk_bytes);
        // All chunks of a row but the last are within it.
        assert!(whole + 1 >= chunks && chunk_bytes <= 64);
        if whole < chunks {
            let rest = &codes[whole * chunk_bytes..];
            tail[..rest.len()].copy_from_slice(rest);
        }
        Self { codes, whole, tail }
    }

    /// The words of chunk `chunk`.
    #[inline(always)]
    pub fn load<S: Simd>(&self, simd: S, chunk: usize) -> S::I {
        let at = self.codes.as_ptr().wrapping_add(chunk * 4 * S::LANES);
        simd.prefetch(at.wrapping_add(PREFETCH_BYTES));
        let at = if chunk < self.whole { at } else { self.tail.as_ptr() };
        // SAFETY: the first `whole` chunks are within the codes; else the tail holds as many bytes as a vector has, at most 64.
        unsafe { simd.load_words_ptr(at.cast()) }
    }
}
