//! `quantize_w4`: bit for bit what `reference` makes, with f32 and with doubly quantized absmax values.
#![allow(unsafe_code)]

use lowbit::Device;
use lowbit::Dtype;
use lowbit::Error;
use lowbit::Int8;
use lowbit::cuda::DeviceBuffer;
use lowbit::cuda::Region;
use lowbit::cuda::ops::quantize_w4::quantize_w4;
use lowbit::formats::AbsmaxKind;
use lowbit::formats::Format;
use lowbit::formats::tables;
use lowbit::ops;
use lowbit::reference;
use lowbit::shape::BlockSize;
use lowbit::shape::Granularity;
use lowbit::shape::MatShape;
use lowbit::values::OwnedValues;

use crate::cuda_dequant_int8::DTYPES;
use crate::cuda_kernels::Bench;
use crate::cuda_kernels::cuda_device;
use crate::support::Random;

/// NF4 and FP4 in blocks of `size`.
fn formats(size: usize, absmax: AbsmaxKind) -> [Format; 2] {
    let block_size = BlockSize::new(size).unwrap();
    [Format::Nf4 { block_size, absmax }, Format::Fp4 { block_size, absmax }]
}

/// Runs of 37 values: usual, zero (also -0.0), subnormal, huge; ties, where the absmax is a power of two.
fn weights(len: usize, dtype: Dtype, random: &mut Random) -> OwnedValues {
    let codebooks = [tables::NF4, tables::FP4];
    let midpoint = |random: &mut Random| {
        let codebook = &codebooks[random.below(2)];
        (codebook[random.below(16)] + codebook[random.below(16)]) / 2.0
    };
    let values: Vec<f32> = (0..len)
        .map(|i| match (i / 37) % 6 {
            0 | 1 => random.uniform() * 0.1,
            2 => [0.0, -0.0][random.below(2)],
            3 => random.uniform() * 1e-39,
            4 => [1.0, -1.0, midpoint(random)][random.below(3)],
            _ => random.uniform() * 6e4,
        })
        .collect();
    OwnedValues::from_f32(dtype, &values)
}

fn check(device: &Device, values: &OwnedValues, shape: MatShape, format: Format) {
    let found = ops::quantize(values.as_values(), shape, format, device).unwrap();
    let expected = reference::quantize(values.as_values(), shape, format).unwrap();
    assert_eq!(found.scales(), expected.scales(), "{format} {shape} {} on {device:?}", found.dtype());
    let wrong = found.codes().iter().zip(expected.codes()).position(|(f, e)| f != e);
    if let Some(i) = wrong {
        let (f, e, dtype) = (found.codes()[i], expected.codes()[i], found.dtype());
        panic!("{format} {shape} {dtype} on {device:?}: byte {i} is {f:02x}, expected {e:02x}");
    }
    assert!(found == expected, "{format} {shape}");
}

/// Every kernel over shapes that hurt, bit for bit.
pub fn against_reference(bench: &Bench) {
    let mut random = Random::new(6);
    for device in bench.devices() {
        for size in [32, 64, 128, 256, 512, 1024, 2048, 4096] {
            // One value; an odd number; one less and one more than a tile; several tiles, the last block short or not.
            for (n, k) in [(1, 1), (3, 21), (1, 4095), (17, 241), (2, 4096), (3, 3001)] {
                let shape = MatShape::new(n, k).unwrap();
                for dtype in DTYPES {
                    let values = weights(shape.num_values(), dtype, &mut random);
                    for format in formats(size, AbsmaxKind::F32) {
                        check(&device, &values, shape, format);
                    }
                }
            }
        }
        double_quantization(&device, &mut random);
    }
}

/// Counts of absmax values around a block of 256 and a run of 1024.
fn double_quantization(device: &Device, random: &mut Random) {
    for absmax_values in [1, 2, 255, 256, 257, 1024, 1025, 9001] {
        let shape = MatShape::new(1, absmax_values * 32 - absmax_values % 2 * 5).unwrap();
        let values = weights(shape.num_values(), Dtype::F32, random);
        for format in formats(32, AbsmaxKind::Nested) {
            check(device, &values, shape, format);
        }
    }
    // All absmax values alike: nothing is left when the mean is taken away.
    let shape = MatShape::new(8, 64).unwrap();
    let values = OwnedValues::from_f32(Dtype::Bf16, &[0.5; 512]);
    formats(64, AbsmaxKind::Nested).into_iter().for_each(|format| check(device, &values, shape, format));
}

