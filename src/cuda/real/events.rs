//! Time on the device.
#![allow(unsafe_code)]

use std::ptr::null_mut;

use cudarc::driver::CudaStream;
use cudarc::driver::sys::CUevent;

use crate::error::CudaError;
use crate::error::Result;

use super::CudarcDriver;
use super::api::Api;
use super::table::call;

/// An event that records a time.
struct Event {
    api: &'static Api,
    event: CUevent,
}

impl Event {
    /// Recorded where the stream is.
    fn record(api: &'static Api, stream: &CudaStream) -> Result<Self, CudaError> {
        const WITH_TIMING: u32 = 0;
        let mut event = null_mut();
        // SAFETY: writes one handle; the stream is alive.
        unsafe {
            call!(api, cuEventCreate(&mut event, WITH_TIMING))?;
            let event = Self { api, event };
            call!(api, cuEventRecord(event.event, stream.cu_stream()))?;
            Ok(event)
        }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: created by `record`. A failure has nobody to go to.
        unsafe { (self.api.cuEventDestroy_v2)(self.event) };
    }
}

impl CudarcDriver {
    /// Milliseconds between two events around what `work` enqueues.
    pub(super) fn time_work(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<f32> {
        self.enter("measuring time")?;
        let begin = Event::record(self.found.api, &self.stream)?;
        work()?;
        self.enter("measuring time")?;
        let end = Event::record(self.found.api, &self.stream)?;
        let mut milliseconds = 0.0;
        // The second version of the function, which cudarc calls, came with CUDA 12.8; the first is in every driver.
        // SAFETY: both events are recorded; writes one number.
        unsafe {
            call!(self.found.api, cuEventSynchronize(end.event))?;
            call!(self.found.api, cuEventElapsedTime(&mut milliseconds, begin.event, end.event))?;
        }
        Ok(milliseconds)
    }
}
