//! `dequant_w4`: bit for bit what the CPU makes of 4-bit weights.
#![allow(unsafe_code)]

use lowbit::Device;
use lowbit::Dtype;
use lowbit::Error;
use lowbit::MatShape;
use lowbit::QuantMatrix;
use lowbit::cuda::DeviceBuffer;
use lowbit::cuda::Region;
use lowbit::cuda::ops::dequant_w4::dequant_w4;
use lowbit::cuda::ops::w4::W4;
use lowbit::formats::AbsmaxKind;
use lowbit::formats::Format;
use lowbit::formats::Symmetry;
use lowbit::reference;
use lowbit::shape::Granularity;
use lowbit::values::OwnedValues;

use crate::cuda_kernels::Bench;
use crate::cuda_kernels::cuda_device;
use crate::support::Random;
use crate::w4_cases::fp4;
use crate::w4_cases::group;
use crate::w4_cases::int4;
use crate::w4_cases::matrix;
use crate::w4_cases::nf4;

const DTYPES: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::Bf16];

fn formats() -> Vec<Format> {
    use AbsmaxKind::F32;
    use AbsmaxKind::Nested;
    let mut formats =
        vec![nf4(32, F32), nf4(64, Nested), nf4(128, F32), fp4(64, F32), fp4(32, Nested), fp4(4096, Nested)];
    for granularity in [group(1), group(7), group(32), group(64), group(96), group(192)] {
        formats.extend([int4(granularity, Symmetry::Symmetric), int4(granularity, Symmetry::Asymmetric)]);
    }
    formats.extend([Granularity::PerRow, Granularity::PerTensor].map(|g| int4(g, Symmetry::Asymmetric)));
    formats
}

/// Bit patterns that have to agree; the NaN of an infinite product cannot arise, since scales are finite.
fn check(device: &Device, matrix: &QuantMatrix, dtype: Dtype) {
    let cuda = cuda_device(device);
    let (shape, format) = (matrix.shape(), matrix.format());
    let w = W4::upload(cuda, matrix).unwrap();
    let out = DeviceBuffer::new(cuda, shape.num_values() * dtype.size_bytes()).unwrap();
    dequant_w4(cuda, &w, dtype, out.region()).unwrap_or_else(|e| panic!("{format} {shape} {dtype}: {e}"));
    let mut found = OwnedValues::zeros(dtype, shape.num_values());
    out.download(found.as_bytes_mut()).unwrap();
    let expected = OwnedValues::from_f32(dtype, &reference::dequantize(matrix));
    if found.as_bytes() != expected.as_bytes() {
        let (found, expected) = (found.as_values().to_f32(), expected.as_values().to_f32());
        let at = found.iter().zip(&expected).position(|(f, e)| f.to_bits() != e.to_bits()).unwrap();
        let (row, col) = (at / shape.k(), at % shape.k());
        panic!("{format} {shape} {dtype} on {device:?}: [{row}, {col}] is {}, expected {}", found[at], expected[at]);
    }
}

/// Every kernel over shapes that hurt.
pub fn against_reference(bench: &Bench) {
    let shapes = [(1, 1), (3, 5), (17, 64), (16, 65), (9, 130), (33, 192), (2, 256)];
    let mut random = Random::new(1);
    for device in bench.devices() {
        for (index, (n, k)) in shapes.into_iter().enumerate() {
            for (i, format) in formats().into_iter().enumerate() {
                let matrix = matrix(format, MatShape::new(n, k).unwrap(), &mut random);
                check(&device, &matrix, DTYPES[(index + i) % 3]);
            }
        }
        for dtype in DTYPES {
            // Blocks within rows, and across them; more tiles than a block has, the last of them single.
            check(&device, &matrix(nf4(64, AbsmaxKind::F32), MatShape::new(16, 64 * 35).unwrap(), &mut random), dtype);
            check(&device, &matrix(nf4(64, AbsmaxKind::Nested), MatShape::new(70, 1000).unwrap(), &mut random), dtype);
        }
    }
    for capability in [80, 89, 120] {
        let shape = MatShape::new(18, 200).unwrap();
        let matrix = matrix(fp4(64, AbsmaxKind::Nested), shape, &mut random);
        check(&bench.simulated(capability), &matrix, Dtype::F16);
    }
}

#[test]
fn values_beyond_the_range_of_f16_become_infinite_and_small_ones_subnormal() {
    let device = crate::simulator::Simulator::new(80).device();
    let shape = MatShape::new(2, 64).unwrap();
    let mut random = Random::new(2);
    for scale in [1e5, 3e38, 1e-5, 1e-8, 1e-42, 0.0] {
        let mut parts = matrix(nf4(64, AbsmaxKind::F32), shape, &mut random).into_parts();
        parts.scales = lowbit::formats::Scales::F32(vec![scale, -scale]);
        let matrix = QuantMatrix::from_parts(nf4(64, AbsmaxKind::F32), shape, Dtype::F16, parts).unwrap();
        for dtype in DTYPES {
            check(&device, &matrix, dtype);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_before_the_launch() {
    let device = crate::simulator::Simulator::new(80).device();
    let cuda = cuda_device(&device);
    let shape = MatShape::new(4, 64).unwrap();
    let w = W4::upload(cuda, &matrix(nf4(64, AbsmaxKind::F32), shape, &mut Random::new(3))).unwrap();
    let out = DeviceBuffer::new(cuda, 4 * 64 * 2 + 8).unwrap();
    let error = dequant_w4(cuda, &w, Dtype::F32, out.region()).unwrap_err();
    assert!(matches!(error, Error::Length { expected: 1024, found: 520, .. }), "{error}");
    // SAFETY: within the buffer.
    let shifted = unsafe { Region::new(out.ptr() + 8, 512) };
    let error = dequant_w4(cuda, &w, Dtype::F16, shifted).unwrap_err();
    assert!(error.to_string().contains("aligned to 16 bytes"), "{error}");
    let int8 = lowbit::Recipe::from(lowbit::Int8::default()).format;
    let parts = lowbit::formats::Parts::new(vec![0; 256], vec![1.0; int8.num_scales(shape)]);
    let int8 = QuantMatrix::from_parts(int8, shape, Dtype::F16, parts).unwrap();
    assert!(W4::upload(cuda, &int8).unwrap_err().to_string().contains("4-bit codes"));
}
