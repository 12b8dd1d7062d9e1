//! The blocked product that all large products share.
//!
//! ```text
//! for each task: up to 64 rows of W, up to 10 panels of x
//!     C[row][lane] = 0
//!     for each block of up to 256 words of K
//!         decode the block of the rows of W into cache                         Weights
//!         for each panel of x, each 8 rows of W, each segment of the block
//!             acc = C                                                          Product::start
//!             for each word: acc[row][vector] += dot(W[row][word], X[word][vector])
//!             C = acc                                                          Product::finish
//!     transpose C and write it                                                 Epilogue
//! ```
//! A word is 32 bits: one f32, two bf16 or four bytes ([`layout`](crate::cpu::kernels::layout)). x lies along the lanes, a
//! word of W is broadcast: so W is read as it is stored, row by row, and only x is transposed.

use std::ops::Range;

use rayon::prelude::*;

use crate::cpu::Isa;
use crate::cpu::kernels::layout::BLOCK_WORDS;
use crate::cpu::kernels::layout::Layout;
use crate::cpu::kernels::layout::Segment;
use crate::cpu::kernels::output::Output;
use crate::cpu::kernels::panels::PANEL_VECTORS;
use crate::cpu::kernels::panels::PanelShape;
use crate::cpu::kernels::scratch::Lease;
use crate::cpu::kernels::scratch::Words;
use crate::cpu::simd::Op;
use crate::cpu::simd::Simd;

/// What the words mean and how their products are summed.
pub trait Product: Sync {
    /// Whether [`Product::start`] and [`Product::finish`] want what belongs to a segment.
    const GROUPED: bool;
    /// A vector of sums.
    type Sum<S: Simd>: Copy;
    /// The sum to begin a segment with, from what C holds, the zero point and the sums of x over the segment.
    fn start<S: Simd>(simd: S, c: S::F, zero_point: i32, x_sum: S::I) -> Self::Sum<S>;
    /// Adds a product of words.
    fn step<S: Simd>(simd: S, sum: Self::Sum<S>, x: S::I, w: S::I) -> Self::Sum<S>;
    /// What C holds after the segment.
    fn finish<S: Simd>(simd: S, sum: Self::Sum<S>, c: S::F, scale: f32) -> S::F;
}

/// Where the words of W come from.
pub trait Weights: Sync {
    /// Writes the words of `segments` of row `row` to `out`; `floats` is scratch of [`BLOCK_WORDS`] times two.
    fn words<S: Simd>(&self, simd: S, row: usize, segments: &[Segment], out: &mut [u32], floats: &mut [f32]);
    /// The scale of a group of a row, and the zero point less [`Simd::DOT4_BIAS`]: for grouped products.
    fn scale<S: Simd>(&self, row: usize, group: usize) -> (f32, i32);
}

/// What turns sums into results.
pub trait Epilogue: Sync {
    /// Turns the bits of C of row `m`, columns `first..`, into the result without bias.
    fn finish<S: Simd>(&self, simd: S, m: usize, first: usize, values: &mut [f32]);
}

/// A product to compute.
pub struct Gemm<'a, W, E> {
    /// How rows are laid out, in x and W.
    pub layout: &'a Layout,
    /// How x is cut.
    pub shape: PanelShape,
    /// x, packed.
    pub panels: &'a [u32],
    /// For grouped products the sums of x: `[segment][padded row]`.
    pub x_sums: &'a [i32],
    /// W.
    pub weights: &'a W,
    /// What turns sums into results.
    pub epilogue: &'a E,
    /// y.
    pub output: &'a Output<'a>,
}

/// Rows of W per task at most: with 256 words each, 64 KiB of the L2 cache.
const TASK_ROWS: usize = 64;
/// Panels per task at most: 480 rows of x on AVX-512, so that C takes 120 KiB of the L2 cache.
const TASK_PANELS: usize = 10;
/// Words from one row of a block of W to the next; not a power of two, so that rows lie in different cache sets.
const ROW_STRIDE: usize = BLOCK_WORDS + 16;
/// Rows of W that are multiplied at once: as many as registers hold sums for.
const fn tile_rows<S: Simd>() -> usize {
    if S::LANES == 16 { 8 } else { 4 }
}

