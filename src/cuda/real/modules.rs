//! Loaded images and the kernels in them, one set for each context of the process.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ffi::CString;
use std::ffi::c_int;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::Weak;

use cudarc::driver::CudaContext;
use cudarc::driver::sys::CUfunction;
use cudarc::driver::sys::CUfunction_attribute as Attribute;
use cudarc::driver::sys::CUmodule;

use crate::cuda::driver::Limits;
use crate::cuda::fatbins::Fatbin;
use crate::cuda::fatbins::Images;
use crate::cuda::kernels::Kernel;
use crate::error::CudaError;

use super::codes::Code;
use super::codes::failed;
use super::probe::Found;
use super::table::call;

/// The images of one context. Streams of the context share them; the last one to go unloads them.
pub struct Modules {
    loaded: Mutex<Loaded>,
    found: Found,
    images: &'static Images,
    /// Outlives the modules.
    context: Arc<CudaContext>,
}

#[derive(Default)]
struct Loaded {
    /// By stem.
    modules: HashMap<&'static str, Handle<CUmodule>>,
    /// By stem and symbol.
    functions: HashMap<(&'static str, &'static str), Handle<CUfunction>>,
}

/// A handle of the driver's, which may be used from any thread.
#[derive(Clone, Copy)]
struct Handle<T>(T);

// SAFETY: the driver API is thread-safe, and handles belong to a context, not to a thread.
unsafe impl<T> Send for Handle<T> {}

impl Modules {
    /// The set of `context`, or a new one.
    pub fn of(context: &Arc<CudaContext>, found: Found, images: &'static Images) -> Arc<Self> {
        static SETS: Mutex<Vec<Weak<Modules>>> = Mutex::new(Vec::new());
        let mut sets = SETS.lock().unwrap_or_else(PoisonError::into_inner);
        sets.retain(|set| set.strong_count() > 0);
        // A living set keeps its context, so that an equal handle is the same context.
        let same = |set: &Arc<Self>| set.context.cu_ctx() == context.cu_ctx() && std::ptr::eq(set.images, images);
        if let Some(set) = sets.iter().filter_map(Weak::upgrade).find(same) {
            return set;
        }
        let set = Arc::new(Self { loaded: Mutex::default(), found, images, context: Arc::clone(context) });
        sets.push(Arc::downgrade(&set));
        set
    }

    /// The context.
    pub fn context(&self) -> &Arc<CudaContext> {
        &self.context
    }

    /// A kernel, loaded, with leave to use all shared memory of a block. The context is current.
    ///
    /// # Errors
    /// Those of [`Driver::load`](crate::cuda::Driver::load).
    pub fn function(&self, kernel: &'static Kernel, limits: &Limits) -> Result<CUfunction, CudaError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (kernel.file, kernel.symbol);
        if let Some(function) = loaded.functions.get(&key) {
            return Ok(function.0);
        }
        let fatbin = self.images.find(kernel.file)?;
        if !kernel.capabilities.include(limits.capability) {
            return Err(no_image(kernel, limits, fatbin));
        }
        let module = match loaded.modules.get(kernel.file) {
            Some(module) => module.0,
            None => {
                let module = self.load(kernel, limits, fatbin)?;
                loaded.modules.insert(kernel.file, Handle(module));
                module
            }
        };
        let function = self.prepare(kernel, limits, module)?;
        loaded.functions.insert(key, Handle(function));
        Ok(function)
    }

    fn load(&self, kernel: &'static Kernel, limits: &Limits, fatbin: &Fatbin) -> Result<CUmodule, CudaError> {
        let mut module = null_mut();
        // SAFETY: the image is a whole fatbin, aligned, and never changes.
        let status = unsafe { (self.found.api.cuModuleLoadData)(&mut module, fatbin.image.as_ptr().cast()) };
        match Code(status) {
            Code(0) => Ok(module),
            Code::NO_BINARY_FOR_GPU => Err(no_image(kernel, limits, fatbin)),
            // No machine code fits, and the PTX is newer than the driver's compiler.
            Code::INVALID_PTX | Code::UNSUPPORTED_PTX_VERSION => {
                let (major, minor) = self.images.toolkit;
                Err(CudaError::DriverTooOld { found: self.found.version, need: 1000 * major + 10 * minor })
            }
            code => Err(failed("cuModuleLoadData", code)),
        }
    }

    /// Finding a function loads its code where loading is lazy, so that launches allocate nothing.
    /// Source: CUDA Programming Guide, "Lazy Loading".
    fn prepare(&self, kernel: &Kernel, limits: &Limits, module: CUmodule) -> Result<CUfunction, CudaError> {
        let api = self.found.api;
        let missing = || CudaError::Call {
            call: "cuModuleGetFunction",
            reason: format!("cuda/{}.cu has no kernel {}", kernel.file, kernel.symbol),
        };
        let symbol = CString::new(kernel.symbol).map_err(|_| missing())?;
        let (mut function, mut static_bytes): (CUfunction, c_int) = (null_mut(), 0);
        // SAFETY: the module is loaded; each call writes the one value it is given.
        unsafe {
            const NOT_FOUND: c_int = 500;
            match (api.cuModuleGetFunction)(&mut function, module, symbol.as_ptr()) {
                0 => {}
                NOT_FOUND => return Err(missing()),
                code => return Err(failed("cuModuleGetFunction", Code(code))),
            }
            let size = Attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES as c_int;
            call!(api, cuFuncGetAttribute(&mut static_bytes, size, function))?;
            // What a block opts in to includes the shared memory that the kernel declares.
            let dynamic_bytes = limits.shared_bytes_per_block as c_int - static_bytes;
            let limit = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES as c_int;
            call!(api, cuFuncSetAttribute(function, limit, dynamic_bytes))?;
        }
        Ok(function)
    }
}

impl Drop for Modules {
    fn drop(&mut self) {
        let loaded = self.loaded.get_mut().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: every driver over this context waited for its stream before it let go of this set, so no kernel runs.
        // A failure has nobody to go to.
        unsafe {
            (self.found.api.cuCtxSetCurrent)(self.context.cu_ctx());
            for (_, module) in loaded.modules.drain() {
                (self.found.api.cuModuleUnload)(module.0);
            }
        }
    }
}

fn no_image(kernel: &Kernel, limits: &Limits, fatbin: &Fatbin) -> CudaError {
    CudaError::NoImage {
        kernel: kernel.symbol,
        device: limits.name.clone(),
        capability: limits.capability,
        built: format!("sm_{} and PTX for {}", fatbin.archs.join(", sm_"), fatbin.ptx),
    }
}
