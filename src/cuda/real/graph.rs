//! CUDA graphs: work captured from the stream once and replayed.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::ptr::null_mut;

use cudarc::driver::sys::CUgraph;
use cudarc::driver::sys::CUgraphExec;

use crate::error::CudaError;
use crate::error::Result;

use super::CudarcDriver;
use super::table::call;

/// Work that can be enqueued in one call. What it works on must outlive it; the stream is idle when it goes.
pub struct Graph<'a> {
    driver: &'a CudarcDriver,
    executable: CUgraphExec,
}

/// A capture that has begun, and ends even if what is captured fails or panics.
struct Capture<'a> {
    driver: &'a CudarcDriver,
    ended: bool,
}

impl Capture<'_> {
    /// Calls of other threads are no part of it and do not spoil it: `CU_STREAM_CAPTURE_MODE_THREAD_LOCAL`.
    const MODE: c_int = 1;

    fn begin(driver: &CudarcDriver) -> Result<Capture<'_>, CudaError> {
        driver.enter("capturing a graph")?;
        // SAFETY: the stream is alive.
        unsafe { call!(driver.found.api, cuStreamBeginCapture_v2(driver.stream.cu_stream(), Self::MODE))? };
        Ok(Capture { driver, ended: false })
    }

    fn end(mut self) -> Result<CUgraph, CudaError> {
        self.ended = true;
        let (driver, mut graph) = (self.driver, null_mut());
        driver.bind()?;
        // SAFETY: writes one handle; the stream is alive.
        unsafe { call!(driver.found.api, cuStreamEndCapture(driver.stream.cu_stream(), &mut graph))? };
        Ok(graph)
    }
}

impl Drop for Capture<'_> {
    fn drop(&mut self) {
        if self.ended || self.driver.bind().is_err() {
            return;
        }
        let (api, mut graph) = (self.driver.found.api, null_mut());
        // SAFETY: as `end`. A failure has nobody to go to; it leaves no graph.
        unsafe {
            (api.cuStreamEndCapture)(self.driver.stream.cu_stream(), &mut graph);
            if !graph.is_null() {
                (api.cuGraphDestroy)(graph);
            }
        }
    }
}

impl CudarcDriver {
    /// What `work` enqueues, as a graph; nothing is executed.
    pub(super) fn capture(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<Graph<'_>> {
        let capture = Capture::begin(self)?;
        work()?;
        let graph = capture.end()?;
        let (api, mut executable) = (self.found.api, null_mut());
        const NO_FLAGS: u64 = 0;
        // SAFETY: writes one handle. An executable graph does not need the graph it was made of.
        let made = unsafe {
            let made = call!(api, cuGraphInstantiateWithFlags(&mut executable, graph, NO_FLAGS));
            (api.cuGraphDestroy)(graph);
            made
        };
        made?;
        Ok(Graph { driver: self, executable })
    }
}

impl Graph<'_> {
    /// Enqueues the work.
    pub fn launch(&self) -> Result<(), CudaError> {
        self.driver.bind()?;
        // SAFETY: the graph and the stream are alive; what was captured is still valid by the promise of the struct.
        unsafe { call!(self.driver.found.api, cuGraphLaunch(self.executable, self.driver.stream.cu_stream())) }
    }
}

impl Drop for Graph<'_> {
    fn drop(&mut self) {
        if self.driver.bind().is_ok() {
            // SAFETY: instantiated by `capture`. A failure has nobody to go to.
            unsafe { (self.driver.found.api.cuGraphExecDestroy)(self.executable) };
        }
    }
}
