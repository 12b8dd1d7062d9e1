//! [`FirstNonFinite`]: what a quantizer found that cannot be quantized.
#![allow(unsafe_code)]

use crate::cuda::CudaDevice;
use crate::cuda::DeviceBuffer;
use crate::cuda::driver::DevicePtr;
use crate::error::Error;
use crate::error::Result;
use crate::values::Dtype;
use crate::values::OwnedValues;

/// The index of the first NaN or infinity, as kernels lower it by an atomic minimum.
pub(super) struct FirstNonFinite {
    index: DeviceBuffer,
}

impl FirstNonFinite {
    /// None yet.
    pub fn new(device: &CudaDevice) -> Result<Self> {
        Ok(Self { index: DeviceBuffer::upload(device, &u64::MAX.to_le_bytes())? })
    }

    /// Where the index is.
    pub fn ptr(&self) -> DevicePtr {
        self.index.ptr()
    }

    /// Waits for the kernels and says whether there was one in the array `what`, whose values of `dtype` are at `values`.
    ///
    /// # Errors
    /// [`Error::NonFinite`] when there was; the driver's.
    pub fn check(&self, values: DevicePtr, dtype: Dtype, what: &'static str) -> Result<()> {
        let [index] = self.index.to_vec::<u64>()?[..] else { unreachable!("the buffer holds one index") };
        if index == u64::MAX {
            return Ok(());
        }
        let mut value = OwnedValues::zeros(dtype, 1);
        let address = values + index * dtype.size_bytes() as u64;
        // SAFETY: the kernel has read the value there.
        unsafe { self.index.device().driver().download(address, value.as_bytes_mut())? };
        Err(Error::NonFinite { what, index: index as usize, value: value.as_values().get(0) })
    }
}
