//! Quantizing on the GPU.
#![allow(unsafe_code)]

use crate::cuda::CudaDevice;
use crate::cuda::DeviceBuffer;
use crate::cuda::buffer::Region;
use crate::cuda::ops::quantize_int8;
use crate::cuda::ops::quantize_int8::QuantizedSize;
use crate::cuda::ops::quantize_int8::Rounding;
use crate::cuda::ops::quantize_int8::Rows;
use crate::cuda::ops::quantize_w4::quantize_w4;
use crate::cuda::ops::w8::CodeOrder;
use crate::error::Error;
use crate::error::Result;
use crate::formats::Format;
use crate::formats::QuantMatrix;
use crate::formats::Recipe;
use crate::formats::ScaleRule;
use crate::shape::Granularity;
use crate::shape::MatShape;
use crate::strategy::QuantizedRows;
use crate::values::Dtype;
use crate::values::Values;

/// Whether there is a kernel for `recipe`.
pub fn quantizes(recipe: Recipe) -> bool {
    let Recipe { format, scale_rule } = recipe;
    let has_kernel = match format {
        Format::Int8 { granularity } => !matches!(granularity, Granularity::PerGroup(_)),
        Format::Nf4 { .. } | Format::Fp4 { .. } => true,
        Format::Dynamic8 { .. } | Format::Int4 { .. } | Format::AffineInt8 { .. } | Format::Int4ChannelGroup => false,
    };
    has_kernel && scale_rule == ScaleRule::Absmax
}

/// Quantizes a matrix in device memory.
///
/// # Errors
/// [`Error::NonFinite`] for a NaN or infinity, [`Error::Length`] when `values` does not hold `shape`, [`Error::Unsupported`]
/// unless [`quantizes`] is true.
pub fn quantize(values: &DeviceBuffer, dtype: Dtype, shape: MatShape, recipe: Recipe) -> Result<QuantMatrix> {
    let device = values.device();
    match recipe.format {
        Format::Int8 { granularity } if quantizes(recipe) => {
            quantize_int8::quantize_weight(device, values.region(), dtype, shape, granularity)
        }
        format @ (Format::Nf4 { .. } | Format::Fp4 { .. }) if quantizes(recipe) => {
            quantize_w4(device, values.region(), dtype, shape, format)
        }
        format => Err(Error::Unsupported {
            op: "quantizing",
            subject: format.to_string(),
            device: device.name().into(),
            rule: "there is no kernel: quantize it on the CPU".into(),
        }),
    }
}

/// Quantizes rows of activations: see [`crate::ops::quantize_rows`].
///
/// # Errors
/// [`Error::Invalid`] for a threshold that is not 0 or positive and finite; the driver's.
pub fn quantize_rows(device: &CudaDevice, values: Values<'_>, columns: usize, threshold: f32) -> Result<QuantizedRows> {
    let x = DeviceBuffer::upload(device, values.as_bytes())?;
    let rows = Rows { x: x.region(), dtype: values.dtype(), m: values.len() / columns, k: columns };
    let Rows { dtype, m, k, .. } = rows;
    let size = QuantizedSize { m, k, n: 0, dtype, has_outliers: threshold > 0.0, order: CodeOrder::Rows };
    let lease = device.lease(&size.bytes())?;
    let to = quantize_int8::QuantizedRows::new(size, std::array::from_fn(|i| lease.region(i)));
    quantize_int8::quantize(device, &rows, Rounding { max_code: 127, threshold }, None, &to)?;
    let outlier_columns = match &to.outliers {
        Some(outliers) if m > 0 => {
            let [count] = download::<u32>(device, outliers.count, 1)?[..] else { unreachable!("one value") };
            download::<u32>(device, outliers.columns, count as usize)?
        }
        _ => Vec::new(),
    };
    Ok(QuantizedRows {
        codes: download(device, to.codes, m * k)?,
        absmax: download(device, to.absmax, m)?,
        outlier_columns: outlier_columns.into_iter().map(|column| column as usize).collect(),
    })
}

/// The first `len` elements of `region`.
fn download<T: bytemuck::Pod>(device: &CudaDevice, region: Region<'_>, len: usize) -> Result<Vec<T>> {
    let mut values = vec![T::zeroed(); len];
    let address = region.holds("device memory", size_of_val(&values[..]), "what is downloaded")?;
    if len > 0 {
        // SAFETY: the region is live and as long as `values`.
        unsafe { device.driver().download(address, bytemuck::cast_slice_mut(&mut values))? };
    }
    Ok(values)
}
