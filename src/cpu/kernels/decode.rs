//! Codes to f32: the one decoding loop, for all formats. It computes exactly what
//! [`QuantMatrix::value`](crate::formats::QuantMatrix::value) does, in the same order of f32 operations.

use crate::cpu::kernels::runs::Run;
use crate::cpu::kernels::runs::Runs;
use crate::cpu::kernels::source::MAX_LANES;
use crate::cpu::simd::Simd;
use crate::formats::Format;
use crate::formats::QuantMatrix;
use crate::formats::int4_channel_group;
use crate::formats::int8;
use crate::formats::tables;

/// Writes the values `first .. first + out.len()` of the flattened `matrix`, row-major, to `out`.
///
/// Right for any range; fastest when `first` is even and scales do not change within a vector.
///
/// # Panics
/// When the range is not within the matrix.
#[inline(always)]
pub fn decode<S: Simd>(simd: S, matrix: &QuantMatrix, first: usize, out: &mut [f32]) {
    match matrix.format() {
        Format::Nf4 { .. } => all_runs(simd, Codebook::new(simd, &tables::NF4), matrix, first, out),
        Format::Fp4 { .. } => all_runs(simd, Codebook::new(simd, &tables::FP4), matrix, first, out),
        Format::Int4 { .. } => {
            let integers = std::array::from_fn(|code| code as f32);
            all_runs(simd, AffineNibbles(Codebook::new(simd, &integers)), matrix, first, out);
        }
        Format::Dynamic8 { .. } => all_runs(simd, Map(matrix.map()), matrix, first, out),
        Format::Int8 { .. } => all_runs(simd, SignedBytes, matrix, first, out),
        Format::AffineInt8 { .. } => all_runs(simd, AffineBytes, matrix, first, out),
        Format::Int4ChannelGroup => channel_groups(simd, matrix, first, out),
    }
}

/// How a vector of codes becomes values.
trait Decoder<S: Simd>: Copy {
    /// 2 for 4-bit codes, 1 for 8-bit codes.
    const CODES_PER_BYTE: usize;
    /// The values of the first [`Simd::LANES`] codes in `codes`.
    fn values(self, simd: S, codes: &[u8], scale: S::F, zero_point: S::F) -> S::F;
}

/// `table[code] * scale`
struct Codebook<S: Simd>(S::Table16);

impl<S: Simd> Clone for Codebook<S> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}
impl<S: Simd> Copy for Codebook<S> {}

impl<S: Simd> Codebook<S> {
    #[inline(always)]
    fn new(simd: S, values: &[f32; 16]) -> Self {
        Self(simd.table16(values))
    }
}

impl<S: Simd> Decoder<S> for Codebook<S> {
    const CODES_PER_BYTE: usize = 2;
    #[inline(always)]
    fn values(self, simd: S, codes: &[u8], scale: S::F, _: S::F) -> S::F {
        simd.mul(simd.lookup16(self.0, simd.load_nibbles(codes)), scale)
    }
}

/// `(code - zero_point) * scale` for 4-bit codes; the table widens a code to f32 and drops the bits beside it.
struct AffineNibbles<S: Simd>(Codebook<S>);

impl<S: Simd> Clone for AffineNibbles<S> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}
impl<S: Simd> Copy for AffineNibbles<S> {}

impl<S: Simd> Decoder<S> for AffineNibbles<S> {
    const CODES_PER_BYTE: usize = 2;
    #[inline(always)]
    fn values(self, simd: S, codes: &[u8], scale: S::F, zero_point: S::F) -> S::F {
        let code = simd.lookup16(self.0.0, simd.load_nibbles(codes));
        simd.mul(simd.sub(code, zero_point), scale)
    }
}

/// `map[code] * scale`
#[derive(Clone, Copy)]
struct Map<'a>(&'a [f32; 256]);

impl<S: Simd> Decoder<S> for Map<'_> {
    const CODES_PER_BYTE: usize = 1;
    #[inline(always)]
    fn values(self, simd: S, codes: &[u8], scale: S::F, _: S::F) -> S::F {
        simd.mul(simd.lookup256(self.0, simd.load_bytes(codes)), scale)
    }
}

/// `code * scale * (1/127)`
#[derive(Clone, Copy)]
struct SignedBytes;

impl<S: Simd> Decoder<S> for SignedBytes {
    const CODES_PER_BYTE: usize = 1;
    #[inline(always)]
    fn values(self, simd: S, codes: &[u8], scale: S::F, _: S::F) -> S::F {
        let code = simd.to_float(simd.load_i8(bytemuck::cast_slice(codes)));
        simd.mul(simd.mul(code, scale), simd.splat(int8::INV_127))
    }
}

/// `(code - zero_point) * scale` for 8-bit codes.
#[derive(Clone, Copy)]
struct AffineBytes;

impl<S: Simd> Decoder<S> for AffineBytes {
    const CODES_PER_BYTE: usize = 1;
    #[inline(always)]
    fn values(self, simd: S, codes: &[u8], scale: S::F, zero_point: S::F) -> S::F {
        let code = simd.to_float(simd.load_bytes(codes));
        simd.mul(simd.sub(code, zero_point), scale)
    }
}

/// `(code * multiplier + start) * scale`, the first two exact integers.
#[derive(Clone, Copy)]
struct SteppedNibbles<S: Simd> {
    integers: Codebook<S>,
    multiplier: S::F,
    start: S::F,
}

