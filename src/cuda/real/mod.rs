//! The [`Driver`] of a real GPU: libcuda and cuBLASLt, found at run time.
//!
//! cudarc owns contexts and streams, so that callers who use it share theirs with us without a copy. All other calls go
//! through tables of our own (`table.rs` says why). Nothing here panics where a library, a function or a device is missing.
#![allow(unsafe_code)]

mod api;
mod attributes;
mod codes;
mod cublaslt;
mod dense;
#[cfg(all(test, target_os = "linux"))]
mod driver_tests;
mod events;
mod graph;
mod interop;
mod memory;
mod modules;
mod probe;
mod table;

use std::ffi::c_int;
use std::ffi::c_void;
use std::fmt;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::PoisonError;

use cudarc::driver::CudaContext;
use cudarc::driver::CudaStream;

use crate::cuda::driver::DenseProduct;
use crate::cuda::driver::DevicePtr;
use crate::cuda::driver::Driver;
use crate::cuda::driver::Launch;
use crate::cuda::driver::Limits;
use crate::cuda::fatbins::BUILD;
use crate::cuda::fatbins::Images;
use crate::cuda::inventory::DenseLibrary;
use crate::cuda::inventory::Gpu;
use crate::cuda::inventory::Inventory;
use crate::cuda::inventory::KernelsInBuild;
use crate::cuda::kernels::Kernel;
use crate::error::CudaError;
use crate::error::Result;

use codes::Code;
use codes::failed;
use codes::from_cudarc;
use dense::Dense;
use modules::Modules;
use probe::Found;
use probe::probe;
use table::call;

/// One stream of one GPU.
pub struct CudarcDriver {
    found: Found,
    limits: Limits,
    /// Made when it is first asked for: loading cuBLASLt takes a while.
    dense: OnceLock<Option<Dense>>,
    /// Memory to be given back when no graph is being captured.
    postponed: Mutex<Vec<DevicePtr>>,
    stream: Arc<CudaStream>,
    modules: Arc<Modules>,
}

impl CudarcDriver {
    /// A new stream in the primary context of device `index`.
    pub fn open(index: usize, images: &'static Images) -> Result<Self> {
        let found = probe()?;
        if index >= found.count {
            return Err(CudaError::NoSuchDevice { index, count: found.count }.into());
        }
        found.runs(images)?;
        let limits = attributes::limits(found.api, attributes::handle(found.api, index)?)?;
        attributes::check(&limits)?;
        let context = CudaContext::new(index).map_err(from_cudarc("cuDevicePrimaryCtxRetain"))?;
        // SAFETY: work is ordered by the one stream; slices made of our memory are documented to be the caller's to order.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().map_err(from_cudarc("cuStreamCreate"))?;
        Self::over(found, limits, stream, images)
    }

    /// A caller's stream.
    pub fn from_stream(stream: Arc<CudaStream>, images: &'static Images) -> Result<Self> {
        let found = probe()?;
        found.runs(images)?;
        let limits = attributes::limits(found.api, stream.context().cu_device())?;
        attributes::check(&limits)?;
        Self::over(found, limits, stream, images)
    }

    fn over(found: Found, limits: Limits, stream: Arc<CudaStream>, images: &'static Images) -> Result<Self> {
        cublaslt::check_choice()?;
        let modules = Modules::of(stream.context(), found, images);
        Ok(Self { found, limits, dense: OnceLock::new(), postponed: Mutex::default(), stream, modules })
    }

    /// Makes the context current on this thread.
    fn bind(&self) -> Result<(), CudaError> {
        let (api, context, mut current) = (self.found.api, self.stream.context().cu_ctx(), null_mut());
        // SAFETY: writes one handle; the context is alive as long as the stream.
        unsafe {
            call!(api, cuCtxGetCurrent(&mut current))?;
            if current == context { Ok(()) } else { call!(api, cuCtxSetCurrent(context)) }
        }
    }

    /// Whether the stream is being captured; its context is current.
    fn captures(&self) -> Result<bool, CudaError> {
        let mut status: c_int = 0;
        // SAFETY: writes one number.
        unsafe { call!(self.found.api, cuStreamIsCapturing(self.stream.cu_stream(), &mut status))? };
        Ok(status != 0)
    }

    /// Begins what cannot be part of a graph: the context is current, and nothing is being captured.
    fn enter(&self, what: &'static str) -> Result<(), CudaError> {
        self.bind()?;
        if self.captures()? { Err(CudaError::InCapture { what }) } else { Ok(()) }
    }

    fn dense_library(&self) -> Option<&Dense> {
        let make = || Dense::new(self.found, &self.limits, &self.stream);
        self.dense.get_or_init(|| self.bind().ok().and_then(|()| make())).as_ref()
    }
}

impl Driver for CudarcDriver {
    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn alloc(&self, bytes: usize) -> Result<DevicePtr> {
        Ok(self.allocate(bytes)?)
    }

    unsafe fn free(&self, ptr: DevicePtr) {
        // SAFETY: the caller's promise.
        unsafe { self.give_back(ptr) }
    }

