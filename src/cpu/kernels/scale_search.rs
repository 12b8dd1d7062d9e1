//! [`ScaleRule::Search`](crate::formats::ScaleRule::Search): the scale of a block that minimises its squared error.
//!
//! ```text
//! for each candidate scale c:                         absmax (or range) times a factor
//!     v = the level nearest to x / c, for each x
//!     p = sum x v,  q = sum v^2                       with v fixed, p / q is the best scale,
//!     gain = p^2 / q                                  and the error is sum x^2 - gain
//! take the v with the largest gain; scale = p / q; once more: v nearest to x / scale, scale = p / q
//! ```
//! The codes are then those nearest to `x / scale`, which cannot be worse than v. Candidate 1 is the absmax rule, whose own
//! error is `sum x^2 - (2 s p - s^2 q)` with its scale s: the rule stays where the search does not gain more than sums in f32
//! may be wrong by, so that no block comes out worse. It also stays for magnitudes whose squares would leave f32.

use crate::cpu::kernels::codebook4::Tables;
use crate::cpu::kernels::grouped::Params;
use crate::cpu::kernels::grouped::Range;
use crate::cpu::kernels::source::MAX_LANES;
use crate::cpu::kernels::source::Source;
use crate::cpu::simd::Simd;
use crate::formats::Symmetry;

/// The values a code may stand for, before scaling.
pub trait Levels<S: Simd> {
    /// The level nearest to each of `t`, which may lie outside their range. 0 is a level.
    fn nearest(&self, simd: S, t: S::F) -> S::F;
}

/// The levels of a codebook.
pub struct Codebook<'a, S: Simd>(pub &'a Tables<S>);

impl<S: Simd> Levels<S> for Codebook<'_, S> {
    #[inline(always)]
    fn nearest(&self, simd: S, t: S::F) -> S::F {
        self.0.nearest_value(simd, t)
    }
}

/// Consecutive integers.
struct Integers<S: Simd> {
    lowest: S::F,
    highest: S::F,
}

impl<S: Simd> Integers<S> {
    /// The levels of 4-bit codes with a zero point.
    #[inline(always)]
    fn of_int4(simd: S, zero_point: u8) -> Self {
        let zero_point = f32::from(zero_point);
        Self { lowest: simd.splat(-zero_point), highest: simd.splat(15.0 - zero_point) }
    }
}

impl<S: Simd> Levels<S> for Integers<S> {
    #[inline(always)]
    fn nearest(&self, simd: S, t: S::F) -> S::F {
        let clamped = simd.min(simd.max(t, self.lowest), self.highest);
        simd.to_float(simd.round_i(clamped))
    }
}

/// What the search knows of a scale: `p` and `q` of the levels nearest under it, x counted in units of the largest magnitude.
#[derive(Clone, Copy)]
struct Fit {
    p: f32,
    q: f32,
}

impl Fit {
    const NONE: Self = Self { p: 0.0, q: 1.0 };

    /// How much of the sum of squares the best scale for these levels explains; nothing if that scale were negative.
    fn gain(self) -> f32 {
        if self.p > 0.0 && self.q > 0.0 { self.p * self.p / self.q } else { 0.0 }
    }

    /// The gain of keeping `scale` for these levels.
    fn gain_at(self, scale: f32) -> f32 {
        scale * (2.0 * self.p - scale * self.q)
    }

    fn scale(self) -> f32 {
        self.p / self.q
    }
}

/// Candidates that are tried side by side: one load of x, and independent chains of operations.
const ABREAST: usize = 4;

/// The fits of `levels[i]` under the scales `1 / inverse[i]`, in units of `1 / reciprocal`.
#[inline(always)]
fn fits<S: Simd, E: Source, const N: usize>(
    simd: S,
    levels: [&impl Levels<S>; N],
    values: &[E],
    reciprocal: f32,
    inverse: [f32; N],
) -> [Fit; N] {
    let factors = inverse.map(|inverse| simd.splat(inverse * reciprocal));
    let (mut p, mut q) = ([simd.splat(0.0); N], [simd.splat(0.0); N]);
    let vectors = values.chunks_exact(S::LANES);
    let rest = vectors.remainder();
    let mut padded = [E::default(); MAX_LANES];
    padded[..rest.len()].copy_from_slice(rest);
    let last = if rest.is_empty() { None } else { Some(&padded[..S::LANES]) };
    for vector in vectors.chain(last) {
        let x = E::load(simd, vector);
        for i in 0..N {
            let level = levels[i].nearest(simd, simd.mul(x, factors[i]));
            p[i] = simd.mul_add(x, level, p[i]);
            q[i] = simd.mul_add(level, level, q[i]);
        }
    }
    let mut fits = [Fit::NONE; N];
    for i in 0..N {
        fits[i] = Fit { p: simd.reduce_add(p[i]) * reciprocal, q: simd.reduce_add(q[i]) };
    }
    fits
}

