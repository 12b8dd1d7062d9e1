//! [`Limits`] of a device, from its attributes: needs no context on it.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::ffi::c_char;
use std::ffi::c_int;

use cudarc::driver::sys::CUdevice;
use cudarc::driver::sys::CUdevice_attribute as Attribute;

use crate::cuda::driver::Limits;
use crate::error::CudaError;

use super::api::Api;
use super::table::call;

/// The lowest compute capability that the kernels are written for.
const MIN_CAPABILITY: u32 = 80;

/// The driver's handle of device `index`.
///
/// # Errors
/// The driver's.
pub fn handle(api: &Api, index: usize) -> Result<CUdevice, CudaError> {
    let mut device = 0;
    // SAFETY: writes one number.
    unsafe { call!(api, cuDeviceGet(&mut device, index as c_int))? };
    Ok(device)
}

/// What a device has.
///
/// # Errors
/// The driver's.
pub fn limits(api: &Api, device: CUdevice) -> Result<Limits, CudaError> {
    let attribute = |attribute: Attribute| {
        let mut value: c_int = 0;
        // SAFETY: writes one number.
        unsafe { call!(api, cuDeviceGetAttribute(&mut value, attribute as c_int, device))? };
        Ok(u32::try_from(value).unwrap_or(0))
    };
    let mut memory_bytes = 0;
    // SAFETY: writes one number.
    unsafe { call!(api, cuDeviceTotalMem_v2(&mut memory_bytes, device))? };
    Ok(Limits {
        name: name(api, device)?,
        capability: 10 * attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?
            + attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        num_sms: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        shared_bytes_per_block: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
        shared_bytes_per_sm: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR)?,
        threads_per_sm: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR)?,
        l2_bytes: attribute(Attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)? as usize,
        memory_bytes,
    })
}

fn name(api: &Api, device: CUdevice) -> Result<String, CudaError> {
    let mut text = [0u8; 256];
    // SAFETY: the driver writes at most the length it is given, a NUL included.
    unsafe { call!(api, cuDeviceGetName(text.as_mut_ptr().cast::<c_char>(), text.len() as c_int, device))? };
    Ok(CStr::from_bytes_until_nul(&text).unwrap_or_default().to_string_lossy().into_owned())
}

/// Whether the kernels are written for a device.
///
/// # Errors
/// [`CudaError::DeviceTooOld`].
pub fn check(limits: &Limits) -> Result<(), CudaError> {
    if limits.capability < MIN_CAPABILITY {
        return Err(CudaError::DeviceTooOld { device: limits.name.clone(), capability: limits.capability });
    }
    Ok(())
}
