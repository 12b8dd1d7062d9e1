//! Dequantizing a matrix in runs of rows, so that no f32 copy of the whole is needed.

use std::ops::Range;

use crate::device::Device;
use crate::error::Result;
use crate::formats::AbsmaxKind;
use crate::formats::Format;
use crate::formats::Parts;
use crate::formats::QuantMatrix;
use crate::formats::Scales;
use crate::quantize::Distortion;
use crate::reference;
use crate::shape::MatShape;
use crate::values::Dtype;
use crate::values::OwnedValues;
use crate::values::Values;

/// About how many values a run has: 4 MiB of f32.
const RUN_VALUES: usize = 1 << 20;

/// How far `matrix` is from `original`.
pub(super) fn distortion(original: Values<'_>, matrix: &QuantMatrix, device: &Device) -> Result<Distortion> {
    let mut sums = Distortion::default();
    for_each_run(matrix, device, |range, values| sums.merge(&Distortion::between(original.slice(range), values)))?;
    Ok(sums)
}

/// The values of `matrix`, rounded to `dtype`.
pub(super) fn dequantize(matrix: &QuantMatrix, dtype: Dtype, device: &Device) -> Result<OwnedValues> {
    let mut all = OwnedValues::zeros(dtype, matrix.shape().num_values());
    let size = dtype.size_bytes();
    for_each_run(matrix, device, |range, values| {
        let bytes = &mut all.as_bytes_mut()[range.start * size..range.end * size];
        bytes.copy_from_slice(OwnedValues::from_f32(dtype, values).as_bytes());
    })?;
    Ok(all)
}

/// Calls `f` with the flat range and the values of each run of rows.
fn for_each_run(matrix: &QuantMatrix, device: &Device, mut f: impl FnMut(Range<usize>, &[f32])) -> Result<()> {
    let (n, k) = (matrix.shape().n(), matrix.shape().k());
    let step = rows_per_run(matrix.format(), k);
    for begin in (0..n).step_by(step) {
        let rows = begin..n.min(begin.saturating_add(step));
        let range = rows.start * k..rows.end * k;
        f(range, &dequantize_run(&rows_of(matrix, rows)?, device)?);
    }
    Ok(())
}

/// The one place that computes.
fn dequantize_run(matrix: &QuantMatrix, _device: &Device) -> Result<Vec<f32>> {
    Ok(reference::dequantize(matrix))
}

fn rows_per_run(format: Format, k: usize) -> usize {
    (RUN_VALUES / k).max(1).next_multiple_of(row_alignment(format, k))
}

/// So many rows, or a multiple, end where a block and a byte do.
fn row_alignment(format: Format, k: usize) -> usize {
    let aligned_values = match (format.flat_block(), format.code_bits()) {
        (Some(block), _) => block.get(),
        (None, 4) => 2,
        (None, _) => 1,
    };
    // The alignments are powers of two, so their common divisor with K is one of its low powers of two.
    aligned_values / aligned_values.min(1 << k.trailing_zeros())
}

/// Some rows as a matrix of their own, with the same values. `rows` begins where a block and a byte do.
fn rows_of(matrix: &QuantMatrix, rows: Range<usize>) -> Result<QuantMatrix> {
    let (format, shape) = (matrix.format(), matrix.shape());
    let run = MatShape::new(rows.len(), shape.k())?;
    let first_byte = rows.start * shape.k() * format.code_bits() / 8;
    let first_scale = format.scale_index(shape, rows.start, 0);
    let last_scale = format.scale_index(shape, rows.end - 1, shape.k() - 1);
    let scales = first_scale..last_scale + 1;
    // Double-quantized scales are decoded: the same values, without the need to begin with a block of scales.
    let format = match format {
        Format::Nf4 { block_size, .. } => Format::Nf4 { block_size, absmax: AbsmaxKind::F32 },
        Format::Fp4 { block_size, .. } => Format::Fp4 { block_size, absmax: AbsmaxKind::F32 },
        other => other,
    };
    let parts = Parts {
        codes: matrix.codes()[first_byte..first_byte + format.num_code_bytes(run)].to_vec(),
        scales: Scales::F32(scales.clone().map(|index| matrix.scales().get(index)).collect()),
        zero_points: matrix.zero_points().map(|points| points[scales].to_vec()),
        map: matches!(format, Format::Dynamic8 { .. }).then(|| Box::new(*matrix.map())),
    };
    QuantMatrix::from_parts(format, run, matrix.dtype(), parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::AffineInt8;
    use crate::formats::Dynamic8;
    use crate::formats::Fp4;
    use crate::formats::Int4;
    use crate::formats::Int8;
    use crate::formats::Nf4;
    use crate::formats::Recipe;
    use crate::ops;
    use crate::shape::BlockSize;
    use crate::shape::Granularity;
    use crate::shape::GroupSize;

    fn values(matrix: &QuantMatrix) -> Vec<f32> {
        dequantize_run(matrix, &Device::cpu()).unwrap()
    }

    #[test]
    fn runs_of_rows_have_the_values_of_the_whole() {
        let recipes: [Recipe; 6] = [
            Nf4::default().block_size(BlockSize::B32).double_quant(true).into(),
            Fp4::default().into(),
            Dynamic8::default().block_size(BlockSize::B128).into(),
            Int8::default().granularity(Granularity::PerTensor).into(),
            Int4::default().granularity(Granularity::PerGroup(GroupSize::G32)).into(),
            AffineInt8::default().into(),
        ];
        for (recipe, k) in recipes.into_iter().flat_map(|recipe| [(recipe, 96), (recipe, 37), (recipe, 130)]) {
            let shape = MatShape::new(300, k).unwrap();
            let x: Vec<f32> = (0..shape.num_values()).map(|i| ((i * 7919 % 1009) as f32 - 500.0) / 77.0).collect();
            let matrix = ops::quantize(Values::F32(&x), shape, recipe, &Device::cpu()).unwrap();
            let whole = values(&matrix);
            let step = row_alignment(recipe.format, k);
            for begin in (0..300).step_by(step) {
                let rows = begin..300.min(begin + step);
                let expected = &whole[rows.start * k..rows.end * k];
                let run = values(&rows_of(&matrix, rows.clone()).unwrap());
                assert_eq!(run, expected, "{} K={k} rows {rows:?}", recipe.format);
            }
        }
    }

    #[test]
    fn distortion_over_runs_is_that_of_the_whole() {
        let shape = MatShape::new(3000, 515).unwrap();
        let x: Vec<f32> = (0..shape.num_values()).map(|i| ((i * 31 % 997) as f32 - 498.0) / 50.0).collect();
        let matrix = ops::quantize(Values::F32(&x), shape, Nf4::default(), &Device::cpu()).unwrap();
        let whole = Distortion::between(Values::F32(&x), &values(&matrix));
        let runs = distortion(Values::F32(&x), &matrix, &Device::cpu()).unwrap();
        assert_eq!((runs.count, runs.max_error), (whole.count, whole.max_error));
        assert!((runs.sum_squared_error / whole.sum_squared_error - 1.0).abs() < 1e-12);
    }
}