    unsafe fn fill(&self, to: DevicePtr, value: u8, bytes: usize) -> Result<()> {
        self.bind()?;
        // SAFETY: the caller's promise.
        Ok(unsafe { call!(self.found.api, cuMemsetD8Async(to, value, bytes, self.stream.cu_stream())) }?)
    }

    unsafe fn upload(&self, from: &[u8], to: DevicePtr) -> Result<()> {
        // SAFETY: the caller's promise.
        Ok(unsafe { self.copy_to_device(from, to) }?)
    }

    unsafe fn download(&self, from: DevicePtr, to: &mut [u8]) -> Result<()> {
        // SAFETY: the caller's promise.
        Ok(unsafe { self.copy_to_host(from, to) }?)
    }

    unsafe fn copy(&self, from: DevicePtr, to: DevicePtr, bytes: usize) -> Result<()> {
        self.bind()?;
        // SAFETY: the caller's promise.
        Ok(unsafe { call!(self.found.api, cuMemcpyDtoDAsync_v2(to, from, bytes, self.stream.cu_stream())) }?)
    }

    fn load(&self, kernel: &'static Kernel) -> Result<()> {
        self.bind()?;
        self.modules.function(kernel, &self.limits)?;
        Ok(())
    }

    unsafe fn launch(&self, launch: &Launch<'_>) -> Result<()> {
        self.bind()?;
        let (kernel, [x, y, z]) = (launch.kernel, launch.grid);
        if launch.args.len() != kernel.args_bytes {
            let reason = format!("{} bytes of arguments, the kernel takes {}", launch.args.len(), kernel.args_bytes);
            return Err(launch_error(launch, reason).into());
        }
        let function = self.modules.function(kernel, &self.limits)?;
        let mut parameters = [launch.args.as_ptr().cast_mut().cast::<c_void>()];
        let (shared, stream) = (launch.shared_bytes, self.stream.cu_stream());
        // SAFETY: the one parameter is the struct that the kernel expects, which the driver copies before it returns; the
        // caller's promise for the memory it describes.
        let status = unsafe {
            let (parameters, extra) = (parameters.as_mut_ptr(), null_mut());
            (self.found.api.cuLaunchKernel)(function, x, y, z, kernel.threads, 1, 1, shared, stream, parameters, extra)
        };
        match Code(status) {
            Code(0) => Ok(()),
            code if code.is_sticky() => Err(failed("cuLaunchKernel", code).into()),
            code => Err(launch_error(launch, code.to_string()).into()),
        }
    }

    fn has_dense(&self) -> bool {
        self.dense_library().is_some()
    }

    unsafe fn dense(&self, product: &DenseProduct) -> Result<()> {
        self.bind()?;
        let no_library = || CudaError::Call { call: "cublasLtMatmul", reason: "there is no cuBLASLt".into() };
        // SAFETY: the caller's promise.
        unsafe { self.dense_library().ok_or_else(no_library)?.multiply(self, product) }
    }

    fn is_capturing(&self) -> Result<bool> {
        self.bind()?;
        Ok(self.captures()?)
    }

    fn synchronize(&self) -> Result<()> {
        self.enter("waiting for the device")?;
        self.free_postponed();
        // SAFETY: the stream is alive.
        Ok(unsafe { call!(self.found.api, cuStreamSynchronize(self.stream.cu_stream())) }?)
    }

    fn time(&self, work: &mut dyn FnMut() -> Result<()>, samples: usize) -> Result<Vec<f32>> {
        self.time_work(work, samples)
    }
}

fn launch_error(launch: &Launch<'_>, reason: String) -> CudaError {
    let (kernel, threads) = (launch.kernel.symbol, launch.kernel.threads);
    CudaError::Launch { kernel, grid: launch.grid, threads, shared_bytes: launch.shared_bytes, reason }
}

impl Drop for CudarcDriver {
    fn drop(&mut self) {
        if self.bind().is_err() {
            return;
        }
        // Kernels may run whose images go when the last driver of the context does. A failure has nobody to go to.
        // SAFETY: the stream is alive.
        unsafe { (self.found.api.cuStreamSynchronize)(self.stream.cu_stream()) };
        if let Some(Some(dense)) = self.dense.take() {
            let postponed = self.postponed.get_mut().unwrap_or_else(PoisonError::into_inner);
            postponed.extend(dense.take_workspace());
        }
        self.free_postponed();
    }
}

impl fmt::Debug for CudarcDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CudarcDriver({}, stream {:?})", self.limits.name, self.stream.cu_stream())
    }
}

/// What there is: see [`Inventory`].
pub fn inventory() -> Inventory {
    let kernels = KernelsInBuild::new();
    let found = match probe() {
        Ok(found) => found,
        Err(error) => return Inventory { kernels, driver: Err(error), gpus: Vec::new(), dense: Ok(None) },
    };
    let gpu = |index: usize| {
        let limits = attributes::limits(found.api, attributes::handle(found.api, index)?)?;
        let usable = attributes::check(&limits).and_then(|()| found.runs(&BUILD));
        Ok(Gpu { limits, usable })
    };
    let dense = cublaslt::find(found.version)
        .map(|library| library.map(|library| DenseLibrary { path: library.path(), version: library.version() }));
    Inventory { kernels, driver: Ok(found.version), gpus: (0..found.count).map(gpu).collect(), dense }
}
