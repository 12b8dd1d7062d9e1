//! [`W4A8`]: an `int4_channel_group` matrix in device memory, in the layout `mma_w4a8`.

use crate::cuda::CudaDevice;
use crate::cuda::DeviceBuffer;
use crate::error::Error;
use crate::error::Result;
use crate::formats::Format;
use crate::formats::QuantMatrix;
use crate::layout::mma_w4a8;
use crate::layout::mma_w4a8::Units;
use crate::shape::MatShape;

/// The largest N and K: kernels count rows and columns, those of padding included, in 32 bits.
const MAX_SIDE: usize = u32::MAX as usize - mma_w4a8::UNIT_COLS;

/// Codes with their multipliers and offsets in units of 32 rows by 64 columns, and a scale per row.
#[derive(Clone, Debug)]
pub struct W4A8 {
    shape: MatShape,
    units: Units,
    codes: DeviceBuffer,
    scales: DeviceBuffer,
}

impl W4A8 {
    /// Brings `matrix` into the order of the kernels and copies it.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless it is [`Format::Int4ChannelGroup`] and its sides fit 32 bits; [`Error::TooLarge`] when the
    /// padded codes do not fit the address space; out of memory.
    pub fn upload(device: &CudaDevice, matrix: &QuantMatrix) -> Result<Self> {
        let (format, shape) = (matrix.format(), matrix.shape());
        let unsupported = |rule: String| Error::Unsupported {
            op: "uploading",
            subject: format!("{format} {shape}"),
            device: device.name().into(),
            rule,
        };
        let (Format::Int4ChannelGroup, Some(steps)) = (format, matrix.steps()) else {
            return Err(unsupported("W4A8 takes int4_channel_group".into()));
        };
        if shape.n().max(shape.k()) > MAX_SIDE {
            return Err(unsupported(format!("N and K must be at most {MAX_SIDE}")));
        }
        let units = Units::new(shape)?;
        let scales = matrix.scales().to_f32();
        Ok(Self {
            shape,
            units,
            codes: DeviceBuffer::upload(device, &mma_w4a8::pack(units, matrix.codes(), steps))?,
            scales: DeviceBuffer::upload(device, bytemuck::cast_slice(&scales))?,
        })
    }

    /// N by K.
    pub fn shape(&self) -> MatShape {
        self.shape
    }

    /// Its units.
    pub fn units(&self) -> Units {
        self.units
    }

    /// The units, as `layout/mma_w4a8.rs` has them.
    pub fn codes(&self) -> &DeviceBuffer {
        &self.codes
    }

    /// f32, one per row.
    pub fn scales(&self) -> &DeviceBuffer {
        &self.scales
    }

    /// Bytes of device memory.
    pub fn memory_bytes(&self) -> usize {
        self.codes.bytes() + self.scales.bytes()
    }
}