/// The best of `candidates` (inverse scales, a multiple of [`ABREAST`] of them), in units of `1 / reciprocal`.
#[inline(always)]
fn best_of<S: Simd, E: Source>(
    simd: S,
    levels: &impl Levels<S>,
    values: &[E],
    reciprocal: f32,
    candidates: &[f32],
) -> Fit {
    let mut best = Fit::NONE;
    for &inverse in candidates.as_chunks::<ABREAST>().0 {
        for fit in fits(simd, [levels; ABREAST], values, reciprocal, inverse) {
            if fit.gain() > best.gain() {
                best = fit;
            }
        }
    }
    best
}

/// Alternates between levels and scale, which never loses.
#[inline(always)]
fn alternate<S: Simd, E: Source>(simd: S, levels: &impl Levels<S>, values: &[E], reciprocal: f32, fit: Fit) -> Fit {
    let mut best = fit;
    for _ in 0..ALTERNATIONS {
        let [next] = fits(simd, [levels], values, reciprocal, [1.0 / best.scale()]);
        if next.gain() > best.gain() {
            best = next;
        }
    }
    best
}

/// A second one changes the fifth digit of the RMSE.
const ALTERNATIONS: usize = 1;

/// What a search must gain relatively: above the error of f32 sums, far below what matters.
const MARGIN: f32 = 1e-5;

/// Magnitudes outside keep the absmax rule: reciprocals and squares stay well within f32.
const SEARCHED: std::ops::Range<f32> = 1e-30..1e30;

/// Candidate scales, relative to that of the absmax rule. Twelve of them and one more alternation take half as long again for
/// 0.05 % of the RMSE; four of them and three alternations take longer and lose 0.3 % (NF4 and FP4, a small Llama's linears).
const FACTORS: [f32; 8] = [0.66, 0.74, 0.80, 0.85, 0.90, 0.95, 1.06, 1.13];
/// Inverse candidate scales for a codebook, in units of the absmax.
const CODEBOOK_INVERSE: [f32; 8] = inverse(FACTORS, 1.0);
/// The same for symmetric INT4, whose absmax rule puts the absmax at level 7.
const INT4_INVERSE: [f32; 8] = inverse(FACTORS, 7.0);
/// By what the ends of an asymmetric range are moved, all pairs.
const SHRINK: [f32; 4] = [1.0, 0.9, 0.8, 0.7];

const fn inverse<const N: usize>(factors: [f32; N], top: f32) -> [f32; N] {
    let mut inverse = [0.0; N];
    let mut i = 0;
    while i < N {
        inverse[i] = top / factors[i];
        i += 1;
    }
    inverse
}

/// The scale for one block of NF4 or FP4 with this `absmax`, always positive unless `absmax` is 0.
#[inline(always)]
pub fn codebook_scale<S: Simd, E: Source>(simd: S, tables: &Tables<S>, values: &[E], absmax: f32) -> f32 {
    if !SEARCHED.contains(&absmax) {
        return absmax;
    }
    symmetric(simd, &Codebook(tables), values, absmax, 1.0, &CODEBOOK_INVERSE)
}

/// The scale for levels that are the same whatever the scale; that of the absmax rule is `absmax / top`.
#[inline(always)]
fn symmetric<S: Simd, E: Source>(
    simd: S,
    levels: &impl Levels<S>,
    values: &[E],
    absmax: f32,
    top: f32,
    candidates: &[f32],
) -> f32 {
    let reciprocal = 1.0 / absmax;
    let [rule] = fits(simd, [levels], values, reciprocal, [top]);
    let mut best = best_of(simd, levels, values, reciprocal, candidates);
    if rule.gain() > best.gain() {
        best = rule;
    }
    let best = alternate(simd, levels, values, reciprocal, best);
    if best.gain() > rule.gain_at(1.0 / top) * (1.0 + MARGIN) { best.scale() * absmax } else { absmax / top }
}

