//! cuBLASLt, found at run time or absent.
#![allow(unsafe_code)]

use std::env;
use std::ffi::c_int;
use std::ffi::c_void;
use std::path::Path;
use std::path::PathBuf;
use std::sync::OnceLock;

use cudarc::cublaslt::sys::cublasLtHandle_t;
use cudarc::cublaslt::sys::cublasLtMatmulAlgo_t;
use cudarc::cublaslt::sys::cublasLtMatmulDesc_t;
use cudarc::cublaslt::sys::cublasLtMatmulPreference_t;
use cudarc::cublaslt::sys::cublasLtMatrixLayout_t;
use cudarc::driver::sys::CUstream;
use libloading::Library;

use crate::error::CudaError;

use super::table::function_table;
use super::table::keep;
use super::table::load_first;

/// The environment variable that names the library's file.
const CHOICE: &str = "LOWBIT_CUBLASLT";

function_table! {
    /// Functions of libcublasLt, the same in its versions 12 and 13.
    pub struct CublasLt {
        cublasLtGetVersion: fn() -> usize,
        cublasLtCreate: fn(*mut cublasLtHandle_t) -> c_int,
        cublasLtDestroy: fn(cublasLtHandle_t) -> c_int,
        cublasLtMatmulDescCreate: fn(*mut cublasLtMatmulDesc_t, c_int, c_int) -> c_int,
        cublasLtMatmulDescDestroy: fn(cublasLtMatmulDesc_t) -> c_int,
        cublasLtMatmulDescSetAttribute: fn(cublasLtMatmulDesc_t, c_int, *const c_void, usize) -> c_int,
        cublasLtMatrixLayoutCreate: fn(*mut cublasLtMatrixLayout_t, c_int, u64, u64, i64) -> c_int,
        cublasLtMatrixLayoutDestroy: fn(cublasLtMatrixLayout_t) -> c_int,
        cublasLtMatmulPreferenceCreate: fn(*mut cublasLtMatmulPreference_t) -> c_int,
        cublasLtMatmulPreferenceDestroy: fn(cublasLtMatmulPreference_t) -> c_int,
        cublasLtMatmulPreferenceSetAttribute: fn(cublasLtMatmulPreference_t, c_int, *const c_void, usize) -> c_int,
        cublasLtMatmulAlgoGetHeuristic: fn(
            cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
            cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatmulPreference_t, c_int, *mut HeuristicResult,
            *mut c_int,
        ) -> c_int,
        cublasLtMatmul: fn(
            cublasLtHandle_t, cublasLtMatmulDesc_t, *const c_void, *const c_void, cublasLtMatrixLayout_t, *const c_void,
            cublasLtMatrixLayout_t, *const c_void, *const c_void, cublasLtMatrixLayout_t, *mut c_void,
            cublasLtMatrixLayout_t, *const cublasLtMatmulAlgo_t, *mut c_void, usize, CUstream,
        ) -> c_int,
    }
}

/// `cublasLtMatmulHeuristicResult_t`, its status as the number it is.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct HeuristicResult {
    pub algo: cublasLtMatmulAlgo_t,
    pub workspace_bytes: usize,
    pub state: c_int,
    pub waves: f32,
    reserved: [c_int; 4],
}

impl HeuristicResult {
    /// To be written over.
    pub fn empty() -> Self {
        let algo = cublasLtMatmulAlgo_t { data: [0; 8] };
        Self { algo, workspace_bytes: 0, state: 0, waves: 0.0, reserved: [0; 4] }
    }
}

/// The library that was found.
pub struct Lt {
    /// Its functions.
    pub api: CublasLt,
    name: String,
}

impl Lt {
    fn load(library: &'static Library, name: &str) -> Result<Self, CudaError> {
        let lacks = |function| CudaError::Call {
            call: "loading cuBLASLt",
            reason: format!("{name} has no function {function}"),
        };
        Ok(Self { api: CublasLt::load(library).map_err(lacks)?, name: name.into() })
    }

    /// Its version: 10000 × major + 100 × minor + patch.
    pub fn version(&self) -> usize {
        // SAFETY: takes nothing.
        unsafe { (self.api.cublasLtGetVersion)() }
    }

    /// Its file, where the system can tell, else the name under which it was found.
    pub fn path(&self) -> PathBuf {
        if Path::new(&self.name).is_absolute() {
            return PathBuf::from(&self.name);
        }
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let mapped = maps.lines().filter_map(|line| line.find('/').map(|start| &line[start..]));
        let file = mapped.into_iter().find(|path| path.contains("/libcublasLt.so")).unwrap_or(&self.name);
        PathBuf::from(file)
    }
}

/// That LOWBIT_CUBLASLT, where it is set, names a library that loads: a choice is not replaced by another.
///
/// # Errors
/// [`CudaError::Call`] with what is wrong.
pub fn check_choice() -> Result<(), CudaError> {
    match env::var(CHOICE) {
        Ok(path) if !path.is_empty() => chosen(&path).map(|_| ()),
        _ => Ok(()),
    }
}

