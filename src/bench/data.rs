//! Random weights and activations: power and so clock speed depend on the bits, which zeros would flatter.

use rayon::prelude::*;

/// Values drawn in one task.
const TASK: usize = 1 << 14;

/// `len` values of mean 0 and variance `deviation`², none beyond 3.5 deviations: sums of four uniform numbers.
///
/// No activation so reaches the threshold of LLM.int8(), 6.0: what is timed has no outlier columns.
pub fn normal(seed: u64, len: usize, deviation: f32) -> Vec<f32> {
    let mut values = vec![0.0; len];
    // A uniform number of 16 bits has the variance 2^32 / 12, four have a third of 2^32.
    let scale = deviation * 3f32.sqrt() / 65536.0;
    values.par_chunks_mut(TASK).enumerate().for_each(|(task, values)| {
        for (i, value) in values.iter_mut().enumerate() {
            let bits = mix(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add((task * TASK + i) as u64));
            let sum: i32 = (0..4).map(|part| i32::from((bits >> (16 * part)) as u16 as i16)).sum();
            *value = (sum as f32 + 2.0) * scale;
        }
    });
    values
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
fn mix(x: u64) -> u64 {
    let x = x.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_deviation_and_the_bound() {
        let values = normal(7, 100_000, 0.5);
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / 1e5;
        let variance = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / 1e5;
        // The mean of 10^5 values deviates by 0.0016, the variance by less than 1 %: six times that.
        assert!(mean.abs() < 0.01 && (variance - 0.25).abs() < 0.015, "{mean} {variance}");
        assert!(values.iter().all(|v| v.abs() <= 3.5 * 0.5));
        assert_ne!(values, normal(8, 100_000, 0.5));
    }
}
