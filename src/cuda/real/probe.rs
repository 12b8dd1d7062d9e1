//! What is on this machine: libcuda, its version, its devices. Every other call comes after this one said yes.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::sync::OnceLock;

use libloading::Library;

use crate::cuda::fatbins::Images;
use crate::error::CudaError;

use super::api::Api;
use super::api::CALLED_BY_CUDARC;
use super::codes::Code;
use super::codes::failed;
use super::table::call;
use super::table::load_first;

/// A driver that answers.
#[derive(Clone, Copy)]
pub struct Found {
    /// Its functions.
    pub api: &'static Api,
    /// The CUDA version it supports: 1000 × major + 10 × minor.
    pub version: u32,
    /// How many devices it sees: at least one.
    pub count: usize,
}

/// The names under which cudarc looks for libcuda too, in its order: it must find the same one.
const NAMES: &[&str] = if cfg!(windows) { &["nvcuda.dll"] } else { &["libcuda.so", "libcuda.so.1"] };

/// The functions of libcuda. The library stays loaded: cudarc then finds it.
fn api() -> Result<&'static Api, CudaError> {
    static API: OnceLock<Result<Api, CudaError>> = OnceLock::new();
    let api = API.get_or_init(|| {
        let (library, name) = load_first(NAMES.iter().copied()).ok_or(CudaError::NoDriver)?;
        let lacks = |function: &str| CudaError::Call {
            call: "loading libcuda",
            reason: format!("{name} has no function {function}: it is no NVIDIA driver of CUDA 11.2 or later"),
        };
        let api = Api::load(library).map_err(lacks)?;
        CALLED_BY_CUDARC.iter().find(|name| !has(library, name)).map_or(Ok(api), |name| Err(lacks(name)))
    });
    api.as_ref().map_err(CudaError::clone)
}

fn has(library: &Library, function: &str) -> bool {
    // SAFETY: the address is not used.
    unsafe { library.get::<unsafe extern "C" fn()>(function) }.is_ok()
}

/// Looks for a driver and devices; never panics.
///
/// # Errors
/// [`CudaError::NoDriver`], [`CudaError::NoDevice`], [`CudaError::Call`].
pub fn probe() -> Result<Found, CudaError> {
    let api = api()?;
    // SAFETY: `cuInit` takes no pointer and may be called again.
    match Code(unsafe { (api.cuInit)(0) }) {
        Code(0) => {}
        Code::NO_DEVICE => return Err(CudaError::NoDevice),
        // The toolkit's libcuda, to link with and not to run.
        Code::STUB_LIBRARY => return Err(CudaError::NoDriver),
        code => return Err(failed("cuInit", code)),
    }
    let (mut version, mut count): (c_int, c_int) = (0, 0);
    // SAFETY: each call writes the one number it is given.
    unsafe {
        call!(api, cuDriverGetVersion(&mut version))?;
        call!(api, cuDeviceGetCount(&mut count))?;
    }
    match usize::try_from(count) {
        Ok(count) if count > 0 => Ok(Found { api, version: u32::try_from(version).unwrap_or(0), count }),
        _ => Err(CudaError::NoDevice),
    }
}

impl Found {
    /// Whether these kernels run with this driver.
    ///
    /// # Errors
    /// [`CudaError::NoKernels`], [`CudaError::DriverTooOld`].
    pub fn runs(&self, images: &Images) -> Result<(), CudaError> {
        if let Some(why) = images.missing() {
            return Err(CudaError::NoKernels { why });
        }
        check_version(self.version, images.toolkit)
    }
}

/// A driver runs the machine code of every toolkit of its own major version and of earlier ones.
/// Source: CUDA Compatibility, "Minor Version Compatibility".
fn check_version(found: u32, (major, _): (u32, u32)) -> Result<(), CudaError> {
    let need = major * 1000;
    if found < need { Err(CudaError::DriverTooOld { found, need }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_runs_toolkits_up_to_its_own_major_version() {
        assert_eq!(check_version(12040, (13, 0)), Err(CudaError::DriverTooOld { found: 12040, need: 13000 }));
        assert_eq!(check_version(13000, (13, 0)), Ok(()));
        assert_eq!(check_version(13000, (13, 2)), Ok(()), "machine code of 13.2 runs on a driver of 13.0");
        assert_eq!(check_version(14000, (13, 0)), Ok(()));
        assert_eq!(check_version(11080, (12, 9)), Err(CudaError::DriverTooOld { found: 11080, need: 12000 }));
    }
}
