//! [`Driver`]: all that the backend asks of a GPU, one device and one stream of it.
//!
//! Two implementations: cudarc (`cuda/real`), and a simulator in the tests that executes the kernels' PTX.
#![allow(unsafe_code)]

use std::any::Any;
use std::fmt;

use crate::cuda::kernels::Kernel;
use crate::error::Result;
use crate::values::Dtype;

/// An address in device memory.
pub type DevicePtr = u64;

/// What a device has, as far as plans depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The device's name.
    pub name: String,
    /// Compute capability: 10 × major + minor.
    pub capability: u32,
    /// Streaming multiprocessors.
    pub num_sms: u32,
    /// Shared memory one block may have when it opts in, in bytes.
    pub shared_bytes_per_block: u32,
    /// Shared memory of one multiprocessor, in bytes.
    pub shared_bytes_per_sm: u32,
    /// Threads resident on one multiprocessor.
    pub threads_per_sm: u32,
    /// L2 cache, in bytes.
    pub l2_bytes: usize,
    /// Device memory, in bytes.
    pub memory_bytes: usize,
}

impl Limits {
    /// Whether it has wgmma: compute capability 9.0, and no later one.
    pub fn has_wgmma(&self) -> bool {
        self.capability == 90
    }
}

/// One launch of a kernel: a one-dimensional block of [`Kernel::threads`] threads.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// The kernel.
    pub kernel: &'static Kernel,
    /// Blocks in x, y and z.
    pub grid: [u32; 3],
    /// Dynamic shared memory in bytes.
    pub shared_bytes: u32,
    /// The kernel's one argument, a struct of `cuda/include/args.h`, byte for byte.
    pub args: &'a [u8],
}

/// A dense product y\[M,N\] = x\[M,K\] · w\[N,K\]ᵀ, all row-major and of one type, for a vendor library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DenseProduct {
    /// The type of x, w and y; sums are f32.
    pub dtype: Dtype,
    /// Rows of x.
    pub m: usize,
    /// Rows of w.
    pub n: usize,
    /// Columns of x and w.
    pub k: usize,
    /// x.
    pub x: DevicePtr,
    /// w.
    pub w: DevicePtr,
    /// y.
    pub y: DevicePtr,
}

/// One stream of one device. Every operation is ordered after those before it.
///
/// # Safety
/// Of the unsafe methods: every address range handed over lies within live allocations of this driver (or within memory of
/// this device that the caller keeps alive), is not written by the host or another stream meanwhile, and a kernel's
/// arguments describe such ranges.
pub trait Driver: Any + fmt::Debug + Send + Sync {
    /// What the device has.
    fn limits(&self) -> &Limits;

    /// Allocates `bytes` (at least 1) of device memory, aligned to 256, its content undefined.
    ///
    /// # Errors
    /// [`CudaError::OutOfMemory`](crate::error::CudaError::OutOfMemory).
    fn alloc(&self, bytes: usize) -> Result<DevicePtr>;

    /// Gives memory back once the work before is done. A failure has nobody to go to and is dropped.
    ///
    /// # Safety
    /// `ptr` came from [`Driver::alloc`] of this driver and is not used again.
    unsafe fn free(&self, ptr: DevicePtr);

    /// Sets `bytes` bytes at `to` to `value`.
    ///
    /// # Safety
    /// As the trait says.
    ///
    /// # Errors
    /// The driver's.
    unsafe fn fill(&self, to: DevicePtr, value: u8, bytes: usize) -> Result<()>;

    /// Copies host memory to the device; `from` may change once the call returns.
    ///
    /// # Safety
    /// As the trait says.
    ///
    /// # Errors
    /// The driver's.
    unsafe fn upload(&self, from: &[u8], to: DevicePtr) -> Result<()>;

    /// Copies device memory to the host and waits for it.
    ///
    /// # Safety
    /// As the trait says.
    ///
    /// # Errors
    /// The driver's, also those of work enqueued before.
    unsafe fn download(&self, from: DevicePtr, to: &mut [u8]) -> Result<()>;

    /// Copies within device memory; the ranges do not overlap.
    ///
    /// # Safety
    /// As the trait says.
    ///
    /// # Errors
    /// The driver's.
    unsafe fn copy(&self, from: DevicePtr, to: DevicePtr, bytes: usize) -> Result<()>;

    /// Loads a kernel's image, so that its launches allocate nothing.
    ///
    /// # Errors
    /// [`CudaError::NoKernels`](crate::error::CudaError::NoKernels),
    /// [`CudaError::NoImage`](crate::error::CudaError::NoImage), the driver's.
    fn load(&self, kernel: &'static Kernel) -> Result<()>;

    /// Enqueues a launch; loads the kernel if need be.
    ///
    /// # Safety
    /// As the trait says; `args` is what the kernel expects and the launch is one its header comment allows.
    ///
    /// # Errors
    /// [`CudaError::Launch`](crate::error::CudaError::Launch) and those of [`Driver::load`].
    unsafe fn launch(&self, launch: &Launch<'_>) -> Result<()>;

    /// Whether a vendor library for [`Driver::dense`] is there.
    fn has_dense(&self) -> bool;

    /// Enqueues a dense product in the vendor library (cuBLASLt).
    ///
    /// # Safety
    /// As the trait says.
    ///
    /// # Errors
    /// [`CudaError::Call`](crate::error::CudaError::Call), also when there is no such library.
    unsafe fn dense(&self, product: &DenseProduct) -> Result<()>;

    /// Whether a CUDA graph is being captured from the stream.
    ///
    /// # Errors
    /// The driver's.
    fn is_capturing(&self) -> Result<bool>;

    /// Waits for all work enqueued.
    ///
    /// # Errors
    /// The driver's, also those of that work.
    fn synchronize(&self) -> Result<()>;

    /// Milliseconds that `work` takes on the device, `samples` times. Empty where time means nothing.
    ///
    /// `work` is called twice: as it is, and while a CUDA graph is captured from what it enqueues. The graph is replayed, once
    /// untimed, then with events around each replay.
    ///
    /// # Errors
    /// Those of `work` and the driver's.
    fn time(&self, work: &mut dyn FnMut() -> Result<()>, samples: usize) -> Result<Vec<f32>>;
}
