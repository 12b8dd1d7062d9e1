//! [`Distortion`]: how far dequantized weights are from the originals.

use rayon::prelude::*;

use crate::device::Device;
use crate::error::Error;
use crate::error::Result;
use crate::formats::QuantMatrix;
use crate::ops;
use crate::values::Element;
use crate::values::Values;
use crate::values::with_slice;

/// How many values are summed by one thread at a time.
const PART_VALUES: usize = 1 << 14;

/// Sums over a weight matrix (or a whole model) from which the usual measures of quantization error follow.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Distortion {
    /// How many values were compared.
    pub count: u64,
    /// `sum (dequantized - original)^2`, in f64.
    pub sum_squared_error: f64,
    /// `sum original^2`, in f64.
    pub sum_squares: f64,
    /// The largest `|dequantized - original|`.
    pub max_error: f64,
}

impl Distortion {
    /// How far `matrix` is from the weights it was made from, dequantized in pieces on all threads.
    ///
    /// # Errors
    /// [`Error::Length`] when `original` does not have the matrix's shape.
    pub fn of_matrix(original: Values<'_>, matrix: &QuantMatrix, device: &Device) -> Result<Self> {
        let (expected, found) = (matrix.shape().num_values(), original.len());
        if expected != found {
            let rule = format!("shape {}", matrix.shape());
            return Err(Error::Length { what: "original weight", expected, found, rule });
        }
        let parts: Vec<Self> = (0..expected.div_ceil(PART_VALUES))
            .into_par_iter()
            .map_init(Vec::new, |values, part| {
                let range = part * PART_VALUES..expected.min((part + 1) * PART_VALUES);
                values.resize(range.len(), 0.0);
                ops::dequantize_range(matrix, range.start, values, device);
                Self::between(original.slice(range), values)
            })
            .collect();
        // In order, so that the sums do not depend on the number of threads.
        let mut sums = Self::default();
        parts.iter().for_each(|part| sums.merge(part));
        Ok(sums)
    }

    /// Compares `dequantized` with `original`, value by value, in this thread.
    ///
    /// # Panics
    /// When the two do not have the same length.
    pub fn between(original: Values<'_>, dequantized: &[f32]) -> Self {
        assert_eq!(original.len(), dequantized.len(), "original and dequantized values");
        with_slice!(Values, original, original => Self::of_part(original, dequantized))
    }

    fn of_part<E: Element>(original: &[E], dequantized: &[f32]) -> Self {
        let mut sums = Self { count: dequantized.len() as u64, ..Self::default() };
        for (original, &value) in original.iter().zip(dequantized) {
            let original = f64::from(original.to_f32());
            let error = (f64::from(value) - original).abs();
            sums.sum_squared_error += error * error;
            sums.sum_squares += original * original;
            sums.max_error = sums.max_error.max(error);
        }
        sums
    }

    /// Adds another part of the same matrix or model.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum_squared_error += other.sum_squared_error;
        self.sum_squares += other.sum_squares;
        self.max_error = self.max_error.max(other.max_error);
    }

    /// Root of the mean squared error, in the unit of the weights; 0 for no values.
    pub fn rmse(&self) -> f64 {
        if self.count == 0 { 0.0 } else { (self.sum_squared_error / self.count as f64).sqrt() }
    }

    /// `sqrt(sum error^2 / sum original^2)`: the error in units of the weights' own size. 0 without error, infinite when
    /// only the originals are all zero.
    pub fn relative_rmse(&self) -> f64 {
        if self.sum_squared_error == 0.0 { 0.0 } else { (self.sum_squared_error / self.sum_squares).sqrt() }
    }

    /// Signal to quantization noise, `10 log10(sum original^2 / sum error^2)` decibels; infinite without error.
    pub fn sqnr_db(&self) -> f64 {
        if self.sum_squared_error == 0.0 {
            f64::INFINITY
        } else {
            10.0 * (self.sum_squares / self.sum_squared_error).log10()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Isa;
    use crate::formats::Int4;
    use crate::formats::Int8;
    use crate::formats::Nf4;
    use crate::formats::Recipe;
    use crate::reference;
    use crate::shape::MatShape;
    use crate::values::f16;

    #[test]
    fn measures_are_those_computed_by_hand() {
        // Errors 0, 1, 2, 0: squares sum to 5. Originals 3, 4, 0, -5: squares sum to 50.
        let sums = Distortion::between(Values::F32(&[3.0, 4.0, 0.0, -5.0]), &[3.0, 5.0, -2.0, -5.0]);
        assert_eq!(sums, Distortion { count: 4, sum_squared_error: 5.0, sum_squares: 50.0, max_error: 2.0 });
        assert_eq!(sums.rmse(), 1.25f64.sqrt());
        assert_eq!(sums.relative_rmse(), 0.1f64.sqrt());
        assert!((sums.sqnr_db() - 10.0).abs() < 1e-12);
    }

    #[test]
    fn no_error_is_infinite_decibels_and_no_signal_is_minus_infinity() {
        let exact = Distortion::between(Values::F32(&[0.0, 2.0]), &[0.0, 2.0]);
        assert_eq!((exact.sqnr_db(), exact.relative_rmse(), exact.rmse()), (f64::INFINITY, 0.0, 0.0));
        let noise = Distortion::between(Values::F32(&[0.0]), &[2.0]);
        assert_eq!((noise.sqnr_db(), noise.relative_rmse()), (f64::NEG_INFINITY, f64::INFINITY));
        assert_eq!(Distortion::default().rmse(), 0.0);
    }

    #[test]
    fn a_matrix_is_compared_piece_by_piece() {
        // More than one piece, the last one short, K not a multiple of the block.
        let shape = MatShape::new(33, 1001).unwrap();
        let weight: Vec<f32> = (0..shape.num_values()).map(|i| ((i as f32) * 0.7).sin()).collect();
        for device in Isa::available().into_iter().map(Device::Cpu) {
            let recipes: [Recipe; 3] =
                [Nf4::default().double_quant(true).into(), Int4::default().into(), Int8::default().into()];
            for recipe in recipes {
                let matrix = ops::quantize(weight[..].into(), shape, recipe, &device).unwrap();
                let sums = Distortion::of_matrix(weight[..].into(), &matrix, &device).unwrap();
                let whole = Distortion::between(weight[..].into(), &reference::dequantize(&matrix));
                assert_eq!((sums.count, sums.max_error), (whole.count, whole.max_error));
                assert!((sums.sum_squared_error / whole.sum_squared_error - 1.0).abs() < 1e-12);
                assert!((sums.sum_squares / whole.sum_squares - 1.0).abs() < 1e-12);
                assert!(Distortion::of_matrix(weight[1..].into(), &matrix, &device).is_err());
            }
        }
    }

    #[test]
    fn merging_parts_gives_the_whole() {
        let original = [1.0, -2.0, 0.5].map(f16::from_f32);
        let dequantized = [1.5, -2.0, 0.25];
        let mut merged = Distortion::between(Values::F16(&original[..1]), &dequantized[..1]);
        merged.merge(&Distortion::between(Values::F16(&original[1..]), &dequantized[1..]));
        assert_eq!(merged, Distortion::between(Values::F16(&original), &dequantized));
        assert_eq!(merged.max_error, 0.5);
    }
}
