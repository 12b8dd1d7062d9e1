//! Dense weights to a [`QuantMatrix`]: which kernel, cut into which tasks.

use rayon::prelude::*;

use crate::cpu::Isa;
use crate::cpu::kernels::blockwise8;
use crate::cpu::kernels::channel_group;
use crate::cpu::kernels::codebook4;
use crate::cpu::kernels::codebook4::Book;
use crate::cpu::kernels::grouped;
use crate::cpu::kernels::grouped::Params;
use crate::cpu::kernels::grouped::ParamsFrom;
use crate::cpu::kernels::grouped::Range;
use crate::cpu::kernels::source::Source;
use crate::cpu::kernels::tasks::Cut;
use crate::cpu::kernels::tasks::TASK;
use crate::cpu::kernels::tasks::Task;
use crate::cpu::kernels::tasks::split;
use crate::cpu::simd::Op;
use crate::cpu::simd::Simd;
use crate::error::Error;
use crate::error::Result;
use crate::formats::AbsmaxKind;
use crate::formats::Format;
use crate::formats::NestedAbsmax;
use crate::formats::Parts;
use crate::formats::QuantMatrix;
use crate::formats::Recipe;
use crate::formats::ScaleRule;
use crate::formats::Scales;
use crate::shape::BlockSize;
use crate::shape::Granularity;
use crate::shape::MatShape;
use crate::values::Values;
use crate::values::with_slice;

/// Quantizes `values` (row-major, `shape`) as `recipe` says, on the threads of the current rayon pool.
///
/// With [`ScaleRule::Absmax`] the bits are those of [`reference::quantize`](crate::reference::quantize) on every
/// instruction set.
///
/// # Errors
/// [`Error::Length`] when `values` does not have `shape`, [`Error::NonFinite`] for a NaN or an infinity,
/// [`Error::Unsupported`] for [`ScaleRule::Search`] with a format that has none.
pub fn quantize(isa: Isa, values: Values<'_>, shape: MatShape, recipe: Recipe) -> Result<QuantMatrix> {
    if values.len() != shape.num_values() {
        let rule = format!("shape {shape}");
        return Err(Error::Length { what: "weight", expected: shape.num_values(), found: values.len(), rule });
    }
    let parts = with_slice!(Values, values, s => parts(isa, s, shape, recipe))?;
    QuantMatrix::from_parts(recipe.format, shape, values.dtype(), parts)
}

fn parts<E: Source>(isa: Isa, values: &[E], shape: MatShape, recipe: Recipe) -> Result<Parts> {
    let format = recipe.format;
    if recipe == Format::Int4ChannelGroup.into() {
        return channel_group::quantize(isa, values, shape).ok_or_else(|| first_non_finite(values));
    }
    let kernel = Kernel::new(isa, recipe, shape)?;
    let num_scales = format.num_scales(shape);
    let mut arrays = Arrays {
        codes: vec![0; format.num_code_bytes(shape)],
        scales: vec![0.0; num_scales],
        zero_points: vec![0; num_scales],
    };
    let cut = cut(format, shape);
    let mut finite = true;
    let kernel = match kernel {
        Kernel::Grouped { format, k, from } if format.granularity() == Some(Granularity::PerTensor) => {
            let (range, params) = whole_matrix(isa, values, format, from.scale_rule);
            finite = range.finite;
            (arrays.scales[0], arrays.zero_points[0]) = (params.scale, params.zero_point);
            Kernel::Grouped { format, k, from: ParamsFrom { given: Some(params), ..from } }
        }
        kernel => kernel,
    };
    finite &= arrays.fill(isa, kernel, values, cut);
    if !finite {
        return Err(first_non_finite(values));
    }
    let zero_points = format.has_zero_points().then(|| std::mem::take(&mut arrays.zero_points));
    let scales = match kernel {
        Kernel::Codebook4 { nested: true, .. } => Scales::Nested(blockwise8::nest(isa, &arrays.scales)),
        Kernel::SearchCodebook4 { book, block, nested: true } => {
            let nested = nest_searched(isa, &arrays.scales);
            // A reader multiplies by the decoded scales: the codes are chosen for those.
            arrays.scales = (0..num_scales).map(|i| nested.get(i)).collect();
            arrays.fill(isa, Kernel::EncodeCodebook4 { book, block }, values, cut);
            Scales::Nested(nested)
        }
        _ => Scales::F32(arrays.scales),
    };
    Ok(Parts { codes: arrays.codes, scales, zero_points, map: None, steps: None })
}

