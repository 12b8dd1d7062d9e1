//! Dense weights: what the low-bit ones are compared with. cuBLASLt on a GPU, or lowbit's own kernel where it is not
//! installed; the crate `gemm` on the CPU, which multiplies f32.

use crate::cpu;
use crate::cuda::CudaDevice;
use crate::cuda::DeviceBuffer;
use crate::cuda::ops::gemm_dense;
use crate::cuda::ops::gemm_dense::GemmDense;
use crate::cuda::ops::tiles::ProductSize;
use crate::device::Device;
use crate::error::Result;
use crate::shape::MatShape;
use crate::tensor::Tensor;
use crate::values::Dtype;
use crate::values::OwnedValues;
use crate::values::Values;
use crate::values::ValuesMut;

/// Copies of one dense matrix [N, K] on one device.
pub struct Dense {
    shape: MatShape,
    copies: Copies,
}

enum Copies {
    Cpu(Vec<Vec<f32>>),
    /// And their values in host memory.
    Cuda(CudaDevice, Vec<DeviceBuffer>, OwnedValues),
}

/// The type in which dense products of `dtype` are computed on `device`.
pub fn dense_dtype(device: &Device, dtype: Dtype) -> Dtype {
    match device {
        Device::Cpu(_) => Dtype::F32,
        Device::Cuda(_) => dtype,
    }
}

impl Dense {
    /// `copies` copies of `w`, at least one.
    pub fn new(device: &Device, shape: MatShape, w: &[f32], dtype: Dtype, copies: usize) -> Result<Self> {
        let copies = match device {
            Device::Cpu(_) => Copies::Cpu((0..copies).map(|_| w.to_vec()).collect()),
            Device::Cuda(device) => {
                let host = OwnedValues::from_f32(dtype, w);
                let upload = |_| DeviceBuffer::upload(device, host.as_bytes());
                Copies::Cuda(device.clone(), (0..copies).map(upload).collect::<Result<_>>()?, host)
            }
        };
        Ok(Self { shape, copies })
    }

    /// The values that are multiplied.
    pub fn values(&self) -> Values<'_> {
        match &self.copies {
            Copies::Cpu(copies) => Values::F32(&copies[0]),
            Copies::Cuda(_, _, host) => host.as_values(),
        }
    }

    /// Who multiplies.
    pub fn library(&self) -> &'static str {
        match &self.copies {
            Copies::Cpu(_) => "gemm",
            Copies::Cuda(device, ..) if device.driver().has_dense() => "cuBLASLt",
            Copies::Cuda(..) => "gemm_dense",
        }
    }

    /// How many copies there are.
    pub fn num_copies(&self) -> usize {
        match &self.copies {
            Copies::Cpu(copies) => copies.len(),
            Copies::Cuda(_, copies, _) => copies.len(),
        }
    }

    /// y = x · Wᵀ by the copy `turn`, counted round; x and y in the type of [`Dense::values`].
    pub fn multiply(&self, turn: usize, x: &Tensor, y: &mut Tensor) -> Result<()> {
        let (n, k, dtype) = (self.shape.n(), self.shape.k(), self.values().dtype());
        match &self.copies {
            Copies::Cpu(copies) => {
                let (Values::F32(x), ValuesMut::F32(y)) = (x.values()?, y.values_mut()?) else {
                    unreachable!("dense products on the CPU are f32");
                };
                cpu::dense_f32(x, &copies[turn % copies.len()], k, y);
                Ok(())
            }
            Copies::Cuda(device, copies, _) => {
                let m = x.shape()[0];
                let (Some(x), Some(y)) = (x.device_buffer(), y.device_buffer_mut()?) else {
                    unreachable!("tensors on a GPU have device memory");
                };
                let scratch = gemm_dense::scratch_bytes(device.limits(), ProductSize { m, n, k }, dtype)?;
                let lease = device.lease(&[scratch])?;
                let (x, w, y) = (x.region(), copies[turn % copies.len()].region(), y.region());
                let product = GemmDense { x, w, bias: None, y, m, n, k, in_dtype: dtype, out_dtype: dtype };
                gemm_dense::dense(&product, device, lease.region(0))
            }
        }
    }
}
