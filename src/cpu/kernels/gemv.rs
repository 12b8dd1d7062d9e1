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

use std::ops::Range;

use rayon::prelude::*;

use crate::cpu::Isa;
use crate::cpu::kernels::gemm::Epilogue;
use crate::cpu::kernels::gemm_int8::zero_point;
use crate::cpu::kernels::gemv_codes::PREFETCH_BYTES;
use crate::cpu::kernels::gemv_codes::decode_nested;
use crate::cpu::kernels::gemv_codes::row_codes;
use crate::cpu::kernels::gemv_operands::Operand;
use crate::cpu::kernels::gemv_x::StreamX;
use crate::cpu::kernels::output::Output;
use crate::cpu::kernels::scratch::Lease;
use crate::cpu::kernels::scratch::Words;
use crate::cpu::simd::Op;
use crate::cpu::simd::Simd;
use crate::formats::QuantMatrix;
use crate::formats::Scales;

/// Rows of W per task at most: 128 KiB of 4-bit codes at K = 4096, some 10 microseconds.
const TASK_ROWS: usize = 64;
/// Chunks whose scales are decoded ahead of them.
const SCALES_AHEAD: usize = 32;

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

/// What is looked up: codes and, if they are nested, absmax values.
struct Tables<S: Simd, T> {
    codes: T,
    absmax: Option<S::Table256>,
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
        let Gemv { operand, matrix, epilogue, output, .. } = *self.gemv;
        let absmax = match matrix.scales() {
            Scales::Nested(nested) => Some(simd.table256(&nested.map)),
            Scales::F32(_) => None,
        };
        let tables = &Tables { codes: operand.table(simd), absmax };
        let mut values = [[0.0; TASK_ROWS]; M];
        let mut leases = [Lease::new(), Lease::new()];
        // Two rows at once load x once for both; with four rows of x the registers hold no more sums. They are far apart,
        // because memory is read slower in two streams within a page than in one (NF4 with bf16 x at 14336x4096, two threads:
        // 1.50 ms against 1.07).
        let half = if M < 4 { self.rows.len() / 2 } else { 0 };
        for row in self.rows.start..self.rows.start + half {
            self.dot::<S, M, 2>(simd, tables, [row, row + half], first, &mut leases, &mut values);
        }
        for row in self.rows.start + 2 * half..self.rows.end {
            let [lease, _] = &mut leases;
            self.dot::<S, M, 1>(simd, tables, [row], first, std::array::from_mut(lease), &mut values);
        }
        for (m, values) in values.iter_mut().enumerate() {
            let values = &mut values[..self.rows.len()];
            epilogue.finish(simd, first + m, self.rows.start, values);
            // SAFETY: no other task has these rows of W.
            unsafe { output.write(simd, first + m, self.rows.start, values) };
        }
        M
    }

    /// The rows `rows` of W, into `values`.
    #[inline(always)]
    fn dot<S: Simd, const M: usize, const R: usize>(
        &self,
        simd: S,
        tables: &Tables<S, O::Table<S>>,
        rows: [usize; R],
        first: usize,
        leases: &mut [Lease; R],
        values: &mut [[f32; TASK_ROWS]; M],
    ) {
        let sums = self.sums::<S, M, R>(simd, tables, rows, first, leases);
        for (row, sums) in rows.into_iter().zip(sums) {
            for (m, (values, sum)) in values.iter_mut().zip(sums).enumerate() {
                let mut result = O::reduce(simd, sum);
                if !self.gemv.x.sums.is_empty() {
                    result -= self.zero_points(simd, row, first + m);
                }
                values[row - self.rows.start] = result;
            }
        }
    }

    /// The sums of the rows `rows` of W with `M` rows of x.
    #[inline(always)]
    fn sums<S: Simd, const M: usize, const R: usize>(
        &self,
        simd: S,
        tables: &Tables<S, O::Table<S>>,
        rows: [usize; R],
        first: usize,
        leases: &mut [Lease; R],
    ) -> [[O::Sum<S>; M]; R] {
        let Gemv { matrix, x, .. } = *self.gemv;
        let (chunks, chunk_words) = (x.scales.first.len(), O::VECTORS * S::LANES);
        let x_row = chunks * chunk_words;
        assert!(x.words.len() >= (first + M) * x_row && x.scales.offset.len() >= chunks * S::LANES);
        let mut codes = [std::ptr::null::<u8>(); R];
        for ((codes, row), lease) in codes.iter_mut().zip(rows).zip(leases.iter_mut()) {
            *codes = row_codes::<S>(matrix, row, chunks, &mut lease.buffers()[0]);
        }
        let mut sums = [[O::zero_sum(simd); M]; R];
        for start in (0..chunks).step_by(SCALES_AHEAD) {
            let end = chunks.min(start + SCALES_AHEAD);
            let mut near: [&[f32]; R] = [&[]; R];
            if O::SCALED {
                for ((near, lease), row) in near.iter_mut().zip(leases.iter_mut()).zip(rows) {
                    *near = self.scales_ahead(simd, tables, row, start..end, &mut lease.buffers()[1]);
                }
            }
            for chunk in start..end {
                let mut opened = [O::open(simd, &tables.codes, simd.splat_i(0)); R];
                for (opened, codes) in opened.iter_mut().zip(codes) {
                    let at = codes.wrapping_add(chunk * 4 * S::LANES);
                    simd.prefetch(at.wrapping_add(PREFETCH_BYTES));
                    // SAFETY: `row_codes` has as many chunks.
                    let words = unsafe { simd.load_words_ptr(at.cast()) };
                    *opened = O::open(simd, &tables.codes, words);
                }
                let mut parts = [[O::zero_part(simd); M]; R];
                for vector in 0..O::VECTORS {
                    let mut xs = [simd.splat_i(0); M];
                    for (m, xs) in xs.iter_mut().enumerate() {
                        let at = (first + m) * x_row + chunk * chunk_words + vector * S::LANES;
                        // SAFETY: row `first + m` of x, of `chunks` times `chunk_words`: asserted above.
                        *xs = unsafe { simd.load_words_ptr(x.words.as_ptr().add(at)) };
                    }
                    for (parts, &opened) in parts.iter_mut().zip(&opened) {
                        let w = O::decode(simd, &tables.codes, opened, vector);
                        for (part, &x) in parts.iter_mut().zip(&xs) {
                            *part = O::step(simd, *part, w, x);
                        }
                    }
                }
                // SAFETY: `chunks` times the lanes: asserted above.
                let offset = unsafe { simd.load_words_ptr(x.scales.offset.as_ptr().add(chunk * S::LANES).cast()) };
                let first = x.scales.first[chunk] - x.scales.first[start];
                for ((sums, parts), near) in sums.iter_mut().zip(parts).zip(near) {
                    let mut scales = simd.splat(0.0);
                    if O::SCALED {
                        // SAFETY: `scales_ahead` has sixteen from the first lane of each of these chunks on.
                        let near = unsafe { &*near.as_ptr().add(first).cast() };
                        scales = simd.lookup16(simd.table16(near), offset);
                    }
                    for (sum, part) in sums.iter_mut().zip(parts) {
                        *sum = O::fold(simd, *sum, part, scales);
                    }
                }
            }
        }
        sums
    }

    /// The scales of `chunks` of a row, from that of the first lane on, and at least 16 beyond: where they are, or copied.
    #[inline(always)]
    fn scales_ahead<'b, S: Simd>(
        &'b self,
        simd: S,
        tables: &Tables<S, O::Table<S>>,
        row: usize,
        chunks: Range<usize>,
        out: &'b mut Words,
    ) -> &'b [f32] {
        let scales = &self.gemv.x.scales;
        let first = scales.first[chunks.start];
        let last = scales.first[chunks.end - 1] + scales.offset[chunks.end * S::LANES - 1] as usize;
        let (start, count) = (row * scales.row_stride + first, last + 1 - first);
        // The scales of as many chunks of 16 groups at most, and 64 more to write.
        let out = out.floats(SCALES_AHEAD * 16 + 64);
        match self.gemv.matrix.scales() {
            Scales::F32(values) => {
                if let Some(enough) = values.get(start..start + count + 16) {
                    return enough;
                }
                out[..count].copy_from_slice(&values[start..start + count]);
            }
            Scales::Nested(nested) => {
                let table = tables.absmax.as_ref().expect("made where scales are nested");
                decode_nested(simd, table, nested, (start, count), out);
            }
        }
        out
    }

    /// What the zero points of row `row` of W take from its product with row `m` of x.
    #[inline(always)]
    fn zero_points<S: Simd>(&self, simd: S, row: usize, m: usize) -> f32 {
        let Gemv { matrix, x, .. } = *self.gemv;
        let groups = x.scales.groups;
        let start = row * x.scales.row_stride;
        let bias = if O::INTEGER { S::DOT4_BIAS } else { 0 };
        let Scales::F32(scales) = matrix.scales() else { unreachable!("formats with zero points have f32 scales") };
        let scales = &scales[start..start + groups];
        let sums = &x.sums[m * groups..][..groups];
        let whole = groups / S::LANES * S::LANES;
        let mut total = simd.splat(0.0);
        let fixed = simd.splat((zero_point(matrix, start) - bias) as f32);
        for at in (0..whole).step_by(S::LANES) {
            let weighted = simd.mul(simd.load(&scales[at..]), simd.load(&sums[at..]));
            let points = match matrix.zero_points() {
                Some(points) => {
                    simd.sub(simd.to_float(simd.load_bytes(&points[start + at..])), simd.splat(bias as f32))
                }
                None => fixed,
            };
            total = simd.mul_add(weighted, points, total);
        }
        let mut total = simd.reduce_add(total);
        for at in whole..groups {
            total += scales[at] * sums[at] * (zero_point(matrix, start + at) - bias) as f32;
        }
        total
    }
}
