//! Products of floats: W decoded block by block, or as a whole first.

use rayon::prelude::*;

use crate::cpu::Isa;
use crate::cpu::kernels::decode::decode;
use crate::cpu::kernels::gemm::Epilogue;
use crate::cpu::kernels::gemm::Product;
use crate::cpu::kernels::gemm::Weights;
use crate::cpu::kernels::layout::BLOCK_WORDS;
use crate::cpu::kernels::layout::Layout;
use crate::cpu::kernels::layout::Segment;
use crate::cpu::kernels::layout::Word;
use crate::cpu::kernels::output::narrow_bf16;
use crate::cpu::kernels::scratch::Lease;
use crate::cpu::simd::Op;
use crate::cpu::simd::Simd;
use crate::formats::QuantMatrix;
use crate::values::bf16;

/// [`Word::F32`] times [`Word::F32`].
pub struct F32Product;

impl Product for F32Product {
    const GROUPED: bool = false;
    type Sum<S: Simd> = S::F;

    #[inline(always)]
    fn start<S: Simd>(_: S, c: S::F, _: i32, _: S::I) -> S::F {
        c
    }
    #[inline(always)]
    fn step<S: Simd>(simd: S, sum: S::F, x: S::I, w: S::I) -> S::F {
        simd.mul_add(simd.from_bits(x), simd.from_bits(w), sum)
    }
    #[inline(always)]
    fn finish<S: Simd>(_: S, sum: S::F, _: S::F, _: f32) -> S::F {
        sum
    }
}

/// [`Word::Bf16Pair`] times [`Word::Bf16Pair`].
pub struct Bf16Product;

impl Product for Bf16Product {
    const GROUPED: bool = false;
    type Sum<S: Simd> = S::F;

    #[inline(always)]
    fn start<S: Simd>(_: S, c: S::F, _: i32, _: S::I) -> S::F {
        c
    }
    #[inline(always)]
    fn step<S: Simd>(simd: S, sum: S::F, x: S::I, w: S::I) -> S::F {
        simd.dot_bf16(sum, x, w)
    }
    #[inline(always)]
    fn finish<S: Simd>(_: S, sum: S::F, _: S::F, _: f32) -> S::F {
        sum
    }
}

/// Nothing to do to the sums.
pub struct AsTheyAre;

impl Epilogue for AsTheyAre {
    #[inline(always)]
    fn finish<S: Simd>(&self, _: S, _: usize, _: usize, _: &mut [f32]) {}
}

/// Sums times what all scales lack.
pub struct Times(pub f32);

impl Epilogue for Times {
    #[inline(always)]
    fn finish<S: Simd>(&self, _: S, _: usize, _: usize, values: &mut [f32]) {
        values.iter_mut().for_each(|value| *value *= self.0);
    }
}

/// W of any format, decoded where it is used, as `word` says.
pub struct Decoded<'a> {
    /// W.
    pub matrix: &'a QuantMatrix,
    /// [`Word::F32`] or [`Word::Bf16Pair`].
    pub word: Word,
}

impl Weights for Decoded<'_> {
    #[inline(always)]
    fn words<S: Simd>(&self, simd: S, row: usize, segments: &[Segment], out: &mut [u32], floats: &mut [f32]) {
        let first = row * self.matrix.shape().k() + segments[0].first;
        let len = segments.iter().map(|s| s.len).sum::<usize>();
        if self.word == Word::F32 {
            return decode(simd, self.matrix, first, &mut bytemuck::cast_slice_mut(out)[..len]);
        }
        decode(simd, self.matrix, first, &mut floats[..len]);
        let out: &mut [bf16] = bytemuck::cast_slice_mut(out);
        out[len..].fill(bf16::ZERO);
        narrow_bf16(simd, &mut out[..len], &floats[..len]);
    }

    #[inline(always)]
    fn scale<S: Simd>(&self, _: usize, _: usize) -> (f32, i32) {
        (1.0, 0)
    }
}

/// W as words, all of it: `[N][Layout::words]`.
pub struct Dense<'a> {
    /// The words.
    pub words: &'a [u32],
    /// Words per row.
    pub stride: usize,
}

impl<'a> Dense<'a> {
    /// Decodes `matrix` into `out`, N times [`Layout::words`] long.
    pub fn decode(isa: Isa, matrix: &QuantMatrix, layout: &Layout, out: &'a mut [u32]) -> Self {
        let stride = layout.words;
        // 16 rows a task: enough work to be worth a task, and many tasks.
        out.par_chunks_mut(16 * stride).enumerate().for_each(|(index, out)| {
            isa.run(DecodeRows { matrix, layout, first: 16 * index, out });
        });
        Self { words: out, stride }
    }
}

struct DecodeRows<'a> {
    matrix: &'a QuantMatrix,
    layout: &'a Layout,
    first: usize,
    out: &'a mut [u32],
}

impl Op for DecodeRows<'_> {
    type Output = ();
    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let mut lease = Lease::new();
        let floats = lease.buffers()[0].floats(2 * BLOCK_WORDS);
        let weights = Decoded { matrix: self.matrix, word: self.layout.word };
        for (row, out) in self.out.chunks_exact_mut(self.layout.words).enumerate() {
            for block in &self.layout.blocks {
                let segments = &self.layout.segments[block.clone()];
                weights.words(simd, self.first + row, segments, &mut out[self.layout.block_words(block)], floats);
            }
        }
    }
}

impl Weights for Dense<'_> {
    #[inline(always)]
    fn words<S: Simd>(&self, _: S, row: usize, segments: &[Segment], out: &mut [u32], _: &mut [f32]) {
        out.copy_from_slice(&self.words[row * self.stride + segments[0].word..][..out.len()]);
    }

    #[inline(always)]
    fn scale<S: Simd>(&self, _: usize, _: usize) -> (f32, i32) {
        (1.0, 0)
    }
}
