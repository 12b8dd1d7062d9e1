//! What this machine's memory can do with the threads of the current rayon pool: the ceilings that benchmarks state shares of.

use rayon::prelude::*;

use crate::cpu::Isa;
use crate::cpu::simd::Op;
use crate::cpu::simd::Simd;

/// Values per task.
const TASK: usize = 1 << 16;

/// Reads every value once: their sum, in an order of the instruction set's own.
pub fn read(isa: Isa, values: &[f32]) -> f32 {
    values.par_chunks(TASK).map(|values| isa.run(Sum(values))).sum()
}

/// Writes every value once, past the caches: `value` everywhere.
pub fn write(isa: Isa, out: &mut [f32], value: f32) {
    out.par_chunks_mut(TASK).for_each(|out| isa.run(Fill(out, value)));
}

struct Sum<'a>(&'a [f32]);

impl Op for Sum<'_> {
    type Output = f32;
    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) -> f32 {
        let mut sums = [simd.splat(0.0); 4];
        for values in self.0.chunks_exact(4 * S::LANES) {
            for (j, sum) in sums.iter_mut().enumerate() {
                *sum = simd.add(*sum, simd.load(&values[j * S::LANES..]));
            }
        }
        sums.into_iter().map(|sum| simd.reduce_add(sum)).sum()
    }
}

struct Fill<'a>(&'a mut [f32], f32);

impl Op for Fill<'_> {
    type Output = ();
    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let piece = [self.1; 2048];
        for out in self.0.chunks_mut(piece.len()) {
            simd.copy_streaming(bytemuck::cast_slice(&piece[..out.len()]), bytemuck::cast_slice_mut(out));
        }
    }
}
