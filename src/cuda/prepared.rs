//! [`Prepared`]: a matrix in the memory of a GPU, in the order its kernels want.

use std::sync::Arc;

use crate::cuda::CudaDevice;
use crate::cuda::DeviceBuffer;
use crate::cuda::buffer::Region;
use crate::cuda::matmul::Product;
use crate::cuda::ops::dequant_int8;
use crate::cuda::ops::dequant_w4::dequant_w4;
use crate::cuda::ops::dequant_w4a8::dequant_w4a8;
use crate::cuda::ops::gemm_int4;
use crate::cuda::ops::gemm_int8;
use crate::cuda::ops::gemm_int8_sm90;
use crate::cuda::ops::s4::S4;
use crate::cuda::ops::w4::W4;
use crate::cuda::ops::w4a8::W4A8;
use crate::cuda::ops::w8::CodeOrder;
use crate::cuda::ops::w8::W8;
use crate::error::Error;
use crate::error::Result;
use crate::formats::Format;
use crate::formats::QuantMatrix;
use crate::formats::integer;
use crate::strategy::Activations;
use crate::strategy::Strategy;
use crate::values::Dtype;

/// A weight matrix and bias on one GPU, ready to be multiplied. Clones share the memory.
#[derive(Clone, Debug)]
pub struct Prepared {
    device: CudaDevice,
    matrix: Arc<QuantMatrix>,
    activations: Activations,
    weights: Arc<Weights>,
    /// f32 [N].
    bias: Option<DeviceBuffer>,
}

/// The codes and scales in device memory.
#[derive(Debug)]
pub(super) enum Weights {
    W4(W4),
    W4A8(W4A8),
    W8(W8),
    /// For activations of 4 bits, where they can be multiplied as such.
    S4(S4),
}

impl Weights {
    fn upload(device: &CudaDevice, matrix: &QuantMatrix, activations: Activations) -> Result<Self> {
        let (format, shape) = (matrix.format(), matrix.shape());
        if activations == Activations::Int4 && gemm_int4::rule(device.limits(), format, shape).is_none() {
            return Ok(Self::S4(S4::upload(device, matrix)?));
        }
        match format.code_bits() {
            _ if format == Format::Int4ChannelGroup => Ok(Self::W4A8(W4A8::upload(device, matrix)?)),
            4 => Ok(Self::W4(W4::upload(device, matrix)?)),
            _ => Ok(Self::W8(W8::upload(device, matrix, code_order(device, matrix, activations))?)),
        }
    }

    fn memory_bytes(&self) -> usize {
        match self {
            Self::W4(weights) => weights.memory_bytes(),
            Self::W4A8(weights) => weights.memory_bytes(),
            Self::W8(weights) => weights.memory_bytes(),
            Self::S4(weights) => weights.memory_bytes(),
        }
    }

    /// Writes the values [N, K] to `out`.
    pub fn dequantize(&self, device: &CudaDevice, dtype: Dtype, out: Region<'_>) -> Result<()> {
        match self {
            Self::W4(weights) => dequant_w4(device, weights, dtype, out),
            Self::W4A8(weights) => dequant_w4a8(device, weights, dtype, out),
            Self::W8(weights) => dequant_int8::dequantize(device, weights, out, dtype),
            Self::S4(weights) => gemm_int4::dequantize(device, weights, dtype, out),
        }
    }
}

/// How 8-bit codes lie: in tiles where wgmma will multiply them, which reads nothing else.
fn code_order(device: &CudaDevice, matrix: &QuantMatrix, activations: Activations) -> CodeOrder {
    let is_product_of_codes = integer::rounding(activations)
        .is_some_and(|(max_code, _)| gemm_int8::check(device, matrix.format(), matrix.shape(), max_code).is_ok());
    match is_product_of_codes && gemm_int8_sm90::is_ready(device) {
        true => CodeOrder::Tiles,
        false => CodeOrder::Rows,
    }
}

