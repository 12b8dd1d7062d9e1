//! How long products take: the wall clock on the CPU, events around a replayed CUDA graph on a GPU.

use std::time::Instant;

use crate::device::Device;
use crate::error::Error;
use crate::error::Result;

/// Seconds per product, one of each sample, ascending.
#[derive(Clone, Debug, PartialEq)]
pub struct Times(Vec<f64>);

impl Times {
    /// Of at least one sample.
    pub fn new(mut seconds: Vec<f64>) -> Self {
        assert!(!seconds.is_empty());
        seconds.sort_by(f64::total_cmp);
        Self(seconds)
    }

    /// The samples.
    pub fn samples(&self) -> &[f64] {
        &self.0
    }

    /// The middle one; of an even count the mean of the two in the middle.
    pub fn median(&self) -> f64 {
        let half = self.0.len() / 2;
        if self.0.len() % 2 == 1 { self.0[half] } else { (self.0[half - 1] + self.0[half]) / 2.0 }
    }

    /// The shortest.
    pub fn min(&self) -> f64 {
        self.0[0]
    }

    /// The longest.
    pub fn max(&self) -> f64 {
        self.0[self.0.len() - 1]
    }
}

/// Seconds per product of `samples` samples, each of `products` calls of `work`. On the CPU one call before them is not timed.
///
/// # Errors
/// Those of `work`; [`Error::Unsupported`] for a device whose time means nothing (a simulator).
pub(super) fn sample(
    device: &Device,
    samples: usize,
    products: usize,
    work: &mut dyn FnMut() -> Result<()>,
) -> Result<Vec<f64>> {
    match device {
        Device::Cpu(_) => {
            work()?;
            (0..samples).map(|_| wall(products, work)).collect()
        }
        Device::Cuda(device) => {
            let times = device.time(|| (0..products).try_for_each(|_| work()), samples)?;
            if times.is_empty() {
                return Err(Error::Unsupported {
                    op: "measuring time",
                    subject: "a benchmark".into(),
                    device: device.name().into(),
                    rule: "it has no clock; use the CPU or a GPU".into(),
                });
            }
            Ok(times.iter().map(|milliseconds| f64::from(*milliseconds) / 1e3 / products as f64).collect())
        }
    }
}

fn wall(products: usize, work: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
    let begin = Instant::now();
    for _ in 0..products {
        work()?;
    }
    Ok(begin.elapsed().as_secs_f64() / products as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_counts() {
        assert_eq!(Times::new(vec![3.0, 1.0, 2.0]).median(), 2.0);
        let even = Times::new(vec![4.0, 1.0, 3.0, 2.0]);
        assert_eq!((even.median(), even.min(), even.max()), (2.5, 1.0, 4.0));
    }
}
