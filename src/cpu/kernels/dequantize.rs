//! A [`QuantMatrix`] to dense weights.

use rayon::prelude::*;

use crate::cpu::Isa;
use crate::cpu::kernels::decode::decode;
use crate::cpu::kernels::source::Aligned;
use crate::cpu::simd::Op;
use crate::cpu::simd::Simd;
use crate::error::Error;
use crate::error::Result;
use crate::formats::QuantMatrix;
use crate::values::Element;
use crate::values::ValuesMut;
use crate::values::bf16;
use crate::values::f16;
use crate::values::with_slice;

/// Writes every value of `matrix`, row-major, to `out`, on the threads of the current rayon pool: the bits of
/// [`reference::dequantize`](crate::reference::dequantize), and one rounding more for f16 and bf16. Allocates nothing.
///
/// # Errors
/// [`Error::Length`] when `out` does not have the matrix's shape.
pub fn dequantize_into(isa: Isa, matrix: &QuantMatrix, out: ValuesMut<'_>) -> Result<()> {
    let expected = matrix.shape().num_values();
    if out.len() != expected {
        let rule = format!("shape {}", matrix.shape());
        return Err(Error::Length { what: "output", expected, found: out.len(), rule });
    }
    with_slice!(ValuesMut, out, out => each_task(isa, matrix, out));
    Ok(())
}

/// Writes the values `first .. first + out.len()` of the flattened matrix, in this thread.
///
/// # Panics
/// When the range is not within the matrix.
pub fn dequantize_range(isa: Isa, matrix: &QuantMatrix, first: usize, out: &mut [f32]) {
    isa.run(Dequantize { matrix, first, out, large: false });
}

/// Values per task.
const TASK: usize = 1 << 16;

fn each_task<E: Sink>(isa: Isa, matrix: &QuantMatrix, out: &mut [E]) {
    let large = size_of_val(out) >= LARGE;
    out.par_chunks_mut(TASK)
        .enumerate()
        .for_each(|(i, out)| isa.run(Dequantize { matrix, first: i * TASK, out, large }));
}

/// Bytes of output beyond which no cache is expected to hold it until it is read, so that it may bypass them.
const LARGE: usize = 16 << 20;

struct Dequantize<'a, E> {
    matrix: &'a QuantMatrix,
    first: usize,
    out: &'a mut [E],
    large: bool,
}

impl<E: Sink> Op for Dequantize<'_, E> {
    type Output = ();
    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        // Values go through the nearest cache: decoding is the same for all types, and what bypasses the caches is aligned.
        let mut values = Aligned([0.0; PIECE]);
        let mut rounded = Aligned([E::default(); PIECE]);
        for (i, out) in self.out.chunks_mut(PIECE).enumerate() {
            let values = &mut values.0[..out.len()];
            decode(simd, self.matrix, self.first + i * PIECE, values);
            if self.large {
                let rounded = E::round(simd, values, &mut rounded.0);
                simd.copy_streaming(bytemuck::cast_slice(rounded), bytemuck::cast_slice_mut(out));
            } else {
                out.copy_from_slice(E::round(simd, values, &mut rounded.0));
            }
        }
    }
}

/// Values decoded at a time.
const PIECE: usize = 2048;

/// An element type that f32 values are rounded to, to nearest even.
trait Sink: Element {
    /// Rounds `values` into `out`, or returns them as they are.
    fn round<'a, S: Simd>(simd: S, values: &'a [f32], out: &'a mut [Self]) -> &'a [Self];
}

impl Sink for f32 {
    #[inline(always)]
    fn round<'a, S: Simd>(_: S, values: &'a [f32], _: &'a mut [f32]) -> &'a [f32] {
        values
    }
}

macro_rules! rounding_sink {
    ($type:ty, $store:ident) => {
        impl Sink for $type {
            #[inline(always)]
            fn round<'a, S: Simd>(simd: S, values: &'a [f32], out: &'a mut [Self]) -> &'a [Self] {
                let whole = values.len() / S::LANES * S::LANES;
                for (values, out) in values.chunks_exact(S::LANES).zip(out.chunks_exact_mut(S::LANES)) {
                    simd.$store(simd.load(values), out);
                }
                for (value, out) in values[whole..].iter().zip(&mut out[whole..]) {
                    *out = Self::from_f32(*value);
                }
                &out[..values.len()]
            }
        }
    };
}
rounding_sink!(f16, store_f16);
rounding_sink!(bf16, store_bf16);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::kernels::testing;
    use crate::formats::Format;
    use crate::reference;
    use crate::shape::MatShape;
    use crate::values::Dtype;
    use crate::values::OwnedValues;

    fn assert_agrees(format: Format, shape: MatShape) {
        let matrix = testing::arbitrary_matrix(format, shape);
        let exact = reference::dequantize(&matrix);
        for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
            let expected = OwnedValues::from_f32(dtype, &exact).as_values().to_f32();
            for isa in Isa::available() {
                let mut out = OwnedValues::zeros(dtype, shape.num_values());
                dequantize_into(isa, &matrix, out.as_values_mut()).unwrap();
                let what = format!("{format} {shape} {dtype} on {}", isa.name());
                testing::assert_same_bits(&out.as_values().to_f32(), &expected, &what);
            }
        }
    }

    #[test]
    fn dequantizing_has_the_bits_of_the_definition() {
        for (format, shape) in testing::formats_and_shapes() {
            assert_agrees(format, shape);
        }
    }

    #[test]
    fn results_that_bypass_the_caches_are_whole() {
        let shape = MatShape::new(2049, 4097).unwrap();
        assert!(shape.num_values() * 2 >= LARGE);
        assert_agrees(crate::formats::Recipe::from(crate::Nf4::default()).format, shape);
    }

    #[test]
    fn an_output_of_the_wrong_length_is_refused() {
        let matrix = testing::arbitrary_matrix(testing::formats()[0], MatShape::new(2, 3).unwrap());
        let found = dequantize_into(Isa::best(), &matrix, ValuesMut::F32(&mut [0.0; 7]));
        assert!(matches!(found, Err(Error::Length { expected: 6, found: 7, .. })));
    }
}
