//! W streamed once, decoded in registers, multiplied with a few rows of x.
//!
//! ```text
//! for each row of W, for each chunk (a vector of 32-bit words of codes, as they are stored)
//!     part = 0
//!     for each vector of the chunk:  part += decode(words, vector) * x[chunk][vector]          Operand
//!     sum += part * scales            one scale per lane: a lane's values share theirs
//! y = reduce(sum) - sum over groups of scale * zero_point * (sum of x in the group)
//! ```
//! Nothing of W is repacked: x is permuted instead, once per call, and padded with zeros to whole chunks. What a chunk reads
//! beyond its row is multiplied with those.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use crate::cpu::Isa;
use crate::cpu::kernels::gemm::Epilogue;
use crate::cpu::kernels::gemm_int8::zero_point;
use crate::cpu::kernels::gemv_operands::Operand;
use crate::cpu::kernels::output::Output;
use crate::cpu::kernels::panels::widen;
use crate::cpu::kernels::scratch::Lease;
use crate::cpu::kernels::scratch::Words;
use crate::cpu::simd::Op;
use crate::cpu::simd::Simd;
use crate::formats::NestedAbsmax;
use crate::formats::QuantMatrix;
use crate::formats::Scales;
use crate::values::Values;

/// Rows of W per task at most: 128 KiB of 4-bit codes at K = 4096, some 10 microseconds.
const TASK_ROWS: usize = 64;
/// Chunks whose scales are decoded ahead of them.
const SCALES_AHEAD: usize = 32;
/// Room for the scales of [`SCALES_AHEAD`] chunks of 16 groups at most, and 16 more to load.
type Ahead = [f32; (SCALES_AHEAD + 1) * 16];
/// How far ahead codes are asked for. The CPU's own prefetching stops at each page of 4 KiB, so at every other row.
const PREFETCH_BYTES: usize = 4096;

/// Where the scale of each lane is.
pub struct LaneScales {
    /// Scales from one row to the next; 0 when all rows share one.
    row_stride: usize,
    /// Groups per row.
    groups: usize,
    /// For each chunk the group its first lane is in.
    first: Vec<usize>,
    /// For each chunk and lane how many groups after that.
    offset: Vec<i32>,
}

impl LaneScales {
    /// For rows of `k` values, `group_len` of which share a scale, in chunks of `lanes` words of `lane_values`.
    fn new(k: usize, group_len: usize, row_stride: usize, lanes: usize, lane_values: usize) -> Self {
        let chunks = k.div_ceil(lanes * lane_values);
        let group = |lane: usize| (lane * lane_values).min(k - 1) / group_len;
        let first: Vec<usize> = (0..chunks).map(|chunk| group(chunk * lanes)).collect();
        let offset = (0..chunks * lanes).map(|lane| (group(lane) - first[lane / lanes]) as i32).collect();
        Self { row_stride, groups: k.div_ceil(group_len), first, offset }
    }
}

/// x, permuted for an [`Operand`], and the sums that zero points are multiplied with.
pub struct StreamX<'a> {
    m: usize,
    /// `[m][chunk][vector][lane]`
    words: &'a [u32],
    /// `[m][group]`; empty when W has no zero points.
    sums: &'a [f32],
    scales: LaneScales,
}

