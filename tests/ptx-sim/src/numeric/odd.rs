//! Rounding to odd: how a result takes two roundings without being rounded twice.
//!
//! An inexact `f64` whose last bit is set never lies on a tie of a format that is at least two bits shorter, nor on one of
//! that format's numbers. So rounding it again, in any direction, gives what rounding the exact value would have given
//! (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd", IEEE
//! Transactions on Computers 57(4), 2008). Exponents do not come into it: an `f64` holds the products of the smallest
//! and of the largest `f32`.

use crate::types::Rounding;

/// `a + b` rounded to odd; `rounding` is the one that follows. Nothing here is large enough to overflow.
#[inline]
pub(super) fn sum_to_odd(a: f64, b: f64, rounding: Rounding) -> f64 {
    let sum = a + b;
    if sum == 0.0 && rounding == Rounding::Down && a.is_sign_negative() != b.is_sign_negative() {
        // The zero of x - x is negative in this direction only (IEEE 754, 6.3).
        return -0.0;
    }
    // Knuth's two-sum: the exact difference between the sum of the numbers and `sum`.
    let from_b = sum - a;
    let error = (a - (sum - from_b)) + (b - from_b);
    to_odd(sum, error)
}

/// The odd one of the two neighbours of `rounded + error`, where `rounded` is the nearest to it.
#[inline]
pub(super) fn to_odd(rounded: f64, error: f64) -> f64 {
    let bits = rounded.to_bits();
    if error == 0.0 || !rounded.is_finite() || error.is_nan() || bits & 1 == 1 {
        return rounded;
    }
    // Towards the error: one bit up if it has the number's sign, else one bit down.
    let outward = (error > 0.0) == (rounded > 0.0);
    f64::from_bits(if outward { bits + 1 } else { bits - 1 })
}
