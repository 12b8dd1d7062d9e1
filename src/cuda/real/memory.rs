//! Device memory: allocated and freed in the order of the stream, copied and filled.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::sync::PoisonError;

use crate::cuda::driver::DevicePtr;
use crate::error::CudaError;

use super::CudarcDriver;
use super::codes::Code;
use super::codes::failed;
use super::table::call;

impl CudarcDriver {
    /// Memory that may be used by work enqueued from here on.
    ///
    /// In a capture it would become part of the graph and vanish with it, so that is an error.
    pub(super) fn allocate(&self, bytes: usize) -> Result<DevicePtr, CudaError> {
        self.enter("allocating device memory")?;
        self.free_postponed();
        let (api, mut ptr) = (self.found.api, 0);
        // SAFETY: writes one address.
        let (call, status) = unsafe {
            if self.has_pools() {
                ("cuMemAllocAsync", (api.cuMemAllocAsync)(&mut ptr, bytes, self.stream.cu_stream()))
            } else {
                ("cuMemAlloc", (api.cuMemAlloc_v2)(&mut ptr, bytes))
            }
        };
        match Code(status) {
            Code(0) => Ok(ptr),
            Code::OUT_OF_MEMORY => {
                let (mut free, mut total) = (0, 0);
                // SAFETY: writes two numbers. They are for the message: that this call fails too changes nothing.
                unsafe { (api.cuMemGetInfo_v2)(&mut free, &mut total) };
                Err(CudaError::OutOfMemory { device: self.limits.name.clone(), bytes, free })
            }
            code => Err(failed(call, code)),
        }
    }

    /// Gives memory back after the work enqueued. In a capture that would become part of the graph, or end it: the memory
    /// is given back later.
    ///
    /// # Safety
    /// `ptr` came from [`CudarcDriver::allocate`] and is not used by work enqueued later.
    pub(super) unsafe fn give_back(&self, ptr: DevicePtr) {
        self.postponed.lock().unwrap_or_else(PoisonError::into_inner).push(ptr);
        if self.bind().is_ok() && matches!(self.captures(), Ok(false)) {
            self.free_postponed();
        }
    }

    /// Gives back what waits for it. The context is current and nothing is being captured.
    pub(super) fn free_postponed(&self) {
        let api = self.found.api;
        for ptr in self.postponed.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // SAFETY: only `give_back` puts addresses there, each once. A failure has nobody to go to.
            unsafe {
                if self.has_pools() {
                    (api.cuMemFreeAsync)(ptr, self.stream.cu_stream());
                } else {
                    // Work that uses the memory may still run.
                    (api.cuStreamSynchronize)(self.stream.cu_stream());
                    (api.cuMemFree_v2)(ptr);
                }
            }
        }
    }

    /// Whether memory is ordered by the stream. cudarc frees what we allocate by the same rule, and the other way round.
    fn has_pools(&self) -> bool {
        self.modules.context().has_async_alloc()
    }

    /// # Safety
    /// As [`Driver`](crate::cuda::Driver) says.
    pub(super) unsafe fn copy_to_device(&self, from: &[u8], to: DevicePtr) -> Result<(), CudaError> {
        self.enter("copying host memory to the device")?;
        let (api, stream) = (self.found.api, self.stream.cu_stream());
        // SAFETY: the caller's promise. Pageable memory is staged before the call returns, pinned memory is read when the
        // stream comes to it: only after waiting is `from` the caller's again, whichever it is.
        unsafe {
            call!(api, cuMemcpyHtoDAsync_v2(to, from.as_ptr().cast(), from.len(), stream))?;
            call!(api, cuStreamSynchronize(stream))
        }
    }

    /// # Safety
    /// As [`Driver`](crate::cuda::Driver) says.
    pub(super) unsafe fn copy_to_host(&self, from: DevicePtr, to: &mut [u8]) -> Result<(), CudaError> {
        self.enter("copying device memory to the host")?;
        let (api, stream) = (self.found.api, self.stream.cu_stream());
        // SAFETY: the caller's promise; `to` is borrowed until the copy has arrived.
        unsafe {
            call!(api, cuMemcpyDtoHAsync_v2(to.as_mut_ptr().cast::<c_void>(), from, to.len(), stream))?;
            call!(api, cuStreamSynchronize(stream))
        }
    }
}
