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
use crate::formats::QuantMatrix;
use crate::formats::Scales;
use crate::values::Values;

/// Rows of W per task at most: 128 KiB of 4-bit codes at K = 4096, some 10 microseconds.
const TASK_ROWS: usize = 64;
/// Chunks whose scales are decoded ahead of them.
const SCALES_AHEAD: usize = 32;

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
        for (i, row) in self.rows.clone().enumerate() {
            let mut sums = self.row::<S, M>(simd, table, row, first);
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
    fn row<S: Simd, const M: usize>(&self, simd: S, table: O::Table<S>, row: usize, first: usize) -> [f32; M] {
        let Gemv { matrix, x, .. } = *self.gemv;
        let chunks = x.scales.first.len();
        let chunk_words = O::VECTORS * S::LANES;
        let row_bytes = matrix.shape().k() * matrix.format().code_bits() / 8;
        let codes = &matrix.codes()[row * row_bytes..];
        let x_row = chunks * chunk_words;
        assert!(x.words.len() >= (first + M) * x_row && x.scales.offset.len() >= chunks * S::LANES);
        let mut sums = [O::zero_sum(simd); M];
        let mut ahead = [0.0f32; (SCALES_AHEAD + 1) * 16];
        for start in (0..chunks).step_by(SCALES_AHEAD) {
            let end = chunks.min(start + SCALES_AHEAD);
            if O::SCALED {
                self.decode_scales::<S>(row, start..end, &mut ahead);
            }
            for chunk in start..end {
                let words = load_codes(simd, codes, chunk * 4 * S::LANES);
                let mut parts = [O::zero_part(simd); M];
                for vector in 0..O::VECTORS {
                    let w = self.gemv.operand.decode(simd, table, words, vector);
                    for (m, part) in parts.iter_mut().enumerate() {
                        let at = (first + m) * x_row + chunk * chunk_words + vector * S::LANES;
                        // SAFETY: row `first + m` of x, of `chunks` times `chunk_words`: asserted above.
                        let x = unsafe { simd.load_words_ptr(x.words.as_ptr().add(at)) };
                        *part = O::step(simd, *part, w, x);
                    }
                }
                let scales = if O::SCALED {
                    let at = x.scales.first[chunk] - x.scales.first[start];
                    let scales: &[f32; 16] = ahead[at..at + 16].try_into().expect("sixteen");
                    // SAFETY: `chunks` times the lanes: asserted above.
                    let offset = unsafe { simd.load_words_ptr(x.scales.offset.as_ptr().add(chunk * S::LANES).cast()) };
                    simd.lookup16(simd.table16(scales), offset)
                } else {
                    simd.splat(0.0)
                };
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

    /// The scales of `chunks` of a row, from that of the first lane on.
    #[inline(always)]
    fn decode_scales<S: Simd>(&self, row: usize, chunks: Range<usize>, out: &mut [f32]) {
        let scales = &self.gemv.x.scales;
        let first = scales.first[chunks.start];
        let last = scales.first[chunks.end - 1] + scales.offset[chunks.end * S::LANES - 1] as usize;
        let start = row * scales.row_stride + first;
        let out = &mut out[..last + 1 - first];
        match self.gemv.matrix.scales() {
            Scales::F32(values) => out.copy_from_slice(&values[start..][..out.len()]),
            Scales::Nested(nested) => {
                for (i, (out, code)) in out.iter_mut().zip(&nested.codes[start..]).enumerate() {
                    *out = nested.map[usize::from(*code)] * nested.absmax[(start + i) / 256] + nested.offset;
                }
            }
        }
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

/// The words at `at`; zeros beyond the end.
#[inline(always)]
fn load_codes<S: Simd>(simd: S, codes: &[u8], at: usize) -> S::I {
    if at + 4 * S::LANES <= codes.len() {
        // SAFETY: as many bytes, just checked.
        return unsafe { simd.load_words_ptr(codes.as_ptr().add(at).cast()) };
    }
    let mut padded = [0; 64];
    let rest = &codes[at..];
    padded[..rest.len()].copy_from_slice(rest);
    simd.load_words(&padded)
}
