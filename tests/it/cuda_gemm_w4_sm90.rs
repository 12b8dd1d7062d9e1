//! `gemm_w4_sm90`: x by 4-bit weights on wgmma, within the bound of its sums.

use lowbit::Device;
use lowbit::Dtype;
use lowbit::Error;
use lowbit::MatShape;
use lowbit::cuda::DeviceBuffer;
use lowbit::cuda::ops::gemm_w4_sm90;
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
use crate::simulator::Simulator;
use crate::support::Random;
use crate::w4_cases::Case;
use crate::w4_cases::Family;
use crate::w4_cases::after;
use crate::w4_cases::formats;
use crate::w4_cases::group;
use crate::w4_cases::int4;
use crate::w4_cases::matrix;
use crate::w4_cases::nf4;

const HALVES: [Dtype; 2] = [Dtype::F16, Dtype::Bf16];

const FAMILY: Family = Family {
    scratch_bytes: |limits, w, m| gemm_w4_sm90::scratch_bytes(limits, w, m).unwrap(),
    enqueue: gemm_w4_sm90::enqueue,
};

fn case(format: Format, size: (usize, usize, usize), dtype: Dtype, seed: u64) -> Case {
    Case::new(FAMILY, format, size, dtype, seed)
}

fn simulated() -> Device {
    Simulator::new(90).device()
}

/// Every kernel over shapes that hurt.
pub fn against_reference(bench: &Bench) {
    for device in bench.devices() {
        let mut seed = 0;
        // Each width of wgmma, full and nearly empty.
        for (m, n) in [(1, 33), (16, 1), (17, 16), (50, 40), (65, 17), (128, 3)] {
            for (format, dtype) in formats().into_iter().flat_map(|f| HALVES.map(|dtype| (f, dtype))) {
                seed += 1;
                // Blocks of the flattened matrix must not run across rows; groups may end short.
                let k = if format.flat_block().is_some() { 384 } else { [381, 1, 65, 520][seed as usize % 4] };
                case(format, (m, n, k), dtype, seed).check(&device);
            }
        }
        for dtype in HALVES {
            // More tiles than the pipeline has stages, in more than one part of K and in one.
            case(nf4(64, F32), (3, 130, 3200), dtype, 200).check(&device);
            case(int4(group(32), Asymmetric), (70, 129, 1600), dtype, 201).check(&device);
            case(int4(group(192), Asymmetric), (5, 20, 960), dtype, 202).check(&device);
        }
        // Blocks with more than one unit, the last not full.
        case(nf4(64, Nested), (128 * 133 - 3, 2, 64), Dtype::F16, 203).check(&device);
    }
}

#[test]
fn x_may_begin_at_any_element() {
    let device = simulated();
    for dtype in HALVES {
        for (shift, m, k) in [(1, 2, 128), (4, 20, 192), (0, 3, 131)] {
            let format = int4(group(64), Symmetric);
            let mut case = case(format, (m, 18, k), dtype, 3);
            case.shift = shift;
            case.check(&device);
        }
    }
}

#[test]
fn what_is_not_finite_stays_in_its_row() {
    let device = simulated();
    for dtype in HALVES {
        for value in [f32::NAN, f32::INFINITY] {
            let mut case = case(int4(group(64), Asymmetric), (4, 3, 130), dtype, 5);
            let mut x = case.x.as_values().to_f32();
            x[130 + 2] = value;
            case.x = OwnedValues::from_f32(dtype, &x);
            let y = case.run(&device);
            assert!(y[3..6].iter().all(|v| !v.is_finite()), "{y:?}");
            assert!(y[..3].iter().chain(&y[6..]).all(|v| v.is_finite()), "{y:?}");
        }
    }
}

/// With a whole number of 256 scales to a nested block, the group of padding in the last row is beyond the last of them.
#[test]
fn nested_scales_of_padding_are_not_read_beyond_the_last() {
    case(nf4(32, Nested), (2, 256, 96), Dtype::Bf16, 6).check(&simulated());
}

/// The order in which warps run does not matter.
#[test]
fn the_result_does_not_depend_on_timing() {
    let case = case(nf4(64, F32), (33, 140, 1088), Dtype::F16, 8);
    let results: Vec<Vec<f32>> =
        (0..4).map(|seed| case.run(&Simulator::with(90, Default::default(), seed).device())).collect();
    assert!(results.iter().all(|result| *result == results[0]));
}

#[test]
fn what_the_kernels_do_not_take_is_refused_before_the_launch() {
    let device = simulated();
    let cuda = cuda_device(&device);
    let upload = |format, n, k| {
        let matrix = matrix(format, MatShape::new(n, k).unwrap(), &mut Random::new(7));
        W4::upload(cuda, &matrix).unwrap()
    };
    let w = upload(nf4(64, F32), 3, 64);
    let rule = |w: &W4, dtype| gemm_w4_sm90::rule(cuda.limits(), w, dtype);
    assert_eq!(rule(&w, Dtype::F16), None);
    assert!(rule(&w, Dtype::F32).unwrap().contains("f16 or bf16"));
    assert!(rule(&upload(nf4(64, F32), 3, 65), Dtype::F16).unwrap().contains("across the rows"));
    assert!(rule(&upload(int4(group(48), Symmetric), 3, 96), Dtype::F16).unwrap().contains("48"));
    for capability in [80, 89, 120] {
        let other = Simulator::new(capability).device();
        let cuda = cuda_device(&other);
        let rule = gemm_w4_sm90::rule(cuda.limits(), &w, Dtype::F16).unwrap();
        assert!(rule.contains("9.0 alone") && rule.contains(&format!("{}", capability / 10)), "{rule}");
    }

    let buffer = DeviceBuffer::zeros(cuda, 1 << 12).unwrap();
    let all = buffer.region();
    let good = W4Product { w: &w, x: all, bias: None, y: all, m: 2, dtype: Dtype::F16 };
    let refused = |product: W4Product<'_>| gemm_w4_sm90::enqueue(&product, cuda, all).unwrap_err();
    let error = refused(W4Product { dtype: Dtype::F32, ..good });
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    let error = refused(W4Product { x: after(&buffer, (1 << 12) - 255), ..good });
    assert!(matches!(error, Error::Length { what: "x", expected: 256, found: 255, .. }), "{error}");
    let error = refused(W4Product { y: after(&buffer, 1), ..good });
    assert!(matches!(error, Error::Invalid { what: "y", .. }), "{error}");
    let error = refused(W4Product { bias: Some(after(&buffer, (1 << 12) - 8)), ..good });
    assert!(matches!(error, Error::Length { what: "bias", .. }), "{error}");
    gemm_w4_sm90::enqueue(&W4Product { m: 0, ..good }, cuda, after(&buffer, 1 << 12)).unwrap();

    let long = upload(nf4(64, F32), 3, 8192);
    let x = DeviceBuffer::zeros(cuda, 2 * 8192 * 2).unwrap();
    let error = gemm_w4_sm90::enqueue(&W4Product { w: &long, x: x.region(), ..good }, cuda, after(&buffer, 1 << 12))
        .unwrap_err();
    assert!(matches!(error, Error::Length { what: "scratch memory", .. }), "{error}");
}
