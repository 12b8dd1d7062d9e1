//! [`Runs`]: the stretches of a flattened matrix that share a scale.

use crate::formats::Format;
use crate::shape::Granularity;
use crate::shape::MatShape;

/// Consecutive values with one scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The index of their scale.
    pub scale: usize,
    /// The flat index of the first.
    pub start: usize,
    /// How many; at least one.
    pub len: usize,
}

/// The runs of a range of flat indices, in order; the first and last are cut to the range.
///
/// One division when it is made, none per run: a matrix may have a scale for every value.
#[derive(Clone, Copy, Debug)]
pub struct Runs {
    next: usize,
    end: usize,
    scale: usize,
    run_end: usize,
    row_end: usize,
    group: usize,
    row_len: usize,
}

/// The values that share a scale, at most, and how far until groups start anew (a row), or `usize::MAX` for never.
fn layout(format: Format, shape: MatShape) -> (usize, usize) {
    match (format.flat_block(), format.granularity()) {
        (Some(block), _) => (block.get(), usize::MAX),
        (None, Some(Granularity::PerGroup(size))) => (size.get(), shape.k()),
        (None, Some(Granularity::PerRow)) => (shape.k(), shape.k()),
        (None, Some(Granularity::PerTensor) | None) => (usize::MAX, usize::MAX),
    }
}

impl Runs {
    /// The runs of the values `first .. first + len` of a matrix.
    pub fn new(format: Format, shape: MatShape, first: usize, len: usize) -> Self {
        let (group, row_len) = layout(format, shape);
        let (row, col) = (first / row_len, first % row_len);
        let group_start = first - col % group;
        let row_end = (first - col).saturating_add(row_len);
        Self {
            next: first,
            end: first + len,
            scale: row * row_len.div_ceil(group) + col / group,
            run_end: group_start.saturating_add(group).min(row_end),
            row_end,
            group,
            row_len,
        }
    }
}

impl Iterator for Runs {
    type Item = Run;

    #[inline(always)]
    fn next(&mut self) -> Option<Run> {
        if self.next >= self.end {
            return None;
        }
        let start = self.next;
        let stop = self.run_end.min(self.end);
        let run = Run { scale: self.scale, start, len: stop - start };
        self.next = stop;
        self.scale += 1;
        if stop == self.row_end {
            self.row_end = self.row_end.saturating_add(self.row_len);
        }
        self.run_end = stop.saturating_add(self.group).min(self.row_end);
        Some(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::kernels::testing;

    #[test]
    fn every_value_is_in_the_run_of_its_scale() {
        for shape in testing::shapes() {
            for format in testing::formats() {
                let count = shape.num_values();
                for first in [0, 1, 63, 64, count / 2, count - 1] {
                    let first = first.min(count - 1);
                    let mut next = first;
                    for run in Runs::new(format, shape, first, count - first) {
                        assert_eq!(run.start, next, "{format} {shape}");
                        for i in run.start..run.start + run.len {
                            let expected = format.scale_index(shape, i / shape.k(), i % shape.k());
                            assert_eq!(run.scale, expected, "{format} {shape} from {first}: value {i}");
                        }
                        next += run.len;
                    }
                    assert_eq!(next, count);
                }
            }
        }
    }
}
