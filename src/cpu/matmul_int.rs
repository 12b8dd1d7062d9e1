//! Products with activations rounded to i8 codes: LLM.int8(), W4A8 and W4A4.

use crate::cpu::Isa;
use crate::cpu::kernels::gemm::Gemm;
use crate::cpu::kernels::gemm_int8::Codes;
use crate::cpu::kernels::gemm_int8::Columns as EpilogueColumns;
use crate::cpu::kernels::gemm_int8::GroupProduct;
use crate::cpu::kernels::gemm_int8::IntEpilogue;
use crate::cpu::kernels::gemm_int8::Outliers;
use crate::cpu::kernels::gemm_int8::RowProduct;
use crate::cpu::kernels::gemm_int8::zero_point;
use crate::cpu::kernels::gemv::Gemv;
use crate::cpu::kernels::gemv_operands::Bytes;
use crate::cpu::kernels::gemv_operands::Operand;
use crate::cpu::kernels::gemv_x::Source;
use crate::cpu::kernels::gemv_x::StreamX;
use crate::cpu::kernels::layout::Layout;
use crate::cpu::kernels::layout::Word;
use crate::cpu::kernels::output::Output;
use crate::cpu::kernels::panels::CodeRows;
use crate::cpu::kernels::panels::PanelShape;
use crate::cpu::kernels::panels::pack;
use crate::cpu::kernels::quantize_rows::RowScales;
use crate::cpu::kernels::quantize_rows::quantize_rows;
use crate::cpu::kernels::scratch::Lease;
use crate::cpu::matmul::Columns;
use crate::cpu::matmul::Prepared;
use crate::cpu::matmul::float_gemm;
use crate::cpu::matmul::group_len;
use crate::cpu::matmul::scale_stride;
use crate::formats::Format;
use crate::formats::QuantMatrix;
use crate::formats::integer::is_grouped;
use crate::formats::integer::rounding;
use crate::strategy::Strategy;
use crate::values::Values;

/// Scales and zero points by row of W, unless there are groups.
pub(super) fn columns(matrix: &QuantMatrix) -> Option<Columns> {
    if is_grouped(matrix.format()) {
        return None;
    }
    let index = |row| matrix.format().scale_index(matrix.shape(), row, 0);
    let rows = 0..matrix.shape().n();
    Some(Columns {
        scales: rows.clone().map(|row| matrix.scales().get(index(row))).collect(),
        zero_points: rows.map(|row| zero_point(matrix, index(row))).collect(),
    })
}

/// The activations, rounded.
struct Rounded<'a> {
    codes: &'a [i8],
    scales: RowScales,
    /// The sum of each row's codes.
    sums: Vec<i32>,
    max_code: f32,
}

/// x times W; `strategy` is one that the shape has.
pub(super) fn product(isa: Isa, x: Values<'_>, prepared: &Prepared, strategy: Strategy, output: &Output<'_>) {
    let matrix = &**prepared.matrix();
    let k = matrix.shape().k();
    let (max_code, threshold) = rounding(prepared.activations()).expect("activations that are rounded");
    let max_code = f32::from(max_code);
    let mut lease = Lease::new();
    let codes: &mut [i8] = &mut bytemuck::cast_slice_mut(lease.buffers()[0].words(x.len().div_ceil(4)))[..x.len()];
    let scales = quantize_rows(isa, x, k, max_code, threshold, codes);
    let sums = codes.chunks_exact(k).map(|row| row.iter().map(|&c| i32::from(c)).sum()).collect();
    let rounded = Rounded { codes, scales, sums, max_code };
    if strategy == Strategy::DequantizeThenMultiply {
        let floats = rounded.dequantize(x, k);
        return float_gemm(isa, Values::F32(&floats), matrix, strategy, false, output);
    }
    let outliers = outliers(x, matrix, &rounded.scales.outlier_columns);
    // The scale of INT8 is an absmax, that of affine codes a scale.
    let factor = match matrix.format() {
        Format::Int8 { .. } => 1.0 / (127.0 * max_code),
        _ => 1.0 / max_code,
    };
    let columns = prepared.columns().map(|c| EpilogueColumns {
        scales: &c.scales,
        zero_points: &c.zero_points,
        x_sums: &rounded.sums,
    });
    let epilogue = IntEpilogue { x_absmax: &rounded.scales.absmax, columns, factor, outliers: &outliers };
    if strategy == Strategy::Gemv {
        gemv(isa, &rounded, matrix, &epilogue, output);
    } else {
        gemm(isa, &rounded, matrix, &epilogue, output);
    }
}

