//! Time on the device.
#![allow(unsafe_code)]

use std::ptr::null_mut;

use cudarc::driver::CudaStream;
use cudarc::driver::sys::CUevent;

use crate::cuda::driver::Driver;
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

    /// Waits for both.
    fn milliseconds_after(&self, begin: &Self) -> Result<f32, CudaError> {
        let mut milliseconds = 0.0;
        // The second version of the function, which cudarc calls, came with CUDA 12.8; the first is in every driver.
        // SAFETY: both events are recorded; writes one number.
        unsafe {
            call!(self.api, cuEventSynchronize(self.event))?;
            call!(self.api, cuEventElapsedTime(&mut milliseconds, begin.event, self.event))?;
        }
        Ok(milliseconds)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: created by `record`. A failure has nobody to go to.
        unsafe { (self.api.cuEventDestroy_v2)(self.event) };
    }
}

impl CudarcDriver {
    /// Milliseconds of each of `samples` replays of what `work` enqueues.
    pub(super) fn time_work(&self, work: &mut dyn FnMut() -> Result<()>, samples: usize) -> Result<Vec<f32>> {
        self.enter("measuring time")?;
        work()?;
        let graph = self.capture(work)?;
        // The first replay also copies the graph to the device.
        graph.launch()?;
        // All are enqueued before any is waited for, so that the host's calls are hidden behind the work.
        let replays: Result<Vec<(Event, Event)>, CudaError> = (0..samples)
            .map(|_| {
                let begin = Event::record(self.found.api, &self.stream)?;
                graph.launch()?;
                Ok((begin, Event::record(self.found.api, &self.stream)?))
            })
            .collect();
        // Also when an event fails: the graph goes after its last replay.
        self.synchronize()?;
        let replays = replays?;
        Ok(replays.iter().map(|(begin, end)| end.milliseconds_after(begin)).collect::<Result<_, CudaError>>()?)
    }
}
