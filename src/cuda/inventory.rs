//! [`Inventory`]: what there is of CUDA on this machine and in this build.

use std::path::PathBuf;

use crate::cuda::Limits;
use crate::cuda::fatbins::BUILD;
use crate::error::CudaError;

/// What there is of CUDA on this machine and in this build. Taking it makes no context on a device.
#[derive(Clone, Debug)]
pub struct Inventory {
    /// The kernels in this build.
    pub kernels: KernelsInBuild,
    /// The CUDA version that the driver supports, 1000 × major + 10 × minor, or why there is none.
    pub driver: Result<u32, CudaError>,
    /// The devices that the driver sees, by index.
    pub gpus: Vec<Result<Gpu, CudaError>>,
    /// cuBLASLt, where it is found.
    pub dense: Result<Option<DenseLibrary>, CudaError>,
}

/// One device.
#[derive(Clone, Debug)]
pub struct Gpu {
    /// What it has.
    pub limits: Limits,
    /// Whether the kernels of this build run on it.
    pub usable: Result<(), CudaError>,
}

/// The kernels that were compiled into this crate.
#[derive(Clone, Debug)]
pub struct KernelsInBuild {
    /// Architectures with machine code, such as `80` and `90a`.
    pub archs: Vec<&'static str>,
    /// Major and minor version of the CUDA toolkit that compiled them.
    pub toolkit: (u32, u32),
    /// Why there are none, and how to get them.
    pub missing: Option<String>,
}

impl KernelsInBuild {
    /// Those of this build.
    pub(crate) fn new() -> Self {
        Self { archs: BUILD.archs(), toolkit: BUILD.toolkit, missing: BUILD.missing() }
    }
}

/// The library that multiplies dense matrices.
#[derive(Clone, Debug)]
pub struct DenseLibrary {
    /// Its file.
    pub path: PathBuf,
    /// 10000 × major + 100 × minor + patch.
    pub version: usize,
}

impl Inventory {
    /// Looks.
    pub fn take() -> Self {
        #[cfg(feature = "cuda")]
        return crate::cuda::real::inventory();
        #[cfg(not(feature = "cuda"))]
        Self { kernels: KernelsInBuild::new(), driver: Err(CudaError::NotBuilt), gpus: Vec::new(), dense: Ok(None) }
    }
}
