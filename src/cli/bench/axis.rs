//! The axis of batch sizes: logarithmic, with the sizes that were measured as its ticks.

use std::ops::Range;

use plotters::coord::ranged1d::KeyPointHint;
use plotters::coord::ranged1d::NoDefaultFormatting;
use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::Ranged;

/// Batch sizes, ascending, each once.
pub struct Batches(Vec<usize>);

impl Batches {
    /// Of at least one size; in any order.
    pub fn new(sizes: impl IntoIterator<Item = usize>) -> Self {
        let mut sizes: Vec<usize> = sizes.into_iter().collect();
        sizes.sort_unstable();
        sizes.dedup();
        assert!(!sizes.is_empty());
        Self(sizes)
    }

    /// The smallest and the largest.
    pub fn ends(&self) -> [usize; 2] {
        [self.0[0], self.0[self.0.len() - 1]]
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl Ranged for Batches {
    type FormatOption = NoDefaultFormatting;
    type ValueType = usize;

    /// log2, with some room beyond the ends.
    fn map(&self, size: &usize, (begin, end): (i32, i32)) -> i32 {
        let [first, last] = self.ends().map(|size| (size as f64).log2());
        let room = ((last - first) * 0.04).max(0.25);
        let along = ((*size as f64).log2() - first + room) / (last - first + 2.0 * room);
        begin + (f64::from(end - begin) * along).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<usize> {
        self.0.clone()
    }

    fn range(&self) -> Range<usize> {
        let [first, last] = self.ends();
        first..last
    }
}

impl ValueFormatter<usize> for Batches {
    fn format(size: &usize) -> String {
        size.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doublings_are_equally_far_apart() {
        let axis = Batches::new([8, 1, 4, 2, 4]);
        assert_eq!((axis.ends(), axis.count()), ([1, 8], 4));
        let places = [1, 2, 4, 8].map(|size| axis.map(&size, (0, 3500)));
        assert_eq!(places.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>(), [1000; 3]);
        assert_eq!(Batches::new([5]).map(&5, (0, 100)), 50);
    }
}
