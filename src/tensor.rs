//! [`Tensor`]: row-major activations and dense weights in f32, f16 or bf16, on the CPU or a GPU.

#[cfg(feature = "cuda")]
use std::sync::Arc;

use crate::cuda::CudaDevice;
use crate::cuda::DeviceBuffer;
#[cfg(feature = "cuda")]
use crate::cuda::cudarc::driver::CudaSlice;
use crate::device::Device;
use crate::error::Error;
use crate::error::Result;
use crate::shape::MatShape;
use crate::values::Dtype;
use crate::values::Element;
use crate::values::OwnedValues;
use crate::values::Values;
use crate::values::ValuesMut;

/// A row-major array of floating-point values.
#[derive(Clone, Debug)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Data,
}

#[derive(Clone, Debug)]
enum Data {
    Host(OwnedValues),
    Cuda(Dtype, DeviceBuffer),
}

impl Tensor {
    /// Takes the values of a row-major array of `shape`, on the CPU.
    ///
    /// # Errors
    /// [`Error::Length`] when `values` does not have as many elements as `shape`.
    pub fn new(values: impl Into<OwnedValues>, shape: &[usize]) -> Result<Self> {
        let data = values.into();
        check_len(num_values(shape)?, data.as_values().len(), shape)?;
        Ok(Self { shape: shape.to_vec(), data: Data::Host(data) })
    }

    /// A tensor of zeros on the CPU.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when `shape` does not fit the address space.
    pub fn zeros(dtype: Dtype, shape: &[usize]) -> Result<Self> {
        Ok(Self { shape: shape.to_vec(), data: Data::Host(OwnedValues::zeros(dtype, num_values(shape)?)) })
    }

    /// A tensor of zeros on `device`.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when `shape` does not fit the address space; out of memory.
    pub fn zeros_on(dtype: Dtype, shape: &[usize], device: &Device) -> Result<Self> {
        match device {
            Device::Cpu(_) => Self::zeros(dtype, shape),
            Device::Cuda(device) => {
                let buffer = DeviceBuffer::zeros(device, num_values(shape)? * dtype.size_bytes())?;
                Ok(Self { shape: shape.to_vec(), data: Data::Cuda(dtype, buffer) })
            }
        }
    }

    /// Takes the values of a row-major array in device memory, without a copy.
    ///
    /// # Errors
    /// [`Error::Length`] when `buffer` does not have the bytes of `shape`.
    pub fn from_device_buffer(buffer: DeviceBuffer, dtype: Dtype, shape: &[usize]) -> Result<Self> {
        let bytes = num_values(shape)? * dtype.size_bytes();
        check_len(bytes, buffer.bytes(), shape)?;
        Ok(Self { shape: shape.to_vec(), data: Data::Cuda(dtype, buffer) })
    }

    /// Takes a caller's cudarc slice, or a share of one (`Arc`), as a row-major array of `shape`, without a copy:
    /// [`DeviceBuffer::wrap_cuda_slice`] says how the two streams are ordered.
    ///
    /// # Errors
    /// [`Error::Length`] when `slice` does not have as many elements as `shape`; those of
    /// [`DeviceBuffer::wrap_cuda_slice`], also for the CPU.
    #[cfg(feature = "cuda")]
    pub fn wrap_cuda_slice<E: Element>(
        slice: impl Into<Arc<CudaSlice<E>>>,
        shape: &[usize],
        device: &Device,
    ) -> Result<Self> {
        let slice = slice.into();
        check_len(num_values(shape)?, slice.len(), shape)?;
        let Device::Cuda(device) = device else {
            let found = format!("CUDA device {}", slice.ordinal());
            return Err(Error::WrongDevice { what: "CudaSlice", expected: device.name().into(), found });
        };
        Self::from_device_buffer(DeviceBuffer::wrap_cuda_slice(device, slice)?, E::DTYPE, shape)
    }

    /// The values of a tensor on a GPU as a cudarc slice: [`DeviceBuffer::into_cuda_slice`] says when that takes a copy.
    ///
    /// # Errors
    /// [`Error::WrongDevice`] for a tensor on the CPU; [`Error::Unsupported`] for another type than `E`; those of
    /// [`DeviceBuffer::into_cuda_slice`].
    #[cfg(feature = "cuda")]
    pub fn into_cuda_slice<E: Element>(self) -> Result<CudaSlice<E>> {
        match self.data {
            Data::Cuda(dtype, buffer) if dtype == E::DTYPE => buffer.into_cuda_slice(),
            Data::Cuda(dtype, buffer) => Err(Error::Unsupported {
                op: "sharing memory with cudarc",
                subject: format!("a tensor of {dtype} as {}", E::DTYPE),
                device: buffer.device().name().into(),
                rule: "the types must be the same".into(),
            }),
            Data::Host(_) => {
                let (expected, found) = ("a CUDA device".into(), Device::cpu().name().into());
                Err(Error::WrongDevice { what: "tensor", expected, found })
            }
        }
    }

    /// The device memory of a tensor on a GPU.
    pub fn device_buffer(&self) -> Option<&DeviceBuffer> {
        match &self.data {
            Data::Host(_) => None,
            Data::Cuda(_, buffer) => Some(buffer),
        }
    }

