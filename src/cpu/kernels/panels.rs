//! [`Panels`]: x packed so that a vector holds one word of as many rows as there are lanes.

use rayon::prelude::*;

use crate::cpu::Isa;
use crate::cpu::kernels::layout::Layout;
use crate::cpu::kernels::layout::Word;
use crate::cpu::kernels::scratch::Lease;
use crate::cpu::simd::Op;
use crate::cpu::simd::Simd;
use crate::values::Values;
use crate::values::bf16;

/// Vectors of rows in a full panel: with 8 rows of W, 24 of the 32 registers of AVX-512 are sums.
pub const PANEL_VECTORS: usize = 3;

/// The rows of x, as words of a [`Layout`].
pub trait Rows: Sync {
    /// Writes row `m` to `out`, [`Layout::words`] long. Padding is zero.
    fn words<S: Simd>(&self, simd: S, m: usize, layout: &Layout, out: &mut [u32]);
}

/// Rows that stay floats: [`Word::F32`] or [`Word::Bf16Pair`].
pub struct FloatRows<'a>(pub Values<'a>);

impl Rows for FloatRows<'_> {
    #[inline(always)]
    fn words<S: Simd>(&self, simd: S, m: usize, layout: &Layout, out: &mut [u32]) {
        let range = m * layout.k..(m + 1) * layout.k;
        if layout.word == Word::F32 {
            return widen(simd, self.0.slice(range), bytemuck::cast_slice_mut(out));
        }
        let out: &mut [bf16] = bytemuck::cast_slice_mut(out);
        let (values, pad) = out.split_at_mut(layout.k);
        pad.fill(bf16::ZERO);
        match self.0.slice(range) {
            Values::Bf16(x) => values.copy_from_slice(x),
            x => {
                for (i, value) in values.iter_mut().enumerate() {
                    *value = bf16::from_f32(x.get(i));
                }
            }
        }
    }
}

/// Rows of i8 codes: [`Word::Bytes`] or [`Word::SplitBytes`].
pub struct CodeRows<'a>(pub &'a [i8]);

impl Rows for CodeRows<'_> {
    #[inline(always)]
    fn words<S: Simd>(&self, _: S, m: usize, layout: &Layout, out: &mut [u32]) {
        let row = &self.0[m * layout.k..(m + 1) * layout.k];
        let out: &mut [i8] = bytemuck::cast_slice_mut(out);
        for segment in &layout.segments {
            let codes = &row[segment.first..segment.first + segment.len];
            let out = &mut out[4 * segment.word..4 * (segment.word + segment.words)];
            match layout.word {
                Word::SplitBytes => split(codes, out),
                _ => {
                    let (values, pad) = out.split_at_mut(codes.len());
                    values.copy_from_slice(codes);
                    pad.fill(0);
                }
            }
        }
    }
}

/// Of each eight codes the even ones, then the odd ones.
#[inline(always)]
fn split(codes: &[i8], out: &mut [i8]) {
    let mut units = out.chunks_exact_mut(8);
    for (codes, out) in codes.chunks(8).zip(&mut units) {
        let mut unit = [0; 8];
        unit[..codes.len()].copy_from_slice(codes);
        for i in 0..4 {
            out[i] = unit[2 * i];
            out[4 + i] = unit[2 * i + 1];
        }
    }
}

/// Widens `x` to f32.
#[inline(always)]
pub fn widen<S: Simd>(simd: S, x: Values<'_>, out: &mut [f32]) {
    assert_eq!(x.len(), out.len());
    let whole = out.len() / S::LANES * S::LANES;
    let mut at = 0;
    while at < whole {
        let values = match x {
            Values::F32(x) => simd.load(&x[at..]),
            Values::F16(x) => simd.load_f16(&x[at..]),
            Values::Bf16(x) => simd.load_bf16(&x[at..]),
        };
        simd.store(values, &mut out[at..]);
        at += S::LANES;
    }
    for (i, out) in out.iter_mut().enumerate().skip(whole) {
        *out = x.get(i);
    }
}

/// How the rows of x are cut into panels: all have [`PANEL_VECTORS`] vectors of rows but the last.
#[derive(Clone, Copy, Debug)]
pub struct PanelShape {
    /// Rows of x.
    pub m: usize,
    /// Lanes per vector.
    pub lanes: usize,
}

impl PanelShape {
    /// For `m` rows on `isa`.
    pub fn new(isa: Isa, m: usize) -> Self {
        Self { m, lanes: isa.run(Lanes) }
    }

    /// Rows with padding.
    pub fn padded(self) -> usize {
        self.m.next_multiple_of(self.lanes)
    }

    /// Rows of a full panel.
    pub fn panel_rows(self) -> usize {
        PANEL_VECTORS * self.lanes
    }

    /// How many panels.
    pub fn count(self) -> usize {
        self.m.div_ceil(self.panel_rows())
    }

    /// The padded rows of panel `index`.
    pub fn rows(self, index: usize) -> std::ops::Range<usize> {
        index * self.panel_rows()..self.padded().min((index + 1) * self.panel_rows())
    }
}

struct Lanes;

impl Op for Lanes {
    type Output = usize;
    #[inline(always)]
    fn eval<S: Simd>(self, _: S) -> usize {
        S::LANES
    }
}

/// Packs `rows` into `out`, [`PanelShape::padded`] times [`Layout::words`] long: panel after panel, within one word after
/// word, of each word all rows of the panel.
pub fn pack<R: Rows>(isa: Isa, shape: PanelShape, rows: &R, layout: &Layout, out: &mut [u32]) {
    assert_eq!(out.len(), shape.padded() * layout.words);
    let panels = out.par_chunks_mut(shape.panel_rows() * layout.words);
    panels.enumerate().for_each(|(index, out)| isa.run(PackPanel { shape, rows, layout, index, out }));
}

struct PackPanel<'a, R> {
    shape: PanelShape,
    rows: &'a R,
    layout: &'a Layout,
    index: usize,
    out: &'a mut [u32],
}

impl<R: Rows> Op for PackPanel<'_, R> {
    type Output = ();
    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let words = self.layout.words;
        let mut lease = Lease::new();
        let rows = lease.buffers()[0].words(S::LANES * words);
        let panel = self.shape.rows(self.index);
        let panel_rows = panel.len();
        for vector in panel.clone().step_by(S::LANES) {
            for (lane, row) in rows.chunks_exact_mut(words).enumerate() {
                if vector + lane < self.shape.m {
                    self.rows.words(simd, vector + lane, self.layout, row);
                } else {
                    row.fill(0);
                }
            }
            transpose::<S>(rows, words, &mut self.out[vector - panel.start..], panel_rows);
        }
    }
}

/// `out[w * stride + lane] = rows[lane * words + w]`
#[inline(always)]
fn transpose<S: Simd>(rows: &[u32], words: usize, out: &mut [u32], stride: usize) {
    // A cache line of each row at a time.
    for first in (0..words).step_by(16) {
        for word in first..words.min(first + 16) {
            let out = &mut out[word * stride..][..S::LANES];
            for (lane, out) in out.iter_mut().enumerate() {
                *out = rows[lane * words + word];
            }
        }
    }
}
