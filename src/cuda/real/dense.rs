//! Dense products in cuBLASLt: y\[M,N\] = x\[M,K\] · w\[N,K\]ᵀ, f32 sums.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ffi::c_int;
use std::ffi::c_void;
use std::ptr::from_ref;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use cudarc::cublaslt::sys::cublasComputeType_t::CUBLAS_COMPUTE_32F;
use cudarc::cublaslt::sys::cublasLtHandle_t;
use cudarc::cublaslt::sys::cublasLtMatmulDesc_t;
use cudarc::cublaslt::sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSA;
use cudarc::cublaslt::sys::cublasLtMatmulPreference_t;
use cudarc::cublaslt::sys::cublasLtMatmulPreferenceAttributes_t as Preference;
use cudarc::cublaslt::sys::cublasLtMatrixLayout_t;
use cudarc::cublaslt::sys::cublasLtReductionScheme_t::CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
use cudarc::cublaslt::sys::cudaDataType_t;
use cudarc::driver::CudaStream;

use crate::cuda::driver::DenseProduct;
use crate::cuda::driver::DevicePtr;
use crate::cuda::driver::Driver;
use crate::cuda::driver::Limits;
use crate::error::CudaError;
use crate::error::Result;
use crate::values::Dtype;

use super::CudarcDriver;
use super::cublaslt;
use super::cublaslt::CublasLt;
use super::cublaslt::HeuristicResult;
use super::cublaslt::check;
use super::probe::Found;

/// `cublasOperation_t`: the transpose.
const CUBLAS_OP_T: i32 = 1;

/// A handle of cuBLASLt with its scratch memory, for one stream.
pub struct Dense {
    api: &'static CublasLt,
    handle: cublasLtHandle_t,
    stream: Arc<CudaStream>,
    workspace_bytes: usize,
    /// Allocated by the first product, which therefore cannot be captured.
    workspace: Mutex<Option<DevicePtr>>,
    /// The library's choice for each product it was asked for.
    chosen: Mutex<HashMap<Key, HeuristicResult>>,
}

// SAFETY: cuBLASLt's functions may be called with one handle from any thread.
unsafe impl Send for Dense {}
// SAFETY: as above.
unsafe impl Sync for Dense {}

/// What the choice of algorithm depends on.
#[derive(PartialEq, Eq, Hash, Clone, Copy)]
struct Key {
    dtype: Dtype,
    m: usize,
    n: usize,
    k: usize,
    /// Alignment of x, w and y in bytes, 256 at most.
    alignments: [u32; 3],
}

/// Choices remembered at most. Rows of x come in many numbers; one choice is some 100 bytes.
const MAX_CHOSEN: usize = 4096;

/// Scratch memory that cuBLAS recommends for an architecture.
/// Source: cuBLAS, `cublasSetWorkspace`: 32 MiB on sm_9x and sm_10x, 12 MiB on sm_12x, 4 MiB before.
fn workspace_bytes(capability: u32) -> usize {
    let mebibytes = match capability {
        ..90 => 4,
        90..120 => 32,
        _ => 12,
    };
    mebibytes << 20
}

impl Dense {
    /// `None` where there is no library that works. The context is current.
    pub fn new(found: Found, limits: &Limits, stream: &Arc<CudaStream>) -> Option<Self> {
        let api = &cublaslt::find(found.version).ok()??.api;
        let mut handle = null_mut();
        // SAFETY: writes one handle.
        check("cublasLtCreate", unsafe { (api.cublasLtCreate)(&mut handle) }).ok()?;
        Some(Self {
            api,
            handle,
            stream: Arc::clone(stream),
            workspace_bytes: workspace_bytes(limits.capability),
            workspace: Mutex::default(),
            chosen: Mutex::default(),
        })
    }