impl Rounded<'_> {
    /// The values that the codes stand for; in outlier columns x itself.
    fn dequantize(&self, x: Values<'_>, k: usize) -> Vec<f32> {
        let mut values: Vec<f32> = self.codes.iter().map(|&c| f32::from(c)).collect();
        for (m, (row, absmax)) in values.chunks_exact_mut(k).zip(&self.scales.absmax).enumerate() {
            row.iter_mut().for_each(|v| *v *= absmax / self.max_code);
            for &column in &self.scales.outlier_columns {
                row[column] = x.get(m * k + column);
            }
        }
        values
    }
}

/// Gathers the columns of x and W that stay in floating point.
fn outliers(x: Values<'_>, matrix: &QuantMatrix, columns: &[usize]) -> Outliers {
    let (n, k) = (matrix.shape().n(), matrix.shape().k());
    let m = x.len() / k;
    Outliers {
        count: columns.len(),
        x: (0..m).flat_map(|row| columns.iter().map(move |column| x.get(row * k + column))).collect(),
        w: columns.iter().flat_map(|&column| (0..n).map(move |row| matrix.value(row, column))).collect(),
    }
}

fn gemv(isa: Isa, x: &Rounded<'_>, matrix: &QuantMatrix, epilogue: &IntEpilogue<'_>, output: &Output<'_>) {
    let flip = if matches!(matrix.format(), Format::Int8 { .. }) { 0x80 } else { 0 };
    let arguments = (isa, x, matrix, epilogue, output);
    match (matrix.format().code_bits() == 4, is_grouped(matrix.format())) {
        (true, true) => stream(Bytes::<true, true> { flip }, arguments),
        (true, false) => stream(Bytes::<true, false> { flip }, arguments),
        (false, true) => stream(Bytes::<false, true> { flip }, arguments),
        (false, false) => stream(Bytes::<false, false> { flip }, arguments),
    }
}

type Arguments<'a, 'b> = (Isa, &'a Rounded<'b>, &'a QuantMatrix, &'a IntEpilogue<'a>, &'a Output<'a>);

fn stream<O: Operand>(operand: O, (isa, x, matrix, epilogue, output): Arguments<'_, '_>) {
    let mut lease = Lease::new();
    let [words, sums, ..] = lease.buffers();
    let size = (output.m(), matrix.shape().k());
    let scales = (group_len(matrix), scale_stride(matrix));
    let x = StreamX::new::<O>(isa, Source::Codes(x.codes), size, scales, O::SCALED, [words, sums]);
    Gemv { operand, matrix, x: &x, epilogue, output }.run(isa);
}

fn gemm(isa: Isa, x: &Rounded<'_>, matrix: &QuantMatrix, epilogue: &IntEpilogue<'_>, output: &Output<'_>) {
    let word = match matrix.format() {
        // Its codes become bytes before they are multiplied.
        Format::Int4ChannelGroup => Word::Bytes,
        format if format.code_bits() == 4 => Word::SplitBytes,
        _ => Word::Bytes,
    };
    let k = matrix.shape().k();
    let layout = Layout::new(word, k, if is_grouped(matrix.format()) { group_len(matrix) } else { k });
    let shape = PanelShape::new(isa, output.m());
    let mut lease = Lease::new();
    let [panels, sums, ..] = lease.buffers();
    let panels = panels.words(shape.padded() * layout.words);
    pack(isa, shape, &CodeRows(x.codes), &layout, panels);
    let weights = &Codes(matrix);
    if !is_grouped(matrix.format()) {
        let gemm = Gemm { layout: &layout, shape, panels, x_sums: &[], weights, epilogue, output };
        return gemm.run::<RowProduct>(isa);
    }
    let x_sums = sums.ints(layout.segments.len() * shape.padded());
    x_sums.fill(0);
    for (segment, sums) in layout.segments.iter().zip(x_sums.chunks_exact_mut(shape.padded())) {
        for (sum, row) in sums.iter_mut().zip(x.codes.chunks_exact(k)) {
            *sum = row[segment.first..][..segment.len].iter().map(|&c| i32::from(c)).sum();
        }
    }
    let gemm = Gemm { layout: &layout, shape, panels, x_sums, weights, epilogue, output };
    gemm.run::<GroupProduct>(isa);
}
