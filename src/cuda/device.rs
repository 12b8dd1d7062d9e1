//! [`CudaDevice`]: one stream of one GPU, with the scratch memory its operations share.
#![allow(unsafe_code)]

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::cuda::driver::Driver;
use crate::cuda::driver::Launch;
use crate::cuda::driver::Limits;
#[cfg(feature = "cuda")]
use crate::cuda::fatbins::BUILD;
use crate::cuda::kernels::Kernel;
#[cfg(feature = "cuda")]
use crate::cuda::real::CudarcDriver;
use crate::cuda::workspace::Lease;
use crate::cuda::workspace::Workspace;
use crate::error::Result;

/// One stream of one GPU and its workspace. Clones are the same stream; another stream is another device.
#[derive(Clone)]
pub struct CudaDevice {
    inner: Arc<Inner>,
}

struct Inner {
    driver: Arc<dyn Driver>,
    workspace: Mutex<Workspace>,
    name: String,
}

impl CudaDevice {
    /// A device over a driver: how the tests bring in their simulator.
    #[doc(hidden)]
    pub fn from_driver(driver: Arc<dyn Driver>) -> Self {
        let limits = driver.limits();
        let name = format!("{} (sm_{})", limits.name, limits.capability);
        let workspace = Mutex::new(Workspace::new(Arc::clone(&driver)));
        Self { inner: Arc::new(Inner { driver, workspace, name }) }
    }

    /// A new stream of device `index`.
    ///
    /// # Errors
    /// A case of [`CudaError`](crate::error::CudaError) for each thing that can be missing.
    pub fn new(index: usize) -> Result<Self> {
        #[cfg(feature = "cuda")]
        {
            let driver = CudarcDriver::open(index, &BUILD)?;
            Ok(Self::from_driver(Arc::new(driver)))
        }
        #[cfg(not(feature = "cuda"))]
        {
            let _ = index;
            Err(crate::error::CudaError::NotBuilt.into())
        }
    }

    /// Its name and compute capability, for messages.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// What it has.
    pub fn limits(&self) -> &Limits {
        self.inner.driver.limits()
    }

    /// The calls beneath.
    pub(crate) fn driver(&self) -> &dyn Driver {
        &*self.inner.driver
    }

    /// Waits for all work enqueued.
    ///
    /// # Errors
    /// The driver's, also those of that work.
    pub fn synchronize(&self) -> Result<()> {
        self.driver().synchronize()
    }

    /// Milliseconds that `work` takes on the device, `samples` times; empty on a simulator.
    ///
    /// `work` is called twice: as it is, so that scratch memory has grown, and to capture a CUDA graph from what it enqueues,
    /// which is replayed between events. What it enqueues must be the same each time.
    ///
    /// # Errors
    /// Those of `work` and the driver's.
    pub fn time(&self, mut work: impl FnMut() -> Result<()>, samples: usize) -> Result<Vec<f32>> {
        self.driver().time(&mut work, samples)
    }

    /// Regions of scratch memory of so many bytes, for what is enqueued while the lease lives.
    ///
    /// # Errors
    /// [`CudaError::OutOfMemory`](crate::error::CudaError::OutOfMemory);
    /// [`CudaError::WorkspaceInCapture`](crate::error::CudaError::WorkspaceInCapture) when it would have to grow while a
    /// graph is captured.
    pub(crate) fn lease(&self, regions: &[usize]) -> Result<Lease<'_>> {
        // A panic elsewhere leaves the workspace as valid as it was: it is only scratch.
        Workspace::lease(self.inner.workspace.lock().unwrap_or_else(PoisonError::into_inner), regions)
    }

    /// Enqueues a kernel with its argument struct.
    ///
    /// # Safety
    /// As [`Driver::launch`]: the struct's addresses describe live memory of this device.
    ///
    /// # Errors
    /// Those of [`Driver::launch`].
    pub(crate) unsafe fn launch<A: bytemuck::Pod>(
        &self,
        kernel: &'static Kernel,
        grid: [u32; 3],
        shared_bytes: u32,
        args: &A,
    ) -> Result<()> {
        debug_assert_eq!(kernel.args_bytes, size_of::<A>(), "{}", kernel.symbol);
        let launch = Launch { kernel, grid, shared_bytes, args: bytemuck::bytes_of(args) };
        // SAFETY: the caller's promise.
        unsafe { self.driver().launch(&launch) }
    }
}

impl PartialEq for CudaDevice {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for CudaDevice {}

impl fmt::Debug for CudaDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CudaDevice({})", self.name())
    }
}