/// Scale and zero point for one group of INT4; `rule` is what its range alone gives.
#[inline(always)]
pub fn int4_params<S: Simd, E: Source>(
    simd: S,
    symmetry: Symmetry,
    values: &[E],
    range: Range,
    rule: Params,
) -> Params {
    let absmax = range.hi.max(-range.lo);
    if !SEARCHED.contains(&absmax) {
        return rule;
    }
    match symmetry {
        Symmetry::Symmetric => {
            let levels = Integers::of_int4(simd, rule.zero_point);
            Params { scale: symmetric(simd, &levels, values, absmax, 7.0, &INT4_INVERSE), ..rule }
        }
        Symmetry::Asymmetric => asymmetric(simd, values, range, absmax, rule),
    }
}

#[inline(always)]
fn asymmetric<S: Simd, E: Source>(simd: S, values: &[E], range: Range, absmax: f32, rule: Params) -> Params {
    let reciprocal = 1.0 / absmax;
    let (lo, hi) = (range.lo * reciprocal, range.hi * reciprocal);
    let rule_scale = rule.scale * reciprocal;
    let rule_levels = Integers::of_int4(simd, rule.zero_point);
    let [rule_fit] = fits(simd, [&rule_levels], values, reciprocal, [1.0 / rule_scale]);
    let (mut best, mut zero_point) = (rule_fit, rule.zero_point);
    for lo_factor in SHRINK {
        let lo = lo * lo_factor;
        let scales = SHRINK.map(|hi_factor| (hi * hi_factor - lo) / 15.0);
        let points = scales.map(|scale| (-lo / scale).round_ties_even() as u8);
        let levels = [
            &Integers::of_int4(simd, points[0]),
            &Integers::of_int4(simd, points[1]),
            &Integers::of_int4(simd, points[2]),
            &Integers::of_int4(simd, points[3]),
        ];
        let found = fits(simd, levels, values, reciprocal, scales.map(|scale| 1.0 / scale));
        for (fit, point) in found.into_iter().zip(points) {
            if fit.gain() > best.gain() {
                (best, zero_point) = (fit, point);
            }
        }
    }
    let levels = Integers::of_int4(simd, zero_point);
    let best = alternate(simd, &levels, values, reciprocal, best);
    if best.gain() > rule_fit.gain_at(rule_scale) * (1.0 + MARGIN) {
        Params { scale: best.scale() * absmax, zero_point }
    } else {
        rule
    }
}

#[cfg(test)]
mod tests {
    use crate::cpu::Isa;
    use crate::cpu::kernels::quantize::quantize;
    use crate::cpu::kernels::testing;
    use crate::formats::AbsmaxKind;
    use crate::formats::Format;
    use crate::formats::QuantMatrix;
    use crate::formats::Recipe;
    use crate::formats::ScaleRule;
    use crate::reference;
    use crate::shape::BlockSize;
    use crate::shape::MatShape;
    use crate::values::Dtype;
    use crate::values::OwnedValues;
    use crate::values::Values;

    fn searched(isa: Isa, values: Values<'_>, shape: MatShape, format: Format) -> QuantMatrix {
        quantize(isa, values, shape, Recipe { format, scale_rule: ScaleRule::Search }).unwrap()
    }

    /// The squared error of each scale's values, in f64.
    fn errors(matrix: &QuantMatrix, x: &[f32]) -> Vec<f64> {
        let (shape, format) = (matrix.shape(), matrix.format());
        let mut errors = vec![0.0; format.num_scales(shape)];
        for (i, (&x, y)) in x.iter().zip(reference::dequantize(matrix)).enumerate() {
            let error = f64::from(x) - f64::from(y);
            errors[format.scale_index(shape, i / shape.k(), i % shape.k())] += error * error;
        }
        errors
    }

    fn searchable() -> impl Iterator<Item = (Format, MatShape)> {
        let has_search = |format: Format| format.code_bits() == 4 && format != Format::Int4ChannelGroup;
        testing::formats_and_shapes().into_iter().filter(move |&(format, _)| has_search(format))
    }

