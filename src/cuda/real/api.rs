//! The functions of libcuda that this crate calls.

use std::ffi::c_char;
use std::ffi::c_int;
use std::ffi::c_uint;
use std::ffi::c_void;

use cudarc::driver::sys::CUcontext;
use cudarc::driver::sys::CUdevice;
use cudarc::driver::sys::CUdeviceptr;
use cudarc::driver::sys::CUevent;
use cudarc::driver::sys::CUfunction;
use cudarc::driver::sys::CUgraph;
use cudarc::driver::sys::CUgraphExec;
use cudarc::driver::sys::CUmodule;
use cudarc::driver::sys::CUstream;

use super::table::function_table;

function_table! {
    /// Functions of libcuda; all are in every driver since CUDA 11.4.
    pub struct Api {
        cuInit: fn(c_uint) -> c_int,
        cuDriverGetVersion: fn(*mut c_int) -> c_int,
        cuDeviceGetCount: fn(*mut c_int) -> c_int,
        cuDeviceGet: fn(*mut CUdevice, c_int) -> c_int,
        cuDeviceGetName: fn(*mut c_char, c_int, CUdevice) -> c_int,
        cuDeviceGetAttribute: fn(*mut c_int, c_int, CUdevice) -> c_int,
        cuDeviceTotalMem_v2: fn(*mut usize, CUdevice) -> c_int,
        cuCtxGetCurrent: fn(*mut CUcontext) -> c_int,
        cuCtxSetCurrent: fn(CUcontext) -> c_int,
        cuMemGetInfo_v2: fn(*mut usize, *mut usize) -> c_int,
        cuMemAlloc_v2: fn(*mut CUdeviceptr, usize) -> c_int,
        cuMemFree_v2: fn(CUdeviceptr) -> c_int,
        cuMemAllocAsync: fn(*mut CUdeviceptr, usize, CUstream) -> c_int,
        cuMemFreeAsync: fn(CUdeviceptr, CUstream) -> c_int,
        cuMemsetD8Async: fn(CUdeviceptr, u8, usize, CUstream) -> c_int,
        cuMemcpyHtoDAsync_v2: fn(CUdeviceptr, *const c_void, usize, CUstream) -> c_int,
        cuMemcpyDtoHAsync_v2: fn(*mut c_void, CUdeviceptr, usize, CUstream) -> c_int,
        cuMemcpyDtoDAsync_v2: fn(CUdeviceptr, CUdeviceptr, usize, CUstream) -> c_int,
        cuModuleLoadData: fn(*mut CUmodule, *const c_void) -> c_int,
        cuModuleUnload: fn(CUmodule) -> c_int,
        cuModuleGetFunction: fn(*mut CUfunction, CUmodule, *const c_char) -> c_int,
        cuFuncGetAttribute: fn(*mut c_int, c_int, CUfunction) -> c_int,
        cuFuncSetAttribute: fn(CUfunction, c_int, c_int) -> c_int,
        cuLaunchKernel: fn(
            CUfunction, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, CUstream, *mut *mut c_void,
            *mut *mut c_void,
        ) -> c_int,
        cuStreamIsCapturing: fn(CUstream, *mut c_int) -> c_int,
        cuStreamSynchronize: fn(CUstream) -> c_int,
        cuStreamBeginCapture_v2: fn(CUstream, c_int) -> c_int,
        cuStreamEndCapture: fn(CUstream, *mut CUgraph) -> c_int,
        cuGraphInstantiateWithFlags: fn(*mut CUgraphExec, CUgraph, u64) -> c_int,
        cuGraphLaunch: fn(CUgraphExec, CUstream) -> c_int,
        cuGraphExecDestroy: fn(CUgraphExec) -> c_int,
        cuGraphDestroy: fn(CUgraph) -> c_int,
        cuEventCreate: fn(*mut CUevent, c_uint) -> c_int,
        cuEventRecord: fn(CUevent, CUstream) -> c_int,
        cuEventSynchronize: fn(CUevent) -> c_int,
        cuEventElapsedTime: fn(*mut f32, CUevent, CUevent) -> c_int,
        cuEventDestroy_v2: fn(CUevent) -> c_int,
    }
}

/// What cudarc calls on our behalf (contexts, streams, slices) besides; it panics where one is missing.
pub const CALLED_BY_CUDARC: &[&str] = &[
    "cuDevicePrimaryCtxRetain",
    "cuDevicePrimaryCtxRelease_v2",
    "cuCtxSynchronize",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamWaitEvent",
    "cuGetErrorName",
    "cuGetErrorString",
];
