//! `gemv_w4`: few rows of x by 4-bit weights, within the bound of its sums.

use lowbit::Dtype;
use lowbit::Error;
use lowbit::MatShape;
use lowbit::QuantMatrix;
use lowbit::cuda::DeviceBuffer;
use lowbit::cuda::ops::gemv_w4;
use lowbit::cuda::ops::w4::W4;
use lowbit::cuda::ops::w4_product::W4Product;
use lowbit::formats::AbsmaxKind::F32;
use lowbit::formats::AbsmaxKind::Nested;
use lowbit::formats::Format;
use lowbit::formats::Symmetry::Asymmetric;
use lowbit::formats::Symmetry::Symmetric;
use lowbit::values::OwnedValues;

use crate::cuda_kernels::Bench;
use crate::cuda_kernels::cuda_device;
use crate::support::Random;
use crate::w4_cases::Case;
use crate::w4_cases::Family;
use crate::w4_cases::after;
use crate::w4_cases::expected;
use crate::w4_cases::formats;
use crate::w4_cases::group;
use crate::w4_cases::int4;
use crate::w4_cases::matrix;
use crate::w4_cases::nf4;

const HALVES: [Dtype; 2] = [Dtype::F16, Dtype::Bf16];

const FAMILY: Family = Family { scratch_bytes: gemv_w4::scratch_bytes, enqueue: gemv_w4::enqueue };

fn case(format: Format, size: (usize, usize, usize), dtype: Dtype, seed: u64) -> Case {
    Case::new(FAMILY, format, size, dtype, seed)
}

/// Every kernel over shapes that hurt.
pub fn against_reference(bench: &Bench) {
    for device in bench.devices() {
        let mut seed = 0;
        for (m, n) in [(1, 33), (7, 16), (9, 40), (16, 1)] {
            for (format, dtype) in formats().into_iter().flat_map(|f| HALVES.map(|dtype| (f, dtype))) {
                seed += 1;
                // Blocks of the flattened matrix must not run across rows; groups may end short.
                let k = if format.flat_block().is_some() { 384 } else { [381, 1, 65, 520][seed as usize % 4] };
                case(format, (m, n, k), dtype, seed).check(&device);
            }
        }
        for dtype in HALVES {
            // K cut into parts; a block with many units, the last of one row tile.
            case(nf4(64, F32), (3, 48, 6400), dtype, 100).check(&device);
            case(int4(group(32), Asymmetric), (16, 20, 6400), dtype, 101).check(&device);
            case(nf4(64, Nested), (2, 32 * 140 + 16, 64), dtype, 102).check(&device);
            // Of the last tile's two groups one exists, and all blocks of absmax values are full.
            case(nf4(32, Nested), (1, 256, 96), dtype, 105).check(&device);
        }
    }
    for capability in [80, 89, 120] {
        let device = bench.simulated(capability);
        case(nf4(64, F32), (1, 65, 1024), Dtype::F16, 103).check(&device);
        case(int4(group(128), Asymmetric), (16, 33, 3000), Dtype::Bf16, 104).check(&device);
    }
}

#[test]
fn x_may_begin_at_any_element() {
    let device = crate::simulator::Simulator::new(80).device();
    for dtype in HALVES {
        for shift in [1, 4] {
            let mut case = case(nf4(64, F32), (2, 18, 128), dtype, 3);
            case.shift = shift;
            case.check(&device);
        }
    }
}

#[test]
fn what_is_not_finite_stays_in_its_row() {
    let device = crate::simulator::Simulator::new(80).device();
    for dtype in HALVES {
        let mut case = case(int4(group(64), Asymmetric), (4, 3, 130), dtype, 5);
        let mut x = case.x.as_values().to_f32();
        x[130 + 2] = f32::NAN;
        case.x = OwnedValues::from_f32(dtype, &x);
        let y = case.run(&device);
        assert!(y[3..6].iter().all(|v| v.is_nan()), "{y:?}");
        assert!(y[..3].iter().chain(&y[6..]).all(|v| v.is_finite()), "{y:?}");
    }
}

#[test]
fn what_the_kernels_do_not_take_is_refused_before_the_launch() {
    let device = crate::simulator::Simulator::new(80).device();
    let cuda = cuda_device(&device);
    let upload = |format, n, k| {
        let matrix = matrix(format, MatShape::new(n, k).unwrap(), &mut Random::new(7));
        W4::upload(cuda, &matrix).unwrap()
    };
    let w = upload(nf4(64, F32), 3, 64);
    assert_eq!(gemv_w4::rule(&w, 16, Dtype::F16), None);
    assert!(gemv_w4::rule(&w, 17, Dtype::F16).unwrap().contains("M = 17"));
    assert!(gemv_w4::rule(&w, 1, Dtype::F32).unwrap().contains("f16 or bf16"));
    assert!(gemv_w4::rule(&upload(nf4(64, F32), 3, 65), 1, Dtype::F16).unwrap().contains("across the rows"));
    assert!(gemv_w4::rule(&upload(int4(group(48), Symmetric), 3, 96), 1, Dtype::F16).unwrap().contains("48"));

    let buffer = DeviceBuffer::zeros(cuda, 1 << 12).unwrap();
    let all = buffer.region();
    let good = W4Product { w: &w, x: all, bias: None, y: all, m: 2, dtype: Dtype::F16 };
    let refused = |product: W4Product<'_>| gemv_w4::enqueue(&product, cuda, all).unwrap_err();
    let error = refused(W4Product { m: 17, ..good });
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    let error = refused(W4Product { x: after(&buffer, (1 << 12) - 255), ..good });
    assert!(matches!(error, Error::Length { what: "x", expected: 256, found: 255, .. }), "{error}");
    let error = refused(W4Product { y: after(&buffer, 1), ..good });
    assert!(matches!(error, Error::Invalid { what: "y", .. }), "{error}");
    let error = refused(W4Product { bias: Some(after(&buffer, (1 << 12) - 8)), ..good });
    assert!(matches!(error, Error::Length { what: "bias", .. }), "{error}");
    gemv_w4::enqueue(&W4Product { m: 0, ..good }, cuda, after(&buffer, 1 << 12)).unwrap();
}

#[test]
fn one_wrong_code_or_scale_is_off_by_more_than_the_bound() {
    let case = case(nf4(64, F32), (1, 1, 256), Dtype::Bf16, 8);
    let x = case.x.as_values().to_f32();
    let bias = case.bias.as_ref().unwrap()[0];
    let right = expected(&case.matrix, case.dtype, &x, 0, bias);
    let changed = |change: &dyn Fn(&mut lowbit::formats::Parts)| {
        let mut parts = case.matrix.clone().into_parts();
        change(&mut parts);
        let shape = case.matrix.shape();
        let wrong = QuantMatrix::from_parts(case.matrix.format(), shape, Dtype::F16, parts).unwrap();
        (expected(&wrong, case.dtype, &x, 0, bias).value - right.value).abs()
    };
    let largest = x.iter().enumerate().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs())).unwrap().0;
    let error = changed(&|parts| parts.codes[largest / 2] ^= 0x88);
    assert!(error > right.bound, "{error} {}", right.bound);
    let error = changed(&|parts| {
        let lowbit::formats::Scales::F32(scales) = &mut parts.scales else { unreachable!() };
        scales.swap(0, 1);
    });
    assert!(error > right.bound, "{error} {}", right.bound);
}