impl<W: Weights, E: Epilogue> Gemm<'_, W, E> {
    /// Computes it, on all threads of the current pool.
    pub fn run<P: Product>(&self, isa: Isa) {
        let n = self.output.n();
        let panel_tasks = self.shape.count().div_ceil(TASK_PANELS);
        // Four tasks a thread even out threads of different speed.
        let wanted = (4 * rayon::current_num_threads()).div_ceil(panel_tasks);
        let rows = n.div_ceil(wanted).next_multiple_of(8).min(TASK_ROWS);
        (0..n.div_ceil(rows) * panel_tasks).into_par_iter().for_each(|task| {
            let (row, panel) = (task / panel_tasks * rows, task % panel_tasks * TASK_PANELS);
            isa.run(Task {
                gemm: self,
                rows: row..n.min(row + rows),
                panels: panel..self.shape.count().min(panel + TASK_PANELS),
                product: std::marker::PhantomData::<P>,
            });
        });
    }
}

struct Task<'a, P, W, E> {
    gemm: &'a Gemm<'a, W, E>,
    rows: Range<usize>,
    panels: Range<usize>,
    product: std::marker::PhantomData<P>,
}

impl<P: Product, W: Weights, E: Epilogue> Op for Task<'_, P, W, E> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let Gemm { layout, shape, .. } = *self.gemm;
        let padded_rows = self.rows.len().next_multiple_of(tile_rows::<S>());
        let lanes = shape.rows(self.panels.start).start..shape.rows(self.panels.end - 1).end;
        let mut lease = Lease::new();
        let [w, c, side, floats] = lease.buffers();
        let c = c.floats(padded_rows * lanes.len());
        c.fill(0.0);
        let w = w.words(padded_rows * ROW_STRIDE);
        let floats = floats.floats(2 * BLOCK_WORDS);
        for block in &layout.blocks {
            let segments = &layout.segments[block.clone()];
            let words = layout.block_words(block).len();
            for (row, out) in self.rows.clone().zip(w.chunks_exact_mut(ROW_STRIDE)) {
                self.gemm.weights.words(simd, row, segments, &mut out[..words], floats);
            }
            let side = self.side::<S>(segments, padded_rows, side);
            for panel in self.panels.clone() {
                let rows = shape.rows(panel);
                let c = &mut c[rows.start - lanes.start..];
                match rows.len() / S::LANES {
                    1 => self.multiply::<S, 1>(simd, block.clone(), rows.start, w, side, c, lanes.len()),
                    2 => self.multiply::<S, 2>(simd, block.clone(), rows.start, w, side, c, lanes.len()),
                    _ => self.multiply::<S, PANEL_VECTORS>(simd, block.clone(), rows.start, w, side, c, lanes.len()),
                }
            }
        }
        self.store(simd, c, lanes, floats);
    }
}

/// Scales and zero points `[segment of the block][row of the task]`, of grouped products.
#[derive(Clone, Copy)]
struct Side<'a> {
    scales: &'a [f32],
    zero_points: &'a [i32],
}

impl<P: Product, W: Weights, E: Epilogue> Task<'_, P, W, E> {
    #[inline(always)]
    fn side<'b, S: Simd>(&self, segments: &[Segment], rows: usize, buffer: &'b mut Words) -> Side<'b> {
        if !P::GROUPED {
            return Side { scales: &[], zero_points: &[] };
        }
        let count = segments.len() * rows;
        let (scales, zero_points) = buffer.words(2 * count).split_at_mut(count);
        for (s, segment) in segments.iter().enumerate() {
            for (r, row) in self.rows.clone().enumerate() {
                let (scale, zero_point) = self.gemm.weights.scale::<S>(row, segment.group);
                scales[s * rows + r] = scale.to_bits();
                zero_points[s * rows + r] = zero_point as u32;
            }
        }
        Side { scales: bytemuck::cast_slice(scales), zero_points: bytemuck::cast_slice(zero_points) }
    }

    /// One panel of x, from its row `first` on, with a block of W.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "one block of a product: its place in W, in x and in y")]
    fn multiply<S: Simd, const V: usize>(
        &self,
        simd: S,
        block: Range<usize>,
        first: usize,
        w: &[u32],
        side: Side<'_>,
        c: &mut [f32],
        c_stride: usize,
    ) {
        let gemm = self.gemm;
        let padded = gemm.shape.padded();
        let block_word = gemm.layout.segments[block.start].word;
        let panel = &gemm.panels[first * gemm.layout.words..][..V * S::LANES * gemm.layout.words];
        let rows = w.len() / ROW_STRIDE;
        for row in (0..rows).step_by(tile_rows::<S>()) {
            for (s, segment) in gemm.layout.segments[block.clone()].iter().enumerate() {
                let x_sums: &[i32] =
                    if P::GROUPED { &gemm.x_sums[(block.start + s) * padded + first..][..V * S::LANES] } else { &[] };
                let side = if P::GROUPED {
                    let at = s * rows + row..s * rows + row + tile_rows::<S>();
                    Side { scales: &side.scales[at.clone()], zero_points: &side.zero_points[at] }
                } else {
                    side
                };
                let tile = Tile {
                    x: &panel[segment.word * V * S::LANES..],
                    w: &w[row * ROW_STRIDE + segment.word - block_word..],
                    words: segment.words,
                    x_sums,
                    side,
                };
                let c = &mut c[row * c_stride..];
                if S::LANES == 16 {
                    tile.multiply::<S, P, V, 8>(simd, c, c_stride);
                } else {
                    tile.multiply::<S, P, V, 4>(simd, c, c_stride);
                }
            }
        }
    }

    /// Writes C to y.
    #[inline(always)]
    #[allow(unsafe_code)]
    fn store<S: Simd>(&self, simd: S, c: &[f32], lanes: Range<usize>, _: &mut [f32]) {
        let Gemm { shape, output, epilogue, .. } = *self.gemm;
        let columns = self.rows.len();
        let mut rows = [[0.0; TASK_ROWS]; 16];
        for first in lanes.clone().step_by(S::LANES) {
            for column in 0..columns {
                let c = &c[column * lanes.len() + first - lanes.start..][..S::LANES];
                for (row, c) in rows.iter_mut().zip(c) {
                    row[column] = *c;
                }
            }
            for (m, row) in (first..shape.m.min(first + S::LANES)).zip(&mut rows) {
                let values = &mut row[..columns];
                epilogue.finish(simd, m, self.rows.start, values);
                // SAFETY: no other task has these rows of W with this panel.
                unsafe { output.write(simd, m, self.rows.start, values) };
            }
        }
    }
}