    /// The device memory of a tensor on a GPU to be written: its own, so that clones of the tensor keep their values.
    pub(crate) fn device_buffer_mut(&mut self) -> Result<Option<&DeviceBuffer>> {
        match &mut self.data {
            Data::Host(_) => Ok(None),
            Data::Cuda(_, buffer) => {
                if !buffer.is_unique() {
                    *buffer = DeviceBuffer::new(buffer.device(), buffer.bytes())?;
                }
                Ok(Some(buffer))
            }
        }
    }

    /// Its shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Its element type.
    pub fn dtype(&self) -> Dtype {
        match &self.data {
            Data::Host(values) => values.as_values().dtype(),
            Data::Cuda(dtype, _) => *dtype,
        }
    }

    /// Where it is.
    pub fn device(&self) -> Device {
        match &self.data {
            Data::Host(_) => Device::cpu(),
            Data::Cuda(_, buffer) => Device::Cuda(buffer.device().clone()),
        }
    }

    /// The tensor on another device; itself where it is there already. Copies between two GPUs go through the host.
    ///
    /// # Errors
    /// Out of memory, and what the driver reports.
    pub fn to(&self, device: &Device) -> Result<Self> {
        let on_device = |device: &CudaDevice, values: &OwnedValues| -> Result<Data> {
            Ok(Data::Cuda(values.as_values().dtype(), DeviceBuffer::upload(device, values.as_bytes())?))
        };
        let data = match (&self.data, device) {
            (Data::Host(_), Device::Cpu(_)) => self.data.clone(),
            (Data::Host(values), Device::Cuda(device)) => on_device(device, values)?,
            (Data::Cuda(..), Device::Cpu(_)) => Data::Host(self.download()?),
            (Data::Cuda(_, buffer), Device::Cuda(device)) if buffer.device() == device => self.data.clone(),
            (Data::Cuda(..), Device::Cuda(device)) => on_device(device, &self.download()?)?,
        };
        Ok(Self { shape: self.shape.clone(), data })
    }

    fn download(&self) -> Result<OwnedValues> {
        match &self.data {
            Data::Host(values) => Ok(values.clone()),
            Data::Cuda(dtype, buffer) => {
                let mut values = OwnedValues::zeros(*dtype, num_values(&self.shape)?);
                buffer.download(values.as_bytes_mut())?;
                Ok(values)
            }
        }
    }

    /// The values, row-major.
    ///
    /// # Errors
    /// [`Error::WrongDevice`] when they are on a GPU.
    pub fn values(&self) -> Result<Values<'_>> {
        match &self.data {
            Data::Host(values) => Ok(values.as_values()),
            Data::Cuda(_, buffer) => Err(not_on_host(buffer)),
        }
    }

    /// The values, row-major, to be written.
    ///
    /// # Errors
    /// [`Error::WrongDevice`] when they are on a GPU.
    pub fn values_mut(&mut self) -> Result<ValuesMut<'_>> {
        match &mut self.data {
            Data::Host(values) => Ok(values.as_values_mut()),
            Data::Cuda(_, buffer) => Err(not_on_host(buffer)),
        }
    }

    /// The values as a slice of `E`, if that is their type and they are on the CPU.
    pub fn as_slice<E: Element>(&self) -> Option<&[E]> {
        match &self.data {
            Data::Host(values) if E::DTYPE == self.dtype() => Some(bytemuck::cast_slice(values.as_bytes())),
            _ => None,
        }
    }

    /// The values converted to `dtype`, rounding to nearest even.
    ///
    /// # Errors
    /// [`Error::WrongDevice`] when they are on a GPU.
    pub fn to_dtype(&self, dtype: Dtype) -> Result<Self> {
        let values = OwnedValues::from_f32(dtype, &self.values()?.to_f32());
        Ok(Self { shape: self.shape.clone(), data: Data::Host(values) })
    }

    /// The shape as a weight matrix [out, in].
    ///
    /// # Errors
    /// [`Error::Shape`] unless it has two dimensions; those of [`MatShape::new`].
    pub fn mat_shape(&self) -> Result<MatShape> {
        match self.shape[..] {
            [n, k] => MatShape::new(n, k),
            _ => Err(Error::Shape { what: "weight [out, in]", expected: vec![0, 0], found: self.shape.clone() }),
        }
    }
}

fn not_on_host(buffer: &DeviceBuffer) -> Error {
    let found = buffer.device().name().to_string();
    Error::WrongDevice { what: "tensor", expected: Device::cpu().name().to_string(), found }
}

fn check_len(expected: usize, found: usize, shape: &[usize]) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Error::Length { what: "tensor", expected, found, rule: format!("shape {shape:?}") })
}

/// The product of `shape`, checked.
fn num_values(shape: &[usize]) -> Result<usize> {
    let too_large = || Error::TooLarge { what: "tensor", shape: shape.to_vec() };
    let count = shape.iter().try_fold(1usize, |product, &side| product.checked_mul(side)).ok_or_else(too_large)?;
    match count.checked_mul(4).map(isize::try_from) {
        Some(Ok(_)) => Ok(count),
        _ => Err(too_large()),
    }
}
