//! Scratch memory of a stream: grows to what the largest operation needs, then stays.
#![allow(unsafe_code)]

use std::sync::Arc;
use std::sync::MutexGuard;

use crate::cuda::buffer::Region;
use crate::cuda::driver::DevicePtr;
use crate::cuda::driver::Driver;
use crate::error::CudaError;
use crate::error::Result;

/// Regions of a workspace begin at multiples of so many bytes.
const ALIGNMENT: usize = 256;

/// Scratch memory of one stream. Work is ordered, so one operation after the other may use the same bytes.
pub struct Workspace {
    driver: Arc<dyn Driver>,
    ptr: DevicePtr,
    bytes: usize,
}

impl Workspace {
    pub fn new(driver: Arc<dyn Driver>) -> Self {
        Self { driver, ptr: 0, bytes: 0 }
    }

    /// Regions of so many bytes, each aligned to 256.
    pub fn lease<'a>(mut this: MutexGuard<'a, Self>, regions: &[usize]) -> Result<Lease<'a>> {
        let mut total = 0;
        let offsets = regions.iter().map(|bytes| {
            let offset = total;
            total += bytes.next_multiple_of(ALIGNMENT);
            (offset, *bytes)
        });
        let offsets = offsets.collect();
        if total > this.bytes {
            this.grow(total)?;
        }
        Ok(Lease { offsets, workspace: this })
    }

    fn grow(&mut self, need: usize) -> Result<()> {
        if self.driver.is_capturing()? {
            return Err(CudaError::WorkspaceInCapture { have: self.bytes, need }.into());
        }
        let ptr = self.driver.alloc(need)?;
        self.release();
        (self.ptr, self.bytes) = (ptr, need);
        Ok(())
    }

    fn release(&mut self) {
        if self.bytes > 0 {
            // SAFETY: `ptr` came from `alloc`; leases borrow the workspace, so none is left.
            unsafe { self.driver.free(self.ptr) };
            self.bytes = 0;
        }
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        self.release();
    }
}

/// The workspace for the time in which one operation enqueues its work.
pub struct Lease<'a> {
    offsets: Vec<(usize, usize)>,
    workspace: MutexGuard<'a, Workspace>,
}

impl Lease<'_> {
    /// Region `index` of those that were leased.
    ///
    /// # Panics
    /// When there is none of that index.
    pub fn region(&self, index: usize) -> Region<'_> {
        let (offset, bytes) = self.offsets[index];
        // SAFETY: within the workspace, which the lease keeps from being released.
        unsafe { Region::new(self.workspace.ptr + offset as DevicePtr, bytes) }
    }
}
