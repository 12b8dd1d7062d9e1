//! Every format, kind of activation, strategy, type and instruction set against products in f64.
//!
//! # The bound
//! With u = 2^-24 (half an ulp of 1 in f32) a sum of K products in f32, in any order, differs from the exact one by at most
//! `(K + c) u S`, S the sum of all magnitudes (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1); c counts
//! the roundings of a term before it is summed: at most 6 (two of the scale, the product with it, the activation's scale, the
//! factor, the bias). Where a zero point is subtracted after summing, S is the sum of `|x| (code + zero_point) |scale|`.
//! W rounded to bf16 adds 2^-8 S; y adds half an ulp of its type.

use std::sync::Arc;

use crate::cpu::Isa;
use crate::cpu::kernels::testing;
use crate::cpu::kernels::testing::Random;
use crate::cpu::matmul::GEMV_MAX_ROWS;
use crate::cpu::matmul::matmul;
use crate::cpu::matmul::plan;
use crate::cpu::matmul::prepare;
use crate::error::Error;
use crate::formats::AbsmaxKind;
use crate::formats::Format;
use crate::formats::Parts;
use crate::formats::QuantMatrix;
use crate::formats::Scales;
use crate::formats::Symmetry;
use crate::formats::nibbles;
use crate::reference;
use crate::shape::BlockSize;
use crate::shape::Granularity;
use crate::shape::GroupSize;
use crate::shape::MatShape;
use crate::strategy::Activations;
use crate::strategy::Strategy;
use crate::values::Dtype;
use crate::values::OwnedValues;

const STRATEGIES: [Strategy; 4] = [Strategy::Auto, Strategy::Gemv, Strategy::Fused, Strategy::DequantizeThenMultiply];
const DTYPES: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::Bf16];
const INT8: Activations = Activations::Int8 { threshold: 0.0 };

/// What the result must be, and the sum of the magnitudes that went into it.
struct Expected {
    y: Vec<f64>,
    magnitude: Vec<f64>,
}

/// The activations as they are multiplied, in f64.
fn rounded(x: &[f32], k: usize, activations: Activations) -> Vec<f64> {
    let (max_code, threshold) = match activations {
        Activations::Float => return x.iter().map(|&v| f64::from(v)).collect(),
        Activations::Int8 { threshold } => (127.0, threshold),
        Activations::Int4 => (7.0, 0.0),
    };
    let rows = reference::quantize_rows(x, k, max_code, threshold);
    let value = |i: usize| match rows.outlier_columns.binary_search(&(i % k)) {
        Ok(_) if rows.absmax[i / k].is_finite() => f64::from(x[i]),
        _ => f64::from(rows.codes[i]) * f64::from(rows.absmax[i / k]) / f64::from(max_code),
    };
    (0..x.len()).map(value).collect()
}

/// |w|, or (code + zero point) |scale|.
fn magnitude(matrix: &QuantMatrix, row: usize, col: usize) -> f64 {
    let (format, shape) = (matrix.format(), matrix.shape());
    let index = format.scale_index(shape, row, col);
    let code = match format {
        Format::Int4 { .. } => nibbles::get(matrix.codes(), row * shape.k() + col),
        Format::AffineInt8 { .. } => matrix.codes()[row * shape.k() + col],
        _ => return f64::from(matrix.value(row, col).abs()),
    };
    f64::from(matrix.scales().get(index).abs()) * f64::from(u16::from(code) + u16::from(matrix.zero_point(index)))
}

fn expected(x: &[f32], matrix: &QuantMatrix, activations: Activations, bias: Option<&[f32]>) -> Expected {
    let (n, k) = (matrix.shape().n(), matrix.shape().k());
    let x = rounded(x, k, activations);
    let w: Vec<f64> = reference::dequantize(matrix).into_iter().map(f64::from).collect();
    let magnitudes: Vec<f64> = (0..n * k).map(|i| magnitude(matrix, i / k, i % k)).collect();
    let mut result = Expected { y: Vec::new(), magnitude: Vec::new() };
    for x in x.chunks_exact(k) {
        for row in 0..n {
            let bias = bias.map_or(0.0, |b| f64::from(b[row]));
            let at = row * k..(row + 1) * k;
            result.y.push(x.iter().zip(&w[at.clone()]).map(|(x, w)| x * w).sum::<f64>() + bias);
            result.magnitude.push(x.iter().zip(&magnitudes[at]).map(|(x, w)| x.abs() * w).sum::<f64>() + bias.abs());
        }
    }
    result
}