/// Double quantization of searched scales. One that is positive stays so when decoded, at the cost of some precision: a zero
/// would lose its block, a negative one would turn the codebook around.
fn nest_searched(isa: Isa, scales: &[f32]) -> NestedAbsmax {
    let mut nested = blockwise8::nest(isa, scales);
    for (i, &scale) in scales.iter().enumerate() {
        while scale > 0.0 && nested.get(i) <= 0.0 && nested.codes[i] < u8::MAX {
            nested.codes[i] += 1;
        }
    }
    nested
}

/// The arrays of a matrix in the making.
struct Arrays {
    codes: Vec<u8>,
    scales: Vec<f32>,
    /// One per scale; unused by formats without.
    zero_points: Vec<u8>,
}

impl Arrays {
    /// Runs `kernel` on all tasks; whether all values are finite, as far as it looks.
    fn fill<E: Source>(&mut self, isa: Isa, kernel: Kernel, values: &[E], cut: Cut) -> bool {
        let Self { codes, scales, zero_points } = self;
        split(Task { values, scales, zero_points, codes }, cut)
            .into_par_iter()
            .map(|task| isa.run(Quantize { kernel, task }))
            .reduce(|| true, |a, b| a && b)
    }
}

/// What quantizes a task.
#[derive(Clone, Copy)]
enum Kernel {
    Codebook4 {
        book: &'static Book,
        block: usize,
        nested: bool,
    },
    /// When the scales are to be nested it stops at the scales.
    SearchCodebook4 {
        book: &'static Book,
        block: usize,
        nested: bool,
    },
    /// Under the scales that are there.
    EncodeCodebook4 {
        book: &'static Book,
        block: usize,
    },
    Dynamic8 {
        block: usize,
    },
    Grouped {
        format: Format,
        k: usize,
        from: ParamsFrom,
    },
}

impl Kernel {
    fn new(isa: Isa, recipe: Recipe, shape: MatShape) -> Result<Self> {
        let Recipe { format, scale_rule } = recipe;
        let codebook4 = |book, block: BlockSize, absmax| {
            let (block, nested) = (block.get(), absmax == AbsmaxKind::Nested);
            match scale_rule {
                ScaleRule::Absmax => Self::Codebook4 { book, block, nested },
                ScaleRule::Search => Self::SearchCodebook4 { book, block, nested },
            }
        };
        match (format, scale_rule) {
            (Format::Nf4 { block_size, absmax }, _) => Ok(codebook4(&codebook4::NF4, block_size, absmax)),
            (Format::Fp4 { block_size, absmax }, _) => Ok(codebook4(&codebook4::FP4, block_size, absmax)),
            (Format::Dynamic8 { block_size }, ScaleRule::Absmax) => Ok(Self::Dynamic8 { block: block_size.get() }),
            (Format::Int4 { .. }, _) | (Format::Int8 { .. } | Format::AffineInt8 { .. }, ScaleRule::Absmax) => {
                Ok(Self::Grouped { format, k: shape.k(), from: ParamsFrom { scale_rule, given: None } })
            }
            (Format::Dynamic8 { .. } | Format::Int8 { .. } | Format::AffineInt8 { .. }, ScaleRule::Search)
            | (Format::Int4ChannelGroup, _) => Err(Error::Unsupported {
                op: "searching scales",
                subject: format.to_string(),
                device: isa.name().into(),
                rule: "NF4, FP4 and INT4 have it; other formats take the absmax or range as it is".into(),
            }),
        }
    }
}

struct Quantize<'a, E> {
    kernel: Kernel,
    task: Task<'a, E>,
}

impl<E: Source> Op for Quantize<'_, E> {
    type Output = bool;
    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) -> bool {
        let Task { values, scales, zero_points, codes } = self.task;
        match self.kernel {
            Kernel::Codebook4 { book, block, .. } => codebook4::quantize(simd, book, block, values, scales, codes),
            Kernel::SearchCodebook4 { book, block, nested } => {
                let finite = codebook4::search(simd, book, block, values, scales);
                if !nested {
                    codebook4::encode_under(simd, book, block, values, scales, codes);
                }
                finite
            }
            Kernel::EncodeCodebook4 { book, block } => {
                codebook4::encode_under(simd, book, block, values, scales, codes);
                true
            }
            Kernel::Dynamic8 { block } => blockwise8::quantize(simd, block, values, scales, codes),
            Kernel::Grouped { format, k, from } => {
                grouped::quantize(simd, format, k, from, Task { values, scales, zero_points, codes })
            }
        }
    }
}

/// Blocks and groups stay whole, and so do bytes of two codes.
fn cut(format: Format, shape: MatShape) -> Cut {
    let values = match format.granularity() {
        // Every block size divides it.
        None | Some(Granularity::PerTensor) => TASK,
        Some(Granularity::PerRow | Granularity::PerGroup(_)) => {
            TASK.div_ceil(shape.k()).next_multiple_of(2) * shape.k()
        }
    };
    let scales = match (format.flat_block(), format.granularity()) {
        (Some(block), _) => values / block.get(),
        (None, Some(Granularity::PerTensor) | None) => 0,
        (None, Some(granularity)) => values / shape.k() * granularity.groups_per_row(shape),
    };
    Cut { values, scales, code_bytes: values * format.code_bits() / 8 }
}