/// More tiles than blocks of threads: each goes on with a second one.
#[test]
fn blocks_go_on_with_further_tiles() {
    if !crate::built::present() {
        return;
    }
    let device = crate::simulator::Simulator::new(86).device();
    let tiles = 8 * cuda_device(&device).limits().num_sms as usize + 3;
    let shape = MatShape::new(1, tiles * 4096 - 11).unwrap();
    let values = weights(shape.num_values(), Dtype::F16, &mut Random::new(8));
    for (size, kind) in [(64, AbsmaxKind::F32), (4096, AbsmaxKind::F32)] {
        check(&device, &values, shape, formats(size, kind)[0]);
    }
    let recipe = Int8::default().granularity(Granularity::PerTensor);
    let found = ops::quantize(values.as_values(), shape, recipe, &device).unwrap();
    let format = Format::Int8 { granularity: Granularity::PerTensor };
    assert!(found == reference::quantize(values.as_values(), shape, format).unwrap());
}

#[test]
fn the_first_value_that_is_not_finite_is_named() {
    if !crate::built::present() {
        return;
    }
    let device = crate::simulator::Simulator::new(80).device();
    let shape = MatShape::new(3, 3001).unwrap();
    for (dtype, bad) in [(Dtype::F32, f32::NAN), (Dtype::F16, f32::INFINITY), (Dtype::Bf16, f32::NEG_INFINITY)] {
        for size in [32, 4096] {
            for first in [0, 70, 5000, 9002] {
                let mut values = vec![0.25; shape.num_values()];
                values[first] = bad;
                values[9002] = bad;
                let values = OwnedValues::from_f32(dtype, &values);
                for kind in [AbsmaxKind::F32, AbsmaxKind::Nested] {
                    let [format, _] = formats(size, kind);
                    let expected = reference::quantize(values.as_values(), shape, format).unwrap_err();
                    let found = ops::quantize(values.as_values(), shape, format, &device).unwrap_err();
                    assert_eq!(found.to_string(), expected.to_string(), "{format}");
                }
            }
        }
    }
}

#[test]
fn weights_at_any_address_are_quantized() {
    if !crate::built::present() {
        return;
    }
    let device = crate::simulator::Simulator::new(80).device();
    let cuda = cuda_device(&device);
    let shape = MatShape::new(2, 4099).unwrap();
    let [format, _] = formats(64, AbsmaxKind::F32);
    for dtype in DTYPES {
        let values = weights(shape.num_values() + 1, dtype, &mut Random::new(7));
        let buffer = DeviceBuffer::upload(cuda, values.as_bytes()).unwrap();
        let skipped = dtype.size_bytes();
        // SAFETY: within the buffer, which lives to the end of the turn.
        let region = unsafe { Region::new(buffer.ptr() + skipped as u64, buffer.bytes() - skipped) };
        let found = quantize_w4(cuda, region, dtype, shape, format).unwrap();
        let expected =
            reference::quantize(values.as_values().slice(1..values.as_values().len()), shape, format).unwrap();
        assert!(found == expected, "{dtype}");
    }
}

#[test]
fn what_does_not_fit_is_refused_before_the_launch() {
    let device = crate::simulator::Simulator::new(80).device();
    let cuda = cuda_device(&device);
    let buffer = DeviceBuffer::zeros(cuda, 30).unwrap();
    let shape = MatShape::new(4, 4).unwrap();
    let [nf4, _] = formats(64, AbsmaxKind::F32);
    let refused = quantize_w4(cuda, buffer.region(), Dtype::F16, shape, nf4).unwrap_err();
    assert!(matches!(refused, Error::Length { expected: 32, found: 30, .. }), "{refused}");
    let refused =
        quantize_w4(cuda, buffer.region(), Dtype::F16, shape, Format::Dynamic8 { block_size: BlockSize::B64 });
    assert!(matches!(refused, Err(Error::Unsupported { .. })));
}