/// Rows of x as they come.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// Floats.
    Floats(Values<'a>),
    /// i8 codes.
    Codes(&'a [i8]),
}

/// Whether scales change only between the words of `lane_values` that a lane holds.
pub fn lanes_have_one_scale(k: usize, group_len: usize, lane_values: usize) -> bool {
    group_len >= k || group_len.is_multiple_of(lane_values)
}

impl<'a> StreamX<'a> {
    /// Permutes the `m` rows of `source`. `group_len` and `row_stride` say where the scales of W are.
    pub fn new<O: Operand>(
        isa: Isa,
        source: Source<'_>,
        (m, k): (usize, usize),
        (group_len, row_stride): (usize, usize),
        with_sums: bool,
        buffers: [&'a mut Words; 2],
    ) -> Self {
        let group_len = group_len.min(k);
        assert!(lanes_have_one_scale(k, group_len, O::LANE_VALUES));
        let pack = PackX { operand: PhantomData::<O>, source, m, k, group_len, row_stride, with_sums, buffers };
        isa.run(pack)
    }
}

struct PackX<'a, 'b, O> {
    operand: PhantomData<O>,
    source: Source<'b>,
    m: usize,
    k: usize,
    group_len: usize,
    row_stride: usize,
    with_sums: bool,
    buffers: [&'a mut Words; 2],
}

impl<'a, O: Operand> Op for PackX<'a, '_, O> {
    type Output = StreamX<'a>;

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) -> StreamX<'a> {
        let Self { m, k, .. } = self;
        let scales = LaneScales::new(k, self.group_len, self.row_stride, S::LANES, O::LANE_VALUES);
        let chunk_values = S::LANES * O::LANE_VALUES;
        let padded = scales.first.len() * chunk_values;
        let [words, sums] = self.buffers;
        let words = words.words(m * scales.first.len() * O::VECTORS * S::LANES);
        let sums = sums.floats(if self.with_sums { m * scales.groups } else { 0 });
        let mut lease = Lease::new();
        let row = lease.buffers()[0].floats(padded);
        row[k..].fill(0.0);
        for (i, words) in words.chunks_exact_mut(scales.first.len() * O::VECTORS * S::LANES).enumerate() {
            match self.source {
                Source::Floats(x) => widen(simd, x.slice(i * k..(i + 1) * k), &mut row[..k]),
                Source::Codes(codes) => {
                    for (x, code) in row.iter_mut().zip(&codes[i * k..(i + 1) * k]) {
                        *x = f32::from(*code);
                    }
                }
            }
            for (chunk, words) in row.chunks_exact(chunk_values).zip(words.chunks_exact_mut(O::VECTORS * S::LANES)) {
                for (lane, values) in chunk.chunks_exact(O::LANE_VALUES).enumerate() {
                    for vector in 0..O::VECTORS {
                        words[vector * S::LANES + lane] = O::x_word(values, vector);
                    }
                }
            }
            if self.with_sums {
                let sums = &mut sums[i * scales.groups..][..scales.groups];
                for (sum, group) in sums.iter_mut().zip(row[..k].chunks(self.group_len)) {
                    *sum = group.iter().map(|&x| f64::from(x)).sum::<f64>() as f32;
                }
            }
        }
        StreamX { m, words, sums, scales }
    }
}

/// A product to compute.
pub struct Gemv<'a, O, E> {
    /// How codes are decoded.
    pub operand: O,
    /// W.
    pub matrix: &'a QuantMatrix,
    /// x.
    pub x: &'a StreamX<'a>,
    /// What turns sums into results.
    pub epilogue: &'a E,
    /// y.
    pub output: &'a Output<'a>,
}

impl<O: Operand, E: Epilogue> Gemv<'_, O, E> {
    /// Computes it, on all threads of the current pool.
    pub fn run(&self, isa: Isa) {
        let n = self.output.n();
        // Eight tasks a thread even out threads of different speed.
        let rows = n.div_ceil(8 * rayon::current_num_threads()).clamp(1, TASK_ROWS);
        (0..n.div_ceil(rows)).into_par_iter().for_each(|task| {
            isa.run(Task { gemv: self, rows: task * rows..n.min((task + 1) * rows) });
        });
    }
}

struct Task<'a, O, E> {
    gemv: &'a Gemv<'a, O, E>,
    rows: Range<usize>,
}

impl<O: Operand, E: Epilogue> Op for Task<'_, O, E> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let mut m = 0;
        while m < self.gemv.x.m {
            m += match self.gemv.x.m - m {
                1 => self.some::<S, 1>(simd, m),
                2 | 3 => self.some::<S, 2>(simd, m),
                _ => self.some::<S, 4>(simd, m),
            };
        }
    }
}

