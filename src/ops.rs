//! The choice: which backend does what. One match per operation; anything else is [`Error::Unsupported`].

use std::sync::Arc;

use crate::cpu;
use crate::cpu::Isa;
use crate::cuda;
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
use crate::values::Dtype;
use crate::values::Values;
use crate::values::ValuesMut;

/// Quantizes `values` (row-major, `shape`) as `recipe` says.
///
/// A GPU quantizes what it has a kernel for; the CPU does the rest, with the same result.
///
/// # Errors
/// [`Error::Length`] when `values` does not have `shape`, [`Error::NonFinite`] for a NaN or infinity,
/// [`Error::Unsupported`] for a recipe that does not exist.
pub fn quantize(
    values: Values<'_>,
    shape: MatShape,
    recipe: impl Into<Recipe>,
    device: &Device,
) -> Result<QuantMatrix> {
    let recipe = recipe.into();
    match device {
        Device::Cpu(isa) => cpu::quantize(*isa, values, shape, recipe),
        Device::Cuda(device) if cuda::quantizes(recipe) => {
            check_len("weight", shape.num_values(), values.len(), || format!("shape {shape}"))?;
            let dtype = values.dtype();
            let values = cuda::DeviceBuffer::upload(device, values.as_bytes())?;
            cuda::quantize(&values, dtype, shape, recipe)
        }
        Device::Cuda(_) => cpu::quantize(Isa::best(), values, shape, recipe),
    }
}

/// [`quantize`] of a weight matrix [out, in], wherever it is; the work is done on `device`.
///
/// # Errors
/// Those of [`quantize`]; [`Error::Shape`] unless it has two dimensions.
pub fn quantize_tensor(weight: &Tensor, recipe: impl Into<Recipe>, device: &Device) -> Result<QuantMatrix> {
    let (shape, recipe) = (weight.mat_shape()?, recipe.into());
    match device {
        Device::Cuda(_) if cuda::quantizes(recipe) => {
            let weight = weight.to(device)?;
            let buffer = weight.device_buffer().expect("a tensor on a GPU");
            cuda::quantize(buffer, weight.dtype(), shape, recipe)
        }
        _ => quantize(weight.to(&Device::cpu())?.values()?, shape, recipe, device),
    }
}

/// Quantizes a slice to 8 bits, blockwise, with an ascending map of the caller's own: the codes and the absmax values. The
/// CPU's work on every device.
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
        Device::Cpu(_) | Device::Cuda(_) => cpu::quantize_blockwise(values, map, block_size),
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
        Device::Cuda(device) => cuda::quantize_rows(device, values, columns, threshold),
    }
}

/// Writes every value of `matrix`, computed in f32 and rounded once to the type of `out`.
///
/// # Errors
/// [`Error::Length`] when `out` does not have N·K elements.
pub fn dequantize(matrix: &QuantMatrix, mut out: ValuesMut<'_>, device: &Device) -> Result<()> {
    match device {
        Device::Cpu(isa) => cpu::dequantize_into(*isa, matrix, out),
        Device::Cuda(device) => {
            let shape = matrix.shape();
            check_len("output", shape.num_values(), out.len(), || format!("shape {shape}"))?;
            let prepared = cuda::Prepared::new(device, matrix.clone().into(), None, Activations::Float)?;
            prepared.dequantize(out.dtype())?.download(out.as_bytes_mut())
        }
    }
}

/// Writes the values `first .. first + out.len()` of the flattened matrix in f32, in this thread: for going over a matrix
/// piece by piece, without holding all its values. The CPU's work on every device.
///
/// # Panics
/// When the range is not within the matrix.
pub fn dequantize_range(matrix: &QuantMatrix, first: usize, out: &mut [f32], device: &Device) {
    let isa = match device {
        Device::Cpu(isa) => *isa,
        Device::Cuda(_) => Isa::best(),
    };
    cpu::dequantize_range(isa, matrix, first, out);
}

/// A matrix and bias made ready to be multiplied on one device, with what its activations are rounded to.
#[derive(Clone, Debug)]
pub struct Prepared {
    backend: Backend,
}

#[derive(Clone, Debug)]
enum Backend {
    Cpu { device: Device, isa: Isa, weights: cpu::Prepared, bias: Option<Arc<[f32]>> },
    Cuda { device: Device, weights: cuda::Prepared },
}

/// Makes `matrix` and `bias` \[N\] ready to be multiplied on `device`.
///
/// # Errors
/// [`Error::Length`] when `bias` does not have N elements; [`Error::Unsupported`] when the device cannot multiply this format
/// with these activations.
pub fn prepare(
    matrix: Arc<QuantMatrix>,
    bias: Option<&[f32]>,
    activations: Activations,
    device: &Device,
) -> Result<Prepared> {
    let n = matrix.shape().n();
    check_len("bias", n, bias.map_or(n, <[f32]>::len), || format!("N = {n}"))?;
    let backend = match device {
        Device::Cpu(isa) => Backend::Cpu {
            device: device.clone(),
            isa: *isa,
            weights: cpu::prepare(matrix, activations)?,
            bias: bias.map(Arc::from),
        },
        Device::Cuda(cuda) => {
            Backend::Cuda { device: device.clone(), weights: cuda::Prepared::new(cuda, matrix, bias, activations)? }
        }
    };
    Ok(Prepared { backend })
}

