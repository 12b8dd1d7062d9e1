//! INT8 and the affine integers: scales of rows, groups or the whole matrix, from the range of their values.
//!
//! One pass over a run of values finds its range, a second its codes, one byte each; 4-bit codes are packed afterwards from
//! a small buffer, so that runs may begin and end in the middle of a byte.

use crate::cpu::kernels::code_writer::CodeWriter;
use crate::cpu::kernels::runs::Runs;
use crate::cpu::kernels::scale_search;
use crate::cpu::kernels::source::MAX_LANES;
use crate::cpu::kernels::source::Source;
use crate::cpu::kernels::tasks::Task;
use crate::cpu::simd::Simd;
use crate::formats::Format;
use crate::formats::ScaleRule;
use crate::formats::Symmetry;

/// The smallest and largest value of a run, zero included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    pub lo: f32,
    pub hi: f32,
    /// Whether no value is a NaN or an infinity; if one is, the bounds mean nothing.
    pub finite: bool,
}

impl Range {
    pub const ZERO: Self = Self { lo: 0.0, hi: 0.0, finite: true };

    pub fn join(self, other: Self) -> Self {
        Self { lo: self.lo.min(other.lo), hi: self.hi.max(other.hi), finite: self.finite && other.finite }
    }

    /// The range of `values`.
    #[inline(always)]
    pub fn of<S: Simd, E: Source>(simd: S, values: &[E]) -> Self {
        let zero = simd.splat(0.0);
        let (mut lo, mut hi, mut poison) = (zero, zero, zero);
        let mut vectors = values.chunks_exact(S::LANES);
        for vector in &mut vectors {
            let x = E::load(simd, vector);
            lo = simd.min(x, lo);
            hi = simd.max(x, hi);
            // Zero for ever, unless x is not finite.
            poison = simd.mul_add(x, zero, poison);
        }
        let (mut los, mut his) = ([0.0f32; MAX_LANES], [0.0f32; MAX_LANES]);
        simd.store(lo, &mut los);
        simd.store(hi, &mut his);
        let mut range = Self { lo: 0.0, hi: 0.0, finite: simd.reduce_add(poison) == 0.0 };
        for i in 0..S::LANES {
            range = range.join(Self { lo: los[i], hi: his[i], finite: true });
        }
        for value in vectors.remainder() {
            let x = value.to_f32();
            range = range.join(Self { lo: x, hi: x, finite: x.is_finite() });
        }
        range
    }
}

/// A scale as it is stored, and the zero point beside it (0 for [`Format::Int8`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Params {
    pub scale: f32,
    pub zero_point: u8,
}

/// How ranges become scales and values become codes.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    /// `round(x * ((1 / absmax) * 127))`, two's complement.
    Absmax,
    /// `clamp(round(x / scale) + zero_point)` with codes from `lowest` to `top`, 15 or 255.
    Affine { symmetry: Symmetry, lowest: u8, top: u8 },
}

impl Rule {
    /// The rule of a format whose scales belong to rows.
    fn of(format: Format, scale_rule: ScaleRule) -> Self {
        let affine = |symmetry, top| match (symmetry, scale_rule) {
            // Under a searched scale the largest magnitude may be out of reach: the lowest code is worth having.
            (Symmetry::Symmetric, ScaleRule::Absmax) => Self::Affine { symmetry, lowest: 1, top },
            _ => Self::Affine { symmetry, lowest: 0, top },
        };
        match format {
            Format::Int4 { symmetry, .. } => affine(symmetry, 15),
            Format::AffineInt8 { symmetry, .. } => affine(symmetry, 255),
            Format::Int8 { .. }
            | Format::Nf4 { .. }
            | Format::Fp4 { .. }
            | Format::Dynamic8 { .. }
            | Format::Int4ChannelGroup => Self::Absmax,
        }
    }

    /// The scale and zero point for values of a range.
    #[inline(always)]
    pub fn params(self, Range { lo, hi, .. }: Range) -> Params {
        match self {
            Self::Absmax => Params { scale: hi.max(-lo), zero_point: 0 },
            Self::Affine { symmetry: Symmetry::Symmetric, top, .. } => {
                Params { scale: hi.max(-lo) / f32::from(top / 2), zero_point: top / 2 + 1 }
            }
            Self::Affine { symmetry: Symmetry::Asymmetric, top, .. } => {
                let scale = (hi - lo) / f32::from(top);
                // Dividing denormals can overshoot.
                let zero_point = (-lo / scale).round_ties_even().min(f32::from(top)) as u8;
                Params { scale, zero_point }
            }
        }
    }

