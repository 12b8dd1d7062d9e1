//! [`DeviceBuffer`]: a range of device memory, and who owns it; [`Region`]: one that is borrowed.
#![allow(unsafe_code)]

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::cuda::CudaDevice;
use crate::cuda::driver::DevicePtr;
use crate::error::Error;
use crate::error::Result;

/// Device memory, shared by its clones and given back when the last goes. Its length is in bytes.
#[derive(Clone)]
pub struct DeviceBuffer {
    owner: Arc<Owner>,
}

struct Owner {
    device: CudaDevice,
    ptr: DevicePtr,
    bytes: usize,
    /// What keeps memory alive that this crate did not allocate.
    foreign: Option<Box<dyn Any + Send + Sync>>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        if self.foreign.is_none() && self.bytes > 0 {
            // SAFETY: `ptr` came from `alloc` of this driver, and the last handle to it is going.
            unsafe { self.device.driver().free(self.ptr) };
        }
    }
}

impl fmt::Debug for DeviceBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceBuffer({} bytes on {})", self.owner.bytes, self.owner.device.name())
    }
}

impl DeviceBuffer {
    /// `bytes` of undefined content; an empty buffer has no memory.
    ///
    /// # Errors
    /// [`CudaError::OutOfMemory`](crate::error::CudaError::OutOfMemory).
    pub fn new(device: &CudaDevice, bytes: usize) -> Result<Self> {
        let ptr = if bytes == 0 { 0 } else { device.driver().alloc(bytes)? };
        Ok(Self { owner: Arc::new(Owner { device: device.clone(), ptr, bytes, foreign: None }) })
    }

    /// Zeros.
    ///
    /// # Errors
    /// As [`DeviceBuffer::new`].
    pub fn zeros(device: &CudaDevice, bytes: usize) -> Result<Self> {
        let buffer = Self::new(device, bytes)?;
        if bytes > 0 {
            // SAFETY: the range is the whole of an allocation that `buffer` keeps alive.
            unsafe { device.driver().fill(buffer.ptr(), 0, bytes)? };
        }
        Ok(buffer)
    }

    /// A copy of host memory.
    ///
    /// # Errors
    /// As [`DeviceBuffer::new`].
    pub fn upload(device: &CudaDevice, from: &[u8]) -> Result<Self> {
        let buffer = Self::new(device, from.len())?;
        if !from.is_empty() {
            // SAFETY: the range is the whole of an allocation that `buffer` keeps alive.
            unsafe { device.driver().upload(from, buffer.ptr())? };
        }
        Ok(buffer)
    }

    /// Memory that somebody else allocated and `keep` keeps alive.
    ///
    /// # Safety
    /// `ptr..ptr + bytes` is memory of `device` for as long as `keep` lives, and nothing but work ordered with the device's
    /// stream touches it.
    pub unsafe fn from_foreign(
        device: &CudaDevice,
        ptr: DevicePtr,
        bytes: usize,
        keep: Box<dyn Any + Send + Sync>,
    ) -> Self {
        Self { owner: Arc::new(Owner { device: device.clone(), ptr, bytes, foreign: Some(keep) }) }
    }

    /// Copies all of it to the host and waits for it.
    ///
    /// # Errors
    /// [`Error::Length`] when `to` is not as long as the buffer; the driver's.
    pub fn download(&self, to: &mut [u8]) -> Result<()> {
        let (expected, found) = (self.bytes(), to.len());
        if expected != found {
            return Err(Error::Length { what: "host memory", expected, found, rule: "all of the buffer".into() });
        }
        if found > 0 {
            // SAFETY: the range is the whole buffer.
            unsafe { self.device().driver().download(self.ptr(), to)? };
        }
        Ok(())
    }

    /// Its content, waited for.
    ///
    /// # Errors
    /// The driver's.
    pub(crate) fn to_vec<T: bytemuck::Pod>(&self) -> Result<Vec<T>> {
        let mut values = vec![T::zeroed(); self.bytes() / size_of::<T>()];
        self.download(bytemuck::cast_slice_mut(&mut values))?;
        Ok(values)
    }

