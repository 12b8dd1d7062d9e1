//! [`Device`]: where a layer's weights live and its products are computed.

#[cfg(feature = "cuda")]
use std::sync::Arc;

use crate::cpu::Isa;
use crate::cuda::CudaDevice;
#[cfg(feature = "cuda")]
use crate::cuda::cudarc::driver::CudaStream;
use crate::error::CudaError;
use crate::error::Error;
use crate::error::Result;

/// A place to compute.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Device {
    /// The CPU, with the instruction set its kernels use.
    Cpu(Isa),
    /// One stream of one NVIDIA GPU.
    Cuda(CudaDevice),
}

impl Device {
    /// The fastest device of this machine: the first CUDA GPU, or the CPU where there is no driver, no GPU, or no kernel in
    /// this build; [`Device::cuda`] says which.
    ///
    /// # Errors
    /// Those of [`Device::cuda`] for a GPU that is there and cannot be used: a driver too old, a failing device.
    pub fn best() -> Result<Self> {
        match Self::cuda(0) {
            Err(Error::Cuda(
                CudaError::NotBuilt | CudaError::NoDriver | CudaError::NoDevice | CudaError::NoKernels { .. },
            )) => Ok(Self::cpu()),
            device => device,
        }
    }

    /// The CPU with the best instruction set it has.
    pub fn cpu() -> Self {
        Self::Cpu(Isa::best())
    }

    /// A new stream of CUDA device `index`, counted from 0.
    ///
    /// # Errors
    /// A case of [`CudaError`] for each thing that can be missing: the feature `cuda`, the driver, a device, kernels.
    pub fn cuda(index: usize) -> Result<Self> {
        Ok(Self::Cuda(CudaDevice::new(index)?))
    }

    /// A caller's cudarc stream: see [`CudaDevice::from_cudarc_stream`].
    ///
    /// # Errors
    /// As [`Device::cuda`].
    #[cfg(feature = "cuda")]
    pub fn from_cudarc_stream(stream: Arc<CudaStream>) -> Result<Self> {
        Ok(Self::Cuda(CudaDevice::from_cudarc_stream(stream)?))
    }

    /// The name used in messages.
    pub fn name(&self) -> &str {
        match self {
            Self::Cpu(isa) => isa.name(),
            Self::Cuda(device) => device.name(),
        }
    }
}
