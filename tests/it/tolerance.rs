//! Bounds on rounding errors, derived.

use lowbit::Dtype;

/// Half a unit in the last place, relative: the rounding error of one operation.
pub fn unit_roundoff(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::F32 => 2f64.powi(-24),
        Dtype::F16 => 2f64.powi(-11),
        Dtype::Bf16 => 2f64.powi(-8 - 1),
    }
}

/// How far `y[m, n]` may be from the exact `sum_k x[m, k] * w[n, k] + bias[n]`.
///
/// A sum of K products and a bias, in any order, with every product, addition and scaling rounded to f32, is off by at most
/// (K + 3) u (1 + K u) of the sum of magnitudes (Higham, Accuracy and Stability, 3.1, with two more roundings for the scale);
/// with bf16 activations each weight may be rounded to bf16 first (u_bf16 more); the result is rounded to `dtype`, whose
/// smallest subnormal bounds what is lost below its range.
pub fn product_bound(x: &[f32], w: &[f32], bias: f32, exact: f64, dtype: Dtype) -> f64 {
    let magnitude: f64 = x.iter().zip(w).map(|(&x, &w)| (f64::from(x) * f64::from(w)).abs()).sum();
    let magnitude = magnitude + f64::from(bias.abs());
    let f32_sum = (x.len() as f64 + 3.0) * unit_roundoff(Dtype::F32) * 1.01;
    let weights = if dtype == Dtype::Bf16 { unit_roundoff(Dtype::Bf16) } else { 0.0 };
    let smallest = if dtype == Dtype::F16 { 2f64.powi(-25) } else { f64::from(f32::MIN_POSITIVE) };
    (f32_sum + weights) * magnitude + unit_roundoff(dtype) * exact.abs() * 1.01 + smallest
}