    /// A copy on its device.
    ///
    /// # Errors
    /// As [`DeviceBuffer::new`].
    pub fn duplicate(&self) -> Result<Self> {
        let copy = Self::new(self.device(), self.bytes())?;
        copy.copy_from(self)?;
        Ok(copy)
    }

    /// Copies all of `from`, a buffer of the same length on the same device, into this one.
    ///
    /// # Errors
    /// [`Error::Length`] when they are not equally long, [`Error::WrongDevice`]; the driver's.
    pub(crate) fn copy_from(&self, from: &Self) -> Result<()> {
        let (expected, found) = (self.bytes(), from.bytes());
        if expected != found {
            return Err(Error::Length { what: "device memory", expected, found, rule: "all of the buffer".into() });
        }
        if self.device() != from.device() {
            let (expected, found) = (self.device().name().into(), from.device().name().into());
            return Err(Error::WrongDevice { what: "buffer", expected, found });
        }
        if found > 0 && self.ptr() != from.ptr() {
            // SAFETY: both ranges are whole buffers, and two buffers do not overlap.
            unsafe { self.device().driver().copy(from.ptr(), self.ptr(), found)? };
        }
        Ok(())
    }

    /// Its address; 0 when it is empty.
    pub fn ptr(&self) -> DevicePtr {
        self.owner.ptr
    }

    /// Its length in bytes.
    pub fn bytes(&self) -> usize {
        self.owner.bytes
    }

    /// Where it is.
    pub fn device(&self) -> &CudaDevice {
        &self.owner.device
    }

    /// All of it.
    #[doc(hidden)]
    pub fn region(&self) -> Region<'_> {
        // SAFETY: the buffer, which the region borrows, keeps the memory alive.
        unsafe { Region::new(self.ptr(), self.bytes()) }
    }

    /// What keeps the memory alive, when that is a `T` and this is the only handle.
    ///
    /// # Errors
    /// The buffer as it was.
    #[cfg(feature = "cuda")]
    pub(crate) fn take_foreign<T: Any>(mut self) -> std::result::Result<Box<T>, Self> {
        let taken = Arc::get_mut(&mut self.owner).and_then(|owner| match owner.foreign.take()?.downcast() {
            Ok(kept) => {
                owner.bytes = 0;
                Some(kept)
            }
            Err(other) => {
                owner.foreign = Some(other);
                None
            }
        });
        taken.ok_or(self)
    }

    /// The address of memory of its own, given up to the caller, when this is the only handle.
    ///
    /// # Errors
    /// The buffer as it was.
    #[cfg(feature = "cuda")]
    pub(crate) fn into_ptr(mut self) -> std::result::Result<DevicePtr, Self> {
        match Arc::get_mut(&mut self.owner) {
            Some(owner) if owner.foreign.is_none() => {
                owner.bytes = 0;
                Ok(owner.ptr)
            }
            _ => Err(self),
        }
    }

    /// Whether this is the only handle to the memory, so that writing it surprises nobody.
    pub fn is_unique(&self) -> bool {
        Arc::strong_count(&self.owner) == 1
    }
}

/// Live device memory for as long as its lifetime says: what operations take.
#[derive(Clone, Copy, Debug)]
pub struct Region<'a> {
    ptr: DevicePtr,
    bytes: usize,
    _memory: PhantomData<&'a ()>,
}

impl Region<'_> {
    /// `bytes` bytes at `ptr`.
    ///
    /// # Safety
    /// `ptr..ptr + bytes` stays allocated for the lifetime chosen.
    pub unsafe fn new(ptr: DevicePtr, bytes: usize) -> Self {
        Self { ptr, bytes, _memory: PhantomData }
    }

    /// Its address, when it holds `bytes` at least: what goes into a kernel's arguments.
    ///
    /// # Errors
    /// [`Error::Length`] otherwise, naming `what` and the `rule` that asks for so many bytes.
    pub fn holds(self, what: &'static str, bytes: usize, rule: &str) -> Result<DevicePtr> {
        if bytes <= self.bytes {
            return Ok(self.ptr);
        }
        Err(Error::Length { what, expected: bytes, found: self.bytes, rule: rule.into() })
    }
}