/// What one call of the innermost loop multiplies.
struct Tile<'a> {
    x: &'a [u32],
    w: &'a [u32],
    words: usize,
    x_sums: &'a [i32],
    side: Side<'a>,
}

impl Tile<'_> {
    /// `V` vectors of rows of x with `N` rows of W.
    #[inline(always)]
    #[allow(unsafe_code)]
    fn multiply<S: Simd, P: Product, const V: usize, const N: usize>(&self, simd: S, c: &mut [f32], c_stride: usize) {
        let lanes = S::LANES;
        assert!(self.x.len() >= self.words * V * lanes && self.w.len() >= (N - 1) * ROW_STRIDE + self.words);
        assert!(c.len() >= (N - 1) * c_stride + V * lanes);
        if P::GROUPED {
            assert!(self.x_sums.len() >= V * lanes && self.side.scales.len() >= N && self.side.zero_points.len() >= N);
        }
        // SAFETY: the assertions above cover every address below: word and vector of x, row and word of W, row and vector
        // of C, and, where they are read, the sums of x, scales and zero points.
        unsafe {
            let (x, w, c) = (self.x.as_ptr(), self.w.as_ptr(), c.as_mut_ptr());
            let mut sums = [[P::start(simd, simd.splat(0.0), 0, simd.splat_i(0)); V]; N];
            for (n, sums) in sums.iter_mut().enumerate() {
                for (v, sum) in sums.iter_mut().enumerate() {
                    let held = simd.load_ptr(c.add(n * c_stride + v * lanes));
                    *sum = if P::GROUPED {
                        let x_sum = simd.load_words_ptr(self.x_sums.as_ptr().add(v * lanes).cast());
                        P::start(simd, held, *self.side.zero_points.get_unchecked(n), x_sum)
                    } else {
                        P::start(simd, held, 0, simd.splat_i(0))
                    };
                }
            }
            for word in 0..self.words {
                let mut xs = [simd.splat_i(0); V];
                for (v, xs) in xs.iter_mut().enumerate() {
                    *xs = simd.load_words_ptr(x.add((word * V + v) * lanes));
                }
                for (n, sums) in sums.iter_mut().enumerate() {
                    let w = simd.splat_ptr(w.add(n * ROW_STRIDE + word));
                    for (sum, &x) in sums.iter_mut().zip(&xs) {
                        *sum = P::step(simd, *sum, x, w);
                    }
                }
            }
            for (n, sums) in sums.iter().enumerate() {
                let scale = if P::GROUPED { *self.side.scales.get_unchecked(n) } else { 1.0 };
                for (v, &sum) in sums.iter().enumerate() {
                    let at = c.add(n * c_stride + v * lanes);
                    simd.store_ptr(P::finish(simd, sum, simd.load_ptr(at), scale), at);
                }
            }
        }
    }
}
