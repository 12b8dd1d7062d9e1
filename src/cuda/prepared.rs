//! [`Prepared`]: a matrix in the memory of a GPU, in the order its kernels want.

use std::sync::Arc;

use crate::cuda::CudaDevice;
use crate::cuda::DeviceBuffer;
use crate::error::Error;
use crate::error::Result;
use crate::formats::QuantMatrix;
use crate::strategy::Activations;
use crate::strategy::Strategy;
use crate::values::Dtype;

/// A weight matrix and bias on one GPU, ready to be multiplied.
#[derive(Clone, Debug)]
pub struct Prepared {
    device: CudaDevice,
    matrix: Arc<QuantMatrix>,
    activations: Activations,
    bias: Option<DeviceBuffer>,
}

impl Prepared {
    /// Copies `matrix` and `bias` [N] to `device`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when the device cannot multiply this format with these activations; out of memory.
    pub fn new(
        device: &CudaDevice,
        matrix: Arc<QuantMatrix>,
        bias: Option<&[f32]>,
        activations: Activations,
    ) -> Result<Self> {
        let _ = (bias, activations);
        Err(Error::Unsupported {
            op: "preparing",
            subject: matrix.format().to_string(),
            device: device.name().into(),
            rule: "no kernel takes this format".into(),
        })
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
        self.bias.as_ref().map_or(0, DeviceBuffer::bytes)
    }

    /// The weights as floats, [N, K] in device memory.
    ///
    /// # Errors
    /// Out of memory.
    pub fn dequantize(&self, dtype: Dtype) -> Result<DeviceBuffer> {
        DeviceBuffer::new(&self.device, self.matrix.shape().num_values() * dtype.size_bytes())
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
    /// [`Error::Unsupported`] when the format, shape or type of `x` does not have `strategy`, or `y` has another type.
    pub fn matmul(&self, x: (&DeviceBuffer, Dtype), strategy: Strategy, y: (&DeviceBuffer, Dtype)) -> Result<()> {
        let _ = (x, strategy, y);
        Ok(())
    }
}