    fn is_nested(format: Format) -> bool {
        matches!(
            format,
            Format::Nf4 { absmax: AbsmaxKind::Nested, .. } | Format::Fp4 { absmax: AbsmaxKind::Nested, .. }
        )
    }

    #[test]
    fn no_block_is_worse_than_by_absmax() {
        for (format, shape) in searchable().filter(|(format, _)| !is_nested(*format)) {
            for (name, x) in testing::values_that_hurt(shape.num_values(), format) {
                for dtype in [Dtype::F32, Dtype::Bf16] {
                    let values = OwnedValues::from_f32(dtype, &x);
                    let x = values.as_values().to_f32();
                    let plain = errors(&reference::quantize(values.as_values(), shape, format).unwrap(), &x);
                    for isa in Isa::available() {
                        let found = searched(isa, values.as_values(), shape, format);
                        let what = format!("{format} {shape} {dtype} {name} on {}", isa.name());
                        for (i, (new, old)) in errors(&found, &x).into_iter().zip(&plain).enumerate() {
                            // The two may compute the same codes of a short block by a product and a quotient.
                            assert!(new <= old * (1.0 + 1e-6), "{what}: scale {i}: error {new:e}, by absmax {old:e}");
                        }
                        let scales = found.scales().to_f32();
                        let negative = scales.iter().position(|&scale| scale < 0.0);
                        assert_eq!(negative, None, "{what}: negative scale");
                    }
                }
            }
        }
    }

    #[test]
    fn normal_values_come_out_better_by_what_the_search_is_for() {
        let shape = MatShape::new(64, 4096).unwrap();
        for (format, at_most) in testing::formats().into_iter().filter_map(|f| Some((f, expected_gain(f)?))) {
            let (_, x) = testing::values_that_hurt(shape.num_values(), format).swap_remove(0);
            let plain: f64 = errors(&reference::quantize(Values::F32(&x), shape, format).unwrap(), &x).iter().sum();
            for isa in Isa::available() {
                let new: f64 = errors(&searched(isa, Values::F32(&x), shape, format), &x).iter().sum();
                assert!(new / plain < at_most, "{format} on {}: error {:.4} of absmax's", isa.name(), new / plain);
            }
        }
    }

    /// Of the squared error: 0.86 (NF4) and 0.85 (FP4) of absmax's on a small Llama, and a little room.
    fn expected_gain(format: Format) -> Option<f64> {
        match format {
            Format::Nf4 { block_size: BlockSize::B64, .. } => Some(0.88),
            Format::Fp4 { block_size: BlockSize::B64, .. } => Some(0.89),
            _ => None,
        }
    }

    #[test]
    fn decoded_scales_of_blocks_that_are_not_zero_are_positive_and_the_codes_are_for_them() {
        // Blocks of very different magnitude: nesting rounds the small ones to either side of zero.
        let shape = MatShape::new(1, 64 * 1000).unwrap();
        let mut random = testing::Random::new(5);
        let x: Vec<f32> = (0..shape.k()).map(|i| random.normal() * 10f32.powi(-((i / 64 % 7) as i32))).collect();
        for format in testing::formats().into_iter().filter(|&format| is_nested(format)) {
            for isa in Isa::available() {
                let found = searched(isa, Values::F32(&x), shape, format);
                let scales = found.scales().to_f32();
                assert!(scales.iter().all(|&scale| scale > 0.0), "{format} on {}", isa.name());
                // No other code would be nearer.
                for (i, (&x, y)) in x.iter().zip(reference::dequantize(&found)).enumerate() {
                    let scale = scales[format.scale_index(shape, 0, i)];
                    let error = (x - y).abs();
                    for level in format.codebook().unwrap() {
                        let other = (x - level * scale).abs();
                        assert!(error <= other * 1.000_001, "{format}: value {i}: {x:e} as {y:e}, scale {scale:e}");
                    }
                }
            }
        }
    }

    #[test]
    fn zeros_are_quantized_as_by_the_absmax_rule() {
        for (format, shape) in searchable() {
            let x = vec![0.0; shape.num_values()];
            let plain = reference::quantize(Values::F32(&x), shape, format).unwrap();
            for isa in Isa::available() {
                assert_eq!(searched(isa, Values::F32(&x), shape, format), plain, "{format} {shape}");
            }
        }
    }
}
