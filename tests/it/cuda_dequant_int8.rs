//! `dequant_int8`: bit for bit what the format computes in f32, rounded once.

use lowbit::Device;
use lowbit::Dtype;
use lowbit::Error;
use lowbit::cuda::DeviceBuffer;
use lowbit::cuda::ops::dequant_int8::dequantize;
use lowbit::cuda::ops::w8::CodeOrder;
use lowbit::cuda::ops::w8::W8;
use lowbit::formats::Format;
use lowbit::formats::Parts;
use lowbit::formats::QuantMatrix;
use lowbit::formats::Symmetry;
use lowbit::reference;
use lowbit::shape::BlockSize;
use lowbit::shape::Granularity;
use lowbit::shape::GroupSize;
use lowbit::shape::MatShape;
use lowbit::values::OwnedValues;

use crate::cuda_kernels::Bench;
use crate::cuda_kernels::code_orders;
use crate::cuda_kernels::cuda_device;
use crate::support::Random;

pub const DTYPES: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::Bf16];

/// Every 8-bit format, with groups that divide K, that do not, that are shorter than a vector, and longer than a row.
pub fn formats() -> Vec<Format> {
    let group = |size| Granularity::PerGroup(GroupSize::new(size).unwrap());
    let granularities = [Granularity::PerTensor, Granularity::PerRow, group(1), group(5), group(64), group(100_000)];
    let of = |granularity| {
        [Symmetry::Symmetric, Symmetry::Asymmetric]
            .map(|symmetry| Format::AffineInt8 { granularity, symmetry })
            .into_iter()
            .chain([Format::Int8 { granularity }])
    };
    let blocks = [BlockSize::B32, BlockSize::B4096].map(|block_size| Format::Dynamic8 { block_size });
    granularities.into_iter().flat_map(of).chain(blocks).collect()
}

/// A matrix of random codes whose scales span what f32 has: some values overflow f16, some are subnormal.
pub fn matrix(format: Format, shape: MatShape, random: &mut Random) -> QuantMatrix {
    let num_scales = format.num_scales(shape);
    let codes = (0..shape.num_values()).map(|_| random.next() as u8).collect();
    let scale = |random: &mut Random| random.uniform() * [1.0, 1e-3, 3e5, 1e-39][random.below(4)];
    let mut parts = Parts::new(codes, (0..num_scales).map(|_| scale(random)).collect());
    if format.has_zero_points() {
        parts.zero_points = Some((0..num_scales).map(|_| random.next() as u8).collect());
    }
    if matches!(format, Format::Dynamic8 { .. }) && random.below(2) == 0 {
        parts.map = Some(Box::new(std::array::from_fn(|code| (code as f32 - 100.0) / 77.0)));
    }
    QuantMatrix::from_parts(format, shape, Dtype::F32, parts).unwrap()
}

fn check(device: &Device, matrix: &QuantMatrix, order: CodeOrder, dtype: Dtype) {
    let cuda = cuda_device(device);
    let expected = OwnedValues::from_f32(dtype, &reference::dequantize(matrix));
    let w = W8::upload(cuda, matrix, order).unwrap();
    let out = DeviceBuffer::new(cuda, expected.as_bytes().len()).unwrap();
    dequantize(cuda, &w, out.region(), dtype).unwrap();
    let mut found = vec![0; out.bytes()];
    out.download(&mut found).unwrap();
    let size = dtype.size_bytes();
    if let Some(i) = found.chunks(size).zip(expected.as_bytes().chunks(size)).position(|(f, e)| f != e) {
        let (found, expected) = (&found[i * size..][..size], expected.as_values().get(i));
        panic!(
            "{} {} in {order:?} to {dtype} on {device:?}: [{i}] {found:02x?} for {expected}",
            matrix.format(),
            matrix.shape()
        );
    }
}

/// Every kernel over shapes that hurt, bit for bit.
pub fn against_reference(bench: &Bench) {
    let mut random = Random::new(1);
    // One value; not a whole vector; rows that end within one; whole vectors; more than one block of threads.
    for (n, k) in [(1, 1), (1, 7), (3, 17), (5, 64), (2, 1001), (65, 80), (3, 4099)] {
        let shape = MatShape::new(n, k).unwrap();
        for format in formats() {
            let matrix = matrix(format, shape, &mut random);
            for device in bench.devices() {
                for &order in code_orders(&device) {
                    DTYPES.into_iter().for_each(|dtype| check(&device, &matrix, order, dtype));
                }
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_before_the_launch() {
    let device = crate::simulator::Simulator::new(80).device();
    let cuda = cuda_device(&device);
    let shape = MatShape::new(3, 5).unwrap();
    let format = Format::Int8 { granularity: Granularity::PerRow };
    let w = W8::upload(cuda, &matrix(format, shape, &mut Random::new(2)), CodeOrder::Rows).unwrap();
    assert_eq!(w.memory_bytes(), 15 + 12);
    let tiled = |capability| {
        let device = crate::simulator::Simulator::new(capability).device();
        W8::upload(cuda_device(&device), &matrix(format, shape, &mut Random::new(2)), CodeOrder::Tiles)
    };
    assert_eq!(tiled(90).unwrap().memory_bytes(), 16 * 128 + 12, "rows to sixteen, columns to 128");
    assert!(tiled(120).unwrap_err().to_string().contains("compute capability 9.0 alone"));
    let short = DeviceBuffer::new(cuda, 29).unwrap();
    let refused = dequantize(cuda, &w, short.region(), Dtype::F16).unwrap_err();
    assert!(matches!(refused, Error::Length { expected: 30, found: 29, .. }), "{refused}");

    let nf4 = Format::Nf4 { block_size: BlockSize::B64, absmax: Default::default() };
    let nf4 = reference::quantize((&[0.5f32; 15][..]).into(), shape, nf4).unwrap();
    let refused = W8::upload(cuda, &nf4, CodeOrder::Rows).unwrap_err();
    assert!(refused.to_string().contains("8-bit codes"), "{refused}");
}
