//! Exact division in kernels by numbers known at the launch: [`DivisorArgs`].

use crate::cuda::args::DivisorArgs;

impl DivisorArgs {
    /// Divides by `divisor`, from 1 to 2^63.
    pub(super) fn new(divisor: u64) -> Self {
        let shift = u64::from(divisor.next_power_of_two().trailing_zeros());
        let excess = (1u128 << shift) - u128::from(divisor);
        // At most 2^64 (2^shift - d) / d + 1 <= 2^64 - 1, because 2^shift < 2 d.
        let multiplier = ((excess << 64) / u128::from(divisor) + 1) as u64;
        Self { divisor, multiplier, shift }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the kernels do.
    fn divide(value: u64, by: DivisorArgs) -> u64 {
        let high = (u128::from(by.multiplier) * u128::from(value)) >> 64;
        (high as u64 + value) >> by.shift
    }

    #[test]
    fn quotients_are_exact() {
        let powers = (0..63).map(|i| 1u64 << i);
        let divisors =
            (1..70).chain(powers.flat_map(|p| [p.max(2) - 1, p, p + 1])).chain([4095, 11008, 53248, 1 << 63]);
        for divisor in divisors {
            let by = DivisorArgs::new(divisor);
            let multiples = [1, 2, 3, 1000, (1 << 40) + 7, u64::MAX >> 1].map(|f: u64| divisor.saturating_mul(f));
            let around = multiples.into_iter().flat_map(|m| [m.saturating_sub(1), m, m.saturating_add(1)]);
            for value in around.chain([0, u64::MAX >> 1]).filter(|v| v >> 63 == 0) {
                assert_eq!(divide(value, by), value / divisor, "{value} / {divisor}");
            }
        }
    }
}