/// How far a result may be from `expected.y[i]`.
fn bound(expected: &Expected, i: usize, k: usize, x: Dtype, y: Dtype) -> f64 {
    let half_ulp = |dtype| match dtype {
        Dtype::F32 => 2f64.powi(-24),
        Dtype::F16 => 2f64.powi(-11),
        Dtype::Bf16 => 2f64.powi(-8),
    };
    let sum = (k as f64 + 6.0) * half_ulp(Dtype::F32) * expected.magnitude[i];
    let weights = if x == Dtype::Bf16 { half_ulp(Dtype::Bf16) * expected.magnitude[i] } else { 0.0 };
    let exact = sum + weights;
    // The smallest f16 is 2^-24: below 2^-14 its error is absolute.
    exact + half_ulp(y) * (expected.y[i].abs() + exact) + 2f64.powi(-25)
}

struct Case<'a> {
    isa: Isa,
    matrix: &'a QuantMatrix,
    activations: Activations,
    strategy: Strategy,
    x: &'a OwnedValues,
    bias: Option<&'a [f32]>,
    y: Dtype,
}

impl Case<'_> {
    fn run(&self) -> Result<Vec<f32>, Error> {
        let (n, k) = (self.matrix.shape().n(), self.matrix.shape().k());
        let x = self.x.as_values();
        let mut y = OwnedValues::zeros(self.y, x.len() / k * n);
        let prepared = prepare(Arc::new(self.matrix.clone()), self.activations)?;
        matmul(self.isa, x, &prepared, self.bias, self.strategy, y.as_values_mut())?;
        Ok(y.as_values().to_f32())
    }

    fn name(&self) -> String {
        let (x, matrix) = (self.x.as_values(), self.matrix);
        format!(
            "{} {} {} M {} x {} y {} {} on {}",
            self.strategy,
            matrix.format(),
            matrix.shape(),
            x.len() / matrix.shape().k(),
            x.dtype(),
            self.y,
            self.activations,
            self.isa.name()
        )
    }

    /// The first result beyond the bound.
    fn failure(&self, found: &[f32], expected: &Expected) -> Option<String> {
        let k = self.matrix.shape().k();
        (0..found.len()).find_map(|i| {
            let (error, bound) = (
                (f64::from(found[i]) - expected.y[i]).abs(),
                bound(expected, i, k, self.x.as_values().dtype(), self.y),
            );
            let same = error <= bound || (expected.y[i].is_nan() && found[i].is_nan());
            (!same).then(|| {
                format!("{}: value {i} is {}, expected {} within {bound}", self.name(), found[i], expected.y[i])
            })
        })
    }

    fn check(&self, expected: &Expected) {
        match self.run() {
            Ok(found) => assert_eq!(self.failure(&found, expected), None),
            Err(Error::Unsupported { .. }) if self.strategy == Strategy::Gemv => {}
            Err(error) => panic!("{}: {error}", self.name()),
        }
    }
}

fn formats() -> Vec<Format> {
    let mut formats = testing::formats();
    for size in [32, 96] {
        let granularity = Granularity::PerGroup(GroupSize::new(size).unwrap());
        formats.push(Format::Int4 { granularity, symmetry: Symmetry::Asymmetric });
        formats.push(Format::AffineInt8 { granularity, symmetry: Symmetry::Asymmetric });
    }
    formats
}

fn activations(format: Format) -> Vec<Activations> {
    match format.granularity() {
        None => vec![Activations::Float],
        Some(_) => vec![Activations::Float, INT8, Activations::Int8 { threshold: 2.5 }, Activations::Int4],
    }
}

fn normal(random: &mut Random, len: usize) -> Vec<f32> {
    (0..len).map(|_| random.normal()).collect()
}

/// Runs every strategy on every instruction set; sizes and types take turns.
fn sweep(ks: &[usize], ms: &[usize], ns: &[usize]) {
    let mut random = Random::new(11);
    let mut turn = 0;
    for format in formats() {
        for &k in ks {
            for activations in activations(format) {
                turn += 1;
                let (m, n) = (ms[turn % ms.len()], ns[turn / 3 % ns.len()]);
                let matrix = testing::arbitrary_matrix(format, MatShape::new(n, k).unwrap());
                let x = OwnedValues::from_f32(DTYPES[turn % 3], &normal(&mut random, m * k));
                let bias = normal(&mut random, n);
                let bias = (turn % 2 == 0).then_some(&bias[..]);
                let expected = expected(&x.as_values().to_f32(), &matrix, activations, bias);
                for isa in Isa::available() {
                    for strategy in STRATEGIES {
                        let y = DTYPES[turn / 2 % 3];
                        Case { isa, matrix: &matrix, activations, strategy, x: &x, bias, y }.check(&expected);
                    }
                }
            }
        }
    }
}