/// The range of all values and the parameters they share.
fn whole_matrix<E: Source>(isa: Isa, values: &[E], format: Format, scale_rule: ScaleRule) -> (Range, Params) {
    let range = values.par_chunks(TASK).map(|values| isa.run(RangeOf(values))).reduce(|| Range::ZERO, Range::join);
    (range, isa.run(ParamsOf { values, format, scale_rule, range }))
}

struct ParamsOf<'a, E> {
    values: &'a [E],
    format: Format,
    scale_rule: ScaleRule,
    range: Range,
}

impl<E: Source> Op for ParamsOf<'_, E> {
    type Output = Params;
    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) -> Params {
        grouped::params(simd, self.format, self.scale_rule, self.values, self.range)
    }
}

struct RangeOf<'a, E>(&'a [E]);

impl<E: Source> Op for RangeOf<'_, E> {
    type Output = Range;
    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) -> Range {
        Range::of(simd, self.0)
    }
}

/// Says where it is; only called when there is one.
fn first_non_finite<E: Source>(values: &[E]) -> Error {
    let index = values.iter().position(|v| !v.to_f32().is_finite()).unwrap_or(0);
    Error::NonFinite { what: "weight", index, value: values[index].to_f32() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::kernels::testing;
    use crate::formats::QuantMatrix;
    use crate::reference;
    use crate::values::Dtype;
    use crate::values::OwnedValues;

    fn assert_same(found: &QuantMatrix, expected: &QuantMatrix, what: &str) {
        testing::assert_same_bits(&found.scales().to_f32(), &expected.scales().to_f32(), &format!("{what}: scales"));
        assert_eq!(found.zero_points(), expected.zero_points(), "{what}: zero points");
        let different = found.codes().iter().zip(expected.codes()).position(|(a, b)| a != b);
        if let Some(i) = different {
            panic!("{what}: code byte {i} is {:#x}, expected {:#x}", found.codes()[i], expected.codes()[i]);
        }
        assert_eq!(found, expected, "{what}");
    }

    #[test]
    fn absmax_rules_have_the_bits_of_the_definition() {
        for (format, shape) in testing::formats_and_shapes() {
            for (name, x) in testing::values_that_hurt(shape.num_values(), format) {
                for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
                    let values = OwnedValues::from_f32(dtype, &x);
                    let values = values.as_values();
                    let expected = reference::quantize(values, shape, format);
                    for isa in Isa::available() {
                        let what = format!("{format} {shape} {dtype} {name} on {}", isa.name());
                        let found = quantize(isa, values, shape, format.into());
                        match (&found, &expected) {
                            (Ok(found), Ok(expected)) => assert_same(found, expected, &what),
                            (Err(found), Err(expected)) => {
                                assert_eq!(found.to_string(), expected.to_string(), "{what}")
                            }
                            _ => panic!("{what}: {:?}, expected {:?}", found.err(), expected.as_ref().err()),
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_first_value_that_is_not_finite_is_named() {
        let shape = MatShape::new(3, 50_001).unwrap();
        for format in testing::formats() {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -f32::NAN] {
                for index in [0, 31, 70_000, 150_002] {
                    let mut x = vec![0.5; shape.num_values()];
                    x[150_002] = f32::NAN;
                    x[index] = bad;
                    for isa in Isa::available() {
                        let found = quantize(isa, Values::F32(&x), shape, format.into());
                        assert!(
                            matches!(found, Err(Error::NonFinite { what: "weight", index: i, .. }) if i == index),
                            "{format}, {bad} at {index} on {}: {found:?}",
                            isa.name()
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn wrong_lengths_and_searches_that_do_not_exist_are_refused() {
        let shape = MatShape::new(2, 3).unwrap();
        let short = quantize(Isa::best(), Values::F32(&[0.0; 5]), shape, crate::Nf4::default().into());
        assert!(matches!(short, Err(Error::Length { expected: 6, found: 5, .. })));
        let without_search = |format: &Format| format.code_bits() == 8 || *format == Format::Int4ChannelGroup;
        for format in testing::formats().into_iter().filter(without_search) {
            let recipe = Recipe { format, scale_rule: ScaleRule::Search };
            let found = quantize(Isa::best(), Values::F32(&[0.0; 6]), shape, recipe);
            assert!(matches!(found, Err(Error::Unsupported { .. })), "{format}");
        }
    }
}
