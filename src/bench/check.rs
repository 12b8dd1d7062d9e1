//! Whether a product is right: some of its rows and columns against [`reference`](mod@crate::reference).
//!
//! Every tile of 64 columns is looked at, the last column and the last row always.

use rayon::prelude::*;

use crate::device::Device;
use crate::error::Error;
use crate::error::Result;
use crate::formats::QuantMatrix;
use crate::formats::integer;
use crate::reference;
use crate::shape::MatShape;
use crate::strategy::Activations;
use crate::tensor::Tensor;
use crate::values::Dtype;
use crate::values::Values;

/// From one column checked to the next: a prime below the smallest tile, so that every place in a tile comes up.
const STEP: usize = 61;
/// Rows checked at most, besides the last.
const ROWS: usize = 12;

/// Some rows of W, which are columns of y, as the reference decodes them.
#[derive(Clone, Debug)]
pub struct Expected {
    shape: MatShape,
    columns: Vec<usize>,
    /// `[columns, K]`.
    w: Vec<f32>,
    activations: Activations,
}

impl Expected {
    /// Of products with `matrix`, their activations rounded as `activations` says.
    pub fn of_matrix(matrix: &QuantMatrix, activations: Activations) -> Self {
        Self::new(matrix.shape(), activations, |row, col| matrix.value(row, col))
    }

    /// Of products with dense weights `[N, K]`.
    pub fn of_dense(w: Values<'_>, shape: MatShape) -> Self {
        Self::new(shape, Activations::Float, |row, col| w.get(row * shape.k() + col))
    }

    fn new(shape: MatShape, activations: Activations, value: impl Fn(usize, usize) -> f32 + Sync) -> Self {
        let columns = picked(shape.n(), STEP);
        let decoded: Vec<Vec<f32>> =
            columns.par_iter().map(|&n| (0..shape.k()).map(|k| value(n, k)).collect()).collect();
        Self { shape, columns, w: decoded.concat(), activations }
    }

    /// Compares `y` = x · Wᵀ, computed on `device`, with the exact product. `x` is `[M, K]` in host memory, in the type it was
    /// multiplied in.
    ///
    /// # Errors
    /// [`Error::WrongProduct`] for an element farther from the exact value than rounding explains; [`Error::Invalid`] when x
    /// holds outliers, which this check does not know; those of downloading `y`.
    pub fn check(&self, x: Values<'_>, y: &Tensor, device: &Device) -> Result<()> {
        let (n, k) = (self.shape.n(), self.shape.k());
        let y = y.to(&Device::cpu())?;
        let (dtype, values) = (y.dtype(), y.values()?);
        let m = x.len() / k;
        for row in picked(m, m.div_ceil(ROWS)) {
            let x = as_multiplied(x.slice(row * k..(row + 1) * k), self.activations)?;
            let wrong = self.columns.par_iter().zip(self.w.par_chunks_exact(k)).find_map_any(|(&column, w)| {
                let found = f64::from(values.get(row * n + column));
                let (expected, bound) = exact_and_bound(&x, w, dtype, device);
                // A NaN is not within the bound.
                let right = (found - expected).abs() <= bound;
                (!right).then_some(Error::WrongProduct { row, column, found, expected, bound })
            });
            if let Some(error) = wrong {
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Each `step`-th number below `count`, and the last.
fn picked(count: usize, step: usize) -> Vec<usize> {
    let mut picked: Vec<usize> = (0..count).step_by(step.max(1)).collect();
    picked.extend(count.checked_sub(1).filter(|last| picked.last() != Some(last)));
    picked
}

/// A row of x as it enters the product.
fn as_multiplied(x: Values<'_>, activations: Activations) -> Result<Vec<f32>> {
    let Some((max_code, threshold)) = integer::rounding(activations) else { return Ok(x.to_f32()) };
    let max_code = f32::from(max_code);
    let rows = reference::quantize_rows(&x.to_f32(), x.len(), max_code, threshold);
    if let Some(column) = rows.outlier_columns.first() {
        let rule = "the check of a benchmark is for activations below the threshold";
        return Err(Error::Invalid { what: "outlier column", value: column.to_string(), rule });
    }
    let scale = f64::from(rows.absmax[0]) / f64::from(max_code);
    Ok(rows.codes.iter().map(|&code| (f64::from(code) * scale) as f32).collect())
}

/// Half a unit in the last place, relative.
fn unit_roundoff(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::F32 => 2f64.powi(-24),
        Dtype::F16 => 2f64.powi(-11),
        Dtype::Bf16 => 2f64.powi(-9),
    }
}

/// The exact sum, and how far a product may be from it.
///
/// K products and sums in any order, each rounded to f32, with two more roundings for the scale and one for rounded
/// activations, are off by at most (K + 4) u (1 + K u) of the sum of magnitudes (Higham, Accuracy and Stability, 3.1). Tensor
/// cores cut sums off instead of rounding them, which doubles u. Weights may be rounded to the type of 16-bit activations: once
/// where the CPU multiplies bf16, twice (a codebook's value and its product with the scale) on a GPU. The result is rounded to
/// `dtype`, whose smallest subnormal bounds what is lost below its range.
fn exact_and_bound(x: &[f32], w: &[f32], dtype: Dtype, device: &Device) -> (f64, f64) {
    let products = || x.iter().zip(w).map(|(&x, &w)| f64::from(x) * f64::from(w));
    let (exact, magnitude): (f64, f64) = (products().sum(), products().map(f64::abs).sum());
    let (sum_roundoff, weight_roundings) = match (device, dtype) {
        (Device::Cuda(_), Dtype::F16 | Dtype::Bf16) => (2.0 * unit_roundoff(Dtype::F32), 2.0),
        (Device::Cuda(_), Dtype::F32) => (2.0 * unit_roundoff(Dtype::F32), 0.0),
        (Device::Cpu(_), Dtype::Bf16) => (unit_roundoff(Dtype::F32), 1.0),
        (Device::Cpu(_), Dtype::F32 | Dtype::F16) => (unit_roundoff(Dtype::F32), 0.0),
    };
    let sum = (x.len() as f64 + 4.0) * sum_roundoff * 1.01;
    let weights = weight_roundings * unit_roundoff(dtype);
    let smallest = if dtype == Dtype::F16 { 2f64.powi(-25) } else { f64::from(f32::MIN_POSITIVE) };
    (exact, (sum + weights) * magnitude + unit_roundoff(dtype) * exact.abs() * 1.01 + smallest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tile_and_the_last_are_picked() {
        assert_eq!(picked(1, 61), [0]);
        assert_eq!(picked(0, 61), Vec::<usize>::new());
        assert_eq!(picked(64, 61), [0, 61, 63]);
        let columns = picked(4096 + 1, STEP);
        assert!((0..4096 / 64).all(|tile| columns.iter().any(|column| column / 64 == tile)));
        assert_eq!(columns.last(), Some(&4096));
    }
}
