//! Memory shared with callers who use cudarc: [`CudaSlice`] in and out, without a copy.
#![allow(unsafe_code)]

use std::any::Any;
use std::sync::Arc;

use cudarc::driver::CudaSlice;
use cudarc::driver::CudaStream;
use cudarc::driver::DevicePtr;

use crate::cuda::CudaDevice;
use crate::cuda::DeviceBuffer;
use crate::cuda::Driver;
use crate::cuda::fatbins::BUILD;
use crate::error::CudaError;
use crate::error::Error;
use crate::error::Result;
use crate::values::Element;

use super::CudarcDriver;
use super::codes::from_cudarc;

/// What kernels load at once: 16 bytes.
const ALIGNMENT: u64 = 16;

/// A caller's memory for as long as a buffer uses it.
struct Kept<E> {
    /// `None` once it is given back.
    slice: Option<Arc<CudaSlice<E>>>,
    stream: Arc<CudaStream>,
}

impl<E> Drop for Kept<E> {
    fn drop(&mut self) {
        if let Some(slice) = &self.slice {
            // The slice frees its memory in the order of its own stream, which must not overtake work on ours.
            let _ = follow(slice.stream(), &self.stream);
        }
    }
}

/// Makes work enqueued later on one stream wait for what is on another.
fn follow(later: &CudaStream, earlier: &CudaStream) -> Result<(), CudaError> {
    if later == earlier {
        return Ok(());
    }
    later.join(earlier).map_err(from_cudarc("cuStreamWaitEvent"))
}

impl CudaDevice {
    /// A caller's stream, in its context. Work is enqueued there in the order of calls: what the caller enqueued before
    /// comes before, what it enqueues later comes after, with no waiting on the host.
    ///
    /// Scratch memory belongs to the device: clones of it share the stream, and a second device over the same stream is
    /// allowed but has scratch memory of its own.
    ///
    /// # Errors
    /// As [`CudaDevice::new`].
    pub fn from_cudarc_stream(stream: Arc<CudaStream>) -> Result<Self> {
        Ok(Self::from_driver(Arc::new(CudarcDriver::from_stream(stream, &BUILD)?)))
    }

    /// The stream, for work of the caller's own and for capturing graphs; `None` on a simulator.
    ///
    /// A graph keeps the addresses of what was captured: device, layers and tensors must outlive it.
    pub fn cudarc_stream(&self) -> Option<&Arc<CudaStream>> {
        self.cudarc().map(|driver| &driver.stream)
    }

    fn cudarc(&self) -> Option<&CudarcDriver> {
        (self.driver() as &dyn Any).downcast_ref()
    }

    fn require_cudarc(&self) -> Result<&CudarcDriver> {
        self.cudarc().ok_or_else(|| Error::Unsupported {
            op: "sharing memory with cudarc",
            subject: "a buffer".into(),
            device: self.name().into(),
            rule: "the device is no stream of cudarc's".into(),
        })
    }
}

impl DeviceBuffer {
    /// Takes a caller's slice, or a share of one (`Arc`), without a copy.
    ///
    /// Work on the buffer comes after what is on the slice's stream so far; when the buffer goes, what is enqueued on the
    /// slice's stream comes after the work on the buffer. A caller who keeps a share orders its own work in between, and sees
    /// what operations write into the buffer.
    ///
    /// # Errors
    /// [`Error::WrongDevice`] for a slice of another context; [`Error::Unsupported`] for memory not aligned to 16 bytes.
    pub fn wrap_cuda_slice<E: Element>(device: &CudaDevice, slice: impl Into<Arc<CudaSlice<E>>>) -> Result<Self> {
        let (driver, slice) = (device.require_cudarc()?, slice.into());
        let (ours, theirs) = (driver.stream.context(), slice.context());
        if ours.cu_ctx() != theirs.cu_ctx() {
            let context = |context: &cudarc::driver::CudaContext| {
                format!("context {:?} of CUDA device {}", context.cu_ctx(), context.ordinal())
            };
            return Err(Error::WrongDevice { what: "CudaSlice", expected: context(ours), found: context(theirs) });
        }
        driver.bind()?;
        follow(&driver.stream, slice.stream())?;
        // Also waits for writers on other streams, where cudarc keeps account of them.
        let ptr = slice.device_ptr(&driver.stream).0;
        if !slice.is_empty() && ptr % ALIGNMENT != 0 {
            return Err(Error::Unsupported {
                op: "sharing memory with cudarc",
                subject: format!("a CudaSlice at {ptr:#x}"),
                device: device.name().into(),
                rule: format!("kernels need memory aligned to {ALIGNMENT} bytes"),
            });
        }
        Ok(Self::keep(device, Kept { slice: Some(slice), stream: Arc::clone(&driver.stream) }, ptr))
    }

