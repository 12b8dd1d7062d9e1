//! What this machine's memory can do with the threads of the current rayon pool: the ceilings that benchmarks state shares of.

use rayon::prelude::*;

use crate::cpu::Isa;
use crate::cpu::simd::Op;
use crate::cpu::simd::Simd;

/// Values per task.
const TASK: usize = 1 << 16;

/// Streams a task is read in: one is prefetched less far than memory can go (on Zen 4, 42 GB/s against 54 with two threads and
/// nobody else on the machine; benches/record).
const STREAMS: usize = 4;

/// Reads every value once: the wrapping sum of their bits.
pub fn read(isa: Isa, values: &[f32]) -> u32 {
    values.par_chunks(TASK).map(|values| isa.run(Sum(values))).reduce(|| 0, u32::wrapping_add)
}

/// Writes every value once, past the caches: `value` everywhere.
pub fn write(isa: Isa, out: &mut [f32], value: f32) {
    out.par_chunks_mut(TASK).for_each(|out| isa.run(Fill(out, value)));
}

struct Sum<'a>(&'a [f32]);

impl Op for Sum<'_> {
    type Output = u32;
    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) -> u32 {
        let len = self.0.len() / (STREAMS * S::LANES) * S::LANES;
        let streams: [&[f32]; STREAMS] = std::array::from_fn(|i| &self.0[i * len..][..len]);
        let mut sums = [simd.splat_i(0); STREAMS];
        for at in (0..len).step_by(S::LANES) {
            for (sum, stream) in sums.iter_mut().zip(streams) {
                *sum = simd.add_i(*sum, simd.to_bits(simd.load(&stream[at..])));
            }
        }
        let rest = self.0[STREAMS * len..].iter().map(|value| value.to_bits());
        sums.into_iter().map(|sum| simd.reduce_add_i(sum) as u32).chain(rest).fold(0, u32::wrapping_add)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::kernels::testing::Random;

    #[test]
    fn every_value_is_read_once() {
        let mut random = Random::new(31);
        for len in [0, 1, 63, 64, 65, TASK - 1, TASK + 129] {
            let values: Vec<f32> = (0..len).map(|_| random.normal()).collect();
            let expected = values.iter().fold(0, |sum: u32, value| sum.wrapping_add(value.to_bits()));
            for isa in Isa::available() {
                assert_eq!(read(isa, &values), expected, "{len} values on {}", isa.name());
            }
        }
    }
}