impl<S: Simd> Decoder<S> for SteppedNibbles<S> {
    const CODES_PER_BYTE: usize = 2;
    #[inline(always)]
    fn values(self, simd: S, codes: &[u8], scale: S::F, _: S::F) -> S::F {
        let code = simd.lookup16(self.integers.0, simd.load_nibbles(codes));
        simd.mul(simd.mul_add(code, self.multiplier, self.start), scale)
    }
}

/// Decodes [`Format::Int4ChannelGroup`]: one run for each group.
#[inline(always)]
fn channel_groups<S: Simd>(simd: S, matrix: &QuantMatrix, first: usize, out: &mut [f32]) {
    let (k, groups) = (matrix.shape().k(), int4_channel_group::groups_per_row(matrix.shape()));
    let steps = matrix.steps().expect("from_parts: it has steps");
    let integers = Codebook::new(simd, &std::array::from_fn(|code| code as f32));
    let mut rest = out;
    for row in Runs::new(matrix.format(), matrix.shape(), first, rest.len()) {
        let (mut start, end) = (row.start, row.start + row.len);
        while start < end {
            let col = start - row.scale * k;
            let group = row.scale * groups + col / int4_channel_group::GROUP;
            let len = (int4_channel_group::GROUP - col % int4_channel_group::GROUP).min(end - start);
            let decoder = SteppedNibbles {
                integers,
                multiplier: simd.splat(f32::from(steps.multipliers[group])),
                start: simd.splat(steps.int8(group, 0) as f32),
            };
            let (out, after) = rest.split_at_mut(len);
            one_run(simd, decoder, matrix, Run { scale: row.scale, start, len }, out);
            (rest, start) = (after, start + len);
        }
    }
}

#[inline(always)]
fn all_runs<S: Simd, D: Decoder<S>>(simd: S, decoder: D, matrix: &QuantMatrix, first: usize, out: &mut [f32]) {
    let mut rest = out;
    for run in Runs::new(matrix.format(), matrix.shape(), first, rest.len()) {
        let (out, after) = rest.split_at_mut(run.len);
        one_run(simd, decoder, matrix, run, out);
        rest = after;
    }
}

#[inline(always)]
fn one_run<S: Simd, D: Decoder<S>>(simd: S, decoder: D, matrix: &QuantMatrix, run: Run, out: &mut [f32]) {
    let scale = simd.splat(matrix.scales().get(run.scale));
    let zero_point = simd.splat(f32::from(matrix.zero_point(run.scale)));
    let per_byte = D::CODES_PER_BYTE;
    let codes = &matrix.codes()[run.start / per_byte..(run.start + run.len).div_ceil(per_byte)];
    // A run of 4-bit codes may begin in the low half of a byte: its first value goes alone.
    let (codes, out) = if run.start.is_multiple_of(per_byte) {
        (codes, out)
    } else {
        let (head, out) = out.split_at_mut(1);
        short(simd, decoder, &[codes[0] << 4], scale, zero_point, head);
        (&codes[1..], out)
    };
    let (vectors, tail) = out.split_at_mut(out.len() / S::LANES * S::LANES);
    let (codes, tail_codes) = codes.split_at(vectors.len() / per_byte);
    for (out, codes) in vectors.chunks_exact_mut(S::LANES).zip(codes.chunks_exact(S::LANES / per_byte)) {
        simd.store(decoder.values(simd, codes, scale, zero_point), out);
    }
    if !tail.is_empty() {
        short(simd, decoder, tail_codes, scale, zero_point, tail);
    }
}

/// Fewer values than a vector has, by way of whole vectors beside the arrays.
#[inline(always)]
fn short<S: Simd, D: Decoder<S>>(simd: S, decoder: D, codes: &[u8], scale: S::F, zero_point: S::F, out: &mut [f32]) {
    let mut padded = [0; MAX_LANES];
    padded[..codes.len()].copy_from_slice(codes);
    let mut values = [0.0; MAX_LANES];
    simd.store(decoder.values(simd, &padded, scale, zero_point), &mut values);
    out.copy_from_slice(&values[..out.len()]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Isa;
    use crate::cpu::kernels::testing;
    use crate::cpu::simd::Op;
    use crate::reference;

    struct Decode<'a>(&'a QuantMatrix, usize, &'a mut [f32]);

    impl Op for Decode<'_> {
        type Output = ();
        #[inline(always)]
        fn eval<S: Simd>(self, simd: S) {
            decode(simd, self.0, self.1, self.2);
        }
    }

    #[test]
    fn any_range_of_any_format_has_the_bits_of_the_definition() {
        for (format, shape) in testing::formats_and_shapes() {
            let matrix = testing::arbitrary_matrix(format, shape);
            let expected = reference::dequantize(&matrix);
            let count = expected.len();
            for isa in Isa::available() {
                for (first, len) in [(0, count), (1, count - 1), (count / 2, count - count / 2), (count / 3, 1)] {
                    let mut out = vec![f32::NAN; len];
                    isa.run(Decode(&matrix, first, &mut out));
                    testing::assert_same_bits(
                        &out,
                        &expected[first..first + len],
                        &format!("{format} {shape} from {first} on {}", isa.name()),
                    );
                }
            }
        }
    }
}
