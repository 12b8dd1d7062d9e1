//! y = x W^T + bias: what is prepared, which kernel is chosen, and the checks on which the kernels rest.

use std::sync::Arc;

use crate::cpu::Isa;
use crate::cpu::kernels::gemm::Epilogue;
use crate::cpu::kernels::gemm::Gemm;
use crate::cpu::kernels::gemm::Product;
use crate::cpu::kernels::gemm::Weights;
use crate::cpu::kernels::gemm_float::AsTheyAre;
use crate::cpu::kernels::gemm_float::Bf16Product;
use crate::cpu::kernels::gemm_float::Decoded;
use crate::cpu::kernels::gemm_float::Dense;
use crate::cpu::kernels::gemm_float::F32Product;
use crate::cpu::kernels::gemm_float::Times;
use crate::cpu::kernels::gemv::Gemv;
use crate::cpu::kernels::gemv_operands::IntegersF32;
use crate::cpu::kernels::gemv_operands::MapF32;
use crate::cpu::kernels::gemv_operands::NibblesBf16;
use crate::cpu::kernels::gemv_operands::NibblesF32;
use crate::cpu::kernels::gemv_operands::Operand;
use crate::cpu::kernels::gemv_x::Source;
use crate::cpu::kernels::gemv_x::StreamX;
use crate::cpu::kernels::gemv_x::lanes_have_one_scale;
use crate::cpu::kernels::layout::Layout;
use crate::cpu::kernels::layout::Word;
use crate::cpu::kernels::output::Output;
use crate::cpu::kernels::panels::FloatRows;
use crate::cpu::kernels::panels::PanelShape;
use crate::cpu::kernels::panels::pack;
use crate::cpu::kernels::scratch::Lease;
use crate::cpu::matmul_int;
use crate::error::Error;
use crate::error::Result;
use crate::formats::Format;
use crate::formats::QuantMatrix;
use crate::formats::Symmetry;
use crate::formats::int8;
use crate::formats::integer;
use crate::shape::MatShape;
use crate::strategy::Activations;
use crate::strategy::Strategy;
use crate::values::Dtype;
use crate::values::Values;
use crate::values::ValuesMut;

/// The most rows of x that [`Strategy::Gemv`] takes. Beyond, the decoding it saves costs less than the reuse it lacks.
pub const GEMV_MAX_ROWS: usize = 16;

/// A weight matrix ready to be multiplied by, and what activations are rounded to.
///
/// The codes stay as they are stored: all kernels read them in that order.
#[derive(Clone, Debug)]
pub struct Prepared {
    matrix: Arc<QuantMatrix>,
    activations: Activations,
    columns: Option<Arc<Columns>>,
}

/// For integer products with one scale per row of W: what belongs to each column of y.
#[derive(Debug)]
pub(super) struct Columns {
    pub scales: Vec<f32>,
    pub zero_points: Vec<i32>,
}

impl Prepared {
    /// The weights.
    pub fn matrix(&self) -> &Arc<QuantMatrix> {
        &self.matrix
    }

    /// What activations are rounded to.
    pub fn activations(&self) -> Activations {
        self.activations
    }

    /// Bytes of the weights and of what is kept beside them.
    pub fn memory_bytes(&self) -> usize {
        self.matrix.storage_bytes() + self.columns.as_ref().map_or(0, |c| 4 * (c.scales.len() + c.zero_points.len()))
    }

    pub(super) fn columns(&self) -> Option<&Columns> {
        self.columns.as_deref()
    }
}

/// Makes `matrix` ready for [`matmul`] with such activations.
///
/// # Errors
/// [`Error::Unsupported`] for integer activations with a format whose codes are not integers, [`Error::Invalid`] for a
/// threshold that is negative or not finite, and for a K at which sums of integers could overflow.
pub fn prepare(matrix: Arc<QuantMatrix>, activations: Activations) -> Result<Prepared> {
    let columns = match activations {
        Activations::Float => None,
        Activations::Int8 { .. } | Activations::Int4 => {
            integer::check(&matrix, activations, "the CPU")?;
            matmul_int::columns(&matrix).map(Arc::new)
        }
    };
    Ok(Prepared { matrix, activations, columns })
}

