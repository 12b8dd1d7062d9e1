//! x, permuted once per call to fit codes as they are stored.

use std::marker::PhantomData;

use crate::cpu::Isa;
use crate::cpu::kernels::gemv_operands::Operand;
use crate::cpu::kernels::panels::widen;
use crate::cpu::kernels::scratch::Lease;
use crate::cpu::kernels::scratch::Words;
use crate::cpu::simd::Op;
use crate::cpu::simd::Simd;
use crate::values::Values;

/// Where the scale of each lane is.
pub struct LaneScales {
    /// Scales from one row to the next; 0 when all rows share one.
    pub row_stride: usize,
    /// Groups per row.
    pub groups: usize,
    /// For each chunk the group its first lane is in.
    pub first: Vec<usize>,
    /// For each chunk and lane how many groups after that.
    pub offset: Vec<i32>,
}

impl LaneScales {
    /// For rows of `k` values, `group_len` of which share a scale, in chunks of `lanes` words of `lane_values`.
    fn new(k: usize, group_len: usize, row_stride: usize, lanes: usize, lane_values: usize) -> Self {
        let chunks = k.div_ceil(lanes * lane_values);
        let (mut first, mut offset) = (Vec::with_capacity(chunks), Vec::with_capacity(chunks * lanes));
        // Groups are counted, not divided for: this is done in every call.
        let (mut group, mut group_end) = (0, group_len);
        for chunk in 0..chunks {
            for lane in chunk * lanes..(chunk + 1) * lanes {
                while (lane * lane_values).min(k - 1) >= group_end {
                    (group, group_end) = (group + 1, group_end + group_len);
                }
                if lane == chunk * lanes {
                    first.push(group);
                }
                offset.push((group - first[chunk]) as i32);
            }
        }
        Self { row_stride, groups: k.div_ceil(group_len), first, offset }
    }
}

/// x, permuted for an [`Operand`], and the sums that zero points are multiplied with.
pub struct StreamX<'a> {
    /// Rows.
    pub m: usize,
    /// `[m][chunk][vector][lane]`
    pub words: &'a [u32],
    /// `[m][group]`; empty when W has no zero points.
    pub sums: &'a [f32],
    /// Where the scales of W are.
    pub scales: LaneScales,
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
