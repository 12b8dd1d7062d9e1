//! Formats, shapes and values that hurt, for the tests of the kernels.

use crate::formats::AbsmaxKind;
use crate::formats::Format;
use crate::formats::GroupSteps;
use crate::formats::NestedAbsmax;
use crate::formats::Parts;
use crate::formats::QuantMatrix;
use crate::formats::Scales;
use crate::formats::Symmetry;
use crate::formats::tables;
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
    formats.push(Format::Int4ChannelGroup);
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
    let steps = (format == Format::Int4ChannelGroup).then(|| arbitrary_steps(shape, &mut random));
    let parts = Parts { codes, scales, zero_points, map: None, steps };
    QuantMatrix::from_parts(format, shape, Dtype::F32, parts).unwrap()
}

/// Any multiplier that fits a byte, and any offset that fits with it.
fn arbitrary_steps(shape: MatShape, random: &mut Random) -> GroupSteps {
    let mut steps = GroupSteps::zeros(shape);
    for (multiplier, offset) in steps.multipliers.iter_mut().zip(&mut steps.offsets) {
        *multiplier = (random.next() % 18) as u8;
        *offset = (random.next() % (256 - 15 * u64::from(*multiplier))) as u8;
    }
    steps
}

/// Compares bits, so that zeros have signs; says where the first difference is.
pub fn assert_same_bits(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    if let Some(i) = (0..found.len()).find(|&i| found[i].to_bits() != expected[i].to_bits()) {
        panic!("{what}: value {i} is {:e}, expected {:e}", found[i], expected[i]);
    }
}

/// Named vectors of `len` finite values, made for the blocks, codebooks and rounding of `format`.
pub fn values_that_hurt(len: usize, format: Format) -> Vec<(&'static str, Vec<f32>)> {
    let mut random = Random::new(len as u64);
    let mut each = |f: &dyn Fn(usize, &mut Random) -> f32| (0..len).map(|i| f(i, &mut random)).collect::<Vec<f32>>();
    let normal = each(&|_, random| random.normal());
    // Long runs of zeros of both signs, so that whole blocks are zero.
    let sparse = each(&|i, random| match i / 100 % 3 {
        0 => random.normal(),
        1 => 0.0,
        _ => -0.0,
    });
    let denormal = each(&|_, random| random.normal() * 1e-40);
    let tiny = each(&|i, random| random.normal() * 10f32.powi(-36 - (i / 64 % 4) as i32));
    let large = each(&|_, random| random.normal() * 1e4);
    let huge = each(&|i, random| if i % 97 == 5 { 1e38 } else { random.normal() * 1e37 });
    let positive = each(&|_, random| random.unit() + 0.25);
    let boundaries = boundaries(format);
    let ties = each(&|i, random| {
        let boundary = boundaries[random.next() as usize % boundaries.len()];
        let ulps = random.next() as i32 % 3 - 1;
        // A one in every 32 values, so that the boundaries are those of the scaled values.
        if i % 32 == 0 { 1.0 } else { f32::from_bits((boundary.to_bits() as i32 + ulps) as u32) }
    });
    vec![
        ("normal", normal),
        ("sparse", sparse),
        ("denormal", denormal),
        ("tiny", tiny),
        ("large", large),
        ("huge", huge),
        ("positive", positive),
        ("ties", ties),
    ]
}

/// Where rounding changes its mind when the largest magnitude is 1.
fn boundaries(format: Format) -> Vec<f32> {
    let midpoints = |mut values: Vec<f32>| {
        values.sort_by(f32::total_cmp);
        values.dedup();
        values.windows(2).map(|w| (w[0] + w[1]) / 2.0).collect::<Vec<f32>>()
    };
    let steps = |top: i32| (-top..top).map(|i| (i as f32 + 0.5) / top as f32).collect();
    match format {
        Format::Nf4 { .. } => midpoints(tables::NF4.to_vec()),
        Format::Fp4 { .. } => midpoints(tables::FP4.to_vec()),
        Format::Dynamic8 { .. } => midpoints(tables::DYNAMIC_MAP.to_vec()),
        Format::Int4 { .. } => steps(7),
        Format::Int8 { .. } | Format::AffineInt8 { .. } => steps(127),
        Format::Int4ChannelGroup => steps(120),
    }
}