/// `y[m, n] = sum_k x[m, k] * w[n, k] + bias[n]`, on the threads of the current rayon pool.
///
/// `x` is `[M, K]` and `y` `[M, N]`, both row-major; M follows from their lengths and may be 0. Sums are f32 (with
/// [`Activations::Float`]) or i32. With bf16 x, W is rounded to bf16 where the CPU multiplies bf16. A row of x that holds a
/// NaN or an infinity yields NaNs when activations are rounded.
///
/// # Errors
/// [`Error::Length`] when a length does not fit the matrix, [`Error::Unsupported`] for a strategy that the format or shape
/// does not have; [`Strategy::Auto`], [`Strategy::Fused`] and [`Strategy::DequantizeThenMultiply`] always work.
pub fn matmul(
    isa: Isa,
    x: Values<'_>,
    prepared: &Prepared,
    bias: Option<&[f32]>,
    strategy: Strategy,
    y: ValuesMut<'_>,
) -> Result<()> {
    let shape = prepared.matrix.shape();
    let m = check_lengths(shape, x, bias, &y)?;
    if m == 0 {
        return Ok(());
    }
    let strategy = match strategy {
        Strategy::Auto => choice(prepared, m, x.dtype()),
        Strategy::Gemv => {
            check_gemv(isa, &prepared.matrix, prepared.activations, m)?;
            strategy
        }
        Strategy::Fused | Strategy::DequantizeThenMultiply => strategy,
    };
    let output = Output::new(y, shape.n(), bias);
    match prepared.activations {
        Activations::Float => float(isa, x, &prepared.matrix, strategy, &output),
        Activations::Int8 { .. } | Activations::Int4 => matmul_int::product(isa, x, prepared, strategy, &output),
    }
    Ok(())
}

/// M, when all lengths fit.
fn check_lengths(shape: MatShape, x: Values<'_>, bias: Option<&[f32]>, y: &ValuesMut<'_>) -> Result<usize> {
    let m = x.len() / shape.k();
    let check = |what, expected, found, rule: String| {
        if expected == found { Ok(()) } else { Err(Error::Length { what, expected, found, rule }) }
    };
    check("x", m * shape.k(), x.len(), format!("a multiple of K = {}", shape.k()))?;
    check("y", m * shape.n(), y.len(), format!("M = {m} rows of N = {}", shape.n()))?;
    check("bias", shape.n(), bias.map_or(shape.n(), <[f32]>::len), format!("N = {}", shape.n()))?;
    Ok(m)
}

/// What [`Strategy::Auto`] is for M rows of x of type `x`.
pub fn choice(prepared: &Prepared, m: usize, x: Dtype) -> Strategy {
    plan(&prepared.matrix, prepared.activations, m, x)
}

/// The fastest strategy: never one that [`matmul`] refuses.
pub(super) fn plan(matrix: &QuantMatrix, activations: Activations, m: usize, x: Dtype) -> Strategy {
    // Streaming decodes once per four rows of x; blocks are decoded once, but fill vectors with rows of x. Where they meet was
    // measured at N = K = 4096 on Zen 4 (benches/record).
    let floats = x != Dtype::Bf16 || matrix.format().code_bits() == 8;
    let most = if activations == Activations::Float && floats { 8 } else { GEMV_MAX_ROWS };
    if m <= most && gemv_rule(matrix).is_none() { Strategy::Gemv } else { Strategy::Fused }
}

/// Why [`Strategy::Gemv`] cannot take this matrix; `None` when it can.
fn gemv_rule(matrix: &QuantMatrix) -> Option<String> {
    let (format, k) = (matrix.format(), matrix.shape().k());
    let nibbles = format.code_bits() == 4;
    if format == Format::Int4ChannelGroup {
        return Some("its codes are widened to int8 first".into());
    }
    if nibbles && !k.is_multiple_of(2) {
        return Some(format!("K = {k} is odd, so rows of 4-bit codes begin within bytes"));
    }
    if let Some(block) = format.flat_block().filter(|b| !k.is_multiple_of(b.get())) {
        return Some(format!("K = {k} is not a multiple of block size {}, so blocks straddle rows", block.get()));
    }
    let (group, values) = (group_len(matrix), if nibbles { 8 } else { 4 });
    if !lanes_have_one_scale(k, group, values) {
        return Some(format!("group size {group} is not a multiple of {values}"));
    }
    None
}

fn check_gemv(isa: Isa, matrix: &QuantMatrix, activations: Activations, m: usize) -> Result<()> {
    let rule = match gemv_rule(matrix) {
        None if m <= GEMV_MAX_ROWS => return Ok(()),
        None => format!("M = {m} is above {GEMV_MAX_ROWS}"),
        Some(rule) => rule,
    };
    let subject = format!("{} {} and {activations}", matrix.format(), matrix.shape());
    Err(Error::Unsupported {
        op: "strategy gemv",
        subject,
        device: isa.name().into(),
        rule: format!("{rule}; use fused or dequantize-then-multiply"),
    })
}

/// Values of a row that share a scale, where blocks do not straddle rows.
pub(super) fn group_len(matrix: &QuantMatrix) -> usize {
    let (format, shape) = (matrix.format(), matrix.shape());
    match (format.flat_block(), format.granularity()) {
        (Some(block), _) => block.get(),
        (None, Some(granularity)) => granularity.group_len(shape),
        (None, None) => shape.k(),
    }
}

