//! Bounds on rounding errors, derived.

use lowbit::Device;
use lowbit::Dtype;

/// Half a unit in the last place, relative: the rounding error of one operation, 2^-p for p significant bits.
pub fn unit_roundoff(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::F32 => 2f64.powi(-24),
        Dtype::F16 => 2f64.powi(-11),
        Dtype::Bf16 => 2f64.powi(-8),
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
    let (sum, rounded_weights) = match weights {
        Dtype::F32 => ((x.len() as f64 + 3.0) * unit_roundoff(Dtype::F32) * 1.01, 0.0),
        weights => (mma_roundings(x.len()) * unit_roundoff(Dtype::F32) * 1.01, unit_roundoff(weights)),
    };
    let lost_weights: f64 = x.iter().map(|&x| f64::from(x.abs()) * half_smallest(weights)).sum();
    (sum + rounded_weights) * magnitude + lost_weights + rounding(exact, dtype)
}

/// How far `y[m, n]` may be from the exact `sum_k x[m, k] * w[n, k] + bias[n]` when the sum is made by mma with f32 sums.
///
/// The products of one instruction are exact; they and the sum so far are aligned to the largest of them and cut off below
/// its last place, 2^-23 of it (Fasi, Higham, Mikaitis, Pranesh, Numerical behavior of NVIDIA tensor cores, 2021), and so is
/// the result: 18 cuts for 16 products, each at most 2^-23 of the sum of magnitudes. Splits of K are added up in f32, at most
/// 16 of them, then the bias; the result is rounded to `dtype`.
#[cfg(feature = "cuda")]
pub fn mma_bound(x: &[f32], w: &[f32], bias: f32, exact: f64, dtype: Dtype) -> f64 {
    let magnitude: f64 = x.iter().zip(w).map(|(&x, &w)| (f64::from(x) * f64::from(w)).abs()).sum();
    let sum = mma_roundings(x.len()) * unit_roundoff(Dtype::F32) * 1.01 * (magnitude + f64::from(bias.abs()));
    sum + rounding(exact, dtype)
}

/// The same when every product is added by an fma, in any order: K roundings, one of the bias (Higham, Accuracy and
/// Stability, 3.1).
#[cfg(feature = "cuda")]
pub fn fma_bound(x: &[f32], w: &[f32], bias: f32, exact: f64, dtype: Dtype) -> f64 {
    let magnitude: f64 = x.iter().zip(w).map(|(&x, &w)| (f64::from(x) * f64::from(w)).abs()).sum();
    let sum = (x.len() as f64 + 1.0) * unit_roundoff(Dtype::F32) * 1.01 * (magnitude + f64::from(bias.abs()));
    sum + rounding(exact, dtype)
}

/// Units of f32 roundoff by which a sum of `k` products made by mma may be off: see [`mma_bound`].
fn mma_roundings(k: usize) -> f64 {
    18.0 * k.div_ceil(16) as f64 * 2.0 + 17.0
}

/// The error of rounding a value near `exact` to `dtype`.
pub fn rounding(exact: f64, dtype: Dtype) -> f64 {
    unit_roundoff(dtype) * exact.abs() * 1.01 + half_smallest(dtype)
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