impl Prepared {
    /// Where it lives.
    pub fn device(&self) -> &Device {
        match &self.backend {
            Backend::Cpu { device, .. } | Backend::Cuda { device, .. } => device,
        }
    }

    /// The weights in the format they were stored in, in host memory.
    pub fn matrix(&self) -> &Arc<QuantMatrix> {
        match &self.backend {
            Backend::Cpu { weights, .. } => weights.matrix(),
            Backend::Cuda { weights, .. } => weights.matrix(),
        }
    }

    /// What activations are rounded to.
    pub fn activations(&self) -> Activations {
        match &self.backend {
            Backend::Cpu { weights, .. } => weights.activations(),
            Backend::Cuda { weights, .. } => weights.activations(),
        }
    }

    /// Bytes of its device's memory that it holds: codes, scales, bias, and what preparing added.
    pub fn memory_bytes(&self) -> usize {
        match &self.backend {
            Backend::Cpu { weights, bias, .. } => {
                weights.memory_bytes() + bias.as_ref().map_or(0, |bias| 4 * bias.len())
            }
            Backend::Cuda { weights, .. } => weights.memory_bytes(),
        }
    }

    /// The strategy that [`Strategy::Auto`] is for M rows of x of `dtype`.
    ///
    /// # Errors
    /// The driver's.
    pub fn choice(&self, m: usize, dtype: Dtype) -> Result<Strategy> {
        match &self.backend {
            Backend::Cpu { weights, .. } => Ok(cpu::choice(weights, m, dtype)),
            Backend::Cuda { weights, .. } => weights.choice(m, dtype),
        }
    }

    /// The weights as they are multiplied, [N, K], on its device.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when they do not fit the address space; out of memory.
    pub fn dequantize(&self, dtype: Dtype) -> Result<Tensor> {
        let shape = self.matrix().shape();
        let dims = [shape.n(), shape.k()];
        match &self.backend {
            Backend::Cpu { isa, weights, .. } => {
                let mut out = Tensor::zeros(dtype, &dims)?;
                cpu::dequantize_into(*isa, weights.matrix(), out.values_mut()?)?;
                Ok(out)
            }
            Backend::Cuda { weights, .. } => Tensor::from_device_buffer(weights.dequantize(dtype)?, dtype, &dims),
        }
    }
}

/// y = x · Wᵀ + bias: `x` [.., K] on the device of the weights, result [.., N] there, in the type of `x`.
///
/// A NaN or an infinity in a row of x leaves no finite value in that row of y (rounded activations: NaNs) and touches no other
/// row. What is too large for the type of y is infinite.
///
/// # Errors
/// Those of [`matmul_into`].
pub fn matmul(x: &Tensor, weights: &Prepared, strategy: Strategy) -> Result<Tensor> {
    let shape = output_shape(x, weights)?;
    let mut y = match &weights.backend {
        Backend::Cpu { .. } => Tensor::zeros(x.dtype(), &shape)?,
        Backend::Cuda { weights, .. } => {
            let buffer = weights.output(x.dtype(), shape.iter().product())?;
            Tensor::from_device_buffer(buffer, x.dtype(), &shape)?
        }
    };
    matmul_into(x, weights, strategy, &mut y)?;
    Ok(y)
}

/// [`matmul`] into a tensor that is there: `y` [.., N], of any type on the CPU, of the type of `x` on a GPU.
///
/// # Errors
/// [`Error::Shape`] when the last dimension of `x` is not K or `y` is not [.., N]; [`Error::WrongDevice`] when `x` or `y` is
/// not where the weights are; [`Error::Unsupported`] when the device, format or shape does not have `strategy`.
pub fn matmul_into(x: &Tensor, weights: &Prepared, strategy: Strategy, y: &mut Tensor) -> Result<()> {
    let expected = output_shape(x, weights)?;
    if y.shape() != expected {
        return Err(Error::Shape { what: "output", expected, found: y.shape().to_vec() });
    }
    match &weights.backend {
        Backend::Cpu { isa, weights, bias, .. } => {
            cpu::matmul(*isa, x.values()?, weights, bias.as_deref(), strategy, y.values_mut()?)
        }
        Backend::Cuda { device, weights } => {
            let (x_dtype, y_dtype) = (x.dtype(), y.dtype());
            let elsewhere = |what, tensor: &Tensor| Error::WrongDevice {
                what,
                expected: device.name().into(),
                found: tensor.device().name().into(),
            };
            if y.device() != *device {
                return Err(elsewhere("output", y));
            }
            if x.device() != *device {
                return Err(elsewhere("activations", x));
            }
            let (Some(x), Some(y)) = (x.device_buffer(), y.device_buffer_mut()?) else {
                unreachable!("tensors on a GPU have device memory");
            };
            weights.matmul((x, x_dtype), strategy, (y, y_dtype))
        }
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

fn check_len(what: &'static str, expected: usize, found: usize, rule: impl Fn() -> String) -> Result<()> {
    if expected == found { Ok(()) } else { Err(Error::Length { what, expected, found, rule: rule() }) }
}