#[test]
fn small_products_are_within_the_bound() {
    sweep(&[1, 2, 31, 32, 64, 96, 128, 130, 192, 256], &[0, 1, 2, 3, 16, 17, 48, 65], &[1, 2, 7, 8, 9, 33]);
}

#[test]
fn long_rows_are_within_the_bound() {
    sweep(&[4096 + 64], &[1, 3, 5, 17], &[1, 7, 9]);
}

#[test]
fn many_rows_and_several_tasks_are_within_the_bound() {
    let matrix = testing::arbitrary_matrix(nf4(64), MatShape::new(150, 64).unwrap());
    let x = OwnedValues::from_f32(Dtype::F32, &normal(&mut Random::new(3), 1000 * 64));
    let expected = expected(&x.as_values().to_f32(), &matrix, Activations::Float, None);
    for isa in Isa::available() {
        for strategy in [Strategy::Fused, Strategy::DequantizeThenMultiply] {
            let activations = Activations::Float;
            Case { isa, matrix: &matrix, activations, strategy, x: &x, bias: None, y: Dtype::F32 }.check(&expected);
        }
    }
}

fn nf4(block_size: usize) -> Format {
    Format::Nf4 { block_size: BlockSize::new(block_size).unwrap(), absmax: AbsmaxKind::F32 }
}

fn int8() -> Format {
    Format::Int8 { granularity: Granularity::PerRow }
}

fn int4(group: usize) -> Format {
    let granularity = Granularity::PerGroup(GroupSize::new(group).unwrap());
    Format::Int4 { granularity, symmetry: Symmetry::Asymmetric }
}

fn dynamic8() -> Format {
    Format::Dynamic8 { block_size: BlockSize::B64 }
}

fn affine_int8(group: usize) -> Format {
    let granularity = Granularity::PerGroup(GroupSize::new(group).unwrap());
    Format::AffineInt8 { granularity, symmetry: Symmetry::Asymmetric }
}

#[test]
fn one_flipped_code_or_swapped_scale_fails_the_bound() {
    let shape = MatShape::new(3, 256).unwrap();
    for format in [nf4(64), int8(), int4(32), dynamic8(), affine_int8(32), Format::Int4ChannelGroup] {
        let matrix = testing::arbitrary_matrix(format, shape);
        for activations in activations(format) {
            let x = OwnedValues::from_f32(Dtype::F32, &normal(&mut Random::new(5), shape.k()));
            let expected = expected(&x.as_values().to_f32(), &matrix, activations, None);
            for planted in [flip_a_code(&matrix), swap_two_scales(&matrix)] {
                for isa in Isa::available() {
                    for strategy in STRATEGIES {
                        let case =
                            Case { isa, matrix: &planted, activations, strategy, x: &x, bias: None, y: Dtype::F32 };
                        let found = match case.run() {
                            Err(Error::Unsupported { .. }) if strategy == Strategy::Gemv => continue,
                            found => found.unwrap(),
                        };
                        assert!(case.failure(&found, &expected).is_some(), "{} passed", case.name());
                    }
                }
            }
        }
    }
}

/// The high bit of the code whose x is largest.
fn flip_a_code(matrix: &QuantMatrix) -> QuantMatrix {
    let mut parts = matrix.clone().into_parts();
    let at = parts.codes.len() / 2;
    parts.codes[at] ^= 0x80;
    QuantMatrix::from_parts(matrix.format(), matrix.shape(), matrix.dtype(), parts).unwrap()
}

fn swap_two_scales(matrix: &QuantMatrix) -> QuantMatrix {
    let mut parts: Parts = matrix.clone().into_parts();
    let Scales::F32(scales) = &mut parts.scales else { panic!("f32 scales") };
    scales.swap(0, 1);
    QuantMatrix::from_parts(matrix.format(), matrix.shape(), matrix.dtype(), parts).unwrap()
}