    /// The codes of `values`, one byte each.
    #[inline(always)]
    pub fn encode<S: Simd, E: Source>(self, simd: S, params: Params, values: &[E], codes: &mut [u8]) {
        match self {
            Self::Absmax => {
                let factor = (1.0 / params.scale) * 127.0;
                if factor.is_finite() {
                    each_vector(simd, Scale(simd.splat(factor)), values, codes);
                } else {
                    // A row of zeros, or of magnitudes whose reciprocal overflows: 0 * inf is a NaN, whose code is 0.
                    for (value, code) in values.iter().zip(codes) {
                        *code = (value.to_f32() * factor).clamp(-127.0, 127.0) as i8 as u8;
                    }
                }
            }
            Self::Affine { lowest, top, .. } => {
                let zero_point = i32::from(params.zero_point);
                let encoder = Divide {
                    // A scale of zero: every quotient by infinity is the zero it should be.
                    scale: simd.splat(if params.scale == 0.0 { f32::INFINITY } else { params.scale }),
                    zero_point: simd.splat_i(zero_point),
                    lowest: simd.splat_i(i32::from(lowest)),
                    highest: simd.splat_i(i32::from(top)),
                };
                each_vector(simd, encoder, values, codes);
            }
        }
    }
}

/// A vector of values to a vector of codes.
trait Encoder<S: Simd>: Copy {
    fn codes(self, simd: S, x: S::F) -> S::I;
}

struct Scale<S: Simd>(S::F);

impl<S: Simd> Clone for Scale<S> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}
impl<S: Simd> Copy for Scale<S> {}

impl<S: Simd> Encoder<S> for Scale<S> {
    #[inline(always)]
    fn codes(self, simd: S, x: S::F) -> S::I {
        // At most 127 and three roundings: no clamp is needed.
        simd.round_i(simd.mul(x, self.0))
    }
}

struct Divide<S: Simd> {
    scale: S::F,
    zero_point: S::I,
    lowest: S::I,
    highest: S::I,
}

impl<S: Simd> Clone for Divide<S> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}
impl<S: Simd> Copy for Divide<S> {}

impl<S: Simd> Encoder<S> for Divide<S> {
    #[inline(always)]
    fn codes(self, simd: S, x: S::F) -> S::I {
        let quotient = simd.round_i(simd.div(x, self.scale));
        let code = simd.add_i(quotient, self.zero_point);
        simd.min_i(simd.max_i(code, self.lowest), self.highest)
    }
}

#[inline(always)]
fn each_vector<S: Simd, E: Source, C: Encoder<S>>(simd: S, encoder: C, values: &[E], codes: &mut [u8]) {
    let whole = values.len() / S::LANES * S::LANES;
    for (values, codes) in values.chunks_exact(S::LANES).zip(codes.chunks_exact_mut(S::LANES)) {
        simd.store_bytes(encoder.codes(simd, E::load(simd, values)), codes);
    }
    if whole < values.len() {
        let rest = values.len() - whole;
        let (mut padded, mut bytes) = ([E::default(); MAX_LANES], [0; MAX_LANES]);
        padded[..rest].copy_from_slice(&values[whole..]);
        simd.store_bytes(encoder.codes(simd, E::load(simd, &padded)), &mut bytes);
        codes[whole..].copy_from_slice(&bytes[..rest]);
    }
}

/// Where the scale and zero point of a run come from.
#[derive(Clone, Copy, Debug)]
pub struct ParamsFrom {
    /// The range of its values, or a search; the latter for INT4.
    pub scale_rule: ScaleRule,
    /// Known beforehand, by that rule.
    pub given: Option<Params>,
}

/// Quantizes whole rows of `k` values, or any values that share given parameters: codes, and a scale and zero point per run
/// unless given. Returns whether all values are finite; if not, the output means nothing.
#[inline(always)]
pub fn quantize<S: Simd, E: Source>(simd: S, format: Format, k: usize, from: ParamsFrom, task: Task<'_, E>) -> bool {
    let rule = Rule::of(format, from.scale_rule);
    let mut writer = CodeWriter::new(format, task.codes);
    let mut finite = true;
    if let Some(params) = from.given {
        writer.encode(simd, rule, params, task.values);
    } else {
        for run in Runs::of_rows(format, k, task.values.len()) {
            let values = &task.values[run.start..run.start + run.len];
            let range = Range::of(simd, values);
            finite &= range.finite;
            let params = params(simd, format, from.scale_rule, values, range);
            (task.scales[run.scale], task.zero_points[run.scale]) = (params.scale, params.zero_point);
            writer.encode(simd, rule, params, values);
        }
    }
    writer.finish(simd);
    finite
}

/// The parameters of `values`, whose range is known.
#[inline(always)]
pub fn params<S: Simd, E: Source>(
    simd: S,
    format: Format,
    scale_rule: ScaleRule,
    values: &[E],
    range: Range,
) -> Params {
    let rule = Rule::of(format, scale_rule).params(range);
    match (scale_rule, format) {
        (ScaleRule::Search, Format::Int4 { symmetry, .. }) => {
            scale_search::int4_params(simd, symmetry, values, range, rule)
        }
        _ => rule,
    }
}
