//! Quantizing under the names that bitsandbytes users know, on slices of any length.
//!
//! The results are [`QuantMatrix`] values of one row, so blocks run over the whole slice as they do in bitsandbytes.

use crate::device::Device;
use crate::error::Result;
use crate::formats::AbsmaxKind;
use crate::formats::Format;
use crate::formats::Parts;
use crate::formats::QuantMatrix;
use crate::formats::Scales;
use crate::ops;
use crate::shape::BlockSize;
use crate::shape::MatShape;
use crate::strategy::QuantizedRows;
use crate::values::Values;
use crate::values::ValuesMut;

/// Which 4-bit codebook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QuantType {
    /// 4-bit NormalFloat.
    Nf4,
    /// bitsandbytes' FP4.
    Fp4,
}

/// Whether the absmax values are themselves quantized (double quantization).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompressStatistics {
    /// f32 absmax.
    No,
    /// 8-bit absmax with its own absmax and offset.
    Yes,
}

/// Quantizes `values` to 4 bits: bitsandbytes' `quantize_4bit`, bit for bit.
///
/// # Errors
/// [`Error::Empty`](crate::Error::Empty) for an empty slice, [`Error::NonFinite`](crate::Error::NonFinite) for a NaN or
/// infinity.
pub fn quantize_4bit(
    values: Values<'_>,
    block_size: BlockSize,
    compress_statistics: CompressStatistics,
    quant_type: QuantType,
    device: &Device,
) -> Result<QuantMatrix> {
    let absmax = match compress_statistics {
        CompressStatistics::No => AbsmaxKind::F32,
        CompressStatistics::Yes => AbsmaxKind::Nested,
    };
    let format = match quant_type {
        QuantType::Nf4 => Format::Nf4 { block_size, absmax },
        QuantType::Fp4 => Format::Fp4 { block_size, absmax },
    };
    ops::quantize(values, MatShape::new(1, values.len())?, format, device)
}

/// [`quantize_4bit`] to NF4.
///
/// # Errors
/// As there.
pub fn quantize_nf4(
    values: Values<'_>,
    block_size: BlockSize,
    compress_statistics: CompressStatistics,
    device: &Device,
) -> Result<QuantMatrix> {
    quantize_4bit(values, block_size, compress_statistics, QuantType::Nf4, device)
}

/// [`quantize_4bit`] to FP4.
///
/// # Errors
/// As there.
pub fn quantize_fp4(
    values: Values<'_>,
    block_size: BlockSize,
    compress_statistics: CompressStatistics,
    device: &Device,
) -> Result<QuantMatrix> {
    quantize_4bit(values, block_size, compress_statistics, QuantType::Fp4, device)
}

/// The values of `matrix`, whatever its format, in the type of `out`: computed in f32, then rounded once.
///
/// # Errors
/// [`Error::Length`](crate::Error::Length) when `out` does not have N·K elements.
pub fn dequantize_4bit(matrix: &QuantMatrix, out: ValuesMut<'_>, device: &Device) -> Result<()> {
    ops::dequantize(matrix, out, device)
}

/// Quantizes `values` to 8 bits with a 256-entry ascending map, bitsandbytes' signed dynamic map unless another is given:
/// `quantize_blockwise`, by its portable and CUDA rule (nearest, a tie goes down).
///
/// # Errors
/// Those of [`quantize_4bit`]; [`Error::Invalid`](crate::Error::Invalid) when the map does not ascend.
pub fn quantize_blockwise(
    values: Values<'_>,
    map: Option<&[f32; 256]>,
    block_size: BlockSize,
    device: &Device,
) -> Result<QuantMatrix> {
    let shape = MatShape::new(1, values.len())?;
    let format = Format::Dynamic8 { block_size };
    let Some(map) = map else {
        return ops::quantize(values, shape, format, device);
    };
    let (codes, absmax) = ops::quantize_blockwise(values, map, block_size, device)?;
    let parts = Parts { codes, scales: Scales::F32(absmax), zero_points: None, map: Some(Box::new(*map)), steps: None };
    QuantMatrix::from_parts(format, shape, values.dtype(), parts)
}

/// The values of a matrix made by [`quantize_blockwise`].
///
/// # Errors
/// As [`dequantize_4bit`].
pub fn dequantize_blockwise(matrix: &QuantMatrix, out: ValuesMut<'_>, device: &Device) -> Result<()> {
    ops::dequantize(matrix, out, device)
}

/// Quantizes each row of `values` ([rows, `columns`]) to i8 by its absmax: bitsandbytes' `int8_vectorwise_quant`, the
/// activations of LLM.int8(). Elements of magnitude `threshold` or more do not count for the absmax and their columns
/// become zero; 0 turns that off.
///
/// # Errors
/// [`Error::Length`](crate::Error::Length) when `values` is not whole rows.
pub fn int8_vectorwise_quant(
    values: Values<'_>,
    columns: usize,
    threshold: f32,
    device: &Device,
) -> Result<QuantizedRows> {
    ops::quantize_rows(values, columns, threshold, device)
}