fn chosen(path: &str) -> Result<&'static Lt, CudaError> {
    static CHOSEN: OnceLock<Result<Lt, CudaError>> = OnceLock::new();
    let lt = CHOSEN.get_or_init(|| {
        let failed = |e| CudaError::Call { call: "loading LOWBIT_CUBLASLT", reason: format!("{path}: {e}") };
        Lt::load(keep(path).map_err(failed)?, path)
    });
    lt.as_ref().map_err(CudaError::clone)
}

/// The library: LOWBIT_CUBLASLT, else by the names and in the folders where CUDA puts it. `None` where there is none; one
/// that is newer than the driver is not used.
///
/// # Errors
/// Those of [`check_choice`].
pub fn find(driver_version: u32) -> Result<Option<&'static Lt>, CudaError> {
    match env::var(CHOICE) {
        Ok(path) if !path.is_empty() => chosen(&path).map(Some),
        _ => {
            static USUAL: OnceLock<Option<Lt>> = OnceLock::new();
            let usual = USUAL.get_or_init(|| {
                let candidates = candidates(driver_version / 1000);
                let (library, name) = load_first(candidates.iter().map(String::as_str))?;
                Lt::load(library, name).ok()
            });
            Ok(usual.as_ref())
        }
    }
}

/// File names to try, the best first, for a driver of major version `major`.
fn candidates(major: u32) -> Vec<String> {
    let versions = (12..=13).rev().filter(|version| *version <= major);
    if cfg!(windows) {
        return versions.map(|version| format!("cublasLt64_{version}.dll")).collect();
    }
    let names: Vec<String> = versions.map(|version| format!("libcublasLt.so.{version}")).collect();
    let homes = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(|name| env::var(name).ok()).filter(|h| !h.is_empty());
    let homes = homes.chain(["/usr/local/cuda", "/opt/cuda"].map(String::from));
    let folders = homes.flat_map(|home| ["lib64", "targets/x86_64-linux/lib"].map(|lib| format!("{home}/{lib}/")));
    let folders: Vec<String> = std::iter::once(String::new()).chain(folders).collect();
    names.iter().flat_map(|name| folders.iter().map(move |folder| format!("{folder}{name}"))).collect()
}

/// The name of a `cublasStatus_t`.
fn status_name(status: c_int) -> &'static str {
    match status {
        1 => "CUBLAS_STATUS_NOT_INITIALIZED",
        3 => "CUBLAS_STATUS_ALLOC_FAILED",
        7 => "CUBLAS_STATUS_INVALID_VALUE",
        8 => "CUBLAS_STATUS_ARCH_MISMATCH",
        11 => "CUBLAS_STATUS_MAPPING_ERROR",
        13 => "CUBLAS_STATUS_EXECUTION_FAILED",
        14 => "CUBLAS_STATUS_INTERNAL_ERROR",
        15 => "CUBLAS_STATUS_NOT_SUPPORTED",
        16 => "CUBLAS_STATUS_LICENSE_ERROR",
        _ => "cuBLAS status",
    }
}

/// A status as a result.
pub fn check(call: &'static str, status: c_int) -> Result<(), CudaError> {
    if status == 0 {
        return Ok(());
    }
    Err(CudaError::Call { call, reason: format!("{} ({status})", status_name(status)) })
}

#[cfg(test)]
mod tests {
    use cudarc::cublaslt::sys::cublasLtMatmulHeuristicResult_t;
    use cudarc::cublaslt::sys::cublasStatus_t;

    use super::*;

    #[test]
    fn the_result_is_laid_out_as_in_the_header() {
        assert_eq!(size_of::<HeuristicResult>(), size_of::<cublasLtMatmulHeuristicResult_t>());
        let theirs = std::mem::offset_of!(cublasLtMatmulHeuristicResult_t, state);
        assert_eq!(std::mem::offset_of!(HeuristicResult, state), theirs);
    }

    #[test]
    fn names_are_those_of_the_header() {
        for status in [
            cublasStatus_t::CUBLAS_STATUS_NOT_INITIALIZED,
            cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED,
            cublasStatus_t::CUBLAS_STATUS_INVALID_VALUE,
            cublasStatus_t::CUBLAS_STATUS_ARCH_MISMATCH,
            cublasStatus_t::CUBLAS_STATUS_MAPPING_ERROR,
            cublasStatus_t::CUBLAS_STATUS_EXECUTION_FAILED,
            cublasStatus_t::CUBLAS_STATUS_INTERNAL_ERROR,
            cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED,
            cublasStatus_t::CUBLAS_STATUS_LICENSE_ERROR,
        ] {
            assert_eq!(status_name(status as c_int), format!("{status:?}"));
        }
    }

    #[test]
    fn a_library_newer_than_the_driver_is_not_tried() {
        let names = candidates(12);
        assert!(names.iter().any(|name| name == "libcublasLt.so.12" || name == "cublasLt64_12.dll"));
        assert!(!names.iter().any(|name| name.contains("13")), "{names:?}");
        assert!(candidates(13)[0].contains("13"));
    }
}