    fn keep<E: Element>(device: &CudaDevice, kept: Kept<E>, ptr: u64) -> Self {
        let bytes = kept.slice.as_ref().map_or(0, |slice| slice.num_bytes());
        // SAFETY: the slice keeps its memory alive; its stream and ours are ordered where it comes and where it goes.
        unsafe { Self::from_foreign(device, ptr, bytes, Box::new(kept)) }
    }

    /// The memory as a cudarc slice on the device's stream (a slice that was wrapped: on its own), for the caller to keep.
    ///
    /// Without a copy where this is the only handle to the memory; else a copy on the device. Where the device made the
    /// memory, cudarc keeps no account of who uses it: order other streams after [`CudaSlice::stream`].
    ///
    /// # Errors
    /// [`Error::Length`] when the bytes are no multiple of the element; [`Error::Unsupported`] on a simulator; out of memory.
    pub fn into_cuda_slice<E: Element>(self) -> Result<CudaSlice<E>> {
        let device = self.device().clone();
        let (driver, bytes, ptr) = (device.require_cudarc()?, self.bytes(), self.ptr());
        if bytes % size_of::<E>() != 0 {
            let (expected, rule) = (bytes.next_multiple_of(size_of::<E>()), format!("whole {} values", E::DTYPE));
            return Err(Error::Length { what: "device memory", expected, found: bytes, rule });
        }
        driver.bind()?;
        let buffer = match self.take_foreign::<Kept<E>>() {
            Ok(mut kept) => match kept.slice.take().map(Arc::try_unwrap) {
                Some(Ok(slice)) => {
                    follow(slice.stream(), &driver.stream)?;
                    return Ok(slice);
                }
                shared => {
                    kept.slice = shared.and_then(std::result::Result::err);
                    Self::keep(&device, *kept, ptr)
                }
            },
            Err(buffer) => buffer,
        };
        if bytes == 0 {
            return Ok(driver.stream.null().map_err(from_cudarc("cuMemAlloc"))?);
        }
        let ptr = match buffer.into_ptr() {
            Ok(ptr) => ptr,
            Err(shared) => copied(driver, &shared)?,
        };
        // SAFETY: memory of this stream's context, of so many bytes, given up by the buffer; cudarc frees it the way it was
        // allocated. Any bytes are values of these types.
        Ok(unsafe { driver.stream.upgrade_device_ptr(ptr, bytes / size_of::<E>()) })
    }
}

/// The address of a copy that belongs to the caller.
fn copied(driver: &CudarcDriver, buffer: &DeviceBuffer) -> Result<u64> {
    let ptr = driver.alloc(buffer.bytes())?;
    // SAFETY: both ranges have the buffer's length, and one is fresh.
    unsafe { driver.copy(buffer.ptr(), ptr, buffer.bytes()) }.inspect_err(|_| {
        // SAFETY: just allocated, and nobody has it.
        unsafe { driver.free(ptr) }
    })?;
    Ok(ptr)
}