impl Prepared {
    /// Copies `matrix` and `bias` \[N\] to `device`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when the format cannot be multiplied with these activations: int8 ones with any 4-bit format but
    /// [`Format::Int4ChannelGroup`], for one; out of memory.
    pub fn new(
        device: &CudaDevice,
        matrix: Arc<QuantMatrix>,
        bias: Option<&[f32]>,
        activations: Activations,
    ) -> Result<Self> {
        check_w4a8(&matrix, activations, device)?;
        integer::check(&matrix, activations, device.name())?;
        let weights = Arc::new(Weights::upload(device, &matrix, activations)?);
        let bias = bias.map(|bias| DeviceBuffer::upload(device, bytemuck::cast_slice(bias))).transpose()?;
        Ok(Self { device: device.clone(), matrix, activations, weights, bias })
    }

    /// The weights in host memory.
    pub fn matrix(&self) -> &Arc<QuantMatrix> {
        &self.matrix
    }

    /// What activations are rounded to.
    pub fn activations(&self) -> Activations {
        self.activations
    }

    /// Bytes of device memory.
    pub fn memory_bytes(&self) -> usize {
        self.weights.memory_bytes() + self.bias.as_ref().map_or(0, DeviceBuffer::bytes)
    }

    /// The weights as floats, [N, K] in device memory.
    ///
    /// # Errors
    /// Out of memory.
    pub fn dequantize(&self, dtype: Dtype) -> Result<DeviceBuffer> {
        let out = self.output(dtype, self.matrix.shape().num_values())?;
        self.weights.dequantize(&self.device, dtype, out.region())?;
        Ok(out)
    }

    /// Device memory for a result of `num_values` of `dtype`.
    ///
    /// # Errors
    /// Out of memory.
    pub fn output(&self, dtype: Dtype, num_values: usize) -> Result<DeviceBuffer> {
        DeviceBuffer::new(&self.device, num_values * dtype.size_bytes())
    }

    /// y = x · Wᵀ + bias: `x` [M, K] and `y` [M, N] in device memory, each with its type.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when the format, shape or type of `x` does not have `strategy`, or `y` has another type than
    /// `x`; the driver's.
    pub fn matmul(&self, x: (&DeviceBuffer, Dtype), strategy: Strategy, y: (&DeviceBuffer, Dtype)) -> Result<()> {
        let ((x, dtype), (y, y_dtype)) = (x, y);
        if dtype != y_dtype {
            return Err(Error::Unsupported {
                op: "multiplying",
                subject: format!("{dtype} activations to {y_dtype}"),
                device: self.device.name().into(),
                rule: "on a GPU the result has the type of the activations".into(),
            });
        }
        let m = x.bytes() / (self.matrix.shape().k() * dtype.size_bytes());
        if m == 0 { Ok(()) } else { self.product(x.region(), y.region(), m, dtype).enqueue(strategy) }
    }

    /// What [`Strategy::Auto`] is for M rows of x of `dtype`.
    ///
    /// # Errors
    /// The driver's.
    pub fn choice(&self, m: usize, dtype: Dtype) -> Result<Strategy> {
        let nothing = DeviceBuffer::new(&self.device, 0)?;
        Ok(self.product(nothing.region(), nothing.region(), m, dtype).choice())
    }

    fn product<'a>(&'a self, x: Region<'a>, y: Region<'a>, m: usize, dtype: Dtype) -> Product<'a> {
        Product {
            device: &self.device,
            matrix: &self.matrix,
            weights: &self.weights,
            activations: self.activations,
            x,
            bias: self.bias.as_ref().map(DeviceBuffer::region),
            y,
            m,
            dtype,
        }
    }
}

/// Whether 4-bit weights with int8 activations are in the format that has kernels for it.
fn check_w4a8(matrix: &QuantMatrix, activations: Activations, device: &CudaDevice) -> Result<()> {
    let format = matrix.format();
    match activations {
        Activations::Int8 { .. } if format.code_bits() == 4 && format != Format::Int4ChannelGroup => {
            Err(Error::Unsupported {
                op: "multiplying",
                subject: format!("{format} with {activations}"),
                device: device.name().into(),
                rule: "W4A8 on a GPU: quantize the dense weights to int4_channel_group, or use float activations"
                    .into(),
            })
        }
        _ => Ok(()),
    }
}
