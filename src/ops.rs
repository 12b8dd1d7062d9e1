//! The choice: which backend does what. One match per operation; anything else is [`Error::Unsupported`].

use std::sync::Arc;

use crate::cpu;
use crate::device::Device;
use crate::error::Error;
use crate::error::Result;
use crate::formats::QuantMatrix;
use crate::formats::Recipe;
use crate::shape::BlockSize;
use crate::shape::MatShape;
use crate::strategy::Activations;
use crate::strategy::QuantizedRows;
use crate::strategy::Strategy;
use crate::tensor::Tensor;
use crate::values::Values;
use crate::values::ValuesMut;

/// Quantizes `values` (row-major, `shape`) as `recipe` says.
///
/// # Errors
/// [`Error::Length`] when `values` does not have `shape`, [`Error::NonFinite`] for a NaN or infinity,
/// [`Error::Unsupported`] for a recipe the device does not have.
pub fn quantize(
    values: Values<'_>,
    shape: MatShape,
    recipe: impl Into<Recipe>,
    device: &Device,
) -> Result<QuantMatrix> {
    match device {
        Device::Cpu(isa) => cpu::quantize(*isa, values, shape, recipe.into()),
    }
}

/// Quantizes a slice to 8 bits, blockwise, with an ascending map of the caller's own: the codes and the absmax values.
///
/// # Errors
/// [`Error::NonFinite`] for a NaN or infinity, [`Error::Invalid`] when the map does not ascend.
pub fn quantize_blockwise(
    values: Values<'_>,
    map: &[f32; 256],
    block_size: BlockSize,
    device: &Device,
) -> Result<(Vec<u8>, Vec<f32>)> {
    match device {
        Device::Cpu(_) => cpu::quantize_blockwise(values, map, block_size),
    }
}

/// Quantizes rows of activations to i8, leaving outliers out: see [`QuantizedRows`].
///
/// # Errors
/// [`Error::Length`] when `values` is not whole rows of `columns`.
pub fn quantize_rows(values: Values<'_>, columns: usize, threshold: f32, device: &Device) -> Result<QuantizedRows> {
    if columns == 0 || !values.len().is_multiple_of(columns) {
        let rule = format!("whole rows of {columns}");
        let expected = values.len().checked_div(columns).unwrap_or(0) * columns;
        return Err(Error::Length { what: "activations", expected, found: values.len(), rule });
    }
    match device {
        Device::Cpu(isa) => {
            let mut codes = vec![0; values.len()];
            let scales = cpu::quantize_rows(*isa, values, columns, 127.0, threshold, &mut codes);
            Ok(QuantizedRows { codes, absmax: scales.absmax, outlier_columns: scales.outlier_columns })
        }
    }
}

/// Writes every value of `matrix`, computed in f32 and rounded once to the type of `out`.
///
/// # Errors
/// [`Error::Length`] when `out` does not have N·K elements.
pub fn dequantize(matrix: &QuantMatrix, out: ValuesMut<'_>, device: &Device) -> Result<()> {
    match device {
        Device::Cpu(isa) => cpu::dequantize_into(*isa, matrix, out),
    }
}

/// Writes the values `first .. first + out.len()` of the flattened matrix in f32, in this thread: for going over a matrix
/// piece by piece, without holding all its values.
///
/// # Panics
/// When the range is not within the matrix.
pub fn dequantize_range(matrix: &QuantMatrix, first: usize, out: &mut [f32], device: &Device) {
    match device {
        Device::Cpu(isa) => cpu::dequantize_range(*isa, matrix, first, out),
    }
}

/// A matrix made ready to be multiplied on one device, with what its activations are rounded to.
#[derive(Clone, Debug)]
pub struct Prepared {
    device: Device,
    weights: cpu::Prepared,
}

/// Makes `matrix` ready to be multiplied on `device`.
///
/// # Errors
/// [`Error::Unsupported`] when the device cannot multiply this format with these activations.
pub fn prepare(matrix: Arc<QuantMatrix>, activations: Activations, device: &Device) -> Result<Prepared> {
    match device {
        Device::Cpu(_) => Ok(Prepared { device: *device, weights: cpu::prepare(matrix, activations)? }),
    }
}

impl Prepared {
    /// Where it lives.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The weights in the format they were stored in.
    pub fn matrix(&self) -> &Arc<QuantMatrix> {
        self.weights.matrix()
    }

    /// What activations are rounded to.
    pub fn activations(&self) -> Activations {
        self.weights.activations()
    }

    /// Bytes of memory it holds: codes, scales, and what preparing added.
    pub fn memory_bytes(&self) -> usize {
        self.weights.memory_bytes()
    }
}

/// y = x · Wᵀ + bias: `x` [.., K], result [.., N] in the type of `x`.
///
/// # Errors
/// Those of [`matmul_into`].
pub fn matmul(x: &Tensor, weights: &Prepared, bias: Option<&[f32]>, strategy: Strategy) -> Result<Tensor> {
    let mut y = Tensor::zeros(x.dtype(), &output_shape(x, weights)?)?;
    matmul_into(x, weights, bias, strategy, &mut y)?;
    Ok(y)
}

/// [`matmul`] into a tensor that is there: `y` [.., N], of any type.
///
/// # Errors
/// [`Error::Shape`] when the last dimension of `x` is not K or `y` is not [.., N]; [`Error::Length`] when `bias` does not
/// have N elements; [`Error::Unsupported`] when the format or shape does not have `strategy`.
pub fn matmul_into(
    x: &Tensor,
    weights: &Prepared,
    bias: Option<&[f32]>,
    strategy: Strategy,
    y: &mut Tensor,
) -> Result<()> {
    let expected = output_shape(x, weights)?;
    if y.shape() != expected {
        return Err(Error::Shape { what: "output", expected, found: y.shape().to_vec() });
    }
    match weights.device {
        Device::Cpu(isa) => cpu::matmul(isa, x.values(), &weights.weights, bias, strategy, y.values_mut()),
    }
}

/// The shape of `x` with its last dimension, which must be K, replaced by N.
fn output_shape(x: &Tensor, weights: &Prepared) -> Result<Vec<usize>> {
    let shape = weights.matrix().shape();
    match x.shape().split_last() {
        Some((&k, rows)) if k == shape.k() => Ok(rows.iter().copied().chain([shape.n()]).collect()),
        _ => {
            let mut expected = x.shape().to_vec();
            expected.pop();
            expected.push(shape.k());
            Err(Error::Shape { what: "activations [.., K]", expected, found: x.shape().to_vec() })
        }
    }
}
