//! Bounds on rounding errors, derived.

use lowbit::Device;
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
/// each weight may be rounded to `weights` first ([`weights_dtype`]); the result is rounded to `dtype`. Half the smallest
/// subnormal bounds what is lost below the range of either.
pub fn product_bound(x: &[f32], w: &[f32], bias: f32, exact: f64, dtype: Dtype, weights: Dtype) -> f64 {
    let magnitude: f64 = x.iter().zip(w).map(|(&x, &w)| (f64::from(x) * f64::from(w)).abs()).sum();
    let magnitude = magnitude + f64::from(bias.abs());
    let f32_sum = (x.len() as f64 + 3.0) * unit_roundoff(Dtype::F32) * 1.01;
    let rounded_weights = if weights == Dtype::F32 { 0.0 } else { unit_roundoff(weights) };
    let lost_weights: f64 = x.iter().map(|&x| f64::from(x.abs()) * half_smallest(weights)).sum();
    (f32_sum + rounded_weights) * magnitude
        + lost_weights
        + unit_roundoff(dtype) * exact.abs() * 1.01
        + half_smallest(dtype)
}

/// Half of the smallest subnormal; of f32 and bf16 the smallest normal number, as some units flush what is below.
fn half_smallest(dtype: Dtype) -> f64 {
    if dtype == Dtype::F16 { 2f64.powi(-25) } else { f64::from(f32::MIN_POSITIVE) }
}

/// What the weights of a product with float activations of type `x` may be rounded to: the CPU's bf16 instructions and a GPU's
/// tensor cores take two factors of one type.
pub fn weights_dtype(device: &Device, x: Dtype) -> Dtype {
    match (device, x) {
        (Device::Cpu(_), Dtype::F16) => Dtype::F32,
        _ => x,
    }
}
