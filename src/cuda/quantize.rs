//! Quantizing on the GPU.

use crate::cuda::CudaDevice;
use crate::cuda::DeviceBuffer;
use crate::error::Error;
use crate::error::Result;
use crate::formats::QuantMatrix;
use crate::formats::Recipe;
use crate::shape::MatShape;
use crate::strategy::QuantizedRows;
use crate::values::Dtype;
use crate::values::Values;

/// Whether there is a kernel for `recipe`.
pub fn quantizes(recipe: Recipe) -> bool {
    let _ = recipe;
    false
}

/// Quantizes a matrix in device memory.
///
/// # Errors
/// [`Error::NonFinite`] for a NaN or infinity.
pub fn quantize(values: &DeviceBuffer, dtype: Dtype, shape: MatShape, recipe: Recipe) -> Result<QuantMatrix> {
    let _ = (dtype, shape);
    Err(unsupported(values.device(), recipe.format.to_string()))
}

/// Quantizes rows of activations: see [`crate::ops::quantize_rows`].
///
/// # Errors
/// The driver's.
pub fn quantize_rows(device: &CudaDevice, values: Values<'_>, columns: usize, threshold: f32) -> Result<QuantizedRows> {
    let _ = (values, threshold);
    Err(unsupported(device, format!("rows of {columns}")))
}

fn unsupported(device: &CudaDevice, subject: String) -> Error {
    Error::Unsupported { op: "quantizing", subject, device: device.name().into(), rule: "there is no kernel".into() }
}
