//! Formats, shapes and values that hurt, for the tests of the kernels.

use crate::formats::AbsmaxKind;
use crate::formats::Format;
use crate::formats::NestedAbsmax;
use crate::formats::Parts;
use crate::formats::QuantMatrix;
use crate::formats::Scales;
use crate::formats::Symmetry;
use crate::shape::BlockSize;
use crate::shape::Granularity;
use crate::shape::GroupSize;
use crate::shape::MatShape;
use crate::values::Dtype;

/// A generator with a fixed seed (splitmix64): the same values on every machine.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Between 0 and 1.
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// Roughly normal with standard deviation 1: the sum of twelve uniform values.
    pub fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.unit()).sum::<f32>() - 6.0
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

fn granularities() -> [Granularity; 6] {
    let group = |size| Granularity::PerGroup(GroupSize::new(size).unwrap());
    [Granularity::PerTensor, Granularity::PerRow, group(1), group(7), group(64), group(128)]
}

/// Every format, with the block sizes and granularities that take different paths.
pub fn formats() -> Vec<Format> {
    let mut formats = Vec::new();
    for block_size in [BlockSize::B32, BlockSize::B64, BlockSize::B256, BlockSize::B4096] {
        for absmax in [AbsmaxKind::F32, AbsmaxKind::Nested] {
            formats.push(Format::Nf4 { block_size, absmax });
            formats.push(Format::Fp4 { block_size, absmax });
        }
        formats.push(Format::Dynamic8 { block_size });
    }
    for granularity in granularities() {
        formats.push(Format::Int8 { granularity });
        for symmetry in [Symmetry::Symmetric, Symmetry::Asymmetric] {
            formats.push(Format::Int4 { granularity, symmetry });
            formats.push(Format::AffineInt8 { granularity, symmetry });
        }
    }
    formats
}

/// One value, one row, one column, odd sides, sides beside vector and block sizes, several tasks' worth.
pub fn shapes() -> Vec<MatShape> {
    [(1, 1), (1, 31), (65, 1), (3, 43), (2, 64), (5, 33), (7, 129), (3, 416), (2, 5000), (1, 40_000), (150, 911)]
        .map(|(n, k)| MatShape::new(n, k).unwrap())
        .to_vec()
}

/// All pairs.
pub fn formats_and_shapes() -> Vec<(Format, MatShape)> {
    shapes().into_iter().flat_map(|shape| formats().into_iter().map(move |format| (format, shape))).collect()
}

/// A matrix with arbitrary codes, scales of either sign and arbitrary zero points: what a file may hold.
pub fn arbitrary_matrix(format: Format, shape: MatShape) -> QuantMatrix {
    let mut random = Random::new(7);
    let num_scales = format.num_scales(shape);
    let nested = matches!(
        format,
        Format::Nf4 { absmax: AbsmaxKind::Nested, .. } | Format::Fp4 { absmax: AbsmaxKind::Nested, .. }
    );
    let scales = if nested {
        let absmax = (0..num_scales.div_ceil(256)).map(|_| random.unit()).collect();
        let (codes, map) = (random.bytes(num_scales), NestedAbsmax::default_map());
        Scales::Nested(NestedAbsmax { codes, absmax, offset: 0.3, map })
    } else {
        Scales::F32((0..num_scales).map(|_| random.normal()).collect())
    };
    let most = if format.code_bits() == 4 { 16 } else { 256 };
    let zero_points = format.has_zero_points().then(|| (0..num_scales).map(|_| (random.next() % most) as u8).collect());
    let codes = random.bytes(format.num_code_bytes(shape));
    let parts = Parts { codes, scales, zero_points, map: None };
    QuantMatrix::from_parts(format, shape, Dtype::F32, parts).unwrap()
}

/// Compares bits, so that zeros have signs; says where the first difference is.
pub fn assert_same_bits(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    if let Some(i) = (0..found.len()).find(|&i| found[i].to_bits() != expected[i].to_bits()) {
        panic!("{what}: value {i} is {:e}, expected {:e}", found[i], expected[i]);
    }
}