    /// The scratch memory, no longer this one's.
    pub fn take_workspace(&self) -> Option<DevicePtr> {
        self.workspace.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Enqueues a product. The context of `driver` is current.
    ///
    /// # Safety
    /// As [`Driver::dense`].
    pub unsafe fn multiply(&self, driver: &CudarcDriver, product: &DenseProduct) -> Result<()> {
        let DenseProduct { dtype, m, n, k, x, w, y } = *product;
        if m == 0 || n == 0 {
            return Ok(());
        }
        if k == 0 {
            // SAFETY: the caller's promise.
            return unsafe { driver.fill(y, 0, m * n * dtype.size_bytes()) };
        }
        // Held while enqueuing: products of one stream share the scratch memory in the stream's order.
        let mut workspace = self.workspace.lock().unwrap_or_else(PoisonError::into_inner);
        let scratch = match *workspace {
            Some(ptr) => ptr,
            None => *workspace.insert(driver.allocate(self.workspace_bytes)?),
        };
        let description = Description::new(self.api, product)?;
        let choice = self.choose(&description, product)?;
        let (alpha, beta) = (1f32, 0f32);
        let (desc, [a, b, c]) = (description.desc, description.layouts);
        // SAFETY: descriptors are alive; addresses are the caller's promise; scales are read before the call returns.
        let status = unsafe {
            (self.api.cublasLtMatmul)(
                self.handle,
                desc,
                from_ref(&alpha).cast(),
                w as *const c_void,
                a,
                x as *const c_void,
                b,
                from_ref(&beta).cast(),
                y as *const c_void,
                c,
                y as *mut c_void,
                c,
                &choice.algo,
                scratch as *mut c_void,
                self.workspace_bytes,
                self.stream.cu_stream(),
            )
        };
        Ok(check("cublasLtMatmul", status)?)
    }

    /// The library's choice, asked for once.
    fn choose(&self, description: &Description, product: &DenseProduct) -> Result<HeuristicResult, CudaError> {
        let DenseProduct { dtype, m, n, k, x, w, y } = *product;
        let key = Key { dtype, m, n, k, alignments: [x, w, y].map(alignment) };
        let mut chosen = self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(choice) = chosen.get(&key) {
            return Ok(*choice);
        }
        let choice = self.ask(description, &key)?;
        if chosen.len() == MAX_CHOSEN {
            chosen.clear();
        }
        chosen.insert(key, choice);
        Ok(choice)
    }

    fn ask(&self, description: &Description, key: &Key) -> Result<HeuristicResult, CudaError> {
        let [x, w, y] = key.alignments;
        let preferences = Preferences::new(self.api)?;
        let bytes = self.workspace_bytes as u64;
        preferences.set(Preference::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, bytes)?;
        // Where K is split, the parts are added as f32, never in the type of y.
        let scheme = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE as u32;
        preferences.set(Preference::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, scheme)?;
        preferences.set(Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, w)?;
        preferences.set(Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, x)?;
        preferences.set(Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, y)?;
        preferences.set(Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, y)?;
        let (desc, [a, b, c]) = (description.desc, description.layouts);
        let (mut result, mut count) = (HeuristicResult::empty(), 0);
        // SAFETY: descriptors are alive; one result is asked for and there is room for one.
        let status = unsafe {
            let (handle, preferences) = (self.handle, preferences.handle);
            (self.api.cublasLtMatmulAlgoGetHeuristic)(handle, desc, a, b, c, c, preferences, 1, &mut result, &mut count)
        };
        const NOT_SUPPORTED: c_int = 15;
        let status = if status == 0 && count == 0 { NOT_SUPPORTED } else { status };
        check("cublasLtMatmulAlgoGetHeuristic", if status == 0 { result.state } else { status })?;
        Ok(result)
    }
}

impl Drop for Dense {
    fn drop(&mut self) {
        // SAFETY: made by `new`. A failure has nobody to go to.
        unsafe { (self.api.cublasLtDestroy)(self.handle) };
    }
}

/// The largest power of two, at most 256, that divides an address.
fn alignment(ptr: DevicePtr) -> u32 {
    1 << ptr.trailing_zeros().min(8)
}

/// A product as cuBLASLt sees it. Its matrices are column-major, so a row-major [R, C] is its [C, R]: it computes
/// yᵀ[N, M] = (wᵀ)ᵀ[N, K] · xᵀ[K, M].
struct Description {
    api: &'static CublasLt,
    desc: cublasLtMatmulDesc_t,
    /// wᵀ, xᵀ, yᵀ.
    layouts: [cublasLtMatrixLayout_t; 3],
}

impl Description {
    fn new(api: &'static CublasLt, product: &DenseProduct) -> Result<Self, CudaError> {
        let (m, n, k) = (product.m as u64, product.n as u64, product.k as u64);
        let dtype = match product.dtype {
            Dtype::F32 => cudaDataType_t::CUDA_R_32F,
            Dtype::F16 => cudaDataType_t::CUDA_R_16F,
            Dtype::Bf16 => cudaDataType_t::CUDA_R_16BF,
        } as c_int;
        let mut this = Self { api, desc: null_mut(), layouts: [null_mut(); 3] };
        // SAFETY: each call writes the one handle it is given or reads the one number.
        unsafe {
            // Full f32 for f32 inputs too: TF32 would be CUBLAS_COMPUTE_32F_FAST_TF32.
            let (compute, scale) = (CUBLAS_COMPUTE_32F as c_int, cudaDataType_t::CUDA_R_32F as c_int);
            let status = (api.cublasLtMatmulDescCreate)(&mut this.desc, compute, scale);
            check("cublasLtMatmulDescCreate", status)?;
            let (attribute, value) = (CUBLASLT_MATMUL_DESC_TRANSA as c_int, from_ref(&CUBLAS_OP_T).cast());
            let status = (api.cublasLtMatmulDescSetAttribute)(this.desc, attribute, value, size_of::<i32>());
            check("cublasLtMatmulDescSetAttribute", status)?;
            for (layout, (rows, columns)) in this.layouts.iter_mut().zip([(k, n), (k, m), (n, m)]) {
                let status = (api.cublasLtMatrixLayoutCreate)(layout, dtype, rows, columns, rows as i64);
                check("cublasLtMatrixLayoutCreate", status)?;
            }
        }
        Ok(this)
    }
}

impl Drop for Description {
    fn drop(&mut self) {
        // SAFETY: made by `new`, or null where it did not come so far.
        unsafe {
            for layout in self.layouts.into_iter().filter(|layout| !layout.is_null()) {
                (self.api.cublasLtMatrixLayoutDestroy)(layout);
            }
            if !self.desc.is_null() {
                (self.api.cublasLtMatmulDescDestroy)(self.desc);
            }
        }
    }
}

/// What an algorithm must fulfil.
struct Preferences {
    api: &'static CublasLt,
    handle: cublasLtMatmulPreference_t,
}

impl Preferences {
    fn new(api: &'static CublasLt) -> Result<Self, CudaError> {
        let mut handle = null_mut();
        // SAFETY: writes one handle.
        check("cublasLtMatmulPreferenceCreate", unsafe { (api.cublasLtMatmulPreferenceCreate)(&mut handle) })?;
        Ok(Self { api, handle })
    }

    fn set<T: bytemuck::Pod>(&self, attribute: Preference, value: T) -> Result<(), CudaError> {
        let (attribute, value) = (attribute as c_int, from_ref(&value).cast());
        // SAFETY: the value has the size that is said, and the library checks that it is the attribute's.
        let status =
            unsafe { (self.api.cublasLtMatmulPreferenceSetAttribute)(self.handle, attribute, value, size_of::<T>()) };
        check("cublasLtMatmulPreferenceSetAttribute", status)
    }
}

impl Drop for Preferences {
    fn drop(&mut self) {
        // SAFETY: made by `new`.
        unsafe { (self.api.cublasLtMatmulPreferenceDestroy)(self.handle) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_fits_the_architecture() {
        let found = [80, 86, 89, 90, 100, 103, 120, 121].map(|capability| workspace_bytes(capability) >> 20);
        assert_eq!(found, [4, 4, 4, 32, 32, 32, 12, 12]);
    }

    #[test]
    fn alignment_is_a_power_of_two_up_to_256() {
        assert_eq!([0x1000, 0x1010, 0x1002, 0x1100, 0x1080].map(alignment), [256, 16, 2, 256, 128]);
    }
}
