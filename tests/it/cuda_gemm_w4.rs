//! `gemm_w4`: rows of x by 4-bit weights on tensor cores, within the bound of its sums.

use lowbit::Dtype;
use lowbit::Error;
use lowbit::MatShape;
use lowbit::cuda::DeviceBuffer;
use lowbit::cuda::ops::gemm_w4;
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
use crate::w4_cases::formats;
use crate::w4_cases::group;
use crate::w4_cases::int4;
use crate::w4_cases::matrix;
use crate::w4_cases::nf4;

const HALVES: [Dtype; 2] = [Dtype::F16, Dtype::Bf16];

const FAMILY: Family = Family { scratch_bytes: gemm_w4::scratch_bytes, enqueue: gemm_w4::enqueue };

fn case(format: Format, size: (usize, usize, usize), dtype: Dtype, seed: u64) -> Case {
    Case::new(FAMILY, format, size, dtype, seed)
}

/// Every kernel over shapes that hurt.
pub fn against_reference(bench: &Bench) {
    for device in bench.devices() {
        let mut seed = 0;
        // Both token tiles: less than one, one, one and a bit.
        for (m, n) in [(17, 33), (32, 1), (33, 16), (65, 40)] {
            for (format, dtype) in formats().into_iter().flat_map(|f| HALVES.map(|dtype| (f, dtype))) {
                seed += 1;
                // Blocks of the flattened matrix must not run across rows; groups may end short, stages half filled.
                let k = if format.flat_block().is_some() { 384 } else { [381, 1, 65, 200][seed as usize % 4] };
                case(format, (m, n, k), dtype, seed).check(&device);
            }
        }
        for dtype in HALVES {
            // More than one block of rows, the last of one row tile; a warp's row tiles end in between.
            case(nf4(64, F32), (3, 270, 192), dtype, 100).check(&device);
            case(int4(group(64), Asymmetric), (70, 600, 64), dtype, 101).check(&device);
            // K in parts, of which each goes around the ring of stages.
            case(int4(group(128), Symmetric), (2, 5, 16 * 64 * 14 - 3), dtype, 102).check(&device);
            case(nf4(64, Nested), (34, 17, 16 * 64 * 12), dtype, 103).check(&device);
            // The last absmax of nested scales, where groups of padding follow it: 768 scales.
            case(nf4(32, Nested), (1, 256, 96), dtype, 104).check(&device);
        }
    }
    for capability in [80, 89, 120] {
        let device = bench.simulated(capability);
        case(nf4(32, Nested), (40, 65, 1024), Dtype::F16, 105).check(&device);
        case(int4(group(32), Asymmetric), (20, 33, 3000), Dtype::Bf16, 106).check(&device);
        case(int4(group(128), Asymmetric), (64, 33, 3000), Dtype::Bf16, 107).check(&device);
    }
}

#[test]
fn x_may_begin_at_any_element() {
    for (capability, m) in [(80, 2), (80, 35), (89, 35)] {
        let device = crate::simulator::Simulator::new(capability).device();
        for (dtype, shift) in HALVES.into_iter().flat_map(|dtype| [(dtype, 1), (dtype, 4)]) {
            let mut case = case(nf4(64, F32), (m, 18, 128), dtype, 3);
            case.shift = shift;
            case.check(&device);
        }
    }
}

#[test]
fn what_is_not_finite_stays_in_its_row() {
    let device = crate::simulator::Simulator::new(80).device();
    for (dtype, m) in HALVES.into_iter().flat_map(|dtype| [(dtype, 4), (dtype, 36)]) {
        let mut case = case(int4(group(64), Asymmetric), (m, 3, 130), dtype, 5);
        let mut x = case.x.as_values().to_f32();
        // The last row is read in place of those beyond it.
        x[130 + 2] = f32::NAN;
        x[(m - 1) * 130] = f32::NAN;
        case.x = OwnedValues::from_f32(dtype, &x);
        let y = case.run(&device);
        for (row, y) in y.chunks(3).enumerate() {
            let is_nan = row == 1 || row == m - 1;
            assert!(y.iter().all(|v| if is_nan { v.is_nan() } else { v.is_finite() }), "{row}: {y:?}");
        }
    }
}

#[test]
fn what_the_kernels_do_not_take_is_refused_before_the_launch() {
    let device = crate::simulator::Simulator::new(80).device();
    let cuda = cuda_device(&device);
    let limits = cuda.limits();
    let upload = |format, n, k| {
        let matrix = matrix(format, MatShape::new(n, k).unwrap(), &mut Random::new(7));
        W4::upload(cuda, &matrix).unwrap()
    };
    let w = upload(nf4(64, F32), 3, 64);
    assert_eq!(gemm_w4::rule(limits, &w, Dtype::F16), None);
    assert!(gemm_w4::rule(limits, &w, Dtype::F32).unwrap().contains("f16 or bf16"));
    let small = lowbit::cuda::Limits { shared_bytes_per_block: 48 << 10, ..limits.clone() };
    assert!(gemm_w4::rule(&small, &w, Dtype::F16).unwrap().contains("49152"));
    assert!(gemm_w4::rule(limits, &upload(nf4(64, F32), 3, 65), Dtype::F16).unwrap().contains("across the rows"));
    assert!(gemm_w4::rule(limits, &upload(int4(group(48), Symmetric), 3, 96), Dtype::F16).unwrap().contains("48"));

    let buffer = DeviceBuffer::zeros(cuda, 1 << 12).unwrap();
    let all = buffer.region();
    let good = W4Product { w: &w, x: all, bias: None, y: all, m: 17, dtype: Dtype::F16 };
    let refused = |product: W4Product<'_>| gemm_w4::enqueue(&product, cuda, all).unwrap_err();
    let error = refused(W4Product { dtype: Dtype::F32, ..good });
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    let error = refused(W4Product { x: after(&buffer, (1 << 12) - 2175), ..good });
    assert!(matches!(error, Error::Length { what: "x", expected: 2176, found: 2175, .. }), "{error}");
    let error = refused(W4Product { y: after(&buffer, 1), ..good });
    assert!(matches!(error, Error::Invalid { what: "y", .. }), "{error}");
    let error = refused(W4Product { bias: Some(after(&buffer, (1 << 12) - 8)), ..good });
    assert!(matches!(error, Error::Length { what: "bias", .. }), "{error}");
    let error = refused(W4Product { m: 1 << 31, ..good });
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    let w = upload(nf4(64, F32), 3, 1024);
    let error = gemm_w4::enqueue(&W4Product { w: &w, m: 1, ..good }, cuda, after(&buffer, 1 << 12)).unwrap_err();
    assert!(matches!(error, Error::Length { what: "scratch memory", .. }), "{error}");
    gemm_w4::enqueue(&W4Product { m: 0, ..good }, cuda, after(&buffer, 1 << 12)).unwrap();
}