impl<O: Operand, E: Epilogue> Task<'_, O, E> {
    /// `M` rows of x from row `first` on. Returns `M`.
    #[inline(always)]
    fn some<S: Simd, const M: usize>(&self, simd: S, first: usize) -> usize {
        let Gemv { operand, epilogue, output, .. } = *self.gemv;
        let table = operand.table(simd);
        let mut values = [[0.0; TASK_ROWS]; M];
        let mut ahead: Ahead = [0.0; (SCALES_AHEAD + 1) * 16];
        for (i, row) in self.rows.clone().enumerate() {
            let mut sums = self.row::<S, M>(simd, table, row, first, &mut ahead);
            if !self.gemv.x.sums.is_empty() {
                self.subtract_zero_points::<S, M>(row, first, &mut sums);
            }
            for (values, sum) in values.iter_mut().zip(sums) {
                values[i] = sum;
            }
        }
        for (m, values) in values.iter_mut().enumerate() {
            let values = &mut values[..self.rows.len()];
            epilogue.finish(simd, first + m, self.rows.start, values);
            // SAFETY: no other task has these rows of W.
            unsafe { output.write(simd, first + m, self.rows.start, values) };
        }
        M
    }

    /// One row of W.
    #[inline(always)]
    fn row<S: Simd, const M: usize>(
        &self,
        simd: S,
        table: O::Table<S>,
        row: usize,
        first: usize,
        ahead: &mut Ahead,
    ) -> [f32; M] {
        let Gemv { matrix, x, operand, .. } = *self.gemv;
        let (chunks, chunk_words) = (x.scales.first.len(), O::VECTORS * S::LANES);
        let x_row = chunks * chunk_words;
        let codes = RowCodes::new::<S>(matrix, row, chunks);
        assert!(x.words.len() >= (first + M) * x_row && x.scales.offset.len() >= chunks * S::LANES);
        let mut sums = [O::zero_sum(simd); M];
        for start in (0..chunks).step_by(SCALES_AHEAD) {
            let end = chunks.min(start + SCALES_AHEAD);
            let near: &[f32] = if O::SCALED { self.scales_ahead(simd, row, start..end, ahead) } else { &[] };
            for chunk in start..end {
                let words = codes.load(simd, chunk);
                let mut parts = [O::zero_part(simd); M];
                for vector in 0..O::VECTORS {
                    let w = operand.decode(simd, table, words, vector);
                    for (m, part) in parts.iter_mut().enumerate() {
                        let at = (first + m) * x_row + chunk * chunk_words + vector * S::LANES;
                        // SAFETY: row `first + m` of x, of `chunks` times `chunk_words`: asserted above.
                        let x = unsafe { simd.load_words_ptr(x.words.as_ptr().add(at)) };
                        *part = O::step(simd, *part, w, x);
                    }
                }
                let mut scales = simd.splat(0.0);
                if O::SCALED {
                    let at = x.scales.first[chunk] - x.scales.first[start];
                    let near: &[f32; 16] = near[at..at + 16].try_into().expect("sixteen");
                    // SAFETY: `chunks` times the lanes: asserted above.
                    let offset = unsafe { simd.load_words_ptr(x.scales.offset.as_ptr().add(chunk * S::LANES).cast()) };
                    scales = simd.lookup16(simd.table16(near), offset);
                }
                for (sum, part) in sums.iter_mut().zip(parts) {
                    *sum = O::fold(simd, *sum, part, scales);
                }
            }
        }
        let mut results = [0.0; M];
        for (result, sum) in results.iter_mut().zip(sums) {
            *result = O::reduce(simd, sum);
        }
        results
    }

    /// The scales of `chunks` of a row, from that of the first lane on, and at least 16 beyond: where they are, or copied.
    #[inline(always)]
    fn scales_ahead<'b, S: Simd>(&'b self, simd: S, row: usize, chunks: Range<usize>, out: &'b mut Ahead) -> &'b [f32] {
        let scales = &self.gemv.x.scales;
        let first = scales.first[chunks.start];
        let last = scales.first[chunks.end - 1] + scales.offset[chunks.end * S::LANES - 1] as usize;
        let (start, count) = (row * scales.row_stride + first, last + 1 - first);
        match self.gemv.matrix.scales() {
            Scales::F32(values) => {
                if let Some(enough) = values.get(start..start + count + 16) {
                    return enough;
                }
                out[..count].copy_from_slice(&values[start..start + count]);
            }
            Scales::Nested(nested) => decode_nested(simd, nested, start, &mut out[..count]),
        }
        out
    }

    #[inline(always)]
    fn subtract_zero_points<S: Simd, const M: usize>(&self, row: usize, first: usize, sums: &mut [f32; M]) {
        let Gemv { matrix, x, .. } = *self.gemv;
        let groups = x.scales.groups;
        let bias = if O::INTEGER { S::DOT4_BIAS } else { 0 };
        for group in 0..groups {
            let index = row * x.scales.row_stride + group;
            let weight = matrix.scales().get(index) * (zero_point(matrix, index) - bias) as f32;
            for (m, sum) in sums.iter_mut().enumerate() {
                *sum -= weight * x.sums[(first + m) * groups + group];
            }
        }
    }
}

/// The absmax values from `start` on, exactly as [`NestedAbsmax::get`] computes them.
#[inline(always)]
fn decode_nested<S: Simd>(simd: S, nested: &NestedAbsmax, start: usize, out: &mut [f32]) {
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
struct RowCodes<'a> {
    codes: &'a [u8],
    /// How many chunks may be read where they are.
    whole: usize,
    /// The one after them, if the matrix ends within it; zeros beyond.
    tail: [u8; 64],
}

impl<'a> RowCodes<'a> {
    #[inline(always)]
    fn new<S: Simd>(matrix: &'a QuantMatrix, row: usize, chunks: usize) -> Self {
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

    #[inline(always)]
    fn load<S: Simd>(&self, simd: S, chunk: usize) -> S::I {
        let at = self.codes.as_ptr().wrapping_add(chunk * 4 * S::LANES);
        simd.prefetch(at.wrapping_add(PREFETCH_BYTES));
        let at = if chunk < self.whole { at } else { self.tail.as_ptr() };
        // SAFETY: the first `whole` chunks are within the codes; else the tail holds as many bytes as a vector has, at most 64.
        unsafe { simd.load_words_ptr(at.cast()) }
    }
}