#[test]
fn integer_sums_are_exact() {
    let mut random = Random::new(17);
    for (m, n, k) in [(1, 9, 130), (3, 8, 4160), (17, 33, 1027), (65, 7, 64)] {
        let matrix = testing::arbitrary_matrix(int8(), MatShape::new(n, k).unwrap());
        let x = normal(&mut random, m * k);
        let rows = reference::quantize_rows(&x, k, 127.0, 0.0);
        let sum = |m: usize, row: usize| -> i32 {
            let codes = rows.codes[m * k..(m + 1) * k].iter().zip(&matrix.codes_i8()[row * k..(row + 1) * k]);
            codes.map(|(&x, &w)| i32::from(x) * i32::from(w)).sum()
        };
        let value = |m, row| sum(m, row) as f32 * (rows.absmax[m] * matrix.scales().get(row)) * (1.0 / (127.0 * 127.0));
        let expected: Vec<f32> = (0..m * n).map(|i| value(i / n, i % n)).collect();
        let x = OwnedValues::from_f32(Dtype::F32, &x);
        for isa in Isa::available() {
            for strategy in [Strategy::Gemv, Strategy::Fused] {
                let case = Case { isa, matrix: &matrix, activations: INT8, strategy, x: &x, bias: None, y: Dtype::F32 };
                if strategy == Strategy::Gemv && m > GEMV_MAX_ROWS {
                    continue;
                }
                testing::assert_same_bits(&case.run().unwrap(), &expected, &case.name());
            }
        }
    }
}

#[test]
fn integer_sums_of_channel_groups_are_exact() {
    let mut random = Random::new(18);
    // K within a group, odd, over several blocks of words.
    for (m, n, k) in [(1, 9, 130), (3, 8, 4160), (17, 33, 1027), (65, 7, 64), (2, 2, 1)] {
        let matrix = testing::arbitrary_matrix(Format::Int4ChannelGroup, MatShape::new(n, k).unwrap());
        let x = normal(&mut random, m * k);
        let rows = reference::quantize_rows(&x, k, 127.0, 0.0);
        let sum = |m: usize, row: usize| -> i32 {
            let x = &rows.codes[m * k..(m + 1) * k];
            x.iter().enumerate().map(|(col, &x)| i32::from(x) * matrix.int8(row, col)).sum()
        };
        let value = |m, row| sum(m, row) as f32 * (rows.absmax[m] * matrix.scales().get(row)) * (1.0 / 127.0);
        let expected: Vec<f32> = (0..m * n).map(|i| value(i / n, i % n)).collect();
        let x = OwnedValues::from_f32(Dtype::F32, &x);
        for isa in Isa::available() {
            let (activations, strategy) = (INT8, Strategy::Fused);
            let case = Case { isa, matrix: &matrix, activations, strategy, x: &x, bias: None, y: Dtype::F32 };
            testing::assert_same_bits(&case.run().unwrap(), &expected, &case.name());
        }
    }
}

#[test]
fn saturating_codes_do_not_saturate() {
    // All codes at their ends, so that every sum of two or four products is as large as it can be.
    let shape = MatShape::new(5, 4160).unwrap();
    let formats = [int8(), Format::AffineInt8 { granularity: Granularity::PerRow, symmetry: Symmetry::Asymmetric }];
    for format in formats {
        for code in [0x81, 0x7f, 0xff, 0x00] {
            let mut parts = testing::arbitrary_matrix(format, shape).into_parts();
            parts.codes.fill(code);
            let matrix = QuantMatrix::from_parts(format, shape, Dtype::F32, parts).unwrap();
            let mut x = vec![1.0; 2 * shape.k()];
            x[shape.k()..].fill(-3.0);
            let expected = expected(&x, &matrix, INT8, None);
            let x = OwnedValues::F32(x);
            for isa in Isa::available() {
                for strategy in STRATEGIES {
                    Case { isa, matrix: &matrix, activations: INT8, strategy, x: &x, bias: None, y: Dtype::F32 }
                        .check(&expected);
                }
            }
        }
    }
}

#[test]
fn rows_that_are_not_finite_yield_nan_and_no_other_row_does() {
    let shape = MatShape::new(9, 96).unwrap();
    for (format, threshold) in [(int8(), 0.0), (int8(), 2.5), (int4(32), 0.0)] {
        let matrix = testing::arbitrary_matrix(format, shape);
        let mut x = normal(&mut Random::new(23), 4 * shape.k());
        x[7] = f32::NAN;
        x[2 * shape.k() + 8] = f32::INFINITY;
        x[3 * shape.k()..].fill(0.0);
        let x = OwnedValues::F32(x);
        for isa in Isa::available() {
            for strategy in STRATEGIES {
                let activations = Activations::Int8 { threshold };
                let case = Case { isa, matrix: &matrix, activations, strategy, x: &x, bias: None, y: Dtype::F32 };
                let y = case.run().unwrap();
                for (row, nan) in [(0, true), (1, false), (2, true), (3, false)] {
                    let y = &y[row * shape.n()..(row + 1) * shape.n()];
                    assert!(y.iter().all(|v| v.is_nan() == nan), "{} row {row}: {y:?}", case.name());
                }
                assert!(y[3 * shape.n()..].iter().all(|&v| v == 0.0), "{}", case.name());
            }
        }
    }
}