/// Scales from one row to the next.
pub(super) fn scale_stride(matrix: &QuantMatrix) -> usize {
    let (format, shape) = (matrix.format(), matrix.shape());
    format.scale_index(shape, 1, 0) - format.scale_index(shape, 0, 0)
}

fn float(isa: Isa, x: Values<'_>, matrix: &QuantMatrix, strategy: Strategy, output: &Output<'_>) {
    let pairs = x.dtype() == Dtype::Bf16 && isa.multiplies_bf16();
    if strategy != Strategy::Gemv {
        return float_gemm(isa, x, matrix, strategy, pairs, output);
    }
    if matrix.format().code_bits() == 8 {
        return float_gemv8(isa, x, matrix, output);
    }
    // A zero point that all codes share is part of the codebook; others are subtracted afterwards.
    let (mut codebook, asymmetric) = match matrix.format() {
        Format::Int4 { symmetry, .. } => (std::array::from_fn(|c| c as f32), symmetry == Symmetry::Asymmetric),
        format => (format.codebook().expect("gemv_rule: 4-bit codes"), false),
    };
    if let Some(point) = matrix.format().fixed_zero_point() {
        codebook = codebook.map(|v| v - f32::from(point));
    }
    if pairs {
        float_gemv(isa, x, matrix, NibblesBf16(&codebook), asymmetric, &AsTheyAre, output);
    } else {
        float_gemv(isa, x, matrix, NibblesF32(&codebook), asymmetric, &AsTheyAre, output);
    }
}

/// [`Strategy::Gemv`] with 8-bit codes.
fn float_gemv8(isa: Isa, x: Values<'_>, matrix: &QuantMatrix, output: &Output<'_>) {
    match matrix.format() {
        Format::Int8 { .. } => {
            let epilogue = Times(int8::INV_127);
            float_gemv(isa, x, matrix, IntegersF32::<true> { flip: 0 }, false, &epilogue, output);
        }
        Format::AffineInt8 { symmetry: Symmetry::Symmetric, .. } => {
            // By one, so that it is the code of INT8.
            float_gemv(isa, x, matrix, IntegersF32::<true> { flip: 0x80 }, false, &Times(1.0), output);
        }
        Format::AffineInt8 { .. } => {
            float_gemv(isa, x, matrix, IntegersF32::<false> { flip: 0 }, true, &AsTheyAre, output);
        }
        _ => float_gemv(isa, x, matrix, MapF32(matrix.map()), false, &AsTheyAre, output),
    }
}

fn float_gemv<O: Operand, E: Epilogue>(
    isa: Isa,
    x: Values<'_>,
    matrix: &QuantMatrix,
    operand: O,
    asymmetric: bool,
    epilogue: &E,
    output: &Output<'_>,
) {
    let mut lease = Lease::new();
    let [words, sums, ..] = lease.buffers();
    let size = (output.m(), matrix.shape().k());
    let scales = (group_len(matrix), scale_stride(matrix));
    let x = StreamX::new::<O>(isa, Source::Floats(x), size, scales, asymmetric, [words, sums]);
    Gemv { operand, matrix, x: &x, epilogue, output }.run(isa);
}

/// x times W as floats; `pairs`: as bf16.
pub(super) fn float_gemm(
    isa: Isa,
    x: Values<'_>,
    matrix: &QuantMatrix,
    strategy: Strategy,
    pairs: bool,
    output: &Output<'_>,
) {
    let (word, k) = (if pairs { Word::Bf16Pair } else { Word::F32 }, matrix.shape().k());
    let layout = Layout::new(word, k, k);
    let shape = PanelShape::new(isa, output.m());
    let mut lease = Lease::new();
    let [panels, dense, ..] = lease.buffers();
    let panels = panels.words(shape.padded() * layout.words);
    pack(isa, shape, &FloatRows(x), &layout, panels);
    let product = FloatGemm { isa, layout: &layout, shape, panels, output };
    if strategy == Strategy::DequantizeThenMultiply {
        let dense = dense.words(matrix.shape().n() * layout.words);
        product.run(&Dense::decode(isa, matrix, &layout, dense));
    } else {
        product.run(&Decoded { matrix, word });
    }
}

struct FloatGemm<'a> {
    isa: Isa,
    layout: &'a Layout,
    shape: PanelShape,
    panels: &'a [u32],
    output: &'a Output<'a>,
}

impl FloatGemm<'_> {
    fn run<W: Weights>(&self, weights: &W) {
        match self.layout.word {
            Word::Bf16Pair => self.run_as::<Bf16Product, W>(weights),
            _ => self.run_as::<F32Product, W>(weights),
        }
    }

    fn run_as<P: Product, W: Weights>(&self, weights: &W) {
        let Self { layout, shape, panels, output, .. } = *self;
        let gemm = Gemm { layout, shape, panels, x_sums: &[], weights, epilogue: &AsTheyAre, output };
        gemm.run::<P>(self.isa);
    }
}
