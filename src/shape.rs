//! Shapes, block sizes and the checked arithmetic on them.

use std::fmt;

use crate::error::Error;
use crate::error::Result;

/// The shape of a weight matrix: N out-features (rows) by K in-features (columns), neither zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MatShape {
    n: usize,
    k: usize,
}

impl MatShape {
    /// A matrix of `n` rows and `k` columns.
    ///
    /// # Errors
    /// [`Error::Empty`] when a side is zero, [`Error::TooLarge`] when `n * k` f32 values exceed the address space.
    pub fn new(n: usize, k: usize) -> Result<Self> {
        let shape = || vec![n, k];
        if n == 0 || k == 0 {
            return Err(Error::Empty { what: "matrix", shape: shape() });
        }
        match n.checked_mul(k).and_then(|count| count.checked_mul(4)) {
            Some(bytes) if isize::try_from(bytes).is_ok() => Ok(Self { n, k }),
            _ => Err(Error::TooLarge { what: "matrix", shape: shape() }),
        }
    }

    /// Out-features: rows.
    pub fn n(self) -> usize {
        self.n
    }

    /// In-features: columns.
    pub fn k(self) -> usize {
        self.k
    }

    /// `n * k`; the constructor has checked that it fits.
    pub fn num_values(self) -> usize {
        self.n * self.k
    }
}

impl fmt::Display for MatShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {}]", self.n, self.k)
    }
}

/// How many consecutive values of the **flattened** matrix share a scale: a power of two from 32 to 4096.
///
/// The sizes bitsandbytes has. Blocks run across row ends when K is not a multiple of the block size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockSize(u16);

impl BlockSize {
    /// 32 values per block.
    pub const B32: Self = Self(32);
    /// 64 values per block, bitsandbytes' default for 4 bits.
    pub const B64: Self = Self(64);
    /// 128 values per block.
    pub const B128: Self = Self(128);
    /// 256 values per block: that of the absmax values themselves in double quantization.
    pub const B256: Self = Self(256);
    /// 4096 values per block, bitsandbytes' default for 8 bits.
    pub const B4096: Self = Self(4096);

    /// Checks `size`.
    ///
    /// # Errors
    /// [`Error::Invalid`] unless it is 32, 64, 128, ..., 4096.
    pub fn new(size: usize) -> Result<Self> {
        if size.is_power_of_two() && (32..=4096).contains(&size) {
            return Ok(Self(size as u16));
        }
        Err(Error::Invalid {
            what: "block size",
            value: size.to_string(),
            rule: "must be a power of two from 32 to 4096",
        })
    }

    /// The number of values.
    pub fn get(self) -> usize {
        usize::from(self.0)
    }
}

/// How many values along K, within **one row**, share a scale: any positive number. The last group of a row may be shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupSize(u32);

impl GroupSize {
    /// 32 values per group, as in Q4_0.
    pub const G32: Self = Self(32);
    /// 64 values per group.
    pub const G64: Self = Self(64);
    /// 128 values per group, the usual choice of GPTQ and AWQ.
    pub const G128: Self = Self(128);

    /// Checks `size`.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is zero or above 2^31.
    pub fn new(size: usize) -> Result<Self> {
        match u32::try_from(size) {
            Ok(size) if (1..=1 << 31).contains(&size) => Ok(Self(size)),
            _ => Err(Error::Invalid {
                what: "group size",
                value: size.to_string(),
                rule: "must be from 1 to 2147483648",
            }),
        }
    }

    /// The number of values.
    pub fn get(self) -> usize {
        self.0 as usize
    }
}

/// Which values share a scale (and a zero point).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Granularity {
    /// The whole matrix.
    PerTensor,
    /// Each row (out-feature, "channel").
    PerRow,
    /// Each run of so many values within a row.
    PerGroup(GroupSize),
}

impl Granularity {
    /// How many scales a row has; 1 for [`Granularity::PerTensor`], whose one scale all rows share.
    pub fn groups_per_row(self, shape: MatShape) -> usize {
        match self {
            Self::PerTensor | Self::PerRow => 1,
            Self::PerGroup(size) => shape.k().div_ceil(size.get()),
        }
    }

    /// How many scales a matrix has.
    pub fn num_scales(self, shape: MatShape) -> usize {
        match self {
            Self::PerTensor => 1,
            Self::PerRow | Self::PerGroup(_) => shape.n() * self.groups_per_row(shape),
        }
    }

    /// How many values of a row share a scale: K unless grouped.
    pub fn group_len(self, shape: MatShape) -> usize {
        match self {
            Self::PerTensor | Self::PerRow => shape.k(),
            Self::PerGroup(size) => size.get(),
        }
    }

    /// The index of the scale of the value at (`row`, `col`).
    pub fn scale_index(self, shape: MatShape, row: usize, col: usize) -> usize {
        match self {
            Self::PerTensor => 0,
            Self::PerRow => row,
            Self::PerGroup(size) => row * self.groups_per_row(shape) + col / size.get(),
        }
    }
}

impl fmt::Display for Granularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PerTensor => f.write_str("per tensor"),
            Self::PerRow => f.write_str("per row"),
            Self::PerGroup(size) => write!(f, "group {}", size.get()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_that_cannot_be_allocated_are_refused() {
        assert!(matches!(MatShape::new(0, 3), Err(Error::Empty { .. })));
        assert!(matches!(MatShape::new(3, 0), Err(Error::Empty { .. })));
        assert!(matches!(MatShape::new(usize::MAX, 2), Err(Error::TooLarge { .. })));
        assert!(matches!(MatShape::new(1 << 31, 1 << 31), Err(Error::TooLarge { .. })));
        assert_eq!(MatShape::new(3, 5).unwrap().num_values(), 15);
    }

    #[test]
    fn block_sizes_are_the_powers_of_two_from_32_to_4096() {
        let good: Vec<usize> = (0..10_000).filter(|&s| BlockSize::new(s).is_ok()).collect();
        assert_eq!(good, [32, 64, 128, 256, 512, 1024, 2048, 4096]);
        assert!(GroupSize::new(0).is_err() && GroupSize::new(1).is_ok());
    }

    #[test]
    fn a_short_last_group_has_its_own_scale() {
        let shape = MatShape::new(2, 130).unwrap();
        let groups = Granularity::PerGroup(GroupSize::G64);
        assert_eq!(groups.num_scales(shape), 6);
        assert_eq!(groups.scale_index(shape, 1, 129), 5);
    }
}