#[test]
fn a_zero_matrix_gives_the_bias() {
    for format in formats() {
        let shape = MatShape::new(9, 192).unwrap();
        let zeros =
            Arc::new(reference::quantize(OwnedValues::F32(vec![0.0; 9 * 192]).as_values(), shape, format).unwrap());
        let x = OwnedValues::F32(normal(&mut Random::new(1), 2 * 192));
        let bias = normal(&mut Random::new(2), 9);
        for isa in Isa::available() {
            for activations in activations(format) {
                for strategy in [Strategy::Auto, Strategy::Fused, Strategy::DequantizeThenMultiply] {
                    let case =
                        Case { isa, matrix: &zeros, activations, strategy, x: &x, bias: Some(&bias), y: Dtype::F32 };
                    let y = case.run().unwrap();
                    // Zero points cancel the sums of codes up to rounding where they are subtracted in floats.
                    let close = y.iter().zip(bias.iter().cycle()).all(|(y, b)| (y - b).abs() < 1e-5);
                    assert!(close, "{}: {y:?}", case.name());
                }
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_an_error_with_rule_and_values() {
    let isa = Isa::best();
    let make = |format, n, k| Arc::new(testing::arbitrary_matrix(format, MatShape::new(n, k).unwrap()));
    let refuse = |matrix: &Arc<QuantMatrix>, x: usize, y: usize, strategy| {
        let prepared = prepare(matrix.clone(), Activations::Float).unwrap();
        let (x, mut y) = (vec![0.0f32; x], vec![0.0f32; y]);
        matmul(isa, x[..].into(), &prepared, None, strategy, (&mut y[..]).into()).unwrap_err().to_string()
    };
    let straddling = make(nf4(64), 4, 96);
    let error = refuse(&straddling, 96, 4, Strategy::Gemv);
    assert!(error.contains("K = 96") && error.contains("64") && error.contains("fused"), "{error}");
    assert!(
        refuse(&straddling, 95, 4, Strategy::Auto).contains("x has 95 elements, expected 0 (a multiple of K = 96)")
    );
    assert!(refuse(&straddling, 96, 5, Strategy::Auto).contains("y has 5 elements, expected 4"));
    let aligned = make(nf4(64), 2, 64);
    assert!(refuse(&aligned, 17 * 64, 34, Strategy::Gemv).contains("M = 17 is above 16"));

    let error = prepare(aligned, INT8).unwrap_err().to_string();
    assert!(error.contains("nf4") && error.contains("int8 activations") && error.contains("float"), "{error}");
    let long = make(int8(), 1, 133_145);
    let error = prepare(long, INT8).unwrap_err().to_string();
    assert!(error.contains("133145") && error.contains("133144"), "{error}");
    assert!(prepare(make(int8(), 1, 133_144), INT8).is_ok());
    let nan = Activations::Int8 { threshold: f32::NAN };
    assert!(matches!(prepare(make(int8(), 1, 8), nan), Err(Error::Invalid { .. })));
}

#[test]
fn the_plan_streams_few_rows_where_it_can() {
    let matrix = |format, k| testing::arbitrary_matrix(format, MatShape::new(2, k).unwrap());
    let float = Activations::Float;
    assert_eq!(plan(&matrix(nf4(64), 128), float, 1, Dtype::F32), Strategy::Gemv);
    assert_eq!(plan(&matrix(nf4(64), 128), float, 17, Dtype::F32), Strategy::Fused);
    assert_eq!(plan(&matrix(nf4(64), 96), float, 1, Dtype::F32), Strategy::Fused);
    for format in [int8(), dynamic8(), affine_int8(32)] {
        assert_eq!(plan(&matrix(format, 128), float, 1, Dtype::F32), Strategy::Gemv);
        assert_eq!(plan(&matrix(format, 128), float, 9, Dtype::Bf16), Strategy::Fused);
    }
    assert_eq!(plan(&matrix(dynamic8(), 96), float, 1, Dtype::F32), Strategy::Fused);
    assert_eq!(plan(&matrix(affine_int8(7), 128), float, 1, Dtype::F32), Strategy::Fused);
    assert_eq!(plan(&matrix(int8(), 128), INT8, 1, Dtype::F32), Strategy::Gemv);
    assert_eq!(plan(&matrix(int8(), 128), INT8, 64, Dtype::F32), Strategy::Fused);
}
